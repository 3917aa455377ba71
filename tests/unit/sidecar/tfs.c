/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs.c: golden cases of TensorFlow Serving's REST bodies. A folder of tfs/ holds `model`, `request`, optionally `method` (classify or regress), and
 * either `response`, from a model that gives each input "x" back as "out_x", or `error`, the code's name and the message.
 */
#include "sidecar/tfs.h"
#include "golden.h"

static void serve(const struct pt_model_info *info, struct pt_str body, enum pt_tfs_method m, struct pt_buf *out)
{
    struct pt_err err;
    struct pt_request q;
    const struct pt_tensor *outputs[MAX_INPUTS];
    bool columns = false;
    pt_buf_reset(out);
    assert_int_equal(pt_request_init(&q, info, NULL), PT_OK);
    int rc = pt_tfs_json_decode(&q, body, m, &columns, &err);
    for (size_t i = 0; i < info->input_count; i++)
        outputs[i] = &q.inputs[i];
    if (rc == PT_OK)
        rc = pt_tfs_json_encode(&q, outputs, m, columns, out, &err);
    end_answer(rc, &err, out);
    pt_request_finish(&q);
}

/* Each case, and cut off everywhere. */
static void run_case(const char *name)
{
    pt_auto_buf model = PT_BUF_INIT(0), request = PT_BUF_INIT(0), want = PT_BUF_INIT(0), got = PT_BUF_INIT(0), method = PT_BUF_INIT(0);
    struct model m;
    assert_true(read_case("tfs", name, "model", &model));
    assert_true(read_case("tfs", name, "request", &request));
    enum pt_tfs_method how = !read_case("tfs", name, "method", &method)        ? PT_TFS_PREDICT
                             : strcmp(pt_buf_cstr(&method), "classify\n") == 0 ? PT_TFS_CLASSIFY
                                                                               : PT_TFS_REGRESS;
    bool good = read_case("tfs", name, "response", &want);
    if (!good)
        assert_true(read_case("tfs", name, "error", &want));
    read_model(&m, pt_buf_cstr(&model));
    serve(&m.info, (struct pt_str){request.data, request.len}, how, &got);
    if (strcmp(pt_buf_cstr(&got), pt_buf_cstr(&want)) != 0)
        fail_msg("%s:\nwant %sgot  %s", name, pt_buf_cstr(&want), pt_buf_cstr(&got));
    for (size_t len = 0; good && len + 1 < request.len; len++) {
        char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, request.data, len);
        serve(&m.info, (struct pt_str){exact, len}, how, &got);
        if (strncmp(pt_buf_cstr(&got), "PT_E", 4) != 0)
            fail_msg("%s cut at %zu was accepted: %s", name, len, pt_buf_cstr(&got));
        free(exact);
    }
}

static void golden(void **state)
{
    (void)state;
    assert_true(each_case("tfs", run_case) > 20);
}

static int decode_once(struct pt_request *q, struct pt_str body, struct pt_err *err)
{
    bool columns;
    return pt_tfs_json_decode(q, body, PT_TFS_PREDICT, &columns, err);
}

static void out_of_memory(void **state)
{
    (void)state;
    pt_auto_buf request = PT_BUF_INIT(0);
    struct model m;
    pt_buf_puts(&request, "{\"instances\":[");
    for (int i = 0; i < 10; i++) /* too many for the memory that the request has anyway */
        pt_buf_printf(&request, "{\"x\":[1,2,3],\"s\":{\"b64\":\"AA==\"}},{\"x\":[1,2,3],\"s\":\"a%0600d\\n\"}%s", i, i < 9 ? "," : "]}");
    read_model(&m, "x FP32 -1,3\ns BYTES -1\n");
    int failed = failing_allocations(&m.info, (struct pt_str){request.data, request.len}, decode_once);
    assert_true(failed >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
