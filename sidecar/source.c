/* SPDX-License-Identifier: Apache-2.0
 *
 * source.c: one attempt is  attempt -> locate -> (what is there already is hashed) -> call -> complete -> publish  and ends in finish() or give_up().
 * Where a server names a version of the file (ETag, or Last-Modified), the next attempt asks for the rest of that version only.
 */
#include "sidecar/source.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "sidecar/cache.h"
#include "sidecar/locator.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { STALL_MS = 30000, HASH_CHUNK = 256 << 10, MAX_REFUSAL = 4096, MAX_HEADERS = 12, REFUSAL_MS = 2000, WAIT_MS = 200 };

struct pt_source {
    struct pt_source_options o;
    char *uri;
    bool is_file, has_digest, hashed;
    uint8_t wanted[32];          /* by the owner, if o.digest is set */
    uint8_t digest[32], got[32]; /* the same, or what the place promises; of what came */
    char shown[256];             /* the URI for messages: without the query, which may hold a signature */
    char dir[PATH_MAX - 96], part[PATH_MAX], path[PATH_MAX];
    struct pt_http_client *client;
    struct pt_locator *locator;
    const struct pt_location *where; /* of this attempt */
    struct pt_http_call *call;
    struct pt_cache_ref ref;  /* what the URI was, */
    bool has_ref, unchanged;  /* and still is */
    int64_t waiting_since_ms; /* for another process that downloads it; 0: not */
    int64_t waited_from_ms;   /* wall clock */
    int refused;              /* status of an answer that is no success, */
    struct pt_buf refusal;    /* and its body */
    bool elsewhere;           /* the locator knows another place to try */
    struct pt_timer timer;
    struct pt_work work;
    bool working, destroyed;
    atomic_bool stop;
    struct pt_err err; /* of this attempt; code 0: none yet */
    /* the download so far; kept between attempts */
    int fd;
    int64_t done, total;
    char validator[256];
    struct pt_sha256 *sha; /* of done bytes; NULL: start from the beginning */
};

static void give_up(struct pt_source *s, const struct pt_err *err)
{
    struct pt_err copy = *err;
    s->o.done(s->o.arg, NULL, &copy);
}

static void finish(struct pt_source *s, int fd, bool hashed)
{
    struct pt_source_file f = {.fd = fd, .path = s->path, .hashed = hashed, .cached = !s->is_file};
    memcpy(f.digest, s->got, sizeof f.digest);
    s->o.done(s->o.arg, &f, NULL);
}

/* The descriptor or a code. A pipe must not block the loop; what is no regular file is refused when it is mapped. */
static int open_file(const char *path, struct pt_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pt_fail(err, errno == ENOENT ? PT_ENOTFOUND : PT_EIO, "open %s: %s", path, strerror(errno));
    return fd;
}

static void final_path(struct pt_source *s, const uint8_t digest[32])
{
    char text[72];
    pt_format_digest(digest, text);
    snprintf(s->path, sizeof s->path, "%s/sha256-%s", s->dir, text + sizeof "sha256:" - 1);
}

static int start_work(struct pt_source *s, void (*run)(struct pt_work *), void (*done)(struct pt_work *), struct pt_err *err)
{
    s->work = (struct pt_work){.run = run, .done = done};
    int rc = pt_loop_work(s->o.loop, &s->work, err);
    s->working = rc == PT_OK;
    return rc;
}

static struct pt_source *of_work(struct pt_work *w)
{
    return (struct pt_source *)((char *)w - offsetof(struct pt_source, work));
}

/* In done of a work: false when the source was destroyed meanwhile. */
static bool end_work(struct pt_source *s)
{
    bool wanted = !s->destroyed;
    s->working = false;
    if (!wanted)
        pt_source_destroy(s);
    return wanted;
}

/* --- the file being downloaded --------------------------------------------------------------------------------------------- */

/* Nothing of what was downloaded counts any more. */
static int restart(struct pt_source *s, struct pt_err *err)
{
    pt_sha256_abort(s->sha);
    s->done = 0;
    s->validator[0] = 0;
    s->sha = pt_sha256_create();
    if (!s->sha)
        return pt_fail(err, PT_ENOMEM, "SHA-256: out of memory");
    if (ftruncate(s->fd, 0) != 0)
        return pt_fail(err, PT_EIO, "%s: %s", s->part, strerror(errno));
    return PT_OK;
}

