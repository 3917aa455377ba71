/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c: objects, their versions and the history of each resource type.
 */
#include "operator/memapi/internal.h"
#include "base/num.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX 352

static struct pt_str key_of(char key[KEY_MAX], const char *ns, const char *name)
{
    size_t n = ns ? strlen(ns) : 0, m = strlen(name);
    n = n < KEY_MAX - 1 ? n : KEY_MAX - 1;
    m = m < KEY_MAX - 1 - n ? m : KEY_MAX - 1 - n;
    memcpy(key, ns ? ns : "", n);
    key[n] = '/';
    memcpy(key + n + 1, name, m);
    return (struct pt_str){key, n + 1 + m};
}

struct pt_mem_type *pt_mem_type_of(struct pt_memapi *m, const struct pt_resource *res)
{
    struct pt_mem_type *t = m->types;
    while (t && t->res != res)
        t = t->next;
    return t;
}

struct pt_mem_object *pt_mem_find(struct pt_mem_type *t, const char *ns, const char *name)
{
    char key[KEY_MAX];
    return pt_map_get(&t->objects, key_of(key, t->res->namespaced ? ns : "", name));
}

void pt_mem_time(struct pt_memapi *m, int64_t plus_ms, char out[24])
{
    pt_format_time(pt_wall_ms(m->o.sched) + plus_ms, out);
}

void pt_mem_version_release(struct pt_mem_version *v)
{
    if (v && --v->refs == 0) {
        pt_obj_free(v->tree);
        pt_free(v);
    }
}

int pt_mem_tree(const struct pt_mem_version *v, cJSON **out, struct pt_err *err)
{
    if (!v->tree)
        return pt_obj_parse(v->text, "stored object", out, err);
    *out = pt_obj_copy(v->tree);
    return *out ? PT_OK : pt_fail(err, PT_ENOMEM, "stored object: out of memory");
}

static void keep_tree(struct pt_memapi *m, struct pt_mem_version *v, cJSON *tree);

const cJSON *pt_mem_read(struct pt_memapi *m, struct pt_mem_version *v, struct pt_err *err)
{
    cJSON *tree = NULL;
    pt_auto_buf text = PT_BUF_INIT(0); /* the same again: so that the tree knows where in it is what */
    if (v->tree)
        return v->tree;
    if (pt_obj_parse(v->text, "stored object", &tree, err) == PT_OK && pt_obj_store(tree, PT_STR(""), &text, err) == PT_OK)
        keep_tree(m, v, pt_steal(tree));
    pt_obj_free(tree);
    return v->tree;
}

/* What was written is often written again soon. */
static void keep_tree(struct pt_memapi *m, struct pt_mem_version *v, cJSON *tree)
{
    struct pt_mem_version **place = &m->trees[m->next_tree++ % PT_MEM_TREES];
    if (*place) {
        pt_obj_free(pt_steal((*place)->tree));
        pt_mem_version_release(*place);
    }
    v->refs++;
    v->tree = tree;
    *place = v;
}

/* Is this what printing the tree anew gives? */
__attribute__((unused)) static bool is_printed(struct pt_str text, const cJSON *tree)
{
    pt_auto_buf again = PT_BUF_INIT(0);
    return pt_obj_print(tree, &again, NULL) < 0 || pt_str_eq(text, (struct pt_str){again.data, again.len});
}

