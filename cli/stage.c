/* SPDX-License-Identifier: Apache-2.0
 *
 * stage.c: the table of stages, and how options come out of a recipe's JSON.
 */
#include "cli/stage.h"

#include "base/mem.h"

#include <math.h>

const struct pt_stage *const pt_stages[] = {
#define PT_X(name) &pt_stage_##name,
    PT_STAGES(PT_X)
#undef PT_X
};
const size_t pt_stage_count = sizeof pt_stages / sizeof *pt_stages;

const struct pt_stage *pt_stage_find(const char *name)
{
    for (size_t i = 0; i < pt_stage_count; i++)
        if (strcmp(pt_stages[i]->name, name) == 0)
            return pt_stages[i];
    return NULL;
}

int pt_stage_call_init(struct pt_stage_call *c, const struct pt_stage *stage, bool train, struct pt_err *err)
{
    *c = (struct pt_stage_call){.stage = stage, .options = pt_calloc(1, stage->size + 1)};
    train |= stage->is_training;
    if (train)
        c->train = pt_calloc(1, sizeof *c->train);
    if (!c->options || (train && !c->train))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = pt_cmd_defaults(stage->rows, stage->row_count, c->options, err);
    return rc < 0 || !train ? rc : pt_cmd_defaults(pt_train_rows, pt_train_row_count, c->train, err);
}

void pt_stage_call_finish(struct pt_stage_call *c)
{
    pt_free(c->options);
    pt_free(c->train);
    *c = (struct pt_stage_call){0};
}

/* --- JSON -------------------------------------------------------------------------------------------------------------------------------- */

struct key_search {
    const struct pt_cmd_option *rows;
    size_t count;
    const char *other;
    char texts[64][64];
};

static const char *next_key(void *arg, size_t i)
{
    struct key_search *s = arg;
    if (i >= s->count || i >= sizeof s->texts / sizeof *s->texts)
        return i == s->count ? s->other : NULL;
    pt_cmd_key(&s->rows[i], s->texts[i]);
    return s->texts[i];
}

static int unknown_key(struct key_search *s, const char *key, const char *where, struct pt_err *err)
{
    const char *like = pt_cmd_like(key, next_key, s);
    return like ? pt_fail(err, PT_EINVAL, "%s: unknown key \"%s\": did you mean \"%s\"?", where, key, like)
                : pt_fail(err, PT_EINVAL, "%s: unknown key \"%s\"", where, key);
}

/* A scalar as the text that the option would be on the command line. */
static const char *text_of(const cJSON *v, struct pt_arena *arena)
{
    char number[32];
    if (cJSON_IsString(v))
        return v->valuestring;
    if (cJSON_IsBool(v))
        return cJSON_IsTrue(v) ? "true" : "false";
    if (!cJSON_IsNumber(v))
        return NULL;
    if (v->valuedouble == floor(v->valuedouble) && fabs(v->valuedouble) < 9e15)
        snprintf(number, sizeof number, "%.0f", v->valuedouble);
    else
        snprintf(number, sizeof number, "%.17g", v->valuedouble);
    return pt_arena_strndup(arena, number, strlen(number));
}

static int set_from(const struct pt_cmd_option *row, const cJSON *v, const char *spelled, void *into, struct pt_arena *arena, struct pt_err *err)
{
    if (cJSON_IsArray(v) && row->type == PT_CMD_LIST) {
        const cJSON *item;
        int rc = PT_OK;
        ((struct pt_cmd_list *)(void *)((char *)into + row->offset))->count = 0;
        cJSON_ArrayForEach(item, v)
        {
            if (cJSON_IsArray(item))
                return pt_fail(err, PT_EINVAL, "%s: a list inside a list", spelled);
            if ((rc = set_from(row, item, spelled, into, arena, err)) < 0)
                return rc;
        }
        return rc;
    }
    if (cJSON_IsArray(v) || cJSON_IsObject(v) || cJSON_IsNull(v))
        return pt_fail(err, PT_EINVAL, "%s: is %s, must be one value", spelled, cJSON_IsArray(v) ? "a list" : cJSON_IsNull(v) ? "empty" : "a map");
    const char *text = text_of(v, arena);
    return text ? pt_cmd_set(row, spelled, text, into, err) : pt_fail(err, PT_ENOMEM, "%s: out of memory", spelled);
}

