/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor.c: what outside of a running server is easier to say: time that passes, memory that is bounded or missing, odd shapes. That figures are
 * right is compared with scikit-learn and scipy by tests/observe/run monitoring.
 */
#include "base/mem.h"
#include "sidecar/monitor_impl.h"

#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct pt_metrics *registry;
static struct pt_config config;

static struct pt_monitor *create(const char *key, const char *value)
{
    struct pt_monitor *m = NULL;
    struct pt_err err;
    registry = pt_metrics_create();
    assert_int_equal(pt_config_init(&config, &err), PT_OK);
    assert_int_equal(pt_config_set(&config, "model", "name", "m", &err), PT_OK);
    assert_int_equal(pt_config_set(&config, "monitoring", "windowMs", "12000", &err), PT_OK);
    if (key)
        assert_int_equal(pt_config_set(&config, "monitoring", key, value, &err), PT_OK);
    assert_int_equal(pt_monitor_create(&config, registry, 1, &m, &err), PT_OK);
    return m;
}

static void destroy(struct pt_monitor *m)
{
    pt_monitor_unref(m);
    pt_metrics_destroy(registry);
    pt_config_finish(&config);
}

static struct pt_str group; /* of the next requests */

/* One request of rows with so many columns, which are answered with so many scores. */
static void ask(struct pt_monitor *m, const char *id, int64_t rows, int64_t columns, int64_t scores, float value, int64_t now_ms)
{
    static const struct pt_value_info in = {.name = "x", .dtype = PT_FLOAT, .rank = 2}, out = {.name = "y", .dtype = PT_FLOAT, .rank = 2};
    static const struct pt_value_info *const ins[] = {&in}, *const outs[] = {&out};
    static const struct pt_model_info info = {.name = "m", .version = "1", .inputs = ins, .outputs = outs, .input_count = 1, .output_count = 1};
    float *x = calloc((size_t)(rows * columns), sizeof *x), *y = calloc((size_t)(rows * scores), sizeof *y);
    for (int64_t i = 0; i < rows * columns; i++)
        x[i] = value;
    for (int64_t i = 0; i < rows * scores; i++)
        y[i] = i % scores == 0 ? value : 0;
    struct pt_tensor given = {.dtype = PT_FLOAT, .rank = 2, .dims = {rows, columns}, .data = x, .size_bytes = (size_t)(rows * columns) * sizeof *x};
    struct pt_tensor made = {.dtype = PT_FLOAT, .rank = 2, .dims = {rows, scores}, .data = y, .size_bytes = (size_t)(rows * scores) * sizeof *y};
    const struct pt_request q = {.model = &info, .inputs = &given, .plain_id = {id, id ? strlen(id) : 0}, .group = group};
    const struct pt_tensor *const outputs[] = {&made};
    pt_monitor_observe(m, &q, outputs, now_ms);
    free(x);
    free(y);
}

static struct pt_feedback_result label(struct pt_monitor *m, const char *text, int64_t now_ms)
{
    struct pt_feedback_result r;
    struct pt_err err;
    if (pt_monitor_feedback(m, pt_str(text), now_ms, &r, &err) < 0)
        fail_msg("%s", err.msg);
    return r;
}

/* The number behind "key": in the report. */
static double reported(struct pt_monitor *m, const char *key, int64_t now_ms)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_err err;
    char quoted[64];
    assert_int_equal(pt_monitor_report(m, now_ms, &b, &err), PT_OK);
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(pt_buf_cstr(&b), quoted);
    assert_non_null(at);
    return strncmp(at + strlen(quoted), "null", 4) == 0 ? NAN : atof(at + strlen(quoted));
}

static void the_window_slides(void **state)
{
    struct pt_monitor *m = create(NULL, NULL);
    (void)state;
    for (int64_t t = 0; t < 24000; t += 100) /* 10 a pane */
        ask(m, "a", 1, 3, 2, 1, t);
    assert_true(reported(m, "window_rows", 23999) == 120);
    assert_true(reported(m, "window_rows", 24000) == 110);
    assert_true(reported(m, "window_rows", 34999) == 10);
    assert_true(reported(m, "window_rows", 35000) == 0);
    assert_true(isnan(reported(m, "entropy", 35000)));
    ask(m, "a", 1, 3, 2, 1, 90000);
    assert_true(reported(m, "window_rows", 90000) == 1);
    destroy(m);
}

