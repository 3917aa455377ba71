# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by run, after steps.sh: what goes wrong in clusters, under a constant rate of requests through the Service, each on a connection of its own;
# none may fail. `run` does a handful of each, `soak` as many as it is told ($rounds).

rounds=${rounds:-2}
some() { echo $((rounds / $1 > 0 ? rounds / $1 : 1)); }   # a share of the rounds, at least one

under_load() { # WHAT COUNT FUNCTION: FUNCTION so often, with the number of the round
  local i begin=$EPOCHREALTIME
  load_starts 40
  for ((i = 1; i <= $2; i++)); do "$3" "$i"; done
  load_ends
  echo "$2 $1 in $(since "$begin") s, $(wc -l <"$work/load.log") requests, 0 failed" | tee "$work/note"
}

two_replicas() {
  patch '{"spec": {"replicas": 2, "disruption": {"maxUnavailable": 1}}}'
  eventually 60 serving 2
  eventually 10 answers
}

# --- what a user does -----------------------------------------------------------------------------------------------

one_rollout() { patch '{"spec": {"template": {"metadata": {"labels": {"round": "'"$1"'"}}}}}'; eventually 120 rolled_out "$1"; }
rolled_out() { serving 2 && pods_are "all(.items[]; .metadata.labels.round == \"$1\")"; }
rollouts() { under_load rollouts "$rounds" one_rollout; }

one_scale_down() {
  k -n $models scale mdep/digits --replicas=4; eventually 60 serving 4
  k -n $models scale mdep/digits --replicas=2; eventually 60 serving 2
}
scale_downs() { under_load "scale-downs from 4 to 2" "$(some 4)" one_scale_down; }

one_kill() {
  local name; name=$(pods | jq -r '.items[0].metadata.name')
  k -n $models delete pod "$name" --wait=false
  eventually 60 pods_are "all(.items[]; .metadata.name != \"$name\")"
  eventually 60 serving 2
}
kills() { under_load "pods deleted by hand" "$(some 4)" one_kill; }

# There is one node: the drain takes one pod, whose successor finds no place; the budget keeps the other until the node is free again.
one_drain() {
  local before; before=$(pods | jq -c '[.items[].metadata.name]')
  k drain $node --pod-selector=pintle.dev/model-deployment=digits --ignore-daemonsets --delete-emptydir-data --timeout 120s >"$work/drain.log" 2>&1 &
  local drain=$!
  eventually 60 grep -q 'would violate the pod.s disruption budget' "$work/drain.log"
  pods_are "[.items[] | select(.status.conditions[]? | .type == \"Ready\" and .status == \"True\")] | length >= 1"
  k uncordon $node
  wait $drain || { cat "$work/drain.log"; return 1; }
  k uncordon $node
  eventually 90 serving 2
  pods_are ".items | all(.metadata.name as \$n | $before | index(\$n) | not)"
}
drains() { under_load "node drains that a budget slowed down" "$(some 20)" one_drain; }

# --- what happens to the control plane ------------------------------------------------------------------------------

one_apiserver_restart() {
  "$here/restart" kube-apiserver 2
  eventually 30 k get --raw /readyz
  one_rollout "restart-$1"
}
apiserver_restarts() { under_load "kills of the API server, each followed by a rollout" "$(some 20)" one_apiserver_restart; }

one_hand_over() {
  local first; first=$(leader)
  k -n $operator delete pod "$first" --wait=false
  eventually 30 other_leads "$first"
  one_rollout "leader-$1"
  k -n $operator rollout status deployment/pintle-operator --timeout 60s
}
hand_overs() { under_load "leader hand-overs, each followed by a rollout" "$(some 20)" one_hand_over; }

# The process of a leader stands still past its Lease, as on a machine that has no time for it: another leads; it wakes up, stands by and leads again when
# that one stands still. No process ends.
operator_process() { # POD
  local p
  for p in $(node pgrep -x pintle-operator); do
    if node cat "/proc/$p/environ" | tr '\0' '\n' | grep -qxF "POD_NAME=$1"; then echo "$p"; fi
  done
}
stands_by() { k -n $operator get pod "$1" -o json | jq -e '.metadata.labels["pintle.dev/role"] == "standby"'; }
one_freeze() {
  local first process; first=$(leader) process=$(operator_process "$first")
  node kill -STOP "$process"
  eventually 60 other_leads "$first"
  one_rollout "frozen-$1"
  node kill -CONT "$process"
  eventually 30 stands_by "$first"
}
two_freezes() {
  local first; first=$(leader)
  one_freeze 1; one_freeze 2
  [ "$(leader)" = "$first" ]
  k -n $operator logs "$first" --tail 100 | grep 'leadership lost, standing by'
  k -n $operator get pods -l app.kubernetes.io/component=operator -o json | jq -e 'all(.items[]; .status.containerStatuses[0].restartCount == 0)'
}
freezes() { under_load "leaders frozen past their Lease, each followed by a rollout" 1 two_freezes; }

