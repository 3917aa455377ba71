/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_rotary.c: com.microsoft's RotaryEmbedding: input [batch, length, hidden] or [batch, heads, length, width], position_ids (where each batch
 * begins, or one for each token), cos_cache, sin_cache.
 */
#include "runtime/ops/quant.h"
#include "runtime/ops/rotary.h"

struct params {
    struct pt_rotary r;
    size_t rows_at;
};

static int read_shape(struct pt_op_ctx *c, struct pt_rotary *r, int64_t heads, int64_t dim)
{
    const struct pt_tensor *x = c->in[0], *cos = c->in[2];
    bool by_heads = x->rank == 4;
    if ((x->rank != 3 && !by_heads) || cos->rank != 2)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 3 or 4, cos_cache %s rank 2", PT_SHAPE(x), PT_SHAPE(cos));
    r->half = cos->dims[1];
    r->width = by_heads ? x->dims[3] : heads ? x->dims[2] / heads : dim ? 0 : 2 * r->half;
    r->heads = by_heads ? x->dims[1] : heads ? heads : r->width ? x->dims[2] / r->width : 0;
    if (r->heads < 1 || r->width < 2 * r->half || (!by_heads && x->dims[2] != r->heads * r->width) || (dim && dim != 2 * r->half))
        return pt_op_fail(c, PT_EINVAL, "input %s with 'num_heads' = %lld, 'rotary_embedding_dim' = %lld and cos_cache %s do not fit", PT_SHAPE(x),
                          (long long)heads, (long long)dim, PT_SHAPE(cos));
    r->batch = x->dims[0];
    r->length = x->dims[by_heads ? 2 : 1];
    int64_t stride[3] = {r->heads * r->length * r->width, by_heads ? r->length * r->width : r->width, by_heads ? r->width : r->heads * r->width};
    memcpy(r->x_stride, stride, sizeof stride);
    memcpy(r->y_stride, stride, sizeof stride);
    return PT_OK;
}

static int infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    struct pt_rotary *r = &p->r;
    const struct pt_tensor *x = c->in[0], *ids = c->in[1], *cos = c->in[2], *sin = c->in[3];
    int64_t interleaved, heads, dim, packed;
    int rc;
    if ((rc = pt_attr_int(c, "interleaved", 0, 0, 1, &interleaved)) < 0 || (rc = pt_attr_int(c, "num_heads", 0, 0, INT32_MAX, &heads)) < 0 ||
        (rc = pt_attr_int(c, "rotary_embedding_dim", 0, 0, INT32_MAX, &dim)) < 0 ||
        (rc = pt_attr_int(c, "is_packed_batching", 0, 0, 1, &packed)) < 0 || (rc = pt_quant_type(c, 1, "position_ids", PT_T(PT_INT64))) < 0 ||
        (rc = pt_quant_type(c, 2, "cos_cache", PT_T(x->dtype))) < 0 || (rc = pt_quant_type(c, 3, "sin_cache", PT_T(x->dtype))) < 0)
        return rc;
    if (pt_tensor_count(x) == 0)
        return pt_op_fail(c, PT_EUNSUPPORTED, "input %s is empty", PT_SHAPE(x));
    if ((rc = read_shape(c, r, heads, dim)) < 0)
        return rc;
    if (!pt_dims_equal(cos, sin))
        return pt_op_fail(c, PT_EINVAL, "cos_cache %s and sin_cache %s differ", PT_SHAPE(cos), PT_SHAPE(sin));
    if (pt_tensor_count(ids) != 1 && (ids->rank != 2 || ids->dims[0] != r->batch || ids->dims[1] != r->length))
        return pt_op_fail(c, PT_EINVAL, "position_ids %s must be one value or [%lld,%lld]", PT_SHAPE(ids), (long long)r->batch, (long long)r->length);
    r->interleaved = interleaved != 0;
    c->scratch_bytes = (size_t)(r->batch * r->length) * sizeof(int64_t);
    return pt_infer_same(c);
}

static int run(struct pt_op_ctx *c)
{
    struct pt_rotary r = ((const struct params *)c->params)->r;
    const int64_t *ids = c->in[1]->data;
    bool one = pt_tensor_count(c->in[1]) == 1;
    int64_t *rows = c->scratch;
    for (int64_t i = 0; i < r.batch * r.length; i++) {
        rows[i] = one ? ids[0] + i % r.length : ids[i];
        if (rows[i] < 0 || rows[i] >= c->in[2]->dims[0])
            return pt_op_fail(c, PT_EINVAL, "position %lld is outside the %lld of the cache", (long long)rows[i], (long long)c->in[2]->dims[0]);
    }
    r.x = c->in[0]->data;
    r.cos = c->in[2]->data;
    r.sin = c->in[3]->data;
    r.y = c->out[0]->data;
    r.row = rows;
    pt_rotary_run(&r, c->threads);
    return PT_OK;
}

const struct pt_op pt_op_ms_rotary_embedding = {.domain = "com.microsoft",
                                                .type = "RotaryEmbedding",
                                                .since = {1},
                                                .min_in = 4,
                                                .max_in = 4,
                                                .max_out = 1,
                                                .types = {PT_T(PT_FLOAT) | PT_TS_HALF, PT_T(PT_INT64), PT_T(PT_FLOAT) | PT_TS_HALF},
                                                .flags = PT_OP_WIDEN,
                                                .params_size = sizeof(struct params),
                                                .infer = infer,
                                                .run = run};
