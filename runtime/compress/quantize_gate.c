/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_gate.c: how good a quantised model is. Mixed precision: when the loss of quality is over what the gate allows, every product is quantised
 * alone, and those whose loss rises most stay floats, one after the other, until the gate holds. By the loss, which is finer than the accuracy.
 */
#include "runtime/compress/quantize_gate.h"

#include "runtime/compress/tap.h"
#include "runtime/train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEASURED 16 /* samples that are run for the signal to noise ratios */

/* --- the gate --------------------------------------------------------------------------------------------------------------- */

static int judge(const struct pt_quantize_options *o, struct pt_edit *e, struct pt_evaluation *out, struct pt_err *err)
{
    return pt_evaluate(e, o->gate.held_out, o->gate.loss, 0, o->threads, false, out, err);
}

static int judge_set(struct pt_qz_plan *p, const bool *off, struct pt_evaluation *out, struct pt_err *err)
{
    struct pt_edit e;
    int rc = pt_qz_write(p, off, &e, NULL, err);
    if (rc == PT_OK)
        rc = judge(p->o, &e, out, err);
    pt_edit_finish(&e);
    return rc;
}

static double quality(const struct pt_quantize_options *o, const struct pt_evaluation *v)
{
    return o->gate.loss == PT_LOSS_CROSS_ENTROPY ? v->accuracy : v->loss;
}

static bool holds(const struct pt_quantize_options *o, const struct pt_evaluation *before, const struct pt_evaluation *now)
{
    const double slack = 1e-9; /* an accuracy is a count of samples; so much is rounding */
    if (o->gate.loss == PT_LOSS_CROSS_ENTROPY)
        return before->accuracy - now->accuracy <= o->gate.max_drop + slack;
    return now->loss <= before->loss * (1 + o->gate.max_drop) + slack;
}

struct candidate {
    size_t node;
    double rise;
};

static int by_rise(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->rise > y->rise ? -1 : x->rise < y->rise ? 1 : x->node < y->node ? -1 : 1;
}

static bool is_product(const struct pt_qz_plan *p, size_t i)
{
    return p->nodes[i].row && p->nodes[i].row->kind == PT_QZ_PRODUCT && p->nodes[i].state == PT_LAYER_QUANTISED;
}

/* Quantises each product alone. */
static int rank(struct pt_qz_plan *p, bool *off, const struct pt_evaluation *before, struct candidate *list, size_t *count,
                struct pt_quantize_layer *layers, struct pt_err *err)
{
    size_t total = 0;
    int rc = PT_OK;
    for (size_t i = 0; i < p->node_count; i++)
        total += off[i] = is_product(p, i);
    for (size_t i = 0; rc == PT_OK && i < p->node_count; i++) {
        struct pt_evaluation v;
        if (!is_product(p, i))
            continue;
        off[i] = false;
        rc = judge_set(p, off, &v, err);
        off[i] = true;
        if (rc == PT_OK) {
            layers[i].sensitivity = v.loss - before->loss;
            list[(*count)++] = (struct candidate){i, v.loss - before->loss};
            const struct pt_onnx_node *n = &p->e->model.graph.nodes[i];
            rc = pt_qz_report_progress(p->o, "sensitivity", (int64_t)*count, (int64_t)total, n->name.len ? n->name : n->outputs[0], err);
        }
    }
    memset(off, 0, p->node_count * sizeof *off);
    qsort(list, *count, sizeof *list, by_rise);
    return rc;
}

int pt_qz_gate(struct pt_qz_plan *p, bool *off, struct pt_quantize_layer *layers, struct pt_quantize_report *r, struct pt_err *err)
{
    struct pt_evaluation before, now;
    pt_auto_free struct candidate *list = pt_calloc(p->node_count + 1, sizeof *list);
    size_t count = 0;
    int rc = list ? judge(p->o, p->e, &before, err) : pt_fail(err, PT_ENOMEM, "out of memory judging a model");
    if (rc == PT_OK)
        rc = judge_set(p, off, &now, err);
    if (rc == PT_OK && !holds(p->o, &before, &now))
        rc = rank(p, off, &before, list, &count, layers, err);
    for (size_t k = 0; rc == PT_OK && !holds(p->o, &before, &now); k++) {
        if (k + 1 >= count)
            return pt_fail(
                err, PT_EPRECONDITION,
                "the gate does not hold with any layer quantised: quality is %.5g in floats and %.5g with the best layer alone, a drop of %g "
                "is allowed",
                quality(p->o, &before), quality(p->o, &now), p->o->gate.max_drop);
        off[list[k].node] = true;
        rc = judge_set(p, off, &now, err);
        if (rc == PT_OK)
            rc = pt_qz_report_progress(p->o, "gate", (int64_t)k + 1, (int64_t)count, PT_STR(""), err);
    }
    if (rc == PT_OK) {
        r->quality_before = quality(p->o, &before);
        r->quality_after = quality(p->o, &now);
    }
    return rc;
}

/* --- signal to noise ------------------------------------------------------------------------------------------------------------- */

