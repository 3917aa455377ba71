/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_stats.h: how two samples differ: plain functions of values with weights. Definitions are those of scipy,
 * scikit-learn and, for shares by bins, Evidently, so that figures can be compared. NaN where a figure is not defined.
 */
#ifndef PT_SIDECAR_MONITOR_STATS_H
#define PT_SIDECAR_MONITOR_STATS_H

#include "base/judge.h"

size_t pt_points_distinct(const struct pt_point *sorted, size_t n);
double pt_points_mean(const struct pt_point *p, size_t n);
double pt_points_deviation(const struct pt_point *p, size_t n); /* of the population */

/* Both sorted. */
double pt_stat_ks(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn);
double pt_stat_ks_p(double d, double an, double bn); /* two-sided, asymptotic */
double pt_stat_wasserstein(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn);

/* Shares of both in the same bins: per value where a has at most 20 of them or categorical is set, else by Sturges' rule over both. Arrays of an + bn
 * places; returns how many were used. */
size_t pt_stat_shares(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn, bool categorical, double *a_share, double *b_share);
double pt_stat_psi(const double *a, const double *b, size_t n); /* empty bins count as 0.0001, or a millionth of the least where that is less */
double pt_stat_js(const double *a, const double *b, size_t n);  /* Jensen-Shannon distance, natural logarithm */
/* P values of b's counts against a's shares: chi-squared; of two values, the z test of two proportions. */
double pt_stat_chi2_p(const double *a, const double *b, size_t n, double b_count);
double pt_stat_z_p(const double *a, const double *b, size_t n, double a_count, double b_count);
double pt_stat_gamma_q(double a, double x); /* regularised upper incomplete gamma function */

/* A row of scores becomes probabilities: as they are, if they are such, else by softmax. Of one score s: {1 - s, s}, or by the logistic function once
 * *logits is set, which the first score does that is no probability: later ones that might be one are of the same model. false: scores are not
 * finite. */
bool pt_stat_probabilities(const float *scores, size_t n, bool *logits, float *out);

#endif
