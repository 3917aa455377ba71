/* SPDX-License-Identifier: Apache-2.0
 *
 * locator_oci.c: oci://REGISTRY/REPOSITORY[:TAG|@sha256:HEX], an artifact of the OCI distribution specification.
 *
 * manifest -> (401: a token, or basic authentication, and again) -> (an index: its first manifest) -> the model's layer -> its blob. The model is the
 * one layer, or among several the one that is called or typed ONNX. Tar layers (container images) hold files, not a model, and are refused.
 * Credentials: `username` and `password`, or the registry's entry in the docker configuration `.dockerconfigjson` (a Secret of type
 * kubernetes.io/dockerconfigjson has it under that name) or `config.json` of the credentials folder or of DOCKER_CONFIG. Registries on this
 * machine, and those in PINTLE_OCI_PLAIN_HTTP ("host:port,..."), are spoken to without TLS.
 */
#include "base/json.h"
#include "net/tls.h"
#include "sidecar/locator_scheme.h"
#include "sidecar/sigv4.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_LAYERS = 64, MAX_HOPS = 3 };

#define ACCEPT                                                                                                                                       \
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, "    \
    "application/vnd.docker.distribution.manifest.list.v2+json"

struct reference {
    struct pt_str registry, repository, tag; /* tag: or digest; empty: latest */
};

static struct reference parse(const struct pt_locator *l)
{
    struct reference r = {.repository = pt_str(l->uri + sizeof "oci://" - 1)};
    pt_str_split(&r.repository, '/', &r.registry);
    if (!r.repository.p)
        return r;
    const char *at = memchr(r.repository.p, '@', r.repository.len), *colon = at ? at : memrchr(r.repository.p, ':', r.repository.len);
    if (colon) {
        r.tag = (struct pt_str){colon + 1, (size_t)(r.repository.p + r.repository.len - colon - 1)};
        r.repository.len = (size_t)(colon - r.repository.p);
    }
    return r;
}

static int check(const struct pt_locator *l, struct pt_err *err)
{
    struct reference r = parse(l);
    uint8_t digest[32];
    bool good = r.registry.len && r.repository.p && r.repository.len;
    for (const char *p = l->uri + sizeof "oci://" - 1; good && *p; p++)
        good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("._-/:@[]", *p);
    if (!good)
        return pt_fail(err, PT_EINVAL, "\"%.200s\" is not oci://REGISTRY/REPOSITORY[:TAG|@sha256:HEX]", l->uri);
    if (memchr(l->uri, '@', strlen(l->uri)) && pt_parse_digest(r.tag, "digest", digest, err) < 0)
        return pt_wrap(err, "%.200s", l->uri);
    return PT_OK;
}

static void fail(struct pt_locator *l, int code, const char *what, const char *value)
{
    struct pt_err err;
    pt_fail(&err, code, "%.200s: %s%.300s", l->uri, what, value);
    pt_locator_failed(l, &err);
}

static bool plain_http(struct pt_locator *l, struct pt_str registry)
{
    struct pt_str list = pt_str(pt_locator_credential(l, "PINTLE_OCI_PLAIN_HTTP")), one, host = registry;
    while (pt_str_split(&list, ',', &one))
        if (pt_str_eq(pt_str_trim(one), registry))
            return true;
    const char *colon = memrchr(host.p, ':', host.len);
    if (colon)
        host.len = (size_t)(colon - host.p);
    return pt_str_eq(host, PT_STR("localhost")) || pt_str_eq(host, PT_STR("127.0.0.1")) || pt_str_eq(host, PT_STR("[::1]"));
}

static const char *url_of(struct pt_locator *l, const char *kind, struct pt_str what)
{
    struct reference r = parse(l);
    return pt_locator_printf(l, "%s://" PT_STR_FMT "/v2/" PT_STR_FMT "/%s/" PT_STR_FMT, plain_http(l, r.registry) ? "http" : "https",
                             PT_STR_ARG(r.registry), PT_STR_ARG(r.repository), kind, PT_STR_ARG(what));
}

