/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_gemm.c: Gemm and MatMul as one kernel call. Batch axes and rows whose strides continue one another are merged; what is left
 * (at most two axes) is the kernel's outer and inner loop, so that attention reads and writes heads where they are.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/gemm.h"
#include "runtime/ops/ms_fused.h"
#include "runtime/ops/table.h"

struct axis {
    int64_t n, a, b, c; /* elements between neighbours in each operand */
};

struct gemm_step {
    struct pt_gemm g;
    struct pt_fused fused;
    struct axis axes[PT_MAX_RANK]; /* MatMul: batch axes and rows before merging */
    int axis_count;                /* 0 for Gemm */
    bool trans_a;                  /* A is transposed into the workspace first */
    size_t a_bytes;                /* of that */
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
    g.alpha = p->fused.alpha;
    g.ep.act = p->fused.act;
    g.ep.lo = p->fused.lo;
    g.ep.hi = p->fused.hi;
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
    struct pt_gemm g;
    struct pt_tensor b;
    enum pt_dtype stored;
};

static int fill_gemm(void *arg, void *out, struct pt_err *err)
{
    const struct pack_job *j = arg;
    pt_auto_free float *copy = NULL;
    const float *b = pt_lower_floats(&j->b, j->stored, &copy);
    if (!b)
        return pt_fail(err, PT_ENOMEM, "out of memory packing weights");
    j->k->gemm_pack(j->g.k, j->g.n, b, j->g.ldb, j->g.trans_b, out);
    return PT_OK;
}

