/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_ops.c: which operators are quantised. To add one: a row, and a line in tests/unit/runtime/quantize.c. A row needs an operator on integers
 * in Pintle (compile/rewrite_qdq.c, rewrite_qlinear.c), or it would only cost time.
 */
#include "runtime/compress/quantize_plan.h"

#include <string.h>

static const struct pt_qz_op rows[] = {
    {"Conv", PT_QZ_PRODUCT, 1, 2, 0, "QLinearConv", "", true},
    {"Gemm", PT_QZ_PRODUCT, 1, 2, 0, "QGemm", "com.microsoft", false},
    {"MatMul", PT_QZ_PRODUCT, 1, 0, 0, "QLinearMatMul", "", false},
    {"Add", PT_QZ_POINTWISE, 0, 0, 2, "QLinearAdd", "com.microsoft", false},
    {"Mul", PT_QZ_POINTWISE, 0, 0, 2, "QLinearMul", "com.microsoft", false},
    {"Sigmoid", PT_QZ_POINTWISE, 0, 0, 1, "QLinearSigmoid", "com.microsoft", false},
    {"LeakyRelu", PT_QZ_POINTWISE, 0, 0, 1, "QLinearLeakyRelu", "com.microsoft", false},
    {"AveragePool", PT_QZ_POINTWISE, 0, 0, 1, "QLinearAveragePool", "com.microsoft", false},
    {"GlobalAveragePool", PT_QZ_POINTWISE, 0, 0, 1, "QLinearGlobalAveragePool", "com.microsoft", false},
    {"Concat", PT_QZ_POINTWISE, 0, 0, 0, "QLinearConcat", "com.microsoft", false},
    {"Relu", PT_QZ_BOUND, 0, 0, 1, NULL, NULL, false},
    {"Clip", PT_QZ_BOUND, 0, 0, 1, NULL, NULL, false},
    {"MaxPool", PT_QZ_MOVE, 0, 0, 1, "MaxPool", "", false},
    {"Reshape", PT_QZ_MOVE, 0, 0, 1, "Reshape", "", false},
    {"Flatten", PT_QZ_MOVE, 0, 0, 1, "Flatten", "", false},
    {"Squeeze", PT_QZ_MOVE, 0, 0, 1, "Squeeze", "", false},
    {"Unsqueeze", PT_QZ_MOVE, 0, 0, 1, "Unsqueeze", "", false},
    {"Transpose", PT_QZ_MOVE, 0, 0, 1, "Transpose", "", false},
    {"Slice", PT_QZ_MOVE, 0, 0, 1, "Slice", "", false},
    {"DepthToSpace", PT_QZ_MOVE, 0, 0, 1, "DepthToSpace", "", false},
    {"SpaceToDepth", PT_QZ_MOVE, 0, 0, 1, "SpaceToDepth", "", false},
    {"ConvTranspose", PT_QZ_STORED, 1, 2, 0, NULL, NULL, false},
    {"Gather", PT_QZ_STORED, 0, 0, 0, NULL, NULL, false},
};

const struct pt_qz_op *pt_qz_op_find(const struct pt_onnx_node *n)
{
    for (size_t i = 0; n->domain.len == 0 && i < sizeof rows / sizeof *rows; i++)
        if (pt_str_eq(n->op_type, pt_str(rows[i].op)))
            return &rows[i];
    return NULL;
}

/* Axes of channels and of what is summed; false with the reason. */
static bool axes_of(const struct pt_onnx_node *n, const struct pt_qz_op *row, int rank, struct pt_qz_weight *w, const char **why)
{
    bool matrix = rank == 2, transposed = pt_edit_attr_int(n, "transB", 0) != 0;
    if (pt_str_eq(n->op_type, PT_STR("Conv"))) {
        w->channel = 0;
        w->summed = 1;
        *why = rank < 3 ? "the weights are no kernel" : NULL;
    } else if (pt_str_eq(n->op_type, PT_STR("ConvTranspose"))) {
        w->channel = pt_edit_attr_int(n, "group", 1) == 1 ? 1 : -1;
        w->summed = 0;
        *why = rank < 3 ? "the weights are no kernel" : NULL;
    } else if (row->kind == PT_QZ_STORED) {
        w->channel = 0;
        w->summed = 1;
        *why = matrix ? NULL : "the table is no matrix";
    } else {
        w->channel = transposed ? 0 : 1;
        w->summed = !w->channel;
        *why = !matrix ? "the weights are no matrix" : pt_edit_attr_int(n, "transA", 0) ? "its first operand is transposed" : NULL;
    }
    return !*why;
}

bool pt_qz_weight_of(struct pt_edit *e, const struct pt_onnx_node *n, const struct pt_qz_op *row, struct pt_qz_weight *w, const char **why)
{
    *w = (struct pt_qz_weight){-1, -1, -1};
    const struct pt_edit_value *v = (size_t)row->weight < n->input_count ? pt_edit_value(e, n->inputs[row->weight], NULL) : NULL;
    const struct pt_tensor *t = v && v->initializer >= 0 ? &e->model.graph.initializers[v->initializer].t : NULL;
    *why = !t ? "its weights are computed" : t->dtype == PT_FLOAT16 ? "its weights are float16" : "its weights are not float32";
    if (!t || t->dtype != PT_FLOAT || !axes_of(n, row, t->rank, w, why))
        return false;
    w->initializer = v->initializer;
    for (size_t i = 0; i < t->size_bytes; i += sizeof(float)) {
        float x; /* a file's may lie anywhere */
        memcpy(&x, (const char *)t->data + i, sizeof x);
        if (!(x - x == 0)) {
            *why = "its weights are not all finite";
            return false;
        }
    }
    *why = pt_tensor_count(t) == 0 ? "it has no weights" : NULL;
    return !*why;
}