/* Packs the text and the fields that selectors and garbage collection look at into one allocation. */
static struct pt_mem_version *version_of(cJSON *tree, const struct pt_mem_version *before, uint64_t rv, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)pt_buf_reserve(&b, 4000); /* most fit */
    const cJSON *meta = pt_obj_get(tree, "metadata"), *e;
    size_t at[6];
    at[0] = b.len, pt_buf_puts(&b, pt_obj_text(meta, "namespace")), pt_buf_putc(&b, 0);
    at[1] = b.len, pt_buf_puts(&b, pt_obj_text(meta, "name")), pt_buf_putc(&b, 0);
    at[2] = b.len, pt_buf_puts(&b, pt_obj_text(meta, "uid")), pt_buf_putc(&b, 0);
    at[3] = b.len;
    cJSON_ArrayForEach(e, pt_obj_get(meta, "labels")) if (cJSON_IsString(e)) pt_buf_puts(&b, e->string), pt_buf_putc(&b, '='),
        pt_buf_puts(&b, e->valuestring), pt_buf_putc(&b, '\n');
    pt_buf_putc(&b, 0);
    at[4] = b.len;
    cJSON_ArrayForEach(e, pt_obj_get(meta, "ownerReferences")) pt_buf_puts(&b, pt_obj_text(e, "uid")), pt_buf_putc(&b, '\n');
    pt_buf_putc(&b, 0);
    at[5] = b.len;
    if (pt_obj_store(tree, before ? before->text : PT_STR(""), &b, err) < 0)
        return NULL;
    assert(is_printed((struct pt_str){b.data + at[5], b.len - at[5]}, tree));
    struct pt_mem_version *v = pt_malloc(sizeof *v + b.len);
    if (!v) {
        pt_fail(err, PT_ENOMEM, "store object: out of memory");
        return NULL;
    }
    memcpy(v->data, b.data, b.len);
    *v = (struct pt_mem_version){.refs = 1,
                                 .rv = rv,
                                 .ns = v->data + at[0],
                                 .name = v->data + at[1],
                                 .uid = v->data + at[2],
                                 .labels = v->data + at[3],
                                 .owners = v->data + at[4],
                                 .text = {v->data + at[5], b.len - at[5]}};
    return v;
}

static struct pt_mem_version *next_version(struct pt_memapi *m, cJSON *tree, const struct pt_mem_version *before, struct pt_err *err)
{
    char rv[PT_NUM_MAX + 1];
    rv[pt_num_put_u64(rv, m->rv + 1)] = 0;
    if (pt_obj_set(pt_obj_mut(tree, "metadata"), "resourceVersion", cJSON_CreateString(rv), err) < 0)
        return NULL;
    struct pt_mem_version *v = version_of(tree, before, m->rv + 1, err);
    if (v) {
        m->rv++;
        m->writes++;
    }
    return v;
}

static void record(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_version *was, struct pt_mem_version *now, bool deleted)
{
    struct pt_mem_change *c = &t->ring[t->head % m->o.history];
    if (t->head >= m->o.history) {
        t->lost_rv = c->rv;
        pt_mem_version_release(c->was);
        pt_mem_version_release(c->now);
    }
    *c = (struct pt_mem_change){now->rv, was, now, deleted};
    if (was)
        was->refs++;
    now->refs++;
    t->head++;
    pt_mem_watch_wake(t);
}

int pt_mem_commit(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, cJSON **tree, struct pt_err *err)
{
    char key[KEY_MAX];
    struct pt_mem_version *was = o->now, *v = next_version(m, *tree, was, err);
    if (!v)
        return err ? err->code : PT_ENOMEM;
    if (!was) {
        struct pt_str k = key_of(key, v->ns, v->name);
        if (pt_map_set(&t->objects, k, o, NULL, err) < 0) {
            pt_mem_version_release(v);
            return PT_ENOMEM;
        }
        if (pt_map_set(&m->uids, pt_str(v->uid), o, NULL, err) < 0) {
            pt_map_remove(&t->objects, k);
            pt_mem_version_release(v);
            return PT_ENOMEM;
        }
    }
    o->now = v;
    pt_mem_count_owners(m, was, v);
    pt_obj_take_over(*tree);
    if (was)
        pt_obj_free(pt_steal(was->tree));
    record(m, t, was, v, false);
    pt_mem_version_release(was);
    keep_tree(m, v, pt_steal(*tree));
    return PT_OK;
}

