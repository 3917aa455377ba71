/* SPDX-License-Identifier: Apache-2.0
 *
 * train.c: training on a problem that one can see through: is a point of the plane inside a ring?
 */
#include "tests/unit/runtime/model.h"

#include "base/rand.h"
#include "runtime/train/augment.h"
#include "runtime/train/evaluate.h"
#include "runtime/train/train.h"

#include <unistd.h>

#define SAMPLES 300

#define MLP(softmax)                                                                                                                                 \
    "opset 17\nin x f32[-1,2]\nconst w1 f32[2,16]:0\nconst b1 f32[16]:0\nconst w2 f32[2,16]:0\nconst b2 f32[2]:0\nh = MatMul(x,w1)\nhb = "           \
    "Add(h,b1)\n"                                                                                                                                    \
    "r = Relu(hb)\nz = Gemm(r,w2,b2) transB=1\n" softmax

static float points[SAMPLES * 2];
static int64_t labels[SAMPLES];
static struct pt_tensor inputs = {.dtype = PT_FLOAT, .rank = 2, .dims = {SAMPLES, 2}, .data = points, .size_bytes = sizeof points};
static struct pt_data data = {.inputs = &inputs,
                              .input_count = 1,
                              .count = SAMPLES,
                              .labels = {.dtype = PT_INT64, .rank = 1, .dims = {SAMPLES}, .data = labels, .size_bytes = sizeof labels}};

static void make_data(void)
{
    struct pt_rand r;
    pt_rand_init(&r, 3);
    for (int i = 0; i < SAMPLES; i++) {
        points[2 * i] = (float)(pt_rand_unit(&r) * 4 - 2);
        points[2 * i + 1] = (float)(pt_rand_unit(&r) * 4 - 2);
        labels[i] = points[2 * i] * points[2 * i] + points[2 * i + 1] * points[2 * i + 1] < 2;
    }
}

/* A model whose constants of one value are filled to their size, then given random weights. */
static void open_model(struct pt_edit *e, struct pt_buf *bytes, const char *text)
{
    struct pt_err err = {0};
    pt_auto_buf full = {0};
    for (const char *p = text; *p;) { /* "const w f32[2,16]:0" -> as many zeros as it needs */
        size_t len = strcspn(p, "\n");
        int64_t n = 1;
        const char *bracket = memchr(p, '[', len);
        if (strncmp(p, "const ", 6) == 0 && bracket && p[len - 1] == '0' && p[len - 2] == ':') {
            for (const char *q = bracket + 1; *q != ']'; q += *q == ',')
                n *= strtol(q, (char **)(uintptr_t)&q, 10);
            pt_buf_append(&full, p, len);
            for (int64_t i = 1; i < n; i++)
                pt_buf_puts(&full, ",0");
            pt_buf_putc(&full, '\n');
        } else {
            pt_buf_append(&full, p, len + 1);
        }
        p += len + 1;
    }
    *bytes = test_model(pt_buf_cstr(&full));
    if (pt_edit_open_memory(e, bytes->data, bytes->len, &err) < 0 || pt_train_reset(e, 5, &err) < 0)
        fail_msg("%s", err.msg);
}

static struct pt_train_options options(void)
{
    return (struct pt_train_options){.optimizer = {.kind = PT_ADAMW, .rate = 0.02F}, .batch_size = 32, .epochs = 30, .seed = 1};
}

static struct pt_train_result trained(struct pt_edit *e, const struct pt_train_options *o)
{
    struct pt_train_result result;
    struct pt_err err = {0};
    if (pt_train(e, &data, &data, o, &result, &err) < 0)
        fail_msg("%s", err.msg);
    return result;
}

static double accuracy(struct pt_edit *e)
{
    struct pt_evaluation v;
    struct pt_err err = {0};
    if (pt_evaluate(e, &data, PT_LOSS_CROSS_ENTROPY, 0, NULL, false, &v, &err) < 0)
        fail_msg("%s", err.msg);
    return v.accuracy;
}

static uint64_t fingerprint(struct pt_edit *e)
{
    struct pt_buf b = {0};
    struct pt_err err = {0};
    uint64_t h = 1;
    assert_int_equal(pt_onnx_write(&e->model, &b, &err), PT_OK);
    for (size_t i = 0; i < b.len; i++)
        h = h * 1099511628211U + (uint8_t)b.data[i];
    pt_buf_finish(&b);
    return h;
}

