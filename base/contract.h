/* SPDX-License-Identifier: Apache-2.0
 *
 * contract.h: what operator, sidecar, node agent and command line must agree on.
 *
 * One row per name; nothing here has behaviour. The operator writes the sidecar's configuration (PT_CONFIG_*)
 * as JSON into a pod annotation, the pod mounts it through the downward API at PT_PATH_CONFIG, and the sidecar
 * answers with reports (PT_REPORT_*) over TLS. JSON is a subset of YAML, so a person may write the same file as YAML.
 */
#ifndef PT_BASE_CONTRACT_H
#define PT_BASE_CONTRACT_H

#include <stdbool.h>

#define PT_VERSION "0.1.0"
#define PT_SIDECAR_IMAGE "ghcr.io/pintle/sidecar:" PT_VERSION

/* --- the resource ------------------------------------------------------------------------------------------- */
#define PT_GROUP "pintle.dev"
#define PT_API_VERSION "v1alpha1"
#define PT_GROUP_VERSION PT_GROUP "/" PT_API_VERSION
#define PT_KIND "ModelDeployment"
#define PT_PLURAL "modeldeployments"
#define PT_SHORT_NAME "mdep"

/* --- labels, annotations, conditions ------------------------------------------------------------------------- */
#define PT_LABEL_MANAGED_BY "app.kubernetes.io/managed-by" /* = PT_MANAGER; the selector of every watch of ours */
#define PT_LABEL_INSTANCE "app.kubernetes.io/instance"     /* the ModelDeployment's name */
#define PT_LABEL_NAME "pintle.dev/model-deployment"        /* the same; status.selector uses this one */
#define PT_LABEL_REVISION "controller-revision-hash"       /* as StatefulSet and DaemonSet name it */
#define PT_ANNOTATION_CONFIG "pintle.dev/config"           /* on pods: the sidecar's configuration, JSON */
#define PT_ANNOTATION_REPORT "pintle.dev/report"           /* on pods that compress: PT_CONFIG_REPORT by itself, JSON */
#define PT_ANNOTATION_ROLLBACK "pintle.dev/rollback-to"    /* on ModelDeployments: the number or name of a revision, "0" the one before */
#define PT_ANNOTATION_ROLLED_BACK "pintle.dev/rolled-back"  /* on ModelDeployments: "FROM TO WHY": what the operator did by itself */
#define PT_ANNOTATION_CAUSE "kubernetes.io/change-cause"   /* why it was changed; kept with the revision, shown by `pintle rollout history` */
#define PT_LABEL_COMPRESSION "pintle.dev/compression"       /* on pods that compress: of which model, recipe and output */
#define PT_LABEL_ATTEMPT "pintle.dev/attempt"              /* on the same: 0, 1, ... */
#define PT_LABEL_ROLE "pintle.dev/role"                    /* on operator pods: leader or standby; the Service of reports selects the leader */
#define PT_LEASE "pintle-operator"                         /* the Lease they elect by */
#define PT_READINESS_GATE "pintle.dev/model-ready"         /* pod condition, kept by the operator from reports */
#define PT_MANAGER "pintle-operator"                       /* field manager, managed-by, event source */

#define PT_COMPRESSOR "pintle-compression"                 /* managed-by of pods that compress: no watch, Service, budget or count of serving pods sees them */

/* --- the pod --------------------------------------------------------------------------------------------------- */
#define PT_CONTAINER "sidecar"                                  /* name of our container; user templates merge into it by name */
#define PT_CONTAINER_COMPRESS "compress"                        /* of a pod that compresses: PT_PROGRAM_COMPRESS with the arguments of `pintle compress` */
#define PT_PROGRAM_COMPRESS "/pintle"
#define PT_PATH_OUTPUT "/mnt/pintle/output"                     /* the claim of a pvc:// output, writable */
#define PT_PATH_OUTPUT_CREDENTIALS "/var/run/secrets/pintle-output-credentials" /* the Secret of compression.output.credentialsSecretRef */
#define PT_PATH_TERMINATION "/dev/termination-log"              /* what a container says when it ends; Kubernetes' default place */
#define PT_EXIT_GATE 3                                          /* of `pintle compress`: the gate does not hold */
#define PT_PORT_HTTP 8080
#define PT_PORT_GRPC 8081
#define PT_PORT_METRICS 8082
#define PT_PORT_REPORT 8443                                     /* operator: reports, TLS */
#define PT_PORT_OPERATOR_HEALTH 8081                            /* operator: /healthz /readyz /metrics */
#define PT_PATH_CONFIG_DIR "/etc/pintle"
#define PT_PATH_CONFIG "/etc/pintle/config.json"
#define PT_PATH_REPORT "/etc/pintle/report.json"               /* of a pod that compresses: PT_ANNOTATION_REPORT */
#define PT_PATH_TOKEN_DIR "/var/run/secrets/pintle.dev"
#define PT_PATH_TOKEN "/var/run/secrets/pintle.dev/token"
#define PT_PATH_CACHE "/var/cache/pintle"                       /* emptyDir: downloaded models */
#define PT_PATH_CREDENTIALS "/var/run/secrets/pintle-credentials"  /* files of the Secret that model.credentialsSecretRef names */
#define PT_PATH_TLS "/var/run/secrets/pintle-tls"                  /* tls.crt and tls.key of serving.tls.secretName */
#define PT_PATH_CLIENT_CA "/var/run/secrets/pintle-client-ca"      /* ca.crt of serving.tls.clientCASecretName */
#define PT_PATH_TOKENS "/var/run/secrets/pintle-tokens"            /* tokens of serving.auth.tokensSecretName */
#define PT_PATH_MODEL "/mnt/pintle/model"                       /* the claim of a pvc:// URI, read-only; the sidecar is given a file:// URI below it */
#define PT_TOKEN_AUDIENCE "pintle.dev"

