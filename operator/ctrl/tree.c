/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.c: from text to a cJSON tree, and the memory of such trees.
 *
 * A controller lives on small JSON objects: each is parsed, looked at and dropped, a hundred nodes at a time. So nodes and short strings come from
 * free lists of a few sizes, bounded, per thread; each block carries its size class in front. And the text is read by base/json, which is
 * several times as fast as cJSON's own parser and knows UTF-8. Under AddressSanitizer every block is malloc's, so that it sees wrong uses.
 * Member names that objects of Kubernetes have all the time are not copied: they are in names.inc, for ever, and marked so that cJSON leaves them
 * alone.
 */
#include "operator/ctrl/obj.h"
#include "base/json.h"
#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>

#define KEPT_MAX 4096 /* blocks of one class that wait for use */

/* --- memory -------------------------------------------------------------------------------------------------------------- */

union block {
    size_t class; /* in use; CLASSES: not of a class */
    union block *next;
};
static const size_t sizes[] = {16, 32, sizeof(cJSON), 128};
enum { CLASSES = sizeof sizes / sizeof *sizes };

static _Thread_local union block *kept[CLASSES];
static _Thread_local unsigned kept_count[CLASSES];

static inline size_t class_of(size_t size)
{
    return size <= sizes[0] ? 0 : size <= sizes[1] ? 1 : size <= sizes[2] ? 2 : size <= sizes[3] ? 3 : CLASSES;
}

__attribute__((noinline)) static void *allocate_more(size_t size, size_t c)
{
    size_t payload = c < CLASSES ? sizes[c] : size;
    union block *b = !pt_mem_must_fail() && payload < SIZE_MAX - sizeof *b ? malloc(sizeof *b + payload) : NULL;
    if (!b)
        return NULL;
    b->class = c;
    return b + 1;
}

static inline void *allocate(size_t size)
{
    size_t c = class_of(size);
    union block *b = c < CLASSES ? kept[c] : NULL;
    if (!b || (pt_mem_is_armed() && pt_mem_must_fail()))
        return b ? NULL : allocate_more(size, c);
    kept[c] = b->next;
    kept_count[c]--;
    b->class = c;
    return b + 1;
}

static void *allocate_hook(size_t size)
{
    return allocate(size);
}

static void release(void *p)
{
    union block *b = p ? (union block *)p - 1 : NULL;
    if (!b)
        return;
    size_t c = b->class;
#ifdef __SANITIZE_ADDRESS__
    c = CLASSES;
#endif
    if (c == CLASSES || kept_count[c] >= KEPT_MAX) {
        free(b);
        return;
    }
    b->next = kept[c];
    kept[c] = b;
    kept_count[c]++;
}

__attribute__((constructor)) static void use_our_memory(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){allocate_hook, release});
}

void pt_obj_free(cJSON *o)
{
    for (cJSON *next; o; o = next) {
        next = o->next;
        if (!(o->type & cJSON_IsReference)) {
            if (o->child)
                pt_obj_free(o->child);
            release(o->valuestring);
        }
        if (!(o->type & cJSON_StringIsConst))
            release(o->string);
        release(o);
    }
}

static bool copy_chars(const char *text, char **out)
{
    size_t n = strlen(text) + 1;
    *out = allocate(n);
    if (*out)
        memcpy(*out, text, n);
    return *out;
}

static bool copy_node(const cJSON *o, cJSON *copy)
{
    *copy = (cJSON){.type = o->type & ~cJSON_IsReference, .valueint = o->valueint, .valuedouble = o->valuedouble}; /* what share.c keeps there means nothing then */
    if (o->valuestring && !copy_chars(o->valuestring, &copy->valuestring))
        return false;
    if (o->type & cJSON_StringIsConst)
        copy->string = o->string;
    else if (o->string && !copy_chars(o->string, &copy->string))
        return false;
    cJSON *last = NULL;
    for (const cJSON *c = o->child; c; c = c->next) {
        cJSON *child = allocate(sizeof *child);
        if (!child)
            return false;
        bool good = copy_node(c, child);
        if (last)
            last->next = child;
        else
            copy->child = child;
        child->prev = last;
        last = child;
        copy->child->prev = last; /* the first one's prev is the last one */
        if (!good)
            return false;
    }
    return true;
}

cJSON *pt_obj_copy(const cJSON *o)
{
    cJSON *copy = o ? allocate(sizeof *copy) : NULL;
    if (copy && !copy_node(o, copy)) {
        pt_obj_free(copy);
        return NULL;
    }
    return copy;
}

/* --- names --------------------------------------------------------------------------------------------------------------- */

