/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c: one table row per member, and what no single member says. config_file.c and config_env.c fill them.
 */
#include "base/contract.h"
#include "base/mem.h"
#include "sidecar/config_member.h"
#include "sidecar/locator.h"
#include "sidecar/metrics_alias.h"

#include <stddef.h>
#include <stdio.h>

enum { HOUR_MS = 3600 * 1000, MAX_BATCH = 4096 };

#define TEXT(field) .kind = PT_MEMBER_STRING, .offset = offsetof(struct pt_config, field)
#define WHOLE(field, least, most, otherwise)                                                                                                         \
    .kind = PT_MEMBER_NUMBER, .offset = offsetof(struct pt_config, field), .min = least, .max = most, .number = otherwise
const struct pt_member pt_members[] = {
    {PT_CONFIG_MODEL, "name", TEXT(model.name), .max = 253},
    {PT_CONFIG_MODEL, "uri", TEXT(model.uri), .max = 4096},
    {PT_CONFIG_MODEL, "version", TEXT(model.version), .max = 63, .string = "1"},
    {PT_CONFIG_MODEL, "format", TEXT(model.format), .max = 32, .string = "onnx"},
    {PT_CONFIG_MODEL, "warmup", TEXT(model.warmup), .max = 4096},
    {PT_CONFIG_MODEL, "digest", .kind = PT_MEMBER_DIGEST, .offset = offsetof(struct pt_config, model.digest)},
    {PT_CONFIG_SERVING, "port", WHOLE(serving.port, 0, 65535, PT_PORT_HTTP)},
    {PT_CONFIG_SERVING, "grpcPort", WHOLE(serving.grpc_port, 0, 65535, -1)},
    {PT_CONFIG_SERVING, "metricsPort", WHOLE(serving.metrics_port, 0, 65535, PT_PORT_METRICS)},
    {PT_CONFIG_SERVING, "timeoutMs", WHOLE(serving.timeout_ms, 1, 24 * HOUR_MS, 60000)},
    {PT_CONFIG_SERVING, "maxConnections", WHOLE(serving.max_connections, 1, 1000000, 16384)},
    {PT_CONFIG_SERVING, "maxConnectionAgeMs", WHOLE(serving.max_age_ms, 0, 24 * HOUR_MS, 300000)},
    {PT_CONFIG_SERVING, "tls", .kind = PT_MEMBER_GROUP},
    {PT_CONFIG_SERVING_TLS, "certFile", TEXT(serving.tls.cert_file), .max = 4096},
    {PT_CONFIG_SERVING_TLS, "keyFile", TEXT(serving.tls.key_file), .max = 4096},
    {PT_CONFIG_SERVING_TLS, "clientCaFile", TEXT(serving.tls.client_ca_file), .max = 4096},
    {PT_CONFIG_SERVING_TLS, "openHealth", WHOLE(serving.tls.open_health, 0, 1, 0)},
    {PT_CONFIG_SERVING_TLS, "pollMs", WHOLE(serving.tls.poll_ms, 10, HOUR_MS, 10000)},
    {PT_CONFIG_SERVING, "auth", .kind = PT_MEMBER_GROUP},
    {PT_CONFIG_SERVING_AUTH, "tokenFile", TEXT(serving.auth.token_file), .max = 4096},
    {PT_CONFIG_SERVING_AUTH, "metrics", WHOLE(serving.auth.metrics, 0, 1, 0)},
    {PT_CONFIG_SERVING_AUTH, "pollMs", WHOLE(serving.auth.poll_ms, 10, HOUR_MS, 10000)},
    {PT_CONFIG_RUNTIME, "threads", WHOLE(runtime.threads, 0, 1024, 0)},
    {PT_CONFIG_RUNTIME, "concurrency", WHOLE(runtime.concurrency, 0, 4096, 0)},
    {PT_CONFIG_RUNTIME, "queue", WHOLE(runtime.queue, 0, 100000, 256)},
    {PT_CONFIG_RUNTIME, "maxWaitMs", WHOLE(runtime.max_wait_ms, 0, HOUR_MS, 1000)},
    {PT_CONFIG_RUNTIME, "priorityLevels", WHOLE(runtime.priority_levels, 0, 1000, 0)},
    {PT_CONFIG_RUNTIME, "idleMs", WHOLE(runtime.idle_ms, 0, 24 * HOUR_MS, 60000)},
    {PT_CONFIG_BATCHING, "maxSize", WHOLE(batching.max_size, 1, MAX_BATCH, 1)},
    {PT_CONFIG_BATCHING, "maxDelayUs", WHOLE(batching.max_delay_us, 0, 10000000, 0)},
    {PT_CONFIG_BATCHING, "preferredSizes", .kind = PT_MEMBER_SIZES, .offset = offsetof(struct pt_config, batching.preferred)},
    {PT_CONFIG_BATCHING, "sizes", .kind = PT_MEMBER_SIZES, .offset = offsetof(struct pt_config, batching.sizes)},
    {PT_CONFIG_BATCHING, "padding", TEXT(batching.padding), .max = 4096},
    {PT_CONFIG_REPOSITORY, "path", TEXT(repository.path), .max = 4096},
    {PT_CONFIG_REPOSITORY, "control", TEXT(repository.control), .max = 16, .string = "poll"},
    {PT_CONFIG_REPOSITORY, "load", TEXT(repository.load), .max = 65536},
    {PT_CONFIG_REPOSITORY, "versions", TEXT(repository.versions), .max = 1024},
    {PT_CONFIG_REPOSITORY, "pollMs", WHOLE(repository.poll_ms, 10, 24 * HOUR_MS, 2000)},
    {PT_CONFIG_REPOSITORY, "memoryBytes", WHOLE(repository.memory_bytes, 0, INT64_MAX, 0)},
    {PT_CONFIG_CACHE, "path", TEXT(cache.path), .max = 4096},
    {PT_CONFIG_CACHE, "maxBytes", WHOLE(cache.max_bytes, 0, INT64_MAX, 0)},
    {PT_CONFIG_CACHE, "waitMs", WHOLE(cache.wait_ms, 0, 24 * HOUR_MS, 600000)},
    {PT_CONFIG_CACHE, "preparedBytes", WHOLE(cache.prepared_bytes, 0, INT64_MAX, (int64_t)2 << 30)},
    {PT_CONFIG_DRAIN, "timeoutMs", WHOLE(drain.timeout_ms, 0, HOUR_MS, 30000)},
    {PT_CONFIG_METRICS, "aliases", TEXT(metrics.aliases), .max = 64},
    {PT_CONFIG_MONITORING, "enabled", WHOLE(monitoring.enabled, 0, 1, 0)},
    {PT_CONFIG_MONITORING, "task", TEXT(monitoring.task), .max = 32, .string = "auto"},
    {PT_CONFIG_MONITORING, "output", TEXT(monitoring.output), .max = 256},
    {PT_CONFIG_MONITORING, "classes", TEXT(monitoring.classes), .max = 4096},
    {PT_CONFIG_MONITORING, "positive", WHOLE(monitoring.positive, 0, 63, 1)},
    {PT_CONFIG_MONITORING, "group", TEXT(monitoring.group), .max = 256},
    {PT_CONFIG_MONITORING, "minCount", WHOLE(monitoring.min_count, 1, 1000000, 30)},
    {PT_CONFIG_MONITORING, "lowConfidence", WHOLE(monitoring.low_confidence, 0, 100, 50)},
    {PT_CONFIG_MONITORING, "windowMs", WHOLE(monitoring.window_ms, 120, 30 * 24 * (int64_t)HOUR_MS, HOUR_MS)},
    {PT_CONFIG_MONITORING, "labelTtlMs", WHOLE(monitoring.label_ttl_ms, 1, 30 * 24 * (int64_t)HOUR_MS, 24 * HOUR_MS)},
    {PT_CONFIG_MONITORING, "profile", TEXT(monitoring.profile), .max = 4096},
    {PT_CONFIG_ACCESS_LOG, "enabled", WHOLE(access_log.enabled, 0, 1, 0)},
    {PT_CONFIG_ACCESS_LOG, "sample", WHOLE(access_log.sample, 1, 1000000, 1)},
    {PT_CONFIG_ACCESS_LOG, "path", TEXT(access_log.path), .max = 4096},
    {PT_CONFIG_REPORT, "url", TEXT(report.url), .max = 4096},
    {PT_CONFIG_REPORT, "ca", TEXT(report.ca), .max = PT_CONFIG_MAX_FILE},
    {PT_CONFIG_REPORT, "tokenFile", TEXT(report.token_file), .max = 4096, .string = PT_PATH_TOKEN},
    {PT_CONFIG_REPORT, "intervalMs", WHOLE(report.interval_ms, 10, HOUR_MS, PT_REPORT_INTERVAL_MS)},
};
const size_t pt_member_count = sizeof pt_members / sizeof pt_members[0];
_Static_assert(sizeof pt_members / sizeof pt_members[0] <= PT_MEMBERS_MOST, "a note of each member fits into arrays of so many");

