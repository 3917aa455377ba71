/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc.c: see grpc.h. A message is a flag, four bytes of length and its bytes; they come in pieces of any size. Unary calls run when the client has
 * ended its side, so that a second message is an error and not a surprise.
 */
#include "net/grpc.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/gzip.h"

#include <stdio.h>

enum { PREFIX = 5, RESERVE = 1 << 20, KEEP_MESSAGES = 1 };

struct pt_grpc_call {
    struct pt_grpc *grpc;
    struct pt_grpc_call *prev, *next;
    struct pt_http_request *req;
    const struct pt_grpc_method *method;
    void *arg, *data;
    int64_t deadline_ms;
    enum pt_encoding sent_as; /* messages of the client with the flag set, and ours if it takes them */
    bool pack;                /* answers in sent_as */
    bool begun;               /* the head of our answer is sent */
    bool parsing, finished;   /* finished inside the parser: it frees */
    uint8_t prefix[PREFIX];
    size_t prefix_len, message_len;
    struct pt_buf message;
    unsigned messages;
    void (*on_cancel)(void *arg);
    void *cancel_arg;
    struct pt_timer timer;
};

static struct pt_sched *sched(const struct pt_grpc *g)
{
    return pt_loop_sched(g->loop);
}

static size_t max_message(const struct pt_grpc *g)
{
    return g->max_message_bytes ? g->max_message_bytes : (size_t)64 << 20;
}

static void free_call(struct pt_grpc_call *c)
{
    *(c->prev ? &c->prev->next : &c->grpc->first) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pt_timer_stop(sched(c->grpc), &c->timer);
    pt_buf_finish(&c->message);
    pt_free(c);
}

/* --- headers ------------------------------------------------------------------------------------------------------------------ */

int pt_grpc_parse_timeout(struct pt_str s, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t ns;
    } units[] = {{'n', 1}, {'u', 1000}, {'m', 1000000}, {'S', 1000000000}, {'M', 60000000000}, {'H', 3600000000000}};
    int64_t n;
    if (s.len < 2 || s.len > 9 || pt_parse_i64((struct pt_str){s.p, s.len - 1}, 0, 99999999, "timeout", &n, NULL) < 0)
        return PT_EPARSE;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].unit == s.p[s.len - 1]) {
            *ms = units[i].ns < 1000000 ? (n * units[i].ns + 999999) / 1000000 : n * (units[i].ns / 1000000);
            return PT_OK;
        }
    return PT_EPARSE;
}

void pt_grpc_put_message(struct pt_buf *b, struct pt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= ' ' && c <= '~' && c != '%')
            pt_buf_putc(b, (char)c);
        else
            pt_buf_printf(b, "%%%02X", c);
    }
}

int64_t pt_grpc_deadline_ms(const struct pt_grpc_call *c)
{
    return c->deadline_ms;
}

const struct pt_http_request *pt_grpc_request(const struct pt_grpc_call *c)
{
    return c->req;
}

void pt_grpc_set_note(struct pt_grpc_call *c, void *note)
{
    pt_http_set_note(c->req, note);
}

struct pt_str pt_grpc_metadata(const struct pt_grpc_call *c, const char *name)
{
    return pt_http_header(c->req, name);
}

void *pt_grpc_data(const struct pt_grpc_call *c)
{
    return c->data;
}

void pt_grpc_set_data(struct pt_grpc_call *c, void *data)
{
    c->data = data;
}

void pt_grpc_on_cancel(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg)
{
    c->on_cancel = fn;
    c->cancel_arg = arg;
}

void pt_grpc_pause(struct pt_grpc_call *c, bool pause)
{
    pt_http_pause_body(c->req, pause);
}

