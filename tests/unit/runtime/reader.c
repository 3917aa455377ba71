/* SPDX-License-Identifier: Apache-2.0
 *
 * reader.c: ONNX bytes that are broken, cut, cyclic, contradictory or meant to hurt. Every one is an error with a message.
 */
#include "tests/unit/runtime/model.h"

#include "base/pbwire.h"

static int open_bytes(const void *data, size_t len, struct pt_err *err)
{
    struct pt_session_options o = {.thread_count = 1, .max_arena_bytes = 1 << 20};
    struct pt_session *s;
    *err = (struct pt_err){0};
    int rc = pt_session_open_memory(data, len, &o, &s, err);
    pt_session_close(s);
    assert_true(rc == PT_OK || (rc < 0 && err->code == rc && err->msg[0]));
    return rc;
}

static void expect(const char *text, const char *message)
{
    struct pt_buf b = test_model(text);
    struct pt_err err;
    if (open_bytes(b.data, b.len, &err) == PT_OK)
        fail_msg("accepted:\n%s", text);
    if (!strstr(err.msg, message))
        fail_msg("the error is \"%s\", expected \"%s\"", err.msg, message);
    pt_buf_finish(&b);
}

static void graphs(void **state)
{
    (void)state;
    expect("in x f32[1]\ny = Relu(z)\nz = Relu(y)\nout y\n", "is part of a cycle");
    expect("in x f32[1]\ny = Add(y,x)\nout y\n", "is part of a cycle");
    expect("in x f32[1]\ny = Relu(q)\nout y\n", "node 'y' (Relu): input 0 'q' is produced by nothing");
    expect("in x f32[1]\ny = Relu(x)\ny = Abs(x)\nout y\n", "value 'y' is defined twice");
    expect("in x f32[1]\nx = Relu(x)\nout x\n", "value 'x' is defined twice");
    expect("in x f32[1]\nin x f32[1]\nout x\n", "value 'x' is defined twice");
    expect("in x f32[1]\nout y\n", "output 'y' is produced by nothing");
    expect("in x f32[1]\ny = Nope(x)\nout y\n", "node 'y' (Nope): this operator is not supported (opset 17)");
    expect("in x f32[1]\n_y = Nope(x)\nout _y\n", "node '_y' (Nope): this operator"); /* no name: that of its output */
    expect("in x f32[1]\ny = com.bar::Relu(x)\nout y\n", "imports no opset of domain 'com.bar'");
    expect("opset 3\nin x f32[1]\ny = Where(x,x,x)\nout y\n", "this operator is not supported (opset 3)");
    expect("opset 29\nin x f32[1]\ny = Relu(x)\nout y\n", "opset 29 is newer than the newest known, 28");
    expect("opset 0\nin x f32[1]\ny = Relu(x)\nout y\n", "opset version 0 is out of range");
    expect("in x f32[1]\ny = Add(x)\nout y\n", "has 1 inputs, needs 2");
    expect("in x f32[1]\ny = Relu(x,x)\nout y\n", "has 2 inputs, needs 1");
    expect("in x f32[1]\ny = Add(,x)\nout y\n", "input 0 is missing");
    expect("in x f32[1]\ny,z = Relu(x)\nout y\n", "has 2 outputs, may have 1");
    /* what is not needed may be anything */
    struct pt_buf b = test_model("in x f32[1]\nq = Nope(x)\ny = Relu(x)\nout y\n");
    struct pt_err err;
    assert_int_equal(open_bytes(b.data, b.len, &err), PT_OK);
    pt_buf_finish(&b);
}

#define GRAPH_TEXT \
    "opset 13\nin x f32[1,2]\nconst w f32[2,2]:1,2,3,4\nconst i i64[1]:1\na = MatMul(x,w)\nb = Relu(a)\nc = Unsqueeze(b,i)\n" \
    "d = Constant() value={f32[1]:2}\ne = Mul(c,d)\nf = LeakyRelu(e) alpha=0.5\ng = Transpose(f) perm=[0,2,1]\nout g\n"

/* Every prefix, and every byte changed in several ways. */
static void damage(void **state)
{
    (void)state;
    struct pt_buf b = test_model(GRAPH_TEXT);
    struct pt_err err;
    assert_int_equal(open_bytes(b.data, b.len, &err), PT_OK);
    for (size_t i = 0; i < b.len; i++) {
        char *cut = malloc(i + 1); /* its own block, so that reading past the end is seen */
        memcpy(cut, b.data, i);
        open_bytes(cut, i, &err);
        free(cut);
    }
    for (size_t i = 0; i < b.len; i++) {
        char old = b.data[i];
        for (int bit = 0; bit < 8; bit++) {
            b.data[i] = (char)(old ^ (1 << bit));
            open_bytes(b.data, b.len, &err);
        }
        b.data[i] = (char)0xff;
        open_bytes(b.data, b.len, &err);
        b.data[i] = old;
    }
    pt_buf_finish(&b);
}

