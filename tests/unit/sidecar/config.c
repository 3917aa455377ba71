/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c: the configuration: defaults, both notations, and every refusal with its words.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "sidecar/config_member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL "model: {name: digits, uri: 'file:///m.onnx'}\n"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void defaults(void **state)
{
    (void)state;
    struct pt_config c;
    assert_int_equal(pt_config_parse(&c, "f", PT_STR(MODEL), NULL), PT_OK);
    assert_string_equal(c.model.name, "digits");
    assert_string_equal(c.model.version, "1");
    assert_string_equal(c.model.format, "onnx");
    assert_false(c.model.has_digest);
    assert_int_equal(c.serving.port, 8080);
    assert_int_equal(c.serving.metrics_port, 8082);
    assert_int_equal(c.serving.timeout_ms, 60000);
    assert_int_equal(c.serving.max_age_ms, 300000);
    assert_int_equal(c.runtime.threads, 0);
    assert_int_equal(c.runtime.concurrency, 0);
    assert_int_equal(c.drain.timeout_ms, 30000);
    assert_null(c.report.url);
    pt_config_finish(&c);
}

/* As the operator writes it. */
static void json(void **state)
{
    (void)state;
    struct pt_config c;
    static const char text[] =
        "{\"model\":{\"name\":\"digits\",\"version\":\"2\",\"uri\":\"https://h/m.onnx\",\"digest\":\"sha256:" ZEROS "\",\"format\":\"onnx\"},"
        "\"serving\":{\"port\":9000,\"metricsPort\":9001,\"timeoutMs\":2500},\"runtime\":{\"threads\":2,\"concurrency\":4,\"queue\":0},\"drain\":{"
        "\"timeoutMs\":5000},"
        "\"report\":{\"url\":\"https://op:8443/v1/report\",\"ca\":\"-----BEGIN\\nX\\n\",\"tokenFile\":\"/t\",\"intervalMs\":500}}";
    assert_int_equal(pt_config_parse(&c, "f", pt_str(text), NULL), PT_OK);
    assert_string_equal(c.model.version, "2");
    assert_true(c.model.has_digest);
    assert_int_equal(c.serving.port, 9000);
    assert_int_equal(c.serving.timeout_ms, 2500);
    assert_int_equal(c.runtime.threads, 2);
    assert_int_equal(c.runtime.concurrency, 4);
    assert_int_equal(c.runtime.queue, 0);
    assert_int_equal(c.drain.timeout_ms, 5000);
    assert_string_equal(c.report.url, "https://op:8443/v1/report");
    assert_string_equal(c.report.ca, "-----BEGIN\nX\n");
    assert_string_equal(c.report.token_file, "/t");
    assert_int_equal(c.report.interval_ms, 500);
    pt_config_finish(&c);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "f: want an object with model, serving, ..., got nothing"},
        {"[]", "f: want an object with model, serving, ..., got a list"},
        {"model: 7\n", "f: line 1: model: want an object, got a scalar"},
        {"serving: {port: 80}\n", "f: model.name is missing"},
        {"model: {name: digits}\n", "f: model.uri is missing"},
        {MODEL "modle: {}\n", "f: line 2: modle: unknown member; is \"model\" meant?"},
        {MODEL MODEL, "f: line 2: model: given twice"},
        {"model:\n  name: a\n  name: b\n", "f: line 3: model.name: given twice"},
        {MODEL "serving:\n  prot: 1\n", "f: line 3: serving.prot: unknown member; is \"port\" meant?"},
        {MODEL "serving: {[1]: 1}\n", "f: line 2: serving.a list: unknown member"},
        {MODEL "serving: {port: \"80\"}\n", "f: line 2: serving.port: want a whole number from 0 to 65535, got \"80\""},
        {MODEL "serving: {port: 70000}\n", "f: line 2: serving.port: want a whole number from 0 to 65535, got 70000"},
        {MODEL "serving: {port: 1.5}\n", "f: line 2: serving.port: want a whole number from 0 to 65535, got 1.5"},
        {MODEL "serving: {port: [1]}\n", "f: line 2: serving.port: want a whole number from 0 to 65535, got a list"},
        {MODEL "serving: {port: }\n", "f: line 2: serving.port: want a whole number from 0 to 65535, got "},
        {MODEL "serving: {port: 8082}\n", "f: serving.port and serving.metricsPort are both 8082"},
        {MODEL "runtime: {concurrency: 5000}\n", "f: line 2: runtime.concurrency: want a whole number from 0 to 4096, got 5000"},
        {"model: {name: 7, uri: 'file:///m'}\n", "f: line 1: model.name: want a string (quote it), got 7"},
        {"model: {name: true, uri: 'file:///m'}\n", "f: line 1: model.name: want a string (quote it), got true"},
        {"model: {name: {}, uri: 'file:///m'}\n", "f: line 1: model.name: want a string, got an object"},
        {"model: {name: '', uri: 'file:///m'}\n", "f: line 1: model.name: want 1 to 253 characters, got \"\""},
        {"model: {name: a/b, uri: 'file:///m'}\n", "f: model.name and model.version may not contain \"/\": \"a/b\", \"1\""},
        {"model: {name: a, uri: 'ftp://b/k'}\n",
         "f: model.uri: want file:///PATH, https://..., http://..., s3://... or oci://..., got \"ftp://b/k\""},
        {"model: {name: a, uri: 's3://B%/k'}\n", "f: model.uri: s3://B%/k: \"B%\" is no name of a bucket"},
        {"model: {name: a, uri: 's3://bucket'}\n", "f: model.uri: s3://bucket: no key after the bucket (s3://BUCKET/KEY)"},
        {"model: {name: a, uri: 'oci://registry'}\n", "f: model.uri: \"oci://registry\" is not oci://REGISTRY/REPOSITORY[:TAG|@sha256:HEX]"},
        {"model: {name: a, uri: 'oci://r/p@sha256:12'}\n",
         "f: model.uri: oci://r/p@sha256:12: digest: 'sha256:12' is not \"sha256:\" and 64 lower-case hexadecimal digits"},
        {"model: {name: a, uri: 'file:///m', format: pmml}\n", "f: model.format: \"pmml\" is not supported (onnx is)"},
        {"model: {name: a, uri: 'file:///m', digest: 'sha256:12'}\n",
         "f: line 1: model.digest: want sha256: and 64 lower-case hexadecimal digits, got \"sha256:12\""},
        {MODEL "serving: {auth: {metrics: 1}}\n", "f: serving.auth.tokenFile is missing"},
        {MODEL "serving: {tls: {certFile: c}}\n", "f: serving.tls.keyFile is missing"},
        {MODEL "serving: {tls: {clientCaFile: c}}\n", "f: serving.tls.certFile is missing"},
        {MODEL "serving: {tls: yes please}\n", "f: line 2: serving.tls: want an object, got a scalar"},
        {MODEL "serving: {tls: {cert: c}}\n", "f: line 2: serving.tls.cert: unknown member"},
        {MODEL "serving: {maxconectionage: 1}\n", "f: line 2: serving.maxconectionage: unknown member; is \"maxConnectionAgeMs\" meant?"},
        {MODEL "repository: {path: /m}\n", "f: model.uri and repository.path exclude each other"},
        {MODEL "report: {intervalMs: 1000}\n", "f: report.url is missing"},
        {MODEL "report: {url: 'op:8443'}\n", "f: report.url: want https://..., got \"op:8443\""},
        {MODEL "---\n" MODEL, "f: more than one YAML document"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pt_config c;
        struct pt_err err = {0};
        int rc = pt_config_parse(&c, "f", pt_str(cases[i].text), &err);
        if (rc == PT_OK || strcmp(err.msg, cases[i].message) != 0)
            fail_msg("%s\nwant %s\ngot  %s", cases[i].text, cases[i].message, rc == PT_OK ? "no error" : err.msg);
        assert_int_equal(rc, err.code);
    }
}

