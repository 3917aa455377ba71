/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.h: what a pool's inference tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_POOL_H
#define PT_RUNTIME_OPS_POOL_H

#include "runtime/ops/window.h"

struct pt_pool_params {
    struct pt_window w;
    int64_t count_include_pad, storage_order, p;
};

#endif