/* --- credentials ----------------------------------------------------------------------------------------------------------------- */

/* The value of a member of an object, as text; strings decoded. False: not there. */
static bool member(struct pt_str object, struct pt_str name, struct pt_str *raw)
{
    struct pt_json j;
    struct pt_str key;
    pt_json_init(&j, object.p, object.len);
    if (!object.len || pt_json_object(&j, NULL) < 0)
        return false;
    while (pt_json_member(&j, &key, NULL) == 1) {
        if (pt_json_value(&j, raw, NULL) < 0)
            return false;
        if (pt_str_eq(key, name))
            return true;
    }
    return false;
}

static const char *string_member(struct pt_locator *l, struct pt_str object, const char *name)
{
    struct pt_str raw;
    struct pt_json j;
    pt_auto_buf b = PT_BUF_INIT(64 << 10);
    if (!member(object, pt_str(name), &raw))
        return "";
    pt_json_init(&j, raw.p, raw.len);
    if (pt_json_string(&j, &b, NULL) < 0)
        return "";
    const char *copy = pt_arena_strndup(&l->mem, pt_buf_cstr(&b), b.len);
    return copy ? copy : "";
}

/* "Basic ..." for the registry, or NULL. */
static const char *basic(struct pt_locator *l)
{
    const char *user = pt_locator_credential(l, "username"), *text = pt_locator_credential(l, ".dockerconfigjson"), *dir = getenv("DOCKER_CONFIG");
    struct pt_str registry = parse(l).registry, auths, entry;
    if (*user)
        return pt_locator_basic(l, user, pt_locator_credential(l, "password"));
    if (!*text)
        text = pt_locator_credential(l, "config.json");
    if (!*text && dir) {
        const char *path = pt_locator_printf(l, "%s/config.json", dir);
        text = path ? pt_locator_file(l, path) : "";
    }
    if (!member(pt_str(text), PT_STR("auths"), &auths) || !member(auths, registry, &entry))
        return NULL;
    const char *auth = string_member(l, entry, "auth"); /* base64 of user:password already */
    user = string_member(l, entry, "username");
    return *auth ? pt_locator_printf(l, "Basic %s", auth) : *user ? pt_locator_basic(l, user, string_member(l, entry, "password")) : NULL;
}

static bool authorize(struct pt_locator *l, const char *value)
{
    pt_free(l->authorization);
    l->authorization = value ? pt_strdup(value) : NULL;
    if (!l->authorization)
        fail(l, PT_ENOMEM, "out of memory", "");
    return l->authorization != NULL;
}

static void ask_manifest(struct pt_locator *l);

static void on_token(struct pt_locator *l, const struct pt_http_response *r)
{
    char why[320];
    const char *token = string_member(l, r->body, "token"), *value;
    if (!*token)
        token = string_member(l, r->body, "access_token");
    if (r->status != 200 || !*token) {
        pt_refusal_text(r->body, why, sizeof why);
        const char *text = pt_locator_printf(l, "%d %s", r->status, why);
        if (text)
            fail(l, PT_EDENIED, "the registry's token service answered ", text);
        return;
    }
    value = pt_locator_printf(l, "Bearer %s", token);
    if (value && authorize(l, value))
        ask_manifest(l);
}

/* A parameter of a challenge: Bearer realm="...",service="...",scope="..." */
static const char *parameter(struct pt_locator *l, struct pt_str challenge, const char *name)
{
    const char *wanted = pt_locator_printf(l, "%s=\"", name);
    const char *from = wanted ? memmem(challenge.p, challenge.len, wanted, strlen(wanted)) : NULL;
    if (!from)
        return "";
    from += strlen(wanted);
    const char *to = memchr(from, '"', (size_t)(challenge.p + challenge.len - from));
    const char *copy = to ? pt_arena_strndup(&l->mem, from, (size_t)(to - from)) : NULL;
    return copy ? copy : "";
}

