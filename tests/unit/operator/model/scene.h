/* SPDX-License-Identifier: Apache-2.0
 *
 * scene.h: hand-made snapshots for plan(). A pod is written as two letters: a revision (n: newest, c: current, o: another) and a state
 * (A available, R ready but not long enough, S starting, F failed to load, D being drained, T terminating, E ended, X deletion asked for).
 */
#ifndef PT_TESTS_MODEL_SCENE_H
#define PT_TESTS_MODEL_SCENE_H

#include "operator/ctrl/obj.h"
#include "operator/model/plan.h"
#include "operator/model/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 1000000 };

struct scene {
    struct pt_md md;
    struct pt_pod pods[32];
    char names[32][16], update[64];
    struct pt_revision revisions[3];
    struct pt_shaped service;
    struct pt_snapshot s;
    struct pt_plan plan;
};

#define ROLL(r, s, u)                                                                                                                                \
    {                                                                                                                                                \
        .replicas = (r), .max_surge = {(s), false}, .max_unavailable = {(u), false }                                                                 \
    }

static inline struct pt_pod pod_of(struct scene *t, size_t i, const char *two)
{
    char state = two[1];
    bool ready = state == 'A' || state == 'R' || state == 'T' || state == 'X';
    snprintf(t->names[i], sizeof t->names[i], "p%zu%.2s", i, two);
    struct pt_pod p = {.o = {.ns = "ns", .name = t->names[i], .uid = t->names[i], .owner_uid = "u"},
                       .trouble = &pt_pod_no_trouble,
                       .phase = state == 'E' ? PT_PHASE_ENDED : PT_PHASE_RUNNING,
                       .terminating = state == 'T',
                       .assigned = true,
                       .ready = ready};
    p.revision = two[0] == 'n' ? t->update : two[0] == 'c' ? "m-current" : "m-other";
    p.gate = ready ? PT_TRUE : state == 'D' || state == 'F' ? PT_FALSE : PT_UNKNOWN;
    p.gate_reason = state == 'D' ? PT_GATE_REMOVAL : state == 'F' ? "DigestMismatch" : "";
    p.state = (struct pt_pod_state){.removing_ms = -1,
                                    .ready_since_ms = state == 'R' ? NOW - 1000
                                                      : ready      ? NOW - 900000
                                                                   : -1,
                                    .drain_since_ms = state == 'D' ? NOW - 500 : -1,
                                    .drained_ms = state == 'D' ? NOW - 400 : -1,
                                    .doomed_ms = state == 'X' ? NOW - 10 : -1};
    return p;
}

/* "cA cA nS", a spec; fills the plan. */
static inline void plan(struct scene *t, const char *pods, struct pt_spec spec)
{
    struct pt_err err = {0};
    size_t n = 0;
    memset(t, 0, sizeof *t);
    t->md = (struct pt_md){.o = {.ns = "ns", .name = "m", .uid = "u", .rv = 5}, .generation = 2, .spec = spec};
    static char user[] = "{\"model\":{\"uri\":\"https://h/p\"}}", current[] = "m-current", none[] = "";
    t->md.spec.user_json = user;
    t->md.spec.history_limit = 10;
    t->md.spec.progress_deadline_s = 600;
    t->md.spec.port = 8080;
    t->md.spec.grpc_port = 8081;
    t->md.spec.metrics_port = 8082;
    t->md.current_revision = current;
    t->md.update_revision = t->md.digest = none;
    pt_revision_name(&t->md, user, 0, t->update);
    if (!strpbrk(pods, "co"))
        t->md.current_revision = t->update; /* no rollout is under way */
    t->revisions[0] =
        (struct pt_revision){.o = {.name = t->update, .uid = "r0", .next = &t->revisions[1].o}, .number = 3, .data = user, .digest = ""};
    t->revisions[1] =
        (struct pt_revision){.o = {.name = "m-current", .uid = "r1", .next = &t->revisions[2].o}, .number = 2, .data = user, .digest = ""};
    t->revisions[2] = (struct pt_revision){.o = {.name = "m-other", .uid = "r2"}, .number = 1, .data = user, .digest = ""};
    t->service = (struct pt_shaped){.o = {.owner_uid = "u", .uid = "s"}, .shape = "http:8080>http grpc:8081>grpc metrics:8082>metrics @m"};
    for (const char *p = pods; *p; p += strspn(p, " "), n++) {
        t->pods[n] = pod_of(t, n, p);
        p += 2;
    }
    for (size_t i = 0; i + 1 < n; i++)
        t->pods[i].o.next = &t->pods[i + 1].o;
    t->s = (struct pt_snapshot){.md = &t->md,
                                .pods = n ? t->pods : NULL,
                                .revisions = t->revisions,
                                .named[PT_NAMED_SERVICE].is = &t->service,
                                .settings = {.sidecar_image = "i", .drain_settle_ms = 2000},
                                .seed = 1,
                                .now_ms = NOW,
                                .wall_ms = 1700000000000,
                                .status_ms = -1};
    if (pt_plan_make(&t->s, &t->plan, &err) < 0)
        fail_msg("%s: %s", pods, err.msg);
}

static inline void again(struct scene *t)
{
    struct pt_err err;
    pt_plan_finish(&t->plan);
    assert_int_equal(pt_plan_make(&t->s, &t->plan, &err), PT_OK);
}

static inline bool gate_says(const struct pt_effect *e, const char *word)
{
    return e && e->kind == PT_EFFECT_PATCH_GATE && memmem(e->body.p, e->body.len, word, strlen(word));
}

static inline bool says(const struct pt_effect *e, const char *word)
{
    return e && memmem(e->body.p, e->body.len, word, strlen(word));
}

/* "+2n" creates of the newest, "+1c" of the current, "-p0" taken out of service, "x p3" deleted: what the plan does to pods, in one line. */
static inline void summary(const struct scene *t, char out[256])
{
    int fresh = 0, again = 0;
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < t->plan.count; i++) {
        const struct pt_effect *e = &t->plan.effects[i];
        fresh += e->kind == PT_EFFECT_CREATE_POD && !strcmp(e->revision, t->update);
        again += e->kind == PT_EFFECT_CREATE_POD && strcmp(e->revision, t->update) != 0;
        if (e->kind == PT_EFFECT_PATCH_GATE && gate_says(e, "\"False\""))
            n += (size_t)snprintf(out + n, 256 - n, "-%s ", e->name);
        if (e->kind == PT_EFFECT_DELETE_POD)
            n += (size_t)snprintf(out + n, 256 - n, "x%s ", e->name);
    }
    if (fresh)
        n += (size_t)snprintf(out + n, 256 - n, "+%dn ", fresh);
    if (again)
        snprintf(out + n, 256 - n, "+%dc ", again);
}

static inline const struct pt_effect *effect(const struct scene *t, enum pt_effect_kind kind)
{
    for (size_t i = 0; i < t->plan.count; i++)
        if (t->plan.effects[i].kind == kind)
            return &t->plan.effects[i];
    return NULL;
}

static inline const char *condition(const cJSON *status, const char *type, const char *member)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(status, "status.conditions")) if (!strcmp(pt_obj_str(c, "type"), type)) return pt_obj_str(c, member);
    return "";
}

static inline cJSON *status_of(const struct scene *t)
{
    const struct pt_effect *e = effect(t, PT_EFFECT_PATCH_STATUS);
    cJSON *o = NULL;
    struct pt_err err;
    assert_non_null(e);
    assert_int_equal(pt_obj_parse(e->body, "status", &o, &err), PT_OK);
    return o;
}

#endif
