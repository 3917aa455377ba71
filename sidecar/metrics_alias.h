/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics_alias.h: the names under which dashboards of other servers look for what is counted here anyway. Loop thread.
 */
#ifndef PT_SIDECAR_METRICS_ALIAS_H
#define PT_SIDECAR_METRICS_ALIAS_H

#include "base/err.h"

#include <stdbool.h>

struct pt_serving_metrics;

enum { PT_ALIAS_TRITON = 1, PT_ALIAS_TENSORFLOW = 2 };
/* "triton, tensorflow" -> a set of these; "" and NULL: none. PT_EINVAL names what is unknown. */
int pt_metrics_alias_parse(const char *list, unsigned *sets, struct pt_err *err);

/* The series of one version, besides its own. */
int pt_metrics_alias_init(struct pt_serving_metrics *m, unsigned sets, struct pt_err *err);
/* What was counted since the last time is added. */
void pt_metrics_alias_collect(struct pt_serving_metrics *m);
void pt_metrics_alias_finish(struct pt_serving_metrics *m);

#endif