static void learns(void **state)
{
    (void)state;
    static const char *const models[] = {MLP("out z\n"), MLP("y = Softmax(z)\nout y\n"),
                                         "opset 17\nin x f32[-1,2]\nconst s i64[4]:-1,2,1,1\nconst w1 f32[16,2,1,1]:0\nconst g f32[16]:0\nconst b "
                                         "f32[16]:0\nconst m f32[16]:0\nconst v f32[16]:0\nconst "
                                         "w2 f32[16,2]:0\ni = Reshape(x,s)\nc = Conv(i,w1)\nn = BatchNormalization(c,g,b,m,v)\nr = Relu(n)\np = "
                                         "GlobalAveragePool(r)\nf = Flatten(p)\nz = "
                                         "MatMul(f,w2)\nout z\n"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        for (int sgd = 0; sgd < 2; sgd++) {
            struct pt_edit e;
            struct pt_buf bytes;
            open_model(&e, &bytes, models[i]);
            struct pt_train_options o = options();
            if (sgd)
                o.optimizer = (struct pt_optimizer_options){.kind = PT_SGD, .rate = 0.1F, .momentum = 0.9F, .nesterov = true, .clip_norm = 5};
            o.schedule = (struct pt_schedule){.kind = PT_RATE_COSINE, .floor = 0.01, .warmup_steps = 10};
            double before = accuracy(&e);
            struct pt_train_result r = trained(&e, &o);
            assert_int_equal(r.count, 30);
            assert_true(accuracy(&e) > 0.93 && accuracy(&e) > before);
            assert_true(fabs(accuracy(&e) - r.points[29].held_out_accuracy) < 1e-9);
            assert_true(r.points[29].loss < 0.5 * r.points[0].loss);
            pt_free(r.points);
            pt_edit_finish(&e);
            pt_buf_finish(&bytes);
        }
    }
}

/* Weights and activations rounded to eight bits on the way: the weights behind are trained all the same, and what is learnt holds for the integers.
 */
