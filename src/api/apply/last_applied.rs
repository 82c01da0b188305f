//! The annotation of client-side apply, for those who move from it to server-side apply with kubectl.

use serde_json::Value;

use super::compare::compare;
use super::conflict::Conflict;
use super::extract::fields_of;
use super::scope::Scope;
use super::set::FieldSet;
use super::validate::{Duplicates, validate};
use crate::api::object::Object;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All annotations of an object together (apimachinery `pkg/api/validation`).
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// The conflicts that remain when fields which client-side apply set last, and nobody changed since, may be taken
/// over. Without a usable annotation: all.
pub(super) fn not_allowed(scope: &Scope<'_>, live: &Object, conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let Some(applied) = last_applied(scope, live) else { return conflicts };
    let Some(allowed) = allowed(scope, live, &applied) else { return conflicts };
    conflicts.into_iter().filter(|conflict| !allowed.has(&conflict.path.0)).collect()
}

fn last_applied(scope: &Scope<'_>, live: &Object) -> Option<Object> {
    let applied = Object::from_json(live.annotation(ANNOTATION)?.as_bytes()).ok()?;
    (applied.text_at(&["apiVersion"]) == scope.api_version).then_some(applied)
}

fn allowed<'a>(scope: &Scope<'a>, live: &'a Object, applied: &'a Object) -> Option<FieldSet<'a>> {
    let of = scope.root.top();
    validate(live.root(), of, Duplicates::Refuse).ok()?;
    validate(applied.root(), of, Duplicates::Refuse).ok()?;
    let changes = compare(applied.root(), live.root(), of).ok()?;
    let set = fields_of(applied.root(), of);
    Some(set.difference(&changes.modified).difference(&changes.added).difference(&changes.removed))
}

/// Brings an annotation that is there up to date with what was applied.
pub(super) fn refresh(object: &mut Object, config: &Object) {
    if object.annotation(ANNOTATION).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = config.clone();
    applied.remove(&["metadata", "annotations", ANNOTATION]);
    let mut text = escape_html(&applied.into_value().to_string());
    text.push('\n');
    let others: usize =
        object.annotations().filter(|(key, _)| *key != ANNOTATION).map(|(key, value)| key.len() + value.len()).sum();
    if others + ANNOTATION.len() + text.len() > ANNOTATIONS_BYTES_MAX {
        object.remove(&["metadata", "annotations", ANNOTATION]);
    } else {
        object.set(&["metadata", "annotations", ANNOTATION], Value::String(text));
    }
}

/// JSON with the characters escaped that Go's encoder escapes.
fn escape_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 1);
    super::element::write_escaped(json, &mut out);
    out
}
