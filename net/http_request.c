/* SPDX-License-Identifier: Apache-2.0
 *
 * http_request.c: a request as its handler sees it, whatever version of HTTP it came by: what it asks, and the calls that answer it.
 */
#include "net/http_conn.h"

#include <arpa/inet.h>
#include <stdio.h>

/* --- the request ------------------------------------------------------------------------------------------------------ */
struct pt_str pt_http_method(const struct pt_http_request *r)
{
    return r->ops->method(r);
}

/* Path and query of the target: origin form "/p?q", absolute form "http://h/p?q", or "*". */
static struct pt_str origin_form(const struct pt_http_request *r)
{
    struct pt_str t = r->ops->target(r);
    const char *hash = memchr(t.p, '#', t.len);
    if (hash)
        t.len = (size_t)(hash - t.p);
    if (t.len == 0 || t.p[0] == '/' || t.p[0] == '*')
        return t;
    const char *host = memmem(t.p, t.len, "://", 3);
    if (!host)
        return t;
    host += 3;
    size_t left = (size_t)(t.p + t.len - host), n = 0;
    while (n < left && host[n] != '/' && host[n] != '?')
        n++;
    return n < left ? (struct pt_str){host + n, left - n} : PT_STR("/");
}

struct pt_str pt_http_path(const struct pt_http_request *r)
{
    struct pt_str t = origin_form(r);
    const char *q = memchr(t.p, '?', t.len);
    if (q)
        t.len = (size_t)(q - t.p);
    return t.len ? t : PT_STR("/");
}

struct pt_str pt_http_query(const struct pt_http_request *r)
{
    struct pt_str t = origin_form(r);
    const char *q = memchr(t.p, '?', t.len);
    return q ? (struct pt_str){q + 1, (size_t)(t.p + t.len - q - 1)} : (struct pt_str){"", 0};
}

struct pt_str pt_http_body(const struct pt_http_request *r)
{
    const struct pt_buf *b = r->ops->body(r);
    return (struct pt_str){b->data, b->len};
}

void pt_http_take_body(struct pt_http_request *r, struct pt_buf *out)
{
    struct pt_buf *b = r->ops->body(r);
    *out = *b;
    *b = (struct pt_buf){.cap = out->cap};
}

struct pt_str pt_http_header(const struct pt_http_request *r, const char *name)
{
    size_t count;
    const struct pt_http_header *headers = r->ops->headers(r, &count);
    return pt_http_find_header(headers, count, pt_str(name));
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *decode_query(struct pt_str s, char *buf, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (n + 1 >= size)
            return NULL;
        int hi = s.p[i] == '%' && i + 2 < s.len ? hex(s.p[i + 1]) : -1, lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
        if (lo >= 0) {
            buf[n++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            buf[n++] = s.p[i] == '+' ? ' ' : s.p[i];
        }
    }
    if (size == 0)
        return NULL;
    buf[n] = 0;
    return buf;
}

const char *pt_http_query_param(const struct pt_http_request *r, const char *name, char *buf, size_t size)
{
    struct pt_str rest = pt_http_query(r), part, key = pt_str(name);
    while (pt_str_split(&rest, '&', &part)) {
        const char *eq = memchr(part.p, '=', part.len);
        size_t key_len = eq ? (size_t)(eq - part.p) : part.len;
        if (key_len == key.len && memcmp(part.p, key.p, key_len) == 0)
            return decode_query(eq ? (struct pt_str){eq + 1, part.len - key_len - 1} : (struct pt_str){"", 0}, buf, size);
    }
    return NULL;
}

void pt_http_on_close(struct pt_http_request *r, void (*fn)(void *arg), void *arg)
{
    r->on_close = fn;
    r->close_arg = arg;
}

void pt_http_on_drain(struct pt_http_request *r, void (*fn)(void *arg), void *arg)
{
    r->on_drain = fn;
    r->drain_arg = arg;
}

struct pt_http_server *pt_http_request_server(const struct pt_http_request *r)
{
    return r->ops->conn(r)->server;
}

bool pt_http_has_peer_certificate(const struct pt_http_request *r)
{
    return pt_stream_has_peer(&r->ops->conn(r)->stream);
}

bool pt_http_peer_name(const struct pt_http_request *r, char *out, size_t size)
{
    return pt_stream_peer_name(&r->ops->conn(r)->stream, out, size);
}

size_t pt_http_headers(const struct pt_http_request *r, const struct pt_http_header **out)
{
    size_t count;
    *out = r->ops->headers(r, &count);
    return count;
}

void pt_http_peer(const struct pt_http_request *r, char out[64])
{
    const struct sockaddr_in6 *a = &r->ops->conn(r)->peer;
    char text[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a;
    out[0] = 0;
    if (a->sin6_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text))
        snprintf(out, 64, "%s:%u", text, ntohs(v4->sin_port));
    else if (a->sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->sin6_addr) && inet_ntop(AF_INET, &a->sin6_addr.s6_addr[12], text, sizeof text))
        snprintf(out, 64, "%s:%u", text, ntohs(a->sin6_port));
    else if (a->sin6_family == AF_INET6 && inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof text))
        snprintf(out, 64, "[%s]:%u", text, ntohs(a->sin6_port));
}

