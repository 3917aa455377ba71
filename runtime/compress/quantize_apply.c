/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_apply.c: static quantisation, written into the model.
 *
 * Every value that the plan uses gets integers and, for whoever reads floats, a DequantizeLinear. A value that a quantised node makes keeps its name
 * behind the DequantizeLinear, and its maker's result a new one: so readers, and outputs of the model, stay what they are. A value that floats make
 * keeps its name too, and quantised nodes read another one.
 *
 * In the form OPERATORS a node writes the integers itself, and what nobody reads of the rest is swept away.
 */
#include "runtime/compress/quantize_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BIAS_STEPS 1073741824.0 /* 2^30: a bias has at most so many steps of the product's scale, half of what int32 holds */

struct written {
    struct pt_str q, scale, zero, floats, raw; /* raw: what is rounded */
};
struct written_weight {
    int initializer, axis;
    struct pt_qz_weights names;
};
struct apply {
    struct pt_qz_writer w;
    const struct pt_qz_plan *p;
    struct pt_qz_follow *follow; /* NULL: not for training */
    struct written *values;
    struct written_weight *weights;
    size_t weight_count;
    bool *drop; /* nodes of the plan that are done by others */
    struct pt_quantize_layer *layers;
};

static struct pt_onnx_node *node_of(struct apply *a, size_t i)
{
    return &a->w.e->model.graph.nodes[i];
}

static enum pt_dtype activation_type(const struct apply *a)
{
    return a->p->o->activation_type == PT_INT8 ? PT_INT8 : PT_UINT8;
}

static enum pt_dtype weight_type(const struct apply *a)
{
    return a->p->o->weight_type == PT_UINT8 ? PT_UINT8 : PT_INT8;
}

/* --- values ----------------------------------------------------------------------------------------------------------------------- */

static struct pt_str put(struct apply *a, const char *op, struct pt_str stem, const char *suffix, struct pt_str x, struct pt_str y)
{
    struct pt_str out = pt_qz_name(&a->w, stem, suffix);
    pt_qz_put(&a->w, op, "", out, PT_QZ_IN(x, y));
    return out;
}

static struct pt_str real(struct apply *a, struct pt_str stem, const char *suffix, float v)
{
    return pt_qz_constant(&a->w, stem, suffix, PT_FLOAT, 0, NULL, &v);
}

/* One end of a range in training: end + rate * (least or greatest of the batch - end) is carried into the next step. Its name. */
static struct pt_str follow(struct apply *a, size_t i, bool high)
{
    const struct pt_qz_value *v = &a->p->values[i];
    struct pt_str end = real(a, v->name, high ? "_high" : "_low", high ? v->range.high : v->range.low), most = pt_qz_name(&a->w, v->name, "_most");
    size_t reduce = pt_qz_put(&a->w, high ? "ReduceMax" : "ReduceMin", "", most, PT_QZ_IN(a->values[i].raw));
    pt_qz_attr(&a->w, reduce, "keepdims", 0);
    struct pt_str with_zero = put(a, high ? "Max" : "Min", v->name, "_end", most, real(a, v->name, "_nothing", 0));
    double rate = a->p->o->calibration.average > 0 ? a->p->o->calibration.average : 0.01;
    struct pt_str step = put(a, "Mul", v->name, "_step", put(a, "Sub", v->name, "_off", with_zero, end), real(a, v->name, "_rate", (float)rate));
    a->follow->carries[a->follow->count++] = (struct pt_train_carry){end, put(a, "Add", v->name, "_next", end, step)};
    return end;
}

