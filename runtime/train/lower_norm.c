/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_norm.c: BatchNormalization in training, the derivatives of normalisations and softmax, sums over pixels; on rows of channels (images in
 * channels-last layout, or rows of a matrix). Sums over rows are float32 over a few rows at a time and double beyond.
 */
#include "runtime/train/lower.h"

#include "runtime/ops/batchnorm.h"
#include "runtime/ops/types.h"
#include "runtime/train/norm.h"

#include <math.h>

#define SHORT 32 /* rows that are summed in float32 */

/* --- sums of columns -------------------------------------------------------------------------------------------------------------------------- */

/* What is summed of a row: x, (x - mean)^2, and of two arrays dy and dy (x - mean). */
enum what { SUM, SQUARES, PRODUCTS };

struct sums {
    enum what what;
    size_t rows, channels, slices;
    const float *x, *dy, *mean;
    double *out; /* [slices][two of channels] */
    float *part; /* the same, in float32 */
};

static size_t slices_of(size_t rows)
{
    return rows / 256 < 1 ? 1 : rows / 256 < PT_GRAD_SLICES ? rows / 256 : PT_GRAD_SLICES;
}

static size_t sums_bytes(size_t rows, size_t channels)
{
    return slices_of(rows) * 2 * channels * (sizeof(double) + sizeof(float)) + 64;
}

static void add_sum(float *restrict sum, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += x[i];
}

static void add_square(float *restrict sum, const float *restrict x, const float *restrict mean, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += (x[i] - mean[i]) * (x[i] - mean[i]);
}

static void add_product(float *restrict sum, float *restrict prod, const float *restrict dy, const float *restrict x, const float *restrict mean,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] += dy[i];
        prod[i] += dy[i] * (x[i] - mean[i]);
    }
}

static void sums_piece(void *arg, size_t begin, size_t end)
{
    const struct sums *s = arg;
    size_t c = s->channels;
    for (size_t slice = begin; slice < end; slice++) {
        double *out = s->out + slice * 2 * c;
        float *part = s->part + slice * 2 * c;
        size_t last = pt_slice_begin(s->rows, s->slices, slice + 1);
        memset(out, 0, 2 * c * sizeof *out);
        for (size_t row = pt_slice_begin(s->rows, s->slices, slice); row < last; row += SHORT) {
            memset(part, 0, 2 * c * sizeof *part);
            for (size_t r = row; r < last && r < row + SHORT; r++)
                if (s->what == SUM)
                    add_sum(part, s->x + r * c, c);
                else if (s->what == SQUARES)
                    add_square(part, s->x + r * c, s->mean, c);
                else
                    add_product(part, part + c, s->dy + r * c, s->x + r * c, s->mean, c);
            for (size_t i = 0; i < (s->what == PRODUCTS ? 2 * c : c); i++)
                out[i] += (double)part[i];
        }
    }
}

/* out[0, channels) and with PRODUCTS [channels, 2 channels) are the sums. */
static const double *sum_up(struct sums *s, void *memory, struct pt_threads *threads)
{
    size_t c = s->channels;
    s->slices = slices_of(s->rows);
    s->out = memory;
    s->part = (float *)(void *)(s->out + s->slices * 2 * c);
    pt_parallel_for(threads, s->slices, 1, sums_piece, s);
    for (size_t slice = 1; slice < s->slices; slice++)
        for (size_t i = 0; i < 2 * c; i++)
            s->out[i] += s->out[slice * 2 * c + i];
    return s->out;
}

/* --- of a bias --------------------------------------------------------------------------------------------------------------------------------- */

static int channels_run(struct pt_op_ctx *c)
{
    size_t channels = (size_t)pt_tensor_count(c->out[0]);
    struct sums s = {.what = SUM, .rows = (size_t)pt_tensor_count(c->in[0]) / channels, .channels = channels, .x = c->in[0]->data};
    pt_store_f64(c->out[0], 0, (int64_t)channels, sum_up(&s, c->scratch, c->threads));
    return PT_OK;
}

