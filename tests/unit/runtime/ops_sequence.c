/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_sequence.c: attention and other operators over sequences, with results worked out by hand.
 */
#include "tests/unit/runtime/model.h"

static void attention(void **state)
{
    (void)state;
    /* equal scores average the values */
#define KV "f32[1,1,2,1]:0,0 | f32[1,1,2,1]:2,4"
    test_op(23, "Attention", "", "f32[1,1,1,1]:1 | " KV, "f32[1,1,1,1]:3");
    test_op(23, "Attention", "", "f32[1,0,1,1]: | " KV, "f32[1,0,1,1]:");
    test_op(23, "Attention", "scale=1.0", "f32[1,1,1,1]:1 | f32[1,1,2,1]:0,1.0986123 | f32[1,1,2,1]:0,4", "f32[1,1,1,1]:3");
    test_op(23, "Attention", "is_causal=1", "f32[1,1,2,1]:1,1 | " KV, "f32[1,1,2,1]:2,3");
    test_op(23, "Attention", "", "f32[1,1,1,1]:1 | " KV " | b[1,2]:0,1", "f32[1,1,1,1]:4");
    test_op(23, "Attention", "", "f32[1,1,1,1]:1 | " KV " | f32[1,2]:0,1.0986123", "f32[1,1,1,1]:3.5");
    test_op(23, "Attention", "softcap=1.0 qk_matmul_output_mode=1", "f32[1,1,1,1]:1 | f32[1,1,1,1]:1 | f32[1,1,1,1]:7",
            "f32[1,1,1,1]:7 | f32[1,1,1,1]:1 | f32[1,1,1,1]:7 | f32[1,1,1,1]:0.76159416");
    test_op(23, "Attention", "", "f64[1,1,1,1]:1 | f64[1,1,2,1]:0,0 | f64[1,1,2,1]:2,4", "f64[1,1,1,1]:3");
    test_op(23, "Attention", "q_num_heads=2 kv_num_heads=1", "f32[1,1,2]:0,0 | f32[1,2,1]:1,2 | f32[1,2,1]:2,4", "f32[1,1,2]:3,3");
    test_op(23, "Attention", "", "f32[1,1,1,1]:0 | f32[1,1,1,1]:1 | f32[1,1,1,1]:4 | - | f32[1,1,1,1]:5 | f32[1,1,1,1]:2",
            "f32[1,1,1,1]:3 | f32[1,1,2,1]:5,1 | f32[1,1,2,1]:2,4");
    test_op(24, "Attention", "", "f32[1,1,1,1]:1 | " KV " | - | - | - | i64[1]:1", "f32[1,1,1,1]:2");
    /* many queries take the matrix kernel */
    test_op(23, "Attention", "", "f32[1,1,9,1]:0,0,0,0,0,0,0,0,0 | " KV, "f32[1,1,9,1]:3,3,3,3,3,3,3,3,3");
    test_op(23, "Attention", "", "f32[1,1,0,1]: | " KV, "f32[1,1,0,1]:");
    test_op(23, "Attention", "", "f32[1,1,1,1]:1 | f32[1,1,0,1]: | f32[1,1,0,1]:", "f32[1,1,1,1]:0");
    test_op(26, "ai.onnx.preview::FlexAttention", "", "f32[1,1,1,1]:1 | " KV, "f32[1,1,1,1]:3");
    test_op(26, "ai.onnx.preview::FlexAttention", "scale=1.0", "f64[1,2,1,1]:1,0 | f64[1,1,2,1]:0,1.0986122887 | f64[1,1,2,1]:0,4", "f64[1,2,1,1]:3,2");
    test_op_fails(26, "ai.onnx.preview::FlexAttention", "", "f32[1,1,1]:1 | f32[1,1,1]:1 | f32[1,1,1]:1", "must have rank 4");
    test_op_fails(23, "Attention", "", "f32[1,3,1,1]:1,1,1 | f32[1,2,1,1]:1,1 | f32[1,2,1,1]:1,1", "do not go together");
    test_op_fails(23, "Attention", "", "f32[1,1,2]:1,1 | f32[1,1,2]:1,1 | f32[1,1,2]:1,1", "does not divide into 0 heads");
    test_op_fails(23, "Attention", "", "f32[1,1,1,1]:1 | " KV " | f32[1,3]:0,0,0", "does not broadcast");
    test_op_fails(23, "Attention", "", "f32[1,1,1,1]:1 | " KV " | - | f64[1,1,1,1]:1 | f32[1,1,1,1]:1", "does not continue");
}

