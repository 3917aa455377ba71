/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.h: the event loop (libuv inside). One thread owns a loop and runs every callback of it; other threads may only
 * pt_loop_post(). Timers are base/sched.h timers on pt_loop_sched().
 */
#ifndef PT_NET_LOOP_H
#define PT_NET_LOOP_H

#include "base/sched.h"

struct pt_loop;

/* Also makes the process ignore SIGPIPE. */
int pt_loop_create(struct pt_loop **out, struct pt_err *err);
/* Stops every watcher left (their owners must be gone) and frees. */
void pt_loop_destroy(struct pt_loop *l);
/* Runs until pt_loop_stop(). */
void pt_loop_run(struct pt_loop *l);
void pt_loop_stop(struct pt_loop *l);          /* loop thread */
struct pt_sched *pt_loop_sched(struct pt_loop *l);
/* From any thread: fn(arg) runs on the loop thread soon, in order of posting. The node is the caller's memory and must live until fn
 * is called; posting a node that is already queued is a caller's bug. Never fails, never allocates. */
struct pt_post {
    void (*fn)(struct pt_post *p);
    struct pt_post *next;
};
void pt_loop_post(struct pt_loop *l, struct pt_post *p);

/* --- signals: each delivered on the loop thread ------------------------------------------------------------------ */
typedef void (*pt_signal_fn)(void *arg, int signum);
int pt_loop_on_signal(struct pt_loop *l, int signum, pt_signal_fn fn, void *arg, struct pt_err *err);

/* --- file descriptors of libraries that bring their own sockets (libcurl) ----------------------------------------- */
struct pt_poll;
enum { PT_READABLE = 1, PT_WRITABLE = 2 };
typedef void (*pt_poll_fn)(void *arg, int events); /* events 0: an error on the descriptor */
int pt_poll_create(struct pt_loop *l, int fd, pt_poll_fn fn, void *arg, struct pt_poll **out, struct pt_err *err);
int pt_poll_set(struct pt_poll *p, int events);    /* 0 pauses */
void pt_poll_destroy(struct pt_poll *p);           /* does not close fd; no callback after this returns */

/* --- blocking work on a small thread pool --------------------------------------------------------------------------- */
struct pt_work {
    void (*run)(struct pt_work *w);  /* on a pool thread */
    void (*done)(struct pt_work *w); /* on the loop thread, always exactly once */
};
int pt_loop_work(struct pt_loop *l, struct pt_work *w, struct pt_err *err); /* w lives until done */

/* --- child processes --------------------------------------------------------------------------------------------------- */
struct pt_process;
struct pt_process_options {
    const char *file;          /* executable path; no shell, no PATH search */
    const char *const *argv;   /* NULL-terminated, argv[0] included */
    const char *const *env;    /* NULL-terminated "K=V"; NULL inherits */
    const char *cwd;           /* NULL inherits */
    int stdout_fd, stderr_fd;  /* -1: /dev/null. stdin is always /dev/null */
    bool die_with_parent;      /* the child gets SIGKILL when this process (strictly: the loop's thread) dies, however it dies */
};
typedef void (*pt_exit_fn)(void *arg, int exit_status, int term_signal);
int pt_process_spawn(struct pt_loop *l, const struct pt_process_options *o, pt_exit_fn on_exit, void *arg, struct pt_process **out, struct pt_err *err);
int pt_process_pid(const struct pt_process *p);
/* To the process; SIGKILL goes to its whole process group. PT_ENOTFOUND once it has exited. */
int pt_process_signal(struct pt_process *p, int signum);
void pt_process_release(struct pt_process *p);           /* after on_exit; or before: then on_exit is not called, the child is reaped silently */

#endif
