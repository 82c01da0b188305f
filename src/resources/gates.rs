//! Feature gates: which are on, and what a write loses because its fields hang on gates that are off. `app` reads
//! `--feature-gates` into it; the registry drops the fields.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::facts::{self, Facts, Stage};
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
    /// Upstream's text for gates that are unknown, locked, or on without those that they need.
    pub fn parse(switches: &[(String, bool)]) -> Result<Self, String> {
        let mut set: BTreeMap<String, bool> = BTreeMap::new();
        let mut locked = BTreeSet::new();
        for (name, on) in switches {
            let gate = facts::gate(name).ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
            set.insert(name.clone(), *on);
            if gate.locked && gate.default != *on {
                let default = gate.default;
                locked.insert(format!("cannot set feature gate {name} to {on}, feature is locked to {default}"));
            }
        }
        if !locked.is_empty() {
            return Err(aggregate(locked));
        }
        for (name, stage) in [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)] {
            let Some(on) = set.get(name).copied() else { continue };
            let unnamed = |gate: &&facts::Gate| gate.stage == stage && !gate.locked;
            for gate in facts::gates().iter().filter(unnamed) {
                set.entry(gate.name.to_owned()).or_insert(on);
            }
        }
        let gates = Self { set };
        let lacking: BTreeSet<_> = facts::gates().iter().filter_map(|gate| gates.lacking(gate)).collect();
        if lacking.is_empty() { Ok(gates) } else { Err(aggregate(lacking)) }
    }

    /// What is wrong with a gate that is on although one that it needs is off.
    fn lacking(&self, gate: &facts::Gate) -> Option<String> {
        let off: Vec<_> = gate.needs.iter().copied().filter(|needed| !self.enabled(needed)).collect();
        let name = gate.name;
        (!off.is_empty() && self.enabled(name))
            .then(|| format!("{name} is enabled, but depends on features that are disabled: [{}]", off.join(" ")))
    }

    /// Whether a gate is on. One that upstream has forgotten about is.
    pub fn enabled(&self, name: &str) -> bool {
        self.set.get(name).copied().unwrap_or_else(|| facts::gate(name).is_none_or(|gate| gate.default))
    }
}

/// Errors as Go joins them.
fn aggregate(errors: BTreeSet<String>) -> String {
    let joined = errors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if errors.len() == 1 { joined } else { format!("[{joined}]") }
}

/// Fields whose gates the types do not name: of a type, the field, and the gate.
const UNMARKED: [(&str, &str, &str); 5] = [
    ("io.k8s.api.core.v1.Container", "restartPolicy", "ContainerRestartRules"),
    ("io.k8s.api.core.v1.EphemeralContainer", "restartPolicy", "ContainerRestartRules"),
    ("io.k8s.api.apps.v1.ReplicaSetStatus", "terminatingReplicas", "DeploymentReplicaSetTerminatingReplicas"),
    ("io.k8s.api.core.v1.Lifecycle", "stopSignal", "ContainerStopSignals"),
    ("io.k8s.api.core.v1.VolumeMountStatus", "volumeStatus", "ImageVolumeWithDigest"),
];
/// Fields whose gates are named and that are kept all the same.
const KEPT: [(&str, &str); 2] =
    [("io.k8s.api.core.v1.ContainerStatus", "stopSignal"), ("io.k8s.api.core.v1.TypedObjectReference", "namespace")];
