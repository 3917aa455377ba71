/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c: see generate.h.
 */
#include "tests/graphs/generate.h"

#include "runtime/ops/op.h"

#include <float.h>

#define MAX_ELEMENTS 512
#define MAX_MAGNITUDE 1e4

/* --- choices ---------------------------------------------------------------------------------------------------------------------- */

uint32_t choose(struct choices *c, uint32_t n)
{
    if (!c->bytes)
        return pt_rand_below(&c->rand, n);
    uint32_t v = c->at < c->len ? c->bytes[c->at++] : 0; /* one byte a choice: a changed byte changes one choice */
    if (n > 256 && c->at < c->len)
        v = v << 8 | c->bytes[c->at++];
    return n ? v % n : 0;
}

bool choices_left(const struct choices *c)
{
    return !c->bytes || c->at < c->len;
}

/* --- texts --------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum pt_dtype dtype;
} types[] = {{"f32", PT_FLOAT}, {"f64", PT_DOUBLE}, {"i64", PT_INT64},   {"i32", PT_INT32},   {"i16", PT_INT16},  {"i8", PT_INT8},
             {"u8", PT_UINT8},  {"u32", PT_UINT32}, {"u64", PT_UINT64}, {"u16", PT_UINT16}, {"f16", PT_FLOAT16}, {"b", PT_BOOL}};
#define TYPES (sizeof types / sizeof *types)

static const char *type_name(enum pt_dtype t)
{
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].dtype == t)
            return types[i].name;
    return NULL;
}

/* free_dim: the axis to leave open, or -1. */
static void put_type(struct pt_buf *b, const struct pt_tensor *t, int free_dim)
{
    pt_buf_printf(b, "%s[", type_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        pt_buf_printf(b, "%s%lld", i ? "," : "", i == free_dim ? -1LL : (long long)t->dims[i]);
    pt_buf_putc(b, ']');
}

static void put_data(struct pt_buf *b, const struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++) {
        pt_buf_putc(b, i ? ',' : ':');
        if (t->dtype == PT_FLOAT16)
            pt_buf_printf(b, "%u", ((const uint16_t *)t->data)[i]);
        else if (t->dtype == PT_FLOAT || t->dtype == PT_DOUBLE)
            pt_buf_printf(b, "%.17g", pt_elem_f64(t, i));
        else
            pt_buf_printf(b, "%lld", (long long)pt_elem_i64(t, i));
    }
}

static void put_constant(struct pt_buf *b, const struct gen_value *v)
{
    pt_buf_printf(b, "const %s ", v->name);
    put_type(b, &v->t, -1);
    put_data(b, &v->t);
    pt_buf_putc(b, '\n');
}

/* --- values ---------------------------------------------------------------------------------------------------------------------------- */

static struct gen_value *new_value(struct gen *g, const char *prefix)
{
    if (g->value_count == GEN_MAX_VALUES)
        return NULL;
    struct gen_value *v = &g->values[g->value_count++];
    *v = (struct gen_value){0};
    snprintf(v->name, sizeof v->name, "%s%d", prefix, g->names++);
    return v;
}

static void drop_value(struct gen *g, struct gen_value *v)
{
    free(v->t.data);
    v->t.data = NULL;
    if (v == &g->values[g->value_count - 1])
        g->value_count--;
}

static const int64_t extremes[] = {0, -1, 1, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, (int64_t)1 << 40, -65536, 255, 1000000};

static int64_t extreme(struct gen *g)
{
    return extremes[choose(g->c, sizeof extremes / sizeof *extremes)];
}

