/* SPDX-License-Identifier: Apache-2.0
 *
 * unique.c: Unique: the distinct elements, or the distinct slices along an axis, sorted or in the order in which they first appear.
 *
 * The items (elements or slices) are sorted by number, equal ones in their old order; then each run of equals is one distinct item, which its first
 * item stands for. infer needs that for the count and run for everything, so both do it: the sort is the cost, and no memory outlives infer.
 */
#include "runtime/ops/order.h"

struct unique {
    bool flat, sorted;
    int axis;
};

/* Item i consists, for each of `outer`, of `inner` elements from (o * count + i) * inner. */
struct items {
    const struct pt_tensor *x;
    int64_t count, outer, inner;
    const uint64_t *keys; /* of all elements, or NULL: no numbers */
};

static int compare_elements(const struct items *s, int64_t i, int64_t j)
{
    if (!s->keys)
        return pt_elem_compare(s->x, i, s->x, j);
    return (s->keys[i] > s->keys[j]) - (s->keys[i] < s->keys[j]);
}

static int compare_items(const void *arg, int64_t a, int64_t b)
{
    const struct items *s = arg;
    int d = 0;
    for (int64_t o = 0; d == 0 && o < s->outer; o++)
        for (int64_t k = 0; d == 0 && k < s->inner; k++)
            d = compare_elements(s, (o * s->count + a) * s->inner + k, (o * s->count + b) * s->inner + k);
    return d;
}

static struct items items_of(const struct unique *p, const struct pt_tensor *x)
{
    if (p->flat)
        return (struct items){.x = x, .count = pt_tensor_count(x), .outer = 1, .inner = 1};
    return (struct items){.x = x,
                          .count = x->dims[p->axis],
                          .outer = pt_dims_product(x->dims, p->axis),
                          .inner = pt_dims_product(x->dims + p->axis + 1, x->rank - p->axis - 1)};
}

/* What the sort finds, all indexed by item but `first`: item number of each distinct item, in the order of the output. */
struct found {
    int64_t *first, *group, *order, *tmp; /* group: the distinct item that an item equals */
    int64_t count;
    void *memory;
};

static int compare_numbers(const void *arg, int64_t a, int64_t b)
{
    const int64_t *first = arg;
    return (first[a] > first[b]) - (first[a] < first[b]);
}

/* Distinct items renumbered by where they first appear. */
static void by_appearance(struct found *f, int64_t n)
{
    int64_t *order = f->order, *rank = f->tmp;
    for (int64_t i = 0; i < f->count; i++)
        order[i] = i;
    pt_sort(order, f->tmp, f->count, compare_numbers, f->first);
    for (int64_t i = 0; i < f->count; i++)
        rank[order[i]] = i;
    for (int64_t i = 0; i < n; i++)
        f->group[i] = rank[f->group[i]];
    for (int64_t i = n - 1; i >= 0; i--)
        f->first[f->group[i]] = i;
}

static int find(struct pt_op_ctx *c, struct found *f)
{
    const struct unique *p = c->params;
    struct items s = items_of(p, c->in[0]);
    bool numbers = (PT_TS_KEYED & PT_T(s.x->dtype)) != 0;
    int64_t n = s.count, elements = numbers ? pt_tensor_count(s.x) : 0;
    size_t places = 4 * (size_t)n + (size_t)elements + 1;
    *f = (struct found){.memory = pt_reallocarray(NULL, places, sizeof(int64_t))};
    if (!f->memory)
        return pt_op_fail(c, PT_ENOMEM, "out of memory for %lld items", (long long)n);
    f->first = f->memory;
    f->group = f->first + n;
    f->order = f->group + n;
    f->tmp = f->order + n;
    uint64_t *keys = (uint64_t *)f->tmp + n;
    if (numbers)
        pt_order_keys(s.x, 0, 1, elements, keys);
    s.keys = numbers ? keys : NULL;
    for (int64_t i = 0; i < n; i++)
        f->order[i] = i;
    pt_sort(f->order, f->tmp, n, compare_items, &s);
    for (int64_t k = 0; k < n; k++) {
        if (k == 0 || compare_items(&s, f->order[k - 1], f->order[k]) != 0)
            f->first[f->count++] = f->order[k];
        f->group[f->order[k]] = f->count - 1;
    }
    if (!p->sorted)
        by_appearance(f, n);
    return PT_OK;
}

