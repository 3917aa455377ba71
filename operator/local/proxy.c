/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy.c: a listener per Service, an exchange per request.
 *
 * A request is tried on up to MAX_TRIES pods. It is repeated when no complete answer came (the pod died, refused, or broke off) and when the pod
 * said 503 (draining): nothing has been sent to the client by then, because an answer is forwarded only when it is complete. When no pod is
 * ready the request waits up to WAIT_MS for one, as a client of a restarted Deployment would want, then it gets a 503.
 *
 * A port whose appProtocol is HTTP/2 is gRPC's: its connections are passed on byte for byte (net/relay.h), each to the next ready pod. By connection
 * and not by call, because that is what the Service of a cluster does: a client meets the same here, and so do streams, trailers, deadlines and
 * cancelled calls, which the pod answers itself. A pod that ends says GOAWAY: its calls end with it, and the client comes back for another pod.
 */
#include "operator/local/proxy.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "net/relay.h"
#include "operator/ctrl/obj.h"
#include "operator/local/pod.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_TRIES = 5,
    WAIT_MS = 5000,
    POLL_MS = 20,
    MAX_ENDPOINTS = 256,
    PORT_TRIES = 100,
    REWATCH_MS = 200,
    CALL_MS = 120000,
    MAX_HEADERS = 32,
    SAMPLES = 1024,
    RATE_MS = 10000,
    MAX_ANSWER = 256 << 20
};

struct service {
    struct pt_proxy *proxy;
    struct service *next;
    char ns[64], name[254], port_name[64];
    cJSON *selector, *target_port;
    int port, bound;
    unsigned turn;
    struct pt_http_server *server; /* or, */
    struct pt_relay *relay;        /* for gRPC */
    uint64_t answered, failed;
    unsigned under_way;
    struct sample {
        int64_t at_ms;
        float ms;
    } samples[SAMPLES]; /* of the last answers, a ring: answered of them so far */
};

struct exchange {
    struct service *service;
    struct exchange *next, **link;
    struct pt_http_request *request;
    struct pt_http_call *call;
    struct pt_timer retry;
    unsigned tries;
    int64_t began_ms, give_up_ms;
};

struct pt_proxy {
    struct pt_proxy_options o;
    struct service *services;
    struct exchange *exchanges;
    struct pt_api_call *watch;
    struct pt_timer rewatch;
};

static void try_again(struct pt_timer *t);

/* --- one request ------------------------------------------------------------------------------------------------------------- */

static void end_exchange(struct exchange *x)
{
    pt_timer_stop(pt_loop_sched(x->service->proxy->o.loop), &x->retry);
    x->service->under_way--;
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    pt_free(x);
}

static void on_client_gone(void *arg)
{
    struct exchange *x = arg;
    if (x->call)
        pt_http_call_cancel(x->call);
    end_exchange(x);
}

static void give_up(struct exchange *x, const char *why)
{
    struct pt_err err;
    struct pt_http_request *req = x->request;
    x->service->failed++;
    pt_fail(&err, PT_EUNAVAILABLE, "service %s/%s: %s", x->service->ns, x->service->name, why);
    pt_http_on_close(req, NULL, NULL);
    end_exchange(x);
    pt_http_reply_error(req, &err);
}

static void count_answer(struct exchange *x)
{
    struct service *s = x->service;
    int64_t now = pt_now_ms(pt_loop_sched(s->proxy->o.loop));
    s->samples[s->answered++ % SAMPLES] = (struct sample){now, (float)(now - x->began_ms)};
}

/* Headers that are between client and pod; those of one connection, and those that each side sets itself, stay behind. */
static size_t end_to_end(const struct pt_http_header *in, size_t count, bool answer, struct pt_http_header out[MAX_HEADERS])
{
    static const char *const hops[] = {
        "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect", "Content-Length", "Host", "Date"};
    size_t n = 0;
    for (size_t i = 0; i < count && n < MAX_HEADERS; i++) {
        size_t h = 0;
        while (h < sizeof hops / sizeof *hops && !pt_str_eq_nocase(in[i].name, pt_str(hops[h])))
            h++;
        bool is_type = answer && pt_str_eq_nocase(in[i].name, PT_STR("Content-Type")); /* pt_http_reply() has it apart */
        if (h == sizeof hops / sizeof *hops && in[i].name.len && in[i].name.p[0] != ':' && !is_type)
            out[n++] = in[i];
    }
    return n;
}

