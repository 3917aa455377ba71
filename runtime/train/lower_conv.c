/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_conv.c: the derivatives of convolutions as products, in channels-last layout.
 *
 * By the image: with stride 1 it is a convolution of dy with the filters turned round, for which there is a kernel. Else each pixel of dy times the
 * filters gives what its window's taps get, and that is added to the image row by row.
 *
 * By the weights: for each tap the product x' dy over the pixels, where x is read shifted by the tap. With the channels of x as rows (a transposed
 * image), the shift is another place to begin at, so one copy serves all taps; what lies between the ends of two rows of dy is filled with zeros.
 * A stride of s cuts the image into s x s images of every s-th row and column, in each of which it is 1. Images are taken in bands of rows that stay
 * in cache.
 */
#include "runtime/train/lower.h"

#include "runtime/train/conv.h"

#define BAND_PIXELS 768                /* of dy, of one band */
#define SLICE_BYTES ((size_t)64 << 20) /* of all slices' sums */
#define COLUMN_FLOATS 65536

/* Sizes in two axes; one spatial axis is an image of height 1. */
struct shape {
    size_t batch, in_c, out_c, groups, gi, go, taps;
    size_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
};

static void read_shape(struct shape *s, const struct pt_conv_grad *g, const struct pt_tensor *dy)
{
    const struct pt_window *w = &g->p.w;
    *s = (struct shape){.batch = (size_t)dy->dims[0],
                        .in_c = (size_t)(g->group_in * g->p.groups),
                        .out_c = (size_t)dy->dims[1],
                        .groups = (size_t)g->p.groups,
                        .gi = (size_t)g->group_in,
                        .go = (size_t)g->group_out,
                        .taps = (size_t)g->taps,
                        .in = {1, 1},
                        .out = {1, 1},
                        .kernel = {1, 1},
                        .stride = {1, 1},
                        .dilation = {1, 1}};
    for (int a = 0; a < w->axes; a++) {
        int at = 2 - w->axes + a;
        s->in[at] = (size_t)w->in[a];
        s->out[at] = (size_t)w->out[a];
        s->kernel[at] = (size_t)w->kernel[a];
        s->stride[at] = (size_t)w->stride[a];
        s->dilation[at] = (size_t)w->dilation[a];
        s->pad[at] = (size_t)w->pad[a];
    }
}

static bool takes(struct pt_lower *l, const struct pt_conv_grad *g)
{
    const struct pt_tensor *dy = &pt_lower_slot(l, pt_lower_in(l, 0))->t;
    return dy->dtype == PT_FLOAT && g->p.w.axes >= 1 && g->p.w.axes <= 2 && pt_tensor_count(dy) > 0 && g->image > 0 && g->taps > 0 && g->group_in > 0;
}

