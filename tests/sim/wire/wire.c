/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.c: the Kubernetes client and the reflector against memapi over real sockets, with faults injected on the wire (T8 to T10, T14 of the fault
 * model).
 *
 *   wire [--seeds N] [--start S]
 *
 * A seed is half a second of faults and then a quiet time. Faults come from two places: memapi's hooks (410, 429 with Retry-After, 500, 503, 504,
 * writes that happened but were not answered, watches that are cut) and a relay between client and server (late bytes, pieces of a few bytes, halves,
 * resets, connections that hang, bytes that are wrong). Odd seeds speak TLS and HTTP/2 with connections that end by GOAWAY after 100 ms. Another
 * client changes objects all the while, and so do writes through the client under test.
 *
 * Checked: every call ends exactly once; what handlers see of an object never goes back to an older version; what was written is there in the end,
 * once; and when it is quiet the store is what the server has. All clocks but libcurl's run fifty times as fast, so that back-offs and watch
 * time-outs happen.
 */
#include "relay.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "operator/ctrl/obj.h"
#include "operator/ctrl/reflector.h"
#include "operator/kube/client.h"
#include "operator/memapi/memapi.h"

#include <stdio.h>
#include <stdlib.h>

enum { SPEED = 50, FAULTS_MS = 500, QUIET_MS = 20000, NAMES = 12, WRITES = 24 };

/* --- time, faster ------------------------------------------------------------------------------------------------------------ */

struct fast {
    struct pt_sched sched; /* first member */
    struct pt_loop *loop;
    struct pt_timer tick;
};

static int64_t fast_now(struct pt_sched *s)
{
    return pt_now_ms(pt_loop_sched(((struct fast *)(void *)s)->loop)) * SPEED;
}
static int64_t fast_wall(struct pt_sched *s)
{
    return pt_wall_ms(pt_loop_sched(((struct fast *)(void *)s)->loop));
}
static void fast_rearm(struct pt_sched *s);
static void fast_tick(struct pt_timer *t)
{
    struct fast *f = (struct fast *)(void *)((char *)t - offsetof(struct fast, tick));
    pt_sched_run_due(&f->sched);
    fast_rearm(&f->sched);
}
static void fast_rearm(struct pt_sched *s)
{
    struct fast *f = (struct fast *)(void *)s;
    int64_t ms = pt_sched_next_ms(s);
    if (ms >= 0)
        pt_timer_start(pt_loop_sched(f->loop), &f->tick, (ms + SPEED - 1) / SPEED, fast_tick);
}

/* --- the world --------------------------------------------------------------------------------------------------------------- */

struct write {
    char name[32];
    bool done;
};
struct world {
    uint64_t seed;
    struct fast fast;
    struct pt_loop *loop;
    struct pt_memapi *memapi;
    struct pt_http_server *server;
    struct pt_tls *tls;
    struct relay *relay;
    struct pt_kube_client *client;
    struct pt_store store;
    struct pt_reflector *reflector;
    struct pt_rand rand;
    struct pt_timer other, mine, phase;
    bool quiet;
    struct write writes[WRITES];
    int written, calls, ended, faults, events;
    int64_t end_ms;
    char broken[600];
};
static struct world *w;

static void break_off(const char *what, const char *name)
{
    if (!*w->broken)
        snprintf(w->broken, sizeof w->broken, "%s: %s", what, name);
    pt_loop_stop(w->loop);
}

/* --- what is watched ------------------------------------------------------------------------------------------------------------- */

struct thing {
    struct pt_object object; /* first member */
    char ns[64], name[256], uid[64];
};

static int thing_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    pt_auto_obj *o = NULL;
    if (pt_obj_parse(json, "thing", &o, err) < 0)
        return PT_EPARSE;
    struct thing *t = pt_calloc(1, sizeof *t);
    if (!t)
        return pt_fail(err, PT_ENOMEM, "thing: out of memory");
    snprintf(t->ns, sizeof t->ns, "%s", pt_obj_text(o, "metadata.namespace"));
    snprintf(t->name, sizeof t->name, "%s", pt_obj_text(o, "metadata.name"));
    snprintf(t->uid, sizeof t->uid, "%s", pt_obj_text(o, "metadata.uid"));
    t->object = (struct pt_object){.ns = t->ns, .name = t->name, .uid = t->uid, .rv = strtoull(pt_obj_text(o, "metadata.resourceVersion"), NULL, 10)};
    *out = &t->object;
    return PT_OK;
}

static void thing_free(struct pt_object *o)
{
    pt_free(o);
}