static void on_answer(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct exchange *x = arg;
    struct pt_http_request *req = x->request;
    struct pt_sched *s = pt_loop_sched(x->service->proxy->o.loop);
    x->call = NULL;
    if (err || r->status == 503) {
        if (x->tries >= MAX_TRIES && pt_now_ms(s) >= x->give_up_ms)
            give_up(x, err ? err->msg : "no pod is ready to answer");
        else
            pt_timer_start(s, &x->retry, x->tries < 2 ? 0 : POLL_MS, try_again);
        return;
    }
    struct pt_http_header headers[MAX_HEADERS];
    size_t count = end_to_end(r->headers, r->header_count, true, headers);
    struct pt_str type = pt_http_response_header(r, "Content-Type");
    char content_type[128];
    snprintf(content_type, sizeof content_type, PT_STR_FMT, PT_STR_ARG(type));
    pt_http_on_close(req, NULL, NULL);
    count_answer(x);
    end_exchange(x);
    pt_http_reply(req, r->status, *content_type ? content_type : "application/octet-stream", headers, count, r->body);
}

static int forward(struct exchange *x, const struct pt_endpoint *to, struct pt_err *err)
{
    struct pt_str path = pt_http_path(x->request), query = pt_http_query(x->request), method = pt_http_method(x->request);
    const struct pt_http_header *all;
    struct pt_http_header headers[MAX_HEADERS];
    size_t count = pt_http_headers(x->request, &all);
    count = end_to_end(all, count, false, headers);
    char url[4200], verb[16];
    if (snprintf(url, sizeof url, "%s://%s:%d" PT_STR_FMT "%s" PT_STR_FMT, to->tls ? "https" : "http", to->address, to->port, PT_STR_ARG(path),
                 query.len ? "?" : "", PT_STR_ARG(query)) >= (int)sizeof url ||
        snprintf(verb, sizeof verb, PT_STR_FMT, PT_STR_ARG(method)) >= (int)sizeof verb)
        return pt_fail(err, PT_ELIMIT, "the request line is too long");
    struct pt_http_call_options o = {.method = verb,
                                     .url = url,
                                     .headers = headers,
                                     .header_count = count,
                                     .body = pt_http_body(x->request),
                                     .max_body_bytes = MAX_ANSWER,
                                     .connect_timeout_ms = 1000,
                                     .timeout_ms = CALL_MS,
                                     .on_done = on_answer,
                                     .arg = x};
    return pt_http_call_start(x->service->proxy->o.http, &o, &x->call, err);
}

static void try_again(struct pt_timer *t)
{
    struct exchange *x = (struct exchange *)(void *)((char *)t - offsetof(struct exchange, retry));
    struct service *s = x->service;
    struct pt_sched *sched = pt_loop_sched(s->proxy->o.loop);
    struct pt_endpoint endpoints[MAX_ENDPOINTS];
    struct pt_err err;
    size_t n = pt_agent_endpoints(s->proxy->o.agent, s->ns, s->selector, s->target_port, endpoints, MAX_ENDPOINTS);
    if (n == 0 && pt_now_ms(sched) >= x->give_up_ms) {
        give_up(x, "no pod is ready");
    } else if (n == 0) {
        pt_timer_start(sched, &x->retry, POLL_MS, try_again);
    } else {
        x->tries++;
        if (forward(x, &endpoints[s->turn++ % n], &err) < 0)
            give_up(x, err.msg);
    }
}

/* Of a connection of gRPC. */
static bool pick(void *arg, struct sockaddr_storage *to)
{
    struct service *s = arg;
    struct pt_endpoint endpoints[MAX_ENDPOINTS];
    struct sockaddr_in a = {.sin_family = AF_INET};
    size_t n = pt_agent_endpoints(s->proxy->o.agent, s->ns, s->selector, s->target_port, endpoints, MAX_ENDPOINTS);
    if (n == 0)
        return false;
    const struct pt_endpoint *e = &endpoints[s->turn++ % n];
    a.sin_port = htons((uint16_t)e->port);
    if (inet_pton(AF_INET, e->address, &a.sin_addr) != 1)
        return false;
    memcpy(to, &a, sizeof a);
    return true;
}

static void handle(void *arg, struct pt_http_request *req)
{
    struct service *s = arg;
    struct exchange *x = pt_calloc(1, sizeof *x);
    struct pt_err err;
    if (!x) {
        pt_fail(&err, PT_ENOMEM, "out of memory");
        pt_http_reply_error(req, &err);
        return;
    }
    *x = (struct exchange){.service = s,
                           .request = req,
                           .next = s->proxy->exchanges,
                           .link = &s->proxy->exchanges,
                           .began_ms = pt_now_ms(pt_loop_sched(s->proxy->o.loop)),
                           .give_up_ms = pt_now_ms(pt_loop_sched(s->proxy->o.loop)) + WAIT_MS};
    if (x->next)
        x->next->link = &x->next;
    s->proxy->exchanges = x;
    s->under_way++;
    pt_http_on_close(req, on_client_gone, x);
    try_again(&x->retry);
}

