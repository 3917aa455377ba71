/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c: one table row per member; libyaml's document tree (JSON is a subset of YAML) is walked against it. The tree is two levels
 * deep by construction, so aliases cannot multiply or recurse.
 */
#include "sidecar/config.h"

#include "base/buf.h"
#include "base/contract.h"
#include "base/mem.h"

#include <stddef.h>
#include <yaml.h>

enum { MAX_FILE = 256 << 10, HOUR_MS = 3600 * 1000 };

enum kind { TEXT, DIGEST, INTEGER };

/* A member: where it stands in the file and in the struct, and what it may be. Zero is the default of what has none. */
struct member {
    const char *section, *key;
    enum kind kind;
    size_t offset;
    int64_t min, max, fallback;
    const char *text; /* default of a TEXT */
    bool required;
};
#define STRING(field) .kind = TEXT, .offset = offsetof(struct pt_config, field)
#define WHOLE(field, least, most, otherwise) .kind = INTEGER, .offset = offsetof(struct pt_config, field), .min = least, .max = most, .fallback = otherwise
static const struct member members[] = {
    {PT_CONFIG_MODEL, "name", STRING(model.name), .max = 253, .required = true},
    {PT_CONFIG_MODEL, "uri", STRING(model.uri), .max = 4096, .required = true},
    {PT_CONFIG_MODEL, "version", STRING(model.version), .max = 64, .text = "1"},
    {PT_CONFIG_MODEL, "format", STRING(model.format), .max = 32, .text = "onnx"},
    {PT_CONFIG_MODEL, "digest", .kind = DIGEST, .offset = offsetof(struct pt_config, model.digest)},
    {PT_CONFIG_SERVING, "port", WHOLE(serving.port, 0, 65535, PT_PORT_HTTP)},
    {PT_CONFIG_SERVING, "metricsPort", WHOLE(serving.metrics_port, 0, 65535, PT_PORT_METRICS)},
    {PT_CONFIG_SERVING, "timeoutMs", WHOLE(serving.timeout_ms, 1, 24 * HOUR_MS, 60000)},
    {PT_CONFIG_RUNTIME, "threads", WHOLE(runtime.threads, 0, 1024, 0)},
    {PT_CONFIG_RUNTIME, "concurrency", WHOLE(runtime.concurrency, 1, 4096, 8)},
    {PT_CONFIG_RUNTIME, "queue", WHOLE(runtime.queue, 0, 100000, 256)},
    {PT_CONFIG_DRAIN, "timeoutMs", WHOLE(drain.timeout_ms, 0, HOUR_MS, 30000)},
    {PT_CONFIG_REPORT, "url", STRING(report.url), .max = 4096},
    {PT_CONFIG_REPORT, "ca", STRING(report.ca), .max = MAX_FILE},
    {PT_CONFIG_REPORT, "tokenFile", STRING(report.token_file), .max = 4096, .text = PT_PATH_TOKEN},
    {PT_CONFIG_REPORT, "intervalMs", WHOLE(report.interval_ms, 10, HOUR_MS, PT_REPORT_INTERVAL_MS)},
};
enum { MEMBERS = sizeof members / sizeof members[0] };

struct reader {
    const char *file;
    yaml_document_t doc;
    struct pt_config *config;
    bool seen[MEMBERS];
    struct pt_err *err;
};

static void *field(struct pt_config *c, const struct member *m)
{
    return (char *)c + m->offset;
}

static struct pt_str text_of(const yaml_node_t *n)
{
    return (struct pt_str){(const char *)n->data.scalar.value, n->data.scalar.length};
}

static const char *type_of(const yaml_node_t *n)
{
    return n->type == YAML_MAPPING_NODE ? "an object" : n->type == YAML_SEQUENCE_NODE ? "a list" : "a scalar";
}

