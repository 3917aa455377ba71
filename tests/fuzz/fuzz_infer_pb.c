/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_infer_pb.c: inference messages of both gRPC protocols and bodies of TensorFlow Serving's REST one, against models with four kinds of
 * inputs. What is accepted must have an answer, and the answer of ModelInfer must be read by our own reader. The first byte says which.
 */
#include "base/json.h"
#include "sidecar/oip_pb.h"
#include "sidecar/tfs_examples.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pt_value_info x = {.name = "x", .dtype = PT_FLOAT, .rank = 2, .dims = {-1, 3}},
                                  n = {.name = "n", .dtype = PT_INT64, .rank = 1, .dims = {-1}}, any = {.name = "any", .dtype = PT_UINT8, .rank = -1},
                                  text = {.name = "s", .dtype = PT_STRING, .rank = -1};
static const struct pt_value_info *const values[] = {&x, &n, &any, &text};

static void check_pb(struct pt_str message)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&r, &f, NULL)) == 1)
        ;
    if (rc < 0)
        abort();
}

static void serve(const struct pt_model_info *m, struct pt_str body, int kind)
{
    struct pt_request q;
    struct pt_buf out = PT_BUF_INIT(64 << 20);
    struct pt_err err;
    const struct pt_tensor *outputs[4];
    bool flag = false;
    enum pt_tfs_method method = kind == 9 ? PT_TFS_SESSION : kind == 8 ? PT_TFS_MULTI : (enum pt_tfs_method)(kind % 3);
    bool tfs_pb = kind >= 8 || (kind >= 3 && kind < 6);
    if (pt_request_init(&q, m, NULL) < 0)
        return;
    int rc = kind < 3 ? pt_tfs_json_decode(&q, body, method, &flag, &err)
             : tfs_pb ? pt_tfs_pb_decode(&q, body, method, &err)
                      : pt_oip_pb_decode(&q, body, &flag, &err);
    for (size_t i = 0; i < m->input_count; i++)
        outputs[i] = &q.inputs[i];
    if (rc == PT_OK) {
        rc = kind < 3 ? pt_tfs_json_encode(&q, outputs, method, flag, &out, &err)
             : tfs_pb ? pt_tfs_pb_encode(&q, outputs, method, body, PT_STR(""), &out, &err)
                      : pt_oip_pb_encode(&q, outputs, flag, kind == 7, &out, &err);
        if (rc < 0 && rc != PT_EINVAL && rc != PT_ELIMIT)
            abort();
        if (rc == PT_OK && kind >= 3)
            check_pb((struct pt_str){out.data, out.len});
        struct pt_json j;
        pt_json_init(&j, out.data, out.len);
        j.nan_tokens = true;
        if (rc == PT_OK && kind < 3 && (pt_json_skip(&j, NULL) < 0 || pt_json_end(&j, NULL) < 0))
            abort();
    }
    pt_buf_finish(&out);
    pt_request_finish(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pt_model_info one = {.name = "m", .version = "1", .inputs = values, .outputs = values, .input_count = 1, .output_count = 1};
    const struct pt_model_info all = {.name = "m", .version = "1", .inputs = values, .outputs = values, .input_count = 4, .output_count = 4};
    if (size == 0)
        return 0;
    struct pt_str body = {(const char *)data + 1, size - 1}, name, version, id;
    struct pt_model_ref ref;
    char number[24];
    int kind = data[0] < 240 ? data[0] % 9 : 9; /* older corpora keep their meaning */
    if (kind == 8 && pt_tfs_multi_spec(body, &ref, number, NULL) < 0)
        return 0;
    if (kind == 6 || kind == 7)
        pt_oip_pb_peek(body, &name, &version, &id, NULL);
    else if ((kind >= 3 && kind < 6) || kind == 9)
        pt_tfs_pb_spec(body, &ref, &id, number, NULL);
    serve(&one, body, kind);
    serve(&all, body, kind);
    return 0;
}