/* Scale and zero point of a range that follows, as pt_grid_make() has them. */
static void write_following(struct apply *a, size_t i)
{
    const struct pt_qz_value *v = &a->p->values[i];
    struct written *out = &a->values[i];
    bool symmetric = a->p->o->activation_symmetric, is_signed = activation_type(a) == PT_INT8;
    struct pt_str low = follow(a, i, false), high = follow(a, i, true), width;
    if (symmetric)
        width = put(a, "Max", v->name, "_width", put(a, "Sub", v->name, "_below", real(a, v->name, "_nothing", 0), low), high);
    else
        width = put(a, "Sub", v->name, "_width", high, low);
    struct pt_str each = put(a, "Mul", v->name, "_each", width, real(a, v->name, "_steps", 1.0F / (symmetric ? 127 : 255)));
    out->scale = put(a, "Max", v->name, "_scale", each, real(a, v->name, "_least", 1e-12F));
    float lowest = is_signed ? -128 : 0;
    if (symmetric) {
        int8_t zero = (int8_t)(is_signed ? 0 : 128);
        out->zero = pt_qz_constant(&a->w, v->name, "_zero_point", activation_type(a), 0, NULL, &zero);
        return;
    }
    struct pt_str below = put(a, "Div", v->name, "_below", low, out->scale);
    struct pt_str at = put(a, "Sub", v->name, "_at", real(a, v->name, "_lowest", lowest), below), whole = pt_qz_name(&a->w, v->name, "_whole");
    pt_qz_put(&a->w, "Round", "", whole, PT_QZ_IN(at));
    struct pt_str within = pt_qz_name(&a->w, v->name, "_within");
    pt_qz_put(&a->w, "Clip", "", within, PT_QZ_IN(whole, real(a, v->name, "_lowest", lowest), real(a, v->name, "_highest", lowest + 255)));
    out->zero = pt_qz_name(&a->w, v->name, "_zero_point");
    pt_qz_attr(&a->w, pt_qz_put(&a->w, "Cast", "", out->zero, PT_QZ_IN(within)), "to", activation_type(a));
}

static void write_value(struct apply *a, size_t i)
{
    const struct pt_qz_value *v = &a->p->values[i];
    struct written *out = &a->values[i];
    int8_t zero = (int8_t)(uint8_t)v->grid.zero;
    out->raw = v->made ? pt_qz_name(&a->w, v->name, "_float") : v->name;
    if (a->follow && v->same_as >= 0) {
        out->scale = a->values[v->same_as].scale;
        out->zero = a->values[v->same_as].zero;
    } else if (a->follow) {
        write_following(a, i);
    } else {
        out->scale = pt_qz_constant(&a->w, v->name, "_scale", PT_FLOAT, 0, NULL, &v->grid.scale);
        out->zero = pt_qz_constant(&a->w, v->name, "_zero_point", activation_type(a), 0, NULL, &zero);
    }
    out->q = pt_qz_name(&a->w, v->name, "_quantized");
    out->floats = v->made ? v->name : pt_qz_name(&a->w, v->name, "_dequantized");
    if (!v->made)
        pt_qz_put(&a->w, "QuantizeLinear", "", out->q, PT_QZ_IN(v->name, out->scale, out->zero));
    pt_qz_put(&a->w, "DequantizeLinear", "", out->floats, PT_QZ_IN(out->q, out->scale, out->zero));
}

static const struct written *written_of(const struct apply *a, struct pt_str name)
{
    int i = pt_qz_value_of(a->p, name);
    return i < 0 ? NULL : &a->values[i];
}

/* Of an operand that the plan quantises: it is there. */
static const struct written *operand_of(const struct apply *a, struct pt_str name)
{
    static const struct written none;
    const struct written *w = written_of(a, name);
    return w ? w : &none;
}

static float scale_of(const struct apply *a, struct pt_str name)
{
    int i = pt_qz_value_of(a->p, name);
    return i < 0 ? 1 : a->p->values[i].grid.scale;
}

/* --- weights ------------------------------------------------------------------------------------------------------------------------ */

/* Least scales that keep the bias within int32; how many channels. */
static float *floors(const struct apply *a, const struct pt_onnx_node *n, const struct pt_qz_node *q, int axis, struct pt_err *err)
{
    const struct pt_tensor *b = q->row->bias ? pt_edit_constant(a->p->e, n, (size_t)q->row->bias) : NULL;
    const struct pt_tensor *t = &a->p->e->model.graph.initializers[q->weight.initializer].t;
    size_t channels = axis >= 0 ? (size_t)t->dims[axis] : 1;
    float *out = pt_calloc(channels + 1, sizeof *out), sx = scale_of(a, n->inputs[0]);
    if (!out)
        pt_fail(err, PT_ENOMEM, "out of memory quantising weights");
    for (int64_t c = 0; out && b && c < b->dims[0]; c++) {
        float *f = &out[axis >= 0 ? c : 0];
        *f = fmaxf(*f, (float)(fabs((double)((const float *)b->data)[c]) / ((double)sx * BIAS_STEPS)));
    }
    return out;
}