static void thing_changed(void *arg, enum pt_change change, struct pt_object *was, struct pt_object *is, bool initial)
{
    (void)arg;
    (void)initial;
    w->events++;
    if (change == PT_UPDATED && was && is && !strcmp(was->uid, is->uid) && is->rv < was->rv)
        break_off("the store went back to an older version", is->name);
}

static const struct pt_store_type things = {"things", thing_decode, NULL, thing_free, thing_changed};

/* --- the server ---------------------------------------------------------------------------------------------------------------------- */

struct exchange {
    struct pt_http_request *req;
    struct pt_memapi_exchange *memapi;
    bool begun;
};

static void on_gone(void *arg)
{
    struct exchange *x = arg;
    pt_memapi_http_cancel(x->memapi);
    pt_free(x);
}

static void on_reply(void *arg, int status, const char *type, struct pt_str piece, bool more)
{
    struct exchange *x = arg;
    struct pt_http_request *req = x->req;
    bool begun = x->begun;
    x->begun = true;
    if (!more) {
        pt_http_on_close(req, NULL, NULL);
        pt_free(x);
    }
    if (!begun && !more) {
        pt_http_reply(req, status, type, NULL, 0, piece);
        return;
    }
    if (!begun)
        pt_http_begin(req, status, type);
    if (piece.len)
        pt_http_chunk(req, piece);
    if (!more)
        pt_http_end(req);
}

static void handle(void *arg, struct pt_http_request *req)
{
    struct pt_err err;
    char target[4096];
    struct pt_str path = pt_http_path(req), query = pt_http_query(req);
    struct exchange *x = pt_calloc(1, sizeof *x);
    (void)arg;
    int n = snprintf(target, sizeof target, PT_STR_FMT "?" PT_STR_FMT, PT_STR_ARG(path), PT_STR_ARG(query));
    *x = (struct exchange){.req = req};
    struct pt_memapi_http h = {.method = pt_http_method(req),
                               .target = {target, (size_t)n},
                               .content_type = pt_http_header(req, "Content-Type"),
                               .accept = pt_http_header(req, "Accept"),
                               .body = pt_http_body(req)};
    pt_http_on_close(req, on_gone, x);
    if (pt_memapi_http(w->memapi, &h, on_reply, x, &x->memapi, &err) < 0) {
        pt_http_on_close(req, NULL, NULL);
        pt_free(x);
        pt_http_reply_error(req, &err);
    }
}

static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    static const struct {
        int http;
        const char *reason;
        int retry_after_s;
    } refusals[] = {{429, "TooManyRequests", 0}, {429, "TooManyRequests", 1}, {500, "InternalError", 0}, {503, "ServiceUnavailable", 0},
                    {504, "Timeout", 0},         {410, "Expired", 0},         {403, "Forbidden", 0},     {400, "BadRequest", 0}};
    (void)arg;
    (void)req;
    unsigned draw = w->quiet ? 1000 : pt_rand_below(&w->rand, 100), which = pt_rand_below(&w->rand, sizeof refusals / sizeof *refusals);
    w->faults += draw < 26;
    if (draw < 18) {
        f->http = refusals[which].http;
        f->reason = refusals[which].reason;
        f->retry_after_s = refusals[which].retry_after_s;
    } else if (draw < 22) {
        f->lose_reply = !watch;
    } else if (draw < 24) {
        f->lose_request = true;
    } else if (draw < 26) {
        f->delay_ms = 20 * SPEED;
    }
}

static int64_t on_event(void *arg, const struct pt_resource *res)
{
    (void)arg;
    (void)res;
    return !w->quiet && pt_rand_below(&w->rand, 40) == 0 ? (w->faults++, -1) : 0;
}

/* --- those who write ----------------------------------------------------------------------------------------------------------------- */

static void do_other(struct pt_timer *t)
{
    char name[16], body[1200], padding[1024];
    struct pt_err err;
    unsigned n = pt_rand_below(&w->rand, sizeof padding - 1);
    memset(padding, 'x', n);
    padding[n] = 0;
    snprintf(name, sizeof name, "o%u", pt_rand_below(&w->rand, NAMES));
    int len =
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"},\"data\":{\"n\":\"%u\",\"p\":\"%s\"}}", name, pt_rand_u32(&w->rand), padding);
    struct pt_api_request req = {.verb = PT_VERB_APPLY,
                                 .resource = &pt_res_configmaps,
                                 .ns = "w",
                                 .name = name,
                                 .body = {body, (size_t)len},
                                 .field_manager = "other",
                                 .grace_seconds = -1};
    if (pt_rand_below(&w->rand, 5) == 0)
        req = (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_configmaps, .ns = "w", .name = name, .grace_seconds = 0};
    (void)pt_memapi_do(w->memapi, &req, NULL, &err);
    if (pt_rand_below(&w->rand, 60) == 0)
        pt_memapi_cut_watches(w->memapi, NULL, pt_rand_below(&w->rand, 2));
    if (!w->quiet)
        pt_timer_start(pt_loop_sched(w->loop), t, 4, do_other);
}

