/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c: calls on libcurl's multi interface, driven by our loop.
 *
 * libcurl forbids adding and removing handles inside its callbacks, and our users do both from theirs. So libcurl's write callback
 * only appends to the call's buffer and puts the call on the ready list; after every entry into libcurl (pump) the ready calls are
 * delivered, with libcurl left. A call that is cancelled from inside its own delivery is freed when that returns.
 *
 * Bounds: an answer may have MAX_BODY bytes, a watch line MAX_LINE; calls end by their deadline; a watch ends by the server's timeout plus
 * a grace, and TCP keep-alive with TCP_USER_TIMEOUT notices a dead peer. Credentials from files are read again once a minute and after a 401.
 */
#include "operator/kube/client.h"

#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { MAX_BODY = 256 << 20, MAX_LINE = 8 << 20, REFRESH_MS = 60000, WATCH_GRACE_MS = 30000, MAX_SECONDS_WATCH = 600, MAX_HANDLES_KEPT = 16 };

struct pt_api_call {
    struct pt_kube_client *client;
    struct pt_api_call *next, **link;   /* list of all calls */
    struct pt_api_call *next_ready;
    CURL *easy;
    struct curl_slist *headers;
    struct pt_buf url, body, in;        /* request body; received bytes not yet delivered */
    char what[160];                     /* "GET /api/v1/..." for messages */
    const char *verb;
    bool watch, on_ready, finished, delivering, cancelled, overflow;
    CURLcode result;
    pt_watch_event_fn event;
    pt_api_done_fn done;
    void *arg;
};

struct pt_kube_client {
    struct pt_api api; /* first member */
    struct pt_loop *loop;
    struct pt_kube_config config;
    struct pt_metrics *metrics;
    char host[128];
    CURLM *multi;
    struct pt_timer timer, refresh;
    struct pt_api_call *calls, *ready, **ready_tail;
    struct socket_watch *sockets;
    CURL *spare[MAX_HANDLES_KEPT];
    size_t spare_count;
    struct pt_rand rand;
};

struct socket_watch {
    struct pt_kube_client *client;
    struct socket_watch *next;
    struct pt_poll *poll;
    curl_socket_t fd;
};

static const struct pt_metric_family requests_family = {
    "rest_client_requests_total", "Number of HTTP requests, partitioned by status code, method, and host.", PT_COUNTER, "code,method,host", NULL, 0};

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
    [PT_VERB_DELETE] = {"DELETE", "application/json"},
};

/* --- delivery -------------------------------------------------------------------------------------------------------- */

static void make_ready(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    if (call->on_ready)
        return;
    call->on_ready = true;
    call->next_ready = NULL;
    *c->ready_tail = call;
    c->ready_tail = &call->next_ready;
}

static void free_call(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    if (call->easy) {
        curl_multi_remove_handle(c->multi, call->easy);
        if (c->spare_count < MAX_HANDLES_KEPT)
            c->spare[c->spare_count++] = call->easy;
        else
            curl_easy_cleanup(call->easy);
    }
    if (call->link) {
        *call->link = call->next;
        if (call->next)
            call->next->link = call->link;
    }
    curl_slist_free_all(call->headers);
    pt_buf_finish(&call->url);
    pt_buf_finish(&call->body);
    pt_buf_finish(&call->in);
    pt_free(call);
}

/* The complete lines of a watch stream; what is left of the last one stays. */
static int deliver_lines(struct pt_api_call *call, struct pt_err *err)
{
    size_t used = 0;
    int rc = PT_OK;
    while (rc == PT_OK && !call->cancelled) {
        const char *line = call->in.data + used, *end = call->in.len > used ? memchr(line, '\n', call->in.len - used) : NULL;
        if (!end)
            break;
        used = (size_t)(end - call->in.data) + 1;
        struct pt_watch_event e;
        if (end > line)
            rc = pt_kube_decode_event((struct pt_str){line, (size_t)(end - line)}, &e, err);
        if (end > line && rc == PT_OK)
            call->event(call->arg, &e);
    }
    pt_buf_consume(&call->in, used);
    return rc;
}