/* Opens NAME.part, alone; what an earlier process left in it is in s->done. */
static int open_part(struct pt_source *s, struct pt_err *err)
{
    int64_t size = 0;
    int fd = pt_cache_open_part(s->dir, s->uri, s->part, &size, err);
    if (fd == PT_EAGAIN)
        s->o.progress(s->o.arg, size, -1);
    if (fd < 0)
        return fd;
    s->fd = fd;
    s->done = size;
    return PT_OK;
}

static int no_space(struct pt_source *s, struct pt_err *err)
{
    struct statvfs v = {0};
    (void)fstatvfs(s->fd, &v);
    return pt_fail(err, PT_EIO, "write %s: %s: the model has %lld bytes, %lld more fit", s->part, strerror(ENOSPC), (long long)s->total,
                   (long long)(v.f_bavail * v.f_frsize));
}

/* A full disk is found before the download rather than at its end. */
static int reserve(struct pt_source *s, struct pt_err *err)
{
    if (s->total > 0 && pt_cache_make_room(s->dir, s->o.cache_limit, "cache.maxBytes", s->total, s->part, err) < 0)
        return pt_wrap(err, "GET %s", s->shown);
    if (s->total > 0 && fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, s->total) != 0 && errno == ENOSPC)
        return no_space(s, err);
    return PT_OK;
}

static int write_part(struct pt_source *s, const char *p, size_t len, struct pt_err *err)
{
    if (s->total >= 0 && (int64_t)len > s->total - s->done)
        return pt_fail(err, PT_EIO, "GET %s: more than the announced %lld bytes", s->shown, (long long)s->total);
    pt_sha256_update(s->sha, p, len);
    while (len > 0) {
        ssize_t n = pwrite(s->fd, p, len, s->done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int rc = errno == ENOSPC ? no_space(s, err) : pt_fail(err, PT_EIO, "write %s: %s", s->part, strerror(errno));
            pt_sha256_abort(s->sha); /* it is ahead of the file now */
            s->sha = NULL;
            return rc;
        }
        p += n;
        len -= (size_t)n;
        s->done += n;
    }
    return PT_OK;
}

/* The next attempt locks it anew. */
static void forget_part(struct pt_source *s)
{
    pt_sha256_abort(s->sha);
    s->sha = NULL;
    close(s->fd);
    s->fd = -1;
}

/* An empty .part that was made to hold the lock is of no use to anybody. */
static void drop_part(struct pt_source *s)
{
    if (s->done == 0)
        (void)unlink(s->part);
    forget_part(s);
}

/* The model that the URI was the last time, if it is still there. */
static bool from_ref(struct pt_source *s)
{
    final_path(s, s->ref.digest);
    int fd = pt_cache_open(s->path);
    if (fd < 0) {
        s->has_ref = false;
        pt_fail(&s->err, PT_EUNAVAILABLE, "%s: it went while its server was asked for changes", s->path);
        return false;
    }
    if (s->fd >= 0)
        drop_part(s);
    finish(s, fd, false);
    return true;
}

/* --- the response ------------------------------------------------------------------------------------------------------------ */

static int64_t header_number(struct pt_str s)
{
    int64_t v;
    return s.p && pt_parse_i64(s, 0, INT64_MAX, "length", &v, NULL) == PT_OK ? v : -1;
}

/* "bytes 100-199/200": the first byte must be the one that is missing. */
static int accept_rest(struct pt_source *s, const struct pt_http_response *r, struct pt_err *err)
{
    struct pt_str rest = pt_http_response_header(r, "Content-Range"), range = {0}, first = {0};
    int64_t begin = -1;
    if (rest.p && pt_str_starts(rest, PT_STR("bytes "))) {
        rest = (struct pt_str){rest.p + 6, rest.len - 6};
        if (pt_str_split(&rest, '/', &range) && pt_str_split(&range, '-', &first))
            begin = header_number(first);
    }
    if (begin != s->done) {
        pt_sha256_abort(s->sha);
        s->sha = NULL; /* from the beginning next time */
        return pt_fail(err, PT_EIO, "GET %s: asked for the bytes from %lld on, got those from %lld on", s->shown, (long long)s->done,
                       (long long)begin);
    }
    s->total = header_number(rest);
    return PT_OK;
}

