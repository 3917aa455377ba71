/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_conv.c: convolutions and pools in channels-last layout. One spatial axis is an image of height 1. Weights that are not constant are packed
 * in each run; in training a batch of images repays it.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/conv.h"
#include "runtime/ops/pool.h"

static bool is_image(const struct pt_tensor *t)
{
    return t->dtype == PT_FLOAT && (t->rank == 3 || t->rank == 4);
}

/* Shapes of one form share packed weights, whatever their batch. Never 0, which is the aligned copy. */
static uint64_t pack_key(const struct pt_kernels *k, const struct pt_conv *s)
{
    const uint64_t key[2] = {k->conv_pack_form(s), s->groups};
    return pt_hash64(key, sizeof key, 1) | 1;
}

/* --- Conv ----------------------------------------------------------------------------------------------------------------------- */

struct conv_step {
    struct pt_conv s;
    const float *packed; /* NULL: into the scratch memory, from operand 3 */
    size_t pack_bytes;
    struct pt_fused fused;
};

static int conv_run(struct pt_op_ctx *c)
{
    const struct conv_step *p = c->params;
    const struct pt_tensor *bias = c->in[1], *residual = c->in[2];
    struct pt_epilogue ep = {.bias = bias ? bias->data : NULL,
                             .residual = residual ? residual->data : NULL,
                             .residual_ld = p->s.out_c,
                             .act = p->fused.act,
                             .lo = p->fused.lo,
                             .hi = p->fused.hi};
    if (!p->packed)
        pt_kernels()->conv_pack(&p->s, c->in[3]->data, c->scratch);
    pt_kernels()->conv(&p->s, c->in[0]->data, p->packed ? p->packed : c->scratch, &ep, c->out[0]->data, (char *)c->scratch + p->pack_bytes,
                       c->threads);
    return PT_OK;
}

struct pack_job {
    const struct pt_kernels *k;
    struct pt_conv s;
    struct pt_tensor w;
    enum pt_dtype stored;
};

static int fill_conv(void *arg, void *out, struct pt_err *err)
{
    const struct pack_job *j = arg;
    pt_auto_free float *copy = NULL;
    const float *w = pt_lower_floats(&j->w, j->stored, &copy);
    if (!w)
        return pt_fail(err, PT_ENOMEM, "out of memory packing weights");
    j->k->conv_pack(&j->s, w, out);
    return PT_OK;
}

static void conv_shape(struct pt_conv *s, const struct pt_tensor *x, const struct pt_tensor *w, const struct pt_conv_params *p)
{
    int h = 0, v = p->w.axes - 1; /* window axis of the height; of the width */
    bool flat = p->w.axes == 1;
    *s = (struct pt_conv){.batch = (size_t)x->dims[0], .in_c = (size_t)x->dims[1], .out_c = (size_t)w->dims[0], .groups = (size_t)p->groups};
    s->in_h = flat ? 1 : (size_t)p->w.in[h];
    s->out_h = flat ? 1 : (size_t)p->w.out[h];
    s->kernel_h = flat ? 1 : (size_t)p->w.kernel[h];
    s->stride_h = flat ? 1 : (size_t)p->w.stride[h];
    s->dilation_h = flat ? 1 : (size_t)p->w.dilation[h];
    s->pad_top = flat ? 0 : (size_t)p->w.pad[h];
    s->in_w = (size_t)p->w.in[v];
    s->out_w = (size_t)p->w.out[v];
    s->kernel_w = (size_t)p->w.kernel[v];
    s->stride_w = (size_t)p->w.stride[v];
    s->dilation_w = (size_t)p->w.dilation[v];
    s->pad_left = (size_t)p->w.pad[v];
    s->x_ld = s->in_c;
    s->y_ld = s->out_c;
}

