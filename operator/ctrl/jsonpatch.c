/* SPDX-License-Identifier: Apache-2.0
 *
 * jsonpatch.c: RFC 6902 on cJSON trees, with RFC 6901 pointers. A patch that fails leaves the target half changed: the caller works on a copy.
 *
 * An API server bounds what "copy" may make of a small patch; here the operations are bounded, and each copy by the size of what it copies.
 */
#include "operator/ctrl/obj.h"
#include "base/mem.h"

#include <stdlib.h>

enum { MAX_OPERATIONS = 10000, MAX_COPIED_ITEMS = 1 << 20 };

/* The next token of a pointer, "~1" and "~0" decoded. *at stands on '/' before and behind the token after. NULL: out of memory. */
static char *next_token(const char **at)
{
    const char *p = *at + 1;
    size_t n = strcspn(p, "/"), out = 0;
    char *token = pt_strndup(p, n);
    for (size_t i = 0; token && i < n; i++) {
        char c = p[i];
        if (c == '~' && i + 1 < n && (p[i + 1] == '0' || p[i + 1] == '1'))
            c = p[++i] == '0' ? '~' : '/';
        token[out++] = c;
    }
    if (token)
        token[out] = 0;
    *at = p + n;
    return token;
}

static cJSON *child_of(cJSON *o, const char *token)
{
    if (cJSON_IsObject(o))
        return cJSON_GetObjectItemCaseSensitive(o, token);
    int64_t i;
    if (!cJSON_IsArray(o) || (token[0] == '0' && token[1]) || pt_parse_i64(pt_str(token), 0, INT32_MAX, "index", &i, NULL) < 0)
        return NULL;
    return cJSON_GetArrayItem(o, (int)i);
}

/* The value that pointer names (last NULL), or the one that holds its last token, which becomes the caller's. */
static int find(cJSON *root, const char *pointer, cJSON **out, char **last, struct pt_err *err)
{
    const char *at = pointer;
    cJSON *o = root;
    if (*at && *at != '/')
        return pt_fail(err, PT_EINVAL, "the path \"%s\" does not begin with /", pointer);
    while (*at) {
        pt_auto_free char *token = next_token(&at);
        if (!token)
            return pt_fail(err, PT_ENOMEM, "JSON patch: out of memory");
        if (last && !*at) {
            *last = pt_steal(token);
            break;
        }
        o = child_of(o, token);
        if (!o)
            return pt_fail(err, PT_EINVAL, "the path \"%s\" is not there", pointer);
    }
    *out = o;
    return PT_OK;
}

/* Takes value. */
static int put_value(cJSON **root, const char *pointer, cJSON *value, bool replace, struct pt_err *err)
{
    cJSON *in = NULL;
    pt_auto_free char *name = NULL;
    pt_auto_obj *fresh = value;
    if (!fresh)
        return pt_fail(err, PT_ENOMEM, "JSON patch: out of memory");
    if (!*pointer) {
        pt_obj_free(*root);
        *root = pt_steal(fresh);
        return PT_OK;
    }
    if (find(*root, pointer, &in, &name, err) < 0)
        return err ? err->code : PT_EINVAL;
    cJSON *old = child_of(in, name);
    if (replace && !old)
        return pt_fail(err, PT_EINVAL, "the path \"%s\" is not there", pointer);
    if (cJSON_IsObject(in))
        return pt_obj_set(in, name, pt_steal(fresh), err);
    if (!cJSON_IsArray(in))
        return pt_fail(err, PT_EINVAL, "the path \"%s\" goes into a value that has no members", pointer);
    int64_t i = cJSON_GetArraySize(in);
    bool end = !strcmp(name, "-") && !replace;
    if (!end && pt_parse_i64(pt_str(name), 0, i - replace, "index", &i, NULL) < 0)
        return pt_fail(err, PT_EINVAL, "the path \"%s\" is not an index of that list", pointer);
    bool done = replace ? cJSON_ReplaceItemViaPointer(in, old, fresh) : cJSON_InsertItemInArray(in, (int)i, fresh);
    if (!done)
        return pt_fail(err, PT_ENOMEM, "JSON patch: out of memory");
    (void)pt_steal(fresh);
    return PT_OK;
}

