/* SPDX-License-Identifier: Apache-2.0
 *
 * quantised.c: QuantizeLinear and DequantizeLinear around layers as quantisers write them, with variations that nearly fit.
 *
 * Half of the scales are powers of two: then nothing is rounded before QuantizeLinear, and integers must come out the same to the last one.
 */
#include "tests/graphs/generate.h"

#include "runtime/tensor.h"

#define F32 PT_T(PT_FLOAT)

static uint32_t pick(struct gen *g, uint32_t n)
{
    return choose(g->c, n);
}

static float any_scale(struct gen *g)
{
    return (float[]){0.5f, 0.25f, 1, 0.125f, 0.1f, 0.3f, 0.017f, 0.07f}[pick(g, 8)];
}

struct quant {
    enum pt_dtype dtype;
    struct gen_value *scale, *zero; /* zero: NULL: none */
};

static bool make_quant(struct gen *g, struct quant *q)
{
    q->dtype = pick(g, 3) ? PT_UINT8 : PT_INT8;
    q->scale = gen_number(g, (double)any_scale(g));
    q->zero =
        pick(g, 4) || q->dtype == PT_INT8 ? gen_integer(g, q->dtype, pick(g, 3) == 0 ? 0 : (int64_t)pick(g, q->dtype == PT_INT8 ? 120 : 250)) : NULL;
    return q->scale && (q->zero || q->dtype == PT_UINT8);
}

static struct gen_value *quantise(struct gen *g, const char *op, struct gen_value *x, const struct quant *q)
{
    if (!x)
        return NULL;
    return q->zero ? gen_node(g, 1, "%s(%s,%s,%s)", op, x->name, q->scale->name, q->zero->name)
                   : gen_node(g, 1, "%s(%s,%s)", op, x->name, q->scale->name);
}

/* x as it comes back from the integers; sometimes with another scale than it went there. */
static struct gen_value *there_and_back(struct gen *g, struct gen_value *x, struct quant *q)
{
    struct quant other;
    struct gen_value *i = x && make_quant(g, q) ? quantise(g, "QuantizeLinear", x, q) : NULL;
    if (!i)
        return NULL;
    if (pick(g, 12) == 0 && make_quant(g, &other) && other.dtype == q->dtype)
        return quantise(g, "DequantizeLinear", i, &other);
    if (pick(g, 8) == 0 && i->t.rank)
        i = gen_node(g, 1, "Transpose(%s)", i->name);
    return quantise(g, "DequantizeLinear", i, q);
}

/* Integer weights; one scale, or one per output channel (the axis). */
static struct gen_value *weights(struct gen *g, int rank, const int64_t *dims, int axis)
{
    enum pt_dtype t = pick(g, 6) ? PT_INT8 : PT_UINT8;
    struct gen_value *w = pick(g, 2) ? gen_constant(g, t, rank, dims) : gen_bytes(g, t, rank, dims), *scale, *zero;
    int64_t n = dims[axis];
    float scales[64];
    if (!w || n > 64)
        return NULL;
    if (pick(g, 2)) {
        for (int i = 0; i < n; i++)
            scales[i] = any_scale(g);
        scale = gen_floats(g, (int)n, scales);
        zero = scale && pick(g, 2) ? (pick(g, 4) ? NULL : gen_constant(g, t, 1, &n)) : NULL;
        return !scale ? NULL
               : zero ? gen_node(g, 1, "DequantizeLinear(%s,%s,%s) axis=%d", w->name, scale->name, zero->name, axis)
                      : gen_node(g, 1, "DequantizeLinear(%s,%s) axis=%d", w->name, scale->name, axis);
    }
    scale = gen_number(g, (double)any_scale(g));
    zero = pick(g, 2) ? gen_integer(g, t, pick(g, 3) ? 0 : 3) : NULL;
    return !scale ? NULL : quantise(g, "DequantizeLinear", w, &(struct quant){t, scale, zero});
}

