/* SPDX-License-Identifier: Apache-2.0
 *
 * frontend.c: an inference is a job: a worker decodes the body, runs the model and encodes the answer, so that the loop thread only moves
 * bytes; what is cheaper than waking a worker runs on the loop thread. A refusal (429) costs neither a look into the body nor an allocation.
 */
#include "sidecar/frontend.h"

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

static int run(struct pt_call *c, struct pt_loaded_slot *slot)
{
    struct pt_request *q = &c->request;
    int rc = c->ops->decode(c, &c->err);
    for (size_t k = 0; rc == PT_OK && k < c->loaded->info.input_count; k++)
        rc = pt_run_set_input(slot->run, k, &q->inputs[k], &c->err);
    int64_t decoded_ns = pt_clock_mono_ns();
    c->decode_ns = decoded_ns - c->job.started_ns;
    if (rc < 0 || atomic_load(&c->job.stopped))
        return rc;
    rc = pt_run_execute(slot->run, &c->err);
    int64_t ran_ns = pt_clock_mono_ns();
    c->infer_ns = ran_ns - decoded_ns;
    if (rc < 0)
        return rc;
    for (size_t k = 0; k < c->loaded->info.output_count; k++)
        slot->outputs[k] = pt_run_output(slot->run, k);
    rc = c->ops->encode(c, slot->outputs, &c->err);
    c->encode_ns = pt_clock_mono_ns() - ran_ns;
    return rc;
}

static void run_call(struct pt_job *j, int slot)
{
    struct pt_call *c = of_job(j);
    c->rc = run(c, &c->loaded->slots[slot]);
}

static void stop_call(struct pt_job *j, int slot)
{
    pt_run_cancel(of_job(j)->loaded->slots[slot].run);
}

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
    s->inferences++;
    s->executions++;
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

static const struct pt_job_ops call_job = {run_call, stop_call, call_done};

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
        rc = pt_scheduler_room(f->scheduler, &c->retry_after_s, &c->err);
    if (rc == PT_OK)
        rc = pt_request_init(&c->request, v.info, &c->err);
    if (rc < 0)
        return refuse(c, rc);
    c->loaded = pt_servable_serving(f->servable);
    c->job.ops = &call_job;
    int64_t now_ms = pt_now_ms(pt_loop_sched(f->loop));
    if (c->deadline_ms == 0)
        c->deadline_ms = now_ms + f->config->serving.timeout_ms;
    c->timeout_ms = c->deadline_ms - now_ms;
    c->job.deadline_ms = c->deadline_ms;
    if (c->body_bytes <= RUN_HERE_BODY && pt_scheduler_run_here(f->scheduler, &c->job)) {
        end(c);
        return 1;
    }
    c->next = f->first;
    c->link = &f->first;
    if (c->next)
        c->next->link = &c->next;
    f->first = c;
    pt_scheduler_submit(f->scheduler, &c->job);
    return 0;
}

void pt_frontend_cancel(struct pt_frontend *f, struct pt_call *c)
{
    c->gone = true;
    pt_scheduler_cancel(f->scheduler, &c->job);
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
