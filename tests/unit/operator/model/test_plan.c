/* SPDX-License-Identifier: Apache-2.0
 *
 * plan() on hand-made snapshots. A pod is written as two letters: a revision (n: newest, c: current, o: another) and a state
 * (A available, R ready but not long enough, S starting, F failed to load, D being drained, T terminating, E ended, X deletion asked for).
 */
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

static struct pt_pod pod_of(struct scene *t, size_t i, const char *two)
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
static void plan(struct scene *t, const char *pods, struct pt_spec spec)
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

static bool gate_says(const struct pt_effect *e, const char *word)
{
    return e && e->kind == PT_EFFECT_PATCH_GATE && memmem(e->body.p, e->body.len, word, strlen(word));
}

/* "+2n" creates of the newest, "+1c" of the current, "-p0" taken out of service, "x p3" deleted: what the plan does to pods, in one line. */
static void summary(const struct scene *t, char out[256])
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

static void rollouts(void **state)
{
    (void)state;
#define ROLL(r, s, u)                                                                                                                                \
    {                                                                                                                                                \
        .replicas = (r), .max_surge = {(s), false}, .max_unavailable = {(u), false }                                                                 \
    }
    static const struct {
        const char *pods;
        struct pt_spec spec;
        const char *wanted;
    } cases[] = {
        {"", ROLL(3, 1, 0), "+3n "},
        {"nS nS", ROLL(3, 1, 0), "+1n "},
        {"nA nA nA", ROLL(3, 1, 0), ""},
        {"nA nA nA", ROLL(5, 1, 0), "+2n "},
        {"nA nS nA nA", ROLL(3, 1, 0), "xp1nS "}, /* what does not serve goes first */
        {"nA nA nA", ROLL(1, 1, 0), "-p0nA -p1nA "},
        {"nA nT nE nD", ROLL(3, 1, 0), "xp2nE +2n "}, /* leaving pods are replaced at once */
        {"nA nA nX", ROLL(3, 1, 0), "+1n "},          /* surge makes room for a replacement... */
        {"nA nA nX", ROLL(3, 0, 1), ""},              /* ...without it the deletion must be seen first */
        {"cA cA cA", ROLL(3, 1, 0), "+1n "},          /* surge first */
        {"cA cA cA", ROLL(3, 0, 1), "-p0cA "},        /* or take one out; its place is filled when it is gone */
        {"cD cA cA", ROLL(3, 0, 1), "+1n "},
        {"cA cA cA nS", ROLL(3, 1, 0), ""},
        {"cA cA cA nA", ROLL(3, 1, 0), "-p0cA "},
        {"cA cA cA nR", {.replicas = 3, .max_surge = {1, false}, .min_ready_s = 5}, ""},
        {"cA cA cA nF", ROLL(3, 1, 0), ""},                        /* a bad revision costs nothing */
        {"cE cE cE", ROLL(3, 1, 0), "xp0cE xp1cE xp2cE +1n +3c "}, /* all is lost in the middle of a rollout */
        {"cA cA nF", ROLL(3, 1, 0), "+1c "},                       /* and what serves is healed meanwhile */
        {"cA cA cA nF", ROLL(5, 1, 0), "+2c "},                    /* or scaled with the working revision */
        {"cA cA cA oF", ROLL(3, 1, 0), "xp3oF "},                  /* a bad one in between is cleared away */
        {"cS cA cA nA", ROLL(3, 1, 0), "xp0cS "},                  /* the old pod that does not serve goes first */
        {"oA cA nA nA", ROLL(3, 1, 0), "-p0oA "},
        {"cA", {.replicas = 0, .max_surge = {25, true}}, "-p0cA "},
        {"cA cA", {.replicas = 2, .strategy = PT_STRATEGY_RECREATE}, "-p0cA -p1cA "},
        {"cT cT", {.replicas = 2, .strategy = PT_STRATEGY_RECREATE}, ""},
        {"", {.replicas = 2, .strategy = PT_STRATEGY_RECREATE}, "+2n "},
        {"cA cA cA cA cA cA cA cA cA cA", {.replicas = 10, .max_surge = {25, true}, .max_unavailable = {25, true}}, "-p0cA -p1cA +3n "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct scene t;
        char is[256];
        plan(&t, cases[i].pods, cases[i].spec);
        summary(&t, is);
        if (strcmp(is, cases[i].wanted) != 0)
            fail_msg("case %zu, \"%s\": is \"%s\", wanted \"%s\"", i, cases[i].pods, is, cases[i].wanted);
        pt_plan_finish(&t.plan);
    }
}

static const struct pt_effect *effect(const struct scene *t, enum pt_effect_kind kind)
{
    for (size_t i = 0; i < t->plan.count; i++)
        if (t->plan.effects[i].kind == kind)
            return &t->plan.effects[i];
    return NULL;
}

static const char *condition(const cJSON *status, const char *type, const char *member)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(status, "status.conditions")) if (!strcmp(pt_obj_str(c, "type"), type)) return pt_obj_str(c, member);
    return "";
}

