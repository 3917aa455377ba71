/* SPDX-License-Identifier: Apache-2.0
 *
 * gradient.c: derivatives by Gradient nodes, against those worked out by hand.
 */
#include "tests/unit/runtime/model.h"

#define TRAINING "opset 14\ndomain ai.onnx.preview.training 1\n"
#define GRADIENT "ai.onnx.preview.training::Gradient"

static void differentiates(void **state)
{
    (void)state;
    test_run(TRAINING "in a f32[]\nin b f32[]\nc = Add(a,b)\nd = Mul(c,a)\nga,gb = " GRADIENT "(a,b) xs=['a','b'] y='d'\nout d\nout ga\nout gb\n",
             TEXTS("f32[]:3", "f32[]:4"), TEXTS("f32[]:21", "f32[]:10", "f32[]:3"));
    /* y itself is no output; broadcasting sums */
    test_run(TRAINING "in a f32[2]\nin b f32[2,2]\ny = Mul(a,b)\nga,gb = " GRADIENT "(a,b) xs=['a','b'] y='y'\nout ga\nout gb\n",
             TEXTS("f32[2]:1,2", "f32[2,2]:1,2,3,4"), TEXTS("f32[2]:4,6", "f32[2,2]:1,2,1,2"));
    test_run(TRAINING "in a f32[1,2]\nin w f32[2,1]\nm = MatMul(a,w)\ny = Tanh(m)\nga,gw = " GRADIENT "(a,w) xs=['a','w'] y='y'\nout ga\nout gw\n",
             TEXTS("f32[1,2]:0.5,1", "f32[2,1]:1,-0.5"), TEXTS("f32[1,2]:1,-0.5", "f32[2,1]:0.5,1"));
}

