/* SPDX-License-Identifier: Apache-2.0
 *
 * repository.c: see repository.h. A scan says what should be (apply), the versions' own states say what is, and sweep() brings the two together; it
 * runs from a timer, so that no version ends inside one of its own callbacks.
 */
#include "sidecar/repository_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sched.h"
#include "sidecar/monitor_rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void sweep(struct pt_timer *t);

struct pt_sched *pt_repository_clock(const struct pt_repository *r)
{
    return pt_loop_sched(r->o.loop);
}

void pt_repository_sweep_soon(struct pt_repository *r)
{
    pt_timer_start(pt_repository_clock(r), &r->sweep, 0, sweep);
}

/* --- one version ------------------------------------------------------------------------------------------------------------- */

bool pt_version_serves(const struct pt_version *v)
{
    return v->started && v->servable.serving;
}

bool pt_version_up(const struct pt_version *v)
{
    return v->dormant || pt_version_serves(v);
}

bool pt_version_failed(const struct pt_version *v)
{
    return !v->dormant && v->servable.state == PT_MODEL_FAILED;
}

static void on_servable(void *arg)
{
    struct pt_version *v = arg;
    v->repository->o.changed(v->repository->o.arg, v);
    pt_repository_sweep_soon(v->repository);
}

static void start_version(struct pt_version *v)
{
    struct pt_repository *r = v->repository;
    struct pt_servable_options o = {.loop = r->o.loop,
                                    .config = &v->config,
                                    .cache_dir = r->o.cache_dir,
                                    .threads = r->o.threads,
                                    .slots = pt_scheduler_slots(r->o.scheduler),
                                    .changed = on_servable,
                                    .arg = v};
    struct pt_err err;
    v->dormant = false;
    v->started = pt_servable_start(&v->servable, &o, &err) == PT_OK;
    if (!v->started) {
        pt_servable_finish(&v->servable);
        v->servable.state = PT_MODEL_FAILED;
        v->servable.error = err;
        pt_log(PT_LOG_ERROR, "model failed", "model", v->config.model.name, "version", v->text, "error", err.msg, NULL);
        pt_repository_sweep_soon(r);
    }
}

static struct pt_queue_options queue_options(const struct pt_config *c, const struct pt_job_ops *jobs)
{
    struct pt_queue_options o = {.ops = jobs,
                                 .in_flight = (int)c->runtime.concurrency,
                                 .waiting = (int)c->runtime.queue,
                                 .max_wait_ns = c->runtime.max_wait_ms * 1000000,
                                 .max_rows = c->batching.max_size,
                                 .max_delay_ns = c->batching.max_delay_us * 1000,
                                 .by_priority = c->runtime.priority_levels > 0};
    memcpy(o.preferred, c->batching.preferred, sizeof o.preferred);
    return o;
}

static void free_version(struct pt_version *v)
{
    if (v->started)
        pt_servable_finish(&v->servable);
    pt_queue_destroy(v->queue);
    pt_serving_metrics_finish(&v->metrics);
    pt_monitor_unref(v->monitor);
    pt_config_finish(&v->config);
    pt_free(v);
}

static int set_text(char **place, const char *text, struct pt_err *err)
{
    char *copy = pt_strdup(text);
    if (!copy)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    pt_free(*place);
    *place = copy;
    return PT_OK;
}

/* What config.pbtxt says of batching stands above what the server says for all. */
static int adopt_batching(struct pt_config *c, const struct pt_model_config *m, struct pt_err *err)
{
    c->batching.optional = m->max_batch < 0;
    if (m->warmup[0] && set_text(&c->model.warmup, m->warmup, err) < 0)
        return PT_ENOMEM;
    if (m->padding[0] && set_text(&c->batching.padding, m->padding, err) < 0)
        return PT_ENOMEM;
    if (m->max_batch < 0)
        return PT_OK;
    bool joins = m->dynamic_batching && m->max_batch > 1;
    c->batching.max_size = joins ? m->max_batch : 1;
    c->batching.max_delay_us = joins ? m->max_delay_us : 0;
    memcpy(c->batching.preferred, m->preferred, sizeof c->batching.preferred);
    memset(c->batching.sizes, 0, sizeof c->batching.sizes);
    c->runtime.priority_levels = m->priority_levels;
    return PT_OK;
}

