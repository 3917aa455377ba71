/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_quant.c: operators on quantised integers, small enough to work out by hand. tests/conformance/operators.py tries them at random.
 */
#include "tests/unit/runtime/model.h"

static void integer_products(void **state)
{
    (void)state;
    test_op(10, "MatMulInteger", "", "u8[1,2]:1,2 | i8[2,2]:1,-1,2,3", "i32[1,2]:5,5");
    test_op(10, "MatMulInteger", "", "u8[2,2]:1,2,3,4 | u8[2,1]:10,20 | u8[]:1 | u8[]:10", "i32[2,1]:10,30");
    test_op(10, "MatMulInteger", "", "u8[2,1]:1,3 | u8[1,2]:10,20 | u8[2]:1,2 | u8[2]:0,19", "i32[2,2]:0,0,10,1");
    test_op(10, "MatMulInteger", "", "u8[2,1,1]:5,7 | u8[1,1]:3 | u8[2,1,1]:4,5", "i32[2,1,1]:3,6");
    test_op(10, "MatMulInteger", "", "u8[1,0]: | i8[0,2]:", "i32[1,2]:0,0");
    test_op_fails(10, "MatMulInteger", "", "u8[1,2]:1,2 | u8[1,2]:1,2", "do not multiply");
    test_op_fails(10, "MatMulInteger", "", "u8[1,2]:1,2 | u8[2,1]:1,2 | u8[3]:1,2,3", "input 2 (zero point) is uint8[3], must be one value or 1");
    test_op_fails(10, "MatMulInteger", "", "u8[1,2]:1,2 | u8[2,1]:1,2 | i8[]:1", "input 2 (zero point) has type int8");
    test_op_fails(10, "MatMulInteger", "", "f32[1,1]:1 | u8[1,1]:1", "input 0 has type float32");
    test_op(1, "com.microsoft::MatMulInteger16", "", "i16[1,2]:300,-300 | i16[2,1]:300,1", "i32[1,1]:89700");
    test_op(1, "com.microsoft::MatMulIntegerToFloat", "", "u8[1,2]:1,2 | i8[2,2]:1,-1,2,3 | f32[]:0.5 | f32[2]:1,2", "f32[1,2]:2.5,5");
    test_op(1, "com.microsoft::MatMulIntegerToFloat", "", "u8[1,1]:3 | u8[1,1]:5 | f32[]:1 | f32[]:2 | u8[]:1 | u8[]:4 | f32[1]:10", "f32[1,1]:14");
    test_op(1, "com.microsoft::DynamicQuantizeMatMul", "", "f32[1,2]:0,255 | i8[2,1]:1,-2 | f32[]:0.5", "f32[1,1]:-255");
    test_op(1, "com.microsoft::DynamicQuantizeMatMul", "", "f32[1,1]:-510 | u8[1,1]:3 | f32[]:1 | u8[]:1 | f32[1]:20", "f32[1,1]:-1000");
    test_op_fails(1, "com.microsoft::DynamicQuantizeMatMul", "", "f32[1,1]:1 | u8[1,1]:1 | f32[]:1 | - | f32[2]:1,2",
                  "input 4 (bias) is float32[2], must be float32[1]");
}