int pt_lower_channels_grad(struct pt_lower *l)
{
    const struct pt_tensor *dy = &pt_lower_slot(l, pt_lower_in(l, 0))->t;
    int64_t n = pt_tensor_count(dy);
    if (dy->dtype != PT_FLOAT || n == 0)
        return 0;
    size_t bytes = sums_bytes((size_t)(n / dy->dims[1]), (size_t)dy->dims[1]);
    int in = pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_CHANNELS_LAST);
    if (in < 0)
        return in;
    int rc = pt_lower_emit(
        l, &(struct pt_step_desc){.run = channels_run, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0), .scratch_bytes = bytes}, PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

/* --- BatchNormalization by the batch's own mean and variance ---------------------------------------------------------------------------------------
 */

struct batch_step {
    size_t rows, channels;
    float epsilon, momentum;
    bool given;
};

/* y = x * a + b, dx = dy * a + (x - mean) * b + d; vectors of channels */
struct batch_job {
    size_t channels;
    const float *x, *dy, *a, *b, *d, *mean;
    float *y;
};

static void scale_row(float *restrict y, const float *restrict x, const float *restrict a, const float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * a[i] + b[i];
}

static void grad_row(float *restrict y, const float *restrict dy, const float *restrict x, const struct batch_job *j, size_t n)
{
    const float *restrict a = j->a, *restrict b = j->b, *restrict d = j->d, *restrict mean = j->mean;
    for (size_t i = 0; i < n; i++)
        y[i] = dy[i] * a[i] + (x[i] - mean[i]) * b[i] + d[i];
}

static void batch_piece(void *arg, size_t begin, size_t end)
{
    const struct batch_job *j = arg;
    size_t c = j->channels;
    for (size_t r = begin; r < end; r++)
        if (j->dy)
            grad_row(j->y + r * c, j->dy + r * c, j->x + r * c, j, c);
        else
            scale_row(j->y + r * c, j->x + r * c, j->a, j->b, c);
}

/* mean[channels], variance[channels] */
static void measure(const struct batch_step *p, const float *x, float *mean, double *variance, void *memory, struct pt_threads *threads)
{
    struct sums s = {.what = SUM, .rows = p->rows, .channels = p->channels, .x = x, .mean = mean};
    const double *sum = sum_up(&s, memory, threads);
    for (size_t i = 0; i < p->channels; i++)
        mean[i] = (float)(sum[i] / (double)p->rows);
    s.what = SQUARES;
    sum = sum_up(&s, memory, threads);
    for (size_t i = 0; i < p->channels; i++)
        variance[i] = sum[i] / (double)p->rows;
}

static float at(const struct pt_tensor *t, size_t i)
{
    return ((const float *)t->data)[i];
}

/* Scratch: variance [c] doubles, mean, a, b, d [c] floats, then the sums'. */
static size_t batch_bytes(size_t rows, size_t channels)
{
    return channels * (sizeof(double) + 4 * sizeof(float)) + sums_bytes(rows, channels);
}

static int training_run(struct pt_op_ctx *c)
{
    const struct batch_step *p = c->params;
    size_t n = p->channels;
    double *variance = c->scratch;
    float *mean = (float *)(void *)(variance + n), *a = mean + n, *b = a + n;
    measure(p, c->in[0]->data, mean, variance, b + 2 * n, c->threads);
    for (size_t i = 0; i < n; i++) {
        double scale = (double)at(c->in[1], i) / sqrt(variance[i] + (double)p->epsilon), keep = (double)p->momentum;
        a[i] = (float)scale;
        b[i] = (float)((double)at(c->in[2], i) - (double)mean[i] * scale);
        if (c->out[1])
            ((float *)c->out[1]->data)[i] = (float)((double)at(c->in[3], i) * keep + (double)mean[i] * (1 - keep));
        if (c->out[2])
            ((float *)c->out[2]->data)[i] = (float)((double)at(c->in[4], i) * keep + variance[i] * (1 - keep));
    }
    struct batch_job j = {.channels = n, .x = c->in[0]->data, .a = a, .b = b, .y = c->out[0]->data};
    pt_parallel_for(c->threads, p->rows, 1 + 16384 / n, batch_piece, &j);
    return PT_OK;
}

