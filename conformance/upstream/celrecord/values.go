package main

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/library"
)

// typeOf reads the name of a type as FormatCELType writes it.
func typeOf(text string) *cel.Type {
	name, rest, has := strings.Cut(text, "(")
	var params []*cel.Type
	if has {
		depth, from := 0, 0
		inner := strings.TrimSuffix(rest, ")")
		for i, c := range inner + "," {
			switch {
			case c == '(':
				depth++
			case c == ')':
				depth--
			case c == ',' && depth == 0:
				params = append(params, typeOf(strings.TrimSpace(inner[from:i])))
				from = i + 1
			}
		}
	}
	switch name {
	case "list":
		return cel.ListType(params[0])
	case "map":
		return cel.MapType(params[0], params[1])
	case "optional_type":
		return cel.OptionalType(params[0])
	case "type":
		return cel.TypeType
	case "kubernetes.Quantity":
		return apiservercel.QuantityType
	case "kubernetes.authorization.Authorizer":
		return library.AuthorizerType
	}
	for _, simple := range []*cel.Type{cel.BoolType, cel.IntType, cel.UintType, cel.DoubleType, cel.StringType,
		cel.BytesType, cel.DynType, cel.NullType, cel.TimestampType, cel.DurationType, cel.AnyType} {
		if cel.FormatCELType(simple) == name {
			return simple
		}
	}
	fatal(fmt.Errorf("no type %s", text))
	return nil
}

// show writes a value so that every kind looks different.
func show(value ref.Val) string {
	if value == nil {
		return "nothing"
	}
	switch v := value.(type) {
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10) + "u"
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return "d" + fmt.Sprint(float64(v))
		}
		return "d" + strconv.FormatFloat(float64(v), 'g', -1, 64)
	case types.String:
		return strconv.Quote(string(v))
	case types.Bytes:
		return "b" + strconv.Quote(string(v))
	case types.Bool:
		return strconv.FormatBool(bool(v))
	case types.Null:
		return "null"
	case types.Timestamp:
		return "timestamp(" + v.UTC().Format("2006-01-02T15:04:05.999999999Z07:00") + ")"
	case types.Duration:
		return "duration(" + v.Duration.String() + ")"
	case *types.Type:
		return "type(" + v.TypeName() + ")"
	case *types.Optional:
		if !v.HasValue() {
			return "optional.none()"
		}
		return "optional.of(" + show(v.GetValue()) + ")"
	case apiservercel.Quantity:
		return "quantity(" + v.Quantity.String() + ")"
	case *apiservercel.Quantity:
		return "quantity(" + v.Quantity.String() + ")"
	case traits.Lister:
		var items []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			items = append(items, show(it.Next()))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case traits.Mapper:
		var entries []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			entries = append(entries, show(key)+": "+show(v.Get(key)))
		}
		sort.Strings(entries)
		return "{" + strings.Join(entries, ", ") + "}"
	case fmt.Stringer:
		return value.Type().TypeName() + "(" + v.String() + ")"
	}
	switch inner := value.Value().(type) {
	case fmt.Stringer:
		return value.Type().TypeName() + "(" + inner.String() + ")"
	}
	return value.Type().TypeName()
}
