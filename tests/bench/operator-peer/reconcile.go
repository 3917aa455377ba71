// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	controllerField = ".metadata.controller"
	nameLabel       = "pintle.dev/model-deployment"
)

type reconciler struct {
	client.Client
}

type revisionData struct {
	Spec PodShape `json:"spec"`
}

func ourLabels(md *ModelDeployment) map[string]string {
	return map[string]string{managedBy: operatorName, "app.kubernetes.io/instance": md.Name, nameLabel: md.Name}
}

func (r *reconciler) owned(ctx context.Context, md *ModelDeployment, list client.ObjectList) error {
	return r.List(ctx, list, client.InNamespace(md.Namespace), client.MatchingFields{controllerField: string(md.UID)})
}

// What is written out and what is left to its default is the same.
func defaulted(p PodShape) PodShape {
	if p.Model.Version == "" {
		p.Model.Version = "1"
	}
	return p
}

// The revision of what the spec says now; made where there is none.
func (r *reconciler) revision(ctx context.Context, md *ModelDeployment) (string, error) {
	var list appsv1.ControllerRevisionList
	if err := r.owned(ctx, md, &list); err != nil {
		return "", err
	}
	last := int64(0)
	for i := range list.Items {
		var data revisionData
		last = max(last, list.Items[i].Revision)
		if json.Unmarshal(list.Items[i].Data.Raw, &data) == nil && equality.Semantic.DeepEqual(defaulted(data.Spec), defaulted(md.Spec.PodShape)) {
			return list.Items[i].Name, nil
		}
	}
	raw, err := json.Marshal(revisionData{md.Spec.PodShape})
	if err != nil {
		return "", err
	}
	hash := fnv.New32a()
	hash.Write(raw)
	rev := appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Namespace: md.Namespace, Name: md.Name + "-" + rand.SafeEncodeString(fmt.Sprint(hash.Sum32())), Labels: ourLabels(md)},
		Data:       runtime.RawExtension{Raw: raw},
		Revision:   last + 1,
	}
	if err := controllerutil.SetControllerReference(md, &rev, r.Scheme()); err != nil {
		return "", err
	}
	return rev.Name, client.IgnoreAlreadyExists(r.Create(ctx, &rev))
}

func (r *reconciler) service(ctx context.Context, md *ModelDeployment) error {
	var have corev1.Service
	err := r.Get(ctx, client.ObjectKeyFromObject(md), &have)
	if !apierrors.IsNotFound(err) {
		return err
	}
	s := corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: md.Namespace, Name: md.Name, Labels: ourLabels(md)},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{nameLabel: md.Name}, Ports: []corev1.ServicePort{{Name: "http", Port: 8080, TargetPort: intstr.FromString("http")}}},
	}
	if err := controllerutil.SetControllerReference(md, &s, r.Scheme()); err != nil {
		return err
	}
	return client.IgnoreAlreadyExists(r.Create(ctx, &s))
}

func isReady(p *corev1.Pod) bool {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.PodReady {
			return p.Status.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

// Numbered, so that one made before the cache knows of it is not made twice.
func (r *reconciler) createPod(ctx context.Context, md *ModelDeployment, revision string, number int) error {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: md.Namespace, Name: fmt.Sprintf("%s-%d", revision, number), Labels: ourLabels(md)}}
	if md.Spec.Template != nil {
		pod.Spec = *md.Spec.Template.Spec.DeepCopy()
	}
	pod.Labels[appsv1.ControllerRevisionHashLabelKey] = revision
	pod.Spec.ReadinessGates = append(pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: "pintle.dev/model-ready"})
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
		Name: "sidecar", Image: "sidecar:bench",
		Env:   []corev1.EnvVar{{Name: "MODEL_URI", Value: md.Spec.Model.URI}, {Name: "MODEL_VERSION", Value: md.Spec.Model.Version}},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
	})
	if err := controllerutil.SetControllerReference(md, &pod, r.Scheme()); err != nil {
		return err
	}
	return client.IgnoreAlreadyExists(r.Create(ctx, &pod))
}

// A rolling update: a quarter more than wanted at most, never fewer ready than wanted.
func (r *reconciler) roll(ctx context.Context, md *ModelDeployment, revision string, pods []corev1.Pod, status *ModelDeploymentStatus) error {
	wanted, fresh, live := int32(1), int32(0), int32(0)
	var old []*corev1.Pod
	if md.Spec.Replicas != nil {
		wanted = *md.Spec.Replicas
	}
	for i := range pods {
		p := &pods[i]
		if p.DeletionTimestamp != nil {
			continue
		}
		live++
		if isReady(p) {
			status.ReadyReplicas++
		}
		if p.Labels[appsv1.ControllerRevisionHashLabelKey] == revision {
			fresh++
		} else {
			old = append(old, p)
		}
	}
	status.Replicas, status.UpdatedReplicas, status.AvailableReplicas = live, fresh, status.ReadyReplicas
	if len(old) == 0 {
		status.CurrentRevision = revision
	}
	for n := fresh; n < wanted && live < wanted+(wanted+3)/4; n, live = n+1, live+1 {
		if err := r.createPod(ctx, md, revision, int(n)); err != nil {
			return err
		}
	}
	for spare := status.ReadyReplicas - wanted; spare > 0 && len(old) > 0; spare, old = spare-1, old[1:] {
		if err := client.IgnoreNotFound(r.Delete(ctx, old[0], client.Preconditions{UID: &old[0].UID})); err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var md ModelDeployment
	if err := r.Get(ctx, req.NamespacedName, &md); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if md.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	revision, err := r.revision(ctx, &md)
	if err == nil {
		err = r.service(ctx, &md)
	}
	var pods corev1.PodList
	if err == nil {
		err = r.owned(ctx, &md, &pods)
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	status := md.Status
	status.ObservedGeneration, status.UpdateRevision, status.ReadyReplicas = md.Generation, revision, 0
	if err := r.roll(ctx, &md, revision, pods.Items, &status); err != nil {
		return reconcile.Result{}, err
	}
	if equality.Semantic.DeepEqual(status, md.Status) {
		return reconcile.Result{}, nil
	}
	was := md.DeepCopyObject().(*ModelDeployment)
	md.Status = status
	return reconcile.Result{}, r.Status().Patch(ctx, &md, client.MergeFrom(was))
}
