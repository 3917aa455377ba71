/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_report.c: the figures of a window: as JSON, and as a list from which the metrics are set. The lock is held only while sums are added up and
 * while the values of one column are copied.
 */
#include "base/mem.h"
#include "sidecar/monitor_impl.h"

#include <math.h>
#include <stdio.h>

enum { LEAST_ROWS = 30, SMALL_REFERENCE = 1000, FEW_VALUES = 5, FRESH_MS = 5000, MAX_FIGURES = 2048 };

#define GAUGE(var, name, help) var = {"pintle_monitor_" name, help, PT_GAUGE, "model,version", NULL, 0}
#define GAUGE_OF(var, name, label, help) var = {"pintle_monitor_" name, help, PT_GAUGE, "model,version," label, NULL, 0}
static const struct pt_metric_family GAUGE(window_rows, "window_rows", "Rows that the model answered in the window."),
    feedback_total = {"pintle_monitor_feedback_total", "Labels that came, by what became of them.", PT_COUNTER, "model,version,result", NULL, 0},
    GAUGE(labelled_rows, "labelled_rows", "Rows of the window with a label."),
    GAUGE(accuracy, "accuracy", "Share of labelled answers that are right."),
    GAUGE_OF(precision, "precision", "class", "Precision by class and their mean (macro)."),
    GAUGE_OF(recall, "recall", "class", "Recall by class and their mean (macro)."),
    GAUGE_OF(f1, "f1", "class", "F1 by class and their mean (macro)."),
    GAUGE(log_loss, "log_loss", "Mean negative logarithm of the label's probability."),
    GAUGE(auc, "auc", "Area under the ROC curve; of several classes the mean of one against the rest."),
    GAUGE(calibration_error, "calibration_error", "Expected distance of confidence and accuracy."),
    GAUGE(mean_error, "mean_error", "Mean of answer minus label."), GAUGE(mae, "mean_absolute_error", "Mean absolute error."),
    GAUGE(rmse, "root_mean_squared_error", "Root of the mean squared error."), GAUGE(r2, "r2", "Coefficient of determination."),
    GAUGE(entropy, "entropy", "Mean entropy of the probabilities, natural logarithm."),
    GAUGE(margin, "margin", "Mean distance of the two highest probabilities."),
    GAUGE(unsure_share, "unsure_share", "Share of answers whose highest probability is low."),
    GAUGE(drifted_share, "drifted_columns_share", "Share of columns that drifted; half is a drifted data set."),
    GAUGE_OF(drifted, "drifted", "column", "1: the column is unlike the reference."),
    GAUGE_OF(psi, "psi", "column", "Population stability index against the reference."),
    GAUGE_OF(wasserstein, "wasserstein_normed", "column", "Wasserstein distance to the reference in its standard deviations."),
    GAUGE_OF(missing_share, "missing_share", "column", "Share of values that are missing."),
    GAUGE_OF(outside_share, "out_of_range_share", "column", "Share of values outside of the reference's range."),
    GAUGE_OF(selection_rate, "selection_rate", "group", "Share of answers that are the positive class."),
    GAUGE_OF(group_accuracy, "group_accuracy", "group", "Accuracy by group."),
    GAUGE(parity, "demographic_parity_difference", "Highest less lowest selection rate of groups."),
    GAUGE(impact, "disparate_impact", "Lowest by highest selection rate of groups."),
    GAUGE(opportunity, "equal_opportunity_difference", "Highest less lowest true positive rate of groups."),
    GAUGE(odds, "equalised_odds_difference", "The greater of the differences of true and false positive rates of groups.");

struct report {
    struct pt_monitor *m;
    int64_t now_ms;
    struct pt_buf *b;
    struct pt_mon_figure *figures;
    size_t count;
};

