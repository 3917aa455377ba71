/* SPDX-License-Identifier: Apache-2.0
 *
 * locator.c: see locator.h. http and https are here, being nothing but credentials: `token` is sent as a bearer token, `username` and
 * `password` as basic authentication.
 */
#include "sidecar/locator.h"

#include "base/contract.h"
#include "base/json.h"
#include "sidecar/locator_scheme.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_CREDENTIAL = 64 << 10, MAX_MEM = 4 << 20, MAX_ANSWER = 4 << 20, ANSWER_MS = 20000 };

static const struct pt_locator_scheme *const schemes[] = {&pt_scheme_https, &pt_scheme_http, &pt_scheme_s3, &pt_scheme_oci};
enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

/* --- what schemes use -------------------------------------------------------------------------------------------------------- */

void pt_locator_failed(struct pt_locator *l, const struct pt_err *err)
{
    struct pt_err copy = *err;
    l->o.done(l->o.arg, NULL, &copy);
}

static void out_of_memory(struct pt_locator *l)
{
    struct pt_err err;
    pt_fail(&err, PT_ENOMEM, "%s: out of memory", l->uri);
    pt_locator_failed(l, &err);
}

__attribute__((format(printf, 2, 0))) static char *format(struct pt_locator *l, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : pt_arena_alloc(&l->mem, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

char *pt_locator_printf(struct pt_locator *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = format(l, fmt, ap);
    va_end(ap);
    if (!p)
        out_of_memory(l);
    return p;
}

bool pt_locator_header(struct pt_locator *l, const char *name, const char *value)
{
    if (!value || l->where.header_count == LOCATOR_HEADERS)
        return false;
    l->headers[l->where.header_count++] = (struct pt_http_header){pt_str(name), pt_str(value)};
    return true;
}

void pt_locator_found(struct pt_locator *l, const char *url)
{
    l->where.url = url;
    l->where.headers = l->headers;
    l->o.done(l->o.arg, &l->where, NULL);
}

static void on_call_done(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct pt_locator *l = arg;
    l->call = NULL;
    if (err)
        pt_locator_failed(l, err);
    else
        l->on_answer(l, r);
}

void pt_locator_call(struct pt_locator *l, const char *url, const struct pt_http_header *headers, size_t count, const char *body,
                     void (*on_answer)(struct pt_locator *l, const struct pt_http_response *r))
{
    struct pt_err err;
    struct pt_http_call_options o = {.method = body ? "POST" : "GET",
                                     .url = url,
                                     .headers = headers,
                                     .header_count = count,
                                     .body = pt_str(body),
                                     .max_body_bytes = MAX_ANSWER,
                                     .timeout_ms = ANSWER_MS,
                                     .max_redirects = body ? 0 : LOCATOR_REDIRECTS,
                                     .on_done = on_call_done,
                                     .arg = l};
    l->on_answer = on_answer;
    if (pt_http_call_start(l->o.client, &o, &l->call, &err) < 0)
        pt_locator_failed(l, &err);
}

const char *pt_locator_file(struct pt_locator *l, const char *path)
{
    pt_auto_buf b = PT_BUF_INIT(MAX_CREDENTIAL);
    if (pt_buf_read_file(&b, path, NULL) < 0)
        return "";
    struct pt_str s = pt_str_trim((struct pt_str){b.data, b.len});
    const char *copy = pt_arena_strndup(&l->mem, s.len ? s.p : "", s.len);
    return copy ? copy : "";
}

const char *pt_locator_credential(struct pt_locator *l, const char *name)
{
    char path[512];
    const char *dir = getenv(PT_ENV_CREDENTIALS_DIR), *value;
    snprintf(path, sizeof path, "%s/%s", dir && *dir ? dir : PT_PATH_CREDENTIALS, name);
    value = pt_locator_file(l, path);
    if (!*value && (value = getenv(name)) == NULL)
        value = "";
    return value;
}

const char *pt_locator_basic(struct pt_locator *l, const char *user, const char *password)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *plain = pt_locator_printf(l, "%s:%s", user, password);
    size_t len = plain ? strlen(plain) : 0;
    char *out = plain ? pt_arena_alloc(&l->mem, sizeof "Basic " + (len + 2) / 3 * 4) : NULL, *p = out;
    if (!out)
        return NULL;
    p += sprintf(p, "Basic ");
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < len ? (uint8_t)plain[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            *p++ = i + k > len ? '=' : digits[v >> (18 - 6 * k) & 63];
    }
    return out;
}

/* --- http and https ---------------------------------------------------------------------------------------------------------- */

static int check_any(const struct pt_locator *l, struct pt_err *err)
{
    (void)l;
    (void)err;
    return PT_OK; /* the client says what is wrong with a URL */
}

static void locate_plain(struct pt_locator *l)
{
    const char *token = pt_locator_credential(l, "token"), *user = pt_locator_credential(l, "username"), *value = NULL;
    l->where.max_redirects = LOCATOR_REDIRECTS;
    if (*token)
        value = pt_locator_printf(l, "Bearer %s", token);
    else if (*user)
        value = pt_locator_basic(l, user, pt_locator_credential(l, "password"));
    if ((*token || *user) && !pt_locator_header(l, "Authorization", value))
        return;
    pt_locator_found(l, l->uri);
}

const struct pt_locator_scheme pt_scheme_https = {"https://", check_any, locate_plain, NULL};
const struct pt_locator_scheme pt_scheme_http = {"http://", check_any, locate_plain, NULL};

/* --- the locator --------------------------------------------------------------------------------------------------------------- */

static void locate(struct pt_timer *t)
{
    struct pt_locator *l = (struct pt_locator *)(void *)((char *)t - offsetof(struct pt_locator, timer));
    pt_arena_finish(&l->mem);
    l->where = (struct pt_location){0};
    l->hops = 0;
    l->scheme->locate(l);
}

void pt_locator_start(struct pt_locator *l)
{
    pt_timer_start(pt_loop_sched(l->o.loop), &l->timer, 0, locate);
}

bool pt_locator_again(struct pt_locator *l, const struct pt_http_response *r)
{
    bool again = !l->retried && l->scheme->again && l->scheme->again(l, r);
    l->retried = again;
    return again;
}

static int find_scheme(struct pt_locator *l, struct pt_err *err)
{
    char known[128] = "file:///PATH";
    for (size_t i = 0; i < SCHEMES; i++) {
        size_t n = strlen(known);
        if (pt_str_starts(pt_str(l->uri), pt_str(schemes[i]->prefix)))
            l->scheme = schemes[i];
        snprintf(known + n, sizeof known - n, "%s%s...", i + 1 < SCHEMES ? ", " : " or ", schemes[i]->prefix);
    }
    if (!l->scheme)
        return pt_fail(err, PT_EUNSUPPORTED, "want %s, got \"%.200s\"", known, l->uri);
    return l->scheme->check(l, err);
}

int pt_locator_check(const char *uri, struct pt_err *err)
{
    struct pt_locator l = {.uri = pt_strdup(uri)};
    int rc = l.uri ? find_scheme(&l, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    pt_free(l.uri);
    return rc;
}

int pt_locator_create(const struct pt_locator_options *o, struct pt_locator **out, struct pt_err *err)
{
    struct pt_locator *l = pt_calloc(1, sizeof *l);
    if (!l)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    l->o = *o;
    pt_arena_init(&l->mem, MAX_MEM);
    if (o->payload)
        l->payload = pt_strdup(o->payload);
    l->uri = pt_strdup(o->uri);
    int rc = l->uri && (l->payload || !o->payload) ? find_scheme(l, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK && (l->payload || o->method) && l->scheme != &pt_scheme_s3)
        rc = pt_fail(err, PT_EUNSUPPORTED, "%.200s: a model can be put to s3:// only", l->uri);
    if (rc < 0) {
        pt_locator_destroy(l);
        return rc;
    }
    *out = l;
    return PT_OK;
}

void pt_locator_destroy(struct pt_locator *l)
{
    if (!l)
        return;
    pt_timer_stop(pt_loop_sched(l->o.loop), &l->timer);
    if (l->call)
        pt_http_call_cancel(l->call);
    pt_arena_finish(&l->mem);
    pt_free(l->authorization);
    pt_free(l->uri);
    pt_free(l->payload);
    pt_free(l);
}

/* --- refusals -------------------------------------------------------------------------------------------------------------------- */

/* The text of the first element of that name; XML is not parsed beyond that. */
static struct pt_str element(struct pt_str xml, const char *name)
{
    char open[40], close[40];
    int n = snprintf(open, sizeof open, "<%s>", name);
    snprintf(close, sizeof close, "</%s>", name);
    const char *from = xml.len ? memmem(xml.p, xml.len, open, (size_t)n) : NULL;
    if (!from)
        return (struct pt_str){0};
    from += n;
    const char *to = memmem(from, (size_t)(xml.p + xml.len - from), close, (size_t)n + 1);
    return (struct pt_str){from, to ? (size_t)(to - from) : 0};
}

/* {"errors": [{"code": "...", "message": "..."}]}, as the OCI distribution specification has it. */
static void registry_error(struct pt_str body, struct pt_buf *code, struct pt_buf *message)
{
    struct pt_json j;
    struct pt_str key;
    pt_json_init(&j, body.p, body.len);
    if (pt_json_object(&j, NULL) < 0)
        return;
    while (pt_json_member(&j, &key, NULL) == 1) {
        if (!pt_json_key_is(&key, "errors")) {
            if (pt_json_skip(&j, NULL) < 0)
                return;
            continue;
        }
        if (pt_json_array(&j, NULL) < 0 || pt_json_element(&j, NULL) != 1 || pt_json_object(&j, NULL) < 0)
            return;
        while (pt_json_member(&j, &key, NULL) == 1) {
            struct pt_buf *to = pt_json_key_is(&key, "code") ? code : pt_json_key_is(&key, "message") ? message : NULL;
            if ((to ? pt_json_string(&j, to, NULL) : pt_json_skip(&j, NULL)) < 0)
                return;
        }
        return;
    }
}

void pt_refusal_text(struct pt_str body, char *out, size_t size)
{
    pt_auto_buf code = PT_BUF_INIT(200), message = PT_BUF_INIT(400);
    struct pt_str c = element(body, "Code"), m = element(body, "Message");
    if (!c.len) {
        registry_error(body, &code, &message);
        c = pt_str(pt_buf_cstr(&code));
        m = pt_str(pt_buf_cstr(&message));
    }
    snprintf(out, size, "%.*s%s%.*s", (int)(c.len < 100 ? c.len : 100), c.len ? c.p : "", m.len ? ": " : "", (int)(m.len < 200 ? m.len : 200),
             m.len ? m.p : "");
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
}
