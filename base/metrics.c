/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.c: a series lives as long as who made it says, so updates are plain atomics; the mutex guards the lists and the uses. A series keeps its
 * labels as the text that is written (`model="digits",code="200"`), which is also the key it is found by.
 *
 * Uses are counted because two owners may have the same labels: a version of a model and the one that replaces it under the same name.
 */
#include "base/metrics_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sched.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SERIES_MAX 10000
#define LABELS_MAX ((size_t)4096)

struct pt_metrics *pt_metrics_create(void)
{
    struct pt_metrics *m = pt_calloc(1, sizeof *m);
    if (m) {
        pthread_mutex_init(&m->lock, NULL);
        m->last = &m->first;
    }
    return m;
}

static void free_series(struct pt_metric *s)
{
    pt_free(s->labels);
    pt_free(s->exemplars);
    pt_free(s);
}

void pt_metrics_destroy(struct pt_metrics *m)
{
    if (!m)
        return;
    for (struct pt_metrics_family *f = m->first, *next_family; f; f = next_family) {
        next_family = f->next;
        for (struct pt_metric *s = f->first, *next; s; s = next) {
            next = s->next;
            free_series(s);
        }
        pt_map_finish(&f->by_labels);
        pt_free(f);
    }
    pthread_mutex_destroy(&m->lock);
    pt_free(m);
}

static struct pt_metrics_family *family_of(struct pt_metrics *m, const struct pt_metric_family *row)
{
    for (struct pt_metrics_family *f = m->first; f; f = f->next)
        if (f->row == row || strcmp(f->row->name, row->name) == 0)
            return f;
    struct pt_metrics_family *f = pt_calloc(1, sizeof *f);
    if (f) {
        f->row = row;
        f->last = &f->first;
        *m->last = f;
        m->last = &f->next;
    }
    return f;
}

/* Label values may be anything: quotes, backslashes and newlines are escaped, what is not UTF-8 is replaced. */
static void put_label(struct pt_buf *b, struct pt_str name, const char *value)
{
    pt_buf_printf(b, "%s" PT_STR_FMT "=\"", b->len ? "," : "", PT_STR_ARG(name));
    for (struct pt_str s = pt_str(value); s.len;) {
        size_t n = pt_utf8_sequence(s);
        if (n == 0)
            pt_buf_puts(b, "\xef\xbf\xbd");
        else if (*s.p == '\n')
            pt_buf_puts(b, "\\n");
        else {
            if (*s.p == '"' || *s.p == '\\')
                pt_buf_putc(b, '\\');
            pt_buf_append(b, s.p, n);
        }
        n += n == 0;
        s.p += n, s.len -= n;
    }
    pt_buf_putc(b, '"');
}

static struct pt_metric *add_series(struct pt_metrics_family *f, struct pt_buf *labels)
{
    size_t buckets = f->row->type == PT_HISTOGRAM ? f->row->bound_count + 1 : 0;
    if (f->by_labels.count >= SERIES_MAX)
        return NULL;
    struct pt_metric *s = pt_calloc(1, sizeof *s + buckets * sizeof *s->counts);
    char *text = pt_strdup(pt_buf_cstr(labels));
    if (!s || !text || pt_map_set(&f->by_labels, pt_str(text), s, NULL, NULL) < 0) {
        pt_free(s);
        pt_free(text);
        return NULL;
    }
    s->family = f->row;
    s->labels = text;
    *f->last = s;
    f->last = &s->next;
    return s;
}

struct pt_metric *pt_metrics_series(struct pt_metrics *m, const struct pt_metric_family *row, ...)
{
    pt_auto_buf labels = PT_BUF_INIT(LABELS_MAX);
    struct pt_str names = pt_str(row->labels), label;
    struct pt_metric *s = NULL;
    va_list values;
    va_start(values, row);
    for (const char *value; names.len && pt_str_split(&names, ',', &label) && (value = va_arg(values, const char *));)
        put_label(&labels, label, value);
    va_end(values);
    pt_buf_cstr(&labels);
    if (labels.failed)
        return NULL;
    pthread_mutex_lock(&m->lock);
    struct pt_metrics_family *f = family_of(m, row);
    if (f && !(s = pt_map_get(&f->by_labels, (struct pt_str){labels.data, labels.len})))
        s = add_series(f, &labels);
    if (s)
        s->uses++;
    pthread_mutex_unlock(&m->lock);
    return s;
}

static void take_out(struct pt_metrics_family *f, struct pt_metric *s)
{
    struct pt_metric **at = &f->first;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (f->last == &s->next)
        f->last = at;
    pt_map_remove(&f->by_labels, pt_str(s->labels));
    free_series(s);
}

void pt_metrics_remove(struct pt_metrics *m, struct pt_metric *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&m->lock);
    if (--s->uses == 0)
        take_out(family_of(m, s->family), s);
    pthread_mutex_unlock(&m->lock);
}

