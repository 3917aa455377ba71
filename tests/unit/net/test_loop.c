/* SPDX-License-Identifier: Apache-2.0
 *
 * test_loop.c: timers, posts from many threads, signals, descriptors, background work and child processes on a real loop.
 */
#include "base/mem.h"
#include "net/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct pt_loop *loop;
static struct pt_err err;

static int setup(void **state)
{
    (void)state;
    return pt_loop_create(&loop, &err);
}

static int teardown(void **state)
{
    (void)state;
    pt_loop_destroy(loop);
    return 0;
}

/* Ends a test that would hang; the owner of the timer never fires it otherwise. */
static struct pt_timer guard;
static void on_guard(struct pt_timer *t)
{
    (void)t;
    fail_msg("the test took too long");
}

static void run(void)
{
    pt_timer_start(pt_loop_sched(loop), &guard, 20000, on_guard);
    pt_loop_run(loop);
    pt_timer_stop(pt_loop_sched(loop), &guard);
}

/* --- timers ------------------------------------------------------------------------------------------------------------ */
static struct pt_timer timers[3];
static int order[3], fired;
static int64_t started_ms;

static void on_timer(struct pt_timer *t)
{
    order[fired++] = (int)(t - timers);
    if (fired == 3)
        pt_loop_stop(loop);
}

static void timers_fire_in_order_and_not_early(void **state)
{
    (void)state;
    struct pt_sched *s = pt_loop_sched(loop);
    fired = 0;
    started_ms = pt_now_ms(s);
    pt_timer_start(s, &timers[0], 60, on_timer);
    pt_timer_start(s, &timers[1], 30, on_timer);
    pt_timer_start(s, &timers[2], 0, on_timer);
    assert_int_equal(fired, 0); /* never inside the call */
    run();
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 1);
    assert_int_equal(order[2], 0);
    assert_true(pt_now_ms(s) - started_ms >= 60);
}

static void on_slow_timer(struct pt_timer *t)
{
    (void)t;
    usleep(80000); /* the loop's own idea of time is old now */
    started_ms = pt_now_ms(pt_loop_sched(loop));
    fired = 2;
    pt_timer_start(pt_loop_sched(loop), &timers[1], 40, on_timer);
}

static void timers_count_from_now_after_a_long_callback(void **state)
{
    (void)state;
    pt_timer_start(pt_loop_sched(loop), &timers[0], 0, on_slow_timer);
    run();
    assert_true(pt_now_ms(pt_loop_sched(loop)) - started_ms >= 40);
}

static void a_stopped_timer_does_not_fire(void **state)
{
    (void)state;
    struct pt_sched *s = pt_loop_sched(loop);
    fired = 2;
    pt_timer_start(s, &timers[0], 5, on_slow_timer);
    pt_timer_start(s, &timers[1], 30, on_timer);
    pt_timer_stop(s, &timers[0]);
    run();
    assert_int_equal(order[2], 1);
}

/* --- posts -------------------------------------------------------------------------------------------------------------- */
enum { THREADS = 4, POSTS = 5000 };
struct numbered {
    struct pt_post post;
    int thread, number;
};
static struct numbered posts[THREADS][POSTS];
static int next_number[THREADS], posts_seen;
static bool out_of_order;

static void on_post(struct pt_post *p)
{
    const struct numbered *n = (struct numbered *)p;
    out_of_order |= n->number != next_number[n->thread]++;
    if (++posts_seen == THREADS * POSTS)
        pt_loop_stop(loop);
}

static void *poster(void *arg)
{
    struct numbered *mine = arg;
    for (int i = 0; i < POSTS; i++)
        pt_loop_post(loop, &mine[i].post);
    return NULL;
}

static void posts_of_many_threads_arrive_once_and_in_order(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    posts_seen = 0;
    memset(next_number, 0, sizeof next_number);
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < POSTS; i++)
            posts[t][i] = (struct numbered){.post.fn = on_post, .thread = t, .number = i};
        assert_int_equal(pthread_create(&threads[t], NULL, poster, posts[t]), 0);
    }
    run();
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(posts_seen, THREADS * POSTS);
    assert_false(out_of_order);
}

