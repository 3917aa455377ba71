/* SPDX-License-Identifier: Apache-2.0
 *
 * reporter.c: see reporter.h. The members of a report are named by PT_REPORT_* of base/contract.h.
 */
#include "sidecar/reporter.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "net/http_client.h"
#include "sidecar/monitor_rest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TIMEOUT_MS = 5000, BACKOFF_MS = 500, MOST_BACKOFF_MS = 60000, MIN_INTERVAL_MS = 10, MAX_INTERVAL_MS = 3600 * 1000, MAX_TOKEN = 16384, MAX_REPLY = 4096 };

struct pt_reporter {
    struct pt_loop *loop;
    const struct pt_config *config;
    const struct pt_servable *servable;
    struct pt_scheduler *scheduler;
    struct pt_serving_metrics *metrics;
    struct pt_monitor *monitor;
    struct pt_tls *tls;
    struct pt_http_client *client;
    struct pt_http_call *call;
    struct pt_timer timer;
    struct pt_rand jitter;
    bool due;          /* the state changed since the last report was written */
    bool failing;      /* said in the log already */
    unsigned failures; /* in a row */
    int64_t interval_ms, started_ms;
    uint64_t sequence;
};

/* --- the report --------------------------------------------------------------------------------------------------------------- */

static void put_text(struct pt_buf *b, const char *key, const char *value)
{
    pt_buf_printf(b, ",\"%s\":", key);
    pt_buf_json_string(b, pt_str(value));
}

static void put_number(struct pt_buf *b, const char *key, int64_t value)
{
    pt_buf_printf(b, ",\"%s\":%lld", key, (long long)value);
}

static const char *environment(const char *name)
{
    const char *v = getenv(name);
    return v ? v : "";
}

static void put_latency(struct pt_buf *b, const struct pt_serving_metrics *m)
{
    size_t n;
    const double *bounds = pt_serving_latency_bounds(&n);
    uint64_t counts[64] = {0};
    double sum = 0;
    pt_metric_histogram(m->duration, counts, &sum);
    pt_buf_puts(b, ",\"" PT_REPORT_LATENCY "\":{\"boundsSeconds\":[");
    pt_json_put_numbers(b, PT_JE_F64, bounds, n);
    pt_buf_puts(b, "],\"counts\":[");
    pt_json_put_numbers(b, PT_JE_U64, counts, n + 1);
    pt_buf_puts(b, "],\"sumSeconds\":");
    pt_json_put_double(b, sum);
    pt_buf_putc(b, '}');
}

/* As of the last time that figures were made; news are made in the background, for the next report. */
static void put_monitoring(struct pt_buf *b, struct pt_monitor *m, struct pt_loop *loop)
{
    struct pt_monitor_figures f;
    const char *sep = "";
    pt_monitor_refresh(m, loop);
    pt_monitor_figures(m, &f);
    pt_buf_puts(b, ",\"" PT_REPORT_MONITORING "\":{\"rows\":");
    pt_json_put_double(b, f.rows);
    pt_buf_puts(b, ",\"labelled\":");
    pt_json_put_double(b, f.labelled);
    pt_buf_puts(b, ",\"figures\":{");
    for (int i = 0; i < PT_FIGURE_COUNT; i++) {
        if (!isfinite(f.values[i]))
            continue;
        pt_buf_printf(b, "%s\"%s\":", sep, pt_figure_text((enum pt_figure)i));
        pt_json_put_double(b, f.values[i]);
        sep = ",";
    }
    pt_buf_puts(b, "}}");
}

