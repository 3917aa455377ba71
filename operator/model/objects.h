/* SPDX-License-Identifier: Apache-2.0
 *
 * objects.h: what the controller keeps of each object it watches: compact, one allocation for a pod, a revision or a service.
 */
#ifndef PT_MODEL_OBJECTS_H
#define PT_MODEL_OBJECTS_H

#include "base/contract.h"
#include "operator/ctrl/store.h"
#include "operator/model/report.h"
#include "operator/model/spec.h"

/* The conditions of a ModelDeployment, in the order in which they are written. */
#define PT_CONDITIONS(X) \
    X(PT_COND_READY, "Ready") \
    X(PT_COND_AVAILABLE, "Available") \
    X(PT_COND_PROGRESSING, "Progressing") \
    X(PT_COND_MODEL_LOADED, "ModelLoaded") \
    X(PT_COND_RECONCILING, "Reconciling") \
    X(PT_COND_STALLED, "Stalled") \
    X(PT_COND_COMPRESSED, "Compressed")        /* only with spec.compression */ \
    X(PT_COND_SCALING_ACTIVE, "ScalingActive") /* only with spec.autoscaling */ \
    X(PT_COND_MODEL_HEALTHY, "ModelHealthy")   /* only with spec.monitoring */
#define PT_X(name, text) name,
enum pt_cond { PT_CONDITIONS(PT_X) PT_COND_COUNT };
#undef PT_X
enum pt_truth { PT_UNKNOWN, PT_TRUE, PT_FALSE };

/* status.compression. */
enum pt_compression_phase { PT_COMPRESSION_NONE, PT_COMPRESSION_PENDING, PT_COMPRESSION_RUNNING, PT_COMPRESSION_SUCCEEDED, PT_COMPRESSION_FAILED };
const char *pt_compression_phase_text(enum pt_compression_phase phase); /* "Pending"; "" for none */
enum pt_compression_phase pt_compression_phase_parse(const char *text);
struct pt_compression {
    enum pt_compression_phase phase;
    char key[20], reason[32], digest[72];
    int attempts;               /* pods that have ended without a result */
    int64_t start_ms, retry_ms; /* wall; 0: not set */
    struct pt_run_progress progress; /* only while it runs */
    char message[1024];
};

struct pt_md {
    struct pt_object o;
    int64_t generation;
    bool deleting;
    struct pt_spec spec;
    const char *invalid; /* why the spec is not understood; NULL: it is */
    /* status as stored */
    uint64_t status_hash; /* of its canonical text */
    int64_t observed_generation;
    const char *current_revision, *update_revision; /* "" when not set */
    const char *digest;                             /* status.model.digest */
    const char *last_failure;                       /* status.model.lastFailure, JSON, or NULL */
    const char *rollback_to, *cause;                /* annotations, or NULL */
    const char *healthy;                            /* status.monitoring.healthyRevision; "" when not set */
    const char *health_reason, *health_message;     /* of the condition ModelHealthy, or NULL */
    const char *rolled_back;                        /* annotation, or NULL */
    struct pt_compression *compression;             /* NULL: none */
    const char *last_scale;                         /* status.autoscaling.lastScaleTime; "" when not set */
    int collisions;
    bool deadline_exceeded;
    struct {
        enum pt_truth truth;
        int64_t since_ms; /* wall */
    } conds[PT_COND_COUNT];
};

enum pt_phase { PT_PHASE_PENDING, PT_PHASE_UNKNOWN, PT_PHASE_RUNNING, PT_PHASE_ENDED };

/* What the last report said of latencies, since the sidecar's start, and what was between the last two. */
struct pt_pod_latency {
    unsigned bounds;
    double bounds_s[PT_REPORT_MAX_BOUNDS], counts[PT_REPORT_MAX_BOUNDS + 1];
    double p95_s;  /* 0: nothing was answered */
    double mean_s; /* of the last seconds; 0: nothing was answered yet */
};

/* What the last report said of how the model does; NaN: not known. */
struct pt_pod_figures {
    double rows, labelled, values[PT_FIGURE_COUNT];
};

/* What its sidecar said last. */
struct pt_pod_told {
    enum pt_model_state model;
    enum pt_model_reason reason;
    bool has_digest;
    uint8_t digest[32];
    uint64_t sequence;
    int64_t started_ms;
    double in_flight;       /* and queued */
    double queued;
    double requests, rps;   /* since its start; per second, between the last two reports */
    double mean_queued, mean_in_flight, mean_rps; /* of the last seconds, for whoever looks only now and then */
    int64_t busy_ms;                              /* the last report that had requests in it */
    int64_t reported_ms;    /* when the last report came, monotonic */
    struct pt_pod_figures *figures; /* only where it is monitored; NULL else */
    struct pt_pod_latency *latency; /* only where the autoscaler goes by it; NULL else */
    char *message; /* with Failed */
};

