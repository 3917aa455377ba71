/* SPDX-License-Identifier: Apache-2.0
 *
 * patterns.c: attention as exporters write it, arithmetic on other types than float32, and decisions on elements.
 */
#include "tests/graphs/generate.h"

#include "runtime/tensor.h"

#define F32 PT_T(PT_FLOAT)
#define NUMBERS (PT_TS_INT | PT_TS_UINT | PT_T(PT_DOUBLE) | PT_T(PT_FLOAT16))

static uint32_t pick(struct gen *g, uint32_t n)
{
    return choose(g->c, n);
}

/* --- attention ------------------------------------------------------------------------------------------------------------------------ */

/* float32[batch,sequence,width], of whatever there is. */
static struct gen_value *sequence(struct gen *g)
{
    struct gen_value *x = pick(g, 3) ? gen_pick(g, F32, 3) : NULL;
    struct gen_value *shape = x ? NULL : gen_ints(g, 3, (int64_t[][3]){{0, 0, -1}, {0, -1, 2}, {0, -1, 4}, {-1, 3, 4}}[pick(g, 4)]);
    if (x)
        return x;
    x = shape ? gen_pick(g, F32, pick(g, 4) ? 4 : -1) : NULL;
    return x ? gen_node(g, 1, "Reshape(%s,%s)", x->name, shape->name) : NULL;
}

struct heads {
    int64_t count, size;
    bool bias, before; /* scaled before the product */
    struct gen_value *scale;
};

/* [b,s,width] -> [b,heads,s,size], or the last two swapped. */
static struct gen_value *project(struct gen *g, struct gen_value *x, const struct heads *h, bool swapped)
{
    int64_t width = x->t.dims[2], columns = h->count * h->size;
    struct gen_value *w = gen_constant(g, PT_FLOAT, 2, (int64_t[]){width, columns}), *b = h->bias ? gen_constant(g, PT_FLOAT, 1, &columns) : NULL;
    struct gen_value *shape =
        gen_ints(g, 4, (int64_t[][4]){{0, 0, h->count, h->size}, {0, -1, h->count, h->size}, {x->t.dims[0], x->t.dims[1], h->count, -1}}[pick(g, 3)]);
    struct gen_value *y = w && shape ? gen_node(g, 1, "MatMul(%s,%s)", x->name, w->name) : NULL;
    if (y && b)
        y = pick(g, 2) ? gen_node(g, 1, "Add(%s,%s)", y->name, b->name) : gen_node(g, 1, "Add(%s,%s)", b->name, y->name);
    if (y && h->before && h->scale)
        y = gen_node(g, 1, "Mul(%s,%s)", y->name, h->scale->name);
    y = y ? gen_node(g, 1, "Reshape(%s,%s)", y->name, shape->name) : NULL;
    if (!y || !swapped)
        return y ? gen_node(g, 1, "Transpose(%s) perm=[0,2,1,3]", y->name) : NULL;
    if (pick(g, 2))
        return gen_node(g, 1, "Transpose(%s) perm=[0,2,3,1]", y->name);
    y = gen_node(g, 1, "Transpose(%s) perm=[0,2,1,3]", y->name);
    return y ? gen_node(g, 1, "Transpose(%s) perm=[0,1,3,2]", y->name) : NULL;
}

static struct gen_value *masked(struct gen *g, struct gen_value *scores)
{
    int64_t b = scores->t.dims[0], h = scores->t.dims[1], q = scores->t.dims[2], k = scores->t.dims[3];
    int64_t shapes[6][4] = {{1, 1, q, k}, {b, 1, 1, k}, {b, 1, q, k}, {b, h, q, k}, {q, k}, {1, h, 1, k}};
    uint32_t kind = pick(g, 6);
    int rank = kind == 4 ? 2 : 4;
    struct gen_value *far, *m;
    switch (pick(g, 4)) {
    case 0:
        return scores;
    case 1: /* decided element by element */
        far = gen_number(g, pick(g, 2) ? -1000 : -5);
        m = far ? gen_constant(g, PT_BOOL, rank, shapes[kind]) : NULL;
        if (m && pick(g, 2))
            return gen_node(g, 1, "Where(%s,%s,%s)", m->name, far->name, scores->name);
        return m ? gen_node(g, 1, "Where(%s,%s,%s)", m->name, scores->name, far->name) : NULL;
    case 2: /* (1 - mask) * -1000, of integers that come from outside */
        m = gen_pick(g, PT_T(PT_INT64) | PT_T(PT_INT32), -1);
        m = m ? gen_node(g, 1, "Cast(%s) to=1", m->name) : NULL;
        far = m ? gen_number(g, -10) : NULL;
        m = far ? gen_node(g, 1, "Mul(%s,%s)", m->name, far->name) : NULL;
        return m ? gen_node(g, 1, "Add(%s,%s)", scores->name, m->name) : scores;
    default:
        m = gen_constant(g, PT_FLOAT, rank, shapes[kind]);
        return !m ? NULL : gen_node(g, 1, pick(g, 8) ? "Add(%s,%s)" : "Mul(%s,%s)", pick(g, 2) ? m->name : scores->name, m->name);
    }
}