static void quantised_products(void **state)
{
    (void)state;
#define PARAMS "f32[]:0.5 | u8[]:1"
    test_op(10, "QLinearMatMul", "", "u8[1,2]:3,5 | " PARAMS " | i8[2,1]:4,-2 | f32[]:0.5 | i8[]:0 | f32[]:0.5 | u8[]:10", "u8[1,1]:10");
    test_op(10, "QLinearMatMul", "", "u8[1,1]:11 | " PARAMS " | u8[1,2]:3,255 | f32[2]:0.5,1 | u8[2]:1,0 | f32[]:1 | u8[]:0", "u8[1,2]:5,255");
    test_op(10, "QLinearMatMul", "", "i8[1,1]:-100 | f32[]:1 | i8[]:0 | i8[1,1]:100 | f32[]:1 | i8[]:0 | f32[]:1 | i8[]:0", "i8[1,1]:-128");
    test_op(10, "QLinearMatMul", "", "u8[2,1]:1,3 | f32[2]:1,2 | u8[2]:0,1 | u8[1,1]:5 | f32[]:1 | u8[]:0 | f32[2]:1,2 | u8[2]:0,7", "u8[2,1]:5,17");
    test_op_fails(10, "QLinearMatMul", "", "u8[1,1]:1 | f32[3]:1,1,1 | u8[]:1 | u8[1,1]:1 | f32[]:1 | u8[]:0 | f32[]:1 | u8[]:0",
                  "input 1 (scale) is float32[3], must be one value or 1");
    test_op(1, "com.microsoft::QGemm", "", "u8[1,2]:3,5 | " PARAMS " | u8[2,1]:4,2 | " PARAMS " | i32[1]:2 | f32[]:1 | u8[]:9", "u8[1,1]:12");
    test_op(1, "com.microsoft::QGemm", "transA=1 transB=1 alpha=2.0", "u8[2,1]:3,5 | " PARAMS " | u8[1,2]:4,2 | " PARAMS, "f32[1,1]:5");
    test_op_fails(1, "com.microsoft::QGemm", "", "u8[1,2]:3,5 | " PARAMS " | u8[1,2]:4,2 | " PARAMS, "do not multiply");
    test_op_fails(1, "com.microsoft::QGemm", "", "u8[1,1]:3 | " PARAMS " | u8[1,1]:4 | " PARAMS " | i32[2]:1,2", "input 6 (C) is int32[2]");
}

static void convolutions(void **state)
{
    (void)state;
#define IMAGE "u8[1,1,3,3]:2,3,4,5,6,7,8,9,10"
    test_op(10, "ConvInteger", "", IMAGE " | u8[1,1,2,2]:1,1,1,1 | u8[]:1", "i32[1,1,2,2]:12,16,24,28");
    test_op(10, "ConvInteger", "pads=[1,1,1,1]", IMAGE " | u8[1,1,2,2]:1,1,1,1 | u8[]:1", "i32[1,1,4,4]:1,3,5,3,5,12,16,9,11,24,28,15,7,15,17,9");
    test_op(10, "ConvInteger", "group=2", "i8[1,2,1]:1,-2 | i8[2,1,1]:3,5 | i8[]:0 | i8[2]:1,2", "i32[1,2,1]:2,-6");
    test_op(10, "ConvInteger", "strides=[2] dilations=[2]", "u8[1,1,5]:1,2,3,4,5 | u8[1,1,2]:1,10", "i32[1,1,2]:31,53");
    test_op_fails(10, "ConvInteger", "", IMAGE " | u8[1,2,1,1]:1,1", "do not fit input");
    test_op_fails(10, "ConvInteger", "", IMAGE " | u8[1,1,1,1]:1 | u8[2]:1,1", "input 2 (zero point) is uint8[2], must be one value");
#define SCALED " | f32[]:0.5 | u8[]:1 | "
    test_op(10, "QLinearConv", "", IMAGE SCALED "u8[1,1,2,2]:2,2,2,2" SCALED "f32[]:1 | u8[]:3 | i32[1]:4", "u8[1,1,2,2]:7,8,10,11");
    test_op(10, "QLinearConv", "", "u8[1,1,1,1]:3" SCALED "i8[2,1,1,1]:2,-2 | f32[2]:1,2 | i8[2]:0,0 | f32[]:1 | u8[]:3", "u8[1,2,1,1]:5,0");
    test_op(10, "QLinearConv", "", "u8[1,1,1,1,2]:3,5" SCALED "i8[1,1,1,1,1]:2 | f32[]:1 | i8[]:0 | f32[]:1 | u8[]:3", "u8[1,1,1,1,2]:5,7");
    test_op(1, "com.microsoft::QLinearConv", "channels_last=1", "u8[1,2,2]:3,1,5,2" SCALED "i8[1,2,1]:2,4 | f32[]:1 | i8[]:0 | f32[]:1 | u8[]:3",
            "u8[1,2,1]:5,9");
    test_op_fails(10, "QLinearConv", "", IMAGE SCALED "u8[1,1,1,1]:2 | f32[2]:1,1 | u8[]:0 | f32[]:1 | u8[]:3", "input 4 (scale) is float32[2]");
}

