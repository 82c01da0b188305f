package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/warning"
)

// A definition is one line of a file of rules: a schema with rules and objects that are held against it.
type definition struct {
	Schema  json.RawMessage `json:"schema"`
	Changes []struct {
		Object  json.RawMessage `json:"object"`
		Old     json.RawMessage `json:"old"`
		Ratchet bool            `json:"ratchet"`
		Budget  *int64          `json:"budget"`
	} `json:"changes"`
}

type definitionAnswer struct {
	Definition []string       `json:"definition"`
	Changes    []changeAnswer `json:"changes"`
}

type changeAnswer struct {
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
	Budget   int64    `json:"budget"`
}

// The type of self has a name that changes with the time.
var selfType = regexp.MustCompile(`selfType[0-9]+`)

type warnings struct{ texts []string }

func (w *warnings) AddWarning(_, text string) { w.texts = append(w.texts, text) }

func texts(errors field.ErrorList) []string {
	out := []string{}
	for _, err := range errors {
		out = append(out, selfType.ReplaceAllString(err.Error(), "selfType"))
	}
	sort.Strings(out)
	return out
}

func recordRules(path string) string {
	file, err := os.Open(path)
	if err != nil {
		fatal(err)
	}
	defer file.Close()
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var of definition
		if err := json.Unmarshal([]byte(line), &of); err != nil {
			fatal(fmt.Errorf("%s: %w", line, err))
		}
		if err := encoder.Encode(of.answer()); err != nil {
			fatal(err)
		}
	}
	return out.String()
}

func (d definition) answer() (is definitionAnswer) {
	is.Definition = []string{}
	for _, text := range texts(validation.ValidateCustomResourceDefinition(context.Background(), d.resource())) {
		if strings.Contains(text, "x-kubernetes-validations") {
			is.Definition = append(is.Definition, text)
		} else if !strings.Contains(text, "preserveUnknownFields") {
			fatal(fmt.Errorf("the schema is wrong: %s: %s", d.Schema, text))
		}
	}
	schema := structuralOf(string(d.Schema))
	validator := schemacel.NewValidator(schema, true, celconfig.PerCallLimit)
	is.Changes = []changeAnswer{}
	for _, change := range d.Changes {
		budget := int64(celconfig.RuntimeCELCostBudget)
		if change.Budget != nil {
			budget = *change.Budget
		}
		object, old := tree(string(change.Object)), any(nil)
		if change.Old != nil {
			old = tree(string(change.Old))
		}
		heard := &warnings{texts: []string{}}
		ctx := warning.WithWarningRecorder(context.Background(), heard)
		var options []schemacel.Option
		if change.Ratchet {
			options = append(options, schemacel.WithRatcheting(common.NewCorrelatedObject(object, old, &model.Structural{Structural: schema})))
		}
		errors, left := validator.Validate(ctx, field.NewPath("root"), schema, object, old, budget, options...)
		sort.Strings(heard.texts)
		is.Changes = append(is.Changes, changeAnswer{texts(errors), heard.texts, left})
	}
	return is
}

func (d definition) resource() *apiextensions.CustomResourceDefinition {
	var v1 apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal(d.Schema, &v1); err != nil {
		fatal(err)
	}
	var schema apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&v1, &schema, nil); err != nil {
		fatal(err)
	}
	preserve := false
	return &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things.example.com", ResourceVersion: "1"},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group:                 "example.com",
			Scope:                 apiextensions.NamespaceScoped,
			Names:                 apiextensions.CustomResourceDefinitionNames{Plural: "things", Singular: "thing", Kind: "Thing", ListKind: "ThingList"},
			PreserveUnknownFields: &preserve,
			Validation:            &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &schema},
			Versions:              []apiextensions.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true}},
		},
		Status: apiextensions.CustomResourceDefinitionStatus{StoredVersions: []string{"v1"}},
	}
}
