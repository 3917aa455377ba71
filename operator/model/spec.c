/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.c: one table of fields says what a spec may hold. Walking it checks an object; walking it again copies what shapes pods, without what
 * equals its default, into the canonical user input that revisions are made of. So a later release that writes a default out, or adds a
 * field, does not change the hash of what a user wrote before.
 */
#include "operator/model/spec.h"
#include "base/contract.h"
#include "base/mem.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>

enum kind { INT, TEXT, TEXTS, BOOL, DURATION, AMOUNT, OBJECT, LIST, TREE, MAP, LATER };

struct field {
    const char *name;
    enum kind kind;
    int64_t min, max;      /* INT; DURATION in milliseconds; TEXT: bytes; TEXTS, LIST, MAP: max elements */
    const char *otherwise; /* the default as JSON text, or NULL */
    int (*check)(const cJSON *v, const char *path, struct pt_err *err);
    const struct field *members; /* OBJECT; LIST: of its elements, NULL for any */
    bool required;
};

typedef int check_fn(const cJSON *v, const char *path, struct pt_err *err);
static check_fn check_metric, check_uri, check_subdomain, check_digest, check_served_name, check_format, check_image, check_strategy_type, check_resources, check_labels,
    check_annotations, check_containers, check_init_containers, check_env, check_mount, check_volume, check_pull_policy;

#define HOUR_MS 3600000
static const struct field secret_fields[] = {{"name", TEXT, 1, 253, NULL, check_subdomain, NULL, true}, {0}};
static const struct field model_fields[] = {
    {"uri", TEXT, 1, 2048, NULL, check_uri, NULL, true},
    {"digest", TEXT, 0, 71, NULL, check_digest, NULL, false},
    {"name", TEXT, 1, 63, NULL, check_served_name, NULL, false},
    {"version", TEXT, 1, 63, "\"1\"", check_served_name, NULL, false},
    {"format", TEXT, 1, 32, "\"onnx\"", check_format, NULL, false},
    {"credentialsSecretRef", OBJECT, 0, 0, NULL, NULL, secret_fields, false},
    {0}};
static const struct field batching_fields[] = {
    {"maxSize", INT, 1, 4096, NULL, NULL, NULL, false}, {"maxDelay", DURATION, 0, 10000, NULL, NULL, NULL, false}, {0}};
static const struct field runtime_fields[] = {
    {"image", TEXT, 0, 512, "\"\"", check_image, NULL, false},
    {"threads", INT, 0, 1024, "0", NULL, NULL, false},
    {"concurrency", INT, 1, 4096, "8", NULL, NULL, false},
    {"queue", INT, 0, 100000, "256", NULL, NULL, false},
    {"batching", OBJECT, 0, 0, NULL, NULL, batching_fields, false},
    {.name = "parameters", .kind = LATER},
    {0}};
static const struct field serving_fields[] = {
    {"port", INT, 1024, 65535, "8080", NULL, NULL, false},
    {"metricsPort", INT, 1024, 65535, "8082", NULL, NULL, false},
    {"timeout", DURATION, 1, HOUR_MS, "\"60s\"", NULL, NULL, false},
    {"grpcPort", INT, 1024, 65535, "8081", NULL, NULL, false},
    {0}};
static const struct field drain_fields[] = {{"timeout", DURATION, 0, HOUR_MS, "\"30s\"", NULL, NULL, false}, {0}};
static const struct field env_fields[] = {
    {"name", TEXT, 1, 253, NULL, check_env, NULL, true}, {"value", TEXT, 0, 16384, NULL, NULL, NULL, false}, {.name = "valueFrom", .kind = TREE}, {0}};
static const struct field mount_fields[] = {{"name", TEXT, 1, 63, NULL, NULL, NULL, true},
                                            {"mountPath", TEXT, 1, 1024, NULL, check_mount, NULL, true},
                                            {"subPath", TEXT, 0, 1024, NULL, NULL, NULL, false},
                                            {"subPathExpr", TEXT, 0, 1024, NULL, NULL, NULL, false},
                                            {.name = "readOnly", .kind = BOOL},
                                            {"mountPropagation", TEXT, 0, 32, NULL, NULL, NULL, false},
                                            {"recursiveReadOnly", TEXT, 0, 32, NULL, NULL, NULL, false},
                                            {0}};
/* Changes to our container. */
static const struct field sidecar_fields[] = {{"name", TEXT, 1, 63, NULL, NULL, NULL, true},
                                              {"env", LIST, 0, 128, NULL, NULL, env_fields, false},
                                              {"imagePullPolicy", TEXT, 1, 16, NULL, check_pull_policy, NULL, false},
                                              {.name = "securityContext", .kind = TREE},
                                              {"volumeMounts", LIST, 0, 64, NULL, NULL, mount_fields, false},
                                              {0}};