int pt_mem_remove(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, cJSON *tree, struct pt_err *err)
{
    char key[KEY_MAX];
    struct pt_mem_version *v = next_version(m, tree, o->now, err);
    if (!v)
        return err ? err->code : PT_ENOMEM;
    pt_map_remove(&t->objects, key_of(key, v->ns, v->name));
    pt_map_remove(&m->uids, pt_str(v->uid));
    pt_mem_count_owners(m, o->now, NULL);
    record(m, t, o->now, v, true);
    pt_mem_version_release(o->now);
    pt_free(o->applied);
    pt_free(o);
    pt_mem_owner_gone(m, v->uid);
    pt_mem_left_namespace(m, v->ns);
    pt_mem_version_release(v);
    return PT_OK;
}

/* --- selectors ----------------------------------------------------------------------------------------------------------- */

static bool has_label(const char *labels, struct pt_str key, struct pt_str *value)
{
    for (const char *p = labels; *p; p = strchr(p, '\n') + 1) {
        size_t n = strcspn(p, "\n");
        if (n > key.len && p[key.len] == '=' && !memcmp(p, key.p, key.len)) {
            *value = (struct pt_str){p + key.len + 1, n - key.len - 1};
            return true;
        }
    }
    return false;
}

/* One requirement: key, !key, key=value, key==value, key!=value, key in (a,b), key notin (a,b). */
struct requirement {
    struct pt_str key, value; /* value: of sets what is between the parentheses */
    bool has_value, negated, is_set;
};

/* Cuts the next one off: commas between parentheses divide nothing. */
static bool next_part(struct pt_str *rest, struct pt_str *part)
{
    size_t n = 0;
    int depth = 0;
    if (!rest->len)
        return false;
    if (!memchr(rest->p, '(', rest->len))
        return pt_str_split(rest, ',', part);
    for (; n < rest->len && (depth || rest->p[n] != ','); n++)
        depth += rest->p[n] == '(' ? 1 : rest->p[n] == ')' && depth ? -1 : 0;
    *part = (struct pt_str){rest->p, n};
    n += n < rest->len;
    *rest = (struct pt_str){rest->p + n, rest->len - n};
    return true;
}

/* "in (a,b)" after a key; false: not of that form */
static bool read_set(struct pt_str after, struct requirement *r)
{
    r->negated = pt_str_starts(after, PT_STR("notin"));
    if (!r->negated && !pt_str_starts(after, PT_STR("in")))
        return false;
    size_t n = r->negated ? 5 : 2;
    after = pt_str_trim((struct pt_str){after.p + n, after.len - n});
    if (after.len < 2 || after.p[0] != '(' || after.p[after.len - 1] != ')')
        return false;
    r->value = (struct pt_str){after.p + 1, after.len - 2};
    r->has_value = r->is_set = true;
    return true;
}

static struct requirement requirement_of(struct pt_str part)
{
    struct requirement r = {.key = pt_str_trim(part)};
    const char *eq = memchr(r.key.p, '=', r.key.len), *blank = memchr(r.key.p, ' ', r.key.len), *open = memchr(r.key.p, '(', r.key.len);
    if (open && blank && blank < open) {
        const char *end = r.key.p + r.key.len;
        if (read_set(pt_str_trim((struct pt_str){blank, (size_t)(end - blank)}), &r))
            r.key.len = (size_t)(blank - r.key.p);
    } else if (eq) {
        const char *end = r.key.p + r.key.len;
        r.has_value = true;
        r.negated = eq > r.key.p && eq[-1] == '!';
        const char *value = eq + 1 < end && eq[1] == '=' ? eq + 2 : eq + 1;
        r.value = pt_str_trim((struct pt_str){value, (size_t)(end - value)});
        r.key.len = (size_t)(eq - r.key.p) - r.negated;
        r.key = pt_str_trim(r.key);
    } else if (r.key.len && r.key.p[0] == '!') {
        r.negated = true;
        r.key.p++;
        r.key.len--;
    }
    return r;
}