static int configure(struct pt_version *v, const char *path, struct pt_err *err)
{
    struct pt_config *c = &v->config;
    pt_auto_free char *uri = path ? pt_asprintf("file://%s", path) : NULL;
    int rc = pt_config_copy(c, v->repository->o.config, err);
    if (rc < 0 || !path)
        return rc;
    if (!uri || set_text(&c->model.uri, uri, err) < 0 || set_text(&c->model.name, v->model->name, err) < 0 ||
        set_text(&c->model.version, v->text, err) < 0)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    c->model.has_digest = false;
    c->model.copy = true;
    return adopt_batching(c, &v->model->config, err);
}

/* The reference is beside the model's file unless the configuration says where. */
static int start_monitor(struct pt_version *v, struct pt_err *err)
{
    struct pt_config *c = &v->config;
    struct pt_str uri = pt_str(c->model.uri), scheme = PT_STR("file://");
    const char *end = pt_str_starts(uri, scheme) ? strrchr(c->model.uri, '/') : NULL;
    if (!c->monitoring.profile && end) {
        const char *folder = c->model.uri + scheme.len;
        pt_auto_free char *path = pt_asprintf("%.*s/profile.json", (int)(end - folder), folder);
        if (!path || (access(path, F_OK) == 0 && set_text(&c->monitoring.profile, path, err) < 0))
            return pt_fail(err, PT_ENOMEM, "out of memory");
    }
    pt_auto_buf first = PT_BUF_INIT(0);
    int64_t now_ns = pt_clock_mono_ns();
    int rc = pt_monitor_create(c, v->repository->o.registry, pt_hash64(&v, sizeof v, (uint64_t)now_ns), &v->monitor, err);
    if (rc == PT_OK && (rc = pt_monitor_report(v->monitor, now_ns / 1000000, &first, err)) == PT_OK)
        pt_monitor_collect(v->monitor); /* what is counted is there from the start */
    return rc;
}

/* Before the first of the same or a lower number. */
static void link_version(struct pt_model *m, struct pt_version *v)
{
    struct pt_version **at = &m->versions;
    while (*at && (*at)->number > v->number)
        at = &(*at)->next;
    v->next = *at;
    *at = v;
}

/* path NULL: the one that the server's configuration names. */
int pt_repository_add_version(struct pt_repository *r, struct pt_model *m, const char *text, int64_t number, const char *path, uint64_t print,
                              struct pt_err *err)
{
    struct pt_version *v = pt_calloc(1, sizeof *v);
    if (!v)
        return pt_fail(err, PT_ENOMEM, "model \"%s\": out of memory", m->name);
    v->repository = r;
    v->model = m;
    v->number = number;
    v->print = print;
    v->wanted = true;
    v->candidate = r->reload == PT_RELOAD_TRYING;
    snprintf(v->text, sizeof v->text, "%s", text);
    struct pt_queue_options qo;
    int rc = configure(v, path, err);
    if (rc == PT_OK) {
        qo = queue_options(&v->config, r->o.jobs);
        rc = pt_queue_create(r->o.scheduler, &qo, &v->queue, err);
    }
    if (rc == PT_OK)
        rc = pt_serving_metrics_init(&v->metrics, r->o.registry, v->config.model.name, v->config.model.version, err);
    if (rc == PT_OK && v->config.monitoring.enabled)
        rc = start_monitor(v, err);
    unsigned aliases = 0;
    if (rc == PT_OK && (rc = pt_metrics_alias_parse(v->config.metrics.aliases, &aliases, err)) == PT_OK)
        rc = pt_metrics_alias_init(&v->metrics, aliases, err);
    if (rc < 0) {
        free_version(v);
        return rc;
    }
    v->metrics.servable = &v->servable;
    v->metrics.queue = v->queue;
    v->metrics.stats = &v->stats;
    link_version(m, v);
    start_version(v);
    return PT_OK;
}

