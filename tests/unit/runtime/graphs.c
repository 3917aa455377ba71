/* SPDX-License-Identifier: Apache-2.0
 *
 * graphs.c: what happens between nodes: rewrites and merged steps give what the separate nodes give, memory is shared only where it may be,
 * and the shapes that exporters compute are known before the run.
 */
#include "tests/unit/runtime/model.h"

#include "base/rand.h"
#include "runtime/exec/session.h"

/* The optimised session against the reference on random data. dims: of each float input in turn. Returns how many steps are left. */
static int check_same(const char *text, const char *const *types)
{
    struct pt_buf model = test_model(text);
    struct pt_tensor in[8] = {0};
    struct pt_session *s[2];
    struct pt_run *r[2];
    struct pt_rand rand;
    int n = 0, steps;
    pt_rand_init(&rand, 7);
    for (; types[n]; n++) {
        char *filled = NULL;
        size_t size;
        FILE *f = open_memstream(&filled, &size);
        fprintf(f, "%s:", types[n]);
        for (int i = 0; i < 4096; i++)
            fprintf(f, "%.3f,", pt_rand_normal(&rand));
        fclose(f);
        in[n] = test_tensor(filled);
        free(filled);
    }
    for (int k = 0; k < 2; k++) {
        struct pt_session_options o = {.thread_count = 1, .no_opt = k};
        struct pt_err err = {0};
        if (pt_session_open_memory(model.data, model.len, &o, &s[k], &err) < 0 || pt_run_create(s[k], &r[k], &err) < 0)
            fail_msg("%s", err.msg);
        for (int i = 0; i < n; i++)
            assert_int_equal(pt_run_set_input(r[k], (size_t)i, &in[i], &err), PT_OK);
        if (pt_run_execute(r[k], &err) < 0)
            fail_msg("%s", err.msg);
    }
    for (size_t i = 0; i < pt_session_output_count(s[0]); i++) {
        const struct pt_tensor *a = pt_run_output(r[0], i), *b = pt_run_output(r[1], i);
        assert_int_equal(a->size_bytes, b->size_bytes);
        for (int64_t k = 0; k < pt_tensor_count(a); k++)
            if (fabsf(((float *)a->data)[k] - ((float *)b->data)[k]) > 2e-5f * (1 + fabsf(((float *)b->data)[k])))
                fail_msg("output %zu, element %lld: %g, the reference has %g", i, (long long)k, (double)((float *)a->data)[k], (double)((float *)b->data)[k]);
    }
    steps = s[0]->units[0].programs[0]->step_count;
    for (int k = 0; k < 2; k++) {
        pt_run_destroy(r[k]);
        pt_session_close(s[k]);
    }
    for (int i = 0; i < n; i++)
        free(in[i].data);
    pt_buf_finish(&model);
    return steps;
}

#define ROW4 "1.5,-0.5,2,0.25"
#define K3 "const w f32[4,3,3,3]:" \
    "1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,0,1,0,1,0,1,0,1,1,0,1,0,1,0,1,0,1,1,0,1,0,1,0,1,0,1," \
    "-1,2,-3,4,-5,6,-7,8,-9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,.1,.2,.3,.4,.5,.6,.7,.8,.9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9\n"

static void convolution_epilogues(void **state)
{
    (void)state;
    /* bias as an addition, residual, activation: one convolution, a reorder in, one out */
    assert_int_equal(check_same("in x f32[1,3,5,6]\nin r f32[1,4,5,6]\n" K3 "const b f32[4,1,1]:" ROW4 "\n"
                                "q = Conv(x,w) pads=[1,1,1,1]\nc = Conv(q,w2) pads=[1,1,1,1]\nd = Add(c,b)\ns = Relu(r)\nt = Conv(s,w2) pads=[1,1,1,1]\n"
                                "e = Add(d,t)\ny = Relu(e)\nconst w2 f32[4,4,1,1]:1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7\nout y\n",
                                TEXTS("f32[1,3,5,6]", "f32[1,4,5,6]")),
                     7);
    /* the residual is computed after the convolution that reads the same input: it is the later one that takes the sum */
    check_same("in x f32[2,3,4,4]\n" K3 "a = Conv(x,w) pads=[1,1,1,1]\nb = Conv(x,w) pads=[1,1,1,1] \nc = Add(a,b)\ny = Clip(c,lo,hi)\nconst lo f32[]:-1\n"
               "const hi f32[]:6\nout y\n",
               TEXTS("f32[2,3,4,4]"));
    /* a value read twice keeps its own step */
    check_same("in x f32[1,3,4,4]\n" K3 "a = Conv(x,w) pads=[1,1,1,1]\nb = Relu(a)\ny = Add(a,b)\nout y\nout b\n", TEXTS("f32[1,3,4,4]"));
    /* a convolution added to itself; a channel mismatch that broadcasts */
    check_same("in x f32[1,3,4,4]\n" K3 "a = Conv(x,w) pads=[1,1,1,1]\ny = Add(a,a)\nout y\n", TEXTS("f32[1,3,4,4]"));
    check_same("in x f32[1,3,3,3]\nin z f32[1,4,2,2]\n" K3 "a = Conv(x,w)\ny = Add(a,z)\nout y\n", TEXTS("f32[1,3,3,3]", "f32[1,4,2,2]"));
    /* one value for all, on a result whose order is plain */
    check_same("in x f32[1,3,3,3]\n" K3 "const b f32[1]:2\na = Conv(x,w)\ny = Add(a,b)\nout y\n", TEXTS("f32[1,3,3,3]"));
    check_same("in x f32[1,3,3,3]\nin z f32[1,4,1,1]\n" K3 "a = Conv(x,w)\nb = Add(z,a)\ny = Relu(b)\nout y\n", TEXTS("f32[1,3,3,3]", "f32[1,4,1,1]"));
}

