/* SPDX-License-Identifier: Apache-2.0
 *
 * einsum.c: Einsum. Every letter of the equation is an index with a size; an operand is a stride per index (the sum of strides where a letter is
 * repeated: a diagonal). The result is a sum over the indices that are not in the output.
 *
 * Two float32 operands that share no other kinds of indices than batch, rows, columns and summed ones are brought into that order and multiplied by
 * the matrix kernel; everything else goes index by index.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/op.h"

#define MAX_LABELS 64 /* 52 letters, and the axes of "..." */
#define MAX_OPERANDS 16
#define DOTS 52 /* label of the first axis of "..." */

struct product {
    int64_t batch, m, n, k;
    int perm_a[PT_MAX_RANK], perm_b[PT_MAX_RANK], perm_y[PT_MAX_RANK]; /* operand -> batch, rows, summed; product -> output */
    int64_t dims_y[PT_MAX_RANK];                                       /* of batch, rows, columns */
    size_t a_bytes, b_bytes, pack_bytes;
};

struct einsum {
    int labels, out_rank;
    int64_t size[MAX_LABELS]; /* in order: those of the output, then the summed ones */
    int64_t stride[MAX_OPERANDS][MAX_LABELS];
    bool kernel;
    struct product p;
};

/* --- the equation: terms as lists of labels -------------------------------------------------------------------------------------------------- */

struct term {
    int count, dots; /* labels; where "..." stands, or -1 */
    int8_t label[PT_MAX_RANK];
};

struct equation {
    struct term in[MAX_OPERANDS], out;
    int operands;
    bool explicit_out;
};

static int letter(char ch)
{
    return ch >= 'a' && ch <= 'z' ? 26 + ch - 'a' : ch >= 'A' && ch <= 'Z' ? ch - 'A' : -1; /* sorted as characters are */
}

static int add_label(struct pt_op_ctx *c, struct term *t, int label)
{
    if (t->count == PT_MAX_RANK)
        return pt_op_fail(c, PT_EINVAL, "a term of attribute 'equation' has more than %d indices", PT_MAX_RANK);
    t->label[t->count++] = (int8_t)label;
    return PT_OK;
}

static int parse(struct pt_op_ctx *c, struct pt_str s, struct equation *e)
{
    struct term *t = &e->in[0];
    *e = (struct equation){.operands = 1, .out.dots = -1};
    t->dots = -1;
    for (size_t i = 0; i < s.len; i++) {
        int l = letter(s.p[i]), rc = PT_OK;
        if (s.p[i] == ' ')
            continue;
        if (l >= 0) {
            rc = add_label(c, t, l);
        } else if (s.p[i] == ',' && !e->explicit_out && e->operands < MAX_OPERANDS) {
            t = &e->in[e->operands++];
            t->dots = -1;
        } else if (s.len - i >= 2 && s.p[i] == '-' && s.p[i + 1] == '>' && !e->explicit_out) {
            t = &e->out;
            e->explicit_out = true;
            i++;
        } else if (s.len - i >= 3 && memcmp(s.p + i, "...", 3) == 0 && t->dots < 0) {
            t->dots = t->count;
            i += 2;
        } else {
            rc = pt_op_fail(c, PT_EINVAL, "attribute 'equation' = \"" PT_STR_FMT "\" makes no sense at position %zu", PT_STR_ARG(s), i);
        }
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* "..." becomes labels, the last axis of it always the same one, so that operands broadcast. */
static int expand(struct pt_op_ctx *c, struct term *t, int axes)
{
    int8_t tail[PT_MAX_RANK];
    int rest = t->dots < 0 ? 0 : t->count - t->dots, rc = PT_OK;
    if (t->dots < 0)
        return PT_OK;
    memcpy(tail, t->label + t->dots, (size_t)rest);
    t->count = t->dots;
    for (int k = 0; rc == PT_OK && k < axes; k++)
        rc = add_label(c, t, DOTS + axes - 1 - k);
    for (int k = 0; rc == PT_OK && k < rest; k++)
        rc = add_label(c, t, tail[k]);
    return rc;
}

/* Without "->": the axes of "...", then the letters that occur once, sorted. */
static int implicit_out(struct pt_op_ctx *c, struct equation *e, int dots)
{
    int seen[MAX_LABELS] = {0}, rc = PT_OK;
    for (int i = 0; i < e->operands; i++)
        for (int k = 0; k < e->in[i].count; k++)
            seen[e->in[i].label[k]]++;
    for (int k = dots - 1; rc == PT_OK && k >= 0; k--)
        rc = add_label(c, &e->out, DOTS + k);
    for (int l = 0; rc == PT_OK && l < DOTS; l++)
        if (seen[l] == 1)
            rc = add_label(c, &e->out, l);
    return rc;
}

static int read_equation(struct pt_op_ctx *c, struct equation *e)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "equation");
    int dots = 0, rc;
    if (!a || a->type != PT_ATTR_STRING)
        return pt_op_fail(c, PT_EINVAL, "attribute 'equation' is missing or no string");
    if ((rc = parse(c, a->s, e)) < 0)
        return rc;
    if (e->operands != c->in_count)
        return pt_op_fail(c, PT_EINVAL, "attribute 'equation' = \"" PT_STR_FMT "\" has %d operands, the node %d", PT_STR_ARG(a->s), e->operands,
                          c->in_count);
    for (int i = 0; i < e->operands; i++) {
        int axes = c->in[i] ? c->in[i]->rank - e->in[i].count : -1;
        if (axes < 0 || (axes > 0 && e->in[i].dots < 0) || axes > MAX_LABELS - DOTS)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not fit \"" PT_STR_FMT "\"", i, c->in[i] ? PT_SHAPE(c->in[i]) : "not given",
                              PT_STR_ARG(a->s));
        dots = axes > dots ? axes : dots;
        if ((rc = expand(c, &e->in[i], axes)) < 0)
            return rc;
    }
    return e->explicit_out ? expand(c, &e->out, dots) : implicit_out(c, e, dots);
}

