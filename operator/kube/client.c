/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c: calls on libcurl's multi interface, driven by our loop.
 *
 * libcurl forbids adding and removing handles inside its callbacks, and our users do both from theirs. So libcurl's write callback
 * only appends to the call's buffer and puts the call on the ready list; after every entry into libcurl (pump) the ready calls are
 * delivered, with libcurl left. A call that is cancelled from inside its own delivery is freed when that returns.
 *
 * A call is launched when the rate limit allows it and credentials are there. An answer of 429 or 5xx that says when to come again is followed, up
 * to 10 times and within the call's deadline; a 401 fetches credentials anew, once. Credentials from files are read again every ten
 * seconds, those of a program when they expire. libcurl opens another connection when the CA or the client certificate differ; those made with the
 * files before are cut, so that a withdrawn CA vouches for nobody from then on. A server that is not believed may have its certificate of a CA that
 * our file names by now: it is read at once.
 *
 * Bounds: an answer may have MAX_BODY bytes, a watch line MAX_LINE; calls end by their deadline; a watch ends by the server's timeout plus
 * a grace. TCP keep-alive with TCP_USER_TIMEOUT notices a dead peer; as libcurl sends no HTTP/2 PING beside streams, a watchdog asks for /livez over
 * the same connection when all watches are silent, and cuts the connections when that is not answered.
 * A call that ended by its deadline with nothing heard meanwhile is a reason to doubt as well: a lone one leaves the connection, else /livez is asked for.
 */
#include "operator/kube/internal.h"

#include "base/contract.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static const double seconds[] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};
#define SECONDS seconds, sizeof seconds / sizeof *seconds
static const struct pt_metric_family limiter_family = {"rest_client_rate_limiter_duration_seconds",
                                                       "Client side rate limiter latency in seconds. Broken down by verb, and host.", PT_HISTOGRAM,
                                                       "verb,host", SECONDS},
                                     plugin_family = {"rest_client_exec_plugin_call_total",
                                                      "Number of calls to an exec plugin, partitioned by the type of event encountered.",
                                                      PT_COUNTER,
                                                      "call_status",
                                                      NULL,
                                                      0};

static const struct {
    const char *method, *content_type;
} verbs[] = {
    [PT_VERB_GET] = {"GET", NULL},
    [PT_VERB_LIST] = {"GET", NULL},
    [PT_VERB_CREATE] = {"POST", "application/json"},
    [PT_VERB_UPDATE] = {"PUT", "application/json"},
    [PT_VERB_MERGE_PATCH] = {"PATCH", "application/merge-patch+json"},
    [PT_VERB_APPLY] = {"PATCH", "application/apply-patch+yaml"},
    [PT_VERB_STRATEGIC] = {"PATCH", "application/strategic-merge-patch+json"},
    [PT_VERB_JSON_PATCH] = {"PATCH", "application/json-patch+json"},
    [PT_VERB_DELETE] = {"DELETE", "application/json"},
};

/* --- calls ----------------------------------------------------------------------------------------------------------------- */

static bool add_header(struct pt_api_call *call, const char *header)
{
    struct curl_slist *list = curl_slist_append(call->headers, header);
    if (list)
        call->headers = list;
    return list != NULL;
}

/* Whom we speak for, and the host's own name where another stands in the URL. */
static int add_shared_headers(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    struct pt_str rest = pt_str(c->config.impersonate), line;
    char host[160];
    snprintf(host, sizeof host, "Host: %s", c->host);
    if (c->connect_to && !add_header(call, host))
        return PT_ENOMEM;
    while (rest.len && pt_str_split(&rest, '\n', &line)) {
        pt_auto_free char *header = pt_strndup(line.p, line.len);
        if (line.len && (!header || !add_header(call, header)))
            return PT_ENOMEM;
    }
    return PT_OK;
}

