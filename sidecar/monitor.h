/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor.h: whether a version of a model still does well: what it is given and answers, against a reference (drift), how sure it is (ambiguity), how
 * right it is by labels that come later (feedback), and whether it treats groups alike (bias). docs/monitoring.md says what each figure means.
 *
 * Everything is kept in a window that slides by panes, in bounded memory (under 4 MiB): sums, and a random sample of rows of each pane. Figures made
 * of sums are exact; those made of samples are exact as long as a pane had no more rows than its sample has room for. Panes add up, so do samples by
 * the number of rows that they stand for.
 *
 * Observing takes a lock for a microsecond on whichever thread ran the model. The report takes longer (it sorts samples): for a thread of the pool.
 */
#ifndef PT_SIDECAR_MONITOR_H
#define PT_SIDECAR_MONITOR_H

#include "base/contract.h"
#include "base/metrics.h"
#include "sidecar/config.h"
#include "sidecar/request.h"

struct pt_monitor;

/* config is that of the version: its name, and what monitoring says; it is copied. PT_EPARSE, PT_EINVAL: of the profile, which is read here. */
int pt_monitor_create(const struct pt_config *config, struct pt_metrics *registry, uint64_t seed, struct pt_monitor **out, struct pt_err *err);
struct pt_monitor *pt_monitor_ref(struct pt_monitor *m);
void pt_monitor_unref(struct pt_monitor *m); /* the last one frees it: on the loop thread; NULL is fine */

/* A request was answered with these outputs, all of the model's. Any thread. */
void pt_monitor_observe(struct pt_monitor *m, const struct pt_request *q, const struct pt_tensor *const *outputs, int64_t now_ms);

struct pt_feedback_result {
    size_t accepted, unknown, expired, repeated;
};
/* Labels of answers: {"id": "r1", "label": 3}, "labels": [3, 1] for one with several rows, or {"feedback": [...]} of these. What cannot be read is
 * PT_EPARSE or PT_EINVAL; labels before it count. Any thread. */
int pt_monitor_feedback(struct pt_monitor *m, struct pt_str body, int64_t now_ms, struct pt_feedback_result *r, struct pt_err *err);

/* All figures as JSON; also becomes what collect shows. Any thread. */
int pt_monitor_report(struct pt_monitor *m, int64_t now_ms, struct pt_buf *out, struct pt_err *err);
/* Is it time for a report of its own accord: there is news, and none is being made? Then the caller makes one, or gives up. Loop thread. */
bool pt_monitor_begin_report(struct pt_monitor *m, int64_t now_ms);
void pt_monitor_give_up_report(struct pt_monitor *m);
/* The figures of the last report into the registry. Loop thread. */
void pt_monitor_collect(struct pt_monitor *m);
/* Those that a model is judged by, as pt_monitor_collect() has shown them last; NaN: not known. Loop thread. */
struct pt_monitor_figures {
    double rows, labelled, values[PT_FIGURE_COUNT];
};
void pt_monitor_figures(const struct pt_monitor *m, struct pt_monitor_figures *out);
/* What was seen in the window as a reference for later (profile.json). PT_EUNAVAILABLE: nothing yet. */
int pt_monitor_write_profile(struct pt_monitor *m, int64_t now_ms, struct pt_buf *out, struct pt_err *err);

#endif