#define PT_ENV_POD_NAME "PINTLE_POD_NAME"
#define PT_ENV_POD_NAMESPACE "PINTLE_POD_NAMESPACE"
#define PT_ENV_POD_UID "PINTLE_POD_UID"
#define PT_ENV_POD_IP "PINTLE_POD_IP"                           /* set only by the local node agent: the address to bind; else all */
#define PT_ENV_CREDENTIALS_DIR "PINTLE_CREDENTIALS_DIR"         /* instead of PT_PATH_CREDENTIALS */
#define PT_ENV_MOUNTS "PINTLE_MOUNTS"                           /* "/mount=/real/dir:..."; how volumes look to a pod that is a plain
                                                                   process without a mount namespace. See pt_path_resolve(). */

/* --- the sidecar's configuration (JSON object; unknown members are an error) ----------------------------------- */
#define PT_CONFIG_MODEL "model"                                 /* {name, version, uri, digest, format, warmup} */
#define PT_CONFIG_SERVING "serving"                             /* {port, grpcPort, metricsPort, timeoutMs, maxConnections, maxConnectionAgeMs, tls, auth} */
#define PT_CONFIG_SERVING_AUTH "serving.auth"                   /* {tokenFile, metrics, pollMs}; absent: everybody may */
#define PT_CONFIG_SERVING_TLS "serving.tls"                     /* {certFile, keyFile, clientCaFile, openHealth, pollMs}; absent: plain */
#define PT_CONFIG_RUNTIME "runtime"                             /* {threads, concurrency, queue, maxWaitMs, priorityLevels} */
#define PT_CONFIG_BATCHING "batching"                           /* {maxSize, maxDelayUs, preferredSizes, sizes (text: "4, 8"), padding} */
#define PT_CONFIG_REPOSITORY "repository"                       /* {path, control, load, versions, pollMs, memoryBytes}; instead of model.uri; not in pods */
#define PT_CONFIG_CACHE "cache"                                 /* {path, maxBytes, waitMs} */
#define PT_CONFIG_DRAIN "drain"                                 /* {timeoutMs} */
#define PT_CONFIG_METRICS "metrics"                             /* {aliases (text: "triton, tensorflow")} */
#define PT_CONFIG_MONITORING "monitoring"                       /* {enabled, task, output, classes, ...}: docs/monitoring.md; absent: none */
#define PT_CONFIG_ACCESS_LOG "accessLog"                        /* {enabled, sample, path}; absent: none is kept */
#define PT_CONFIG_REPORT "report"                               /* {url, ca (PEM), tokenFile, intervalMs}; absent: no reports */

/* --- a report: POST PT_REPORT_PATH, Authorization: Bearer <projected token> ------------------------------------ */
#define PT_REPORT_PATH "/v1/report"
#define PT_REPORT_POD_UID "podUID"
#define PT_REPORT_POD_NAME "podName"
#define PT_REPORT_NAMESPACE "namespace"
#define PT_REPORT_SEQUENCE "sequence"                           /* 1, 2, ... since process start; older ones are dropped */
#define PT_REPORT_STARTED_MS "startedMs"                        /* wall clock at process start; with sequence orders reports over restarts */
#define PT_REPORT_STATE "state"                                 /* a PT_MODEL_STATES text; a pod that compresses has PT_REPORT_COMPRESSION instead */
#define PT_REPORT_REASON "reason"                               /* CamelCase, a PT_MODEL_REASONS text; only with Failed */
#define PT_REPORT_MESSAGE "message"
#define PT_REPORT_DIGEST "digest"                               /* of the bytes that were loaded */
#define PT_REPORT_VERSION "modelVersion"
#define PT_REPORT_BYTES_DONE "bytesDone"
#define PT_REPORT_BYTES_TOTAL "bytesTotal"
#define PT_REPORT_IN_FLIGHT "inFlight"
#define PT_REPORT_QUEUED "queued"
#define PT_REPORT_REQUESTS "requestsTotal"
#define PT_REPORT_ERRORS "errorsTotal"
#define PT_REPORT_REJECTED "rejectedTotal"
#define PT_REPORT_LATENCY "latency"                             /* {boundsSeconds: [..], counts: [..] (one more), sumSeconds} */
#define PT_REPORT_MEMORY "memoryBytes"
#define PT_REPORT_CPU "cpuSeconds"
#define PT_REPORT_MONITORING "monitoring"                       /* {rows, labelled, figures: {a PT_FIGURES text: number}}; without what is not known */
#define PT_REPORT_COMPRESSION "compression"                     /* {stage, stageNumber, stages, epoch, epochs, percent, etaSeconds}; the last four where they are known */
/* the reply: 200 {"reportAfterMs": N}; 400 bad body, 401 bad token, 403 token of another pod, 404 unknown pod */
#define PT_REPORT_REPLY_AFTER "reportAfterMs"
#define PT_REPORT_INTERVAL_MS 1000

