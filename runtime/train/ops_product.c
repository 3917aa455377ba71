/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_product.c: the derivative of a matrix product by one of its factors is again a product, of the other factor and of dy, summed over what
 * broadcasting repeated. Where the factor that is asked for is one matrix and the others are many, the batch is part of the sum: one long product.
 */
#include "runtime/train/ops.h"

#include "runtime/kernels/kernels.h"
#include "runtime/ops/types.h"

struct product {
    int64_t trans[2];
    float alpha;
    int64_t m, n, k;                                   /* op(a) is m x k, op(b) k x n */
    int64_t batch;                                     /* products */
    int rank;                                          /* axes of the batch */
    int64_t dims[PT_MAX_RANK], stride[3][PT_MAX_RANK]; /* of a, b, out; in matrices */
    bool joined;                                       /* a^T b over the whole batch is one product */
    bool dense;                                        /* every product has its own matrices, in order */
    size_t turned_bytes;                               /* of a transposed, in front of the workspace */
};

static int fit_batch(struct pt_op_ctx *c, struct product *p)
{
    const struct pt_tensor *t[3] = {c->in[0], c->in[1], c->in[2]};
    for (int i = 0; i < 2; i++)
        p->rank = t[i]->rank - 2 > p->rank ? t[i]->rank - 2 : p->rank;
    p->batch = 1;
    p->dense = true;
    for (int i = 0; i < p->rank; i++)
        p->dims[i] = 1;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < t[k]->rank - 2; i++) {
            int64_t *d = &p->dims[p->rank - (t[k]->rank - 2) + i];
            if (*d != t[k]->dims[i] && *d != 1 && t[k]->dims[i] != 1)
                return pt_op_fail(c, PT_EINVAL, "%s and %s do not fit", PT_SHAPE(t[0]), PT_SHAPE(t[1]));
            *d = *d == 1 ? t[k]->dims[i] : *d;
        }
    for (int k = 0; k < 3; k++) {
        int64_t stride = 1;
        for (int i = p->rank - 1, own = t[k]->rank - 3; i >= 0; i--, own--) {
            int64_t d = own >= 0 ? t[k]->dims[own] : 1;
            p->stride[k][i] = d == 1 ? 0 : stride;
            p->dense = p->dense && d == p->dims[i];
            stride *= d;
        }
    }
    for (int i = 0; i < p->rank; i++)
        p->batch *= p->dims[i];
    p->joined = t[2]->rank == 2 && p->batch > 1 && p->trans[0] && !p->trans[1] && t[0]->rank - 2 == p->rank && t[1]->rank - 2 == p->rank &&
                pt_tensor_count(t[0]) == p->batch * p->m * p->k && pt_tensor_count(t[1]) == p->batch * p->k * p->n;
    return PT_OK;
}

static struct pt_gemm gemm_of(const struct product *p)
{
    int64_t k = p->joined ? p->k * p->batch : p->k;
    struct pt_gemm g = {.m = (size_t)p->m, .n = (size_t)p->n, .k = (size_t)k, .alpha = p->alpha, .trans_b = p->trans[1]};
    g.lda = g.k;
    g.ldb = g.trans_b ? g.k : g.n;
    g.ldc = g.n;
    return g;
}

