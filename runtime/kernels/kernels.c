/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.c: which table is in use.
 */
#include "runtime/kernels/tables.h"

const struct pt_kernels *pt_kernels_of(enum pt_isa isa)
{
    switch (isa) {
    case PT_ISA_REF:
        return &pt_kernels_ref;
#if defined(__x86_64__) /* the builtins look at CPUID and at what the operating system saves */
    case PT_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &pt_kernels_avx2 : NULL;
    case PT_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl")
                   ? &pt_kernels_avx512
                   : NULL;
#endif
    default:
        return NULL;
    }
}

const struct pt_kernels *pt_kernels(void)
{
    const struct pt_kernels *k = pt_kernels_of(pt_cpu_isa());
    return k ? k : &pt_kernels_ref;
}
