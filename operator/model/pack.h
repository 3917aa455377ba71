/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.h: a compact object: the strings of a struct that is still on the stack, and the struct, in one allocation. Within model/ only.
 */
#ifndef PT_MODEL_PACK_H
#define PT_MODEL_PACK_H

#include <stddef.h>

struct cJSON;
struct pt_err;
struct pt_object;

struct pt_packer {
    struct {
        const char *text;
        const char **where;
    } item[24];
    size_t count, bytes;
};
/* *where, in the struct, becomes a copy of text (NULL: ""). */
void pt_pack_put(struct pt_packer *p, const char **where, const char *text);
/* What all objects have, from "metadata" of the tree; objects.c. */
int pt_object_meta(struct pt_packer *p, struct pt_object *o, const struct cJSON *tree, struct pt_err *err);
void *pt_pack(struct pt_packer *p, void *draft, size_t size); /* NULL: out of memory */

#endif
