/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_reload.c: ReloadConfigRequest {config = 1 {model_config_list = 1 {config = 1 ModelConfig, ...}}}
 */
#include "sidecar/tfs_reload.h"

#include "sidecar/tfs_pb.h"

#include <stdio.h>

enum { NAME = 1, BASE_PATH, TYPE, PLATFORM, LOGGING = 6, POLICY, LABELS };

static int shown(struct pt_str s)
{
    return (int)(s.len < 128 ? s.len : 128);
}

/* The last field of that number that is a message or a string. */
static int find(struct pt_str message, uint32_t number, struct pt_str *out, bool *there, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    int rc;
    *out = (struct pt_str){NULL, 0};
    *there = false;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == number && f.type == PT_PB_LEN) {
            *out = f.bytes;
            *there = true;
        }
    return rc;
}

static int add_number(struct pt_model_config *c, uint64_t v, struct pt_err *err)
{
    if (c->version_count == PT_MAX_VERSIONS)
        return pt_fail(err, PT_EINVAL, "model_version_policy: more than %d versions", PT_MAX_VERSIONS);
    c->versions[c->version_count++] = (int64_t)v;
    return PT_OK;
}

/* specific {versions = 1, repeated int64, packed or not} */
static int read_specific(struct pt_str message, struct pt_model_config *c, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len), in;
    struct pt_pb_field f;
    uint64_t v;
    int rc;
    c->policy = PT_VERSIONS_SPECIFIC;
    c->version_count = 0;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number != 1)
            continue;
        in = pt_pb_reader(f.bytes.p, f.type == PT_PB_LEN ? f.bytes.len : 0);
        rc = f.type == PT_PB_VARINT ? add_number(c, f.value, err) : PT_OK;
        while (rc >= 0 && (rc = pt_pb_varint(&in, &v, err)) == 1)
            rc = add_number(c, v, err);
        if (rc < 0)
            return rc;
    }
    return rc < 0 || c->version_count ? rc : pt_fail(err, PT_EINVAL, "model_version_policy: specific without versions");
}

/* latest {num_versions = 1} */
static int read_latest(struct pt_str message, struct pt_model_config *c, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    int rc;
    c->policy = PT_VERSIONS_LATEST;
    c->latest = 1;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == 1 && f.type == PT_PB_VARINT && f.value)
            c->latest = f.value < INT64_MAX ? (int64_t)f.value : INT64_MAX;
    return rc;
}

/* ServableVersionPolicy: one of latest = 100, all = 101, specific = 102 */
static int read_policy(struct pt_str message, struct pt_model_config *c, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == 100)
            rc = read_latest(f.bytes, c, err);
        else if (f.number == 101)
            c->policy = PT_VERSIONS_ALL;
        else if (f.number == 102)
            rc = read_specific(f.bytes, c, err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* An entry of map<string, int64> */
static int read_label(struct pt_str entry, struct pt_model_config *c, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(entry.p, entry.len);
    struct pt_pb_field f;
    struct pt_str name = PT_STR("");
    int64_t version = 0;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number == 1 && f.type == PT_PB_LEN)
            name = f.bytes;
        else if (f.number == 2 && f.type == PT_PB_VARINT)
            version = (int64_t)f.value;
    }
    if (rc < 0)
        return rc;
    if (c->label_count == PT_MAX_LABELS || name.len == 0 || name.len >= sizeof c->labels[0].name || memchr(name.p, 0, name.len))
        return pt_fail(err, PT_EINVAL, "version_labels: \"" PT_STR_FMT "\": want up to %d labels of 1 to %zu characters", shown(name), name.p,
                       PT_MAX_LABELS, sizeof c->labels[0].name - 1);
    snprintf(c->labels[c->label_count].name, sizeof c->labels[0].name, PT_STR_FMT, PT_STR_ARG(name));
    c->labels[c->label_count++].version = version;
    return PT_OK;
}

/* What a file is, it says itself; the names are those that configurations for ONNX, and for TensorFlow Serving, carry. */
static int check_platform(struct pt_str platform, struct pt_err *err)
{
    static const char *const known[] = {"", "onnx", "onnxruntime", "onnxruntime_onnx", "tensorflow"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (pt_str_eq(platform, pt_str(known[i])))
            return PT_OK;
    return pt_fail(err, PT_EINVAL, "model_platform \"" PT_STR_FMT "\" is not supported (onnx is)", shown(platform), platform.p);
}

static int read_field(const struct pt_pb_field *f, struct pt_model_entry *e, struct pt_err *err)
{
    if (f->number == TYPE && f->type == PT_PB_VARINT && f->value > 1)
        return pt_fail(err, PT_EUNSUPPORTED, "model_type %llu is not supported", (unsigned long long)f->value);
    if (f->type != PT_PB_LEN)
        return PT_OK;
    if (f->number == PLATFORM)
        return check_platform(f->bytes, err);
    if (f->number == LOGGING)
        return pt_fail(err, PT_EUNSUPPORTED, "logging_config is not supported");
    return f->number == POLICY ? read_policy(f->bytes, &e->config, err) : f->number == LABELS ? read_label(f->bytes, &e->config, err) : PT_OK;
}

static int read_model(struct pt_str message, struct pt_model_list *list, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    struct pt_str name, base;
    bool there;
    int rc = find(message, NAME, &name, &there, err);
    if (rc == PT_OK)
        rc = find(message, BASE_PATH, &base, &there, err);
    if (rc < 0)
        return rc;
    if (name.len == 0 || name.len > 253 || memchr(name.p, '/', name.len) || memchr(name.p, 0, name.len) || !pt_utf8_valid(name))
        return pt_fail(err, PT_EINVAL, "model name \"" PT_STR_FMT "\": want 1 to 253 characters, no \"/\"", shown(name), name.p ? name.p : "");
    if (base.len == 0 || base.p[0] != '/' || base.len > 4096 || memchr(base.p, 0, base.len))
        return pt_fail(err, PT_EINVAL, "Expected model " PT_STR_FMT " to have an absolute path or URI; got base_path()=" PT_STR_FMT, shown(name),
                       name.p, shown(base), base.p ? base.p : "");
    struct pt_model_entry *e = pt_model_list_add(list, name, base, err);
    if (!e)
        return PT_ENOMEM;
    if (pt_model_list_find(list, e->name) != e)
        return pt_fail(err, PT_EINVAL, "Illegal to list model %s multiple times in config list", e->name);
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (read_field(&f, e, err) < 0)
            return pt_wrap(err, "model \"%s\"", e->name);
    return rc;
}

int pt_tfs_reload_decode(struct pt_str message, struct pt_model_list *list, struct pt_err *err)
{
    struct pt_str config, models;
    bool there;
    int rc = find(message, 1, &config, &there, err);
    if (rc == PT_OK)
        rc = find(config, 1, &models, &there, err);
    if (rc < 0)
        return rc;
    if (!there)
        return pt_fail(err, PT_EINVAL,
                       "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported");
    struct pt_pb_reader r = pt_pb_reader(models.p, models.len);
    struct pt_pb_field f;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == 1 && f.type == PT_PB_LEN && (rc = read_model(f.bytes, list, err)) < 0)
            return rc;
    return rc;
}
