/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of the client share. client.c makes calls and launches them, transport.c drives libcurl from our loop, delivery.c hands
 * on what came.
 */
#ifndef PT_KUBE_INTERNAL_H
#define PT_KUBE_INTERNAL_H

#include "operator/kube/client.h"
#include "operator/kube/exec.h"
#include "operator/kube/limiter.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <curl/curl.h>

enum {
    MAX_BODY = 256 << 20,
    MAX_LINE = 8 << 20,
    REFRESH_MS = 10000,
    WATCH_GRACE_MS = 30000,
    MAX_SECONDS_WATCH = 600,
    MAX_HANDLES_KEPT = 16,
    MAX_TRIES = 10,
    IDLE_MS = 30000,
    ANSWER_MS = 15000,
    MAX_CONNECT_MS = 30000,
    LONG_WAIT_MS = 50, /* of the rate limit: said */
    UPLOAD_BYTES = 16384, /* the least that libcurl takes, for each call under way; what it reads into is left alone: 7.88 crashed when that was made
                             smaller on handles that are used again */
};

struct pt_api_call {
    struct pt_kube_client *client;
    struct pt_api_call *next, **link; /* list of all calls */
    struct pt_api_call *next_ready;
    CURL *easy;
    struct curl_slist *headers;
    struct pt_buf url, body, in; /* request body; received bytes not yet delivered */
    char what[160];              /* "GET /api/v1/..." for messages */
    const char *verb;
    bool watch, on_ready, finished, delivering, cancelled, overflow;
    bool waiting_for_credentials, reauthenticated, has_fresh;
    unsigned tries, credential, files; /* the numbers of those it went with */
    int64_t deadline_ms, launched_ms;
    struct pt_timer wait;  /* until it is launched */
    struct pt_err failure; /* why it could not be launched */
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
    struct pt_exec_run *plugin; /* fetching credentials */
    int64_t expires_ms;         /* of the plugin's credential, wall clock; 0: does not say */
    bool http1;                 /* no HTTP/2 */
    bool mute;                  /* a call has just ended by its deadline, and nothing at all was heard meanwhile */
    bool stale;                 /* the plugin must be asked (again) before the next call */
    unsigned credential, files; /* numbers of the credential, and of the certificates from files, in use */
    int64_t heard_ms, idle_ms, answer_ms;
    struct pt_api_call *probe;
    struct curl_slist *connect_to; /* the real address behind a tls-server-name */
    char *base;                    /* what URLs begin with */
    struct pt_api_call *calls, *ready, **ready_tail;
    struct socket_watch *sockets;
    struct connection *connections;
    CURL *spare[MAX_HANDLES_KEPT];
    size_t spare_count;
    struct pt_rand rand;
};

struct connection {
    struct connection *next;
    curl_socket_t fd;
};

struct socket_watch {
    struct pt_kube_client *client;
    struct socket_watch *next;
    struct pt_poll *poll;
    curl_socket_t fd;
};

#define PT_KUBE_CLIENT_OF(t, member) ((struct pt_kube_client *)(void *)((char *)(t)-offsetof(struct pt_kube_client, member)))

/* client.c */
void pt_kube_launch_after(struct pt_api_call *call, int64_t delay_ms);
bool pt_kube_renew_credentials(struct pt_api_call *call); /* after a 401: true when there are, or will be, others to try with */
bool pt_kube_renew_trust(struct pt_api_call *call);       /* the same after a server's certificate was not believed */

void pt_kube_doubt_connections(struct pt_kube_client *c); /* one of them may be dead */

/* delivery.c */
void pt_kube_make_ready(struct pt_api_call *call);
void pt_kube_give_handle_back(struct pt_api_call *call);
void pt_kube_free_call(struct pt_api_call *call);
void pt_kube_deliver_ready(struct pt_kube_client *c); /* everything libcurl left for us; with libcurl not on the stack */

/* transport.c */
int pt_kube_transport_init(struct pt_kube_client *c); /* c->multi; PT_ENOMEM */
void pt_kube_transport_finish(struct pt_kube_client *c);
int pt_kube_transport_renew(struct pt_kube_client *c);  /* no call is in libcurl: connections are left, the next ones go over others; PT_ENOMEM: they are not */
void pt_kube_set_up(struct pt_api_call *call, long timeout_ms); /* call->easy, for this call */
void pt_kube_wake(struct pt_kube_client *c);                    /* what is ready is delivered on the next turn */

#endif
