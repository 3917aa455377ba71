/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/ctrl/jsonpath.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

const cJSON *pt_json_path(const cJSON *object, const char *path)
{
    struct pt_str rest = pt_str(path), part;
    while (object && pt_str_split(&rest, '.', &part)) {
        char name[96];
        snprintf(name, sizeof name, PT_STR_FMT, PT_STR_ARG(part));
        object = cJSON_IsArray(object) ? cJSON_GetArrayItem(object, atoi(name)) : cJSON_GetObjectItemCaseSensitive(object, name);
    }
    return object;
}

const char *pt_json_text(const cJSON *object, const char *path)
{
    const char *s = cJSON_GetStringValue(pt_json_path(object, path));
    return s ? s : "";
}

double pt_json_number(const cJSON *object, const char *path, double other)
{
    const cJSON *v = pt_json_path(object, path);
    return cJSON_IsNumber(v) ? v->valuedouble : other;
}
