package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

// renderField writes the line of a field and the lines of what only some fields have.
func (w *typesWriter) renderField(field field, property spec.Schema, required bool) string {
	goType := field.goField.Type
	path := field.path
	if path[len(path)-1] == "0" {
		path = []string{"0"}
	}
	words := []string{field.name, w.shape(goType, &property), strings.Join(path, "."), marks(field.goField, required)}
	if patch := patch(field.goField); patch != "" {
		words = append(words, "patch="+patch)
	}
	if name := goNameOf(goType); name != derivedName(goType) {
		words = append(words, "go="+name)
	}
	if property.Extensions["x-kubernetes-map-type"] == "granular" && bare(goType).Kind() == reflect.Struct {
		words = append(words, "map=granular")
	}
	// What kind and apiVersion are is looked at before the rest is decoded.
	if within := strings.Join(field.within, "."); within != "" && within != "TypeMeta" {
		words = append(words, "in="+within)
	}
	out := strings.Builder{}
	out.WriteString("\t" + strings.Join(words, " ") + "\n")
	line := func(words ...string) { out.WriteString("\t\t" + strings.Join(words, " ") + "\n") }
	leaf := leafOf(&property)
	if len(leaf.Enum) > 0 {
		values := []string{"enum"}
		for _, value := range leaf.Enum {
			values = append(values, word(value.(string)))
		}
		line(values...)
	}
	if property.Default != nil && !follows(property.Default, impliedDefault(goType, omitted(field.goField))) {
		line("default", compactJSON(property.Default))
	}
	if property.Default == nil && impliedDefault(goType, omitted(field.goField)) != "" {
		w.fail("%s: no default where one was implied", field.name)
	}
	if format := leaf.Format; format != "" && format != impliedFormat(goType) {
		line("format", format)
	}
	if field.comments.gate != "" {
		line("gate", field.comments.gate)
	}
	for _, tag := range append(append([]tag{}, field.comments.tags...), w.namedTypeTags(goType, "")...) {
		line(tag.String())
	}
	w.checkLeaf(field.name, goType, &property, leaf)
	return out.String()
}

// checkLeaf fails on facts that upstream's definitions have begun to carry and that have no place here yet.
func (w *typesWriter) checkLeaf(name string, goType reflect.Type, property, leaf *spec.Schema) {
	if leaf != property && leaf.Default != nil && !follows(leaf.Default, impliedDefault(bare(goType), false)) {
		w.fail("%s: the default of an item: %s", name, compactJSON(leaf.Default))
	}
	for extension := range property.Extensions {
		known := []string{"x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
			"x-kubernetes-patch-strategy", "x-kubernetes-patch-merge-key"}
		if !slices.Contains(known, extension) {
			w.fail("%s: unknown extension %s", name, extension)
		}
	}
	for _, schema := range []*spec.Schema{property, leaf} {
		if schema.Pattern != "" || schema.Minimum != nil || schema.Maximum != nil || schema.MaxLength != nil || schema.MaxItems != nil {
			w.fail("%s: a limit in the OpenAPI definition", name)
		}
	}
}

// leafOf is the schema of the items of lists and the values of maps, as deep as they go.
func leafOf(property *spec.Schema) *spec.Schema {
	for {
		if inner := items(property); inner != nil {
			property = inner
		} else if inner := values(property); inner != nil {
			property = inner
		} else {
			return property
		}
	}
}

// bare is the Go type of the same place.
func bare(goType reflect.Type) reflect.Type {
	for goType.Kind() == reflect.Pointer || goType.Kind() == reflect.Slice || goType.Kind() == reflect.Map {
		goType = goType.Elem()
	}
	return goType
}

// goNameOf is what encoding/json calls the type in its errors, without blanks.
func goNameOf(goType reflect.Type) string {
	for goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	return strings.ReplaceAll(goType.String(), " ", "")
}

