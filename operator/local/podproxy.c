/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/local/podproxy.h"

#include "base/mem.h"

#include <stdio.h>

enum { MAX_ANSWER = 16 << 20, CALL_MS = 10000 };

struct call {
    struct pt_http_request *req;
    struct pt_http_call *call;
};

static void on_gone(void *arg)
{
    struct call *c = arg;
    pt_http_call_cancel(c->call);
    pt_free(c);
}

static void fail(struct pt_http_request *req, const struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(4096);
    int status = err->code == PT_EUNAVAILABLE ? 503 : pt_err_http(err->code);
    pt_buf_puts(&b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":");
    pt_buf_json_string(&b, pt_str(err->msg));
    pt_buf_printf(&b, ",\"reason\":\"%s\",\"code\":%d}",
                  status == 404   ? "NotFound"
                  : status == 405 ? "MethodNotAllowed"
                                  : "ServiceUnavailable",
                  status);
    pt_http_reply(req, status, "application/json", NULL, 0, (struct pt_str){b.data, b.len});
}

static void on_done(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct call *c = arg;
    struct pt_http_request *req = c->req;
    pt_http_on_close(req, NULL, NULL);
    pt_free(c);
    if (err) {
        fail(req, err);
        return;
    }
    char type[128];
    struct pt_str given = pt_http_response_header(r, "Content-Type");
    snprintf(type, sizeof type, PT_STR_FMT, PT_STR_ARG(given));
    pt_http_reply(req, r->status, *type ? type : "application/octet-stream", NULL, 0, r->body);
}

static int begin(struct pt_agent *agent, struct pt_http_client *http, struct pt_http_request *req, const char *ns, const char *pod, int port,
                 const char *rest, struct pt_err *err)
{
    char address[16], url[1024];
    struct pt_str query = pt_http_query(req);
    if (!pt_str_eq(pt_http_method(req), PT_STR("GET")))
        return pt_fail(err, PT_EMETHOD, "pods/proxy: only GET is answered without a cluster");
    int rc = pt_agent_pod_address(agent, ns, pod, address, err);
    if (rc < 0)
        return rc;
    if (snprintf(url, sizeof url, "http://%s:%d/%s%s" PT_STR_FMT, address, port, rest, query.len ? "?" : "", PT_STR_ARG(query)) >= (int)sizeof url)
        return pt_fail(err, PT_EINVAL, "pods/proxy: the path is too long");
    struct call *c = pt_calloc(1, sizeof *c);
    if (!c)
        return pt_fail(err, PT_ENOMEM, "pods/proxy: out of memory");
    c->req = req;
    struct pt_http_call_options o = {
        .method = "GET", .url = url, .max_body_bytes = MAX_ANSWER, .connect_timeout_ms = 1000, .timeout_ms = CALL_MS, .on_done = on_done, .arg = c};
    rc = pt_http_call_start(http, &o, &c->call, err);
    if (rc < 0)
        pt_free(c);
    else
        pt_http_on_close(req, on_gone, c);
    return rc;
}

bool pt_podproxy_handle(struct pt_agent *agent, struct pt_http_client *http, struct pt_http_request *req)
{
    char path[1024], ns[64], pod[254], rest[512] = "";
    int port = 0, end = 0;
    struct pt_err err;
    struct pt_str p = pt_http_path(req);
    snprintf(path, sizeof path, PT_STR_FMT, PT_STR_ARG(p));
    if (sscanf(path, "/api/v1/namespaces/%63[^/]/pods/%253[^/:%%]:%5d/proxy%n", ns, pod, &port, &end) != 3 &&
        sscanf(path, "/api/v1/namespaces/%63[^/]/pods/%253[^/:%%]%%3A%5d/proxy%n", ns, pod, &port, &end) != 3)
        return false;
    if (!end || (path[end] && path[end] != '/') || port < 1 || port > 65535)
        return false;
    snprintf(rest, sizeof rest, "%s", path[end] ? path + end + 1 : "");
    if (begin(agent, http, req, ns, pod, port, rest, &err) < 0)
        fail(req, &err);
    return true;
}
