/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_select.c: operators that look for elements, put them elsewhere or put them in order.
 */
#include "tests/unit/runtime/model.h"

static void scatters(void **state)
{
    (void)state;
    test_op(13, "ScatterElements", "axis=1", "f32[1,5]:1,2,3,4,5 | i64[1,2]:1,-2 | f32[1,2]:8,9", "f32[1,5]:1,8,3,9,5");
    test_op(11, "ScatterElements", "", "i8[2,2]:1,2,3,4 | i32[1,2]:1,0 | i8[1,2]:7,8", "i8[2,2]:1,8,7,4");
    test_op(9, "Scatter", "", "f64[3]:1,2,3 | i64[2]:2,2 | f64[2]:8,9", "f64[3]:1,2,9");
    test_op(16, "ScatterElements", "reduction='add'", "i32[3]:1,2,3 | i64[3]:1,1,0 | i32[3]:10,20,5", "i32[3]:6,32,3");
    test_op(18, "ScatterElements", "reduction='max'", "u64[2]:1,18446744073709551615 | i64[2]:0,1 | u64[2]:9,9", "u64[2]:9,18446744073709551615");
    test_op(18, "ScatterElements", "reduction='min'", "f16[2]:0x3c00,0x4000 | i64[2]:0,1 | f16[2]:0xbc00,0x4200", "f16[2]:0xbc00,0x4000");
    test_op(18, "ScatterElements", "reduction='mul'", "i8[1]:100 | i64[1]:0 | i8[1]:3", "i8[1]:44");
    test_op(13, "ScatterElements", "", "f32[2,0]: | i64[1,0]: | f32[1,0]:", "f32[2,0]:");
    test_op_fails(13, "ScatterElements", "", "f32[2]:1,2 | i64[1]:-3 | f32[1]:1", "input 1: index -3 is outside -2 to 1 (axis 0)");
    test_op_fails(13, "ScatterElements", "", "f32[2]:1,2 | i64[2]:0,0 | f32[1]:1", "do not fit data float32[2]");
    test_op_fails(16, "ScatterElements", "reduction='max'", "f32[1]:1 | i64[1]:0 | f32[1]:1", "exists from opset 18 on, this is 16");
    test_op_fails(13, "ScatterElements", "", "f32[1]:1 | i64[1]:0 | f64[1]:1", "input 2 has type float64");
    test_op(13, "ScatterND", "", "f32[4]:1,2,3,4 | i64[2,1]:3,-4 | f32[2]:8,9", "f32[4]:9,2,3,8");
    test_op(13, "ScatterND", "", "i64[2,2]:1,2,3,4 | i64[1,1]:1 | i64[1,2]:7,8", "i64[2,2]:1,2,7,8");
    test_op(16, "ScatterND", "reduction='add'", "f32[2]:1,2 | i64[3,1]:0,0,1 | f32[3]:1,1,5", "f32[2]:3,7");
    test_op(13, "ScatterND", "", "f32[2]:1,2 | i64[0,1]: | f32[0]:", "f32[2]:1,2");
    test_op_fails(13, "ScatterND", "", "f32[2,2]:1,2,3,4 | i64[1,2]:0,2 | f32[1]:1", "index 2 is outside -2 to 1 (axis 1)");
    test_op_fails(13, "ScatterND", "", "f32[2]:1,2 | i64[1,2]:0,0 | f32[1]:1", "do not fit data");
}

