/* SPDX-License-Identifier: Apache-2.0
 *
 * oip.c: golden cases of the Open Inference Protocol. A folder of oip/ holds `model` (lines: name, datatype, dimensions), `request`, and either
 * `response`, from a model that gives each input "x" back as "out_x", or `error`, the code's name and the message. With `json-bytes` the request
 * uses the binary tensor extension, the file's number is its header; a response that uses it ends with a line that says how long its JSON is.
 */
#include "base/json.h"
#include "base/mem.h"
#include "sidecar/oip.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MAX_INPUTS = 16 };

struct model {
    struct pt_value_info in[MAX_INPUTS], out[MAX_INPUTS];
    const struct pt_value_info *ins[MAX_INPUTS], *outs[MAX_INPUTS];
    char names[MAX_INPUTS][32], out_names[MAX_INPUTS][40];
    struct pt_model_info info;
};

static enum pt_dtype dtype(const char *name)
{
    const struct pt_datatype *t = pt_datatype_named(pt_str(name));
    if (!t)
        fail_msg("datatype %s", name);
    return t->dtype;
}

static void read_model(struct model *m, const char *text)
{
    char name[31], type[16], dims[64];
    int used;
    memset(m, 0, sizeof *m);
    for (; *text; text = strchr(text, '\n') + 1) {
        size_t i = m->info.input_count++;
        dims[0] = 0;
        assert_true(sscanf(text, "%30s %15s%n", name, type, &used) == 2);
        sscanf(text + used, " %63[-0-9,]", dims);
        snprintf(m->names[i], sizeof m->names[i], "%s", name);
        snprintf(m->out_names[i], sizeof m->out_names[i], "out_%s", name);
        m->in[i].name = m->names[i];
        m->in[i].dtype = dtype(type);
        for (char *p = dims; *p; p += *p == ',')
            m->in[i].dims[m->in[i].rank++] = strtoll(p, &p, 10);
        m->out[i] = m->in[i];
        m->out[i].name = m->out_names[i];
        m->ins[i] = &m->in[i];
        m->outs[i] = &m->out[i];
    }
    m->info.name = "m";
    m->info.version = "1";
    m->info.inputs = m->ins;
    m->info.outputs = m->outs;
    m->info.output_count = m->info.input_count;
}

/* What the protocol makes of a request, in the words of the golden files. */
static void serve(const struct pt_model_info *info, struct pt_str body, size_t json_bytes, struct pt_buf *out)
{
    struct pt_err err;
    struct pt_request q;
    const struct pt_tensor *outputs[MAX_INPUTS];
    size_t json_out = PT_OIP_ALL_JSON;
    pt_buf_reset(out);
    assert_int_equal(pt_request_init(&q, info, NULL), PT_OK);
    int rc = pt_oip_decode(&q, body, json_bytes, &err);
    for (size_t i = 0; i < info->input_count; i++)
        outputs[i] = &q.inputs[i];
    if (rc == PT_OK)
        rc = pt_oip_encode(&q, outputs, out, &json_out, &err);
    if (rc < 0) {
        assert_int_equal(rc, err.code);
        pt_buf_reset(out);
        pt_buf_printf(out, "%s %s", pt_err_name(rc), err.msg);
    }
    pt_buf_putc(out, '\n');
    if (rc == PT_OK && json_out != PT_OIP_ALL_JSON)
        pt_buf_printf(out, "%zu\n", json_out);
    pt_request_finish(&q);
}

static bool read_case(const char *name, const char *file, struct pt_buf *b)
{
    char path[512];
    snprintf(path, sizeof path, PT_SOURCE_DIR "/tests/unit/sidecar/oip/%s/%s", name, file);
    pt_buf_reset(b);
    return pt_buf_read_file(b, path, NULL) == PT_OK;
}