int pt_rows_read(const struct pt_cmd_option *rows, size_t count, void *into, const cJSON *o, const char *where, const char *skip,
                 struct pt_arena *arena, struct pt_err *err)
{
    const cJSON *v;
    if (!cJSON_IsObject(o) && !cJSON_IsNull(o))
        return pt_fail(err, PT_EINVAL, "%s: must be a map of options", where);
    cJSON_ArrayForEach(v, o)
    {
        char key[64], spelled[256];
        size_t i = 0;
        if (skip && strcmp(v->string, skip) == 0)
            continue;
        for (; i < count; i++) {
            pt_cmd_key(&rows[i], key);
            if (strcmp(key, v->string) == 0)
                break;
        }
        if (i == count)
            return unknown_key(&(struct key_search){.rows = rows, .count = count, .other = skip}, v->string, where, err);
        snprintf(spelled, sizeof spelled, "%s.%s", where, v->string);
        int rc = set_from(&rows[i], v, spelled, into, arena, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

int pt_stage_call_read(struct pt_stage_call *c, const cJSON *o, const char *where, struct pt_arena *arena, struct pt_err *err)
{
    const struct pt_stage *s = c->stage;
    char inner[256];
    int rc;
    if (s->is_training) /* one map: a stage's own rows are those of training, or none */
        rc = pt_rows_read(pt_train_rows, pt_train_row_count, c->train, o, where, NULL, arena, err);
    else
        rc = pt_rows_read(s->rows, s->row_count, c->options, o, where, s->trains ? "train" : NULL, arena, err);
    const cJSON *train = s->trains && !s->is_training ? cJSON_GetObjectItemCaseSensitive(o, "train") : NULL;
    snprintf(inner, sizeof inner, "%s.train", where);
    if (rc == PT_OK && train)
        rc = pt_rows_read(pt_train_rows, pt_train_row_count, c->train, train, inner, NULL, arena, err);
    if (rc == PT_OK && s->check && (rc = s->check(c->options, c->train, err)) < 0)
        pt_wrap(err, "%s", where);
    return rc;
}

/* --- and back ------------------------------------------------------------------------------------------------------------------------------- */

static bool put_list(cJSON *o, const char *key, const struct pt_cmd_list *list)
{
    cJSON *a = cJSON_AddArrayToObject(o, key);
    for (size_t i = 0; a && i < list->count; i++) {
        char text[256];
        snprintf(text, sizeof text, PT_STR_FMT, PT_STR_ARG(list->items[i]));
        if (!cJSON_AddItemToArray(a, cJSON_CreateString(text)))
            return false;
    }
    return a != NULL;
}

static bool put_member(cJSON *o, const struct pt_cmd_option *row, const void *member, const void *usual)
{
    char key[64];
    pt_cmd_key(row, key);
    switch (row->type) {
    case PT_CMD_FLAG:
        return *(const bool *)member == *(const bool *)usual || cJSON_AddBoolToObject(o, key, *(const bool *)member);
    case PT_CMD_NUMBER:
        return *(const int64_t *)member == *(const int64_t *)usual || cJSON_AddNumberToObject(o, key, (double)*(const int64_t *)member);
    case PT_CMD_REAL:
        return *(const double *)member == *(const double *)usual || cJSON_AddNumberToObject(o, key, *(const double *)member);
    case PT_CMD_CHOICE:
        return *(const int *)member == *(const int *)usual || cJSON_AddStringToObject(o, key, row->words[*(const int *)member]);
    case PT_CMD_TEXT: {
        const char *a, *b;
        memcpy(&a, member, sizeof a);
        memcpy(&b, usual, sizeof b);
        return !a || (b && strcmp(a, b) == 0) || cJSON_AddStringToObject(o, key, a);
    }
    case PT_CMD_LIST:
        return ((const struct pt_cmd_list *)member)->count == 0 || put_list(o, key, member);
    case PT_CMD_PAIRS:
        break;
    }
    return true;
}

static bool put_rows(cJSON *o, const struct pt_cmd_option *rows, size_t count, const void *options, const void *usual)
{
    bool fine = true;
    for (size_t i = 0; fine && i < count; i++)
        fine = put_member(o, &rows[i], (const char *)options + rows[i].offset, (const char *)usual + rows[i].offset);
    return fine;
}

cJSON *pt_stage_call_json(const struct pt_stage_call *c)
{
    struct pt_stage_call usual;
    cJSON *o = cJSON_CreateObject(), *train = o;
    bool fine = pt_stage_call_init(&usual, c->stage, c->train != NULL, NULL) == PT_OK && o &&
                put_rows(o, c->stage->rows, c->stage->row_count, c->options, usual.options);
    if (fine && c->train && !c->stage->is_training)
        fine = (train = cJSON_AddObjectToObject(o, "train")) != NULL;
    if (fine && c->train)
        fine = put_rows(train, pt_train_rows, pt_train_row_count, c->train, usual.train);
    pt_stage_call_finish(&usual);
    if (!fine) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

int pt_stage_report(const struct pt_stage_work *w, const char *name, const struct pt_buf *json, struct pt_err *err)
{
    int rc = pt_buf_check(json, name, err);
    if (rc < 0)
        return rc;
    cJSON *o = cJSON_ParseWithLength(json->data, json->len);
    if (!o || !cJSON_AddItemToObject(w->report, name, o)) {
        cJSON_Delete(o);
        return pt_fail(err, PT_ENOMEM, "out of memory for the report");
    }
    return PT_OK;
}
