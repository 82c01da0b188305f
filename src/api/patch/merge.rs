//! JSON merge patch (RFC 7386) as upstream applies it.

use serde_json::{Map, Value};

use crate::api::codec::json::kind_of;
use crate::api::object::Object;
use crate::api::status::{Result, Status};

/// Merges a patch into an object: null removes, objects merge, all else replaces.
///
/// # Errors
/// 400 when the patch is not a JSON object.
pub(super) fn apply(live: &Object, patch: Value) -> Result<Value> {
    match patch {
        Value::Object(patch) => {
            let mut root = live.root().clone();
            merge(&mut root, patch);
            Ok(Value::Object(root))
        }
        Value::Null => Err(Status::bad_request("Invalid JSON Patch")),
        other @ (Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            let kind = kind_of(&other);
            Err(Status::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
            )))
        }
    }
}

fn merge(into: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (into.get_mut(&name), value) {
            (_, Value::Null) => drop(into.remove(&name)),
            (Some(Value::Object(below)), Value::Object(patch)) => merge(below, patch),
            // In place of an object upstream takes other values as they are; its nulls, if any, stay.
            (Some(slot @ Value::Object(_)), other) => *slot = other,
            (_, mut other) => {
                drop_nulls(&mut other);
                into.insert(name, other);
            }
        }
    }
}

/// Removes the nulls of objects; upstream does so inside arrays too, whose own nulls stay.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(live: Value, patch: Value, want: Value) {
        let live = Object::from_value(live).unwrap();
        assert_eq!(apply(&live, patch).unwrap(), want);
    }

    #[test]
    fn null_removes_objects_merge_and_all_else_replaces() {
        check(json!({"a": 1, "b": 2}), json!({"a": null, "c": 3}), json!({"b": 2, "c": 3}));
        check(json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": null, "z": 3}}), json!({"a": {"x": 1, "z": 3}}));
        check(json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]}));
        check(json!({"a": 1}), json!({"a": {"b": null, "c": {"d": null}}}), json!({"a": {"c": {}}}));
        check(json!({}), json!({"gone": null}), json!({}));
    }

    #[test]
    fn nulls_inside_new_arrays_lose_their_fields_but_not_their_place() {
        check(json!({}), json!({"a": [null, {"b": null, "c": 1}]}), json!({"a": [null, {"c": 1}]}));
        check(json!({"a": {"b": 1}}), json!({"a": [{"c": null}]}), json!({"a": [{"c": null}]}));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (patch, words) in [
            (json!(null), "Invalid JSON Patch"),
            (json!([1]), "cannot unmarshal array"),
            (json!(1), "cannot unmarshal number"),
        ] {
            let status = apply(&Object::default(), patch).unwrap_err();
            assert_eq!(status.code(), 400);
            assert!(status.message().contains(words), "{status}");
        }
    }

    /// The merge patch that leads from one object to another without nulls.
    fn difference(from: &Map<String, Value>, to: &Map<String, Value>) -> Map<String, Value> {
        let mut patch = Map::new();
        for name in from.keys().filter(|name| !to.contains_key(*name)) {
            patch.insert(name.clone(), Value::Null);
        }
        for (name, want) in to {
            match (from.get(name), want) {
                (Some(Value::Object(a)), Value::Object(b)) => {
                    patch.insert(name.clone(), Value::Object(difference(a, b)));
                }
                (Some(have), want) if have == want => {}
                (_, want) => {
                    patch.insert(name.clone(), want.clone());
                }
            }
        }
        patch
    }

    proptest! {
        #[test]
        fn the_patch_of_a_difference_gives_the_target(from in arbitrary_object(), to in arbitrary_object()) {
            let patch = difference(&from, &to);
            let live = Object::from_value(Value::Object(from)).unwrap();
            prop_assert_eq!(apply(&live, Value::Object(patch)).unwrap(), Value::Object(to));
        }
    }

    fn arbitrary_object() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            "[a-c]".prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }
}