static bool within_floors(const struct pt_qz_array *w, const float *floor)
{
    bool holds = true;
    for (size_t i = 0; i < w->grids; i++)
        holds = holds && w->scale[i] >= floor[i];
    return holds;
}

/* The integers of node i's weights. *usual: they are what any node with these weights has. */
static int make_array(struct apply *a, size_t i, int axis, struct pt_qz_array *out, bool *usual)
{
    const struct pt_quantize_options *o = a->p->o;
    const struct pt_qz_node *q = &a->p->nodes[i];
    const struct pt_onnx_node *n = &a->p->e->model.graph.nodes[i];
    const struct pt_tensor *t = &a->p->e->model.graph.initializers[q->weight.initializer].t;
    int bits = o->reduce_range ? 7 : 8;
    pt_auto_free float *floor = floors(a, n, q, axis, a->w.err);
    int rc = floor ? pt_qz_array_make(t, axis, 0, weight_type(a), bits, !o->weight_asymmetric, NULL, out, a->w.err) : a->w.err->code;
    *usual = rc == PT_OK && within_floors(out, floor);
    if (rc < 0 || *usual)
        return rc;
    pt_qz_array_finish(out);
    return pt_qz_array_make(t, axis, 0, weight_type(a), bits, !o->weight_asymmetric, floor, out, a->w.err);
}

static struct pt_str write_bias(struct apply *a, const struct pt_onnx_node *n, const struct pt_qz_node *q, const struct pt_qz_array *w,
                                struct pt_str *integers)
{
    const struct pt_tensor *b = q->row->bias ? pt_edit_constant(a->p->e, n, (size_t)q->row->bias) : NULL;
    if (!b)
        return PT_STR("");
    int64_t count = b->dims[0];
    float sx = scale_of(a, n->inputs[0]);
    pt_auto_free int32_t *sums = pt_calloc((size_t)count + 1, sizeof *sums);
    pt_auto_free float *scale = pt_calloc((size_t)count + 1, sizeof *scale);
    if (!sums || !scale) {
        a->w.failed = true;
        pt_fail(a->w.err, PT_ENOMEM, "out of memory quantising a bias");
        return PT_STR("");
    }
    for (int64_t c = 0; c < count; c++) {
        scale[c] = sx * w->scale[w->grids > 1 ? c : 0];
        double v = scale[c] > 0 ? nearbyint((double)((const float *)b->data)[c] / (double)scale[c]) : 0;
        sums[c] = (int32_t)fmin(fmax(v, INT32_MIN), INT32_MAX);
    }
    struct pt_str stem = n->inputs[q->row->bias];
    int rank = w->grids > 1;
    *integers = pt_qz_constant(&a->w, stem, "_quantized", PT_INT32, 1, &count, sums);
    struct pt_str s = pt_qz_constant(&a->w, stem, "_scale", PT_FLOAT, rank, &count, scale), out = pt_qz_name(&a->w, stem, "_dequantized");
    size_t dq = pt_qz_put(&a->w, "DequantizeLinear", "", out, PT_QZ_IN(*integers, s));
    if (rank)
        pt_qz_attr(&a->w, dq, "axis", 0);
    return out;
}

