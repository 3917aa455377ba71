/* SPDX-License-Identifier: Apache-2.0
 *
 * rest.c: one table row per route. An inference request is a job: a worker decodes the body, runs the model and encodes the answer, so the loop
 * thread only moves bytes. When the client goes away its job is cancelled, in the queue or in the run. A refusal (429) costs neither a
 * look into the body nor an allocation.
 */
#include "sidecar/rest.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUN_HERE_BODY = 16 << 10, MAX_REPLY = 1 << 30 };

#define JSON "application/json"

/* What {model} and {version} of a route matched; empty when the route has none. */
struct params {
    char model[256], version[80];
};

struct infer {
    struct pt_job job;
    struct pt_rest *rest;
    struct infer *next, **link;
    struct pt_http_request *req; /* NULL once the client is gone */
    struct pt_loaded *loaded;
    struct pt_str body;          /* the request's own memory, or own_body */
    struct pt_buf own_body, reply;
    int64_t received_ns;
    int rc;
    struct pt_err err;
};

/* --- an inference ------------------------------------------------------------------------------------------------------------- */

static int infer(struct infer *i, struct pt_loaded_slot *slot)
{
    int rc = pt_oip_decode(&slot->request, i->body, &i->err);
    for (size_t k = 0; rc == PT_OK && k < i->loaded->oip.input_count; k++)
        rc = pt_run_set_input(slot->run, k, &slot->request.inputs[k], &i->err);
    if (rc < 0 || atomic_load(&i->job.stopped))
        return rc;
    rc = pt_run_execute(slot->run, &i->err);
    if (rc < 0)
        return rc;
    for (size_t k = 0; k < i->loaded->oip.output_count; k++)
        slot->outputs[k] = pt_run_output(slot->run, k);
    return pt_oip_encode(&slot->request, slot->outputs, &i->reply, &i->err);
}

static struct infer *of_job(struct pt_job *j)
{
    return (struct infer *)((char *)j - offsetof(struct infer, job));
}

static void run_infer(struct pt_job *j, int slot)
{
    struct infer *i = of_job(j);
    i->rc = infer(i, &i->loaded->slots[slot]);
    pt_oip_request_trim(&i->loaded->slots[slot].request);
}

static void stop_infer(struct pt_job *j, int slot)
{
    pt_run_cancel(of_job(j)->loaded->slots[slot].run);
}

/* Answers on the loop thread; the request object is gone afterwards. */
static void answer(struct infer *i)
{
    struct pt_rest *r = i->rest;
    int stopped = atomic_load(&i->job.stopped), rc = stopped ? stopped : i->rc;
    if (stopped == PT_ETIMEDOUT)
        pt_fail(&i->err, rc, "the request took longer than %lld ms%s", (long long)r->config->serving.timeout_ms, i->job.ran ? "" : ", waiting for its turn");
    int status = i->req ? pt_err_http(rc) : 499;
    if (i->req && rc == PT_OK)
        pt_http_reply_buf(i->req, 200, JSON, NULL, 0, &i->reply);
    else if (i->req)
        pt_http_reply_error(i->req, &i->err);
    pt_serving_metrics_request(r->metrics, status, &i->job, i->received_ns);
}

static void free_infer(struct infer *i)
{
    *i->link = i->next;
    if (i->next)
        i->next->link = i->link;
    pt_buf_finish(&i->own_body);
    pt_buf_finish(&i->reply);
    pt_free(i);
}

static void infer_done(struct pt_job *j)
{
    struct infer *i = of_job(j);
    if (i->req)
        pt_http_on_close(i->req, NULL, NULL);
    answer(i);
    free_infer(i);
}

static void client_gone(void *arg)
{
    struct infer *i = arg;
    i->req = NULL;
    pt_scheduler_cancel(i->rest->scheduler, &i->job);
}

static const struct pt_job_ops infer_ops = {run_infer, stop_infer, infer_done};

static void refuse(struct pt_rest *r, struct pt_http_request *req, const struct pt_err *err, int64_t received_ns)
{
    pt_serving_metrics_request(r->metrics, pt_err_http(err->code), NULL, received_ns);
    pt_http_reply_error(req, err);
}

/* 429 with the time after which it makes sense to come back. */
static void refuse_busy(struct pt_rest *r, struct pt_http_request *req, const struct pt_err *err, int retry_after_s)
{
    char seconds[16], body[sizeof err->msg + 16];
    snprintf(seconds, sizeof seconds, "%d", retry_after_s);
    snprintf(body, sizeof body, "{\"error\":\"%s\"}", err->msg); /* our own words: nothing to escape */
    struct pt_http_header h = {PT_STR("Retry-After"), pt_str(seconds)};
    pt_serving_metrics_request(r->metrics, 429, NULL, 0);
    pt_http_reply(req, 429, JSON, &h, 1, pt_str(body));
}

/* Hands the body to a worker: what stays with the request goes with its client. */
static void submit(struct infer *i)
{
    pt_http_take_body(i->req, &i->own_body);
    i->body = (struct pt_str){i->own_body.data, i->own_body.len};
    pt_http_on_close(i->req, client_gone, i);
    pt_scheduler_submit(i->rest->scheduler, &i->job);
}