static void write_report(struct pt_reporter *r, struct pt_buf *b)
{
    const struct pt_servable *s = r->servable;
    struct pt_queue_stats stats;
    int64_t rss = 0;
    double cpu = 0;
    char digest[72];
    pt_scheduler_stats(r->scheduler, &stats);
    pt_process_usage(&rss, &cpu);
    pt_buf_printf(b, "{\"" PT_REPORT_SEQUENCE "\":%llu", (unsigned long long)++r->sequence);
    put_text(b, PT_REPORT_POD_UID, environment(PT_ENV_POD_UID));
    put_text(b, PT_REPORT_POD_NAME, environment(PT_ENV_POD_NAME));
    put_text(b, PT_REPORT_NAMESPACE, environment(PT_ENV_POD_NAMESPACE));
    put_number(b, PT_REPORT_STARTED_MS, r->started_ms);
    put_text(b, PT_REPORT_STATE, pt_model_state_text(s->state));
    if (s->state == PT_MODEL_FAILED) {
        put_text(b, PT_REPORT_REASON, pt_model_reason_text(s->reason));
        put_text(b, PT_REPORT_MESSAGE, s->error.msg);
    }
    if (s->has_digest) {
        pt_format_digest(s->digest, digest);
        put_text(b, PT_REPORT_DIGEST, digest);
    }
    put_text(b, PT_REPORT_VERSION, r->config->model.version);
    put_number(b, PT_REPORT_BYTES_DONE, s->bytes_done);
    if (s->bytes_total >= 0)
        put_number(b, PT_REPORT_BYTES_TOTAL, s->bytes_total);
    put_number(b, PT_REPORT_IN_FLIGHT, stats.running);
    put_number(b, PT_REPORT_QUEUED, stats.queued);
    put_number(b, PT_REPORT_REQUESTS, (int64_t)r->metrics->requests);
    put_number(b, PT_REPORT_ERRORS, (int64_t)r->metrics->errors);
    put_number(b, PT_REPORT_REJECTED, (int64_t)r->metrics->rejected);
    put_latency(b, r->metrics);
    put_number(b, PT_REPORT_MEMORY, rss);
    pt_buf_puts(b, ",\"" PT_REPORT_CPU "\":");
    pt_json_put_double(b, cpu);
    if (r->monitor)
        put_monitoring(b, r->monitor, r->loop);
    pt_buf_putc(b, '}');
}

/* --- sending it ------------------------------------------------------------------------------------------------------------------ */

static void send_report(struct pt_timer *t);

static void schedule(struct pt_reporter *r, int64_t delay_ms)
{
    pt_timer_start(pt_loop_sched(r->loop), &r->timer, delay_ms, send_report);
}

static void failed(struct pt_reporter *r, const char *why)
{
    int64_t ms = BACKOFF_MS;
    for (unsigned i = 0; i < r->failures && ms < MOST_BACKOFF_MS; i++)
        ms *= 2;
    ms = ms < MOST_BACKOFF_MS ? ms : MOST_BACKOFF_MS;
    r->failures++;
    if (!r->failing)
        pt_log(PT_LOG_WARN, "reports do not reach the operator; serving goes on", "url", r->config->report.url, "error", why, NULL);
    r->failing = true;
    schedule(r, ms * 4 / 5 + pt_rand_below(&r->jitter, (uint32_t)(ms * 2 / 5)));
}

/* {"reportAfterMs": N}; what cannot be read leaves the interval as it was. */
static void read_reply(struct pt_reporter *r, struct pt_str body)
{
    struct pt_json j;
    struct pt_str key;
    int64_t ms;
    pt_json_init(&j, body.p, body.len);
    if (pt_json_object(&j, NULL) < 0)
        return;
    while (pt_json_member(&j, &key, NULL) == 1) {
        bool interval = pt_json_key_is(&key, PT_REPORT_REPLY_AFTER);
        if ((interval ? pt_json_i64(&j, &ms, NULL) : pt_json_skip(&j, NULL)) < 0)
            return;
        if (interval && ms >= MIN_INTERVAL_MS && ms <= MAX_INTERVAL_MS)
            r->interval_ms = ms;
    }
}