/* --- indices ------------------------------------------------------------------------------------------------------------------------------- */

/* Sizes by label; one broadcasts. */
static int read_sizes(struct pt_op_ctx *c, const struct equation *e, int64_t *size)
{
    for (int l = 0; l < MAX_LABELS; l++)
        size[l] = -1;
    for (int i = 0; i < e->operands; i++)
        for (int k = 0; k < e->in[i].count; k++) {
            int64_t d = c->in[i]->dims[k], *s = &size[e->in[i].label[k]];
            if (*s >= 0 && *s != d && *s != 1 && d != 1)
                return pt_op_fail(c, PT_EINVAL, "axis %d of input %d is %lld, its index has the size %lld elsewhere", k, i, (long long)d,
                                  (long long)*s);
            *s = *s < 0 || *s == 1 ? d : *s;
        }
    return PT_OK;
}

/* Numbers the labels: first those of the output, in its order. */
static int order_labels(struct pt_op_ctx *c, const struct equation *e, const int64_t *size, int *place)
{
    struct einsum *p = c->params;
    for (int l = 0; l < MAX_LABELS; l++)
        place[l] = -1;
    for (int k = 0; k < e->out.count; k++) {
        int l = e->out.label[k];
        if (size[l] < 0 || place[l] >= 0)
            return pt_op_fail(c, PT_EINVAL, "an index of the output %s", size[l] < 0 ? "is in no operand" : "is there twice");
        place[l] = p->labels;
        p->size[p->labels++] = size[l];
    }
    p->out_rank = p->labels;
    for (int l = 0; l < MAX_LABELS; l++)
        if (size[l] >= 0 && place[l] < 0) {
            place[l] = p->labels;
            p->size[p->labels++] = size[l];
        }
    return PT_OK;
}

static void set_strides(const struct pt_op_ctx *c, const struct equation *e, const int *place)
{
    struct einsum *p = c->params;
    for (int i = 0; i < e->operands; i++) {
        int64_t stride = 1;
        for (int k = e->in[i].count - 1; k >= 0; k--) {
            int64_t d = c->in[i]->dims[k];
            if (d != 1)
                p->stride[i][place[e->in[i].label[k]]] += stride;
            stride *= d;
        }
    }
}

/* --- two operands as a matrix product ---------------------------------------------------------------------------------------------------------- */

enum kind { BATCH, ROWS, COLUMNS, SUMMED, OTHER };

static enum kind kind_of(const struct einsum *p, int label)
{
    bool a = p->stride[0][label] != 0, b = p->stride[1][label] != 0, out = label < p->out_rank;
    return p->size[label] == 1 ? OTHER : a && b ? out ? BATCH : SUMMED : a && out ? ROWS : b && out ? COLUMNS : OTHER;
}

/* Axes of a term whose labels are of a kind, in the order of the labels; appended to perm. */
static int pick(const struct einsum *p, const struct term *t, const int *place, enum kind kind, int *perm, int n)
{
    for (int l = 0; l < p->labels; l++)
        for (int k = 0; kind_of(p, l) == kind && k < t->count; k++)
            if (place[t->label[k]] == l)
                perm[n++] = k;
    return n;
}