static void elementwise(void **state)
{
    (void)state;
#define A "u8[2]:3,255 | f32[]:0.5 | u8[]:1"
    test_op(1, "com.microsoft::QLinearAdd", "", A " | u8[1]:2 | f32[]:2 | u8[]:1 | f32[]:0.5 | u8[]:2", "u8[2]:8,255");
    test_op(1, "com.microsoft::QLinearAdd", "", "i8[1]:-100 | f32[]:1 | - | i8[1]:-100 | f32[]:1 | - | f32[]:1", "i8[1]:-128");
    test_op(1, "com.microsoft::QLinearMul", "", A " | u8[2,1]:2,1 | f32[]:2 | u8[]:1 | f32[]:4 | u8[]:2", "u8[2,2]:2,66,2,2");
    test_op_fails(1, "com.microsoft::QLinearAdd", "", A " | u8[3]:1,2,3 | f32[]:2 | u8[]:1 | f32[]:0.5 | u8[]:2",
                  "uint8[2] and uint8[3] do not broadcast");
    test_op_fails(1, "com.microsoft::QLinearMul", "", A " | i8[2]:1,1 | f32[]:2 | i8[]:1 | f32[]:0.5 | u8[]:2", "input 3 (B) has type int8");
    test_op(1, "com.microsoft::QLinearSigmoid", "", "u8[2]:0,2 | f32[]:2 | u8[]:0 | f32[]:0.00390625 | u8[]:0", "u8[2]:128,251");
    test_op(1, "com.microsoft::QLinearLeakyRelu", "alpha=0.5", "i8[2]:-4,4 | f32[]:1 | i8[]:0 | f32[]:1 | i8[]:1", "i8[2]:-1,5");
    test_op_fails(1, "com.microsoft::QLinearSigmoid", "", "u8[2]:0,2 | f32[]:2 | u8[]:0", "input 3 (Y_scale) is missing");
    test_op(1, "com.microsoft::QLinearSoftmax", "opset=13", "u8[1,2]:5,5 | f32[]:1 | u8[]:0 | f32[]:0.00390625 | u8[]:0", "u8[1,2]:128,128");
    test_op_fails(1, "com.microsoft::QLinearSoftmax", "", "u8[1,2]:5,5 | f32[]:1 | u8[]:0 | f32[]:1", "'opset' is missing");
    test_op(1, "com.microsoft::QLinearConcat", "axis=1", "f32[]:1 | u8[]:0 | u8[2,1]:1,2 | f32[]:2 | u8[]:1 | u8[2,2]:1,2,3,4 | f32[]:1 | u8[]:0",
            "u8[2,3]:0,1,2,2,3,4");
    test_op_fails(1, "com.microsoft::QLinearConcat", "axis=0",
                  "f32[]:1 | u8[]:0 | u8[2,1]:1,2 | f32[]:2 | u8[]:1 | u8[2,2]:1,2,3,4 | f32[]:1 | u8[]:0",
                  "input 5 is uint8[2,2], which does not join uint8[2,1] along axis 0");
}

static void pools(void **state)
{
    (void)state;
#define POOLED " | f32[]:0.5 | u8[]:1 | f32[]:1 | u8[]:2"
    test_op(1, "com.microsoft::QLinearAveragePool", "kernel_shape=[2]", "u8[1,1,3]:1,5,9" POOLED, "u8[1,1,2]:3,5");
    test_op(1, "com.microsoft::QLinearAveragePool", "kernel_shape=[2] channels_last=1", "u8[1,2,2]:1,2,5,8" POOLED, "u8[1,1,2]:3,4");
    test_op(1, "com.microsoft::QLinearGlobalAveragePool", "", "u8[1,2,1,2]:1,5,9,9" POOLED, "u8[1,2,1,1]:3,6");
    test_op(1, "com.microsoft::QLinearGlobalAveragePool", "channels_last=1", "u8[1,1,2,2]:1,9,5,9" POOLED, "u8[1,1,1,2]:3,6");
    test_op(1, "com.microsoft::NhwcMaxPool", "kernel_shape=[2]", "i8[1,2,2]:1,-9,5,-8", "i8[1,1,2]:5,-8");
    test_op_fails(1, "com.microsoft::QLinearAveragePool", "", "u8[1,1,3]:1,5,9" POOLED, "'kernel_shape' has 0 values");
}

