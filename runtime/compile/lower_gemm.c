/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_gemm.c: Gemm and MatMul as one kernel call. Batch axes and rows whose strides continue one another are merged; what is left
 * (at most two axes) is the kernel's outer and inner loop, so that attention reads and writes heads where they are.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/gemm.h"

struct gemm_step {
    struct pt_gemm g;
    bool trans_a;   /* A is transposed into the workspace first */
    size_t a_bytes; /* of that */
};

/* in: a, b, bias, residual */
static int gemm_run(struct pt_op_ctx *c)
{
    const struct gemm_step *p = c->params;
    struct pt_gemm g = p->g;
    char *work = c->scratch;
    g.a = c->in[0]->data;
    g.c = c->out[0]->data;
    if (!g.packed_b)
        g.b = c->in[1]->data;
    if (c->in[2])
        g.ep.bias = c->in[2]->data;
    if (c->in[3])
        g.ep.residual = c->in[3]->data;
    if (p->trans_a) {
        pt_kernels()->transpose(g.k, g.m, g.a, g.m, (float *)(void *)work, g.k);
        g.a = (const float *)(const void *)work;
        work += p->a_bytes;
    }
    pt_kernels()->gemm(&g, work, c->threads);
    return PT_OK;
}

struct pack_job {
    const struct pt_kernels *k;
    const struct pt_gemm *g;
    const struct pt_tensor *b;
};

static int fill_gemm(void *arg, void *out, struct pt_err *err)
{
    const struct pack_job *j = arg;
    pt_auto_free float *copy = NULL;
    const float *b = j->b->data;
    if ((uintptr_t)b % sizeof *b) {
        if (!(copy = pt_alloc_aligned(j->b->size_bytes)))
            return pt_fail(err, PT_ENOMEM, "out of memory packing weights");
        memcpy(copy, j->b->data, j->b->size_bytes);
        b = copy;
    }
    j->k->gemm_pack(j->g->k, j->g->n, b, j->g->ldb, j->g->trans_b, out);
    return PT_OK;
}

