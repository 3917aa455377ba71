/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_movement.c: operators that move, select, repeat and describe elements without computing with them.
 */
#include "tests/unit/runtime/model.h"

static void reshapes(void **state)
{
    (void)state;
    test_op(13, "Reshape", "", "f32[2,3]:1,2,3,4,5,6 | !i64[2]:3,-1", "f32[3,2]:1,2,3,4,5,6");
    test_op(13, "Reshape", "", "f32[2,3]:1,2,3,4,5,6 | i64[2]:0,-1", "f32[2,3]:1,2,3,4,5,6");
    test_op(14, "Reshape", "allowzero=1", "f32[0,3]: | !i64[2]:3,0", "f32[3,0]:");
    test_op(13, "Reshape", "", "f32[1,1]:7 | !i64[0]:", "f32[]:7");
    test_op(1, "Reshape", "shape=[4]", "f32[2,2]:1,2,3,4", "f32[4]:1,2,3,4");
    test_op_fails(13, "Reshape", "", "f32[3]:1,2,3 | !i64[1]:2", "float32[3] cannot become float32[2]");
    test_op_fails(13, "Reshape", "", "f32[3]:1,2,3 | !i64[2]:2,-1", "does not divide");
    test_op_fails(13, "Reshape", "", "f32[3]:1,2,3 | !i64[2]:-1,-1", "dim 1 of the shape is -1");
    test_op_fails(13, "Reshape", "", "f32[3]:1,2,3 | !i64[2]:3,-9223372036854775808", "dim 1 of the shape");
    test_op(13, "Flatten", "", "f32[2,1,2]:1,2,3,4", "f32[2,2]:1,2,3,4");
    test_op(13, "Flatten", "axis=0", "f32[2,2]:1,2,3,4", "f32[1,4]:1,2,3,4");
    test_op(13, "Flatten", "axis=-1", "f32[2,1,2]:1,2,3,4", "f32[2,2]:1,2,3,4");
    test_op(13, "Flatten", "axis=0", "f32[]:3", "f32[1,1]:3");
    test_op_fails(13, "Flatten", "axis=3", "f32[2,2]:1,2,3,4", "'axis' = 3 is outside -2 to 2");
    test_op(13, "Squeeze", "", "f32[1,2,1]:1,2", "f32[2]:1,2");
    test_op(13, "Squeeze", "", "f32[1,2,1]:1,2 | !i64[1]:-1", "f32[1,2]:1,2");
    test_op(11, "Squeeze", "axes=[0]", "f32[1,2,1]:1,2", "f32[2,1]:1,2");
    test_op_fails(13, "Squeeze", "", "f32[1,2]:1,2 | !i64[1]:1", "axis 1 of float32[1,2] is not 1");
    test_op(13, "Unsqueeze", "", "f32[2]:1,2 | i64[2]:-1,0", "f32[1,2,1]:1,2");
    test_op(1, "Unsqueeze", "axes=[1]", "f32[2]:1,2", "f32[2,1]:1,2");
    test_op_fails(13, "Unsqueeze", "", "f32[2]:1,2 | !i64[2]:0,0", "axis 0 is given twice");
    test_op(13, "Identity", "", "i64[2]:1,2", "i64[2]:1,2");
    test_op(13, "Dropout", "", "f32[2]:1,2", "f32[2]:1,2 | b[2]:1,1");
    test_op(7, "Dropout", "", "f32[2]:1,2", "f32[2]:1,2 | f32[2]:1,1");
}

