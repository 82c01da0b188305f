package main

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/conversion"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

var (
	storedVersion = schema.GroupVersion{Group: "shop.example.com", Version: "v1"}
	olderVersion  = schema.GroupVersion{Group: "shop.example.com", Version: "v1beta1"}
)

// Shelf is what the operator looks after, in the version that is stored.
type Shelf struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ShelfSpec   `json:"spec,omitempty"`
	Status            ShelfStatus `json:"status,omitempty"`
}

type ShelfSpec struct {
	Size   int32  `json:"size"`
	Colour string `json:"colour,omitempty"`
}

type ShelfStatus struct {
	Ready      int32              `json:"ready,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

type ShelfList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Shelf `json:"items"`
}

// OldShelf is the same in an older version, where the size had another name.
type OldShelf struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              OldShelfSpec `json:"spec,omitempty"`
	Status            ShelfStatus  `json:"status,omitempty"`
}

type OldShelfSpec struct {
	Count  int32  `json:"count"`
	Colour string `json:"colour,omitempty"`
}

type OldShelfList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []OldShelf `json:"items"`
}

func addToScheme(scheme *runtime.Scheme) {
	scheme.AddKnownTypeWithName(storedVersion.WithKind("Shelf"), &Shelf{})
	scheme.AddKnownTypeWithName(storedVersion.WithKind("ShelfList"), &ShelfList{})
	scheme.AddKnownTypeWithName(olderVersion.WithKind("Shelf"), &OldShelf{})
	scheme.AddKnownTypeWithName(olderVersion.WithKind("ShelfList"), &OldShelfList{})
	metav1.AddToGroupVersion(scheme, storedVersion)
	metav1.AddToGroupVersion(scheme, olderVersion)
}

func (s *ShelfStatus) deepCopy() ShelfStatus {
	out := *s
	out.Conditions = append([]metav1.Condition(nil), s.Conditions...)
	return out
}

func (s *Shelf) DeepCopyObject() runtime.Object {
	out := &Shelf{TypeMeta: s.TypeMeta, Spec: s.Spec, Status: s.Status.deepCopy()}
	s.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return out
}

func (s *OldShelf) DeepCopyObject() runtime.Object {
	out := &OldShelf{TypeMeta: s.TypeMeta, Spec: s.Spec, Status: s.Status.deepCopy()}
	s.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return out
}

func (l *ShelfList) DeepCopyObject() runtime.Object {
	out := &ShelfList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*Shelf))
	}
	return out
}

func (l *OldShelfList) DeepCopyObject() runtime.Object {
	out := &OldShelfList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*OldShelf))
	}
	return out
}

// Hub marks the version through which all conversions go.
func (s *Shelf) Hub() {}

func (s *OldShelf) ConvertTo(hub conversion.Hub) error {
	to := hub.(*Shelf)
	to.ObjectMeta = s.ObjectMeta
	to.Spec = ShelfSpec{Size: s.Spec.Count, Colour: s.Spec.Colour}
	to.Status = s.Status
	return nil
}

func (s *OldShelf) ConvertFrom(hub conversion.Hub) error {
	from := hub.(*Shelf)
	s.ObjectMeta = from.ObjectMeta
	s.Spec = OldShelfSpec{Count: from.Spec.Size, Colour: from.Spec.Colour}
	s.Status = from.Status
	return nil
}

// hooks are the operator's webhooks.
type hooks struct{}

func (hooks) Default(_ context.Context, shelf *Shelf) error {
	if shelf.Spec.Colour == "" {
		shelf.Spec.Colour = "green"
	}
	return nil
}

func (hooks) ValidateCreate(_ context.Context, shelf *Shelf) (admission.Warnings, error) {
	if shelf.Spec.Size == 0 {
		return admission.Warnings{"an empty shelf holds nothing"}, nil
	}
	return nil, nil
}

func (hooks) ValidateUpdate(_ context.Context, before, after *Shelf) (admission.Warnings, error) {
	if before.Spec.Colour != after.Spec.Colour {
		return nil, fmt.Errorf("a shelf keeps its colour, %s", before.Spec.Colour)
	}
	return nil, nil
}

func (hooks) ValidateDelete(_ context.Context, shelf *Shelf) (admission.Warnings, error) {
	if shelf.Annotations["locked"] == "true" {
		return nil, errors.New("the shelf is locked")
	}
	return nil, nil
}
