# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by run: what is tried on the cluster, one function per step. `node CMD` runs CMD on the node.
# A step runs in a shell of its own with `set -e`: its first failing command fails it. What one step leaves for the
# next is in the cluster or in a file of $work.

models=models                    # namespace of what is served
operator=pintle-system
endpoint=http://digits.$models.svc.cluster.local:8080/v2/models/digits

k() { node kubectl "$@"; }
eventually() { # SECONDS CMD...
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "not within the time given: $*"; "$@"; return 1; }
    sleep 0.1
  done
}
mdep() { k -n $models get mdep digits -o json; }
mdep_is() { mdep | jq -e "def condition(t): .status.conditions[] | select(.type == t); $1"; }   # JQ-EXPRESSION
ready() { mdep_is '.status.observedGeneration == .metadata.generation and condition("Ready").status == "True"'; }
pods() { k -n $models get pods -l pintle.dev/model-deployment=digits -o json; }
pods_are() { pods | jq -e "$1"; }
serving() { mdep_is ".status | .replicas == $1 and .readyReplicas == $1 and .updatedReplicas == $1" && ready && pods_are ".items | length == $1"; }
patch() { k -n $models patch mdep digits --type merge -p "$1"; }

# classify FIRST COUNT: ask the Service about held-out images in one request; prints how many it got right
classify() {
  sed -n "$1,$(($1 + $2 - 1))p" "$root/examples/digits/heldout.csv" >"$work/images.csv"
  jq -Rsc 'split("\n") | map(select(. != "") | split(",") | map(tonumber)) |
    {inputs: [{name: "x", datatype: "FP32", shape: [length, 1, 8, 8], data: [.[][1:][]]}], outputs: [{name: "probabilities"}]}' \
    "$work/images.csv" >"$work/request.json"
  node curl -sS --fail-with-body -m 10 -H 'Content-Type: application/json' --data-binary "@$work/request.json" "$endpoint/infer" >"$work/reply.json" ||
    { cat "$work/reply.json"; return 1; }
  jq -r '.outputs[] | select(.name == "probabilities") | .data as $p | range(0; $p | length; 10) as $i | $p[$i:$i + 10] | index(max)' "$work/reply.json" |
    paste -d, - <(cut -d, -f1 "$work/images.csv") | awk -F, '$1 == $2 { right++ } END { print right + 0 }'
}
answers() { [ "$(classify 1 1)" = 1 ]; }

# Requests one after another, each on a connection of its own, until traffic_ends; that fails if one of them did.
traffic_starts() {
  classify 1 1 >/dev/null
  cp "$work/request.json" "$work/traffic.json"
  touch "$work/traffic"
  # shellcheck disable=SC2016
  node bash -c 'while [ -e "$1/traffic" ]; do
      curl -s -o /dev/null -m 5 -w "%{http_code} %{errormsg}\n" -H "Content-Type: application/json" --data-binary "@$1/traffic.json" "$2/infer"
      sleep 0.01
    done' traffic "$work" "$endpoint" >"$work/traffic.log" &
}
traffic_ends() {
  rm "$work/traffic"; wait
  local all failed; all=$(wc -l <"$work/traffic.log"); failed=$(grep -vc '^200 ' "$work/traffic.log" || true)
  echo "$all requests, $failed failed"
  if [ "$failed" != 0 ]; then sed 's, after [0-9]* ms,,' "$work/traffic.log" | sort | uniq -c; return 1; fi
  [ "$all" -gt 10 ]
}

# --- steps ------------------------------------------------------------------------------------------------------

helm_install() {
  k create namespace $operator
  k label namespace $operator pod-security.kubernetes.io/enforce=restricted
  node helm install pintle charts/pintle --namespace $operator --wait --timeout 60s
  k -n $operator rollout status deployment/pintle-operator --timeout 10s
  node helm test pintle --namespace $operator --timeout 60s
}

rules() { node "$here/check-crd"; }

explained() {
  k get mdep -A                                          # makes kubectl ask anew what the server has
  k get models -A
  k explain mdep.spec.model.digest | grep -i 'checked before the model is loaded'
}

apply_digits() {
  k create namespace $models
  k label namespace $models pod-security.kubernetes.io/enforce=restricted
  k -n $models apply -f examples/digits/digits.yaml
  k -n $models wait --for condition=Ready mdep/digits --timeout 60s
  # the probe lets a pod in, its report may come a moment later
  eventually 10 mdep_is '.status.model.state == "Loaded" and .status.model.digest == .spec.model.digest and .status.endpoint != null and condition("Available").status == "True" and condition("ModelLoaded").status == "True"'
  pods_are '.items | length == 1 and all(.[]; .metadata.ownerReferences[0].controller)'
}

columns() {
  k -n $models get mdep | tee "$work/table"
  head -n 1 "$work/table" | grep -E '^NAME +DESIRED +READY +UPDATED +MODEL +REVISION +AGE *$'
  tail -n 1 "$work/table" | grep -E '^digits +1 +1 +1 +Loaded +digits-[a-z0-9]+ +[0-9]+'
  k -n $models get mdep -o wide | tee "$work/table"
  head -n 1 "$work/table" | grep -E ' URI +ENDPOINT +COMPRESSION +REASON *$'
}

predictions() {
  local i right=0
  eventually 10 answers                                  # kube-proxy follows within a second or two
  for i in {1..20}; do right=$((right + $(classify "$i" 1))); done
  echo "$right of 20 held-out images right, one request each"
  [ $right -ge 19 ]
  right=$(classify 1 360)
  echo "$right of 360 held-out images right in one request"
  [ "$right" -ge 350 ]
}

scale() {
  k -n $models scale mdep/digits --replicas=3
  eventually 60 serving 3
  eventually 10 answers
  traffic_starts
  k -n $models scale mdep/digits --replicas=1
  eventually 90 serving 1
  traffic_ends
}