static int pick_ones(const struct einsum *p, const struct term *t, const int *place, int *perm, int n)
{
    for (int k = 0; k < t->count; k++)
        if (p->size[place[t->label[k]]] == 1)
            perm[n++] = k;
    return n;
}

static int64_t volume(const struct einsum *p, enum kind kind)
{
    int64_t n = 1;
    for (int l = 0; l < p->labels; l++)
        n *= kind_of(p, l) == kind ? p->size[l] : 1;
    return n;
}

static bool plain_term(const struct einsum *p, const struct pt_tensor *x, const struct term *t, const int *place)
{
    for (int k = 0; k < t->count; k++) {
        int l = place[t->label[k]];
        if (x->dims[k] != p->size[l] || (p->size[l] != 1 && kind_of(p, l) == OTHER))
            return false;
        for (int j = 0; j < k; j++)
            if (t->label[j] == t->label[k])
                return false;
    }
    return true;
}

/* perm_y: the product has batch, rows, columns (each in the order of the labels) and then ones; the output has the labels in order. */
static void order_output(struct einsum *p)
{
    int at = 0, from[PT_MAX_RANK];
    static const enum kind kinds[] = {BATCH, ROWS, COLUMNS, OTHER};
    for (int i = 0; i < 4; i++)
        for (int l = 0; l < p->out_rank; l++)
            if (kind_of(p, l) == kinds[i]) {
                p->p.dims_y[at] = p->size[l];
                from[l] = at++;
            }
    for (int l = 0; l < p->out_rank; l++)
        p->p.perm_y[l] = from[l];
}

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

static void plan_product(struct pt_op_ctx *c, const struct equation *e, const int *place)
{
    struct einsum *p = c->params;
    struct product *q = &p->p;
    enum pt_dtype t = c->in[0]->dtype;
    if (e->operands != 2 || (t != PT_FLOAT && !(PT_T(t) & PT_TS_HALF)) || !plain_term(p, c->in[0], &e->in[0], place) ||
        !plain_term(p, c->in[1], &e->in[1], place) || pt_tensor_count(c->in[0]) == 0 || pt_tensor_count(c->in[1]) == 0)
        return;
    int na = pick(p, &e->in[0], place, BATCH, q->perm_a, 0), nb = pick(p, &e->in[1], place, BATCH, q->perm_b, 0);
    na = pick(p, &e->in[0], place, ROWS, q->perm_a, na);
    nb = pick(p, &e->in[1], place, COLUMNS, q->perm_b, nb);
    na = pick_ones(p, &e->in[0], place, q->perm_a, pick(p, &e->in[0], place, SUMMED, q->perm_a, na));
    nb = pick_ones(p, &e->in[1], place, q->perm_b, pick(p, &e->in[1], place, SUMMED, q->perm_b, nb));
    order_output(p);
    q->batch = volume(p, BATCH);
    q->m = volume(p, ROWS);
    q->n = volume(p, COLUMNS);
    q->k = volume(p, SUMMED);
    p->kernel = true;
    q->a_bytes = round_up((size_t)(q->batch * q->m * q->k) * sizeof(float));
    q->b_bytes = round_up((size_t)(q->batch * q->n * q->k) * sizeof(float));
    q->pack_bytes = pt_kernels()->gemm_pack_size((size_t)q->k, (size_t)q->n);
    c->scratch_bytes = q->pack_bytes + q->a_bytes + q->b_bytes + (size_t)pt_tensor_count(c->out[0]) * sizeof(float);
}

static int einsum_infer(struct pt_op_ctx *c)
{
    struct einsum *p = c->params;
    struct equation e;
    int64_t size[MAX_LABELS];
    int place[MAX_LABELS], rc;
    size_t bytes;
    if ((rc = read_equation(c, &e)) < 0 || (rc = read_sizes(c, &e, size)) < 0 || (rc = order_labels(c, &e, size, place)) < 0)
        return rc;
    set_strides(c, &e, place);
    if (!pt_tensor_need(PT_DOUBLE, p->out_rank, p->size, &bytes))
        return pt_op_fail(c, PT_ELIMIT, "the result would be %s: too large", pt_shape_text(c->in[0]->dtype, p->out_rank, p->size).s);
    pt_op_set_out(c, 0, c->in[0]->dtype, p->out_rank, p->size);
    plan_product(c, &e, place);
    return PT_OK;
}

/* --- running ---------------------------------------------------------------------------------------------------------------------------------- */

