/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.c: k-means of weights against what it must be: few values, each the mean of its own, each weight at the nearest; and training that keeps
 * it.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/compress/cluster.h"

#define INPUTS 40
#define SAMPLES 120
static float points[SAMPLES * INPUTS];
static int64_t labels[SAMPLES];
static struct pt_tensor input = {.dtype = PT_FLOAT, .rank = 2, .dims = {SAMPLES, INPUTS}, .data = points, .size_bytes = sizeof points};
static struct pt_data data = {.inputs = &input,
                              .input_count = 1,
                              .labels = {.dtype = PT_INT64, .rank = 1, .dims = {SAMPLES}, .data = labels, .size_bytes = sizeof labels},
                              .count = SAMPLES};
static const char MODEL[] =
    "in x f32[-1,40]\nconst w f32[40,50]:0\nconst v f32[50,2]:0\nconst b f32[50]:0\nh = Gemm(x,w,b)\nr = Relu(h)\ny = MatMul(r,v)\nout y\n";

static float *weights(struct pt_edit *e, const char *name)
{
    struct pt_err err = {0};
    return pt_edit_floats(e, pt_edit_value(e, pt_str(name), NULL)->initializer, &err);
}

static struct pt_edit opened(struct pt_buf *bytes, bool zeros)
{
    struct pt_edit e;
    struct pt_err err = {0};
    *bytes = test_model(MODEL);
    assert_int_equal(pt_edit_open_memory(&e, bytes->data, bytes->len, &err), PT_OK);
    assert_int_equal(pt_train_reset(&e, 3, &err), PT_OK);
    for (int i = 0; zeros && i < 2000; i += 3)
        weights(&e, "w")[i] = 0;
    return e;
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static size_t distinct(const float *w, size_t n, float *out)
{
    size_t count = 0;
    float *sorted = malloc(n * sizeof *sorted);
    memcpy(sorted, w, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || sorted[i] != sorted[i - 1])
            out[count++] = sorted[i];
    free(sorted);
    return count;
}

static void is_k_means(void **state)
{
    (void)state;
    static float was[2000], values[2000];
    for (int kind = 0; kind < 8; kind++) {
        struct pt_buf bytes;
        struct pt_edit e = opened(&bytes, kind & 1);
        struct pt_err err = {0};
        struct pt_cluster_report r;
        struct pt_cluster_options o = {.clusters = kind & 2 ? 7 : 32,
                                       .start = kind & 4 ? PT_CLUSTER_LINEAR : PT_CLUSTER_PLUSPLUS,
                                       .keep_zeros = true,
                                       .seed = 5,
                                       .rounds = 5000};
        memcpy(was, weights(&e, "w"), sizeof was);
        if (pt_cluster(&e, &o, &r, &err) < 0)
            fail_msg("%s", err.msg);
        const float *w = weights(&e, "w");
        size_t count = distinct(w, 2000, values);
        assert_true(o.start == PT_CLUSTER_LINEAR ? count > 20 * (size_t)o.clusters / 32 && count <= (size_t)o.clusters : count == (size_t)o.clusters);
        assert_int_equal(r.count, 1); /* v is too small */
        assert_int_equal(r.tensors[0].values, count);
        double bits = 0;
        for (size_t k = 0; k < count; k++) {
            double sum = 0, members = 0;
            for (int i = 0; i < 2000; i++)
                if (w[i] == values[k]) {
                    sum += (double)was[i];
                    members++;
                }
            assert_true(fabs(sum / members - (double)values[k]) < 1e-5);
            bits -= members / 2000 * log2(members / 2000);
        }
        assert_true(fabs(bits - r.tensors[0].bits) < 1e-9);
        assert_int_equal(r.tensors[0].bytes_coded, (uint64_t)ceil(250 * bits) + 4 * count);
        assert_int_equal(r.bytes_before - r.bytes_coded, 8000 - r.tensors[0].bytes_coded);
        for (int i = 0; i < 2000; i++)
            for (size_t k = 0; k < count; k++)
                assert_true(was[i] == 0 ? w[i] == 0 : values[k] == 0 || fabsf(was[i] - w[i]) <= fabsf(was[i] - values[k]) + 1e-6F);
        pt_cluster_report_finish(&r);
        pt_edit_finish(&e);
        pt_buf_finish(&bytes);
    }
}

/* Weights of a cluster stay equal, those that are zero stay zero, and the model learns. */
static void trains(void **state)
{
    (void)state;
    static float values[2000], w0[2000];
    struct pt_buf bytes;
    struct pt_edit e = opened(&bytes, true);
    struct pt_err err = {0};
    struct pt_train_result r;
    struct pt_train_options t = {.optimizer = {.kind = PT_SGD, .rate = 0.1F, .momentum = 0.9F}, .batch_size = 20, .epochs = 15};
    uint64_t s = 1;
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i % 2;
        for (int k = 0; k < INPUTS; k++) {
            s = s * 6364136223846793005U + 1442695040888963407U;
            points[i * INPUTS + k] = (float)(s >> 40) / 16777216 - 0.5F + (k % 2 == i % 2 ? 0.3F : 0);
        }
    }
    assert_int_equal(pt_cluster_train(&e, 16, &data, NULL, &t, &r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "no weights of the model have at most 16 different values: cluster it first");
    assert_int_equal(pt_cluster(&e, &(struct pt_cluster_options){.clusters = 16, .keep_zeros = true}, NULL, &err), PT_OK);
    memcpy(w0, weights(&e, "w"), sizeof w0);
    if (pt_cluster_train(&e, 16, &data, NULL, &t, &r, &err) < 0)
        fail_msg("%s", err.msg);
    const float *w = weights(&e, "w");
    assert_true(distinct(w, 2000, values) <= 16);
    bool moved = false;
    for (int i = 0; i < 2000; i++) {
        assert_true((w0[i] == 0) == (w[i] == 0));
        moved |= w0[i] != w[i];
        for (int k = i % 7; k < i; k += 7)
            assert_true(w0[i] != w0[k] || w[i] == w[k]);
    }
    assert_true(moved && r.points[14].accuracy > 0.95 && r.points[14].loss < 0.5 * r.points[0].loss);
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

static void refuses(void **state)
{
    (void)state;
    struct pt_buf bytes;
    struct pt_edit e = opened(&bytes, false);
    struct pt_err err = {0};
    struct pt_cluster_report r;
    assert_int_equal(pt_cluster(&e, &(struct pt_cluster_options){.clusters = 1}, &r, &err), PT_EINVAL);
    assert_string_equal(err.msg, "1 clusters: must be from 2 to 4096");
    pt_cluster_report_finish(&r);
    assert_int_equal(pt_cluster(&e, &(struct pt_cluster_options){.clusters = 4, .skip = (struct pt_str[]){PT_STR("w")}, .skip_count = 1}, &r, &err),
                     PT_EUNSUPPORTED);
    assert_string_equal(err.msg, "the model has no weights to cluster: none of 2 has 1024 elements and is not to be skipped");
    pt_cluster_report_finish(&r);
    for (int64_t n = 1, rc = PT_ENOMEM; rc != PT_OK; n++) {
        pt_mem_fail_at(n, 0);
        rc = pt_cluster(&e, &(struct pt_cluster_options){.clusters = 4}, &r, &err);
        pt_mem_fail_at(0, 0);
        assert_true(rc == PT_OK || rc == PT_ENOMEM);
        pt_cluster_report_finish(&r);
    }
    pt_edit_finish(&e);
    pt_buf_finish(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_k_means), cmocka_unit_test(trains), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
