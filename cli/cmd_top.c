/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_top.c: pintle top: models at work, as a table that is drawn again and again. On a terminal it has a screen of its own, which is left as it was
 * found whatever ends it; elsewhere tables follow each other; --json is a line of JSON for each sample.
 */
#include "cli/commands.h"
#include "cli/kubeclient.h"
#include "cli/top_sample.h"

#include "base/mem.h"
#include "net/loop.h"
#include "operator/kube/client.h"
#include "operator/local/socket.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_MS = 1000, MAX_LINE = 400 };

static const char help[] =
    "usage: pintle top [-n NAMESPACE | -A] [--interval 2s] [--once] [--json] [--kubeconfig FILE] [--socket PATH]\n"
    "\n"
    "Shows what models do: replicas, requests a second, latency, requests in flight and queued, CPU and memory. Asks the cluster of --kubeconfig or "
    "KUBECONFIG,\n"
    "or else a running `pintle up`. Reads pods' metrics by way of the API server, so one needs the right to get pods/proxy. q ends it.\n"
    "\n"
    "  -n, --namespace NS     one namespace (default: all)\n"
    "      --interval D       between samples (default 2s)\n"
    "      --once             one table, of the second after the start, and the end\n"
    "      --json             a line of JSON for each sample\n"
    "      --kubeconfig FILE  of the cluster to ask\n"
    "      --socket PATH      of the `pintle up` to ask\n";

struct screen {
    const struct pt_cli_options *o;
    struct pt_loop *loop;
    struct pt_kube_client *client;
    struct pt_top *top;
    struct pt_timer next;
    struct pt_poll *keys;
    int64_t interval_ms;
    bool tty, raw;
    struct termios before;
    int samples;
    struct pt_err failure;
};

/* --- the terminal -------------------------------------------------------------------------------------------------------------- */

static void stop(struct screen *s)
{
    pt_loop_stop(s->loop);
}

static void on_signal(void *arg, int signum)
{
    (void)signum;
    stop(arg);
}

static void on_key(void *arg, int events)
{
    char c = 'q';
    if (!events || read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q')
        stop(arg);
}

static void enter_screen(struct screen *s)
{
    s->tty = isatty(STDOUT_FILENO) && !s->o->once && !s->o->json;
    if (!s->tty)
        return;
    fputs("\033[?1049h\033[?25l", stdout); /* another screen, no cursor */
    fflush(stdout);
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &s->before) != 0)
        return;
    struct termios raw = s->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    s->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    if (pt_poll_create(s->loop, STDIN_FILENO, on_key, s, &s->keys, NULL) == PT_OK)
        (void)pt_poll_set(s->keys, PT_READABLE);
}

