/* SPDX-License-Identifier: Apache-2.0
 *
 * frontend.h: the server as protocol front ends see it: models by name and version, inferences, and control. Everything protocols have in
 * common is behind these calls (choosing and holding a version, queueing, batching, deadlines, metrics); a front end only translates bytes.
 *
 * Loop thread, except decode and encode of a call, which run where the work is done.
 */
#ifndef PT_SIDECAR_FRONTEND_H
#define PT_SIDECAR_FRONTEND_H

#include "base/contract.h"
#include "sidecar/repository.h"
#include "sidecar/request.h"
#include "sidecar/trace.h"

/* Which version a client means. */
struct pt_model_ref {
    struct pt_str name;
    struct pt_str version; /* "": the one the policy prefers, usually the latest */
    bool label;            /* version is a label such as "stable" */
};

/* One version of a model. Valid until control returns to the loop. */
struct pt_model_view {
    const char *name, *version;
    enum pt_model_state state;
    const char *message;              /* why it failed; never NULL */
    bool serving;                     /* takes requests (Ready, or Draining after it) */
    const struct pt_model_info *info; /* NULL unless serving */
    const struct pt_model_stats *stats;
    struct pt_monitor *monitor; /* NULL: it is not monitored */
    int64_t max_delay_us; /* of dynamic batching; with info->max_batch */
};

/* Tells when readiness of the server or the state of a model may have changed. Embedded in its owner's struct. */
struct pt_frontend_watch {
    void (*changed)(struct pt_frontend_watch *w);
    struct pt_frontend_watch *next, **link;
};

struct pt_access_log;
struct pt_frontend {
    struct pt_loop *loop;
    const struct pt_config *config;
    struct pt_repository *repository;
    struct pt_access_log *access; /* NULL: none is kept */
    bool draining; /* not ready any more: what is here is still answered */
    struct pt_call *first;             /* its own: calls under way, */
    struct pt_frontend_watch *watches; /* and who wants to know of changes */
};

void pt_frontend_watch(struct pt_frontend *f, struct pt_frontend_watch *w);
void pt_frontend_unwatch(struct pt_frontend_watch *w); /* fine from inside changed, for w itself */
void pt_frontend_changed(struct pt_frontend *f);       /* for whoever changes what front ends see */

/* Every model that must be there is, and the server is not draining. */
bool pt_frontend_ready(const struct pt_frontend *f);
/* PT_ENOTFOUND names the model or the version. A version that is known but does not serve is found. */
int pt_frontend_find(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_model_view *out, struct pt_err *err);
/* The same for a version that serves; PT_EUNAVAILABLE says why it does not. */
int pt_frontend_find_serving(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_model_view *out, struct pt_err *err);
/* fn for each version of each model (or of the named one); returns how many. */
size_t pt_frontend_each(struct pt_frontend *f, struct pt_str name, void (*fn)(void *arg, const struct pt_model_view *v), void *arg);

/* --- an inference ----------------------------------------------------------------------------------------------------------- */

struct pt_call;
struct pt_call_ops {
    /* Reads the client's bytes into request, which is initialised for the model. Once, before the run, on any thread. */
    int (*decode)(struct pt_call *c, struct pt_err *err);
    /* Writes the answer. outputs[i] is there where request.outputs[i].wanted, and valid inside this call only. Once, on any thread. */
    int (*encode)(struct pt_call *c, const struct pt_tensor *const *outputs, struct pt_err *err);
    /* Loop thread: rc, err and retry_after_s say how it went; the call is the owner's again. */
    void (*done)(struct pt_call *c);
};
/* What every queue of calls does with its jobs. */
extern const struct pt_job_ops pt_call_job;

/* Embedded in the front end's own struct. Zero it; set the first part. */
struct pt_call {
    const struct pt_call_ops *ops;
    size_t body_bytes;   /* that decode will read: little is done at once on the loop thread */
    bool unread;         /* there was no room when its head came, and its body was not taken: it is refused */
    bool grpc;           /* else HTTP; for metrics */
    int64_t received_ns; /* pt_clock_mono_ns() when the request was complete */
    int64_t deadline_ms; /* pt_now_ms() of the loop; 0: the configured timeout from now */
    struct pt_trace trace;
    /* for the ops */
    struct pt_request request;
    int rc;
    struct pt_err err;
    int retry_after_s; /* with PT_EBUSY */
    /* the front end's own */
    struct pt_frontend *frontend;
    struct pt_call *next, **link;
    struct pt_job job;
    struct pt_version *version; /* that it holds */
    struct pt_call *parked_next;
    bool parked;
    struct pt_loaded *loaded;
    int64_t timeout_ms, decode_ns, infer_ns, encode_ns;
    int64_t run_rows; /* of the run it was part of; 0 unless it was the first in it */
    bool gone;
};
/* Is the queue of that model full? False where there is none. */
bool pt_frontend_full(struct pt_frontend *f, const struct pt_model_ref *ref);
/* 1: it is over already, rc says how (refusals too), and done is not called. 0: done follows, never from inside this call; the memory that
 * decode reads must stay in place until then. Either way the owner calls pt_call_finish() afterwards. */
int pt_frontend_infer(struct pt_frontend *f, const struct pt_model_ref *ref, struct pt_call *c);
/* The client is gone: stops waiting and running; done still follows. */
void pt_frontend_cancel(struct pt_frontend *f, struct pt_call *c);
/* A version became Ready, or will not: its parked calls go on, or end. */
void pt_frontend_wake(struct pt_frontend *f, struct pt_version *v);
void pt_call_finish(struct pt_call *c); /* the request's memory; zeroed memory is fine */

/* --- control ----------------------------------------------------------------------------------------------------------------- */

/* Models are loaded and unloaded by clients only where the server is told to allow it. PT_EAGAIN: it is under way and done follows; else err. */
int pt_frontend_load(struct pt_frontend *f, struct pt_str name, struct pt_control *c, struct pt_err *err);
int pt_frontend_unload(struct pt_frontend *f, struct pt_str name, struct pt_control *c, struct pt_err *err);

/* The same for exactly the models of a list, which it takes. */
int pt_frontend_reload(struct pt_frontend *f, struct pt_model_list *list, struct pt_control *c, struct pt_err *err);

/* After loop and threads have stopped: gives every call under way back with PT_EUNAVAILABLE; returns how many clients wait for. */
int pt_frontend_finish(struct pt_frontend *f);

#endif
