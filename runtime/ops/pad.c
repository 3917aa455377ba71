/* SPDX-License-Identifier: Apache-2.0
 *
 * pad.c: Pad in its four modes; negative pads crop. Pads are an attribute before opset 11, an input from then on; from 18 on for chosen axes.
 */
#include "runtime/ops/op.h"

enum { CONSTANT, REFLECT, EDGE, WRAP };

struct pad {
    int mode;
    int64_t begin[PT_MAX_RANK];
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
        dims[i] = x->dims[i];
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
        if (p->mode != CONSTANT && x->dims[a] == 0 && dims[a] > 0)
            return pt_op_fail(c, PT_EINVAL, "axis %d is empty: nothing to pad with", a);
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

/* Where position i of a padded axis comes from, or -1. */
static int64_t source(int mode, int64_t i, int64_t n)
{
    if (i >= 0 && i < n)
        return i;
    if (mode == CONSTANT)
        return -1;
    if (mode == EDGE || n == 1)
        return i < 0 ? 0 : n - 1;
    int64_t period = mode == WRAP ? n : 2 * (n - 1), m = i % period;
    m = m < 0 ? m + period : m;
    return mode == WRAP || m < n ? m : period - m;
}

static void fill_value(struct pt_op_ctx *c, char value[16])
{
    const struct pad *p = c->params;
    memset(value, 0, 16);
    if (pt_op_in(c, 2))
        memcpy(value, c->in[2]->data, pt_dtype_size(c->in[2]->dtype));
    else if (c->in[0]->dtype == PT_FLOAT)
        memcpy(value, &p->value, sizeof p->value);
    else if (c->in[0]->dtype == PT_DOUBLE)
        memcpy(value, &(double){(double)p->value}, sizeof(double));
}

static int pad_run(struct pt_op_ctx *c)
{
    const struct pad *p = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    size_t size = pt_dtype_size(x->dtype);
    int64_t n = pt_tensor_count(y);
    char value[16];
    fill_value(c, value);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0, stride = 1;
        bool inside = true;
        for (int a = x->rank - 1; a >= 0; a--) {
            int64_t s = source(p->mode, rest % y->dims[a] - p->begin[a], x->dims[a]);
            inside = inside && s >= 0;
            at += s * stride;
            rest /= y->dims[a];
            stride *= x->dims[a];
        }
        memcpy((char *)y->data + (size_t)i * size, inside ? (const char *)x->data + (size_t)at * size : value, size);
    }
    return PT_OK;
}

const struct pt_op pt_op_pad = {.type = "Pad",
                                .since = {1, 2, 11, 13, 18, 19, 21, 23, 24, 25},
                                .min_in = 1,
                                .max_in = 4,
                                .max_out = 1,
                                .types = {PT_TS_FIXED, PT_TS_INDEX, PT_TS_FIXED, PT_TS_INDEX},
                                .params_size = sizeof(struct pad),
                                .infer = pad_infer,
                                .run = pad_run};
