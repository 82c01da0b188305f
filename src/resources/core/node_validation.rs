//! Validation of a Node.

use std::cmp::Ordering;

use serde_json::Value;

use crate::api::Object;
use crate::api::codec::json;
use crate::api::field::{ErrorKind, Errors, FieldError, Path, Shown};
use crate::api::quantity::Quantity;
use crate::api::validation::ip::parse_cidr;
use crate::api::validation::metadata::label_key;
use crate::api::validation::names::label_value;
use crate::resources::check::range;
use crate::resources::tree::{child, items, list, text, texts};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const FEATURE_BYTES_MAX: usize = 253;
const AVOID_PODS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";

/// A node as it is created.
pub(super) fn validate_node(node: &Object) -> Errors {
    let mut errors = Errors::new();
    if let Some(text) = node.annotation(AVOID_PODS).filter(|text| !text.is_empty()) {
        avoided_pods(&mut errors, text);
    }
    // Taints are shown below metadata.
    taints(&mut errors, node);
    amounts(&mut errors, node);
    features(&mut errors, node);
    let spec = Path::new("spec");
    let path = spec.child("podCIDRs");
    let ranges = pod_ranges(node);
    for (i, value) in ranges.iter().enumerate() {
        range(&mut errors, value, &path.index(i), &[]);
    }
    if ranges.len() > 1 {
        let families: Vec<Option<bool>> =
            ranges.iter().map(|r| parse_cidr(r).map(|r| r.to_string().contains(':'))).collect();
        let dual = families.contains(&Some(true)) && families.contains(&Some(false));
        if !dual || ranges.len() > 2 {
            let detail = "may specify no more than one CIDR for each IP family";
            errors.push(FieldError::invalid(&path, ranges, detail));
        }
    }
    errors
}

/// A changed node; what identifies it to the world outside stays once it is set.
pub(super) fn validate_node_update(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    amounts(&mut errors, new);
    features(&mut errors, new);
    addresses(&mut errors, new);
    let spec = Path::new("spec");
    let (before, after) = (pod_ranges(old), pod_ranges(new));
    let changes = match before.len().cmp(&after.len()) {
        _ if before.is_empty() => 0,
        Ordering::Equal => before.iter().zip(&after).filter(|(before, after)| before != after).count(),
        Ordering::Less | Ordering::Greater => 1,
    };
    for _ in 0..changes {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("podCIDRs"), detail));
    }
    let provider = |node: &'_ Object| node.text_at(&["spec", "providerID"]).to_owned();
    let (before, after) = (provider(old), provider(new));
    if !before.is_empty() && before != after {
        let how = if after.is_empty() { "cleared" } else { "modified" };
        let detail = format!("field cannot be {how} once set");
        errors.push(FieldError::invalid(&spec.child("providerID"), Value::Null, detail));
    }
    taints(&mut errors, new);
    if new.text_at(&["spec", "externalID"]) != old.text_at(&["spec", "externalID"]) {
        errors.push(FieldError::forbidden(&spec.child("externalID"), "may not be updated"));
    }
    errors
}

fn pod_ranges(node: &Object) -> Vec<&str> {
    child(node.root(), "spec").into_iter().flat_map(|s| texts(s, "podCIDRs")).collect()
}

/// Controllers whose pods a node should not get, as an annotation said it once.
fn avoided_pods(errors: &mut Errors, annotation: &str) {
    let path = Path::new("metadata.annotations");
    let avoided = match json::decode(annotation.as_bytes()) {
        Ok(decoded) => decoded.value,
        Err(why) => {
            return errors.push(FieldError::invalid(&path.child("AvoidPods"), AVOID_PODS, why.to_string()));
        }
    };
    let list = path.child(AVOID_PODS);
    for (i, entry) in avoided.get("preferAvoidPods").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let at = list.index(i);
        let signature = at.child("PodSignature");
        match entry.pointer("/podSignature/podController") {
            None | Some(Value::Null) => errors.push(FieldError::required(&signature, "")),
            Some(controller) if controller.get("controller") != Some(&Value::Bool(true)) => {
                let owner = signature.child("PodController");
                let detail = "must point to a controller";
                errors.push(FieldError::invalid(&owner.child("Controller"), false, detail));
            }
            Some(_) => {}
        }
    }
}

fn taints(errors: &mut Errors, node: &Object) {
    let path = Path::new("metadata");
    let path = path.child("taints");
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, taint) in list(node, &["spec", "taints"]).enumerate() {
        let at = path.index(i);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        label_key(key, &at.child("key"), errors);
        let faults = label_value(value);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(&at.child("value"), value, faults.join(";")));
        }
        let effect_path = at.child("effect");
        if effect.is_empty() {
            errors.push(FieldError::required(&effect_path, ""));
        } else if !EFFECTS.contains(&effect) {
            errors.push(FieldError::not_supported(&effect_path, effect, &EFFECTS));
        }
        if seen.contains(&(effect, key)) {
            let detail = "taints must be unique by key and effect pair";
            let error = FieldError::new(ErrorKind::Duplicate, &at, taint.clone(), detail);
            errors.push(error.shown(Shown::As("io.k8s.api.core.v1.Taint")));
            continue;
        }
        seen.push((effect, key));
    }
}