/* --- messages put together by hand ------------------------------------------------------------------------------------------------- */

/* A model with one initializer and one output, which is it. */
static int open_tensor(struct pt_buf *tensor, struct pt_err *err)
{
    struct pt_buf model = PT_BUF_INIT(0), graph = PT_BUF_INIT(0), opset = PT_BUF_INIT(0), out = PT_BUF_INIT(0);
    pt_pb_put_bytes(tensor, 8, "w", 1);
    pt_pb_put_bytes(&graph, 5, tensor->data, tensor->len);
    pt_pb_put_bytes(&out, 1, "w", 1);
    pt_pb_put_bytes(&graph, 12, out.data, out.len);
    pt_pb_put_varint(&opset, 2, 13);
    pt_pb_put_varint(&model, 1, 8);
    pt_pb_put_bytes(&model, 8, opset.data, opset.len);
    pt_pb_put_bytes(&model, 7, graph.data, graph.len);
    int rc = open_bytes(model.data, model.len, err);
    pt_buf_finish(tensor);
    pt_buf_finish(&model);
    pt_buf_finish(&graph);
    pt_buf_finish(&opset);
    pt_buf_finish(&out);
    return rc;
}

static void tensors(void **state)
{
    (void)state;
    struct pt_err err;
    struct pt_buf t;
#define TENSOR(result, message, ...) \
    do { \
        t = PT_BUF_INIT(0); \
        __VA_ARGS__; \
        assert_int_equal(open_tensor(&t, &err), result); \
        assert_string_equal(err.msg, message); \
    } while (0)
    float one = 1;
    uint32_t bits;
    memcpy(&bits, &one, 4);
    TENSOR(PT_OK, "", pt_pb_put_varint(&t, 1, 1), pt_pb_put_varint(&t, 2, PT_FLOAT), pt_pb_put_i32(&t, 4, bits));
    TENSOR(PT_OK, "", pt_pb_put_varint(&t, 2, PT_BOOL), pt_pb_put_bytes(&t, 9, "\x07", 1));
    TENSOR(PT_OK, "", pt_pb_put_varint(&t, 1, 0), pt_pb_put_varint(&t, 2, PT_FLOAT));
    TENSOR(PT_EPARSE, "tensor 'w': data_type is missing", pt_pb_put_varint(&t, 1, 1));
    TENSOR(PT_EUNSUPPORTED, "tensor 'w': data_type 99 is not a known element type", pt_pb_put_varint(&t, 2, 99));
    TENSOR(PT_EPARSE, "tensor 'w': float32[2] has 1 data entries, needs 2", pt_pb_put_varint(&t, 1, 2), pt_pb_put_varint(&t, 2, PT_FLOAT),
           pt_pb_put_i32(&t, 4, bits));
    TENSOR(PT_EPARSE, "tensor 'w': float32[2] has 4 bytes of raw_data, needs 8", pt_pb_put_varint(&t, 1, 2), pt_pb_put_varint(&t, 2, PT_FLOAT),
           pt_pb_put_bytes(&t, 9, "abcd", 4));
    TENSOR(PT_EPARSE, "tensor 'w': float32[1] has 0 data entries, needs 1", pt_pb_put_varint(&t, 1, 1), pt_pb_put_varint(&t, 2, PT_FLOAT));
    TENSOR(PT_EINVAL, "tensor 'w': shape float32[-1] is negative or too large", pt_pb_put_varint(&t, 1, UINT64_MAX), pt_pb_put_varint(&t, 2, PT_FLOAT));
    TENSOR(PT_EINVAL, "tensor 'w': shape float32[4294967296,4294967296] is negative or too large", pt_pb_put_varint(&t, 1, 1ull << 32),
           pt_pb_put_varint(&t, 1, 1ull << 32), pt_pb_put_varint(&t, 2, PT_FLOAT));
    TENSOR(PT_EINVAL, "tensor 'w': shape float32[0,4294967296,4294967296] is negative or too large", pt_pb_put_varint(&t, 1, 0),
           pt_pb_put_varint(&t, 1, 1ull << 32), pt_pb_put_varint(&t, 1, 1ull << 32), pt_pb_put_varint(&t, 2, PT_FLOAT));
    TENSOR(PT_EPARSE, "tensor 'w': int64 elements cannot be in data field 4", pt_pb_put_varint(&t, 1, 1), pt_pb_put_varint(&t, 2, PT_INT64),
           pt_pb_put_i32(&t, 4, bits));
    TENSOR(PT_EUNSUPPORTED, "tensor 'w': external data '': a model read from memory needs the option that names its folder", pt_pb_put_varint(&t, 2, PT_FLOAT),
           pt_pb_put_varint(&t, 14, 1));
    TENSOR(PT_EPARSE, "tensor 'w': strings cannot be in raw_data", pt_pb_put_varint(&t, 2, PT_STRING), pt_pb_put_bytes(&t, 9, "abcd", 4));
    TENSOR(PT_ELIMIT, "tensor 'w': rank 17 is over the limit of 16", pt_pb_put_bytes(&t, 1, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 17),
           pt_pb_put_varint(&t, 2, PT_FLOAT));
}

