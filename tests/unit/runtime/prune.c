/* SPDX-License-Identifier: Apache-2.0
 *
 * prune.c: the kinds of pruning that make zeros: which weights go, what keeps them zero, schedules, what is refused.
 */
#include "tests/unit/runtime/model.h"

#include "base/rand.h"
#include "runtime/compress/prune.h"
#include "runtime/train/evaluate.h"

#include <unistd.h>

/* w: 2 outputs of 4 inputs; v: 4 inputs x 2 outputs, as MatMul wants them. */
static const char two_layers[] = "opset 17\nin x f32[-1,4]\nconst w f32[2,4]:1,-5,2,8,-3,4,7,-6\nconst v f32[2,2]:1,2,-3,4\nh = Gemm(x,w) "
                                 "transB=1\ny = MatMul(h,v)\nout y\n";

static void open_model(struct pt_edit *e, struct pt_buf *bytes, const char *text)
{
    struct pt_err err = {0};
    *bytes = test_model(text);
    if (pt_edit_open_memory(e, bytes->data, bytes->len, &err) < 0)
        fail_msg("%s", err.msg);
}

static const struct pt_tensor *weights(struct pt_edit *e, const char *name)
{
    const struct pt_edit_value *v = pt_edit_value(e, pt_str(name), NULL);
    assert_non_null(v);
    return &e->model.graph.initializers[v->initializer].t;
}

/* Weights that nobody changed lie in the file as they may. */
static void expect_weights(struct pt_edit *e, const char *name, const char *expected)
{
    struct pt_tensor t = *weights(e, name);
    void *aligned = malloc(t.size_bytes);
    memcpy(aligned, t.data, t.size_bytes);
    t.data = aligned;
    test_compare(&t, expected, name);
    free(aligned);
}

/* Prunes and compares weights `name` with what is expected ("f32[2]:1,0"). */
static void expect(const char *model, struct pt_prune_options o, const struct pt_data *samples, const char *name, const char *expected)
{
    struct pt_edit e;
    struct pt_buf bytes;
    struct pt_prune_report r;
    struct pt_err err = {0};
    open_model(&e, &bytes, model);
    if (pt_prune(&e, samples, &o, &r, &err) < 0)
        fail_msg("%s", err.msg);
    expect_weights(&e, name, expected);
    int64_t zeros = 0;
    for (size_t m = 0; m < r.mask_count; m++) { /* masks say where the zeros are */
        struct pt_str text = pt_edit_text(&e, PT_STR_FMT, PT_STR_ARG(r.masks[m].name));
        const struct pt_tensor *t = weights(&e, text.p);
        for (int64_t i = 0; i < pt_tensor_count(t); i++) {
            assert_true(r.masks[m].keep[i] || !(fabsf(((const float *)t->data)[i]) > 0));
            zeros += !r.masks[m].keep[i];
        }
    }
    assert_int_equal(r.total.zeros, zeros);
    pt_prune_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void single_weights(void **state)
{
    (void)state;
    expect(two_layers, (struct pt_prune_options){.amount = 0.5}, NULL, "w", "f32[2,4]:0,-5,0,8,0,0,7,-6");
    expect(two_layers, (struct pt_prune_options){.amount = 0.5}, NULL, "v", "f32[2,2]:0,0,-3,4");
    expect(two_layers, (struct pt_prune_options){.amount = 0.25, .criterion = PT_PRUNE_L2}, NULL, "v", "f32[2,2]:0,2,-3,4");
    /* 6 of 12 together: 1 1 2 2 3 3 */
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .scope = PT_PRUNE_GLOBAL}, NULL, "w", "f32[2,4]:0,-5,0,8,0,4,7,-6");
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .scope = PT_PRUNE_GLOBAL}, NULL, "v", "f32[2,2]:0,0,0,4");
    /* no layer loses more than half: w gives what v may not */
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .scope = PT_PRUNE_GLOBAL, .max_per_layer = 0.5}, NULL, "v", "f32[2,2]:0,0,-3,4");
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .scope = PT_PRUNE_GLOBAL, .max_per_layer = 0.5}, NULL, "w",
           "f32[2,4]:0,-5,0,8,0,0,7,-6");
    /* LAMP: 16/16, 9/25, 4/29, 1/30 of v; 64/64, 49/113, 36/149, 25/174, 16/190, 9/199, ... of w */
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .scope = PT_PRUNE_GLOBAL, .lamp = true, .criterion = PT_PRUNE_L2}, NULL, "v",
           "f32[2,2]:0,0,-3,4");
    struct pt_prune_rule rules[] = {{"*", 0}, {"y", 0.75}};
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .rules = rules, .rule_count = 2}, NULL, "w", "f32[2,4]:1,-5,2,8,-3,4,7,-6");
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .rules = rules, .rule_count = 2}, NULL, "v", "f32[2,2]:0,0,0,4");
}