/* A container of the user's. What is in the trees the API server checks when the pod is made, strictly. */
static const struct field container_fields[] = {{"name", TEXT, 1, 63, NULL, NULL, NULL, true},
                                                {"image", TEXT, 1, 512, NULL, check_image, NULL, true},
                                                {"command", TEXTS, 0, 256, NULL, NULL, NULL, false},
                                                {"args", TEXTS, 0, 256, NULL, NULL, NULL, false},
                                                {"workingDir", TEXT, 0, 1024, NULL, NULL, NULL, false},
                                                {"ports", LIST, 0, 32, NULL, NULL, NULL, false},
                                                {"envFrom", LIST, 0, 64, NULL, NULL, NULL, false},
                                                {"env", LIST, 0, 128, NULL, NULL, NULL, false},
                                                {.name = "resources", .kind = TREE},
                                                {"resizePolicy", LIST, 0, 8, NULL, NULL, NULL, false},
                                                {"restartPolicy", TEXT, 1, 16, NULL, NULL, NULL, false},
                                                {"volumeMounts", LIST, 0, 64, NULL, NULL, mount_fields, false},
                                                {"volumeDevices", LIST, 0, 64, NULL, NULL, NULL, false},
                                                {.name = "livenessProbe", .kind = TREE},
                                                {.name = "readinessProbe", .kind = TREE},
                                                {.name = "startupProbe", .kind = TREE},
                                                {.name = "lifecycle", .kind = TREE},
                                                {"terminationMessagePath", TEXT, 0, 1024, NULL, NULL, NULL, false},
                                                {"terminationMessagePolicy", TEXT, 1, 32, NULL, NULL, NULL, false},
                                                {"imagePullPolicy", TEXT, 1, 16, NULL, check_pull_policy, NULL, false},
                                                {.name = "securityContext", .kind = TREE},
                                                {.name = "stdin", .kind = BOOL},
                                                {.name = "stdinOnce", .kind = BOOL},
                                                {.name = "tty", .kind = BOOL},
                                                {0}};
static const struct field pod_fields[] = {{"nodeSelector", MAP, 0, 64, NULL, NULL, NULL, false},
                                          {"tolerations", LIST, 0, 64, NULL, NULL, NULL, false},
                                          {.name = "affinity", .kind = TREE},
                                          {"topologySpreadConstraints", LIST, 0, 16, NULL, NULL, NULL, false},
                                          {"priorityClassName", TEXT, 0, 253, NULL, NULL, NULL, false},
                                          {"serviceAccountName", TEXT, 0, 253, NULL, NULL, NULL, false},
                                          {"imagePullSecrets", LIST, 0, 16, NULL, NULL, secret_fields, false},
                                          {"volumes", LIST, 0, 64, NULL, check_volume, NULL, false},
                                          {.name = "securityContext", .kind = TREE},
                                          {"terminationGracePeriodSeconds", INT, 1, 7200, NULL, NULL, NULL, false},
                                          {"initContainers", LIST, 0, 8, NULL, check_init_containers, NULL, false},
                                          {"containers", LIST, 0, 8, NULL, check_containers, NULL, false},
                                          {.name = "automountServiceAccountToken", .kind = BOOL},
                                          {.name = "shareProcessNamespace", .kind = BOOL},
                                          {"hostAliases", LIST, 0, 64, NULL, NULL, NULL, false},
                                          {"dnsPolicy", TEXT, 1, 32, NULL, NULL, NULL, false},
                                          {.name = "dnsConfig", .kind = TREE},
                                          {"runtimeClassName", TEXT, 0, 253, NULL, NULL, NULL, false},
                                          {"schedulerName", TEXT, 0, 253, NULL, NULL, NULL, false},
                                          {"resourceClaims", LIST, 0, 32, NULL, NULL, NULL, false},
                                          {0}};
static const struct field template_meta_fields[] = {
    {"labels", MAP, 0, 64, NULL, check_labels, NULL, false}, {"annotations", MAP, 0, 64, NULL, check_annotations, NULL, false}, {0}};
static const struct field template_fields[] = {
    {"metadata", OBJECT, 0, 0, NULL, NULL, template_meta_fields, false}, {"spec", OBJECT, 0, 0, NULL, NULL, pod_fields, false}, {0}};
/* What shapes pods, and so a revision. */
static const struct field user_fields[] = {
    {"model", OBJECT, 0, 0, NULL, NULL, model_fields, true},
    {"runtime", OBJECT, 0, 0, NULL, NULL, runtime_fields, false},
    {"serving", OBJECT, 0, 0, NULL, NULL, serving_fields, false},
    {"resources", TREE, 0, 0, NULL, check_resources, NULL, false},
    {"template", OBJECT, 0, 0, NULL, NULL, template_fields, false},
    {"drain", OBJECT, 0, 0, NULL, NULL, drain_fields, false},
    {0}};
static const struct field rolling_fields[] = {
    {"maxSurge", AMOUNT, 0, 1000, NULL, NULL, NULL, false}, {"maxUnavailable", AMOUNT, 0, 1000, NULL, NULL, NULL, false}, {0}};
static const struct field strategy_fields[] = {{"type", TEXT, 1, 32, NULL, check_strategy_type, NULL, false},
                                               {"rollingUpdate", OBJECT, 0, 0, NULL, NULL, rolling_fields, false},
                                               {.name = "canary", .kind = LATER},
                                               {0}};
