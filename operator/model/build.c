/* SPDX-License-Identifier: Apache-2.0
 *
 * build.c: see build.h. Objects are written as text, which is checked once at the end; only the user's template needs a tree.
 */
#include "operator/model/build.h"
#include "base/mem.h"
#include "base/rand.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>

static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789"; /* no vowels, no look-alikes: never a word, as the API server's own names */

void pt_revision_name(const struct pt_md *md, const char *user_json, int collisions, char out[64])
{
    char hash[16];
    uint32_t h = pt_fnv32a("v1\n", 3, 2166136261u);
    h = pt_fnv32a(user_json, strlen(user_json), h);
    if (collisions) {
        char n[16];
        h = pt_fnv32a(n, (size_t)snprintf(n, sizeof n, "\n%d", collisions), h);
    }
    snprintf(hash, sizeof hash, "%u", h);
    for (char *p = hash; *p; p++)
        *p = alphabet[(unsigned char)*p % (sizeof alphabet - 1)];
    snprintf(out, 64, "%.46s-%s", md->o.name, hash);
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

static void put_owner(struct pt_buf *b, const struct pt_md *md)
{
    pt_buf_printf(b, "\"ownerReferences\":[{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\",\"uid\":\"%s\",\"controller\":true,\"blockOwnerDeletion\":true}]",
                  PT_GROUP_VERSION, PT_KIND, md->o.name, md->o.uid);
}

int pt_build_revision(const struct pt_md *md, const char *name, int64_t number, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_printf(out, "{\"apiVersion\":\"apps/v1\",\"kind\":\"ControllerRevision\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"labels\":{", name, md->o.ns);
    put_labels(out, md);
    pt_buf_printf(out, ",\"%s\":\"%s\"},", PT_LABEL_REVISION, name);
    put_owner(out, md);
    pt_buf_printf(out, "},\"revision\":%lld,\"data\":{\"spec\":", (long long)number);
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
    put_owner(out, md);
    pt_buf_printf(out, "},\"spec\":{\"selector\":{\"%s\":\"%s\"},\"ports\":[", PT_LABEL_NAME, md->o.name);
    pt_buf_printf(out, "{\"name\":\"http\",\"port\":%d,\"targetPort\":\"http\",\"protocol\":\"TCP\",\"appProtocol\":\"http\"},", md->spec.port);
    pt_buf_printf(out, "{\"name\":\"metrics\",\"port\":%d,\"targetPort\":\"metrics\",\"protocol\":\"TCP\",\"appProtocol\":\"http\"}]}}", md->spec.metrics_port);
    return pt_buf_check(out, "build service", err);
}

int pt_build_service_shape(const struct pt_md *md, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_printf(out, "http:%d>http metrics:%d>metrics @%s", md->spec.port, md->spec.metrics_port, md->o.name);
    return pt_buf_check(out, "build service", err);
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

/* PT_CONFIG_* of base/contract.h. What the user left out, the sidecar knows the default of. */
static void put_config(struct pt_buf *b, const struct pt_md *md, const struct pt_settings *s, const cJSON *user)
{
    static const char *const texts[] = {"version", "uri", "digest", "format"};
    const char *name = pt_obj_str(user, "model.name"), *path;
    char at[64];
    pt_buf_puts(b, "{\"" PT_CONFIG_MODEL "\":{\"name\":");
    pt_buf_json_string(b, pt_str(name ? name : md->o.name));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(at, sizeof at, "model.%s", texts[i]);
        if ((path = pt_obj_str(user, at)))
            put_text(b, texts[i], path);
    }
    pt_buf_printf(b, "},\"" PT_CONFIG_SERVING "\":{\"port\":%lld,\"metricsPort\":%lld,\"timeoutMs\":%lld}",
                  (long long)pt_obj_int(user, "serving.port", PT_PORT_HTTP), (long long)pt_obj_int(user, "serving.metricsPort", PT_PORT_METRICS),
                  (long long)duration_of(user, "serving.timeout", 60000));
    pt_buf_printf(b, ",\"" PT_CONFIG_RUNTIME "\":{\"threads\":%lld,\"concurrency\":%lld,\"queue\":%lld}",
                  (long long)pt_obj_int(user, "runtime.threads", 0), (long long)pt_obj_int(user, "runtime.concurrency", 8),
                  (long long)pt_obj_int(user, "runtime.queue", 256));
    pt_buf_printf(b, ",\"" PT_CONFIG_DRAIN "\":{\"timeoutMs\":%lld}", (long long)duration_of(user, "drain.timeout", 30000));
    if (s->report_url) {
        pt_buf_puts(b, ",\"" PT_CONFIG_REPORT "\":{\"url\":");
        pt_buf_json_string(b, pt_str(s->report_url));
        if (s->report_ca_pem)
            put_text(b, "ca", s->report_ca_pem);
        pt_buf_printf(b, ",\"tokenFile\":\"%s\",\"intervalMs\":%d}", PT_PATH_TOKEN, PT_REPORT_INTERVAL_MS);
    }
    pt_buf_putc(b, '}');
}

static void put_env(struct pt_buf *b)
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
    put_env(b);
    pt_buf_printf(b, "],\"ports\":[{\"name\":\"http\",\"containerPort\":%lld,\"protocol\":\"TCP\"},{\"name\":\"metrics\",\"containerPort\":%lld,\"protocol\":\"TCP\"}]",
                  (long long)pt_obj_int(user, "serving.port", PT_PORT_HTTP), (long long)pt_obj_int(user, "serving.metricsPort", PT_PORT_METRICS));
    pt_buf_puts(b, ",\"readinessProbe\":{\"httpGet\":{\"path\":\"/v2/health/ready\",\"port\":\"http\"},\"periodSeconds\":1,\"timeoutSeconds\":2,"
                   "\"failureThreshold\":3},\"livenessProbe\":{\"httpGet\":{\"path\":\"/v2/health/live\",\"port\":\"http\"},\"initialDelaySeconds\":10,"
                   "\"periodSeconds\":10,\"timeoutSeconds\":5,\"failureThreshold\":3}");
    if (resources) {
        pt_buf_puts(b, ",\"resources\":");
        (void)pt_obj_print(resources, b, err); /* a failure sticks to the buffer */
    }
    pt_buf_puts(b, ",\"securityContext\":{\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true,\"capabilities\":{\"drop\":[\"ALL\"]}},"
                   "\"volumeMounts\":[{\"name\":\"pintle-config\",\"mountPath\":\"" PT_PATH_CONFIG_DIR "\",\"readOnly\":true},"
                   "{\"name\":\"pintle-token\",\"mountPath\":\"" PT_PATH_TOKEN_DIR "\",\"readOnly\":true},"
                   "{\"name\":\"pintle-cache\",\"mountPath\":\"" PT_PATH_CACHE "\"}]}");
}

