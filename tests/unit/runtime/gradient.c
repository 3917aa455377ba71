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
    const struct CMUnitTest tests[] = {cmocka_unit_test(differentiates), cmocka_unit_test(knows_rules), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