/* A float32 weight that is rounded in every run, with the scale that it has then: max |w| / 127. */
static struct pt_qz_weights write_training(struct apply *a, const struct pt_onnx_node *n, const struct pt_qz_node *q, int axis)
{
    struct pt_qz_writer *w = &a->w;
    struct pt_str name = n->inputs[q->row->weight], abs = pt_qz_name(w, name, "_abs"), most = pt_qz_name(w, name, "_most");
    struct pt_str step = pt_qz_name(w, name, "_step"), scale = pt_qz_name(w, name, "_scale");
    const struct pt_tensor *t = &a->p->e->model.graph.initializers[q->weight.initializer].t;
    int64_t axes[PT_MAX_RANK], count = 0, channels = axis >= 0 ? t->dims[axis] : 1;
    for (int k = 0; k < t->rank; k++)
        if (k != axis)
            axes[count++] = k;
    pt_qz_put(w, "Abs", "", abs, PT_QZ_IN(name));
    struct pt_str list = pt_edit_opset(w->e, "") >= 18 ? pt_qz_constant(w, name, "_axes", PT_INT64, 1, &count, axes) : PT_STR("");
    size_t reduce = pt_qz_put(w, "ReduceMax", "", most, PT_QZ_IN(abs, list));
    pt_qz_attr(w, reduce, "keepdims", 0);
    if (!w->failed && !list.len && pt_edit_set_ints(w->e, node_of(a, reduce), "axes", axes, (size_t)count, w->err) < 0)
        w->failed = true;
    float each = 1.0F / (float)(a->p->o->reduce_range ? 63 : 127), least = 1e-12F;
    pt_qz_put(w, "Mul", "", step, PT_QZ_IN(most, pt_qz_constant(w, name, "_each", PT_FLOAT, 0, NULL, &each)));
    pt_qz_put(w, "Max", "", scale, PT_QZ_IN(step, pt_qz_constant(w, name, "_least", PT_FLOAT, 0, NULL, &least)));
    pt_auto_free int8_t *zeros = pt_calloc((size_t)channels + 1, 1);
    struct pt_qz_weights out = {.scale = scale, .q = pt_qz_name(w, name, "_quantized"), .floats = pt_qz_name(w, name, "_dequantized")};
    if (!zeros) {
        w->failed = true;
        pt_fail(w->err, PT_ENOMEM, "out of memory quantising weights");
        return out;
    }
    memset(zeros, weight_type(a) == PT_UINT8 ? 128 : 0, (size_t)channels);
    out.zero = pt_qz_constant(w, name, "_zero_point", weight_type(a), axis >= 0, &channels, zeros);
    size_t to = pt_qz_put(w, "QuantizeLinear", "", out.q, PT_QZ_IN(name, scale, out.zero));
    size_t back = pt_qz_put(w, "DequantizeLinear", "", out.floats, PT_QZ_IN(out.q, scale, out.zero));
    if (axis >= 0) {
        pt_qz_attr(w, to, "axis", axis);
        pt_qz_attr(w, back, "axis", axis);
    }
    return out;
}

static struct written_weight *find_weight(struct apply *a, int initializer, int axis)
{
    for (size_t i = 0; i < a->weight_count; i++)
        if (a->weights[i].initializer == initializer && a->weights[i].axis == axis)
            return &a->weights[i];
    return NULL;
}

/* --- nodes --------------------------------------------------------------------------------------------------------------------------- */

/* Does saturation do what the bound does? */
static bool saturates(const struct apply *a, int bound, const struct pt_grid *g)
{
    const struct pt_onnx_node *n = &a->p->e->model.graph.nodes[bound];
    bool relu = pt_str_eq(n->op_type, PT_STR("Relu"));
    const struct pt_tensor *low = relu ? NULL : pt_edit_constant(a->p->e, n, 1), *high = relu ? NULL : pt_edit_constant(a->p->e, n, 2);
    int32_t least = activation_type(a) == PT_INT8 ? -128 : 0, most = least + 255;
    double slack = 0.5 * (double)g->scale, min = low ? (double)*(const float *)low->data : relu ? 0 : -INFINITY;
    double max = high ? (double)*(const float *)high->data : INFINITY;
    return (double)pt_grid_real(g, least) >= min - 1e-6 * fabs(min) && (double)pt_grid_real(g, most) <= max + slack;
}

