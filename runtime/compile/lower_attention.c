/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_attention.c: JoinedAttention as one kernel call for each head and part of its queries. Heads are read and written where they are: the
 * transpositions around are strides only.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/joined_attention.h"
#include "runtime/ops/table.h"

#define CHUNK_ROWS 96 /* the fewest queries for which keys are packed once more */

enum { Y = PT_JOINED_COUNT, PLACES };

struct attention_step {
    struct pt_attend a; /* of one head, without its pointers */
    float alpha;
    bool divide;
    int axes;
    int64_t dims[PT_MAX_RANK], stride[PLACES][PT_MAX_RANK]; /* batch axes, and elements along them */
    size_t heads, chunks, slots, work_bytes;
};

struct attention_job {
    const struct attention_step *s;
    struct pt_attend a;
    char *work;
    size_t next; /* task to claim, atomic */
};

static void attend_task(const struct attention_job *j, size_t task, void *work)
{
    const struct attention_step *s = j->s;
    struct pt_attend a = j->a;
    size_t head = task / s->chunks, chunk = task % s->chunks, row = chunk * a.m / s->chunks;
    int64_t at[PLACES] = {0};
    for (int i = s->axes - 1; i >= 0; i--) {
        int64_t index = (int64_t)(head % (size_t)s->dims[i]);
        head /= (size_t)s->dims[i];
        for (int k = 0; k < PLACES; k++)
            at[k] += index * s->stride[k][i];
    }
    a.m = (chunk + 1) * a.m / s->chunks - row;
    a.q += (size_t)at[PT_JOINED_Q] + row * a.q_ld;
    a.k += at[PT_JOINED_KT];
    a.v += at[PT_JOINED_V];
    a.y += (size_t)at[Y] + row * a.y_ld;
    if (a.bias)
        a.bias += (size_t)at[PT_JOINED_BIAS] + row * a.bias_ld;
    if (a.choice)
        a.choice += (size_t)at[PT_JOINED_CHOICE] + row * a.choice_ld;
    pt_kernels()->attend(&a, work);
}

