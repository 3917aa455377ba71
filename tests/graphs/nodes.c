/* SPDX-License-Identifier: Apache-2.0
 *
 * nodes.c: what a node may follow, whether its results depend on rounding, and running it alone.
 *
 * A value is exact when every correct program computes the same bits: what a model is given, what is only moved, and sums and products of numbers
 * with so few bits that nothing is rounded in any order. Integers are exact but for those that QuantizeLinear makes where rounding may decide; those
 * are operands of what takes them as quantities only.
 */
#include "tests/graphs/generate.h"

#include "runtime/ops/op.h"

#define MAX_MAGNITUDE 1e4
#define MAX_OPERANDS 48

static const char *const steps[] = {"Floor",
                                    "Ceil",
                                    "Round",
                                    "Sign",
                                    "Cast",
                                    "CastLike",
                                    "Equal",
                                    "Greater",
                                    "GreaterOrEqual",
                                    "Less",
                                    "LessOrEqual",
                                    "ArgMax",
                                    "ArgMin",
                                    "TopK",
                                    "NonZero",
                                    "Mod",
                                    "Hardmax",
                                    "Unique",
                                    "IsNaN",
                                    "IsInf",
                                    "ThresholdedRelu",
                                    "Shrink",
                                    "NonMaxSuppression",
                                    "Not",
                                    "QuantizeLinear",
                                    "DynamicQuantizeLinear",
                                    "Binarizer",
                                    "BitCast",
                                    "MaxPool",
                                    "Resize",
                                    "GridSample",
                                    "RoiAlign",
                                    "MaxRoiPool",
                                    "AffineGrid",
                                    "Upsample",
                                    "DeformConv",
                                    "MaxUnpool",
                                    "Imputer",
                                    "LabelEncoder",
                                    "Compress",
                                    "Range",
                                    "Det",
                                    "Acos",
                                    "Asin",
                                    "Acosh",
                                    "Atanh",
                                    "Tan",
                                    "Multinomial",
                                    "Bernoulli",
                                    "TreeEnsemble",
                                    "LinearClassifier",
                                    "SVMClassifier",
                                    "OneHot",
                                    "LpNormalization"};
static const char *const poles[] = {"Div",
                                    "Reciprocal",
                                    "Log",
                                    "Sqrt",
                                    "Pow",
                                    "ReduceLogSum",
                                    "ReduceL2",
                                    "ReduceLogSumExp",
                                    "LpPool",
                                    "GlobalLpPool",
                                    "BatchNormalization",
                                    "Adam",
                                    "Adagrad",
                                    "Normalizer",
                                    "ReduceProd",
                                    "MeanVarianceNormalization",
                                    "InstanceNormalization",
                                    "GroupNormalization"};
/* Results are operands, whole or in part. */
static const char *const moves[] = {
    "Reshape", "Transpose",      "Flatten",  "Squeeze",      "Unsqueeze",    "Concat", "Slice",     "Gather",    "Identity",      "Split",
    "Pad",     "Relu",           "Neg",      "Abs",          "Max",          "Min",    "Expand",    "Tile",      "Clip",          "Where",
    "MaxPool", "GatherElements", "GatherND", "DepthToSpace", "SpaceToDepth", "Trilu",  "ReduceMax", "ReduceMin", "GlobalMaxPool", "Constant"};
/* Operand 0 is a quantity, not a choice. */
static const char *const quantities[] = {"DequantizeLinear", "Reshape",    "Transpose", "Flatten", "Squeeze", "Unsqueeze",     "Slice",
                                         "Gather",           "Identity",   "Split",     "Pad",     "MaxPool", "MatMulInteger", "ConvInteger",
                                         "QLinearMatMul",    "QLinearConv"};
static const char *const random_ops[] = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike",
                                         "Bernoulli",    "Multinomial",   "Dropout"};
#define IS(list, op, len) is_one_of(list, sizeof(list) / sizeof *(list), op, len)

static bool is_one_of(const char *const *list, size_t count, const char *op, size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == len && memcmp(list[i], op, len) == 0)
            return true;
    return false;
}

static bool is(const char *op, size_t len, const char *name)
{
    return is_one_of(&name, 1, op, len);
}

bool gen_only_moves(const char *op, size_t len)
{
    return IS(moves, op, len);
}

bool gen_is_real(const struct pt_tensor *t)
{
    return (PT_TS_FLOAT | PT_TS_HALF) & PT_T(t->dtype);
}

/* --- what may follow rounding --------------------------------------------------------------------------------------------------------- */

/* Only the indices of MaxPool are steps. */
static bool has_steps(const char *op, size_t len, int outs)
{
    return IS(steps, op, len) && (!is(op, len, "MaxPool") || outs > 1);
}

static bool is_far_from_0(const struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++)
        if (fabs(pt_elem_f64(t, i)) < 0.1)
            return false;
    return true;
}

