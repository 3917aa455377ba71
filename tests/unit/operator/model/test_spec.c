/* SPDX-License-Identifier: Apache-2.0
 *
 * What a spec may hold, what it means, and the pods that are built from it.
 */
#include "base/mem.h"
#include "operator/ctrl/obj.h"
#include "operator/model/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* An object with this spec; %s of a JSON object. */
static struct pt_str object(char text[4096], const char *spec)
{
    int n = snprintf(text, 4096,
                     "{\"apiVersion\":\"pintle.dev/v1alpha1\",\"kind\":\"ModelDeployment\",\"metadata\":{\"name\":\"digits\",\"namespace\":\"ns\",\"uid\":\"u-1\","
                     "\"resourceVersion\":\"7\",\"generation\":3},\"spec\":%s}", spec);
    return (struct pt_str){text, (size_t)n};
}

#define WATCH(inner) "{\"model\":{\"uri\":\"https://h/p\"},\"monitoring\":{" inner "}}"
#define POD(inner) "{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"spec\":{" inner "}}}"

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *path, *why;
    } cases[] = {
        {"{}", "spec.model", "required"},
        {"{\"model\":{}}", "spec.model.uri", "required"},
        {"{\"model\":{\"uri\":\"gs://b/k\"}}", "spec.model.uri: \"gs://b/k\"", "s3://BUCKET/KEY"},
        {"{\"model\":{\"uri\":\"s3://b\"}}", "spec.model.uri", "s3://BUCKET/KEY"},
        {"{\"model\":{\"uri\":\"pvc://Claim/p\"}}", "spec.model.uri", "pvc://CLAIM/PATH"},
        {"{\"model\":{\"uri\":\"pvc://c/a/../../p\"}}", "spec.model.uri", "pvc://CLAIM/PATH"},
        {"{\"model\":{\"uri\":\"pvc://c/..\"}}", "spec.model.uri", "pvc://CLAIM/PATH"},
        {"{\"model\":{\"uri\":\"https:///x\"}}", "spec.model.uri", "https://HOST/PATH"},
        {"{\"model\":{\"uri\":\"https://h\"}}", "spec.model.uri", "https://HOST/PATH"},
        {"{\"model\":{\"uri\":\"file://x\"}}", "spec.model.uri", "file:///PATH"},
        {"{\"model\":{\"uri\":\"https://h/a b\"}}", "spec.model.uri", "blanks"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"digest\":\"sha256:12\"}}", "spec.model.digest: \"sha256:12\"", "64"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"format\":\"tf\"}}", "spec.model.format: \"tf\"", "onnx"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"name\":\"a/b\"}}", "spec.model.name", "letters"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"credentialsSecretRef\":{\"name\":\"X\"}}}", "spec.model.credentialsSecretRef.name", "name of an object"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"credentialsSecretRef\":{}}}", "spec.model.credentialsSecretRef.name", "required"},
        {WATCH("\"drift\":3"), "spec.monitoring.drift", "unknown field"},
        {WATCH("\"task\":\"ranking\""), "spec.monitoring.task: \"ranking\"", "classification"},
        {WATCH("\"window\":\"1ms\""), "spec.monitoring.window", "must be a duration"},
        {WATCH("\"profile\":\"x\""), "spec.monitoring.profile: \"x\"", "begins with /"},
        {WATCH("\"thresholds\":[{\"figure\":\"luck\",\"min\":1}]"), "spec.monitoring.thresholds[0].figure: \"luck\"", "not a figure"},
        {WATCH("\"thresholds\":[{\"min\":1}]"), "spec.monitoring.thresholds[0].figure", "required"},
        {WATCH("\"thresholds\":[{\"figure\":\"auc\"}]"), "spec.monitoring.thresholds[0]", "needs min or max"},
        {WATCH("\"thresholds\":[{\"figure\":\"auc\",\"min\":\"1\"}]"), "spec.monitoring.thresholds[0].min: \"1\"", "must be a number"},
        {WATCH("\"thresholds\":[{\"figure\":\"auc\",\"min\":2,\"max\":1}]"), "spec.monitoring.thresholds[0]", "more than max"},
        {WATCH("\"thresholds\":[{\"figure\":\"auc\",\"min\":1},{\"figure\":\"auc\",\"max\":1}]"), "spec.monitoring.thresholds[1]", "already"},
        {WATCH("\"rollback\":{\"when\":[\"auc\"]}"), "spec.monitoring.rollback.when: \"auc\"", "has a threshold"},
        {WATCH("\"rollback\":{\"when\":[]}"), "spec.monitoring.rollback.when", "at least one"},
        {WATCH("\"rollback\":{}"), "spec.monitoring.rollback.when", "required"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{}}", "spec.autoscaling.maxReplicas", "required"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{\"maxReplicas\":3,\"metric\":\"CPU\"}}", "spec.autoscaling.metric: \"CPU\"", "must be Concurrency, RPS, QueueDelay or Latency"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{\"maxReplicas\":3,\"metric\":\"Latency\"}}", "spec.autoscaling.target", "must be a duration like \"50ms\" with metric Latency"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{\"maxReplicas\":3,\"metric\":\"QueueDelay\",\"target\":5}}", "spec.autoscaling.target", "must be a duration"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{\"maxReplicas\":3,\"target\":\"5ms\"}}", "spec.autoscaling.target", "must be a number with metric Concurrency"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{\"maxReplicas\":3,\"metric\":\"Latency\",\"target\":\"2h\"}}", "spec.autoscaling.target: \"2h\"", "up to 1h"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{\"maxReplicas\":3,\"minReplicas\":4}}", "spec.autoscaling.minReplicas", "more than maxReplicas"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"autoscaling\":{\"maxReplicas\":3,\"scaleDownDelay\":\"1h\"}}", "spec.autoscaling.scaleDownDelay", "must be a duration"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"paused\":\"yes\"}", "spec.paused: \"yes\"", "true or false"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"disruption\":{}}", "spec.disruption.maxUnavailable", "required"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"disruption\":{\"maxUnavailable\":\"x%\"}}", "spec.disruption.maxUnavailable: \"x%\"", "percentage"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"replicaz\":1}", "spec.replicaz: 1", "unknown field"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"replicas\":-1}", "spec.replicas: -1", "from 0 to 1000"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"replicas\":1.5}", "spec.replicas: 1.5", "whole"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"replicas\":\"1\"}", "spec.replicas: \"1\"", "whole"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"replicas\":1,\"replicas\":2}", "spec.replicas: 2", "twice"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"runtime\":{\"batching\":{\"x\":1}}}", "spec.runtime.batching.x", "unknown"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"runtime\":{\"image\":\"a b\"}}", "spec.runtime.image", "image"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"timeout\":\"soon\"}}", "spec.serving.timeout: \"soon\"", "duration"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"port\":8082}}", "spec.serving.metricsPort", "also"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"grpcPort\":8082}}", "spec.serving.metricsPort", "also serving.grpcPort"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"grpcPort\":8080}}", "spec.serving.grpcPort", "also serving.port"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"tls\":{}}}", "spec.serving.tls.secretName", "required"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"tls\":{\"secretName\":\"A\"}}}", "spec.serving.tls.secretName: \"A\"", "name of an object"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"tls\":{\"secretName\":\"a\",\"clientCA\":\"b\"}}}", "spec.serving.tls.clientCA", "unknown field"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"auth\":{\"metrics\":true}}}", "spec.serving.auth.tokensSecretName", "required"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"auth\":{\"tokensSecretName\":\"t\",\"metrics\":1}}}", "spec.serving.auth.metrics: 1", "true or false"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"maxConnectionAge\":\"2h\"}}", "spec.serving.maxConnectionAge: \"2h\"", "duration"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"accessLog\":{}}}", "spec.serving.accessLog.sample", "required"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"accessLog\":{\"sample\":0}}}", "spec.serving.accessLog.sample: 0", "1 to 1000000"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"accessLog\":{\"sample\":1,\"path\":\"log\"}}}", "spec.serving.accessLog.path: \"log\"", "begins with /"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"warmup\":\"ids\"}}", "spec.model.warmup: \"ids\"", "INPUT=LENGTHxLENGTH"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"warmup\":\"=1\"}}", "spec.model.warmup", "INPUT=LENGTHxLENGTH"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"warmup\":\"ids=1x\"}}", "spec.model.warmup", "INPUT=LENGTHxLENGTH"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"warmup\":\"ids=1xx2\"}}", "spec.model.warmup", "INPUT=LENGTHxLENGTH"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"warmup\":\"ids=1,,m=2\"}}", "spec.model.warmup", "INPUT=LENGTHxLENGTH"},
        {"{\"model\":{\"uri\":\"https://h/p\",\"warmup\":\"ids=-1\"}}", "spec.model.warmup", "INPUT=LENGTHxLENGTH"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"strategy\":{\"type\":\"Canary\"}}", "spec.strategy.type: \"Canary\"", "not supported"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"strategy\":{\"type\":\"Recreate\",\"rollingUpdate\":{}}}", "spec.strategy.rollingUpdate", "only"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"strategy\":{\"rollingUpdate\":{\"maxSurge\":0}}}", "maxSurge", "both 0"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"strategy\":{\"rollingUpdate\":{\"maxSurge\":\"101%\"}}}", "maxSurge: \"101%\"", "percentage"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"minReadySeconds\":700}", "progressDeadlineSeconds", "greater"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"drain\":{\"timeout\":\"50s\"},\"template\":{\"spec\":{\"terminationGracePeriodSeconds\":50}}}", "terminationGracePeriodSeconds", "drain"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"spec\":{\"hostNetwork\":true}}}", "spec.template.spec.hostNetwork", "unknown"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"spec\":{\"containers\":[{\"name\":\"mine\"}]}}}",
         "spec.template.spec.containers[0].image", "required"},
        {POD("\"containers\":[{\"name\":\"mine\",\"image\":\"i\",\"imagee\":\"j\"}]"), "spec.template.spec.containers[0].imagee", "unknown"},
        {POD("\"containers\":[{\"name\":\"Mine\",\"image\":\"i\"}]"), "spec.template.spec.containers[0]", "1123"},
        {POD("\"containers\":[{\"name\":\"mine\",\"image\":\"i\",\"restartPolicy\":\"Always\"}]"), "spec.template.spec.containers[0]",
         "restartPolicy"},
        {POD("\"containers\":[{\"name\":\"mine\",\"image\":\"i\",\"args\":[1]}]"), "spec.template.spec.containers[0].args", "texts"},
        {POD("\"containers\":[{\"name\":\"mine\",\"image\":\"i\",\"ports\":[{\"name\":\"http\",\"containerPort\":1}]}]"),
         "spec.template.spec.containers[0].ports", "names of the sidecar's"},
        {POD("\"containers\":[{\"name\":\"mine\",\"image\":\"i\",\"volumeMounts\":[{\"name\":\"pintle-token\",\"mountPath\":\"/t\"}]}]"),
         "volumeMounts", "operator's own"},
        {POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\"},{\"name\":\"a\",\"image\":\"j\"}]"), "spec.template.spec.containers",
         "two have this name"},
        {POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"ports\":[{\"containerPort\":8081}]}]"), "container \"a\"", "port 8081 is the sidecar's"},
        {POD("\"initContainers\":[{\"name\":\"a\",\"image\":\"i\",\"ports\":[{\"containerPort\":8082,\"protocol\":\"TCP\"}]}]"), "container \"a\"", "8082 is the sidecar's"},
        {POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"ports\":[{\"containerPort\":70000}]}]"), "ports[0].containerPort: 70000", "1 to 65535"},
        {POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"env\":[{\"value\":\"x\"}]}]"), "env[0].name", "required"},
        {POD("\"containers\":[{\"name\":\"sidecar\",\"env\":[{\"name\":\"A\"},{\"name\":\"A\"}]}]"), "env", "two have this name"},
        {POD("\"containers\":[{\"name\":\"sidecar\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"//etc/pintle/\"}]}]"), "mountPath", "operator's own"},
        {POD("\"containers\":[{\"name\":\"sidecar\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"///\"}]}]"), "mountPath", "operator's own"},
        {POD("\"containers\":[{\"name\":\"sidecar\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/a:b\"}]}]"), "mountPath", "must not contain"},
        {POD("\"containers\":[{\"name\":\"sidecar\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/a\"},{\"name\":\"w\",\"mountPath\":\"/a\"}]}]"), "volumeMounts", "two have this mountPath"},
        {POD("\"volumes\":[{\"name\":\"v\"},{\"name\":\"v\"}]"), "volumes", "two have this name"},
        {POD("\"dnsPolicy\":\"Nonsense\""), "dnsPolicy", "must be ClusterFirst"},
        {POD("\"nodeSelector\":{\"a b\":\"c\"}"), "nodeSelector[a b]", "the key must be"},
        {POD("\"nodeSelector\":{\"a\":\"c d\"}"), "nodeSelector[a]", "the value must be"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"metadata\":{\"labels\":{\"a/b/c\":\"y\"}}}}", "labels[a/b/c]", "the key must be"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"metadata\":{\"annotations\":{\"\":\"y\"}}}}", "annotations[]", "the key must be"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"strategy\":{\"rollingUpdate\":{\"maxSurge\":\"07%\"}}}", "maxSurge: \"07%\"", "percentage"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"requests\":{\"cpu\":2},\"limits\":{\"cpu\":\"1500m\"}}}", "spec.resources.requests.cpu", "more than the limit"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"requests\":{\"memory\":\"1Gi\"},\"limits\":{\"memory\":\"1G\"}}}", "spec.resources.requests.memory", "more than the limit"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"limits\":{\"cpu\":1.5}}}", "spec.resources.limits.cpu", "must be a quantity"},
        {POD("\"initContainers\":[{\"name\":\"sidecar\",\"image\":\"i\"}]"), "spec.template.spec.initContainers[0]", "below containers"},
        {POD("\"initContainers\":[{\"name\":\"a\",\"image\":\"i\"}],\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]"),
         "spec.template.spec.containers", "init container"},
        {"{\"model\":{\"uri\":\"https://h/"
         "p\"},\"template\":{\"spec\":{\"containers\":[{\"name\":\"sidecar\",\"env\":[{\"name\":\"PINTLE_POD_UID\"}]}]}}}",
         "env[0].name", "operator's own"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"spec\":{\"volumes\":[{\"name\":\"pintle-x\"}]}}}", "volumes", "operator's own"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"metadata\":{\"labels\":{\"pintle.dev/x\":\"y\"}}}}", "labels[pintle.dev/x]", "operator's own"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"limit\":{}}}", "spec.resources.limit", "unknown"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"limits\":{\"cpu\":\"x\"}}}", "spec.resources.limits.cpu", "\"x\": must be a quantity"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"limits\":{\"cpu\":-1}}}", "spec.resources.limits.cpu", "must be a quantity"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"limits\":{\"cpu\":\"1e\"}}}", "spec.resources.limits.cpu", "must be a quantity"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"resources\":{\"requests\":{\"memory\":\"1.5MiB\"}}}", "spec.resources.requests.memory", "must be a quantity"},
        {"[]", "spec", "required"},
    };
    char text[4096];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_spec s;
        struct pt_err err = {0};
        int rc = pt_spec_decode(object(text, cases[i].spec), &s, &err);
        if (rc != PT_EINVAL || !strstr(err.msg, cases[i].path) || !strstr(err.msg, cases[i].why))
            fail_msg("%s: %d %s", cases[i].spec, rc, err.msg);
        pt_spec_finish(&s);
    }
    static const char *const names[] = {"", "Digits", "1digits", "a.b", "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct pt_spec s;
        struct pt_err err;
        int n = snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"model\":{\"uri\":\"https://h/p\"}}}", names[i]);
        assert_int_equal(pt_spec_decode((struct pt_str){text, (size_t)n}, &s, &err), PT_EINVAL);
        assert_non_null(strstr(err.msg, "metadata.name"));
    }
}

static void decode(const char *spec, struct pt_spec *s)
{
    char text[4096];
    struct pt_err err;
    if (pt_spec_decode(object(text, spec), s, &err) < 0)
        fail_msg("%s", err.msg);
}

static void defaults(void **state)
{
    (void)state;
    struct pt_spec s;
    decode("{\"model\":{\"uri\":\"https://h/p\"}}", &s);
    assert_int_equal(s.replicas, 1);
    assert_int_equal(s.strategy, PT_STRATEGY_ROLLING);
    assert_true(s.max_surge.percent && s.max_surge.value == 25 && s.max_unavailable.value == 0);
    assert_int_equal(s.progress_deadline_s, 600);
    assert_int_equal(s.history_limit, 10);
    assert_int_equal(s.port, 8080);
    assert_string_equal(s.user_json, "{\"model\":{\"uri\":\"https://h/p\"}}");
    pt_spec_finish(&s);
}

/* Written out or left out, in any order: the same revision. What only concerns how pods are replaced is no part of it. */
static void stable_revision(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{\"model\":{\"uri\":\"https://h/p\"}}",
        "{\"replicas\":5,\"model\":{\"version\":\"1\",\"format\":\"onnx\",\"uri\":\"https://h/p\",\"name\":\"digits\"}}",
        "{\"serving\":{\"timeout\":\"1m\",\"port\":8080},\"runtime\":{\"image\":\"\",\"concurrency\":8,\"queue\":256},\"model\":{\"uri\":\"https://h/p\"},\"drain\":{\"timeout\":\"30000ms\"}}",
        "{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"metadata\":{},\"spec\":{\"containers\":[]}},\"resources\":{},\"minReadySeconds\":4,\"strategy\":{\"type\":\"Recreate\"}}",
    };
    struct pt_md md = {.o = {.name = "digits", .ns = "ns", .uid = "u"}};
    char name[64];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct pt_spec s;
        decode(same[i], &s);
        assert_string_equal(s.user_json, "{\"model\":{\"uri\":\"https://h/p\"}}");
        pt_revision_name(&md, s.user_json, 0, name);
        assert_string_equal(name, "digits-7bbc4f45f9"); /* of release 0.1.0: a change of this replaces every pod of every user at an upgrade */
        pt_spec_finish(&s);
    }
    pt_revision_name(&md, "{\"model\":{\"uri\":\"https://h/p\"}}", 1, name);
    assert_string_not_equal(name, "digits-7bbc4f45f9");
}