static void attend_slots(void *arg, size_t begin, size_t end)
{
    struct attention_job *j = arg;
    for (size_t slot = begin; slot < end; slot++)
        for (size_t t; (t = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < j->s->heads * j->s->chunks;)
            attend_task(j, t, j->work + slot * j->s->work_bytes);
}

static int attention_run(struct pt_op_ctx *c)
{
    const struct attention_step *s = c->params;
    struct attention_job j = {.s = s, .a = s->a, .work = c->scratch};
    const struct pt_tensor *scale = c->in[PT_JOINED_SCALE];
    float factor = scale ? *(const float *)scale->data : 1;
    j.a.scale = s->alpha * (s->divide ? 1 / factor : factor);
    j.a.q = c->in[PT_JOINED_Q]->data;
    j.a.k = c->in[PT_JOINED_KT]->data;
    j.a.v = c->in[PT_JOINED_V]->data;
    j.a.bias = c->in[PT_JOINED_BIAS] ? c->in[PT_JOINED_BIAS]->data : NULL;
    j.a.choice = c->in[PT_JOINED_CHOICE] ? c->in[PT_JOINED_CHOICE]->data : NULL;
    j.a.y = c->out[0]->data;
    pt_parallel_for(c->threads, s->slots, 1, attend_slots, &j);
    return PT_OK;
}

/* Strides of operand k along the batch axes. */
static void set_batch(struct attention_step *s, int k, const struct pt_view *v)
{
    for (int i = 0; i < s->axes; i++) {
        int axis = v->rank - 2 - s->axes + i;
        s->stride[k][i] = axis < 0 || v->dims[axis] == 1 ? 0 : v->stride[axis];
    }
}

/* Elements from row to row of the matrix, 0 where it has one. */
static size_t row_stride(const struct pt_view *v)
{
    return v->rank < 2 || v->dims[v->rank - 2] == 1 ? 0 : (size_t)v->stride[v->rank - 2];
}

static bool has_columns(const struct pt_view *v)
{
    return v->stride[v->rank - 1] == 1 || v->dims[v->rank - 1] == 1;
}

/* Can the kernel read operand k so? Sets what it needs for that. */
static bool set_operand(struct attention_step *s, int k, const struct pt_view *v)
{
    struct pt_attend *a = &s->a;
    set_batch(s, k, v);
    switch (k) {
    case PT_JOINED_Q:
        a->q_ld = row_stride(v);
        return has_columns(v);
    case PT_JOINED_KT:
        a->k_columns = has_columns(v);
        a->k_ld = (size_t)v->stride[v->rank - (a->k_columns ? 2 : 1)];
        return v->dims[v->rank - 1] == (int64_t)a->n && (a->k_columns || v->stride[v->rank - 2] == 1 || a->width == 1);
    case PT_JOINED_V:
        a->v_ld = (size_t)v->stride[v->rank - 2];
        return has_columns(v);
    case PT_JOINED_BIAS:
        a->bias_ld = row_stride(v);
        break;
    default:
        a->choice_ld = row_stride(v);
    }
    return v->rank >= 1 && v->dims[v->rank - 1] == (int64_t)a->n;
}

/* The operand as it is, or seen through what made it where the kernel can read that as well. */
static int take_operand(struct pt_lower *l, struct attention_step *s, int k, int *in)
{
    struct pt_view plain, peeled;
    float alpha = 1;
    int slot = pt_lower_in(l, k);
    *in = slot < 0 ? -1 : pt_lower_to(l, slot, PT_LAYOUT_PLAIN);
    if (*in < 0 || k == PT_JOINED_SCALE)
        return slot < 0 ? 1 : *in < 0 ? *in : 1;
    pt_view_slot(l, *in, &plain);
    peeled = plain;
    if (k <= PT_JOINED_V && pt_view_peel(l, &peeled, k == PT_JOINED_V ? NULL : &alpha, false) && set_operand(s, k, &peeled)) {
        *in = peeled.slot;
        s->alpha *= alpha;
        return 1;
    }
    return set_operand(s, k, &plain);
}

/* What was looked through is not needed any more. */
static void drop_peeled(struct pt_lower *l, const int in[PT_JOINED_COUNT])
{
    for (int k = 0; k <= PT_JOINED_V; k++) {
        struct pt_view v;
        float alpha;
        pt_view_slot(l, pt_lower_to(l, pt_lower_in(l, k), PT_LAYOUT_PLAIN), &v);
        if (v.slot != in[k])
            pt_view_peel(l, &v, k == PT_JOINED_V ? NULL : &alpha, true);
    }
}

static void size_work(struct pt_lower *l, struct attention_step *s)
{
    size_t threads = (size_t)(l->o->threads > 0 ? l->o->threads : 1), most = s->a.m / CHUNK_ROWS, wanted = (4 * threads + s->heads - 1) / s->heads;
    s->chunks = threads == 1 || most < 2 ? 1 : wanted < most ? wanted : most;
    s->slots = s->heads * s->chunks < threads ? s->heads * s->chunks : threads;
    s->work_bytes = l->k->attend_workspace(&s->a);
}

int pt_lower_attention(struct pt_lower *l)
{
    const struct pt_joined_attention_params *p = l->item->params;
    const struct pt_slot *y = pt_lower_slot(l, pt_lower_out(l, 0));
    if (pt_tensor_count(&y->t) == 0 || p->n == 0 || p->width == 0)
        return 0;
    struct attention_step *s = pt_lower_alloc(l, sizeof *s);
    int in[PT_JOINED_COUNT];
    if (!s)
        return PT_ENOMEM;
    *s = (struct attention_step){.alpha = p->alpha, .divide = p->divide, .axes = p->axes, .heads = (size_t)pt_dims_product(p->dims, p->axes)};
    s->a = (struct pt_attend){.m = (size_t)p->m,
                              .n = (size_t)p->n,
                              .width = (size_t)p->width,
                              .v_width = (size_t)p->v_width,
                              .fill = p->fill,
                              .keep = p->keep,
                              .bias_last = p->bias_last,
                              .zero_nan = p->zero_nan,
                              .y_ld = (size_t)p->v_width};
    memcpy(s->dims, p->dims, sizeof s->dims);
    for (int k = 0; k < PT_JOINED_COUNT; k++) {
        int rc = take_operand(l, s, k, &in[k]);
        if (rc <= 0)
            return rc;
    }
    drop_peeled(l, in);
    struct pt_view out;
    pt_view_slot(l, pt_lower_out(l, 0), &out);
    set_batch(s, Y, &out);
    size_work(l, s);
    int rc = pt_lower_emit(l,
                           &(struct pt_step_desc){.run = attention_run,
                                                  .params = s,
                                                  .in = in,
                                                  .in_count = PT_JOINED_COUNT,
                                                  .out = pt_lower_out(l, 0),
                                                  .scratch_bytes = s->slots * s->work_bytes},
                           PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

/* A transposition of the result that leaves its columns where they are: only the strides of y change. */
int pt_fuse_transpose_attention(struct pt_lower *l, struct pt_step *s, const int *perm)
{
    const struct pt_tensor *out = &pt_lower_slot(l, pt_lower_out(l, 0))->t;
    if (s->run != attention_run || perm[out->rank - 1] != out->rank - 1)
        return 0;
    struct attention_step *p = s->params;
    int64_t stride = out->dims[out->rank - 1], all[PT_MAX_RANK];
    for (int i = out->rank - 2; i >= 0; i--) {
        all[perm[i]] = stride;
        stride *= out->dims[i];
    }
    memcpy(p->stride[Y], all, (size_t)p->axes * sizeof *all);
    p->a.y_ld = (size_t)all[p->axes];
    pt_fuse_redirect(l, s, pt_lower_in(l, 0));
    return 1;
}
