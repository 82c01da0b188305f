//! Changes of a custom object, one place at a time, as its schema says what stands there and what could.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// How deep the schema is followed below what an object has.
const SAMPLE_DEPTH_MAX: usize = 4;

/// A changed object.
pub(super) struct Change {
    /// The place and what became of it.
    pub(super) what: String,
    pub(super) object: Value,
}

/// Makes changes of objects of one kind; a place is changed once in a way, whatever the index of its item.
#[derive(Default)]
pub(super) struct Changer {
    done: HashSet<String>,
}

/// A place in the object: the keys on the way, an index as a number.
type Steps = Vec<String>;

impl Changer {
    /// All changes of an object that were not made in another of its kind.
    pub(super) fn changes(&mut self, schema: &Value, object: &Value) -> Vec<Change> {
        let mut found = Vec::new();
        walk(schema, object, &Steps::new(), &mut found);
        found
            .into_iter()
            .filter(|(steps, name, _)| self.done.insert(format!("{} {name}", plain(steps))))
            .map(|(steps, name, value)| {
                let mut changed = object.clone();
                put(&mut changed, &steps, value);
                Change { what: format!("{} {name}", steps.join(".")), object: changed }
            })
            .collect()
    }
}

fn plain(steps: &Steps) -> String {
    let step = |step: &String| if step.parse::<usize>().is_ok() { "[]".to_owned() } else { step.clone() };
    steps.iter().map(step).collect::<Vec<_>>().join(".")
}

type Found = Vec<(Steps, String, Option<Value>)>;

fn walk(schema: &Value, value: &Value, at: &Steps, found: &mut Found) {
    if let Value::Object(fields) = value {
        walk_object(schema, fields, at, found);
    }
    if let Value::Array(items) = value {
        for (index, item) in items.iter().enumerate() {
            let below = step(at, &index.to_string());
            around(&schema["items"], item, &below, found);
        }
        let mut twice = items.clone();
        twice.extend(items.first().cloned());
        found.push((at.clone(), "first twice".to_owned(), Some(twice.into())));
        let with_null = items.iter().cloned().chain([Value::Null]).collect();
        found.push((at.clone(), "null at the end".to_owned(), Some(with_null)));
    }
}

fn walk_object(schema: &Value, fields: &Map<String, Value>, at: &Steps, found: &mut Found) {
    for (key, value) in fields {
        let top = at.is_empty() && ["apiVersion", "kind", "metadata"].contains(&key.as_str());
        if !top {
            let known = &schema["properties"][key];
            let below = if known.is_null() { &schema["additionalProperties"] } else { known };
            around(below, value, &step(at, key), found);
        }
    }
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        let top = at.is_empty() && ["apiVersion", "kind", "metadata", "status"].contains(&key.as_str());
        if !top && !fields.contains_key(key) {
            found.push((step(at, key), "add".to_owned(), Some(sample(below, 0))));
        }
    }
    found.push((step(at, "surprise"), "add".to_owned(), Some(json!({ "a": 1 }))));
}

/// What stands at a place, and all below it.
fn around(schema: &Value, value: &Value, at: &Steps, found: &mut Found) {
    found.push((at.clone(), "remove".to_owned(), None));
    let long = "l".repeat(300);
    let others = match value {
        Value::String(_) => {
            json!(["", "Bad Value!", long, "a", "1", "-1s", "2020-01-01T00:00:00Z", "a.b/c", 1, true, null, {}, ["a"]])
        }
        Value::Number(_) => {
            json!([0, -1, 65536, 2147483648u64, 9223372036854775807u64, 1.5, 1e300, "1", "x", true, null, {}])
        }
        Value::Bool(given) => json!([!given, "true", 1, null, {}]),
        Value::Array(_) => json!([[], {}, "a", null, [1], ["a"], [{}], [[]]]),
        Value::Object(_) => json!([{}, [], "a", 1, null, { "a": "b" }, { "a": 1 }, { "Bad Key!": null }]),
        Value::Null => json!(["a", 1, {}, []]),
    };
    for other in others.as_array().into_iter().flatten().filter(|other| *other != value) {
        let name: String = other.to_string().chars().take(24).collect();
        found.push((at.clone(), name, Some(other.clone())));
    }
    for choice in schema["enum"].as_array().into_iter().flatten().filter(|choice| *choice != value) {
        found.push((at.clone(), choice.to_string(), Some(choice.clone())));
    }
    walk(schema, value, at, found);
}

fn step(at: &Steps, key: &str) -> Steps {
    let mut steps = at.clone();
    steps.push(key.to_owned());
    steps
}

/// A value that the schema may take.
fn sample(schema: &Value, depth: usize) -> Value {
    if !schema["default"].is_null() {
        return schema["default"].clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|choices| choices.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("string") => match schema["format"].as_str() {
            Some("date-time") => "2020-01-01T00:00:00Z".into(),
            Some("byte") => "YQ==".into(),
            _ => "a".repeat(schema["minLength"].as_u64().unwrap_or(1).clamp(1, 300) as usize).into(),
        },
        Some("integer" | "number") => schema["minimum"].as_i64().unwrap_or(1).into(),
        Some("boolean") => true.into(),
        Some("array") if depth < SAMPLE_DEPTH_MAX => vec![sample(&schema["items"], depth + 1)].into(),
        Some("array") => json!([]),
        Some("object") if depth < SAMPLE_DEPTH_MAX => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut fields: Map<String, Value> =
                required.map(|key| (key.to_owned(), sample(&schema["properties"][key], depth + 1))).collect();
            if schema["additionalProperties"].is_object() {
                fields.insert("key".to_owned(), sample(&schema["additionalProperties"], depth + 1));
            }
            fields.into()
        }
        Some("object") => json!({}),
        _ if schema["x-kubernetes-int-or-string"] == true => 1.into(),
        _ => json!({ "any": ["thing"] }),
    }
}

fn put(object: &mut Value, steps: &[String], value: Option<Value>) {
    let Some((last, way)) = steps.split_last() else { return };
    let mut at = object;
    for step in way {
        at = match at {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            other => &mut other[step.as_str()],
        };
    }
    match (at, value) {
        (Value::Array(items), Some(value)) => items[last.parse::<usize>().unwrap()] = value,
        (Value::Array(items), None) => drop(items.remove(last.parse::<usize>().unwrap())),
        (Value::Object(fields), Some(value)) => drop(fields.insert(last.clone(), value)),
        (Value::Object(fields), None) => drop(fields.remove(last)),
        (other, _) => panic!("{other} has no places"),
    }
}

#[test]
fn a_place_is_changed_once_whatever_its_index() {
    let schema = json!({ "properties": { "a": { "items": { "type": "boolean" } }, "b": { "type": "string" } } });
    let mut changer = Changer::default();
    let first = changer.changes(&schema, &json!({ "a": [true, true] }));
    let named = |what: &str| first.iter().filter(|change| change.what == what).count();
    assert_eq!((named("a.0 remove"), named("a.1 remove"), named("b add"), named("a remove")), (1, 0, 1, 1));
    assert!(changer.changes(&schema, &json!({ "a": [true] })).is_empty());
}
