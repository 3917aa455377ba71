/* SPDX-License-Identifier: Apache-2.0
 *
 * build.c: see build.h. Objects are written as text, which is checked once at the end; only the user's template needs a tree.
 */
#include "operator/model/build.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>

static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789"; /* no vowels, no look-alikes: never a word, as the API server's own names */

void pt_revision_name(const struct pt_md *md, const char *user_json, int collisions, char out[64])
{
    char hash[PT_NUM_MAX + 1];
    uint32_t h = pt_fnv32a("v1\n", 3, 2166136261u);
    h = pt_fnv32a(user_json, strlen(user_json), h);
    if (collisions) {
        char n[16];
        h = pt_fnv32a(n, (size_t)snprintf(n, sizeof n, "\n%d", collisions), h);
    }
    size_t digits = pt_num_put_u64(hash, h), n = strnlen(md->o.name, 46);
    memcpy(out, md->o.name, n);
    out[n++] = '-';
    for (size_t i = 0; i < digits; i++)
        out[n++] = alphabet[(unsigned char)hash[i] % (sizeof alphabet - 1)];
    out[n] = '\0';
}

void pt_pod_name(const char *revision, uint64_t *seed, char out[80])
{
    struct pt_rand r;
    pt_rand_init(&r, *seed);
    *seed = (uint64_t)pt_rand_u32(&r) << 32 | pt_rand_u32(&r);
    char tail[6] = "";
    for (int i = 0; i < 5; i++)
        tail[i] = alphabet[pt_rand_below(&r, sizeof alphabet - 1)];
    snprintf(out, 80, "%.63s-%s", revision, tail);
}

static void put_labels(struct pt_buf *b, const struct pt_md *md)
{
    pt_buf_printf(b, "\"%s\":\"%s\",\"%s\":\"%s\",\"%s\":\"%s\"", PT_LABEL_MANAGED_BY, PT_MANAGER, PT_LABEL_INSTANCE, md->o.name, PT_LABEL_NAME, md->o.name);
}

void pt_build_owner(struct pt_buf *b, const struct pt_md *md)
{
    pt_buf_printf(b, "\"ownerReferences\":[{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\",\"uid\":\"%s\",\"controller\":true,\"blockOwnerDeletion\":true}]",
                  PT_GROUP_VERSION, PT_KIND, md->o.name, md->o.uid);
}

int pt_build_revision(const struct pt_md *md, const char *name, int64_t number, const struct pt_made_model *made, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_printf(out, "{\"apiVersion\":\"apps/v1\",\"kind\":\"ControllerRevision\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"labels\":{", name, md->o.ns);
    put_labels(out, md);
    pt_buf_printf(out, ",\"%s\":\"%s\"},", PT_LABEL_REVISION, name);
    if (md->cause) {
        pt_buf_puts(out, "\"annotations\":{\"" PT_ANNOTATION_CAUSE "\":");
        pt_buf_json_string(out, pt_str(md->cause));
        pt_buf_puts(out, "},");
    }
    pt_build_owner(out, md);
    pt_buf_printf(out, "},\"revision\":%lld,\"data\":{", (long long)number);
    if (made) {
        pt_buf_printf(out, "\"compressed\":{\"digest\":\"%s\",\"key\":\"%s\",\"uri\":", made->digest, made->key);
        pt_buf_json_string(out, pt_str(made->uri));
        pt_buf_puts(out, "},");
    }
    pt_buf_puts(out, "\"spec\":");
    pt_buf_puts(out, md->spec.user_json);
    pt_buf_puts(out, "}}");
    return pt_buf_check(out, "build revision", err);
}

