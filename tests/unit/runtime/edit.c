/* SPDX-License-Identifier: Apache-2.0
 *
 * edit.c: models changed and written, and values inside them looked at.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/compress/data.h"
#include "runtime/compress/tap.h"

#include <unistd.h>

static const char MLP[] = "in x f32[-1,2]\nconst w f32[2,3]:1,2,3,4,5,6\nb = Constant() value={f32[3]:1,1,-99}\nu = Constant() value_float=2.0\n"
                          "h = MatMul(x,w)\nhb = Add(h,b)\nr = Relu(hb)\ny = Mul(r,u)\nspare = Neg(r)\nout y\n";

static struct pt_edit opened(struct pt_buf *bytes)
{
    struct pt_edit e;
    struct pt_err err = {0};
    if (pt_edit_open_memory(&e, bytes->data, bytes->len, &err) < 0)
        fail_msg("%s", err.msg);
    return e;
}

static const float X[4] = {1, 1, -1, 0};
static const struct pt_tensor x = {.dtype = PT_FLOAT, .rank = 2, .dims = {2, 2}, .data = (void *)(uintptr_t)X, .size_bytes = sizeof X};

static void expect(struct pt_edit *e, const char *name, const char *value)
{
    struct pt_err err = {0};
    struct pt_str names[] = {pt_str(name)};
    struct pt_tap *t;
    if (pt_tap_open(e, names, 1, NULL, &t, &err) < 0 || pt_tap_run(t, &x, 1, &err) < 0)
        fail_msg("%s", err.msg);
    test_compare(pt_tap_value(t, 0), value, name);
    pt_tap_close(t);
}

static void one_form(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model(MLP);
    struct pt_edit e = opened(&bytes);
    assert_int_equal(e.model.graph.node_count, 5);
    assert_int_equal(e.model.graph.initializer_count, 3);
    int rc;
    const struct pt_edit_value *r = pt_edit_value(&e, PT_STR("r"), &rc);
    assert_non_null(r);
    assert_int_equal(r->producer, 2);
    assert_int_equal(r->reader_count, 2);
    assert_false(r->is_output);
    assert_null(pt_edit_value(&e, PT_STR("nothing"), &rc));
    assert_int_equal(rc, PT_ENOTFOUND);
    assert_int_equal(pt_edit_constant(&e, &e.model.graph.nodes[1], 1)->dims[0], 3);
    expect(&e, "hb", "f32[2,3]:6,8,-90,0,-1,-102");
    expect(&e, "y", "f32[2,3]:12,16,0,0,0,0");
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* y = relu(...) * 2 becomes clip(relu(...)) * 3, and what nobody needs goes. */
static void changes(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model(MLP);
    struct pt_edit e = opened(&bytes), copy;
    struct pt_err err = {0};
    float *u = pt_edit_floats(&e, pt_edit_value(&e, PT_STR("u"), NULL)->initializer, &err);
    u[0] = 3;
    struct pt_str high = pt_edit_name(&e, PT_STR("u"), &err), clipped = pt_edit_name(&e, PT_STR("r"), &err);
    assert_false(pt_str_eq(high, PT_STR("u")));
    assert_true(pt_edit_add_initializer(&e, high, PT_FLOAT, 0, NULL, &(float){7}, &err) >= 0);
    struct pt_onnx_node *n = pt_edit_add_node(&e, 3, PT_STR("clip"), "", "Clip", 3, 1, &err);
    assert_non_null(n);
    n->inputs[0] = PT_STR("r"), n->inputs[1] = PT_STR(""), n->inputs[2] = high, n->outputs[0] = clipped;
    pt_edit_redirect(&e, PT_STR("r"), clipped, 4);
    assert_int_equal(pt_edit_note(&e, "pintle.changed", "yes", &err), PT_OK);
    assert_int_equal(pt_edit_note(&e, "pintle.changed", "twice", &err), PT_OK);
    assert_int_equal(e.model.metadata_count, 1);
    assert_int_equal(pt_edit_need_opset(&e, "com.microsoft", 1, &err), PT_OK);
    assert_int_equal(pt_edit_need_opset(&e, "", 99, &err), PT_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "version 17 of operator set 'ai.onnx'; this needs 99"));
    assert_int_equal(pt_edit_sweep(&e, &err), PT_OK);
    assert_int_equal(e.model.graph.node_count, 5);
    assert_null(pt_edit_value(&e, PT_STR("spare"), NULL));
    expect(&e, "y", "f32[2,3]:18,21,0,0,0,0");
    assert_int_equal(pt_edit_copy(&e, &copy, &err), PT_OK);
    char path[] = "/tmp/pintle-edit-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(pt_edit_save(&copy, path, &err), PT_OK);
    pt_edit_finish(&copy);
    pt_edit_finish(&e);
    if (pt_edit_open(&e, path, &err) < 0)
        fail_msg("%s", err.msg);
    expect(&e, "y", "f32[2,3]:18,21,0,0,0,0");
    pt_edit_finish(&e);
    unlink(path);
    pt_buf_finish(&bytes);
}

