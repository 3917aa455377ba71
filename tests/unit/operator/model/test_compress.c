/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.compression, plan by plan: what a plan writes is the next one's snapshot, as an API server would have it. Pods that compress are written as
 * the JSON of a kubelet; those that serve are left out.
 */
#include "operator/ctrl/obj.h"
#include "operator/model/compress.h"
#include "operator/model/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SPEC(extra, recipe)                                                                                                                          \
    "{\"replicas\":1,\"model\":{\"uri\":\"https://h/p\"}," extra "\"compression\":{\"recipe\":{\"stages\":[" recipe                                  \
    "]},\"output\":{\"uri\":\"pvc://c/out\"},"                                                                                                       \
    "\"resources\":{\"limits\":{\"cpu\":\"2\"}},\"backoffLimit\":2,\"timeout\":\"1h\"}}"

struct world {
    cJSON *object; /* the ModelDeployment */
    struct pt_object *md, *work, *revisions[4];
    size_t revision_count;
    int64_t wall_ms, requeue_ms;
    int generation;
    char did[512];      /* the effects, in short: "+work +revision +pod -work" */
    char event[900];    /* of the status, or of the pod that compresses */
    struct pt_buf body; /* of the last object that was made */
};

static void set_spec(struct world *w, const char *spec)
{
    cJSON *parsed = cJSON_Parse(spec);
    assert_non_null(parsed);
    assert_int_equal(pt_obj_set(w->object, "spec", parsed, NULL), PT_OK);
    assert_int_equal(pt_obj_set(pt_obj_mut(w->object, "metadata"), "generation", cJSON_CreateNumber(++w->generation), NULL), PT_OK);
}

static void init(struct world *w, const char *spec)
{
    memset(w, 0, sizeof *w);
    w->wall_ms = 1700000000000;
    w->object = cJSON_Parse("{\"apiVersion\":\"pintle.dev/v1alpha1\",\"kind\":\"ModelDeployment\",\"metadata\":{\"name\":\"m\",\"namespace\":\"ns\","
                            "\"uid\":\"u\",\"resourceVersion\":\"7\"}}");
    set_spec(w, spec);
}

static void drop_work(struct world *w)
{
    pt_packed_free(w->work);
    w->work = NULL;
}

static void finish(struct world *w)
{
    cJSON_Delete(w->object);
    pt_md_free(w->md);
    drop_work(w);
    for (size_t i = 0; i < w->revision_count; i++)
        pt_packed_free(w->revisions[i]);
    pt_buf_finish(&w->body);
}

static struct pt_md *md_of(struct world *w)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    struct pt_err err = {0};
    pt_md_free(w->md);
    assert_int_equal(pt_obj_print(w->object, &text, &err), PT_OK);
    if (pt_md_decode((struct pt_str){text.data, text.len}, &w->md, &err) < 0)
        fail_msg("%s", err.msg);
    struct pt_md *md = (struct pt_md *)w->md;
    if (md->invalid)
        fail_msg("%s", md->invalid);
    return md;
}

static void take_revision(struct world *w, const struct pt_effect *e)
{
    struct pt_err err = {0};
    pt_auto_obj *o = NULL;
    pt_auto_buf text = PT_BUF_INIT(0);
    assert_int_equal(pt_obj_parse(e->body, "revision", &o, &err), PT_OK);
    cJSON *meta = pt_obj_mut(o, "metadata");
    cJSON_AddStringToObject(meta, "uid", e->name);
    cJSON_AddStringToObject(meta, "resourceVersion", "8");
    assert_int_equal(pt_obj_print(o, &text, &err), PT_OK);
    assert_int_equal(pt_revision_decode((struct pt_str){text.data, text.len}, &w->revisions[w->revision_count], &err), PT_OK);
    if (w->revision_count)
        w->revisions[w->revision_count - 1]->next = w->revisions[w->revision_count];
    w->revision_count++;
}