static int reposts;
static void on_repost(struct pt_post *p)
{
    if (++reposts == 3)
        pt_loop_stop(loop);
    else
        pt_loop_post(loop, p);
}

static void a_post_may_be_posted_again_from_itself(void **state)
{
    (void)state;
    struct pt_post p = {.fn = on_repost};
    reposts = 0;
    pt_loop_post(loop, &p);
    run();
    assert_int_equal(reposts, 3);
}

/* --- signals, descriptors, work ------------------------------------------------------------------------------------------- */
static void on_signal(void *arg, int signum)
{
    *(int *)arg = signum;
    pt_loop_stop(loop);
}

static void a_signal_arrives_on_the_loop(void **state)
{
    (void)state;
    int got = 0;
    assert_int_equal(pt_loop_on_signal(loop, SIGUSR1, on_signal, &got, &err), PT_OK);
    kill(getpid(), SIGUSR1);
    run();
    assert_int_equal(got, SIGUSR1);
    assert_int_equal(pt_loop_on_signal(loop, SIGKILL, on_signal, &got, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "9"));
}

static int poll_events;
static void on_poll(void *arg, int events)
{
    (void)arg;
    poll_events |= events;
    pt_loop_stop(loop);
}

static void a_descriptor_is_watched(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct pt_poll *p;
    assert_int_equal(pt_poll_create(loop, fds[0], on_poll, NULL, &p, &err), PT_OK);
    assert_int_equal(pt_poll_set(p, PT_READABLE), PT_OK);
    poll_events = 0;
    assert_int_equal(write(fds[1], "x", 1), 1);
    run();
    assert_int_equal(poll_events, PT_READABLE);
    assert_int_equal(pt_poll_set(p, 0), PT_OK);
    pt_poll_destroy(p);
    pt_poll_destroy(NULL);
    close(fds[0]);
    close(fds[1]);
    assert_int_not_equal(pt_poll_create(loop, fds[0], on_poll, NULL, &p, &err), PT_OK); /* closed */
}

struct job {
    struct pt_work work;
    pthread_t ran_on;
    int done;
};
static void job_run(struct pt_work *w)
{
    ((struct job *)w)->ran_on = pthread_self();
}
static void job_done(struct pt_work *w)
{
    ((struct job *)w)->done++;
    pt_loop_stop(loop);
}

static void work_runs_elsewhere_and_is_done_here(void **state)
{
    (void)state;
    struct job j = {.work = {job_run, job_done}};
    assert_int_equal(pt_loop_work(loop, &j.work, &err), PT_OK);
    assert_int_equal(j.done, 0);
    run();
    assert_int_equal(j.done, 1);
    assert_false(pthread_equal(j.ran_on, pthread_self()));
}

static void work_under_way_is_done_when_the_loop_is_destroyed(void **state)
{
    (void)state;
    struct job j = {.work = {job_run, job_done}};
    assert_int_equal(pt_loop_work(loop, &j.work, &err), PT_OK);
    pt_loop_destroy(loop);
    assert_int_equal(j.done, 1);
    assert_int_equal(pt_loop_create(&loop, &err), PT_OK);
}

/* --- processes ---------------------------------------------------------------------------------------------------------------- */
struct child {
    struct pt_process *process;
    int exits, status, signal;
};
static void on_exit_stop(void *arg, int exit_status, int term_signal)
{
    struct child *c = arg;
    c->exits++;
    c->status = exit_status;
    c->signal = term_signal;
    pt_loop_stop(loop);
}

static int spawn(struct child *c, const char *script, struct pt_process_options o)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    *c = (struct child){0};
    o.file = "/bin/sh";
    o.argv = argv;
    return pt_process_spawn(loop, &o, on_exit_stop, c, &c->process, &err);
}
static const struct pt_process_options quiet = {.stdout_fd = -1, .stderr_fd = -1};

static void a_child_exits_with_its_status(void **state)
{
    (void)state;
    struct child c;
    assert_int_equal(spawn(&c, "exit 7", quiet), PT_OK);
    assert_int_equal(c.exits, 0);
    run();
    assert_int_equal(c.exits, 1);
    assert_int_equal(c.status, 7);
    assert_int_equal(c.signal, 0);
    assert_int_equal(pt_process_signal(c.process, SIGTERM), PT_ENOTFOUND);
    pt_process_release(c.process);
    pt_process_release(NULL);
}