static int product_infer(struct pt_op_ctx *c)
{
    struct product *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[1], *like = c->in[2];
    int rc = pt_attr_int(c, "transA", 0, 0, 1, &p->trans[0]);
    if (rc < 0 || (rc = pt_attr_int(c, "transB", 0, 0, 1, &p->trans[1])) < 0 || (rc = pt_attr_float(c, "alpha", 1, &p->alpha)) < 0)
        return rc;
    if (a->rank < 2 || b->rank < 2 || like->rank < 2)
        return pt_op_fail(c, PT_EUNSUPPORTED, "the derivative of a product of %s and %s is not supported: both must be matrices", PT_SHAPE(a),
                          PT_SHAPE(b));
    p->m = a->dims[a->rank - (p->trans[0] ? 1 : 2)];
    p->k = a->dims[a->rank - (p->trans[0] ? 2 : 1)];
    p->n = b->dims[b->rank - (p->trans[1] ? 2 : 1)];
    if (p->k != b->dims[b->rank - (p->trans[1] ? 1 : 2)] || like->dims[like->rank - 2] != p->m || like->dims[like->rank - 1] != p->n)
        return pt_op_fail(c, PT_EINVAL, "%s and %s do not give %s", PT_SHAPE(a), PT_SHAPE(b), PT_SHAPE(like));
    if ((rc = fit_batch(c, p)) < 0)
        return rc;
    pt_op_set_out(c, 0, a->dtype, like->rank, like->dims);
    struct pt_gemm g = gemm_of(p);
    p->turned_bytes = p->trans[0] ? (g.m * g.k * sizeof(float) + 63) / 64 * 64 : 0;
    c->scratch_bytes = p->turned_bytes + pt_kernels()->gemm_workspace(&g, 1);
    return PT_OK;
}

/* Offsets, in matrices, of product i. */
static void matrices(const struct product *p, int64_t i, int64_t at[3])
{
    at[0] = at[1] = at[2] = 0;
    for (int axis = p->rank - 1; axis >= 0; axis--) {
        for (int k = 0; k < 3; k++)
            at[k] += i % p->dims[axis] * p->stride[k][axis];
        i /= p->dims[axis];
    }
}

static void run_f32(struct pt_op_ctx *c, const struct product *p)
{
    const struct pt_kernels *k = pt_kernels();
    float *turned = c->scratch;
    struct pt_gemm g = gemm_of(p);
    for (int64_t i = 0; i < (p->joined ? 1 : p->batch); i++) {
        int64_t at[3];
        matrices(p, i, at);
        g.a = (const float *)c->in[0]->data + at[0] * p->m * p->k;
        g.b = (const float *)c->in[1]->data + at[1] * p->k * p->n;
        g.c = (float *)c->out[0]->data + at[2] * p->m * p->n;
        if (p->trans[0]) {
            k->transpose(g.k, g.m, g.a, g.m, turned, g.k);
            g.a = turned;
        }
        if (!p->dense && !p->joined) { /* several products may meet in one matrix, which begins as zero */
            g.ep.residual = g.c;
            g.ep.residual_ld = g.ldc;
        }
        k->gemm(&g, (char *)c->scratch + p->turned_bytes, NULL);
    }
}

static void run_f64(struct pt_op_ctx *c, const struct product *p)
{
    const double *a = c->in[0]->data, *b = c->in[1]->data;
    for (int64_t i = 0; i < p->batch; i++) {
        int64_t at[3];
        matrices(p, i, at);
        const double *x = a + at[0] * p->m * p->k, *y = b + at[1] * p->k * p->n;
        double *z = (double *)c->out[0]->data + at[2] * p->m * p->n;
        for (int64_t r = 0; r < p->m; r++)
            for (int64_t s = 0; s < p->n; s++) {
                double sum = 0;
                for (int64_t t = 0; t < p->k; t++)
                    sum += x[p->trans[0] ? t * p->m + r : r * p->k + t] * y[p->trans[1] ? s * p->k + t : t * p->n + s];
                z[r * p->n + s] += sum * (double)p->alpha;
            }
    }
}

static int product_run(struct pt_op_ctx *c)
{
    const struct product *p = c->params;
    if (c->in[0]->dtype != PT_FLOAT || !(p->dense || p->joined))
        memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    if (c->in[0]->dtype == PT_FLOAT)
        run_f32(c, p);
    else
        run_f64(c, p);
    return PT_OK;
}

const struct pt_op pt_grad_product = {.type = "ProductGrad",
                                      .since = {1},
                                      .min_in = 3,
                                      .max_in = 3,
                                      .max_out = 1,
                                      .types = {PT_TS_FLOAT},
                                      .flags = PT_OP_SAME_TYPE,
                                      .params_size = sizeof(struct product),
                                      .infer = product_infer,
                                      .run = product_run};