/* --- services ------------------------------------------------------------------------------------------------------------------ */

static void free_service(struct service *s)
{
    pt_http_server_destroy(s->server);
    pt_relay_destroy(s->relay);
    cJSON_Delete(s->selector);
    cJSON_Delete(s->target_port);
    pt_free(s);
}

static void drop_service(struct pt_proxy *p, struct service **link)
{
    struct service *s = *link;
    for (struct exchange *x = p->exchanges, *next; x; x = next) {
        next = x->next;
        if (x->service != s)
            continue;
        if (x->call)
            pt_http_call_cancel(x->call);
        give_up(x, "the service was deleted");
    }
    *link = s->next;
    free_service(s);
}

static int listen_at(struct service *s, const char *address, bool grpc, struct pt_err *err)
{
    struct pt_loop *loop = s->proxy->o.loop;
    if (grpc)
        return pt_relay_start(loop, &(struct pt_relay_options){.address = address, .pick = pick, .arg = s, .wait_ms = WAIT_MS}, &s->relay, err);
    return pt_http_server_start(loop, &(struct pt_http_server_options){.address = address, .max_body_bytes = 256 << 20, .handler = handle, .arg = s},
                                &s->server, err);
}

static int listen_near(struct service *s, bool grpc, struct pt_err *err)
{
    int rc = PT_OK;
    for (int i = 0; i < PORT_TRIES && s->port + i < 65536; i++) {
        char address[32];
        snprintf(address, sizeof address, "127.0.0.1:%d", s->port + i);
        rc = listen_at(s, address, grpc, err);
        if (rc == PT_OK) {
            s->bound = grpc ? pt_relay_port(s->relay) : pt_http_server_port(s->server);
            return PT_OK;
        }
    }
    return rc;
}

static void add_service(struct pt_proxy *p, const cJSON *object, const cJSON *port)
{
    const cJSON *selector = pt_obj_get(object, "spec.selector");
    char text[24], url[64];
    struct pt_err err;
    struct service *s = pt_calloc(1, sizeof *s);
    if (!s || !selector || !selector->child) {
        pt_free(s);
        return;
    }
    s->proxy = p;
    snprintf(s->ns, sizeof s->ns, "%s", pt_obj_text(object, "metadata.namespace"));
    snprintf(s->name, sizeof s->name, "%s", pt_obj_text(object, "metadata.name"));
    snprintf(s->port_name, sizeof s->port_name, "%s", pt_obj_text(port, "name"));
    s->port = (int)pt_obj_int(port, "port", 0);
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(port, "targetPort");
    s->selector = cJSON_Duplicate(selector, 1);
    s->target_port = target ? cJSON_Duplicate(target, 1) : cJSON_CreateNumber(s->port);
    bool grpc = strcmp(pt_obj_text(port, "appProtocol"), "kubernetes.io/h2c") == 0;
    int rc = s->selector && s->target_port ? listen_near(s, grpc, &err) : pt_fail(&err, PT_ENOMEM, "out of memory");
    if (rc < 0) {
        pt_log(PT_LOG_ERROR, "service cannot be served", "service", s->name, "error", err.msg, NULL);
        free_service(s);
        return;
    }
    s->next = p->services;
    p->services = s;
    snprintf(url, sizeof url, "%s://127.0.0.1:%d", grpc ? "grpc" : "http", s->bound);
    pt_log(s->bound == s->port ? PT_LOG_INFO : PT_LOG_WARN, s->bound == s->port ? "service" : "service on another port, its own is taken", "name",
           s->name, "url", url, "port", pt_log_int(text, s->port), NULL);
}

static struct service **find_service(struct pt_proxy *p, const char *ns, const char *name, int port)
{
    struct service **link = &p->services;
    while (*link && (strcmp((*link)->ns, ns) != 0 || strcmp((*link)->name, name) != 0 || (port && (*link)->port != port)))
        link = &(*link)->next;
    return link;
}