/* What the sidecar does shapes pods, what the operator does about it does not. */
static void monitoring(void **state)
{
    (void)state;
    static const char *const same[] = {"{\"model\":{\"uri\":\"https://h/p\"},\"monitoring\":{}}", WATCH("\"task\":\"auto\",\"window\":\"60m\""),
                                       WATCH("\"thresholds\":[{\"figure\":\"accuracy\",\"min\":0.9}],\"minSamples\":7,\"period\":\"2s\",\"periods\":4,\"rollback\":{\"when\":[\"accuracy\"]}")};
    struct pt_spec s;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        decode(same[i], &s);
        assert_string_equal(s.user_json, "{\"model\":{\"uri\":\"https://h/p\"},\"monitoring\":{\"enabled\":true}}");
        assert_non_null(s.monitoring);
        assert_int_equal(s.monitoring->count, i == 2);
        if (i == 2) {
            assert_true(s.monitoring->min_samples == 7 && s.monitoring->period_ms == 2000 && s.monitoring->periods == 4 && s.monitoring->retreats);
            assert_true(s.monitoring->thresholds[0].figure == PT_FIGURE_ACCURACY && s.monitoring->thresholds[0].least == 0.9 && s.monitoring->thresholds[0].retreat);
        }
        pt_spec_finish(&s);
    }
    decode("{\"model\":{\"uri\":\"https://h/p\"},\"monitoring\":null}", &s);
    assert_null(s.monitoring);
    assert_string_equal(s.user_json, "{\"model\":{\"uri\":\"https://h/p\"}}");
    pt_spec_finish(&s);
    decode(WATCH("\"group\":\"region\",\"window\":\"10s\",\"positive\":3,\"classes\":\"a, b\""), &s);
    assert_string_equal(s.user_json, "{\"model\":{\"uri\":\"https://h/p\"},\"monitoring\":{\"classes\":\"a, b\",\"enabled\":true,\"group\":\"region\",\"positive\":3,\"window\":\"10s\"}}");
    pt_spec_finish(&s);
}

