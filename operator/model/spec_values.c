/* SPDX-License-Identifier: Apache-2.0
 *
 * spec_values.c: what single values may be.
 */
#include "operator/model/spec_fields.h"

#include "base/contract.h"

#include <stdio.h>
#include <stdlib.h>

/* The value as a user would recognise it, short. */
static const char *shown(const cJSON *v, char text[96])
{
    pt_auto_buf b = PT_BUF_INIT(0);
    if (pt_obj_print(v, &b, NULL) < 0)
        return "?";
    snprintf(text, 96, "%.*s%s", b.len > 80 ? 80 : (int)b.len, b.data, b.len > 80 ? "..." : "");
    return text;
}

int pt_spec_bad(const cJSON *v, const char *path, const char *why, struct pt_err *err)
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

int pt_spec_check_uri(const cJSON *v, const char *path, struct pt_err *err)
{
    const char *uri = v->valuestring;
    for (const char *p = uri; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return pt_spec_bad(v, path, "has blanks or control characters", err);
    static const char *const schemes[] = {"https://", "s3://", "oci://", PT_SCHEME_PVC};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t scheme = strlen(schemes[i]), first = strncmp(uri, schemes[i], scheme) ? 0 : strcspn(uri + scheme, "/?#@");
        if (first && uri[scheme + first] == '/' && uri[scheme + first + 1] && (i < 3 || is_claim_path(uri + scheme, first)))
            return PT_OK;
    }
    if (!strncmp(uri, "file:///", 8) && uri[8])
        return PT_OK;
    return pt_spec_bad(v, path, "must be https://HOST/PATH, s3://BUCKET/KEY, oci://REGISTRY/REPOSITORY, pvc://CLAIM/PATH or file:///PATH", err);
}

/* Where a result goes: a folder, in which it is named by its digest. */
int pt_spec_check_output_uri(const cJSON *v, const char *path, struct pt_err *err)
{
    static const char *const schemes[] = {"s3://", PT_SCHEME_PVC, "file:///"};
    const char *uri = v->valuestring;
    size_t n = strlen(uri);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (!strncmp(uri, schemes[i], strlen(schemes[i])) && uri[n - 1] != '/' && !strpbrk(uri, "?#"))
            return pt_spec_check_uri(v, path, err);
    return pt_spec_bad(v, path, "must be pvc://CLAIM/PATH, s3://BUCKET/KEY or file:///PATH, a folder without '/' at its end", err);
}

#define RECIPE_MAX 65536 /* it travels in an annotation and in revisions */

/* What it says of models and stages is checked where it is run; here only what is not its own to say. */
int pt_spec_check_recipe(const cJSON *v, const char *path, struct pt_err *err)
{
    static const char *const ours[] = {"model", "output", "report"};
    pt_auto_buf text = PT_BUF_INIT(RECIPE_MAX);
    char at[256];
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(v, ours[i]);
        snprintf(at, sizeof at, "%.240s.%s", path, ours[i]);
        if (member)
            return pt_spec_bad(member, at, "is the operator's own: the model is spec.model, the output spec.compression.output", err);
    }
    const cJSON *stages = cJSON_GetObjectItemCaseSensitive(v, "stages"), *stage;
    if (!cJSON_IsArray(stages) || !stages->child || cJSON_GetArraySize(stages) > 64)
        return pt_spec_bad(v, path, "needs stages, a list of 1 to 64", err);
    cJSON_ArrayForEach(stage, stages) if (!cJSON_IsObject(stage)) return pt_spec_bad(stage, path, "a stage must be an object", err);
    if (pt_obj_print(v, &text, err) < 0 || pt_buf_check(&text, path, err) < 0)
        return pt_fail(err, PT_EINVAL, "%s: must have at most %d bytes as JSON", path, RECIPE_MAX);
    return PT_OK;
}

int pt_spec_check_mounts(const cJSON *v, const char *path, struct pt_err *err)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, v) if (!strncmp(pt_obj_text(e, "name"), "pintle-", 7)) return pt_spec_bad(
        e, path, "volumes whose names begin with pintle- are the operator's own", err);
    return pt_spec_check_once(v, "mountPath", path, err);
}

