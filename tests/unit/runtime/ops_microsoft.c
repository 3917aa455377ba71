/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_microsoft.c: operators of com.microsoft on floats, small enough to work out by hand. tests/conformance/operators.py tries them at random.
 */
#include "tests/unit/runtime/model.h"

static void activations(void **state)
{
    (void)state;
    test_op(1, "com.microsoft::Gelu", "", "f32[2]:0,1", "f32[2]:0,0.84134475");
    test_op(1, "com.microsoft::BiasGelu", "", "f32[1,2]:-1,0 | f32[2]:1,1", "f32[1,2]:0,0.84134475");
    test_op(1, "com.microsoft::FastGelu", "", "f32[2]:0,1", "f32[2]:0,0.84119199");
    test_op(1, "com.microsoft::FastGelu", "", "f32[1,1]:0 | f32[1]:1", "f32[1,1]:0.84119199");
    test_op(1, "com.microsoft::QuickGelu", "alpha=1.0", "f32[2]:0,1", "f32[2]:0,0.73105858");
    test_op(1, "com.microsoft::Gelu", "", "f16[1]:0", "f16[1]:0");
    test_op_fails(1, "com.microsoft::BiasGelu", "", "f32[1,2]:-1,0 | f32[1]:1", "input 1 (bias) is float32[1], which does not fit the last axis");
}

static void normalisations(void **state)
{
    (void)state;
#define X "f32[1,1,2]:1,2 | f32[1,1,2]:0,1"
    test_op(1, "com.microsoft::SkipLayerNormalization", "epsilon=0.0", X " | f32[2]:1,2", "f32[1,1,2]:-1,2");
    test_op(1, "com.microsoft::SkipLayerNormalization", "epsilon=0.0", "f32[1,1,2]:1,2 | f32[1,2]:0,1 | f32[2]:1,2 | f32[2]:10,20 | f32[2]:0,2",
            "f32[1,1,2]:9,22 | f32[1,1,1]:3 | f32[1,1,1]:0.5 | f32[1,1,2]:1,5");
    test_op_fails(1, "com.microsoft::SkipLayerNormalization", "", X " | f32[3]:1,2,3", "input 2 (gamma) is float32[3], must be [2]");
    test_op_fails(1, "com.microsoft::SkipLayerNormalization", "", "f32[2,1,2]:1,2,3,4 | f32[3,1,2]:1,2,3,4,5,6 | f32[2]:1,2",
                  "input 1 (skip) is float32[3,1,2]");
    test_op(1, "com.microsoft::SkipSimplifiedLayerNormalization", "epsilon=0.0", "f32[1,2]:1,3 | f32[1,2]:0,4 | f32[2]:5,10 | f32[2]:0,0",
            "f32[1,2]:1,14");
    test_op(17, "SimplifiedLayerNormalization", "epsilon=0.0", "f32[1,2]:1,7 | f32[2]:5,10", "f32[1,2]:1,14 | f32[1,1]:0.2");
    test_op(1, "com.microsoft::EmbedLayerNormalization", "epsilon=0.0",
            "i32[1,1]:1 | i32[1,1]:0 | f32[2,2]:9,9,1,2 | f32[1,2]:0,1 | f32[1,2]:0,2 | f32[2]:1,1 | f32[2]:0,0 | i32[1,1]:1",
            "f32[1,1,2]:-1,1 | i32[1]:1 | f32[1,1,2]:1,5");
    test_op(1, "com.microsoft::EmbedLayerNormalization", "epsilon=0.0",
            "i32[1,1]:1 | - | f32[2,2]:9,9,1,2 | f32[2,2]:0,0,0,1 | - | f32[2]:1,1 | f32[2]:0,0 | - | i32[1,1]:1", "f32[1,1,2]:-1,1");
    test_op_fails(1, "com.microsoft::EmbedLayerNormalization", "", "i32[1,1]:2 | - | f32[2,2]:9,9,1,2 | f32[1,2]:0,1 | - | f32[2]:1,1 | f32[2]:0,0",
                  "id 2 is outside input 2, float32[2,2]");
}

static void fused(void **state)
{
    (void)state;
    test_op(1, "com.microsoft::FusedConv", "activation='Relu'", "f32[1,1,2]:1,-2 | f32[1,1,1]:3 | f32[1]:1 | f32[1,1,2]:1,-1", "f32[1,1,2]:5,0");
    test_op(1, "com.microsoft::FusedConv", "activation='LeakyRelu' activation_params=[0.5]", "f32[1,1,2]:1,-2 | f32[1,1,1]:3", "f32[1,1,2]:3,-3");
    test_op_fails(1, "com.microsoft::FusedConv", "activation='Clip' activation_params=[0.5]", "f32[1,1,1]:1 | f32[1,1,1]:3",
                  "must be 2 floats for Clip");
    test_op_fails(1, "com.microsoft::FusedConv", "activation='X'", "f32[1,1,1]:1 | f32[1,1,1]:3", "'activation' = \"X\"");
    test_op_fails(1, "com.microsoft::FusedConv", "", "f32[1,1,1]:1 | f32[1,1,1]:3 | - | f32[1]:1",
                  "input 3 (Z) is float32[1], must be float32[1,1,1]");
    test_op(1, "com.microsoft::FusedGemm", "activation='Relu' transB=1", "f32[1,2]:1,2 | f32[2,2]:1,1,-1,-1 | f32[2]:1,1", "f32[1,2]:4,0");
    test_op(1, "com.microsoft::FusedMatMul", "alpha=0.5 transA=1", "f32[2,1]:1,2 | f32[2,1]:3,4", "f32[1,1]:5.5");
    test_op(1, "com.microsoft::FusedMatMul", "transB=1", "f32[2,1,2]:1,2,3,4 | f32[1,2]:1,10", "f32[2,1,1]:21,43");
    test_op(1, "com.microsoft::FusedMatMul", "transBatchA=1", "f32[1,2,2]:1,2,3,4 | f32[2,2,1]:1,10,1,10", "f32[2,1,1]:21,43");
    test_op_fails(1, "com.microsoft::FusedMatMul", "", "f32[1,2]:1,2 | f32[1,2]:1,2", "do not multiply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations),
        cmocka_unit_test(normalisations),
        cmocka_unit_test(fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
