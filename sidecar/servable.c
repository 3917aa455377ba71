/* SPDX-License-Identifier: Apache-2.0
 *
 * servable.c: fetching is the source's, the rest are three steps on the pool. A failure is shown as the state Failed and tried again: a
 * download soon and for ever, wrong bytes or a model that does not load rarely, since only a change from outside can help. A download
 * that breaks off after some progress is no failure yet: it goes on where it stopped.
 */
#include "sidecar/servable.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

enum { RESUME_MS = 500 };

/* state -> states that may follow */
#define TO(state) (1u << (state))
__attribute__((unused)) /* but for the assertion */ static const unsigned followers[PT_MODEL_STATE_COUNT] = {
    [PT_MODEL_DOWNLOADING] = TO(PT_MODEL_VERIFYING) | TO(PT_MODEL_FAILED) | TO(PT_MODEL_DRAINING),
    [PT_MODEL_VERIFYING] = TO(PT_MODEL_LOADING) | TO(PT_MODEL_FAILED) | TO(PT_MODEL_DRAINING),
    [PT_MODEL_LOADING] = TO(PT_MODEL_WARMING) | TO(PT_MODEL_FAILED) | TO(PT_MODEL_DRAINING),
    [PT_MODEL_WARMING] = TO(PT_MODEL_READY) | TO(PT_MODEL_FAILED) | TO(PT_MODEL_DRAINING),
    [PT_MODEL_READY] = TO(PT_MODEL_FAILED) | TO(PT_MODEL_DRAINING),
    [PT_MODEL_FAILED] = TO(PT_MODEL_DOWNLOADING) | TO(PT_MODEL_DRAINING),
};

/* Pauses before trying again: first, and at most after doubling. */
static const struct {
    int64_t first_ms, most_ms;
} pauses[PT_MODEL_REASON_COUNT] = {
    [PT_REASON_DOWNLOAD_FAILED] = {1000, 60000}, [PT_REASON_DIGEST_MISMATCH] = {30000, 600000},   [PT_REASON_MODEL_LOAD_FAILED] = {60000, 600000},
    [PT_REASON_WARMUP_FAILED] = {60000, 600000}, [PT_REASON_RUNTIME_UNHEALTHY] = {60000, 600000},
};

/* The one place that changes the state. */
static void set_state(struct pt_servable *s, enum pt_model_state state, enum pt_model_reason reason, const struct pt_err *error)
{
    assert(followers[s->state] & TO(state));
    s->state = state;
    s->reason = reason;
    s->error = error ? *error : (struct pt_err){0};
    s->serving = state == PT_MODEL_READY || (s->serving && state == PT_MODEL_DRAINING);
    if (state == PT_MODEL_FAILED)
        pt_log(PT_LOG_ERROR, "model failed", "model", s->o.config->model.name, "version", s->o.config->model.version, "reason",
               pt_model_reason_text(reason), "error", s->error.msg, NULL);
    else
        pt_log(PT_LOG_INFO, "model", "model", s->o.config->model.name, "version", s->o.config->model.version, "state", pt_model_state_text(state),
               NULL);
    s->o.changed(s->o.arg);
}

static struct pt_sched *clock_of(struct pt_servable *s)
{
    return pt_loop_sched(s->o.loop);
}

/* --- trying, and trying again ----------------------------------------------------------------------------------------------- */

static void fetch(struct pt_servable *s)
{
    s->attempt_bytes = s->bytes_done;
    pt_source_fetch(s->source);
}

static void try_again(struct pt_timer *t)
{
    struct pt_servable *s = (struct pt_servable *)((char *)t - offsetof(struct pt_servable, timer));
    if (s->state == PT_MODEL_FAILED)
        set_state(s, PT_MODEL_DOWNLOADING, PT_REASON_NONE, NULL);
    fetch(s);
}

/* Doubling, with a fifth more or less so that pods of one rollout do not ask at once. */
static int64_t pause_ms(struct pt_servable *s, enum pt_model_reason reason)
{
    int64_t ms = pauses[reason].first_ms;
    for (unsigned i = 0; i < s->failures && ms < pauses[reason].most_ms; i++)
        ms *= 2;
    if (ms > pauses[reason].most_ms)
        ms = pauses[reason].most_ms;
    return ms * 4 / 5 + pt_rand_below(&s->jitter, (uint32_t)(ms * 2 / 5));
}