static void dynamic_lstm(void **state)
{
    (void)state;
#define LSTM "com.microsoft::DynamicQuantizeLSTM"
#define NO_WEIGHTS "f32[1,1,1]:3 | i8[1,1,4]:0,0,0,0 | i8[1,1,4]:0,0,0,0"
#define SCALES "f32[1]:1 | i8[1]:0 | f32[1]:1 | i8[1]:0"
    test_op(1, LSTM, "hidden_size=1", NO_WEIGHTS " | - | - | f32[1,1,1]:0 | f32[1,1,1]:2 | - | " SCALES,
            "f32[1,1,1,1]:0.38079708 | f32[1,1,1]:0.38079708 | f32[1,1,1]:1");
    test_op(1, LSTM, "hidden_size=1 direction='reverse'", /* only the candidate sees the input: tanh(3) through half-open gates */
            "f32[2,1,1]:0,3 | i8[1,1,4]:0,0,0,1 | i8[1,1,4]:0,0,0,0 | - | i32[1]:2 | - | - | - | " SCALES,
            "f32[2,1,1,1]:0.12187808,0.23008517 | f32[1,1,1]:0.12187808 | f32[1,1,1]:0.24876369");
    test_op_fails(1, LSTM, "hidden_size=1", NO_WEIGHTS " | - | - | - | - | - | f32[2]:1,1 | i8[1]:0 | f32[1]:1 | i8[1]:0", "input 8 (scale of W)");
    test_op_fails(1, LSTM, "hidden_size=2", NO_WEIGHTS " | - | - | - | - | - | " SCALES, "input 1 (W) is int8[1,1,4]");
    test_op_fails(1, LSTM, "hidden_size=1", NO_WEIGHTS " | - | i32[1]:5 | - | - | - | " SCALES, "sequence 0 has the length 5");
}

/* As text: `count` values from lo on, wandering over `span`. */
static void put_values(struct pt_buf *b, const char *type, int64_t count, int lo, int span)
{
    pt_buf_printf(b, "%s[%lld]:", type, (long long)count);
    for (int64_t i = 0; i < count; i++)
        pt_buf_printf(b, "%s%d", i ? "," : "", lo + (int)((uint32_t)i * 2654435761u >> 9) % span);
    pt_buf_putc(b, '\n');
}

