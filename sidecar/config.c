/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c: one table row per member; libyaml's document tree (JSON is a subset of YAML) is walked against it. The tree is as deep
 * as the table by construction, so aliases cannot multiply or recurse.
 */
#include "sidecar/config.h"

#include "base/buf.h"
#include "base/contract.h"
#include "base/mem.h"
#include "sidecar/locator.h"
#include "sidecar/metrics_alias.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum { MAX_FILE = 256 << 10, HOUR_MS = 3600 * 1000, MAX_BATCH = 4096 };

enum kind { STRING, DIGEST, NUMBER, SIZES, GROUP /* an object: the section "SECTION.KEY" */ };

/* A member: where it stands in the file and in the struct, and what it may be. */
struct member {
    const char *section, *key;
    enum kind kind;
    size_t offset;
    int64_t min, max; /* of a number; max: most characters of a string */
    int64_t number;   /* defaults */
    const char *string;
};
#define TEXT(field) .kind = STRING, .offset = offsetof(struct pt_config, field)
#define WHOLE(field, least, most, otherwise)                                                                                                         \
    .kind = NUMBER, .offset = offsetof(struct pt_config, field), .min = least, .max = most, .number = otherwise
static const struct member members[] = {
    {PT_CONFIG_MODEL, "name", TEXT(model.name), .max = 253},
    {PT_CONFIG_MODEL, "uri", TEXT(model.uri), .max = 4096},
    {PT_CONFIG_MODEL, "version", TEXT(model.version), .max = 63, .string = "1"},
    {PT_CONFIG_MODEL, "format", TEXT(model.format), .max = 32, .string = "onnx"},
    {PT_CONFIG_MODEL, "digest", .kind = DIGEST, .offset = offsetof(struct pt_config, model.digest)},
    {PT_CONFIG_SERVING, "port", WHOLE(serving.port, 0, 65535, PT_PORT_HTTP)},
    {PT_CONFIG_SERVING, "grpcPort", WHOLE(serving.grpc_port, 0, 65535, -1)},
    {PT_CONFIG_SERVING, "metricsPort", WHOLE(serving.metrics_port, 0, 65535, PT_PORT_METRICS)},
    {PT_CONFIG_SERVING, "timeoutMs", WHOLE(serving.timeout_ms, 1, 24 * HOUR_MS, 60000)},
    {PT_CONFIG_SERVING, "maxConnectionAgeMs", WHOLE(serving.max_age_ms, 0, 24 * HOUR_MS, 300000)},
    {PT_CONFIG_SERVING, "tls", .kind = GROUP},
    {PT_CONFIG_SERVING_TLS, "certFile", TEXT(serving.tls.cert_file), .max = 4096},
    {PT_CONFIG_SERVING_TLS, "keyFile", TEXT(serving.tls.key_file), .max = 4096},
    {PT_CONFIG_SERVING_TLS, "clientCaFile", TEXT(serving.tls.client_ca_file), .max = 4096},
    {PT_CONFIG_SERVING_TLS, "pollMs", WHOLE(serving.tls.poll_ms, 10, HOUR_MS, 10000)},
    {PT_CONFIG_SERVING, "auth", .kind = GROUP},
    {PT_CONFIG_SERVING_AUTH, "tokenFile", TEXT(serving.auth.token_file), .max = 4096},
    {PT_CONFIG_SERVING_AUTH, "metrics", WHOLE(serving.auth.metrics, 0, 1, 0)},
    {PT_CONFIG_SERVING_AUTH, "pollMs", WHOLE(serving.auth.poll_ms, 10, HOUR_MS, 10000)},
    {PT_CONFIG_RUNTIME, "threads", WHOLE(runtime.threads, 0, 1024, 0)},
    {PT_CONFIG_RUNTIME, "concurrency", WHOLE(runtime.concurrency, 1, 4096, 8)},
    {PT_CONFIG_RUNTIME, "queue", WHOLE(runtime.queue, 0, 100000, 256)},
    {PT_CONFIG_RUNTIME, "maxWaitMs", WHOLE(runtime.max_wait_ms, 0, HOUR_MS, 1000)},
    {PT_CONFIG_RUNTIME, "priorityLevels", WHOLE(runtime.priority_levels, 0, 1000, 0)},
    {PT_CONFIG_BATCHING, "maxSize", WHOLE(batching.max_size, 1, MAX_BATCH, 1)},
    {PT_CONFIG_BATCHING, "maxDelayUs", WHOLE(batching.max_delay_us, 0, 10000000, 0)},
    {PT_CONFIG_BATCHING, "preferredSizes", .kind = SIZES, .offset = offsetof(struct pt_config, batching.preferred)},
    {PT_CONFIG_BATCHING, "sizes", .kind = SIZES, .offset = offsetof(struct pt_config, batching.sizes)},
    {PT_CONFIG_REPOSITORY, "path", TEXT(repository.path), .max = 4096},
    {PT_CONFIG_REPOSITORY, "control", TEXT(repository.control), .max = 16, .string = "poll"},
    {PT_CONFIG_REPOSITORY, "load", TEXT(repository.load), .max = 65536},
    {PT_CONFIG_REPOSITORY, "versions", TEXT(repository.versions), .max = 1024},
    {PT_CONFIG_REPOSITORY, "pollMs", WHOLE(repository.poll_ms, 10, 24 * HOUR_MS, 2000)},
    {PT_CONFIG_REPOSITORY, "memoryBytes", WHOLE(repository.memory_bytes, 0, INT64_MAX, 0)},
    {PT_CONFIG_DRAIN, "timeoutMs", WHOLE(drain.timeout_ms, 0, HOUR_MS, 30000)},
    {PT_CONFIG_METRICS, "aliases", TEXT(metrics.aliases), .max = 64},
    {PT_CONFIG_REPORT, "url", TEXT(report.url), .max = 4096},
    {PT_CONFIG_REPORT, "ca", TEXT(report.ca), .max = MAX_FILE},
    {PT_CONFIG_REPORT, "tokenFile", TEXT(report.token_file), .max = 4096, .string = PT_PATH_TOKEN},
    {PT_CONFIG_REPORT, "intervalMs", WHOLE(report.interval_ms, 10, HOUR_MS, PT_REPORT_INTERVAL_MS)},
};
enum { MEMBERS = sizeof members / sizeof members[0] };