static void *field(const struct pt_config *c, const struct pt_member *m)
{
    return (char *)(uintptr_t)c + m->offset;
}

const struct pt_member *pt_member_find(const char *section, struct pt_str key)
{
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++)
        if (strcmp(m->section, section) == 0 && pt_str_eq(key, pt_str(m->key)))
            return m;
    return NULL;
}

/* "4, 8, 16": ascending. */
static int set_sizes(int64_t sizes[PT_MAX_SIZES], struct pt_str s)
{
    int64_t all[PT_MAX_SIZES] = {0}, last = 0;
    struct pt_str part;
    for (size_t n = 0; pt_str_split(&s, ',', &part); n++) {
        if (n == PT_MAX_SIZES || pt_parse_i64(pt_str_trim(part), last + 1, MAX_BATCH, "size", &all[n], NULL) < 0)
            return PT_EINVAL;
        last = all[n];
    }
    memcpy(sizes, all, sizeof all);
    return last ? PT_OK : PT_EINVAL;
}

int pt_member_set(struct pt_config *c, const struct pt_member *m, struct pt_str s, char want[96])
{
    if (m->kind == PT_MEMBER_NUMBER) {
        snprintf(want, 96, "a whole number from %lld to %lld", (long long)m->min, (long long)m->max);
        return pt_parse_i64(s, m->min, m->max, m->key, field(c, m), NULL) < 0 ? PT_EINVAL : PT_OK;
    }
    if (m->kind == PT_MEMBER_DIGEST) {
        snprintf(want, 96, "sha256: and 64 lower-case hexadecimal digits");
        c->model.has_digest = pt_parse_digest(s, m->key, field(c, m), NULL) == PT_OK;
        return c->model.has_digest ? PT_OK : PT_EINVAL;
    }
    if (m->kind == PT_MEMBER_SIZES) {
        snprintf(want, 96, "up to %d ascending whole numbers from 1 to %d: \"4, 8\"", PT_MAX_SIZES, MAX_BATCH);
        return set_sizes(field(c, m), s);
    }
    snprintf(want, 96, "1 to %lld characters", (long long)m->max);
    if (s.len == 0 || s.len > (size_t)m->max || memchr(s.p, 0, s.len))
        return PT_EINVAL;
    char *copy = pt_strndup(s.p, s.len), **place = field(c, m);
    if (!copy)
        return PT_ENOMEM;
    pt_free(*place);
    *place = copy;
    return PT_OK;
}

