/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_sample.h"

#include "base/contract.h"
#include "base/mem.h"
#include "operator/ctrl/obj.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALL_MS = 5000, DEFAULT_METRICS_PORT = 8082 };

struct pod {
    struct pt_top *top;
    char ns[64], name[254], uid[64], model[64];
    int port;
    bool known, had; /* counters were read: now, at the sample before */
    struct pt_top_counters now, before;
    int64_t now_ms, before_ms;
    struct pt_api_call *call;
};

struct pt_top {
    struct pt_top_options o;
    char *ns;
    struct pt_top_model *models;
    struct pod *pods, *old; /* of this sample, of the one before */
    size_t model_count, pod_count, old_count;
    struct pt_api_call *lists[2];
    int waiting;
    struct pt_err err;
};

/* --- metrics ------------------------------------------------------------------------------------------------------------------ */

/* labels: from the brace to the one that closes. */
static bool label_of(struct pt_str labels, const char *name, char *out, size_t size)
{
    char start[64];
    int n = snprintf(start, sizeof start, "%s=\"", name);
    const char *at = labels.len ? memmem(labels.p, labels.len, start, (size_t)n) : NULL;
    while (at && at[-1] != '{' && at[-1] != ',') /* the end of another label's name */
        at = memmem(at + 1, labels.len - (size_t)(at + 1 - labels.p), start, (size_t)n);
    if (!at)
        return false;
    at += n;
    const char *end = memchr(at, '"', labels.len - (size_t)(at - labels.p));
    if (!end)
        return false;
    snprintf(out, size, "%.*s", (int)(end - at), at);
    return true;
}

static void add_bucket(struct pt_top_counters *c, const char *le, double value)
{
    double limit = strcmp(le, "+Inf") == 0 ? INFINITY : strtod(le, NULL);
    size_t i = 0;
    while (i < c->buckets && c->limit[i] < limit)
        i++;
    if (i == c->buckets) {
        if (c->buckets == PT_TOP_BUCKETS)
            return;
        c->limit[c->buckets] = limit;
        c->count[c->buckets++] = 0;
    }
    c->count[i] += value;
}

static void take_metric(struct pt_str name, struct pt_str labels, double value, struct pt_top_counters *c)
{
    char text[32];
    if (pt_str_eq(name, PT_STR("pintle_requests_total"))) {
        c->requests += value;
        if (label_of(labels, "code", text, sizeof text) && text[0] != '2')
            c->errors += value;
    } else if (pt_str_eq(name, PT_STR("pintle_request_duration_seconds_bucket"))) {
        if (label_of(labels, "le", text, sizeof text))
            add_bucket(c, text, value);
    } else if (pt_str_eq(name, PT_STR("pintle_requests_in_flight"))) {
        c->in_flight += value;
    } else if (pt_str_eq(name, PT_STR("pintle_requests_queued"))) {
        c->queued += value;
    } else if (pt_str_eq(name, PT_STR("process_cpu_seconds_total"))) {
        c->cpu_seconds = value;
    } else if (pt_str_eq(name, PT_STR("process_resident_memory_bytes"))) {
        c->memory = value;
    }
}

void pt_top_read_metrics(struct pt_str text, struct pt_top_counters *out)
{
    struct pt_str line;
    *out = (struct pt_top_counters){0};
    while (text.len && pt_str_split(&text, '\n', &line)) {
        if (!line.len || line.p[0] == '#')
            continue;
        const char *open = memchr(line.p, '{', line.len), *close = open ? memrchr(line.p, '}', line.len) : NULL;
        const char *blank = memchr(close ? close : line.p, ' ', line.len - (size_t)((close ? close : line.p) - line.p));
        if (!blank || (open && !close))
            continue;
        char value[40];
        snprintf(value, sizeof value, "%.*s", (int)(line.p + line.len - blank - 1), blank + 1);
        struct pt_str name = {line.p, (size_t)((open ? open : blank) - line.p)}, labels = {open, open ? (size_t)(close - open) : 0};
        take_metric(name, labels, strtod(value, NULL), out);
    }
}

double pt_top_quantile(const double *limit, const double *count, size_t buckets, double q)
{
    double total = buckets ? count[buckets - 1] : 0, want = total * q, below = 0, from = 0;
    if (total <= 0)
        return -1;
    for (size_t i = 0; i < buckets; i++) {
        if (count[i] >= want) {
            if (isinf(limit[i]))
                return from; /* it is longer than the last limit, who knows how much */
            double in = count[i] - below;
            return from + (in > 0 ? (want - below) / in : 1) * (limit[i] - from);
        }
        below = count[i];
        from = limit[i];
    }
    return from;
}

/* --- from counters to rates --------------------------------------------------------------------------------------------------- */

static struct pt_top_model *model_of(struct pt_top *t, const struct pod *p)
{
    for (size_t i = 0; i < t->model_count; i++)
        if (strcmp(t->models[i].ns, p->ns) == 0 && strcmp(t->models[i].name, p->model) == 0)
            return &t->models[i];
    return NULL;
}

