/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_oip.c: request bodies of the Open Inference Protocol as JSON, as a line of JSON before binary tensors, and as raw bytes,
 * against models with four kinds of inputs.
 */
#include "base/json.h"
#include "sidecar/oip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pt_value_info x = {.name = "x", .dtype = PT_FLOAT, .rank = 2, .dims = {-1, 3}}, n = {.name = "n", .dtype = PT_INT64, .rank = 0},
                                  any = {.name = "any", .dtype = PT_BOOL, .rank = -1}, text = {.name = "s", .dtype = PT_STRING, .rank = -1};
static const struct pt_value_info *const values[] = {&x, &n, &any, &text};

/* An accepted request must have an answer, whose JSON our own reader takes. */
static void serve(const struct pt_model_info *m, struct pt_str body, size_t json_bytes)
{
    struct pt_request q;
    struct pt_buf out = PT_BUF_INIT(64 << 20);
    struct pt_err err;
    size_t json_out;
    if (pt_request_init(&q, m, NULL) < 0)
        return;
    if (pt_oip_decode(&q, body, json_bytes, &err) == PT_OK) {
        const struct pt_tensor *outputs[4];
        struct pt_json j;
        for (size_t i = 0; i < m->input_count; i++)
            outputs[i] = &q.inputs[i];
        int rc = pt_oip_encode(&q, outputs, &out, &json_out, &err);
        if (rc < 0 && rc != PT_EINVAL && rc != PT_ELIMIT) /* strings that are no text, too many classes */
            abort();
        pt_json_init(&j, out.data, json_out == PT_OIP_ALL_JSON ? out.len : json_out);
        if (rc == PT_OK && (pt_json_skip(&j, NULL) < 0 || pt_json_end(&j, NULL) < 0))
            abort();
    }
    pt_buf_finish(&out);
    pt_request_finish(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pt_model_info one = {.name = "m", .version = "1", .inputs = values, .outputs = values, .input_count = 1, .output_count = 1};
    const struct pt_model_info all = {.name = "m", .version = "1", .inputs = values, .outputs = values, .input_count = 4, .output_count = 4};
    struct pt_str body = {(const char *)data, size};
    serve(&one, body, PT_OIP_ALL_JSON);
    serve(&all, body, PT_OIP_ALL_JSON);
    serve(&one, body, 0);
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL; /* a line of JSON and binary tensors */
    if (end) {
        serve(&one, body, (size_t)(end - data) + 1);
        serve(&all, body, (size_t)(end - data) + 1);
    }
    return 0;
}
