/* SPDX-License-Identifier: Apache-2.0
 *
 * sched.h: time as an interface. Everything that waits (reconciler, autoscaler, backoff, reporter) takes a
 * `struct pt_sched`, so the same object code runs on the event loop (net/loop.c) and under virtual time in the
 * simulator (pt_vsched below). Monotonic time decides; wall time is only for what people read.
 *
 * A timer is embedded in its owner's struct: zero it, pt_timer_start() it, pt_timer_stop() it before the owner is freed.
 * Callbacks run on the scheduler's one thread, in order of (due time, start order).
 */
#ifndef PT_BASE_SCHED_H
#define PT_BASE_SCHED_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pt_timer;
typedef void (*pt_timer_fn)(struct pt_timer *t);

struct pt_timer {
    pt_timer_fn fn;
    int64_t due_ms; /* monotonic */
    uint64_t seq;
    size_t slot; /* 1 + index in the heap; 0 = not running */
};

/* Heap of running timers; embedded in a scheduler. */
struct pt_timers {
    struct pt_timer **heap;
    size_t count, room;
    uint64_t seq;
};

struct pt_sched {
    int64_t (*now_ms)(struct pt_sched *s);  /* monotonic */
    int64_t (*wall_ms)(struct pt_sched *s); /* since the epoch */
    void (*rearm)(struct pt_sched *s);      /* the earliest due time changed; NULL if nobody cares */
    struct pt_timers timers;
};

static inline int64_t pt_now_ms(struct pt_sched *s) { return s->now_ms(s); }
static inline int64_t pt_wall_ms(struct pt_sched *s) { return s->wall_ms(s); }

/* (Re)starts t to fire once after delay_ms (0 = on the next turn, never inside this call). Aborts the process only when the
 * heap cannot grow by a pointer: use pt_sched_reserve() at start-up to make that impossible for a known number of timers. */
void pt_timer_start(struct pt_sched *s, struct pt_timer *t, int64_t delay_ms, pt_timer_fn fn);
void pt_timer_stop(struct pt_sched *s, struct pt_timer *t); /* fine when not running */
static inline bool pt_timer_running(const struct pt_timer *t) { return t->slot != 0; }
int pt_sched_reserve(struct pt_sched *s, size_t timers, struct pt_err *err);
/* For implementers: milliseconds until the next timer (-1 = none), and running all that are due. */
int64_t pt_sched_next_ms(struct pt_sched *s);
void pt_sched_run_due(struct pt_sched *s);
void pt_sched_finish(struct pt_sched *s);

/* The process's clocks, for code without a scheduler (benchmarks, logs). */
int64_t pt_clock_mono_ns(void);
int64_t pt_clock_wall_ms(void);

/* Virtual time: stands still until advanced. */
struct pt_vsched {
    struct pt_sched sched; /* first member */
    int64_t now, wall_offset;
};
void pt_vsched_init(struct pt_vsched *v, int64_t wall_start_ms);
/* Jumps to the next timer's due time and runs what is due; false when no timer is left or it is later than limit_ms
 * (then time stands at limit_ms, unless that is INT64_MAX: "until idle"). */
bool pt_vsched_step(struct pt_vsched *v, int64_t limit_ms);

#endif
