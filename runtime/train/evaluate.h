/* SPDX-License-Identifier: Apache-2.0
 *
 * evaluate.h: how well a model does on labelled samples.
 */
#ifndef PT_RUNTIME_TRAIN_EVALUATE_H
#define PT_RUNTIME_TRAIN_EVALUATE_H

#include "runtime/compress/tap.h"
#include "runtime/train/train.h"

/* The value that holds scores: the first output, or what its softmax reads. rank (may be NULL): as declared, -1 unknown. */
int pt_scores_of(struct pt_edit *model, enum pt_loss loss, struct pt_str *scores, int *rank, struct pt_err *err);
/* log softmax of n scores, in place. */
void pt_log_softmax(float *scores, int64_t n);
/* Index of the largest; the first of equal ones. */
int64_t pt_largest(const float *scores, int64_t n);

struct pt_evaluation {
    double loss, accuracy; /* accuracy is NaN with PT_LOSS_MSE */
    float *scores;         /* [samples, classes] (MSE: as the output), before a softmax; pt_free() */
    int64_t classes;       /* elements of a row of scores */
};
/* Labels that the loss can be made of: there, int64 in [0, classes) or float32 of `classes` numbers a sample; `what` for messages. classes 0: not
 * known yet, only their type is looked at. */
int pt_labels_check(const struct pt_data *d, enum pt_loss loss, int64_t classes, const char *what, struct pt_err *err);
/* batch 0: 256. out->scores are kept only with `keep`. Labels must be there and within the classes. */
int pt_evaluate(struct pt_edit *model, const struct pt_data *d, enum pt_loss loss, int64_t batch, struct pt_threads *threads, bool keep,
                struct pt_evaluation *out, struct pt_err *err);

/* What base/judge.h makes of labels and scores. */
struct pt_figures {
    int64_t count, classes;
    double *confusion; /* [label][answer]; NULL with PT_LOSS_MSE */
    /* PT_LOSS_CROSS_ENTROPY, else NaN; precision, recall and F1: macro */
    double accuracy, precision, recall, f1, log_loss, auc, calibration_error;
    /* PT_LOSS_MSE, else NaN; over all numbers of all samples */
    double mean_error, mean_absolute_error, root_mean_squared_error, r2;
};
/* scores: [d->count, classes], as pt_evaluate() keeps them. Finish it also after a failure. */
int pt_figures_make(struct pt_figures *f, const struct pt_data *d, enum pt_loss loss, const float *scores, int64_t classes, struct pt_err *err);
void pt_figures_finish(struct pt_figures *f);

#endif
