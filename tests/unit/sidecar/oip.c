/* SPDX-License-Identifier: Apache-2.0
 *
 * oip.c: golden cases of the Open Inference Protocol. A folder of oip/ holds `model` (lines: name, datatype, dimensions), `request`, and either
 * `response`, from a model that gives each input "x" back as "out_x", or `error`, the code's name and the message.
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
    struct pt_oip_model oip;
};

static enum pt_dtype dtype(const char *name)
{
    static const struct {
        const char *name;
        enum pt_dtype t;
    } all[] = {{"FP32", PT_FLOAT},  {"UINT8", PT_UINT8},   {"INT8", PT_INT8},     {"UINT16", PT_UINT16}, {"INT16", PT_INT16},   {"INT32", PT_INT32}, {"INT64", PT_INT64},
               {"BOOL", PT_BOOL},   {"FP16", PT_FLOAT16},  {"FP64", PT_DOUBLE},   {"UINT32", PT_UINT32}, {"UINT64", PT_UINT64}, {"BF16", PT_BFLOAT16}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(all[i].name, name) == 0)
            return all[i].t;
    fail_msg("datatype %s", name);
    return PT_UNDEFINED;
}

static void read_model(struct model *m, const char *text)
{
    char name[31], type[16], dims[64];
    int used;
    memset(m, 0, sizeof *m);
    for (; *text; text = strchr(text, '\n') + 1) {
        size_t i = m->oip.input_count++;
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
    m->oip.name = "m";
    m->oip.version = "1";
    m->oip.inputs = m->ins;
    m->oip.outputs = m->outs;
    m->oip.output_count = m->oip.input_count;
}

/* What the protocol makes of a request, in the words of the golden files. */
static void serve(struct pt_oip_request *q, struct pt_str request, struct pt_buf *out)
{
    struct pt_err err;
    const struct pt_tensor *outputs[MAX_INPUTS];
    pt_buf_reset(out);
    int rc = pt_oip_decode(q, request, &err);
    for (size_t i = 0; i < q->model->input_count; i++)
        outputs[i] = &q->inputs[i];
    if (rc == PT_OK)
        rc = pt_oip_encode(q, outputs, out, &err);
    if (rc < 0) {
        assert_int_equal(rc, err.code);
        pt_buf_reset(out);
        pt_buf_printf(out, "%s %s", pt_err_name(rc), err.msg);
    }
    pt_buf_putc(out, '\n');
}

static bool read_case(const char *name, const char *file, struct pt_buf *b)
{
    char path[512];
    snprintf(path, sizeof path, PT_SOURCE_DIR "/tests/unit/sidecar/oip/%s/%s", name, file);
    pt_buf_reset(b);
    return pt_buf_read_file(b, path, NULL) == PT_OK;
}

/* Each case; then the same request once more on the same object, as a kept-alive client sends it, and cut off everywhere. */
static void run_case(const char *name)
{
    pt_auto_buf model = PT_BUF_INIT(0), request = PT_BUF_INIT(0), want = PT_BUF_INIT(0), got = PT_BUF_INIT(0);
    struct model m;
    struct pt_oip_request q;
    assert_true(read_case(name, "model", &model));
    assert_true(read_case(name, "request", &request) || strcmp(name, "error-empty") == 0);
    bool good = read_case(name, "response", &want);
    if (!good)
        assert_true(read_case(name, "error", &want));
    read_model(&m, pt_buf_cstr(&model));
    assert_int_equal(pt_oip_check_model(&m.oip, NULL), PT_OK);
    assert_int_equal(pt_oip_request_init(&q, &m.oip, NULL), PT_OK);
    struct pt_str body = {request.data, request.len};
    for (int i = 0; i < 2; i++) {
        serve(&q, body, &got);
        if (strcmp(pt_buf_cstr(&got), pt_buf_cstr(&want)) != 0)
            fail_msg("%s:\nwant %sgot  %s", name, pt_buf_cstr(&want), pt_buf_cstr(&got));
    }
    for (size_t len = 0; good && len + 1 < body.len; len++) {
        char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, body.p, len);
        serve(&q, (struct pt_str){exact, len}, &got);
        if (strncmp(pt_buf_cstr(&got), "PT_E", 4) != 0)
            fail_msg("%s cut at %zu was accepted: %s", name, len, pt_buf_cstr(&got));
        free(exact);
    }
    pt_oip_request_trim(&q);
    pt_oip_request_finish(&q);
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
    pt_oip_write_metadata(&m.oip, &out);
    assert_string_equal(pt_buf_cstr(&out), "{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"onnx_onnxv1\",\"inputs\":["
                                           "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3]},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[]}],\"outputs\":["
                                           "{\"name\":\"out_x\",\"datatype\":\"FP32\",\"shape\":[-1,3]},{\"name\":\"out_n\",\"datatype\":\"INT64\",\"shape\":[]}]}");
}

static void types_that_cannot_be_served(void **state)
{
    (void)state;
    struct model m;
    struct pt_err err;
    read_model(&m, "x FP32 1\n");
    m.in[0].dtype = PT_STRING;
    assert_int_equal(pt_oip_check_model(&m.oip, &err), PT_EUNSUPPORTED);
    assert_string_equal(err.msg, "input \"x\": type string cannot be served yet");
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
        struct pt_oip_request q = {0};
        struct pt_err err = {0};
        pt_mem_fail_at(n, 1);
        int rc = pt_oip_request_init(&q, &m.oip, &err);
        if (rc == PT_OK)
            rc = pt_oip_decode(&q, pt_str(request), &err);
        pt_mem_fail_at(0, 0);
        if (rc == PT_OK)
            n = 50;
        else
            assert_int_equal(err.code, PT_ENOMEM);
        failed += rc != PT_OK;
        pt_oip_request_finish(&q);
    }
    assert_true(failed >= 5 && failed < 49);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(metadata), cmocka_unit_test(types_that_cannot_be_served),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