/* Halves between -3 and 3, small integers. */
static void fill(struct gen *g, struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++) {
        int k = (int)choose(g->c, 13) - 6;
        float f = (float)k / 2;
        double d = (double)k / 2;
        uint16_t h = pt_f32_to_f16(f);
        if (g->hostile && choose(g->c, 8) == 0) {
            static const float odd[] = {NAN, INFINITY, -INFINITY, FLT_MAX, FLT_MIN / 4, -0.0f};
            f = odd[choose(g->c, 6)];
            d = (double)f;
        }
        int64_t n = g->hostile && t->dtype != PT_BOOL && choose(g->c, 4) == 0 ? extreme(g)
                  : t->dtype == PT_BOOL ? k & 1 : pt_dtype_bits(t->dtype) && (PT_TS_UINT & PT_T(t->dtype)) ? k + 6 : k;
        const void *p = t->dtype == PT_FLOAT ? (const void *)&f : t->dtype == PT_DOUBLE ? (const void *)&d : t->dtype == PT_FLOAT16 ? (const void *)&h : &n;
        memcpy((char *)t->data + (size_t)i * pt_dtype_size(t->dtype), p, pt_dtype_size(t->dtype));
    }
}

static bool make_tensor(struct pt_tensor *t, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    *t = (struct pt_tensor){.dtype = dtype, .rank = rank};
    if (rank)
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    if (!pt_tensor_need(dtype, rank, dims, &t->size_bytes) || pt_tensor_count(t) > MAX_ELEMENTS)
        return false;
    t->data = calloc(1, t->size_bytes + 1);
    return t->data != NULL;
}

static struct gen_value *add_value(struct gen *g, const char *prefix, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct gen_value *v = new_value(g, prefix);
    if (v && !make_tensor(&v->t, dtype, rank, dims)) {
        drop_value(g, v);
        return NULL;
    }
    return v;
}

static struct gen_value *add_constant(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct gen_value *v = add_value(g, "c", dtype, rank, dims);
    if (v)
        v->constant = true;
    return v;
}

struct gen_value *gen_constant(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct gen_value *v = add_constant(g, dtype, rank, dims);
    if (v) {
        fill(g, &v->t);
        put_constant(&g->lines, v);
    }
    return v;
}

struct gen_value *gen_number(struct gen *g, double d)
{
    struct gen_value *v = add_constant(g, PT_FLOAT, 0, (const int64_t[]){0});
    if (v) {
        *(float *)v->t.data = (float)d;
        put_constant(&g->lines, v);
    }
    return v;
}

struct gen_value *gen_ints(struct gen *g, int count, const int64_t *ints)
{
    int64_t n = count;
    struct gen_value *v = add_constant(g, PT_INT64, 1, &n);
    if (v) {
        memcpy(v->t.data, ints, (size_t)count * sizeof *ints);
        put_constant(&g->lines, v);
    }
    return v;
}

struct gen_value *gen_pick(struct gen *g, uint32_t mask, int rank)
{
    int fit = 0;
    struct gen_value *list[GEN_MAX_VALUES];
    for (int i = 0; i < g->value_count; i++) {
        struct gen_value *v = &g->values[i];
        if (v->t.data && (mask & PT_T(v->t.dtype)) && (rank < 0 || v->t.rank == rank) && !v->constant)
            list[fit++] = v;
    }
    /* the newest ones more often, so that graphs grow deep */
    if (fit == 0)
        return NULL;
    int last = fit - 1 - (int)choose(g->c, 3);
    return choose(g->c, 2) && last >= 0 ? list[last] : list[choose(g->c, (uint32_t)fit)];
}

/* --- nodes --------------------------------------------------------------------------------------------------------------------------------- */

static const char *const steps[] = {"Floor", "Ceil", "Round", "Sign", "Cast", "CastLike", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "ArgMax", "ArgMin",
                                    "TopK", "NonZero", "Mod", "Hardmax", "Unique", "IsNaN", "IsInf", "ThresholdedRelu", "Shrink", "NonMaxSuppression", "Not",
                                    "QuantizeLinear", "DynamicQuantizeLinear", "Binarizer", "BitCast", "MaxPool", "Resize", "GridSample", "RoiAlign", "MaxRoiPool",
                                    "AffineGrid", "Upsample", "DeformConv", "MaxUnpool", "Imputer", "LabelEncoder", "Compress", "Range", "Det", "Acos", "Asin", "Acosh",
                                    "Atanh", "Tan", "Multinomial", "Bernoulli", "TreeEnsemble", "LinearClassifier", "SVMClassifier", "OneHot", "LpNormalization"};
