/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics_impl.h: private to base/: what a registry is made of, shared by metrics.c (series and their values) and metrics_text.c (writing them).
 */
#ifndef PT_BASE_METRICS_IMPL_H
#define PT_BASE_METRICS_IMPL_H

#include "base/map.h"
#include "base/metrics.h"

#include <pthread.h>

enum { PT_COLLECTORS_MAX = 16, PT_TRACE_ID_BYTES = 16 };

/* The last traced observation of a bucket. */
struct pt_exemplar {
    uint8_t trace_id[PT_TRACE_ID_BYTES];
    double value;
    int64_t wall_ms; /* 0: none yet */
};

struct pt_metric {
    const struct pt_metric_family *family;
    struct pt_metric *next; /* in order of creation */
    uint64_t uses;
    char *labels;
    struct pt_exemplar *exemplars; /* one per bucket, made with the first traced observation; guarded by pt_exemplar_lock */
    _Atomic double value;          /* histogram: the sum */
    _Atomic uint64_t counts[];     /* histogram: per bucket, +Inf last */
};
extern pthread_mutex_t pt_exemplar_lock;

struct pt_metrics_family {
    const struct pt_metric_family *row;
    struct pt_map by_labels;
    struct pt_metric *first, **last;
    struct pt_metrics_family *next;
};

struct pt_metrics {
    pthread_mutex_t lock;
    struct pt_metrics_family *first, **last;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } collectors[PT_COLLECTORS_MAX];
    size_t collector_count;
    struct {
        struct pt_metric *cpu, *rss, *start, *fds;
    } process;
};

#endif