static void take_in(struct world *w, const struct pt_effect *e)
{
    static const char *const names[] = {[PT_EFFECT_CREATE_WORK] = "+work ",
                                        [PT_EFFECT_DELETE_WORK] = "-work ",
                                        [PT_EFFECT_CREATE_REVISION] = "+revision ",
                                        [PT_EFFECT_CREATE_POD] = "+pod ",
                                        [PT_EFFECT_PATCH_STATUS] = ""};
    struct pt_err err = {0};
    pt_auto_obj *patch = NULL;
    if (e->kind < sizeof names / sizeof *names && names[e->kind])
        strncat(w->did, names[e->kind], sizeof w->did - strlen(w->did) - 1);
    if (e->kind == PT_EFFECT_CREATE_WORK || e->kind == PT_EFFECT_CREATE_POD) {
        pt_buf_reset(&w->body);
        pt_buf_append(&w->body, e->body.p, e->body.len);
    }
    if ((e->kind == PT_EFFECT_PATCH_STATUS || e->kind == PT_EFFECT_CREATE_WORK) && e->reason)
        snprintf(w->event, sizeof w->event, "%s: %s", e->reason, e->message);
    if (e->kind == PT_EFFECT_CREATE_REVISION)
        take_revision(w, e);
    if (e->kind != PT_EFFECT_PATCH_STATUS)
        return;
    assert_int_equal(pt_obj_parse(e->body, "patch", &patch, &err), PT_OK);
    cJSON_DeleteItemFromObject(patch, "metadata");
    assert_int_equal(pt_obj_merge(w->object, patch, &err), PT_OK);
}

static struct pt_snapshot snapshot_of(struct world *w)
{
    return (struct pt_snapshot){.md = md_of(w),
                                .revisions = w->revision_count ? (struct pt_revision *)w->revisions[0] : NULL,
                                .work_pods = (struct pt_work_pod *)w->work,
                                .settings = {.sidecar_image = "i", .drain_settle_ms = 2000},
                                .seed = 1,
                                .now_ms = 1000000,
                                .wall_ms = w->wall_ms,
                                .status_ms = -1};
}

/* One plan and what comes of it. */
static const char *step(struct world *w)
{
    struct pt_err err = {0};
    struct pt_plan p;
    struct pt_snapshot s = snapshot_of(w);
    w->did[0] = w->event[0] = 0;
    if (pt_plan_make(&s, &p, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < p.count; i++)
        take_in(w, &p.effects[i]);
    w->requeue_ms = p.requeue_ms;
    pt_plan_finish(&p);
    return w->did;
}

static void set_work(struct world *w, int attempt, const char *status)
{
    struct pt_err err = {0};
    char text[1500];
    char name[80];
    struct pt_md *md = md_of(w);
    pt_compression_pod_name(md, name);
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"uid\":\"w%d\",\"resourceVersion\":\"9\",\"labels\":{\"pintle.dev/"
             "compression\":\"%s\",\"pintle.dev/"
             "attempt\":\"%d\"},\"ownerReferences\":[{\"uid\":\"u\",\"name\":\"m\",\"controller\":true}]},\"status\":%s}",
             name, attempt, md->spec.compression.key, attempt, status);
    drop_work(w);
    if (pt_work_decode(pt_str(text), &w->work, &err) < 0)
        fail_msg("%s", err.msg);
}

static void end_work(struct world *w, int attempt, int exit_code, const char *said)
{
    char status[900];
    snprintf(status, sizeof status,
             "{\"phase\":\"%s\",\"containerStatuses\":[{\"state\":{\"terminated\":{\"exitCode\":%d,\"reason\":\"%s\",\"message\":\"%s\"}}}]}",
             exit_code ? "Failed" : "Succeeded", exit_code,
             exit_code == 137 ? "OOMKilled"
             : exit_code      ? "Error"
                              : "Completed",
             said);
    set_work(w, attempt, status);
}

#define RUNNING "{\"phase\":\"Running\",\"containerStatuses\":[{\"state\":{\"running\":{}}}]}"
#define SAID_DIGEST "{\\\"digest\\\":\\\"" DIGEST "\\\",\\\"message\\\":\\\"accuracy 0.97 -> 0.96\\\"}"

static const char *condition(struct world *w, const char *type, const char *member)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(w->object, "status.conditions")) if (!strcmp(pt_obj_text(c, "type"), type)) return pt_obj_text(c, member);
    return "none";
}