int pt_config_set(struct pt_config *c, const char *section, const char *key, const char *value, struct pt_err *err)
{
    char want[96];
    const struct pt_member *m = pt_member_find(section, pt_str(key));
    int rc = m ? pt_member_set(c, m, pt_str(value), want) : PT_ENOTFOUND;
    if (rc == PT_EINVAL)
        return pt_fail(err, rc, "want %s, got \"%.80s\"", want, value);
    return rc < 0 ? pt_fail(err, rc, "%s.%s: %s", section, key, pt_err_text(rc)) : PT_OK;
}

/* --- the whole --------------------------------------------------------------------------------------------------------------- */

static int check_uri(const char *uri, struct pt_err *err)
{
    if (pt_str_starts(pt_str(uri), PT_STR("file:///")))
        return PT_OK;
    int rc = pt_locator_check(uri, err);
    return rc < 0 ? pt_wrap(err, "model.uri") : PT_OK;
}

/* What no single member says. */
static int check(const struct pt_config *c, struct pt_err *err)
{
    bool folder = c->repository.path != NULL;
    if (!folder && (!c->model.name || !c->model.uri))
        return pt_fail(err, PT_EINVAL, "model.%s is missing", c->model.name ? "uri" : "name");
    if (folder && (c->model.uri || c->model.has_digest))
        return pt_fail(err, PT_EINVAL, "model.%s and repository.path exclude each other", c->model.uri ? "uri" : "digest");
    if (folder && c->report.url)
        return pt_fail(err, PT_EINVAL, "report.url: a folder of models is not reported");
    if (strcmp(c->repository.control, "none") != 0 && strcmp(c->repository.control, "poll") != 0 && strcmp(c->repository.control, "explicit") != 0)
        return pt_fail(err, PT_EINVAL, "repository.control: want none, poll or explicit, got \"%s\"", c->repository.control);
    if (c->repository.load && strcmp(c->repository.control, "explicit") != 0)
        return pt_fail(err, PT_EINVAL, "repository.load is for repository.control: explicit");
    if (c->batching.padding && (folder || c->batching.max_size < 2))
        return pt_fail(err, PT_EINVAL,
                       folder ? "batching.padding: of a folder, each model says it in its config.pbtxt" : "batching.padding needs batching.maxSize");
    if (c->model.warmup && folder)
        return pt_fail(err, PT_EINVAL, "model.warmup: of a folder, each model says it in its config.pbtxt");
    const char *task = c->monitoring.task;
    if (strcmp(task, "auto") != 0 && strcmp(task, "classification") != 0 && strcmp(task, "regression") != 0)
        return pt_fail(err, PT_EINVAL, "monitoring.task: want auto, classification or regression, got \"%s\"", task);
    if (folder && c->monitoring.profile)
        return pt_fail(err, PT_EINVAL, "monitoring.profile: of a folder of models, each has its profile.json beside its file");
    unsigned aliases;
    if (pt_metrics_alias_parse(c->metrics.aliases, &aliases, err) < 0)
        return PT_EINVAL;
    if (strcmp(c->model.format, "onnx") != 0)
        return pt_fail(err, PT_EINVAL, "model.format: \"%s\" is not supported (onnx is)", c->model.format);
    if ((c->model.name && strchr(c->model.name, '/')) || strchr(c->model.version, '/'))
        return pt_fail(err, PT_EINVAL, "model.name and model.version may not contain \"/\": \"%s\", \"%s\"", c->model.name, c->model.version);
    if ((c->model.name && !pt_utf8_valid(pt_str(c->model.name))) || !pt_utf8_valid(pt_str(c->model.version)))
        return pt_fail(err, PT_EINVAL, "model.name and model.version must be UTF-8");
    if (c->serving.port && c->serving.port == c->serving.metrics_port)
        return pt_fail(err, PT_EINVAL, "serving.port and serving.metricsPort are both %lld", (long long)c->serving.port);
    if (c->serving.grpc_port > 0 && (c->serving.grpc_port == c->serving.port || c->serving.grpc_port == c->serving.metrics_port))
        return pt_fail(err, PT_EINVAL, "serving.grpcPort: %lld is another port's; serving.port takes gRPC as well", (long long)c->serving.grpc_port);
    if (!c->serving.tls.cert_file != !c->serving.tls.key_file || (c->serving.tls.client_ca_file && !c->serving.tls.cert_file))
        return pt_fail(err, PT_EINVAL, "serving.tls.%s is missing", c->serving.tls.cert_file ? "keyFile" : "certFile");
    if (c->serving.auth.metrics && !c->serving.auth.token_file)
        return pt_fail(err, PT_EINVAL, "serving.auth.tokenFile is missing");
    if (c->report.wanted && !c->report.url)
        return pt_fail(err, PT_EINVAL, "report.url is missing");
    struct pt_str url = pt_str(c->report.url);
    if (url.p && !pt_str_starts(url, PT_STR("https://")) && !pt_str_starts(url, PT_STR("http://")))
        return pt_fail(err, PT_EINVAL, "report.url: want https://..., got \"%s\"", c->report.url);
    return folder ? PT_OK : check_uri(c->model.uri, err);
}

