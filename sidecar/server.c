/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c: puts the parts together and takes them apart.
 *
 * Start: both ports listen at once (readiness is off), the model is fetched, verified, loaded and warmed on the pool, readiness goes on.
 * SIGTERM: readiness goes off and the operator is told. New connections are still taken, since endpoints follow with a delay: for SETTLE_MS, and for
 * as long as requests go on coming, but no more than half of drain.timeoutMs; each answer says Connection: close. Then listening stops, what is under
 * way is finished, and the call returns, all within drain.timeoutMs. SIGINT, which no endpoint waits for, skips the pause. A second signal cuts
 * everything.
 */
#include "sidecar/server.h"

#include "base/contract.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "sidecar/access_log.h"
#include "sidecar/auth.h"
#include "sidecar/certificates.h"
#include "sidecar/grpc_front.h"
#include "sidecar/reporter.h"
#include "sidecar/rest.h"
#include "sidecar/turns.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <stdlib.h>

enum { SETTLE_MS = 1500, QUIET_MS = 500, RUN_HERE_NS = 100000, MAX_METRICS_BODY = 64 << 10, MAX_METRICS = 16 << 20, GRPC_TABLES = 4 };

struct sidecar {
    const struct pt_sidecar_options *o;
    struct pt_loop *loop;
    struct pt_threads *threads;
    struct pt_scheduler *scheduler;
    struct pt_metrics *registry;
    struct pt_repository repository;
    struct pt_frontend frontend;
    struct pt_rest rest;
    struct pt_grpc grpc;
    struct pt_grpc_table grpc_tables[GRPC_TABLES];
    struct pt_reporter *reporter;
    struct pt_http_server *http, *grpc_http, *metrics_http; /* the first two serve the same; grpc_http may be NULL */
    struct pt_access_log *access;
    struct pt_auth auth;
    struct pt_certificates certificates;
    struct pt_tls *tls; /* of new servers; NULL: plain */
    struct pt_timer settle, limit;
    int64_t drain_until_ms;
    uint64_t requests_seen; /* at the last look while settling */
    bool draining, http_drained, grpc_drained;
    struct pt_err *err;
    int rc;
};

static void stop(struct sidecar *s, int rc)
{
    if (s->rc == PT_OK)
        s->rc = rc;
    pt_loop_stop(s->loop);
}

/* --- who may ----------------------------------------------------------------------------------------------------------------- */

/* Certificate and token. */
static int check(const struct sidecar *s, const struct pt_http_request *req, struct pt_err *err)
{
    if (s->o->config->serving.tls.client_ca_file && !pt_http_has_peer_certificate(req))
        return pt_fail(err, PT_EUNAUTHENTICATED, "a client certificate is needed");
    return pt_auth_check(&s->auth, req, err);
}

/* Is the request one of those that may go on? Else it is answered. */
static bool may(struct sidecar *s, struct pt_http_request *req)
{
    struct pt_err err;
    if (check(s, req, &err) == PT_OK)
        return true;
    char body[sizeof err.msg + 16];
    snprintf(body, sizeof body, "{\"error\":\"%s\"}", err.msg); /* our own words: nothing to escape */
    struct pt_http_header h = {PT_STR("WWW-Authenticate"), PT_STR("Bearer")};
    pt_http_set_outcome(req, -1, err.msg);
    pt_http_reply(req, pt_err_http(err.code), "application/json", &h, 1, pt_str(body));
    return false;
}

/* Probes have no token. */
static bool is_health(struct pt_str path)
{
    return pt_str_eq(path, PT_STR("/v2/health/live")) || pt_str_eq(path, PT_STR("/v2/health/ready"));
}

static int authorize_grpc(void *arg, const struct pt_http_request *req, struct pt_err *err)
{
    struct sidecar *s = arg;
    return pt_str_starts(pt_http_path(req), PT_STR("/grpc.health.v1.Health/")) ? PT_OK : check(s, req, err);
}

/* --- metrics port ---------------------------------------------------------------------------------------------------------- */