static void attributes(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model("in x f32[2,2]\nt = Transpose(x) perm=[0,1]\ny = LeakyRelu(t) alpha=0.5\nout y\n");
    struct pt_edit e = opened(&bytes);
    struct pt_err err = {0};
    struct pt_onnx_node *n = e.model.graph.nodes;
    assert_int_equal(pt_edit_set_ints(&e, &n[0], "perm", (int64_t[]){1, 0}, 2, &err), PT_OK);
    assert_int_equal(pt_edit_set_float(&e, &n[1], "alpha", 0.25F, &err), PT_OK);
    expect(&e, "y", "f32[2,2]:1,-0.25,1,0");
    assert_int_equal(pt_edit_set_int(&e, &n[1], "k", 5, &err), PT_OK);
    assert_int_equal(pt_edit_attr_int(&n[1], "k", 0), 5);
    assert_int_equal(pt_edit_attr_int(&n[1], "alpha", -1), -1);
    assert_int_equal(pt_edit_set_string(&e, &n[1], "k", "v", &err), PT_OK);
    assert_int_equal(n[1].attr_count, 2);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* What a body reads is known, and kept. */
static void bodies(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model("graph a\nz = Neg(inner)\nout z\nend\ngraph b\nz = Identity(w)\nout z\nend\n"
                                     "in c b[1]\nin x f32[2]\nconst w f32[2]:5,6\nconst q f32[2]:1,1\ninner = Relu(x)\n"
                                     "y = If(c) then_branch=@a else_branch=@b\nout y\n");
    struct pt_edit e = opened(&bytes);
    struct pt_err err = {0};
    assert_true(pt_edit_value(&e, PT_STR("inner"), NULL)->captured);
    assert_true(pt_edit_value(&e, PT_STR("w"), NULL)->captured);
    assert_int_equal(pt_edit_sweep(&e, &err), PT_OK);
    assert_int_equal(e.model.graph.node_count, 2);
    assert_int_equal(e.model.graph.initializer_count, 1);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void data(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model(MLP);
    struct pt_edit e = opened(&bytes);
    struct pt_err err = {0};
    struct pt_tap *t;
    int64_t labels[3] = {0, 1, 2};
    assert_int_equal(pt_tap_open(&e, NULL, 0, NULL, &t, &err), PT_OK);
    struct pt_data d = {.inputs = &x, .input_count = 1, .count = 2};
    assert_int_equal(pt_data_check(&d, pt_tap_session(t), "held-out data", &err), PT_OK);
    d.labels = (struct pt_tensor){.dtype = PT_INT64, .rank = 1, .dims = {3}, .data = labels, .size_bytes = sizeof labels};
    assert_int_equal(pt_data_check(&d, pt_tap_session(t), "held-out data", &err), PT_EINVAL);
    assert_string_equal(err.msg, "held-out data: labels are int64[3] for 2 samples");
    struct pt_tensor wide = x, part[1];
    wide.dims[0] = 1, wide.dims[1] = 4;
    d = (struct pt_data){.inputs = &wide, .input_count = 1, .count = 1};
    assert_int_equal(pt_data_check(&d, pt_tap_session(t), "held-out data", &err), PT_EINVAL);
    assert_string_equal(err.msg, "held-out data: input 'x' is float32[1,4]; dim 1 of the model's is 2");
    d = (struct pt_data){
        .inputs = &x, .input_count = 1, .count = 2, .labels = {.dtype = PT_INT64, .rank = 1, .dims = {2}, .data = labels, .size_bytes = 16}};
    struct pt_data last = pt_data_slice(&d, 1, 1, part);
    assert_int_equal(((const int64_t *)last.labels.data)[0], 1);
    test_compare(&part[0], "f32[1,2]:-1,0", "slice");
    float mixed[6];
    struct pt_tensor out = {.dtype = PT_FLOAT, .rank = 2, .dims = {3, 2}, .data = mixed, .size_bytes = sizeof mixed};
    pt_data_gather(&x, (int64_t[]){1, 0, 1}, 3, &out);
    test_compare(&out, "f32[3,2]:-1,0,1,1,-1,0", "gather");
    pt_tap_close(t);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* Every allocation fails once: the result is an error that says so. */
static void out_of_memory(void **state)
{
    (void)state;
    struct pt_buf bytes = test_model(MLP);
    int rc = PT_ENOMEM;
    for (int n = 1; rc < 0; n++) {
        struct pt_edit e, copy = {0};
        struct pt_err err = {0};
        struct pt_str names[] = {PT_STR("hb")};
        struct pt_tap *t = NULL;
        pt_mem_fail_at(n, 0);
        rc = pt_edit_open_memory(&e, bytes.data, bytes.len, &err);
        if (rc == PT_OK)
            rc = pt_edit_sweep(&e, &err);
        if (rc == PT_OK && (rc = pt_edit_copy(&e, &copy, &err)) == PT_OK)
            rc = pt_tap_open(&copy, names, 1, NULL, &t, &err);
        if (rc == PT_OK)
            rc = pt_tap_run(t, &x, 1, &err);
        pt_mem_fail_at(0, 0);
        assert_true(rc == PT_OK || (rc == err.code && err.msg[0]));
        pt_tap_close(t);
        pt_edit_finish(&copy);
        pt_edit_finish(&e);
    }
    pt_buf_finish(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_form), cmocka_unit_test(changes), cmocka_unit_test(attributes),
        cmocka_unit_test(bodies),   cmocka_unit_test(data),    cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
