/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_types.c: operators that are about element types: casts, text, quantisation; and elementwise ones on types that few models use. Values of types without
 * a C type are written as their bits.
 */
#include "tests/unit/runtime/model.h"

static void casts(void **state)
{
    (void)state;
    test_op(19, "Cast", "to=17", "f32[4]:1,-1,1e6,nan", "e4m3[4]:0x38,0xb8,0x7e,0x7f");
    test_op(19, "Cast", "to=17 saturate=0", "f32[2]:1e6,-1e6", "e4m3[2]:0x7f,0xff");
    test_op(19, "Cast", "to=1", "e4m3[3]:0x38,0x01,0x80", "f32[3]:1,0.001953125,-0");
    test_op(21, "Cast", "to=22", "f32[3]:-8,7,3.9", "i4[3]:8,7,3");
    test_op(21, "Cast", "to=1", "i4[3]:8,7,15", "f32[3]:-8,7,-1");
    test_op(25, "Cast", "to=6", "u2[5]:0,1,2,3,1", "i32[5]:0,1,2,3,1");
    test_op(21, "CastLike", "", "i32[3]:1,2,17 | u4[1]:0", "u4[3]:1,2,1");
    test_op(13, "Cast", "to=16", "f32[3]:1,0.1,-2", "bf16[3]:0x3f80,0x3dcd,0xc000");
    test_op(26, "BitCast", "to=6", "f32[2]:1,-0", "i32[2]:0x3f800000,0x80000000");
    test_op(26, "BitCast", "to=21", "i4[3]:15,1,8", "u4[3]:15,1,8");
    test_op_fails(26, "BitCast", "to=7", "f32[1]:1", "has not the 32 bits of float32");
    test_op_fails(19, "Cast", "to=14", "f32[1]:1", "cast to complex64");
}

static void text(void **state)
{
    (void)state;
    test_op(13, "Cast", "to=8", "i64[3]:0,5,0xffffffffffffffff", "s[3]:0,5,-1");
    test_op(13, "Cast", "to=8", "f32[6]:1,0.5,1e-5,nan,inf,-inf", "s[6]:1,0.5,9.9999997e-06,NaN,INF,-INF");
    test_op(13, "Cast", "to=8", "f64[1]:0.1", "s[1]:0.10000000000000001");
    test_op(13, "Cast", "to=1", "s[8]:1,-2.5,1e3,+INF,-inf,NaN,.5, 7. ", "f32[8]:1,-2.5,1000,inf,-inf,nan,0.5,7");
    test_op(13, "Cast", "to=7", "s[4]:12,-9223372036854775807,007,2.7", "i64[4]:12,0x8000000000000001,7,2");
    test_op(13, "Cast", "to=8", "s[2]:a,b", "s[2]:a,b");
    test_op_fails(13, "Cast", "to=1", "s[1]:four", "element 0, \"four\", is not a number");
    test_op_fails(13, "Cast", "to=1", "s[1]:1.5x", "is not a number");
    test_op(19, "Equal", "", "s[3]:a,b,c | s[1]:b", "b[3]:0,1,0");
    test_op(16, "Where", "", "b[2]:1,0 | s[2]:a,b | s[1]:z", "s[2]:a,z");
    test_op(13, "Expand", "", "s[2,1]:a,b | !i64[2]:2,2", "s[2,2]:a,a,b,b");
}

static void quantisation(void **state)
{
    (void)state;
    test_op(10, "QuantizeLinear", "", "f32[6]:0,2,3,1000,-254,-1000 | f32[]:2 | u8[]:128", "u8[6]:128,129,130,255,1,0");
    test_op(10, "QuantizeLinear", "", "f32[2]:1,3 | f32[]:2", "u8[2]:0,2"); /* halves go to the even neighbour */
    test_op(13, "QuantizeLinear", "axis=0", "f32[2,2]:1,2,30,40 | f32[2]:1,10 | i8[2]:0,1", "i8[2,2]:1,2,4,5");
    test_op(21, "QuantizeLinear", "axis=1 block_size=2 output_dtype=22", "f32[1,4]:1,-20,3,90 | f32[1,2]:1,10", "i4[1,4]:1,8,0,7");
    test_op(19, "QuantizeLinear", "", "f32[2]:2,1e9 | f32[]:2 | e4m3[]:0", "e4m3[2]:0x38,0x7e");
    test_op(10, "DequantizeLinear", "", "u8[3]:0,128,255 | f32[]:2 | u8[]:128", "f32[3]:-256,0,254");
    test_op(13, "DequantizeLinear", "axis=-1", "i8[2,2]:1,2,3,4 | f32[2]:1,10", "f32[2,2]:1,20,3,40");
    test_op(21, "DequantizeLinear", "axis=0 block_size=2", "i4[3,1]:1,15,3 | f32[2,1]:1,10 | i4[2,1]:0,1", "f32[3,1]:1,-1,20");
    test_op(23, "DequantizeLinear", "output_dtype=10", "i8[1]:3 | f32[]:0.5", "f16[1]:0x3e00");
    test_op(10, "DequantizeLinear", "", "i32[1]:100000001 | f32[]:1", "f32[1]:100000000");
    test_op(11, "DynamicQuantizeLinear", "", "f32[3]:0,2,-3", "u8[3]:153,255,0 | f32[]:0.01960784313 | u8[]:153");
    test_op(11, "DynamicQuantizeLinear", "", "f32[2]:0,0", "u8[2]:0,0 | f32[]:1 | u8[]:0");
    test_op_fails(13, "QuantizeLinear", "", "f32[2,2]:1,2,3,4 | f32[3]:1,1,1", "neither one value nor one for each index of axis 1");
    test_op_fails(13, "QuantizeLinear", "", "f32[2]:1,2 | f32[]:1 | u8[2]:1,1", "but zero point is");
    test_op_fails(21, "QuantizeLinear", "output_dtype=7", "f32[2]:1,2 | f32[]:1", "int64 is not a type to quantise to");
    test_op_fails(21, "DequantizeLinear", "block_size=2", "i8[1,3]:1,2,3 | f32[1,3]:1,2,3", "is not one value per block of 2");
}