static void labels_count_when_they_come(void **state)
{
    struct pt_monitor *m = create("labelTtlMs", "5000");
    (void)state;
    ask(m, "a", 2, 3, 2, 1, 1000);
    ask(m, "b", 1, 3, 2, 0, 1000);
    assert_int_equal(label(m, "{\"id\":\"\\u0062\",\"label\":0}", 5900).accepted, 1); /* however JSON writes it */
    struct pt_feedback_result r = label(m, "{\"feedback\":[{\"id\":\"a\",\"labels\":[0,1,1]},{\"id\":\"b\",\"label\":1}]}", 6000);
    assert_int_equal(r.accepted, 2);
    assert_int_equal(r.unknown, 1); /* there are two rows */
    assert_int_equal(r.repeated, 1);
    assert_true(fabs(reported(m, "accuracy", 6000) - 2.0 / 3) < 1e-12);
    struct pt_monitor_figures f; /* what the operator is told */
    pt_monitor_collect(m);
    pt_monitor_figures(m, &f);
    assert_true(f.rows == reported(m, "window_rows", 6000) && f.labelled == 3 && fabs(f.values[PT_FIGURE_ACCURACY] - 2.0 / 3) < 1e-12);
    assert_true(isfinite(f.values[PT_FIGURE_F1]) && isfinite(f.values[PT_FIGURE_UNSURE_SHARE]) && isnan(f.values[PT_FIGURE_DRIFTED_SHARE]) && isnan(f.values[PT_FIGURE_MAE]));
    ask(m, "c", 1, 3, 2, 1, 7000);
    assert_int_equal(label(m, "{\"id\":\"c\",\"label\":1}", 12001).expired, 1);
    assert_true(isnan(reported(m, "accuracy", 40000)));
    destroy(m);
}

static void the_oldest_answers_are_forgotten(void **state)
{
    struct pt_monitor *m = create(NULL, NULL);
    char id[32], text[64];
    size_t accepted = 0;
    (void)state;
    enum { COUNT = 60000 };
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "r%d", i);
        ask(m, id, 1, 1, 2, 1, 1000);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "{\"id\":\"r%d\",\"label\":0}", i);
        struct pt_feedback_result r = label(m, text, 1000);
        assert_int_equal(r.accepted, (unsigned)i >= COUNT - m->record_count);
        accepted += r.accepted;
    }
    assert_int_equal(accepted, m->record_count);
    assert_true(accepted > 10000);
    destroy(m);
}

/* Mean and deviation of a sample stay those of all rows, within what chance allows; rows of a full pane weigh more. */
static void samples_are_fair(void **state)
{
    struct pt_monitor *m = create(NULL, NULL);
    size_t n;
    double missing;
    (void)state;
    for (int i = 0; i < 20000; i++)
        ask(m, NULL, 1, 1, 2, (float)(i % 100), 1500);
    for (int i = 0; i < 100; i++)
        ask(m, NULL, 1, 1, 2, i % 2 ? NAN : 1000, 2500);
    struct pt_point *p = pt_mon_values(m, 0, 2500, &n, &missing);
    assert_int_equal(n, PT_MON_SAMPLE_ROWS + 50);
    assert_true(missing == 50);
    assert_true(fabs(pt_points_weight(p, n) - 20050) < 1e-6);
    assert_true(fabs(pt_points_mean(p, PT_MON_SAMPLE_ROWS) - 49.5) < 8); /* over four deviations */
    assert_true(fabs(pt_points_mean(p, n) - (49.5 * 20000 + 1000 * 50) / 20050) < 8);
    pt_free(p);
    destroy(m);
}