static void refused(struct pt_source *s, struct pt_err *err)
{
    static const struct {
        int status, code;
        const char *text;
    } known[] = {{401, PT_EDENIED, " (not authenticated)"},
                 {403, PT_EDENIED, " (forbidden)"},
                 {404, PT_ENOTFOUND, " (not found)"},
                 {410, PT_ENOTFOUND, " (gone)"},
                 {429, PT_EUNAVAILABLE, " (too many requests)"},
                 {503, PT_EUNAVAILABLE, " (unavailable)"}};
    int code = PT_EUNAVAILABLE;
    const char *text = "";
    char why[320];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == s->refused) {
            code = known[i].code;
            text = known[i].text;
        }
    pt_refusal_text((struct pt_str){s->refusal.data, s->refusal.len}, why, sizeof why);
    pt_fail(err, code, "GET %s: the server answered %d%s%s%s", s->shown, s->refused, text, *why ? ": " : "", why);
}

static void remember_validator(struct pt_source *s, const struct pt_http_response *r)
{
    struct pt_str v = pt_http_response_header(r, "ETag");
    if (!v.p || pt_str_starts(v, PT_STR("W/"))) /* a weak one does not promise equal bytes */
        v = pt_http_response_header(r, "Last-Modified");
    snprintf(s->validator, sizeof s->validator, PT_STR_FMT, v.p && v.len < sizeof s->validator ? (int)v.len : 0, v.p ? v.p : "");
}

static void on_refusal_late(struct pt_timer *t);

/* Its body may say why, if it comes soon and is short. */
static int accept_refusal(struct pt_source *s, const struct pt_http_response *r)
{
    if (r->status == 416) { /* what is here is longer than the file there */
        pt_sha256_abort(s->sha);
        s->sha = NULL;
    }
    s->refused = r->status;
    s->elsewhere = pt_locator_again(s->locator, r);
    pt_timer_start(pt_loop_sched(s->o.loop), &s->timer, REFUSAL_MS, on_refusal_late);
    return PT_OK;
}

static int accept_response(struct pt_source *s, const struct pt_http_response *r, struct pt_err *err)
{
    int rc;
    if (r->status == 304 && s->has_ref) {
        s->unchanged = true;
        return PT_OK;
    }
    if (r->status != 200 && !(r->status == 206 && s->done > 0))
        return accept_refusal(s, r);
    if (r->status == 206) {
        rc = accept_rest(s, r, err);
    } else {
        s->total = header_number(pt_http_response_header(r, "Content-Length"));
        rc = s->done > 0 ? restart(s, err) : PT_OK;
        remember_validator(s, r);
    }
    return rc < 0 ? rc : reserve(s, err);
}

static int on_headers(void *arg, const struct pt_http_response *r)
{
    struct pt_source *s = arg;
    int rc = accept_response(s, r, &s->err);
    if (rc == PT_OK && !s->refused && !s->unchanged)
        s->o.progress(s->o.arg, s->done, s->total);
    return rc;
}

static int on_data(void *arg, const void *p, size_t len)
{
    struct pt_source *s = arg;
    if (s->refused) /* more than fits does not matter */
        return pt_buf_append(&s->refusal, p, len) ? PT_OK : PT_ELIMIT;
    int rc = write_part(s, p, len, &s->err);
    if (rc == PT_OK)
        s->o.progress(s->o.arg, s->done, s->total);
    return rc;
}

/* --- the end of a download ----------------------------------------------------------------------------------------------------- */