static void layouts(void **state)
{
    (void)state;
    check_same("in x f32[2,3,6,6]\n" K3 "const k f32[1,4,1,1]:" ROW4 "\na = Conv(x,w) pads=[1,1,1,1]\nb = MaxPool(a) kernel_shape=[2,2] strides=[2,2]\n"
               "c = Mul(b,k)\nd = Sigmoid(c)\ne = Concat(c,d,b) axis=1\nf = AveragePool(e) kernel_shape=[2,2] count_include_pad=1 pads=[1,0,0,1]\n"
               "g = GlobalAveragePool(f)\ny = Flatten(g)\nz = ReduceMean(f) axes=[2,3] keepdims=0\nt = Transpose(f) perm=[0,2,3,1]\nout y\nout z\nout t\nout e\n",
               TEXTS("f32[2,3,6,6]"));
    /* an operand in each order; a gate per image and channel */
    check_same("in x f32[2,3,4,4]\nin p f32[2,4,4,4]\n" K3 "a = Conv(x,w) pads=[1,1,1,1]\nb = Mul(a,p)\ng = GlobalAveragePool(b)\nh = Sigmoid(g)\ny = Mul(b,h)\n"
               "z = Sub(p,y)\nout y\nout z\n",
               TEXTS("f32[2,3,4,4]", "f32[2,4,4,4]"));
    check_same("in x f32[1,3,4]\nconst w f32[2,3,3]:1,2,3,4,5,6,7,8,9,1,0,1,0,1,0,1,0,1\na = Conv(x,w) pads=[1,1]\nb = MaxPool(a) kernel_shape=[2]\n"
               "c = BatchNormalization(b,s,s,m,v)\nconst s f32[2]:1,2\nconst m f32[2]:3,4\nconst v f32[2]:1,4\ny = Relu(c)\nout y\n",
               TEXTS("f32[1,3,4]"));
}

static void batchnorm_folds(void **state)
{
    (void)state;
    int steps = check_same("in x f32[1,3,4,4]\n" K3 "const s f32[4]:" ROW4 "\nconst v f32[4]:1,2,3,4\na = Conv(x,w) pads=[1,1,1,1]\n"
                           "b = BatchNormalization(a,s,v,s,v) epsilon=0.01\ny = Relu(b)\nout y\n",
                           TEXTS("f32[1,3,4,4]"));
    assert_int_equal(steps, 3); /* reorder, Conv, reorder */
}

#define ATTENTION \
    "const w f32[8,8]:" W8 W8 W8 W8 W8 W8 W8 W8 "\nconst w3 f32[8,8]:" W8 W8 W8 W8 W8 W8 W8 W8 "\nconst b f32[8]:1,2,3,4,5,6,7,8\nconst shape i64[4]:2,3,2,4\nconst flat i64[3]:2,3,8\nconst sc f32[]:2\n" \
    "q = MatMul(x,w)\nqb = Add(b,q)\nqr = Reshape(qb,shape)\nqt = Transpose(qr) perm=[0,2,1,3]\n" \
    "k = MatMul(x,w)\nkr = Reshape(k,shape)\nkt = Transpose(kr) perm=[0,2,3,1]\n" \
    "v = MatMul(x,w3)\nvr = Reshape(v,shape)\nvt = Transpose(vr) perm=[0,2,1,3]\n"
