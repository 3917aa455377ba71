/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_wide.c: the 16-wide table compiled for AVX2, so that its logic is tested on machines without AVX-512.
 */
#define PT_VW 16
#define PT_MR 12
#define PT_TABLE pt_kernels_wide
#define PT_TABLE_ISA PT_ISA_AVX512
#define PT_TABLE_NAME "16-wide on AVX2"
#include "runtime/kernels/simd/table.inc"
