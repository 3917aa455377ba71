/* SPDX-License-Identifier: Apache-2.0
 *
 * dict.c: see dict.h. Open addressing with linear probing in a table at most half full.
 */
#include "runtime/ops/dict.h"

#include "runtime/ops/order.h"

static int copy_strings(struct pt_op_ctx *c, const struct pt_onnx_attr *a, struct pt_tensor *out)
{
    struct pt_string *s = pt_op_alloc(c, a->count * sizeof *s);
    if (!s)
        return c->err->code;
    for (size_t i = 0; i < a->count; i++)
        s[i] = (struct pt_string){a->strings[i].p, a->strings[i].len};
    out->data = s;
    return PT_OK;
}

int pt_attr_list(struct pt_op_ctx *c, const char *name, struct pt_tensor *out)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, name);
    *out = (struct pt_tensor){0};
    if (a && a->type == PT_ATTR_TENSOR)
        return pt_op_keep(c, &a->t->t, out); /* aligned, which the file's bytes need not be */
    if (!a || a->count == 0)
        return PT_OK;
    *out = (struct pt_tensor){.rank = 1, .dims = {(int64_t)a->count}};
    switch (a->type) {
    case PT_ATTR_INTS:
        out->dtype = PT_INT64;
        out->data = a->ints;
        break;
    case PT_ATTR_FLOATS:
        out->dtype = PT_FLOAT;
        out->data = a->floats;
        break;
    case PT_ATTR_STRINGS:
        out->dtype = PT_STRING;
        break;
    default:
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is not a list (type %d)", name, (int)a->type);
    }
    if (!pt_tensor_need(out->dtype, 1, out->dims, &out->size_bytes))
        return pt_op_fail(c, PT_ELIMIT, "attribute '%s' is too large", name);
    return a->type == PT_ATTR_STRINGS ? copy_strings(c, a, out) : PT_OK;
}

static int list_of(struct pt_op_ctx *c, const char *name, enum pt_dtype dtype, const void **out, int64_t *count)
{
    struct pt_tensor t;
    int rc = pt_attr_list(c, name, &t);
    *out = t.data;
    *count = t.dtype == PT_UNDEFINED ? -1 : pt_tensor_count(&t);
    if (rc < 0 || *count < 0 || t.dtype == dtype)
        return rc;
    return pt_op_fail(c, PT_EINVAL, "attribute '%s' is %s, must be a list of %s", name, PT_SHAPE(&t), pt_dtype_name(dtype));
}

int pt_attr_floats(struct pt_op_ctx *c, const char *name, const float **out, int64_t *count)
{
    const void *p;
    int rc = list_of(c, name, PT_FLOAT, &p, count);
    *out = p;
    return rc;
}

int pt_attr_int64s(struct pt_op_ctx *c, const char *name, const int64_t **out, int64_t *count)
{
    const void *p;
    int rc = list_of(c, name, PT_INT64, &p, count);
    *out = p;
    return rc;
}

int pt_attr_one_list(struct pt_op_ctx *c, const char *const *names, struct pt_tensor *out, int *which)
{
    *which = -1;
    for (int i = 0; names[i]; i++) {
        struct pt_tensor t;
        int rc = pt_attr_list(c, names[i], &t);
        if (rc < 0)
            return rc;
        if (t.dtype == PT_UNDEFINED)
            continue;
        if (*which >= 0)
            return pt_op_fail(c, PT_EINVAL, "attributes '%s' and '%s' are both given", names[*which], names[i]);
        *which = i;
        *out = t;
    }
    return *which >= 0 ? PT_OK : pt_op_fail(c, PT_EINVAL, "attribute '%s' or one like it is missing", names[0]);
}

/* --- the table --------------------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15;
    return key ^ key >> 29;
}

static uint64_t hash_string(struct pt_string s)
{
    return pt_hash64(s.len ? s.p : "", s.len, 0);
}

static bool same_string(struct pt_string a, struct pt_string b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* The slot where the element is, or the free one where it would be. */
static int32_t *slot_of(const struct pt_dict *d, uint64_t hash, const struct pt_string *s, uint64_t key)
{
    for (uint64_t at = hash & d->mask;; at = (at + 1) & d->mask) {
        int32_t i = d->slots[at];
        if (i < 0 || (s ? same_string(((const struct pt_string *)d->list.data)[i], *s) : d->keys[i] == key))
            return &d->slots[at];
    }
}

int64_t pt_dict_find_string(const struct pt_dict *d, struct pt_string s)
{
    return d->slots ? *slot_of(d, hash_string(s), &s, 0) : -1;
}

int64_t pt_dict_find_key(const struct pt_dict *d, uint64_t key)
{
    return d->slots ? *slot_of(d, mix(key), NULL, key) : -1;
}

static void insert(struct pt_dict *d, int32_t i, bool last)
{
    const struct pt_string *s = d->list.dtype == PT_STRING ? (const struct pt_string *)d->list.data + i : NULL;
    uint64_t key = s ? 0 : d->keys[i];
    int32_t *slot = slot_of(d, s ? hash_string(*s) : mix(key), s, key);
    if (*slot < 0 || last)
        *slot = i;
}

int pt_dict_make(struct pt_op_ctx *c, const struct pt_tensor *list, bool last, struct pt_dict *d)
{
    int64_t n = pt_tensor_count(list);
    size_t slots = 8;
    *d = (struct pt_dict){.list = *list};
    if (n < 0 || n > INT32_MAX / 4)
        return pt_op_fail(c, PT_ELIMIT, "%lld entries are too many", (long long)n);
    while (slots < 2 * (size_t)n)
        slots *= 2;
    d->mask = slots - 1;
    if (list->dtype != PT_STRING) {
        uint64_t *keys = pt_op_alloc(c, (size_t)n * sizeof *keys);
        if (!keys)
            return c->err->code;
        pt_order_keys(list, 0, 1, n, keys);
        d->keys = keys;
    }
    if (!(d->slots = pt_op_alloc(c, slots * sizeof *d->slots)))
        return c->err->code;
    memset(d->slots, 0xff, slots * sizeof *d->slots);
    for (int32_t i = 0; i < (int32_t)n; i++)
        insert(d, i, last);
    return PT_OK;
}

void pt_dict_find(const struct pt_dict *d, const struct pt_tensor *x, int64_t first, int64_t n, int64_t *index)
{
    uint64_t keys[PT_BLOCK];
    for (int64_t i = 0; x->dtype == PT_STRING && i < n; i++)
        index[i] = pt_dict_find_string(d, ((const struct pt_string *)x->data)[first + i]);
    for (int64_t at = 0; x->dtype != PT_STRING && at < n; at += PT_BLOCK) {
        int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        pt_order_keys(x, first + at, 1, m, keys);
        for (int64_t i = 0; i < m; i++)
            index[at + i] = pt_dict_find_key(d, keys[i]);
    }
}
