/* SPDX-License-Identifier: Apache-2.0
 *
 * transport.c: libcurl's multi interface on our loop: its sockets, its timer, and what each call asks of it.
 */
#include "operator/kube/internal.h"

#include "base/contract.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static void pump(struct pt_kube_client *c, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(c->multi, fd, events, &running);
    pt_kube_deliver_ready(c);
}

static size_t on_write(char *data, size_t size, size_t count, void *arg)
{
    struct pt_api_call *call = arg;
    call->client->heard_ms = pt_now_ms(pt_loop_sched(call->client->loop));
    if (!pt_buf_append(&call->in, data, size * count)) {
        call->overflow = true;
        pt_kube_make_ready(call);
        return 0;
    }
    if (call->watch)
        pt_kube_make_ready(call);
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

static void on_timer(struct pt_timer *t)
{
    pump(PT_KUBE_CLIENT_OF(t, timer), CURL_SOCKET_TIMEOUT, 0);
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

/* Connections are kept account of, as libcurl shows a socket to on_socket only while a call is on it. */
static int on_sockopt(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    struct pt_kube_client *c = arg;
    unsigned ms = IDLE_MS + ANSWER_MS;
    struct connection *k = pt_calloc(1, sizeof *k);
    (void)purpose;
    if (!k)
        return CURL_SOCKOPT_ERROR;
    *k = (struct connection){.next = c->connections, .fd = fd};
    c->connections = k;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

static int on_close_socket(void *arg, curl_socket_t fd)
{
    struct pt_kube_client *c = arg;
    struct connection **link = &c->connections, *k;
    while (*link && (*link)->fd != fd)
        link = &(*link)->next;
    if ((k = *link)) {
        *link = k->next;
        pt_free(k);
    }
    return close(fd);
}

/* --- what a call asks of libcurl --------------------------------------------------------------------------------------------- */

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

void pt_kube_set_up(struct pt_api_call *call, long timeout_ms)
{
    CURL *easy = call->easy;
    curl_easy_reset(easy);
    set_credentials(call->client, easy);
    curl_easy_setopt(easy, CURLOPT_URL, pt_buf_cstr(&call->url));
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->verb);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, PT_MANAGER "/" PT_VERSION);
    if (!call->watch && !call->client->config.uncompressed) /* events come one at a time */
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)(call->client->http1 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BYTES);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MAX_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, call->client->connect_to);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_sockopt);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, call->client);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, call->client);
    if (call->body.len) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.data);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    }
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */

void pt_kube_wake(struct pt_kube_client *c)
{
    pt_timer_start(pt_loop_sched(c->loop), &c->timer, 0, on_timer);
}

int pt_kube_transport_renew(struct pt_kube_client *c)
{
    CURLM *old = c->multi;
    if (pt_kube_transport_init(c) < 0) {
        c->multi = old;
        return PT_ENOMEM;
    }
    curl_multi_cleanup(old);
    return PT_OK;
}

int pt_kube_transport_init(struct pt_kube_client *c)
{
    if (!(c->multi = curl_multi_init()))
        return PT_ENOMEM;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    return PT_OK;
}

void pt_kube_transport_finish(struct pt_kube_client *c)
{
    for (size_t i = 0; i < c->spare_count; i++)
        curl_easy_cleanup(c->spare[i]);
    curl_multi_cleanup(c->multi);
    while (c->sockets)
        drop_socket(c, c->sockets);
    pt_timer_stop(pt_loop_sched(c->loop), &c->timer);
}
