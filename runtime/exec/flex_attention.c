/* SPDX-License-Identifier: Apache-2.0
 *
 * flex_attention.c: FlexAttention: attention with graphs between its parts: one may change the scores, one the weights that softmax makes of them.
 *
 * Everything lies in the output's room: first the output, then what leads to it. The products run in float32, or in float64 where an operand or the
 * precision asks for it; the graphs see the type that 'softmax_precision' names.
 */
#include "runtime/exec/control.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/types.h"

#include <math.h>

struct flex {
    struct pt_attention a;
    struct pt_tensor scores, seen; /* [batch, heads, queries, keys] in the products' type; as a graph sees them */
    struct pt_tensor wide[3];      /* operands in the products' type */
    void *packs;
};

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

static int check_operands(struct pt_control *c, struct flex *f)
{
    const struct pt_tensor *t[3];
    for (int i = 0; i < 3; i++) {
        t[i] = pt_control_in(c, i);
        if (!t[i] || t[i]->rank != 4 || !(PT_T(t[i]->dtype) & PT_TS_REAL) || t[i]->dtype != t[0]->dtype)
            return pt_control_fail(c, PT_EINVAL, "input %d is %s, must have rank 4 and the type of the others, a real one", i,
                                   t[i] ? PT_SHAPE(t[i]) : "missing");
    }
    const int64_t *q = t[0]->dims, *k = t[1]->dims, *v = t[2]->dims;
    if (k[0] != q[0] || v[0] != q[0] || v[1] != k[1] || v[2] != k[2] || k[3] != q[3] || !k[1] || q[1] % k[1])
        return pt_control_fail(c, PT_EINVAL, "inputs Q %s, K %s and V %s do not go together", PT_SHAPE(t[0]), PT_SHAPE(t[1]), PT_SHAPE(t[2]));
    f->a.batch = q[0];
    f->a.heads = q[1];
    f->a.kv_heads = k[1];
    f->a.q_len = q[2];
    f->a.kv_len = k[2];
    f->a.width = q[3];
    f->a.v_width = v[3];
    return PT_OK;
}

static int read_attrs(struct pt_control *c, struct flex *f)
{
    const struct pt_onnx_attr *scale = pt_node_attr(c->node, "scale"), *precision = pt_node_attr(c->node, "softmax_precision");
    bool wide = c->in[0]->dtype == PT_DOUBLE;
    if ((scale && scale->type != PT_ATTR_FLOAT) ||
        (precision && (precision->type != PT_ATTR_INT || precision->i < 1 || precision->i >= PT_DTYPE_COUNT || !(PT_T(precision->i) & PT_TS_REAL))))
        return pt_control_fail(c, PT_EINVAL, "attribute 'scale' is no float or 'softmax_precision' no type of real numbers");
    f->a.scale = scale ? (double)scale->f : 1 / sqrt((double)f->a.width);
    f->seen.dtype = precision ? (enum pt_dtype)precision->i : wide ? PT_DOUBLE : PT_FLOAT;
    f->a.dtype = wide || f->seen.dtype == PT_DOUBLE ? PT_DOUBLE : PT_FLOAT;
    return PT_OK;
}

/* Sets t's size and moves *at behind it; false when that is too large. */
static bool lay_out(struct pt_tensor *t, enum pt_dtype dtype, const int64_t dims[4], size_t *at)
{
    t->dtype = dtype;
    t->rank = 4;
    memcpy(t->dims, dims, 4 * sizeof *dims);
    t->data = NULL;
    size_t bytes;
    return pt_tensor_need(dtype, 4, dims, &t->size_bytes) && !__builtin_add_overflow(round_up(t->size_bytes), *at, &bytes) && (*at = bytes, true);
}

/* The output and all memory in one room. */
static int make_room(struct pt_control *c, struct flex *f)
{
    const struct pt_attention *a = &f->a;
    const int64_t out[4] = {a->batch, a->heads, a->q_len, a->v_width}, scores[4] = {a->batch, a->heads, a->q_len, a->kv_len};
    size_t end = 0, at[6] = {0}, packs = pt_attention_packs(a);
    bool fits = lay_out(c->out[0], c->in[0]->dtype, out, &end);
    at[0] = end;
    fits = fits && lay_out(&f->scores, a->dtype, scores, &end);
    at[1] = end;
    fits = fits && lay_out(&f->seen, f->seen.dtype, scores, &end);
    for (int i = 0; i < 3 && fits; i++) {
        at[2 + i] = end;
        fits = lay_out(&f->wide[i], a->dtype, c->in[i]->dims, &end);
    }
    at[5] = end;
    struct pt_tensor y = {0}; /* the result in the products' type */
    fits = fits && lay_out(&y, a->dtype, out, &end) && packs < SIZE_MAX / 2 && !__builtin_add_overflow(end, packs, &end);
    if (!fits)
        return pt_control_fail(c, PT_ELIMIT, "attention of %s over %lld keys takes too much memory", PT_SHAPE(c->in[0]), (long long)a->kv_len);
    int rc = pt_room_get(c->frame->x, c->rooms[0], end, 0, c->err);
    if (rc < 0)
        return rc;
    char *base = c->rooms[0]->p;
    c->out[0]->data = base;
    f->scores.data = base + at[0];
    f->seen.data = base + at[1];
    for (int i = 0; i < 3; i++)
        f->wide[i].data = base + at[2 + i];
    f->a.y.data = base + at[5];
    f->packs = base + end - packs;
    return PT_OK;
}

