/* SPDX-License-Identifier: Apache-2.0
 *
 * api.c: what the public interface offers beside opening and running: what a model says of itself, structures of other versions, rewrites left out,
 * bound outputs, deadlines, profiles, operators of the caller's.
 */
#include "tests/unit/runtime/model.h"

#include "base/err.h"
#include "base/pbwire.h"
#include "runtime/exec/session.h"

#include <time.h>

struct opened {
    struct pt_buf bytes;
    struct pt_session *s;
    struct pt_run *r;
};

static void open_model(struct opened *m, const char *text, const struct pt_session_options *o)
{
    struct pt_err err = {0};
    m->bytes = test_model(text);
    if (pt_session_open_memory(m->bytes.data, m->bytes.len, o, &m->s, &err) < 0 || pt_run_create(m->s, &m->r, &err) < 0)
        fail_msg("%s", err.msg);
}

static void close_model(struct opened *m)
{
    pt_run_destroy(m->r);
    pt_session_close(m->s);
    pt_buf_finish(&m->bytes);
}

static void set_input(struct opened *m, size_t i, const struct pt_tensor *t)
{
    struct pt_err err = {0};
    if (pt_run_set_input(m->r, i, t, &err) < 0)
        fail_msg("%s", err.msg);
}

/* --- what it says of itself ------------------------------------------------------------------------------------------------------------- */

static void put_pair(struct pt_buf *model, const char *key, const char *value)
{
    struct pt_buf pair = PT_BUF_INIT(0);
    pt_pb_put_bytes(&pair, 1, key, strlen(key));
    pt_pb_put_bytes(&pair, 2, value, strlen(value));
    pt_pb_put_bytes(model, 14, pair.data, pair.len);
    pt_buf_finish(&pair);
}

static void describes_itself(void **state)
{
    (void)state;
    struct pt_buf model = test_model("opset 18\nin x f32[2]\ny = Neg(x)\nout y\n");
    struct pt_session *s;
    pt_pb_put_bytes(&model, 2, "maker", 5);
    pt_pb_put_bytes(&model, 3, "7.1", 3);
    pt_pb_put_bytes(&model, 4, "org.example", 11);
    pt_pb_put_varint(&model, 5, 42);
    pt_pb_put_bytes(&model, 6, "what it is", 10);
    put_pair(&model, "labels", "a,b");
    put_pair(&model, "empty", "");
    assert_int_equal(pt_session_open_memory(model.data, model.len, NULL, &s, NULL), PT_OK);
    const struct pt_model_meta *m = pt_session_meta(s);
    assert_string_equal(m->producer_name, "maker");
    assert_string_equal(m->producer_version, "7.1");
    assert_string_equal(m->domain, "org.example");
    assert_string_equal(m->description, "what it is");
    assert_int_equal(m->model_version, 42);
    assert_int_equal(m->ir_version, 8);
    assert_true(m->opset_count >= 1);
    assert_string_equal(m->opsets[0].domain, "");
    assert_int_equal(m->opsets[0].version, 18);
    assert_int_equal(m->metadata_count, 2);
    assert_string_equal(m->metadata[0].key, "labels");
    assert_string_equal(m->metadata[0].value, "a,b");
    assert_string_equal(m->metadata[1].value, "");
    pt_session_close(s);
    pt_buf_finish(&model);
}

/* --- structures of other versions --------------------------------------------------------------------------------------------------------- */

static void structures_grow(void **state)
{
    (void)state;
    struct pt_buf model = test_model("in x f32[2]\ny = Neg(x)\nout y\n");
    struct {
        struct pt_session_options o;
        char newer[16];
    } big = {.o = {.size = sizeof big, .thread_count = 1}};
    struct pt_err err = {0};
    struct pt_session *s;
    assert_int_equal(pt_session_open_memory(model.data, model.len, &big.o, &s, &err), PT_OK); /* newer, but nothing new is used */
    pt_session_close(s);
    big.newer[3] = 1;
    assert_int_equal(pt_session_open_memory(model.data, model.len, &big.o, &s, &err), PT_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "session options: byte "));
    assert_null(s);
    struct pt_session_options o = {.size = 8};
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "session options: size is 8"));
    o = (struct pt_session_options){.thread_count = 1, .disable = "what is behind the first version is not looked at"};
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_OK);
    pt_session_close(s);
    pt_buf_finish(&model);
}

static int steps_with(const char *text, const char *disable)
{
    struct opened m;
    struct pt_session_options o = {.size = sizeof o, .thread_count = 1, .disable = disable};
    float x[6] = {1, 2, 3, 4, 5, 6};
    open_model(&m, text, &o);
    set_input(&m, 0, &(struct pt_tensor){.dtype = PT_FLOAT, .rank = 2, .dims = {2, 3}, .data = x, .size_bytes = sizeof x});
    assert_int_equal(pt_run_execute(m.r, NULL), PT_OK);
    int steps = m.s->units[0].programs[0]->step_count;
    close_model(&m);
    return steps;
}