static void on_written(void *arg, const struct pt_api_result *r)
{
    struct write *it = arg;
    w->ended++;
    /* created, or it was by a request whose answer was lost; otherwise mine() tries again */
    it->done |= r->err.code == PT_OK || r->err.code == PT_EEXIST;
}

static void do_mine(struct pt_timer *t)
{
    struct pt_err err;
    if (w->written < WRITES && !w->quiet)
        snprintf(w->writes[w->written].name, sizeof w->writes->name, "m%d", w->written), w->written++;
    if (w->calls == w->ended) /* one after the other, so that none hides another */
        for (int i = 0; i < w->written && w->calls == w->ended; i++) {
            char body[100];
            if (w->writes[i].done)
                continue;
            int len = snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"}}", w->writes[i].name);
            struct pt_api_request req = {
                .verb = PT_VERB_CREATE, .resource = &pt_res_configmaps, .ns = "w", .body = {body, (size_t)len}, .timeout_ms = 400};
            if (pt_api_start(pt_kube_client_api(w->client), &req, on_written, &w->writes[i], NULL, &err) < 0)
                break_off("a call did not start", err.msg);
            else
                w->calls++;
        }
    pt_timer_start(pt_loop_sched(w->loop), t, 10, do_mine);
}

/* --- the end -------------------------------------------------------------------------------------------------------------------------- */

struct comparison {
    size_t count;
    bool equal;
};

static void compare(void *arg, const char *ns, const char *name, struct pt_str object)
{
    struct comparison *c = arg;
    struct pt_obj_identity id;
    const struct pt_object *seen = pt_store_get(&w->store, ns, name);
    c->count++;
    c->equal &= seen && pt_obj_identify(object, &id) && seen->rv == id.rv;
}

static bool is_settled(void)
{
    struct comparison c = {0, true};
    pt_memapi_each(w->memapi, &pt_res_configmaps, compare, &c);
    for (int i = 0; i < w->written; i++)
        if (!w->writes[i].done || !pt_memapi_peek(w->memapi, &pt_res_configmaps, "w", w->writes[i].name).len)
            return false;
    return c.equal && c.count == pt_store_count(&w->store) && w->calls == w->ended;
}

static void on_phase(struct pt_timer *t)
{
    int64_t now = pt_now_ms(pt_loop_sched(w->loop));
    if (!w->quiet && now >= w->end_ms) {
        w->quiet = true;
        relay_quiet(w->relay);
        w->end_ms = now + QUIET_MS;
    } else if (w->quiet && is_settled()) {
        pt_loop_stop(w->loop);
        return;
    } else if (w->quiet && now >= w->end_ms) {
        break_off("not settled", w->calls != w->ended ? "a call never ended" : "the store is not what the server has");
        return;
    }
    pt_timer_start(pt_loop_sched(w->loop), t, 10, on_phase);
}

/* --- one seed --------------------------------------------------------------------------------------------------------------------------- */

static int serve(bool secure, struct pt_buf *ca, struct pt_err *err)
{
    pt_auto_buf key = PT_BUF_INIT(0), cert = PT_BUF_INIT(0), cert_key = PT_BUF_INIT(0);
    int rc = secure ? pt_ca_create("wire", 1, ca, &key, err) : PT_OK;
    if (rc == PT_OK && secure)
        rc = pt_ca_issue(pt_buf_cstr(ca), pt_buf_cstr(&key), "127.0.0.1", 1, &cert, &cert_key, err);
    if (rc == PT_OK && secure)
        rc = pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&cert_key), &w->tls, err);
    struct pt_http_server_options o = {.address = "127.0.0.1:0", .handler = handle, .tls = w->tls, .http2 = secure, .max_age_ms = secure ? 100 : 0};
    return rc < 0 ? rc : pt_http_server_start(w->loop, &o, &w->server, err);
}

