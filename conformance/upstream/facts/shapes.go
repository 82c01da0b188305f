package main

import (
	"reflect"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// special types have a JSON form of their own; the server has a shape for each.
var special = map[reflect.Type]string{
	reflect.TypeFor[intstr.IntOrString]():                           "intstr",
	reflect.TypeFor[resource.Quantity]():                            "quantity",
	reflect.TypeFor[metav1.Time]():                                  "time",
	reflect.TypeFor[metav1.MicroTime]():                             "microtime",
	reflect.TypeFor[metav1.Duration]():                              "duration",
	reflect.TypeFor[metav1.FieldsV1]():                              "fieldsv1",
	reflect.TypeFor[runtime.RawExtension]():                         "json",
	reflect.TypeFor[apiextensionsv1.JSON]():                         "json",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrArray]():       "schemaOrArray",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrBool]():        "schemaOrBool",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrStringArray](): "schemaOrStrings",
}

var scalars = map[reflect.Kind]string{
	reflect.String:  "string",
	reflect.Bool:    "bool",
	reflect.Int32:   "int32",
	reflect.Int64:   "int64",
	reflect.Float64: "float64",
}

// shape names the form of a value, and walks on to the structs in it. The property says how lists and maps merge;
// for the items of a list it is that of the item.
func (w *typesWriter) shape(goType reflect.Type, property *spec.Schema) string {
	if goType.Kind() == reflect.Pointer {
		return w.shape(goType.Elem(), property)
	}
	if word, found := special[goType]; found {
		return word
	}
	if word, found := scalars[goType.Kind()]; found {
		return word
	}
	switch goType.Kind() {
	case reflect.Struct:
		w.walk(goType)
		return modelName(goType)
	case reflect.Slice:
		if goType.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return w.list(goType, property)
	case reflect.Map:
		return w.mapping(goType, property)
	}
	w.fail("%s has no shape", goType)
	return ""
}

func (w *typesWriter) list(goType reflect.Type, property *spec.Schema) string {
	prefix := ""
	if property != nil {
		switch kind := property.Extensions["x-kubernetes-list-type"]; kind {
		case nil, "atomic":
		case "set":
			prefix = "set"
		case "map":
			keys := []string{}
			for _, key := range property.Extensions["x-kubernetes-list-map-keys"].([]any) {
				keys = append(keys, key.(string))
			}
			prefix = "map(" + strings.Join(keys, ",") + ")"
		default:
			w.fail("list type %v", kind)
		}
		// Upstream says atomic only where someone thought of it; OpenAPI repeats exactly that.
		if property.Extensions["x-kubernetes-list-type"] == "atomic" {
			prefix = "atomic"
		}
	}
	if _, message := reflect.PointerTo(goType).MethodByName("MarshalTo"); message {
		prefix = "wrapped" + prefix
	}
	return prefix + "[]" + w.shape(goType.Elem(), items(property))
}

func (w *typesWriter) mapping(goType reflect.Type, property *spec.Schema) string {
	if goType.Key().Kind() != reflect.String {
		w.fail("%s: the key is no string", goType)
	}
	prefix := ""
	if property != nil && property.Extensions["x-kubernetes-map-type"] == "atomic" {
		prefix = "atomic"
	}
	return prefix + "{}" + w.shape(goType.Elem(), values(property))
}

func items(property *spec.Schema) *spec.Schema {
	if property == nil || property.Items == nil {
		return nil
	}
	return property.Items.Schema
}

func values(property *spec.Schema) *spec.Schema {
	if property == nil || property.AdditionalProperties == nil {
		return nil
	}
	return property.AdditionalProperties.Schema
}