/* --- how it ended ------------------------------------------------------------------------------------------------------------ */
void pt_http_set_note(struct pt_http_request *r, void *note)
{
    r->note = note;
}

void *pt_http_note(const struct pt_http_request *r)
{
    return r->note;
}

void pt_http_set_outcome(struct pt_http_request *r, int code, const char *reason)
{
    r->has_outcome = code >= 0;
    r->code = code;
    r->reason = reason;
}

void pt_request_received(struct pt_http_request *r)
{
    if (pt_http_request_server(r)->ended)
        r->received_ns = pt_clock_mono_ns();
}

void pt_request_ended(struct pt_http_request *r, int status, bool has_head)
{
    struct pt_http_server *s = pt_http_request_server(r);
    if (!s->ended)
        return;
    struct pt_http_end e = {.status = status,
                            .code = r->has_outcome ? r->code : -1,
                            .reason = r->reason,
                            .has_head = has_head,
                            .bytes_in = r->bytes_in,
                            .bytes_out = r->bytes_out,
                            .received_ns = r->received_ns ? r->received_ns : pt_clock_mono_ns()};
    s->ended(s->arg, r, &e);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */
void pt_http_reply(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                   struct pt_str body)
{
    r->ops->reply(r, status, content_type, headers, header_count, body, NULL);
}

void pt_http_reply_buf(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                       struct pt_buf *body)
{
    if (body->failed) {
        struct pt_err e;
        pt_buf_check(body, "reply", &e);
        pt_http_reply_error(r, &e);
    } else {
        r->ops->reply(r, status, content_type, headers, header_count, (struct pt_str){body->data, body->len}, body);
    }
    pt_buf_finish(body);
}

void pt_request_refuse(struct pt_http_request *r, int status, const char *reason)
{
    pt_auto_buf body = PT_BUF_INIT(0);
    pt_buf_puts(&body, "{\"error\":");
    pt_buf_json_string(&body, pt_str(reason));
    pt_buf_putc(&body, '}');
    struct pt_str text = body.failed ? PT_STR("{\"error\":\"out of memory\"}") : (struct pt_str){body.data, body.len};
    r->reason = reason;
    r->ops->reply(r, status, "application/json", NULL, 0, text, NULL);
}

void pt_http_reply_error(struct pt_http_request *r, const struct pt_err *e)
{
    pt_request_refuse(r, pt_err_http(e->code), e->msg);
}

void pt_http_begin(struct pt_http_request *r, int status, const char *content_type)
{
    r->ops->begin(r, status, content_type, NULL, 0);
}

void pt_http_begin_headers(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count)
{
    r->ops->begin(r, status, content_type, headers, header_count);
}

int pt_http_chunk(struct pt_http_request *r, struct pt_str data)
{
    return r->ops->chunk(r, data);
}

void pt_http_end(struct pt_http_request *r)
{
    r->ops->end(r, NULL, 0);
}

void pt_http_end_trailers(struct pt_http_request *r, const struct pt_http_header *trailers, size_t count)
{
    r->ops->end(r, trailers, count);
}

void pt_http_reply_trailers(struct pt_http_request *r, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                            struct pt_buf *body, const struct pt_http_header *trailers, size_t trailer_count)
{
    r->ops->reply_trailers(r, content_type, headers, header_count, body, trailers, trailer_count);
    pt_buf_finish(body);
}

/* --- bodies as they come ---------------------------------------------------------------------------------------------------------- */
bool pt_http_unwelcome(const struct pt_http_request *r)
{
    return r->unwelcome;
}

bool pt_http_is_http2(const struct pt_http_request *r)
{
    return r->ops->read_body != NULL;
}

void pt_http_read_body(struct pt_http_request *r, const struct pt_http_body_ops *ops, void *arg)
{
    r->ops->read_body(r, ops, arg);
}

void pt_http_discourage(struct pt_http_request *r, int retry_after_s)
{
    r->ops->discourage(r, retry_after_s);
}

void pt_http_retire(struct pt_http_request *r)
{
    r->ops->retire(r);
}

void pt_http_pause_body(struct pt_http_request *r, bool pause)
{
    r->ops->pause_body(r, pause);
}
