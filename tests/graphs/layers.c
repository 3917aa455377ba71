/* SPDX-License-Identifier: Apache-2.0
 *
 * layers.c: nodes as real models have them, and the groups of nodes that rewrites look for, with variations that nearly fit.
 */
#include "tests/graphs/generate.h"

#include "runtime/tensor.h"

#define F32 PT_T(PT_FLOAT)

static struct gen_value *images(struct gen *g)
{
    return gen_pick(g, F32, 4);
}

static uint32_t pick(struct gen *g, uint32_t n)
{
    return choose(g->c, n);
}

static struct gen_value *constant(struct gen *g, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return gen_constant(g, PT_FLOAT, rank, (int64_t[]){a, b, c, d});
}

/* --- elementwise ---------------------------------------------------------------------------------------------------------------------- */

static void unary(struct gen *g)
{
    static const char *const ops[][2] = {
        {"Relu"},       {"Sigmoid"},  {"Tanh"},        {"Exp"},       {"Neg"},      {"Abs"},     {"Erf"},  {"LeakyRelu", " alpha=0.25"},
        {"Elu"},        {"Identity"}, {"HardSigmoid"}, {"HardSwish"}, {"Softplus"}, {"Dropout"}, {"Selu"}, {"Sqrt"},
        {"Reciprocal"}, {"Sin"},      {"Max"},         {"Sum"}};
    struct gen_value *x = gen_pick(g, F32 | PT_T(PT_DOUBLE) | PT_T(PT_FLOAT16), -1);
    uint32_t k = pick(g, sizeof ops / sizeof *ops);
    if (x)
        gen_node(g, 1, "%s(%s)%s", ops[k][0], x->name, ops[k][1] ? ops[k][1] : "");
}

static void binary(struct gen *g)
{
    static const char *const ops[] = {"Add", "Mul", "Sub", "Div", "Max", "Min", "Pow"};
    struct gen_value *x = gen_pick(g, F32, -1), *y = pick(g, 3) ? x ? gen_pick(g, F32, x->t.rank) : NULL : NULL;
    const char *op = ops[pick(g, sizeof ops / sizeof *ops)];
    int64_t dims[PT_MAX_RANK];
    if (!x)
        return;
    for (int i = 0; i < x->t.rank; i++)
        dims[i] = pick(g, 2) ? 1 : x->t.dims[i];
    int drop = x->t.rank ? (int)pick(g, (uint32_t)x->t.rank + 1) : 0;
    if (!y && pick(g, 3) == 0)
        y = gen_number(g, (double[]){0, 1, 2, 0.5, -1}[pick(g, 5)]);
    if (!y)
        y = gen_constant(g, PT_FLOAT, x->t.rank - drop, dims + drop);
    if (!y)
        return;
    if (pick(g, 2))
        gen_node(g, 1, "%s(%s,%s)", op, x->name, y->name);
    else
        gen_node(g, 1, "%s(%s,%s)", op, y->name, x->name);
}

static void clip(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1), *lo = gen_number(g, -1), *hi = pick(g, 2) ? gen_number(g, 1.5) : NULL;
    if (x && lo)
        gen_node(g, 1, hi ? "Clip(%s,%s,%s)" : "Clip(%s,%s)", x->name, lo->name, hi ? hi->name : "");
}

static void cast(struct gen *g)
{
    static const int to[] = {1, 1, 6, 7, 9, 10, 11, 3, 2};
    struct gen_value *x = gen_pick(g, ~0u, -1);
    struct gen_value *y = x ? gen_node(g, 1, "Cast(%s) to=%d", x->name, to[pick(g, 9)]) : NULL;
    if (y && pick(g, 2))
        gen_node(g, 1, "Cast(%s) to=%d", y->name, to[pick(g, 9)]);
}

/* --- shapes ------------------------------------------------------------------------------------------------------------------------------ */

