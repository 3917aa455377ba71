/* SPDX-License-Identifier: Apache-2.0
 *
 * kubeclient.c: a command makes one request and ends, so each request has its own loop and client.
 */
#include "cli/kubeclient.h"
#include "cli/cluster.h"

#include "base/contract.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "operator/local/socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const struct pt_cli_kind kinds[] = {
    {PT_PLURAL, "modeldeployment", PT_SHORT_NAME, PT_KIND, PT_GROUP, PT_API_VERSION},
    {"pods", "pod", "po", "Pod", "", "v1"},
    {"services", "service", "svc", "Service", "", "v1"},
    {"configmaps", "configmap", "cm", "ConfigMap", "", "v1"},
    {"secrets", "secret", "", "Secret", "", "v1"},
    {"events", "event", "ev", "Event", "", "v1"},
    {"controllerrevisions", "controllerrevision", "", "ControllerRevision", "apps", "v1"},
};

const struct pt_cli_kind *pt_cli_kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct pt_cli_kind *k = &kinds[i];
        size_t len = strlen(name);
        const char *dot = strchr(name, '.');
        if (dot && *k->group && strcasecmp(dot + 1, k->group) == 0)
            len = (size_t)(dot - name);
        const char *const names[] = {k->plural, k->singular, k->short_name, k->kind};
        for (size_t n = 0; n < 4; n++)
            if (*names[n] && strlen(names[n]) == len && strncasecmp(names[n], name, len) == 0)
                return k;
    }
    return NULL;
}

void pt_cli_kind_label(const struct pt_cli_kind *k, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s", k->singular, *k->group ? "." : "", k->group);
}

void pt_cli_path(const struct pt_cli_kind *k, const char *ns, const char *name, struct pt_buf *out)
{
    pt_buf_printf(out, *k->group ? "/apis/%s/%s" : "/api%s/%s", k->group, k->version);
    if (ns)
        pt_buf_printf(out, "/namespaces/%s", ns);
    pt_buf_printf(out, "/%s", k->plural);
    if (name)
        pt_buf_printf(out, "/%s", name);
}

/* --- options ---------------------------------------------------------------------------------------------------------- */

struct option_row {
    char flag;              /* in `flags` of pt_cli_parse; 0 = every command */
    const char *shrt, *lng; /* "-n", "--namespace" */
    size_t field;
    bool value;
};
#define FIELD(f) offsetof(struct pt_cli_options, f)
static const struct option_row option_rows[] = {
    {0, "-n", "--namespace", FIELD(ns), true},        {0, NULL, "--socket", FIELD(socket_path), true},
    {0, "-h", "--help", FIELD(help), false},          {'A', "-A", "--all-namespaces", FIELD(all_namespaces), false},
    {'o', "-o", "--output", FIELD(output), true},     {'f', "-f", "--filename", FIELD(filename), true},
    {'r', NULL, "--replicas", FIELD(replicas), true}, {'l', "-l", "--selector", FIELD(selector), true},
    {'t', NULL, "--tail", FIELD(tail), true},         {'F', "-f", "--follow", FIELD(follow), false},
    {'w', "-w", "--watch", FIELD(watch), false},      {'R', NULL, "--to-revision", FIELD(to_revision), true},
    {'V', NULL, "--revision", FIELD(revision), true}, {'T', NULL, "--timeout", FIELD(timeout), true},
    {0, NULL, "--kubeconfig", FIELD(kubeconfig), true}, {'I', NULL, "--interval", FIELD(interval), true},
    {'1', NULL, "--once", FIELD(once), false},        {'j', NULL, "--json", FIELD(json), false},
};

static const struct option_row *find_option(const char *arg, const char *flags, const char **value)
{
    for (size_t i = 0; i < sizeof option_rows / sizeof *option_rows; i++) {
        const struct option_row *row = &option_rows[i];
        size_t len = strlen(row->lng);
        if (row->flag && !strchr(flags, row->flag))
            continue;
        *value = NULL;
        if ((row->shrt && strcmp(arg, row->shrt) == 0) || strcmp(arg, row->lng) == 0)
            return row;
        *value = arg + len + 1;
        if (row->value && strncmp(arg, row->lng, len) == 0 && arg[len] == '=')
            return row;
        *value = arg + 2;
        if (row->value && row->shrt && strncmp(arg, row->shrt, 2) == 0 && arg[2])
            return row;
    }
    return NULL;
}

