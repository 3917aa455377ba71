/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_rest.c: POST .../feedback, GET .../monitoring and GET .../monitoring/profile of a model or a version. Reports and profiles are made on a
 * thread of the pool: the request waits, nothing else does.
 */
#include "sidecar/monitor_rest.h"

#include "base/mem.h"
#include "base/sched.h"
#include "sidecar/rest.h"

enum { MAX_REPORT = 16 << 20 };

static int64_t now_ms(void)
{
    return pt_clock_mono_ns() / 1000000;
}

/* --- in the background ------------------------------------------------------------------------------------------------------------------------ */

struct job {
    struct pt_work work; /* first member */
    struct pt_monitor *monitor;
    struct pt_http_request *req; /* NULL: nobody waits, or the client is gone */
    int (*write)(struct pt_monitor *m, int64_t now_ms, struct pt_buf *out, struct pt_err *err);
    struct pt_buf out;
    struct pt_err err;
    int rc;
};

static void run(struct pt_work *w)
{
    struct job *j = (struct job *)w;
    j->rc = j->write(j->monitor, now_ms(), &j->out, &j->err);
}

static void done(struct pt_work *w)
{
    struct job *j = (struct job *)w;
    if (j->req) {
        pt_http_on_close(j->req, NULL, NULL);
        if (j->rc < 0)
            pt_http_reply_error(j->req, &j->err);
        else
            pt_rest_reply(j->req, 200, &j->out);
    }
    pt_buf_finish(&j->out);
    pt_monitor_unref(j->monitor);
    pt_free(j);
}

static void client_gone(void *arg)
{
    ((struct job *)arg)->req = NULL;
}

static int begin(struct pt_loop *loop, struct pt_monitor *m, struct pt_http_request *req,
                 int (*write)(struct pt_monitor *m, int64_t now_ms, struct pt_buf *out, struct pt_err *err), struct pt_err *err)
{
    struct job *j = pt_calloc(1, sizeof *j);
    if (!j)
        return pt_fail(err, PT_ENOMEM, "monitoring: out of memory");
    *j = (struct job){.work = {run, done}, .monitor = pt_monitor_ref(m), .req = req, .write = write, .out = PT_BUF_INIT(MAX_REPORT)};
    int rc = pt_loop_work(loop, &j->work, err);
    if (rc < 0) {
        pt_monitor_unref(m);
        pt_free(j);
    } else if (req) {
        pt_http_on_close(req, client_gone, j);
    }
    return rc;
}

void pt_monitor_refresh(struct pt_monitor *m, struct pt_loop *loop)
{
    pt_monitor_collect(m);
    if (pt_monitor_begin_report(m, now_ms()) && begin(loop, m, NULL, pt_monitor_report, NULL) < 0)
        pt_monitor_give_up_report(m);
}

/* --- routes --------------------------------------------------------------------------------------------------------------------------------------
 */

static struct pt_monitor *find(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    struct pt_model_ref ref = pt_rest_ref(p);
    struct pt_model_view v;
    struct pt_err err;
    if (pt_frontend_find(r->frontend, &ref, &v, &err) == PT_OK) {
        if (v.monitor)
            return v.monitor;
        pt_fail(&err, PT_EUNSUPPORTED, "model \"%s\" is not monitored: set monitoring.enabled", v.name);
    }
    pt_http_reply_error(req, &err);
    return NULL;
}

static void get_written(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p,
                        int (*write)(struct pt_monitor *m, int64_t now_ms, struct pt_buf *out, struct pt_err *err))
{
    struct pt_monitor *m = find(r, req, p);
    struct pt_err err;
    if (m && begin(r->frontend->loop, m, req, write, &err) < 0)
        pt_http_reply_error(req, &err);
}

static void get_monitoring(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    get_written(r, req, p, pt_monitor_report);
}

static void get_profile(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    get_written(r, req, p, pt_monitor_write_profile);
}

static void post_feedback(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    pt_auto_buf body = PT_BUF_INIT(0), b = PT_BUF_INIT(1024);
    struct pt_feedback_result result = {0};
    struct pt_err err;
    struct pt_monitor *m = find(r, req, p);
    if (!m)
        return;
    int rc = pt_rest_plain_body(req, &body, &err);
    if (rc == PT_OK)
        rc = pt_monitor_feedback(m, (struct pt_str){body.data, body.len}, now_ms(), &result, &err);
    if (rc == PT_OK && !result.accepted && result.unknown + result.expired > 0)
        rc = pt_fail(&err, PT_ENOTFOUND, "no answer for a label: %zu ids unknown or no longer kept, %zu older than monitoring.labelTtlMs",
                     result.unknown, result.expired);
    if (rc < 0) {
        pt_http_reply_error(req, &err);
        return;
    }
    pt_buf_printf(&b, "{\"accepted\":%zu,\"unknown\":%zu,\"expired\":%zu,\"repeated\":%zu}", result.accepted, result.unknown, result.expired,
                  result.repeated);
    pt_rest_reply(req, 200, &b);
}

#define OF_MODEL(method, what, handle)                                                                                                               \
    {method, "/v2/models/{model}/" what, handle},                                                                                                    \
    {                                                                                                                                                \
        method, "/v2/models/{model}/versions/{version}/" what, handle                                                                                \
    }
const struct pt_rest_route pt_monitor_routes[] = {
    OF_MODEL("POST", "feedback", post_feedback),
    OF_MODEL("GET", "monitoring", get_monitoring),
    OF_MODEL("GET", "monitoring/profile", get_profile),
};
const size_t pt_monitor_route_count = sizeof pt_monitor_routes / sizeof pt_monitor_routes[0];