static void transpose(struct gen *g)
{
    struct gen_value *x = gen_pick(g, ~0u, pick(g, 3) ? 4 : -1);
    int perm[PT_MAX_RANK];
    char text[64] = "";
    if (!x || x->t.rank == 0 || x->t.rank > 6)
        return;
    for (int i = 0; i < x->t.rank; i++)
        perm[i] = i;
    for (int i = x->t.rank - 1; i > 0; i--) {
        int k = (int)pick(g, (uint32_t)i + 1), t = perm[i];
        perm[i] = perm[k];
        perm[k] = t;
    }
    static const int known[3][4] = {{0, 2, 3, 1}, {0, 3, 1, 2}, {0, 2, 1, 3}};
    if (x->t.rank == 4 && pick(g, 4))
        memcpy(perm, known[pick(g, 3)], sizeof known[0]);
    for (int i = 0; i < x->t.rank; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", i ? "," : "", perm[i]);
    gen_node(g, 1, "Transpose(%s) perm=[%s]", x->name, text);
}

static void reshape(struct gen *g)
{
    struct gen_value *x = gen_pick(g, ~0u, -1);
    if (!x)
        return;
    int64_t n = pt_tensor_count(&x->t), a = 1 + pick(g, 6);
    int64_t choices[6][4] = {{-1, 0, 0, 0}, {n, 0, 0, 0}, {a, -1, 0, 0}, {-1, a, 1, 0}, {0, -1, 0, 0}, {0, 0, -1, 0}};
    static const int ranks[] = {1, 1, 2, 3, 2, 3};
    uint32_t k = pick(g, 6);
    struct gen_value *s = gen_ints(g, ranks[k], choices[k]);
    if (s)
        gen_node(g, 1, "Reshape(%s,%s)", x->name, s->name);
}

static void squeeze(struct gen *g)
{
    struct gen_value *x = gen_pick(g, ~0u, -1), *axis = gen_ints(g, 1, (int64_t[]){(int64_t)pick(g, 5) - 1});
    if (x && axis)
        gen_node(g, 1, pick(g, 2) ? "Unsqueeze(%s,%s)" : "Squeeze(%s,%s)", x->name, axis->name);
    else if (x)
        gen_node(g, 1, "Flatten(%s) axis=%d", x->name, (int)pick(g, 3));
}

/* Shape arithmetic as exporters write it. */
static void dynamic_reshape(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, 4), *zero = gen_ints(g, 1, (int64_t[]){0}), *rest = gen_ints(g, 1, (int64_t[]){-1});
    struct gen_value *shape = x && zero && rest ? gen_node(g, 1, "Shape(%s)", x->name) : NULL;
    struct gen_value *first = shape ? gen_node(g, 1, "Gather(%s,%s)", shape->name, zero->name) : NULL;
    struct gen_value *dims = first ? gen_node(g, 1, "Concat(%s,%s) axis=0", first->name, rest->name) : NULL;
    if (dims)
        gen_node(g, 1, "Reshape(%s,%s)", x->name, dims->name);
}

static void concat(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1), *y = x ? gen_pick(g, F32, x->t.rank) : NULL;
    if (x && y && x->t.rank)
        gen_node(g, 1, pick(g, 4) ? "Concat(%s,%s) axis=%d" : "Concat(%s,%s) axis=-%d", x->name, y->name, (int)pick(g, (uint32_t)x->t.rank));
}

static void slice(struct gen *g)
{
    struct gen_value *x = gen_pick(g, ~0u, -1), *from = gen_ints(g, 1, (int64_t[]){pick(g, 3)}),
                     *to = gen_ints(g, 1, (int64_t[]){pick(g, 2) ? INT32_MAX : -1}), *axis = gen_ints(g, 1, (int64_t[]){pick(g, 3)}),
                     *step = gen_ints(g, 1, (int64_t[]){1 + pick(g, 2)});
    if (x && from && to && axis && step)
        gen_node(g, 1, "Slice(%s,%s,%s,%s,%s)", x->name, from->name, to->name, axis->name, step->name);
}

static void gather(struct gen *g)
{
    struct gen_value *x = gen_pick(g, ~0u, -1), *i = gen_ints(g, 2, (int64_t[]){pick(g, 3), -1});
    if (x && i)
        gen_node(g, 1, "Gather(%s,%s) axis=%d", x->name, i->name, (int)pick(g, 3));
}

/* --- layers --------------------------------------------------------------------------------------------------------------------------------- */

static struct gen_value *padded(struct gen *g, struct gen_value *x)
{
    struct gen_value *p = gen_ints(g, 8, (int64_t[]){0, 0, pick(g, 3), pick(g, 2), 0, 0, pick(g, 2), pick(g, 3)}),
                     *v = pick(g, 3) ? NULL : gen_number(g, pick(g, 2) ? 0 : 1);
    struct gen_value *y = p ? gen_node(g, 1, v ? "Pad(%s,%s,%s)" : "Pad(%s,%s)", x->name, p->name, v ? v->name : "") : NULL;
    return y ? y : x;
}