static bool is_plain(const yaml_node_t *n)
{
    return n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* A plain scalar that YAML reads as a number, a boolean or null is no string. */
static bool is_text(const yaml_node_t *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"};
    if (n->type != YAML_SCALAR_NODE)
        return false;
    if (!is_plain(n))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (pt_str_eq(text_of(n), pt_str(words[i])))
            return false;
    char *end;
    (void)strtod((const char *)n->data.scalar.value, &end);
    return *end != 0;
}

/* The value as a message shows it. */
static const char *show(const yaml_node_t *n, char out[96])
{
    if (n->type != YAML_SCALAR_NODE)
        return type_of(n);
    struct pt_str s = text_of(n);
    snprintf(out, 96, is_plain(n) ? "%.*s" : "\"%.*s\"", (int)(s.len < 80 ? s.len : 80), s.p);
    return out;
}

/* "pod.yaml: line 3: serving.port: want ..., got ..." */
static int refuse(struct reader *r, const struct member *m, const yaml_node_t *value, const char *want)
{
    char got[96];
    return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s.%s: want %s, got %s", r->file, value->start_mark.line + 1, m->section, m->key, want, show(value, got));
}

static int set_text(struct reader *r, const struct member *m, const yaml_node_t *value)
{
    char want[48];
    struct pt_str s = text_of(value);
    if (s.len == 0 || s.len > (size_t)m->max || memchr(s.p, 0, s.len)) {
        snprintf(want, sizeof want, "1 to %lld characters", (long long)m->max);
        return refuse(r, m, value, want);
    }
    char *copy = pt_strndup(s.p, s.len);
    if (!copy)
        return pt_fail(r->err, PT_ENOMEM, "%s: out of memory", r->file);
    char **place = field(r->config, m);
    pt_free(*place);
    *place = copy;
    return PT_OK;
}

/* Sets one member from its value. */
static int set_member(struct reader *r, const struct member *m, const yaml_node_t *value)
{
    char want[80];
    if (m->kind == INTEGER) {
        snprintf(want, sizeof want, "a whole number from %lld to %lld", (long long)m->min, (long long)m->max);
        if (value->type != YAML_SCALAR_NODE || !is_plain(value) || pt_parse_i64(text_of(value), m->min, m->max, m->key, field(r->config, m), NULL) < 0)
            return refuse(r, m, value, want);
        return PT_OK;
    }
    if (!is_text(value))
        return refuse(r, m, value, value->type == YAML_SCALAR_NODE ? "a string (quote it)" : "a string");
    if (m->kind == TEXT)
        return set_text(r, m, value);
    r->config->model.has_digest = true;
    if (pt_parse_digest(text_of(value), m->key, field(r->config, m), NULL) < 0)
        return refuse(r, m, value, "sha256: and 64 lower-case hexadecimal digits");
    return PT_OK;
}

static int read_section(struct reader *r, const char *section, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE)
        return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s: want an object, got %s", r->file, node->start_mark.line + 1, section, type_of(node));
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key), *value = yaml_document_get_node(&r->doc, p->value);
        struct pt_str name = key->type == YAML_SCALAR_NODE ? text_of(key) : pt_str(type_of(key));
        size_t i = 0;
        while (i < MEMBERS && !(strcmp(members[i].section, section) == 0 && pt_str_eq(name, pt_str(members[i].key))))
            i++;
        if (i == MEMBERS)
            return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s." PT_STR_FMT ": unknown member", r->file, key->start_mark.line + 1, section,
                           (int)(name.len < 80 ? name.len : 80), name.p);
        if (r->seen[i])
            return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s.%s: given twice", r->file, key->start_mark.line + 1, section, members[i].key);
        r->seen[i] = true;
        int rc = set_member(r, &members[i], value);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int read_document(struct reader *r)
{
    static const char *const sections[] = {PT_CONFIG_MODEL, PT_CONFIG_SERVING, PT_CONFIG_RUNTIME, PT_CONFIG_DRAIN, PT_CONFIG_REPORT};
    enum { SECTIONS = sizeof sections / sizeof sections[0] };
    bool seen[SECTIONS] = {false};
    const yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    if (!root || root->type != YAML_MAPPING_NODE)
        return pt_fail(r->err, PT_EINVAL, "%s: want an object with %s, %s, ..., got %s", r->file, sections[0], sections[1], root ? type_of(root) : "nothing");
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key), *value = yaml_document_get_node(&r->doc, p->value);
        struct pt_str name = key->type == YAML_SCALAR_NODE ? text_of(key) : pt_str(type_of(key));
        size_t i = 0;
        while (i < SECTIONS && !pt_str_eq(name, pt_str(sections[i])))
            i++;
        if (i == SECTIONS || seen[i])
            return pt_fail(r->err, PT_EINVAL, "%s: line %zu: " PT_STR_FMT ": %s", r->file, key->start_mark.line + 1, (int)(name.len < 80 ? name.len : 80),
                           name.p, i == SECTIONS ? "unknown member" : "given twice");
        seen[i] = true;
        int rc = read_section(r, sections[i], value);
        if (rc < 0)
            return rc;
    }
    if (seen[SECTIONS - 1] && !r->config->report.url)
        return pt_fail(r->err, PT_EINVAL, "%s: %s.url is missing", r->file, PT_CONFIG_REPORT);
    return PT_OK;
}