/* Operators on integers: names of the operands in their order; 0 when there is none for this node. */
static size_t integer_operands(struct apply *a, size_t i, const struct pt_qz_weights *w, struct pt_str bias, const struct written *y,
                               struct pt_str *out)
{
    const struct pt_qz_node *q = &a->p->nodes[i];
    const struct pt_onnx_node *n = &a->p->e->model.graph.nodes[i];
    const struct written *x = operand_of(a, n->inputs[0]);
    size_t count = 0;
    if (q->row->kind == PT_QZ_PRODUCT) {
        const struct pt_str all[] = {x->q, x->scale, x->zero, w->q, w->scale, w->zero};
        memcpy(out, all, sizeof all);
        count = 6;
        bool gemm = *q->row->domain; /* QGemm has the bias in front of the result's scale, which it may lack */
        if (gemm)
            out[count++] = bias;
        out[count++] = y ? y->scale : PT_STR("");
        out[count++] = y ? y->zero : PT_STR("");
        if (!gemm)
            out[count++] = bias;
        return count;
    }
    bool concat = q->row->operands == 0, binary = q->row->operands == 2;
    if (concat) {
        out[count++] = y->scale;
        out[count++] = y->zero;
    }
    for (size_t k = 0; k < (concat ? n->input_count : binary ? 2 : 1); k++) {
        x = operand_of(a, n->inputs[k]);
        out[count++] = x->q;
        out[count++] = x->scale;
        out[count++] = x->zero;
    }
    if (!concat) {
        out[count++] = y->scale;
        out[count++] = y->zero;
    }
    return count;
}

static void become(struct apply *a, size_t i, const char *op, const char *domain, const struct pt_str *operands, size_t count, struct pt_str out)
{
    while (count && operands[count - 1].len == 0)
        count--;
    struct pt_str *list = a->w.failed ? NULL : pt_edit_alloc(a->w.e, (count + 1) * sizeof *list, a->w.err);
    if (!list) {
        a->w.failed = true;
        return;
    }
    for (size_t k = 0; k < count; k++)
        list[k] = operands[k].p ? operands[k] : PT_STR("");
    list[count] = out;
    struct pt_onnx_node *n = node_of(a, i);
    n->op_type = pt_str(op);
    n->domain = pt_str(domain);
    n->inputs = list;
    n->input_count = count;
    n->outputs = list + count;
    n->output_count = 1;
    pt_edit_changed(a->w.e);
}

static void drop_attr(struct pt_onnx_node *n, const char *name)
{
    size_t kept = 0;
    for (size_t k = 0; k < n->attr_count; k++)
        if (!pt_str_eq(n->attrs[k].name, pt_str(name)))
            n->attrs[kept++] = n->attrs[k];
    n->attr_count = kept;
}

/* The node writes integers itself. False: it has no such form, or not this one. */
static bool write_integer(struct apply *a, size_t i, const struct pt_qz_weights *w, struct pt_str bias, const struct written *y)
{
    const struct pt_qz_node *q = &a->p->nodes[i];
    const struct pt_onnx_node *n = &a->p->e->model.graph.nodes[i];
    bool product = q->row->kind == PT_QZ_PRODUCT;
    if (a->p->o->form != PT_FORM_OPERATORS || a->follow || !q->row->integer || (*q->row->domain && !a->p->o->vendor) ||
        (product && !*q->row->domain && !y) || (product && a->p->o->weight_asymmetric && q->row->rounds))
        return false;
    if (q->row->kind == PT_QZ_MOVE) {
        pt_qz_set(&a->w, i, 0, operand_of(a, n->inputs[0])->q);
        node_of(a, i)->outputs[0] = y->q;
        return true;
    }
    pt_auto_free struct pt_str *operands = pt_calloc(3 * n->input_count + 12, sizeof *operands);
    if (!operands) {
        a->w.failed = true;
        pt_fail(a->w.err, PT_ENOMEM, "out of memory quantising the model");
        return true;
    }
    struct pt_str out = y ? y->q : node_of(a, i)->outputs[0];
    if (product && *q->row->domain)
        drop_attr(node_of(a, i), "beta"); /* is 1, and QGemm has none */
    become(a, i, q->row->integer, q->row->domain, operands, integer_operands(a, i, w, bias, y, operands), out);
    return true;
}

