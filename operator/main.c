/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: pintle-operator: the controller against a real API server. One loop thread.
 *
 * Start: credentials -> health server -> CA Secret -> report intake -> controller, which watches -> with --leader-elect a Lease -> it works. Who loses
 * the Lease stands by from that moment, with its stores and its process, and may lead again. client-go's controllers end instead, as they cannot take
 * back what their goroutines are about to write. Here one thread holds all of it: calls are cancelled, connections cut with what waits in them to be
 * sent, and each write is bound to the version or uid of what it was decided upon, should it have left a moment before. The Lease is renewed over a
 * client of its own, which no limit of requests, no long answer and no cut concerns.
 * Stop (SIGTERM, SIGINT): the controller takes no new work, finishes what is under way, the Lease is given back, then the process ends; a second signal
 * ends it at once.
 */
#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "operator/ctrl/health.h"
#include "operator/ctrl/lease.h"
#include "operator/ctrl/role.h"
#include "operator/hpa/server.h"
#include "operator/kube/client.h"
#include "operator/model/operator.h"
#include "operator/probe.h"
#include "operator/report/ca.h"
#include "operator/report/intake.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CA_DEADLINE_MS = 120000, ELECTION_TOLERANCE_MS = 20000 };

struct options {
    const char *kubeconfig, *context, *ns, *watch_ns, *sidecar_image, *report_url, *report_address, *health_address, *metrics_api_address, *ca_lifetime, *cert_lifetime, *probe, *log_level, *log_format, *qps, *burst;
    bool leader_elect, help, version;
};
struct program {
    struct options o;
    struct pt_loop *loop;
    struct pt_metrics *metrics;
    struct pt_kube_client *kube, *lease_kube; /* the second: with --leader-elect */
    struct pt_http_server *health;
    struct pt_ca *ca;
    struct pt_intake *intake;
    struct pt_hpa *hpa;
    struct pt_operator *operator_;
    struct pt_lease *lease;
    struct pt_role *role;
    char ns[64];
    int64_t ca_ms, cert_ms;
    int exit_code;
    bool stopping;
};

static const char help[] =
    "usage: pintle-operator [--kubeconfig FILE] [options]\n"
    "\n"
    "Runs ModelDeployments (pintle.dev/v1alpha1) on the cluster it is pointed at. Without --kubeconfig it uses the service account of its pod.\n"
    "\n"
    "      --kubeconfig FILE       how to reach the API server from outside the cluster\n"
    "      --context NAME          a context of it other than the current one\n"
    "      --namespace NS          where the operator keeps its Secret (default: its pod's namespace, POD_NAMESPACE, or the context's)\n"
    "      --watch-namespace NS    only ModelDeployments of this namespace (default: all)\n"
    "      --sidecar-image IMAGE   of pods whose spec.runtime.image is empty (default " PT_SIDECAR_IMAGE ")\n"
    "      --report-url URL        where sidecars reach this operator (default https://pintle-operator.<namespace>.svc:8443/v1/report)\n"
    "      --report-address ADDR   where it listens for them (default 0.0.0.0:8443)\n"
    "      --health-address ADDR   /healthz, /readyz and /metrics (default 0.0.0.0:8081)\n"
    "      --metrics-api-address ADDR\n"
    "                              serve custom.metrics.k8s.io there, for HorizontalPodAutoscalers (default: not at all)\n"
    "      --ca-lifetime DURATION  of the certificate that sidecars know the operator by (default 87600h); it is renewed in time, with the same key\n"
    "      --cert-lifetime DURATION\n"
    "                              of what it signs (default 2160h); made anew at a sixth of that\n"
    "      --kube-api-qps N        at most N requests to the API server a second (default 0: no limit, the server's own holds)\n"
    "      --kube-api-burst N      so many at once (default 30)\n"
    "      --leader-elect          of several, one works; the others stand by (needs the right to Leases in --namespace)\n"
    "      --probe URL             only ask there until it is answered 200, half a minute at most; the exit status says whether it was\n"
    "      --log-level LEVEL       debug, info, warn or error (default info)\n"
    "      --log-format FORMAT     text or json (default: text on a terminal)\n"
    "      --version, --help\n";