static cJSON *status_of(const struct scene *t)
{
    const struct pt_effect *e = effect(t, PT_EFFECT_PATCH_STATUS);
    cJSON *o = NULL;
    struct pt_err err;
    assert_non_null(e);
    assert_int_equal(pt_obj_parse(e->body, "status", &o, &err), PT_OK);
    return o;
}

static void statuses(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_spec spec = ROLL(2, 1, 0);
    plan(&t, "nA nA", spec);
    cJSON *s = status_of(&t);
    assert_string_equal(pt_obj_str(s, "metadata.resourceVersion"), "5");
    assert_string_equal(condition(s, "Ready", "status"), "True");
    assert_string_equal(condition(s, "Reconciling", "status"), "False");
    assert_string_equal(condition(s, "ModelLoaded", "status"), "True");
    assert_string_equal(pt_obj_str(s, "status.selector"), "pintle.dev/model-deployment=m");
    assert_string_equal(pt_obj_str(s, "status.endpoint"), "http://m.ns.svc:8080");
    assert_string_equal(pt_obj_str(s, "status.currentRevision"), t.update);
    assert_string_equal(pt_obj_str(s, "status.model.state"), "Loaded");
    assert_int_equal(pt_obj_int(s, "status.observedGeneration", 0), 2);
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);

    plan(&t, "cA cA nF", spec);
    s = status_of(&t);
    assert_string_equal(condition(s, "Ready", "status"), "False");
    assert_string_equal(condition(s, "Ready", "reason"), "DigestMismatch");
    assert_string_equal(condition(s, "Available", "status"), "True");
    assert_string_equal(condition(s, "ModelLoaded", "reason"), "DigestMismatch");
    assert_string_equal(condition(s, "Stalled", "status"), "True");
    assert_string_equal(pt_obj_str(s, "status.model.state"), "Failed");
    assert_string_equal(pt_obj_str(s, "status.model.lastFailure.pod"), "p2nF");
    assert_string_equal(pt_obj_str(s, "status.currentRevision"), "m-current");
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);
}

static void a_second_look_writes_nothing(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_err err;
    struct pt_spec spec = ROLL(2, 1, 0);
    struct pt_plan again;
    struct pt_object *o;
    plan(&t, "nA nA", spec);
    cJSON *s = status_of(&t);
    pt_auto_buf object = PT_BUF_INIT(0), status = PT_BUF_INIT(0);
    assert_int_equal(pt_obj_print(pt_obj_get(s, "status"), &status, &err), PT_OK);
    pt_buf_printf(&object,
                  "{\"metadata\":{\"name\":\"m\",\"namespace\":\"ns\",\"uid\":\"u\",\"resourceVersion\":\"6\",\"generation\":2},\"spec\":{"
                  "\"replicas\":2,\"model\":{"
                  "\"uri\":\"https://h/p\"},\"strategy\":{\"rollingUpdate\":{\"maxSurge\":1}}},\"status\":%s}",
                  pt_buf_cstr(&status));
    assert_int_equal(pt_md_decode((struct pt_str){object.data, object.len}, &o, &err), PT_OK);
    t.s.md = (struct pt_md *)o;
    t.s.wall_ms += 3600000; /* time alone changes nothing */
    assert_int_equal(pt_plan_make(&t.s, &again, &err), PT_OK);
    assert_int_equal(again.count, 0);
    assert_int_equal(again.requeue_ms, -1);
    pt_plan_finish(&again);
    pt_plan_finish(&t.plan);
    pt_md_free(o);
    cJSON_Delete(s);
}