int pt_build_service(const struct pt_md *md, const char *uid, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_printf(out, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",", md->o.name, md->o.ns);
    if (uid)
        pt_buf_printf(out, "\"uid\":\"%s\",", uid);
    pt_buf_puts(out, "\"labels\":{");
    put_labels(out, md);
    pt_buf_puts(out, "},");
    pt_build_owner(out, md);
    pt_buf_printf(out, "},\"spec\":{\"selector\":{\"%s\":\"%s\"},\"ports\":[", PT_LABEL_NAME, md->o.name);
    pt_buf_printf(out, "{\"name\":\"http\",\"port\":%d,\"targetPort\":\"http\",\"protocol\":\"TCP\",\"appProtocol\":\"http\"},", md->spec.port);
    pt_buf_printf(out, "{\"name\":\"grpc\",\"port\":%d,\"targetPort\":\"grpc\",\"protocol\":\"TCP\",\"appProtocol\":\"kubernetes.io/h2c\"},", md->spec.grpc_port);
    pt_buf_printf(out, "{\"name\":\"metrics\",\"port\":%d,\"targetPort\":\"metrics\",\"protocol\":\"TCP\",\"appProtocol\":\"http\"}]}}", md->spec.metrics_port);
    return pt_buf_check(out, "build service", err);
}

int pt_build_service_shape(const struct pt_md *md, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_printf(out, "http:%d>http grpc:%d>grpc metrics:%d>metrics @%s", md->spec.port, md->spec.grpc_port, md->spec.metrics_port, md->o.name);
    return pt_buf_check(out, "build service", err);
}

static void put_amount(struct pt_buf *b, struct pt_amount a, const char *quote)
{
    if (a.percent)
        pt_buf_printf(b, "%s%d%%%s", quote, a.value, quote);
    else
        pt_buf_printf(b, "%d", a.value);
}

#define EVICTION_POLICY "AlwaysAllow" /* a pod that does not serve is not worth keeping a node for */

int pt_build_budget(const struct pt_md *md, const char *uid, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_printf(out, "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",",
                  md->o.name, md->o.ns);
    if (uid)
        pt_buf_printf(out, "\"uid\":\"%s\",", uid);
    pt_buf_puts(out, "\"labels\":{");
    put_labels(out, md);
    pt_buf_puts(out, "},");
    pt_build_owner(out, md);
    pt_buf_puts(out, "},\"spec\":{\"maxUnavailable\":");
    put_amount(out, md->spec.budget, "\"");
    pt_buf_printf(out, ",\"unhealthyPodEvictionPolicy\":\"" EVICTION_POLICY "\",\"selector\":{\"matchLabels\":{\"%s\":\"%s\"}}}}", PT_LABEL_NAME,
                  md->o.name);
    return pt_buf_check(out, "build PodDisruptionBudget", err);
}

int pt_build_budget_shape(const struct pt_md *md, struct pt_buf *out, struct pt_err *err)
{
    put_amount(out, md->spec.budget, "");
    pt_buf_printf(out, " " EVICTION_POLICY " @%s", md->o.name);
    return pt_buf_check(out, "build PodDisruptionBudget", err);
}

int pt_build_ownership(const struct pt_md *md, const struct pt_object *o, bool ours, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_printf(out, "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%llu\",", o->uid, (unsigned long long)o->rv);
    if (ours)
        pt_build_owner(out, md);
    else
        pt_buf_printf(out, "\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"%s\"}]", md->o.uid);
    pt_buf_puts(out, "}}");
    return pt_buf_check(out, "build owner reference", err);
}

/* --- rollback ------------------------------------------------------------------------------------------------------------ */

/* Members of `to` that are not as in `from`; null for those that only `from` has. Lists count as one value. */
static int difference(const cJSON *from, const cJSON *to, cJSON *out, struct pt_err *err)
{
    const cJSON *v;
    int rc = PT_OK;
    cJSON_ArrayForEach(v, from) if (rc == PT_OK && !cJSON_GetObjectItemCaseSensitive(to, v->string)) rc =
        pt_obj_set(out, v->string, cJSON_CreateNull(), err);
    cJSON_ArrayForEach(v, to)
    {
        const cJSON *was = cJSON_GetObjectItemCaseSensitive(from, v->string);
        if (rc < 0 || (was && cJSON_Compare(was, v, 1)))
            continue;
        if (!cJSON_IsObject(was) || !cJSON_IsObject(v)) {
            rc = pt_obj_set(out, v->string, cJSON_Duplicate(v, 1), err);
            continue;
        }
        cJSON *inner = cJSON_CreateObject();
        rc = inner ? difference(was, v, inner, err) : pt_fail(err, PT_ENOMEM, "rollback: out of memory");
        if (rc < 0)
            cJSON_Delete(inner);
        else
            rc = pt_obj_set(out, v->string, inner, err);
    }
    return rc;
}