static void run_publish(struct pt_work *w)
{
    struct pt_source *s = of_work(w);
    if (s->total < 0 && pt_cache_make_room(s->dir, s->o.cache_limit, "cache.maxBytes", s->done, s->part, &s->err) < 0) {
        (void)unlink(s->part);
        return;
    }
    (void)flock(s->fd, LOCK_SH | LOCK_NB); /* from a download to a model in use, before anybody can find it */
    if (fsync(s->fd) != 0)
        pt_fail(&s->err, PT_EIO, "write %s: %s", s->part, strerror(errno));
    else if (rename(s->part, s->path) != 0)
        pt_fail(&s->err, PT_EIO, "rename %s to %s: %s", s->part, s->path, strerror(errno));
    int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        (void)fsync(dir); /* best effort: without it the download may have to be repeated */
        close(dir);
    }
    struct pt_cache_ref ref = {.digest = {0}};
    memcpy(ref.digest, s->got, sizeof ref.digest);
    memcpy(ref.validator, s->validator, sizeof ref.validator);
    if (!s->err.code && !s->has_digest)
        pt_cache_remember(s->dir, s->uri, &ref);
}

static void on_published(struct pt_work *w)
{
    struct pt_source *s = of_work(w);
    if (!end_work(s))
        return;
    if (s->err.code) {
        forget_part(s);
        give_up(s, &s->err);
        return;
    }
    int fd = s->fd;
    s->fd = -1;
    finish(s, fd, true);
}

static int complete(struct pt_source *s, struct pt_err *err)
{
    if (s->total >= 0 && s->done < s->total)
        return pt_fail(err, PT_EIO, "GET %s: it ended after %lld of %lld bytes", s->shown, (long long)s->done, (long long)s->total);
    pt_sha256_finish(s->sha, s->got);
    s->sha = NULL;
    if (s->has_digest && memcmp(s->got, s->digest, 32) != 0) {
        char want[72], got[72];
        pt_format_digest(s->digest, want);
        pt_format_digest(s->got, got);
        return pt_fail(err, PT_ECONFLICT, "GET %s: digest: want %s, got %s", s->shown, want, got);
    }
    final_path(s, s->got);
    return start_work(s, run_publish, on_published, err);
}

/* The end of a call that was refused: once more where the locator says, or the error. */
static void end_refused(struct pt_source *s)
{
    pt_timer_stop(pt_loop_sched(s->o.loop), &s->timer);
    if (s->elsewhere) {
        pt_locator_start(s->locator);
        return;
    }
    refused(s, &s->err);
    give_up(s, &s->err);
}

static void on_refusal_late(struct pt_timer *t)
{
    struct pt_source *s = (struct pt_source *)((char *)t - offsetof(struct pt_source, timer));
    pt_http_call_cancel(pt_steal(s->call));
    end_refused(s);
}

static void on_call_done(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct pt_source *s = arg;
    (void)r;
    s->call = NULL;
    if (s->refused) {
        end_refused(s);
        return;
    }
    if (s->err.code == 0 && err)
        s->err = *err;
    if (s->err.code == 0 && s->unchanged && from_ref(s))
        return;
    if (s->err.code == 0)
        complete(s, &s->err);
    if (s->err.code)
        give_up(s, &s->err);
}

/* --- an attempt ------------------------------------------------------------------------------------------------------------------ */

static int start_call(struct pt_source *s, struct pt_err *err)
{
    char range[48];
    struct pt_http_header headers[MAX_HEADERS] = {{PT_STR("Accept-Encoding"), PT_STR("identity")}};
    size_t count = 1;
    for (size_t i = 0; i < s->where->header_count && count + 3 < MAX_HEADERS; i++)
        headers[count++] = s->where->headers[i];
    bool resume = s->sha && s->done > 0 && (s->validator[0] || s->has_digest);
    if (!resume && restart(s, err) < 0)
        return err->code;
    if (resume) {
        snprintf(range, sizeof range, "bytes=%lld-", (long long)s->done);
        headers[count++] = (struct pt_http_header){PT_STR("Range"), pt_str(range)};
        if (s->validator[0])
            headers[count++] = (struct pt_http_header){PT_STR("If-Range"), pt_str(s->validator)};
    }
    if (!resume && s->has_ref && s->ref.validator[0]) {
        struct pt_str name = s->ref.validator[0] == '"' ? PT_STR("If-None-Match") : PT_STR("If-Modified-Since");
        headers[count++] = (struct pt_http_header){name, pt_str(s->ref.validator)};
    }
    s->total = -1;
    s->unchanged = false;
    s->refused = 0;
    s->elsewhere = false;
    pt_buf_reset(&s->refusal);
    struct pt_http_call_options call = {.method = "GET",
                                        .url = s->where->url,
                                        .headers = headers,
                                        .header_count = count,
                                        .stall_timeout_ms = STALL_MS,
                                        .max_redirects = s->where->max_redirects,
                                        .on_headers = on_headers,
                                        .on_data = on_data,
                                        .on_done = on_call_done,
                                        .arg = s};
    return pt_http_call_start(s->client, &call, &s->call, err);
}

