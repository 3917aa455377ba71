/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe.c: reading a recipe. YAML becomes JSON (operator/ctrl/manifest.h), JSON becomes options by their rows.
 */
#include "cli/recipe.h"

#include "base/mem.h"
#include "base/path.h"
#include "operator/ctrl/manifest.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define AT(member) offsetof(struct pt_recipe_settings, member)
const struct pt_cmd_option pt_recipe_rows[] = {
    {"model", PT_CMD_TEXT, AT(model), .value = "FILE", .help = "the model to begin with"},
    {"output", PT_CMD_TEXT, AT(output), .letter = 'o', .value = "FILE", .help = "where the model goes when the gate holds"},
    {"seed", PT_CMD_NUMBER, AT(seed), .max = INT64_MAX, .def = "1", .help = "of everything random: the same seed gives the same model"},
    {"threads", PT_CMD_NUMBER, AT(threads), .min = 1, .max = 1024, .help = "threads to compute with; otherwise the CPU limit of this process"},
    {"latency-seconds", PT_CMD_REAL, AT(latency_seconds), .high = 3600, .def = "0.3",
     .help = "how long the latency of a model is measured; 0: not at all"},
};
const size_t pt_recipe_row_count = sizeof pt_recipe_rows / sizeof *pt_recipe_rows;
#undef AT
#define AT(member) offsetof(struct pt_recipe_report, member)
const struct pt_cmd_option pt_recipe_report_rows[] = {
    {"report", PT_CMD_TEXT, AT(json), .key = "json", .value = "FILE", .help = "what was done, as JSON"},
    {"html", PT_CMD_TEXT, AT(html), .value = "FILE", .help = "the same as one page with plots"},
};
const size_t pt_recipe_report_row_count = sizeof pt_recipe_report_rows / sizeof *pt_recipe_report_rows;

void pt_recipe_finish(struct pt_recipe *r)
{
    for (size_t i = 0; i < r->stage_count; i++)
        pt_stage_call_finish(&r->stages[i]);
    pt_free(r->stages);
    cJSON_Delete(r->json);
    pt_arena_finish(&r->arena);
    *r = (struct pt_recipe){0};
}

int pt_recipe_add(struct pt_recipe *r, const struct pt_stage *stage, bool train, struct pt_stage_call **out, struct pt_err *err)
{
    struct pt_stage_call *stages = pt_reallocarray(r->stages, r->stage_count + 1, sizeof *stages);
    if (!stages)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    r->stages = stages;
    *out = &stages[r->stage_count++];
    return pt_stage_call_init(*out, stage, train, err);
}

static const char *next_stage(void *arg, size_t i)
{
    (void)arg;
    return i < pt_stage_count ? pt_stages[i]->name : NULL;
}

static int read_stage(struct pt_recipe *r, const cJSON *o, size_t number, struct pt_err *err)
{
    char where[64];
    struct pt_stage_call *call;
    if (!cJSON_IsObject(o) || cJSON_GetArraySize(o) != 1)
        return pt_fail(err, PT_EINVAL, "stages[%zu]: must be a map with one key, the stage's name", number);
    const cJSON *options = o->child;
    const struct pt_stage *stage = pt_stage_find(options->string);
    if (!stage) {
        const char *like = pt_cmd_like(options->string, next_stage, NULL);
        return pt_fail(err, PT_EINVAL, "stages[%zu]: unknown stage \"%s\"%s%s%s", number, options->string, like ? ": did you mean \"" : "",
                       like ? like : "", like ? "\"?" : "");
    }
    snprintf(where, sizeof where, "stages[%zu].%s", number, stage->name);
    int rc = pt_recipe_add(r, stage, cJSON_GetObjectItemCaseSensitive(options, "train") != NULL, &call, err);
    return rc < 0 ? rc : pt_stage_call_read(call, options, where, &r->arena, err);
}