int pt_cli_parse(int argc, char **argv, const char *flags, struct pt_cli_options *o, struct pt_err *err)
{
    static char context_ns[64];
    *o = (struct pt_cli_options){0};
    bool plain = false;
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (plain || argv[i][0] != '-' || !argv[i][1]) {
            if (o->arg_count == sizeof o->args / sizeof *o->args)
                return pt_fail(err, PT_EINVAL, "too many arguments at \"%s\"", argv[i]);
            o->args[o->arg_count++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            plain = true;
            continue;
        }
        const struct option_row *row = find_option(argv[i], flags, &value);
        if (!row)
            return pt_fail(err, PT_EINVAL, "unknown option \"%s\"", argv[i]);
        if (!row->value) {
            *(bool *)((char *)o + row->field) = true;
            continue;
        }
        if (!value && ++i == argc)
            return pt_fail(err, PT_EINVAL, "%s needs a value", argv[i - 1]);
        *(const char **)((char *)o + row->field) = value ? value : argv[i];
    }
    if (!o->ns && o->kubeconfig && !o->help && pt_cluster_namespace(o->kubeconfig, context_ns, sizeof context_ns, err) < 0)
        return err->code;
    if (!o->ns)
        o->ns = *context_ns ? context_ns : "default";
    if (o->kubeconfig && o->socket_path)
        return pt_fail(err, PT_EINVAL, "--kubeconfig asks a cluster and --socket a `pintle up`: one of them");
    if (!pt_is_dns_label(pt_str(o->ns)))
        return pt_fail(err, PT_EINVAL, "\"%s\" is not a namespace name", o->ns);
    return PT_OK;
}

int pt_cli_resource_args(const struct pt_cli_options *o, const struct pt_cli_kind **kind, const char *names[16], size_t *count, struct pt_err *err)
{
    static char kind_name[16][64];
    *count = 0;
    if (o->arg_count == 0)
        return pt_fail(err, PT_EINVAL, "a resource is needed: KIND, KIND NAME or KIND/NAME (kinds: mdep, pods, services, configmaps, events, controllerrevisions)");
    *kind = NULL;
    for (size_t i = 0; i < o->arg_count; i++) {
        const char *slash = strchr(o->args[i], '/');
        size_t len = slash ? (size_t)(slash - o->args[i]) : strlen(o->args[i]);
        if (i > 0 && !slash) {
            names[(*count)++] = o->args[i];
            continue;
        }
        snprintf(kind_name[i], sizeof kind_name[i], "%.*s", (int)len, o->args[i]);
        const struct pt_cli_kind *k = pt_cli_kind_find(kind_name[i]);
        if (!k)
            return pt_fail(err, PT_EINVAL, "the server doesn't have a resource type \"%s\"", kind_name[i]);
        if (*kind && *kind != k)
            return pt_fail(err, PT_EINVAL, "one kind at a time: \"%s\" after %s", o->args[i], (*kind)->plural);
        *kind = k;
        if (slash)
            names[(*count)++] = slash + 1;
    }
    for (size_t i = 0; i < *count; i++)
        if (!pt_is_dns_subdomain(pt_str(names[i])))
            return pt_fail(err, PT_EINVAL, "\"%s\" is not a name", names[i]);
    return PT_OK;
}

/* --- requests ----------------------------------------------------------------------------------------------------------- */

struct request {
    struct pt_loop *loop;
    struct pt_cli_response *out;
    int (*on_data)(void *arg, const void *p, size_t len);
    void *arg;
    struct pt_err err;
    int status;
};

static int on_headers(void *arg, const struct pt_http_response *r)
{
    ((struct request *)arg)->status = r->status;
    return 0;
}

static int on_data(void *arg, const void *p, size_t len)
{
    struct request *q = arg;
    if (q->on_data && q->status < 300)
        return q->on_data(q->arg, p, len);
    return pt_buf_append(&q->out->body, p, len) ? 0 : -1;
}

static void on_done(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct request *q = arg;
    if (err)
        q->err = *err;
    else
        q->out->status = r->status;
    pt_loop_stop(q->loop);
}

static int run_request(struct request *q, struct pt_http_client *client, const struct pt_http_call_options *call, struct pt_err *err)
{
    struct pt_http_call *handle;
    int rc = pt_http_call_start(client, call, &handle, err);
    if (rc < 0)
        return rc;
    pt_loop_run(q->loop);
    if (q->err.code == PT_OK)
        return PT_OK;
    if (err)
        *err = q->err;
    return q->err.code;
}

