/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_layers.c: which nodes are products with weights, and where in memory their output and input channels are.
 *
 * Weights are looked for behind Identity and Transpose too, as exporters write a Linear, and behind a Cast from float32; what is behind anything else
 * is a layer that cannot be pruned, with a reason.
 */
#include "runtime/compress/prune_parts.h"

#include <fnmatch.h>
#include <math.h>

const char *const pt_prune_kinds[] = {"unstructured", "n:m", "blocks", "channels", "heads", NULL};
const char *const pt_prune_criteria[] = {"l1", "l2", "bn-scale", "taylor", "wanda", "random", NULL};
const char *const pt_prune_scopes[] = {"per-layer", "global", NULL};

struct pt_str pt_node_label(const struct pt_onnx_node *n)
{
    return n->name.len || n->output_count == 0 ? n->name : n->outputs[0];
}

bool pt_node_is(const struct pt_onnx_node *n, const char *domain, const char *op)
{
    return pt_str_eq(n->domain, pt_str(domain)) && pt_str_eq(n->op_type, pt_str(op));
}

/* --- options ---------------------------------------------------------------------------------------------------------------- */

static int check_amount(double amount, const char *what, struct pt_err *err)
{
    return amount >= 0 && amount < 1 ? PT_OK : pt_fail(err, PT_EINVAL, "%s is %g, must be from 0 to below 1", what, amount);
}

int pt_prune_check(const struct pt_prune_options *o, const struct pt_data *samples, struct pt_err *err)
{
    bool zeros = o->kind < PT_PRUNE_CHANNELS;
    int rc = check_amount(o->amount, "the amount to prune", err);
    for (size_t i = 0; rc == PT_OK && i < o->rule_count; i++)
        if ((rc = check_amount(o->rules[i].amount, "the amount to prune", err)) < 0)
            pt_wrap(err, "layers \"%s\"", o->rules[i].pattern);
    if (rc == PT_OK)
        rc = check_amount(o->max_per_layer, "the most that a layer may lose", err);
    if (rc < 0)
        return rc;
    if (o->kind == PT_PRUNE_N_OF_M && (o->n < 0 || o->m < 0 || (o->m > 0 && (o->n < 1 || o->n >= o->m)) || (o->m == 0 && o->n > 0)))
        return pt_fail(err, PT_EINVAL, "%d of %d weights cannot stay: 1 <= n < m is needed", o->n, o->m);
    if (o->kind == PT_PRUNE_N_OF_M && o->scope == PT_PRUNE_GLOBAL)
        return pt_fail(err, PT_EINVAL, "n:m leaves the same share in every layer; it has no global scope");
    if (o->block_rows < 0 || o->block_cols < 0 || o->round_to < 0)
        return pt_fail(err, PT_EINVAL, "blocks of %d x %d, channels in multiples of %lld: none may be negative", o->block_rows, o->block_cols,
                       (long long)o->round_to);
    if (o->criterion == PT_PRUNE_BN_SCALE && o->kind != PT_PRUNE_CHANNELS)
        return pt_fail(err, PT_EINVAL, "criterion bn-scale says what channels are worth; kind %s needs another", pt_prune_kinds[o->kind]);
    if (o->lamp && (o->kind != PT_PRUNE_UNSTRUCTURED || o->scope != PT_PRUNE_GLOBAL || o->criterion > PT_PRUNE_L2))
        return pt_fail(err, PT_EINVAL, "lamp is for kind unstructured with global scope and criterion l1 or l2");
    if ((o->through_norms || o->zeros_only) && zeros)
        return pt_fail(err, PT_EINVAL, "%s is for kinds channels and heads, not %s", o->zeros_only ? "zeros only" : "through norms",
                       pt_prune_kinds[o->kind]);
    if ((o->criterion == PT_PRUNE_TAYLOR || o->criterion == PT_PRUNE_WANDA) && !samples)
        return pt_fail(err, PT_EINVAL, "criterion %s needs samples", pt_prune_criteria[o->criterion]);
    if (o->criterion == PT_PRUNE_TAYLOR && samples->labels.dtype == PT_UNDEFINED)
        return pt_fail(err, PT_EINVAL, "criterion taylor needs samples with labels");
    return PT_OK;
}

/* --- finding ---------------------------------------------------------------------------------------------------------------- */

/* What is known of weights on the way from the initializer to the product. */
struct view {
    int initializer;
    int rank, axes[PT_MAX_RANK]; /* axis of the initializer that each axis of the view is */
    const char *reason;
};

