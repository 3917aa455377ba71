/* SPDX-License-Identifier: Apache-2.0
 *
 * health.h: what /healthz and /readyz say: named checks, in the words of Kubernetes' own components.
 */
#ifndef PT_CTRL_HEALTH_H
#define PT_CTRL_HEALTH_H

#include "base/buf.h"

struct pt_health_check {
    const char *name;
    const char *(*failed)(void *arg); /* why, or NULL when all is well */
};
/* Appends the text and returns the HTTP status: 200, 503, or 404 for a check that is not there. endpoint: "readyz". only: one check's name, or
 * empty for all. exclude: names separated by commas that do not count. verbose: says all of them; a failure always does. */
int pt_health_text(const char *endpoint, const struct pt_health_check *checks, size_t count, void *arg, struct pt_str only, struct pt_str exclude, bool verbose,
                   struct pt_buf *out);

#endif