#define W8 "0.1,-0.2,0.3,0.4,-0.5,0.06,0.7,-0.08,"

static void attention(void **state)
{
    (void)state;
    /* scale behind the product: 3 x (MatMul, Reshape), attention, Reshape, MatMul, LayerNormalization */
    int steps = check_same("in x f32[2,3,8]\nin mask f32[2,1,1,3]\n" ATTENTION
                           "s = MatMul(qt,kt)\nd = Div(s,sc)\nm = Add(d,mask)\np = Softmax(m) axis=-1\no = MatMul(p,vt)\not = Transpose(o) perm=[0,2,1,3]\n"
                           "f = Reshape(ot,flat)\ne = MatMul(f,w)\neb = Add(e,b)\nr = Add(eb,x)\ny = LayerNormalization(r,b,b)\nout y\n",
                           TEXTS("f32[2,3,8]", "f32[2,1,1,3]"));
    assert_int_equal(steps, 10);
    /* both factors scaled before; no mask; the transposed value is read twice */
    check_same("in x f32[2,3,8]\n" ATTENTION "qs = Mul(qt,sc)\nks = Mul(kt,sc)\ns = MatMul(qs,ks)\np = Softmax(s)\no = MatMul(p,vt)\nout o\nout vt\n", TEXTS("f32[2,3,8]"));
    /* masks that are not one row per group */
    check_same("in x f32[2,3,8]\nin mask f32[3,3]\n" ATTENTION "s = MatMul(qt,kt)\nm = Add(mask,s)\ny = Softmax(m)\nout y\n", TEXTS("f32[2,3,8]", "f32[3,3]"));
    check_same("in x f32[2,3,8]\nin mask f32[2,2,3,3]\n" ATTENTION "s = MatMul(qt,kt)\nm = Add(s,mask)\ny = Softmax(m)\nout y\n",
               TEXTS("f32[2,3,8]", "f32[2,2,3,3]"));
    /* transpositions that the product cannot read through */
    check_same("in x f32[2,3,4]\nin z f32[3,4,2]\na = Transpose(x) perm=[2,1,0]\nb = MatMul(a,z2)\nz2 = Transpose(z) perm=[1,2,0]\ny = Transpose(b) perm=[2,1,0]\nout y\n",
               TEXTS("f32[2,3,4]", "f32[3,4,2]"));
    check_same("in x f32[3,4]\nin v f32[4]\na = MatMul(x,v)\nconst c f32[3]:1,2,3\nb = Add(a,c)\ny = Relu(b)\nout y\n", TEXTS("f32[3,4]", "f32[4]"));
    check_same("in x f32[1,4]\nin v f32[4]\na = MatMul(x,v)\nconst c f32[2,1]:1,2\ny = Add(a,c)\nout y\n", TEXTS("f32[1,4]", "f32[4]"));
}

static void gelu(void **state)
{
    (void)state;
#define GELU_HEAD "in x f32[2,3]\nconst r2 f32[]:1.41421354\nconst i2 f32[]:0.707106769\nconst one f32[]:1\nconst half f32[]:0.5\n"
    assert_int_equal(check_same(GELU_HEAD "a = Div(x,r2)\nb = Erf(a)\nc = Add(b,one)\nd = Mul(x,c)\ny = Mul(d,half)\nout y\n", TEXTS("f32[2,3]")), 1);
    assert_int_equal(check_same(GELU_HEAD "a = Mul(x,i2)\nb = Erf(a)\nc = Add(one,b)\nh = Mul(half,x)\ny = Mul(h,c)\nout y\n", TEXTS("f32[2,3]")), 1);
    /* nearly */
    check_same(GELU_HEAD "a = Div(x,one)\nb = Erf(a)\nc = Add(b,one)\nd = Mul(x,c)\ny = Mul(d,half)\nout y\n", TEXTS("f32[2,3]"));
    check_same(GELU_HEAD "a = Div(x,r2)\nb = Erf(a)\nc = Add(b,one)\nd = Mul(a,c)\ny = Mul(d,half)\nout y\n", TEXTS("f32[2,3]"));
    check_same(GELU_HEAD "a = Div(x,r2)\nb = Erf(a)\nc = Add(b,one)\nd = Mul(x,c)\ny = Mul(d,half)\nout y\nout c\n", TEXTS("f32[2,3]"));
}

