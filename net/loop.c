/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c: the event loop on libuv: clock and timers, posts from other threads, signals, foreign descriptors, blocking work.
 *
 * Timers live in the scheduler's heap (base/sched.h); one uv_timer stands for the earliest. Whoever changes the earliest only sets a
 * flag, and the prepare hook arms the uv_timer once before the loop sleeps, so that a busy turn costs one re-arm however many
 * timers it moved. Posts are a lock-free stack: the poster that finds it empty wakes the loop, and the loop turns the whole stack round, which
 * gives back the order of posting. It is woken by an eventfd and not by uv_async_send(), whose receiver spins until the sender's call has come back:
 * a loop that was woken on the sender's own CPU would spin against the thread that it waits for.
 *
 * Everything here runs on the thread that owns the loop, except pt_loop_post(). Handles are embedded in our objects, which are freed in the
 * handle's close callback.
 */
#include "net/loop.h"
#include "base/mem.h"
#include "net/loop_uv.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct signal_watch {
    uv_signal_t handle;
    pt_signal_fn fn;
    void *arg;
    struct signal_watch *next;
};

struct pt_loop {
    struct pt_sched sched; /* first member: a pt_sched is cast back to its loop */
    uv_loop_t uv;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_poll_t wake;
    int wake_fd;
    bool rearm; /* the earliest timer changed since the uv_timer was set */
    _Atomic(struct pt_post *) posted;
    struct signal_watch *signals;
    struct pt_processes processes;
};

int pt_uv_code(int uv_error)
{
    switch (uv_error) {
    case UV_ENOMEM:
        return PT_ENOMEM;
    case UV_ETIMEDOUT:
        return PT_ETIMEDOUT;
    case UV_ECANCELED:
        return PT_ECANCELED;
    case UV_EACCES:
    case UV_EPERM:
        return PT_EDENIED;
    case UV_ENOENT:
        return PT_ENOTFOUND;
    case UV_EADDRINUSE:
        return PT_EEXIST;
    default:
        return PT_EIO;
    }
}

uv_loop_t *pt_loop_uv(struct pt_loop *l)
{
    return &l->uv;
}

struct pt_processes *pt_loop_processes(struct pt_loop *l)
{
    return &l->processes;
}

struct pt_sched *pt_loop_sched(struct pt_loop *l)
{
    return &l->sched;
}

/* --- clock and timers ----------------------------------------------------------------------------------------------- */
static int64_t sched_now(struct pt_sched *s)
{
    (void)s;
    return pt_clock_mono_ns() / 1000000;
}

static int64_t sched_wall(struct pt_sched *s)
{
    (void)s;
    return pt_clock_wall_ms();
}

static void sched_rearm(struct pt_sched *s)
{
    ((struct pt_loop *)s)->rearm = true;
}

static void on_timer(uv_timer_t *t)
{
    struct pt_loop *l = t->data;
    l->rearm = true;
    pt_sched_run_due(&l->sched);
}

static void on_prepare(uv_prepare_t *p)
{
    struct pt_loop *l = p->data;
    if (!l->rearm)
        return;
    l->rearm = false;
    int64_t delay = pt_sched_next_ms(&l->sched);
    if (delay < 0) {
        uv_timer_stop(&l->timer);
        return;
    }
    uv_update_time(&l->uv); /* the loop's cached time may be long past after a busy turn */
    uv_timer_start(&l->timer, on_timer, (uint64_t)delay, 0);
}

/* --- posts ------------------------------------------------------------------------------------------------------------ */
void pt_loop_post(struct pt_loop *l, struct pt_post *p)
{
    struct pt_post *head = atomic_load_explicit(&l->posted, memory_order_relaxed);
    do
        p->next = head;
    while (!atomic_compare_exchange_weak_explicit(&l->posted, &head, p, memory_order_release, memory_order_relaxed));
    if (!head)
        (void)eventfd_write(l->wake_fd, 1);
}

static void on_wake(uv_poll_t *h, int status, int events)
{
    struct pt_loop *l = h->data;
    eventfd_t count;
    (void)status, (void)events;
    (void)eventfd_read(l->wake_fd, &count); /* before the stack is taken: what is posted from now on wakes again */
    struct pt_post *stack = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire), *queue = NULL;
    while (stack) {
        struct pt_post *p = stack;
        stack = p->next;
        p->next = queue;
        queue = p;
    }
    while (queue) {
        struct pt_post *p = queue;
        queue = p->next; /* first: fn may free or post p again */
        p->fn(p);
    }
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */
static int start_waking(struct pt_loop *l)
{
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0)
        return -errno; /* as libuv names it */
    int rc = uv_poll_init(&l->uv, &l->wake, l->wake_fd);
    if (rc == 0)
        rc = uv_poll_start(&l->wake, UV_READABLE, on_wake);
    if (rc < 0)
        close(l->wake_fd);
    return rc;
}

