/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_kernels: GFLOP/s of matrix products and convolutions with the shapes of ResNet-18, MobileNetV2 and MiniLM, beside the FMA peak measured
 * in the same run. Prints, never judges: machines differ and are shared. Best of several rounds.
 *
 *     bench_kernels [--isa ref|avx2|avx512] [--threads N] [--seconds S per row]
 */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "pintle/runtime.h"
#include "runtime/kernels/kernels.h"

static const struct pt_kernels *kernels;
static struct pt_threads *threads;
static int thread_count = 1;
static double row_seconds = 0.2, peak;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- the peak: independent chains of FMA in registers ------------------------------------------------------------------------------ */

#define CHAINS 12
__attribute__((target("avx2,fma"))) static double peak_avx2(void)
{
    double best = 0;
    for (int round = 0; round < 20; round++) {
        __m256 acc[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm256_set1_ps((float)i);
        double t = now();
        for (int n = 0; n < 200000; n++)
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; i++)
                acc[i] = _mm256_fmadd_ps(acc[i], x, y);
        t = now() - t;
        volatile float sink = 0;
        for (int i = 0; i < CHAINS; i++)
            sink = sink + acc[i][0];
        double gflops = 200000.0 * CHAINS * 16 / t * 1e-9;
        best = gflops > best ? gflops : best;
    }
    return best;
}
__attribute__((target("avx512f"))) static double peak_avx512(void)
{
    double best = 0;
    for (int round = 0; round < 20; round++) {
        __m512 acc[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm512_set1_ps((float)i);
        double t = now();
        for (int n = 0; n < 200000; n++)
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; i++)
                acc[i] = _mm512_fmadd_ps(acc[i], x, y);
        t = now() - t;
        volatile float sink = 0;
        for (int i = 0; i < CHAINS; i++)
            sink = sink + acc[i][0];
        double gflops = 200000.0 * CHAINS * 32 / t * 1e-9;
        best = gflops > best ? gflops : best;
    }
    return best;
}

/* --- rows --------------------------------------------------------------------------------------------------------------------------- */

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "error: out of memory\n");
        exit(1);
    }
    return p;
}
static void *memory(size_t bytes)
{
    return memset(must(pt_alloc_aligned(bytes + 64)), 0, bytes); /* touched, so that no row pays for page faults */
}
static float *numbers(size_t n)
{
    float *p = memory(n * sizeof *p);
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(int32_t)(state = state * 1664525u + 1013904223u) / 2147483648.0f;
    return p;
}
/* Best seconds per call. */
static double measure(void (*call)(const void *), const void *arg)
{
    double best = 1e9, end = now() + row_seconds;
    call(arg);
    for (int i = 0; i < 3 || now() < end; i++) {
        double t = now();
        call(arg);
        t = now() - t;
        best = t < best ? t : best;
    }
    return best;
}
static void report(const char *what, double flop, double seconds)
{
    printf("%-44s %9.3f ms %8.1f GFLOP/s %5.0f %%\n", what, seconds * 1e3, flop / seconds * 1e-9, flop / seconds * 1e-7 / (peak * thread_count));
}

struct gemm_call {
    struct pt_gemm g;
    void *ws;
};
static void call_gemm(const void *arg)
{
    const struct gemm_call *c = arg;
    kernels->gemm(&c->g, c->ws, threads);
}
static void bench_gemm(size_t m, size_t k, size_t n, bool pack, enum pt_act act)
{
    float *a = numbers(m * k), *b = numbers(k * n), *c = numbers(m * n), *packed = memory(kernels->gemm_pack_size(k, n));
    struct gemm_call call = {.g = {.m = m, .n = n, .k = k, .a = a, .lda = k, .b = b, .ldb = n, .c = c, .ldc = n, .alpha = 1, .ep = {.act = act}}};
    char what[80];
    kernels->gemm_pack(k, n, b, n, false, packed);
    if (pack)
        call.g.packed_b = packed;
    call.ws = memory(kernels->gemm_workspace(&call.g, thread_count));
    snprintf(what, sizeof what, "gemm %zux%zux%zu %s%s", m, k, n, pack ? "packed" : "as it is", act == PT_ACT_GELU ? " gelu" : "");
    report(what, 2.0 * (double)m * (double)n * (double)k, measure(call_gemm, &call));
    pt_free(a), pt_free(b), pt_free(c), pt_free(packed), pt_free(call.ws);
}