static const struct field disruption_fields[] = {{"maxUnavailable", AMOUNT, 0, 1000, NULL, NULL, NULL, true}, {0}};
static const struct field autoscaling_fields[] = {{"minReplicas", INT, 1, 1000, "1", NULL, NULL, false},
                                                  {"maxReplicas", INT, 1, 1000, NULL, NULL, NULL, true},
                                                  {"metric", TEXT, 1, 32, "\"Concurrency\"", check_metric, NULL, false},
                                                  {"target", INT, 1, 1000000, NULL, NULL, NULL, false},
                                                  {"stableWindow", DURATION, 6000, (PT_AUTOSCALE_SECONDS - 1) * 1000, "\"60s\"", NULL, NULL, false},
                                                  {"panicWindowPercent", INT, 1, 100, "10", NULL, NULL, false},
                                                  {"panicThresholdPercent", INT, 110, 1000, "200", NULL, NULL, false},
                                                  {"scaleDownDelay", DURATION, 0, (PT_AUTOSCALE_SECONDS - 1) * 1000, "\"30s\"", NULL, NULL, false},
                                                  {0}};
/* What does not: how pods are replaced and how many there are. */
static const struct field other_fields[] = {{"replicas", INT, 0, 1000, "1", NULL, NULL, false},
                                            {"strategy", OBJECT, 0, 0, NULL, NULL, strategy_fields, false},
                                            {"minReadySeconds", INT, 0, 3600, "0", NULL, NULL, false},
                                            {"progressDeadlineSeconds", INT, 1, 86400, "600", NULL, NULL, false},
                                            {"revisionHistoryLimit", INT, 0, 100, "10", NULL, NULL, false},
                                            {.name = "paused", .kind = BOOL},
                                            {"disruption", OBJECT, 0, 0, NULL, NULL, disruption_fields, false},
                                            {"autoscaling", OBJECT, 0, 0, NULL, NULL, autoscaling_fields, false},
                                            {.name = "compression", .kind = LATER},
                                            {.name = "monitoring", .kind = LATER},
                                            {0}};

/* The value as a user would recognise it, short. */
static const char *shown(const cJSON *v, char text[96])
{
    pt_auto_buf b = PT_BUF_INIT(0);
    if (pt_obj_print(v, &b, NULL) < 0)
        return "?";
    snprintf(text, 96, "%.*s%s", b.len > 80 ? 80 : (int)b.len, b.data, b.len > 80 ? "..." : "");
    return text;
}

static int bad(const cJSON *v, const char *path, const char *why, struct pt_err *err)
{
    char text[96];
    return pt_fail(err, PT_EINVAL, "%s: %s: %s", path, shown(v, text), why);
}

/* --- single values ------------------------------------------------------------------------------------------------------- */

/* "claim/path": a path that stays inside. */
static bool is_claim_path(const char *text, size_t claim)
{
    return pt_is_dns_subdomain((struct pt_str){text, claim}) && !strstr(text + claim, "/../") && !strstr(text + claim, "//") &&
           strcmp(text + strlen(text) - 3, "/..") != 0;
}

static int check_uri(const cJSON *v, const char *path, struct pt_err *err)
{
    const char *uri = v->valuestring;
    for (const char *p = uri; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return bad(v, path, "has blanks or control characters", err);
    static const char *const schemes[] = {"https://", "s3://", "oci://", PT_SCHEME_PVC};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t scheme = strlen(schemes[i]), first = strncmp(uri, schemes[i], scheme) ? 0 : strcspn(uri + scheme, "/?#@");
        if (first && uri[scheme + first] == '/' && uri[scheme + first + 1] && (i < 3 || is_claim_path(uri + scheme, first)))
            return PT_OK;
    }
    if (!strncmp(uri, "file:///", 8) && uri[8])
        return PT_OK;
    return bad(v, path, "must be https://HOST/PATH, s3://BUCKET/KEY, oci://REGISTRY/REPOSITORY, pvc://CLAIM/PATH or file:///PATH", err);
}

static int check_subdomain(const cJSON *v, const char *path, struct pt_err *err)
{
    return pt_is_dns_subdomain(pt_str(v->valuestring)) ? PT_OK : bad(v, path, "is not the name of an object", err);
}

static int check_metric(const cJSON *v, const char *path, struct pt_err *err)
{
    if (!strcmp(v->valuestring, "Concurrency") || !strcmp(v->valuestring, "RPS"))
        return PT_OK;
    return bad(v, path, "must be Concurrency or RPS; QueueDelay and Latency are not supported in v" PT_VERSION, err);
}

static int check_digest(const cJSON *v, const char *path, struct pt_err *err)
{
    uint8_t digest[32];
    if (pt_parse_digest(pt_str(v->valuestring), path, digest, NULL) == PT_OK)
        return PT_OK;
    return bad(v, path, "must be \"sha256:\" and 64 lower-case hex digits", err);
}

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int check_served_name(const cJSON *v, const char *path, struct pt_err *err)
{
    const char *s = v->valuestring;
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!alphanumeric(s[i]) && (i == 0 || i == n - 1 || !strchr("._-", s[i])))
            return bad(v, path, "only letters, digits, and between them '.', '_' and '-'", err);
    return PT_OK;
}

static int check_format(const cJSON *v, const char *path, struct pt_err *err)
{
    return !strcmp(v->valuestring, "onnx") ? PT_OK : bad(v, path, "must be onnx; other formats are not supported in v" PT_VERSION, err);
}

static int check_image(const cJSON *v, const char *path, struct pt_err *err)
{
    for (const char *p = v->valuestring; *p; p++)
        if (!alphanumeric(*p) && (p == v->valuestring || !strchr("._:/@-", *p)))
            return bad(v, path, "is not an image reference", err);
    return PT_OK;
}