wrong_digest() {
  local good; good=$(mdep | jq -r .spec.model.digest)
  pods | jq -r '.items[0].metadata.uid' >"$work/old-pod"
  traffic_starts
  patch '{"spec": {"model": {"digest": "sha256:'"$(printf 0%.0s {1..64})"'"}}}'
  eventually 60 mdep_is 'condition("ModelLoaded") | .status == "False" and .reason == "DigestMismatch"'
  mdep | jq -r '.status.conditions[] | "\(.type)=\(.status) \(.reason): \(.message)"'
  pods_are ".items | any(.[]; .metadata.uid == \"$(cat "$work/old-pod")\" and any(.status.conditions[]; .type == \"Ready\" and .status == \"True\"))"
  classify 1 20
  patch '{"spec": {"model": {"digest": "'"$good"'"}}}'
  eventually 60 serving 1
  mdep_is 'condition("ModelLoaded").status == "True" and .status.model.state == "Loaded"'
  traffic_ends
}

template_change() {
  traffic_starts
  patch '{"spec": {"template": {"metadata": {"labels": {"team": "digits"}}}}}'
  eventually 90 serving 1
  pods_are '.items[0].metadata.labels.team == "digits"'
  traffic_ends
}

killed_sidecar() {
  local uid; uid=$(pods | jq -r '.items[0].metadata.uid')
  # shellcheck disable=SC2016
  node bash -c 'kill -9 $(pgrep -x pintle-sidecar)'
  eventually 30 pods_are ".items | any(.[]; .metadata.uid == \"$uid\" and .status.containerStatuses[0].restartCount == 1)"
  eventually 30 serving 1
  eventually 10 answers
}

lost_pod() {
  local name; name=$(pods | jq -r '.items[0].metadata.name')
  k -n $models delete pod "$name" --wait=false
  eventually 60 pods_are ".items | length == 1 and .[0].metadata.name != \"$name\""
  eventually 60 serving 1
  eventually 10 answers
}

apiserver_restart() {
  local before; before=$(k -n $operator get pods -l app.kubernetes.io/component=operator -o jsonpath='{.items[*].metadata.uid}')
  "$here/restart" kube-apiserver 5
  eventually 30 k get --raw /readyz
  k -n $models scale mdep/digits --replicas=2
  eventually 60 serving 2
  k -n $models scale mdep/digits --replicas=1
  eventually 60 serving 1
  # A leader that cannot renew its Lease for 10 s stands by: no process ends over it.
  [ "$(k -n $operator get pods -l app.kubernetes.io/component=operator -o jsonpath='{.items[*].metadata.uid}')" = "$before" ]
  k -n $operator get pods -l app.kubernetes.io/component=operator -o json | jq -e 'all(.items[]; .status.containerStatuses[0].restartCount == 0)'
}

pause_undo() {
  local before; before=$(mdep | jq -r .status.updateRevision)
  traffic_starts
  patch '{"spec": {"paused": true, "template": {"metadata": {"labels": {"team": "others"}}}}}'
  eventually 20 mdep_is 'condition("Ready").reason == "Paused" and condition("Progressing").status == "Unknown"'
  k -n $models scale mdep/digits --replicas=2
  eventually 60 pods_are '.items | length == 2 and all(.[]; .metadata.labels.team == "digits")'
  patch '{"spec": {"paused": false, "replicas": 1}}'
  eventually 90 serving 1
  pods_are '.items[0].metadata.labels.team == "others"'
  k -n $models annotate mdep digits pintle.dev/rollback-to=0
  eventually 90 serving 1
  mdep_is ".spec.template.metadata.labels.team == \"digits\" and .metadata.annotations[\"pintle.dev/rollback-to\"] == null and .status.updateRevision == \"$before\""
  traffic_ends
}

own_containers() {
  traffic_starts
  mdep | jq '{spec: {template: {spec: {containers: (.spec.template.spec.containers + [{name: "beside", image: "pintle.local/pause:1",
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: ["ALL"]}}}])}}}}' >"$work/own.json"
  patch "$(cat "$work/own.json")"
  eventually 90 serving 1
  pods_are '.items[0] | .spec.containers[0].name == "beside" and (.spec.initContainers[0] | .name == "sidecar" and .restartPolicy == "Always")'
  patch "$(jq -c '{spec: {template: {spec: {containers: [.spec.template.spec.containers[] | select(.name != "beside")]}}}}' "$work/own.json")"
  eventually 90 serving 1
  traffic_ends
  eventually 10 answers
}

budget() {
  patch '{"spec": {"disruption": {"maxUnavailable": 1}}}'
  eventually 20 budget_is 1
  patch '{"spec": {"disruption": null}}'
  eventually 20 no_budget
}
budget_is() { [ "$(k -n $models get pdb digits -o jsonpath='{.status.disruptionsAllowed}')" = "$1" ]; }
no_budget() { ! k -n $models get pdb digits; }

orphans() {
  local before; before=$(pods | jq -c '[.items[].metadata.uid]')
  mdep | jq 'del(.status, .metadata.uid, .metadata.resourceVersion, .metadata.creationTimestamp, .metadata.generation)' >"$work/digits.json"
  traffic_starts
  k -n $models delete mdep digits --cascade=orphan
  k -n $models apply -f "$work/digits.json"
  eventually 60 serving 1
  pods_are "[.items[].metadata.uid] == $before"          # the same pod, in the hands of another owner
  traffic_ends
}

one_replica() { patch '{"spec": {"replicas": 1, "disruption": null, "template": {"metadata": null}}}'; eventually 60 serving 1; }
leader() { k -n $operator get lease pintle-operator -o jsonpath='{.spec.holderIdentity}' | cut -d_ -f1; }
other_leads() { local now; now=$(leader); [ -n "$now" ] && [ "$now" != "$1" ]; }
hand_over() {
  local first begin; first=$(leader)
  k -n $operator get pod "$first" -o json | jq -e '.metadata.labels["pintle.dev/role"] == "leader"'
  k get --raw /metrics | grep '^apiserver_flowcontrol_dispatched_requests_total{flow_schema="pintle-leases",priority_level="leader-election"}' >/dev/null
  begin=$EPOCHREALTIME
  k -n $operator delete pod "$first" --wait=false        # asked to end: it gives the Lease back
  eventually 10 other_leads "$first"
  echo "a leader that ends: the next one leads after $(since "$begin") s" | tee "$work/note"
  first=$(leader)
  k -n $models scale mdep/digits --replicas=2
  eventually 60 serving 2
  begin=$EPOCHREALTIME
  k -n $operator delete pod "$first" --grace-period=0 --force
  eventually 30 other_leads "$first"
  echo "a leader that is deleted by force (it still gives the Lease back): after $(since "$begin") s" | tee -a "$work/note"
  k -n $models scale mdep/digits --replicas=1
  eventually 60 serving 1
  k -n $operator rollout status deployment/pintle-operator --timeout 60s
}

