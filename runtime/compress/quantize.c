/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.c: from a model to a quantised one. Works on copies, so that a failure leaves the model alone: `work`, prepared, in floats, which the plan
 * is of; and `out`, what is written. The last copy is the one that the caller gets: what was written refers to names of `work`.
 */
#include "runtime/compress/quantize_gate.h"

#include <math.h>

const char *const pt_quantize_modes[] = {"static", "dynamic", "weights", NULL};
const char *const pt_quantize_forms[] = {"qdq", "operators", NULL};
const char *const pt_calibration_names[] = {"minmax", "average", "percentile", "entropy", "mse", NULL};

static const char *name_of(enum pt_dtype t)
{
    return t ? pt_dtype_name(t) : "none";
}

static int check_types(const struct pt_quantize_options *o, struct pt_err *err)
{
    bool four = o->weight_type == PT_INT4 || o->weight_type == PT_UINT4;
    if (o->activation_type && o->activation_type != PT_UINT8 && o->activation_type != PT_INT8)
        return pt_fail(err, PT_EINVAL, "activations of type %s: must be uint8 or int8", name_of(o->activation_type));
    if (o->mode == PT_QUANTIZE_DYNAMIC && o->activation_type == PT_INT8)
        return pt_fail(err, PT_EINVAL, "dynamic quantisation makes activations uint8, not int8");
    if (o->weight_type && !four && o->weight_type != PT_UINT8 && o->weight_type != PT_INT8)
        return pt_fail(err, PT_EINVAL, "weights of type %s: must be int8, uint8, int4 or uint4", name_of(o->weight_type));
    if (four && o->mode != PT_QUANTIZE_WEIGHTS)
        return pt_fail(err, PT_EINVAL, "weights of type %s are for mode 'weights', not '%s'", name_of(o->weight_type), pt_quantize_modes[o->mode]);
    if (four && o->reduce_range)
        return pt_fail(err, PT_EINVAL, "the range of %s is not reduced: it is one of 7 bits in place of 8", name_of(o->weight_type));
    return PT_OK;
}

static int check_options(const struct pt_quantize_options *o, struct pt_err *err)
{
    const struct pt_calibration_options *c = &o->calibration;
    bool nbits = o->vendor && (o->weight_type == PT_INT4 || o->weight_type == PT_UINT4);
    if ((unsigned)o->mode > PT_QUANTIZE_WEIGHTS || (unsigned)o->form > PT_FORM_OPERATORS || (unsigned)c->method > PT_CALIBRATE_MSE)
        return pt_fail(err, PT_EINVAL, "mode %d, form %d or calibration %d is not known", (int)o->mode, (int)o->form, (int)c->method);
    int rc = check_types(o, err);
    if (rc < 0)
        return rc;
    if (!(c->percentile >= 0 && c->percentile <= 100) || (c->percentile > 0 && c->percentile < 50))
        return pt_fail(err, PT_EINVAL, "percentile %g: must be from 50 to 100", c->percentile);
    if (!(c->average >= 0 && c->average <= 1))
        return pt_fail(err, PT_EINVAL, "a new batch weighs %g in the average: must be from 0 to 1", c->average);
    if (c->batch < 0 || c->samples < 0)
        return pt_fail(err, PT_EINVAL, "calibration in batches of %lld, %lld samples: must not be negative", (long long)c->batch,
                       (long long)c->samples);
    if (o->block && (o->mode != PT_QUANTIZE_WEIGHTS || o->block < 2 || o->block > 65536))
        return pt_fail(err, PT_EINVAL, "blocks of %lld: must be from 2 to 65536, and the mode 'weights'", (long long)o->block);
    if (o->block && o->per_tensor)
        return pt_fail(err, PT_EINVAL, "one scale a tensor, and one for each block of %lld", (long long)o->block);
    if (nbits && o->block && (o->block < 16 || (o->block & (o->block - 1))))
        return pt_fail(err, PT_EINVAL, "blocks of %lld: MatMulNBits takes powers of two from 16 on", (long long)o->block);
    if (o->gate.held_out && o->mode != PT_QUANTIZE_STATIC)
        return pt_fail(err, PT_EINVAL, "the gate chooses layers of static quantisation; the mode is '%s'", pt_quantize_modes[o->mode]);
    if (o->gate.held_out && !(o->gate.max_drop >= 0))
        return pt_fail(err, PT_EINVAL, "the gate allows a drop of %g: must not be negative", o->gate.max_drop);
    return PT_OK;
}

/* --- the report ----------------------------------------------------------------------------------------------------------------------- */

static bool is_listed(const struct pt_qz_plan *p, size_t i)
{
    const struct pt_qz_op *row = p->nodes[i].row;
    bool pointwise = row && row->kind == PT_QZ_POINTWISE && p->o->mode == PT_QUANTIZE_STATIC;
    return row && (pointwise || row->kind == PT_QZ_PRODUCT || row->kind == PT_QZ_STORED);
}