// derivedName is what the server calls a type of which it knows no more than the shape.
func derivedName(goType reflect.Type) string {
	if goType.Kind() == reflect.Pointer {
		return derivedName(goType.Elem())
	}
	if _, custom := special[goType]; custom {
		return goNameOf(goType)
	}
	switch goType.Kind() {
	case reflect.Struct:
		parts := strings.Split(modelName(goType), ".")
		return strings.Join(parts[len(parts)-2:], ".")
	case reflect.Slice:
		return "[]" + derivedName(goType.Elem())
	case reflect.Map:
		return "map[string]" + derivedName(goType.Elem())
	}
	return goType.Kind().String()
}

func marks(goField reflect.StructField, required bool) string {
	out := ""
	if goField.Type.Kind() == reflect.Pointer {
		out += "*"
	}
	if omitted(goField) {
		out += "?"
	}
	if required {
		out += "!"
	}
	if out == "" {
		return "."
	}
	return out
}

// omitted says whether encoding/json leaves the zero value out: omitempty does nothing for structs.
func omitted(goField reflect.StructField) bool {
	_, options, _ := strings.Cut(goField.Tag.Get("json"), ",")
	all := strings.Split(options, ",")
	return slices.Contains(all, "omitzero") || slices.Contains(all, "omitempty") && goField.Type.Kind() != reflect.Struct
}

func patch(goField reflect.StructField) string {
	strategy, key := goField.Tag.Get("patchStrategy"), goField.Tag.Get("patchMergeKey")
	if key != "" {
		return strategy + "/" + key
	}
	return strategy
}

// impliedDefault is what upstream's generator writes for a field that says nothing of its own.
func impliedDefault(goType reflect.Type, omitted bool) string {
	if _, custom := special[goType]; custom {
		return ""
	}
	if _, custom := reflect.PointerTo(goType).MethodByName("UnmarshalJSON"); custom {
		return ""
	}
	switch goType.Kind() {
	case reflect.Struct:
		return "{}"
	case reflect.String:
		return unless(omitted, `""`)
	case reflect.Bool:
		return unless(omitted, "false")
	case reflect.Int32, reflect.Int64, reflect.Float64:
		return unless(omitted, "0")
	}
	return ""
}

func unless(omitted bool, zero string) string {
	if omitted {
		return ""
	}
	return zero
}

func follows(value any, implied string) bool { return compactJSON(value) == implied }

func impliedFormat(goType reflect.Type) string {
	switch special[bare(goType)] {
	case "intstr":
		return "int-or-string"
	case "time", "microtime":
		return "date-time"
	}
	switch bare(goType).Kind() {
	case reflect.Int32:
		return "int32"
	case reflect.Int64:
		return "int64"
	case reflect.Float64:
		return "double"
	case reflect.Uint8:
		return "byte"
	}
	return ""
}

// namedTypeTags are the tags on the declaration of a named type that is no struct, spelled as tags of the field:
// those of the type of list items and of map values as eachVal, those of map keys as eachKey.
func (w *typesWriter) namedTypeTags(goType reflect.Type, wrap string) []tag {
	if goType.Kind() == reflect.Pointer {
		return w.namedTypeTags(goType.Elem(), wrap)
	}
	if goType.Kind() == reflect.Struct {
		return nil
	}
	comments, err := w.sources.of(goType)
	if err != nil {
		w.fail("%s: %v", goName(goType), err)
	}
	all := []tag{}
	for _, own := range comments.tags {
		if wrap == "" {
			all = append(all, own)
		} else {
			all = append(all, tag{wrap, "+k8s:" + own.source()})
		}
	}
	if wrap == "" && (goType.Kind() == reflect.Slice || goType.Kind() == reflect.Map) {
		all = append(all, w.namedTypeTags(goType.Elem(), "eachVal")...)
	}
	if wrap == "" && goType.Kind() == reflect.Map {
		all = append(all, w.namedTypeTags(goType.Key(), "eachKey")...)
	}
	return all
}

// source writes a tag as the Go source has it.
func (t tag) source() string {
	if t.args == "" || strings.HasPrefix(t.args, "(") {
		return t.name + t.args
	}
	return t.name + "=" + t.args
}

func compactJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("%v: %v", value, err))
	}
	return string(text)
}

// word makes a value one word of a line.
func word(value string) string {
	if value == "" {
		return `""`
	}
	return value
}