static void learns_quantised(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    open_model(&e, &bytes,
               "opset 17\nin x f32[-1,2]\nconst w1 f32[2,16]:0\nconst b1 f32[16]:0\nconst w2 f32[2,16]:0\nconst b2 f32[2]:0\n"
               "const sx f32[]:0.02\nconst sw f32[]:0.03\nconst sh f32[]:0.04\nconst zx i8[]:1\nconst zw i8[]:0\nconst zh u8[]:3\n"
               "xq = QuantizeLinear(x,sx,zx)\nxd = DequantizeLinear(xq,sx,zx)\nwq = QuantizeLinear(w1,sw,zw)\nwd = DequantizeLinear(wq,sw,zw)\n"
               "h = MatMul(xd,wd)\nhb = Add(h,b1)\nr = Relu(hb)\nrq = QuantizeLinear(r,sh,zh)\nrd = DequantizeLinear(rq,sh,zh)\n"
               "vq = QuantizeLinear(w2,sw,zw)\nvd = DequantizeLinear(vq,sw,zw)\nz = Gemm(rd,vd,b2) transB=1\nout z\n");
    struct pt_train_options o = options();
    struct pt_str *names;
    struct pt_err err = {0};
    size_t count;
    assert_int_equal(pt_train_parameters(&e, &o, &names, &count, &err), PT_OK);
    assert_int_equal(count, 4);
    struct pt_train_result r = trained(&e, &o);
    assert_true(accuracy(&e) > 0.93);
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* As scikit-learn counts the same labels and scores. */
static void judges(void **state)
{
    (void)state;
    static int64_t y[8] = {0, 1, 2, 2, 1, 0, 2, 2};
    static const float scores[8][3] = {{2, 1, 0}, {0, 1, 1}, {.5F, .25F, 3}, {1, 0, .5F}, {0, 2, -1}, {1, 1.5F, 0}, {0, 0, 1}, {-1, 2, 2.5F}};
    static const double confusion[9] = {1, 1, 0, 0, 2, 0, 1, 0, 3};
    struct pt_data d = {.count = 8, .labels = {.dtype = PT_INT64, .rank = 1, .dims = {8}, .data = y, .size_bytes = sizeof y}};
    struct pt_figures f;
    struct pt_err err = {0};
    assert_int_equal(pt_figures_make(&f, &d, PT_LOSS_CROSS_ENTROPY, &scores[0][0], 3, &err), PT_OK);
    assert_memory_equal(f.confusion, confusion, sizeof confusion);
    const double got[] = {f.accuracy, f.precision, f.recall, f.f1, f.log_loss, f.auc, f.calibration_error};
    const double want[] = {0.75, 0.722222222, 0.75, 0.719047619, 0.613034971, 0.923611111, 0.276778321};
    for (size_t i = 0; i < 7; i++)
        assert_true(fabs(got[i] - want[i]) < 1e-6);
    assert_true(isnan(f.r2));
    pt_figures_finish(&f);
    y[5] = 3;
    assert_int_equal(pt_figures_make(&f, &d, PT_LOSS_CROSS_ENTROPY, &scores[0][0], 3, &err), PT_EINVAL);
    assert_string_equal(err.msg, "the samples: label 3 of sample 5 is outside of the model's 3 classes");
    pt_figures_finish(&f);
    static float numbers[6] = {1, 2.5F, -1, 4, 0, 0}, answers[6] = {1.5F, 2, -1.25F, 3, 1, 0};
    d = (struct pt_data){.count = 5, .labels = {.dtype = PT_FLOAT, .rank = 1, .dims = {5}, .data = numbers, .size_bytes = 20}};
    assert_int_equal(pt_figures_make(&f, &d, PT_LOSS_MSE, answers, 1, &err), PT_OK);
    assert_true(fabs(f.mean_absolute_error - 0.65) < 1e-9 && fabs(f.root_mean_squared_error - 0.7158910531638176) < 1e-9 &&
                fabs(f.r2 - 0.8378164556962026) < 1e-9 && isnan(f.accuracy) && !f.confusion);
    pt_figures_finish(&f);
    assert_int_equal(pt_figures_make(&f, &d, PT_LOSS_MSE, answers, 2, &err), PT_EINVAL);
    assert_string_equal(err.msg, "the samples: labels are float32[5]; the model gives 2 values for each of 5 samples");
}

/* Weights after some steps are the same bits on one thread and on three. */
static void threads_do_not_matter(void **state)
{
    (void)state;
    static const char model[] =
        "opset 17\nin x f32[-1,2]\nconst s i64[4]:-1,1,1,2\nconst t i64[4]:1,1,40,24\nconst w1 f32[12,1,3,3]:0\nconst g f32[12]:0\nconst b "
        "f32[12]:0\nconst m f32[12]:0\nconst v f32[12]:0\nconst w2 f32[12,1,3,3]:0\nconst w3 f32[8,12,3,3]:0\nconst b3 f32[8]:0\nconst w4 "
        "f32[8,2]:0\n"
        "r0 = Reshape(x,s)\ni = Tile(r0,t)\nc = Conv(i,w1)\nn = BatchNormalization(c,g,b,m,v)\nr = Relu(n)\nd = Conv(r,w2) group=12 "
        "strides=[2,2]\ne = Conv(d,w3,b3) pads=[1,1,1,1]\nq = MaxPool(e) kernel_shape=[2,2] strides=[2,2]\np = GlobalAveragePool(q)\nf = "
        "Flatten(p)\nz = "
        "MatMul(f,w4)\nout z\n";
    uint64_t got[2];
    struct pt_err err = {0};
    for (int many = 0; many < 2; many++) {
        struct pt_edit e;
        struct pt_buf bytes;
        struct pt_threads *threads;
        open_model(&e, &bytes, model);
        assert_int_equal(pt_threads_create(many ? 3 : 1, &threads, &err), PT_OK);
        struct pt_train_options o = options();
        o.epochs = 1;
        o.batch_size = 50;
        o.threads = threads;
        struct pt_train_result r = trained(&e, &o);
        pt_free(r.points);
        got[many] = fingerprint(&e);
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
        pt_threads_destroy(threads);
    }
    assert_true(got[0] == got[1]);
}

/* Exporters store the zeros of a bias and of a mean once, as copies by Identity: each is trained, or followed, for itself. */
static void unties_copies(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    open_model(&e, &bytes,
               "opset 17\nin x f32[-1,2]\nconst w1 f32[2,16]:0\nconst g f32[16]:0\nconst b f32[16]:0\nconst w2 f32[16,2]:0\nm = Identity(b)\nm2 = "
               "Identity(m)\nv = Identity(g)\nh = MatMul(x,w1)\nn = BatchNormalization(h,g,b,m2,v)\nr = Relu(n)\nz = MatMul(r,w2)\nout z\n");
    struct pt_train_options o = options();
    o.epochs = 10;
    struct pt_train_result r = trained(&e, &o);
    const float *bias = NULL, *mean = NULL;
    for (size_t i = 0; i < e.model.graph.initializer_count; i++) {
        const struct pt_onnx_tensor *t = &e.model.graph.initializers[i];
        bias = pt_str_eq(t->name, PT_STR("b")) ? t->t.data : bias;
        mean = pt_str_eq(t->name, PT_STR("m2")) ? t->t.data : mean;
    }
    assert_true(bias && mean && memcmp(bias, mean, 16 * sizeof(float)) != 0);
    assert_true(accuracy(&e) > 0.9);
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* What is trained: weights seen through what moves them; not the numbers of a formula, nor a table that is a constant anyway. */
static void finds_weights(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes = test_model(
        "opset 17\nin x f32[-1,2]\nconst w f32[3,2]:1,2,3,4,5,6\nconst q f32[2]:1,1\nconst r f32[2]:2,2\nconst two f32[]:2\nconst token "
        "f32[1,3]:1,2,3\nconst n i64[2]:1,3\nconst p f32[4,3]:1,2,3,4,5,6,7,8,9,10,11,12\nconst d i64[1]:0\nconst g f32[3]:1,1,1\nf = Concat(q,r) "
        "axis=0\nt = Transpose(w)\nh = MatMul(x,t)\nk = Expand(token,n)\nj = Concat(k,h) axis=0\nm = Gather(p,d)\nz = Add(j,m)\no = Mul(z,two)\ny = "
        "Mul(o,g)\nout y\nout f\n");
    struct pt_err err = {0};
    struct pt_str *names;
    size_t count;
    assert_int_equal(pt_edit_open_memory(&e, bytes.data, bytes.len, &err), PT_OK);
    assert_int_equal(pt_train_parameters(&e, &(struct pt_train_options){0}, &names, &count, &err), PT_OK);
    char all[64] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), PT_STR_FMT " ", PT_STR_ARG(names[i]));
    assert_string_equal(all, "w token p g ");
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static int stop_at(void *arg, const struct pt_train_progress *p)
{
    return !p->epoch_ended && p->now.step == *(const int64_t *)arg;
}

/* Cut off at any step and resumed, the weights are to the bit what they are without. */
static void resumes(void **state)
{
    (void)state;
    char folder[] = "/tmp/pintle-train-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint", folder);
    struct pt_edit e;
    struct pt_buf bytes;
    struct pt_err err = {0};
    struct pt_train_options o = options();
    o.epochs = 4;
    o.dropout = 0.2F;
    o.dropout_at = (struct pt_str[]){PT_STR("r")};
    o.dropout_count = 1;
    o.patience = 3;
    open_model(&e, &bytes, MLP("out z\n"));
    struct pt_train_result r = trained(&e, &o);
    uint64_t whole = fingerprint(&e);
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
    for (int64_t stop = 1; stop < 40; stop += 7) {
        struct pt_train_options cut = o;
        cut.checkpoint = path;
        cut.checkpoint_steps = 1;
        cut.progress = stop_at;
        cut.progress_arg = &stop;
        open_model(&e, &bytes, MLP("out z\n"));
        uint64_t before = fingerprint(&e);
        assert_int_equal(pt_train(&e, &data, &data, &cut, &r, &err), PT_ECANCELED);
        assert_true(fingerprint(&e) == before); /* a training that ends early leaves the model alone */
        cut.progress = NULL;
        r = trained(&e, &cut);
        assert_int_equal(r.resumed_at, stop - 1);
        assert_int_equal(r.count, 4);
        assert_true(fingerprint(&e) == whole);
        pt_free(r.points);
        if (stop == 1) { /* of other options */
            struct pt_train_options other = cut;
            other.batch_size = 31;
            assert_int_equal(pt_train(&e, &data, &data, &other, &r, &err), PT_ECONFLICT);
            other = cut;
            other.optimizer.weight_decay = 0.5F;
            assert_int_equal(pt_train(&e, &data, &data, &other, &r, &err), PT_ECONFLICT);
            labels[3] ^= 1;
            assert_int_equal(pt_train(&e, &data, &data, &cut, &r, &err), PT_ECONFLICT);
            labels[3] ^= 1;
            FILE *f = fopen(path, "r+");
            fseek(f, 100, SEEK_SET);
            fputc('x', f);
            fclose(f);
            assert_int_equal(pt_train(&e, &data, &data, &cut, &r, &err), PT_EPARSE);
            assert_non_null(strstr(err.msg, "the checkpoint is damaged"));
        }
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
        unlink(path);
    }
    rmdir(folder);
}

