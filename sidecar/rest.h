/* SPDX-License-Identifier: Apache-2.0
 *
 * rest.h: what the HTTP front ends share: routes, path parameters, answers, and an inference from request to reply. Each protocol brings a
 * table of routes (oip_rest.c, tfs_rest.c, page.c). Loop thread.
 */
#ifndef PT_SIDECAR_REST_H
#define PT_SIDECAR_REST_H

#include "net/gzip.h"
#include "net/http_server.h"
#include "sidecar/frontend.h"

#define PT_JSON "application/json"
enum { PT_MAX_REPLY = 1 << 30 };

struct pt_rest {
    struct pt_frontend *frontend;
};

/* What {model} and {version} of a route matched, percent-decoded; empty when the route has none. */
struct pt_rest_params {
    char model[256], version[80];
};
typedef void (*pt_rest_fn)(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p);
struct pt_rest_route {
    const char *method, *path;
    pt_rest_fn handle;
};
extern const struct pt_rest_route pt_oip_routes[], pt_monitor_routes[], pt_page_routes[];
extern const size_t pt_oip_route_count, pt_monitor_route_count, pt_page_route_count;

/* Answers what is under /v1/: TensorFlow Serving's paths, which are told apart by more than their segments (tfs_rest.c). */
void pt_tfs_handle(struct pt_rest *r, struct pt_http_request *req);

/* A pt_http_handler_fn; arg is a struct pt_rest. */
void pt_rest_handle(void *rest, struct pt_http_request *req);

/* Is it an inference with a large body, of a model whose queue is full? Asked before the body is read. */
bool pt_rest_full(struct pt_rest *r, const struct pt_http_request *req);
/* Does the path fit the pattern of a route, and with what in its places? */
bool pt_rest_match(const char *pattern, struct pt_str path, struct pt_rest_params *p);
/* Is the path one for inference, and of which model? */
bool pt_oip_infers(struct pt_str path, struct pt_rest_params *p);
bool pt_tfs_infers(struct pt_str path, struct pt_rest_params *p, bool *label);

/* %41 -> A. False when it does not fit or is malformed. */
bool pt_rest_decode(struct pt_str segment, char *out, size_t size);
struct pt_model_ref pt_rest_ref(const struct pt_rest_params *p);
/* The body, or the buffer's failure. */
void pt_rest_reply(struct pt_http_request *req, int status, struct pt_buf *json);
/* 405 with what is allowed. */
void pt_rest_not_allowed(struct pt_http_request *req, const char *allow);
/* {"error": ...}; with PT_EBUSY also Retry-After. */
void pt_rest_reply_error(struct pt_http_request *req, const struct pt_err *err, int retry_after_s);
/* Is the request's body, if any, plain? Else answered with an error. For small control requests. */
int pt_rest_plain_body(struct pt_http_request *req, struct pt_buf *out, struct pt_err *err);

/* --- an inference ----------------------------------------------------------------------------------------------------------- */

struct pt_rest_call;
struct pt_rest_protocol {
    int (*decode)(struct pt_rest_call *c, struct pt_str body, struct pt_err *err);
    int (*encode)(struct pt_rest_call *c, const struct pt_tensor *const *outputs, struct pt_err *err); /* appends to reply */
};
struct pt_rest_call {
    struct pt_call call; /* first member */
    struct pt_rest *rest;
    const struct pt_rest_protocol *protocol;
    struct pt_http_request *req; /* NULL once the client is gone */
    struct pt_str body;          /* the HTTP request's own memory, or own */
    struct pt_buf own, plain, reply, packed;
    enum pt_encoding sent_as, answer_as;
    bool pack;       /* answer in answer_as */
    size_t json_in;  /* of the Open Inference Protocol: Inference-Header-Content-Length of the request, */
    size_t json_out; /* and of the answer */
    int form;        /* of TF Serving's: rows or columns */
};
/* Answers the request, sooner or later. */
void pt_rest_infer(struct pt_rest *r, struct pt_http_request *req, const struct pt_model_ref *ref, const struct pt_rest_protocol *protocol,
                   size_t json_in, int form);

#endif
