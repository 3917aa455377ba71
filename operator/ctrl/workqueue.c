/* SPDX-License-Identifier: Apache-2.0
 *
 * workqueue.c: see workqueue.h. An item exists while its key is queued, worked on, waiting, or has failures to remember. The
 * queues, one for each urgency, are rings of items; keys are handed out from a timer, never from inside an add.
 */
#include "operator/ctrl/workqueue.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <stdio.h>

#define TURN_MAX 64
#define OTHERS_TURN 8 /* so often whoever is less urgent has a turn all the same */
#define BACKOFF_MS 5
#define BACKOFF_MAX_MS 1000000

struct item {
    struct item *prev, *next; /* in a ring when queued */
    struct pt_timer wait;     /* a delayed add */
    struct pt_workqueue *queue;
    unsigned failures;
    bool queued, active, dirty;
    enum pt_urgency urgency;
    int64_t since_ms; /* queued or active since */
    char key[];
};

struct pt_workqueue {
    struct pt_workqueue_options o;
    struct pt_map items;
    struct item rings[PT_URGENCY_COUNT]; /* their heads */
    unsigned turns;
    struct pt_timer pump;
    bool running;
    unsigned active;
    size_t depth, depths[PT_URGENCY_COUNT]; /* in all; of each ring */
    struct pt_metric *m_depth[PT_URGENCY_COUNT], *m_adds, *m_retries, *m_queue_s, *m_work_s, *m_unfinished, *m_longest;
};

/* Names, labels, buckets and words are controller-runtime's, so that its dashboards fit; the controller's name is the queue's. */
static const double seconds[] = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000};
#define SECONDS seconds, sizeof seconds / sizeof *seconds
static const char *const priorities[PT_URGENCY_COUNT] = {[PT_URGENCY_BACKLOG] = "-100", [PT_URGENCY_NEWS] = "0", [PT_URGENCY_EDIT] = "100"};
static const struct pt_metric_family
    f_depth = {"workqueue_depth", "Current depth of workqueue by workqueue and priority", PT_GAUGE, "name,controller,priority", NULL, 0},
    f_adds = {"workqueue_adds_total", "Total number of adds handled by workqueue", PT_COUNTER, "name,controller", NULL, 0},
    f_retries = {"workqueue_retries_total", "Total number of retries handled by workqueue", PT_COUNTER, "name,controller", NULL, 0},
    f_queue_s = {"workqueue_queue_duration_seconds", "How long in seconds an item stays in workqueue before being requested", PT_HISTOGRAM,
                 "name,controller", SECONDS},
    f_work_s = {"workqueue_work_duration_seconds", "How long in seconds processing an item from workqueue takes.", PT_HISTOGRAM, "name,controller",
                SECONDS},
    f_unfinished = {"workqueue_unfinished_work_seconds",
                    "How many seconds of work is in progress and has not been observed by work_duration yet.",
                    PT_GAUGE,
                    "name,controller",
                    NULL,
                    0},
    f_longest = {"workqueue_longest_running_processor_seconds",
                 "How many seconds has the longest running processor for workqueue been running.",
                 PT_GAUGE,
                 "name,controller",
                 NULL,
                 0};

static void ring_init(struct item *head)
{
    head->prev = head->next = head;
}

static void ring_push(struct item *head, struct item *it)
{
    it->prev = head->prev;
    it->next = head;
    head->prev->next = it;
    head->prev = it;
}

static void ring_remove(struct item *it)
{
    it->prev->next = it->next;
    it->next->prev = it->prev;
}

static void collect(void *arg)
{
    struct pt_workqueue *q = arg;
    int64_t now = pt_now_ms(q->o.sched), all = 0, longest = 0;
    void *v;
    for (size_t i = 0; q->active && pt_map_next(&q->items, &i, NULL, &v);) {
        int64_t age = ((struct item *)v)->active ? now - ((struct item *)v)->since_ms : 0;
        all += age;
        longest = age > longest ? age : longest;
    }
    pt_metric_set(q->m_unfinished, (double)all / 1000.0);
    pt_metric_set(q->m_longest, (double)longest / 1000.0);
}

