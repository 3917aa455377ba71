/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_plan.c: what could be quantised, what is, and calibration.
 */
#include "runtime/compress/quantize_plan.h"

#include "runtime/compress/tap.h"

#include <stdio.h>

/* --- what could be --------------------------------------------------------------------------------------------------------- */

static bool skipped(const struct pt_quantize_options *o, const struct pt_onnx_node *n)
{
    for (size_t i = 0; i < o->skip_count; i++)
        if (pt_str_eq(o->skip[i], n->name.len ? n->name : n->outputs[0]) || pt_str_eq(o->skip[i], n->op_type))
            return true;
    return false;
}

static bool plain_bias(struct pt_edit *e, const struct pt_onnx_node *n, const struct pt_qz_op *row, const struct pt_qz_weight *w)
{
    if (!row->bias || n->input_count <= (size_t)row->bias || n->inputs[row->bias].len == 0)
        return true;
    const struct pt_tensor *b = pt_edit_constant(e, n, (size_t)row->bias), *t = &e->model.graph.initializers[w->initializer].t;
    return b && b->dtype == PT_FLOAT && b->rank == 1 && w->channel >= 0 && b->dims[0] == t->dims[w->channel];
}

static void classify(struct pt_qz_plan *p, size_t i)
{
    const struct pt_onnx_node *n = &p->e->model.graph.nodes[i];
    struct pt_qz_node *q = &p->nodes[i];
    *q = (struct pt_qz_node){.row = pt_qz_op_find(n), .bound = -1, .bounds = -1, .state = PT_LAYER_LEFT, .weight.initializer = -1};
    if (!q->row || n->output_count == 0)
        return;
    q->out = n->outputs[0];
    bool stored = p->o->mode == PT_QUANTIZE_WEIGHTS, weighs = q->row->kind == PT_QZ_PRODUCT || q->row->kind == PT_QZ_STORED;
    for (size_t k = 1; k < n->output_count; k++)
        if (n->outputs[k].len)
            q->why = "it has further results";
    if (weighs && !q->why)
        pt_qz_weight_of(p->e, n, q->row, &q->weight, &q->why);
    if (weighs && !q->why && !stored && pt_edit_constant(p->e, n, 0))
        q->why = "its operand is constant";
    if (weighs && !q->why && !stored && !plain_bias(p->e, n, q->row, &q->weight))
        q->why = "its bias is no constant vector";
    if (!q->why && q->row->kind == PT_QZ_STORED && !stored)
        q->why = "it has no form on integers; mode 'weights' stores its weights so";
    if (q->row->kind == PT_QZ_POINTWISE && q->row->operands && n->input_count != (size_t)q->row->operands)
        q->why = "it has another number of operands";
    q->state = skipped(p->o, n) ? PT_LAYER_SKIPPED : q->why ? PT_LAYER_LEFT : PT_LAYER_QUANTISED;
}

static bool constant_bounds(struct pt_edit *e, const struct pt_onnx_node *n)
{
    for (size_t i = 1; i < n->input_count; i++) {
        const struct pt_tensor *t = n->inputs[i].len ? pt_edit_constant(e, n, i) : NULL;
        if (n->inputs[i].len && (!t || t->dtype != PT_FLOAT || pt_tensor_count(t) != 1))
            return false;
    }
    return true;
}

/* A Relu or Clip that alone reads a node's result is done with it. */
static void find_bound(struct pt_qz_plan *p, size_t i)
{
    struct pt_qz_node *q = &p->nodes[i];
    const struct pt_edit_value *v =
        q->row && (q->row->kind == PT_QZ_PRODUCT || q->row->kind == PT_QZ_POINTWISE) ? pt_edit_value(p->e, q->out, NULL) : NULL;
    if (!v || v->reader_count != 1 || v->is_output || v->captured)
        return;
    int r = v->readers[0];
    const struct pt_onnx_node *n = &p->e->model.graph.nodes[r];
    if (!p->nodes[r].row || p->nodes[r].row->kind != PT_QZ_BOUND || p->nodes[r].state != PT_LAYER_QUANTISED || !pt_str_eq(n->inputs[0], v->name) ||
        !constant_bounds(p->e, n))
        return;
    q->bound = r;
    q->out = n->outputs[0];
    p->nodes[r].bounds = (int)i;
}