static int check_strategy_type(const cJSON *v, const char *path, struct pt_err *err)
{
    if (!strcmp(v->valuestring, "RollingUpdate") || !strcmp(v->valuestring, "Recreate"))
        return PT_OK;
    return bad(v, path, "must be RollingUpdate or Recreate; Canary is not supported in v" PT_VERSION, err);
}

/* What the pattern in deploy/crd.yaml allows: "250m", "1.5", "128Mi", "1e3". */
static bool is_quantity(const cJSON *v)
{
    static const char *const suffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "n", "u", "m", "k", "K", "M", "G", "T", "P", "E"};
    if (!cJSON_IsString(v))
        return cJSON_IsNumber(v) && v->valuedouble >= 0;
    const char *s = v->valuestring;
    size_t whole = strspn(s, "0123456789"), fraction = s[whole] == '.' ? strspn(s + whole + 1, "0123456789") : 0;
    if (whole + fraction == 0 || strlen(s) > 32)
        return false;
    s += whole + (s[whole] == '.') + fraction;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (!strcmp(s, suffixes[i]))
            return true;
    size_t sign = 1 + (s[1] == '+' || s[1] == '-');
    return (*s == 'e' || *s == 'E') && s[sign] && strspn(s + sign, "0123456789") == strlen(s + sign);
}

static int check_resources(const cJSON *v, const char *path, struct pt_err *err)
{
    const cJSON *part, *q;
    char at[256];
    cJSON_ArrayForEach(part, v)
    {
        snprintf(at, sizeof at, "%s.%s", path, part->string);
        if (strcmp(part->string, "requests") != 0 && strcmp(part->string, "limits") != 0)
            return bad(part, at, "unknown field; requests or limits", err);
        if (!cJSON_IsObject(part))
            return bad(part, at, "must be an object", err);
        cJSON_ArrayForEach(q, part)
        {
            snprintf(at, sizeof at, "%s.%s.%s", path, part->string, q->string);
            if (!is_quantity(q))
                return bad(q, at, "must be a quantity like \"500m\" or \"1Gi\"", err);
        }
    }
    return PT_OK;
}

static int check_keys(const cJSON *v, const char *path, const char *const *ours, size_t count, struct pt_err *err)
{
    const cJSON *e;
    char at[384];
    cJSON_ArrayForEach(e, v)
    {
        bool refused = !strncmp(e->string, PT_GROUP "/", sizeof PT_GROUP);
        for (size_t i = 0; i < count; i++)
            refused |= !strcmp(e->string, ours[i]);
        snprintf(at, sizeof at, "%.150s[%.200s]", path, e->string);
        if (refused)
            return bad(e, at, "is the operator's own", err);
    }
    return PT_OK;
}

static int check_labels(const cJSON *v, const char *path, struct pt_err *err)
{
    static const char *const ours[] = {PT_LABEL_MANAGED_BY, PT_LABEL_INSTANCE, PT_LABEL_REVISION};
    return check_keys(v, path, ours, sizeof ours / sizeof *ours, err);
}

static int check_annotations(const cJSON *v, const char *path, struct pt_err *err)
{
    return check_keys(v, path, NULL, 0, err);
}

static int check_env(const cJSON *v, const char *path, struct pt_err *err)
{
    return strncmp(v->valuestring, "PINTLE_", 7) ? PT_OK : bad(v, path, "environment variables that begin with PINTLE_ are the operator's own", err);
}

static int check_pull_policy(const cJSON *v, const char *path, struct pt_err *err)
{
    bool known = !strcmp(v->valuestring, "Always") || !strcmp(v->valuestring, "IfNotPresent") || !strcmp(v->valuestring, "Never");
    return known ? PT_OK : bad(v, path, "must be Always, IfNotPresent or Never", err);
}

static int check_mount(const cJSON *v, const char *path, struct pt_err *err)
{
    static const char *const ours[] = {"/", PT_PATH_CONFIG_DIR, PT_PATH_TOKEN_DIR, PT_PATH_CACHE, PT_PATH_CREDENTIALS, PT_PATH_MODEL};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(v->valuestring, ours[i]))
            return bad(v, path, "this path is the operator's own", err);
    return PT_OK;
}

static int check_volume(const cJSON *v, const char *path, struct pt_err *err)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, v)
    {
        const char *name = pt_obj_str(e, "name");
        if (!name || !pt_is_dns_label(pt_str(name)))
            return bad(e, path, "a volume needs a name, a lower-case RFC 1123 label", err);
        if (!strncmp(name, "pintle-", 7))
            return bad(e, path, "names of volumes that begin with pintle- are the operator's own", err);
    }
    return PT_OK;
}

static int read_amount(const cJSON *v, const char *path, struct pt_amount *out, struct pt_err *err)
{
    int64_t n = -1;
    if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 1000 && v->valuedouble == (double)(int)v->valuedouble) {
        *out = (struct pt_amount){(int)v->valuedouble, false};
        return PT_OK;
    }
    struct pt_str s = pt_str(cJSON_GetStringValue(v));
    if (s.len > 1 && s.p[s.len - 1] == '%')
        (void)pt_parse_i64((struct pt_str){s.p, s.len - 1}, 0, 100, path, &n, NULL);
    if (n < 0)
        return bad(v, path, "must be a whole number or a percentage from \"0%\" to \"100%\"", err);
    *out = (struct pt_amount){(int)n, true};
    return PT_OK;
}

