/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_dynamic.c: dynamic quantisation. A product of x and constant weights becomes
 *
 *     xq, sx, zx = DynamicQuantizeLinear(x);  y = Cast(MatMulInteger or ConvInteger(xq, wq, zx, zw)) * (sx * sw) + bias
 *
 * which Pintle and ONNX Runtime run as one step. Weights of convolutions are uint8 whatever was asked: ONNX Runtime's ConvInteger takes nothing else.
 */
#include "runtime/compress/quantize_write.h"

#include <string.h>

struct dynamic {
    struct pt_qz_writer w;
    const struct pt_qz_plan *p;
    struct input {
        struct pt_str name, q, scale, zero;
    } * inputs;
    size_t input_count;
};

static const struct input *write_input(struct dynamic *d, struct pt_str name)
{
    for (size_t i = 0; i < d->input_count; i++)
        if (pt_str_eq(d->inputs[i].name, name))
            return &d->inputs[i];
    struct input *x = &d->inputs[d->input_count++];
    *x = (struct input){name, pt_qz_name(&d->w, name, "_quantized"), pt_qz_name(&d->w, name, "_scale"), pt_qz_name(&d->w, name, "_zero_point")};
    size_t at = d->w.e->model.graph.node_count;
    struct pt_onnx_node *n =
        d->w.failed ? NULL
                    : pt_edit_add_node(d->w.e, at, pt_qz_name(&d->w, name, "_DynamicQuantizeLinear"), "", "DynamicQuantizeLinear", 1, 3, d->w.err);
    if (!n) {
        d->w.failed = true;
        return x;
    }
    n->inputs[0] = name;
    n->outputs[0] = x->q;
    n->outputs[1] = x->scale;
    n->outputs[2] = x->zero;
    return x;
}

/* A vector of channels as it stands against the result of a kernel of that rank: [C, 1, 1]; a matrix product's stays. */
static struct pt_str channels(struct dynamic *d, struct pt_str stem, const char *suffix, int64_t count, int rank, const float *data)
{
    int64_t dims[PT_MAX_RANK];
    for (int i = 0; i < PT_MAX_RANK; i++)
        dims[i] = i ? 1 : count;
    return pt_qz_constant(&d->w, stem, suffix, PT_FLOAT, count == 1 ? 0 : rank > 2 ? rank - 1 : 1, dims, data);
}

static int write_node(struct dynamic *d, size_t i, struct pt_quantize_layer *l, struct pt_err *err)
{
    const struct pt_quantize_options *o = d->p->o;
    const struct pt_qz_node *q = &d->p->nodes[i];
    const struct pt_onnx_node *n = &d->p->e->model.graph.nodes[i];
    const struct pt_tensor *t = &d->p->e->model.graph.initializers[q->weight.initializer].t;
    const struct pt_tensor *b = q->row->bias ? pt_edit_constant(d->p->e, n, (size_t)q->row->bias) : NULL;
    bool conv = t->rank > 2, single = conv && o->weight_asymmetric; /* ConvInteger has one zero point */
    enum pt_dtype dtype = conv || o->weight_type == PT_UINT8 ? PT_UINT8 : PT_INT8;
    int axis = o->per_tensor || single ? -1 : q->weight.channel;
    pt_cleanup(pt_qz_array_finish) struct pt_qz_array a = {0};
    int rc = pt_qz_array_make(t, axis, 0, dtype, o->reduce_range ? 7 : 8, !o->weight_asymmetric, NULL, &a, err);
    if (rc < 0)
        return rc;
    struct pt_qz_writer *w = &d->w;
    struct pt_str stem = n->inputs[q->row->weight], y = n->outputs[0], zero;
    const struct input *x = write_input(d, n->inputs[0]);
    struct pt_qz_weights names = pt_qz_put_weights(w, stem, t, axis, 0, dtype, &a);
    int8_t one_zero = (int8_t)(uint8_t)a.zero[0];
    zero = conv                                        ? pt_qz_constant(w, stem, "_zero_point", dtype, 0, NULL, &one_zero)
           : dtype == PT_UINT8 || o->weight_asymmetric ? names.zero
                                                       : PT_STR("");
    struct pt_str sums = pt_qz_name(w, y, "_sums"), floats = pt_qz_name(w, y, "_floats"), step = pt_qz_name(w, y, "_step");
    size_t product = pt_qz_put(w, conv ? "ConvInteger" : "MatMulInteger", "", sums, PT_QZ_IN(x->q, names.q, x->zero, zero));
    if (conv)
        pt_qz_like(w, product, i);
    pt_qz_attr(w, pt_qz_put(w, "Cast", "", floats, PT_QZ_IN(sums)), "to", PT_FLOAT);
    pt_qz_put(w, "Mul", "", step, PT_QZ_IN(x->scale, channels(d, stem, "_steps", (int64_t)a.grids, t->rank, a.scale)));
    struct pt_str scaled = b ? pt_qz_name(w, y, "_scaled") : y;
    pt_qz_put(w, "Mul", "", scaled, PT_QZ_IN(floats, step));
    if (b)
        pt_qz_put(w, "Add", "", y,
                  PT_QZ_IN(scaled, conv ? channels(d, n->inputs[q->row->bias], "_channels", b->dims[0], t->rank, b->data) : n->inputs[q->row->bias]));
    if (l) {
        l->activation = PT_UINT8;
        l->weight = dtype;
        l->weight_scales = a.grids;
        l->weight_sqnr = a.sqnr;
    }
    return w->failed ? err->code : PT_OK;
}

int pt_qz_dynamic(const struct pt_qz_plan *p, struct pt_edit *e, struct pt_quantize_layer *layers, struct pt_err *err)
{
    struct dynamic d = {.p = p};
    int rc = pt_qz_writer_init(&d.w, e, err);
    d.inputs = pt_calloc(p->node_count + 1, sizeof *d.inputs);
    if (rc == PT_OK && !d.inputs)
        rc = pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
    pt_auto_free bool *drop = rc < 0 ? NULL : pt_calloc(8 * p->node_count + 1, sizeof *drop); /* each becomes at most seven */
    if (rc == PT_OK && !drop)
        rc = pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
    for (size_t i = 0; rc == PT_OK && i < p->node_count; i++)
        if (p->nodes[i].state == PT_LAYER_QUANTISED && p->nodes[i].row && p->nodes[i].row->kind == PT_QZ_PRODUCT) {
            rc = write_node(&d, i, layers ? &layers[i] : NULL, err);
            drop[i] = true;
        }
    if (rc == PT_OK)
        pt_edit_drop_nodes(e, drop);
    if (rc == PT_OK)
        rc = pt_qz_writer_end(&d.w, "dynamic");
    pt_qz_writer_finish(&d.w);
    pt_free(d.inputs);
    return rc;
}