static const struct {
    const char *name;
    size_t field;
} option_rows[] = {
    {"--kubeconfig", offsetof(struct options, kubeconfig)},       {"--context", offsetof(struct options, context)},
    {"--namespace", offsetof(struct options, ns)},                {"--watch-namespace", offsetof(struct options, watch_ns)},
    {"--sidecar-image", offsetof(struct options, sidecar_image)}, {"--report-url", offsetof(struct options, report_url)},
    {"--report-address", offsetof(struct options, report_address)}, {"--health-address", offsetof(struct options, health_address)},
    {"--metrics-api-address", offsetof(struct options, metrics_api_address)},
    {"--ca-lifetime", offsetof(struct options, ca_lifetime)},
    {"--cert-lifetime", offsetof(struct options, cert_lifetime)},
    {"--probe", offsetof(struct options, probe)},
    {"--kube-api-qps", offsetof(struct options, qps)},            {"--kube-api-burst", offsetof(struct options, burst)},
    {"--log-level", offsetof(struct options, log_level)},         {"--log-format", offsetof(struct options, log_format)},
};

static int parse_option(struct options *o, int argc, char **argv, int *i, struct pt_err *err)
{
    for (size_t r = 0; r < sizeof option_rows / sizeof *option_rows; r++) {
        size_t len = strlen(option_rows[r].name);
        if (strncmp(argv[*i], option_rows[r].name, len) != 0 || (argv[*i][len] && argv[*i][len] != '='))
            continue;
        const char *value = argv[*i][len] ? argv[*i] + len + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (!value || !*value)
            return pt_fail(err, PT_EINVAL, "%s needs a value", option_rows[r].name);
        *(const char **)((char *)o + option_rows[r].field) = value;
        return PT_OK;
    }
    return pt_fail(err, PT_EINVAL, "unknown argument \"%s\" (try --help)", argv[*i]);
}

static int parse_options(struct options *o, int argc, char **argv, struct pt_err *err)
{
    *o = (struct options){.sidecar_image = PT_SIDECAR_IMAGE, .report_address = "0.0.0.0:8443", .health_address = "0.0.0.0:8081", .log_level = "info"};
    for (int i = 1; i < argc; i++) {
        int rc = PT_OK;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            o->help = true;
        else if (strcmp(argv[i], "--version") == 0)
            o->version = true;
        else if (strcmp(argv[i], "--leader-elect") == 0)
            o->leader_elect = true;
        else
            rc = parse_option(o, argc, argv, &i, err);
        if (rc < 0)
            return rc;
    }
    if (pt_log_level_parse(o->log_level) < 0)
        return pt_fail(err, PT_EINVAL, "--log-level %s: debug, info, warn or error", o->log_level);
    if (o->log_format && strcmp(o->log_format, "text") != 0 && strcmp(o->log_format, "json") != 0)
        return pt_fail(err, PT_EINVAL, "--log-format %s: text or json", o->log_format);
    return PT_OK;
}

/* --- health ---------------------------------------------------------------------------------------------------------- */

static void reply_text(struct pt_http_request *req, int status, const char *text)
{
    pt_http_reply(req, status, "text/plain; charset=utf-8", NULL, 0, pt_str(text));
}

static const char *ping_failed(void *arg)
{
    (void)arg;
    return NULL;
}

static const char *election_failed(void *arg)
{
    const struct program *p = arg;
    return p->lease && !pt_lease_healthy(p->lease, ELECTION_TOLERANCE_MS) ? "the lease was not renewed in time" : NULL;
}

static const char *intake_failed(void *arg)
{
    return ((struct program *)arg)->intake ? NULL : "not started yet";
}