/* --- the walk ------------------------------------------------------------------------------------------------------------ */

static const struct field *field_of(const struct field *fields, const char *name)
{
    for (; fields && fields->name; fields++)
        if (!strcmp(fields->name, name))
            return fields;
    return NULL;
}

static int check_object(const cJSON *o, const struct field *fields, const struct field *more, const char *path, struct pt_err *err);

static int check_list(const cJSON *v, const struct field *f, const char *path, struct pt_err *err)
{
    const cJSON *e;
    char at[256];
    int i = 0;
    if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) > f->max)
        return bad(v, path, "must be a list, and not too long", err);
    cJSON_ArrayForEach(e, v)
    {
        snprintf(at, sizeof at, "%.240s[%d]", path, i++);
        if (!cJSON_IsObject(e))
            return bad(e, at, "must be an object", err);
        if (f->members && check_object(e, f->members, NULL, at, err) < 0)
            return PT_EINVAL;
    }
    return PT_OK;
}

static int check_map(const cJSON *v, const struct field *f, const char *path, struct pt_err *err)
{
    const cJSON *e;
    char at[384];
    if (!cJSON_IsObject(v) || cJSON_GetArraySize(v) > f->max)
        return bad(v, path, "must be a map, and not too large", err);
    cJSON_ArrayForEach(e, v)
    {
        snprintf(at, sizeof at, "%.150s[%.200s]", path, e->string);
        if (!cJSON_IsString(e))
            return bad(e, at, "must be text", err);
    }
    return PT_OK;
}

static bool is_texts(const cJSON *v, int64_t max)
{
    const cJSON *e;
    bool all = cJSON_IsArray(v) && cJSON_GetArraySize(v) <= max;
    cJSON_ArrayForEach(e, v) all &= cJSON_IsString(e);
    return all;
}

static int check_value(const cJSON *v, const struct field *f, const char *path, struct pt_err *err)
{
    char why[96];
    int64_t n = 0;
    struct pt_amount amount;
    switch (f->kind) {
    case LATER:
        return bad(v, path, "not supported in v" PT_VERSION, err);
    case INT:
        if (!cJSON_IsNumber(v) || v->valuedouble != (double)(int64_t)v->valuedouble || v->valuedouble < (double)f->min || v->valuedouble > (double)f->max) {
            snprintf(why, sizeof why, "must be a whole number from %lld to %lld", (long long)f->min, (long long)f->max);
            return bad(v, path, why, err);
        }
        break;
    case BOOL:
        if (!cJSON_IsBool(v))
            return bad(v, path, "must be true or false", err);
        break;
    case TEXT:
        if (!cJSON_IsString(v) || strlen(v->valuestring) < (size_t)f->min || strlen(v->valuestring) > (size_t)f->max) {
            snprintf(why, sizeof why, "must be text of %lld to %lld bytes", (long long)f->min, (long long)f->max);
            return bad(v, path, why, err);
        }
        break;
    case DURATION:
        if (!cJSON_IsString(v) || pt_parse_duration_ms(pt_str(v->valuestring), path, &n, NULL) < 0 || n < f->min || n > f->max) {
            snprintf(why, sizeof why, "must be a duration like \"30s\", from %lldms to %lldms", (long long)f->min, (long long)f->max);
            return bad(v, path, why, err);
        }
        break;
    case AMOUNT:
        return read_amount(v, path, &amount, err);
    case LIST:
        if (check_list(v, f, path, err) < 0)
            return PT_EINVAL;
        break;
    case MAP:
        if (check_map(v, f, path, err) < 0)
            return PT_EINVAL;
        break;
    case TEXTS:
        if (!is_texts(v, f->max))
            return bad(v, path, "must be a list of texts, and not too long", err);
        break;
    case OBJECT:
    case TREE:
        if (!cJSON_IsObject(v))
            return bad(v, path, "must be an object", err);
        if (f->kind == OBJECT)
            return check_object(v, f->members, NULL, path, err);
        break;
    }
    return f->check ? f->check(v, path, err) : PT_OK;
}

/* "path.name", for messages: cut where it is too long. Every field of every version read passes here. */
static void join(char at[256], const char *path, const char *name)
{
    size_t n = strnlen(path, 150), m = strnlen(name, 100);
    memcpy(at, path, n);
    at[n] = '.';
    memcpy(at + n + 1, name, m);
    at[n + 1 + m] = 0;
}

static int check_object(const cJSON *o, const struct field *fields, const struct field *more, const char *path, struct pt_err *err)
{
    const cJSON *v, *again;
    char at[256];
    cJSON_ArrayForEach(v, o)
    {
        const struct field *f = field_of(fields, v->string);
        if (!f)
            f = field_of(more, v->string);
        join(at, path, v->string);
        if (!f)
            return bad(v, at, "unknown field", err);
        for (again = v->next; again; again = again->next)
            if (!strcmp(again->string, v->string))
                return bad(again, at, "is there twice", err);
        if (!cJSON_IsNull(v) && check_value(v, f, at, err) < 0)
            return PT_EINVAL;
    }
    for (const struct field *f = fields; f->name; f++)
        if (f->required && (!cJSON_GetObjectItemCaseSensitive(o, f->name) || cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, f->name))))
            return pt_fail(err, PT_EINVAL, "%s.%s: required", path, f->name);
    return PT_OK;
}

