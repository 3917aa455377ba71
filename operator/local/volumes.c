/* SPDX-License-Identifier: Apache-2.0
 *
 * volumes.c: the volumes of a pod as folders: configMap, secret, emptyDir, downwardAPI, projected and hostPath.
 */
#include "operator/local/pod.h"

#include "base/contract.h"
#include "base/mem.h"
#include "base/path.h"
#include "operator/ctrl/obj.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_SECONDS = 365 * 86400 };

const char *pt_local_pod_field(const struct pt_local_pod *p, const char *path)
{
    static const char annotations[] = "metadata.annotations['", labels[] = "metadata.labels['";
    const char *map = strncmp(path, annotations, sizeof annotations - 1) == 0 ? "metadata.annotations" : strncmp(path, labels, sizeof labels - 1) == 0 ? "metadata.labels" : NULL;
    if (map) {
        char key[320];
        const char *start = strchr(path, '\'') + 1, *end = strchr(start, '\'');
        if (!end || strcmp(end, "']") != 0)
            return NULL;
        snprintf(key, sizeof key, "%.*s", (int)(end - start), start);
        const char *v = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(p->object, map), key));
        return v ? v : "";
    }
    if (strcmp(path, "status.podIP") == 0)
        return p->address;
    if (strcmp(path, "metadata.name") == 0 || strcmp(path, "metadata.namespace") == 0 || strcmp(path, "metadata.uid") == 0 ||
        strcmp(path, "spec.serviceAccountName") == 0 || strcmp(path, "spec.nodeName") == 0)
        return pt_obj_text(p->object, path);
    return NULL;
}