operator_restart() {
  local before; before=$(pods | jq -c '[.items[].metadata.uid]')
  traffic_starts
  k -n $operator delete pod -l app.kubernetes.io/component=operator --grace-period=0 --force
  sleep 2
  k -n $operator rollout status deployment/pintle-operator --timeout 60s
  k -n $models scale mdep/digits --replicas=2
  eventually 60 serving 2
  pods_are "[.items[].metadata.uid] | contains($before)"
  k -n $models scale mdep/digits --replicas=1
  eventually 60 serving 1
  traffic_ends
}

# --- a HorizontalPodAutoscaler of the real controller, on metrics of the operator ----------------------------------

metrics_api=/apis/custom.metrics.k8s.io/v1beta2
value_of() { k get --raw "$metrics_api/namespaces/$models/$1" | jq -e "$2"; }

# load_starts RATE: so many requests per second, each on a connection of its own, until load_ends; that fails if one of them did. A line is a request: when it
# ended (stdbuf: at once and not with curl), what was answered, how long it took, what went wrong. The Service's name is looked up once: a lost packet of
# the cluster's DNS, which the resolver misses after as long as a request may take, says nothing about what is tried here.
load_starts() {
  local address; address=$(k -n $models get service digits -o jsonpath='{.spec.clusterIP}')
  classify 1 1 >/dev/null
  cp "$work/request.json" "$work/load.json"
  touch "$work/load"
  # shellcheck disable=SC2016
  node bash -c 'while [ -e "$1/load" ]; do
      stdbuf -oL curl -s -o /dev/null -w "%{http_code} %{time_total} %{errormsg}\n" --resolve "$4" --rate "$3/s" -m 5 -H "Connection: close" -H "Content-Type: application/json" --data-binary "@$1/load.json" "$2/infer?[1-$((2 * $3))]"
    done' load "$work" "$endpoint" "$1" "$(cut -d/ -f3 <<<"$endpoint"):$address" 2>&1 | while IFS= read -r line; do printf '%(%T)T %s\n' -1 "$line"; done >"$work/load.log" &
}
load_ends() {
  rm "$work/load"; wait
  cat "$work/load.log" >>"$work/load.all"
  echo "$(wc -l <"$work/load.log") requests of load"
  if failed_load "$work/load.log"; then echo "that was not 200"; return 1; fi
}
failed_load() { grep -vE '^[0-9:]+ 200 ' "$1"; }

custom_metrics() {
  local uids; uids=$(pods | jq -c '[.items[].metadata.uid]')
  traffic_starts
  node helm upgrade pintle charts/pintle --namespace $operator --reuse-values --set customMetrics.enabled=true,networkPolicy.enabled=true \
    --set 'extraArgs={--cert-lifetime=30s}' --wait --timeout 90s
  k wait --for condition=Available apiservice/v1beta2.custom.metrics.k8s.io --timeout 60s
  k get --raw $metrics_api | jq -e '[.resources[].name] | contains(["pods/inference_concurrency", "modeldeployments.pintle.dev/requests_per_second"])'
  eventually 20 value_of 'modeldeployments.pintle.dev/digits/requests_per_second' '.items[0].value | rtrimstr("m") | tonumber > 0'
  eventually 20 value_of 'modeldeployments.pintle.dev/digits/queue_delay' '.items[0].value | rtrimstr("m") | tonumber >= 0'
  eventually 20 value_of 'modeldeployments.pintle.dev/digits/latency' '.items[0].value | rtrimstr("m") | tonumber >= 0'
  value_of 'pods/*/inference_concurrency?labelSelector=pintle.dev%2Fmodel-deployment%3Ddigits' '.items | length == 1'
  traffic_ends
  pods_are "[.items[].metadata.uid] == $uids"             # an operator of another version or with other settings replaces no pod
}

# label FROM TO OFF: asks about these held-out images, and labels the answers OFF beside what the images show
label() {
  local n line
  for n in $(seq "$1" "$2"); do
    line=$(sed -n "${n}p" examples/digits/heldout.csv)
    printf '{"id":"%s","inputs":[{"name":"x","datatype":"FP32","shape":[1,1,8,8],"data":[%s]}]}' "$n-$3" "${line#*,}" >"$work/request.json"
    printf '{"id":"%s","label":%s}' "$n-$3" $(((${line%%,*} + $3) % 10)) >"$work/label.json"
    node curl -sS --fail-with-body -m 10 -o "$work/reply.json" --data-binary "@$work/request.json" "$endpoint/infer"
    node curl -sS --fail-with-body -m 10 --data-binary "@$work/label.json" "$endpoint/feedback" | jq -e '.accepted == 1'
  done
}
# A model that does badly by its labels is left for the one before, once; a user who wants it all the same has it.
model_health() {
  local good bad address
  patch '{"spec":{"replicas":1,"monitoring":{"thresholds":[{"figure":"accuracy","min":0.8}],"minSamples":10,"period":"1s","periods":2,"rollback":{"when":["accuracy"]}}}}'
  eventually 60 serving 1
  good=$(mdep | jq -r .status.updateRevision)
  eventually 20 answers
  label 1 15 0
  eventually 30 mdep_is "condition(\"ModelHealthy\").status == \"True\" and .status.monitoring.healthyRevision == \"$good\""
  address=$(k -n $operator get pods -l pintle.dev/role=leader -o jsonpath='{.items[0].status.podIP}')
  node curl -sS -m 10 "http://$address:8081/metrics" >"$work/metrics"
  grep -F 'pintle_model_healthy{namespace="models",name="digits"} 1' "$work/metrics"
  patch '{"spec":{"model":{"version":"2"}}}'
  eventually 60 serving 1
  bad=$(mdep | jq -r .status.updateRevision)
  [ "$bad" != "$good" ]
  eventually 20 answers
  label 1 15 1
  eventually 40 mdep_is ".status.updateRevision == \"$good\" and .status.monitoring.rolledBackFrom == \"$bad\" and .spec.model.version == null"
  eventually 60 serving 1
  k -n $models get events --field-selector reason=ModelRolledBack -o json | jq -e '.items | length == 1 and (.[0].message | contains("accuracy is 0, at least 0.8"))'
  { node curl -sS -m 10 "http://$address:8081/metrics"; node curl -sS -m 10 "http://digits.$models.svc.cluster.local:8082/metrics"; } >>"$work/metrics"
  grep -F 'pintle_model_rollbacks_total{namespace="models",name="digits"} 1' "$work/metrics"
  sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/metrics" | sort -u | comm -13 - <(monitored_metrics | sort) | tee "$work/unknown"
  [ ! -s "$work/unknown" ]
  eventually 20 answers
  patch '{"spec":{"model":{"version":"2"}}}'
  eventually 60 serving 1
  eventually 20 answers
  label 1 15 1
  eventually 40 mdep_is 'condition("ModelHealthy") | .status == "False" and (.message | contains("asked for again"))'
  mdep_is ".status.updateRevision == \"$bad\""
  patch '{"spec":{"monitoring":null,"model":{"version":null}}}'
  eventually 60 serving 1
  mdep_is '.status.monitoring == null and ([.status.conditions[].type] | index("ModelHealthy") == null)'
  eventually 20 answers
}

