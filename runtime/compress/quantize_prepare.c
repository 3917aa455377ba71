/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_prepare.c: a model in the form that is quantised. All of it keeps what the model computes, up to rounding.
 */
#include "runtime/compress/opset.h"
#include "runtime/compress/quantize_plan.h"

#include <math.h>
#include <string.h>

static bool is_op(const struct pt_onnx_node *n, const char *op)
{
    return n->domain.len == 0 && pt_str_eq(n->op_type, pt_str(op));
}

static int refuse_quantised(const struct pt_edit *e, struct pt_err *err)
{
    static const char *const signs[] = {"QuantizeLinear",
                                        "DequantizeLinear",
                                        "DynamicQuantizeLinear",
                                        "QLinearConv",
                                        "QLinearMatMul",
                                        "MatMulInteger",
                                        "ConvInteger",
                                        "QGemm",
                                        "QLinearAdd",
                                        "MatMulNBits",
                                        "QAttention",
                                        "MatMulIntegerToFloat",
                                        "DynamicQuantizeMatMul",
                                        "DynamicQuantizeLSTM"};
    for (size_t i = 0; i < e->model.graph.node_count; i++) {
        const struct pt_onnx_node *n = &e->model.graph.nodes[i];
        for (size_t k = 0; k < sizeof signs / sizeof *signs; k++)
            if (pt_str_eq(n->op_type, pt_str(signs[k])))
                return pt_fail(err, PT_EUNSUPPORTED, "the model is quantised already: node '" PT_STR_FMT "' is a %s",
                               PT_STR_ARG(n->name.len ? n->name : n->outputs[0]), signs[k]);
    }
    return PT_OK;
}

/* A float32 initializer for this node alone; its index. */
static int own_weights(struct pt_edit *e, size_t node, size_t operand, struct pt_err *err)
{
    struct pt_str was = e->model.graph.nodes[node].inputs[operand];
    const struct pt_edit_value *v = pt_edit_value(e, was, NULL);
    if (v->reader_count == 1 && !v->is_output && !v->captured) {
        int i = v->initializer;
        return pt_edit_floats(e, i, err) ? i : err->code;
    }
    struct pt_tensor t = e->model.graph.initializers[v->initializer].t;
    struct pt_str name = pt_edit_name(e, was, err);
    int i = name.p ? pt_edit_add_initializer(e, name, t.dtype, t.rank, t.dims, t.data, err) : err->code;
    if (i >= 0)
        e->model.graph.nodes[node].inputs[operand] = name;
    pt_edit_changed(e);
    return i;
}

/* --- Identity, and Transpose of weights ------------------------------------------------------------------------------------------- */

static int drop_identities(struct pt_edit *e, struct pt_err *err)
{
    bool *drop = pt_edit_alloc(e, e->model.graph.node_count, err);
    if (!drop)
        return err->code;
    for (size_t i = 0; i < e->model.graph.node_count; i++) {
        const struct pt_onnx_node *n = &e->model.graph.nodes[i];
        const struct pt_edit_value *v = is_op(n, "Identity") ? pt_edit_value(e, n->outputs[0], NULL) : NULL;
        if (!v || v->is_output || v->captured)
            continue;
        drop[i] = true;
        pt_edit_redirect(e, n->outputs[0], n->inputs[0], i + 1);
    }
    pt_edit_drop_nodes(e, drop);
    return PT_OK;
}

/* Transpose of a constant matrix becomes another constant. */
static int fold_transpose(struct pt_edit *e, size_t node, struct pt_err *err)
{
    const struct pt_onnx_node *n = &e->model.graph.nodes[node];
    const struct pt_tensor *t = is_op(n, "Transpose") ? pt_edit_constant(e, n, 0) : NULL;
    const struct pt_onnx_attr *perm = pt_edit_attr(n, "perm");
    if (!t || t->dtype != PT_FLOAT || t->rank != 2 || (perm && !(perm->type == PT_ATTR_INTS && perm->count == 2 && perm->ints[0] == 1)))
        return PT_OK;
    int64_t rows = t->dims[0], cols = t->dims[1];
    const float *from = t->data;
    pt_auto_free float *to = pt_reallocarray(NULL, (size_t)(rows * cols) + 1, sizeof *to);
    if (!to)
        return pt_fail(err, PT_ENOMEM, "out of memory changing the model");
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            to[c * rows + r] = from[r * cols + c];
    struct pt_str out = n->outputs[0], name = pt_edit_name(e, out, err);
    int rc = name.p ? pt_edit_add_initializer(e, name, PT_FLOAT, 2, (const int64_t[]){cols, rows}, to, err) : err->code;
    if (rc >= 0)
        pt_edit_redirect(e, out, name, node + 1); /* an output of the model stays the Transpose's */
    return rc < 0 ? rc : PT_OK;
}

