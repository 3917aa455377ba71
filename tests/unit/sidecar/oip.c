/* SPDX-License-Identifier: Apache-2.0
 *
 * oip.c: golden cases of the Open Inference Protocol. A folder of oip/ holds `model` (lines: name, datatype, dimensions), `request`, and either
 * `response`, from a model that gives each input "x" back as "out_x", or `error`, the code's name and the message. With `json-bytes` the request
 * uses the binary tensor extension, the file's number is its header; a response that uses it ends with a line that says how long its JSON is.
 */
#include "sidecar/oip.h"
#include "golden.h"

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
    end_answer(rc, &err, out);
    if (rc == PT_OK && json_out != PT_OIP_ALL_JSON)
        pt_buf_printf(out, "%zu\n", json_out);
    pt_request_finish(&q);
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
    assert_true(read_case("oip", name, "model", &model));
    assert_true(read_case("oip", name, "request", &request) || strcmp(name, "error-empty") == 0);
    bool binary = read_case("oip", name, "json-bytes", &number);
    size_t json_bytes = binary ? strtoul(pt_buf_cstr(&number), NULL, 10) : PT_OIP_ALL_JSON;
    bool good = read_case("oip", name, "response", &want);
    if (!good)
        assert_true(read_case("oip", name, "error", &want));
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
    assert_true(each_case("oip", run_case) > 60);
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

static int decode_once(struct pt_request *q, struct pt_str body, struct pt_err *err)
{
    return pt_oip_decode(q, body, PT_OIP_ALL_JSON, err);
}

static void out_of_memory(void **state)
{
    (void)state;
    pt_auto_buf request = PT_BUF_INIT(0);
    struct model m;
    pt_buf_puts(&request, "{\"inputs\":[{\"name\":\"x\",\"shape\":[50,3],\"datatype\":\"FP32\",\"data\":[0");
    for (int i = 1; i < 150; i++) /* too many for the memory that the request has anyway */
        pt_buf_printf(&request, ",%d", i);
    pt_buf_puts(&request, "]}]}");
    read_model(&m, "x FP32 -1,3\n");
    int failed = failing_allocations(&m.info, (struct pt_str){request.data, request.len}, decode_once);
    assert_true(failed == 2); /* one for the request, one for the input */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(metadata), cmocka_unit_test(types_that_cannot_be_served),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