static struct pt_str keep(struct pt_quantize_report *r, struct pt_str s)
{
    char *p = pt_arena_strndup(&r->arena, s.len ? s.p : "", s.len);
    return (struct pt_str){p, p ? s.len : 0};
}

static uint64_t bytes_of(const struct pt_edit *e)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < e->model.graph.initializer_count; i++)
        sum += e->model.graph.initializers[i].t.size_bytes;
    return sum;
}

static void describe(const struct pt_qz_plan *p, size_t i, const bool *off, struct pt_quantize_layer *l)
{
    const struct pt_qz_node *q = &p->nodes[i];
    const struct pt_onnx_node *n = &p->e->model.graph.nodes[i];
    bool quantised = q->state == PT_LAYER_QUANTISED && (p->o->mode != PT_QUANTIZE_STATIC || q->quantised);
    l->state = quantised ? PT_LAYER_QUANTISED : q->state == PT_LAYER_QUANTISED ? (off && off[i] ? PT_LAYER_GATED : PT_LAYER_LEFT) : q->state;
    l->why = l->state != PT_LAYER_LEFT ? NULL : q->why ? q->why : "it is not between quantised nodes";
    if (q->weight.initializer < 0)
        return;
    const struct pt_tensor *b = q->row->bias ? pt_edit_constant(p->e, n, (size_t)q->row->bias) : NULL;
    uint64_t count = (uint64_t)pt_tensor_count(&p->e->model.graph.initializers[q->weight.initializer].t), bias = b ? b->size_bytes : 0;
    l->bytes_before = l->bytes_after = 4 * count + bias;
    if (quantised)
        l->bytes_after = (count * pt_dtype_bits(l->weight) + 7) / 8 + 5 * l->weight_scales + bias;
}

/* Layers of the table, of those that were filled per node. */
static int take_layers(const struct pt_qz_plan *p, const bool *off, struct pt_quantize_layer *all, struct pt_quantize_report *r, struct pt_err *err)
{
    r->layers = pt_calloc(p->node_count + 1, sizeof *r->layers);
    if (!r->layers)
        return pt_fail(err, PT_ENOMEM, "out of memory for a report");
    for (size_t i = 0; i < p->node_count; i++) {
        if (!is_listed(p, i))
            continue;
        const struct pt_onnx_node *n = &p->e->model.graph.nodes[i];
        describe(p, i, off, &all[i]);
        struct pt_quantize_layer *l = &r->layers[r->count++];
        *l = all[i];
        l->node = keep(r, n->name.len ? n->name : n->outputs[0]);
        l->op_type = keep(r, n->op_type);
        if (!l->node.p || !l->op_type.p)
            return pt_fail(err, PT_ENOMEM, "out of memory for a report");
        r->quantised += l->state == PT_LAYER_QUANTISED;
    }
    return PT_OK;
}

void pt_quantize_report_finish(struct pt_quantize_report *r)
{
    pt_free(r->layers);
    pt_arena_finish(&r->arena);
    *r = (struct pt_quantize_report){0};
}

/* --- doing it ------------------------------------------------------------------------------------------------------------------------- */

/* What of the model could be quantised in this mode; none: an error that says why the first is not. */
static int check_some(const struct pt_qz_plan *p, struct pt_err *err)
{
    size_t first = p->node_count;
    for (size_t i = 0; i < p->node_count; i++) {
        const struct pt_qz_node *q = &p->nodes[i];
        bool weighs = q->row && (q->row->kind == PT_QZ_PRODUCT || (q->row->kind == PT_QZ_STORED && p->o->mode == PT_QUANTIZE_WEIGHTS));
        if (weighs && q->state == PT_LAYER_QUANTISED)
            return PT_OK;
        if (weighs && first == p->node_count)
            first = i;
    }
    if (first == p->node_count)
        return pt_fail(err, PT_EUNSUPPORTED, "the model has no node that can be quantised: no Conv, Gemm or MatMul");
    const struct pt_onnx_node *n = &p->e->model.graph.nodes[first];
    return pt_fail(err, PT_EUNSUPPORTED, "no node of the model can be quantised; the first that would be, '" PT_STR_FMT "' (" PT_STR_FMT "): %s",
                   PT_STR_ARG(n->name.len ? n->name : n->outputs[0]), PT_STR_ARG(n->op_type),
                   p->nodes[first].state == PT_LAYER_SKIPPED ? "is to stay as it is" : p->nodes[first].why);
}

int pt_qz_write(struct pt_qz_plan *p, const bool *off, struct pt_edit *out, struct pt_quantize_layer *layers, struct pt_err *err)
{
    struct pt_edit raw;
    int rc = pt_edit_copy(p->e, &raw, err);
    if (rc == PT_OK && p->o->mode == PT_QUANTIZE_STATIC) {
        pt_qz_resolve(p, off);
        rc = pt_qz_apply(p, &raw, NULL, layers, err);
    } else if (rc == PT_OK) {
        rc = p->o->mode == PT_QUANTIZE_DYNAMIC ? pt_qz_dynamic(p, &raw, layers, err) : pt_qz_stored(p, &raw, layers, err);
    }
    if (rc == PT_OK)
        rc = pt_edit_copy(&raw, out, err);
    else
        *out = (struct pt_edit){0};
    pt_edit_finish(&raw);
    return rc;
}