static const char *const poles[] = {"Div", "Reciprocal", "Log", "Sqrt", "Pow", "ReduceLogSum", "ReduceL2", "ReduceLogSumExp", "LpPool", "GlobalLpPool", "BatchNormalization",
                                    "Adam", "Adagrad", "Normalizer", "ReduceProd", "MeanVarianceNormalization", "InstanceNormalization", "GroupNormalization"};
/* Results are operands, whole or in part. */
static const char *const exact[] = {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Slice", "Gather", "Identity", "Split", "Pad", "Relu", "Neg",
                                    "Abs", "Max", "Min", "Expand", "Tile", "Clip", "Where", "MaxPool", "GatherElements", "GatherND", "DepthToSpace", "SpaceToDepth", "Trilu"};
static const char *const random_ops[] = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout"};
#define IS(list, op, len) is_one_of(list, sizeof(list) / sizeof *(list), op, len)

static bool is_one_of(const char *const *list, size_t count, const char *op, size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == len && memcmp(list[i], op, len) == 0)
            return true;
    return false;
}

static bool is_real(const struct pt_tensor *t)
{
    return (PT_TS_FLOAT | PT_TS_HALF) & PT_T(t->dtype);
}

/* Only the indices of MaxPool are steps. */
static bool has_steps(const char *op, size_t len, int outs)
{
    return IS(steps, op, len) && (len != 7 || memcmp(op, "MaxPool", 7) != 0 || outs > 1);
}

static bool is_far_from_0(const struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++)
        if (fabs(pt_elem_f64(t, i)) < 0.1)
            return false;
    return true;
}

/* May the operands be off by a rounding? */
static bool tolerates(const char *op, size_t len, int outs, struct gen_value *const *in, int count)
{
    for (int i = 0; i < count; i++) {
        if (!in[i]->inexact || !is_real(&in[i]->t))
            continue;
        if (has_steps(op, len, outs) || (IS(poles, op, len) && !is_far_from_0(&in[i]->t)))
            return false;
    }
    return true;
}

static bool is_moderate(const struct pt_tensor *t)
{
    if (!type_name(t->dtype) || t->rank > 6 || pt_tensor_count(t) > MAX_ELEMENTS)
        return false;
    for (int64_t i = 0; is_real(t) && i < pt_tensor_count(t); i++) {
        double v = pt_elem_f64(t, i);
        if (!(fabs(v) <= MAX_MAGNITUDE))
            return false;
    }
    return true;
}

/* The values named between the brackets. -1: too many. */
static int operands_of(struct gen *g, const char *text, struct gen_value *in[16])
{
    const char *p = strchr(text, '('), *end = p ? strchr(p, ')') : NULL;
    int count = 0;
    for (p++; end && p < end; p += strspn(p, ", ")) {
        size_t len = strcspn(p, ",)");
        for (int i = 0; i < g->value_count; i++)
            if (strlen(g->values[i].name) == len && memcmp(g->values[i].name, p, len) == 0) {
                if (count == 16)
                    return -1;
                in[count++] = &g->values[i];
                break;
            }
        p += len;
    }
    return count;
}

