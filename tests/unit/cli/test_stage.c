/* SPDX-License-Identifier: Apache-2.0
 *
 * test_stage.c: the table of stages: defaults of every row are allowed, keys are read out of a recipe's JSON, what is wrong is named.
 */
#include "tests/unit/base/unit.h"

#include "base/mem.h"
#include "cli/stage.h"

static void defaults(void **state)
{
    (void)state;
    for (size_t i = 0; i < pt_stage_count; i++) {
        struct pt_stage_call c;
        assert_works(pt_stage_call_init(&c, pt_stages[i], pt_stages[i]->trains, &err));
        assert_ptr_equal(pt_stage_find(pt_stages[i]->name), pt_stages[i]);
        assert_true(!pt_stages[i]->trains || (c.train->batch_size == 64 && c.train->rate == 0.05));
        pt_stage_call_finish(&c);
    }
    assert_null(pt_stage_find("shrink"));
}

/* Reads `json` as options of a stage; the message when that fails, else "". */
static const char *reads(const char *stage, const char *json, struct pt_stage_call *c, struct pt_arena *arena, cJSON **kept)
{
    static struct pt_err err;
    err.msg[0] = 0;
    *kept = cJSON_Parse(json);
    assert_non_null(*kept);
    const struct pt_stage *s = pt_stage_find(stage);
    bool train = s->is_training || cJSON_GetObjectItemCaseSensitive(*kept, "train");
    if (pt_stage_call_init(c, s, train, &err) == PT_OK)
        pt_stage_call_read(c, *kept, "stages[0]", arena, &err);
    return err.msg;
}

static void from_json(void **state)
{
    struct pt_stage_call c;
    struct pt_arena arena;
    cJSON *kept;
    (void)state;
    pt_arena_init(&arena, 0);
    assert_string_equal(reads("train",
                              "{\"epochs\": 3, \"batchSize\": 16, \"learningRate\": 1e-3, \"optimizer\": \"adamw\", \"nesterov\": true, "
                              "\"dropoutAt\": [\"a\", \"b\"], \"dropout\": 0.25}",
                              &c, &arena, &kept),
                        "");
    assert_int_equal(c.train->epochs, 3);
    assert_int_equal(c.train->batch_size, 16);
    assert_true(c.train->rate == 1e-3 && c.train->dropout == 0.25 && c.train->nesterov);
    assert_int_equal(c.train->optimizer, PT_ADAMW);
    assert_int_equal(c.train->dropout_at.count, 2);
    assert_true(pt_str_eq(c.train->dropout_at.items[1], pt_str("b")));
    pt_stage_call_finish(&c);
    cJSON_Delete(kept);
    pt_arena_finish(&arena);
}

static void messages(void **state)
{
    static const struct {
        const char *stage, *json, *message;
    } rows[] = {
        {"train", "{\"epoch\": 3}", "stages[0]: unknown key \"epoch\": did you mean \"epochs\"?"},
        {"train", "{\"batch-size\": 3}", "stages[0]: unknown key \"batch-size\": did you mean \"batchSize\"?"},
        {"train", "{\"sparkle\": 3}", "stages[0]: unknown key \"sparkle\""},
        {"train", "{\"epochs\": 0}", "stages[0].epochs: 0 is not between 1 and 1000000"},
        {"train", "{\"epochs\": 2.5}", "stages[0].epochs: '2.5' is not a whole number"},
        {"train", "{\"epochs\": [1, 2]}", "stages[0].epochs: is a list, must be one value"},
        {"train", "{\"epochs\": null}", "stages[0].epochs: is empty, must be one value"},
        {"train", "{\"hardness\": 2}", "stages[0].hardness: \"2\" is not a number from 0 to 1"},
        {"train", "{\"learningRate\": \"fast\"}", "stages[0].learningRate: \"fast\" is not a number"},
        {"train", "{\"optimizer\": \"adam\"}", "stages[0].optimizer: \"adam\" is none of sgd, adamw"},
        {"train", "{\"nesterov\": \"maybe\"}", "stages[0].nesterov: \"maybe\" is neither true nor false"},
        {"train", "{\"frozen\": [[\"a\"]]}", "stages[0].frozen: a list inside a list"},
        {"train", "{\"frozen\": \"a,,b\"}", "stages[0].frozen: \"a,,b\" has an empty item"},
        {"train", "{\"dropout\": 0.5}", "stages[0]: dropout 0.5 without dropout-at: name the values"},
        {"train", "{\"studentHidden\": [\"a\"]}", "stages[0]: student-hidden names 1 values and teacher-hidden 0"},
        {"train", "[1]", "stages[0]: must be a map of options"},
        {"distill", "{}", "stages[0]: a teacher is needed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_stage_call c;
        struct pt_arena arena;
        cJSON *kept;
        pt_arena_init(&arena, 0);
        assert_string_equal(reads(rows[i].stage, rows[i].json, &c, &arena, &kept), rows[i].message);
        pt_stage_call_finish(&c);
        cJSON_Delete(kept);
        pt_arena_finish(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(from_json), cmocka_unit_test(messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
