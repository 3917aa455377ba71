# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by up and rotate-ca, in $state: the cluster's authority, pki/ca.{crt,key}, and all that it signs. pki/ca.crt may have more than one
# certificate: the first one's key signs. Like kubeadm's, they all have the same name and certificates say by the key's identifier whose they are.

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "pki/$1.key"; }

authority() { # NAME SUBJECT: its key, and its certificate on standard output
  new_key "$1"
  openssl req -x509 -new -key "pki/$1.key" -days 30 -subj "$2"
}

certificate() { # NAME SUBJECT [ALTERNATIVE-NAMES [AUTHORITY]]
  new_key "$1"
  openssl req -new -key "pki/$1.key" -subj "$2" | openssl x509 -req -CA "pki/${4:-ca}.crt" -CAkey "pki/${4:-ca}.key" -days 30 -sha256 -out "pki/$1.crt" \
    -extfile <(printf '%s\n' keyUsage=digitalSignature extendedKeyUsage=serverAuth,clientAuth authorityKeyIdentifier=keyid "${3:+subjectAltName=$3}") 2>/dev/null
}

kubeconfig() { # NAME SUBJECT: a client certificate and the file that uses it
  certificate "$1" "$2"
  cat >"$1.conf" <<END
apiVersion: v1
kind: Config
clusters: [{name: pintle, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $state/pki/ca.crt}}]
users: [{name: $1, user: {client-certificate: $state/pki/$1.crt, client-key: $state/pki/$1.key}}]
contexts: [{name: pintle, context: {cluster: pintle, user: $1}}]
current-context: pintle
END
}

ca_certificate() { authority ca /CN=pintle-test-cluster; }

sign_all() {
  certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:$node_ip,IP:$service_api"
  certificate kubelet-serving /CN=$node "DNS:$node,IP:$node_ip"
  certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  kubeconfig admin /O=system:masters/CN=admin
  kubeconfig controller-manager /CN=system:kube-controller-manager
  kubeconfig scheduler /CN=system:kube-scheduler
  kubeconfig kubelet /O=system:nodes/CN=system:node:$node
  kubeconfig proxy /CN=system:kube-proxy
  kubeconfig coredns /CN=coredns
}