/* x w + b in standard operators, its sums as floats: MatMulInteger, Add, Cast, Mul. */
static void write_sums(struct apply *a, size_t i, const struct pt_qz_weights *w, struct pt_str bias, const struct pt_qz_array *array)
{
    const struct pt_onnx_node *n = &a->p->e->model.graph.nodes[i];
    const struct written *x = operand_of(a, n->inputs[0]);
    int64_t channels = (int64_t)array->grids;
    float sx = scale_of(a, n->inputs[0]);
    pt_auto_free float *scale = pt_calloc(array->grids + 1, sizeof *scale);
    if (!scale) {
        a->w.failed = true;
        pt_fail(a->w.err, PT_ENOMEM, "out of memory quantising the model");
        return;
    }
    for (size_t c = 0; c < array->grids; c++)
        scale[c] = sx * array->scale[c];
    struct pt_str out = node_of(a, i)->outputs[0], stem = n->outputs[0], sums = pt_qz_name(&a->w, stem, "_sums"), floats;
    struct pt_str steps = pt_qz_constant(&a->w, stem, "_sums_scale", PT_FLOAT, channels > 1, &channels, scale);
    if (bias.len) {
        struct pt_str all = pt_qz_name(&a->w, stem, "_sums");
        pt_qz_put(&a->w, "Add", "", all, PT_QZ_IN(sums, bias));
        floats = pt_qz_name(&a->w, stem, "_floats");
        pt_qz_attr(&a->w, pt_qz_put(&a->w, "Cast", "", floats, PT_QZ_IN(all)), "to", PT_FLOAT);
    } else {
        floats = pt_qz_name(&a->w, stem, "_floats");
        pt_qz_attr(&a->w, pt_qz_put(&a->w, "Cast", "", floats, PT_QZ_IN(sums)), "to", PT_FLOAT);
    }
    pt_qz_put(&a->w, "Mul", "", out, PT_QZ_IN(floats, steps));
    if (a->w.failed)
        return;
    const struct pt_str operands[] = {x->q, w->q, x->zero, a->p->o->weight_asymmetric || weight_type(a) == PT_UINT8 ? w->zero : PT_STR("")};
    become(a, i, "MatMulInteger", "", operands, 4, sums);
    node_of(a, i)->attr_count = 0;
}

/* Names for the integers of node i's weights and bias. */
static int write_weights(struct apply *a, size_t i, struct pt_qz_weights *w, struct pt_str *bias, struct pt_str *bias_floats,
                         struct pt_qz_array *array)
{
    const struct pt_qz_node *q = &a->p->nodes[i];
    const struct pt_onnx_node *n = &a->p->e->model.graph.nodes[i];
    int axis = a->p->o->per_tensor ? -1 : q->weight.channel;
    struct written_weight *known = find_weight(a, q->weight.initializer, axis);
    bool usual = true;
    int rc = make_array(a, i, axis, array, &usual);
    if (rc < 0)
        return rc;
    if (known && usual)
        *w = known->names;
    else
        *w = a->follow ? write_training(a, n, q, axis)
                       : pt_qz_put_weights(&a->w, n->inputs[q->row->weight], &a->p->e->model.graph.initializers[q->weight.initializer].t, axis, 0,
                                           weight_type(a), array);
    if (!known && usual)
        a->weights[a->weight_count++] = (struct written_weight){.initializer = q->weight.initializer, .axis = axis, .names = *w};
    if (!a->follow)
        *bias_floats = write_bias(a, n, q, array, bias);
    return a->w.failed ? a->w.err->code : PT_OK;
}

static void describe(struct apply *a, size_t i, const struct pt_qz_array *array)
{
    const struct pt_qz_node *q = &a->p->nodes[i];
    int v = q->rounds ? pt_qz_value_of(a->p, q->out) : -1;
    struct pt_quantize_layer *l = a->layers ? &a->layers[i] : NULL;
    if (!l)
        return;
    l->activation = activation_type(a);
    if (v >= 0) {
        const struct pt_qz_value *value = &a->p->values[v];
        l->low = value->range.low;
        l->high = value->range.high;
        l->scale = value->grid.scale;
        l->zero = value->grid.zero;
    }
    if (array->grids) {
        l->weight = weight_type(a);
        l->weight_scales = array->grids;
        l->weight_sqnr = array->sqnr;
    }
}

/* The result goes, with or without its Relu, to a name of its own, which QuantizeLinear reads. */
static void take_result(struct apply *a, size_t i)
{
    const struct pt_qz_node *q = &a->p->nodes[i];
    int v = pt_qz_value_of(a->p, q->out);
    struct pt_str raw = a->values[v].raw;
    if (q->bound >= 0 && !a->drop[q->bound])
        node_of(a, (size_t)q->bound)->outputs[0] = raw;
    else
        node_of(a, i)->outputs[0] = raw;
    pt_edit_changed(a->w.e);
    pt_qz_put(&a->w, "QuantizeLinear", "", a->values[v].q, PT_QZ_IN(raw, a->values[v].scale, a->values[v].zero));
}