static void leave_screen(struct screen *s)
{
    pt_poll_destroy(s->keys);
    if (s->raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
    if (s->tty)
        fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

/* --- text ------------------------------------------------------------------------------------------------------------------------ */

static void put_ms(double ms, char *out, size_t size)
{
    if (ms < 0)
        snprintf(out, size, "-");
    else
        snprintf(out, size, ms < 10 ? "%.2f" : ms < 100 ? "%.1f" : "%.0f", ms);
}

static void put_rate(const struct pt_top_model *m, double value, char *out, size_t size)
{
    if (!m->sampled)
        snprintf(out, size, "-");
    else
        snprintf(out, size, value < 100 ? "%.1f" : "%.0f", value);
}

static void put_bytes(double bytes, char *out, size_t size)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti"};
    size_t i = 0;
    for (; bytes >= 1024 && i < 4; i++)
        bytes /= 1024;
    snprintf(out, size, bytes < 10 && i ? "%.1f%s" : "%.0f%s", bytes, units[i]);
}

static void put_row(const struct pt_top_model *m, char line[MAX_LINE])
{
    char requests[24], errors[24], p50[24], p99[24], cpu[24], memory[24], replicas[32];
    put_rate(m, m->requests, requests, sizeof requests);
    put_rate(m, m->errors, errors, sizeof errors);
    put_ms(m->p50_ms, p50, sizeof p50);
    put_ms(m->p99_ms, p99, sizeof p99);
    put_bytes(m->memory, memory, sizeof memory);
    snprintf(cpu, sizeof cpu, m->sampled ? "%.0fm" : "-", m->cpu * 1000);
    snprintf(replicas, sizeof replicas, "%d/%d", m->ready, m->desired);
    snprintf(line, MAX_LINE, "%-15.15s %-24.24s %-11.11s %7s %7d %9s %8s %9s %9s %9.0f %6.0f %7s %8s", m->ns, m->name, *m->state ? m->state : "-",
             replicas, m->updated, requests, errors, p50, p99, m->in_flight, m->queued, cpu, memory);
}

static void draw(struct screen *s, const struct pt_top_model *models, size_t count)
{
    struct winsize w = {.ws_row = 0};
    char line[MAX_LINE], when[24];
    time_t now = time(NULL);
    struct tm tm;
    strftime(when, sizeof when, "%H:%M:%S", localtime_r(&now, &tm));
    if (s->tty && (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || !w.ws_row || !w.ws_col))
        w = (struct winsize){.ws_row = 24, .ws_col = 80};
    int width = s->tty ? w.ws_col : MAX_LINE;
    size_t rows = s->tty ? (w.ws_row > 4 ? (size_t)w.ws_row - 4 : 1) : count;
    const char *end = s->tty ? "\033[K\n" : "\n";
    if (s->tty)
        printf("\033[Hpintle top, %s, %zu model%s (q ends)%s%s", when, count, count == 1 ? "" : "s", end, end);
    snprintf(line, sizeof line, "%-15s %-24s %-11s %7s %7s %9s %8s %9s %9s %9s %6s %7s %8s", "NAMESPACE", "MODEL", "STATE", "READY", "UPDATED",
             "REQ/S", "ERR/S", "P50(ms)", "P99(ms)", "IN-FLIGHT", "QUEUED", "CPU", "MEMORY");
    printf("%s%.*s%s%s", s->tty ? "\033[7m" : "", width, line, s->tty ? "\033[0m" : "", end);
    for (size_t i = 0; i < count && i < rows; i++) {
        put_row(&models[i], line);
        printf("%.*s%s", width, line, end);
    }
    fputs(s->tty ? "\033[J" : s->o->once ? "" : "\n", stdout);
    fflush(stdout);
}

static void put_number(struct pt_buf *b, const char *name, double value, bool known)
{
    if (known)
        pt_buf_printf(b, ",\"%s\":%.6g", name, value);
    else
        pt_buf_printf(b, ",\"%s\":null", name);
}

static void print_json(const struct pt_top_model *models, size_t count)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    char when[24];
    pt_format_time(pt_clock_wall_ms(), when);
    pt_buf_printf(&b, "{\"time\":\"%s\",\"models\":[", when);
    for (size_t i = 0; i < count; i++) {
        const struct pt_top_model *m = &models[i];
        bool known = m->sampled > 0;
        pt_buf_printf(&b, "%s{\"namespace\":\"%s\",\"name\":\"%s\",\"state\":\"%s\",\"revision\":\"%s\",\"desired\":%d,\"ready\":%d,\"updated\":%d",
                      i ? "," : "", m->ns, m->name, m->state, m->revision, m->desired, m->ready, m->updated);
        put_number(&b, "requestsPerSecond", m->requests, known);
        put_number(&b, "errorsPerSecond", m->errors, known);
        put_number(&b, "p50Ms", m->p50_ms, m->p50_ms >= 0);
        put_number(&b, "p99Ms", m->p99_ms, m->p99_ms >= 0);
        put_number(&b, "inFlight", m->in_flight, true);
        put_number(&b, "queued", m->queued, true);
        put_number(&b, "cpu", m->cpu, known);
        put_number(&b, "memoryBytes", m->memory, true);
        pt_buf_putc(&b, '}');
    }
    pt_buf_puts(&b, "]}\n");
    fwrite(b.data, 1, b.len, stdout);
    fflush(stdout);
}

/* --- samples ------------------------------------------------------------------------------------------------------------------- */

static void sample(struct pt_timer *t)
{
    pt_top_sample(((struct screen *)(void *)((char *)t - offsetof(struct screen, next)))->top);
}

