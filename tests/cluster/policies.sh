# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by run, after steps.sh: what the NetworkPolicies of the chart (networkPolicy) and of examples/network-policy.yaml let through, and what they do not,
# by connections of real pods. The cluster's own network enforces none; kube-router does, as a daemon of the node, for the time of this step. Each connection
# is first made without it: all are answered then, so that a refusal is the policy's.

enforcer_starts() {
  spawn kube-router "$kube_router" --kubeconfig "$state/admin.conf" --hostname-override $node --run-firewall=true --run-router=false --run-service-proxy=false \
    --service-cluster-ip-range $service_cidr --metrics-port 0 --health-port 0 -v 1
}
# Its rules and sets go with it; those of others in the same table stay.
enforcer_ends() {
  if alive kube-router; then kill -KILL "$(child_of "$(pid_of kube-router)")"; fi
  rm -f "$state"/run/kube-router{,.cmd}
  # shellcheck disable=SC2016
  node bash -c 'iptables-save -t filter | grep -v -e KUBE-ROUTER- -e KUBE-POD-FW- -e KUBE-NWPLCY- | iptables-restore -T filter; ipset destroy' 2>/dev/null || true
}

# A pod that does nothing but have an address and labels.
bystander() { # NAMESPACE NAME [LABEL]
  k -n "$1" run "$2" --image=pintle.local/pause:1 --labels="bystander=true${3:+,$3}" --overrides='{"spec": {"automountServiceAccountToken": false, "securityContext":
    {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "'"$2"'", "image": "pintle.local/pause:1", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}'
}
address_of() { k -n "$1" get pods -l "$2" -o jsonpath='{.items[0].status.podIP}'; } # NAMESPACE SELECTOR