int pt_workqueue_create(const struct pt_workqueue_options *o, struct pt_workqueue **out, struct pt_err *err)
{
    struct pt_workqueue *q = pt_calloc(1, sizeof *q);
    if (!q)
        return pt_fail(err, PT_ENOMEM, "create work queue %s: out of memory", o->name);
    q->o = *o;
    for (int i = 0; i < PT_URGENCY_COUNT; i++)
        ring_init(&q->rings[i]);
    if (o->metrics) {
        for (int i = 0; i < PT_URGENCY_COUNT; i++)
            q->m_depth[i] = pt_metrics_series(o->metrics, &f_depth, o->name, o->name, priorities[i], NULL);
        q->m_adds = pt_metrics_series(o->metrics, &f_adds, o->name, o->name, NULL);
        q->m_retries = pt_metrics_series(o->metrics, &f_retries, o->name, o->name, NULL);
        q->m_queue_s = pt_metrics_series(o->metrics, &f_queue_s, o->name, o->name, NULL);
        q->m_work_s = pt_metrics_series(o->metrics, &f_work_s, o->name, o->name, NULL);
        q->m_unfinished = pt_metrics_series(o->metrics, &f_unfinished, o->name, o->name, NULL);
        q->m_longest = pt_metrics_series(o->metrics, &f_longest, o->name, o->name, NULL);
        pt_metrics_on_collect(o->metrics, collect, q);
    }
    *out = q;
    return PT_OK;
}

static void forget_all(struct pt_workqueue *q)
{
    void *v;
    for (size_t i = 0; pt_map_next(&q->items, &i, NULL, &v);) {
        struct item *it = v;
        pt_timer_stop(q->o.sched, &it->wait);
        pt_free(it);
    }
    pt_map_finish(&q->items);
    pt_timer_stop(q->o.sched, &q->pump);
}

void pt_workqueue_destroy(struct pt_workqueue *q)
{
    if (!q)
        return;
    forget_all(q);
    pt_free(q);
}

/* It has gone into the ring of its urgency, or out of it. */
static void count_depth(struct pt_workqueue *q, enum pt_urgency urgency, bool in)
{
    q->depth += in ? 1 : (size_t)-1;
    q->depths[urgency] += in ? 1 : (size_t)-1;
    pt_metric_set(q->m_depth[urgency], (double)q->depths[urgency]);
}

static void observe_since(struct pt_workqueue *q, struct pt_metric *m, struct item *it)
{
    int64_t now = pt_now_ms(q->o.sched);
    pt_metric_observe(m, (double)(now - it->since_ms) / 1000.0);
    it->since_ms = now;
}

static void pump(struct pt_workqueue *q);

static bool ring_is_empty(const struct item *head)
{
    return head->next == head;
}

/* Something is queued. */
static struct item *next_item(struct pt_workqueue *q)
{
    int i = PT_URGENCY_COUNT - 1;
    while (ring_is_empty(&q->rings[i]))
        i--;
    int others = i - 1;
    while (others > 0 && ring_is_empty(&q->rings[others]))
        others--;
    if (++q->turns % OTHERS_TURN == 0 && others >= 0 && !ring_is_empty(&q->rings[others]))
        i = others;
    return i == PT_URGENCY_EDIT && q->turns % 2 ? q->rings[i].prev : q->rings[i].next;
}

/* Most of a backlog needs nothing done and ends at once: the loop must come round in between, or news would wait for all of it. */
static void hand_out(struct pt_timer *t)
{
    struct pt_workqueue *q = (struct pt_workqueue *)((char *)t - offsetof(struct pt_workqueue, pump));
    for (int turn = 0; turn < TURN_MAX && q->running && q->active < q->o.workers && q->depth > 0; turn++) {
        struct item *it = next_item(q);
        ring_remove(it);
        count_depth(q, it->urgency, false);
        it->queued = false;
        it->active = true;
        q->active++;
        observe_since(q, q->m_queue_s, it);
        q->o.work(q->o.arg, it->key);
    }
    pump(q);
}

static void pump(struct pt_workqueue *q)
{
    if (q->running && q->active < q->o.workers && q->depth > 0 && !pt_timer_running(&q->pump))
        pt_timer_start(q->o.sched, &q->pump, 0, hand_out);
}

