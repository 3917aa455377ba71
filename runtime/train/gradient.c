/* SPDX-License-Identifier: Apache-2.0
 *
 * gradient.c: reverse-mode differentiation. Nodes between the values xs and the value y are visited back to front; each hands the derivative of y by
 * its outputs (their adjoints) on to its inputs, by a rule per operator (rules.h). Rules are written in the operators that the runtime has anyway and
 * a few that only gradients use (ops.h), so that a gradient is compiled as everything else. y is differentiated as the sum of its elements.
 *
 * A Gradient node is taken at the values that xs name: its inputs must be those.
 */
#include "runtime/train/rules.h"

#include "runtime/ops/table.h"

/* --- building -------------------------------------------------------------------------------------------------------------------------------- */

int pt_grad_node(struct pt_grad *d, const struct pt_op *op, const struct pt_node *of, const int *in, int in_count, int outputs)
{
    for (int i = 0; i < in_count; i++)
        if (in[i] < 0)
            return in[i];
    int first = -1;
    for (int i = 0; i < outputs; i++) {
        int v = pt_graph_add_value(d->g, d->err);
        if (v < 0)
            return v;
        first = first < 0 ? v : first;
    }
    int at = pt_graph_add_node(d->g, d->err);
    int *ids = at < 0 ? NULL : pt_graph_alloc(d->g, (size_t)(in_count + outputs) * sizeof *ids, d->err);
    if (at < 0 || !ids)
        return at < 0 ? at : d->err->code;
    for (int i = 0; i < in_count; i++)
        ids[i] = in[i] == PT_GRAD_NONE ? -1 : in[i];
    for (int i = 0; i < outputs; i++) {
        ids[in_count + i] = first + i;
        d->g->values[first + i].producer = at;
    }
    d->g->nodes[at] = (struct pt_node){.op = op,
                                       .version = of ? of->version : 18,
                                       .name = d->name,
                                       .op_type = pt_str(op->type),
                                       .domain = pt_str(op->domain ? op->domain : ""),
                                       .attrs = of ? of->attrs : NULL,
                                       .attr_count = of ? of->attr_count : 0,
                                       .inputs = ids,
                                       .outputs = ids + in_count,
                                       .input_count = in_count,
                                       .output_count = outputs};
    return first;
}

/* A copy of the node's attributes with one more (or another value), which the caller writes. NULL with the error written. */
static struct pt_onnx_attr *attr_for(struct pt_grad *d, int value, const char *name, enum pt_attr_type type)
{
    struct pt_node *n = &d->g->nodes[d->g->values[value].producer];
    struct pt_onnx_attr *list = pt_graph_alloc(d->g, (n->attr_count + 1) * sizeof *list, d->err);
    size_t kept = 0;
    for (size_t i = 0; list && i < n->attr_count; i++)
        if (!pt_str_eq(n->attrs[i].name, pt_str(name)))
            list[kept++] = n->attrs[i];
    if (!list)
        return NULL;
    list[kept] = (struct pt_onnx_attr){.name = pt_str(name), .type = type};
    n->attrs = list;
    n->attr_count = kept + 1;
    return &list[kept];
}

int pt_grad_set_int(struct pt_grad *d, int value, const char *name, int64_t v)
{
    struct pt_onnx_attr *a = value < 0 ? NULL : attr_for(d, value, name, PT_ATTR_INT);
    if (!a)
        return value < 0 ? value : d->err->code;
    a->i = v;
    return value;
}

int pt_grad_set_float(struct pt_grad *d, int value, const char *name, float v)
{
    struct pt_onnx_attr *a = value < 0 ? NULL : attr_for(d, value, name, PT_ATTR_FLOAT);
    if (!a)
        return value < 0 ? value : d->err->code;
    a->f = v;
    return value;
}

int pt_grad_set_text(struct pt_grad *d, int value, const char *name, struct pt_str v)
{
    struct pt_onnx_attr *a = value < 0 ? NULL : attr_for(d, value, name, PT_ATTR_STRING);
    if (!a)
        return value < 0 ? value : d->err->code;
    a->s = v;
    return value;
}

int pt_grad_set_ints(struct pt_grad *d, int value, const char *name, const int64_t *v, size_t count)
{
    struct pt_onnx_attr *a = value < 0 ? NULL : attr_for(d, value, name, PT_ATTR_INTS);
    int64_t *copy = a ? pt_graph_alloc(d->g, (count + 1) * sizeof *v, d->err) : NULL;
    if (!copy)
        return value < 0 ? value : d->err->code;
    memcpy(copy, v, count * sizeof *v);
    a->ints = copy;
    a->count = count;
    return value;
}

float pt_grad_attr_float(const struct pt_grad_site *s, const char *name, float def)
{
    const struct pt_onnx_attr *a = pt_node_attr(&s->n, name);
    return a && a->type == PT_ATTR_FLOAT ? a->f : def;
}

int64_t pt_grad_attr_int(const struct pt_grad_site *s, const char *name, int64_t def)
{
    const struct pt_onnx_attr *a = pt_node_attr(&s->n, name);
    return a && a->type == PT_ATTR_INT ? a->i : def;
}

static int int64s(struct pt_grad *d, int rank, const int64_t *v, size_t count)
{
    int id = pt_graph_add_value(d->g, d->err);
    struct pt_tensor *t = id < 0 ? NULL : pt_graph_new_tensor(d->g, PT_INT64, rank, (const int64_t[]){(int64_t)count}, d->err);
    if (!t)
        return id < 0 ? id : d->err->code;
    memcpy(t->data, v, count * sizeof *v);
    d->g->values[id].constant = t;
    d->g->values[id].producer = -1;
    return id;
}

