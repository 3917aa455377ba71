/* SPDX-License-Identifier: Apache-2.0
 *
 * permute.c: axes of a dense tensor in another order. Axes that stay neighbours are merged and those of size 1 dropped first; what
 * remains is a copy, planes to transpose, runs to copy (last axis stays), or a strided gather.
 */
#include <string.h>

#include "runtime/exec/threads.h"
#include "runtime/kernels/kernels.h"

#define MAX_RANK 16

/* y's axes: sizes, and x's stride along each in elements. */
struct permutation {
    int rank;
    size_t dims[MAX_RANK], strides[MAX_RANK];
    size_t elem_bytes;
    const char *x;
    char *y;
    bool planes; /* the last two axes of y are a transposed 4-byte matrix of x */
};

static void simplify(struct permutation *p, int rank, const int64_t *dims, const int *perm)
{
    size_t strides[MAX_RANK], stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= (size_t)dims[i];
    }
    for (int i = 0; i < rank; i++) {
        size_t d = (size_t)dims[perm[i]], s = strides[perm[i]];
        if (d == 1)
            continue;
        if (p->rank && p->strides[p->rank - 1] == s * d) {
            p->dims[p->rank - 1] *= d;
            p->strides[p->rank - 1] = s;
        } else {
            p->dims[p->rank] = d;
            p->strides[p->rank++] = s;
        }
    }
    if (!p->rank) {
        p->dims[0] = p->strides[0] = 1;
        p->rank = 1;
    }
    p->planes = p->rank > 1 && p->elem_bytes == 4 && p->strides[p->rank - 2] == 1;
}

/* Offset in x of the index'th element of y's leading `axes` axes. */
static size_t offset_of(const struct permutation *p, int axes, size_t index)
{
    size_t offset = 0;
    for (int i = axes - 1; i >= 0; i--) {
        offset += index % p->dims[i] * p->strides[i];
        index /= p->dims[i];
    }
    return offset;
}
static void copy_strided(char *y, const char *x, size_t n, size_t stride, size_t elem_bytes)
{
    if (stride == 1) {
        memcpy(y, x, n * elem_bytes);
        return;
    }
    switch (elem_bytes) {
#define COPY(type) \
    case sizeof(type): \
        for (size_t i = 0; i < n; i++) \
            memcpy(y + i * sizeof(type), x + i * stride * sizeof(type), sizeof(type)); \
        break;
        COPY(uint8_t) COPY(uint16_t) COPY(uint32_t) COPY(uint64_t)
#undef COPY
    }
}
static void permute_rows(void *arg, size_t begin, size_t end)
{
    const struct permutation *p = arg;
    const int last = p->rank - 1;
    for (size_t i = begin; i < end; i++)
        copy_strided(p->y + i * p->dims[last] * p->elem_bytes, p->x + offset_of(p, last, i) * p->elem_bytes, p->dims[last], p->strides[last], p->elem_bytes);
}
static void permute_planes(void *arg, size_t begin, size_t end)
{
    const struct permutation *p = arg;
    const size_t rows = p->dims[p->rank - 1], cols = p->dims[p->rank - 2];
    const struct pt_kernels *k = pt_kernels();
    for (size_t i = begin; i < end; i++)
        k->transpose(rows, cols, (const float *)(const void *)p->x + offset_of(p, p->rank - 2, i), p->strides[p->rank - 1],
                     (float *)(void *)p->y + i * rows * cols, rows);
}

void pt_permute(const void *x, void *y, size_t elem_bytes, int rank, const int64_t *dims, const int *perm, struct pt_threads *threads)
{
    struct permutation p = {.elem_bytes = elem_bytes, .x = x, .y = y};
    size_t outer = 1;
    for (int i = 0; i < rank; i++)
        if (!dims[i])
            return;
    simplify(&p, rank, dims, perm);
    const int inner_axes = p.planes ? 2 : 1;
    for (int i = 0; i < p.rank - inner_axes; i++)
        outer *= p.dims[i];
    size_t work = p.dims[p.rank - 1] * (p.planes ? p.dims[p.rank - 2] : 1);
    pt_parallel_for(threads, outer, 1 + 65536 / work, p.planes ? permute_planes : permute_rows, &p);
}
