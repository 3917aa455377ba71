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

enum kind { TEXT, FLAG, BASE64, FILE_PATH, HEADERS, PLUGIN, IGNORED, REFUSED };

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
    {"disable-compression", FLAG, FIELD(uncompressed)},
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
    {"exec", PLUGIN, 0},
    {"auth-provider", REFUSED, 0},
    {"as", HEADERS, 0},
    {"as-uid", HEADERS, 0},
    {"as-groups", HEADERS, 0},
    {"as-user-extra", HEADERS, 0},
    {NULL, 0, 0},
};

enum { MAX_FILES = 16 };
struct loader {
    const char *path, *context; /* the file that is being looked at */
    struct pt_kube_config *out;
    struct {
        char *path;
        cJSON *config;
    } files[MAX_FILES];
    size_t count;
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

/* An object that may be left out. */
static int check_map(const struct loader *l, const char *what, const cJSON *value, struct pt_err *err)
{
    return !value || cJSON_IsNull(value) || cJSON_IsObject(value) ? PT_OK : pt_fail(err, PT_EINVAL, "%s: %s must be a map", l->path, what);
}

static int check_list(const struct loader *l, const char *what, const cJSON *value, struct pt_err *err)
{
    return !value || cJSON_IsNull(value) || cJSON_IsArray(value) ? PT_OK : pt_fail(err, PT_EINVAL, "%s: user.%s must be a list", l->path, what);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(v) && *v->valuestring ? v->valuestring : NULL;
}

/* --- impersonation ------------------------------------------------------------------------------------------------------- */

static int add_header(const struct loader *l, const char *name, const char *key, const cJSON *value, struct pt_err *err)
{
    const char *text = cJSON_GetStringValue(value);
    if (!text || strpbrk(text, "\r\n"))
        return pt_fail(err, PT_EINVAL, "%s: user.%s must be text of one line", l->path, name);
    char *more = pt_asprintf("%s%s%s: %s\n", l->out->impersonate ? l->out->impersonate : "", name, key, text);
    if (!more)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", l->path);
    pt_free(l->out->impersonate);
    l->out->impersonate = more;
    return PT_OK;
}

static int add_list(const struct loader *l, const char *name, const char *key, const cJSON *list, struct pt_err *err)
{
    const cJSON *e;
    int rc = check_list(l, *key ? "as-user-extra's value" : "as-groups", list, err);
    cJSON_ArrayForEach(e, list) if (rc == PT_OK) rc = add_header(l, name, key, e, err);
    return rc;
}

/* Keys may be like example.org/reason: what a header's name cannot have is %-encoded there, and decoded by the server. */
static int add_extra(const struct loader *l, const char *key, const cJSON *list, struct pt_err *err)
{
    pt_auto_buf name = PT_BUF_INIT(1024);
    for (const char *p = key; *p; p++) {
        if (strchr("!#$&'*+-.^_`|~", *p) || (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))
            pt_buf_putc(&name, *p);
        else
            pt_buf_printf(&name, "%%%02x", (unsigned char)*p);
    }
    if (!*key)
        return pt_fail(err, PT_EINVAL, "%s: user.as-user-extra: a name is empty", l->path);
    int rc = pt_buf_check(&name, "user.as-user-extra", err);
    return rc == PT_OK ? add_list(l, "Impersonate-Extra-", pt_buf_cstr(&name), list, err) : rc;
}

static int add_impersonation(const struct loader *l, const char *member, const cJSON *value, struct pt_err *err)
{
    const cJSON *extra;
    if (!strcmp(member, "as"))
        return add_header(l, "Impersonate-User", "", value, err);
    if (!strcmp(member, "as-uid"))
        return add_header(l, "Impersonate-Uid", "", value, err);
    if (!strcmp(member, "as-groups"))
        return add_list(l, "Impersonate-Group", "", value, err);
    int rc = check_map(l, "user.as-user-extra", value, err);
    if (rc == PT_OK)
        cJSON_ArrayForEach(extra, value) if (rc == PT_OK) rc = add_extra(l, extra->string, extra, err);
    return rc;
}

/* --- exec ---------------------------------------------------------------------------------------------------------------- */

static void free_texts(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        pt_free(list[i]);
    pt_free(list);
}

static void free_exec(struct pt_kube_exec *x)
{
    if (!x)
        return;
    pt_free(x->command);
    pt_free(x->api_version);
    pt_free(x->install_hint);
    free_texts(x->args);
    free_texts(x->env);
    pt_free(x);
}

/* A list of texts, or of {name, value} as "name=value". */
static int copy_texts(const struct loader *l, const cJSON *list, bool pairs, char ***out, struct pt_err *err)
{
    size_t n = 0;
    const cJSON *e;
    int rc = check_list(l, pairs ? "exec.env" : "exec.args", list, err);
    if (rc < 0)
        return rc;
    *out = pt_calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof **out);
    if (!*out)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", l->path);
    cJSON_ArrayForEach(e, list)
    {
        const char *name = pairs ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(e, "name")) : "";
        const char *value = cJSON_GetStringValue(pairs ? cJSON_GetObjectItemCaseSensitive(e, "value") : e);
        if (!name || !value)
            return pt_fail(err, PT_EINVAL, "%s: user.exec.%s", l->path, pairs ? "env must be a list of name and value" : "args must be a list of texts");
        if (!((*out)[n++] = pt_asprintf("%s%s%s", name, pairs ? "=" : "", value)))
            return pt_fail(err, PT_ENOMEM, "%s: out of memory", l->path);
    }
    return PT_OK;
}