/* --- writing --------------------------------------------------------------------------------------------------------------------------------- */

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static void comma(struct pt_buf *b)
{
    if (b->len && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
        pt_buf_putc(b, ',');
}

static void put_key(struct pt_buf *b, const char *key)
{
    comma(b);
    pt_buf_printf(b, "\"%s\":", key);
}

static void put_number(struct pt_buf *b, const char *key, double v)
{
    put_key(b, key);
    pt_mon_put_number(b, v);
}

static void put_text(struct pt_buf *b, const char *key, const char *text)
{
    put_key(b, key);
    pt_buf_json_string(b, pt_str(text));
}

static void figure(struct report *r, const struct pt_metric_family *family, const char *label, double v)
{
    if (r->count == MAX_FIGURES)
        return;
    struct pt_mon_figure *f = &r->figures[r->count++];
    *f = (struct pt_mon_figure){.family = family, .value = v};
    snprintf(f->label, sizeof f->label, "%s", label ? label : "");
}

/* Both. */
static void put(struct report *r, const char *key, const struct pt_metric_family *family, const char *label, double v)
{
    put_number(r->b, key, v);
    figure(r, family, label, v);
}

static const char *class_name(const struct pt_monitor *m, size_t i, char text[24])
{
    if (i < m->named_classes)
        return m->classes[i];
    snprintf(text, 24, "%zu", i);
    return text;
}

/* --- sums of the window ---------------------------------------------------------------------------------------------------------------------- */

struct sums {
    double rows, scored, entropy, margin, unsure;
    double labelled, log_loss;
    struct pt_calibration calibration;
    struct pt_errors errors;
    struct pt_mon_group groups[PT_MON_GROUPS];
    double *confusion;
    float *sample; /* labelled rows, and what each stands for */
    double *weights;
    size_t sample_count;
};

static void add_group(struct pt_mon_group *g, const struct pt_mon_group *more)
{
    g->rows += more->rows, g->chosen += more->chosen;
    g->labelled += more->labelled, g->right += more->right;
    g->positives += more->positives, g->true_positives += more->true_positives;
    g->negatives += more->negatives, g->false_positives += more->false_positives;
}

static void add_pane(const struct pt_monitor *m, struct sums *s, const struct pt_mon_pane *p)
{
    size_t c = m->class_count, row = c + 1;
    s->rows += (double)p->rows, s->scored += (double)p->scored, s->unsure += (double)p->unsure;
    s->entropy += p->entropy, s->margin += p->margin;
    s->labelled += (double)p->labelled, s->log_loss += p->log_loss;
    pt_calibration_join(&s->calibration, &p->calibration);
    pt_errors_join(&s->errors, &p->errors);
    for (size_t i = 0; i < PT_MON_GROUPS; i++)
        add_group(&s->groups[i], &p->groups[i]);
    for (size_t i = 0; p->confusion && i < c * c; i++)
        s->confusion[i] += p->confusion[i];
    for (size_t i = 0; i < p->labelled_kept; i++)
        s->weights[s->sample_count + i] = (double)p->labelled / (double)p->labelled_kept;
    if (p->labelled_kept)
        memcpy(s->sample + s->sample_count * row, p->labelled_sample, p->labelled_kept * row * sizeof *s->sample);
    s->sample_count += p->labelled_kept;
}

static void finish_sums(struct sums *s)
{
    pt_free(s->confusion);
    pt_free(s->sample);
    pt_free(s->weights);
}

static bool add_up(struct pt_monitor *m, int64_t now_ms, struct sums *s)
{
    size_t c = m->class_count, most = PT_MON_PANES * m->labelled_rows;
    *s = (struct sums){0};
    s->confusion = pt_calloc(c * c + 1, sizeof *s->confusion);
    s->sample = pt_calloc(most * (c + 1) + 1, sizeof *s->sample);
    s->weights = pt_calloc(most + 1, sizeof *s->weights);
    bool complete = s->confusion && s->sample && s->weights;
    for (size_t i = 0; complete && i < PT_MON_PANES; i++)
        if (pt_mon_in_window(m, &m->panes[i], now_ms))
            add_pane(m, s, &m->panes[i]);
    return complete;
}

/* --- how right -------------------------------------------------------------------------------------------------------------------------------- */

static void put_class(struct report *r, const struct sums *s, size_t i)
{
    struct pt_class_figures c;
    char text[24];
    const char *name = class_name(r->m, i, text);
    pt_judge_class(s->confusion, r->m->class_count, i, &c);
    comma(r->b);
    pt_buf_putc(r->b, '{');
    put_text(r->b, "class", name);
    put_number(r->b, "support", c.support);
    put(r, "precision", &precision, name, c.precision);
    put(r, "recall", &recall, name, c.recall);
    put(r, "f1", &f1, name, c.f1);
    pt_buf_putc(r->b, '}');
}

static void put_confusion(struct report *r, const struct sums *s)
{
    size_t c = r->m->class_count;
    put_key(r->b, "confusion");
    for (size_t i = 0; i < c; i++) {
        pt_buf_puts(r->b, i ? ",[" : "[[");
        for (size_t k = 0; k < c; k++)
            pt_buf_printf(r->b, "%s%.0f", k ? "," : "", s->confusion[i * c + k]);
        pt_buf_putc(r->b, ']');
    }
    pt_buf_putc(r->b, ']');
}

static void put_classification(struct report *r, const struct sums *s)
{
    size_t c = r->m->class_count;
    struct pt_confusion_figures all;
    pt_judge_confusion(s->confusion, c, &all);
    put_key(r->b, "classification");
    pt_buf_putc(r->b, '{');
    put(r, "labelled", &labelled_rows, NULL, s->labelled);
    put(r, "accuracy", &accuracy, NULL, all.accuracy);
    put(r, "log_loss", &log_loss, NULL, share(s->log_loss, s->labelled));
    put(r, "auc", &auc, NULL, pt_judge_mean_auc(s->sample, s->weights, s->sample_count, c));
    put(r, "calibration_error", &calibration_error, NULL, pt_calibration_error(&s->calibration));
    put_key(r->b, "classes");
    pt_buf_putc(r->b, '[');
    for (size_t i = 0; i < c; i++)
        put_class(r, s, i);
    pt_buf_putc(r->b, ']');
    put_key(r->b, "macro");
    pt_buf_putc(r->b, '{');
    put(r, "precision", &precision, "macro", all.precision);
    put(r, "recall", &recall, "macro", all.recall);
    put(r, "f1", &f1, "macro", all.f1);
    pt_buf_putc(r->b, '}');
    put_confusion(r, s);
    pt_buf_putc(r->b, '}');
}

static void put_regression(struct report *r, const struct sums *s)
{
    put_key(r->b, "regression");
    pt_buf_putc(r->b, '{');
    put(r, "labelled", &labelled_rows, NULL, s->labelled);
    put(r, "mean_error", &mean_error, NULL, pt_errors_mean(&s->errors));
    put(r, "mean_absolute_error", &mae, NULL, pt_errors_mean_absolute(&s->errors));
    put(r, "root_mean_squared_error", &rmse, NULL, pt_errors_root_mean_squared(&s->errors));
    put(r, "r2", &r2, NULL, pt_errors_r2(&s->errors));
    pt_buf_putc(r->b, '}');
}

/* --- how sure --------------------------------------------------------------------------------------------------------------------------------- */

static void put_unsure(struct report *r)
{
    struct pt_monitor *m = r->m;
    char text[24];
    put_key(r->b, "samples");
    pt_buf_putc(r->b, '[');
    for (const struct pt_mon_unsure *u = m->unsure; u < m->unsure + PT_MON_UNSURE; u++) {
        if (!u->values)
            continue;
        comma(r->b);
        pt_buf_putc(r->b, '{');
        put_text(r->b, "id", u->id);
        put_number(r->b, "age_ms", (double)(r->now_ms - u->at_ms));
        put_number(r->b, "confidence", (double)u->confidence);
        put_text(r->b, "answer", class_name(m, (size_t)u->answer, text));
        put_key(r->b, "inputs");
        pt_buf_putc(r->b, '{');
        for (size_t k = 0; k < m->input_columns; k++) {
            comma(r->b);
            pt_buf_json_string(r->b, pt_str(m->columns[k].name));
            pt_buf_putc(r->b, ':');
            pt_mon_put_number(r->b, (double)u->values[k]);
        }
        pt_buf_puts(r->b, "}}");
    }
    pt_buf_putc(r->b, ']');
}

static void put_ambiguity(struct report *r, const struct sums *s)
{
    put_key(r->b, "ambiguity");
    pt_buf_putc(r->b, '{');
    put_number(r->b, "rows", s->scored);
    put(r, "entropy", &entropy, NULL, share(s->entropy, s->scored));
    put(r, "margin", &margin, NULL, share(s->margin, s->scored));
    put(r, "unsure_share", &unsure_share, NULL, share(s->unsure, s->scored));
    put_unsure(r);
    pt_buf_putc(r->b, '}');
}

/* --- bias --------------------------------------------------------------------------------------------------------------------------------------- */

struct range {
    double least, most;
    int count;
};

static void widen(struct range *r, double v)
{
    if (isnan(v))
        return;
    r->least = r->count == 0 || v < r->least ? v : r->least;
    r->most = r->count == 0 || v > r->most ? v : r->most;
    r->count++;
}

/* NaN unless two groups can be compared. */
static double spread(const struct range *r)
{
    return r->count > 1 ? r->most - r->least : NAN;
}

static void put_bias(struct report *r, const struct sums *s)
{
    double least = (double)r->m->config->monitoring.min_count;
    struct range rates = {0}, tpr = {0}, fpr = {0};
    put_key(r->b, "bias");
    pt_buf_putc(r->b, '{');
    put_key(r->b, "groups");
    pt_buf_putc(r->b, '[');
    for (size_t i = 0; i < r->m->group_count; i++) {
        const struct pt_mon_group *g = &s->groups[i];
        bool enough = (double)g->rows >= least, labelled = (double)g->labelled >= least;
        double rate = share((double)g->chosen, (double)g->rows), right = share((double)g->right, (double)g->labelled);
        double t = share((double)g->true_positives, (double)g->positives), f = share((double)g->false_positives, (double)g->negatives);
        comma(r->b);
        pt_buf_putc(r->b, '{');
        put_text(r->b, "group", r->m->groups[i]);
        put_number(r->b, "rows", (double)g->rows);
        put(r, "selection_rate", &selection_rate, r->m->groups[i], rate);
        put_number(r->b, "labelled", (double)g->labelled);
        put(r, "accuracy", &group_accuracy, r->m->groups[i], right);
        put_number(r->b, "true_positive_rate", t);
        put_number(r->b, "false_positive_rate", f);
        pt_buf_putc(r->b, '}');
        widen(&rates, enough ? rate : NAN);
        widen(&tpr, labelled ? t : NAN);
        widen(&fpr, labelled ? f : NAN);
    }
    pt_buf_putc(r->b, ']');
    put(r, "demographic_parity_difference", &parity, NULL, spread(&rates));
    put(r, "disparate_impact", &impact, NULL, rates.count > 1 ? share(rates.least, rates.most) : NAN);
    put(r, "equal_opportunity_difference", &opportunity, NULL, spread(&tpr));
    double by_true = spread(&tpr), by_false = spread(&fpr);
    put(r, "equalised_odds_difference", &odds, NULL, isnan(by_true) || isnan(by_false) ? NAN : fmax(by_true, by_false));
    pt_buf_putc(r->b, '}');
}

/* --- drift -------------------------------------------------------------------------------------------------------------------------------------- */

struct drift {
    const char *test;
    double score, threshold, ks, ks_p, psi, js, wasserstein, chi2_p;
    bool known, drifted;
};

/* The test is chosen as Evidently does: by the size of the reference and what its values are like. */
static void judge(struct drift *d, const struct pt_mon_reference *ref, size_t distinct, double z_p)
{
    if (isnan(z_p)) /* there is a third value now */
        distinct = distinct < 3 ? 3 : distinct;
    bool categories = ref->categorical || distinct <= FEW_VALUES, small = ref->count <= SMALL_REFERENCE;
    d->test = small ? (!categories ? "ks" : distinct > 2 ? "chi2" : "z") : categories ? "jensen_shannon" : "wasserstein";
    d->score = small ? (!categories ? d->ks_p : distinct > 2 ? d->chi2_p : z_p) : categories ? d->js : d->wasserstein;
    d->threshold = small ? 0.05 : 0.1;
    d->drifted = small ? d->score < d->threshold : d->score >= d->threshold;
    d->known = !isnan(d->score);
}

static bool compare(const struct pt_mon_reference *ref, const struct pt_point *now, size_t n, struct drift *d)
{
    size_t rn = ref->kept;
    struct pt_point *then = pt_malloc((rn + 1) * sizeof *then);
    double *a = pt_malloc((rn + n + 1) * sizeof *a), *b = pt_malloc((rn + n + 1) * sizeof *b);
    bool complete = then && a && b;
    if (complete) {
        for (size_t i = 0; i < rn; i++)
            then[i] = (struct pt_point){(double)ref->values[i], 1};
        size_t distinct = pt_points_distinct(then, rn), bins;
        double deviation = pt_points_deviation(then, rn);
        d->ks = pt_stat_ks(then, rn, now, n);
        d->ks_p = pt_stat_ks_p(d->ks, (double)rn, (double)n);
        d->wasserstein = pt_stat_wasserstein(then, rn, now, n) / (deviation > 0.001 ? deviation : 0.001);
        bins = pt_stat_shares(then, rn, now, n, ref->categorical, a, b);
        d->psi = pt_stat_psi(a, b, bins);
        d->js = pt_stat_js(a, b, bins);
        bins = pt_stat_shares(then, rn, now, n, true, a, b); /* by value */
        d->chi2_p = ref->categorical || distinct <= FEW_VALUES ? pt_stat_chi2_p(a, b, bins, (double)n) : NAN;
        judge(d, ref, distinct, pt_stat_z_p(a, b, bins, (double)rn, (double)n));
    }
    pt_free(then);
    pt_free(a);
    pt_free(b);
    return complete;
}

static double outside(const struct pt_mon_reference *ref, const struct pt_point *p, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i].value < ref->min || p[i].value > ref->max ? p[i].weight : 0;
    return n ? sum / pt_points_weight(p, n) : NAN;
}