/* What a kind lets itself be selected by, besides metadata.name and metadata.namespace. */
static bool is_selectable(const struct pt_mem_type *t, struct pt_str field)
{
    static const struct {
        const struct pt_resource *resource;
        const char *field;
    } fields[] = {{&pt_res_pods, "spec.nodeName"},         {&pt_res_pods, "spec.restartPolicy"},      {&pt_res_pods, "spec.schedulerName"},
                  {&pt_res_pods, "spec.serviceAccountName"}, {&pt_res_pods, "status.phase"},          {&pt_res_pods, "status.podIP"},
                  {&pt_res_services, "spec.clusterIP"},    {&pt_res_services, "spec.type"},           {&pt_res_secrets, "type"},
                  {&pt_res_events, "involvedObject.kind"}, {&pt_res_events, "involvedObject.name"},   {&pt_res_events, "involvedObject.namespace"},
                  {&pt_res_events, "involvedObject.uid"},  {&pt_res_events, "involvedObject.apiVersion"}, {&pt_res_events, "involvedObject.fieldPath"},
                  {&pt_res_events, "involvedObject.resourceVersion"}, {&pt_res_events, "reason"},     {&pt_res_events, "type"},
                  {&pt_res_events, "source"},              {&pt_res_events, "reportingComponent"}};
    if (pt_str_eq(field, pt_str("metadata.name")) || pt_str_eq(field, pt_str("metadata.namespace")))
        return true;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].resource == t->res && pt_str_eq(field, pt_str(fields[i].field)))
            return true;
    return false;
}

int pt_mem_check_selectors(const struct pt_mem_type *t, const char *label_selector, const char *field_selector, struct pt_err *err)
{
    const char *all[] = {label_selector, field_selector};
    for (int i = 0; i < 2; i++) {
        struct pt_str rest = pt_str(all[i]), part;
        while (rest.len && next_part(&rest, &part)) {
            struct requirement r = requirement_of(part);
            if (!r.key.len || (i == 1 && (!r.has_value || r.is_set)) || memchr(r.key.p, ' ', r.key.len) || memchr(r.key.p, '(', r.key.len) || memchr(r.key.p, '>', r.key.len) || memchr(r.key.p, '<', r.key.len))
                return pt_fail(err, PT_EINVAL, "selector \"%s\": \"" PT_STR_FMT "\" is not a requirement", all[i], PT_STR_ARG(part));
            if (i == 1 && !is_selectable(t, r.key))
                return pt_fail(err, PT_EINVAL, "\"" PT_STR_FMT "\" is not a known field selector of %s", PT_STR_ARG(r.key), t->res->plural);
        }
    }
    return PT_OK;
}

static bool is_value(const struct requirement *r, struct pt_str value)
{
    struct pt_str rest = r->value, one;
    if (!r->is_set)
        return pt_str_eq(value, r->value);
    while (rest.len && pt_str_split(&rest, ',', &one))
        if (pt_str_eq(pt_str_trim(one), value))
            return true;
    return false;
}

static bool labels_match(const char *labels, const char *selector)
{
    struct pt_str rest = pt_str(selector), part, value;
    while (rest.len && next_part(&rest, &part)) {
        struct requirement r = requirement_of(part);
        bool hit = has_label(labels, r.key, &value) && (!r.has_value || is_value(&r, value));
        if (hit == r.negated)
            return false;
    }
    return true;
}

static bool fields_match(const struct pt_mem_version *v, const char *selector)
{
    pt_auto_obj *tree = NULL;
    if (pt_obj_parse(v->text, "stored object", &tree, NULL) < 0)
        return false;
    struct pt_str rest = pt_str(selector), part;
    while (rest.len && pt_str_split(&rest, ',', &part)) {
        struct requirement r = requirement_of(part);
        pt_auto_free char *path = pt_strndup(r.key.p, r.key.len);
        const char *value = path ? pt_obj_str(tree, path) : NULL;
        if (pt_str_eq(pt_str(value ? value : ""), r.value) == r.negated)
            return false;
    }
    return true;
}

bool pt_mem_selected(const struct pt_mem_version *v, const char *ns, const char *label_selector, const char *field_selector)
{
    return (!ns || !*ns || !strcmp(ns, v->ns)) && (!label_selector || labels_match(v->labels, label_selector)) &&
           (!field_selector || !*field_selector || fields_match(v, field_selector));
}