static int load_exec(const struct loader *l, const cJSON *value, struct pt_err *err)
{
    const char *command = text_of(value, "command"), *version = text_of(value, "apiVersion"), *mode = text_of(value, "interactiveMode"), *hint = text_of(value, "installHint");
    bool v1 = version && !strcmp(version, "client.authentication.k8s.io/v1");
    if (!command)
        return pt_fail(err, PT_EINVAL, "%s: user.exec.command: required", l->path);
    if (!v1 && (!version || strcmp(version, "client.authentication.k8s.io/v1beta1") != 0))
        return pt_fail(err, PT_EUNSUPPORTED, "%s: user.exec.apiVersion: \"%s\": must be client.authentication.k8s.io/v1 or v1beta1", l->path, version ? version : "");
    if (v1 && !mode)
        return pt_fail(err, PT_EINVAL, "%s: user.exec.interactiveMode: required with client.authentication.k8s.io/v1", l->path);
    if (mode && !strcmp(mode, "Always"))
        return pt_fail(err, PT_EUNSUPPORTED, "%s: user.exec.interactiveMode: \"Always\": there is no terminal here", l->path);
    if (mode && strcmp(mode, "Never") != 0 && strcmp(mode, "IfAvailable") != 0)
        return pt_fail(err, PT_EINVAL, "%s: user.exec.interactiveMode: \"%s\": must be Never, IfAvailable or Always", l->path, mode);
    struct pt_kube_exec *x = pt_calloc(1, sizeof *x);
    if (!x)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", l->path);
    free_exec(l->out->exec);
    l->out->exec = x;
    x->command = strchr(command, '/') ? resolve_path(command, l->path) : pt_strdup(command);
    x->api_version = pt_strdup(version);
    x->install_hint = pt_strdup(hint ? hint : "");
    x->cluster_info = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(value, "provideClusterInfo"));
    if (!x->command || !x->api_version || !x->install_hint)
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", l->path);
    int rc = copy_texts(l, cJSON_GetObjectItemCaseSensitive(value, "args"), false, &x->args, err);
    return rc == PT_OK ? copy_texts(l, cJSON_GetObjectItemCaseSensitive(value, "env"), true, &x->env, err) : rc;
}

static int set_field(const struct loader *l, const struct row *row, const cJSON *value, const char *section, struct pt_err *err)
{
    void *field = (char *)l->out + row->field;
    if (row->kind == REFUSED)
        return pt_fail(err, PT_EUNSUPPORTED, "%s: %s.%s is not supported in this version", l->path, section, row->member);
    if (row->kind == IGNORED || cJSON_IsNull(value))
        return PT_OK;
    if (row->kind == HEADERS)
        return add_impersonation(l, row->member, value, err);
    if (row->kind == PLUGIN)
        return load_exec(l, value, err);
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

/* The first entry of that name in the list `list`; l->path becomes the file that has it. NULL: in none. */
static const cJSON *find_entry(struct loader *l, const char *list, const char *name)
{
    const cJSON *entry;
    for (size_t i = 0; i < l->count; i++)
        cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(l->files[i].config, list))
        {
            const char *entry_name = text_of(entry, "name");
            if (!entry_name || strcmp(entry_name, name) != 0)
                continue;
            l->path = l->files[i].path;
            return entry;
        }
    return NULL;
}

