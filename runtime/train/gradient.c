/* SPDX-License-Identifier: Apache-2.0
 *
 * gradient.c: reverse-mode differentiation. Nodes between the values xs and the value y are visited back to front; each hands the derivative of y by
 * its output (the adjoint) on to its inputs, by a rule per operator. Rules are written in the operators that the runtime has anyway, and two of
 * its own: ones in the shape of a tensor, and a sum over what broadcasting repeated. y is differentiated as the sum of its elements.
 *
 * A Gradient node is taken at the values that xs name: its inputs must be those.
 */
#include "runtime/train/gradient.h"

#include "runtime/ops/table.h"
#include "runtime/ops/types.h"

#include <stdio.h>

/* --- operators that only gradients use -------------------------------------------------------------------------------------------------- */

static int ones_run(struct pt_op_ctx *c)
{
    int64_t n = pt_tensor_count(c->out[0]);
    for (int64_t i = 0; i < n; i++)
        pt_store_f64(c->out[0], i, 1, &(double){1});
    return PT_OK;
}

static const struct pt_op ones_like = {.type = "OnesLike",
                                       .since = {1},
                                       .min_in = 1,
                                       .max_in = 1,
                                       .max_out = 1,
                                       .types = {PT_TS_FLOAT | PT_TS_HALF},
                                       .infer = pt_infer_same,
                                       .run = ones_run};

static int sum_to_infer(struct pt_op_ctx *c)
{
    int64_t dims[PT_MAX_RANK];
    int rank = 0;
    if (!pt_bcast_dims(dims, &rank, c->in[1]) || !pt_bcast_dims(dims, &rank, c->in[0]) || rank != c->in[0]->rank)
        return pt_op_fail(c, PT_EINVAL, "%s is no repetition of %s", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    pt_op_set_out(c, 0, c->in[0]->dtype, c->in[1]->rank, c->in[1]->dims);
    c->scratch_bytes = (size_t)pt_tensor_count(c->in[1]) * sizeof(double);
    return PT_OK;
}

static int sum_to_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *const pair[] = {c->in[0], c->out[0]};
    int64_t off[PT_BCAST_MAX], n = pt_tensor_count(c->out[0]);
    double *sums = c->scratch, v;
    struct pt_bcast w;
    for (int64_t i = 0; i < n; i++)
        sums[i] = 0;
    pt_bcast_init(&w, c->in[0], 2, pair);
    for (int64_t r = 0; r < w.rows; r++) {
        pt_bcast_row(&w, r, off);
        for (int64_t i = 0; i < w.n; i++) {
            pt_load_f64(c->in[0], off[0] + i * w.step[0], 1, &v);
            sums[off[1] + i * w.step[1]] += v;
        }
    }
    pt_store_f64(c->out[0], 0, n, sums);
    return PT_OK;
}

/* Input 0 summed to the shape of input 1. */
static const struct pt_op sum_to = {.type = "SumTo",
                                    .since = {1},
                                    .min_in = 2,
                                    .max_in = 2,
                                    .max_out = 1,
                                    .types = {PT_TS_FLOAT | PT_TS_HALF},
                                    .infer = sum_to_infer,
                                    .run = sum_to_run};

/* --- building -------------------------------------------------------------------------------------------------------------------------------- */

struct grad {
    struct pt_graph *g;
    struct pt_err *err;
    struct pt_str name; /* of the Gradient node, for the names of what it becomes */
    int *adjoint;       /* per value that was there before: value id or -1 */
    uint8_t *depends;   /* per the same: on one of xs */
    int known;          /* how many were there */
};

/* A new node op(a, b); its output, or a negative code. A negative a or b is an earlier failure and goes through; b 0x7fffffff: there is none. */
#define NO_INPUT 0x7fffffff
static int emit(struct grad *d, const struct pt_op *op, int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? a : b;
    int out = pt_graph_add_value(d->g, d->err), at = out < 0 ? out : pt_graph_add_node(d->g, d->err);
    int *ids = at < 0 ? NULL : pt_graph_alloc(d->g, 3 * sizeof *ids, d->err);
    if (at < 0 || !ids)
        return at < 0 ? at : d->err->code;
    ids[0] = a;
    ids[1] = b;
    ids[2] = out;
    d->g->nodes[at] = (struct pt_node){.op = op,
                                       .version = 14,
                                       .name = d->name,
                                       .op_type = pt_str(op->type),
                                       .domain = PT_STR(""),
                                       .inputs = ids,
                                       .outputs = ids + 2,
                                       .input_count = b == NO_INPUT ? 1 : 2,
                                       .output_count = 1};
    d->g->values[out].producer = at;
    return out;
}

