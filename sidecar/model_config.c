/* SPDX-License-Identifier: Apache-2.0
 *
 * model_config.c: see model_config.h.
 */
#include "sidecar/model_config.h"

#include "sidecar/pbtxt.h"

#include <stdio.h>

struct reader {
    struct pt_pbtxt t;
    struct pt_model_config *c;
    const char *name; /* of the folder */
    struct pt_err *err;
};
typedef int (*read_fn)(struct reader *r);

struct field {
    const char *name;
    read_fn read;    /* NULL: without effect, or refused */
    const char *why; /* refused */
};

static int ignore(struct reader *r)
{
    return pt_pbtxt_skip(&r->t, r->err);
}

static int refuse(struct reader *r, const char *why)
{
    return pt_fail(r->err, PT_EUNSUPPORTED, "line %d: \"" PT_STR_FMT "\": %s", r->t.line, (int)(r->t.name.len < 64 ? r->t.name.len : 64), r->t.name.p,
                   why);
}

/* Reads a message's fields by their rows. */
static int read_fields(struct reader *r, const struct field *fields, size_t count)
{
    int rc;
    while ((rc = pt_pbtxt_field(&r->t, r->err)) == 1) {
        const struct field *f = NULL;
        for (size_t i = 0; i < count && !f; i++)
            f = pt_pbtxt_is(&r->t, fields[i].name) ? &fields[i] : NULL;
        if (!f)
            return refuse(r, "unknown field");
        if (f->why)
            return refuse(r, f->why);
        if ((rc = f->read(r)) < 0)
            return rc;
    }
    return rc;
}
#define FIELDS(r, table) read_fields(r, table, sizeof table / sizeof table[0])

static int read_message(struct reader *r, const struct field *fields, size_t count)
{
    int rc = pt_pbtxt_message(&r->t, r->err);
    return rc < 0 ? rc : read_fields(r, fields, count);
}
#define MESSAGE(r, table) read_message(r, table, sizeof table / sizeof table[0])

/* --- fields ------------------------------------------------------------------------------------------------------------------- */

static int read_text(struct reader *r, char *out, size_t size)
{
    pt_auto_buf b = PT_BUF_INIT(4096);
    struct pt_str field = r->t.name;
    int rc = pt_pbtxt_string(&r->t, &b, r->err);
    if (rc == PT_OK && (b.len >= size || memchr(pt_buf_cstr(&b), 0, b.len)))
        rc = pt_fail(r->err, PT_EINVAL, "line %d: \"" PT_STR_FMT "\": want at most %zu characters", r->t.line, PT_STR_ARG(field), size - 1);
    if (rc == PT_OK)
        snprintf(out, size, "%s", pt_buf_cstr(&b));
    return rc;
}

static int name(struct reader *r)
{
    char text[256];
    int rc = read_text(r, text, sizeof text);
    if (rc == PT_OK && strcmp(text, r->name) != 0)
        rc = pt_fail(r->err, PT_EINVAL, "line %d: name: want the folder's, \"%s\", got \"%s\"", r->t.line, r->name, text);
    return rc;
}

static int platform(struct reader *r)
{
    char text[64];
    int rc = read_text(r, text, sizeof text);
    if (rc == PT_OK && *text && strcmp(text, "onnxruntime_onnx") != 0 && strcmp(text, "onnx_onnxv1") != 0 && strcmp(text, "onnxruntime") != 0 &&
        strcmp(text, "onnx") != 0)
        rc = pt_fail(r->err, PT_EUNSUPPORTED, "line %d: platform or backend \"%s\": only ONNX is served (onnxruntime_onnx, onnxruntime)", r->t.line,
                     text);
    return rc;
}

static int file(struct reader *r)
{
    int rc = read_text(r, r->c->file, sizeof r->c->file);
    if (rc == PT_OK && (strchr(r->c->file, '/') || r->c->file[0] == '.' || !r->c->file[0]))
        rc = pt_fail(r->err, PT_EINVAL, "line %d: default_model_filename: want a file in the version's folder, got \"%s\"", r->t.line, r->c->file);
    return rc;
}

static int max_batch(struct reader *r)
{
    return pt_pbtxt_int(&r->t, 0, 4096, &r->c->max_batch, r->err);
}

