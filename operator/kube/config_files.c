/* SPDX-License-Identifier: Apache-2.0
 *
 * config_files.c: what was said about a server and its user, checked before it reaches libcurl, where a wrong URL or certificate fails every call
 * with words that do not name it; and the files it is read from again while running.
 */
#include "operator/kube/config.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <strings.h>

#define PEM "-----BEGIN "
#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

static bool is_one_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

/* Messages leave the URL out: it may carry a password. */
static int check_url(const char *member, const char *url, const char *const *schemes, const char *unwanted, struct pt_err *err)
{
    bool known = false;
    for (; *schemes; schemes++)
        known |= !strncasecmp(url, *schemes, strlen(*schemes));
    const char *host = strstr(url, "://");
    if (!known || !host || !host[3])
        return pt_fail(err, PT_EINVAL, "%s must be an URL with a scheme that is known here and a host", member);
    return is_one_line(url) && !strpbrk(url, unwanted)
               ? PT_OK
               : pt_fail(err, PT_EINVAL, "%s has a character that does not belong there (of %s)", member, unwanted);
}

/* Where no scheme is given it is kubectl's: https with something to verify, or not to. */
static int complete_server(struct pt_kube_config *c, struct pt_err *err)
{
    static const char *const schemes[] = {"https://", "http://", NULL};
    if (!strstr(c->server, "://")) {
        bool tls = c->ca_pem || c->ca_file || c->cert_pem || c->cert_file || c->insecure;
        char *whole = pt_asprintf("%s://%s", tls ? "https" : "http", c->server);
        if (!whole)
            return pt_fail(err, PT_ENOMEM, "out of memory");
        pt_free(c->server);
        c->server = whole;
    }
    return check_url("cluster.server", c->server, schemes, " @?#\"<>\\", err);
}

/* Names are looked up by the proxy, as Go does it: they may be known only there. */
static int complete_proxy(struct pt_kube_config *c, struct pt_err *err)
{
    static const char *const schemes[] = {"http://", "https://", "socks5://", "socks5h://", NULL};
    if (!c->proxy_url)
        return PT_OK;
    if (!strncasecmp(c->proxy_url, "socks5://", 9)) {
        char *there = pt_asprintf("socks5h://%s", c->proxy_url + 9);
        if (!there)
            return pt_fail(err, PT_ENOMEM, "out of memory");
        pt_free(c->proxy_url);
        c->proxy_url = there;
    }
    return check_url("cluster.proxy-url", c->proxy_url, schemes, " ?#\"<>\\", err);
}

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
static int check_texts(const struct pt_kube_config *c, struct pt_err *err)
{
    const struct {
        const char *member, *text;
        bool pem;
    } rows[] = {{"user.token", c->token, false},
                {"user.username", c->username, false},
                {"user.password", c->password, false},
                {"cluster.certificate-authority-data", c->ca_pem, true},
                {"user.client-certificate-data", c->cert_pem, true},
                {"user.client-key-data", c->key_pem, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].text && (rows[i].pem ? !strstr(rows[i].text, PEM) : !is_one_line(rows[i].text)))
            return pt_fail(err, PT_EINVAL, rows[i].pem ? "%s is not PEM" : "%s must be text of one line", rows[i].member);
    if (c->tls_server_name && c->tls_server_name[strspn(c->tls_server_name, NAME_CHARACTERS)])
        return pt_fail(err, PT_EINVAL, "cluster.tls-server-name: \"%s\" is not a name", c->tls_server_name);
    return PT_OK;
}

int pt_kube_config_check(struct pt_kube_config *c, struct pt_err *err)
{
    int rc = complete_server(c, err);
    if (rc == PT_OK)
        rc = complete_proxy(c, err);
    return rc == PT_OK ? check_texts(c, err) : rc;
}

bool pt_kube_config_lacks(const struct pt_kube_config *c)
{
    return (c->ca_file && !c->ca_pem) || (c->cert_file && !c->cert_pem) || (c->key_file && !c->key_pem) || (c->token_file && !c->token);
}

/* --- files ----------------------------------------------------------------------------------------------------------------- */

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

/* The text of a file, if it can be what is wanted: who writes a file may be in the middle of it. */
static char *read_credential(const char *path, bool pem, struct pt_err *err)
{
    char *text = read_trimmed(path, err);
    const char *why = !text                        ? NULL
                      : !*text                     ? "the file is empty"
                      : pem && !strstr(text, PEM)  ? "the file is not PEM"
                      : !pem && !is_one_line(text) ? "the file has more than one line"
                                                   : NULL;
    if (!why)
        return text;
    pt_fail(err, PT_EINVAL, "%s: %s", path, why);
    pt_free(text);
    return NULL;
}

/* What is given as data wins over a file, as in client-go; a token file wins over a token. What cannot be read stays as it is, whatever becomes of
 * the others; of a certificate and its key both change, or neither. */
int pt_kube_config_refresh(struct pt_kube_config *c, bool *changed, struct pt_err *err)
{
    enum { CA, CERT, KEY, TOKEN, COUNT };
    const struct {
        char *file, **text;
    } rows[COUNT] = {[CA] = {c->ca_file, &c->ca_pem},
                     [CERT] = {c->cert_file, &c->cert_pem},
                     [KEY] = {c->key_file, &c->key_pem},
                     [TOKEN] = {c->token_file, &c->token}};
    char *fresh[COUNT] = {0};
    struct pt_err failure = {0};
    *changed = false;
    for (size_t i = 0; i < COUNT; i++)
        if (rows[i].file)
            fresh[i] = read_credential(rows[i].file, i != TOKEN, failure.code ? NULL : &failure);
    bool half = rows[CERT].file && rows[KEY].file && !fresh[CERT] != !fresh[KEY];
    for (size_t i = 0; i < COUNT; i++) {
        if (fresh[i] && !(half && (i == CERT || i == KEY)) && (!*rows[i].text || strcmp(fresh[i], *rows[i].text) != 0)) {
            *changed |= i != TOKEN;
            char *old = *rows[i].text;
            *rows[i].text = fresh[i];
            fresh[i] = old;
        }
        pt_free(fresh[i]);
    }
    if (failure.code && err)
        *err = failure;
    return failure.code;
}