/* Brings s->sha to what an earlier process left. */
static void run_hash_part(struct pt_work *w)
{
    struct pt_source *s = of_work(w);
    char *buf = pt_malloc(HASH_CHUNK);
    s->sha = buf ? pt_sha256_create() : NULL;
    for (int64_t at = 0; s->sha && at < s->done && !atomic_load(&s->stop);) {
        int64_t left = s->done - at;
        ssize_t n = pread(s->fd, buf, left < HASH_CHUNK ? (size_t)left : HASH_CHUNK, at);
        if (n <= 0) {
            pt_sha256_abort(s->sha);
            s->sha = NULL;
            break;
        }
        pt_sha256_update(s->sha, buf, (size_t)n);
        at += n;
    }
    pt_free(buf);
}

static void on_part_hashed(struct pt_work *w)
{
    struct pt_source *s = of_work(w);
    if (end_work(s) && start_call(s, &s->err) < 0)
        give_up(s, &s->err);
}

/* Gives the file of that digest if the cache has it. */
static bool from_cache(struct pt_source *s)
{
    if (!s->has_digest)
        return false;
    final_path(s, s->digest);
    int fd = pt_cache_open(s->path);
    if (fd < 0)
        return false;
    if (s->fd >= 0)
        drop_part(s);
    finish(s, fd, false);
    return true;
}

/* Without a digest: what the URI was, where the file is there. What came while this process waited for it is as fresh as its own download would be.
 */
static bool from_memory(struct pt_source *s)
{
    char digest[72], path[PATH_MAX];
    s->has_ref = !s->has_digest && pt_cache_recall(s->dir, s->uri, &s->ref);
    if (!s->has_ref)
        return false;
    pt_format_digest(s->ref.digest, digest);
    snprintf(path, sizeof path, "%s/sha256-%s", s->dir, digest + sizeof "sha256:" - 1);
    s->has_ref = access(path, R_OK) == 0;
    return s->has_ref && s->waited_from_ms && s->ref.written_ms >= s->waited_from_ms && from_ref(s);
}

static void look_again(struct pt_timer *t);

/* Another process downloads it: looks again soon, for as long as that may take. */
static int wait_for_other(struct pt_source *s, struct pt_err *err)
{
    struct pt_sched *clock = pt_loop_sched(s->o.loop);
    int64_t now_ms = pt_now_ms(clock);
    if (!s->waiting_since_ms) {
        s->waiting_since_ms = now_ms;
        s->waited_from_ms = pt_wall_ms(clock) - 1000; /* the volume's clock may be another machine's */
        pt_log(PT_LOG_INFO, "another process downloads the model", "part", s->part, NULL);
    }
    if (now_ms - s->waiting_since_ms > s->o.wait_ms) {
        s->waiting_since_ms = 0;
        return pt_fail(err, PT_ETIMEDOUT, "%s: another process has been downloading it for more than %lld ms (cache.waitMs)", s->part,
                       (long long)s->o.wait_ms);
    }
    pt_timer_start(clock, &s->timer, WAIT_MS, look_again);
    return PT_OK;
}

static int download(struct pt_source *s, struct pt_err *err)
{
    int rc;
    if (s->fd < 0) {
        if ((rc = open_part(s, err)) == PT_EAGAIN)
            return wait_for_other(s, err);
        if (rc < 0)
            return rc;
        s->waiting_since_ms = 0;
        if (from_cache(s) || from_memory(s))
            return PT_OK; /* it came while the lock was another's */
        if (s->has_digest && s->done > 0)
            return start_work(s, run_hash_part, on_part_hashed, err);
    }
    return start_call(s, err);
}

