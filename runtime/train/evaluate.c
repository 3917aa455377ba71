/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/train/evaluate.h"

#include <math.h>
#include <string.h>

int pt_scores_of(struct pt_edit *model, enum pt_loss loss, struct pt_str *scores, int *rank, struct pt_err *err)
{
    const struct pt_onnx_graph *g = &model->model.graph;
    if (g->output_count < 1)
        return pt_fail(err, PT_EINVAL, "the model has no output to be judged by");
    *scores = g->outputs[0].name;
    if (rank)
        *rank = g->outputs[0].type.rank;
    const struct pt_edit_value *v = pt_edit_value(model, *scores, NULL);
    if (!v || v->producer < 0)
        return pt_fail(err, PT_EINVAL, "output '" PT_STR_FMT "' is made by no node", PT_STR_ARG(*scores));
    if (loss != PT_LOSS_CROSS_ENTROPY)
        return PT_OK;
    const struct pt_onnx_node *n = &g->nodes[v->producer];
    if (n->domain.len == 0 && (pt_str_eq(n->op_type, PT_STR("Softmax")) || pt_str_eq(n->op_type, PT_STR("LogSoftmax"))))
        *scores = n->inputs[0];
    if (g->outputs[0].type.rank >= 0 && g->outputs[0].type.rank != 2)
        return pt_fail(err, PT_EUNSUPPORTED, "output '" PT_STR_FMT "' has rank %d; cross entropy needs [samples, classes]",
                       PT_STR_ARG(g->outputs[0].name), g->outputs[0].type.rank);
    return PT_OK;
}

void pt_log_softmax(float *scores, int64_t n)
{
    float max = scores[pt_largest(scores, n)];
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)(scores[i] - max));
    double log_sum = log(sum) + (double)max;
    for (int64_t i = 0; i < n; i++)
        scores[i] = (float)((double)scores[i] - log_sum);
}

int64_t pt_largest(const float *scores, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

int pt_labels_check(const struct pt_data *d, enum pt_loss loss, int64_t classes, const char *what, struct pt_err *err)
{
    const struct pt_tensor *labels = &d->labels;
    enum pt_dtype want = loss == PT_LOSS_CROSS_ENTROPY ? PT_INT64 : PT_FLOAT;
    if (!labels->dtype)
        return pt_fail(err, PT_EINVAL, "%s: there are no labels", what);
    if (labels->dtype != want)
        return pt_fail(err, PT_EINVAL, "%s: labels are %s; the loss needs %s", what, pt_dtype_name(labels->dtype), pt_dtype_name(want));
    if (classes && want == PT_FLOAT && pt_tensor_count(labels) != d->count * classes)
        return pt_fail(err, PT_EINVAL, "%s: labels are %s; the model gives %lld values for each of %lld samples", what, PT_SHAPE(labels),
                       (long long)classes, (long long)d->count);
    for (int64_t i = 0; classes && want == PT_INT64 && i < d->count; i++) {
        int64_t label = ((const int64_t *)labels->data)[i];
        if (label < 0 || label >= classes)
            return pt_fail(err, PT_EINVAL, "%s: label %lld of sample %lld is outside of the model's %lld classes", what, (long long)label,
                           (long long)i, (long long)classes);
    }
    return PT_OK;
}

/* Adds what rows [first, first + n) of the samples cost. */
static int judge(const struct pt_data *d, enum pt_loss loss, const struct pt_tensor *scores, int64_t first, int64_t n, struct pt_evaluation *out,
                 struct pt_err *err)
{
    if (scores->dtype != PT_FLOAT || scores->rank < 1 || scores->dims[0] != n || (loss == PT_LOSS_CROSS_ENTROPY && scores->rank != 2))
        return pt_fail(err, PT_EUNSUPPORTED, "the model gives %s for %lld samples; %s is needed", PT_SHAPE(scores), (long long)n,
                       loss == PT_LOSS_CROSS_ENTROPY ? "float32[samples, classes]" : "float32[samples, ...]");
    int64_t classes = pt_tensor_count(scores) / n;
    if (out->classes && out->classes != classes)
        return pt_fail(err, PT_EINVAL, "the model gives %lld scores for a sample and %lld for another", (long long)out->classes, (long long)classes);
    int rc = out->classes ? PT_OK : pt_labels_check(d, loss, classes, "the samples", err);
    if (rc < 0)
        return rc;
    out->classes = classes;
    pt_auto_free float *row = pt_reallocarray(NULL, (size_t)classes + 1, sizeof *row);
    if (!row)
        return pt_fail(err, PT_ENOMEM, "out of memory judging a model");
    for (int64_t i = 0; i < n; i++) {
        memcpy(row, (const float *)scores->data + i * classes, (size_t)classes * sizeof *row);
        if (loss == PT_LOSS_MSE) {
            const float *want = (const float *)d->labels.data + (first + i) * classes;
            for (int64_t k = 0; k < classes; k++)
                out->loss += ((double)row[k] - (double)want[k]) * ((double)row[k] - (double)want[k]) / (double)classes;
            continue;
        }
        int64_t label = ((const int64_t *)d->labels.data)[first + i];
        out->accuracy += pt_largest(row, classes) == label;
        pt_log_softmax(row, classes);
        out->loss -= (double)row[label];
    }
    return PT_OK;
}

int pt_evaluate(struct pt_edit *model, const struct pt_data *d, enum pt_loss loss, int64_t batch, struct pt_threads *threads, bool keep,
                struct pt_evaluation *out, struct pt_err *err)
{
    struct pt_str scores;
    struct pt_tap *tap = NULL;
    *out = (struct pt_evaluation){0};
    int rc = pt_scores_of(model, loss, &scores, NULL, err);
    if (rc == PT_OK)
        rc = pt_labels_check(d, loss, 0, "the samples", err);
    if (rc == PT_OK)
        rc = pt_tap_open(model, &scores, 1, threads, &tap, err);
    if (rc == PT_OK)
        rc = pt_data_check(d, pt_tap_session(tap), "the samples", err);
    pt_auto_free struct pt_tensor *part = pt_calloc(d->input_count + 1, sizeof *part);
    if (rc == PT_OK && !part)
        rc = pt_fail(err, PT_ENOMEM, "out of memory judging a model");
    batch = batch > 0 ? batch : 256;
    for (int64_t i = 0; rc == PT_OK && i < d->count; i += batch) {
        int64_t n = d->count - i < batch ? d->count - i : batch;
        pt_data_slice(d, i, n, part);
        if ((rc = pt_tap_run(tap, part, d->input_count, err)) < 0)
            break;
        const struct pt_tensor *y = pt_tap_value(tap, 0);
        rc = judge(d, loss, y, i, n, out, err);
        if (rc == PT_OK && keep && !out->scores && !(out->scores = pt_reallocarray(NULL, (size_t)(d->count * out->classes) + 1, sizeof(float))))
            rc = pt_fail(err, PT_ENOMEM, "out of memory judging a model");
        if (rc == PT_OK && keep)
            memcpy(out->scores + i * out->classes, y->data, y->size_bytes);
    }
    out->loss /= (double)d->count;
    out->accuracy = loss == PT_LOSS_CROSS_ENTROPY ? out->accuracy / (double)d->count : (double)NAN;
    if (rc < 0) {
        pt_free(out->scores);
        out->scores = NULL;
    }
    pt_tap_close(tap);
    return rc;
}
