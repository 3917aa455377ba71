/* SPDX-License-Identifier: Apache-2.0
 *
 * bucket.c: see bucket.h. Where an object is and who may have it says the locator (sidecar/locator_s3.c), for each request anew.
 */
#include "cli/bucket.h"

#include "base/mem.h"
#include "net/http_client.h"
#include "sidecar/locator.h"
#include "sidecar/sigv4.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 6, PAUSE_MS = 500, MOST_PARTS = 10000, STALL_MS = 60000, MAX_ANSWER = 16 << 20 };
#define PART_BYTES (INT64_C(16) << 20)

struct pt_bucket {
    struct pt_loop *loop;
    struct pt_http_client *client;
};

struct request {
    const char *method, *uri, *query;
    struct pt_str body;
    bool has_body;
};
/* One request under way, and what came of it. */
struct ask {
    struct pt_bucket *b;
    const struct request *q;
    struct pt_locator *locator;
    struct pt_http_call *call;
    struct pt_timer pause;
    int status; /* 0: no answer */
    char etag[128];
    struct pt_buf *body; /* of the answer; NULL: of no interest */
    struct pt_err err;
};

/* --- one request --------------------------------------------------------------------------------------------------------- */

static void answered(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct ask *a = arg;
    char why[320] = "";
    a->call = NULL;
    if (!err && r->status >= 300 && pt_locator_again(a->locator, r)) {
        pt_locator_start(a->locator);
        return;
    }
    a->status = err ? 0 : r->status;
    if (err) {
        pt_fail(&a->err, err->code, "%s %s: %s", a->q->method, a->q->uri, err->msg);
    } else if (r->status >= 300 || (r->body.len && memmem(r->body.p, r->body.len, "<Error>", 7))) { /* 200 can hold an error as well */
        pt_refusal_text(r->body, why, sizeof why);
        int code = r->status == 404 ? PT_ENOTFOUND : r->status == 401 || r->status == 403 ? PT_EDENIED : PT_EUNAVAILABLE;
        pt_fail(&a->err, code, "%s %s: the server answered %d%s%s", a->q->method, a->q->uri, r->status, *why ? ": " : "", why);
        a->status = r->status < 300 ? 500 : r->status;
    } else {
        struct pt_str etag = pt_http_response_header(r, "ETag");
        snprintf(a->etag, sizeof a->etag, PT_STR_FMT, PT_STR_ARG(etag));
        if (a->body)
            pt_buf_append(a->body, r->body.p, r->body.len);
    }
    pt_loop_stop(a->b->loop);
}

static void located(void *arg, const struct pt_location *where, const struct pt_err *err)
{
    struct ask *a = arg;
    struct pt_http_call_options o = {.method = a->q->method,
                                     .url = where ? where->url : NULL,
                                     .headers = where ? where->headers : NULL,
                                     .header_count = where ? where->header_count : 0,
                                     .body = a->q->body,
                                     .max_body_bytes = MAX_ANSWER,
                                     .stall_timeout_ms = STALL_MS,
                                     .on_done = answered,
                                     .arg = a};
    if (err)
        a->err = *err;
    else if (pt_http_call_start(a->b->client, &o, &a->call, &a->err) == PT_OK)
        return;
    a->status = err && err->code == PT_EDENIED ? 403 : 0;
    pt_loop_stop(a->b->loop);
}

static void paused(struct pt_timer *t)
{
    pt_loop_stop(((struct ask *)((char *)t - offsetof(struct ask, pause)))->b->loop);
}

static bool passes(int status)
{
    return status == 0 || status == 408 || status == 429 || status >= 500;
}

/* etag: 128 bytes, or NULL. */
static int ask(struct pt_bucket *b, const struct request *q, struct pt_buf *body, char *etag, struct pt_err *err)
{
    struct ask a = {.b = b, .q = q, .body = body};
    char digest[65];
    if (q->has_body && pt_sigv4_digest(q->body, digest, err) < 0)
        return err->code;
    struct pt_locator_options lo = {.loop = b->loop,
                                    .client = b->client,
                                    .uri = q->uri,
                                    .payload = q->has_body ? digest : NULL,
                                    .method = q->method,
                                    .query = q->query,
                                    .done = located,
                                    .arg = &a};
    int rc = pt_locator_create(&lo, &a.locator, err);
    for (int i = 0; rc == PT_OK && i < TRIES; i++) {
        a.err = (struct pt_err){0};
        pt_locator_start(a.locator);
        pt_loop_run(b->loop);
        if (a.err.code == PT_OK || !passes(a.status) || i + 1 == TRIES)
            break;
        pt_timer_start(pt_loop_sched(b->loop), &a.pause, PAUSE_MS << i, paused);
        pt_loop_run(b->loop);
    }
    pt_locator_destroy(a.locator);
    if (rc == PT_OK && a.err.code != PT_OK)
        rc = pt_fail(err, a.err.code, "%s", a.err.msg);
    if (rc == PT_OK && etag)
        memcpy(etag, a.etag, sizeof a.etag);
    return rc;
}

/* --- texts --------------------------------------------------------------------------------------------------------------- */

int pt_bucket_put(struct pt_bucket *b, const char *uri, struct pt_str text, struct pt_err *err)
{
    return ask(b, &(struct request){"PUT", uri, NULL, text, true}, NULL, NULL, err);
}

int pt_bucket_get(struct pt_bucket *b, const char *uri, struct pt_buf *out, struct pt_err *err)
{
    int rc = ask(b, &(struct request){.method = "GET", .uri = uri}, out, NULL, err);
    return rc < 0 ? rc : pt_buf_check(out, uri, err);
}

