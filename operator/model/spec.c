/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.c: one table of fields says what a spec may hold. Walking it checks an object; walking it again copies what shapes pods, without what
 * equals its default, into the canonical user input that revisions are made of. So a later release that writes a default out, or adds a
 * field, does not change the hash of what a user wrote before.
 */
#include "operator/model/spec_fields.h"

#include "base/contract.h"
#include "base/mem.h"

#include <stdio.h>

static bool is_default(const cJSON *v, const struct pt_field *f)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    if (!f->otherwise)
        return false;
    if (f->kind == PT_FIELD_DURATION) {
        int64_t a = -1, b = -2;
        struct pt_str d = {f->otherwise + 1, strlen(f->otherwise) - 2};
        (void)pt_parse_duration_ms(pt_str(v->valuestring), f->name, &a, NULL);
        (void)pt_parse_duration_ms(d, f->name, &b, NULL);
        return a == b;
    }
    return pt_obj_print(v, &text, NULL) == PT_OK && pt_str_eq((struct pt_str){text.data, text.len}, pt_str(f->otherwise));
}

/* Copies what shapes pods and differs from its default. */
static int copy_user_input(const cJSON *from, const struct pt_field *fields, cJSON *to, struct pt_err *err)
{
    for (const struct pt_field *f = fields; f->name; f++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(from, f->name);
        if (!v || cJSON_IsNull(v) || is_default(v, f) || ((cJSON_IsObject(v) || cJSON_IsArray(v)) && !v->child))
            continue;
        cJSON *copy = f->kind == PT_FIELD_OBJECT ? cJSON_CreateObject() : pt_obj_copy(v);
        if (copy && f->kind == PT_FIELD_OBJECT && copy_user_input(v, f->members, copy, err) < 0) {
            cJSON_Delete(copy);
            return err->code;
        }
        if (copy && f->kind == PT_FIELD_OBJECT && !copy->child)
            cJSON_Delete(copy);
        else if (pt_obj_set(to, f->name, copy, err) < 0)
            return err->code;
    }
    return PT_OK;
}

/* --- rules between fields ------------------------------------------------------------------------------------------------ */

static int check_rules(const cJSON *spec, const struct pt_spec *s, struct pt_err *err)
{
    const cJSON *rolling = pt_obj_get(spec, "strategy.rollingUpdate");
    int64_t drain_ms = 30000, grace_s = pt_obj_int(spec, "template.spec.terminationGracePeriodSeconds", -1);
    const char *drain = pt_obj_str(spec, "drain.timeout");
    if (s->strategy != PT_STRATEGY_ROLLING && rolling && !cJSON_IsNull(rolling))
        return pt_spec_bad(rolling, "spec.strategy.rollingUpdate", "only with type RollingUpdate", err);
    if (s->max_surge.value == 0 && s->max_unavailable.value == 0)
        return pt_fail(err, PT_EINVAL, "spec.strategy.rollingUpdate: maxSurge and maxUnavailable are both 0: nothing could be replaced");
    if (s->progress_deadline_s <= s->min_ready_s)
        return pt_fail(err, PT_EINVAL, "spec.progressDeadlineSeconds: %d: must be greater than minReadySeconds (%d)", s->progress_deadline_s, s->min_ready_s);
    if (s->port == s->metrics_port || s->grpc_port == s->metrics_port)
        return pt_fail(err, PT_EINVAL, "spec.serving.metricsPort: %d: is also serving.%s", s->metrics_port, s->port == s->metrics_port ? "port" : "grpcPort");
    if (s->port == s->grpc_port)
        return pt_fail(err, PT_EINVAL, "spec.serving.grpcPort: %d: is also serving.port, which takes gRPC as well", s->grpc_port);
    if (drain)
        (void)pt_parse_duration_ms(pt_str(drain), "drain", &drain_ms, NULL);
    if (grace_s >= 0 && grace_s * 1000 <= drain_ms)
        return pt_fail(err, PT_EINVAL, "spec.template.spec.terminationGracePeriodSeconds: %lld: must be longer than drain.timeout (%lld ms)", (long long)grace_s,
                       (long long)drain_ms);
    return PT_OK;
}