static int conclude(struct pt_qz_plan *p, const struct pt_data *samples, struct pt_edit *out, struct pt_quantize_report *r, struct pt_err *err)
{
    pt_auto_free bool *off = pt_calloc(p->node_count + 1, sizeof *off);
    pt_auto_free struct pt_quantize_layer *layers = pt_calloc(p->node_count + 1, sizeof *layers);
    int rc = off && layers ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
    for (size_t i = 0; layers && i < p->node_count; i++)
        layers[i].weight_sqnr = layers[i].output_sqnr = layers[i].sensitivity = (double)NAN;
    if (rc == PT_OK && p->o->gate.held_out)
        rc = pt_qz_gate(p, off, layers, r, err);
    if (rc == PT_OK)
        rc = pt_qz_write(p, off, out, layers, err);
    if (rc == PT_OK && samples && !p->o->no_measure)
        rc = pt_qz_measure(p, off, samples, out, layers, r, err);
    return rc < 0 ? rc : take_layers(p, off, layers, r, err);
}

int pt_qz_conclude(struct pt_qz_plan *p, struct pt_edit *model, const struct pt_data *samples, struct pt_quantize_report *r, struct pt_err *err)
{
    struct pt_edit out = {0};
    int rc = conclude(p, samples, &out, r, err);
    if (rc < 0) {
        pt_edit_finish(&out);
        return rc;
    }
    r->opset_before = pt_edit_opset(model, "");
    r->opset_after = pt_edit_opset(&out, "");
    r->bytes_before = bytes_of(model);
    r->bytes_after = bytes_of(&out);
    pt_edit_finish(model);
    *model = out;
    return PT_OK;
}

static void report_init(struct pt_quantize_report *r)
{
    *r = (struct pt_quantize_report){.quality_before = (double)NAN, .quality_after = (double)NAN, .sqnr = (double)NAN};
    pt_arena_init(&r->arena, 0);
}

/* Up to the plan, of a copy. */
static int begin(struct pt_qz_plan *p, struct pt_edit *work, const struct pt_edit *model, const struct pt_quantize_options *o, struct pt_err *err)
{
    int rc = check_options(o, err);
    if (rc == PT_OK)
        rc = pt_edit_copy(model, work, err);
    if (rc == PT_OK)
        rc = pt_qz_prepare(work, o, err);
    if (rc == PT_OK)
        rc = pt_qz_plan_make(p, work, o, err);
    return rc < 0 ? rc : check_some(p, err);
}

int pt_quantize(struct pt_edit *model, const struct pt_data *calibration, const struct pt_quantize_options *o, struct pt_quantize_report *report,
                struct pt_err *err)
{
    struct pt_edit work = {0};
    struct pt_qz_plan p = {0};
    struct pt_quantize_report own, *r = report ? report : &own;
    report_init(r);
    int rc = PT_OK;
    if (o->mode == PT_QUANTIZE_STATIC && !calibration)
        rc = pt_fail(err, PT_EINVAL, "static quantisation needs samples for calibration");
    if (rc == PT_OK)
        rc = begin(&p, &work, model, o, err);
    if (rc == PT_OK && o->mode == PT_QUANTIZE_STATIC)
        rc = pt_qz_calibrate(&p, calibration, &r->samples, err);
    if (rc == PT_OK)
        rc = pt_qz_conclude(&p, model, calibration, r, err);
    pt_qz_plan_finish(&p);
    pt_edit_finish(&work);
    if (!report)
        pt_quantize_report_finish(&own);
    return rc;
}

int pt_quantize_train(struct pt_edit *model, const struct pt_data *train, const struct pt_data *held_out, const struct pt_quantize_options *o,
                      const struct pt_train_options *t, struct pt_train_result *result, struct pt_quantize_report *report, struct pt_err *err)
{
    struct pt_edit work = {0};
    struct pt_qz_plan p = {0};
    struct pt_quantize_report own, *r = report ? report : &own;
    report_init(r);
    int rc = PT_OK;
    if (o->mode != PT_QUANTIZE_STATIC || o->weight_asymmetric)
        rc = pt_fail(err, PT_EINVAL, "training with rounded numbers is for static quantisation with symmetric weights");
    if (rc == PT_OK)
        rc = begin(&p, &work, model, o, err);
    if (rc == PT_OK)
        rc = pt_qz_calibrate(&p, train, &r->samples, err);
    if (rc == PT_OK)
        rc = pt_qz_train(&p, train, held_out, t, result, err);
    if (rc == PT_OK)
        rc = pt_qz_conclude(&p, model, train, r, err);
    pt_qz_plan_finish(&p);
    pt_edit_finish(&work);
    if (!report)
        pt_quantize_report_finish(&own);
    return rc;
}
