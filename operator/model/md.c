/* SPDX-License-Identifier: Apache-2.0
 *
 * md.c: from a ModelDeployment's JSON to struct pt_md.
 *
 * Most of these texts are echoes of the operator's own writes of the status, so little is made of them that is not needed: the spec is taken over
 * from the version before where the generation says that it is the same, the status is read in one pass without a tree, and of metadata only what
 * somebody looks at. Texts are kept in an arena until all of them are known, then packed behind the struct.
 */
#include "base/json.h"
#include "base/mem.h"
#include "operator/ctrl/obj.h"
#include "operator/model/objects.h"
#include "operator/model/pack.h"

#include <stddef.h>
#include <stdio.h>

void pt_md_free(struct pt_object *o)
{
    struct pt_md *md = (struct pt_md *)o;
    if (!md)
        return;
    pt_spec_finish(&md->spec);
    pt_free(md->compression);
    pt_free(md);
}

static int no_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "decode ModelDeployment: out of memory");
}

/* What is read so far. */
struct draft {
    struct pt_md md;
    struct pt_arena texts;
};

/* --- reading without a tree ---------------------------------------------------------------------------------------------- */

typedef int member_fn(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err);

/* What has another type than expected is passed over. */
static int each_member(struct pt_json *j, member_fn *fn, void *arg, struct pt_err *err)
{
    struct pt_str key;
    int kind = pt_json_kind(j, err);
    if (kind != PT_JSON_OBJECT)
        return kind < 0 ? kind : pt_json_skip(j, err);
    int rc = pt_json_object(j, err);
    while (rc == PT_OK && (rc = pt_json_member(j, &key, err)) == 1)
        rc = fn(j, &key, arg, err);
    return rc;
}

/* As it stands between its quotes; empty when it is no string. */
static int raw_text(struct pt_json *j, struct pt_str *raw, struct pt_err *err)
{
    int kind = pt_json_kind(j, err);
    *raw = PT_STR("");
    return kind < 0 ? kind : kind == PT_JSON_STRING ? pt_json_text(j, raw, err) : pt_json_skip(j, err);
}

/* The text that raw stands for. */
static int decoded(struct pt_str raw, struct draft *d, const char **out, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_json whole;
    int rc = PT_OK;
    if (memchr(raw.p, '\\', raw.len)) {
        pt_json_init(&whole, raw.p - 1, raw.len + 2); /* the quotes are there */
        rc = pt_json_string(&whole, &b, err);
        raw = (struct pt_str){b.data, b.len};
    }
    if (rc < 0)
        return rc;
    *out = pt_arena_strndup(&d->texts, raw.p, raw.len);
    return *out ? PT_OK : no_memory(err);
}

static int keep_text(struct pt_json *j, struct draft *d, const char **out, struct pt_err *err)
{
    struct pt_str raw;
    int rc = raw_text(j, &raw, err);
    return rc < 0 ? rc : decoded(raw, d, out, err);
}

static int whole_number(struct pt_json *j, int64_t *n, struct pt_err *err)
{
    double d = 0;
    int kind = pt_json_kind(j, err);
    if (kind != PT_JSON_NUMBER)
        return kind < 0 ? kind : pt_json_skip(j, err);
    int rc = pt_json_double(j, &d, err);
    *n = rc == PT_OK && d > -9e15 && d < 9e15 ? (int64_t)d : 0;
    return rc;
}

/* --- status -------------------------------------------------------------------------------------------------------------- */

struct condition {
    struct pt_str type, status, reason, message, since;
};

static int condition_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    struct condition *c = arg;
    struct pt_str other;
    return raw_text(j,
                    pt_json_key_is(key, "type")                 ? &c->type
                    : pt_json_key_is(key, "status")             ? &c->status
                    : pt_json_key_is(key, "reason")             ? &c->reason
                    : pt_json_key_is(key, "lastTransitionTime") ? &c->since
                    : pt_json_key_is(key, "message")            ? &c->message
                                                                : &other,
                    err);
}