static const char *phase(struct world *w)
{
    return pt_obj_text(w->object, "status.compression.phase");
}

static void runs_and_is_served(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("", "{\"prune\":{}}"));
    assert_string_equal(step(&w), "+work ");
    assert_non_null(strstr(w.event, "CompressionStarted: "));
    assert_string_equal(phase(&w), "Pending");
    assert_string_equal(condition(&w, "Compressed", "status"), "Unknown");
    assert_string_equal(condition(&w, "Reconciling", "status"), "True");
    assert_string_equal(condition(&w, "Ready", "reason"), "Compressing");
    pt_auto_obj *pod = cJSON_Parse(pt_buf_cstr(&w.body));
    assert_null(cJSON_GetObjectItemCaseSensitive(pt_obj_get(pod, "metadata.labels"), PT_LABEL_NAME)); /* no Service may select it */
    assert_string_equal(pt_obj_text(pod, "spec.restartPolicy"), "Never");
    assert_true(pt_obj_true(pod, "metadata.ownerReferences.0.controller"));
    assert_string_equal(pt_obj_text(pod, "spec.containers.0.resources.limits.cpu"), "2");
    set_work(&w, 0, RUNNING);
    assert_string_equal(step(&w), "");
    assert_string_equal(phase(&w), "Running");
    end_work(&w, 0, 0, SAID_DIGEST);
    assert_string_equal(step(&w), "+revision +pod ");
    assert_string_equal(w.event, "CompressionSucceeded: accuracy 0.97 -> 0.96");
    assert_string_equal(condition(&w, "Compressed", "status"), "True");
    assert_string_equal(pt_obj_text(w.object, "status.compression.uri"),
                        "pvc://c/out/sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.onnx");
    assert_non_null(strstr(pt_buf_cstr(&w.body), "file:///mnt/pintle/model/out/sha256-0123456789abcdef"));
    assert_non_null(strstr(pt_buf_cstr(&w.body), DIGEST)); /* verified where it is served */
    assert_string_equal(step(&w), "-work +pod ");          /* what has told is not needed any more */
    finish(&w);
}

static void tell(struct world *w, int number, const char *stage, int percent)
{
    struct pt_work_pod *pod = (struct pt_work_pod *)w->work;
    pod->progress = (struct pt_run_progress){.number = number, .stages = 2, .epochs = 3, .epoch = 1, .percent = percent, .eta_s = 60};
    snprintf(pod->progress.stage, sizeof pod->progress.stage, "%s", stage);
}

static const char *summary(struct world *w)
{
    return pt_obj_text(w->object, "status.compression.progress.summary");
}

static void it_is_told_how_far_it_is(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("", "{\"prune\":{}}"));
    step(&w);
    set_work(&w, 0, RUNNING);
    step(&w);
    assert_null(pt_obj_get(w.object, "status.compression.progress")); /* nothing was told */
    tell(&w, 1, "prune", -1);
    step(&w);
    assert_string_equal(w.event, "CompressionStage: Stage 1/2 prune begins");
    assert_string_equal(summary(&w), "1/2 prune");
    assert_null(pt_obj_get(w.object, "status.compression.progress.percent"));
    w.wall_ms += 1000;
    tell(&w, 1, "prune", 2);
    step(&w);
    assert_string_equal(w.event, "");
    assert_string_equal(summary(&w), "1/2 prune, 2 %");
    w.wall_ms += 4000;
    tell(&w, 1, "prune", 30);
    step(&w);
    assert_string_equal(summary(&w), "1/2 prune, 2 %"); /* too early to say again */
    assert_int_equal(w.requeue_ms, 6000);
    w.wall_ms += 6000;
    step(&w);
    assert_string_equal(w.event, "");
    assert_string_equal(summary(&w), "1/2 prune, 30 %");
    assert_int_equal(pt_obj_int(w.object, "status.compression.progress.percent", 0), 30);
    assert_int_equal(pt_obj_int(w.object, "status.compression.progress.epoch", 0), 1);
    assert_int_equal(pt_obj_int(w.object, "status.compression.progress.etaSeconds", 0), 60);
    w.wall_ms += 1000;
    tell(&w, 2, "quantize", 0); /* another stage is said at once */
    step(&w);
    assert_string_equal(w.event, "CompressionStage: Stage 2/2 quantize begins");
    set_work(&w, 0, RUNNING); /* an operator that has just begun knows nothing: what was said stays */
    w.wall_ms += 60000;
    step(&w);
    assert_string_equal(summary(&w), "2/2 quantize, 0 %");
    end_work(&w, 0, 0, SAID_DIGEST);
    step(&w);
    assert_string_equal(w.event, "CompressionSucceeded: accuracy 0.97 -> 0.96");
    assert_null(pt_obj_get(w.object, "status.compression.progress"));
    finish(&w);
}

