/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_nhwc_conv.c: com.microsoft's NhwcConv: Conv of images that have the channels innermost; weights and bias are laid out as Conv has them. The
 * image is turned, given to Conv, and turned back.
 */
#include "runtime/ops/conv.h"
#include "runtime/ops/table.h"

static void channels_first(const struct pt_tensor *x, int64_t *dims)
{
    dims[0] = x->dims[0];
    dims[1] = x->dims[x->rank - 1];
    for (int i = 2; i < x->rank; i++)
        dims[i] = x->dims[i - 1];
}

/* As run will see it: what is half stands in float32 then. */
static bool turned(const struct pt_tensor *x, struct pt_tensor *out)
{
    *out = *x;
    out->dtype = pt_dtype_bits(x->dtype) == 16 ? PT_FLOAT : x->dtype;
    channels_first(x, out->dims);
    out->data = NULL;
    return pt_tensor_need(out->dtype, out->rank, out->dims, &out->size_bytes);
}

static int nhwc_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor image, *y = c->out[0];
    if (x->rank < 3 || !turned(x, &image))
        return pt_op_fail(c, PT_EINVAL, "input %s is no image", PT_SHAPE(x));
    int rc = pt_conv_plan(c, c->params, &image, c->in[1], pt_op_in(c, 2), x->dtype);
    size_t bytes;
    if (rc < 0 || !y)
        return rc;
    if (!pt_tensor_need(image.dtype, y->rank, y->dims, &bytes) || __builtin_add_overflow(bytes, (image.size_bytes + 63) / 64 * 64, &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "output %s is too large", PT_SHAPE(y));
    int64_t channels = y->dims[1];
    for (int i = 1; i < y->rank - 1; i++)
        y->dims[i] = y->dims[i + 1];
    y->dims[y->rank - 1] = channels;
    return PT_OK;
}

/* Elements of `size` bytes: [n][rows][columns] to [n][columns][rows]. */
static void turn(const char *from, char *to, int64_t n, int64_t rows, int64_t columns, size_t size)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < columns; k++)
                memcpy(to + (size_t)((i * columns + k) * rows + r) * size, from + (size_t)((i * rows + r) * columns + k) * size, size);
}

static int nhwc_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor image, result, *y = c->out[0];
    size_t size = pt_dtype_size(x->dtype);
    (void)turned(x, &image);
    (void)turned(y, &result);
    image.data = c->scratch;
    result.data = (char *)c->scratch + (image.size_bytes + 63) / 64 * 64;
    int64_t n = x->dims[0], channels = image.dims[1], filters = result.dims[1];
    if (image.size_bytes)
        turn(x->data, image.data, n, pt_dims_product(image.dims + 2, x->rank - 2), channels, size);
    const struct pt_tensor *in[] = {&image, c->in[1], pt_op_in(c, 2)};
    struct pt_tensor *out[] = {&result};
    struct pt_op_ctx conv = *c;
    conv.in = in;
    conv.out = out;
    int rc = pt_op_conv.run(&conv);
    if (rc == PT_OK && result.size_bytes)
        turn(result.data, y->data, n, filters, pt_dims_product(result.dims + 2, y->rank - 2), size);
    return rc;
}

const struct pt_op pt_op_ms_nhwc_conv = {.domain = "com.microsoft",
                                         .type = "NhwcConv",
                                         .since = {1},
                                         .min_in = 2,
                                         .max_in = 3,
                                         .max_out = 1,
                                         .types = {PT_TS_REAL},
                                         .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                         .params_size = sizeof(struct pt_conv_params),
                                         .infer = nhwc_infer,
                                         .run = nhwc_run};