/* *judged, *drifts: one more each, where that is so. */
static bool put_column(struct report *r, const struct pt_mon_column *c, size_t k, double *judged, double *drifts)
{
    const struct pt_mon_reference *ref = pt_mon_reference(r->m, c->name);
    struct drift d = {0};
    size_t n;
    double missing;
    struct pt_point *p = pt_mon_values(r->m, k, r->now_ms, &n, &missing);
    if (!p)
        return false;
    pt_points_sort(p, n);
    comma(r->b);
    pt_buf_putc(r->b, '{');
    put_text(r->b, "column", c->name);
    put_text(r->b, "of", c->output ? "output" : "input");
    put_number(r->b, "values", (double)n);
    put_number(r->b, "mean", n && !c->categorical ? pt_points_mean(p, n) : NAN);
    put_number(r->b, "deviation", n && !c->categorical ? pt_points_deviation(p, n) : NAN);
    put(r, "missing_share", &missing_share, c->name, share(missing, missing + pt_points_weight(p, n)));
    bool complete = true;
    if (ref && ref->kept && n >= LEAST_ROWS && (complete = compare(ref, p, n, &d))) {
        put(r, "out_of_range_share", &outside_share, c->name, c->categorical ? NAN : outside(ref, p, n));
        put_text(r->b, "test", d.test);
        put_number(r->b, "score", d.score);
        put_number(r->b, "threshold", d.threshold);
        put_key(r->b, "drifted");
        pt_buf_puts(r->b, d.drifted ? "true" : "false");
        put(r, "psi", &psi, c->name, d.psi);
        put_number(r->b, "ks", d.ks);
        put_number(r->b, "ks_p", d.ks_p);
        put_number(r->b, "jensen_shannon", d.js);
        put(r, "wasserstein_normed", &wasserstein, c->name, d.wasserstein);
        put_number(r->b, "chi2_p", d.chi2_p);
        figure(r, &drifted, c->name, d.drifted);
        *judged += d.known;
        *drifts += d.known && d.drifted;
    }
    pt_buf_putc(r->b, '}');
    pt_free(p);
    return complete;
}