int pt_spec_check_subdomain(const cJSON *v, const char *path, struct pt_err *err)
{
    return pt_is_dns_subdomain(pt_str(v->valuestring)) ? PT_OK : pt_spec_bad(v, path, "is not the name of an object", err);
}

int pt_spec_check_metric(const cJSON *v, const char *path, struct pt_err *err)
{
    return pt_autoscaling_metric_parse(v->valuestring) >= 0 ? PT_OK : pt_spec_bad(v, path, "must be Concurrency, RPS, QueueDelay or Latency", err);
}

int pt_spec_check_digest(const cJSON *v, const char *path, struct pt_err *err)
{
    uint8_t digest[32];
    if (pt_parse_digest(pt_str(v->valuestring), path, digest, NULL) == PT_OK)
        return PT_OK;
    return pt_spec_bad(v, path, "must be \"sha256:\" and 64 lower-case hex digits", err);
}

/* "INPUT=2x3, INPUT=2": what the sidecar reads (sidecar/warmup.h). Which inputs there are only the model knows. */
int pt_spec_check_warmup(const cJSON *v, const char *path, struct pt_err *err)
{
    struct pt_str text = pt_str(v->valuestring), item;
    while (pt_str_split(&text, ',', &item)) {
        item = pt_str_trim(item);
        const char *equals = memrchr(item.p, '=', item.len), *end = item.p + item.len;
        bool good = equals && equals > item.p;
        for (const char *p = equals; good && ++p < end;)
            good = (*p >= '0' && *p <= '9') || (*p == 'x' && p > equals + 1 && p[-1] != 'x' && p + 1 < end);
        if (!good)
            return pt_spec_bad(v, path, "must be INPUT=LENGTHxLENGTH, as often as there are inputs, with commas in between", err);
    }
    return PT_OK;
}

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int pt_spec_check_served_name(const cJSON *v, const char *path, struct pt_err *err)
{
    const char *s = v->valuestring;
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!alphanumeric(s[i]) && (i == 0 || i == n - 1 || !strchr("._-", s[i])))
            return pt_spec_bad(v, path, "only letters, digits, and between them '.', '_' and '-'", err);
    return PT_OK;
}

int pt_spec_check_format(const cJSON *v, const char *path, struct pt_err *err)
{
    return !strcmp(v->valuestring, "onnx") ? PT_OK : pt_spec_bad(v, path, "must be onnx; other formats are not supported in v" PT_VERSION, err);
}

int pt_spec_check_image(const cJSON *v, const char *path, struct pt_err *err)
{
    for (const char *p = v->valuestring; *p; p++)
        if (!alphanumeric(*p) && (p == v->valuestring || !strchr("._:/@-", *p)))
            return pt_spec_bad(v, path, "is not an image reference", err);
    return PT_OK;
}

int pt_spec_check_strategy_type(const cJSON *v, const char *path, struct pt_err *err)
{
    if (!strcmp(v->valuestring, "RollingUpdate") || !strcmp(v->valuestring, "Recreate"))
        return PT_OK;
    return pt_spec_bad(v, path, "must be RollingUpdate or Recreate; Canary is not supported in v" PT_VERSION, err);
}

/* What the pattern in deploy/crd.yaml allows: "250m", "1.5", "128Mi", "1e3". */
static bool is_quantity(const cJSON *v)
{
    static const char *const suffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "n", "u", "m", "k", "K", "M", "G", "T", "P", "E"};
    if (!cJSON_IsString(v))
        return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 9e15 && v->valuedouble == (double)(int64_t)v->valuedouble;
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

/* Of one that is_quantity; close enough to tell which of two is greater. */
static double quantity(const cJSON *v)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50}, {"Ei", 0x1p60}, {"n", 1e-9}, {"u", 1e-6}, {"m", 1e-3},
                 {"k", 1e3},     {"M", 1e6},      {"G", 1e9},      {"T", 1e12},     {"P", 1e15},     {"E", 1e18}};
    if (cJSON_IsNumber(v))
        return v->valuedouble;
    char *end;
    double n = strtod(v->valuestring, &end); /* exponents too; "1E" ends before its letter */
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].suffix))
            return n * units[i].factor;
    return n;
}

