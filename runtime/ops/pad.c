/* SPDX-License-Identifier: Apache-2.0
 *
 * pad.c: Pad in its four modes; negative pads crop. Pads are an attribute before opset 11, an input from then on; from 18 on for chosen axes.
 */
#include "runtime/ops/types.h"

enum { CONSTANT, REFLECT, EDGE, WRAP };

struct pad {
    int mode;
    int64_t begin[PT_MAX_RANK];
    int64_t kept[PT_MAX_RANK]; /* elements of the input that stay */
    float value; /* before opset 11 */
};

static int read_pads(struct pt_op_ctx *c, int64_t *pads, int *n, bool *given, int64_t *axes, int *axis_count)
{
    const char *name = c->node->version < 2 ? "paddings" : "pads";
    int rc = c->node->version < 11 ? pt_attr_ints(c, name, INT32_MIN, INT32_MAX, pads, 2 * PT_MAX_RANK, n)
                                   : pt_op_const_ints(c, 1, "pads", pads, 2 * PT_MAX_RANK, n);
    *axis_count = -1;
    *given = *n >= 0;
    if (rc == PT_OK && c->node->version >= 18)
        rc = pt_op_const_ints(c, 3, "axes", axes, PT_MAX_RANK, axis_count);
    return rc;
}

static int pad_infer(struct pt_op_ctx *c)
{
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap", NULL};
    struct pad *p = c->params;
    const struct pt_tensor *x = c->in[0], *value = pt_op_in(c, 2);
    int64_t pads[2 * PT_MAX_RANK], axes[PT_MAX_RANK], dims[PT_MAX_RANK];
    int n, na, rc;
    bool given;
    if ((rc = pt_attr_choice(c, "mode", modes, CONSTANT, &p->mode)) < 0 || (rc = pt_attr_float(c, "value", 0, &p->value)) < 0 ||
        (rc = read_pads(c, pads, &n, &given, axes, &na)) < 0)
        return rc;
    int count = na < 0 ? x->rank : na;
    if (!given || n != 2 * count)
        return pt_op_fail(c, PT_EINVAL, "%d pads for %d axes", given ? n : 0, count);
    if (value && (value->dtype != x->dtype || pt_tensor_count(value) != 1))
        return pt_op_fail(c, PT_EINVAL, "input 2 (constant_value) is %s, must be one %s", PT_SHAPE(value), pt_dtype_name(x->dtype));
    for (int i = 0; i < x->rank; i++) {
        dims[i] = p->kept[i] = x->dims[i];
        p->begin[i] = 0;
    }
    for (int k = 0; k < count; k++) {
        int a;
        if ((rc = pt_op_axis(c, "axis", na < 0 ? k : axes[k], x->rank, false, &a)) < 0)
            return rc;
        p->begin[a] = pads[k];
        if (pads[k] < INT32_MIN || pads[k] > INT32_MAX || pads[count + k] < INT32_MIN || pads[count + k] > INT32_MAX ||
            __builtin_add_overflow(x->dims[a], pads[k] + pads[count + k], &dims[a]) || dims[a] < 0)
            return pt_op_fail(c, PT_EINVAL, "pads %lld and %lld of axis %d do not fit its size %lld", (long long)pads[k], (long long)pads[count + k],
                              a, (long long)x->dims[a]);
        int64_t cut = (pads[k] < 0 ? -pads[k] : 0) + (pads[count + k] < 0 ? -pads[count + k] : 0);
        p->kept[a] = x->dims[a] > cut ? x->dims[a] - cut : 0;
        if (p->kept[a] == 0 && dims[a] > 0 && (p->mode != CONSTANT || cut > x->dims[a]))
            return pt_op_fail(c, PT_EINVAL, "axis %d keeps nothing: nothing to pad with", a);
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

/* Where position i of a padded axis comes from, or -1. What negative pads crop is gone: it is neither reflected nor repeated. */
static int64_t source(const struct pad *p, int axis, int64_t i)
{
    int64_t n = p->kept[axis], at = i - (p->begin[axis] > 0 ? p->begin[axis] : 0), lo = p->begin[axis] < 0 ? -p->begin[axis] : 0;
    if (at >= 0 && at < n)
        return lo + at;
    if (p->mode == CONSTANT)
        return -1;
    if (p->mode == EDGE || n == 1)
        return lo + (at < 0 ? 0 : n - 1);
    int64_t period = p->mode == WRAP ? n : 2 * (n - 1), m = at % period;
    m = m < 0 ? m + period : m;
    return lo + (p->mode == WRAP || m < n ? m : period - m);
}

/* One element of x's type with the value to fill in. */
static void fill_value(struct pt_op_ctx *c, struct pt_tensor *one)
{
    const struct pad *p = c->params;
    if (pt_op_in(c, 2))
        pt_copy_elem(one, 0, c->in[2], 0);
    else if (p->value != 0)
        pt_store_f64(one, 0, 1, &(double){(double)p->value});
}

struct job {
    const struct pad *p;
    const struct pt_tensor *x, *one;
    struct pt_tensor *y;
};

static void copy(const struct job *j, int64_t to, int64_t from, int64_t n)
{
    size_t size = pt_dtype_size(j->x->dtype);
    if (size)
        memcpy((char *)j->y->data + (size_t)to * size, (const char *)j->x->data + (size_t)from * size, (size_t)n * size);
    for (int64_t i = 0; !size && i < n; i++)
        pt_copy_elem(j->y, to + i, j->x, from + i);
}

static void fill(const struct job *j, int64_t to, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        pt_copy_elem(j->y, to + i, j->one, 0);
}

/* Elements [from, to) of a row of the output whose source row starts at `base`. */
static void edge(const struct job *j, int64_t row, int64_t base, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        int64_t s = source(j->p, j->x->rank - 1, i);
        if (s < 0)
            fill(j, row + i, 1);
        else
            copy(j, row + i, base + s, 1);
    }
}

static void pad_rows(void *arg, size_t begin, size_t end)
{
    const struct job *j = arg;
    const struct pad *p = j->p;
    int last = j->x->rank - 1;
    int64_t width = j->y->dims[last], lead = p->begin[last] > 0 ? p->begin[last] : 0;
    for (size_t r = begin; r < end; r++) {
        int64_t rest = (int64_t)r, base = 0, stride = j->x->dims[last], row = (int64_t)r * width;
        bool inside = true;
        for (int a = last - 1; a >= 0; a--) {
            int64_t s = source(p, a, rest % j->y->dims[a]);
            inside = inside && s >= 0;
            base += s * stride;
            rest /= j->y->dims[a];
            stride *= j->x->dims[a];
        }
        if (!inside) {
            fill(j, row, width);
            continue;
        }
        edge(j, row, base, 0, lead);
        copy(j, row + lead, base + source(p, last, lead), p->kept[last]);
        edge(j, row, base, lead + p->kept[last], width);
    }
}

static int pad_run(struct pt_op_ctx *c)
{
    const struct pad *p = c->params;
    const struct pt_tensor *x = c->in[0];
    char value[sizeof(double) * 2] = {0};
    struct pt_tensor one = {.dtype = x->dtype, .data = value}, *y = c->out[0];
    struct job j = {p, x, &one, y};
    fill_value(c, &one);
    if (x->rank == 0) {
        copy(&j, 0, 0, 1);
        return PT_OK;
    }
    int last = x->rank - 1;
    bool bytes = pt_dtype_size(x->dtype) != 0; /* smaller ones share bytes between rows */
    if (y->size_bytes == 0)
        return PT_OK;
    if (p->kept[last] == 0)
        fill(&j, 0, pt_tensor_count(y));
    else
        pt_parallel_for(bytes ? c->threads : NULL, (size_t)pt_dims_product(y->dims, last), (size_t)(4096 / y->dims[last] + 1), pad_rows, &j);
    return PT_OK;
}

const struct pt_op pt_op_pad = {.type = "Pad",
                                .since = {1, 2, 11, 13, 18, 19, 21, 23, 24, 25},
                                .min_in = 1,
                                .max_in = 4,
                                .max_out = 1,
                                .types = {PT_TS_ANY, PT_TS_INDEX, PT_TS_ANY, PT_TS_INDEX},
                                .params_size = sizeof(struct pad),
                                .infer = pad_infer,
                                .run = pad_run};