void pt_grpc_on_drain(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg)
{
    pt_http_on_drain(c->req, fn, arg);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------- */

#define TYPE "application/grpc"

/* The head's fields besides its type. */
static size_t head_fields(const struct pt_grpc_call *c, struct pt_http_header h[2])
{
    h[0] = (struct pt_http_header){PT_STR("grpc-accept-encoding"), PT_STR("identity,deflate,gzip")};
    h[1] = (struct pt_http_header){PT_STR("grpc-encoding"), pt_str(pt_encoding_name(c->sent_as))};
    return c->pack ? 2 : 1;
}

/* The handler is done with the call. */
static void finished(struct pt_grpc_call *c)
{
    c->finished = true;
    if (!c->parsing)
        free_call(c);
}

static void finish(struct pt_grpc_call *c, int status, struct pt_str message, int retry_after_s)
{
    char number[16], pushback[24];
    pt_auto_buf text = PT_BUF_INIT(4096);
    struct pt_http_header t[3];
    size_t n = 0;
    if (c->finished)
        return;
    snprintf(number, sizeof number, "%d", status);
    t[n++] = (struct pt_http_header){PT_STR("grpc-status"), pt_str(number)};
    pt_grpc_put_message(&text, message);
    if (text.len && !text.failed)
        t[n++] = (struct pt_http_header){PT_STR("grpc-message"), (struct pt_str){text.data, text.len}};
    snprintf(pushback, sizeof pushback, "%lld", 1000LL * retry_after_s);
    if (retry_after_s > 0)
        t[n++] = (struct pt_http_header){PT_STR("grpc-retry-pushback-ms"), pt_str(pushback)};
    pt_http_on_close(c->req, NULL, NULL);
    pt_http_set_outcome(c->req, status, status ? message.p : NULL); /* always a terminated string */
    if (retry_after_s > 0)
        pt_http_discourage(c->req, retry_after_s);
    if (c->begun)
        pt_http_end_trailers(c->req, t, n);
    else
        pt_http_reply(c->req, 200, TYPE, t, n, (struct pt_str){NULL, 0});
    finished(c);
}

void pt_grpc_finish(struct pt_grpc_call *c, int status, const char *message)
{
    finish(c, status, pt_str(message), 0);
}

void pt_grpc_fail(struct pt_grpc_call *c, const struct pt_err *err, int retry_after_s)
{
    finish(c, pt_err_grpc(err->code), pt_str(err->msg), err->code == PT_EBUSY ? retry_after_s : 0);
}

void pt_grpc_begin_message(struct pt_buf *b)
{
    pt_buf_append(b, "\0\0\0\0", PREFIX);
}

/* Fills in what begin_message left open, compressing if that was agreed. */
static int seal(struct pt_grpc_call *c, struct pt_buf *b, struct pt_err *err)
{
    int rc = pt_buf_check(b, "response", err);
    if (rc == PT_OK && c->pack && b->len > PREFIX) {
        struct pt_buf packed = {0};
        pt_grpc_begin_message(&packed);
        rc = pt_deflate(c->sent_as, (struct pt_str){b->data + PREFIX, b->len - PREFIX}, &packed, err);
        pt_buf_finish(b);
        *b = packed;
        if (rc == PT_OK)
            b->data[0] = 1;
    }
    if (rc == PT_OK && b->len - PREFIX > UINT32_MAX)
        rc = pt_fail(err, PT_ELIMIT, "the response is over 4 GiB");
    if (rc < 0)
        return rc;
    uint32_t len = __builtin_bswap32((uint32_t)(b->len - PREFIX));
    memcpy(b->data + 1, &len, sizeof len);
    return PT_OK;
}

void pt_grpc_reply(struct pt_grpc_call *c, struct pt_buf *message)
{
    struct pt_err err;
    struct pt_http_header h[2], ok = {PT_STR("grpc-status"), PT_STR("0")};
    if (!c->finished && seal(c, message, &err) < 0) {
        pt_grpc_fail(c, &err, 0);
    } else if (!c->finished) {
        pt_http_on_close(c->req, NULL, NULL);
        pt_http_set_outcome(c->req, PT_GRPC_OK, NULL);
        pt_http_reply_trailers(c->req, TYPE, h, head_fields(c, h), message, &ok, 1);
        finished(c);
    }
    pt_buf_finish(message);
}

int pt_grpc_send(struct pt_grpc_call *c, struct pt_buf *message)
{
    struct pt_http_header h[2];
    int rc = c->finished ? PT_ECANCELED : seal(c, message, NULL);
    if (rc == PT_OK && !c->begun) {
        pt_http_begin_headers(c->req, 200, TYPE, h, head_fields(c, h));
        c->begun = true;
    }
    if (rc == PT_OK)
        rc = pt_http_chunk(c->req, (struct pt_str){message->data, message->len});
    pt_buf_finish(message);
    return rc;
}

/* --- messages of the client ------------------------------------------------------------------------------------------------------- */

static void refuse(struct pt_grpc_call *c, int code, const char *text)
{
    struct pt_err err;
    pt_fail(&err, code, "%s", text);
    pt_grpc_fail(c, &err, 0);
}

static void inflate_message(struct pt_grpc_call *c, struct pt_err *err)
{
    struct pt_buf plain = {0};
    if (c->sent_as == PT_ENC_IDENTITY)
        pt_fail(err, PT_EINTERNAL, "a message is compressed, but the call names no grpc-encoding");
    else if (pt_inflate(c->sent_as, (struct pt_str){c->message.data, c->message.len}, max_message(c->grpc), &plain, err) == PT_OK)
        err->code = PT_OK;
    pt_buf_finish(&c->message);
    c->message = plain;
}

static void give_message(struct pt_grpc_call *c)
{
    struct pt_err err = {.code = PT_OK};
    if (c->prefix[0])
        inflate_message(c, &err);
    if (err.code)
        pt_grpc_fail(c, &err, 0);
    else
        c->method->message(c->arg, c, &c->message);
    pt_buf_finish(&c->message);
}

static void end_message(struct pt_grpc_call *c)
{
    c->messages++;
    c->prefix_len = 0;
    if (!c->method->streaming && c->messages > 1)
        refuse(c, PT_EINTERNAL, "a unary call has one message, this one has more");
    else if (c->method->streaming)
        give_message(c);
}

static void end_prefix(struct pt_grpc_call *c)
{
    uint32_t len;
    memcpy(&len, c->prefix + 1, sizeof len);
    c->message_len = __builtin_bswap32(len);
    if (c->prefix[0] > 1) {
        refuse(c, PT_EINTERNAL, "a message's first byte is neither 0 nor 1");
    } else if (c->message_len > max_message(c->grpc)) {
        struct pt_err err;
        pt_fail(&err, PT_ELIMIT, "Received message larger than max (%zu vs. %zu)", c->message_len, max_message(c->grpc));
        pt_grpc_fail(c, &err, 0);
    } else if (!c->method->streaming && c->messages > 0) {
        refuse(c, PT_EINTERNAL, "a unary call has one message, this one has more");
    } else if (!pt_buf_reserve(&c->message, c->message_len < RESERVE ? c->message_len : RESERVE)) {
        refuse(c, PT_ENOMEM, "out of memory");
    }
}

static void on_data(void *arg, const char *p, size_t len)
{
    struct pt_grpc_call *c = arg;
    c->parsing = true;
    while (len > 0 && !c->finished) {
        size_t n;
        if (c->prefix_len < PREFIX) {
            n = len < PREFIX - c->prefix_len ? len : PREFIX - c->prefix_len;
            memcpy(c->prefix + c->prefix_len, p, n);
            c->prefix_len += n;
            if (c->prefix_len == PREFIX)
                end_prefix(c);
        } else {
            size_t left = c->message_len - c->message.len;
            n = len < left ? len : left;
            if (!pt_buf_append(&c->message, p, n))
                refuse(c, PT_ENOMEM, "out of memory");
        }
        p += n;
        len -= n;
        if (!c->finished && c->prefix_len == PREFIX && c->message.len == c->message_len)
            end_message(c);
    }
    c->parsing = false;
    if (c->finished)
        free_call(c);
}

static void on_end(void *arg)
{
    struct pt_grpc_call *c = arg;
    c->parsing = true;
    if (c->prefix_len > 0)
        refuse(c, PT_EINTERNAL, "the call ends inside a message");
    else if (c->method->streaming)
        c->method->end(c->arg, c);
    else if (c->messages == 0)
        refuse(c, PT_EINTERNAL, "the call ends without a message");
    else
        give_message(c);
    c->parsing = false;
    if (c->finished)
        free_call(c);
}

static const struct pt_http_body_ops body_ops = {on_data, on_end};

/* --- calls ------------------------------------------------------------------------------------------------------------------------ */

static void on_close(void *arg)
{
    struct pt_grpc_call *c = arg;
    if (c->on_cancel && !c->finished)
        c->on_cancel(c->cancel_arg);
    c->finished = true;
    if (!c->parsing)
        free_call(c);
}

static void on_deadline(struct pt_timer *t)
{
    struct pt_grpc_call *c = (struct pt_grpc_call *)((char *)t - offsetof(struct pt_grpc_call, timer));
    if (c->on_cancel)
        c->on_cancel(c->cancel_arg);
    pt_grpc_finish(c, pt_err_grpc(PT_ETIMEDOUT), "the deadline of the call has passed");
}

/* "application/grpc", then nothing, "+proto" or parameters. */
static bool is_grpc(struct pt_str type)
{
    if (!pt_str_starts(type, PT_STR(TYPE)))
        return false;
    struct pt_str rest = {type.p + sizeof TYPE - 1, type.len - (sizeof TYPE - 1)};
    return rest.len == 0 || rest.p[0] == ';' || pt_str_starts(rest, PT_STR("+proto"));
}

static const struct pt_grpc_method *find(const struct pt_grpc *g, struct pt_str path, void **arg)
{
    for (const struct pt_grpc_table *t = g->tables; t < g->tables + g->table_count; t++)
        for (size_t i = 0; i < t->count; i++)
            if (pt_str_eq(path, pt_str(t->methods[i].path))) {
                *arg = t->arg;
                return &t->methods[i];
            }
    return NULL;
}

bool pt_grpc_has_service(const struct pt_grpc *g, struct pt_str service)
{
    for (const struct pt_grpc_table *t = g->tables; t < g->tables + g->table_count; t++)
        for (size_t i = 0; i < t->count; i++) {
            struct pt_str path = pt_str(t->methods[i].path + 1);
            if (pt_str_starts(path, service) && path.len > service.len && path.p[service.len] == '/')
                return true;
        }
    return false;
}

static bool has_word(struct pt_str list, const char *word)
{
    struct pt_str part;
    while (pt_str_split(&list, ',', &part))
        if (pt_str_eq_nocase(pt_str_trim(part), pt_str(word)))
            return true;
    return false;
}

/* What the call's headers ask for; false: it was refused. */
static bool read_head(struct pt_grpc_call *c)
{
    struct pt_err err;
    struct pt_str timeout = pt_http_header(c->req, "grpc-timeout"), path = pt_http_path(c->req);
    struct pt_sched *clock = sched(c->grpc);
    int64_t ms;
    if (c->grpc->authorize && c->grpc->authorize(c->grpc->authorize_arg, c->req, &err) < 0)
        ; /* before anything else is said */
    else if (!c->method)
        pt_fail(&err, PT_EUNSUPPORTED, "unknown method " PT_STR_FMT, (int)(path.len < 200 ? path.len : 200), path.p);
    else if (timeout.p && pt_grpc_parse_timeout(timeout, &ms) < 0)
        pt_fail(&err, PT_EINTERNAL, "grpc-timeout \"" PT_STR_FMT "\" is none", (int)(timeout.len < 32 ? timeout.len : 32), timeout.p);
    else if (pt_encoding_parse(pt_http_header(c->req, "grpc-encoding"), &c->sent_as, &err) == PT_OK &&
             pt_sched_reserve(clock, clock->timers.count + 64, &err) == PT_OK) {
        c->pack = c->sent_as != PT_ENC_IDENTITY && has_word(pt_http_header(c->req, "grpc-accept-encoding"), pt_encoding_name(c->sent_as));
        c->deadline_ms = timeout.p ? pt_now_ms(clock) + ms : 0;
        if (timeout.p && c->method->streaming)
            pt_timer_start(clock, &c->timer, ms, on_deadline);
        return true;
    }
    pt_grpc_fail(c, &err, 0);
    return false;
}

void pt_grpc_accept(struct pt_grpc *g, struct pt_http_request *req)
{
    if (!is_grpc(pt_http_header(req, "content-type")) || !pt_str_eq(pt_http_method(req), PT_STR("POST")))
        return;
    struct pt_grpc_call *c = pt_calloc(1, sizeof *c);
    if (!c) {
        struct pt_http_header status = {PT_STR("grpc-status"), PT_STR("8")};
        pt_http_reply(req, 200, TYPE, &status, 1, (struct pt_str){NULL, 0});
        return;
    }
    c->grpc = g;
    c->req = req;
    c->next = g->first;
    if (c->next)
        c->next->prev = c;
    g->first = c;
    c->method = find(g, pt_http_path(req), &c->arg);
    pt_http_read_body(req, &body_ops, c);
    pt_http_on_close(req, on_close, c);
    read_head(c);
}
