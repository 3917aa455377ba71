/* SPDX-License-Identifier: Apache-2.0
 *
 * owned.c: what a ModelDeployment owns besides pods: revisions, a Service, a PodDisruptionBudget; going back to a revision; and the taking in of
 * what has lost its owner.
 *
 * Orphans come from a deletion with --cascade=orphan, or from hands. They carry our labels, so a ModelDeployment of that name takes them in before
 * it makes anything of its own: its pods go on serving. Whoever carries out an adoption first asks the API server whether the
 * ModelDeployment is alive (run.c): our copy may be behind its deletion, and then the orphans would be deleted with it.
 */
#include "operator/model/view.h"

#include <stdio.h>
#include <stdlib.h>

static bool build_failed(struct pt_view *v, int rc)
{
    if (rc < 0)
        v->rc = rc;
    return rc < 0;
}

/* --- rollback ------------------------------------------------------------------------------------------------------------ */

static bool is_number(const char *text, int64_t *n)
{
    return pt_parse_i64(pt_str(text), 0, INT64_MAX, "revision", n, NULL) == PT_OK;
}

/* What an annotation asks for: a number, a name, or "0": the newest that the spec does not ask for now. */
static const struct pt_revision *wanted_revision(const struct pt_view *v, const char *wanted)
{
    const struct pt_revision *r, *best = NULL;
    int64_t n = -1;
    bool number = is_number(wanted, &n);
    for (r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next) {
        if (number ? n > 0 && r->number == n : !strcmp(r->o.name, wanted))
            return r;
        if (number && n == 0 && strcmp(r->data, v->s->md->spec.user_json) != 0 && (!best || r->number > best->number))
            best = r;
    }
    return best;
}

bool pt_plan_rollback(struct pt_view *v)
{
    const struct pt_md *md = v->s->md;
    if (!md->rollback_to || pt_view_left_out(v, PT_EFFECT_ROLLBACK, md->o.name))
        return false;
    pt_auto_buf b = PT_BUF_INIT(0);
    const struct pt_revision *r = wanted_revision(v, md->rollback_to);
    bool same = r && !strcmp(r->data, md->spec.user_json);
    if (build_failed(v, pt_build_rollback(md, r && !same ? r->data : NULL, &b, v->err)))
        return true;
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_ROLLBACK);
    e->name = md->o.name;
    e->uid = md->o.uid;
    e->body = pt_view_keep(v, &b);
    e->warning = !r;
    e->reason = !r ? "RollbackRevisionNotFound" : same ? "RollbackTemplateUnchanged" : "RollbackDone";
    e->message = !r     ? pt_view_text(v, "There is no revision \"%.100s\" to go back to", md->rollback_to)
                 : same ? pt_view_text(v, "The spec is that of revision %lld already", (long long)r->number)
                        : pt_view_text(v, "The spec is that of revision %lld (%s) again", (long long)r->number, r->o.name);
    return true;
}

/* --- replicas -------------------------------------------------------------------------------------------------------------- */

/* The autoscaler writes where kubectl scale and a HorizontalPodAutoscaler would: only one of them should. */
bool pt_plan_scale(struct pt_view *v)
{
    const struct pt_md *md = v->s->md;
    const struct pt_scaling *a = &v->s->scaling;
    pt_auto_buf b = PT_BUF_INIT(0);
    if (!a->on)
        return false;
    if (a->desired == md->spec.replicas || pt_view_left_out(v, PT_EFFECT_SCALE, md->o.name))
        return false;
    pt_buf_printf(&b, "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%llu\"},\"spec\":{\"replicas\":%d}}", md->o.uid, (unsigned long long)md->o.rv, a->desired);
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_SCALE);
    e->name = md->o.name;
    e->uid = md->o.uid;
    e->body = pt_view_keep(v, &b);
    e->reason = "SuccessfulRescale";
    e->message = pt_view_text(v, "New size: %d; reason: the load %s, it was %d", a->desired,
                              a->desired > md->spec.replicas ? a->panic ? "rose sharply" : "rose" : "fell", md->spec.replicas);
    return true;
}

/* --- ownership ----------------------------------------------------------------------------------------------------------- */

