/* SPDX-License-Identifier: Apache-2.0
 *
 * resources.c: the resource types we speak of, one row each.
 */
#include "operator/ctrl/api.h"
#include "base/contract.h"

const struct pt_resource pt_res_modeldeployments = {PT_GROUP, PT_API_VERSION, PT_PLURAL, PT_KIND, true};
const struct pt_resource pt_res_pods = {"", "v1", "pods", "Pod", true};
const struct pt_resource pt_res_services = {"", "v1", "services", "Service", true};
const struct pt_resource pt_res_poddisruptionbudgets = {"policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true};
const struct pt_resource pt_res_leases = {"coordination.k8s.io", "v1", "leases", "Lease", true};
const struct pt_resource pt_res_controllerrevisions = {"apps", "v1", "controllerrevisions", "ControllerRevision", true};
const struct pt_resource pt_res_events = {"", "v1", "events", "Event", true};
const struct pt_resource pt_res_secrets = {"", "v1", "secrets", "Secret", true};
const struct pt_resource pt_res_configmaps = {"", "v1", "configmaps", "ConfigMap", true};
const struct pt_resource pt_res_endpointslices = {"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true};
const struct pt_resource pt_res_apiservices = {"apiregistration.k8s.io", "v1", "apiservices", "APIService", false};
const struct pt_resource pt_res_tokenreviews = {"authentication.k8s.io", "v1", "tokenreviews", "TokenReview", false};
