/* SPDX-License-Identifier: Apache-2.0
 *
 * frontend.c: an inference is a job: a worker decodes the body, runs the model and encodes the answer, so that the loop thread only moves
 * bytes; what is cheaper than waking a worker runs on the loop thread. A refusal (429) costs neither a look into the body nor an allocation.
 */
#include "sidecar/frontend.h"

#include "base/log.h"
#include "base/mem.h"
#include "sidecar/servable.h"

enum { RUN_HERE_BODY = 16 << 10 };

/* --- models ------------------------------------------------------------------------------------------------------------------ */

bool pt_frontend_ready(const struct pt_frontend *f)
{
    return f->servable->state == PT_MODEL_READY;
}

static void view(const struct pt_frontend *f, struct pt_model_view *v)
{
    struct pt_servable *s = f->servable;
    struct pt_loaded *loaded = pt_servable_serving(s);
    *v = (struct pt_model_view){.name = f->config->model.name,
                                .version = f->config->model.version,
                                .state = s->state,
                                .message = s->error.msg,
                                .serving = loaded != NULL,
                                .info = loaded ? &loaded->info : NULL,
                                .stats = &f->stats};
}

static int name_width(struct pt_str s)
{
    return (int)(s.len < 256 ? s.len : 256);
}

int pt_frontend_find(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_model_view *out, struct pt_err *err)
{
    const char *name = f->config->model.name, *version = f->config->model.version;
    if (!pt_str_eq(ref->name, pt_str(name)))
        return pt_fail(err, PT_ENOTFOUND, "no model \"" PT_STR_FMT "\" here; this server has \"%s\"", name_width(ref->name), ref->name.p, name);
    if (ref->label)
        return pt_fail(err, PT_ENOTFOUND, "model \"%s\" has no label \"" PT_STR_FMT "\"", name, name_width(ref->version), ref->version.p);
    if (ref->version.len && !pt_str_eq(ref->version, pt_str(version)))
        return pt_fail(err, PT_ENOTFOUND, "model \"%s\" has no version \"" PT_STR_FMT "\"; it has \"%s\"", name, name_width(ref->version),
                       ref->version.p, version);
    view(f, out);
    return PT_OK;
}

int pt_frontend_find_serving(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_model_view *out, struct pt_err *err)
{
    int rc = pt_frontend_find(f, ref, out, err);
    if (rc < 0 || out->serving)
        return rc;
    return pt_fail(err, PT_EUNAVAILABLE, "model \"%s\" is not ready: %s%s%s", out->name, pt_model_state_text(out->state), out->message[0] ? ": " : "",
                   out->message);
}