static void rotary(void **state)
{
    (void)state;
    test_op(23, "RotaryEmbedding", "", "f32[1,1,1,4]:1,2,3,4 | f32[1,1,2]:0,1 | f32[1,1,2]:1,0", "f32[1,1,1,4]:-3,2,1,4");
    test_op(23, "RotaryEmbedding", "interleaved=1", "f32[1,1,1,4]:1,2,3,4 | f32[1,1,2]:0,1 | f32[1,1,2]:1,0", "f32[1,1,1,4]:-2,1,3,4");
    test_op(23, "RotaryEmbedding", "num_heads=1 rotary_embedding_dim=2", "f32[1,1,3]:1,2,3 | f32[2,1]:1,0 | f32[2,1]:0,1 | i64[1,1]:1",
            "f32[1,1,3]:-2,1,3");
    test_op_fails(23, "RotaryEmbedding", "num_heads=1", "f32[1,1,2]:1,2 | f32[2,1]:1,0 | f32[2,1]:0,1 | i64[1,1]:2", "position 2 is outside the 2");
    test_op_fails(23, "RotaryEmbedding", "", "f32[1,1,1,3]:1,2,3 | f32[1,1,1]:0 | f32[1,1,1]:1", "cannot be turned in pairs");
}

static void states(void **state)
{
    (void)state;
    test_op(27, "LinearAttention", "q_num_heads=1 kv_num_heads=1 update_rule='linear' scale=1.0", "f32[1,2,1]:1,1 | f32[1,2,1]:1,2 | f32[1,2,1]:3,5",
            "f32[1,2,1]:3,13 | f32[1,1,1,1]:13");
    test_op(27, "LinearAttention", "q_num_heads=2 kv_num_heads=1 scale=1.0",
            "f32[1,1,2]:1,2 | f32[1,1,1]:1 | f32[1,1,1]:5 | f32[1,1,1,1]:2 | f32[1,1,1]:0 | "
            "f32[1,1,1]:0.5",
            "f32[1,1,2]:3.5,7 | f32[1,1,1,1]:3.5");
    test_op_fails(27, "LinearAttention", "q_num_heads=1 kv_num_heads=1", "f32[1,1,1]:1 | f32[1,1,1]:1 | f32[1,1,1]:5", "input 4 is missing");
    test_op(27, "CausalConvWithState", "", "f32[1,1,3]:1,2,3 | f32[1,1,2]:10,1 | f32[1]:100", "f32[1,1,3]:101,112,123 | f32[1,1,1]:3");
    test_op(27, "CausalConvWithState", "activation='silu'", "f32[1,1,1]:0 | f32[1,1,3]:1,1,1 | - | f32[1,1,2]:0,7",
            "f32[1,1,1]:6.9936226 | f32[1,1,2]:7,0");
    test_op_fails(27, "CausalConvWithState", "", "f32[1,1,1]:0 | f32[2,1,1]:1,1", "do not fit input");
    test_op(24, "TensorScatter", "", "f32[2,2,1]:1,2,3,4 | f32[2,1,1]:9,8 | i64[2]:1,0", "f32[2,2,1]:1,9,8,4");
    test_op(24, "TensorScatter", "mode='circular'", "i8[1,2,1]:1,2 | i8[1,2,1]:9,8 | i64[1]:1", "i8[1,2,1]:8,9");
    test_op_fails(24, "TensorScatter", "", "f32[1,2,1]:1,2 | f32[1,2,1]:9,8 | i64[1]:1", "do not fit 2");
}

