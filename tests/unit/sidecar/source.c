/* SPDX-License-Identifier: Apache-2.0
 *
 * source.c: downloads from a server that does what a script says: it cuts answers off, changes the file, redirects, refuses. The server is a
 * thread; each connection carries one request and gets the next answer of the script, then it is closed.
 */
#include "base/mem.h"
#include "net/tls.h"
#include "sidecar/source.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 300000, MAX_ANSWERS = 4 };

struct fixture {
    struct pt_loop *loop;
    struct pt_source *source;
    char dir[64], uri[64];
    uint8_t content[SIZE], digest[32];
    /* the server */
    pthread_t thread;
    int listener, answers, served;
    struct {
        char head[512];
        const uint8_t *body;
        size_t len;
    } script[MAX_ANSWERS];
    char requests[MAX_ANSWERS][2048];
    /* how the last attempt ended */
    bool ended;
    int fd, code;
    bool hashed;
    char path[4096], message[512];
    int64_t progress, total;
};

static void *serve(void *arg)
{
    struct fixture *f = arg;
    for (f->served = 0; f->served < f->answers; f->served++) {
        int fd = accept(f->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        char *request = f->requests[f->served];
        size_t len = 0;
        while (!strstr(request, "\r\n\r\n")) {
            ssize_t n = read(fd, request + len, sizeof f->requests[0] - 1 - len);
            if (n <= 0)
                break;
            len += (size_t)n;
        }
        if (write(fd, f->script[f->served].head, strlen(f->script[f->served].head)) > 0)
            for (size_t at = 0; at < f->script[f->served].len;) {
                ssize_t n = send(fd, f->script[f->served].body + at, f->script[f->served].len - at, MSG_NOSIGNAL);
                if (n <= 0)
                    break;
                at += (size_t)n;
            }
        shutdown(fd, SHUT_WR);
        char rest[256];
        while (read(fd, rest, sizeof rest) > 0) /* until the client is gone: no reset */
            ;
        close(fd);
    }
    return NULL;
}

__attribute__((format(printf, 4, 5))) static void answer(struct fixture *f, const uint8_t *body, size_t len, const char *head, ...)
{
    va_list ap;
    va_start(ap, head);
    vsnprintf(f->script[f->answers].head, sizeof f->script[0].head, head, ap);
    va_end(ap);
    f->script[f->answers].body = body;
    f->script[f->answers++].len = len;
}

static void start_server(struct fixture *f)
{
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
}

static struct fixture *set_up(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    f->fd = -1;
    for (size_t i = 0; i < SIZE; i++)
        f->content[i] = (uint8_t)(i * 2654435761u >> 13);
    struct pt_sha256 *h = pt_sha256_create();
    pt_sha256_update(h, f->content, SIZE);
    pt_sha256_finish(h, f->digest);
    strcpy(f->dir, "/tmp/pintle-source-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    getsockname(f->listener, (struct sockaddr *)&a, &len);
    snprintf(f->uri, sizeof f->uri, "http://127.0.0.1:%d/m.onnx?signature=secret", ntohs(a.sin_port));
    assert_int_equal(pt_loop_create(&f->loop, NULL), PT_OK);
    return f;
}

static void tear_down(struct fixture *f)
{
    pt_source_destroy(f->source);
    pt_loop_destroy(f->loop);
    if (f->fd >= 0)
        close(f->fd);
    shutdown(f->listener, SHUT_RDWR); /* wakes a server that waits for a request nobody made */
    if (f->thread)
        pthread_join(f->thread, NULL);
    close(f->listener);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
}

static void on_progress(void *arg, int64_t done_bytes, int64_t total_bytes)
{
    struct fixture *f = arg;
    f->progress = done_bytes;
    f->total = total_bytes;
}

static void on_done(void *arg, const struct pt_source_file *file, const struct pt_err *err)
{
    struct fixture *f = arg;
    f->ended = true;
    f->code = err ? err->code : PT_OK;
    snprintf(f->message, sizeof f->message, "%s", err ? err->msg : "");
    if (file) {
        f->fd = file->fd;
        f->hashed = file->hashed;
        snprintf(f->path, sizeof f->path, "%s", file->path);
    }
    pt_loop_stop(f->loop);
}

static void create(struct fixture *f, const char *uri, const uint8_t *digest)
{
    struct pt_source_options o = {.loop = f->loop, .uri = uri, .digest = digest, .cache_dir = f->dir, .progress = on_progress, .done = on_done, .arg = f};
    struct pt_err err;
    if (pt_source_create(&o, &f->source, &err) < 0)
        fail_msg("%s", err.msg);
}

static void on_timeout(struct pt_timer *t)
{
    (void)t;
    fail_msg("the attempt did not end");
}

static int fetch(struct fixture *f)
{
    struct pt_timer limit = {0};
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    f->ended = false;
    pt_timer_start(pt_loop_sched(f->loop), &limit, 20000, on_timeout);
    pt_source_fetch(f->source);
    assert_false(f->ended);
    pt_loop_run(f->loop);
    pt_timer_stop(pt_loop_sched(f->loop), &limit);
    assert_true(f->ended);
    return f->code;
}

/* The descriptor reads as `want`, and so does the published file under its digest's name. */
static void assert_fetched(struct fixture *f, const uint8_t *want, size_t len)
{
    uint8_t *got = malloc(len + 1);
    struct stat st, published;
    if (f->code)
        fail_msg("%s", f->message);
    assert_int_equal(pread(f->fd, got, len + 1, 0), len);
    assert_memory_equal(got, want, len);
    assert_int_equal(fstat(f->fd, &st), 0);
    assert_int_equal(stat(f->path, &published), 0);
    assert_int_equal(st.st_ino, published.st_ino);
    free(got);
}

/* Files in the cache: of finished models, or of parts. */
static int count_files(struct fixture *f, bool parts)
{
    DIR *d = opendir(f->dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.' && (strstr(e->d_name, ".part") != NULL) == parts;
    closedir(d);
    return n;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: \"%s\"\r\n\r\n"

static void downloads(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    answer(f, f->content, SIZE, OK_HEAD, SIZE, "v1");
    start_server(f);
    create(f, f->uri, f->digest);
    fetch(f);
    assert_fetched(f, f->content, SIZE);
    assert_true(f->hashed);
    assert_int_equal(f->progress, SIZE);
    assert_int_equal(f->total, SIZE);
    assert_int_equal(count_files(f, true), 0);
    assert_int_equal(count_files(f, false), 1);
    assert_int_equal(fetch(f), PT_OK); /* from the cache: the script has no second answer */
    assert_false(f->hashed);
    pt_source_discard(f->source);
    assert_int_equal(count_files(f, false), 0);
    tear_down(f);
}

static void without_digest_or_length(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    answer(f, f->content, SIZE, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    start_server(f);
    create(f, f->uri, NULL);
    fetch(f);
    assert_fetched(f, f->content, SIZE);
    assert_int_equal(f->total, -1);
    tear_down(f);
}

static void resumes_after_a_cut(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    answer(f, f->content, 100000, OK_HEAD, SIZE, "v1");
    answer(f, f->content + 100000, SIZE - 100000, "HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes 100000-%d/%d\r\n\r\n", SIZE - 100000,
           SIZE - 1, SIZE);
    start_server(f);
    create(f, f->uri, NULL);
    assert_int_equal(fetch(f), PT_EIO);
    assert_int_equal(f->progress, 100000);
    assert_int_equal(count_files(f, false), 0);
    fetch(f);
    assert_fetched(f, f->content, SIZE);
    assert_null(strstr(f->requests[0], "Range"));
    assert_non_null(strstr(f->requests[1], "\r\nRange: bytes=100000-\r\n"));
    assert_non_null(strstr(f->requests[1], "\r\nIf-Range: \"v1\"\r\n"));
    tear_down(f);
}

static void starts_over_when_the_file_changed(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    uint8_t *other = malloc(SIZE - 7);
    memset(other, 'x', SIZE - 7);
    answer(f, f->content, 100000, OK_HEAD, SIZE, "v1");
    answer(f, other, SIZE - 7, OK_HEAD, SIZE - 7, "v2");
    start_server(f);
    create(f, f->uri, NULL);
    assert_int_equal(fetch(f), PT_EIO);
    fetch(f);
    assert_fetched(f, other, SIZE - 7);
    tear_down(f);
    free(other);
}

static void distrusts_a_wrong_range(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    answer(f, f->content, 100000, OK_HEAD, SIZE, "v1");
    answer(f, f->content, SIZE, "HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes 0-%d/%d\r\n\r\n", SIZE, SIZE - 1, SIZE);
    answer(f, f->content, SIZE, OK_HEAD, SIZE, "v1");
    start_server(f);
    create(f, f->uri, f->digest);
    assert_int_equal(fetch(f), PT_EIO);
    assert_int_equal(fetch(f), PT_EIO);
    assert_non_null(strstr(f->message, "asked for the bytes from 100000 on, got those from 0 on"));
    fetch(f);
    assert_fetched(f, f->content, SIZE);
    assert_null(strstr(f->requests[2], "Range"));
    tear_down(f);
}

/* A process that was killed left a part; with a digest it is taken up again, and thrown away when it turns out to be rubbish. */
static void takes_up_the_part_of_an_earlier_process(void **state)
{
    (void)state;
    for (int rubbish = 0; rubbish < 2; rubbish++) {
        struct fixture *f = set_up();
        answer(f, f->content, 100000, OK_HEAD, SIZE, "v1");
        answer(f, f->content + 100000, SIZE - 100000, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100000-%d/%d\r\n\r\n", SIZE - 1, SIZE);
        answer(f, f->content, SIZE, OK_HEAD, SIZE, "v1");
        start_server(f);
        create(f, f->uri, f->digest);
        assert_int_equal(fetch(f), PT_EIO);
        pt_source_destroy(f->source);
        assert_int_equal(count_files(f, true), 1);
        if (rubbish) {
            char command[192];
            snprintf(command, sizeof command, "for p in %s/*.part; do printf rubbish | dd of=$p conv=notrunc status=none; done", f->dir);
            assert_int_equal(system(command), 0);
        }
        create(f, f->uri, f->digest);
        fetch(f);
        assert_non_null(strstr(f->requests[1], "\r\nRange: bytes=100000-\r\n"));
        if (rubbish) {
            assert_int_equal(f->code, PT_ECONFLICT);
            fetch(f);
        }
        assert_fetched(f, f->content, SIZE);
        tear_down(f);
    }
}

static void refuses_a_wrong_digest(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    uint8_t wanted[32] = {0xab};
    answer(f, f->content, SIZE, OK_HEAD, SIZE, "v1");
    start_server(f);
    create(f, f->uri, wanted);
    assert_int_equal(fetch(f), PT_ECONFLICT);
    assert_non_null(strstr(f->message, "digest: want sha256:ab00000000"));
    assert_int_equal(count_files(f, false), 0);
    tear_down(f);
}

static void says_what_the_server_refused(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    char url[64];
    answer(f, (const uint8_t *)"no", 2, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n");
    answer(f, NULL, 0, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    start_server(f);
    create(f, f->uri, NULL);
    snprintf(url, sizeof url, "GET %.*s:", (int)strcspn(f->uri, "?"), f->uri);
    assert_int_equal(fetch(f), PT_ENOTFOUND);
    assert_non_null(strstr(f->message, url)); /* without the signature */
    assert_non_null(strstr(f->message, "the server answered 404 (not found)"));
    assert_int_equal(fetch(f), PT_EUNAVAILABLE);
    assert_non_null(strstr(f->message, "the server answered 500"));
    tear_down(f);
}

static void follows_redirects(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    answer(f, NULL, 0, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    answer(f, f->content, SIZE, OK_HEAD, SIZE, "v1");
    start_server(f);
    create(f, f->uri, f->digest);
    fetch(f);
    assert_fetched(f, f->content, SIZE);
    assert_memory_equal(f->requests[1], "GET /elsewhere ", 15);
    tear_down(f);
}

static void no_connection_is_an_error_with_the_address(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    close(f->listener);
    create(f, f->uri, NULL);
    assert_int_equal(fetch(f), PT_EUNAVAILABLE);
    assert_non_null(strstr(f->message, "127.0.0.1"));
    assert_null(strstr(f->message, "secret"));
    tear_down(f);
}

static void one_process_at_a_time(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    answer(f, f->content, 1000, OK_HEAD, SIZE, "v1");
    start_server(f);
    create(f, f->uri, NULL);
    assert_int_equal(fetch(f), PT_EIO);
    struct pt_source *first = f->source;
    create(f, f->uri, NULL);
    assert_int_equal(fetch(f), PT_ETIMEDOUT);
    assert_non_null(strstr(f->message, "another process has been downloading it for more than 0 ms"));
    pt_source_destroy(first);
    tear_down(f);
}

static void destroyed_under_way(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    answer(f, f->content, SIZE, OK_HEAD, SIZE, "v1");
    start_server(f);
    create(f, f->uri, f->digest);
    pt_source_fetch(f->source);
    pt_source_destroy(f->source);
    create(f, f->uri, f->digest);
    assert_int_equal(fetch(f), PT_OK);
    f->source = (pt_source_destroy(f->source), NULL);
    tear_down(f);
}

/* A file system of 128 KiB at dir that only this process sees; false where that is not allowed. */
static bool mount_small(const char *dir)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", dir, "tmpfs", 0, "size=128k") == 0;
}

static void full_disk(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* it allows no threads in the child of a program that had some */
#endif
    pid_t child = fork();
    if (child == 0) {
        struct fixture *f = set_up();
        if (!mount_small(f->dir)) {
            rmdir(f->dir);
            _exit(77);
        }
        answer(f, f->content, SIZE, OK_HEAD, SIZE, "v1");
        answer(f, f->content, SIZE, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        start_server(f);
        create(f, f->uri, NULL);
        bool announced = fetch(f) == PT_EIO && strstr(f->message, "No space left on device: the model has 300000 bytes");
        bool unannounced = fetch(f) == PT_EIO && strstr(f->message, "No space left on device");
        if (!announced || !unannounced)
            fprintf(stderr, "%s\n", f->message);
        bool nothing = count_files(f, false) == 0;
        umount2(f->dir, MNT_DETACH);
        rmdir(f->dir);
        _exit(announced && unannounced && nothing ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void files_are_taken_where_they_lie(void **state)
{
    (void)state;
    struct fixture *f = set_up();
    char uri[128];
    snprintf(uri, sizeof uri, "file://%s/m.onnx", f->dir);
    create(f, uri, f->digest);
    assert_int_equal(fetch(f), PT_ENOTFOUND);
    assert_non_null(strstr(f->message, "/m.onnx: No such file or directory"));
    int fd = open(uri + 7, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, f->content, SIZE), SIZE);
    close(fd);
    fetch(f);
    assert_fetched(f, f->content, SIZE);
    assert_false(f->hashed);
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(downloads),
        cmocka_unit_test(without_digest_or_length),
        cmocka_unit_test(resumes_after_a_cut),
        cmocka_unit_test(starts_over_when_the_file_changed),
        cmocka_unit_test(distrusts_a_wrong_range),
        cmocka_unit_test(takes_up_the_part_of_an_earlier_process),
        cmocka_unit_test(refuses_a_wrong_digest),
        cmocka_unit_test(says_what_the_server_refused),
        cmocka_unit_test(follows_redirects),
        cmocka_unit_test(no_connection_is_an_error_with_the_address),
        cmocka_unit_test(one_process_at_a_time),
        cmocka_unit_test(destroyed_under_way),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(files_are_taken_where_they_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