static bool tolerates(const struct gen *g, const char *op, size_t len, int outs, struct gen_value *const *in, int count)
{
    for (int i = 0; i < count; i++) {
        if (!in[i]->inexact)
            continue;
        if (!gen_is_real(&in[i]->t)) {
            if (!(i == 0 && IS(quantities, op, len)) && !is(op, len, "Concat"))
                return false;
        } else if ((has_steps(op, len, outs) && !(g->daring && i == 0 && is(op, len, "QuantizeLinear"))) ||
                   (IS(poles, op, len) && !is_far_from_0(&in[i]->t))) {
            return false;
        }
    }
    return true;
}

/* --- what is rounded --------------------------------------------------------------------------------------------------------------------- */

/* Every element is a multiple of 2^low and less than 2^high. */
struct bits {
    int low, high;
};

static struct bits bits_of(const struct pt_tensor *t)
{
    struct bits b = {0, 0};
    for (int64_t i = 0; i < pt_tensor_count(t); i++) {
        int e;
        double v = pt_elem_f64(t, i), m = isfinite(v) ? frexp(v, &e) : 0;
        if (!isfinite(v))
            return (struct bits){-1000, 1000};
        if (m == 0)
            continue;
        int low = e - 53 + __builtin_ctzll((unsigned long long)(int64_t)ldexp(fabs(m), 53));
        b.low = low < b.low ? low : b.low;
        b.high = e > b.high ? e : b.high;
    }
    return b;
}

static struct bits product(struct bits a, struct bits b)
{
    return (struct bits){a.low + b.low, a.high + b.high};
}

static struct bits sum(struct bits a, struct bits b, int64_t terms)
{
    int carry = 0;
    while (((int64_t)1 << carry) < terms)
        carry++;
    return (struct bits){a.low < b.low ? a.low : b.low, (a.high > b.high ? a.high : b.high) + carry};
}

/* What an operator that adds and multiplies needs at most; too much where it does something else. */
static struct bits bits_needed(const char *op, size_t len, struct gen_value *const *in, int count)
{
    struct bits b[3], none = {-1000, 1000};
    for (int i = 0; i < count && i < 3; i++)
        b[i] = bits_of(&in[i]->t);
    const struct pt_tensor *first = count > 0 ? &in[0]->t : NULL, *second = count > 1 ? &in[1]->t : NULL;
    if (second && (is(op, len, "Add") || is(op, len, "Sub") || (is(op, len, "Sum") && count == 2)))
        return sum(b[0], b[1], 2);
    if (second && is(op, len, "Mul"))
        return product(b[0], b[1]);
    if (second && is(op, len, "MatMul") && first->rank > 0)
        return sum(product(b[0], b[1]), (struct bits){0, 0}, first->dims[first->rank - 1]);
    if (second && is(op, len, "Conv") && second->rank > 0 && second->dims[0] > 0) {
        struct bits p = sum(product(b[0], b[1]), (struct bits){0, 0}, pt_tensor_count(second) / second->dims[0]);
        return count > 2 ? sum(p, b[2], 2) : p;
    }
    if (first && is(op, len, "ReduceSum"))
        return sum(b[0], (struct bits){0, 0}, pt_tensor_count(first));
    if (second && is(op, len, "DequantizeLinear"))
        return product(count > 2 ? sum(b[0], b[2], 2) : b[0], b[1]);
    return none;
}

static bool is_rounded(const char *op, size_t len, struct gen_value *const *in, int count, const struct pt_tensor *out)
{
    int room = out->dtype == PT_DOUBLE ? 53 : out->dtype == PT_FLOAT ? 24 : 11;
    if (IS(moves, op, len))
        return false;
    struct bits b = bits_needed(op, len, in, count);
    return b.high - b.low > room;
}

static bool is_power_of_2(const struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++) {
        int e;
        if (frexp(pt_elem_f64(t, i), &e) != 0.5)
            return false;
    }
    return true;
}

static bool depends_on_rounding(const char *op, size_t len, struct gen_value *const *in, int count, const struct pt_tensor *out)
{
    bool any = false, integers = false, quantises = is(op, len, "QuantizeLinear");
    for (int i = 0; i < count; i++) {
        any = any || in[i]->inexact;
        integers = integers || (in[i]->inexact && !gen_is_real(&in[i]->t));
    }
    if (gen_is_real(out))
        return any || is_rounded(op, len, in, count, out);
    return integers || (quantises && (any || count < 2 || !is_power_of_2(&in[1]->t)));
}

/* --- running a node ------------------------------------------------------------------------------------------------------------------------ */

static bool is_moderate(const struct pt_tensor *t)
{
    if (!gen_type_name(t->dtype) || t->rank > 6 || pt_tensor_count(t) > GEN_MAX_ELEMENTS)
        return false;
    for (int64_t i = 0; gen_is_real(t) && i < pt_tensor_count(t); i++) {
        double v = pt_elem_f64(t, i);
        if (!(fabs(v) <= MAX_MAGNITUDE))
            return false;
    }
    return true;
}

static struct gen_value *find(struct gen *g, const char *name, size_t len)
{
    for (int i = g->first; i < g->value_count; i++)
        if (g->values[i].t.data && strlen(g->values[i].name) == len && memcmp(g->values[i].name, name, len) == 0)
            return &g->values[i];
    return NULL;
}