/* Packs a constant B that all products share, sizes the workspace and emits the step. */
static int emit_gemm(struct pt_lower *l, struct gemm_step *p, const int in[4])
{
    struct pt_gemm *g = &p->g;
    const struct pt_slot *b = pt_lower_slot(l, in[1]);
    if (b->place == PT_PLACE_CONST && b->t.rank == 2 && g->b_stride[0] == 0 && g->b_stride[1] == 0) {
        struct pack_job job = {l->k, g, &b->t};
        uint64_t shape[4] = {g->k, g->n, g->ldb, g->trans_b};
        g->packed_b = pt_lower_pack(l, b, pt_hash64(shape, sizeof shape, 2) | 1, l->k->gemm_pack_size(g->k, g->n), fill_gemm, &job);
        if (!g->packed_b)
            return PT_ENOMEM;
    }
    int ins[4] = {in[0], g->packed_b ? -1 : in[1], in[2], in[3]};
    p->a_bytes = p->trans_a ? (g->m * g->k * sizeof(float) + 63) / 64 * 64 : 0;
    struct pt_step_desc d = {.run = gemm_run, .params = p, .in = ins, .in_count = 4, .out = pt_lower_out(l, 0), .inplace = 1u << 3,
                             .scratch_bytes = p->a_bytes + l->k->gemm_workspace(g, l->o->threads)};
    int rc = pt_lower_emit(l, &d, PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

static void set_act(struct pt_gemm *g, const struct pt_fusion *f)
{
    g->ep.act = f->act;
    g->ep.lo = f->lo;
    g->ep.hi = f->hi;
}

static int plain_inputs(struct pt_lower *l, int in[4])
{
    for (int i = 0; i < 4; i++) {
        int slot = pt_lower_in(l, i);
        in[i] = slot < 0 ? -1 : pt_lower_to(l, slot, PT_LAYOUT_PLAIN);
        if (slot >= 0 && in[i] < 0)
            return in[i];
    }
    return PT_OK;
}

/* --- Gemm ------------------------------------------------------------------------------------------------------------------------- */

int pt_lower_gemm(struct pt_lower *l)
{
    const struct pt_gemm_params *gp = l->item->params;
    const struct pt_slot *a = pt_lower_slot(l, pt_lower_in(l, 0)), *bias = pt_lower_given(l, pt_lower_in(l, 2));
    if (a->t.dtype != PT_FLOAT || gp->m == 0 || gp->n == 0 || gp->k == 0)
        return 0;
    bool per_column = bias && pt_tensor_count(&bias->t) == gp->n && (gp->m == 1 || bias->t.rank < 2 || bias->t.dims[0] == 1);
    bool full = bias && !per_column && pt_tensor_count(&bias->t) == gp->m * gp->n && bias->t.rank == 2;
    if (bias && (gp->beta != 1 || (!per_column && !(full && pt_lower_in(l, 3) < 0))))
        return 0;
    struct gemm_step *p = pt_lower_alloc(l, sizeof *p);
    int in[4], rc = plain_inputs(l, in);
    if (!p || rc < 0)
        return PT_ENOMEM;
    p->trans_a = gp->trans_a && gp->m > 1 && gp->k > 1;
    p->g = (struct pt_gemm){.m = (size_t)gp->m, .n = (size_t)gp->n, .k = (size_t)gp->k, .lda = (size_t)gp->k, .trans_b = gp->trans_b,
                            .ldb = (size_t)(gp->trans_b ? gp->k : gp->n), .ldc = (size_t)gp->n, .alpha = gp->alpha};
    if (gp->trans_a && gp->k == 1)
        p->g.lda = 1;
    p->g.ep.residual_ld = (size_t)gp->n;
    set_act(&p->g, &l->item->node->fusion);
    if (full) {
        in[3] = in[2];
        in[2] = -1;
    }
    return emit_gemm(l, p, in);
}

/* --- MatMul ----------------------------------------------------------------------------------------------------------------------- */

struct axis {
    int64_t n, a, b, c;
};

/* Outer to inner, rows last; axes of one drop out, neighbours that continue each other merge. Returns how many are left. */
static int merge_axes(const struct pt_matmul_params *p, struct axis *out)
{
    struct axis all[PT_MAX_RANK];
    int n = 0, count = 0;
    for (int i = 0; i < p->axes; i++)
        if (p->dims[i] != 1)
            all[n++] = (struct axis){p->dims[i], p->a[i], p->b[i], p->c[i]};
    all[n++] = (struct axis){p->m, p->a_row, 0, p->c_row};
    for (int i = 0; i < n; i++) {
        struct axis *prev = count ? &out[count - 1] : NULL;
        bool rows = i == n - 1;
        if (prev && prev->a == all[i].a * all[i].n && prev->c == all[i].c * all[i].n && (rows ? prev->b == 0 : prev->b == all[i].b * all[i].n)) {
            *prev = (struct axis){prev->n * all[i].n, all[i].a, all[i].b, all[i].c};
            continue;
        }
        out[count++] = all[i];
    }
    return count;
}

int pt_lower_matmul(struct pt_lower *l)
{
    const struct pt_matmul_params *mp = l->item->params;
    const struct pt_slot *y = pt_lower_slot(l, pt_lower_out(l, 0));
    struct axis ax[PT_MAX_RANK];
    if (y->t.dtype != PT_FLOAT || pt_tensor_count(&y->t) == 0 || mp->k == 0)
        return 0;
    bool a_unit = mp->a_col == 1 || mp->k == 1, c_unit = mp->c_col == 1 || mp->n == 1, b_unit = mp->b_col == 1 || mp->n == 1,
         b_trans = mp->b_row == 1 || mp->k == 1;
    int count = merge_axes(mp, ax);
    if (!a_unit || !c_unit || (!b_unit && !b_trans) || count > 3)
        return 0;
    struct gemm_step *p = pt_lower_alloc(l, sizeof *p);
    int in[4], rc = plain_inputs(l, in);
    if (!p || rc < 0)
        return PT_ENOMEM;
    const struct axis *rows = &ax[count - 1];
    float alpha = l->item->node->fusion.alpha;
    p->g = (struct pt_gemm){.m = (size_t)rows->n, .n = (size_t)mp->n, .k = (size_t)mp->k, .lda = (size_t)rows->a, .ldc = (size_t)rows->c,
                            .trans_b = !b_unit, .ldb = (size_t)(b_unit ? mp->b_row : mp->b_col), .alpha = alpha != 0 ? alpha : 1};
    p->g.ep.residual_ld = p->g.ldc;
    for (int i = 0; i < count - 1; i++) {
        size_t *loops[2] = {&p->g.outer, &p->g.inner};
        int at = i + 3 - count; /* a single axis is the inner loop */
        *loops[at] = (size_t)ax[i].n;
        p->g.a_stride[at] = (size_t)ax[i].a;
        p->g.b_stride[at] = (size_t)ax[i].b;
        p->g.c_stride[at] = (size_t)ax[i].c;
    }
    set_act(&p->g, &l->item->node->fusion);
    return emit_gemm(l, p, in);
}