static void transpose_concat_split(void **state)
{
    (void)state;
    test_op(13, "Transpose", "", "f32[2,3]:1,2,3,4,5,6", "f32[3,2]:1,4,2,5,3,6");
    test_op(13, "Transpose", "perm=[0,2,1]", "i8[1,2,3]:1,2,3,4,5,6", "i8[1,3,2]:1,4,2,5,3,6");
    test_op(13, "Transpose", "perm=[2,0,1]", "f64[2,1,2]:1,2,3,4", "f64[2,2,1]:1,3,2,4");
    test_op(13, "Transpose", "", "f32[]:5", "f32[]:5");
    test_op(13, "Transpose", "perm=[1,0]", "f32[0,2]:", "f32[2,0]:");
    test_op(13, "Transpose", "", "s[2,1]:a,b", "s[1,2]:a,b");
    test_op_fails(13, "Transpose", "perm=[0,0]", "f32[1,1]:1", "names axis 0 twice");
    test_op_fails(13, "Transpose", "perm=[0]", "f32[1,1]:1", "'perm' has 1 values");
    test_op(13, "Concat", "axis=0", "f32[1,2]:1,2 | f32[2,2]:3,4,5,6", "f32[3,2]:1,2,3,4,5,6");
    test_op(13, "Concat", "axis=-1", "i64[2,1]:1,2 | i64[2,2]:3,4,5,6", "i64[2,3]:1,3,4,2,5,6");
    test_op(13, "Concat", "axis=0", "f32[0]: | f32[1]:3", "f32[1]:3");
    test_op(3, "Concat", "", "f32[1,1]:1 | f32[1,1]:2", "f32[1,2]:1,2");
    test_op_fails(13, "Concat", "", "f32[1]:1", "'axis' is missing");
    test_op_fails(13, "Concat", "axis=0", "f32[1,2]:1,2 | f32[1,3]:1,2,3", "does not join");
    test_op(13, "Split", "", "f32[4]:1,2,3,4", "f32[2]:1,2 | f32[2]:3,4");
    test_op(13, "Split", "axis=1", "f32[2,3]:1,2,3,4,5,6 | !i64[2]:1,2", "f32[2,1]:1,4 | f32[2,2]:2,3,5,6");
    test_op(11, "Split", "split=[2,0,1]", "f32[3]:1,2,3", "f32[2]:1,2 | f32[0]: | f32[1]:3");
    test_op(18, "Split", "num_outputs=2", "f32[3]:1,2,3", "f32[2]:1,2 | f32[1]:3");
    test_op_fails(13, "Split", "", "f32[3]:1,2,3 | !i64[1]:2", "the parts have the sum 2");
}

static void slices(void **state)
{
    (void)state;
    test_op(13, "Slice", "", "f32[5]:0,1,2,3,4 | !i64[1]:1 | !i64[1]:4", "f32[3]:1,2,3");
    test_op(13, "Slice", "", "f32[5]:0,1,2,3,4 | !i64[1]:-1 | !i64[1]:-9223372036854775807 | !i64[1]:0 | !i64[1]:-2", "f32[3]:4,2,0");
    test_op(13, "Slice", "", "f32[2,3]:0,1,2,3,4,5 | i64[2]:0,1 | i64[2]:1,9223372036854775807 | i64[2]:0,-1", "f32[1,2]:1,2");
    test_op(13, "Slice", "", "f32[3]:0,1,2 | !i64[1]:2 | !i64[1]:1", "f32[0]:");
    test_op(13, "Slice", "", "f32[0]: | !i64[1]:0 | !i64[1]:5 | !i64[1]:0 | !i64[1]:-1", "f32[0]:");
    test_op(9, "Slice", "starts=[1] ends=[1000] axes=[1]", "f32[1,3]:0,1,2", "f32[1,2]:1,2");
    test_op(13, "Slice", "", "f32[2,4]:0,1,2,3,4,5,6,7 | !i32[1]:0 | !i32[1]:4 | !i32[1]:1 | !i32[1]:3", "f32[2,2]:0,3,4,7");
    test_op_fails(13, "Slice", "", "f32[3]:0,1,2 | !i64[1]:0 | !i64[1]:2 | !i64[1]:0 | !i64[1]:0", "the step of axis 0 is 0");
    test_op_fails(13, "Slice", "", "f32[3]:0,1,2 | !i64[1]:0 | !i64[1]:2 | !i64[1]:1", "axis = 1 is outside");
    test_op(13, "Pad", "", "f32[2]:1,2 | !i64[2]:1,2 | !f32[]:9", "f32[5]:9,1,2,9,9");
    test_op(13, "Pad", "", "f32[4]:1,2,3,4 | !i64[2]:-1,-1", "f32[2]:2,3");
    test_op(13, "Pad", "mode='reflect'", "f32[3]:1,2,3 | !i64[2]:2,2", "f32[7]:3,2,1,2,3,2,1");
    test_op(13, "Pad", "mode='edge'", "i64[2]:1,2 | !i64[2]:1,1", "i64[4]:1,1,2,2");
    test_op(19, "Pad", "mode='wrap'", "f32[3]:1,2,3 | !i64[2]:1,1", "f32[5]:3,1,2,3,1");
    test_op(19, "Pad", "mode='wrap'", "f32[3]:1,2,3 | !i64[2]:2,-1", "f32[4]:1,2,1,2");
    test_op(13, "Pad", "", "s[1]:a | !i64[2]:0,1 | !s[]:b", "s[2]:a,b");
    test_op(2, "Pad", "pads=[0,1] value=2.0", "f16[1]:0x3c00", "f16[2]:0x3c00,0x4000");
    test_op(18, "Pad", "", "f32[1,2]:1,2 | !i64[2]:1,0 | - | !i64[1]:1", "f32[1,3]:0,1,2");
    test_op(2, "Pad", "pads=[0,1,0,0] value=3.5", "f32[1,1]:1", "f32[1,2]:3.5,1");
    test_op_fails(13, "Pad", "", "f32[2]:1,2 | !i64[2]:-2,-2", "do not fit its size 2");
    test_op_fails(13, "Pad", "mode='reflect'", "f32[0]: | !i64[2]:1,1", "nothing to pad with");
}