# Only the API server's front proxy is answered: not a client without a certificate, nor one of the cluster's CA, nor another of the front proxy's CA.
custom_metrics_refused() {
  local address pki=$state/pki; address=$(k -n $operator get service pintle-operator -o jsonpath='{.spec.clusterIP}')
  ask() { node curl -sk -m 5 -o "$work/answer.json" -w '%{http_code}' "$@" "https://$address$metrics_api" || true; }
  [ "$(ask)" = 000 ]
  [ "$(ask --cert "$pki/admin.crt" --key "$pki/admin.key")" = 000 ]
  openssl req -new -key "$pki/admin.key" -subj /CN=somebody | openssl x509 -req -CA "$pki/front-proxy-ca.crt" -CAkey "$pki/front-proxy-ca.key" -days 1 -out "$work/somebody.crt"
  [ "$(ask --cert "$work/somebody.crt" --key "$pki/admin.key")" = 403 ]
  jq -e '.kind == "Status" and .reason == "Forbidden"' "$work/answer.json"
  [ "$(ask --cert "$pki/front-proxy.crt" --key "$pki/front-proxy.key")" = 200 ]
  # what the API server itself refuses: RBAC is asked before the operator
  if k --as nobody get --raw "$metrics_api/namespaces/$models/pods/*/requests_per_second"; then echo "anybody may read metrics"; return 1; fi
}

metric_of_all() { # METRIC TARGET: of all pods together
  echo "{type: Object, object: {describedObject: {apiVersion: pintle.dev/v1alpha1, kind: ModelDeployment, name: digits}, metric: {name: $1}, target: $2}}"
}
scaler() { # MOST METRIC...
  k -n $models apply -f - <<END
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: digits}
spec:
  scaleTargetRef: {apiVersion: pintle.dev/v1alpha1, kind: ModelDeployment, name: digits}
  minReplicas: 1
  maxReplicas: $1
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
  metrics: [$(shift; IFS=,; echo "$*")]
END
}

hpa() {
  local before; before=$(mdep | jq .metadata.generation)
  scaler 4 '{type: Pods, pods: {metric: {name: requests_per_second}, target: {type: AverageValue, averageValue: "20"}}}' \
    "$(metric_of_all inference_concurrency '{type: AverageValue, averageValue: "8"}')"
  load_starts 60
  eventually 90 serving 3
  k -n $models get hpa digits
  sleep 7                                                 # two more looks of the controller: it stays there
  serving 3
  load_ends
  k -n $models get hpa digits -o json | jq -e '.status.conditions | any(.type == "ScalingActive" and .status == "True") and any(.type == "AbleToScale" and .status == "True")'
  eventually 90 serving 1
  k -n $models describe hpa digits | tail -n 12
  k -n $models delete hpa digits
  mdep_is ".metadata.generation >= $before + 2"
}

# By a delay: requests wait for others to share a run with, however many pods there are. Up to the most with load, down to one when nobody waits.
hpa_by() { # METRIC
  patch '{"spec": {"replicas": 1, "runtime": {"batching": {"maxSize": 32, "maxDelay": "80ms"}}}}'
  eventually 60 serving 1
  eventually 10 answers
  scaler 3 "$(metric_of_all "$1" '{type: Value, value: 20m}')"
  load_starts 20
  eventually 90 serving 3
  k -n $models get hpa digits
  value_of "modeldeployments.pintle.dev/digits/$1" '.items[0].value | rtrimstr("m") | tonumber | . > 20 and . < 1000'
  load_ends
  eventually 90 serving 1
  k -n $models describe hpa digits | tail -n 12
  value_of "modeldeployments.pintle.dev/digits/$1" '.items[0].value | rtrimstr("m") | tonumber < 20'
  k -n $models delete hpa digits
  patch '{"spec": {"runtime": null}}'
  eventually 60 serving 1
}
hpa_by_queue_delay() { hpa_by queue_delay; }
hpa_by_latency() { hpa_by latency; }

