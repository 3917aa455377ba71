/* SPDX-License-Identifier: Apache-2.0
 *
 * up.c: puts the parts together, in the order of their dependence, and takes them down in reverse.
 */
#include "operator/local/up.h"

#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "operator/ctrl/obj.h"
#include "operator/local/agent.h"
#include "operator/local/apiserver.h"
#include "operator/local/page.h"
#include "operator/local/pod.h"
#include "operator/local/proxy.h"
#include "operator/local/socket.h"
#include "operator/model/operator.h"
#include "operator/model/spec.h"
#include "operator/report/intake.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STOP_MS = 30000, CA_DAYS = 30, DRAIN_SETTLE_MS = 100 };

struct up {
    const struct pt_up_options *o;
    char socket_path[108], kubeconfig[512], state_dir[256], sidecar[512], program[512];
    struct pt_buf ca_cert, ca_key; /* of this run */
    bool own_state_dir, stopping;
    struct pt_loop *loop;
    struct pt_metrics *metrics;
    struct pt_memapi *memapi;
    struct pt_tls *tls;
    struct pt_http_client *http;
    struct pt_intake *intake;
    struct pt_operator *operator_;
    struct pt_agent *agent;
    struct pt_proxy *proxy;
    struct pt_apiserver *apiserver;
    struct pt_page *page;
    struct pt_api_call *watch;
};

/* Where a CRD would validate: memapi asks here before it stores a ModelDeployment. */
static int admit(void *arg, const struct pt_resource *res, cJSON *object, const cJSON *old, struct pt_err *err)
{
    (void)arg;
    (void)old;
    if (res != &pt_res_modeldeployments)
        return PT_OK;
    struct pt_spec spec;
    int rc = pt_spec_read(object, &spec, err);
    bool own = rc == PT_OK && spec.own_containers, claim = rc == PT_OK && strstr(spec.user_json, "\"uri\":\"" PT_SCHEME_PVC) != NULL;
    pt_spec_finish(&spec);
    if (claim)
        return pt_fail(err, PT_EINVAL, "spec.model.uri and spec.compression.output.uri: " PT_SCHEME_PVC " needs a cluster; without one use file:///PATH");
    if (own)
        return pt_fail(err, PT_EINVAL, "spec.template.spec: containers of your own need a cluster; without one only the sidecar runs, as a process");
    return rc < 0 ? rc : pt_spec_admit(object, err);
}

static int on_report(void *arg, const struct pt_report *report, int64_t *next_ms, struct pt_err *err)
{
    struct up *u = arg;
    return u->operator_ ? pt_operator_report(u->operator_, report, next_ms, err) : pt_fail(err, PT_EUNAVAILABLE, "starting");
}

static void on_deployment(void *arg, const struct pt_watch_event *e)
{
    struct up *u = arg;
    if (!u->o->on_status || (e->type != PT_WATCH_ADDED && e->type != PT_WATCH_MODIFIED))
        return;
    cJSON *object = cJSON_ParseWithLength(e->object.p, e->object.len);
    const char *ns = pt_obj_text(object, "metadata.namespace"), *name = pt_obj_text(object, "metadata.name");
    int http_port = u->proxy ? pt_proxy_port(u->proxy, ns, name, "http") : 0, grpc_port = u->proxy ? pt_proxy_port(u->proxy, ns, name, "grpc") : 0;
    u->o->on_status(u->o->arg, ns, name, e->object, http_port, grpc_port);
    cJSON_Delete(object);
}

static void on_watch_end(void *arg, const struct pt_api_result *r)
{
    (void)r;
    ((struct up *)arg)->watch = NULL;
}

/* --- signals ------------------------------------------------------------------------------------------------------------------- */

static void on_pods_stopped(void *arg)
{
    pt_loop_stop(((struct up *)arg)->loop);
}

static void on_signal(void *arg, int signum)
{
    struct up *u = arg;
    (void)signum;
    if (u->stopping) {
        pt_loop_stop(u->loop);
        return;
    }
    u->stopping = true;
    pt_agent_stop(u->agent, STOP_MS, on_pods_stopped, u);
}

/* --- start ----------------------------------------------------------------------------------------------------------------------- */

/* beside the socket, where nothing else is said */
static void name_kubeconfig(struct up *u)
{
    size_t n = strlen(u->socket_path);
    n -= n > 5 && !strcmp(u->socket_path + n - 5, ".sock") ? 5 : 0;
    if (u->o->kubeconfig)
        snprintf(u->kubeconfig, sizeof u->kubeconfig, "%s", u->o->kubeconfig);
    else
        snprintf(u->kubeconfig, sizeof u->kubeconfig, "%.*s.kubeconfig", (int)n, u->socket_path);
}

