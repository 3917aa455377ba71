/* SPDX-License-Identifier: Apache-2.0
 *
 * frontend.c: an inference is a job: a worker decodes the body, runs the model and encodes the answer, so that the loop thread only moves
 * bytes; what is cheaper than waking a worker runs on the loop thread. A refusal (429) costs neither a look into the body nor an allocation.
 */
#include "sidecar/frontend.h"

#include "base/log.h"
#include "base/mem.h"
#include "sidecar/padding.h"

enum { RUN_HERE_BODY = 16 << 10 };

/* --- models ------------------------------------------------------------------------------------------------------------------ */

bool pt_frontend_ready(const struct pt_frontend *f)
{
    return pt_repository_ready(f->repository);
}

static void view(const struct pt_version *v, struct pt_model_view *out)
{
    bool serving = pt_version_serves(v);
    *out = (struct pt_model_view){.name = v->model->name,
                                  .version = v->text,
                                  .state = v->dormant ? PT_MODEL_READY : v->servable.state, /* it answers, if a little later */
                                  .message = v->servable.error.msg,
                                  .serving = serving,
                                  .info = serving ? &v->servable.loaded.info : NULL,
                                  .stats = &v->stats,
                                  .monitor = v->monitor,
                                  .max_delay_us = v->config.batching.max_delay_us};
}

/* A model whose configuration cannot be used has no version to show. */
static void view_broken(const struct pt_model *m, struct pt_model_view *out)
{
    static const struct pt_model_stats none;
    *out = (struct pt_model_view){.name = m->name, .version = "", .state = PT_MODEL_FAILED, .message = m->err.msg, .stats = &none};
}

static int name_width(struct pt_str s)
{
    return (int)(s.len < 256 ? s.len : 256);
}

static int no_model(const struct pt_frontend *f, struct pt_str name, struct pt_err *err)
{
    const struct pt_model *only = f->repository->models;
    if (only && !only->next)
        return pt_fail(err, PT_ENOTFOUND, "no model \"" PT_STR_FMT "\" here; this server has \"%s\"", name_width(name), name.p, only->name);
    return pt_fail(err, PT_ENOTFOUND, "no model \"" PT_STR_FMT "\" here", name_width(name), name.p);
}

static int no_version(const struct pt_model *m, const struct pt_model_ref *ref, struct pt_err *err)
{
    if (ref->label)
        return pt_fail(err, PT_ENOTFOUND, "model \"%s\" has no label \"" PT_STR_FMT "\"", m->name, name_width(ref->version), ref->version.p);
    pt_auto_buf b = PT_BUF_INIT(200);
    for (const struct pt_version *v = m->versions; v; v = v->next)
        if (pt_version_shown(v))
            pt_buf_printf(&b, "%s\"%s\"", b.len ? ", " : "", v->text);
    return pt_fail(err, PT_ENOTFOUND, "model \"%s\" has no version \"" PT_STR_FMT "\"; it has %s", m->name, name_width(ref->version), ref->version.p,
                   pt_buf_cstr(&b));
}

/* *version NULL: the model has none. */
static int find(const struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_model **model, struct pt_version **version, struct pt_err *err)
{
    *model = pt_repository_model(f->repository, ref->name);
    if (!*model)
        return no_model(f, ref->name, err);
    *version = ref->label ? pt_model_label(*model, ref->version) : pt_model_version(*model, ref->version);
    return *version || !(*model)->versions ? PT_OK : no_version(*model, ref, err);
}

int pt_frontend_find(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_model_view *out, struct pt_err *err)
{
    struct pt_model *m;
    struct pt_version *v;
    int rc = find(f, ref, &m, &v, err);
    if (rc == PT_OK && v)
        view(v, out);
    else if (rc == PT_OK)
        view_broken(m, out);
    return rc;
}

static int not_ready(const struct pt_model_view *v, struct pt_err *err)
{
    return pt_fail(err, PT_EUNAVAILABLE, "model \"%s\" is not ready: %s%s%s", v->name, pt_model_state_text(v->state), v->message[0] ? ": " : "",
                   v->message);
}

/* What asks for a model that sleeps wakes it: the next time it will be there. */
int pt_frontend_find_serving(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_model_view *out, struct pt_err *err)
{
    struct pt_model *m;
    struct pt_version *v;
    int rc = find(f, ref, &m, &v, err);
    if (rc < 0)
        return rc;
    if (v)
        pt_version_wake(v);
    if (v)
        view(v, out);
    else
        view_broken(m, out);
    return out->serving ? PT_OK : not_ready(out, err);
}

