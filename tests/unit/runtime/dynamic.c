/* SPDX-License-Identifier: Apache-2.0
 *
 * dynamic.c: shapes that depend on data, graphs inside nodes, functions, sequences and optionals: that programs are split and joined right, that what
 * has been seen costs no allocation, and that every failed allocation and every bad body is an error.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/exec/session.h"

#include <pthread.h>
#include <time.h>

/* --- split programs ------------------------------------------------------------------------------------------------------------------ */

static void splits(void **state)
{
    (void)state;
    /* what does not depend on the data is in the first program, also when it comes later in the file */
    test_run("in x f32[4]\nin s i64[2]\na = Relu(x)\nb = Reshape(a,s)\nc = Transpose(b)\nd = Exp(x)\ne = Reshape(d,s)\ny = MatMul(e,c)\nout y\nout d\n",
             TEXTS("f32[4]:0,1,2,3", "i64[2]:2,2"), TEXTS("f32[2,2]:2.7182817,10.154845,20.085537,75.034649", "f32[4]:1,2.7182817,7.3890561,20.085537"));
    /* twice split; a value made before the first split is read after the second */
    test_run("in x f32[4]\nin m b[4]\nn = Abs(x)\na = NonZero(m)\nb = Transpose(a)\nc = GatherND(n,b)\nk = Size(c)\nconst one i64[1]:1\nk1 = Reshape(k,one)\n"
             "const v f32[1]:7\nd = Expand(v,k1)\ny = Add(c,d)\nz = ReduceSum(n)\nout y\nout z\n",
             TEXTS("f32[4]:-1,2,-3,4", "b[4]:1,0,1,1"), TEXTS("f32[3]:8,10,11", "f32[1]:10"));
    /* no rows at all; an output that is an input looked at with other dims */
    test_run("in m b[3]\na = NonZero(m)\nb = Transpose(a)\nout b\n", TEXTS("b[3]:0,0,0"), TEXTS("i64[0,1]:"));
    test_run("in x f32[4]\nin s i64[2]\ny = Reshape(x,s)\nout y\nout x\n", TEXTS("f32[4]:1,2,3,4", "i64[2]:2,2"), TEXTS("f32[2,2]:1,2,3,4", "f32[4]:1,2,3,4"));
    test_fails("in x f32[4]\nin s i64[2]\na = Reshape(x,s)\nb = Exp(a)\nout b\n", TEXTS("f32[4]:1,2,3,4", "i64[2]:3,2"), "node 'a' (Reshape): float32[4] cannot become float32[3,2]");
    test_fails("in x f32[4]\nin s i64[2]\nin z f32[3]\na = Reshape(x,s)\nb = Add(a,z)\nout b\n", TEXTS("f32[4]:1,2,3,4", "i64[2]:2,2", "f32[3]:1,2,3"), "node 'b' (Add)");
}

