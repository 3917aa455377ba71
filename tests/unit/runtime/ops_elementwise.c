/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_elementwise.c: operators that compute each element alone, against values worked out by hand.
 */
#include "tests/unit/runtime/model.h"

static void arithmetic(void **state)
{
    (void)state;
    test_op(14, "Add", "", "f32[2]:1,2 | f32[2]:3,4", "f32[2]:4,6");
    test_op(14, "Sub", "", "i64[2]:1,2 | i64[2]:3,1", "i64[2]:-2,1");
    test_op(14, "Mul", "", "f64[2]:1.5,2 | f64[2]:2,4", "f64[2]:3,8");
    test_op(14, "Div", "", "f32[3]:1,-1,0 | f32[3]:0,0,0", "f32[3]:inf,-inf,nan");
    test_op(14, "Div", "", "i32[4]:7,-7,7,5 | i32[4]:2,2,-2,0", "i32[4]:3,-3,-3,0");
    test_op(14, "Div", "", "i32[1]:-2147483648 | i32[1]:-1", "i32[1]:-2147483648");
    test_op(14, "Add", "", "i8[1]:127 | i8[1]:1", "i8[1]:-128");
    test_op(14, "Mul", "", "u8[1]:200 | u8[1]:2", "u8[1]:144");
    test_op(13, "Mod", "", "i64[4]:5,-5,5,-5 | i64[4]:3,3,-3,-3", "i64[4]:2,1,-1,-2");
    test_op(13, "Mod", "fmod=1", "f32[2]:5.5,-5.5 | f32[2]:3,3", "f32[2]:2.5,-2.5");
    test_op(13, "Mod", "", "i32[1]:5 | i32[1]:0", "i32[1]:0");
    test_op(15, "Pow", "", "f32[3]:2,3,4 | f32[]:2", "f32[3]:4,9,16");
    test_op(15, "Pow", "", "i64[3]:2,3,-1 | i64[3]:62,2,3", "i64[3]:4611686018427387904,9,-1");
    test_op(15, "Pow", "", "f32[2]:2,4 | i32[2]:3,-1", "f32[2]:8,0.25");
    test_op(15, "Pow", "", "i32[2]:2,4 | f32[2]:0.5,0.5", "i32[2]:1,2");
    test_op(16, "PRelu", "", "f32[2,2]:-1,1,-2,2 | f32[2]:0.5,2", "f32[2,2]:-0.5,1,-1,2");
    test_op(6, "PRelu", "", "f32[1,2,2]:-1,1,-2,2 | f32[2]:0.5,2", "f32[1,2,2]:-0.5,1,-4,2");
    test_op(11, "BitShift", "direction='LEFT'", "u8[2]:1,255 | u8[2]:3,8", "u8[2]:8,0");
    test_op(18, "BitwiseXor", "", "i32[2]:5,6 | i32[2]:3,3", "i32[2]:6,5");
}

static void broadcasting(void **state)
{
    (void)state;
    test_op(14, "Add", "", "f32[2,3]:1,2,3,4,5,6 | f32[3]:10,20,30", "f32[2,3]:11,22,33,14,25,36");
    test_op(14, "Add", "", "f32[2,1]:1,2 | f32[1,3]:10,20,30", "f32[2,3]:11,21,31,12,22,32");
    test_op(14, "Sub", "", "f32[]:1 | f32[2,2]:1,2,3,4", "f32[2,2]:0,-1,-2,-3");
    test_op(14, "Add", "", "f32[1,1,1]:5 | f32[]:2", "f32[1,1,1]:7");
    test_op(14, "Add", "", "f32[0,3]: | f32[3]:1,2,3", "f32[0,3]:");
    test_op(14, "Add", "", "f32[2,1,2]:1,2,3,4 | f32[2,1]:10,20", "f32[2,2,2]:11,12,21,22,13,14,23,24");
    test_op(14, "Mul", "", "f32[2,2,1,2]:1,2,3,4,5,6,7,8 | f32[2,1,2,1]:1,2,3,4", "f32[2,2,2,2]:1,2,2,4,3,4,6,8,15,18,20,24,21,24,28,32");
    test_op_fails(14, "Add", "", "f32[2]:1,2 | f32[3]:1,2,3", "do not broadcast");
    test_op_fails(14, "Add", "", "f32[2]:1,2 | f64[2]:1,2", "has type float64, but an earlier one has float32");
    test_op_fails(14, "Add", "", "b[1]:1 | b[1]:1", "bool, which is not supported");
    /* opset 6: one-way, at an axis that is asked for */
    test_op(6, "Add", "broadcast=1 axis=0", "f32[2,3]:1,2,3,4,5,6 | f32[2]:10,20", "f32[2,3]:11,12,13,24,25,26");
    test_op(6, "Add", "broadcast=1", "f32[2,3]:1,2,3,4,5,6 | f32[3]:10,20,30", "f32[2,3]:11,22,33,14,25,36");
    test_op_fails(6, "Add", "", "f32[2,3]:1,2,3,4,5,6 | f32[3]:1,2,3", "'broadcast' is not set");
}

