/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c: see report.h. One row per member.
 */
#include "operator/model/report.h"
#include "operator/ctrl/obj.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

#define AT(member) offsetof(struct pt_report, member)
static const struct {
    const char *name;
    size_t at, size;
    bool required;
} texts[] = {
    {PT_REPORT_POD_UID, AT(pod_uid), 64, true},   {PT_REPORT_POD_NAME, AT(pod_name), 254, true}, {PT_REPORT_NAMESPACE, AT(ns), 64, true},
    {PT_REPORT_MESSAGE, AT(message), 256, false}, {PT_REPORT_DIGEST, AT(digest), 72, false},     {PT_REPORT_VERSION, AT(version), 64, false},
};
static const struct {
    const char *name;
    size_t at;
} numbers[] = {
    {PT_REPORT_IN_FLIGHT, AT(in_flight)}, {PT_REPORT_QUEUED, AT(queued)},     {PT_REPORT_REQUESTS, AT(requests)}, {PT_REPORT_ERRORS, AT(errors)},
    {PT_REPORT_REJECTED, AT(rejected)},   {PT_REPORT_MEMORY, AT(memory_bytes)}, {PT_REPORT_CPU, AT(cpu_seconds)},
};
static const struct {
    const char *name;
    size_t at;
    bool required;
} integers[] = {
    {PT_REPORT_SEQUENCE, AT(sequence), true}, {PT_REPORT_STARTED_MS, AT(started_ms), true}, {PT_REPORT_BYTES_DONE, AT(bytes_done), false},
    {PT_REPORT_BYTES_TOTAL, AT(bytes_total), false},
};

static int bad(const cJSON *v, const char *name, const char *why, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    if (v)
        (void)pt_obj_print(v, &text, NULL);
    return pt_fail(err, PT_EINVAL, "report: %s: %.*s: %s", name, text.len > 80 ? 80 : (int)text.len, text.data ? text.data : "(missing)", why);
}

static int read_texts(const cJSON *o, char *out, struct pt_err *err)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, texts[i].name);
        const char *s = cJSON_GetStringValue(v);
        if ((v && !s) || (texts[i].required && !(s && *s)))
            return bad(v, texts[i].name, "must be text", err);
        size_t n = s ? strlen(s) : 0;
        if (n >= texts[i].size) {
            if (texts[i].at != AT(message))
                return bad(v, texts[i].name, "is too long", err);
            for (n = texts[i].size - 1; n && ((unsigned char)s[n] & 0xc0) == 0x80; n--) /* do not cut a character in two */
                ;
        }
        if (n)
            memcpy(out + texts[i].at, s, n);
    }
    return PT_OK;
}

static bool is_amount(const cJSON *v)
{
    return cJSON_IsNumber(v) && isfinite(v->valuedouble) && v->valuedouble >= 0;
}

static int read_numbers(const cJSON *o, char *out, struct pt_err *err)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, numbers[i].name);
        if (v && !is_amount(v))
            return bad(v, numbers[i].name, "must be a number that is not negative", err);
        if (v)
            memcpy(out + numbers[i].at, &v->valuedouble, sizeof(double));
    }
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, integers[i].name);
        if ((v || integers[i].required) && (!is_amount(v) || v->valuedouble > 9e15 || v->valuedouble != floor(v->valuedouble)))
            return bad(v, integers[i].name, "must be a whole number that is not negative", err);
        int64_t n = v ? (int64_t)v->valuedouble : 0;
        memcpy(out + integers[i].at, &n, sizeof n); /* sequence is unsigned: same bytes */
    }
    return PT_OK;
}

static int read_latency(const cJSON *o, struct pt_report *r, struct pt_err *err)
{
    const cJSON *latency = cJSON_GetObjectItemCaseSensitive(o, PT_REPORT_LATENCY), *bounds, *counts, *sum, *v;
    if (!latency)
        return PT_OK;
    bounds = cJSON_GetObjectItemCaseSensitive(latency, "boundsSeconds");
    counts = cJSON_GetObjectItemCaseSensitive(latency, "counts");
    sum = cJSON_GetObjectItemCaseSensitive(latency, "sumSeconds");
    int n = cJSON_GetArraySize(bounds), i = 0;
    if (!cJSON_IsArray(bounds) || !cJSON_IsArray(counts) || n > PT_REPORT_MAX_BOUNDS || cJSON_GetArraySize(counts) != n + 1 || (sum && !is_amount(sum)))
        return bad(latency, PT_REPORT_LATENCY, "must have at most 32 boundsSeconds, one more of counts, and sumSeconds", err);
    cJSON_ArrayForEach(v, bounds)
    {
        if (!is_amount(v) || (i && v->valuedouble <= r->bounds_s[i - 1]))
            return bad(v, PT_REPORT_LATENCY ".boundsSeconds", "must be ascending numbers", err);
        r->bounds_s[i++] = v->valuedouble;
    }
    i = 0;
    cJSON_ArrayForEach(v, counts)
    {
        if (!is_amount(v))
            return bad(v, PT_REPORT_LATENCY ".counts", "must be numbers that are not negative", err);
        r->counts[i++] = v->valuedouble;
    }
    r->bounds = (unsigned)n;
    r->latency_sum_s = sum ? sum->valuedouble : 0;
    return PT_OK;
}

