package main

import (
	"reflect"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// depthMax bounds how deep inside a type a selectable field may stand; upstream has none below three.
const depthMax = 4

// pathless are names of selectable fields that are no paths of the type; core, events and batch have such.
var pathless = []string{"spec.host", "source", "reportingComponent", "status.successful"}

// everyone are the fields by which kinds that say nothing can be selected.
var everyone = []string{"metadata.name", "metadata.namespace"}

// selectableFields are the field selectors that upstream's conversion of a kind accepts; none: just those of everyone.
// Upstream has no list of them; every path of the type is tried.
func selectableFields(kind schema.GroupVersionKind, goType reflect.Type) []string {
	accepted := []string{}
	for _, scheme := range schemes {
		if !scheme.Recognizes(kind) {
			continue
		}
		for _, label := range append(paths(goType, "", 0), pathless...) {
			name, _, err := scheme.ConvertFieldLabel(kind, label, "x")
			if err != nil {
				continue
			}
			if name != label {
				label += "=" + name
			}
			accepted = append(accepted, label)
		}
	}
	sort.Strings(accepted)
	accepted = slices.Compact(accepted)
	if slices.Equal(accepted, everyone) {
		return nil
	}
	return accepted
}

// paths are the JSON paths of all fields that are reached without a list or a map.
func paths(goType reflect.Type, prefix string, depth int) []string {
	for goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	if _, leaf := special[goType]; leaf || goType.Kind() != reflect.Struct || depth == depthMax {
		return nil
	}
	all := []string{}
	for i := 0; i < goType.NumField(); i++ {
		field := goType.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			all = append(all, paths(field.Type, prefix, depth)...)
			continue
		}
		all = append(all, prefix+name)
		all = append(all, paths(field.Type, prefix+name+".", depth+1)...)
	}
	return all
}