static void comparisons(void **state)
{
    (void)state;
    test_op(13, "Equal", "", "i64[3]:1,2,3 | i64[3]:1,0,3", "b[3]:1,0,1");
    test_op(13, "Equal", "", "b[2]:1,0 | b[2]:1,1", "b[2]:1,0");
    test_op(13, "Less", "", "f32[3]:1,nan,3 | f32[3]:2,2,2", "b[3]:1,0,0");
    test_op(13, "Greater", "", "i32[2]:-1,3 | i32[2]:1,2", "b[2]:0,1");
    test_op(16, "LessOrEqual", "", "u64[2]:1,18446744073709551615 | u64[2]:1,1", "b[2]:1,0");
    test_op(16, "GreaterOrEqual", "", "f64[2]:1,2 | f64[2]:1,3", "b[2]:1,0");
    test_op(7, "And", "", "b[4]:0,0,1,1 | b[4]:0,1,0,1", "b[4]:0,0,0,1");
    test_op(7, "Or", "", "b[4]:0,0,1,1 | b[4]:0,1,0,1", "b[4]:0,1,1,1");
    test_op(7, "Xor", "", "b[4]:0,0,1,1 | b[4]:0,1,0,1", "b[4]:0,1,1,0");
    test_op(1, "Not", "", "b[2]:0,1", "b[2]:1,0");
    test_op(16, "Where", "", "b[2,1]:1,0 | f32[2]:1,2 | f32[]:9", "f32[2,2]:1,2,9,9");
    test_op(16, "Where", "", "b[2]:1,0 | i64[2]:1,2 | i64[2]:3,4", "i64[2]:1,4");
    test_op(20, "IsNaN", "", "f32[3]:1,nan,inf", "b[3]:0,1,0");
    test_op(20, "IsInf", "detect_negative=0", "f32[3]:inf,-inf,1", "b[3]:1,0,0");
}

static void functions(void **state)
{
    (void)state;
    test_op(14, "Relu", "", "f32[4]:-1,0,2,nan", "f32[4]:0,0,2,nan");
    test_op(14, "Relu", "", "i32[3]:-1,0,2", "i32[3]:0,0,2");
    test_op(16, "LeakyRelu", "alpha=0.1", "f32[2]:-1,2", "f32[2]:-0.1,2");
    test_op(13, "Sigmoid", "", "f32[3]:0,1,-100", "f32[3]:0.5,0.731058579,0");
    test_op(13, "Tanh", "", "f32[3]:0,1,-40", "f32[3]:0,0.761594156,-1");
    test_op(13, "Erf", "", "f32[3]:0,1,-1", "f32[3]:0,0.842700793,-0.842700793");
    test_op(13, "Exp", "", "f32[3]:0,1,-1", "f32[3]:1,2.718281828,0.367879441");
    test_op(13, "Log", "", "f32[3]:1,0,-1", "f32[3]:0,-inf,nan");
    test_op(13, "Sqrt", "", "f32[3]:4,0,-1", "f32[3]:2,0,nan");
    test_op(13, "Abs", "", "i8[3]:-1,5,-128", "i8[3]:1,5,-128");
    test_op(13, "Neg", "", "i64[2]:1,-9223372036854775808", "i64[2]:-1,-9223372036854775808");
    test_op(13, "Sign", "", "f32[4]:-2,0,3,nan", "f32[4]:-1,0,1,nan");
    test_op(13, "Reciprocal", "", "f32[2]:2,-4", "f32[2]:0.5,-0.25");
    test_op(13, "Floor", "", "f32[2]:-1.5,1.5", "f32[2]:-2,1");
    test_op(13, "Ceil", "", "f32[2]:-1.5,1.5", "f32[2]:-1,2");
    test_op(11, "Round", "", "f32[4]:0.5,1.5,-0.5,2.4", "f32[4]:0,2,0,2");
    test_op(20, "Gelu", "", "f32[3]:-1,0,1", "f32[3]:-0.158655254,0,0.841344746");
    test_op(20, "Gelu", "approximate='tanh'", "f32[2]:-1,1", "f32[2]:-0.158808,0.841192");
    test_op(14, "HardSwish", "", "f32[3]:-4,0,1", "f32[3]:0,0,0.666666667");
    test_op(6, "HardSigmoid", "", "f32[3]:-3,0,3", "f32[3]:0,0.5,1");
    test_op(6, "HardSigmoid", "alpha=0.5 beta=0.25", "f32[2]:0,1", "f32[2]:0.25,0.75");
    test_op(1, "Softplus", "", "f32[3]:0,100,-100", "f32[3]:0.693147181,100,0");
    test_op(6, "Elu", "alpha=2.0", "f32[2]:-1,1", "f32[2]:-1.264241,1");
    test_op(9, "Shrink", "bias=1.0 lambd=1.5", "f32[3]:-2,1,2", "f32[3]:-1,0,1");
    test_op_fails(13, "Exp", "", "i32[1]:1", "int32, which is not supported");
    test_op_fails(16, "LeakyRelu", "alpha=1", "f32[1]:1", "attribute 'alpha' is the integer 1, must be a float");
}

