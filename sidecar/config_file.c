/* SPDX-License-Identifier: Apache-2.0
 *
 * config_file.c: libyaml's document tree (JSON is a subset of YAML) is walked against the table of members. The tree is as deep as
 * the table by construction, so aliases cannot multiply or recurse.
 */
#include "base/buf.h"
#include "base/contract.h"
#include "base/nearest.h"
#include "sidecar/config_member.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct reader {
    const char *file;
    yaml_document_t doc;
    struct pt_config *config;
    bool seen[PT_MEMBERS_MOST];
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
static int refuse(struct reader *r, const struct pt_member *m, const yaml_node_t *value, const char *want)
{
    struct pt_str got = key_of(value);
    const char *quote = value->type == YAML_SCALAR_NODE && !is_plain(value) ? "\"" : "";
    return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s.%s: want %s, got %s" PT_STR_FMT "%s", r->file, value->start_mark.line + 1, m->section, m->key,
                   want, quote, PT_STR_ARG(got), quote);
}

static int read_member(struct reader *r, const struct pt_member *m, const yaml_node_t *value)
{
    char want[96];
    bool scalar = value->type == YAML_SCALAR_NODE;
    if (m->kind != PT_MEMBER_NUMBER && !is_string(value))
        return refuse(r, m, value, scalar ? "a string (quote it)" : "a string");
    int rc = pt_member_set(r->config, m, scalar && (m->kind != PT_MEMBER_NUMBER || is_plain(value)) ? text_of(value) : PT_STR(""), want);
    if (rc == PT_ENOMEM)
        return pt_fail(r->err, rc, "%s: out of memory", r->file);
    return rc < 0 ? refuse(r, m, value, want) : PT_OK;
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
    const char *names[PT_MEMBERS_MOST];
    size_t count = 0;
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++)
        if (strcmp(m->section, section) == 0)
            names[count++] = m->key;
    return pt_nearest(name, names, count);
}

static int read_section(struct reader *r, const char *section, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE)
        return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s: want an object, got %s", r->file, node->start_mark.line + 1, section, type_of(node));
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key), *value = yaml_document_get_node(&r->doc, p->value);
        struct pt_str name = key_of(key);
        const struct pt_member *m = pt_member_find(section, name);
        if (!m)
            return unknown(r, key, section, nearest_member(section, name));
        if (r->seen[m - pt_members])
            return pt_fail(r->err, PT_EINVAL, "%s: line %zu: %s." PT_STR_FMT ": %s", r->file, key->start_mark.line + 1, section, PT_STR_ARG(name),
                           "given twice");
        r->seen[m - pt_members] = true;
        char group[64];
        snprintf(group, sizeof group, "%s.%s", section, m->key);
        int rc = m->kind == PT_MEMBER_GROUP ? read_section(r, group, value) : read_member(r, m, value);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int read_document(struct reader *r)
{
    static const char *const sections[] = {PT_CONFIG_MODEL,      PT_CONFIG_SERVING, PT_CONFIG_RUNTIME, PT_CONFIG_BATCHING,
                                           PT_CONFIG_REPOSITORY, PT_CONFIG_DRAIN,   PT_CONFIG_METRICS, PT_CONFIG_MONITORING,
                                           PT_CONFIG_ACCESS_LOG, PT_CONFIG_CACHE,   PT_CONFIG_REPORT};
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
            return unknown(r, key, "", pt_nearest(name, sections, SECTIONS));
        if (seen[i])
            return pt_fail(r->err, PT_EINVAL, "%s: line %zu: " PT_STR_FMT ": %s", r->file, key->start_mark.line + 1, PT_STR_ARG(name), "given twice");
        seen[i] = true;
        int rc = read_section(r, sections[i], yaml_document_get_node(&r->doc, p->value));
        if (rc < 0)
            return rc;
    }
    r->config->report.wanted |= seen[SECTIONS - 1];
    return PT_OK;
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
    return rc;
}

static int read_text(struct pt_config *c, const char *file, struct pt_str text, struct pt_err *err)
{
    struct pt_err local;
    struct reader r = {.file = file, .config = c, .err = err ? err : &local};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", file);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
    int rc = parse_yaml(&r, &parser);
    yaml_parser_delete(&parser);
    return rc;
}

int pt_config_parse(struct pt_config *c, const char *file, struct pt_str text, struct pt_err *err)
{
    int rc = pt_config_init(c, err);
    if (rc == PT_OK)
        rc = read_text(c, file, text, err);
    if (rc == PT_OK)
        rc = pt_config_check(c, file, err);
    if (rc < 0)
        pt_config_finish(c);
    return rc;
}

int pt_config_read(struct pt_config *c, const char *path, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(PT_CONFIG_MAX_FILE);
    if (pt_buf_read_file(&text, path, err) < 0)
        return pt_wrap(err, "configuration");
    return read_text(c, path, (struct pt_str){text.data ? text.data : "", text.len}, err);
}
