/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "operator/kube/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define PEM "-----BEGIN "

static char dir[] = "/tmp/pintle-test-XXXXXX";

static const char *put(const char *name, const char *text)
{
    static char path[2][128];
    static int turn;
    char *out = path[turn++ % 2];
    snprintf(out, 128, "%s/%s", dir, name);
    assert_int_equal(pt_path_write_atomic(out, text, strlen(text), 0600, NULL), PT_OK);
    return out;
}

static const char good[] = "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
                           "contexts:\n- name: one\n  context: {cluster: c, user: u, namespace: team}\n- name: two\n  context: {cluster: d, user: v}\n"
                           "clusters:\n- name: c\n  cluster: {server: 'https://h:6443/', certificate-authority-data: LS0tLS1CRUdJTiBDQQ==, tls-server-name: api}\n"
                           "- name: d\n  cluster: {server: 'http://x', certificate-authority: ca.pem}\n"
                           "users:\n- name: u\n  user: {client-certificate-data: LS0tLS1CRUdJTiBDRVJU, client-key-data: LS0tLS1CRUdJTiBLRVk=}\n- name: v\n  user: {tokenFile: token, token: old}\n";

static void test_data_of_the_current_context(void **state)
{
    struct pt_kube_config c;
    struct pt_err err = {0};
    (void)state;
    if (pt_kube_config_load(put("config", good), NULL, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.server, "https://h:6443");
    assert_string_equal(c.ca_pem, PEM "CA");
    assert_string_equal(c.cert_pem, PEM "CERT");
    assert_string_equal(c.key_pem, PEM "KEY");
    assert_string_equal(c.tls_server_name, "api");
    assert_string_equal(c.ns, "team");
    pt_kube_config_finish(&c);
}

static void test_files_are_relative_and_read_again(void **state)
{
    struct pt_kube_config c;
    struct pt_err err = {0};
    bool changed = true;
    (void)state;
    put("ca.pem", PEM "first\n");
    put("token", "t1\n");
    if (pt_kube_config_load(put("config", good), "two", &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.ca_pem, PEM "first");
    assert_string_equal(c.token, "t1");
    assert_string_equal(c.ns, "default");
    put("token", "t2");
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_OK);
    assert_string_equal(c.token, "t2");
    assert_false(changed);
    put("ca.pem", PEM "second");
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_OK);
    assert_true(changed);
    char path[128];
    snprintf(path, sizeof path, "%s/token", dir);
    unlink(path);
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_ENOTFOUND);
    assert_string_equal(c.token, "t2");
    pt_kube_config_finish(&c);
}

/* Whoever writes the files may be in the middle of it, or fail at one of them. */
static void test_files_half_written(void **state)
{
    static const char text[] = "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
                               "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.pem}}]\n"
                               "users: [{name: u, user: {client-certificate: cert.pem, client-key: key.pem, token: written, tokenFile: token}}]\n";
    struct pt_kube_config c;
    struct pt_err err = {0};
    bool changed;
    (void)state;
    put("ca.pem", PEM "ca1");
    put("cert.pem", PEM "cert1");
    put("key.pem", PEM "key1");
    const char *path = put("token", ""); /* its name */
    unlink(path);
    path = put("config", text);
    if (pt_kube_config_load(path, NULL, &c, &err) < 0) /* no token file: the one that is written down serves */
        fail_msg("%s", err.msg);
    assert_string_equal(c.token, "written");
    put("token", "t1");
    put("ca.pem", "");
    put("cert.pem", PEM "cert2");
    put("key.pem", "-----BEG");
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "ca.pem: the file is empty"));
    assert_string_equal(c.ca_pem, PEM "ca1");
    assert_string_equal(c.cert_pem, PEM "cert1"); /* not without its key */
    assert_string_equal(c.token, "t1");           /* whatever became of the others */
    assert_false(changed);
    put("ca.pem", PEM "ca2");
    put("key.pem", PEM "key2");
    put("token", "two\nlines");
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "token: the file has more than one line"));
    assert_true(changed);
    assert_string_equal(c.ca_pem, PEM "ca2");
    assert_string_equal(c.cert_pem, PEM "cert2");
    assert_string_equal(c.key_pem, PEM "key2");
    assert_string_equal(c.token, "t1");
    put("token", "");
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_EINVAL);
    assert_string_equal(c.token, "t1");
    pt_kube_config_finish(&c);
}

static void expect_error(const char *text, const char *part)
{
    struct pt_kube_config c;
    struct pt_err err = {0};
    if (pt_kube_config_load(put("config", text), NULL, &c, &err) == PT_OK)
        fail_msg("taken: %s", text);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, part);
    if (strstr(err.msg, "SECRET"))
        fail_msg("\"%s\" tells a secret", err.msg);
}

#define HEAD "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"

