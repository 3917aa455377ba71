/* SPDX-License-Identifier: Apache-2.0
 *
 * rest.h: the HTTP front end: routes of the Open Inference Protocol, from request to scheduler and back. Loop thread.
 */
#ifndef PT_SIDECAR_REST_H
#define PT_SIDECAR_REST_H

#include "net/http_server.h"
#include "sidecar/metrics.h"

struct pt_rest {
    struct pt_loop *loop;
    const struct pt_config *config;
    struct pt_servable *servable;
    struct pt_scheduler *scheduler;
    struct pt_serving_metrics *metrics;
    struct infer *first; /* its own: requests with the scheduler */
};

/* A pt_http_handler_fn; arg is a struct pt_rest. */
void pt_rest_handle(void *rest, struct pt_http_request *req);
/* After loop and threads have stopped: frees what was still under way; returns how many requests that were. */
int pt_rest_finish(struct pt_rest *r);

#endif