int pt_lower_conv(struct pt_lower *l)
{
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 0)), *w = pt_lower_slot(l, pt_lower_in(l, 1));
    const struct pt_slot *y = pt_lower_slot(l, pt_lower_out(l, 0));
    if (!is_image(&x->t) || pt_tensor_count(&w->t) == 0 || pt_tensor_count(&y->t) == 0 || pt_tensor_count(&x->t) == 0)
        return pt_lower_conv_columns(l);
    bool constant = w->place == PT_PLACE_CONST;
    struct conv_step *p = pt_lower_alloc(l, sizeof *p);
    if (!p)
        return PT_ENOMEM;
    conv_shape(&p->s, &x->t, &w->t, l->item->params);
    p->fused = (struct pt_fused){.bias = 1, .residual = 2, .columns = w->t.dims[0], .is_conv = true};
    const struct pack_job job = {l->k, p->s, w->t, w->stored};
    if (constant)
        p->packed = pt_lower_pack_later(l, w, pack_key(l->k, &p->s), l->k->conv_pack_size(&p->s), fill_conv, &job, sizeof job);
    else
        p->pack_bytes = l->k->conv_pack_size(&p->s);
    int in[4] = {pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_CHANNELS_LAST), pt_lower_in(l, 2), -1,
                 constant ? -1 : pt_lower_to(l, pt_lower_in(l, 1), PT_LAYOUT_PLAIN)};
    if ((constant && !p->packed) || in[0] < 0 || (!constant && in[3] < 0))
        return PT_ENOMEM;
    struct pt_step_desc d = {.run = conv_run,
                             .params = p,
                             .in = in,
                             .in_count = 4,
                             .out = pt_lower_out(l, 0),
                             .inplace = 1u << 2,
                             .scratch_bytes = p->pack_bytes + l->k->conv_workspace(&p->s, l->o->threads),
                             .fused = &p->fused};
    int rc = pt_lower_emit(l, &d, PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

/* --- pools ------------------------------------------------------------------------------------------------------------------------- */

static int pool_run(struct pt_op_ctx *c)
{
    pt_kernels()->pool(c->params, c->in[0]->data, c->out[0]->data, c->threads);
    return PT_OK;
}

int pt_lower_pool(struct pt_lower *l)
{
    const struct pt_pool_params *pp = l->item->params;
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 0)), *y = pt_lower_given(l, pt_lower_out(l, 0));
    if (x->t.dtype == PT_UINT8 || x->t.dtype == PT_INT8)
        return pt_lower_bytes_max(l);
    if (!is_image(&x->t) || !y || pt_lower_out(l, 1) >= 0 || pt_tensor_count(&x->t) == 0 || pt_tensor_count(&y->t) == 0)
        return 0;
    struct pt_pool *p = pt_lower_alloc(l, sizeof *p);
    if (!p)
        return PT_ENOMEM;
    bool flat = pp->w.axes == 1;
    int v = pp->w.axes - 1;
    *p = (struct pt_pool){.batch = (size_t)x->t.dims[0],
                          .c = (size_t)x->t.dims[1],
                          .x_ld = (size_t)x->t.dims[1],
                          .y_ld = (size_t)x->t.dims[1],
                          .average = l->item->node->op->since[1] == 7,
                          .count_include_pad = pp->count_include_pad != 0};
    p->in_h = flat ? 1 : (size_t)pp->w.in[0];
    p->out_h = flat ? 1 : (size_t)pp->w.out[0];
    p->kernel_h = flat ? 1 : (size_t)pp->w.kernel[0];
    p->stride_h = flat ? 1 : (size_t)pp->w.stride[0];
    p->dilation_h = flat ? 1 : (size_t)pp->w.dilation[0];
    p->pad_top = flat ? 0 : (size_t)pp->w.pad[0];
    p->pad_bottom = flat ? 0 : (size_t)pp->w.pad_end[0];
    p->in_w = (size_t)pp->w.in[v];
    p->out_w = (size_t)pp->w.out[v];
    p->kernel_w = (size_t)pp->w.kernel[v];
    p->stride_w = (size_t)pp->w.stride[v];
    p->dilation_w = (size_t)pp->w.dilation[v];
    p->pad_left = (size_t)pp->w.pad[v];
    p->pad_right = (size_t)pp->w.pad_end[v];
    int in = pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_CHANNELS_LAST);
    if (in < 0)
        return in;
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = pool_run, .params = p, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

struct average_step {
    size_t images, pixels, channels;
};

static int average_run(struct pt_op_ctx *c)
{
    const struct average_step *p = c->params;
    for (size_t i = 0; i < p->images; i++)
        pt_kernels()->global_average(p->pixels, p->channels, (const float *)c->in[0]->data + i * p->pixels * p->channels, p->channels,
                                     (float *)c->out[0]->data + i * p->channels);
    return PT_OK;
}

int pt_lower_global_average(struct pt_lower *l)
{
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 0));
    if (!is_image(&x->t) || pt_tensor_count(&x->t) == 0 || x->layout == PT_LAYOUT_PLAIN)
        return 0;
    struct average_step *p = pt_lower_alloc(l, sizeof *p);
    if (!p)
        return PT_ENOMEM;
    *p = (struct average_step){(size_t)x->t.dims[0], (size_t)pt_dims_product(x->t.dims + 2, x->t.rank - 2), (size_t)x->t.dims[1]};
    int in = pt_lower_in(l, 0);
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = average_run, .params = p, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

/* A mean over exactly the pixels of an image in channels-last order is a global average. */
int pt_lower_reduce_mean(struct pt_lower *l)
{
    const struct pt_tensor *x = &pt_lower_slot(l, pt_lower_in(l, 0))->t, *y = &pt_lower_slot(l, pt_lower_out(l, 0))->t;
    if (!is_image(x) || x->rank != 4 || y->rank < 2 || y->dims[0] != x->dims[0] || y->dims[1] != x->dims[1] || (y->rank == 4 && !pt_same_order(y)) ||
        y->rank == 3 || x->dims[2] == 1 || x->dims[3] == 1)
        return 0;
    return pt_lower_global_average(l);
}