static int emit1(struct grad *d, const struct pt_op *op, int a)
{
    return emit(d, op, a, NO_INPUT);
}

/* Matrix product as Einsum, whose equation says what is transposed. */
static int emit_einsum(struct grad *d, const char *equation, int a, int b)
{
    int out = emit(d, &pt_op_einsum, a, b);
    struct pt_onnx_attr *attr = out < 0 ? NULL : pt_graph_alloc(d->g, sizeof *attr, d->err);
    if (!attr)
        return out < 0 ? out : d->err->code;
    *attr = (struct pt_onnx_attr){.name = PT_STR("equation"), .type = PT_ATTR_STRING, .s = pt_str(equation)};
    struct pt_node *n = &d->g->nodes[d->g->values[out].producer];
    n->attrs = attr;
    n->attr_count = 1;
    return out;
}

/* --- rules: the contribution to the adjoint of input k, given dy; x(k): inputs, y: output ------------------------------------------------ */

struct site {
    int in[2], y, dy, k; /* in[1] is -1 for an operator of one operand */
};
typedef int (*rule_fn)(struct grad *d, const struct site *s);

static int d_same(struct grad *d, const struct site *s)
{
    (void)d;
    return s->dy;
}

static int d_neg(struct grad *d, const struct site *s)
{
    return emit1(d, &pt_op_neg, s->dy);
}

static int d_sub(struct grad *d, const struct site *s)
{
    return s->k == 0 ? s->dy : d_neg(d, s);
}

static int d_mul(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_mul, s->dy, s->in[!s->k]);
}

static int d_div(struct grad *d, const struct site *s)
{
    int by = emit(d, &pt_op_div, s->dy, s->in[1]);
    return s->k == 0 ? by : emit1(d, &pt_op_neg, emit(d, &pt_op_mul, by, s->y));
}

static int d_pow(struct grad *d, const struct site *s)
{
    if (s->k == 1)
        return emit(d, &pt_op_mul, s->dy, emit(d, &pt_op_mul, s->y, emit1(d, &pt_op_log, s->in[0])));
    int less = emit(d, &pt_op_sub, s->in[1], emit1(d, &ones_like, s->in[1]));
    return emit(d, &pt_op_mul, s->dy, emit(d, &pt_op_mul, s->in[1], emit(d, &pt_op_pow, s->in[0], less)));
}

static int d_exp(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_mul, s->dy, s->y);
}

static int d_log(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_div, s->dy, s->in[0]);
}

static int d_sqrt(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_div, s->dy, emit(d, &pt_op_add, s->y, s->y));
}

static int d_sin(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_mul, s->dy, emit1(d, &pt_op_cos, s->in[0]));
}

static int d_cos(struct grad *d, const struct site *s)
{
    return emit1(d, &pt_op_neg, emit(d, &pt_op_mul, s->dy, emit1(d, &pt_op_sin, s->in[0])));
}

static int d_tanh(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_mul, s->dy, emit(d, &pt_op_sub, emit1(d, &ones_like, s->y), emit(d, &pt_op_mul, s->y, s->y)));
}

static int d_sigmoid(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_mul, s->dy, emit(d, &pt_op_mul, s->y, emit(d, &pt_op_sub, emit1(d, &ones_like, s->y), s->y)));
}

static int d_relu(struct grad *d, const struct site *s)
{
    return emit(d, &pt_op_mul, s->dy, emit1(d, &pt_op_sign, s->y)); /* y is never below 0 */
}

static int d_matmul(struct grad *d, const struct site *s)
{
    return s->k == 0 ? emit_einsum(d, "...ik,...jk->...ij", s->dy, s->in[1]) : emit_einsum(d, "...ij,...ik->...jk", s->in[0], s->dy);
}

/* The value does not depend on the operand's, or in steps only. */
static int d_none(struct grad *d, const struct site *s)
{
    (void)d;
    (void)s;
    return NO_INPUT;
}

static int d_sum_to(struct grad *d, const struct site *s)
{
    return s->k == 1 ? NO_INPUT : emit(d, &pt_op_mul, s->dy, emit1(d, &ones_like, s->in[0]));
}

