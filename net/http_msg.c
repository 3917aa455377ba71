/* SPDX-License-Identifier: Apache-2.0
 *
 * http_msg.c: HTTP/1.1 messages on llhttp, in its strict mode: no bare LF, no folded headers, no Content-Length beside Transfer-Encoding,
 * one Content-Length. On top of that this file refuses what would let two parties see two different messages: a transfer coding other than
 * exactly "chunked", any coding in HTTP/1.0, none or several Host headers in an HTTP/1.1 request.
 *
 * Memory: names and values are copied back to back into one buffer; spans are offsets while it grows and become pointers when the head is
 * complete.
 */
#include "net/http_msg.h"
#include "base/mem.h"

#include <strings.h>

#define KEEP_HEAD_BYTES 8192

int pt_http_msg_fail(struct pt_http_msg *m, int code, int status, const char *reason)
{
    m->fail_code = code;
    m->fail_status = status;
    m->fail_reason = reason;
    return code;
}

static struct pt_http_msg *msg_of(llhttp_t *p)
{
    return p->data;
}

/* --- collecting the head ------------------------------------------------------------------------------------------------- */
static int count_head(struct pt_http_msg *m, size_t len, int status)
{
    m->head_bytes += len;
    if (m->head_bytes <= m->max_header_bytes)
        return 0;
    pt_http_msg_fail(m, PT_ELIMIT, status, status == 414 ? "request target too long" : "header too large");
    return -1;
}

static int add_head(struct pt_http_msg *m, const char *p, size_t len)
{
    if (pt_buf_append(&m->head, p, len))
        return 0;
    pt_http_msg_fail(m, PT_ENOMEM, 503, "out of memory");
    return -1;
}

static int on_begin(llhttp_t *p)
{
    msg_of(p)->begun = true;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct pt_http_msg *m = msg_of(p);
    m->target_len += len;
    return count_head(m, len, 414) < 0 ? -1 : add_head(m, at, len);
}

static bool grow_headers(struct pt_http_msg *m)
{
    size_t room = m->header_room ? m->header_room * 2 : 16;
    struct pt_http_span *spans = pt_reallocarray(m->spans, room, sizeof *spans);
    if (spans)
        m->spans = spans;
    struct pt_http_header *headers = spans ? pt_reallocarray(m->headers, room, sizeof *headers) : NULL;
    if (!headers)
        return false;
    m->headers = headers;
    m->header_room = room;
    return true;
}

/* The header that is being read; it is counted once its value is complete. */
static struct pt_http_span *current(struct pt_http_msg *m)
{
    if (m->header_count < m->header_room || grow_headers(m))
        return &m->spans[m->header_count];
    pt_http_msg_fail(m, PT_ENOMEM, 503, "out of memory");
    return NULL;
}

static int on_field(llhttp_t *p, const char *at, size_t len)
{
    struct pt_http_msg *m = msg_of(p);
    if (count_head(m, len, 431) < 0)
        return -1;
    return m->headers_done ? 0 : add_head(m, at, len); /* trailers are read and dropped */
}

static int on_field_complete(llhttp_t *p)
{
    struct pt_http_msg *m = msg_of(p);
    if (m->headers_done)
        return 0;
    if (m->header_count == PT_HTTP_MAX_HEADERS) {
        pt_http_msg_fail(m, PT_ELIMIT, 431, "too many headers");
        return -1;
    }
    struct pt_http_span *s = current(m);
    if (!s)
        return -1;
    const struct pt_http_span *last = m->header_count ? s - 1 : NULL;
    s->name = last ? last->value + last->value_len : (uint32_t)m->target_len;
    s->name_len = (uint32_t)m->head.len - s->name;
    s->value = (uint32_t)m->head.len;
    return 0;
}

static int on_value_complete(llhttp_t *p)
{
    struct pt_http_msg *m = msg_of(p);
    if (m->headers_done)
        return 0;
    struct pt_http_span *s = &m->spans[m->header_count++];
    s->value_len = (uint32_t)m->head.len - s->value;
    return count_head(m, 4, 431); /* ": " and the line's end */
}

/* --- the complete head ------------------------------------------------------------------------------------------------------- */
struct pt_str pt_http_find_header(const struct pt_http_header *headers, size_t count, struct pt_str name)
{
    for (size_t i = 0; i < count; i++)
        if (headers[i].name.len == name.len && strncasecmp(headers[i].name.p, name.p, name.len) == 0)
            return headers[i].value;
    return (struct pt_str){0};
}

struct pt_str pt_http_msg_target(const struct pt_http_msg *m)
{
    return (struct pt_str){m->head.data, m->target_len};
}

static void link_headers(struct pt_http_msg *m)
{
    for (size_t i = 0; i < m->header_count; i++) {
        const struct pt_http_span *s = &m->spans[i];
        m->headers[i].name = (struct pt_str){m->head.data + s->name, s->name_len};
        m->headers[i].value = pt_str_trim((struct pt_str){m->head.data + s->value, s->value_len});
    }
}

