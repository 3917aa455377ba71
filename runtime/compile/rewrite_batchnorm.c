/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_batchnorm.c: BatchNormalization is a factor and a shift per channel. After a Conv, ConvTranspose or Gemm the factor goes into the
 * weights of each output channel and the shift into the bias. Before a Conv (rewrite "prenorm") the factor goes into the weights that read the
 * channel, and the shift, times those weights, into the bias: only where no padding stands for a channel's value, or no channel has a shift.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

#include <math.h>

/* The factor and shift of each channel. */
struct affine {
    double *factor, *shift;
};

static void affine_finish(struct affine *a)
{
    pt_free(a->factor);
}

/* The node is BatchNormalization in inference, of so many float channels, and everything about it is known. */
static bool is_affine(const struct pt_rewriter *r, const struct pt_node *bn, int64_t channels)
{
    const struct pt_onnx_attr *eps = pt_node_attr(bn, "epsilon");
    if (bn->op != &pt_op_batch_normalization || bn->output_count != 1 || pt_node_int(bn, "training_mode", 0) != 0 ||
        pt_node_int(bn, "spatial", 1) != 1 || (bn->version < 7 && pt_node_int(bn, "is_test", 0) != 1) || (eps && eps->type != PT_ATTR_FLOAT))
        return false;
    for (int i = 1; i < 5; i++) {
        const struct pt_tensor *t = pt_constant(r, bn->inputs[i]);
        if (!t || t->dtype != PT_FLOAT || t->rank != 1 || t->dims[0] != channels)
            return false;
    }
    return true;
}

/* Fills a; *ok is false when a channel has no finite factor and shift. */
static int read_affine(const struct pt_rewriter *r, const struct pt_node *bn, int64_t channels, struct affine *a, bool *ok)
{
    const struct pt_onnx_attr *eps = pt_node_attr(bn, "epsilon");
    double epsilon = eps ? (double)eps->f : (double)1e-5f;
    if (!(a->factor = pt_calloc((size_t)channels, 2 * sizeof *a->factor)))
        return pt_fail(r->err, PT_ENOMEM, "out of memory folding %s", pt_node_text(bn).s);
    a->shift = a->factor + channels;
    *ok = true;
    for (int64_t i = 0; i < channels; i++) {
        double p[5];
        for (int k = 1; k < 5; k++)
            p[k] = pt_elem_f64(pt_constant(r, bn->inputs[k]), i);
        a->factor[i] = p[1] / sqrt(p[4] + epsilon);
        a->shift[i] = p[2] - p[3] * a->factor[i];
        *ok = *ok && isfinite(a->factor[i]) && isfinite(a->shift[i]);
    }
    return PT_OK;
}

/* A node with weights: where each weight's output and input channel are. */
struct layer {
    int node;
    const struct pt_tensor *w, *b;
    int64_t out, in, groups, pixels; /* pixels: weights per pair of channels */
    bool out_first;                  /* [out, in, ...], else [in, out, ...] */
};

/* Weights lie as [rows][cols][pixels], where rows and cols are output and input channels of a group or the other way round. */
static int64_t cols(const struct layer *l)
{
    return l->out_first ? l->in : l->out / l->groups;
}

/* The output channel that a weight adds to. */
static int64_t channel_out(const struct layer *l, int64_t row, int64_t col)
{
    return l->out_first ? row : row / (l->in / l->groups) * (l->out / l->groups) + col;
}

/* For Conv: the input channel that a weight reads. */
static int64_t channel_in(const struct layer *l, int64_t row, int64_t col)
{
    return row / (l->out / l->groups) * l->in + col;
}

static float *scale(float *w, int64_t n, double f)
{
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)((double)w[i] * f);
    return w + n;
}

