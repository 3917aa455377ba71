/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_channels.c: which channels and heads go. Units (prune_units.h) that are output channels of one layer are a group; layers whose channels are
 * coupled share it. A unit is worth the mean over its weights in all layers that make it.
 *
 * A group keeps at least one unit, and so does every axis of every value: a half of a split must not vanish because the other half is worth more.
 */
#include "runtime/compress/prune_units.h"

#include <math.h>
#include <stdlib.h>

struct group {
    int64_t units, pinned, others; /* others: of the other kind: heads, or not */
    int64_t wanted;                /* to be removed */
    double amount, mean;
    int rule;
};
struct candidate {
    double worth;
    int root, group;
};

struct channels {
    struct pt_edit *e;
    const struct pt_prune_options *o;
    struct pt_err *err;
    struct pt_layers l;
    struct pt_shapes shapes, after;
    struct pt_shapes pair; /* with two samples; empty: the model does not take two */
    struct pt_units u;
    int *group_of; /* of each root; itself a union-find over roots: -1 none */
    double *sum;   /* of scores of each root's weights */
    int64_t *weights;
    struct group *groups; /* indexed as group_of says */
    struct candidate *c;  /* of all roots that may go */
    size_t count;
};

static int no_memory(struct channels *c)
{
    return pt_fail(c->err, PT_ENOMEM, "out of memory for pruning");
}

/* Labels of a layer's output channels; NULL: no rule came by. */
static const int *layer_labels(struct channels *c, const struct pt_layer *l)
{
    const struct pt_axes *w = pt_map_get(&c->u.values, c->e->model.graph.initializers[l->weight].name);
    return w ? w->labels[l->out_axis] : NULL;
}

static int group_root(struct channels *c, int root)
{
    while (c->group_of[root] != root)
        root = c->group_of[root] = c->group_of[c->group_of[root]];
    return root;
}

/* All output channels of a layer are one group. */
static void make_groups(struct channels *c)
{
    for (size_t r = 0; r < c->u.count; r++)
        c->group_of[r] = (int)r;
    for (size_t i = 0; i < c->l.count; i++) {
        const int *labels = layer_labels(c, &c->l.list[i]);
        int first = labels ? group_root(c, pt_units_root(&c->u, labels[0])) : 0;
        for (int64_t k = 1; labels && k < c->l.list[i].outs; k++)
            c->group_of[group_root(c, pt_units_root(&c->u, labels[k]))] = first;
    }
    /* roots of groups are settled. What the last of all rules that match any layer of a group says holds for the group */
    for (size_t i = 0; i < c->l.count; i++) {
        const int *labels = layer_labels(c, &c->l.list[i]);
        struct group *g = labels ? &c->groups[group_root(c, pt_units_root(&c->u, labels[0]))] : NULL;
        if (g && c->l.list[i].rule >= g->rule) {
            g->rule = c->l.list[i].rule;
            g->amount = c->l.list[i].amount;
        }
    }
}

/* --- what units are worth ------------------------------------------------------------------------------------------------------- */

static int add_scores(struct channels *c, struct pt_scores *scores, size_t i)
{
    const struct pt_layer *l = &c->l.list[i];
    const int *labels = layer_labels(c, l);
    pt_auto_free float *worth = pt_reallocarray(NULL, (size_t)l->count, sizeof *worth);
    int rc = worth ? pt_scores_get(scores, i, worth, c->err) : no_memory(c);
    for (int64_t e = 0; rc == PT_OK && e < l->count; e++) {
        int root = pt_units_root(&c->u, labels[pt_layer_out(l, e)]);
        c->sum[root] += (double)worth[e];
        c->weights[root]++;
    }
    return rc;
}

