/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.h: the spec of a ModelDeployment: what is accepted, its defaults, and its compact form.
 *
 * One table of fields (spec.c) decides; deploy/crd says the same to an API server in CEL. What Pintle does not honour yet is refused with the
 * field's path and value, never ignored.
 */
#ifndef PT_MODEL_SPEC_H
#define PT_MODEL_SPEC_H

#include "base/buf.h"
#include "operator/model/autoscale.h"
#include "operator/model/verdict.h"

#define PT_SCHEME_PVC "pvc://" /* pvc://CLAIM/PATH: mounted into the pod */
#define PT_NAME_MAX 46 /* "-" revision "-" random must fit in 63 behind it */

enum pt_strategy { PT_STRATEGY_ROLLING, PT_STRATEGY_RECREATE };
struct pt_amount { /* int or percentage */
    int value;
    bool percent;
};

struct pt_autoscaling {
    bool on;
    enum pt_autoscaling_metric metric;
    struct pt_autoscale_config config;
};

/* compression: a recipe that is run once on the model, whose result is served in its place (compress.h). */
struct pt_compression_spec {
    char *json;      /* canonical text of it all; NULL: none */
    char key[20];    /* of model.uri, model.digest, recipe and output.uri: for one key the work is done once */
    int64_t timeout_ms;
    int backoff_limit;
};

struct pt_spec {
    int replicas;
    struct pt_autoscaling autoscaling;
    struct pt_monitoring *monitoring; /* NULL: not set */
    struct pt_compression_spec compression;
    enum pt_strategy strategy;
    struct pt_amount max_surge, max_unavailable;
    int min_ready_s, progress_deadline_s, history_limit;
    bool paused;
    bool own_containers;     /* the user brings containers or init containers */
    bool has_budget;         /* disruption */
    struct pt_amount budget; /* disruption.maxUnavailable */
    bool tls; /* serving.tls */
    int port, grpc_port, metrics_port; /* for the Service and the endpoint */
    char *user_json; /* canonical text of what shapes pods, defaults left out: hashed, kept in the ControllerRevision, pods are built from it */
};

/* object: JSON text of the whole resource. PT_EINVAL "spec.model.uri: ...: ..." */
int pt_spec_decode(struct pt_str object, struct pt_spec *out, struct pt_err *err);
struct cJSON;
int pt_spec_read(const struct cJSON *object, struct pt_spec *out, struct pt_err *err); /* the same of a parsed object */
void pt_spec_finish(struct pt_spec *s);
int pt_spec_copy(const struct pt_spec *s, struct pt_spec *out, struct pt_err *err);
/* Admission, where no CRD does it: checks the object (also apiVersion, kind, metadata.name) and fills in spec.replicas. */
int pt_spec_admit(struct cJSON *object, struct pt_err *err);

#endif