/* DELETE carries its preconditions in a DeleteOptions body. */
static void put_delete_options(const struct pt_api_request *req, struct pt_buf *out)
{
    pt_buf_puts(out, "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"propagationPolicy\":");
    pt_buf_json_string(out, pt_str(req->propagation ? req->propagation : "Background"));
    if (req->grace_seconds >= 0)
        pt_buf_printf(out, ",\"gracePeriodSeconds\":%d", req->grace_seconds);
    if (req->uid || req->resource_version) {
        pt_buf_puts(out, ",\"preconditions\":{");
        if (req->uid) {
            pt_buf_puts(out, "\"uid\":");
            pt_buf_json_string(out, pt_str(req->uid));
        }
        if (req->resource_version) {
            pt_buf_puts(out, req->uid ? ",\"resourceVersion\":" : "\"resourceVersion\":");
            pt_buf_json_string(out, pt_str(req->resource_version));
        }
        pt_buf_putc(out, '}');
    }
    pt_buf_putc(out, '}');
}

static int fill_call(struct pt_api_call *call, const struct pt_api_request *req, bool watch, struct pt_err *err)
{
    struct pt_kube_client *c = call->client;
    char header[96];
    pt_buf_puts(&call->url, c->base);
    struct pt_api_request with_manager = *req;
    if (!req->field_manager)
        with_manager.field_manager = PT_MANAGER;
    int rc = pt_kube_path(&with_manager, watch, pt_rand_u32(&c->rand), &call->url, err);
    if (rc < 0)
        return rc;
    call->verb = verbs[req->verb].method;
    snprintf(call->what, sizeof call->what, "%s %s", call->verb, pt_buf_cstr(&call->url) + strlen(c->base));
    if (req->verb == PT_VERB_DELETE)
        put_delete_options(req, &call->body);
    else
        pt_buf_append(&call->body, req->body.p, req->body.len);
    snprintf(header, sizeof header, "Content-Type: %s", verbs[req->verb].content_type ? verbs[req->verb].content_type : "");
    if ((verbs[req->verb].content_type && !add_header(call, header)) || !add_header(call, "Accept: application/json") || !add_header(call, "Expect:"))
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", call->what);
    if (add_shared_headers(call) < 0)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", call->what);
    return pt_buf_check(&call->body, call->what, err);
}

/* --- launching: rate limit, credentials, libcurl ------------------------------------------------------------------------- */

static int add_to_multi(struct pt_api_call *call, struct pt_err *err)
{
    struct pt_kube_client *c = call->client;
    int64_t now = pt_now_ms(pt_loop_sched(c->loop)), left = call->deadline_ms - now;
    call->easy = c->spare_count ? c->spare[--c->spare_count] : curl_easy_init();
    if (!call->easy)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", call->what);
    pt_kube_set_up(call, left > 1 ? (long)left : 1);
    call->credential = c->credential;
    call->files = c->files;
    CURLMcode rc = curl_multi_add_handle(c->multi, call->easy);
    if (rc != CURLM_OK)
        return pt_fail(err, PT_EINTERNAL, "%s: %s", call->what, curl_multi_strerror(rc));
    call->launched_ms = now;
    return PT_OK;
}

/* Its caller is told on the next turn. */
static void fail_launch(struct pt_api_call *call, const struct pt_err *err)
{
    pt_kube_give_handle_back(call);
    pt_timer_stop(pt_loop_sched(call->client->loop), &call->wait);
    call->failure = *err;
    call->finished = true;
    pt_kube_make_ready(call);
    pt_kube_wake(call->client);
}

static void launch(struct pt_timer *t);

void pt_kube_launch_after(struct pt_api_call *call, int64_t delay_ms)
{
    pt_timer_start(pt_loop_sched(call->client->loop), &call->wait, delay_ms, launch);
}

static void credentials_late(struct pt_timer *t)
{
    struct pt_api_call *call = (struct pt_api_call *)(void *)((char *)t - offsetof(struct pt_api_call, wait));
    struct pt_err err;
    pt_fail(&err, PT_ETIMEDOUT, "%s: no credentials in time from plugin %s", call->what, call->client->config.exec->command);
    call->waiting_for_credentials = false;
    fail_launch(call, &err);
}