static void look_again(struct pt_timer *t)
{
    struct pt_source *s = (struct pt_source *)((char *)t - offsetof(struct pt_source, timer));
    if (download(s, &s->err) < 0)
        give_up(s, &s->err);
}

/* What the place says of the bytes counts like a wish; both must hold. */
static int adopt_digest(struct pt_source *s, const uint8_t *promised, struct pt_err *err)
{
    char want[72], got[72];
    if (!promised || (s->o.digest && memcmp(promised, s->wanted, 32) == 0))
        return PT_OK;
    if (s->o.digest) {
        pt_format_digest(s->wanted, want);
        pt_format_digest(promised, got);
        return pt_fail(err, PT_ECONFLICT, "%s: digest: want %s, the registry has %s", s->shown, want, got);
    }
    memcpy(s->digest, promised, 32);
    s->has_digest = true;
    return PT_OK;
}

static void on_located(void *arg, const struct pt_location *where, const struct pt_err *err)
{
    struct pt_source *s = arg;
    int rc = err ? (s->err = *err).code : adopt_digest(s, where->digest, &s->err);
    s->where = where;
    if (rc == PT_OK && where->digest && from_cache(s))
        return;
    if (rc < 0 || download(s, &s->err) < 0)
        give_up(s, &s->err);
}

static void attempt(struct pt_timer *t)
{
    struct pt_source *s = (struct pt_source *)((char *)t - offsetof(struct pt_source, timer));
    s->err.code = 0;
    if (!s->is_file) {
        if (!from_cache(s))
            pt_locator_start(s->locator);
        return;
    }
    int fd = open_file(s->path, &s->err);
    if (fd < 0)
        give_up(s, &s->err);
    else
        finish(s, fd, false);
}

void pt_source_fetch(struct pt_source *s)
{
    pt_timer_start(pt_loop_sched(s->o.loop), &s->timer, 0, attempt);
}

void pt_source_discard(struct pt_source *s)
{
    if (!s->is_file && s->path[0])
        (void)unlink(s->path);
}

static int create_locator(struct pt_source *s, struct pt_err *err)
{
    struct pt_http_client_options co = {.tls = s->o.tls, .max_idle = 1};
    int rc = pt_http_client_create(s->o.loop, &co, &s->client, err);
    struct pt_locator_options lo = {.loop = s->o.loop, .client = s->client, .uri = s->uri, .done = on_located, .arg = s};
    return rc < 0 ? rc : pt_locator_create(&lo, &s->locator, err);
}

int pt_source_create(const struct pt_source_options *o, struct pt_source **out, struct pt_err *err)
{
    struct pt_source *s = pt_calloc(1, sizeof *s);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    *s = (struct pt_source){.o = *o, .fd = -1, .total = -1, .has_digest = o->digest != NULL, .refusal = PT_BUF_INIT(MAX_REFUSAL)};
    if (o->digest) {
        memcpy(s->wanted, o->digest, 32);
        memcpy(s->digest, o->digest, 32);
    }
    int rc = (s->uri = pt_strdup(o->uri)) ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK) {
        snprintf(s->shown, sizeof s->shown, "%.*s", (int)strcspn(o->uri, "?"), o->uri);
        s->is_file = pt_str_starts(pt_str(o->uri), PT_STR("file://"));
        rc = s->is_file ? pt_path_resolve(o->uri + 7, s->path, sizeof s->path, err) : pt_path_resolve(o->cache_dir, s->dir, sizeof s->dir, err);
    }
    if (rc == PT_OK && !s->is_file)
        rc = create_locator(s, err);
    if (rc < 0) {
        pt_source_destroy(s);
        return rc;
    }
    *out = s;
    return PT_OK;
}

void pt_source_destroy(struct pt_source *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    s->destroyed = true;
    pt_timer_stop(pt_loop_sched(s->o.loop), &s->timer);
    if (s->call)
        pt_http_call_cancel(s->call);
    s->call = NULL;
    pt_locator_destroy(pt_steal(s->locator));
    if (s->working)
        return;
    pt_http_client_destroy(s->client);
    pt_buf_finish(&s->refusal);
    pt_sha256_abort(s->sha);
    if (s->fd >= 0)
        close(s->fd);
    pt_free(s->uri);
    pt_free(s);
}
