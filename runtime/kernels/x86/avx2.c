/* SPDX-License-Identifier: Apache-2.0
 *
 * avx2.c: the templates of simd/ as the table for AVX2 and FMA. 6 x 16 tiles: 12 accumulators, 2 vectors of B, 1 broadcast in 16 registers.
 */
#define PT_VW 8
#define PT_MR 6
#define PT_TABLE pt_kernels_avx2
#define PT_TABLE_ISA PT_ISA_AVX2
#define PT_TABLE_NAME "avx2"
#include "runtime/kernels/simd/table.inc"
