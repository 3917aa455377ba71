/* SPDX-License-Identifier: Apache-2.0
 *
 * model_list.h: the models that clients want, with control explicit: those of the repository's folder that were loaded by name, and those that a list
 * names with a base path, a version policy and labels of their own (TensorFlow Serving's ModelConfigList).
 */
#ifndef PT_SIDECAR_MODEL_LIST_H
#define PT_SIDECAR_MODEL_LIST_H

#include "sidecar/model_config.h"

struct pt_model_entry {
    char *name;
    char *base_path;               /* NULL: NAME in the repository's folder, under the policy and the labels that it has there */
    struct pt_model_config config; /* with a base path: policy and labels */
};
struct pt_model_list {
    struct pt_model_entry *entries;
    size_t count;
};

struct pt_model_entry *pt_model_list_find(const struct pt_model_list *l, const char *name); /* NULL: none */
/* Appends one, of the latest version without labels; base_path of length 0: none. NULL: out of memory. */
struct pt_model_entry *pt_model_list_add(struct pt_model_list *l, struct pt_str name, struct pt_str base_path, struct pt_err *err);
void pt_model_list_remove(struct pt_model_list *l, const char *name);
/* Appends copies of those whose names it has not. */
int pt_model_list_merge(struct pt_model_list *l, const struct pt_model_list *from, struct pt_err *err);
void pt_model_list_finish(struct pt_model_list *l); /* zeroed memory is fine */

#endif
