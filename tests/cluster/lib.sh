# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by every script here: settings, and how the daemons of a test cluster are kept account of.
#
# Environment:
#   KUBEBUILDER_ASSETS    a folder that has all of $programs: used as it is, nothing is built
#   PINTLE_CACHE          what is built once and kept          (default ~/.cache/pintle)
#   PINTLE_CLUSTER        one cluster's keys, logs and data    (default /var/lib/pintle-cluster)
# Clusters with different PINTLE_CLUSTER run side by side: each has network, mount and process namespaces of its own.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(readlink -f "$here/../..")
cache=${PINTLE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pintle}
state=${PINTLE_CLUSTER:-/var/lib/pintle-cluster}
cgroup=pintle-$(cksum <<<"$state" | cut -d' ' -f1)

k8s_version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$here/kube/go.mod")
programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns)
bin=$cache/k8s/$k8s_version

kube_router_version=v2.1.0 prometheus_operator_version=v0.85.0
kube_router=$cache/tools/kube-router-$kube_router_version/kube-router monitoring_crds=$cache/k8s/prometheus-operator-$prometheus_operator_version

node=pintle-node
node_ip=10.100.0.1 pod_cidr=10.244.0.0/24 pod_gateway=10.244.0.1 service_cidr=10.96.0.0/16 service_api=10.96.0.1
containerd_socket=/run/containerd/containerd.sock

die() { echo "$*" >&2; exit 1; }

# since START [DECIMALS]: seconds from START (an $EPOCHREALTIME) to now
since() { awk -v a="$1" -v b="$EPOCHREALTIME" -v d="${2:-1}" 'BEGIN { printf "%.*f", d, b - a }'; }

has_all_programs() { # FOLDER
  local p
  for p in "${programs[@]}"; do [ -x "$1/$p" ] || return 1; done
}

if [ -n "${KUBEBUILDER_ASSETS-}" ] && has_all_programs "$KUBEBUILDER_ASSETS"; then bin=$KUBEBUILDER_ASSETS; fi
export KUBECONFIG=$state/admin.conf KUBECACHEDIR=$state/kube-cache PATH=$bin:$cache/tools:$PATH:/usr/sbin:/sbin

# --- daemons ----------------------------------------------------------------------------------------------------
# $state/run/NAME holds "PID STARTTIME" of a daemon: with both a recycled process number is never mistaken for ours.
# $state/run/NAME.cmd is its command line, for `restart`.

started_at() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; }
record() { echo "$2 $(started_at "$2")" >"$state/run/$1"; }
pid_of() { cut -d' ' -f1 "$state/run/$1"; }

alive() { # NAME
  local pid start
  read -r pid start 2>/dev/null <"$state/run/$1" && [ "$(started_at "$pid")" = "$start" ]
}

daemons() { find "$state/run" -type f ! -name '*.cmd' -printf '%f\n' 2>/dev/null; }

child_of() { tr -d ' ' <"/proc/$1/task/$1/children"; }

# inside CMD...: run CMD in the cluster's namespaces, in the folder that we are in (nsenter alone goes to /)
inside() { nsenter -t "$(pid_of namespaces)" --mount --net --pid --uts --ipc env -C "$PWD" "$@"; }

spawn() { # NAME CMD...
  local name=$1; shift
  printf '%q ' "$@" >"$state/run/$name.cmd"
  setsid nsenter -t "$(pid_of namespaces)" --mount --net --pid --uts --ipc env -C "$state" "$@" </dev/null >>"$state/log/$name.log" 2>&1 &
  record "$name" $!
}

# wait_for SECONDS WHAT CMD...: until CMD succeeds. A daemon that died ends the wait at once, with its last words.
wait_for() {
  local end=$((SECONDS + $1)) what=$2 name; shift 2
  until "$@" >/dev/null 2>&1; do
    for name in $(daemons); do
      alive "$name" || { tail -n 20 "$state/log/$name.log" >&2; die "$name died while waiting for $what"; }
    done
    [ $SECONDS -lt $end ] || die "gave up waiting for $what; the logs are in $state/log"
    sleep 0.05
  done
}
