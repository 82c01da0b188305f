//! Validation of claims of volumes, in upstream's order and words.

use serde_json::{Value, json};

use super::volume_claim::BETA_STORAGE_CLASS;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::api::quantity::Quantity;
use crate::api::validation::names::{dns1123_label, dns1123_subdomain, qualified_name};
use crate::resources::check::{choice, forbidden_difference, immutable, messages};
use crate::resources::tree::{Tree, child, count, is_set, text, texts};

/// Sorted, as messages list them.
pub(super) const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";

/// A new claim.
pub(super) fn validate(claim: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    validate_claim_spec(&mut errors, child(claim.root(), "spec").unwrap_or(&empty), &Path::new("spec"));
    errors
}

/// The spec of a claim, of its own or in another object.
pub(in crate::resources) fn validate_claim_spec(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    if count(spec, "accessModes") == 0 {
        errors.push(FieldError::required(&path.child("accessModes"), "at least 1 access mode is required"));
    }
    if let Some(selector) = spec.get("selector").filter(|selector| !selector.is_null()) {
        errors.extend(validate_label_selector(selector, &path.child("selector")));
    }
    access_modes(errors, spec, path);
    let resources = path.child("resources");
    let at = resources.key("storage");
    match storage(spec) {
        None => errors.push(FieldError::required(&at, "")),
        Some(amount) => positive(errors, &amount, &at),
    }
    for (key, class) in ["storageClassName", "volumeAttributesClassName"].map(|key| (key, text(spec, key))) {
        if key == "storageClassName" && !class.is_empty() {
            messages(errors, &path.child(key), class, dns1123_subdomain(class));
        }
    }
    if is_set(spec, "volumeMode") {
        choice(errors, text(spec, "volumeMode"), &path.child("volumeMode"), &VOLUME_MODES);
    }
    sources(errors, spec, path);
    let class = text(spec, "volumeAttributesClassName");
    if !class.is_empty() {
        messages(errors, &path.child("volumeAttributesClassName"), class, dns1123_subdomain(class));
    }
}

/// Known modes, and the exclusive one alone.
pub(super) fn access_modes(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let at = path.child("accessModes");
    texts(spec, "accessModes").for_each(|mode| choice(errors, mode, &at, &ACCESS_MODES));
    let alone = texts(spec, "accessModes").any(|mode| mode == "ReadWriteOncePod");
    let others = texts(spec, "accessModes").any(|mode| mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode));
    if alone && others {
        errors.push(FieldError::forbidden(&at, "may not use ReadWriteOncePod with other access modes"));
    }
}

/// More than nothing.
pub(super) fn positive(errors: &mut Errors, amount: &Quantity, path: &Path<'_>) {
    if *amount <= Quantity::ZERO {
        errors.push(FieldError::invalid(path, amount.to_string(), "must be greater than zero"));
    }
}

fn storage(spec: &Tree) -> Option<Quantity> {
    let requests = child(spec, "resources").and_then(|resources| child(resources, "requests"))?;
    requests.get("storage").and_then(Value::as_str)?.parse().ok()
}

fn sources(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    for key in ["dataSource", "dataSourceRef"] {
        if let Some(source) = child(spec, key) {
            data_source(errors, source, &path.child(key));
        }
    }
    let (source, reference) = (child(spec, "dataSource"), child(spec, "dataSourceRef"));
    // Upstream prints the path here, which is an empty object in JSON.
    let at = json!({});
    match (source, reference) {
        (Some(_), Some(reference)) if !text(reference, "namespace").is_empty() => {
            let detail = "may not be specified when dataSourceRef.namespace is specified";
            errors.push(FieldError::invalid(path, at, detail));
        }
        (Some(source), Some(reference)) => {
            let same = |key: &&str| source.get(*key) == reference.get(*key);
            if !["apiGroup", "kind", "name"].iter().all(same) {
                errors.push(FieldError::invalid(path, at, "must match dataSourceRef"));
            }
        }
        (_, _) => {}
    }
}

fn data_source(errors: &mut Errors, source: &Tree, path: &Path<'_>) {
    for key in ["name", "kind"] {
        if text(source, key).is_empty() {
            errors.push(FieldError::required(&path.child(key), ""));
        }
    }
    let group = text(source, "apiGroup");
    if group.is_empty() && text(source, "kind") != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path, text(source, "kind"), detail));
    }
    if !group.is_empty() {
        messages(errors, &path.child("apiGroup"), group, dns1123_subdomain(group));
    }
    let namespace = text(source, "namespace");
    if !namespace.is_empty() {
        messages(errors, &path.child("namespace"), namespace, dns1123_label(namespace));
    }
}

