/* SPDX-License-Identifier: Apache-2.0
 *
 * build.c: from names to numbers. Every value gets an id, every node its operator row.
 *
 * Names are looked up in scopes. A scope is a graph, or one call of a model-local function: then its nodes become nodes of the graph that calls, its
 * inputs and outputs are values that the call has, and everything else in it gets new values. A graph inside an attribute is a scope of its own
 * with a graph of its own; a name that it does not have is looked for in the scope around it and, if found there, becomes a capture.
 *
 * Each scope first defines the outputs of all its nodes, then links their inputs (a file need not be in order), which is when calls are
 * expanded and bodies built. So expansion is depth first and bounded: by depth, by the number of nodes, and a function that calls itself is refused.
 */
#include "runtime/graph/graph.h"

#include "base/map.h"
#include "runtime/ops/op.h"

/* The reader's structures are a few times larger than the shortest bytes that make them. */
#define ARENA_FACTOR 96
#define ARENA_FLOOR (1u << 20)
#define BODY_FLOOR (64u << 10)

#define MAX_NODES (1 << 22) /* with functions expanded, bodies included */
#define MAX_VALUES (1 << 26)
#define MAX_GRAPHS (1 << 14)

struct call {
    const struct pt_onnx_function *fn;
    const struct pt_onnx_attr *attrs; /* of the calling node, references already resolved */
    size_t attr_count;
    const struct call *outer;
};

struct scope {
    struct pt_graph *g;
    struct pt_graph *root; /* has the model */
    struct pt_map names;   /* -> id + 2, so that -1 (not given) is no NULL */
    struct pt_map outs;    /* of a function: names of its outputs -> ids of the call's, + 2 */
    struct scope *outer;   /* of a body: where names that are not here come from */
    struct pt_node *owner; /* of a body: gets the captures; only while it is built */
    int *owner_room;
    const struct pt_onnx_opset *opsets;
    size_t opset_count;
    const struct call *call; /* function whose attributes references mean, or NULL */
    const struct pt_graph_source *src;
    struct pt_err *err;
};

static void *as_value(int id)
{
    return (void *)(intptr_t)(id + 2);
}

static bool look_up(const struct pt_map *m, struct pt_str name, int *id)
{
    intptr_t v = (intptr_t)pt_map_get(m, name);
    *id = (int)v - 2;
    return v != 0;
}

static int set_name(struct scope *s, struct pt_str name, int id)
{
    return pt_map_set(&s->names, name, as_value(id), NULL, s->err);
}

/* --- values ------------------------------------------------------------------------------------------------------------ */

static int find_value(struct scope *s, struct pt_str name, int *id);

/* `outer` of the graph around becomes a value of this body: a constant, or an input that the owner feeds. */
static int capture(struct scope *s, struct pt_str name, int outer, int *id)
{
    struct pt_graph *g = s->g;
    const struct pt_value *from = &s->outer->g->values[outer];
    if ((*id = pt_graph_add_value(g, s->err)) < 0)
        return *id;
    g->values[*id].name = name;
    g->values[*id].constant = from->constant;
    if (!from->constant) {
        struct pt_node *n = s->owner;
        int have = g->input_count - g->own_input_count;
        if ((have & (have - 1)) == 0) { /* doubled at each power of two */
            int *inputs = pt_graph_alloc(g, (size_t)(g->own_input_count + 2 * have + 1) * sizeof *inputs, s->err);
            int *captures = pt_graph_alloc(g, (size_t)(2 * have + 1) * sizeof *captures, s->err);
            if (!inputs || !captures)
                return s->err->code;
            memcpy(inputs, g->inputs, (size_t)g->input_count * sizeof *inputs);
            if (have)
                memcpy(captures, g->captures, (size_t)have * sizeof *captures);
            g->inputs = inputs;
            g->captures = captures;
        }
        if (n->input_count == *s->owner_room) {
            int *more = pt_graph_alloc(s->outer->g, (size_t)(*s->owner_room * 2 + 4) * sizeof *more, s->err);
            if (!more)
                return s->err->code;
            memcpy(more, n->inputs, (size_t)n->input_count * sizeof *more);
            n->inputs = more;
            *s->owner_room = *s->owner_room * 2 + 4;
        }
        g->captures[have] = n->input_count;
        g->inputs[g->input_count++] = *id;
        n->inputs[n->input_count++] = outer;
        n->capture_count++;
    }
    return set_name(s, name, *id);
}