static size_t line(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* --- by the image, stride 1 ----------------------------------------------------------------------------------------------------------------- */

struct turned_step {
    struct shape s;
    struct pt_conv conv;
    size_t turned_floats, pack_bytes;
};

/* [out_c][gi][taps] -> [in_c][go][taps], the taps backwards */
static void turn_filters(const struct shape *s, const float *w, float *out)
{
    for (size_t g = 0; g < s->groups; g++)
        for (size_t o = 0; o < s->go; o++)
            for (size_t i = 0; i < s->gi; i++)
                for (size_t t = 0; t < s->taps; t++)
                    out[((g * s->gi + i) * s->go + o) * s->taps + s->taps - 1 - t] = w[((g * s->go + o) * s->gi + i) * s->taps + t];
}

static int turned_run(struct pt_op_ctx *c)
{
    const struct turned_step *p = c->params;
    const struct pt_kernels *k = pt_kernels();
    float *turned = c->scratch, *packed = turned + p->turned_floats;
    turn_filters(&p->s, c->in[1]->data, turned);
    k->conv_pack(&p->conv, turned, packed);
    k->conv(&p->conv, c->in[0]->data, packed, &(struct pt_epilogue){0}, c->out[0]->data, (char *)packed + p->pack_bytes, c->threads);
    return PT_OK;
}

static bool turns(const struct shape *s)
{
    bool fits = true;
    for (int a = 0; a < 2; a++)
        fits = fits && s->stride[a] == 1 && s->pad[a] <= s->dilation[a] * (s->kernel[a] - 1);
    return fits;
}

static int lower_turned(struct pt_lower *l, const struct shape *s, const int in[2])
{
    struct turned_step *p = pt_lower_alloc(l, sizeof *p);
    if (!p)
        return PT_ENOMEM;
    p->s = *s;
    p->conv = (struct pt_conv){.batch = s->batch,
                               .in_h = s->out[0],
                               .in_w = s->out[1],
                               .in_c = s->out_c,
                               .out_h = s->in[0],
                               .out_w = s->in[1],
                               .out_c = s->in_c,
                               .kernel_h = s->kernel[0],
                               .kernel_w = s->kernel[1],
                               .stride_h = 1,
                               .stride_w = 1,
                               .dilation_h = s->dilation[0],
                               .dilation_w = s->dilation[1],
                               .pad_top = s->dilation[0] * (s->kernel[0] - 1) - s->pad[0],
                               .pad_left = s->dilation[1] * (s->kernel[1] - 1) - s->pad[1],
                               .groups = s->groups,
                               .x_ld = s->out_c,
                               .y_ld = s->in_c};
    p->turned_floats = line(s->out_c * s->gi * s->taps);
    p->pack_bytes = l->k->conv_pack_size(&p->conv);
    int rc = pt_lower_emit(
        l,
        &(struct pt_step_desc){.run = turned_run,
                               .params = p,
                               .in = in,
                               .in_count = 2,
                               .out = pt_lower_out(l, 0),
                               .scratch_bytes = p->turned_floats * sizeof(float) + p->pack_bytes + l->k->conv_workspace(&p->conv, l->o->threads)},
        PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

/* --- by the image, any stride ------------------------------------------------------------------------------------------------------------------ */

struct columns_step {
    struct shape s;
    size_t rows;                                      /* of dy at a time */
    size_t pack_floats, column_floats, filter_floats; /* of a group, of a slice, of all filters */
};

struct columns_job {
    const struct columns_step *p;
    const float *dy, *filters, *packed; /* filters: depthwise, [tap][channel] */
    float *dx, *columns;
};

/* Where tap (r, q) of output (oy, ox) lies in the image; false: outside. */
static bool tap_at(const struct shape *s, size_t oy, size_t ox, size_t tap, size_t *at)
{
    size_t y = oy * s->stride[0] + tap / s->kernel[1] * s->dilation[0], x = ox * s->stride[1] + tap % s->kernel[1] * s->dilation[1];
    if (y < s->pad[0] || x < s->pad[1] || y - s->pad[0] >= s->in[0] || x - s->pad[1] >= s->in[1])
        return false;
    *at = (y - s->pad[0]) * s->in[1] + x - s->pad[1];
    return true;
}

static void add_row(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void add_products(float *restrict y, const float *restrict a, const float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

/* Rows [first, end) of dy of one image and group. */
static void add_columns(const struct columns_job *j, const float *dy, float *dx, size_t g, size_t first, size_t end, float *columns)
{
    const struct shape *s = &j->p->s;
    size_t pixels = (end - first) * s->out[1], wide = s->taps * s->gi, at;
    pt_kernels()->gemm(&(struct pt_gemm){.m = pixels,
                                         .n = wide,
                                         .k = s->go,
                                         .a = dy + first * s->out[1] * s->out_c + g * s->go,
                                         .lda = s->out_c,
                                         .packed_b = j->packed + g * j->p->pack_floats,
                                         .c = columns,
                                         .ldc = wide,
                                         .alpha = 1},
                       NULL, NULL);
    for (size_t p = 0; p < pixels; p++)
        for (size_t t = 0; t < s->taps; t++)
            if (tap_at(s, first + p / s->out[1], p % s->out[1], t, &at))
                add_row(dx + at * s->in_c + g * s->gi, columns + p * wide + t * s->gi, s->gi);
}

static void add_depthwise(const struct columns_job *j, const float *dy, float *dx)
{
    const struct shape *s = &j->p->s;
    size_t at;
    for (size_t p = 0; p < s->out[0] * s->out[1]; p++)
        for (size_t t = 0; t < s->taps; t++)
            if (tap_at(s, p / s->out[1], p % s->out[1], t, &at))
                add_products(dx + at * s->in_c, dy + p * s->out_c, j->filters + t * s->in_c, s->in_c);
}

static void columns_piece(void *arg, size_t begin, size_t end)
{
    const struct columns_job *j = arg;
    const struct shape *s = &j->p->s;
    size_t slices = s->batch < PT_GRAD_SLICES ? s->batch : PT_GRAD_SLICES, image = s->in[0] * s->in[1] * s->in_c;
    for (size_t slice = begin; slice < end; slice++)
        for (size_t n = pt_slice_begin(s->batch, slices, slice); n < pt_slice_begin(s->batch, slices, slice + 1); n++) {
            const float *dy = j->dy + n * s->out[0] * s->out[1] * s->out_c;
            float *dx = j->dx + n * image;
            memset(dx, 0, image * sizeof *dx);
            if (j->filters)
                add_depthwise(j, dy, dx);
            for (size_t g = 0; !j->filters && g < s->groups; g++)
                for (size_t r = 0; r < s->out[0]; r += j->p->rows)
                    add_columns(j, dy, dx, g, r, r + j->p->rows < s->out[0] ? r + j->p->rows : s->out[0], j->columns + slice * j->p->column_floats);
        }
}

static int columns_run(struct pt_op_ctx *c)
{
    const struct columns_step *p = c->params;
    const struct shape *s = &p->s;
    float *packed = c->scratch, *turned = packed + s->groups * p->pack_floats;
    struct columns_job j = {.p = p, .dy = c->in[0]->data, .dx = c->out[0]->data, .packed = packed, .columns = turned + p->filter_floats};
    const float *w = c->in[1]->data;
    bool depthwise = s->gi == 1 && s->go == 1;
    for (size_t o = 0; o < s->out_c; o++) /* [o][gi][taps] -> depthwise [taps][o], else [o][taps][gi] */
        for (size_t i = 0; i < s->gi; i++)
            for (size_t t = 0; t < s->taps; t++)
                turned[depthwise ? t * s->out_c + o : (o * s->taps + t) * s->gi + i] = w[(o * s->gi + i) * s->taps + t];
    j.filters = depthwise ? turned : NULL;
    for (size_t g = 0; !depthwise && g < s->groups; g++)
        pt_kernels()->gemm_pack(s->go, s->taps * s->gi, turned + g * s->go * s->taps * s->gi, s->taps * s->gi, false, packed + g * p->pack_floats);
    pt_parallel_for(c->threads, s->batch < PT_GRAD_SLICES ? s->batch : PT_GRAD_SLICES, 1, columns_piece, &j);
    return PT_OK;
}

static int lower_columns(struct pt_lower *l, const struct shape *s, const int in[2])
{
    struct columns_step *p = pt_lower_alloc(l, sizeof *p);
    if (!p)
        return PT_ENOMEM;
    bool depthwise = s->gi == 1 && s->go == 1;
    size_t wide = s->taps * s->gi * s->out[1], slices = s->batch < PT_GRAD_SLICES ? s->batch : PT_GRAD_SLICES;
    *p = (struct columns_step){.s = *s, .rows = COLUMN_FLOATS / wide ? COLUMN_FLOATS / wide : 1, .filter_floats = line(s->out_c * s->gi * s->taps)};
    p->rows = p->rows < s->out[0] ? p->rows : s->out[0];
    if (!depthwise) {
        p->column_floats = line(p->rows * wide);
        p->pack_floats = l->k->gemm_pack_size(s->go, s->taps * s->gi) / sizeof(float);
    }
    int rc = pt_lower_emit(
        l,
        &(struct pt_step_desc){.run = columns_run,
                               .params = p,
                               .in = in,
                               .in_count = 2,
                               .out = pt_lower_out(l, 0),
                               .scratch_bytes = (s->groups * p->pack_floats + p->filter_floats + slices * p->column_floats) * sizeof(float)},
        PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

int pt_lower_conv_image_grad(struct pt_lower *l)
{
    const struct pt_conv_grad *g = l->item->params;
    struct shape s;
    if (!takes(l, g))
        return 0;
    read_shape(&s, g, &pt_lower_slot(l, pt_lower_in(l, 0))->t);
    int in[2] = {pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_CHANNELS_LAST), -1};
    if (in[0] < 0 || (in[1] = pt_lower_to(l, pt_lower_in(l, 1), PT_LAYOUT_PLAIN)) < 0)
        return in[0] < 0 ? in[0] : in[1];
    return turns(&s) ? lower_turned(l, &s, in) : lower_columns(l, &s, in);
}

/* --- by the weights ------------------------------------------------------------------------------------------------------------------------- */

struct weights_step {
    struct shape s;
    bool depthwise;
    size_t slices, rows;                 /* rows: of dy, of a band */
    size_t plane_w, plane_floats;        /* of one channel and phase of a band of the image */
    size_t k;                            /* pixels of a band with what lies between rows */
    size_t planes, padded, packed, sums; /* floats of a slice */
};

struct weights_job {
    const struct weights_step *p;
    const float *dy, *x;
    float *memory;
};

/* The channels of the rows that outputs [first, first + rows) read, as planes [phase][channel][row][column] in padded coordinates. What lies outside
 * of the image is zero. */
static void fill_planes(const struct weights_step *p, const float *x, size_t first, float *planes)
{
    const struct shape *s = &p->s;
    size_t height = p->plane_floats / p->plane_w, sy = s->stride[0], sx = s->stride[1];
    memset(planes, 0, p->planes * sizeof *planes);
    for (size_t phase = 0; phase < sy * sx; phase++)
        for (size_t r = 0; r < height; r++) {
            size_t y = (first + r) * sy + phase / sx, begin = phase % sx, skip = 0;
            if (y < s->pad[0] || y - s->pad[0] >= s->in[0])
                continue;
            if (begin < s->pad[1])
                skip = (s->pad[1] - begin + sx - 1) / sx; /* columns left of the image */
            size_t from = begin + skip * sx - s->pad[1];
            if (skip >= p->plane_w || from >= s->in[1])
                continue;
            size_t n = (s->in[1] - from + sx - 1) / sx;
            n = n < p->plane_w - skip ? n : p->plane_w - skip;
            pt_kernels()->transpose(n, s->in_c, x + ((y - s->pad[0]) * s->in[1] + from) * s->in_c, sx * s->in_c,
                                    planes + phase * s->in_c * p->plane_floats + r * p->plane_w + skip, p->plane_floats);
        }
}

/* dy of a band with zeros behind each row, so that its rows are as far apart as those of the planes; the last row ends with its last pixel. */
static const float *pad_rows(const struct weights_step *p, const float *dy, size_t rows, float *padded)
{
    const struct shape *s = &p->s;
    size_t row = s->out[1] * s->out_c, wide = p->plane_w * s->out_c;
    if (row == wide)
        return dy;
    for (size_t r = 0; r < rows; r++) {
        memcpy(padded + r * wide, dy + r * row, row * sizeof *padded);
        if (r + 1 < rows)
            memset(padded + r * wide + row, 0, (wide - row) * sizeof *padded);
    }
    return padded;
}

/* sums[group][tap][gi][go] += of one band */
static void add_band(const struct weights_step *p, const float *dy, const float *x, size_t first, size_t rows, float *memory, float *sums)
{
    const struct shape *s = &p->s;
    float *planes = memory, *padded = planes + p->planes, *packed = padded + p->padded;
    size_t k = (rows - 1) * p->plane_w + s->out[1];
    fill_planes(p, x, first, planes);
    dy = pad_rows(p, dy + first * s->out[1] * s->out_c, rows, padded);
    for (size_t g = 0; g < s->groups; g++) {
        pt_kernels()->gemm_pack(k, s->go, dy + g * s->go, s->out_c, false, packed);
        for (size_t t = 0; t < s->taps; t++) {
            size_t y = t / s->kernel[1] * s->dilation[0], z = t % s->kernel[1] * s->dilation[1];
            size_t phase = y % s->stride[0] * s->stride[1] + z % s->stride[1];
            float *sum = sums + (g * s->taps + t) * s->gi * s->go;
            pt_kernels()->gemm(
                &(struct pt_gemm){.m = s->gi,
                                  .n = s->go,
                                  .k = k,
                                  .a = planes + (phase * s->in_c + g * s->gi) * p->plane_floats + y / s->stride[0] * p->plane_w + z / s->stride[1],
                                  .lda = p->plane_floats,
                                  .packed_b = packed,
                                  .c = sum,
                                  .ldc = s->go,
                                  .alpha = 1,
                                  .ep = {.residual = sum, .residual_ld = s->go}},
                NULL, NULL);
        }
    }
}

/* sums[tap][channel] */
static void add_image_depthwise(const struct weights_step *p, const float *dy, const float *x, float *sums)
{
    const struct shape *s = &p->s;
    size_t at;
    for (size_t i = 0; i < s->out[0] * s->out[1]; i++)
        for (size_t t = 0; t < s->taps; t++)
            if (tap_at(s, i / s->out[1], i % s->out[1], t, &at))
                add_products(sums + t * s->in_c, dy + i * s->out_c, x + at * s->in_c, s->in_c);
}

static void weights_piece(void *arg, size_t begin, size_t end)
{
    const struct weights_job *j = arg;
    const struct weights_step *p = j->p;
    const struct shape *s = &p->s;
    for (size_t slice = begin; slice < end; slice++) {
        float *memory = j->memory + slice * (p->planes + p->padded + p->packed + p->sums), *sums = memory + p->planes + p->padded + p->packed;
        memset(sums, 0, p->sums * sizeof *sums);
        for (size_t n = pt_slice_begin(s->batch, p->slices, slice); n < pt_slice_begin(s->batch, p->slices, slice + 1); n++) {
            const float *dy = j->dy + n * s->out[0] * s->out[1] * s->out_c, *x = j->x + n * s->in[0] * s->in[1] * s->in_c;
            if (p->depthwise)
                add_image_depthwise(p, dy, x, sums);
            for (size_t r = 0; !p->depthwise && r < s->out[0]; r += p->rows)
                add_band(p, dy, x, r, p->rows < s->out[0] - r ? p->rows : s->out[0] - r, memory, sums);
        }
    }
}

/* The slices' sums, one after the other, to [out_c][gi][taps]. */
static int weights_run(struct pt_op_ctx *c)
{
    const struct weights_step *p = c->params;
    const struct shape *s = &p->s;
    struct weights_job j = {p, c->in[0]->data, c->in[1]->data, c->scratch};
    size_t stride = p->planes + p->padded + p->packed + p->sums;
    float *sums = j.memory + stride - p->sums, *dw = c->out[0]->data;
    pt_parallel_for(c->threads, p->slices, 1, weights_piece, &j);
    for (size_t slice = 1; slice < p->slices; slice++)
        add_row(sums, sums + slice * stride, s->taps * s->gi * s->out_c);
    for (size_t o = 0; o < s->out_c; o++)
        for (size_t i = 0; i < s->gi; i++)
            for (size_t t = 0; t < s->taps; t++)
                dw[(o * s->gi + i) * s->taps + t] =
                    p->depthwise ? sums[t * s->out_c + o] : sums[((o / s->go * s->taps + t) * s->gi + i) * s->go + o % s->go];
    return PT_OK;
}

int pt_lower_conv_weights_grad(struct pt_lower *l)
{
    const struct pt_conv_grad *g = l->item->params;
    struct weights_step *p = takes(l, g) ? pt_lower_alloc(l, sizeof *p) : NULL;
    if (!p)
        return takes(l, g) ? PT_ENOMEM : 0;
    struct shape *s = &p->s;
    read_shape(s, g, &pt_lower_slot(l, pt_lower_in(l, 0))->t);
    p->depthwise = s->gi == 1 && s->go == 1;
    p->sums = line(s->taps * s->gi * s->out_c);
    p->slices = SLICE_BYTES / sizeof(float) / p->sums;
    p->slices = p->slices < 1 ? 1 : p->slices < PT_GRAD_SLICES ? p->slices : PT_GRAD_SLICES;
    p->slices = p->slices < s->batch ? p->slices : s->batch;
    if (!p->depthwise) {
        p->plane_w = s->out[1] + (s->kernel[1] - 1) * s->dilation[1] / s->stride[1];
        p->rows = BAND_PIXELS / p->plane_w ? BAND_PIXELS / p->plane_w : 1;
        p->rows = p->rows < s->out[0] ? p->rows : s->out[0];
        p->plane_floats = (p->rows + (s->kernel[0] - 1) * s->dilation[0] / s->stride[0]) * p->plane_w;
        p->k = p->rows * p->plane_w;
        p->planes = line(s->stride[0] * s->stride[1] * s->in_c * p->plane_floats);
        p->padded = p->plane_w == s->out[1] ? 0 : line(p->k * s->out_c);
        p->packed = l->k->gemm_pack_size(p->k, s->go) / sizeof(float);
    }
    int in[2] = {pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_CHANNELS_LAST), -1};
    if (in[0] < 0 || (in[1] = pt_lower_to(l, pt_lower_in(l, 1), PT_LAYOUT_CHANNELS_LAST)) < 0)
        return in[0] < 0 ? in[0] : in[1];
    int rc = pt_lower_emit(l,
                           &(struct pt_step_desc){.run = weights_run,
                                                  .params = p,
                                                  .in = in,
                                                  .in_count = 2,
                                                  .out = pt_lower_out(l, 0),
                                                  .scratch_bytes = p->slices * (p->planes + p->padded + p->packed + p->sums) * sizeof(float)},
                           PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}
