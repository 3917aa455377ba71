/* SPDX-License-Identifier: Apache-2.0
 *
 * external.c: weights in files beside the model: read where they are, refused when the model points elsewhere or the file is not what it says.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/onnx/onnx.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[64], outside[64];

static void write_file(const char *dir, const char *name, const void *data, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folders(void **state)
{
    static const float weights[4] = {1, 2, 3, 4};
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pintle-model-XXXXXX");
    snprintf(outside, sizeof outside, "/tmp/pintle-other-XXXXXX");
    assert_true(mkdtemp(folder) && mkdtemp(outside));
    write_file(folder, "w.bin", weights, sizeof weights);
    write_file(outside, "secret", weights, sizeof weights);
    assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
    write_file(folder, "sub/v.bin", weights, sizeof weights);
    assert_int_equal(symlink("sub/v.bin", in_folder("inside")), 0);
    char target[128];
    snprintf(target, sizeof target, "%s/secret", outside);
    assert_int_equal(symlink(target, in_folder("leads-out")), 0);
    assert_int_equal(symlink(outside, in_folder("out")), 0);
    return 0;
}

static int remove_folders(void **state)
{
    static const char *const names[] = {"w.bin", "sub/v.bin", "sub", "inside", "leads-out", "out", "model.onnx"};
    char path[256];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(in_folder(names[i]));
    snprintf(path, sizeof path, "%s/secret", outside);
    remove(path);
    return rmdir(folder) + rmdir(outside);
}

/* Opens the model from its file and runs it on [1,1]; y in *y. */
static int open_and_run(const char *text, float y[2], struct pt_err *err)
{
    struct pt_buf model = test_model(text);
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s = NULL;
    struct pt_run *r = NULL;
    float x[2] = {1, 1};
    struct pt_tensor in = {.dtype = PT_FLOAT, .rank = 1, .dims = {2}, .data = x, .size_bytes = sizeof x};
    write_file(folder, "model.onnx", model.data, model.len);
    int rc = pt_session_open(in_folder("model.onnx"), &o, &s, err);
    if (rc == PT_OK && (rc = pt_run_create(s, &r, err)) == PT_OK && (rc = pt_run_set_input(r, 0, &in, err)) == PT_OK && (rc = pt_run_execute(r, err)) == PT_OK)
        memcpy(y, pt_run_output(r, 0)->data, 2 * sizeof *y);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&model);
    return rc;
}

#define MODEL(line) "in x f32[2]\n" line "\ny = Add(x,w)\nout y\n"

static void reads(void **state)
{
    (void)state;
    float y[2];
    struct pt_err err = {0};
#define GIVES(line, a, b) \
    do { \
        if (open_and_run(MODEL(line), y, &err) < 0) \
            fail_msg("%s", err.msg); \
        assert_true(y[0] == a && y[1] == b); \
    } while (0)
    GIVES("external w f32[2] w.bin - 8 -", 2, 3);
    GIVES("external w f32[2] w.bin 8 8 -", 4, 5);
    GIVES("external w f32[2] w.bin 4 - -", 3, 4);
    GIVES("external w f32[2] sub/v.bin 0 8 -", 2, 3);
    GIVES("external w f32[2] inside 0 8 -", 2, 3);
    GIVES("external w f32[2] w.bin 0 8 c26df9440df999ae7d765499acd5ca855709702f", 2, 3);
}

