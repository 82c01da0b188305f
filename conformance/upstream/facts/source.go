package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
)

// A tag is one `+k8s:name…` comment line: its name, and what follows it.
type tag struct{ name, args string }

// A commented declaration: the tags of the type and of its fields by Go name.
type commented struct {
	tags   []tag
	fields map[string]commentedField
}

type commentedField struct {
	tags []tag
	gate string
}

// sources finds the declarative tags in the Go source of the packages it is asked about.
type sources struct {
	packages map[string]map[string]commented
}

func newSources() *sources { return &sources{packages: map[string]map[string]commented{}} }

// of gives the tags of a named type.
func (s *sources) of(goType reflect.Type) (commented, error) {
	path := goType.PkgPath()
	if path == "" || goType.Name() == "" {
		return commented{}, nil
	}
	types, found := s.packages[path]
	if !found {
		var err error
		if types, err = parsePackage(path); err != nil {
			return commented{}, err
		}
		s.packages[path] = types
	}
	return types[goType.Name()], nil
}

func parsePackage(path string) (map[string]commented, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	notTest := func(info fs.FileInfo) bool { return !strings.HasSuffix(info.Name(), "_test.go") }
	packages, err := parser.ParseDir(files, strings.TrimSpace(string(out)), notTest, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	types := map[string]commented{}
	for _, parsed := range packages {
		for _, file := range parsed.Files {
			for _, declaration := range file.Decls {
				if general, ok := declaration.(*ast.GenDecl); ok && general.Tok == token.TYPE {
					addTypes(types, files, file, general)
				}
			}
		}
	}
	return types, nil
}

func addTypes(types map[string]commented, files *token.FileSet, file *ast.File, declaration *ast.GenDecl) {
	for _, spec := range declaration.Specs {
		declared := spec.(*ast.TypeSpec)
		doc := declared.Doc
		if doc == nil {
			doc = declaration.Doc
		}
		found := commented{fields: map[string]commentedField{}}
		found.tags = append(tagsOf(groupAbove(files, file, doc)), tagsOf(doc)...)
		if structure, ok := declared.Type.(*ast.StructType); ok {
			for _, field := range structure.Fields.List {
				for _, name := range fieldNames(field) {
					found.fields[name] = commentedField{tags: tagsOf(field.Doc), gate: gateOf(field.Doc)}
				}
			}
		}
		types[declared.Name.Name] = found
	}
}

// groupAbove is the comment that one blank line parts from the doc comment: upstream's generators read it too.
func groupAbove(files *token.FileSet, file *ast.File, doc *ast.CommentGroup) *ast.CommentGroup {
	if doc == nil {
		return nil
	}
	line := files.Position(doc.Pos()).Line
	for _, group := range file.Comments {
		if files.Position(group.End()).Line == line-2 {
			return group
		}
	}
	return nil
}

func fieldNames(field *ast.Field) []string {
	names := []string{}
	for _, name := range field.Names {
		names = append(names, name.Name)
	}
	if len(names) == 0 { // embedded
		expression := field.Type
		if star, ok := expression.(*ast.StarExpr); ok {
			expression = star.X
		}
		switch expression := expression.(type) {
		case *ast.Ident:
			names = append(names, expression.Name)
		case *ast.SelectorExpr:
			names = append(names, expression.Sel.Name)
		}
	}
	return names
}

var (
	tagLine  = regexp.MustCompile(`^\+k8s:([A-Za-z]+)(.*)$`)
	gateLine = regexp.MustCompile(`^\+featureGate=(\S+)$`)
	spacing  = regexp.MustCompile(`\b(since|type|status):\s*`)
	trailing = regexp.MustCompile(`\s+(#|//).*$`)
	// forGenerators are tags that steer code generation and say nothing about values.
	forGenerators = regexp.MustCompile(`^\+k8s:(deepcopy|openapi|conversion|prerelease|defaulter|protobuf|validation-gen|register)`)
)

func tagsOf(group *ast.CommentGroup) []tag {
	tags := []tag{}
	for _, line := range lines(group) {
		if forGenerators.MatchString(line) {
			continue
		}
		if match := tagLine.FindStringSubmatch(trailing.ReplaceAllString(line, "")); match != nil {
			tags = append(tags, tag{match[1], plainValue(match[2])})
		}
	}
	return tags
}

// plainValue takes the equals sign and the quotes off a value, and leaves arguments in brackets as they are written.
func plainValue(args string) string {
	args = spacing.ReplaceAllString(args, "$1: ")
	value, plain := strings.CutPrefix(args, "=")
	if inner, quoted := strings.CutPrefix(value, `"`); plain && quoted && strings.HasSuffix(inner, `"`) {
		return strings.TrimSuffix(inner, `"`)
	}
	return value
}

func gateOf(group *ast.CommentGroup) string {
	for _, line := range lines(group) {
		if match := gateLine.FindStringSubmatch(line); match != nil {
			return match[1]
		}
	}
	return ""
}

func lines(group *ast.CommentGroup) []string {
	if group == nil {
		return nil
	}
	all := []string{}
	for _, comment := range group.List {
		if text, single := strings.CutPrefix(comment.Text, "//"); single {
			all = append(all, strings.TrimSpace(text))
		}
	}
	return all
}
