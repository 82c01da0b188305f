package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

const policyHead = objectsHead + `# "when" lists the feature gates that an object, or a rule of it, hangs on; one behind an exclamation mark must be off.
`

// rbacDocument lists the roles and bindings that every cluster starts with. Upstream makes them by the feature gates of
// the moment; here each object and each rule says on which gates it hangs. That is found out by switching gates, and
// then held against what upstream makes for many settings.
func rbacDocument() (string, error) {
	found := &gateSwitch{FeatureGate: utilfeature.DefaultFeatureGate, asked: map[featuregate.Feature]bool{}}
	defer func(before featuregate.FeatureGate) { utilfeature.DefaultFeatureGate = before }(utilfeature.DefaultFeatureGate)
	utilfeature.DefaultFeatureGate = found
	on, err := found.policy(nil)
	if err != nil {
		return "", err
	}
	gates := slices.Sorted(maps.Keys(found.asked))
	merged, err := found.conditions(on, gates)
	if err != nil {
		return "", err
	}
	if err := found.verify(merged, gates); err != nil {
		return "", err
	}
	out := strings.Builder{}
	out.WriteString(policyHead)
	for _, part := range merged {
		if err := writeObject(&out, part); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

// A gateSwitch answers for the feature gates: all are on but some, and it notes which are asked for.
type gateSwitch struct {
	featuregate.FeatureGate
	off   map[featuregate.Feature]bool
	asked map[featuregate.Feature]bool
}

func (s *gateSwitch) Enabled(gate featuregate.Feature) bool {
	s.asked[gate] = true
	return !s.off[gate]
}

// A part is an object of the policy, in the order of its fields, with its rules apart.
type part struct {
	id    string
	head  string
	rules []rule
	when  []string
}

type rule struct {
	// The text, and how often it stood in the object before.
	id   string
	text string
	when []string
}

// MarshalJSON writes the object with its conditions.
func (p part) MarshalJSON() ([]byte, error) {
	text := p.head
	if len(p.rules) > 0 {
		rules := []string{}
		for _, rule := range p.rules {
			rules = append(rules, withWhen(rule.text, rule.when))
		}
		text = strings.TrimSuffix(text, "}") + `,"rules":[` + strings.Join(rules, ",") + "]}"
	}
	return []byte(withWhen(text, p.when)), nil
}

func withWhen(text string, when []string) string {
	if len(when) == 0 {
		return text
	}
	list, _ := json.Marshal(when)
	return strings.TrimSuffix(text, "}") + `,"when":` + string(list) + "}"
}

// policy is what upstream makes with some gates off and all others on.
func (s *gateSwitch) policy(off map[featuregate.Feature]bool) ([]part, error) {
	s.off = off
	parts := []part{}
	for _, object := range bootstrapPolicy() {
		text, err := objectText(object)
		if err != nil {
			return nil, err
		}
		fields, err := orderedFields(text)
		if err != nil {
			return nil, err
		}
		part, head := part{}, []string{}
		seen := map[string]int{}
		for _, field := range fields {
			if field.name != "rules" || string(field.value) == "null" {
				head = append(head, fmt.Sprintf("%q:%s", field.name, field.value))
				continue
			}
			items := []json.RawMessage{}
			if err := json.Unmarshal(field.value, &items); err != nil {
				return nil, err
			}
			for _, item := range items {
				text := string(item)
				part.rules = append(part.rules, rule{id: fmt.Sprintf("%s#%d", text, seen[text]), text: text})
				seen[text]++
			}
		}
		part.head = "{" + strings.Join(head, ",") + "}"
		part.id = part.head
		parts = append(parts, part)
	}
	return parts, nil
}

func bootstrapPolicy() []runtime.Object {
	objects := []runtime.Object{}
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		objects = append(objects, &role)
	}
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		objects = append(objects, &binding)
	}
	roles, bindings := bootstrappolicy.NamespaceRoles(), bootstrappolicy.NamespaceRoleBindings()
	for _, namespace := range sortedKeys(roles) {
		for _, role := range roles[namespace] {
			objects = append(objects, &role)
		}
	}
	for _, namespace := range sortedKeys(bindings) {
		for _, binding := range bindings[namespace] {
			objects = append(objects, &binding)
		}
	}
	return objects
}

// conditions merges what upstream makes for all settings of the gates that matter to each object, and says what hangs on
// which of them.
func (s *gateSwitch) conditions(on []part, gates []featuregate.Feature) ([]part, error) {
	relevant, err := s.relevant(on, gates)
	if err != nil {
		return nil, err
	}
	merged := []part{}
	for _, whole := range on {
		matters := relevant[whole.id]
		settings := []setting{}
		for bits := range 1 << len(matters) {
			off := map[featuregate.Feature]bool{}
			for i, gate := range matters {
				if bits&(1<<i) != 0 {
					off[gate] = true
				}
			}
			parts, err := s.policy(off)
			if err != nil {
				return nil, err
			}
			settings = append(settings, setting{off, find(parts, whole.id)})
		}
		present := func(setting setting) bool { return setting.part != nil }
		if whole.when, err = conjunction(settings, matters, present); err != nil {
			return nil, fmt.Errorf("%s: %w", whole.id, err)
		}
		settings = slices.DeleteFunc(settings, func(setting setting) bool { return setting.part == nil })
		for _, setting := range settings {
			for at, extra := range setting.part.rules {
				if has(whole, extra.id) {
					continue
				}
				place := 0
				if at > 0 {
					before := setting.part.rules[at-1].id
					place = 1 + slices.IndexFunc(whole.rules, func(known rule) bool { return known.id == before })
				}
				whole.rules = slices.Insert(whole.rules, place, extra)
			}
		}
		for i := range whole.rules {
			with := func(setting setting) bool { return has(*setting.part, whole.rules[i].id) }
			if whole.rules[i].when, err = conjunction(settings, matters, with); err != nil {
				return nil, fmt.Errorf("%s: %w", whole.rules[i].id, err)
			}
			// What the object itself hangs on is said there.
			of := func(gate string) bool { return slices.Contains(whole.when, gate) }
			whole.rules[i].when = slices.DeleteFunc(whole.rules[i].when, of)
		}
		merged = append(merged, whole)
	}
	return merged, nil
}