/* None, floats, or integers at the scale of the product. */
static struct gen_value *bias(struct gen *g, int64_t n)
{
    struct gen_value *b, *s;
    switch (pick(g, 3)) {
    case 0:
        return NULL;
    case 1:
        return gen_constant(g, PT_FLOAT, 1, &n);
    default:
        b = gen_constant(g, PT_INT32, 1, &n);
        s = b ? gen_number(g, (double)any_scale(g) / 4) : NULL;
        return s ? gen_node(g, 1, "DequantizeLinear(%s,%s)", b->name, s->name) : NULL;
    }
}

static struct gen_value *layer(struct gen *g, struct gen_value *x, const char *op, struct gen_value *w, struct gen_value *b, const char *attrs)
{
    return !w  ? NULL
           : b ? gen_node(g, 1, "%s(%s,%s,%s)%s", op, x->name, w->name, b->name, attrs)
               : gen_node(g, 1, "%s(%s,%s)%s", op, x->name, w->name, attrs);
}

static struct gen_value *conv(struct gen *g, struct gen_value *x)
{
    int64_t c = x->t.dims[1], k = 1 + pick(g, 3), groups = pick(g, 3) || c == 0 ? 1 : c, m = groups * (1 + pick(g, 3));
    char attrs[96];
    if (c == 0 || m * (c / groups) * k * k > 256)
        return NULL;
    unsigned p = pick(g, (uint32_t)k), s = 1 + pick(g, 2);
    snprintf(attrs, sizeof attrs, " pads=[%u,%u,%u,%u] strides=[%u,%u] group=%d", p, p, pick(g, (uint32_t)k), p, s, s, (int)groups);
    struct gen_value *w = weights(g, 4, (int64_t[]){m, c / groups, k, k}, 0), *b = w ? bias(g, m) : NULL;
    return layer(g, x, "Conv", w, b, attrs);
}

static struct gen_value *matmul(struct gen *g, struct gen_value *x)
{
    int64_t k = x->t.dims[x->t.rank - 1], n = 1 + pick(g, 6);
    if (k == 0 || k > 64)
        return NULL;
    if (x->t.rank == 2 && pick(g, 2)) {
        bool turned = pick(g, 2);
        struct gen_value *w = weights(g, 2, turned ? (int64_t[]){n, k} : (int64_t[]){k, n}, !turned), *b = w ? bias(g, n) : NULL;
        return layer(g, x, "Gemm", w, b, turned ? " transB=1" : "");
    }
    struct gen_value *w = weights(g, 2, (int64_t[]){k, n}, 1), *y = layer(g, x, "MatMul", w, NULL, ""), *b = y ? bias(g, n) : NULL;
    return y && b ? gen_node(g, 1, "Add(%s,%s)", y->name, b->name) : y;
}

static struct gen_value *both(struct gen *g, struct gen_value *x)
{
    struct quant q;
    struct gen_value *y = gen_pick(g, F32, x->t.rank);
    y = y && pick(g, 2) ? there_and_back(g, y, &q) : pick(g, 2) ? x : gen_constant(g, PT_FLOAT, x->t.rank, x->t.dims);
    return y ? gen_node(g, 1, "%s(%s,%s)", (const char *[]){"Add", "Mul", "MatMul", "Sub"}[pick(g, 4)], x->name, y->name) : NULL;
}

static struct gen_value *other(struct gen *g, struct gen_value *x)
{
    static const char *const ops[][2] = {{"Relu", ""},
                                         {"Sigmoid", ""},
                                         {"Softmax", " axis=-1"},
                                         {"Transpose", ""},
                                         {"Flatten", ""},
                                         {"LeakyRelu", " alpha=0.25"},
                                         {"Identity", ""},
                                         {"GlobalAveragePool", ""},
                                         {"MaxPool", " kernel_shape=[2,2]"},
                                         {"AveragePool", " kernel_shape=[2,1]"},
                                         {"HardSwish", ""},
                                         {"ReduceSum", ""}};
    uint32_t k = pick(g, sizeof ops / sizeof *ops);
    return gen_node(g, 1, "%s(%s)%s", ops[k][0], x->name, ops[k][1]);
}