static void fail(struct pt_servable *s, enum pt_model_reason reason, const struct pt_err *err)
{
    pt_loaded_close(&s->loaded);
    int64_t ms = pause_ms(s, reason);
    s->failures++;
    pt_timer_start(clock_of(s), &s->timer, ms, try_again);
    set_state(s, PT_MODEL_FAILED, reason, err);
}

/* --- the steps on the pool -------------------------------------------------------------------------------------------------- */

/* Hashing takes longer than loading does: only where somebody has said, or is told, what the digest is. */
static bool needs_digest(const struct pt_servable *s)
{
    return s->o.config->model.has_digest || s->o.config->report.url;
}

static int verify(struct pt_servable *s, struct pt_err *err)
{
    const uint8_t *want = s->o.config->model.digest;
    char want_text[72], got_text[72];
    int rc = pt_loaded_map(&s->loaded, s->fd, s->path, s->o.config->model.copy, err);
    if (rc < 0)
        return rc;
    if (s->hashed)
        memcpy(s->loaded.digest, s->digest, sizeof s->digest);
    else if (needs_digest(s) && (rc = pt_loaded_hash(&s->loaded, &s->stop, err)) < 0)
        return rc;
    pt_keep_name(s->fd, s->hashed ? s->digest : NULL, s->keep_name);
    if (!s->o.config->model.has_digest || memcmp(want, s->loaded.digest, 32) == 0)
        return PT_OK;
    pt_format_digest(want, want_text);
    pt_format_digest(s->loaded.digest, got_text);
    return pt_fail(err, PT_ECONFLICT, "%s: digest: want %s, got %s", s->path, want_text, got_text);
}

static int load(struct pt_servable *s, struct pt_err *err)
{
    const struct pt_config *c = s->o.config;
    struct pt_loaded_options o = {.name = c->model.name,
                                  .version = c->model.version,
                                  .threads = s->o.threads,
                                  .slots = s->o.slots,
                                  .max_batch = c->batching.max_size,
                                  .batch_optional = c->batching.optional,
                                  .padding = c->batching.padding,
                                  .prepared = s->keep_folder,
                                  .prepared_name = s->keep_name};
    return pt_loaded_open(&s->loaded, &o, err);
}

static int warm(struct pt_servable *s, struct pt_err *err)
{
    return pt_loaded_warm(&s->loaded, s->o.config->model.warmup, err);
}

/* --- beside serving ----------------------------------------------------------------------------------------------------------------- */

static void log_kept(const struct pt_servable *s, enum pt_log_level level, const char *what, const char *key, const char *value)
{
    pt_log(level, what, "model", s->o.config->model.name, "version", s->o.config->model.version, key, value, NULL);
}

/* What cannot be kept is a line of the log, and made again by the next start. */
static void keep_weights(struct pt_servable *s)
{
    struct pt_prepared_info before = {.size = sizeof before};
    struct pt_err err;
    if (s->not_kept || pt_session_prepared(s->loaded.session, &before, &err) < 0)
        return;
    if (before.note[0] && !s->told)
        log_kept(s, PT_LOG_WARN, "prepared weights not used", "error", before.note);
    s->told = true;
    if (pt_keep_save(s->loaded.session, s->keep_folder, s->o.config->cache.prepared_bytes, &err) < 0) {
        s->not_kept = true;
        log_kept(s, PT_LOG_WARN, "prepared weights not kept", "error", err.msg);
    } else if (before.path && before.made_bytes) {
        log_kept(s, PT_LOG_INFO, "prepared weights kept", "file", before.path);
    }
}

/* What was made since, for other shapes of inputs, is kept first. */
static void rest(struct pt_servable *s)
{
    if (s->keep_folder)
        keep_weights(s);
    pt_loaded_rest(&s->loaded);
}

static void run_after(struct pt_work *w)
{
    rest((struct pt_servable *)((char *)w - offsetof(struct pt_servable, after)));
}