static const char *sync_failed(void *arg)
{
    const struct program *p = arg;
    return p->operator_ && pt_operator_synced(p->operator_) ? NULL : "not synced yet";
}

static const char *shutdown_failed(void *arg)
{
    return ((struct program *)arg)->stopping ? "stopping" : NULL;
}

static const struct pt_health_check live_checks[] = {{"ping", ping_failed}, {"leaderElection", election_failed}};
static const struct pt_health_check ready_checks[] = {{"ping", ping_failed}, {"report-intake", intake_failed}, {"informer-sync", sync_failed}, {"shutdown", shutdown_failed}};
static const struct {
    const char *name;
    const struct pt_health_check *checks;
    size_t count;
} health_rows[] = {{"healthz", live_checks, 2}, {"livez", live_checks, 2}, {"readyz", ready_checks, 4}};

/* /readyz, /readyz/NAME, ?verbose, ?exclude=NAME */
static bool reply_health(struct program *p, struct pt_http_request *req)
{
    struct pt_str path = pt_http_path(req);
    char exclude[256], verbose[16];
    for (size_t i = 0; i < sizeof health_rows / sizeof *health_rows; i++) {
        size_t n = strlen(health_rows[i].name) + 1;
        if (path.len < n || memcmp(path.p + 1, health_rows[i].name, n - 1) != 0 || (path.len > n && path.p[n] != '/'))
            continue;
        pt_auto_buf body = PT_BUF_INIT(0);
        struct pt_str only = path.len > n ? (struct pt_str){path.p + n + 1, path.len - n - 1} : (struct pt_str){NULL, 0};
        const char *without = pt_http_query_param(req, "exclude", exclude, sizeof exclude);
        bool all = pt_str_eq(pt_http_query(req), PT_STR("verbose")) || pt_http_query_param(req, "verbose", verbose, sizeof verbose);
        int status = pt_health_text(health_rows[i].name, health_rows[i].checks, health_rows[i].count, p, only, pt_str(without), all, &body);
        pt_http_reply_buf(req, status, "text/plain; charset=utf-8", NULL, 0, &body);
        return true;
    }
    return false;
}

static void handle_health(void *arg, struct pt_http_request *req)
{
    struct program *p = arg;
    struct pt_str path = pt_http_path(req), method = pt_http_method(req);
    if (!pt_str_eq(method, PT_STR("GET")) && !pt_str_eq(method, PT_STR("HEAD"))) {
        struct pt_http_header allow = {PT_STR("Allow"), PT_STR("GET, HEAD")};
        pt_http_reply(req, 405, "text/plain; charset=utf-8", &allow, 1, PT_STR("405 method not allowed\n"));
        return;
    }
    if (reply_health(p, req))
        return;
    if (pt_str_eq(path, PT_STR("/metrics"))) {
        struct pt_buf body = PT_BUF_INIT(16 << 20);
        enum pt_metrics_format format = pt_metrics_choose(pt_http_header(req, "Accept"));
        struct pt_http_header vary = {PT_STR("Vary"), PT_STR("Accept")};
        pt_metrics_write(p->metrics, format, &body);
        pt_http_reply_buf(req, 200, pt_metrics_content_type(format), &vary, 1, &body);
        pt_buf_finish(&body);
    } else {
        reply_text(req, 404, "404 page not found\n");
    }
}

/* --- start and stop ----------------------------------------------------------------------------------------------------- */

static void give_up(struct program *p, const char *what, const struct pt_err *err)
{
    pt_log(PT_LOG_ERROR, what, "error", err->msg, NULL);
    p->exit_code = EXIT_FAILURE;
    pt_loop_stop(p->loop);
}

static int on_report(void *arg, const struct pt_report *report, int64_t *next_ms, struct pt_err *err)
{
    struct program *p = arg;
    if (!p->operator_ || (p->lease && !pt_lease_valid(p->lease)))
        return pt_fail(err, PT_EUNAVAILABLE, p->operator_ ? "this operator stands by" : "the operator is starting");
    return pt_operator_report(p->operator_, report, next_ms, err);
}