static void rewrites_left_out(void **state)
{
    (void)state;
    const char *text = "in x f32[2,3]\nconst w f32[3,2]:1,2,3,4,5,6\nconst one f32[]:1\na = Mul(x,one)\nb = MatMul(a,w)\ny = Relu(b)\nout y\n";
    assert_int_equal(steps_with(text, NULL), 1);
    assert_int_equal(steps_with(text, "fuse"), 2);
    assert_int_equal(steps_with(text, "identity,fuse"), 3);
    struct pt_buf model = test_model(text);
    struct pt_session_options o = {.size = sizeof o, .disable = "gelu,foo"};
    struct pt_err err = {0};
    struct pt_session *s;
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "option disable: there is no rewrite 'foo'; there are fold, "));
    pt_buf_finish(&model);
}

/* --- bound outputs ---------------------------------------------------------------------------------------------------------------------- */

static struct pt_tensor row(float *x, int64_t n)
{
    return (struct pt_tensor){.dtype = PT_FLOAT, .rank = 1, .dims = {n}, .data = x, .size_bytes = (size_t)n * sizeof *x};
}

static void binds_outputs(void **state)
{
    (void)state;
    struct opened m;
    float x[3] = {1, -2, 3}, y[3] = {0}, z[3] = {0}, w[3] = {0};
    struct pt_tensor in = row(x, 3), out[3] = {row(y, 3), row(z, 3), row(w, 3)};
    /* made by a step; the input itself; a constant */
    open_model(&m, "in x f32[-1]\nconst c f32[3]:7,8,9\ny = Abs(x)\nz = Identity(x)\nw = Identity(c)\nout y\nout z\nout w\n", NULL);
    set_input(&m, 0, &in);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pt_run_bind_output(m.r, i, &out[i], NULL), PT_OK);
    for (int again = 0; again < 2; again++) {
        x[1] = -2.0f - (float)again;
        assert_int_equal(pt_run_execute(m.r, NULL), PT_OK);
        assert_ptr_equal(pt_run_output(m.r, 0)->data, y);
        assert_true(y[0] == 1 && y[1] == 2.0f + (float)again && y[2] == 3);
        assert_true(z[1] == x[1] && w[0] == 7 && w[2] == 9);
    }
    assert_int_equal(pt_run_bind_output(m.r, 0, NULL, NULL), PT_OK);
    y[0] = -1;
    assert_int_equal(pt_run_execute(m.r, NULL), PT_OK);
    assert_true(y[0] == -1 && ((const float *)pt_run_output(m.r, 0)->data)[0] == 1);
    close_model(&m);
}

/* The last step writes into the caller's memory: there is no copy behind it. */
static void bound_without_copy(void **state)
{
    (void)state;
    struct opened m;
    float x[4] = {1, 2, 3, 4}, y[4] = {0};
    struct pt_tensor in = row(x, 4), out = row(y, 4);
    open_model(&m, "in x f32[4]\na = Exp(x)\nb = Neg(a)\ny = Abs(b)\nout y\n", NULL);
    set_input(&m, 0, &in);
    assert_int_equal(pt_run_bind_output(m.r, 0, &out, NULL), PT_OK);
    assert_int_equal(pt_run_execute(m.r, NULL), PT_OK);
    const struct pt_program *p = m.s->units[0].programs[0];
    int root = pt_program_output_root(p, m.s->graph.outputs[0]);
    assert_int_equal(p->slots[root].place, PT_PLACE_ARENA);
    assert_true(fabsf(y[3] - expf(4)) < 1e-3f);
    close_model(&m);
}