/* Some layers in a row, each from integers to integers. */
static void chain(struct gen *g)
{
    struct quant q;
    struct gen_value *x = there_and_back(g, gen_pick(g, F32, pick(g, 2) ? 4 : -1), &q);
    for (uint32_t i = 1 + pick(g, 3); i > 0 && x; i--) {
        struct gen_value *y = pick(g, 4) == 0                ? other(g, x)
                              : pick(g, 3) == 0              ? both(g, x)
                              : x->t.rank == 4 && pick(g, 3) ? conv(g, x)
                              : x->t.rank > 1                ? matmul(g, x)
                                                             : NULL;
        if (y && pick(g, 3) == 0)
            y = gen_node(g, 1, "Relu(%s)", y->name);
        x = y && pick(g, 8) ? there_and_back(g, y, &q) : NULL;
    }
}

/* The integer operators themselves. */
static void integers(struct gen *g)
{
    struct quant q;
    struct gen_value *x = gen_pick(g, F32, 2 + 2 * (int)pick(g, 2)), *s = x && make_quant(g, &q) ? quantise(g, "QuantizeLinear", x, &q) : NULL, *w,
                     *y;
    if (!s || x->t.dims[1] == 0 || x->t.dims[x->t.rank - 1] == 0)
        return;
    bool image = x->t.rank == 4;
    enum pt_dtype t = pick(g, 2) ? PT_INT8 : PT_UINT8;
    w = image ? gen_bytes(g, t, 4, (int64_t[]){2, x->t.dims[1], 1 + pick(g, 2), 1 + pick(g, 2)}) : gen_bytes(g, t, 2, (int64_t[]){x->t.dims[1], 3});
    const char *op = image ? "ConvInteger" : "MatMulInteger";
    y = !w ? NULL : q.zero ? gen_node(g, 1, "%s(%s,%s,%s)", op, s->name, w->name, q.zero->name) : gen_node(g, 1, "%s(%s,%s)", op, s->name, w->name);
    if (y && !y->inexact)
        y = gen_node(g, 1, "Cast(%s) to=1", y->name);
    if (y && gen_is_real(&y->t))
        gen_node(g, 1, "Mul(%s,%s)", y->name, q.scale->name);
}

/* What dynamic quantisation writes: numbers to bytes by their range, a product, its scales and a bias. */
static void dynamic(struct gen *g)
{
    struct gen_value *x = gen_pick(g, F32, 1 + (int)pick(g, 3)), *q, *w, *y, *steps;
    int64_t k = x ? x->t.dims[x->t.rank - 1] : 0, n = 1 + pick(g, 5);
    enum pt_dtype t = pick(g, 2) ? PT_INT8 : PT_UINT8;
    if (k == 0 || !(q = gen_node(g, 3, "DynamicQuantizeLinear(%s)", x->name)) || !(w = gen_bytes(g, t, 2, (int64_t[]){k, n})))
        return;
    struct gen_value *scale = q + 1, *zero = q + 2, *w_zero = pick(g, 2) ? gen_integer(g, t, pick(g, 100)) : NULL;
    steps = pick(g, 2) ? gen_constant(g, PT_FLOAT, 1, &n) : gen_number(g, 0.01);
    y = w_zero ? gen_node(g, 1, "MatMulInteger(%s,%s,%s,%s)", q->name, w->name, zero->name, w_zero->name)
               : gen_node(g, 1, "MatMulInteger(%s,%s,%s)", q->name, w->name, zero->name);
    y = y ? gen_node(g, 1, "Cast(%s) to=1", y->name) : NULL;
    steps = y && steps ? gen_node(g, 1, "Mul(%s,%s)", scale->name, steps->name) : NULL;
    y = steps ? gen_node(g, 1, "Mul(%s,%s)", y->name, steps->name) : NULL;
    if (y && pick(g, 2) && (w = gen_constant(g, PT_FLOAT, 1, &n)))
        y = gen_node(g, 1, "Add(%s,%s)", y->name, w->name);
    if (y && pick(g, 3) == 0)
        gen_node(g, 1, "Relu(%s)", y->name);
}

void gen_quantised(struct gen *g)
{
    bool daring = g->daring;
    g->daring = true;
    if (choose(g->c, 8) == 7)
        dynamic(g);
    else if (choose(g->c, 5))
        chain(g);
    else
        integers(g);
    g->daring = daring;
}
