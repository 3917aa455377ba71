/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.c: the pool behind pt_parallel_for.
 *
 * One job at a time lives in the pool. `state` says whether it may be joined (OPEN) and how many workers are inside; its fields change only
 * while it is closed and empty, so a worker that joined may read them freely. Pieces are claimed by adding to `next`. The caller opens the
 * job, bumps `epoch` (the futex that idle workers sleep on), works like anyone else, closes the job when nothing is left to claim, and waits
 * on `state` until the last worker is out. Whoever finds the pool taken, or calls from inside a piece, runs inline; so does everybody
 * while as many executions are under way as there are threads: they have one CPU each, and more threads than CPUs only wait for one another.
 */
#include "runtime/exec/threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "pintle/runtime.h"

#define MAX_THREADS 1024
#define SPIN_NS 20000
#define OPEN 0x80000000u

struct job {
    pt_range_fn fn;
    void *arg;
    size_t n, grain;
};
struct pt_threads {
    int count; /* the caller included */
    bool spin;
    atomic_flag taken; /* by the caller of the current job */
    _Atomic uint32_t state, epoch, sleepers;
    _Atomic uint32_t helpers; /* that may join the current job */
    _Atomic int users;        /* executions under way: each has one CPU at least */
    _Atomic bool stop;
    _Atomic size_t next;
    struct job job;
    int started;
    pthread_t workers[];
};

static _Thread_local bool inside; /* a piece */

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
/* Looks at the word for a few microseconds; true when it left `value`. */
static bool spin_while(const struct pt_threads *t, const _Atomic uint32_t *word, uint32_t value)
{
    if (!t->spin)
        return atomic_load(word) != value;
    for (int64_t end = now_ns() + SPIN_NS;;) {
        for (int i = 0; i < 32; i++) {
            if (atomic_load(word) != value)
                return true;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
        if (now_ns() > end)
            return false;
    }
}

static void run_pieces(const struct job *job, _Atomic size_t *next)
{
    for (;;) {
        size_t begin = atomic_fetch_add_explicit(next, job->grain, memory_order_relaxed);
        if (begin >= job->n)
            return;
        job->fn(job->arg, begin, job->n - begin < job->grain ? job->n : begin + job->grain);
    }
}

static bool join(struct pt_threads *t)
{
    uint32_t state = atomic_load(&t->state);
    while (state & OPEN && (state & ~OPEN) < atomic_load(&t->helpers))
        if (atomic_compare_exchange_weak(&t->state, &state, state + 1))
            return true;
    return false;
}
static void leave(struct pt_threads *t)
{
    if (atomic_fetch_sub(&t->state, 1) == 1) /* closed, and we were the last */
        futex_wake(&t->state, 1);
}

static void *worker(void *arg)
{
    struct pt_threads *t = arg;
    inside = true;
    for (uint32_t seen = 0;;) {
        if (!spin_while(t, &t->epoch, seen)) {
            atomic_fetch_add(&t->sleepers, 1);
            futex_wait(&t->epoch, seen);
            atomic_fetch_sub(&t->sleepers, 1);
        }
        if (atomic_load(&t->stop))
            return NULL;
        seen = atomic_load(&t->epoch);
        if (join(t)) {
            run_pieces(&t->job, &t->next);
            leave(t);
        }
    }
}

static void run_inline(const struct job *job)
{
    _Atomic size_t next = 0;
    run_pieces(job, &next);
}

/* Threads beside the caller: what the executions under way leave of the CPUs. */
static int free_threads(const struct pt_threads *t)
{
    int users = atomic_load(&t->users);
    return t->count - (users > 1 ? users : 1);
}

void pt_threads_enter(struct pt_threads *t)
{
    atomic_fetch_add(&t->users, 1);
}
void pt_threads_leave(struct pt_threads *t)
{
    atomic_fetch_sub(&t->users, 1);
}

void pt_parallel_for(struct pt_threads *t, size_t n, size_t grain, pt_range_fn fn, void *arg)
{
    const struct job job = {fn, arg, n, grain ? grain : 1};
    int helpers = t ? free_threads(t) : 0;
    if (helpers <= 0 || n <= job.grain || inside || atomic_flag_test_and_set(&t->taken)) {
        run_inline(&job);
        return;
    }
    inside = true;
    t->job = job;
    atomic_store(&t->next, 0);
    atomic_store(&t->helpers, (uint32_t)helpers);
    atomic_store(&t->state, OPEN);
    atomic_fetch_add(&t->epoch, 1);
    if (atomic_load(&t->sleepers)) {
        size_t pieces = (n - 1) / job.grain;
        futex_wake(&t->epoch, pieces < (size_t)helpers ? (int)pieces : helpers);
    }
    run_pieces(&job, &t->next);
    for (uint32_t state = atomic_fetch_and(&t->state, ~OPEN) & ~OPEN; state; state = atomic_load(&t->state))
        if (!spin_while(t, &t->state, state))
            futex_wait(&t->state, state);
    inside = false;
    atomic_flag_clear(&t->taken);
}

int pt_parallel_width(const struct pt_threads *t)
{
    return t ? t->count : 1;
}
int pt_threads_count(const struct pt_threads *t)
{
    return t->count;
}

void pt_threads_destroy(struct pt_threads *t)
{
    if (!t)
        return;
    atomic_store(&t->stop, true);
    atomic_fetch_add(&t->epoch, 1);
    futex_wake(&t->epoch, INT_MAX);
    for (int i = 0; i < t->started; i++)
        pthread_join(t->workers[i], NULL);
    pt_free(t);
}

/* Workers take no signals: those belong to the program's own threads. */
static int start_workers(struct pt_threads *t)
{
    sigset_t all, old;
    int rc = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; t->started < t->count - 1; t->started++) {
        rc = pthread_create(&t->workers[t->started], NULL, worker, t);
        if (rc)
            break;
        char name[16];
        snprintf(name, sizeof name, "pintle-%d", (t->started + 1) % (MAX_THREADS + 1));
        pthread_setname_np(t->workers[t->started], name);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int pt_threads_create(int threads, struct pt_threads **out, struct pt_err *err)
{
    const int limit = pt_cpu_limit("");
    if (threads < 0 || threads > MAX_THREADS)
        return pt_fail(err, PT_EINVAL, "create threads: count %d is not in 0..%d", threads, MAX_THREADS);
    if (threads == 0)
        threads = limit < MAX_THREADS ? limit : MAX_THREADS;
    struct pt_threads *t = pt_calloc(1, sizeof *t + (size_t)(threads - 1) * sizeof *t->workers);
    if (!t)
        return pt_fail(err, PT_ENOMEM, "create %d threads: out of memory", threads);
    t->count = threads;
    t->spin = threads <= limit;
    int rc = start_workers(t);
    if (rc) {
        pt_threads_destroy(t);
        return pt_fail(err, PT_EUNAVAILABLE, "create %d threads: %s", threads, strerror(rc));
    }
    *out = t;
    return PT_OK;
}