/* A pod that is always as busy as it may be has no room for the next moment: the target is a tenth below what it serves at a time. */
static double default_target(const cJSON *spec, enum pt_autoscaling_metric metric)
{
    return metric == PT_METRIC_RPS ? 200 : 0.9 * (double)pt_obj_int(spec, "runtime.concurrency", 8);
}

static int64_t duration_at(const cJSON *spec, const char *path, int64_t otherwise_ms)
{
    const char *text = pt_obj_str(spec, path);
    int64_t ms = otherwise_ms;
    return text && pt_parse_duration_ms(pt_str(text), path, &ms, NULL) < 0 ? otherwise_ms : ms;
}

static int read_autoscaling(const cJSON *spec, struct pt_autoscaling *a, struct pt_err *err)
{
    const cJSON *given = pt_obj_get(spec, "autoscaling");
    const char *metric = pt_obj_str(spec, "autoscaling.metric");
    a->on = given && !cJSON_IsNull(given);
    if (!a->on)
        return PT_OK;
    a->metric = metric ? (enum pt_autoscaling_metric)pt_autoscaling_metric_parse(metric) : PT_METRIC_CONCURRENCY;
    bool delay = a->metric == PT_METRIC_QUEUE_DELAY || a->metric == PT_METRIC_LATENCY;
    const cJSON *wanted = pt_obj_get(spec, "autoscaling.target");
    if (delay ? !cJSON_IsString(wanted) : cJSON_IsString(wanted))
        return pt_fail(err, PT_EINVAL, "spec.autoscaling.target: must be %s with metric %s", delay ? "a duration like \"50ms\"" : "a number",
                       pt_autoscaling_metric_name(a->metric));
    int64_t target = delay ? 0 : pt_obj_int(spec, "autoscaling.target", 0);
    a->config = (struct pt_autoscale_config){.min = (int)pt_obj_int(spec, "autoscaling.minReplicas", 1),
                                             .max = (int)pt_obj_int(spec, "autoscaling.maxReplicas", 1),
                                             .target = target ? (double)target : default_target(spec, a->metric),
                                             .goal_s = delay ? (double)duration_at(spec, "autoscaling.target", 0) / 1000 : 0,
                                             .stable_ms = duration_at(spec, "autoscaling.stableWindow", 60000),
                                             .panic_window = (double)pt_obj_int(spec, "autoscaling.panicWindowPercent", 10) / 100,
                                             .panic_threshold = (double)pt_obj_int(spec, "autoscaling.panicThresholdPercent", 200) / 100,
                                             .scale_down_delay_ms = duration_at(spec, "autoscaling.scaleDownDelay", 30000)};
    if (a->config.min > a->config.max)
        return pt_fail(err, PT_EINVAL, "spec.autoscaling.minReplicas: %d: is more than maxReplicas (%d)", a->config.min, a->config.max);
    return PT_OK;
}

/* Of user input, which has everything of the key: whatever else a compression says changes nothing of what is served. */
static int read_compression(const cJSON *spec, cJSON *user, struct pt_compression_spec *c, struct pt_err *err)
{
    static const char *const shaping[] = {"recipe", "output"};
    const cJSON *given = pt_obj_get(spec, "compression");
    cJSON *kept = pt_obj_mut(user, "compression"), *next;
    pt_auto_buf all = PT_BUF_INIT(0), what = PT_BUF_INIT(0);
    if (!given || !kept)
        return PT_OK;
    for (cJSON *m = kept->child; m; m = next) {
        next = m->next;
        if (strcmp(m->string, shaping[0]) != 0 && strcmp(m->string, shaping[1]) != 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(kept, m));
    }
    pt_buf_cat(&what, pt_obj_text(spec, "model.uri"), "\n", pt_obj_text(spec, "model.digest"), "\n", pt_obj_text(kept, "output.uri"), "\n", NULL);
    if (pt_obj_canonical(pt_obj_get(kept, "recipe"), &what, err) < 0 || pt_obj_canonical(given, &all, err) < 0)
        return err->code;
    snprintf(c->key, sizeof c->key, "%016llx", (unsigned long long)pt_hash64(what.data, what.len, 0));
    c->timeout_ms = duration_at(spec, "compression.timeout", 24 * INT64_C(3600000));
    c->backoff_limit = (int)pt_obj_int(spec, "compression.backoffLimit", 3);
    c->json = pt_strndup(all.data, all.len);
    return c->json ? PT_OK : pt_fail(err, PT_ENOMEM, "spec: out of memory");
}