# Another authority for the cluster, by the book (rotate-ca). Operators go on in the same processes with what they find mounted, without a call that did not
# believe the API server, and keep no connection from before the old authority was withdrawn.
mounted() { echo "/proc/$1/root/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"; } # PROCESS
handed_out() { # to every operator, what the cluster trusts by now
  local p
  for p in $(node pgrep -x pintle-operator); do node cmp -s "$state/pki/ca.crt" "$(mounted "$p")" || return 1; done
}
rotate() { # STAGE: and hand it out, sooner than the kubelet would by itself: it looks when a pod changes
  "$here/rotate-ca" "$1"
  eventually 60 published
  k -n $operator annotate pods -l app.kubernetes.io/component=operator --overwrite pintle-test/look="$1-$RANDOM"
  eventually 90 handed_out
}
published() { k -n $operator get configmap kube-root-ca.crt -o jsonpath='{.data.ca\.crt}' | cmp -s - "$state/pki/ca.crt"; }
operators() { k -n $operator get pods -l app.kubernetes.io/component=operator -o json | jq -c '[.items[] | {uid: .metadata.uid, restarts: .status.containerStatuses[0].restartCount}] | sort'; }
held_open() { # connections of every operator to the API server: PROCESS LOCAL-ADDRESS
  local p
  for p in $(node pgrep -x pintle-operator); do node nsenter -t "$p" -n ss -tnH state established dst $service_api | awk -v p="$p" '{ print p, $3 }'; done | sort
}
all_new() { [ -s "$work/held" ] && held_open >"$work/held.now" && [ -s "$work/held.now" ] && ! grep -qxF -f "$work/held" "$work/held.now"; }
lease_time() { k -n $operator get lease pintle-operator -o jsonpath='{.spec.renewTime}'; }
lease_renewed() { [ "$(lease_time)" != "$1" ]; }
works_on() { # NAME: of a ModelDeployment that is new, in a namespace of its own
  local at; at=$(lease_time)
  jq -c ".metadata.name = \"$1\"" "$work/model.json" | k -n rotated create -f -
  k -n rotated wait --for condition=Ready "mdep/$1" --timeout 60s
  eventually 20 lease_renewed "$at"
}
one_ca_rotation() {
  local before since; before=$(operators) since=$(date -u +%FT%TZ)
  namespace rotated 0
  cp "$state/pki/admin.crt" "$state/pki/admin.key" "$work"
  rotate trust
  works_on both
  rotate sign
  works_on signed
  held_open >"$work/held"
  rotate withdraw
  eventually 20 all_new
  works_on withdrawn
  eventually 70 withdrawn
  [ "$(operators)" = "$before" ]
  if k -n $operator logs -l app.kubernetes.io/component=operator --since-time "$since" --tail 1000 --prefix | grep -i 'certificate.* not OK'; then return 1; fi
  k delete namespace rotated --timeout 60s
}
withdrawn() { [ "$(node curl -sk -m 5 -o "$work/answer.json" -w '%{http_code}' --cert "$work/admin.crt" --key "$work/admin.key" https://127.0.0.1:6443/api/v1/nodes)" = 401 ]; }
ca_rotations() { under_load "rotations of the cluster's certificate authority" "$(some 20)" one_ca_rotation; }

one_upgrade() {
  local uids; uids=$(pods | jq -c '[.items[].metadata.uid] | sort')
  node helm upgrade pintle charts/pintle --namespace $operator --reuse-values --set-string podAnnotations.round="$1" --wait --timeout 90s
  pods_are "([.items[].metadata.uid] | sort) == $uids"
}
upgrades() { under_load "operator upgrades that replaced no pod" "$(some 20)" one_upgrade; }

# --- what a cluster denies ------------------------------------------------------------------------------------------

# namespace NAME COUNT: with the model and so many ModelDeployments of it, m1, m2 ... They ask for little: 200 of them are to find room on a small node.
namespace() {
  local i
  k create namespace "$1"
  k label namespace "$1" pod-security.kubernetes.io/enforce=restricted
  k -n $models get configmap digits-model -o json | jq 'del(.metadata.uid, .metadata.resourceVersion, .metadata.namespace, .metadata.annotations)' | k -n "$1" create -f -
  mdep | jq 'del(.status, .spec.disruption) | .metadata |= {name, labels} | .spec.replicas = 1 | .spec.resources.requests = {cpu: "2m", memory: "16Mi"} | .spec.drain = {timeout: "4s"} | .spec.template.metadata = null' >"$work/model.json"
  for ((i = 1; i <= $2; i++)); do jq -c ".metadata.name = \"m$i\"" "$work/model.json"; done >"$work/models.json"
  [ "$2" = 0 ] || k -n "$1" create -f "$work/models.json" >/dev/null
}
all_ready() { # NAMESPACE COUNT
  [ "$(k -n "$1" get mdep -o json | jq '[.items[] | select(.status.conditions[]? | .type == "Ready" and .status == "True") | select(.status.observedGeneration == .metadata.generation)] | length')" = "$2" ]
}
says() { k -n "$1" get mdep m1 -o json | jq -e ".status.conditions | any(.[]; .message | test(\"$2\"))"; }   # NAMESPACE REGEX
gone() { ! k get namespace "$1"; }