static void gathers(void **state)
{
    (void)state;
    test_op(13, "Gather", "", "f32[3,2]:1,2,3,4,5,6 | i64[2]:2,-3", "f32[2,2]:5,6,1,2");
    test_op(13, "Gather", "axis=1", "f32[2,3]:1,2,3,4,5,6 | i32[]:1", "f32[2]:2,5");
    test_op(13, "Gather", "axis=1", "i64[1,2]:1,2 | i64[1,2]:1,0", "i64[1,1,2]:2,1");
    test_op_fails(13, "Gather", "", "f32[2]:1,2 | i64[1]:2", "index 2 is outside -2 to 1");
    test_op_fails(13, "Gather", "", "f32[2]:1,2 | i64[1]:-9223372036854775808", "is outside -2 to 1");
    test_op_fails(13, "Gather", "", "f32[0]: | i64[1]:0", "index 0 is outside 0 to -1");
    test_op(13, "GatherElements", "axis=1", "f32[2,2]:1,2,3,4 | i64[2,2]:0,0,1,0", "f32[2,2]:1,1,4,3");
    test_op_fails(13, "GatherElements", "axis=1", "f32[1,2]:1,2 | i64[1,1]:5", "index 5 is outside");
    test_op(13, "GatherND", "", "f32[2,2]:0,1,2,3 | i64[2,2]:0,0,1,1", "f32[2]:0,3");
    test_op(13, "GatherND", "batch_dims=1", "i32[2,2,2]:0,1,2,3,4,5,6,7 | i64[2,1]:1,0", "i32[2,2]:2,3,4,5");
    test_op_fails(13, "GatherND", "", "f32[2,2]:0,1,2,3 | i64[1,2]:0,2", "index 2 is outside");
    test_op(11, "OneHot", "", "i64[2]:1,-1 | !i64[]:3 | f32[2]:0,5", "f32[2,3]:0,5,0,0,0,5");
    test_op(11, "OneHot", "axis=0", "i64[2]:1,7 | !i64[]:2 | i64[2]:0,1", "i64[2,2]:0,0,1,0");
}