static int take_condition(struct draft *d, const struct condition *c, struct pt_err *err)
{
    struct pt_md *md = &d->md;
    static const char *const types[] = {
#define PT_X(name, text) text,
        PT_CONDITIONS(PT_X)
#undef PT_X
    };
    int i = 0;
    while (i < PT_COND_COUNT && !pt_str_eq(c->type, pt_str(types[i])))
        i++;
    if (i == PT_COND_COUNT)
        return PT_OK;
    int64_t ms = 0;
    md->conds[i].truth = pt_str_eq(c->status, PT_STR("True")) ? PT_TRUE : pt_str_eq(c->status, PT_STR("False")) ? PT_FALSE : PT_UNKNOWN;
    md->conds[i].since_ms = c->since.len && pt_parse_time(c->since, &ms, NULL) == PT_OK ? ms : 0;
    if (i == PT_COND_PROGRESSING)
        md->deadline_exceeded = pt_str_eq(c->reason, PT_STR("ProgressDeadlineExceeded"));
    if (i != PT_COND_MODEL_HEALTHY)
        return PT_OK;
    int rc = decoded(c->reason, d, &md->health_reason, err);
    return rc == PT_OK ? decoded(c->message, d, &md->health_message, err) : rc;
}

static int read_conditions(struct pt_json *j, struct draft *d, struct pt_err *err)
{
    int kind = pt_json_kind(j, err);
    if (kind != PT_JSON_ARRAY)
        return kind < 0 ? kind : pt_json_skip(j, err);
    int rc = pt_json_array(j, err);
    while (rc == PT_OK && (rc = pt_json_element(j, err)) == 1) {
        struct condition c = {PT_STR(""), PT_STR(""), PT_STR(""), PT_STR(""), PT_STR("")};
        if ((rc = each_member(j, condition_member, &c, err)) == PT_OK)
            rc = take_condition(d, &c, err);
    }
    return rc;
}

/* Turns the text of a value into canonical text, in b where it is not written like that. */
static int canonical(struct pt_str *out, struct pt_buf *b, struct pt_err *err)
{
    pt_auto_obj *tree = NULL;
    if (pt_obj_is_canonical(*out))
        return PT_OK;
    if (pt_obj_parse_any(*out, "ModelDeployment", &tree, err) < 0 || pt_obj_canonical(tree, b, err) < 0)
        return err->code;
    *out = (struct pt_str){b->data, b->len};
    return PT_OK;
}

static int model_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    struct draft *d = arg;
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_str text;
    if (pt_json_key_is(key, "digest"))
        return keep_text(j, d, &d->md.digest, err);
    if (!pt_json_key_is(key, "lastFailure") || pt_json_kind(j, err) != PT_JSON_OBJECT)
        return pt_json_skip(j, err);
    if (pt_json_value(j, &text, err) < 0 || canonical(&text, &b, err) < 0)
        return err->code;
    d->md.last_failure = pt_arena_strndup(&d->texts, text.p, text.len);
    return d->md.last_failure ? PT_OK : no_memory(err);
}

static int autoscaling_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    return pt_json_key_is(key, "lastScaleTime") ? keep_text(j, arg, &((struct draft *)arg)->md.last_scale, err) : pt_json_skip(j, err);
}

static int monitoring_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    return pt_json_key_is(key, "healthyRevision") ? keep_text(j, arg, &((struct draft *)arg)->md.healthy, err) : pt_json_skip(j, err);
}

/* A text into a field of that size; one that does not fit is not ours. */
static int short_text(struct pt_json *j, struct draft *d, char *out, size_t size, struct pt_err *err)
{
    const char *text = NULL;
    int rc = keep_text(j, d, &text, err);
    if (rc == PT_OK && strlen(text) < size)
        memcpy(out, text, strlen(text) + 1);
    return rc;
}

static int time_value(struct pt_json *j, int64_t *ms, struct pt_err *err)
{
    struct pt_str raw;
    int rc = raw_text(j, &raw, err);
    *ms = 0;
    if (rc == PT_OK && raw.len)
        (void)pt_parse_time(raw, ms, NULL);
    return rc;
}

static int progress_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    struct draft *d = arg;
    struct pt_run_progress *p = &d->md.compression->progress;
    struct {
        const char *name;
        int *at;
    } numbers[] = {{"stageNumber", &p->number}, {"stages", &p->stages}, {"epoch", &p->epoch}, {"epochs", &p->epochs}, {"percent", &p->percent}};
    int64_t n = 0;
    if (pt_json_key_is(key, "stage"))
        return short_text(j, d, p->stage, sizeof p->stage, err);
    if (pt_json_key_is(key, "time"))
        return time_value(j, &p->time_ms, err);
    if (pt_json_key_is(key, "etaSeconds"))
        return whole_number(j, &p->eta_s, err);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!pt_json_key_is(key, numbers[i].name))
            continue;
        int rc = whole_number(j, &n, err);
        *numbers[i].at = n >= 0 && n <= INT32_MAX ? (int)n : 0;
        return rc;
    }
    return pt_json_skip(j, err);
}