static int check_limits(const cJSON *resources, const char *path, struct pt_err *err)
{
    const cJSON *q, *limits = cJSON_GetObjectItemCaseSensitive(resources, "limits");
    char at[256];
    cJSON_ArrayForEach(q, cJSON_GetObjectItemCaseSensitive(resources, "requests"))
    {
        const cJSON *limit = cJSON_GetObjectItemCaseSensitive(limits, q->string);
        snprintf(at, sizeof at, "%s.requests.%s", path, q->string);
        if (limit && quantity(q) > quantity(limit) * (1 + 1e-12))
            return pt_spec_bad(q, at, "is more than the limit of the same name", err);
    }
    return PT_OK;
}

int pt_spec_check_resources(const cJSON *v, const char *path, struct pt_err *err)
{
    const cJSON *part, *q;
    char at[256];
    cJSON_ArrayForEach(part, v)
    {
        snprintf(at, sizeof at, "%s.%s", path, part->string);
        if (strcmp(part->string, "requests") != 0 && strcmp(part->string, "limits") != 0)
            return pt_spec_bad(part, at, "unknown field; requests or limits", err);
        if (!cJSON_IsObject(part))
            return pt_spec_bad(part, at, "must be an object", err);
        cJSON_ArrayForEach(q, part)
        {
            snprintf(at, sizeof at, "%s.%s.%s", path, part->string, q->string);
            if (!is_quantity(q))
                return pt_spec_bad(q, at, "must be a quantity like \"500m\" or \"1Gi\"", err);
        }
    }
    return check_limits(v, path, err);
}

/* Letters, digits, and between them '-', '_' and '.', at most 63. */
static bool is_label_text(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!alphanumeric(s[i]) && (i == 0 || i == n - 1 || !strchr("._-", s[i])))
            return false;
    return n <= 63;
}

/* [PREFIX/]NAME, as labels and annotations have them. */
static bool is_key(const char *s)
{
    const char *slash = strchr(s, '/');
    const char *name = slash ? slash + 1 : s;
    return *name && is_label_text(name) && (!slash || pt_is_dns_subdomain((struct pt_str){s, (size_t)(slash - s)}));
}

struct map_rule {
    const char *const *ours; /* keys; besides those of our group */
    size_t count;
    bool may_be_ours, label; /* label: values are those of labels */
};

static int check_pairs(const cJSON *v, const struct map_rule *rule, const char *path, struct pt_err *err)
{
    const cJSON *e;
    char at[384];
    cJSON_ArrayForEach(e, v)
    {
        bool refused = !rule->may_be_ours && !strncmp(e->string, PT_GROUP "/", sizeof PT_GROUP);
        for (size_t i = 0; i < rule->count; i++)
            refused |= !strcmp(e->string, rule->ours[i]);
        snprintf(at, sizeof at, "%.150s[%.200s]", path, e->string);
        if (refused)
            return pt_spec_bad(e, at, "is the operator's own", err);
        if (!is_key(e->string))
            return pt_spec_bad(e, at, "the key must be [PREFIX/]NAME: a DNS name; letters, digits, '-', '_' and '.', at most 63", err);
        if (rule->label && !is_label_text(e->valuestring))
            return pt_spec_bad(e, at, "the value must be letters, digits, and between them '-', '_' and '.', at most 63", err);
        if (pt_spec_characters(e->valuestring) > 16384)
            return pt_spec_bad(e, at, "the value must have at most 16384 characters", err);
    }
    return PT_OK;
}

int pt_spec_check_labels(const cJSON *v, const char *path, struct pt_err *err)
{
    static const char *const ours[] = {PT_LABEL_MANAGED_BY, PT_LABEL_INSTANCE, PT_LABEL_REVISION};
    return check_pairs(v, &(struct map_rule){.ours = ours, .count = sizeof ours / sizeof *ours, .label = true}, path, err);
}

int pt_spec_check_annotations(const cJSON *v, const char *path, struct pt_err *err)
{
    return check_pairs(v, &(struct map_rule){.label = false}, path, err);
}