static cJSON *build(const char *spec, const char *report_url)
{
    char text[4096];
    struct pt_object *o;
    struct pt_err err = {0};
    pt_auto_buf b = PT_BUF_INIT(0);
    cJSON *pod = NULL;
    struct pt_settings settings = {.sidecar_image = "registry/sidecar:1", .report_url = report_url, .report_ca_pem = "-----BEGIN\nX\n"};
    assert_int_equal(pt_md_decode(object(text, spec), &o, &err), PT_OK);
    struct pt_md *md = (struct pt_md *)o;
    assert_null(md->invalid);
    if (pt_build_pod(md, &settings, "digits-abc", md->spec.user_json, NULL, "digits-abc-xyzzy", &b, &err) < 0 ||
        pt_obj_parse((struct pt_str){b.data, b.len}, "pod", &pod, &err) < 0)
        fail_msg("%s", err.msg);
    pt_md_free(o);
    return pod;
}

static const cJSON *named(const cJSON *list, const char *key, const char *name)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, list) if (pt_obj_str(e, key) && !strcmp(pt_obj_str(e, key), name)) return e;
    return NULL;
}

static void pods(void **state)
{
    (void)state;
    pt_auto_obj *pod = build("{\"model\":{\"uri\":\"https://h/p\",\"digest\":\"" DIGEST "\"},\"runtime\":{\"concurrency\":3},\"drain\":{\"timeout\":\"1500ms\"},"
                             "\"resources\":{\"limits\":{\"cpu\":\"2\"}}}", "https://op:8443/v1/report");
    const cJSON *c = cJSON_GetArrayItem(pt_obj_get(pod, "spec.containers"), 0), *owner = cJSON_GetArrayItem(pt_obj_get(pod, "metadata.ownerReferences"), 0);
    const cJSON *labels = pt_obj_get(pod, "metadata.labels");
    assert_string_equal(pt_obj_str(c, "name"), "sidecar");
    assert_string_equal(pt_obj_str(c, "image"), "registry/sidecar:1");
    assert_string_equal(pt_obj_str(c, "resources.limits.cpu"), "2");
    assert_string_equal(pt_obj_str(c, "readinessProbe.httpGet.path"), "/v2/health/ready");
    assert_true(pt_obj_true(c, "securityContext.readOnlyRootFilesystem") && pt_obj_true(pod, "spec.securityContext.runAsNonRoot"));
    assert_string_equal(pt_obj_str(named(pt_obj_get(c, "env"), "name", "PINTLE_POD_UID"), "valueFrom.fieldRef.fieldPath"), "metadata.uid");
    assert_string_equal(cJSON_GetObjectItem(labels, "controller-revision-hash")->valuestring, "digits-abc");
    assert_string_equal(cJSON_GetObjectItem(labels, "pintle.dev/model-deployment")->valuestring, "digits");
    assert_string_equal(pt_obj_str(owner, "uid"), "u-1");
    assert_true(pt_obj_true(owner, "controller") && pt_obj_true(owner, "blockOwnerDeletion"));
    assert_int_equal(pt_obj_int(pod, "spec.terminationGracePeriodSeconds", 0), 12);
    assert_true(cJSON_IsFalse(pt_obj_get(pod, "spec.automountServiceAccountToken")));
    assert_string_equal(pt_obj_str(cJSON_GetArrayItem(pt_obj_get(pod, "spec.readinessGates"), 0), "conditionType"), "pintle.dev/model-ready");
    const cJSON *source = cJSON_GetArrayItem(pt_obj_get(named(pt_obj_get(pod, "spec.volumes"), "name", "pintle-token"), "projected.sources"), 0);
    assert_string_equal(pt_obj_str(source, "serviceAccountToken.audience"), "pintle.dev");
    pt_auto_obj *config = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(pt_str(cJSON_GetObjectItem(pt_obj_get(pod, "metadata.annotations"), "pintle.dev/config")->valuestring), "config", &config, &err), PT_OK);
    assert_string_equal(pt_obj_str(config, "model.name"), "digits");
    assert_string_equal(pt_obj_str(config, "model.digest"), DIGEST);
    assert_int_equal(pt_obj_int(config, "runtime.concurrency", 0), 3);
    assert_int_equal(pt_obj_int(config, "drain.timeoutMs", 0), 1500);
    assert_string_equal(pt_obj_str(config, "report.ca"), "-----BEGIN\nX\n");
    assert_string_equal(pt_obj_str(config, "report.tokenFile"), "/var/run/secrets/pintle.dev/token");
}

