/* SPDX-License-Identifier: Apache-2.0
 *
 * clip.c: Clip. The bounds are attributes before opset 11 and inputs from then on; a lower bound above the upper gives the upper.
 */
#include "runtime/ops/clip.h"
#include "runtime/ops/op.h"

#include <float.h>

static double largest(enum pt_dtype t)
{
    return t == PT_DOUBLE ? DBL_MAX : t == PT_FLOAT16 ? 65504 : t == PT_BFLOAT16 ? 0x1.fep127 : (double)FLT_MAX;
}

static int clip_infer(struct pt_op_ctx *c)
{
    struct pt_clip_params *p = c->params;
    *p = (struct pt_clip_params){-largest(c->in[0]->dtype), largest(c->in[0]->dtype)};
    if (c->node->version < 11) {
        float min, max;
        if (!(PT_TS_REAL & PT_T(c->in[0]->dtype)))
            return pt_op_fail(c, PT_EINVAL, "input is %s, must be floating point before opset 11", PT_SHAPE(c->in[0]));
        int rc = pt_attr_float(c, "min", -FLT_MAX, &min);
        if (rc == PT_OK)
            rc = pt_attr_float(c, "max", FLT_MAX, &max);
        if (rc < 0)
            return rc;
        *p = (struct pt_clip_params){(double)min, (double)max};
    }
    for (int i = 1; i < 3; i++)
        if (pt_op_in(c, i) && pt_tensor_count(pt_op_in(c, i)) != 1)
            return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be one value", i, i == 1 ? "min" : "max", PT_SHAPE(c->in[i]));
    return pt_infer_same(c);
}

/* NaN stays NaN: both comparisons are false for it. */
#define CLIP(id, T, U, s)                                                                                                                            \
    static void clip_##s(struct pt_op_ctx *c)                                                                                                        \
    {                                                                                                                                                \
        const struct pt_clip_params *p = c->params;                                                                                                  \
        const struct pt_tensor *lo = pt_op_in(c, 1), *hi = pt_op_in(c, 2);                                                                           \
        const T *a = c->in[0]->data;                                                                                                                 \
        T *b = c->out[0]->data;                                                                                                                      \
        bool real = (T)0.5 != 0, has_min = lo || real, has_max = hi || real;                                                                         \
        T min = lo ? *(const T *)lo->data : real ? (T)p->min : 0, max = hi ? *(const T *)hi->data : real ? (T)p->max : 0;                            \
        int64_t n = pt_tensor_count(c->in[0]);                                                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                                                                            \
            T v = a[i];                                                                                                                              \
            if (has_min && v < min)                                                                                                                  \
                v = min;                                                                                                                             \
            if (has_max && v > max)                                                                                                                  \
                v = max;                                                                                                                             \
            b[i] = v;                                                                                                                                \
        }                                                                                                                                            \
    }
PT_NUM_ROWS(CLIP)

static int clip_run(struct pt_op_ctx *c)
{
    switch (c->in[0]->dtype) {
#define CASE(id, T, U, s)                                                                                                                            \
    case id:                                                                                                                                         \
        clip_##s(c);                                                                                                                                 \
        break;
        PT_NUM_ROWS(CASE)
    default:
        break;
    }
    return PT_OK;
}

const struct pt_op pt_op_clip = {.type = "Clip",
                                 .since = {1, 6, 11, 12, 13},
                                 .min_in = 1,
                                 .max_in = 3,
                                 .max_out = 1,
                                 .types = {PT_TS_NUM | PT_TS_HALF},
                                 .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE | PT_OP_WIDEN,
                                 .params_size = sizeof(struct pt_clip_params),
                                 .infer = clip_infer,
                                 .run = clip_run};