static int read_rest(const cJSON *spec, struct pt_spec *s, struct pt_err *err)
{
    const char *type = pt_obj_str(spec, "strategy.type");
    const cJSON *surge = pt_obj_get(spec, "strategy.rollingUpdate.maxSurge"), *unavailable = pt_obj_get(spec, "strategy.rollingUpdate.maxUnavailable");
    s->replicas = (int)pt_obj_int(spec, "replicas", 1);
    s->strategy = type && !strcmp(type, "Recreate") ? PT_STRATEGY_RECREATE : PT_STRATEGY_ROLLING;
    s->max_surge = (struct pt_amount){25, true};
    s->max_unavailable = (struct pt_amount){0, false};
    s->min_ready_s = (int)pt_obj_int(spec, "minReadySeconds", 0);
    s->progress_deadline_s = (int)pt_obj_int(spec, "progressDeadlineSeconds", 600);
    s->history_limit = (int)pt_obj_int(spec, "revisionHistoryLimit", 10);
    s->port = (int)pt_obj_int(spec, "serving.port", PT_PORT_HTTP);
    s->grpc_port = (int)pt_obj_int(spec, "serving.grpcPort", PT_PORT_GRPC);
    s->metrics_port = (int)pt_obj_int(spec, "serving.metricsPort", PT_PORT_METRICS);
    s->tls = cJSON_IsObject(pt_obj_get(spec, "serving.tls"));
    s->paused = pt_obj_true(spec, "paused");
    if (read_autoscaling(spec, &s->autoscaling, err) < 0)
        return PT_EINVAL;
    if (pt_spec_read_monitoring(spec, &s->monitoring, err) < 0)
        return err->code;
    const cJSON *budget = pt_obj_get(spec, "disruption.maxUnavailable");
    s->has_budget = budget && !cJSON_IsNull(budget);
    if (s->has_budget && pt_spec_read_amount(budget, "spec.disruption.maxUnavailable", &s->budget, err) < 0)
        return PT_EINVAL;
    const int ports[] = {s->port, s->grpc_port, s->metrics_port};
    if (pt_spec_check_all_names(spec, &s->own_containers, err) < 0 || pt_spec_check_ports(spec, ports, err) < 0)
        return PT_EINVAL;
    if (surge && !cJSON_IsNull(surge) && pt_spec_read_amount(surge, "spec.strategy.rollingUpdate.maxSurge", &s->max_surge, err) < 0)
        return PT_EINVAL;
    if (unavailable && !cJSON_IsNull(unavailable) && pt_spec_read_amount(unavailable, "spec.strategy.rollingUpdate.maxUnavailable", &s->max_unavailable, err) < 0)
        return PT_EINVAL;
    return check_rules(spec, s, err);
}

static int check_identity(const cJSON *o, struct pt_err *err)
{
    const char *version = pt_obj_str(o, "apiVersion"), *kind = pt_obj_str(o, "kind"), *name = pt_obj_str(o, "metadata.name");
    const cJSON *v;
    if ((version && strcmp(version, PT_GROUP_VERSION) != 0) || (kind && strcmp(kind, PT_KIND) != 0))
        return pt_fail(err, PT_EINVAL, "%s %s: expected %s %s", version ? version : "", kind ? kind : "", PT_GROUP_VERSION, PT_KIND);
    if (!name || !pt_is_dns_label(pt_str(name)) || strlen(name) > PT_NAME_MAX || (*name >= '0' && *name <= '9'))
        return pt_fail(err, PT_EINVAL, "metadata.name: \"%s\": must be lower-case letters, digits and '-', begin with a letter and have at most %d bytes", name ? name : "", PT_NAME_MAX);
    cJSON_ArrayForEach(v, o)
    {
        static const char *const members[] = {"apiVersion", "kind", "metadata", "spec", "status"};
        bool known = false;
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            known |= !strcmp(v->string, members[i]);
        if (!known)
            return pt_spec_bad(v, v->string, "unknown field", err);
    }
    return PT_OK;
}