static void the_pod_can_prove_who_it_is(void **state)
{
    (void)state;
    struct world w;
    struct pt_err err;
    pt_auto_buf text = PT_BUF_INIT(0);
    init(&w, SPEC("", "{\"prune\":{}}"));
    struct pt_settings s = {.sidecar_image = "i", .report_url = "https://o:8443/v1/report", .report_ca_pem = "PEM"};
    assert_int_equal(pt_build_compression_pod(md_of(&w), &s, 0, &text, &err), PT_OK);
    pt_auto_obj *pod = cJSON_Parse(pt_buf_cstr(&text));
    const char *report = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(pod, "metadata.annotations"), PT_ANNOTATION_REPORT));
    assert_string_equal(report, "{\"url\":\"https://o:8443/v1/report\",\"ca\":\"PEM\",\"tokenFile\":\"/var/run/secrets/pintle.dev/token\",\"intervalMs\":1000}");
    assert_non_null(strstr(pt_buf_cstr(&text), "\"--operator\",\"/etc/pintle/report.json\""));
    assert_non_null(strstr(pt_buf_cstr(&text), "\"serviceAccountToken\":{\"audience\":\"pintle.dev\""));
    assert_false(pt_obj_true(pod, "spec.automountServiceAccountToken")); /* no other token */
    pt_buf_reset(&text);
    s.report_url = NULL;
    assert_int_equal(pt_build_compression_pod(md_of(&w), &s, 0, &text, &err), PT_OK);
    assert_null(strstr(pt_buf_cstr(&text), "serviceAccountToken")); /* nobody to tell it to */
    finish(&w);
}

static void a_lost_pod_is_made_again_later(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("", "{\"prune\":{}}"));
    step(&w);
    set_work(&w, 0, RUNNING);
    step(&w);
    drop_work(&w); /* deleted, or gone with its node */
    assert_string_equal(step(&w), "");
    assert_non_null(strstr(w.event, "CompressionRetrying: attempt 1 of 3"));
    assert_int_equal(w.requeue_ms, 10000);
    w.wall_ms += 9000;
    assert_string_equal(step(&w), "");
    w.wall_ms += 1000;
    assert_string_equal(step(&w), "+work ");
    end_work(&w, 1, 137, "");
    assert_string_equal(step(&w), "");
    assert_non_null(strstr(w.event, "exit code 137: OOMKilled"));
    assert_string_equal(step(&w), "-work "); /* now that it is counted */
    w.wall_ms += 60000;
    assert_string_equal(step(&w), "-work "); /* its name is taken until it is gone */
    drop_work(&w);
    assert_string_equal(step(&w), "+work ");
    end_work(&w, 2, 74, "{\\\"message\\\":\\\"disk full\\\"}");
    step(&w);
    assert_string_equal(phase(&w), "Failed");
    assert_string_equal(w.event, "CompressionFailed: attempt 3 of 3: disk full");
    assert_string_equal(condition(&w, "Stalled", "reason"), "Failed");
    drop_work(&w);
    w.wall_ms += 3600000;
    assert_string_equal(step(&w), "");
    finish(&w);
}

