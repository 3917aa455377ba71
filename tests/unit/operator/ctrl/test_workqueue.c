/* SPDX-License-Identifier: Apache-2.0
 *
 * The work queue, on virtual time.
 */
#include "base/metrics.h"
#include "operator/ctrl/workqueue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct pt_vsched clock;
    struct pt_workqueue *q;
    char log[256];
    int under_way, most;
};

static void work(void *arg, const char *key)
{
    struct bench *b = arg;
    size_t n = strlen(b->log);
    snprintf(b->log + n, sizeof b->log - n, "%s ", key);
    b->under_way++;
    b->most = b->under_way > b->most ? b->under_way : b->most;
}

static void start_bench(struct bench *b, unsigned workers)
{
    struct pt_err err;
    *b = (struct bench){.most = 0};
    pt_vsched_init(&b->clock, 0);
    struct pt_workqueue_options o = {.name = "t", .sched = &b->clock.sched, .workers = workers, .work = work, .arg = b};
    assert_int_equal(pt_workqueue_create(&o, &b->q, &err), PT_OK);
}
static void stop_bench(struct bench *b)
{
    pt_workqueue_destroy(b->q);
    pt_sched_finish(&b->clock.sched);
}
static void run_to(struct bench *b, int64_t ms)
{
    while (pt_vsched_step(&b->clock, ms))
        ;
}

static void queue_orders_and_dedups(void **state)
{
    (void)state;
    struct bench b;
    start_bench(&b, 1);
    pt_workqueue_add(b.q, "backlog1", PT_URGENCY_BACKLOG);
    pt_workqueue_add(b.q, "backlog2", PT_URGENCY_BACKLOG);
    pt_workqueue_add(b.q, "a", PT_URGENCY_NEWS);
    pt_workqueue_add(b.q, "a", PT_URGENCY_NEWS);
    run_to(&b, 10);
    assert_string_equal(b.log, ""); /* not started */
    pt_workqueue_start(b.q);
    run_to(&b, 20);
    assert_string_equal(b.log, "a ");
    pt_workqueue_add(b.q, "a", PT_URGENCY_NEWS);        /* dirty while worked on */
    pt_workqueue_add(b.q, "backlog2", PT_URGENCY_NEWS); /* news overtakes the backlog */
    run_to(&b, 30);
    assert_string_equal(b.log, "a ");
    pt_workqueue_done(b.q, "a", PT_WORK_OK, -1);
    run_to(&b, 40);
    pt_workqueue_done(b.q, "backlog2", PT_WORK_OK, -1);
    run_to(&b, 50);
    pt_workqueue_done(b.q, "a", PT_WORK_OK, -1);
    run_to(&b, 60);
    assert_string_equal(b.log, "a backlog2 a backlog1 ");
    assert_int_equal(b.most <= 4, 1);
    stop_bench(&b);
}

struct backlog {
    struct pt_workqueue *q;
    struct pt_timer news;
    int done, done_before_news;
};
static void do_at_once(void *arg, const char *key)
{
    struct backlog *b = arg;
    b->done++;
    if (!strcmp(key, "news"))
        b->done_before_news = b->done;
    pt_workqueue_done(b->q, key, PT_WORK_OK, -1);
}
static void news_comes(struct pt_timer *t)
{
    struct backlog *b = (struct backlog *)((char *)t - offsetof(struct backlog, news));
    pt_workqueue_add(b->q, "news", PT_URGENCY_NEWS);
}
/* A backlog that needs nothing done is no reason not to look at what comes in. */
static void queue_takes_turns(void **state)
{
    (void)state;
    struct pt_vsched clock;
    struct pt_err err;
    struct backlog b = {.done = 0};
    char key[16];
    pt_vsched_init(&clock, 0);
    struct pt_workqueue_options o = {.name = "t", .sched = &clock.sched, .workers = 4, .work = do_at_once, .arg = &b};
    assert_int_equal(pt_workqueue_create(&o, &b.q, &err), PT_OK);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        pt_workqueue_add(b.q, key, PT_URGENCY_BACKLOG);
    }
    pt_workqueue_start(b.q);
    pt_timer_start(&clock.sched, &b.news, 0, news_comes);
    while (pt_vsched_step(&clock, 10))
        ;
    assert_int_equal(b.done, 1001);
    assert_true(b.done_before_news < 200);
    pt_workqueue_destroy(b.q);
    pt_sched_finish(&clock.sched);
}
/* Of many edits every other turn is for the newest, and those who did not ask have a turn now and then. */
static void queue_has_a_turn_for_the_newest_edit(void **state)
{
    (void)state;
    struct bench b;
    start_bench(&b, 1);
    for (int i = 0; i < 8; i++) {
        char key[16];
        snprintf(key, sizeof key, "e%d", i);
        pt_workqueue_add(b.q, "listed", PT_URGENCY_BACKLOG);
        pt_workqueue_add(b.q, "news", PT_URGENCY_NEWS);
        pt_workqueue_add(b.q, key, PT_URGENCY_EDIT);
    }
    pt_workqueue_start(b.q);
    for (int i = 0; i < 10; i++) {
        run_to(&b, 10 * (i + 1));
        char *last = b.log + strlen(b.log) - 2;
        while (last > b.log && last[-1] != ' ')
            last--;
        char key[16];
        sscanf(last, "%15s", key);
        pt_workqueue_done(b.q, key, PT_WORK_OK, -1);
    }
    assert_string_equal(b.log, "e7 e0 e6 e1 e5 e2 e4 news e3 listed ");
    stop_bench(&b);
}
/* As if it had just been made, whatever was under way, waited, or had failed. */
static void queue_is_reset(void **state)
{
    (void)state;
    struct bench b;
    start_bench(&b, 2);
    pt_workqueue_start(b.q);
    pt_workqueue_add(b.q, "active", PT_URGENCY_NEWS);
    pt_workqueue_add(b.q, "failed", PT_URGENCY_NEWS);
    run_to(&b, 10);
    pt_workqueue_done(b.q, "failed", PT_WORK_FAILED, -1);
    pt_workqueue_add_after(b.q, "late", 5);
    pt_workqueue_add(b.q, "active", PT_URGENCY_EDIT); /* dirty */
    pt_workqueue_reset(b.q);
    assert_int_equal(pt_workqueue_active(b.q) + pt_workqueue_depth(b.q), 0);
    pt_workqueue_done(b.q, "active", PT_WORK_OK, 1); /* nobody knows of it */
    pt_workqueue_add(b.q, "new", PT_URGENCY_NEWS);
    run_to(&b, 10000);
    assert_string_equal(b.log, "active failed ");
    pt_workqueue_start(b.q);
    run_to(&b, 20000);
    assert_string_equal(b.log, "active failed new ");
    stop_bench(&b);
}

