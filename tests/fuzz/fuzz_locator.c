/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_locator.c: what registries, token services and credential services answer on the way to a model, and credential files. The first byte says
 * which way; the rest are answers, each of "STATUS NAME: VALUE\n" (a header) and a body up to "\n---\n". The calls themselves are taken over here
 * (the linker's --wrap), so nothing leaves the process. Every way ends, with a URL or a reason.
 */
#include "base/contract.h"
#include "net/url.h"
#include "sidecar/locator_scheme.h"
#include "tests/fuzz/fuzz_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __wrap_pt_locator_call(struct pt_locator *l, const char *url, const struct pt_http_header *headers, size_t count, const char *body,
                            void (*on_answer)(struct pt_locator *l, const struct pt_http_response *r));

#define BY_DIGEST "oci://localhost:5000/m@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of nothing */

enum way { TAG, DIGESTED, WEB_IDENTITY, CONTAINER, SHARED_FILE, WAYS };
static const char *const uris[WAYS] = {"oci://r.example/models/digits:1", BY_DIGEST, "s3://bucket/a/b c.onnx", "s3://bucket/key", "s3://bucket/key"};

static void (*next)(struct pt_locator *l, const struct pt_http_response *r);
static int endings, calls;

static void check(bool good)
{
    if (!good)
        abort();
}

void __wrap_pt_locator_call(struct pt_locator *l, const char *url, const struct pt_http_header *headers, size_t count, const char *body,
                            void (*on_answer)(struct pt_locator *l, const struct pt_http_response *r))
{
    struct pt_url to;
    struct pt_err err = {0};
    (void)body;
    for (size_t i = 0; i < count; i++)
        check(headers[i].name.len && (headers[i].value.p || !headers[i].value.len));
    if (pt_url_parse(url, &to, &err) < 0 || ++calls > 16)
        pt_locator_failed(l, err.code ? &err : &(struct pt_err){.code = PT_ELIMIT, .msg = "too many calls"});
    else
        next = on_answer;
}

static void done(void *arg, const struct pt_location *where, const struct pt_err *err)
{
    (void)arg;
    endings++;
    check(where ? where->url && *where->url : err->code < 0 && err->msg[0]);
}

static void set_up(enum way way, const uint8_t *data, size_t size)
{
    const char *file = fuzz_file(data, size);
    setenv(PT_ENV_CREDENTIALS_DIR, "/nonexistent", 1);
    setenv("HOME", "/nonexistent", 1);
    setenv("DOCKER_CONFIG", "/nonexistent", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", way == WEB_IDENTITY ? file : "", 1);
    setenv("AWS_ROLE_ARN", way == WEB_IDENTITY ? "arn:aws:iam::1:role/r" : "", 1);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", way == CONTAINER ? "http://169.254.170.2/c" : "", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", way == SHARED_FILE ? file : "/nonexistent", 1);
    if (way == TAG)
        setenv("config.json", "{\"auths\":{\"r.example\":{\"username\":\"u\",\"password\":\"p\"}}}", 1);
    else
        unsetenv("config.json");
}

/* The next answer of the rest. */
static struct pt_http_response answer(struct pt_str *rest, struct pt_http_header *header)
{
    struct pt_str head = {0};
    struct pt_http_response r = {.status = 0, .headers = header};
    const char *end = rest->len ? memmem(rest->p, rest->len, "\n---\n", 5) : NULL;
    struct pt_str all = {rest->p, end ? (size_t)(end - rest->p) : rest->len};
    *rest = end ? (struct pt_str){end + 5, rest->len - all.len - 5} : (struct pt_str){0};
    pt_str_split(&all, '\n', &head);
    r.body = all;
    while (head.len && head.p[0] >= '0' && head.p[0] <= '9' && r.status < 100) {
        r.status = r.status * 10 + (head.p[0] - '0');
        head = (struct pt_str){head.p + 1, head.len - 1};
    }
    const char *colon = head.len ? memchr(head.p, ':', head.len) : NULL;
    if (colon) {
        header->name = pt_str_trim((struct pt_str){head.p, (size_t)(colon - head.p)});
        header->value = pt_str_trim((struct pt_str){colon + 1, (size_t)(head.p + head.len - colon - 1)});
        r.header_count = header->name.len > 0;
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pt_loop *loop;
    struct pt_err err = {0};
    struct pt_locator *l;
    if (size == 0)
        return 0;
    if (!loop && pt_loop_create(&loop, &err) < 0)
        abort();
    enum way way = data[0] % WAYS;
    struct pt_str rest = {(const char *)data + 1, size - 1};
    struct pt_locator_options o = {.loop = loop, .uri = uris[way], .done = done};
    set_up(way, data + 1, size - 1);
    check(pt_locator_create(&o, &l, &err) == PT_OK);
    next = NULL;
    endings = calls = 0;
    l->scheme->locate(l);
    while (next) {
        struct pt_http_header header = {0};
        struct pt_http_response r = answer(&rest, &header);
        void (*on_answer)(struct pt_locator *, const struct pt_http_response *) = next;
        next = NULL;
        on_answer(l, &r);
    }
    check(endings == 1);
    struct pt_http_header header = {0};
    struct pt_http_response refusal = answer(&rest, &header);
    (void)pt_locator_again(l, &refusal);
    pt_locator_destroy(l);
    return 0;
}
