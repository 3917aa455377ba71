/* SPDX-License-Identifier: Apache-2.0
 *
 * unary.h: what the inference of elementwise operators of one input tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_UNARY_H
#define PT_RUNTIME_OPS_UNARY_H

#include <stdint.h>

struct pt_unary_params {
    void (*fn)(const void *x, void *y, int64_t n, const float *p); /* the reference loop of the type */
    float p[2];                                                    /* the operator's attributes */
};

#endif