/* Whom to ask: the socket of a `pintle up`, or a cluster. */
struct target {
    char socket_path[108]; /* "": the cluster */
    struct pt_cluster cluster;
    struct pt_http_client *client;
};

static int open_target(const struct pt_cli_options *o, struct pt_loop *loop, struct target *t, struct pt_err *err)
{
    struct pt_http_client_options http = {0};
    int rc = o->kubeconfig ? pt_cluster_open(loop, o->kubeconfig, &t->cluster, err)
                           : pt_local_socket_path(o->socket_path, t->socket_path, sizeof t->socket_path, err);
    if (rc < 0)
        return rc;
    http.tls = t->cluster.tls;
    http.unix_socket = *t->socket_path ? t->socket_path : NULL;
    return pt_http_client_create(loop, &http, &t->client, err);
}

static void close_target(struct target *t)
{
    pt_http_client_destroy(t->client);
    pt_cluster_close(&t->cluster);
}

int pt_cli_request(const struct pt_cli_options *o, const char *method, const char *path, const char *content_type, struct pt_str body,
                   int (*data)(void *arg, const void *p, size_t len), void *arg, struct pt_cli_response *out, struct pt_err *err)
{
    struct request q = {.out = out, .on_data = data, .arg = arg};
    struct target t = {0};
    pt_auto_buf url = PT_BUF_INIT(8192);
    out->status = 0;
    out->body = PT_BUF_INIT(64 << 20);
    int rc = pt_loop_create(&q.loop, err);
    if (rc < 0)
        return rc;
    rc = open_target(o, q.loop, &t, err);
    if (rc == PT_OK) {
        pt_buf_printf(&url, "%s%s", t.cluster.server ? t.cluster.server : "http://localhost", path);
        rc = pt_buf_check(&url, "the request path", err);
    }
    struct pt_http_header headers[3] = {{PT_STR("Content-Type"), pt_str(content_type ? content_type : "application/json")},
                                        {PT_STR("Accept"), pt_str(o->accept ? o->accept : "application/json")},
                                        {PT_STR("Authorization"), t.cluster.authorization ? pt_str(t.cluster.authorization) : (struct pt_str){0}}};
    struct pt_http_call_options call = {.method = method, .url = pt_buf_cstr(&url), .headers = headers, .header_count = t.cluster.authorization ? 3 : 2,
                                        .body = body, .on_headers = on_headers, .on_data = on_data, .on_done = on_done, .arg = &q,
                                        .stall_timeout_ms = data ? 365 * 86400 * 1000LL : 30000};
    if (rc == PT_OK)
        rc = run_request(&q, t.client, &call, err);
    close_target(&t);
    pt_loop_destroy(q.loop);
    if (rc == PT_EUNAVAILABLE && *t.socket_path)
        return pt_fail(err, PT_EUNAVAILABLE,
                       "no pintle up answers on %s: is it running? (--socket or PINTLE_SOCKET choose another one, --kubeconfig asks a cluster)", t.socket_path);
    return rc;
}

int pt_cli_server_error(const struct pt_cli_response *r, struct pt_err *err)
{
    cJSON *status = cJSON_ParseWithLength(r->body.data ? r->body.data : "", r->body.len);
    const char *reason = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(status, "reason"));
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(status, "message"));
    int rc = pt_fail(err, r->status == 404 ? PT_ENOTFOUND : PT_EIO, "Error from server (%s): %s", reason && *reason ? reason : "InternalError",
                     message ? message : "no message");
    cJSON_Delete(status);
    return rc;
}

int pt_cli_request_json(const struct pt_cli_options *o, const char *method, const char *path, const char *content_type, struct pt_str body, cJSON **out,
                        struct pt_err *err)
{
    struct pt_cli_response r;
    *out = NULL;
    int rc = pt_cli_request(o, method, path, content_type, body, NULL, NULL, &r, err);
    if (rc == PT_OK && r.status >= 300)
        rc = pt_cli_server_error(&r, err);
    if (rc == PT_OK && !(*out = cJSON_ParseWithLength(r.body.data ? r.body.data : "", r.body.len)))
        rc = pt_fail(err, PT_EPARSE, "%s %s: the answer is not JSON", method, path);
    pt_buf_finish(&r.body);
    return rc;
}

int pt_cli_exit(const struct pt_err *err)
{
    bool server = strncmp(err->msg, "Error from server", 17) == 0;
    fprintf(stderr, "%s%s\n", server ? "" : "error: ", err->msg);
    return err->code == PT_EINVAL ? 64 : 1;
}
