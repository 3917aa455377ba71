/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_pool.c: the derivatives of pools, of means and of joined channels in channels-last layout: vectors of channels, images side by side on the
 * threads.
 */
#include "runtime/train/lower.h"

#include "runtime/ops/pool.h"
#include "runtime/train/part.h"
#include "runtime/train/spread.h"

#define BLOCK 64 /* channels at a time */
#define GRAIN 16384

struct pool_step {
    struct pt_pool_params p;
    size_t channels, image, pixels; /* pixels: of an image, of dy */
    bool average;
};

struct pool_job {
    const struct pool_step *s;
    const float *dy, *x, *y;
    float *dx;
};

/* Where the taps of window o lie: offsets of pixels, as many as are inside. *counted: by how many an average was divided. */
static int taps_of(const struct pt_pool_params *p, size_t o, int64_t *at, int room, int64_t *counted)
{
    const struct pt_window *w = &p->w;
    int64_t pos[2] = {0, 0}, first[2] = {0, 0}, end[2] = {1, 1}, start[2] = {0, 0}, padded = 1;
    int shift = 2 - w->axes, n = 0;
    for (int a = w->axes - 1; a >= 0; a--) {
        pos[a + shift] = (int64_t)o % w->out[a];
        o /= (size_t)w->out[a];
        pt_window_taps(w, a, pos[a + shift], &first[a + shift], &end[a + shift], &start[a + shift]);
        struct pt_window v = *w;
        int64_t f, e, s;
        v.in[a] += v.pad[a] + v.pad_end[a];
        v.pad[a] = 0;
        pt_window_taps(&v, a, pos[a + shift], &f, &e, &s);
        padded *= e - f;
    }
    int64_t width = w->in[w->axes - 1], step[2] = {w->axes == 2 ? w->dilation[0] : 1, w->dilation[w->axes - 1]};
    for (int64_t r = first[0]; r < end[0]; r++)
        for (int64_t q = first[1]; q < end[1] && n < room; q++)
            at[n++] = (start[0] + (r - first[0]) * step[0]) * width + start[1] + (q - first[1]) * step[1];
    *counted = p->count_include_pad ? padded : n;
    return n;
}

/* dy goes to the first tap that has the value of the window. */
static void to_largest(const float *restrict x, const float *restrict y, const float *restrict dy, float *restrict dx, int32_t *restrict open,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t here = (x[i] == y[i] ? -1 : 0) & open[i];
        float d = dy[i];
        dx[i] += here ? d : 0;
        open[i] &= ~here;
    }
}

static void max_pixel(const struct pool_job *j, const float *x, float *dx, size_t pixel, const int64_t *at, int taps)
{
    size_t c = j->s->channels;
    int32_t open[BLOCK];
    for (size_t first = 0; first < c; first += BLOCK) {
        size_t n = c - first < BLOCK ? c - first : BLOCK;
        for (size_t i = 0; i < n; i++)
            open[i] = -1;
        for (int t = 0; t < taps; t++)
            to_largest(x + (size_t)at[t] * c + first, j->y + pixel * c + first, j->dy + pixel * c + first, dx + (size_t)at[t] * c + first, open, n);
    }
}

static void add_scaled(float *restrict y, const float *restrict x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i] * factor;
}

static void pool_piece(void *arg, size_t begin, size_t end)
{
    const struct pool_job *j = arg;
    const struct pool_step *s = j->s;
    int64_t at[256], counted;
    for (size_t n = begin; n < end; n++) {
        const float *x = j->x + n * s->image * s->channels;
        float *dx = j->dx + n * s->image * s->channels;
        memset(dx, 0, s->image * s->channels * sizeof *dx);
        for (size_t o = 0; o < s->pixels; o++) {
            size_t pixel = n * s->pixels + o;
            int taps = taps_of(&s->p, o, at, 256, &counted);
            if (!s->average)
                max_pixel(j, x, dx, pixel, at, taps);
            for (int t = 0; s->average && t < taps; t++)
                add_scaled(dx + (size_t)at[t] * s->channels, j->dy + pixel * s->channels, 1 / (float)counted, s->channels);
        }
    }
}

static int pool_run(struct pt_op_ctx *c)
{
    struct pool_job j = {c->params, c->in[0]->data, c->in[1]->data, c->in[2] ? c->in[2]->data : NULL, c->out[0]->data};
    pt_parallel_for(c->threads, (size_t)c->out[0]->dims[0], 1, pool_piece, &j);
    return PT_OK;
}