static struct item *item_of(struct pt_workqueue *q, const char *key)
{
    struct item *it = pt_map_get(&q->items, pt_str(key));
    if (it)
        return it;
    size_t n = strlen(key) + 1;
    it = pt_calloc(1, sizeof *it + n);
    if (!it || pt_map_set(&q->items, (struct pt_str){key, n - 1}, it, NULL, NULL) < 0) {
        pt_free(it);
        pt_log(PT_LOG_ERROR, "work queue: key lost, out of memory", "queue", q->o.name, "key", key, NULL);
        return NULL;
    }
    memcpy(it->key, key, n);
    it->queue = q;
    return it;
}

static void forget_if_idle(struct pt_workqueue *q, struct item *it)
{
    if (it->queued || it->active || it->failures || pt_timer_running(&it->wait))
        return;
    pt_map_remove(&q->items, pt_str(it->key));
    pt_free(it);
}

static void enqueue(struct pt_workqueue *q, struct item *it, enum pt_urgency urgency)
{
    pt_metric_add(q->m_adds, 1);
    if (it->active) {
        it->urgency = it->dirty && it->urgency > urgency ? it->urgency : urgency;
        it->dirty = true;
        return;
    }
    if (it->queued) {
        if (urgency <= it->urgency)
            return;
        ring_remove(it); /* it goes ahead */
        count_depth(q, it->urgency, false);
    } else {
        it->since_ms = pt_now_ms(q->o.sched);
    }
    it->queued = true;
    it->urgency = urgency;
    ring_push(&q->rings[urgency], it);
    count_depth(q, urgency, true);
    pump(q);
}

void pt_workqueue_add(struct pt_workqueue *q, const char *key, enum pt_urgency urgency)
{
    struct item *it = item_of(q, key);
    if (it)
        enqueue(q, it, urgency);
}

static void waited(struct pt_timer *t)
{
    struct item *it = (struct item *)((char *)t - offsetof(struct item, wait));
    enqueue(it->queue, it, PT_URGENCY_NEWS);
}

static void wait_for(struct pt_workqueue *q, struct item *it, int64_t delay_ms)
{
    if (pt_timer_running(&it->wait) && it->wait.due_ms <= pt_now_ms(q->o.sched) + delay_ms)
        return;
    pt_timer_start(q->o.sched, &it->wait, delay_ms, waited);
}

void pt_workqueue_add_after(struct pt_workqueue *q, const char *key, int64_t delay_ms)
{
    struct item *it = item_of(q, key);
    if (it)
        wait_for(q, it, delay_ms > 0 ? delay_ms : 0);
}

void pt_workqueue_done(struct pt_workqueue *q, const char *key, enum pt_work_result result, int64_t requeue_ms)
{
    struct item *it = pt_map_get(&q->items, pt_str(key));
    if (!it || !it->active)
        return;
    it->active = false;
    q->active--;
    observe_since(q, q->m_work_s, it);
    if (result == PT_WORK_FAILED) {
        unsigned n = it->failures < 20 ? it->failures : 20;
        int64_t delay = (int64_t)BACKOFF_MS << n;
        it->failures++;
        pt_metric_add(q->m_retries, 1);
        wait_for(q, it, delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS);
    } else {
        it->failures = 0;
        if (requeue_ms >= 0)
            wait_for(q, it, requeue_ms);
    }
    if (it->dirty) {
        it->dirty = false;
        enqueue(q, it, it->urgency);
    }
    forget_if_idle(q, it);
    pump(q);
}

void pt_workqueue_start(struct pt_workqueue *q)
{
    q->running = true;
    pump(q);
}

void pt_workqueue_stop(struct pt_workqueue *q)
{
    q->running = false;
}

void pt_workqueue_reset(struct pt_workqueue *q)
{
    pt_workqueue_stop(q);
    forget_all(q);
    for (int i = 0; i < PT_URGENCY_COUNT; i++) {
        ring_init(&q->rings[i]);
        q->depths[i] = 0;
        pt_metric_set(q->m_depth[i], 0);
    }
    q->active = 0;
    q->depth = 0;
}

unsigned pt_workqueue_active(const struct pt_workqueue *q)
{
    return q->active;
}

size_t pt_workqueue_depth(const struct pt_workqueue *q)
{
    return q->depth;
}