static struct pt_session *open_text(const char *text, struct pt_buf *bytes, const struct pt_session_options *o)
{
    struct pt_session *s;
    struct pt_err err = {0};
    *bytes = test_model(text);
    if (pt_session_open_memory(bytes->data, bytes->len, o, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

#define PICK "in x f32[4]\nin m b[4]\na = NonZero(m)\nb = Transpose(a)\nc = GatherND(x,b)\nd = Exp(c)\ny = Mul(d,d)\nout y\n"

/* Other values of the same shapes compile and allocate nothing; the number of programs kept is bounded. */
static void keeps_programs(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 1, .max_programs = 2};
    struct pt_session *s = open_text(PICK, &bytes, &o);
    struct pt_run *r;
    struct pt_err err = {0};
    float x[4] = {0, 1, 2, 3};
    uint8_t m[4] = {0};
    struct pt_tensor in[2] = {{.dtype = PT_FLOAT, .rank = 1, .dims = {4}, .data = x, .size_bytes = sizeof x},
                              {.dtype = PT_BOOL, .rank = 1, .dims = {4}, .data = m, .size_bytes = sizeof m}};
    uint64_t before = 0;
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 4; k++)
            m[k] = k == i % 4 || (i % 2 && k == (i + 1) % 4); /* one of the four, or two */
        if (i == 4)
            before = pt_mem_count();
        for (size_t k = 0; k < 2; k++)
            assert_int_equal(pt_run_set_input(r, k, &in[k], &err), PT_OK);
        assert_int_equal(pt_run_execute(r, &err), PT_OK);
        assert_int_equal(pt_run_output(r, 0)->dims[0], i % 2 ? 2 : 1);
        assert_float_equal(((float *)pt_run_output(r, 0)->data)[0], expf(2 * x[i % 2 && i % 4 == 3 ? 0 : i % 4]), 1e-3);
    }
    assert_int_equal(pt_mem_count(), before);
    memset(m, 1, sizeof m);
    assert_int_equal(pt_run_execute(r, &err), PT_OK); /* a third shape */
    memset(m, 0, sizeof m);
    assert_int_equal(pt_run_execute(r, &err), PT_OK); /* and none */
    assert_int_equal(pt_run_output(r, 0)->dims[0], 0);
    assert_true(s->units[0].count <= 3);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

/* Many threads, one session, more shapes behind the split than programs are kept. */
struct worker {
    struct pt_session *s;
    int failures;
    unsigned seed;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pt_run *r;
    float x[4] = {0, 1, 2, 3};
    uint8_t m[4] = {0};
    struct pt_tensor in[2] = {{.dtype = PT_FLOAT, .rank = 1, .dims = {4}, .data = x, .size_bytes = sizeof x},
                              {.dtype = PT_BOOL, .rank = 1, .dims = {4}, .data = m, .size_bytes = sizeof m}};
    if (pt_run_create(w->s, &r, NULL) < 0)
        return NULL;
    for (size_t k = 0; k < 2; k++)
        w->failures += pt_run_set_input(r, k, &in[k], NULL) < 0;
    for (int i = 0; i < 200; i++) {
        int count = 0, first = -1;
        for (int k = 0; k < 4; k++) {
            m[k] = (uint8_t)(rand_r(&w->seed) % 2);
            count += m[k];
            first = first < 0 && m[k] ? k : first;
        }
        if (pt_run_execute(r, NULL) < 0 || pt_run_output(r, 0)->dims[0] != count ||
            (count && fabsf(*(float *)pt_run_output(r, 0)->data - expf(2 * x[first])) > 1e-3f * expf(2 * x[first])))
            w->failures++;
    }
    pt_run_destroy(r);
    return NULL;
}

static void shares(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 2, .max_programs = 2};
    struct pt_session *s = open_text(PICK, &bytes, &o);
    struct worker w[4];
    pthread_t threads[4];
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

/* Memory that was needed once is given back when it has not been for long. */
static void gives_memory_back(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s = open_text("in x f32[1]\nin n i64[1]\na = Expand(x,n)\nb = Exp(a)\ny = ReduceSum(b)\nout y\n", &bytes, &o);
    struct pt_run *r;
    struct pt_err err = {0};
    float x = 0;
    int64_t n = 1 << 20;
    struct pt_tensor in[2] = {{.dtype = PT_FLOAT, .rank = 1, .dims = {1}, .data = &x, .size_bytes = 4},
                              {.dtype = PT_INT64, .rank = 1, .dims = {1}, .data = &n, .size_bytes = 8}};
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    for (size_t k = 0; k < 2; k++)
        assert_int_equal(pt_run_set_input(r, k, &in[k], &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_OK);
    assert_true(pt_run_memory(r) >= 4 << 20);
    n = 10;
    for (int i = 0; i < 200; i++)
        assert_int_equal(pt_run_execute(r, &err), PT_OK);
    assert_float_equal(*(float *)pt_run_output(r, 0)->data, 10, 0);
    assert_true(pt_run_memory(r) < 1 << 20);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

/* --- control flow -------------------------------------------------------------------------------------------------------------------- */

#define IF_HEAD "graph t\nk = Mul(x,two)\nout k\nend\ngraph e\nk = Reshape(x,flat)\nout k\nend\nconst two f32[]:2\nconst flat i64[1]:-1\n"

static void ifs(void **state)
{
    (void)state;
    const char *chosen = IF_HEAD "in x f32[2,2]\nin c b[]\na = If(c) then_branch=@t else_branch=@e\ny = Abs(a)\nout y\nout a\n";
    test_run(chosen, TEXTS("f32[2,2]:1,-2,3,4", "b[]:1"), TEXTS("f32[2,2]:2,4,6,8", "f32[2,2]:2,-4,6,8"));
    test_run(chosen, TEXTS("f32[2,2]:1,-2,3,4", "b[]:0"), TEXTS("f32[4]:1,2,3,4", "f32[4]:1,-2,3,4"));
    /* a condition that is known is no condition: nothing is split */
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s = open_text(IF_HEAD "in x f32[2,2]\nconst c b[]:1\na = If(c) then_branch=@t else_branch=@e\ny = Abs(a)\nout y\n", &bytes, &o);
    for (int i = 0; i < s->graph.node_count; i++)
        assert_false(!s->graph.nodes[i].dead && pt_str_eq(s->graph.nodes[i].op_type, PT_STR("If")));
    pt_session_close(s);
    pt_buf_finish(&bytes);
    test_run(IF_HEAD "in x f32[2,2]\nconst c b[]:1\na = If(c) then_branch=@t else_branch=@e\ny = Abs(a)\nout y\n", TEXTS("f32[2,2]:1,-2,3,4"), TEXTS("f32[2,2]:2,4,6,8"));
    test_run(IF_HEAD "in x f32[2,2]\nconst c b[]:0\na = If(c) then_branch=@t else_branch=@e\nout a\n", TEXTS("f32[2,2]:1,-2,3,4"), TEXTS("f32[4]:1,-2,3,4"));
    /* a branch that hands a capture, a constant and one value twice through */
    test_run("graph t\nconst k f32[1]:5\nout x\nout k\nout k\nend\ngraph e\na = Neg(x)\nb = Abs(x)\nout a\nout b\nout b\nend\nin x f32[1]\nin c b[]\n"
             "p,q,r = If(c) then_branch=@t else_branch=@e\nout p\nout q\nout r\n",
             TEXTS("f32[1]:-3", "b[]:1"), TEXTS("f32[1]:-3", "f32[1]:5", "f32[1]:5"));
    /* nested: the inner branch reads values of both graphs around it */
    test_run("graph tt\nz = Add(k,x)\nout z\nend\ngraph te\nz = Sub(k,x)\nout z\nend\ngraph t\nk = Mul(x,x)\nw = If(d) then_branch=@tt else_branch=@te\nout w\nend\n"
             "graph e\nw = Identity(x)\nout w\nend\nin x f32[2]\nin c b[]\nin d b[]\ny = If(c) then_branch=@t else_branch=@e\nout y\n",
             TEXTS("f32[2]:2,3", "b[]:1", "b[]:0"), TEXTS("f32[2]:2,6"));
    test_fails("in c b[]\ny = If(c)\nout y\n", NULL, "attribute 'then_branch' is missing");
    test_fails("graph t\nconst k f32[1]:5\nout k\nend\nin c b[]\ny,z = If(c) then_branch=@t else_branch=@t\nout y\n", NULL, "then_branch has 1 outputs, the node 2");
    test_fails("graph t\nin q f32[1]\nout q\nend\nin c b[]\ny = If(c) then_branch=@t else_branch=@t\nout y\n", NULL, "then_branch has 1 inputs, a branch has none");
    test_fails("graph t\nk = Add(nothing,nothing)\nout k\nend\nin c b[]\ny = If(c) then_branch=@t else_branch=@t\nout y\n", NULL, "'nothing' is produced by nothing");
    test_fails(IF_HEAD "in x f32[2,2]\nin c b[2]\na = If(c) then_branch=@t else_branch=@e\nout a\n", TEXTS("f32[2,2]:1,2,3,4", "b[2]:1,1"), "the condition is bool[2], must be one bool");
}

/* Doubles x and stacks it, as long as it is below a limit. */
#define LOOP "graph body\nin i i64[]\nin go b[]\nin v f32[-1]\nw = Add(v,v)\nm = ReduceMax(w) keepdims=0\nnext = Less(m,limit)\nout next b[]\nout w f32[-1]\nout w f32[2]\nend\n" \
    "const limit f32[]:10\nin x f32[2]\nin n i64[]\n"

static void loops(void **state)
{
    (void)state;
    test_run(LOOP "const yes b[]:1\ny,z = Loop(n,yes,x) body=@body\nout y\nout z\n", TEXTS("f32[2]:1,2", "i64[]:2"), TEXTS("f32[2]:4,8", "f32[2,2]:2,4,4,8"));
    test_run(LOOP "y,z = Loop(n,,x) body=@body\nout y\nout z\n", TEXTS("f32[2]:1,2", "i64[]:100"), TEXTS("f32[2]:8,16", "f32[3,2]:2,4,4,8,8,16"));
    test_run(LOOP "const yes b[]:1\ny,z = Loop(,yes,x) body=@body\nout y\nout z\n", TEXTS("f32[2]:1,3", "i64[]:0"), TEXTS("f32[2]:4,12", "f32[2,2]:2,6,4,12"));
    test_run(LOOP "y,z = Loop(n,,x) body=@body\nout y\nout z\n", TEXTS("f32[2]:1,2", "i64[]:0"), TEXTS("f32[2]:1,2", "f32[0,2]:"));
    test_run(LOOP "const no b[]:0\ny,z = Loop(n,no,x) body=@body\nq = Neg(y)\nout q\n", TEXTS("f32[2]:1,2", "i64[]:5"), TEXTS("f32[2]:-1,-2"));
    /* states that change places, and one that grows */
    test_run("graph body\nin i i64[]\nin go b[]\nin a f32[1]\nin b f32[1]\nin c f32[-1]\nd = Concat(c,a) axis=0\nout go\nout b\nout a\nout d\nend\n"
             "in p f32[1]\nin q f32[1]\nin e f32[0]\nconst n i64[]:3\nx,y,z = Loop(n,,p,q,e) body=@body\nout x\nout y\nout z\n",
             TEXTS("f32[1]:1", "f32[1]:2", "f32[0]:"), TEXTS("f32[1]:2", "f32[1]:1", "f32[3]:1,2,1"));
    /* a loop in a loop, reading the outer iteration */
    test_run("graph in\nin j i64[]\nin g2 b[]\nin s i64[]\nt = Add(s,i)\nout g2\nout t\nend\ngraph body\nin i i64[]\nin go b[]\nin a i64[]\nb = Loop(n,,a) body=@in\nout go\nout b\nend\n"
             "in n i64[]\nconst z i64[]:0\ny = Loop(n,,z) body=@body\nout y\n",
             TEXTS("i64[]:4"), TEXTS("i64[]:24"));
    test_fails("in n i64[]\ny = Loop(n) \nout y\n", NULL, "attribute 'body' is missing");
    test_fails(LOOP "y,z = Loop(n,,x,x) body=@body\nout y\n", NULL, "the body has 3 inputs, must have those for the iteration, the condition and 2 states");
    test_fails(LOOP "y,z,q = Loop(n,,x) body=@body\nout y\n", NULL, "the body has 3 outputs");
    test_fails("graph body\nin i i64[]\nin go b[]\nin v f32[-1]\nw = Concat(v,v) axis=0\nout go\nout w\nout w\nend\nin x f32[1]\nconst n i64[]:3\ny,z = Loop(n,,x) body=@body\nout z\n",
               TEXTS("f32[1]:1"), "node 'y' (Loop): an output that is stacked is float32[4], earlier iterations made float32[1,2]");
}

static void scans(void **state)
{
    (void)state;
#define SUM "graph body\nin s f32[2]\nin v f32[2]\nt = Add(s,v)\nu = Identity(t)\nout t\nout u\nend\nin s f32[2]\n"
    test_run(SUM "in x f32[3,2]\ny,z = Scan(s,x) body=@body num_scan_inputs=1\nout y\nout z\n", TEXTS("f32[2]:0,0", "f32[3,2]:1,2,3,4,5,6"),
             TEXTS("f32[2]:9,12", "f32[3,2]:1,2,4,6,9,12"));
    test_run(SUM "in x f32[3,2]\ny,z = Scan(s,x) body=@body num_scan_inputs=1 scan_input_directions=[1] scan_output_directions=[1]\nout y\nout z\n",
             TEXTS("f32[2]:0,0", "f32[3,2]:1,2,3,4,5,6"), TEXTS("f32[2]:9,12", "f32[3,2]:9,12,8,10,5,6"));
    test_run(SUM "in x f32[2,3]\ny,z = Scan(s,x) body=@body num_scan_inputs=1 scan_input_axes=[-1] scan_output_axes=[1]\nout y\nout z\n",
             TEXTS("f32[2]:0,0", "f32[2,3]:1,3,5,2,4,6"), TEXTS("f32[2]:9,12", "f32[2,3]:1,4,9,2,6,12"));
    test_run("opset 8\n" SUM "in l i64[2]\nin b f32[2,2]\nin x f32[2,2,2]\ny,z = Scan(l,b,x) body=@body num_scan_inputs=1\nout y\nout z\n",
             TEXTS("f32[2]:0,0", "i64[2]:2,1", "f32[2,2]:0,0,10,10", "f32[2,2,2]:1,2,3,4,5,6,7,8"), TEXTS("f32[2,2]:4,6,15,16", "f32[2,2,2]:1,2,4,6,15,16,0,0"));
    test_fails(SUM "in x f32[3,2]\ny,z = Scan(s,x) body=@body\nout y\n", NULL, "attribute 'num_scan_inputs' = 0 is missing or outside 1 to 2");
    test_fails(SUM "in x f32[3,2]\ny,z = Scan(s,x) body=@body num_scan_inputs=1 scan_input_axes=[2]\nout y\n", TEXTS("f32[2]:0,0", "f32[3,2]:1,2,3,4,5,6"),
               "axis 2 is outside -2 to 1");
}

static void *cancel_soon(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    pt_run_cancel(arg);
    return NULL;
}

/* A loop without end ends when it is told to. */
static void cancels_loops(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s = open_text("graph body\nin i i64[]\nin go b[]\nin v f32[1]\nw = Neg(v)\nout go\nout w\nend\nin x f32[1]\ny = Loop(,,x) body=@body\nout y\n", &bytes, &o);
    struct pt_run *r;
    struct pt_err err = {0};
    pthread_t t;
    float x = 1;
    struct pt_tensor in = {.dtype = PT_FLOAT, .rank = 1, .dims = {1}, .data = &x, .size_bytes = 4};
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    assert_int_equal(pt_run_set_input(r, 0, &in, &err), PT_OK);
    assert_int_equal(pthread_create(&t, NULL, cancel_soon, r), 0);
    assert_int_equal(pt_run_execute(r, &err), PT_ECANCELED);
    pthread_join(t, NULL);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

/* --- functions ----------------------------------------------------------------------------------------------------------------------- */

static void functions(void **state)
{
    (void)state;
    test_run("function Twice(a) -> b\nb = Add(a,a)\nend\nfunction Four(a) -> c\nb = com.foo::Twice(a)\nc = com.foo::Twice(b)\nend\nin x f32[2]\nb = com.foo::Four(x)\ny = com.foo::Twice(b)\nout y\n",
             TEXTS("f32[2]:1,2"), TEXTS("f32[2]:8,16"));
    /* attributes of the call; an input that is not given; an output that is an input; an output nobody wants */
    test_run("function F(a, b) -> p, q, r\np = Elu(a) alpha=$slope:1\nq = Identity(a)\nc = Neg(a)\nr = Clip(c,b)\nend\nin x f32[2]\np,,r = com.foo::F(x) slope=2.0\nout p\nout r\n",
             TEXTS("f32[2]:-1,1"), TEXTS("f32[2]:-1.2642411,1", "f32[2]:1,-1"));
    test_run("function F(a) -> a, b\nb = Neg(a)\nend\nin x f32[2]\np,q = com.foo::F(x)\nout p\nout q\n", TEXTS("f32[2]:-1,1"), TEXTS("f32[2]:-1,1", "f32[2]:1,-1"));
    /* a reference that the call does not answer leaves the operator's default */
    test_run("function F(a) -> p\np = Elu(a) alpha=$slope:1\nend\nin x f32[1]\np = com.foo::F(x)\nout p\n", TEXTS("f32[1]:-1"), TEXTS("f32[1]:-0.63212055"));
    /* a branch inside a function reads the function's values; a function inside a branch */
    test_run("graph t\nq = com.foo::Twice(n)\nout q\nend\ngraph e\nq = Abs(n)\nout q\nend\nfunction Pick(a, c) -> p\nn = Neg(a)\np = If(c) then_branch=@t else_branch=@e\nend\n"
             "function Twice(a) -> b\nb = Add(a,a)\nend\nin x f32[1]\nin c b[]\ny = com.foo::Pick(x,c)\nout y\n",
             TEXTS("f32[1]:3", "b[]:1"), TEXTS("f32[1]:-6"));
}

static void function_mistakes(void **state)
{
    (void)state;
    test_fails("function F(a) -> b\nb = com.foo::G(a)\nend\nfunction G(a) -> b\nb = com.foo::F(a)\nend\nin x f32[1]\ny = com.foo::F(x)\nout y\n", NULL, "function 'F' calls itself");
    test_fails("function F(a) -> b\nc = Neg(a)\nend\nin x f32[1]\ny = com.foo::F(x)\nout y\n", NULL, "output 'b' of the function is produced by nothing");
    test_fails("function F(a) -> b\nb = Neg(a)\nend\nin x f32[1]\ny = com.foo::F(x,x)\nout y\n", NULL, "has 2 inputs and 1 outputs, the function has 1 and 1");
    test_fails("function F(a) -> b\nb = Neg(x)\nend\nin x f32[1]\ny = com.foo::F(x)\nout y\n", NULL, "input 0 'x' is produced by nothing");
    test_fails("in x f32[1]\ny = Elu(x) alpha=$slope:1\nout y\n", NULL, "refers to an attribute of a function, but is in none");
    /* doubling forty times: refused long before it is done */
    char text[4096];
    size_t n = 0;
    for (int i = 0; i < 40; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "function F%d(a) -> c\nb = com.foo::F%d(a)\nc = com.foo::F%d(b)\nend\n", i, i + 1, i + 1);
    snprintf(text + n, sizeof text - n, "function F40(a) -> b\nb = Neg(a)\nend\nin x f32[1]\ny = com.foo::F0(x)\nout y\n");
    test_fails(text, NULL, "the graph needs more than");
    /* the same with a body in each */
    n = (size_t)snprintf(text, sizeof text, "graph t\nz = Neg(a)\nout z\nend\n");
    for (int i = 0; i < 20; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "function F%d(a, k) -> c\nb = com.foo::F%d(a,k)\nd = com.foo::F%d(b,k)\nc = If(k) then_branch=@t else_branch=@t\nend\n", i,
                              i + 1, i + 1);
    snprintf(text + n, sizeof text - n, "function F20(a, k) -> b\nb = Neg(a)\nend\nin x f32[1]\nin k b[]\ny = com.foo::F0(x,k)\nout y\n");
    test_fails(text, NULL, "more than");
}

/* --- sequences and optionals --------------------------------------------------------------------------------------------------------- */

static void sequences(void **state)
{
    (void)state;
    test_run("in x f32[2]\nin i i64[]\ns = SequenceConstruct(x,x)\na = Neg(x)\nt = SequenceInsert(s,a,i)\nn = SequenceLength(t)\nconst z i64[]:-1\nu = SequenceErase(t,z)\n"
             "y = SequenceAt(u,z)\nc = ConcatFromSequence(t) axis=0 new_axis=1\nd = Exp(c)\nout n\nout y\nout c\nout d\n",
             TEXTS("f32[2]:0,1", "i64[]:1"), TEXTS("i64[]:3", "f32[2]:-0,-1", "f32[3,2]:0,1,0,-1,0,1", "f32[3,2]:1,2.7182817,1,0.36787944,1,2.7182817"));
    test_run("in x f32[5,2]\nconst two i64[]:2\ns = SplitToSequence(x,two) axis=0\nconst l i64[]:2\ny = SequenceAt(s,l)\nn = SequenceLength(s)\ne = SequenceEmpty() dtype=7\n"
             "m = SequenceLength(e)\nout y\nout n\nout m\n",
             TEXTS("f32[5,2]:1,2,3,4,5,6,7,8,9,10"), TEXTS("f32[1,2]:9,10", "i64[]:3", "i64[]:0"));
    /* two sequences grown from one do not see each other */
    test_run("in x f32[1]\ns = SequenceConstruct(x)\na = Neg(x)\nb = Exp(x)\np = SequenceInsert(s,a)\nq = SequenceInsert(s,b)\nconst l i64[]:-1\ny = SequenceAt(p,l)\nz = SequenceAt(q,l)\n"
             "n = SequenceLength(s)\nout y\nout z\nout n\n",
             TEXTS("f32[1]:1"), TEXTS("f32[1]:-1", "f32[1]:2.7182817", "i64[]:1"));
    /* a loop that collects; its sequence comes from constants, which every run shares */
    test_run("graph body\nin i i64[]\nin go b[]\nin s seq:i64[]\nt = SequenceInsert(s,i)\nout go\nout t\nend\nin n i64[]\nconst one i64[]:100\ne = SequenceConstruct(one)\n"
             "s = Loop(n,,e) body=@body\ny = ConcatFromSequence(s) axis=0 new_axis=1\nout y\n",
             TEXTS("i64[]:9"), TEXTS("i64[10]:100,0,1,2,3,4,5,6,7,8"));
    test_run("graph body\nin v f32[-1]\nw = Neg(v)\nk = Size(v)\nout w\nout k\nend\nin x f32[3]\nconst l i64[2]:1,2\ns = SplitToSequence(x,l)\np,q = SequenceMap(s) body=@body\n"
             "y = ConcatFromSequence(p) axis=0\nz = ConcatFromSequence(q) axis=0 new_axis=1\nout y\nout z\n",
             TEXTS("f32[3]:1,2,3"), TEXTS("f32[3]:-1,-2,-3", "i64[2]:1,2"));
    test_run("in x s[2]\ns = SequenceConstruct(x,x)\ny = ConcatFromSequence(s) axis=0\nout y\n", TEXTS("s[2]:a,b"), TEXTS("s[4]:a,b,a,b"));
    test_fails("in x f32[1]\nin i i64[]\ns = SequenceConstruct(x)\ny = SequenceAt(s,i)\nout y\n", TEXTS("f32[1]:1", "i64[]:1"), "node 'y' (SequenceAt): position 1 is outside -1 to 0");
    test_fails("in x f32[1]\nin i i64[]\ns = SequenceConstruct(x,i)\nout s\n", TEXTS("f32[1]:1", "i64[]:1"), "input 1 has type int64, but an earlier one has float32");
    test_fails("in x f32[1]\ne = SequenceEmpty()\ny = SequenceErase(e)\nout y\n", TEXTS("f32[1]:1"), "outside");
}

static void optionals(void **state)
{
    (void)state;
    test_run("in x f32[2]\no = Optional(x)\nh = OptionalHasElement(o)\ng = OptionalGetElement(o)\ny = Neg(g)\nout h\nout y\n", TEXTS("f32[2]:1,2"), TEXTS("b[]:1", "f32[2]:-1,-2"));
    test_run("opset 18\nin x f32[2]\nh = OptionalHasElement(x)\ng = OptionalGetElement(x)\nn = OptionalHasElement()\nout h\nout g\nout n\n", TEXTS("f32[2]:1,2"),
             TEXTS("b[]:1", "f32[2]:1,2", "b[]:0"));
    test_fails("o = Optional()\nout o\n", NULL, "neither an input nor attribute 'type' says what it would hold");
}

/* What iterations leave behind is swept: a thousand times 128 KiB would not fit into the 64 MiB that test_run gives. */
static void sweeps_loops(void **state)
{
    (void)state;
    test_run("graph body\nin i i64[]\nin go b[]\nin s seq:f32[]\nin t s[1]\nbig = Expand(one,size)\nw = SequenceInsert(s,big)\nfirst = SequenceErase(w,zero)\nu = StringConcat(t,t)\n"
             "k = SequenceAt(first,zero)\nm = ReduceMax(k) keepdims=0\nout go\nout first\nout t\nout m\nout u\nend\nopset 20\nconst one f32[1]:1\nconst size i64[1]:32768\n"
             "const zero i64[]:0\nin n i64[]\nin t s[1]\ne = SequenceEmpty()\nb = SequenceInsert(e,one)\nc = SequenceInsert(b,one)\np,q,r,v = Loop(n,,c,t) body=@body\n"
             "l = SequenceLength(p)\nx = SequenceAt(p,zero)\ny = ReduceSum(x)\nsum = ReduceSum(r)\nd = Shape(v)\nout l\nout y\nout sum\nout d\nout q\n",
             TEXTS("i64[]:1000", "s[1]:ab"), TEXTS("i64[]:2", "f32[1]:32768", "f32[1]:1000", "i64[2]:1000,1", "s[1]:ab"));
}

/* What a caller lends for one execution may not be in what it gets. */
static void lends_sequences(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s = open_text("in s seq:f32[-1]\nin x f32[1]\nt = SequenceInsert(s,x)\nout t\nout s\n", &bytes, &o);
    assert_int_equal(pt_session_input(s, 0)->dtype, PT_SEQUENCE);
    assert_int_equal(pt_session_input(s, 0)->elem->dtype, PT_FLOAT);
    struct pt_run *r;
    struct pt_err err = {0};
    float v[3] = {1, 2, 3}, x = 4;
    struct pt_tensor items[2] = {{.dtype = PT_FLOAT, .rank = 1, .dims = {1}, .data = v, .size_bytes = 4},
                                 {.dtype = PT_FLOAT, .rank = 1, .dims = {2}, .data = v + 1, .size_bytes = 8}};
    struct pt_sequence seq = {.count = 2, .items = items, .elem = PT_FLOAT};
    struct pt_tensor in = {.dtype = PT_SEQUENCE, .data = &seq, .size_bytes = sizeof seq},
                     tx = {.dtype = PT_FLOAT, .rank = 1, .dims = {1}, .data = &x, .size_bytes = 4};
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    assert_int_equal(pt_run_set_input(r, 0, &tx, &err), PT_EINVAL);
    assert_string_equal(err.msg, "input 's' is float32, the model takes sequence");
    assert_int_equal(pt_run_set_input(r, 0, &in, &err), PT_OK);
    assert_int_equal(pt_run_set_input(r, 1, &tx, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_OK);
    memset(v, 0, sizeof v);
    memset(items, 0, sizeof items);
    const struct pt_sequence *t = pt_run_output(r, 0)->data, *u = pt_run_output(r, 1)->data;
    assert_int_equal(t->count, 3);
    assert_int_equal(u->count, 2);
    assert_float_equal(((float *)t->items[1].data)[1], 3, 0);
    assert_float_equal(*(float *)t->items[2].data, 4, 0);
    assert_float_equal(*(float *)u->items[0].data, 1, 0);
    items[0] = (struct pt_tensor){.dtype = PT_INT64, .rank = 1, .dims = {1}, .data = v, .size_bytes = 8};
    assert_int_equal(pt_run_set_input(r, 0, &in, &err), PT_EINVAL);
    assert_string_equal(err.msg, "item 0: input 's' is int64, the model takes float32");
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&bytes);
}

/* --- sparse initializers ------------------------------------------------------------------------------------------------------------- */

static void sparse(void **state)
{
    (void)state;
    test_run("in x f32[2,3]\nsparse w 2,3 f32[2]:5,6 i64[2]:1,4\ny = Add(x,w)\nout y\n", TEXTS("f32[2,3]:1,1,1,1,1,1"), TEXTS("f32[2,3]:1,6,1,1,7,1"));
    test_run("in x f32[2,3]\nsparse w 2,3 f32[2]:5,6 i64[2,2]:0,1,1,2\ny = Add(x,w)\nout y\n", TEXTS("f32[2,3]:1,1,1,1,1,1"), TEXTS("f32[2,3]:1,6,1,1,1,7"));
    test_fails("sparse w 2,3 f32[2]:5,6 i64[2]:1,6\ny = Neg(w)\nout y\n", NULL, "tensor 'w': index 1 of a sparse tensor is outside float32[2,3]");
    test_fails("sparse w 2,3 f32[2]:5,6 i64[2]:4,1\ny = Neg(w)\nout y\n", NULL, "index 1 of a sparse tensor is outside float32[2,3] or not above");
    test_fails("sparse w 1000000000,100000000 f32[1]:5 i64[1]:0\ny = Neg(w)\nout y\n", NULL, "tensor 'w'");
}

/* --- failing allocations ---------------------------------------------------------------------------------------------------------------- */

static int open_and_run(const struct pt_buf *bytes, struct pt_err *err)
{
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s;
    struct pt_run *r = NULL;
    float x[4] = {1, 2, 3, 4};
    int64_t n = 3;
    struct pt_tensor in[2] = {{.dtype = PT_FLOAT, .rank = 1, .dims = {4}, .data = x, .size_bytes = sizeof x}, {.dtype = PT_INT64, .data = &n, .size_bytes = 8}};
    int rc = pt_session_open_memory(bytes->data, bytes->len, &o, &s, err);
    if (rc == PT_OK && (rc = pt_run_create(s, &r, err)) == PT_OK && (rc = pt_run_set_input(r, 0, &in[0], err)) == PT_OK && (rc = pt_run_set_input(r, 1, &in[1], err)) == PT_OK)
        rc = pt_run_execute(r, err);
    pt_run_destroy(r);
    pt_session_close(s);
    return rc;
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model(
        "function Twice(a) -> b\nb = Add(a,a)\nend\ngraph t\nk = Neg(x)\nout k\nend\ngraph e\nk = Abs(x)\nout k\nend\n"
        "graph body\nin i i64[]\nin go b[]\nin s seq:f32[]\nin v f32[-1]\nw = com.foo::Twice(v)\nsh = Shape(v)\nsq = SequenceInsert(s,w)\nvx = Slice(w,one,sh)\nout go\nout sq\nout vx\nout i\nend\n"
        "const one i64[1]:1\nin x f32[4]\nin n i64[]\nconst lim i64[]:2\nc = Less(n,lim)\np = If(c) then_branch=@t else_branch=@e\nq = Exp(p)\ne = SequenceEmpty()\n"
        "s,v,z = Loop(n,,e,q) body=@body\nconst f i64[]:0\na = SequenceAt(s,f)\nsp = SplitToSequence(a)\nd = ConcatFromSequence(sp) axis=0\nm = Greater(d,q)\nnz = NonZero(m)\n"
        "nf = Cast(nz) to=1\ny = Neg(nf)\nopt = Optional(y)\ng = OptionalGetElement(opt)\nout g\nout v\nout z\nout s\n");
    struct pt_err err = {0};
    if (open_and_run(&bytes, &err) < 0)
        fail_msg("%s", err.msg);
    uint64_t before = pt_mem_count();
    assert_int_equal(open_and_run(&bytes, &err), PT_OK);
    int64_t total = (int64_t)(pt_mem_count() - before);
    assert_true(total > 100);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits),          cmocka_unit_test(keeps_programs), cmocka_unit_test(gives_memory_back), cmocka_unit_test(shares),
        cmocka_unit_test(ifs),             cmocka_unit_test(loops),          cmocka_unit_test(scans),
        cmocka_unit_test(cancels_loops),   cmocka_unit_test(functions),      cmocka_unit_test(function_mistakes),
        cmocka_unit_test(sequences),       cmocka_unit_test(optionals),      cmocka_unit_test(lends_sequences),
        cmocka_unit_test(sweeps_loops),
        cmocka_unit_test(sparse),          cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