/* Convolutions whose weights are known, on the integer kernel, against the reference: bit for bit. */
static void convolution_shapes(void **state)
{
    (void)state;
    static const struct {
        int out_c, in_c; /* of a group */
        const char *image, *kernel, *attrs;
        int taps, channels;
    } all[] = {
        {5, 3, "2,3,9,8", "3,3", "pads=[1,1,1,1]", 9, 5},           {33, 8, "1,8,12,11", "1,1", "", 1, 33},
        {16, 5, "1,5,7,7", "3,2", "strides=[2,3]", 6, 16},          {6, 4, "1,8,6,6", "3,3", "group=2 pads=[2,0,1,3]", 9, 12},
        {4, 1, "1,3,6,6", "2,2", "group=3 dilations=[2,2]", 4, 12}, {1, 1, "1,6,9,9", "3,3", "group=6 auto_pad='SAME_UPPER'", 9, 6},
        {7, 6, "3,6,20", "5", "pads=[4,4] strides=[2]", 5, 7},      {3, 2, "1,2,1,1", "3,3", "pads=[9,9,9,9]", 9, 3},
        {17, 2, "1,2,40,13", "1,1", "strides=[3,2]", 1, 17},        {2, 2, "1,2,3,3,3", "1,2,2", "pads=[0,1,0,0,0,1]", 4, 2},
    };
    for (size_t i = 0; i < 4 * sizeof all / sizeof *all; i++) {
        struct pt_buf b = PT_BUF_INIT(0);
        const size_t k = i / 4;
        const char *x = i & 1 ? "u8" : "i8", *w = i & 2 ? "u8" : "i8";
        int n = all[k].channels;
        pt_buf_printf(
            &b, "opset 21\nin f f32[%s]\nconst xs f32[]:0.02\nconst ys f32[]:0.3\nconst xz %s[]:%d\nconst yz %s[]:%d\nconst shape i64[%d]:%d,%d,%s\n",
            all[k].image, x, i & 1 ? 120 : 3, x, i & 1 ? 130 : -2, 2 + (int)strlen(all[k].kernel) / 2 + 1, n, all[k].in_c, all[k].kernel);
        pt_buf_puts(&b, "const flat ");
        put_values(&b, w, (int64_t)n * all[k].in_c * all[k].taps, i & 2 ? 0 : -128, 256);
        pt_buf_puts(&b, "const wz ");
        put_values(&b, w, n, i & 2 ? 100 : -5, 11);
        pt_buf_printf(&b, "const ws f32[%d]:", n);
        for (int j = 0; j < n; j++)
            pt_buf_printf(&b, "%s%g", j ? "," : "", 0.01 + 0.001 * j);
        pt_buf_puts(&b, "\nconst bias ");
        put_values(&b, "i32", n, -900, 2000);
        pt_buf_printf(&b,
                      "w = Reshape(flat,shape)\nx = QuantizeLinear(f,xs,xz)\ny = QLinearConv(x,xs,xz,w,ws,wz,ys,yz,bias) %s\n"
                      "z = ConvInteger(x,w,xz,wz) %s\nout y\nout z\n",
                      all[k].attrs, all[k].attrs);
        test_same(pt_buf_cstr(&b));
        pt_buf_finish(&b);
    }
}

/* The largest of bytes is that of the same numbers as floats. */
static void max_pools(void **state)
{
    (void)state;
    static const char *const windows[] = {"kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]", "kernel_shape=[2,3] dilations=[2,1] pads=[0,1,1,0]",
                                          "kernel_shape=[1,4] strides=[1,3] ceil_mode=1", "kernel_shape=[7,9]"};
    for (int k = 0; k < 8; k++) {
        const char *type = k & 1 ? "i8" : "u8";
        struct pt_buf model = {0}, x = {0};
        pt_buf_printf(&x, "%s[2,3,7,9]:", type);
        for (int i = 0; i < 2 * 3 * 7 * 9; i++)
            pt_buf_printf(&x, "%s%d", i ? "," : "", (i * 149) % 251 - (k & 1 ? 128 : 0));
        pt_buf_printf(&model,
                      "in x %s[2,3,7,9]\na = MaxPool(x) %s\nf = Cast(x) to=1\nm = MaxPool(f) %s\ng = Cast(a) to=1\ne = Equal(g,m)\n"
                      "i = Cast(e) to=7\ny = ReduceMin(i) keepdims=0\nout y\n",
                      type, windows[k / 2], windows[k / 2]);
        test_run(pt_buf_cstr(&model), TEXTS(pt_buf_cstr(&x)), TEXTS("i64[]:1"));
        pt_buf_finish(&model);
        pt_buf_finish(&x);
    }
}

/* --- sizes that are cut into tasks: the kernels against the reference, to the last integer --------------------------------------------------- */

/* "const NAME TYPE[DIMS]:..." with bytes from the whole range of the type. */
static void put_bytes(struct pt_buf *b, const char *name, const char *type, const char *dims, size_t count, uint32_t seed)
{
    pt_buf_printf(b, "const %s %s[%s]:", name, type, dims);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        int v = (int)(seed >> 24) - (type[0] == 'i' ? 128 : 0);
        pt_buf_printf(b, i ? ",%d" : "%d", i % 5 == 0 ? (type[0] == 'i' ? -128 : 255) : v);
    }
    pt_buf_putc(b, '\n');
}