static void *field(const struct pt_config *c, const struct member *m)
{
    return (char *)(uintptr_t)c + m->offset;
}

static const struct member *find(const char *section, struct pt_str key)
{
    for (const struct member *m = members; m < members + MEMBERS; m++)
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

/* Sets a member from its text. PT_EINVAL: `want` says what it may be. */
static int set_value(struct pt_config *c, const struct member *m, struct pt_str s, char want[96])
{
    if (m->kind == NUMBER) {
        snprintf(want, 96, "a whole number from %lld to %lld", (long long)m->min, (long long)m->max);
        return pt_parse_i64(s, m->min, m->max, m->key, field(c, m), NULL) < 0 ? PT_EINVAL : PT_OK;
    }
    if (m->kind == DIGEST) {
        snprintf(want, 96, "sha256: and 64 lower-case hexadecimal digits");
        c->model.has_digest = pt_parse_digest(s, m->key, field(c, m), NULL) == PT_OK;
        return c->model.has_digest ? PT_OK : PT_EINVAL;
    }
    if (m->kind == SIZES) {
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
    const struct member *m = find(section, pt_str(key));
    int rc = m ? set_value(c, m, pt_str(value), want) : PT_ENOTFOUND;
    if (rc == PT_EINVAL)
        return pt_fail(err, rc, "want %s, got \"%.80s\"", want, value);
    return rc < 0 ? pt_fail(err, rc, "%s.%s: %s", section, key, pt_err_text(rc)) : PT_OK;
}

/* --- the file --------------------------------------------------------------------------------------------------------------- */

struct reader {
    const char *file;
    yaml_document_t doc;
    struct pt_config *config;
    bool seen[MEMBERS];
    struct pt_err *err;
};

static struct pt_str text_of(const yaml_node_t *n)
{
    return (struct pt_str){(const char *)n->data.scalar.value, n->data.scalar.length};
}

static bool is_plain(const yaml_node_t *n)
{
    return n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static const char *type_of(const yaml_node_t *n)
{
    return n->type == YAML_MAPPING_NODE ? "an object" : n->type == YAML_SEQUENCE_NODE ? "a list" : "a scalar";
}

/* A name as a message shows it: what is no scalar is named by its type. */
static struct pt_str key_of(const yaml_node_t *n)
{
    struct pt_str s = n->type == YAML_SCALAR_NODE ? text_of(n) : pt_str(type_of(n));
    return (struct pt_str){s.p, s.len < 80 ? s.len : 80};
}

/* A plain scalar that YAML reads as a number, a boolean or null is no string. */
static bool is_string(const yaml_node_t *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"};
    if (n->type != YAML_SCALAR_NODE || !is_plain(n))
        return n->type == YAML_SCALAR_NODE;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (pt_str_eq(text_of(n), pt_str(words[i])))
            return false;
    char *end;
    (void)strtod((const char *)n->data.scalar.value, &end);
    return *end != 0;
}

/* "f.yaml: line 3: serving.port: want ..., got ..." */
static int refuse(struct reader *r, const struct member *m, const yaml_node_t *value, const char *want)
{
    struct pt_str got = key_of(value);
    const char *quote = value->type == YAML_SCALAR_NODE && !is_plain(value) ? "\"" : "";
    return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s.%s: want %s, got %s" PT_STR_FMT "%s", r->file, value->start_mark.line + 1, m->section, m->key,
                   want, quote, PT_STR_ARG(got), quote);
}

static int read_member(struct reader *r, const struct member *m, const yaml_node_t *value)
{
    char want[96];
    bool scalar = value->type == YAML_SCALAR_NODE;
    if (m->kind != NUMBER && !is_string(value))
        return refuse(r, m, value, scalar ? "a string (quote it)" : "a string");
    int rc = set_value(r->config, m, scalar && (m->kind != NUMBER || is_plain(value)) ? text_of(value) : PT_STR(""), want);
    if (rc == PT_ENOMEM)
        return pt_fail(r->err, rc, "%s: out of memory", r->file);
    return rc < 0 ? refuse(r, m, value, want) : PT_OK;
}

/* Edits (letters put in, left out or changed, case aside) between two names; SIZE_MAX for long ones. */
static size_t distance(struct pt_str a, struct pt_str b)
{
    enum { MOST = 32 };
    size_t row[MOST + 1];
    if (a.len > MOST || b.len > MOST)
        return SIZE_MAX;
    for (size_t k = 0; k <= b.len; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b.len; k++) {
            size_t change = corner + (tolower((unsigned char)a.p[i - 1]) != tolower((unsigned char)b.p[k - 1]));
            corner = row[k];
            size_t least = row[k] < row[k - 1] ? row[k] + 1 : row[k - 1] + 1;
            row[k] = change < least ? change : least;
        }
    }
    return row[b.len];
}

/* The member that was probably meant: no more than a third of it is wrong. NULL: none is near. */
static const char *nearest(struct pt_str name, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(name, pt_str(names[i]));
        if (d < least && 3 * d <= strlen(names[i]) + 2)
            least = d, best = names[i];
    }
    return best;
}

