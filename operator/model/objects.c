/* SPDX-License-Identifier: Apache-2.0
 *
 * objects.c: see objects.h.
 */
#include "operator/model/objects.h"
#include "base/mem.h"
#include "operator/ctrl/obj.h"
#include "operator/model/pack.h"

#include <stddef.h>
#include <stdio.h>

void pt_packed_free(struct pt_object *o)
{
    pt_free(o);
}

static const char *map_str(const cJSON *tree, const char *path, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(tree, path), key));
}

static const cJSON *controller_of(const cJSON *tree)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, pt_obj_get(tree, "metadata.ownerReferences")) if (pt_obj_true(e, "controller")) return e;
    return NULL;
}

int pt_object_meta(struct pt_packer *p, struct pt_object *o, const cJSON *tree, struct pt_err *err)
{
    const char *name = pt_obj_str(tree, "metadata.name"), *uid = pt_obj_str(tree, "metadata.uid"), *rv = pt_obj_str(tree, "metadata.resourceVersion");
    const cJSON *owner = controller_of(tree);
    const char *owner_uid = owner ? pt_obj_str(owner, "uid") : NULL, *owner_name = owner ? pt_obj_str(owner, "name") : NULL;
    int64_t n = 0;
    if (!name || !uid || !rv || pt_parse_i64(pt_str(rv), 0, INT64_MAX, "resourceVersion", &n, NULL) < 0)
        return pt_fail(err, PT_EPARSE, "object %s: no usable name, uid or resourceVersion", name ? name : "(unnamed)");
    o->rv = (uint64_t)n;
    pt_pack_put(p, &o->ns, pt_obj_str(tree, "metadata.namespace"));
    pt_pack_put(p, &o->name, name);
    pt_pack_put(p, &o->uid, uid);
    if (owner_uid && owner_name)
        pt_pack_put(p, &o->owner_uid, owner_uid);
    else if (!owner)
        owner_name = map_str(tree, "metadata.labels", PT_LABEL_NAME);
    if (owner_name && *owner_name)
        pt_pack_put(p, &o->owner_name, owner_name);
    return PT_OK;
}

/* --- revision, service --------------------------------------------------------------------------------------------------- */

int pt_revision_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    struct pt_packer p = {.count = 0};
    struct pt_revision r = {.number = 0};
    pt_auto_obj *tree = NULL;
    pt_auto_buf data = PT_BUF_INIT(0);
    if (pt_obj_parse(json, "revision", &tree, err) < 0 || pt_object_meta(&p, &r.o, tree, err) < 0)
        return err->code;
    const cJSON *user = pt_obj_get(tree, "data.spec"), *made = pt_obj_get(tree, "data.compressed");
    if (user && pt_obj_canonical(user, &data, err) < 0)
        return err->code;
    r.number = pt_obj_int(tree, "revision", 0);
    pt_pack_put(&p, &r.data, pt_buf_cstr(&data));
    pt_pack_put(&p, &r.digest, made ? pt_obj_str(made, "digest") : pt_obj_str(user, "model.digest"));
    pt_pack_put(&p, &r.compressed_key, pt_obj_str(made, "key"));
    pt_pack_put(&p, &r.compressed_uri, pt_obj_str(made, "uri"));
    struct pt_revision *packed = pt_pack(&p, &r, sizeof r);
    *out = packed ? &packed->o : NULL;
    return packed ? PT_OK : pt_fail(err, PT_ENOMEM, "decode revision: out of memory");
}

static int shaped_decode(struct pt_str json, const char *what, void (*write)(const cJSON *tree, struct pt_buf *shape), struct pt_object **out,
                         struct pt_err *err)
{
    struct pt_packer p = {.count = 0};
    struct pt_shaped s = {.shape = NULL};
    pt_auto_obj *tree = NULL;
    pt_auto_buf shape = PT_BUF_INIT(0);
    if (pt_obj_parse(json, what, &tree, err) < 0 || pt_object_meta(&p, &s.o, tree, err) < 0)
        return err->code;
    write(tree, &shape);
    pt_pack_put(&p, &s.shape, pt_buf_cstr(&shape));
    struct pt_shaped *packed = shape.failed ? NULL : pt_pack(&p, &s, sizeof s);
    *out = packed ? &packed->o : NULL;
    return packed ? PT_OK : pt_fail(err, PT_ENOMEM, "decode %s: out of memory", what);
}

static void service_shape(const cJSON *tree, struct pt_buf *shape)
{
    const cJSON *port;
    cJSON_ArrayForEach(port, pt_obj_get(tree, "spec.ports"))
    {
        pt_buf_printf(shape, "%s:%lld>%s ", pt_obj_text(port, "name"), (long long)pt_obj_int(port, "port", 0), pt_obj_text(port, "targetPort"));
    }
    const char *selected = map_str(tree, "spec.selector", PT_LABEL_NAME);
    pt_buf_printf(shape, "@%s", selected ? selected : "");
}

int pt_service_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    return shaped_decode(json, "service", service_shape, out, err);
}

static void budget_shape(const cJSON *tree, struct pt_buf *shape)
{
    const char *percent = pt_obj_str(tree, "spec.maxUnavailable"), *selected = map_str(tree, "spec.selector.matchLabels", PT_LABEL_NAME);
    if (percent)
        pt_buf_puts(shape, percent);
    else
        pt_buf_printf(shape, "%lld", (long long)pt_obj_int(tree, "spec.maxUnavailable", -1));
    pt_buf_printf(shape, " %s @%s", pt_obj_text(tree, "spec.unhealthyPodEvictionPolicy"), selected ? selected : "");
}

int pt_budget_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    return shaped_decode(json, "PodDisruptionBudget", budget_shape, out, err);
}

/* --- EndpointSlice -------------------------------------------------------------------------------------------------------- */

int pt_slice_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    struct pt_packer p = {.count = 0};
    struct pt_slice s = {.pods = NULL};
    pt_auto_obj *tree = NULL;
    pt_auto_buf pods = PT_BUF_INIT(0);
    const cJSON *e;
    if (pt_obj_parse(json, "EndpointSlice", &tree, err) < 0 || pt_object_meta(&p, &s.o, tree, err) < 0)
        return err->code;
    pt_buf_putc(&pods, ' ');
    cJSON_ArrayForEach(e, pt_obj_get(tree, "endpoints"))
    {
        const cJSON *ready = pt_obj_get(e, "conditions.ready"); /* not said: ready */
        if (!cJSON_IsFalse(ready) && !strcmp(pt_obj_text(e, "targetRef.kind"), "Pod"))
            pt_buf_printf(&pods, "%s ", pt_obj_text(e, "targetRef.name"));
    }
    pt_pack_put(&p, &s.pods, pt_buf_cstr(&pods));
    struct pt_slice *packed = pods.failed ? NULL : pt_pack(&p, &s, sizeof s);
    *out = packed ? &packed->o : NULL;
    return packed ? PT_OK : pt_fail(err, PT_ENOMEM, "decode EndpointSlice: out of memory");
}

bool pt_slice_has(const struct pt_slice *s, const char *pod)
{
    size_t n = strlen(pod);
    for (const char *at = s->pods; (at = strstr(at, pod)); at += n)
        if (at[-1] == ' ' && at[n] == ' ')
            return true;
    return false;
}