static void progress_deadline(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_plan p;
    struct pt_err err;
    struct pt_spec spec = ROLL(2, 1, 0);
    plan(&t, "nS nS", spec);
    assert_int_equal(t.plan.requeue_ms, 600000);
    t.s.progress = t.plan.progress;
    t.s.progress_ms = NOW;
    pt_plan_finish(&t.plan);
    t.s.now_ms = NOW + 600000;
    assert_int_equal(pt_plan_make(&t.s, &p, &err), PT_OK);
    t.plan = p;
    cJSON *s = status_of(&t);
    assert_string_equal(condition(s, "Progressing", "status"), "False");
    assert_string_equal(condition(s, "Progressing", "reason"), "ProgressDeadlineExceeded");
    assert_string_equal(condition(s, "Stalled", "status"), "True");
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);
    t.s.progress.complete = true; /* it was complete until just now: the deadline begins again */
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    s = status_of(&t);
    assert_string_equal(condition(s, "Progressing", "status"), "True");
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);
}

/* What was refused is said, and nothing else waits for it; bad luck is not said before the third time. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        struct pt_refusal r;
        const char *stalled, *message; /* "": not stalled */
        bool adopts;
    } rows[] = {
        {{PT_EFFECT_ADOPT_SERVICE, "m", "forbidden", 1, true, NOW - 1000}, "AdoptionFailed", "taking in Service m: forbidden", false},
        {{PT_EFFECT_ADOPT_SERVICE, "m", "forbidden", 4, true, NOW - 31000}, "AdoptionFailed", "taking in Service m: forbidden", true}, /* tried again */
        {{PT_EFFECT_ADOPT_SERVICE, "m", "internal error", 2, false, NOW - 10}, "", "", true},
        {{PT_EFFECT_ADOPT_SERVICE, "m", "internal error", 3, false, NOW - 10}, "AdoptionFailed", "taking in Service m: internal error", true},
        {{PT_EFFECT_DELETE_POD, "p7", "denied by a webhook", 1, true, NOW - 10}, "FailedDelete", "deleting Pod p7: denied by a webhook", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static struct scene t;
        struct pt_err err;
        plan(&t, "nA", (struct pt_spec)ROLL(2, 1, 0));
        pt_plan_finish(&t.plan);
        t.service = (struct pt_shaped){.o = {.ns = "ns", .name = "m", .uid = "s", .owner_name = "m"}, .shape = ""}; /* an orphan */
        t.s.refusals = &rows[i].r;
        t.s.refusal_count = 1;
        assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
        assert_int_equal(effect(&t, PT_EFFECT_ADOPT_SERVICE) != NULL, rows[i].adopts);
        assert_int_equal(effect(&t, PT_EFFECT_CREATE_POD) != NULL, !rows[i].adopts);
        if (*rows[i].stalled) {
            pt_auto_obj *s = status_of(&t);
            assert_string_equal(condition(s, "Stalled", "status"), "True");
            assert_string_equal(condition(s, "Stalled", "reason"), rows[i].stalled);
            assert_string_equal(condition(s, "Stalled", "message"), rows[i].message);
        } else {
            assert_null(effect(&t, PT_EFFECT_PATCH_STATUS));
        }
        pt_plan_finish(&t.plan);
    }
}

static void all_refusals_are_named(void **state)
{
    (void)state;
    static const struct pt_refusal rows[] = {
        {PT_EFFECT_DELETE_POD, "p7", "denied by a webhook", 1, true, NOW - 10},
        {PT_EFFECT_PATCH_GATE, "p8", "internal error", 2, false, NOW - 10}, /* bad luck */
        {PT_EFFECT_DELETE_POD, "p9", "denied by a webhook", 1, true, NOW - 10},
        {PT_EFFECT_PATCH_SERVICE, "m", "forbidden", 1, true, NOW - 10},
    };
    static struct scene t;
    struct pt_err err;
    plan(&t, "nA", (struct pt_spec)ROLL(2, 1, 0));
    pt_plan_finish(&t.plan);
    t.s.refusals = rows;
    t.s.refusal_count = sizeof rows / sizeof *rows;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    pt_auto_obj *s = status_of(&t);
    assert_string_equal(condition(s, "Stalled", "reason"), "FailedDelete");
    assert_string_equal(condition(s, "Stalled", "message"), "deleting Pod p7: denied by a webhook; updating Service m: forbidden");
    pt_plan_finish(&t.plan);
}