struct power {
    double signal, noise;
};

static void compare(const struct pt_tensor *a, const struct pt_tensor *b, struct power *out)
{
    int64_t n = a->dtype == PT_FLOAT && b->dtype == PT_FLOAT ? pt_tensor_count(a) : 0;
    const float *x = a->data, *y = b->data;
    for (int64_t i = 0; i < n && n == pt_tensor_count(b); i++) {
        double off = (double)x[i] - (double)y[i];
        out->signal += (double)x[i] * (double)x[i];
        out->noise += off * off;
    }
}

static double decibels(const struct power *v)
{
    return v->signal <= 0 ? (double)NAN : v->noise > 0 ? 10 * log10(v->signal / v->noise) : (double)INFINITY;
}

struct measured {
    struct pt_tap *floats, *integers;
    struct pt_str *names;
    size_t *nodes, count;
    struct power *power; /* of each, and of the output */
};

static int run_both(const struct pt_qz_plan *p, struct measured *m, const struct pt_data *d, struct pt_err *err)
{
    pt_auto_free struct pt_tensor *inputs = pt_calloc(d->input_count + 1, sizeof *inputs);
    int rc = inputs ? pt_data_check(d, pt_tap_session(m->floats), "calibration data", err) : pt_fail(err, PT_ENOMEM, "out of memory measuring");
    bool fixed = true;
    int64_t batch = rc < 0 ? 1 : pt_qz_batch(pt_tap_session(m->floats), p->o->calibration.batch, &fixed), all = d->count;
    if (fixed)
        all -= all % batch;
    else if (all > MEASURED)
        all = MEASURED;
    for (int64_t at = 0; rc == PT_OK && at < all && (at == 0 || at + batch <= MEASURED || !fixed); at += batch) {
        struct pt_data part = pt_data_slice(d, at, all - at < batch ? all - at : batch, inputs);
        rc = pt_tap_run(m->floats, part.inputs, part.input_count, err);
        if (rc == PT_OK)
            rc = pt_tap_run(m->integers, part.inputs, part.input_count, err);
        for (size_t i = 0; rc == PT_OK && i < m->count; i++)
            compare(pt_tap_value(m->floats, i), pt_tap_value(m->integers, i), &m->power[i]);
        if (rc == PT_OK)
            compare(pt_tap_output(m->floats, 0), pt_tap_output(m->integers, 0), &m->power[m->count]);
    }
    return rc;
}

static int measure(const struct pt_qz_plan *p, struct measured *m, const struct pt_data *d, struct pt_edit *out, struct pt_err *err)
{
    for (size_t i = 0; i < p->node_count; i++) {
        const struct pt_qz_node *q = &p->nodes[i];
        bool counts =
            q->row && (q->row->kind == PT_QZ_PRODUCT || (q->row->kind == PT_QZ_POINTWISE && q->quantised)) && q->state == PT_LAYER_QUANTISED;
        if (counts && pt_edit_value(out, q->out, NULL)) {
            m->names[m->count] = q->out;
            m->nodes[m->count++] = i;
        }
    }
    int rc = pt_tap_open(p->e, m->names, m->count, p->o->threads, &m->floats, err);
    if (rc == PT_OK)
        rc = pt_tap_open(out, m->names, m->count, p->o->threads, &m->integers, err);
    if (rc == PT_OK)
        rc = run_both(p, m, d, err);
    pt_tap_close(m->floats);
    pt_tap_close(m->integers);
    return rc;
}

int pt_qz_measure(struct pt_qz_plan *p, const bool *off, const struct pt_data *d, struct pt_edit *out, struct pt_quantize_layer *layers,
                  struct pt_quantize_report *r, struct pt_err *err)
{
    struct measured m = {.names = pt_calloc(p->node_count + 1, sizeof *m.names),
                         .nodes = pt_calloc(p->node_count + 1, sizeof *m.nodes),
                         .power = pt_calloc(p->node_count + 2, sizeof *m.power)};
    struct pt_edit floats_between = {0};
    const struct pt_quantize_options *o = p->o;
    struct pt_quantize_options qdq = *o;
    int rc = m.names && m.nodes && m.power ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory measuring");
    bool operators = o->mode == PT_QUANTIZE_STATIC && o->form == PT_FORM_OPERATORS;
    if (rc == PT_OK && operators) { /* the same model with floats between its nodes to look at */
        qdq.form = PT_FORM_QDQ;
        p->o = &qdq;
        rc = pt_qz_write(p, off, &floats_between, NULL, err);
        p->o = o;
    }
    if (rc == PT_OK)
        rc = measure(p, &m, d, operators ? &floats_between : out, err);
    for (size_t i = 0; rc == PT_OK && i < m.count; i++)
        layers[m.nodes[i]].output_sqnr = decibels(&m.power[i]);
    if (rc == PT_OK)
        r->sqnr = decibels(&m.power[m.count]);
    pt_edit_finish(&floats_between);
    pt_free(m.names);
    pt_free(m.nodes);
    pt_free(m.power);
    return rc;
}