static void knows_rules(void **state)
{
    (void)state;
    static const struct {
        const char *y, *at, *gradient;
    } cases[] = {
        {"Exp(a)", "0", "1"},      {"Log(a)", "4", "0.25"},   {"Sqrt(a)", "4", "0.25"}, {"Neg(a)", "4", "-1"},          {"Sigmoid(a)", "0", "0.25"},
        {"Relu(a)", "-2", "0"},    {"Relu(a)", "2", "1"},     {"Sin(a)", "0", "1"},     {"Cos(a)", "0", "0"},           {"Div(a,k)", "5", "0.5"},
        {"Div(k,a)", "2", "-0.5"}, {"Sub(k,a)", "2", "-1"},   {"Pow(a,k)", "3", "6"},   {"Pow(k,a)", "1", "1.3862944"}, {"Sum(a,a,k)", "1", "2"},
        {"Mul(a,a)", "3", "6"},    {"Identity(k)", "1", "0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char model[512], in[32], want[32];
        snprintf(model, sizeof model, TRAINING "in a f32[]\nconst k f32[]:2\ny = %s\ng = " GRADIENT "(a) xs=['a'] y='y'\nout g\n", cases[i].y);
        snprintf(in, sizeof in, "f32[]:%s", cases[i].at);
        snprintf(want, sizeof want, "f32[]:%s", cases[i].gradient);
        test_run(model, TEXTS(in), TEXTS(want));
    }
    test_run(TRAINING "in a f32[]\nin b f32[]\ny = Add(a,b)\ng = " GRADIENT "(a,b) xs=['a'] zs=['b'] y='y'\nout g\n", TEXTS("f32[]:3", "f32[]:4"),
             TEXTS("f32[]:1"));
    test_run(TRAINING "in a f32[2]\ny = Mul(a,a)\ng = " GRADIENT "(a) xs=['a'] y='y'\nz = Mul(g,g)\nh = " GRADIENT "(a) xs=['a'] y='z'\nout h\n",
             TEXTS("f32[2]:1,2"), TEXTS("f32[2]:8,16")); /* the derivative of a derivative */
}

/* Straight through what rounds, and nothing where it saturates; z = y^2, so that dz/dx = 2 y. */
static void passes_quantisation(void **state)
{
    (void)state;
    static const char square[] = "z = Mul(y,y)\ng = " GRADIENT "(x) xs=['x'] y='z'\nout y\nout g\n";
    static const struct {
        const char *opset, *body, *x, *y, *gradient;
    } cases[] = {
        {"19", "in x f32[7]\nconst s f32[]:0.5\nconst o i8[]:3\nq = QuantizeLinear(x,s,o)\ny = DequantizeLinear(q,s,o)\n",
         "f32[7]:-65.74,-65.76,-1.3,0.2,61.9,62.3,1e30", "f32[7]:-65.5,-65.5,-1.5,0,62,62,62", "f32[7]:-131,0,-3,0,124,0,0"},
        {"13", "in x f32[4]\nconst s f32[]:0.5\nq = QuantizeLinear(x,s)\ny = DequantizeLinear(q,s)\n", "f32[4]:-0.2,-0.3,127.7,127.8",
         "f32[4]:0,0,127.5,127.5", "f32[4]:0,0,255,0"},
        {"19",
         "in x f32[2,3]\nconst s f32[2]:0.5,2\nconst o i8[2]:0,100\nq = QuantizeLinear(x,s,o) axis=0\nr = Reshape(q,d)\nconst d i64[2]:2,-1\ny = "
         "DequantizeLinear(r,s,o) axis=0\n",
         "f32[2,3]:63,64,1,54,56,1.2", "f32[2,3]:63,63.5,1,54,54,2", "f32[2,3]:126,0,2,108,0,4"},
        {"21",
         "in x f32[2,4]\nconst s f32[2,2]:1,2,4,8\nq = QuantizeLinear(x,s) axis=1 block_size=2 output_dtype=5\ny = DequantizeLinear(q,s) axis=1 "
         "block_size=2\n",
         "f32[2,4]:32767,32768,65534,65535.5,-131072,-131075,5,-262149", "f32[2,4]:32767,32767,65534,65534,-131072,-131072,8,-262144",
         "f32[2,4]:65534,0,131068,0,-262144,0,16,0"},
        {"13", "in x f32[3]\nq,s,o = DynamicQuantizeLinear(x)\ny = DequantizeLinear(q,s,o)\n", "f32[3]:-127,1.2,128", "f32[3]:-127,1,128",
         "f32[3]:-254,2,256"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char model[1024];
        snprintf(model, sizeof model, "opset %s\ndomain ai.onnx.preview.training 1\n%s%s", cases[i].opset, cases[i].body, square);
        test_run(model, TEXTS(cases[i].x), TEXTS(cases[i].y, cases[i].gradient));
    }
    test_fails("opset 19\ndomain ai.onnx.preview.training 1\nin x f32[1]\nconst s f32[]:1\nconst k f32[]:0\no = Cast(k) to=17\nq = "
               "QuantizeLinear(x,s,o)\ny = "
               "DequantizeLinear(q,s,o)\ng = " GRADIENT "(x) xs=['x'] y='y'\nout g\n",
               TEXTS("f32[1]:1"), "a derivative through a quantisation to float8_e4m3fn is not supported");
}

static void refuses(void **state)
{
    (void)state;
    test_fails(TRAINING "in a f32[]\ny = Ceil(a)\ng = " GRADIENT "(a) xs=['a'] y='y'\nout g\n", TEXTS("f32[]:1"),
               "'y' (Ceil): its derivative is not known");
    test_fails(TRAINING "in a f32[]\ny = Exp(a)\ng = " GRADIENT "(a) xs=['a'] y='q'\nout g\n", TEXTS("f32[]:1"), "there is no value \"q\"");
    test_fails(TRAINING "in a f32[]\nin b f32[]\ny = Exp(a)\ng = " GRADIENT "(b) xs=['a'] y='y'\nout g\n", TEXTS("f32[]:1", "f32[]:1"),
               "input 0 is not the value \"a\"");
    test_fails(TRAINING "in a f32[]\ny = Exp(a)\ng = " GRADIENT "(a) xs=['a']\nout g\n", TEXTS("f32[]:1"), "needs the attributes xs");
    test_fails(TRAINING "in a f32[]\ny = Exp(a)\ng = " GRADIENT "(a,a) xs=['a'] y='y'\nout g\n", TEXTS("f32[]:1"),
               "has 2 inputs and 1 outputs for 1 names");
    test_fails(TRAINING "in x f32[2,1]\nin m f32[1]\nconst s f32[1]:1\ny = BatchNormalization(x,s,s,m,s)\ng = " GRADIENT
                        "(m) xs=['m'] y='y'\nout g\n",
               TEXTS("f32[2,1]:1,2", "f32[1]:1"), "'y' (BatchNormalization): its derivative by input 3 is not known");
    test_fails(TRAINING "in a f32[2]\nconst b f32[2]:1,2\ny = MatMul(a,b)\ng = " GRADIENT "(a) xs=['a'] y='y'\nout g\n", TEXTS("f32[2]:1,2"),
               "both must be matrices");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(differentiates), cmocka_unit_test(knows_rules), cmocka_unit_test(passes_quantisation),
                                       cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
