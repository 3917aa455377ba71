/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cluster.h"

#include "base/mem.h"
#include "operator/kube/exec.h"

#include <stdio.h>

struct run {
    struct pt_loop *loop;
    struct pt_credential *credential;
    struct pt_err err;
};

static void on_credential(void *arg, struct pt_credential *c, const struct pt_err *err)
{
    struct run *r = arg;
    if (err) {
        r->err = *err;
    } else { /* taken */
        *r->credential = *c;
        *c = (struct pt_credential){0};
    }
    pt_loop_stop(r->loop);
}

static int ask_program(struct pt_loop *loop, const struct pt_kube_config *config, struct pt_credential *out, struct pt_err *err)
{
    struct run r = {.loop = loop, .credential = out};
    struct pt_exec_run *handle;
    int rc = pt_kube_exec_start(loop, config, on_credential, &r, &handle, err);
    if (rc < 0)
        return rc;
    pt_loop_run(loop);
    if (r.err.code && err)
        *err = r.err;
    return r.err.code;
}

static int refuse_what_is_missing(const struct pt_kube_config *k, struct pt_err *err)
{
    const char *what = k->proxy_url ? "proxy-url" : k->tls_server_name ? "tls-server-name" : k->impersonate ? "as (impersonation)" : NULL;
    return what ? pt_fail(err, PT_EUNSUPPORTED, "kubeconfig: %s: this command cannot use it; kubectl can", what) : PT_OK;
}

static int authorize(struct pt_cluster *c, const struct pt_kube_config *k, const struct pt_credential *given, struct pt_err *err)
{
    const char *token = given->token ? given->token : k->token;
    pt_auto_buf b = PT_BUF_INIT(64 << 10), pair = PT_BUF_INIT(4096);
    if (token) {
        pt_buf_printf(&b, "Bearer %s", token);
    } else if (k->username) {
        pt_buf_printf(&pair, "%s:%s", k->username, k->password ? k->password : "");
        pt_auto_free char *text = pt_malloc((pair.len + 2) / 3 * 4 + 1);
        if (!text)
            return pt_fail(err, PT_ENOMEM, "kubeconfig: out of memory");
        pt_base64_encode(pt_buf_cstr(&pair), pair.len, text);
        pt_buf_printf(&b, "Basic %s", text);
    } else {
        return PT_OK;
    }
    int rc = pt_buf_check(&b, "kubeconfig: credential", err);
    if (rc == PT_OK && !(c->authorization = pt_strdup(pt_buf_cstr(&b))))
        rc = pt_fail(err, PT_ENOMEM, "kubeconfig: out of memory");
    return rc;
}

static int secure(struct pt_cluster *c, const struct pt_kube_config *k, const struct pt_credential *given, struct pt_err *err)
{
    const char *cert = given->cert_pem ? given->cert_pem : k->cert_pem, *key = given->cert_pem ? given->key_pem : k->key_pem;
    int rc = k->insecure ? pt_tls_client_create_unverified(&c->tls, err) : pt_tls_client_create(k->ca_pem, &c->tls, err);
    return rc == PT_OK && cert && key ? pt_tls_show(c->tls, cert, key, err) : rc;
}

int pt_cluster_open(struct pt_loop *loop, const char *kubeconfig, struct pt_cluster *out, struct pt_err *err)
{
    struct pt_kube_config config = {0};
    struct pt_credential given = {0};
    bool changed;
    *out = (struct pt_cluster){0};
    int rc = pt_kube_config_load(kubeconfig, NULL, &config, err);
    if (rc == PT_OK)
        rc = refuse_what_is_missing(&config, err);
    if (rc == PT_OK && config.token_file)
        rc = pt_kube_config_refresh(&config, &changed, err);
    if (rc == PT_OK && config.exec)
        rc = ask_program(loop, &config, &given, err);
    if (rc == PT_OK)
        rc = authorize(out, &config, &given, err);
    if (rc == PT_OK)
        rc = secure(out, &config, &given, err);
    if (rc == PT_OK)
        out->server = pt_steal(config.server);
    else
        pt_cluster_close(out);
    pt_credential_finish(&given);
    pt_kube_config_finish(&config);
    return rc;
}

void pt_cluster_close(struct pt_cluster *c)
{
    pt_free(c->server);
    pt_free(c->authorization);
    pt_tls_destroy(c->tls);
    *c = (struct pt_cluster){0};
}

int pt_cluster_namespace(const char *kubeconfig, char *out, size_t size, struct pt_err *err)
{
    struct pt_kube_config config = {0};
    int rc = pt_kube_config_load(kubeconfig, NULL, &config, err);
    if (rc == PT_OK && snprintf(out, size, "%s", config.ns ? config.ns : "default") >= (int)size)
        rc = pt_fail(err, PT_ELIMIT, "kubeconfig: the namespace is too long");
    pt_kube_config_finish(&config);
    return rc;
}