static int preferred(struct reader *r)
{
    int64_t v, last = 0;
    size_t n = 0;
    int rc = pt_pbtxt_int(&r->t, 1, 4096, &v, r->err);
    while (n < PT_MAX_SIZES && r->c->preferred[n])
        last = r->c->preferred[n++];
    if (rc == PT_OK && (n == PT_MAX_SIZES || v <= last))
        return refuse(r, "want up to 16 ascending sizes");
    if (rc == PT_OK)
        r->c->preferred[n] = v;
    return rc;
}

static int delay(struct reader *r)
{
    return pt_pbtxt_int(&r->t, 0, 10000000, &r->c->max_delay_us, r->err);
}

static int levels(struct reader *r)
{
    return pt_pbtxt_int(&r->t, 0, 1000, &r->c->priority_levels, r->err);
}

static int dynamic_batching(struct reader *r)
{
    static const struct field fields[] = {
        {"preferred_batch_size", preferred, NULL},
        {"max_queue_delay_microseconds", delay, NULL},
        {"priority_levels", levels, NULL},
        {"default_priority_level", ignore, NULL},
        {"preserve_ordering", ignore, NULL},
        {"default_queue_policy", NULL, "not supported: runtime.queue and a request's \"timeout\" bound the queue"},
        {"priority_queue_policy", NULL, "not supported: runtime.queue and a request's \"timeout\" bound the queue"}};
    r->c->dynamic_batching = true;
    return MESSAGE(r, fields);
}

static int num_versions(struct reader *r)
{
    return pt_pbtxt_int(&r->t, 1, PT_MAX_VERSIONS, &r->c->latest, r->err);
}

static int latest(struct reader *r)
{
    static const struct field fields[] = {{"num_versions", num_versions, NULL}};
    r->c->policy = PT_VERSIONS_LATEST;
    return MESSAGE(r, fields);
}

static int all(struct reader *r)
{
    r->c->policy = PT_VERSIONS_ALL;
    return read_message(r, NULL, 0);
}

static int one_version(struct reader *r)
{
    int64_t v;
    int rc = pt_pbtxt_int(&r->t, 0, INT64_MAX, &v, r->err);
    if (rc == PT_OK && r->c->version_count == PT_MAX_VERSIONS)
        return refuse(r, "too many versions");
    if (rc == PT_OK)
        r->c->versions[r->c->version_count++] = v;
    return rc;
}

static int specific(struct reader *r)
{
    static const struct field fields[] = {{"versions", one_version, NULL}};
    r->c->policy = PT_VERSIONS_SPECIFIC;
    r->c->version_count = 0;
    return MESSAGE(r, fields);
}

static int version_policy(struct reader *r)
{
    static const struct field fields[] = {{"latest", latest, NULL}, {"all", all, NULL}, {"specific", specific, NULL}};
    return MESSAGE(r, fields);
}

static int label(struct reader *r, const char *name, const char *value)
{
    struct pt_version_label *l = &r->c->labels[r->c->label_count];
    if (strlen(name) >= sizeof l->name)
        return pt_fail(r->err, PT_EINVAL, "line %d: parameter \"label.%.100s\": a label has at most %zu characters", r->t.line, name,
                       sizeof l->name - 1);
    if (r->c->label_count == PT_MAX_LABELS || pt_parse_i64(pt_str(value), 0, INT64_MAX, "version", &l->version, NULL) < 0)
        return pt_fail(r->err, PT_EINVAL, "line %d: parameter \"label.%s\": want the number of a version, got \"%s\"", r->t.line, name, value);
    memcpy(l->name, name, strlen(name) + 1);
    r->c->label_count++;
    return PT_OK;
}

/* Onto a list "INPUT=VALUE,...". */
static int add_to(struct reader *r, char list[1024], const char *key, const char *input, const char *value)
{
    size_t len = strlen(list), room = 1024 - len;
    if (strchr(input, ',') || strchr(value, ',') || snprintf(list + len, room, "%s%s=%s", len ? "," : "", input, value) >= (int)room)
        return pt_fail(r->err, PT_EINVAL, "line %d: parameter \"%.100s\": too long, or with a comma", r->t.line, key);
    return PT_OK;
}