/* Level-driven: what the object says now against what is served. */
static void on_event(void *arg, const struct pt_watch_event *e)
{
    struct pt_proxy *p = arg;
    const cJSON *port;
    if (e->type == PT_WATCH_BOOKMARK || e->type == PT_WATCH_ERROR)
        return;
    cJSON *object = cJSON_ParseWithLength(e->object.p, e->object.len);
    const char *ns = pt_obj_text(object, "metadata.namespace"), *name = pt_obj_text(object, "metadata.name");
    struct service **link;
    for (link = find_service(p, ns, name, 0); *link; link = find_service(p, ns, name, 0)) {
        bool wanted = false;
        cJSON_ArrayForEach(port, pt_obj_get(object, "spec.ports")) wanted |= (int)pt_obj_int(port, "port", 0) == (*link)->port;
        if (wanted && e->type != PT_WATCH_DELETED)
            break;
        drop_service(p, link);
    }
    if (e->type != PT_WATCH_DELETED)
        cJSON_ArrayForEach(port, pt_obj_get(object, "spec.ports")) if (!*find_service(p, ns, name, (int)pt_obj_int(port, "port", 0)))
            add_service(p, object, port);
    cJSON_Delete(object);
}

static void on_watch_end(void *arg, const struct pt_api_result *r);

static void start_watch(struct pt_timer *t)
{
    struct pt_proxy *p = (struct pt_proxy *)(void *)((char *)t - offsetof(struct pt_proxy, rewatch));
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_LIST, .resource = &pt_res_services, .timeout_ms = 3600000};
    if (pt_api_watch(pt_memapi_api(p->o.memapi), &req, on_event, on_watch_end, p, &p->watch, &err) < 0) {
        pt_log(PT_LOG_ERROR, "services cannot be watched", "error", err.msg, NULL);
        pt_timer_start(pt_loop_sched(p->o.loop), &p->rewatch, REWATCH_MS, start_watch);
    }
}

static void on_watch_end(void *arg, const struct pt_api_result *r)
{
    struct pt_proxy *p = arg;
    (void)r;
    p->watch = NULL;
    pt_timer_start(pt_loop_sched(p->o.loop), &p->rewatch, REWATCH_MS, start_watch);
}

int pt_proxy_create(const struct pt_proxy_options *o, struct pt_proxy **out, struct pt_err *err)
{
    struct pt_proxy *p = pt_calloc(1, sizeof *p);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "service proxy: out of memory");
    p->o = *o;
    pt_timer_start(pt_loop_sched(o->loop), &p->rewatch, 0, start_watch);
    *out = p;
    return PT_OK;
}

void pt_proxy_destroy(struct pt_proxy *p)
{
    if (!p)
        return;
    if (p->watch)
        pt_api_cancel(pt_memapi_api(p->o.memapi), p->watch);
    pt_timer_stop(pt_loop_sched(p->o.loop), &p->rewatch);
    while (p->services)
        drop_service(p, &p->services);
    pt_free(p);
}

int pt_proxy_port(const struct pt_proxy *p, const char *ns, const char *service, const char *port_name)
{
    for (const struct service *s = p->services; s; s = s->next)
        if (strcmp(s->ns, ns) == 0 && strcmp(s->name, service) == 0 && strcmp(s->port_name, port_name) == 0)
            return s->bound;
    return 0;
}

static int by_duration(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void pt_proxy_traffic_of(const struct pt_proxy *p, const char *ns, const char *service, struct pt_proxy_traffic *out)
{
    const struct service *s = p->services;
    *out = (struct pt_proxy_traffic){.p50_ms = -1, .p99_ms = -1};
    while (s && (strcmp(s->ns, ns) != 0 || strcmp(s->name, service) != 0 || strcmp(s->port_name, "http") != 0))
        s = s->next;
    if (!s)
        return;
    float ms[SAMPLES];
    size_t n = 0;
    int64_t now = pt_now_ms(pt_loop_sched(p->o.loop)), oldest = now;
    for (size_t i = 0; i < SAMPLES && i < s->answered; i++) {
        if (now - s->samples[i].at_ms > RATE_MS)
            continue;
        ms[n++] = s->samples[i].ms;
        oldest = s->samples[i].at_ms < oldest ? s->samples[i].at_ms : oldest;
    }
    out->answered = s->answered;
    out->failed = s->failed;
    out->under_way = s->under_way;
    double seconds = (double)(n == SAMPLES ? now - oldest + 1 : RATE_MS) / 1000; /* a full ring reaches back less than that */
    out->requests_per_second = (double)n / seconds;
    if (n == 0)
        return;
    qsort(ms, n, sizeof *ms, by_duration);
    out->p50_ms = ms[n / 2];
    out->p99_ms = ms[n * 99 / 100];
}
