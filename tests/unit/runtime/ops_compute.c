/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_compute.c: convolutions, pools, matrix products, normalisations and reductions, small enough to work out by hand. Weights are tried both as
 * inputs (the reference runs) and as constants (the kernels run).
 */
#include "tests/unit/runtime/model.h"

static void convolutions(void **state)
{
    (void)state;
#define IMAGE "f32[1,1,3,3]:1,2,3,4,5,6,7,8,9"
    test_op(11, "Conv", "", IMAGE " | f32[1,1,2,2]:1,1,1,1", "f32[1,1,2,2]:12,16,24,28");
    test_op(11, "Conv", "", IMAGE " | !f32[1,1,2,2]:1,1,1,1 | !f32[1]:10", "f32[1,1,2,2]:22,26,34,38");
    test_op(11, "Conv", "pads=[1,1,1,1] strides=[2,2]", IMAGE " | !f32[1,1,3,3]:1,1,1,1,1,1,1,1,1", "f32[1,1,2,2]:12,16,24,28");
    test_op(11, "Conv", "pads=[1,1,1,1]", IMAGE " | !f32[1,1,3,3]:0,0,0,0,1,0,0,0,0", "f32[1,1,3,3]:1,2,3,4,5,6,7,8,9");
    test_op(11, "Conv", "auto_pad='SAME_UPPER'", IMAGE " | !f32[1,1,2,2]:1,1,1,1", "f32[1,1,3,3]:12,16,9,24,28,15,15,17,9");
    test_op(11, "Conv", "auto_pad='SAME_LOWER'", IMAGE " | !f32[1,1,2,2]:1,1,1,1", "f32[1,1,3,3]:1,3,5,5,12,16,11,24,28");
    test_op(11, "Conv", "dilations=[2,2]", IMAGE " | !f32[1,1,2,2]:1,1,1,1", "f32[1,1,1,1]:20");
    test_op(11, "Conv", "group=2", "f32[1,2,1,2]:1,2,3,4 | !f32[2,1,1,1]:10,100", "f32[1,2,1,2]:10,20,300,400");
    test_op(11, "Conv", "group=2", "f32[1,4,1,1]:1,2,3,4 | !f32[2,2,1,1]:1,1,1,1", "f32[1,2,1,1]:3,7");
    test_op(11, "Conv", "", "f32[1,2,1,2]:1,2,3,4 | !f32[1,2,1,1]:1,10", "f32[1,1,1,2]:31,42");
    test_op(11, "Conv", "pads=[1,0]", "f32[1,1,3]:1,2,3 | !f32[1,1,2]:1,2", "f32[1,1,3]:2,5,8");
    test_op(11, "Conv", "", "f32[1,1,1,2,2]:1,2,3,4 | f32[1,1,1,2,2]:1,1,1,1", "f32[1,1,1,1,1]:10");
    test_op(11, "Conv", "", "f32[0,1,2,2]: | !f32[1,1,2,2]:1,1,1,1", "f32[0,1,1,1]:");
    test_op(11, "Conv", "", "f64[1,1,1,1]:3 | f64[1,1,1,1]:2", "f64[1,1,1,1]:6");
    /* 0x3c00 = 1, 0x4000 = 2, 0x4200 = 3, 0x4900 = 10 */
    test_op(11, "Conv", "", "f16[1,1,2]:0x3c00,0x4000 | f16[1,1,2]:0x3c00,0x3c00 | f16[1]:0x4900", "f16[1,1,1]:0x4a80");
    test_op_fails(11, "Conv", "", IMAGE " | f32[1,2,1,1]:1,1", "do not fit input");
    test_op_fails(11, "Conv", "group=3", IMAGE " | f32[1,1,1,1]:1", "in 3 groups");
    test_op_fails(11, "Conv", "", IMAGE " | !f32[1,1,4,4]:1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "larger than the padded input");
    test_op_fails(11, "Conv", "strides=[0,1]", IMAGE " | f32[1,1,1,1]:1", "'strides' = 0 is outside 1 to");
    test_op_fails(11, "Conv", "strides=[1]", IMAGE " | f32[1,1,1,1]:1", "'strides' has 1 values, needs 2");
    test_op_fails(11, "Conv", "kernel_shape=[2,2]", IMAGE " | f32[1,1,1,1]:1", "'kernel_shape' differs");
    test_op_fails(11, "Conv", "auto_pad='X'", IMAGE " | f32[1,1,1,1]:1", "'auto_pad' = \"X\" is not supported");
}

static void pools(void **state)
{
    (void)state;
    test_op(12, "MaxPool", "kernel_shape=[2,2]", IMAGE, "f32[1,1,2,2]:5,6,8,9");
    test_op(12, "MaxPool", "kernel_shape=[2,2]", IMAGE, "f32[1,1,2,2]:5,6,8,9 | i64[1,1,2,2]:4,5,7,8");
    test_op(12, "MaxPool", "kernel_shape=[2,2] storage_order=1", IMAGE, "f32[1,1,2,2]:5,6,8,9 | i64[1,1,2,2]:4,7,5,8");
    test_op(12, "MaxPool", "kernel_shape=[2,2] strides=[2,2] ceil_mode=1", IMAGE, "f32[1,1,2,2]:5,6,8,9");
    test_op(12, "MaxPool", "kernel_shape=[3,3] pads=[1,1,1,1] strides=[2,2]", IMAGE, "f32[1,1,2,2]:5,6,8,9");
    test_op(12, "MaxPool", "kernel_shape=[2]", "f32[1,1,3]:-3,-1,-2", "f32[1,1,2]:-1,-1");
    test_op(12, "MaxPool", "kernel_shape=[2]", "u8[1,1,3]:3,1,200", "u8[1,1,2]:3,200");
    test_op(12, "MaxPool", "kernel_shape=[2] dilations=[2]", "f32[1,1,3]:3,9,2", "f32[1,1,1]:3");
    test_op(11, "AveragePool", "kernel_shape=[2,2] pads=[1,1,0,0]", IMAGE, "f32[1,1,3,3]:1,1.5,2.5,2.5,3,4,5.5,6,7");
    test_op(11, "AveragePool", "kernel_shape=[2,2] pads=[1,1,0,0] count_include_pad=1", IMAGE, "f32[1,1,3,3]:0.25,0.75,1.25,1.25,3,4,2.75,6,7");
    test_op(11, "AveragePool", "kernel_shape=[2] strides=[2] ceil_mode=1", "f32[1,1,3]:1,2,3", "f32[1,1,2]:1.5,3");
    test_op(1, "GlobalAveragePool", "", IMAGE, "f32[1,1,1,1]:5");
    test_op(1, "GlobalMaxPool", "", IMAGE, "f32[1,1,1,1]:9");
    test_op(1, "LpPool", "kernel_shape=[2] p=1.0", "f32[1,1,2]:3,-4", "f32[1,1,1]:7");
    test_op(1, "GlobalLpPool", "", "f32[1,1,2]:3,-4", "f32[1,1,1]:5");
    test_op_fails(1, "GlobalLpPool", "p=0.0", "f32[1,1,2]:3,-4", "'p' = 0 is not positive");
    test_op(11, "LpPool", "kernel_shape=[2]", "f32[1,1,2]:3,4", "f32[1,1,1]:5");
    test_op_fails(12, "MaxPool", "", IMAGE, "'kernel_shape' has 0 values");
    test_op_fails(12, "MaxPool", "kernel_shape=[2]", IMAGE, "'kernel_shape' has 1 values, needs 2");
    test_op_fails(12, "MaxPool", "kernel_shape=[2,2]", "f32[2,2]:1,2,3,4", "must have rank 3");
}

static void products(void **state)
{
    (void)state;
    test_op(13, "Gemm", "", "f32[2,2]:1,2,3,4 | f32[2,1]:1,10", "f32[2,1]:21,43");
    test_op(13, "Gemm", "transA=1 transB=1 alpha=2.0 beta=0.5", "f32[2,2]:1,2,3,4 | !f32[1,2]:1,10 | !f32[1]:4", "f32[2,1]:64,86");
    test_op(13, "Gemm", "transB=1", "f32[1,2]:1,2 | !f32[3,2]:1,0,0,1,1,1 | !f32[3]:10,20,30", "f32[1,3]:11,22,33");
    test_op(13, "Gemm", "", "f32[2,1]:1,2 | !f32[1,2]:1,2 | f32[2,2]:1,1,1,1", "f32[2,2]:2,3,3,5");
    test_op(13, "Gemm", "", "f32[2,1]:1,2 | !f32[1,2]:1,2 | f32[2,1]:1,10", "f32[2,2]:2,3,12,14");
    test_op(13, "Gemm", "", "f32[2,1]:1,2 | !f32[1,2]:1,2 | f32[]:1", "f32[2,2]:2,3,3,5");
    test_op(13, "Gemm", "", "f32[2,0]: | f32[0,2]: | f32[2]:1,2", "f32[2,2]:1,2,1,2");
    test_op_fails(13, "Gemm", "", "f32[1,2]:1,2 | f32[1,2]:1,2", "do not multiply");
    test_op_fails(13, "Gemm", "", "f32[1,1]:1 | f32[1,1]:1 | f32[2]:1,1", "does not broadcast to");
    test_op(13, "Gemm", "transB=1", "i32[1,2]:1,2 | i32[1,2]:3,4 | i32[1]:10", "i32[1,1]:21");
    test_op(13, "Gemm", "alpha=0.5", "u64[1,1]:3 | u64[1,1]:5 | u64[1]:10", "u64[1,1]:17");
    test_op(13, "MatMul", "", "f32[2,2]:1,2,3,4 | !f32[2,2]:1,0,1,1", "f32[2,2]:3,2,7,4");
    test_op(13, "MatMul", "", "f32[2]:1,2 | f32[2]:3,4", "f32[]:11");
    test_op(13, "MatMul", "", "f32[2]:1,2 | f32[2,2]:1,2,3,4", "f32[2]:7,10");
    test_op(13, "MatMul", "", "f32[2,2]:1,2,3,4 | !f32[2]:1,1", "f32[2]:3,7");
    test_op(13, "MatMul", "", "f32[2,1,2]:1,2,3,4 | f32[2,1]:1,1", "f32[2,1,1]:3,7");
    test_op(13, "MatMul", "", "f32[2,1,1,2]:1,2,3,4 | f32[1,2,2,1]:1,1,2,2", "f32[2,2,1,1]:3,6,7,14");
    test_op(13, "MatMul", "", "f32[1,0]: | f32[0,2]:", "f32[1,2]:0,0");
    test_op(13, "MatMul", "", "i32[1,2]:1,2 | i32[2,1]:3,4", "i32[1,1]:11");
    test_op_fails(13, "MatMul", "", "f32[1,2]:1,2 | f32[1,2]:1,2", "do not multiply");
    test_op_fails(13, "MatMul", "", "f32[]:1 | f32[1]:1", "must have rank 1 or more");
}

static void einsums(void **state)
{
    (void)state;
    test_op(12, "Einsum", "equation='ij,jk->ik'", "f32[2,2]:1,2,3,4 | !f32[2,2]:1,0,1,1", "f32[2,2]:3,2,7,4");
    test_op(12, "Einsum", "equation='ij , jk'", "f64[2,2]:1,2,3,4 | f64[2,2]:1,0,1,1", "f64[2,2]:3,2,7,4");
    test_op(12, "Einsum", "equation='bij,bkj->kbi'", "f32[2,1,2]:1,2,3,4 | f32[2,1,2]:1,1,2,2", "f32[1,2,1]:3,14");
    test_op(12, "Einsum", "equation='ii->i'", "i32[2,2]:1,2,3,4", "i32[2]:1,4");
    test_op(12, "Einsum", "equation='ii'", "f32[2,2]:1,2,3,4", "f32[]:5");
    test_op(12, "Einsum", "equation='...i->...'", "f32[2,2]:1,2,3,4", "f32[2]:3,7");
    test_op(12, "Einsum", "equation='...i,i...'", "f32[2,2]:1,2,3,4 | f32[2]:1,10", "f32[2]:21,43");
    test_op(12, "Einsum", "equation='ba'", "f32[1,2]:1,2", "f32[2,1]:1,2");
    test_op(12, "Einsum", "equation='a,a,a->'", "f32[2]:1,2 | f32[2]:3,4 | f32[2]:5,6", "f32[]:63");
    test_op(12, "Einsum", "equation='i,j->ij'", "f32[2]:1,2 | f32[2]:3,4", "f32[2,2]:3,4,6,8");
    test_op(12, "Einsum", "equation='ij->'", "f32[0,2]:", "f32[]:0");
    test_op_fails(12, "Einsum", "equation='ij,jk->il'", "f32[1,1]:1 | f32[1,1]:1", "is in no operand");
    test_op_fails(12, "Einsum", "equation='ij->ii'", "f32[1,1]:1", "is there twice");
    test_op_fails(12, "Einsum", "equation='i%'", "f32[1]:1", "no sense at position 1");
    test_op_fails(12, "Einsum", "equation='ij'", "f32[1]:1", "does not fit");
    test_op_fails(12, "Einsum", "equation='i,i'", "f32[2]:1,1 | f32[3]:1,1,1", "its index has the size 2 elsewhere");
}

static void normalisations(void **state)
{
    (void)state;
    test_op(13, "Softmax", "", "f32[1,2]:0,1.0986123", "f32[1,2]:0.25,0.75");
    test_op(13, "Softmax", "axis=0", "f32[2,1]:0,1.0986123", "f32[2,1]:0.25,0.75");
    test_op(11, "Softmax", "", "f32[1,2,2]:0,0,0,0", "f32[1,2,2]:0.25,0.25,0.25,0.25");
    test_op(13, "Softmax", "", "f32[2]:1000,1000", "f32[2]:0.5,0.5");
    test_op(13, "Softmax", "", "f32[0,3]:", "f32[0,3]:");
    test_op(13, "LogSoftmax", "", "f32[2]:0,0", "f32[2]:-0.693147181,-0.693147181");
    test_op(13, "Hardmax", "", "f32[1,3]:1,3,3", "f32[1,3]:0,1,0");
    test_op_fails(13, "Softmax", "axis=2", "f32[1,2]:0,1", "'axis' = 2 is outside -2 to 1");
    test_op(17, "LayerNormalization", "epsilon=0.0", "f32[1,2]:1,3 | f32[2]:1,2 | f32[2]:0,5", "f32[1,2]:-1,7");
    test_op(17, "LayerNormalization", "epsilon=0.0 axis=0", "f32[1,2]:1,3 | !f32[1,2]:1,2", "f32[1,2]:-1,2 | f32[1,1]:2 | f32[1,1]:1");
    test_op_fails(17, "LayerNormalization", "", "f32[1,2]:1,3 | f32[3]:1,2,3", "does not broadcast");
    test_op(23, "RMSNormalization", "epsilon=0.0", "f32[1,2]:1,7 | f32[2]:5,10", "f32[1,2]:1,14");
    test_op(15, "BatchNormalization", "epsilon=0.0", "f32[1,2,1]:1,2 | !f32[2]:1,10 | !f32[2]:0,1 | !f32[2]:0,1 | !f32[2]:1,4", "f32[1,2,1]:1,6");
    test_op(7, "BatchNormalization", "epsilon=0.0", "f32[1,2]:1,2 | f32[2]:1,10 | f32[2]:0,1 | f32[2]:0,1 | f32[2]:1,4", "f32[1,2]:1,6");
    test_op(6, "InstanceNormalization", "epsilon=0.0", "f32[1,1,2]:1,3 | f32[1]:2 | f32[1]:1", "f32[1,1,2]:-1,3");
    test_op(13, "LRN", "size=1 alpha=1.0 beta=1.0 bias=1.0", "f32[1,1,1]:2", "f32[1,1,1]:0.4");
}

static void reductions(void **state)
{
    (void)state;
#define MATRIX "f32[2,3]:1,2,3,4,5,6"
    test_op(13, "ReduceSum", "", MATRIX, "f32[1,1]:21");
    test_op(13, "ReduceSum", "keepdims=0", MATRIX " | !i64[1]:-1", "f32[2]:6,15");
    test_op(13, "ReduceSum", "noop_with_empty_axes=1", MATRIX " | !i64[0]:", "f32[2,3]:1,2,3,4,5,6");
    test_op(13, "ReduceSum", "keepdims=0", "f32[2,0]: | !i64[1]:1", "f32[2]:0,0");
    test_op(11, "ReduceSum", "axes=[0]", MATRIX, "f32[1,3]:5,7,9");
    test_op(13, "ReduceMean", "axes=[1] keepdims=0", MATRIX, "f32[2]:2,5");
    test_op(18, "ReduceMean", "", MATRIX " | i64[1]:0", "f32[1,3]:2.5,3.5,4.5");
    test_op(18, "ReduceMax", "keepdims=0", "i32[2,2]:-5,-2,-3,-4 | !i64[1]:1", "i32[2]:-2,-3");
    test_op(18, "ReduceMin", "", "u8[2]:5,200", "u8[1]:5");
    test_op(18, "ReduceMax", "keepdims=0", "f32[0]:", "f32[]:-inf");
    test_op(20, "ReduceMax", "keepdims=0", "b[2]:0,1", "b[]:1");
    test_op(18, "ReduceProd", "keepdims=0", "i64[3]:2,3,4", "i64[]:24");
    test_op(18, "ReduceL1", "keepdims=0", "f32[2]:-3,4", "f32[]:7");
    test_op(18, "ReduceL2", "keepdims=0", "f32[2]:-3,4", "f32[]:5");
    test_op(18, "ReduceLogSum", "keepdims=0", "f32[2]:1,1.71828183", "f32[]:1");
    test_op(18, "ReduceLogSumExp", "keepdims=0", "f32[2]:1000,1000", "f32[]:1000.693147");
    test_op(18, "ReduceSumSquare", "keepdims=0", "f32[2]:3,4", "f32[]:25");
    test_op(13, "ReduceSum", "keepdims=0", "f32[2,2,2]:1,2,3,4,5,6,7,8 | !i64[2]:0,2", "f32[2]:14,22");
    test_op(13, "ReduceSum", "", "f32[]:3", "f32[]:3");
    test_op_fails(13, "ReduceSum", "", MATRIX " | !i64[1]:2", "axis = 2 is outside");
    test_op(13, "ArgMax", "axis=1 keepdims=0", "f32[2,3]:1,3,3,9,2,1", "i64[2]:1,0");
    test_op(13, "ArgMax", "axis=1 keepdims=0 select_last_index=1", "f32[1,3]:1,3,3", "i64[1]:2");
    test_op(13, "ArgMin", "axis=0", "i32[2,2]:1,5,0,7", "i64[1,2]:1,0");
    test_op_fails(13, "ArgMax", "axis=0", "f32[0]:", "nothing to choose from");
    test_op(14, "CumSum", "", "f32[3]:1,2,3 | !i64[]:0", "f32[3]:1,3,6");
    test_op(14, "CumSum", "exclusive=1 reverse=1", "i64[2,2]:1,2,3,4 | i32[]:-1", "i64[2,2]:2,0,4,0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),   cmocka_unit_test(pools),      cmocka_unit_test(products), cmocka_unit_test(einsums),
        cmocka_unit_test(normalisations), cmocka_unit_test(reductions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
