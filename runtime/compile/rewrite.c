/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.c: the order of the rewrites and what they share.
 */
#include "runtime/compile/rewrite.h"

#include <math.h>
#include <stdio.h>

#define MAX_PASSES 8

static const struct {
    const char *name;
    pt_rewrite_fn fn;
} rows[PT_REWRITE_COUNT] = {
#define PT_X(name, what) [PT_REWRITE_##name] = {#name, pt_rewrite_##name},
    PT_REWRITES(PT_X)
#undef PT_X
};

static int unknown_name(struct pt_str name, struct pt_err *err)
{
    char all[PT_REWRITE_COUNT * 12] = "";
    for (int i = 0; i < PT_REWRITE_COUNT; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", rows[i].name);
    return pt_fail(err, PT_EINVAL, "there is no rewrite '" PT_STR_FMT "'; there are %s", PT_STR_ARG(name), all);
}

int pt_rewrite_parse(const char *names, uint32_t *off, struct pt_err *err)
{
    struct pt_str rest = pt_str(names ? names : ""), name;
    *off = 0;
    while (rest.len && pt_str_split(&rest, ',', &name)) {
        int i = 0;
        while (i < PT_REWRITE_COUNT && !pt_str_eq(name, pt_str(rows[i].name)))
            i++;
        if (i == PT_REWRITE_COUNT)
            return unknown_name(name, err);
        *off |= 1u << i;
    }
    return PT_OK;
}

/* --- uses ------------------------------------------------------------------------------------------------------------------------ */

/* Room in the tables for every value; in new places 0 uses and no alias. */
static int grow(struct pt_rewriter *r)
{
    int room = r->g->value_count + r->g->value_count / 4 + 64;
    if (r->room >= r->g->value_count)
        return PT_OK;
    int *uses = pt_reallocarray(r->uses, (size_t)room, sizeof *uses);
    if (uses)
        r->uses = uses;
    int *alias = uses ? pt_reallocarray(r->alias, (size_t)room, sizeof *alias) : NULL;
    if (!alias)
        return pt_fail(r->err, PT_ENOMEM, "out of memory for %d values", room);
    r->alias = alias;
    for (; r->room < room; r->room++) {
        uses[r->room] = 0;
        alias[r->room] = -1;
    }
    return PT_OK;
}

static int count_uses(struct pt_rewriter *r)
{
    struct pt_graph *g = r->g;
    if (grow(r) < 0)
        return PT_ENOMEM;
    for (int i = 0; i < r->room; i++) {
        r->uses[i] = 0;
        r->alias[i] = -1;
    }
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; !g->nodes[i].dead && k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] >= 0)
                r->uses[g->nodes[i].inputs[k]]++;
    for (int i = 0; i < g->output_count; i++)
        r->uses[g->outputs[i]]++;
    return PT_OK;
}

/* What stands for value now. Uses were moved when the alias was made. */
static int resolve(const struct pt_rewriter *r, int value)
{
    while (value >= 0 && r->alias[value] >= 0)
        value = r->alias[value];
    return value;
}

struct pt_node *pt_producer_of(const struct pt_rewriter *r, int value, const struct pt_op *op, bool only)
{
    struct pt_node *n = pt_producer(r, value);
    return n && n->op == op && n->outputs[0] == value && (!only || r->uses[value] == 1) ? n : NULL;
}

bool pt_constant_is(const struct pt_rewriter *r, int value, double v)
{
    const struct pt_tensor *t = pt_constant(r, value);
    return t && pt_tensor_count(t) == 1 && fabs(pt_elem_f64(t, 0) - v) <= 1e-6 * fabs(v);
}

bool pt_op_takes(const struct pt_op *op, enum pt_dtype t)
{
    return t != PT_UNDEFINED && (op->types[0] == 0 || (op->types[0] & PT_T(t)));
}