static void layernorm(void **state)
{
    (void)state;
#define LN_HEAD "opset 14\nin x f32[2,3]\nconst two f32[]:2\nconst e f32[]:0.001\nconst g f32[3]:1,2,3\nconst b f32[3]:4,5,6\n"
    assert_int_equal(check_same(LN_HEAD "m = ReduceMean(x) axes=[-1]\nd = Sub(x,m)\np = Pow(d,two)\nv = ReduceMean(p) axes=[-1]\nve = Add(v,e)\ns = Sqrt(ve)\n"
                                        "n = Div(d,s)\nng = Mul(n,g)\ny = Add(ng,b)\nout y\n",
                                TEXTS("f32[2,3]")),
                     1);
    /* the mean of another axis; another value */
    check_same(LN_HEAD "m = ReduceMean(x) axes=[0]\nd = Sub(x,m)\np = Pow(d,two)\nv = ReduceMean(p) axes=[-1]\nve = Add(v,e)\ns = Sqrt(ve)\nn = Div(d,s)\n"
                       "ng = Mul(n,g)\ny = Add(ng,b)\nout y\n",
               TEXTS("f32[2,3]"));
    check_same(LN_HEAD "m = ReduceMean(x) axes=[-1]\nd = Sub(x,m)\nx2 = Abs(x)\nm2 = ReduceMean(x2) axes=[-1]\nd2 = Sub(x2,m2)\np = Pow(d2,two)\n"
                       "v = ReduceMean(p) axes=[-1]\nve = Add(v,e)\ns = Sqrt(ve)\nn = Div(d,s)\nng = Mul(n,g)\ny = Add(ng,b)\nout y\n",
               TEXTS("f32[2,3]"));
}

/* Rows longer than a vector, with tails; scales that are rows and one that only has their length. */
static void rows(void **state)
{
    (void)state;
    assert_int_equal(test_same("opset 23\nin x f32[3,5,67]\nin g f32[67]\ny = RMSNormalization(x,g)\nout y\n"), 1);
    assert_int_equal(test_same("opset 23\nin x f32[7,2,9]\nin g f32[2,9]\ny = RMSNormalization(x,g) axis=1\nout y\n"), 1);
    test_same("opset 23\nin x f32[3,3,4]\nin g f32[3,1,4]\ny = RMSNormalization(x,g) axis=1\nz = LayerNormalization(x,g,g) axis=1\nout y\nout z\n");
    test_same("opset 23\nin x f32[3,4]\nin g f32[1]\ny = RMSNormalization(x,g)\nout y\n");
    assert_int_equal(test_same("opset 20\nin x f32[5,1300]\ny = Gelu(x) approximate='tanh'\nout y\n"), 1);
}

/* Values that look alike in memory but may not share it. */
static void memory(void **state)
{
    (void)state;
    check_same("in x f32[4]\na = Relu(x)\nb = Exp(a)\nc = Add(a,b)\nd = Mul(c,a)\ny = Sub(d,b)\nout y\n", TEXTS("f32[4]"));
    check_same("in x f32[2,2]\nconst s i64[1]:4\na = Relu(x)\nb = Reshape(a,s)\nc = Exp(a)\nd = Reshape(c,s)\ny = Add(b,d)\nout y\nout a\n", TEXTS("f32[2,2]"));
    check_same("in x f32[2,2]\na = Relu(x)\nt = Transpose(a)\ny = Add(a,t)\nz = Sub(t,a)\nout y\nout z\nout y\n", TEXTS("f32[2,2]"));
    test_run("in x f32[2]\ny = Identity(x)\nz = Identity(x)\nout y\nout z\nout x\n", TEXTS("f32[2]:1,2"), TEXTS("f32[2]:1,2", "f32[2]:1,2", "f32[2]:1,2"));
    test_run("in x f32[2]\nconst c f32[2]:5,6\ny = Identity(c)\nout y\nout c\n", TEXTS("f32[2]:1,2"), TEXTS("f32[2]:5,6", "f32[2]:5,6"));
    test_run("in x f32[2]\na,b = Split(x)\nc,d = Split(x)\nout a\nout d\n", TEXTS("f32[2]:1,2"), TEXTS("f32[1]:1", "f32[1]:2"));
}

