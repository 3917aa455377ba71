/* SPDX-License-Identifier: Apache-2.0
 *
 * process.c: child processes. Not uv_spawn(): that cannot ask for a parent-death signal, and it leaves descriptors that are not
 * close-on-exec open in the child.
 *
 * The child starts with default signal dispositions and an empty mask, in a process group of its own, with nothing open but 0, 1 and 2.
 * What fails between fork and exec comes back through a close-on-exec pipe as (step, errno), so that spawning a missing file is an error
 * of pt_process_spawn() and not an exit status. Only async-signal-safe calls are made in the child.
 *
 * Exits are noticed by SIGCHLD through the loop; each child that is ours is then asked with waitpid(WNOHANG). A pid stays ours until
 * that succeeds, so a signal can never reach a stranger.
 */
#include "base/mem.h"
#include "net/loop_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct pt_process {
    struct pt_process *next;
    int pid;
    bool exited, released;
    pt_exit_fn on_exit;
    void *arg;
};

static void reap(uv_signal_t *h, int signum)
{
    (void)signum;
    struct pt_processes *ps = h->data;
    /* a callback may spawn (goes to the front) or release (only marks those still in the list), so `link` stays valid */
    for (struct pt_process **link = &ps->first; *link;) {
        struct pt_process *p = *link;
        int status, pid = waitpid(p->pid, &status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno == EINTR)) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        p->exited = true;
        if (p->released)
            pt_free(p);
        else if (pid < 0) /* somebody else reaped it: all we know is that it is gone */
            p->on_exit(p->arg, -1, 0);
        else
            p->on_exit(p->arg, WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
}

static int watch_children(struct pt_loop *l, struct pt_err *err)
{
    struct pt_processes *ps = pt_loop_processes(l);
    if (ps->watching)
        return PT_OK;
    uv_signal_init(pt_loop_uv(l), &ps->sigchld);
    ps->sigchld.data = ps;
    ps->watching = true;
    int rc = uv_signal_start(&ps->sigchld, reap, SIGCHLD);
    return rc < 0 ? pt_fail(err, pt_uv_code(rc), "watch for child processes: %s", uv_strerror(rc)) : PT_OK;
}

void pt_processes_finish(struct pt_processes *ps)
{
    for (struct pt_process *p = ps->first, *next; p; p = next) {
        next = p->next;
        pt_free(p);
    }
}

/* --- the child's side ------------------------------------------------------------------------------------------------ */
enum step { STEP_GROUP, STEP_PARENT, STEP_STDIO, STEP_CWD, STEP_EXEC };
static const char *const step_text[] = {"make a process group", "follow the parent's death", "redirect standard output", "change directory",
                                        "execute"};

struct failure {
    int step, error;
};

struct launch {
    const struct pt_process_options *o;
    int in, out, err; /* all above 2 */
    int report;       /* write end of the failure pipe */
    int parent;
};

static void child_close_on_exec(void)
{
    if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) == 0)
        return;
    struct rlimit lim; /* before Linux 5.11 */
    int last = getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < 65536 ? (int)lim.rlim_cur : 65536;
    for (int fd = 3; fd < last; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void child_reset_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++)
        sigaction(s, &dfl, NULL); /* SIGKILL, SIGSTOP and the C library's own refuse */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns only the step that failed, with errno. */
static enum step child_exec(const struct launch *s)
{
    child_reset_signals();
    if (setpgid(0, 0) < 0)
        return STEP_GROUP;
    if (s->o->die_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            return STEP_PARENT;
        if (getppid() != s->parent)
            raise(SIGKILL); /* it died before the line above */
    }
    if (dup2(s->in, 0) < 0 || dup2(s->out, 1) < 0 || dup2(s->err, 2) < 0)
        return STEP_STDIO;
    child_close_on_exec();
    if (s->o->cwd && chdir(s->o->cwd) < 0)
        return STEP_CWD;
    /* execve() wants char *const *, for history's sake; it does not write */
    execve(s->o->file, (char *const *)(uintptr_t)s->o->argv, s->o->env ? (char *const *)(uintptr_t)s->o->env : environ);
    return STEP_EXEC;
}