/* |scale| of every BatchNormalization that a unit goes through. */
static void add_scales(struct channels *c)
{
    const struct pt_onnx_graph *g = &c->e->model.graph;
    for (size_t i = 0; i < g->node_count; i++) {
        const struct pt_tensor *t = pt_node_is(&g->nodes[i], "", "BatchNormalization") ? pt_edit_constant(c->e, &g->nodes[i], 1) : NULL;
        struct pt_axes *v = t ? pt_units_in(&c->u, &g->nodes[i], 1) : NULL;
        for (int64_t k = 0; v && v->labels[0] && t->dtype == PT_FLOAT && k < pt_axis_size(v, 0); k++) {
            int root = pt_units_root(&c->u, v->labels[0][k]);
            float w;
            memcpy(&w, (const char *)t->data + 4 * k, 4);
            c->sum[root] += fabs((double)w);
            c->weights[root]++;
        }
    }
}

static bool is_prunable(struct channels *c, const struct pt_layer *l)
{
    const int *labels = layer_labels(c, l);
    bool any = false;
    for (int64_t k = 0; labels && k < l->outs && !any; k++) {
        const struct pt_unit *r = &c->u.units[pt_units_root(&c->u, labels[k])];
        any = !r->why && r->head == (c->o->kind == PT_PRUNE_HEADS);
    }
    return any && c->groups[group_root(c, pt_units_root(&c->u, labels[0]))].amount > 0;
}

static int score(struct channels *c, const struct pt_data *samples)
{
    struct pt_scores *scores = NULL;
    int rc = PT_OK;
    if (c->o->criterion == PT_PRUNE_BN_SCALE) {
        add_scales(c);
        for (size_t i = 0; i < c->l.count; i++) {
            const int *labels = layer_labels(c, &c->l.list[i]);
            for (int64_t k = 0; labels && k < c->l.list[i].outs && is_prunable(c, &c->l.list[i]); k++)
                if (!c->weights[pt_units_root(&c->u, labels[k])])
                    return pt_fail(c->err, PT_EINVAL,
                                   "layer '" PT_STR_FMT
                                   "': no BatchNormalization scales channel %lld; criterion bn-scale needs one, or leave it alone",
                                   PT_STR_ARG(c->l.list[i].name), (long long)k);
        }
        return PT_OK;
    }
    rc = pt_scores_open(c->e, &c->l, samples, c->o, &scores, c->err);
    for (size_t i = 0; rc == PT_OK && i < c->l.count; i++)
        if (is_prunable(c, &c->l.list[i]))
            rc = add_scores(c, scores, i);
    pt_scores_close(scores);
    return rc;
}

static double worth_of(const struct channels *c, int root)
{
    double mean = c->weights[root] ? c->sum[root] / (double)c->weights[root] : 0;
    return c->o->criterion == PT_PRUNE_L2 || c->o->criterion == PT_PRUNE_TAYLOR ? sqrt(mean) : mean;
}

/* --- choosing ------------------------------------------------------------------------------------------------------------------- */

static int by_group(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->worth < y->worth || x->worth > y->worth)
        return x->worth < y->worth ? -1 : 1;
    return (x->root > y->root) - (x->root < y->root);
}

static int by_worth(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->worth < y->worth || x->worth > y->worth)
        return x->worth < y->worth ? -1 : 1;
    return (x->root > y->root) - (x->root < y->root);
}

/* Roots that are some layer's channels: counts of groups, and who may go. */
static int find_candidates(struct channels *c)
{
    pt_auto_free bool *seen = pt_calloc(c->u.count + 1, sizeof *seen);
    if (!seen || !(c->c = pt_calloc(c->u.count + 1, sizeof *c->c)))
        return no_memory(c);
    for (size_t i = 0; i < c->l.count; i++) {
        const int *labels = layer_labels(c, &c->l.list[i]);
        for (int64_t k = 0; labels && k < c->l.list[i].outs; k++) {
            int root = pt_units_root(&c->u, labels[k]);
            struct group *g = &c->groups[group_root(c, root)];
            if (seen[root])
                continue;
            seen[root] = true;
            g->units++;
            if (c->u.units[root].why)
                g->pinned++;
            else if (c->u.units[root].head != (c->o->kind == PT_PRUNE_HEADS))
                g->others++;
            else if (g->amount > 0)
                c->c[c->count++] = (struct candidate){worth_of(c, root), root, group_root(c, root)};
        }
    }
    return PT_OK;
}