static int compression_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    struct draft *d = arg;
    struct pt_compression *c = d->md.compression;
    char phase[16] = "";
    int64_t n = 0;
    if (pt_json_key_is(key, "key"))
        return short_text(j, d, c->key, sizeof c->key, err);
    if (pt_json_key_is(key, "reason"))
        return short_text(j, d, c->reason, sizeof c->reason, err);
    if (pt_json_key_is(key, "digest"))
        return short_text(j, d, c->digest, sizeof c->digest, err);
    if (pt_json_key_is(key, "message"))
        return short_text(j, d, c->message, sizeof c->message, err);
    if (pt_json_key_is(key, "progress")) {
        c->progress = (struct pt_run_progress){.percent = -1, .eta_s = -1};
        return each_member(j, progress_member, d, err);
    }
    if (pt_json_key_is(key, "startTime"))
        return time_value(j, &c->start_ms, err);
    if (pt_json_key_is(key, "retryTime"))
        return time_value(j, &c->retry_ms, err);
    int rc = pt_json_key_is(key, "attempts") ? whole_number(j, &n, err)
             : pt_json_key_is(key, "phase")  ? short_text(j, d, phase, sizeof phase, err)
                                             : pt_json_skip(j, err);
    if (*phase)
        c->phase = pt_compression_phase_parse(phase);
    if (pt_json_key_is(key, "attempts"))
        c->attempts = (int)n;
    return rc;
}

static int read_compression(struct pt_json *j, struct draft *d, struct pt_err *err)
{
    struct pt_md *md = &d->md;
    if (!md->compression && !(md->compression = pt_calloc(1, sizeof *md->compression)))
        return no_memory(err);
    return each_member(j, compression_member, d, err);
}

static int status_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    struct draft *d = arg;
    struct pt_md *md = &d->md;
    int64_t collisions = 0;
    if (pt_json_key_is(key, "conditions"))
        return read_conditions(j, d, err);
    if (pt_json_key_is(key, "model"))
        return each_member(j, model_member, d, err);
    if (pt_json_key_is(key, "compression"))
        return read_compression(j, d, err);
    if (pt_json_key_is(key, "autoscaling"))
        return each_member(j, autoscaling_member, d, err);
    if (pt_json_key_is(key, "monitoring"))
        return each_member(j, monitoring_member, d, err);
    if (pt_json_key_is(key, "currentRevision"))
        return keep_text(j, d, &md->current_revision, err);
    if (pt_json_key_is(key, "updateRevision"))
        return keep_text(j, d, &md->update_revision, err);
    if (pt_json_key_is(key, "observedGeneration"))
        return whole_number(j, &md->observed_generation, err);
    if (!pt_json_key_is(key, "collisionCount"))
        return pt_json_skip(j, err);
    int rc = whole_number(j, &collisions, err);
    md->collisions = (int)collisions;
    return rc;
}

static int read_status(struct draft *d, struct pt_str text, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_str all = text;
    struct pt_json j;
    int rc = PT_OK;
    if (text.len && (rc = canonical(&all, &b, err)) == PT_OK) {
        pt_json_init(&j, text.p, text.len);
        rc = each_member(&j, status_member, d, err);
    }
    d->md.status_hash = pt_hash_words(all.p, all.len);
    return rc;
}

/* --- the whole ----------------------------------------------------------------------------------------------------------- */

struct parts {
    struct pt_str metadata, status;
};

static int object_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    struct parts *parts = arg;
    struct pt_str other;
    return pt_json_value(j, pt_json_key_is(key, "metadata") ? &parts->metadata : pt_json_key_is(key, "status") ? &parts->status : &other, err);
}

static int metadata_member(struct pt_json *j, const struct pt_str *key, void *arg, struct pt_err *err)
{
    static const char *const read[] = {"name",        "namespace",      "uid", "resourceVersion", "generation", "deletionTimestamp", "labels",
                                       "annotations", "ownerReferences"};
    struct pt_str text;
    cJSON *value;
    int rc = pt_json_value(j, &text, err);
    for (size_t i = 0; rc == PT_OK && i < sizeof read / sizeof *read; i++)
        if (pt_json_key_is(key, read[i]))
            return (rc = pt_obj_parse_any(text, "ModelDeployment", &value, err)) < 0 ? rc : pt_obj_set(arg, read[i], value, err);
    return rc;
}