static void transpose_view(struct view *v, const struct pt_onnx_node *n)
{
    const struct pt_onnx_attr *perm = pt_edit_attr(n, "perm");
    bool given = perm && perm->type == PT_ATTR_INTS && perm->count == (size_t)v->rank;
    int before[PT_MAX_RANK];
    memcpy(before, v->axes, sizeof before);
    for (int i = 0; i < v->rank; i++) {
        int64_t from = given ? perm->ints[i] : v->rank - 1 - i;
        from += from < 0 ? v->rank : 0;
        if (from < 0 || from >= v->rank)
            v->reason = "its transposition names an axis that is not there";
        else
            v->axes[i] = before[from];
    }
}

static bool is_dequantised(const struct pt_onnx_node *n)
{
    return pt_str_eq(n->op_type, PT_STR("DequantizeLinear"));
}

/* false: the value is no constant. */
static bool view_of(struct pt_edit *e, struct pt_str name, struct view *v, int depth)
{
    const struct pt_edit_value *x = pt_edit_value(e, name, NULL);
    if (!x)
        return false;
    if (x->initializer >= 0) {
        const struct pt_tensor *t = &e->model.graph.initializers[x->initializer].t;
        *v = (struct view){.initializer = x->initializer, .rank = t->rank};
        for (int i = 0; i < t->rank; i++)
            v->axes[i] = i;
        v->reason = x->captured ? "a graph inside a node reads the weights too" : x->is_output ? "the weights are an output of the model" : NULL;
        return true;
    }
    if (x->producer < 0 || depth > 8)
        return false;
    const struct pt_onnx_node *n = &e->model.graph.nodes[x->producer];
    if (n->domain.len || n->input_count < 1 || !view_of(e, n->inputs[0], v, depth + 1))
        return false;
    if (pt_str_eq(n->op_type, PT_STR("Transpose")))
        transpose_view(v, n);
    else if (!pt_str_eq(n->op_type, PT_STR("Identity")) && !pt_str_eq(n->op_type, PT_STR("Cast")))
        v->reason = "the weights are computed by a node";
    return true;
}

/* Axes of outputs, inputs and the weights' operand of a product; false: not one. */
static bool product_axes(const struct pt_onnx_node *n, int rank, int operand, int *out, int *in)
{
    *out = rank - 1;
    *in = rank - 2;
    if (pt_node_is(n, "com.microsoft", "Attention"))
        return operand == 1 && rank == 2;
    if (n->domain.len)
        return false;
    if (pt_str_eq(n->op_type, PT_STR("Conv")))
        *out = 0, *in = 1;
    else if (pt_str_eq(n->op_type, PT_STR("ConvTranspose")))
        *out = 1, *in = 0;
    else if (pt_str_eq(n->op_type, PT_STR("Gemm")) && operand == 1)
        *out = pt_edit_attr_int(n, "transB", 0) ? 0 : 1, *in = 1 - *out;
    else if (pt_str_eq(n->op_type, PT_STR("MatMul")) && operand == 0)
        *out = rank - 2, *in = rank - 1;
    else
        return pt_str_eq(n->op_type, PT_STR("MatMul"));
    return true;
}

/* The bias: third operand, or the constant that the only reader of a MatMul adds. */
static int find_bias(struct pt_edit *e, const struct pt_onnx_node *n, int64_t outs)
{
    const struct pt_edit_value *b = n->input_count > 2 ? pt_edit_value(e, n->inputs[2], NULL) : NULL;
    if (pt_str_eq(n->op_type, PT_STR("MatMul"))) {
        const struct pt_edit_value *y = pt_edit_value(e, n->outputs[0], NULL);
        const struct pt_onnx_node *add = y && y->reader_count == 1 ? &e->model.graph.nodes[y->readers[0]] : NULL;
        if (add && pt_node_is(add, "", "Add") && add->input_count == 2)
            b = pt_edit_value(e, add->inputs[pt_str_eq(add->inputs[0], n->outputs[0])], NULL);
    }
    return b && b->initializer >= 0 && pt_tensor_count(&e->model.graph.initializers[b->initializer].t) == outs ? b->initializer : -1;
}