int pt_spec_check_node_selector(const cJSON *v, const char *path, struct pt_err *err)
{
    return check_pairs(v, &(struct map_rule){.may_be_ours = true, .label = true}, path, err);
}

int pt_spec_check_env(const cJSON *v, const char *path, struct pt_err *err)
{
    return strncmp(v->valuestring, "PINTLE_", 7) ? PT_OK
                                                 : pt_spec_bad(v, path, "environment variables that begin with PINTLE_ are the operator's own", err);
}

int pt_spec_check_envs(const cJSON *v, const char *path, struct pt_err *err)
{
    return pt_spec_check_once(v, "name", path, err);
}

int pt_spec_check_port_name(const cJSON *v, const char *path, struct pt_err *err)
{
    const char *name = v->valuestring; /* the Service goes by these names */
    bool ours = !strcmp(name, "http") || !strcmp(name, "grpc") || !strcmp(name, "metrics");
    return ours ? pt_spec_bad(v, path, "http, grpc and metrics are names of the sidecar's ports", err) : PT_OK;
}

int pt_spec_check_dns_policy(const cJSON *v, const char *path, struct pt_err *err)
{
    static const char *const known[] = {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(v->valuestring, known[i]))
            return PT_OK;
    return pt_spec_bad(v, path, "must be ClusterFirst, ClusterFirstWithHostNet, Default or None", err);
}

int pt_spec_check_pull_policy(const cJSON *v, const char *path, struct pt_err *err)
{
    bool known = !strcmp(v->valuestring, "Always") || !strcmp(v->valuestring, "IfNotPresent") || !strcmp(v->valuestring, "Never");
    return known ? PT_OK : pt_spec_bad(v, path, "must be Always, IfNotPresent or Never", err);
}

int pt_spec_check_mount(const cJSON *v, const char *path, struct pt_err *err)
{
    static const char *const ours[] = {"", PT_PATH_CONFIG_DIR, PT_PATH_TOKEN_DIR, PT_PATH_CACHE, PT_PATH_CREDENTIALS, PT_PATH_MODEL, PT_PATH_OUTPUT, PT_PATH_OUTPUT_CREDENTIALS};
    char plain[1025]; /* without slashes that say nothing; the operator's paths are shorter */
    size_t n = 0;
    for (const char *p = v->valuestring; *p && n < sizeof plain - 1; p++)
        if (*p != '/' || (p[1] && p[1] != '/'))
            plain[n++] = *p;
    plain[n] = 0;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(plain, ours[i]))
            return pt_spec_bad(v, path, "this path is the operator's own", err);
    if (strchr(v->valuestring, ':'))
        return pt_spec_bad(v, path, "must not contain ':'", err);
    return PT_OK;
}

int pt_spec_check_volume(const cJSON *v, const char *path, struct pt_err *err)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, v)
    {
        const char *name = pt_obj_str(e, "name");
        if (!name || !pt_is_dns_label(pt_str(name)))
            return pt_spec_bad(e, path, "a volume needs a name, a lower-case RFC 1123 label", err);
        if (!strncmp(name, "pintle-", 7))
            return pt_spec_bad(e, path, "names of volumes that begin with pintle- are the operator's own", err);
    }
    return pt_spec_check_once(v, "name", path, err);
}

int pt_spec_read_amount(const cJSON *v, const char *path, struct pt_amount *out, struct pt_err *err)
{
    int64_t n = -1;
    if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 1000 && v->valuedouble == (double)(int)v->valuedouble) {
        *out = (struct pt_amount){(int)v->valuedouble, false};
        return PT_OK;
    }
    struct pt_str s = pt_str(cJSON_GetStringValue(v));
    if (s.len > 1 && s.p[s.len - 1] == '%' && (s.p[0] != '0' || s.len == 2))
        (void)pt_parse_i64((struct pt_str){s.p, s.len - 1}, 0, 100, path, &n, NULL);
    if (n < 0)
        return pt_spec_bad(v, path, "must be a whole number up to 1000 or a percentage from \"0%\" to \"100%\"", err);
    *out = (struct pt_amount){(int)n, true};
    return PT_OK;
}
