/* SPDX-License-Identifier: Apache-2.0
 *
 * prune.c: the kinds that make zeros: score, choose, write zeros, give masks. All that can fail comes before the first weight is changed.
 */
#include "runtime/compress/prune.h"

#include "runtime/compress/prune_parts.h"

#include <math.h>

static int no_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "out of memory for pruning");
}

/* Arrays of one layer each, beside the list of layers. */
struct work {
    struct pt_layers l;
    struct pt_scores *scores;
    float **worth;
    uint8_t **keep; /* NULL: left alone */
};

static void finish(struct work *w)
{
    for (size_t i = 0; i < w->l.count; i++) {
        pt_free(w->worth ? w->worth[i] : NULL);
        pt_free(w->keep ? w->keep[i] : NULL);
    }
    pt_free(w->worth);
    pt_free(w->keep);
    pt_scores_close(w->scores);
    pt_layers_finish(&w->l);
}

static bool is_left_alone(const struct pt_layer *l, const struct pt_prune_options *o)
{
    return l->reason || (l->rule && l->amount <= 0) || (o->kind != PT_PRUNE_N_OF_M && o->scope == PT_PRUNE_PER_LAYER && l->amount <= 0);
}

static int open_work(struct work *w, struct pt_edit *e, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_err *err)
{
    int rc = pt_layers_find(e, &w->l, err);
    if (rc == PT_OK)
        rc = pt_layers_apply_rules(e, &w->l, o, err);
    if (rc < 0)
        return rc;
    w->worth = pt_calloc(w->l.count, sizeof *w->worth);
    w->keep = pt_calloc(w->l.count, sizeof *w->keep);
    if (!w->worth || !w->keep)
        return no_memory(err);
    for (size_t i = 0; i < w->l.count; i++) {
        size_t n = (size_t)w->l.list[i].count;
        if (is_left_alone(&w->l.list[i], o))
            continue;
        if (!(w->worth[i] = pt_reallocarray(NULL, n, sizeof **w->worth)) || !(w->keep[i] = pt_malloc(n)))
            return no_memory(err);
        memset(w->keep[i], 1, n);
    }
    return pt_scores_open(e, &w->l, samples, o, &w->scores, err);
}

static int choose(struct work *w, const struct pt_prune_options *o, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < w->l.count; i++)
        if (w->keep[i])
            rc = pt_scores_get(w->scores, i, w->worth[i], err);
    return rc < 0 ? rc : pt_masks_choose(&w->l, w->worth, o, w->keep, err);
}

static int write_zeros(struct pt_edit *e, const struct work *w, struct pt_err *err)
{
    struct pt_onnx_tensor *inits = e->model.graph.initializers;
    pt_auto_free struct pt_tensor *before = pt_calloc(w->l.count, sizeof *before);
    int rc = before ? PT_OK : no_memory(err);
    size_t i = 0;
    for (; rc == PT_OK && i < w->l.count; i++) {
        before[i] = inits[w->l.list[i].weight].t;
        float *x = w->keep[i] ? pt_edit_floats(e, w->l.list[i].weight, err) : NULL;
        if (w->keep[i] && !x)
            rc = err->code;
        for (int64_t k = 0; x && k < w->l.list[i].count; k++)
            x[k] = w->keep[i][k] ? x[k] : 0;
    }
    while (rc < 0 && before && i-- > 0)
        inits[w->l.list[i].weight].t = before[i];
    return rc;
}

static int take_masks(struct pt_edit *e, struct work *w, struct pt_prune_report *r, struct pt_err *err)
{
    if (!(r->masks = pt_calloc(w->l.count, sizeof *r->masks)))
        return no_memory(err);
    for (size_t i = 0; i < w->l.count; i++)
        if (w->keep[i])
            r->masks[r->mask_count++] =
                (struct pt_train_mask){.name = e->model.graph.initializers[w->l.list[i].weight].name, .keep = pt_steal(w->keep[i])};
    return PT_OK;
}