static const struct {
    const struct pt_op *op;
    rule_fn rule;
} rules[] = {
    {&pt_op_identity, d_same}, {&pt_op_add, d_same},        {&pt_op_sub, d_sub},   {&pt_op_mul, d_mul},   {&pt_op_div, d_div},
    {&pt_op_neg, d_neg},       {&pt_op_pow, d_pow},         {&pt_op_exp, d_exp},   {&pt_op_log, d_log},   {&pt_op_sqrt, d_sqrt},
    {&pt_op_sin, d_sin},       {&pt_op_cos, d_cos},         {&pt_op_tanh, d_tanh}, {&pt_op_relu, d_relu}, {&pt_op_matmul, d_matmul},
    {&pt_op_sum, d_same},      {&pt_op_sigmoid, d_sigmoid}, {&pt_op_sign, d_none}, {&ones_like, d_none},  {&sum_to, d_sum_to},
};

static rule_fn rule_of(const struct pt_op *op)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == op)
            return rules[i].rule;
    return NULL;
}

/* --- the walk ------------------------------------------------------------------------------------------------------------------------------------
 */

static int find_value(const struct grad *d, struct pt_str name)
{
    for (int i = 0; i < d->known; i++)
        if (name.len && pt_str_eq(d->g->values[i].name, name))
            return i;
    return -1;
}

/* Adjoint of input k of node n += its rule's contribution. */
static int hand_on(struct grad *d, int node, int k, rule_fn rule)
{
    struct pt_node n = d->g->nodes[node]; /* the array moves while nodes are added */
    int x = n.inputs[k];
    struct site s = {.in = {n.inputs[0], n.input_count > 1 ? n.inputs[1] : -1}, .y = n.outputs[0], .dy = d->adjoint[n.outputs[0]], .k = k};
    int part = rule(d, &s);
    if (part == NO_INPUT)
        return PT_OK;
    part = emit(d, &sum_to, part, x);
    if (part >= 0 && d->adjoint[x] >= 0)
        part = emit(d, &pt_op_add, d->adjoint[x], part);
    d->adjoint[x] = part >= 0 ? part : d->adjoint[x];
    return part < 0 ? part : PT_OK;
}

static int back(struct grad *d, int node)
{
    const struct pt_node *n = &d->g->nodes[node];
    bool wanted = n->op && n->output_count > 0 && n->outputs[0] >= 0 && d->adjoint[n->outputs[0]] >= 0 && d->depends[n->outputs[0]];
    rule_fn rule = wanted ? rule_of(n->op) : NULL;
    if (wanted && !rule)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is not known", pt_node_text(n).s);
    int rc = PT_OK;
    for (int k = 0, count = n->input_count; wanted && rc == PT_OK && k < count; k++) {
        int x = d->g->nodes[node].inputs[k];
        if (x >= 0 && d->depends[x])
            rc = hand_on(d, node, k, rule);
    }
    return rc;
}

/* Marks what depends on xs, by the nodes in their order. */
static void mark(struct grad *d, int nodes)
{
    for (int i = 0; i < nodes; i++) {
        const struct pt_node *n = &d->g->nodes[i];
        bool any = false;
        for (int k = 0; k < n->input_count; k++)
            any = any || (n->inputs[k] >= 0 && d->depends[n->inputs[k]]);
        for (int k = 0; any && k < n->output_count; k++)
            if (n->outputs[k] >= 0)
                d->depends[n->outputs[k]] = 1;
    }
}

static const struct pt_onnx_attr *attr_of(const struct pt_node *n, const char *name, enum pt_attr_type type)
{
    const struct pt_onnx_attr *a = pt_node_attr(n, name);
    return a && a->type == type ? a : NULL;
}

/* xs stand first among the inputs, zs behind them. */
static int check_inputs(struct grad *d, const struct pt_node *n, const struct pt_onnx_attr *xs, const struct pt_onnx_attr *zs)
{
    size_t count = xs->count + (zs ? zs->count : 0);
    if (count != (size_t)n->input_count || (size_t)n->output_count > xs->count)
        return pt_fail(d->err, PT_EINVAL, "%s has %d inputs and %d outputs for %zu names", pt_node_text(n).s, n->input_count, n->output_count, count);
    for (size_t i = 0; i < count; i++) {
        struct pt_str name = i < xs->count ? xs->strings[i] : zs->strings[i - xs->count];
        if (n->inputs[i] < 0 || n->inputs[i] != find_value(d, name))
            return pt_fail(d->err, PT_EUNSUPPORTED, "%s: input %zu is not the value \"" PT_STR_FMT "\" that it is named after", pt_node_text(n).s, i,
                           PT_STR_ARG(name));
        d->depends[n->inputs[i]] |= i < xs->count;
    }
    return PT_OK;
}

