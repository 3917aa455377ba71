/* SPDX-License-Identifier: Apache-2.0
 *
 * clip.c: Clip. The bounds are attributes before opset 11 and inputs from then on; a lower bound above the upper gives the upper.
 */
#include "runtime/ops/op.h"

#include <float.h>

static int clip_infer(struct pt_op_ctx *c)
{
    float *p = c->params;
    if (c->node->version < 11) {
        if (!(PT_TS_REAL & PT_T(c->in[0]->dtype)))
            return pt_op_fail(c, PT_EINVAL, "input is %s, must be floating point before opset 11", PT_SHAPE(c->in[0]));
        int rc = pt_attr_float(c, "min", -FLT_MAX, &p[0]);
        if (rc == PT_OK)
            rc = pt_attr_float(c, "max", FLT_MAX, &p[1]);
        if (rc < 0)
            return rc;
    }
    for (int i = 1; i < 3; i++)
        if (pt_op_in(c, i) && pt_tensor_count(pt_op_in(c, i)) != 1)
            return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be one value", i, i == 1 ? "min" : "max", PT_SHAPE(c->in[i]));
    return pt_infer_same(c);
}

/* NaN stays NaN: both comparisons are false for it. */
#define CLIP(id, T, U, s) \
    static void clip_##s(const struct pt_tensor *x, const struct pt_tensor *lo, const struct pt_tensor *hi, const float *p, struct pt_tensor *y) \
    { \
        const T *a = x->data; \
        T *b = y->data, min = 0, max = 0; \
        bool has_min = lo || p, has_max = hi || p; \
        if (lo) \
            memcpy(&min, lo->data, sizeof min); \
        else if (p) \
            min = (T)p[0]; \
        if (hi) \
            memcpy(&max, hi->data, sizeof max); \
        else if (p) \
            max = (T)p[1]; \
        int64_t n = pt_tensor_count(x); \
        for (int64_t i = 0; i < n; i++) { \
            T v = a[i]; \
            if (has_min && v < min) \
                v = min; \
            if (has_max && v > max) \
                v = max; \
            b[i] = v; \
        } \
    }
PT_NUM_ROWS(CLIP)

static int clip_run(struct pt_op_ctx *c)
{
    const float *p = c->node->version < 11 ? c->params : NULL;
    switch (c->in[0]->dtype) {
#define CASE(id, T, U, s) \
    case id: \
        clip_##s(c->in[0], pt_op_in(c, 1), pt_op_in(c, 2), p, c->out[0]); \
        break;
        PT_NUM_ROWS(CASE)
    default:
        break;
    }
    return PT_OK;
}

const struct pt_op pt_op_clip = {.type = "Clip", .since = {1, 6, 11, 12, 13}, .min_in = 1, .max_in = 3, .max_out = 1, .types = {PT_TS_NUM | PT_TS_HALF},
                                 .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE | PT_OP_WIDEN, .params_size = 2 * sizeof(float), .infer = clip_infer, .run = clip_run};