/* The configuration that a monitored pod's sidecar is given, and what going back to another revision changes in the spec. */
static void monitored_pods(void **state)
{
    (void)state;
    pt_auto_obj *pod = build(WATCH("\"group\":\"region\",\"window\":\"10s\",\"positive\":3,\"thresholds\":[{\"figure\":\"auc\",\"min\":1}]"), NULL), *config = NULL, *patch = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(pt_str(cJSON_GetObjectItem(pt_obj_get(pod, "metadata.annotations"), "pintle.dev/config")->valuestring), "config", &config, &err), PT_OK);
    pt_auto_buf b = PT_BUF_INIT(0), c = PT_BUF_INIT(0);
    assert_int_equal(pt_obj_canonical(pt_obj_get(config, "monitoring"), &b, &err), PT_OK);
    assert_string_equal(pt_buf_cstr(&b), "{\"enabled\":1,\"group\":\"region\",\"positive\":3,\"windowMs\":10000}");
    char text[4096];
    struct pt_object *o;
    assert_int_equal(pt_md_decode(object(text, WATCH("\"group\":\"g\",\"thresholds\":[{\"figure\":\"auc\",\"min\":1}]")), &o, &err), PT_OK);
    assert_int_equal(pt_build_retreat((struct pt_md *)o, "{\"model\":{\"uri\":\"https://h/old\"},\"monitoring\":{\"enabled\":true,\"positive\":2}}", "a b \"why\"", &c, &err), PT_OK);
    assert_int_equal(pt_obj_parse((struct pt_str){c.data, c.len}, "patch", &patch, &err), PT_OK);
    pt_buf_reset(&b);
    assert_int_equal(pt_obj_print(pt_obj_get(patch, "spec"), &b, &err), PT_OK);
    assert_string_equal(pt_buf_cstr(&b), "{\"model\":{\"uri\":\"https://h/old\"},\"monitoring\":{\"group\":null,\"positive\":2}}"); /* thresholds stay */
    assert_string_equal(cJSON_GetObjectItem(pt_obj_get(patch, "metadata.annotations"), "pintle.dev/rolled-back")->valuestring, "a b \"why\"");
    pt_md_free(o);
}