static bool works(void *arg)
{
    const struct program *p = arg;
    return p->operator_ && pt_operator_synced(p->operator_) && !p->stopping && (!p->lease || pt_lease_valid(p->lease));
}

static void each_load(void *arg, const char *ns, pt_load_fn fn, void *fn_arg)
{
    pt_operator_loads(((struct program *)arg)->operator_, ns, fn, fn_arg);
}

/* --- leading ------------------------------------------------------------------------------------------------------------ */

static void on_leads(void *arg)
{
    struct program *p = arg;
    pt_operator_lead(p->operator_);
    if (p->role)
        pt_role_set(p->role, true);
}

/* Nothing more may be written, not even what is under way. The cut comes first: what is cancelled must not be flushed on the way out. */
static void on_lost(void *arg, const char *why)
{
    struct program *p = arg;
    pt_log(PT_LOG_WARN, "leadership lost, standing by", "reason", why, NULL);
    pt_kube_client_cut(p->kube);
    pt_operator_stand_by(p->operator_);
    if (p->role)
        pt_role_set(p->role, false);
}

static bool may_write(void *arg)
{
    struct program *p = arg;
    return !p->lease || pt_lease_valid(p->lease);
}

static int elect(struct program *p, struct pt_err *err)
{
    char host[64] = "", identity[112];
    const char *pod = getenv("POD_NAME");
    gethostname(host, sizeof host - 1);
    uint64_t seed = (uint64_t)pt_clock_mono_ns() ^ (uint64_t)pt_clock_wall_ms() << 20 ^ (uint64_t)getpid();
    snprintf(identity, sizeof identity, "%s_%016llx", host, (unsigned long long)seed);
    struct pt_lease_options lease = {.api = pt_kube_client_api(p->lease_kube), .sched = pt_loop_sched(p->loop), .metrics = p->metrics, .seed = seed, .ns = p->ns,
                                     .name = PT_LEASE, .identity = identity, .leads = on_leads, .lost = on_lost, .arg = p};
    struct pt_role_options role = {.api = lease.api, .sched = lease.sched, .ns = p->ns, .pod = pod, .label = PT_LABEL_ROLE};
    int rc = pt_lease_create(&lease, &p->lease, err);
    if (rc == PT_OK && pod && *pod)
        rc = pt_role_create(&role, &p->role, err);
    if (rc < 0)
        return rc;
    if (p->role)
        pt_role_set(p->role, false);
    pt_lease_start(p->lease);
    return PT_OK;
}

/* Host of an URL, without port and brackets. */
static void host_of_url(const char *url, char *out, size_t size)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t len = *host == '[' ? strcspn(++host, "]") : strcspn(host, ":/");
    snprintf(out, size, "%.*s", (int)len, host);
}

/* What was signed gets old, or the CA is another: servers and new pods get what holds now. */
static void renew(struct program *p, const char *cert_pem, const char *key_pem)
{
    struct pt_err err;
    int rc = pt_intake_renew(p->intake, cert_pem, key_pem, &err);
    if (rc == PT_OK && p->hpa)
        rc = pt_hpa_renew(p->hpa, cert_pem, key_pem, &err);
    if (rc == PT_OK)
        rc = pt_operator_set_ca(p->operator_, cert_pem, &err);
    if (rc < 0)
        pt_log(PT_LOG_ERROR, "certificates could not be renewed", "error", err.msg, NULL);
    else
        pt_log(PT_LOG_INFO, "certificates renewed", NULL);
}