/* --- values ------------------------------------------------------------------------------------------------------------------- */

int pt_qz_value_of(const struct pt_qz_plan *p, struct pt_str name)
{
    return (int)((intptr_t)pt_map_get(&p->index, name) - 1);
}

static int add_value(struct pt_qz_plan *p, struct pt_str name, struct pt_err *err)
{
    int at = pt_qz_value_of(p, name);
    if (at >= 0)
        return at;
    if (p->value_count == p->value_room) {
        size_t room = p->value_room ? 2 * p->value_room : 32;
        struct pt_qz_value *more = pt_reallocarray(p->values, room, sizeof *more);
        if (!more)
            return pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
        p->values = more;
        p->value_room = room;
    }
    p->values[p->value_count] = (struct pt_qz_value){.name = name, .same_as = -1};
    int rc = pt_map_set(&p->index, name, (void *)(intptr_t)(p->value_count + 1), NULL, err);
    return rc < 0 ? rc : (int)p->value_count++;
}

/* How many operands, from the first, are activations. */
static size_t activations(const struct pt_qz_node *q, const struct pt_onnx_node *n)
{
    return q->row->kind == PT_QZ_POINTWISE && !q->row->operands ? n->input_count : q->row->kind == PT_QZ_POINTWISE ? (size_t)q->row->operands : 1;
}

/* Values of everything that would be quantised were nothing switched off. */
static int add_values(struct pt_qz_plan *p, struct pt_err *err)
{
    for (size_t i = 0; i < p->node_count; i++) {
        const struct pt_onnx_node *n = &p->e->model.graph.nodes[i];
        const struct pt_qz_node *q = &p->nodes[i];
        for (size_t k = 0; q->quantised && k < activations(q, n); k++) {
            int v = add_value(p, n->inputs[k], err);
            if (v < 0)
                return v;
        }
        int v = q->quantised && q->rounds ? add_value(p, q->out, err) : 0;
        if (v < 0)
            return v;
        if (q->quantised && q->row->kind == PT_QZ_MOVE)
            p->values[v].same_as = pt_qz_value_of(p, n->inputs[0]);
    }
    return PT_OK;
}

/* --- what is ---------------------------------------------------------------------------------------------------------------------- */

/* The node whose result, bound or not, the value is; -1. */
static int maker(const struct pt_qz_plan *p, struct pt_str name)
{
    const struct pt_edit_value *v = pt_edit_value(p->e, name, NULL);
    int i = v ? v->producer : -1;
    return i >= 0 && p->nodes[i].bounds >= 0 ? p->nodes[i].bounds : i;
}

static bool all_reached(const struct pt_qz_plan *p, size_t i)
{
    const struct pt_onnx_node *n = &p->e->model.graph.nodes[i];
    for (size_t k = 0; k < activations(&p->nodes[i], n); k++) {
        int m = maker(p, n->inputs[k]);
        if (m < 0 || !p->nodes[m].reached || !pt_str_eq(p->nodes[m].out, n->inputs[k]))
            return false;
    }
    return true;
}

/* Does a quantised node read the result as an activation? */
static bool wanted(const struct pt_qz_plan *p, size_t i)
{
    const struct pt_edit_value *v = pt_edit_value(p->e, p->nodes[i].out, NULL);
    for (int r = 0; v && r < v->reader_count; r++) {
        const struct pt_qz_node *q = &p->nodes[v->readers[r]];
        const struct pt_onnx_node *n = &p->e->model.graph.nodes[v->readers[r]];
        for (size_t k = 0; q->quantised && k < activations(q, n); k++)
            if (pt_str_eq(n->inputs[k], v->name))
                return true;
    }
    return false;
}

