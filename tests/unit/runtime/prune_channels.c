/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_channels.c: removing channels and heads is exact: a model whose removed channels were made zero says the same as the one that does not have
 * them any more. On random architectures, and on those things that exporters write.
 */
#include "tests/unit/runtime/model.h"

#include "base/rand.h"
#include "runtime/compress/prune.h"
#include "runtime/compress/tap.h"

/* --- running ------------------------------------------------------------------------------------------------------------------ */

static void open_model(struct pt_edit *e, struct pt_buf *bytes, const char *text)
{
    struct pt_err err = {0};
    *bytes = test_model(text);
    if (pt_edit_open_memory(e, bytes->data, bytes->len, &err) < 0)
        fail_msg("%s\n%s", err.msg, text);
}

/* All outputs of the model on made-up inputs (free dims: 2), one behind the other. */
static size_t outputs(struct pt_edit *e, float *out, size_t room, const char *text)
{
    struct pt_err err = {0};
    struct pt_tap *tap = NULL;
    struct pt_tensor in[4] = {{0}};
    struct pt_rand r;
    pt_rand_init(&r, 11);
    if (pt_tap_open(e, NULL, 0, NULL, &tap, &err) < 0)
        fail_msg("%s\n%s", err.msg, text);
    size_t count = pt_session_input_count(pt_tap_session(tap)), n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct pt_value_info *vi = pt_session_input(pt_tap_session(tap), i);
        in[i] = (struct pt_tensor){.dtype = vi->dtype, .rank = vi->rank};
        for (int k = 0; k < vi->rank; k++)
            in[i].dims[k] = vi->dims[k] < 0 ? 2 : vi->dims[k];
        int64_t elements = pt_tensor_count(&in[i]);
        in[i].size_bytes = (size_t)elements * pt_dtype_bits(vi->dtype) / 8;
        in[i].data = malloc(in[i].size_bytes);
        for (int64_t k = 0; k < elements; k++)
            if (vi->dtype == PT_FLOAT)
                ((float *)in[i].data)[k] = (float)pt_rand_normal(&r);
            else
                ((int64_t *)in[i].data)[k] = pt_rand_below(&r, 4);
    }
    if (pt_tap_run(tap, in, count, &err) < 0)
        fail_msg("%s\n%s", err.msg, text);
    for (size_t i = 0; i < e->model.graph.output_count; i++) {
        const struct pt_tensor *t = pt_tap_output(tap, i);
        assert_int_equal(t->dtype, PT_FLOAT);
        assert_true(n + t->size_bytes / 4 <= room);
        memcpy(out + n, t->data, t->size_bytes);
        n += t->size_bytes / 4;
    }
    for (size_t i = 0; i < count; i++)
        free(in[i].data);
    pt_tap_close(tap);
    return n;
}

static struct pt_prune_report pruned(struct pt_edit *e, const struct pt_prune_options *o, const char *text)
{
    struct pt_prune_report r;
    struct pt_err err = {0};
    if (pt_prune(e, NULL, o, &r, &err) < 0)
        fail_msg("%s\n%s", err.msg, text);
    return r;
}

/* Removes and makes zero, and compares. The share of parameters that is left. */
static double exact(const char *text, struct pt_prune_options o)
{
    static float zeroed[65536], removed[65536];
    struct pt_edit a, b;
    struct pt_buf ab, bb, saved = {0};
    struct pt_err err = {0};
    open_model(&a, &ab, text);
    open_model(&b, &bb, text);
    o.zeros_only = true;
    struct pt_prune_report ra = pruned(&a, &o, text);
    o.zeros_only = false;
    struct pt_prune_report rb = pruned(&b, &o, text);
    size_t n = outputs(&a, zeroed, 65536, text);
    assert_int_equal(outputs(&b, removed, 65536, text), n);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(zeroed[i] - removed[i]) <= 1e-4F * fmaxf(1, fabsf(zeroed[i]))))
            fail_msg("output %zu: %g with zeros, %g with less\n%s", i, (double)zeroed[i], (double)removed[i], text);
    /* what is written can be read again */
    assert_int_equal(pt_onnx_write(&b.model, &saved, &err), PT_OK);
    struct pt_edit again;
    assert_int_equal(pt_edit_open_memory(&again, saved.data, saved.len, &err), PT_OK);
    assert_int_equal(outputs(&again, zeroed, 65536, text), n);
    assert_memory_equal(zeroed, removed, n * sizeof(float));
    double left = (double)rb.total.parameters / (double)rb.total.parameters_before;
    assert_true(rb.total.macs <= rb.total.macs_before && rb.total.bytes <= rb.total.bytes_before);
    for (size_t i = 0; i < rb.count; i++) {
        assert_true(rb.layers[i].units >= 1);
        assert_int_equal(ra.layers[i].parameters, rb.layers[i].parameters_before);
        if (!(rb.layers[i].units == rb.layers[i].units_before) == (rb.layers[i].reason.len > 0))
            fail_msg("layer " PT_STR_FMT ": %lld of %lld units, reason '" PT_STR_FMT "'\n%s", PT_STR_ARG(rb.layers[i].name),
                     (long long)rb.layers[i].units, (long long)rb.layers[i].units_before, PT_STR_ARG(rb.layers[i].reason), text);
    }
    pt_edit_finish(&again);
    pt_buf_finish(&saved);
    pt_prune_report_finish(&ra);
    pt_prune_report_finish(&rb);
    pt_edit_finish(&a);
    pt_edit_finish(&b);
    pt_buf_finish(&ab);
    pt_buf_finish(&bb);
    return left;
}

/* --- architectures -------------------------------------------------------------------------------------------------------------- */

/* A network that grows: `now` is the value at its end, [2, channels, 6, 6]. */
struct net {
    struct pt_buf text;
    struct pt_rand r;
    int values, channels;
    char now[16];
};

static int fresh(struct net *n)
{
    return ++n->values;
}