/* --- the parent's side -------------------------------------------------------------------------------------------------- */
static int fork_child(const struct launch *s)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler of ours may run in the child */
    int pid = fork();
    if (pid == 0) {
        struct failure f = {.step = (int)child_exec(s)};
        f.error = errno;
        ssize_t ignored = write(s->report, &f, sizeof f);
        (void)ignored;
        _exit(127);
    }
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return pid;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define auto_fd pt_cleanup(close_fd) int

/* Runs fork and exec; the pid, or a code. */
static int launch(const struct pt_process_options *o, struct pt_err *err)
{
    auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
    auto_fd in = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, 3);
    auto_fd out = in < 0 ? -1 : fcntl(o->stdout_fd < 0 ? null : o->stdout_fd, F_DUPFD_CLOEXEC, 3);
    auto_fd errfd = out < 0 ? -1 : fcntl(o->stderr_fd < 0 ? null : o->stderr_fd, F_DUPFD_CLOEXEC, 3);
    if (errfd < 0)
        return pt_fail(err, PT_EIO, "start %s: prepare its standard output: %s", o->file, strerror(errno));
    int pipefd[2];
    if (pipe2(pipefd, O_CLOEXEC) < 0)
        return pt_fail(err, PT_EIO, "start %s: pipe: %s", o->file, strerror(errno));
    auto_fd report_read = pipefd[0];
    /* above 2 as well: the child's dup2() must not land on it */
    auto_fd report_write = fcntl(pipefd[1], F_DUPFD_CLOEXEC, 3);
    close(pipefd[1]);
    if (report_write < 0)
        return pt_fail(err, PT_EIO, "start %s: pipe: %s", o->file, strerror(errno));

    int pid = fork_child(&(struct launch){o, in, out, errfd, report_write, getpid()});
    if (pid < 0)
        return pt_fail(err, errno == ENOMEM ? PT_ENOMEM : PT_EUNAVAILABLE, "start %s: fork: %s", o->file, strerror(errno));
    close(report_write);
    report_write = -1;
    struct failure f;
    ssize_t n;
    do
        n = read(report_read, &f, sizeof f);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof f)
        return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return pt_fail(err, pt_uv_code(-f.error), "start %s%s%s: %s: %s", o->file, o->cwd ? " in " : "", o->cwd ? o->cwd : "", step_text[f.step],
                   strerror(f.error));
}

int pt_process_spawn(struct pt_loop *l, const struct pt_process_options *o, pt_exit_fn on_exit, void *arg, struct pt_process **out,
                     struct pt_err *err)
{
    if (watch_children(l, err) < 0)
        return pt_wrap(err, "start %s", o->file);
    struct pt_process *p = pt_calloc(1, sizeof *p);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "start %s: out of memory", o->file);
    int pid = launch(o, err);
    if (pid < 0) {
        pt_free(p);
        return pid;
    }
    p->pid = pid;
    p->on_exit = on_exit;
    p->arg = arg;
    struct pt_processes *ps = pt_loop_processes(l);
    p->next = ps->first;
    ps->first = p;
    *out = p;
    return PT_OK;
}

int pt_process_pid(const struct pt_process *p)
{
    return p->pid;
}

int pt_process_signal(struct pt_process *p, int signum)
{
    if (p->exited)
        return PT_ENOTFOUND;
    /* SIGKILL takes the whole group along: what it started cannot be told any more */
    return kill(signum == SIGKILL ? -p->pid : p->pid, signum) == 0 ? PT_OK : PT_EINVAL;
}

void pt_process_release(struct pt_process *p)
{
    if (!p)
        return;
    if (p->exited)
        pt_free(p);
    else
        p->released = true;
}