static struct gen_value *batchnorm(struct gen *g, struct gen_value *x)
{
    int64_t c = x->t.rank > 1 ? x->t.dims[1] : 1;
    struct gen_value *s = constant(g, 1, c, 0, 0, 0), *b = constant(g, 1, c, 0, 0, 0), *v = constant(g, 1, c, 0, 0, 0);
    struct gen_value *var = v ? gen_node(g, 1, "Abs(%s)", v->name) : NULL; /* folded: a constant of a constant */
    return s && b && var ? gen_node(g, 1, "BatchNormalization(%s,%s,%s,%s,%s) epsilon=0.5", x->name, s->name, b->name, b->name, var->name) : NULL;
}

static void conv(struct gen *g)
{
    struct gen_value *x = images(g), *y;
    if (!x)
        return;
    if (pick(g, 4) == 0)
        x = padded(g, x);
    if (pick(g, 5) == 0 && (y = batchnorm(g, x)) != NULL)
        x = y;
    int64_t c = x->t.dims[1], k = 1 + pick(g, 3), groups = pick(g, 4) || c == 0 ? 1 : c, m = groups * (1 + pick(g, 3));
    if (c == 0 || m * c / groups * k * k > 256)
        return;
    struct gen_value *w = constant(g, 4, m, c / groups, k, k), *b = pick(g, 2) ? constant(g, 1, m, 0, 0, 0) : NULL;
    unsigned p = pick(g, (uint32_t)k), s = 1 + pick(g, 2);
    y = !w  ? NULL
        : b ? gen_node(g, 1, "Conv(%s,%s,%s) pads=[%u,%u,%u,%u] strides=[%u,%u] group=%d", x->name, w->name, b->name, p, p, p, p, s, s, (int)groups)
            : gen_node(g, 1, "Conv(%s,%s) pads=[%u,0,0,%u] group=%d", x->name, w->name, p, p, (int)groups);
    if (y && pick(g, 3) == 0 && batchnorm(g, y))
        return;
    if (y && pick(g, 3) == 0)
        gen_node(g, 1, "Add(%s,%s)", y->name, x->name);
    else if (y && pick(g, 2))
        gen_node(g, 1, "Relu(%s)", y->name);
}

static void conv_transpose(struct gen *g)
{
    struct gen_value *x = images(g);
    int64_t groups = x && x->t.dims[1] % 2 == 0 && pick(g, 2) ? 2 : 1, k = 1 + pick(g, 2);
    struct gen_value *w = x && x->t.dims[1] ? constant(g, 4, x->t.dims[1], 1 + pick(g, 2), k, k) : NULL;
    struct gen_value *y =
        w ? gen_node(g, 1, "ConvTranspose(%s,%s) group=%d strides=[%d,1]", x->name, w->name, (int)groups, 1 + (int)pick(g, 2)) : NULL;
    if (y && pick(g, 2))
        batchnorm(g, y);
}

static void pool(struct gen *g)
{
    struct gen_value *x = images(g);
    if (x && pick(g, 3) == 0)
        x = padded(g, x);
    if (!x)
        return;
    int k = 1 + (int)pick(g, 3);
    switch (pick(g, 4)) {
    case 0:
        gen_node(g, 1, "MaxPool(%s) kernel_shape=[%d,%d] strides=[2,1]", x->name, k, k);
        break;
    case 1:
        gen_node(g, 1, "AveragePool(%s) kernel_shape=[%d,%d] pads=[%d,0,0,%d] count_include_pad=%d", x->name, k, k, k > 1, k > 1, (int)pick(g, 2));
        break;
    case 2:
        gen_node(g, 1, "AveragePool(%s) kernel_shape=[%d,%d]", x->name, k, k);
        break;
    default:
        gen_node(g, 1, "GlobalAveragePool(%s)", x->name);
    }
}

static void matmul(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1), *other = x ? gen_pick(g, F32, x->t.rank) : NULL, *y = NULL;
    if (!x || x->t.rank == 0)
        return;
    int64_t k = x->t.dims[x->t.rank - 1], n = 1 + pick(g, 5);
    if (other && pick(g, 3) == 0) {
        y = gen_node(g, 1, "MatMul(%s,%s)", x->name, other->name);
    } else {
        struct gen_value *w = k <= 32 ? constant(g, 2, k, n, 0, 0) : NULL;
        y = !w                                  ? NULL
            : x->t.rank == 2 && pick(g, 2) == 0 ? gen_node(g, 1, "Gemm(%s,%s) alpha=%s", x->name, w->name, pick(g, 2) ? "1.0" : "0.5")
                                                : gen_node(g, 1, "MatMul(%s,%s)", x->name, w->name);
    }
    struct gen_value *b = y && pick(g, 2) ? constant(g, 1, y->t.dims[y->t.rank ? y->t.rank - 1 : 0], 0, 0, 0) : NULL;
    if (y && b && y->t.rank)
        gen_node(g, 1, "Add(%s,%s)", y->name, b->name);
    else if (y && y->t.rank == 2 && pick(g, 2))
        batchnorm(g, y);
}

