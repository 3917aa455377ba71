/* SPDX-License-Identifier: Apache-2.0
 *
 * roi.c: pooling of regions: RoiAlign (interpolated samples in the bins of a region) and MaxRoiPool (the pixels of the bins).
 */
#include "runtime/ops/types.h"

#include <math.h>

#define MAX_SAMPLES 4096 /* along one side of a bin */

struct roi {
    int64_t out_h, out_w, sampling;
    float scale;
    int max_mode;
    bool shifted; /* by half a pixel */
};

static int check(struct pt_op_ctx *c, int columns)
{
    const struct pt_tensor *x = c->in[0], *r = c->in[1];
    if (x->rank == 4 && r->rank == 2 && r->dims[1] == columns && r->dtype == x->dtype)
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "input %s must have rank 4 and the regions %s be [number,%d] of its type", PT_SHAPE(x), PT_SHAPE(r), columns);
}

/* --- RoiAlign ------------------------------------------------------------------------------------------------------------------------------ */

static int align_infer(struct pt_op_ctx *c)
{
    static const char *const modes[] = {"avg", "max", NULL}, *const transforms[] = {"half_pixel", "output_half_pixel", NULL};
    struct roi *p = c->params;
    const struct pt_tensor *x = c->in[0], *r = c->in[1], *b = c->in[2];
    int transform, rc;
    if ((rc = pt_attr_int(c, "output_height", 1, 1, INT32_MAX, &p->out_h)) < 0 ||
        (rc = pt_attr_int(c, "output_width", 1, 1, INT32_MAX, &p->out_w)) < 0 ||
        (rc = pt_attr_int(c, "sampling_ratio", 0, 0, MAX_SAMPLES, &p->sampling)) < 0 || (rc = pt_attr_float(c, "spatial_scale", 1, &p->scale)) < 0 ||
        (rc = pt_attr_choice(c, "mode", modes, 0, &p->max_mode)) < 0 ||
        (rc = pt_attr_choice(c, "coordinate_transformation_mode", transforms, c->node->version < 16, &transform)) < 0 || (rc = check(c, 4)) < 0)
        return rc;
    p->shifted = transform == 0;
    if (b->rank != 1 || b->dims[0] != r->dims[0])
        return pt_op_fail(c, PT_EINVAL, "input 2 (batch_indices) is %s, must be int64[%lld]", PT_SHAPE(b), (long long)r->dims[0]);
    pt_op_set_out(c, 0, x->dtype, 4, (const int64_t[]){r->dims[0], x->dims[1], p->out_h, p->out_w});
    return PT_OK;
}

struct region {
    double start_h, start_w, bin_h, bin_w;
    int64_t samples_h, samples_w;
};

static int64_t samples(const struct roi *p, double bin)
{
    double n = p->sampling ? (double)p->sampling : ceil(bin);
    return n > 0 ? n < MAX_SAMPLES ? (int64_t)n : MAX_SAMPLES : 0; /* more only for regions far larger than any image */
}

static void read_region(const struct roi *p, const struct pt_tensor *rois, int64_t i, struct region *r)
{
    double v[4], shift = p->shifted ? 0.5 : 0;
    pt_load_f64(rois, i * 4, 4, v);
    for (int k = 0; k < 4; k++)
        v[k] = v[k] * (double)p->scale - shift;
    double w = v[2] - v[0], h = v[3] - v[1];
    if (!p->shifted) {
        w = w > 1 ? w : 1;
        h = h > 1 ? h : 1;
    }
    *r = (struct region){.start_h = v[1], .start_w = v[0], .bin_h = h / (double)p->out_h, .bin_w = w / (double)p->out_w};
    r->samples_h = samples(p, r->bin_h);
    r->samples_w = samples(p, r->bin_w);
}

/* The four pixels around a position and their weights; all 0 outside the image. */
struct corners {
    int64_t at[4];
    double w[4];
};

static struct corners around(double y, double x, int64_t h, int64_t w)
{
    struct corners c = {0};
    if (!(y >= -1 && y <= (double)h && x >= -1 && x <= (double)w) || h == 0 || w == 0)
        return c;
    y = y > 0 ? y < (double)(h - 1) ? y : (double)(h - 1) : 0;
    x = x > 0 ? x < (double)(w - 1) ? x : (double)(w - 1) : 0;
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + (y0 < h - 1), x1 = x0 + (x0 < w - 1);
    double fy = y - (double)y0, fx = x - (double)x0;
    return (struct corners){{y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1}, {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx}};
}

/* One bin of one channel. The maximum is of the weighted pixels, not of their sums: so the operator has been defined by its first implementation. */
static double pool_bin(const struct roi *p, const struct region *r, const struct pt_tensor *x, int64_t image, int64_t oh, int64_t ow)
{
    int64_t h = x->dims[2], w = x->dims[3], n = r->samples_h * r->samples_w;
    double sum = 0, best = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        double y = r->start_h + (double)oh * r->bin_h + ((double)(i / r->samples_w) + 0.5) * r->bin_h / (double)r->samples_h;
        double at = r->start_w + (double)ow * r->bin_w + ((double)(i % r->samples_w) + 0.5) * r->bin_w / (double)r->samples_w;
        struct corners c = around(y, at, h, w);
        for (int k = 0; k < 4; k++) {
            double v = c.w[k] == 0 ? 0 : c.w[k] * pt_elem_f64(x, image * h * w + c.at[k]);
            sum += v;
            best = v > best ? v : best;
        }
    }
    return p->max_mode ? n ? best : 0 : n ? sum / (double)n : 0;
}

