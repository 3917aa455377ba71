/* SPDX-License-Identifier: Apache-2.0
 *
 * build.h: the objects we create, as JSON text. Pure functions of user input and the operator's own settings.
 */
#ifndef PT_MODEL_BUILD_H
#define PT_MODEL_BUILD_H

#include "base/buf.h"
#include "operator/model/objects.h"

/* The operator's part of a pod: not part of a revision, so that upgrading the operator replaces no pod. */
struct pt_settings {
    const char *sidecar_image, *report_url, *report_ca_pem;
    int64_t drain_settle_ms; /* how long proxies may need to follow an EndpointSlice */
};

/* "<name>-<hash>", hash = FNV-32a over the versioned canonical user input (and the number of collisions, when there were any). */
void pt_revision_name(const struct pt_md *md, const char *user_json, int collisions, char out[64]);
/* Appends five random letters to "<revision>-". */
void pt_pod_name(const char *revision, uint64_t *seed, char out[80]);

/* A model that is served in place of the user's: the result of a compression. */
struct pt_made_model {
    const char *key, *uri, *digest;
};
/* made: NULL, or what is kept with the revision. */
int pt_build_revision(const struct pt_md *md, const char *name, int64_t number, const struct pt_made_model *made, struct pt_buf *out, struct pt_err *err);
/* uid: of the one to patch, as its precondition; NULL to create. */
int pt_build_service(const struct pt_md *md, const char *uid, struct pt_buf *out, struct pt_err *err);
/* What pt_service_decode() would say of it. */
int pt_build_service_shape(const struct pt_md *md, struct pt_buf *out, struct pt_err *err);
/* A PodDisruptionBudget for spec.disruption; the same two. */
int pt_build_budget(const struct pt_md *md, const char *uid, struct pt_buf *out, struct pt_err *err);
int pt_build_budget_shape(const struct pt_md *md, struct pt_buf *out, struct pt_err *err);
/* Strategic patch that makes o ours (it must be as we saw it), or lets it go. */
int pt_build_ownership(const struct pt_md *md, const struct pt_object *o, bool ours, struct pt_buf *out, struct pt_err *err);
/* Merge patch of the ModelDeployment: back to this user input (NULL: as it is), and the annotation that asked for it goes. */
int pt_build_rollback(const struct pt_md *md, const char *data, struct pt_buf *out, struct pt_err *err);
/* The same with another annotation: what the operator does by itself. */
int pt_build_retreat(const struct pt_md *md, const char *data, const char *note, struct pt_buf *out, struct pt_err *err);
/* made: served in place of the user's model, or NULL. The user's template is merged last. PT_EINVAL: it does not fit. */
int pt_build_pod(const struct pt_md *md, const struct pt_settings *s, const char *revision, const char *user_json, const struct pt_made_model *made,
                 const char *name, struct pt_buf *out, struct pt_err *err);
/* Parts of pods, for compress_pod.c: the owner reference, PT_CONFIG_REPORT as an object, variables that say which pod it is, the volume of the token
 * that proves it, and what the restricted Pod Security standard asks of a pod and of a container. */
void pt_build_owner(struct pt_buf *b, const struct pt_md *md);
void pt_build_report(struct pt_buf *b, const struct pt_settings *s); /* its report_url is set */
void pt_build_identity(struct pt_buf *b);
#define PT_TOKEN_MOUNT "{\"name\":\"pintle-token\",\"mountPath\":\"" PT_PATH_TOKEN_DIR "\",\"readOnly\":true}"
#define PT_TOKEN_VOLUME                                                                                                                              \
    "{\"name\":\"pintle-token\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"audience\":\"" PT_TOKEN_AUDIENCE                              \
    "\",\"expirationSeconds\":3600,\"path\":\"token\"}}]}}"
#define PT_POD_SECURITY \
    "\"securityContext\":{\"runAsNonRoot\":true,\"runAsUser\":65532,\"runAsGroup\":65532,\"fsGroup\":65532," \
    "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}"
#define PT_CONTAINER_SECURITY \
    "\"securityContext\":{\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true,\"capabilities\":{\"drop\":[\"ALL\"]}}"

#endif