static void end_after(struct pt_work *w)
{
    struct pt_servable *s = (struct pt_servable *)((char *)w - offsetof(struct pt_servable, after));
    s->keeping = false;
    s->o.changed(s->o.arg); /* it may be unloaded now */
}

/* Best effort, one at a time. */
static void start_rest(struct pt_servable *s)
{
    struct pt_err err;
    if (s->keeping)
        return;
    s->after = (struct pt_work){.run = run_after, .done = end_after};
    s->keeping = pt_loop_work(s->o.loop, &s->after, &err) == PT_OK;
}

static void watch_idle(struct pt_servable *s);

static void look_idle(struct pt_timer *t)
{
    struct pt_servable *s = (struct pt_servable *)((char *)t - offsetof(struct pt_servable, idle));
    uint64_t runs = atomic_load(&s->loaded.runs);
    bool idle = runs == s->runs_seen;
    if (idle && !s->rested)
        start_rest(s);
    s->rested = idle;
    s->runs_seen = runs;
    watch_idle(s);
}

static void watch_idle(struct pt_servable *s)
{
    if (s->o.config->runtime.idle_ms)
        pt_timer_start(clock_of(s), &s->idle, s->o.config->runtime.idle_ms, look_idle);
}

/* Whoever is told of it may drain the model at once. */
static void serve(struct pt_servable *s)
{
    s->runs_seen = atomic_load(&s->loaded.runs);
    s->rested = true; /* behind the warm-up */
    if (s->keep_folder)
        start_rest(s);
    watch_idle(s);
    set_state(s, PT_MODEL_READY, PT_REASON_NONE, NULL);
}

/* --- the steps' order ----------------------------------------------------------------------------------------------------------------- */