namespace_deleted() {
  namespace doomed 4
  eventually 60 all_ready doomed 4
  k -n doomed get mdep -o name | while read -r m; do k -n doomed patch "$m" --type merge -p '{"spec": {"replicas": 3, "template": {"metadata": {"labels": {"round": "2"}}}}}'; done
  k delete namespace doomed --wait=false                  # in the middle of four rollouts
  eventually 120 gone doomed
  k -n $operator get pods -l app.kubernetes.io/component=operator -o json | jq -e 'all(.items[]; all(.status.conditions[]; .type != "Ready" or .status == "True"))'
}

quota_denied() {
  namespace poor 1
  eventually 60 all_ready poor 1
  k -n poor create quota pods --hard=pods=1
  k -n poor scale mdep/m1 --replicas=2
  eventually 60 says poor 'exceeded quota'
  k -n poor get mdep m1 -o json | jq -e '.status.readyReplicas == 1'
  k -n poor patch quota pods --type merge -p '{"spec": {"hard": {"pods": "5"}}}'
  eventually 120 all_ready poor 1
  k delete namespace poor --wait=false
}

webhook_denied() {
  namespace guarded 0
  # A webhook that nobody answers, and that must be asked.
  k create -f - <<END
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: pintle-test-guard}
webhooks:
- name: guard.pintle.test
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 2
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: guarded}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  clientConfig: {service: {namespace: guarded, name: nobody}}
END
  jq -c '.metadata.name = "m1"' "$work/model.json" | k -n guarded create -f -
  eventually 60 says guarded 'guard.pintle.test'
  k delete validatingwebhookconfiguration pintle-test-guard
  eventually 120 all_ready guarded 1
  k delete namespace guarded --wait=false
}

crowd() {
  local count=$((rounds * 2 > 8 ? rounds * 2 : 8)) begin=$EPOCHREALTIME
  namespace crowd $count
  k -n crowd wait --for condition=Ready mdep --all --timeout 1800s >/dev/null # one process that watches: the machine has enough to do
  all_ready crowd $count
  k -n $operator get pods -l app.kubernetes.io/component=operator -o json | jq -e 'all(.items[]; .status.containerStatuses[0].restartCount == 0)'
  echo "$count ModelDeployments at once: all Ready after $(since "$begin") s" | tee "$work/note"
  k delete namespace crowd --wait=false
  [ -z "$soak" ] || eventually 600 gone crowd
}

# `run` has the page about it instead (tutorial_hpa).
custom_metrics_on() {
  patch '{"spec": {"replicas": 1}}'
  eventually 60 serving 1
  node helm upgrade pintle charts/pintle --namespace $operator --reuse-values --set customMetrics.enabled=true --wait --timeout 90s
  k wait --for condition=Available apiservice/v1beta2.custom.metrics.k8s.io --timeout 60s
}

fault_steps() {
  step "two replicas and a budget" two_replicas
  if [ -n "$soak" ]; then
    step "rollouts under load" rollouts
    step "scale-downs under load" scale_downs
    step "API server killed under load" apiserver_restarts
    step "leader hand-overs under load" hand_overs
    step "leaders that stand still past their Lease, under load" freezes
    step "operator upgrades under load" upgrades
    step "the cluster's certificate authority is rotated under load" ca_rotations
    step "helm upgrade with customMetrics" custom_metrics_on
    step "HorizontalPodAutoscaler: up under load, stays, down without" hpa
    step "HorizontalPodAutoscaler by queue delay: up and down" hpa_by_queue_delay
    step "HorizontalPodAutoscaler by latency: up and down" hpa_by_latency
    step "two replicas again" two_replicas
  fi
  step "pods deleted under load" kills
  step "node drained under load" drains
  step "namespace deleted in the middle of rollouts" namespace_deleted
  step "quota denies pods, then not" quota_denied
  step "webhook denies pods, then not" webhook_denied
  step "many ModelDeployments at once" crowd
}

soak_steps() {
  step "helm install" helm_install
  step "kubectl apply -f digits.yaml: Ready" apply_digits
  eventually 10 answers
  fault_steps
  if [ -s "$work/load.all" ]; then echo "under load: $(wc -l <"$work/load.all") requests, $(failed_load "$work/load.all" | wc -l) failed"; fi
  echo "$passed steps passed, $failed failed"
  [ $failed = 0 ]
}
