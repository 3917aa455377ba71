/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_norm.c: normalisation of rows after a sum: com.microsoft's SkipLayerNormalization, SkipSimplifiedLayerNormalization (no mean is taken off)
 * and EmbedLayerNormalization (the sum of embeddings), and ONNX Runtime's SimplifiedLayerNormalization, which stands in the standard domain.
 */
#include "runtime/ops/op.h"

#include <math.h>

struct params {
    float epsilon;
    bool simplified;
    int64_t rows, n;
};

/* y = scale * (x - mean) / spread + shift, of one row */
static void normalise(const struct params *p, const float *x, const float *scale, const float *shift, float *y, float *mean_out, float *inv_out)
{
    double mean = 0, square = 0;
    for (int64_t i = 0; !p->simplified && i < p->n; i++)
        mean += (double)x[i];
    mean /= (double)p->n;
    for (int64_t i = 0; i < p->n; i++)
        square += ((double)x[i] - mean) * ((double)x[i] - mean);
    double inv = 1 / sqrt(square / (double)p->n + (double)p->epsilon);
    for (int64_t i = 0; i < p->n; i++)
        y[i] = (float)(((double)x[i] - mean) * inv * (double)scale[i] + (shift ? (double)shift[i] : 0));
    if (mean_out)
        *mean_out = (float)mean;
    if (inv_out)
        *inv_out = (float)inv;
}

static float *wanted(const struct pt_op_ctx *c, int i, int64_t at)
{
    return i < c->out_count && c->out[i] ? (float *)c->out[i]->data + at : NULL;
}

static int check_row(struct pt_op_ctx *c, int i, const char *what, int64_t n)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t || (t->rank == 1 && t->dims[0] == n))
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be [%lld]", i, what, PT_SHAPE(t), (long long)n);
}

static void set_statistics(struct pt_op_ctx *c, int mean, int inv, const struct pt_tensor *x)
{
    int64_t dims[PT_MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        dims[i] = i < x->rank - 1 ? x->dims[i] : 1;
    if (mean >= 0)
        pt_op_set_out(c, mean, PT_FLOAT, x->rank, dims);
    pt_op_set_out(c, inv, PT_FLOAT, x->rank, dims);
}

/* --- x, skip, scale, then (not simplified) shift, then bias -------------------------------------------------------------------------- */

static int skip_infer(struct pt_op_ctx *c, bool simplified)
{
    struct params *p = c->params;
    const struct pt_tensor *x = c->in[0], *skip = c->in[1];
    int rc = pt_attr_float(c, "epsilon", 1e-12f, &p->epsilon);
    if (rc < 0)
        return rc;
    if (x->rank < 2)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 2 or more", PT_SHAPE(x));
    bool fits = skip->rank <= x->rank && skip->rank >= 2;
    for (int i = 0; fits && i < skip->rank; i++) {
        int64_t want = x->dims[x->rank - skip->rank + i];
        fits = skip->dims[i] == want || (i == 0 && skip->rank == x->rank && x->rank == 3 && skip->dims[i] == 1);
    }
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "input 1 (skip) is %s, which does not fit %s", PT_SHAPE(skip), PT_SHAPE(x));
    p->simplified = simplified;
    p->n = x->dims[x->rank - 1];
    p->rows = pt_dims_product(x->dims, x->rank - 1);
    if ((rc = check_row(c, 2, "gamma", p->n)) < 0 || (rc = check_row(c, 3, simplified ? "bias" : "beta", p->n)) < 0 ||
        (rc = check_row(c, 4, "bias", p->n)) < 0)
        return rc;
    c->scratch_bytes = (size_t)p->n * sizeof(float);
    set_statistics(c, 1, 2, x);
    pt_op_like(c, 3, x);
    return pt_infer_same(c);
}

static int skip_layer_norm_infer(struct pt_op_ctx *c)
{
    return skip_infer(c, false);
}

static int skip_simplified_infer(struct pt_op_ctx *c)
{
    return skip_infer(c, true);
}

static int skip_run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    const struct pt_tensor *shift = p->simplified ? NULL : pt_op_in(c, 3), *bias = pt_op_in(c, p->simplified ? 3 : 4);
    int64_t skip_rows = p->n ? pt_tensor_count(c->in[1]) / p->n : 0;
    for (int64_t r = 0; p->n && r < p->rows; r++) {
        const float *x = (const float *)c->in[0]->data + r * p->n, *skip = (const float *)c->in[1]->data + r % skip_rows * p->n;
        float *sum = wanted(c, 3, r * p->n);
        sum = sum ? sum : c->scratch;
        for (int64_t i = 0; i < p->n; i++)
            sum[i] = x[i] + skip[i] + (bias ? ((const float *)bias->data)[i] : 0);
        normalise(p, sum, c->in[2]->data, shift ? shift->data : NULL, (float *)c->out[0]->data + r * p->n, wanted(c, 1, r), wanted(c, 2, r));
    }
    return PT_OK;
}

