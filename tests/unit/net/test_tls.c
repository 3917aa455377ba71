/* SPDX-License-Identifier: Apache-2.0
 *
 * test_tls.c: certificates of our own authority, contexts made from them, SHA-256. Handshakes are in test_http_client.c.
 */
#include "base/mem.h"
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct pt_buf ca_cert, ca_key, cert, key;
static struct pt_err err;

static int setup(void **state)
{
    (void)state;
    return pt_ca_create("pintle test", 365, &ca_cert, &ca_key, &err);
}

static int teardown(void **state)
{
    (void)state;
    pt_buf_finish(&ca_cert);
    pt_buf_finish(&ca_key);
    pt_buf_finish(&cert);
    pt_buf_finish(&key);
    return 0;
}

static int issue(const char *names)
{
    pt_buf_reset(&cert);
    pt_buf_reset(&key);
    return pt_ca_issue(pt_buf_cstr(&ca_cert), pt_buf_cstr(&ca_key), names, 30, &cert, &key, &err);
}

static void certificates_make_contexts(void **state)
{
    (void)state;
    assert_int_equal(issue("localhost, pintle.svc,*.pintle.svc,127.0.0.1,::1"), PT_OK);
    struct pt_tls *server = NULL, *client = NULL;
    assert_int_equal(pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), &server, &err), PT_OK);
    assert_int_equal(pt_tls_client_create(pt_buf_cstr(&ca_cert), &client, &err), PT_OK);
    pt_tls_destroy(server);
    pt_tls_destroy(client);
    pt_tls_destroy(NULL);
    int64_t left = pt_cert_seconds_left(pt_buf_cstr(&cert), &err);
    assert_true(left > 30 * 86400 - 60 && left <= 30 * 86400);
    assert_true(pt_cert_seconds_left(pt_buf_cstr(&ca_cert), &err) > 364 * 86400);
}

static void an_expired_certificate_says_so(void **state)
{
    (void)state;
    pt_buf_reset(&cert);
    assert_int_equal(pt_ca_issue(pt_buf_cstr(&ca_cert), pt_buf_cstr(&ca_key), "localhost", -1, &cert, &key, &err), PT_OK);
    assert_true(pt_cert_seconds_left(pt_buf_cstr(&cert), &err) <= -86400);
}

static void bad_names_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "localhost,", "a b", "DNS:x", "1.2.3.4.5/8", "-x", "x,critical", "a\nb", "*"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (i != 6) /* two fine names */
            assert_int_equal(issue(bad[i]), PT_EINVAL);
    assert_int_equal(issue("ok.example, bad_one!"), PT_EINVAL);
    assert_non_null(strstr(err.msg, "bad_one!"));
}

static void bad_pem_is_refused(void **state)
{
    (void)state;
    struct pt_tls *t;
    assert_int_equal(issue("localhost"), PT_OK);
    const char *c = pt_buf_cstr(&cert), *k = pt_buf_cstr(&key), *ca = pt_buf_cstr(&ca_cert);
    assert_int_equal(pt_tls_client_create("", &t, &err), PT_EPARSE);
    assert_int_equal(pt_tls_client_create("no certificate", &t, &err), PT_EPARSE);
    assert_int_equal(pt_tls_client_create("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &t, &err), PT_EPARSE);
    assert_int_equal(pt_tls_server_create(k, k, &t, &err), PT_EPARSE);
    assert_int_equal(pt_tls_server_create(c, c, &t, &err), PT_EPARSE);
    assert_int_equal(pt_tls_server_create(c, pt_buf_cstr(&ca_key), &t, &err), PT_EINVAL); /* another's key */
    assert_int_equal(pt_tls_server_create(ca, k, &t, &err), PT_EINVAL);
    assert_true(pt_cert_seconds_left("", &err) == INT64_MIN);
    assert_int_equal(err.code, PT_EPARSE);
    struct pt_buf out_cert = {0}, out_key = {0};
    assert_int_equal(pt_ca_issue("x", pt_buf_cstr(&ca_key), "localhost", 1, &out_cert, &out_key, &err), PT_EPARSE);
    assert_int_equal(pt_ca_issue(ca, k, "localhost", 1, &out_cert, &out_key, &err), PT_EPARSE); /* not the authority's key */
    assert_int_equal(out_cert.len + out_key.len, 0);
}

static void every_truncated_pem_is_refused(void **state)
{
    (void)state;
    assert_int_equal(issue("localhost"), PT_OK);
    struct pt_tls *t;
    size_t end = (size_t)(strstr(pt_buf_cstr(&cert), "-----END") - cert.data);
    for (size_t len = 0; len < end; len += 7) {
        char *cut = pt_strndup(cert.data, len);
        assert_int_equal(pt_tls_server_create(cut, pt_buf_cstr(&key), &t, &err), PT_EPARSE);
        pt_free(cut);
    }
}

static void sha256_matches_fips_180(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t first, last;
    } rows[] = {{"", 0xe3, 0x55}, {"abc", 0xba, 0xad}, {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 0x24, 0xc1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t out[32];
        struct pt_sha256 *h = pt_sha256_create();
        for (const char *p = rows[i].text; *p; p++)
            pt_sha256_update(h, p, 1);
        pt_sha256_finish(h, out);
        assert_int_equal(out[0], rows[i].first);
        assert_int_equal(out[31], rows[i].last);
    }
    pt_sha256_abort(pt_sha256_create());
    pt_sha256_abort(NULL);
    pt_mem_fail_at(1, 0);
    assert_null(pt_sha256_create());
    pt_mem_fail_at(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_make_contexts),     cmocka_unit_test(an_expired_certificate_says_so),
        cmocka_unit_test(bad_names_are_refused_by_name),  cmocka_unit_test(bad_pem_is_refused),
        cmocka_unit_test(every_truncated_pem_is_refused), cmocka_unit_test(sha256_matches_fips_180),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
