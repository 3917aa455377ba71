// SPDX-License-Identifier: Apache-2.0

// operator-peer: a controller of ModelDeployments as it is written with controller-runtime, for the bench beside this folder: the same objects are watched
// (typed, only ours by label, managedFields dropped, children found by an index of their controller), revisions, a Service and pods are made, rollouts
// surge by a quarter, the status is kept, a Lease elects the leader with caches warm before. What Pintle's operator does besides is not here (reports,
// autoscaling, drains, budgets, conditions, events), so what this needs is the least that such a program needs.
package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	workers      = 16
	managedBy    = "app.kubernetes.io/managed-by"
	operatorName = "pintle-operator" // whose objects these are
)

func must(err error, what string) {
	if err != nil {
		ctrl.Log.Error(err, what)
		os.Exit(1)
	}
}

func newManager(healthAddress, namespace string) manager.Manager {
	scheme := runtime.NewScheme()
	must(clientgoscheme.AddToScheme(scheme), "scheme")
	must(addToScheme(scheme), "scheme")
	config := ctrl.GetConfigOrDie()
	config.QPS = -1                         // the server's own limits hold, as for Pintle
	config.ContentType = "application/json" // what the server in this bench speaks
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{managedBy: operatorName})}
	lease, renew := 60*time.Second, 40*time.Second // a machine that has other work is no reason to end
	mgr, err := ctrl.NewManager(config, manager.Options{
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		Scheme:                        scheme,
		LeaderElection:                true,
		LeaderElectionID:              "operator-peer",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:        healthAddress,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}: ours, &corev1.Service{}: ours, &appsv1.ControllerRevision{}: ours,
				&discoveryv1.EndpointSlice{}: ours, &policyv1.PodDisruptionBudget{}: ours,
			},
		},
	})
	must(err, "manager")
	return mgr
}

// The controller's uid, for lookups of what a ModelDeployment owns.
func byController(o client.Object) []string {
	if owner := metav1.GetControllerOf(o); owner != nil {
		return []string{string(owner.UID)}
	}
	return nil
}

// A slice belongs to the Service of the ModelDeployment's name.
func ofSlice(_ context.Context, o client.Object) []reconcile.Request {
	if name := o.GetLabels()[discoveryv1.LabelServiceName]; name != "" {
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
	}
	return nil
}

// Caches fill before this process leads; ready is who has them full.
func warm(ctx context.Context, mgr manager.Manager, synced *atomic.Bool) {
	for _, o := range []client.Object{&ModelDeployment{}, &corev1.Pod{}, &appsv1.ControllerRevision{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}, &policyv1.PodDisruptionBudget{}} {
		_, err := mgr.GetCache().GetInformer(ctx, o, cache.BlockUntilSynced(false))
		must(err, "informer")
	}
	go func() { synced.Store(mgr.GetCache().WaitForCacheSync(ctx)) }()
	must(mgr.AddReadyzCheck("sync", func(*http.Request) error {
		if synced.Load() {
			return nil
		}
		return errors.New("not synced yet")
	}), "readyz")
}

func main() {
	healthAddress := flag.String("health-address", "127.0.0.1:8081", "where /readyz is served")
	namespace := flag.String("namespace", "default", "of the Lease")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	mgr := newManager(*healthAddress, *namespace)
	ctx := ctrl.SetupSignalHandler()
	for _, o := range []client.Object{&corev1.Pod{}, &appsv1.ControllerRevision{}} {
		must(mgr.GetFieldIndexer().IndexField(ctx, o, controllerField, byController), "index")
	}
	err := ctrl.NewControllerManagedBy(mgr).
		For(&ModelDeployment{}).
		Owns(&corev1.Pod{}).Owns(&appsv1.ControllerRevision{}).Owns(&corev1.Service{}).Owns(&policyv1.PodDisruptionBudget{}).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(ofSlice)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(&reconciler{mgr.GetClient()})
	must(err, "controller")
	var synced atomic.Bool
	warm(ctx, mgr, &synced)
	must(mgr.Start(ctx), "run")
}