static void odd_shapes_do_no_harm(void **state)
{
    struct pt_monitor *m = create(NULL, NULL);
    (void)state;
    ask(m, "a", 3, 70, 2, 1, 1000); /* too wide for columns of its own */
    assert_int_equal(m->column_count, 3);
    ask(m, "b", 1, 5, 2, 1, 1000);
    ask(m, "c", 1, 70, 3, 1, 1000); /* a class more */
    ask(m, "d", 1, 70, 1, 1, 1000);
    ask(m, "e", 1000, 70, 2, 1, 1000); /* 64 of these rows */
    assert_true(reported(m, "window_rows", 1000) == 70);
    assert_int_equal(label(m, "{\"id\":\"c\",\"label\":0}", 1000).unknown, 1);
    assert_int_equal(label(m, "{\"id\":\"e\",\"label\":1}", 1000).accepted, 1);
    destroy(m);
}

static size_t used;
static void *counting_malloc(size_t size)
{
    void *p = malloc(size);
    used += p ? malloc_usable_size(p) : 0;
    return p;
}
static void *counting_realloc(void *p, size_t size)
{
    used -= p ? malloc_usable_size(p) : 0;
    void *fresh = realloc(p, size);
    used += fresh ? malloc_usable_size(fresh) : p ? malloc_usable_size(p) : 0;
    return fresh;
}
static void counting_free(void *p)
{
    used -= p ? malloc_usable_size(p) : 0;
    free(p);
}
static void *counting_aligned(size_t alignment, size_t size)
{
    void *p = aligned_alloc(alignment, size);
    used += p ? malloc_usable_size(p) : 0;
    return p;
}

/* The most columns and classes, every pane full, a reference of everything, and a report. */
static void memory_is_bounded(void **state)
{
    size_t before = used;
    struct pt_monitor *m = create(NULL, NULL);
    pt_auto_buf profile = PT_BUF_INIT(0);
    struct pt_err err;
    char id[32], text[64];
    (void)state;
    for (int64_t t = 0; t < 12000; t += 2) {
        snprintf(id, sizeof id, "\"r%d\"", (int)t);
        ask(m, id, 1, 64, 64, (float)t, t);
        snprintf(text, sizeof text, "{\"id\":\"r%d\",\"label\":%d}", (int)t, (int)(t % 64));
        label(m, text, t);
    }
    assert_int_equal(pt_monitor_write_profile(m, 11999, &profile, &err), PT_OK);
    assert_int_equal(pt_mon_parse_profile(m, (struct pt_str){profile.data, profile.len}, &err), PT_OK);
    pt_buf_finish(&profile);
    assert_true(reported(m, "window_rows", 11999) == 6000);
    pt_monitor_collect(m);
    assert_true(m->column_count == PT_MON_COLUMNS);
    assert_true(used - before < (size_t)4 << 20);
    destroy(m);
    assert_int_equal(used, before);
}

static int everything(void)
{
    struct pt_monitor *m = NULL;
    struct pt_feedback_result r;
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    int rc = pt_monitor_create(&config, registry, 1, &m, &err);
    if (rc == PT_OK) {
        ask(m, "a", 1, 3, 2, 1, 1000);
        rc = pt_monitor_feedback(m, PT_STR("{\"id\":\"a\",\"label\":0}"), 1000, &r, &err);
        if (rc == PT_ENOTFOUND) /* there was no memory to watch it */
            rc = PT_ENOMEM;
    }
    if (rc == PT_OK)
        rc = pt_monitor_report(m, 1000, &b, &err);
    if (rc == PT_OK)
        pt_monitor_collect(m);
    pt_monitor_unref(m);
    return rc;
}

