/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_impl.h: private to monitor*.c: what a monitor is made of.
 */
#ifndef PT_SIDECAR_MONITOR_IMPL_H
#define PT_SIDECAR_MONITOR_IMPL_H

#include "base/rand.h"
#include "sidecar/monitor.h"
#include "sidecar/monitor_stats.h"

#include <pthread.h>

enum {
    PT_MON_PANES = 12,
    PT_MON_COLUMNS = 128, /* that are watched one by one */
    PT_MON_WIDE = 64,     /* a tensor with more columns is watched as one distribution */
    PT_MON_CLASSES = 64,
    PT_MON_GROUPS = 16, /* the last one is for all others */
    PT_MON_ROWS = 64,   /* of one request */
    PT_MON_UNSURE = 16, /* rows kept for labelling */
    PT_MON_NAME = 80,
    PT_MON_PROFILE = 1000, /* values of a column */
    PT_MON_SAMPLE_BYTES = 3 << 19,
    PT_MON_LABELLED_BYTES = 400 << 10,
    PT_MON_RING_BYTES = 768 << 10,
    PT_MON_SAMPLE_ROWS = 256
};
#define PT_MON_NONE UINT32_MAX

enum pt_mon_task { PT_MON_AUTO, PT_MON_CLASSIFICATION, PT_MON_REGRESSION, PT_MON_NO_TASK };

/* A column of a tensor, or a whole one that has too many. */
struct pt_mon_column {
    char name[PT_MON_NAME]; /* "x", "x[3]" */
    bool output, categorical;
    size_t tensor;
    int64_t element; /* -1: any */
};

/* The same column in the reference. */
struct pt_mon_reference {
    char name[PT_MON_NAME];
    bool categorical;
    double count, missing, min, max;
    float *values; /* ascending */
    size_t kept;
};

struct pt_mon_group {
    uint64_t rows, chosen; /* chosen: answered with the positive class */
    uint64_t labelled, right;
    uint64_t positives, true_positives, negatives, false_positives;
};

struct pt_mon_pane {
    int64_t number; /* time / length; what is of another number is empty */
    uint64_t rows, kept;
    float *sample; /* sample_rows * column_count; NULL until needed */
    uint64_t scored, unsure;
    double entropy, margin;
    struct pt_mon_group groups[PT_MON_GROUPS];
    uint64_t labelled, labelled_kept;
    float *labelled_sample; /* labelled_rows * (class_count + 1): the label, then probabilities */
    uint32_t *confusion;    /* [label][answer] */
    double log_loss;
    struct pt_calibration calibration;
    struct pt_errors errors; /* of regression */
};

/* An answer that a label may still come for. */
struct pt_mon_record {
    uint64_t id;
    int64_t at_ms; /* -1: empty */
    uint32_t next; /* with the same hash */
    uint8_t group;
    bool labelled;
    float scores[]; /* probabilities, or the one value */
};

struct pt_mon_unsure {
    char id[64];
    int64_t at_ms;
    float confidence;
    int answer;
    float *values; /* of the input's columns */
};

struct pt_mon_figure {
    const struct pt_metric_family *family;
    char label[PT_MON_NAME];
    double value;
    struct pt_metric *series;
};

struct pt_monitor {
    struct pt_config copy, *config; /* config: the copy */
    struct pt_metrics *registry;
    int refs; /* the loop thread's */
    pthread_mutex_t lock;
    /* guarded by lock */
    struct pt_rand rand;
    bool laid_out;
    struct pt_mon_column *columns;
    size_t column_count, input_columns;
    size_t sample_rows, labelled_rows;
    enum pt_mon_task task;
    size_t scores; /* the output */
    size_t class_count;
    struct pt_mon_pane panes[PT_MON_PANES];
    char *ring; /* records, and their index */
    size_t record_bytes;
    uint32_t record_count, record_next, *heads, head_mask;
    char groups[PT_MON_GROUPS][PT_MON_NAME];
    size_t group_count;
    struct pt_mon_unsure unsure[PT_MON_UNSURE];
    bool logits; /* of models with one score a row: it is no probability (monitor_stats.h) */
    uint64_t unsure_seen;
    struct pt_feedback_result feedback; /* since the start */
    uint64_t changes, reported_changes;
    int64_t reported_ms;
    bool reporting;
    /* set at the start */
    struct pt_mon_reference *references;
    size_t reference_count;
    char (*classes)[PT_MON_NAME];
    size_t named_classes;
    /* of the last report; guarded by lock */
    struct pt_mon_figure *figures;
    size_t figure_count;
    /* the loop thread's */
    struct pt_mon_figure *shown;
    size_t shown_count;
};

static inline struct pt_mon_record *pt_mon_record(const struct pt_monitor *m, uint32_t i)
{
    return (struct pt_mon_record *)(void *)(m->ring + (size_t)i * m->record_bytes);
}
static inline int64_t pt_mon_pane_ms(const struct pt_monitor *m)
{
    int64_t ms = m->config->monitoring.window_ms / PT_MON_PANES;
    return ms > 0 ? ms : 1;
}
/* Is the pane in the window at this time? */
static inline bool pt_mon_in_window(const struct pt_monitor *m, const struct pt_mon_pane *p, int64_t now_ms)
{
    return p->number > now_ms / pt_mon_pane_ms(m) - PT_MON_PANES && p->number >= 0;
}
/* monitor.c; all with the lock. The pane of now, emptied if it was of another time. */
struct pt_mon_pane *pt_mon_pane(struct pt_monitor *m, int64_t now_ms);
/* The place of one more row in a sample of so many, or SIZE_MAX; `before` came before it. */
size_t pt_mon_place(struct pt_monitor *m, uint64_t before, size_t room, uint64_t *kept);
size_t pt_mon_best(const float *p, size_t n);
/* Of an answer: id as the client wrote it, without quotes. */
uint64_t pt_mon_key(struct pt_str id, int64_t row);
uint32_t *pt_mon_head(struct pt_monitor *m, uint64_t key);

/* A JSON number: null for what is none; counts without a fraction. */
void pt_mon_put_number(struct pt_buf *b, double v);

/* monitor_profile.c */
int pt_mon_parse_profile(struct pt_monitor *m, struct pt_str text, struct pt_err *err);
int pt_mon_read_profile(struct pt_monitor *m, const char *path, struct pt_err *err);
void pt_mon_free_profile(struct pt_monitor *m);
const struct pt_mon_reference *pt_mon_reference(const struct pt_monitor *m, const char *name);
/* The values of a column in the window with their weights, unsorted, missing ones left out; *missing is their weight. Takes the lock. NULL: out of
 * memory. */
struct pt_point *pt_mon_values(struct pt_monitor *m, size_t column, int64_t now_ms, size_t *count, double *missing);

#endif