# shellcheck disable=SC2016
in_pod='pod() { # ADDRESS: the network namespace of the pod that has it
    local n; for n in /run/netns/*; do if nsenter --net="$n" ip -4 -o address show dev eth0 2>/dev/null | grep -qF " $1/"; then echo "$n"; return; fi; done; return 1; }'
# from ADDRESS CMD...: in the network of the pod that has the address
# shellcheck disable=SC2016
from() { node bash -c "$in_pod"'; n=$(pod "$0") && exec nsenter --net="$n" "$@"' "$@"; }

# connections FILE yes|as-told: FILE has FROM ADDRESS PORT yes|no WHAT; FROM is a pod, or the node
# shellcheck disable=SC2016
connections() {
  node bash -c "$in_pod"'; declare -A net; wrong=0
    while read -r source address port want what; do
      [ "$0" = as-told ] || want=yes
      [ "$source" = node ] || [ -n "${net[$source]-}" ] || net[$source]=$(pod "$source") || exit 9
      inside=(); [ "$source" = node ] || inside=(nsenter --net="${net[$source]}")
      if "${inside[@]}" timeout 3 bash -c "</dev/tcp/$address/$port" 2>/dev/null </dev/null; then got=yes; else got=no; fi
      echo "$got, wanted $want: $what ($source -> $address:$port)"
      [ $got = "$want" ] || wrong=$((wrong + 1))
    done
    [ $wrong = 0 ]' "$2" <"$1"
}

policies() {
  local leader_ip other_ip model_ip stranger client prometheus recipe first namespace
  k create namespace elsewhere
  k create namespace monitoring
  bystander elsewhere stranger
  bystander elsewhere recipe app.kubernetes.io/managed-by=pintle-compression
  bystander monitoring prometheus
  bystander $models client may-ask=models
  node helm upgrade pintle charts/pintle --namespace $operator --reset-then-reuse-values --set networkPolicy.enabled=true,customMetrics.enabled=true \
    --set-json 'networkPolicy.metricsFrom=[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]' --wait --timeout 90s
  k -n $models apply -f examples/network-policy.yaml
  for namespace in elsewhere monitoring $models; do k -n $namespace wait --for condition=Ready pod -l bystander --timeout 60s; done
  stranger=$(k -n elsewhere get pod stranger -o jsonpath='{.status.podIP}') recipe=$(k -n elsewhere get pod recipe -o jsonpath='{.status.podIP}')
  client=$(k -n $models get pod client -o jsonpath='{.status.podIP}') prometheus=$(k -n monitoring get pod prometheus -o jsonpath='{.status.podIP}')
  leader_ip=$(address_of $operator pintle.dev/role=leader) other_ip=$(address_of $operator pintle.dev/role=standby)
  model_ip=$(address_of $models pintle.dev/model-deployment=digits)
  cat >"$work/connections" <<END
$model_ip $leader_ip 8443 yes reports of a pod that serves a model
$recipe $leader_ip 8443 yes reports of a pod that runs a recipe
$stranger $leader_ip 8443 no reports of anybody else
$client $leader_ip 8443 no reports of a client of models
$prometheus $leader_ip 8443 no reports of Prometheus
$prometheus $leader_ip 8081 yes metrics of the operator
$prometheus $other_ip 8081 yes metrics of the one that stands by
$stranger $leader_ip 8081 no the operator's metrics, asked by anybody else
$model_ip $leader_ip 8081 no the operator's metrics, asked by a pod that serves a model
node $leader_ip 8081 yes probes of the operator
node $leader_ip 8444 yes the API server asks for custom metrics
$stranger $leader_ip 8444 yes custom metrics, where only the certificate tells who asks
$leader_ip $service_api 443 yes the operator and the API server, by its Service
$leader_ip $node_ip 6443 yes the operator and the API server
$leader_ip $node_ip 53 yes the operator and DNS
$leader_ip $node_ip 10250 no the operator and a kubelet
$leader_ip $model_ip 8080 no the operator and a model
$client $model_ip 8080 yes a client of models
$client $model_ip 8081 yes a client of models, gRPC
$client $model_ip 8082 no metrics of a model, asked by a client
$prometheus $model_ip 8082 yes metrics of a model
$prometheus $model_ip 8080 no a model, asked by Prometheus
$stranger $model_ip 8080 no a model, asked from elsewhere
$stranger $model_ip 8082 no metrics of a model, asked from elsewhere
node $model_ip 8082 yes probes of a model
$model_ip $node_ip 53 yes a pod that serves a model and DNS
$model_ip $service_api 443 no a pod that serves a model and the API server
$model_ip $node_ip 10250 no a pod that serves a model and a kubelet
END
  connections "$work/connections" yes                     # nobody enforces: the forbidden ones work, too
  trap enforcer_ends EXIT
  enforcer_starts
  eventually 30 connections "$work/connections" as-told
  connections "$work/connections" as-told
  # A connection is not all: what goes over them is answered, by the Services' addresses and names.
  from "$prometheus" curl -sS -m 10 "http://pintle-operator-metrics.$operator.svc.cluster.local:8081/metrics" | grep '^pintle_'
  from "$client" curl -sS -m 10 "$endpoint" | jq -e '.name == "digits"'
  k get --raw $metrics_api | jq -e '.resources | length > 0'
  # Pods that come while it is enforced: a leader that hands over, two more models, whose reports make them ready.
  first=$(leader)
  k -n $operator delete pod "$first" --wait=false
  eventually 30 other_leads "$first"
  k -n $models scale mdep/digits --replicas=2
  eventually 60 serving 2
  mdep_is '.status.model.loadedReplicas == 2'
  node helm test pintle --namespace $operator --timeout 60s
  k -n $operator rollout status deployment/pintle-operator --timeout 60s
  k -n $models scale mdep/digits --replicas=1
  eventually 60 serving 1
  enforcer_ends
  trap - EXIT
  k -n $models delete -f examples/network-policy.yaml
  k delete namespace elsewhere monitoring --wait=false
  k -n $models delete pod client --wait=false
  echo "$(grep -c ' yes ' "$work/connections") connections that are to work and $(grep -c ' no ' "$work/connections") that are not" | tee "$work/note"
}