static bool all_floats(struct pt_lower *l, int count)
{
    for (int i = 0; i < count; i++)
        if (pt_lower_slot(l, pt_lower_in(l, i))->t.dtype != PT_FLOAT)
            return false;
    return true;
}

/* Operands [0, images) in channels-last layout, the rest as they are. */
static int emit_batch(struct pt_lower *l, pt_op_fn run, int images, int outputs, const struct batch_step *of)
{
    struct batch_step *p = pt_lower_alloc(l, sizeof *p);
    int in[5], outs[3];
    if (!p)
        return PT_ENOMEM;
    *p = *of;
    for (int i = 0; i < 5; i++)
        if ((in[i] = i < images ? pt_lower_to(l, pt_lower_in(l, i), PT_LAYOUT_CHANNELS_LAST) : pt_lower_in(l, i)) < 0)
            return in[i];
    for (int i = 0; i < 3; i++)
        outs[i] = i < outputs ? pt_lower_out(l, i) : -1;
    int rc = pt_lower_emit_all(
        l, &(struct pt_step_desc){.run = run, .params = p, .in = in, .in_count = 5, .scratch_bytes = batch_bytes(p->rows, p->channels)}, outs, 3,
        PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

int pt_lower_batchnorm_training(struct pt_lower *l)
{
    const struct pt_batchnorm_params *b = l->item->params;
    const struct pt_tensor *x = &pt_lower_slot(l, pt_lower_in(l, 0))->t;
    int64_t n = pt_tensor_count(x);
    if (!b->training || !all_floats(l, 5) || x->rank < 2 || n == 0 || b->channels != x->dims[1] || pt_lower_out(l, 0) < 0 ||
        pt_lower_out(l, 3) >= 0 || pt_lower_out(l, 4) >= 0)
        return 0;
    return emit_batch(
        l, training_run, 1, l->item->node->output_count,
        &(struct batch_step){.rows = (size_t)(n / b->channels), .channels = (size_t)b->channels, .epsilon = b->epsilon, .momentum = b->momentum});
}

static int batch_grad_run(struct pt_op_ctx *c)
{
    const struct batch_step *p = c->params;
    size_t n = p->channels;
    double *variance = c->scratch, rows = (double)p->rows;
    float *mean = (float *)(void *)(variance + n), *a = mean + n, *b = a + n, *d = b + n;
    void *memory = d + n;
    for (size_t i = 0; p->given && i < n; i++) {
        mean[i] = at(c->in[3], i);
        variance[i] = (double)at(c->in[4], i);
    }
    if (!p->given)
        measure(p, c->in[1]->data, mean, variance, memory, c->threads);
    struct sums s = {.what = PRODUCTS, .rows = p->rows, .channels = n, .x = c->in[1]->data, .dy = c->in[0]->data, .mean = mean};
    const double *sum = sum_up(&s, memory, c->threads);
    for (size_t i = 0; i < n; i++) {
        double inv = 1 / sqrt(variance[i] + (double)p->epsilon), scale = (double)at(c->in[2], i) * inv, prod = sum[n + i] * inv;
        a[i] = (float)scale;
        b[i] = (float)(p->given ? 0 : -scale * prod * inv / rows);
        d[i] = (float)(p->given ? 0 : -scale * sum[i] / rows);
        if (c->out[1])
            ((float *)c->out[1]->data)[i] = (float)prod;
        if (c->out[2])
            ((float *)c->out[2]->data)[i] = (float)sum[i];
    }
    struct batch_job j = {.channels = n, .x = c->in[1]->data, .dy = c->in[0]->data, .a = a, .b = b, .d = d, .mean = mean};
    j.y = c->out[0] ? c->out[0]->data : NULL;
    if (j.y)
        pt_parallel_for(c->threads, p->rows, 1 + 16384 / n, batch_piece, &j);
    return PT_OK;
}

int pt_lower_batchnorm_grad(struct pt_lower *l)
{
    const struct pt_norm_grad *g = l->item->params;
    if (!all_floats(l, 5) || g->outer == 0 || g->inner == 0 || g->count == 0)
        return 0;
    return emit_batch(
        l, batch_grad_run, 2, 3,
        &(struct batch_step){.rows = (size_t)(g->outer * g->inner), .channels = (size_t)g->count, .epsilon = g->epsilon, .given = g->given});
}

/* --- LayerNormalization: a row at a time, as ops_norm.c has the formulas
 * ----------------------------------------------------------------------------- */

struct layer_step {
    size_t rows, n, slices;
    float epsilon;
};

struct layer_job {
    const struct layer_step *p;
    const float *dy, *x, *scale;
    float *dx, *sums; /* [slices][scale, bias, of short runs of rows both] */
};

/* Four partial sums: one would wait for itself. */
static double row_sum(const float *x, size_t n)
{
    float part[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            part[k] += x[i + k];
    double sum = 0;
    for (; i < n; i++)
        sum += (double)x[i];
    for (size_t k = 0; k < 8; k++)
        sum += (double)part[k];
    return sum;
}

static double row_product(const float *x, const float *y, size_t n)
{
    float part[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            part[k] += x[i + k] * y[i + k];
    double sum = 0;
    for (; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    for (size_t k = 0; k < 8; k++)
        sum += (double)part[k];
    return sum;
}

/* dx is used for x - mean first. */
static void layer_row(const struct layer_job *j, size_t row, float *restrict dscale, float *restrict dbias)
{
    size_t n = j->p->n;
    const float *restrict x = j->x + row * n, *restrict dy = j->dy + row * n, *restrict scale = j->scale;
    float *restrict dx = j->dx + row * n;
    float mean = (float)(row_sum(x, n) / (double)n);
    for (size_t i = 0; i < n; i++)
        dx[i] = x[i] - mean;
    double count = (double)n, inv = 1 / sqrt(row_product(dx, dx, n) / count + (double)j->p->epsilon), sum = row_product(dy, scale, n);
    float unit = (float)inv, prod = 0, parts[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            parts[k] += dy[i + k] * scale[i + k] * dx[i + k];
    for (; i < n; i++)
        prod += dy[i] * scale[i] * dx[i];
    for (size_t k = 0; k < 8; k++)
        prod += parts[k];
    float a = (float)(-inv * sum / count), b = (float)(-inv * inv * inv * (double)prod / count);
    for (i = 0; i < n; i++) {
        dscale[i] += dy[i] * dx[i] * unit;
        dbias[i] += dy[i];
        dx[i] = dy[i] * scale[i] * unit + a + b * dx[i];
    }
}

static void layer_piece(void *arg, size_t begin, size_t end)
{
    const struct layer_job *j = arg;
    size_t n = j->p->n;
    for (size_t slice = begin; slice < end; slice++) {
        float *sums = j->sums + slice * 4 * n, *part = sums + 2 * n;
        size_t last = pt_slice_begin(j->p->rows, j->p->slices, slice + 1);
        memset(sums, 0, 2 * n * sizeof *sums);
        for (size_t row = pt_slice_begin(j->p->rows, j->p->slices, slice); row < last; row += SHORT) {
            memset(part, 0, 2 * n * sizeof *part);
            for (size_t r = row; r < last && r < row + SHORT; r++)
                layer_row(j, r, part, part + n);
            add_sum(sums, part, 2 * n);
        }
    }
}

static int layer_run(struct pt_op_ctx *c)
{
    const struct layer_step *p = c->params;
    struct layer_job j = {p, c->in[0]->data, c->in[1]->data, c->in[2]->data, c->out[0]->data, c->scratch};
    pt_parallel_for(c->threads, p->slices, 1, layer_piece, &j);
    for (size_t slice = 1; slice < p->slices; slice++)
        add_sum(j.sums, j.sums + slice * 4 * p->n, 2 * p->n);
    for (size_t i = 0; i < 2; i++)
        if (c->out[1 + i])
            memcpy(c->out[1 + i]->data, j.sums + i * p->n, p->n * sizeof *j.sums);
    return PT_OK;
}

int pt_lower_layernorm_grad(struct pt_lower *l)
{
    const struct pt_norm_grad *g = l->item->params;
    if (!all_floats(l, 3) || g->outer == 0 || g->inner == 0 || pt_lower_out(l, 0) < 0)
        return 0;
    struct layer_step *p = pt_lower_alloc(l, sizeof *p);
    int in[3], outs[3];
    if (!p)
        return PT_ENOMEM;
    *p = (struct layer_step){(size_t)g->outer, (size_t)g->inner, slices_of((size_t)g->outer * 4), g->epsilon};
    for (int i = 0; i < 3; i++) {
        outs[i] = pt_lower_out(l, i);
        if ((in[i] = pt_lower_to(l, pt_lower_in(l, i), PT_LAYOUT_PLAIN)) < 0)
            return in[i];
    }
    int rc = pt_lower_emit_all(
        l, &(struct pt_step_desc){.run = layer_run, .params = p, .in = in, .in_count = 3, .scratch_bytes = p->slices * 4 * p->n * sizeof(float)},
        outs, 3, PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

/* --- softmax over the last axis: dx = y (dy - sum dy y); its logarithm: dx = dy - exp(y) sum dy
 * --------------------------------------------------------- */

struct softmax_step {
    size_t rows, n;
    bool logarithm;
};

struct softmax_job {
    const struct softmax_step *p;
    const float *dy, *y;
    float *dx;
};

static void softmax_piece(void *arg, size_t begin, size_t end)
{
    const struct softmax_job *j = arg;
    size_t n = j->p->n;
    for (size_t row = begin; row < end; row++) {
        const float *restrict dy = j->dy + row * n, *restrict y = j->y + row * n;
        float *restrict dx = j->dx + row * n;
        float sum = (float)(j->p->logarithm ? row_sum(dy, n) : row_product(dy, y, n));
        if (j->p->logarithm) {
            pt_kernels()->unary[PT_UNARY_EXP](y, dx, n, 0, 0);
            for (size_t i = 0; i < n; i++)
                dx[i] = dy[i] - dx[i] * sum;
        } else {
            for (size_t i = 0; i < n; i++)
                dx[i] = y[i] * (dy[i] - sum);
        }
    }
}

static int softmax_run(struct pt_op_ctx *c)
{
    struct softmax_job j = {c->params, c->in[0]->data, c->in[1]->data, c->out[0]->data};
    pt_parallel_for(c->threads, j.p->rows, 1 + 4096 / j.p->n, softmax_piece, &j);
    return PT_OK;
}

int pt_lower_softmax_grad(struct pt_lower *l)
{
    const struct pt_norm_grad *g = l->item->params;
    if (!all_floats(l, 2) || g->inner != 1 || g->outer == 0 || g->count == 0)
        return 0;
    struct softmax_step *p = pt_lower_alloc(l, sizeof *p);
    int in[2];
    if (!p)
        return PT_ENOMEM;
    *p = (struct softmax_step){(size_t)g->outer, (size_t)g->count, l->item->node->op == &pt_grad_log_softmax};
    for (int i = 0; i < 2; i++)
        if ((in[i] = pt_lower_to(l, pt_lower_in(l, i), PT_LAYOUT_PLAIN)) < 0)
            return in[i];
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = softmax_run, .params = p, .in = in, .in_count = 2, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}
