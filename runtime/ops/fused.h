/* SPDX-License-Identifier: Apache-2.0
 *
 * fused.h: the activation that the compiler may put at the end of Conv, Gemm and MatMul, as the reference computes it.
 */
#ifndef PT_RUNTIME_OPS_FUSED_H
#define PT_RUNTIME_OPS_FUSED_H

#include "runtime/graph/graph.h"

#include <math.h>

static inline double pt_fused_act(const struct pt_fusion *f, double v)
{
    switch (f->act) {
    case PT_ACT_RELU:
        return v < 0 ? 0 : v;
    case PT_ACT_CLIP:
        v = v < (double)f->lo ? (double)f->lo : v;
        return v > (double)f->hi ? (double)f->hi : v;
    case PT_ACT_GELU:
        return 0.5 * v * (1 + erf(v * 0.70710678118654752));
    default:
        return v;
    }
}

#endif
