/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c: calls on libcurl's multi interface, driven by our loop.
 *
 * libcurl forbids adding and removing handles inside its callbacks, and our users do both from theirs. So libcurl's write callback
 * only appends to the call's buffer and puts the call on the ready list; after every entry into libcurl (pump) the ready calls are
 * delivered, with libcurl left. A call that is cancelled from inside its own delivery is freed when that returns.
 *
 * A call is launched when the rate limit allows it and credentials are there. An answer of 429 or 5xx that says when to come again is followed, up
 * to 10 times and within the call's deadline; a 401 fetches credentials anew, once. Credentials from files are read again once a minute,
 * those of a program when they expire. Connections are not told apart by us: libcurl opens another when the CA or the client certificate differ.
 *
 * Bounds: an answer may have MAX_BODY bytes, a watch line MAX_LINE; calls end by their deadline; a watch ends by the server's timeout plus
 * a grace. TCP keep-alive with TCP_USER_TIMEOUT notices a dead peer; as libcurl sends no HTTP/2 PING beside streams, a watchdog asks for /livez over the
 * same connection when all watches are silent, and cuts the connections when that is not answered.
 */
#include "operator/kube/client.h"

#include "operator/kube/exec.h"
#include "operator/kube/limiter.h"
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

enum { MAX_BODY = 256 << 20, MAX_LINE = 8 << 20, REFRESH_MS = 60000, WATCH_GRACE_MS = 30000, MAX_SECONDS_WATCH = 600, MAX_HANDLES_KEPT = 16,
       MAX_TRIES = 10, IDLE_MS = 30000, ANSWER_MS = 15000, MAX_CONNECT_MS = 30000 };

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
    bool waiting_for_credentials, reauthenticated, has_fresh;
    unsigned tries, credential;         /* the number of the one it went with */
    int64_t deadline_ms, launched_ms;
    struct pt_timer wait;               /* until it is launched */
    struct pt_err failure;              /* why it could not be launched */
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
    struct pt_timer timer, refresh, watchdog;
    struct pt_limiter limiter;
    struct pt_exec_run *plugin;         /* fetching credentials */
    int64_t expires_ms;                 /* of the plugin's credential, wall clock; 0: does not say */
    bool stale;                         /* the plugin must be asked (again) before the next call */
    unsigned credential;                /* number of the credential in use */
    int64_t heard_ms, idle_ms, answer_ms;
    struct pt_api_call *probe;
    struct curl_slist *connect_to;      /* the real address behind a tls-server-name */
    char *base;                         /* what URLs begin with */
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

static const double seconds[] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60}, bytes[] = {64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216};
#define SECONDS seconds, sizeof seconds / sizeof *seconds
#define BYTES bytes, sizeof bytes / sizeof *bytes
static const struct pt_metric_family
    requests_family = {"rest_client_requests_total", "Number of HTTP requests, partitioned by status code, method, and host.", PT_COUNTER, "code,method,host", NULL, 0},
    retries_family = {"rest_client_request_retries_total", "Number of request retries, partitioned by status code, verb, and host.", PT_COUNTER, "code,verb,host", NULL, 0},
    duration_family = {"rest_client_request_duration_seconds", "Request latency in seconds. Broken down by verb, and host.", PT_HISTOGRAM, "verb,host", SECONDS},
    request_size_family = {"rest_client_request_size_bytes", "Request size in bytes. Broken down by verb and host.", PT_HISTOGRAM, "verb,host", BYTES},
    response_size_family = {"rest_client_response_size_bytes", "Response size in bytes. Broken down by verb and host.", PT_HISTOGRAM, "verb,host", BYTES},
    limiter_family = {"rest_client_rate_limiter_duration_seconds", "Client side rate limiter latency in seconds. Broken down by verb, and host.", PT_HISTOGRAM, "verb,host", SECONDS},
    plugin_family = {"rest_client_exec_plugin_call_total", "Number of calls to an exec plugin, partitioned by the type of event encountered.", PT_COUNTER, "call_status", NULL, 0};

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

static void give_handle_back(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    if (!call->easy)
        return;
    curl_multi_remove_handle(c->multi, call->easy);
    if (c->spare_count < MAX_HANDLES_KEPT)
        c->spare[c->spare_count++] = call->easy;
    else
        curl_easy_cleanup(call->easy);
    call->easy = NULL;
}

static void free_call(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    if (c->probe == call)
        c->probe = NULL;
    pt_timer_stop(pt_loop_sched(c->loop), &call->wait);
    give_handle_back(call);
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
    if (!call->easy) { /* never launched */
        r->err = call->failure;
        return;
    }
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
    if (!c->metrics || !call->easy)
        return;
    pt_metric_add(pt_metrics_series(c->metrics, &requests_family, http ? code : "<error>", call->verb, c->host, NULL), 1);
    pt_metric_observe(pt_metrics_series(c->metrics, &request_size_family, call->verb, c->host, NULL), (double)call->body.len);
    if (call->watch)
        return;
    pt_metric_observe(pt_metrics_series(c->metrics, &response_size_family, call->verb, c->host, NULL), (double)call->in.len);
    pt_metric_observe(pt_metrics_series(c->metrics, &duration_family, call->verb, c->host, NULL), (double)(pt_now_ms(pt_loop_sched(c->loop)) - call->launched_ms) / 1000.0);
}

static void launch_after(struct pt_api_call *call, int64_t delay_ms);
static bool renew_credentials(struct pt_api_call *call);