/* What the plan does to the gate of the first pod when the gate is `gate (gate_reason)` and the sidecar says `model` (-1: nothing yet). */
static void gates(void **state)
{
    (void)state;
    static const struct {
        enum pt_truth gate;
        const char *gate_reason;
        int model;
        const char *digest, *wanted; /* words of the patch, in this order; NULL: none */
        bool warning;
    } rows[] = {
        {PT_UNKNOWN, "", -1, "", "\"True\" AwaitingModel", false},
        {PT_UNKNOWN, "", PT_MODEL_DOWNLOADING, "", "\"True\" AwaitingModel", false},
        {PT_UNKNOWN, "", PT_MODEL_READY, "", "\"True\" ModelReady", false},
        {PT_TRUE, PT_GATE_AWAITING, -1, "", NULL, false}, /* silence changes nothing */
        {PT_TRUE, PT_GATE_READY, -1, "", NULL, false},
        {PT_FALSE, "DigestMismatch", -1, "", NULL, false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_LOADING, "", NULL, false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_READY, "", "\"True\" ModelReady", false},
        {PT_TRUE, PT_GATE_READY, PT_MODEL_READY, "", NULL, false},
        {PT_TRUE, PT_GATE_READY, PT_MODEL_LOADING, "", "\"True\" AwaitingModel", false}, /* the container began anew */
        {PT_TRUE, PT_GATE_READY, PT_MODEL_DRAINING, "", "\"False\" Draining", false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_FAILED, "", "\"False\" ModelLoadFailed", true},
        {PT_FALSE, "ModelLoadFailed", PT_MODEL_FAILED, "", NULL, false},
        {PT_FALSE, "ModelLoadFailed", PT_MODEL_DOWNLOADING, "", NULL, false}, /* trying again: closed until it is loaded */
        {PT_FALSE, "ModelLoadFailed", PT_MODEL_READY, "", "\"True\" ModelReady", false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_READY, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "\"False\" DigestMismatch", true}, /* Ready, but with what? */
    };
    static struct scene t;
    struct pt_err err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char on[16], reason[32];
        plan(&t, "nS nA", (struct pt_spec)ROLL(2, 1, 0));
        pt_plan_finish(&t.plan);
        t.pods[1].gate_reason = PT_GATE_READY;
        t.pods[0].gate = rows[i].gate;
        t.pods[0].gate_reason = rows[i].gate_reason;
        struct pt_pod_told told = {.model = (enum pt_model_state)rows[i].model, .reason = rows[i].model == PT_MODEL_FAILED ? PT_REASON_MODEL_LOAD_FAILED : PT_REASON_NONE};
        t.pods[0].state.told = rows[i].model >= 0 ? &told : NULL;
        t.revisions[0].digest = rows[i].digest;
        assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
        const struct pt_effect *e = effect(&t, PT_EFFECT_PATCH_GATE);
        if (!rows[i].wanted != !e)
            fail_msg("row %zu: %s", i, e ? e->body.p : "no patch");
        if (e) {
            assert_int_equal(sscanf(rows[i].wanted, "%15s %31s", on, reason), 2);
            if (!gate_says(e, on) || !gate_says(e, reason) || e->warning != rows[i].warning)
                fail_msg("row %zu: %s", i, e->body.p);
        }
        pt_plan_finish(&t.plan);
    }
}

static void names_of_lost_creates(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_err err;
    struct pt_spec spec = ROLL(2, 0, 1);
    plan(&t, "nA", spec);
    pt_plan_finish(&t.plan);
    struct pt_reserved lost = {.name = "m-lost-1", .since_ms = NOW - 100};
    snprintf(lost.revision, sizeof lost.revision, "%s", t.update);
    t.s.reserved = &lost;
    t.s.reserved_count = 1;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_string_equal(effect(&t, PT_EFFECT_CREATE_POD)->name, "m-lost-1"); /* asked for again, under its name */
    pt_plan_finish(&t.plan);
    snprintf(lost.revision, sizeof lost.revision, "m-other");
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_null(effect(&t, PT_EFFECT_CREATE_POD)); /* it may still come: there is no room */
    pt_plan_finish(&t.plan);
    assert_null(effect(&t, PT_EFFECT_FIND_POD));
    t.s.now_ms += PT_LANDING_MS;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_null(effect(&t, PT_EFFECT_CREATE_POD)); /* it may have come, and the watch lag behind */
    assert_string_equal(effect(&t, PT_EFFECT_FIND_POD)->name, "m-lost-1");
    pt_plan_finish(&t.plan);
    lost.missing = true;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_non_null(effect(&t, PT_EFFECT_CREATE_POD));
    assert_null(effect(&t, PT_EFFECT_FIND_POD));
    pt_plan_finish(&t.plan);
    snprintf(lost.revision, sizeof lost.revision, "%s", t.update);
    lost.missing = false;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_string_equal(effect(&t, PT_EFFECT_CREATE_POD)->name, "m-lost-1"); /* wanted: asking for it again tells as well */
    assert_null(effect(&t, PT_EFFECT_FIND_POD));
    pt_plan_finish(&t.plan);
}