static void on_ca(void *arg, const char *cert_pem, const char *key_pem, const struct pt_err *failure)
{
    struct program *p = arg;
    struct pt_err err;
    char default_url[192], names[512], host[256];
    if (failure) {
        give_up(p, "no certificate authority", failure);
        return;
    }
    if (p->operator_) {
        renew(p, cert_pem, key_pem);
        return;
    }
    snprintf(default_url, sizeof default_url, "https://pintle-operator.%s.svc:%d" PT_REPORT_PATH, p->ns, PT_PORT_REPORT);
    const char *url = p->o.report_url ? p->o.report_url : default_url;
    host_of_url(url, host, sizeof host);
    snprintf(names, sizeof names, "%s,localhost,127.0.0.1", host);
    struct pt_intake_options intake = {.loop = p->loop, .api = pt_kube_client_api(p->kube), .metrics = p->metrics, .address = p->o.report_address,
                                       .ca_cert_pem = cert_pem, .ca_key_pem = key_pem, .cert_s = p->cert_ms / 1000, .names = names, .report = on_report, .arg = p};
    struct pt_operator_options op = {.api = pt_kube_client_api(p->kube), .sched = pt_loop_sched(p->loop), .metrics = p->metrics,
                                     .seed = (uint64_t)pt_clock_mono_ns() ^ (uint64_t)pt_clock_wall_ms(), .ns = p->o.watch_ns,
                                     .sidecar_image = p->o.sidecar_image, .report_url = url, .report_ca_pem = cert_pem, .standby = p->o.leader_elect,
                                     .may_write = may_write, .may_write_arg = p};
    int rc = pt_intake_start(&intake, &p->intake, &err);
    if (rc == PT_OK)
        rc = pt_operator_create(&op, &p->operator_, &err);
    struct pt_hpa_options hpa = {.loop = p->loop, .api = pt_kube_client_api(p->kube), .address = p->o.metrics_api_address, .ns = p->ns, .ca_cert_pem = cert_pem,
                                 .ca_key_pem = key_pem, .cert_s = p->cert_ms / 1000, .works = works, .loads = each_load, .arg = p};
    if (rc == PT_OK && hpa.address)
        rc = pt_hpa_start(&hpa, &p->hpa, &err);
    if (rc == PT_OK && p->o.leader_elect)
        rc = elect(p, &err);
    if (rc < 0) {
        give_up(p, "cannot start", &err);
        return;
    }
    pt_operator_start(p->operator_);
    pt_log(PT_LOG_INFO, "started", "version", PT_VERSION, "namespace", p->ns, "reports", url, NULL);
}

static void on_released(void *arg)
{
    pt_loop_stop(((struct program *)arg)->loop);
}

static void on_stopped(void *arg)
{
    struct program *p = arg;
    if (p->lease)
        pt_lease_release(p->lease, on_released, p);
    else
        on_released(p);
}

static void on_signal(void *arg, int signum)
{
    struct program *p = arg;
    (void)signum;
    if (p->stopping || !p->operator_) {
        pt_loop_stop(p->loop);
        return;
    }
    p->stopping = true;
    pt_log(PT_LOG_INFO, "stopping", NULL);
    pt_operator_stop(p->operator_, on_stopped, p);
}

static int connect_to(struct program *p, struct pt_kube_client **out, struct pt_err *err)
{
    struct pt_kube_config config = {0};
    const char *listed = getenv("KUBERNETES_SERVICE_HOST") ? NULL : getenv("KUBECONFIG"), *path = p->o.kubeconfig ? p->o.kubeconfig : listed && *listed ? listed : NULL;
    int rc = path ? pt_kube_config_load(path, p->o.context, &config, err) : pt_kube_config_in_cluster(&config, err);
    if (rc < 0)
        return rc;
    const char *env = getenv("POD_NAMESPACE");
    snprintf(p->ns, sizeof p->ns, "%s", p->o.ns ? p->o.ns : env && *env ? env : config.ns);
    rc = pt_kube_client_create(p->loop, &config, p->metrics, out, err);
    pt_kube_config_finish(&config);
    return rc;
}