static void refuses_bindings(void **state)
{
    (void)state;
    struct opened m;
    float x[4] = {1, 2, 3, 4}, y[4];
    struct pt_tensor in = row(x, 3), out = row(y, 2), wrong = out;
    struct pt_err err = {0};
    open_model(&m, "in x f32[-1]\ny = Abs(x)\nz = Neg(x)\nout y\nout z\n", NULL);
    set_input(&m, 0, &in);
    assert_int_equal(pt_run_bind_output(m.r, 2, &out, &err), PT_EINVAL);
    assert_string_equal(err.msg, "output 2 does not exist: the model has 2");
    wrong.size_bytes = 4;
    assert_int_equal(pt_run_bind_output(m.r, 0, &wrong, &err), PT_EINVAL);
    assert_string_equal(err.msg, "buffer of output 'y' float32[2] needs 8 bytes, but 4 are given");
    assert_int_equal(pt_run_bind_output(m.r, 0, &out, &err), PT_OK);
    assert_int_equal(pt_run_execute(m.r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "output 'y' is float32[3], its buffer is float32[2]");
    assert_null(pt_run_output(m.r, 0));
    out = row(x + 1, 3);
    assert_int_equal(pt_run_bind_output(m.r, 0, &out, &err), PT_OK);
    assert_int_equal(pt_run_execute(m.r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "the buffer of output 'y' overlaps input 'x'");
    out = row(y, 3);
    assert_int_equal(pt_run_bind_output(m.r, 0, &out, &err), PT_OK);
    assert_int_equal(pt_run_bind_output(m.r, 1, &out, &err), PT_OK);
    assert_int_equal(pt_run_execute(m.r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "the buffers of outputs 'z' and 'y' overlap");
    close_model(&m);
}

/* Two outputs in one memory: a view and what it shows. */
static void bound_views(void **state)
{
    (void)state;
    struct opened m;
    float x[4] = {1, 2, 3, 4}, y[4] = {0};
    struct pt_tensor in = row(x, 4), out = row(y, 4);
    open_model(&m, "in x f32[4]\nconst s i64[2]:2,2\ny = Neg(x)\nz = Reshape(y,s)\nout y\nout z\n", NULL);
    set_input(&m, 0, &in);
    assert_int_equal(pt_run_bind_output(m.r, 0, &out, NULL), PT_OK);
    assert_int_equal(pt_run_execute(m.r, NULL), PT_OK);
    assert_true(y[0] == -1 && y[3] == -4);
    const struct pt_tensor *z = pt_run_output(m.r, 1);
    assert_true(z->data != y && ((const float *)z->data)[3] == -4); /* nobody lent memory for z */
    close_model(&m);
}

/* --- deadlines and profiles --------------------------------------------------------------------------------------------------------------- */

struct seen {
    int events, bodies;
    int64_t last_end;
    char ops[256];
};

static void see(void *arg, const struct pt_profile_event *e)
{
    struct seen *s = arg;
    size_t at = strlen(s->ops);
    s->events++;
    s->bodies += e->depth > 0;
    assert_true(e->end_ns >= e->start_ns);
    assert_true(e->output_count >= 1 && e->outputs[0]->rank >= 0);
    s->last_end = e->end_ns;
    snprintf(s->ops + at, sizeof s->ops - at, "%.*s ", (int)e->op_type.len, e->op_type.p);
}

static void profiles(void **state)
{
    (void)state;
    struct opened m;
    struct seen s = {0};
    float x[4] = {1, 2, 3, 4};
    struct pt_tensor in = row(x, 4);
    struct pt_run_options o = {.size = sizeof o, .profile = see, .profile_arg = &s};
    open_model(&m, "in x f32[4]\na = Exp(x)\nn = NonZero(a)\ny = Neg(a)\nout y\nout n\n", NULL);
    set_input(&m, 0, &in);
    assert_int_equal(pt_run_execute_with(m.r, &o, NULL), PT_OK);
    assert_int_equal(s.events, 3);
    assert_non_null(strstr(s.ops, "Exp "));
    assert_non_null(strstr(s.ops, "NonZero "));
    s = (struct seen){0};
    assert_int_equal(pt_run_execute(m.r, NULL), PT_OK);
    assert_int_equal(s.events, 0);
    close_model(&m);
}

static void sleep_past(void *arg, const struct pt_profile_event *e)
{
    (void)e;
    nanosleep(&(struct timespec){.tv_nsec = *(long *)arg}, NULL);
}

static void deadlines(void **state)
{
    (void)state;
    struct opened m;
    struct pt_err err = {0};
    float x[4] = {1, 2, 3, 4};
    struct pt_tensor in = row(x, 4);
    long ns = 5000000;
    struct pt_run_options o = {.size = sizeof o, .deadline_ms = 1, .profile = sleep_past, .profile_arg = &ns};
    open_model(&m, "in x f32[4]\na = Exp(x)\nb = Sin(a)\ny = Neg(b)\nout y\n", NULL);
    set_input(&m, 0, &in);
    assert_int_equal(pt_run_execute_with(m.r, &o, &err), PT_ETIMEDOUT);
    assert_string_equal(err.msg, "the run took longer than its deadline of 1 ms");
    assert_null(pt_run_output(m.r, 0));
    o.deadline_ms = UINT64_MAX;
    ns = 0;
    assert_int_equal(pt_run_execute_with(m.r, &o, &err), PT_OK);
    o = (struct pt_run_options){.size = 3};
    assert_int_equal(pt_run_execute_with(m.r, &o, &err), PT_EINVAL);
    close_model(&m);
}

/* --- operators of the program's ------------------------------------------------------------------------------------------------------------- */

/* y = factor * x, the first `keep` of them (all without). */
static int scale_infer(const struct pt_custom_call *c, struct pt_err *err)
{
    const struct pt_tensor *x = c->inputs[0], *keep = c->input_count > 1 ? c->inputs[1] : NULL;
    if (x->dtype != PT_FLOAT || x->rank != 1) {
        snprintf(err->msg, sizeof err->msg, "x must be a row of floats");
        return PT_EINVAL;
    }
    if (keep && !keep->data)
        return PT_CUSTOM_NEEDS_DATA;
    *c->outputs[0] = (struct pt_tensor){.dtype = PT_FLOAT, .rank = 1, .dims = {keep ? *(const int64_t *)keep->data : x->dims[0]}};
    return 0;
}

static int scale_run(const struct pt_custom_call *c, struct pt_err *err)
{
    (void)err;
    float factor = pt_custom_float(c, "factor", *(const float *)c->user);
    for (int64_t i = 0; i < c->outputs[0]->dims[0]; i++)
        ((float *)c->outputs[0]->data)[i] = factor * ((const float *)c->inputs[0]->data)[i];
    return 0;
}

static float three = 3;
static const struct pt_custom_op scale = {.size = sizeof scale, .domain = "com.foo", .name = "Scale", .since_version = 1, .min_inputs = 1, .max_inputs = 2,
                                          .max_outputs = 1, .infer = scale_infer, .run = scale_run, .user = &three};

static void own_operators(void **state)
{
    (void)state;
    struct pt_err err = {0};
    struct pt_custom_op bad = scale;
    assert_int_equal(pt_register_operator(&scale, &err), PT_OK);
    assert_int_equal(pt_register_operator(&scale, &err), PT_EEXIST);
    assert_string_equal(err.msg, "register operator com.foo::Scale: there is one since version 1 already");
    bad.since_version = 0;
    assert_int_equal(pt_register_operator(&bad, &err), PT_EINVAL);
    bad = scale;
    bad.run = NULL;
    assert_int_equal(pt_register_operator(&bad, &err), PT_EINVAL);
    bad = scale;
    bad.domain = "ai.onnx.ml";
    bad.name = "Scaler";
    assert_int_equal(pt_register_operator(&bad, &err), PT_EEXIST);
    test_run("in x f32[3]\na = Neg(x)\nb = com.foo::Scale(a)\ny = com.foo::Scale(b) factor=0.5\nout y\n", TEXTS("f32[3]:1,2,3"), TEXTS("f32[3]:-1.5,-3,-4.5"));
    test_run("const x f32[2]:1,2\ny = com.foo::Scale(x)\nout y\n", NULL, TEXTS("f32[2]:3,6")); /* folded */
    test_run("in x f32[3]\nin n i64[]\ny = com.foo::Scale(x,n)\nz = Neg(y)\nout z\n", TEXTS("f32[3]:1,2,3", "i64[]:2"), TEXTS("f32[2]:-3,-6"));
    test_fails("in x f32[3,1]\ny = com.foo::Scale(x)\nout y\n", TEXTS("f32[3,1]:1,2,3"), "node 'y' (com.foo::Scale): x must be a row of floats");
    test_fails("in x f32[3]\ny = com.foo::Scale(x,x,x)\nout y\n", NULL, "has 3 inputs, needs 1 to 2");
    test_fails("in x f32[3]\ny = com.foo::Other(x)\nout y\n", NULL, "not supported");
}

/* Too late in this process; a process of its own does it in time: allocator.c. */
static void allocator_in_time_only(void **state)
{
    (void)state;
    struct pt_err err = {0};
    struct pt_allocator a = {.size = sizeof a, .malloc = malloc, .realloc = realloc, .free = free};
    assert_int_equal(pt_set_allocator(&a, &err), PT_EINVAL);
    a.aligned_alloc = aligned_alloc;
    struct pt_buf b = test_model("in x f32[3]\ny = Neg(x)\nout y\n");
    assert_int_equal(pt_set_allocator(&a, &err), PT_EBUSY);
    pt_buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_itself),   cmocka_unit_test(structures_grow),  cmocka_unit_test(rewrites_left_out), cmocka_unit_test(binds_outputs),
        cmocka_unit_test(bound_without_copy), cmocka_unit_test(refuses_bindings), cmocka_unit_test(bound_views),       cmocka_unit_test(profiles),
        cmocka_unit_test(deadlines),          cmocka_unit_test(own_operators),    cmocka_unit_test(allocator_in_time_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