/* --- containers ---------------------------------------------------------------------------------------------------------- */

static bool is_sidecar(const cJSON *container)
{
    const char *name = pt_obj_str(container, "name");
    return name && !strcmp(name, PT_CONTAINER);
}

/* Names that the Service and the pod's parts go by must not be used twice. */
static int check_own_container(const cJSON *c, const char *path, bool init, struct pt_err *err)
{
    static const char *const ports[] = {"http", "grpc", "metrics"};
    const char *name = pt_obj_str(c, "name"), *restart = pt_obj_str(c, "restartPolicy");
    const cJSON *p;
    char at[256];
    if (check_object(c, container_fields, NULL, path, err) < 0)
        return PT_EINVAL;
    if (!pt_is_dns_label(pt_str(name)))
        return bad(c, path, "name must be a lower-case RFC 1123 label", err);
    if (restart && (!init || strcmp(restart, "Always") != 0))
        return bad(c, path, "restartPolicy: only Always, and only of an init container", err);
    snprintf(at, sizeof at, "%.230s.ports", path);
    cJSON_ArrayForEach(p, pt_obj_get(c, "ports"))
    {
        for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
            if (!strcmp(pt_obj_text(p, "name"), ports[i]))
                return bad(p, at, "http, grpc and metrics are names of the sidecar's ports", err);
    }
    snprintf(at, sizeof at, "%.230s.volumeMounts", path);
    cJSON_ArrayForEach(p, pt_obj_get(c, "volumeMounts")) if (!strncmp(pt_obj_text(p, "name"), "pintle-", 7)) return bad(
        p, at, "volumes whose names begin with pintle- are the operator's own", err);
    return PT_OK;
}

static int check_names(const cJSON *list, const char *path, struct pt_err *err)
{
    const cJSON *a, *b;
    cJSON_ArrayForEach(a, list) for (b = a->next; b; b = b->next)
    {
        const char *x = pt_obj_str(a, "name"), *y = pt_obj_str(b, "name");
        if (x && y && !strcmp(x, y))
            return bad(b, path, "two containers have this name", err);
    }
    return PT_OK;
}

static int check_containers(const cJSON *list, const char *path, struct pt_err *err)
{
    const cJSON *c;
    char at[256];
    int i = 0, rc = PT_OK;
    cJSON_ArrayForEach(c, list)
    {
        snprintf(at, sizeof at, "%.200s[%d]", path, i++);
        rc = is_sidecar(c) ? check_object(c, sidecar_fields, NULL, at, err) : check_own_container(c, at, false, err);
        if (rc < 0)
            return rc;
    }
    return check_names(list, path, err);
}

static int check_init_containers(const cJSON *list, const char *path, struct pt_err *err)
{
    const cJSON *c;
    char at[256];
    int i = 0;
    cJSON_ArrayForEach(c, list)
    {
        snprintf(at, sizeof at, "%.200s[%d]", path, i++);
        if (is_sidecar(c))
            return bad(c, at, "the container \"" PT_CONTAINER "\" is changed below containers", err);
        if (check_own_container(c, at, true, err) < 0)
            return PT_EINVAL;
    }
    return check_names(list, path, err);
}

/* A name of an init container must not be that of a container either. */
static int check_all_names(const cJSON *spec, bool *own, struct pt_err *err)
{
    const cJSON *c, *init;
    *own = cJSON_GetArraySize(pt_obj_get(spec, "template.spec.initContainers")) > 0;
    cJSON_ArrayForEach(c, pt_obj_get(spec, "template.spec.containers"))
    {
        *own |= !is_sidecar(c);
        cJSON_ArrayForEach(
            init,
            pt_obj_get(spec, "template.spec.initContainers")) if (!strcmp(pt_obj_text(c, "name"),
                                                                          pt_obj_text(init, "name"))) return bad(c, "spec.template.spec.containers",
                                                                                                                 "an init container has this name",
                                                                                                                 err);
    }
    return PT_OK;
}

static bool is_default(const cJSON *v, const struct field *f)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    if (!f->otherwise)
        return false;
    if (f->kind == DURATION) {
        int64_t a = -1, b = -2;
        struct pt_str d = {f->otherwise + 1, strlen(f->otherwise) - 2};
        (void)pt_parse_duration_ms(pt_str(v->valuestring), f->name, &a, NULL);
        (void)pt_parse_duration_ms(d, f->name, &b, NULL);
        return a == b;
    }
    return pt_obj_print(v, &text, NULL) == PT_OK && pt_str_eq((struct pt_str){text.data, text.len}, pt_str(f->otherwise));
}

/* Copies what shapes pods and differs from its default. */
static int copy_user_input(const cJSON *from, const struct field *fields, cJSON *to, struct pt_err *err)
{
    for (const struct field *f = fields; f->name; f++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(from, f->name);
        if (!v || cJSON_IsNull(v) || is_default(v, f) || ((cJSON_IsObject(v) || cJSON_IsArray(v)) && !v->child))
            continue;
        cJSON *copy = f->kind == OBJECT ? cJSON_CreateObject() : cJSON_Duplicate(v, 1);
        if (copy && f->kind == OBJECT && copy_user_input(v, f->members, copy, err) < 0) {
            cJSON_Delete(copy);
            return err->code;
        }
        if (copy && f->kind == OBJECT && !copy->child)
            cJSON_Delete(copy);
        else if (pt_obj_set(to, f->name, copy, err) < 0)
            return err->code;
    }
    return PT_OK;
}

