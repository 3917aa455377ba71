/* SPDX-License-Identifier: Apache-2.0
 *
 * constant.c: operators that make values out of attributes or of a few scalars: Constant, ConstantOfShape, Range, EyeLike.
 */
#include "runtime/ops/types.h"

#include <math.h>

/* --- Constant: exactly one of the value attributes -------------------------------------------------------------------------- */

static const struct pt_onnx_attr *value_attr(const struct pt_node *n)
{
    static const char *const names[] = {"value", "value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings", "sparse_value"};
    const struct pt_onnx_attr *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = pt_node_attr(n, names[i]);
    return found;
}

static int constant_infer(struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *a = value_attr(c->node);
    int64_t n = a ? (int64_t)a->count : 0;
    switch (a ? a->type : PT_ATTR_NONE) {
    case PT_ATTR_TENSOR:
    case PT_ATTR_SPARSE_TENSOR: /* dense by now */
        pt_op_like(c, 0, &a->t->t);
        return PT_OK;
    case PT_ATTR_FLOAT:
    case PT_ATTR_INT:
        pt_op_set_out(c, 0, a->type == PT_ATTR_INT ? PT_INT64 : PT_FLOAT, 0, NULL);
        return PT_OK;
    case PT_ATTR_FLOATS:
    case PT_ATTR_INTS:
        pt_op_set_out(c, 0, a->type == PT_ATTR_INTS ? PT_INT64 : PT_FLOAT, 1, &n);
        return PT_OK;
    case PT_ATTR_STRING:
        pt_op_set_out(c, 0, PT_STRING, 0, NULL);
        return PT_OK;
    case PT_ATTR_STRINGS:
        pt_op_set_out(c, 0, PT_STRING, 1, &n);
        return PT_OK;
    default:
        return pt_op_fail(c, PT_EUNSUPPORTED, "needs one of the attributes value, value_float(s), value_int(s), value_string(s), sparse_value");
    }
}

static int constant_run(struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *a = value_attr(c->node);
    struct pt_tensor *y = c->out[0];
    bool tensor = a->type == PT_ATTR_TENSOR || a->type == PT_ATTR_SPARSE_TENSOR;
    if (y->dtype == PT_STRING && !tensor) {
        const struct pt_str *s = a->type == PT_ATTR_STRING ? &a->s : a->strings;
        for (int64_t i = 0; i < pt_tensor_count(y); i++)
            ((struct pt_string *)y->data)[i] = (struct pt_string){s[i].p, s[i].len};
        return PT_OK;
    }
    const void *src = tensor                      ? a->t->t.data
                      : a->type == PT_ATTR_FLOATS ? (const void *)a->floats
                      : a->type == PT_ATTR_INTS   ? (const void *)a->ints
                                                  : (const void *)&a->i; /* .i and .f share their place */
    if (y->size_bytes)
        memcpy(y->data, src, y->size_bytes);
    return PT_OK;
}

const struct pt_op pt_op_constant = {.type = "Constant", .since = {1, 9, 11, 12, 13, 19, 21, 23, 24, 25}, .min_in = 0, .max_in = 0, .max_out = 1,
                                     .infer = constant_infer, .run = constant_run};

/* --- ConstantOfShape ---------------------------------------------------------------------------------------------------------- */

static int of_shape_infer(struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "value");
    int64_t dims[PT_MAX_RANK];
    int n, rc = pt_op_const_ints(c, 0, "shape", dims, PT_MAX_RANK, &n);
    if (rc < 0)
        return rc;
    if (a && (a->type != PT_ATTR_TENSOR || pt_tensor_count(&a->t->t) != 1 || !(PT_TS_ANY & PT_T(a->t->t.dtype))))
        return pt_op_fail(c, PT_EINVAL, "attribute 'value' is not a tensor of one value");
    for (int i = 0; i < n; i++)
        if (dims[i] < 0)
            return pt_op_fail(c, PT_EINVAL, "dim %d of the shape is %lld, must be at least 0", i, (long long)dims[i]);
    pt_op_set_out(c, 0, a ? a->t->t.dtype : PT_FLOAT, n, dims);
    return PT_OK;
}

