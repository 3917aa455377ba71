/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions.c: the public interface: what it says of a model, what it refuses, that runs on seen shapes allocate nothing, that sessions are
 * shared between threads, and that every failed allocation is an error without a leak.
 */
#include "tests/unit/runtime/model.h"

#include <pthread.h>
#include <unistd.h>

#define MLP                                                                                                                                          \
    "in x f32[-1,3]\nconst w f32[3,2]:1,2,3,4,5,6\nconst b f32[2]:1,-100\nh = MatMul(x,w)\nhb = Add(h,b)\ny = Relu(hb)\nn = Shape(x)\nc = Cast(n) "  \
    "to=1\nout y\nout c\n"

static struct pt_session *open_text(const char *text, struct pt_buf *bytes, const struct pt_session_options *o)
{
    struct pt_session *s;
    struct pt_err err = {0};
    *bytes = test_model(text);
    if (pt_session_open_memory(bytes->data, bytes->len, o, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static struct pt_tensor rows(float *x, int64_t n)
{
    return (struct pt_tensor){.dtype = PT_FLOAT, .rank = 2, .dims = {n, 3}, .data = x, .size_bytes = (size_t)n * 3 * sizeof(float)};
}

static void describes(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session *s = open_text(MLP, &bytes, NULL);
    assert_int_equal(pt_session_input_count(s), 1);
    assert_int_equal(pt_session_output_count(s), 2);
    const struct pt_value_info *x = pt_session_input(s, 0);
    assert_string_equal(x->name, "x");
    assert_int_equal(x->dtype, PT_FLOAT);
    assert_int_equal(x->rank, 2);
    assert_int_equal(x->dims[0], -1);
    assert_string_equal(x->dim_names[0], "n");
    assert_null(x->dim_names[1]);
    assert_int_equal(pt_session_input_index(s, "x"), 0);
    assert_int_equal(pt_session_input_index(s, "w"), -1);
    assert_int_equal(pt_session_output_index(s, "c"), 1);
    assert_null(pt_session_input(s, 1));
    assert_null(pt_session_output(s, 2));
    pt_session_close(s);
    pt_session_close(NULL);
    pt_run_destroy(NULL);
    pt_buf_finish(&bytes);
}

static void wipe(void *arg, const void *begin, size_t len)
{
    *(size_t *)arg += len;
    memset((void *)(uintptr_t)begin, 0xff, len);
}

/* Two products by 128 x 128 weights, the first with a normalisation behind it; `more` is an output besides. */
static float last_of(const char *more, bool give_back, size_t *given)
{
    enum { N = 128 };
    struct pt_buf text = PT_BUF_INIT(1 << 20), bytes;
    float x[N], last;
    *given = 0;
    pt_buf_puts(&text, "in x f32[1,128,1,1]\nz = Conv(x,w)\nn = BatchNormalization(z,s,s,s,s)\ny = Conv(n,v)\nout y\n");
    pt_buf_puts(&text, more);
    for (const char *name = "wvs"; *name; name++) {
        int count = *name == 's' ? N : N * N;
        pt_buf_printf(&text, "const %c f32[128%s]:", *name, *name == 's' ? "" : ",128,1,1");
        for (int i = 0; i < count; i++)
            pt_buf_printf(&text, "%s%d", i ? "," : "", (i + *name) % 7 - (*name == 's' ? -1 : 3));
        pt_buf_puts(&text, "\n");
    }
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % 5);
    struct pt_session *s = open_text(pt_buf_cstr(&text), &bytes, NULL);
    struct pt_run *r;
    struct pt_tensor t = {.dtype = PT_FLOAT, .rank = 4, .dims = {1, N, 1, 1}, .data = x, .size_bytes = sizeof x};
    if (give_back)
        assert_int_equal(pt_session_unneeded(s, wipe, given, NULL), PT_OK);
    assert_int_equal(pt_run_create(s, &r, NULL), PT_OK);
    assert_int_equal(pt_run_set_input(r, 0, &t, NULL), PT_OK);
    assert_int_equal(pt_run_execute(r, NULL), PT_OK);
    last = ((const float *)pt_run_output(r, 0)->data)[N - 1];
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
    pt_buf_finish(&text);
    return last;
}

static void says_what_it_does_not_need(void **state)
{
    (void)state;
    size_t given;
    float want = last_of("", false, &given);
    assert_true(want > 1 || want < -1);
    assert_true(last_of("", true, &given) == want);
    assert_int_equal(given, 128 * 128 * 4); /* w, with the normalisation's factors in it; not v */
    assert_true(last_of("out w\n", true, &given) == want);
    assert_int_equal(given, 0);
}

static void refuses(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session *s = open_text(MLP, &bytes, NULL);
    struct pt_run *r;
    struct pt_err err = {0};
    float x[7] = {0};
    struct pt_tensor t = rows(x, 1), bad;
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "input 'x' is not set");
    assert_null(pt_run_output(r, 0));
    assert_int_equal(pt_run_set_input(r, 1, &t, &err), PT_EINVAL);
    assert_string_equal(err.msg, "input 1 does not exist: the model has 1");
#define REFUSED(change, message)                                                                                                                     \
    do {                                                                                                                                             \
        bad = t;                                                                                                                                     \
        change;                                                                                                                                      \
        assert_int_equal(pt_run_set_input(r, 0, &bad, &err), PT_EINVAL);                                                                             \
        assert_string_equal(err.msg, message);                                                                                                       \
    } while (0)
    REFUSED(bad.dtype = PT_INT64, "input 'x' is int64, the model takes float32");
    REFUSED(bad.dims[1] = 4, "input 'x' is float32[1,4], the model takes float32[-1,3] (-1: any)");
    REFUSED(bad.rank = 1, "input 'x' is float32[1], the model takes float32[-1,3] (-1: any)");
    REFUSED(bad.rank = -1, "input 'x' has rank -1, must be 0 to 16");
    REFUSED(bad.rank = 17, "input 'x' has rank 17, must be 0 to 16");
    REFUSED(bad.size_bytes = 8, "input 'x' float32[1,3] needs 12 bytes, but 8 are given");
    REFUSED(bad.dims[0] = -3, "input 'x' has shape float32[-3,3], which is negative or too large");
    REFUSED(bad.dims[0] = INT64_MAX, "input 'x' has shape float32[9223372036854775807,3], which is negative or too large");
    REFUSED(bad.data = NULL, "input 'x' has no data");
    REFUSED(bad.data = (char *)x + 1, "data of input 'x' is not aligned to 4 bytes");
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
    assert_int_equal(pt_session_open("/no/such/model.onnx", NULL, &s, &err), PT_ENOTFOUND);
    assert_null(s);
    assert_int_equal(pt_session_open("/", NULL, &s, &err), PT_EINVAL);
    assert_string_equal(err.msg, "/ is not a regular file");
    assert_int_equal(pt_session_open_memory("", 0, NULL, &s, NULL), PT_EPARSE);
}

static void limits_memory(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 1, .max_arena_bytes = 4096};
    struct pt_session *s = open_text(MLP, &bytes, &o);
    struct pt_run *r;
    struct pt_err err = {0};
    float *x = calloc(3000, sizeof *x);
    struct pt_tensor t = rows(x, 1000);
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    assert_int_equal(pt_run_set_input(r, 0, &t, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_ELIMIT);
    assert_non_null(strstr(err.msg, "limit of 4096 bytes"));
    t = rows(x, 10);
    assert_int_equal(pt_run_set_input(r, 0, &t, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_OK);
    free(x);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

/* Shapes may alternate: what was seen, and is still kept, costs no allocation. */
static void allocates_nothing(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 2, .max_programs = 2};
    struct pt_session *s = open_text(
        MLP "const k f32[2,3,1]:1,2,3,4,5,6\nu = Unsqueeze(x,zero)\nconst zero i64[1]:0\nt = Transpose(u) perm=[0,2,1]\nv = Conv(t,k)\nout v\n",
        &bytes, &o);
    struct pt_run *r;
    struct pt_err err = {0};
    float x[30] = {1, 2, 3};
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    uint64_t before = 0;
    for (int i = 0; i < 8; i++) {
        struct pt_tensor t = rows(x, i % 2 ? 3 : 10);
        if (i == 2)
            before = pt_mem_count();
        assert_int_equal(pt_run_set_input(r, 0, &t, &err), PT_OK);
        if (pt_run_execute(r, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(pt_run_output(r, 0)->dims[0], i % 2 ? 3 : 10);
        assert_float_equal(((float *)pt_run_output(r, 0)->data)[0], 23, 0);
        assert_float_equal(((float *)pt_run_output(r, 1)->data)[0], (i % 2 ? 3 : 10), 0);
    }
    assert_int_equal(pt_mem_count(), before);
    struct pt_tensor t = rows(x, 5); /* a third shape pushes the oldest out, which is compiled again when it comes back */
    assert_int_equal(pt_run_set_input(r, 0, &t, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_OK);
    assert_true(pt_mem_count() > before);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

static void cancels(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session *s = open_text(MLP, &bytes, NULL);
    struct pt_run *r;
    struct pt_err err = {0};
    float x[3] = {1, 2, 3};
    struct pt_tensor t = rows(x, 1);
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    assert_int_equal(pt_run_set_input(r, 0, &t, &err), PT_OK);
    pt_run_cancel(r); /* nothing runs: the next execution is not affected */
    assert_int_equal(pt_run_execute(r, &err), PT_OK);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

/* --- many threads, one session, more shapes than programs are kept ------------------------------------------------------------ */

struct worker {
    struct pt_session *s;
    int failures;
    unsigned seed;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pt_run *r;
    float x[30] = {0};
    if (pt_run_create(w->s, &r, NULL) < 0)
        return NULL;
    for (int i = 0; i < 200; i++) {
        struct pt_tensor t = rows(x, 1 + rand_r(&w->seed) % 10);
        x[0] = (float)(i % 7);
        if (pt_run_set_input(r, 0, &t, NULL) < 0 || pt_run_execute(r, NULL) < 0 || pt_run_output(r, 0)->dims[0] != t.dims[0] ||
            fabsf(((float *)pt_run_output(r, 0)->data)[0] - (x[0] + 1)) > 1e-6f)
            w->failures++;
    }
    pt_run_destroy(r);
    return NULL;
}

static void shares(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 2, .max_programs = 3};
    struct worker w[4];
    pthread_t threads[4];
    struct pt_session *s = open_text(MLP, &bytes, &o);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct worker){s, 0, i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(w[i].failures, 0);
    }
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

/* --- failing allocations ------------------------------------------------------------------------------------------------------- */

static int open_and_run(const struct pt_buf *bytes, struct pt_err *err)
{
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s;
    struct pt_run *r = NULL;
    float x[2 * 3 * 5 * 5] = {0};
    struct pt_tensor t = {.dtype = PT_FLOAT, .rank = 4, .dims = {2, 3, 5, 5}, .data = x, .size_bytes = sizeof x};
    int64_t n = 2;
    struct pt_tensor tn = {.dtype = PT_INT64, .rank = 1, .dims = {1}, .data = &n, .size_bytes = sizeof n};
    int rc = pt_session_open_memory(bytes->data, bytes->len, &o, &s, err);
    if (rc == PT_OK && (rc = pt_run_create(s, &r, err)) == PT_OK && (rc = pt_run_set_input(r, 0, &t, err)) == PT_OK &&
        (rc = pt_run_set_input(r, 1, &tn, err)) == PT_OK)
        rc = pt_run_execute(r, err);
    pt_run_destroy(r);
    pt_session_close(s);
    return rc;
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model(
        "opset 13\nin x f32[2,3,5,5]\nin n i64[1]\nconst w f32[2,3,1,1]:1,2,3,4,5,6\nconst s f32[2]:1,2\nconst v f32[2]:1,4\na = Conv(x,w)\n"
        "b = BatchNormalization(a,s,s,s,v)\nc = Relu(b)\nd = MaxPool(c) kernel_shape=[2,2]\ne = Concat(d,d) axis=1\nf = GlobalAveragePool(e)\n"
        "g = Flatten(f)\nconst m f32[4,2]:1,2,3,4,5,6,7,8\nh = MatMul(g,m)\ni = Add(h,s)\nj = Softmax(i)\nk = Transpose(j)\nsh = Shape(x)\n"
        "l = Gather(sh,zero)\nconst zero i64[1]:0\no = Concat(l,n) axis=0\nq = Expand(j,o)\nt = Identity(q)\nu,u2 = Split(k) axis=0\ny = Add(t,s)\n"
        "const one f32[]:1\nz = Add(one,one)\nout y\nout u\nout z\n");
    struct pt_err err = {0};
    assert_int_equal(open_and_run(&bytes, &err), PT_OK);
    uint64_t before = pt_mem_count();
    assert_int_equal(open_and_run(&bytes, &err), PT_OK);
    int64_t total = (int64_t)(pt_mem_count() - before);
    assert_true(total > 20);
    for (int all_after = 0; all_after < 2; all_after++)
        for (int64_t i = 1; i <= total; i++) {
            err = (struct pt_err){0};
            pt_mem_fail_at(i, all_after);
            int rc = open_and_run(&bytes, &err);
            pt_mem_fail_at(0, 0);
            if (rc != PT_ENOMEM && rc != PT_ELIMIT)
                fail_msg("allocation %lld of %lld failed, the result was %d: %s", (long long)i, (long long)total, rc, err.msg);
            assert_true(err.code == rc && err.msg[0]);
        }
    pt_buf_finish(&bytes);
}

static void inspects(void **state)
{
    (void)state;
    char path[] = "/tmp/pintle-test-XXXXXX";
    int fd = mkstemp(path);
    struct pt_buf bytes =
        test_model("in x f32[-1,3]\nconst w f32[3,2]:1,2,3,4,5,6\nh = MatMul(x,w)\ny = Relu(h)\nz = Relu(y)\nq = com.foo::Bar(z)\nout q\n");
    struct pt_model_summary *m;
    struct pt_err err = {0};
    assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
    assert_int_equal(pt_model_inspect(path, &m, &err), PT_OK);
    assert_int_equal(m->op_count, 3);
    assert_string_equal(m->ops[0].op_type, "Relu");
    assert_int_equal(m->ops[0].count, 2);
    assert_int_equal(m->ops[0].since_version, 14);
    assert_true(m->ops[0].supported);
    assert_string_equal(m->ops[1].op_type, "Bar");
    assert_string_equal(m->ops[1].domain, "com.foo");
    assert_false(m->ops[1].supported);
    assert_int_equal(m->ops[1].since_version, 0);
    assert_int_equal(m->parameters, 6);
    assert_int_equal(m->weight_bytes, 24);
    assert_non_null(strstr(m->plan_error, "node 'q' (com.foo::Bar): this operator is not supported"));
    pt_model_summary_free(m);
    pt_buf_finish(&bytes);
    bytes = test_model(MLP);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, bytes.data, bytes.len, 0), bytes.len);
    assert_int_equal(pt_model_inspect(path, &m, &err), PT_OK);
    assert_string_equal(m->plan_error, "");
    assert_int_equal(m->macs, 6);
    assert_true(m->peak_bytes > 0);
    assert_int_equal(m->dynamic_nodes, 0);
    pt_model_summary_free(m);
    pt_buf_finish(&bytes);
    /* a body's operators and weights count; what follows from data is counted as such */
    bytes = test_model("graph t\nconst w f32[2]:1,2\na = Add(x,w)\nout a\nend\ngraph e\na = Neg(x)\nb = Neg(a)\nout b\nend\nin x f32[2]\nin c b[]\n"
                       "y = If(c) then_branch=@t else_branch=@e\nz = Neg(y)\nout z\n");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, bytes.data, bytes.len, 0), bytes.len);
    assert_int_equal(pt_model_inspect(path, &m, &err), PT_OK);
    assert_int_equal(m->op_count, 3);
    assert_string_equal(m->ops[0].op_type, "Neg");
    assert_int_equal(m->ops[0].count, 3);
    assert_int_equal(m->parameters, 2);
    assert_int_equal(m->dynamic_nodes, 2);
    pt_model_summary_free(m);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pt_model_inspect(path, &m, &err), PT_EPARSE);
    assert_non_null(strstr(err.msg, "is empty"));
    close(fd);
    unlink(path);
    pt_buf_finish(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes),
        cmocka_unit_test(says_what_it_does_not_need),
        cmocka_unit_test(refuses),
        cmocka_unit_test(limits_memory),
        cmocka_unit_test(allocates_nothing),
        cmocka_unit_test(cancels),
        cmocka_unit_test(shares),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(inspects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