static void template_is_merged(void **state)
{
    (void)state;
    pt_auto_obj *pod = build(
        "{\"model\":{\"uri\":\"file:///models/m\"},\"template\":{\"metadata\":{\"labels\":{\"team\":\"a\"},\"annotations\":{\"x\":\"y\"}},\"spec\":{\"nodeSelector\":{\"gpu\":\"no\"},"
        "\"volumes\":[{\"name\":\"models\",\"configMap\":{\"name\":\"m\"}}],\"securityContext\":{\"runAsUser\":1000},\"containers\":[{\"name\":\"sidecar\",\"imagePullPolicy\":\"Never\","
        "\"env\":[{\"name\":\"A\",\"value\":\"1\"}],\"volumeMounts\":[{\"name\":\"models\",\"mountPath\":\"/models\"}]}]}}}", NULL);
    const cJSON *c = cJSON_GetArrayItem(pt_obj_get(pod, "spec.containers"), 0);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(pod, "spec.containers")), 1);
    assert_string_equal(pt_obj_str(c, "imagePullPolicy"), "Never");
    assert_string_equal(pt_obj_str(c, "image"), "registry/sidecar:1");
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(c, "env")), 4);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(c, "volumeMounts")), 4);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(pod, "spec.volumes")), 4);
    assert_string_equal(pt_obj_str(pod, "metadata.labels.team"), "a");
    assert_string_equal(pt_obj_str(pod, "spec.nodeSelector.gpu"), "no");
    assert_int_equal(pt_obj_int(pod, "spec.securityContext.runAsUser", 0), 1000);
    assert_true(pt_obj_true(pod, "spec.securityContext.runAsNonRoot"));
    pt_auto_obj *config = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(pt_str(cJSON_GetObjectItem(pt_obj_get(pod, "metadata.annotations"), "pintle.dev/config")->valuestring), "config", &config, &err), PT_OK);
    assert_null(pt_obj_get(config, "report"));
}