/* Runs the node alone with the reference operators; keeps its outputs as values. */
static bool run_node(struct gen *g, const char *node, struct gen_value **in, int in_count, int outs)
{
    struct pt_buf text = PT_BUF_INIT(0);
    struct pt_session_options o = {.thread_count = 1, .no_opt = true, .max_arena_bytes = 1 << 20};
    struct pt_session *s = NULL;
    struct pt_run *r = NULL;
    int first = g->names, fed = 0;
    bool ok = g->value_count + outs <= GEN_MAX_VALUES;
    pt_buf_printf(&text, "opset %d\n", g->opset);
    for (int i = 0; i < in_count; i++) {
        bool again = false;
        for (int k = 0; k < i; k++)
            again = again || in[k] == in[i];
        if (again)
            continue;
        if (in[i]->constant) {
            put_constant(&text, in[i]);
        } else {
            pt_buf_printf(&text, "in %s ", in[i]->name);
            put_type(&text, &in[i]->t, -1);
            pt_buf_putc(&text, '\n');
        }
    }
    for (int i = 0; i < outs; i++)
        pt_buf_printf(&text, "%sv%d", i ? "," : "", first + i);
    pt_buf_printf(&text, " = %s\n", node);
    for (int i = 0; i < outs; i++)
        pt_buf_printf(&text, "out v%d\n", first + i);
    struct pt_buf model = test_model(pt_buf_cstr(&text));
    ok = ok && pt_session_open_memory(model.data, model.len, &o, &s, NULL) == 0 && pt_run_create(s, &r, NULL) == 0;
    for (int i = 0; ok && i < in_count; i++)
        if (!in[i]->constant && pt_session_input_index(s, in[i]->name) >= 0)
            ok = pt_run_set_input(r, (size_t)pt_session_input_index(s, in[i]->name), &in[i]->t, NULL) == 0 && ++fed;
    ok = ok && pt_run_execute(r, NULL) == 0;
    for (int i = 0; ok && i < outs; i++)
        ok = is_moderate(pt_run_output(r, (size_t)i));
    for (int i = 0; ok && i < outs; i++) {
        const struct pt_tensor *t = pt_run_output(r, (size_t)i);
        struct gen_value *v = new_value(g, "v");
        v->t = *t;
        v->t.data = calloc(1, t->size_bytes + 1);
        if (t->size_bytes)
            memcpy(v->t.data, t->data, t->size_bytes);
    }
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&model);
    pt_buf_finish(&text);
    return ok;
}

struct gen_value *gen_node(struct gen *g, int outs, const char *fmt, ...)
{
    char node[1024];
    struct gen_value *in[16];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(node, sizeof node, fmt, ap);
    va_end(ap);
    size_t len = strcspn(node, "(");
    int first = g->value_count, count = operands_of(g, node, in);
    bool inexact = false;
    if (count < 0 || IS(random_ops, node, len) || !tolerates(node, len, outs, in, count) || !run_node(g, node, in, count, outs))
        return NULL;
    for (int i = 0; i < count; i++) {
        in[i]->reads++;
        inexact = inexact || in[i]->inexact;
    }
    for (int i = 0; i < outs; i++) {
        struct gen_value *v = &g->values[first + i];
        v->inexact = is_real(&v->t) && (inexact || !IS(exact, node, len));
        pt_buf_printf(&g->lines, "%s%s", i ? "," : "", v->name);
    }
    pt_buf_printf(&g->lines, " = %s\n", node);
    return &g->values[first];
}

/* --- any operator ---------------------------------------------------------------------------------------------------------------------------- */

#define PT_OP(name) extern const struct pt_op pt_op_##name;
#include "runtime/ops/rows.inc"
#undef PT_OP
#define PT_OP(name) &pt_op_##name,
static const struct pt_op *const ops[] = {
#include "runtime/ops/rows.inc"
};
#undef PT_OP

static const struct {
    const char *domain, *op, *list;
} attrs[] = {
#include "tests/graphs/attrs.inc"
};

