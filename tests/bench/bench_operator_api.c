/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_operator_api COUNT PODS: an API server with COUNT finished ModelDeployments of PODS pods each, and all that belongs to them, for controllers
 * in other processes. `operator` in this folder starts it.
 *
 * The objects are made once, in virtual time, by the controller itself. Then each line "serve SOCKET KUBECONFIG" on stdin forks a child that serves
 * them as they are over TLS and HTTP/2, so every program that is measured finds the same. The child reads the lines that follow:
 *
 *   backlog   edits all ModelDeployments but one at once, then that one, when some of the others have been acted on and most have not:
 *             "acted MS DONE LEFT": how long it took until the first write of a controller for it came in, and of how many others one had by then
 *   report ADDRESS   sends a report of each pod to the operator there, as many at once as it takes, then 200 a second: "reported COUNT"
 *   heartbeats       writes the status of each pod once in five minutes
 *   expire           tells all watches that their place in the history is lost
 *   writes           "writes COUNT": of controllers, since the last time, without those of Leases
 *   quit
 *
 * Pods that are made here are never started: a backlog ends where it would wait for them.
 */
#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "operator/ctrl/obj.h"
#include "operator/local/apiserver.h"
#include "operator/report/ca.h"
#include "tests/bench/operator_world.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HISTORY 262144 /* a backlog is many changes at once */
#define EDITED 7       /* the one that everybody waits for */
#define REPORTS_AT_ONCE 64
#define REPORTS_PER_S 200
#define HEARTBEAT_S 300
#define TICK_MS 100

struct api {
    struct world w;
    int number; /* of ModelDeployments */
    struct pt_loop *loop;
    struct pt_timer bridge, tick;
    int64_t shift_ms; /* memapi's time is the loop's plus this */
    uint64_t writes;
    bool *acted; /* by number */
    int acted_count, edit_at;
    int64_t edited_ns; /* 0: not yet */
    struct pt_http_client *http;
    char url[128];
    size_t reported, answered, beaten;
    uint64_t sequence;
    bool beats, silent;
    double due_reports, due_beats;
    char line[256];
    size_t line_len;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

/* --- memapi's time: virtual until somebody is served, then the loop's ----------------------------------------------------- */

static struct api *the_api; /* a scheduler's functions have no argument of ours */

static int64_t real_now(struct pt_sched *s)
{
    (void)s;
    return pt_now_ms(pt_loop_sched(the_api->loop)) + the_api->shift_ms;
}

static int64_t real_wall(struct pt_sched *s)
{
    (void)s;
    return pt_clock_wall_ms();
}

static void on_bridge(struct pt_timer *t);

static void rearm(struct pt_sched *s)
{
    int64_t next = pt_sched_next_ms(s);
    if (next < 0)
        pt_timer_stop(pt_loop_sched(the_api->loop), &the_api->bridge);
    else
        pt_timer_start(pt_loop_sched(the_api->loop), &the_api->bridge, next, on_bridge);
}

static void on_bridge(struct pt_timer *t)
{
    (void)t;
    pt_sched_run_due(&the_api->w.clock.sched);
    rearm(&the_api->w.clock.sched);
}

static void enter_real_time(struct api *a)
{
    struct pt_sched *s = &a->w.clock.sched;
    the_api = a;
    a->shift_ms = a->w.clock.now - pt_now_ms(pt_loop_sched(a->loop));
    s->now_ms = real_now;
    s->wall_ms = real_wall;
    s->rearm = rearm;
    rearm(s);
}

/* --- what controllers do ---------------------------------------------------------------------------------------------------- */

static void edit_the_one(struct api *a)
{
    world_write(&a->w, EDITED, 3);
    a->edited_ns = pt_clock_mono_ns();
}

/* A write for model-NUMBER, or for what is named after it. */
static void seen(struct api *a, const char *name)
{
    int n = -1, end = 0;
    if (!name || sscanf(name, "model-%d%n", &n, &end) != 1 || (name[end] && name[end] != '-') || n < 0 || n >= a->number || a->acted[n])
        return;
    if (n == EDITED) {
        if (!a->edited_ns)
            return;
        say("acted %.2f %d %d", (double)(pt_clock_mono_ns() - a->edited_ns) / 1e6, a->acted_count, a->number - 1 - a->acted_count);
        a->acted[n] = true;
        return;
    }
    a->acted[n] = true;
    a->acted_count++;
}

static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    struct api *a = arg;
    (void)f;
    if (watch || req->verb == PT_VERB_GET || req->verb == PT_VERB_LIST || req->resource == &pt_res_leases || req->resource == &pt_res_tokenreviews)
        return;
    a->writes++;
    if (!a->edit_at || req->resource == &pt_res_events)
        return;
    pt_auto_obj *body = NULL;
    if (!req->name && pt_obj_parse(req->body, "object", &body, NULL) < 0)
        return;
    const char *name = req->name ? req->name : pt_obj_str(body, "metadata.name");
    seen(a, name ? name : pt_obj_str(body, "metadata.generateName"));
}