size_t pt_qz_resolve(struct pt_qz_plan *p, const bool *off)
{
    size_t products = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        struct pt_qz_node *q = &p->nodes[i];
        bool product = q->row && q->row->kind == PT_QZ_PRODUCT;
        q->quantised = q->rounds = false;
        q->reached = q->row && q->state == PT_LAYER_QUANTISED && q->bounds < 0 && q->row->kind != PT_QZ_STORED && !(off && off[i]) &&
                     (product || all_reached(p, i));
    }
    for (size_t i = p->node_count; i-- > 0;) {
        struct pt_qz_node *q = &p->nodes[i];
        bool product = q->reached && q->row->kind == PT_QZ_PRODUCT, read = q->reached && wanted(p, i);
        q->quantised = product || read;
        q->rounds = read || (product && q->row->rounds);
        products += product;
    }
    for (size_t i = 0; i < p->value_count; i++)
        p->values[i].made = p->values[i].used = false;
    for (size_t i = 0; i < p->node_count; i++) {
        const struct pt_qz_node *q = &p->nodes[i];
        const struct pt_onnx_node *n = &p->e->model.graph.nodes[i];
        for (size_t k = 0; q->quantised && k < activations(q, n); k++) {
            int v = pt_qz_value_of(p, n->inputs[k]);
            if (v >= 0)
                p->values[v].used = true;
        }
        int v = q->quantised && q->rounds ? pt_qz_value_of(p, q->out) : -1;
        if (v >= 0)
            p->values[v].made = p->values[v].used = true;
    }
    return products;
}

int pt_qz_plan_make(struct pt_qz_plan *p, struct pt_edit *e, const struct pt_quantize_options *o, struct pt_err *err)
{
    *p = (struct pt_qz_plan){.e = e, .o = o, .node_count = e->model.graph.node_count};
    p->nodes = pt_calloc(p->node_count + 1, sizeof *p->nodes);
    if (!p->nodes)
        return pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
    int rc = PT_OK;
    if (!pt_edit_value(e, PT_STR("?"), &rc) && rc == PT_ENOMEM) /* so that no later look-up fails */
        return pt_fail(err, rc, "out of memory quantising the model");
    for (size_t i = 0; i < p->node_count; i++)
        classify(p, i);
    for (size_t i = 0; i < p->node_count; i++)
        find_bound(p, i);
    pt_qz_resolve(p, NULL);
    return add_values(p, err);
}

void pt_qz_plan_finish(struct pt_qz_plan *p)
{
    for (size_t i = 0; i < p->value_count; i++)
        pt_observer_finish(&p->values[i].seen);
    pt_map_finish(&p->index);
    pt_free(p->values);
    pt_free(p->nodes);
    *p = (struct pt_qz_plan){0};
}

/* --- calibration --------------------------------------------------------------------------------------------------------------------- */

int64_t pt_qz_batch(const struct pt_session *s, int64_t wanted, bool *fixed)
{
    *fixed = true;
    for (size_t i = 0; i < pt_session_input_count(s); i++) {
        const struct pt_value_info *vi = pt_session_input(s, i);
        if (vi->rank > 0 && vi->dims[0] > 0)
            return vi->dims[0];
    }
    *fixed = false;
    return wanted > 0 ? wanted : 8;
}

int pt_qz_report_progress(const struct pt_quantize_options *o, const char *stage, int64_t done, int64_t total, struct pt_str node, struct pt_err *err)
{
    char name[128];
    snprintf(name, sizeof name, PT_STR_FMT, PT_STR_ARG(node));
    struct pt_quantize_progress p = {stage, done, total, node.len ? name : NULL};
    return o->progress && o->progress(o->progress_arg, &p) ? pt_fail(err, PT_ECANCELED, "quantisation was cancelled") : PT_OK;
}

