/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_stored.c: weights stored as integers. DequantizeLinear makes floats of them: of 8 bits with a scale a channel, of 4 bits with one for each
 * block along the summed dim (operator set 21), which matrices need at that precision; kernels of convolutions have one a channel also then. Or, on
 * request, a matrix product of 4 bits is com.microsoft's MatMulNBits, which reads the integers while it multiplies; everything else has 8 bits then,
 * so that the model stays in its operator set.
 */
#include "runtime/compress/quantize_write.h"

#include <string.h>

struct stored {
    struct pt_qz_writer w;
    const struct pt_qz_plan *p;
    struct known {
        int initializer, axis;
        struct pt_str floats;
    } * known;
    size_t known_count;
};

static bool is_four(enum pt_dtype t)
{
    return t == PT_INT4 || t == PT_UINT4;
}

/* B: [N, blocks, block / 2] bytes, the lower half first; scales: [N blocks]; zero points: [N, (blocks + 1) / 2] bytes, none: 8. */
static void write_nbits(struct stored *s, size_t i, const struct pt_tensor *t, int64_t block, const struct pt_qz_array *a)
{
    const struct pt_onnx_node *n = &s->p->e->model.graph.nodes[i];
    int64_t rows = t->dims[0], cols = t->dims[1], blocks = (rows + block - 1) / block, half = block / 2, zeros = (blocks + 1) / 2;
    bool is_signed = s->p->o->weight_type == PT_INT4;
    pt_auto_free uint8_t *b = pt_calloc((size_t)(cols * blocks * half) + 1, 1), *z = pt_calloc((size_t)(cols * zeros) + 1, 1);
    pt_auto_free float *scale = pt_calloc(a->grids + 1, sizeof *scale);
    if (!b || !z || !scale) {
        s->w.failed = true;
        pt_fail(s->w.err, PT_ENOMEM, "out of memory quantising weights");
        return;
    }
    for (int64_t c = 0; c < cols; c++) {
        for (int64_t k = 0; k < blocks; k++) {
            size_t grid = (size_t)(k * cols + c);
            scale[c * blocks + k] = a->scale[grid];
            z[c * zeros + k / 2] |= (uint8_t)(((a->zero[grid] + (is_signed ? 8 : 0)) & 15) << (k % 2 ? 4 : 0));
        }
        for (int64_t r = 0; r < blocks * block; r++) {
            int q = r < rows ? a->q[r * cols + c] + (is_signed ? 8 : 0) : 8;
            b[(c * blocks + r / block) * half + r % block / 2] |= (uint8_t)((q & 15) << (r % 2 ? 4 : 0));
        }
    }
    struct pt_str stem = n->inputs[1];
    struct pt_str bn = pt_qz_constant(&s->w, stem, "_quantized", PT_UINT8, 3, (const int64_t[]){cols, blocks, half}, b);
    struct pt_str sn = pt_qz_constant(&s->w, stem, "_scale", PT_FLOAT, 1, (const int64_t[]){cols * blocks}, scale);
    struct pt_str zn =
        s->p->o->weight_asymmetric ? pt_qz_constant(&s->w, stem, "_zero_point", PT_UINT8, 1, (const int64_t[]){cols * zeros}, z) : PT_STR("");
    size_t to = pt_qz_put(&s->w, "MatMulNBits", "com.microsoft", n->outputs[0], PT_QZ_IN(n->inputs[0], bn, sn, zn));
    pt_qz_attr(&s->w, to, "K", rows);
    pt_qz_attr(&s->w, to, "N", cols);
    pt_qz_attr(&s->w, to, "bits", 4);
    pt_qz_attr(&s->w, to, "block_size", block);
}

static int write_node(struct stored *s, size_t i, struct pt_quantize_layer *l, bool *drop, struct pt_err *err)
{
    const struct pt_quantize_options *o = s->p->o;
    const struct pt_qz_node *q = &s->p->nodes[i];
    const struct pt_onnx_node *n = &s->p->e->model.graph.nodes[i];
    const struct pt_tensor *t = &s->p->e->model.graph.initializers[q->weight.initializer].t;
    enum pt_dtype dtype = o->weight_type ? o->weight_type : PT_INT8;
    bool product = pt_str_eq(n->op_type, PT_STR("MatMul"));
    if (is_four(dtype) && o->vendor && !product)
        dtype = dtype == PT_INT4 ? PT_INT8 : PT_UINT8;
    bool four = is_four(dtype), matrix = t->rank == 2, blocks = matrix && four == is_four(o->weight_type);
    int64_t block = !blocks ? 0 : o->block ? o->block : four ? 32 : 0;
    int axis = block ? q->weight.summed : o->per_tensor ? -1 : q->weight.channel;
    for (size_t k = 0; k < s->known_count; k++)
        if (s->known[k].initializer == q->weight.initializer && s->known[k].axis == axis) {
            pt_qz_set(&s->w, i, (size_t)q->row->weight, s->known[k].floats);
            return s->w.failed ? err->code : PT_OK;
        }
    pt_cleanup(pt_qz_array_finish) struct pt_qz_array a = {0};
    int rc = pt_qz_array_make(t, axis, block, dtype, four ? 4 : o->reduce_range ? 7 : 8, !o->weight_asymmetric, NULL, &a, err);
    if (rc < 0)
        return rc;
    if (o->vendor && four) {
        write_nbits(s, i, t, block, &a);
        *drop = true;
    } else {
        struct pt_qz_weights w = pt_qz_put_weights(&s->w, n->inputs[q->row->weight], t, axis, block, dtype, &a);
        pt_qz_set(&s->w, i, (size_t)q->row->weight, w.floats);
        s->known[s->known_count++] = (struct known){q->weight.initializer, axis, w.floats};
    }
    if (l) {
        l->weight = dtype;
        l->weight_scales = a.grids;
        l->weight_sqnr = a.sqnr;
    }
    return s->w.failed ? err->code : PT_OK;
}

int pt_qz_stored(const struct pt_qz_plan *p, struct pt_edit *e, struct pt_quantize_layer *layers, struct pt_err *err)
{
    struct stored s = {.p = p};
    int rc = pt_qz_writer_init(&s.w, e, err);
    pt_auto_free bool *drop = pt_calloc(3 * p->node_count + 1, sizeof *drop); /* each adds one at most */
    s.known = pt_calloc(p->node_count + 1, sizeof *s.known);
    if (rc == PT_OK && (!s.known || !drop))
        rc = pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
    for (size_t i = 0; rc == PT_OK && i < p->node_count; i++)
        if (p->nodes[i].state == PT_LAYER_QUANTISED && p->nodes[i].weight.initializer >= 0)
            rc = write_node(&s, i, layers ? &layers[i] : NULL, &drop[i], err);
    if (rc == PT_OK)
        pt_edit_drop_nodes(e, drop);
    if (rc == PT_OK && p->o->vendor)
        rc = pt_edit_need_opset(e, "com.microsoft", 1, err);
    if (rc == PT_OK)
        rc = pt_qz_writer_end(&s.w, "weights");
    pt_qz_writer_finish(&s.w);
    pt_free(s.known);
    return rc;
}