int pt_loop_create(struct pt_loop **out, struct pt_err *err)
{
    struct pt_loop *l = pt_calloc(1, sizeof *l);
    if (!l)
        return pt_fail(err, PT_ENOMEM, "event loop: out of memory");
    l->sched.now_ms = sched_now;
    l->sched.wall_ms = sched_wall;
    l->sched.rearm = sched_rearm;
    int rc = uv_loop_init(&l->uv);
    if (rc == 0 && (rc = start_waking(l)) < 0)
        uv_loop_close(&l->uv);
    if (rc < 0) {
        pt_free(l);
        return pt_fail(err, pt_uv_code(rc), "event loop: %s", uv_strerror(rc));
    }
    uv_timer_init(&l->uv, &l->timer);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_prepare_start(&l->prepare, on_prepare);
    l->wake.data = l->timer.data = l->prepare.data = l;
    if (pt_sched_reserve(&l->sched, 64, err) < 0) {
        int code = err ? err->code : PT_ENOMEM;
        pt_loop_destroy(l);
        return code;
    }
    signal(SIGPIPE, SIG_IGN); /* libuv writes to sockets with write(2): a client that left must not end the process */
    *out = l;
    return PT_OK;
}

static void close_left(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void pt_loop_destroy(struct pt_loop *l)
{
    if (!l)
        return;
    while (uv_loop_close(&l->uv) == UV_EBUSY) {
        uv_walk(&l->uv, close_left, NULL);
        uv_run(&l->uv, UV_RUN_DEFAULT); /* close callbacks, and blocking work that is still under way */
    }
    close(l->wake_fd);
    pt_processes_finish(&l->processes);
    for (struct signal_watch *s = l->signals, *next; s; s = next) {
        next = s->next;
        pt_free(s);
    }
    pt_sched_finish(&l->sched);
    pt_free(l);
}

void pt_loop_run(struct pt_loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void pt_loop_stop(struct pt_loop *l)
{
    uv_stop(&l->uv);
}

/* --- signals --------------------------------------------------------------------------------------------------------------- */
static void on_signal(uv_signal_t *h, int signum)
{
    struct signal_watch *s = h->data;
    s->fn(s->arg, signum);
}

int pt_loop_on_signal(struct pt_loop *l, int signum, pt_signal_fn fn, void *arg, struct pt_err *err)
{
    struct signal_watch *s = pt_calloc(1, sizeof *s);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "watch signal %d: out of memory", signum);
    s->fn = fn;
    s->arg = arg;
    uv_signal_init(&l->uv, &s->handle);
    s->handle.data = s;
    s->next = l->signals; /* from here on the loop owns it, whether it starts or not */
    l->signals = s;
    int rc = uv_signal_start(&s->handle, on_signal, signum);
    return rc < 0 ? pt_fail(err, PT_EINVAL, "watch signal %d: %s", signum, uv_strerror(rc)) : PT_OK;
}

/* --- descriptors of others ---------------------------------------------------------------------------------------------------- */
struct pt_poll {
    uv_poll_t handle;
    int events;
    pt_poll_fn fn;
    void *arg;
};

static void poll_closed(uv_handle_t *h)
{
    pt_free(h->data);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct pt_poll *p = h->data;
    p->fn(p->arg, status < 0 ? 0 : events & (PT_READABLE | PT_WRITABLE));
    /* after an error libuv has stopped watching; the owner, who still wants its events, would wait for ever */
    if (status < 0 && p->events && !uv_is_closing((uv_handle_t *)h))
        uv_poll_start(h, p->events, on_poll);
}

int pt_poll_create(struct pt_loop *l, int fd, pt_poll_fn fn, void *arg, struct pt_poll **out, struct pt_err *err)
{
    struct pt_poll *p = pt_calloc(1, sizeof *p);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "watch descriptor %d: out of memory", fd);
    int rc = uv_poll_init(&l->uv, &p->handle, fd);
    if (rc < 0) {
        pt_free(p);
        return pt_fail(err, pt_uv_code(rc), "watch descriptor %d: %s", fd, uv_strerror(rc));
    }
    p->handle.data = p;
    p->fn = fn;
    p->arg = arg;
    *out = p;
    return PT_OK;
}

int pt_poll_set(struct pt_poll *p, int events)
{
    static_assert((int)PT_READABLE == (int)UV_READABLE && (int)PT_WRITABLE == (int)UV_WRITABLE, "the same bits");
    p->events = events;
    int rc = events ? uv_poll_start(&p->handle, events, on_poll) : uv_poll_stop(&p->handle);
    return rc < 0 ? pt_uv_code(rc) : PT_OK;
}

void pt_poll_destroy(struct pt_poll *p)
{
    if (!p)
        return;
    uv_poll_stop(&p->handle);
    uv_close((uv_handle_t *)&p->handle, poll_closed);
}

/* --- blocking work -------------------------------------------------------------------------------------------------------------- */
struct work_req {
    uv_work_t req;
    struct pt_work *work;
};

static void work_run(uv_work_t *req)
{
    struct pt_work *w = ((struct work_req *)req->data)->work;
    w->run(w);
}

static void work_done(uv_work_t *req, int status)
{
    (void)status; /* never cancelled */
    struct work_req *r = req->data;
    struct pt_work *w = r->work;
    pt_free(r);
    w->done(w);
}

int pt_loop_work(struct pt_loop *l, struct pt_work *w, struct pt_err *err)
{
    struct work_req *r = pt_calloc(1, sizeof *r);
    if (!r)
        return pt_fail(err, PT_ENOMEM, "start background work: out of memory");
    r->req.data = r;
    r->work = w;
    int rc = uv_queue_work(&l->uv, &r->req, work_run, work_done);
    if (rc < 0) {
        pt_free(r);
        return pt_fail(err, pt_uv_code(rc), "start background work: %s", uv_strerror(rc));
    }
    return PT_OK;
}
