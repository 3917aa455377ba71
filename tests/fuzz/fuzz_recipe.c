/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_recipe.c: any bytes as a recipe of compression. What is read can be said again as JSON.
 */
#include "cli/recipe.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_recipe r;
    struct pt_err err;
    if (pt_recipe_parse(&r, (struct pt_str){(const char *)data, size}, "recipe", &err) == PT_OK)
        for (size_t i = 0; i < r.stage_count; i++) {
            cJSON *o = pt_stage_call_json(&r.stages[i]);
            if (!o)
                abort();
            cJSON_Delete(o);
        }
    pt_recipe_finish(&r);
    return 0;
}
