/* SPDX-License-Identifier: Apache-2.0
 *
 * obj.c: see obj.h. Writing, paths and merges; reading is tree.c.
 */
#include "operator/ctrl/obj.h"
#include "base/json.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

void pt_obj_delete_ptr(cJSON **o)
{
    pt_obj_free(*o);
    *o = NULL;
}

static void put_number(const cJSON *o, struct pt_buf *out)
{
    double v = o->valuedouble;
    char text[32];
    if (v >= -9007199254740992.0 && v <= 9007199254740992.0 && v == (double)(int64_t)v) {
        char *p = text + sizeof text;
        uint64_t n = (uint64_t)(v < 0 ? -v : v);
        do
            *--p = (char)('0' + n % 10);
        while (n /= 10);
        if (v < 0)
            *--p = '-';
        pt_buf_append(out, p, (size_t)(text + sizeof text - p));
        return;
    }
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back equal */
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) // NOLINT: equality is meant
            break;
    }
    pt_buf_puts(out, text);
}

static void put(const cJSON *o, struct pt_buf *out, bool canonical);

void pt_obj_print_name(const cJSON *c, struct pt_buf *out)
{
    size_t n = strlen(c->string);
    char *to = c->type & cJSON_StringIsConst ? pt_buf_reserve(out, n + 3) : NULL;
    if (to) { /* a known name: nothing in it needs an escape */
        to[0] = '"';
        memcpy(to + 1, c->string, n);
        memcpy(to + 1 + n, "\":", 2);
        out->len += n + 3;
    } else {
        pt_buf_json_string(out, (struct pt_str){c->string, n});
        pt_buf_putc(out, ':');
    }
}