static size_t count_named(const struct pt_http_msg *m, struct pt_str name)
{
    size_t n = 0;
    for (size_t i = 0; i < m->header_count; i++)
        n += m->headers[i].name.len == name.len && strncasecmp(m->headers[i].name.p, name.p, name.len) == 0;
    return n;
}

static int check_framing(struct pt_http_msg *m)
{
    const llhttp_t *p = &m->parser;
    if (p->http_major != 1 || p->http_minor > 1)
        return pt_http_msg_fail(m, PT_EUNSUPPORTED, 505, "HTTP version not supported");
    if (p->flags & F_TRANSFER_ENCODING) {
        struct pt_str te = pt_http_find_header(m->headers, m->header_count, PT_STR("Transfer-Encoding"));
        if (p->http_minor == 0)
            return pt_http_msg_fail(m, PT_EPARSE, 400, "Transfer-Encoding in HTTP/1.0");
        if (!pt_str_eq_nocase(te, PT_STR("chunked")) || count_named(m, PT_STR("Transfer-Encoding")) != 1)
            return pt_http_msg_fail(m, PT_EUNSUPPORTED, 501, "transfer coding other than chunked");
    }
    if (m->is_response)
        return p->status_code == 101 ? pt_http_msg_fail(m, PT_EPARSE, 0, "switches protocols without being asked") : 0;
    if (p->method == HTTP_CONNECT)
        return pt_http_msg_fail(m, PT_EMETHOD, 405, "CONNECT is not supported");
    size_t hosts = count_named(m, PT_STR("Host"));
    if (hosts > 1 || (hosts == 0 && p->http_minor == 1))
        return pt_http_msg_fail(m, PT_EPARSE, 400, hosts ? "several Host headers" : "no Host header");
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    struct pt_http_msg *m = msg_of(p);
    m->headers_done = true;
    link_headers(m);
    if (check_framing(m) < 0 || m->ops->on_headers(m) < 0)
        return -1;
    p->upgrade = 0; /* an offer that we do not take up: the request is an ordinary one */
    return m->no_body ? 1 : 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct pt_http_msg *m = msg_of(p);
    return m->ops->on_body(m, at, len) < 0 ? -1 : 0;
}

static int on_message_complete(llhttp_t *p)
{
    struct pt_http_msg *m = msg_of(p);
    m->done = true;
    m->keep_alive = llhttp_should_keep_alive(p);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- life ---------------------------------------------------------------------------------------------------------------------- */
void pt_http_msg_init(struct pt_http_msg *m, bool is_response, const struct pt_http_msg_ops *ops, size_t max_header_bytes)
{
    *m = (struct pt_http_msg){.ops = ops, .max_header_bytes = max_header_bytes, .is_response = is_response};
    llhttp_init(&m->parser, is_response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    m->parser.data = m;
}

void pt_http_msg_finish(struct pt_http_msg *m)
{
    pt_buf_finish(&m->head);
    pt_free(m->spans);
    pt_free(m->headers);
    m->spans = NULL;
    m->headers = NULL;
    m->header_count = m->header_room = 0;
}

void pt_http_msg_reset(struct pt_http_msg *m)
{
    llhttp_reset(&m->parser);
    if (m->head.room > KEEP_HEAD_BYTES)
        pt_http_msg_finish(m);
    pt_buf_reset(&m->head);
    m->begun = m->headers_done = m->done = m->no_body = false;
    m->target_len = m->head_bytes = m->header_count = 0;
    m->fail_code = 0;
    m->fail_reason = NULL;
}

static int failed(struct pt_http_msg *m, llhttp_errno_t e)
{
    if (m->fail_code)
        return m->fail_code;
    const bool known = m->parser.http_major == 1 && m->parser.http_minor <= 1; /* then its line ends badly */
    if (e == HPE_PAUSED_H2_UPGRADE || (e == HPE_INVALID_VERSION && !known))
        return pt_http_msg_fail(m, PT_EUNSUPPORTED, 505, "HTTP version not supported");
    const char *reason = llhttp_get_error_reason(&m->parser);
    return pt_http_msg_fail(m, PT_EPARSE, 400, reason && *reason ? reason : "malformed message");
}

int pt_http_msg_feed(struct pt_http_msg *m, const char *p, size_t len, size_t *used)
{
    llhttp_errno_t e = llhttp_execute(&m->parser, p, len);
    *used = len;
    if (e == HPE_OK)
        return 0;
    if (e != HPE_PAUSED || !m->done)
        return failed(m, e);
    *used = (size_t)(llhttp_get_error_pos(&m->parser) - p);
    return 1;
}

int pt_http_msg_eof(struct pt_http_msg *m)
{
    if (m->begun && !m->done)
        llhttp_finish(&m->parser); /* calls on_message_complete when the end of the connection is the end of the body */
    return m->done ? 1 : PT_EIO;
}