static bool same(const struct pt_buf *a, const struct pt_buf *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Each case, and cut off everywhere; and with its binary tensors at an odd address. */
static void run_case(const char *name)
{
    pt_auto_buf model = PT_BUF_INIT(0), request = PT_BUF_INIT(0), want = PT_BUF_INIT(0), got = PT_BUF_INIT(0), number = PT_BUF_INIT(0);
    struct model m;
    assert_true(read_case(name, "model", &model));
    assert_true(read_case(name, "request", &request) || strcmp(name, "error-empty") == 0);
    bool binary = read_case(name, "json-bytes", &number);
    size_t json_bytes = binary ? strtoul(pt_buf_cstr(&number), NULL, 10) : PT_OIP_ALL_JSON;
    bool good = read_case(name, "response", &want);
    if (!good)
        assert_true(read_case(name, "error", &want));
    read_model(&m, pt_buf_cstr(&model));
    assert_int_equal(pt_model_info_check(&m.info, NULL), PT_OK);
    for (size_t shift = 0; shift < 8; shift++) {
        char *moved = malloc(request.len + shift + 1);
        if (request.len)
            memcpy(moved + shift, request.data, request.len);
        serve(&m.info, (struct pt_str){moved + shift, request.len}, json_bytes, &got);
        if (!same(&got, &want))
            fail_msg("%s:\nwant %sgot  %s", name, pt_buf_cstr(&want), pt_buf_cstr(&got));
        free(moved);
    }
    size_t blanks = !binary; /* the line end behind the JSON may go */
    for (size_t len = 0; good && json_bytes != 0 && len + blanks < request.len; len++) {
        char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, request.data, len);
        serve(&m.info, (struct pt_str){exact, len}, json_bytes, &got);
        if (strncmp(pt_buf_cstr(&got), "PT_E", 4) != 0)
            fail_msg("%s cut at %zu was accepted: %s", name, len, pt_buf_cstr(&got));
        free(exact);
    }
}

static void golden(void **state)
{
    (void)state;
    struct dirent **names;
    int n = scandir(PT_SOURCE_DIR "/tests/unit/sidecar/oip", &names, NULL, alphasort), cases = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            run_case(names[i]->d_name);
            cases++;
        }
        free(names[i]);
    }
    free(names);
    assert_true(cases > 40);
}

static void metadata(void **state)
{
    (void)state;
    struct model m;
    pt_auto_buf out = PT_BUF_INIT(0);
    read_model(&m, "x FP32 -1,3\nn INT64 \n");
    const char *const versions[] = {"1", "3"};
    pt_oip_write_metadata(&m.info, versions, 2, &out);
    assert_string_equal(pt_buf_cstr(&out),
                        "{\"name\":\"m\",\"versions\":[\"1\",\"3\"],\"platform\":\"onnx_onnxv1\",\"inputs\":["
                        "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3]},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[]}],\"outputs\":["
                        "{\"name\":\"out_x\",\"datatype\":\"FP32\",\"shape\":[-1,3]},{\"name\":\"out_n\",\"datatype\":\"INT64\",\"shape\":[]}]}");
}

static void types_that_cannot_be_served(void **state)
{
    (void)state;
    struct model m;
    struct pt_err err;
    read_model(&m, "x FP32 1\n");
    m.in[0].dtype = PT_COMPLEX64;
    assert_int_equal(pt_model_info_check(&m.info, &err), PT_EUNSUPPORTED);
    assert_string_equal(err.msg, "input \"x\": type complex64 cannot be served");
}

static void out_of_memory(void **state)
{
    (void)state;
    static const char request[] = "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\",\"data\":[1,2,3]}]}";
    struct model m;
    pt_auto_buf out = PT_BUF_INIT(0);
    read_model(&m, "x FP32 -1,3\n");
    int failed = 0;
    for (int n = 1; n < 50; n++) {
        struct pt_request q = {0};
        struct pt_err err = {0};
        pt_mem_fail_at(n, 1);
        int rc = pt_request_init(&q, &m.info, &err);
        if (rc == PT_OK)
            rc = pt_oip_decode(&q, pt_str(request), PT_OIP_ALL_JSON, &err);
        pt_mem_fail_at(0, 0);
        if (rc == PT_OK)
            n = 50;
        else
            assert_int_equal(err.code, PT_ENOMEM);
        failed += rc != PT_OK;
        pt_request_finish(&q);
    }
    assert_true(failed == 2); /* one for the request, one for the input */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(metadata), cmocka_unit_test(types_that_cannot_be_served),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