static void half_precision(void **state)
{
    (void)state;
    test_op(14, "Add", "", "f16[2]:0x3c00,0x4000 | f16[1]:0x3c00", "f16[2]:0x4000,0x4200");
    test_op(13, "Mul", "", "bf16[2]:0x4000,0x4040 | bf16[2]:0x4000,0x3f80", "bf16[2]:0x4080,0x4040");
    test_op(13, "Less", "", "f16[2]:0x3c00,0x4000 | f16[2]:0x4000,0x3c00", "b[2]:1,0");
    test_op(13, "Sigmoid", "", "f16[1]:0", "f16[1]:0x3800");
    test_op(20, "IsNaN", "", "e4m3[2]:0x7f,0x10", "b[2]:1,0");
    test_op(13, "Clip", "", "f16[3]:0x3c00,0xbc00,0x4200 | f16[]:0 | f16[]:0x4000", "f16[3]:0x3c00,0,0x4000");
    test_op(13, "Softmax", "", "f16[2]:0,0", "f16[2]:0x3800,0x3800");
    test_op(13, "ReduceSum", "", "bf16[2]:0x3f80,0x4000", "bf16[1]:0x4040");
    test_op(15, "Pow", "", "f16[2]:0x4000,0x4200 | i64[]:2", "f16[2]:0x4400,0x4880");
    test_op(13, "ArgMax", "axis=0", "f16[2]:0x3c00,0x4000", "i64[1]:1");
}

static void old_versions(void **state)
{
    (void)state;
    test_op(1, "Pow", "broadcast=1 axis=0", "f32[2,2]:1,2,3,4 | f32[2]:1,2", "f32[2,2]:1,2,9,16");
    test_op(6, "Equal", "broadcast=1", "i32[2,2]:1,2,3,4 | i32[2]:1,4", "b[2,2]:1,0,0,1");
    test_op(6, "PRelu", "", "f32[1,2,1,2]:-1,1,-2,2 | f32[2]:10,100", "f32[1,2,1,2]:-10,1,-200,2");
    test_op(9, "PRelu", "", "i32[2]:-3,4 | i32[1]:2", "i32[2]:-6,4");
    test_op(1, "Affine", "alpha=2.0 beta=1.0", "f32[2]:1,-1", "f32[2]:3,-1");
    test_op(1, "ScaledTanh", "alpha=2.0 beta=0.5", "f32[1]:2", "f32[1]:1.5231883");
    test_op(1, "ParametricSoftplus", "alpha=2.0 beta=0.5", "f32[1]:2", "f32[1]:2.6265234");
    test_op(1, "Crop", "border=[1,0,0,1]", "f32[1,1,2,3]:1,2,3,4,5,6", "f32[1,1,1,2]:2,3");
    test_op(1, "Crop", "border=[1,1,0,0] scale=[1,1]", "f32[1,1,2,3]:1,2,3,4,5,6", "f32[1,1,1,1]:5");
    test_op(1, "ImageScaler", "scale=2.0 bias=[1.0,-1.0]", "f32[1,2,1,2]:1,2,3,4", "f32[1,2,1,2]:3,5,5,7");
    test_op_fails(1, "Crop", "border=[1,2,3,1]", "f32[1,1,2,3]:1,2,3,4,5,6", "cannot crop");
    test_op(18, "ReduceLogSum", "noop_with_empty_axes=1", "f32[2]:1,2", "f32[2]:0,0.6931472");
    test_op(18, "ReduceSumSquare", "noop_with_empty_axes=1", "f32[2]:1,-2", "f32[2]:1,4");
    test_op_fails(6, "PRelu", "", "f32[1,2]:1,2 | f32[3]:1,2,3", "is not one value per channel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(casts),          cmocka_unit_test(text),         cmocka_unit_test(quantisation),
        cmocka_unit_test(half_precision), cmocka_unit_test(old_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