static int curl_code(CURLcode rc)
{
    return rc == CURLE_OPERATION_TIMEDOUT ? PT_ETIMEDOUT : rc == CURLE_OUT_OF_MEMORY ? PT_ENOMEM : rc == CURLE_COULDNT_CONNECT ? PT_EUNAVAILABLE : PT_EIO;
}

static void fill_result(struct pt_api_call *call, struct pt_api_result *r)
{
    long http = 0;
    curl_off_t retry = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http);
    curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry);
    r->http = (int)http;
    r->retry_after_ms = retry > 0 && retry < 86400 ? (int64_t)retry * 1000 : -1;
    r->body = (struct pt_str){pt_buf_cstr(&call->in), call->in.len};
    if (call->overflow) {
        pt_fail(&r->err, PT_ELIMIT, "%s: the answer has more than %d MiB", call->what, (call->watch ? MAX_LINE : MAX_BODY) >> 20);
    } else if (call->result != CURLE_OK && !(call->watch && http == 200)) {
        r->http = 0;
        pt_fail(&r->err, curl_code(call->result), "%s: %s", call->what, curl_easy_strerror(call->result));
    } else if (call->result != CURLE_OK) {
        pt_fail(&r->err, curl_code(call->result), "%s: stream broke off: %s", call->what, curl_easy_strerror(call->result));
    } else {
        pt_kube_decode_status(r, call->what);
    }
}

static void count_request(struct pt_api_call *call, int http)
{
    char code[24];
    struct pt_kube_client *c = call->client;
    snprintf(code, sizeof code, "%d", http);
    if (c->metrics)
        pt_metric_add(pt_metrics_series(c->metrics, &requests_family, http ? code : "<error>", call->verb, c->host, NULL), 1);
}

static void finish_call(struct pt_api_call *call, const struct pt_err *bad_line)
{
    struct pt_api_result r = {.retry_after_ms = -1};
    fill_result(call, &r);
    if (bad_line)
        r.err = *bad_line;
    count_request(call, r.http);
    if (r.http == 401)
        pt_timer_start(pt_loop_sched(call->client->loop), &call->client->refresh, 0, call->client->refresh.fn);
    call->done(call->arg, &r);
}

static void deliver(struct pt_api_call *call)
{
    struct pt_err err = {0};
    long http = 0;
    bool bad = false;
    call->delivering = true;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http);
    if (call->watch && http == 200)
        bad = deliver_lines(call, &err) < 0;
    if ((call->finished || bad || call->overflow) && !call->cancelled) {
        finish_call(call, bad ? &err : NULL);
        call->cancelled = true;
    }
    call->delivering = false;
    if (call->cancelled)
        free_call(call);
}

/* Everything libcurl left for us. Called with libcurl not on the stack. */
static void deliver_ready(struct pt_kube_client *c)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
        struct pt_api_call *call = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call->finished = true;
        call->result = m->data.result;
        make_ready(call);
    }
    while (c->ready) {
        struct pt_api_call *call = c->ready;
        c->ready = call->next_ready;
        if (!c->ready)
            c->ready_tail = &c->ready;
        call->on_ready = false;
        deliver(call);
    }
}

static void pump(struct pt_kube_client *c, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(c->multi, fd, events, &running);
    deliver_ready(c);
}

/* --- libcurl's callbacks ------------------------------------------------------------------------------------------------- */

static size_t on_write(char *data, size_t size, size_t count, void *arg)
{
    struct pt_api_call *call = arg;
    if (!pt_buf_append(&call->in, data, size * count)) {
        call->overflow = true;
        make_ready(call);
        return 0;
    }
    if (call->watch)
        make_ready(call);
    return size * count;
}

static void on_poll(void *arg, int events)
{
    struct socket_watch *w = arg;
    int mask = (events & PT_READABLE ? CURL_CSELECT_IN : 0) | (events & PT_WRITABLE ? CURL_CSELECT_OUT : 0) | (events ? 0 : CURL_CSELECT_ERR);
    pump(w->client, w->fd, mask);
}