static void product_of_size(size_t m, size_t n, size_t k, const char *a, const char *w)
{
    struct pt_buf b = PT_BUF_INIT(0);
    char dims[48], turned[48], each[24];
    snprintf(dims, sizeof dims, "%zu,%zu", k, n);
    snprintf(turned, sizeof turned, "%zu,%zu", n, k);
    snprintf(each, sizeof each, "%zu", n);
    pt_buf_printf(&b, "opset 21\nin x %s[%zu,%zu]\nin v f32[2,%zu,%zu]\nconst s f32[]:0.01\nconst t f32[]:%g\n", a, m, k, m, k, 0.7 * (double)k);
    put_bytes(&b, "z", a, "", 1, 3);
    put_bytes(&b, "w", w, dims, k * n, 1);
    put_bytes(&b, "g", w, turned, k * n, 2);
    put_bytes(&b, "wz", w, each, n, 5);
    pt_buf_printf(&b, "const c i32[%zu]:1234\nconst r f32[%zu]:0.5\nconst ws f32[%zu]:0.03\n", n, n, n);
    pt_buf_puts(&b, "i = MatMulInteger(x,w,z,wz)\ny = QLinearMatMul(x,s,z,w,ws,wz,t,z)\nq = com.microsoft::QGemm(x,s,z,g,ws,wz,c,t,z) transB=1\n"
                    "f = com.microsoft::MatMulIntegerToFloat(x,w,s,ws,z,wz,r)\nd = com.microsoft::DynamicQuantizeMatMul(v,w,ws,wz)\nd2 = "
                    "Add(d,r)\nd3 = Relu(d2)\n"
                    "out i\nout y\nout q\nout f\nout d3\n");
    test_same(pt_buf_cstr(&b));
    pt_buf_finish(&b);
}

static void products_of_sizes(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 1}, {1, 300, 40}, {7, 33, 3}, {97, 129, 5}, {130, 257, 17}, {3, 12, 1025}, {200, 3, 700}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int t = 0; t < 4; t++)
            product_of_size(sizes[i][0], sizes[i][1], sizes[i][2], t & 1 ? "i8" : "u8", t & 2 ? "i8" : "u8");
}

/* Depthwise, grouped and plain convolutions and what stands between them, channels last, with a reader that wants them plain at the end. */
static void images_of_size(int channels, const char *type, const char *attrs)
{
    struct pt_buf b = PT_BUF_INIT(0);
    char one[48], full[48], each[24];
    snprintf(one, sizeof one, "%d,1,3,3", channels);
    snprintf(full, sizeof full, "%d,%d,1,1", channels, channels);
    snprintf(each, sizeof each, "%d", channels);
    pt_buf_printf(&b, "opset 13\nin x %s[2,%d,11,9]\nconst s f32[]:0.02\nconst t f32[]:0.5\nconst ws f32[%d]:0.01\nconst c i32[%d]:-321\n", type,
                  channels, channels, channels);
    put_bytes(&b, "z", type, "", 1, 3);
    put_bytes(&b, "d", "i8", one, (size_t)channels * 9, 1);
    put_bytes(&b, "w", "i8", full, channels > 100 ? 1 : (size_t)(channels * channels), 2); /* one for all: a line has a limit */
    put_bytes(&b, "wz", "i8", each, (size_t)channels, 5);
    pt_buf_printf(
        &b,
        "a = QLinearConv(x,s,z,d,ws,wz,t,z,c) group=%d pads=[1,1,1,1] %s\nb = QLinearConv(a,s,z,w,ws,wz,t,z)\n"
        "e = com.microsoft::QLinearAdd(a,s,z,b,t,z,s,z)\nf = com.microsoft::QLinearSigmoid(e,s,z,s,z)\ng = "
        "com.microsoft::QLinearMul(f,s,z,e,s,z,s,z)\n"
        "h = MaxPool(g) kernel_shape=[3,2] strides=[2,1] pads=[1,1,1,0]\ni = Concat(h,h) axis=1\nj = DequantizeLinear(i,s,z)\n"
        "k = QuantizeLinear(j,t,z)\nl = com.microsoft::QLinearGlobalAveragePool(k,s,z,s,z)\nn = Transpose(k) perm=[3,1,0,2]\nout l\nout n\nout h\n",
        channels, attrs);
    test_same(pt_buf_cstr(&b));
    pt_buf_finish(&b);
}