static const struct pt_metric_family connections = {"pintle_connections", "Connections that are open, by port.", PT_GAUGE, "port", NULL, 0};

static void collect_connections(void *arg)
{
    struct sidecar *s = arg;
    const struct {
        const char *port;
        const struct pt_http_server *server;
    } rows[] = {{"serving", s->http}, {"grpc", s->grpc_http}, {"metrics", s->metrics_http}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        pt_metric_set(pt_metrics_series(s->registry, &connections, rows[i].port, NULL),
                      rows[i].server ? pt_http_server_connections(rows[i].server) : 0);
}

static void handle_metrics(void *arg, struct pt_http_request *req)
{
    struct sidecar *s = arg;
    struct pt_err err;
    struct pt_str path = pt_http_path(req), method = pt_http_method(req);
    if (!pt_str_eq(method, PT_STR("GET")) && !pt_str_eq(method, PT_STR("HEAD"))) {
        pt_fail(&err, PT_EMETHOD, "only GET is served here");
        pt_http_reply_error(req, &err);
    } else if (pt_str_eq(path, PT_STR("/metrics"))) {
        const struct pt_config *c = s->o->config;
        if (c->serving.tls.client_ca_file && !pt_http_has_peer_certificate(req)) {
            pt_fail(&err, PT_EUNAUTHENTICATED, "a client certificate is needed");
            pt_http_reply_error(req, &err);
            return;
        }
        if (c->serving.auth.metrics && !may(s, req))
            return;
        pt_auto_buf b = PT_BUF_INIT(MAX_METRICS);
        enum pt_metrics_format format = pt_metrics_choose(pt_http_header(req, "Accept"));
        struct pt_http_header vary = {PT_STR("Vary"), PT_STR("Accept")};
        pt_metrics_write(s->registry, format, &b);
        pt_http_reply_buf(req, 200, pt_metrics_content_type(format), &vary, 1, &b);
    } else if (pt_str_eq(path, PT_STR("/healthz"))) {
        pt_http_reply(req, 200, "text/plain", NULL, 0, PT_STR("ok\n"));
    } else {
        pt_fail(&err, PT_ENOTFOUND, "no such path: " PT_STR_FMT "; there are /metrics and /healthz", (int)(path.len < 256 ? path.len : 256), path.p);
        pt_http_reply_error(req, &err);
    }
}

/* --- the end ----------------------------------------------------------------------------------------------------------------- */

static void stop_if_drained(struct sidecar *s)
{
    if (s->http_drained && s->grpc_drained && !pt_repository_busy(&s->repository))
        stop(s, PT_OK);
}

static void on_http_drained(void *arg)
{
    struct sidecar *s = arg;
    s->http_drained = true;
    stop_if_drained(s);
}

static void on_grpc_drained(void *arg)
{
    struct sidecar *s = arg;
    s->grpc_drained = true;
    stop_if_drained(s);
}

static void on_settled(struct pt_timer *t)
{
    struct sidecar *s = (struct sidecar *)((char *)t - offsetof(struct sidecar, settle));
    struct pt_sched *clock = pt_loop_sched(s->loop);
    int64_t left_ms = s->drain_until_ms - pt_now_ms(clock);
    uint64_t requests = pt_repository_requests(&s->repository);
    bool quiet = requests == s->requests_seen;
    s->requests_seen = requests;
    if (!quiet && left_ms > s->o->config->drain.timeout_ms / 2) {
        pt_timer_start(clock, t, QUIET_MS, on_settled);
        return;
    }
    left_ms = left_ms > 0 ? left_ms : 0;
    pt_http_server_drain(s->http, left_ms, on_http_drained, s);
    s->grpc_drained = !s->grpc_http;
    if (s->grpc_http)
        pt_http_server_drain(s->grpc_http, left_ms, on_grpc_drained, s);
}

static void on_limit(struct pt_timer *t)
{
    stop((struct sidecar *)((char *)t - offsetof(struct sidecar, limit)), PT_OK); /* what is left is counted by clean_up() */
}

static void on_signal(void *arg, int signum)
{
    struct sidecar *s = arg;
    if (s->draining) {
        pt_log(PT_LOG_WARN, "second signal: stopping at once", NULL);
        stop(s, PT_OK);
        return;
    }
    struct pt_sched *clock = pt_loop_sched(s->loop);
    int64_t timeout_ms = s->o->config->drain.timeout_ms, settle_ms = timeout_ms / 4 < SETTLE_MS ? timeout_ms / 4 : SETTLE_MS;
    if (signum == SIGINT || !pt_repository_ready(&s->repository))
        settle_ms = 0;
    pt_log(PT_LOG_INFO, "draining", "signal", signum == SIGINT ? "SIGINT" : "SIGTERM", NULL);
    s->draining = true;
    s->drain_until_ms = pt_now_ms(clock) + timeout_ms;
    pt_repository_drain(&s->repository);
    pt_http_server_close_after_reply(s->http);
    if (s->grpc_http)
        pt_http_server_close_after_reply(s->grpc_http);
    s->requests_seen = settle_ms ? UINT64_MAX : pt_repository_requests(&s->repository); /* one quiet period has to pass after the pause */
    pt_timer_start(clock, &s->settle, settle_ms, on_settled);
    pt_timer_start(clock, &s->limit, timeout_ms + 100, on_limit); /* after the HTTP server's own limit */
}

static void on_changed(void *arg, struct pt_version *v)
{
    struct sidecar *s = arg;
    pt_frontend_changed(&s->frontend);
    if (s->reporter)
        pt_reporter_now(s->reporter);
    if (v && v->servable.state == PT_MODEL_FAILED && s->o->fail_fast && !s->o->config->repository.path)
        stop(s, pt_fail(s->err, v->servable.error.code, "%s", v->servable.error.msg));
    if (s->draining)
        stop_if_drained(s);
}

static void on_wake(void *arg, struct pt_version *v)
{
    pt_frontend_wake(&((struct sidecar *)arg)->frontend, v);
}

/* --- the beginning ------------------------------------------------------------------------------------------------------------- */

/* As many requests run at once as there are CPUs. They share one pool for work inside a request: it serves one of them at a time and the
 * others go on alone, so that a lone request has all CPUs and many requests have one each. */
static int start_threads(struct sidecar *s, struct pt_err *err)
{
    const struct pt_config *c = s->o->config;
    int cpus = c->runtime.threads ? (int)c->runtime.threads : pt_cpu_limit("");
    int64_t runs = c->runtime.concurrency; /* more of them than CPUs would only take longer each */
    struct pt_scheduler_options so = {.workers = runs && runs < cpus ? (int)runs : cpus, .run_here_ns = RUN_HERE_NS};
    int rc = pt_threads_create(cpus, &s->threads, err);
    return rc < 0 ? rc : pt_scheduler_create(s->loop, &so, &s->scheduler, err);
}

static int listen_on(struct sidecar *s, int64_t port, struct pt_http_server_options *o, struct pt_http_server **out, struct pt_err *err)
{
    char address[128];
    const char *ip = getenv(PT_ENV_POD_IP);
    if (!ip || !*ip)
        ip = "::"; /* IPv4 too */
    snprintf(address, sizeof address, strchr(ip, ':') ? "[%s]:%lld" : "%s:%lld", ip, (long long)port);
    o->address = address;
    o->tls = s->tls;
    return pt_http_server_start(s->loop, o, out, err);
}

static void handle_rest(void *arg, struct pt_http_request *req)
{
    struct sidecar *s = arg;
    if (is_health(pt_http_path(req)) || may(s, req))
        pt_rest_handle(&s->rest, req);
}

static bool admits(void *arg, const struct pt_http_request *req)
{
    struct sidecar *s = arg;
    return is_health(pt_http_path(req)) || (check(s, req, NULL) == PT_OK && !pt_rest_full(&s->rest, req));
}

static void handle_head(void *arg, struct pt_http_request *req)
{
    pt_grpc_accept(&((struct sidecar *)arg)->grpc, req);
}

static void on_ended(void *arg, struct pt_http_request *req, const struct pt_http_end *e)
{
    pt_access_log_request(((struct sidecar *)arg)->access, req, e);
}

static int start_access_log(struct sidecar *s, struct pt_err *err)
{
    const struct pt_config *c = s->o->config;
    struct pt_access_options o = {.path = c->access_log.path, .sample = c->access_log.sample, .registry = s->registry};
    int rc = c->access_log.enabled ? pt_access_log_create(&o, &s->access, err) : PT_OK;
    s->frontend.access = s->access;
    return rc;
}

/* Every protocol of inference on each of its ports: which one a client speaks is seen from its bytes. */
static void make_front_ends(struct sidecar *s)
{
    struct pt_frontend *f = &s->frontend;
    *f = (struct pt_frontend){.loop = s->loop, .config = s->o->config, .repository = &s->repository};
    s->rest = (struct pt_rest){.frontend = f};
    const struct pt_grpc_table tables[GRPC_TABLES] = {{pt_oip_grpc_methods, pt_oip_grpc_method_count, f},
                                                      {pt_tfs_grpc_methods, pt_tfs_grpc_method_count, f},
                                                      {pt_health_grpc_methods, pt_health_grpc_method_count, f},
                                                      {pt_reflection_grpc_methods, pt_reflection_grpc_method_count, f}};
    memcpy(s->grpc_tables, tables, sizeof tables);
    s->grpc =
        (struct pt_grpc){.loop = s->loop, .tables = s->grpc_tables, .table_count = GRPC_TABLES, .authorize = authorize_grpc, .authorize_arg = s};
}

static void on_certificates(void *arg, struct pt_tls *tls)
{
    struct sidecar *s = arg;
    struct pt_http_server *const servers[] = {s->http, s->grpc_http, s->metrics_http};
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++)
        if (servers[i])
            pt_http_server_set_tls(servers[i], tls);
}