static void patterns(void **state)
{
    (void)state;
    struct pt_prune_options nm = {.kind = PT_PRUNE_N_OF_M};
    expect(two_layers, nm, NULL, "w", "f32[2,4]:0,-5,0,8,0,0,7,-6");
    expect(two_layers, nm, NULL, "v", "f32[2,2]:1,2,-3,4"); /* two inputs: both are the rest that stays */
    nm.n = 1, nm.m = 2;
    expect(two_layers, nm, NULL, "v", "f32[2,2]:0,0,-3,4"); /* inputs are rows there */
    nm.n = 1, nm.m = 3;
    expect(two_layers, nm, NULL, "w", "f32[2,4]:0,-5,0,8,0,0,7,-6"); /* 3 and a rest of 1 */
    /* along the channels of a kernel, not across it */
    expect("opset 17\nin x f32[1,2,4,4]\nconst w f32[1,2,1,2]:1,2,3,-1\ny = Conv(x,w)\nout y\n",
           (struct pt_prune_options){.kind = PT_PRUNE_N_OF_M, .n = 1, .m = 2}, NULL, "w", "f32[1,2,1,2]:0,2,3,0");
    struct pt_prune_options blocks = {.kind = PT_PRUNE_BLOCKS, .amount = 0.5, .block_rows = 2, .block_cols = 1};
    expect(two_layers, blocks, NULL, "w", "f32[2,4]:0,0,2,8,0,0,7,-6"); /* sums 4 9 9 14; the first of equal ones goes */
    blocks.block_rows = 1, blocks.block_cols = 2;
    expect(two_layers, blocks, NULL, "w", "f32[2,4]:0,0,2,8,0,0,7,-6");
    blocks.block_rows = 4, blocks.block_cols = 3; /* one of 3 columns, one of what is left */
    expect(two_layers, blocks, NULL, "w", "f32[2,4]:0,0,0,8,0,0,0,-6");
}

static const float X[] = {1, 0.01F, 5, 1, 1, 0.01F, 5, 1, 1, 0.02F, 5, 1};
static const int64_t LABELS[] = {0, 1, 0};
static const struct pt_tensor inputs = {.dtype = PT_FLOAT, .rank = 2, .dims = {3, 4}, .data = (void *)(uintptr_t)X, .size_bytes = sizeof X};
static const struct pt_data samples = {
    .inputs = &inputs,
    .input_count = 1,
    .count = 3,
    .labels = {.dtype = PT_INT64, .rank = 1, .dims = {3}, .data = (void *)(uintptr_t)LABELS, .size_bytes = sizeof LABELS}};

/* What is multiplied with little is worth little (Wanda, within an output); so is what the loss does not depend on (Taylor). */
static void by_samples(void **state)
{
    (void)state;
    expect(two_layers, (struct pt_prune_options){.amount = 0.5, .criterion = PT_PRUNE_WANDA}, &samples, "w", "f32[2,4]:0,0,2,8,0,0,7,-6");
    expect("opset 17\nin x f32[-1,4]\nconst w f32[4,2]:1,2,3,4,5,6,7,8\nconst z f32[4]:0.01,1,0.01,1\na = Mul(x,z)\ny = MatMul(a,w)\nout y\n",
           (struct pt_prune_options){.amount = 0.5, .criterion = PT_PRUNE_TAYLOR}, &samples, "w",
           "f32[4,2]:0,0,0,0,5,6,7,8"); /* times 0.01, 0.01, 0.05, 1 */
    struct pt_prune_options random = {.amount = 0.5, .criterion = PT_PRUNE_RANDOM, .seed = 3};
    struct pt_edit e[2];
    struct pt_buf bytes[2];
    struct pt_err err;
    for (int i = 0; i < 2; i++) {
        struct pt_prune_report r;
        open_model(&e[i], &bytes[i], two_layers);
        assert_int_equal(pt_prune(&e[i], NULL, &random, &r, &err), PT_OK);
        assert_int_equal(r.total.zeros, 6);
        pt_prune_report_finish(&r);
    }
    assert_memory_equal(weights(&e[0], "w")->data, weights(&e[1], "w")->data, 8 * sizeof(float));
    for (int i = 0; i < 2; i++) {
        pt_edit_finish(&e[i]);
        pt_buf_finish(&bytes[i]);
    }
}