/* parameters { key: "..." value { string_value: "..." } }: label.NAME, padding.INPUT and warmup.INPUT are ours, the rest belongs to other backends. */
static int parameters(struct reader *r)
{
    char key[1024] = "", value[256] = "";
    int rc = pt_pbtxt_message(&r->t, r->err), inner;
    while (rc == PT_OK && (inner = pt_pbtxt_field(&r->t, r->err)) != 0) {
        if (inner < 0)
            return inner;
        if (pt_pbtxt_is(&r->t, "key")) {
            rc = read_text(r, key, sizeof key);
        } else if (pt_pbtxt_is(&r->t, "value")) {
            rc = pt_pbtxt_message(&r->t, r->err);
            while (rc == PT_OK && (inner = pt_pbtxt_field(&r->t, r->err)) == 1)
                rc = pt_pbtxt_is(&r->t, "string_value") ? read_text(r, value, sizeof value) : pt_pbtxt_skip(&r->t, r->err);
            rc = rc == PT_OK && inner < 0 ? inner : rc;
        } else {
            return refuse(r, "unknown field");
        }
    }
    if (rc == PT_OK && strncmp(key, "label.", 6) == 0)
        return label(r, key + 6, value);
    if (rc == PT_OK && strncmp(key, "warmup.", 7) == 0)
        return add_to(r, r->c->warmup, key, key + 7, value);
    return rc == PT_OK && strncmp(key, "padding.", 8) == 0 ? add_to(r, r->c->padding, key, key + 8, value) : rc;
}

static const struct field fields[] = {
    {"name", name, NULL},
    {"platform", platform, NULL},
    {"backend", platform, NULL},
    {"default_model_filename", file, NULL},
    {"max_batch_size", max_batch, NULL},
    {"dynamic_batching", dynamic_batching, NULL},
    {"version_policy", version_policy, NULL},
    {"parameters", parameters, NULL},
    {"input", ignore, NULL}, /* the model itself says what it takes */
    {"output", ignore, NULL},
    {"instance_group", ignore, NULL},
    {"optimization", ignore, NULL},
    {"model_warmup", ignore, NULL}, /* every model is warmed up */
    {"runtime", ignore, NULL},
    {"metric_tags", ignore, NULL},
    {"sequence_batching", NULL, "sequence batching is not supported"},
    {"ensemble_scheduling", NULL, "graphs of models are not supported"},
    {"response_cache", NULL, "a response cache is not supported"},
    {"model_transaction_policy", NULL, "decoupled models are not supported"},
    {"batch_input", NULL, "not supported"},
    {"batch_output", NULL, "not supported"},
    {"model_operations", NULL, "not supported"},
    {"model_repository_agents", NULL, "not supported"},
    {"cc_model_filenames", NULL, "not supported"},
};

void pt_model_config_init(struct pt_model_config *c)
{
    *c = (struct pt_model_config){.file = "model.onnx", .latest = 1, .max_batch = -1};
}

int pt_model_config_parse(struct pt_model_config *c, const char *model, struct pt_str text, struct pt_err *err)
{
    struct pt_err local;
    struct reader r = {.c = c, .name = model, .err = err ? err : &local};
    pt_pbtxt_init(&r.t, text);
    return FIELDS(&r, fields);
}

int pt_model_config_policy(struct pt_model_config *c, const char *text, struct pt_err *err)
{
    struct pt_str s = pt_str(text), part;
    if (pt_str_eq(s, PT_STR("all"))) {
        c->policy = PT_VERSIONS_ALL;
        return PT_OK;
    }
    if (pt_str_eq(s, PT_STR("latest"))) {
        c->policy = PT_VERSIONS_LATEST;
        c->latest = 1;
        return PT_OK;
    }
    if (pt_str_starts(s, PT_STR("latest:"))) {
        c->policy = PT_VERSIONS_LATEST;
        if (pt_parse_i64((struct pt_str){s.p + 7, s.len - 7}, 1, PT_MAX_VERSIONS, "number", &c->latest, NULL) == PT_OK)
            return PT_OK;
    } else {
        c->policy = PT_VERSIONS_SPECIFIC;
        for (c->version_count = 0; pt_str_split(&s, ',', &part); c->version_count++)
            if (c->version_count == PT_MAX_VERSIONS ||
                pt_parse_i64(pt_str_trim(part), 0, INT64_MAX, "version", &c->versions[c->version_count], NULL) < 0)
                break;
        if (!s.p && c->version_count)
            return PT_OK;
    }
    return pt_fail(err, PT_EINVAL, "versions: want latest, latest:N, all, or numbers such as \"1, 3\", got \"%.80s\"", text);
}

void pt_model_config_adopt_policy(struct pt_model_config *c, const struct pt_model_config *from)
{
    c->policy = from->policy;
    c->latest = from->latest;
    c->version_count = from->version_count;
    memcpy(c->versions, from->versions, sizeof c->versions);
    c->label_count = from->label_count;
    memcpy(c->labels, from->labels, sizeof c->labels);
}