static void keeps_masks(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    uint8_t keep[32];
    for (int i = 0; i < 32; i++)
        keep[i] = i % 3 != 0;
    struct pt_train_mask mask = {PT_STR("w1"), keep};
    open_model(&e, &bytes, MLP("out z\n"));
    struct pt_train_options o = options();
    o.masks = &mask;
    o.mask_count = 1;
    o.frozen = (struct pt_str[]){PT_STR("b2")};
    o.frozen_count = 1;
    o.optimizer.weight_decay = 0.01F;
    pt_free(trained(&e, &o).points);
    const float *w = e.model.graph.initializers[pt_edit_value(&e, PT_STR("w1"), NULL)->initializer].t.data;
    for (int i = 0; i < 32; i++)
        assert_true(keep[i] ? w[i] != 0 : w[i] == 0);
    const float *b2 = e.model.graph.initializers[pt_edit_value(&e, PT_STR("b2"), NULL)->initializer].t.data;
    assert_true(b2[0] == 0 && b2[1] == 0);
    assert_true(accuracy(&e) > 0.85);
    mask.name = PT_STR("nothing");
    struct pt_train_result r;
    struct pt_err err = {0};
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_ENOTFOUND);
    assert_string_equal(err.msg, "a mask is given for 'nothing', which is not trained");
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

