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
/* batch 0: 256. out->scores are kept only with `keep`. Labels must be there and within the classes. */
int pt_evaluate(struct pt_edit *model, const struct pt_data *d, enum pt_loss loss, int64_t batch, struct pt_threads *threads, bool keep,
                struct pt_evaluation *out, struct pt_err *err);

#endif