/* Names of groups come from clients: each is one group, and text, whatever it is. */
static void hostile_groups(void **state)
{
    struct pt_monitor *m = create(NULL, NULL);
    char name[200];
    (void)state;
    static const struct pt_str odd[] = {PT_STR("a\0b"), PT_STR("a\0b"), PT_STR("\xff\xfe"), PT_STR(""), PT_STR(""), PT_STR("\"q\\")};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        group = odd[i].len ? odd[i] : PT_STR("");
        ask(m, "x", 1, 1, 2, 1, 1000);
    }
    memset(name, 'n', sizeof name);
    memcpy(name + PT_MON_NAME - 2, "\xc3\xbc", 2); /* a letter that does not fit whole */
    group = (struct pt_str){name, sizeof name};
    ask(m, "x", 1, 1, 2, 1, 1000);
    assert_int_equal(m->group_count, 4);
    assert_string_equal(m->groups[0], "(not text)");
    assert_string_equal(m->groups[1], "(empty)");
    assert_string_equal(m->groups[2], "\"q\\");
    assert_int_equal(strlen(m->groups[3]), PT_MON_NAME - 2);
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "g%d", i);
        group = pt_str(name);
        ask(m, "x", 1, 1, 2, 1, 1000);
    }
    assert_int_equal(m->group_count, PT_MON_GROUPS);
    assert_string_equal(m->groups[PT_MON_GROUPS - 1], "(others)");
    group = (struct pt_str){0};
    destroy(m);
}

/* One answer that is not a number does not take the figures of all others with it. */
static void answers_that_are_no_numbers(void **state)
{
    (void)state;
    for (int64_t columns = 1; columns <= 3; columns += 2) {
        struct pt_monitor *m = create(NULL, NULL);
        ask(m, "a", 1, 1, columns, 3, 1000);
        ask(m, "b", 1, 1, columns, NAN, 1000);
        ask(m, "c", 1, 1, columns, INFINITY, 1000);
        struct pt_feedback_result r = label(m, "{\"feedback\":[{\"id\":\"a\",\"label\":1},{\"id\":\"b\",\"label\":1},{\"id\":\"c\",\"label\":1}]}", 1000);
        assert_int_equal(r.accepted, 3);
        assert_int_equal(reported(m, "labelled", 1000), 1);
        assert_true(isfinite(reported(m, columns == 1 ? "mean_absolute_error" : "log_loss", 1000)));
        assert_true(columns == 1 || (isfinite(reported(m, "margin", 1000)) && reported(m, "entropy", 1000) < 0.7));
        destroy(m);
    }
}

/* Of one score a row: 0.3 is a probability until a score comes that is none; from then on it is what comes before the logistic function. */
static void a_single_score(void **state)
{
    (void)state;
    struct pt_monitor *m = create("task", "classification");
    ask(m, "a", 1, 1, 1, 0.3F, 1000);
    ask(m, "b", 1, 1, 1, -2, 1000);
    ask(m, "c", 1, 1, 1, 0.3F, 1000);
    (void)label(m, "{\"feedback\":[{\"id\":\"a\",\"label\":0},{\"id\":\"b\",\"label\":0},{\"id\":\"c\",\"label\":1}]}", 1000);
    assert_true(reported(m, "accuracy", 1000) == 1);
    destroy(m);
}

static void without_memory(void **state)
{
    (void)state;
    destroy(create(NULL, NULL));
    struct pt_monitor *m = create(NULL, NULL);
    bool failed = false, done = false;
    for (int64_t n = 1; n < 1000 && !done; n++) {
        uint64_t begun = pt_mem_count();
        pt_mem_fail_at(n, 0);
        int rc = everything();
        pt_mem_fail_at(0, 0);
        failed |= rc == PT_ENOMEM;
        assert_true(rc == PT_OK || rc == PT_ENOMEM);
        done = (int64_t)(pt_mem_count() - begun) < n;
    }
    assert_true(failed && done);
    destroy(m);
}

int main(void)
{
    static const struct pt_mem_hooks hooks = {counting_malloc, counting_realloc, counting_free, counting_aligned};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_slides), cmocka_unit_test(labels_count_when_they_come), cmocka_unit_test(the_oldest_answers_are_forgotten),
        cmocka_unit_test(samples_are_fair),  cmocka_unit_test(odd_shapes_do_no_harm),       cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(hostile_groups),    cmocka_unit_test(answers_that_are_no_numbers), cmocka_unit_test(a_single_score),
        cmocka_unit_test(without_memory)};
    if (pt_mem_set_hooks(&hooks) != 0)
        return 1;
    return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
