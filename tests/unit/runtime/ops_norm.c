/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_norm.c: normalisations, losses, running sums and random numbers, small enough to work out by hand.
 */
#include "tests/unit/runtime/model.h"

static void batch_normalisation(void **state)
{
    (void)state;
#define STATS "f32[2]:1,2 | f32[2]:0,10 | f32[2]:1,0 | f32[2]:4,1"
    test_op(15, "BatchNormalization", "epsilon=0.0", "f32[1,2,2]:1,3,0,1 | " STATS, "f32[1,2,2]:0,1,10,12");
    test_op(15, "BatchNormalization", "epsilon=0.0 training_mode=1 momentum=0.5", "f32[2,1]:1,3 | f32[1]:1 | f32[1]:0 | f32[1]:4 | f32[1]:3",
            "f32[2,1]:-1,1 | f32[1]:3 | f32[1]:2");
    test_op(9, "BatchNormalization", "epsilon=0.0 momentum=0.5", "f32[2,1]:1,3 | f32[1]:1 | f32[1]:0 | f32[1]:4 | f32[1]:3",
            "f32[2,1]:-1,1 | f32[1]:3 | f32[1]:2 | f32[1]:2 | f32[1]:1");
    test_op(7, "BatchNormalization", "epsilon=0.0 spatial=0", "f32[1,1,2]:1,3 | f32[1,2]:1,2 | f32[1,2]:0,10 | f32[1,2]:1,0 | f32[1,2]:4,1",
            "f32[1,1,2]:0,16");
    test_op(15, "BatchNormalization", "epsilon=0.0", "f16[1,1]:0x4200 | f32[1]:1 | f32[1]:0 | f32[1]:1 | f32[1]:4", "f16[1,1]:0x3c00");
    test_op_fails(15, "BatchNormalization", "", "f32[1,3]:1,2,3 | " STATS, "one value for each of 3 channels");
}

static void other_normalisations(void **state)
{
    (void)state;
    test_op(17, "LayerNormalization", "epsilon=0.0", "f32[1,2]:1,3 | f32[2]:1,1", "f32[1,2]:-1,1 | f32[1,1]:2 | f32[1,1]:1");
    test_op(17, "LayerNormalization", "epsilon=0.0 stash_type=16", "f32[1,2]:1,3 | f32[2]:1,1", "f32[1,2]:-1,1 | bf16[1,1]:0x4000");
    test_op(23, "RMSNormalization", "epsilon=0.0", "f16[1,2]:0x4000,0xc000 | f32[2]:1,3", "f32[1,2]:1,-3");
    test_op(1, "LpNormalization", "p=1 axis=0", "f32[2,2]:1,0,-3,0", "f32[2,2]:0.25,0,-0.75,0");
    test_op(1, "LpNormalization", "", "f32[1,2]:3,4", "f32[1,2]:0.6,0.8");
    test_op(13, "MeanVarianceNormalization", "axes=[1]", "f32[2,2]:1,3,10,20", "f32[2,2]:-1,1,-1,1");
    test_op(13, "MeanVarianceNormalization", "", "f32[2,1,1,1]:1,3", "f32[2,1,1,1]:-1,1");
    test_op(18, "GroupNormalization", "num_groups=1 epsilon=0.0", "f32[1,2,1]:1,3 | f32[1]:2 | f32[1]:1", "f32[1,2,1]:-1,3");
    test_op(21, "GroupNormalization", "num_groups=1 epsilon=0.0", "f32[1,2,1]:1,3 | f32[2]:2,1 | f32[2]:1,0", "f32[1,2,1]:-1,1");
    test_op_fails(17, "LayerNormalization", "stash_type=7", "f32[1,2]:1,3 | f32[2]:1,1", "'stash_type' is int64");
    test_op_fails(1, "LpNormalization", "p=3", "f32[1,2]:3,4", "'p' = 3 is outside 1 to 2");
}

static void losses(void **state)
{
    (void)state;
#define SCORES "f32[2,2]:-1,-2,-3,-4 | i64[2]:0,1"
    test_op(13, "NegativeLogLikelihoodLoss", "", SCORES, "f32[]:2.5");
    test_op(13, "NegativeLogLikelihoodLoss", "reduction='none'", SCORES, "f32[2]:1,4");
    test_op(13, "NegativeLogLikelihoodLoss", "reduction='sum'", SCORES " | f32[2]:1,10", "f32[]:41");
    test_op(13, "NegativeLogLikelihoodLoss", "", SCORES " | f32[2]:1,3", "f32[]:3.25");
    test_op(13, "NegativeLogLikelihoodLoss", "ignore_index=1", SCORES, "f32[]:1");
    test_op(13, "NegativeLogLikelihoodLoss", "ignore_index=-7 reduction='none'", "f32[1,2,2]:1,2,3,4 | i32[1,2]:1,-7", "f32[1,2]:-3,0");
    test_op(13, "SoftmaxCrossEntropyLoss", "", "f32[1,2]:0,0 | i64[1]:1", "f32[]:0.6931472 | f32[1,2]:-0.6931472,-0.6931472");
    test_op_fails(13, "NegativeLogLikelihoodLoss", "", "f32[1,2]:1,2 | i64[1]:2", "label 2 at 0 is outside 0 to 1");
    test_op_fails(13, "NegativeLogLikelihoodLoss", "", "f32[1,2]:1,2 | i64[2]:0,0", "do not fit scores");
}

