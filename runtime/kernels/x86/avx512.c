/* SPDX-License-Identifier: Apache-2.0
 *
 * avx512.c: the templates of simd/ as the table for AVX-512 (F, BW, DQ, VL). 12 x 32 tiles: 24 accumulators, 2 vectors of B in 32 registers.
 */
#define PT_VW 16
#define PT_MR 12
#define PT_TABLE pt_kernels_avx512
#define PT_TABLE_ISA PT_ISA_AVX512
#define PT_TABLE_NAME "avx512"
#include "runtime/kernels/simd/table.inc"