/* annotation: JSON, a member of metadata.annotations. */
static int build_return(const struct pt_md *md, const char *data, const char *annotation, struct pt_buf *out, struct pt_err *err)
{
    pt_auto_obj *now = NULL, *then = NULL, *patch = cJSON_CreateObject();
    if (!patch)
        return pt_fail(err, PT_ENOMEM, "rollback: out of memory");
    if (data && (pt_obj_parse(pt_str(md->spec.user_json), "spec", &now, err) < 0 || pt_obj_parse(pt_str(data), "revision", &then, err) < 0 ||
                 difference(now, then, patch, err) < 0))
        return err->code;
    cJSON_DeleteItemFromObjectCaseSensitive(pt_obj_mut(patch, "monitoring"), "enabled"); /* is so because monitoring is there (spec.c) */
    pt_buf_printf(out, "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%llu\",\"annotations\":{%s}},\"spec\":", md->o.uid, (unsigned long long)md->o.rv, annotation);
    if (pt_obj_print(patch, out, err) < 0)
        return err->code;
    pt_buf_putc(out, '}');
    return pt_buf_check(out, "build rollback", err);
}

int pt_build_rollback(const struct pt_md *md, const char *data, struct pt_buf *out, struct pt_err *err)
{
    return build_return(md, data, "\"" PT_ANNOTATION_ROLLBACK "\":null", out, err);
}

int pt_build_retreat(const struct pt_md *md, const char *data, const char *note, struct pt_buf *out, struct pt_err *err)
{
    pt_auto_buf annotation = PT_BUF_INIT(0);
    pt_buf_puts(&annotation, "\"" PT_ANNOTATION_ROLLED_BACK "\":");
    pt_buf_json_string(&annotation, pt_str(note));
    return pt_buf_check(&annotation, "build rollback", err) < 0 ? err->code : build_return(md, data, pt_buf_cstr(&annotation), out, err);
}

/* --- pod ----------------------------------------------------------------------------------------------------------------- */

static int64_t duration_of(const cJSON *user, const char *path, int64_t otherwise)
{
    const char *text = pt_obj_str(user, path);
    int64_t ms;
    return text && pt_parse_duration_ms(pt_str(text), path, &ms, NULL) == PT_OK ? ms : otherwise;
}

static void put_text(struct pt_buf *b, const char *name, const char *value)
{
    pt_buf_printf(b, ",\"%s\":", name);
    pt_buf_json_string(b, pt_str(value));
}

/* "/PATH" of a model in a claim, or NULL. */
static const char *path_in_claim(const cJSON *user)
{
    const char *uri = pt_obj_text(user, "model.uri");
    return strncmp(uri, PT_SCHEME_PVC, sizeof PT_SCHEME_PVC - 1) ? NULL : strchr(uri + sizeof PT_SCHEME_PVC - 1, '/');
}

/* The rest of a JSON string. */
static void put_inside(struct pt_buf *b, const char *text)
{
    pt_auto_buf quoted = PT_BUF_INIT(0);
    pt_buf_json_string(&quoted, pt_str(text));
    if (quoted.failed)
        b->failed = quoted.failed;
    else
        pt_buf_append(b, quoted.data + 1, quoted.len - 2);
}

/* What serving.tls, serving.auth and serving.maxConnectionAge add to PT_CONFIG_SERVING. Probes show no certificate. */
static void put_security(struct pt_buf *b, const cJSON *user)
{
    if (pt_obj_get(user, "serving.maxConnectionAge"))
        pt_buf_printf(b, ",\"maxConnectionAgeMs\":%lld", (long long)duration_of(user, "serving.maxConnectionAge", 300000));
    if (pt_obj_get(user, "serving.tls"))
        pt_buf_printf(b, ",\"tls\":{\"certFile\":\"" PT_PATH_TLS "/tls.crt\",\"keyFile\":\"" PT_PATH_TLS "/tls.key\"%s}",
                      pt_obj_get(user, "serving.tls.clientCASecretName") ? ",\"clientCaFile\":\"" PT_PATH_CLIENT_CA "/ca.crt\",\"openHealth\":1" : "");
    if (pt_obj_get(user, "serving.auth"))
        pt_buf_printf(b, ",\"auth\":{\"tokenFile\":\"" PT_PATH_TOKENS "/tokens\",\"metrics\":%d}", pt_obj_true(user, "serving.auth.metrics"));
}

