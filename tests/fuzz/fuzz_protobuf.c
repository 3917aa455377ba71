/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_protobuf.c: bodies of requests in Kubernetes' protobuf, without the four bytes that all begin with. What is taken becomes one JSON object with a kind;
 * what is not says why.
 */
#include "base/mem.h"
#include "operator/memapi/internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pt_auto_buf body = PT_BUF_INIT(0), json = PT_BUF_INIT(4 << 20);
    pt_auto_obj *o = NULL;
    struct pt_err err = {0};
    pt_buf_append(&body, "k8s\0", 4);
    pt_buf_append(&body, data, size);
    if (pt_mem_protobuf_to_json((struct pt_str){body.data, body.len}, &json, &err) < 0) {
        if (!err.msg[0])
            abort();
        return 0;
    }
    if (pt_obj_parse((struct pt_str){json.data, json.len}, "object", &o, &err) < 0 || !pt_obj_str(o, "kind"))
        abort();
    return 0;
}
