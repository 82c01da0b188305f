//! Feature gates: which are on, and what a write loses because its fields hang on gates that are off. `app` reads
//! `--feature-gates` into it; the registry drops the fields.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::facts::{Facts, Stage};
use crate::api::Object;
use crate::api::schema::{Field, Shape, Struct, Table, TypeId};

/// The gates that are not as they are by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    set: BTreeMap<String, bool>,
}

impl Gates {
    /// Reads `--feature-gates`: `AllAlpha` and `AllBeta` stand for all gates of their stage that are not named.
    ///
    /// # Errors
    /// Upstream's text for an unknown gate and for one that is locked.
    pub fn parse(facts: &Facts, switches: &[(String, bool)]) -> Result<Self, String> {
        let mut set = BTreeMap::new();
        for (name, on) in switches {
            let gate = facts.gate(name).ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
            if gate.locked && gate.default != *on {
                return Err(format!("cannot set feature gate {name} to {on}, feature is locked to {}", gate.default));
            }
            set.insert(name.clone(), *on);
        }
        for (name, stage) in [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)] {
            let Some(on) = set.get(name).copied() else { continue };
            let unnamed = |gate: &&super::facts::Gate| gate.stage == stage && !gate.locked;
            for gate in facts.gates.iter().filter(unnamed) {
                set.entry(gate.name.to_owned()).or_insert(on);
            }
        }
        Ok(Self { set })
    }

    /// Whether a gate is on. One that upstream has forgotten about is.
    pub fn enabled(&self, facts: &Facts, name: &str) -> bool {
        self.set.get(name).copied().unwrap_or_else(|| facts.gate(name).is_none_or(|gate| gate.default))
    }
}

/// Fields whose gates the types do not name: of a type, the field, and the gate.
const UNMARKED: [(&str, &str, &str); 2] = [
    ("io.k8s.api.core.v1.Lifecycle", "stopSignal", "ContainerStopSignals"),
    ("io.k8s.api.core.v1.VolumeMountStatus", "volumeStatus", "ImageVolumeWithDigest"),
];
/// Fields whose gates are named and that are kept all the same.
const KEPT: [(&str, &str); 2] =
    [("io.k8s.api.core.v1.ContainerStatus", "stopSignal"), ("io.k8s.api.core.v1.TypedObjectReference", "namespace")];
/// Fields in which nothing is dropped, although types are in there from which something is elsewhere.
const NOT_ENTERED: [(&str, &str); 1] = [("io.k8s.api.apps.v1.StatefulSetSpec", "volumeClaimTemplates")];

fn is_off(of: &Struct, field: &Field, off: &dyn Fn(&str) -> bool) -> bool {
    let (name, field_name) = (&*of.name, &*field.name);
    if KEPT.contains(&(name, field_name)) {
        return false;
    }
    let unmarked = UNMARKED.iter().find(|(kind, key, _)| (*kind, *key) == (name, field_name)).map(|(_, _, gate)| *gate);
    let named = field.extra.as_ref().and_then(|extra| extra.gate.as_deref());
    unmarked.or(named).is_some_and(|all| all.split(',').any(off))
}

/// The fields whose gates are off, and the way to them.
#[derive(Debug, Default)]
pub struct Gated {
    /// Only types that have such a field or lead to one.
    plans: HashMap<TypeId, Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    off: Vec<String>,
    into: Vec<(String, Shape)>,
}

/// A field of a type, by its place in the type's plan.
type Found = BTreeSet<(u32, usize)>;

impl Gated {
    /// What hangs on the gates that are off.
    pub fn new(facts: &Facts, gates: &Gates) -> Self {
        let mut plans: HashMap<TypeId, Plan> = HashMap::new();
        for (id, of) in facts.types.iter() {
            let off = of.fields.iter().filter(|field| is_off(of, field, &|gate| !gates.enabled(facts, gate)));
            let off: Vec<String> = off.map(|field| field.name.clone().into_owned()).collect();
            if !off.is_empty() {
                plans.insert(id, Plan { off, into: Vec::new() });
            }
        }
        let mut next: Vec<TypeId> = plans.keys().copied().collect();
        let users = users(&facts.types);
        let mut seen: BTreeSet<u32> = next.iter().map(|id| id.0).collect();
        while let Some(id) = next.pop() {
            for (user, index) in users.get(&id).into_iter().flatten() {
                let (of, field) = (facts.types.get(*user), &facts.types.get(*user).fields[*index]);
                if NOT_ENTERED.contains(&(&*of.name, &*field.name)) {
                    continue;
                }
                let plan = plans.entry(*user).or_default();
                plan.into.push((field.name.clone().into_owned(), field.shape.clone()));
                if seen.insert(user.0) {
                    next.push(*user);
                }
            }
        }
        Self { plans }
    }

    /// Takes the fields out of an object of a built-in type, apart from those that the stored object uses somewhere.
    pub fn drop_disabled(&self, id: TypeId, new: &mut Object, old: Option<&Object>) {
        let mut used = Found::new();
        self.collect(id, new.root(), &mut used);
        if used.is_empty() {
            return;
        }
        let mut kept = Found::new();
        if let Some(old) = old {
            self.collect(id, old.root(), &mut kept);
        }
        if !used.is_subset(&kept) {
            self.remove(id, new.root_mut(), &kept);
        }
    }

