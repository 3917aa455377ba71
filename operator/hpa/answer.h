/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.h: the operator as a metrics API: what a HorizontalPodAutoscaler asks of custom.metrics.k8s.io/v1beta2, answered from the loads that
 * sidecars report. Pure: a path and two selectors go in, a status and JSON come out.
 *
 *   /apis/custom.metrics.k8s.io/v1beta2                                              what there is
 *   .../namespaces/NS/pods/NAME-OR-*\/METRIC?labelSelector=...                       one pod, or those that the selector says ("type: Pods")
 *   .../namespaces/NS/modeldeployments.pintle.dev/NAME-OR-*\/METRIC                  all pods of a ModelDeployment together ("type: Object")
 *
 * A pod that has not reported lately has no value: a HorizontalPodAutoscaler then assumes what is safe.
 */
#ifndef PT_HPA_ANSWER_H
#define PT_HPA_ANSWER_H

#include "base/buf.h"
#include "operator/model/operator.h"

#define PT_HPA_GROUP "custom.metrics.k8s.io"
#define PT_HPA_VERSION "v1beta2"
#define PT_HPA_PATH "/apis/" PT_HPA_GROUP "/" PT_HPA_VERSION

struct pt_hpa_request {
    struct pt_str path;
    const char *label_selector, *metric_selector; /* NULL or "": none */
};
/* Calls fn for each pod of namespace ns that has told its load lately; as pt_operator_loads(). */
typedef void (*pt_hpa_loads_fn)(void *source, const char *ns, pt_load_fn fn, void *arg);

/* The HTTP status; out <- JSON: a list, or a Status that says what is wrong. */
int pt_hpa_answer(const struct pt_hpa_request *r, pt_hpa_loads_fn loads, void *source, int64_t wall_ms, struct pt_buf *out);
/* The Status of a failure that is not the request's fault. */
int pt_hpa_status(int http, const char *reason, const char *message, struct pt_buf *out);

#endif
