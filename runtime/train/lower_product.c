/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_product.c: the derivatives of matrix products by the kernel. That reads its first operand row by row, so one that is asked for transposed is
 * turned first.
 */
#include "runtime/train/lower.h"

#include "runtime/train/product.h"

struct product_step {
    struct pt_product_grad p;
    size_t turned_bytes; /* of a transposed, in front of the workspace */
};

struct turn_job {
    size_t rows, cols;
    const float *x;
    float *y;
};

static struct pt_gemm gemm_of(const struct pt_product_grad *p)
{
    int64_t k = p->joined ? p->k * p->batch : p->k;
    struct pt_gemm g = {.m = (size_t)p->m, .n = (size_t)p->n, .k = (size_t)k, .alpha = p->alpha, .trans_b = p->trans[1]};
    g.lda = g.k;
    g.ldb = g.trans_b ? g.k : g.n;
    g.ldc = g.n;
    if (p->dense && !p->joined) {
        g.outer = (size_t)p->batch;
        g.a_stride[0] = g.m * g.k;
        g.b_stride[0] = g.k * g.n;
        g.c_stride[0] = g.m * g.n;
    }
    return g;
}

static void turn_piece(void *arg, size_t begin, size_t end)
{
    const struct turn_job *j = arg;
    for (size_t i = begin; i < end; i++)
        pt_kernels()->transpose(j->rows, j->cols, j->x + i * j->rows * j->cols, j->cols, j->y + i * j->rows * j->cols, j->rows);
}

/* Products that meet in one matrix, which begins as zero. */
static void add_products(struct pt_op_ctx *c, const struct product_step *s, struct pt_gemm g)
{
    const struct pt_product_grad *p = &s->p;
    float *turned = c->scratch;
    memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    g.ep.residual_ld = g.ldc;
    for (int64_t i = 0; i < p->batch; i++) {
        int64_t at[3];
        pt_product_at(p, i, at);
        g.a = (const float *)c->in[0]->data + at[0] * p->m * p->k;
        g.b = (const float *)c->in[1]->data + at[1] * p->k * p->n;
        g.c = (float *)c->out[0]->data + at[2] * p->m * p->n;
        g.ep.residual = g.c;
        if (p->trans[0]) {
            pt_kernels()->transpose(g.k, g.m, g.a, g.m, turned, g.k);
            g.a = turned;
        }
        pt_kernels()->gemm(&g, (char *)c->scratch + s->turned_bytes, c->threads);
    }
}

static int product_run(struct pt_op_ctx *c)
{
    const struct product_step *s = c->params;
    struct pt_gemm g = gemm_of(&s->p);
    if (!g.outer && !s->p.joined && s->p.batch > 0) {
        add_products(c, s, g);
        return PT_OK;
    }
    g.a = c->in[0]->data;
    g.b = c->in[1]->data;
    g.c = c->out[0]->data;
    if (s->p.trans[0]) {
        struct turn_job j = {g.k, g.m, g.a, c->scratch};
        pt_parallel_for(c->threads, s->p.joined ? 1 : g.outer, 1, turn_piece, &j);
        g.a = c->scratch;
    }
    pt_kernels()->gemm(&g, (char *)c->scratch + s->turned_bytes, c->threads);
    return PT_OK;
}

int pt_lower_product_grad(struct pt_lower *l)
{
    const struct pt_product_grad *p = l->item->params;
    if (pt_lower_slot(l, pt_lower_in(l, 0))->t.dtype != PT_FLOAT || pt_tensor_count(&pt_lower_slot(l, pt_lower_out(l, 0))->t) == 0 || p->batch == 0)
        return 0;
    struct product_step *s = pt_lower_alloc(l, sizeof *s);
    int in[2];
    if (!s)
        return PT_ENOMEM;
    s->p = *p;
    struct pt_gemm g = gemm_of(p);
    if (p->trans[0])
        s->turned_bytes = (g.m * g.k * (g.outer ? g.outer : 1) * sizeof(float) + 63) / 64 * 64;
    for (int i = 0; i < 2; i++)
        if ((in[i] = pt_lower_to(l, pt_lower_in(l, i), PT_LAYOUT_PLAIN)) < 0)
            return in[i];
    int rc = pt_lower_emit(l,
                           &(struct pt_step_desc){.run = product_run,
                                                  .params = s,
                                                  .in = in,
                                                  .in_count = 2,
                                                  .out = pt_lower_out(l, 0),
                                                  .scratch_bytes = s->turned_bytes + l->k->gemm_workspace(&g, l->o->threads)},
                           PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}
