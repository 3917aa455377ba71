/* SPDX-License-Identifier: Apache-2.0
 *
 * figures.c: the figures of a model on labelled samples, by the definitions that the server's monitoring has too.
 */
#include "base/judge.h"
#include "runtime/train/evaluate.h"

#include <math.h>
#include <string.h>

static int of_numbers(struct pt_figures *f, const struct pt_data *d, const float *scores)
{
    struct pt_errors e = {0};
    for (int64_t i = 0; i < f->count * f->classes; i++)
        pt_errors_add(&e, (double)((const float *)d->labels.data)[i], (double)scores[i]);
    f->mean_error = pt_errors_mean(&e);
    f->mean_absolute_error = pt_errors_mean_absolute(&e);
    f->root_mean_squared_error = pt_errors_root_mean_squared(&e);
    f->r2 = pt_errors_r2(&e);
    return PT_OK;
}

static int of_classes(struct pt_figures *f, const struct pt_data *d, const float *scores, struct pt_err *err)
{
    size_t count = (size_t)f->count, classes = (size_t)f->classes, width = classes + 1;
    pt_auto_free float *rows = pt_reallocarray(NULL, count + 1, width * sizeof *rows); /* the label, then probabilities */
    f->confusion = classes && classes <= SIZE_MAX / classes ? pt_calloc(classes * classes, sizeof *f->confusion) : NULL;
    if (!rows || !f->confusion)
        return pt_fail(err, PT_ENOMEM, "out of memory judging %lld samples of %lld classes", (long long)f->count, (long long)f->classes);
    struct pt_calibration calibration = {0};
    struct pt_confusion_figures all;
    double loss = 0;
    for (size_t i = 0; i < count; i++) {
        float *p = rows + i * width;
        size_t label = (size_t)((const int64_t *)d->labels.data)[i], answer = (size_t)pt_largest(scores + i * classes, f->classes);
        memcpy(p + 1, scores + i * classes, classes * sizeof *p);
        pt_log_softmax(p + 1, f->classes);
        p[0] = (float)label;
        for (size_t k = 1; k < width; k++)
            p[k] = expf(p[k]);
        f->confusion[label * classes + answer]++;
        loss += pt_judge_log_loss((double)p[1 + label]);
        pt_calibration_add(&calibration, (double)p[1 + answer], answer == label);
    }
    pt_judge_confusion(f->confusion, classes, &all);
    f->accuracy = all.accuracy;
    f->precision = all.precision;
    f->recall = all.recall;
    f->f1 = all.f1;
    f->log_loss = loss / (double)count;
    f->auc = pt_judge_mean_auc(rows, NULL, count, classes);
    f->calibration_error = pt_calibration_error(&calibration);
    return PT_OK;
}

int pt_figures_make(struct pt_figures *f, const struct pt_data *d, enum pt_loss loss, const float *scores, int64_t classes, struct pt_err *err)
{
    double *const all[] = {&f->accuracy,
                           &f->precision,
                           &f->recall,
                           &f->f1,
                           &f->log_loss,
                           &f->auc,
                           &f->calibration_error,
                           &f->mean_error,
                           &f->mean_absolute_error,
                           &f->root_mean_squared_error,
                           &f->r2};
    *f = (struct pt_figures){.count = d->count, .classes = classes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i] = (double)NAN;
    int rc = pt_labels_check(d, loss, classes, "the samples", err);
    if (rc < 0)
        return rc;
    return loss == PT_LOSS_MSE ? of_numbers(f, d, scores) : of_classes(f, d, scores, err);
}

void pt_figures_finish(struct pt_figures *f)
{
    pt_free(f->confusion);
    *f = (struct pt_figures){0};
}
