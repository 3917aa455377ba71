/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_train.c: quantisation-aware training (Jacob et al. 2018). What is trained is the prepared model with QuantizeLinear and DequantizeLinear
 * around everything that will be integers: weights stay floats and are rounded on the way, by max |w| / 127 as it is in that step, so their ranges
 * follow them exactly; gradients go straight through where nothing saturates.
 *
 * Ranges of activations begin where calibration on the training data put them, and follow the moving averages of each batch's least and greatest
 * from there on, in the graph too. Where the training leaves them they are frozen: the model that comes out rounds as the last step did.
 */
#include "runtime/compress/quantize_gate.h"

#include <string.h>

/* Weights and biases of the trained graph, back to the model that the plan is of, by name. */
static int take_back(struct pt_qz_plan *p, struct pt_edit *trained, struct pt_err *err)
{
    struct pt_onnx_graph *g = &p->e->model.graph;
    for (size_t i = 0; i < g->initializer_count; i++) {
        const struct pt_edit_value *v = g->initializers[i].t.dtype == PT_FLOAT ? pt_edit_value(trained, g->initializers[i].name, NULL) : NULL;
        if (!v || v->initializer < 0)
            continue;
        const struct pt_tensor *t = &trained->model.graph.initializers[v->initializer].t;
        if (t->dtype != PT_FLOAT || t->size_bytes != g->initializers[i].t.size_bytes)
            continue;
        int rc = pt_edit_set_initializer(p->e, (int)i, PT_FLOAT, t->rank, t->dims, t->data, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* The same of the ranges. */
static int take_ranges(struct pt_qz_plan *p, const struct pt_qz_follow *f, struct pt_edit *trained, struct pt_err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < p->value_count; i++) {
        struct pt_qz_value *v = &p->values[i];
        float ends[2];
        if (!v->used || v->same_as >= 0)
            continue;
        for (size_t k = 0; k < 2; k++) {
            const struct pt_edit_value *end = at < f->count ? pt_edit_value(trained, f->carries[at++].initializer, NULL) : NULL;
            if (!end || end->initializer < 0)
                return pt_fail(err, PT_ENOMEM, "out of memory for training");
            memcpy(&ends[k], trained->model.graph.initializers[end->initializer].t.data, sizeof ends[k]);
        }
        v->range = (struct pt_range){ends[0], ends[1]};
    }
    pt_qz_set_grids(p);
    return PT_OK;
}

int pt_qz_train(struct pt_qz_plan *p, const struct pt_data *train, const struct pt_data *held_out, const struct pt_train_options *t,
                struct pt_train_result *result, struct pt_err *err)
{
    struct pt_edit raw = {0}, graph = {0};
    struct pt_train_options o = *t;
    struct pt_qz_follow f = {.carries = pt_calloc(2 * p->value_count + 1, sizeof *f.carries)};
    int rc = f.carries ? pt_edit_copy(p->e, &raw, err) : pt_fail(err, PT_ENOMEM, "out of memory for training");
    pt_qz_resolve(p, NULL);
    if (rc == PT_OK)
        rc = pt_qz_apply(p, &raw, &f, NULL, err);
    if (rc == PT_OK)
        rc = pt_edit_copy(&raw, &graph, err);
    o.carries = f.carries;
    o.carry_count = f.count;
    if (rc == PT_OK)
        rc = pt_train(&graph, train, held_out, &o, result, err);
    if (rc == PT_OK)
        rc = take_back(p, &graph, err);
    if (rc == PT_OK)
        rc = take_ranges(p, &f, &graph, err);
    pt_edit_finish(&graph);
    pt_edit_finish(&raw);
    pt_free(f.carries);
    return rc;
}
