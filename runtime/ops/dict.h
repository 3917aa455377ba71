/* SPDX-License-Identifier: Apache-2.0
 *
 * dict.h: lists that stand in attributes, and finding an element's place in one: what label encoders, vocabularies and stop words need.
 *
 * Both are made by `prepare` and live as long as the graph.
 */
#ifndef PT_RUNTIME_OPS_DICT_H
#define PT_RUNTIME_OPS_DICT_H

#include "runtime/ops/types.h"

/* The attribute as a tensor of rank 1 (ints: int64, floats: float32, strings) or, if it is a tensor, a copy of it. dtype PT_UNDEFINED when it is
 * absent or an empty list. */
int pt_attr_list(struct pt_op_ctx *c, const char *name, struct pt_tensor *out);
/* The same, but it must be of that type; count -1 when absent. */
int pt_attr_floats(struct pt_op_ctx *c, const char *name, const float **out, int64_t *count);
int pt_attr_int64s(struct pt_op_ctx *c, const char *name, const int64_t **out, int64_t *count);
/* The one of several attributes (NULL-terminated) that is given; an error if it is not exactly one. *which: its index. */
int pt_attr_one_list(struct pt_op_ctx *c, const char *const *names, struct pt_tensor *out, int *which);

/* A hash table from elements to their index in a list: numbers by value (NaN equals NaN), strings by bytes. */
struct pt_dict {
    struct pt_tensor list;
    const uint64_t *keys; /* of numbers */
    int32_t *slots;       /* index or -1 */
    uint64_t mask;
};
/* Of equal elements the first is found, or the last. list's data must live as long. */
int pt_dict_make(struct pt_op_ctx *c, const struct pt_tensor *list, bool last, struct pt_dict *d);
int64_t pt_dict_find_string(const struct pt_dict *d, struct pt_string s); /* or -1 */
int64_t pt_dict_find_key(const struct pt_dict *d, uint64_t key);          /* a key of order.h, or -1 */
/* index[i] <- place of x's element first + i, or -1; x has the list's type. */
void pt_dict_find(const struct pt_dict *d, const struct pt_tensor *x, int64_t first, int64_t n, int64_t *index);

#endif