/* true: it is tried again instead. */
static bool try_again(struct pt_api_call *call, const struct pt_api_result *r)
{
    struct pt_kube_client *c = call->client;
    int64_t delay = r->retry_after_ms >= 0 ? r->retry_after_ms : 0;
    bool told = (r->http == 429 || r->http >= 500) && r->retry_after_ms >= 0 && ++call->tries <= MAX_TRIES;
    bool in_time = pt_now_ms(pt_loop_sched(c->loop)) + delay < call->deadline_ms;
    if (call == c->probe || !((told && in_time && !call->watch) || (r->http == 401 && renew_credentials(call))))
        return false;
    if (c->metrics) {
        char code[24];
        snprintf(code, sizeof code, "%d", r->http);
        pt_metric_add(pt_metrics_series(c->metrics, &retries_family, code, call->verb, c->host, NULL), 1);
    }
    pt_log(PT_LOG_DEBUG, "request tried again", "request", call->what, "error", r->err.msg, NULL);
    give_handle_back(call);
    pt_buf_reset(&call->in);
    call->finished = false;
    launch_after(call, delay);
    return true;
}

/* false: the call goes on. */
static bool finish_call(struct pt_api_call *call, const struct pt_err *bad_line)
{
    struct pt_api_result r = {.retry_after_ms = -1};
    fill_result(call, &r);
    if (bad_line)
        r.err = *bad_line;
    count_request(call, r.http);
    if (!bad_line && try_again(call, &r))
        return false;
    call->done(call->arg, &r);
    return true;
}

static void deliver(struct pt_api_call *call)
{
    struct pt_err err = {0};
    long http = 0;
    bool bad = false;
    call->delivering = true;
    if (call->easy)
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http);
    if (call->watch && http == 200)
        bad = deliver_lines(call, &err) < 0;
    if ((call->finished || bad || call->overflow) && !call->cancelled)
        call->cancelled |= finish_call(call, bad ? &err : NULL);
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
    call->client->heard_ms = pt_now_ms(pt_loop_sched(call->client->loop));
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
    unsigned ms = IDLE_MS + ANSWER_MS;
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
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MAX_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, call->client->connect_to);
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
    curl_easy_reset(call->easy);
    set_transport(call, left > 1 ? (long)left : 1);
    set_credentials(c, call->easy);
    call->credential = c->credential;
    CURLMcode rc = curl_multi_add_handle(c->multi, call->easy);
    if (rc != CURLM_OK)
        return pt_fail(err, PT_EINTERNAL, "%s: %s", call->what, curl_multi_strerror(rc));
    call->launched_ms = now;
    return PT_OK;
}

/* Its caller is told on the next turn. */
static void fail_launch(struct pt_api_call *call, const struct pt_err *err)
{
    give_handle_back(call);
    call->failure = *err;
    call->finished = true;
    make_ready(call);
    pt_timer_start(pt_loop_sched(call->client->loop), &call->client->timer, 0, on_timer);
}

static void launch(struct pt_timer *t);

static void launch_after(struct pt_api_call *call, int64_t delay_ms)
{
    pt_timer_start(pt_loop_sched(call->client->loop), &call->wait, delay_ms, launch);
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
            launch_after(call, 0);
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
        call->waiting_for_credentials = true;
        if (!c->plugin && pt_kube_exec_start(c->loop, &c->config, have_credentials, c, &c->plugin, &err) < 0)
            have_credentials(c, NULL, &err);
        return;
    }
    if (add_to_multi(call, &err) < 0)
        fail_launch(call, &err);
}

/* After a 401: true when there are, or will be, others to try with. */
static bool renew_credentials(struct pt_api_call *call)
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
    int64_t now = pt_now_ms(pt_loop_sched(c->loop)), wait = call == c->probe ? 0 : pt_limiter_take(&c->limiter, now);
    call->next = c->calls;
    call->link = &c->calls;
    if (c->calls)
        c->calls->link = &call->next;
    c->calls = call;
    call->deadline_ms = now + wait + timeout_ms;
    if (wait && c->metrics)
        pt_metric_observe(pt_metrics_series(c->metrics, &limiter_family, call->verb, c->host, NULL), (double)wait / 1000.0);
    launch_after(call, wait);
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
        free_call(call);
        return rc;
    }
    if (out)
        *out = call;
    enlist(call, call->watch ? (req->timeout_ms ? req->timeout_ms : MAX_SECONDS_WATCH * 1000) + WATCH_GRACE_MS : req->timeout_ms ? req->timeout_ms : 30000);
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

/* --- watchdog -------------------------------------------------------------------------------------------------------------- */

static void probed(void *arg, const struct pt_api_result *r)
{
    struct pt_kube_client *c = arg;
    if (r->http > 0) /* whatever it says: somebody is there */
        return;
    pt_log(PT_LOG_WARN, "the API server gives no sign of life, connections cut", "error", r->err.msg, NULL);
    for (struct socket_watch *w = c->sockets; w; w = w->next)
        shutdown(w->fd, SHUT_RDWR); /* libcurl sees the end of each and fails what is on it */
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
        free_call(call);
        return;
    }
    c->probe = call;
    enlist(call, c->answer_ms);
}

static void watch_over(struct pt_timer *t)
{
    struct pt_kube_client *c = CLIENT_OF(t, watchdog);
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
}

static void on_refresh(struct pt_timer *t)
{
    struct pt_kube_client *c = CLIENT_OF(t, refresh);
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
    c->stale = c->config.exec != NULL;
    pt_rand_init(&c->rand, (uint64_t)pt_clock_mono_ns());
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
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
    for (size_t i = 0; i < c->spare_count; i++)
        curl_easy_cleanup(c->spare[i]);
    curl_multi_cleanup(c->multi);
    while (c->sockets)
        drop_socket(c, c->sockets);
    pt_timer_stop(pt_loop_sched(c->loop), &c->timer);
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