/* Kept beside a pod while it exists: what sidecars said and what we saw, on the monotonic clock. */
struct pt_pod_state {
    int64_t ready_since_ms; /* -1: not ready */
    int64_t drain_since_ms; /* -1: not being drained */
    int64_t drained_ms;     /* being drained, and its node has said not ready since; -1: not */
    int64_t left_ms;        /* an EndpointSlice sent it traffic until then; -1: not that we saw */
    int64_t removing_ms;    /* its gate was asked to be turned off for good then, and no answer said that it was or was not; -1: not */
    int64_t doomed_ms;      /* its deletion was asked for then; -1: not */
    struct pt_pod_told *told; /* NULL: nothing yet */
    bool start_counted;       /* how long it took to become ready has been told to the autoscaler */
};

/* Why a pod is not as it should be; most have none. */
struct pt_pod_trouble {
    const char *gate_message;              /* of our readiness condition when it is False; "" */
    const char *waiting, *waiting_message; /* why the container does not run; "" */
    const char *ended;                     /* reason of its last end, "OOMKilled"; "" */
    const char *unschedulable;             /* message; "" */
    int exit_code;
};
extern const struct pt_pod_trouble pt_pod_no_trouble;

struct pt_pod {
    struct pt_object o;
    const char *revision;                     /* label; "" when missing */
    const char *gate_reason;                  /* of our readiness condition; "" */
    const struct pt_pod_trouble *trouble;     /* never NULL */
    enum pt_phase phase : 8;
    enum pt_truth gate : 8;
    bool terminating, assigned, ready;
    bool strayed;  /* its label no longer says whose it is */
    uint32_t node; /* hash of the node's name */
    int restarts, deletion_cost;
    int64_t created_ms, ready_wall_ms;
    struct pt_pod_state state;
};

struct pt_revision {
    struct pt_object o;
    int64_t number;
    const char *data;   /* canonical user input */
    const char *digest; /* of the model that is served; "" when the user gave none */
    const char *compressed_key, *compressed_uri; /* the result that is served in place of the user's model; "": none */
};

/* A pod that compresses (compress.h). */
struct pt_work_pod {
    struct pt_object o;
    const char *key, *node;
    const char *reason, *message; /* why it waits, or has ended; "" */
    const char *result;           /* its termination message; "" */
    int attempt, exit_code;       /* -1: it ended without one */
    bool terminating, ended;
    /* what it reported last, kept while it exists */
    struct pt_run_progress progress;
    uint64_t sequence;
    int64_t started_ms;
};

/* A Service or a PodDisruptionBudget. */
struct pt_shaped {
    struct pt_object o;
    const char *shape; /* what we decide about it in one text, to compare */
};

/* An EndpointSlice of a Service: its controller is the Service, which has the ModelDeployment's name. */
struct pt_slice {
    struct pt_object o;
    const char *pods; /* the names of those that get traffic, " a b " */
};
bool pt_slice_has(const struct pt_slice *s, const char *pod);

/* For struct pt_store_type. A spec that is not understood is no failure of decoding: it is kept with the reason. */
int pt_md_decode(struct pt_str json, struct pt_object **out, struct pt_err *err);
/* The spec is that of `was` (or NULL) where the generation says so: an operator's own writes of the status are most of what it reads of these. */
int pt_md_decode_after(struct pt_str json, const struct pt_object *was, struct pt_object **out, struct pt_err *err);
int pt_pod_decode(struct pt_str json, struct pt_object **out, struct pt_err *err);
int pt_revision_decode(struct pt_str json, struct pt_object **out, struct pt_err *err);
int pt_service_decode(struct pt_str json, struct pt_object **out, struct pt_err *err);
int pt_budget_decode(struct pt_str json, struct pt_object **out, struct pt_err *err);
int pt_work_decode(struct pt_str json, struct pt_object **out, struct pt_err *err); /* compress_pod.c */
int pt_slice_decode(struct pt_str json, struct pt_object **out, struct pt_err *err);
void pt_md_free(struct pt_object *o);
void pt_pod_free(struct pt_object *o);
void pt_packed_free(struct pt_object *o); /* revisions, services, budgets, slices */

#endif