static void repeats(void **state)
{
    (void)state;
    test_op(13, "Expand", "", "f32[2,1]:1,2 | !i64[2]:1,3", "f32[2,3]:1,1,1,2,2,2");
    test_op(13, "Expand", "", "f32[]:4 | i64[1]:0", "f32[0]:");
    test_op_fails(13, "Expand", "", "f32[2]:1,2 | !i64[1]:3", "does not broadcast");
    test_op(13, "Tile", "", "f32[1,2]:1,2 | !i64[2]:2,2", "f32[2,4]:1,2,1,2,1,2,1,2");
    test_op(13, "Tile", "", "f32[2]:1,2 | !i64[1]:0", "f32[0]:");
    test_op(1, "Tile", "", "f32[1,2]:1,2 | !f32[1]:2 | !f32[1]:1", "f32[1,4]:1,2,1,2");
    test_op_fails(13, "Tile", "", "f32[2]:1,2 | !i64[1]:-1", "repeat 0 is -1");
    test_op_fails(13, "Tile", "", "f32[2]:1,2 | !i64[1]:4611686018427387904", "repeat 0 is 4611686018427387904");
    test_op(14, "Trilu", "", "f32[2,3]:1,2,3,4,5,6", "f32[2,3]:1,2,3,0,5,6");
    test_op(14, "Trilu", "upper=0", "i64[2,2]:1,2,3,4 | i64[]:-1", "i64[2,2]:0,0,3,0");
    test_op(13, "DepthToSpace", "blocksize=2", "f32[1,4,1,1]:1,2,3,4", "f32[1,1,2,2]:1,2,3,4");
    test_op(13, "DepthToSpace", "blocksize=2 mode='CRD'", "f32[1,8,1,1]:1,2,3,4,5,6,7,8", "f32[1,2,2,2]:1,2,3,4,5,6,7,8");
    test_op(13, "SpaceToDepth", "blocksize=2", "f32[1,1,2,2]:1,2,3,4", "f32[1,4,1,1]:1,2,3,4");
}

static void shapes_and_constants(void **state)
{
    (void)state;
    test_op(13, "Shape", "", "f32[2,0,3]:", "i64[3]:2,0,3");
    test_op(15, "Shape", "start=-2 end=2", "f32[1,2,3]:1,2,3,4,5,6", "i64[1]:2");
    test_op(13, "Shape", "", "f32[]:1", "i64[0]:");
    test_op(13, "Size", "", "f32[2,3]:1,2,3,4,5,6", "i64[]:6");
    test_op(13, "Constant", "value={i64[2]:1,2}", "", "i64[2]:1,2");
    test_op(13, "Constant", "value_ints=[3,4]", "", "i64[2]:3,4");
    test_op(13, "Constant", "value_float=2.5", "", "f32[]:2.5");
    test_op_fails(13, "Constant", "", "", "needs one of the attributes");
    test_op(9, "ConstantOfShape", "", "!i64[2]:1,2", "f32[1,2]:0,0");
    test_op(9, "ConstantOfShape", "value={i64[1]:7}", "i64[1]:2", "i64[2]:7,7");
    test_op_fails(9, "ConstantOfShape", "", "!i64[2]:4611686018427387904,4", "too large");
    test_op_fails(9, "ConstantOfShape", "", "!i64[2]:65536,65536", "over what is left of the limit");
    test_op(11, "Range", "", "!i64[]:1 | !i64[]:7 | !i64[]:3", "i64[2]:1,4");
    test_op(11, "Range", "", "!f32[]:3 | !f32[]:0 | !f32[]:-1", "f32[3]:3,2,1");
    test_op(11, "Range", "", "i32[]:3 | i32[]:0 | i32[]:1", "i32[0]:");
    test_op_fails(11, "Range", "", "!i64[]:1 | !i64[]:7 | !i64[]:0", "make no finite range");
    test_op(9, "EyeLike", "k=1 dtype=6", "f32[2,3]:0,0,0,0,0,0", "i32[2,3]:0,1,0,0,0,1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reshapes), cmocka_unit_test(transpose_concat_split), cmocka_unit_test(slices),
        cmocka_unit_test(gathers),  cmocka_unit_test(repeats),                cmocka_unit_test(shapes_and_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
