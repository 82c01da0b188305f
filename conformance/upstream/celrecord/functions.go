package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
)

// The release before the pinned one: new expressions are held to what it understands.
var compatibility = environment.DefaultCompatibilityVersion()

func baseEnv(stored bool) *cel.Env {
	set := environment.MustBaseEnvSet(version.MajorMinor(compatibility.Major(), compatibility.Minor()))
	if stored {
		return set.StoredExpressionsEnv()
	}
	return set.NewExpressionsEnv()
}

// functionTable lists every overload: in which environments, function, overload, member or global, result, arguments.
func functionTable() string {
	type row struct{ function, id, text string }
	order := map[string][]row{}
	in := map[string]string{}
	for _, stored := range []bool{true, false} {
		mark := "n"
		if stored {
			mark = "s"
		}
		for name, function := range baseEnv(stored).Functions() {
			for _, overload := range function.OverloadDecls() {
				style := "global"
				if overload.IsMemberFunction() {
					style = "member"
				}
				types := []string{cel.FormatCELType(overload.ResultType())}
				for _, argument := range overload.ArgTypes() {
					types = append(types, cel.FormatCELType(argument))
				}
				text := fmt.Sprintf("%s\t%s\t%s\t%s", name, overload.ID(), style, strings.Join(types, "\t"))
				if in[text] == "" {
					order[name] = append(order[name], row{name, overload.ID(), text})
				}
				in[text] += mark
			}
		}
	}
	names := make([]string, 0, len(order))
	for name := range order {
		names = append(names, name)
	}
	sort.Strings(names)
	var out strings.Builder
	for _, name := range names {
		for _, row := range order[name] {
			fmt.Fprintf(&out, "%s\t%s\n", in[row.text], row.text)
		}
	}
	return out.String()
}