#define ROW(sym, op_name, most, infer_fn)                                                                                                            \
    const struct pt_op pt_op_ms_##sym = {.domain = "com.microsoft",                                                                                  \
                                         .type = op_name,                                                                                            \
                                         .since = {1},                                                                                               \
                                         .min_in = 3,                                                                                                \
                                         .max_in = most,                                                                                             \
                                         .max_out = 4,                                                                                               \
                                         .types = {PT_T(PT_FLOAT) | PT_TS_HALF},                                                                     \
                                         .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,                                                                     \
                                         .params_size = sizeof(struct params),                                                                       \
                                         .infer = infer_fn,                                                                                          \
                                         .run = skip_run};
ROW(skip_layer_normalization, "SkipLayerNormalization", 5, skip_layer_norm_infer)
ROW(skip_simplified_layer_normalization, "SkipSimplifiedLayerNormalization", 4, skip_simplified_infer)

/* --- SimplifiedLayerNormalization: x, scale --------------------------------------------------------------------------------------------- */

static int simplified_infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    const struct pt_tensor *x = c->in[0], *scale = c->in[1];
    int64_t axis, stash, dims[PT_MAX_RANK];
    int a, rc;
    if ((rc = pt_attr_float(c, "epsilon", 1e-5f, &p->epsilon)) < 0 || (rc = pt_attr_int(c, "axis", -1, INT32_MIN, INT32_MAX, &axis)) < 0 ||
        (rc = pt_attr_int(c, "stash_type", PT_FLOAT, PT_FLOAT, PT_FLOAT, &stash)) < 0 ||
        (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &a)) < 0)
        return rc;
    p->simplified = true;
    p->rows = pt_dims_product(x->dims, a);
    p->n = pt_dims_product(x->dims + a, x->rank - a);
    if (pt_tensor_count(scale) != p->n)
        return pt_op_fail(c, PT_EINVAL, "input 1 (scale) is %s, which does not fit %s from axis %d on", PT_SHAPE(scale), PT_SHAPE(x), a);
    for (int i = 0; i < x->rank; i++)
        dims[i] = i < a ? x->dims[i] : 1;
    pt_op_set_out(c, 1, PT_FLOAT, x->rank, dims);
    return pt_infer_same(c);
}

static int simplified_run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    for (int64_t r = 0; p->n && r < p->rows; r++)
        normalise(p, (const float *)c->in[0]->data + r * p->n, c->in[1]->data, NULL, (float *)c->out[0]->data + r * p->n, NULL, wanted(c, 1, r));
    return PT_OK;
}

const struct pt_op pt_op_simplified_layer_normalization = {.type = "SimplifiedLayerNormalization",
                                                           .since = {1},
                                                           .min_in = 2,
                                                           .max_in = 2,
                                                           .max_out = 2,
                                                           .types = {PT_T(PT_FLOAT) | PT_TS_HALF},
                                                           .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                                           .params_size = sizeof(struct params),
                                                           .infer = simplified_infer,
                                                           .run = simplified_run};

/* --- EmbedLayerNormalization: ids, segments, word, position, segment, gamma, beta, mask, position_ids -------------------------------------- */

static int check_table(struct pt_op_ctx *c, int i, const char *what, int64_t width)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t || (t->rank == 2 && (width < 0 || t->dims[1] == width) && (PT_TS_REAL & PT_T(t->dtype))))
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "input %d (%s embedding) is %s, must be a matrix of the width of the others", i, what, PT_SHAPE(t));
}

static int check_ids(struct pt_op_ctx *c, int i, const char *what, const struct pt_tensor *ids)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    bool fits =
        !t || (t->dtype == PT_INT32 && t->rank == 2 && (t->dims[0] == ids->dims[0] || (i == 8 && t->dims[0] == 1)) && t->dims[1] == ids->dims[1]);
    return fits ? PT_OK : pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be int32 like %s", i, what, PT_SHAPE(t), PT_SHAPE(ids));
}