static int unique_infer(struct pt_op_ctx *c)
{
    struct unique *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis, sorted, dims[PT_MAX_RANK];
    int rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis);
    p->flat = !pt_node_attr(c->node, "axis");
    if (rc < 0 || (!p->flat && (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &p->axis)) < 0) ||
        (rc = pt_attr_int(c, "sorted", 1, 0, 1, &sorted)) < 0)
        return rc;
    p->sorted = sorted != 0;
    if (!x->data && pt_tensor_count(x))
        return pt_op_needs_data(c, 0, "X");
    struct found f;
    if ((rc = find(c, &f)) < 0)
        return rc;
    pt_free(f.memory);
    int64_t n = p->flat ? pt_tensor_count(x) : x->dims[p->axis];
    memcpy(dims, x->dims, sizeof dims);
    dims[p->flat ? 0 : p->axis] = f.count;
    pt_op_set_out(c, 0, x->dtype, p->flat ? 1 : x->rank, dims);
    pt_op_set_out(c, 1, PT_INT64, 1, &f.count);
    pt_op_set_out(c, 2, PT_INT64, 1, &n);
    pt_op_set_out(c, 3, PT_INT64, 1, &f.count);
    return PT_OK;
}

/* out: distinct items, where each first is, which one each item equals, how many equal each; NULL: not wanted. */
static int fill(struct pt_op_ctx *c, struct pt_tensor *const out[4])
{
    struct items s = items_of(c->params, c->in[0]);
    size_t bytes = (size_t)s.inner * pt_dtype_size(s.x->dtype);
    struct found f;
    int rc = find(c, &f);
    if (rc < 0)
        return rc;
    for (int64_t o = 0; out[0] && bytes && o < s.outer; o++)
        for (int64_t i = 0; i < f.count; i++)
            memcpy((char *)out[0]->data + (size_t)(o * f.count + i) * bytes, (const char *)s.x->data + (size_t)(o * s.count + f.first[i]) * bytes,
                   bytes);
    if (out[1] && f.count)
        memcpy(out[1]->data, f.first, (size_t)f.count * sizeof *f.first);
    if (out[2] && s.count)
        memcpy(out[2]->data, f.group, (size_t)s.count * sizeof *f.group);
    if (out[3]) {
        int64_t *counts = out[3]->data;
        memset(counts, 0, (size_t)f.count * sizeof *counts);
        for (int64_t i = 0; i < s.count; i++)
            counts[f.group[i]]++;
    }
    pt_free(f.memory);
    return PT_OK;
}

static int unique_run(struct pt_op_ctx *c)
{
    struct pt_tensor *out[4] = {0};
    for (int i = 0; i < c->out_count; i++)
        out[i] = c->out[i];
    return fill(c, out);
}

/* com.microsoft's older one: a flat tensor, in order of appearance, without the places. */
static int ms_unique_infer(struct pt_op_ctx *c)
{
    struct unique *p = c->params;
    const struct pt_tensor *x = c->in[0];
    *p = (struct unique){.flat = true};
    if (x->rank != 1)
        return pt_op_fail(c, PT_EINVAL, "input %s must have one axis", PT_SHAPE(x));
    if (!x->data && pt_tensor_count(x))
        return pt_op_needs_data(c, 0, "x");
    struct found f;
    int rc = find(c, &f);
    if (rc < 0)
        return rc;
    pt_free(f.memory);
    pt_op_set_out(c, 0, x->dtype, 1, &f.count);
    pt_op_set_out(c, 1, PT_INT64, 1, x->dims);
    pt_op_set_out(c, 2, PT_INT64, 1, &f.count);
    return PT_OK;
}

static int ms_unique_run(struct pt_op_ctx *c)
{
    struct pt_tensor *const out[4] = {c->out[0], NULL, c->out_count > 1 ? c->out[1] : NULL, c->out_count > 2 ? c->out[2] : NULL};
    return fill(c, out);
}

const struct pt_op pt_op_ms_unique = {.domain = "com.microsoft",
                                      .type = "Unique",
                                      .since = {1},
                                      .min_in = 1,
                                      .max_in = 1,
                                      .max_out = 3,
                                      .types = {PT_TS_BYTES},
                                      .params_size = sizeof(struct unique),
                                      .infer = ms_unique_infer,
                                      .run = ms_unique_run};

const struct pt_op pt_op_unique = {.type = "Unique",
                                   .since = {11},
                                   .min_in = 1,
                                   .max_in = 1,
                                   .max_out = 4,
                                   .types = {PT_TS_BYTES},
                                   .params_size = sizeof(struct unique),
                                   .infer = unique_infer,
                                   .run = unique_run};