/* *id -1: not found, or an input of a function that the call does not give. */
static int find_value(struct scope *s, struct pt_str name, int *id)
{
    int outer;
    if (look_up(&s->names, name, id) || !s->outer)
        return PT_OK;
    int rc = find_value(s->outer, name, &outer);
    return rc < 0 || outer < 0 ? rc : capture(s, name, outer, id);
}

static int define_value(struct scope *s, struct pt_str name, int producer)
{
    int id;
    if (look_up(&s->names, name, &id))
        return pt_fail(s->err, PT_EPARSE, "value '" PT_STR_FMT "' is defined twice", PT_STR_ARG(name));
    if (!look_up(&s->outs, name, &id) && (id = pt_graph_add_value(s->g, s->err)) < 0)
        return id;
    if (s->g->value_count > MAX_VALUES)
        return pt_fail(s->err, PT_ELIMIT, "the graph has more than %d values", MAX_VALUES);
    s->g->values[id].name = name;
    s->g->values[id].producer = producer;
    int rc = set_name(s, name, id);
    return rc < 0 ? rc : id;
}

static bool is_overridable(const struct pt_graph_source *src, struct pt_str name)
{
    for (const char *const *o = src->overridable; o && *o; o++)
        if (pt_str_eq(name, pt_str(*o)))
            return true;
    return false;
}

/* Each must be an initializer that the file lists as an input too, which says its type. */
static int check_overridable(struct scope *s, const struct pt_onnx_graph *og)
{
    for (const char *const *o = s->src->overridable; o && *o; o++) {
        bool input = false, initializer = false;
        for (size_t i = 0; i < og->input_count && !input; i++)
            input = pt_str_eq(og->inputs[i].name, pt_str(*o));
        for (size_t i = 0; i < og->initializer_count && !initializer; i++)
            initializer = pt_str_eq(og->initializers[i].name, pt_str(*o));
        if (!input || !initializer)
            return pt_fail(s->err, PT_EINVAL, "'%s' is to be overridden, but is not both an initializer and an input of the model", *o);
    }
    return PT_OK;
}

static int define_inputs(struct scope *s, const struct pt_onnx_graph *og)
{
    struct pt_graph *g = s->g;
    int id = g->index == 0 ? check_overridable(s, og) : PT_OK;
    if (id < 0)
        return id;
    for (size_t i = 0; i < og->initializer_count; i++) {
        const struct pt_onnx_tensor *t = &og->initializers[i];
        if (g->index == 0 && is_overridable(s->src, t->name))
            continue;
        if ((id = define_value(s, t->name, -1)) < 0)
            return pt_wrap(s->err, "initializer"), id;
        g->values[id].constant = &t->t;
    }
    if (!(g->inputs = pt_graph_alloc(g, og->input_count * sizeof *g->inputs, s->err)))
        return s->err->code;
    for (size_t i = 0; i < og->input_count; i++) {
        if (look_up(&s->names, og->inputs[i].name, &id) && g->values[id].constant)
            continue;
        if (og->inputs[i].name.len == 0)
            return pt_fail(s->err, PT_EPARSE, "input %zu has no name", i);
        if ((id = define_value(s, og->inputs[i].name, -1)) < 0)
            return pt_wrap(s->err, "input"), id;
        g->inputs[g->input_count++] = id;
    }
    g->own_input_count = g->input_count;
    return PT_OK;
}

/* --- attributes --------------------------------------------------------------------------------------------------------- */

