/* SPDX-License-Identifier: Apache-2.0
 *
 * legacy.c: Crop and ImageScaler, experimental operators of opset 1 that exporters of that time wrote and ONNX has since dropped.
 */
#include "runtime/ops/types.h"

/* --- Crop: the border (left, top, right, bottom) of images falls away; with `scale` (height, width) what is kept has that size ---------- */

static int crop_infer(struct pt_op_ctx *c)
{
    int64_t *border = c->params, scale[2];
    const struct pt_tensor *x = c->in[0];
    int n, scaled, rc = pt_attr_ints(c, "border", 0, INT32_MAX, border, 4, &n);
    if (rc == PT_OK)
        rc = pt_attr_ints(c, "scale", 1, INT32_MAX, scale, 2, &scaled);
    if (rc < 0)
        return rc;
    if (x->rank != 4 || n != 4 || (scaled >= 0 && scaled != 2))
        return pt_op_fail(c, PT_EINVAL, "needs an input of rank 4, 4 values in 'border' and 2 in 'scale'; input is %s", PT_SHAPE(x));
    int64_t height = scaled < 0 ? x->dims[2] - border[1] - border[3] : scale[0];
    int64_t width = scaled < 0 ? x->dims[3] - border[0] - border[2] : scale[1];
    if (height < 0 || width < 0 || border[1] + height > x->dims[2] || border[0] + width > x->dims[3])
        return pt_op_fail(c, PT_EINVAL, "cannot crop %s to %lld x %lld", PT_SHAPE(x), (long long)height, (long long)width);
    pt_op_set_out(c, 0, x->dtype, 4, (const int64_t[]){x->dims[0], x->dims[1], height, width});
    return PT_OK;
}

static int crop_run(struct pt_op_ctx *c)
{
    const int64_t *border = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    size_t size = pt_dtype_size(x->dtype), row = (size_t)y->dims[3] * size;
    int64_t rows = pt_tensor_count(y) ? y->dims[0] * y->dims[1] * y->dims[2] : 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t from = (r / y->dims[2] * x->dims[2] + border[1] + r % y->dims[2]) * x->dims[3] + border[0];
        memcpy((char *)y->data + (size_t)r * row, (const char *)x->data + (size_t)from * size, row);
    }
    return PT_OK;
}

const struct pt_op pt_op_crop = {.type = "Crop",
                                 .since = {1},
                                 .min_in = 1,
                                 .max_in = 1,
                                 .max_out = 1,
                                 .types = {PT_TS_REAL},
                                 .params_size = 4 * sizeof(int64_t),
                                 .infer = crop_infer,
                                 .run = crop_run};

/* --- ImageScaler: x * scale + bias[channel] -------------------------------------------------------------------------------------------- */

static const struct pt_onnx_attr *scaler_bias(const struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "bias");
    return a && a->type == PT_ATTR_FLOATS ? a : NULL;
}

static int scaler_infer(struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *bias = scaler_bias(c);
    int rc = pt_attr_float(c, "scale", 1, c->params);
    if (rc < 0)
        return rc;
    if (c->in[0]->rank < 2 || (bias && (int64_t)bias->count != c->in[0]->dims[1]))
        return pt_op_fail(c, PT_EINVAL, "attribute 'bias' has not one value for each channel of %s", PT_SHAPE(c->in[0]));
    return pt_infer_same(c);
}

static int scaler_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    const struct pt_onnx_attr *bias = scaler_bias(c);
    const float *scale = c->params;
    int64_t n = pt_tensor_count(x), pixels = n ? n / (x->dims[0] * x->dims[1]) : 1;
    for (int64_t i = 0; i < n; i++) {
        double v = pt_elem_f64(x, i) * (double)*scale + (bias ? (double)bias->floats[i / pixels % x->dims[1]] : 0);
        pt_store_f64(c->out[0], i, 1, &v);
    }
    return PT_OK;
}

const struct pt_op pt_op_image_scaler = {.type = "ImageScaler",
                                         .since = {1},
                                         .min_in = 1,
                                         .max_in = 1,
                                         .max_out = 1,
                                         .types = {PT_TS_REAL},
                                         .flags = PT_OP_INPLACE,
                                         .params_size = sizeof(float),
                                         .infer = scaler_infer,
                                         .run = scaler_run};