static void a_gate_that_fails_is_final(void **state)
{
    (void)state;
    struct world w;
    init(&w, "{\"replicas\":1,\"model\":{\"uri\":\"https://h/p\"}}");
    assert_string_equal(step(&w), "+revision +pod ");
    set_spec(&w, SPEC("", "{\"prune\":{}}"));
    assert_string_equal(step(&w), "+work +pod "); /* the old revision is still looked after */
    assert_non_null(strstr(condition(&w, "Ready", "message"), "the last revision goes on serving"));
    end_work(&w, 0, 3, "{\\\"message\\\":\\\"accuracy fell by 0.1\\\"}");
    assert_string_equal(step(&w), "+pod ");
    assert_string_equal(w.event, "GateFailed: accuracy fell by 0.1");
    assert_string_equal(condition(&w, "Compressed", "reason"), "GateFailed");
    assert_string_equal(condition(&w, "Stalled", "status"), "True");
    assert_string_equal(condition(&w, "Reconciling", "status"), "False");
    drop_work(&w);
    w.wall_ms += 86400000;
    assert_string_equal(step(&w), "+pod ");
    set_spec(&w, SPEC("", "{\"quantize\":{}}")); /* another recipe is another attempt */
    assert_string_equal(step(&w), "+work +pod ");
    assert_string_equal(condition(&w, "Stalled", "status"), "False");
    set_spec(&w, "{\"replicas\":1,\"model\":{\"uri\":\"https://h/p\"}}"); /* and none at all is the old revision */
    set_work(&w, 0, RUNNING);
    finish(&w);
}

static void work_that_is_done_is_kept(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("", "{\"prune\":{}}"));
    step(&w);
    end_work(&w, 0, 0, SAID_DIGEST);
    step(&w);
    drop_work(&w);
    set_spec(&w, SPEC("\"serving\":{\"port\":9090},", "{\"prune\":{}}")); /* another revision of the same work */
    assert_string_equal(step(&w), "+revision +pod ");
    set_spec(&w, SPEC("", "{\"quantize\":{}}"));
    step(&w);
    set_spec(&w, SPEC("", "{\"prune\":{}}")); /* back, when the status speaks of something else already */
    step(&w);
    assert_null(strstr(w.did, "+work"));
    assert_string_equal(phase(&w), "Succeeded");
    assert_string_equal(pt_obj_text(w.object, "status.compression.digest"), DIGEST);
    finish(&w);
}

static void a_change_of_the_spec_ends_the_old_work(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("", "{\"prune\":{}}"));
    step(&w);
    set_work(&w, 0, RUNNING);
    step(&w);
    set_spec(&w, SPEC("", "{\"quantize\":{}}"));
    assert_string_equal(step(&w), "-work +work ");
    set_spec(&w, "{\"replicas\":1,\"model\":{\"uri\":\"https://h/p\"}}");
    assert_string_equal(step(&w), "-work +revision +pod ");
    assert_null(pt_obj_get(w.object, "status.compression"));
    assert_string_equal(condition(&w, "Compressed", "status"), "none");
    finish(&w);
}

static void waits_while_paused_and_has_a_deadline(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("\"paused\":true,", "{\"prune\":{}}"));
    assert_string_equal(step(&w), "");
    assert_string_equal(phase(&w), "Pending");
    set_spec(&w, SPEC("", "{\"prune\":{}}"));
    assert_string_equal(step(&w), "+work ");
    set_work(&w, 0, RUNNING);
    step(&w);
    assert_int_equal(w.requeue_ms, 3600000);
    w.wall_ms += 3600000;
    assert_string_equal(step(&w), "");
    assert_string_equal(condition(&w, "Compressed", "reason"), "DeadlineExceeded");
    assert_string_equal(step(&w), "-work ");
    finish(&w);
}

static void what_a_refused_recipe_says_is_told(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("", "{\"prune\":{}}"));
    step(&w);
    end_work(&w, 0, 65, "{\\\"message\\\":\\\"stages[0].prune.amount: must be below 1\\\"}");
    step(&w);
    assert_string_equal(pt_obj_text(w.object, "status.compression.message"), "stages[0].prune.amount: must be below 1");
    assert_string_equal(pt_obj_text(w.object, "status.compression.reason"), "Failed");
    finish(&w);
}

static void a_second_look_writes_nothing(void **state)
{
    (void)state;
    struct world w;
    struct pt_plan p;
    struct pt_err err;
    init(&w, SPEC("", "{\"prune\":{}}"));
    step(&w);
    set_work(&w, 0, RUNNING);
    step(&w);
    struct pt_snapshot s = snapshot_of(&w);
    s.wall_ms += 1000;
    assert_int_equal(pt_plan_make(&s, &p, &err), PT_OK);
    for (size_t i = 0; i < p.count; i++)
        assert_int_equal(p.effects[i].kind, PT_EFFECT_CREATE_SERVICE); /* which this world does not keep */
    pt_plan_finish(&p);
    finish(&w);
}