static const struct pt_onnx_attr *find_attr(const struct pt_onnx_attr *attrs, size_t count, struct pt_str name)
{
    for (size_t i = 0; i < count; i++)
        if (pt_str_eq(attrs[i].name, name))
            return &attrs[i];
    return NULL;
}

/* References become what the call gives, or the function's default, or nothing. */
static int resolve_attrs(struct scope *s, struct pt_node *n, const struct pt_onnx_node *on)
{
    bool refers = false;
    n->attrs = on->attrs;
    n->attr_count = on->attr_count;
    for (size_t i = 0; i < on->attr_count; i++)
        refers = refers || on->attrs[i].ref.p;
    if (!refers)
        return PT_OK;
    if (!s->call)
        return pt_fail(s->err, PT_EPARSE, "%s refers to an attribute of a function, but is in none", pt_node_text(n).s);
    struct pt_onnx_attr *attrs = pt_graph_alloc(s->g, on->attr_count * sizeof *attrs, s->err);
    if (!attrs)
        return s->err->code;
    n->attrs = attrs;
    n->attr_count = 0;
    for (size_t i = 0; i < on->attr_count; i++) {
        const struct pt_onnx_attr *a = &on->attrs[i];
        if (a->ref.p) {
            const struct pt_onnx_attr *given = find_attr(s->call->attrs, s->call->attr_count, a->ref);
            given = given ? given : find_attr(s->call->fn->attrs, s->call->fn->attr_count, a->ref);
            if (!given)
                continue;
            attrs[n->attr_count] = *given;
            attrs[n->attr_count].name = a->name;
            attrs[n->attr_count++].ref = (struct pt_str){0};
        } else {
            attrs[n->attr_count++] = *a;
        }
    }
    return PT_OK;
}

/* --- nodes ---------------------------------------------------------------------------------------------------------------- */

static int build_body(struct scope *outer, struct pt_node *owner, int *owner_room, const struct pt_onnx_graph *og, struct pt_graph **out);
static int expand(struct scope *s, struct pt_node *n, const struct pt_onnx_node *on, const struct pt_onnx_function *fn);

static const struct pt_onnx_function *find_function(const struct scope *s, const struct pt_onnx_node *on)
{
    const struct pt_onnx_model *m = &s->root->model;
    for (size_t i = 0; i < m->function_count; i++) {
        const struct pt_onnx_function *f = &m->functions[i];
        if (pt_str_eq(f->name, on->op_type) && pt_str_eq(f->domain, on->domain) && pt_str_eq(f->overload, on->overload))
            return f;
    }
    return NULL;
}

static int set_operator(struct scope *s, struct pt_node *n)
{
    for (size_t i = 0; i < s->opset_count; i++) {
        int64_t version = s->opsets[i].version;
        if (!pt_str_eq(s->opsets[i].domain, n->domain))
            continue;
        if (version < 1 || version > INT32_MAX)
            return pt_fail(s->err, PT_EPARSE, "opset version %lld is out of range", (long long)version);
        n->version = pt_op_version(n->domain, n->op_type, (int)version);
        n->op = pt_op_find(n->domain, n->op_type, version, NULL);
        return PT_OK;
    }
    return pt_fail(s->err, PT_EPARSE, "%s: the %s imports no opset of domain '" PT_STR_FMT "'", pt_node_text(n).s, s->call ? "function" : "model",
                   PT_STR_ARG(n->domain));
}

/* Operators always compute their first output, also when nobody gave it a name. */
static int define_outputs(struct scope *s, struct pt_node *n, const struct pt_onnx_node *on, int producer)
{
    struct pt_graph *g = s->g;
    if (!(n->outputs = pt_graph_alloc(g, on->output_count * sizeof *n->outputs, s->err)))
        return s->err->code;
    n->output_count = (int)on->output_count;
    for (size_t i = 0; i < on->output_count; i++) {
        n->outputs[i] = -1;
        if (on->outputs[i].len)
            n->outputs[i] = define_value(s, on->outputs[i], producer);
        else if (i == 0 && (n->outputs[0] = pt_graph_add_value(g, s->err)) >= 0)
            g->values[n->outputs[0]].producer = producer;
        if (n->outputs[i] < 0 && (i == 0 || on->outputs[i].len))
            return pt_wrap(s->err, "%s", pt_node_text(n).s), n->outputs[i];
    }
    return PT_OK;
}