size_t pt_frontend_each(struct pt_frontend *f, struct pt_str name, void (*fn)(void *arg, const struct pt_model_view *v), void *arg)
{
    size_t n = 0;
    struct pt_model_view out;
    for (const struct pt_model *m = f->repository->models; m; m = m->next) {
        if (name.len && !pt_str_eq(name, pt_str(m->name)))
            continue;
        if (!m->versions) {
            view_broken(m, &out);
            fn(arg, &out);
            n++;
        }
        for (const struct pt_version *v = m->versions; v; v = v->next)
            if (pt_version_shown(v)) {
                view(v, &out);
                fn(arg, &out);
                n++;
            }
    }
    return n;
}

void pt_frontend_watch(struct pt_frontend *f, struct pt_frontend_watch *w)
{
    w->next = f->watches;
    w->link = &f->watches;
    if (w->next)
        w->next->link = &w->next;
    f->watches = w;
}

void pt_frontend_unwatch(struct pt_frontend_watch *w)
{
    if (!w->link)
        return;
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->link = NULL;
}

void pt_frontend_changed(struct pt_frontend *f)
{
    for (struct pt_frontend_watch *w = f->watches, *next; w; w = next) {
        next = w->next;
        w->changed(w);
    }
}

/* --- an inference ------------------------------------------------------------------------------------------------------------- */

static struct pt_call *of_job(struct pt_job *j)
{
    return (struct pt_call *)(void *)((char *)j - offsetof(struct pt_call, job));
}

static void call_done(struct pt_job *j);

/* Priorities begin at 1; who names none is in the middle. */
static uint32_t priority_of(const struct pt_call *c)
{
    uint32_t levels = (uint32_t)c->version->config.runtime.priority_levels, given = c->request.priority;
    return given == 0 ? (levels + 1) / 2 : given < levels ? given : levels;
}

static int prepare_call(struct pt_job *j)
{
    struct pt_call *c = of_job(j);
    int64_t begin_ns = pt_clock_mono_ns();
    c->rc = c->ops->decode(c, &c->err);
    c->decode_ns = pt_clock_mono_ns() - begin_ns;
    if (c->rc < 0)
        return c->rc;
    j->rows = pt_batch_rows(&c->request);
    j->alone = j->rows == 0 || !c->loaded->info.max_batch || c->request.alone || atomic_load(&c->loaded->ragged) ||
               (c->loaded->info.pads && !pt_padding_fits(&c->request));
    j->priority = priority_of(c);
    j->max_wait_us = c->request.timeout_us;
    return PT_OK;
}

static bool joins(const struct pt_job *a, const struct pt_job *b)
{
    const struct pt_call *c = (const struct pt_call *)(const void *)((const char *)a - offsetof(struct pt_call, job));
    const struct pt_call *d = (const struct pt_call *)(const void *)((const char *)b - offsetof(struct pt_call, job));
    return c->loaded == d->loaded && pt_batch_joins(&c->request, &d->request);
}

/* Runs the model; the outputs are in the slot. */
static int run_model(struct pt_call *c, struct pt_loaded_slot *slot, const struct pt_tensor *inputs)
{
    int64_t begin_ns = pt_clock_mono_ns();
    int rc = PT_OK;
    atomic_fetch_add_explicit(&c->loaded->runs, 1, memory_order_relaxed);
    for (size_t k = 0; rc == PT_OK && k < c->loaded->info.input_count; k++)
        rc = pt_run_set_input(slot->run, k, &inputs[k], &c->err);
    if (rc == PT_OK)
        rc = pt_run_execute(slot->run, &c->err);
    for (size_t k = 0; rc == PT_OK && k < c->loaded->info.output_count; k++)
        slot->outputs[k] = pt_run_output(slot->run, k);
    c->infer_ns = pt_clock_mono_ns() - begin_ns;
    return rc;
}

static void encode(struct pt_call *c, const struct pt_loaded_slot *slot)
{
    int64_t begin_ns = pt_clock_mono_ns();
    if (c->version->monitor)
        pt_monitor_observe(c->version->monitor, &c->request, slot->outputs, begin_ns / 1000000);
    c->rc = c->ops->encode(c, slot->outputs, &c->err);
    c->encode_ns = pt_clock_mono_ns() - begin_ns;
}