/* Globally: every group's scores become shares of its mean, and the least of all go. */
static void count_globally(struct channels *c)
{
    double cap = c->o->max_per_layer > 0 ? c->o->max_per_layer : 0.98;
    int64_t total = 0;
    for (size_t i = 0; i < c->count; i++)
        c->groups[c->c[i].group].mean += c->c[i].worth;
    for (size_t i = 0; i < c->count; i++) {
        const struct group *g = &c->groups[c->c[i].group];
        c->c[i].worth = g->mean > 0 ? c->c[i].worth / (g->mean / (double)(g->units - g->pinned - g->others)) : 0;
        total += !g->rule;
    }
    qsort(c->c, c->count, sizeof *c->c, by_worth);
    int64_t left = (int64_t)floor(c->o->amount * (double)total + 0.5);
    for (size_t i = 0; i < c->count && left > 0; i++) {
        struct group *g = &c->groups[c->c[i].group];
        if (g->rule || g->wanted + 1 > (int64_t)(cap * (double)g->units))
            continue;
        g->wanted++;
        left--;
    }
}

/* What stays is a multiple of round_to, and at least one. */
static void round_group(const struct channels *c, struct group *g)
{
    int64_t stays = g->units - g->wanted, step = c->o->round_to > 1 ? c->o->round_to : 1;
    stays = (stays + step - 1) / step * step;
    stays = stays < 1 ? 1 : stays > g->units ? g->units : stays;
    g->wanted = g->units - stays;
}

static void choose(struct channels *c)
{
    bool global = c->o->scope == PT_PRUNE_GLOBAL;
    if (global)
        count_globally(c);
    for (size_t r = 0; r < c->u.count; r++) {
        struct group *g = &c->groups[r];
        if (g->units && (!global || g->rule))
            g->wanted = (int64_t)floor(g->amount * (double)g->units + 0.5);
        if (g->units)
            round_group(c, g);
    }
    qsort(c->c, c->count, sizeof *c->c, by_group);
    for (size_t i = 0; i < c->count; i++) {
        struct group *g = &c->groups[c->c[i].group];
        if (g->wanted > 0) {
            g->wanted--;
            c->u.units[c->c[i].root].gone = true;
        }
    }
}

/* An axis that would become empty gets the unit back that is worth most. */
static void keep_one_of_each(struct channels *c)
{
    struct pt_str name;
    void *value;
    for (size_t i = 0; pt_map_next(&c->u.values, &i, &name, &value);) {
        const struct pt_axes *v = value;
        for (int axis = 0; axis < v->shape->rank; axis++) {
            int64_t size = v->labels[axis] ? pt_axis_size(v, axis) : 0;
            int best = -1;
            if (size == 0 || pt_units_axis_left(&c->u, v, axis) > 0)
                continue;
            for (int64_t k = 0; k < size; k++) {
                int root = pt_units_root(&c->u, v->labels[axis][k]);
                best = best < 0 || worth_of(c, root) > worth_of(c, best) ? root : best;
            }
            c->u.units[best].gone = false;
        }
    }
}

/* --- the report ----------------------------------------------------------------------------------------------------------------- */

static struct pt_str blame(struct channels *c, int node, const char *why)
{
    if (node < 0)
        return pt_edit_text(c->e, "%s", why);
    const struct pt_onnx_node *n = &c->e->model.graph.nodes[node];
    return pt_edit_text(c->e, "node '" PT_STR_FMT "' (" PT_STR_FMT "): %s", PT_STR_ARG(pt_node_label(n)), PT_STR_ARG(n->op_type), why);
}