static int take_out(cJSON *root, const char *pointer, cJSON **out, struct pt_err *err)
{
    cJSON *o = NULL;
    if (find(root, pointer, &o, NULL, err) < 0)
        return err ? err->code : PT_EINVAL;
    if (o == root)
        return pt_fail(err, PT_EINVAL, "the whole object cannot be removed");
    const char *slash = strrchr(pointer, '/');
    pt_auto_free char *above = pt_strndup(pointer, (size_t)(slash - pointer));
    cJSON *in = NULL;
    if (!above)
        return pt_fail(err, PT_ENOMEM, "JSON patch: out of memory");
    if (find(root, above, &in, NULL, err) < 0)
        return err ? err->code : PT_EINVAL;
    *out = cJSON_DetachItemViaPointer(in, o);
    return PT_OK;
}

static size_t count_items(const cJSON *o)
{
    size_t n = 1;
    for (const cJSON *c = o->child; c; c = c->next)
        n += count_items(c);
    return n;
}

static int copy(cJSON **root, const char *from, const char *path, size_t *copied, struct pt_err *err)
{
    cJSON *source = NULL;
    if (find(*root, from, &source, NULL, err) < 0)
        return err ? err->code : PT_EINVAL;
    *copied += count_items(source);
    if (*copied > MAX_COPIED_ITEMS)
        return pt_fail(err, PT_ELIMIT, "the patch copies more than %d values", MAX_COPIED_ITEMS);
    return put_value(root, path, pt_obj_copy(source), false, err);
}

static int move(cJSON **root, const char *from, const char *path, struct pt_err *err)
{
    size_t n = strlen(from);
    cJSON *o = NULL;
    if (!strncmp(path, from, n) && path[n] == '/')
        return pt_fail(err, PT_EINVAL, "\"%s\" cannot move into itself", from);
    int rc = take_out(*root, from, &o, err);
    return rc < 0 ? rc : put_value(root, path, o, false, err);
}

static int apply_one(cJSON **root, const cJSON *op, size_t *copied, struct pt_err *err)
{
    const char *what = pt_obj_text(op, "op"), *path = pt_obj_str(op, "path"), *from = pt_obj_str(op, "from");
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(op, "value");
    bool needs_from = !strcmp(what, "move") || !strcmp(what, "copy");
    bool needs_value = !strcmp(what, "add") || !strcmp(what, "replace") || !strcmp(what, "test");
    cJSON *o = NULL;
    if (!path || (needs_from && !from) || (needs_value && !value))
        return pt_fail(err, PT_EINVAL, "operation \"%s\" has no %s", what, !path ? "path" : needs_from ? "from" : "value");
    if (!strcmp(what, "move"))
        return move(root, from, path, err);
    if (!strcmp(what, "copy"))
        return copy(root, from, path, copied, err);
    if (!strcmp(what, "add") || !strcmp(what, "replace"))
        return put_value(root, path, pt_obj_copy(value), *what == 'r', err);
    if (!strcmp(what, "test")) {
        if (find(*root, path, &o, NULL, err) < 0)
            return err ? err->code : PT_EINVAL;
        return pt_obj_equal(o, value) ? PT_OK : pt_fail(err, PT_EINVAL, "test: the value of \"%s\" is another one", path);
    }
    if (strcmp(what, "remove") != 0)
        return pt_fail(err, PT_EINVAL, "operation \"%s\" is not known; add, remove, replace, move, copy or test", what);
    int rc = take_out(*root, path, &o, err);
    pt_obj_free(o);
    return rc;
}

int pt_obj_json_patch(cJSON **target, const cJSON *patch, struct pt_err *err)
{
    size_t n = 0, copied = 0;
    const cJSON *op;
    if (!cJSON_IsArray(patch))
        return pt_fail(err, PT_EINVAL, "a JSON patch is a list of operations");
    cJSON_ArrayForEach(op, patch)
    {
        if (++n > MAX_OPERATIONS)
            return pt_fail(err, PT_ELIMIT, "the patch has more than %d operations", MAX_OPERATIONS);
        int rc = apply_one(target, op, &copied, err);
        if (rc < 0)
            return pt_wrap(err, "operation %zu", n - 1), rc;
    }
    return cJSON_IsObject(*target) ? PT_OK : pt_fail(err, PT_EINVAL, "what the patch leaves is not an object");
}