static void answer_challenge(struct pt_locator *l, struct pt_str challenge)
{
    const char *credentials = basic(l), *realm = parameter(l, challenge, "realm"), *service = parameter(l, challenge, "service"),
               *scope = parameter(l, challenge, "scope");
    pt_auto_buf url = PT_BUF_INIT(8192);
    if (challenge.len > 5 && pt_str_eq_nocase((struct pt_str){challenge.p, 5}, PT_STR("Basic"))) {
        if (!credentials)
            fail(l, PT_EDENIED, "the registry wants a user name and a password", "");
        else if (authorize(l, credentials))
            ask_manifest(l);
        return;
    }
    if (!*realm) {
        fail(l, PT_EDENIED, "the registry does not say how to authenticate", "");
        return;
    }
    pt_buf_printf(&url, "%s%cservice=", realm, strchr(realm, '?') ? '&' : '?');
    pt_percent_encode(&url, pt_str(service), true);
    pt_buf_puts(&url, "&scope=");
    pt_percent_encode(&url, pt_str(*scope ? scope : pt_locator_printf(l, "repository:" PT_STR_FMT ":pull", PT_STR_ARG(parse(l).repository))), true);
    struct pt_http_header h = {PT_STR("Authorization"), pt_str(credentials)};
    pt_locator_call(l, pt_buf_cstr(&url), &h, credentials ? 1 : 0, NULL, on_token);
}

/* --- the manifest ---------------------------------------------------------------------------------------------------------------- */

struct layer {
    struct pt_str raw;
    const char *type, *title, *digest;
};

static void found_layer(struct pt_locator *l, const struct layer *layer)
{
    struct pt_err err;
    if (strstr(layer->type, "tar")) {
        fail(l, PT_EUNSUPPORTED, "the layer is an archive of files, not a model: ", layer->type);
        return;
    }
    if (pt_parse_digest(pt_str(layer->digest), "layer digest", l->digest, &err) < 0) {
        pt_wrap(&err, "%.200s", l->uri);
        pt_locator_failed(l, &err);
        return;
    }
    const char *url = url_of(l, "blobs", pt_str(layer->digest)),
               *authorization = url && l->authorization ? pt_locator_printf(l, "%s", l->authorization) : NULL;
    if (!url || (l->authorization && !pt_locator_header(l, "Authorization", authorization)))
        return;
    l->where.digest = l->digest;
    l->where.max_redirects = LOCATOR_REDIRECTS;
    pt_locator_found(l, url);
}

static bool is_onnx(const struct layer *layer)
{
    size_t n = strlen(layer->title);
    return (n > 5 && !strcmp(layer->title + n - 5, ".onnx")) || strstr(layer->type, "onnx");
}

static struct layer layer_of(struct pt_locator *l, struct pt_str raw)
{
    struct pt_str annotations;
    struct layer layer = {raw, string_member(l, raw, "mediaType"), "", string_member(l, raw, "digest")};
    if (member(raw, PT_STR("annotations"), &annotations))
        layer.title = string_member(l, annotations, "org.opencontainers.image.title");
    return layer;
}

/* Elements of an array as text; their number, or -1 when it is no array or too long. */
static int elements(struct pt_str array, struct pt_str *out, int room)
{
    struct pt_json j;
    int n = 0, rc;
    pt_json_init(&j, array.p, array.len);
    if (pt_json_array(&j, NULL) < 0)
        return -1;
    while ((rc = pt_json_element(&j, NULL)) == 1 && n < room)
        if (pt_json_value(&j, &out[n++], NULL) < 0)
            return -1;
    return rc == 0 ? n : -1;
}

