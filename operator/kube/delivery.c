/* SPDX-License-Identifier: Apache-2.0
 *
 * delivery.c: what came is handed on: lines of a watch as events, the end of a call as its result, or as another try. libcurl is left by then.
 */
#include "operator/kube/internal.h"

#include "base/log.h"

#include <stdio.h>

static const double seconds[] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60},
                    bytes[] = {64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216};
#define SECONDS seconds, sizeof seconds / sizeof *seconds
#define BYTES bytes, sizeof bytes / sizeof *bytes
static const struct pt_metric_family requests_family = {"rest_client_requests_total",
                                                        "Number of HTTP requests, partitioned by status code, method, and host.",
                                                        PT_COUNTER,
                                                        "code,method,host",
                                                        NULL,
                                                        0},
                                     retries_family = {"rest_client_request_retries_total",
                                                       "Number of request retries, partitioned by status code, verb, and host.",
                                                       PT_COUNTER,
                                                       "code,verb,host",
                                                       NULL,
                                                       0},
                                     duration_family = {"rest_client_request_duration_seconds",
                                                        "Request latency in seconds. Broken down by verb, and host.", PT_HISTOGRAM, "verb,host",
                                                        SECONDS},
                                     request_size_family = {"rest_client_request_size_bytes", "Request size in bytes. Broken down by verb and host.",
                                                            PT_HISTOGRAM, "verb,host", BYTES},
                                     response_size_family = {"rest_client_response_size_bytes",
                                                             "Response size in bytes. Broken down by verb and host.", PT_HISTOGRAM, "verb,host",
                                                             BYTES};

void pt_kube_make_ready(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    if (call->on_ready)
        return;
    call->on_ready = true;
    call->next_ready = NULL;
    *c->ready_tail = call;
    c->ready_tail = &call->next_ready;
}

void pt_kube_give_handle_back(struct pt_api_call *call)
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

void pt_kube_free_call(struct pt_api_call *call)
{
    struct pt_kube_client *c = call->client;
    if (c->probe == call)
        c->probe = NULL;
    pt_timer_stop(pt_loop_sched(c->loop), &call->wait);
    pt_kube_give_handle_back(call);
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
    if (used == call->in.len) /* a first list leaves megabytes of room to a stream that is quiet from then on */
        pt_buf_finish(&call->in);
    else
        pt_buf_consume(&call->in, used);
    return rc;
}

static int curl_code(CURLcode rc)
{
    return rc == CURLE_OPERATION_TIMEDOUT ? PT_ETIMEDOUT
           : rc == CURLE_OUT_OF_MEMORY    ? PT_ENOMEM
           : rc == CURLE_COULDNT_CONNECT  ? PT_EUNAVAILABLE
                                          : PT_EIO;
}

/* Which of the server's queues was full: what a cluster's administrator needs to know. */
static void name_queue(struct pt_api_call *call, struct pt_err *err)
{
    static const struct {
        const char *header, *what;
    } rows[] = {{"X-Kubernetes-PF-FlowSchema-UID", "flow schema"}, {"X-Kubernetes-PF-PriorityLevel-UID", "priority level"}};
    struct curl_header *h;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(err->msg);
        if (curl_easy_header(call->easy, rows[i].header, 0, CURLH_HEADER, -1, &h) == CURLHE_OK)
            snprintf(err->msg + n, sizeof err->msg - n, ", %s %.40s", rows[i].what, h->value);
    }
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
        if (http == 429)
            name_queue(call, &r->err);
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
    pt_metric_observe(pt_metrics_series(c->metrics, &duration_family, call->verb, c->host, NULL),
                      (double)(pt_now_ms(pt_loop_sched(c->loop)) - call->launched_ms) / 1000.0);
}

/* true: it is tried again instead. */
static bool try_again(struct pt_api_call *call, const struct pt_api_result *r)
{
    struct pt_kube_client *c = call->client;
    int64_t delay = r->retry_after_ms >= 0 ? r->retry_after_ms : 0;
    bool told = (r->http == 429 || r->http >= 500) && r->retry_after_ms >= 0 && ++call->tries <= MAX_TRIES;
    bool in_time = pt_now_ms(pt_loop_sched(c->loop)) + delay < call->deadline_ms;
    bool untrusted = call->result == CURLE_PEER_FAILED_VERIFICATION || call->result == CURLE_SSL_CACERT_BADFILE;
    if (call == c->probe)
        return false;
    bool renewed = (r->http == 401 && pt_kube_renew_credentials(call)) || (untrusted && pt_kube_renew_trust(call));
    if (!renewed && !(told && in_time && !call->watch))
        return false;
    if (c->metrics) {
        char code[24];
        snprintf(code, sizeof code, "%d", r->http);
        pt_metric_add(pt_metrics_series(c->metrics, &retries_family, code, call->verb, c->host, NULL), 1);
    }
    pt_log(PT_LOG_DEBUG, "request tried again", "request", call->what, "error", r->err.msg, NULL);
    pt_kube_give_handle_back(call);
    pt_buf_reset(&call->in);
    call->finished = false;
    pt_kube_launch_after(call, delay);
    return true;
}

/* false: the call goes on. */
static bool finish_call(struct pt_api_call *call, const struct pt_err *bad_line)
{
    struct pt_kube_client *c = call->client;
    struct pt_api_result r = {.retry_after_ms = -1};
    fill_result(call, &r);
    c->mute |= call->result == CURLE_OPERATION_TIMEDOUT && call != c->probe && c->heard_ms <= call->launched_ms;
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
        pt_kube_free_call(call);
}

void pt_kube_deliver_ready(struct pt_kube_client *c)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
        struct pt_api_call *call = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call->finished = true;
        call->result = m->data.result;
        pt_kube_make_ready(call);
    }
    while (c->ready) {
        struct pt_api_call *call = c->ready;
        c->ready = call->next_ready;
        if (!c->ready)
            c->ready_tail = &c->ready;
        call->on_ready = false;
        deliver(call);
    }
    if (c->mute)
        pt_kube_doubt_connections(c);
    c->mute = false;
}