static int load_section(struct loader *l, const char *list, const char *section, const char *name, const struct row *rows, struct pt_err *err)
{
    const cJSON *entry = find_entry(l, list, name), *object = cJSON_GetObjectItemCaseSensitive(entry, section), *member;
    if (!entry)
        return pt_fail(err, PT_ENOTFOUND, "%s: no entry \"%s\" in %s", l->path, name, list);
    if (check_map(l, section, object, err) < 0)
        return err ? err->code : PT_EINVAL;
    cJSON_ArrayForEach(member, object)
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

static int load_context(struct loader *l, struct pt_err *err)
{
    const char *wanted = l->context;
    for (size_t i = 0; i < l->count && !wanted; i++)
        wanted = text_of(l->files[i].config, "current-context");
    if (!wanted)
        return pt_fail(err, PT_EINVAL, "%s: current-context is not set", l->path);
    const cJSON *context = cJSON_GetObjectItemCaseSensitive(find_entry(l, "contexts", wanted), "context");
    const char *cluster = text_of(context, "cluster"), *user = text_of(context, "user"), *ns = text_of(context, "namespace");
    if (!cluster)
        return pt_fail(err, PT_ENOTFOUND, "%s: context \"%s\" does not exist or names no cluster", l->path, wanted);
    int rc = load_section(l, "clusters", "cluster", cluster, cluster_rows, err);
    if (rc == PT_OK && !l->out->server)
        rc = pt_fail(err, PT_EINVAL, "%s: cluster \"%s\" has no server", l->path, cluster);
    if (rc == PT_OK && user)
        rc = load_section(l, "users", "user", user, user_rows, err);
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
    struct loader *l = arg;
    cJSON *config = cJSON_ParseWithLength(json.p, json.len);
    if (!config)
        return pt_fail(err, PT_EPARSE, "%s: malformed", l->path);
    if (l->files[l->count].config) {
        cJSON_Delete(config);
        return pt_fail(err, PT_EINVAL, "%s: line %zu: a second document", l->path, line);
    }
    l->files[l->count].config = config;
    return PT_OK;
}

static int load_file(struct loader *l, char *path, bool one_of_many, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(4 << 20);
    if (l->count == MAX_FILES)
        return pt_fail(err, PT_ELIMIT, "%s: more than %d files", path, MAX_FILES);
    l->path = path;
    int rc = pt_buf_read_file(&text, path, err);
    if (rc == PT_ENOTFOUND && one_of_many)
        return PT_OK;
    if (rc == PT_OK)
        rc = pt_manifest_parse((struct pt_str){pt_buf_cstr(&text), text.len}, path, load_document, l, err);
    if (rc < 0)
        return rc;
    if (!l->files[l->count].config)
        return one_of_many ? PT_OK : pt_fail(err, PT_EINVAL, "%s: the file is empty", path);
    l->files[l->count].path = pt_strdup(path);
    return l->files[l->count++].path ? PT_OK : pt_fail(err, PT_ENOMEM, "%s: out of memory", path);
}

static int load_files(struct loader *l, const char *list, struct pt_err *err)
{
    struct pt_str rest = pt_str(list), part;
    bool many = strchr(list, ':') != NULL;
    int rc = PT_OK;
    while (rc == PT_OK && rest.len && pt_str_split(&rest, ':', &part)) {
        pt_auto_free char *path = pt_strndup(part.p, part.len);
        if (part.len)
            rc = path ? load_file(l, path, many, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    }
    l->path = l->count ? l->files[0].path : list;
    if (rc == PT_OK && !l->count)
        rc = pt_fail(err, PT_ENOTFOUND, "%s: none of these files is there", list);
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
    struct loader l = {.path = path, .context = context, .out = out};
    int rc = load_files(&l, path, err);
    if (rc == PT_OK)
        rc = load_context(&l, err);
    for (size_t i = 0; i < MAX_FILES; i++) {
        pt_free(l.files[i].path);
        cJSON_Delete(l.files[i].config);
    }
    drop_file(&out->ca_file, out->ca_pem);
    drop_file(&out->cert_file, out->cert_pem);
    drop_file(&out->key_file, out->key_pem);
    bool changed;
    if (rc == PT_OK && (rc = pt_kube_config_check(out, err)) < 0)
        pt_wrap(err, "%s", path);
    if (rc == PT_OK && (rc = pt_kube_config_refresh(out, &changed, err)) < 0 && rc != PT_ENOMEM && !pt_kube_config_lacks(out))
        rc = PT_OK; /* a token beside a tokenFile that is not there (yet) */
    if (rc == PT_OK && (out->cert_pem != NULL) != (out->key_pem != NULL))
        rc = pt_fail(err, PT_EINVAL, "%s: client certificate and key must be given together", path);
    if (rc == PT_OK && out->exec && (out->token || out->cert_pem || out->username))
        free_exec(pt_steal(out->exec)); /* as kubectl: what is written down wins */
    if (rc < 0) {
        pt_kube_config_finish(out);
        return pt_wrap(err, "kubeconfig");
    }
    trim_slash(out->server);
    return PT_OK;
}

void pt_kube_config_finish(struct pt_kube_config *c)
{
    char *owned[] = {c->server,   c->tls_server_name, c->ca_pem, c->ca_file,    c->cert_pem, c->key_pem,  c->cert_file,
                     c->key_file, c->token,           c->token_file, c->username, c->password, c->proxy_url, c->ns, c->impersonate};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        pt_free(owned[i]);
    free_exec(c->exec);
    *c = (struct pt_kube_config){0};
}
