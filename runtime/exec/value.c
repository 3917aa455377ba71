/* SPDX-License-Identifier: Apache-2.0
 *
 * value.c: copies of values, deep. Nesting is as deep as the model's types say, which the reader bounds.
 */
#include "runtime/exec/value.h"

#include <string.h>

static int copy_strings(struct pt_heap *h, const struct pt_tensor *t, struct pt_string *to, struct pt_err *err)
{
    const struct pt_string *from = t->data;
    size_t n = (size_t)pt_tensor_count(t), total = 0;
    for (size_t i = 0; i < n; i++)
        total += from[i].len;
    char *bytes = pt_heap_alloc(h, total, err);
    for (size_t i = 0; bytes && i < n; i++) {
        if (from[i].len)
            memcpy(bytes, from[i].p, from[i].len);
        to[i] = (struct pt_string){bytes, from[i].len};
        bytes += from[i].len;
    }
    return bytes ? PT_OK : err->code;
}

static int copy_inside(struct pt_heap *h, struct pt_tensor *t, struct pt_err *err)
{
    int rc = PT_OK;
    if (t->dtype == PT_SEQUENCE) {
        struct pt_sequence *s = t->data;
        struct pt_tensor *items = pt_heap_alloc(h, s->count * sizeof *items, err);
        if (!items)
            return err->code;
        for (size_t i = 0; rc == PT_OK && i < s->count; i++)
            rc = pt_value_copy(h, &s->items[i], &items[i], err);
        s->items = items;
        s->store = NULL;
    } else if (t->dtype == PT_OPTIONAL) {
        struct pt_optional *o = t->data;
        struct pt_tensor *value = o->value ? pt_heap_alloc(h, sizeof *value, err) : NULL;
        if (o->value && !value)
            return err->code;
        rc = value ? pt_value_copy(h, o->value, value, err) : PT_OK;
        o->value = value;
    } else if (t->dtype == PT_MAP) {
        struct pt_map_value *m = t->data, copy = *m;
        rc = pt_value_copy(h, &copy.keys, &m->keys, err);
        return rc < 0 ? rc : pt_value_copy(h, &copy.values, &m->values, err);
    }
    return rc;
}

int pt_value_copy(struct pt_heap *h, const struct pt_tensor *t, struct pt_tensor *out, struct pt_err *err)
{
    *out = *t;
    if (!(out->data = pt_heap_alloc(h, t->size_bytes, err)))
        return err->code;
    if (t->dtype == PT_STRING)
        return copy_strings(h, t, out->data, err);
    if (t->size_bytes)
        memcpy(out->data, t->data, t->size_bytes);
    return copy_inside(h, out, err);
}
