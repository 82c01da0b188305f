//! Pod templates: comparing them, naming them by a hash, making pods of them. A template is kept as the tree that the
//! server gave, so that fields of newer versions survive.

use serde_json::{Map, Value, json};

use crate::client::OwnerReference;

/// The label that tells the pods of a Deployment's ReplicaSets apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// Letters without vowels and look-alikes, as upstream's `SafeEncodeString`.
const SAFE_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether two templates are the same but for the hash label; absent, null and empty are the same.
pub(super) fn equal_ignoring_hash(a: &Value, b: &Value) -> bool {
    same(&without_hash(a), &without_hash(b))
}

/// A template without the hash label.
pub(super) fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    template
}

/// A template with the hash label.
pub(super) fn with_hash(template: &Value, hash: &str) -> Value {
    let mut template = template.clone();
    template["metadata"]["labels"][HASH_LABEL] = Value::String(hash.to_owned());
    template
}

/// The hash of a template: stable, of upstream's length and letters. Upstream's value hangs on how Go prints its
/// types and cannot be had here.
pub(super) fn hash(template: &Value, collision_count: Option<i32>) -> String {
    let mut state = 0x811c_9dc5_u32;
    feed_value(&mut state, template);
    if let Some(count) = collision_count {
        feed(&mut state, &count.to_le_bytes());
    }
    let safe = |digit: u8| char::from(SAFE_LETTERS[usize::from(digit) % SAFE_LETTERS.len()]);
    state.to_string().bytes().map(safe).collect()
}

/// The body of a pod made of a template, for any number of pods.
pub(super) fn pod_body(template: &Value, generate_name: &str, owner: &OwnerReference) -> Value {
    let mut metadata = Map::new();
    for key in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(key) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    metadata.insert("generateName".to_owned(), Value::String(generate_name.to_owned()));
    metadata.insert("ownerReferences".to_owned(), json!([owner]));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// The labels of a template.
pub(super) fn labels(template: &Value) -> impl Iterator<Item = (&str, &str)> {
    let labels = template.pointer("/metadata/labels").and_then(Value::as_object);
    labels.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let null = Value::Null;
            a.iter().all(|(key, value)| same(value, b.get(key).unwrap_or(&null)))
                && b.iter().all(|(key, value)| a.contains_key(key) || empty(value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b || (empty(a) && empty(b)),
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// FNV-1a.
fn feed(state: &mut u32, bytes: &[u8]) {
    for byte in bytes {
        *state = (*state ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
}

fn feed_value(state: &mut u32, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, value)| !empty(value)).collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            feed(state, b"{");
            for (key, value) in entries {
                feed(state, key.as_bytes());
                feed(state, b":");
                feed_value(state, value);
            }
            feed(state, b"}");
        }
        Value::Array(list) => {
            feed(state, b"[");
            for value in list {
                feed_value(state, value);
                feed(state, b",");
            }
            feed(state, b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => feed(state, value.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_differ_in_the_hash_label_or_in_what_is_empty_are_equal() {
        let plain = json!({"metadata": {"labels": {"a": "b"}, "creationTimestamp": null}, "spec": {"x": 1}});
        let hashed = json!({"metadata": {"labels": {"a": "b", "pod-template-hash": "z"}}, "spec": {"x": 1, "y": {}}});
        assert!(equal_ignoring_hash(&plain, &hashed));
        assert!(!equal_ignoring_hash(&plain, &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 2}})));
        assert_eq!(hash(&plain, None), hash(&without_hash(&hashed), None));
    }

    #[test]
    fn a_hash_hangs_on_the_template_and_the_number_of_collisions() {
        let template = json!({"spec": {"containers": [{"name": "a"}]}});
        let plain = hash(&template, None);
        assert!(plain.bytes().all(|letter| SAFE_LETTERS.contains(&letter)), "{plain}");
        assert_ne!(plain, hash(&template, Some(1)));
        assert_ne!(plain, hash(&json!({"spec": {"containers": [{"name": "b"}]}}), None));
    }
}