static int embed_infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    const struct pt_tensor *ids = c->in[0], *word = pt_op_in(c, 2), *position = pt_op_in(c, 3), *gamma = pt_op_in(c, 5), *beta = pt_op_in(c, 6);
    int64_t kind;
    int rc;
    if ((rc = pt_attr_float(c, "epsilon", 1e-12f, &p->epsilon)) < 0 || (rc = pt_attr_int(c, "mask_index_type", 0, 0, 1, &kind)) < 0)
        return rc;
    if (!word || !position || !gamma || !beta || ids->rank != 2 || ids->dtype != PT_INT32)
        return pt_op_fail(c, PT_EINVAL, "needs int32 ids of rank 2 (got %s), word and position embedding, gamma and beta", PT_SHAPE(ids));
    if (!pt_op_in(c, 1) != !pt_op_in(c, 4))
        return pt_op_fail(c, PT_EINVAL, "segment ids and segment embedding must both be given or neither");
    if ((rc = check_table(c, 2, "word", -1)) < 0 || (rc = check_table(c, 3, "position", word->dims[1])) < 0 ||
        (rc = check_table(c, 4, "segment", word->dims[1])) < 0 || (rc = check_ids(c, 1, "segment_ids", ids)) < 0 ||
        (rc = check_ids(c, 7, "mask", ids)) < 0 || (rc = check_ids(c, 8, "position_ids", ids)) < 0 ||
        (rc = check_row(c, 5, "gamma", word->dims[1])) < 0 || (rc = check_row(c, 6, "beta", word->dims[1])) < 0)
        return rc;
    p->n = word->dims[1];
    p->rows = ids->dims[0] * ids->dims[1];
    const int64_t dims[3] = {ids->dims[0], ids->dims[1], p->n};
    c->scratch_bytes = (size_t)p->n * sizeof(float);
    pt_op_set_out(c, 0, word->dtype, 3, dims);
    pt_op_set_out(c, 1, PT_INT32, 1, ids->dims);
    pt_op_set_out(c, 2, word->dtype, 3, dims);
    return PT_OK;
}

/* sum += row `at` of the table */
static int add_embedding(struct pt_op_ctx *c, int table, int64_t at, float *sum)
{
    const struct params *p = c->params;
    const struct pt_tensor *t = c->in[table];
    if (at < 0 || at >= t->dims[0])
        return pt_op_fail(c, PT_EINVAL, "id %lld is outside input %d, %s", (long long)at, table, PT_SHAPE(t));
    for (int64_t i = 0; i < p->n; i++)
        sum[i] += ((const float *)t->data)[at * p->n + i];
    return PT_OK;
}

/* Position of the last token that counts, plus one, per sentence. */
static void count_masks(struct pt_op_ctx *c)
{
    const struct pt_tensor *mask = pt_op_in(c, 7), *ids = c->in[0];
    int32_t *count = c->out_count > 1 && c->out[1] ? c->out[1]->data : NULL;
    for (int64_t b = 0; count && b < ids->dims[0]; b++) {
        count[b] = 0;
        for (int64_t s = 0; mask && s < ids->dims[1]; s++)
            count[b] += ((const int32_t *)mask->data)[b * ids->dims[1] + s] == 1;
    }
}

static int embed_run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    const struct pt_tensor *ids = c->in[0], *segments = pt_op_in(c, 1), *positions = pt_op_in(c, 8);
    int64_t length = ids->dims[1];
    for (int64_t r = 0; r < p->rows; r++) {
        float *sum = wanted(c, 2, r * p->n);
        int64_t at = positions ? pt_elem_i64(positions, positions->dims[0] == 1 ? r % length : r) : r % length;
        int rc;
        sum = sum ? sum : c->scratch;
        memset(sum, 0, (size_t)p->n * sizeof *sum);
        if ((rc = add_embedding(c, 2, pt_elem_i64(ids, r), sum)) < 0 || (rc = add_embedding(c, 3, at, sum)) < 0 ||
            (segments && (rc = add_embedding(c, 4, pt_elem_i64(segments, r), sum)) < 0))
            return rc;
        normalise(p, sum, c->in[5]->data, c->in[6]->data, (float *)c->out[0]->data + r * p->n, NULL, NULL);
    }
    count_masks(c);
    return PT_OK;
}

const struct pt_op pt_op_ms_embed_layer_normalization = {
    .domain = "com.microsoft",
    .type = "EmbedLayerNormalization",
    .since = {1},
    .min_in = 1,
    .max_in = 9,
    .max_out = 3,
    .types = {PT_T(PT_INT32), PT_T(PT_INT32), PT_T(PT_FLOAT) | PT_TS_HALF, PT_T(PT_FLOAT) | PT_TS_HALF | PT_T(PT_INT32)},
    .flags = PT_OP_WIDEN,
    .params_size = sizeof(struct params),
    .infer = embed_infer,
    .run = embed_run};
