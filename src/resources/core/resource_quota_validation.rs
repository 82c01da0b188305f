//! Validation of ResourceQuotas, in upstream's order and words.

use serde_json::Value;

use super::resource_list::amount;
use super::resource_names::{counted, quota, resource_name};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::invalid_as;
use crate::resources::tree::{Tree, child, count, items, text, texts};

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
const CONFLICTING: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const OF_PODS: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const SELECTOR: &str = "io.k8s.api.core.v1.ScopeSelector";
const EXISTS_ALONE: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
     ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
     ResourceQuotaScopeCrossNamespacePodAffinity";

/// A new quota.
pub(super) fn validate(quota: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(quota.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    amounts(&mut errors, spec, "hard", &path);
    scopes(&mut errors, spec, &path);
    if let Some(selector) = child(spec, "scopeSelector") {
        validate_selector(&mut errors, spec, selector, &path.child("scopeSelector"));
    }
    errors
}

/// A changed quota: its scopes stay.
pub(super) fn validate_update(new: &Object, old: &Object) -> Errors {
    let mut errors = validate(new);
    let scopes = |quota: &Object| {
        let mut scopes: Vec<String> =
            child(quota.root(), "spec").into_iter().flat_map(|spec| texts(spec, "scopes")).map(str::to_owned).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    };
    if scopes(new) != scopes(old) {
        let given = new.get(&["spec", "scopes"]).cloned().unwrap_or(Value::Null);
        let path = Path::new("spec");
        errors.push(FieldError::invalid(&path.child("scopes"), given, "field is immutable"));
    }
    errors
}

/// What a controller counted.
pub(super) fn validate_status(new: &Object, _: &Object) -> Errors {
    let mut errors = Errors::new();
    if let Some(status) = child(new.root(), "status") {
        amounts(&mut errors, status, "hard", &Path::new("status"));
        amounts(&mut errors, status, "used", &Path::new("status"));
    }
    errors
}

fn amounts(errors: &mut Errors, holder: &Tree, key: &str, path: &Path<'_>) {
    let at = path.child(key);
    let given = child(holder, key);
    for name in given.into_iter().flat_map(|given| given.keys()) {
        let at = at.key(name);
        resource_name(errors, name, &at);
        if !name.contains('/') && !quota(name) {
            errors.push(FieldError::invalid(&at, name.as_str(), "must be a standard resource for quota"));
        }
        let value = amount(given, name);
        if value.is_negative() {
            errors.push(FieldError::invalid(&at, value.to_string(), "must be greater than or equal to 0"));
        }
        if counted(name) && value.milli_value() % 1000 != 0 {
            errors.push(FieldError::invalid(&at, value.to_string(), "must be an integer"));
        }
    }
}

/// How often a scope is of no use for what the quota limits.
fn misfits(spec: &Tree, scope: &str) -> usize {
    let fits = |name: &str| match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            name == "pods" || OF_PODS.contains(&name)
        }
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    };
    let names = child(spec, "hard").into_iter().flat_map(|hard| hard.keys());
    names.filter(|name| quota(name) && !fits(name)).count()
}

fn conflicting(given: &[&str]) -> usize {
    CONFLICTING.iter().filter(|pair| pair.iter().all(|scope| given.contains(scope))).count()
}

fn scopes(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let given: Vec<&str> = texts(spec, "scopes").collect();
    let at = path.child("scopes");
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(&at, Value::from(given.clone()), detail));
    for scope in &given {
        if !SCOPES.contains(scope) {
            refuse("unsupported scope");
        }
        (0..misfits(spec, scope)).for_each(|_| refuse("unsupported scope applied to resource"));
    }
    (0..conflicting(&given)).for_each(|_| refuse("conflicting scopes"));
}

fn validate_selector(errors: &mut Errors, spec: &Tree, selector: &Tree, path: &Path<'_>) {
    let at = path.child("matchExpressions");
    let mut seen: Vec<&str> = Vec::new();
    for requirement in items(selector, "matchExpressions") {
        let scope = text(requirement, "scopeName");
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(&at.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in 0..misfits(spec, scope) {
            let detail = "unsupported scope applied to resource";
            errors.push(invalid_as(&at, selector.clone(), SELECTOR, detail));
        }
        validate_requirement(errors, requirement, &at);
        seen.push(scope);
    }
    for _ in 0..conflicting(&seen) {
        let given = spec.get("scopes").cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid(&at, given, "conflicting scopes"));
    }
}

fn validate_requirement(errors: &mut Errors, requirement: &Tree, path: &Path<'_>) {
    let (scope, operator) = (text(requirement, "scopeName"), text(requirement, "operator"));
    let exists_alone = SCOPES.contains(&scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
    if exists_alone && operator != "Exists" {
        errors.push(FieldError::invalid(&path.child("operator"), operator, EXISTS_ALONE));
    }
    let values = count(requirement, "values");
    let at = path.child("values");
    match operator {
        "In" | "NotIn" if values == 0 => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(FieldError::required(&at, detail));
        }
        "Exists" | "DoesNotExist" if values > 0 => {
            let given = requirement.get("values").cloned().unwrap_or(Value::Null);
            let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(FieldError::invalid(&at, given, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator"));
        }
    }
}