static const struct pod *same_pod(const struct pt_top *t, const struct pod *p)
{
    for (size_t i = 0; i < t->old_count; i++)
        if (strcmp(t->old[i].uid, p->uid) == 0)
            return &t->old[i];
    return NULL;
}

/* A pod that was restarted has smaller counters: all of them are new. */
static double grown(double now, double before)
{
    return now >= before ? now - before : now;
}

static void add_pod(struct pt_top_model *m, const struct pod *p, struct pt_top_counters *sum)
{
    double seconds = (double)(p->now_ms - p->before_ms) / 1000;
    m->in_flight += p->now.in_flight;
    m->queued += p->now.queued;
    m->memory += p->now.memory;
    if (!p->had || seconds <= 0)
        return;
    m->sampled++;
    m->requests += grown(p->now.requests, p->before.requests) / seconds;
    m->errors += grown(p->now.errors, p->before.errors) / seconds;
    m->cpu += grown(p->now.cpu_seconds, p->before.cpu_seconds) / seconds;
    for (size_t i = 0; i < p->now.buckets; i++) {
        sum->limit[i] = p->now.limit[i];
        sum->count[i] += i < p->before.buckets ? grown(p->now.count[i], p->before.count[i]) : p->now.count[i];
    }
    sum->buckets = p->now.buckets > sum->buckets ? p->now.buckets : sum->buckets;
}

static void add_up(struct pt_top *t)
{
    for (size_t i = 0; i < t->model_count; i++) {
        struct pt_top_counters sum = {0};
        struct pt_top_model *m = &t->models[i];
        for (size_t k = 0; k < t->pod_count; k++)
            if (t->pods[k].known && model_of(t, &t->pods[k]) == m)
                add_pod(m, &t->pods[k], &sum);
        double p50 = pt_top_quantile(sum.limit, sum.count, sum.buckets, 0.5), p99 = pt_top_quantile(sum.limit, sum.count, sum.buckets, 0.99);
        m->p50_ms = p50 < 0 ? -1 : p50 * 1000;
        m->p99_ms = p99 < 0 ? -1 : p99 * 1000;
    }
}

/* --- one sample ------------------------------------------------------------------------------------------------------------------ */

static void arrived(struct pt_top *t)
{
    if (--t->waiting)
        return;
    add_up(t);
    t->o.done(t->o.arg, t->models, t->model_count, t->err.code ? &t->err : NULL);
}

static void on_metrics(void *arg, const struct pt_api_result *r)
{
    struct pod *p = arg;
    p->call = NULL;
    p->known = r->err.code == PT_OK;
    p->now_ms = pt_now_ms(p->top->o.sched);
    if (p->known)
        pt_top_read_metrics(r->body, &p->now);
    arrived(p->top);
}

static void ask_pods(struct pt_top *t)
{
    for (size_t i = 0; i < t->pod_count; i++) {
        struct pod *p = &t->pods[i];
        char name[280];
        struct pt_err err;
        const struct pod *old = same_pod(t, p);
        if (old && old->known) {
            p->had = true;
            p->before = old->now;
            p->before_ms = old->now_ms;
        }
        snprintf(name, sizeof name, "%s:%d", p->name, p->port);
        struct pt_api_request req = {
            .verb = PT_VERB_GET, .resource = &pt_res_pods, .ns = p->ns, .name = name, .subresource = "proxy/metrics", .timeout_ms = CALL_MS};
        if (pt_api_start(t->o.api, &req, on_metrics, p, &p->call, &err) == PT_OK)
            t->waiting++;
    }
}

static void take_model(struct pt_top *t, const cJSON *o)
{
    struct pt_top_model *m = &t->models[t->model_count++];
    *m = (struct pt_top_model){.desired = (int)pt_obj_int(o, "spec.replicas", 1),
                               .ready = (int)pt_obj_int(o, "status.readyReplicas", 0),
                               .updated = (int)pt_obj_int(o, "status.updatedReplicas", 0),
                               .p50_ms = -1,
                               .p99_ms = -1};
    snprintf(m->ns, sizeof m->ns, "%s", pt_obj_text(o, "metadata.namespace"));
    snprintf(m->name, sizeof m->name, "%s", pt_obj_text(o, "metadata.name"));
    snprintf(m->state, sizeof m->state, "%s", pt_obj_text(o, "status.model.state"));
    snprintf(m->revision, sizeof m->revision, "%s", pt_obj_text(o, "status.updateRevision"));
}

static int metrics_port(const cJSON *pod)
{
    static const char *const lists[] = {"spec.containers",
                                        "spec.initContainers"}; /* beside containers of the user's the sidecar is one of the latter */
    for (size_t i = 0; i < 2; i++) {
        const cJSON *c, *port;
        cJSON_ArrayForEach(c, pt_obj_get(pod, lists[i]))
            cJSON_ArrayForEach(port, pt_obj_get(c, "ports")) if (!strcmp(pt_obj_text(port, "name"), "metrics")) return (int)pt_obj_int(
                port, "containerPort", DEFAULT_METRICS_PORT);
    }
    return DEFAULT_METRICS_PORT;
}

