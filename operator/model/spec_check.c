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

/* Bounds of texts count what a reader counts, as those of the CRD do. */
int64_t pt_spec_characters(const char *text)
{
    int64_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool is_whole(const cJSON *v, const struct pt_field *f)
{
    return cJSON_IsNumber(v) && v->valuedouble >= (double)f->min && v->valuedouble <= (double)f->max &&
           v->valuedouble == (double)(int64_t)v->valuedouble;
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
        if (!cJSON_IsString(v) || pt_spec_characters(v->valuestring) < f->min || pt_spec_characters(v->valuestring) > f->max) {
            snprintf(why, sizeof why, "must be text of %lld to %lld characters", (long long)f->min, (long long)f->max);
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
            snprintf(why, sizeof why, "must be a whole number from %lld to %lld, or a duration like \"50ms\", up to 1h", (long long)f->min,
                     (long long)f->max);
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

static int check_own_container(const cJSON *c, const char *path, bool init, struct pt_err *err)
{
    const char *name = pt_obj_str(c, "name"), *restart = pt_obj_str(c, "restartPolicy");
    if (pt_spec_check_object(c, pt_spec_container_fields, NULL, path, err) < 0)
        return PT_EINVAL;
    if (!pt_is_dns_label(pt_str(name)))
        return pt_spec_bad(c, path, "name must be a lower-case RFC 1123 label", err);
    if (restart && (!init || strcmp(restart, "Always") != 0))
        return pt_spec_bad(c, path, "restartPolicy: only Always, and only of an init container", err);
    return PT_OK;
}

int pt_spec_check_once(const cJSON *list, const char *key, const char *path, struct pt_err *err)
{
    const cJSON *a, *b;
    char why[64];
    snprintf(why, sizeof why, "two have this %s", key);
    cJSON_ArrayForEach(a, list) for (b = a->next; b; b = b->next)
    {
        const char *x = pt_obj_str(a, key), *y = pt_obj_str(b, key);
        if (x && y && !strcmp(x, y))
            return pt_spec_bad(b, path, why, err);
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
    return pt_spec_check_once(list, "name", path, err);
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
    return pt_spec_check_once(list, "name", path, err);
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

/* All containers share an address. */
int pt_spec_check_ports(const cJSON *spec, const int ours[3], struct pt_err *err)
{
    static const char *const lists[] = {"template.spec.containers", "template.spec.initContainers"};
    const cJSON *c, *p;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        cJSON_ArrayForEach(c, pt_obj_get(spec, lists[i])) cJSON_ArrayForEach(p, pt_obj_get(c, "ports"))
        {
            const char *protocol = pt_obj_str(p, "protocol");
            int64_t port = pt_obj_int(p, "containerPort", 0);
            if ((port == ours[0] || port == ours[1] || port == ours[2]) && (!protocol || !strcmp(protocol, "TCP")))
                return pt_fail(err, PT_EINVAL, "spec.%s: container \"%s\": port %lld is the sidecar's (spec.serving)", lists[i],
                               pt_obj_text(c, "name"), (long long)port);
        }
    return PT_OK;
}

/* --- null ---------------------------------------------------------------------------------------------------------------- */

static void drop_nulls(cJSON *o)
{
    for (cJSON *c = o ? o->child : NULL, *next; c; c = next) {
        next = c->next;
        if (cJSON_IsNull(c))
            pt_obj_free(cJSON_DetachItemViaPointer(o, c));
        else if (cJSON_IsObject(c))
            drop_nulls(c);
    }
}

static const struct pt_field *members_of(const struct pt_field *f)
{
    bool containers = f->check == pt_spec_check_containers || f->check == pt_spec_check_init_containers;
    return containers ? pt_spec_container_fields : f->members;
}

void pt_spec_drop_nulls(cJSON *o, const struct pt_field *fields)
{
    for (const struct pt_field *f = fields; f && f->name; f++) {
        cJSON *v = cJSON_GetObjectItemCaseSensitive(o, f->name), *e;
        if (cJSON_IsNull(v) && pt_obj_own(o)) /* deeper, what o shares was admitted before, and has none */
            cJSON_DeleteItemFromObjectCaseSensitive(o, f->name);
        else if (f->kind == PT_FIELD_MAP || f->check == pt_spec_check_resources)
            drop_nulls(v);
        else if (cJSON_IsArray(v))
            cJSON_ArrayForEach(e, v) pt_spec_drop_nulls(e, members_of(f));
        else if (cJSON_IsObject(v))
            pt_spec_drop_nulls(v, members_of(f));
    }
}