static void tops(void **state)
{
    (void)state;
    test_op(11, "TopK", "", "f32[2,4]:1,4,2,3,5,5,1,9 | !i64[1]:2", "f32[2,2]:4,3,9,5 | i64[2,2]:1,3,3,0");
    test_op(11, "TopK", "largest=0 axis=0", "i64[3,2]:3,1,1,1,2,0 | !i64[1]:2", "i64[2,2]:1,0,2,1 | i64[2,2]:1,2,2,0");
    test_op(1, "TopK", "k=1", "f64[3]:1,3,2", "f64[1]:3 | i64[1]:1");
    test_op(10, "TopK", "axis=-1", "f32[3]:-0.0,0.0,-1 | !i64[1]:3", "f32[3]:0,0,-1 | i64[3]:0,1,2");
    test_op(11, "TopK", "", "u64[2]:9223372036854775807,9223372036854775808 | !i64[1]:1", "u64[1]:9223372036854775808 | i64[1]:1");
    test_op(11, "TopK", "", "f32[3]:1,nan,inf | !i64[1]:2", "f32[2]:nan,inf | i64[2]:1,2");
    test_op(11, "TopK", "", "f16[3]:0x3c00,0xbc00,0x0000 | !i64[1]:1", "f16[1]:0x3c00 | i64[1]:0");
    test_op(11, "TopK", "", "i8[2,0]: | !i64[1]:0", "i8[2,0]: | i64[2,0]:");
    test_op_fails(11, "TopK", "", "f32[2]:1,2 | !i64[1]:3", "k = 3 is outside 0 to 2, the size of axis 0");
    test_op_fails(11, "TopK", "", "f32[2]:1,2 | !i64[1]:-1", "k = -1 is outside");
    test_op_fails(1, "TopK", "", "f32[2]:1,2", "attribute 'k' is missing");
}

static void finds(void **state)
{
    (void)state;
    test_op(13, "NonZero", "", "!f32[2,2]:1,0,-0.0,nan", "i64[2,2]:0,1,0,1");
    test_op(13, "NonZero", "", "!b[]:1", "i64[0,1]:");
    test_op(13, "NonZero", "", "!i64[3]:0,0,0", "i64[1,0]:");
    test_op(11, "Compress", "axis=0", "f32[3,2]:1,2,3,4,5,6 | !b[3]:0,1,1", "f32[2,2]:3,4,5,6");
    test_op(11, "Compress", "axis=-1", "i8[2,3]:1,2,3,4,5,6 | !b[2]:1,0", "i8[2,1]:1,4");
    test_op(9, "Compress", "", "f32[2,2]:1,2,3,4 | !b[5]:0,1,0,1,1", "f32[2]:2,4");
    test_op_fails(11, "Compress", "axis=1", "f32[2]:1,2 | !b[1]:1", "'axis' = 1 is outside -1 to 0");
    test_op(11, "Unique", "", "!f32[6]:2,1,1,3,4,3", "f32[4]:1,2,3,4 | i64[4]:1,0,3,4 | i64[6]:1,0,0,2,3,2 | i64[4]:2,1,2,1");
    test_op(11, "Unique", "sorted=0", "!i32[6]:2,1,1,3,4,3", "i32[4]:2,1,3,4 | i64[4]:0,1,3,4 | i64[6]:0,1,1,2,3,2 | i64[4]:1,2,2,1");
    test_op(11, "Unique", "axis=0", "!i64[3,2]:1,0,1,-1,1,0", "i64[2,2]:1,-1,1,0 | i64[2]:1,0 | i64[3]:1,0,1 | i64[2]:1,2");
    test_op(11, "Unique", "axis=1", "!u8[2,3]:2,1,2,3,0,3", "u8[2,2]:1,2,0,3 | i64[2]:1,0 | i64[3]:1,0,1 | i64[2]:1,2");
    test_op(11, "Unique", "", "!f32[0]:", "f32[0]: | i64[0]: | i64[0]: | i64[0]:");
}

static void suppresses(void **state)
{
    (void)state;
    const char *two = "!f32[1,3,4]:0,0,1,1,0,0.1,1,1.1,0,10,1,11 | !f32[1,1,3]:0.9,0.75,0.6 | !i64[1]:3 | !f32[1]:0.5 | !f32[1]:0";
    test_op(11, "NonMaxSuppression", "", two, "i64[2,3]:0,0,0,0,0,2");
    test_op(11, "NonMaxSuppression", "", "!f32[1,1,4]:0,0,1,1 | !f32[1,1,1]:0.9", "i64[0,3]:");
    test_op(10, "NonMaxSuppression", "center_point_box=1", "!f32[1,2,4]:0.5,0.5,1,1,0.5,0.6,1,1 | !f32[1,1,2]:1,2 | !i64[]:5 | !f32[]:0.4",
            "i64[1,3]:0,0,1");
    test_op_fails(11, "NonMaxSuppression", "", "!f32[1,1,4]:0,0,1,1 | !f32[1,1,1]:0.9 | !i64[1]:3 | !f32[1]:1.5", "iou_threshold = 1.5 is outside");
    test_op_fails(11, "NonMaxSuppression", "", "!f32[1,2,4]:0,0,1,1,0,0,1,1 | !f32[1,1,1]:0.9", "are not [batches,boxes,4]");
}