static void drop_socket(struct pt_kube_client *c, struct socket_watch *w)
{
    struct socket_watch **link = &c->sockets;
    while (*link && *link != w)
        link = &(*link)->next;
    if (*link)
        *link = w->next;
    pt_poll_destroy(w->poll);
    pt_free(w);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct pt_kube_client *c = arg;
    struct socket_watch *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(c->multi, fd, NULL);
        if (w)
            drop_socket(c, w);
        return 0;
    }
    if (!w) {
        w = pt_calloc(1, sizeof *w);
        if (!w)
            return -1;
        *w = (struct socket_watch){.client = c, .fd = fd};
        if (pt_poll_create(c->loop, fd, on_poll, w, &w->poll, NULL) < 0) {
            pt_free(w);
            return -1;
        }
        w->next = c->sockets;
        c->sockets = w;
        curl_multi_assign(c->multi, fd, w);
    }
    return pt_poll_set(w->poll, (what & CURL_POLL_IN ? PT_READABLE : 0) | (what & CURL_POLL_OUT ? PT_WRITABLE : 0)) < 0 ? -1 : 0;
}

#define CLIENT_OF(t, member) ((struct pt_kube_client *)(void *)((char *)(t) - offsetof(struct pt_kube_client, member)))

static void on_timer(struct pt_timer *t)
{
    pump(CLIENT_OF(t, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
    struct pt_kube_client *c = arg;
    (void)multi;
    if (ms < 0)
        pt_timer_stop(pt_loop_sched(c->loop), &c->timer);
    else
        pt_timer_start(pt_loop_sched(c->loop), &c->timer, ms, on_timer);
    return 0;
}

static int on_sockopt(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    unsigned ms = 60000;
    (void)arg;
    (void)purpose;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

/* --- calls ----------------------------------------------------------------------------------------------------------------- */

static void set_pem(CURL *easy, CURLoption option, const char *pem)
{
    if (pem) {
        struct curl_blob blob = {.data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
        curl_easy_setopt(easy, option, &blob);
    }
}

static void set_credentials(struct pt_kube_client *c, CURL *easy)
{
    const struct pt_kube_config *k = &c->config;
    set_pem(easy, CURLOPT_CAINFO_BLOB, k->ca_pem);
    set_pem(easy, CURLOPT_SSLCERT_BLOB, k->cert_pem);
    set_pem(easy, CURLOPT_SSLKEY_BLOB, k->key_pem);
    if (k->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (k->proxy_url)
        curl_easy_setopt(easy, CURLOPT_PROXY, k->proxy_url);
    if (k->token) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, k->token);
    } else if (k->username) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, k->username);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, k->password ? k->password : "");
    }
}

static void set_transport(struct pt_api_call *call, long timeout_ms)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_URL, pt_buf_cstr(&call->url));
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->verb);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_sockopt);
    if (call->body.len) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.data);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    }
}

static bool add_header(struct pt_api_call *call, const char *header)
{
    struct curl_slist *list = curl_slist_append(call->headers, header);
    if (list)
        call->headers = list;
    return list != NULL;
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
    pt_buf_puts(&call->url, c->config.server);
    struct pt_api_request with_manager = *req;
    if (!req->field_manager)
        with_manager.field_manager = PT_MANAGER;
    int rc = pt_kube_path(&with_manager, watch, pt_rand_u32(&c->rand), &call->url, err);
    if (rc < 0)
        return rc;
    call->verb = verbs[req->verb].method;
    snprintf(call->what, sizeof call->what, "%s %s", call->verb, pt_buf_cstr(&call->url) + strlen(c->config.server));
    if (req->verb == PT_VERB_DELETE)
        put_delete_options(req, &call->body);
    else
        pt_buf_append(&call->body, req->body.p, req->body.len);
    snprintf(header, sizeof header, "Content-Type: %s", verbs[req->verb].content_type ? verbs[req->verb].content_type : "");
    if ((verbs[req->verb].content_type && !add_header(call, header)) || !add_header(call, "Accept: application/json") || !add_header(call, "Expect:"))
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", call->what);
    return pt_buf_check(&call->body, call->what, err);
}