/* `where` and a dot, or nothing, come before the name. */
static int unknown(struct reader *r, const yaml_node_t *key, const char *where, const char *near)
{
    struct pt_str name = key_of(key);
    return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s%s" PT_STR_FMT ": unknown member%s%s%s", r->file, key->start_mark.line + 1, where,
                   *where ? "." : "", PT_STR_ARG(name), near ? "; is \"" : "", near ? near : "", near ? "\" meant?" : "");
}

static const char *nearest_member(const char *section, struct pt_str name)
{
    const char *names[MEMBERS];
    size_t count = 0;
    for (const struct member *m = members; m < members + MEMBERS; m++)
        if (strcmp(m->section, section) == 0)
            names[count++] = m->key;
    return nearest(name, names, count);
}

static int read_section(struct reader *r, const char *section, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE)
        return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s: want an object, got %s", r->file, node->start_mark.line + 1, section, type_of(node));
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key), *value = yaml_document_get_node(&r->doc, p->value);
        struct pt_str name = key_of(key);
        const struct member *m = find(section, name);
        if (!m)
            return unknown(r, key, section, nearest_member(section, name));
        if (r->seen[m - members])
            return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s." PT_STR_FMT ": %s", r->file, key->start_mark.line + 1, section, PT_STR_ARG(name),
                           "given twice");
        r->seen[m - members] = true;
        char group[64];
        snprintf(group, sizeof group, "%s.%s", section, m->key);
        int rc = m->kind == GROUP ? read_section(r, group, value) : read_member(r, m, value);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int read_document(struct reader *r)
{
    static const char *const sections[] = {PT_CONFIG_MODEL, PT_CONFIG_SERVING, PT_CONFIG_RUNTIME, PT_CONFIG_BATCHING,
                                           PT_CONFIG_DRAIN, PT_CONFIG_METRICS, PT_CONFIG_REPORT};
    enum { SECTIONS = sizeof sections / sizeof sections[0] };
    bool seen[SECTIONS] = {false};
    const yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    if (!root || root->type != YAML_MAPPING_NODE)
        return pt_fail(r->err, PT_EINVAL, "%s: want an object with %s, %s, ..., got %s", r->file, sections[0], sections[1],
                       root ? type_of(root) : "nothing");
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
        struct pt_str name = key_of(key);
        size_t i = 0;
        while (i < SECTIONS && !pt_str_eq(name, pt_str(sections[i])))
            i++;
        if (i == SECTIONS)
            return unknown(r, key, "", nearest(name, sections, SECTIONS));
        if (seen[i])
            return pt_fail(r->err, PT_EINVAL, "%s: line %zu: " PT_STR_FMT ": %s", r->file, key->start_mark.line + 1, PT_STR_ARG(name), "given twice");
        seen[i] = true;
        int rc = read_section(r, sections[i], yaml_document_get_node(&r->doc, p->value));
        if (rc < 0)
            return rc;
    }
    if (seen[SECTIONS - 1] && !r->config->report.url)
        return pt_fail(r->err, PT_EINVAL, "%s: %s.url is missing", r->file, PT_CONFIG_REPORT);
    return PT_OK;
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
    for (const struct member *m = members; m < members + MEMBERS; m++) {
        if (m->kind == NUMBER)
            *(int64_t *)field(c, m) = m->number;
        else if (m->string && !(*(char **)field(c, m) = pt_strdup(m->string))) {
            pt_config_finish(c);
            return pt_fail(err, PT_ENOMEM, "configuration: out of memory");
        }
    }
    return PT_OK;
}

