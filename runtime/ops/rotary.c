/* SPDX-License-Identifier: Apache-2.0
 *
 * rotary.c: RotaryEmbedding and the function under it.
 */
#include "runtime/ops/rotary.h"

/* --- the rotation ------------------------------------------------------------------------------------------------------------------------ */

static void rotate_head(const struct pt_rotary *r, const float *x, const float *c, const float *s, float *y)
{
    int64_t step = r->interleaved ? 2 : 1, other = r->interleaved ? 1 : r->half;
    for (int64_t i = 0; i < r->half; i++) {
        float a = x[i * step], b = x[i * step + other];
        y[i * step] = c[i] * a - s[i] * b;
        y[i * step + other] = s[i] * a + c[i] * b;
    }
    for (int64_t i = 2 * r->half; i < r->width; i++)
        y[i] = x[i];
}

static void rotate_tokens(void *arg, size_t begin, size_t end)
{
    const struct pt_rotary *r = arg;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        int64_t b = i / r->length, t = i % r->length, at = (r->row ? r->row[i] : i) * r->half;
        for (int64_t h = 0; h < r->heads; h++)
            rotate_head(r, r->x + b * r->x_stride[0] + h * r->x_stride[1] + t * r->x_stride[2], r->cos + at, r->sin + at,
                        r->y + b * r->y_stride[0] + h * r->y_stride[1] + t * r->y_stride[2]);
    }
}

void pt_rotary_run(const struct pt_rotary *r, struct pt_threads *threads)
{
    pt_parallel_for(threads, (size_t)(r->batch * r->length), 8, rotate_tokens, (void *)(uintptr_t)r);
}

/* --- RotaryEmbedding ---------------------------------------------------------------------------------------------------------------------- */

static int read_shape(struct pt_op_ctx *c, struct pt_rotary *r)
{
    const struct pt_tensor *x = c->in[0];
    int64_t heads;
    int rc = pt_attr_int(c, "num_heads", 0, 0, INT32_MAX, &heads);
    if (rc < 0)
        return rc;
    if (x->rank != 4 && (x->rank != 3 || heads < 1 || x->dims[2] % heads))
        return pt_op_fail(c, PT_EINVAL, "input 0 is %s, must have rank 4, or rank 3 and divide into 'num_heads' = %lld", PT_SHAPE(x),
                          (long long)heads);
    bool packed = x->rank == 3;
    r->batch = x->dims[0];
    r->heads = packed ? heads : x->dims[1];
    r->length = packed ? x->dims[1] : x->dims[2];
    r->width = packed ? x->dims[2] / heads : x->dims[3];
    int64_t stride[3] = {r->heads * r->length * r->width, packed ? r->width : r->length * r->width, packed ? r->heads * r->width : r->width};
    memcpy(r->x_stride, stride, sizeof stride);
    memcpy(r->y_stride, stride, sizeof stride);
    return PT_OK;
}

static bool cache_fits(const struct pt_rotary *r, const struct pt_tensor *t, const struct pt_tensor *ids)
{
    if (ids)
        return t->rank == 2 && t->dims[1] == r->half;
    return t->rank == 3 && t->dims[0] == r->batch && t->dims[1] == r->length && t->dims[2] == r->half;
}

static int rotary_infer(struct pt_op_ctx *c)
{
    struct pt_rotary *r = c->params;
    const struct pt_tensor *x = c->in[0], *ids = pt_op_in(c, 3);
    int64_t dim, interleaved;
    int rc;
    if ((rc = pt_attr_int(c, "rotary_embedding_dim", 0, 0, INT32_MAX, &dim)) < 0 || (rc = pt_attr_int(c, "interleaved", 0, 0, 1, &interleaved)) < 0 ||
        (rc = read_shape(c, r)) < 0)
        return rc;
    dim = dim ? dim : r->width;
    if (dim > r->width || dim % 2)
        return pt_op_fail(c, PT_EINVAL, "%lld elements of a head of %lld cannot be turned in pairs", (long long)dim, (long long)r->width);
    r->half = dim / 2;
    r->interleaved = interleaved != 0;
    if (ids && (ids->rank != 2 || ids->dims[0] != r->batch || ids->dims[1] != r->length))
        return pt_op_fail(c, PT_EINVAL, "input 3 (position_ids) is %s, must be int64[%lld,%lld]", PT_SHAPE(ids), (long long)r->batch,
                          (long long)r->length);
    for (int i = 1; i < 3; i++)
        if (!cache_fits(r, c->in[i], ids) || c->in[i]->dtype != x->dtype || c->in[i]->dims[0] != c->in[1]->dims[0])
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not fit %lld pairs of %s", i, PT_SHAPE(c->in[i]), (long long)r->half,
                              PT_SHAPE(x));
    pt_op_like(c, 0, x);
    return PT_OK;
}

static int rotary_run(struct pt_op_ctx *c)
{
    struct pt_rotary r = *(const struct pt_rotary *)c->params;
    const struct pt_tensor *ids = pt_op_in(c, 3);
    r.x = c->in[0]->data;
    r.cos = c->in[1]->data;
    r.sin = c->in[2]->data;
    r.y = c->out[0]->data;
    r.row = ids ? ids->data : NULL;
    for (int64_t i = 0; ids && i < r.batch * r.length; i++)
        if (r.row[i] < 0 || r.row[i] >= c->in[1]->dims[0])
            return pt_op_fail(c, PT_EINVAL, "position %lld is outside the %lld of the cache", (long long)r.row[i], (long long)c->in[1]->dims[0]);
    pt_rotary_run(&r, c->threads);
    return PT_OK;
}

const struct pt_op pt_op_rotary_embedding = {
    .type = "RotaryEmbedding",
    .since = {23},
    .min_in = 3,
    .max_in = 4,
    .max_out = 1,
    .types = {PT_T(PT_FLOAT) | PT_TS_HALF, PT_T(PT_FLOAT) | PT_TS_HALF, PT_T(PT_FLOAT) | PT_TS_HALF, PT_T(PT_INT64)},
    .flags = PT_OP_WIDEN,
    .params_size = sizeof(struct pt_rotary),
    .infer = rotary_infer,
    .run = rotary_run};