static void places_of_models(void **state)
{
    (void)state;
    pt_auto_obj *pod = build("{\"model\":{\"uri\":\"pvc://models/a/b.onnx\"}}", NULL), *config = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(pt_str(cJSON_GetObjectItem(pt_obj_get(pod, "metadata.annotations"), "pintle.dev/config")->valuestring), "config", &config, &err), PT_OK);
    assert_string_equal(pt_obj_str(config, "model.uri"), "file:///mnt/pintle/model/a/b.onnx");
    assert_string_equal(pt_obj_str(named(pt_obj_get(pod, "spec.volumes"), "name", "pintle-model"), "persistentVolumeClaim.claimName"), "models");
    assert_true(pt_obj_true(named(pt_obj_get(pod, "spec.containers.0.volumeMounts"), "mountPath", "/mnt/pintle/model"), "readOnly"));
    assert_null(named(pt_obj_get(pod, "spec.volumes"), "name", "pintle-credentials"));

    pt_auto_obj *with = build("{\"model\":{\"uri\":\"s3://bucket/key\",\"credentialsSecretRef\":{\"name\":\"keys\"}}}", NULL);
    assert_string_equal(pt_obj_str(named(pt_obj_get(with, "spec.volumes"), "name", "pintle-credentials"), "secret.secretName"), "keys");
    assert_string_equal(pt_obj_str(named(pt_obj_get(with, "spec.containers.0.volumeMounts"), "name", "pintle-credentials"), "mountPath"), "/var/run/secrets/pintle-credentials");
}

static void who_may_use_the_model(void **state)
{
    (void)state;
    struct pt_err err;
    pt_auto_obj *open = build("{\"model\":{\"uri\":\"https://h/p\"}}", NULL), *config = NULL;
    assert_null(pt_obj_str(open, "spec.containers.0.readinessProbe.httpGet.scheme"));
    pt_auto_obj *pod = build("{\"model\":{\"uri\":\"https://h/p\"},\"serving\":{\"maxConnectionAge\":\"0s\",\"tls\":{\"secretName\":\"cert\","
                             "\"clientCASecretName\":\"ca\"},\"auth\":{\"tokensSecretName\":\"tokens\",\"metrics\":true}}}", NULL);
    assert_int_equal(pt_obj_parse(pt_str(cJSON_GetObjectItem(pt_obj_get(pod, "metadata.annotations"), "pintle.dev/config")->valuestring), "config", &config, &err), PT_OK);
    assert_int_equal(pt_obj_int(config, "serving.maxConnectionAgeMs", -1), 0);
    static const char *const rows[][4] = {{"pintle-tls", "cert", "tls.certFile", "/tls.crt"}, {"pintle-tls", "cert", "tls.keyFile", "/tls.key"},
                                          {"pintle-client-ca", "ca", "tls.clientCaFile", "/ca.crt"}, {"pintle-tokens", "tokens", "auth.tokenFile", "/tokens"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const cJSON *mount = named(pt_obj_get(pod, "spec.containers.0.volumeMounts"), "name", rows[i][0]);
        char path[256], at[64];
        assert_string_equal(pt_obj_str(named(pt_obj_get(pod, "spec.volumes"), "name", rows[i][0]), "secret.secretName"), rows[i][1]);
        assert_true(pt_obj_true(mount, "readOnly"));
        snprintf(path, sizeof path, "%s%s", pt_obj_str(mount, "mountPath"), rows[i][3]);
        snprintf(at, sizeof at, "serving.%s", rows[i][2]);
        assert_string_equal(pt_obj_str(config, at), path);
    }
    assert_int_equal(pt_obj_int(config, "serving.tls.openHealth", 0), 1);
    assert_int_equal(pt_obj_int(config, "serving.auth.metrics", 0), 1);
    assert_string_equal(pt_obj_str(pod, "spec.containers.0.readinessProbe.httpGet.scheme"), "HTTPS");
    assert_string_equal(pt_obj_str(pod, "spec.containers.0.livenessProbe.httpGet.scheme"), "HTTPS");
}

static void first_run_and_access_log(void **state)
{
    (void)state;
    struct pt_err err;
    pt_auto_obj *pod = build("{\"model\":{\"uri\":\"https://h/p\",\"warmup\":\"ids=1x256, a=b=2, scalar=\"},\"serving\":{\"accessLog\":{\"sample\":7,\"path\":\"/logs/access\"}}}", NULL);
    pt_auto_obj *plain = build("{\"model\":{\"uri\":\"https://h/p\"}}", NULL), *config = NULL, *other = NULL;
    assert_int_equal(pt_obj_parse(pt_str(cJSON_GetObjectItem(pt_obj_get(pod, "metadata.annotations"), "pintle.dev/config")->valuestring), "config", &config, &err), PT_OK);
    assert_string_equal(pt_obj_str(config, "model.warmup"), "ids=1x256, a=b=2, scalar=");
    assert_int_equal(pt_obj_int(config, "accessLog.enabled", 0), 1);
    assert_int_equal(pt_obj_int(config, "accessLog.sample", 0), 7);
    assert_string_equal(pt_obj_str(config, "accessLog.path"), "/logs/access");
    assert_int_equal(pt_obj_parse(pt_str(cJSON_GetObjectItem(pt_obj_get(plain, "metadata.annotations"), "pintle.dev/config")->valuestring), "config", &other, &err), PT_OK);
    assert_null(pt_obj_get(other, "accessLog"));
    assert_null(pt_obj_get(other, "model.warmup"));
}

/* Beside the user's containers the sidecar is a native one, after their init containers. */
static void own_containers(void **state)
{
    (void)state;
    pt_auto_obj *pod = build(
        POD("\"initContainers\":[{\"name\":\"fetch\",\"image\":\"f\"}],\"containers\":[{\"name\":\"web\",\"image\":\"w\",\"command\":[\"run\"]},"
            "{\"name\":\"sidecar\",\"env\":[{\"name\":\"A\",\"value\":\"1\"}]}]"),
        NULL);
    const cJSON *init = pt_obj_get(pod, "spec.initContainers"), *containers = pt_obj_get(pod, "spec.containers");
    assert_int_equal(cJSON_GetArraySize(containers), 1);
    assert_string_equal(pt_obj_str(containers, "0.name"), "web");
    assert_int_equal(cJSON_GetArraySize(init), 2);
    assert_string_equal(pt_obj_str(init, "0.name"), "fetch");
    assert_null(pt_obj_str(init, "0.restartPolicy"));
    assert_string_equal(pt_obj_str(init, "1.name"), "sidecar");
    assert_string_equal(pt_obj_str(init, "1.restartPolicy"), "Always");
    assert_string_equal(pt_obj_str(named(pt_obj_get(init, "1.env"), "name", "A"), "value"), "1");
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(pod, "spec.topologySpreadConstraints")), 2);
    assert_string_equal(pt_obj_str(pod, "spec.topologySpreadConstraints.0.matchLabelKeys.0"), "controller-revision-hash");

    pt_auto_obj *only_init =
        build(POD("\"initContainers\":[{\"name\":\"fetch\",\"image\":\"f\"}],\"topologySpreadConstraints\":[{\"maxSkew\":2,\"topologyKey\":\"rack\","
                  "\"whenUnsatisfiable\":\"DoNotSchedule\"}]"),
              NULL);
    assert_string_equal(pt_obj_str(only_init, "spec.containers.0.name"), "sidecar");
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(only_init, "spec.initContainers")), 1);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(only_init, "spec.topologySpreadConstraints")), 1); /* theirs replace ours */
}