static void change_owner(struct pt_view *v, enum pt_effect_kind kind, const struct pt_object *o, bool ours)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    if (pt_view_left_out(v, kind, o->name) || build_failed(v, pt_build_ownership(v->s->md, o, ours, &b, v->err)))
        return;
    struct pt_effect *e = pt_view_effect(v, kind);
    e->name = o->name;
    e->uid = o->uid;
    e->body = pt_view_keep(v, &b);
    e->reason = ours ? "Adopted" : "Released";
    e->message = pt_view_text(v, ours ? "Took in %s, which had no owner" : "Let go of %s, whose labels were changed", o->name);
}

static bool is_orphan(const struct pt_object *o)
{
    return o && !o->owner_uid && o->owner_name;
}

bool pt_plan_adopt(struct pt_view *v)
{
    const struct pt_object *o;
    size_t before = v->plan->count;
    for (o = v->s->orphan_revisions ? &v->s->orphan_revisions->o : NULL; o; o = o->next)
        change_owner(v, PT_EFFECT_ADOPT_REVISION, o, true);
    for (const struct pt_pod *p = v->s->orphan_pods; p; p = (const struct pt_pod *)p->o.next)
        if (!p->terminating && p->phase != PT_PHASE_ENDED)
            change_owner(v, PT_EFFECT_ADOPT_POD, &p->o, true);
    if (v->s->named[PT_NAMED_SERVICE].is && is_orphan(&v->s->named[PT_NAMED_SERVICE].is->o))
        change_owner(v, PT_EFFECT_ADOPT_SERVICE, &v->s->named[PT_NAMED_SERVICE].is->o, true);
    if (v->s->named[PT_NAMED_BUDGET].is && is_orphan(&v->s->named[PT_NAMED_BUDGET].is->o))
        change_owner(v, PT_EFFECT_ADOPT_BUDGET, &v->s->named[PT_NAMED_BUDGET].is->o, true);
    for (const struct pt_pod *p = v->s->pods; p; p = (const struct pt_pod *)p->o.next)
        if (p->strayed && !p->terminating)
            change_owner(v, PT_EFFECT_RELEASE_POD, &p->o, false);
    return v->plan->count > before;
}

/* --- revisions ----------------------------------------------------------------------------------------------------------- */

static int64_t highest_number(const struct pt_view *v)
{
    int64_t n = 0;
    for (const struct pt_revision *r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        if (r->number > n)
            n = r->number;
    return n;
}

bool pt_plan_revision(struct pt_view *v)
{
    const struct pt_md *md = v->s->md;
    v->collisions = md->collisions;
    pt_revision_name(md, md->spec.user_json, v->collisions, v->update);
    v->update_revision = pt_view_revision(v, v->update);
    v->current_revision = *md->current_revision ? pt_view_revision(v, md->current_revision) : NULL;
    if ((md->spec.paused || v->compressing) && !v->update_revision) { /* as for a Deployment: what the spec says now waits */
        v->held = true;
        v->update_revision = pt_view_revision(v, md->update_revision);
        snprintf(v->update, sizeof v->update, "%s", v->update_revision ? v->update_revision->o.name : "");
        return true;
    }
    if (v->update_revision ? strcmp(v->update_revision->data, md->spec.user_json) != 0 : v->s->revision_taken) {
        v->collisions++;
        return false;
    }
    pt_auto_buf b = PT_BUF_INIT(0);
    int64_t highest = highest_number(v);
    if (!v->update_revision) {
        if (pt_build_revision(md, v->update, highest + 1, v->made.uri ? &v->made : NULL, &b, v->err) < 0)
            v->rc = v->err->code;
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_CREATE_REVISION);
        e->name = v->update;
        e->body = pt_view_keep(v, &b);
        e->reason = "NewRevision";
        e->message = pt_view_text(v, "Created revision %s", v->update);
    } else if (v->update_revision->number < highest && !md->spec.paused) { /* back to an earlier one */
        pt_buf_printf(&b, "{\"metadata\":{\"uid\":\"%s\"},\"revision\":%lld}", v->update_revision->o.uid, (long long)highest + 1);
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_NUMBER_REVISION);
        e->name = v->update_revision->o.name;
        e->body = pt_view_keep(v, &b);
        e->reason = "Rollback";
        e->message = pt_view_text(v, "Going back to revision %s", v->update);
    }
    return true;
}