/* Those who waited for credentials go on, or fail as they did. */
static void have_credentials(void *arg, struct pt_credential *got, const struct pt_err *failure)
{
    struct pt_kube_client *c = arg;
    struct pt_kube_config *k = &c->config;
    c->plugin = NULL;
    if (c->metrics)
        pt_metric_add(pt_metrics_series(c->metrics, &plugin_family, failure ? "plugin_execution_error" : "no_error", NULL), 1);
    if (got) {
        pt_free(k->token);
        pt_free(k->cert_pem);
        pt_free(k->key_pem);
        k->token = pt_steal(got->token);
        k->cert_pem = pt_steal(got->cert_pem);
        k->key_pem = pt_steal(got->key_pem);
        c->expires_ms = got->expires_ms;
        c->stale = false;
        c->credential++;
    }
    for (struct pt_api_call *call = c->calls; call; call = call->next) {
        if (!call->waiting_for_credentials)
            continue;
        call->waiting_for_credentials = false;
        if (failure)
            fail_launch(call, failure);
        else {
            call->has_fresh = true;
            pt_kube_launch_after(call, 0);
        }
    }
}

static bool needs_plugin(const struct pt_kube_client *c)
{
    return c->config.exec && (c->stale || (c->expires_ms && pt_wall_ms(pt_loop_sched(c->loop)) >= c->expires_ms));
}

static void launch(struct pt_timer *t)
{
    struct pt_api_call *call = (struct pt_api_call *)(void *)((char *)t - offsetof(struct pt_api_call, wait));
    struct pt_kube_client *c = call->client;
    struct pt_err err;
    if (needs_plugin(c) && !call->has_fresh) {
        int64_t left = call->deadline_ms - pt_now_ms(pt_loop_sched(c->loop));
        call->waiting_for_credentials = true;
        pt_timer_start(pt_loop_sched(c->loop), &call->wait, left > 0 ? left : 0, credentials_late);
        if (!c->plugin && pt_kube_exec_start(c->loop, &c->config, have_credentials, c, &c->plugin, &err) < 0)
            have_credentials(c, NULL, &err);
        return;
    }
    if (add_to_multi(call, &err) < 0)
        fail_launch(call, &err);
}

bool pt_kube_renew_trust(struct pt_api_call *call)
{
    pt_kube_client_refresh(call->client);
    return call->files != call->client->files;
}

/* After a 401: true when there are, or will be, others to try with. */
bool pt_kube_renew_credentials(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    if (call->reauthenticated || (!c->config.exec && !c->config.token_file && !c->config.cert_file))
        return false;
    call->reauthenticated = true;
    call->has_fresh = false;
    if (c->config.exec) {
        c->stale |= call->credential == c->credential; /* another call may have brought newer ones already */
        return true;
    }
    pt_kube_client_refresh(c);
    return true;
}

static void enlist(struct pt_api_call *call, int64_t timeout_ms)
{
    struct pt_kube_client *c = call->client;
    char ms[24];
    int64_t now = pt_now_ms(pt_loop_sched(c->loop)), wait = call == c->probe ? 0 : pt_limiter_take(&c->limiter, now);
    call->next = c->calls;
    call->link = &c->calls;
    if (c->calls)
        c->calls->link = &call->next;
    c->calls = call;
    call->deadline_ms = now + wait + timeout_ms;
    if (wait > LONG_WAIT_MS)
        pt_log(PT_LOG_DEBUG, "request waits for the client's own rate limit", "request", call->what, "wait_ms", pt_log_int(ms, wait), NULL);
    if (wait && c->metrics)
        pt_metric_observe(pt_metrics_series(c->metrics, &limiter_family, call->verb, c->host, NULL), (double)wait / 1000.0);
    pt_kube_launch_after(call, wait);
}

static int start_call(struct pt_kube_client *c, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg,
                      struct pt_api_call **out, struct pt_err *err)
{
    struct pt_api_call *call = pt_calloc(1, sizeof *call);
    if (!call)
        return pt_fail(err, PT_ENOMEM, "API call: out of memory");
    *call = (struct pt_api_call){.client = c, .watch = event != NULL, .event = event, .done = done, .arg = arg};
    call->in = PT_BUF_INIT(event ? MAX_LINE : MAX_BODY);
    int rc = fill_call(call, req, event != NULL, err);
    if (rc < 0) {
        pt_kube_free_call(call);
        return rc;
    }
    if (out)
        *out = call;
    enlist(call, call->watch       ? (req->timeout_ms ? req->timeout_ms : MAX_SECONDS_WATCH * 1000) + WATCH_GRACE_MS
                 : req->timeout_ms ? req->timeout_ms
                                   : 30000);
    return PT_OK;
}