static void scale_weights(const struct layer *l, float *w, const double *factor, int64_t (*channel)(const struct layer *, int64_t, int64_t))
{
    for (int64_t row = 0; row < l->w->dims[0]; row++) {
        const double *f = factor + channel(l, row, 0);
        int64_t step = channel(l, row, 1) - channel(l, row, 0), cut = step ? cols(l) : 1; /* into stretches of one factor */
        for (int64_t i = 0; i < cut; i++)
            w = scale(w, cols(l) / cut * l->pixels, f[i * step]);
    }
}

static bool gemm_layer(const struct pt_node *n, struct layer *l)
{
    const struct pt_onnx_attr *alpha = pt_node_attr(n, "alpha"), *beta = pt_node_attr(n, "beta");
    if (l->w->rank != 2 || n->version < 7 || (alpha && (alpha->type != PT_ATTR_FLOAT || alpha->f != 1)) ||
        (beta && (beta->type != PT_ATTR_FLOAT || beta->f != 1)))
        return false;
    l->out_first = pt_node_int(n, "transB", 0) != 0;
    l->pixels = l->groups = 1;
    l->out = l->w->dims[l->out_first ? 0 : 1];
    l->in = l->w->dims[l->out_first ? 1 : 0];
    return true;
}

static bool conv_layer(const struct pt_node *n, struct layer *l)
{
    l->groups = pt_node_int(n, "group", 1);
    if (l->w->rank < 3 || l->groups < 1 || l->groups > INT32_MAX || l->w->dims[0] % l->groups)
        return false;
    l->out_first = n->op == &pt_op_conv;
    l->pixels = pt_dims_product(l->w->dims + 2, l->w->rank - 2);
    l->out = l->out_first ? l->w->dims[0] : l->w->dims[1] * l->groups;
    l->in = l->w->dims[l->out_first ? 1 : 0];
    return l->pixels > 0;
}

/* The node has constant float weights and a constant bias, or none. */
static bool is_layer(const struct pt_rewriter *r, int node, struct layer *l)
{
    const struct pt_node *n = &r->g->nodes[node];
    *l = (struct layer){.node = node, .w = pt_constant(r, pt_node_in(n, 1)), .b = pt_constant(r, pt_node_in(n, 2))};
    if (!l->w || l->w->dtype != PT_FLOAT || (pt_node_in(n, 2) >= 0 && !l->b) || n->output_count != 1)
        return false;
    if (n->op == &pt_op_gemm ? !gemm_layer(n, l) : !conv_layer(n, l))
        return false;
    return l->out > 0 && l->in > 0 && (!l->b || (l->b->dtype == PT_FLOAT && l->b->rank == 1 && l->b->dims[0] == l->out));
}

/* New weights and bias for the layer: the weights scaled by the factors of their channels, the bias a copy, or zeros. */
static int scale_layer(struct pt_rewriter *r, const struct layer *l, const double *factor, int64_t channels,
                       int64_t (*channel)(const struct layer *, int64_t, int64_t), float **b)
{
    bool ready;
    struct pt_consts *consts = &r->g->consts;
    uint64_t origin = pt_consts_origin(consts, pt_hash_words(factor, (size_t)channels * sizeof *factor), l->w->data);
    struct pt_tensor *tw = pt_graph_make_tensor(r->g, PT_FLOAT, l->w->rank, l->w->dims, origin, &ready, r->err);
    struct pt_tensor *tb = tw ? pt_graph_new_tensor(r->g, PT_FLOAT, 1, &l->out, r->err) : NULL;
    int vw = tb ? pt_add_constant(r, tw) : r->err->code, vb = vw < 0 ? vw : pt_add_constant(r, tb);
    if (vb < 0)
        return vb;
    if (!ready) {
        memcpy(tw->data, l->w->data, l->w->size_bytes); /* a view of the file: perhaps not aligned */
        scale_weights(l, tw->data, factor, channel);
        pt_consts_made(consts, tw->data);
    }
    *b = tb->data;
    for (int64_t i = 0; i < l->out; i++)
        (*b)[i] = l->b ? (float)pt_elem_f64(l->b, i) : 0;
    pt_set_input(r, l->node, 1, vw);
    pt_set_input(r, l->node, 2, vb);
    return PT_OK;
}