static void convert(const struct pt_tensor *from, struct pt_tensor *to)
{
    double block[PT_BLOCK];
    int64_t n = pt_tensor_count(from);
    for (int64_t i = 0; i < n; i += PT_BLOCK) {
        int64_t part = n - i < PT_BLOCK ? n - i : PT_BLOCK;
        pt_load_f64(from, i, part, block);
        pt_store_f64(to, i, part, block);
    }
}

static void place(struct pt_attention_operand *o, void *data, int64_t heads, int64_t length, int64_t width)
{
    *o = (struct pt_attention_operand){data, {heads * length * width, length * width, width}};
}

static void load_operands(struct pt_control *c, struct flex *f)
{
    struct pt_attention *a = &f->a;
    for (int i = 0; i < 3; i++)
        convert(c->in[i], &f->wide[i]);
    place(&a->q, f->wide[0].data, a->heads, a->q_len, a->width);
    place(&a->k, f->wide[1].data, a->kv_heads, a->kv_len, a->width);
    place(&a->v, f->wide[2].data, a->kv_heads, a->kv_len, a->v_width);
    place(&a->y, a->y.data, a->heads, a->q_len, a->v_width);
}

/* scores <- what the graph `name` makes of them, if the node has one. */
static int modify(struct pt_control *c, struct flex *f, const char *name)
{
    const struct pt_graph *body = pt_node_body(c->node, name);
    struct pt_frame *kid;
    if (!body)
        return PT_OK;
    int rc = pt_control_kid(c, body, 0, &kid);
    if (rc < 0)
        return rc;
    convert(&f->scores, &f->seen);
    kid->args[0] = &f->seen;
    if ((rc = pt_control_execute(c, kid)) < 0)
        return rc;
    const struct pt_tensor *t = pt_frame_output(kid, 0);
    if (t->dtype != f->seen.dtype || !pt_dims_equal(t, &f->seen))
        return pt_control_fail(c, PT_EINVAL, "'%s' makes %s of %s", name, PT_SHAPE(t), PT_SHAPE(&f->seen));
    convert(t, &f->scores);
    return PT_OK;
}

static void softmax(struct flex *f)
{
    size_t n = (size_t)f->a.kv_len, rows = n ? (size_t)pt_tensor_count(&f->scores) / n : 0;
    if (f->a.dtype == PT_FLOAT) {
        pt_kernels()->softmax(rows, n, 1, f->scores.data, n, NULL, 0, f->scores.data, n);
        return;
    }
    double *x = f->scores.data;
    for (size_t r = 0; r < rows; r++, x += n) {
        double max = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++)
            max = x[i] > max ? x[i] : max;
        for (size_t i = 0; i < n; i++)
            sum += x[i] = exp(x[i] - max);
        for (size_t i = 0; i < n; i++)
            x[i] /= sum;
    }
}

int pt_control_flex_attention(struct pt_control *c)
{
    struct flex f = {0};
    int rc;
    if (!c->out[0])
        return PT_OK;
    if ((rc = check_operands(c, &f)) < 0 || (rc = read_attrs(c, &f)) < 0 || (rc = make_room(c, &f)) < 0)
        return rc;
    struct pt_threads *threads = c->frame->x->session->threads;
    load_operands(c, &f);
    pt_attention_scores(&f.a, f.scores.data, f.packs, threads);
    if ((rc = modify(c, &f, "score_mod")) < 0)
        return rc;
    softmax(&f);
    if ((rc = modify(c, &f, "prob_mod")) < 0)
        return rc;
    pt_attention_apply(&f.a, f.scores.data, f.packs, threads);
    struct pt_tensor y = *c->out[0];
    y.dtype = f.a.dtype;
    y.data = f.a.y.data;
    convert(&y, c->out[0]);
    return PT_OK;
}