/* The outputs: adjoints of xs; nothing of y comes from an x without one. */
static int give(struct grad *d, int node, int y)
{
    for (int k = 0; k < d->g->nodes[node].output_count; k++) {
        int x = d->g->nodes[node].inputs[k], out = d->g->nodes[node].outputs[k];
        if (out < 0)
            continue;
        int one = emit1(d, &ones_like, x), from = d->adjoint[x] >= 0 ? d->adjoint[x] : emit(d, &pt_op_sub, one, one);
        int copy = emit1(d, &pt_op_identity, x == y ? one : from);
        if (copy < 0)
            return copy;
        struct pt_node *n = &d->g->nodes[d->g->values[copy].producer];
        n->outputs[0] = out;
        d->g->values[out].producer = d->g->values[copy].producer;
        d->g->values[copy].producer = -1;
    }
    return PT_OK;
}

static int differentiate(struct grad *d, int node, int nodes)
{
    const struct pt_node *n = &d->g->nodes[node];
    const struct pt_onnx_attr *xs = attr_of(n, "xs", PT_ATTR_STRINGS), *zs = attr_of(n, "zs", PT_ATTR_STRINGS), *y = attr_of(n, "y", PT_ATTR_STRING);
    if (!xs || !y)
        return pt_fail(d->err, PT_EINVAL, "%s needs the attributes xs (strings) and y (a string)", pt_node_text(n).s);
    int of = find_value(d, y->s), rc = check_inputs(d, n, xs, zs);
    if (rc < 0)
        return rc;
    if (of < 0)
        return pt_fail(d->err, PT_EINVAL, "%s: there is no value \"" PT_STR_FMT "\"", pt_node_text(n).s, PT_STR_ARG(y->s));
    d->name = n->name;
    mark(d, nodes);
    if ((d->adjoint[of] = emit1(d, &ones_like, of)) < 0)
        return d->adjoint[of];
    for (int i = nodes - 1; rc == PT_OK && i >= 0; i--)
        rc = i == node ? PT_OK : back(d, i);
    if (rc == PT_OK && (rc = give(d, node, of)) == PT_OK)
        d->g->nodes[node].dead = true;
    return rc;
}

static bool is_gradient(const struct pt_node *n)
{
    return !n->dead && pt_str_eq(n->op_type, PT_STR("Gradient")) && pt_str_eq(n->domain, PT_STR("ai.onnx.preview.training"));
}

int pt_graph_expand_gradients(struct pt_graph *g, struct pt_err *err)
{
    int rc = PT_OK;
    for (int i = 0; rc == PT_OK && i < g->node_count; i++) {
        if (!is_gradient(&g->nodes[i]))
            continue;
        pt_auto_free int *adjoint = pt_reallocarray(NULL, (size_t)g->value_count + 1, sizeof *adjoint);
        pt_auto_free uint8_t *depends = pt_calloc((size_t)g->value_count + 1, 1);
        if (!adjoint || !depends)
            return pt_fail(err, PT_ENOMEM, "out of memory for a gradient");
        memset(adjoint, 0xff, ((size_t)g->value_count + 1) * sizeof *adjoint);
        struct grad d = {.g = g, .err = err, .adjoint = adjoint, .depends = depends, .known = g->value_count};
        rc = differentiate(&d, i, g->node_count);
        if (rc == PT_OK)
            rc = pt_graph_sort(g, err);
        i = -1; /* the order has changed */
    }
    return rc;
}

/* --- the row: what is left of it when the graph was expanded stands inside a loop or a branch ------------------------------------------------ */

static int gradient_infer(struct pt_op_ctx *c)
{
    return pt_op_fail(c, PT_EUNSUPPORTED, "a gradient inside a body is not supported");
}

const struct pt_op pt_op_gradient = {.domain = "ai.onnx.preview.training",
                                     .type = "Gradient",
                                     .since = {1},
                                     .min_in = 1,
                                     .max_in = PT_OP_VARIADIC,
                                     .max_out = PT_OP_VARIADIC,
                                     .infer = gradient_infer,
                                     .run = gradient_infer};