static int add_call(struct pt_api_call *call, const struct pt_api_request *req, struct pt_err *err)
{
    struct pt_kube_client *c = call->client;
    int64_t timeout_ms = call->watch ? (req->timeout_ms ? req->timeout_ms : MAX_SECONDS_WATCH * 1000) + WATCH_GRACE_MS
                                     : (req->timeout_ms ? req->timeout_ms : 30000);
    call->easy = c->spare_count ? c->spare[--c->spare_count] : curl_easy_init();
    if (!call->easy)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", call->what);
    curl_easy_reset(call->easy);
    set_transport(call, (long)timeout_ms);
    set_credentials(c, call->easy);
    CURLMcode rc = curl_multi_add_handle(c->multi, call->easy);
    if (rc != CURLM_OK)
        return pt_fail(err, PT_EINTERNAL, "%s: %s", call->what, curl_multi_strerror(rc));
    call->next = c->calls;
    call->link = &c->calls;
    if (c->calls)
        c->calls->link = &call->next;
    c->calls = call;
    return PT_OK;
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
    if (rc == PT_OK)
        rc = add_call(call, req, err);
    if (rc < 0) {
        free_call(call);
        return rc;
    }
    if (out)
        *out = call;
    return PT_OK;
}

static int api_start(struct pt_api *api, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out, struct pt_err *err)
{
    return start_call((struct pt_kube_client *)(void *)api, req, NULL, done, arg, out, err);
}

static int api_watch(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg, struct pt_api_call **out,
                     struct pt_err *err)
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
    free_call(call);
}

static const struct pt_api_ops ops = {api_start, api_watch, api_cancel};

/* --- the client --------------------------------------------------------------------------------------------------------------- */

static void on_refresh(struct pt_timer *t)
{
    struct pt_kube_client *c = CLIENT_OF(t, refresh);
    struct pt_err err;
    bool changed = false;
    if (pt_kube_config_refresh(&c->config, &changed, &err) < 0)
        pt_log(PT_LOG_WARN, "credentials could not be read again, the old ones stay", "error", err.msg, NULL);
    pt_timer_start(pt_loop_sched(c->loop), &c->refresh, REFRESH_MS, on_refresh);
}

int pt_kube_client_create(struct pt_loop *loop, struct pt_kube_config *config, struct pt_metrics *metrics, struct pt_kube_client **out, struct pt_err *err)
{
    struct pt_kube_client *c = pt_calloc(1, sizeof *c);
    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(c->multi = curl_multi_init())) {
        pt_free(c);
        return pt_fail(err, PT_ENOMEM, "Kubernetes client: out of memory");
    }
    c->api.ops = &ops;
    c->loop = loop;
    c->metrics = metrics;
    c->config = *config;
    *config = (struct pt_kube_config){0};
    c->ready_tail = &c->ready;
    const char *host = strstr(c->config.server, "://");
    snprintf(c->host, sizeof c->host, "%s", host ? host + 3 : c->config.server);
    pt_rand_init(&c->rand, (uint64_t)pt_clock_mono_ns());
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    pt_timer_start(pt_loop_sched(loop), &c->refresh, REFRESH_MS, on_refresh);
    *out = c;
    return PT_OK;
}

void pt_kube_client_destroy(struct pt_kube_client *c)
{
    if (!c)
        return;
    while (c->calls)
        api_cancel(&c->api, c->calls);
    for (size_t i = 0; i < c->spare_count; i++)
        curl_easy_cleanup(c->spare[i]);
    curl_multi_cleanup(c->multi);
    while (c->sockets)
        drop_socket(c, c->sockets);
    pt_timer_stop(pt_loop_sched(c->loop), &c->timer);
    pt_timer_stop(pt_loop_sched(c->loop), &c->refresh);
    pt_kube_config_finish(&c->config);
    curl_global_cleanup();
    pt_free(c);
}

struct pt_api *pt_kube_client_api(struct pt_kube_client *c)
{
    return &c->api;
}
