/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_batchnorm.c: a BatchNormalization after a convolution is a factor and a shift per output channel: the factor goes into the weights,
 * the shift into the bias.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

#include <math.h>

/* BatchNormalization's five operands are constants of float, one value per output channel of weights w. */
static bool fits(const struct pt_rewriter *r, const struct pt_node *bn, const struct pt_tensor *w, const struct pt_tensor *bias)
{
    if (!w || w->dtype != PT_FLOAT || w->rank < 3 || (bias && (bias->dtype != PT_FLOAT || bias->rank != 1 || bias->dims[0] != w->dims[0])))
        return false;
    for (int i = 1; i < 5; i++) {
        const struct pt_tensor *t = pt_constant(r, bn->inputs[i]);
        if (!t || t->dtype != PT_FLOAT || t->rank != 1 || t->dims[0] != w->dims[0])
            return false;
    }
    return true;
}

/* The attribute says inference, or says nothing. */
static bool is_inference(const struct pt_node *bn)
{
    const struct pt_onnx_attr *training = pt_node_attr(bn, "training_mode"), *spatial = pt_node_attr(bn, "spatial");
    return bn->output_count == 1 && (!training || (training->type == PT_ATTR_INT && training->i == 0)) &&
           (!spatial || (spatial->type == PT_ATTR_INT && spatial->i == 1));
}

static void scale_weights(const struct pt_rewriter *r, const struct pt_node *bn, double epsilon, const struct pt_tensor *w,
                          const struct pt_tensor *bias, struct pt_tensor *new_w, struct pt_tensor *new_bias)
{
    const struct pt_tensor *p[5];
    int64_t channels = w->dims[0], per_channel = channels ? pt_tensor_count(w) / channels : 0;
    float *out = new_w->data;
    for (int i = 1; i < 5; i++)
        p[i] = pt_constant(r, bn->inputs[i]);
    if (w->size_bytes) /* a view of the file: perhaps not aligned */
        memcpy(out, w->data, w->size_bytes);
    for (int64_t c = 0; c < channels; c++) {
        double scale = pt_elem_f64(p[1], c) / sqrt(pt_elem_f64(p[4], c) + epsilon);
        double b = bias ? pt_elem_f64(bias, c) : 0;
        ((float *)new_bias->data)[c] = (float)((b - pt_elem_f64(p[3], c)) * scale + pt_elem_f64(p[2], c));
        for (int64_t i = c * per_channel; i < (c + 1) * per_channel; i++)
            out[i] = (float)((double)out[i] * scale);
    }
}

int pt_rewrite_batchnorm(struct pt_rewriter *r, int node)
{
    struct pt_node *bn = &r->g->nodes[node];
    if (bn->op != &pt_op_batch_normalization || !is_inference(bn))
        return PT_OK;
    struct pt_node *conv = pt_producer_of(r, bn->inputs[0], &pt_op_conv, true);
    const struct pt_tensor *w = conv ? pt_constant(r, conv->inputs[1]) : NULL;
    bool has_bias = conv && conv->input_count > 2 && conv->inputs[2] >= 0;
    const struct pt_tensor *bias = has_bias ? pt_constant(r, conv->inputs[2]) : NULL;
    const struct pt_onnx_attr *eps = pt_node_attr(bn, "epsilon");
    if (!conv || !fits(r, bn, w, bias) || (has_bias && !bias) || (eps && eps->type != PT_ATTR_FLOAT))
        return PT_OK;
    struct pt_tensor *new_w = pt_graph_new_tensor(r->g, PT_FLOAT, w->rank, w->dims, r->err);
    struct pt_tensor *new_bias = new_w ? pt_graph_new_tensor(r->g, PT_FLOAT, 1, w->dims, r->err) : NULL;
    if (!new_bias)
        return r->err->code;
    scale_weights(r, bn, eps ? (double)eps->f : (double)1e-5f, w, bias, new_w, new_bias);
    int at = (int)(conv - r->g->nodes), vw = pt_add_constant(r, new_w), vb = vw < 0 ? vw : pt_add_constant(r, new_bias);
    if (vb < 0)
        return vb;
    pt_set_input(r, at, 1, vw);
    pt_set_input(r, at, 2, vb);
    pt_take_output(r, at, node);
    return PT_OK;
}
