//! Changes that are written by hand (`cases/*.yaml`): of several places at once, for rules that no change of one field
//! reaches.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::mutate::{LONG, Mutation};

/// What stands at places then, by their paths (`spec.ports[0].name`, `metadata.annotations[a.b/c]`; an index that
/// follows the last one appends); null takes away.
pub(super) type Change = BTreeMap<String, Value>;

/// The changes of a family: by the way of the write and the name of the base, `create plain`.
pub(super) type Changes = BTreeMap<String, Vec<Change>>;

/// The changes of the family of a name; most have none.
pub(super) fn read(folder: &Path, family: &str) -> Changes {
    let path = folder.join(format!("{family}.yaml"));
    let Ok(text) = std::fs::read_to_string(&path) else { return Changes::new() };
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An object with a change made.
pub(super) fn changed(object: &Value, change: &Change) -> Mutation {
    let mut object = object.clone();
    for (path, value) in change {
        put(&mut object, &steps(path), lengthened(value));
    }
    let what = format!("with {}", serde_json::to_string(change).unwrap());
    Mutation { what, object }
}

/// Stands for a text that is longer than any may be.
const LONG_MARK: &str = "<long>";

fn lengthened(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace(LONG_MARK, &LONG).into(),
        Value::Array(items) => items.iter().map(lengthened).collect(),
        Value::Object(fields) => {
            let entry = |(key, value): (&String, &Value)| (key.replace(LONG_MARK, &LONG), lengthened(value));
            Value::Object(fields.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

fn steps(path: &str) -> Vec<String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(inside) => inside.split_once(']').expect("a bracket is closed"),
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (&rest[..end], &rest[end..])
            }
        };
        steps.push(step.to_owned());
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

fn put(tree: &mut Value, steps: &[String], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *tree = value;
        return;
    };
    if let Value::Array(items) = tree {
        let index: usize = step.parse().expect("a place in a list is a number");
        if index == items.len() {
            items.push(Value::Null);
        }
        if rest.is_empty() && value.is_null() {
            items.remove(index);
        } else {
            put(&mut items[index], rest, value);
        }
        return;
    }
    if tree.is_null() {
        *tree = Value::Object(serde_json::Map::new());
    }
    let fields = tree.as_object_mut().expect("a place is in an object or a list");
    if rest.is_empty() && value.is_null() {
        fields.remove(step);
    } else {
        put(fields.entry(step.clone()).or_insert(Value::Null), rest, value);
    }
}

#[test]
fn places_are_set_added_and_taken_away() {
    let object = serde_json::json!({"a": {"b": [{"c": 1}, {"c": 2}]}, "d": 3});
    let text = "{'a.b[0].c': 5, 'a.b[2]': {c: 7}, 'a.x[k.l/m]': v, d: null}";
    let change: Change = serde_saphyr::from_str(text).unwrap();
    let Mutation { what, object } = changed(&object, &change);
    assert_eq!(what, r#"with {"a.b[0].c":5,"a.b[2]":{"c":7},"a.x[k.l/m]":"v","d":null}"#);
    assert_eq!(object, serde_json::json!({"a": {"b": [{"c": 5}, {"c": 2}, {"c": 7}], "x": {"k.l/m": "v"}}}));
}