static void a_child_is_signalled(void **state)
{
    (void)state;
    struct child c;
    assert_int_equal(spawn(&c, "sleep 30 & wait", quiet), PT_OK);
    int pid = pt_process_pid(c.process);
    assert_int_equal(getpgid(pid), pid);
    assert_int_equal(pt_process_signal(c.process, SIGKILL), PT_OK);
    run();
    assert_int_equal(c.signal, SIGKILL);
    /* the sleep belonged to the group and is gone, or a zombie that init has not collected yet */
    for (int i = 0; i < 100 && kill(-pid, 0) == 0; i++)
        usleep(10000);
    pt_process_release(c.process);
}

static void many_children_exit_at_once(void **state)
{
    (void)state;
    enum { N = 20 };
    struct child c[N];
    for (int i = 0; i < N; i++) {
        char script[32];
        snprintf(script, sizeof script, "exit %d", i);
        assert_int_equal(spawn(&c[i], script, quiet), PT_OK);
    }
    for (int left = N; left > 0;) {
        run();
        left = N;
        for (int i = 0; i < N; i++)
            left -= c[i].exits;
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(c[i].exits, 1);
        assert_int_equal(c[i].status, i);
        pt_process_release(c[i].process);
    }
}

/* Reads what the child wrote, up to its end. */
static void output_of(const char *script, struct pt_process_options o, char *out, size_t size)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    o.stdout_fd = fds[1];
    o.stderr_fd = -1;
    struct child c;
    assert_int_equal(spawn(&c, script, o), PT_OK);
    close(fds[1]);
    run();
    assert_int_equal(c.status, 0);
    size_t len = 0;
    for (ssize_t n; (n = read(fds[0], out + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    out[len] = 0;
    close(fds[0]);
    pt_process_release(c.process);
}

static void a_child_inherits_only_what_it_should(void **state)
{
    (void)state;
    char out[512];
    int leak = open("/dev/null", O_RDONLY); /* without close-on-exec */
    assert_true(leak > 2);
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, NULL);
    output_of("ls /proc/self/fd | wc -l; readlink /proc/self/fd/0; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2",
              (struct pt_process_options){0}, out, sizeof out);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    close(leak);
    /* 0, 1, 2 and the directory that ls itself reads; no signal blocked, none ignored although we ignore SIGPIPE */
    assert_string_equal(out, "4\n/dev/null\n0000000000000000\n0000000000000000\n");
}

static void a_child_gets_directory_and_environment(void **state)
{
    (void)state;
    char out[256];
    const char *env[] = {"PINTLE_TEST=yes", NULL};
    output_of("pwd; echo $PINTLE_TEST; echo $HOME", (struct pt_process_options){.cwd = "/usr", .env = env}, out, sizeof out);
    assert_string_equal(out, "/usr\nyes\n\n");
}

static void swapped_output_descriptors_do_not_clash(void **state)
{
    (void)state;
    int fds[2], save1 = dup(1), save2 = dup(2);
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], 2); /* the child's stdout is our 2 and its stderr our 1 */
    struct child c;
    int rc = spawn(&c, "echo out; echo err >&2", (struct pt_process_options){.stdout_fd = 2, .stderr_fd = 1});
    dup2(save2, 2);
    dup2(save1, 1);
    close(fds[1]);
    assert_int_equal(rc, PT_OK);
    run();
    char out[16] = {0};
    assert_int_equal(read(fds[0], out, sizeof out - 1), 4);
    assert_string_equal(out, "out\n");
    close(fds[0]);
    close(save1);
    close(save2);
    pt_process_release(c.process);
}

