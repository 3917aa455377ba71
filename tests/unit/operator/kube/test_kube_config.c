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
                           "clusters:\n- name: c\n  cluster: {server: 'https://h:6443/', certificate-authority-data: Q0E=, tls-server-name: api}\n"
                           "- name: d\n  cluster: {server: 'http://x', certificate-authority: ca.pem}\n"
                           "users:\n- name: u\n  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}\n- name: v\n  user: {tokenFile: token, token: old}\n";

static void test_data_of_the_current_context(void **state)
{
    struct pt_kube_config c;
    struct pt_err err = {0};
    (void)state;
    if (pt_kube_config_load(put("config", good), NULL, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.server, "https://h:6443");
    assert_string_equal(c.ca_pem, "CA");
    assert_string_equal(c.cert_pem, "CERT");
    assert_string_equal(c.key_pem, "KEY");
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
    put("ca.pem", "first\n");
    put("token", "t1\n");
    if (pt_kube_config_load(put("config", good), "two", &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.ca_pem, "first");
    assert_string_equal(c.token, "t1");
    assert_string_equal(c.ns, "default");
    put("token", "t2");
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_OK);
    assert_string_equal(c.token, "t2");
    assert_false(changed);
    put("ca.pem", "second");
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_OK);
    assert_true(changed);
    char path[128];
    snprintf(path, sizeof path, "%s/token", dir);
    unlink(path);
    assert_int_equal(pt_kube_config_refresh(&c, &changed, &err), PT_ENOTFOUND);
    assert_string_equal(c.token, "t2");
    pt_kube_config_finish(&c);
}

static void expect_error(const char *text, const char *part)
{
    struct pt_kube_config c;
    struct pt_err err = {0};
    assert_true(pt_kube_config_load(put("config", text), NULL, &c, &err) < 0);
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
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x, certificate-authority-data: '%%'}}]", "certificate-authority-data");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {exec: {command: aws}}}]", "user.exec.apiVersion");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}}}]", "interactiveMode: required");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {exec: {command: aws, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}}}]", "no terminal");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}}]", "exec.command: required");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {auth-provider: {name: gcp}}}]", "user.auth-provider is not supported");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {as-groups: [1]}}]", "Impersonate-Group");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {as-user-extra: {'a: b': [x]}}}]", "as-user-extra");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {tokn: SECRET}}]", "user.tokn is not known");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {client-key-data: S0VZ}}]", "together");
    expect_error(HEAD "clusters: [{name: c, cluster: {server: x, certificate-authority: none.pem}}]\nusers: [{name: u, user: {}}]", "none.pem");
    expect_error("a: [", "line");
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
    put("ca.pem", "CA");
    const char *a = put("first", first), *b = put("second", second);
    snprintf(list, sizeof list, "/nonexistent/config:%s:%s", a, b);
    if (pt_kube_config_load(list, NULL, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.server, "https://one");
    assert_string_equal(c.token, "t1");
    assert_string_equal(c.ns, "n1");
    assert_string_equal(c.ca_pem, "CA");
    pt_kube_config_finish(&c);
    assert_int_equal(pt_kube_config_load("/nonexistent/a:/nonexistent/b", NULL, &c, &err), PT_ENOTFOUND);
}

static void test_impersonation_and_plugins(void **state)
{
    static const char text[] = HEAD "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {as: jane, as-uid: '7', as-groups: [dev, ops], as-user-extra: {scopes: [view]},"
                               "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/login, args: [get, token], env: [{name: A, value: b=c}], interactiveMode: IfAvailable,"
                               "installHint: install it, provideClusterInfo: true}}}]";
    struct pt_kube_config c;
    struct pt_err err = {0};
    (void)state;
    const char *path = put("config", text);
    if (pt_kube_config_load(path, NULL, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.impersonate, "Impersonate-User: jane\nImpersonate-Uid: 7\nImpersonate-Group: dev\nImpersonate-Group: ops\nImpersonate-Extra-scopes: view\n");
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
    put("ca.pem", "ca");
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
    static const char *const names[] = {"config", "ca.pem", "token", "first", "second"};
    (void)state;
    for (size_t i = 0; i < 5; i++) {
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
        cmocka_unit_test(test_lists_of_files),              cmocka_unit_test(test_impersonation_and_plugins),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