static void start_backlog(struct api *a)
{
    memset(a->acted, 0, (size_t)a->number);
    for (int i = 0; i < a->number; i++)
        if (i != EDITED)
            world_write(&a->w, i, 2);
    a->acted_count = 0;
    a->edited_ns = 0;
    a->edit_at = a->number / 4 + 1;
    a->silent = true; /* whoever measures ends the operator next */
    a->beats = false; /* and waits until it is quiet */
}

/* --- what nodes and sidecars do ----------------------------------------------------------------------------------------------- */

static void send_report(struct api *a);

static void on_reported(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct api *a = arg;
    if (err || r->status != 200) {
        if (!a->silent)
            fprintf(stderr, "no more reports: %s\n", err ? err->msg : "one was refused");
        a->silent = true;
        return;
    }
    if (++a->answered == a->w.count)
        say("reported %zu", a->answered);
    if (a->reported < a->w.count)
        send_report(a);
}

static void send_report(struct api *a)
{
    const struct world_pod *p = &a->w.pods[a->reported++ % a->w.count];
    char body[512], token[96];
    a->sequence++;
    int n = snprintf(body, sizeof body,
                     "{\"" PT_REPORT_POD_UID "\":\"%s\",\"" PT_REPORT_POD_NAME "\":\"%s\",\"" PT_REPORT_NAMESPACE "\":\"" WORLD_NS
                     "\",\"" PT_REPORT_SEQUENCE "\":%llu,"
                     "\"" PT_REPORT_STARTED_MS "\":2,\"" PT_REPORT_STATE "\":\"Ready\",\"" PT_REPORT_IN_FLIGHT "\":1,\"" PT_REPORT_QUEUED
                     "\":0,\"" PT_REPORT_REQUESTS "\":%llu}",
                     p->uid, p->name, (unsigned long long)a->sequence, (unsigned long long)a->sequence);
    int m = snprintf(token, sizeof token, "Bearer token-%s", p->uid);
    struct pt_http_header h[] = {{PT_STR("Authorization"), {token, (size_t)m}}, {PT_STR("Content-Type"), PT_STR("application/json")}};
    struct pt_http_call_options o = {.method = "POST",
                                     .url = a->url,
                                     .headers = h,
                                     .header_count = 2,
                                     .body = {body, (size_t)n},
                                     .timeout_ms = 30000,
                                     .on_done = on_reported,
                                     .arg = a};
    struct pt_http_call *call;
    struct pt_err err;
    if (pt_http_call_start(a->http, &o, &call, &err) < 0)
        world_fail(err.msg);
}

static void start_reports(struct api *a, const char *address)
{
    struct pt_tls *tls = NULL;
    struct pt_err err;
    for (size_t i = 0; i < a->w.count; i++) {
        const struct world_pod *p = &a->w.pods[i];
        char token[80];
        snprintf(token, sizeof token, "token-%s", p->uid);
        if (pt_memapi_add_token(a->w.api, token, PT_TOKEN_AUDIENCE, WORLD_NS, p->name, p->uid, INT64_MAX, &err) < 0)
            world_fail(err.msg);
    }
    snprintf(a->url, sizeof a->url, "https://%s" PT_REPORT_PATH, address);
    if (pt_tls_client_create_unverified(&tls, &err) < 0 ||
        pt_http_client_create(a->loop, &(struct pt_http_client_options){.tls = tls, .max_idle = REPORTS_AT_ONCE}, &a->http, &err) < 0)
        world_fail(err.msg);
    for (int i = 0; i < REPORTS_AT_ONCE; i++)
        send_report(a);
}

static void beat(struct api *a)
{
    char body[256], now[24];
    const struct world_pod *p = &a->w.pods[a->beaten++ % a->w.count];
    pt_format_time(pt_clock_wall_ms(), now);
    snprintf(body, sizeof body, "{\"status\":{\"conditions\":[{\"type\":\"ContainersReady\",\"status\":\"True\",\"lastProbeTime\":\"%s\"}]}}", now);
    world_request(&a->w, PT_VERB_STRATEGIC, &pt_res_pods, p->name, "status", body);
}

static void on_tick(struct pt_timer *t)
{
    struct api *a = (struct api *)(void *)((char *)t - offsetof(struct api, tick));
    if (a->edit_at && !a->edited_ns && a->acted_count >= a->edit_at)
        edit_the_one(a);
    if (a->http && !a->silent && a->answered >= a->w.count)
        for (a->due_reports += REPORTS_PER_S * TICK_MS / 1000.0; a->due_reports >= 1; a->due_reports--)
            send_report(a);
    if (a->beats)
        for (a->due_beats += (double)a->w.count / HEARTBEAT_S * TICK_MS / 1000; a->due_beats >= 1; a->due_beats--)
            beat(a);
    pt_timer_start(pt_loop_sched(a->loop), t, TICK_MS, on_tick);
}

