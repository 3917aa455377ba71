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

static void linear(void **state)
{
    (void)state;
    test_op(1, "com.microsoft::Unique", "", "f32[6]:2,1,1,3,4,3", "f32[4]:2,1,3,4 | i64[6]:0,1,1,2,3,2 | i64[4]:1,2,2,1");
    test_op_fails(1, "com.microsoft::Unique", "", "f32[1,2]:1,2", "input float32[1,2] must have one axis");
    test_op(1, "com.microsoft::CDist", "metric='euclidean'", "f32[1,2]:0,0 | f32[2,2]:3,4,0,1", "f32[1,2]:5,1");
    test_op(1, "com.microsoft::CDist", "", "f64[2,1]:1,2 | f64[1,1]:4", "f64[2,1]:9,4");
    test_op_fails(1, "com.microsoft::CDist", "", "f32[1,2]:0,0 | f32[1,3]:1,2,3", "must be matrices with rows of one length");
    test_op(1, "com.microsoft::Inverse", "", "f32[2,2]:0,2,4,0", "f32[2,2]:0,0.25,0.5,0");
    test_op(1, "com.microsoft::Inverse", "", "f32[2,1,1]:2,-4", "f32[2,1,1]:0.5,-0.25");
    test_op_fails(1, "com.microsoft::Inverse", "", "f32[2,3]:1,2,3,4,5,6", "holds no square matrices");
    /* two channels of 2 x 2, the channels innermost; one filter takes the difference of the channels, one their first */
    test_op(1, "com.microsoft::NhwcConv", "", "f32[1,2,2,2]:1,10,2,20,3,30,4,40 | f32[2,2,1,1]:-1,1,1,0 | f32[2]:0,100",
            "f32[1,2,2,2]:9,101,18,102,27,103,36,104");
    test_op(1, "com.microsoft::NhwcConv", "group=2 pads=[0,1,0,0]", "f32[1,1,2,2]:1,10,2,20 | f32[2,1,1,2]:1,1,2,0", "f32[1,1,2,2]:1,0,3,20");
    test_op_fails(1, "com.microsoft::NhwcConv", "", "f32[1,2,2,3]:1,2,3,4,5,6,7,8,9,10,11,12 | f32[1,2,1,1]:1,1", "do not fit input");
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

static void attention(void **state)
{
    (void)state;
#define MHA "com.microsoft::MultiHeadAttention"
#define QKV "f32[1,1,1]:0 | f32[1,2,1]:1,2 | f32[1,2,1]:10,20"
    test_op(1, MHA, "num_heads=1", QKV, "f32[1,1,1]:15");
    test_op(1, MHA, "num_heads=1", QKV " | f32[3]:0,0,1", "f32[1,1,1]:16");
    test_op(1, MHA, "num_heads=1", QKV " | - | i32[1]:1", "f32[1,1,1]:10");
    test_op(1, MHA, "num_heads=1", QKV " | - | i32[1,2]:0,1 | f32[1,1,1,2]:0,0", "f32[1,1,1]:20");
    test_op(1, MHA, "num_heads=1", QKV " | - | - | - | f32[1,1,1,1]:3 | f32[1,1,1,1]:30",
            "f32[1,1,1]:20 | f32[1,1,3,1]:3,1,2 | f32[1,1,3,1]:30,10,20");
    test_op(1, MHA, "num_heads=1", "f32[1,1,1]:0 | f32[1,1,2,1]:1,2 | f32[1,1,2,1]:10,20", "f32[1,1,1]:15");
    test_op(1, MHA, "num_heads=1", "f32[1,1,1,3,1]:0,1,7", "f32[1,1,1]:7");
    test_op(1, MHA, "num_heads=1", "f32[1,1,1]:0 | f32[1,2,1,2,1]:1,10,2,20", "f32[1,1,1]:15");
    test_op(1, MHA, "num_heads=1 unidirectional=1", "f32[1,2,1]:0,0 | f32[1,2,1]:1,2 | f32[1,2,1]:10,20", "f32[1,2,1]:10,15");
    test_op_fails(1, MHA, "", QKV, "'num_heads' is missing");
    test_op_fails(1, MHA, "num_heads=1", "f32[1,1,1]:0 | f32[1,2,1]:1,2 | f32[1,1,1]:10", "do not fit 1 heads");
    test_op_fails(1, MHA, "num_heads=1", QKV " | - | i32[3,3]:1,1,1,1,1,1,1,1,1", "input 4 (mask) is int32[3,3]; supported are int32 of [1], [1,2]");
#define ATT "com.microsoft::Attention"
    test_op(1, ATT, "num_heads=1", "f32[1,2,1]:1,2 | f32[1,3]:0,1,5", "f32[1,2,1]:7.5,7.5");
    test_op(1, ATT, "num_heads=1 unidirectional=1", "f32[1,2,1]:1,2 | f32[1,3]:0,1,5 | f32[3]:0,0,1", "f32[1,2,1]:6,8.5");
    test_op(1, ATT, "num_heads=1", "f32[1,1,1]:1 | f32[1,3]:0,1,5 | - | - | f32[2,1,1,1,1]:3,9", "f32[1,1,1]:7 | f32[2,1,1,2,1]:3,1,9,5");
    test_op_fails(1, ATT, "num_heads=2", "f32[1,1,1]:1 | f32[1,3]:0,1,5", "do not divide into query, key and value of 2 heads");
    test_op(1, "com.microsoft::QAttention", "num_heads=1", "u8[1,2,1]:2,4 | i8[1,3]:0,1,5 | f32[3]:0,0,1 | f32[]:0.5 | f32[]:1 | - | u8[]:0 | i8[]:0",
            "f32[1,2,1]:8.5,8.5");
#define GQA "com.microsoft::GroupQueryAttention"
    test_op(1, GQA, "num_heads=2 kv_num_heads=1",
            "f32[1,1,2]:0,0 | f32[1,1,1]:1 | f32[1,1,1]:10 | f32[1,1,1,1]:3 | f32[1,1,1,1]:30 | i32[1]:1 | !i32[]:2",
            "f32[1,1,2]:20,20 | f32[1,1,2,1]:3,1 | f32[1,1,2,1]:30,10");
    test_op(1, GQA, "num_heads=1 kv_num_heads=1 local_window_size=1",
            "f32[1,2,1]:0,0 | f32[1,2,1]:1,2 | f32[1,2,1]:10,20 | - | - | i32[1]:1 | !i32[1]:2", "f32[1,2,1]:10,20");
    test_op_fails(1, GQA, "num_heads=3 kv_num_heads=2", "f32[1,2,1]:0,0", "do not make groups");
    test_op_fails(1, GQA, "num_heads=1 kv_num_heads=1", "f32[1,2,1]:0,0 | f32[1,2,1]:1,2 | f32[1,2,1]:10,20 | - | - | i32[1]:9 | !i32[1]:3",
                  "seqlens_k) of batch 0 is 9");
}

static void rotation(void **state)
{
    (void)state;
#define ROTARY "com.microsoft::RotaryEmbedding"
    test_op(1, ROTARY, "", "f32[1,1,2]:1,2 | i64[1]:1 | f32[2,1]:1,0 | f32[2,1]:0,1", "f32[1,1,2]:-2,1");
    test_op(1, ROTARY, "interleaved=1", "f32[1,1,2,2]:1,2,3,4 | i64[1,2]:0,1 | f32[2,1]:1,0 | f32[2,1]:0,1", "f32[1,1,2,2]:1,2,-4,3");
    test_op_fails(1, ROTARY, "", "f32[1,1,2]:1,2 | i64[1]:2 | f32[2,1]:1,0 | f32[2,1]:0,1", "position 2 is outside the 2 of the cache");
    test_op_fails(1, ROTARY, "num_heads=3", "f32[1,1,2]:1,2 | i64[1]:1 | f32[2,1]:1,0 | f32[2,1]:0,1", "do not fit");
}

static void few_bits(void **state)
{
    (void)state;
#define ONES "f32[1,16]:1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"
#define NBITS "com.microsoft::MatMulNBits"
    test_op(1, NBITS, "K=16 N=1 bits=4 block_size=16", ONES " | u8[1,1,8]:137,136,136,136,136,136,136,136 | f32[1]:0.5", "f32[1,1]:0.5");
    test_op(1, NBITS, "K=16 N=1 bits=4 block_size=16", ONES " | u8[1,1,8]:137,136,136,136,136,136,136,136 | f32[1]:0.5 | u8[1]:7 | - | f32[1]:1",
            "f32[1,1]:9.5");
    test_op(1, NBITS, "K=16 N=1 bits=8 block_size=16",
            ONES " | u8[1,1,16]:129,128,128,128,128,128,128,128,128,128,128,128,128,128,128,126 | f32[1]:2", "f32[1,1]:-2");
    test_op_fails(1, NBITS, "K=16 N=1 bits=4 block_size=16", ONES " | u8[1,1,4]:1,1,1,1 | f32[1]:0.5",
                  "input 1 (B) is uint8[1,1,4], must have 8 values");
    test_op_fails(1, NBITS, "K=16 N=1 bits=3 block_size=16", ONES " | u8[1,1,6]:1,1,1,1,1,1 | f32[1]:0.5", "bits = 3");
    test_op_fails(1, NBITS, "K=16 N=1 bits=8 block_size=16",
                  ONES " | u8[1,1,16]:1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1 | f32[1]:2 | - | i32[16]:0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0", "input 4 (g_idx)");
}

static void standard_names(void **state)
{
    (void)state;
    test_op(1, "com.microsoft::Trilu", "upper=0", "f32[2,2]:1,2,3,4", "f32[2,2]:1,0,3,4");
    test_op(1, "com.microsoft::Range", "", "!f32[]:1 | !f32[]:4 | !f32[]:2", "f32[2]:1,3");
    test_op(1, "com.microsoft::GatherND", "", "f32[2,2]:1,2,3,4 | i64[1,2]:1,0", "f32[1]:3");
    test_op(1, "com.microsoft::Pad", "", "f32[1]:1 | !i64[2]:1,1 | !f32[]:5", "f32[3]:5,1,5");
    test_op(1, "com.microsoft::GridSample", "align_corners=1", "f32[1,1,1,2]:1,3 | f32[1,1,1,2]:0,0", "f32[1,1,1,1]:2");
    test_op(1, "com.microsoft::QuantizeLinear", "", "f32[2]:1,-1 | f32[]:0.5 | u8[]:1", "u8[2]:3,0");
    test_op(1, "com.microsoft::DequantizeLinear", "", "u8[2]:3,0 | f32[]:0.5 | u8[]:1", "f32[2]:1,-0.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations), cmocka_unit_test(linear),   cmocka_unit_test(normalisations), cmocka_unit_test(fused),
        cmocka_unit_test(attention),   cmocka_unit_test(rotation), cmocka_unit_test(few_bits),       cmocka_unit_test(standard_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