int pt_config_check(const struct pt_config *c, const char *what, struct pt_err *err)
{
    return check(c, err) < 0 ? pt_wrap(err, "%s", what) : PT_OK;
}

int pt_config_init(struct pt_config *c, struct pt_err *err)
{
    *c = (struct pt_config){0};
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++) {
        if (m->kind == PT_MEMBER_NUMBER)
            *(int64_t *)field(c, m) = m->number;
        else if (m->string && !(*(char **)field(c, m) = pt_strdup(m->string))) {
            pt_config_finish(c);
            return pt_fail(err, PT_ENOMEM, "configuration: out of memory");
        }
    }
    return PT_OK;
}

int pt_config_load(struct pt_config *c, const char *path, char *const *env, struct pt_err *err)
{
    int rc = pt_config_init(c, err);
    if (rc == PT_OK)
        rc = pt_config_read(c, path, err);
    if (rc == PT_OK)
        rc = pt_config_env(c, env, err);
    if (rc == PT_OK)
        rc = pt_config_check(c, path, err);
    if (rc < 0)
        pt_config_finish(c);
    return rc;
}

int pt_config_copy(struct pt_config *c, const struct pt_config *from, struct pt_err *err)
{
    bool complete = true;
    *c = *from;
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++) {
        char **place = field(c, m), *text = m->kind == PT_MEMBER_STRING ? *place : NULL;
        if (!text)
            continue;
        *place = complete ? pt_strdup(text) : NULL;
        complete = complete && *place;
    }
    if (complete)
        return PT_OK;
    pt_config_finish(c);
    return pt_fail(err, PT_ENOMEM, "configuration: out of memory");
}

void pt_config_finish(struct pt_config *c)
{
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++)
        if (m->kind == PT_MEMBER_STRING)
            pt_free(*(char **)field(c, m));
    *c = (struct pt_config){0};
}