static void run_product(const struct pt_op_ctx *c)
{
    const struct einsum *e = c->params;
    const struct product *p = &e->p;
    const struct pt_kernels *k = pt_kernels();
    char *s = c->scratch;
    float *packed = (float *)(void *)s, *a = (float *)(void *)(s + p->pack_bytes), *b = (float *)(void *)(s + p->pack_bytes + p->a_bytes);
    float *y = (float *)(void *)(s + p->pack_bytes + p->a_bytes + p->b_bytes);
    pt_permute(c->in[0]->data, a, sizeof *a, c->in[0]->rank, c->in[0]->dims, p->perm_a, c->threads);
    pt_permute(c->in[1]->data, b, sizeof *b, c->in[1]->rank, c->in[1]->dims, p->perm_b, c->threads);
    for (int64_t i = 0; i < p->batch; i++) {
        k->gemm_pack((size_t)p->k, (size_t)p->n, b + i * p->n * p->k, (size_t)p->k, true, packed);
        k->gemm(&(struct pt_gemm){.m = (size_t)p->m,
                                  .n = (size_t)p->n,
                                  .k = (size_t)p->k,
                                  .a = a + i * p->m * p->k,
                                  .lda = (size_t)p->k,
                                  .packed_b = packed,
                                  .c = y + i * p->m * p->n,
                                  .ldc = (size_t)p->n,
                                  .alpha = 1},
                NULL, c->threads);
    }
    pt_permute(y, c->out[0]->data, sizeof *y, e->out_rank, p->dims_y, p->perm_y, c->threads);
}

/* Moves every operand to the next combination of labels [first, end); false after the last. */
static bool next(const struct einsum *p, int operands, int first, int end, int64_t *at, int64_t *offset)
{
    for (int l = end - 1; l >= first; l--) {
        at[l]++;
        for (int i = 0; i < operands; i++)
            offset[i] += p->stride[i][l];
        if (at[l] < p->size[l])
            return true;
        for (int i = 0; i < operands; i++)
            offset[i] -= p->stride[i][l] * p->size[l];
        at[l] = 0;
    }
    return false;
}

/* Floats are summed in double, integers modulo 2^width. */
#define WALK(T, U, SUM, s)                                                                                                                           \
    static void walk_##s(const struct pt_op_ctx *c)                                                                                                  \
    {                                                                                                                                                \
        const struct einsum *p = c->params;                                                                                                          \
        int64_t at[MAX_LABELS] = {0}, offset[MAX_OPERANDS] = {0}, summed = pt_dims_product(p->size + p->out_rank, p->labels - p->out_rank);          \
        T *y = c->out[0]->data;                                                                                                                      \
        do {                                                                                                                                         \
            SUM sum = 0;                                                                                                                             \
            bool more = summed > 0;                                                                                                                  \
            while (more) {                                                                                                                           \
                SUM v = 1;                                                                                                                           \
                for (int i = 0; i < c->in_count; i++)                                                                                                \
                    v *= (SUM)((const T *)c->in[i]->data)[offset[i]];                                                                                \
                sum += v;                                                                                                                            \
                more = next(p, c->in_count, p->out_rank, p->labels, at, offset);                                                                     \
            }                                                                                                                                        \
            *y++ = (T)(U)sum;                                                                                                                        \
        } while (next(p, c->in_count, 0, p->out_rank, at, offset));                                                                                  \
    }
#define INT_WALK(id, T, U, s) WALK(T, U, uint64_t, s)
PT_INT_ROWS(INT_WALK)
WALK(float, float, double, f32)
WALK(double, double, double, f64)

static int einsum_run(struct pt_op_ctx *c)
{
    const struct einsum *p = c->params;
    if (c->out[0]->size_bytes == 0)
        return PT_OK;
    if (p->kernel) {
        run_product(c);
        return PT_OK;
    }
    switch (c->in[0]->dtype) {
#define CASE(id, T, U, s)                                                                                                                            \
    case id:                                                                                                                                         \
        walk_##s(c);                                                                                                                                 \
        break;
        PT_NUM_ROWS(CASE)
    default:
        break;
    }
    return PT_OK;
}

static uint64_t einsum_macs(const struct pt_op_ctx *c)
{
    const struct einsum *p = c->params;
    uint64_t n = 1;
    for (int l = 0; l < p->labels; l++)
        n *= (uint64_t)p->size[l];
    return n;
}

const struct pt_op pt_op_einsum = {.type = "Einsum",
                                   .since = {12},
                                   .min_in = 1,
                                   .max_in = MAX_OPERANDS,
                                   .max_out = 1,
                                   .types = {PT_TS_NUM | PT_TS_HALF},
                                   .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                   .params_size = sizeof(struct einsum),
                                   .infer = einsum_infer,
                                   .run = einsum_run,
                                   .macs = einsum_macs};