static void recurrent(void **state)
{
    (void)state;
    /* one input, one hidden value, weights 1 and 2: h = act(x + 2 h) */
    test_op(14, "RNN", "activations=['Relu']", "f32[2,1,1]:1,1 | f32[1,1,1]:1 | f32[1,1,1]:2", "f32[2,1,1,1]:1,3 | f32[1,1,1]:3");
    test_op(14, "RNN", "activations=['relu'] direction='reverse'", "f32[2,1,1]:1,5 | f32[1,1,1]:1 | f32[1,1,1]:2", "f32[2,1,1,1]:11,5 | f32[1,1,1]:11");
    test_op(14, "RNN", "activations=['Relu'] layout=1", "f32[1,2,1]:1,1 | f32[1,1,1]:1 | f32[1,1,1]:2 | - | - | f32[1,1,1]:1", "f32[1,2,1,1]:3,7 | f32[1,1,1]:7");
    test_op(14, "RNN", "activations=['Relu','Relu'] direction='bidirectional'", "f32[2,2,1]:1,1,4,4 | f32[2,1,1]:1,1 | f32[2,1,1]:2,2 | - | i32[2]:2,1",
            "f32[2,2,2,1]:1,1,9,1,6,0,4,0 | f32[2,2,1]:6,1,9,1");
    test_op(14, "RNN", "activations=['Affine'] activation_alpha=[3.0] activation_beta=[1.0] clip=2.0", "f32[1,1,1]:5 | f32[1,1,1]:1 | f32[1,1,1]:2 | f32[1,2]:0,0",
            "f32[1,1,1,1]:7 | f32[1,1,1]:7");
    test_op(7, "RNN", "", "f64[1,1,1]:0.5 | f64[1,1,1]:1 | f64[1,1,1]:2", "f64[1,1,1,1]:0.46211715726 | f64[1,1,1]:0.46211715726");
    /* z = r = 1/2; h = (x + r 2 h + b) / 2 + h / 2 with every activation the identity but the first */
    test_op(14, "GRU", "activations=['Sigmoid','Affine']", "f32[1,1,1]:1 | f32[1,3,1]:0,0,1 | f32[1,3,1]:0,0,2 | f32[1,6]:0,0,4,0,0,2 | - | f32[1,1,1]:1",
            "f32[1,1,1,1]:4.5 | f32[1,1,1]:4.5");
    test_op(14, "GRU", "activations=['Sigmoid','Affine'] linear_before_reset=1",
            "f32[1,1,1]:1 | f32[1,3,1]:0,0,1 | f32[1,3,1]:0,0,2 | f32[1,6]:0,0,4,0,0,2 | - | f32[1,1,1]:1", "f32[1,1,1,1]:4 | f32[1,1,1]:4");
    /* i = o = f = 1/2 from zero weights; c = x, C = (x + C) / 2, h = C / 2 */
    test_op(14, "LSTM", "activations=['Sigmoid','Affine','Affine']", "f32[1,1,1]:4 | f32[1,4,1]:0,0,0,1 | f32[1,4,1]:0,0,0,0 | - | - | - | f32[1,1,1]:2",
            "f32[1,1,1,1]:1.5 | f32[1,1,1]:1.5 | f32[1,1,1]:3");
    test_op(14, "LSTM", "activations=['Affine','Affine','Affine'] input_forget=1",
            "f32[1,1,1]:4 | f32[1,4,1]:0,0,0,1 | f32[1,4,1]:0,0,0,0 | f32[1,8]:0,1,0,0,0.25,0,0,0 | - | - | f32[1,1,1]:4 | f32[1,3]:0,0.5,0",
            "f32[1,1,1,1]:12 | f32[1,1,1]:12 | f32[1,1,1]:4");
    test_op(14, "RNN", "", "f32[0,1,1]: | f32[1,1,1]:1 | f32[1,1,1]:2 | - | - | f32[1,1,1]:3", "f32[0,1,1,1]: | f32[1,1,1]:3");
    test_op_fails(14, "RNN", "activations=['Sine']", "f32[1,1,1]:1 | f32[1,1,1]:1 | f32[1,1,1]:2", "activation \"Sine\" is not supported");
    test_op_fails(14, "RNN", "hidden_size=3", "f32[1,1,1]:1 | f32[1,1,1]:1 | f32[1,1,1]:2", "'hidden_size' = 3, but R is");
    test_op_fails(14, "RNN", "", "f32[1,1,1]:1 | f32[1,1,2]:1,1 | f32[1,1,1]:2", "input 1 is float32[1,1,2], must be float32[1,1,1]");
    test_op_fails(14, "RNN", "", "f32[1,1,1]:1 | f32[1,1,1]:1 | f32[1,1,1]:2 | - | i32[1]:2", "has the length 2");
}

