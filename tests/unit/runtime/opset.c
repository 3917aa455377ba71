/* SPDX-License-Identifier: Apache-2.0
 *
 * opset.c: models of old operator sets compute the same in later ones.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/compress/opset.h"
#include "runtime/compress/tap.h"

static struct pt_tap *opened(struct pt_edit *e, const float *data, int64_t count)
{
    struct pt_err err = {0};
    struct pt_tap *t;
    struct pt_tensor x = {.dtype = PT_FLOAT, .rank = 4, .dims = {1, 2, 3, 4}, .data = (void *)(uintptr_t)data, .size_bytes = (size_t)count * 4};
    if (pt_tap_open(e, NULL, 0, NULL, &t, &err) < 0 || pt_tap_run(t, &x, 1, &err) < 0)
        fail_msg("%s", err.msg);
    return t;
}

static void same(const char *text, int64_t version)
{
    float data[24];
    struct pt_err err = {0};
    struct pt_edit before, after;
    struct pt_buf bytes = test_model(text);
    for (int i = 0; i < 24; i++)
        data[i] = (float)((i * 37) % 23) / 5 - 2;
    if (pt_edit_open_memory(&before, bytes.data, bytes.len, &err) < 0 || pt_edit_open_memory(&after, bytes.data, bytes.len, &err) < 0 ||
        pt_edit_raise_opset(&after, version, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(pt_edit_opset(&after, ""), version);
    struct pt_tap *a = opened(&before, data, 24), *b = opened(&after, data, 24);
    for (size_t i = 0; i < before.model.graph.output_count; i++) {
        const struct pt_tensor *x = pt_tap_output(a, i), *y = pt_tap_output(b, i);
        assert_true(pt_dims_equal(x, y) && x->dtype == y->dtype);
        assert_memory_equal(x->data, y->data, x->size_bytes);
    }
    pt_tap_close(a);
    pt_tap_close(b);
    pt_edit_finish(&before);
    pt_edit_finish(&after);
    pt_buf_finish(&bytes);
}

#define IN "in x f32[1,2,3,4]\n"

static void keeps_results(void **state)
{
    (void)state;
    static const char *const models[] = {
        "opset 9\n" IN "y = Clip(x) min=-1.0 max=1.5\nout y\n",
        "opset 9\n" IN "y = Slice(x) starts=[0,1] ends=[2,3] axes=[1,3]\nout y\n",
        "opset 9\n" IN "y = Pad(x) pads=[0,0,1,0,0,0,0,2] value=3.0\nout y\n",
        "opset 9\n" IN "y, i = TopK(x) k=2 axis=3\nout y\nout i\n",
        "opset 9\n" IN "const s f32[4]:1,1,2,2\ny = Upsample(x,s) mode='nearest'\nout y\n",
        "opset 10\n" IN "const s f32[4]:1,1,2,1.5\ny = Resize(x,s) mode='linear'\nout y\n",
        "opset 9\n" IN "const i i64[1,1,1,2]:0,1\nconst u f32[1,1,1,2]:9,8\ny = Scatter(x,i,u) axis=3\nout y\n",
        "opset 9\n" IN "d = Dropout(x) ratio=0.4\ny = Relu(d)\nout y\n",
        "opset 11\n" IN "y = Squeeze(x) axes=[0]\nz = Unsqueeze(y) axes=[1,4]\nout y\nout z\n",
        "opset 11\n" IN "y = ReduceSum(x) axes=[2] keepdims=0\nz = ReduceMean(x) axes=[1,3]\nw = ReduceMax(x)\nout y\nout z\nout w\n",
        "opset 11\n" IN "y, z = Split(x) axis=3 split=[1,3]\nout y\nout z\n",
        "opset 11\n" IN "y, z = Split(x) axis=1\nout y\nout z\n",
        "opset 11\n" IN "y = Softmax(x) axis=-1\nz = Softmax(x)\nw = LogSoftmax(x) axis=2\nout y\nout z\nout w\n",
        "opset 12\n" IN "s = Softmax(x) axis=2\ny = Relu(s)\nh = Hardmax(x) axis=3\nout y\nout h\n",
        "opset 8\n" IN "const g f32[2]:1,2\nconst b f32[2]:0,1\nconst m f32[2]:0.5,1\nconst v f32[2]:1,2\ny = BatchNormalization(x,g,b,m,v)\nout y\n",
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        same(models[i], 13);
        same(models[i], 21);
    }
}

static void refused(const char *text, const char *message)
{
    struct pt_edit e;
    struct pt_err err = {0};
    struct pt_buf bytes = test_model(text);
    assert_int_equal(pt_edit_open_memory(&e, bytes.data, bytes.len, &err), PT_OK);
    assert_int_equal(pt_edit_raise_opset(&e, 21, &err), PT_EUNSUPPORTED);
    assert_string_equal(err.msg, message);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void refuses(void **state)
{
    (void)state;
    refused("opset 6\n" IN "y = Relu(x)\nout y\n", "the model is of operator set 6, and 21 is needed; only 7 and later can be brought there");
    refused("opset 17\n" IN "const n i64[]:4\nconst a i64[1]:4\nc = Unsqueeze(x,a)\ny = DFT(c,n)\nout y\n",
            "node 'y' (DFT): cannot be brought to a later operator set: it means something else there");
    refused("opset 11\ngraph t\na = Squeeze(x) axes=[0]\nout a\nend\ngraph f\nb = Squeeze(x)\nout b\nend\n" IN "const c b[]:1\n"
            "y = If(c) then_branch=@t else_branch=@f\nout y\n",
            "node 'y' (If): cannot be brought to a later operator set: a graph inside of it has operators that changed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_results), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
