/* SPDX-License-Identifier: Apache-2.0
 *
 * trace.h: W3C Trace Context (level 1 and 2): which trace a request is part of. Read strictly: what is malformed is as if it were not there, and no
 * trace is begun here. The context is used for the access log and for exemplars; it is sent nowhere, since nothing is called on a request's behalf.
 */
#ifndef PT_SIDECAR_TRACE_H
#define PT_SIDECAR_TRACE_H

#include "base/str.h"

struct pt_http_request;

struct pt_trace {
    bool valid, sampled; /* sampled: whoever began the trace keeps it */
    uint8_t trace_id[16], parent_id[8];
};
/* A traceparent. PT_EPARSE, and nothing valid in *out. */
int pt_trace_parse(struct pt_str traceparent, struct pt_trace *out);
/* A tracestate: at most 32 members, no key twice. */
bool pt_trace_state_valid(struct pt_str tracestate);

enum { PT_TRACE_STATE_MAX = 512 };
/* From the headers of a request, or the metadata of a gRPC call; not valid when there is none, or more than one. */
void pt_trace_of_request(const struct pt_http_request *req, struct pt_trace *out);
/* The tracestate of all headers of that name together; "" when it is not valid or longer than that. */
struct pt_str pt_trace_state_of(const struct pt_http_request *req, char out[PT_TRACE_STATE_MAX + 1]);

/* Lower-case hexadecimal, terminated; out has 2 * len + 1 bytes. */
void pt_trace_hex(const uint8_t *id, size_t len, char *out);

#endif