static void syntax_errors_name_the_line(void **state)
{
    (void)state;
    struct pt_config c;
    struct pt_err err;
    assert_int_equal(pt_config_parse(&c, "f", PT_STR("model:\n  name: a\n bad: [\n"), &err), PT_EPARSE);
    assert_non_null(strstr(err.msg, "f: line 3: "));
    assert_int_equal(pt_config_load(&c, "/nonexistent/config.json", environ, &err), PT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/config.json"));
}

static int with_env(struct pt_config *c, const char *variable, struct pt_err *err)
{
    char copy[512];
    char *const env[] = {(char[]){"HOME=/"}, copy, NULL};
    snprintf(copy, sizeof copy, "%s", variable);
    assert_int_equal(pt_config_init(c, NULL), PT_OK);
    return pt_config_env(c, env, err);
}

static void the_environment_overrides(void **state)
{
    (void)state;
    char path[] = "/tmp/config-test-XXXXXX", *const env[] = {(char[]){"PINTLE_SERVING_PORT=9000"},
                                                             (char[]){"PINTLE_BATCHING_SIZES=4, 8"},
                                                             (char[]){"PINTLE_SERVING_MAX_CONNECTION_AGE_MS=7"},
                                                             (char[]){"PINTLE_MODEL_NAME=other"},
                                                             (char[]){"PINTLE_SERVING_AUTH_TOKEN_FILE=/t"},
                                                             NULL};
    int fd = mkstemp(path);
    static const char text[] = MODEL "serving: {port: 80, timeoutMs: 5}\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    struct pt_config c;
    assert_int_equal(pt_config_load(&c, path, env, NULL), PT_OK);
    unlink(path);
    assert_int_equal(c.serving.port, 9000);
    assert_int_equal(c.serving.timeout_ms, 5);
    assert_int_equal(c.serving.max_age_ms, 7);
    assert_int_equal(c.batching.sizes[1], 8);
    assert_string_equal(c.model.name, "other");
    assert_string_equal(c.serving.auth.token_file, "/t");
    pt_config_finish(&c);
}

static void refused_variables(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *message; /* NULL: it is passed over */
    } cases[] = {
        {"PINTLE_SERVING_PROT=1", "environment: PINTLE_SERVING_PROT: no such setting; is PINTLE_SERVING_PORT meant?"},
        {"PINTLE_SERVNIG_AUTH_TOKENFILE=1", "environment: PINTLE_SERVNIG_AUTH_TOKENFILE: no such setting; is PINTLE_SERVING_AUTH_TOKEN_FILE meant?"},
        {"PINTLE_POD_UDI=1", "environment: PINTLE_POD_UDI: no such setting; is PINTLE_POD_UID meant?"},
        {"PINTLE_SERVING_TLS=1", "environment: PINTLE_SERVING_TLS: no such setting; is PINTLE_SERVING_PORT meant?"},
        {"PINTLE_=1", "environment: PINTLE_: no such setting"},
        {"PINTLE_SERVING_PORT=", "environment: PINTLE_SERVING_PORT: want a whole number from 0 to 65535, got \"\""},
        {"PINTLE_SERVING_PORT=x", "environment: PINTLE_SERVING_PORT: want a whole number from 0 to 65535, got \"x\""},
        {"PINTLE_MODEL_NAME=", "environment: PINTLE_MODEL_NAME: want 1 to 253 characters, got \"\""},
        {"PINTLE_MODEL_DIGEST=1", "environment: PINTLE_MODEL_DIGEST: want sha256: and 64 lower-case hexadecimal digits, got \"1\""},
        {"PINTLE_POD_UID=1", NULL},
        {"PINTLE_ISA=ref", NULL},
        {"pintle_x=1", NULL},
        /* A Service called pintle-serving. */
        {"PINTLE_SERVING_PORT=tcp://10.0.0.1:8080", NULL},
        {"PINTLE_SERVING_SERVICE_HOST=10.0.0.1", NULL},
        {"PINTLE_SERVING_SERVICE_PORT_GRPC=8081", NULL},
        {"PINTLE_SERVING_PORT_8080_TCP_ADDR=10.0.0.1", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pt_config c;
        struct pt_err err = {0};
        assert_int_equal(with_env(&c, cases[i].variable, &err), cases[i].message ? PT_EINVAL : PT_OK);
        assert_string_equal(err.msg, cases[i].message ? cases[i].message : "");
        assert_int_equal(c.serving.port, 8080);
        pt_config_finish(&c);
    }
}

/* "| `serving.port` | `PINTLE_SERVING_PORT` | `8080` |": the manual has each member with its variable and its default. */
static void the_manual_is_complete(void **state)
{
    (void)state;
    pt_auto_buf text = PT_BUF_INIT(1 << 20);
    assert_int_equal(pt_buf_read_file(&text, PT_SOURCE_DIR "/docs/configuration.md", NULL), PT_OK);
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++) {
        char name[96], value[96] = "none", row[512];
        if (m->kind == PT_MEMBER_GROUP)
            continue;
        pt_member_env(m, name);
        if (m->kind == PT_MEMBER_NUMBER && m->number >= 0)
            snprintf(value, sizeof value, "`%lld`", (long long)m->number);
        else if (m->string)
            snprintf(value, sizeof value, "`%s`", m->string);
        snprintf(row, sizeof row, "\n| `%s.%s` | `%s` | %s |", m->section, m->key, name, value);
        if (!strstr(pt_buf_cstr(&text), row))
            fail_msg("docs/configuration.md: missing: %s", row + 1);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    int failed = 0;
    for (int n = 1;; n++) {
        struct pt_config c;
        struct pt_err err = {0};
        pt_mem_fail_at(n, 0);
        int rc = pt_config_parse(&c, "f", PT_STR(MODEL), &err);
        pt_mem_fail_at(0, 0);
        pt_config_finish(&c);
        if (rc == PT_OK)
            break;
        assert_int_equal(err.code, PT_ENOMEM);
        failed++;
    }
    assert_true(failed >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults),
                                       cmocka_unit_test(json),
                                       cmocka_unit_test(refusals),
                                       cmocka_unit_test(syntax_errors_name_the_line),
                                       cmocka_unit_test(the_environment_overrides),
                                       cmocka_unit_test(refused_variables),
                                       cmocka_unit_test(the_manual_is_complete),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