/* Packs a constant B that all products share, sizes the workspace and emits the step. */
static int emit_gemm(struct pt_lower *l, struct gemm_step *p, const int in[4])
{
    struct pt_gemm *g = &p->g;
    const struct pt_slot *b = pt_lower_slot(l, in[1]);
    if (b->place == PT_PLACE_CONST && b->t.rank == 2 && g->b_stride[0] == 0 && g->b_stride[1] == 0) {
        const struct pack_job job = {l->k, *g, b->t, b->stored};
        uint64_t shape[4] = {g->k, g->n, g->ldb, g->trans_b};
        g->packed_b = pt_lower_pack_later(l, b, pt_hash64(shape, sizeof shape, 2) | 1, l->k->gemm_pack_size(g->k, g->n), fill_gemm, &job, sizeof job);
        if (!g->packed_b)
            return PT_ENOMEM;
    }
    int ins[4] = {in[0], g->packed_b ? -1 : in[1], in[2], in[3]};
    p->a_bytes = p->trans_a ? (g->m * g->k * sizeof(float) + 63) / 64 * 64 : 0;
    struct pt_step_desc d = {.run = gemm_run,
                             .params = p,
                             .in = ins,
                             .in_count = 4,
                             .out = pt_lower_out(l, 0),
                             .inplace = 1u << 3,
                             .scratch_bytes = p->a_bytes + l->k->gemm_workspace(g, l->o->threads),
                             .fused = &p->fused};
    int rc = pt_lower_emit(l, &d, PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

static int plain_inputs(struct pt_lower *l, int in[4])
{
    in[3] = -1;
    for (int i = 0; i < 3; i++) {
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
    if (bias && (gp->beta != 1 || (!per_column && !full)))
        return 0;
    struct gemm_step *p = pt_lower_alloc(l, sizeof *p);
    int in[4], rc = plain_inputs(l, in);
    if (!p || rc < 0)
        return PT_ENOMEM;
    p->trans_a = gp->trans_a && gp->m > 1 && gp->k > 1;
    p->g = (struct pt_gemm){.m = (size_t)gp->m,
                            .n = (size_t)gp->n,
                            .k = (size_t)gp->k,
                            .lda = (size_t)gp->k,
                            .trans_b = gp->trans_b,
                            .ldb = (size_t)(gp->trans_b ? gp->k : gp->n),
                            .ldc = (size_t)gp->n};
    if (gp->trans_a && gp->k == 1)
        p->g.lda = 1;
    p->g.ep.residual_ld = (size_t)gp->n;
    p->fused = (struct pt_fused){.alpha = gp->alpha, .bias = 2, .residual = 3, .columns = gp->n};
    if (full) {
        in[3] = in[2];
        in[2] = -1;
    }
    return emit_gemm(l, p, in);
}

/* --- MatMul ----------------------------------------------------------------------------------------------------------------------- */

/* Axes outer to inner, the rows last; axes of one drop out, neighbours that continue each other merge. */
static int merge_axes(const struct axis *all, int n, struct axis *out)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        struct axis *prev = count ? &out[count - 1] : NULL;
        bool rows = i == n - 1;
        if (!rows && all[i].n == 1)
            continue;
        if (prev && prev->a == all[i].a * all[i].n && prev->c == all[i].c * all[i].n && (rows ? prev->b == 0 : prev->b == all[i].b * all[i].n)) {
            *prev = (struct axis){prev->n * all[i].n, all[i].a, all[i].b, all[i].c};
            continue;
        }
        out[count++] = all[i];
    }
    return count;
}

/* Sets the kernel's loops; false when there are more axes than it has. */
static bool set_loops(struct gemm_step *p)
{
    struct axis ax[PT_MAX_RANK];
    struct pt_gemm *g = &p->g;
    int count = merge_axes(p->axes, p->axis_count, ax);
    if (count > 3)
        return false;
    g->m = (size_t)ax[count - 1].n;
    g->lda = (size_t)ax[count - 1].a;
    g->ldc = g->ep.residual_ld = (size_t)ax[count - 1].c;
    for (int at = 0; at < 2; at++) {
        int i = at + count - 3; /* a single axis is the inner loop */
        size_t n = i < 0 ? 1 : (size_t)ax[i].n;
        *(at ? &g->inner : &g->outer) = n;
        g->a_stride[at] = i < 0 ? 0 : (size_t)ax[i].a;
        g->b_stride[at] = i < 0 ? 0 : (size_t)ax[i].b;
        g->c_stride[at] = i < 0 ? 0 : (size_t)ax[i].c;
    }
    return true;
}

static bool set_matmul(struct gemm_step *p, const struct pt_matmul_params *mp, const struct pt_view *a, const struct pt_view *b)
{
    int64_t a_row = a->rank > 1 ? a->stride[a->rank - 2] : mp->k, a_col = a->stride[a->rank - 1];
    int64_t b_row = b->stride[b->rank > 1 ? b->rank - 2 : 0], b_col = b->rank > 1 ? b->stride[b->rank - 1] : 1;
    bool b_unit = b_col == 1 || mp->n == 1, b_trans = b_row == 1 || mp->k == 1;
    if ((a_col != 1 && mp->k != 1) || (!b_unit && !b_trans))
        return false;
    for (int i = 0; i < mp->axes; i++) {
        int ia = a->rank - 2 - mp->axes + i, ib = b->rank - 2 - mp->axes + i;
        p->axes[i] =
            (struct axis){mp->dims[i], ia < 0 || a->dims[ia] == 1 ? 0 : a->stride[ia], ib < 0 || b->dims[ib] == 1 ? 0 : b->stride[ib], mp->c[i]};
    }
    p->axes[mp->axes] = (struct axis){mp->m, a_row, 0, mp->n};
    p->axis_count = mp->axes + 1;
    p->g = (struct pt_gemm){.n = (size_t)mp->n, .k = (size_t)mp->k, .trans_b = !b_unit, .ldb = (size_t)(b_unit ? b_row : b_col)};
    return set_loops(p);
}

/* Looks through what made the operands, where the kernel can read the sources as well. Nothing is taken apart that it cannot. */
static void peel_operands(struct pt_lower *l, struct gemm_step *p, const struct pt_matmul_params *mp, struct pt_view *a, struct pt_view *b)
{
    struct pt_view *views[2] = {a, b};
    for (int k = 0; k < 2; k++) {
        struct pt_view before = *views[k], after = before;
        float alpha = 1;
        if (!pt_view_peel(l, &after, &alpha, false))
            continue;
        *views[k] = after;
        struct gemm_step trial = *p;
        if (!set_matmul(&trial, mp, a, b)) {
            *views[k] = before;
            continue;
        }
        pt_view_peel(l, &before, &alpha, true);
        struct pt_fused fused = p->fused;
        *p = trial;
        p->fused = fused;
        p->fused.alpha *= alpha;
    }
}

int pt_lower_matmul(struct pt_lower *l)
{
    const struct pt_matmul_params *mp = l->item->params;
    const struct pt_slot *y = pt_lower_slot(l, pt_lower_out(l, 0));
    if (y->t.dtype != PT_FLOAT || pt_tensor_count(&y->t) == 0 || mp->k == 0)
        return 0;
    struct gemm_step *p = pt_lower_alloc(l, sizeof *p);
    int in[4], rc = plain_inputs(l, in);
    if (!p || rc < 0)
        return PT_ENOMEM;
    struct pt_view a, b;
    pt_view_slot(l, in[0], &a);
    pt_view_slot(l, in[1], &b);
    if (!set_matmul(p, mp, &a, &b))
        return 0;
    p->fused = (struct pt_fused){.alpha = 1, .scales = true, .bias = 2, .residual = 3, .columns = mp->n};
    peel_operands(l, p, mp, &a, &b);
    in[0] = a.slot;
    in[1] = b.slot;
    return emit_gemm(l, p, in);
}

/* The operand with its axes in another order. */
static void view_permuted(struct pt_lower *l, int slot, const int *order, struct pt_view *v)
{
    struct pt_view plain;
    pt_view_slot(l, slot, &plain);
    *v = plain;
    for (int i = 0; i < plain.rank; i++) {
        v->dims[i] = plain.dims[order[i]];
        v->stride[i] = plain.stride[order[i]];
    }
}

int pt_lower_fused_matmul(struct pt_lower *l)
{
    const struct pt_ms_fused_matmul_params *mp = l->item->params;
    const struct pt_slot *y = pt_lower_slot(l, pt_lower_out(l, 0));
    if (y->t.dtype != PT_FLOAT || pt_tensor_count(&y->t) == 0 || mp->mm.k == 0)
        return 0;
    struct gemm_step *p = pt_lower_alloc(l, sizeof *p);
    int in[4], rc = plain_inputs(l, in);
    if (!p || rc < 0)
        return PT_ENOMEM;
    struct pt_view a, b;
    view_permuted(l, in[0], mp->a_order, &a);
    view_permuted(l, in[1], mp->b_order, &b);
    if (!set_matmul(p, &mp->mm, &a, &b))
        return 0;
    p->fused = (struct pt_fused){.alpha = mp->alpha, .scales = true, .bias = 2, .residual = 3, .columns = mp->mm.n};
    return emit_gemm(l, p, in);
}

/* A transposition of the result that leaves its columns where they are: only the strides of C change. */
int pt_fuse_transpose(struct pt_lower *l, const int *perm)
{
    int in = pt_lower_in(l, 0);
    struct pt_step *s = pt_fuse_source(l, in);
    const struct pt_tensor *t = &pt_lower_slot(l, in)->t, *out = &pt_lower_slot(l, pt_lower_out(l, 0))->t;
    if (s && s->run != gemm_run)
        return pt_fuse_transpose_attention(l, s, perm);
    if (!s || pt_lower_operands(l, s)[3] >= 0)
        return 0;
    struct gemm_step *p = s->params, old = *p;
    if (p->axis_count != t->rank - 1 || perm[t->rank - 1] != t->rank - 1)
        return 0;
    int64_t stride = out->dims[t->rank - 1];
    for (int i = t->rank - 2; i >= 0; i--) {
        p->axes[perm[i]].c = stride;
        stride *= out->dims[i];
    }
    if (!set_loops(p)) {
        *p = old;
        return 0;
    }
    s->scratch_bytes = l->k->gemm_workspace(&p->g, l->o->threads);
    pt_fuse_redirect(l, s, in);
    return 1;
}
