/* SPDX-License-Identifier: Apache-2.0
 *
 * retreat.c: back to the revision that was healthy last, of the operator's own accord (spec.monitoring.rollback).
 *
 * Once: the annotation that says what was done is written in the same patch as the spec, and neither the revision that was left nor the one that was
 * gone to is left for another again. So two bad revisions cannot take turns, whoever restarts in between, and a user (or a pipeline) that asks for
 * the bad one again has the last word. A revision that is asked for and is neither of the two begins anew. The patch holds only for the version that
 * was judged: what a user has applied meanwhile wins.
 */
#include "operator/model/view.h"

#include <stdio.h>

enum pt_trace pt_retreat_trace(const struct pt_md *md, const char *revision, char other[64], const char **why)
{
    char from[64], to[64];
    int n = 0;
    *other = 0;
    if (!md->rolled_back || !*revision || sscanf(md->rolled_back, "%63s %63s %n", from, to, &n) != 2)
        return PT_TRACE_NONE;
    bool left = !strcmp(from, revision), came = !strcmp(to, revision);
    snprintf(other, 64, "%s", left ? to : from);
    if (why)
        *why = n ? md->rolled_back + n : "";
    return left ? PT_TRACE_LEFT : came ? PT_TRACE_CAME : PT_TRACE_NONE;
}

bool pt_plan_retreat(struct pt_view *v)
{
    const struct pt_md *md = v->s->md;
    const struct pt_verdict *verdict = v->s->verdict;
    char other[64];
    if (!verdict || !verdict->retreat || pt_view_left_out(v, PT_EFFECT_RETREAT, md->o.name) || md->spec.paused || !*md->healthy || pt_retreat_trace(md, verdict->revision, other, NULL) != PT_TRACE_NONE)
        return false;
    const struct pt_revision *bad = pt_view_revision(v, verdict->revision), *good = pt_view_revision(v, md->healthy);
    if (!bad || !good || bad == good || strcmp(bad->data, md->spec.user_json) != 0)
        return false;
    pt_auto_buf b = PT_BUF_INIT(0), note = PT_BUF_INIT(0);
    pt_buf_cat(&note, bad->o.name, " ", good->o.name, " ", verdict->message, NULL);
    if (pt_build_retreat(md, good->data, pt_buf_cstr(&note), &b, v->err) < 0) {
        v->rc = v->err->code;
        return true;
    }
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_RETREAT);
    e->name = md->o.name;
    e->uid = md->o.uid;
    e->body = pt_view_keep(v, &b);
    e->warning = true;
    e->reason = "ModelRolledBack";
    e->message = pt_view_text(v, "Back from revision %s to %s, which was healthy: %s", bad->o.name, good->o.name, verdict->message);
    return true;
}