static int prune_zeros(struct pt_edit *e, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_prune_report *r,
                       struct pt_err *err)
{
    struct work w = {0};
    struct pt_shapes shapes = {0};
    struct pt_err unknown;
    int rc = open_work(&w, e, samples, o, err);
    /* shapes are for counting only: a model whose inputs cannot be made up is pruned nevertheless */
    bool known = rc == PT_OK && pt_shapes_find(e, samples, 1, o->threads, &shapes, &unknown) == PT_OK;
    if (rc == PT_OK)
        rc = choose(&w, o, err);
    if (rc == PT_OK)
        rc = pt_report_begin(e, &w.l, known ? &shapes : NULL, r, err);
    if (rc == PT_OK)
        rc = write_zeros(e, &w, err);
    if (rc == PT_OK)
        rc = pt_report_end(e, &w.l, known ? &shapes : NULL, r, err);
    if (rc == PT_OK)
        rc = take_masks(e, &w, r, err);
    finish(&w);
    pt_shapes_finish(&shapes);
    return rc;
}

int pt_prune(struct pt_edit *model, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_prune_report *report,
             struct pt_err *err)
{
    *report = (struct pt_prune_report){0};
    int rc = pt_prune_check(o, samples, err);
    if (rc == PT_OK)
        rc = o->kind < PT_PRUNE_CHANNELS ? prune_zeros(model, samples, o, report, err) : pt_prune_channels(model, samples, o, report, err);
    if (rc < 0)
        pt_prune_report_finish(report);
    return rc;
}

/* --- masks ------------------------------------------------------------------------------------------------------------------ */

void pt_prune_masks_free(struct pt_train_mask *masks, size_t count)
{
    for (size_t i = 0; masks && i < count; i++)
        pt_free(masks[i].keep);
    pt_free(masks);
}

int pt_prune_masks_of(struct pt_edit *model, double min_share, struct pt_train_mask **masks, size_t *count, struct pt_err *err)
{
    struct pt_layers l;
    *masks = NULL;
    *count = 0;
    int rc = pt_layers_find(model, &l, err);
    if (rc == PT_OK && !(*masks = pt_calloc(l.count, sizeof **masks)))
        rc = no_memory(err);
    for (size_t i = 0; rc == PT_OK && i < l.count; i++) {
        const struct pt_onnx_tensor *x = &model->model.graph.initializers[l.list[i].weight];
        uint8_t *keep = l.list[i].reason ? NULL : pt_malloc((size_t)l.list[i].count);
        int64_t zeros = 0;
        if (!l.list[i].reason && !keep)
            rc = no_memory(err);
        for (int64_t k = 0; keep && k < l.list[i].count; k++) {
            float w;
            memcpy(&w, (const char *)x->t.data + (size_t)k * sizeof w, sizeof w);
            keep[k] = w < 0 || w > 0 || isnan(w);
            zeros += !keep[k];
        }
        if (keep && zeros > 0 && (double)zeros >= min_share * (double)l.list[i].count)
            (*masks)[(*count)++] = (struct pt_train_mask){.name = x->name, .keep = pt_steal(keep)};
        pt_free(keep);
    }
    pt_layers_finish(&l);
    if (rc < 0) {
        pt_prune_masks_free(*masks, *count);
        *masks = NULL;
        *count = 0;
    }
    return rc;
}

/* --- during training -------------------------------------------------------------------------------------------------------- */

struct pt_pruner {
    struct pt_edit *e;
    struct pt_prune_options o;
    struct pt_sparsity_schedule s;
    struct work w;
    struct pt_train_mask *masks;
    size_t mask_count;
    struct pt_prune_report before;
    bool known;
    struct pt_shapes shapes;
    int (*next)(void *arg, const struct pt_train_progress *p, struct pt_err *err);
    void *next_arg;
};