/* --- rules between fields ------------------------------------------------------------------------------------------------ */

static int check_rules(const cJSON *spec, const struct pt_spec *s, struct pt_err *err)
{
    const cJSON *rolling = pt_obj_get(spec, "strategy.rollingUpdate");
    int64_t drain_ms = 30000, grace_s = pt_obj_int(spec, "template.spec.terminationGracePeriodSeconds", -1);
    const char *drain = pt_obj_str(spec, "drain.timeout");
    if (s->strategy != PT_STRATEGY_ROLLING && rolling && !cJSON_IsNull(rolling))
        return bad(rolling, "spec.strategy.rollingUpdate", "only with type RollingUpdate", err);
    if (s->max_surge.value == 0 && s->max_unavailable.value == 0)
        return pt_fail(err, PT_EINVAL, "spec.strategy.rollingUpdate: maxSurge and maxUnavailable are both 0: nothing could be replaced");
    if (s->progress_deadline_s <= s->min_ready_s)
        return pt_fail(err, PT_EINVAL, "spec.progressDeadlineSeconds: %d: must be greater than minReadySeconds (%d)", s->progress_deadline_s, s->min_ready_s);
    if (s->port == s->metrics_port || s->grpc_port == s->metrics_port)
        return pt_fail(err, PT_EINVAL, "spec.serving.metricsPort: %d: is also serving.%s", s->metrics_port, s->port == s->metrics_port ? "port" : "grpcPort");
    if (s->port == s->grpc_port)
        return pt_fail(err, PT_EINVAL, "spec.serving.grpcPort: %d: is also serving.port, which takes gRPC as well", s->grpc_port);
    if (drain)
        (void)pt_parse_duration_ms(pt_str(drain), "drain", &drain_ms, NULL);
    if (grace_s >= 0 && grace_s * 1000 <= drain_ms)
        return pt_fail(err, PT_EINVAL, "spec.template.spec.terminationGracePeriodSeconds: %lld: must be longer than drain.timeout (%lld ms)", (long long)grace_s,
                       (long long)drain_ms);
    return PT_OK;
}

/* A pod that is always as busy as it may be has no room for the next moment: the target is a tenth below what it serves at a time. */
static double default_target(const cJSON *spec, enum pt_autoscaling_metric metric)
{
    return metric == PT_METRIC_RPS ? 200 : 0.9 * (double)pt_obj_int(spec, "runtime.concurrency", 8);
}

static int64_t duration_at(const cJSON *spec, const char *path, int64_t otherwise_ms)
{
    const char *text = pt_obj_str(spec, path);
    int64_t ms = otherwise_ms;
    return text && pt_parse_duration_ms(pt_str(text), path, &ms, NULL) < 0 ? otherwise_ms : ms;
}

static int read_autoscaling(const cJSON *spec, struct pt_autoscaling *a, struct pt_err *err)
{
    const cJSON *given = pt_obj_get(spec, "autoscaling");
    const char *metric = pt_obj_str(spec, "autoscaling.metric");
    a->on = given && !cJSON_IsNull(given);
    if (!a->on)
        return PT_OK;
    a->metric = metric && !strcmp(metric, "RPS") ? PT_METRIC_RPS : PT_METRIC_CONCURRENCY;
    int64_t target = pt_obj_int(spec, "autoscaling.target", 0);
    a->config = (struct pt_autoscale_config){.min = (int)pt_obj_int(spec, "autoscaling.minReplicas", 1),
                                             .max = (int)pt_obj_int(spec, "autoscaling.maxReplicas", 1),
                                             .target = target ? (double)target : default_target(spec, a->metric),
                                             .stable_ms = duration_at(spec, "autoscaling.stableWindow", 60000),
                                             .panic_window = (double)pt_obj_int(spec, "autoscaling.panicWindowPercent", 10) / 100,
                                             .panic_threshold = (double)pt_obj_int(spec, "autoscaling.panicThresholdPercent", 200) / 100,
                                             .scale_down_delay_ms = duration_at(spec, "autoscaling.scaleDownDelay", 30000)};
    if (a->config.min > a->config.max)
        return pt_fail(err, PT_EINVAL, "spec.autoscaling.minReplicas: %d: is more than maxReplicas (%d)", a->config.min, a->config.max);
    return PT_OK;
}