/* A figure of a name that is not known here is a newer sidecar's. */
static int read_monitoring(const cJSON *o, struct pt_report *r, struct pt_err *err)
{
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(o, PT_REPORT_MONITORING), *rows, *labelled, *figures, *v;
    for (int i = 0; i < PT_FIGURE_COUNT; i++)
        r->figures[i] = NAN;
    if (!given)
        return PT_OK;
    rows = cJSON_GetObjectItemCaseSensitive(given, "rows");
    labelled = cJSON_GetObjectItemCaseSensitive(given, "labelled");
    figures = cJSON_GetObjectItemCaseSensitive(given, "figures");
    if (!is_amount(rows) || !is_amount(labelled) || !cJSON_IsObject(figures))
        return bad(given, PT_REPORT_MONITORING, "must have rows, labelled and figures", err);
    cJSON_ArrayForEach(v, figures)
    {
        int i = pt_figure_parse(v->string);
        if (i >= 0 && (!cJSON_IsNumber(v) || !isfinite(v->valuedouble)))
            return bad(v, pt_figure_text((enum pt_figure)i), "must be a number", err);
        if (i >= 0)
            r->figures[i] = v->valuedouble;
    }
    r->monitored = true;
    r->rows = rows->valuedouble;
    r->labelled = labelled->valuedouble;
    return PT_OK;
}

/* A member of the progress, 0 to most. */
static int progress_number(const cJSON *o, const char *name, int64_t most, int64_t otherwise, int64_t *out, struct pt_err *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);
    *out = otherwise;
    if (!v)
        return PT_OK;
    if (!is_amount(v) || v->valuedouble > (double)most || v->valuedouble != floor(v->valuedouble))
        return bad(v, name, "is no whole number within its bounds", err);
    *out = (int64_t)v->valuedouble;
    return PT_OK;
}

static int read_progress(const cJSON *o, struct pt_report *r, struct pt_err *err)
{
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(o, PT_REPORT_COMPRESSION);
    const char *stage = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(given, "stage"));
    struct pt_run_progress *p = &r->progress;
    struct {
        const char *name;
        int64_t most, otherwise, value;
    } n[] = {{"stageNumber", 1000, 0, 0}, {"stages", 1000, 0, 0}, {"epoch", INT32_MAX, 0, 0}, {"epochs", INT32_MAX, 0, 0},
             {"percent", 100, -1, 0},     {"etaSeconds", INT32_MAX, -1, 0}};
    r->compresses = given != NULL;
    if (!given)
        return PT_OK;
    if (!stage || strlen(stage) >= sizeof p->stage)
        return bad(given, PT_REPORT_COMPRESSION, "must have a stage, of fewer than 32 bytes", err);
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        if (progress_number(given, n[i].name, n[i].most, n[i].otherwise, &n[i].value, err) < 0)
            return PT_EINVAL;
    *p = (struct pt_run_progress){.number = (int)n[0].value, .stages = (int)n[1].value, .epoch = (int)n[2].value, .epochs = (int)n[3].value,
                                  .percent = (int)n[4].value, .eta_s = n[5].value};
    memcpy(p->stage, stage, strlen(stage) + 1);
    return PT_OK;
}

int pt_report_decode(struct pt_str json, struct pt_report *out, struct pt_err *err)
{
    struct pt_err local;
    pt_auto_obj *o = NULL;
    uint8_t digest[32];
    *out = (struct pt_report){.reason = PT_REASON_NONE};
    err = err ? err : &local;
    if (json.len > PT_REPORT_MAX_BYTES)
        return pt_fail(err, PT_EINVAL, "report: %zu bytes, the limit is %d", json.len, PT_REPORT_MAX_BYTES);
    int rc = pt_obj_parse(json, "report", &o, err);
    if (rc < 0)
        return rc;
    if (read_texts(o, (char *)out, err) < 0 || read_numbers(o, (char *)out, err) < 0 || read_latency(o, out, err) < 0 || read_monitoring(o, out, err) < 0 ||
        read_progress(o, out, err) < 0)
        return PT_EINVAL;
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(o, PT_REPORT_STATE), *reason = cJSON_GetObjectItemCaseSensitive(o, PT_REPORT_REASON);
    int s = cJSON_IsString(state) ? pt_model_state_parse(state->valuestring) : -1;
    int r = cJSON_IsString(reason) ? pt_model_reason_parse(reason->valuestring) : -1;
    if (s < 0 && !(out->compresses && !state))
        return bad(state, PT_REPORT_STATE, "is not a state of a model", err);
    if (s == PT_MODEL_FAILED ? r < 0 : r >= 0)
        return bad(reason, PT_REPORT_REASON, "must be a known reason, with state Failed only", err);
    if (*out->digest && pt_parse_digest(pt_str(out->digest), PT_REPORT_DIGEST, digest, err) < 0)
        return pt_wrap(err, "report");
    if (s >= 0)
        out->state = (enum pt_model_state)s;
    out->reason = s == PT_MODEL_FAILED ? (enum pt_model_reason)r : PT_REASON_NONE;
    return PT_OK;
}
