/* SPDX-License-Identifier: Apache-2.0
 *
 * rest.c: see rest.h.
 */
#include "sidecar/rest.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_INFLATED = 64 << 20, PACK_BYTES = 1024, LARGE_BODY = 64 << 10 };

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

void pt_rest_reply(struct pt_http_request *req, int status, struct pt_buf *json)
{
    struct pt_err err;
    if (pt_buf_check(json, "response", &err) < 0)
        pt_http_reply_error(req, &err);
    else
        pt_http_reply_buf(req, status, PT_JSON, NULL, 0, json);
}

/* 429 with the time after which it makes sense to come back. */
static void reply_busy(struct pt_http_request *req, const struct pt_err *err, int retry_after_s)
{
    char seconds[16], body[sizeof err->msg + 16];
    snprintf(seconds, sizeof seconds, "%d", retry_after_s);
    snprintf(body, sizeof body, "{\"error\":\"%s\"}", err->msg); /* our own words: nothing to escape */
    struct pt_http_header h = {PT_STR("Retry-After"), pt_str(seconds)};
    pt_http_discourage(req, retry_after_s);
    pt_http_set_outcome(req, -1, err->msg);
    pt_http_reply(req, 429, PT_JSON, &h, 1, pt_str(body));
}

void pt_rest_reply_error(struct pt_http_request *req, const struct pt_err *err, int retry_after_s)
{
    if (err->code == PT_EBUSY && retry_after_s > 0)
        reply_busy(req, err, retry_after_s);
    else
        pt_http_reply_error(req, err);
}

int pt_rest_plain_body(struct pt_http_request *req, struct pt_buf *out, struct pt_err *err)
{
    enum pt_encoding e;
    int rc = pt_encoding_parse(pt_http_header(req, "Content-Encoding"), &e, err);
    return rc < 0 ? rc : pt_inflate(e, pt_http_body(req), MAX_INFLATED, out, err);
}

struct pt_model_ref pt_rest_ref(const struct pt_rest_params *p)
{
    return (struct pt_model_ref){.name = pt_str(p->model), .version = pt_str(p->version)};
}

/* --- an inference ------------------------------------------------------------------------------------------------------------- */

static int decode(struct pt_call *call, struct pt_err *err)
{
    struct pt_rest_call *c = (struct pt_rest_call *)call;
    struct pt_str body = c->body;
    if (c->sent_as != PT_ENC_IDENTITY) {
        int rc = pt_inflate(c->sent_as, body, MAX_INFLATED, &c->plain, err);
        if (rc < 0)
            return pt_wrap(err, "body");
        body = (struct pt_str){c->plain.data, c->plain.len};
    }
    return c->protocol->decode(c, body, err);
}

static int encode(struct pt_call *call, const struct pt_tensor *const *outputs, struct pt_err *err)
{
    struct pt_rest_call *c = (struct pt_rest_call *)call;
    int rc = c->protocol->encode(c, outputs, err);
    c->pack = rc == PT_OK && c->answer_as != PT_ENC_IDENTITY && c->reply.len >= PACK_BYTES;
    return c->pack ? pt_deflate(c->answer_as, (struct pt_str){c->reply.data, c->reply.len}, &c->packed, err) : rc;
}

static void reply(struct pt_rest_call *c)
{
    struct pt_http_header h[2];
    size_t n = 0;
    char length[24];
    bool binary = c->json_out != SIZE_MAX;
    if (binary) {
        snprintf(length, sizeof length, "%zu", c->json_out);
        h[n++] = (struct pt_http_header){PT_STR("Inference-Header-Content-Length"), pt_str(length)};
    }
    if (c->pack)
        h[n++] = (struct pt_http_header){PT_STR("Content-Encoding"), pt_str(pt_encoding_name(c->answer_as))};
    pt_http_reply_buf(c->req, 200, binary ? "application/octet-stream" : PT_JSON, h, n, c->pack ? &c->packed : &c->reply);
}

static void finish(struct pt_rest_call *c)
{
    if (c->req && c->call.rc == PT_OK)
        reply(c);
    else if (c->req)
        pt_rest_reply_error(c->req, &c->call.err, c->call.retry_after_s);
    pt_call_finish(&c->call);
    pt_buf_finish(&c->own);
    pt_buf_finish(&c->plain);
    pt_buf_finish(&c->reply);
    pt_buf_finish(&c->packed);
    pt_free(c);
}

static void done(struct pt_call *call)
{
    struct pt_rest_call *c = (struct pt_rest_call *)call;
    if (c->req)
        pt_http_on_close(c->req, NULL, NULL);
    finish(c);
}

static void client_gone(void *arg)
{
    struct pt_rest_call *c = arg;
    c->req = NULL;
    pt_frontend_cancel(c->rest->frontend, &c->call);
}

static const struct pt_call_ops ops = {decode, encode, done};

void pt_rest_infer(struct pt_rest *r, struct pt_http_request *req, const struct pt_model_ref *ref, const struct pt_rest_protocol *protocol,
                   size_t json_in, int form)
{
    struct pt_err err;
    enum pt_encoding sent_as;
    if (pt_encoding_parse(pt_http_header(req, "Content-Encoding"), &sent_as, &err) < 0) {
        pt_wrap(&err, "Content-Encoding");
        err.code = PT_EINVAL;
        pt_http_reply_error(req, &err);
        return;
    }
    struct pt_rest_call *c = pt_malloc(sizeof *c);
    if (!c) {
        pt_fail(&err, PT_ENOMEM, "out of memory");
        pt_http_reply_error(req, &err);
        return;
    }
    *c = (struct pt_rest_call){.rest = r,
                               .protocol = protocol,
                               .req = req,
                               .body = pt_http_body(req),
                               .reply = PT_BUF_INIT(PT_MAX_REPLY),
                               .sent_as = sent_as,
                               .answer_as = pt_encoding_choose(pt_http_header(req, "Accept-Encoding")),
                               .json_in = json_in,
                               .json_out = SIZE_MAX};
    c->form = form;
    c->call.ops = &ops;
    c->call.body_bytes = sent_as == PT_ENC_IDENTITY ? c->body.len : SIZE_MAX;
    c->call.unread = pt_http_unwelcome(req);
    c->call.received_ns = pt_clock_mono_ns();
    pt_trace_of_request(req, &c->call.trace);
    pt_http_set_note(req, &c->call);
    if (pt_frontend_infer(r->frontend, ref, &c->call)) {
        finish(c);
        return;
    }
    pt_http_take_body(req, &c->own); /* what stays with the HTTP request goes with its client; the bytes do not move */
    pt_http_on_close(req, client_gone, c);
}