static void attention(struct gen *g)
{
    struct gen_value *x = sequence(g), *other = pick(g, 3) ? x : gen_pick(g, F32, 3), *y;
    struct heads h = {.count = 1 + pick(g, 3), .size = (int64_t[]){2, 4, 3, 8}[pick(g, 4)], .bias = pick(g, 2), .before = pick(g, 4) == 0};
    if (!x || x->t.dims[2] == 0 || x->t.dims[2] > 24)
        return;
    other = other && other->t.dims[0] == x->t.dims[0] && other->t.dims[2] && other->t.dims[2] <= 24 ? other : x;
    h.scale = pick(g, 5) ? gen_number(g, (double[]){0.5, 0.25, 0.35355338, 2}[pick(g, 4)]) : NULL;
    struct gen_value *q = project(g, x, &h, false), *k = q ? project(g, other, &h, true) : NULL;
    h.before = false;
    struct gen_value *v = k ? project(g, pick(g, 8) ? other : x, &h, false) : NULL;
    y = v ? gen_node(g, 1, "MatMul(%s,%s)", q->name, k->name) : NULL;
    if (y && h.scale)
        y = gen_node(g, 1, pick(g, 2) ? "Mul(%s,%s)" : "Div(%s,%s)", y->name, h.scale->name);
    y = y ? masked(g, y) : NULL;
    y = y ? gen_node(g, 1, "Softmax(%s) axis=%d", y->name, pick(g, 8) ? (pick(g, 2) ? -1 : 3) : 2) : NULL;
    y = y ? gen_node(g, 1, "MatMul(%s,%s)", y->name, v->name) : NULL;
    y = y && pick(g, 8) ? gen_node(g, 1, "Transpose(%s) perm=[0,2,1,3]", y->name) : NULL;
    struct gen_value *shape = y ? gen_ints(g, 3, (int64_t[]){0, 0, pick(g, 2) ? -1 : h.count * h.size}) : NULL;
    struct gen_value *w = shape && pick(g, 2) ? gen_constant(g, PT_FLOAT, 2, (int64_t[]){h.count * h.size, 1 + pick(g, 4)}) : NULL;
    y = shape ? gen_node(g, 1, "Reshape(%s,%s)", y->name, shape->name) : NULL;
    if (y && w)
        gen_node(g, 1, "MatMul(%s,%s)", y->name, w->name);
}

/* One head, without projections. */
static void plain_attention(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, 2 + (int)pick(g, 3)), *s = gen_number(g, 0.5), *y;
    char perm[32] = "";
    if (!x || !s)
        return;
    int rank = x->t.rank;
    for (int i = 0; i < rank; i++)
        snprintf(perm + strlen(perm), sizeof perm - strlen(perm), "%s%d", i ? "," : "", i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2);
    y = gen_node(g, 1, "Transpose(%s) perm=[%s]", x->name, perm);
    y = y ? gen_node(g, 1, "MatMul(%s,%s)", x->name, y->name) : NULL;
    y = y ? gen_node(g, 1, "Mul(%s,%s)", y->name, s->name) : NULL;
    y = y ? gen_node(g, 1, "Softmax(%s) axis=-1", y->name) : NULL;
    if (y)
        gen_node(g, 1, "MatMul(%s,%s)", y->name, x->name);
}

/* --- other types -------------------------------------------------------------------------------------------------------------------------- */

static struct gen_value *like(struct gen *g, struct gen_value *x)
{
    int64_t dims[PT_MAX_RANK];
    struct gen_value *y = pick(g, 2) ? gen_pick(g, PT_T(x->t.dtype), -1) : NULL;
    for (int i = 0; i < x->t.rank; i++)
        dims[i] = pick(g, 3) ? x->t.dims[i] : 1;
    return y ? y : gen_constant(g, x->t.dtype, x->t.rank, dims);
}

static void arithmetic(struct gen *g)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Max", "Min", "Mod", "BitwiseAnd", "BitwiseXor", "Div", "Pow"};
    struct gen_value *x = gen_pick(g, NUMBERS, -1), *y = x ? like(g, x) : NULL;
    if (y)
        gen_node(g, 1, "%s(%s,%s)", ops[pick(g, sizeof ops / sizeof *ops)], x->name, y->name);
}

