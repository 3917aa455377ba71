/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_train.c: quantisation-aware training (Jacob et al. 2018). What is trained is the prepared model with QuantizeLinear and DequantizeLinear
 * around everything that will be integers: weights stay floats and are rounded on the way, by max |w| / 127 as it is in that step, so their ranges
 * follow them exactly; gradients go straight through where nothing saturates.
 *
 * Ranges of activations come from the training data: once in front, for the first part of the epochs, and anew, with the weights that these made, for
 * the rest, in which they are frozen. Both parts are one training: the learning rate and the steps go on.
 */
#include "runtime/compress/quantize_gate.h"

#include <math.h>
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

static int train_once(struct pt_qz_plan *p, const struct pt_data *train, const struct pt_data *held_out, const struct pt_train_options *t,
                      struct pt_train_result *result, struct pt_err *err)
{
    struct pt_edit raw, graph = {0};
    int rc = pt_edit_copy(p->e, &raw, err);
    if (rc == PT_OK)
        rc = pt_qz_apply(p, &raw, true, NULL, err);
    if (rc == PT_OK)
        rc = pt_edit_copy(&raw, &graph, err);
    if (rc == PT_OK)
        rc = pt_train(&graph, train, held_out, t, result, err);
    if (rc == PT_OK)
        rc = take_back(p, &graph, err);
    pt_edit_finish(&graph);
    pt_edit_finish(&raw);
    return rc;
}

int pt_quantize_train(struct pt_edit *model, const struct pt_data *train, const struct pt_data *held_out, const struct pt_quantize_options *o,
                      const struct pt_train_options *t, struct pt_train_result *result, struct pt_quantize_report *report, struct pt_err *err)
{
    struct pt_edit work = {0};
    struct pt_qz_plan p = {0};
    int64_t samples;
    *report = (struct pt_quantize_report){0};
    if (o->mode != PT_QUANTIZE_STATIC || o->weight_asymmetric)
        return pt_fail(err, PT_EINVAL, "training with rounded numbers is for static quantisation with symmetric weights");
    int rc = pt_edit_copy(model, &work, err);
    if (rc == PT_OK)
        rc = pt_qz_prepare(&work, o, err);
    if (rc == PT_OK)
        rc = pt_qz_plan_make(&p, &work, o, err);
    if (rc == PT_OK)
        rc = pt_qz_calibrate(&p, train, &samples, err);
    if (rc == PT_OK && pt_qz_resolve(&p, NULL) == 0)
        rc = pt_fail(err, PT_EUNSUPPORTED, "no node of the model can be quantised");
    if (rc == PT_OK)
        rc = train_once(&p, train, held_out, t, result, err);
    pt_qz_plan_finish(&p);
    if (rc == PT_OK)
        rc = pt_quantize(&work, train, o, report, err);
    if (rc == PT_OK) {
        pt_edit_finish(model);
        *model = work;
        work = (struct pt_edit){0};
    }
    pt_edit_finish(&work);
    return rc;
}
