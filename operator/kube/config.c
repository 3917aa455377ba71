/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c: kubeconfig by table: each row is a member of the cluster's or the user's object and the field that takes it. A member in no row
 * is either harmless (extensions) or refused by name, so that nobody runs with half of their credentials.
 */
#include "operator/kube/config.h"

#include "base/buf.h"
#include "base/mem.h"
#include "operator/ctrl/manifest.h"

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdlib.h>

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

enum kind { TEXT, FLAG, BASE64, FILE_PATH, IGNORED, REFUSED };

struct row {
    const char *member;
    enum kind kind;
    size_t field;
};
#define FIELD(f) offsetof(struct pt_kube_config, f)
static const struct row cluster_rows[] = {
    {"server", TEXT, FIELD(server)},
    {"tls-server-name", TEXT, FIELD(tls_server_name)},
    {"insecure-skip-tls-verify", FLAG, FIELD(insecure)},
    {"certificate-authority", FILE_PATH, FIELD(ca_file)},
    {"certificate-authority-data", BASE64, FIELD(ca_pem)},
    {"proxy-url", TEXT, FIELD(proxy_url)},
    {"disable-compression", IGNORED, 0}, /* we never ask for compression */
    {"extensions", IGNORED, 0},
    {NULL, 0, 0},
};
static const struct row user_rows[] = {
    {"client-certificate", FILE_PATH, FIELD(cert_file)},
    {"client-certificate-data", BASE64, FIELD(cert_pem)},
    {"client-key", FILE_PATH, FIELD(key_file)},
    {"client-key-data", BASE64, FIELD(key_pem)},
    {"token", TEXT, FIELD(token)},
    {"tokenFile", FILE_PATH, FIELD(token_file)},
    {"username", TEXT, FIELD(username)},
    {"password", TEXT, FIELD(password)},
    {"extensions", IGNORED, 0},
    {"exec", REFUSED, 0},
    {"auth-provider", REFUSED, 0},
    {"as", REFUSED, 0},
    {"as-uid", REFUSED, 0},
    {"as-groups", REFUSED, 0},
    {"as-user-extra", REFUSED, 0},
    {NULL, 0, 0},
};

struct loader {
    const char *path, *context;
    struct pt_kube_config *out;
};

static char *decode_base64(const char *text, const char *member, struct pt_err *err)
{
    size_t len = strlen(text), n = 0;
    char *out = pt_malloc(len / 4 * 3 + 4);
    if (!out) {
        pt_fail(err, PT_ENOMEM, "%s: out of memory", member);
        return NULL;
    }
    if (pt_base64_decode((struct pt_str){text, len}, (uint8_t *)out, len / 4 * 3 + 3, &n, err) < 0) {
        pt_wrap(err, "%s", member);
        pt_free(out);
        return NULL;
    }
    out[n] = 0;
    return out;
}

/* text, made absolute below the folder of the kubeconfig */
static char *resolve_path(const char *text, const char *config_path)
{
    const char *slash = strrchr(config_path, '/');
    if (text[0] == '/' || !slash)
        return pt_strdup(text);
    return pt_asprintf("%.*s/%s", (int)(slash - config_path), config_path, text);
}

static int set_field(const struct loader *l, const struct row *row, const cJSON *value, const char *section, struct pt_err *err)
{
    void *field = (char *)l->out + row->field;
    if (row->kind == REFUSED)
        return pt_fail(err, PT_EUNSUPPORTED, "%s: %s.%s is not supported in this version", l->path, section, row->member);
    if (row->kind == IGNORED || cJSON_IsNull(value))
        return PT_OK;
    if (row->kind == FLAG) {
        if (!cJSON_IsBool(value))
            return pt_fail(err, PT_EINVAL, "%s: %s.%s must be true or false", l->path, section, row->member);
        *(bool *)field = cJSON_IsTrue(value);
        return PT_OK;
    }
    if (!cJSON_IsString(value))
        return pt_fail(err, PT_EINVAL, "%s: %s.%s must be a string", l->path, section, row->member);
    if (!*value->valuestring)
        return PT_OK;
    char *text = row->kind == BASE64      ? decode_base64(value->valuestring, row->member, err)
                 : row->kind == FILE_PATH ? resolve_path(value->valuestring, l->path)
                                          : pt_strdup(value->valuestring);
    if (!text)
        return row->kind == BASE64 ? pt_wrap(err, "%s: %s", l->path, section) : pt_fail(err, PT_ENOMEM, "%s: out of memory", l->path);
    pt_free(*(char **)field);
    *(char **)field = text;
    return PT_OK;
}

