/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.c: quantised models compute what the float ones do, within what rounding costs, in every mode and form, and are what runtimes expect.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/compress/quantize.h"
#include "runtime/compress/tap.h"
#include "runtime/train/evaluate.h"
#include "runtime/tensor.h"

#include <unistd.h>

#define SAMPLES 24
static float images[SAMPLES * 2 * 8 * 8];
static struct pt_tensor image_tensor = {.dtype = PT_FLOAT, .rank = 4, .dims = {SAMPLES, 2, 8, 8}, .data = images, .size_bytes = sizeof images};
static int64_t labels[SAMPLES];
static struct pt_data data = {.inputs = &image_tensor, .input_count = 1, .count = SAMPLES};

static double uniform(uint64_t *s)
{
    *s = *s * 6364136223846793005U + 1442695040888963407U;
    return (double)(*s >> 11) / 9007199254740992.0;
}

/* A residual network with all that is fused, moved or done in integers, its weights made up. */
static const char RESIDUAL[] =
    "in x f32[-1,2,8,8]\nconst w1 f32[8,2,3,3]:0\nconst g f32[8]:1\nconst b f32[8]:0\nconst m f32[8]:0\nconst v f32[8]:1\n"
    "const w2 f32[8,8,3,3]:0\nconst b2 f32[8]:0\nconst w3 f32[8,8,1,1]:0\nconst w4 f32[10,8]:0\nconst b4 f32[10]:0\nconst lo f32[]:0\nconst hi "
    "f32[]:6\n"
    "c1 = Conv(x,w1) pads=[1,1,1,1]\nn1 = BatchNormalization(c1,g,b,m,v)\nr1 = Relu(n1)\np1 = MaxPool(r1) kernel_shape=[2,2] strides=[2,2]\n"
    "c2 = Conv(p1,w2,b2) pads=[1,1,1,1]\nr2 = Clip(c2,lo,hi)\nc3 = Conv(r2,w3)\na = Add(c3,p1)\nr3 = Relu(a)\nga = GlobalAveragePool(r3)\n"
    "fl = Flatten(ga)\ny = Gemm(fl,w4,b4) transB=1\nout y\n";

static struct pt_edit opened(const char *text, struct pt_buf *bytes)
{
    struct pt_edit e;
    struct pt_err err = {0};
    *bytes = test_model(text);
    if (pt_edit_open_memory(&e, bytes->data, bytes->len, &err) < 0)
        fail_msg("%s", err.msg);
    uint64_t s = 11;
    for (size_t i = 0; i < e.model.graph.initializer_count; i++) {
        const struct pt_onnx_tensor *t = &e.model.graph.initializers[i];
        bool weights = t->name.p[0] == 'w' || t->name.p[0] == 'b', scales = t->name.p[0] == 'g';
        int64_t n = pt_tensor_count(&t->t), each = t->t.rank > 1 ? n / t->t.dims[0] : 1;
        float *x = (weights || scales) && t->t.dtype == PT_FLOAT ? pt_edit_floats(&e, (int)i, &err) : NULL;
        for (int64_t k = 0; x && k < n; k++)
            x[k] = (float)((scales ? 1 : 0) + (uniform(&s) - 0.45) * (weights ? 2.5 / sqrt((double)each) : 0.6));
    }
    return e;
}

static int make_data(void **state)
{
    (void)state;
    uint64_t s = 5;
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        images[i] = (float)(uniform(&s) * 2 - 0.8);
    return 0;
}

static struct pt_quantize_report quantised(struct pt_edit *e, const struct pt_quantize_options *o)
{
    struct pt_quantize_report r;
    struct pt_err err = {0};
    if (pt_quantize(e, &data, o, &r, &err) < 0)
        fail_msg("mode %d, form %d: %s", o->mode, o->form, err.msg);
    return r;
}