static bool put_drift(struct report *r, size_t columns)
{
    double judged = 0, drifts = 0;
    bool complete = true;
    put_key(r->b, "drift");
    pt_buf_putc(r->b, '{');
    put_key(r->b, "reference");
    pt_buf_puts(r->b, r->m->reference_count ? "true" : "false");
    put_key(r->b, "columns");
    pt_buf_putc(r->b, '[');
    for (size_t k = 0; complete && k < columns; k++)
        complete = put_column(r, &r->m->columns[k], k, &judged, &drifts); /* columns do not change once they are laid out */
    pt_buf_putc(r->b, ']');
    put(r, "drifted_share", &drifted_share, NULL, share(drifts, judged));
    put_key(r->b, "drifted");
    pt_buf_puts(r->b, judged == 0 ? "null" : drifts / judged >= 0.5 ? "true" : "false");
    pt_buf_putc(r->b, '}');
    return complete;
}

/* --- the whole ---------------------------------------------------------------------------------------------------------------------------------- */

static void put_feedback(struct report *r)
{
    const struct pt_feedback_result *f = &r->m->feedback;
    put_key(r->b, "feedback");
    pt_buf_putc(r->b, '{');
    put(r, "accepted", &feedback_total, "accepted", (double)f->accepted);
    put(r, "unknown", &feedback_total, "unknown", (double)f->unknown);
    put(r, "expired", &feedback_total, "expired", (double)f->expired);
    put(r, "repeated", &feedback_total, "repeated", (double)f->repeated);
    pt_buf_putc(r->b, '}');
}