struct conv_call {
    struct pt_conv s;
    struct pt_epilogue ep;
    float *x, *y, *packed;
    void *ws;
};
static void call_conv(const void *arg)
{
    const struct conv_call *c = arg;
    kernels->conv(&c->s, c->x, c->packed, &c->ep, c->y, c->ws, threads);
}
static double bench_conv(size_t size, size_t in_c, size_t out_c, size_t kernel, size_t stride, size_t groups, bool exact)
{
    const size_t pad = kernel / 2, out = (size + 2 * pad - kernel) / stride + 1;
    struct conv_call c = {.s = {.batch = 1, .in_h = size, .in_w = size, .in_c = in_c, .out_h = out, .out_w = out, .out_c = out_c, .kernel_h = kernel,
                                .kernel_w = kernel, .stride_h = stride, .stride_w = stride, .dilation_h = 1, .dilation_w = 1, .pad_top = pad, .pad_left = pad,
                                .groups = groups, .x_ld = in_c, .y_ld = out_c, .exact = exact}};
    float *w = numbers(out_c * (in_c / groups) * kernel * kernel), *bias = numbers(out_c);
    char what[80];
    c.x = numbers(size * size * in_c);
    c.y = numbers(out * out * out_c);
    c.packed = memory(kernels->conv_pack_size(&c.s));
    c.ws = memory(kernels->conv_workspace(&c.s, thread_count));
    c.ep = (struct pt_epilogue){.bias = bias, .act = PT_ACT_RELU};
    kernels->conv_pack(&c.s, w, c.packed);
    double seconds = measure(call_conv, &c);
    snprintf(what, sizeof what, "conv %zux%zu %zu -> %zu k%zu s%zu%s%s", size, size, in_c, out_c, kernel, stride, groups > 1 ? " depthwise" : "", exact ? " exact" : "");
    report(what, 2.0 * (double)(out * out * out_c) * (double)(in_c / groups * kernel * kernel), seconds);
    pt_free(w), pt_free(bias), pt_free(c.x), pt_free(c.y), pt_free(c.packed), pt_free(c.ws);
    return seconds;
}

static void bench_resnet18(bool exact)
{
    static const struct {
        size_t size, in_c, out_c, kernel, stride, times;
    } rows[] = {{224, 3, 64, 7, 2, 1}, {56, 64, 64, 3, 1, 4}, {56, 64, 128, 3, 2, 1}, {56, 64, 128, 1, 2, 1}, {28, 128, 128, 3, 1, 3}, {28, 128, 256, 3, 2, 1},
                {28, 128, 256, 1, 2, 1}, {14, 256, 256, 3, 1, 3}, {14, 256, 512, 3, 2, 1}, {14, 256, 512, 1, 2, 1}, {7, 512, 512, 3, 1, 3}};
    double total = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        total += (double)rows[i].times * bench_conv(rows[i].size, rows[i].in_c, rows[i].out_c, rows[i].kernel, rows[i].stride, 1, exact);
    report(exact ? "all convolutions of ResNet-18, exact" : "all convolutions of ResNet-18", 3.627e9, total);
}

int main(int argc, char **argv)
{
    kernels = pt_kernels();
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--isa"))
            kernels = pt_isa_parse(argv[i + 1]) < 0 ? NULL : pt_kernels_of((enum pt_isa)pt_isa_parse(argv[i + 1]));
        else if (!strcmp(argv[i], "--threads"))
            thread_count = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seconds"))
            row_seconds = atof(argv[i + 1]);
    }
    struct pt_err err;
    if (!kernels) {
        fprintf(stderr, "error: this CPU or build has no such instruction set\n");
        return 1;
    }
    if (pt_threads_create(thread_count, &threads, &err) < 0) {
        fprintf(stderr, "error: %s\n", err.msg);
        return 1;
    }
    thread_count = pt_threads_count(threads);
    peak = kernels->isa == PT_ISA_AVX512 ? peak_avx512() : pt_kernels_of(PT_ISA_AVX2) ? peak_avx2() : 0;
    printf("%s, %s, %d thread(s), FMA peak of one core measured now: %.1f GFLOP/s; %% is of that peak\n", pt_cpu_name(), kernels->name, thread_count, peak);
    bench_gemm(256, 256, 256, true, PT_ACT_NONE);
    bench_gemm(512, 512, 512, true, PT_ACT_NONE);
    bench_gemm(1024, 1024, 1024, true, PT_ACT_NONE);
    bench_gemm(128, 384, 384, true, PT_ACT_NONE);
    bench_gemm(128, 384, 1536, true, PT_ACT_NONE);
    bench_gemm(128, 384, 1536, true, PT_ACT_GELU);
    bench_gemm(128, 1536, 384, true, PT_ACT_NONE);
    bench_gemm(128, 768, 768, true, PT_ACT_NONE);
    bench_gemm(128, 3072, 768, true, PT_ACT_NONE);
    bench_gemm(512, 512, 512, false, PT_ACT_NONE);
    bench_gemm(1, 512, 1000, true, PT_ACT_NONE);
    bench_gemm(1, 4096, 4096, true, PT_ACT_NONE);
    bench_resnet18(true);
    bench_resnet18(false);
    bench_conv(112, 32, 32, 3, 1, 32, false);
    bench_conv(112, 96, 96, 3, 2, 96, false);
    bench_conv(14, 384, 384, 3, 1, 384, false);
    bench_conv(56, 24, 144, 1, 1, 1, false);
    bench_conv(14, 576, 96, 1, 1, 1, false);
    pt_threads_destroy(threads);
    return 0;
}