static void take_pod(struct pt_top *t, const cJSON *o)
{
    const char *model = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(o, "metadata.labels"), PT_LABEL_NAME));
    if (strcmp(pt_obj_text(o, "status.phase"), "Running") != 0 || !model)
        return;
    struct pod *p = &t->pods[t->pod_count++];
    *p = (struct pod){.top = t, .port = metrics_port(o)};
    snprintf(p->ns, sizeof p->ns, "%s", pt_obj_text(o, "metadata.namespace"));
    snprintf(p->name, sizeof p->name, "%s", pt_obj_text(o, "metadata.name"));
    snprintf(p->uid, sizeof p->uid, "%s", pt_obj_text(o, "metadata.uid"));
    snprintf(p->model, sizeof p->model, "%s", model);
}

static int by_name(const void *a, const void *b)
{
    const struct pt_top_model *x = a, *y = b;
    int ns = strcmp(x->ns, y->ns);
    return ns ? ns : strcmp(x->name, y->name);
}

/* The items of a list, given to take, which has room for them at *place. */
static void take_list(struct pt_top *t, const struct pt_api_result *r, void **place, size_t size, void (*take)(struct pt_top *t, const cJSON *o))
{
    pt_auto_obj *list = NULL;
    const cJSON *o, *items;
    if (r->err.code != PT_OK || pt_obj_parse(r->body, "list", &list, &t->err) < 0) {
        if (r->err.code != PT_OK)
            t->err = r->err;
        return;
    }
    items = pt_obj_get(list, "items");
    *place = pt_calloc((size_t)cJSON_GetArraySize(items) + 1, size);
    if (!*place) {
        pt_fail(&t->err, PT_ENOMEM, "out of memory");
        return;
    }
    cJSON_ArrayForEach(o, items) take(t, o);
}

static void on_models(void *arg, const struct pt_api_result *r)
{
    struct pt_top *t = arg;
    t->lists[0] = NULL;
    pt_free(t->models);
    t->models = NULL;
    t->model_count = 0;
    take_list(t, r, (void **)&t->models, sizeof *t->models, take_model);
    if (t->models)
        qsort(t->models, t->model_count, sizeof *t->models, by_name);
    arrived(t);
}

static void on_pods(void *arg, const struct pt_api_result *r)
{
    struct pt_top *t = arg;
    t->lists[1] = NULL;
    take_list(t, r, (void **)&t->pods, sizeof *t->pods, take_pod);
    ask_pods(t);
    arrived(t);
}

void pt_top_sample(struct pt_top *t)
{
    struct pt_err err;
    struct pt_api_request models = {.verb = PT_VERB_LIST, .resource = &pt_res_modeldeployments, .ns = t->ns, .timeout_ms = CALL_MS};
    struct pt_api_request pods = {
        .verb = PT_VERB_LIST, .resource = &pt_res_pods, .ns = t->ns, .label_selector = PT_LABEL_NAME, .timeout_ms = CALL_MS};
    pt_free(t->old);
    t->old = t->pods;
    t->old_count = t->pod_count;
    t->pods = NULL;
    t->pod_count = 0;
    t->err.code = PT_OK;
    t->waiting = 2;
    struct pt_api_result failed = {.retry_after_ms = -1};
    if (pt_api_start(t->o.api, &models, on_models, t, &t->lists[0], &err) < 0) {
        failed.err = err;
        on_models(t, &failed);
    }
    if (pt_api_start(t->o.api, &pods, on_pods, t, &t->lists[1], &err) < 0) {
        failed.err = err;
        on_pods(t, &failed);
    }
}

int pt_top_create(const struct pt_top_options *o, struct pt_top **out, struct pt_err *err)
{
    struct pt_top *t = pt_calloc(1, sizeof *t);
    char *ns = o->ns ? pt_strdup(o->ns) : NULL;
    if (!t || (o->ns && !ns)) {
        pt_free(t);
        pt_free(ns);
        return pt_fail(err, PT_ENOMEM, "top: out of memory");
    }
    *t = (struct pt_top){.o = *o, .ns = ns};
    *out = t;
    return PT_OK;
}

void pt_top_destroy(struct pt_top *t)
{
    if (!t)
        return;
    for (int i = 0; i < 2; i++)
        if (t->lists[i])
            pt_api_cancel(t->o.api, t->lists[i]);
    for (size_t i = 0; i < t->pod_count; i++)
        if (t->pods[i].call)
            pt_api_cancel(t->o.api, t->pods[i].call);
    pt_free(t->models);
    pt_free(t->pods);
    pt_free(t->old);
    pt_free(t->ns);
    pt_free(t);
}