static int find_places(struct up *u, struct pt_err *err)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    int rc = pt_local_socket_path(u->o->socket_path, u->socket_path, sizeof u->socket_path, err);
    if (rc < 0)
        return rc;
    name_kubeconfig(u);
    if (u->o->state_dir) {
        snprintf(u->state_dir, sizeof u->state_dir, "%s", u->o->state_dir);
        rc = pt_path_mkdirs(u->state_dir, 0700, err);
    } else {
        snprintf(u->state_dir, sizeof u->state_dir, "%s/pintle-up-XXXXXX", dir && *dir ? dir : "/tmp");
        u->own_state_dir = mkdtemp(u->state_dir) != NULL;
        if (!u->own_state_dir)
            rc = pt_fail(err, PT_EIO, "cannot make a folder %s", u->state_dir);
    }
    if (rc < 0)
        return rc;
    ssize_t len = readlink("/proc/self/exe", u->program, sizeof u->program - 1);
    if (len < 0)
        return pt_fail(err, PT_EIO, "this program's own path cannot be read");
    if (u->o->sidecar) {
        snprintf(u->sidecar, sizeof u->sidecar, "%s", u->o->sidecar);
    } else {
        const char *slash = memrchr(u->program, '/', (size_t)len);
        snprintf(u->sidecar, sizeof u->sidecar, "%.*s/pintle-sidecar", slash ? (int)(slash - u->program) : 0, u->program);
    }
    return access(u->sidecar, X_OK) == 0 ? PT_OK : pt_fail(err, PT_ENOTFOUND, "no sidecar program at %s (--sidecar FILE)", u->sidecar);
}

static int start_operator(struct up *u, struct pt_err *err)
{
    char url[128];
    struct pt_intake_options intake = {.loop = u->loop,
                                       .api = pt_memapi_api(u->memapi),
                                       .metrics = u->metrics,
                                       .address = "127.0.0.1:0",
                                       .ca_cert_pem = pt_buf_cstr(&u->ca_cert),
                                       .ca_key_pem = pt_buf_cstr(&u->ca_key),
                                       .names = "127.0.0.1",
                                       .report = on_report,
                                       .arg = u};
    int rc = pt_intake_start(&intake, &u->intake, err);
    if (rc < 0)
        return rc;
    snprintf(url, sizeof url, "https://127.0.0.1:%d" PT_REPORT_PATH, pt_intake_port(u->intake));
    struct pt_operator_options op = {.api = pt_memapi_api(u->memapi),
                                     .sched = pt_loop_sched(u->loop),
                                     .metrics = u->metrics,
                                     .seed = (uint64_t)pt_clock_mono_ns(),
                                     .sidecar_image = PT_SIDECAR_IMAGE,
                                     .report_url = url,
                                     .report_ca_pem = pt_buf_cstr(&u->ca_cert),
                                     .drain_settle_ms = DRAIN_SETTLE_MS};
    rc = pt_operator_create(&op, &u->operator_, err);
    if (rc == PT_OK)
        pt_operator_start(u->operator_);
    return rc;
}

static const struct pt_resource *resource_of(const char *kind)
{
    static const struct pt_resource *const all[] = {&pt_res_modeldeployments, &pt_res_configmaps, &pt_res_secrets, &pt_res_services};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->kind, kind) == 0)
            return all[i];
    return NULL;
}

static int create_object(struct up *u, struct pt_str json, struct pt_err *err)
{
    cJSON *object = cJSON_ParseWithLength(json.p, json.len);
    const char *kind = pt_obj_text(object, "kind"), *ns = pt_obj_text(object, "metadata.namespace"), *name = pt_obj_text(object, "metadata.name");
    const struct pt_resource *res = resource_of(kind);
    struct pt_api_request req = {
        .verb = PT_VERB_APPLY, .resource = res, .ns = *ns ? ns : "default", .name = name, .body = json, .field_manager = "pintle"};
    int rc = res ? PT_OK : pt_fail(err, PT_EUNSUPPORTED, "objects of kind \"%s\" cannot be created by pintle up", kind);
    if (res && pt_memapi_do(u->memapi, &req, NULL, err) >= 300)
        rc = err->code != PT_OK ? err->code : PT_EINVAL;
    if (rc < 0)
        pt_wrap(err, "%s \"%s\"", kind, name);
    cJSON_Delete(object);
    return rc;
}

