/* SPDX-License-Identifier: Apache-2.0
 *
 * tables.h: the tables this build has, and the one list of their members. A file that defines static functions of the members' names
 * makes its table from PT_KERNEL_ROW.
 */
#ifndef PT_KERNELS_TABLES_H
#define PT_KERNELS_TABLES_H

#include "runtime/kernels/kernels.h"

extern const struct pt_kernels pt_kernels_ref, pt_kernels_avx2, pt_kernels_avx512;

#define PT_ROW_UNARY(id, name) [id] = unary_##name,
#define PT_ROW_BINARY(id, name) [id] = binary_##name,
#define PT_KERNEL_ROW(isa_, name_)                                                                                                                   \
    .isa = isa_, .name = name_, .gemm_pack_size = gemm_pack_size, .gemm_pack = gemm_pack, .gemm_workspace = gemm_workspace, .gemm = gemm,            \
    .conv_pack_form = conv_pack_form, .conv_pack_size = conv_pack_size, .conv_pack = conv_pack, .conv_workspace = conv_workspace, .conv = conv,      \
    .pool = pool, .global_average = global_average, .unary = {PT_UNARY_KERNELS(PT_ROW_UNARY)}, .binary = {PT_BINARY_KERNELS(PT_ROW_BINARY)},         \
    .softmax = softmax, .layernorm = layernorm, .attend_workspace = attend_workspace, .attend = attend, .int_pack_size = int_pack_size,              \
    .int_pack = int_pack, .int_conv = int_conv, .int_depthwise_pack_size = int_depthwise_pack_size, .int_depthwise_pack = int_depthwise_pack,        \
    .int_depthwise = int_depthwise, .requantise = requantise, .int_floats = int_floats, .quantise = quantise, .dequantise = dequantise,              \
    .widen = widen, .int_combine = int_combine, .range = range, .transpose = transpose

#endif