static void run_alone(struct pt_call *c, struct pt_loaded_slot *slot)
{
    c->run_rows = c->job.rows > 0 ? c->job.rows : 1;
    c->rc = run_model(c, slot, c->request.inputs);
    if (c->rc == PT_OK)
        encode(c, slot);
}

/* The number of rows that a run of so many has: models may be made for certain ones. */
static int64_t padded(const struct pt_config *c, int64_t rows)
{
    for (size_t i = 0; i < PT_MAX_SIZES && c->batching.sizes[i]; i++)
        if (c->batching.sizes[i] >= rows)
            return c->batching.sizes[i];
    return rows;
}

/* The outputs become the views of one request. */
static int show_part(struct pt_call *c, struct pt_loaded_slot *slot, int64_t first, struct pt_err *err)
{
    for (size_t k = 0; k < c->loaded->info.output_count; k++) {
        int rc = pt_batch_part(&slot->batch, slot->whole[k], k, &c->request, first, &slot->parts[k], err);
        if (rc < 0)
            return rc;
        slot->outputs[k] = &slot->parts[k];
    }
    return PT_OK;
}

static int fill_batch(struct pt_call *c, struct pt_loaded_slot *slot, int64_t rows)
{
    pt_batch_begin(&slot->batch, &c->request);
    for (struct pt_job *j = c->job.next; c->loaded->info.pads && j; j = j->next)
        pt_batch_widen(&slot->batch, &of_job(j)->request);
    int rc = pt_batch_make_room(&slot->batch, rows, &c->err);
    for (struct pt_job *j = &c->job; rc == PT_OK && j; j = j->next)
        pt_batch_add(&slot->batch, &of_job(j)->request);
    if (rc == PT_OK)
        pt_batch_pad(&slot->batch);
    return rc;
}

/* PT_OK: every call has its answer. */
static int run_joined(struct pt_call *c, struct pt_loaded_slot *slot, int64_t rows)
{
    int64_t all = padded(&c->version->config, rows), at = 0;
    int rc = fill_batch(c, slot, all);
    if (rc < 0 || (rc = run_model(c, slot, slot->batch.inputs)) < 0)
        return rc;
    memcpy(slot->whole, slot->outputs, c->loaded->info.output_count * sizeof *slot->whole);
    for (struct pt_job *j = &c->job; j; j = j->next) {
        struct pt_call *d = of_job(j);
        d->infer_ns = c->infer_ns;
        if ((rc = show_part(d, slot, at, &d->err)) < 0) {
            if (rc == PT_EUNSUPPORTED && !atomic_exchange(&c->loaded->ragged, true))
                pt_log(PT_LOG_WARN, "requests are not joined any more", "model", c->loaded->info.name, "error", d->err.msg, NULL);
            return rc;
        }
        if (!atomic_load(&j->stopped))
            encode(d, slot);
        at += j->rows;
    }
    c->run_rows = all;
    return PT_OK;
}

/* What fails together is tried one by one: one request's values are no reason to refuse the others. */
static void run_calls(struct pt_job *first, int slot_index)
{
    struct pt_call *c = of_job(first);
    struct pt_loaded_slot *slot = &c->loaded->slots[slot_index];
    int64_t rows = 0;
    for (struct pt_job *j = first; j; j = j->next)
        rows += j->rows;
    bool joined = !first->alone && c->loaded->info.max_batch && (first->next || padded(&c->version->config, rows) != rows);
    int rc = joined ? run_joined(c, slot, rows) : PT_EAGAIN;
    if (rc == PT_OK)
        return;
    for (struct pt_job *j = first; j; j = j->next)
        if (!atomic_load(&j->stopped))
            run_alone(of_job(j), slot);
}

static void stop_call(struct pt_job *j, int slot)
{
    pt_run_cancel(of_job(j)->loaded->slots[slot].run);
}

const struct pt_job_ops pt_call_job = {prepare_call, joins, run_calls, stop_call, call_done};

static void count(struct pt_stat *s, int64_t ns)
{
    s->count++;
    s->ns += ns > 0 ? (uint64_t)ns : 0;
}

