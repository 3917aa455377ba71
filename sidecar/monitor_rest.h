/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_rest.h: the routes of monitoring, and reports in the background. Loop thread.
 */
#ifndef PT_SIDECAR_MONITOR_REST_H
#define PT_SIDECAR_MONITOR_REST_H

#include "net/loop.h"
#include "sidecar/monitor.h"

/* For each scrape: shows the last report and, when there is news, begins the next one. */
void pt_monitor_refresh(struct pt_monitor *m, struct pt_loop *loop);

#endif
