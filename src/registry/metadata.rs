//! The parts of `metadata` that the server keeps: what a client may not set, names that are made, owners once each.

use rand::Rng;
use serde_json::Value;

use super::{Call, Warnings};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::path_segment_name;
use crate::api::{Object, Result, Status};
use crate::resources::Kind;

/// The alphabet of generated names (apimachinery `pkg/util/rand`): no vowels, no digits that look like letters.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED_LENGTH: usize = 5;
/// A generated name is cut so that it stays within a DNS label.
const GENERATED_BASE_MAX: usize = 63 - GENERATED_LENGTH;

/// Takes away what only the server sets.
pub(super) fn wipe_system_fields(object: &mut Object) {
    let metadata = object.object_at(&["metadata"]);
    for key in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(key);
    }
}

/// Gives a new object its uid and creation time.
pub(super) fn fill_system_fields(object: &mut Object, now: jiff::Timestamp) {
    object.set(&["metadata", "creationTimestamp"], seconds(now));
    object.set(&["metadata", "uid"], uuid::Uuid::new_v4().to_string());
}

/// A moment as `metav1.Time` prints it.
pub(super) fn seconds(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A name of a prefix and five random characters.
pub(super) fn generate_name(prefix: &str) -> String {
    let mut end = prefix.len().min(GENERATED_BASE_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut rng = rand::rng();
    let tail = (0..GENERATED_LENGTH).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    prefix[..end].chars().chain(tail).collect()
}

/// The body's namespace must be the path's; an absent one is filled in, one on a cluster-scoped object is dropped.
pub(super) fn settle_namespace(call: &Call, object: &mut Object) -> Result<()> {
    let asked = if call.kind.namespaced { call.target.namespace.as_str() } else { "" };
    if object.namespace() == asked {
        return Ok(());
    }
    if asked.is_empty() {
        object.remove(&["metadata", "namespace"]);
        return Ok(());
    }
    if object.namespace().is_empty() {
        object.set(&["metadata", "namespace"], asked);
        return Ok(());
    }
    Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request"))
}

/// The body's name must be the path's.
pub(super) fn check_name(object: &Object, name: &str) -> Result<()> {
    if object.name().is_empty() {
        let message = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
        return Err(Status::bad_request(message));
    }
    if object.name() != name {
        let message = format!("the name of the object ({}) does not match the name on the URL ({name})", object.name());
        return Err(Status::bad_request(message));
    }
    Ok(())
}

/// Drops owner references that name an owner (by uid) again, with upstream's warning.
pub(super) fn dedup_owners(object: &mut Object, warnings: &Warnings, after_admission: bool) {
    let Some(Value::Array(owners)) = object.get(&["metadata", "ownerReferences"]) else { return };
    if owners.len() < 2 {
        return;
    }
    let mut seen: Vec<&Value> = Vec::new();
    let mut twice: Vec<String> = Vec::new();
    for owner in owners {
        if seen.contains(&owner) {
            let uid = owner.get("uid").and_then(Value::as_str).unwrap_or("").to_owned();
            if !twice.contains(&uid) {
                twice.push(uid);
            }
        } else {
            seen.push(owner);
        }
    }
    if twice.is_empty() {
        return;
    }
    let kept: Vec<Value> = seen.into_iter().cloned().collect();
    object.set(&["metadata", "ownerReferences"], kept);
    let moment = if after_admission { " after mutating admission happens" } else { "" };
    warnings.add(format!(
        ".metadata.ownerReferences contains duplicate entries{moment}; API server dedups owner references in 1.20+, \
         and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        twice.join(", ")
    ));
}

/// Keeps what no update may change: creation time, a deletion that has begun, the generation.
pub(super) fn keep_system_fields(new: &mut Object, old: &Object) {
    for key in ["creationTimestamp", "deletionTimestamp", "generation"] {
        if let Some(value) = old.get(&["metadata", key]).cloned() {
            new.set(&["metadata", key], value);
        } else if key != "deletionTimestamp" {
            // A deletion that an update claims is left for validation to refuse.
            new.remove(&["metadata", key]);
        }
    }
    if new.uid().is_empty() {
        new.set(&["metadata", "uid"], old.uid());
    }
    let grace = ["metadata", "deletionGracePeriodSeconds"];
    if new.get(&grace).is_none_or(Value::is_null)
        && let Some(value) = old.get(&grace).cloned()
    {
        new.set(&grace, value);
    }
    new.remove(&["metadata", "selfLink"]);
}

/// Whether anything that counts for `metadata.generation` differs: all but metadata and status.
pub(super) fn spec_differs(new: &Object, old: &Object, status_is_part: bool) -> bool {
    let counts = |key: &str| key != "metadata" && !(status_is_part && key == "status");
    let [new, old] = [new, old].map(|object| object.root().iter().filter(|(key, _)| counts(key)));
    !new.eq(old)
}

/// Groups whose validation knows nothing of the finalizers of old, as custom resources.
const ANY_FINALIZER: [&str; 5] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "internal.apiserver.k8s.io",
    "storagemigration.k8s.io",
];

/// What keeps a name from being a step of a path; told where a type's own rules have nothing to say.
pub(super) fn path_errors(object: &Object) -> Errors {
    let (metadata, name) = (Path::new("metadata"), object.name());
    let path = metadata.child("name");
    path_segment_name(name).into_iter().map(|fault| FieldError::invalid(&path, name, fault)).collect()
}

/// Finalizers that only some types take.
pub(super) fn finalizer_errors(kind: &Kind, object: &Object) -> Errors {
    if kind.is_custom() || ANY_FINALIZER.contains(&&*kind.gvk.group) {
        return Errors::new();
    }
    crate::api::validation::metadata::qualified_finalizers(object)
}

/// Whether the type has a status subresource.
pub(super) fn has_status(kind: &Kind) -> bool {
    kind.subresource("status").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_generated_name_keeps_its_prefix_and_stays_a_label() {
        let name = generate_name("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_eq!(generate_name(&"x".repeat(100)).len(), 63);
    }

    #[test]
    fn equal_owners_are_kept_once_and_warned_of() {
        let mut object = Object::from_value(json!({"metadata": {"ownerReferences": [
            {"uid": "1", "name": "a"}, {"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]}}))
        .unwrap();
        let warnings = Warnings::default();
        dedup_owners(&mut object, &warnings, false);
        assert_eq!(object.get(&["metadata", "ownerReferences"]).unwrap().as_array().unwrap().len(), 2);
        assert!(warnings.take()[0].ends_with("duplicate UID(s) observed: 1"));
    }
}