/* --- routing ------------------------------------------------------------------------------------------------------------------------- */

bool pt_rest_decode(struct pt_str s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.len || !isxdigit((unsigned char)s.p[i + 1]) || !isxdigit((unsigned char)s.p[i + 2]))
                return false;
            char hex[3] = {s.p[i + 1], s.p[i + 2], 0};
            c = (char)strtol(hex, NULL, 16);
            i += 2;
        }
        if (n + 1 >= size || c == 0)
            return false;
        out[n++] = c;
    }
    out[n] = 0;
    return n > 0;
}

bool pt_rest_match(const char *pattern, struct pt_str path, struct pt_rest_params *p)
{
    struct pt_str want = pt_str(pattern), want_part, part;
    p->model[0] = p->version[0] = 0;
    if (path.len > 1 && path.p[path.len - 1] == '/')
        path.len--;
    for (;;) {
        bool more = pt_str_split(&want, '/', &want_part);
        if (pt_str_split(&path, '/', &part) != more)
            return false;
        if (!more)
            return true;
        if (pt_str_eq(want_part, PT_STR("{model}"))) {
            if (!pt_rest_decode(part, p->model, sizeof p->model))
                return false;
        } else if (pt_str_eq(want_part, PT_STR("{version}"))) {
            if (!pt_rest_decode(part, p->version, sizeof p->version))
                return false;
        } else if (!pt_str_eq(want_part, part))
            return false;
    }
}

/* A body that fits into a read or two has come already; a connection ends for one that was not read. */
bool pt_rest_full(struct pt_rest *r, const struct pt_http_request *req)
{
    struct pt_str length = pt_http_header(req, "Content-Length"), path = pt_http_path(req);
    struct pt_rest_params p;
    int64_t bytes;
    bool label = false;
    if (!length.p || pt_parse_i64(length, LARGE_BODY, INT64_MAX, "Content-Length", &bytes, NULL) < 0 ||
        !pt_str_eq(pt_http_method(req), PT_STR("POST")))
        return false;
    if (!pt_oip_infers(path, &p) && !pt_tfs_infers(path, &p, &label))
        return false;
    struct pt_model_ref ref = {.name = pt_str(p.model), .version = pt_str(p.version), .label = label};
    return pt_frontend_full(r->frontend, &ref);
}

void pt_rest_not_allowed(struct pt_http_request *req, const char *allow)
{
    struct pt_str path = pt_http_path(req);
    pt_auto_buf b = PT_BUF_INIT(8192), text = PT_BUF_INIT(4096);
    struct pt_http_header h = {PT_STR("Allow"), pt_str(allow)};
    pt_buf_printf(&text, PT_STR_FMT " takes %s, not " PT_STR_FMT, (int)(path.len < 512 ? path.len : 512), path.p, allow,
                  PT_STR_ARG(pt_http_method(req)));
    pt_buf_puts(&b, "{\"error\":");
    pt_buf_json_string(&b, (struct pt_str){text.data, text.len});
    pt_buf_putc(&b, '}');
    pt_http_set_outcome(req, -1, pt_buf_cstr(&text));
    pt_http_reply(req, 405, PT_JSON, &h, 1, (struct pt_str){b.data, b.len});
}

/* Answers by the route that matches, if one does; else *allow says which method the path takes, if it is one of these. */
static bool serve(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_route *routes, size_t count, const char **allow)
{
    struct pt_str path = pt_http_path(req), method = pt_http_method(req);
    struct pt_rest_params p;
    if (pt_str_eq(method, PT_STR("HEAD")))
        method = PT_STR("GET"); /* the server leaves the body out */
    for (const struct pt_rest_route *route = routes; route < routes + count; route++) {
        if (!pt_rest_match(route->path, path, &p))
            continue;
        if (!pt_str_eq(method, pt_str(route->method))) {
            *allow = route->method;
            continue;
        }
        route->handle(r, req, &p);
        return true;
    }
    return false;
}

void pt_rest_handle(void *rest, struct pt_http_request *req)
{
    struct pt_rest *r = rest;
    struct pt_str path = pt_http_path(req);
    struct pt_err err;
    const char *allow = NULL;
    if (path.len >= 4 && pt_str_eq_nocase((struct pt_str){path.p, 4}, PT_STR("/v1/"))) {
        pt_tfs_handle(r, req);
        return;
    }
    if (serve(r, req, pt_oip_routes, pt_oip_route_count, &allow) || serve(r, req, pt_monitor_routes, pt_monitor_route_count, &allow) ||
        serve(r, req, pt_page_routes, pt_page_route_count, &allow))
        return;
    if (allow) {
        pt_rest_not_allowed(req, allow);
        return;
    }
    pt_fail(&err, PT_ENOTFOUND, "no such path: " PT_STR_FMT, (int)(path.len < 256 ? path.len : 256), path.p);
    pt_http_reply_error(req, &err);
}