int pt_grad_int64(struct pt_grad *d, int64_t v)
{
    return int64s(d, 0, &v, 1);
}

int pt_grad_int64s(struct pt_grad *d, const int64_t *v, size_t count)
{
    return int64s(d, 1, v, count);
}

int pt_grad_number(struct pt_grad *d, float v, int like)
{
    int id = like < 0 ? like : pt_graph_add_value(d->g, d->err);
    struct pt_tensor *t = id < 0 ? NULL : pt_graph_new_tensor(d->g, PT_FLOAT, 0, NULL, d->err);
    if (!t)
        return id < 0 ? id : d->err->code;
    *(float *)t->data = v;
    d->g->values[id].constant = t;
    d->g->values[id].producer = -1;
    return pt_grad_emit(d, &pt_op_cast_like, id, like);
}

/* --- the walk ------------------------------------------------------------------------------------------------------------------------------------
 */

static int find_value(const struct pt_grad *d, struct pt_str name)
{
    for (int i = 0; i < d->known; i++)
        if (name.len && pt_str_eq(d->g->values[i].name, name))
            return i;
    return -1;
}

static const struct pt_grad_rule *rule_of(const struct pt_op *op)
{
    static const struct pt_grad_rule *const tables[] = {pt_grad_rules_math, pt_grad_rules_shape, pt_grad_rules_nn, pt_grad_rules_composed};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct pt_grad_rule *r = tables[t]; r->op; r++)
            if (r->op == op)
                return r;
    return NULL;
}

/* Adjoint of input k += its rule's contribution. */
static int hand_on(struct pt_grad *d, struct pt_grad_site *s, const struct pt_grad_rule *rule)
{
    int x = s->n.inputs[s->k], part = rule->rule(d, s);
    if (part == PT_GRAD_NONE)
        return PT_OK;
    if (part >= 0 && !(rule->flags & PT_GRAD_SHAPED))
        part = pt_grad_emit(d, &pt_grad_sum_to, part, x);
    if (part >= 0 && d->adjoint[x] >= 0)
        part = pt_grad_emit(d, &pt_op_add, d->adjoint[x], part);
    if (part >= 0)
        d->adjoint[x] = part;
    return part < 0 ? part : PT_OK;
}

/* Is one of the outputs on the way from xs to y? More than the first need a rule that looks at all. */
static int wanted(const struct pt_grad *d, const struct pt_node *n, bool all)
{
    bool any = false;
    for (int i = 0; i < n->output_count; i++) {
        int y = n->outputs[i];
        if (y < 0 || d->adjoint[y] < 0 || !d->depends[y])
            continue;
        if (i > 0 && !all)
            return pt_fail(d->err, PT_EUNSUPPORTED, "%s: the derivative by its output %d is not known", pt_node_text(n).s, i);
        any = true;
    }
    return any;
}

static int back(struct pt_grad *d, int node)
{
    const struct pt_node *n = &d->g->nodes[node];
    const struct pt_grad_rule *rule = n->op ? rule_of(n->op) : NULL;
    int any = wanted(d, n, !rule || rule->flags & PT_GRAD_ALL), rc = any < 0 ? any : PT_OK;
    if (any == 1 && !rule)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is not known", pt_node_text(n).s);
    struct pt_grad_site s = {.n = *n, .shared = -1};
    s.y = n->output_count > 0 && n->outputs[0] >= 0 ? n->outputs[0] : PT_GRAD_NONE;
    s.dy = pt_grad_dy(d, &s, 0);
    for (s.k = 0; any == 1 && rc == PT_OK && s.k < s.n.input_count; s.k++) {
        int x = s.n.inputs[s.k];
        if (x >= 0 && d->depends[x])
            rc = hand_on(d, &s, rule);
    }
    return rc;
}

/* Marks what depends on xs, by the nodes in their order. */
static void mark(struct pt_grad *d, int nodes)
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
static int check_inputs(struct pt_grad *d, const struct pt_node *n, const struct pt_onnx_attr *xs, const struct pt_onnx_attr *zs)
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
static int give(struct pt_grad *d, int node, int y)
{
    for (int k = 0; k < d->g->nodes[node].output_count; k++) {
        int x = d->g->nodes[node].inputs[k], out = d->g->nodes[node].outputs[k];
        if (out < 0)
            continue;
        int one = pt_grad_emit(d, &pt_grad_ones_like, x), from = d->adjoint[x] >= 0 ? d->adjoint[x] : pt_grad_emit(d, &pt_op_sub, one, one);
        int copy = pt_grad_emit(d, &pt_op_identity, x == y ? one : from);
        if (copy < 0)
            return copy;
        struct pt_node *n = &d->g->nodes[d->g->values[copy].producer];
        n->outputs[0] = out;
        d->g->values[out].producer = d->g->values[copy].producer;
        d->g->values[copy].producer = -1;
    }
    return PT_OK;
}

static int differentiate(struct pt_grad *d, int node, int nodes)
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
    if ((d->adjoint[of] = pt_grad_emit(d, &pt_grad_ones_like, of)) < 0)
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
        struct pt_grad d = {.g = g, .err = err, .adjoint = adjoint, .depends = depends, .known = g->value_count};
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