static int create_objects(struct up *u, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < u->o->object_count; i++)
        rc = create_object(u, u->o->objects[i], err);
    return rc;
}

static int start_apiserver(struct up *u, struct pt_err *err)
{
    int rc = pt_ca_create("pintle up", CA_DAYS, &u->ca_cert, &u->ca_key, err);
    struct pt_apiserver_options o = {.loop = u->loop,
                                     .memapi = u->memapi,
                                     .agent = u->agent,
                                     .http = u->http,
                                     .socket_path = u->socket_path,
                                     .port = u->o->api_port,
                                     .ca_cert_pem = pt_buf_cstr(&u->ca_cert),
                                     .ca_key_pem = pt_buf_cstr(&u->ca_key),
                                     .kubeconfig = u->kubeconfig};
    return rc < 0 ? rc : pt_apiserver_create(&o, &u->apiserver, err);
}

static int start(struct up *u, struct pt_err *err)
{
    int rc = find_places(u, err);
    if (rc == PT_OK)
        rc = pt_loop_create(&u->loop, err);
    if (rc == PT_OK && !(u->metrics = pt_metrics_create()))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = pt_memapi_create(
            &(struct pt_memapi_options){
                .sched = pt_loop_sched(u->loop), .seed = (uint64_t)pt_clock_mono_ns(), .managed_fields = true, .admit = admit},
            &u->memapi, err);
    if (rc == PT_OK)
        rc = pt_tls_client_create_unverified(&u->tls, err); /* of pods on this machine, as a kubelet's probes */
    if (rc == PT_OK)
        rc = pt_http_client_create(u->loop, &(struct pt_http_client_options){.max_idle = 256, .tls = u->tls}, &u->http, err);
    if (rc == PT_OK)
        rc = pt_agent_create(&(struct pt_agent_options){u->loop, u->memapi, u->http, u->sidecar, u->program, u->state_dir}, &u->agent, err);
    if (rc == PT_OK)
        rc = pt_proxy_create(&(struct pt_proxy_options){u->loop, u->memapi, u->http, u->agent}, &u->proxy, err);
    if (rc == PT_OK)
        rc = start_apiserver(u, err);
    if (rc == PT_OK)
        rc = pt_page_create(u->loop, u->o->status_port, u->memapi, u->proxy, &u->page, err);
    if (rc == PT_OK)
        rc = start_operator(u, err);
    if (rc == PT_OK)
        rc = create_objects(u, err);
    struct pt_api_request watch = {.verb = PT_VERB_LIST, .resource = &pt_res_modeldeployments, .timeout_ms = INT64_C(365) * 86400 * 1000};
    if (rc == PT_OK)
        rc = pt_api_watch(pt_memapi_api(u->memapi), &watch, on_deployment, on_watch_end, u, &u->watch, err);
    if (rc == PT_OK)
        rc = pt_loop_on_signal(u->loop, SIGINT, on_signal, u, err);
    if (rc == PT_OK)
        rc = pt_loop_on_signal(u->loop, SIGTERM, on_signal, u, err);
    return rc;
}

static void finish(struct up *u)
{
    if (u->watch)
        pt_api_cancel(pt_memapi_api(u->memapi), u->watch);
    pt_page_destroy(u->page);
    pt_apiserver_destroy(u->apiserver);
    pt_proxy_destroy(u->proxy);
    pt_operator_destroy(u->operator_);
    pt_agent_destroy(u->agent);
    pt_intake_destroy(u->intake);
    pt_http_client_destroy(u->http);
    pt_tls_destroy(u->tls);
    pt_memapi_destroy(u->memapi);
    pt_buf_finish(&u->ca_cert);
    pt_buf_finish(&u->ca_key);
    pt_metrics_destroy(u->metrics);
    if (u->loop)
        pt_loop_destroy(u->loop);
    if (u->own_state_dir)
        pt_local_pod_remove_dir(u->state_dir);
}

int pt_up_run(const struct pt_up_options *o, struct pt_err *err)
{
    struct up u = {.o = o};
    int rc = start(&u, err);
    if (rc == PT_OK) {
        if (o->on_up)
            o->on_up(o->arg, u.socket_path, u.kubeconfig, pt_page_port(u.page));
        pt_loop_run(u.loop);
    }
    finish(&u);
    return rc;
}