static void test_errors(void **state)
{
    (void)state;
    expect_error("", "empty");
    expect_error("{}", "current-context is not set");
    expect_error("current-context: a", "context \"a\" does not exist");
    expect_error(HEAD, "no entry \"c\" in clusters");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'https://x'}}]", "no entry \"u\" in users");
    expect_error(HEAD "clusters: [{name: c, cluster: {}}]\nusers: [{name: u, user: {}}]", "no server");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 5}}]", "cluster.server must be a string");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x', certificate-authority-data: '%%'}}]", "certificate-authority-data");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {exec: {command: aws}}}]", "user.exec.apiVersion");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}}}]", "interactiveMode: required");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {exec: {command: aws, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}}}]", "no terminal");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}}]", "exec.command: required");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {auth-provider: {name: gcp}}}]", "user.auth-provider is not supported");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {as-groups: [1]}}]", "Impersonate-Group");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {tokn: SECRET}}]", "user.tokn is not known");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {client-key-data: LS0tLS1CRUdJTiBLRVk=}}]", "together");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: 'http://x', certificate-authority: none.pem}}]\nusers: [{name: u, user: {}}]", "none.pem");
    expect_error("a: [", "line");
    expect_error(HEAD "---\n" HEAD, "a second document");
    expect_error("[1]", "current-context");
    expect_error("current-context: a\ncontexts: [a]", "context \"a\" does not exist");
    expect_error("current-context: a\ncontexts: [{name: a, context: [c]}]", "names no cluster");
}

#define CLUSTER(cluster) HEAD "clusters: [{name: c, cluster: " cluster "}]\nusers: [{name: u}]\n"
#define USER(user) HEAD "clusters: [{name: c, cluster: {server: 'https://x'}}]\nusers: [{name: u, user: " user "}]\n"
#define PLUGIN(more) USER("{exec: {command: x, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, " more "}}")

static void test_wrong_types_and_texts(void **state)
{
    (void)state;
    expect_error(CLUSTER("[x]"), "cluster must be a map");
    expect_error(CLUSTER("null"), "no server");
    expect_error(CLUSTER("{server: 'https://x', insecure-skip-tls-verify: 1}"), "insecure-skip-tls-verify must be true or false");
    expect_error(CLUSTER("{server: 'ftp://x'}"), "cluster.server must be an URL");
    expect_error(CLUSTER("{server: 'https://'}"), "cluster.server must be an URL");
    expect_error(CLUSTER("{server: 'https://me:SECRET@x'}"), "cluster.server has a character");
    expect_error(CLUSTER("{server: \"https://x/\\r\\nX: SECRET\"}"), "cluster.server has a character");
    expect_error(CLUSTER("{server: 'https://x', proxy-url: 'gopher://u:SECRET@x'}"), "cluster.proxy-url must be an URL");
    expect_error(CLUSTER("{server: 'https://x', tls-server-name: 'a/b'}"), "cluster.tls-server-name: \"a/b\"");
    expect_error(CLUSTER("{server: 'https://x', certificate-authority-data: U0VDUkVU}"), "certificate-authority-data is not PEM");
    expect_error(USER("[x]"), "user must be a map");
    expect_error(USER("text"), "user must be a map");
    expect_error(USER("{token: \"SECRET\\r\\nX: 1\"}"), "user.token must be text of one line");
    expect_error(USER("{as: j, as-groups: SECRET}"), "user.as-groups must be a list");
    expect_error(USER("{as: j, as-user-extra: [a]}"), "user.as-user-extra must be a map");
    expect_error(USER("{as: j, as-user-extra: {a: SECRET}}"), "as-user-extra's value must be a list");
    expect_error(USER("{as: j, as-user-extra: {'': [a]}}"), "a name is empty");
    expect_error(USER("{exec: [a]}"), "user.exec.command: required");
    expect_error(PLUGIN("args: SECRET"), "user.exec.args must be a list");
    expect_error(PLUGIN("args: [{}]"), "args must be a list of texts");
    expect_error(PLUGIN("env: {a: b}"), "user.exec.env must be a list");
}