static void rows(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1);
    if (!x || x->t.rank == 0)
        return;
    struct gen_value *s = constant(g, 1, x->t.dims[x->t.rank - 1], 0, 0, 0);
    if (!s)
        return;
    switch (pick(g, 4)) {
    case 0:
        gen_node(g, 1, "Softmax(%s) axis=%d", x->name, (int)pick(g, (uint32_t)x->t.rank));
        break;
    case 1:
        gen_node(g, 1, "LayerNormalization(%s,%s,%s) epsilon=0.5", x->name, s->name, s->name);
        break;
    case 2:
        gen_node(g, 1, "RMSNormalization(%s,%s) epsilon=0.5", x->name, s->name);
        break;
    default:
        gen_node(g, 1, "ReduceSum(%s) keepdims=%d", x->name, (int)pick(g, 2));
    }
}

/* --- what exporters write in pieces ------------------------------------------------------------------------------------------------------------ */

static void gelu(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1), *root = gen_number(g, pick(g, 8) ? 1.41421356 : 1.5), *one = gen_number(g, 1),
                     *half = gen_number(g, 0.5);
    if (!x || !root || !one || !half)
        return;
    struct gen_value *a = gen_node(g, 1, "Div(%s,%s)", x->name, root->name), *b = a ? gen_node(g, 1, "Erf(%s)", a->name) : NULL;
    struct gen_value *c = b ? gen_node(g, 1, "Add(%s,%s)", b->name, one->name) : NULL, *d = c ? gen_node(g, 1, "Mul(%s,%s)", x->name, c->name) : NULL;
    if (d)
        gen_node(g, 1, "Mul(%s,%s)", d->name, half->name);
}

static void tanh_gelu(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1), *k = gen_number(g, 0.044715), *s = gen_number(g, 0.7978845608), *one = gen_number(g, 1),
                     *half = gen_number(g, 0.5);
    if (!x || !k || !s || !one || !half)
        return;
    struct gen_value *a = gen_node(g, 1, "Mul(%s,%s)", x->name, x->name), *b = a ? gen_node(g, 1, "Mul(%s,%s)", x->name, a->name) : NULL;
    struct gen_value *c = b ? gen_node(g, 1, "Mul(%s,%s)", k->name, b->name) : NULL, *d = c ? gen_node(g, 1, "Add(%s,%s)", x->name, c->name) : NULL;
    struct gen_value *e = d ? gen_node(g, 1, "Mul(%s,%s)", d->name, s->name) : NULL, *f = e ? gen_node(g, 1, "Tanh(%s)", e->name) : NULL;
    struct gen_value *h = f ? gen_node(g, 1, "Add(%s,%s)", one->name, f->name) : NULL,
                     *i = h ? gen_node(g, 1, "Mul(%s,%s)", x->name, half->name) : NULL;
    if (i)
        gen_node(g, 1, "Mul(%s,%s)", i->name, h->name);
}

static void norm_pieces(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1), *eps = gen_number(g, 0.5), *two = gen_number(g, 2), *axis = gen_ints(g, 1, (int64_t[]){-1});
    if (!x || x->t.rank == 0 || !eps || !two || !axis)
        return;
    bool mean = pick(g, 2);
    struct gen_value *scale = constant(g, 1, x->t.dims[x->t.rank - 1], 0, 0, 0), *d = x, *m = NULL, *v;
    bool operand = g->opset >= 18;
    const char *comma = operand ? "," : "", *axes = operand ? axis->name : "", *attr = operand ? "" : " axes=[-1]";
    if (mean && (m = gen_node(g, 1, "ReduceMean(%s%s%s)%s", x->name, comma, axes, attr)) != NULL)
        d = gen_node(g, 1, "Sub(%s,%s)", x->name, m->name);
    struct gen_value *sq = d ? gen_node(g, 1, "Pow(%s,%s)", d->name, two->name) : NULL;
    v = sq ? gen_node(g, 1, "ReduceMean(%s%s%s)%s", sq->name, comma, axes, attr) : NULL;
    struct gen_value *e = v ? gen_node(g, 1, "Add(%s,%s)", v->name, eps->name) : NULL, *r = e ? gen_node(g, 1, "Sqrt(%s)", e->name) : NULL;
    struct gen_value *n = r ? gen_node(g, 1, "Div(%s,%s)", d->name, r->name) : NULL,
                     *y = n && scale ? gen_node(g, 1, "Mul(%s,%s)", n->name, scale->name) : NULL;
    if (y)
        gen_node(g, 1, "Add(%s,%s)", y->name, scale->name);
}

