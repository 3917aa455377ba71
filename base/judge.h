/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.h: how right answers are, as figures: the same ones for a model that is trained or compressed and for one that serves. Definitions are those
 * of scikit-learn, so that figures can be compared. What is summed is apart from what is made of it, so that parts of a window can be added. NaN
 * where a figure is not defined.
 */
#ifndef PT_BASE_JUDGE_H
#define PT_BASE_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

/* --- classes; confusion[label * classes + answer] counts --------------------------------------------------------------------------------- */

struct pt_class_figures {
    double support, answers;      /* samples with this label, with this answer */
    double precision, recall, f1; /* 0 where nothing divides */
};
/* False: the class is neither among labels nor answers. */
bool pt_judge_class(const double *confusion, size_t classes, size_t class, struct pt_class_figures *out);

struct pt_confusion_figures {
    double count, accuracy;
    double precision, recall, f1; /* macro: the mean of the classes that are among labels or answers */
};
void pt_judge_confusion(const double *confusion, size_t classes, struct pt_confusion_figures *out);

/* -log of the probability that was given to the label, which is kept away from 0 and 1. */
double pt_judge_log_loss(double p);

/* A score and how many samples it stands for. */
struct pt_point {
    double value, weight;
};
void pt_points_sort(struct pt_point *p, size_t n);
double pt_points_weight(const struct pt_point *p, size_t n);
/* Area under the ROC curve: of the scores of positives and negatives, both sorted. */
double pt_judge_auc(const struct pt_point *positive, size_t pn, const struct pt_point *negative, size_t nn);
/* The same of rows [label, probability of each class], with weights (NULL: 1 each): of class 1 of two; of more the mean of each against the rest, of
 * those that are defined. NaN also when memory ran out. */
double pt_judge_mean_auc(const float *rows, const double *weights, size_t count, size_t classes);

/* Expected calibration error, over ten bins of confidence. */
#define PT_CALIBRATION_BINS 10
struct pt_calibration {
    double count, right[PT_CALIBRATION_BINS], confidence[PT_CALIBRATION_BINS];
};
void pt_calibration_add(struct pt_calibration *c, double confidence, bool right);
void pt_calibration_join(struct pt_calibration *c, const struct pt_calibration *more);
double pt_calibration_error(const struct pt_calibration *c);

/* --- numbers ------------------------------------------------------------------------------------------------------------------------------- */

struct pt_errors {
    double count, mean, spread;    /* of the labels; spread: sum of squared deviations from their mean */
    double sum, absolute, squared; /* of answer - label */
};
void pt_errors_add(struct pt_errors *e, double label, double answer);
void pt_errors_join(struct pt_errors *e, const struct pt_errors *more);
double pt_errors_mean(const struct pt_errors *e);
double pt_errors_mean_absolute(const struct pt_errors *e);
double pt_errors_root_mean_squared(const struct pt_errors *e);
double pt_errors_r2(const struct pt_errors *e);

#endif
