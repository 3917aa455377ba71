/* SPDX-License-Identifier: Apache-2.0
 *
 * spec_check.c: an object is walked against the table; containers, which the table alone cannot judge.
 */
#include "operator/model/spec_fields.h"

#include "base/contract.h"

#include <stdio.h>

/* --- the walk ------------------------------------------------------------------------------------------------------------ */

static const struct pt_field *field_of(const struct pt_field *fields, const char *name)
{
    for (; fields && fields->name; fields++)
        if (!strcmp(fields->name, name))
            return fields;
    return NULL;
}

static int check_list(const cJSON *v, const struct pt_field *f, const char *path, struct pt_err *err)
{
    const cJSON *e;
    char at[256];
    int i = 0;
    if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) > f->max)
        return pt_spec_bad(v, path, "must be a list, and not too long", err);
    cJSON_ArrayForEach(e, v)
    {
        snprintf(at, sizeof at, "%.240s[%d]", path, i++);
        if (!cJSON_IsObject(e))
            return pt_spec_bad(e, at, "must be an object", err);
        if (f->members && pt_spec_check_object(e, f->members, NULL, at, err) < 0)
            return PT_EINVAL;
    }
    return PT_OK;
}

static int check_map(const cJSON *v, const struct pt_field *f, const char *path, struct pt_err *err)
{
    const cJSON *e;
    char at[384];
    if (!cJSON_IsObject(v) || cJSON_GetArraySize(v) > f->max)
        return pt_spec_bad(v, path, "must be a map, and not too large", err);
    cJSON_ArrayForEach(e, v)
    {
        snprintf(at, sizeof at, "%.150s[%.200s]", path, e->string);
        if (!cJSON_IsString(e))
            return pt_spec_bad(e, at, "must be text", err);
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

static bool is_whole(const cJSON *v, const struct pt_field *f)
{
    return cJSON_IsNumber(v) && v->valuedouble >= (double)f->min && v->valuedouble <= (double)f->max && v->valuedouble == (double)(int64_t)v->valuedouble;
}

static int check_value(const cJSON *v, const struct pt_field *f, const char *path, struct pt_err *err)
{
    char why[96];
    int64_t n = 0;
    struct pt_amount amount;
    switch (f->kind) {
    case PT_FIELD_LATER:
        return pt_spec_bad(v, path, "not supported in v" PT_VERSION, err);
    case PT_FIELD_INT:
        if (!is_whole(v, f)) {
            snprintf(why, sizeof why, "must be a whole number from %lld to %lld", (long long)f->min, (long long)f->max);
            return pt_spec_bad(v, path, why, err);
        }
        break;
    case PT_FIELD_NUMBER:
        if (!cJSON_IsNumber(v) || !(v->valuedouble >= -1e300 && v->valuedouble <= 1e300))
            return pt_spec_bad(v, path, "must be a number", err);
        break;
    case PT_FIELD_BOOL:
        if (!cJSON_IsBool(v))
            return pt_spec_bad(v, path, "must be true or false", err);
        break;
    case PT_FIELD_TEXT:
        if (!cJSON_IsString(v) || strlen(v->valuestring) < (size_t)f->min || strlen(v->valuestring) > (size_t)f->max) {
            snprintf(why, sizeof why, "must be text of %lld to %lld bytes", (long long)f->min, (long long)f->max);
            return pt_spec_bad(v, path, why, err);
        }
        break;
    case PT_FIELD_DURATION:
        if (!cJSON_IsString(v) || pt_parse_duration_ms(pt_str(v->valuestring), path, &n, NULL) < 0 || n < f->min || n > f->max) {
            snprintf(why, sizeof why, "must be a duration like \"30s\", from %lldms to %lldms", (long long)f->min, (long long)f->max);
            return pt_spec_bad(v, path, why, err);
        }
        break;
    case PT_FIELD_TARGET:
        if (cJSON_IsString(v) ? pt_parse_duration_ms(pt_str(v->valuestring), path, &n, NULL) < 0 || n < 1 || n > 3600000 : !is_whole(v, f)) {
            snprintf(why, sizeof why, "must be a whole number from %lld to %lld, or a duration like \"50ms\", up to 1h", (long long)f->min, (long long)f->max);
            return pt_spec_bad(v, path, why, err);
        }
        break;
    case PT_FIELD_AMOUNT:
        return pt_spec_read_amount(v, path, &amount, err);
    case PT_FIELD_LIST:
        if (check_list(v, f, path, err) < 0)
            return PT_EINVAL;
        break;
    case PT_FIELD_MAP:
        if (check_map(v, f, path, err) < 0)
            return PT_EINVAL;
        break;
    case PT_FIELD_TEXTS:
        if (!is_texts(v, f->max))
            return pt_spec_bad(v, path, "must be a list of texts, and not too long", err);
        break;
    case PT_FIELD_OBJECT:
    case PT_FIELD_TREE:
        if (!cJSON_IsObject(v))
            return pt_spec_bad(v, path, "must be an object", err);
        if (f->kind == PT_FIELD_OBJECT && !f->check)
            return pt_spec_check_object(v, f->members, NULL, path, err);
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

int pt_spec_check_object(const cJSON *o, const struct pt_field *fields, const struct pt_field *more, const char *path, struct pt_err *err)
{
    const cJSON *v, *again;
    char at[256];
    cJSON_ArrayForEach(v, o)
    {
        const struct pt_field *f = field_of(fields, v->string);
        if (!f)
            f = field_of(more, v->string);
        join(at, path, v->string);
        if (!f)
            return pt_spec_bad(v, at, "unknown field", err);
        for (again = v->next; again; again = again->next)
            if (!strcmp(again->string, v->string))
                return pt_spec_bad(again, at, "is there twice", err);
        if (!cJSON_IsNull(v) && check_value(v, f, at, err) < 0)
            return PT_EINVAL;
    }
    for (const struct pt_field *f = fields; f->name; f++)
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
    if (pt_spec_check_object(c, pt_spec_container_fields, NULL, path, err) < 0)
        return PT_EINVAL;
    if (!pt_is_dns_label(pt_str(name)))
        return pt_spec_bad(c, path, "name must be a lower-case RFC 1123 label", err);
    if (restart && (!init || strcmp(restart, "Always") != 0))
        return pt_spec_bad(c, path, "restartPolicy: only Always, and only of an init container", err);
    snprintf(at, sizeof at, "%.230s.ports", path);
    cJSON_ArrayForEach(p, pt_obj_get(c, "ports"))
    {
        for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
            if (!strcmp(pt_obj_text(p, "name"), ports[i]))
                return pt_spec_bad(p, at, "http, grpc and metrics are names of the sidecar's ports", err);
    }
    snprintf(at, sizeof at, "%.230s.volumeMounts", path);
    cJSON_ArrayForEach(p, pt_obj_get(c, "volumeMounts")) if (!strncmp(pt_obj_text(p, "name"), "pintle-", 7)) return pt_spec_bad(
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
            return pt_spec_bad(b, path, "two containers have this name", err);
    }
    return PT_OK;
}

int pt_spec_check_containers(const cJSON *list, const char *path, struct pt_err *err)
{
    const cJSON *c;
    char at[256];
    int i = 0, rc = PT_OK;
    cJSON_ArrayForEach(c, list)
    {
        snprintf(at, sizeof at, "%.200s[%d]", path, i++);
        rc = is_sidecar(c) ? pt_spec_check_object(c, pt_spec_sidecar_fields, NULL, at, err) : check_own_container(c, at, false, err);
        if (rc < 0)
            return rc;
    }
    return check_names(list, path, err);
}

int pt_spec_check_init_containers(const cJSON *list, const char *path, struct pt_err *err)
{
    const cJSON *c;
    char at[256];
    int i = 0;
    cJSON_ArrayForEach(c, list)
    {
        snprintf(at, sizeof at, "%.200s[%d]", path, i++);
        if (is_sidecar(c))
            return pt_spec_bad(c, at, "the container \"" PT_CONTAINER "\" is changed below containers", err);
        if (check_own_container(c, at, true, err) < 0)
            return PT_EINVAL;
    }
    return check_names(list, path, err);
}

/* A name of an init container must not be that of a container either. */
int pt_spec_check_all_names(const cJSON *spec, bool *own, struct pt_err *err)
{
    const cJSON *c, *init;
    *own = cJSON_GetArraySize(pt_obj_get(spec, "template.spec.initContainers")) > 0;
    cJSON_ArrayForEach(c, pt_obj_get(spec, "template.spec.containers"))
    {
        *own |= !is_sidecar(c);
        cJSON_ArrayForEach(
            init,
            pt_obj_get(spec,
                       "template.spec.initContainers")) if (!strcmp(pt_obj_text(c, "name"),
                                                                    pt_obj_text(init, "name"))) return pt_spec_bad(c, "spec.template.spec.containers",
                                                                                                                   "an init container has this name",
                                                                                                                   err);
    }
    return PT_OK;
}
