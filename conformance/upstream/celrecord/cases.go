package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/library"
)

// The stand-in for a line break inside an expression.
const lineBreak = "␤"

// A setting is the environment of the expressions that follow.
type setting struct {
	stored    bool
	root      bool
	variables [][3]string
	schema    string
	self, old string
}

// An answer is one line of a recording.
type answer struct {
	Expr     string     `json:"expr"`
	Issues   string     `json:"issues,omitempty"`
	Type     string     `json:"type,omitempty"`
	Value    string     `json:"value,omitempty"`
	Error    string     `json:"error,omitempty"`
	Estimate *[2]uint64 `json:"estimate,omitempty"`
	Cost     *uint64    `json:"cost,omitempty"`
}

func record(path string) string {
	file, err := os.Open(path)
	if err != nil {
		fatal(err)
	}
	defer file.Close()
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	now := setting{stored: true}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "@reset":
			now = setting{stored: true}
		case "@new":
			now.stored = false
		case "@root":
			now.root = true
		case "@schema":
			now = setting{stored: true, schema: rest}
		case "@self":
			now.self = rest
		case "@old":
			now.old = rest
		case "@var":
			name, rest, _ := strings.Cut(rest, " ")
			kind, value, _ := strings.Cut(rest, " = ")
			now.variables = append(now.variables, [3]string{name, kind, value})
		default:
			if err := encoder.Encode(now.answer(strings.ReplaceAll(line, lineBreak, "\n"))); err != nil {
				fatal(err)
			}
		}
	}
	return out.String()
}

type sizes struct{ root *apiservercel.DeclType }

// EstimateSize is what upstream's estimator for custom resources answers; without a schema nothing is known.
func (s *sizes) EstimateSize(element checker.AstNode) *checker.SizeEstimate {
	if len(element.Path()) == 0 || s.root == nil {
		return nil
	}
	at := s.root
	for _, name := range element.Path()[1:] {
		switch name {
		case "@items", "@values":
			if at.ElemType == nil {
				return nil
			}
			at = at.ElemType
		case "@keys":
			if at.KeyType == nil {
				return nil
			}
			at = at.KeyType
		default:
			field, ok := at.Fields[name]
			if !ok || field.Type == nil {
				return nil
			}
			at = field.Type
		}
	}
	return &checker.SizeEstimate{Min: 0, Max: uint64(at.MaxElements)}
}

func (s *sizes) EstimateCallCost(function, overloadID string, target *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	return nil
}

func structuralOf(text string) *structural.Structural {
	var v1 apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal([]byte(text), &v1); err != nil {
		fatal(fmt.Errorf("%s: %w", text, err))
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&v1, &internal, nil); err != nil {
		fatal(err)
	}
	schema, err := structural.NewStructural(&internal)
	if err != nil {
		fatal(err)
	}
	return schema
}

func tree(text string) any {
	var value any
	if err := utiljson.Unmarshal([]byte(text), &value); err != nil {
		fatal(fmt.Errorf("%s: %w", text, err))
	}
	return value
}

func (s setting) environment() (*cel.Env, map[string]any, *library.CostEstimator) {
	env := baseEnv(s.stored)
	values := map[string]any{}
	var options []cel.EnvOption
	var root *apiservercel.DeclType
	if s.schema != "" {
		schema := structuralOf(s.schema)
		root = model.SchemaDeclType(schema, s.root).MaybeAssignTypeName("selfType")
		if s.root {
			schema = model.WithTypeAndObjectMeta(schema)
		}
		provider := apiservercel.NewDeclTypeProvider(root)
		provider.SetRecognizeKeywordAsFieldName(true)
		provided, err := provider.EnvOptions(env.CELTypeProvider())
		if err != nil {
			fatal(err)
		}
		options = append(options, provided...)
		options = append(options, cel.Variable("self", root.CelType()), cel.Variable("oldSelf", root.CelType()))
		if s.self != "" {
			values["self"] = schemacel.UnstructuredToVal(tree(s.self), schema)
		}
		if s.old != "" {
			values["oldSelf"] = schemacel.UnstructuredToVal(tree(s.old), schema)
		}
	}
	for _, variable := range s.variables {
		options = append(options, cel.Variable(variable[0], typeOf(variable[1])))
		if variable[2] != "" {
			values[variable[0]] = valueOf(env, variable[2])
		}
	}
	env, err := env.Extend(options...)
	if err != nil {
		fatal(err)
	}
	return env, values, &library.CostEstimator{SizeEstimator: &sizes{root}}
}

func valueOf(env *cel.Env, text string) ref.Val {
	if strings.HasPrefix(text, "@authorizer") {
		return authorizerValue()
	}
	ast, issues := env.Compile(text)
	if issues != nil {
		fatal(issues.Err())
	}
	program, err := env.Program(ast)
	if err != nil {
		fatal(err)
	}
	value, _, err := program.Eval(map[string]any{})
	if err != nil {
		fatal(err)
	}
	return value
}

func (s setting) answer(text string) (is answer) {
	is.Expr = text
	defer func() {
		if cause := recover(); cause != nil {
			is.Error = fmt.Sprint("upstream panics: ", cause)
		}
	}()
	env, values, estimator := s.environment()
	ast, issues := env.Compile(text)
	if issues != nil {
		is.Issues = issues.String()
		return is
	}
	is.Type = cel.FormatCELType(ast.OutputType())
	estimate, err := env.EstimateCost(ast, estimator)
	if err != nil {
		fatal(err)
	}
	is.Estimate = &[2]uint64{estimate.Min, estimate.Max}
	program, err := env.Program(ast, cel.CostLimit(celconfig.PerCallLimit), cel.CostTracking(estimator),
		cel.InterruptCheckFrequency(celconfig.CheckFrequency))
	if err != nil {
		is.Error = "program: " + err.Error()
		return is
	}
	value, details, err := program.ContextEval(context.Background(), values)
	if details != nil {
		is.Cost = details.ActualCost()
	}
	if err != nil {
		is.Error = err.Error()
		return is
	}
	if types.IsUnknown(value) {
		is.Error = "unknown"
		return is
	}
	is.Value = show(value)
	return is
}