void pt_version_retire(struct pt_version *v)
{
    struct pt_repository *r = v->repository;
    struct pt_version **at = &v->model->versions;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    v->next = r->retiring;
    r->retiring = v;
    v->retiring = true;
    if (!r->draining)
        pt_log(PT_LOG_INFO, "model version retires", "model", v->config.model.name, "version", v->text, NULL);
    pt_repository_sweep_soon(r);
}

void pt_version_hold(struct pt_version *v)
{
    v->calls++;
    v->used_ms = pt_now_ms(pt_repository_clock(v->repository));
}

void pt_version_release(struct pt_version *v)
{
    v->calls--;
    if (v->retiring && v->calls == 0)
        pt_repository_sweep_soon(v->repository);
}

void pt_version_wake(struct pt_version *v)
{
    if (!v->dormant)
        return;
    pt_log(PT_LOG_INFO, "model version comes back", "model", v->config.model.name, "version", v->text, NULL);
    v->waking = true;
    start_version(v);
}

struct pt_model *pt_repository_add_model(struct pt_repository *r, const char *name, struct pt_err *err)
{
    struct pt_model *m = pt_calloc(1, sizeof *m), **at = &r->models;
    if (!m || !(m->name = pt_strdup(name))) {
        pt_free(m);
        pt_fail(err, PT_ENOMEM, "model \"%s\": out of memory", name);
        return NULL;
    }
    m->config = r->defaults;
    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    m->next = *at;
    *at = m;
    return m;
}

static void retire_all(struct pt_model *m)
{
    while (m->versions)
        pt_version_retire(m->versions);
}

void pt_repository_remove_model(struct pt_repository *r, struct pt_model *m)
{
    struct pt_model **at = &r->models;
    retire_all(m);
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    for (struct pt_version *v = r->retiring; v; v = v->next)
        v->model = v->model == m ? NULL : v->model;
    pt_free(m->name);
    pt_free(m);
}

/* --- finding -------------------------------------------------------------------------------------------------------------------- */

struct pt_model *pt_repository_model(const struct pt_repository *r, struct pt_str name)
{
    for (struct pt_model *m = r->models; m; m = m->next)
        if (pt_str_eq(name, pt_str(m->name)))
            return m;
    return NULL;
}

struct pt_version *pt_model_version(const struct pt_model *m, struct pt_str version)
{
    struct pt_version *first = NULL;
    for (struct pt_version *v = m->versions; v; v = v->next) {
        if (version.len && !pt_str_eq(version, pt_str(v->text)))
            continue;
        if (pt_version_up(v) && !v->candidate)
            return v;
        first = first ? first : v;
    }
    return first;
}

struct pt_version *pt_model_label(const struct pt_model *m, struct pt_str label)
{
    for (size_t i = 0; i < m->label_count; i++) {
        char text[24];
        if (!pt_str_eq(label, pt_str(m->labels[i].name)))
            continue;
        snprintf(text, sizeof text, "%lld", (long long)m->labels[i].version);
        return pt_model_version(m, pt_str(text));
    }
    return NULL;
}

bool pt_version_shown(const struct pt_version *v)
{
    return pt_model_version(v->model, pt_str(v->text)) == v;
}

struct pt_version *pt_repository_only(const struct pt_repository *r)
{
    return r->models ? r->models->versions : NULL;
}

bool pt_repository_ready(const struct pt_repository *r)
{
    if (r->draining || !r->scanned_once)
        return false;
    for (const struct pt_model *m = r->models; m; m = m->next) {
        struct pt_version *v = pt_model_version(m, (struct pt_str){0});
        if (r->reload && (!v || v->candidate))
            continue;
        if (!v || !pt_version_up(v) || (!v->dormant && v->servable.state != PT_MODEL_READY))
            return false;
    }
    return true;
}

