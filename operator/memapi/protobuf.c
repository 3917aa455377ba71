/* SPDX-License-Identifier: Apache-2.0
 *
 * protobuf.c: bodies in protobuf, as JSON. Typed clients (kubectl create configmap, kubectl auth can-i) send built-in kinds so and take no for an
 * answer as an error. The field numbers are those of k8s.io/api; a field that is not in the table is refused by its number rather than lost.
 */
#include "base/pbwire.h"
#include "operator/memapi/internal.h"

#include <stdio.h>

enum type { TEXT, NUMBER, BOOL, TEXTS, TEXT_MAP, BYTES_MAP, MESSAGE, EMPTY }; /* EMPTY: nothing that a client has to say */

static const struct row {
    const char *message;
    unsigned number;
    const char *name;
    enum type type;
    const char *of; /* MESSAGE */
} rows[] = {
    {"ObjectMeta", 1, "name", TEXT, NULL},
    {"ObjectMeta", 2, "generateName", TEXT, NULL},
    {"ObjectMeta", 3, "namespace", TEXT, NULL},
    {"ObjectMeta", 4, "selfLink", TEXT, NULL},
    {"ObjectMeta", 5, "uid", TEXT, NULL},
    {"ObjectMeta", 6, "resourceVersion", TEXT, NULL},
    {"ObjectMeta", 7, "generation", NUMBER, NULL},
    {"ObjectMeta", 8, "creationTimestamp", EMPTY, NULL},
    {"ObjectMeta", 11, "labels", TEXT_MAP, NULL},
    {"ObjectMeta", 12, "annotations", TEXT_MAP, NULL},
    {"ObjectMeta", 14, "finalizers", TEXTS, NULL},
    {"Namespace", 1, "metadata", MESSAGE, "ObjectMeta"},
    {"Namespace", 2, "spec", EMPTY, NULL},
    {"Namespace", 3, "status", EMPTY, NULL},
    {"ConfigMap", 1, "metadata", MESSAGE, "ObjectMeta"},
    {"ConfigMap", 2, "data", TEXT_MAP, NULL},
    {"ConfigMap", 3, "binaryData", BYTES_MAP, NULL},
    {"ConfigMap", 4, "immutable", BOOL, NULL},
    {"Secret", 1, "metadata", MESSAGE, "ObjectMeta"},
    {"Secret", 2, "data", BYTES_MAP, NULL},
    {"Secret", 3, "type", TEXT, NULL},
    {"Secret", 4, "stringData", TEXT_MAP, NULL},
    {"Secret", 5, "immutable", BOOL, NULL},
    {"ResourceAttributes", 1, "namespace", TEXT, NULL},
    {"ResourceAttributes", 2, "verb", TEXT, NULL},
    {"ResourceAttributes", 3, "group", TEXT, NULL},
    {"ResourceAttributes", 4, "version", TEXT, NULL},
    {"ResourceAttributes", 5, "resource", TEXT, NULL},
    {"ResourceAttributes", 6, "subresource", TEXT, NULL},
    {"ResourceAttributes", 7, "name", TEXT, NULL},
    {"NonResourceAttributes", 1, "path", TEXT, NULL},
    {"NonResourceAttributes", 2, "verb", TEXT, NULL},
    {"AccessSpec", 1, "resourceAttributes", MESSAGE, "ResourceAttributes"},
    {"AccessSpec", 2, "nonResourceAttributes", MESSAGE, "NonResourceAttributes"},
    {"SelfSubjectAccessReview", 1, "metadata", MESSAGE, "ObjectMeta"},
    {"SelfSubjectAccessReview", 2, "spec", MESSAGE, "AccessSpec"},
    {"SelfSubjectAccessReview", 3, "status", EMPTY, NULL},
    {"RulesSpec", 1, "namespace", TEXT, NULL},
    {"SelfSubjectRulesReview", 1, "metadata", MESSAGE, "ObjectMeta"},
    {"SelfSubjectRulesReview", 2, "spec", MESSAGE, "RulesSpec"},
    {"SelfSubjectRulesReview", 3, "status", EMPTY, NULL},
    {"SelfSubjectReview", 1, "metadata", MESSAGE, "ObjectMeta"},
    {"SelfSubjectReview", 2, "status", EMPTY, NULL},
};

static const struct row *row_of(const char *message, unsigned number)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].number == number && !strcmp(rows[i].message, message))
            return &rows[i];
    return NULL;
}

static bool is_known(const char *message)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].message, message))
            return true;
    return false;
}