static void choose_layer(struct pt_locator *l, struct pt_str layers)
{
    struct pt_str raw[MAX_LAYERS];
    struct layer chosen = {0};
    int n = elements(layers, raw, MAX_LAYERS), matches = 0;
    for (int i = 0; i < n; i++) {
        struct layer layer = layer_of(l, raw[i]);
        bool wanted = n == 1 || is_onnx(&layer);
        matches += wanted;
        if (wanted)
            chosen = layer;
    }
    const char *count = pt_locator_printf(l, "%d layers, %d of them ONNX by name or type", n, matches);
    if (!count)
        return;
    if (matches == 1)
        found_layer(l, &chosen);
    else
        fail(l, PT_EINVAL, "which layer is the model? The manifest has ", n < 0 ? "no readable list of layers" : count);
}

/* Is the manifest the one that was asked for by digest? */
static bool is_genuine(struct pt_locator *l, struct pt_str body)
{
    uint8_t want[32], got[32];
    if (pt_parse_digest(pt_str(l->reference), "reference", want, NULL) < 0)
        return true; /* a tag */
    struct pt_sha256 *h = pt_sha256_create();
    if (!h) {
        fail(l, PT_ENOMEM, "out of memory", "");
        return false;
    }
    pt_sha256_update(h, body.p, body.len);
    pt_sha256_finish(h, got);
    if (memcmp(want, got, 32) == 0)
        return true;
    fail(l, PT_ECONFLICT, "the registry answered with another manifest than ", l->reference);
    return false;
}

static void read_manifest(struct pt_locator *l, struct pt_str body)
{
    struct pt_str manifests, first = {0}, layers;
    if (!is_genuine(l, body))
        return;
    if (member(body, PT_STR("layers"), &layers)) {
        choose_layer(l, layers);
        return;
    }
    if (!member(body, PT_STR("manifests"), &manifests) || elements(manifests, &first, 1) == 0 || l->hops > MAX_HOPS) {
        fail(l, PT_EPARSE, "the manifest has neither layers nor manifests", "");
        return;
    }
    l->reference = pt_locator_printf(l, "%s", string_member(l, first, "digest"));
    if (l->reference && *l->reference)
        ask_manifest(l);
    else
        fail(l, PT_EPARSE, "the index names no manifest", "");
}

static void on_manifest(struct pt_locator *l, const struct pt_http_response *r)
{
    char why[320];
    struct pt_str challenge = pt_http_response_header(r, "WWW-Authenticate");
    if (r->status == 200) {
        read_manifest(l, r->body);
        return;
    }
    if (r->status == 401 && challenge.p && l->hops == 1) {
        pt_free(pt_steal(l->authorization));
        answer_challenge(l, challenge);
        return;
    }
    pt_refusal_text(r->body, why, sizeof why);
    const char *text = pt_locator_printf(l, "%d %s", r->status, why);
    if (text)
        fail(l,
             r->status == 404                       ? PT_ENOTFOUND
             : r->status == 401 || r->status == 403 ? PT_EDENIED
                                                    : PT_EUNAVAILABLE,
             "manifest: the registry answered ", text);
}

static void ask_manifest(struct pt_locator *l)
{
    const char *url = url_of(l, "manifests", pt_str(l->reference));
    struct pt_http_header headers[2] = {{PT_STR("Accept"), PT_STR(ACCEPT)}, {PT_STR("Authorization"), pt_str(l->authorization)}};
    l->hops++;
    if (url)
        pt_locator_call(l, url, headers, l->authorization ? 2 : 1, NULL, on_manifest);
}

static void locate(struct pt_locator *l)
{
    struct pt_str tag = parse(l).tag;
    l->reference = pt_locator_printf(l, PT_STR_FMT, tag.len ? (int)tag.len : 6, tag.len ? tag.p : "latest");
    if (l->reference)
        ask_manifest(l);
}

/* The token ran out between manifest and blob. */
static bool again(struct pt_locator *l, const struct pt_http_response *r)
{
    if (r->status != 401 || !l->authorization)
        return false;
    pt_free(pt_steal(l->authorization));
    return true;
}

const struct pt_locator_scheme pt_scheme_oci = {"oci://", check, locate, again};
