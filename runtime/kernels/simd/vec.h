/* SPDX-License-Identifier: Apache-2.0
 *
 * vec.h: vectors of PT_VW floats in GCC's vector extensions, so that one template serves every width: 8 on AVX2, 16 on AVX-512, and any
 * width the CPU lacks is lowered by the compiler, which is how tests run the 16-wide kernels on a machine without AVX-512. Products
 * and sums written a * b + c become FMA (the files are compiled with -ffp-contract=fast).
 *
 * Included once per table, after PT_VW is defined; everything is static.
 */
#ifndef PT_KERNELS_SIMD_VEC_H
#define PT_KERNELS_SIMD_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define VINLINE static inline __attribute__((always_inline, unused))

typedef float vf __attribute__((vector_size(PT_VW * 4)));
typedef int32_t vi __attribute__((vector_size(PT_VW * 4)));
typedef uint32_t vu __attribute__((vector_size(PT_VW * 4)));
typedef float vf_mem __attribute__((vector_size(PT_VW * 4), aligned(4), may_alias));

VINLINE vf v_set(float x)
{
    return x - (vf){0};
}
VINLINE vf v_load(const float *p)
{
    return *(const vf_mem *)p;
}
VINLINE void v_store(float *p, vf v)
{
    *(vf_mem *)p = v;
}
VINLINE vi v_bits(vf v)
{
    return (vi)v;
}
VINLINE vf v_from_bits(vi v)
{
    return (vf)v;
}
/* lane mask (all ones or zero) ? a : b */
VINLINE vf v_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* all ones in the first n lanes */
VINLINE vi v_first(size_t n)
{
    static const int32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vi lane;
    memcpy(&lane, lanes, sizeof lane);
    return lane < (int32_t)n;
}

/* The first n < PT_VW lanes; the others read as 0 and are not written. No byte outside them is touched. */
VINLINE vf v_load_n(const float *p, size_t n)
{
#if PT_VW == 16 && defined(__AVX512F__)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#elif PT_VW == 8 && defined(__AVX2__)
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vf)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
#else
    float t[PT_VW] = {0};
    memcpy(t, p, n * sizeof *t);
    return v_load(t);
#endif
}
VINLINE void v_store_n(float *p, vf v, size_t n)
{
#if PT_VW == 16 && defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
#elif PT_VW == 8 && defined(__AVX2__)
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane), (__m256)v);
#else
    float t[PT_VW];
    v_store(t, v);
    memcpy(p, t, n * sizeof *t);
#endif
}

/* min(left, PT_VW) lanes */
VINLINE vf v_load_upto(const float *p, size_t left)
{
    return left >= PT_VW ? v_load(p) : v_load_n(p, left);
}
VINLINE void v_store_upto(float *p, vf v, size_t left)
{
    if (left >= PT_VW)
        v_store(p, v);
    else
        v_store_n(p, v, left);
}

/* v with `fill` in the lanes from left on */
VINLINE vf v_keep(vf v, size_t left, float fill)
{
    return left >= PT_VW ? v : v_select(v_first(left), v, v_set(fill));
}

/* max and min: if either operand is NaN the result is b. */
VINLINE vf v_max(vf a, vf b)
{
#if PT_VW == 16 && defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif PT_VW == 8 && defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return v_select(a > b, a, b);
#endif
}
VINLINE vf v_min(vf a, vf b)
{
#if PT_VW == 16 && defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif PT_VW == 8 && defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return v_select(a < b, a, b);
#endif
}
VINLINE vf v_sqrt(vf a)
{
#if PT_VW == 16 && defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif PT_VW == 8 && defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)a);
#else
    vf r;
    for (int i = 0; i < PT_VW; i++)
        r[i] = __builtin_sqrtf(a[i]);
    return r;
#endif
}

VINLINE float v_sum(vf v)
{
    float t[PT_VW];
    v_store(t, v);
    for (int w = PT_VW / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++)
            t[i] += t[i + w];
    return t[0];
}

#endif