# pintle beside kubectl, over the same API server.
cli() { node "$binaries/pintle" "$@" --kubeconfig "$KUBECONFIG"; }
ageless() { sed -E 's/[0-9]+[smh][0-9ms]*( *)/N /g'; }
same() { k get -n $models "$@" | ageless >"$work/theirs"; cli get -n $models "$@" | ageless | diff "$work/theirs" -; }
pintle_words() {
  local what before token; before=$(mdep | jq -r .status.updateRevision)
  for what in mdep 'mdep -o wide' 'mdep -A' pods 'pods -o wide' svc cm controllerrevisions 'mdep -o name'; do
    # shellcheck disable=SC2086
    eventually 5 same $what                               # an age may change its width in between
  done
  cli get mdep/digits -n $models -o json | jq -e '.status.readyReplicas == 1'
  cli describe mdep/digits -n $models | grep '^Conditions:'
  cli logs mdep/digits -n $models | grep '"state":"Ready"' >/dev/null # not -q: all of it is to be written
  load_starts 30
  sleep 1
  cli top -n $models --once --json | tee "$work/top" | jq -e '.models | length == 1 and (.[0] | .name == "digits" and .requestsPerSecond > 10 and .errorsPerSecond == 0 and .p99Ms > 0 and .memoryBytes > 1e6)'
  cli top -n $models --once | grep -E '^models +digits +Loaded +1/1'
  cli rollout pause mdep/digits -n $models
  cli rollout resume mdep/digits -n $models
  cli rollout restart mdep/digits -n $models
  eventually 10 eval '[ "$(mdep | jq -r .status.updateRevision)" != "$before" ]'
  cli rollout status mdep/digits -n $models --timeout=60s
  cli rollout history mdep/digits -n $models
  cli rollout undo mdep/digits -n $models
  eventually 60 eval '[ "$(mdep | jq -r .status.updateRevision)" = "$before" ]'
  cli rollout status mdep/digits -n $models --timeout=60s
  cli scale mdep/digits -n $models --replicas=2
  eventually 60 serving 2
  cli scale mdep/digits -n $models --replicas=1
  eventually 60 serving 1
  load_ends
  # who may do nothing is told so in the server's words
  token=$(k -n $models create token default)
  sed "s/user: {client-certificate.*/user: {token: $token}}]/" "$KUBECONFIG" >"$work/token.conf"
  if node "$binaries/pintle" get mdep -n $models --kubeconfig "$work/token.conf" 2>"$work/refused"; then echo "a service account without rights reads"; return 1; fi
  grep 'Error from server (Forbidden): .*cannot list resource "modeldeployments"' "$work/refused"
}

# The client of the operator, in pintle top: its token is replaced in its file and the one before is revoked; nothing of what it asks fails.
tokens_rotate() {
  local s old n
  k -n $models create serviceaccount reader
  k create clusterrolebinding pintle-test-reader --clusterrole=cluster-admin --serviceaccount=$models:reader
  for s in a b; do k -n $models create secret generic reader-$s; done
  mint() { k -n $models create token reader --bound-object-kind Secret --bound-object-name "reader-$1" >"$work/token.new"; mv "$work/token.new" "$work/token"; }
  refused() { ! k --kubeconfig "$work/bare.conf" --token="$1" get pods -A; }
  said_more() { [ "$(wc -l <"$work/top.log")" -gt "$1" ]; }
  mint a; old=$(cat "$work/token")
  sed "s,user: {client-certificate.*,user: {tokenFile: $work/token}}]," "$KUBECONFIG" >"$work/reader.conf"
  sed "s,user: {client-certificate.*,user: {}}]," "$KUBECONFIG" >"$work/bare.conf"
  # shellcheck disable=SC2016
  node bash -c 'echo $$ >"$1/top.pid"; exec timeout 120 "$2" top --json --interval 500ms --kubeconfig "$1/reader.conf"' top "$work" "$binaries/pintle" \
    >"$work/top.log" 2>"$work/top.err" &
  eventually 20 said_more 2
  mint b
  k -n $models delete secret reader-a
  eventually 40 refused "$old"                              # the API server remembers for some seconds whom it let in
  n=$(wc -l <"$work/top.log")
  eventually 20 said_more $((n + 6))
  node kill "$(cat "$work/top.pid")"; wait || true
  cat "$work/top.err"
  [ ! -s "$work/top.err" ]
  k delete clusterrolebinding pintle-test-reader
  k -n $models delete serviceaccount/reader secret/reader-b
}

# The page about HorizontalPodAutoscalers, typed along.
tutorial_hpa() {
  awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' docs/tutorials/hpa.md >"$work/hpa.sh"
  [ "$(wc -l <"$work/hpa.sh")" -gt 20 ]
  mkdir -p "$work/tutorial"
  ln -s "$root/charts" "$root/examples" "$work/tutorial"
  node timeout 240 env -C "$work/tutorial" bash -eux "$work/hpa.sh"
}

delete_digits() { # in the foreground: it goes after its pods; apply_to_ready does it in the background
  k -n $models delete mdep digits --cascade=foreground --timeout 60s
  [ -z "$(k -n $models get pods -l pintle.dev/model-deployment=digits -o name)" ]
  eventually 90 none_left
}
none_left() { [ -z "$(k -n $models get pods,services,controllerrevisions,endpointslices -o name)" ]; }

apply_to_ready() {
  local i begin ours=() bare=()
  k -n $models apply -f examples/digits/digits.yaml
  eventually 60 serving 1
  # The same pod without an owner: no gate to wait for, nobody to report to.
  pods | jq '.items[0] | {apiVersion: "v1", kind: "Pod", metadata: {name: "bare", annotations: (.metadata.annotations | .["pintle.dev/config"] |= (fromjson | del(.report) | tojson))},
    spec: (.spec | del(.readinessGates, .nodeName, .hostname, .subdomain))}' >"$work/bare.json"
  for i in 1 2 3 4 5; do
    k -n $models delete mdep digits --timeout 60s
    eventually 60 none_left
    begin=$EPOCHREALTIME
    k -n $models create -f "$work/bare.json"
    k -n $models wait --for condition=Ready pod/bare --timeout 60s
    bare+=("$(since "$begin" 3)")
    k -n $models delete pod bare --grace-period=0 --force
    eventually 60 none_left
    begin=$EPOCHREALTIME
    k -n $models apply -f examples/digits/digits.yaml
    k -n $models wait --for condition=Ready mdep/digits --timeout 60s
    ours+=("$(since "$begin" 3)")
  done
  median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
  echo "kubectl apply -> Ready: $(median "${ours[@]}") s; a bare pod with the same image and probe: $(median "${bare[@]}") s (medians of 5)" | tee "$work/note"
}