static void put_member(const cJSON *c, struct pt_buf *out, bool canonical, bool *first)
{
    if (canonical && (c->type & 0xff) == cJSON_NULL)
        return;
    if (!*first)
        pt_buf_putc(out, ',');
    *first = false;
    pt_obj_print_name(c, out);
    put(c, out, canonical);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Few members are most often in order already. */
static void insert(const cJSON **members, size_t n, const cJSON *c)
{
    for (; n > 0 && strcmp(members[n - 1]->string, c->string) > 0; n--)
        members[n] = members[n - 1];
    members[n] = c;
}

static void put_sorted(const cJSON *o, struct pt_buf *out, bool *first)
{
    const cJSON *few[32], *c;
    size_t n = 0, i = 0;
    cJSON_ArrayForEach(c, o) n++;
    pt_auto_free const cJSON **many = n > 32 ? pt_reallocarray(NULL, n, sizeof *many) : NULL;
    const cJSON **members = n > 32 ? many : few;
    if (!members) {
        out->failed = PT_ENOMEM;
        return;
    }
    if (n > 32) {
        cJSON_ArrayForEach(c, o) members[i++] = c;
        qsort(members, n, sizeof *members, by_name);
    } else {
        cJSON_ArrayForEach(c, o) insert(members, i++, c);
    }
    for (i = 0; i < n; i++)
        put_member(members[i], out, true, first);
}

static void put_object(const cJSON *o, struct pt_buf *out, bool canonical)
{
    const cJSON *c;
    bool first = true;
    pt_buf_putc(out, '{');
    if (canonical)
        put_sorted(o, out, &first);
    else
        cJSON_ArrayForEach(c, o) put_member(c, out, false, &first);
    pt_buf_putc(out, '}');
}

static void put(const cJSON *o, struct pt_buf *out, bool canonical)
{
    switch (o->type & 0xff) {
    case cJSON_True:
        pt_buf_puts(out, "true");
        break;
    case cJSON_False:
        pt_buf_puts(out, "false");
        break;
    case cJSON_Number:
        put_number(o, out);
        break;
    case cJSON_String:
        pt_buf_json_string(out, pt_str(o->valuestring));
        break;
    case cJSON_Object:
        put_object(o, out, canonical);
        break;
    case cJSON_Array:
        pt_buf_putc(out, '[');
        for (const cJSON *c = o->child; c; c = c->next) {
            put(c, out, canonical);
            if (c->next)
                pt_buf_putc(out, ',');
        }
        pt_buf_putc(out, ']');
        break;
    default:
        pt_buf_puts(out, "null");
    }
}

int pt_obj_print(const cJSON *o, struct pt_buf *out, struct pt_err *err)
{
    put(o, out, false);
    return pt_buf_check(out, "write JSON", err);
}

int pt_obj_canonical(const cJSON *o, struct pt_buf *out, struct pt_err *err)
{
    put(o, out, true);
    return pt_buf_check(out, "write JSON", err);
}

/* Whether text is canonical is asked of each status that comes, so this is one pass of its own: no blanks, names in order, everything plain. */

/* Cuts the plain string at *p. */
static bool cut_plain(const char **p, const char *end, struct pt_str *out)
{
    if (*p == end || **p != '"')
        return false;
    const char *start = *p + 1;
    *out = (struct pt_str){start, pt_json_plain(start, (size_t)(end - start))};
    *p = start + out->len;
    return *p < end && *(*p)++ == '"';
}

/* Passes a word other than null, or a number that is whole and short: such a one is written as it was read. */
static bool pass_scalar(const char **p, const char *end)
{
    const char *start = *p + (*p < end && **p == '-'), *at = start;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    if (at > start) {
        bool negative = start > *p, whole = at == end || (*at != '.' && (*at | 32) != 'e');
        *p = at;
        return whole && at - start < 16 && (*start != '0' || (at == start + 1 && !negative));
    }
    size_t left = (size_t)(end - *p), n = left >= 4 && !memcmp(*p, "true", 4) ? 4 : left >= 5 && !memcmp(*p, "false", 5) ? 5 : 0;
    *p += n;
    return n > 0;
}

/* Passes the name of a member, which comes after the one before. */
static bool pass_name(const char **p, const char *end, struct pt_str *last)
{
    struct pt_str name;
    if (!cut_plain(p, end, &name) || *p == end || *(*p)++ != ':')
        return false;
    int order = last->p ? memcmp(last->p, name.p, last->len < name.len ? last->len : name.len) : -1;
    bool after = order < 0 || (order == 0 && last->len < name.len);
    *last = name;
    return after;
}

bool pt_obj_is_canonical(struct pt_str text)
{
    const char *p = text.p, *end = text.len ? p + text.len : p;
    struct level {
        bool object;
        struct pt_str last; /* member's name */
    } levels[PT_JSON_MAX_DEPTH], *in = levels; /* in: behind the innermost one that is open */
    struct pt_str string;
    for (;;) {
        if (p == end)
            return false;
        bool object = *p == '{';
        if (object || *p == '[') {
            if (in == levels + PT_JSON_MAX_DEPTH || ++p == end)
                return false;
            *in++ = (struct level){.object = object};
            if (*p != (object ? '}' : ']')) {
                if (object && !pass_name(&p, end, &in[-1].last))
                    return false;
                continue;
            }
        } else if (!(*p == '"' ? cut_plain(&p, end, &string) : pass_scalar(&p, end))) {
            return false;
        }
        for (; in > levels && p < end && *p == (in[-1].object ? '}' : ']'); p++)
            in--;
        if (in == levels)
            return p == end;
        if (p == end || *p++ != ',' || (in[-1].object && !pass_name(&p, end, &in[-1].last)))
            return false;
    }
}

/* The member named by the first n bytes of name; an object may repeat a name: the last one counts, as for an API server. */
static cJSON *member(const cJSON *o, const char *name, size_t n)
{
    cJSON *found = NULL;
    if (o && (o->type & 0xff) == cJSON_Object)
        for (cJSON *c = o->child; c; c = c->next)
            if (c->string && c->string[0] == name[0] && !strncmp(c->string, name, n) && !c->string[n])
                found = c;
    return found;
}

/* Of the first part of a path. */
static inline size_t part_len(const char *path)
{
    return (size_t)(strchrnul(path, '.') - path);
}

cJSON *pt_obj_mut(cJSON *o, const char *path)
{
    while (o && pt_obj_own(o)) {
        if (!*path)
            return o;
        size_t n = part_len(path);
        o = member(o, path, n);
        path += n + (path[n] == '.');
    }
    return NULL;
}

const cJSON *pt_obj_get(const cJSON *o, const char *path)
{
    while (o && *path) {
        size_t n = part_len(path);
        o = cJSON_IsArray(o) ? cJSON_GetArrayItem(o, atoi(path)) : member(o, path, n);
        path += n + (path[n] == '.');
    }
    return o;
}

const char *pt_obj_text(const cJSON *o, const char *path)
{
    const char *s = pt_obj_str(o, path);
    return s ? s : "";
}

const char *pt_obj_str(const cJSON *o, const char *path)
{
    return cJSON_GetStringValue(pt_obj_get(o, path));
}

int64_t pt_obj_int(const cJSON *o, const char *path, int64_t otherwise)
{
    const cJSON *n = pt_obj_get(o, path);
    return cJSON_IsNumber(n) && n->valuedouble >= -9e15 && n->valuedouble <= 9e15 ? (int64_t)n->valuedouble : otherwise;
}

bool pt_obj_true(const cJSON *o, const char *path)
{
    return cJSON_IsTrue(pt_obj_get(o, path));
}

int pt_obj_set(cJSON *o, const char *name, cJSON *value, struct pt_err *err)
{
    if (value && o && pt_obj_own(o)) {
        size_t n = strlen(name);
        cJSON *old = member(o, name, n);
        const char *known = pt_name_known(name, n);
        if (old) { /* the new one gets its place and its name */
            if (value->string && !(value->type & cJSON_StringIsConst))
                cJSON_free(value->string);
            value->string = old->string;
            value->type = (value->type & ~cJSON_StringIsConst) | (old->type & cJSON_StringIsConst);
            old->string = NULL;
            return cJSON_ReplaceItemViaPointer(o, old, value) ? PT_OK : pt_fail(err, PT_EINVAL, "set %s: not in the object", name);
        }
        if (known ? cJSON_AddItemToObjectCS(o, known, value) : cJSON_AddItemToObject(o, name, value))
            return PT_OK;
    }
    pt_obj_free(value);
    return pt_fail(err, PT_ENOMEM, "set %s: out of memory", name);
}

cJSON *pt_obj_ensure(cJSON *o, const char *path)
{
    while (o && pt_obj_own(o)) {
        if (!*path)
            return o;
        size_t n = part_len(path);
        cJSON *next = member(o, path, n);
        if (!cJSON_IsObject(next)) {
            pt_auto_free char *name = pt_strndup(path, n);
            cJSON *fresh = name ? cJSON_CreateObject() : NULL;
            if (!name || pt_obj_set(o, name, fresh, NULL) < 0)
                return NULL;
            next = fresh;
        }
        o = next;
        path += n + (path[n] == '.');
    }
    return NULL;
}

/* Two objects most often have their members in the same order: then this is one walk. */
bool pt_obj_equal(const cJSON *a, const cJSON *b)
{
    int type = a ? a->type & 0xff : 0;
    if (!a || !b || type != (b->type & 0xff))
        return a == b;
    if (type == cJSON_String)
        return a->valuestring == b->valuestring || !strcmp(a->valuestring, b->valuestring);
    if (type == cJSON_Number)
        return !(a->valuedouble < b->valuedouble) && !(a->valuedouble > b->valuedouble);
    const cJSON *x = a->child, *y = b->child;
    if (x == y) /* shared, or both are empty */
        return true;
    for (; x && y; x = x->next, y = y->next) {
        const cJSON *other = type != cJSON_Object || x->string == y->string || !strcmp(x->string, y->string) ? y : member(b, x->string, strlen(x->string));
        if (!other || !pt_obj_equal(x, other))
            return false;
    }
    return !x && !y;
}

/* --- merges ---------------------------------------------------------------------------------------------------------- */

/* A member that was added goes before the first one with a greater name: what is in the order of names stays so, as with an API server's. */
static void put_in_place(cJSON *o)
{
    cJSON *first = o->child, *last = first ? first->prev : NULL, *at = first;
    while (at != last && strcmp(at->string, last->string) < 0)
        at = at->next;
    if (at == last)
        return;
    last->prev->next = NULL;
    first->prev = last->prev;
    last->next = at;
    last->prev = at->prev;
    if (at == first)
        o->child = last;
    else
        at->prev->next = last;
    at->prev = last;
}

typedef int merge_fn(cJSON *target, const cJSON *patch, struct pt_err *err);
typedef cJSON *value_fn(const cJSON *p);

/* The value of p, which nobody looks at again. */
static cJSON *take_value(const cJSON *p)
{
    cJSON *from = (cJSON *)(uintptr_t)p, *value = cJSON_CreateNull();
    if (!value)
        return NULL;
    value->type = from->type & ~cJSON_StringIsConst;
    value->child = pt_steal(from->child);
    value->valuestring = pt_steal(from->valuestring);
    value->valueint = from->valueint;
    value->valuedouble = from->valuedouble;
    return value;
}

/* Replaces or adds member p of the target; a new object is merged into an empty one so that its null members go. */
static int merge_member(cJSON *target, const cJSON *p, merge_fn *merge, value_fn *value_of, struct pt_err *err)
{
    cJSON *t = member(target, p->string, strlen(p->string));
    if (cJSON_IsNull(p)) {
        if (t)
            pt_obj_free(cJSON_DetachItemViaPointer(target, t));
        return PT_OK;
    }
    bool added = !t;
    cJSON *value = cJSON_IsObject(p) ? cJSON_IsObject(t) ? NULL : cJSON_CreateObject() : value_of(p);
    if ((value || !cJSON_IsObject(p) || !cJSON_IsObject(t)) && pt_obj_set(target, p->string, value, err) < 0)
        return err ? err->code : PT_ENOMEM;
    if (added)
        put_in_place(target);
    if (!cJSON_IsObject(p))
        return PT_OK;
    t = value ? value : t;
    return merge(t, p, err);
}

static int merge_members(cJSON *target, const cJSON *patch, merge_fn *merge, value_fn *value_of, struct pt_err *err)
{
    int rc = pt_obj_own(target) ? PT_OK : pt_fail(err, PT_ENOMEM, "merge: out of memory");
    for (const cJSON *p = patch->child; p && rc == PT_OK; p = p->next)
        rc = merge_member(target, p, merge, value_of, err);
    return rc;
}

int pt_obj_merge(cJSON *target, const cJSON *patch, struct pt_err *err)
{
    return merge_members(target, patch, pt_obj_merge, pt_obj_copy, err);
}

static int merge_away(cJSON *target, const cJSON *patch, struct pt_err *err)
{
    return merge_members(target, patch, merge_away, take_value, err);
}

int pt_obj_merge_away(cJSON *target, cJSON *patch, struct pt_err *err)
{
    return merge_away(target, patch, err);
}

/* What names an element of a list; whole: an element that is there is replaced, not merged (a volume has one source). */
static const struct list_key {
    const char *list, *key, *other_key;
    bool whole;
} list_keys[] = {
    {"containers", "name", NULL, false},
    {"initContainers", "name", NULL, false},
    {"ephemeralContainers", "name", NULL, false},
    {"volumes", "name", NULL, true},
    {"env", "name", NULL, true},
    {"imagePullSecrets", "name", NULL, false},
    {"volumeMounts", "mountPath", NULL, false},
    {"volumeDevices", "devicePath", NULL, false},
    {"ports", "containerPort", "port", false},
    {"conditions", "type", NULL, false},
    {"topologySpreadConstraints", "topologyKey", NULL, false},
    {"hostAliases", "ip", NULL, false},
    {"ownerReferences", "uid", NULL, false},
    {"readinessGates", "conditionType", NULL, false},
    {"containerStatuses", "name", NULL, false},
    {"initContainerStatuses", "name", NULL, false},
};

static const struct list_key *key_of(const char *list)
{
    for (size_t i = 0; i < sizeof list_keys / sizeof *list_keys; i++)
        if (!strcmp(list, list_keys[i].list))
            return &list_keys[i];
    return NULL;
}

static cJSON *element(cJSON *list, const char *key, const cJSON *value)
{
    for (cJSON *e = list->child; e; e = e->next)
        if (cJSON_Compare(member(e, key, strlen(key)), value, 1))
            return e;
    return NULL;
}

static const char *directive(const cJSON *o)
{
    const char *d = cJSON_GetStringValue(member(o, "$patch", 6));
    return d ? d : "";
}

static int append_merged(cJSON *list, const cJSON *p, struct pt_err *err)
{
    cJSON *fresh = cJSON_CreateObject();
    if (!fresh)
        return pt_fail(err, PT_ENOMEM, "merge: out of memory");
    if (pt_obj_strategic(fresh, p, err) < 0 || !cJSON_AddItemToArray(list, fresh)) {
        pt_obj_free(fresh);
        return pt_fail(err, PT_ENOMEM, "merge: out of memory");
    }
    return PT_OK;
}

static int merge_element(cJSON *list, const struct list_key *k, const cJSON *p, struct pt_err *err)
{
    const char *key = k->key;
    const cJSON *value = member(p, key, strlen(key));
    if (!value && k->other_key) {
        key = k->other_key;
        value = member(p, key, strlen(key));
    }
    if (!value)
        return pt_fail(err, PT_EINVAL, "%s: an element has no %s", k->list, k->key);
    cJSON *e = element(list, key, value);
    if (!strcmp(directive(p), "delete")) {
        if (e)
            pt_obj_free(cJSON_DetachItemViaPointer(list, e));
        return PT_OK;
    }
    if (!e)
        return append_merged(list, p, err);
    if (!k->whole)
        return pt_obj_strategic(e, p, err);
    cJSON *copy = pt_obj_copy(p);
    if (!copy || !cJSON_ReplaceItemViaPointer(list, e, copy)) {
        pt_obj_free(copy);
        return pt_fail(err, PT_ENOMEM, "merge: out of memory");
    }
    return PT_OK;
}

static int merge_list(cJSON *target, const cJSON *p, const struct list_key *k, struct pt_err *err)
{
    cJSON *t = member(target, p->string, strlen(p->string));
    if (!cJSON_IsArray(t)) {
        t = cJSON_CreateArray();
        if (pt_obj_set(target, p->string, t, err) < 0)
            return PT_ENOMEM;
    }
    int rc = pt_obj_own(t) ? PT_OK : pt_fail(err, PT_ENOMEM, "merge: out of memory");
    for (const cJSON *e = p->child; e && rc == PT_OK; e = e->next)
        rc = cJSON_IsObject(e) ? merge_element(t, k, e, err) : pt_fail(err, PT_EINVAL, "%s: an element is not an object", k->list);
    return rc;
}

int pt_obj_strategic(cJSON *target, const cJSON *patch, struct pt_err *err)
{
    int rc = pt_obj_own(target) ? PT_OK : pt_fail(err, PT_ENOMEM, "merge: out of memory");
    const char *d = directive(patch);
    if (rc < 0)
        return rc;
    if (!strcmp(d, "replace") || !strcmp(d, "delete"))
        while (target->child)
            pt_obj_free(cJSON_DetachItemViaPointer(target, target->child));
    else if (*d && strcmp(d, "merge") != 0)
        return pt_fail(err, PT_EINVAL, "$patch: \"%s\" is not known; delete, replace or merge", d);
    if (!strcmp(d, "delete"))
        return PT_OK;
    for (const cJSON *p = patch->child; p && rc == PT_OK; p = p->next) {
        if (!strcmp(p->string, "$patch"))
            continue;
        if (p->string[0] == '$')
            return pt_fail(err, PT_EUNSUPPORTED, "strategic merge: %s is not supported", p->string);
        const struct list_key *k = cJSON_IsArray(p) ? key_of(p->string) : NULL;
        rc = k ? merge_list(target, p, k, err) : merge_member(target, p, pt_obj_strategic, pt_obj_copy, err);
    }
    return rc;
}
