# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by run, after steps.sh: the chart by itself. What its values do, what is refused, and what the API server says of all it can make.

helms=(helm helm3)
both() { local h; for h in "${helms[@]}"; do "$h" "$@" || return 1; done; }

# What is not a value, or not of its kind, is refused.
refused_values() {
  cat <<'END'
--set replicas=0
--set replicas=two
--set imgae.tag=1
--set image.tagg=1
--set image.digest=sha256:12
--set image.pullPolicy=Sometimes
--set namespace=Not_A_Name
--set extraArgs=--qps
--set extraEnv[0].nam=A
--set extraEnv[0].name=A,extraEnv[0].valeu=B
--set commonLabels.a=1
--set podAnnotations=text
--set resources.request.cpu=1
--set logLevel=loud
--set crds.keep=maybe
--set serviceAccount.nmae=x
--set rbac.create=yes-please
--set podDisruptionBudget.maxUnavailable=0
--set-string podDisruptionBudget.maxUnavailable=half
--set revisionHistoryLimit=-1
--set dnsPolicy=Cluster
--set volumeMounts[0].name=x
--set tolerations=all
--set networkPolicy.metricsFrom[0].podSelectr.a=b
--set networkPolicy.egress[0].port=1
--set monitoring.interval=often
--set topologySpreadConstraints[0].maxSkew=1
END
}
# What values do: VALUES, then a line that is there with them and not without.
effects() {
  cat <<'END'
--set namespace=other|  namespace: other
--set watchNamespace=shop|        - --watch-namespace=shop
--set watchNamespace=shop|  name: pintle-operator-models
--set logLevel=debug|        - --log-level=debug
--set extraArgs={--kube-api-qps=5}|        - "--kube-api-qps=5"
--set serviceAccount.name=mine|      serviceAccountName: mine
--set serviceAccount.create=false|      serviceAccountName: default
--set serviceAccount.automount=false|      automountServiceAccountToken: false
--set deploymentAnnotations.a=b|    a: b
--set-string podAnnotations.a=true|        a: "true"
--set podLabels.tier=x|        tier: x
--set commonLabels.team=x|    team: x
--set nodeSelector.disk=fast|        disk: fast
--set priorityClassName=high|      priorityClassName: "high"
--set runtimeClassName=kata|      runtimeClassName: "kata"
--set dnsPolicy=Default|      dnsPolicy: Default
--set dnsConfig.nameservers={192.0.2.1}|        - 192.0.2.1
--set hostAliases[0].ip=192.0.2.1|      - ip: 192.0.2.1
--set revisionHistoryLimit=0|  revisionHistoryLimit: 0
--set podDisruptionBudget.maxUnavailable=50%|  maxUnavailable: 50%
--set podSecurityContext.fsGroup=7|        fsGroup: 7
--set securityContext.runAsUser=7|          runAsUser: 7
--set volumes[0].name=v,volumes[0].emptyDir.medium=Memory|          medium: Memory
--set volumeMounts[0].name=v,volumeMounts[0].mountPath=/v|        - mountPath: /v
--set tolerations[0].operator=Exists|      - operator: Exists
--set affinity.podAffinity.x=y|        podAffinity:
--set imagePullSecrets[0].name=s|      - name: s
--set image.registry=,image.repository=o,image.tag=v7|        image: o:v7
--set sidecar.image.registry=r:5000,sidecar.image.tag=v7|        - --sidecar-image=r:5000/pintle/sidecar:v7
--set networkPolicy.enabled=true|kind: NetworkPolicy
--set customMetrics.enabled=true|kind: APIService
--set monitoring.dashboard=true|    grafana_dashboard: "1"
END
}
# What values take away: VALUES, then a line that is there without them and not with them.
absences() {
  cat <<'END'
--set serviceAccount.create=false|kind: ServiceAccount
--set rbac.create=false|kind: ClusterRoleBinding
--set rbac.create=false|kind: RoleBinding
--set rbac.aggregate=false|  name: pintle-edit
--set crds.enabled=false|kind: CustomResourceDefinition
--set crds.keep=false|    helm.sh/resource-policy: keep
--set podDisruptionBudget.enabled=false|kind: PodDisruptionBudget
--set replicas=1|kind: PodDisruptionBudget
--set flowSchema.enabled=false|kind: FlowSchema
--set podSecurityContext.runAsUser=null|        runAsUser: 65532
END
}