static int fold_after(struct pt_rewriter *r, const struct layer *l, int node, const struct affine *a)
{
    float *b;
    int rc = scale_layer(r, l, a->factor, l->out, channel_out, &b);
    if (rc < 0)
        return rc;
    for (int64_t i = 0; i < l->out; i++)
        b[i] = (float)((l->b ? pt_elem_f64(l->b, i) : 0) * a->factor[i] + a->shift[i]);
    pt_take_output(r, l->node, node);
    return PT_OK;
}

int pt_rewrite_batchnorm(struct pt_rewriter *r, int node)
{
    static const struct pt_op *const ops[] = {&pt_op_conv, &pt_op_conv_transpose, &pt_op_gemm};
    const struct pt_node *bn = node < 0 ? NULL : &r->g->nodes[node], *before = NULL;
    struct layer l;
    bool ok = false;
    if (!bn || bn->op != &pt_op_batch_normalization)
        return PT_OK;
    for (size_t i = 0; !before && i < sizeof ops / sizeof *ops; i++)
        before = pt_producer_of(r, bn->inputs[0], ops[i], true);
    if (!before || !is_layer(r, (int)(before - r->g->nodes), &l) || !is_affine(r, bn, l.out))
        return PT_OK;
    pt_cleanup(affine_finish) struct affine a = {0};
    int rc = read_affine(r, bn, l.out, &a, &ok);
    return rc == PT_OK && ok ? fold_after(r, &l, node, &a) : rc;
}

static bool has_padding(const struct pt_node *n)
{
    const struct pt_onnx_attr *pads = pt_node_attr(n, "pads");
    for (size_t i = 0; pads && i < pads->count; i++)
        if (pads->type != PT_ATTR_INTS || pads->ints[i] != 0)
            return true;
    return !pt_node_text_is(n, "auto_pad", "NOTSET", "NOTSET") && !pt_node_text_is(n, "auto_pad", "NOTSET", "VALID");
}

static bool shifts(const struct layer *l, const struct affine *a)
{
    for (int64_t i = 0; i < l->in * l->groups; i++)
        if (a->shift[i] != 0)
            return true;
    return false;
}

static int fold_before(struct pt_rewriter *r, const struct layer *l, const struct pt_node *bn, const struct affine *a)
{
    float *b;
    int64_t at = 0;
    int rc = scale_layer(r, l, a->factor, l->in * l->groups, channel_in, &b);
    if (rc < 0)
        return rc;
    for (int64_t row = 0; row < l->out; row++) {
        const double *shift = a->shift + channel_in(l, row, 0);
        double sum = (double)b[row];
        for (int64_t col = 0; col < l->in; col++)
            for (int64_t i = 0; i < l->pixels; i++)
                sum += pt_elem_f64(l->w, at++) * shift[col];
        b[row] = (float)sum;
    }
    pt_set_input(r, l->node, 0, bn->inputs[0]);
    return PT_OK;
}

int pt_rewrite_prenorm(struct pt_rewriter *r, int node)
{
    const struct pt_node *conv = node < 0 ? NULL : &r->g->nodes[node];
    struct layer l;
    bool ok = false;
    if (!conv || conv->op != &pt_op_conv)
        return PT_OK;
    const struct pt_node *bn = pt_producer_of(r, conv->inputs[0], &pt_op_batch_normalization, true);
    if (!bn || !is_layer(r, node, &l) || !is_affine(r, bn, l.in * l.groups))
        return PT_OK;
    pt_cleanup(affine_finish) struct affine a = {0};
    int rc = read_affine(r, bn, l.in * l.groups, &a, &ok);
    if (rc < 0 || !ok || (shifts(&l, &a) && has_padding(conv)))
        return rc;
    return fold_before(r, &l, bn, &a);
}