    fn collect(&self, id: TypeId, fields: &Map<String, Value>, found: &mut Found) {
        let Some(plan) = self.plans.get(&id) else { return };
        let present = |(_, name): &(usize, &String)| fields.get(*name).is_some_and(|value| !value.is_null());
        found.extend(plan.off.iter().enumerate().filter(present).map(|(index, _)| (id.0, index)));
        for (name, shape) in &plan.into {
            if let Some(value) = fields.get(name) {
                self.collect_in(shape, value, found);
            }
        }
    }

    fn collect_in(&self, shape: &Shape, value: &Value, found: &mut Found) {
        match (shape, value) {
            (Shape::List(list), Value::Array(items)) => {
                items.iter().for_each(|item| self.collect_in(&list.item, item, found));
            }
            (Shape::Map(map), Value::Object(fields)) => {
                fields.values().for_each(|value| self.collect_in(&map.value, value, found));
            }
            (shape, Value::Object(fields)) => {
                if let Some(id) = shape.struct_inside() {
                    self.collect(id, fields, found);
                }
            }
            _ => {}
        }
    }

    fn remove(&self, id: TypeId, fields: &mut Map<String, Value>, kept: &Found) {
        let Some(plan) = self.plans.get(&id) else { return };
        for (_, name) in plan.off.iter().enumerate().filter(|(index, _)| !kept.contains(&(id.0, *index))) {
            fields.remove(name);
        }
        for (name, shape) in &plan.into {
            if let Some(value) = fields.get_mut(name) {
                self.remove_in(shape, value, kept);
            }
        }
    }

    fn remove_in(&self, shape: &Shape, value: &mut Value, kept: &Found) {
        match (shape, value) {
            (Shape::List(list), Value::Array(items)) => {
                items.iter_mut().for_each(|item| self.remove_in(&list.item, item, kept));
            }
            (Shape::Map(map), Value::Object(fields)) => {
                fields.values_mut().for_each(|value| self.remove_in(&map.value, value, kept));
            }
            (shape, Value::Object(fields)) => {
                if let Some(id) = shape.struct_inside() {
                    self.remove(id, fields, kept);
                }
            }
            _ => {}
        }
    }
}

/// Of each type: the types that have it inside a field, and which field.
fn users(types: &Table) -> HashMap<TypeId, Vec<(TypeId, usize)>> {
    let mut users: HashMap<TypeId, Vec<(TypeId, usize)>> = HashMap::new();
    for (user, of) in types.iter() {
        for (index, field) in of.fields.iter().enumerate() {
            if let Some(inside) = field.shape.struct_inside() {
                users.entry(inside).or_default().push((user, index));
            }
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gates(facts: &Facts, switches: &[(&str, bool)]) -> Result<Gates, String> {
        let switches: Vec<_> = switches.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
        Gates::parse(facts, &switches)
    }

    #[test]
    fn a_gate_is_as_it_was_set_or_as_it_is_by_default() {
        let facts = Facts::load();
        let set = gates(&facts, &[("AllAlpha", true), ("GenericWorkload", false), ("WatchList", false)]).unwrap();
        assert!(set.enabled(&facts, "APIServingWithRoutine"));
        assert!(!set.enabled(&facts, "WatchList"));
        assert!(!set.enabled(&facts, "GenericWorkload"));
        assert!(Gates::default().enabled(&facts, "WatchList"));
        assert!(!Gates::default().enabled(&facts, "APIServingWithRoutine"));
    }

    #[test]
    fn gates_without_a_meaning_are_gates_and_have_a_reason() {
        let facts = Facts::load();
        for line in include_str!("../../conformance/gates.txt").lines().filter(|line| !line.starts_with('#')) {
            let (name, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
            assert!(facts.gates.iter().any(|gate| gate.name == name) && !reason.is_empty(), "{line}");
        }
    }

    #[test]
    fn unknown_and_locked_gates_are_refused_in_upstreams_words() {
        let facts = Facts::load();
        assert_eq!(gates(&facts, &[("Foo", true)]), Err("unrecognized feature gate: Foo".to_owned()));
        let locked = "cannot set feature gate AggregatedDiscoveryRemoveBetaType to false, feature is locked to true";
        assert_eq!(gates(&facts, &[("AggregatedDiscoveryRemoveBetaType", false)]), Err(locked.to_owned()));
    }

    fn deployment(mode: Option<&str>) -> Object {
        let mut volume = json!({ "name": "v", "emptyDir": {} });
        if let Some(mode) = mode {
            volume["emptyDir"]["mode"] = json!(mode);
        }
        Object::from_value(json!({ "spec": { "template": { "spec": { "volumes": [volume] } } } })).unwrap()
    }

    #[test]
    fn fields_of_a_gate_that_is_off_are_dropped_unless_the_stored_object_has_them() {
        let facts = Facts::load();
        let id = facts.kind("apps", "v1", "deployments").unwrap().type_id;
        let gated = Gated::new(&facts, &Gates::default());
        let mut new = deployment(Some("0700"));
        gated.drop_disabled(id, &mut new, None);
        assert_eq!(new, deployment(None));
        let mut new = deployment(Some("0700"));
        gated.drop_disabled(id, &mut new, Some(&deployment(Some("0755"))));
        assert_eq!(new, deployment(Some("0700")));
        let on = Gated::new(&facts, &gates(&facts, &[("EmptyDirVolumeMode", true)]).unwrap());
        on.drop_disabled(id, &mut new, None);
        assert_eq!(new, deployment(Some("0700")));
    }
}
