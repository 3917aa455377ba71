/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_feedback.c: labels that come later find the answer they belong to and are counted with it, in the pane of the time when they come.
 */
#include "base/json.h"
#include "base/mem.h"
#include "sidecar/monitor_impl.h"

#include <math.h>

/* --- counting ----------------------------------------------------------------------------------------------------------------------------- */

static void keep_labelled(struct pt_monitor *m, struct pt_mon_pane *pane, double label, const float *scores)
{
    size_t row = m->class_count + 1;
    if (!pane->labelled_sample && !(pane->labelled_sample = pt_malloc(m->labelled_rows * row * sizeof *scores)))
        return;
    size_t at = pt_mon_place(m, pane->labelled, m->labelled_rows, &pane->labelled_kept);
    if (at == SIZE_MAX)
        return;
    pane->labelled_sample[at * row] = (float)label;
    memcpy(pane->labelled_sample + at * row + 1, scores, m->class_count * sizeof *scores);
}

static void count_group(struct pt_mon_group *g, bool positive, bool chosen, bool right)
{
    g->labelled++;
    g->right += right;
    g->positives += positive;
    g->true_positives += positive && chosen;
    g->negatives += !positive;
    g->false_positives += !positive && chosen;
}

static void count_class(struct pt_monitor *m, struct pt_mon_pane *pane, const struct pt_mon_record *r, size_t label)
{
    size_t answer = pt_mon_best(r->scores, m->class_count), c = m->class_count, positive = (size_t)m->config->monitoring.positive;
    if (!pane->confusion)
        pane->confusion = pt_calloc(c * c, sizeof *pane->confusion);
    if (pane->confusion)
        pane->confusion[label * c + answer]++;
    pane->log_loss += pt_judge_log_loss((double)r->scores[label]);
    pt_calibration_add(&pane->calibration, (double)r->scores[answer], answer == label);
    keep_labelled(m, pane, (double)label, r->scores);
    if (r->group < PT_MON_GROUPS)
        count_group(&pane->groups[r->group], label == positive, answer == positive, answer == label);
}

/* --- joining ------------------------------------------------------------------------------------------------------------------------------- */

static void join(struct pt_monitor *m, struct pt_str id, int64_t row, double label, int64_t now_ms, struct pt_feedback_result *result)
{
    uint64_t key = pt_mon_key(id, row);
    struct pt_mon_record *r = NULL;
    for (uint32_t i = m->ring ? *pt_mon_head(m, key) : PT_MON_NONE; i != PT_MON_NONE && !r; i = pt_mon_record(m, i)->next)
        if (pt_mon_record(m, i)->id == key)
            r = pt_mon_record(m, i);
    if (!r) {
        result->unknown++;
        return;
    }
    if (now_ms - r->at_ms > m->config->monitoring.label_ttl_ms) {
        result->expired++;
        return;
    }
    if (r->labelled) {
        result->repeated++;
        return;
    }
    r->labelled = true;
    result->accepted++;
    if (isnan(r->scores[0])) /* one such answer would make every figure of the window one */
        return;
    struct pt_mon_pane *pane = pt_mon_pane(m, now_ms);
    if (m->task == PT_MON_CLASSIFICATION)
        count_class(m, pane, r, (size_t)label);
    else
        pt_errors_add(&pane->errors, label, (double)r->scores[0]);
    pane->labelled++;
}

/* --- reading ------------------------------------------------------------------------------------------------------------------------------- */

struct reader {
    struct pt_monitor *m;
    int64_t now_ms;
    struct pt_feedback_result result;
};

static int class_named(const struct pt_monitor *m, struct pt_str name, double *label, struct pt_err *err)
{
    int64_t n;
    for (size_t i = 0; i < m->named_classes; i++)
        if (pt_str_eq(pt_str(m->classes[i]), name)) {
            *label = (double)i;
            return PT_OK;
        }
    if (pt_parse_i64(name, 0, PT_MON_CLASSES, "label", &n, NULL) < 0)
        return pt_fail(err, PT_EINVAL, "label \"" PT_STR_FMT "\": %s", (int)(name.len < 64 ? name.len : 64), name.p,
                       m->named_classes ? "no such class in monitoring.classes" : "want a number; monitoring.classes names no classes");
    *label = (double)n;
    return PT_OK;
}