# shellcheck disable=SC2086
rendered() { "$1" template pintle charts/pintle --namespace $operator $2; } # HELM VALUES
chart_lint() {
  local values set line h
  deploy/generate --check
  for values in values.yaml ci/all-values.yaml; do both lint --strict charts/pintle -f charts/pintle/$values; done
  set -f                                                  # [0] is no pattern
  for h in "${helms[@]}"; do
    while read -r set; do
      if rendered "$h" "$set" >/dev/null 2>"$work/refusal"; then echo "$h accepted $set"; return 1; fi
      grep -qi 'schema' "$work/refusal" || { echo "$h $set:"; cat "$work/refusal"; return 1; }
    done < <(refused_values)
  done
  rendered helm "" >"$work/plain"
  while IFS='|' read -r set line; do
    rendered helm "$set" >"$work/with"
    grep -qxF -e "$line" "$work/with" || { echo "$set does not make \"$line\""; return 1; }
    if grep -qxF -e "$line" "$work/plain"; then echo "\"$line\" is there without $set"; return 1; fi
  done < <(effects)
  while IFS='|' read -r set line; do
    rendered helm "$set" >"$work/with"
    grep -qxF -e "$line" "$work/plain" || { echo "\"$line\" is not there without $set"; return 1; }
    if grep -qxF -e "$line" "$work/with"; then echo "$set leaves \"$line\""; return 1; fi
  done < <(absences)
  set +f
}

# All that the chart can make, as an API server takes it that knows the Prometheus operator's resources: no unknown field, nothing invalid. Then for good,
# and what the monitors select is there, has the port that they name, and answers.
monitors() {
  local values monitor selector port address count=0
  k apply --server-side -f "$monitoring_crds"
  for monitor in servicemonitors podmonitors prometheusrules; do k wait --for condition=Established crd/$monitor.monitoring.coreos.com --timeout 20s; done
  for values in values.yaml ci/all-values.yaml; do
    helm template pintle charts/pintle --namespace $operator -f charts/pintle/$values --set namespace=$operator --set watchNamespace="$([ $values = values.yaml ] || echo $models)" >"$work/all.yaml"
    k apply --dry-run=server --validate=strict -f "$work/all.yaml"
  done
  # so that this can fail
  if sed 's/^ *podMetricsEndpoints:/  podMetricEndpoints:/' "$work/all.yaml" | k apply --dry-run=server --validate=strict -f - >/dev/null 2>&1; then echo "an unknown field was accepted"; return 1; fi
  node helm upgrade pintle charts/pintle --namespace $operator --reset-then-reuse-values --set monitoring.operator=true,monitoring.models=true,monitoring.rules=true,monitoring.dashboard=true --wait --timeout 90s
  k -n $operator get prometheusrule pintle -o json | jq -e '[.spec.groups[].rules[]] | length > 3 and all(.alert and .expr)'
  k -n $operator get configmap -l grafana_dashboard=1 -o json | jq -e '.items[0].data["pintle.json"] | fromjson | .panels | length > 3'
  labels() { jq -r '.spec.selector.matchLabels | to_entries | map("\(.key)=\(.value)") | join(",")'; }
  k -n $operator get servicemonitor pintle-operator -o json >"$work/monitor.json"
  selector=$(labels <"$work/monitor.json") port=$(jq -r '.spec.endpoints[0].port' "$work/monitor.json")
  k -n $operator get services -l "$selector" -o json | jq -r --arg port "$port" '.items[] | .metadata.name as $name | .spec.ports[] | select(.name == $port) | $name' >"$work/services"
  [ "$(cat "$work/services")" = pintle-operator-metrics ] # one, not two: each operator is asked once
  k -n $operator get endpointslices -l kubernetes.io/service-name=pintle-operator-metrics -o json |
    jq -r --arg port "$port" '.items[] | (.ports[] | select(.name == $port).port) as $p | .endpoints[].addresses[0] + ":\($p)"' >"$work/targets"
  [ "$(wc -l <"$work/targets")" = 2 ]
  k -n $operator get podmonitor pintle-models -o json >"$work/monitor.json"
  selector=$(labels <"$work/monitor.json") port=$(jq -r '.spec.podMetricsEndpoints[0].port' "$work/monitor.json")
  jq -e '.spec.namespaceSelector.any' "$work/monitor.json"
  k get pods -A -l "$selector" -o json | jq -r --arg port "$port" '.items[] | .status.podIP as $ip | (.spec | .containers + (.initContainers // []))[].ports[]? | select(.name == $port) | "\($ip):\(.containerPort)"' >>"$work/targets"
  [ "$(wc -l <"$work/targets")" = "$((2 + $(pods | jq '.items | length')))" ]
  while read -r address; do
    node curl -sS --fail -m 10 "http://$address/metrics" </dev/null | grep '^pintle_' >/dev/null
    count=$((count + 1))
  done <"$work/targets"
  node helm upgrade pintle charts/pintle --namespace $operator --reuse-values --set monitoring.operator=false,monitoring.models=false,monitoring.rules=false,monitoring.dashboard=false --wait --timeout 90s
  [ -z "$(k get servicemonitors,podmonitors,prometheusrules -A -o name)" ]
  k delete -f "$monitoring_crds" --timeout 60s
  echo "$count targets of a ServiceMonitor and a PodMonitor answer" | tee "$work/note"
}