static int start_tls(struct sidecar *s, struct pt_err *err)
{
    const struct pt_config *c = s->o->config;
    if (!c->serving.tls.cert_file)
        return PT_OK;
    s->certificates = (struct pt_certificates){.cert_file = c->serving.tls.cert_file,
                                               .key_file = c->serving.tls.key_file,
                                               .client_ca_file = c->serving.tls.client_ca_file,
                                               .open_health = c->serving.tls.open_health,
                                               .poll_ms = c->serving.tls.poll_ms,
                                               .changed = on_certificates,
                                               .arg = s};
    return pt_certificates_start(&s->certificates, s->loop, &s->tls, err);
}

static int start_servers(struct sidecar *s, struct pt_err *err)
{
    const struct pt_config *c = s->o->config;
    struct pt_http_server_options serving = {
        .http2 = true, .max_connections = (unsigned)c->serving.max_connections, .max_age_ms = c->serving.max_age_ms, .handler = handle_rest, .on_head = handle_head, .admits = admits, .arg = s};
    serving.ended = s->access ? on_ended : NULL;
    struct pt_http_server_options metrics = {.max_body_bytes = MAX_METRICS_BODY, .handler = handle_metrics, .arg = s};
    s->auth = (struct pt_auth){.loop = s->loop, .file = c->serving.auth.token_file, .poll_ms = c->serving.auth.poll_ms};
    int rc = pt_auth_start(&s->auth, err);
    if (rc == PT_OK)
        rc = start_tls(s, err);
    if (rc == PT_OK)
        rc = listen_on(s, c->serving.port, &serving, &s->http, err);
    if (rc == PT_OK && c->serving.grpc_port >= 0)
        rc = listen_on(s, c->serving.grpc_port, &serving, &s->grpc_http, err);
    return rc < 0 ? rc : listen_on(s, c->serving.metrics_port, &metrics, &s->metrics_http, err);
}