/* However long a chain of steps that work in place, finding its memory takes one hop: chains of chains made planning quadratic. */
static void long_chains(void **state)
{
    (void)state;
    struct pt_buf model = test_model("in x f32[2,2]\na = Exp(x)\nb = Neg(a)\nc = Abs(b)\nd = Flatten(c)\ne = Sqrt(d)\ny = MatMul(e,e)\nout y\n");
    struct pt_tensor in = test_tensor("f32[2,2]:1,2,3,4");
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s;
    struct pt_run *r;
    struct pt_err err = {0};
    int aliases = 0;
    assert_int_equal(pt_session_open_memory(model.data, model.len, &o, &s, &err), PT_OK);
    assert_int_equal(pt_run_create(s, &r, &err), PT_OK);
    assert_int_equal(pt_run_set_input(r, 0, &in, &err), PT_OK);
    assert_int_equal(pt_run_execute(r, &err), PT_OK);
    const struct pt_program *p = s->units[0].programs[0];
    for (int i = 0; i < p->slot_count; i++) {
        if (p->slots[i].place != PT_PLACE_ALIAS)
            continue;
        assert_int_not_equal(p->slots[p->slots[i].index].place, PT_PLACE_ALIAS);
        aliases++;
    }
    assert_true(aliases >= 3);
    pt_run_destroy(r);
    pt_session_close(s);
    free(in.data);
    pt_buf_finish(&model);
}

/* Shapes computed from shapes, as exporters write them, with nodes out of order. */
static void shape_arithmetic(void **state)
{
    (void)state;
    test_run("in x f32[-1,2,3]\ny = Reshape(x,s)\nn = Shape(x)\nb = Gather(n,zero)\nu = Unsqueeze(b,axes)\ns = Concat(u,rest) axis=0\n"
             "const zero i64[]:0\nconst axes i64[1]:0\nconst rest i64[1]:-1\nout y\nout s\n",
             TEXTS("f32[1,2,3]:1,2,3,4,5,6"), TEXTS("f32[1,6]:1,2,3,4,5,6", "i64[2]:1,-1"));
    test_run("in x f32[2]\nin n i64[1]\nt = Tile(x,n)\nm = Mul(n,two)\nconst two i64[1]:2\nu = Tile(x,m)\nout t\nout u\n", TEXTS("f32[2]:1,2", "i64[1]:1"),
             TEXTS("f32[2]:1,2", "f32[4]:1,2,1,2"));
    test_fails("in x f32[2000]\nin n f32[2000]\nc = Cast(n) to=7\ny = Expand(x,c)\nout y\n", NULL, "not set");
}

/* Kernels take half precision over float32; what reads a half value itself gets it rounded. 0x3c00 = 1, 0x4000 = 2, 0x4200 = 3. */
static void half_precision(void **state)
{
    (void)state;
    test_run("opset 17\nin x f16[1,2]\nconst w f16[2,2]:0x3c00,0xbc00,0x3c00,0x3c00\nconst b f16[2]:0,0\nconst s i64[1]:2\n"
             "y = MatMul(x, w)\nz = Add(y, b)\nr = Relu(z)\nv = Reshape(r, s)\na = ArgMax(v) axis=0\nm = Mul(v, v)\nout y\nout v\nout a\nout m\n",
             TEXTS("f16[1,2]:0x3c00,0x4000"), TEXTS("f16[1,2]:0x4200,0x3c00", "f16[2]:0x4200,0x3c00", "i64[1]:0", "f16[2]:0x4880,0x3c00"));
    /* 2049 is no float16: the sum is rounded to 2048 where it is read, even though it was computed in float32 */
    test_run("opset 17\nin x f16[1]\nconst one f16[1]:0x3c00\ny = Add(x, one)\nc = Cast(y) to=1\nout c\n", TEXTS("f16[1]:0x6800"),
             TEXTS("f32[1]:2048"));
    test_run("opset 22\nin x f16[1,2,2,1]\nconst w f16[1,2,1,1]:0x3c00,0x4000\ny = Conv(x, w)\nz = Relu(y)\ng = GlobalAveragePool(z)\nout g\n",
             TEXTS("f16[1,2,2,1]:0x3c00,0x3c00,0x3c00,0x3c00"), TEXTS("f16[1,1,1,1]:0x4200"));
    /* more values than a program has room for at first: 1 + 60 */
    char text[4096] = "opset 17\nin x f16[1]\nconst one f16[1]:0x3c00\nv0 = Add(x, one)\n";
    for (int i = 1; i < 60; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "v%d = Add(v%d, one)\n", i, i - 1);
    strcat(text, "out v59\n");
    test_run(text, TEXTS("f16[1]:0x3c00"), TEXTS("f16[1]:0x53a0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_epilogues), cmocka_unit_test(layouts),   cmocka_unit_test(batchnorm_folds),
        cmocka_unit_test(attention),             cmocka_unit_test(gelu),      cmocka_unit_test(layernorm),
        cmocka_unit_test(memory),                cmocka_unit_test(shape_arithmetic), cmocka_unit_test(long_chains),
        cmocka_unit_test(rows),
        cmocka_unit_test(half_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