/* Why nothing was taken from a layer. */
static struct pt_str reason_of(struct channels *c, const struct pt_layer *l)
{
    const int *labels = layer_labels(c, l);
    if (!labels)
        return pt_edit_text(c->e, "its channels are not followed");
    const struct group *g = &c->groups[group_root(c, pt_units_root(&c->u, labels[0]))];
    const struct pt_unit *pinned = NULL, *tied = NULL;
    for (int64_t k = 0; k < l->outs; k++) {
        const struct pt_unit *r = &c->u.units[pt_units_root(&c->u, labels[k])];
        pinned = r->why && !pinned ? r : pinned;
        tied = r->tied_by >= 0 && !tied ? r : tied;
    }
    if (pinned)
        return blame(c, pinned->pinned_by, pinned->why);
    if (g->amount <= 0)
        return pt_edit_text(c->e, "it was to be left alone");
    if (g->others)
        return pt_edit_text(c->e,
                            c->o->kind == PT_PRUNE_HEADS ? "its channels are no attention heads" : "its channels are attention heads (kind heads)");
    if (g->units == 1 && l->outs > 1 && tied)
        return blame(c, tied->tied_by, "all channels are tied together there");
    return pt_edit_text(c->e, "%g of %lld is less than one that can go", g->amount, (long long)g->units);
}

/* That nothing at all can go is an error: the reason of the first layer that is of the kind stands for all. */
static int check_any(struct channels *c)
{
    int64_t free_units = 0;
    size_t first = 0;
    for (size_t i = c->l.count; i-- > 0;) {
        const int *labels = layer_labels(c, &c->l.list[i]);
        if (labels && c->u.units[pt_units_root(&c->u, labels[0])].head == (c->o->kind == PT_PRUNE_HEADS))
            first = i;
    }
    for (size_t r = 0; r < c->u.count; r++)
        free_units += c->groups[r].units - c->groups[r].pinned - c->groups[r].others;
    if (free_units > 0)
        return PT_OK;
    return pt_fail(c->err, PT_EUNSUPPORTED, "no %s of the model can be removed; layer '" PT_STR_FMT "': " PT_STR_FMT, pt_prune_kinds[c->o->kind],
                   PT_STR_ARG(c->l.list[first].name), PT_STR_ARG(reason_of(c, &c->l.list[first])));
}

static int64_t heads_of(struct channels *c, const struct pt_layer *l, bool left_only)
{
    const int *labels = layer_labels(c, l);
    int64_t n = 0;
    int last = -1;
    for (int64_t k = 0; labels && k < l->outs; k++) {
        int root = pt_units_root(&c->u, labels[k]);
        n += root != last && !(left_only && c->u.units[root].gone);
        last = root;
    }
    return n;
}

static int fill_units(struct channels *c, struct pt_prune_report *r)
{
    for (size_t i = 0; i < c->l.count; i++) {
        const struct pt_layer *l = &c->l.list[i];
        const int *labels = layer_labels(c, l);
        r->layers[i].units = labels ? pt_units_left(&c->u, labels, l->outs) : l->outs;
        if (r->layers[i].units == l->outs)
            r->layers[i].reason = reason_of(c, l);
        if (!r->layers[i].reason.p)
            return no_memory(c);
        if (c->o->kind == PT_PRUNE_HEADS && labels && c->u.units[pt_units_root(&c->u, labels[0])].head) {
            r->layers[i].units_before = heads_of(c, l, false);
            r->layers[i].units = heads_of(c, l, true);
        }
    }
    return PT_OK;
}

/* --- all ------------------------------------------------------------------------------------------------------------------------ */

/* Weights of other real types can lose channels too. */
static void allow_other_types(struct channels *c)
{
    for (size_t i = 0; i < c->l.count; i++)
        c->l.list[i].reason = NULL;
}

static void find_pair(struct channels *c, const struct pt_data *samples, struct pt_shapes *out)
{
    struct pt_err unknown;
    if (pt_shapes_find(c->e, samples, 2, c->o->threads, out, &unknown) < 0)
        *out = (struct pt_shapes){0};
}