int pt_config_copy(struct pt_config *c, const struct pt_config *from, struct pt_err *err)
{
    bool complete = true;
    *c = *from;
    for (const struct member *m = members; m < members + MEMBERS; m++) {
        char **place = field(c, m), *text = m->kind == STRING ? *place : NULL;
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
    for (const struct member *m = members; m < members + MEMBERS; m++)
        if (m->kind == STRING)
            pt_free(*(char **)field(c, m));
    *c = (struct pt_config){0};
}

static int syntax_error(struct reader *r, const yaml_parser_t *p)
{
    return pt_fail(r->err, p->error == YAML_MEMORY_ERROR ? PT_ENOMEM : PT_EPARSE, "%s: line %zu: %s", r->file, p->problem_mark.line + 1,
                   p->problem ? p->problem : "cannot be read");
}

static int parse_yaml(struct reader *r, yaml_parser_t *p)
{
    if (!yaml_parser_load(p, &r->doc))
        return syntax_error(r, p);
    int rc = read_document(r);
    yaml_document_delete(&r->doc);
    if (rc < 0)
        return rc;
    if (!yaml_parser_load(p, &r->doc)) /* what follows would be ignored, so it is refused */
        return syntax_error(r, p);
    if (yaml_document_get_root_node(&r->doc))
        rc = pt_fail(r->err, PT_EPARSE, "%s: more than one YAML document", r->file);
    yaml_document_delete(&r->doc);
    return rc < 0 ? rc : pt_config_check(r->config, r->file, r->err);
}

int pt_config_parse(struct pt_config *c, const char *file, struct pt_str text, struct pt_err *err)
{
    struct pt_err local;
    struct reader r = {.file = file, .config = c, .err = err ? err : &local};
    yaml_parser_t parser;
    int rc = pt_config_init(c, r.err);
    if (rc < 0)
        return rc;
    if (!yaml_parser_initialize(&parser)) {
        pt_config_finish(c);
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", file);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
    rc = parse_yaml(&r, &parser);
    yaml_parser_delete(&parser);
    if (rc < 0)
        pt_config_finish(c);
    return rc;
}

int pt_config_load(struct pt_config *c, const char *path, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(MAX_FILE);
    if (pt_buf_read_file(&text, path, err) < 0)
        return pt_wrap(err, "configuration");
    return pt_config_parse(c, path, (struct pt_str){text.data ? text.data : "", text.len}, err);
}