static void images_of_sizes(void **state)
{
    (void)state;
    for (int channels = 1; channels < 300; channels = channels * 2 + 1)
        for (int form = 0; form < 4; form++)
            images_of_size(channels, form & 1 ? "i8" : "u8", form & 2 ? "strides=[2,2]" : "dilations=[2,1]");
}

/* 3 x 3 with many channels, which is transformed: odd and even sizes, weights with and without zero points. */
static void transformed(int channels, int n, int height, int width, const char *type, bool zero)
{
    struct pt_buf b = PT_BUF_INIT(0);
    char dims[48], each[24];
    snprintf(dims, sizeof dims, "%d,%d,3,3", n, channels);
    snprintf(each, sizeof each, "%d", n);
    pt_buf_printf(
        &b, "opset 13\nin x u8[2,%d,%d,%d]\nconst s f32[]:0.01\nconst t f32[]:0.3\nconst z u8[]:101\nconst ws f32[%d]:0.03\nconst c i32[%d]:-321\n",
        channels, height, width, n, n);
    put_bytes(&b, "w", type, dims, (size_t)(n * channels * 9), 2);
    if (zero)
        put_bytes(&b, "wz", type, each, (size_t)n, 5);
    else
        pt_buf_printf(&b, "const wz %s[]:0\n", type);
    pt_buf_puts(&b, "y = QLinearConv(x,s,z,w,ws,wz,t,z,c) pads=[1,1,1,1]\nu = QLinearConv(x,s,z,w,ws,wz,t,z) pads=[0,2,1,0]\nout y\nout u\n");
    test_same(pt_buf_cstr(&b));
    pt_buf_finish(&b);
}

/* Sums of the largest products there are: to where a fourfold sum still fits, and past it. */
static void transformed_extremes(int channels, const char *weight)
{
    struct pt_buf b = PT_BUF_INIT(0);
    pt_buf_printf(
        &b,
        "opset 13\nin v f32[1,%d,8,7]\nconst s f32[]:0.000000001\nconst z u8[]:0\nconst w %.2s[32,%d,3,3]:%s\nconst wz %.2s[]:0\nconst one f32[]:1\n"
        "const t f32[]:2500000\nconst h u8[]:128\na = Abs(v)\nx = QuantizeLinear(a,s,z)\ny = QLinearConv(x,one,z,w,one,wz,t,h) pads=[1,1,1,1]\nout "
        "y\n",
        channels, weight, channels, weight + 3, weight);
    test_same(pt_buf_cstr(&b));
    pt_buf_finish(&b);
}

static void transformed_of_sizes(void **state)
{
    (void)state;
    for (int form = 0; form < 8; form++)
        transformed(form & 1 ? 32 : 40, form & 1 ? 40 : 32, 8 + form % 3, 11 - form / 3, form & 2 ? "i8" : "u8", form & 4);
    static const int channels[] = {912, 920, 1824, 1832};
    for (int i = 0; i < 4; i++) {
        transformed_extremes(channels[i], "u8 255");
        transformed_extremes(channels[i], "i8 -128");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_products),   cmocka_unit_test(quantised_products),   cmocka_unit_test(convolutions),
        cmocka_unit_test(convolution_shapes), cmocka_unit_test(elementwise),          cmocka_unit_test(pools),
        cmocka_unit_test(max_pools),          cmocka_unit_test(dynamic_lstm),         cmocka_unit_test(products_of_sizes),
        cmocka_unit_test(images_of_sizes),    cmocka_unit_test(transformed_of_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