int pt_spec_read(const cJSON *o, struct pt_spec *s, struct pt_err *err)
{
    *s = (struct pt_spec){0};
    const cJSON *spec = pt_obj_get(o, "spec");
    if (check_identity(o, err) < 0)
        return PT_EINVAL;
    if (!cJSON_IsObject(spec))
        return pt_fail(err, PT_EINVAL, "spec: required");
    if (pt_spec_check_object(spec, pt_spec_user_fields, pt_spec_other_fields, "spec", err) < 0 || read_rest(spec, s, err) < 0)
        return err->code;
    pt_auto_obj *user = cJSON_CreateObject();
    pt_auto_buf text = PT_BUF_INIT(0);
    if (!user)
        return pt_fail(err, PT_ENOMEM, "spec: out of memory");
    if (copy_user_input(spec, pt_spec_user_fields, user, err) < 0)
        return err->code;
    const char *served = pt_obj_str(user, "model.name");
    if (served && (!*served || !strcmp(served, pt_obj_str(o, "metadata.name"))))
        cJSON_DeleteItemFromObjectCaseSensitive(pt_obj_mut(user, "model"), "name");
    cJSON *watched = s->monitoring ? pt_obj_ensure(user, "monitoring") : NULL; /* also where the sidecar's defaults are all that is asked for */
    if (s->monitoring && (!watched || pt_obj_set(watched, "enabled", cJSON_CreateTrue(), err) < 0))
        return pt_fail(err, PT_ENOMEM, "spec: out of memory");
    if (read_compression(spec, user, &s->compression, err) < 0 || pt_obj_canonical(user, &text, err) < 0)
        return err->code;
    s->user_json = pt_strndup(text.data, text.len);
    return s->user_json ? PT_OK : pt_fail(err, PT_ENOMEM, "spec: out of memory");
}

int pt_spec_decode(struct pt_str object, struct pt_spec *out, struct pt_err *err)
{
    struct pt_err local;
    pt_auto_obj *o = NULL;
    *out = (struct pt_spec){0};
    err = err ? err : &local;
    int rc = pt_obj_parse(object, "ModelDeployment", &o, err);
    return rc == PT_OK ? pt_spec_read(o, out, err) : rc;
}

void pt_spec_finish(struct pt_spec *s)
{
    pt_free(s->user_json);
    pt_free(s->monitoring);
    pt_free(s->compression.json);
    *s = (struct pt_spec){0};
}

int pt_spec_copy(const struct pt_spec *s, struct pt_spec *out, struct pt_err *err)
{
    *out = *s;
    out->user_json = s->user_json ? pt_strdup(s->user_json) : NULL;
    out->compression.json = s->compression.json ? pt_strdup(s->compression.json) : NULL;
    out->monitoring = s->monitoring ? pt_monitoring_copy(s->monitoring) : NULL;
    bool fine = (!s->user_json || out->user_json) && (!s->monitoring || out->monitoring) && (!s->compression.json || out->compression.json);
    return fine ? PT_OK : pt_fail(err, PT_ENOMEM, "spec: out of memory");
}

int pt_spec_admit(cJSON *object, struct pt_err *err)
{
    struct pt_spec s = {0};
    pt_spec_drop_nulls(pt_obj_mut(object, "spec"), pt_spec_user_fields);
    pt_spec_drop_nulls(pt_obj_mut(object, "spec"), pt_spec_other_fields);
    int rc = pt_spec_read(object, &s, err);
    if (rc == PT_OK && !cJSON_IsNumber(pt_obj_get(object, "spec.replicas")))
        rc = pt_obj_set(pt_obj_mut(object, "spec"), "replicas", cJSON_CreateNumber(1), err); /* the scale subresource needs it */
    pt_spec_finish(&s);
    return rc;
}