static void again(struct scene *t)
{
    struct pt_err err;
    pt_plan_finish(&t->plan);
    assert_int_equal(pt_plan_make(&t->s, &t->plan, &err), PT_OK);
}

static void pauses(void **state)
{
    (void)state;
    static struct scene t;
    static const struct {
        const char *pods;
        int replicas;
        const char *wanted;
    } cases[] = {
        {"cA cA nA nS", 3, ""},       /* the mix stays, surge and all */
        {"cA cA nA nS", 2, "xp3nS "}, /* what is over the new size goes, least useful first */
        {"cA cA nA", 5, "+2c "},      /* what is missing is made of what served in full */
        {"cA cA cE", 3, "xp2cE +1c "}, {"nA nA nA", 1, "-p0nA -p1nA "}, {"nA nF", 2, ""},
    };
    char is[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_spec spec = {.replicas = cases[i].replicas, .max_surge = {1, false}, .paused = true};
        plan(&t, cases[i].pods, spec);
        summary(&t, is);
        if (strcmp(is, cases[i].wanted) != 0)
            fail_msg("case %zu, \"%s\": is \"%s\", wanted \"%s\"", i, cases[i].pods, is, cases[i].wanted);
        pt_plan_finish(&t.plan);
    }
    plan(&t, "nA nA", (struct pt_spec){.replicas = 2, .max_surge = {1, false}, .paused = true}); /* complete is complete */
    cJSON *s = status_of(&t);
    assert_string_equal(condition(s, "Ready", "status"), "True");
    cJSON_Delete(s);
    static char other[] = "{\"model\":{\"uri\":\"https://h/other\"}}";
    t.md.spec.user_json = other; /* a new spec waits, and that shows */
    t.md.update_revision = t.update;
    t.s.progress.generation = 2;
    again(&t);
    assert_null(effect(&t, PT_EFFECT_CREATE_REVISION));
    assert_null(effect(&t, PT_EFFECT_CREATE_POD));
    s = status_of(&t);
    assert_string_equal(condition(s, "Ready", "status"), "False");
    assert_string_equal(condition(s, "Ready", "reason"), "Paused");
    assert_string_equal(condition(s, "Available", "status"), "True");
    assert_string_equal(condition(s, "Progressing", "status"), "Unknown");
    assert_string_equal(condition(s, "Reconciling", "status"), "False");
    assert_string_equal(pt_obj_str(s, "status.updateRevision"), t.update);
    assert_int_equal(t.plan.requeue_ms, -1); /* no deadline runs */
    cJSON_Delete(s);
    t.md.spec.paused = false;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_CREATE_REVISION));
    pt_plan_finish(&t.plan);
}

static bool says(const struct pt_effect *e, const char *word)
{
    return e && memmem(e->body.p, e->body.len, word, strlen(word));
}

