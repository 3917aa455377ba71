/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_image.c: operators that resample, crop or unfold images, on shapes small enough to work out by hand.
 */
#include "tests/unit/runtime/model.h"

static void resizing(void **state)
{
    (void)state;
#define PAIR "f32[1,1,1,2]:0,4"
    test_op(13, "Resize", "", PAIR " | - | !f32[4]:1,1,1,2", "f32[1,1,1,4]:0,0,4,4");
    test_op(13, "Resize", "", PAIR " | - | - | !i64[4]:1,1,2,2", "f32[1,1,2,2]:0,4,0,4");
    test_op(13, "Resize", "mode='linear'", PAIR " | - | !f32[4]:1,1,1,2", "f32[1,1,1,4]:0,1,3,4");
    test_op(13, "Resize", "mode='linear' coordinate_transformation_mode='align_corners'", PAIR " | - | - | !i64[4]:1,1,1,3", "f32[1,1,1,3]:0,2,4");
    test_op(13, "Resize", "mode='linear' coordinate_transformation_mode='asymmetric'", PAIR " | - | !f32[4]:1,1,1,2", "f32[1,1,1,4]:0,2,4,4");
    test_op(13, "Resize", "mode='linear' coordinate_transformation_mode='tf_crop_and_resize' extrapolation_value=9.0",
            PAIR " | !f32[8]:0,0,0,0.5,1,1,1,1.5 | - | !i64[4]:1,1,1,2", "f32[1,1,1,2]:2,9");
    test_op(13, "Resize", "mode='cubic' exclude_outside=1", "f32[1,1,1,1]:3 | - | !f32[4]:1,1,1,2", "f32[1,1,1,2]:3,3");
    test_op(18, "Resize", "mode='linear' antialias=1 axes=[1]", "f32[1,4]:0,0,4,4 | - | !f32[1]:0.5", "f32[1,2]:0.5,3.5");
    test_op(18, "Resize", "keep_aspect_ratio_policy='not_larger'", "u8[1,2]:1,2 | - | - | !i64[2]:4,4", "u8[2,4]:1,1,2,2,1,1,2,2");
    test_op(19, "Resize", "mode='linear' coordinate_transformation_mode='half_pixel_symmetric'", "f32[1]:7 | - | !f32[1]:1.5", "f32[1]:7");
    test_op(10, "Resize", "", "f32[4]:1,2,3,4 | !f32[1]:0.6", "f32[2]:1,3");
    test_op(13, "Resize", "", "f32[0,2]: | - | !f32[2]:1,2", "f32[0,4]:");
    test_op(13, "Resize", "mode='linear'", "f16[2]:0,0x4400 | - | !f32[1]:2", "f16[4]:0,0x3c00,0x4200,0x4400");
    test_op_fails(13, "Resize", "", PAIR " | - | !f32[3]:1,1,2", "3 scales or sizes for 4 axes");
    test_op_fails(13, "Resize", "", PAIR " | - | !f32[4]:1,1,1,-2", "the scale of axis 3 is -2");
    test_op_fails(13, "Resize", "mode='area'", PAIR " | - | !f32[4]:1,1,1,2", "'mode' = \"area\" is not supported");
    test_op(9, "Upsample", "", PAIR " | !f32[4]:1,1,2,1", "f32[1,1,2,2]:0,4,0,4");
    test_op(7, "Upsample", "mode='linear' scales=[1.0,1.0,1.0,2.0]", PAIR, "f32[1,1,1,4]:0,2,4,4");
    test_op(1, "Upsample", "height_scale=1.0 width_scale=2.0", PAIR, "f32[1,1,1,4]:0,0,4,4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resizing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