static int api_start(struct pt_api *api, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out,
                     struct pt_err *err)
{
    return start_call((struct pt_kube_client *)(void *)api, req, NULL, done, arg, out, err);
}

static int api_watch(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg,
                     struct pt_api_call **out, struct pt_err *err)
{
    return start_call((struct pt_kube_client *)(void *)api, req, event, done, arg, out, err);
}

static void api_cancel(struct pt_api *api, struct pt_api_call *call)
{
    struct pt_kube_client *c = (struct pt_kube_client *)(void *)api;
    if (call->delivering) {
        call->cancelled = true;
        return;
    }
    if (call->on_ready) {
        struct pt_api_call **link = &c->ready;
        while (*link != call)
            link = &(*link)->next_ready;
        *link = call->next_ready;
        if (!*link)
            c->ready_tail = link;
    }
    pt_kube_free_call(call);
}

static const struct pt_api_ops ops = {api_start, api_watch, api_cancel};

/* --- watchdog -------------------------------------------------------------------------------------------------------------- */

static void probed(void *arg, const struct pt_api_result *r)
{
    struct pt_kube_client *c = arg;
    if (r->http > 0) /* whatever it says: somebody is there */
        return;
    pt_log(PT_LOG_WARN, "the API server gives no sign of life, connections cut", "error", r->err.msg, NULL);
    pt_kube_client_cut(c);
}

/* libcurl sees the end of each and fails what is on it. To be connected to nowhere drops what waits to be sent, unlike an end of the ordinary kind. */
void pt_kube_client_cut(struct pt_kube_client *c)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    for (struct connection *k = c->connections; k; k = k->next)
        if (connect(k->fd, &nowhere, sizeof nowhere) != 0)
            shutdown(k->fd, SHUT_RDWR);
}

static void start_probe(struct pt_kube_client *c)
{
    struct pt_api_call *call = pt_calloc(1, sizeof *call);
    if (!call)
        return;
    *call = (struct pt_api_call){.client = c, .verb = "GET", .done = probed, .arg = c};
    call->in = PT_BUF_INIT(MAX_LINE);
    snprintf(call->what, sizeof call->what, "GET /livez");
    pt_buf_printf(&call->url, "%s/livez", c->base);
    if (call->url.failed || !add_header(call, "Accept: */*") || add_shared_headers(call) < 0) {
        pt_kube_free_call(call);
        return;
    }
    c->probe = call;
    enlist(call, c->answer_ms);
}

/* A stream that is given up leaves its connection to the next one, dead or not. Where others are on it somebody asks whether it lives; else it is left. */
void pt_kube_doubt_connections(struct pt_kube_client *c)
{
    bool used = false;
    for (struct pt_api_call *call = c->calls; call; call = call->next)
        used |= call->easy != NULL;
    if (!used)
        (void)pt_kube_transport_renew(c);
    else if (!c->probe)
        start_probe(c);
}

static void watch_over(struct pt_timer *t)
{
    struct pt_kube_client *c = PT_KUBE_CLIENT_OF(t, watchdog);
    bool watching = false;
    for (struct pt_api_call *call = c->calls; call; call = call->next)
        watching |= call->watch && call->easy;
    if (watching && !c->probe && pt_now_ms(pt_loop_sched(c->loop)) - c->heard_ms >= c->idle_ms)
        start_probe(c);
    pt_timer_start(pt_loop_sched(c->loop), &c->watchdog, c->idle_ms / 2, watch_over);
}

void pt_kube_client_watchdog(struct pt_kube_client *c, int64_t idle_ms, int64_t answer_ms)
{
    c->idle_ms = idle_ms ? idle_ms : IDLE_MS;
    c->answer_ms = answer_ms ? answer_ms : ANSWER_MS;
    pt_timer_start(pt_loop_sched(c->loop), &c->watchdog, c->idle_ms / 2, watch_over);
}

void pt_kube_client_limit(struct pt_kube_client *c, double qps, double burst)
{
    pt_limiter_init(&c->limiter, qps, burst, pt_now_ms(pt_loop_sched(c->loop)));
}

