/* SPDX-License-Identifier: Apache-2.0
 *
 * sender.c: see sender.h.
 */
#include "sidecar/sender.h"

#include "base/contract.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "net/http_client.h"

#include <stdio.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 5000,
    BACKOFF_MS = 500,
    MOST_BACKOFF_MS = 60000,
    MIN_INTERVAL_MS = 10,
    MAX_INTERVAL_MS = 3600 * 1000,
    MAX_TOKEN = 16384,
    MAX_REPLY = 4096
};

struct pt_sender {
    struct pt_sender_options o;
    struct pt_tls *tls;
    struct pt_http_client *client;
    struct pt_http_call *call;
    struct pt_timer timer;
    struct pt_rand jitter;
    bool due;          /* there are news since the last report was written */
    bool failing;      /* said in the log already */
    unsigned failures; /* in a row */
    int64_t interval_ms;
};

static void send_report(struct pt_timer *t);

static void schedule(struct pt_sender *s, int64_t delay_ms)
{
    pt_timer_start(pt_loop_sched(s->o.loop), &s->timer, delay_ms, send_report);
}

static void failed(struct pt_sender *s, const char *why)
{
    int64_t ms = BACKOFF_MS;
    for (unsigned i = 0; i < s->failures && ms < MOST_BACKOFF_MS; i++)
        ms *= 2;
    ms = ms < MOST_BACKOFF_MS ? ms : MOST_BACKOFF_MS;
    s->failures++;
    if (!s->failing)
        pt_log(PT_LOG_WARN, "reports do not reach the operator; the work goes on", "url", s->o.url, "error", why, NULL);
    s->failing = true;
    schedule(s, ms * 4 / 5 + pt_rand_below(&s->jitter, (uint32_t)(ms * 2 / 5)));
}

void pt_sender_read_reply(struct pt_str body, int64_t *interval_ms)
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
            *interval_ms = ms;
    }
}

static void on_reported(void *arg, const struct pt_http_response *response, const struct pt_err *err)
{
    struct pt_sender *s = arg;
    char why[sizeof err->msg];
    s->call = NULL;
    if (err || response->status != 200) {
        if (err)
            snprintf(why, sizeof why, "%s", err->msg);
        else
            snprintf(why, sizeof why, "the operator answered %d: %.*s", response->status, (int)(response->body.len < 200 ? response->body.len : 200),
                     response->body.len ? response->body.p : "");
        failed(s, why);
        return;
    }
    if (s->failing)
        pt_log(PT_LOG_INFO, "reports reach the operator again", NULL);
    s->failing = false;
    s->failures = 0;
    pt_sender_read_reply(response->body, &s->interval_ms);
    schedule(s, s->due ? 0 : s->interval_ms);
}

static int start_call(struct pt_sender *s, struct pt_err *err)
{
    pt_auto_buf token = PT_BUF_INIT(MAX_TOKEN), authorization = PT_BUF_INIT(MAX_TOKEN + 16), body = PT_BUF_INIT(64 << 10);
    if (pt_buf_read_file(&token, s->o.token_file, err) < 0)
        return pt_wrap(err, "token");
    struct pt_str t = pt_str_trim((struct pt_str){token.data, token.len});
    pt_buf_puts(&authorization, "Bearer ");
    pt_buf_append(&authorization, t.p, t.len);
    s->o.write(s->o.arg, &body);
    int rc = pt_buf_check(&body, "report", err);
    if (rc < 0 || (rc = pt_buf_check(&authorization, "token", err)) < 0)
        return rc;
    struct pt_http_header headers[] = {{PT_STR("Content-Type"), PT_STR("application/json")},
                                       {PT_STR("Authorization"), {authorization.data, authorization.len}}};
    struct pt_http_call_options o = {.method = "POST",
                                     .url = s->o.url,
                                     .headers = headers,
                                     .header_count = 2,
                                     .body = {body.data, body.len},
                                     .max_body_bytes = MAX_REPLY,
                                     .connect_timeout_ms = TIMEOUT_MS,
                                     .timeout_ms = TIMEOUT_MS,
                                     .on_done = on_reported,
                                     .arg = s};
    return pt_http_call_start(s->client, &o, &s->call, err);
}

static void send_report(struct pt_timer *t)
{
    struct pt_sender *s = (struct pt_sender *)((char *)t - offsetof(struct pt_sender, timer));
    struct pt_err err;
    s->due = false;
    if (start_call(s, &err) < 0)
        failed(s, err.msg);
}

void pt_sender_now(struct pt_sender *s)
{
    s->due = true;
    if (!s->call)
        schedule(s, 0);
}

bool pt_sender_idle(const struct pt_sender *s)
{
    return !s->call && !s->due;
}

int pt_sender_create(const struct pt_sender_options *o, struct pt_sender **out, struct pt_err *err)
{
    struct pt_sender *s = pt_calloc(1, sizeof *s);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "reports: out of memory");
    *s = (struct pt_sender){.o = *o, .interval_ms = o->interval_ms};
    pt_rand_init(&s->jitter, (uint64_t)pt_clock_mono_ns() ^ (uint64_t)getpid() << 32);
    int rc = pt_str_starts(pt_str(o->url), PT_STR("https://")) ? pt_tls_client_create(o->ca, &s->tls, err) : PT_OK;
    struct pt_http_client_options client = {.tls = s->tls, .max_idle = 1};
    if (rc == PT_OK)
        rc = pt_http_client_create(o->loop, &client, &s->client, err);
    if (rc < 0) {
        pt_sender_destroy(s);
        return pt_wrap(err, "report.ca");
    }
    *out = s;
    return PT_OK;
}

void pt_sender_destroy(struct pt_sender *s)
{
    if (!s)
        return;
    pt_timer_stop(pt_loop_sched(s->o.loop), &s->timer);
    if (s->call)
        pt_http_call_cancel(s->call);
    pt_http_client_destroy(s->client);
    pt_tls_destroy(s->tls);
    pt_free(s);
}