int pt_bucket_remove(struct pt_bucket *b, const char *uri, struct pt_err *err)
{
    int rc = ask(b, &(struct request){.method = "DELETE", .uri = uri}, NULL, NULL, err);
    return rc == PT_ENOTFOUND ? PT_OK : rc;
}

/* --- files --------------------------------------------------------------------------------------------------------------- */

static int read_part(int fd, const char *file, int64_t at, int64_t len, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_reset(out);
    char *p = pt_buf_reserve(out, (size_t)len);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory for a part of %lld bytes", file, (long long)len);
    for (int64_t done = 0; done < len;) {
        ssize_t n = pread(fd, p + done, (size_t)(len - done), at + done);
        if (n <= 0)
            return pt_fail(err, PT_EIO, "%s: %s", file, n < 0 ? strerror(errno) : "it became shorter meanwhile");
        done += n;
    }
    out->len += (size_t)len;
    return PT_OK;
}

int pt_bucket_read_upload(struct pt_str answer, char id[1024], struct pt_err *err)
{
    static const char open[] = "<UploadId>";
    pt_auto_buf encoded = PT_BUF_INIT(1000);
    const char *at = answer.len ? memmem(answer.p, answer.len, open, sizeof open - 1) : NULL, *from = at ? at + sizeof open - 1 : NULL;
    const char *to = from ? memchr(from, '<', (size_t)(answer.p + answer.len - from)) : NULL;
    if (!to || to == from)
        return pt_fail(err, PT_EUNAVAILABLE, "the answer has no UploadId");
    pt_percent_encode(&encoded, (struct pt_str){from, (size_t)(to - from)}, true);
    int rc = pt_buf_check(&encoded, "UploadId", err);
    if (rc == PT_OK)
        snprintf(id, 1024, "%s", pt_buf_cstr(&encoded));
    return rc;
}

static int begin_parts(struct pt_bucket *b, const char *uri, char id[1024], struct pt_err *err)
{
    pt_auto_buf body = PT_BUF_INIT(1 << 20);
    int rc = ask(b, &(struct request){.method = "POST", .uri = uri, .query = "uploads="}, &body, NULL, err);
    if (rc == PT_OK)
        rc = pt_buf_check(&body, "answer", err);
    if (rc == PT_OK)
        rc = pt_bucket_read_upload((struct pt_str){body.data, body.len}, id, err);
    return rc < 0 ? pt_wrap(err, "POST %s", uri) : PT_OK;
}

static int put_parts(struct pt_bucket *b, const char *uri, int fd, const char *file, int64_t size, const char *id, struct pt_err *err)
{
    int64_t part = PART_BYTES > (size + MOST_PARTS - 1) / MOST_PARTS ? PART_BYTES : (size + MOST_PARTS - 1) / MOST_PARTS;
    pt_auto_buf bytes = PT_BUF_INIT(0), list = PT_BUF_INIT(0);
    char query[1100], etag[128] = "";
    int rc = PT_OK, number = 1;
    pt_buf_puts(&list, "<CompleteMultipartUpload>");
    for (int64_t at = 0; rc == PT_OK && at < size; at += part, number++) {
        rc = read_part(fd, file, at, size - at < part ? size - at : part, &bytes, err);
        snprintf(query, sizeof query, "partNumber=%d&uploadId=%s", number, id);
        if (rc == PT_OK)
            rc = ask(b, &(struct request){"PUT", uri, query, {bytes.data, bytes.len}, true}, NULL, etag, err);
        pt_buf_printf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", number, etag);
    }
    pt_buf_puts(&list, "</CompleteMultipartUpload>");
    snprintf(query, sizeof query, "uploadId=%s", id);
    if (rc == PT_OK && (rc = pt_buf_check(&list, uri, err)) == PT_OK)
        rc = ask(b, &(struct request){"POST", uri, query, {list.data, list.len}, true}, NULL, NULL, err);
    if (rc < 0) /* or its parts would be kept, and paid for */
        (void)ask(b, &(struct request){.method = "DELETE", .uri = uri, .query = query}, NULL, NULL, NULL);
    return rc;
}

int pt_bucket_put_file(struct pt_bucket *b, const char *uri, const char *file, struct pt_err *err)
{
    pt_auto_buf bytes = PT_BUF_INIT(0);
    char id[1024];
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    int rc = fd >= 0 && fstat(fd, &st) == 0 ? PT_OK : pt_fail(err, pt_err_from_errno(errno), "%s: %s", file, strerror(errno));
    if (rc == PT_OK && st.st_size <= PART_BYTES) {
        rc = read_part(fd, file, 0, st.st_size, &bytes, err);
        if (rc == PT_OK)
            rc = pt_bucket_put(b, uri, (struct pt_str){bytes.data, bytes.len}, err);
    } else if (rc == PT_OK && (rc = begin_parts(b, uri, id, err)) == PT_OK) {
        rc = put_parts(b, uri, fd, file, st.st_size, id, err);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

int pt_bucket_create(struct pt_bucket **out, struct pt_err *err)
{
    struct pt_bucket *b = pt_calloc(1, sizeof *b);
    if (!b)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = pt_loop_create(&b->loop, err);
    if (rc == PT_OK)
        rc = pt_http_client_create(b->loop, &(struct pt_http_client_options){.max_idle = 1}, &b->client, err);
    if (rc < 0) {
        pt_bucket_destroy(b);
        return rc;
    }
    *out = b;
    return PT_OK;
}

void pt_bucket_destroy(struct pt_bucket *b)
{
    if (!b)
        return;
    pt_http_client_destroy(b->client);
    if (b->loop)
        pt_loop_destroy(b->loop);
    pt_free(b);
}