static void running(void **state)
{
    (void)state;
    test_op(26, "CumProd", "", "i32[3]:2,3,4 | !i64[]:0", "i32[3]:2,6,24");
    test_op(26, "CumProd", "exclusive=1 reverse=1", "f32[3]:2,3,4 | !i32[1]:-1", "f32[3]:12,4,1");
    test_op(14, "CumSum", "", "bf16[2]:0x3f80,0x4000 | !i64[]:0", "bf16[2]:0x3f80,0x4040");
}

/* A seed gives the numbers that numpy's RandomState gives for it. */
static void seeded(void **state)
{
    (void)state;
    test_op(22, "RandomUniform", "shape=[3] seed=0.0", "", "f32[3]:0.54881350,0.71518937,0.60276338");
    test_op(22, "RandomUniform", "shape=[1] seed=0.0 low=10.0 high=20.0 dtype=11", "", "f64[1]:15.488135039273247");
    test_op(22, "RandomNormal", "shape=[3] seed=0.0", "", "f32[3]:1.76405235,0.40015721,0.97873798");
    test_op(22, "RandomNormalLike", "seed=1.0 dtype=1 mean=1.0 scale=2.0", "i32[1,2]:1,2", "f32[1,2]:4.2486907,-0.22351283");
    test_op(22, "RandomUniformLike", "seed=0.0", "f16[1]:0", "f16[1]:0x3864");
    test_op(22, "Bernoulli", "seed=0.0 dtype=9", "f32[4]:0.5,0,1,0.3", "b[4]:1,0,1,0");
    test_op(22, "Multinomial", "seed=0.0 sample_size=3", "f32[1,3]:-100,0,-100", "i32[1,3]:1,1,1");
    test_op(13, "Dropout", "seed=0", "f32[4]:1,2,3,4 | !f32[]:0.6 | !b[]:1", "f32[4]:0,5,7.5,0 | b[4]:0,1,1,0");
    test_op(13, "Dropout", "seed=0", "f32[2]:1,2 | f32[]:0.6 | b[]:0", "f32[2]:1,2 | b[2]:1,1");
    test_op(7, "Dropout", "", "f32[2]:1,2", "f32[2]:1,2 | f32[2]:1,1");
    test_op_fails(22, "Bernoulli", "", "f32[1]:2", "probability 0 is 2");
    test_op_fails(22, "RandomNormal", "", "", "attribute 'shape' is missing");
    test_op_fails(22, "RandomUniform", "shape=[1] dtype=7", "", "type int64 is not supported");
    test_op_fails(13, "Dropout", "", "f32[1]:1 | f32[]:1 | b[]:1", "the ratio is 1");
}

/* Without a seed every run differs, even though nothing about its inputs does. */
static void unseeded(void **state)
{
    (void)state;
    struct pt_buf model = test_model("opset 22\ny = RandomUniform() shape=[8]\nout y\n");
    struct pt_err err = {0};
    struct pt_session *s;
    struct pt_run *r;
    float first[8];
    assert_int_equal(pt_session_open_memory(model.data, model.len, NULL, &s, &err), 0);
    assert_int_equal(pt_run_create(s, &r, &err), 0);
    assert_int_equal(pt_run_execute(r, &err), 0);
    memcpy(first, pt_run_output(r, 0)->data, sizeof first);
    assert_int_equal(pt_run_execute(r, &err), 0);
    assert_memory_not_equal(first, pt_run_output(r, 0)->data, sizeof first);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&model);
}

static void constants(void **state)
{
    (void)state;
    test_op(13, "Constant", "value_string='ab'", "", "s[]:ab");
    test_op(21, "ConstantOfShape", "value={i4[1]:5}", "!i64[1]:3", "i4[3]:5,5,5");
    test_op(9, "ConstantOfShape", "", "!i64[1]:2", "f32[2]:0,0");
    test_op(22, "EyeLike", "dtype=10 k=1", "i32[2,2]:1,2,3,4", "f16[2,2]:0,0x3c00,0,0");
    test_op(27, "Range", "", "!f16[]:0x3c00 | !f16[]:0x4400 | !f16[]:0x3c00", "f16[3]:0x3c00,0x4000,0x4200");
    test_op(14, "Identity", "", "s[2]:a,b", "s[2]:a,b");
    test_op(21, "Reshape", "", "u4[2,2]:1,2,3,4 | !i64[1]:-1", "u4[4]:1,2,3,4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_normalisation),
        cmocka_unit_test(other_normalisations),
        cmocka_unit_test(losses),
        cmocka_unit_test(running),
        cmocka_unit_test(seeded),
        cmocka_unit_test(unseeded),
        cmocka_unit_test(constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
