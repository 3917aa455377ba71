/* SPDX-License-Identifier: Apache-2.0
 *
 * locator.c: signatures against those that botocore makes of the same requests, and what is read out of refusals. The schemes as a whole are
 * tested against real servers: tests/sources/run.
 */
#include "sidecar/locator.h"
#include "sidecar/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void signatures(void **state)
{
    (void)state;
    static const struct {
        const char *region, *token, *host, *path, *signed_headers, *signature;
        const char *payload;
    } rows[] = {
        {"us-east-1", "", "models.s3.us-east-1.amazonaws.com", "/digits.onnx", "host;x-amz-content-sha256;x-amz-date",
         "ef009dc5a65895be7447379965d1f6402d6505a65d547f3a12de6ed2ae06091f", NULL},
        {"eu-central-1", "FwoGZXIvYXdzEXAMPLETOKEN==", "127.0.0.1:9000", "/models/team%20a/digits%2Bv1%20%28%C3%BC%29.onnx",
         "host;x-amz-content-sha256;x-amz-date;x-amz-security-token", "6c2e5b7b5cf12b2df3fc6aa4036c24cbd19b3c4423c45b6fb54c7fb1709444c1", NULL},
        {"us-east-1", "", "127.0.0.1:9000", "/models/a.onnx", "host;x-amz-content-sha256;x-amz-date",
         "1b98dc7e19724e12e5b5eba58f973173ac1ac386a289a578b5ddd4e22bbca9a2", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char date[20];
        pt_auto_buf got = PT_BUF_INIT(0), want = PT_BUF_INIT(0);
        struct pt_sigv4 s = {.access_key = PT_STR("AKIDEXAMPLE"),
                             .secret_key = PT_STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                             .session_token = pt_str(rows[i].token),
                             .region = pt_str(rows[i].region),
                             .service = PT_STR("s3"),
                             .host = pt_str(rows[i].host),
                             .path = pt_str(rows[i].path),
                             .payload = rows[i].payload,
                             .wall_ms = 1769862896000};
        assert_int_equal(pt_sigv4_sign(&s, date, &got, NULL), PT_OK);
        assert_string_equal(date, "20260131T123456Z");
        pt_buf_printf(&want, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/%s/s3/aws4_request, SignedHeaders=%s, Signature=%s", rows[i].region,
                      rows[i].signed_headers, rows[i].signature);
        assert_string_equal(pt_buf_cstr(&got), pt_buf_cstr(&want));
    }
}

static void encoding(void **state)
{
    (void)state;
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_percent_encode(&b, PT_STR("team a/digits+v1 (\xc3\xbc).onnx~"), false);
    assert_string_equal(pt_buf_cstr(&b), "team%20a/digits%2Bv1%20%28%C3%BC%29.onnx~");
    pt_buf_reset(&b);
    pt_percent_encode(&b, PT_STR("a/b"), true);
    assert_string_equal(pt_buf_cstr(&b), "a%2Fb");
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *body, *text;
    } rows[] = {
        {"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>The key\ndoes not exist.</Message></Error>",
         "NoSuchKey: The key does not exist."},
        {"<Error><Code>AccessDenied</Code></Error>", "AccessDenied"},
        {"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\",\"detail\":{\"Tag\":\"x\"}}]}",
         "MANIFEST_UNKNOWN: manifest unknown"},
        {"{\"x\":1,\"errors\":[]}", ""},
        {"{\"errors\":[{\"code\":7}]}", ""},
        {"<Code>unclosed", ""},
        {"<html>no</html>", ""},
        {"", ""},
    };
    char text[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t cut = 0; cut <= strlen(rows[i].body); cut++)
            pt_refusal_text((struct pt_str){rows[i].body, cut}, text, sizeof text); /* any part of it can be read */
        assert_string_equal(text, rows[i].text);
    }
    pt_refusal_text(PT_STR("<Code>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</Code>"), text, sizeof text);
    assert_int_equal(strlen(text), sizeof text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(signatures), cmocka_unit_test(encoding), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
