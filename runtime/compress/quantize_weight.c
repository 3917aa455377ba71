/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_weight.c: weights as integers. The range of each grid is the least and the greatest of its weights, rounded half to even; so a weight is
 * off by half a scale at most, and zero stays zero.
 */
#include "runtime/compress/quantize_plan.h"

#include <math.h>

/* Elements as (outer, n, inner) around the axis; which grid each has. */
struct layout {
    int64_t n, inner, block, blocks, count;
    int axis;
};

static size_t grid_of(const struct layout *l, int64_t i)
{
    if (l->axis < 0)
        return 0;
    int64_t k = i / l->inner % l->n;
    return (size_t)(l->block ? (i / l->inner / l->n * l->blocks + k / l->block) * l->inner + i % l->inner : k);
}

static size_t lay(const struct pt_tensor *t, int axis, int64_t block, struct layout *l)
{
    *l = (struct layout){.axis = axis, .block = block, .count = pt_tensor_count(t), .n = 1, .inner = 1};
    if (axis < 0)
        return 1;
    l->n = t->dims[axis];
    l->inner = pt_dims_product(t->dims + axis + 1, t->rank - axis - 1);
    l->blocks = block ? (l->n + block - 1) / block : 1;
    return (size_t)(block ? l->count / (l->n ? l->n : 1) * l->blocks : l->n);
}

/* The same grid with a larger scale. */
static void coarsen(struct pt_grid *g, float scale, float low, bool symmetric)
{
    if (!(scale > g->scale) && !(scale > 0 && g->scale == 1 && low == 0))
        return;
    g->scale = scale;
    if (!symmetric)
        g->zero = (int32_t)fmin(fmax(nearbyint((double)g->low - (double)low / (double)scale), g->low), g->high);
}

static void quantise(const struct pt_tensor *t, const struct layout *l, struct pt_grid grid, struct pt_qz_array *out)
{
    const float *x = t->data;
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < l->count; i++) {
        size_t g = grid_of(l, i);
        grid.scale = out->scale[g];
        grid.zero = out->zero[g];
        int32_t q = pt_grid_integer(&grid, x[i]);
        double off = (double)x[i] - (double)pt_grid_real(&grid, q);
        signal += (double)x[i] * (double)x[i];
        noise += off * off;
        out->q[i] = (int8_t)(uint8_t)q;
    }
    out->sqnr = noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

int pt_qz_array_make(const struct pt_tensor *t, int axis, int64_t block, enum pt_dtype dtype, int bits, bool symmetric, const float *floor,
                     struct pt_qz_array *out, struct pt_err *err)
{
    struct layout l;
    size_t grids = lay(t, axis, block, &l);
    *out = (struct pt_qz_array){.grids = grids};
    out->q = pt_calloc((size_t)l.count + 1, 1);
    out->scale = pt_calloc(grids + 1, sizeof *out->scale);
    out->zero = pt_calloc(grids + 1, sizeof *out->zero);
    pt_auto_free struct pt_range *ranges = pt_calloc(grids + 1, sizeof *ranges);
    if (!out->q || !out->scale || !out->zero || !ranges) {
        pt_qz_array_finish(out);
        return pt_fail(err, PT_ENOMEM, "out of memory quantising weights");
    }
    const float *x = t->data;
    for (int64_t i = 0; i < l.count; i++) {
        struct pt_range *r = &ranges[grid_of(&l, i)];
        r->low = fminf(r->low, x[i]);
        r->high = fmaxf(r->high, x[i]);
    }
    struct pt_grid grid = {0};
    for (size_t g = 0; g < grids; g++) {
        bool nothing = ranges[g].low == 0 && ranges[g].high == 0;
        grid = pt_grid_make(ranges[g], bits, dtype == PT_INT8 || dtype == PT_INT4, symmetric);
        if (floor && (nothing ? floor[g] > 0 : floor[g] > grid.scale))
            coarsen(&grid, floor[g], ranges[g].low, symmetric);
        out->scale[g] = grid.scale;
        out->zero[g] = grid.zero;
    }
    quantise(t, &l, grid, out);
    return PT_OK;
}

void pt_qz_array_finish(struct pt_qz_array *a)
{
    pt_free(a->q);
    pt_free(a->scale);
    pt_free(a->zero);
    *a = (struct pt_qz_array){0};
}
