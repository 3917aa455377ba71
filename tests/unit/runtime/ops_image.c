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

static void transposed_convolutions(void **state)
{
    (void)state;
    test_op(11, "ConvTranspose", "", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10", "f32[1,1,3]:1,12,20");
    test_op(11, "ConvTranspose", "strides=[2]", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10 | f32[1]:100", "f32[1,1,4]:101,110,102,120");
    test_op(11, "ConvTranspose", "strides=[2] pads=[1,0] output_padding=[1]", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10", "f32[1,1,4]:10,2,20,0");
    test_op(11, "ConvTranspose", "dilations=[2]", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10", "f32[1,1,4]:1,2,10,20");
    test_op(11, "ConvTranspose", "auto_pad='SAME_UPPER' strides=[1]", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10", "f32[1,1,2]:1,12");
    test_op(11, "ConvTranspose", "auto_pad='SAME_LOWER' strides=[1]", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10", "f32[1,1,2]:12,20");
    test_op(1, "ConvTranspose", "output_shape=[2]", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10", "f32[1,1,2]:12,20");
    test_op(11, "ConvTranspose", "output_shape=[5] strides=[2]", "f32[1,1,2]:1,2 | f32[1,1,2]:1,10", "f32[1,1,5]:1,10,2,20,0");
    test_op(11, "ConvTranspose", "group=2", "f32[1,2,1]:1,2 | f32[2,1,1]:10,100", "f32[1,2,1]:10,200");
    test_op(11, "ConvTranspose", "", "f64[1,2,1]:1,2 | f64[2,2,1]:1,10,100,1000", "f64[1,2,1]:201,2010");
    test_op(11, "ConvTranspose", "", "f32[1,1,1,2]:1,2 | f32[1,1,2,1]:1,10", "f32[1,1,2,2]:1,2,10,20");
    test_op(11, "ConvTranspose", "", "f32[0,1,2]: | f32[1,1,2]:1,10", "f32[0,1,3]:");
    test_op_fails(11, "ConvTranspose", "", "f32[1,1,2]:1,2 | f32[2,1,1]:1,10", "do not fit input");
    test_op_fails(11, "ConvTranspose", "pads=[2,2]", "f32[1,1,2]:1,2 | f32[1,1,1]:1", "would have -2 elements");
    /* offsets move the tap one pixel down, then half a pixel; the mask halves it */
    test_op(19, "DeformConv", "", "f32[1,1,2,1]:1,3 | f32[1,1,1,1]:2 | f32[1,2,2,1]:1,-0.5,0,0", "f32[1,1,2,1]:6,4");
    test_op(19, "DeformConv", "", "f64[1,1,2,1]:1,3 | f64[1,1,1,1]:2 | f64[1,2,2,1]:0,0,0,0 | f64[1]:10 | f64[1,1,2,1]:0.5,1", "f64[1,1,2,1]:11,16");
    test_op_fails(19, "DeformConv", "", "f32[1,1,2,1]:1,3 | f32[1,1,1,1]:2 | f32[1,1,2,1]:1,1", "does not fit 2 values");
}

static void unfolding(void **state)
{
    (void)state;
    test_op(18, "Col2Im", "", "f32[1,2,2]:1,2,10,20 | !i64[1]:3 | !i64[1]:2", "f32[1,1,3]:1,12,20");
    test_op(18, "Col2Im", "strides=[1,1] pads=[0,1,0,0]", "i32[1,1,4]:1,2,3,4 | !i64[2]:2,1 | !i64[2]:1,1", "i32[1,1,2,1]:2,4");
    test_op_fails(18, "Col2Im", "", "f32[1,2,3]:1,2,10,20,1,1 | !i64[1]:3 | !i64[1]:2", "does not hold 2 blocks");
    test_op(11, "MaxUnpool", "kernel_shape=[2] strides=[2]", "f32[1,1,2]:5,7 | i64[1,1,2]:1,2", "f32[1,1,4]:0,5,7,0");
    test_op(11, "MaxUnpool", "kernel_shape=[2] strides=[2]", "f32[1,1,2]:5,7 | i64[1,1,2]:1,2 | !i64[3]:1,1,6", "f32[1,1,6]:0,5,7,0,0,0");
    test_op_fails(11, "MaxUnpool", "kernel_shape=[2]", "f32[1,1,2]:5,7 | i64[1,1,2]:1,9", "index 9 is outside the image of 3");
    test_op(18, "CenterCropPad", "", "i8[5,2]:1,2,3,4,5,6,7,8,9,10 | !i64[2]:2,3", "i8[2,3]:3,4,0,5,6,0");
    test_op(18, "CenterCropPad", "axes=[-1]", "f32[1,1]:1 | !i64[1]:4", "f32[1,4]:0,1,0,0");
    test_op_fails(18, "CenterCropPad", "", "f32[1,1]:1 | !i64[1]:4", "1 sizes for 2 axes");
    test_op(13, "Det", "", "f32[2,2,2]:1,2,3,4,0,1,1,0", "f32[2]:-2,-1");
    test_op_fails(13, "Det", "", "f32[1,2]:1,2", "no square matrices");
}

static void sampling(void **state)
{
    (void)state;
#define SQUARE "f32[1,1,2,2]:1,2,3,4"
    test_op(16, "GridSample", "align_corners=1", SQUARE " | f32[1,1,3,2]:-1,-1,0,0,1,1", "f32[1,1,1,3]:1,2.5,4");
    test_op(16, "GridSample", "mode='nearest'", SQUARE " | f32[1,1,2,2]:0.5,-0.5,3,3", "f32[1,1,1,2]:2,0");
    test_op(16, "GridSample", "mode='nearest' padding_mode='border'", SQUARE " | f32[1,1,1,2]:3,3", "f32[1,1,1,1]:4");
    test_op(16, "GridSample", "align_corners=1 padding_mode='reflection'", SQUARE " | f32[1,1,1,2]:2,-1", "f32[1,1,1,1]:1.5");
    test_op(16, "GridSample", "mode='bicubic' align_corners=1 padding_mode='border'", SQUARE " | f32[1,1,1,2]:0,0", "f32[1,1,1,1]:2.5");
    test_op(16, "GridSample", "padding_mode='zeros'", SQUARE " | f32[1,1,1,2]:nan,0", "f32[1,1,1,1]:0");
    test_op(20, "GridSample", "align_corners=1", "f64[1,1,1,1,2]:1,2 | f32[1,1,1,1,3]:0,0,0", "f64[1,1,1,1,1]:1.5");
    test_op_fails(16, "GridSample", "", SQUARE " | f32[1,1,1,3]:0,0,0", "does not fit input");
    test_op(20, "AffineGrid", "align_corners=1", "f32[1,2,3]:2,0,1,0,1,0 | !i64[4]:1,1,1,2", "f32[1,1,2,2]:-1,-1,3,-1");
    test_op(20, "AffineGrid", "", "f32[1,2,3]:1,0,0,0,1,0 | !i64[4]:1,1,1,2", "f32[1,1,2,2]:-0.5,0,0.5,0");
    test_op_fails(20, "AffineGrid", "", "f32[1,2,3]:1,0,0,0,1,0 | !i64[5]:1,1,1,2,2", "does not fit a size of 5");
    test_op(16, "RoiAlign", "sampling_ratio=1", SQUARE " | f32[1,4]:0,0,2,2 | i64[1]:0", "f32[1,1,1,1]:2.5");
    test_op(10, "RoiAlign", "sampling_ratio=1", SQUARE " | f32[1,4]:0,0,1,1 | i64[1]:0", "f32[1,1,1,1]:2.5");
    test_op(16, "RoiAlign", "sampling_ratio=1 mode='max' output_width=2", SQUARE " | f32[1,4]:0,0,2,2 | i64[1]:0", "f32[1,1,1,2]:1.5,2");
    test_op_fails(16, "RoiAlign", "", SQUARE " | f32[1,4]:0,0,2,2 | i64[1]:1", "is of image 1, of 1");
    test_op(1, "MaxRoiPool", "pooled_shape=[1,2]", SQUARE " | f32[1,5]:0,0,0,1,1", "f32[1,1,1,2]:3,4");
    test_op_fails(1, "MaxRoiPool", "pooled_shape=[1,2]", SQUARE " | f32[1,5]:7,0,0,1,1", "is of image 7, of 1");
}

static void decoding(void **state)
{
    (void)state;
#define BMP_HEADER "66,77,58,0,0,0,0,0,0,0,54,0,0,0,40,0,0,0,1,0,0,0,1,0,0,0,1,0,24,0,0,0,0,0,4,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"
    test_op(20, "ImageDecoder", "", "u8[58]:" BMP_HEADER ",3,2,1,0", "u8[1,1,3]:1,2,3");
    test_op(20, "ImageDecoder", "pixel_format='BGR'", "u8[58]:" BMP_HEADER ",3,2,1,0", "u8[1,1,3]:3,2,1");
    test_op(20, "ImageDecoder", "pixel_format='Grayscale'", "u8[58]:" BMP_HEADER ",30,20,10,0", "u8[1,1,1]:18");
    test_op_fails(20, "ImageDecoder", "", "u8[57]:" BMP_HEADER ",3,2,1", "cut short");
    /* two pixels of one bit, a palette of two colours, from the top down */
    test_op(20, "ImageDecoder", "", "u8[66]:66,77,66,0,0,0,0,0,0,0,62,0,0,0,40,0,0,0,2,0,0,0,255,255,255,255,1,0,1,0,0,0,0,0,4,0,0,0,0,0,0,0,0,0,0,0,2,0,0,0,0,0,0,0,9,8,7,0,3,2,1,0,64,0,0,0", "u8[1,2,3]:7,8,9,1,2,3");
    /* P5 2 1 255; P3 # 1 1 15 with a comment; P4 9 1 */
    test_op(20, "ImageDecoder", "", "u8[13]:80,53,32,50,32,49,32,50,53,53,10,7,9", "u8[1,2,3]:7,7,7,9,9,9");
    test_op(20, "ImageDecoder", "", "u8[18]:80,51,35,120,10,49,32,49,32,49,53,32,48,32,53,32,49,53", "u8[1,1,3]:0,85,255");
    test_op(20, "ImageDecoder", "pixel_format='Grayscale'", "u8[9]:80,52,32,57,32,49,10,128,128", "u8[1,9,1]:0,255,255,255,255,255,255,255,0");
    test_op_fails(20, "ImageDecoder", "", "u8[12]:80,53,32,50,32,49,32,50,53,53,10,7", "cut short");
    test_op(20, "ImageDecoder", "", "u8[20]:80,53,32,57,57,57,57,57,32,57,57,57,57,57,32,50,53,53,10,7", "u8[0,0,3]:");
    test_op(20, "ImageDecoder", "", "u8[3]:1,2,3", "u8[0,0,3]:");
    test_op_fails(20, "ImageDecoder", "", "u8[4]:137,80,78,71", "images in PNG format are not supported");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resizing),
        cmocka_unit_test(transposed_convolutions),
        cmocka_unit_test(unfolding),
        cmocka_unit_test(sampling),
        cmocka_unit_test(decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