/* The Secrets that a pod mounts, by the field that names each: only the keys that are used. */
static const struct {
    const char *field, *volume, *path, *items;
} secrets[] = {
    {"model.credentialsSecretRef.name", "pintle-credentials", PT_PATH_CREDENTIALS, ""},
    {"serving.tls.secretName", "pintle-tls", PT_PATH_TLS, ",\"items\":[{\"key\":\"tls.crt\",\"path\":\"tls.crt\"},{\"key\":\"tls.key\",\"path\":\"tls.key\"}]"},
    {"serving.tls.clientCASecretName", "pintle-client-ca", PT_PATH_CLIENT_CA, ",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]"},
    {"serving.auth.tokensSecretName", "pintle-tokens", PT_PATH_TOKENS, ",\"items\":[{\"key\":\"tokens\",\"path\":\"tokens\"}]"},
};
enum { SECRETS = sizeof secrets / sizeof *secrets };

/* PT_CONFIG_MONITORING: numbers as they are, durations in milliseconds. */
static void put_monitoring(struct pt_buf *b, const cJSON *user)
{
    static const char *const texts[] = {"task", "output", "classes", "group", "profile"}, *const numbers[] = {"positive", "minCount", "lowConfidence"},
                             *const durations[] = {"window", "labelTtl"};
    char at[64];
    const char *text;
    pt_buf_puts(b, ",\"" PT_CONFIG_MONITORING "\":{\"enabled\":1");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(at, sizeof at, "monitoring.%s", texts[i]);
        if ((text = pt_obj_str(user, at)))
            put_text(b, texts[i], text);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(at, sizeof at, "monitoring.%s", numbers[i]);
        if (pt_obj_get(user, at))
            pt_buf_printf(b, ",\"%s\":%lld", numbers[i], (long long)pt_obj_int(user, at, 0));
    }
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        snprintf(at, sizeof at, "monitoring.%s", durations[i]);
        if (pt_obj_get(user, at))
            pt_buf_printf(b, ",\"%sMs\":%lld", durations[i], (long long)duration_of(user, at, 0));
    }
    pt_buf_putc(b, '}');
}

void pt_build_report(struct pt_buf *b, const struct pt_settings *s)
{
    pt_buf_puts(b, "{\"url\":");
    pt_buf_json_string(b, pt_str(s->report_url));
    if (s->report_ca_pem)
        put_text(b, "ca", s->report_ca_pem);
    pt_buf_printf(b, ",\"tokenFile\":\"%s\",\"intervalMs\":%d}", PT_PATH_TOKEN, PT_REPORT_INTERVAL_MS);
}