static int begin(struct pt_err *err)
{
    bool secure = w->seed % 2;
    pt_auto_buf ca = PT_BUF_INIT(0);
    int rc = pt_loop_create(&w->loop, err);
    if (rc < 0)
        return rc;
    w->fast = (struct fast){.sched = {.now_ms = fast_now, .wall_ms = fast_wall, .rearm = fast_rearm}, .loop = w->loop};
    struct pt_memapi_options m = {.sched = &w->fast.sched,
                                  .seed = w->seed,
                                  .history = 64,
                                  .bookmark_ms = 2000,
                                  .watchlist = w->seed / 2 % 3 == 1 ? PT_WATCHLIST_REFUSED : PT_WATCHLIST,
                                  .hooks = {w, on_request, NULL, on_event}};
    rc = pt_memapi_create(&m, &w->memapi, err);
    if (rc == PT_OK)
        rc = serve(secure, &ca, err);
    if (rc == PT_OK)
        rc = relay_create(w->loop, pt_http_server_port(w->server), w->seed, !secure, &w->relay, err);
    if (rc < 0)
        return rc;
    struct pt_kube_config config = {.server = pt_asprintf("%s://127.0.0.1:%d", secure ? "https" : "http", relay_port(w->relay)),
                                    .ca_pem = secure ? pt_strdup(pt_buf_cstr(&ca)) : NULL};
    rc = pt_kube_client_create(w->loop, &config, NULL, &w->client, err);
    if (rc < 0)
        return rc;
    pt_kube_client_watchdog(w->client, 200, 200);
    pt_store_init(&w->store, &things, NULL);
    struct pt_reflector_options r = {
        .api = pt_kube_client_api(w->client), .sched = &w->fast.sched, .seed = w->seed, .resource = &pt_res_configmaps, .store = &w->store};
    rc = pt_reflector_create(&r, &w->reflector, err);
    if (rc == PT_OK)
        pt_reflector_start(w->reflector);
    return rc;
}

static void finish(void)
{
    pt_timer_stop(pt_loop_sched(w->loop), &w->other);
    pt_timer_stop(pt_loop_sched(w->loop), &w->mine);
    pt_timer_stop(pt_loop_sched(w->loop), &w->phase);
    pt_reflector_destroy(w->reflector);
    pt_store_finish(&w->store);
    pt_kube_client_destroy(w->client);
    relay_destroy(w->relay);
    pt_http_server_destroy(w->server);
    pt_tls_destroy(w->tls);
    pt_memapi_destroy(w->memapi);
    pt_timer_stop(pt_loop_sched(w->loop), &w->fast.tick);
    pt_sched_finish(&w->fast.sched);
    pt_loop_destroy(w->loop);
}

static bool run_seed(uint64_t seed)
{
    static struct world world;
    struct pt_err err = {0};
    world = (struct world){.seed = seed};
    w = &world;
    pt_rand_init(&w->rand, seed);
    if (begin(&err) < 0) {
        fprintf(stderr, "wire: %s\n", err.msg);
        exit(1);
    }
    struct pt_sched *s = pt_loop_sched(w->loop);
    int64_t started = pt_now_ms(s);
    w->end_ms = started + FAULTS_MS;
    pt_timer_start(s, &w->other, 0, do_other);
    pt_timer_start(s, &w->mine, 0, do_mine);
    pt_timer_start(s, &w->phase, 0, on_phase);
    pt_loop_run(w->loop);
    printf("seed %llu: %s, %d faults of the server and %u of the wire, %d events, %d of %d writes there, %lld ms%s%s\n", (unsigned long long)seed,
           seed % 2 ? "HTTP/2" : "HTTP/1.1", w->faults, relay_faults(w->relay), w->events, w->written, w->written,
           (long long)(pt_now_ms(s) - started), *w->broken ? ", BROKEN: " : "", w->broken);
    bool good = !*w->broken;
    finish();
    return good;
}

int main(int argc, char **argv)
{
    int64_t seeds = 6, start = 1, broken = 0;
    struct pt_err err;
    for (int i = 1; i < argc; i += 2) {
        int64_t *value = !strcmp(argv[i], "--seeds") ? &seeds : !strcmp(argv[i], "--start") ? &start : NULL;
        if (!value || i + 1 == argc || pt_parse_i64(pt_str(argv[i + 1]), 0, INT64_MAX, argv[i], value, &err) < 0) {
            fprintf(stderr, "usage: wire [--seeds N] [--start S]\n");
            return 64;
        }
    }
    pt_log_setup("wire", getenv("WIRE_LOG") ? PT_LOG_DEBUG : PT_LOG_OFF, PT_LOG_TEXT);
    for (int64_t i = 0; i < seeds; i++)
        broken += !run_seed((uint64_t)(start + i));
    printf("%lld of %lld seeds held\n", (long long)(seeds - broken), (long long)seeds);
    return broken != 0;
}
