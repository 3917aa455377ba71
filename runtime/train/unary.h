/* SPDX-License-Identifier: Apache-2.0
 *
 * unary.h: what the inference of a function's derivative tells the compiler: the attributes of the function.
 */
#ifndef PT_RUNTIME_TRAIN_UNARY_H
#define PT_RUNTIME_TRAIN_UNARY_H

struct pt_unary_grad {
    float a, b;
};

#endif