static void trouble_of_native_sidecars(void **state)
{
    (void)state;
    struct pt_object *o;
    struct pt_err err;
    assert_int_equal(
        pt_pod_decode(PT_STR("{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u\",\"resourceVersion\":\"1\",\"labels\":{\"pintle.dev/"
                             "model-deployment\":\"m\"}},"
                             "\"spec\":{\"nodeName\":\"n\"},\"status\":{\"containerStatuses\":[{\"name\":\"web\",\"restartCount\":1,\"state\":{"
                             "\"waiting\":{\"reason\":\"PodInitializing\"}}}],"
                             "\"initContainerStatuses\":[{\"name\":\"fetch\",\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}},"
                             "{\"name\":\"sidecar\",\"restartCount\":2,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},"
                             "\"lastState\":{\"terminated\":{\"exitCode\":137,\"reason\":\"OOMKilled\"}}}]}}"),
                      &o, &err),
        PT_OK);
    struct pt_pod *p = (struct pt_pod *)o;
    assert_string_equal(p->trouble->waiting, "CrashLoopBackOff");
    assert_string_equal(p->trouble->ended, "OOMKilled");
    assert_int_equal(p->trouble->exit_code, 137);
    assert_int_equal(p->restarts, 3);
    assert_null(o->owner_uid); /* an orphan: its label says whose it would be */
    assert_string_equal(o->owner_name, "m");
    assert_false(p->strayed);
    pt_pod_free(o);
}

static void an_invalid_object_is_kept_with_its_reason(void **state)
{
    (void)state;
    char text[4096];
    struct pt_object *o;
    struct pt_err err;
    assert_int_equal(pt_md_decode(object(text, "{\"model\":{\"uri\":\"ftp://x\"}}"), &o, &err), PT_OK);
    assert_non_null(strstr(((struct pt_md *)o)->invalid, "ftp://x"));
    pt_md_free(o);
    assert_int_equal(pt_md_decode(PT_STR("{\"metadata\":{\"name\":\"x\"}}"), &o, &err), PT_EPARSE);
    assert_int_equal(pt_pod_decode(PT_STR("{}"), &o, &err), PT_EPARSE);
    assert_int_equal(pt_pod_decode(PT_STR("{\"metadata\":{\"name\":1,\"uid\":{},\"resourceVersion\":\"x\"},\"status\":[]}"), &o, &err), PT_EPARSE);
}