static bool in_use(const struct pt_view *v, const struct pt_revision *r)
{
    if (r == v->update_revision || r == v->current_revision || !strcmp(r->o.name, v->s->md->update_revision) ||
        (v->s->md->spec.monitoring && !strcmp(r->o.name, v->s->md->healthy))) /* to go back to */
        return true;
    for (const struct pt_pod *pod = v->s->pods; pod; pod = (const struct pt_pod *)pod->o.next)
        if (!strcmp(pod->revision, r->o.name))
            return true;
    return false;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = (*(const struct pt_revision *const *)a)->number, y = (*(const struct pt_revision *const *)b)->number;
    return x < y ? -1 : x > y;
}

void pt_plan_prune(struct pt_view *v)
{
    size_t n = 0, unused = 0;
    const struct pt_revision *r;
    for (r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        n++;
    const struct pt_revision **all = pt_view_alloc(v, (n + 1) * sizeof(void *));
    if (!all)
        return;
    for (r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        if (!in_use(v, r))
            all[unused++] = r;
    qsort(all, unused, sizeof *all, by_number);
    for (size_t i = 0; i + (size_t)v->s->md->spec.history_limit < unused; i++) {
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_DELETE_REVISION);
        e->name = all[i]->o.name;
        e->uid = all[i]->o.uid;
    }
}

/* --- Service, budget ----------------------------------------------------------------------------------------------------- */

static const struct named {
    const char *kind, *taken, *created, *updated; /* reasons */
    enum pt_effect_kind create, patch;
    int (*build)(const struct pt_md *md, const char *uid, struct pt_buf *out, struct pt_err *err);
    int (*shape)(const struct pt_md *md, struct pt_buf *out, struct pt_err *err);
} named[PT_NAMED_COUNT] = {
    [PT_NAMED_SERVICE] = {"Service", "ServiceNameTaken", "ServiceCreated", "ServiceUpdated", PT_EFFECT_CREATE_SERVICE, PT_EFFECT_PATCH_SERVICE,
                          pt_build_service, pt_build_service_shape},
    [PT_NAMED_BUDGET] = {"PodDisruptionBudget", "BudgetNameTaken", "BudgetCreated", "BudgetUpdated", PT_EFFECT_CREATE_BUDGET, PT_EFFECT_PATCH_BUDGET,
                         pt_build_budget, pt_build_budget_shape},
};

static void plan_one(struct pt_view *v, enum pt_named which)
{
    const struct named *n = &named[which];
    const struct pt_shaped *have = v->s->named[which].is;
    const struct pt_md *md = v->s->md;
    pt_auto_buf b = PT_BUF_INIT(0), shape = PT_BUF_INIT(0);
    bool ours = have && have->o.owner_uid && !strcmp(have->o.owner_uid, md->o.uid);
    if (v->s->named[which].taken || (have && !ours)) {
        v->trouble = n->taken;
        v->trouble_message = pt_view_text(v, "a %s named %s exists and does not belong to this ModelDeployment", n->kind, md->o.name);
        pt_view_look_again(v, 30000);
        return;
    }
    if (build_failed(v, n->shape(md, &shape, v->err)) || (ours && !strcmp(have->shape, pt_buf_cstr(&shape))) ||
        build_failed(v, n->build(md, ours ? have->o.uid : NULL, &b, v->err)))
        return;
    struct pt_effect *e = pt_view_effect(v, ours ? n->patch : n->create);
    e->name = md->o.name;
    e->uid = ours ? have->o.uid : NULL;
    e->body = pt_view_keep(v, &b);
    e->reason = ours ? n->updated : n->created;
    e->message = pt_view_text(v, "%s %s %s", ours ? "Updated" : "Created", n->kind, md->o.name);
}

void pt_plan_named(struct pt_view *v)
{
    const struct pt_shaped *budget = v->s->named[PT_NAMED_BUDGET].is;
    plan_one(v, PT_NAMED_SERVICE);
    if (v->s->md->spec.has_budget) {
        plan_one(v, PT_NAMED_BUDGET);
    } else if (budget && budget->o.owner_uid && !strcmp(budget->o.owner_uid, v->s->md->o.uid)) {
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_DELETE_BUDGET);
        e->name = budget->o.name;
        e->uid = budget->o.uid;
        e->reason = "BudgetDeleted";
        e->message = pt_view_text(v, "Deleted PodDisruptionBudget %s", budget->o.name);
    }
}
