/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets.c: the files of tokens and certificates when memory runs out: each allocation fails once; what was read before stays, nothing leaks.
 */
#include "base/mem.h"
#include "net/tls.h"
#include "sidecar/auth.h"
#include "sidecar/certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void write_file(char path[32], const char *text)
{
    snprintf(path, 32, "/tmp/pintle-secrets-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void tokens(void **state)
{
    (void)state;
    struct pt_loop *loop;
    char path[32], text[1000] = "# who may\n";
    for (int i = 0; i < 8; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "sha256:%064x of %d\n", i, i);
    write_file(path, text);
    assert_int_equal(pt_loop_create(&loop, NULL), PT_OK);
    int failed = 0;
    for (int n = 1;; n++) {
        struct pt_auth a = {.loop = loop, .file = path, .poll_ms = 1000};
        struct pt_err err = {0};
        pt_mem_fail_at(n, 0);
        int rc = pt_auth_start(&a, &err);
        pt_mem_fail_at(0, 0);
        assert_int_equal(rc == PT_OK ? 8 : 0, a.count);
        pt_auth_stop(&a);
        if (rc == PT_OK)
            break;
        assert_int_equal(rc, PT_ENOMEM);
        assert_int_equal(err.code, PT_ENOMEM);
        failed++;
    }
    assert_true(failed >= 5);
    pt_loop_destroy(loop);
    unlink(path);
}

static void certificates(void **state)
{
    (void)state;
    struct pt_loop *loop;
    char cert[32], key[32], ca[32];
    pt_auto_buf cert_pem = {0}, key_pem = {0}, ca_pem = {0}, ca_key = {0};
    assert_int_equal(pt_ca_create("test", 2, &ca_pem, &ca_key, NULL), PT_OK);
    assert_int_equal(pt_ca_issue(pt_buf_cstr(&ca_pem), pt_buf_cstr(&ca_key), "localhost", 2, &cert_pem, &key_pem, NULL), PT_OK);
    write_file(cert, pt_buf_cstr(&cert_pem));
    write_file(key, pt_buf_cstr(&key_pem));
    write_file(ca, pt_buf_cstr(&ca_pem));
    assert_int_equal(pt_loop_create(&loop, NULL), PT_OK);
    int failed = 0;
    for (int n = 1;; n++) {
        struct pt_certificates c = {.cert_file = cert, .key_file = key, .client_ca_file = ca, .poll_ms = 1000};
        struct pt_tls *tls = NULL;
        struct pt_err err = {0};
        pt_mem_fail_at(n, 0);
        int rc = pt_certificates_start(&c, loop, &tls, &err);
        pt_mem_fail_at(0, 0);
        pt_certificates_stop(&c);
        if (rc == PT_OK) {
            pt_tls_destroy(tls);
            break;
        }
        assert_int_equal(rc, PT_ENOMEM);
        failed++;
    }
    assert_true(failed >= 3);
    pt_loop_destroy(loop);
    unlink(cert);
    unlink(key);
    unlink(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens), cmocka_unit_test(certificates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