static int of_shape_run(struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "value");
    struct pt_tensor *y = c->out[0];
    int64_t n = pt_tensor_count(y);
    if (!a && y->size_bytes)
        memset(y->data, 0, y->size_bytes);
    else if (n && pt_dtype_size(y->dtype))
        pt_copy_row(y->data, a->t->t.data, n, 0, pt_dtype_size(y->dtype));
    else
        for (int64_t i = 0; i < n; i++)
            pt_copy_elem(y, i, &a->t->t, 0);
    return PT_OK;
}

const struct pt_op pt_op_constant_of_shape = {.type = "ConstantOfShape", .since = {9, 20, 21, 23, 24, 25}, .min_in = 1, .max_in = 1, .max_out = 1,
                                              .types = {PT_TS_INDEX}, .infer = of_shape_infer, .run = of_shape_run};

/* --- Range --------------------------------------------------------------------------------------------------------------------------- */

static int range_infer(struct pt_op_ctx *c)
{
    double start = 0, limit = 0, delta = 0;
    int rc;
    if ((rc = pt_op_const_float(c, 0, "start", &start)) < 0 || (rc = pt_op_const_float(c, 1, "limit", &limit)) < 0 ||
        (rc = pt_op_const_float(c, 2, "delta", &delta)) < 0)
        return rc;
    double n = ceil((limit - start) / delta);
    if (delta == 0 || n != n || n > 0x1p40)
        return pt_op_fail(c, PT_EINVAL, "start %g, limit %g and delta %g make no finite range", start, limit, delta);
    pt_op_set_out(c, 0, c->in[0]->dtype, 1, (const int64_t[]){n < 0 ? 0 : (int64_t)n});
    return PT_OK;
}

#define FILL(id, T, U, s) \
    case id: { \
        U start, delta; \
        memcpy(&start, c->in[0]->data, sizeof start); \
        memcpy(&delta, c->in[2]->data, sizeof delta); \
        for (int64_t i = 0; i < n; i++) \
            ((U *)y->data)[i] = (U)(start + (U)((U)i * delta)); \
        break; \
    }

static int range_run(struct pt_op_ctx *c)
{
    struct pt_tensor *y = c->out[0];
    int64_t n = y->dims[0];
    switch (y->dtype) {
        PT_NUM_ROWS(FILL)
    default:
        break;
    }
    return PT_OK;
}

const struct pt_op pt_op_range = {.type = "Range", .since = {11, 27}, .min_in = 3, .max_in = 3, .max_out = 1,
                                  .types = {PT_TS_NUM | PT_TS_HALF}, .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN, .infer = range_infer,
                                  .run = range_run};

/* --- EyeLike --------------------------------------------------------------------------------------------------------------------------- */

static int eye_infer(struct pt_op_ctx *c)
{
    int64_t dtype;
    int rc = pt_attr_int(c, "dtype", c->in[0]->dtype, 1, PT_DTYPE_COUNT - 1, &dtype);
    if (rc < 0)
        return rc;
    if (c->in[0]->rank != 2)
        return pt_op_fail(c, PT_EINVAL, "input %s is not a matrix", PT_SHAPE(c->in[0]));
    if (!(PT_TS_FIXED & PT_T(dtype)))
        return pt_op_fail(c, PT_EUNSUPPORTED, "attribute 'dtype' %s is not supported", pt_dtype_name((enum pt_dtype)dtype));
    pt_op_set_out(c, 0, (enum pt_dtype)dtype, 2, c->in[0]->dims);
    return PT_OK;
}

static int eye_run(struct pt_op_ctx *c)
{
    struct pt_tensor *y = c->out[0];
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "k");
    int64_t k = a && a->type == PT_ATTR_INT ? a->i : 0;
    if (y->size_bytes)
        memset(y->data, 0, y->size_bytes);
    if (k <= -y->dims[0] || k >= y->dims[1])
        return PT_OK;
    for (int64_t i = k < 0 ? -k : 0; i < y->dims[0] && i + k < y->dims[1]; i++)
        pt_store_i64(y, i * y->dims[1] + i + k, 1, &(int64_t){1});
    return PT_OK;
}

const struct pt_op pt_op_eye_like = {.type = "EyeLike", .since = {9, 22}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {PT_TS_ANY},
                                     .infer = eye_infer, .run = eye_run};
