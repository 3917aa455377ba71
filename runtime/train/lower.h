/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.h: how the operators of gradients become steps on float32, as compile/lower.h has it: images in channels-last layout, through the kernels.
 *
 * Sums that threads share - derivatives of weights, statistics of a batch - are cut into a number of slices that depends on the shapes alone and
 * added up in their order, so that a training gives the same bits whatever the number of threads.
 */
#ifndef PT_RUNTIME_TRAIN_LOWER_H
#define PT_RUNTIME_TRAIN_LOWER_H

#include "runtime/compile/lower.h"
#include "runtime/train/ops.h"

/* lower_conv.c */
int pt_lower_conv_image_grad(struct pt_lower *l);
int pt_lower_conv_weights_grad(struct pt_lower *l);
/* lower_pool.c */
int pt_lower_max_pool_grad(struct pt_lower *l);
int pt_lower_average_pool_grad(struct pt_lower *l);
int pt_lower_spread(struct pt_lower *l);
int pt_lower_part(struct pt_lower *l);
/* lower_norm.c */
int pt_lower_batchnorm_training(struct pt_lower *l);
int pt_lower_batchnorm_grad(struct pt_lower *l);
int pt_lower_channels_grad(struct pt_lower *l);
int pt_lower_layernorm_grad(struct pt_lower *l);
int pt_lower_softmax_grad(struct pt_lower *l);
/* lower_product.c */
int pt_lower_product_grad(struct pt_lower *l);
/* lower_unary.c */
int pt_lower_unary_grad(struct pt_lower *l);

/* --- slices ------------------------------------------------------------------------------------------------------------------------------ */
#define PT_GRAD_SLICES 16

/* Of n things, where slice i of count begins. */
static inline size_t pt_slice_begin(size_t n, size_t count, size_t i)
{
    return n * i / count;
}

#endif