/* softmax(scale q k' + mask) v, in some of the forms that exporters write. */
static void attention(struct gen *g)
{
    struct gen_value *q = gen_pick(g, F32, 3 + (int)pick(g, 2)), *s = gen_number(g, 0.25), *low = gen_number(g, -1e9), *zero = gen_number(g, 0);
    if (!q || !s || !low || !zero)
        return;
    int64_t width = q->t.dims[q->t.rank - 1], keys = 1 + pick(g, 9), rows = q->t.dims[q->t.rank - 2];
    struct gen_value *k = constant(g, 2, width, keys, 0, 0), *v = constant(g, 2, keys, 1 + pick(g, 20), 0, 0),
                     *mask = constant(g, 2, pick(g, 2) ? rows : 1, keys, 0, 0), *a = k ? gen_node(g, 1, "MatMul(%s,%s)", q->name, k->name) : NULL;
    if (a && pick(g, 2))
        a = gen_node(g, 1, pick(g, 2) ? "Div(%s,%s)" : "Mul(%s,%s)", a->name, s->name);
    for (int i = 0; a && mask && i < 2; i++) {
        struct gen_value *c = pick(g, 2) ? gen_node(g, 1, "Less(%s,%s)", mask->name, s->name) : NULL;
        if (c)
            a = pick(g, 2) ? gen_node(g, 1, "Where(%s,%s,%s)", c->name, a->name, low->name) : gen_node(g, 1, "Where(%s,%s,%s)", c->name, low->name, a->name);
        else if (pick(g, 2))
            a = gen_node(g, 1, "Add(%s,%s)", mask->name, a->name);
    }
    struct gen_value *p = a ? gen_node(g, 1, "Softmax(%s) axis=%d", a->name, a->t.rank - 1) : NULL;
    struct gen_value *nan = p && pick(g, 3) == 0 ? gen_node(g, 1, "IsNaN(%s)", p->name) : NULL;
    if (nan)
        p = gen_node(g, 1, "Where(%s,%s,%s)", nan->name, zero->name, p->name);
    if (p && v)
        gen_node(g, 1, "MatMul(%s,%s)", p->name, v->name);
}

/* Converters from channels-last frameworks. */
static void channels_last(struct gen *g)
{
    struct gen_value *x = images(g), *y = x ? gen_node(g, 1, "Transpose(%s) perm=[0,2,3,1]", x->name) : NULL;
    struct gen_value *b = y ? constant(g, 1, y->t.dims[3], 0, 0, 0) : NULL;
    if (b)
        y = gen_node(g, 1, "Add(%s,%s)", y->name, b->name);
    if (y && pick(g, 2))
        y = gen_node(g, 1, "Relu(%s)", y->name);
    if (y)
        gen_node(g, 1, "Transpose(%s) perm=[0,3,1,2]", y->name);
}

static void twice(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, -1), *p = gen_number(g, 3), *q = gen_number(g, 3);
    struct gen_value *a = x && p && q ? gen_node(g, 1, "Mul(%s,%s)", x->name, p->name) : NULL,
                     *b = a ? gen_node(g, 1, "Mul(%s,%s)", x->name, q->name) : NULL;
    if (b)
        gen_node(g, 1, "Add(%s,%s)", a->name, b->name);
}

void gen_layers(struct gen *g)
{
    static void (*const list[])(struct gen *) = {
        unary,   unary,           unary,  binary, binary,    binary,      clip,        cast,      transpose,      transpose, reshape,
        squeeze, dynamic_reshape, concat, slice,  gather,    conv,        conv,        conv,      conv_transpose, pool,      pool,
        matmul,  matmul,          rows,   gelu,   tanh_gelu, norm_pieces, norm_pieces, attention, channels_last,  twice};
    list[choose(g->c, sizeof list / sizeof *list)](g);
}