/* What a node is before it has inputs. Calls get no node of the graph: theirs is `n` on the caller's side only. */
static int init_node(struct scope *s, struct pt_node *n, const struct pt_onnx_node *on, bool is_call, int producer)
{
    *n = (struct pt_node){.name = on->name, .op_type = on->op_type, .domain = on->domain};
    int rc = resolve_attrs(s, n, on);
    if (rc == PT_OK && !is_call)
        rc = set_operator(s, n);
    return rc < 0 ? rc : define_outputs(s, n, on, producer);
}

static int link_inputs(struct scope *s, struct pt_node *n, const struct pt_onnx_node *on, int *room)
{
    *room = (int)on->input_count + 4; /* rewrites append up to 4 operands */
    if (!(n->inputs = pt_graph_alloc(s->g, (size_t)*room * sizeof *n->inputs, s->err)))
        return s->err->code;
    for (size_t i = 0; i < on->input_count; i++) {
        n->inputs[i] = -1;
        int known, rc = on->inputs[i].len ? find_value(s, on->inputs[i], &n->inputs[i]) : PT_OK;
        if (rc < 0)
            return rc;
        if (on->inputs[i].len && n->inputs[i] < 0 && !look_up(&s->names, on->inputs[i], &known))
            return pt_fail(s->err, PT_EPARSE, "%s: input %zu '" PT_STR_FMT "' is produced by nothing", pt_node_text(n).s, i,
                           PT_STR_ARG(on->inputs[i]));
    }
    n->input_count = (int)on->input_count;
    while (n->input_count > 0 && n->inputs[n->input_count - 1] < 0)
        n->input_count--;
    return PT_OK;
}

static int build_bodies(struct scope *s, struct pt_node *n, int room)
{
    int count = 0;
    for (size_t i = 0; i < n->attr_count; i++)
        count += n->attrs[i].type == PT_ATTR_GRAPH;
    if (count == 0)
        return PT_OK;
    if (!(n->bodies = pt_graph_alloc(s->g, (size_t)count * sizeof *n->bodies, s->err)))
        return s->err->code;
    for (size_t i = 0; i < n->attr_count; i++) {
        int rc = n->attrs[i].type == PT_ATTR_GRAPH ? build_body(s, n, &room, n->attrs[i].g, &n->bodies[n->body_count]) : PT_OK;
        if (rc < 0)
            return pt_wrap(s->err, "%s", pt_node_text(n).s), rc;
        n->body_count += n->attrs[i].type == PT_ATTR_GRAPH;
    }
    return PT_OK;
}

/* What a list of nodes becomes: entries of the graph from `first` on, and calls, kept apart until they are expanded. */
struct batch {
    int *at; /* node of the graph, or -1 - call */
    struct pt_node *calls;
};