/* --- serving --------------------------------------------------------------------------------------------------------------- */

static void obey(struct api *a, char *line)
{
    if (!strcmp(line, "backlog"))
        start_backlog(a);
    else if (!strncmp(line, "report ", 7))
        start_reports(a, line + 7);
    else if (!strcmp(line, "heartbeats"))
        a->beats = true;
    else if (!strcmp(line, "expire"))
        pt_memapi_cut_watches(a->w.api, NULL, true);
    else if (!strcmp(line, "quit"))
        pt_loop_stop(a->loop);
    else if (strcmp(line, "writes") != 0)
        world_fail("unknown command");
    if (!strcmp(line, "writes")) {
        say("writes %llu", (unsigned long long)a->writes);
        a->writes = 0;
    }
}

/* One line of stdin, and not a byte more: what follows may be for another process. false: it is over. */
static bool read_byte(struct api *a, bool *whole)
{
    char c;
    *whole = false;
    if (read(0, &c, 1) != 1)
        return false;
    *whole = c == '\n';
    if (a->line_len + 1 < sizeof a->line && !*whole)
        a->line[a->line_len++] = c;
    a->line[a->line_len] = 0;
    if (*whole)
        a->line_len = 0;
    return true;
}

static void on_stdin(void *arg, int events)
{
    struct api *a = arg;
    bool whole;
    (void)events;
    if (!read_byte(a, &whole))
        pt_loop_stop(a->loop);
    else if (whole)
        obey(a, a->line);
}

static void serve(struct api *a, const char *socket, const char *kubeconfig)
{
    struct pt_apiserver *server = NULL;
    struct pt_poll *input = NULL;
    pt_auto_buf cert = PT_BUF_INIT(0), key = PT_BUF_INIT(0);
    struct pt_err err;
    if (pt_loop_create(&a->loop, &err) < 0 || pt_ca_create("bench", 1, &cert, &key, &err) < 0)
        world_fail(err.msg);
    enter_real_time(a);
    a->writes = 0;
    if (pt_apiserver_create(&(struct pt_apiserver_options){.loop = a->loop,
                                                           .memapi = a->w.api,
                                                           .socket_path = socket,
                                                           .ca_cert_pem = pt_buf_cstr(&cert),
                                                           .ca_key_pem = pt_buf_cstr(&key),
                                                           .kubeconfig = kubeconfig},
                            &server, &err) < 0 ||
        pt_poll_create(a->loop, 0, on_stdin, a, &input, &err) < 0 || pt_poll_set(input, PT_READABLE) < 0)
        world_fail(err.msg);
    pt_timer_start(pt_loop_sched(a->loop), &a->tick, TICK_MS, on_tick);
    say("serving");
    pt_loop_run(a->loop);
    pt_apiserver_destroy(server);
    _exit(0); /* the rest is gigabytes, page by page */
}

static void make_objects(struct api *a, int pods)
{
    struct pt_memapi_options o = {.history = HISTORY, .hooks = {.arg = a, .request = on_request}};
    world_create(&a->w, pods, &o);
    world_start_operator(&a->w, 1);
    world_write_all(&a->w, a->number, 1);
    world_until_settled(&a->w);
    world_stop_operator(&a->w);
    world_slices(&a->w);
    say("made %d %zu", a->number, a->w.count);
}

int main(int argc, char **argv)
{
    struct api a = {.number = argc == 3 ? atoi(argv[1]) : 0};
    int pods = argc == 3 ? atoi(argv[2]) : 0;
    char socket[200], kubeconfig[200];
    bool whole;
    if (a.number <= EDITED || pods <= 0)
        world_fail("usage: bench_operator_api COUNT PODS, more than 7 of the first");
    pt_log_setup("bench", PT_LOG_OFF, PT_LOG_TEXT);
    a.acted = calloc((size_t)a.number, sizeof *a.acted);
    if (!a.acted)
        world_fail("out of memory");
    make_objects(&a, pods);
    while (read_byte(&a, &whole)) {
        if (!whole)
            continue;
        if (sscanf(a.line, "serve %199s %199s", socket, kubeconfig) != 2)
            world_fail("serve SOCKET KUBECONFIG is what comes first");
        pid_t child = fork();
        if (child < 0)
            world_fail("fork");
        if (child == 0)
            serve(&a, socket, kubeconfig);
        int status;
        if (waitpid(child, &status, 0) < 0 || status != 0)
            world_fail("a server ended before its time");
        if (fcntl(0, F_SETFL, fcntl(0, F_GETFL) & ~O_NONBLOCK) < 0) /* the child's loop did not block on what is stdin here too */
            world_fail("stdin");
    }
    world_destroy(&a.w);
    free(a.acted);
    return 0;
}
