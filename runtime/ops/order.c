/* SPDX-License-Identifier: Apache-2.0
 *
 * order.c: see order.h.
 */
#include "runtime/ops/order.h"

int pt_op_index(struct pt_op_ctx *c, int input, int64_t i, int64_t dim, int axis, int64_t *at)
{
    int64_t k = pt_index_at(c->in[input], i);
    if (k < -dim || k >= dim)
        return pt_op_fail(c, PT_EINVAL, "input %d: index %lld is outside %lld to %lld (axis %d)", input, (long long)k, (long long)-dim,
                          (long long)dim - 1, axis);
    *at = k < 0 ? k + dim : k;
    return PT_OK;
}

int pt_op_coordinates(struct pt_op_ctx *c, int input, int64_t i, int depth, const int64_t *dims, int64_t *at)
{
    *at = 0;
    for (int k = 0; k < depth; k++) {
        int64_t v = 0;
        int rc = pt_op_index(c, input, i * depth + k, dims[k], k, &v);
        if (rc < 0)
            return rc;
        *at = *at * dims[k] + v;
    }
    return PT_OK;
}

void pt_walk_elements_init(struct pt_walk_elements *w, const struct pt_tensor *ix, const struct pt_tensor *x, int axis)
{
    int64_t s = 1;
    *w = (struct pt_walk_elements){.n = pt_tensor_count(ix), .rank = ix->rank};
    for (int a = x->rank - 1; a >= 0; a--) {
        w->dims[a] = ix->dims[a];
        w->steps[a] = a == axis ? 0 : s;
        w->stride = a == axis ? s : w->stride;
        s *= x->dims[a];
    }
}

void pt_walk_elements_next(struct pt_walk_elements *w)
{
    w->i++;
    for (int a = w->rank - 1; a >= 0; a--) {
        w->at += w->steps[a];
        if (++w->pos[a] < w->dims[a])
            return;
        w->at -= w->steps[a] * w->pos[a];
        w->pos[a] = 0;
    }
}

/* --- keys ----------------------------------------------------------------------------------------------------------------------- */

#define SIGN ((uint64_t)1 << 63)

/* bits of a float whose sign is bit `width` - 1 and whose infinity is inf */
static uint64_t float_key(uint64_t bits, unsigned width, uint64_t inf)
{
    uint64_t sign = (uint64_t)1 << (width - 1), size = bits & (sign - 1);
    if (size > inf)
        return UINT64_MAX;
    return bits & sign ? SIGN - size : SIGN + size;
}

static inline uint64_t signed_key(int64_t v)
{
    return (uint64_t)v ^ SIGN;
}

#define KEYS(T, expression)                                                                                                                          \
    for (int64_t i = 0; i < n; i++) {                                                                                                                \
        T v;                                                                                                                                         \
        memcpy(&v, base + (first + i * step) * (int64_t)sizeof v, sizeof v);                                                                         \
        keys[i] = (expression);                                                                                                                      \
    }                                                                                                                                                \
    break

void pt_order_keys(const struct pt_tensor *t, int64_t first, int64_t step, int64_t n, uint64_t *keys)
{
    const char *base = t->data;
    switch (t->dtype) {
    case PT_INT8:
        KEYS(int8_t, signed_key(v));
    case PT_INT16:
        KEYS(int16_t, signed_key(v));
    case PT_INT32:
        KEYS(int32_t, signed_key(v));
    case PT_INT64:
        KEYS(int64_t, signed_key(v));
    case PT_UINT8:
        KEYS(uint8_t, v);
    case PT_UINT16:
        KEYS(uint16_t, v);
    case PT_UINT32:
        KEYS(uint32_t, v);
    case PT_UINT64:
        KEYS(uint64_t, v);
    case PT_BOOL:
        KEYS(uint8_t, v != 0);
    case PT_FLOAT16:
        KEYS(uint16_t, float_key(v, 16, 0x7c00));
    case PT_BFLOAT16:
        KEYS(uint16_t, float_key(v, 16, 0x7f80));
    case PT_FLOAT:
        KEYS(uint32_t, float_key(v, 32, 0x7f800000));
    case PT_DOUBLE:
        KEYS(uint64_t, float_key(v, 64, 0x7ff0000000000000));
    default:
        memset(keys, 0, (size_t)n * sizeof *keys);
    }
}

static int compare_strings(const struct pt_string *a, const struct pt_string *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int d = len ? memcmp(a->p, b->p, len) : 0;
    return d ? d : (a->len > b->len) - (a->len < b->len);
}

static int compare_keys(const struct pt_tensor *a, int64_t i, const struct pt_tensor *b, int64_t j)
{
    uint64_t x, y;
    pt_order_keys(a, i, 0, 1, &x);
    pt_order_keys(b, j, 0, 1, &y);
    return (x > y) - (x < y);
}

int pt_elem_compare(const struct pt_tensor *a, int64_t i, const struct pt_tensor *b, int64_t j)
{
    if (a->dtype == PT_STRING)
        return compare_strings((const struct pt_string *)a->data + i, (const struct pt_string *)b->data + j);
    if (a->dtype != PT_COMPLEX64 && a->dtype != PT_COMPLEX128)
        return compare_keys(a, i, b, j);
    struct pt_tensor x = {.dtype = a->dtype == PT_COMPLEX64 ? PT_FLOAT : PT_DOUBLE, .data = a->data}, y = {.dtype = x.dtype, .data = b->data};
    int d = compare_keys(&x, 2 * i, &y, 2 * j);
    return d ? d : compare_keys(&x, 2 * i + 1, &y, 2 * j + 1);
}

/* --- merge sort, bottom up --------------------------------------------------------------------------------------------------------- */

static void merge(const int64_t *from, int64_t *to, int64_t lo, int64_t mid, int64_t hi, pt_compare_fn compare, const void *arg)
{
    for (int64_t a = lo, b = mid, k = lo; k < hi; k++)
        to[k] = a < mid && (b >= hi || compare(arg, from[a], from[b]) <= 0) ? from[a++] : from[b++];
}

void pt_sort(int64_t *items, int64_t *tmp, int64_t n, pt_compare_fn compare, const void *arg)
{
    int64_t *from = items, *to = tmp;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            int64_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
            merge(from, to, lo, mid, hi, compare, arg);
        }
        int64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, (size_t)n * sizeof *items);
}