/// Fields that are kept in what is new.
const KEPT_IN_NEW: [(&str, &str); 1] = [("io.k8s.api.core.v1.NodeSystemInfo", "runningInUserNamespace")];
/// The value of a field that hangs on no gate, although the others do: of containers that run beside the others.
const FREE: (&str, &str) = ("restartPolicy", "Always");
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
    kept_in_new: Found,
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
        let mut kept_in_new = Found::new();
        for (id, of) in facts.types.iter() {
            let off = of.fields.iter().filter(|field| is_off(of, field, &|gate| !gates.enabled(gate)));
            let off: Vec<String> = off.map(|field| field.name.clone().into_owned()).collect();
            let kept = |name: &String| KEPT_IN_NEW.contains(&(&*of.name, name));
            kept_in_new.extend(off.iter().enumerate().filter(|(_, name)| kept(name)).map(|(index, _)| (id.0, index)));
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
        Self { plans, kept_in_new }
    }

    /// Takes the fields out of an object of a built-in type, apart from those that the stored object uses somewhere.
    pub fn drop_disabled(&self, id: TypeId, new: &mut Object, old: Option<&Object>) {
        let mut used = Found::new();
        self.collect(id, new.root(), &mut used);
        if used.is_empty() {
            return;
        }
        let mut kept = Found::new();
        match old {
            Some(old) => self.collect(id, old.root(), &mut kept),
            None => kept.clone_from(&self.kept_in_new),
        }
        if !used.is_subset(&kept) {
            self.remove(id, new.root_mut(), &kept);
        }
    }

    fn collect(&self, id: TypeId, fields: &Map<String, Value>, found: &mut Found) {
        let Some(plan) = self.plans.get(&id) else { return };
        let present = |(_, name): &(usize, &String)| {
            fields.get(*name).is_some_and(|value| !value.is_null() && !is_free(name, value))
        };
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
            if !fields.get(name).is_some_and(|value| is_free(name, value)) {
                fields.remove(name);
            }
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

fn is_free(name: &str, value: &Value) -> bool {
    name == FREE.0 && value == FREE.1
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

    fn gates(switches: &[(&str, bool)]) -> Result<Gates, String> {
        let switches: Vec<_> = switches.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
        Gates::parse(&switches)
    }

    #[test]
    fn a_gate_is_as_it_was_set_or_as_it_is_by_default() {
        let set = gates(&[("AllAlpha", true), ("AllBeta", true), ("WatchList", false)]).unwrap();
        assert!(set.enabled("APIServingWithRoutine") && set.enabled("GenericWorkload"));
        assert!(!set.enabled("WatchList"));
        assert!(Gates::default().enabled("WatchList"));
        assert!(!Gates::default().enabled("APIServingWithRoutine"));
    }

    #[test]
    fn gates_without_a_meaning_are_gates_and_have_a_reason() {
        for line in include_str!("../../conformance/gates.txt").lines().filter(|line| !line.starts_with('#')) {
            let (name, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
            assert!(facts::gate(name).is_some() && !reason.is_empty(), "{line}");
        }
    }

    #[test]
    fn unknown_and_locked_gates_are_refused_in_upstreams_words() {
        let check = |switches: &[(&str, bool)], error: &str| assert_eq!(gates(switches), Err(error.to_owned()));
        check(&[("Foo", true)], "unrecognized feature gate: Foo");
        let locked = "cannot set feature gate DRAAdminAccess to false, feature is locked to true";
        check(&[("DRAAdminAccess", false)], locked);
        let two = "cannot set feature gate UserNamespacesSupport to false, feature is locked to true";
        check(&[("UserNamespacesSupport", false), ("DRAAdminAccess", false)], &format!("[{locked}, {two}]"));
    }

    #[test]
    fn a_gate_that_needs_another_is_refused_without_it() {
        let error = "CompositePodGroup is enabled, but depends on features that are disabled: [GenericWorkload \
                     TopologyAwareWorkloadScheduling]";
        assert_eq!(gates(&[("CompositePodGroup", true)]), Err(error.to_owned()));
        let error = "[ClusterTrustBundleProjection is enabled, but depends on features that are disabled: \
                     [ClusterTrustBundle], RestartAllContainersOnContainerExits is enabled, but depends on features \
                     that are disabled: [ContainerRestartRules]]";
        let off = gates(&[("ClusterTrustBundle", false), ("ContainerRestartRules", false)]);
        assert_eq!(off, Err(error.to_owned()));
        assert!(gates(&[("AllBeta", false)]).is_ok());
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
        let on = Gated::new(&facts, &gates(&[("EmptyDirVolumeMode", true)]).unwrap());
        on.drop_disabled(id, &mut new, None);
        assert_eq!(new, deployment(Some("0700")));
    }
}