fn amounts(errors: &mut Errors, node: &Object) {
    let path = Path::new("status");
    for field in ["capacity", "allocatable"] {
        let at = path.child(field);
        let resources = child(node.root(), "status").and_then(|s| child(s, field));
        for (name, value) in resources.into_iter().flatten() {
            let Ok(quantity) = value.as_str().unwrap_or("").parse::<Quantity>() else { continue };
            let at = at.child(name);
            if quantity.is_negative() {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&at, quantity.to_string(), detail));
            }
            if whole(name) && quantity.milli_value() % 1000 != 0 {
                errors.push(FieldError::invalid(&at, value.clone(), "must be an integer"));
            }
        }
    }
}

/// Resources that come in whole units: objects that are counted and those of extensions.
fn whole(name: &str) -> bool {
    const COUNTED: [&str; 8] = [
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
    ];
    let extended = name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.");
    COUNTED.contains(&name) || name == "services.loadbalancers" || extended
}

fn features(errors: &mut Errors, node: &Object) {
    let path = Path::new("status");
    let path = path.child("declaredFeatures");
    let list: Vec<&str> = child(node.root(), "status").into_iter().flat_map(|s| texts(s, "declaredFeatures")).collect();
    for (i, name) in list.iter().enumerate() {
        if name.len() > FEATURE_BYTES_MAX {
            let detail =
                format!("invalid feature name \"{name}\": must be no more than {FEATURE_BYTES_MAX} characters");
            errors.push(FieldError::invalid(&path.index(i), *name, detail));
        } else if !feature_name(name) {
            let detail = format!(
                "invalid feature name \"{name}\": must start with an UpperCamelCase segment, with subsequent segments \
                 separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric \
                 characters and slashes"
            );
            errors.push(FieldError::invalid(&path.index(i), *name, detail));
        }
        match list.get(i + 1).map(|next| name.cmp(next)) {
            Some(Ordering::Equal) => errors.push(FieldError::duplicate(&path.index(i + 1), *name)),
            Some(Ordering::Greater) => {
                errors.push(FieldError::invalid(&path.index(i + 1), list[i + 1], "list must be sorted alphabetically"));
            }
            Some(Ordering::Less) | None => {}
        }
    }
}

fn feature_name(name: &str) -> bool {
    let segment = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric());
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(segment)
}

fn addresses(errors: &mut Errors, node: &Object) {
    let path = Path::new("status");
    let path = path.child("addresses");
    let Some(status) = child(node.root(), "status") else { return };
    let all: Vec<(&str, &str)> = items(status, "addresses").map(|a| (text(a, "type"), text(a, "address"))).collect();
    for (i, (kind, address)) in all.iter().enumerate() {
        if all[..i].contains(&(kind, address)) {
            let value = serde_json::json!({"type": kind, "address": address});
            let shown = Shown::As("io.k8s.api.core.v1.NodeAddress");
            errors.push(FieldError::duplicate(&path.index(i), value).shown(shown));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::check::testing::check_errors;

    fn node(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn taints_have_known_effects_and_are_unique() {
        let taint = |effect: &str| json!({"key": "a", "effect": effect});
        let given = json!({"spec": {"taints": [taint("NoSchedule"), taint("Never"), taint("NoSchedule")]}});
        check_errors(
            &validate_node(&node(given)),
            &[
                "metadata.taints[1].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                "metadata.taints[2]: Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"a\"}: taints must be unique by key and effect pair",
            ],
        );
    }

    #[test]
    fn what_identifies_a_node_stays() {
        let old = node(json!({"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "x"}}));
        let new = node(json!({"spec": {"podCIDRs": ["10.0.1.0/24"]}}));
        check_errors(
            &validate_node_update(&new, &old),
            &[
                "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
                "spec.providerID: Invalid value: null: field cannot be cleared once set",
            ],
        );
        check_errors(&validate_node_update(&old, &node(json!({}))), &[]);
    }

    #[test]
    fn capacities_are_whole_where_things_are_counted() {
        let given = json!({"status": {"capacity": {"cpu": "500m", "pods": "1500m", "memory": "-1"}}});
        check_errors(
            &validate_node(&node(given)),
            &[
                "status.capacity.memory: Invalid value: \"-1\": must be greater than or equal to 0",
                "status.capacity.pods: Invalid value: \"1500m\": must be an integer",
            ],
        );
    }
}
