//! Validation of StatefulSets, in upstream's order and words.

use serde_json::{Value, json};

use super::validation::{collisions, labels_selected, runs_forever, spec, status_numbers_of};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::{Selector, validate_label_selector};
use crate::resources::amount;
use crate::resources::check::{choice, dns_label, immutable, immutable_as, invalid_as, nonnegative};
use crate::resources::core::pod_validation::validate_pod_template;
use crate::resources::core::volume_claim_validation::validate_claim_spec;
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::tree::{Tree, child, is_set, is_zero, items, text};

const STRATEGY: &str = "io.k8s.api.apps.v1.StatefulSetUpdateStrategy";
const ROLLING: &str = "io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy";

/// A new StatefulSet.
pub(super) fn validate(object: &Object) -> Errors {
    whole_spec(object, None)
}

/// The claims of a set are looked at once, as they cannot be changed.
fn whole_spec(object: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (spec(object), Path::new("spec"));
    match text(&spec, "podManagementPolicy") {
        "" => errors.push(FieldError::required(&path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            errors.push(FieldError::invalid(&path.child("podManagementPolicy"), other, detail));
        }
    }
    strategy(&mut errors, &spec, &path.child("updateStrategy"));
    if let Some(policy) = child(&spec, "persistentVolumeClaimRetentionPolicy") {
        let at = path.child("persistentVolumeClaimRetentionPolicy");
        for key in ["whenDeleted", "whenScaled"] {
            choice(&mut errors, text(policy, key), &at.child(key), &["Retain", "Delete"]);
        }
    }
    let claims = path.child("volumeClaimTemplates");
    for (i, claim) in items(&spec, "volumeClaimTemplates").enumerate().filter(|_| old.is_none()) {
        let at = claims.index(i);
        validate_claim_spec(&mut errors, child(claim, "spec").unwrap_or(&Tree::new()), &at.child("spec"));
    }
    nonnegative(&mut errors, &spec, "replicas", &path);
    nonnegative(&mut errors, &spec, "minReadySeconds", &path);
    if let Some(ordinals) = child(&spec, "ordinals") {
        nonnegative(&mut errors, ordinals, "start", &path.child("ordinals"));
    }
    if !text(&spec, "serviceName").is_empty() {
        dns_label(&mut errors, text(&spec, "serviceName"), &path.child("serviceName"));
    }
    selector_and_template(&mut errors, &spec, &path);
    errors
}

/// A changed StatefulSet.
pub(super) fn validate_update(new: &Object, old: &Object) -> Errors {
    let mut errors = whole_spec(new, Some(old));
    let path = Path::new("spec");
    let pair = |key: &str| (new.get(&["spec", key]).cloned(), old.get(&["spec", key]).cloned());
    let (now, before) = pair("selector");
    immutable_as(&mut errors, (now.as_ref(), before.as_ref()), LABEL_SELECTOR, &path.child("selector"));
    for key in ["volumeClaimTemplates", "serviceName", "podManagementPolicy"] {
        let (now, before) = pair(key);
        immutable(&mut errors, now.as_ref(), before.as_ref(), &path.child(key));
    }
    errors
}

/// The status that the controller writes.
pub(super) fn validate_status(new: &Object, old: &Object) -> Errors {
    const NUMBERS: [&str; 7] = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    const PARTS: [&str; 4] = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    let status = child(new.root(), "status").cloned().unwrap_or_default();
    let mut errors = status_numbers_of(&status, &NUMBERS, &PARTS, "status.readyReplicas");
    collisions(&mut errors, new, old);
    errors
}

fn strategy(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    let strategy = child(spec, "updateStrategy").unwrap_or(&empty);
    let rolling = child(strategy, "rollingUpdate");
    match (text(strategy, "type"), rolling) {
        ("", _) => errors.push(FieldError::required(path, "")),
        ("OnDelete", Some(rolling)) => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(invalid_as(&path.child("rollingUpdate"), rolling.clone(), ROLLING, detail));
        }
        ("RollingUpdate", Some(rolling)) => {
            let at = path.child("rollingUpdate");
            nonnegative(errors, rolling, "partition", &at);
            if let Some(unavailable) = rolling.get("maxUnavailable").filter(|value| !value.is_null()) {
                let at = at.child("maxUnavailable");
                amount::positive(errors, unavailable, &at);
                if amount::of(unavailable) == 0 {
                    errors.push(FieldError::invalid(&at, unavailable.clone(), "cannot be 0"));
                }
                amount::at_most_all(errors, unavailable, &at);
            }
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        (_, _) => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(invalid_as(path, strategy.clone(), STRATEGY, detail));
        }
    }
}

fn selector_and_template(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let at = path.child("selector");
    let given = spec.get("selector").filter(|selector| !selector.is_null());
    match given {
        None => errors.push(FieldError::required(&at, "")),
        Some(selector) => {
            errors.extend(validate_label_selector(selector, &at));
            let empty = |key: &str| selector.get(key).is_none_or(is_zero);
            if empty("matchLabels") && empty("matchExpressions") {
                let detail = "empty selector is invalid for statefulset";
                errors.push(invalid_as(&at, selector.clone(), LABEL_SELECTOR, detail));
            }
        }
    }
    let empty = Tree::new();
    let template = child(spec, "template").unwrap_or(&empty);
    let template_path = path.child("template");
    match Selector::from_label_selector(given) {
        Err(_) => errors.push(invalid_as(&at, given.cloned().unwrap_or(Value::Null), LABEL_SELECTOR, "")),
        Ok(selector) => {
            if !selector.is_empty() {
                labels_selected(errors, template, &selector, &template_path);
            }
            errors.extend(validate_pod_template(&with_claims(template, spec), &template_path));
        }
    }
    runs_forever(errors, template, "StatefulSet", &template_path);
}

/// The template as the controller completes it: with the volumes of the claims and without names of its own.
fn with_claims(template: &Tree, spec: &Tree) -> Tree {
    let mut template = template.clone();
    let Some(pods) = template.get_mut("spec").and_then(Value::as_object_mut) else { return template };
    pods.remove("subdomain");
    pods.remove("hostname");
    let name = |claim: &Tree| child(claim, "metadata").map(|m| text(m, "name").to_owned()).unwrap_or_default();
    let mut names: Vec<String> = items(spec, "volumeClaimTemplates").map(name).collect();
    if names.is_empty() {
        return template;
    }
    names.dedup();
    let mut volumes: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})).collect();
    let own = |volume: &&Tree| !names.iter().any(|name| name == text(volume, "name"));
    volumes.extend(items(pods, "volumes").filter(own).cloned().map(Value::Object));
    if is_set(pods, "volumes") || !volumes.is_empty() {
        pods.insert("volumes".to_owned(), Value::Array(volumes));
    }
    template
}