static void clip(void **state)
{
    (void)state;
    test_op(6, "Clip", "min=-1.0 max=1.0", "f32[4]:-2,0,2,nan", "f32[4]:-1,0,1,nan");
    test_op(13, "Clip", "", "f32[3]:-2,0,2 | f32[]:-1 | f32[]:1", "f32[3]:-1,0,1");
    test_op(13, "Clip", "", "f32[3]:-2,0,2 | !f32[]:-1 | !f32[]:1", "f32[3]:-1,0,1");
    test_op(13, "Clip", "", "f32[3]:-2,0,2 | - | f32[]:1", "f32[3]:-2,0,1");
    test_op(13, "Clip", "", "i64[3]:-2,0,2 | i64[]:0", "i64[3]:0,0,2");
    test_op(13, "Clip", "", "f32[2]:-2,2 | f32[]:1 | f32[]:-1", "f32[2]:-1,-1");
    test_op_fails(13, "Clip", "", "f32[1]:1 | f32[2]:1,2", "must be one value");
}

static void variadic(void **state)
{
    (void)state;
    test_op(13, "Max", "", "f32[3]:1,5,nan | f32[3]:4,2,1 | f32[]:3", "f32[3]:4,5,nan");
    test_op(13, "Min", "", "i8[2]:1,5 | i8[2]:4,-2", "i8[2]:1,-2");
    test_op(13, "Sum", "", "f32[2]:1,2 | f32[1,2]:3,4 | f32[]:1", "f32[1,2]:5,7");
    test_op(13, "Mean", "", "f32[2]:1,2 | f32[2]:3,6", "f32[2]:2,4");
    test_op(13, "Sum", "", "f32[2]:1,2", "f32[2]:1,2");
    test_op_fails(6, "Sum", "", "f32[2]:1,2 | f32[]:1", "differ");
}

static void casts(void **state)
{
    (void)state;
    test_op(13, "Cast", "to=7", "f32[4]:1.9,-1.9,nan,3e20", "i64[4]:1,-1,0x8000000000000000,0x8000000000000000");
    test_op(13, "Cast", "to=2", "i64[2]:300,-1", "u8[2]:44,255");
    test_op(13, "Cast", "to=9", "f32[3]:0,0.5,-2", "b[3]:0,1,1");
    test_op(13, "Cast", "to=1", "b[2]:0,1", "f32[2]:0,1");
    test_op(13, "Cast", "to=10", "f32[4]:1,-2,65520,1e-8", "f16[4]:0x3c00,0xc000,0x7c00,0");
    test_op(13, "Cast", "to=1", "f16[4]:0x3c00,0x0001,0x7c00,0x8000", "f32[4]:1,5.9604644775390625e-08,inf,0");
    test_op(13, "Cast", "to=11", "u64[1]:18446744073709551615", "f64[1]:18446744073709551615");
    test_op(5, "Cast", "to='INT32'", "f32[1]:2.5", "i32[1]:2");
    test_op(15, "CastLike", "", "i32[2]:1,2 | f64[0]:", "f64[2]:1,2");
    test_op_fails(13, "Cast", "to=99", "f32[1]:1", "'to' = 99 is outside");
    test_op_fails(13, "Cast", "", "f32[1]:1", "attribute 'to' is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic), cmocka_unit_test(broadcasting), cmocka_unit_test(comparisons), cmocka_unit_test(functions),
        cmocka_unit_test(clip),       cmocka_unit_test(variadic),     cmocka_unit_test(casts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
