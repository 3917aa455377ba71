/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h: the whole sidecar as one call: for pintle-sidecar in a pod and for `pintle serve` by hand.
 */
#ifndef PT_SIDECAR_SERVER_H
#define PT_SIDECAR_SERVER_H

#include "sidecar/config.h"

struct pt_sidecar_options {
    const struct pt_config *config;
    const char *cache_dir; /* downloads, as the pod sees it */
    bool fail_fast;        /* a model that cannot be served ends the call with its error, instead of being shown and tried again */
};
/* Serves until SIGTERM or SIGINT and its drain. PT_OK: nothing was lost; PT_ETIMEDOUT: requests were cut off; PT_ECANCELED: a thread is still
 * loading the model and the process must end with _exit(2), without clean-up; or why it cannot serve. */
int pt_sidecar_run(const struct pt_sidecar_options *o, struct pt_err *err);

#endif