static void rollbacks(void **state)
{
    (void)state;
    static struct scene t;
    static char before[] = "{\"model\":{\"digest\":\"d\",\"uri\":\"https://h/old\"},\"runtime\":{\"threads\":2}}",
                user[] = "{\"drain\":{\"timeout\":\"1s\"},\"model\":{\"uri\":\"https://h/p\"}}";
    static const struct {
        const char *to, *reason, *spec;
    } rows[] = {
        {"0", "RollbackDone", "\"spec\":{\"drain\":null,\"model\":{\"digest\":\"d\",\"uri\":\"https://h/old\"},\"runtime\":{\"threads\":2}}"},
        {"2", "RollbackDone", "\"model\":{\"digest\":\"d\",\"uri\":\"https://h/old\"}"},
        {"m-current", "RollbackDone", "https://h/old"},
        {"7", "RollbackRevisionNotFound", "\"spec\":{}"},
        {"m-gone", "RollbackRevisionNotFound", "\"spec\":{}"},
        {"3", "RollbackTemplateUnchanged", "\"spec\":{}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char to[16];
        plan(&t, "nA", (struct pt_spec)ROLL(1, 1, 0));
        t.md.spec.user_json = user;
        t.revisions[0].data = user;
        t.revisions[1].data = before;
        t.revisions[2].data = user;
        snprintf(to, sizeof to, "%s", rows[i].to);
        t.md.rollback_to = to;
        again(&t);
        const struct pt_effect *e = effect(&t, PT_EFFECT_ROLLBACK);
        assert_int_equal(t.plan.count, 1);
        if (!e || strcmp(e->reason, rows[i].reason) != 0 || !says(e, rows[i].spec) || !says(e, "\"pintle.dev/rollback-to\":null") ||
            !says(e, "\"resourceVersion\":\"5\""))
            fail_msg("row %zu: %s %s", i, e ? e->reason : "none", e ? e->body.p : "");
        t.md.rollback_to = NULL;
        pt_plan_finish(&t.plan);
    }
}

static void adoption(void **state)
{
    (void)state;
    static struct scene t;
    plan(&t, "nA nA", (struct pt_spec)ROLL(2, 1, 0));
    struct pt_pod orphan = t.pods[1];
    orphan.o.owner_uid = NULL;
    orphan.o.next = NULL;
    t.pods[0].o.next = NULL;
    t.s.orphan_pods = &orphan;
    again(&t);
    assert_int_equal(t.plan.count, 1); /* nothing is made before it is known what there is */
    assert_true(says(effect(&t, PT_EFFECT_ADOPT_POD), "\"controller\":true"));
    orphan.terminating = true;
    again(&t);
    assert_null(effect(&t, PT_EFFECT_ADOPT_POD));
    t.s.orphan_pods = NULL;
    t.pods[0].strayed = true; /* relabelled: no longer ours */
    again(&t);
    assert_true(says(effect(&t, PT_EFFECT_RELEASE_POD), "\"$patch\":\"delete\",\"uid\":\"u\""));
    t.pods[0].strayed = false;
    t.service.o.owner_uid = NULL;
    t.service.o.owner_name = "m";
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_ADOPT_SERVICE));
    t.service.o.owner_name = NULL; /* a stranger's */
    again(&t);
    assert_null(effect(&t, PT_EFFECT_ADOPT_SERVICE));
    pt_plan_finish(&t.plan);
}

static void budgets(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_shaped budget = {.o = {.owner_uid = "u", .uid = "b", .name = "m"}, .shape = "1 AlwaysAllow @m"};
    plan(&t, "nA nA", (struct pt_spec)ROLL(2, 1, 0));
    assert_null(effect(&t, PT_EFFECT_CREATE_BUDGET));
    t.md.spec.has_budget = true;
    t.md.spec.budget = (struct pt_amount){1, false};
    again(&t);
    assert_true(says(effect(&t, PT_EFFECT_CREATE_BUDGET), "\"maxUnavailable\":1,"));
    t.s.named[PT_NAMED_BUDGET].is = &budget;
    again(&t);
    assert_null(effect(&t, PT_EFFECT_PATCH_BUDGET));
    t.md.spec.budget = (struct pt_amount){20, true};
    again(&t);
    assert_true(says(effect(&t, PT_EFFECT_PATCH_BUDGET), "\"maxUnavailable\":\"20%\""));
    t.md.spec.has_budget = false;
    again(&t);
    assert_string_equal(effect(&t, PT_EFFECT_DELETE_BUDGET)->uid, "b");
    budget.o.owner_uid = NULL; /* somebody else's: not ours to delete */
    again(&t);
    assert_null(effect(&t, PT_EFFECT_DELETE_BUDGET));
    pt_plan_finish(&t.plan);
}

