package main

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apiextensionsscheme "k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/controlplane" // registers every built-in group
)

// schemes are those of the three servers that make up kube-apiserver.
var schemes = []*runtime.Scheme{legacyscheme.Scheme, apiextensionsscheme.Scheme, aggregatorscheme.Scheme}

// unregistered types stand in no scheme, or in one of a group that is not served, and go over the wire all the same.
var unregistered = []any{
	apidiscoveryv2.APIGroupDiscoveryList{},
	metav1.APIGroup{}, metav1.APIGroupList{}, metav1.APIResourceList{}, metav1.APIVersions{},
	metav1.PartialObjectMetadata{}, metav1.PartialObjectMetadataList{},
	metav1.Status{},
	version.Info{},
}

// rootTypes are all Go types that are the top of something on the wire: every kind of a group-version that can be
// served, with its list, option and review types.
func rootTypes() ([]reflect.Type, error) {
	groupVersions, err := servedGroupVersions()
	if err != nil {
		return nil, err
	}
	seen := map[reflect.Type]bool{}
	for _, value := range unregistered {
		seen[reflect.TypeOf(value)] = true
	}
	for _, scheme := range schemes {
		for kind, goType := range scheme.AllKnownTypes() {
			if groupVersions[kind.GroupVersion()] && modelName(goType) != "" {
				seen[goType] = true
			}
		}
	}
	roots := make([]reflect.Type, 0, len(seen))
	for goType := range seen {
		roots = append(roots, goType)
	}
	sort.Slice(roots, func(i, j int) bool { return modelName(roots[i]) < modelName(roots[j]) })
	return roots, nil
}

// kindType finds the Go type of a kind in the scheme that has it.
func kindType(kind schema.GroupVersionKind) (reflect.Type, error) {
	for _, scheme := range schemes {
		if goType, found := scheme.AllKnownTypes()[kind]; found {
			return goType, nil
		}
	}
	return nil, fmt.Errorf("no scheme knows %s", kind)
}

// modelName is the OpenAPI definition name of a type, or nothing if it has none.
func modelName(goType reflect.Type) string {
	type named interface{ OpenAPIModelName() string }
	if named, ok := reflect.New(goType).Interface().(named); ok {
		return named.OpenAPIModelName()
	}
	return ""
}

func goName(goType reflect.Type) string {
	return strings.Join([]string{goType.PkgPath(), goType.Name()}, ".")
}
