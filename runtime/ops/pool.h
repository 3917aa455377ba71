/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.h: what a pool's inference tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_POOL_H
#define PT_RUNTIME_OPS_POOL_H

#include "runtime/ops/window.h"

struct pt_pool_params {
    struct pt_window w;
    int64_t count_include_pad, storage_order;
    float p; /* LpPool */
};

/* Reads the attributes, fills p for pooling x, and sets outputs 0 and 1. */
int pt_pool_plan(struct pt_op_ctx *c, struct pt_pool_params *p, const struct pt_tensor *x);

#endif