size_t pt_frontend_each(struct pt_frontend *f, struct pt_str name, void (*fn)(void *arg, const struct pt_model_view *v), void *arg)
{
    if (name.len && !pt_str_eq(name, pt_str(f->config->model.name)))
        return 0;
    struct pt_model_view v;
    view(f, &v);
    fn(arg, &v);
    return 1;
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
    uint32_t levels = (uint32_t)c->frontend->config->runtime.priority_levels, given = c->request.priority;
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
    j->alone = j->rows == 0 || c->request.alone || atomic_load(&c->loaded->ragged);
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

/* The outputs that were asked for become the views of one request. False: one has other rows than the inputs. */
static bool show_part(struct pt_call *c, struct pt_loaded_slot *slot, int64_t first)
{
    for (size_t k = 0; k < c->loaded->info.output_count; k++) {
        if (!pt_batch_part(&slot->batch, slot->whole[k], first, c->job.rows, &slot->parts[k]))
            return false;
        slot->outputs[k] = &slot->parts[k];
    }
    return true;
}

/* PT_OK: every call has its answer. */
static int run_joined(struct pt_call *c, struct pt_loaded_slot *slot, int64_t rows)
{
    int64_t all = padded(c->frontend->config, rows), at = 0;
    int rc = pt_batch_begin(&slot->batch, &c->request, all, &c->err);
    if (rc < 0)
        return rc;
    for (struct pt_job *j = &c->job; j; j = j->next)
        pt_batch_add(&slot->batch, &of_job(j)->request);
    pt_batch_pad(&slot->batch);
    if ((rc = run_model(c, slot, slot->batch.inputs)) < 0)
        return rc;
    memcpy(slot->whole, slot->outputs, c->loaded->info.output_count * sizeof *slot->whole);
    for (struct pt_job *j = &c->job; j; j = j->next) {
        struct pt_call *d = of_job(j);
        d->infer_ns = c->infer_ns;
        if (!show_part(d, slot, at)) {
            if (!atomic_exchange(&c->loaded->ragged, true))
                pt_log(PT_LOG_WARN, "requests are not joined any more: an output has other rows than the inputs", "model", c->loaded->info.name,
                       NULL);
            return PT_EUNSUPPORTED;
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
    bool joined = !first->alone && c->loaded->info.max_batch && (first->next || padded(c->frontend->config, rows) != rows);
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
    struct pt_model_stats *s = &f->stats;
    int status = c->gone ? 499 : pt_err_http(c->rc);
    pt_serving_metrics_request(f->metrics, status, &c->job, c->received_ns);
    count(c->rc == PT_OK ? &s->success : &s->fail, pt_clock_mono_ns() - c->received_ns);
    s->last_ms = pt_wall_ms(pt_loop_sched(f->loop));
    if (!c->job.ran || c->rc != PT_OK)
        return;
    s->inferences += (uint64_t)(c->job.rows > 0 ? c->job.rows : 1);
    s->executions += c->run_rows > 0;
    count(&s->queue, c->job.started_ns - c->job.queued_ns);
    count(&s->input, c->decode_ns);
    count(&s->infer, c->infer_ns);
    count(&s->output, c->encode_ns);
}

static void end(struct pt_call *c)
{
    int stopped = atomic_load(&c->job.stopped);
    if (stopped)
        c->rc = stopped;
    if (stopped == PT_ETIMEDOUT)
        pt_fail(&c->err, PT_ETIMEDOUT, "the request took longer than %lld ms%s", (long long)c->timeout_ms,
                c->job.ran ? "" : ", waiting for its turn");
    else if (stopped)
        pt_fail(&c->err, stopped, "the client went away");
    account(c);
    if (c->link) {
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
        c->link = NULL;
    }
}

static void call_done(struct pt_job *j)
{
    struct pt_call *c = of_job(j);
    end(c);
    c->ops->done(c);
}

static int refuse(struct pt_call *c, int rc)
{
    c->rc = rc;
    account(c);
    return 1;
}

int pt_frontend_infer(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_call *c)
{
    struct pt_model_view v;
    c->frontend = f;
    c->err.code = PT_OK;
    int rc = pt_frontend_find_serving(f, ref, &v, &c->err);
    if (rc == PT_ENOTFOUND) { /* no model of ours: it counts for none */
        c->rc = rc;
        return 1;
    }
    if (rc == PT_OK)
        rc = pt_queue_room(f->queue, &c->retry_after_s, &c->err);
    if (rc == PT_OK)
        rc = pt_request_init(&c->request, v.info, &c->err);
    if (rc < 0)
        return refuse(c, rc);
    c->loaded = pt_servable_serving(f->servable);
    int64_t now_ms = pt_now_ms(pt_loop_sched(f->loop));
    if (c->deadline_ms == 0)
        c->deadline_ms = now_ms + f->config->serving.timeout_ms;
    c->timeout_ms = c->deadline_ms - now_ms;
    c->job.deadline_ms = c->deadline_ms;
    if (c->body_bytes <= RUN_HERE_BODY && pt_queue_run_here(f->queue, &c->job)) {
        end(c);
        return 1;
    }
    c->next = f->first;
    c->link = &f->first;
    if (c->next)
        c->next->link = &c->next;
    f->first = c;
    pt_queue_submit(f->queue, &c->job);
    return 0;
}

void pt_frontend_cancel(struct pt_frontend *f, struct pt_call *c)
{
    (void)f;
    c->gone = true;
    pt_job_cancel(&c->job);
}

void pt_call_finish(struct pt_call *c)
{
    pt_request_finish(&c->request);
}

/* --- control -------------------------------------------------------------------------------------------------------------------- */

static int not_controlled(const char *verb, struct pt_str name, struct pt_err *err)
{
    return pt_fail(err, PT_EUNSUPPORTED, "%s model \"" PT_STR_FMT "\": models are not loaded and unloaded by clients here", verb, name_width(name),
                   name.p);
}

int pt_frontend_load(struct pt_frontend *f, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    (void)f;
    (void)c;
    return not_controlled("load", name, err);
}

int pt_frontend_unload(struct pt_frontend *f, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    (void)f;
    (void)c;
    return not_controlled("unload", name, err);
}

int pt_frontend_finish(struct pt_frontend *f)
{
    int count = 0;
    for (struct pt_call *c; (c = f->first); count++) {
        c->rc = pt_fail(&c->err, PT_EUNAVAILABLE, "the server is stopping");
        f->first = c->next;
        if (c->next)
            c->next->link = &f->first;
        c->link = NULL;
        c->ops->done(c);
    }
    return count;
}