/* Connections are files: as many as this process may have. */
static void raise_file_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

static int start(struct sidecar *s, struct pt_err *err)
{
    const struct pt_config *c = s->o->config;
    raise_file_limit();
    pt_ask_short_turns();
    int rc = pt_loop_create(&s->loop, err);
    if (rc < 0 || (rc = pt_loop_on_signal(s->loop, SIGTERM, on_signal, s, err)) < 0 ||
        (rc = pt_loop_on_signal(s->loop, SIGINT, on_signal, s, err)) < 0)
        return rc;
    if (!(s->registry = pt_serving_registry_create(err)))
        return err->code;
    pt_metrics_on_collect(s->registry, collect_connections, s);
    struct pt_repository_options ro = {.loop = s->loop,
                                       .config = c,
                                       .cache_dir = s->o->cache_dir,
                                       .jobs = &pt_call_job,
                                       .registry = s->registry,
                                       .changed = on_changed,
                                       .wake = on_wake,
                                       .arg = s};
    if ((rc = start_threads(s, err)) < 0)
        return rc;
    ro.threads = s->threads;
    ro.scheduler = s->scheduler;
    make_front_ends(s);
    if ((rc = start_access_log(s, err)) < 0 || (rc = pt_repository_start(&s->repository, &ro, err)) < 0 || (rc = start_servers(s, err)) < 0)
        return rc;
    struct pt_version *only = pt_repository_only(&s->repository);
    if (c->report.url && (rc = pt_reporter_create(s->loop, c, &only->servable, s->scheduler, &only->metrics, only->monitor, &s->reporter, err)) < 0)
        return rc;
    if (s->reporter)
        pt_reporter_now(s->reporter);
    char port[24], grpc_port[24], metrics_port[24];
    pt_log(PT_LOG_INFO, "listening", "model", c->model.name, "version", PT_VERSION, "port", pt_log_int(port, pt_http_server_port(s->http)),
           "grpc_port", pt_log_int(grpc_port, pt_http_server_port(s->grpc_http ? s->grpc_http : s->http)), "metrics_port",
           pt_log_int(metrics_port, pt_http_server_port(s->metrics_http)), NULL);
    return PT_OK;
}