static void align_rows(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct roi *p = c->params;
    const struct pt_tensor *x = c->in[0];
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) { /* region, channel */
        int64_t n = i / x->dims[1], image = ((const int64_t *)c->in[2]->data)[n] * x->dims[1] + i % x->dims[1];
        struct region r;
        read_region(p, c->in[1], n, &r);
        for (int64_t k = 0; k < p->out_h * p->out_w; k++)
            pt_store_f64(c->out[0], i * p->out_h * p->out_w + k, 1, &(double){pool_bin(p, &r, x, image, k / p->out_w, k % p->out_w)});
    }
}

static int align_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *b = c->in[2];
    for (int64_t i = 0; i < b->dims[0]; i++)
        if (((const int64_t *)b->data)[i] < 0 || ((const int64_t *)b->data)[i] >= x->dims[0])
            return pt_op_fail(c, PT_EINVAL, "region %lld is of image %lld, of %lld", (long long)i, (long long)((const int64_t *)b->data)[i],
                              (long long)x->dims[0]);
    pt_parallel_for(c->threads, (size_t)(b->dims[0] * x->dims[1]), 1, align_rows, c);
    return PT_OK;
}

const struct pt_op pt_op_roi_align = {.type = "RoiAlign",
                                      .since = {10, 16, 22},
                                      .min_in = 3,
                                      .max_in = 3,
                                      .max_out = 1,
                                      .types = {PT_TS_REAL, PT_TS_REAL, PT_T(PT_INT64)},
                                      .flags = PT_OP_WIDEN,
                                      .params_size = sizeof(struct roi),
                                      .infer = align_infer,
                                      .run = align_run};

/* --- MaxRoiPool: regions are [image, x1, y1, x2, y2], whole pixels, both ends included -------------------------------------------------------- */

static int max_infer(struct pt_op_ctx *c)
{
    struct roi *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t shape[2];
    int n, rc;
    if ((rc = pt_attr_ints(c, "pooled_shape", 1, INT32_MAX, shape, 2, &n)) < 0 || (rc = pt_attr_float(c, "spatial_scale", 1, &p->scale)) < 0 ||
        (rc = check(c, 5)) < 0)
        return rc;
    if (n != 2)
        return pt_op_fail(c, PT_EINVAL, "attribute 'pooled_shape' has %d values, needs 2", n < 0 ? 0 : n);
    p->out_h = shape[0];
    p->out_w = shape[1];
    pt_op_set_out(c, 0, x->dtype, 4, (const int64_t[]){c->in[1]->dims[0], x->dims[1], shape[0], shape[1]});
    return PT_OK;
}

/* Pixels [*lo, *hi) of bin i of n that divide a region from `start`, `size` pixels long. */
static void bin_range(double start, double size, int64_t i, int64_t n, int64_t limit, int64_t *lo, int64_t *hi)
{
    double bin = size / (double)n, a = start + floor((double)i * bin), b = start + ceil((double)(i + 1) * bin);
    *lo = a > 0 ? a < (double)limit ? (int64_t)a : limit : 0;
    *hi = b > 0 ? b < (double)limit ? (int64_t)b : limit : 0;
}

static double max_bin(const struct roi *p, const struct pt_tensor *x, const double *v, int64_t channel, int64_t oh, int64_t ow)
{
    double r[4], best = -INFINITY;
    int64_t y0, y1, x0, x1, h = x->dims[2], w = x->dims[3], image = ((int64_t)v[0] * x->dims[1] + channel) * h * w;
    for (int k = 0; k < 4; k++)
        r[k] = round(v[k + 1] * (double)p->scale);
    bin_range(r[1], fmax(r[3] - r[1] + 1, 1), oh, p->out_h, h, &y0, &y1);
    bin_range(r[0], fmax(r[2] - r[0] + 1, 1), ow, p->out_w, w, &x0, &x1);
    for (int64_t i = y0; i < y1; i++)
        for (int64_t k = x0; k < x1; k++)
            best = fmax(best, pt_elem_f64(x, image + i * w + k));
    return y1 > y0 && x1 > x0 ? best : 0;
}

static int max_run(struct pt_op_ctx *c)
{
    const struct roi *p = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    int64_t bins = p->out_h * p->out_w;
    for (int64_t n = 0; n < y->dims[0]; n++) {
        double v[5];
        pt_load_f64(c->in[1], n * 5, 5, v);
        if (!(v[0] >= 0 && v[0] < (double)x->dims[0]))
            return pt_op_fail(c, PT_EINVAL, "region %lld is of image %g, of %lld", (long long)n, v[0], (long long)x->dims[0]);
        for (int64_t i = 0; i < x->dims[1] * bins; i++)
            pt_store_f64(c->out[0], n * x->dims[1] * bins + i, 1, &(double){max_bin(p, x, v, i / bins, i % bins / p->out_w, i % p->out_w)});
    }
    return PT_OK;
}

const struct pt_op pt_op_max_roi_pool = {.type = "MaxRoiPool",
                                         .since = {1, 22},
                                         .min_in = 2,
                                         .max_in = 2,
                                         .max_out = 1,
                                         .types = {PT_TS_REAL},
                                         .flags = PT_OP_WIDEN,
                                         .params_size = sizeof(struct roi),
                                         .infer = max_infer,
                                         .run = max_run};
