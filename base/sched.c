/* SPDX-License-Identifier: Apache-2.0
 *
 * sched.c: timers in a binary heap ordered by (due time, start order), clocks, and virtual time.
 */
#include "base/sched.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool is_before(const struct pt_timer *a, const struct pt_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static void place(struct pt_timers *h, size_t i, struct pt_timer *t)
{
    h->heap[i] = t;
    t->slot = i + 1;
}

/* Puts t where it belongs on the way from i to the root. */
static void sift_up(struct pt_timers *h, size_t i, struct pt_timer *t)
{
    for (; i > 0 && is_before(t, h->heap[(i - 1) / 2]); i = (i - 1) / 2)
        place(h, i, h->heap[(i - 1) / 2]);
    place(h, i, t);
}

/* Closes the gap at i with t, which was the last one. It belongs near the leaves most often: so the gap goes down there, and t comes up from it. */
static void fill(struct pt_timers *h, size_t i, struct pt_timer *t)
{
    for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && is_before(h->heap[child + 1], h->heap[child]))
            child++;
        place(h, i, h->heap[child]);
    }
    sift_up(h, i, t);
}

static void take_out(struct pt_timers *h, struct pt_timer *t)
{
    size_t i = t->slot - 1;
    struct pt_timer *last = h->heap[--h->count];
    t->slot = 0;
    if (last != t)
        fill(h, i, last);
}

int pt_sched_reserve(struct pt_sched *s, size_t timers, struct pt_err *err)
{
    struct pt_timers *h = &s->timers;
    if (timers <= h->room)
        return PT_OK;
    size_t room = h->room * 2 > timers ? h->room * 2 : timers;
    struct pt_timer **heap = pt_reallocarray(h->heap, room, sizeof(struct pt_timer *));
    if (!heap)
        return pt_fail(err, PT_ENOMEM, "room for %zu timers: out of memory", timers);
    h->heap = heap;
    h->room = room;
    return PT_OK;
}

static const struct pt_timer *first_of(const struct pt_sched *s)
{
    return s->timers.count ? s->timers.heap[0] : NULL;
}

void pt_timer_start(struct pt_sched *s, struct pt_timer *t, int64_t delay_ms, pt_timer_fn fn)
{
    struct pt_timers *h = &s->timers;
    const struct pt_timer *first = first_of(s);
    if (t->slot)
        take_out(h, t);
    if (pt_sched_reserve(s, h->count + 1, NULL) < 0) {
        fputs("out of memory for a timer\n", stderr);
        abort();
    }
    if (__builtin_add_overflow(pt_now_ms(s), delay_ms > 0 ? delay_ms : 0, &t->due_ms))
        t->due_ms = INT64_MAX;
    t->fn = fn;
    t->seq = h->seq++;
    sift_up(h, h->count++, t);
    if (s->rearm && (t->slot == 1 || first_of(s) != first))
        s->rearm(s);
}

void pt_timer_stop(struct pt_sched *s, struct pt_timer *t)
{
    if (!t->slot)
        return;
    bool was_first = t->slot == 1;
    take_out(&s->timers, t);
    if (s->rearm && was_first)
        s->rearm(s);
}

int64_t pt_sched_next_ms(struct pt_sched *s)
{
    if (s->timers.count == 0)
        return -1;
    int64_t now = pt_now_ms(s), due = s->timers.heap[0]->due_ms;
    return due > now ? due - now : 0;
}

/* What callbacks start waits for the next turn even if it is due at once, or a timer that restarts itself would never let go. */
void pt_sched_run_due(struct pt_sched *s)
{
    struct pt_timers *h = &s->timers;
    int64_t now = pt_now_ms(s);
    uint64_t limit = h->seq;
    while (h->count && h->heap[0]->due_ms <= now && h->heap[0]->seq < limit) {
        struct pt_timer *t = h->heap[0];
        take_out(h, t);
        t->fn(t);
    }
}

void pt_sched_finish(struct pt_sched *s)
{
    for (size_t i = 0; i < s->timers.count; i++)
        s->timers.heap[i]->slot = 0;
    pt_free(s->timers.heap);
    s->timers = (struct pt_timers){0};
}

int64_t pt_clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * (int64_t)1000000000 + ts.tv_nsec;
}

int64_t pt_clock_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * (int64_t)1000 + ts.tv_nsec / 1000000;
}

static int64_t virtual_now(struct pt_sched *s)
{
    return ((struct pt_vsched *)s)->now;
}

static int64_t virtual_wall(struct pt_sched *s)
{
    struct pt_vsched *v = (struct pt_vsched *)s;
    return v->wall_offset + v->now;
}

void pt_vsched_init(struct pt_vsched *v, int64_t wall_start_ms)
{
    *v = (struct pt_vsched){.sched = {.now_ms = virtual_now, .wall_ms = virtual_wall}, .wall_offset = wall_start_ms};
}

bool pt_vsched_step(struct pt_vsched *v, int64_t limit_ms)
{
    struct pt_timers *h = &v->sched.timers;
    if (h->count == 0 || h->heap[0]->due_ms > limit_ms) {
        if (limit_ms > v->now && limit_ms != INT64_MAX)
            v->now = limit_ms;
        return false;
    }
    if (h->heap[0]->due_ms > v->now)
        v->now = h->heap[0]->due_ms;
    pt_sched_run_due(&v->sched);
    return true;
}