/* Threads first: nothing runs a model afterwards. */
static int clean_up(struct sidecar *s)
{
    pt_scheduler_destroy(s->scheduler);
    int lost = pt_frontend_finish(&s->frontend);
    pt_reporter_destroy(s->reporter);
    if (s->http)
        pt_http_server_destroy(s->http);
    if (s->grpc_http)
        pt_http_server_destroy(s->grpc_http);
    if (s->metrics_http)
        pt_http_server_destroy(s->metrics_http);
    pt_access_log_destroy(pt_steal(s->access));
    pt_auth_stop(&s->auth);
    pt_certificates_stop(&s->certificates);
    pt_tls_destroy(s->tls);
    if (s->loop) {
        pt_timer_stop(pt_loop_sched(s->loop), &s->settle);
        pt_timer_stop(pt_loop_sched(s->loop), &s->limit);
    }
    return lost;
}

static int run(struct sidecar *s, struct pt_err *err)
{
    int rc = start(s, err);
    if (rc == PT_OK) {
        pt_loop_run(s->loop);
        rc = s->rc;
    }
    int lost = clean_up(s);
    return rc == PT_OK && lost > 0
               ? pt_fail(err, PT_ETIMEDOUT, "%d requests were cut off: they took longer than drain.timeoutMs, or a second signal came", lost)
               : rc;
}

int pt_sidecar_run(const struct pt_sidecar_options *o, struct pt_err *err)
{
    struct sidecar *s = pt_calloc(1, sizeof *s);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    s->o = o;
    s->err = err;
    int rc = run(s, err);
    if (s->loop && pt_repository_busy(&s->repository)) /* a load cannot be interrupted, and a thread of the pool uses all this */
        return pt_fail(err, PT_ECANCELED, "stopped while the model was being loaded");
    pt_repository_finish(&s->repository);
    pt_loop_destroy(s->loop);
    pt_threads_destroy(s->threads);
    pt_metrics_destroy(s->registry);
    pt_free(s);
    return rc;
}