/* With the lock. */
static void put_sums(struct report *r, const struct sums *s)
{
    static const char *const tasks[] = {"unknown", "classification", "regression", "none"};
    struct pt_monitor *m = r->m;
    put_text(r->b, "task", tasks[m->task]);
    put(r, "window_rows", &window_rows, NULL, s->rows);
    put_feedback(r);
    if (m->task == PT_MON_CLASSIFICATION) {
        put_classification(r, s);
        put_ambiguity(r, s);
        if (m->config->monitoring.group)
            put_bias(r, s);
    } else if (m->task == PT_MON_REGRESSION) {
        put_regression(r, s);
    }
}

static int write_report(struct report *r, struct pt_err *err)
{
    struct pt_monitor *m = r->m;
    struct sums s;
    pt_buf_putc(r->b, '{');
    put_text(r->b, "model", m->config->model.name);
    put_text(r->b, "version", m->config->model.version);
    put_number(r->b, "window_ms", (double)m->config->monitoring.window_ms);
    pthread_mutex_lock(&m->lock);
    uint64_t changes = m->changes;
    size_t columns = m->laid_out ? m->column_count : 0;
    bool complete = add_up(m, r->now_ms, &s);
    if (complete)
        put_sums(r, &s);
    pthread_mutex_unlock(&m->lock);
    finish_sums(&s);
    complete = complete && put_drift(r, columns);
    pt_buf_puts(r->b, "}\n");
    if (!complete)
        return pt_fail(err, PT_ENOMEM, "monitoring: out of memory");
    struct pt_mon_figure *exact = pt_realloc(r->figures, (r->count + 1) * sizeof *exact);
    r->figures = exact ? exact : r->figures;
    pthread_mutex_lock(&m->lock);
    pt_free(m->figures);
    m->figures = pt_steal(r->figures);
    m->figure_count = r->count;
    m->reported_changes = changes;
    m->reported_ms = r->now_ms;
    pthread_mutex_unlock(&m->lock);
    return pt_buf_check(r->b, "monitoring", err);
}

