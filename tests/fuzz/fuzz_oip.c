/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_oip.c: request bodies of the Open Inference Protocol against a model with three kinds of inputs. What is accepted must be
 * answered with JSON that our own reader takes.
 */
#include "base/json.h"
#include "sidecar/oip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pt_value_info x = {.name = "x", .dtype = PT_FLOAT, .rank = 2, .dims = {-1, 3}}, n = {.name = "n", .dtype = PT_INT64, .rank = 0},
                                  any = {.name = "any", .dtype = PT_BOOL, .rank = -1};
static const struct pt_value_info *const values[] = {&x, &n, &any};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pt_oip_model one = {.name = "m", .version = "1", .inputs = values, .outputs = values, .input_count = 1, .output_count = 1};
    const struct pt_oip_model all = {.name = "m", .version = "1", .inputs = values, .outputs = values, .input_count = 3, .output_count = 3};
    for (const struct pt_oip_model *m = &one; m; m = m == &one ? &all : NULL) {
        struct pt_oip_request q;
        struct pt_buf out = PT_BUF_INIT(64 << 20);
        if (pt_oip_request_init(&q, m, NULL) < 0)
            return 0;
        if (pt_oip_decode(&q, (struct pt_str){(const char *)data, size}, NULL) == PT_OK) {
            const struct pt_tensor *outputs[] = {&q.inputs[0], m == &all ? &q.inputs[1] : NULL, m == &all ? &q.inputs[2] : NULL};
            struct pt_json j;
            if (pt_oip_encode(&q, outputs, &out, NULL) < 0)
                abort();
            pt_json_init(&j, out.data, out.len);
            if (pt_json_skip(&j, NULL) < 0 || pt_json_end(&j, NULL) < 0)
                abort();
        }
        pt_buf_finish(&out);
        pt_oip_request_finish(&q);
    }
    return 0;
}
