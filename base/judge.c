/* SPDX-License-Identifier: Apache-2.0 */
#include "base/judge.h"

#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static double share(double part, double all)
{
    return all > 0 ? part / all : NAN;
}

/* --- classes --------------------------------------------------------------------------------------------------------------------------------- */

bool pt_judge_class(const double *confusion, size_t classes, size_t class, struct pt_class_figures *out)
{
    double right = confusion[class * classes + class];
    *out = (struct pt_class_figures){0};
    for (size_t k = 0; k < classes; k++) {
        out->support += confusion[class * classes + k];
        out->answers += confusion[k * classes + class];
    }
    out->precision = out->answers > 0 ? right / out->answers : 0;
    out->recall = out->support > 0 ? right / out->support : 0;
    out->f1 = right > 0 ? 2 * out->precision * out->recall / (out->precision + out->recall) : 0;
    return out->support + out->answers > 0;
}

void pt_judge_confusion(const double *confusion, size_t classes, struct pt_confusion_figures *out)
{
    double seen = 0, right = 0;
    struct pt_class_figures c;
    *out = (struct pt_confusion_figures){0};
    for (size_t i = 0; i < classes; i++) {
        seen += pt_judge_class(confusion, classes, i, &c);
        right += confusion[i * classes + i];
        out->count += c.support;
        out->precision += c.precision;
        out->recall += c.recall;
        out->f1 += c.f1;
    }
    out->accuracy = share(right, out->count);
    out->precision = share(out->precision, seen);
    out->recall = share(out->recall, seen);
    out->f1 = share(out->f1, seen);
}

double pt_judge_log_loss(double p)
{
    return -log(p < DBL_EPSILON ? DBL_EPSILON : p > 1 - DBL_EPSILON ? 1 - DBL_EPSILON : p);
}

static int by_value(const void *a, const void *b)
{
    double x = ((const struct pt_point *)a)->value, y = ((const struct pt_point *)b)->value;
    return (x > y) - (x < y);
}

void pt_points_sort(struct pt_point *p, size_t n)
{
    if (n)
        qsort(p, n, sizeof *p, by_value);
}

double pt_points_weight(const struct pt_point *p, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i].weight;
    return sum;
}

/* The chance that a positive has a higher score than a negative; ties count half. */
double pt_judge_auc(const struct pt_point *positive, size_t pn, const struct pt_point *negative, size_t nn)
{
    double p_all = pt_points_weight(positive, pn), n_all = pt_points_weight(negative, nn), below = 0, sum = 0;
    if (!pn || !nn)
        return NAN;
    for (size_t i = 0, k = 0; i < pn;) {
        double at = positive[i].value, here = 0, ties = 0;
        while (k < nn && negative[k].value < at)
            below += negative[k++].weight;
        for (size_t t = k; t < nn && negative[t].value <= at; t++)
            ties += negative[t].weight;
        while (i < pn && positive[i].value <= at)
            here += positive[i++].weight;
        sum += here * (below + ties / 2);
    }
    return sum / (p_all * n_all);
}

static double auc_of(const float *rows, const double *weights, size_t count, size_t classes, size_t class, struct pt_point *p)
{
    size_t positive = 0, negative = count;
    for (size_t i = 0; i < count; i++) {
        const float *row = rows + i * (classes + 1);
        bool is = (size_t)row[0] == class;
        p[is ? positive++ : --negative] = (struct pt_point){(double)row[1 + class], weights ? weights[i] : 1};
    }
    pt_points_sort(p, positive);
    pt_points_sort(p + positive, count - positive);
    return pt_judge_auc(p, positive, p + positive, count - positive);
}

double pt_judge_mean_auc(const float *rows, const double *weights, size_t count, size_t classes)
{
    pt_auto_free struct pt_point *p = pt_reallocarray(NULL, count + 1, sizeof *p);
    double sum = 0, n = 0;
    if (!p)
        return NAN;
    for (size_t i = classes == 2; i < classes; i++) {
        double area = auc_of(rows, weights, count, classes, i, p);
        if (!isnan(area))
            sum += area, n++;
    }
    return share(sum, n);
}

void pt_calibration_add(struct pt_calibration *c, double confidence, bool right)
{
    size_t bin = confidence > 0 ? (size_t)(confidence * PT_CALIBRATION_BINS) : 0;
    bin = bin < PT_CALIBRATION_BINS ? bin : PT_CALIBRATION_BINS - 1;
    c->count++;
    c->right[bin] += right;
    c->confidence[bin] += confidence;
}

void pt_calibration_join(struct pt_calibration *c, const struct pt_calibration *more)
{
    c->count += more->count;
    for (size_t i = 0; i < PT_CALIBRATION_BINS; i++) {
        c->right[i] += more->right[i];
        c->confidence[i] += more->confidence[i];
    }
}

double pt_calibration_error(const struct pt_calibration *c)
{
    double sum = 0;
    for (size_t i = 0; i < PT_CALIBRATION_BINS; i++)
        sum += fabs(c->right[i] - c->confidence[i]);
    return share(sum, c->count);
}

/* --- numbers ------------------------------------------------------------------------------------------------------------------------------- */

void pt_errors_add(struct pt_errors *e, double label, double answer)
{
    double error = answer - label, from_mean = label - e->mean;
    e->count++;
    e->sum += error;
    e->absolute += fabs(error);
    e->squared += error * error;
    e->mean += from_mean / e->count;
    e->spread += from_mean * (label - e->mean);
}

/* Means and squared deviations of two parts: Chan, Golub, LeVeque (1983). */
void pt_errors_join(struct pt_errors *e, const struct pt_errors *more)
{
    double all = e->count + more->count, apart = more->mean - e->mean;
    if (more->count == 0)
        return;
    e->spread += more->spread + apart * apart * e->count * more->count / all;
    e->mean += apart * more->count / all;
    e->count = all;
    e->sum += more->sum;
    e->absolute += more->absolute;
    e->squared += more->squared;
}

double pt_errors_mean(const struct pt_errors *e)
{
    return share(e->sum, e->count);
}

double pt_errors_mean_absolute(const struct pt_errors *e)
{
    return share(e->absolute, e->count);
}

double pt_errors_root_mean_squared(const struct pt_errors *e)
{
    return sqrt(share(e->squared, e->count));
}

double pt_errors_r2(const struct pt_errors *e)
{
    return 1 - share(e->squared, e->spread);
}
