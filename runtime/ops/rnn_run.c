/* SPDX-License-Identifier: Apache-2.0
 *
 * rnn_run.c: the steps of the recurrent operators, in float32 and float64 (rnn_run.inc), and their memory.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/rnn.h"

#include <math.h>

#define PACK_ROWS 4 /* rows of input that are worth packing the weights */

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

static bool packs(const struct pt_rnn *p, enum pt_dtype dtype)
{
    return dtype == PT_FLOAT && p->length * p->batch >= PACK_ROWS;
}

/* The scratch memory of one direction. */
struct areas {
    size_t xw, gates, h, cell, work, packed_w, packed_r, packed_r2, end;
};

static struct areas place(const struct pt_rnn *p, enum pt_dtype dtype)
{
    struct areas a = {0};
    size_t size = pt_dtype_size(dtype), row = (size_t)(p->gates * p->hidden), state = (size_t)(p->batch * p->hidden) * size;
    bool pack = packs(p, dtype), gru = p->kind == PT_RNN_GRU;
    const struct pt_kernels *k = pt_kernels();
    a.gates = a.xw + round_up((size_t)(p->length * p->batch) * row * size);
    a.h = a.gates + round_up((size_t)p->batch * row * size);
    a.cell = a.h + round_up(state);
    a.work = a.cell + round_up(state);
    a.packed_w = a.work + round_up(state);
    a.packed_r = a.packed_w + (pack ? k->gemm_pack_size((size_t)p->input, row) : 0);
    a.packed_r2 = a.packed_r + (pack ? k->gemm_pack_size((size_t)p->hidden, gru ? row / 3 * 2 : row) : 0);
    a.end = a.packed_r2 + (pack && gru ? k->gemm_pack_size((size_t)p->hidden, row / 3) : 0);
    return a;
}

size_t pt_rnn_scratch(const struct pt_rnn *p, enum pt_dtype dtype)
{
    size_t n;
    int64_t rows, widest = p->input > p->hidden ? p->input : p->hidden;
    if (widest > (1LL << 40) || __builtin_mul_overflow(p->length, p->batch, &rows) || __builtin_add_overflow(rows, widest + p->batch, &rows) ||
        __builtin_mul_overflow((size_t)rows, (size_t)(p->gates * p->hidden) * 64, &n) || n > SIZE_MAX / 64)
        return SIZE_MAX;
    return place(p, dtype).end * (size_t)p->directions;
}

#define REAL float
#define NAME(x) x##_f32
#define REAL_IS_FLOAT 1
#include "runtime/ops/rnn_run.inc"
#undef REAL
#undef NAME
#undef REAL_IS_FLOAT

#define REAL double
#define NAME(x) x##_f64
#define REAL_IS_FLOAT 0
#include "runtime/ops/rnn_run.inc"

int pt_rnn_run(struct pt_op_ctx *c)
{
    const struct pt_rnn *p = c->params;
    const struct pt_tensor *lengths = pt_op_in(c, PT_RNN_LENGTHS);
    for (int64_t b = 0; lengths && b < p->batch; b++) {
        int32_t n = ((const int32_t *)lengths->data)[b];
        if (n < 0 || n > p->length)
            return pt_op_fail(c, PT_EINVAL, "sequence %lld has the length %d, the input %lld steps", (long long)b, n, (long long)p->length);
    }
    pt_parallel_for(c->threads, (size_t)p->directions, 1, c->in[PT_RNN_X]->dtype == PT_FLOAT ? direction_f32 : direction_f64, c);
    return PT_OK;
}
