/* SPDX-License-Identifier: Apache-2.0
 *
 * auth.c: see auth.h. Hashes are compared whole, all of them each time: how long it takes says nothing about them.
 */
#include "sidecar/auth.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

enum { MAX_FILE = 1 << 20 };

static int read_line(struct pt_auth *a, struct pt_str line, struct pt_err *err)
{
    struct pt_str digest;
    uint8_t hash[32];
    line = pt_str_trim(line);
    if (line.len == 0 || line.p[0] == '#')
        return PT_OK;
    size_t n = 0;
    while (n < line.len && line.p[n] != ' ' && line.p[n] != '\t')
        n++;
    digest = (struct pt_str){line.p, n};
    if (pt_parse_digest(digest, "token", hash, NULL) < 0) /* the line may be a token by mistake: it is not shown */
        return pt_fail(err, PT_EPARSE, "want sha256: and 64 lower-case hexadecimal digits of a token, then perhaps a comment");
    uint8_t(*more)[32] = pt_reallocarray(a->hashes, a->count + 1, sizeof *more);
    if (!more)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    a->hashes = more;
    memcpy(more[a->count++], hash, sizeof hash);
    return PT_OK;
}

static int load(struct pt_auth *a, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(MAX_FILE);
    struct pt_auth fresh = {0};
    int rc = pt_buf_read_file(&text, a->file, err), number = 0;
    struct pt_str rest = {text.data, text.len}, line;
    while (rc == PT_OK && pt_str_split(&rest, '\n', &line)) {
        number++;
        if ((rc = read_line(&fresh, line, err)) < 0)
            rc = pt_wrap(err, "%s: line %d", a->file, number);
    }
    if (rc == PT_OK && fresh.count == 0)
        rc = pt_fail(err, PT_EPARSE, "%s: no token in it: nobody could use the server", a->file);
    if (rc < 0) {
        pt_free(fresh.hashes);
        return rc;
    }
    pt_free(a->hashes);
    a->hashes = fresh.hashes;
    a->count = fresh.count;
    return PT_OK;
}

static void on_poll(struct pt_timer *t)
{
    struct pt_auth *a = (struct pt_auth *)((char *)t - offsetof(struct pt_auth, timer));
    struct pt_err err;
    uint64_t print = pt_path_fingerprint(a->file, 0);
    pt_timer_start(pt_loop_sched(a->loop), t, a->poll_ms, on_poll);
    if (print == a->print)
        return;
    a->print = print;
    if (load(a, &err) < 0)
        pt_log(PT_LOG_ERROR, "new tokens cannot be used, those before stay", "error", err.msg, NULL);
    else
        pt_log(PT_LOG_INFO, "tokens changed", "file", a->file, NULL);
}

int pt_auth_start(struct pt_auth *a, struct pt_err *err)
{
    if (!a->file)
        return PT_OK;
    a->print = pt_path_fingerprint(a->file, 0);
    if (load(a, err) < 0)
        return pt_wrap(err, "serving.auth");
    pt_timer_start(pt_loop_sched(a->loop), &a->timer, a->poll_ms, on_poll);
    return PT_OK;
}

void pt_auth_stop(struct pt_auth *a)
{
    if (a->loop)
        pt_timer_stop(pt_loop_sched(a->loop), &a->timer);
    pt_free(pt_steal(a->hashes));
}

static bool is_known(const struct pt_auth *a, const uint8_t hash[32])
{
    unsigned known = 0;
    for (size_t i = 0; i < a->count; i++) {
        unsigned differs = 0;
        for (size_t k = 0; k < 32; k++)
            differs |= (unsigned)(a->hashes[i][k] ^ hash[k]);
        known |= differs == 0;
    }
    return known;
}

int pt_auth_check(const struct pt_auth *a, const struct pt_http_request *req, struct pt_err *err)
{
    static const struct pt_str scheme = {"Bearer ", 7};
    struct pt_str given = pt_http_header(req, "Authorization");
    uint8_t hash[32];
    if (!a->file)
        return PT_OK;
    if (given.len <= scheme.len || !pt_str_eq_nocase((struct pt_str){given.p, scheme.len}, scheme))
        return pt_fail(err, PT_EUNAUTHENTICATED, "a bearer token is needed (Authorization: Bearer ...)");
    struct pt_str token = pt_str_trim((struct pt_str){given.p + scheme.len, given.len - scheme.len});
    struct pt_sha256 *h = pt_sha256_create();
    if (!h)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    pt_sha256_update(h, token.p, token.len);
    pt_sha256_finish(h, hash);
    return is_known(a, hash) ? PT_OK : pt_fail(err, PT_EUNAUTHENTICATED, "the bearer token is not known here");
}