static int observe(struct pt_qz_plan *p, const struct pt_tap *tap, int64_t first, struct pt_err *err)
{
    for (size_t i = 0; i < p->value_count; i++) {
        const struct pt_tensor *t = pt_tap_value(tap, i);
        struct pt_qz_value *v = &p->values[i];
        if (v->same_as >= 0)
            continue;
        if (t->dtype != PT_FLOAT)
            return pt_fail(err, PT_EUNSUPPORTED, "value '" PT_STR_FMT "' is %s; only float32 can be quantised", PT_STR_ARG(v->name),
                           pt_dtype_name(t->dtype));
        int rc = pt_observer_add(&v->seen, t->data, (size_t)pt_tensor_count(t), &p->o->calibration, NULL, err);
        if (rc < 0)
            return pt_wrap(err, "value '" PT_STR_FMT "', samples from %lld on", PT_STR_ARG(v->name), (long long)first);
    }
    return PT_OK;
}

void pt_qz_set_grids(struct pt_qz_plan *p)
{
    for (size_t i = 0; i < p->value_count; i++) {
        struct pt_qz_value *v = &p->values[i];
        if (v->same_as >= 0) /* its source stands in front of it */
            v->range = p->values[v->same_as].range;
        v->grid = pt_grid_make(v->range, 8, p->o->activation_type == PT_INT8, p->o->activation_symmetric);
    }
}

static void set_ranges(struct pt_qz_plan *p)
{
    bool symmetric = p->o->activation_symmetric;
    for (size_t i = 0; i < p->value_count; i++)
        p->values[i].range = pt_observer_range(&p->values[i].seen, &p->o->calibration, symmetric, symmetric ? 255 : 256);
    pt_qz_set_grids(p);
}

static int run_samples(struct pt_qz_plan *p, struct pt_tap *tap, const struct pt_data *d, int64_t *samples, struct pt_err *err)
{
    pt_auto_free struct pt_tensor *inputs = pt_calloc(d->input_count + 1, sizeof *inputs);
    int rc = inputs ? pt_data_check(d, pt_tap_session(tap), "calibration data", err) : pt_fail(err, PT_ENOMEM, "out of memory calibrating");
    if (rc < 0)
        return rc;
    bool fixed;
    int64_t batch = pt_qz_batch(pt_tap_session(tap), p->o->calibration.batch, &fixed), all = d->count;
    if (p->o->calibration.samples > all)
        return pt_fail(err, PT_EINVAL, "calibration data: %lld samples, %lld are asked for", (long long)all, (long long)p->o->calibration.samples);
    if (p->o->calibration.samples > 0)
        all = p->o->calibration.samples;
    if (fixed)
        all -= all % batch;
    if (all < 1)
        return pt_fail(err, PT_EINVAL, "calibration data: %lld samples, the model takes batches of %lld", (long long)d->count, (long long)batch);
    for (int64_t at = 0; rc == PT_OK && at < all; at += batch) {
        int64_t n = all - at < batch ? all - at : batch;
        struct pt_data part = pt_data_slice(d, at, n, inputs);
        rc = pt_tap_run(tap, part.inputs, part.input_count, err);
        if (rc == PT_OK)
            rc = observe(p, tap, at, err);
        if (rc == PT_OK)
            rc = pt_qz_report_progress(p->o, "calibrate", at + n, all, PT_STR(""), err);
    }
    *samples = all;
    return rc;
}

int pt_qz_calibrate(struct pt_qz_plan *p, const struct pt_data *d, int64_t *samples, struct pt_err *err)
{
    struct pt_tap *tap = NULL;
    pt_auto_free struct pt_str *names = pt_calloc(p->value_count + 1, sizeof *names);
    int rc = names ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory calibrating");
    for (size_t i = 0; rc == PT_OK && i < p->value_count; i++) {
        names[i] = p->values[i].name;
        rc = pt_observer_init(&p->values[i].seen, &p->o->calibration, err);
    }
    if (rc == PT_OK)
        rc = pt_tap_open(p->e, names, p->value_count, p->o->threads, &tap, err);
    if (rc == PT_OK)
        rc = run_samples(p, tap, d, samples, err);
    pt_tap_close(tap);
    if (rc == PT_OK)
        set_ranges(p);
    return rc;
}