static int start(struct program *p, struct pt_err *err)
{
    int64_t qps = 0, burst = 30;
    int rc = p->o.qps ? pt_parse_i64(pt_str(p->o.qps), 0, 100000, "--kube-api-qps", &qps, err) : PT_OK;
    if (rc == PT_OK && p->o.burst)
        rc = pt_parse_i64(pt_str(p->o.burst), 1, 100000, "--kube-api-burst", &burst, err);
    if (rc == PT_OK && p->o.ca_lifetime)
        rc = pt_parse_duration_ms(pt_str(p->o.ca_lifetime), "--ca-lifetime", &p->ca_ms, err);
    if (rc == PT_OK && p->o.cert_lifetime)
        rc = pt_parse_duration_ms(pt_str(p->o.cert_lifetime), "--cert-lifetime", &p->cert_ms, err);
    if (rc == PT_OK && ((p->o.ca_lifetime && p->ca_ms < 1000) || (p->o.cert_lifetime && p->cert_ms < 1000)))
        rc = pt_fail(err, PT_EINVAL, "a lifetime is a second or more");
    if (rc == PT_OK)
        rc = pt_loop_create(&p->loop, err);
    if (rc == PT_OK && !(p->metrics = pt_metrics_create()))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK) {
        pt_metrics_add_process(p->metrics);
        rc = connect_to(p, &p->kube, err);
    }
    if (rc == PT_OK && p->o.leader_elect)
        rc = connect_to(p, &p->lease_kube, err);
    if (rc < 0)
        return rc;
    pt_kube_client_limit(p->kube, (double)qps, (double)burst);
    struct pt_http_server_options health = {.address = p->o.health_address, .max_body_bytes = 4096, .max_connections = 64, .handler = handle_health, .arg = p};
    rc = pt_http_server_start(p->loop, &health, &p->health, err);
    if (rc == PT_OK)
        rc = pt_loop_on_signal(p->loop, SIGTERM, on_signal, p, err);
    if (rc == PT_OK)
        rc = pt_loop_on_signal(p->loop, SIGINT, on_signal, p, err);
    struct pt_ca_options ca = {.api = pt_kube_client_api(p->kube), .sched = pt_loop_sched(p->loop), .ns = p->ns, .ca_s = p->ca_ms / 1000, .cert_s = p->cert_ms / 1000,
                               .deadline_ms = CA_DEADLINE_MS, .works = works, .fn = on_ca, .arg = p};
    if (rc == PT_OK)
        rc = pt_ca_start(&ca, &p->ca, err);
    return rc;
}

static void finish(struct program *p)
{
    pt_role_destroy(p->role);
    pt_lease_destroy(p->lease);
    pt_hpa_destroy(p->hpa);
    pt_operator_destroy(p->operator_);
    pt_ca_destroy(p->ca);
    pt_intake_destroy(p->intake);
    pt_http_server_destroy(p->health);
    pt_kube_client_destroy(p->lease_kube);
    pt_kube_client_destroy(p->kube);
    pt_metrics_destroy(p->metrics);
    if (p->loop)
        pt_loop_destroy(p->loop);
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct pt_err err;
    if (parse_options(&p.o, argc, argv, &err) < 0) {
        fprintf(stderr, "error: %s\n", err.msg);
        return 64;
    }
    if (p.o.help || p.o.version) {
        fputs(p.o.help ? help : "pintle-operator " PT_VERSION "\n", stdout);
        return 0;
    }
    if (p.o.probe)
        return pt_probe(p.o.probe);
    enum pt_log_format format = !p.o.log_format ? PT_LOG_AUTO : strcmp(p.o.log_format, "json") == 0 ? PT_LOG_JSON : PT_LOG_TEXT;
    pt_log_setup("pintle-operator", (enum pt_log_level)pt_log_level_parse(p.o.log_level), format);
    if (start(&p, &err) < 0) {
        fprintf(stderr, "error: %s\n", err.msg);
        p.exit_code = EXIT_FAILURE;
    } else {
        pt_loop_run(p.loop);
    }
    finish(&p);
    return p.exit_code;
}