static void typed_unary(struct gen *g)
{
    static const char *const ops[] = {"Neg", "Abs",     "Relu",    "Sign",      "Clip",      "BitwiseNot", "Identity",
                                      "Exp", "Sigmoid", "Softmax", "ReduceSum", "ReduceMax", "CumSum"};
    struct gen_value *x = gen_pick(g, NUMBERS, -1);
    const char *op = ops[pick(g, sizeof ops / sizeof *ops)];
    struct gen_value *axis = x && strcmp(op, "CumSum") == 0 ? gen_integer(g, PT_INT64, 0) : NULL;
    if (x)
        gen_node(g, 1, axis ? "%s(%s,%s)" : "%s(%s)", op, x->name, axis ? axis->name : "");
}

/* Half precision from a Cast to a Cast, as converted models have it. */
static void halves(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, pick(g, 2) ? 4 : -1), *y = x ? gen_node(g, 1, "Cast(%s) to=10", x->name) : NULL, *w, *z;
    if (!y)
        return;
    for (uint32_t i = pick(g, 4); i > 0 && y; i--) {
        w = pick(g, 2) ? like(g, y) : NULL;
        z = w ? gen_node(g, 1, pick(g, 2) ? "Mul(%s,%s)" : "Add(%s,%s)", y->name, w->name)
              : gen_node(g, 1, pick(g, 2) ? "Relu(%s)" : "Tanh(%s)", y->name);
        y = z ? z : y;
    }
    if (y->t.rank == 4 && y->t.dims[1] && pick(g, 2)) {
        w = gen_constant(g, PT_FLOAT16, 4, (int64_t[]){2, y->t.dims[1], 1 + pick(g, 2), 1});
        z = w ? gen_node(g, 1, "Conv(%s,%s)", y->name, w->name) : NULL;
    } else {
        w = y->t.rank && y->t.dims[y->t.rank - 1] ? gen_constant(g, PT_FLOAT16, 2, (int64_t[]){y->t.dims[y->t.rank - 1], 3}) : NULL;
        z = w ? gen_node(g, 1, "MatMul(%s,%s)", y->name, w->name) : NULL;
    }
    gen_node(g, 1, "Cast(%s) to=1", z ? z->name : y->name);
}

/* --- decisions ------------------------------------------------------------------------------------------------------------------------------ */

static void decide(struct gen *g)
{
    static const char *const ops[] = {"Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"};
    struct gen_value *x = gen_pick(g, F32 | NUMBERS, -1), *y = x ? like(g, x) : NULL;
    struct gen_value *b = y ? gen_node(g, 1, "%s(%s,%s)", ops[pick(g, 5)], x->name, y->name) : NULL;
    struct gen_value *other = b && pick(g, 2) ? gen_pick(g, PT_T(PT_BOOL), -1) : NULL, *c = NULL;
    if (other)
        c = gen_node(g, 1, "%s(%s,%s)", (const char *[]){"And", "Or", "Xor"}[pick(g, 3)], b->name, other->name);
    else if (b && pick(g, 3) == 0)
        c = gen_node(g, 1, "Not(%s)", b->name);
    b = c ? c : b;
    if (b && pick(g, 2))
        gen_node(g, 1, "Where(%s,%s,%s)", b->name, x->name, y->name);
    else if (b && pick(g, 2))
        gen_node(g, 1, "Cast(%s) to=%d", b->name, (int[]){1, 6, 7, 11, 10, 2}[pick(g, 6)]);
}

/* Shapes that depend on data: what follows is planned while the model runs. */
static void dynamic(struct gen *g)
{
    struct gen_value *x = gen_pick(g, ~0u, -1), *i = NULL, *shape;
    switch (pick(g, 4)) {
    case 0:
        i = x ? gen_node(g, 1, "NonZero(%s)", x->name) : NULL;
        i = i ? gen_node(g, 1, "Transpose(%s)", i->name) : NULL;
        if (i)
            gen_node(g, 1, "GatherND(%s,%s)", x->name, i->name);
        return;
    case 1:
        i = x && x->t.rank ? gen_constant(g, PT_BOOL, 1, x->t.dims) : NULL;
        if (i)
            gen_node(g, 1, "Compress(%s,%s) axis=0", x->name, i->name);
        return;
    case 2:
        if (x)
            gen_node(g, 1, "Unique(%s) sorted=1", x->name);
        return;
    default: /* an input says how large */
        i = gen_pick(g, PT_T(PT_INT64), 1);
        i = i && i->t.dims[0] <= 3 ? gen_node(g, 1, "Abs(%s)", i->name) : NULL;
        shape = i && x ? gen_node(g, 1, "ConstantOfShape(%s) value={f32[1]:1.5}", i->name) : NULL;
        if (shape)
            gen_node(g, 1, "Add(%s,%s)", shape->name, shape->name);
    }
}

void gen_patterns(struct gen *g)
{
    static void (*const list[])(struct gen *) = {attention,   attention, attention, plain_attention, arithmetic, arithmetic,
                                                 typed_unary, halves,    halves,    decide,          decide,     dynamic};
    list[choose(g->c, sizeof list / sizeof *list)](g);
}
