/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.c: how right models are, as sidecars tell it, and what the operator may do about it by itself.
 *
 *   reason   it leaves only a version whose accuracy is below the threshold, and only for one that was healthy
 *   once     after what a user wrote last it does so at most once
 *   end      at the end ModelHealthy says how right the newest version is
 */
#include "tests/sim/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAST 90 /* percent */

void watch_put(const struct wish *m, char *out, size_t size)
{
    snprintf(out, size,
             m->watched ? "{\"thresholds\":[{\"figure\":\"accuracy\",\"min\":0.9}],\"minSamples\":50,\"period\":\"10s\",\"periods\":3,\"rollback\":{"
                          "\"when\":[\"accuracy\"]}}"
                        : "null");
}

static struct wish *wish_of(struct world *w, const char *uid)
{
    for (int i = 0; i < SIM_MDS && *uid; i++)
        if (!strcmp(w->wish[i].uid, uid))
            return &w->wish[i];
    return NULL;
}

bool watch_fill(struct kubelet_pod *p, struct pt_report *r)
{
    const struct wish *m = wish_of(p->w, p->owner_uid);
    for (int i = 0; i < PT_FIGURE_COUNT; i++)
        r->figures[i] = NAN;
    if (!m || !m->watched)
        return false;
    r->monitored = true;
    r->rows = 200;
    r->labelled = p->shown_ready ? 100 : 0;
    for (int v = 0; v < 8; v++)
        if (p->shown_ready && !strcmp(p->digest, sim_digest(v)))
            r->figures[PT_FIGURE_ACCURACY] = p->w->accuracy[v] / 100.0;
    return true;
}

/* The version in a URI, or -1. */
static int version_in(struct pt_str text)
{
    static const char member[] = "https://models/m";
    const char *at = text.len ? memmem(text.p, text.len, member, sizeof member - 1) : NULL;
    return at ? at[sizeof member - 1] - '0' : -1;
}

void watch_wrote(struct world *w, const struct pt_api_request *req)
{
    if (req->verb != PT_VERB_MERGE_PATCH || req->resource != &pt_res_modeldeployments || req->subresource || !req->body.len ||
        !memmem(req->body.p, req->body.len, PT_ANNOTATION_ROLLED_BACK, sizeof PT_ANNOTATION_ROLLED_BACK - 1))
        return;
    for (int i = 0; i < SIM_MDS; i++) {
        struct wish *m = &w->wish[i];
        if (strcmp(m->name, req->name) != 0)
            continue;
        int to = version_in(req->body);
        world_log(w, "operator: %s goes back from version %d to %d", m->name, m->version, to);
        if (!m->watched)
            world_break(w, "%s: was gone back from without spec.monitoring", m->name);
        else if (w->accuracy[m->version] >= LEAST)
            world_break(w, "%s: version %d was left, and was right in %d%%", m->name, m->version, w->accuracy[m->version]);
        else if (++m->retreats > 1)
            world_break(w, "%s: was gone back from twice", m->name);
    }
}

static const char *truth_of(const cJSON *md)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(md, "status.conditions")) if (!strcmp(pt_obj_text(c, "type"), "ModelHealthy")) return pt_obj_text(c, "status");
    return "";
}

void watch_check_end(struct world *w, const struct wish *m, const cJSON *md)
{
    const char *is = truth_of(md), *wanted = !m->watched ? "" : m->bad || !m->replicas ? is : w->accuracy[m->version] >= LEAST ? "True" : "False";
    if (strcmp(is, wanted) != 0)
        world_break(w, "end: %s: version %d is right in %d%%, and ModelHealthy is \"%s\"", m->name, m->version, w->accuracy[m->version], is);
}