/* PT_CONFIG_* of base/contract.h. What the user left out, the sidecar knows the default of. */
static void put_config(struct pt_buf *b, const struct pt_md *md, const struct pt_settings *s, const cJSON *user)
{
    static const char *const texts[] = {"version", "digest", "format", "warmup"};
    const char *name = pt_obj_str(user, "model.name"), *path, *in_claim = path_in_claim(user);
    char at[64];
    pt_buf_puts(b, "{\"" PT_CONFIG_MODEL "\":{\"name\":");
    pt_buf_json_string(b, pt_str(name ? name : md->o.name));
    pt_buf_puts(b, ",\"uri\":");
    if (in_claim) {
        pt_buf_puts(b, "\"file://" PT_PATH_MODEL);
        put_inside(b, in_claim);
        pt_buf_putc(b, '"');
    } else {
        pt_buf_json_string(b, pt_str(pt_obj_text(user, "model.uri")));
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(at, sizeof at, "model.%s", texts[i]);
        if ((path = pt_obj_str(user, at)))
            put_text(b, texts[i], path);
    }
    pt_buf_printf(b, "},\"" PT_CONFIG_SERVING "\":{\"port\":%lld,\"grpcPort\":%lld,\"metricsPort\":%lld,\"timeoutMs\":%lld",
                  (long long)pt_obj_int(user, "serving.port", PT_PORT_HTTP), (long long)pt_obj_int(user, "serving.grpcPort", PT_PORT_GRPC),
                  (long long)pt_obj_int(user, "serving.metricsPort", PT_PORT_METRICS),
                  (long long)duration_of(user, "serving.timeout", 60000));
    put_security(b, user);
    pt_buf_putc(b, '}');
    pt_buf_printf(b, ",\"" PT_CONFIG_RUNTIME "\":{\"threads\":%lld,\"concurrency\":%lld,\"queue\":%lld}",
                  (long long)pt_obj_int(user, "runtime.threads", 0), (long long)pt_obj_int(user, "runtime.concurrency", 8),
                  (long long)pt_obj_int(user, "runtime.queue", 256));
    if (pt_obj_get(user, "runtime.batching"))
        pt_buf_printf(b, ",\"" PT_CONFIG_BATCHING "\":{\"maxSize\":%lld,\"maxDelayUs\":%lld}", (long long)pt_obj_int(user, "runtime.batching.maxSize", 32),
                      (long long)duration_of(user, "runtime.batching.maxDelay", 2) * 1000);
    if (pt_obj_get(user, "monitoring"))
        put_monitoring(b, user);
    if (pt_obj_get(user, "serving.accessLog")) {
        pt_buf_printf(b, ",\"" PT_CONFIG_ACCESS_LOG "\":{\"enabled\":1,\"sample\":%lld", (long long)pt_obj_int(user, "serving.accessLog.sample", 1));
        if ((path = pt_obj_str(user, "serving.accessLog.path")))
            put_text(b, "path", path);
        pt_buf_putc(b, '}');
    }
    pt_buf_printf(b, ",\"" PT_CONFIG_DRAIN "\":{\"timeoutMs\":%lld}", (long long)duration_of(user, "drain.timeout", 30000));
    if (s->report_url) {
        pt_buf_puts(b, ",\"" PT_CONFIG_REPORT "\":");
        pt_build_report(b, s);
    }
    pt_buf_putc(b, '}');
}

