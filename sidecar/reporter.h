/* SPDX-License-Identifier: Apache-2.0
 *
 * reporter.h: tells the operator how the model is, at once when its state changes (sidecar/sender.h). Serving never depends on it. Loop thread.
 */
#ifndef PT_SIDECAR_REPORTER_H
#define PT_SIDECAR_REPORTER_H

#include "sidecar/metrics.h"
#include "sidecar/monitor.h"

struct pt_reporter;

/* config->report.url must be set. All pointers outlive the reporter; monitor: NULL without monitoring. */
int pt_reporter_create(struct pt_loop *l, const struct pt_config *config, const struct pt_servable *servable, struct pt_scheduler *scheduler,
                       struct pt_serving_metrics *metrics, struct pt_monitor *monitor, struct pt_reporter **out, struct pt_err *err);
/* The state changed: report as soon as the report under way, if any, is done. */
void pt_reporter_now(struct pt_reporter *r);
bool pt_reporter_idle(const struct pt_reporter *r); /* no report is under way or due at once */
void pt_reporter_destroy(struct pt_reporter *r);

#endif
