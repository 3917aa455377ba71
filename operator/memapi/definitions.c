/* SPDX-License-Identifier: Apache-2.0
 *
 * definitions.c: what a client may want to know of the kinds: names, columns, schema, subresources. They come from deploy/crd.yaml and kinds.yaml,
 * which are part of the program, and are read when the first client of HTTP asks or when ownership of fields is kept; a simulation needs neither.
 */
#include "operator/ctrl/manifest.h"
#include "operator/memapi/internal.h"

#include "operator/memapi/crd_yaml.h"
#include "operator/memapi/kinds_yaml.h"

#include <stdio.h>

static struct pt_mem_type *type_named(struct pt_memapi *m, const char *group, const char *plural)
{
    struct pt_mem_type *t = m->types;
    while (t && (strcmp(t->res->group, group) != 0 || strcmp(t->res->plural, plural) != 0))
        t = t->next;
    return t;
}

static int take_definition(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    struct pt_memapi *m = arg;
    (void)line;
    cJSON *doc = NULL;
    if (pt_obj_parse(json, "definition", &doc, err) < 0)
        return err->code;
    if (!cJSON_AddItemToArray(m->definitions, doc)) {
        cJSON_Delete(doc);
        return pt_fail(err, PT_ENOMEM, "definitions: out of memory");
    }
    const cJSON *spec = pt_obj_get(doc, "spec");
    if (!spec) { /* what all kinds share */
        m->meta_schema = pt_obj_get(doc, "schema");
        return PT_OK;
    }
    struct pt_resource res = {pt_obj_text(spec, "group"), pt_obj_text(spec, "versions.0.name"), pt_obj_text(spec, "names.plural"),
                              pt_obj_text(spec, "names.kind"), strcmp(pt_obj_text(spec, "scope"), "Namespaced") == 0};
    struct pt_mem_type *t = type_named(m, res.group, res.plural);
    if (!t) {
        int rc = pt_memapi_register(m, &res, pt_obj_get(spec, "versions.0.subresources.status") != NULL, err);
        if (rc < 0)
            return rc;
        t = m->types;
        t->own = res;
        t->res = &t->own;
    }
    t->def = spec;
    return PT_OK;
}

int pt_mem_define(struct pt_memapi *m, struct pt_err *err)
{
    if (m->definitions)
        return PT_OK;
    m->definitions = cJSON_CreateArray();
    if (!m->definitions)
        return pt_fail(err, PT_ENOMEM, "definitions: out of memory");
    int rc = pt_manifest_parse((struct pt_str){(const char *)kinds_yaml, sizeof kinds_yaml}, "kinds.yaml", take_definition, m, err);
    if (rc == PT_OK)
        rc = pt_manifest_parse((struct pt_str){(const char *)crd_yaml, sizeof crd_yaml}, "crd.yaml", take_definition, m, err);
    struct pt_mem_answer a = {0};
    if (rc == PT_OK && pt_mem_enter_namespace(m, "default", &a) < 0)
        rc = pt_fail(err, a.err.code, "%s", a.err.msg);
    pt_buf_finish(&a.body);
    return rc;
}

const cJSON *pt_mem_schema(const struct pt_mem_type *t)
{
    return pt_obj_get(t->def, "versions.0.schema.openAPIV3Schema");
}

/* The schema of member `name` of a value with this schema; NULL: not declared. */
const cJSON *pt_mem_schema_member(const cJSON *schema, const char *name)
{
    const cJSON *p = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(schema, "properties"), name);
    return p ? p : cJSON_GetObjectItemCaseSensitive(schema, "additionalProperties");
}

bool pt_mem_is_review(const struct pt_mem_type *t)
{
    return t->res == &pt_res_tokenreviews || pt_obj_get(t->def, "verbs") != NULL;
}