void pt_build_identity(struct pt_buf *b)
{
    static const char *const rows[][2] = {{PT_ENV_POD_NAME, "metadata.name"}, {PT_ENV_POD_NAMESPACE, "metadata.namespace"}, {PT_ENV_POD_UID, "metadata.uid"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        pt_buf_printf(b, "%s{\"name\":\"%s\",\"valueFrom\":{\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":\"%s\"}}}", i ? "," : "", rows[i][0], rows[i][1]);
}

/* Liveness waits for nothing of the model: the sidecar answers from its first millisecond, also while it downloads. */
static void put_container(struct pt_buf *b, const struct pt_settings *s, const cJSON *user, struct pt_err *err)
{
    const char *image = pt_obj_str(user, "runtime.image");
    const cJSON *resources = pt_obj_get(user, "resources");
    pt_buf_puts(b, "{\"name\":\"" PT_CONTAINER "\",\"image\":");
    pt_buf_json_string(b, pt_str(image && *image ? image : s->sidecar_image));
    pt_buf_puts(b, ",\"args\":[\"--config\",\"" PT_PATH_CONFIG "\"],\"env\":[");
    pt_build_identity(b);
    pt_buf_printf(b, "],\"ports\":[{\"name\":\"http\",\"containerPort\":%lld,\"protocol\":\"TCP\"},"
                  "{\"name\":\"grpc\",\"containerPort\":%lld,\"protocol\":\"TCP\"},{\"name\":\"metrics\",\"containerPort\":%lld,\"protocol\":\"TCP\"}]",
                  (long long)pt_obj_int(user, "serving.port", PT_PORT_HTTP), (long long)pt_obj_int(user, "serving.grpcPort", PT_PORT_GRPC),
                  (long long)pt_obj_int(user, "serving.metricsPort", PT_PORT_METRICS));
    const char *scheme = pt_obj_get(user, "serving.tls") ? ",\"scheme\":\"HTTPS\"" : "";
    pt_buf_printf(b, ",\"readinessProbe\":{\"httpGet\":{\"path\":\"/v2/health/ready\",\"port\":\"http\"%s},\"periodSeconds\":1,\"timeoutSeconds\":2,"
                     "\"failureThreshold\":3},\"livenessProbe\":{\"httpGet\":{\"path\":\"/v2/health/live\",\"port\":\"http\"%s},\"initialDelaySeconds\":10,"
                     "\"periodSeconds\":10,\"timeoutSeconds\":5,\"failureThreshold\":3}", scheme, scheme);
    if (resources) {
        pt_buf_puts(b, ",\"resources\":");
        (void)pt_obj_print(resources, b, err); /* a failure sticks to the buffer */
    }
    pt_buf_puts(b, "," PT_CONTAINER_SECURITY ",\"volumeMounts\":[{\"name\":\"pintle-config\",\"mountPath\":\"" PT_PATH_CONFIG_DIR "\",\"readOnly\":true},"
                   PT_TOKEN_MOUNT ",{\"name\":\"pintle-cache\",\"mountPath\":\"" PT_PATH_CACHE "\"}");
    for (int i = 0; i < SECRETS; i++)
        if (pt_obj_str(user, secrets[i].field))
            pt_buf_printf(b, ",{\"name\":\"%s\",\"mountPath\":\"%s\",\"readOnly\":true}", secrets[i].volume, secrets[i].path);
    if (path_in_claim(user))
        pt_buf_puts(b, ",{\"name\":\"pintle-model\",\"mountPath\":\"" PT_PATH_MODEL "\",\"readOnly\":true}");
    pt_buf_puts(b, "]}");
}

static void put_volumes(struct pt_buf *b, const cJSON *user)
{
    const char *name, *claim = pt_obj_text(user, "model.uri") + sizeof PT_SCHEME_PVC - 1;
    pt_buf_puts(b, "{\"name\":\"pintle-config\",\"downwardAPI\":{\"items\":[{\"path\":\"config.json\",\"fieldRef\":{\"apiVersion\":\"v1\","
                   "\"fieldPath\":\"metadata.annotations['" PT_ANNOTATION_CONFIG "']\"}}]}},");
    pt_buf_puts(b, PT_TOKEN_VOLUME ",");
    pt_buf_puts(b, "{\"name\":\"pintle-cache\",\"emptyDir\":{}}");
    for (int i = 0; i < SECRETS; i++)
        if ((name = pt_obj_str(user, secrets[i].field)))
            pt_buf_printf(b, ",{\"name\":\"%s\",\"secret\":{\"secretName\":\"%s\",\"defaultMode\":288%s}}", secrets[i].volume, name, /* 0440 */
                          secrets[i].items);
    if (path_in_claim(user))
        pt_buf_printf(b, ",{\"name\":\"pintle-model\",\"persistentVolumeClaim\":{\"claimName\":\"%.*s\",\"readOnly\":true}}", (int)strcspn(claim, "/"), claim);
}

/* Spread over nodes and zones as far as that is possible, each revision by itself; what the user says about it replaces all of this. */
static void put_spread(struct pt_buf *b, const struct pt_md *md)
{
    static const char *const keys[] = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"};
    pt_buf_puts(b, "\"topologySpreadConstraints\":[");
    for (int i = 0; i < 2; i++)
        pt_buf_printf(
            b,
            "%s{\"maxSkew\":1,\"topologyKey\":\"%s\",\"whenUnsatisfiable\":\"ScheduleAnyway\",\"labelSelector\":{\"matchLabels\":{\"%s\":\"%s\"}},"
            "\"matchLabelKeys\":[\"" PT_LABEL_REVISION "\"]}",
            i ? "," : "", keys[i], PT_LABEL_NAME, md->o.name);
    pt_buf_puts(b, "],");
}

/* Time for requests in flight after the drain has begun, and a margin to end in. */
#define GRACE_MARGIN_S 10

static int write_pod(struct pt_buf *b, const struct pt_md *md, const struct pt_settings *s, const char *revision, const cJSON *user, const char *name,
                     struct pt_err *err)
{
    pt_auto_buf config = PT_BUF_INIT(262144); /* the API server's limit of all annotations */
    put_config(&config, md, s, user);
    if (pt_buf_check(&config, "build pod: configuration", err) < 0)
        return err->code;
    pt_buf_printf(b, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"labels\":{", name, md->o.ns);
    put_labels(b, md);
    pt_buf_printf(b, ",\"%s\":\"%s\"},\"annotations\":{\"%s\":", PT_LABEL_REVISION, revision, PT_ANNOTATION_CONFIG);
    pt_buf_json_string(b, (struct pt_str){config.data, config.len});
    pt_buf_puts(b, "},");
    pt_build_owner(b, md);
    pt_buf_printf(b, "},\"spec\":{\"automountServiceAccountToken\":false,\"enableServiceLinks\":false,\"terminationGracePeriodSeconds\":%lld,",
                  (long long)(duration_of(user, "drain.timeout", 30000) + 999) / 1000 + GRACE_MARGIN_S);
    if (!pt_obj_get(user, "template.spec.topologySpreadConstraints"))
        put_spread(b, md);
    pt_buf_puts(b,
                "\"readinessGates\":[{\"conditionType\":\"" PT_READINESS_GATE "\"}]," PT_POD_SECURITY ",\"containers\":[");
    put_container(b, s, user, err);
    pt_buf_puts(b, "],\"volumes\":[");
    put_volumes(b, user);
    pt_buf_puts(b, "]}}");
    return pt_buf_check(b, "build pod", err);
}

/* Beside containers of the user's the sidecar becomes a native one: after their init containers, before them, and stopped when they have ended. */
static int make_native(cJSON *pod, struct pt_err *err)
{
    cJSON *spec = pt_obj_mut(pod, "spec"), *containers = cJSON_GetObjectItemCaseSensitive(spec, "containers"), *c;
    cJSON_ArrayForEach(c, containers) if (!strcmp(pt_obj_text(c, "name"), PT_CONTAINER)) break;
    if (!c || cJSON_GetArraySize(containers) == 1)
        return PT_OK;
    cJSON *init = cJSON_GetObjectItemCaseSensitive(spec, "initContainers");
    if (!init && pt_obj_set(spec, "initContainers", init = cJSON_CreateArray(), err) < 0)
        return err->code;
    cJSON_AddItemToArray(init, cJSON_DetachItemViaPointer(containers, c));
    return pt_obj_set(c, "restartPolicy", cJSON_CreateString("Always"), err);
}

/* The model becomes what was made of it, with the credentials of the place where that lies. */
static int replace_model(cJSON *user, const struct pt_made_model *made, struct pt_err *err)
{
    cJSON *model = pt_obj_mut(user, "model");
    const cJSON *secret = pt_obj_get(user, "compression.output.credentialsSecretRef");
    if (secret && pt_obj_set(model, "credentialsSecretRef", cJSON_Duplicate(secret, 1), err) < 0)
        return err->code;
    if (pt_obj_set(model, "uri", cJSON_CreateString(made->uri), err) < 0)
        return err->code;
    return pt_obj_set(model, "digest", cJSON_CreateString(made->digest), err);
}

int pt_build_pod(const struct pt_md *md, const struct pt_settings *s, const char *revision, const char *user_json, const struct pt_made_model *made,
                 const char *name, struct pt_buf *out, struct pt_err *err)
{
    pt_auto_obj *user = NULL, *pod = NULL;
    pt_auto_buf text = PT_BUF_INIT(0);
    if (pt_obj_parse(pt_str(user_json), "revision", &user, err) < 0 || (made && replace_model(user, made, err) < 0))
        return err->code;
    const cJSON *template = pt_obj_get(user, "template");
    int rc = write_pod(template ? &text : out, md, s, revision, user, name, err);
    if (rc < 0 || !template)
        return rc;
    if (pt_obj_parse((struct pt_str){text.data, text.len}, "pod", &pod, err) < 0)
        return err->code;
    if (pt_obj_strategic(pod, template, err) < 0)
        return pt_wrap(err, "spec.template");
    if (make_native(pod, err) < 0)
        return err->code;
    return pt_obj_print(pod, out, err);
}
