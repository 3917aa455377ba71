/* SPDX-License-Identifier: Apache-2.0
 *
 * api.h: the Kubernetes API as the controllers see it: an interface with two implementations, operator/kube (a real API server over
 * libcurl) and operator/memapi (in memory, virtual time). Bodies are JSON text in both directions, exactly as on the wire; whoever decodes
 * picks the fields it needs into compact structs and drops the text.
 *
 * Asynchronous, one thread. A callback is never called inside the function that starts the call. Every call ends by its deadline.
 */
#ifndef PT_CTRL_API_H
#define PT_CTRL_API_H

#include "base/err.h"
#include "base/sched.h"
#include "base/str.h"

/* A resource type. One static row per type; compared by pointer. */
struct pt_resource {
    const char *group, *version, *plural, *kind; /* group "" is core */
    bool namespaced;
};
extern const struct pt_resource pt_res_modeldeployments, pt_res_pods, pt_res_services, pt_res_controllerrevisions, pt_res_events, pt_res_secrets,
    pt_res_configmaps, pt_res_tokenreviews, pt_res_poddisruptionbudgets, pt_res_leases, pt_res_apiservices,
    pt_res_endpointslices;

enum pt_verb {
    PT_VERB_GET,
    PT_VERB_LIST,
    PT_VERB_CREATE,
    PT_VERB_UPDATE,       /* PUT */
    PT_VERB_MERGE_PATCH,  /* application/merge-patch+json */
    PT_VERB_APPLY,        /* application/apply-patch+yaml with force, field manager PT_MANAGER (or .field_manager) */
    PT_VERB_STRATEGIC,    /* application/strategic-merge-patch+json; built-in kinds only */
    PT_VERB_JSON_PATCH,   /* application/json-patch+json: the body is a list */
    PT_VERB_DELETE,
};

struct pt_api_request {
    enum pt_verb verb;
    const struct pt_resource *resource;
    const char *ns;               /* NULL or "": all namespaces (list, watch) or not namespaced */
    const char *name;             /* NULL for list, create */
    const char *subresource;      /* "status", "scale" or NULL */
    struct pt_str body;           /* JSON; copied */
    const char *label_selector;   /* list, watch */
    const char *field_selector;   /* list, watch: metadata.name=..., metadata.namespace=... */
    const char *resource_version; /* list, watch: as Kubernetes; delete: precondition */
    bool initial_events;          /* watch: first everything there is as ADDED, then a BOOKMARK annotated "k8s.io/initial-events-end" (WatchList) */
    bool strict;                  /* create: unknown fields are an error */
    bool dry_run;                 /* writes: answer as if, change nothing */
    bool no_force;                /* apply: a field that another manager owns with another value is a conflict */
    const char *uid;              /* delete: precondition */
    const char *field_manager;    /* NULL = PT_MANAGER */
    const char *propagation;      /* delete: "Background" (NULL), "Foreground", "Orphan" */
    int grace_seconds;            /* delete: -1 = the object's own */
    int64_t limit;                /* list: page size, 0 = none */
    const char *continue_token;   /* list */
    int64_t timeout_ms;           /* 0 = 30 s */
};

/* What came back. code PT_OK means 2xx. On failure the server's Status is decoded: reason and message; http is 0 when no answer came (then the
 * outcome of a write is unknown: err.code is PT_ETIMEDOUT or PT_EUNAVAILABLE). Valid only inside the callback. */
struct pt_api_result {
    int http;
    struct pt_str body;         /* the object, list or Status */
    char reason[64];            /* Status.reason: "NotFound", "AlreadyExists", "Conflict", "Expired", "Invalid", ... */
    int64_t retry_after_ms;     /* -1: not said */
    struct pt_err err;          /* code: PT_ENOTFOUND, PT_EEXIST, PT_ECONFLICT, PT_EGONE, PT_EINVAL, PT_EDENIED, PT_EBUSY ... */
};
typedef void (*pt_api_done_fn)(void *arg, const struct pt_api_result *r);

enum pt_watch_type { PT_WATCH_ADDED, PT_WATCH_MODIFIED, PT_WATCH_DELETED, PT_WATCH_BOOKMARK, PT_WATCH_ERROR };
struct pt_watch_event {
    enum pt_watch_type type;
    struct pt_str object; /* JSON of the object, or of the Status for ERROR; valid in the callback */
};
typedef void (*pt_watch_event_fn)(void *arg, const struct pt_watch_event *e);

struct pt_api_call; /* under way; gone when its done callback was called or it was cancelled */

struct pt_api {
    const struct pt_api_ops *ops;
};
struct pt_api_ops {
    /* PT_OK and exactly one done(arg) later, or an error now and no callback. */
    int (*start)(struct pt_api *api, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out, struct pt_err *err);
    /* Watch from req->resource_version with bookmarks; event() any number of times, then done() once when the stream ends, cleanly (PT_OK) or not.
     * The request's timeout_ms becomes timeoutSeconds (0 = random in [5 min, 10 min)). */
    int (*watch)(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg, struct pt_api_call **out,
                 struct pt_err *err);
    void (*cancel)(struct pt_api *api, struct pt_api_call *call); /* no callback afterwards */
};

static inline int pt_api_start(struct pt_api *a, const struct pt_api_request *r, pt_api_done_fn done, void *arg, struct pt_api_call **out, struct pt_err *err)
{
    return a->ops->start(a, r, done, arg, out, err);
}
static inline int pt_api_watch(struct pt_api *a, const struct pt_api_request *r, pt_watch_event_fn ev, pt_api_done_fn done, void *arg,
                               struct pt_api_call **out, struct pt_err *err)
{
    return a->ops->watch(a, r, ev, done, arg, out, err);
}
static inline void pt_api_cancel(struct pt_api *a, struct pt_api_call *c) { a->ops->cancel(a, c); }

#endif