static int read_rest(const cJSON *spec, struct pt_spec *s, struct pt_err *err)
{
    const char *type = pt_obj_str(spec, "strategy.type");
    const cJSON *surge = pt_obj_get(spec, "strategy.rollingUpdate.maxSurge"), *unavailable = pt_obj_get(spec, "strategy.rollingUpdate.maxUnavailable");
    s->replicas = (int)pt_obj_int(spec, "replicas", 1);
    s->strategy = type && !strcmp(type, "Recreate") ? PT_STRATEGY_RECREATE : PT_STRATEGY_ROLLING;
    s->max_surge = (struct pt_amount){25, true};
    s->max_unavailable = (struct pt_amount){0, false};
    s->min_ready_s = (int)pt_obj_int(spec, "minReadySeconds", 0);
    s->progress_deadline_s = (int)pt_obj_int(spec, "progressDeadlineSeconds", 600);
    s->history_limit = (int)pt_obj_int(spec, "revisionHistoryLimit", 10);
    s->port = (int)pt_obj_int(spec, "serving.port", PT_PORT_HTTP);
    s->grpc_port = (int)pt_obj_int(spec, "serving.grpcPort", PT_PORT_GRPC);
    s->metrics_port = (int)pt_obj_int(spec, "serving.metricsPort", PT_PORT_METRICS);
    s->paused = pt_obj_true(spec, "paused");
    if (read_autoscaling(spec, &s->autoscaling, err) < 0)
        return PT_EINVAL;
    const cJSON *budget = pt_obj_get(spec, "disruption.maxUnavailable");
    s->has_budget = budget && !cJSON_IsNull(budget);
    if (s->has_budget && read_amount(budget, "spec.disruption.maxUnavailable", &s->budget, err) < 0)
        return PT_EINVAL;
    if (check_all_names(spec, &s->own_containers, err) < 0)
        return PT_EINVAL;
    if (surge && !cJSON_IsNull(surge) && read_amount(surge, "spec.strategy.rollingUpdate.maxSurge", &s->max_surge, err) < 0)
        return PT_EINVAL;
    if (unavailable && !cJSON_IsNull(unavailable) && read_amount(unavailable, "spec.strategy.rollingUpdate.maxUnavailable", &s->max_unavailable, err) < 0)
        return PT_EINVAL;
    return check_rules(spec, s, err);
}

static int check_identity(const cJSON *o, struct pt_err *err)
{
    const char *version = pt_obj_str(o, "apiVersion"), *kind = pt_obj_str(o, "kind"), *name = pt_obj_str(o, "metadata.name");
    const cJSON *v;
    if ((version && strcmp(version, PT_GROUP_VERSION) != 0) || (kind && strcmp(kind, PT_KIND) != 0))
        return pt_fail(err, PT_EINVAL, "%s %s: expected %s %s", version ? version : "", kind ? kind : "", PT_GROUP_VERSION, PT_KIND);
    if (!name || !pt_is_dns_label(pt_str(name)) || strlen(name) > PT_NAME_MAX || (*name >= '0' && *name <= '9'))
        return pt_fail(err, PT_EINVAL, "metadata.name: \"%s\": must be lower-case letters, digits and '-', begin with a letter and have at most %d bytes", name ? name : "", PT_NAME_MAX);
    cJSON_ArrayForEach(v, o)
    {
        static const char *const members[] = {"apiVersion", "kind", "metadata", "spec", "status"};
        bool known = false;
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            known |= !strcmp(v->string, members[i]);
        if (!known)
            return bad(v, v->string, "unknown field", err);
    }
    return PT_OK;
}

int pt_spec_read(const cJSON *o, struct pt_spec *s, struct pt_err *err)
{
    *s = (struct pt_spec){0};
    const cJSON *spec = pt_obj_get(o, "spec");
    if (check_identity(o, err) < 0)
        return PT_EINVAL;
    if (!cJSON_IsObject(spec))
        return pt_fail(err, PT_EINVAL, "spec: required");
    if (check_object(spec, user_fields, other_fields, "spec", err) < 0 || read_rest(spec, s, err) < 0)
        return PT_EINVAL;
    pt_auto_obj *user = cJSON_CreateObject();
    pt_auto_buf text = PT_BUF_INIT(0);
    if (!user)
        return pt_fail(err, PT_ENOMEM, "spec: out of memory");
    if (copy_user_input(spec, user_fields, user, err) < 0)
        return err->code;
    const char *served = pt_obj_str(user, "model.name");
    if (served && (!*served || !strcmp(served, pt_obj_str(o, "metadata.name"))))
        cJSON_DeleteItemFromObjectCaseSensitive(pt_obj_mut(user, "model"), "name");
    if (pt_obj_canonical(user, &text, err) < 0)
        return err->code;
    s->user_json = pt_strndup(text.data, text.len);
    return s->user_json ? PT_OK : pt_fail(err, PT_ENOMEM, "spec: out of memory");
}

int pt_spec_decode(struct pt_str object, struct pt_spec *out, struct pt_err *err)
{
    struct pt_err local;
    pt_auto_obj *o = NULL;
    *out = (struct pt_spec){0};
    err = err ? err : &local;
    int rc = pt_obj_parse(object, "ModelDeployment", &o, err);
    return rc == PT_OK ? pt_spec_read(o, out, err) : rc;
}

void pt_spec_finish(struct pt_spec *s)
{
    pt_free(s->user_json);
    *s = (struct pt_spec){0};
}

int pt_spec_admit(struct pt_str object, struct pt_buf *out, struct pt_err *err)
{
    struct pt_err local;
    struct pt_spec s = {0};
    pt_auto_obj *o = NULL;
    err = err ? err : &local;
    int rc = pt_obj_parse(object, "ModelDeployment", &o, err);
    if (rc == PT_OK)
        rc = pt_spec_read(o, &s, err);
    cJSON *spec = rc == PT_OK ? pt_obj_mut(o, "spec") : NULL;
    if (rc == PT_OK && !cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(spec, "replicas")))
        rc = pt_obj_set(spec, "replicas", cJSON_CreateNumber(1), err); /* the scale subresource needs it */
    if (rc == PT_OK)
        rc = pt_obj_print(o, out, err);
    pt_spec_finish(&s);
    return rc;
}