/* Whether it was served, refused or given up: the one place where an inference is counted. */
static void account(struct pt_call *c)
{
    struct pt_frontend *f = c->frontend;
    struct pt_model_stats *s = &c->version->stats;
    int status = c->gone ? 499 : pt_err_http(c->rc);
    const uint8_t *trace_id = c->trace.sampled ? c->trace.trace_id : NULL; /* one that nobody keeps would lead nowhere */
    pt_serving_metrics_request(&c->version->metrics, status, &c->job, c->received_ns, trace_id);
    count(c->rc == PT_OK ? &s->success : &s->fail, pt_clock_mono_ns() - c->received_ns);
    s->last_ms = pt_wall_ms(pt_loop_sched(f->loop));
    if (c->job.ran)
        pt_metric_observe(c->version->metrics.latency_us[c->grpc], (double)(pt_clock_mono_ns() - c->received_ns) / 1e3);
    if (!c->job.ran || c->rc != PT_OK)
        return;
    s->inferences += (uint64_t)(c->job.rows > 0 ? c->job.rows : 1);
    if (c->run_rows > 0) {
        s->executions++;
        pt_metric_observe(c->version->metrics.batch_rows, (double)c->run_rows);
    }
    count(&s->queue, c->job.started_ns - c->job.queued_ns - c->decode_ns); /* reading the inputs is a time of its own, in between */
    count(&s->input, c->decode_ns);
    count(&s->infer, c->infer_ns);
    count(&s->output, c->encode_ns);
}

static void link_call(struct pt_frontend *f, struct pt_call *c)
{
    c->next = f->first;
    c->link = &f->first;
    if (c->next)
        c->next->link = &c->next;
    f->first = c;
}

static void unlink_call(struct pt_call *c)
{
    if (!c->link)
        return;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->link = NULL;
}

static void end(struct pt_call *c)
{
    int stopped = atomic_load(&c->job.stopped);
    if (stopped)
        c->rc = stopped;
    if (stopped == PT_ETIMEDOUT)
        pt_fail(&c->err, PT_ETIMEDOUT, "the request took longer than %lld ms%s", (long long)c->timeout_ms,
                c->job.ran ? "" : ", waiting for its turn");
    else if (stopped == PT_EBUSY)
        pt_fail(&c->err, PT_EBUSY, "the request waited %lld ms for its turn, longer than it may, try again in %d s",
                (long long)((pt_clock_mono_ns() - c->job.queued_ns) / 1000000), c->retry_after_s = pt_queue_retry_after(c->version->queue));
    else if (stopped)
        pt_fail(&c->err, stopped, "the client went away");
    account(c);
    unlink_call(c);
    pt_version_release(c->version);
}

static void call_done(struct pt_job *j)
{
    struct pt_call *c = of_job(j);
    end(c);
    c->ops->done(c);
}

static void end_later(struct pt_call *c)
{
    end(c);
    c->ops->done(c);
}

/* Room, and what the request needs of the loaded model. */
static int admit(struct pt_call *c)
{
    struct pt_version *v = c->version;
    int rc = pt_queue_room(v->queue, &c->retry_after_s, &c->err);
    if (rc == PT_OK && c->unread) {
        c->retry_after_s = 1;
        rc = pt_fail(&c->err, PT_EBUSY, "the queue was full when the request came, try again in 1 s");
    }
    if (rc == PT_OK)
        rc = pt_request_init(&c->request, &v->servable.loaded.info, &c->err);
    c->request.group_key = v->monitor ? v->config.monitoring.group : NULL;
    c->loaded = &v->servable.loaded;
    return rc;
}

/* --- calls that wait for their model ------------------------------------------------------------------------------------------- */

static void unpark(struct pt_call *c)
{
    struct pt_call **at = &c->version->parked;
    while (*at != c)
        at = &(*at)->parked_next;
    *at = c->parked_next;
    c->version->parked_count--;
    c->parked = false;
    pt_timer_stop(pt_loop_sched(c->frontend->loop), &c->job.timer);
}

static void on_parked_late(struct pt_timer *t)
{
    struct pt_call *c = (struct pt_call *)(void *)((char *)t - offsetof(struct pt_call, job.timer));
    unpark(c);
    atomic_store(&c->job.stopped, c->gone ? PT_ECANCELED : PT_ETIMEDOUT);
    end_later(c);
}