/* --- BatchNormalization ---------------------------------------------------------------------------------------------------------------- */

/* w[c] *= s, b[c] = (b[c] - mean) s + beta with s = gamma / sqrt(var + eps), for a Conv whose result only the BatchNormalization reads. */
static int fold_batchnorm(struct pt_edit *e, size_t bn, struct pt_err *err)
{
    const struct pt_onnx_node *n = &e->model.graph.nodes[bn];
    const struct pt_edit_value *v = is_op(n, "BatchNormalization") && n->input_count == 5 ? pt_edit_value(e, n->inputs[0], NULL) : NULL;
    if (!v || v->producer < 0 || v->reader_count != 1 || v->is_output || v->captured || pt_edit_attr_int(n, "training_mode", 0))
        return PT_OK;
    size_t conv = (size_t)v->producer;
    const struct pt_onnx_node *c = &e->model.graph.nodes[conv];
    const struct pt_tensor *w = is_op(c, "Conv") ? pt_edit_constant(e, c, 1) : NULL, *b = w ? pt_edit_constant(e, c, 2) : NULL, *p[4];
    bool bias = c->input_count > 2 && c->inputs[2].len;
    if (!w || w->dtype != PT_FLOAT || w->rank < 3 || (bias && (!b || b->dtype != PT_FLOAT || b->rank != 1 || b->dims[0] != w->dims[0])))
        return PT_OK;
    for (size_t i = 0; i < 4; i++)
        if (!(p[i] = pt_edit_constant(e, n, i + 1)) || p[i]->dtype != PT_FLOAT || p[i]->rank != 1 || p[i]->dims[0] != w->dims[0])
            return PT_OK;
    int64_t channels = w->dims[0], each = channels ? pt_tensor_count(w) / channels : 0;
    const struct pt_onnx_attr *a = pt_edit_attr(n, "epsilon");
    double eps = a && a->type == PT_ATTR_FLOAT ? (double)a->f : 1e-5;
    const float *gamma = p[0]->data, *beta = p[1]->data, *mean = p[2]->data, *var = p[3]->data;
    pt_auto_free float *shift = pt_reallocarray(NULL, (size_t)channels + 1, sizeof *shift);
    if (!shift)
        return pt_fail(err, PT_ENOMEM, "out of memory changing the model");
    struct pt_str out = n->outputs[0], was = n->inputs[0];
    for (int64_t k = 0; k < channels; k++) {
        double s = (double)gamma[k] / sqrt((double)var[k] + eps), old = bias ? (double)((const float *)b->data)[k] : 0;
        shift[k] = (float)((old - (double)mean[k]) * s + (double)beta[k]);
    }
    int at = own_weights(e, conv, 1, err);
    if (at < 0)
        return at;
    float *x = e->model.graph.initializers[at].t.data;
    for (int64_t k = 0; k < channels; k++)
        for (int64_t i = 0; i < each; i++)
            x[k * each + i] = (float)((double)x[k * each + i] * ((double)gamma[k] / sqrt((double)var[k] + eps)));
    struct pt_str stem = pt_edit_text(e, PT_STR_FMT "_bias", PT_STR_ARG(was)), name = stem.p ? pt_edit_name(e, stem, err) : stem;
    int rc = name.p ? pt_edit_add_initializer(e, name, PT_FLOAT, 1, &channels, shift, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    struct pt_str *inputs = rc < 0 ? NULL : pt_edit_alloc(e, 3 * sizeof *inputs, err);
    if (!inputs)
        return err->code;
    struct pt_onnx_node *to = &e->model.graph.nodes[conv];
    memcpy(inputs, to->inputs, 2 * sizeof *inputs);
    inputs[2] = name;
    to->inputs = inputs;
    to->input_count = 3;
    to->outputs[0] = out;
    e->model.graph.nodes[bn].outputs[0] = was; /* turned round; nobody reads it, and the sweep takes it */
    e->model.graph.nodes[bn].inputs[0] = out;
    pt_edit_changed(e);
    return PT_OK;
}

/* --- Gemm --------------------------------------------------------------------------------------------------------------------------------- */

static int scale_operand(struct pt_edit *e, size_t node, size_t operand, const char *attr, struct pt_err *err)
{
    const struct pt_onnx_attr *a = pt_edit_attr(&e->model.graph.nodes[node], attr);
    float by = a && a->type == PT_ATTR_FLOAT ? a->f : 1;
    if (by == 1)
        return PT_OK;
    const struct pt_tensor *t = pt_edit_constant(e, &e->model.graph.nodes[node], operand);
    if (t && t->dtype == PT_FLOAT) {
        int at = own_weights(e, node, operand, err);
        if (at < 0)
            return at;
        float *x = e->model.graph.initializers[at].t.data;
        for (int64_t i = 0, n = pt_tensor_count(&e->model.graph.initializers[at].t); i < n; i++)
            x[i] *= by;
    } else if (e->model.graph.nodes[node].input_count > operand && e->model.graph.nodes[node].inputs[operand].len) {
        return PT_OK; /* computed: it stays as it is, and the node a float one */
    }
    return pt_edit_set_float(e, &e->model.graph.nodes[node], attr, 1, err);
}

/* transB off: weights as [K, N]. */
static int lay_out(struct pt_edit *e, size_t node, struct pt_err *err)
{
    struct pt_onnx_node *n = &e->model.graph.nodes[node];
    const struct pt_tensor *t = pt_edit_constant(e, n, 1);
    if (!pt_edit_attr_int(n, "transB", 0) || !t || t->dtype != PT_FLOAT || t->rank != 2)
        return PT_OK;
    int at = own_weights(e, node, 1, err);
    if (at < 0)
        return at;
    struct pt_tensor was = e->model.graph.initializers[at].t;
    int64_t dims[] = {was.dims[1], was.dims[0]};
    int rc = pt_edit_set_initializer(e, at, PT_FLOAT, 2, dims, NULL, err);
    float *to = e->model.graph.initializers[at].t.data;
    const float *from = was.data;
    for (int64_t r = 0; rc == PT_OK && r < dims[0]; r++)
        for (int64_t c = 0; c < dims[1]; c++)
            to[r * dims[1] + c] = from[c * dims[0] + r];
    return rc < 0 ? rc : pt_edit_set_int(e, &e->model.graph.nodes[node], "transB", 0, err);
}

static int normalise_gemm(struct pt_edit *e, size_t node, bool plain, struct pt_err *err)
{
    if (!is_op(&e->model.graph.nodes[node], "Gemm"))
        return PT_OK;
    int rc = scale_operand(e, node, 1, "alpha", err);
    if (rc == PT_OK)
        rc = scale_operand(e, node, 2, "beta", err);
    return rc == PT_OK && plain ? lay_out(e, node, err) : rc;
}

/* Floats of a file may lie anywhere; here they are read as floats. */
static int align(struct pt_edit *e, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < e->model.graph.initializer_count; i++) {
        const struct pt_tensor *t = &e->model.graph.initializers[i].t;
        if (t->dtype == PT_FLOAT && (uintptr_t)t->data % sizeof(float))
            rc = pt_edit_floats(e, (int)i, err) ? PT_OK : err->code;
    }
    return rc;
}

int pt_qz_prepare(struct pt_edit *e, const struct pt_quantize_options *o, struct pt_err *err)
{
    bool four = o->weight_type == PT_INT4 || o->weight_type == PT_UINT4;
    bool blocks = o->mode == PT_QUANTIZE_WEIGHTS && (four ? !o->vendor : o->block > 0);
    bool plain = o->mode == PT_QUANTIZE_DYNAMIC || (o->mode == PT_QUANTIZE_STATIC && o->form == PT_FORM_OPERATORS);
    int rc = refuse_quantised(e, err);
    if (rc == PT_OK)
        rc = align(e, err);
    if (rc == PT_OK)
        rc = pt_edit_raise_opset(e, blocks ? 21 : 13, err);
    if (rc == PT_OK)
        rc = drop_identities(e, err);
    for (size_t i = 0; rc == PT_OK && i < e->model.graph.node_count; i++) {
        rc = fold_transpose(e, i, err);
        if (rc == PT_OK)
            rc = fold_batchnorm(e, i, err);
        if (rc == PT_OK)
            rc = normalise_gemm(e, i, plain, err);
    }
    return rc < 0 ? rc : pt_edit_sweep(e, err);
}
