/* SPDX-License-Identifier: Apache-2.0
 *
 * servable.c: the states a model goes through, with the real loader and the digits example.
 */
#include "base/log.h"
#include "base/mem.h"
#include "sidecar/servable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define DIGITS PT_SOURCE_DIR "/examples/digits/digits.onnx"

struct fixture {
    struct pt_loop *loop;
    struct pt_threads *threads;
    struct pt_config config;
    struct pt_servable servable;
    char dir[64], file[96], states[512];
    unsigned stop_at; /* mask of states */
};
#define IN(state) (1u << (state))

static void on_changed(void *arg)
{
    struct fixture *f = arg;
    struct pt_servable *s = &f->servable;
    size_t len = strlen(f->states);
    snprintf(f->states + len, sizeof f->states - len, "%s%s", len ? " " : "", pt_model_state_text(s->state));
    if (IN(s->state) & f->stop_at)
        pt_loop_stop(f->loop);
}

static struct fixture *set_up(const char *uri)
{
    struct fixture *f = calloc(1, sizeof *f);
    pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
    strcpy(f->dir, "/tmp/pintle-servable-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof f->file, "file://%s/m.onnx", f->dir);
    assert_int_equal(pt_loop_create(&f->loop, NULL), PT_OK);
    assert_int_equal(pt_threads_create(1, &f->threads, NULL), PT_OK);
    assert_int_equal(pt_config_init(&f->config, NULL), PT_OK);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_CACHE, "preparedBytes", "0", NULL), PT_OK);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_MODEL, "name", "digits", NULL), PT_OK);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_MODEL, "uri", uri ? uri : f->file, NULL), PT_OK);
    return f;
}

static int start(struct fixture *f, struct pt_err *err)
{
    struct pt_servable_options o = {
        .loop = f->loop, .config = &f->config, .cache_dir = f->dir, .threads = f->threads, .slots = 2, .changed = on_changed, .arg = f};
    return pt_servable_start(&f->servable, &o, err);
}

static void tear_down(struct fixture *f)
{
    pt_servable_finish(&f->servable);
    pt_loop_destroy(f->loop);
    pt_threads_destroy(f->threads);
    pt_config_finish(&f->config);
    if (strlen(f->file) > 7)
        unlink(f->file + 7);
    rmdir(f->dir);
    free(f);
}

static void on_timeout(struct pt_timer *t)
{
    (void)t;
    fail_msg("the state was not reached");
}

static void until(struct fixture *f, enum pt_model_state state)
{
    struct pt_timer limit = {0};
    f->stop_at = IN(state);
    pt_timer_start(pt_loop_sched(f->loop), &limit, 20000, on_timeout);
    if (f->servable.state != state)
        pt_loop_run(f->loop);
    pt_timer_stop(pt_loop_sched(f->loop), &limit);
    assert_int_equal(f->servable.state, state);
}

static void write_file(struct fixture *f, const void *p, size_t len)
{
    FILE *file = fopen(f->file + 7, "w");
    assert_true(file && fwrite(p, 1, len, file) == len && fclose(file) == 0);
}

static void becomes_ready(void **state)
{
    (void)state;
    struct fixture *f = set_up("file://" DIGITS);
    assert_int_equal(start(f, NULL), PT_OK);
    assert_null(pt_servable_serving(&f->servable));
    until(f, PT_MODEL_READY);
    assert_string_equal(f->states, "Verifying Loading Warming Ready");
    struct pt_loaded *l = pt_servable_serving(&f->servable);
    assert_non_null(l);
    assert_string_equal(l->info.inputs[0]->name, "x");
    assert_true(f->servable.load_ms >= 0);
    assert_false(f->servable.has_digest); /* nobody wants to know it */
    pt_servable_drain(&f->servable);
    assert_non_null(pt_servable_serving(&f->servable)); /* until the end */
    assert_false(pt_servable_busy(&f->servable));
    assert_string_equal(f->states, "Verifying Loading Warming Ready Draining");
    tear_down(f);
}

static void knows_the_digest_for_reports(void **state)
{
    (void)state;
    struct fixture *f = set_up("file://" DIGITS);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_REPORT, "url", "https://operator:9443/report", NULL), PT_OK);
    assert_int_equal(start(f, NULL), PT_OK);
    until(f, PT_MODEL_READY);
    assert_true(f->servable.has_digest);
    pt_servable_drain(&f->servable);
    tear_down(f);
}