int pt_pruner_create(struct pt_edit *model, const struct pt_prune_options *o, const struct pt_sparsity_schedule *s, struct pt_pruner **out,
                     struct pt_err *err)
{
    struct pt_err unknown;
    *out = NULL;
    int rc = pt_prune_check(o, NULL, err);
    if (rc == PT_OK)
        rc = pt_sparsity_check(s, err);
    if (rc < 0)
        return rc;
    if (o->kind >= PT_PRUNE_CHANNELS)
        return pt_fail(err, PT_EINVAL, "kind %s removes for good; only kinds that make zeros can follow a schedule", pt_prune_kinds[o->kind]);
    struct pt_pruner *p = pt_calloc(1, sizeof *p);
    if (!p)
        return no_memory(err);
    *p = (struct pt_pruner){.e = model, .o = *o, .s = *s};
    p->o.amount = s->final; /* so that layers are not left alone */
    rc = open_work(&p->w, model, NULL, &p->o, err);
    p->known = rc == PT_OK && pt_shapes_find(model, NULL, 1, o->threads, &p->shapes, &unknown) == PT_OK;
    if (rc == PT_OK)
        rc = pt_report_begin(model, &p->w.l, p->known ? &p->shapes : NULL, &p->before, err);
    if (rc == PT_OK && !(p->masks = pt_calloc(p->w.l.count, sizeof *p->masks)))
        rc = no_memory(err);
    for (size_t i = 0; rc == PT_OK && i < p->w.l.count; i++)
        if (p->w.keep[i])
            p->masks[p->mask_count++] = (struct pt_train_mask){model->model.graph.initializers[p->w.l.list[i].weight].name, p->w.keep[i]};
    if (rc < 0)
        pt_pruner_destroy(p);
    else
        *out = p;
    return rc;
}

/* New masks for what the schedule says of step t. */
static int choose_at(struct pt_pruner *p, int64_t t, struct pt_err *err)
{
    p->o.amount = pt_sparsity_at(&p->s, t);
    for (size_t i = 0; i < p->w.l.count; i++)
        if (!p->w.l.list[i].rule)
            p->w.l.list[i].amount = p->o.amount;
    return choose(&p->w, &p->o, err);
}

/* Weights that are zero already are worth nothing and stay so. */
static int after_step(void *arg, const struct pt_train_progress *now, struct pt_err *err)
{
    struct pt_pruner *p = arg;
    int rc = PT_OK;
    if (pt_sparsity_is_due(&p->s, now->now.step)) {
        rc = choose_at(p, now->now.step, err);
        for (size_t i = 0; rc == PT_OK && i < p->w.l.count; i++) {
            float *x = p->w.keep[i] ? p->e->model.graph.initializers[p->w.l.list[i].weight].t.data : NULL; /* training made it writable */
            for (int64_t k = 0; x && k < p->w.l.list[i].count; k++)
                x[k] = p->w.keep[i][k] ? x[k] : 0;
        }
    }
    return rc == PT_OK && p->next ? p->next(p->next_arg, now, err) : rc;
}

int pt_pruner_attach(struct pt_pruner *p, struct pt_train_options *t, struct pt_err *err)
{
    if (t->mask_count)
        return pt_fail(err, PT_EINVAL, "the training has masks already; a schedule brings its own");
    p->next = t->after_step;
    p->next_arg = t->after_step_arg;
    t->masks = p->masks;
    t->mask_count = p->mask_count;
    t->after_step = after_step;
    t->after_step_arg = p;
    return pt_sparsity_is_due(&p->s, 0) ? choose_at(p, 0, err) : PT_OK; /* holds behind the first step */
}

int pt_pruner_report(struct pt_pruner *p, struct pt_prune_report *out, struct pt_err *err)
{
    *out = (struct pt_prune_report){.layers = pt_calloc(p->before.count + 1, sizeof *out->layers),
                                    .masks = pt_calloc(p->mask_count + 1, sizeof *out->masks),
                                    .total = p->before.total,
                                    .count = p->before.count};
    int rc = out->layers && out->masks ? PT_OK : no_memory(err);
    if (rc == PT_OK)
        memcpy(out->layers, p->before.layers, out->count * sizeof *out->layers);
    if (rc == PT_OK)
        rc = pt_report_end(p->e, &p->w.l, p->known ? &p->shapes : NULL, out, err);
    for (size_t i = 0, m = 0; rc == PT_OK && i < p->w.l.count; i++) {
        if (!p->w.keep[i])
            continue;
        uint8_t *keep = pt_malloc((size_t)p->w.l.list[i].count);
        if (!keep)
            rc = no_memory(err);
        else
            memcpy(keep, p->w.keep[i], (size_t)p->w.l.list[i].count);
        out->masks[m] = (struct pt_train_mask){p->masks[m].name, keep};
        out->mask_count = ++m;
    }
    if (rc < 0)
        pt_prune_report_finish(out);
    return rc;
}

void pt_pruner_destroy(struct pt_pruner *p)
{
    if (!p)
        return;
    finish(&p->w);
    pt_prune_report_finish(&p->before);
    pt_shapes_finish(&p->shapes);
    pt_free(p->masks);
    pt_free(p);
}