/* The values named between the brackets. -1: too many. */
static int operands_of(struct gen *g, const char *text, struct gen_value *in[MAX_OPERANDS])
{
    const char *p = strchr(text, '('), *end = p ? strchr(p, ')') : NULL;
    int count = 0;
    for (p++; end && p < end; p += strspn(p, ", ")) {
        size_t len = strcspn(p, ",)");
        struct gen_value *v = find(g, p, len);
        if (v && count == MAX_OPERANDS)
            return -1;
        if (v)
            in[count++] = v;
        p += len;
    }
    return count;
}

/* Those, and the values that the node's graphs read around them. -1: too many. */
static int add_captures(struct gen *g, struct gen_value *in[MAX_OPERANDS], int count)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    for (const char *p = pt_buf_cstr(&g->graphs); *p;) {
        size_t len = strspn(p, letters);
        struct gen_value *v = len ? find(g, p, len) : NULL;
        for (int i = 0; v && i < count; i++)
            v = in[i] == v ? NULL : v;
        if (v && count == MAX_OPERANDS)
            return -1;
        if (v)
            in[count++] = v;
        p += len ? len : 1;
    }
    return count;
}

static void put_node_model(const struct gen *g, const char *node, struct gen_value *const *in, int in_count, int outs, struct pt_buf *text)
{
    pt_buf_printf(text, "opset %d\n", g->opset);
    pt_buf_append(text, g->functions.data, g->functions.len);
    for (int i = 0; i < in_count; i++) {
        bool again = false;
        for (int k = 0; k < i; k++)
            again = again || in[k] == in[i];
        if (again)
            continue;
        if (in[i]->constant) {
            gen_put_constant(text, in[i]);
        } else {
            pt_buf_printf(text, "in %s ", in[i]->name);
            gen_put_type(text, &in[i]->t, 0);
            pt_buf_putc(text, '\n');
        }
    }
    pt_buf_append(text, g->graphs.data, g->graphs.len);
    for (int i = 0; i < outs; i++)
        pt_buf_printf(text, "%sv%d", i ? "," : "", g->names + i);
    pt_buf_printf(text, " = %s\n", node);
    for (int i = 0; i < outs; i++)
        pt_buf_printf(text, "out v%d\n", g->names + i);
}

/* Runs the node alone with the reference operators; keeps its outputs as values. */
static bool run_node(struct gen *g, const char *node, struct gen_value *const *in, int in_count, int outs)
{
    struct pt_buf text = PT_BUF_INIT(0);
    struct pt_session_options o = {.thread_count = 1, .no_opt = true, .max_arena_bytes = 1 << 20};
    struct pt_session *s = NULL;
    struct pt_run *r = NULL;
    put_node_model(g, node, in, in_count, outs, &text);
    struct pt_buf model = test_model(pt_buf_cstr(&text));
    bool ok = g->value_count + outs <= GEN_MAX_VALUES && pt_session_open_memory(model.data, model.len, &o, &s, NULL) == 0 &&
              pt_run_create(s, &r, NULL) == 0;
    for (int i = 0; ok && i < in_count; i++)
        if (!in[i]->constant && pt_session_input_index(s, in[i]->name) >= 0)
            ok = pt_run_set_input(r, (size_t)pt_session_input_index(s, in[i]->name), &in[i]->t, NULL) == 0;
    ok = ok && pt_run_execute_with(r, &(struct pt_run_options){.size = sizeof(struct pt_run_options), .deadline_ms = 1000}, NULL) == 0;
    for (int i = 0; ok && i < outs; i++)
        ok = is_moderate(pt_run_output(r, (size_t)i));
    for (int i = 0; ok && i < outs; i++)
        ok = gen_copy(g, pt_run_output(r, (size_t)i), false) != NULL;
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&model);
    pt_buf_finish(&text);
    return ok;
}

static struct gen_value *add_node(struct gen *g, int outs, const char *node)
{
    struct gen_value *in[MAX_OPERANDS];
    size_t len = strcspn(node, "(");
    int first = g->value_count, count = operands_of(g, node, in), all = count < 0 ? -1 : add_captures(g, in, count);
    if (all < 0 || IS(random_ops, node, len) || !tolerates(g, node, len, outs, in, count) || !run_node(g, node, in, all, outs))
        return NULL;
    for (int i = 0; i < all; i++)
        in[i]->reads++;
    pt_buf_append(&g->lines, g->graphs.data, g->graphs.len);
    for (int i = 0; i < outs; i++) {
        struct gen_value *v = &g->values[first + i];
        v->inexact = depends_on_rounding(node, len, in, count, &v->t);
        pt_buf_printf(&g->lines, "%s%s", i ? "," : "", v->name);
    }
    pt_buf_printf(&g->lines, " = %s\n", node);
    return &g->values[first];
}

struct gen_value *gen_node(struct gen *g, int outs, const char *fmt, ...)
{
    char node[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(node, sizeof node, fmt, ap);
    va_end(ap);
    struct gen_value *v = add_node(g, outs, node);
    g->graphs.len = 0;
    return v;
}
