/* SPDX-License-Identifier: Apache-2.0
 *
 * spec_table.c: what a spec may hold, a row per field.
 */
#include "operator/model/spec_fields.h"

#include "base/contract.h"

#define HOUR_MS 3600000
static const struct pt_field secret_fields[] = {{"name", PT_FIELD_TEXT, 1, 253, NULL, pt_spec_check_subdomain, NULL, true}, {0}};
static const struct pt_field model_fields[] = {{"uri", PT_FIELD_TEXT, 1, 2048, NULL, pt_spec_check_uri, NULL, true},
                                               {"digest", PT_FIELD_TEXT, 0, 71, NULL, pt_spec_check_digest, NULL, false},
                                               {"name", PT_FIELD_TEXT, 1, 63, NULL, pt_spec_check_served_name, NULL, false},
                                               {"version", PT_FIELD_TEXT, 1, 63, "\"1\"", pt_spec_check_served_name, NULL, false},
                                               {"format", PT_FIELD_TEXT, 1, 32, "\"onnx\"", pt_spec_check_format, NULL, false},
                                               {"warmup", PT_FIELD_TEXT, 1, 4096, NULL, pt_spec_check_warmup, NULL, false},
                                               {"credentialsSecretRef", PT_FIELD_OBJECT, 0, 0, NULL, NULL, secret_fields, false},
                                               {0}};
static const struct pt_field batching_fields[] = {
    {"maxSize", PT_FIELD_INT, 1, 4096, NULL, NULL, NULL, false}, {"maxDelay", PT_FIELD_DURATION, 0, 10000, NULL, NULL, NULL, false}, {0}};
static const struct pt_field runtime_fields[] = {{"image", PT_FIELD_TEXT, 0, 512, "\"\"", pt_spec_check_image, NULL, false},
                                                 {"threads", PT_FIELD_INT, 0, 1024, "0", NULL, NULL, false},
                                                 {"concurrency", PT_FIELD_INT, 1, 4096, "8", NULL, NULL, false},
                                                 {"queue", PT_FIELD_INT, 0, 100000, "256", NULL, NULL, false},
                                                 {"batching", PT_FIELD_OBJECT, 0, 0, NULL, NULL, batching_fields, false},
                                                 {.name = "parameters", .kind = PT_FIELD_LATER},
                                                 {0}};
static const struct pt_field tls_fields[] = {{"secretName", PT_FIELD_TEXT, 1, 253, NULL, pt_spec_check_subdomain, NULL, true},
                                             {"clientCASecretName", PT_FIELD_TEXT, 1, 253, NULL, pt_spec_check_subdomain, NULL, false},
                                             {0}};
static const struct pt_field auth_fields[] = {
    {"tokensSecretName", PT_FIELD_TEXT, 1, 253, NULL, pt_spec_check_subdomain, NULL, true}, {.name = "metrics", .kind = PT_FIELD_BOOL}, {0}};
static const struct pt_field access_fields[] = {
    {"sample", PT_FIELD_INT, 1, 1000000, NULL, NULL, NULL, true}, {"path", PT_FIELD_TEXT, 1, 1024, NULL, pt_spec_check_pod_path, NULL, false}, {0}};
static const struct pt_field serving_fields[] = {{"port", PT_FIELD_INT, 1024, 65535, "8080", NULL, NULL, false},
                                                 {"metricsPort", PT_FIELD_INT, 1024, 65535, "8082", NULL, NULL, false},
                                                 {"timeout", PT_FIELD_DURATION, 1, HOUR_MS, "\"60s\"", NULL, NULL, false},
                                                 {"grpcPort", PT_FIELD_INT, 1024, 65535, "8081", NULL, NULL, false},
                                                 {"maxConnectionAge", PT_FIELD_DURATION, 0, HOUR_MS, "\"300s\"", NULL, NULL, false},
    {"tls", PT_FIELD_OBJECT, 0, 0, NULL, NULL, tls_fields, false},
    {"auth", PT_FIELD_OBJECT, 0, 0, NULL, NULL, auth_fields, false},
    {"accessLog", PT_FIELD_OBJECT, 0, 0, NULL, NULL, access_fields, false},
    {0}};