/* Which of two pods goes first. */
static void victims(void **state)
{
    (void)state;
    static struct scene t;
    plan(&t, "nA nA nA", (struct pt_spec)ROLL(3, 1, 0));
    char is[256];
    t.md.spec.replicas = 2;
    struct pt_pod_told told[] = {{.in_flight = 3}, {.in_flight = 1}, {.in_flight = 2}};
    for (int i = 0; i < 3; i++)
        t.pods[i].state.told = &told[i];
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p1nA "); /* least work in flight */
    t.pods[0].deletion_cost = -1;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p0nA "); /* unless somebody said otherwise by hand */
    t.pods[0].deletion_cost = 0;
    for (int i = 0; i < 3; i++)
        t.pods[i].state.told = NULL;
    t.pods[0].node = 1;
    t.pods[1].node = t.pods[2].node = 2;
    t.pods[1].restarts = 1;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p1nA "); /* of two on one node, the one that ended more often */
    t.pods[0].ready = false;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "xp0nA "); /* what does not serve always goes first */
    pt_plan_finish(&t.plan);
}

/* Deleted when its node has seen the gate and endpoints had their time; a silent node does not hold it up for ever. */
/* A patch whose answer was lost: the pod counts as leaving, takes up room, and is asked again. */
static void lost_removals(void **state)
{
    (void)state;
    static struct scene t;
    char is[256];
    plan(&t, "nA nA nA", (struct pt_spec)ROLL(2, 1, 0));
    summary(&t, is);
    assert_string_equal(is, "-p0nA ");
    assert_true(effect(&t, PT_EFFECT_PATCH_GATE)->removal);
    t.pods[0].state.removing_ms = NOW;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "");
    t.md.spec.replicas = 3; /* wanted again, but there is no room before it is known */
    t.md.spec.max_surge = (struct pt_amount){0, false};
    t.md.spec.max_unavailable = (struct pt_amount){1, false};
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "");
    t.s.now_ms += 30000;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p0nA ");
    pt_plan_finish(&t.plan);
}