static void fails(const char *model, struct pt_prune_options o, const struct pt_data *d, int code, const char *message)
{
    struct pt_edit e;
    struct pt_buf bytes, before = {0}, after = {0};
    struct pt_prune_report r;
    struct pt_err err = {0};
    open_model(&e, &bytes, model);
    assert_int_equal(pt_onnx_write(&e.model, &before, &err), PT_OK);
    assert_int_equal(pt_prune(&e, d, &o, &r, &err), code);
    if (!strstr(err.msg, message))
        fail_msg("'%s' does not say '%s'", err.msg, message);
    assert_int_equal(pt_onnx_write(&e.model, &after, &err), PT_OK);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    pt_buf_finish(&before);
    pt_buf_finish(&after);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void refuses(void **state)
{
    (void)state;
    struct pt_prune_rule rule = {"conv*", 0.5}, much = {"*", 1};
    fails(two_layers, (struct pt_prune_options){.amount = 1}, NULL, PT_EINVAL, "amount to prune is 1, must be from 0 to below 1");
    fails(two_layers, (struct pt_prune_options){.amount = -0.1}, NULL, PT_EINVAL, "is -0.1");
    fails(two_layers, (struct pt_prune_options){.amount = (double)NAN}, NULL, PT_EINVAL, "must be from 0");
    fails(two_layers, (struct pt_prune_options){.rules = &much, .rule_count = 1}, NULL, PT_EINVAL, "layers \"*\"");
    fails(two_layers, (struct pt_prune_options){.rules = &rule, .rule_count = 1}, NULL, PT_ENOTFOUND,
          "match \"conv*\"; the first of 2 layers is 'h' with 'w'");
    fails(two_layers, (struct pt_prune_options){.kind = PT_PRUNE_N_OF_M, .n = 4, .m = 4}, NULL, PT_EINVAL, "4 of 4 weights cannot stay");
    fails(two_layers, (struct pt_prune_options){.kind = PT_PRUNE_N_OF_M, .scope = PT_PRUNE_GLOBAL}, NULL, PT_EINVAL, "no global scope");
    fails(two_layers, (struct pt_prune_options){.amount = 0.5, .criterion = PT_PRUNE_WANDA}, NULL, PT_EINVAL, "wanda needs samples");
    fails(two_layers, (struct pt_prune_options){.amount = 0.5, .criterion = PT_PRUNE_BN_SCALE}, NULL, PT_EINVAL, "bn-scale");
    fails(two_layers, (struct pt_prune_options){.amount = 0.5, .criterion = PT_PRUNE_BN_SCALE, .kind = PT_PRUNE_CHANNELS}, NULL, PT_EINVAL,
          "layer 'h': no BatchNormalization");
    struct pt_data unlabelled = samples;
    unlabelled.labels = (struct pt_tensor){0};
    fails(two_layers, (struct pt_prune_options){.amount = 0.5, .criterion = PT_PRUNE_TAYLOR}, &unlabelled, PT_EINVAL, "labels");
    fails("opset 17\nin x f32[1,4]\ny = Relu(x)\nout y\n", (struct pt_prune_options){.amount = 0.5}, NULL, PT_EINVAL, "no layer to prune");
    fails("opset 17\nin x f32[1,2]\nconst q i8[2,2]:1,2,3,4\nconst s f32[]:0.5\nw = DequantizeLinear(q,s)\ny = MatMul(x,w)\nout y\n",
          (struct pt_prune_options){.amount = 0.5}, NULL, PT_EUNSUPPORTED, "prune before quantising");
    fails("opset 17\nin x f32[1,2]\nconst w f32[2,2]:1,nan,3,4\ny = MatMul(x,w)\nout y\n", (struct pt_prune_options){.amount = 0.5}, NULL, PT_EINVAL,
          "weight 1 of 'w' is worth nan");
}

static struct pt_str reason(struct pt_edit *e, struct pt_prune_report *r, size_t i)
{
    return pt_edit_text(e, PT_STR_FMT, PT_STR_ARG(r->layers[i].reason));
}

/* Weights behind Constant, Identity, Transpose; those of two nodes; those that are no float32. */
static void odd_weights(void **state)
{
    (void)state;
    expect("opset 17\nin x f32[1,2]\nw = Constant() value={f32[2,2]:1,2,3,4}\ni = Identity(w)\ny = MatMul(x,i)\nout y\n",
           (struct pt_prune_options){.amount = 0.5}, NULL, "i", "f32[2,2]:0,0,3,4");
    /* of each output's inputs one stays: transposed, outputs are rows */
    expect("opset 17\nin x f32[1,2]\nconst w f32[2,2]:1,2,4,3\nt = Transpose(w) perm=[1,0]\ny = MatMul(x,t)\nout y\n",
           (struct pt_prune_options){.kind = PT_PRUNE_N_OF_M, .n = 1, .m = 2}, NULL, "w", "f32[2,2]:0,2,4,0");
    struct pt_edit e;
    struct pt_buf bytes;
    struct pt_prune_report r;
    struct pt_err err;
    open_model(&e, &bytes,
               "opset 17\nin x f32[1,2]\nin z f16[1,2]\nconst w f32[2,2]:1,2,4,3\nconst h f16[2,2]:1,2,3,4\na = MatMul(x,w)\nb = MatMul(a,w)\nc = "
               "MatMul(z,h)\nd = MatMul(w,b_)\nb_ = Transpose(b)\nout d\nout c\n");
    struct pt_prune_options o = {.amount = 0.5};
    assert_int_equal(pt_prune(&e, NULL, &o, &r, &err), PT_OK);
    assert_string_equal(reason(&e, &r, 0).p, "");
    assert_string_equal(reason(&e, &r, 1).p, "its weights are those of a layer before it");
    assert_string_equal(reason(&e, &r, 2).p, "the weights are not float32");
    assert_int_equal(r.mask_count, 1);
    pt_auto_buf json = {0};
    assert_int_equal(pt_prune_report_json(&r, &json, &err), PT_OK);
    assert_non_null(strstr(pt_buf_cstr(&json),
                           "{\"name\":\"a\",\"weight\":\"w\",\"op\":\"MatMul\",\"units\":[2,2],\"parameters\":[4,4],\"zeros\":[0,2],\"macs\":[4,4],"
                           "\"bytes\":[16,16],\"reason\":\"\"}"));
    pt_prune_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void schedules(void **state)
{
    (void)state;
    static const struct {
        struct pt_sparsity_schedule s;
        int64_t t;
        double want;
    } cases[] = {
        {{PT_SPARSITY_POLYNOMIAL, 0.5, 0.8, 3, 100, 500, 100}, 100, 0.5},
        {{PT_SPARSITY_POLYNOMIAL, 0.5, 0.8, 3, 100, 500, 100}, 300, 0.8 - 0.3 * 0.125}, /* TF-MOT's PolynomialDecay */
        {{PT_SPARSITY_POLYNOMIAL, 0.5, 0.8, 3, 100, 500, 100}, 900, 0.8},
        {{PT_SPARSITY_POLYNOMIAL, 0.5, 0.8, 3, 100, 500, 100}, 99, 0},
        {{PT_SPARSITY_POLYNOMIAL_SLOW, 0.5, 0.8, 3, 100, 500, 100}, 300, 0.5 + 0.3 * 0.125},
        {{PT_SPARSITY_LINEAR, 0, 0.8, 0, 0, 100, 1}, 25, 0.2},
        {{PT_SPARSITY_EXPONENTIAL, 0, 0.75, 0, 0, 100, 1}, 50, 0.5},
        {{PT_SPARSITY_COSINE, 0, 0.8, 0, 0, 90, 1}, 60, 0.8 * 0.5},
        {{PT_SPARSITY_CONSTANT, 0, 0.8, 0, 10, 90, 1}, 10, 0.8},
        {{PT_SPARSITY_OF_REMAINING, 0, 0.2, 0, 0, 20, 10}, 0, 0.2},
        {{PT_SPARSITY_OF_REMAINING, 0, 0.2, 0, 0, 20, 10}, 19, 1 - 0.64},
        {{PT_SPARSITY_OF_REMAINING, 0, 0.2, 0, 0, 20, 10}, 20, 1 - 0.512},
        {{PT_SPARSITY_OF_REMAINING, 0, 0.2, 0, 0, 25, 10}, 400, 1 - 0.4096},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (fabs(pt_sparsity_at(&cases[i].s, cases[i].t) - cases[i].want) > 1e-12)
            fail_msg("case %zu: %g, not %g", i, pt_sparsity_at(&cases[i].s, cases[i].t), cases[i].want);
    struct pt_sparsity_schedule s = {.begin = 5, .end = 27, .frequency = 10};
    int due = 0;
    for (int64_t t = 0; t < 100; t++)
        due += pt_sparsity_is_due(&s, t) ? (t == 5 || t == 15 || t == 25 || t == 27 ? 1 : 100) : 0;
    assert_int_equal(due, 4);
    struct pt_err err;
    s = (struct pt_sparsity_schedule){.initial = 0.5, .final = 0.3, .end = 3};
    assert_int_equal(pt_sparsity_check(&s, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "cannot fall from 0.5 to 0.3"));
    for (int k = 0; k <= PT_SPARSITY_OF_REMAINING; k++)
        assert_non_null(pt_sparsity_kinds[k]);
    assert_null(pt_sparsity_kinds[PT_SPARSITY_OF_REMAINING + 1]);
}

/* --- while training --------------------------------------------------------------------------------------------------------- */

#define POINTS 200
static float points[POINTS * 2];
static int64_t sides[POINTS];
static const struct pt_tensor plane = {.dtype = PT_FLOAT, .rank = 2, .dims = {POINTS, 2}, .data = points, .size_bytes = sizeof points};
static const struct pt_data data = {.inputs = &plane,
                                    .input_count = 1,
                                    .count = POINTS,
                                    .labels = {.dtype = PT_INT64, .rank = 1, .dims = {POINTS}, .data = sides, .size_bytes = sizeof sides}};
/* A model with room for its weights, which are random. */
static void zeros(struct pt_buf *text, const char *name, const char *dims, int count)
{
    pt_buf_printf(text, "const %s f32%s:0", name, dims);
    for (int i = 1; i < count; i++)
        pt_buf_puts(text, ",0");
    pt_buf_putc(text, '\n');
}

static void open_ring(struct pt_edit *e, struct pt_buf *bytes)
{
    struct pt_err err;
    pt_auto_buf text = {0};
    pt_buf_puts(&text, "opset 17\nin x f32[-1,2]\n");
    zeros(&text, "w", "[2,16]", 32);
    zeros(&text, "b", "[16]", 16);
    zeros(&text, "v", "[16,2]", 32);
    pt_buf_puts(&text, "h = MatMul(x,w)\ng = Add(h,b)\nr = Relu(g)\ny = MatMul(r,v)\nout y\n");
    open_model(e, bytes, pt_buf_cstr(&text));
    assert_int_equal(pt_train_reset(e, 5, &err), PT_OK);
    struct pt_rand r;
    pt_rand_init(&r, 3);
    for (int i = 0; i < POINTS; i++) {
        points[2 * i] = (float)(pt_rand_unit(&r) * 4 - 2);
        points[2 * i + 1] = (float)(pt_rand_unit(&r) * 4 - 2);
        sides[i] = points[2 * i] * points[2 * i] + points[2 * i + 1] * points[2 * i + 1] < 2;
    }
}

struct watch {
    struct pt_edit *e;
    double last;
    int rises;
};

static double share_of_zeros(struct pt_edit *e)
{
    int64_t zeros = 0;
    for (int k = 0; k < 2; k++) {
        const struct pt_tensor *t = weights(e, k ? "w" : "v");
        for (int i = 0; i < 32; i++)
            zeros += !(fabsf(((const float *)t->data)[i]) > 0);
    }
    return (double)zeros / 64;
}

static int look(void *arg, const struct pt_train_progress *p, struct pt_err *err)
{
    struct watch *w = arg;
    double now = share_of_zeros(w->e);
    (void)err;
    (void)p;
    assert_true(now >= w->last);
    w->rises += now > w->last;
    w->last = now;
    return 0;
}

static void while_training(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    struct pt_err err = {0};
    struct pt_pruner *p;
    struct pt_prune_report r;
    struct pt_train_result result;
    open_ring(&e, &bytes);
    struct watch w = {.e = &e};
    struct pt_prune_options o = {.scope = PT_PRUNE_GLOBAL};
    struct pt_sparsity_schedule s = {.kind = PT_SPARSITY_LINEAR, .final = 0.5, .begin = 20, .end = 100, .frequency = 20};
    struct pt_train_options t = {
        .optimizer = {.kind = PT_ADAMW, .rate = 0.02F}, .batch_size = 20, .epochs = 40, .seed = 1, .after_step = look, .after_step_arg = &w};
    if (pt_pruner_create(&e, &o, &s, &p, &err) < 0 || pt_pruner_attach(p, &t, &err) < 0 || pt_train(&e, &data, NULL, &t, &result, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(w.rises, 4); /* at 20 the schedule says 0; at 40, 60, 80 and 100 more */
    assert_true(fabs(share_of_zeros(&e) - 0.5) < 0.02);
    assert_int_equal(pt_pruner_report(p, &r, &err), PT_OK);
    assert_int_equal(r.total.zeros, (int64_t)(64 * share_of_zeros(&e)));
    assert_true(result.points[39].loss < 0.5 * result.points[0].loss);
    pt_free(result.points);
    pt_pruner_destroy(p);

    /* zeros that are there already stay so, with another optimizer too */
    struct pt_train_mask *masks;
    size_t count;
    assert_int_equal(pt_prune_masks_of(&e, 0.1, &masks, &count, &err), PT_OK);
    assert_int_equal(count, 2);
    t = (struct pt_train_options){
        .optimizer = {.kind = PT_SGD, .rate = 0.1F, .momentum = 0.9F}, .batch_size = 20, .epochs = 2, .seed = 1, .masks = masks, .mask_count = count};
    double before = share_of_zeros(&e);
    assert_int_equal(pt_train(&e, &data, NULL, &t, &result, &err), PT_OK);
    assert_true(fabs(before - share_of_zeros(&e)) < 1e-9);
    pt_free(result.points);
    pt_prune_masks_free(masks, count);
    pt_prune_report_finish(&r);
    o = (struct pt_prune_options){.kind = PT_PRUNE_CHANNELS};
    assert_int_equal(pt_pruner_create(&e, &o, &s, &p, &err), PT_EINVAL);
    assert_null(p);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static int stop_at(void *arg, const struct pt_train_progress *p)
{
    return !p->epoch_ended && p->now.step == *(const int64_t *)arg;
}

/* One training with a growing number of zeros; until: ends at that step, -1: never. */
static int train_scheduled(struct pt_edit *e, const char *checkpoint, int64_t until, struct pt_err *err)
{
    struct pt_pruner *p;
    struct pt_train_result result = {0};
    struct pt_prune_options o = {.kind = PT_PRUNE_BLOCKS, .block_rows = 2, .criterion = PT_PRUNE_L2};
    struct pt_sparsity_schedule s = {.kind = PT_SPARSITY_COSINE, .final = 0.6, .begin = 0, .end = 30, .frequency = 7};
    struct pt_train_options t = {.optimizer = {.kind = PT_ADAMW, .rate = 0.02F},
                                 .batch_size = 20,
                                 .epochs = 5,
                                 .seed = 1,
                                 .checkpoint = checkpoint,
                                 .checkpoint_steps = 4,
                                 .progress = stop_at,
                                 .progress_arg = &until};
    assert_int_equal(pt_pruner_create(e, &o, &s, &p, err), PT_OK);
    assert_int_equal(pt_pruner_attach(p, &t, err), PT_OK);
    int rc = pt_train(e, &data, NULL, &t, &result, err);
    pt_free(result.points);
    pt_pruner_destroy(p);
    return rc;
}

/* Cut off at any step and resumed, weights and zeros are to the bit what they are without. */
static void resumes(void **state)
{
    (void)state;
    char folder[] = "/tmp/pintle-prune-XXXXXX", path[64];
    struct pt_edit whole, cut;
    struct pt_buf wb, cb;
    struct pt_err err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint", folder);
    open_ring(&whole, &wb);
    assert_int_equal(train_scheduled(&whole, NULL, -1, &err), PT_OK);
    assert_true(fabs(share_of_zeros(&whole) - 0.6) < 0.05);
    static const int64_t steps[] = {1, 9, 22, 31, 47};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        open_ring(&cut, &cb);
        assert_int_equal(train_scheduled(&cut, path, steps[i], &err), PT_ECANCELED);
        pt_edit_finish(&cut);
        pt_buf_finish(&cb);
        open_ring(&cut, &cb);
        if (train_scheduled(&cut, path, -1, &err) < 0)
            fail_msg("%s", err.msg);
        assert_memory_equal(weights(&cut, "w")->data, weights(&whole, "w")->data, 32 * sizeof(float));
        assert_memory_equal(weights(&cut, "v")->data, weights(&whole, "v")->data, 32 * sizeof(float));
        pt_edit_finish(&cut);
        pt_buf_finish(&cb);
        unlink(path);
    }
    rmdir(folder);
    pt_edit_finish(&whole);
    pt_buf_finish(&wb);
}

static int stop(void *arg, size_t done, size_t total)
{
    assert_int_equal(total, 4);
    return ++*(int *)arg > 2 && done == 2;
}

static void sensitivity(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    struct pt_err err = {0};
    struct pt_prune_trial *t;
    size_t count;
    int calls = 0;
    static const double amounts[] = {0, 0.5};
    open_ring(&e, &bytes);
    struct pt_train_options train = {.optimizer = {.kind = PT_ADAMW, .rate = 0.02F}, .batch_size = 20, .epochs = 30, .seed = 1};
    struct pt_train_result result;
    assert_int_equal(pt_train(&e, &data, NULL, &train, &result, &err), PT_OK);
    pt_free(result.points);
    for (int kind = 0; kind < 2; kind++) {
        struct pt_prune_options o = {.kind = kind ? PT_PRUNE_CHANNELS : PT_PRUNE_UNSTRUCTURED};
        if (pt_prune_sensitivity(&e, &data, &o, amounts, 2, NULL, NULL, &t, &count, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(count, 5);
        assert_true(pt_str_eq(t[1].layer, PT_STR("h")) && pt_str_eq(t[4].layer, PT_STR("y")));
        assert_true(fabs(t[1].loss - t[0].loss) < 1e-9 && fabs(t[3].accuracy - t[0].accuracy) < 1e-9);
        assert_true(t[2].loss > t[0].loss && t[2].parameters < t[0].parameters);
        assert_true(kind ? t[2].macs < t[0].macs : t[2].macs == t[0].macs);
        assert_true(kind ? t[4].parameters == t[0].parameters : t[4].parameters == t[0].parameters - 16); /* the output's channels stay */
        pt_free(t);
    }
    struct pt_prune_options o = {0};
    assert_int_equal(pt_prune_sensitivity(&e, &data, &o, amounts, 2, stop, &calls, &t, &count, &err), PT_ECANCELED);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct pt_prune_options o = {.amount = 0.5, .criterion = PT_PRUNE_WANDA};
    struct pt_err err = {0};
    pt_threads_create(1, &o.threads, &err);
    int rc = PT_ENOMEM;
    for (int at = 1; rc < 0; at += 1 + at / 16) {
        struct pt_edit e;
        struct pt_buf bytes;
        struct pt_prune_report r;
        open_model(&e, &bytes, two_layers);
        pt_mem_fail_at(at, 0);
        rc = pt_prune(&e, &samples, &o, &r, &err);
        pt_mem_fail_at(0, 0);
        if (rc < 0) {
            if (rc != PT_ENOMEM)
                fail_msg("allocation %d: %s", at, err.msg);
            expect_weights(&e, "w", "f32[2,4]:1,-5,2,8,-3,4,7,-6");
            expect_weights(&e, "v", "f32[2,2]:1,2,-3,4");
        }
        pt_prune_report_finish(&r);
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
    }
    pt_threads_destroy(o.threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(single_weights), cmocka_unit_test(patterns),    cmocka_unit_test(by_samples),
                                       cmocka_unit_test(refuses),        cmocka_unit_test(odd_weights), cmocka_unit_test(schedules),
                                       cmocka_unit_test(while_training), cmocka_unit_test(resumes),     cmocka_unit_test(sensitivity),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