static void refuses(void **state)
{
    (void)state;
    float y[2];
    struct pt_err err = {0};
#define REFUSED(code_wanted, line, message) \
    do { \
        assert_int_equal(open_and_run(MODEL(line), y, &err), code_wanted); \
        if (!strstr(err.msg, message) || !strstr(err.msg, "model.onnx")) \
            fail_msg("%s", err.msg); \
    } while (0)
    REFUSED(PT_EINVAL, "external w f32[2] /etc/passwd 0 8 -", "external data '/etc/passwd' must be a relative path without '..'");
    REFUSED(PT_EINVAL, "external w f32[2] ../secret 0 8 -", "must be a relative path without '..'");
    REFUSED(PT_EINVAL, "external w f32[2] sub/../w.bin 0 8 -", "must be a relative path without '..'");
    REFUSED(PT_EINVAL, "external w f32[2] leads-out 0 8 -", "is a link that leads out of the model's folder");
    REFUSED(PT_EINVAL, "external w f32[2] out/secret 0 8 -", "is a link that leads out of the model's folder");
    REFUSED(PT_ENOTFOUND, "external w f32[2] none.bin 0 8 -", "external data 'none.bin': No such file");
    REFUSED(PT_EINVAL, "external w f32[2] sub 0 8 -", "not a regular file");
    REFUSED(PT_EPARSE, "external w f32[2] w.bin 12 8 -", "has 16 bytes, but a tensor is said to be 8 bytes at 12");
    REFUSED(PT_EPARSE, "external w f32[2] w.bin 9223372036854775807 8 -", "has 16 bytes");
    REFUSED(PT_EPARSE, "external w f32[2] w.bin 0 4 -", "float32[2] has 4 bytes of external data, needs 8");
    REFUSED(PT_EPARSE, "external w f32[2] w.bin -4 8 -", "external data: offset");
    REFUSED(PT_EPARSE, "external w f32[2] w.bin 0 8 0000000000000000000000000000000000000000", "has the SHA-1 c26df9440df999ae7d765499acd5ca855709702f, the model says 0000");
    REFUSED(PT_EINVAL, "external w f32[2] - 0 8 -", "external data ''");
}

/* A model in memory has no folder unless it is given one. */
static void from_memory(void **state)
{
    (void)state;
    struct pt_buf model = test_model(MODEL("external w f32[2] w.bin 0 8 -"));
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s;
    struct pt_err err = {0};
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "needs the option that names its folder"));
    o.folder = folder;
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_OK);
    pt_session_close(s);
    pt_buf_finish(&model);
}

static void sha1(void **state)
{
    (void)state;
    static const struct {
        const char *text, *digest;
    } cases[] = {{"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
                 {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t digest[20];
        char hex[41];
        pt_sha1(cases[i].text, strlen(cases[i].text), digest);
        for (int k = 0; k < 20; k++)
            snprintf(hex + 2 * k, 3, "%02x", digest[k]);
        assert_string_equal(hex, cases[i].digest);
    }
}

/* An initializer is a constant unless the caller asks for it as an input. */
static void overrides(void **state)
{
    (void)state;
    struct pt_buf model = test_model("in x f32[2]\nin w f32[2]\nconst w f32[2]:5,6\ny = Add(x,w)\nout y\n");
    struct pt_session_options o = {.thread_count = 1, .overridable = TEXTS("w")};
    struct pt_session *s;
    struct pt_run *r;
    struct pt_err err = {0};
    float x[2] = {1, 1};
    struct pt_tensor in = {.dtype = PT_FLOAT, .rank = 1, .dims = {2}, .data = x, .size_bytes = sizeof x};
    assert_int_equal(pt_session_open_memory(model.data, model.len, NULL, &s, &err), PT_OK);
    assert_int_equal(pt_session_input_count(s), 1);
    pt_session_close(s);
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_OK);
    assert_int_equal(pt_session_input_count(s), 2);
    assert_int_equal(pt_session_input_index(s, "w"), 1);
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    assert_int_equal(pt_run_set_input(r, 0, &in, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_EINVAL);
    assert_int_equal(pt_run_set_input(r, 1, &in, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_OK);
    assert_float_equal(((float *)pt_run_output(r, 0)->data)[1], 2, 0);
    pt_run_destroy(r);
    pt_session_close(s);
    o.overridable = TEXTS("q");
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "'q'"));
    pt_buf_finish(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads), cmocka_unit_test(refuses), cmocka_unit_test(from_memory), cmocka_unit_test(sha1), cmocka_unit_test(overrides),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