static const char *const words[] = {"constant", "reflect", "edge", "wrap", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "tanh", "none", "nearest", "linear", "cubic",
                                    "bilinear", "DCR", "CRD", "add", "mul", "max", "min", "forward", "reverse", "bidirectional", "LEFT", "RIGHT", "mean", "sum", "half_pixel",
                                    "align_corners", "asymmetric", "pytorch_half_pixel", "zeros", "border", "reflection", "avg", "ij,jk->ik", "ii->i", "LOGISTIC", "SOFTMAX"};

static void put_attr(struct gen *g, struct pt_buf *b, const char *name, size_t len, char kind)
{
    struct choices *c = g->c;
    static const int to[] = {1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13};
    int count = kind == 'I' || kind == 'F' ? 1 + (int)choose(c, 4) : 1;
    pt_buf_printf(b, " %.*s=", (int)len, name);
    if (kind == 's')
        pt_buf_printf(b, "'%s'", words[choose(c, sizeof words / sizeof *words)]);
    else if (kind == 't')
        pt_buf_printf(b, "{f32[1]:%d}", (int)choose(c, 5) - 2);
    else if (len == 2 || (len >= 5 && memcmp(name + len - 5, "dtype", 5) == 0))
        pt_buf_printf(b, "%d", to[choose(c, sizeof to / sizeof *to)]);
    else {
        pt_buf_puts(b, count > 1 || kind == 'I' || kind == 'F' ? "[" : "");
        for (int i = 0; i < count; i++) {
            int64_t v = (int64_t)choose(c, 6) - (choose(c, 3) == 0 ? 3 : 0);
            v = g->hostile && choose(c, 4) == 0 ? extreme(g) : v;
            pt_buf_printf(b, kind == 'f' || kind == 'F' ? "%s%lld.5" : "%s%lld", i ? "," : "", (long long)v);
        }
        pt_buf_puts(b, kind == 'I' || kind == 'F' ? "]" : "");
    }
}

static void put_attrs(struct gen *g, struct pt_buf *b, const struct pt_op *op)
{
    const char *list = "";
    for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++)
        if (strcmp(attrs[i].op, op->type) == 0 && strcmp(attrs[i].domain, op->domain ? op->domain : "") == 0)
            list = attrs[i].list;
    while (*list) {
        size_t len = strcspn(list, " "), name = strcspn(list, ":");
        char kind = list[len - 1];
        if (choose(g->c, 3) == 0 && kind != 'g' && kind != 'S')
            put_attr(g, b, list, name, kind);
        list += len;
        list += strspn(list, " ");
    }
}

static enum pt_dtype type_in(struct gen *g, uint32_t mask)
{
    for (int tries = 0; tries < 8; tries++) {
        enum pt_dtype t = types[choose(g->c, TYPES)].dtype;
        if (mask == 0 || (mask & PT_T(t)))
            return t;
    }
    return PT_FLOAT;
}

static struct gen_value *any_operand(struct gen *g, uint32_t mask, const struct gen_value *like)
{
    struct gen_value *v = choose(g->c, 4) ? gen_pick(g, mask ? mask : ~0u, -1) : NULL;
    int64_t dims[4];
    int rank = (int)choose(g->c, 4);
    if (v)
        return v;
    if (like && choose(g->c, 2))
        return gen_constant(g, (mask == 0 || (mask & PT_T(like->t.dtype))) ? like->t.dtype : type_in(g, mask), like->t.rank, like->t.dims);
    for (int i = 0; i < rank; i++)
        dims[i] = choose(g->c, 5);
    return gen_constant(g, type_in(g, mask), rank, dims);
}