static int read_label(struct reader *r, struct pt_json *j, double *label, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(256);
    bool yes = false;
    int kind = pt_json_kind(j, err), rc = kind;
    if (kind == PT_JSON_STRING) {
        rc = pt_json_string(j, &text, err);
        if (rc >= 0)
            rc = class_named(r->m, (struct pt_str){text.data, text.len}, label, err);
    } else if (kind == PT_JSON_BOOL) {
        rc = pt_json_bool(j, &yes, err);
        *label = yes;
    } else if (kind >= 0) {
        rc = pt_json_double(j, label, err);
    }
    if (rc < 0)
        return rc;
    bool class = r->m->task == PT_MON_CLASSIFICATION;
    if (!isfinite(*label) || (class && !(*label >= 0 && *label < (double)r->m->class_count && floor(*label) == *label)))
        return pt_fail(err, PT_EINVAL, "label: want %s 0 to %zu, got %g", class ? "a class from" : "a finite number, of classes",
                       r->m->class_count - 1, *label);
    return PT_OK;
}

static int read_labels(struct reader *r, struct pt_json *j, struct pt_str id, struct pt_err *err)
{
    double label = 0;
    int64_t row = 0;
    if (pt_json_kind(j, err) != PT_JSON_ARRAY) {
        int rc = read_label(r, j, &label, err);
        if (rc >= 0)
            join(r->m, id, 0, label, r->now_ms, &r->result);
        return rc;
    }
    int rc = pt_json_array(j, err);
    while (rc >= 0 && (rc = pt_json_element(j, err)) == 1)
        if ((rc = read_label(r, j, &label, err)) >= 0)
            join(r->m, id, row++, label, r->now_ms, &r->result);
    return rc;
}

/* {"id": ..., "label": ...}; the id may come behind the label. */
static int read_item(struct reader *r, struct pt_json *j, struct pt_err *err)
{
    struct pt_str key, id = {0}, labels = {0};
    int rc = pt_json_object(j, err);
    while (rc >= 0 && (rc = pt_json_member(j, &key, err)) == 1) {
        if (pt_json_key_is(&key, "id"))
            rc = pt_json_value(j, &id, err);
        else if (pt_json_key_is(&key, "label") || pt_json_key_is(&key, "labels"))
            rc = pt_json_value(j, &labels, err);
        else
            rc = pt_fail(err, PT_EINVAL, "unknown member \"" PT_STR_FMT "\": want id and label or labels", (int)(key.len < 64 ? key.len : 64), key.p);
    }
    if (rc < 0)
        return rc;
    if (id.len < 2 || id.p[0] != '"' || !labels.p)
        return pt_fail(err, PT_EINVAL, "want {\"id\": \"...\", \"label\": ...}: %s", labels.p ? "id must be a string" : "label is missing");
    struct pt_json in, name;
    pt_auto_buf text = PT_BUF_INIT(id.len);
    pt_json_init(&name, id.p, id.len);
    if ((rc = pt_json_string(&name, &text, err)) < 0 || (rc = pt_buf_check(&text, "id", err)) < 0)
        return rc;
    pt_json_init(&in, labels.p, labels.len);
    return read_labels(r, &in, (struct pt_str){text.data, text.len}, err);
}

static int read_body(struct reader *r, struct pt_str body, struct pt_err *err)
{
    struct pt_json j, probe;
    struct pt_str key;
    pt_json_init(&j, body.p, body.len);
    probe = j;
    int rc = pt_json_object(&probe, err);
    if (rc >= 0)
        rc = pt_json_member(&probe, &key, err);
    if (rc < 0)
        return rc;
    if (rc == 0 || !pt_json_key_is(&key, "feedback")) {
        rc = read_item(r, &j, err);
        return rc < 0 ? rc : pt_json_end(&j, err);
    }
    rc = pt_json_array(&probe, err);
    while (rc >= 0 && (rc = pt_json_element(&probe, err)) == 1)
        rc = read_item(r, &probe, err);
    if (rc >= 0 && (rc = pt_json_member(&probe, &key, err)) == 1)
        return pt_fail(err, PT_EINVAL, "unknown member \"" PT_STR_FMT "\" beside feedback", (int)(key.len < 64 ? key.len : 64), key.p);
    return rc < 0 ? rc : pt_json_end(&probe, err);
}

int pt_monitor_feedback(struct pt_monitor *m, struct pt_str body, int64_t now_ms, struct pt_feedback_result *result, struct pt_err *err)
{
    struct reader r = {.m = m, .now_ms = now_ms};
    pthread_mutex_lock(&m->lock);
    int rc = !m->laid_out ? pt_fail(err, PT_ENOTFOUND, "feedback: the model has answered nothing yet")
             : m->task == PT_MON_NO_TASK
                 ? pt_fail(err, PT_EUNSUPPORTED, "feedback: no output of the model has scores of classes or one value a row: see monitoring.output")
                 : read_body(&r, body, err);
    m->feedback.accepted += r.result.accepted;
    m->feedback.unknown += r.result.unknown;
    m->feedback.expired += r.result.expired;
    m->feedback.repeated += r.result.repeated;
    m->changes++;
    pthread_mutex_unlock(&m->lock);
    *result = r.result;
    return rc;
}
