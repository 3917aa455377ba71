/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c: any operator of the table with operands, constants and attributes at random, and the model around the nodes. See generate.h.
 */
#include "tests/graphs/generate.h"

#include "runtime/ops/op.h"

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

static const char *const words[] = {"constant",
                                    "reflect",
                                    "edge",
                                    "wrap",
                                    "SAME_UPPER",
                                    "SAME_LOWER",
                                    "VALID",
                                    "NOTSET",
                                    "tanh",
                                    "none",
                                    "nearest",
                                    "linear",
                                    "cubic",
                                    "bilinear",
                                    "DCR",
                                    "CRD",
                                    "add",
                                    "mul",
                                    "max",
                                    "min",
                                    "forward",
                                    "reverse",
                                    "bidirectional",
                                    "LEFT",
                                    "RIGHT",
                                    "mean",
                                    "sum",
                                    "half_pixel",
                                    "align_corners",
                                    "asymmetric",
                                    "pytorch_half_pixel",
                                    "zeros",
                                    "border",
                                    "reflection",
                                    "avg",
                                    "ij,jk->ik",
                                    "ii->i",
                                    "LOGISTIC",
                                    "SOFTMAX"};

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
            v = g->hostile && choose(c, 4) == 0 ? gen_extreme(g) : v;
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

static struct gen_value *any_operand(struct gen *g, uint32_t mask, const struct gen_value *like)
{
    struct gen_value *v = choose(g->c, 4) ? gen_pick(g, mask ? mask : ~0u, -1) : NULL;
    int64_t dims[4];
    int rank = (int)choose(g->c, 4);
    if (v)
        return v;
    if (like && choose(g->c, 2))
        return gen_constant(g, (mask == 0 || (mask & PT_T(like->t.dtype))) ? like->t.dtype : gen_type_in(g, mask), like->t.rank, like->t.dims);
    for (int i = 0; i < rank; i++)
        dims[i] = choose(g->c, 5);
    return gen_constant(g, gen_type_in(g, mask), rank, dims);
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

void gen_grow(struct gen *g)
{
    static void (*const kinds[])(struct gen *) = {gen_layers,    gen_layers, gen_layers, gen_layers, gen_patterns, gen_patterns,
                                                  gen_quantised, gen_bodies, any_node,   any_node,   any_node};
    if (choices_left(g->c) && g->value_count < GEN_MAX_VALUES - 48)
        kinds[choose(g->c, sizeof kinds / sizeof *kinds)](g);
}

static void add_inputs(struct gen *g)
{
    static const enum pt_dtype kinds[] = {PT_FLOAT, PT_FLOAT, PT_FLOAT, PT_FLOAT, PT_DOUBLE, PT_INT64,
                                          PT_INT32, PT_UINT8, PT_INT8,  PT_BOOL,  PT_FLOAT16};
    uint32_t count = 1 + choose(g->c, GEN_MAX_INPUTS);
    for (uint32_t i = 0; i < count; i++) {
        int64_t dims[4];
        int rank = i == 0 ? 4 : (int)choose(g->c, 5);
        for (int k = 0; k < rank; k++)
            dims[k] = 1 + choose(g->c, k < 2 ? 4 : 5);
        if (!gen_input(g, i < 2 ? PT_FLOAT : kinds[choose(g->c, sizeof kinds / sizeof *kinds)], rank, dims))
            return;
        g->input_count++;
    }
}

static void put_model(struct gen *g, struct pt_buf *text)
{
    bool any = false;
    pt_buf_printf(text, "opset %d\n", g->opset);
    pt_buf_append(text, g->functions.data, g->functions.len);
    for (int i = 0; i < g->input_count; i++) {
        pt_buf_printf(text, "in %s ", g->values[i].name);
        gen_put_type(text, &g->values[i].t, choose(g->c, 3) ? choose(g->c, 3) == 0 : choose(g->c, 16)); /* none, the first, or any dims are free */
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
    *g = (struct gen){.c = c, .hostile = hostile, .lines = PT_BUF_INIT(0), .functions = PT_BUF_INIT(0), .graphs = PT_BUF_INIT(0)};
    g->opset = opsets[choose(c, sizeof opsets / sizeof *opsets)];
    add_inputs(g);
    for (int i = 0; i < max_nodes; i++)
        gen_grow(g);
    put_model(g, text);
}

void gen_finish(struct gen *g)
{
    for (int i = 0; i < g->value_count; i++)
        free(g->values[i].t.data);
    pt_buf_finish(&g->lines);
    pt_buf_finish(&g->functions);
    pt_buf_finish(&g->graphs);
}