uint64_t pt_repository_requests(const struct pt_repository *r)
{
    uint64_t n = 0;
    for (const struct pt_model *m = r->models; m; m = m->next)
        for (const struct pt_version *v = m->versions; v; v = v->next)
            n += v->metrics.requests;
    for (const struct pt_version *v = r->retiring; v; v = v->next)
        n += v->metrics.requests;
    return n;
}

/* --- what is ----------------------------------------------------------------------------------------------------------------------- */

/* When all that is wanted is there, the rest goes. */
void pt_model_settle(struct pt_model *m)
{
    for (const struct pt_version *v = m->versions; v; v = v->next)
        if (v->wanted && !pt_version_up(v) && !v->waking)
            return;
    for (struct pt_version *v = m->versions, *next; v; v = next) {
        next = v->next;
        if (!v->wanted)
            pt_version_retire(v);
    }
}

/* A file that does not load, and is not wanted any more, has nothing to wait for. */
static void drop_failures(struct pt_model *m)
{
    for (struct pt_version *v = m->versions, *next; v; v = next) {
        next = v->next;
        if (!v->wanted && !pt_version_up(v))
            pt_version_retire(v);
    }
}

static int64_t bytes_of(const struct pt_version *v)
{
    return v->started && v->servable.loaded.data ? (int64_t)v->servable.loaded.len : 0;
}

static void put_to_sleep(struct pt_version *v)
{
    pt_log(PT_LOG_INFO, "model version is unloaded to save memory", "model", v->config.model.name, "version", v->text, NULL);
    pt_servable_drain(&v->servable);
    pt_servable_finish(&v->servable);
    v->started = false;
    v->dormant = true;
}

/* The one that was used longest ago, of those that nobody uses now. */
static struct pt_version *least_used(const struct pt_repository *r)
{
    struct pt_version *best = NULL;
    for (const struct pt_model *m = r->models; m; m = m->next)
        for (struct pt_version *v = m->versions; v; v = v->next)
            if (pt_version_serves(v) && v->servable.state == PT_MODEL_READY && v->calls == 0 && !pt_servable_busy(&v->servable) &&
                (!best || v->used_ms < best->used_ms))
                best = v;
    return best;
}

static void keep_budget(struct pt_repository *r)
{
    int64_t budget = r->o.config->repository.memory_bytes, total = 0;
    struct pt_version *v;
    for (const struct pt_model *m = r->models; m; m = m->next)
        for (v = m->versions; v; v = v->next)
            total += bytes_of(v);
    while (budget && total > budget && (v = least_used(r))) {
        total -= bytes_of(v);
        put_to_sleep(v);
    }
}

static void end_retired(struct pt_repository *r)
{
    for (struct pt_version **at = &r->retiring, *v; (v = *at);) {
        if (v->calls == 0 && v->started)
            pt_servable_drain(&v->servable);
        if (v->calls > 0 || (v->started && pt_servable_busy(&v->servable))) {
            at = &v->next;
            continue;
        }
        *at = v->next;
        free_version(v);
    }
}

static void sweep(struct pt_timer *t)
{
    struct pt_repository *r = (struct pt_repository *)(void *)((char *)t - offsetof(struct pt_repository, sweep));
    for (struct pt_model *m = r->models; m; m = m->next) {
        if (r->draining)
            break;
        if (!r->reload) {
            pt_model_settle(m);
            drop_failures(m);
        }
        for (struct pt_version *v = m->versions; v; v = v->next) {
            v->waking = v->waking && !pt_version_serves(v) && !pt_version_failed(v);
            if (v->parked && !v->waking)
                r->o.wake(r->o.arg, v);
        }
    }
    for (struct pt_version *v = r->retiring; v; v = v->next)
        if (v->parked)
            r->o.wake(r->o.arg, v);
    if (!r->draining)
        keep_budget(r);
    end_retired(r);
    pt_repository_end_controls(r);
}

/* --- beginning and end --------------------------------------------------------------------------------------------------------------- */