static void tries_again(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    pt_auto_buf model = PT_BUF_INIT(0);
    assert_int_equal(start(f, NULL), PT_OK);
    until(f, PT_MODEL_FAILED);
    assert_int_equal(f->servable.reason, PT_REASON_DOWNLOAD_FAILED);
    assert_int_equal(f->servable.error.code, PT_ENOTFOUND);
    assert_int_equal(pt_buf_read_file(&model, DIGITS, NULL), PT_OK);
    write_file(f, model.data, model.len);
    until(f, PT_MODEL_READY);
    assert_string_equal(f->states, "Failed Downloading Verifying Loading Warming Ready");
    assert_string_equal(f->servable.error.msg, "");
    tear_down(f);
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    struct fixture *f = set_up("file://" DIGITS);
    char zeros[72] = "sha256:";
    memset(zeros + 7, '0', 64);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_MODEL, "digest", zeros, NULL), PT_OK);
    assert_int_equal(start(f, NULL), PT_OK);
    until(f, PT_MODEL_FAILED);
    assert_int_equal(f->servable.reason, PT_REASON_DIGEST_MISMATCH);
    assert_non_null(strstr(f->servable.error.msg, "want sha256:0000"));
    assert_true(f->servable.has_digest); /* of what is there */
    assert_string_equal(f->states, "Verifying Failed");
    assert_null(pt_servable_serving(&f->servable));
    tear_down(f);

    f = set_up(NULL);
    write_file(f, "rubbish", 7);
    assert_int_equal(start(f, NULL), PT_OK);
    until(f, PT_MODEL_FAILED);
    assert_int_equal(f->servable.reason, PT_REASON_MODEL_LOAD_FAILED);
    assert_string_equal(f->states, "Verifying Loading Failed");
    tear_down(f);

    f = set_up(NULL);
    write_file(f, "", 0);
    assert_int_equal(start(f, NULL), PT_OK);
    until(f, PT_MODEL_FAILED);
    assert_non_null(strstr(f->servable.error.msg, "is empty"));
    tear_down(f);
}

/* Drained soon after each state was reached: the step under way ends, and nothing follows. */
static void drains_in_every_state(void **state)
{
    (void)state;
    static const enum pt_model_state states[] = {PT_MODEL_DOWNLOADING, PT_MODEL_VERIFYING, PT_MODEL_LOADING, PT_MODEL_WARMING};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        struct fixture *f = set_up("file://" DIGITS);
        assert_int_equal(start(f, NULL), PT_OK);
        f->stop_at = IN(states[i]);
        if (i > 0)
            pt_loop_run(f->loop);
        bool ready = f->servable.state == PT_MODEL_READY;
        pt_servable_drain(&f->servable);
        f->stop_at = IN(PT_MODEL_DRAINING);
        if (pt_servable_busy(&f->servable))
            pt_loop_run(f->loop); /* until changed() says that the step is over */
        assert_false(pt_servable_busy(&f->servable));
        assert_int_equal(f->servable.state, PT_MODEL_DRAINING);
        assert_int_equal(pt_servable_serving(&f->servable) != NULL, ready);
        tear_down(f);
    }
}

static void wait_until_idle(struct fixture *f)
{
    f->stop_at = IN(PT_MODEL_DRAINING);
    if (pt_servable_busy(&f->servable))
        pt_loop_run(f->loop);
    assert_false(pt_servable_busy(&f->servable));
}

/* Behind Ready weights are kept for the next start; a drain waits for that, and goes on serving meanwhile. */
static void keeps_weights(void **state)
{
    (void)state;
    uint64_t found[2];
    char folder[96], first[64];
    for (int i = 0; i < 2; i++) {
        struct fixture *f = set_up("file://" DIGITS);
        rmdir(f->dir);
        strcpy(i ? f->dir : first, i ? first : f->dir);
        snprintf(folder, sizeof folder, "%s/prepared", f->dir);
        assert_int_equal(pt_config_set(&f->config, PT_CONFIG_CACHE, "preparedBytes", "1000000", NULL), PT_OK);
        assert_int_equal(start(f, NULL), PT_OK);
        until(f, PT_MODEL_READY);
        pt_servable_drain(&f->servable);
        wait_until_idle(f);
        assert_non_null(pt_servable_serving(&f->servable));
        struct pt_prepared_info info = {.size = sizeof info};
        assert_int_equal(pt_session_prepared(f->servable.loaded.session, &info, NULL), PT_OK);
        assert_int_equal(info.made_bytes, 0);
        found[i] = info.found_bytes;
        assert_int_equal(access(info.path, R_OK), 0);
        if (i)
            unlink(info.path);
        if (i)
            rmdir(folder);
        tear_down(f);
    }
    assert_true(found[0] == 0 && found[1] > 1024);
}

/* Whatever allocation fails, it ends Ready or Failed with words. */
static void out_of_memory(void **state)
{
    (void)state;
    int failed = 0;
    bool ready = false;
    for (int n = 1; n < 5000 && !ready; n += 1 + n / 50) {
        struct fixture *f = set_up("file://" DIGITS);
        struct pt_err err = {0};
        f->stop_at = IN(PT_MODEL_READY) | IN(PT_MODEL_FAILED);
        pt_mem_fail_at(n, 1);
        int rc = start(f, &err);
        struct pt_timer limit = {0};
        if (rc == PT_OK) {
            pt_timer_start(pt_loop_sched(f->loop), &limit, 20000, on_timeout);
            pt_loop_run(f->loop);
            pt_timer_stop(pt_loop_sched(f->loop), &limit);
            ready = f->servable.state == PT_MODEL_READY;
            err = f->servable.error;
        }
        pt_mem_fail_at(0, 0);
        if (!ready) {
            failed++;
            assert_int_equal(err.code, PT_ENOMEM);
            assert_true(err.msg[0]);
        }
        tear_down(f);
    }
    assert_true(ready && failed > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(becomes_ready),         cmocka_unit_test(knows_the_digest_for_reports),
                                       cmocka_unit_test(tries_again),           cmocka_unit_test(names_what_is_wrong),
                                       cmocka_unit_test(drains_in_every_state), cmocka_unit_test(keeps_weights),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