#define NAME_SLOTS 1024
static const char *const names[] = {
#define PT_X(name) name,
#include "operator/ctrl/names.inc"
#undef PT_X
};
static struct {
    const char *text;
    size_t len;
} known_names[NAME_SLOTS];

static size_t slot_of(const char *p, size_t len)
{
    return ((size_t)(unsigned char)p[0] * 33 + (size_t)(unsigned char)p[len - 1] * 513 + (size_t)(unsigned char)p[len / 2] * 131 + len * 71) &
           (NAME_SLOTS - 1);
}

__attribute__((constructor)) static void know_names(void)
{
    _Static_assert(sizeof names / sizeof *names < NAME_SLOTS / 2, "a table that is half empty");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]), at = slot_of(names[i], len);
        while (known_names[at].text)
            at = (at + 1) & (NAME_SLOTS - 1);
        known_names[at].text = names[i];
        known_names[at].len = len;
    }
}

const char *pt_name_known(const char *p, size_t len)
{
    if (!len)
        return NULL;
    for (size_t at = slot_of(p, len); known_names[at].text; at = (at + 1) & (NAME_SLOTS - 1))
        if (known_names[at].len == len && !memcmp(known_names[at].text, p, len))
            return known_names[at].text;
    return NULL;
}

/* --- text ---------------------------------------------------------------------------------------------------------------- */

static int no_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "out of memory");
}

static int copy_text(struct pt_str s, char **out, struct pt_err *err)
{
    char *p = allocate(s.len + 1);
    if (!p)
        return no_memory(err);
    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = 0;
    *out = p;
    return PT_OK;
}

/* raw: between its quotes, as it stands in the text, just read from j. */
static int decode_text(const struct pt_json *in, struct pt_str raw, char **out, struct pt_err *err)
{
    if (in->plain || !memchr(raw.p, '\\', raw.len))
        return copy_text(raw, out, err);
    struct pt_json j;
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_json_init(&j, raw.p - 1, raw.len + 2); /* the quotes are there */
    int rc = pt_json_string(&j, &b, err);
    if (rc == PT_OK && memchr(b.data, 0, b.len))
        rc = pt_fail(err, PT_EPARSE, "a string has a zero character");
    return rc < 0 ? rc : copy_text((struct pt_str){b.data, b.len}, out, err);
}

static int new_node(int type, cJSON **out, struct pt_err *err)
{
    cJSON *o = allocate(sizeof *o);
    if (!o)
        return no_memory(err);
    *o = (cJSON){.type = type};
    *out = o;
    return PT_OK;
}

static void append(cJSON *parent, cJSON *child)
{
    cJSON *first = parent->child;
    if (!first) {
        parent->child = child;
        child->prev = child;
        return;
    }
    child->prev = first->prev;
    first->prev->next = child;
    first->prev = child; /* the first one's prev is the last one */
}

static int build(struct pt_json *j, cJSON **out, struct pt_err *err);

static int build_members(struct pt_json *j, cJSON *parent, struct pt_err *err)
{
    int rc = pt_json_object(j, err), more = 1;
    while (rc == PT_OK) {
        struct pt_str key;
        cJSON *child = NULL;
        char *name = NULL;
        if ((more = pt_json_member(j, &key, err)) != 1)
            return more;
        const char *known = pt_name_known(key.p, key.len);
        rc = known ? PT_OK : decode_text(j, key, &name, err);
        const char *at = j->p;
        if (rc == PT_OK)
            rc = build(j, &child, err);
        if (rc < 0) {
            struct pt_json value = {.start = at, .p = at, .end = j->end};
            int kind = pt_json_kind(&value, NULL);
            if ((known || name) && kind >= 0 && kind < PT_JSON_ARRAY)
                pt_wrap(err, "%s", known ? known : name);
            release(name);
        } else {
            child->string = known ? (char *)(uintptr_t)known : name;
            child->type |= known ? cJSON_StringIsConst : 0;
            append(parent, child);
        }
    }
    return rc;
}

static int build_elements(struct pt_json *j, cJSON *parent, struct pt_err *err)
{
    int rc = pt_json_array(j, err), more = 1;
    while (rc == PT_OK) {
        cJSON *child = NULL;
        if ((more = pt_json_element(j, err)) != 1)
            return more;
        rc = build(j, &child, err);
        if (rc == PT_OK)
            append(parent, child);
    }
    return rc;
}