static size_t count_ops(const struct pt_edit *e, const char *op)
{
    size_t n = 0;
    for (size_t i = 0; i < e->model.graph.node_count; i++)
        n += pt_str_eq(e->model.graph.nodes[i].op_type, pt_str(op));
    return n;
}

static const float *run(struct pt_edit *e, struct pt_tap **t, const struct pt_tensor *x)
{
    struct pt_err err = {0};
    if (pt_tap_open(e, NULL, 0, NULL, t, &err) < 0 || pt_tap_run(*t, x, 1, &err) < 0)
        fail_msg("%s", err.msg);
    return pt_tap_output(*t, 0)->data;
}

/* Signal to noise of the first output between two models, in dB. */
static double ratio(struct pt_edit *a, struct pt_edit *b, const struct pt_tensor *x)
{
    struct pt_tap *ta, *tb;
    const float *ya = run(a, &ta, x), *yb = run(b, &tb, x);
    double signal = 0, noise = 0;
    assert_true(pt_dims_equal(pt_tap_output(ta, 0), pt_tap_output(tb, 0)));
    for (int64_t i = 0; i < pt_tensor_count(pt_tap_output(ta, 0)); i++) {
        signal += (double)ya[i] * (double)ya[i];
        noise += ((double)ya[i] - (double)yb[i]) * ((double)ya[i] - (double)yb[i]);
    }
    pt_tap_close(ta);
    pt_tap_close(tb);
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

/* Every kind of static quantisation of one network: as good as 8 bits are, whatever the form. */
static void all_kinds(void **state)
{
    (void)state;
    for (int k = 0; k < 96; k++) {
        struct pt_buf b1, b2;
        struct pt_edit floats = opened(RESIDUAL, &b1), e = opened(RESIDUAL, &b2);
        struct pt_quantize_options o = {.form = k & 1 ? PT_FORM_OPERATORS : PT_FORM_QDQ,
                                        .vendor = k & 2,
                                        .activation_type = k & 4 ? PT_INT8 : PT_UINT8,
                                        .weight_type = k & 8 ? PT_UINT8 : PT_INT8,
                                        .per_tensor = k & 16,
                                        .activation_symmetric = k / 32 == 1,
                                        .weight_asymmetric = k / 32 == 2,
                                        .calibration.method = (enum pt_calibration)(k % 5)};
        struct pt_quantize_report r = quantised(&e, &o);
        double db = ratio(&floats, &e, &image_tensor);
        if (!(db > 26))
            fail_msg("kind %d: %.1f dB", k, db);
        assert_int_equal(r.quantised, 6); /* four products, the sum and the mean */
        assert_int_equal(r.samples, SAMPLES);
        assert_true(r.bytes_after < r.bytes_before && fabs(r.sqnr - db) < 1.5);
        assert_int_equal(count_ops(&e, "BatchNormalization"), 0);
        if (!o.activation_symmetric) {
            assert_int_equal(count_ops(&e, "Relu") + count_ops(&e, "Clip"), 0);
        }
        if (o.form == PT_FORM_OPERATORS && o.vendor && !o.activation_symmetric && !o.weight_asymmetric) { /* integers from end to end */
            assert_int_equal(count_ops(&e, "QuantizeLinear"), 1);
            assert_int_equal(count_ops(&e, "QLinearConv"), 3);
            assert_int_equal(count_ops(&e, "QLinearAdd"), 1);
            assert_int_equal(count_ops(&e, "QGemm"), 1);
            assert_int_equal(count_ops(&e, "DequantizeLinear"), 0);
        }
        pt_quantize_report_finish(&r);
        pt_edit_finish(&e);
        pt_edit_finish(&floats);
        pt_buf_finish(&b1);
        pt_buf_finish(&b2);
    }
}

/* In the form QDQ the compiler makes integers of all but the last product. */
static void runs_on_integers(void **state)
{
    (void)state;
    char path[] = "/tmp/pintle-quantize-XXXXXX";
    struct pt_buf bytes;
    struct pt_edit e = opened(RESIDUAL, &bytes);
    struct pt_err err = {0};
    struct pt_model_summary *m = NULL;
    struct pt_quantize_report r = quantised(&e, &(struct pt_quantize_options){0});
    close(mkstemp(path));
    assert_int_equal(pt_edit_save(&e, path, &err), PT_OK);
    assert_int_equal(pt_model_inspect_optimized(path, NULL, &m, &err), PT_OK);
    size_t integers = 0;
    for (size_t i = 0; i < m->op_count; i++) {
        const char *op = m->ops[i].op_type;
        assert_false(strcmp(op, "Conv") == 0 || strcmp(op, "Add") == 0 || strcmp(op, "Relu") == 0 || strcmp(op, "GlobalAveragePool") == 0);
        integers += strncmp(op, "QLinear", 7) == 0 ? m->ops[i].count : 0;
    }
    assert_int_equal(integers, 5);
    pt_model_summary_free(m);
    unlink(path);
    struct pt_buf json = {0};
    assert_int_equal(pt_quantize_report_json(&r, &json, &err), PT_OK);
    assert_true(pt_buf_putc(&json, 0));
    assert_non_null(strstr(json.data,
                           "{\"node\": \"c1\", \"op\": \"Conv\", \"state\": \"quantised\", \"activation\": \"uint8\", \"weight\": \"int8\", "
                           "\"weight_scales\": 8, \"weight_sqnr_db\": "));
    pt_buf_finish(&json);
    pt_quantize_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void without_samples(void **state)
{
    (void)state;
    static const struct {
        struct pt_quantize_options o;
        double least;
        const char *op;
        size_t count;
    } rows[] = {
        {{.mode = PT_QUANTIZE_DYNAMIC}, 30, "ConvInteger", 3},
        {{.mode = PT_QUANTIZE_DYNAMIC, .weight_type = PT_UINT8, .weight_asymmetric = true}, 30, "MatMulInteger", 1},
        {{.mode = PT_QUANTIZE_DYNAMIC, .per_tensor = true, .reduce_range = true}, 26, "DynamicQuantizeLinear", 4},
        {{.mode = PT_QUANTIZE_WEIGHTS}, 38, "DequantizeLinear", 4},
        {{.mode = PT_QUANTIZE_WEIGHTS, .weight_type = PT_UINT8, .weight_asymmetric = true, .block = 4}, 38, "DequantizeLinear", 4},
        {{.mode = PT_QUANTIZE_WEIGHTS, .weight_type = PT_INT4}, 14, "DequantizeLinear", 4},
        {{.mode = PT_QUANTIZE_WEIGHTS, .weight_type = PT_UINT4, .weight_asymmetric = true, .block = 3}, 14, "DequantizeLinear", 4},
        {{.mode = PT_QUANTIZE_WEIGHTS, .weight_type = PT_UINT4, .per_tensor = true}, 12, "DequantizeLinear", 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_buf b1, b2;
        struct pt_edit floats = opened(RESIDUAL, &b1), e = opened(RESIDUAL, &b2);
        struct pt_quantize_report r = quantised(&e, &rows[i].o);
        double db = ratio(&floats, &e, &image_tensor);
        if (!(db > rows[i].least && db < 80))
            fail_msg("row %zu: %.1f dB", i, db);
        assert_int_equal(count_ops(&e, rows[i].op), rows[i].count);
        assert_int_equal(r.quantised, 4);
        pt_quantize_report_finish(&r);
        pt_edit_finish(&e);
        pt_edit_finish(&floats);
        pt_buf_finish(&b1);
        pt_buf_finish(&b2);
    }
}

/* Weights of a matrix in blocks, by the standard operator and by com.microsoft's: floats are within half a scale of what they were. */
static void blocks(void **state)
{
    (void)state;
    static const char text[] = "in x f32[-1,70]\nconst w f32[70,6]:0\ny = MatMul(x,w)\nout y\n";
    static float eye[70 * 70];
    for (int i = 0; i < 70; i++)
        eye[71 * i] = 1; /* so that the product is the weights */
    struct pt_tensor x = {.dtype = PT_FLOAT, .rank = 2, .dims = {70, 70}, .data = eye, .size_bytes = sizeof eye};
    for (int k = 0; k < 8; k++) {
        bool vendor = k & 1, asymmetric = k & 2, is_signed = k & 4;
        int64_t block = vendor || k < 4 ? 16 : 9;
        struct pt_buf b1, b2;
        struct pt_edit floats = opened(text, &b1), e = opened(text, &b2);
        struct pt_quantize_options o = {.mode = PT_QUANTIZE_WEIGHTS,
                                        .weight_type = is_signed ? PT_INT4 : PT_UINT4,
                                        .vendor = vendor,
                                        .block = block,
                                        .weight_asymmetric = asymmetric};
        struct pt_err err = {0};
        if (pt_quantize(&e, NULL, &o, NULL, &err) < 0)
            fail_msg("%s", err.msg);
        struct pt_tap *ta, *tb;
        const float *w = run(&floats, &ta, &x), *q = run(&e, &tb, &x);
        for (int64_t c = 0; c < 6; c++)
            for (int64_t at = 0; at < 70; at += block) {
                float low = 0, high = 0;
                for (int64_t r = at; r < at + block && r < 70; r++) {
                    low = fminf(low, w[r * 6 + c]);
                    high = fmaxf(high, w[r * 6 + c]);
                }
                float scale = asymmetric ? (high - low) / 15 : fmaxf(-low, high) / 7;
                for (int64_t r = at; r < at + block && r < 70; r++)
                    assert_true(fabsf(w[r * 6 + c] - q[r * 6 + c]) <= (asymmetric ? 1.01F : 0.501F) * scale);
            }
        assert_int_equal(count_ops(&e, vendor ? "MatMulNBits" : "DequantizeLinear"), 1);
        assert_int_equal(pt_edit_opset(&e, ""), vendor ? 17 : 21);
        pt_tap_close(ta);
        pt_tap_close(tb);
        pt_edit_finish(&e);
        pt_edit_finish(&floats);
        pt_buf_finish(&b1);
        pt_buf_finish(&b2);
    }
}

/* What exporters leave around weights; weights that several nodes share; a dead channel; Gemm that scales. */
static void shapes_of_models(void **state)
{
    (void)state;
    static const struct {
        const char *text, *op;
        size_t count;
    } rows[] = {
        {"in x f32[-1,2,8,8]\nconst w f32[4,128]:0\nt = Transpose(w)\nf = Flatten(x)\ny = MatMul(f,t)\nout y\n", "Transpose", 0},
        {"in x f32[-1,2,8,8]\nconst w f32[128,4]:0\ni = Identity(w)\nf = Flatten(x)\ny = MatMul(f,i)\nz = MatMul(f,i)\nout y\nout z\n",
         "QuantizeLinear", 1},
        {"in x f32[-1,2,8,8]\nconst w f32[2,2,1,1]:0\na = Conv(x,w)\nb = Relu(a)\nc = Conv(b,w)\nd = Neg(c)\ny = Add(d,b)\nout y\n", "Relu", 0},
        {"in x f32[-1,2,8,8]\nconst w f32[128,4]:0\nconst b f32[4]:0\nf = Flatten(x)\ny = Gemm(f,w,b) alpha=0.5 beta=3.0\nout y\n", "Gemm", 1},
        {"opset 9\nin x f32[-1,2,8,8]\nconst w f32[2,2,1,1]:0\na = Conv(x,w)\nb = Clip(a) min=0.0 max=0.5\nc = Conv(b,w)\ny = Softmax(c) axis=1\nout "
         "y\n",
         "Clip", 0},
        {"in x f32[-1,2,8,8]\nconst w f32[3,2,1,1]:0\nconst k f32[2,3,1,1]:0\nconst b f32[2]:0\na = Conv(x,w)\ny = Conv(a,k,b)\nout y\n", "Conv",
         2}, /* k: zeros */
        {"in x f32[-1,2,8,8]\nconst w f32[2,2,1,1]:0\na = Conv(x,w)\nb = Conv(x,w)\nc = Concat(a,b) axis=1\nt = Transpose(c) perm=[0,2,3,1]\n"
         "const v f32[4,3]:0\ny = MatMul(t,v)\nout y\nout c\n",
         "QuantizeLinear", 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int form = 0; form < 2; form++) {
            struct pt_buf b1, b2;
            struct pt_edit floats = opened(rows[i].text, &b1), e = opened(rows[i].text, &b2);
            struct pt_quantize_report r = quantised(&e, &(struct pt_quantize_options){.form = (enum pt_quantize_form)form});
            double db = ratio(&floats, &e, &image_tensor);
            if (!(db > 30))
                fail_msg("row %zu, form %d: %.1f dB", i, form, db);
            if (form == 0 && count_ops(&e, rows[i].op) != rows[i].count)
                fail_msg("row %zu: %zu %s", i, count_ops(&e, rows[i].op), rows[i].op);
            pt_quantize_report_finish(&r);
            pt_edit_finish(&e);
            pt_edit_finish(&floats);
            pt_buf_finish(&b1);
            pt_buf_finish(&b2);
        }
}

/* Zeros of a pruned model are zeros of the quantised one. */
static void keeps_zeros(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_edit e = opened(RESIDUAL, &bytes);
    struct pt_err err = {0};
    float *w = pt_edit_floats(&e, pt_edit_value(&e, PT_STR("w2"), NULL)->initializer, &err);
    for (int i = 0; i < 576; i++)
        w[i] = i % 3 ? 0 : w[i];
    struct pt_quantize_report r = quantised(&e, &(struct pt_quantize_options){0});
    const struct pt_edit_value *v = pt_edit_value(&e, PT_STR("w2_quantized"), NULL);
    const int8_t *q = e.model.graph.initializers[v->initializer].t.data;
    for (int i = 0; i < 576; i++)
        assert_true(i % 3 == 0 || q[i] == 0);
    pt_quantize_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* One layer is ruined by one scale for weights of very different size; the gate leaves that one alone. */
static void gate(void **state)
{
    (void)state;
    struct pt_buf b1, b2;
    struct pt_edit floats = opened(RESIDUAL, &b1), e = opened(RESIDUAL, &b2);
    struct pt_err err = {0};
    struct pt_edit *both[] = {&floats, &e};
    for (int k = 0; k < 2; k++) {
        float *w = pt_edit_floats(both[k], pt_edit_value(both[k], PT_STR("w3"), NULL)->initializer, &err);
        w[0] = 3000; /* of a channel that the layer before makes zero */
        w = pt_edit_floats(both[k], pt_edit_value(both[k], PT_STR("w2"), NULL)->initializer, &err);
        memset(w, 0, 72 * sizeof *w);
        w = pt_edit_floats(both[k], pt_edit_value(both[k], PT_STR("b2"), NULL)->initializer, &err);
        w[0] = 0;
    }
    struct pt_tap *t;
    const float *y = run(&floats, &t, &image_tensor);
    for (int k = 0; k < 2; k++) { /* so that no class wins always */
        float *b = pt_edit_floats(both[k], pt_edit_value(both[k], PT_STR("b4"), NULL)->initializer, &err);
        for (int i = 0; i < SAMPLES * 10; i++)
            b[i % 10] -= y[i] / SAMPLES;
    }
    pt_tap_close(t);
    y = run(&floats, &t, &image_tensor);
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = 0;
        for (int c = 1; c < 10; c++)
            labels[i] = y[10 * i + c] > y[10 * i + labels[i]] ? c : labels[i];
    }
    pt_tap_close(t);
    struct pt_data held_out = data;
    held_out.labels = (struct pt_tensor){.dtype = PT_INT64, .rank = 1, .dims = {SAMPLES}, .data = labels, .size_bytes = sizeof labels};
    struct pt_quantize_options o = {.per_tensor = true, .gate = {.held_out = &held_out, .max_drop = 0.1}};
    struct pt_quantize_report r = quantised(&e, &o);
    assert_true(r.quality_before == 1 && r.quality_after >= 0.9);
    assert_true(pt_str_eq(r.layers[0].node, PT_STR("c1")) && r.layers[0].state == PT_LAYER_QUANTISED);
    assert_true(pt_str_eq(r.layers[1].node, PT_STR("c2")) && r.layers[1].state == PT_LAYER_QUANTISED);
    assert_true(pt_str_eq(r.layers[2].node, PT_STR("c3")) && r.layers[2].state == PT_LAYER_GATED);
    for (size_t i = 0; i < r.count; i++)
        assert_true(i == 2 || !(r.layers[i].sensitivity >= r.layers[2].sensitivity));
    assert_int_equal(count_ops(&e, "QuantizeLinear"), r.layers[5].state == PT_LAYER_QUANTISED ? 5 : 4);
    pt_quantize_report_finish(&r);
    pt_edit_finish(&e);
    pt_edit_finish(&floats);
    pt_buf_finish(&b1);
    pt_buf_finish(&b2);
}

/* Trained with rounded numbers, a model comes out that is what it was in training: its loss is the one of the last epoch; zeros are where they were.
 */
static void trains(void **state)
{
    (void)state;
    static int64_t brighter[SAMPLES];
    struct pt_buf bytes;
    struct pt_edit e = opened(RESIDUAL, &bytes);
    struct pt_err err = {0};
    static uint8_t keep[576];
    float *w = pt_edit_floats(&e, pt_edit_value(&e, PT_STR("w2"), NULL)->initializer, &err);
    for (int i = 0; i < 576; i++) {
        keep[i] = i % 4 != 0;
        w[i] = keep[i] ? w[i] : 0;
    }
    for (int i = 0; i < SAMPLES; i++) {
        brighter[i] = i % 2;
        for (int k = 0; k < 64; k++)
            images[128 * i + 64 * (i % 2) + k] += 0.5F;
    }
    struct pt_data labelled = data;
    labelled.labels = (struct pt_tensor){.dtype = PT_INT64, .rank = 1, .dims = {SAMPLES}, .data = brighter, .size_bytes = sizeof brighter};
    struct pt_train_mask mask = {PT_STR("w2"), keep};
    struct pt_train_options t = {
        .optimizer = {.kind = PT_SGD, .rate = 0.05F, .momentum = 0.9F}, .batch_size = 8, .epochs = 25, .masks = &mask, .mask_count = 1};
    for (int kind = 0; kind < 4; kind++) {
        struct pt_quantize_options o = {.calibration = {.method = PT_CALIBRATE_PERCENTILE, .percentile = 90, .average = 0.2},
                                        .reduce_range = true,
                                        .per_tensor = kind & 1,
                                        .activation_type = kind & 1 ? PT_INT8 : PT_UINT8,
                                        .activation_symmetric = kind & 2};
        struct pt_edit q;
        struct pt_train_result r;
        struct pt_quantize_report report, plain;
        struct pt_evaluation v;
        assert_int_equal(pt_edit_copy(&e, &q, &err), PT_OK);
        if (pt_quantize_train(&q, &labelled, &labelled, &o, &t, &r, &report, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(pt_evaluate(&q, &labelled, PT_LOSS_CROSS_ENTROPY, 0, NULL, false, &v, &err), PT_OK);
        assert_true(r.points[24].held_out_accuracy > 0.9 && fabs(v.loss - r.points[24].held_out_loss) < 0.02 * (1 + v.loss));
        const int8_t *z = q.model.graph.initializers[pt_edit_value(&q, PT_STR("w2_quantized"), NULL)->initializer].t.data;
        for (int i = 0; i < 576; i++)
            assert_true((keep[i] || z[i] == 0) && abs(z[i]) <= 63);
        pt_edit_finish(&q);
        assert_int_equal(pt_edit_copy(&e, &q, &err), PT_OK);
        plain = quantised(&q, &o); /* ranges went from the 90 % they began with to all that is seen */
        assert_true(report.layers[0].high > plain.layers[0].high && report.layers[0].scale > 0);
        pt_quantize_report_finish(&report);
        pt_quantize_report_finish(&plain);
        pt_free(r.points);
        pt_edit_finish(&q);
    }
    struct pt_train_result r;
    assert_int_equal(pt_quantize_train(&e, &labelled, NULL, &(struct pt_quantize_options){.mode = PT_QUANTIZE_WEIGHTS}, &t, &r, NULL, &err),
                     PT_EINVAL);
    assert_string_equal(err.msg, "training with rounded numbers is for static quantisation with symmetric weights");
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
    make_data(NULL);
}

static void refused(const char *text, const struct pt_quantize_options *o, const struct pt_data *d, int code, const char *message)
{
    struct pt_buf bytes;
    struct pt_edit e = opened(text, &bytes);
    struct pt_quantize_report r;
    struct pt_err err = {0};
    size_t nodes = e.model.graph.node_count;
    int rc = pt_quantize(&e, d, o, &r, &err);
    if (rc != code || !strstr(err.msg, message))
        fail_msg("%d: %s\nwanted %d: %s", rc, err.msg, code, message);
    assert_int_equal(e.model.graph.node_count, nodes);
    pt_quantize_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void refuses(void **state)
{
    (void)state;
    static const char conv[] = "in x f32[-1,2,8,8]\nconst w f32[2,2,1,1]:0\ny = Conv(x,w)\nout y\n";
    refused(conv, &(struct pt_quantize_options){0}, NULL, PT_EINVAL, "static quantisation needs samples for calibration");
    refused("in x f32[-1,2]\ny = Relu(x)\nout y\n", &(struct pt_quantize_options){.mode = PT_QUANTIZE_DYNAMIC}, NULL, PT_EUNSUPPORTED,
            "the model has no node that can be quantised: no Conv, Gemm or MatMul");
    refused("in x f16[-1,2]\nconst w f16[2,2]:1,2,3,4\ny = MatMul(x,w)\nout y\n", &(struct pt_quantize_options){.mode = PT_QUANTIZE_WEIGHTS}, NULL,
            PT_EUNSUPPORTED, "no node of the model can be quantised; the first that would be, 'y' (MatMul): its weights are float16");
    refused("in x f32[-1,2]\nin w f32[2,2]\ny = MatMul(x,w)\nout y\n", &(struct pt_quantize_options){.mode = PT_QUANTIZE_DYNAMIC}, NULL,
            PT_EUNSUPPORTED, "'y' (MatMul): its weights are computed");
    refused(conv, &(struct pt_quantize_options){.mode = PT_QUANTIZE_WEIGHTS, .skip = (struct pt_str[]){PT_STR("Conv")}, .skip_count = 1}, NULL,
            PT_EUNSUPPORTED, "'y' (Conv): is to stay as it is");
    refused("in x f32[2]\nconst s f32[]:1\nq = QuantizeLinear(x,s)\ny = DequantizeLinear(q,s)\nout y\n", &(struct pt_quantize_options){0}, &data,
            PT_EUNSUPPORTED, "the model is quantised already: node 'q' is a QuantizeLinear");
    refused(conv, &(struct pt_quantize_options){.weight_type = PT_INT4}, &data, PT_EINVAL,
            "weights of type int4 are for mode 'weights', not 'static'");
    refused(conv, &(struct pt_quantize_options){.weight_type = PT_FLOAT16}, &data, PT_EINVAL,
            "weights of type float16: must be int8, uint8, int4 or uint4");
    refused(conv, &(struct pt_quantize_options){.calibration.samples = 1000}, &data, PT_EINVAL, " samples, 1000 are asked for");
    refused(conv, &(struct pt_quantize_options){.calibration.percentile = 101}, &data, PT_EINVAL, "percentile 101: must be from 50 to 100");
    refused(conv, &(struct pt_quantize_options){.block = 32}, &data, PT_EINVAL, "blocks of 32: must be from 2 to 65536, and the mode 'weights'");
    refused("in x f32[32,2,8,8]\nconst w f32[2,2,1,1]:0\ny = Conv(x,w)\nout y\n", &(struct pt_quantize_options){0}, &data, PT_EINVAL,
            "calibration data");
    struct pt_tensor other = image_tensor;
    other.dims[1] = 4;
    other.dims[2] = 4;
    refused(conv, &(struct pt_quantize_options){0}, &(struct pt_data){.inputs = &other, .input_count = 1, .count = SAMPLES}, PT_EINVAL,
            "calibration data: input 'x' is");
    float was = images[777];
    images[777] = NAN;
    refused(conv, &(struct pt_quantize_options){0}, &data, PT_EINVAL, "value 'x', samples from 0 on: element 777 is nan");
    images[777] = was;
}

/* A value that is always the same, and one that is always zero. */
static void constant_activations(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_edit e =
        opened("in x f32[-1,2,8,8]\nconst zero f32[]:0\nconst w f32[2,2,1,1]:0\nz = Mul(x,zero)\na = Conv(z,w)\nr = Relu(a)\ny = Conv(r,w)\nout y\n",
               &bytes);
    struct pt_quantize_report r = quantised(&e, &(struct pt_quantize_options){.calibration.method = PT_CALIBRATE_ENTROPY});
    assert_int_equal(r.quantised, 2);
    assert_true(r.layers[0].scale == 0 || r.layers[0].scale == 1);
    pt_quantize_report_finish(&r);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        struct pt_buf bytes;
        struct pt_edit e =
            opened("in x f32[-1,2,8,8]\nconst w f32[2,2,1,1]:0\nconst b f32[2]:0\na = Conv(x,w,b)\nr = Relu(a)\ny = Conv(r,w)\nout y\n", &bytes);
        struct pt_quantize_options o = {.mode = (enum pt_quantize_mode)mode, .calibration.method = PT_CALIBRATE_MSE};
        struct pt_data few = data;
        struct pt_tensor one = image_tensor;
        struct pt_err err = {0};
        one.dims[0] = few.count = 1;
        one.size_bytes /= SAMPLES;
        few.inputs = &one;
        int rc = PT_ENOMEM;
        for (int64_t i = 1; rc != PT_OK; i += i < 50 ? 1 : 7) {
            struct pt_quantize_report r;
            pt_mem_fail_at(i, 0);
            rc = pt_quantize(&e, &few, &o, &r, &err);
            bool reached = pt_mem_fail_in <= 0;
            pt_mem_fail_at(0, 0);
            pt_quantize_report_finish(&r);
            if (rc != PT_OK && rc != PT_ENOMEM)
                fail_msg("allocation %lld: %d: %s", (long long)i, rc, err.msg);
            assert_true(rc == PT_ENOMEM || !reached || i > 100);
        }
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_kinds),
                                       cmocka_unit_test(runs_on_integers),
                                       cmocka_unit_test(without_samples),
                                       cmocka_unit_test(blocks),
                                       cmocka_unit_test(shapes_of_models),
                                       cmocka_unit_test(keeps_zeros),
                                       cmocka_unit_test(gate),
                                       cmocka_unit_test(trains),
                                       cmocka_unit_test(refuses),
                                       cmocka_unit_test(constant_activations),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, make_data, NULL);
}