/* It may be ready by the time its deletion arrives, unless it is out of service for good. */
static void deletes_what_was_looked_at(void **state)
{
    (void)state;
    static struct scene t;
    static const struct {
        const char *pod;
        uint64_t rv;
    } rows[] = {{"nW", 77}, {"nF", 77}, {"nD", 0}, {"nE", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plan(&t, rows[i].pod, (struct pt_spec)ROLL(0, 1, 0));
        t.pods[0].o.rv = 77;
        t.s.now_ms += 1600; /* who drains is done */
        again(&t);
        const struct pt_effect *e = effect(&t, PT_EFFECT_DELETE_POD);
        assert_non_null(e);
        assert_string_equal(e->uid, t.pods[0].o.uid);
        assert_int_equal(e->rv, rows[i].rv);
        pt_plan_finish(&t.plan);
    }
}

static void drains(void **state)
{
    (void)state;
    static struct scene t;
    plan(&t, "nD nA nA", (struct pt_spec)ROLL(2, 1, 0));
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    assert_int_equal(t.plan.requeue_ms, 1600); /* not ready for 400 of 2,000 ms */
    t.s.now_ms += 1600;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    t.pods[0].ready = true;
    t.pods[0].state.drained_ms = -1;
    again(&t);
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    t.s.now_ms += 10000;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    pt_plan_finish(&t.plan);
}

static struct pt_slice *slice(const char *json)
{
    struct pt_object *o = NULL;
    struct pt_err err;
    assert_int_equal(pt_slice_decode(pt_str(json), &o, &err), PT_OK);
    return (struct pt_slice *)o;
}

#define SLICE(endpoints)                                                                                                                             \
    "{\"metadata\":{\"name\":\"m-1\",\"namespace\":\"ns\",\"uid\":\"e\",\"resourceVersion\":\"7\",\"ownerReferences\":[{\"kind\":\"Service\","       \
    "\"name\":\"m\","                                                                                                                                \
    "\"uid\":\"s\",\"controller\":true}]},\"endpoints\":[" endpoints "]}"
#define ENDPOINT(name, conditions)                                                                                                                   \
    "{\"addresses\":[\"10.0.0.1\"],\"conditions\":{" conditions "},\"targetRef\":{\"kind\":\"Pod\",\"name\":\"" name "\"}}"

static void slices_name_who_gets_traffic(void **state)
{
    (void)state;
    struct pt_slice *s =
        slice(SLICE(ENDPOINT("a-1", "\"ready\":true") "," ENDPOINT("a", "\"ready\":false") "," ENDPOINT("b", "") ",{\"addresses\":[\"10.0.0.2\"]}"));
    assert_string_equal(s->o.owner_uid, "s");
    assert_string_equal(s->o.owner_name, "m");
    assert_true(pt_slice_has(s, "a-1") && pt_slice_has(s, "b"));
    assert_false(pt_slice_has(s, "a") || pt_slice_has(s, "1") || pt_slice_has(s, "a-"));
    pt_packed_free(&s->o);
    s = slice("{\"metadata\":{\"name\":\"m-1\",\"uid\":\"e\",\"resourceVersion\":\"7\"},\"endpoints\":null}");
    assert_false(pt_slice_has(s, "a"));
    pt_packed_free(&s->o);
}

static void drains_until_no_slice_has_it(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_slice *has = slice(SLICE(ENDPOINT("p0nD", "\"ready\":true"))), *has_not = slice(SLICE(ENDPOINT("p0nD", "\"ready\":false")));
    plan(&t, "nD nA nA", (struct pt_spec)ROLL(2, 1, 0));
    t.s.slices = has;
    t.s.now_ms += 5000; /* its node has followed long ago */
    again(&t);
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    assert_int_equal(t.plan.requeue_ms, 10000 - 5500 + 2000);
    t.s.slices = has_not;
    t.pods[0].state.left_ms = t.s.now_ms - 300;
    again(&t);
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    assert_int_equal(t.plan.requeue_ms, 1700);
    t.s.now_ms += 1700;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    t.s.slices = has; /* for ever: not longer than the bound */
    t.s.now_ms = NOW - 500 + 12000;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    pt_plan_finish(&t.plan);
    pt_packed_free(&has->o);
    pt_packed_free(&has_not->o);
}

static void revisions(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_err err;
    struct pt_spec spec = ROLL(1, 1, 0);
    plan(&t, "nA", spec);
    pt_plan_finish(&t.plan);
    t.md.spec.history_limit = 0;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_string_equal(effect(&t, PT_EFFECT_DELETE_REVISION)->name, "m-other"); /* not the newest, not the current one */
    pt_plan_finish(&t.plan);
    t.revisions[0].data = "{\"model\":{\"uri\":\"https://other/\"}}"; /* a collision of hashes */
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    cJSON *s = status_of(&t);
    assert_int_equal(pt_obj_int(s, "status.collisionCount", 0), 1);
    assert_null(effect(&t, PT_EFFECT_CREATE_POD));
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);
    t.revisions[0].data = "{\"model\":{\"uri\":\"https://h/p\"}}";
    t.revisions[0].number = 1; /* back to an earlier one */
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_non_null(memmem(effect(&t, PT_EFFECT_NUMBER_REVISION)->body.p, effect(&t, PT_EFFECT_NUMBER_REVISION)->body.len, "\"revision\":3", 12));
    pt_plan_finish(&t.plan);
    t.md.deleting = true;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    assert_int_equal(t.plan.count, 0);
    pt_plan_finish(&t.plan);
}

static void out_of_memory(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_spec spec = ROLL(5, 1, 0);
    plan(&t, "cA cA nF nS", spec);
    pt_plan_finish(&t.plan);
    for (int64_t n = 1, done = 0; !done; n++) {
        struct pt_err err = {0};
        pt_mem_fail_at(n, 1);
        int rc = pt_plan_make(&t.s, &t.plan, &err);
        pt_mem_fail_at(0, 0);
        done = rc == PT_OK;
        if (!done)
            assert_int_equal(rc, PT_ENOMEM);
        pt_plan_finish(&t.plan);
        assert_true(n < 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rollouts),
                                       cmocka_unit_test(statuses), cmocka_unit_test(refusals), cmocka_unit_test(all_refusals_are_named),
                                       cmocka_unit_test(a_second_look_writes_nothing),
                                       cmocka_unit_test(progress_deadline),
                                       cmocka_unit_test(gates),
                                       cmocka_unit_test(names_of_lost_creates),
                                       cmocka_unit_test(pauses),
                                       cmocka_unit_test(rollbacks),
                                       cmocka_unit_test(adoption),
                                       cmocka_unit_test(budgets),
                                       cmocka_unit_test(victims),
                                       cmocka_unit_test(drains),
                                       cmocka_unit_test(deletes_what_was_looked_at),
                                       cmocka_unit_test(slices_name_who_gets_traffic),
                                       cmocka_unit_test(drains_until_no_slice_has_it),
                                       cmocka_unit_test(lost_removals),
                                       cmocka_unit_test(revisions),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
