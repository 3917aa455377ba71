/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_conv_columns.c: convolutions that the channels-last kernel does not take: three and more spatial axes, weights that are not constant. The
 * taps of a tile of output pixels become the columns of a matrix, which the weights multiply. Everything stays in plain layout.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/conv.h"

#define TILE 512 /* output pixels at a time */

struct columns_step {
    struct pt_conv_params p;
    int64_t taps, pixels, in_c, out_c; /* of a group: channels */
    size_t columns_bytes;
};

struct tile {
    const struct columns_step *s;
    const float *x; /* of the image's group */
    float *columns; /* [channel, tap][TILE] */
    int64_t first, count;
};

/* One row: the pixels of the tile, a run along the last axis at a time. */
static void fill_row(const struct tile *t, int64_t channel, int64_t tap, float *out)
{
    const struct pt_window *w = &t->s->p.w;
    int last = w->axes - 1;
    int64_t shift[PT_WINDOW_AXES], image = pt_dims_product(w->in, w->axes);
    for (int a = last; a >= 0; a--) {
        shift[a] = tap % w->kernel[a] * w->dilation[a] - w->pad[a];
        tap /= w->kernel[a];
    }
    for (int64_t done = 0; done < t->count;) {
        int64_t pixel = t->first + done, o = pixel % w->out[last], rest = pixel / w->out[last], at = 0, stride = w->in[last];
        int64_t run = w->out[last] - o < t->count - done ? w->out[last] - o : t->count - done;
        bool inside = true;
        for (int a = last - 1; a >= 0; a--) {
            int64_t i = rest % w->out[a] * w->stride[a] + shift[a];
            inside = inside && i >= 0 && i < w->in[a];
            at += i * stride;
            rest /= w->out[a];
            stride *= w->in[a];
        }
        const float *row = t->x + channel * image + (inside ? at : 0);
        for (int64_t k = 0; k < run; k++) {
            int64_t i = (o + k) * w->stride[last] + shift[last];
            out[done + k] = inside && i >= 0 && i < w->in[last] ? row[i] : 0;
        }
        done += run;
    }
}

static void fill_rows(void *arg, size_t begin, size_t end)
{
    const struct tile *t = arg;
    for (size_t r = begin; r < end; r++)
        fill_row(t, (int64_t)r / t->s->taps, (int64_t)r % t->s->taps, t->columns + r * TILE);
}

/* in: image, weights, bias */
static int columns_run(struct pt_op_ctx *c)
{
    const struct columns_step *s = c->params;
    const struct pt_kernels *k = pt_kernels();
    int64_t rows = s->in_c * s->taps, image = pt_dims_product(s->p.w.in, s->p.w.axes), groups = s->p.groups;
    float *packed = (float *)(void *)((char *)c->scratch + s->columns_bytes);
    for (int64_t ng = 0; ng < c->in[0]->dims[0] * groups; ng++) {
        int64_t g = ng % groups;
        struct tile t = {.s = s, .x = (const float *)c->in[0]->data + ng * s->in_c * image, .columns = c->scratch};
        for (t.first = 0; t.first < s->pixels; t.first += TILE) {
            t.count = s->pixels - t.first < TILE ? s->pixels - t.first : TILE;
            pt_parallel_for(c->threads, (size_t)rows, 8, fill_rows, &t);
            k->gemm_pack((size_t)rows, (size_t)t.count, t.columns, TILE, false, packed);
            k->gemm(&(struct pt_gemm){.m = (size_t)s->out_c,
                                      .n = (size_t)t.count,
                                      .k = (size_t)rows,
                                      .a = (const float *)c->in[1]->data + g * s->out_c * rows,
                                      .lda = (size_t)rows,
                                      .packed_b = packed,
                                      .c = (float *)c->out[0]->data + ng * s->out_c * s->pixels + t.first,
                                      .ldc = (size_t)s->pixels,
                                      .alpha = 1,
                                      .ep = {.row_bias = c->in[2] ? (const float *)c->in[2]->data + g * s->out_c : NULL}},
                    NULL, c->threads);
        }
    }
    return PT_OK;
}

int pt_lower_conv_columns(struct pt_lower *l)
{
    const struct pt_conv_params *cp = l->item->params;
    const struct pt_tensor *x = &pt_lower_slot(l, pt_lower_in(l, 0))->t, *w = &pt_lower_slot(l, pt_lower_in(l, 1))->t;
    const struct pt_tensor *y = &pt_lower_slot(l, pt_lower_out(l, 0))->t;
    if (x->dtype != PT_FLOAT || pt_tensor_count(x) == 0 || pt_tensor_count(w) == 0 || pt_tensor_count(y) == 0)
        return 0;
    struct columns_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct columns_step){.p = *cp,
                               .taps = pt_dims_product(w->dims + 2, w->rank - 2),
                               .pixels = pt_dims_product(y->dims + 2, y->rank - 2),
                               .in_c = w->dims[1],
                               .out_c = w->dims[0] / cp->groups};
    size_t rows = (size_t)(s->in_c * s->taps);
    s->columns_bytes = rows * TILE * sizeof(float);
    int in[3] = {pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_PLAIN), pt_lower_to(l, pt_lower_in(l, 1), PT_LAYOUT_PLAIN), pt_lower_in(l, 2)};
    if (in[0] < 0 || in[1] < 0)
        return PT_ENOMEM;
    struct pt_step_desc d = {.run = columns_run,
                             .params = s,
                             .in = in,
                             .in_count = 3,
                             .out = pt_lower_out(l, 0),
                             .scratch_bytes = s->columns_bytes + l->k->gemm_pack_size(rows, TILE)};
    int rc = pt_lower_emit(l, &d, PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}