static const struct pt_field drain_fields[] = {{"timeout", PT_FIELD_DURATION, 0, HOUR_MS, "\"30s\"", NULL, NULL, false}, {0}};
static const struct pt_field env_fields[] = {{"name", PT_FIELD_TEXT, 1, 253, NULL, pt_spec_check_env, NULL, true},
                                             {"value", PT_FIELD_TEXT, 0, 16384, NULL, NULL, NULL, false},
                                             {.name = "valueFrom", .kind = PT_FIELD_TREE},
                                             {0}};
static const struct pt_field own_env_fields[] = {{"name", PT_FIELD_TEXT, 1, 253, NULL, NULL, NULL, true},
                                                 {"value", PT_FIELD_TEXT, 0, 16384, NULL, NULL, NULL, false},
                                                 {.name = "valueFrom", .kind = PT_FIELD_TREE},
                                                 {0}};
static const struct pt_field port_fields[] = {{"name", PT_FIELD_TEXT, 0, 15, NULL, pt_spec_check_port_name, NULL, false},
                                              {"containerPort", PT_FIELD_INT, 1, 65535, NULL, NULL, NULL, true},
                                              {"protocol", PT_FIELD_TEXT, 1, 16, NULL, NULL, NULL, false},
                                              {"hostPort", PT_FIELD_INT, 0, 65535, NULL, NULL, NULL, false},
                                              {"hostIP", PT_FIELD_TEXT, 0, 64, NULL, NULL, NULL, false},
                                              {0}};
static const struct pt_field mount_fields[] = {{"name", PT_FIELD_TEXT, 1, 63, NULL, NULL, NULL, true},
                                               {"mountPath", PT_FIELD_TEXT, 1, 1024, NULL, pt_spec_check_mount, NULL, true},
                                               {"subPath", PT_FIELD_TEXT, 0, 1024, NULL, NULL, NULL, false},
                                               {"subPathExpr", PT_FIELD_TEXT, 0, 1024, NULL, NULL, NULL, false},
                                               {.name = "readOnly", .kind = PT_FIELD_BOOL},
                                               {"mountPropagation", PT_FIELD_TEXT, 0, 32, NULL, NULL, NULL, false},
                                               {"recursiveReadOnly", PT_FIELD_TEXT, 0, 32, NULL, NULL, NULL, false},
                                               {0}};
/* Changes to our container. */
const struct pt_field pt_spec_sidecar_fields[] = {{"name", PT_FIELD_TEXT, 1, 63, NULL, NULL, NULL, true},
                                                  {"env", PT_FIELD_LIST, 0, 128, NULL, pt_spec_check_envs, env_fields, false},
                                                  {"imagePullPolicy", PT_FIELD_TEXT, 1, 16, NULL, pt_spec_check_pull_policy, NULL, false},
                                                  {.name = "securityContext", .kind = PT_FIELD_TREE},
                                                  {"volumeMounts", PT_FIELD_LIST, 0, 64, NULL, pt_spec_check_mounts, mount_fields, false},
                                                  {0}};