/// A changed claim.
pub(super) fn validate_update(new: &Object, old: &Object) -> Errors {
    let mut errors = validate(new);
    let of = |claim: &Object| child(claim.root(), "spec").cloned().unwrap_or_default();
    let (new_spec, old_spec) = (of(new), of(old));
    let bound = new.text_at(&["status", "phase"]) == "Bound";
    let (mut now, mut before) = (new_spec.clone(), old_spec.clone());
    if text(&before, "volumeName").is_empty() {
        keep(&mut before, &now, "volumeName");
    }
    storage_class(&mut errors, (new, &mut now), (old, &before));
    if bound {
        let kept =
            child(&before, "resources").and_then(|r| child(r, "requests")).and_then(|r| r.get("storage")).cloned();
        let requests = now.get_mut("resources").and_then(|r| r.get_mut("requests")).and_then(Value::as_object_mut);
        if let (Some(requests), Some(kept)) = (requests, kept) {
            requests.insert("storage".to_owned(), kept);
        }
        keep(&mut now, &before, "volumeAttributesClassName");
    }
    let path = Path::new("spec");
    if now != before {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                      bound claims\n";
        errors.push(forbidden_difference(&path, detail.to_owned(), SPEC, (&before, &now)));
    }
    shrunk(&mut errors, (&new_spec, &old_spec), old);
    immutable(&mut errors, new_spec.get("volumeMode"), old_spec.get("volumeMode"), &Path::new("volumeMode"));
    if new_spec.get("volumeAttributesClassName") != old_spec.get("volumeAttributesClassName")
        && old.get(&["status", "currentVolumeAttributesClassName"]).is_some()
    {
        let what = match new_spec.get("volumeAttributesClassName").and_then(Value::as_str) {
            None => Some("nil"),
            Some("") => Some("empty string"),
            Some(_) => None,
        };
        if let Some(what) = what {
            let detail =
                format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
            errors.push(FieldError::forbidden(&path.child("volumeAttributesClassName"), detail));
        }
    }
    errors
}

fn keep(tree: &mut Tree, from: &Tree, key: &str) {
    match from.get(key) {
        Some(value) => tree.insert(key.to_owned(), value.clone()),
        None => tree.remove(key),
    };
}

/// A class may come where there was none, and move from the old annotation to the field.
fn storage_class(errors: &mut Errors, (new, now): (&Object, &mut Tree), (old, before): (&Object, &Tree)) {
    const KEY: &str = "storageClassName";
    let (noted, noted_now) = (old.annotation(BETA_STORAGE_CLASS), new.annotation(BETA_STORAGE_CLASS));
    let class = now.get(KEY).and_then(Value::as_str).map(str::to_owned);
    let had_none = before.get(KEY).is_none_or(Value::is_null);
    let moved = noted.is_some() && had_none && class.as_deref() == noted && noted_now.is_none_or(|n| Some(n) == noted);
    if moved {
        now.remove(KEY);
        return;
    }
    let (is, was) = (noted_now.unwrap_or_default(), noted.unwrap_or_default());
    if is != was {
        let metadata = Path::new("metadata");
        let annotations = metadata.child("annotations");
        let at = annotations.child(BETA_STORAGE_CLASS);
        errors.push(FieldError::invalid(&at, is, "field is immutable"));
    }
    if had_none && class.is_some() && noted.is_none_or(|noted| Some(noted) == class.as_deref()) {
        now.remove(KEY);
    }
}

fn shrunk(errors: &mut Errors, (now, before): (&Tree, &Tree), old: &Object) {
    let (new, previous) = (storage(now).unwrap_or(Quantity::ZERO), storage(before).unwrap_or(Quantity::ZERO));
    let capacity = old.text_at(&["status", "capacity", "storage"]).parse().unwrap_or(Quantity::ZERO);
    if new < previous && new <= capacity {
        let at = Path::new("spec.resources.requests.storage");
        errors.push(FieldError::forbidden(&at, "field can not be less than status.capacity"));
    }
}

/// The status that a controller writes.
pub(super) fn validate_status(new: &Object, _: &Object) -> Errors {
    const RESIZE: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let mut errors = Errors::new();
    let empty = Tree::new();
    let status = child(new.root(), "status").unwrap_or(&empty);
    let path = Path::new("status");
    let amounts = |key: &'static str| child(status, key).into_iter().flatten();
    let capacity = path.child("capacity");
    for (name, amount) in amounts("capacity") {
        basic(&mut errors, amount, &capacity.key(name));
    }
    let statuses = path.child("allocatedResourceStatuses");
    for (name, state) in amounts("allocatedResourceStatuses") {
        storage_alone(&mut errors, name, &statuses);
        if !RESIZE.contains(&state.as_str().unwrap_or_default()) {
            let mut sorted = RESIZE;
            sorted.sort_unstable();
            errors.push(FieldError::not_supported(&statuses, name.as_str(), &sorted));
        }
    }
    let allocated = path.child("allocatedResources");
    for (name, amount) in amounts("allocatedResources") {
        let before = errors.len();
        storage_alone(&mut errors, name, &allocated);
        if errors.len() == before {
            basic(&mut errors, amount, &allocated.key(name));
        }
    }
    errors
}

fn basic(errors: &mut Errors, amount: &Value, path: &Path<'_>) {
    let amount: Option<Quantity> = amount.as_str().and_then(|text| text.parse().ok());
    if let Some(amount) = amount.filter(Quantity::is_negative) {
        errors.push(FieldError::invalid(path, amount.value(), "must be a valid resource quantity"));
    }
}

fn storage_alone(errors: &mut Errors, name: &str, path: &Path<'_>) {
    let wrong = qualified_name(name);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if wrong.is_empty() && native && name != "storage" {
        let error = FieldError::not_supported(path, name, &["storage"]);
        return errors.push(error);
    }
    messages(errors, path, name, wrong);
}