int pt_monitor_report(struct pt_monitor *m, int64_t now_ms, struct pt_buf *out, struct pt_err *err)
{
    struct report r = {.m = m, .now_ms = now_ms, .b = out, .figures = pt_malloc(MAX_FIGURES * sizeof *r.figures)};
    int rc = r.figures ? write_report(&r, err) : pt_fail(err, PT_ENOMEM, "monitoring: out of memory");
    pt_free(r.figures);
    pt_monitor_give_up_report(m);
    return rc;
}

/* The family of each, in the order of PT_FIGURES; those of classes are meant as their mean. */
static const struct pt_metric_family *const judged[] = {&accuracy, &precision, &recall,  &f1,     &auc,          &log_loss,      &calibration_error, &mean_error,  &mae, &rmse,
                                                        &r2,       &entropy,   &margin,  &unsure_share, &drifted_share, &parity, &impact,            &opportunity, &odds};
_Static_assert(sizeof judged / sizeof *judged == PT_FIGURE_COUNT, "a family for each figure");

void pt_monitor_figures(const struct pt_monitor *m, struct pt_monitor_figures *out)
{
    out->rows = out->labelled = 0;
    for (size_t k = 0; k < PT_FIGURE_COUNT; k++)
        out->values[k] = NAN;
    for (const struct pt_mon_figure *f = m->shown; f && f < m->shown + m->shown_count; f++) {
        if (f->family == &window_rows)
            out->rows = f->value;
        if (f->family == &labelled_rows)
            out->labelled = f->value;
        for (size_t k = 0; k < PT_FIGURE_COUNT; k++)
            if (f->family == judged[k] && (!*f->label || !strcmp(f->label, "macro")))
                out->values[k] = f->value;
    }
}