static int park(struct pt_call *c, int64_t left_ms)
{
    struct pt_version *v = c->version;
    struct pt_call **at = &v->parked;
    if (v->parked_count >= v->config.runtime.concurrency + v->config.runtime.queue) {
        c->retry_after_s = 1;
        return pt_fail(&c->err, PT_EBUSY, "the queue is full: %d requests wait until model \"%s\" is loaded, try again in 1 s", v->parked_count,
                       v->model->name);
    }
    while (*at)
        at = &(*at)->parked_next;
    *at = c;
    c->parked_next = NULL;
    c->parked = true;
    v->parked_count++;
    link_call(c->frontend, c);
    pt_timer_start(pt_loop_sched(c->frontend->loop), &c->job.timer, left_ms > 0 ? left_ms : 0, on_parked_late);
    pt_version_wake(v);
    return PT_OK;
}

void pt_frontend_wake(struct pt_frontend *f, struct pt_version *v)
{
    (void)f;
    for (struct pt_call *c; (c = v->parked);) {
        struct pt_model_view shown = {.name = v->config.model.name, .state = v->servable.state, .message = v->servable.error.msg};
        unpark(c);
        c->rc = pt_version_serves(v) ? admit(c) : not_ready(&shown, &c->err);
        if (c->rc < 0)
            end_later(c);
        else
            pt_queue_submit(v->queue, &c->job);
    }
}

/* --- beginning ------------------------------------------------------------------------------------------------------------------ */

bool pt_frontend_full(struct pt_frontend *f, const struct pt_model_ref *ref)
{
    struct pt_model *m;
    struct pt_version *v;
    int retry_after_s;
    bool found = find(f, ref, &m, &v, NULL) == PT_OK && v && !v->dormant && !v->waking && pt_version_serves(v);
    return found && pt_queue_room(v->queue, &retry_after_s, NULL) < 0;
}

int pt_frontend_infer(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_call *c)
{
    struct pt_model_view broken;
    struct pt_model *m;
    c->frontend = f;
    c->err.code = PT_OK;
    c->rc = find(f, ref, &m, &c->version, &c->err);
    if (c->rc < 0) /* no model of ours: it counts for none */
        return 1;
    if (!c->version) {
        view_broken(m, &broken);
        c->rc = not_ready(&broken, &c->err);
        return 1;
    }
    struct pt_version *v = c->version;
    int64_t now_ms = pt_now_ms(pt_loop_sched(f->loop));
    if (c->deadline_ms == 0)
        c->deadline_ms = now_ms + v->config.serving.timeout_ms;
    c->timeout_ms = c->deadline_ms - now_ms;
    c->job.deadline_ms = c->deadline_ms;
    pt_version_hold(v);
    if (v->dormant || v->waking) {
        if ((c->rc = park(c, c->timeout_ms)) == PT_OK)
            return 0;
    } else if (!pt_version_serves(v)) {
        view(v, &broken);
        c->rc = not_ready(&broken, &c->err);
    } else {
        c->rc = admit(c);
    }
    if (c->rc < 0 || (c->body_bytes <= RUN_HERE_BODY && pt_queue_run_here(v->queue, &c->job))) {
        end(c);
        return 1;
    }
    link_call(f, c);
    pt_queue_submit(v->queue, &c->job);
    return 0;
}

void pt_frontend_cancel(struct pt_frontend *f, struct pt_call *c)
{
    c->gone = true;
    if (c->parked)
        pt_timer_start(pt_loop_sched(f->loop), &c->job.timer, 0, on_parked_late);
    else
        pt_job_cancel(&c->job);
}

void pt_call_finish(struct pt_call *c)
{
    pt_request_finish(&c->request);
}

/* --- control -------------------------------------------------------------------------------------------------------------------- */

int pt_frontend_load(struct pt_frontend *f, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    return pt_repository_load(f->repository, name, c, err);
}

int pt_frontend_unload(struct pt_frontend *f, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    return pt_repository_unload(f->repository, name, c, err);
}

int pt_frontend_reload(struct pt_frontend *f, struct pt_model_list *list, struct pt_control *c, struct pt_err *err)
{
    return pt_repository_reload(f->repository, list, c, err);
}

int pt_frontend_finish(struct pt_frontend *f)
{
    int count = 0;
    for (struct pt_call *c; (c = f->first);) {
        count += !c->gone; /* nobody misses the others */
        c->rc = pt_fail(&c->err, PT_EUNAVAILABLE, "the server is stopping");
        pt_timer_stop(pt_loop_sched(f->loop), &c->job.timer);
        unlink_call(c);
        c->ops->done(c);
    }
    return count;
}