/* A graph in an attribute of a graph in an attribute ... */
static void nested_graphs(void **state)
{
    (void)state;
    struct pt_buf graph = PT_BUF_INIT(0), model = PT_BUF_INIT(0);
    struct pt_err err;
    for (int i = 0; i < 100; i++) {
        struct pt_buf attr = PT_BUF_INIT(0), node = PT_BUF_INIT(0), outer = PT_BUF_INIT(0);
        pt_pb_put_bytes(&attr, 1, "body", 4);
        pt_pb_put_bytes(&attr, 6, graph.data ? graph.data : "", graph.len);
        pt_pb_put_varint(&attr, 20, 5);
        pt_pb_put_bytes(&node, 4, "Loop", 4);
        pt_pb_put_bytes(&node, 5, attr.data, attr.len);
        pt_pb_put_bytes(&outer, 1, node.data, node.len);
        pt_buf_finish(&attr);
        pt_buf_finish(&node);
        pt_buf_finish(&graph);
        graph = outer;
    }
    pt_pb_put_varint(&model, 1, 8);
    pt_pb_put_bytes(&model, 7, graph.data, graph.len);
    assert_int_equal(open_bytes(model.data, model.len, &err), PT_ELIMIT);
    assert_non_null(strstr(err.msg, "graphs are nested deeper than 16"));
    pt_buf_finish(&graph);
    pt_buf_finish(&model);
}

static void models(void **state)
{
    (void)state;
    struct pt_err err;
    struct pt_buf b = PT_BUF_INIT(0);
    assert_int_equal(open_bytes("PK\3\4 a zip file", 15, &err), PT_EPARSE);
    assert_int_equal(open_bytes("", 0, &err), PT_EPARSE);
    assert_string_equal(err.msg, "not an ONNX model: it has no graph");
    pt_pb_put_varint(&b, 1, 2);
    pt_pb_put_bytes(&b, 7, "", 0);
    assert_int_equal(open_bytes(b.data, b.len, &err), PT_EUNSUPPORTED);
    assert_string_equal(err.msg, "IR version 2 is not supported (supported: 3 to 13)");
    pt_buf_finish(&b);
    /* 4 MiB of empty nodes: an error of memory or of content, quickly */
    struct pt_buf graph = PT_BUF_INIT(0);
    for (int i = 0; i < 2 << 20; i++)
        pt_buf_append(&graph, "\x0a\x00", 2);
    pt_pb_put_varint(&b, 1, 8);
    pt_pb_put_bytes(&b, 7, graph.data, graph.len);
    assert_true(open_bytes(b.data, b.len, &err) < 0);
    pt_buf_finish(&graph);
    pt_buf_finish(&b);
}

/* A long chain: nothing recurses over the graph. */
static void long_chain(void **state)
{
    (void)state;
    struct pt_buf text = PT_BUF_INIT(0);
    struct pt_err err;
    pt_buf_puts(&text, "in x f32[1]\n");
    for (int i = 20000; i > 0; i--) /* last node first */
        pt_buf_printf(&text, "v%d = Abs(%c%d)\n", i, i > 1 ? 'v' : 'x', i - 1);
    pt_buf_puts(&text, "x0 = Neg(x)\nout v20000\n");
    struct pt_buf b = test_model(pt_buf_cstr(&text));
    assert_int_equal(open_bytes(b.data, b.len, &err), PT_OK);
    pt_buf_finish(&b);
    pt_buf_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs), cmocka_unit_test(damage), cmocka_unit_test(tensors),
        cmocka_unit_test(nested_graphs), cmocka_unit_test(models), cmocka_unit_test(long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