static void test_what_is_completed(void **state)
{
    static const struct {
        const char *cluster, *server, *proxy;
    } rows[] = {
        {"{server: '10.0.0.1:6443', insecure-skip-tls-verify: true}", "https://10.0.0.1:6443", NULL},
        {"{server: '10.0.0.1:8080'}", "http://10.0.0.1:8080", NULL},
        {"{server: 'HTTPS://x/k8s/c-1/', proxy-url: 'socks5://p:1080'}", "HTTPS://x/k8s/c-1", "socks5h://p:1080"},
        {"{server: 'https://x', proxy-url: 'http://u:p@p:3128'}", "https://x", "http://u:p@p:3128"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_kube_config c;
        struct pt_err err = {0};
        char text[512];
        snprintf(text, sizeof text, HEAD "clusters: [{name: c, cluster: %s}]\nusers: [{name: u, user: null}]\n", rows[i].cluster);
        if (pt_kube_config_load(put("config", text), NULL, &c, &err) < 0)
            fail_msg("%s: %s", rows[i].cluster, err.msg);
        assert_string_equal(c.server, rows[i].server);
        assert_string_equal(c.proxy_url ? c.proxy_url : "", rows[i].proxy ? rows[i].proxy : "");
        pt_kube_config_finish(&c);
    }
}

static void test_no_file(void **state)
{
    (void)state;
    struct pt_kube_config c;
    struct pt_err err = {0};
    assert_int_equal(pt_kube_config_load("/nonexistent/config", NULL, &c, &err), PT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/config"));
}

/* Several files count as one; what an earlier one says wins. */
static void test_lists_of_files(void **state)
{
    static const char first[] = "contexts: [{name: a, context: {cluster: c, user: u, namespace: n1}}]\nusers: [{name: u, user: {token: t1}}]\n";
    static const char second[] = "current-context: a\ncontexts: [{name: a, context: {cluster: x, user: y}}]\n"
                                 "clusters: [{name: c, cluster: {server: 'https://one', certificate-authority: ca.pem}}]\nusers: [{name: u, user: {token: t2}}]\n";
    struct pt_kube_config c;
    struct pt_err err = {0};
    char list[512];
    (void)state;
    put("ca.pem", PEM "CA");
    const char *a = put("first", first), *b = put("second", second);
    snprintf(list, sizeof list, "/nonexistent/config:%s:%s", a, b);
    if (pt_kube_config_load(list, NULL, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.server, "https://one");
    assert_string_equal(c.token, "t1");
    assert_string_equal(c.ns, "n1");
    assert_string_equal(c.ca_pem, PEM "CA");
    pt_kube_config_finish(&c);
    assert_int_equal(pt_kube_config_load("/nonexistent/a:/nonexistent/b", NULL, &c, &err), PT_ENOTFOUND);
}

static void test_impersonation_and_plugins(void **state)
{
    static const char text[] = HEAD "clusters: [{name: c, cluster: {server: 'http://x'}}]\nusers: [{name: u, user: {as: jane, as-uid: '7', as-groups: [dev, ops], as-user-extra: {scopes: [view], example.org/a%b: [c], 'a: b': [d]},"
                               "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/login, args: [get, token], env: [{name: A, value: b=c}], interactiveMode: IfAvailable,"
                               "installHint: install it, provideClusterInfo: true}}}]";
    struct pt_kube_config c;
    struct pt_err err = {0};
    (void)state;
    const char *path = put("config", text);
    if (pt_kube_config_load(path, NULL, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.impersonate, "Impersonate-User: jane\nImpersonate-Uid: 7\nImpersonate-Group: dev\nImpersonate-Group: ops\nImpersonate-Extra-scopes: view\n"
                                       "Impersonate-Extra-example.org%2fa%25b: c\nImpersonate-Extra-a%3a%20b: d\n");
    assert_true(strncmp(c.exec->command, dir, strlen(dir)) == 0 && strstr(c.exec->command, "/./bin/login"));
    assert_string_equal(c.exec->args[1], "token");
    assert_null(c.exec->args[2]);
    assert_string_equal(c.exec->env[0], "A=b=c");
    assert_true(c.exec->cluster_info);
    for (int64_t n = 1, done = 0; !done; n++) {
        pt_kube_config_finish(&c);
        pt_mem_fail_at(n, 0);
        int rc = pt_kube_config_load(path, NULL, &c, &err);
        pt_mem_fail_at(0, 0);
        done = rc == PT_OK;
        assert_true(done || err.code == PT_ENOMEM);
    }
    pt_kube_config_finish(&c);
}

static void test_in_cluster_needs_a_cluster(void **state)
{
    struct pt_kube_config c;
    struct pt_err err = {0};
    (void)state;
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(pt_kube_config_in_cluster(&c, &err), PT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "--kubeconfig"));
}

static void test_out_of_memory(void **state)
{
    (void)state;
    put("ca.pem", PEM "ca");
    put("token", "t");
    const char *path = put("config", good);
    for (int n = 1; n < 400; n++) {
        struct pt_kube_config c;
        struct pt_err err = {0};
        pt_mem_fail_at(n, 0);
        int rc = pt_kube_config_load(path, "two", &c, &err);
        pt_mem_fail_at(0, 0);
        if (rc == PT_OK)
            pt_kube_config_finish(&c);
        else
            assert_true(err.code == PT_ENOMEM);
    }
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"config", "ca.pem", "cert.pem", "key.pem", "token", "first", "second"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_of_the_current_context), cmocka_unit_test(test_files_are_relative_and_read_again), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_in_cluster_needs_a_cluster),  cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_files_half_written),          cmocka_unit_test(test_wrong_types_and_texts), cmocka_unit_test(test_what_is_completed),
        cmocka_unit_test(test_no_file),                     cmocka_unit_test(test_lists_of_files),              cmocka_unit_test(test_impersonation_and_plugins),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