int64_t pt_node_int(const struct pt_node *n, const char *name, int64_t def)
{
    const struct pt_onnx_attr *a = pt_node_attr(n, name);
    return a && a->type == PT_ATTR_INT ? a->i : def;
}

bool pt_node_text_is(const struct pt_node *n, const char *name, const char *def, const char *value)
{
    const struct pt_onnx_attr *a = pt_node_attr(n, name);
    if (a && a->type == PT_ATTR_STRING)
        return pt_str_eq(a->s, pt_str(value));
    return !a && strcmp(def, value) == 0;
}

/* --- changes --------------------------------------------------------------------------------------------------------------------- */

void pt_set_input(struct pt_rewriter *r, int node, int i, int value)
{
    struct pt_node *n = &r->g->nodes[node];
    while (n->input_count <= i)
        n->inputs[n->input_count++] = -1;
    if (n->inputs[i] >= 0)
        r->uses[n->inputs[i]]--;
    n->inputs[i] = value;
    if (value >= 0)
        r->uses[value]++;
    r->changes++;
}

/* A place for an attribute of that name: the node gets its own list, in which the old one is replaced. */
static struct pt_onnx_attr *own_attr(struct pt_rewriter *r, int node, const char *name)
{
    struct pt_node *n = &r->g->nodes[node];
    struct pt_onnx_attr *list = pt_graph_alloc(r->g, (n->attr_count + 1) * sizeof *list, r->err);
    size_t count = 0;
    if (!list)
        return NULL;
    for (size_t i = 0; i < n->attr_count; i++)
        if (!pt_str_eq(n->attrs[i].name, pt_str(name)))
            list[count++] = n->attrs[i];
    list[count].name = pt_str(name);
    n->attrs = list;
    n->attr_count = count + 1;
    r->changes++;
    return &list[count];
}

int pt_set_ints(struct pt_rewriter *r, int node, const char *name, const int64_t *v, int count)
{
    int64_t *copy = pt_graph_alloc(r->g, (size_t)(count < 0 ? 0 : count) * sizeof *copy, r->err);
    struct pt_onnx_attr *a = copy ? own_attr(r, node, name) : NULL;
    if (!a)
        return r->err->code;
    a->type = count < 0 ? PT_ATTR_INT : PT_ATTR_INTS;
    if (count < 0) {
        a->i = *v;
    } else {
        memcpy(copy, v, (size_t)count * sizeof *v);
        a->ints = copy;
        a->count = (size_t)count;
    }
    return PT_OK;
}

int pt_set_float(struct pt_rewriter *r, int node, const char *name, float v)
{
    struct pt_onnx_attr *a = own_attr(r, node, name);
    if (!a)
        return r->err->code;
    a->type = PT_ATTR_FLOAT;
    a->f = v;
    return PT_OK;
}

int pt_set_text(struct pt_rewriter *r, int node, const char *name, const char *v)
{
    struct pt_onnx_attr *a = own_attr(r, node, name);
    if (!a)
        return r->err->code;
    a->type = PT_ATTR_STRING;
    a->s = pt_str(v);
    return PT_OK;
}

void pt_kill(struct pt_rewriter *r, int node)
{
    struct pt_node *n = &r->g->nodes[node];
    n->dead = true;
    for (int k = 0; k < n->input_count; k++)
        if (n->inputs[k] >= 0)
            r->uses[n->inputs[k]]--;
    r->changes++;
}

void pt_become(struct pt_rewriter *r, int node, const struct pt_op *op, int version)
{
    struct pt_node *n = &r->g->nodes[node];
    for (int k = 0; k < n->input_count; k++)
        pt_set_input(r, node, k, -1);
    n->op = op;
    n->version = version;
    n->op_type = pt_str(op->type);
    n->prepared = NULL;
    n->attrs = NULL;
    n->attr_count = 0;
    n->input_count = 0;
}

void pt_take_output(struct pt_rewriter *r, int node, int old)
{
    int value = r->g->nodes[old].outputs[0];
    r->g->nodes[node].outputs[0] = value;
    r->g->values[value].producer = node;
    pt_kill(r, old);
}