static void specs(void **state)
{
    (void)state;
    static const struct {
        const char *compression, *why; /* NULL: fine */
    } cases[] = {
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"s3://bucket/folder\"}}", NULL},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"file:///models\",\"credentialsSecretRef\":{\"name\":\"x\"}},\"timeout\":\"90m\"}",
         NULL},
        {"{\"output\":{\"uri\":\"file:///models\"}}", "spec.compression.recipe: required"},
        {"{\"recipe\":{\"stages\":[{}]}}", "spec.compression.output: required"},
        {"{\"recipe\":{\"stages\":[]},\"output\":{\"uri\":\"file:///m\"}}", "needs stages, a list of 1 to 64"},
        {"{\"recipe\":{},\"output\":{\"uri\":\"file:///models\"}}", "spec.compression.recipe: {}: needs stages, a list of 1 to 64"},
        {"{\"recipe\":{\"stages\":[{}],\"model\":\"a\"},\"output\":{\"uri\":\"file:///models\"}}",
         "spec.compression.recipe.model: \"a\": is the operator's own"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"https://h/p\"}}", "must be pvc://CLAIM/PATH"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"pvc://c/p/\"}}", "must be pvc://CLAIM/PATH"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"pvc://c/../p\"}}", "must be https://HOST/PATH"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"file:///m\"},\"volumes\":[{\"name\":\"pintle-x\"}]}", "operator's own"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"file:///m\"},\"volumeMounts\":[{\"name\":\"a\",\"mountPath\":\"/mnt/pintle/output\"}]}",
         "operator's own"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"file:///m\"},\"timeout\":\"0s\"}", "must be a duration"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"file:///m\"},\"backoffLimit\":-1}", "from 0 to 100"},
        {"{\"recipe\":{\"stages\":[{}]},\"output\":{\"uri\":\"file:///m\"},\"gate\":{}}", "spec.compression.gate: {}: unknown field"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        struct pt_spec s;
        struct pt_err err = {0};
        snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"m\"},\"spec\":{\"model\":{\"uri\":\"https://h/p\"},\"compression\":%s}}",
                 cases[i].compression);
        int rc = pt_spec_decode(pt_str(text), &s, &err);
        if (cases[i].why ? rc != PT_EINVAL || !strstr(err.msg, cases[i].why) : rc != PT_OK)
            fail_msg("%s: %d %s", cases[i].compression, rc, err.msg);
        pt_spec_finish(&s);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    struct world w;
    init(&w, SPEC("", "{\"prune\":{}}"));
    step(&w);
    end_work(&w, 0, 0, SAID_DIGEST);
    struct pt_snapshot s = snapshot_of(&w);
    for (int64_t n = 1, done = 0; !done; n++) {
        struct pt_err err = {0};
        struct pt_plan p;
        pt_mem_fail_at(n, 1);
        int rc = pt_plan_make(&s, &p, &err);
        pt_mem_fail_at(0, 0);
        done = rc == PT_OK;
        if (!done)
            assert_int_equal(rc, PT_ENOMEM);
        pt_plan_finish(&p);
        assert_true(n < 5000);
    }
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs_and_is_served),
                                       cmocka_unit_test(it_is_told_how_far_it_is),
                                       cmocka_unit_test(the_pod_can_prove_who_it_is),
                                       cmocka_unit_test(a_lost_pod_is_made_again_later),
                                       cmocka_unit_test(a_gate_that_fails_is_final),
                                       cmocka_unit_test(work_that_is_done_is_kept),
                                       cmocka_unit_test(a_change_of_the_spec_ends_the_old_work),
                                       cmocka_unit_test(waits_while_paused_and_has_a_deadline),
                                       cmocka_unit_test(what_a_refused_recipe_says_is_told),
                                       cmocka_unit_test(a_second_look_writes_nothing),
                                       cmocka_unit_test(specs),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
