// SPDX-License-Identifier: Apache-2.0

package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The resource as kubebuilder would scaffold it: what pods are made of in one struct, which is also what a revision keeps.

var groupVersion = schema.GroupVersion{Group: "pintle.dev", Version: "v1alpha1"}

type Model struct {
	URI     string `json:"uri,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Format  string `json:"format,omitempty"`
}

type Runtime struct {
	Image       string `json:"image,omitempty"`
	Threads     int32  `json:"threads,omitempty"`
	Concurrency int32  `json:"concurrency,omitempty"`
}

type PodShape struct {
	Model     Model                        `json:"model"`
	Runtime   *Runtime                     `json:"runtime,omitempty"`
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	Template  *corev1.PodTemplateSpec      `json:"template,omitempty"`
}

type ModelDeploymentSpec struct {
	PodShape        `json:",inline"`
	Replicas        *int32 `json:"replicas,omitempty"`
	MinReadySeconds int32  `json:"minReadySeconds,omitempty"`
	Paused          bool   `json:"paused,omitempty"`
}

type ModelDeploymentStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Replicas           int32              `json:"replicas"`
	ReadyReplicas      int32              `json:"readyReplicas"`
	AvailableReplicas  int32              `json:"availableReplicas"`
	UpdatedReplicas    int32              `json:"updatedReplicas"`
	Selector           string             `json:"selector,omitempty"`
	CurrentRevision    string             `json:"currentRevision,omitempty"`
	UpdateRevision     string             `json:"updateRevision,omitempty"`
	Endpoint           string             `json:"endpoint,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

type ModelDeployment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ModelDeploymentSpec   `json:"spec"`
	Status            ModelDeploymentStatus `json:"status,omitempty"`
}

type ModelDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ModelDeployment `json:"items"`
}

func addToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(groupVersion, &ModelDeployment{}, &ModelDeploymentList{})
	metav1.AddToGroupVersion(s, groupVersion)
	return nil
}

func (in *PodShape) deepCopyInto(out *PodShape) {
	*out = *in
	if in.Runtime != nil {
		r := *in.Runtime
		out.Runtime = &r
	}
	out.Resources = in.Resources.DeepCopy()
	out.Template = in.Template.DeepCopy()
}

func (in *ModelDeployment) deepCopyInto(out *ModelDeployment) {
	*out = *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.PodShape.deepCopyInto(&out.Spec.PodShape)
	if in.Spec.Replicas != nil {
		n := *in.Spec.Replicas
		out.Spec.Replicas = &n
	}
	if in.Status.Conditions != nil {
		out.Status.Conditions = make([]metav1.Condition, len(in.Status.Conditions))
		for i := range in.Status.Conditions {
			in.Status.Conditions[i].DeepCopyInto(&out.Status.Conditions[i])
		}
	}
}

func (in *ModelDeployment) DeepCopyObject() runtime.Object {
	out := new(ModelDeployment)
	in.deepCopyInto(out)
	return out
}

func (in *ModelDeploymentList) DeepCopyObject() runtime.Object {
	out := &ModelDeploymentList{TypeMeta: in.TypeMeta, Items: make([]ModelDeployment, len(in.Items))}
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range in.Items {
		in.Items[i].deepCopyInto(&out.Items[i])
	}
	return out
}