static void any_node(struct gen *g)
{
    const struct pt_op *op = ops[choose(g->c, sizeof ops / sizeof *ops)];
    int most = op->max_in > op->min_in + 3 ? op->min_in + 3 : op->max_in, count = op->min_in, outs = 1;
    struct gen_value *first = NULL;
    struct pt_buf node = PT_BUF_INIT(0);
    if (most > count)
        count += (int)choose(g->c, (uint32_t)(most - count + 1));
    if (op->max_out > 1 && choose(g->c, 2))
        outs = 1 + (int)choose(g->c, op->max_out > 3 ? 3 : (uint32_t)op->max_out);
    pt_buf_printf(&node, "%s%s%s(", op->domain ? op->domain : "", op->domain && *op->domain ? "::" : "", op->type);
    for (int i = 0; i < count && i < 15; i++) {
        uint32_t mask = 0;
        for (int k = 0; k <= i && k < 4; k++)
            mask = op->types[k] ? op->types[k] : mask;
        struct gen_value *v = i >= op->min_in && choose(g->c, 3) == 0 ? NULL : any_operand(g, mask, first);
        if (!v && i < op->min_in) {
            pt_buf_finish(&node);
            return;
        }
        first = first ? first : v;
        pt_buf_printf(&node, "%s%s", i ? "," : "", v ? v->name : "");
    }
    pt_buf_puts(&node, ")");
    put_attrs(g, &node, op);
    if (node.len < 1000)
        gen_node(g, outs, "%s", pt_buf_cstr(&node));
    pt_buf_finish(&node);
}

/* --- the model -------------------------------------------------------------------------------------------------------------------------------- */

static void add_inputs(struct gen *g)
{
    static const enum pt_dtype kinds[] = {PT_FLOAT, PT_FLOAT, PT_FLOAT, PT_FLOAT, PT_DOUBLE, PT_INT64, PT_INT32, PT_UINT8, PT_BOOL, PT_FLOAT16};
    uint32_t count = 1 + choose(g->c, GEN_MAX_INPUTS);
    for (uint32_t i = 0; i < count; i++) {
        int64_t dims[4];
        int rank = i == 0 ? 4 : (int)choose(g->c, 5);
        for (int k = 0; k < rank; k++)
            dims[k] = 1 + choose(g->c, k < 2 ? 4 : 5);
        struct gen_value *v = add_value(g, "x", i < 2 ? PT_FLOAT : kinds[choose(g->c, sizeof kinds / sizeof *kinds)], rank, dims);
        if (!v)
            return;
        fill(g, &v->t);
        g->input_count++;
    }
}

static void put_model(struct gen *g, struct pt_buf *text)
{
    bool any = false;
    pt_buf_printf(text, "opset %d\n", g->opset);
    for (int i = 0; i < g->input_count; i++) {
        pt_buf_printf(text, "in %s ", g->values[i].name);
        put_type(text, &g->values[i].t, choose(g->c, 3) == 0 ? 0 : -1);
        pt_buf_putc(text, '\n');
    }
    pt_buf_append(text, g->lines.data, g->lines.len);
    for (int i = g->input_count; i < g->value_count; i++) {
        const struct gen_value *v = &g->values[i];
        if (!v->t.data || v->constant || (v->reads && choose(g->c, 8)))
            continue;
        pt_buf_printf(text, "out %s\n", v->name);
        any = true;
    }
    if (!any)
        pt_buf_printf(text, "out %s\n", g->values[0].name);
}

void generate(struct gen *g, struct choices *c, int max_nodes, bool hostile, struct pt_buf *text)
{
    static const int opsets[] = {13, 17, 18, 20, 21, 22, 23, 24};
    *g = (struct gen){.c = c, .hostile = hostile};
    g->lines = (struct pt_buf)PT_BUF_INIT(0);
    g->opset = opsets[choose(c, sizeof opsets / sizeof *opsets)];
    add_inputs(g);
    for (int i = 0; i < max_nodes && choices_left(c) && g->value_count < GEN_MAX_VALUES - 24; i++) {
        if (choose(c, 3))
            gen_template(g);
        else
            any_node(g);
    }
    put_model(g, text);
}

void gen_finish(struct gen *g)
{
    for (int i = 0; i < g->value_count; i++)
        free(g->values[i].t.data);
    pt_buf_finish(&g->lines);
}