/* The spec of an object is read again only with another generation or uid; the rest always. */
static void read_after_another(void **state)
{
    (void)state;
    static const char text[] = "{\"metadata\":{\"name\":\"m\",\"uid\":\"%s\",\"resourceVersion\":\"%d\",\"generation\":%d},\"spec\":%s,\"status\":{\"updateRevision\":\"r\\u0031\","
                               "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"2024-01-01T00:00:01Z\"},{\"type\":\"Progressing\",\"status\":\"False\",\"reason\":\"ProgressDeadlineExceeded\"}],"
                               "\"model\":{\"lastFailure\":{\"b\":1,\"a\":2}},\"observedGeneration\":7,\"collisionCount\":2}}";
    static const char one[] = "{\"model\":{\"uri\":\"https://h/1\"},\"replicas\":3}", *const other = "{\"model\":{\"uri\":\"https://h/2\"},\"replicas\":5}", *const bad = "{\"model\":{\"uri\":\"x\"}}";
    struct {
        const char *uid, *was, *is;
        int generation, replicas;
        bool invalid;
    } cases[] = {{"u", one, other, 4, 3, false}, {"u", one, other, 5, 5, false}, {"v", one, other, 4, 5, false}, {"u", bad, one, 4, 0, true}, {"u", one, bad, 5, 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char was[2048], is[2048];
        struct pt_object *a, *b;
        struct pt_err err;
        snprintf(was, sizeof was, text, "u", 10, 4, cases[i].was);
        snprintf(is, sizeof is, text, cases[i].uid, 11, cases[i].generation, cases[i].is);
        assert_int_equal(pt_md_decode(pt_str(was), &a, &err), PT_OK);
        assert_int_equal(pt_md_decode_after(pt_str(is), a, &b, &err), PT_OK);
        struct pt_md *md = (struct pt_md *)b;
        assert_int_equal(md->o.rv, 11);
        assert_int_equal(md->generation, cases[i].generation);
        assert_int_equal(md->invalid != NULL, cases[i].invalid);
        if (!cases[i].invalid)
            assert_int_equal(md->spec.replicas, cases[i].replicas);
        assert_string_equal(md->update_revision, "r1");
        assert_string_equal(md->current_revision, "");
        assert_string_equal(md->last_failure, "{\"a\":2,\"b\":1}");
        assert_int_equal(md->conds[PT_COND_READY].truth, PT_TRUE);
        assert_int_equal(md->conds[PT_COND_READY].since_ms, 1704067201000);
        assert_true(md->deadline_exceeded);
        assert_int_equal(md->observed_generation, 7);
        assert_int_equal(md->collisions, 2);
        pt_md_free(a);
        pt_md_free(b);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    char text[4096];
    struct pt_str md = object(text, "{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"spec\":{\"nodeSelector\":{\"a\":\"b\"}}}}");
    for (int64_t n = 1, done = 0; !done; n++) {
        struct pt_object *o = NULL;
        struct pt_err err = {0};
        pt_auto_buf b = PT_BUF_INIT(0);
        struct pt_settings settings = {.sidecar_image = "i"};
        pt_mem_fail_at(n, 1);
        int rc = pt_md_decode(md, &o, &err);
        if (rc == PT_OK)
            rc = pt_build_pod((struct pt_md *)o, &settings, "r", ((struct pt_md *)o)->spec.user_json, NULL, "p", &b, &err);
        pt_mem_fail_at(0, 0);
        done = rc == PT_OK;
        pt_md_free(o);
        assert_true(n < 5000);
    }
}

/* As an API server: null is no value where the schema knows the field, and lengths are of characters. */
static void admitted(void **state)
{
    static const struct {
        const char *spec, *wanted;
    } cases[] = {
        {"{\"model\":{\"uri\":\"https://h/p\",\"digest\":null},\"replicas\":null,\"strategy\":null}", "\"spec\":{\"model\":{\"uri\":\"https://h/p\"},\"replicas\":1}"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"replicas\":2,\"template\":{\"metadata\":{\"labels\":{\"a\":null,\"b\":\"\"}},\"spec\":{\"containers\":[{\"name\":\"sidecar\",\"securityContext\":null}]}}}",
         "\"template\":{\"metadata\":{\"labels\":{\"b\":\"\"}},\"spec\":{\"containers\":[{\"name\":\"sidecar\"}]}}"},
        {"{\"model\":{\"uri\":\"https://h/p\"},\"replicas\":2,\"resources\":{\"limits\":{\"cpu\":null}}}", "\"resources\":{\"limits\":{}}"},
        {POD("\"securityContext\":{\"runAsUser\":null}"), "\"securityContext\":{\"runAsUser\":null}"}, /* the schema knows nothing of what is inside */
        {POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"workingDir\":\"/é\",\"ports\":[{\"containerPort\":8080,\"protocol\":\"UDP\"}]}]"), "8080"},
    };
    char text[4096];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_err err = {0};
        pt_auto_buf out = PT_BUF_INIT(0);
        pt_auto_obj *o = NULL;
        assert_int_equal(pt_obj_parse(object(text, cases[i].spec), "object", &o, &err), PT_OK);
        if (pt_spec_admit(o, &err) < 0 || pt_obj_print(o, &out, &err) < 0 || !strstr(pt_buf_cstr(&out), cases[i].wanted))
            fail_msg("%s: %s %s", cases[i].spec, err.msg, pt_buf_cstr(&out));
    }
    pt_auto_buf classes = PT_BUF_INIT(0);
    pt_auto_obj *o = NULL;
    struct pt_err err = {0};
    pt_buf_puts(&classes, "{\"model\":{\"uri\":\"https://h/p\"},\"template\":{\"spec\":{\"priorityClassName\":\"");
    for (int i = 0; i < 253; i++)
        pt_buf_puts(&classes, "é");
    pt_buf_puts(&classes, "\"}}}");
    assert_int_equal(pt_obj_parse(object(text, pt_buf_cstr(&classes)), "object", &o, &err), PT_OK);
    if (pt_spec_admit(o, &err) < 0)
        fail_msg("%s", err.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refused), cmocka_unit_test(admitted),
                                       cmocka_unit_test(defaults),
                                       cmocka_unit_test(stable_revision), cmocka_unit_test(monitoring),
                                       cmocka_unit_test(pods), cmocka_unit_test(monitored_pods),
                                       cmocka_unit_test(template_is_merged),
                                       cmocka_unit_test(who_may_use_the_model), cmocka_unit_test(first_run_and_access_log), cmocka_unit_test(own_containers), cmocka_unit_test(places_of_models),
                                       cmocka_unit_test(trouble_of_native_sidecars),
                                       cmocka_unit_test(an_invalid_object_is_kept_with_its_reason), cmocka_unit_test(read_after_another),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