static void on_sample(void *arg, const struct pt_top_model *models, size_t count, const struct pt_err *err)
{
    struct screen *s = arg;
    bool first = s->samples++ == 0;
    if (err && (first || s->o->once)) {
        s->failure = *err;
        stop(s);
        return;
    }
    if (err && s->tty)
        printf("\033[H\033[K%.200s\n", err->msg);
    else if (err)
        fprintf(stderr, "%s\n", err->msg);
    else if (s->o->json && (!first || !s->o->once))
        print_json(models, count);
    else if (!s->o->json && (!first || s->tty))
        draw(s, models, count);
    fflush(stdout);
    if (s->o->once && !first)
        stop(s);
    else
        pt_timer_start(pt_loop_sched(s->loop), &s->next, first && s->interval_ms > FIRST_MS ? FIRST_MS : s->interval_ms, sample);
}

/* A cluster's kubeconfig, or that of the `pintle up` at the socket. */
static int load_config(const struct pt_cli_options *o, struct pt_kube_config *config, struct pt_err *err)
{
    char socket[108], path[160];
    const char *given = o->kubeconfig ? o->kubeconfig : o->socket_path || getenv("PINTLE_SOCKET") ? NULL : getenv("KUBECONFIG");
    if (given && *given)
        return pt_kube_config_load(given, NULL, config, err);
    int rc = pt_local_socket_path(o->socket_path, socket, sizeof socket, err);
    if (rc < 0)
        return rc;
    size_t n = strlen(socket);
    n -= n > 5 && strcmp(socket + n - 5, ".sock") == 0 ? 5 : 0;
    snprintf(path, sizeof path, "%.*s.kubeconfig", (int)n, socket);
    if (access(path, R_OK) != 0)
        return pt_fail(err, PT_EUNAVAILABLE, "no KUBECONFIG, and no `pintle up` with a kubeconfig at %s (choose with --kubeconfig or --socket)",
                       path);
    return pt_kube_config_load(path, NULL, config, err);
}

static int run(struct screen *s, struct pt_err *err)
{
    struct pt_kube_config config = {0};
    int rc = load_config(s->o, &config, err);
    if (rc == PT_OK)
        rc = pt_loop_create(&s->loop, err);
    if (rc == PT_OK)
        rc = pt_kube_client_create(s->loop, &config, NULL, &s->client, err);
    struct pt_top_options top = {
        .sched = s->loop ? pt_loop_sched(s->loop) : NULL, .ns = s->o->all_namespaces ? NULL : s->o->ns, .done = on_sample, .arg = s};
    if (rc == PT_OK) {
        top.api = pt_kube_client_api(s->client);
        rc = pt_top_create(&top, &s->top, err);
    }
    if (rc == PT_OK)
        rc = pt_loop_on_signal(s->loop, SIGINT, on_signal, s, err);
    if (rc == PT_OK)
        rc = pt_loop_on_signal(s->loop, SIGTERM, on_signal, s, err);
    if (rc == PT_OK) {
        enter_screen(s);
        pt_timer_start(pt_loop_sched(s->loop), &s->next, 0, sample);
        pt_loop_run(s->loop);
        leave_screen(s);
    }
    if (rc == PT_OK && s->failure.code) {
        *err = s->failure;
        rc = err->code;
    }
    pt_kube_config_finish(&config);
    pt_top_destroy(s->top);
    if (s->loop)
        pt_timer_stop(pt_loop_sched(s->loop), &s->next);
    pt_kube_client_destroy(s->client);
    if (s->loop)
        pt_loop_destroy(s->loop);
    return rc;
}

int pt_cmd_top(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    struct screen s = {.o = &o, .interval_ms = 2000};
    int rc = pt_cli_parse(argc, argv, "AI1j", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    bool named = false; /* -n is for one namespace: all where it is not given */
    for (int i = 1; i < argc; i++)
        named |= strncmp(argv[i], "-n", 2) == 0 || strncmp(argv[i], "--namespace", 11) == 0;
    o.all_namespaces |= !named;
    if (rc == PT_OK && o.arg_count)
        rc = pt_fail(&err, PT_EINVAL, "unexpected argument \"%s\"", o.args[0]);
    if (rc == PT_OK && o.interval)
        rc = pt_parse_duration_ms(pt_str(o.interval), "--interval", &s.interval_ms, &err);
    if (rc == PT_OK && s.interval_ms < 100)
        rc = pt_fail(&err, PT_EINVAL, "--interval %s: at least 100ms", o.interval);
    if (rc == PT_OK)
        rc = run(&s, &err);
    return rc < 0 ? pt_cli_exit(&err) : pt_cmd_finish();
}