static int lower_pool(struct pt_lower *l, bool average)
{
    const struct pt_pool_params *p = l->item->params;
    const struct pt_tensor *x = &pt_lower_slot(l, pt_lower_in(l, 1))->t, *dy = &pt_lower_slot(l, pt_lower_in(l, 0))->t;
    if (x->dtype != PT_FLOAT || p->w.axes < 1 || p->w.axes > 2 || pt_tensor_count(x) == 0 || pt_tensor_count(dy) == 0 ||
        pt_dims_product(p->w.kernel, p->w.axes) > 256)
        return 0;
    struct pool_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct pool_step){*p, (size_t)x->dims[1], (size_t)pt_dims_product(p->w.in, p->w.axes), (size_t)pt_dims_product(p->w.out, p->w.axes),
                            average};
    int in[3] = {-1, -1, -1};
    for (int i = 0; i < (average ? 2 : 3); i++)
        if ((in[i] = pt_lower_to(l, pt_lower_in(l, i), PT_LAYOUT_CHANNELS_LAST)) < 0)
            return in[i];
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = pool_run, .params = s, .in = in, .in_count = 3, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

int pt_lower_max_pool_grad(struct pt_lower *l)
{
    return lower_pool(l, false);
}

int pt_lower_average_pool_grad(struct pt_lower *l)
{
    return lower_pool(l, true);
}

/* --- a value for every pixel of an image: of GlobalAveragePool and ReduceMean over all pixels ------------------------------------------------------
 */

struct spread_step {
    size_t pixels, channels;
    float factor;
};

struct spread_job {
    const struct spread_step *s;
    const float *dy;
    float *dx;
};

static void spread_piece(void *arg, size_t begin, size_t end)
{
    const struct spread_job *j = arg;
    size_t c = j->s->channels;
    for (size_t row = begin; row < end; row++) {
        const float *dy = j->dy + row / j->s->pixels * c;
        for (size_t i = 0; i < c; i++)
            j->dx[row * c + i] = dy[i] * j->s->factor;
    }
}

static int spread_run(struct pt_op_ctx *c)
{
    struct spread_job j = {c->params, c->in[0]->data, c->out[0]->data};
    pt_parallel_for(c->threads, (size_t)c->out[0]->dims[0] * j.s->pixels, 1 + GRAIN / j.s->channels, spread_piece, &j);
    return PT_OK;
}

int pt_lower_spread(struct pt_lower *l)
{
    const struct pt_spread *p = l->item->params;
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 1));
    const struct pt_tensor *k = &p->kept;
    if (x->t.dtype != PT_FLOAT || x->layout != PT_LAYOUT_CHANNELS_LAST || pt_tensor_count(&x->t) == 0 || k->dims[0] != x->t.dims[0] ||
        k->dims[1] != x->t.dims[1] || pt_dims_product(k->dims + 2, k->rank - 2) != 1)
        return 0;
    struct spread_step *s = pt_lower_alloc(l, sizeof *s);
    int in = s ? pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_PLAIN) : PT_ENOMEM;
    if (in < 0)
        return in;
    *s = (struct spread_step){(size_t)pt_dims_product(x->t.dims + 2, x->t.rank - 2), (size_t)x->t.dims[1], (float)p->factor};
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = spread_run, .params = s, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

/* --- the part of a Concat of channels -------------------------------------------------------------------------------------------------------------
 */

struct part_step {
    size_t channels, all, skip;
};

struct part_job {
    const struct part_step *s;
    const float *dy;
    float *dx;
};

static void part_piece(void *arg, size_t begin, size_t end)
{
    const struct part_job *j = arg;
    const struct part_step *s = j->s;
    for (size_t i = begin; i < end; i++)
        memcpy(j->dx + i * s->channels, j->dy + i * s->all + s->skip, s->channels * sizeof *j->dx);
}

static int part_run(struct pt_op_ctx *c)
{
    struct part_job j = {c->params, c->in[0]->data, c->out[0]->data};
    pt_parallel_for(c->threads, c->out[0]->size_bytes / sizeof(float) / j.s->channels, 1 + GRAIN / j.s->channels, part_piece, &j);
    return PT_OK;
}

int pt_lower_part(struct pt_lower *l)
{
    const struct pt_part *p = l->item->params;
    int in = pt_lower_in(l, 0);
    const struct pt_slot *dy = pt_lower_slot(l, in), *dx = pt_lower_slot(l, pt_lower_out(l, 0));
    if (dy->t.dtype != PT_FLOAT || dy->layout != PT_LAYOUT_CHANNELS_LAST || p->axis != 1 || pt_tensor_count(&dx->t) == 0)
        return 0;
    struct part_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct part_step){(size_t)dx->t.dims[1], (size_t)dy->t.dims[1], (size_t)p->skip};
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = part_run, .params = s, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}