/* Applies the object `section` of the entry called name in the list `list`. */
static int load_section(const struct loader *l, const cJSON *config, const char *list, const char *section, const char *name, const struct row *rows,
                        struct pt_err *err)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(config, list))
    {
        const cJSON *entry_name = cJSON_GetObjectItemCaseSensitive(entry, "name");
        if (!cJSON_IsString(entry_name) || strcmp(entry_name->valuestring, name) != 0)
            continue;
        const cJSON *member;
        cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(entry, section))
        {
            const struct row *row = rows;
            while (row->member && strcmp(row->member, member->string) != 0)
                row++;
            if (!row->member)
                return pt_fail(err, PT_EUNSUPPORTED, "%s: %s.%s is not known", l->path, section, member->string);
            int rc = set_field(l, row, member, section, err);
            if (rc < 0)
                return rc;
        }
        return PT_OK;
    }
    return pt_fail(err, PT_ENOTFOUND, "%s: no entry \"%s\" in %s", l->path, name, list);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(v) && *v->valuestring ? v->valuestring : NULL;
}

static int load_config(const struct loader *l, const cJSON *config, struct pt_err *err)
{
    const char *wanted = l->context ? l->context : text_of(config, "current-context");
    if (!wanted)
        return pt_fail(err, PT_EINVAL, "%s: current-context is not set", l->path);
    const cJSON *entry, *context = NULL;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(config, "contexts"))
    {
        const char *name = text_of(entry, "name");
        if (name && strcmp(name, wanted) == 0)
            context = cJSON_GetObjectItemCaseSensitive(entry, "context");
    }
    const char *cluster = text_of(context, "cluster"), *user = text_of(context, "user"), *ns = text_of(context, "namespace");
    if (!cluster)
        return pt_fail(err, PT_ENOTFOUND, "%s: context \"%s\" does not exist or names no cluster", l->path, wanted);
    int rc = load_section(l, config, "clusters", "cluster", cluster, cluster_rows, err);
    if (rc == PT_OK && user)
        rc = load_section(l, config, "users", "user", user, user_rows, err);
    if (rc == PT_OK && !l->out->server)
        rc = pt_fail(err, PT_EINVAL, "%s: cluster \"%s\" has no server", l->path, cluster);
    if (rc == PT_OK && !(l->out->ns = pt_strdup(ns ? ns : "default")))
        rc = pt_fail(err, PT_ENOMEM, "%s: out of memory", l->path);
    return rc;
}

/* Data given inline wins over a file of the same thing. */
static void drop_file(char **file, const char *inline_text)
{
    if (inline_text) {
        pt_free(*file);
        *file = NULL;
    }
}

static int load_document(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    const struct loader *l = arg;
    (void)line;
    cJSON *config = cJSON_ParseWithLength(json.p, json.len);
    int rc = config ? load_config(l, config, err) : pt_fail(err, PT_EPARSE, "%s: malformed", l->path);
    cJSON_Delete(config);
    return rc;
}

static void trim_slash(char *s)
{
    for (size_t n = strlen(s); n > 0 && s[n - 1] == '/'; n--)
        s[n - 1] = 0;
}