other_serial() { [ "$(serial)" != "$1" ]; }
rights() { "$here/check-rights" | tee "$work/note"; }

# A report is believed of the pod whose token comes with it, and of no other.
reports() {
  k -n $models scale mdep/digits --replicas=2
  eventually 60 serving 2
  local a b address; a=$(pods | jq -c '.items[0].metadata | {name, uid}') b=$(pods | jq -c '.items[1].metadata | {name, uid}')
  address=$(k -n $operator get service pintle-operator -o jsonpath='{.spec.clusterIP}')
  token() { # AUDIENCE [POD]
    k -n $models create token default --audience "$1" ${2:+--bound-object-kind Pod --bound-object-name "$(jq -r .name <<<"$2")" --bound-object-uid "$(jq -r .uid <<<"$2")"}
  }
  says() { # STATUS TOKEN POD: what a report about the pod is answered
    jq -n --argjson pod "$3" '{podUID: $pod.uid, podName: $pod.name, namespace: "'$models'", sequence: 1, startedMs: 1, state: "Failed", reason: "RuntimeUnhealthy", message: "a lie"}' >"$work/report.json"
    local status; status=$(node curl -sk -m 10 -o "$work/answer.json" -w '%{http_code}' ${2:+-H "Authorization: Bearer $2"} --data-binary "@$work/report.json" "https://$address:8443/v1/report")
    [ "$status" = "$1" ] || { echo "$status and not $1:"; cat "$work/answer.json"; return 1; }
  }
  says 401 '' "$a"
  says 401 nonsense "$a"
  says 401 "$(token https://kubernetes.default.svc "$a")" "$a"    # meant for somebody else
  says 401 "$(token pintle.dev)" "$a"                             # of no pod
  says 403 "$(token pintle.dev "$b")" "$a"                        # of another pod
  says 200 "$(token pintle.dev "$a")" "$a"                        # its own: heard, and dropped as older than what its sidecar said
  sleep 2
  serving 2
  # The certificate is made anew every five seconds here (custom_metrics), and reports go on.
  serial() { node openssl s_client -connect "$address:8443" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
  local first; first=$(serial)
  [ -n "$first" ]
  eventually 20 other_serial "$first"
  k -n $operator logs -l pintle.dev/role=leader --tail 200 | grep 'certificates renewed' >/dev/null # not -q: all of it is to be written
  # and the sidecar believes only a server of the operator's own CA
  k -n $operator get secret pintle-ca -o jsonpath='{.data.tls\.crt}' | base64 -d >"$work/ca.crt"
  node curl -s -m 10 -o "$work/answer.json" --cacert "$work/ca.crt" --resolve "pintle-operator.$operator.svc:8443:$address" "https://pintle-operator.$operator.svc:8443/v1/report"
  k -n $models scale mdep/digits --replicas=1
  eventually 60 serving 1
}

# The operators' own authority has grown old: it is renewed with the same key, and the sidecar that knows it by the certificate before believes an operator whose
# certificate the new one signs. Needs --cert-lifetime=30s (custom_metrics), or nobody looks within the hour.
own_authority() {
  local first pod old; pod=$(pods | jq -r '.items[0].metadata.name')
  node helm get values pintle --namespace $operator | grep cert-lifetime ||
    node helm upgrade pintle charts/pintle --namespace $operator --reuse-values --set 'extraArgs={--cert-lifetime=30s}' --wait --timeout 90s
  of_secret() { k -n $operator get secret pintle-ca -o jsonpath="{.data.tls\\.$1}" | base64 -d; }
  renewed() { of_secret crt >"$work/now.crt"; ! cmp -s "$work/before.crt" "$work/now.crt" && openssl x509 -in "$work/now.crt" -noout -checkend $((86400 * 365)); }
  heard() { # by who leads now
    local address; address=$(k -n $operator get pods -l pintle.dev/role=leader -o jsonpath='{.items[0].status.podIP}')
    node curl -sS -m 10 "http://$address:8081/metrics" | awk '/^pintle_operator_reports_total{code="200"}/ && $2 > 2 { found = 1 } END { exit !found }'
  }
  of_secret crt >"$work/before.crt"; of_secret key >"$work/ca.key"
  old=$(openssl x509 -in "$work/before.crt" -signkey "$work/ca.key" -days 1 | base64 -w0)
  k -n $operator patch secret pintle-ca --type merge -p '{"data": {"tls.crt": "'"$old"'"}}'
  eventually 30 renewed
  cmp <(openssl x509 -in "$work/now.crt" -noout -pubkey) <(openssl x509 -in "$work/before.crt" -noout -pubkey)
  first=$(leader)
  k -n $operator delete pod "$first" --wait=false           # so that sidecars connect anew
  eventually 30 other_leads "$first"
  eventually 30 heard
  [ "$(pods | jq -r '.items[0].metadata.name')" = "$pod" ]
  serving 1
  k -n $operator rollout status deployment/pintle-operator --timeout 60s
}

helm_uninstall() {
  node helm uninstall pintle --namespace $operator --wait
  eventually 60 nothing_but_crd
  k delete crd modeldeployments.pintle.dev --timeout 60s
  k delete namespace $operator --timeout 60s
}
nothing_but_crd() {
  local left; left=$(k get all,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,crds -A -o name | grep -i pintle | grep -v pintle-test)
  echo "$left"
  [ "$left" = customresourcedefinition.apiextensions.k8s.io/modeldeployments.pintle.dev ]
}

# The whole life of a release by Helm 3: an older chart, whose resource definition lacks the short name and whose operator has another number of replicas,
# is upgraded; the ModelDeployment that was there before goes on being served; the definition outlives the release.
helm3_life() {
  cp -r charts/pintle "$work/old"
  sed -i '/^ *shortNames:/d' "$work/old/files/crd.yaml"
  ! cmp -s "$work/old/files/crd.yaml" charts/pintle/files/crd.yaml
  k create namespace $operator
  k label namespace $operator pod-security.kubernetes.io/enforce=restricted
  node helm3 install pintle "$work/old" --namespace $operator --set replicas=1 --wait --timeout 90s
  k -n $models apply -f examples/digits/digits.yaml
  k -n $models wait --for=condition=Ready modeldeployments.pintle.dev/digits --timeout 60s
  [ "$(k get crd modeldeployments.pintle.dev -o json | jq -c '.spec.names.shortNames')" = null ]
  local uids; uids=$(pods | jq -c '[.items[].metadata.uid]')
  node helm3 upgrade pintle charts/pintle --namespace $operator --set watchNamespace=$models --wait --timeout 90s
  [ "$(k get crd modeldeployments.pintle.dev -o json | jq -c '.spec.names.shortNames')" = '["mdep"]' ]
  node helm3 test pintle --namespace $operator --timeout 60s
  pods_are "[.items[].metadata.uid] == $uids"
  confined
  uids=$(pods | jq -c '[.items[].metadata.uid]')
  node helm3 rollback pintle 1 --namespace $operator --wait --timeout 90s
  pods_are "[.items[].metadata.uid] == $uids"
  node helm3 uninstall pintle --namespace $operator --wait
  eventually 60 nothing_but_crd
  pods_are "[.items[].metadata.uid] == $uids"              # nobody watches it, and it serves
  k -n $models delete modeldeployments.pintle.dev digits --timeout 60s
  eventually 90 none_left                                  # first: a garbage collector that finds the kind gone looks for it again only after minutes
  k delete crd modeldeployments.pintle.dev --timeout 60s
  k delete namespace $operator --timeout 60s
}

# With watchNamespace: rights where it watches, and not elsewhere; they are enough to lead, to be reported to and to roll out.
confined() {
  eventually 30 leads
  k -n $models patch modeldeployments.pintle.dev digits --type merge -p '{"spec": {"template": {"metadata": {"labels": {"round": "confined"}}}}}'
  eventually 60 serving_label round confined
  eventually 20 mdep_is '.status.model.state == "Loaded" and .status.model.loadedReplicas == 1'
  local logs account=system:serviceaccount:$operator:pintle-operator verb; logs=$(k -n $operator logs -l app.kubernetes.io/component=operator --tail -1)
  if grep -i forbidden <<<"$logs"; then return 1; fi
  k auth can-i create pods -n $models --as $account
  for verb in "create pods -n default" "list pods -A" "list modeldeployments.pintle.dev -A" "create pods -n $operator" "delete services -n $operator"; do
    # shellcheck disable=SC2086
    if k auth can-i $verb --as $account; then echo "it may $verb"; return 1; fi
  done
  patch '{"spec": {"template": {"metadata": null}}}'
  eventually 60 pods_are "[.items[].metadata.labels.round] == [null]"
  eventually 60 serving 1
}
leads() { [ -n "$(k -n $operator get pods -l pintle.dev/role=leader -o name)" ]; }
serving_label() { serving 1 && pods_are ".items[0].metadata.labels[\"$1\"] == \"$2\""; }

# Those that alerts ask for of a monitored model only.
monitored_metrics() { printf '%s\n' pintle_model_healthy pintle_model_rollbacks_total pintle_monitor_drifted_columns_share; }

# Alerts and dashboard ask for metrics that are there.
monitoring() {
  local address; address=$(k -n $operator get service pintle-operator-metrics -o jsonpath='{.spec.clusterIP}')
  node curl -sS -m 10 "http://$address:8081/metrics" >"$work/metrics"
  node curl -sS -m 10 "http://digits.$models.svc.cluster.local:8082/metrics" >>"$work/metrics"
  sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/metrics" | sort -u >"$work/there"
  # shellcheck disable=SC2016
  { grep -h 'expr:' charts/pintle/files/rules.yaml; jq -r '.panels[].targets[].expr' charts/pintle/files/dashboard.json; } |
    grep -oE '(pintle|controller_runtime|workqueue|rest_client|leader_election)_[a-z_]+' | sed 's/_bucket$//' | sort -u >"$work/asked"
  [ "$(wc -l <"$work/asked")" -gt 8 ]
  comm -23 "$work/asked" "$work/there" | { grep -vxF -f <(monitored_metrics) || true; } | tee "$work/unknown" # those: model_health
  [ ! -s "$work/unknown" ]
}

plain_install() {
  k apply -f deploy/install.yaml
  # kubectl says "configured" of any PodDisruptionBudget: its selector is replaced, not merged.
  k apply -f deploy/install.yaml | grep -v unchanged | grep -v '^namespace/' | grep -v '^poddisruptionbudget' && { echo "a second apply changed something"; return 1; }
  k -n $operator rollout status deployment/pintle-operator --timeout 60s
  k -n $models apply -f examples/digits/digits.yaml
  k -n $models wait --for condition=Ready mdep/digits --timeout 60s
  k kustomize deploy >/dev/null
  # Everything at once, the operator first: what it owned must still go.
  k delete -f deploy/install.yaml --timeout 90s
  eventually 90 none_left
}

# --- running them -----------------------------------------------------------------------------------------------

failed=0 passed=0

diagnose() {
  k get mdep,pods -A -o wide
  k get mdep -A -o json | jq -r '.items[].status.conditions[]? | "\(.type)=\(.status) \(.reason): \(.message)"'
  echo "--- events"; k get events -A --sort-by=.lastTimestamp | grep -v '^default ' | tail -n 25
  echo "--- operator"; k -n $operator logs -l app.kubernetes.io/component=operator --tail 60 --prefix
  echo "--- operator, the container before"; k -n $operator logs -l app.kubernetes.io/component=operator --tail 20 --previous
  echo "--- sidecars"; k -n $models logs -l pintle.dev/model-deployment=digits --tail 30 --prefix
}

# Sets ok and returns 0: were it called in a condition, bash would ignore set -e all the way down.
step() { # WHAT FUNCTION
  local begin=$EPOCHREALTIME
  if [ -n "$only" ] && [[ $only != *,$2,* ]]; then ok=1; return; fi
  rm -f "$work/note"
  set +e
  (set -e; "$2") >"$work/step.log" 2>&1
  ok=$((! $?))
  set -e
  rm -f "$work/traffic" "$work/load"
  if [ $ok = 1 ]; then
    passed=$((passed + 1))
    printf 'PASS %6ss  %s\n' "$(since "$begin")" "$1"
    if [ -e "$work/note" ]; then sed 's/^/               /' "$work/note"; fi
  else
    failed=$((failed + 1))
    printf 'FAIL %6ss  %s\n' "$(since "$begin")" "$1"
    (set +e; tail -n 30 "$work/step.log"; diagnose 2>&1) | sed 's/^/    | /'
  fi
}

compress_with() { # STAGES MAX-DROP
  patch '{"spec": {"compression": {"recipe": {"data": {"heldOut": "/data/held.csv", "labelColumn": "label"}, "latencySeconds": 0, "stages": '"$1"',
    "gate": {"accuracy": {"maxDrop": '"$2"'}}}, "output": {"uri": "pvc://models/digits"}, "resources": {"limits": {"cpu": "1", "memory": "256Mi"}},
    "volumes": [{"name": "model", "configMap": {"name": "digits-model"}}, {"name": "data", "configMap": {"name": "digits-held"}}],
    "volumeMounts": [{"name": "model", "mountPath": "/models"}, {"name": "data", "mountPath": "/data"}]}}}'
}
compressed() { # by a pod of the namespace, which wants the restricted standard; out of a claim, into a claim
  local folder=$state/models before
  node mkdir -p -m 777 "$folder"; node chmod 777 "$folder"
  { echo "label$(printf ',p%d' {0..63})"; cat "$root/examples/digits/heldout.csv"; } >"$work/held.csv"
  k -n $models create configmap digits-held --from-file=held.csv="$work/held.csv"
  k apply -f - <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: models}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], storageClassName: "", persistentVolumeReclaimPolicy: Retain, hostPath: {path: $folder}, claimRef: {namespace: $models, name: models}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models, namespace: $models}
