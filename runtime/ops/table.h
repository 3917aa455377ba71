/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h: the operators Pintle has, one entry each; the row stands in the operator's own file.
 */
#ifndef PT_RUNTIME_OPS_TABLE_H
#define PT_RUNTIME_OPS_TABLE_H

#include "runtime/ops/op.h"

/* clang-format off */
#define PT_OPS(X) \
    X(abs) X(acos) X(acosh) X(add) X(and) X(arg_max) X(arg_min) X(asin) X(asinh) X(atan) X(atanh) X(average_pool) X(batch_normalization) \
    X(bit_shift) X(bitwise_and) X(bitwise_not) X(bitwise_or) X(bitwise_xor) X(cast) X(cast_like) X(ceil) X(celu) X(clip) X(concat) \
    X(constant) X(constant_of_shape) X(conv) X(cos) X(cosh) X(cumsum) X(depth_to_space) X(div) X(dropout) X(elu) X(equal) X(erf) X(exp) \
    X(expand) X(eye_like) X(flatten) X(floor) X(gather) X(gather_elements) X(gather_nd) X(gelu) X(gemm) X(global_average_pool) \
    X(global_lp_pool) X(global_max_pool) X(greater) X(greater_or_equal) X(group_normalization) X(hard_sigmoid) X(hard_swish) X(hardmax) \
    X(identity) X(instance_normalization) X(isinf) X(isnan) X(layer_normalization) X(leaky_relu) X(less) X(less_or_equal) X(log) \
    X(log_softmax) X(lp_pool) X(lrn) X(matmul) X(max) X(max_pool) X(mean) X(min) X(mish) X(mod) X(mul) X(neg) X(not) X(one_hot) X(or) X(pad) \
    X(pow) X(prelu) X(range) X(reciprocal) X(reduce_l1) X(reduce_l2) X(reduce_log_sum) X(reduce_log_sum_exp) X(reduce_max) X(reduce_mean) \
    X(reduce_min) X(reduce_prod) X(reduce_sum) X(reduce_sum_square) X(relu) X(reshape) X(rms_normalization) X(round) X(selu) X(shape) \
    X(shrink) X(sigmoid) X(sign) X(sin) X(sinh) X(size) X(slice) X(softmax) X(softplus) X(softsign) X(space_to_depth) X(split) X(sqrt) \
    X(squeeze) X(sub) X(sum) X(swish) X(tan) X(tanh) X(thresholded_relu) X(tile) X(transpose) X(trilu) X(unsqueeze) X(where) X(xor)
/* clang-format on */

#define PT_X(name) extern const struct pt_op pt_op_##name;
PT_OPS(PT_X)
#undef PT_X

#endif