static void onehots_and_reversals(void **state)
{
    (void)state;
    test_op(11, "OneHot", "", "i64[2]:1,-1 | !i64[]:2 | i8[2]:0,5", "i8[2,2]:0,5,0,5");
    test_op(9, "OneHot", "", "i64[2]:1,-1 | !i64[]:2 | i8[2]:0,5", "i8[2,2]:0,5,0,0");
    test_op(11, "OneHot", "", "f16[1]:0x3c00 | !i64[]:2 | f16[2]:1,2", "f16[1,2]:1,2");
    test_op(10, "ReverseSequence", "", "f32[3,2]:1,2,3,4,5,6 | i64[2]:2,3", "f32[3,2]:3,6,1,4,5,2");
    test_op(10, "ReverseSequence", "time_axis=1 batch_axis=0", "i8[2,3]:1,2,3,4,5,6 | i64[2]:0,3", "i8[2,3]:1,2,3,6,5,4");
    test_op_fails(10, "ReverseSequence", "", "f32[2,1]:1,2 | i64[1]:3", "length 3 of batch item 0 is outside 0 to 2");
    test_op_fails(10, "ReverseSequence", "time_axis=1", "f32[2,1]:1,2 | i64[1]:1", "are both 1");
}

static void optimizers(void **state)
{
    (void)state;
    const char *p = "ai.onnx.preview.training::";
    char op[64];
    snprintf(op, sizeof op, "%sMomentum", p);
    test_op(1, op, "norm_coefficient=0.0 alpha=0.5 beta=0.1 mode='standard'", "f32[]:0.1 | i64[]:0 | f32[2]:1,2 | f32[2]:1,1 | f32[2]:2,4",
            "f32[2]:0.8,1.7 | f32[2]:2,3");
    test_op(1, op, "norm_coefficient=0.0 alpha=0.5 beta=0.1 mode='nesterov'", "f64[]:0.1 | i64[]:1 | f64[1]:1 | f64[1]:1 | f64[1]:2",
            "f64[1]:0.845 | f64[1]:1.1");
    test_op_fails(1, op, "alpha=0.5 beta=0.1 mode='standard'", "f32[]:0 | i64[]:0 | f32[]:1 | f32[]:1 | f32[]:1", "'norm_coefficient' is missing");
    test_op_fails(1, op, "norm_coefficient=0.0 alpha=0.5 beta=0.1 mode='standard'", "f32[]:0 | i64[]:0 | f32[1]:1 | f32[]:1 | f32[]:1",
                  "input 3 is float32[], but the tensor it belongs to is float32[1]");
    snprintf(op, sizeof op, "%sAdagrad", p);
    test_op(1, op, "epsilon=1.0", "f32[]:0.1 | i64[]:0 | f32[1]:1 | f32[1]:2 | f32[1]:0", "f32[1]:0.9333333 | f32[1]:4");
    test_op_fails(1, op, "", "f32[]:0.1 | i64[]:0 | f32[1]:1 | f32[1]:2", "2 inputs after R and T are not 3 groups");
    snprintf(op, sizeof op, "%sAdam", p);
    test_op(1, op, "alpha=0.5 beta=0.5 epsilon=0.0", "f32[]:0.1 | i64[]:1 | f32[1]:1 | f32[1]:2 | f32[1]:0 | f32[1]:0",
            "f32[1]:0.9 | f32[1]:1 | f32[1]:2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scatters),
        cmocka_unit_test(tops),
        cmocka_unit_test(finds),
        cmocka_unit_test(suppresses),
        cmocka_unit_test(onehots_and_reversals),
        cmocka_unit_test(optimizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