spec: {accessModes: [ReadWriteMany], storageClassName: "", volumeName: models, resources: {requests: {storage: 1Gi}}}
END
  before=$(mdep | jq -r .status.updateRevision)
  compress_with '[{"prune": {"amount": 0.95}}]' 0.01
  eventually 60 mdep_is 'condition("Compressed") | .status == "False" and .reason == "GateFailed"'
  mdep_is ".status.updateRevision == \"$before\" and condition(\"Stalled\").status == \"True\""
  answers
  compress_with '[{"prune": {"amount": 0.3}}, {"quantize": {"mode": "dynamic"}}]' 0.02
  eventually 60 mdep_is 'condition("Compressed").status == "True"'
  eventually 60 ready
  mdep_is '.status.model.digest == .status.compression.digest'
  [ "$(classify 1 20)" -ge 19 ]
  eventually 30 sh -c "[ -z \"\$('$here/in' kubectl -n $models get pods -o name -l app.kubernetes.io/managed-by=pintle-compression)\" ]"
  patch '{"spec": {"compression": null}}'
  eventually 60 ready
  mdep_is ".status.updateRevision == \"$before\" and .status.compression == null"
  k -n $models delete configmap/digits-held pvc/models --timeout 60s
  k delete pv models --timeout 60s
}
run_steps() {
  step "chart and generated files" chart_lint
  step "helm install" helm_install
  if [ $ok = 1 ]; then
    step "the API server refuses what is not honoured" rules
    step "kubectl explain, category models" explained
    step "kubectl apply -f digits.yaml: Ready" apply_digits
    if [ $ok = 1 ]; then
      step "columns of kubectl get mdep" columns
      step "alerts and dashboard ask for what is there" monitoring
      step "ServiceMonitor, PodMonitor, rules: accepted, and what they select answers" monitors
      step "predictions through the Service" predictions
      step "scale 1 -> 3 -> 1, no request lost" scale
      step "wrong digest: reported, old pod serves; mended" wrong_digest
      step "template change: pod replaced, no request lost" template_change
      step "sidecar killed: restarted, Ready again" killed_sidecar
      step "pod deleted: replaced" lost_pod
      step "API server restarted: operator carries on" apiserver_restart
      step "pause, scale, resume, roll back by annotation, no request lost" pause_undo
      step "containers beside the sidecar, no request lost" own_containers
      step "a recipe in a pod: its gate fails, its result is served, taken back" compressed
      step "PodDisruptionBudget" budget
      step "deleted as an orphan, adopted by its successor, no request lost" orphans
      step "helm upgrade with customMetrics: kubectl get --raw, no pod replaced, no request lost" custom_metrics
      step "custom metrics: only the API server's front proxy is answered" custom_metrics_refused
      step "tutorial: a HorizontalPodAutoscaler, up under load and down without" tutorial_hpa
      step "a HorizontalPodAutoscaler by queue delay, up and down" hpa_by_queue_delay
      [ -z "$only" ] || step "a HorizontalPodAutoscaler by latency, up and down" hpa_by_latency
      step "pintle get as kubectl does; top, rollout, scale, logs of the cluster" pintle_words
      step "a token is replaced and the one before revoked: no call fails" tokens_rotate
      step "a model that does badly is left for the one before, once" model_health
      fault_steps
      step "back to one replica" one_replica
      step "reports are believed only of the pod whose token they bring" reports
      step "the operators' own authority is renewed: sidecars made before go on reporting" own_authority
      step "NetworkPolicies, enforced: what they say goes through, nothing else does" policies
      step "leader hand-over" hand_over
      step "operator killed: pods keep serving, no request lost" operator_restart
      step "kubectl delete: nothing is left" delete_digits
      step "time from apply to Ready" apply_to_ready
      k -n $models delete mdep digits --ignore-not-found --timeout 60s >/dev/null || true
    fi
    step "each right of the operator is used, and none is missing" rights
    step "helm uninstall: nothing but the CRD is left" helm_uninstall
    step "Helm 3: install, upgrade with the CRD, test, roll back, uninstall; the pod stays" helm3_life
    step "kubectl apply -f install.yaml, and its removal" plain_install
  fi
  echo "$passed steps passed, $failed failed"
  [ $failed = 0 ]
}