/* const wK of those dims, random. */
static int weights(struct net *n, double scale, double mean, int rank, const int *dims)
{
    int k = fresh(n), count = 1;
    pt_buf_printf(&n->text, "const w%d f32[", k);
    for (int i = 0; i < rank; i++, count *= dims[i - 1])
        pt_buf_printf(&n->text, "%s%d", i ? "," : "", dims[i]);
    pt_buf_puts(&n->text, "]:");
    for (int i = 0; i < count; i++)
        pt_buf_printf(&n->text, "%s%.4f", i ? "," : "", mean + scale * pt_rand_normal(&n->r));
    pt_buf_putc(&n->text, '\n');
    return k;
}
#define WEIGHTS(n, scale, mean, ...) weights(n, scale, mean, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (int[]){__VA_ARGS__})

static void step(struct net *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void step(struct net *n, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    snprintf(n->now, sizeof n->now, "v%d", fresh(n));
    pt_buf_printf(&n->text, "%s = %s\n", n->now, line);
}

static void conv(struct net *n, int out, int kernel, int groups)
{
    int w = WEIGHTS(n, 1 / sqrt(n->channels * kernel * kernel / groups), 0, out, n->channels / groups, kernel, kernel);
    int b = WEIGHTS(n, 0.3, 0, out);
    step(n, "Conv(%s,w%d,w%d) group=%d pads=[%d,%d,%d,%d]", n->now, w, b, groups, kernel / 2, kernel / 2, kernel / 2, kernel / 2);
    n->channels = out;
}

static void norm(struct net *n)
{
    int c = n->channels, s = WEIGHTS(n, 0.3, 1, c), b = WEIGHTS(n, 0.3, 0, c), m = WEIGHTS(n, 0.3, 0, c), v = WEIGHTS(n, 0.02, 1, c);
    step(n, "BatchNormalization(%s,w%d,w%d,w%d,w%d)", n->now, s, b, m, v);
}

static void residual(struct net *n)
{
    char before[16];
    int c = n->channels;
    memcpy(before, n->now, sizeof before);
    conv(n, c + 3, 3, 1);
    step(n, "Relu(%s)", n->now);
    conv(n, c, 1, 1);
    step(n, "Add(%s,%s)", n->now, before);
}

static void squeeze(struct net *n)
{
    char before[16];
    int c = n->channels;
    memcpy(before, n->now, sizeof before);
    if (pt_rand_below(&n->r, 2)) {
        step(n, "GlobalAveragePool(%s)", n->now);
    } else {
        int k = fresh(n);
        pt_buf_printf(&n->text, "const z%d i64[2]:2,-1\n", k);
        step(n, "ReduceMean(%s,z%d)", n->now, k);
    }
    conv(n, 4, 1, 1);
    step(n, "Relu(%s)", n->now);
    conv(n, c, 1, 1);
    step(n, "Sigmoid(%s)", n->now);
    step(n, "Mul(%s,%s)", before, n->now);
}

static void dense(struct net *n)
{
    char before[16];
    int c = n->channels;
    memcpy(before, n->now, sizeof before);
    conv(n, 5, 3, 1);
    step(n, "Concat(%s,%s) axis=1", before, n->now);
    n->channels = c + 5;
}

static void halves(struct net *n)
{
    int c = n->channels - n->channels % 2, k = fresh(n), l = fresh(n);
    if (c != n->channels)
        conv(n, c, 1, 1);
    pt_buf_printf(&n->text, "const s%d i64[2]:%d,%d\nh%d, h%d = Split(%s,s%d) axis=1\n", k, c / 2, c / 2, k, l, n->now, k);
    n->channels = c / 2;
    snprintf(n->now, sizeof n->now, "h%d", k);
    conv(n, c, 3, 1);
    step(n, "Concat(h%d,%s) axis=1", l, n->now);
    n->channels = c + c / 2;
}

static void shuffle(struct net *n)
{
    int c = n->channels + (4 - n->channels % 4) % 4, k = fresh(n);
    conv(n, c, 1, 4 * 4 > c && n->channels % 4 == 0 ? 4 : 1);
    pt_buf_printf(&n->text, "const a%d i64[5]:0,4,%d,6,6\nconst b%d i64[4]:0,%d,6,6\n", k, c / 4, k, c);
    step(n, "Reshape(%s,a%d)", n->now, k);
    step(n, "Transpose(%s) perm=[0,2,1,3,4]", n->now);
    step(n, "Reshape(%s,b%d)", n->now, k);
}

static void part(struct net *n)
{
    int k = fresh(n), c = n->channels;
    pt_buf_printf(&n->text, "const p%d i64[1]:1\nconst q%d i64[1]:%d\nconst r%d i64[1]:1\n", k, k, c, k);
    step(n, "Slice(%s,p%d,q%d,r%d)", n->now, k, k, k);
    n->channels = c - 1;
}

static void grow(struct net *n)
{
    int c = n->channels, k;
    if (c > 20) {
        conv(n, 8, 1, 1);
        return;
    }
    switch (pt_rand_below(&n->r, 15)) {
    case 0:
        conv(n, 4 + (int)pt_rand_below(&n->r, 8), 3, 1);
        norm(n);
        step(n, "Relu(%s)", n->now);
        break;
    case 1:
        residual(n);
        break;
    case 2:
        conv(n, c * (1 + (int)pt_rand_below(&n->r, 2)), 3, c); /* depthwise */
        step(n, "HardSwish(%s)", n->now);
        break;
    case 3:
        if (c % 2)
            conv(n, c + 1, 1, 1);
        conv(n, 8, 3, 2); /* two groups */
        break;
    case 4:
        squeeze(n);
        break;
    case 5:
        dense(n);
        break;
    case 6:
        halves(n);
        break;
    case 7:
        k = WEIGHTS(n, 0.3, 0, c, 6, 3, 3);
        step(n, "ConvTranspose(%s,w%d) pads=[1,1,1,1]", n->now, k);
        n->channels = 6;
        break;
    case 8:
        k = WEIGHTS(n, 0.3, 0.2, c, 1, 1);
        step(n, "PRelu(%s,w%d)", n->now, k);
        break;
    case 9:
        k = WEIGHTS(n, 0.5, 1, 1, c, 1, 1);
        step(n, "%s(%s,w%d)", pt_rand_below(&n->r, 2) ? "Mul" : "Add", n->now, k);
        break;
    case 10:
        shuffle(n);
        break;
    case 11:
        if (c > 4)
            part(n);
        break;
    case 13:
        conv(n, 8, 1, 1);
        k = WEIGHTS(n, 0.3, 1, 4);
        step(n, "GroupNormalization(%s,w%d,w%d) num_groups=4", n->now, k, k);
        break;
    case 12:
        step(n, "MaxPool(%s) kernel_shape=[3,3] pads=[1,1,1,1]", n->now);
        break;
    default:
        k = WEIGHTS(n, 0.2, 1, c);
        step(n, "InstanceNormalization(%s,w%d,w%d)", n->now, k, k);
        break;
    }
}

static void head(struct net *n)
{
    int c = n->channels, k = fresh(n), flat = c * 36;
    if (c > 14 || pt_rand_below(&n->r, 2)) {
        step(n, "GlobalAveragePool(%s)", n->now);
        flat = c;
    }
    if (pt_rand_below(&n->r, 2)) {
        step(n, "Flatten(%s)", n->now);
    } else {
        pt_buf_printf(&n->text, "const f%d i64[2]:0,%d\n", k, flat);
        step(n, "Reshape(%s,f%d)", n->now, k);
    }
    int w = WEIGHTS(n, 0.2, 0, flat, 12), b = WEIGHTS(n, 0.2, 0, 12);
    step(n, "MatMul(%s,w%d)", n->now, w);
    step(n, "Add(w%d,%s)", b, n->now);
    step(n, "Gelu(%s)", n->now);
    w = WEIGHTS(n, 0.3, 0, 5, 12);
    b = WEIGHTS(n, 0.3, 0, 5);
    step(n, "Gemm(%s,w%d,w%d) transB=1", n->now, w, b);
    pt_buf_printf(&n->text, "out %s\n", n->now);
}

static void random_networks(void **state)
{
    (void)state;
    double sum = 0;
    int smaller = 0;
    enum { NETWORKS = 60 };
    for (int seed = 0; seed < NETWORKS; seed++) {
        struct net n = {.channels = 3, .now = "x"};
        pt_rand_init(&n.r, (uint64_t)seed);
        pt_buf_puts(&n.text, "opset 20\nin x f32[-1,3,6,6]\n");
        conv(&n, 8, 3, 1);
        for (int i = 0, blocks = 2 + (int)pt_rand_below(&n.r, 5); i < blocks; i++)
            grow(&n);
        head(&n);
        struct pt_prune_options o = {.kind = PT_PRUNE_CHANNELS, .amount = 0.5, .scope = seed % 2 ? PT_PRUNE_GLOBAL : PT_PRUNE_PER_LAYER};
        double left = exact(pt_buf_cstr(&n.text), o);
        smaller += left < 1;
        sum += left;
        pt_buf_finish(&n.text);
    }
    assert_int_equal(smaller, NETWORKS);
    assert_true(sum / NETWORKS < 0.6); /* 0.25 to 0.5 where nothing stands in the way */
}

/* Nothing of that kind can be removed, which is said. */
static void expect_refusal(const char *text, enum pt_prune_kind kind, const char *why)
{
    struct pt_edit e;
    struct pt_buf bytes;
    struct pt_prune_report r;
    struct pt_err err;
    open_model(&e, &bytes, text);
    assert_int_equal(pt_prune(&e, NULL, &(struct pt_prune_options){.kind = kind, .amount = 0.5}, &r, &err), PT_EUNSUPPORTED);
    if (!strstr(err.msg, why))
        fail_msg("'%s' does not say '%s'", err.msg, why);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* --- attention -------------------------------------------------------------------------------------------------------------------- */

/* As exporters write it: 4 heads of 2 of a width of 8, free batch and length. `computed`: shapes come out of Shape. */
static void attend(struct net *n, bool computed)
{
    char in[16], q[16], k[16], v[16];
    int shape = fresh(n);
    memcpy(in, n->now, sizeof in);
    if (computed)
        pt_buf_printf(&n->text,
                      "const i%d i64[1]:0\nconst j%d i64[1]:1\nconst h%d i64[1]:4\nconst d%d i64[1]:2\nconst m%d i64[1]:8\nt%d = Shape(%s)\ng%d = "
                      "Gather(t%d,i%d)\nl%d = Gather(t%d,j%d)\nc%d = Concat(g%d,l%d,h%d,d%d) axis=0\ne%d = Concat(g%d,l%d,m%d) axis=0\n",
                      shape, shape, shape, shape, shape, shape, in, shape, shape, shape, shape, shape, shape, shape, shape, shape, shape, shape,
                      shape, shape, shape, shape);
    else
        pt_buf_printf(&n->text, "const c%d i64[4]:0,-1,4,2\nconst e%d i64[3]:0,0,8\n", shape, shape);
    char *names[] = {q, k, v};
    for (int i = 0; i < 3; i++) {
        int w = WEIGHTS(n, 0.5, 0, 8, 8), b = WEIGHTS(n, 0.3, 0, 8);
        step(n, "MatMul(%s,w%d)", in, w);
        step(n, "Add(%s,w%d)", n->now, b);
        step(n, "Reshape(%s,c%d)", n->now, shape);
        step(n, "Transpose(%s) perm=[0,2,%s]", n->now, i == 1 ? "3,1" : "1,3");
        memcpy(names[i], n->now, sizeof q);
    }
    step(n, "MatMul(%s,%s)", q, k);
    step(n, "Softmax(%s) axis=-1", n->now);
    step(n, "MatMul(%s,%s)", n->now, v);
    step(n, "Transpose(%s) perm=[0,2,1,3]", n->now);
    step(n, "Reshape(%s,e%d)", n->now, shape);
    int w = WEIGHTS(n, 0.5, 0, 8, 8);
    step(n, "MatMul(%s,w%d)", n->now, w);
    step(n, "Add(%s,%s)", n->now, in);
}

static void feed_forward(struct net *n)
{
    char in[16];
    memcpy(in, n->now, sizeof in);
    int s = WEIGHTS(n, 0.2, 1, 8), b = WEIGHTS(n, 0.2, 0, 8), up = WEIGHTS(n, 0.5, 0, 8, 16), ub = WEIGHTS(n, 0.3, 0, 16),
        down = WEIGHTS(n, 0.5, 0, 16, 8);
    step(n, "LayerNormalization(%s,w%d,w%d)", in, s, b);
    step(n, "MatMul(%s,w%d)", n->now, up);
    step(n, "Add(%s,w%d)", n->now, ub);
    step(n, "Gelu(%s)", n->now);
    step(n, "MatMul(%s,w%d)", n->now, down);
    step(n, "Add(%s,%s)", n->now, in);
}

static void transformer(void **state)
{
    (void)state;
    for (int computed = 0; computed < 2; computed++) {
        struct net n = {.now = "x"};
        pt_rand_init(&n.r, 5);
        pt_buf_puts(&n.text, "opset 20\nin x f32[-1,-1,8]\n");
        attend(&n, computed);
        feed_forward(&n);
        attend(&n, computed);
        pt_buf_printf(&n.text, "out %s\n", n.now);
        double heads = exact(pt_buf_cstr(&n.text), (struct pt_prune_options){.kind = PT_PRUNE_HEADS, .amount = 0.5});
        double channels = exact(pt_buf_cstr(&n.text), (struct pt_prune_options){.kind = PT_PRUNE_CHANNELS, .amount = 0.5});
        assert_true(heads < 0.75 && channels < 0.85);
        assert_true(exact(pt_buf_cstr(&n.text), (struct pt_prune_options){.kind = PT_PRUNE_HEADS, .amount = 0.5, .scope = PT_PRUNE_GLOBAL}) < 0.8);
        pt_buf_finish(&n.text);
    }
}

/* One matrix for queries, keys and values; attention in one node of com.microsoft, with the matrix inside, or behind products. */
static void fused_attention(void **state)
{
    (void)state;
    struct net n = {0};
    pt_rand_init(&n.r, 6);
    pt_buf_puts(&n.text, "opset 17\nin x f32[-1,3,8]\n");
    int w = WEIGHTS(&n, 0.5, 0, 8, 24), b = WEIGHTS(&n, 0.3, 0, 24), out = WEIGHTS(&n, 0.5, 0, 8, 8);
    pt_buf_printf(&n.text,
                  "const s i64[5]:0,0,3,4,2\nconst k0 i64[]:0\nconst k1 i64[]:1\nconst k2 i64[]:2\nconst f i64[3]:0,0,8\nm = MatMul(x,w%d)\na = "
                  "Add(m,w%d)\nr = Reshape(a,s)\nt = Transpose(r) perm=[2,0,3,1,4]\nq = Gather(t,k0)\nk = Gather(t,k1)\nv = Gather(t,k2)\nkt = "
                  "Transpose(k) perm=[0,1,3,2]\ns1 = MatMul(q,kt)\np = Softmax(s1)\no = MatMul(p,v)\not = Transpose(o) perm=[0,2,1,3]\nof = "
                  "Reshape(ot,f)\ny = MatMul(of,w%d)\nout y\n",
                  w, b, out);
    struct pt_prune_options o = {.kind = PT_PRUNE_HEADS, .amount = 0.5};
    assert_true(exact(pt_buf_cstr(&n.text), o) < 0.6);
    pt_buf_finish(&n.text);

    n = (struct net){0};
    pt_rand_init(&n.r, 7);
    pt_buf_puts(&n.text, "opset 17\nin x f32[-1,3,8]\n");
    w = WEIGHTS(&n, 0.5, 0, 8, 24), b = WEIGHTS(&n, 0.3, 0, 24), out = WEIGHTS(&n, 0.5, 0, 8, 8);
    pt_buf_printf(&n.text, "a = com.microsoft::Attention(x,w%d,w%d) num_heads=4\ny = MatMul(a,w%d)\nout y\n", w, b, out);
    assert_true(exact(pt_buf_cstr(&n.text), o) < 0.6);
    pt_buf_finish(&n.text);

    for (int flat = 0; flat < 2; flat++) { /* of ai.onnx */
        n = (struct net){0};
        pt_rand_init(&n.r, 9);
        pt_buf_puts(&n.text, "opset 23\nin x f32[-1,3,8]\nconst h i64[4]:0,3,4,2\nconst f i64[3]:0,3,8\n");
        w = WEIGHTS(&n, 0.5, 0, 8, 8), b = WEIGHTS(&n, 0.5, 0, 8, 8), out = WEIGHTS(&n, 0.5, 0, 8, 8);
        pt_buf_printf(&n.text, "q = MatMul(x,w%d)\nk = MatMul(x,w%d)\n", w, b);
        if (flat)
            pt_buf_puts(&n.text, "a = Attention(q,k,k) q_num_heads=4 kv_num_heads=4\n");
        else
            pt_buf_puts(&n.text, "qh = Reshape(q,h)\nkh = Reshape(k,h)\nqt = Transpose(qh) perm=[0,2,1,3]\nkt = Transpose(kh) perm=[0,2,1,3]\no = "
                                 "Attention(qt,kt,kt)\not = Transpose(o) perm=[0,2,1,3]\na = Reshape(ot,f)\n");
        pt_buf_printf(&n.text, "y = MatMul(a,w%d)\nout y\n", out);
        assert_true(exact(pt_buf_cstr(&n.text), o) < 0.6);
        pt_buf_finish(&n.text);
    }

    n = (struct net){0};
    pt_rand_init(&n.r, 8);
    pt_buf_puts(&n.text, "opset 17\nin x f32[-1,3,8]\n");
    w = WEIGHTS(&n, 0.5, 0, 8, 8), b = WEIGHTS(&n, 0.5, 0, 8, 8), out = WEIGHTS(&n, 0.5, 0, 8, 8);
    pt_buf_printf(&n.text,
                  "q = MatMul(x,w%d)\nk = MatMul(x,w%d)\na = com.microsoft::MultiHeadAttention(q,k,k) num_heads=4\ny = MatMul(a,w%d)\nout y\n", w, b,
                  out);
    assert_true(exact(pt_buf_cstr(&n.text), o) < 0.6);
    pt_buf_finish(&n.text);
}

/* Heads folded into the batch, by -1 or by arithmetic with the batch: they go. Outputs are compared with a batch of 2. By arithmetic that is more
 * than a product they stay, and the Reshape says so. */
static void folded_heads(void **state)
{
    (void)state;
    for (int computed = 0; computed < 3; computed++) {
        struct net n = {0};
        pt_rand_init(&n.r, 12);
        pt_buf_puts(&n.text,
                    "opset 17\nin x f32[-1,3,8]\nconst four i64[]:4\nconst zero i64[]:0\nconst a0 i64[1]:0\nconst len i64[1]:3\nconst d i64[1]:2\n"
                    "const s i64[4]:0,3,4,2\nconst u i64[4]:-1,4,3,2\nconst f i64[3]:0,3,8\n");
        if (computed)
            pt_buf_puts(&n.text, "sh = Shape(x)\nbatch = Gather(sh,zero)\nbh = Mul(batch,four)\n");
        if (computed == 2)
            pt_buf_puts(&n.text, "bhz = Add(bh,zero)\n");
        if (computed)
            pt_buf_printf(&n.text, "bhu = Unsqueeze(%s,a0)\nfold = Concat(bhu,len,d) axis=0\n", computed == 2 ? "bhz" : "bh");
        else
            pt_buf_puts(&n.text, "const fold i64[3]:-1,3,2\n");
        const char *names[] = {"q", "k", "v"};
        for (int i = 0; i < 3; i++) {
            int w = WEIGHTS(&n, 0.5, 0, 8, 8);
            pt_buf_printf(&n.text, "%s0 = MatMul(x,w%d)\n%s1 = Reshape(%s0,s)\n%s2 = Transpose(%s1) perm=[0,2,1,3]\n%s = Reshape(%s2,fold)\n",
                          names[i], w, names[i], names[i], names[i], names[i], names[i], names[i]);
        }
        int out = WEIGHTS(&n, 0.5, 0, 8, 8);
        pt_buf_printf(&n.text,
                      "kt = Transpose(k) perm=[0,2,1]\ns1 = MatMul(q,kt)\ns2 = Reshape(s1,u4)\nconst u4 i64[4]:-1,4,3,3\np4 = Softmax(s2)\np = "
                      "Reshape(p4,f3)\nconst f3 i64[3]:-1,3,3\no = MatMul(p,v)\no4 = Reshape(o,u)\not = Transpose(o4) perm=[0,2,1,3]\nof = "
                      "Reshape(ot,f)\ny = MatMul(of,w%d)\nout y\n",
                      out);
        struct pt_prune_options o = {.kind = PT_PRUNE_HEADS, .amount = 0.5};
        if (computed < 2)
            assert_true(exact(pt_buf_cstr(&n.text), o) < 0.6);
        else
            expect_refusal(pt_buf_cstr(&n.text), o.kind, "(Reshape): the shape is computed");
        pt_buf_finish(&n.text);
    }
}

/* torch.nn.MultiheadAttention as PyTorch writes it: 4 heads of 2 of a width of 8, [length, batch, width], all sizes out of Shape. Queries, keys and
 * values come from one matrix: cut by thirds of its width, or (newer) by an axis of 3. Heads are folded into the batch by batch x heads, or by batch,
 * heads. */
static void multihead(struct net *n, bool thirds, bool folds)
{
    int w = WEIGHTS(n, 0.5, 0, 8, 24), b = WEIGHTS(n, 0.3, 0, 24), out = WEIGHTS(n, 0.5, 0, 8, 8), bias = WEIGHTS(n, 0.3, 0, 8);
    pt_buf_printf(&n->text, "p0 = MatMul(x,w%d)\npacked = Add(p0,w%d)\n", w, b);
    pt_buf_puts(&n->text,
                "const i0 i64[]:0\nconst i1 i64[]:1\nconst i2 i64[]:2\nconst h i64[]:4\nconst a0 i64[1]:0\nconst three i64[1]:3\nconst two "
                "i64[1]:2\nconst last i64[1]:-1\nconst scale f32[]:1.41421356\nsh = Shape(x)\nlen = Gather(sh,i0)\nbatch = Gather(sh,i1)\nwidth = "
                "Gather(sh,i2)\nsize0 = Div(width,h)\nsize = Cast(size0) to=7\nlu = Unsqueeze(len,a0)\nbu = Unsqueeze(batch,a0)\nwu = "
                "Unsqueeze(width,a0)\ndu = Unsqueeze(size,a0)\nhu = Unsqueeze(h,a0)\nbh = Mul(batch,h)\nbhu = Unsqueeze(bh,a0)\n");
    if (thirds)
        pt_buf_puts(&n->text, "ps = Shape(packed)\nall = Gather(ps,last)\nm0 = Add(all,two)\nt1 = Div(m0,three)\nt2 = Mul(t1,two)\nt3 = "
                              "Mul(t1,three)\nqi = Slice(packed,a0,t1,last)\nki = Slice(packed,t1,t2,last)\nvi = Slice(packed,t2,t3,last)\n");
    else if (folds) /* the shape is a part of another, and more */
        pt_buf_puts(&n->text, "ps = Shape(packed)\nmod = Mod(two,three)\nfront = Slice(ps,a0,mod)\nback2 = Concat(three,wu) axis=0\ncut = "
                              "Concat(front,back2) axis=0\n");
    else
        pt_buf_puts(&n->text, "cut = Concat(lu,bu,three,wu) axis=0\n");
    if (!thirds)
        pt_buf_puts(&n->text, "c0 = Reshape(packed,cut)\nc1 = Unsqueeze(c0,a0)\nc2 = Transpose(c1) perm=[3,1,2,0,4]\nconst a3 i64[1]:3\nc3 = "
                              "Squeeze(c2,a3)\nqi = Gather(c3,i0)\nki = Gather(c3,i1)\nvi = Gather(c3,i2)\n");
    pt_buf_puts(&n->text, "fold = Concat(lu,bhu,du) axis=0\nopen = Concat(bu,hu,lu,du) axis=0\n");
    for (const char *c = "qkv"; *c; c++) {
        pt_buf_printf(&n->text, "%c1 = Reshape(%ci,fold)\n%c2 = Transpose(%c1) perm=[1,0,2]\n", *c, *c, *c, *c);
        pt_buf_printf(&n->text, folds ? "%c = Identity(%c2)\n" : "%c = Reshape(%c2,open)\n", *c, *c);
    }
    pt_buf_printf(&n->text, "qs = Div(q,scale)\nkt = Transpose(k) perm=[%s]\ns = MatMul(qs,kt)\np = Softmax(s) axis=-1\no = MatMul(p,v)\n",
                  folds ? "0,2,1" : "0,1,3,2");
    pt_buf_printf(
        &n->text,
        "ot = Transpose(o) perm=[%s]\nlb = Mul(len,batch)\nlbu = Unsqueeze(lb,a0)\nflat = Concat(lbu,wu) axis=0\nof = Reshape(ot,flat)\ng = "
        "Gemm(of,w%d,w%d)\nback = Concat(lu,bu,wu) axis=0\nr = Reshape(g,back)\ny = Add(r,x)\n",
        folds ? "1,0,2" : "2,0,1,3", out, bias);
}

/* The same between two inputs: its matrix is cut by a Split. */
static void attention_of_two(struct net *n)
{
    int w = WEIGHTS(n, 0.5, 0, 24, 8), out = WEIGHTS(n, 0.5, 0, 8, 8);
    pt_buf_printf(&n->text, "const thirds i64[3]:8,8,8\nwq,wk,wv = Split(w%d,thirds) axis=0\nconst s i64[4]:0,0,4,2\nconst f i64[3]:0,0,8\n", w);
    for (const char *c = "qkv"; *c; c++)
        pt_buf_printf(&n->text, "t%c = Transpose(w%c) perm=[1,0]\n%c0 = MatMul(%c,t%c)\n%c1 = Reshape(%c0,s)\n%c = Transpose(%c1) perm=[0,2,%s]\n",
                      *c, *c, *c, *c == 'q' ? 'x' : 'z', *c, *c, *c, *c, *c, *c == 'k' ? "3,1" : "1,3");
    pt_buf_printf(&n->text,
                  "a = MatMul(q,k)\np = Softmax(a) axis=-1\no = MatMul(p,v)\not = Transpose(o) perm=[0,2,1,3]\nof = Reshape(ot,f)\ny = "
                  "MatMul(of,w%d)\n",
                  out);
}

static void torch_heads(void **state)
{
    (void)state;
    struct net two = {0};
    pt_rand_init(&two.r, 29);
    pt_buf_puts(&two.text, "opset 17\nin x f32[-1,3,8]\nin z f32[-1,5,8]\n");
    attention_of_two(&two);
    pt_buf_puts(&two.text, "out y\n");
    assert_true(exact(pt_buf_cstr(&two.text), (struct pt_prune_options){.kind = PT_PRUNE_HEADS, .amount = 0.5}) < 0.6);
    pt_buf_finish(&two.text);
    for (int form = 0; form < 4; form++) {
        struct net n = {0};
        pt_rand_init(&n.r, 30 + (uint64_t)form);
        pt_buf_puts(&n.text, "opset 17\nin x f32[-1,-1,8]\n");
        multihead(&n, form & 1, form & 2);
        pt_buf_puts(&n.text, "out y\n");
        assert_true(exact(pt_buf_cstr(&n.text), (struct pt_prune_options){.kind = PT_PRUNE_HEADS, .amount = 0.5}) < 0.6);
        assert_true(exact(pt_buf_cstr(&n.text), (struct pt_prune_options){.kind = PT_PRUNE_HEADS, .amount = 0.25}) < 0.8);
        /* the mean of what the heads look at would be over fewer */
        if (form == 0) {
            pt_buf_puts(&n.text, "const a1 i64[1]:1\nlooks = ReduceSum(p,a1)\nout looks\n");
            expect_refusal(pt_buf_cstr(&n.text), PT_PRUNE_HEADS, "node 'looks' (ReduceSum): it would be missing in the sum");
        }
        pt_buf_finish(&n.text);
    }
}

/* --- what stops it, and what is said ---------------------------------------------------------------------------------------------- */

/* The reason of a layer, after pruning all of them by half. */
static void expect_reason(const char *text, enum pt_prune_kind kind, const char *layer, const char *reason)
{
    struct pt_edit e;
    struct pt_buf bytes;
    bool found = false;
    struct pt_err err = {0};
    struct pt_prune_report r;
    open_model(&e, &bytes, text);
    struct pt_prune_options o = {.kind = kind, .amount = 0.5};
    int rc = pt_prune(&e, NULL, &o, &r, &err);
    if (rc < 0) { /* nothing at all could go */
        assert_int_equal(rc, PT_EUNSUPPORTED);
        if (!strstr(err.msg, layer) || !strstr(err.msg, reason))
            fail_msg("'%s' does not say '%s' of %s", err.msg, reason, layer);
        found = true;
    }
    for (size_t i = 0; i < r.count; i++)
        if (pt_str_eq(r.layers[i].name, pt_str(layer))) {
            struct pt_str got = pt_edit_text(&e, PT_STR_FMT, PT_STR_ARG(r.layers[i].reason));
            found = true;
            if (!strstr(got.p, reason))
                fail_msg("layer %s: '%s' does not say '%s'", layer, got.p, reason);
        }
    assert_true(found);
    pt_prune_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

#define TWO "const a f32[4,2]:1,2,3,4,5,6,7,8\nconst b f32[2,4]:1,2,3,4,5,6,7,8\n"
static void reasons(void **state)
{
    (void)state;
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO "h = MatMul(x,b)\ny = MatMul(h,a)\nout y\nout h\n", PT_PRUNE_CHANNELS, "h",
                  "it is an output of the model");
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO "h = MatMul(x,b)\ns = Softmax(h)\ny = MatMul(s,a)\nout y\n", PT_PRUNE_CHANNELS, "h",
                  "node 's' (Softmax): the channels are compared with each other");
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO "const g f32[4]:1,1,1,1\nh = MatMul(x,b)\ns = LayerNormalization(h,g)\ny = MatMul(s,a)\nout y\n",
                  PT_PRUNE_CHANNELS, "h", "node 's' (LayerNormalization): a mean over the channels");
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO "h = MatMul(x,b)\ns = CumSum(h,k)\nconst k i64[]:1\ny = MatMul(s,a)\nout y\n", PT_PRUNE_CHANNELS,
                  "h", "node 's' (CumSum): channels are not followed through this operator");
    expect_reason("opset 17\nin x f32[-1,2]\nin z f32[-1,4]\n" TWO "h = MatMul(x,b)\ns = Add(h,z)\ny = MatMul(s,a)\nout y\n", PT_PRUNE_CHANNELS, "h",
                  "node 's' (Add): an input of the model cannot shrink");
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO "h = MatMul(x,b)\ny = MatMul(h,a)\nout y\n", PT_PRUNE_HEADS, "h", "no attention heads");
    /* the sigmoid of zero is none */
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO "const i i64[1]:-1\nh = MatMul(x,b)\ns = Sigmoid(h)\ny = ReduceSum(s,i)\nout y\n",
                  PT_PRUNE_CHANNELS, "h", "node 'y' (ReduceSum): it would be missing in the sum");
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO "h = MatMul(x,b)\ns = Sigmoid(h)\nt = Transpose(s)\ny = MatMul(s,t)\nout y\n", PT_PRUNE_CHANNELS,
                  "h", "node 'y' (MatMul): it would be missing in the sum");
    /* a scale that is computed from the number of channels, and what is written behind it */
    expect_reason("opset 17\nin x f32[-1,2]\n" TWO
                  "const i i64[]:1\nh = MatMul(x,b)\nn = Shape(h)\nc = Gather(n,i)\nf = Cast(c) to=1\nr = Sqrt(f)\ns = "
                  "Div(h,r)\ny = MatMul(s,a)\nout y\n",
                  PT_PRUNE_CHANNELS, "h", "node 'r' (Sqrt): the number of channels is computed with");
    expect_reason("opset 17\nin x f32[-1,2]\nin c b[]\n" TWO
                  "graph t\nq = Relu(h)\nout q\nend\nh = MatMul(x,b)\ny = MatMul(h,a)\nz = If(c) then_branch=@t else_branch=@t\nout y\nout z\n",
                  PT_PRUNE_CHANNELS, "h", "graph");
    /* a table of embeddings that the last layer reads transposed: rows are places, and the output's */
    expect_reason("opset 17\nin x i64[-1]\nconst e f32[4,2]:1,2,3,4,5,6,7,8\nconst b f32[2,2]:1,2,3,4\nh = Gather(e,x)\ng = MatMul(h,b)\nt = "
                  "Transpose(e)\ny = MatMul(g,t)\nout y\n",
                  PT_PRUNE_CHANNELS, "y", "node 'h' (Gather): its indices are places along it");
    expect_reason("opset 17\nin x f32[-1,2]\nconst w f32[4,2]:1,2,3,4,5,6,7,8\nconst a f32[1,4,4]:1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8\nconst b "
                  "f32[1,4,1]:1,2,3,4\nconst s i64[3]:0,1,4\nq = Gemm(x,w) transB=1\nr = Reshape(q,s)\ny = LSTM(r,a,b) hidden_size=1\nout y\n",
                  PT_PRUNE_CHANNELS, "q", "node 'y' (LSTM): recurrent layers are not pruned");
}

