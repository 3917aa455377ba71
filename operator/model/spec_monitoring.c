/* SPDX-License-Identifier: Apache-2.0
 *
 * spec_monitoring.c: spec.monitoring: what is in it for the sidecar is copied into its configuration (and so shapes pods); thresholds and what
 * follows from them are read into struct pt_monitoring.
 */
#include "operator/model/spec_fields.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>

int pt_spec_check_task(const cJSON *v, const char *path, struct pt_err *err)
{
    bool known = !strcmp(v->valuestring, "auto") || !strcmp(v->valuestring, "classification") || !strcmp(v->valuestring, "regression");
    return known ? PT_OK : pt_spec_bad(v, path, "must be auto, classification or regression", err);
}

int pt_spec_check_figure(const cJSON *v, const char *path, struct pt_err *err)
{
    return pt_figure_parse(v->valuestring) >= 0 ? PT_OK : pt_spec_bad(v, path, "is not a figure that a model can be judged by", err);
}

int pt_spec_check_pod_path(const cJSON *v, const char *path, struct pt_err *err)
{
    return v->valuestring[0] == '/' ? PT_OK : pt_spec_bad(v, path, "must be the path of a file in the pod, which begins with /", err);
}

static const cJSON *threshold_of(const cJSON *thresholds, const char *figure)
{
    const cJSON *t;
    cJSON_ArrayForEach(t, thresholds) if (!strcmp(pt_obj_text(t, "figure"), figure)) return t;
    return NULL;
}

static int check_threshold(const cJSON *thresholds, const cJSON *t, const char *path, int i, struct pt_err *err)
{
    const cJSON *min = pt_obj_get(t, "min"), *max = pt_obj_get(t, "max");
    char at[300];
    snprintf(at, sizeof at, "%.200s.thresholds[%d]", path, i);
    if (threshold_of(thresholds, pt_obj_text(t, "figure")) != t)
        return pt_spec_bad(t, at, "this figure has a threshold already", err);
    if (!cJSON_IsNumber(min) && !cJSON_IsNumber(max))
        return pt_spec_bad(t, at, "needs min or max", err);
    if (cJSON_IsNumber(min) && cJSON_IsNumber(max) && min->valuedouble > max->valuedouble)
        return pt_spec_bad(t, at, "min is more than max", err);
    return PT_OK;
}

int pt_spec_check_monitoring(const cJSON *v, const char *path, struct pt_err *err)
{
    const cJSON *thresholds = pt_obj_get(v, "thresholds"), *when = pt_obj_get(v, "rollback.when"), *e;
    char at[300];
    int i = 0;
    if (pt_spec_check_object(v, pt_spec_monitoring_fields, pt_spec_verdict_fields, path, err) < 0)
        return PT_EINVAL;
    cJSON_ArrayForEach(e, thresholds) if (check_threshold(thresholds, e, path, i++, err) < 0) return PT_EINVAL;
    const cJSON *rollback = pt_obj_get(v, "rollback");
    snprintf(at, sizeof at, "%.200s.rollback.when", path);
    if (cJSON_IsObject(rollback) && !when->child)
        return pt_fail(err, PT_EINVAL, "%s: must name at least one figure of the thresholds", at);
    cJSON_ArrayForEach(e, when) if (!threshold_of(thresholds, e->valuestring)) return pt_spec_bad(e, at, "is not a figure that has a threshold", err);
    return PT_OK;
}

static double bound(const cJSON *t, const char *name)
{
    const cJSON *v = pt_obj_get(t, name);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

static bool names(const cJSON *when, const char *figure)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, when) if (!strcmp(e->valuestring, figure)) return true;
    return false;
}

int pt_spec_read_monitoring(const cJSON *spec, struct pt_monitoring **out, struct pt_err *err)
{
    const cJSON *given = pt_obj_get(spec, "monitoring"), *thresholds = pt_obj_get(given, "thresholds"), *when = pt_obj_get(given, "rollback.when"),
                *t;
    const char *period = pt_obj_str(given, "period");
    *out = NULL;
    if (!given || cJSON_IsNull(given))
        return PT_OK;
    struct pt_monitoring *m = pt_calloc(1, sizeof *m + (size_t)cJSON_GetArraySize(thresholds) * sizeof *m->thresholds);
    if (!m)
        return pt_fail(err, PT_ENOMEM, "spec: out of memory");
    *m = (struct pt_monitoring){.period_ms = 60000,
                                .min_samples = (double)pt_obj_int(given, "minSamples", 100),
                                .periods = (int)pt_obj_int(given, "periods", 3),
                                .retreats = when && when->child};
    if (period)
        (void)pt_parse_duration_ms(pt_str(period), "period", &m->period_ms, NULL);
    cJSON_ArrayForEach(t, thresholds)
    {
        const char *figure = pt_obj_text(t, "figure");
        m->thresholds[m->count++] = (struct pt_threshold){
            .figure = (enum pt_figure)pt_figure_parse(figure), .least = bound(t, "min"), .most = bound(t, "max"), .retreat = names(when, figure)};
    }
    *out = m;
    return PT_OK;
}