static cJSON *text_of(struct pt_str s, bool bytes)
{
    pt_auto_free char *copy = bytes ? pt_malloc((s.len + 2) / 3 * 4 + 1) : pt_strndup(s.p ? s.p : "", s.len);
    if (copy && bytes)
        pt_base64_encode(s.p, s.len, copy);
    return copy ? cJSON_CreateString(copy) : NULL;
}

static int add_entry(cJSON *map, struct pt_str entry, bool bytes, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(entry.p, entry.len);
    struct pt_pb_field f;
    struct pt_str key = PT_STR(""), value = PT_STR("");
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        *(f.number == 1 ? &key : &value) = f.bytes;
    pt_auto_free char *name = rc < 0 ? NULL : pt_strndup(key.p, key.len);
    return rc < 0 ? rc : name ? pt_obj_set(map, name, text_of(value, bytes), err) : pt_fail(err, PT_ENOMEM, "protobuf: out of memory");
}

static int read_message(const char *message, struct pt_str bytes, cJSON *out, struct pt_err *err);

static int add_field(cJSON *out, const struct row *row, const struct pt_pb_field *f, struct pt_err *err)
{
    cJSON *in;
    switch (row->type) {
    case TEXT:
        return pt_obj_set(out, row->name, text_of(f->bytes, false), err);
    case NUMBER:
        return pt_obj_set(out, row->name, cJSON_CreateNumber((double)(int64_t)f->value), err);
    case BOOL:
        return pt_obj_set(out, row->name, cJSON_CreateBool(f->value != 0), err);
    case TEXT_MAP:
    case BYTES_MAP:
        in = pt_obj_ensure(out, row->name);
        return in ? add_entry(in, f->bytes, row->type == BYTES_MAP, err) : pt_fail(err, PT_ENOMEM, "protobuf: out of memory");
    case MESSAGE:
        in = pt_obj_ensure(out, row->name);
        return in ? read_message(row->of, f->bytes, in, err) : pt_fail(err, PT_ENOMEM, "protobuf: out of memory");
    case TEXTS:
        in = cJSON_GetObjectItemCaseSensitive(out, row->name);
        if (!in)
            in = cJSON_AddArrayToObject(out, row->name);
        return in && cJSON_AddItemToArray(in, text_of(f->bytes, false)) ? PT_OK : pt_fail(err, PT_ENOMEM, "protobuf: out of memory");
    case EMPTY:
        break;
    }
    return PT_OK;
}

static int read_message(const char *message, struct pt_str bytes, cJSON *out, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        const struct row *row = row_of(message, f.number);
        if (!row)
            return pt_fail(err, PT_EUNSUPPORTED, "protobuf: field %u of %s is not known here; send JSON", f.number, message);
        rc = add_field(out, row, &f, err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* runtime.Unknown: 1 = {1 apiVersion, 2 kind}, 2 = the object */
static int read_envelope(struct pt_str body, char kind[64], char version[128], struct pt_str *object, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(body.p, body.len), type;
    struct pt_pb_field f, g;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number == 2)
            *object = f.bytes;
        type = pt_pb_reader(f.bytes.p, f.number == 1 ? f.bytes.len : 0);
        while ((rc = pt_pb_next(&type, &g, err)) == 1)
            if (g.number == 1 || g.number == 2)
                snprintf(g.number == 1 ? version : kind, g.number == 1 ? 128 : 64, PT_STR_FMT, PT_STR_ARG(g.bytes));
        if (rc < 0)
            return rc;
    }
    return rc;
}

int pt_mem_protobuf_to_json(struct pt_str body, struct pt_buf *json, struct pt_err *err)
{
    char kind[64] = "", version[128] = "";
    struct pt_str object = PT_STR("");
    pt_auto_obj *o = cJSON_CreateObject();
    if (!o)
        return pt_fail(err, PT_ENOMEM, "protobuf: out of memory");
    if (body.len < 4 || memcmp(body.p, "k8s\0", 4) != 0)
        return pt_fail(err, PT_EPARSE, "protobuf: the body does not begin as Kubernetes' does");
    int rc = read_envelope((struct pt_str){body.p + 4, body.len - 4}, kind, version, &object, err);
    if (rc == PT_OK && !is_known(kind))
        return pt_fail(
            err, PT_EUNSUPPORTED,
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml (protobuf of a %s)",
            kind);
    if (rc == PT_OK &&
        (pt_obj_set(o, "apiVersion", cJSON_CreateString(version), err) < 0 || pt_obj_set(o, "kind", cJSON_CreateString(kind), err) < 0))
        return PT_ENOMEM;
    rc = rc < 0 ? rc : read_message(kind, object, o, err);
    return rc < 0 ? rc : pt_obj_print(o, json, err);
}
