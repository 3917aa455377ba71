/* SPDX-License-Identifier: Apache-2.0
 *
 * repository.c: see repository.h. A scan says what should be (apply), the versions' own states say what is, and sweep() brings the two together; it
 * runs from a timer, so that no version ends inside one of its own callbacks.
 */
#include "sidecar/repository.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static void sweep(struct pt_timer *t);

static struct pt_sched *clock_of(const struct pt_repository *r)
{
    return pt_loop_sched(r->o.loop);
}

static void sweep_soon(struct pt_repository *r)
{
    pt_timer_start(clock_of(r), &r->sweep, 0, sweep);
}

/* --- one version ------------------------------------------------------------------------------------------------------------- */

bool pt_version_serves(const struct pt_version *v)
{
    return v->started && v->servable.serving;
}

static bool is_up(const struct pt_version *v)
{
    return v->dormant || pt_version_serves(v);
}

static bool has_failed(const struct pt_version *v)
{
    return !v->dormant && v->servable.state == PT_MODEL_FAILED;
}

static void on_servable(void *arg)
{
    struct pt_version *v = arg;
    v->repository->o.changed(v->repository->o.arg, v);
    sweep_soon(v->repository);
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
        sweep_soon(r);
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
static void adopt_batching(struct pt_config *c, const struct pt_model_config *m)
{
    c->batching.optional = m->max_batch < 0;
    if (m->max_batch < 0)
        return;
    bool joins = m->dynamic_batching && m->max_batch > 1;
    c->batching.max_size = joins ? m->max_batch : 1;
    c->batching.max_delay_us = joins ? m->max_delay_us : 0;
    memcpy(c->batching.preferred, m->preferred, sizeof c->batching.preferred);
    memset(c->batching.sizes, 0, sizeof c->batching.sizes);
    c->runtime.priority_levels = m->priority_levels;
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
    adopt_batching(c, &v->model->config);
    return PT_OK;
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
static int add_version(struct pt_repository *r, struct pt_model *m, const char *text, int64_t number, const char *path, uint64_t print,
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
    snprintf(v->text, sizeof v->text, "%s", text);
    struct pt_queue_options qo;
    int rc = configure(v, path, err);
    if (rc == PT_OK) {
        qo = queue_options(&v->config, r->o.jobs);
        rc = pt_queue_create(r->o.scheduler, &qo, &v->queue, err);
    }
    if (rc == PT_OK)
        rc = pt_serving_metrics_init(&v->metrics, r->o.registry, v->config.model.name, v->config.model.version, err);
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

static void retire(struct pt_version *v)
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
    sweep_soon(r);
}

void pt_version_hold(struct pt_version *v)
{
    v->calls++;
    v->used_ms = pt_now_ms(clock_of(v->repository));
}

void pt_version_release(struct pt_version *v)
{
    v->calls--;
    if (v->retiring && v->calls == 0)
        sweep_soon(v->repository);
}

void pt_version_wake(struct pt_version *v)
{
    if (!v->dormant)
        return;
    pt_log(PT_LOG_INFO, "model version comes back", "model", v->config.model.name, "version", v->text, NULL);
    v->waking = true;
    start_version(v);
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
        if (is_up(v))
            return v;
        first = first ? first : v;
    }
    return first;
}

struct pt_version *pt_model_label(const struct pt_model *m, struct pt_str label)
{
    for (size_t i = 0; i < m->config.label_count; i++) {
        char text[24];
        if (!pt_str_eq(label, pt_str(m->config.labels[i].name)))
            continue;
        snprintf(text, sizeof text, "%lld", (long long)m->config.labels[i].version);
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
        if (!v || !is_up(v) || (!v->dormant && v->servable.state != PT_MODEL_READY))
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

/* --- what should be -------------------------------------------------------------------------------------------------------------- */

static bool policy_wants(const struct pt_model_config *c, int64_t number, size_t rank)
{
    if (c->policy == PT_VERSIONS_ALL)
        return true;
    if (c->policy == PT_VERSIONS_LATEST)
        return (int64_t)rank < c->latest;
    for (size_t i = 0; i < c->version_count; i++)
        if (c->versions[i] == number)
            return true;
    return false;
}

static struct pt_version *find_print(const struct pt_model *m, int64_t number, uint64_t print)
{
    for (struct pt_version *v = m->versions; v; v = v->next)
        if (v->number == number && v->print == print)
            return v;
    return NULL;
}

static int want_versions(struct pt_repository *r, struct pt_model *m, const struct pt_scan_model *s, struct pt_err *err)
{
    for (struct pt_version *v = m->versions; v; v = v->next)
        v->wanted = false;
    for (size_t i = 0; i < s->version_count; i++) {
        const struct pt_scan_version *found = &s->versions[i];
        char text[24];
        if (!policy_wants(&m->config, found->number, i))
            continue;
        uint64_t print = found->print ^ m->config_print; /* another configuration is another version, too */
        struct pt_version *v = find_print(m, found->number, print);
        if (v) {
            v->wanted = true;
            continue;
        }
        snprintf(text, sizeof text, "%lld", (long long)found->number);
        int rc = add_version(r, m, text, found->number, found->path, print, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static struct pt_model *add_model(struct pt_repository *r, const char *name, struct pt_err *err)
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

static bool is_wanted(const struct pt_repository *r, const char *name)
{
    if (strcmp(r->o.config->repository.control, "explicit") != 0)
        return true;
    for (size_t i = 0; i < r->wanted_count; i++)
        if (!strcmp(r->wanted[i], name))
            return true;
    return false;
}

static const struct pt_scan_model *scanned(const struct pt_repository *r, const char *name)
{
    for (size_t i = 0; i < r->scan.count; i++)
        if (!strcmp(r->scan.models[i].name, name))
            return &r->scan.models[i];
    return NULL;
}

static void retire_all(struct pt_model *m)
{
    while (m->versions)
        retire(m->versions);
}

static void apply_model(struct pt_repository *r, const struct pt_scan_model *s)
{
    struct pt_err err;
    struct pt_model *m = pt_repository_model(r, pt_str(s->name));
    if (!m && !(m = add_model(r, s->name, &err))) {
        pt_log(PT_LOG_ERROR, "repository", "error", err.msg, NULL);
        return;
    }
    bool news = s->err.code && strcmp(s->err.msg, m->err.msg) != 0;
    m->err = s->err;
    if (s->err.code) { /* what serves goes on as it was */
        if (news)
            pt_log(PT_LOG_ERROR, "model cannot be used", "model", m->name, "error", s->err.msg, NULL);
        return;
    }
    m->config = s->config;
    m->config_print = s->config_print;
    if (want_versions(r, m, s, &err) < 0)
        m->err = err;
    else if (!m->versions)
        pt_fail(&m->err, PT_ENOTFOUND, "no version that the policy wants has a file \"%s\"", m->config.file);
}

static void remove_model(struct pt_repository *r, struct pt_model *m)
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

static void apply(struct pt_repository *r)
{
    for (struct pt_model *m = r->models, *next; m; m = next) {
        next = m->next;
        if (!scanned(r, m->name) || !is_wanted(r, m->name))
            remove_model(r, m);
    }
    for (size_t i = 0; i < r->scan.count; i++)
        if (is_wanted(r, r->scan.models[i].name))
            apply_model(r, &r->scan.models[i]);
}

/* --- scanning -------------------------------------------------------------------------------------------------------------------- */

static void start_scan(struct pt_repository *r);

static void on_poll(struct pt_timer *t)
{
    start_scan((struct pt_repository *)(void *)((char *)t - offsetof(struct pt_repository, poll)));
}

static void run_scan(struct pt_work *w)
{
    struct pt_repository *r = (struct pt_repository *)(void *)((char *)w - offsetof(struct pt_repository, work));
    r->scan_err.code = PT_OK;
    (void)pt_scan_run(r->o.config->repository.path, r->base_name, &r->defaults, &r->scan, &r->scan_err);
}

static void end_scan(struct pt_work *w)
{
    struct pt_repository *r = (struct pt_repository *)(void *)((char *)w - offsetof(struct pt_repository, work));
    r->scanning = false;
    if (r->scan_err.code)
        pt_log(PT_LOG_ERROR, "repository cannot be read", "error", r->scan_err.msg, NULL);
    else if (!r->draining)
        apply(r);
    r->scanned_once |= !r->scan_err.code;
    pt_scan_finish(&r->scan);
    if (r->draining) {
        r->o.changed(r->o.arg, NULL); /* whoever waits for the end of this looks again */
        return;
    }
    for (struct pt_control *c = r->controls; c && !r->scan_again; c = c->next)
        c->scanned = true;
    if (r->scan_again)
        start_scan(r);
    else if (!strcmp(r->o.config->repository.control, "poll"))
        pt_timer_start(clock_of(r), &r->poll, r->o.config->repository.poll_ms, on_poll);
    r->o.changed(r->o.arg, NULL);
    sweep_soon(r);
}

static void start_scan(struct pt_repository *r)
{
    struct pt_err err;
    r->scan_again = r->scanning;
    if (r->scanning)
        return;
    r->work = (struct pt_work){.run = run_scan, .done = end_scan};
    r->scanning = pt_loop_work(r->o.loop, &r->work, &err) == PT_OK;
    if (!r->scanning) {
        pt_log(PT_LOG_ERROR, "repository cannot be read", "error", err.msg, NULL);
        pt_timer_start(clock_of(r), &r->poll, r->o.config->repository.poll_ms, on_poll);
    }
}

/* --- what is ----------------------------------------------------------------------------------------------------------------------- */

/* When all that is wanted is there, the rest goes. */
static void settle(struct pt_model *m)
{
    for (const struct pt_version *v = m->versions; v; v = v->next)
        if (v->wanted && !is_up(v) && !v->waking)
            return;
    for (struct pt_version *v = m->versions, *next; v; v = next) {
        next = v->next;
        if (!v->wanted)
            retire(v);
    }
}

/* A file that does not load, and is not wanted any more, has nothing to wait for. */
static void drop_failures(struct pt_model *m)
{
    for (struct pt_version *v = m->versions, *next; v; v = next) {
        next = v->next;
        if (!v->wanted && !is_up(v))
            retire(v);
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
            if (pt_version_serves(v) && v->servable.state == PT_MODEL_READY && v->calls == 0 && (!best || v->used_ms < best->used_ms))
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

/* PT_EAGAIN: not decided yet. */
static int outcome(const struct pt_repository *r, struct pt_control *c)
{
    const struct pt_model *m = pt_repository_model(r, pt_str(c->name));
    int rc = PT_OK;
    if (!c->load) {
        for (const struct pt_version *v = r->retiring; v; v = v->next)
            rc = strcmp(v->config.model.name, c->name) == 0 ? PT_EAGAIN : rc;
        return rc;
    }
    if (!c->scanned)
        return PT_EAGAIN;
    if (!m)
        return pt_fail(&c->err, PT_ENOTFOUND, "load model \"%s\": the repository has no such model", c->name);
    if (m->err.code)
        return pt_fail(&c->err, m->err.code, "load model \"%s\": %s", c->name, m->err.msg);
    for (const struct pt_version *v = m->versions; v; v = v->next) {
        if (v->wanted && has_failed(v))
            return pt_fail(&c->err, v->servable.error.code, "load model \"%s\" version %s: %s", c->name, v->text, v->servable.error.msg);
        rc = v->wanted && !is_up(v) ? PT_EAGAIN : rc;
    }
    return rc;
}

static void end_controls(struct pt_repository *r)
{
    for (struct pt_control **at = &r->controls, *c; (c = *at);) {
        int rc = outcome(r, c);
        if (rc == PT_EAGAIN) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->rc = rc;
        c->done(c);
    }
}

static void sweep(struct pt_timer *t)
{
    struct pt_repository *r = (struct pt_repository *)(void *)((char *)t - offsetof(struct pt_repository, sweep));
    for (struct pt_model *m = r->models; m; m = m->next) {
        if (r->draining)
            break;
        settle(m);
        drop_failures(m);
        for (struct pt_version *v = m->versions; v; v = v->next) {
            v->waking = v->waking && !pt_version_serves(v) && !has_failed(v);
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
    end_controls(r);
}

/* --- control ----------------------------------------------------------------------------------------------------------------------- */

static int controlled(const struct pt_repository *r, const char *verb, struct pt_str name, struct pt_err *err)
{
    if (r->o.config->repository.path && !strcmp(r->o.config->repository.control, "explicit"))
        return PT_OK;
    return pt_fail(err, PT_EUNSUPPORTED, "%s model \"" PT_STR_FMT "\": models are loaded and unloaded by clients only with --model-control explicit",
                   verb, (int)(name.len < 256 ? name.len : 256), name.p);
}

static int begin_control(struct pt_repository *r, struct pt_str name, bool load, struct pt_control *c)
{
    c->rc = PT_OK;
    c->load = load;
    c->scanned = false;
    snprintf(c->name, sizeof c->name, PT_STR_FMT, (int)(name.len < sizeof c->name ? name.len : sizeof c->name - 1), name.p ? name.p : "");
    c->next = r->controls;
    r->controls = c;
    if (load)
        start_scan(r);
    sweep_soon(r);
    return PT_EAGAIN;
}

static int want(struct pt_repository *r, const char *name, struct pt_err *err)
{
    if (is_wanted(r, name))
        return PT_OK;
    char **more = pt_reallocarray(r->wanted, r->wanted_count + 1, sizeof *more), *copy = pt_strdup(name);
    r->wanted = more ? more : r->wanted;
    if (!more || !copy) {
        pt_free(copy);
        return pt_fail(err, PT_ENOMEM, "out of memory");
    }
    more[r->wanted_count++] = copy;
    return PT_OK;
}

int pt_repository_load(struct pt_repository *r, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    pt_auto_free char *text = pt_strndup(name.p ? name.p : "", name.len);
    int rc = controlled(r, "load", name, err);
    if (rc == PT_OK)
        rc = text ? want(r, text, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    return rc < 0 ? rc : begin_control(r, name, true, c);
}

int pt_repository_unload(struct pt_repository *r, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    struct pt_model *m;
    int rc = controlled(r, "unload", name, err);
    if (rc < 0)
        return rc;
    if (!(m = pt_repository_model(r, name)))
        return pt_fail(err, PT_ENOTFOUND, "unload model \"" PT_STR_FMT "\": it is not loaded", (int)(name.len < 256 ? name.len : 256),
                       name.p ? name.p : "");
    for (size_t i = 0; i < r->wanted_count; i++)
        if (!strcmp(r->wanted[i], m->name)) {
            pt_free(r->wanted[i]);
            r->wanted[i] = r->wanted[--r->wanted_count];
            break;
        }
    remove_model(r, m);
    r->o.changed(r->o.arg, NULL);
    return begin_control(r, name, false, c);
}

/* --- beginning and end --------------------------------------------------------------------------------------------------------------- */

static void collect(void *arg)
{
    const struct pt_repository *r = arg;
    for (const struct pt_model *m = r->models; m; m = m->next)
        for (struct pt_version *v = m->versions; v; v = v->next)
            pt_serving_metrics_collect(&v->metrics);
}

static int start_one(struct pt_repository *r, struct pt_err *err)
{
    const struct pt_config *c = r->o.config;
    int64_t number = 0;
    struct pt_model *m = add_model(r, c->model.name, err);
    r->scanned_once = true;
    (void)pt_parse_i64(pt_str(c->model.version), 0, INT64_MAX, "version", &number, NULL);
    int rc = m ? add_version(r, m, c->model.version, number, NULL, 0, err) : PT_ENOMEM;
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
    while (rc == PT_OK && pt_str_split(&names, ',', &name)) {
        pt_auto_free char *text = pt_strndup(pt_str_trim(name).p, pt_str_trim(name).len);
        rc = text ? want(r, text, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    }
    if (rc < 0)
        return rc;
    name_base(r);
    start_scan(r);
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
    pt_timer_stop(clock_of(r), &r->poll);
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
        remove_model(r, m);
    for (struct pt_version *v; (v = r->retiring);) {
        r->retiring = v->next;
        free_version(v);
    }
    pt_timer_stop(clock_of(r), &r->poll);
    pt_timer_stop(clock_of(r), &r->sweep);
    for (size_t i = 0; i < r->wanted_count; i++)
        pt_free(r->wanted[i]);
    pt_free(r->wanted);
    pt_scan_finish(&r->scan);
    *r = (struct pt_repository){0};
}
