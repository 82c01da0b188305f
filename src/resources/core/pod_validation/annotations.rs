//! Annotations of a pod that say what fields say today, or that nobody may change.

use serde_json::Value;

use super::{each_container, sub};
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::resources::tree::{Tree, child, text};

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The annotations of a pod or of a template.
pub(super) fn validate(errors: &mut Errors, notes: &Tree, spec: &Tree, path: &Path<'_>) {
    if notes.contains_key(MIRROR) && text(spec, "nodeName").is_empty() {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(&path.key(MIRROR), text(notes, MIRROR), detail));
    }
    if let Some(cost) = notes.get(DELETION_COST).and_then(Value::as_str)
        && !is_cost(cost)
    {
        errors.push(FieldError::invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer"));
    }
    let pod = notes.keys().filter(|key| *key == SECCOMP_POD);
    for key in pod.chain(notes.keys().filter(|key| key.starts_with(SECCOMP_CONTAINER))) {
        seccomp_profile(errors, text(notes, key), &path.child(key));
    }
    for key in notes.keys() {
        let Some(name) = key.strip_prefix(APP_ARMOR) else { continue };
        let mut found = false;
        each_container(spec, path, |container, _| found |= text(container, "name") == name);
        if !found {
            errors.push(FieldError::invalid(&path.key(key), name, "container not found"));
        }
        let profile = text(notes, key);
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
            let detail = format!("invalid AppArmor profile name: {}", go_quote(profile));
            errors.push(FieldError::invalid(&path.key(key), profile, detail));
        }
    }
}

fn is_cost(value: &str) -> bool {
    let first = value.starts_with(|c: char| c == '-' || ('1'..='9').contains(&c)) || value == "0";
    first && value.parse::<i32>().is_ok()
}

fn seccomp_profile(errors: &mut Errors, profile: &str, path: &Path<'_>) {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => {}
        _ => match profile.strip_prefix("localhost/") {
            Some(file) => super::mounts::descending(errors, file, path),
            None => errors.push(FieldError::invalid(path, profile, "must be a valid seccomp profile")),
        },
    }
}

/// Annotations that neither come nor go nor change.
pub(super) fn validate_update(errors: &mut Errors, new: &Tree, old: &Tree, path: &Path<'_>) {
    for (key, value) in old.iter().filter(|(key, value)| new.get(*key) != Some(value)) {
        let _ = value;
        if key.starts_with(APP_ARMOR) {
            errors.push(FieldError::forbidden(&path.key(key), "may not remove or update AppArmor annotations"));
        }
        if key == MIRROR {
            errors.push(FieldError::forbidden(&path.key(key), "may not remove or update mirror pod annotation"));
        }
    }
    for key in new.keys().filter(|key| !old.contains_key(*key)) {
        if key.starts_with(APP_ARMOR) {
            errors.push(FieldError::forbidden(&path.key(key), "may not add AppArmor annotations"));
        }
        if key == MIRROR {
            errors.push(FieldError::forbidden(&path.key(key), "may not add mirror pod annotation"));
        }
    }
}

/// Where both an annotation and a field name a profile, they name the same.
pub(super) fn fields_match(errors: &mut Errors, notes: &Tree, spec: &Tree, path: &Path<'_>) {
    let own = child(spec, "securityContext");
    if let (Some(note), Some(field)) =
        (notes.get(SECCOMP_POD).and_then(Value::as_str), own.and_then(|c| child(c, "seccompProfile")))
    {
        let at = path.child("securityContext");
        same(errors, ("seccomp", note), field, &at.child("seccompProfile"));
    }
    each_container(spec, path, |container, at| {
        let field = child(sub(container, "securityContext"), "seccompProfile");
        let note = notes.get(&format!("{SECCOMP_CONTAINER}{}", text(container, "name"))).and_then(Value::as_str);
        if let (Some(field), Some(note)) = (field, note) {
            let context = at.child("securityContext");
            same(errors, ("seccomp", note), field, &context.child("seccompProfile"));
        }
    });
    if text(sub(spec, "os"), "name") == "windows" {
        return;
    }
    let of_pod = own.and_then(|c| child(c, "appArmorProfile"));
    each_container(spec, path, |container, at| {
        let field = child(sub(container, "securityContext"), "appArmorProfile").or(of_pod);
        let note = notes.get(&format!("{APP_ARMOR}{}", text(container, "name"))).and_then(Value::as_str);
        if let (Some(field), Some(note)) = (field, note) {
            let context = at.child("securityContext");
            same(errors, ("apparmor", note), field, &context.child("appArmorProfile"));
        }
    });
}

fn same(errors: &mut Errors, (what, note): (&str, &str), field: &Tree, path: &Path<'_>) {
    let right = match text(field, "type") {
        "Unconfined" => note == "unconfined",
        "RuntimeDefault" => note == "runtime/default" || (what == "seccomp" && note == "docker/default"),
        "Localhost" => match note.strip_prefix("localhost/") {
            None => false,
            Some(file) => {
                if field.get("localhostProfile").and_then(Value::as_str) != Some(file) {
                    let detail = format!("{what} profile in annotation and field must match");
                    errors.push(FieldError::forbidden(&path.child("localhostProfile"), detail));
                }
                true
            }
        },
        _ => true,
    };
    if !right {
        let detail = format!("{what} type in annotation and field must match");
        errors.push(FieldError::forbidden(&path.child("type"), detail));
    }
}
