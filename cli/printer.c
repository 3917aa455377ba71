/* SPDX-License-Identifier: Apache-2.0
 *
 * printer.c: objects as YAML, ages.
 */
#include "cli/printer.h"

#include "base/mem.h"
#include "base/sched.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void pt_print_age_of(const cJSON *object, const char *member, char *out, size_t size)
{
    int64_t wall;
    if (pt_parse_time(pt_str(pt_obj_text(object, member)), &wall, NULL) < 0)
        snprintf(out, size, "<unknown>");
    else
        pt_format_age((pt_clock_wall_ms() - wall) / 1000, out, size);
}

/* --- YAML --------------------------------------------------------------------------------------------------------------- */

static void print_scalar(const cJSON *v)
{
    if (cJSON_IsString(v)) {
        /* a JSON string is a YAML string: quote whatever is not plainly a word */
        const char *s = v->valuestring;
        bool plain = *s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == strlen(s) && !strchr("-.0123456789", *s);
        static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
        for (size_t i = 0; plain && i < sizeof words / sizeof *words; i++)
            plain = !pt_str_eq_nocase(pt_str(s), pt_str(words[i]));
        if (plain) {
            printf("%s\n", s);
            return;
        }
    }
    char *text = cJSON_PrintUnformatted(v);
    printf("%s\n", text ? text : "null");
    cJSON_free(text);
}

static bool is_leaf(const cJSON *v)
{
    return (!cJSON_IsObject(v) && !cJSON_IsArray(v)) || !v->child;
}

void pt_print_yaml(const cJSON *object, int indent)
{
    const cJSON *v;
    bool first = true;
    cJSON_ArrayForEach(v, object)
    {
        /* the first line of an object inside a list follows its "- " */
        printf("%*s", first && indent < 0 ? 0 : abs(indent), "");
        if (cJSON_IsArray(object))
            printf("- ");
        else
            printf("%s:%s", v->string, is_leaf(v) ? " " : "\n");
        if (is_leaf(v))
            print_scalar(v);
        else if (cJSON_IsArray(object))
            pt_print_yaml(v, -(abs(indent) + 2));
        else
            pt_print_yaml(v, abs(indent) + (cJSON_IsArray(v) ? 0 : 2));
        first = false;
    }
}