static void what_cannot_be_started_is_an_error_with_its_name(void **state)
{
    (void)state;
    struct pt_process *p;
    const char *argv[] = {"x", NULL};
    struct pt_process_options o = {.file = "/nonexistent/program", .argv = argv, .stdout_fd = -1, .stderr_fd = -1};
    assert_int_equal(pt_process_spawn(loop, &o, on_exit_stop, NULL, &p, &err), PT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/program"));
    o.file = "/etc/passwd";
    assert_int_equal(pt_process_spawn(loop, &o, on_exit_stop, NULL, &p, &err), PT_EDENIED);
    o.file = "/bin/true";
    o.cwd = "/nonexistent/dir";
    assert_int_equal(pt_process_spawn(loop, &o, on_exit_stop, NULL, &p, &err), PT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/dir"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
}

static void a_released_child_is_reaped_silently(void **state)
{
    (void)state;
    struct child c, last;
    assert_int_equal(spawn(&c, "exit 0", quiet), PT_OK);
    int pid = pt_process_pid(c.process);
    pt_process_release(c.process);
    usleep(50000);
    assert_int_equal(spawn(&last, "exit 0", quiet), PT_OK);
    run();
    assert_int_equal(c.exits, 0);
    assert_int_equal(kill(pid, 0), -1);
    pt_process_release(last.process);
}

/* A process of its own spawns the grandchild, tells its pid and is killed: the grandchild must follow. */
static void a_child_dies_with_its_parent(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct pt_loop *l;
        struct pt_process *p;
        const char *argv[] = {"sleep", "60", NULL};
        struct pt_process_options o = {.file = "/bin/sleep", .argv = argv, .stdout_fd = -1, .stderr_fd = -1, .die_with_parent = true};
        if (pt_loop_create(&l, &err) < 0 || pt_process_spawn(l, &o, on_exit_stop, NULL, &p, &err) < 0)
            _exit(1);
        int pid = pt_process_pid(p);
        if (write(fds[1], &pid, sizeof pid) != sizeof pid)
            _exit(1);
        pause();
        _exit(1);
    }
    int pid = 0;
    assert_int_equal(read(fds[0], &pid, sizeof pid), sizeof pid);
    assert_int_equal(kill(pid, 0), 0);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    char path[64], state_line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    bool gone = false;
    for (int i = 0; i < 200 && !gone; i++) {
        FILE *f = fopen(path, "r");
        gone = !f || !fgets(state_line, sizeof state_line, f) || strstr(state_line, ") Z") != NULL;
        if (f)
            fclose(f);
        usleep(10000);
    }
    assert_true(gone);
    close(fds[0]);
    close(fds[1]);
}

/* --- out of memory ------------------------------------------------------------------------------------------------------------------ */
static void creation_survives_every_failed_allocation(void **state)
{
    (void)state;
    int failures = 0;
    for (int n = 1; n < 20; n++) {
        struct pt_loop *l = NULL;
        pt_mem_fail_at(n, 0);
        int rc = pt_loop_create(&l, &err);
        pt_mem_fail_at(0, 0);
        if (rc == PT_OK) {
            pt_loop_destroy(l);
            break;
        }
        assert_int_equal(rc, PT_ENOMEM);
        failures++;
    }
    assert_true(failures >= 2);
    struct child c;
    pt_mem_fail_at(1, 0);
    assert_int_equal(spawn(&c, "exit 0", quiet), PT_ENOMEM);
    pt_mem_fail_at(0, 0);
    struct pt_poll *p;
    pt_mem_fail_at(1, 0);
    assert_int_equal(pt_poll_create(loop, 0, on_poll, NULL, &p, &err), PT_ENOMEM);
    pt_mem_fail_at(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order_and_not_early, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_count_from_now_after_a_long_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stopped_timer_does_not_fire, setup, teardown),
        cmocka_unit_test_setup_teardown(posts_of_many_threads_arrive_once_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_post_may_be_posted_again_from_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_arrives_on_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_descriptor_is_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(work_runs_elsewhere_and_is_done_here, setup, teardown),
        cmocka_unit_test_setup_teardown(work_under_way_is_done_when_the_loop_is_destroyed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_exits_with_its_status, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_is_signalled, setup, teardown),
        cmocka_unit_test_setup_teardown(many_children_exit_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_inherits_only_what_it_should, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_gets_directory_and_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(swapped_output_descriptors_do_not_clash, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_started_is_an_error_with_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_released_child_is_reaped_silently, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_dies_with_its_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(creation_survives_every_failed_allocation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