/* A layer of node i when its operand `operand` is constant weights. */
static void take_layer(struct pt_edit *e, int i, int operand, struct pt_layers *out)
{
    const struct pt_onnx_node *n = &e->model.graph.nodes[i];
    struct view v;
    int o, in;
    if ((size_t)operand >= n->input_count || n->output_count < 1 || !view_of(e, n->inputs[operand], &v, 0))
        return;
    const struct pt_tensor *t = &e->model.graph.initializers[v.initializer].t;
    if (v.rank < 2 || !product_axes(n, v.rank, operand, &o, &in) || pt_tensor_count(t) < 1)
        return;
    struct pt_layer *l = &out->list[out->count++];
    *l = (struct pt_layer){.node = i,
                           .weight = v.initializer,
                           .out_axis = v.axes[o],
                           .in_axis = v.axes[in],
                           .count = pt_tensor_count(t),
                           .groups = pt_str_eq(n->op_type, PT_STR("Conv")) ? pt_edit_attr_int(n, "group", 1) : 1,
                           .name = pt_node_label(n),
                           .input = n->inputs[1 - operand],
                           .reason = v.reason};
    l->outs = t->dims[l->out_axis];
    l->ins = t->dims[l->in_axis];
    l->out_stride = pt_dims_product(t->dims + l->out_axis + 1, t->rank - l->out_axis - 1);
    l->in_stride = pt_dims_product(t->dims + l->in_axis + 1, t->rank - l->in_axis - 1);
    l->bias = find_bias(e, n, l->outs);
    if (!l->reason && t->dtype != PT_FLOAT)
        l->reason = "the weights are not float32";
    for (size_t k = 0; k + 1 < out->count; k++)
        if (out->list[k].weight == l->weight && !l->reason)
            l->reason = "its weights are those of a layer before it";
}

int pt_layers_find(struct pt_edit *e, struct pt_layers *out, struct pt_err *err)
{
    const struct pt_onnx_graph *g = &e->model.graph;
    *out = (struct pt_layers){.list = pt_calloc(2 * g->node_count + 1, sizeof *out->list)};
    int rc = PT_OK;
    pt_edit_value(e, PT_STR("-"), &rc); /* the index, so that what follows finds it made */
    if (!out->list || rc == PT_ENOMEM)
        return pt_fail(err, PT_ENOMEM, "out of memory for pruning");
    for (size_t i = 0; i < g->node_count; i++) {
        const struct pt_onnx_node *n = &g->nodes[i];
        if (is_dequantised(n) || pt_node_is(n, "", "QLinearConv") || pt_node_is(n, "", "QLinearMatMul") || pt_node_is(n, "", "ConvInteger") ||
            pt_node_is(n, "", "MatMulInteger") || pt_node_is(n, "com.microsoft", "MatMulNBits"))
            return pt_fail(err, PT_EUNSUPPORTED, "node '" PT_STR_FMT "' (" PT_STR_FMT "): the model is quantised; prune before quantising",
                           PT_STR_ARG(pt_node_label(n)), PT_STR_ARG(n->op_type));
        take_layer(e, (int)i, 1, out);
        if (pt_node_is(n, "", "MatMul"))
            take_layer(e, (int)i, 0, out);
    }
    if (out->count == 0)
        return pt_fail(err, PT_EINVAL, "the model has no layer to prune: no Conv, ConvTranspose, Gemm or MatMul with constant weights");
    return PT_OK;
}

/* --- rules ------------------------------------------------------------------------------------------------------------------ */

static int matches(struct pt_edit *e, const char *pattern, struct pt_str name, struct pt_err *err)
{
    struct pt_str s = pt_edit_text(e, PT_STR_FMT, PT_STR_ARG(name));
    return s.p ? fnmatch(pattern, s.p, FNM_NOESCAPE) == 0 : pt_fail(err, PT_ENOMEM, "out of memory for pruning");
}

int pt_layers_apply_rules(struct pt_edit *e, struct pt_layers *l, const struct pt_prune_options *o, struct pt_err *err)
{
    for (size_t i = 0; i < l->count; i++)
        l->list[i].amount = o->amount;
    for (size_t r = 0; r < o->rule_count; r++) {
        bool used = false;
        for (size_t i = 0; i < l->count; i++) {
            int by_name = matches(e, o->rules[r].pattern, l->list[i].name, err);
            int by_weight = matches(e, o->rules[r].pattern, e->model.graph.initializers[l->list[i].weight].name, err);
            if (by_name < 0 || by_weight < 0)
                return PT_ENOMEM;
            if (by_name || by_weight) {
                l->list[i].amount = o->rules[r].amount;
                l->list[i].rule = (int)r + 1;
                used = true;
            }
        }
        if (!used)
            return pt_fail(
                err, PT_ENOTFOUND, "no layer's name or weights match \"%s\"; the first of %zu layers is '" PT_STR_FMT "' with '" PT_STR_FMT "'",
                o->rules[r].pattern, l->count, PT_STR_ARG(l->list[0].name), PT_STR_ARG(e->model.graph.initializers[l->list[0].weight].name));
    }
    return PT_OK;
}

void pt_layers_finish(struct pt_layers *l)
{
    pt_free(l->list);
    *l = (struct pt_layers){0};
}
