/* SPDX-License-Identifier: Apache-2.0
 *
 * manifests.c: two passes over the file: the first finds what is wrong with it, the second acts.
 */
#include "cli/manifests.h"

#include "cli/printer.h"
#include "operator/ctrl/manifest.h"

#include <errno.h>
#include <stdio.h>

struct reader {
    const char *file, *default_ns;
    pt_cli_object_fn fn; /* NULL in the checking pass */
    void *arg;
    int count;
};

static int read_object(struct reader *r, cJSON *json, size_t line, struct pt_err *err)
{
    const char *kind = pt_obj_text(json, "kind"), *version = pt_obj_text(json, "apiVersion"), *ns = pt_obj_text(json, "metadata.namespace");
    char wanted[96];
    struct pt_cli_object o = {.json = json, .name = pt_obj_text(json, "metadata.name"), .ns = *ns ? ns : r->default_ns};
    if (strcmp(kind, "List") == 0) {
        cJSON *item;
        int rc = PT_OK;
        for (item = cJSON_GetObjectItemCaseSensitive(json, "items"), item = item ? item->child : NULL; item && rc == PT_OK; item = item->next)
            rc = read_object(r, item, line, err);
        return rc;
    }
    o.kind = pt_cli_kind_find(kind);
    if (!o.kind)
        return pt_fail(err, PT_EPARSE, "%s: line %zu: no matches for kind \"%s\" in version \"%s\"", r->file, line, kind, version);
    snprintf(wanted, sizeof wanted, "%s%s%s", o.kind->group, *o.kind->group ? "/" : "", o.kind->version);
    if (strcmp(version, wanted) != 0)
        return pt_fail(err, PT_EPARSE, "%s: line %zu: no matches for kind \"%s\" in version \"%s\" (there is %s)", r->file, line, kind, version, wanted);
    if (!pt_is_dns_subdomain(pt_str(o.name)) || !pt_is_dns_label(pt_str(o.ns)))
        return pt_fail(err, PT_EPARSE, "%s: line %zu: %s: metadata.name \"%s\" or namespace \"%s\" is not a name", r->file, line, kind, o.name, o.ns);
    r->count++;
    return r->fn ? r->fn(r->arg, &o, err) : PT_OK;
}

static int read_document(void *arg, struct pt_str text, size_t line, struct pt_err *err)
{
    struct reader *r = arg;
    cJSON *json = cJSON_ParseWithLength(text.p, text.len);
    int rc = cJSON_IsObject(json) ? read_object(r, json, line, err) : pt_fail(err, PT_EPARSE, "%s: line %zu: not an object", r->file, line);
    cJSON_Delete(json);
    return rc;
}

/* Any readable file: pipes too, so that `-f <(generate)` works. */
static int read_all(const char *file, struct pt_buf *b, struct pt_err *err)
{
    bool standard = strcmp(file, "-") == 0;
    FILE *f = standard ? stdin : fopen(file, "re");
    if (!f)
        return pt_fail(err, PT_ENOTFOUND, "open %s: %s", file, strerror(errno));
    size_t n = 1;
    while (n > 0) {
        char *p = pt_buf_reserve(b, 65536);
        n = p ? fread(p, 1, 65536, f) : 0;
        b->len += n;
    }
    int rc = ferror(f) ? pt_fail(err, PT_EIO, "read %s: %s", file, strerror(errno)) : pt_buf_check(b, file, err);
    if (!standard)
        fclose(f);
    return rc;
}

int pt_cli_manifests(const char *file, const char *default_ns, pt_cli_object_fn fn, void *arg, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(16 << 20);
    struct reader r = {.file = file, .default_ns = default_ns};
    int rc = read_all(file, &text, err);
    if (rc == PT_OK)
        rc = pt_manifest_parse((struct pt_str){text.data, text.len}, file, read_document, &r, err);
    if (rc == PT_OK && r.count == 0)
        rc = pt_fail(err, PT_EPARSE, "%s: no objects in it", file);
    r.fn = fn;
    r.arg = arg;
    if (rc == PT_OK)
        rc = pt_manifest_parse((struct pt_str){text.data, text.len}, file, read_document, &r, err);
    return rc;
}