/* What no single member says. */
static int check(const struct pt_config *c, const bool *seen, const char *file, struct pt_err *err)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (members[i].required && !seen[i])
            return pt_fail(err, PT_EINVAL, "%s: %s.%s is missing", file, members[i].section, members[i].key);
    if (strcmp(c->model.format, "onnx") != 0)
        return pt_fail(err, PT_EINVAL, "%s: model.format: \"%s\" is not supported (onnx is)", file, c->model.format);
    if (strchr(c->model.name, '/') || strchr(c->model.version, '/'))
        return pt_fail(err, PT_EINVAL, "%s: model.name and model.version may not contain \"/\": \"%s\", \"%s\"", file, c->model.name, c->model.version);
    if (!pt_utf8_valid(pt_str(c->model.name)) || !pt_utf8_valid(pt_str(c->model.version)))
        return pt_fail(err, PT_EINVAL, "%s: model.name and model.version must be UTF-8", file);
    if (c->serving.port && c->serving.port == c->serving.metrics_port)
        return pt_fail(err, PT_EINVAL, "%s: serving.port and serving.metricsPort are both %lld", file, (long long)c->serving.port);
    if (pt_config_check_uri(pt_str(c->model.uri), err) < 0)
        return pt_wrap(err, "%s: model.uri", file);
    struct pt_str url = pt_str(c->report.url);
    if (url.p && !pt_str_starts(url, PT_STR("https://")) && !pt_str_starts(url, PT_STR("http://")))
        return pt_fail(err, PT_EINVAL, "%s: report.url: want https://..., got \"%s\"", file, c->report.url);
    return PT_OK;
}

int pt_config_check_uri(struct pt_str uri, struct pt_err *err)
{
    if (pt_str_starts(uri, PT_STR("file:///")) || pt_str_starts(uri, PT_STR("https://")) || pt_str_starts(uri, PT_STR("http://")))
        return PT_OK;
    return pt_fail(err, PT_EINVAL, "want file:///PATH, https://... or http://..., got \"" PT_STR_FMT "\"", PT_STR_ARG(uri));
}

int pt_config_init(struct pt_config *c, struct pt_err *err)
{
    *c = (struct pt_config){0};
    for (const struct member *m = members; m < members + MEMBERS; m++) {
        if (m->kind == INTEGER)
            *(int64_t *)field(c, m) = m->fallback;
        else if (m->text && !(*(char **)field(c, m) = pt_strdup(m->text))) {
            pt_config_finish(c);
            return pt_fail(err, PT_ENOMEM, "configuration: out of memory");
        }
    }
    return PT_OK;
}

void pt_config_finish(struct pt_config *c)
{
    for (const struct member *m = members; m < members + MEMBERS; m++)
        if (m->kind == TEXT)
            pt_free(*(char **)field(c, m));
    *c = (struct pt_config){0};
}

static int parse_yaml(struct reader *r, yaml_parser_t *parser)
{
    if (!yaml_parser_load(parser, &r->doc))
        return pt_fail(r->err, parser->error == YAML_MEMORY_ERROR ? PT_ENOMEM : PT_EPARSE, "%s: line %zu: %s", r->file, parser->problem_mark.line + 1,
                       parser->problem ? parser->problem : "cannot be read");
    int rc = read_document(r);
    yaml_document_delete(&r->doc);
    if (rc < 0)
        return rc;
    if (!yaml_parser_load(parser, &r->doc)) /* a second document would be ignored: so it is refused, as is rubbish behind the first */
        return pt_fail(r->err, PT_EPARSE, "%s: line %zu: %s", r->file, parser->problem_mark.line + 1, parser->problem ? parser->problem : "cannot be read");
    if (yaml_document_get_root_node(&r->doc))
        rc = pt_fail(r->err, PT_EPARSE, "%s: more than one YAML document", r->file);
    yaml_document_delete(&r->doc);
    return rc < 0 ? rc : check(r->config, r->seen, r->file, r->err);
}

int pt_config_parse(struct pt_config *c, const char *file, struct pt_str text, struct pt_err *err)
{
    struct pt_err local;
    struct reader r = {.file = file, .config = c, .err = err ? err : &local};
    if (pt_config_init(c, r.err) < 0)
        return PT_ENOMEM;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        pt_config_finish(c);
        return pt_fail(r.err, PT_ENOMEM, "%s: out of memory", file);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
    int rc = parse_yaml(&r, &parser);
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
    return pt_config_parse(c, path, (struct pt_str){text.data, text.len}, err);
}