/* A container of the user's. What is in the trees the API server checks when the pod is made, strictly. */
const struct pt_field pt_spec_container_fields[] = {{"name", PT_FIELD_TEXT, 1, 63, NULL, NULL, NULL, true},
                                                    {"image", PT_FIELD_TEXT, 1, 512, NULL, pt_spec_check_image, NULL, true},
                                                    {"command", PT_FIELD_TEXTS, 0, 256, NULL, NULL, NULL, false},
                                                    {"args", PT_FIELD_TEXTS, 0, 256, NULL, NULL, NULL, false},
                                                    {"workingDir", PT_FIELD_TEXT, 0, 1024, NULL, NULL, NULL, false},
                                                    {"ports", PT_FIELD_LIST, 0, 32, NULL, NULL, port_fields, false},
                                                    {"envFrom", PT_FIELD_LIST, 0, 64, NULL, NULL, NULL, false},
                                                    {"env", PT_FIELD_LIST, 0, 128, NULL, pt_spec_check_envs, own_env_fields, false},
                                                    {.name = "resources", .kind = PT_FIELD_TREE},
                                                    {"resizePolicy", PT_FIELD_LIST, 0, 8, NULL, NULL, NULL, false},
                                                    {"restartPolicy", PT_FIELD_TEXT, 1, 16, NULL, NULL, NULL, false},
                                                    {"volumeMounts", PT_FIELD_LIST, 0, 64, NULL, pt_spec_check_mounts, mount_fields, false},
                                                    {"volumeDevices", PT_FIELD_LIST, 0, 64, NULL, NULL, NULL, false},
                                                    {.name = "livenessProbe", .kind = PT_FIELD_TREE},
                                                    {.name = "readinessProbe", .kind = PT_FIELD_TREE},
                                                    {.name = "startupProbe", .kind = PT_FIELD_TREE},
                                                    {.name = "lifecycle", .kind = PT_FIELD_TREE},
                                                    {"terminationMessagePath", PT_FIELD_TEXT, 0, 1024, NULL, NULL, NULL, false},
                                                    {"terminationMessagePolicy", PT_FIELD_TEXT, 1, 32, NULL, NULL, NULL, false},
                                                    {"imagePullPolicy", PT_FIELD_TEXT, 1, 16, NULL, pt_spec_check_pull_policy, NULL, false},
                                                    {.name = "securityContext", .kind = PT_FIELD_TREE},
                                                    {.name = "stdin", .kind = PT_FIELD_BOOL},
                                                    {.name = "stdinOnce", .kind = PT_FIELD_BOOL},
                                                    {.name = "tty", .kind = PT_FIELD_BOOL},
                                                    {0}};
static const struct pt_field pod_fields[] = {{"nodeSelector", PT_FIELD_MAP, 0, 64, NULL, pt_spec_check_node_selector, NULL, false},
                                             {"tolerations", PT_FIELD_LIST, 0, 64, NULL, NULL, NULL, false},
                                             {.name = "affinity", .kind = PT_FIELD_TREE},
                                             {"topologySpreadConstraints", PT_FIELD_LIST, 0, 16, NULL, NULL, NULL, false},
                                             {"priorityClassName", PT_FIELD_TEXT, 0, 253, NULL, NULL, NULL, false},
                                             {"serviceAccountName", PT_FIELD_TEXT, 0, 253, NULL, NULL, NULL, false},
                                             {"imagePullSecrets", PT_FIELD_LIST, 0, 16, NULL, NULL, secret_fields, false},
                                             {"volumes", PT_FIELD_LIST, 0, 64, NULL, pt_spec_check_volume, NULL, false},
                                             {.name = "securityContext", .kind = PT_FIELD_TREE},
                                             {"terminationGracePeriodSeconds", PT_FIELD_INT, 1, 7200, NULL, NULL, NULL, false},
                                             {"initContainers", PT_FIELD_LIST, 0, 8, NULL, pt_spec_check_init_containers, NULL, false},
                                             {"containers", PT_FIELD_LIST, 0, 8, NULL, pt_spec_check_containers, NULL, false},
                                             {.name = "automountServiceAccountToken", .kind = PT_FIELD_BOOL},
                                             {.name = "shareProcessNamespace", .kind = PT_FIELD_BOOL},
                                             {"hostAliases", PT_FIELD_LIST, 0, 64, NULL, NULL, NULL, false},
                                             {"dnsPolicy", PT_FIELD_TEXT, 1, 32, NULL, pt_spec_check_dns_policy, NULL, false},
                                             {.name = "dnsConfig", .kind = PT_FIELD_TREE},
                                             {"runtimeClassName", PT_FIELD_TEXT, 0, 253, NULL, NULL, NULL, false},
                                             {"schedulerName", PT_FIELD_TEXT, 0, 253, NULL, NULL, NULL, false},
                                             {"resourceClaims", PT_FIELD_LIST, 0, 32, NULL, NULL, NULL, false},
                                             {0}};
static const struct pt_field template_meta_fields[] = {{"labels", PT_FIELD_MAP, 0, 64, NULL, pt_spec_check_labels, NULL, false},
                                                       {"annotations", PT_FIELD_MAP, 0, 64, NULL, pt_spec_check_annotations, NULL, false},
                                                       {0}};