int pt_kube_config_load(const char *path, const char *context, struct pt_kube_config *out, struct pt_err *err)
{
    *out = (struct pt_kube_config){0};
    struct loader l = {path, context, out};
    pt_auto_buf text = PT_BUF_INIT(4 << 20);
    int rc = pt_buf_read_file(&text, path, err);
    if (rc < 0)
        return pt_wrap(err, "kubeconfig");
    rc = pt_manifest_parse((struct pt_str){pt_buf_cstr(&text), text.len}, path, load_document, &l, err);
    if (rc == PT_OK && !out->server)
        rc = pt_fail(err, PT_EINVAL, "%s: the file is empty", path);
    drop_file(&out->ca_file, out->ca_pem);
    drop_file(&out->cert_file, out->cert_pem);
    drop_file(&out->key_file, out->key_pem);
    bool changed;
    if (rc == PT_OK)
        rc = pt_kube_config_refresh(out, &changed, err);
    if (rc == PT_OK && (out->cert_pem != NULL) != (out->key_pem != NULL))
        rc = pt_fail(err, PT_EINVAL, "%s: client certificate and key must be given together", path);
    if (rc < 0) {
        pt_kube_config_finish(out);
        return pt_wrap(err, "kubeconfig");
    }
    trim_slash(out->server);
    return PT_OK;
}

static char *read_trimmed(const char *path, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(1 << 20);
    if (pt_buf_read_file(&b, path, err) < 0)
        return NULL;
    struct pt_str s = pt_str_trim((struct pt_str){b.data, b.len});
    char *text = pt_strndup(s.p ? s.p : "", s.len);
    if (!text)
        pt_fail(err, PT_ENOMEM, "%s: out of memory", path);
    return text;
}

int pt_kube_config_in_cluster(struct pt_kube_config *out, struct pt_err *err)
{
    *out = (struct pt_kube_config){0};
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (!host || !port || !*host || !*port)
        return pt_fail(err, PT_ENOTFOUND, "not in a cluster (KUBERNETES_SERVICE_HOST is not set): pass --kubeconfig FILE");
    bool v6 = strchr(host, ':') != NULL, changed;
    out->server = pt_asprintf("https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    out->token_file = pt_strdup(SERVICE_ACCOUNT "token");
    out->ca_file = pt_strdup(SERVICE_ACCOUNT "ca.crt");
    out->ns = read_trimmed(SERVICE_ACCOUNT "namespace", err);
    int rc = out->ns ? PT_OK : err ? err->code : PT_EIO;
    if (rc == PT_OK && (!out->server || !out->token_file || !out->ca_file))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = pt_kube_config_refresh(out, &changed, err);
    if (rc < 0) {
        pt_kube_config_finish(out);
        return pt_wrap(err, "in-cluster configuration");
    }
    return PT_OK;
}

int pt_kube_config_refresh(struct pt_kube_config *c, bool *changed, struct pt_err *err)
{
    /* what is given as data wins over a file, as in client-go; a token file wins over a token */
    const struct {
        char *file, **text;
        bool tls;
    } files[] = {{c->ca_file, &c->ca_pem, true}, {c->cert_file, &c->cert_pem, true}, {c->key_file, &c->key_pem, true}, {c->token_file, &c->token, false}};
    *changed = false;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!files[i].file)
            continue;
        char *text = read_trimmed(files[i].file, err);
        if (!text)
            return err ? err->code : PT_EIO;
        if (!*files[i].text || strcmp(text, *files[i].text) != 0) {
            *changed |= files[i].tls;
            char *old = *files[i].text;
            *files[i].text = text;
            text = old;
        }
        pt_free(text);
    }
    return PT_OK;
}

void pt_kube_config_finish(struct pt_kube_config *c)
{
    char *owned[] = {c->server,   c->tls_server_name, c->ca_pem, c->ca_file,    c->cert_pem, c->key_pem,  c->cert_file,
                     c->key_file, c->token,           c->token_file, c->username, c->password, c->proxy_url, c->ns};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        pt_free(owned[i]);
    *c = (struct pt_kube_config){0};
}
