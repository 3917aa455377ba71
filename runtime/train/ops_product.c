/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_product.c: the derivative of a matrix product by one of its factors is again a product, of the other factor and of dy, summed over what
 * broadcasting repeated. Where the factor that is asked for is one matrix and the others are many, the batch is part of the sum: one long product
 * (`joined`).
 */
#include "runtime/train/ops.h"

#include "runtime/ops/types.h"
#include "runtime/train/product.h"

static int fit_batch(struct pt_op_ctx *c, struct pt_product_grad *p)
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

static int product_infer(struct pt_op_ctx *c)
{
    struct pt_product_grad *p = c->params;
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
    return PT_OK;
}

void pt_product_at(const struct pt_product_grad *p, int64_t i, int64_t at[3])
{
    at[0] = at[1] = at[2] = 0;
    for (int axis = p->rank - 1; axis >= 0; axis--) {
        for (int k = 0; k < 3; k++)
            at[k] += i % p->dims[axis] * p->stride[k][axis];
        i /= p->dims[axis];
    }
}

PT_REALS(multiply, (const struct pt_op_ctx *c, const struct pt_product_grad *p, const int64_t at[3]), {
    const real *x = (const real *)c->in[0]->data + at[0] * p->m * p->k;
    const real *y = (const real *)c->in[1]->data + at[1] * p->k * p->n;
    real *z = (real *)c->out[0]->data + at[2] * p->m * p->n;
    for (int64_t r = 0; r < p->m; r++)
        for (int64_t s = 0; s < p->n; s++) {
            double sum = 0;
            for (int64_t t = 0; t < p->k; t++)
                sum += (double)x[p->trans[0] ? t * p->m + r : r * p->k + t] * (double)y[p->trans[1] ? s * p->k + t : t * p->n + s];
            z[r * p->n + s] += (real)(sum * (double)p->alpha);
        }
})

static int product_run(struct pt_op_ctx *c)
{
    const struct pt_product_grad *p = c->params;
    memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    for (int64_t i = 0; i < p->batch; i++) {
        int64_t at[3];
        pt_product_at(p, i, at);
        PT_REAL_CALL(c, multiply, c, p, at);
    }
    return PT_OK;
}

const struct pt_op pt_grad_product = {.type = "ProductGrad",
                                      .since = {1},
                                      .min_in = 3,
                                      .max_in = 3,
                                      .max_out = 1,
                                      .types = {PT_TS_FLOAT},
                                      .flags = PT_OP_SAME_TYPE,
                                      .params_size = sizeof(struct pt_product_grad),
                                      .infer = product_infer,
                                      .run = product_run};