/* Group lasso takes whole channels to nothing; plain training does not. */
static void regularises(void **state)
{
    (void)state;
    double norms[2];
    for (int lasso = 0; lasso < 2; lasso++) {
        struct pt_edit e;
        struct pt_buf bytes;
        open_model(&e, &bytes, MLP("out z\n"));
        struct pt_train_options o = options();
        o.optimizer.group_lasso = lasso ? 0.02F : 0;
        o.optimizer.l1 = lasso ? 0.002F : 0;
        pt_free(trained(&e, &o).points);
        const float *w = e.model.graph.initializers[pt_edit_value(&e, PT_STR("w2"), NULL)->initializer].t.data;
        norms[lasso] = 0;
        for (int i = 0; i < 32; i++)
            norms[lasso] += fabs((double)w[i]);
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
    }
    assert_true(norms[1] < 0.7 * norms[0]);
}

/* A student that is told nothing but what the teacher says ends up agreeing with it. */
static void distils(void **state)
{
    (void)state;
    struct pt_edit teacher, student;
    struct pt_buf bytes[2];
    open_model(&teacher, &bytes[0], MLP("out z\n"));
    struct pt_train_options o = options();
    pt_free(trained(&teacher, &o).points);
    open_model(&student, &bytes[1], MLP("y = Softmax(z)\nout y\n"));
    assert_int_equal(pt_train_reset(&student, 77, &(struct pt_err){0}), PT_OK);
    struct pt_data unlabelled = data;
    unlabelled.labels.dtype = PT_UNDEFINED;
    struct pt_train_result r;
    struct pt_err err = {0};
    o.distill = (struct pt_distillation){.teacher = &teacher, .temperature = 3, .hardness = 1};
    if (pt_train(&student, &unlabelled, NULL, &o, &r, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(r.points[29].loss < 0.1 * r.points[0].loss && r.points[29].loss > -1e-6); /* a divergence: 0 when they agree */
    pt_free(r.points);
    assert_true(accuracy(&student) > accuracy(&teacher) - 0.03);
    /* hidden values too */
    o.distill.student_hidden = o.distill.teacher_hidden = (struct pt_str[]){PT_STR("r")};
    o.distill.hidden_count = 1;
    o.distill.hidden_weight = 0.5F;
    if (pt_train(&student, &unlabelled, NULL, &o, &r, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(r.points[29].loss < r.points[0].loss);
    pt_free(r.points);
    o.distill.hardness = 2;
    assert_int_equal(pt_train(&student, &data, NULL, &o, &r, &err), PT_EINVAL);
    o.distill.hardness = 1;
    o.distill.student_hidden = (struct pt_str[]){PT_STR("nope")};
    assert_int_equal(pt_train(&student, &data, NULL, &o, &r, &err), PT_ENOTFOUND);
    assert_string_equal(err.msg, "the student has no value 'nope'");
    o.distill.student_hidden = (struct pt_str[]){PT_STR("z")};
    assert_int_equal(pt_train(&student, &data, NULL, &o, &r, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "hidden values: the student's 'z' is float32[1,"));
    pt_edit_finish(&teacher);
    pt_edit_finish(&student);
    pt_buf_finish(&bytes[0]);
    pt_buf_finish(&bytes[1]);
}

static void fits_numbers(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    float radius[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        radius[i] = points[2 * i] * points[2 * i] + points[2 * i + 1] * points[2 * i + 1];
    struct pt_data d = data;
    d.labels = (struct pt_tensor){.dtype = PT_FLOAT, .rank = 2, .dims = {SAMPLES, 1}, .data = radius, .size_bytes = sizeof radius};
    open_model(
        &e, &bytes,
        "in x f32[-1,2]\nconst w1 f32[2,32]:0\nconst b1 f32[32]:0\nconst w2 f32[32,1]:0\nh = Gemm(x,w1,b1)\nr = Tanh(h)\nz = MatMul(r,w2)\nout z\n");
    struct pt_train_options o = options();
    o.loss = PT_LOSS_MSE;
    o.schedule = (struct pt_schedule){.kind = PT_RATE_PLATEAU, .gamma = 0.5, .every = 2};
    struct pt_train_result r;
    struct pt_err err = {0};
    if (pt_train(&e, &d, &d, &o, &r, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(r.points[29].held_out_loss < 0.3 && isnan(r.points[29].accuracy));
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void stops_early(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    open_model(&e, &bytes, MLP("out z\n"));
    struct pt_train_options o = options();
    o.optimizer.rate = 1.5F; /* too much: it gets no better */
    o.epochs = 100;
    o.patience = 2;
    struct pt_train_result r = trained(&e, &o);
    assert_true(r.stopped_early && r.count < 100);
    double best = 1e9;
    for (size_t i = 0; i < r.count; i++)
        best = fmin(best, r.points[i].held_out_loss);
    struct pt_evaluation v;
    assert_int_equal(pt_evaluate(&e, &data, PT_LOSS_CROSS_ENTROPY, 0, NULL, false, &v, &(struct pt_err){0}), PT_OK);
    assert_true(fabs(v.loss - best) < 1e-6);
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void refuses(void **state)
{
    (void)state;
    struct pt_edit e;
    struct pt_buf bytes;
    struct pt_train_result r;
    struct pt_err err = {0};
    open_model(&e, &bytes, MLP("out z\n"));
    uint64_t before = fingerprint(&e);
    struct pt_train_options o = options();
    labels[7] = 2;
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "training data: label 2 of sample 7 is outside of the model's 2 classes");
    make_data();
    struct pt_data odd = data;
    odd.labels.dims[0] = SAMPLES - 1;
    assert_int_equal(pt_train(&e, &odd, NULL, &o, &r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "training data: labels are int64[299] for 300 samples");
    odd = data;
    odd.labels = (struct pt_tensor){0};
    assert_int_equal(pt_train(&e, &odd, NULL, &o, &r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "training data: there are no labels");
    float at = points[9];
    points[9] = NAN;
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, ": the loss is not a number: "));
    assert_true(fingerprint(&e) == before);
    points[9] = at;
    o.optimizer.rate = -1;
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "the learning rate is -1, must be from 0 to below inf");
    o = options();
    o.batch_size = 0;
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_EINVAL);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
    open_model(&e, &bytes, "in x f32[-1,2]\nconst w f32[2,2]:0\nh = MatMul(x,w)\nc = Ceil(h)\nz = Identity(c)\nout z\n");
    o = options();
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "node 'c' (Ceil): its derivative is not known"));
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
    open_model(&e, &bytes,
               "in x f32[-1,2]\nconst ax i64[1]:0\nconst w f32[1,8,2]:0\nconst r f32[1,8,2]:0\nconst h f32[2,2]:0\nu = Unsqueeze(x,ax)\n"
               "s,l = LSTM(u,w,r) hidden_size=2\nq = Squeeze(l,ax)\nz = MatMul(q,h)\nout z\n");
    o = options();
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "(LSTM): its derivative is not known, so 'w' cannot be trained"));
    o.frozen = (struct pt_str[]){PT_STR("w"), PT_STR("r")};
    o.frozen_count = 2;
    assert_int_equal(pt_train(&e, &data, NULL, &o, &r, &err), PT_OK);
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void schedules(void **state)
{
    (void)state;
    struct pt_schedule s = {.kind = PT_RATE_STEP, .gamma = 0.1, .every = 3, .warmup_steps = 4};
    assert_true(fabs(pt_schedule_factor(&s, 0, 100, 0, 0) - 0.25) < 1e-12);
    assert_true(fabs(pt_schedule_factor(&s, 50, 100, 7, 0) - 0.01) < 1e-12);
    s = (struct pt_schedule){.kind = PT_RATE_COSINE, .floor = 0.1};
    assert_true(fabs(pt_schedule_factor(&s, 0, 100, 0, 0) - 1) < 1e-12);
    assert_true(fabs(pt_schedule_factor(&s, 50, 100, 0, 0) - 0.55) < 1e-12);
    s = (struct pt_schedule){.kind = PT_RATE_POLYNOMIAL, .power = 2};
    assert_true(fabs(pt_schedule_factor(&s, 25, 100, 0, 0) - 0.5625) < 1e-12);
    s = (struct pt_schedule){.kind = PT_RATE_EXPONENTIAL, .gamma = 0.5};
    assert_true(fabs(pt_schedule_factor(&s, 0, 100, 3, 0) - 0.125) < 1e-12);
    s = (struct pt_schedule){.kind = PT_RATE_PLATEAU, .gamma = 0.5};
    assert_true(fabs(pt_schedule_factor(&s, 0, 100, 9, 2) - 0.25) < 1e-12);
}

/* One array of weights after two steps, as formulas in double have it. */
static void check_steps(const struct pt_optimizer_options *o, bool matrix)
{
    enum { N = 6 };
    float w[N] = {0.5F, -1, 2, 0, -0.25F, 1}, g[N], state[2 * N] = {0};
    static const float grads[2][N] = {{0.1F, -0.2F, 0.3F, 0.4F, -0.5F, 2}, {-0.3F, 0.2F, 0.1F, 0, 1, -1}};
    double x[N], m[N] = {0}, v[N] = {0};
    struct pt_parameter p = {.w = w, .g = g, .state = state, .count = N, .channels = 2, .matrix = matrix};
    for (int i = 0; i < N; i++)
        x[i] = (double)w[i];
    for (int step = 0; step < 2; step++) {
        double rate = 0.1 / (1 + step), d[N], norm = 0;
        memcpy(g, grads[step], sizeof g);
        for (int i = 0; i < N; i++)
            norm += (double)g[i] * (double)g[i];
        norm = sqrt(norm);
        assert_true(fabs(pt_gradient_norm(&p, 1) - norm) < 1e-9);
        pt_optimizer_step(o, &p, 1, step, rate, norm);
        double shrink = o->clip_norm > 0 && norm > (double)o->clip_norm ? (double)o->clip_norm / norm : 1;
        for (int i = 0; i < N; i++) {
            double group = 0;
            for (int k = i / 3 * 3; k < i / 3 * 3 + 3; k++)
                group += x[k] * x[k];
            d[i] = shrink * (double)grads[step][i];
            if (matrix)
                d[i] += (double)o->l1 * ((x[i] > 0) - (x[i] < 0)) + (group > 0 ? (double)o->group_lasso * x[i] / sqrt(group) : 0);
        }
        for (int i = 0; i < N; i++) {
            if (matrix)
                x[i] -= rate * (double)o->weight_decay * x[i];
            if (o->kind == PT_SGD) {
                m[i] = (double)o->momentum * m[i] + d[i];
                x[i] -= rate * (o->nesterov ? d[i] + (double)o->momentum * m[i] : m[i]);
            } else {
                m[i] = 0.9 * m[i] + 0.1 * d[i];
                v[i] = 0.999 * v[i] + 0.001 * d[i] * d[i];
                x[i] -= rate * m[i] / (1 - pow(0.9, step + 1)) / (sqrt(v[i] / (1 - pow(0.999, step + 1))) + 1e-8);
            }
        }
        for (int i = 0; i < N; i++)
            assert_true(fabs((double)w[i] - x[i]) < 2e-6);
    }
}

static void steps(void **state)
{
    (void)state;
    static const struct pt_optimizer_options options_[] = {
        {.kind = PT_SGD, .rate = 1},
        {.kind = PT_SGD, .rate = 1, .momentum = 0.9F},
        {.kind = PT_SGD, .rate = 1, .momentum = 0.9F, .nesterov = true},
        {.kind = PT_SGD, .rate = 1, .momentum = 0.5F, .weight_decay = 0.1F},
        {.kind = PT_SGD, .rate = 1, .l1 = 0.05F},
        {.kind = PT_SGD, .rate = 1, .group_lasso = 0.05F},
        {.kind = PT_SGD, .rate = 1, .clip_norm = 0.5F},
        {.kind = PT_ADAMW, .rate = 1},
        {.kind = PT_ADAMW, .rate = 1, .weight_decay = 0.1F, .l1 = 0.01F, .group_lasso = 0.02F, .clip_norm = 1},
    };
    for (size_t i = 0; i < sizeof options_ / sizeof *options_; i++)
        for (int matrix = 0; matrix < 2; matrix++)
            check_steps(&options_[i], matrix);
}

static void refuses_schedules(void **state)
{
    (void)state;
    static const struct {
        struct pt_schedule s;
        const char *message;
    } cases[] = {
        {{.kind = PT_RATE_STEP, .gamma = 0.1}, "every 0 epochs"},
        {{.kind = PT_RATE_STEP, .gamma = 0, .every = 2}, "gamma is 0"},
        {{.kind = PT_RATE_EXPONENTIAL, .gamma = 1.5}, "gamma is 1.5"},
        {{.kind = PT_RATE_PLATEAU, .gamma = (double)NAN, .every = 1}, "gamma is"},
        {{.kind = PT_RATE_COSINE, .floor = -0.1}, "ends at -0.1"},
        {{.kind = PT_RATE_POLYNOMIAL}, "the power is 0"},
        {{.warmup_steps = -1}, "-1 steps of warm-up"},
    };
    struct pt_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pt_schedule_check(&cases[i].s, &err), PT_EINVAL);
        if (!strstr(err.msg, cases[i].message))
            fail_msg("%s", err.msg);
    }
    assert_int_equal(pt_schedule_check(&(struct pt_schedule){0}, &err), PT_OK);
}

/* An image moved so: pixel (y, x) is the nearest one there is to (y - down, x - right). */
static bool is_moved(const float *a, const float *b, int down, int right)
{
    for (int c = 0; c < 2; c++)
        for (int y = 0; y < 4; y++)
            for (int x = 0; x < 5; x++) {
                int v = y - down < 0 ? 0 : y - down > 3 ? 3 : y - down, u = x - right < 0 ? 0 : x - right > 4 ? 4 : x - right;
                if (b[c * 20 + y * 5 + x] != a[c * 20 + v * 5 + u])
                    return false;
            }
    return true;
}

/* Over many steps every move of every image is seen, and nothing else; a step is the same whenever it comes. */
static void shifts_images(void **state)
{
    float was[3 * 40], now[3 * 40], again[3 * 40];
    struct pt_tensor t = {.dtype = PT_FLOAT, .rank = 4, .dims = {3, 2, 4, 5}, .data = now, .size_bytes = sizeof now}, u = t;
    struct pt_err err = {0};
    int seen[3][5][5] = {0};
    (void)state;
    u.data = again;
    for (int i = 0; i < 3 * 40; i++)
        was[i] = (float)i;
    for (int step = 0; step < 400; step++) {
        memcpy(now, was, sizeof now);
        memcpy(again, was, sizeof again);
        assert_int_equal(pt_shift_images(&t, 2, 7, step, &err), PT_OK);
        assert_int_equal(pt_shift_images(&u, 2, 7, step, &err), PT_OK);
        assert_memory_equal(now, again, sizeof now);
        for (int i = 0; i < 3; i++) {
            int ways = 0;
            for (int k = 0; k < 25; k++)
                if (is_moved(was + 40 * i, now + 40 * i, k / 5 - 2, k % 5 - 2)) {
                    seen[i][k / 5][k % 5]++;
                    ways++;
                }
            assert_int_equal(ways, 1);
        }
    }
    for (int i = 0; i < 3 * 25; i++)
        assert_true(seen[i / 25][i / 5 % 5][i % 5] > 0);
}

static void refuses_shifts(void **state)
{
    const struct pt_tensor image = {.dtype = PT_FLOAT, .rank = 4, .dims = {3, 1, 8, 6}};
    const struct pt_data images = {.inputs = &image, .input_count = 1, .count = 3};
    struct pt_err err = {0};
    (void)state;
    assert_int_equal(pt_shift_check(&images, 5, &err), PT_OK);
    assert_int_equal(pt_shift_check(&images, 6, &err), PT_EINVAL);
    assert_string_equal(err.msg, "shift 6: images of 8 x 6 are not larger");
    assert_int_equal(pt_shift_check(&data, 0, &err), PT_OK);
    assert_int_equal(pt_shift_check(&data, 1, &err), PT_EINVAL);
    assert_string_equal(err.msg, "shift 1: no input holds images, of four axes");
}

int main(void)
{
    make_data();
    const struct CMUnitTest tests[] = {cmocka_unit_test(learns),        cmocka_unit_test(learns_quantised),      cmocka_unit_test(judges),
                                       cmocka_unit_test(steps),         cmocka_unit_test(refuses_schedules),     cmocka_unit_test(finds_weights),
                                       cmocka_unit_test(unties_copies), cmocka_unit_test(threads_do_not_matter), cmocka_unit_test(resumes),
                                       cmocka_unit_test(keeps_masks),   cmocka_unit_test(regularises),           cmocka_unit_test(distils),
                                       cmocka_unit_test(fits_numbers),  cmocka_unit_test(stops_early),           cmocka_unit_test(refuses),
                                       cmocka_unit_test(schedules),     cmocka_unit_test(shifts_images),         cmocka_unit_test(refuses_shifts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