/* States of a model in a sidecar. Legal transitions: each to the next, any before Draining to Failed,
 * any to Draining, Failed to Downloading (retry). */
#define PT_MODEL_STATES(X) \
    X(PT_MODEL_DOWNLOADING, "Downloading") \
    X(PT_MODEL_VERIFYING, "Verifying") \
    X(PT_MODEL_LOADING, "Loading") \
    X(PT_MODEL_WARMING, "Warming") \
    X(PT_MODEL_READY, "Ready") \
    X(PT_MODEL_FAILED, "Failed") \
    X(PT_MODEL_DRAINING, "Draining")

/* Why a model failed: the reason of the ModelLoaded condition and of the event. */
#define PT_MODEL_REASONS(X) \
    X(PT_REASON_DOWNLOAD_FAILED, "DownloadFailed") \
    X(PT_REASON_DIGEST_MISMATCH, "DigestMismatch") \
    X(PT_REASON_MODEL_LOAD_FAILED, "ModelLoadFailed") \
    X(PT_REASON_WARMUP_FAILED, "WarmupFailed") \
    X(PT_REASON_RUNTIME_UNHEALTHY, "RuntimeUnhealthy")

/* What a monitored model is judged by (docs/monitoring.md), whether labels are needed for it, and the reason of ModelHealthy=False. */
#define PT_FIGURES(X) \
    X(PT_FIGURE_ACCURACY, "accuracy", true, "QualityLow") \
    X(PT_FIGURE_PRECISION, "precision", true, "QualityLow") /* these three: macro */ \
    X(PT_FIGURE_RECALL, "recall", true, "QualityLow") \
    X(PT_FIGURE_F1, "f1", true, "QualityLow") \
    X(PT_FIGURE_AUC, "auc", true, "QualityLow") \
    X(PT_FIGURE_LOG_LOSS, "log_loss", true, "QualityLow") \
    X(PT_FIGURE_CALIBRATION_ERROR, "calibration_error", true, "QualityLow") \
    X(PT_FIGURE_MEAN_ERROR, "mean_error", true, "QualityLow") \
    X(PT_FIGURE_MAE, "mean_absolute_error", true, "QualityLow") \
    X(PT_FIGURE_RMSE, "root_mean_squared_error", true, "QualityLow") \
    X(PT_FIGURE_R2, "r2", true, "QualityLow") \
    X(PT_FIGURE_ENTROPY, "entropy", false, "Ambiguous") \
    X(PT_FIGURE_MARGIN, "margin", false, "Ambiguous") \
    X(PT_FIGURE_UNSURE_SHARE, "unsure_share", false, "Ambiguous") \
    X(PT_FIGURE_DRIFTED_SHARE, "drifted_share", false, "Drifted") \
    X(PT_FIGURE_PARITY, "demographic_parity_difference", false, "Biased") \
    X(PT_FIGURE_IMPACT, "disparate_impact", false, "Biased") \
    X(PT_FIGURE_OPPORTUNITY, "equal_opportunity_difference", true, "Biased") \
    X(PT_FIGURE_ODDS, "equalised_odds_difference", true, "Biased")
#define PT_X(name, text, labelled, reason) name,
enum pt_figure { PT_FIGURES(PT_X) PT_FIGURE_COUNT };
#undef PT_X

#define PT_X(name, text) name,
enum pt_model_state { PT_MODEL_STATES(PT_X) PT_MODEL_STATE_COUNT };
enum pt_model_reason { PT_REASON_NONE = -1, PT_MODEL_REASONS(PT_X) PT_MODEL_REASON_COUNT };
#undef PT_X

/* "Ready" etc.; never NULL. */
const char *pt_model_state_text(enum pt_model_state state);
const char *pt_model_reason_text(enum pt_model_reason reason);
/* The state of that text, or -1. */
int pt_model_state_parse(const char *text);
int pt_model_reason_parse(const char *text);
const char *pt_figure_text(enum pt_figure figure);
int pt_figure_parse(const char *text);
bool pt_figure_of_labels(enum pt_figure figure);
const char *pt_figure_reason(enum pt_figure figure);

#endif