static struct infer *new_infer(struct pt_rest *r, struct pt_http_request *req, struct pt_loaded *loaded, int64_t received_ns)
{
    struct infer *i = pt_malloc(sizeof *i);
    if (!i)
        return NULL;
    *i = (struct infer){.rest = r, .req = req, .loaded = loaded, .body = pt_http_body(req), .reply = PT_BUF_INIT(MAX_REPLY), .received_ns = received_ns};
    i->job.ops = &infer_ops;
    i->job.deadline_ms = pt_now_ms(pt_loop_sched(r->loop)) + r->config->serving.timeout_ms;
    i->next = r->first;
    i->link = &r->first;
    if (i->next)
        i->next->link = &i->next;
    r->first = i;
    return i;
}

static void start_infer(struct pt_rest *r, struct pt_http_request *req, struct pt_loaded *loaded, int64_t received_ns)
{
    struct pt_err err;
    int retry_after_s;
    if (pt_scheduler_room(r->scheduler, &retry_after_s, &err) < 0) {
        refuse_busy(r, req, &err, retry_after_s);
        return;
    }
    struct infer *i = new_infer(r, req, loaded, received_ns);
    if (!i) {
        pt_fail(&err, PT_ENOMEM, "out of memory");
        refuse(r, req, &err, received_ns);
    } else if (i->body.len <= RUN_HERE_BODY && pt_scheduler_run_here(r->scheduler, &i->job)) {
        answer(i);
        free_infer(i);
    } else {
        submit(i);
    }
}

static void fail_not_ready(struct pt_rest *r, struct pt_err *err)
{
    const struct pt_servable *s = r->servable;
    pt_fail(err, PT_EUNAVAILABLE, "model \"%s\" is not ready: %s%s%s", r->config->model.name, pt_model_state_text(s->state),
                   s->error.msg[0] ? ": " : "", s->error.msg);
}

static void post_infer(struct pt_rest *r, struct pt_http_request *req, const struct params *p)
{
    struct pt_err err;
    struct pt_loaded *loaded = pt_servable_serving(r->servable);
    struct pt_str encoding = pt_http_header(req, "Content-Encoding");
    int64_t received_ns = pt_clock_mono_ns();
    (void)p;
    if (!loaded)
        fail_not_ready(r, &err);
    else if (pt_http_header(req, "Inference-Header-Content-Length").p)
        pt_fail(&err, PT_EINVAL, "the binary tensor extension (header Inference-Header-Content-Length) is not supported yet: send data as JSON");
    else if (encoding.p && !pt_str_eq_nocase(encoding, PT_STR("identity")))
        pt_fail(&err, PT_EINVAL, "Content-Encoding \"" PT_STR_FMT "\" is not supported yet", (int)(encoding.len < 64 ? encoding.len : 64), encoding.p);
    else {
        start_infer(r, req, loaded, received_ns);
        return;
    }
    refuse(r, req, &err, received_ns);
}

/* --- everything else -------------------------------------------------------------------------------------------------------------- */

static bool is_ready(const struct pt_rest *r)
{
    return r->servable->state == PT_MODEL_READY;
}

static void get_server(struct pt_rest *r, struct pt_http_request *req, const struct params *p)
{
    (void)r;
    (void)p;
    pt_http_reply(req, 200, JSON, NULL, 0, PT_STR("{\"name\":\"pintle\",\"version\":\"" PT_VERSION "\",\"extensions\":[]}"));
}

static void get_live(struct pt_rest *r, struct pt_http_request *req, const struct params *p)
{
    (void)r;
    (void)p;
    pt_http_reply(req, 200, JSON, NULL, 0, PT_STR("{\"live\":true}"));
}

static void get_ready(struct pt_rest *r, struct pt_http_request *req, const struct params *p)
{
    (void)p;
    pt_http_reply(req, is_ready(r) ? 200 : 503, JSON, NULL, 0, is_ready(r) ? PT_STR("{\"ready\":true}") : PT_STR("{\"ready\":false}"));
}

static void reply_buf(struct pt_http_request *req, int status, struct pt_buf *b)
{
    struct pt_err err;
    if (pt_buf_check(b, "response", &err) < 0)
        pt_http_reply_error(req, &err);
    else
        pt_http_reply_buf(req, status, JSON, NULL, 0, b);
}

static void get_model_ready(struct pt_rest *r, struct pt_http_request *req, const struct params *p)
{
    pt_auto_buf b = PT_BUF_INIT(4096);
    (void)p;
    pt_buf_puts(&b, "{\"name\":");
    pt_buf_json_string(&b, pt_str(r->config->model.name));
    pt_buf_printf(&b, ",\"ready\":%s}", is_ready(r) ? "true" : "false");
    reply_buf(req, is_ready(r) ? 200 : 503, &b);
}