static int define_nodes(struct scope *s, const struct pt_onnx_node *nodes, size_t count, struct batch *b)
{
    int calls = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_call = find_function(s, &nodes[i]);
        int at = is_call ? -1 - calls : pt_graph_add_node(s->g, s->err);
        if (at < 0 && !is_call)
            return at;
        if (++s->root->node_total > MAX_NODES)
            return pt_fail(s->err, PT_ELIMIT, "the graph has more than %d nodes", MAX_NODES);
        b->at[i] = at;
        int rc = init_node(s, is_call ? &b->calls[calls++] : &s->g->nodes[at], &nodes[i], is_call, is_call ? -1 : at);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* A node's bodies may add nodes (expanded calls) only to graphs of their own, so the pointer stays good while they are built. */
static int link_nodes(struct scope *s, const struct pt_onnx_node *nodes, size_t count, const struct batch *b)
{
    for (size_t i = 0; i < count; i++) {
        int room, rc;
        if (b->at[i] < 0) {
            struct pt_node *n = &b->calls[-1 - b->at[i]];
            rc = link_inputs(s, n, &nodes[i], &room);
            if (rc == PT_OK)
                rc = expand(s, n, &nodes[i], find_function(s, &nodes[i]));
        } else {
            struct pt_node *n = &s->g->nodes[b->at[i]];
            rc = link_inputs(s, n, &nodes[i], &room);
            if (rc == PT_OK)
                rc = build_bodies(s, n, room);
        }
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int add_nodes(struct scope *s, const struct pt_onnx_node *nodes, size_t count)
{
    pt_auto_free int *at = pt_calloc(count + 1, sizeof *at);
    pt_auto_free struct pt_node *calls = pt_calloc(s->root->model.function_count ? count + 1 : 1, sizeof *calls);
    struct batch b = {at, calls};
    if (!at || !calls)
        return pt_fail(s->err, PT_ENOMEM, "out of memory for %zu nodes", count);
    int rc = define_nodes(s, nodes, count, &b);
    return rc < 0 ? rc : link_nodes(s, nodes, count, &b);
}

/* --- functions -------------------------------------------------------------------------------------------------------------- */

static int bind_call(struct scope *s, const struct pt_node *n, const struct pt_onnx_function *fn)
{
    if ((size_t)n->input_count > fn->input_count || (size_t)n->output_count > fn->output_count)
        return pt_fail(s->err, PT_EPARSE, "%s has %d inputs and %d outputs, the function has %zu and %zu", pt_node_text(n).s, n->input_count,
                       n->output_count, fn->input_count, fn->output_count);
    int rc = PT_OK, seen;
    for (size_t i = 0; rc == PT_OK && i < fn->input_count; i++) {
        if (look_up(&s->names, fn->inputs[i], &seen))
            return pt_fail(s->err, PT_EPARSE, "%s: the function has two inputs '" PT_STR_FMT "'", pt_node_text(n).s, PT_STR_ARG(fn->inputs[i]));
        rc = set_name(s, fn->inputs[i], i < (size_t)n->input_count ? n->inputs[i] : -1);
    }
    for (size_t i = 0; rc == PT_OK && i < (size_t)n->output_count; i++)
        if (n->outputs[i] >= 0 && !look_up(&s->names, fn->outputs[i], &seen) && !look_up(&s->outs, fn->outputs[i], &seen))
            rc = pt_map_set(&s->outs, fn->outputs[i], as_value(n->outputs[i]), NULL, s->err);
    return rc;
}

/* An output that is an input of the function, or the same as another output. */
static int add_identity(struct scope *s, int from, int to)
{
    struct pt_graph *g = s->g;
    int at = pt_graph_add_node(g, s->err);
    if (at < 0)
        return at;
    struct pt_node *n = &g->nodes[at];
    n->name = g->values[to].name;
    n->op_type = PT_STR("Identity");
    n->domain = PT_STR("");
    n->version = PT_MAX_OPSET;
    n->op = pt_op_find(n->domain, n->op_type, PT_MAX_OPSET, NULL);
    n->inputs = pt_graph_alloc(g, 5 * sizeof *n->inputs, s->err);
    n->outputs = pt_graph_alloc(g, sizeof *n->outputs, s->err);
    if (!n->inputs || !n->outputs)
        return s->err->code;
    n->inputs[0] = from;
    n->outputs[0] = to;
    n->input_count = n->output_count = 1;
    g->values[to].producer = at;
    return PT_OK;
}

static int finish_call(struct scope *s, const struct pt_node *n, const struct pt_onnx_function *fn)
{
    for (int i = 0; i < n->output_count; i++) {
        int id;
        if (n->outputs[i] < 0)
            continue;
        if (!look_up(&s->names, fn->outputs[i], &id) || id < 0)
            return pt_fail(s->err, PT_EPARSE, "%s: output '" PT_STR_FMT "' of the function is produced by nothing", pt_node_text(n).s,
                           PT_STR_ARG(fn->outputs[i]));
        int rc = id == n->outputs[i] ? PT_OK : add_identity(s, id, n->outputs[i]);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int expand(struct scope *s, struct pt_node *n, const struct pt_onnx_node *on, const struct pt_onnx_function *fn)
{
    struct call call = {fn, n->attrs, n->attr_count, s->call};
    int depth = 0;
    (void)on;
    for (const struct call *c = s->call; c; c = c->outer, depth++)
        if (c->fn == fn)
            return pt_fail(s->err, PT_EPARSE, "%s: function '" PT_STR_FMT "' calls itself", pt_node_text(n).s, PT_STR_ARG(fn->name));
    if (depth >= 64)
        return pt_fail(s->err, PT_ELIMIT, "%s: functions call each other deeper than 64", pt_node_text(n).s);
    struct scope inner = {
        .g = s->g, .root = s->root, .opsets = fn->opsets, .opset_count = fn->opset_count, .call = &call, .src = s->src, .err = s->err};
    if (fn->opset_count == 0) { /* before functions had imports of their own */
        inner.opsets = s->opsets;
        inner.opset_count = s->opset_count;
    }
    int rc = bind_call(&inner, n, fn);
    if (rc == PT_OK)
        rc = add_nodes(&inner, fn->nodes, fn->node_count);
    if (rc == PT_OK)
        rc = finish_call(&inner, n, fn);
    pt_map_finish(&inner.names);
    pt_map_finish(&inner.outs);
    return rc;
}

/* --- inputs and outputs ------------------------------------------------------------------------------------------------- */

static int fill_type(struct pt_graph *g, const struct pt_onnx_type *type, struct pt_value_info *out, struct pt_err *err)
{
    out->dtype = type->dtype;
    out->key_dtype = type->key_dtype;
    out->rank = pt_is_kind(type->dtype) ? 0 : type->rank;
    for (int i = 0; i < out->rank; i++) {
        out->dims[i] = type->dims[i];
        if (type->dim_names[i].len && !(out->dim_names[i] = pt_arena_strndup(&g->arena, type->dim_names[i].p, type->dim_names[i].len)))
            return pt_fail(err, PT_ENOMEM, "out of memory for names");
    }
    if (!type->elem)
        return PT_OK;
    struct pt_value_info *elem = pt_graph_alloc(g, sizeof *elem, err);
    if (!elem)
        return err->code;
    elem->name = out->name;
    out->elem = elem;
    return fill_type(g, type->elem, elem, err);
}

static int fill_info(struct pt_graph *g, const struct pt_onnx_value_info *vi, struct pt_value_info *out, struct pt_err *err)
{
    *out = (struct pt_value_info){0};
    if (!(out->name = pt_arena_strndup(&g->arena, vi->name.p, vi->name.len)))
        return pt_fail(err, PT_ENOMEM, "out of memory for names");
    return fill_type(g, &vi->type, out, err);
}

static int describe_ends(struct scope *s, const struct pt_onnx_graph *og)
{
    struct pt_graph *g = s->g;
    g->input_info = pt_graph_alloc(g, og->input_count * sizeof *g->input_info, s->err);
    g->output_info = pt_graph_alloc(g, og->output_count * sizeof *g->output_info, s->err);
    g->outputs = pt_graph_alloc(g, og->output_count * sizeof *g->outputs, s->err);
    if (!g->input_info || !g->output_info || !g->outputs)
        return s->err->code;
    int rc, k = 0, id;
    for (size_t i = 0; i < og->input_count; i++) {
        if (look_up(&s->names, og->inputs[i].name, &id) && g->values[id].constant)
            continue;
        if ((rc = fill_info(g, &og->inputs[i], &g->input_info[k++], s->err)) < 0)
            return rc;
    }
    for (size_t i = 0; i < og->output_count; i++) {
        if ((rc = find_value(s, og->outputs[i].name, &g->outputs[i])) < 0)
            return rc;
        if (g->outputs[i] < 0)
            return pt_fail(s->err, PT_EPARSE, "output '" PT_STR_FMT "' is produced by nothing", PT_STR_ARG(og->outputs[i].name));
        if ((rc = fill_info(g, &og->outputs[i], &g->output_info[i], s->err)) < 0)
            return rc;
    }
    g->output_count = (int)og->output_count;
    return PT_OK;
}

/* --- graphs ---------------------------------------------------------------------------------------------------------------- */

static int check_size(const struct pt_onnx_graph *og, struct pt_err *err)
{
    uint64_t values = og->initializer_count + og->input_count;
    for (size_t i = 0; i < og->node_count; i++)
        values += og->nodes[i].output_count + og->nodes[i].input_count;
    if (values > MAX_VALUES || og->node_count > MAX_NODES)
        return pt_fail(err, PT_ELIMIT, "the graph has %zu nodes and %llu operands: over the limit", og->node_count, (unsigned long long)values);
    return PT_OK;
}

static int build(struct scope *s, const struct pt_onnx_graph *og)
{
    int rc = check_size(og, s->err);
    if (rc == PT_OK)
        rc = define_inputs(s, og);
    if (rc == PT_OK)
        rc = add_nodes(s, og->nodes, og->node_count);
    if (rc == PT_OK)
        rc = describe_ends(s, og);
    if (rc == PT_OK)
        rc = pt_graph_sort(s->g, s->err);
    pt_map_finish(&s->names);
    return rc;
}

static size_t arena_cap(size_t len)
{
    size_t cap;
    if (__builtin_mul_overflow(len, (size_t)ARENA_FACTOR, &cap) || __builtin_add_overflow(cap, (size_t)ARENA_FLOOR, &cap))
        cap = SIZE_MAX / 2;
    return cap;
}

/* All graphs together take what one may: functions can make many bodies of a few bytes. */
static size_t body_cap(const struct pt_graph *root)
{
    size_t used = root->arena.used_bytes + root->body_bytes, left = root->arena.cap_bytes > used ? root->arena.cap_bytes - used : 0;
    return left < BODY_FLOOR ? BODY_FLOOR : left;
}

static int build_body(struct scope *outer, struct pt_node *owner, int *owner_room, const struct pt_onnx_graph *og, struct pt_graph **out)
{
    struct pt_graph *parent = outer->g, *root = outer->root;
    if (root->graph_count == MAX_GRAPHS)
        return pt_fail(outer->err, PT_ELIMIT, "the model has more than %d graphs in attributes", MAX_GRAPHS);
    struct pt_graph *g = pt_calloc(1, sizeof *g);
    if (!g)
        return pt_fail(outer->err, PT_ENOMEM, "out of memory for a graph");
    pt_arena_init(&g->arena, body_cap(root));
    pt_consts_init(&g->consts, outer->src->const_cap);
    g->next_body = parent->first_body;
    parent->first_body = g;
    g->index = root->graph_count++;
    *out = g;
    struct scope s = {.g = g,
                      .root = outer->root,
                      .outer = outer,
                      .owner = owner,
                      .owner_room = owner_room,
                      .opsets = outer->opsets,
                      .opset_count = outer->opset_count,
                      .call = outer->call,
                      .src = outer->src,
                      .err = outer->err};
    int rc = build(&s, og);
    root->body_bytes += g->arena.used_bytes;
    return rc;
}

int pt_graph_init(struct pt_graph *g, const struct pt_graph_source *src, struct pt_err *err)
{
    *g = (struct pt_graph){.graph_count = 1, .files = {.folder = src->folder}};
    pt_arena_init(&g->arena, arena_cap(src->len));
    pt_consts_init(&g->consts, src->const_cap);
    int rc = pt_onnx_read(src->model, src->len, &g->arena, &g->files, &g->model, err);
    if (rc < 0)
        return rc;
    struct scope s = {.g = g, .root = g, .opsets = g->model.opsets, .opset_count = g->model.opset_count, .src = src, .err = err};
    return build(&s, &g->model.graph);
}