void pt_local_pod_remove_dir(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char child[1100];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || snprintf(child, sizeof child, "%s/%s", path, e->d_name) >= (int)sizeof child)
            continue;
        if (unlink(child) != 0)
            pt_local_pod_remove_dir(child);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static int write_file(const char *dir, const char *name, const void *data, size_t len, struct pt_err *err)
{
    char path[1100], parent[1100];
    if (name[0] == '/' || strstr(name, "..") || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return pt_fail(err, PT_EINVAL, "file name \"%s\" is not allowed in a volume", name);
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    int rc = pt_path_mkdirs(parent, 0700, err);
    return rc < 0 ? rc : pt_path_write_atomic(path, data, len, 0600, err);
}

/* The members of a ConfigMap's or Secret's map as files; items (may be NULL) selects and renames. */
static int write_map(const char *dir, const cJSON *map, const cJSON *items, bool base64, struct pt_err *err)
{
    const cJSON *v, *item;
    cJSON_ArrayForEach(v, map)
    {
        const char *name = items ? NULL : v->string;
        cJSON_ArrayForEach(item, items) if (strcmp(pt_obj_text(item, "key"), v->string) == 0) name = pt_obj_text(item, "path");
        if (!name || !cJSON_IsString(v))
            continue;
        size_t len = strlen(v->valuestring), n = len;
        pt_auto_free char *decoded = base64 ? pt_malloc(len + 1) : NULL;
        if (base64 && !decoded)
            return pt_fail(err, PT_ENOMEM, "out of memory");
        if (base64 && pt_base64_decode((struct pt_str){v->valuestring, len}, (uint8_t *)decoded, len, &n, err) < 0)
            return pt_wrap(err, "%s", v->string);
        int rc = write_file(dir, name, base64 ? decoded : v->valuestring, n, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int write_object(struct pt_local_pod *p, const char *dir, const struct pt_resource *res, const char *name, const cJSON *source, struct pt_err *err)
{
    struct pt_str text = pt_memapi_peek(p->o->memapi, res, p->ns, name);
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(source, "items");
    if (text.len == 0)
        return cJSON_IsTrue(pt_obj_get(source, "optional")) ? PT_OK : pt_fail(err, PT_ENOTFOUND, "%s \"%s\" not found", res->plural, name);
    cJSON *object = cJSON_ParseWithLength(text.p, text.len);
    bool secret = res == &pt_res_secrets;
    int rc = write_map(dir, pt_obj_get(object, "data"), items, secret, err);
    if (rc == PT_OK)
        rc = write_map(dir, pt_obj_get(object, secret ? "stringData" : "binaryData"), items, !secret, err);
    cJSON_Delete(object);
    return rc;
}

static int write_fields(struct pt_local_pod *p, const char *dir, const cJSON *items, struct pt_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, items)
    {
        const char *field = pt_obj_text(item, "fieldRef.fieldPath"), *value = pt_local_pod_field(p, field);
        if (!value)
            return pt_fail(err, PT_EUNSUPPORTED, "downwardAPI field \"%s\" is not supported by pintle up", field);
        int rc = write_file(dir, pt_obj_text(item, "path"), value, strlen(value), err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int write_token(struct pt_local_pod *p, const char *dir, const cJSON *source, struct pt_err *err)
{
    uint8_t random[32];
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && read(fd, random, sizeof random) == (ssize_t)sizeof random;
    if (fd >= 0)
        close(fd);
    if (!good)
        return pt_fail(err, PT_EIO, "no random numbers for a token");
    if (*p->token)
        pt_memapi_remove_token(p->o->memapi, p->token);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(p->token + 2 * i, 3, "%02x", random[i]);
    int64_t expires = pt_wall_ms(pt_loop_sched(p->o->loop)) + TOKEN_SECONDS * 1000LL;
    int rc = pt_memapi_add_token(p->o->memapi, p->token, pt_obj_text(source, "audience"), p->ns, p->name, p->uid, expires, err);
    return rc < 0 ? rc : write_file(dir, pt_obj_text(source, "path"), p->token, strlen(p->token), err);
}

static int write_projected(struct pt_local_pod *p, const char *dir, const cJSON *sources, struct pt_err *err)
{
    const cJSON *source;
    int rc = PT_OK;
    cJSON_ArrayForEach(source, sources)
    {
        const cJSON *kind = source->child;
        const char *name = kind ? kind->string : "";
        if (strcmp(name, "serviceAccountToken") == 0)
            rc = write_token(p, dir, kind, err);
        else if (strcmp(name, "downwardAPI") == 0)
            rc = write_fields(p, dir, cJSON_GetObjectItemCaseSensitive(kind, "items"), err);
        else if (strcmp(name, "configMap") == 0)
            rc = write_object(p, dir, &pt_res_configmaps, pt_obj_text(kind, "name"), kind, err);
        else if (strcmp(name, "secret") == 0)
            rc = write_object(p, dir, &pt_res_secrets, pt_obj_text(kind, "name"), kind, err);
        else
            rc = pt_fail(err, PT_EUNSUPPORTED, "projected source \"%s\" is not supported by pintle up", name);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* Fills dir (made here) with the volume, or sets it to the host's own folder. */
static int lay_out(struct pt_local_pod *p, const cJSON *volume, char *dir, size_t size, struct pt_err *err)
{
    const cJSON *kind = volume->child;
    while (kind && strcmp(kind->string, "name") == 0)
        kind = kind->next;
    const char *type = kind ? kind->string : "emptyDir";
    if (strcmp(type, "hostPath") == 0) {
        snprintf(dir, size, "%s", pt_obj_text(kind, "path"));
        return PT_OK;
    }
    int rc = pt_path_mkdirs(dir, 0700, err);
    if (rc < 0 || strcmp(type, "emptyDir") == 0)
        return rc;
    if (strcmp(type, "configMap") == 0)
        return write_object(p, dir, &pt_res_configmaps, pt_obj_text(kind, "name"), kind, err);
    if (strcmp(type, "secret") == 0)
        return write_object(p, dir, &pt_res_secrets, pt_obj_text(kind, "secretName"), kind, err);
    if (strcmp(type, "downwardAPI") == 0)
        return write_fields(p, dir, cJSON_GetObjectItemCaseSensitive(kind, "items"), err);
    if (strcmp(type, "projected") == 0)
        return write_projected(p, dir, cJSON_GetObjectItemCaseSensitive(kind, "sources"), err);
    return pt_fail(err, PT_EUNSUPPORTED, "volumes of type \"%s\" are not supported by pintle up", type);
}

int pt_local_pod_volumes(struct pt_local_pod *p, const cJSON *container, struct pt_buf *mounts, struct pt_err *err)
{
    const cJSON *mount, *v;
    cJSON_ArrayForEach(mount, cJSON_GetObjectItemCaseSensitive(container, "volumeMounts"))
    {
        const char *name = pt_obj_text(mount, "name"), *sub = pt_obj_text(mount, "subPath");
        const cJSON *volume = NULL;
        char dir[900];
        cJSON_ArrayForEach(v, pt_obj_get(p->object, "spec.volumes")) if (strcmp(pt_obj_text(v, "name"), name) == 0) volume = v;
        if (!volume)
            return pt_fail(err, PT_EINVAL, "volumeMounts: there is no volume \"%s\"", name);
        snprintf(dir, sizeof dir, "%s/volumes/%s", p->dir, name);
        int rc = lay_out(p, volume, dir, sizeof dir, err);
        if (rc < 0)
            return pt_wrap(err, "volume \"%s\"", name);
        pt_buf_printf(mounts, "%s%s=%s%s%s", mounts->len ? ":" : "", pt_obj_text(mount, "mountPath"), dir, *sub ? "/" : "", sub);
    }
    return pt_buf_check(mounts, PT_ENV_MOUNTS, err);
}