/* {"metadata": {what is looked at}} */
static int parse_metadata(struct pt_str text, cJSON **out, struct pt_err *err)
{
    struct pt_json j;
    pt_auto_obj *tree = cJSON_CreateObject();
    cJSON *meta = pt_obj_ensure(tree, "metadata");
    if (!meta)
        return no_memory(err);
    pt_json_init(&j, text.p, text.len);
    int rc = text.len ? each_member(&j, metadata_member, meta, err) : PT_OK;
    if (rc == PT_OK)
        *out = pt_steal(tree);
    return rc;
}

static const char *annotation(const cJSON *tree, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(tree, "metadata.annotations"), name));
}

static int copy_spec(struct draft *d, const struct pt_md *was, struct pt_err *err)
{
    struct pt_md *md = &d->md;
    if (was->invalid && !(md->invalid = pt_arena_strndup(&d->texts, was->invalid, strlen(was->invalid))))
        return no_memory(err);
    return pt_spec_copy(&was->spec, &md->spec, err) < 0 ? no_memory(err) : PT_OK;
}

static int read_spec(struct draft *d, struct pt_str json, struct pt_err *err)
{
    struct pt_err why = {0};
    pt_auto_obj *tree = NULL;
    if (pt_obj_parse(json, "ModelDeployment", &tree, err) < 0)
        return err->code;
    if (pt_spec_read(tree, &d->md.spec, &why) == PT_OK)
        return PT_OK;
    pt_spec_finish(&d->md.spec);
    d->md.invalid = pt_arena_strndup(&d->texts, why.msg, strlen(why.msg));
    return why.code == PT_ENOMEM || !d->md.invalid ? no_memory(err) : PT_OK;
}

static void put_texts(struct pt_packer *p, struct pt_md *md)
{
    const char **const always[] = {&md->current_revision, &md->update_revision, &md->digest, &md->last_scale, &md->healthy},
                       **const some[] = {&md->invalid,     &md->last_failure,  &md->rollback_to,   &md->cause,
                                         &md->rolled_back, &md->health_reason, &md->health_message};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        pt_pack_put(p, always[i], *always[i]);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (*some[i])
            pt_pack_put(p, some[i], *some[i]);
}

/* d->md is what *out gets a copy of; what it holds besides texts goes with it. */
static int read_md(struct draft *d, struct pt_str json, const struct pt_md *was, struct pt_object **out, struct pt_err *err)
{
    struct parts parts = {PT_STR(""), PT_STR("")};
    struct pt_packer p = {.count = 0};
    struct pt_md *md = &d->md;
    struct pt_json j;
    pt_auto_obj *tree = NULL;
    pt_json_init(&j, json.p ? json.p : "", json.len);
    int rc = pt_json_kind(&j, err) == PT_JSON_OBJECT ? each_member(&j, object_member, &parts, err) : pt_fail(err, PT_EPARSE, "not a JSON object");
    if (rc < 0 || (rc = pt_json_end(&j, err)) < 0)
        return pt_wrap(err, "ModelDeployment");
    if (parse_metadata(parts.metadata, &tree, err) < 0 || pt_object_meta(&p, &md->o, tree, err) < 0)
        return err->code;
    md->generation = pt_obj_int(tree, "metadata.generation", 0);
    md->deleting = pt_obj_get(tree, "metadata.deletionTimestamp") != NULL;
    md->rollback_to = annotation(tree, PT_ANNOTATION_ROLLBACK);
    md->cause = annotation(tree, PT_ANNOTATION_CAUSE);
    md->rolled_back = annotation(tree, PT_ANNOTATION_ROLLED_BACK);
    bool same_spec = was && md->generation > 0 && was->generation == md->generation && !strcmp(was->o.uid, pt_obj_text(tree, "metadata.uid"));
    if ((rc = read_status(d, parts.status, err)) < 0 || (rc = same_spec ? copy_spec(d, was, err) : read_spec(d, json, err)) < 0)
        return rc;
    put_texts(&p, md);
    struct pt_md *packed = pt_pack(&p, md, sizeof *md);
    *out = packed ? &packed->o : NULL;
    return packed ? PT_OK : no_memory(err);
}

int pt_md_decode_after(struct pt_str json, const struct pt_object *was, struct pt_object **out, struct pt_err *err)
{
    struct draft d = {.md.generation = 0};
    pt_arena_init(&d.texts, 0);
    int rc = read_md(&d, json, (const struct pt_md *)was, out, err);
    if (rc < 0) {
        pt_spec_finish(&d.md.spec);
        pt_free(d.md.compression);
    }
    pt_arena_finish(&d.texts);
    return rc;
}

int pt_md_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    return pt_md_decode_after(json, NULL, out, err);
}