static const struct pt_field template_fields[] = {{"metadata", PT_FIELD_OBJECT, 0, 0, NULL, NULL, template_meta_fields, false},
                                                  {"spec", PT_FIELD_OBJECT, 0, 0, NULL, NULL, pod_fields, false},
                                                  {0}};
/* Times as of the sidecar's configuration; thresholds and what follows from them are the operator's business, and so replace no pod. */
#define DAY_MS (24 * (int64_t)HOUR_MS)
static const struct pt_field threshold_fields[] = {{"figure", PT_FIELD_TEXT, 1, 64, NULL, pt_spec_check_figure, NULL, true},
                                                   {.name = "min", .kind = PT_FIELD_NUMBER},
                                                   {.name = "max", .kind = PT_FIELD_NUMBER},
                                                   {0}};
static const struct pt_field when_fields[] = {{"when", PT_FIELD_TEXTS, 0, PT_FIGURE_COUNT, NULL, NULL, NULL, true}, {0}};
const struct pt_field pt_spec_monitoring_fields[] = {{"task", PT_FIELD_TEXT, 1, 32, "\"auto\"", pt_spec_check_task, NULL, false},
                                                    {"output", PT_FIELD_TEXT, 1, 255, NULL, NULL, NULL, false},
                                                    {"classes", PT_FIELD_TEXT, 1, 4095, NULL, NULL, NULL, false},
                                                    {"positive", PT_FIELD_INT, 0, 63, "1", NULL, NULL, false},
                                                    {"group", PT_FIELD_TEXT, 1, 255, NULL, NULL, NULL, false},
                                                    {"minCount", PT_FIELD_INT, 1, 1000000, "30", NULL, NULL, false},
                                                    {"lowConfidence", PT_FIELD_INT, 0, 100, "50", NULL, NULL, false},
                                                    {"window", PT_FIELD_DURATION, 1000, 30 * DAY_MS, "\"1h\"", NULL, NULL, false},
                                                    {"labelTtl", PT_FIELD_DURATION, 1000, 30 * DAY_MS, "\"24h\"", NULL, NULL, false},
                                                    {"profile", PT_FIELD_TEXT, 1, 1024, NULL, pt_spec_check_pod_path, NULL, false},
                                                    {0}};
const struct pt_field pt_spec_verdict_fields[] = {{"thresholds", PT_FIELD_LIST, 0, PT_FIGURE_COUNT, NULL, NULL, threshold_fields, false},
                                                 {"minSamples", PT_FIELD_INT, 1, 1000000000, "100", NULL, NULL, false},
                                                 {"period", PT_FIELD_DURATION, 1000, DAY_MS, "\"60s\"", NULL, NULL, false},
                                                 {"periods", PT_FIELD_INT, 1, 1000, "3", NULL, NULL, false},
                                                 {"rollback", PT_FIELD_OBJECT, 0, 0, NULL, NULL, when_fields, false},
                                                 {0}};
static const struct pt_field output_fields[] = {{"uri", PT_FIELD_TEXT, 1, 1024, NULL, pt_spec_check_output_uri, NULL, true},
                                                {"credentialsSecretRef", PT_FIELD_OBJECT, 0, 0, NULL, NULL, secret_fields, false},
                                                {0}};
/* Only recipe and output shape what is served: spec.c. */
static const struct pt_field compression_fields[] = {{.name = "recipe", .kind = PT_FIELD_TREE, .check = pt_spec_check_recipe, .required = true},
                                                     {"output", PT_FIELD_OBJECT, 0, 0, NULL, NULL, output_fields, true},
                                                     {"volumes", PT_FIELD_LIST, 0, 64, NULL, pt_spec_check_volume, NULL, false},
                                                     {"volumeMounts", PT_FIELD_LIST, 0, 64, NULL, pt_spec_check_mounts, mount_fields, false},
                                                     {"resources", PT_FIELD_TREE, 0, 0, NULL, pt_spec_check_resources, NULL, false},
                                                     {"image", PT_FIELD_TEXT, 0, 512, "\"\"", pt_spec_check_image, NULL, false},
                                                     {"timeout", PT_FIELD_DURATION, 1000, 168 * HOUR_MS, "\"24h\"", NULL, NULL, false},
                                                     {"backoffLimit", PT_FIELD_INT, 0, 100, "3", NULL, NULL, false},
                                                     {0}};