static int read_stages(struct pt_recipe *r, const cJSON *list, struct pt_err *err)
{
    const cJSON *o;
    size_t n = 0;
    if (!cJSON_IsArray(list) || !list->child)
        return pt_fail(err, PT_EINVAL, "stages: must be a list, with one stage at least");
    cJSON_ArrayForEach(o, list)
    {
        int rc = read_stage(r, o, n++, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* A member that is read by its own function, taken out of the map of plain ones. */
static int read_map(struct pt_recipe *r, const cJSON *json, struct pt_err *err)
{
    static const char *const inner[] = {"data", "stages", "gate", "report"};
    cJSON *plain = cJSON_CreateObject();
    const cJSON *v;
    int rc = plain ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
    cJSON_ArrayForEach(v, json)
    {
        bool own = false;
        for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
            own |= strcmp(inner[i], v->string) == 0;
        if (rc == PT_OK && !own && !cJSON_AddItemReferenceToObject(plain, v->string, (cJSON *)(uintptr_t)v))
            rc = pt_fail(err, PT_ENOMEM, "out of memory");
    }
    if (rc == PT_OK)
        rc = pt_rows_read(pt_recipe_rows, pt_recipe_row_count, &r->settings, plain, "recipe", NULL, &r->arena, err);
    cJSON_Delete(plain);
    return rc;
}

static int read_recipe(struct pt_recipe *r, struct pt_err *err)
{
    const cJSON *json = r->json, *data = cJSON_GetObjectItemCaseSensitive(json, "data"), *report = cJSON_GetObjectItemCaseSensitive(json, "report");
    if (!cJSON_IsObject(json))
        return pt_fail(err, PT_EINVAL, "must be a map: model, output, data, stages, ...");
    int rc = read_map(r, json, err);
    if (rc == PT_OK && data)
        rc = pt_rows_read(pt_data_rows, pt_data_row_count, &r->data, data, "data", NULL, &r->arena, err);
    if (rc == PT_OK && report)
        rc = pt_rows_read(pt_recipe_report_rows, pt_recipe_report_row_count, &r->report, report, "report", NULL, &r->arena, err);
    if (rc == PT_OK)
        rc = pt_gate_read(&r->gate, cJSON_GetObjectItemCaseSensitive(json, "gate"), err);
    if (rc == PT_OK)
        rc = read_stages(r, cJSON_GetObjectItemCaseSensitive(json, "stages"), err);
    return rc;
}

int pt_recipe_check(const struct pt_recipe *r, struct pt_err *err)
{
    bool trains = false, looks = r->stage_count > 0;
    if (!r->settings.model)
        return pt_fail(err, PT_EINVAL, "model: is missing");
    for (size_t i = 0; i < r->stage_count; i++) {
        const struct pt_stage *s = r->stages[i].stage;
        trains |= r->stages[i].train != NULL;
        looks = looks && s->only_looks && s->only_looks(r->stages[i].options);
    }
    if (!r->settings.output && !looks)
        return pt_fail(err, PT_EINVAL, "output: is missing");
    if (trains && !r->data.train)
        return pt_fail(err, PT_EINVAL, "data.train: is missing, and a stage trains");
    if (pt_gate_needs_samples(&r->gate) && !r->data.held_out)
        return pt_fail(err, PT_EINVAL, "data.heldOut: is missing, and the gate needs samples to judge by");
    return PT_OK;
}

/* What a text is that may be a path. */
enum place { PLACE_FILE, PLACE_SHARE /* or a number */, PLACE_NAME /* or that of an array */ };

static bool is_share(const char *text)
{
    char *end;
    (void)strtod(text, &end);
    return end != text && !*end;
}

/* folder: the recipe's, "" where it is the current one. */
static int resolve(struct pt_recipe *r, const char *folder, enum place kind, const char **path, struct pt_err *err)
{
    char real[PATH_MAX], beside[PATH_MAX];
    if (!*path || strstr(*path, "://") || (kind == PLACE_SHARE && is_share(*path)))
        return PT_OK;
    bool relative = **path != '/' && *folder;
    if (relative && snprintf(beside, sizeof beside, "%s/%s", folder, *path) >= (int)sizeof beside)
        return pt_fail(err, PT_ELIMIT, "path %s is too long beside %s", *path, folder);
    if (relative && kind == PLACE_NAME && access(beside, F_OK) != 0)
        return PT_OK;
    int rc = pt_path_resolve(relative ? beside : *path, real, sizeof real, err);
    const char *copy = rc == PT_OK ? pt_arena_strndup(&r->arena, real, strlen(real)) : NULL;
    if (copy)
        *path = copy;
    return rc < 0 || copy ? rc : pt_fail(err, PT_ENOMEM, "out of memory");
}

static int resolve_data(struct pt_recipe *r, const char *folder, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < pt_data_row_count; i++) {
        const struct pt_cmd_option *row = &pt_data_rows[i];
        if (row->type != PT_CMD_TEXT || !row->value || strncmp(row->value, "FILE", 4) != 0)
            continue;
        enum place kind = strstr(row->value, "SHARE") ? PLACE_SHARE : strstr(row->value, "NAME") ? PLACE_NAME : PLACE_FILE;
        rc = resolve(r, folder, kind, (const char **)((char *)&r->data + row->offset), err);
    }
    return rc;
}

int pt_recipe_resolve(struct pt_recipe *r, const char *file, struct pt_err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/'),
               **paths[] = {&r->settings.model, &r->settings.output, &r->gate.reference, &r->report.json, &r->report.html};
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) + (slash == file) : 0, file);
    int rc = resolve_data(r, folder, err);
    for (size_t i = 0; rc == PT_OK && i < sizeof paths / sizeof *paths; i++)
        rc = resolve(r, folder, PLACE_FILE, paths[i], err);
    for (size_t i = 0; rc == PT_OK && i < r->stage_count; i++)
        if (r->stages[i].train)
            rc = resolve(r, folder, PLACE_FILE, &r->stages[i].train->teacher, err);
    return rc;
}

static int take_document(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    struct pt_recipe *r = arg;
    if (r->json)
        return pt_fail(err, PT_EPARSE, "line %zu: a second document; a recipe is one", line);
    r->json = cJSON_ParseWithLength(json.p, json.len);
    return r->json ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
}

int pt_recipe_parse(struct pt_recipe *r, struct pt_str text, const char *what, struct pt_err *err)
{
    *r = (struct pt_recipe){0};
    pt_arena_init(&r->arena, 16 << 20);
    int rc = pt_cmd_defaults(pt_recipe_rows, pt_recipe_row_count, &r->settings, err);
    if (rc == PT_OK)
        rc = pt_cmd_defaults(pt_data_rows, pt_data_row_count, &r->data, err);
    if (rc < 0)
        return rc;
    if ((rc = pt_manifest_parse(text, what, take_document, r, err)) < 0)
        return rc;
    rc = r->json ? read_recipe(r, err) : pt_fail(err, PT_EPARSE, "is empty");
    return rc < 0 ? pt_wrap(err, "%s", what) : PT_OK;
}