// A setting is an object as it is with some gates off; nil when it is not there then.
type setting struct {
	off  map[featuregate.Feature]bool
	part *part
}

// conjunction is what all settings that have something share and what sets them apart from the others.
func conjunction(settings []setting, gates []featuregate.Feature, has func(setting) bool) ([]string, error) {
	when := []string{}
	for _, gate := range gates {
		on, off := false, false
		for _, setting := range settings {
			if has(setting) {
				on = on || !setting.off[gate]
				off = off || setting.off[gate]
			}
		}
		switch {
		case on && !off:
			when = append(when, string(gate))
		case off && !on:
			when = append(when, "!"+string(gate))
		}
	}
	for _, setting := range settings {
		if holds(when, setting.off) != has(setting) {
			return nil, fmt.Errorf("no list of gates says when it is there")
		}
	}
	return when, nil
}

func holds(when []string, off map[featuregate.Feature]bool) bool {
	for _, gate := range when {
		name, negated := strings.CutPrefix(gate, "!")
		if off[featuregate.Feature(name)] != negated {
			return false
		}
	}
	return true
}

// relevant lists the gates that change an object: switched alone, or beside another one.
func (s *gateSwitch) relevant(on []part, gates []featuregate.Feature) (map[string][]featuregate.Feature, error) {
	policies := map[string][]part{}
	made := func(off map[featuregate.Feature]bool) ([]part, error) {
		key := fmt.Sprint(slices.Sorted(maps.Keys(off)))
		if _, ok := policies[key]; !ok {
			parts, err := s.policy(off)
			if err != nil {
				return nil, err
			}
			policies[key] = parts
		}
		return policies[key], nil
	}
	relevant := map[string][]featuregate.Feature{}
	for _, gate := range gates {
		for _, second := range gates {
			before, err := made(map[featuregate.Feature]bool{second: true})
			if err != nil {
				return nil, err
			}
			after, err := made(map[featuregate.Feature]bool{second: true, gate: true})
			if err != nil {
				return nil, err
			}
			if second == gate {
				before = on
			}
			for _, whole := range on {
				one, other := find(before, whole.id), find(after, whole.id)
				if (one == nil) == (other == nil) && (one == nil || shown([]part{*one}) == shown([]part{*other})) {
					continue
				}
				if !slices.Contains(relevant[whole.id], gate) {
					relevant[whole.id] = append(relevant[whole.id], gate)
				}
			}
		}
	}
	return relevant, nil
}

func find(parts []part, id string) *part {
	for i := range parts {
		if parts[i].id == id {
			return &parts[i]
		}
	}
	return nil
}

func has(of part, id string) bool {
	return slices.ContainsFunc(of.rules, func(rule rule) bool { return rule.id == id })
}

// verify holds the conditions against what upstream makes: with all gates off, with each alone on or off, and with each
// two of them on.
func (s *gateSwitch) verify(merged []part, gates []featuregate.Feature) error {
	all := map[featuregate.Feature]bool{}
	for _, gate := range gates {
		all[gate] = true
	}
	settings := []map[featuregate.Feature]bool{{}, all}
	for i, gate := range gates {
		settings = append(settings, map[featuregate.Feature]bool{gate: true})
		for _, second := range gates[i:] {
			most := maps.Clone(all)
			delete(most, gate)
			delete(most, second)
			settings = append(settings, most, map[featuregate.Feature]bool{gate: true, second: true})
		}
	}
	for _, off := range settings {
		want, err := s.policy(off)
		if err != nil {
			return err
		}
		if have, want := shown(chosen(merged, off)), shown(want); have != want {
			return fmt.Errorf("the conditions of roles do not say what upstream makes with %v off", off)
		}
	}
	return nil
}

func chosen(merged []part, off map[featuregate.Feature]bool) []part {
	parts := []part{}
	for _, whole := range merged {
		if !holds(whole.when, off) {
			continue
		}
		rules := []rule{}
		for _, rule := range whole.rules {
			if holds(rule.when, off) {
				rules = append(rules, rule)
			}
		}
		parts = append(parts, part{id: whole.id, rules: rules})
	}
	return parts
}

func shown(parts []part) string {
	out := strings.Builder{}
	for _, part := range parts {
		out.WriteString(part.id + "\n")
		for _, rule := range part.rules {
			out.WriteString("\t" + rule.text + "\n")
		}
	}
	return out.String()
}
