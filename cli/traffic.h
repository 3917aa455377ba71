/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic.h: requests per second over time, as text: lines "SECONDS,RATE" with growing seconds, or a RATE for each second; # begins a remark, and the
 * first line may be titles.
 */
#ifndef PT_CLI_TRAFFIC_H
#define PT_CLI_TRAFFIC_H

#include "base/err.h"
#include "base/str.h"

enum { PT_TRAFFIC_MAX_SECONDS = 7 * 86400 };

struct pt_traffic {
    double *rps; /* pt_free() it, also after a failure */
    size_t seconds;
};
/* Each rate holds until the next line's time; the last one for a second. PT_EPARSE names file and line. */
int pt_traffic_read(struct pt_traffic *t, const char *file, struct pt_str text, struct pt_err *err);

#endif