static void put_volumes(struct pt_buf *b)
{
    pt_buf_puts(b, "{\"name\":\"pintle-config\",\"downwardAPI\":{\"items\":[{\"path\":\"config.json\",\"fieldRef\":{\"apiVersion\":\"v1\","
                   "\"fieldPath\":\"metadata.annotations['" PT_ANNOTATION_CONFIG "']\"}}]}},");
    pt_buf_puts(b, "{\"name\":\"pintle-token\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"audience\":\"" PT_TOKEN_AUDIENCE "\","
                   "\"expirationSeconds\":3600,\"path\":\"token\"}}]}},");
    pt_buf_puts(b, "{\"name\":\"pintle-cache\",\"emptyDir\":{}}");
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
    put_owner(b, md);
    pt_buf_printf(b, "},\"spec\":{\"automountServiceAccountToken\":false,\"enableServiceLinks\":false,\"terminationGracePeriodSeconds\":%lld,",
                  (long long)(duration_of(user, "drain.timeout", 30000) + 999) / 1000 + GRACE_MARGIN_S);
    pt_buf_puts(b, "\"readinessGates\":[{\"conditionType\":\"" PT_READINESS_GATE "\"}],\"securityContext\":{\"runAsNonRoot\":true,\"runAsUser\":65532,"
                   "\"runAsGroup\":65532,\"fsGroup\":65532,\"seccompProfile\":{\"type\":\"RuntimeDefault\"}},\"containers\":[");
    put_container(b, s, user, err);
    pt_buf_puts(b, "],\"volumes\":[");
    put_volumes(b);
    pt_buf_puts(b, "]}}");
    return pt_buf_check(b, "build pod", err);
}

int pt_build_pod(const struct pt_md *md, const struct pt_settings *s, const char *revision, const char *user_json, const char *name, struct pt_buf *out,
                 struct pt_err *err)
{
    pt_auto_obj *user = NULL, *pod = NULL;
    pt_auto_buf text = PT_BUF_INIT(0);
    if (pt_obj_parse(pt_str(user_json), "revision", &user, err) < 0)
        return err->code;
    const cJSON *template = pt_obj_get(user, "template");
    int rc = write_pod(template ? &text : out, md, s, revision, user, name, err);
    if (rc < 0 || !template)
        return rc;
    if (pt_obj_parse((struct pt_str){text.data, text.len}, "pod", &pod, err) < 0)
        return err->code;
    if (pt_obj_strategic(pod, template, err) < 0)
        return pt_wrap(err, "spec.template");
    return pt_obj_print(pod, out, err);
}