static void queue_backs_off(void **state)
{
    (void)state;
    struct bench b;
    start_bench(&b, 4);
    pt_workqueue_start(b.q);
    pt_workqueue_add(b.q, "k", PT_URGENCY_NEWS);
    int64_t waits[6], before = 0;
    for (int i = 0; i < 6; i++) {
        b.log[0] = 0;
        while (!b.log[0] && pt_vsched_step(&b.clock, b.clock.now + 2000000))
            ;
        waits[i] = b.clock.now - before;
        before = b.clock.now;
        pt_workqueue_done(b.q, "k", PT_WORK_FAILED, -1);
    }
    assert_int_equal(waits[1], 5);
    assert_int_equal(waits[2], 10);
    assert_int_equal(waits[5], 80);
    for (int i = 0; i < 25; i++) { /* to the cap */
        b.log[0] = 0;
        before = b.clock.now;
        while (!b.log[0] && pt_vsched_step(&b.clock, b.clock.now + 2000000))
            ;
        pt_workqueue_done(b.q, "k", PT_WORK_FAILED, -1);
    }
    assert_int_equal(b.clock.now - before, 1000000);
    b.log[0] = 0;
    while (!b.log[0] && pt_vsched_step(&b.clock, b.clock.now + 2000000))
        ;
    pt_workqueue_done(b.q, "k", PT_WORK_OK, 700); /* success forgets, and asks for a later look */
    b.log[0] = 0;
    before = b.clock.now;
    while (!b.log[0] && pt_vsched_step(&b.clock, b.clock.now + 2000000))
        ;
    assert_int_equal(b.clock.now - before, 700);
    stop_bench(&b);
}

static void no_work(void *arg, const char *key)
{
    (void)arg, (void)key;
}

/* Names and labels are controller-runtime's. */
static void queue_has_metrics(void **state)
{
    static const char *const lines[] = {
        "workqueue_depth{name=\"q\",controller=\"q\",priority=\"-100\"} 2\n",
        "workqueue_depth{name=\"q\",controller=\"q\",priority=\"0\"} 0\n",
        "workqueue_depth{name=\"q\",controller=\"q\",priority=\"100\"} 1\n",
        "workqueue_adds_total{name=\"q\",controller=\"q\"} 4\n",
        "workqueue_retries_total{name=\"q\",controller=\"q\"} 0\n",
        "workqueue_queue_duration_seconds_count{name=\"q\",controller=\"q\"} 0\n",
        "workqueue_longest_running_processor_seconds{name=\"q\",controller=\"q\"} 0\n",
    };
    struct pt_vsched clock;
    struct pt_workqueue *q;
    struct pt_err err;
    struct pt_metrics *m = pt_metrics_create();
    pt_auto_buf text = PT_BUF_INIT(0);
    (void)state;
    pt_vsched_init(&clock, 1700000000000);
    struct pt_workqueue_options o = {.name = "q", .sched = &clock.sched, .metrics = m, .workers = 1, .work = no_work};
    assert_int_equal(pt_workqueue_create(&o, &q, &err), PT_OK);
    pt_workqueue_add(q, "a", PT_URGENCY_BACKLOG);
    pt_workqueue_add(q, "b", PT_URGENCY_BACKLOG);
    pt_workqueue_add(q, "c", PT_URGENCY_BACKLOG);
    pt_workqueue_add(q, "b", PT_URGENCY_EDIT); /* goes ahead */
    pt_metrics_write(m, PT_METRICS_TEXT, &text);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(pt_buf_cstr(&text), lines[i]))
            fail_msg("no %s in %s", lines[i], pt_buf_cstr(&text));
    pt_workqueue_reset(q);
    text.len = 0;
    pt_metrics_write(m, PT_METRICS_TEXT, &text);
    assert_non_null(strstr(pt_buf_cstr(&text), "priority=\"-100\"} 0\n"));
    assert_int_equal(pt_workqueue_depth(q), 0);
    pt_metrics_destroy(m);
    pt_workqueue_destroy(q);
    pt_sched_finish(&clock.sched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_orders_and_dedups),
        cmocka_unit_test(queue_takes_turns),
        cmocka_unit_test(queue_has_a_turn_for_the_newest_edit),
        cmocka_unit_test(queue_is_reset),
        cmocka_unit_test(queue_backs_off),
        cmocka_unit_test(queue_has_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