static void get_model(struct pt_rest *r, struct pt_http_request *req, const struct params *p)
{
    pt_auto_buf b = PT_BUF_INIT(MAX_REPLY);
    struct pt_err err;
    struct pt_loaded *loaded = pt_servable_serving(r->servable);
    (void)p;
    if (!loaded) {
        fail_not_ready(r, &err);
        pt_http_reply_error(req, &err);
        return;
    }
    pt_oip_write_metadata(&loaded->oip, &b);
    reply_buf(req, 200, &b);
}

/* --- routing ------------------------------------------------------------------------------------------------------------------------- */

static const struct route {
    const char *method, *path;
    void (*handle)(struct pt_rest *r, struct pt_http_request *req, const struct params *p);
} routes[] = {
    {"POST", "/v2/models/{model}/infer", post_infer},
    {"POST", "/v2/models/{model}/versions/{version}/infer", post_infer},
    {"GET", "/v2/health/ready", get_ready},
    {"GET", "/v2/health/live", get_live},
    {"GET", "/v2/models/{model}", get_model},
    {"GET", "/v2/models/{model}/ready", get_model_ready},
    {"GET", "/v2/models/{model}/versions/{version}", get_model},
    {"GET", "/v2/models/{model}/versions/{version}/ready", get_model_ready},
    {"GET", "/v2", get_server},
};

/* %41 -> A. False when it does not fit or is malformed. */
static bool decode_segment(struct pt_str s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.len || !isxdigit((unsigned char)s.p[i + 1]) || !isxdigit((unsigned char)s.p[i + 2]))
                return false;
            char hex[3] = {s.p[i + 1], s.p[i + 2], 0};
            c = (char)strtol(hex, NULL, 16);
            i += 2;
        }
        if (n + 1 >= size || c == 0)
            return false;
        out[n++] = c;
    }
    out[n] = 0;
    return n > 0;
}

static bool match(const char *pattern, struct pt_str path, struct params *p)
{
    struct pt_str want = pt_str(pattern), want_part, part;
    p->model[0] = p->version[0] = 0;
    if (path.len > 1 && path.p[path.len - 1] == '/')
        path.len--;
    for (;;) {
        bool more = pt_str_split(&want, '/', &want_part);
        if (pt_str_split(&path, '/', &part) != more)
            return false;
        if (!more)
            return true;
        if (pt_str_eq(want_part, PT_STR("{model}"))) {
            if (!decode_segment(part, p->model, sizeof p->model))
                return false;
        } else if (pt_str_eq(want_part, PT_STR("{version}"))) {
            if (!decode_segment(part, p->version, sizeof p->version))
                return false;
        } else if (!pt_str_eq(want_part, part))
            return false;
    }
}

static int check_model(const struct pt_rest *r, const struct params *p, struct pt_err *err)
{
    if (p->model[0] && strcmp(p->model, r->config->model.name) != 0)
        return pt_fail(err, PT_ENOTFOUND, "no model \"%s\" here; this server has \"%s\"", p->model, r->config->model.name);
    if (p->version[0] && strcmp(p->version, r->config->model.version) != 0)
        return pt_fail(err, PT_ENOTFOUND, "model \"%s\" has no version \"%s\"; it has \"%s\"", p->model, p->version, r->config->model.version);
    return PT_OK;
}

static void not_allowed(struct pt_http_request *req, const char *allow, struct pt_str path)
{
    pt_auto_buf b = PT_BUF_INIT(8192), text = PT_BUF_INIT(4096);
    struct pt_http_header h = {PT_STR("Allow"), pt_str(allow)};
    pt_buf_printf(&text, PT_STR_FMT " takes %s, not " PT_STR_FMT, (int)(path.len < 512 ? path.len : 512), path.p, allow, PT_STR_ARG(pt_http_method(req)));
    pt_buf_puts(&b, "{\"error\":");
    pt_buf_json_string(&b, (struct pt_str){text.data, text.len});
    pt_buf_putc(&b, '}');
    pt_http_reply(req, 405, JSON, &h, 1, (struct pt_str){b.data, b.len});
}

void pt_rest_handle(void *rest, struct pt_http_request *req)
{
    struct pt_rest *r = rest;
    struct pt_str path = pt_http_path(req), method = pt_http_method(req);
    struct params p;
    struct pt_err err;
    const char *allow = NULL;
    if (pt_str_eq(method, PT_STR("HEAD")))
        method = PT_STR("GET"); /* the server leaves the body out */
    for (const struct route *route = routes; route < routes + sizeof routes / sizeof routes[0]; route++) {
        if (!match(route->path, path, &p))
            continue;
        if (!pt_str_eq(method, pt_str(route->method))) {
            allow = route->method;
            continue;
        }
        if (check_model(r, &p, &err) < 0)
            pt_http_reply_error(req, &err);
        else
            route->handle(r, req, &p);
        return;
    }
    if (allow) {
        not_allowed(req, allow, path);
        return;
    }
    pt_fail(&err, PT_ENOTFOUND, "no such path: " PT_STR_FMT, (int)(path.len < 256 ? path.len : 256), path.p);
    pt_http_reply_error(req, &err);
}

int pt_rest_finish(struct pt_rest *r)
{
    int count = 0;
    for (; r->first; count++)
        free_infer(r->first);
    return count;
}