/* Groups are coupled: what is left of one layer's is left of all's; rules hold for those coupled too. */
static void rules(void **state)
{
    (void)state;
    static const char text[] =
        "opset 17\nin x f32[-1,2]\nconst a f32[2,4]:1,2,3,4,5,6,7,8\nconst b f32[2,4]:4,3,2,1,1,2,3,4\nconst c "
        "f32[4,4]:1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,"
        "4\nconst d f32[4,1]:1,1,1,1\np = MatMul(x,a)\nq = MatMul(x,b)\ns = Add(p,q)\nr = MatMul(s,c)\ny = MatMul(r,d)\nout y\n";
    struct pt_prune_rule list[] = {{"q", 0}};
    struct pt_prune_options o = {.kind = PT_PRUNE_CHANNELS, .amount = 0.5, .rules = list, .rule_count = 1};
    struct pt_edit e;
    struct pt_buf bytes;
    open_model(&e, &bytes, text);
    struct pt_prune_report r = pruned(&e, &o, text);
    assert_int_equal(r.layers[0].units, 4);
    assert_int_equal(r.layers[1].units, 4);
    assert_int_equal(r.layers[2].units, 2);
    pt_prune_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
    open_model(&e, &bytes, text);
    list[0] = (struct pt_prune_rule){"*", 0.25};
    o.round_to = 2;
    r = pruned(&e, &o, text);
    for (int i = 0; i < 3; i++) /* 3 of 4 would stay: rounded up to a multiple of 2 */
        assert_int_equal(r.layers[i].units, 4);
    pt_prune_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* The channels worth least go: here 1 and 2 by their weights, 0 and 3 by the norm's scale. */
static void criteria(void **state)
{
    (void)state;
    static const char text[] =
        "opset 17\nin x f32[-1,1,2,2]\nconst w f32[4,1,1,1]:9,1,-2,8\nconst s f32[4]:1,5,-6,2\nconst b f32[4]:0,0,0,0\nconst m "
        "f32[4]:0,0,0,0\nconst v f32[4]:1,1,1,1\nconst o f32[1,4,1,1]:1,1,1,1\nc = Conv(x,w)\nn = "
        "BatchNormalization(c,s,b,m,v)\ny = Conv(n,o)\nout y\n";
    static const float left[][2] = {{9, 8}, {9, 8}, {1, -2}};
    for (int criterion = PT_PRUNE_L1; criterion <= PT_PRUNE_BN_SCALE; criterion++) {
        struct pt_prune_options o = {.kind = PT_PRUNE_CHANNELS, .criterion = (enum pt_prune_criterion)criterion, .amount = 0.5};
        struct pt_edit e;
        struct pt_buf bytes;
        open_model(&e, &bytes, text);
        struct pt_prune_report r = pruned(&e, &o, text);
        const struct pt_edit_value *w = pt_edit_value(&e, PT_STR("w"), NULL);
        assert_memory_equal(e.model.graph.initializers[w->initializer].t.data, left[criterion], sizeof left[criterion]);
        pt_prune_report_finish(&r);
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
    }
}

/* Means over channels that are fewer: the model that one would write by hand with what is left. Written out in pieces it is the same. */
static void through_norms(void **state)
{
    (void)state;
#define PIECES                                                                                                                                       \
    "const e f32[]:0.00001\nconst two f32[]:2\nm = ReduceMean(h) axes=[-1]\nd = Sub(h,m)\np = Pow(d,two)\nv = ReduceMean(p) axes=[-1]\nve = "        \
    "Add(v,e)\nr = Sqrt(ve)\nn0 = Div(d,r)\nn1 = Mul(n0,g)\nn = Add(n1,b)\n"
    static const char *const norms[] = {"n = LayerNormalization(h,g,b)\n", PIECES};
    for (int i = 0; i < 2; i++) {
        static float got[16], want[16];
        pt_auto_buf whole = {0}, left = {0};
        struct pt_edit e, by_hand;
        struct pt_buf bytes, hand_bytes;
        pt_buf_printf(
            &whole,
            "opset 17\nin x f32[3,2]\nconst w f32[2,4]:5,0.1,0.2,-4,3,0.3,0.1,7\nconst g f32[4]:1,2,3,4\nconst b f32[4]:0.1,0.2,0.3,0.4\nconst "
            "o f32[4,1]:1,-2,3,-4\nh = MatMul(x,w)\n%sy = MatMul(n,o)\nout y\n",
            norms[i]);
        pt_buf_printf(&left,
                      "opset 17\nin x f32[3,2]\nconst w f32[2,2]:5,-4,3,7\nconst g f32[2]:1,4\nconst b f32[2]:0.1,0.4\nconst o f32[2,1]:1,-4\nh = "
                      "MatMul(x,w)\n%sy = MatMul(n,o)\nout y\n",
                      norms[i]);
        open_model(&e, &bytes, pt_buf_cstr(&whole));
        open_model(&by_hand, &hand_bytes, pt_buf_cstr(&left));
        struct pt_prune_options o = {.kind = PT_PRUNE_CHANNELS, .amount = 0.5, .through_norms = true};
        struct pt_prune_report r = pruned(&e, &o, norms[i]);
        size_t n = outputs(&e, got, 16, norms[i]);
        assert_int_equal(n, outputs(&by_hand, want, 16, norms[i]));
        assert_memory_equal(got, want, n * sizeof *got);
        pt_prune_report_finish(&r);
        pt_edit_finish(&e);
        pt_edit_finish(&by_hand);
        pt_buf_finish(&bytes);
        pt_buf_finish(&hand_bytes);
    }
}

/* Whatever fails, the model is what it was. */
static void any_failure(struct net *n, enum pt_prune_kind kind)
{
    struct pt_prune_options o = {.kind = kind, .amount = 0.5};
    struct pt_err err = {0};
    pt_threads_create(1, &o.threads, &err);
    int rc = PT_ENOMEM;
    for (int at = 1; rc < 0; at += 1 + at / 16) {
        struct pt_edit e;
        struct pt_buf bytes, before = {0}, after = {0};
        struct pt_prune_report r;
        open_model(&e, &bytes, pt_buf_cstr(&n->text));
        assert_int_equal(pt_onnx_write(&e.model, &before, &err), PT_OK);
        err = (struct pt_err){0};
        pt_mem_fail_at(at, 0);
        rc = pt_prune(&e, NULL, &o, &r, &err);
        pt_mem_fail_at(0, 0);
        if (rc < 0) {
            if (rc != PT_ENOMEM)
                fail_msg("allocation %d: %s", at, err.msg);
            assert_int_equal(pt_onnx_write(&e.model, &after, &err), PT_OK);
            assert_int_equal(before.len, after.len);
            assert_memory_equal(before.data, after.data, before.len);
        }
        pt_prune_report_finish(&r);
        pt_buf_finish(&before);
        pt_buf_finish(&after);
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
    }
    pt_threads_destroy(o.threads);
    pt_buf_finish(&n->text);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct net n = {.channels = 3, .now = "x"};
    pt_rand_init(&n.r, 9);
    pt_buf_puts(&n.text, "opset 20\nin x f32[-1,3,6,6]\n");
    conv(&n, 4, 3, 1);
    shuffle(&n);
    halves(&n);
    head(&n);
    any_failure(&n, PT_PRUNE_CHANNELS);
    n = (struct net){0};
    pt_buf_puts(&n.text, "opset 17\nin x f32[-1,-1,8]\n");
    multihead(&n, true, true);
    pt_buf_puts(&n.text, "out y\n");
    any_failure(&n, PT_PRUNE_HEADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_networks), cmocka_unit_test(transformer), cmocka_unit_test(fused_attention),
                                       cmocka_unit_test(folded_heads),    cmocka_unit_test(torch_heads), cmocka_unit_test(reasons),
                                       cmocka_unit_test(rules),           cmocka_unit_test(criteria),    cmocka_unit_test(through_norms),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
