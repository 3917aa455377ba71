/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/memapi/fieldset.h"

static int out_of_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "fields of an object: out of memory");
}

/* --- how a value is divided ---------------------------------------------------------------------------------------------------- */

enum parts { WHOLE, MEMBERS, KEYED, VALUES };

static enum parts parts_of(const cJSON *value, const cJSON *schema)
{
    const char *list = pt_obj_text(schema, "x-kubernetes-list-type");
    if (cJSON_IsObject(value))
        return strcmp(pt_obj_text(schema, "x-kubernetes-map-type"), "atomic") == 0 ? WHOLE : MEMBERS;
    if (!cJSON_IsArray(value))
        return WHOLE;
    return strcmp(list, "map") == 0 ? KEYED : strcmp(list, "set") == 0 ? VALUES : WHOLE;
}

static const cJSON *items_of(const cJSON *schema)
{
    return cJSON_GetObjectItemCaseSensitive(schema, "items");
}

/* The name of a part in a set, as a new string; NULL: out of memory, or an element without its keys (then it has no name). */
static char *name_of_part(enum parts how, const cJSON *part, const cJSON *schema)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    const cJSON *key;
    bool first = true;
    if (how == MEMBERS) {
        pt_buf_puts(&b, "f:");
        pt_buf_puts(&b, part->string);
    } else if (how == VALUES) {
        pt_buf_puts(&b, "v:");
        (void)pt_obj_print(part, &b, NULL);
    } else {
        pt_buf_puts(&b, "k:{");
        cJSON_ArrayForEach(key, pt_obj_get(schema, "x-kubernetes-list-map-keys"))
        {
            const char *name = key->valuestring;
            const cJSON *v = cJSON_GetObjectItemCaseSensitive(part, name);
            if (!v)
                v = pt_obj_get(cJSON_GetObjectItemCaseSensitive(pt_obj_get(items_of(schema), "properties"), name), "default");
            if (!v)
                continue;
            pt_buf_puts(&b, first ? "" : ",");
            first = false;
            pt_buf_json_string(&b, pt_str(name));
            pt_buf_putc(&b, ':');
            (void)pt_obj_print(v, &b, NULL);
        }
        pt_buf_putc(&b, '}');
    }
    return b.failed ? NULL : pt_strndup(b.data, b.len);
}

static const cJSON *schema_of_part(enum parts how, const cJSON *part, const cJSON *schema)
{
    return how == MEMBERS ? pt_mem_schema_member(schema, part->string) : items_of(schema);
}

/* The part of value that has this name. */
static cJSON *part_named(enum parts how, cJSON *value, const cJSON *schema, const char *name)
{
    if (how == MEMBERS)
        return cJSON_GetObjectItemCaseSensitive(value, name + 2);
    for (cJSON *e = value ? value->child : NULL; e; e = e->next) {
        pt_auto_free char *n = name_of_part(how, e, schema);
        if (n && !strcmp(n, name))
            return e;
    }
    return NULL;
}

/* --- sets -------------------------------------------------------------------------------------------------------------------------- */

static cJSON *ensure(cJSON *set, const char *name)
{
    cJSON *c = cJSON_GetObjectItemCaseSensitive(set, name);
    return c ? c : cJSON_AddObjectToObject(set, name);
}

static void drop(cJSON *set, cJSON *child)
{
    pt_obj_free(cJSON_DetachItemViaPointer(set, child));
}

int pt_fields_of(const cJSON *value, const cJSON *schema, cJSON *set, struct pt_err *err)
{
    enum parts how = parts_of(value, schema);
    if (how == WHOLE || !value->child)
        return ensure(set, ".") ? PT_OK : out_of_memory(err);
    for (const cJSON *p = value->child; p; p = p->next) {
        pt_auto_free char *name = name_of_part(how, p, schema);
        cJSON *child = name ? ensure(set, name) : NULL;
        if (!child || (how != MEMBERS && !ensure(child, ".")))
            return out_of_memory(err);
        if (how != VALUES && pt_fields_of(p, schema_of_part(how, p, schema), child, err) < 0)
            return PT_ENOMEM;
    }
    return PT_OK;
}

/* Parts of a that b lacks, into set. */
static int only_in(enum parts how, const cJSON *a, const cJSON *b, const cJSON *schema, cJSON *set, struct pt_err *err)
{
    for (const cJSON *p = a->child; p; p = p->next) {
        pt_auto_free char *name = name_of_part(how, p, schema);
        if (!name)
            return out_of_memory(err);
        if (part_named(how, (cJSON *)(uintptr_t)b, schema, name))
            continue;
        cJSON *child = ensure(set, name);
        if (!child || (how != MEMBERS && !ensure(child, ".")) || (how != VALUES && pt_fields_of(p, schema_of_part(how, p, schema), child, err) < 0))
            return out_of_memory(err);
    }
    return PT_OK;
}

static void drop_if_empty(cJSON *set, const char *name)
{
    cJSON *c = cJSON_GetObjectItemCaseSensitive(set, name);
    if (c && !c->child)
        drop(set, c);
}