static void on_reported(void *arg, const struct pt_http_response *response, const struct pt_err *err)
{
    struct pt_reporter *r = arg;
    char why[sizeof err->msg];
    r->call = NULL;
    if (err || response->status != 200) {
        if (err)
            snprintf(why, sizeof why, "%s", err->msg);
        else
            snprintf(why, sizeof why, "the operator answered %d: %.*s", response->status, (int)(response->body.len < 200 ? response->body.len : 200),
                     response->body.len ? response->body.p : "");
        failed(r, why);
        return;
    }
    if (r->failing)
        pt_log(PT_LOG_INFO, "reports reach the operator again", NULL);
    r->failing = false;
    r->failures = 0;
    read_reply(r, response->body);
    schedule(r, r->due ? 0 : r->interval_ms);
}

static int start_call(struct pt_reporter *r, struct pt_err *err)
{
    pt_auto_buf token = PT_BUF_INIT(MAX_TOKEN), authorization = PT_BUF_INIT(MAX_TOKEN + 16), body = PT_BUF_INIT(64 << 10);
    if (pt_buf_read_file(&token, r->config->report.token_file, err) < 0)
        return pt_wrap(err, "token");
    struct pt_str t = pt_str_trim((struct pt_str){token.data, token.len});
    pt_buf_puts(&authorization, "Bearer ");
    pt_buf_append(&authorization, t.p, t.len);
    write_report(r, &body);
    int rc = pt_buf_check(&body, "report", err);
    if (rc < 0 || (rc = pt_buf_check(&authorization, "token", err)) < 0)
        return rc;
    struct pt_http_header headers[] = {{PT_STR("Content-Type"), PT_STR("application/json")}, {PT_STR("Authorization"), {authorization.data, authorization.len}}};
    struct pt_http_call_options o = {.method = "POST", .url = r->config->report.url, .headers = headers, .header_count = 2, .body = {body.data, body.len},
                                     .max_body_bytes = MAX_REPLY, .connect_timeout_ms = TIMEOUT_MS, .timeout_ms = TIMEOUT_MS, .on_done = on_reported, .arg = r};
    return pt_http_call_start(r->client, &o, &r->call, err);
}

static void send_report(struct pt_timer *t)
{
    struct pt_reporter *r = (struct pt_reporter *)((char *)t - offsetof(struct pt_reporter, timer));
    struct pt_err err;
    r->due = false;
    if (start_call(r, &err) < 0)
        failed(r, err.msg);
}

void pt_reporter_now(struct pt_reporter *r)
{
    r->due = true;
    if (!r->call)
        schedule(r, 0);
}

bool pt_reporter_idle(const struct pt_reporter *r)
{
    return !r->call && !r->due;
}

int pt_reporter_create(struct pt_loop *l, const struct pt_config *config, const struct pt_servable *servable, struct pt_scheduler *scheduler,
                       struct pt_serving_metrics *metrics, struct pt_monitor *monitor, struct pt_reporter **out, struct pt_err *err)
{
    struct pt_reporter *r = pt_calloc(1, sizeof *r);
    if (!r)
        return pt_fail(err, PT_ENOMEM, "reporter: out of memory");
    *r = (struct pt_reporter){.loop = l, .config = config, .servable = servable, .scheduler = scheduler, .metrics = metrics, .monitor = monitor,
                              .interval_ms = config->report.interval_ms, .started_ms = pt_wall_ms(pt_loop_sched(l))};
    pt_rand_init(&r->jitter, (uint64_t)pt_clock_mono_ns() ^ (uint64_t)getpid() << 32);
    int rc = pt_str_starts(pt_str(config->report.url), PT_STR("https://")) ? pt_tls_client_create(config->report.ca, &r->tls, err) : PT_OK;
    struct pt_http_client_options o = {.tls = r->tls, .max_idle = 1};
    if (rc == PT_OK)
        rc = pt_http_client_create(l, &o, &r->client, err);
    if (rc < 0) {
        pt_reporter_destroy(r);
        return pt_wrap(err, "report.ca");
    }
    *out = r;
    return PT_OK;
}

void pt_reporter_destroy(struct pt_reporter *r)
{
    if (!r)
        return;
    pt_timer_stop(pt_loop_sched(r->loop), &r->timer);
    if (r->call)
        pt_http_call_cancel(r->call);
    pt_http_client_destroy(r->client);
    pt_tls_destroy(r->tls);
    pt_free(r);
}
