/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_jsonpatch.c: a document on the first line, an RFC 6902 patch on the rest. What comes out can be written and read, is the same each time, and holds the
 * test that it is what it is; what does not work says why.
 */
#include "base/mem.h"
#include "operator/ctrl/obj.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void holds(cJSON **o)
{
    pt_auto_obj *patch = cJSON_CreateArray();
    cJSON *test = cJSON_CreateObject();
    struct pt_err err = {0};
    check(patch && test && cJSON_AddItemToArray(patch, test));
    check(cJSON_AddStringToObject(test, "op", "test") && cJSON_AddStringToObject(test, "path", ""));
    check(cJSON_AddItemToObject(test, "value", cJSON_Duplicate(*o, 1)));
    check(pt_obj_json_patch(o, patch, &err) == PT_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_str rest = {(const char *)data, size}, line;
    pt_auto_obj *once = NULL, *twice = NULL, *patch = NULL, *again = NULL;
    pt_auto_buf a = PT_BUF_INIT(0), b = PT_BUF_INIT(0);
    struct pt_err err = {0};
    if (!pt_str_split(&rest, '\n', &line) || pt_obj_parse_any(line, "document", &once, &err) < 0 || pt_obj_parse_any(rest, "patch", &patch, &err) < 0)
        return 0;
    twice = cJSON_Duplicate(once, 1);
    int rc = pt_obj_json_patch(&once, patch, &err);
    if (rc < 0) {
        check(err.msg[0]);
        return 0;
    }
    check(pt_obj_json_patch(&twice, patch, &err) == PT_OK);
    check(pt_obj_print(once, &a, &err) == PT_OK && pt_obj_print(twice, &b, &err) == PT_OK);
    check(pt_str_eq((struct pt_str){a.data, a.len}, (struct pt_str){b.data, b.len}));
    if (pt_obj_parse_any((struct pt_str){a.data, a.len}, "result", &again, &err) == PT_OK) /* a patch may nest deeper than a text may */
        holds(&once);
    return 0;
}
