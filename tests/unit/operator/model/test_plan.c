/* SPDX-License-Identifier: Apache-2.0
 *
 * How many pods of which revision there should be: rollouts, pauses, rollbacks; what is owned besides.
 */
#include "scene.h"

static void rollouts(void **state)
{
    (void)state;
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

/* Back to the revision that was healthy last: once, and only where it is known and another one. UPDATE stands for the newest revision's name. */
static void retreats(void **state)
{
    (void)state;
    static struct scene t;
    static char before[] = "{\"model\":{\"uri\":\"https://h/old\"}}", other[] = "{\"model\":{\"uri\":\"https://h/other\"}}";
    static const struct {
        const char *healthy, *trace, *judged;
        bool asked, paused, goes;
    } rows[] = {
        {"m-current", NULL, "UPDATE", true, false, true},
        {"m-current", NULL, "UPDATE", false, false, false},             /* bad, but of nothing that rollback.when names */
        {"m-current", NULL, "UPDATE", true, true, false},               /* paused */
        {"", NULL, "UPDATE", true, false, false},                       /* none was healthy yet */
        {"UPDATE", NULL, "UPDATE", true, false, false},                 /* it was this one */
        {"m-gone", NULL, "UPDATE", true, false, false},                 /* it is no longer in the history */
        {"m-current", NULL, "m-other", true, false, false},             /* what is judged is no longer asked for */
        {"m-current", "UPDATE m-current why", "UPDATE", true, false, false}, /* left once, and applied again */
        {"m-current", "m-other UPDATE why", "UPDATE", true, false, false},   /* gone to, and bad as well */
        {"m-current", "m-a m-b why", "UPDATE", true, false, true},           /* a third one */
        {"m-current", "nonsense", "UPDATE", true, false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char healthy[64], trace[200] = "";
        struct pt_verdict verdict = {.health = PT_HEALTH_BAD, .retreat = rows[i].asked, .reason = "QualityLow", .message = "accuracy is 0.5"};
        struct pt_monitoring watched = {.retreats = true, .periods = 1};
        plan(&t, "nA", (struct pt_spec)ROLL(1, 1, 0));
        pt_plan_finish(&t.plan);
        snprintf(healthy, sizeof healthy, "%s", strcmp(rows[i].healthy, "UPDATE") ? rows[i].healthy : t.update);
        snprintf(verdict.revision, sizeof verdict.revision, "%s", strcmp(rows[i].judged, "UPDATE") ? rows[i].judged : t.update);
        const char *at = rows[i].trace ? strstr(rows[i].trace, "UPDATE") : NULL;
        if (rows[i].trace)
            snprintf(trace, sizeof trace, "%.*s%s%s", at ? (int)(at - rows[i].trace) : 99, rows[i].trace, at ? t.update : "", at ? at + 6 : "");
        t.revisions[1].data = before;
        t.revisions[2].data = other;
        t.md.spec.monitoring = &watched;
        t.md.spec.paused = rows[i].paused;
        t.md.healthy = healthy;
        t.md.rolled_back = rows[i].trace ? trace : NULL;
        t.s.verdict = &verdict;
        struct pt_err err;
        assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
        const struct pt_effect *e = effect(&t, PT_EFFECT_RETREAT);
        if (!e != !rows[i].goes || (e && (!says(e, "https://h/old") || !says(e, "m-current accuracy is 0.5") || !says(e, "\"resourceVersion\":\"5\""))))
            fail_msg("row %zu: %s", i, e ? e->body.p : "none");
        t.md.spec.monitoring = NULL;
        t.md.healthy = t.md.rolled_back = NULL;
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollouts),
        cmocka_unit_test(pauses),
        cmocka_unit_test(rollbacks),
        cmocka_unit_test(retreats),
        cmocka_unit_test(names_of_lost_creates),
        cmocka_unit_test(adoption),
        cmocka_unit_test(budgets),
        cmocka_unit_test(revisions),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
