/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_quant.c: the straight-through estimator of QuantizeLinear (Bengio et al. 2013; Jacob et al. 2018): rounding is taken for the identity,
 * saturation for what it is.
 */
#include "runtime/train/ops.h"

#include "runtime/ops/quant.h"
#include "runtime/ops/types.h"

struct through {
    struct pt_quant_grid grid;
    float lo, hi; /* of the integers */
};

/* x, scale and zero point stand where QuantizeLinear has them, so that attributes are read as there. */
static int through_infer(struct pt_op_ctx *c)
{
    struct through *p = c->params;
    enum pt_dtype t = c->in[4]->dtype;
    int rc = pt_quant_grid_read(c, &p->grid);
    if (rc < 0)
        return rc;
    if (c->in[0]->dtype != PT_FLOAT || c->in[1]->dtype != PT_FLOAT || c->in[3]->dtype != PT_FLOAT)
        return pt_op_fail(c, PT_EUNSUPPORTED, "a derivative through a quantisation of %s by a scale of %s is not supported: of float32 it is",
                          pt_dtype_name(c->in[0]->dtype), pt_dtype_name(c->in[1]->dtype));
    if (pt_dtype_kind(t) == PT_KIND_FLOAT)
        return pt_op_fail(c, PT_EUNSUPPORTED, "a derivative through a quantisation to %s is not supported: to integers it is", pt_dtype_name(t));
    if (!pt_dims_equal(c->in[0], c->in[3]))
        return pt_op_fail(c, PT_EINVAL, "%s and %s differ", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[3]));
    p->lo = (float)pt_int_min(t);
    p->hi = (float)pt_int_max(t);
    return pt_infer_same(c);
}

/* Rounds as QuantizeLinear does: what has at most 17 bits is exact in x + 1.5 * 2^23. NaN is outside. */
static void through_row(const float *x, const float *dy, float *dx, int64_t n, float scale, float lo, float hi)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        v = v > lo - 1 ? v : lo - 1;
        v = v < hi + 1 ? v : hi + 1;
        v = (v + 0x1.8p23f) - 0x1.8p23f;
        dx[i] = v >= lo && v <= hi ? dy[i] : 0;
    }
}

static int through_run(struct pt_op_ctx *c)
{
    const struct through *p = c->params;
    int64_t end = pt_tensor_count(c->out[0]);
    for (int64_t at = 0; at < end;) {
        float scale, zero;
        int64_t n = pt_quant_grid_at(c, &p->grid, at, end, &scale, &zero);
        through_row((const float *)c->in[0]->data + at, (const float *)c->in[3]->data + at, (float *)c->out[0]->data + at, n, scale, p->lo - zero,
                    p->hi - zero);
        at += n;
    }
    return PT_OK;
}

const struct pt_op pt_grad_quantize = {.type = "QuantizeGrad",
                                       .since = {1},
                                       .min_in = 5,
                                       .max_in = 5,
                                       .max_out = 1,
                                       .flags = PT_OP_MAY_LACK,
                                       .params_size = sizeof(struct through),
                                       .infer = through_infer,
                                       .run = through_run};