void pt_metric_add(struct pt_metric *s, double v)
{
    if (!s)
        return;
    double old = atomic_load_explicit(&s->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&s->value, &old, old + v, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void pt_metric_set(struct pt_metric *s, double v)
{
    if (s)
        atomic_store_explicit(&s->value, v, memory_order_relaxed);
}

/* The bucket of v. */
static size_t observe(struct pt_metric *s, double v)
{
    size_t i = 0;
    while (i < s->family->bound_count && v > s->family->bounds[i])
        i++;
    atomic_fetch_add_explicit(&s->counts[i], 1, memory_order_relaxed);
    pt_metric_add(s, v);
    return i;
}

void pt_metric_observe(struct pt_metric *s, double v)
{
    if (s && !isnan(v))
        (void)observe(s, v);
}

pthread_mutex_t pt_exemplar_lock = PTHREAD_MUTEX_INITIALIZER;

void pt_metric_observe_traced(struct pt_metric *s, double v, const uint8_t trace_id[PT_TRACE_ID_BYTES])
{
    if (!s || isnan(v))
        return;
    size_t i = observe(s, v);
    if (!trace_id)
        return;
    pthread_mutex_lock(&pt_exemplar_lock);
    if (!s->exemplars)
        s->exemplars = pt_calloc(s->family->bound_count + 1, sizeof *s->exemplars); /* without memory there is none */
    if (s->exemplars) {
        struct pt_exemplar *e = &s->exemplars[i];
        memcpy(e->trace_id, trace_id, sizeof e->trace_id);
        e->value = v;
        e->wall_ms = pt_clock_wall_ms();
    }
    pthread_mutex_unlock(&pt_exemplar_lock);
}

double pt_metric_value(const struct pt_metric *s)
{
    return s ? atomic_load_explicit(&s->value, memory_order_relaxed) : 0;
}

void pt_metric_histogram(const struct pt_metric *s, uint64_t *counts, double *sum)
{
    for (size_t i = 0; s && i <= s->family->bound_count; i++)
        counts[i] = atomic_load_explicit(&s->counts[i], memory_order_relaxed);
    *sum = pt_metric_value(s);
}

void pt_metrics_on_collect(struct pt_metrics *m, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&m->lock);
    bool room = m->collector_count < PT_COLLECTORS_MAX;
    if (room)
        m->collectors[m->collector_count++] = (__typeof__(m->collectors[0])){fn, arg};
    pthread_mutex_unlock(&m->lock);
    if (!room)
        pt_log(PT_LOG_ERROR, "too many metric collectors: one is left out", NULL);
}

/* --- the process ------------------------------------------------------------------------------------------------------------- */

static bool read_proc(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

void pt_process_usage(int64_t *rss_bytes, double *cpu_seconds)
{
    char text[256];
    long long pages = 0;
    struct timespec cpu = {0};
    if (read_proc("/proc/self/statm", text, sizeof text))
        sscanf(text, "%*s %lld", &pages);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    *rss_bytes = pages * sysconf(_SC_PAGESIZE);
    *cpu_seconds = (double)cpu.tv_sec + (double)cpu.tv_nsec * 1e-9;
}

/* Seconds since the epoch: field 22 of /proc/self/stat counts ticks since boot; the command name before may hold blanks and brackets. */
static double process_start(void)
{
    char text[1024];
    unsigned long long ticks;
    struct timespec boot;
    const char *p = read_proc("/proc/self/stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    if (!p || sscanf(p + 1, " %*c%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%llu", &ticks) != 1)
        return 0;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    double age = (double)boot.tv_sec + (double)boot.tv_nsec * 1e-9 - (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return (double)pt_clock_wall_ms() / 1000 - age;
}

static int open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = -3; /* ".", ".." and the one that reads */
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void collect_process(void *arg)
{
    struct pt_metrics *m = arg;
    int64_t rss;
    double cpu;
    pt_process_usage(&rss, &cpu);
    pt_metric_set(m->process.cpu, cpu);
    pt_metric_set(m->process.rss, (double)rss);
    pt_metric_set(m->process.fds, open_fds());
}

void pt_metrics_add_process(struct pt_metrics *m)
{
    static const struct pt_metric_family cpu = {"process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", PT_COUNTER, "", NULL, 0};
    static const struct pt_metric_family rss = {"process_resident_memory_bytes", "Resident memory size in bytes.", PT_GAUGE, "", NULL, 0};
    static const struct pt_metric_family start = {"process_start_time_seconds", "Start time of the process since unix epoch in seconds.", PT_GAUGE, "", NULL, 0};
    static const struct pt_metric_family fds = {"process_open_fds", "Number of open file descriptors.", PT_GAUGE, "", NULL, 0};
    m->process.cpu = pt_metrics_series(m, &cpu, NULL);
    m->process.rss = pt_metrics_series(m, &rss, NULL);
    m->process.start = pt_metrics_series(m, &start, NULL);
    m->process.fds = pt_metrics_series(m, &fds, NULL);
    pt_metric_set(m->process.start, process_start());
    pt_metrics_on_collect(m, collect_process, m);
}