/* --- the client --------------------------------------------------------------------------------------------------------------- */

void pt_kube_client_refresh(struct pt_kube_client *c)
{
    struct pt_err err;
    bool changed = false;
    if (pt_kube_config_refresh(&c->config, &changed, &err) < 0)
        pt_log(PT_LOG_WARN, "credentials could not be read again, the old ones stay", "error", err.msg, NULL);
    if (!changed)
        return;
    c->files++;
    pt_log(PT_LOG_INFO, "another certificate authority or client certificate, connections made with those before are cut", NULL);
    pt_kube_client_cut(c);
}

static void on_refresh(struct pt_timer *t)
{
    struct pt_kube_client *c = PT_KUBE_CLIENT_OF(t, refresh);
    pt_kube_client_refresh(c);
    pt_timer_start(pt_loop_sched(c->loop), &c->refresh, REFRESH_MS, on_refresh);
}

/* With a tls-server-name URLs carry that name, for the certificate, and connections go to the real host. */
static int name_server(struct pt_kube_client *c)
{
    const char *server = c->config.server, *scheme = strstr(server, "://"), *host = scheme ? scheme + 3 : server;
    const char *end = host + strcspn(host, "/"), *port = *host == '[' ? strchr(host, ']') : host;
    snprintf(c->host, sizeof c->host, "%.*s", (int)(end - host), host);
    if (!c->config.tls_server_name || strncmp(server, "https://", 8) != 0) {
        c->base = pt_strdup(server);
        return c->base ? PT_OK : PT_ENOMEM;
    }
    port = port ? memchr(port, ':', (size_t)(end - port)) : NULL;
    int host_len = (int)((port ? port : end) - host), port_len = port ? (int)(end - port) - 1 : 3;
    port = port ? port + 1 : "443";
    c->base = pt_asprintf("https://%s:%.*s%s", c->config.tls_server_name, port_len, port, end);
    pt_auto_free char *to = pt_asprintf("%s:%.*s:%.*s:%.*s", c->config.tls_server_name, port_len, port, host_len, host, port_len, port);
    c->connect_to = to ? curl_slist_append(NULL, to) : NULL;
    return c->base && c->connect_to ? PT_OK : PT_ENOMEM;
}

int pt_kube_client_create(struct pt_loop *loop, struct pt_kube_config *config, struct pt_metrics *metrics, struct pt_kube_client **out,
                          struct pt_err *err)
{
    struct pt_kube_client *c = pt_calloc(1, sizeof *c);
    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || pt_kube_transport_init(c) < 0) {
        pt_free(c);
        return pt_fail(err, PT_ENOMEM, "Kubernetes client: out of memory");
    }
    c->api.ops = &ops;
    c->loop = loop;
    c->metrics = metrics;
    c->config = *config;
    *config = (struct pt_kube_config){0};
    c->ready_tail = &c->ready;
    c->stale = c->config.exec != NULL;
    const char *disable = getenv("DISABLE_HTTP2"); /* client-go's: streams of one connection all go to one API server */
    c->http1 = disable && *disable;
    pt_rand_init(&c->rand, (uint64_t)pt_clock_mono_ns());
    pt_timer_start(pt_loop_sched(loop), &c->refresh, REFRESH_MS, on_refresh);
    pt_kube_client_watchdog(c, 0, 0);
    if (name_server(c) < 0) {
        pt_kube_client_destroy(c);
        return pt_fail(err, PT_ENOMEM, "Kubernetes client: out of memory");
    }
    *out = c;
    return PT_OK;
}

void pt_kube_client_destroy(struct pt_kube_client *c)
{
    if (!c)
        return;
    pt_kube_exec_cancel(c->plugin);
    while (c->calls)
        api_cancel(&c->api, c->calls);
    pt_kube_transport_finish(c);
    pt_timer_stop(pt_loop_sched(c->loop), &c->refresh);
    pt_timer_stop(pt_loop_sched(c->loop), &c->watchdog);
    curl_slist_free_all(c->connect_to);
    pt_free(c->base);
    pt_kube_config_finish(&c->config);
    curl_global_cleanup();
    pt_free(c);
}

struct pt_api *pt_kube_client_api(struct pt_kube_client *c)
{
    return &c->api;
}