int pt_fields_diff(const cJSON *was, const cJSON *next, const cJSON *schema, cJSON *changed, cJSON *removed, struct pt_err *err)
{
    enum parts how = parts_of(next, schema);
    if (pt_obj_equal(was, next))
        return PT_OK;
    if (how == WHOLE || parts_of(was, schema) != how)
        return pt_fields_of(next, schema, changed, err);
    if (!next->child && was->child && !ensure(changed, "."))
        return out_of_memory(err);
    if (only_in(how, was, next, schema, removed, err) < 0 || only_in(how, next, was, schema, changed, err) < 0)
        return PT_ENOMEM;
    for (const cJSON *p = how == VALUES ? NULL : next->child; p; p = p->next) {
        pt_auto_free char *name = name_of_part(how, p, schema);
        const cJSON *before = name ? part_named(how, (cJSON *)(uintptr_t)was, schema, name) : NULL;
        if (!before || pt_obj_equal(before, p))
            continue;
        cJSON *c = ensure(changed, name), *r = ensure(removed, name);
        if (!c || !r || pt_fields_diff(before, p, schema_of_part(how, p, schema), c, r, err) < 0)
            return out_of_memory(err);
        drop_if_empty(changed, name);
        drop_if_empty(removed, name);
    }
    return PT_OK;
}

int pt_fields_add(cJSON *set, const cJSON *other, struct pt_err *err)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, other)
    {
        cJSON *c = ensure(set, o->string);
        if (!c || pt_fields_add(c, o, err) < 0)
            return out_of_memory(err);
    }
    return PT_OK;
}

void pt_fields_subtract(cJSON *set, const cJSON *other)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, other)
    {
        cJSON *c = cJSON_GetObjectItemCaseSensitive(set, o->string);
        if (!c)
            continue;
        pt_fields_subtract(c, o);
        if (!c->child)
            drop(set, c);
    }
}

bool pt_fields_overlap(const cJSON *a, const cJSON *b)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, b)
    {
        const cJSON *c = cJSON_GetObjectItemCaseSensitive(a, o->string);
        if (c && (!strcmp(o->string, ".") || pt_fields_overlap(c, o)))
            return true;
    }
    return false;
}

void pt_fields_common(const cJSON *a, const cJSON *b, struct pt_str prefix, struct pt_buf *out)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, b)
    {
        const cJSON *c = cJSON_GetObjectItemCaseSensitive(a, o->string);
        if (!c)
            continue;
        if (!strcmp(o->string, ".")) {
            pt_buf_append(out, prefix.p, prefix.len);
            pt_buf_putc(out, '\n');
            continue;
        }
        bool is_member = o->string[0] == 'f';
        pt_auto_buf path = PT_BUF_INIT(0);
        pt_buf_append(&path, prefix.p, prefix.len);
        pt_buf_puts(&path, is_member ? "." : "[");
        pt_buf_puts(&path, o->string + 2);
        pt_buf_puts(&path, is_member ? "" : "]");
        pt_fields_common(c, o, (struct pt_str){path.data, path.len}, out);
    }
}

int pt_fields_unpack(cJSON *set, struct pt_err *err)
{
    cJSON *c;
    if (!set->child)
        return cJSON_AddObjectToObject(set, ".") ? PT_OK : out_of_memory(err);
    cJSON_ArrayForEach(c, set) if (strcmp(c->string, ".") != 0 && pt_fields_unpack(c, err) < 0) return PT_ENOMEM;
    return PT_OK;
}

void pt_fields_pack(cJSON *set)
{
    cJSON *c;
    cJSON_ArrayForEach(c, set) pt_fields_pack(c);
    if (set->child && !set->child->next && !strcmp(set->child->string, "."))
        drop(set, set->child);
}

/* --- objects by sets ------------------------------------------------------------------------------------------------------------- */

static int set_whole(cJSON *in, enum parts how, cJSON *old, const cJSON *value, struct pt_err *err)
{
    cJSON *copy = pt_obj_copy(value);
    if (how == MEMBERS)
        return pt_obj_set(in, value->string, copy, err);
    if (copy && (old ? cJSON_ReplaceItemViaPointer(in, old, copy) : cJSON_AddItemToArray(in, copy)))
        return PT_OK;
    pt_obj_free(copy);
    return out_of_memory(err);
}

int pt_fields_merge(cJSON *target, const cJSON *config, const cJSON *schema, struct pt_err *err)
{
    enum parts how = parts_of(config, schema);
    for (const cJSON *p = config->child; p; p = p->next) {
        const cJSON *part_schema = schema_of_part(how, p, schema);
        pt_auto_free char *name = name_of_part(how, p, schema);
        if (!name)
            return out_of_memory(err);
        cJSON *old = part_named(how, target, schema, name);
        bool divided = old && parts_of(p, part_schema) != WHOLE && parts_of(old, part_schema) == parts_of(p, part_schema) && p->child;
        int rc = how == VALUES && old ? PT_OK : divided ? pt_fields_merge(old, p, part_schema, err) : set_whole(target, how, old, p, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

void pt_fields_prune(cJSON *target, const cJSON *set, const cJSON *schema)
{
    enum parts how = parts_of(target, schema);
    const cJSON *s;
    cJSON_ArrayForEach(s, set)
    {
        cJSON *part = how == WHOLE || !strcmp(s->string, ".") ? NULL : part_named(how, target, schema, s->string);
        if (!part)
            continue;
        bool was_filled = part->child != NULL, whole = cJSON_HasObjectItem(s, "."), leaf = parts_of(part, schema_of_part(how, part, schema)) == WHOLE;
        if (!leaf)
            pt_fields_prune(part, s, schema_of_part(how, part, schema));
        bool emptied = was_filled && !part->child; /* goes with the last that was in it */
        if (emptied || (whole && (leaf || how != MEMBERS || !part->child)))
            drop(target, part);
    }
}