void pt_replace(struct pt_rewriter *r, int value, int other)
{
    other = resolve(r, other);
    r->uses[other] += r->uses[value];
    r->uses[value] = 0;
    r->alias[value] = other;
    r->changes++;
}

void pt_bypass(struct pt_rewriter *r, int node, int value)
{
    pt_replace(r, r->g->nodes[node].outputs[0], value);
    pt_kill(r, node);
}

int pt_add_constant(struct pt_rewriter *r, const struct pt_tensor *t)
{
    int id = pt_graph_add_value(r->g, r->err);
    if (id < 0)
        return id;
    r->g->values[id].constant = t;
    int rc = grow(r);
    return rc < 0 ? rc : id;
}

/* --- the passes --------------------------------------------------------------------------------------------------------------------- */

int pt_graph_prune(struct pt_graph *g, struct pt_err *err)
{
    pt_auto_free uint8_t *needed = pt_calloc((size_t)g->value_count + 1, 1);
    if (!needed)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (int i = 0; i < g->output_count; i++)
        needed[g->outputs[i]] = 1;
    for (int i = g->node_count - 1; i >= 0; i--) {
        struct pt_node *n = &g->nodes[i];
        bool used = false;
        for (int k = 0; k < n->output_count; k++)
            used = used || (n->outputs[k] >= 0 && needed[n->outputs[k]]);
        n->dead = n->dead || !used;
        for (int k = 0; !n->dead && k < n->input_count; k++)
            if (n->inputs[k] >= 0)
                needed[n->inputs[k]] = 1;
    }
    return PT_OK;
}

int pt_rewrite_dead(struct pt_rewriter *r, int node)
{
    return node < 0 ? pt_graph_prune(r->g, r->err) : PT_OK;
}

/* The row that only lowering looks at. */
int pt_rewrite_fuse(struct pt_rewriter *r, int node)
{
    (void)r;
    (void)node;
    return PT_OK;
}

void pt_follow_aliases(const struct pt_rewriter *r, int *values, int count)
{
    for (int i = 0; i < count; i++)
        values[i] = resolve(r, values[i]);
}

/* The whole graph first, then each node in order, after it has been told what its operands have become. */
static int run_row(struct pt_rewriter *r, pt_rewrite_fn fn)
{
    int rc = count_uses(r);
    if (rc == PT_OK)
        rc = fn(r, -1);
    for (int i = 0; rc == PT_OK && i < r->g->node_count; i++) {
        if (r->g->nodes[i].dead)
            continue;
        pt_follow_aliases(r, r->g->nodes[i].inputs, r->g->nodes[i].input_count);
        rc = fn(r, i);
    }
    if (rc == PT_OK)
        pt_follow_aliases(r, r->g->outputs, r->g->output_count);
    return rc;
}

int pt_rewrite_graph(struct pt_graph *g, uint32_t off, struct pt_err *err)
{
    struct pt_rewriter r = {.g = g, .changes = 1, .err = err};
    int rc = run_row(&r, pt_rewrite_prepare);
    if (rc == PT_OK && (off & PT_REWRITE_NO_OPT) != PT_REWRITE_NO_OPT)
        rc = pt_rewriter_probe(&r);
    for (int i = 0; rc == PT_OK && i < MAX_PASSES && r.changes; i++) {
        r.changes = 0;
        r.keep_integers = i == 0 && !(off & PT_REWRITE_BIT(qlinear));
        for (int row = 0; rc == PT_OK && row < PT_REWRITE_COUNT; row++) {
            if (off >> row & 1)
                continue;
            rc = run_row(&r, rows[row].fn);
        }
    }
    if (rc == PT_OK)
        rc = run_row(&r, pt_rewrite_prepare);
    pt_free(r.uses);
    pt_free(r.alias);
    pt_free(r.types);
    return rc;
}
