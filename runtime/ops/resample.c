/* SPDX-License-Identifier: Apache-2.0
 *
 * resample.c: see resample.h.
 */
#include "runtime/ops/resample.h"

#define PIECE 4096 /* elements that are worth a piece of their own */

struct job {
    const struct pt_taps *t;
    const void *x;
    void *y;
    int64_t inner;
};

/* Rows are the output positions of the axis, each of `inner` elements. */
#define RESAMPLE(T, s)                                                                                                                               \
    static void rows_##s(void *arg, size_t begin, size_t end)                                                                                        \
    {                                                                                                                                                \
        const struct job *j = arg;                                                                                                                   \
        const struct pt_taps *t = j->t;                                                                                                              \
        for (int64_t r = (int64_t)begin; r < (int64_t)end; r++) {                                                                                    \
            const int64_t *at = t->at + r % t->out * t->width;                                                                                       \
            const float *w = t->w + r % t->out * t->width;                                                                                           \
            const T *x = (const T *)j->x + r / t->out * t->in * j->inner;                                                                            \
            T *y = (T *)j->y + r * j->inner;                                                                                                         \
            for (int64_t i = 0; i < j->inner; i++)                                                                                                   \
                y[i] = 0;                                                                                                                            \
            for (int k = 0; k < t->width; k++) {                                                                                                     \
                const T *tap = x + at[k] * j->inner, weight = (T)w[k];                                                                               \
                for (int64_t i = 0; weight != 0 && i < j->inner; i++)                                                                                \
                    y[i] += weight * tap[i];                                                                                                         \
            }                                                                                                                                        \
        }                                                                                                                                            \
    }
RESAMPLE(float, f32)
RESAMPLE(double, f64)

/* Back, from the outer dims' point of view: what an input position gets comes from output positions of the same outer index alone. */
#define RESAMPLE_BACK(T, s)                                                                                                                          \
    static void back_##s(void *arg, size_t begin, size_t end)                                                                                        \
    {                                                                                                                                                \
        const struct job *j = arg;                                                                                                                   \
        const struct pt_taps *t = j->t;                                                                                                              \
        for (size_t o = begin; o < end; o++) {                                                                                                       \
            const T *dy = (const T *)j->x + (int64_t)o * t->out * j->inner;                                                                          \
            T *dx = (T *)j->y + (int64_t)o * t->in * j->inner;                                                                                       \
            memset(dx, 0, (size_t)(t->in * j->inner) * sizeof *dx);                                                                                  \
            for (int64_t r = 0; r < t->out * t->width; r++) {                                                                                        \
                const T *from = dy + r / t->width * j->inner, weight = (T)t->w[r];                                                                   \
                T *to = dx + t->at[r] * j->inner;                                                                                                    \
                for (int64_t i = 0; weight != 0 && i < j->inner; i++)                                                                                \
                    to[i] += weight * from[i];                                                                                                       \
            }                                                                                                                                        \
        }                                                                                                                                            \
    }
RESAMPLE_BACK(float, f32)
RESAMPLE_BACK(double, f64)

void pt_resample(const struct pt_taps *t, enum pt_dtype dtype, int64_t outer, int64_t inner, const void *x, void *y, struct pt_threads *threads)
{
    struct job j = {t, x, y, inner};
    size_t grain = (size_t)(PIECE / (inner * t->width + 1)) + 1;
    pt_parallel_for(threads, (size_t)(outer * t->out), grain, dtype == PT_FLOAT ? rows_f32 : rows_f64, &j);
}

void pt_resample_back(const struct pt_taps *t, enum pt_dtype dtype, int64_t outer, int64_t inner, const void *dy, void *dx,
                      struct pt_threads *threads)
{
    struct job j = {t, dy, dx, inner};
    size_t grain = (size_t)(PIECE / (inner * t->out * t->width + 1)) + 1;
    pt_parallel_for(threads, (size_t)outer, grain, dtype == PT_FLOAT ? back_f32 : back_f64, &j);
}

/* --- nearest: rows along the last axis, copied element by element or as a whole -------------------------------------------------------- */

struct nearest {
    const struct pt_taps *t;
    int rank;
    size_t size;
    bool whole; /* the last axis stays as it is */
    const char *x;
    char *y;
};

#define GATHER(T)                                                                                                                                    \
    for (int64_t i = 0; i < last->out; i++)                                                                                                          \
    ((T *)(void *)y)[i] = ((const T *)(const void *)x)[last->at[i]]

static void gather_row(const struct nearest *n, const struct pt_taps *last, const char *x, char *y)
{
    if (n->whole) {
        memcpy(y, x, (size_t)last->out * n->size);
        return;
    }
    switch (n->size) {
    case 1:
        GATHER(uint8_t);
        break;
    case 2:
        GATHER(uint16_t);
        break;
    case 4:
        GATHER(uint32_t);
        break;
    case 8:
        GATHER(uint64_t);
        break;
    default:
        for (int64_t i = 0; i < last->out; i++)
            memcpy(y + (size_t)i * n->size, x + (size_t)last->at[i] * n->size, n->size);
        break;
    }
}

static void nearest_rows(void *arg, size_t begin, size_t end)
{
    const struct nearest *n = arg;
    const struct pt_taps *last = &n->t[n->rank - 1];
    for (size_t r = begin; r < end; r++) {
        int64_t rest = (int64_t)r, at = 0, stride = last->in;
        for (int a = n->rank - 2; a >= 0; a--) {
            at += n->t[a].at[rest % n->t[a].out] * stride;
            rest /= n->t[a].out;
            stride *= n->t[a].in;
        }
        gather_row(n, last, n->x + (size_t)at * n->size, n->y + r * (size_t)last->out * n->size);
    }
}

void pt_resample_nearest(const struct pt_taps *t, int rank, size_t size, const void *x, void *y, struct pt_threads *threads)
{
    struct nearest n = {.t = t, .rank = rank, .size = size, .x = x, .y = y};
    size_t rows = 1;
    for (int a = 0; a < rank - 1; a++)
        rows *= (size_t)t[a].out;
    const struct pt_taps *last = &t[rank - 1];
    n.whole = last->in == last->out;
    for (int64_t i = 0; n.whole && i < last->out; i++)
        n.whole = last->at[i] == i;
    pt_parallel_for(threads, rows, (size_t)(PIECE / (last->out + 1)) + 1, nearest_rows, &n);
}
