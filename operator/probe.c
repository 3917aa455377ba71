/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c: see probe.h.
 */
#include "operator/probe.h"

#include "net/http_client.h"

#include <stddef.h>
#include <stdio.h>

enum { AGAIN_MS = 500, CALL_MS = 5000 };

struct probe {
    const char *url;
    struct pt_loop *loop;
    struct pt_http_client *client;
    struct pt_timer again;
    int64_t until_ms;
    int exit_code;
};

static void ask(struct pt_timer *t);

static void on_done(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct probe *p = arg;
    bool good = !err && r->status == 200;
    if (good || pt_now_ms(pt_loop_sched(p->loop)) >= p->until_ms) {
        if (err)
            printf("%s\n", err->msg);
        else
            printf("%s: HTTP %d\n" PT_STR_FMT "\n", p->url, r->status, PT_STR_ARG(r->body));
        p->exit_code = good ? 0 : 1;
        pt_loop_stop(p->loop);
    } else {
        pt_timer_start(pt_loop_sched(p->loop), &p->again, AGAIN_MS, ask);
    }
}

static void ask(struct pt_timer *t)
{
    struct probe *p = (struct probe *)(void *)((char *)t - offsetof(struct probe, again));
    struct pt_http_call_options o = {.method = "GET", .url = p->url, .timeout_ms = CALL_MS, .max_body_bytes = 64 << 10, .on_done = on_done, .arg = p};
    struct pt_http_call *call;
    struct pt_err err;
    if (pt_http_call_start(p->client, &o, &call, &err) < 0) {
        printf("%s\n", err.msg);
        pt_loop_stop(p->loop);
    }
}

int pt_probe(const char *url)
{
    struct probe p = {.url = url, .exit_code = 1};
    struct pt_err err;
    struct pt_http_client_options o = {.max_idle = 1};
    int rc = pt_loop_create(&p.loop, &err);
    if (rc == PT_OK)
        rc = pt_http_client_create(p.loop, &o, &p.client, &err);
    if (rc == PT_OK) {
        p.until_ms = pt_now_ms(pt_loop_sched(p.loop)) + PT_PROBE_SECONDS * 1000;
        pt_timer_start(pt_loop_sched(p.loop), &p.again, 0, ask);
        pt_loop_run(p.loop);
        pt_timer_stop(pt_loop_sched(p.loop), &p.again);
    } else {
        printf("%s\n", err.msg);
    }
    pt_http_client_destroy(p.client);
    if (p.loop)
        pt_loop_destroy(p.loop);
    return p.exit_code;
}