static int build_scalar(struct pt_json *j, int kind, cJSON *o, struct pt_err *err)
{
    struct pt_str raw;
    bool truth = false;
    int rc;
    switch (kind) {
    case PT_JSON_STRING:
        rc = pt_json_text(j, &raw, err);
        return rc < 0 ? rc : decode_text(j, raw, &o->valuestring, err);
    case PT_JSON_NUMBER:
        rc = pt_json_double(j, &o->valuedouble, err);
        o->valueint = o->valuedouble >= INT_MAX ? INT_MAX : o->valuedouble <= INT_MIN ? INT_MIN : (int)o->valuedouble;
        return rc;
    case PT_JSON_BOOL:
        rc = pt_json_bool(j, &truth, err);
        o->type = truth ? cJSON_True : cJSON_False;
        return rc;
    default:
        return pt_json_null(j, err);
    }
}

static int build(struct pt_json *j, cJSON **out, struct pt_err *err)
{
    static const int types[] = {[PT_JSON_NULL] = cJSON_NULL,     [PT_JSON_BOOL] = cJSON_False,  [PT_JSON_NUMBER] = cJSON_Number,
                                [PT_JSON_STRING] = cJSON_String, [PT_JSON_ARRAY] = cJSON_Array, [PT_JSON_OBJECT] = cJSON_Object};
    int kind = pt_json_kind(j, err);
    if (kind < 0)
        return kind;
    int rc = new_node(types[kind], out, err);
    if (rc < 0)
        return rc;
    rc = kind == PT_JSON_OBJECT  ? build_members(j, *out, err)
         : kind == PT_JSON_ARRAY ? build_elements(j, *out, err)
                                 : build_scalar(j, kind, *out, err);
    if (rc < 0) {
        pt_obj_free(*out);
        *out = NULL;
    }
    return rc;
}

static bool copy_short(struct pt_json *j, char *out, size_t size)
{
    struct pt_str raw;
    if (pt_json_kind(j, NULL) != PT_JSON_STRING || pt_json_value(j, &raw, NULL) < 0 || raw.len - 2 >= size || memchr(raw.p, '\\', raw.len))
        return false;
    memcpy(out, raw.p + 1, raw.len - 2);
    out[raw.len - 2] = 0;
    return true;
}

bool pt_obj_identify(struct pt_str text, struct pt_obj_identity *out)
{
    struct pt_json j;
    struct pt_str key;
    char rv[24] = "";
    int64_t n;
    *out = (struct pt_obj_identity){.ns = ""};
    pt_json_init(&j, text.p ? text.p : "", text.len);
    if (pt_json_object(&j, NULL) < 0)
        return false;
    for (;;) {
        if (pt_json_member(&j, &key, NULL) != 1)
            return false;
        if (pt_json_key_is(&key, "metadata"))
            break;
        if (pt_json_skip(&j, NULL) < 0)
            return false;
    }
    if (pt_json_object(&j, NULL) < 0)
        return false;
    while (!(*out->name && *out->ns && *rv) && pt_json_member(&j, &key, NULL) == 1) { /* the rest is not looked at */
        bool name = pt_json_key_is(&key, "name"), ns = pt_json_key_is(&key, "namespace"), version = pt_json_key_is(&key, "resourceVersion");
        if (name || ns || version ? !copy_short(&j,
                                                name ? out->name
                                                : ns ? out->ns
                                                     : rv,
                                                name ? sizeof out->name
                                                : ns ? sizeof out->ns
                                                     : sizeof rv)
                                  : pt_json_skip(&j, NULL) < 0)
            return false;
    }
    if (!*out->name || pt_parse_i64(pt_str(rv), 0, INT64_MAX, "resourceVersion", &n, NULL) < 0)
        return false;
    out->rv = (uint64_t)n;
    return true;
}

int pt_obj_parse_any(struct pt_str text, const char *what, cJSON **out, struct pt_err *err)
{
    struct pt_json j;
    struct pt_err local;
    cJSON *o = NULL;
    err = err ? err : &local;
    pt_json_init(&j, text.p ? text.p : "", text.len);
    int rc = build(&j, &o, err);
    if (rc == PT_OK)
        rc = pt_json_end(&j, err);
    if (rc < 0) {
        pt_obj_free(o);
        return pt_wrap(err, "%s", what);
    }
    *out = o;
    return PT_OK;
}

int pt_obj_parse(struct pt_str text, const char *what, cJSON **out, struct pt_err *err)
{
    int rc = pt_obj_parse_any(text, what, out, err);
    if (rc < 0 || cJSON_IsObject(*out))
        return rc;
    pt_obj_free(*out);
    *out = NULL;
    return pt_fail(err, PT_EPARSE, "%s: not a JSON object", what);
}