/* What shapes pods, and so a revision. */
const struct pt_field pt_spec_user_fields[] = {{"model", PT_FIELD_OBJECT, 0, 0, NULL, NULL, model_fields, true},
                                               {"runtime", PT_FIELD_OBJECT, 0, 0, NULL, NULL, runtime_fields, false},
                                               {"serving", PT_FIELD_OBJECT, 0, 0, NULL, NULL, serving_fields, false},
                                               {"resources", PT_FIELD_TREE, 0, 0, NULL, pt_spec_check_resources, NULL, false},
                                               {"template", PT_FIELD_OBJECT, 0, 0, NULL, NULL, template_fields, false},
                                               {"drain", PT_FIELD_OBJECT, 0, 0, NULL, NULL, drain_fields, false},
                                               {"monitoring", PT_FIELD_OBJECT, 0, 0, NULL, pt_spec_check_monitoring, pt_spec_monitoring_fields, false},
                                               {"compression", PT_FIELD_OBJECT, 0, 0, NULL, NULL, compression_fields, false},
                                               {0}};
static const struct pt_field rolling_fields[] = {
    {"maxSurge", PT_FIELD_AMOUNT, 0, 1000, NULL, NULL, NULL, false}, {"maxUnavailable", PT_FIELD_AMOUNT, 0, 1000, NULL, NULL, NULL, false}, {0}};
static const struct pt_field strategy_fields[] = {{"type", PT_FIELD_TEXT, 1, 32, NULL, pt_spec_check_strategy_type, NULL, false},
                                                  {"rollingUpdate", PT_FIELD_OBJECT, 0, 0, NULL, NULL, rolling_fields, false},
                                                  {.name = "canary", .kind = PT_FIELD_LATER},
                                                  {0}};
static const struct pt_field disruption_fields[] = {{"maxUnavailable", PT_FIELD_AMOUNT, 0, 1000, NULL, NULL, NULL, true}, {0}};
static const struct pt_field autoscaling_fields[] = {
    {"minReplicas", PT_FIELD_INT, 1, 1000, "1", NULL, NULL, false},
    {"maxReplicas", PT_FIELD_INT, 1, 1000, NULL, NULL, NULL, true},
    {"metric", PT_FIELD_TEXT, 1, 32, "\"Concurrency\"", pt_spec_check_metric, NULL, false},
    {"target", PT_FIELD_TARGET, 1, 1000000, NULL, NULL, NULL, false},
    {"stableWindow", PT_FIELD_DURATION, 6000, (PT_AUTOSCALE_SECONDS - 1) * 1000, "\"60s\"", NULL, NULL, false},
    {"panicWindowPercent", PT_FIELD_INT, 1, 100, "10", NULL, NULL, false},
    {"panicThresholdPercent", PT_FIELD_INT, 110, 1000, "200", NULL, NULL, false},
    {"scaleDownDelay", PT_FIELD_DURATION, 0, (PT_AUTOSCALE_SECONDS - 1) * 1000, "\"30s\"", NULL, NULL, false},
    {0}};
/* What does not: how pods are replaced and how many there are. */
const struct pt_field pt_spec_other_fields[] = {{"replicas", PT_FIELD_INT, 0, 1000, "1", NULL, NULL, false},
                                                {"strategy", PT_FIELD_OBJECT, 0, 0, NULL, NULL, strategy_fields, false},
                                                {"minReadySeconds", PT_FIELD_INT, 0, 3600, "0", NULL, NULL, false},
                                                {"progressDeadlineSeconds", PT_FIELD_INT, 1, 86400, "600", NULL, NULL, false},
                                                {"revisionHistoryLimit", PT_FIELD_INT, 0, 100, "10", NULL, NULL, false},
                                                {.name = "paused", .kind = PT_FIELD_BOOL},
                                                {"disruption", PT_FIELD_OBJECT, 0, 0, NULL, NULL, disruption_fields, false},
                                                {"autoscaling", PT_FIELD_OBJECT, 0, 0, NULL, NULL, autoscaling_fields, false},
                                                {0}};