/* One sample does not show where a batch is folded into an axis: with two, outputs must be what they were. */
static int check_pair(struct channels *c, const struct pt_data *samples)
{
    const struct pt_onnx_graph *g = &c->e->model.graph;
    struct pt_shapes now = {0};
    int rc = c->pair.values.count ? pt_shapes_find(c->e, samples, 2, c->o->threads, &now, c->err) : PT_OK;
    for (size_t i = 0; rc == PT_OK && c->pair.values.count && i < g->output_count; i++) {
        struct pt_str name = g->outputs[i].name;
        const struct pt_tensor *was = pt_shape_of(&c->pair, name), *is = pt_shape_of(&now, name);
        const struct pt_tensor *one = pt_shape_of(&c->shapes, name), *one_now = pt_shape_of(&c->after, name);
        /* one that depends on what the numbers are shows nothing */
        bool judges = was && is && one && one_now && was->rank > 0 && pt_dims_equal(one, one_now);
        if (judges && (was->rank != is->rank || was->dims[0] != is->dims[0]))
            rc = pt_fail(c->err, PT_EUNSUPPORTED, "with two samples output '" PT_STR_FMT "' would become %s instead of %s", PT_STR_ARG(name),
                         PT_SHAPE(is), PT_SHAPE(was));
    }
    pt_shapes_finish(&now);
    return rc;
}

static int look(struct channels *c, const struct pt_data *samples)
{
    int rc = pt_layers_find(c->e, &c->l, c->err);
    if (rc == PT_OK)
        rc = pt_layers_apply_rules(c->e, &c->l, c->o, c->err);
    if (rc == PT_OK)
        rc = pt_shapes_find(c->e, samples, 1, c->o->threads, &c->shapes, c->err);
    if (rc == PT_OK)
        find_pair(c, samples, &c->pair);
    if (rc == PT_OK)
        rc = pt_units_find(&c->u, c->e, &c->shapes, c->o->through_norms, c->err);
    if (rc < 0)
        return rc;
    allow_other_types(c);
    c->group_of = pt_calloc(c->u.count + 1, sizeof *c->group_of);
    c->groups = pt_calloc(c->u.count + 1, sizeof *c->groups);
    c->sum = pt_calloc(c->u.count + 1, sizeof *c->sum);
    c->weights = pt_calloc(c->u.count + 1, sizeof *c->weights);
    if (!c->group_of || !c->groups || !c->sum || !c->weights)
        return no_memory(c);
    make_groups(c);
    return PT_OK;
}

static int change(struct channels *c, const struct pt_data *samples, struct pt_prune_report *report)
{
    struct pt_units_before before;
    int rc = pt_report_begin(c->e, &c->l, &c->shapes, report, c->err);
    if (rc == PT_OK)
        rc = fill_units(c, report);
    if (rc < 0)
        return rc;
    rc = c->o->zeros_only ? pt_units_zero(&c->u, &before) : pt_units_remove(&c->u, &before);
    if (rc == PT_OK && (rc = pt_shapes_find(c->e, samples, 1, c->o->threads, &c->after, c->err)) < 0)
        pt_wrap(c->err, "the model without what was removed");
    if (rc == PT_OK && !c->o->zeros_only)
        rc = pt_units_check(&c->u, &c->after);
    if (rc == PT_OK && !c->o->zeros_only && (rc = check_pair(c, samples)) < 0)
        pt_wrap(c->err, "the model without what was removed");
    if (rc == PT_OK)
        rc = pt_report_end(c->e, &c->l, &c->after, report, c->err);
    if (rc == PT_OK)
        rc = pt_edit_sweep(c->e, c->err);
    if (rc < 0)
        pt_units_restore(c->e, &before);
    return rc;
}

int pt_prune_channels(struct pt_edit *e, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_prune_report *report,
                      struct pt_err *err)
{
    struct channels c = {.e = e, .o = o, .err = err};
    int rc = look(&c, samples);
    if (rc == PT_OK)
        rc = score(&c, samples);
    if (rc == PT_OK)
        rc = find_candidates(&c);
    if (rc == PT_OK)
        rc = check_any(&c);
    if (rc == PT_OK) {
        choose(&c);
        keep_one_of_each(&c);
        rc = change(&c, samples, report);
    }
    pt_layers_finish(&c.l);
    pt_units_finish(&c.u);
    pt_shapes_finish(&c.shapes);
    pt_shapes_finish(&c.after);
    pt_shapes_finish(&c.pair);
    void *owned[] = {c.group_of, c.sum, c.weights, c.groups, c.c};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        pt_free(owned[i]);
    return rc;
}