static int write_node(struct apply *a, size_t i)
{
    const struct pt_qz_node *q = &a->p->nodes[i];
    const struct pt_onnx_node *n = &a->p->e->model.graph.nodes[i];
    struct pt_qz_weights w = {0};
    pt_cleanup(pt_qz_array_finish) struct pt_qz_array array = {0};
    struct pt_str bias = PT_STR(""), bias_floats = PT_STR("");
    bool product = q->row->kind == PT_QZ_PRODUCT;
    int rc = product ? write_weights(a, i, &w, &bias, &bias_floats, &array) : PT_OK, v = q->rounds ? pt_qz_value_of(a->p, q->out) : -1;
    if (rc < 0)
        return rc;
    describe(a, i, &array);
    const struct written *y = v >= 0 ? &a->values[v] : NULL;
    if (q->bound >= 0 && y && !a->follow && saturates(a, q->bound, &a->p->values[v].grid))
        a->drop[q->bound] = true;
    bool bounded = q->bound >= 0 && !a->drop[q->bound];
    if (!bounded && write_integer(a, i, &w, bias, y))
        return a->w.failed ? a->w.err->code : PT_OK;
    for (size_t k = 0; k < n->input_count; k++) {
        const struct written *x = product && k == (size_t)q->row->weight ? NULL : written_of(a, n->inputs[k]);
        if (product ? k == 0 : x && (q->row->kind == PT_QZ_POINTWISE || k == 0))
            pt_qz_set(&a->w, i, k, x->floats);
    }
    if (product)
        pt_qz_set(&a->w, i, (size_t)q->row->weight, w.floats);
    if (bias_floats.len)
        pt_qz_set(&a->w, i, (size_t)q->row->bias, bias_floats);
    if (y)
        take_result(a, i);
    if (product && !q->row->rounds && a->p->o->form == PT_FORM_OPERATORS && !a->follow && !a->w.failed)
        write_sums(a, i, &w, bias, &array);
    return a->w.failed ? a->w.err->code : PT_OK;
}

static int write_all(struct apply *a)
{
    int rc = PT_OK;
    for (size_t i = 0; i < a->p->value_count && !a->w.failed; i++)
        if (a->p->values[i].used)
            write_value(a, i);
    for (size_t i = 0; rc == PT_OK && i < a->p->node_count && !a->w.failed; i++)
        if (a->p->nodes[i].quantised)
            rc = write_node(a, i);
    if (rc < 0 || a->w.failed)
        return a->w.err->code;
    struct pt_onnx_graph *g = &a->w.e->model.graph;
    pt_auto_free bool *drop = pt_calloc(g->node_count + 1, sizeof *drop);
    if (!drop)
        return pt_fail(a->w.err, PT_ENOMEM, "out of memory quantising the model");
    memcpy(drop, a->drop, a->p->node_count * sizeof *drop);
    pt_edit_drop_nodes(a->w.e, drop);
    if (a->p->o->vendor && a->p->o->form == PT_FORM_OPERATORS)
        rc = pt_edit_need_opset(a->w.e, "com.microsoft", 1, a->w.err);
    return rc < 0 ? rc : pt_qz_writer_end(&a->w, a->follow ? NULL : "static");
}

int pt_qz_apply(const struct pt_qz_plan *p, struct pt_edit *out, struct pt_qz_follow *follow_ranges, struct pt_quantize_layer *layers,
                struct pt_err *err)
{
    struct apply a = {.p = p, .follow = follow_ranges, .layers = layers};
    int rc = pt_qz_writer_init(&a.w, out, err);
    a.values = pt_calloc(p->value_count + 1, sizeof *a.values);
    a.weights = pt_calloc(p->node_count + 1, sizeof *a.weights);
    a.drop = pt_calloc(p->node_count + 1, sizeof *a.drop);
    if (rc == PT_OK && (!a.values || !a.weights || !a.drop))
        rc = pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
    if (rc == PT_OK)
        rc = write_all(&a);
    pt_qz_writer_finish(&a.w);
    pt_free(a.values);
    pt_free(a.weights);
    pt_free(a.drop);
    return rc;
}