bool pt_monitor_begin_report(struct pt_monitor *m, int64_t now_ms)
{
    int64_t pane_ms = pt_mon_pane_ms(m);
    pthread_mutex_lock(&m->lock);
    bool news = m->changes != m->reported_changes || now_ms / pane_ms != m->reported_ms / pane_ms;
    bool begin = !m->reporting && (!m->reported_ms || (news && now_ms - m->reported_ms >= FRESH_MS));
    m->reporting |= begin;
    pthread_mutex_unlock(&m->lock);
    return begin;
}

void pt_monitor_give_up_report(struct pt_monitor *m)
{
    pthread_mutex_lock(&m->lock);
    m->reporting = false;
    pthread_mutex_unlock(&m->lock);
}

/* --- metrics --------------------------------------------------------------------------------------------------------------------------------------
 */

static bool is_same(const struct pt_mon_figure *a, const struct pt_mon_figure *b)
{
    return a->family == b->family && strcmp(a->label, b->label) == 0;
}

/* The series of a figure moves from what was shown before; most stand at the same place. */
static void adopt(struct pt_monitor *m, struct pt_mon_figure *f, size_t place)
{
    for (size_t i = 0; i < m->shown_count && !f->series; i++) {
        struct pt_mon_figure *old = &m->shown[(place + i) % m->shown_count];
        if (is_same(f, old))
            f->series = pt_steal(old->series);
    }
    if (!f->series)
        f->series = pt_metrics_series(m->registry, f->family, m->config->model.name, m->config->model.version, f->label, NULL);
    pt_metric_set(f->series, f->value);
}

void pt_monitor_collect(struct pt_monitor *m)
{
    pthread_mutex_lock(&m->lock);
    struct pt_mon_figure *figures = pt_steal(m->figures);
    size_t count = m->figure_count;
    pthread_mutex_unlock(&m->lock);
    if (!figures) /* nothing new */
        return;
    for (size_t i = 0; i < count; i++)
        adopt(m, &figures[i], i);
    for (size_t i = 0; i < m->shown_count; i++)
        pt_metrics_remove(m->registry, m->shown[i].series);
    pt_free(m->shown);
    m->shown = figures;
    m->shown_count = count;
}
