/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h: counters, gauges and histograms, written as Prometheus text (exposition format 0.0.4) or as OpenMetrics 1.0.
 *
 * A family is a static table row of its owner (name, help, type, label names, buckets); a series is made once per label set
 * and then updated lock-free from any thread. A registry lists families in registration order.
 */
#ifndef PT_BASE_METRICS_H
#define PT_BASE_METRICS_H

#include "base/buf.h"

#include <stdatomic.h>

enum pt_metric_type { PT_COUNTER, PT_GAUGE, PT_HISTOGRAM };

struct pt_metric_family {
    const char *name, *help;
    enum pt_metric_type type;
    const char *labels;     /* comma-separated label names, "" for none */
    const double *bounds;   /* histogram: ascending upper bounds without +Inf */
    size_t bound_count;
};

struct pt_metric; /* one series */
struct pt_metrics;

struct pt_metrics *pt_metrics_create(void);
void pt_metrics_destroy(struct pt_metrics *m);
/* The series of this family with these label values (as many as the family has labels; then NULL); made on first use,
 * found afterwards (mutex: keep the pointer on hot paths). NULL only out of memory or past 10,000 series in a family. Each call is one use. */
struct pt_metric *pt_metrics_series(struct pt_metrics *m, const struct pt_metric_family *family, ...) __attribute__((sentinel));
/* Ends one use; the last one takes the series out of the registry and frees it. What is never removed lives as long as the registry. NULL is fine. */
void pt_metrics_remove(struct pt_metrics *m, struct pt_metric *s);
void pt_metric_add(struct pt_metric *s, double v);  /* counter, gauge; NULL series is ignored */
void pt_metric_set(struct pt_metric *s, double v);  /* gauge */
void pt_metric_observe(struct pt_metric *s, double v); /* histogram */
/* The same for a part of a trace: the last one of each bucket is written as its exemplar. NULL: of none. */
void pt_metric_observe_traced(struct pt_metric *s, double v, const uint8_t trace_id[16]);
double pt_metric_value(const struct pt_metric *s);  /* counter, gauge; histogram: sum */
/* Histogram snapshot: counts has bound_count + 1 places, not cumulative. */
void pt_metric_histogram(const struct pt_metric *s, uint64_t *counts, double *sum);
/* Called before each write, to fill gauges that are computed (memory, CPU). */
void pt_metrics_on_collect(struct pt_metrics *m, void (*fn)(void *arg), void *arg);

enum pt_metrics_format { PT_METRICS_TEXT, PT_METRICS_OPEN };
/* What a client prefers by its Accept header (p NULL: it has none); text where it takes neither or both alike. */
enum pt_metrics_format pt_metrics_choose(struct pt_str accept);
const char *pt_metrics_content_type(enum pt_metrics_format f);
void pt_metrics_write(struct pt_metrics *m, enum pt_metrics_format f, struct pt_buf *out);

/* process_cpu_seconds_total, process_resident_memory_bytes, process_start_time_seconds, process_open_fds. */
void pt_metrics_add_process(struct pt_metrics *m);
/* Resident bytes and CPU seconds of this process. */
void pt_process_usage(int64_t *rss_bytes, double *cpu_seconds);

#endif
