/* SPDX-License-Identifier: Apache-2.0
 *
 * memapi.h: the Kubernetes API in memory, behind the same interface as a real server (ctrl/api.h), on any clock.
 *
 * For `pintle up`, the tests and the simulator. It has resource versions, lists with pages, watches with bookmarks and a bounded history (410 behind
 * it), conflicts, uid and version preconditions, generateName, generation, status and scale subresources, merge, strategic and (reduced)
 * apply patches, finalizers, graceful pod deletion, owner garbage collection and TokenReview. Namespaces exist when they are named.
 * Not here: RBAC, quotas, schemas other than through admit(). managedFields, and with them conflicts of apply, are an option: without it apply keeps, per
 * manager, what it applied last, a field applied before and now missing is removed, and force is assumed, at a fraction of the cost.
 */
#ifndef PT_MEMAPI_H
#define PT_MEMAPI_H

#include "operator/ctrl/api.h"
#include "operator/ctrl/obj.h"
#include "base/buf.h"

struct pt_memapi;

/* What may go wrong with one request. Zeroed = nothing. */
struct pt_memapi_fault {
    int64_t delay_ms;       /* before it is carried out */
    int64_t reply_delay_ms; /* after that, before the answer is seen */
    int http;               /* answer with this error instead of carrying it out, */
    bool carried_out;       /* or after that: a server that lost sight of its own store */
    const char *reason;     /* Status.reason for it */
    int retry_after_s;      /* 0: not said */
    bool lose_reply;        /* carried out, but the caller sees a timeout */
    bool lose_request;      /* not carried out, and the caller sees a timeout */
};
struct pt_memapi_hooks {
    void *arg;
    /* Before a call (watch: op is PT_VERB_LIST and watch true). NULL: no faults. */
    void (*request)(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *fault);
    /* A write was carried out: the object is stored and events are queued. For invariants and crash-at-write-k. NULL: none. */
    void (*wrote)(void *arg, const struct pt_api_request *req, const char *ns, const char *name);
    /* How long this event waits before its watcher sees it (order is kept); -1: the stream is cut before it. NULL: none. */
    int64_t (*event)(void *arg, const struct pt_resource *res);
};

struct pt_memapi_options {
    struct pt_sched *sched;
    uint64_t seed;       /* uids and generated names */
    unsigned history;    /* events kept per resource type; 0 = 1,024 */
    int64_t gc_delay_ms; /* before dependents of a deleted owner follow; 0 = next turn */
    int64_t latency_ms;  /* of every call */
    bool managed_fields;
    int64_t bookmark_ms; /* between the bookmarks of a watch; 0 = a minute */
    /* Validation and defaulting of ModelDeployments before they are stored; NULL for none. old is NULL for a new one. PT_EINVAL becomes 422 Invalid. */
    int (*admit)(void *arg, const struct pt_resource *res, cJSON *object, const cJSON *old, struct pt_err *err);
    void *admit_arg;
    struct pt_memapi_hooks hooks;
    enum pt_memapi_watchlist {
        PT_WATCHLIST,
        PT_WATCHLIST_REFUSED,
        PT_WATCHLIST_ENDLESS
    } watchlist; /* as an older server; the last never says that it was all */
};
int pt_memapi_create(const struct pt_memapi_options *o, struct pt_memapi **out, struct pt_err *err);
void pt_memapi_destroy(struct pt_memapi *m); /* calls under way are dropped without callback */
struct pt_api *pt_memapi_api(struct pt_memapi *m);

/* Another resource type than those of ctrl/api.h; the row must outlive m. */
int pt_memapi_register(struct pt_memapi *m, const struct pt_resource *res, bool has_status, struct pt_err *err);

/* --- for code in the same process that plays a part of the cluster (node agent, simulated kubelet): at once, no faults ------------------- */
/* Carries out a request and appends the object, list or Status to out (may be NULL). Returns the HTTP status; err on failure. */
int pt_memapi_do(struct pt_memapi *m, const struct pt_api_request *req, struct pt_buf *out, struct pt_err *err);
/* The stored text, or empty. Valid until the next write. */
struct pt_str pt_memapi_peek(struct pt_memapi *m, const struct pt_resource *res, const char *ns, const char *name);
/* The same as a tree, to read until the next write, or until other objects are read; NULL: not there. */
const cJSON *pt_memapi_tree(struct pt_memapi *m, const struct pt_resource *res, const char *ns, const char *name);
typedef void (*pt_memapi_each_fn)(void *arg, const char *ns, const char *name, struct pt_str object);
void pt_memapi_each(struct pt_memapi *m, const struct pt_resource *res, pt_memapi_each_fn fn, void *arg); /* fn must not write */
uint64_t pt_memapi_writes(const struct pt_memapi *m);                                                     /* objects changed so far */
/* Ends every watch of this type (NULL: all): with_410 as "too old". */
void pt_memapi_cut_watches(struct pt_memapi *m, const struct pt_resource *res, bool with_410);
/* A token that TokenReview knows as this pod's until wall time expires_ms. */
int pt_memapi_add_token(struct pt_memapi *m, const char *token, const char *audience, const char *ns, const char *pod_name, const char *pod_uid,
                        int64_t expires_ms, struct pt_err *err);
void pt_memapi_remove_token(struct pt_memapi *m, const char *token);

/* --- the API's own paths, for a server in front -------------------------------------------------------------------------------------------- */
struct pt_memapi_http {
    struct pt_str method, target; /* "GET", "/apis/pintle.dev/v1alpha1/namespaces/default/modeldeployments?watch=1" */
    struct pt_str content_type, accept, user_agent, body;
};
/* First call: status, content type, the beginning of the body. more: other pieces follow (a watch: one line each). */
typedef void (*pt_memapi_reply_fn)(void *arg, int status, const char *content_type, struct pt_str piece, bool more);
/* Routes a request into the API interface. Exactly one last reply (more = false) comes, later, unless it is cancelled with
 * pt_memapi_http_cancel(*out). Discovery in both forms, OpenAPI 2 and 3, tables and metadata-only answers are given as clients accept them. */
struct pt_memapi_exchange;
int pt_memapi_http(struct pt_memapi *m, const struct pt_memapi_http *req, pt_memapi_reply_fn reply, void *arg, struct pt_memapi_exchange **out,
                   struct pt_err *err);
/* A watch whose client reads slowly waits; what happens meanwhile comes when it goes on. Also from inside reply. */
void pt_memapi_http_pause(struct pt_memapi_exchange *x, bool pause);
void pt_memapi_http_cancel(struct pt_memapi_exchange *x); /* after its connection went away; NULL is fine */

#endif