static const struct step {
    enum pt_model_state state;
    enum pt_model_reason reason; /* of a failure */
    int (*run)(struct pt_servable *s, struct pt_err *err);
} steps[] = {
    {PT_MODEL_VERIFYING, PT_REASON_DOWNLOAD_FAILED, verify},
    {PT_MODEL_LOADING, PT_REASON_MODEL_LOAD_FAILED, load},
    {PT_MODEL_WARMING, PT_REASON_WARMUP_FAILED, warm},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

static struct pt_servable *of_work(struct pt_work *w)
{
    return (struct pt_servable *)((char *)w - offsetof(struct pt_servable, work));
}

static void run_step(struct pt_work *w)
{
    struct pt_servable *s = of_work(w);
    s->work_err.code = PT_OK;
    int rc = steps[s->step].run(s, &s->work_err);
    assert(rc == s->work_err.code);
    (void)rc;
}

static void close_file(struct pt_servable *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void start_step(struct pt_servable *s, size_t step);

/* Back on the loop: what the step did is ours again. */
static void end_step(struct pt_work *w)
{
    struct pt_servable *s = of_work(w);
    const struct step *step = &steps[s->step];
    s->working = false;
    if (step->run == verify) {
        if (!s->cached)
            close_file(s);
        s->has_digest = (s->hashed || needs_digest(s)) && s->loaded.data != NULL && s->work_err.code != PT_ECANCELED;
        memcpy(s->digest, s->loaded.digest, sizeof s->digest);
    }
    if (s->state == PT_MODEL_DRAINING) {
        pt_loaded_close(&s->loaded);
        s->o.changed(s->o.arg);
    } else if (s->work_err.code) {
        bool wrong = s->work_err.code == PT_ECONFLICT;
        if (wrong)
            pt_source_discard(s->source);
        fail(s, wrong ? PT_REASON_DIGEST_MISMATCH : step->reason, &s->work_err);
    } else if (s->step + 1 < STEPS) {
        start_step(s, s->step + 1);
    } else {
        s->failures = 0;
        s->load_ms = pt_now_ms(clock_of(s)) - s->loading_since_ms;
        serve(s);
    }
}

static void start_step(struct pt_servable *s, size_t step)
{
    struct pt_err err;
    s->step = step;
    s->work = (struct pt_work){.run = run_step, .done = end_step};
    set_state(s, steps[step].state, PT_REASON_NONE, NULL);
    if (pt_loop_work(s->o.loop, &s->work, &err) < 0)
        fail(s, steps[step].reason, &err);
    else
        s->working = true;
}

/* --- the source's words ------------------------------------------------------------------------------------------------------- */

static void on_progress(void *arg, int64_t done_bytes, int64_t total_bytes)
{
    struct pt_servable *s = arg;
    s->bytes_done = done_bytes;
    s->bytes_total = total_bytes;
}

static bool may_resume(const struct pt_servable *s, const struct pt_err *err)
{
    bool passing = err->code == PT_EIO || err->code == PT_ETIMEDOUT || err->code == PT_EUNAVAILABLE;
    return passing && s->bytes_done > s->attempt_bytes;
}

static void on_fetched(void *arg, const struct pt_source_file *file, const struct pt_err *err)
{
    struct pt_servable *s = arg;
    if (!file && may_resume(s, err)) {
        pt_log(PT_LOG_WARN, "download interrupted", "model", s->o.config->model.name, "error", err->msg, NULL);
        pt_timer_start(clock_of(s), &s->timer, RESUME_MS, try_again);
        return;
    }
    if (!file) {
        fail(s, err->code == PT_ECONFLICT ? PT_REASON_DIGEST_MISMATCH : PT_REASON_DOWNLOAD_FAILED, err);
        return;
    }
    close_file(s);
    s->fd = file->fd;
    s->cached = file->cached;
    s->hashed = file->hashed;
    if (file->hashed)
        memcpy(s->digest, file->digest, sizeof s->digest);
    snprintf(s->path, sizeof s->path, "%s", file->path);
    s->loading_since_ms = pt_now_ms(clock_of(s));
    start_step(s, 0);
}

/* --- from outside --------------------------------------------------------------------------------------------------------------- */

int pt_servable_start(struct pt_servable *s, const struct pt_servable_options *o, struct pt_err *err)
{
    *s = (struct pt_servable){.o = *o, .state = PT_MODEL_DOWNLOADING, .reason = PT_REASON_NONE, .fd = -1, .load_ms = -1, .bytes_total = -1};
    pt_rand_init(&s->jitter, (uint64_t)pt_clock_mono_ns() ^ (uint64_t)getpid() << 32);
    const struct pt_config *c = o->config;
    s->keep_folder = c->cache.prepared_bytes ? pt_keep_folder(c->cache.path ? c->cache.path : o->cache_dir) : NULL;
    struct pt_source_options so = {.loop = o->loop,
                                   .uri = c->model.uri,
                                   .digest = c->model.has_digest ? c->model.digest : NULL,
                                   .cache_dir = c->cache.path ? c->cache.path : o->cache_dir,
                                   .cache_limit = c->cache.max_bytes,
                                   .wait_ms = c->cache.wait_ms,
                                   .tls = o->tls,
                                   .progress = on_progress,
                                   .done = on_fetched,
                                   .arg = s};
    int rc = pt_source_create(&so, &s->source, err);
    if (rc < 0) {
        pt_free(s->keep_folder);
        s->keep_folder = NULL;
        return pt_wrap(err, "model %s", c->model.name);
    }
    fetch(s);
    return PT_OK;
}

struct pt_loaded *pt_servable_serving(struct pt_servable *s)
{
    return s->serving ? &s->loaded : NULL;
}

void pt_servable_drain(struct pt_servable *s)
{
    if (s->state == PT_MODEL_DRAINING)
        return;
    atomic_store(&s->stop, true);
    pt_timer_stop(clock_of(s), &s->timer);
    pt_timer_stop(clock_of(s), &s->idle);
    pt_source_destroy(s->source);
    s->source = NULL;
    set_state(s, PT_MODEL_DRAINING, PT_REASON_NONE, NULL);
}

bool pt_servable_busy(const struct pt_servable *s)
{
    return s->working || s->keeping;
}

void pt_servable_finish(struct pt_servable *s)
{
    if (!s->o.loop)
        return;
    pt_timer_stop(clock_of(s), &s->timer);
    pt_timer_stop(clock_of(s), &s->idle);
    pt_source_destroy(s->source);
    if (s->fd >= 0)
        close(s->fd);
    pt_loaded_close(&s->loaded);
    pt_free(s->keep_folder);
    *s = (struct pt_servable){0};
}