static void collect(void *arg)
{
    const struct pt_repository *r = arg;
    for (const struct pt_model *m = r->models; m; m = m->next)
        for (struct pt_version *v = m->versions; v; v = v->next) {
            pt_serving_metrics_collect(&v->metrics);
            if (v->monitor)
                pt_monitor_refresh(v->monitor, r->o.loop);
        }
}

static int start_one(struct pt_repository *r, struct pt_err *err)
{
    const struct pt_config *c = r->o.config;
    int64_t number = 0;
    struct pt_model *m = pt_repository_add_model(r, c->model.name, err);
    r->scanned_once = true;
    (void)pt_parse_i64(pt_str(c->model.version), 0, INT64_MAX, "version", &number, NULL);
    int rc = m ? pt_repository_add_version(r, m, c->model.version, number, NULL, 0, err) : PT_ENOMEM;
    if (rc == PT_OK && !m->versions->started)
        rc = pt_fail(err, m->versions->servable.error.code, "%s", m->versions->servable.error.msg);
    return rc;
}

/* "/models/resnet/" -> resnet */
static void name_base(struct pt_repository *r)
{
    const char *path = r->o.config->repository.path, *given = r->o.config->model.name;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    const char *slash = memrchr(path, '/', len), *from = slash ? slash + 1 : path;
    snprintf(r->base_name, sizeof r->base_name, "%.*s", given ? 255 : (int)(path + len - from), given ? given : from);
}

static int start_folder(struct pt_repository *r, struct pt_err *err)
{
    const struct pt_config *c = r->o.config;
    struct pt_str names = pt_str(c->repository.load), name;
    int rc = c->repository.versions ? pt_model_config_policy(&r->defaults, c->repository.versions, err) : PT_OK;
    while (rc == PT_OK && pt_str_split(&names, ',', &name))
        rc = pt_model_list_add(&r->list, pt_str_trim(name), (struct pt_str){0}, err) ? PT_OK : PT_ENOMEM;
    if (rc < 0)
        return rc;
    name_base(r);
    pt_repository_scan(r);
    return PT_OK;
}

int pt_repository_start(struct pt_repository *r, const struct pt_repository_options *o, struct pt_err *err)
{
    *r = (struct pt_repository){.o = *o};
    pt_model_config_init(&r->defaults);
    pt_metrics_on_collect(o->registry, collect, r);
    return o->config->repository.path ? start_folder(r, err) : start_one(r, err);
}

void pt_repository_drain(struct pt_repository *r)
{
    r->draining = true;
    pt_timer_stop(pt_repository_clock(r), &r->poll);
    for (struct pt_model *m = r->models; m; m = m->next)
        for (struct pt_version *v = m->versions; v; v = v->next)
            if (v->started)
                pt_servable_drain(&v->servable);
}

bool pt_repository_busy(const struct pt_repository *r)
{
    bool busy = r->scanning;
    for (const struct pt_model *m = r->models; m; m = m->next)
        for (const struct pt_version *v = m->versions; v; v = v->next)
            busy |= v->started && pt_servable_busy(&v->servable);
    for (const struct pt_version *v = r->retiring; v; v = v->next)
        busy |= v->started && pt_servable_busy(&v->servable);
    return busy;
}

void pt_repository_finish(struct pt_repository *r)
{
    if (!r->o.loop)
        return;
    r->draining = true; /* nothing retires any more, it ends: also when the start failed */
    for (struct pt_model *m; (m = r->models);)
        pt_repository_remove_model(r, m);
    for (struct pt_version *v; (v = r->retiring);) {
        r->retiring = v->next;
        free_version(v);
    }
    pt_timer_stop(pt_repository_clock(r), &r->poll);
    pt_timer_stop(pt_repository_clock(r), &r->sweep);
    pt_model_list_finish(&r->list);
    pt_model_list_finish(&r->next);
    pt_model_list_finish(&r->looking);
    pt_scan_finish(&r->scan);
    *r = (struct pt_repository){0};
}