static void signals(void **state)
{
    (void)state;
    test_op(17, "DFT", "", "f32[1,2,1]:1,3", "f32[1,2,2]:4,0,-2,0");
    test_op(17, "DFT", "onesided=1", "f32[1,3,1]:1,2,6", "f32[1,2,2]:9,0,-3,3.4641016");
    test_op(17, "DFT", "inverse=1", "f64[1,3,2]:9,0,-3,3.4641016151,-3,-3.4641016151", "f64[1,3,2]:1,0,2,0,6,0");
    test_op(17, "DFT", "inverse=1 onesided=1", "f32[1,2,2]:9,0,-3,3.4641016 | !i64[]:3", "f32[1,3,1]:1,2,6");
    test_op(20, "DFT", "", "f32[2,2,1]:1,2,3,4 | - | !i64[]:0", "f32[2,2,2]:4,0,6,0,-2,0,-2,0");
    test_op(20, "DFT", "", "f32[1,3,1]:1,1,1 | !i64[]:2", "f32[1,2,2]:2,0,0,0");
    test_op(20, "DFT", "", "f32[1,1,1]:1 | !i64[]:4", "f32[1,4,2]:1,0,1,0,1,0,1,0");
    test_op_fails(20, "DFT", "", "f32[1,3,3]:1,1,1,1,1,1,1,1,1", "a last axis of 1 or 2");
    test_op_fails(20, "DFT", "", "f32[1,3,1]:1,1,1 | - | !i64[]:-1", "holds the parts");
    test_op_fails(17, "DFT", "onesided=1", "f32[1,1,2]:1,1", "must be real");
    test_op(17, "STFT", "", "f32[1,4,1]:1,3,5,9 | !i64[]:2 | f32[2]:1,2", "f32[1,2,2,2]:7,0,-5,0,23,0,-13,0");
    test_op(17, "STFT", "onesided=0", "f32[1,2,1]:1,3 | !i64[]:1 | - | !i64[]:2", "f32[1,1,2,2]:4,0,-2,0");
    test_op_fails(17, "STFT", "", "f32[1,2,1]:1,3 | !i64[]:0 | - | !i64[]:2", "0 apart");
    test_op(17, "HannWindow", "", "!i64[]:4", "f32[4]:0,0.5,1,0.5");
    test_op(17, "HannWindow", "periodic=0 output_datatype=11", "!i32[]:3", "f64[3]:0,1,0");
    test_op(17, "BlackmanWindow", "", "!i64[]:2", "f32[2]:0,1");
    test_op(17, "HammingWindow", "", "!i64[]:2", "f32[2]:0.0869565217,1");
    test_op_fails(17, "HannWindow", "", "!i64[]:-1", "(size) is int64[], -1");
    test_op_fails(17, "HannWindow", "output_datatype=8", "!i64[]:1", "'output_datatype' = 8");
    test_op(17, "MelWeightMatrix", "", "!i64[]:2 | !i64[]:8 | !i64[]:8 | f32[]:0 | f32[]:4", "f32[5,2]:0,0,1,0,0,1,0,0,0,0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention),
        cmocka_unit_test(rotary),
        cmocka_unit_test(states),
        cmocka_unit_test(recurrent),
        cmocka_unit_test(signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
