//! Values made up from schemas: right by their types, seldom by their meaning.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};
use serde_json::{Map, Value, json};

use super::published::Published;

/// So deep only what is required is made.
const DEPTH_MAX: usize = 5;
/// The most items of a list or a map.
const ITEMS_MAX: usize = 3;
/// How deep the value lies, at most, that is bent.
const LEVELS_MAX: usize = 8;

/// The names that objects have and are asked for by.
pub(super) const NAMES: [&str; 6] = ["one", "two", "three", "target", "kubernetes", "a.b.c"];

/// Texts that mean something somewhere.
const WORDS: [&str; 28] = [
    "a",
    "web",
    "default",
    "Always",
    "ClusterIP",
    "TCP",
    "NoExecute",
    "In",
    "Exists",
    "Retain",
    "kubernetes.io/hostname",
    "example.com/thing",
    "10.0.0.1",
    "fd00::1",
    "10.0.0.0/24",
    "100m",
    "1Gi",
    "50%",
    "http",
    "https://example.com/x",
    "/var/lib/x",
    "0 * * * *",
    "2020-01-01T00:00:00Z",
    "object.metadata.name == 'a'",
    "system:masters",
    "v1",
    "pods",
    "*",
];

/// A value of a schema.
pub(super) fn value(published: &Published, (schema, depth): (&Value, usize), random: &mut StdRng) -> Value {
    let schema = published.resolved(schema);
    if let Some(choice) = schema.get("enum").and_then(Value::as_array).and_then(|choices| choices.choose(random)) {
        return choice.clone();
    }
    let form = schema["format"].as_str().unwrap_or_default();
    match schema["type"].as_str() {
        Some("object") | None if schema.get("properties").is_some() => object(published, (schema, depth), random),
        Some("object") => {
            let values = schema.get("additionalProperties").filter(|_| depth < DEPTH_MAX);
            let entry = |of: &Value, random: &mut StdRng| (word(random), value(published, (of, depth + 1), random));
            let count = random.random_range(0..=ITEMS_MAX);
            values.map_or_else(|| json!({}), |of| (0..count).map(|_| entry(of, random)).collect::<Map<_, _>>().into())
        }
        Some("array") => {
            let count = if depth < DEPTH_MAX { random.random_range(1..=ITEMS_MAX) } else { 0 };
            (0..count).map(|_| value(published, (&schema["items"], depth + 1), random)).collect()
        }
        Some("integer" | "number") => json!(*[0, 1, 2, 30, 80, 443, 8080, 65_535, -1].choose(random).unwrap()),
        Some("boolean") => json!(random.random::<bool>()),
        Some("string") if form == "date-time" => json!("2020-01-01T00:00:00Z"),
        Some("string") if form == "byte" => json!("AAAA"),
        Some("string") => json!(word(random)),
        _ => scalar(random),
    }
}

fn object(published: &Published, (schema, depth): (&Value, usize), random: &mut StdRng) -> Value {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let share = if depth == 0 { 0.8 } else { 0.35 };
    let mut made = Map::new();
    for (name, of) in schema["properties"].as_object().unwrap() {
        // What the server itself says of an object is seldom sent.
        let seldom = ["managedFields", "status", "deletionTimestamp", "uid", "resourceVersion"].contains(&&**name);
        let share = if seldom { share / 8.0 } else { share };
        let wished = depth < DEPTH_MAX && random.random_bool(share);
        if wished || required.contains(&&**name) {
            made.insert(name.clone(), value(published, (of, depth + 1), random));
        }
    }
    Value::Object(made)
}

fn word(random: &mut StdRng) -> String {
    (*if random.random() { NAMES.choose(random) } else { WORDS.choose(random) }.unwrap()).to_owned()
}

/// What has any type, such as an int-or-string.
fn scalar(random: &mut StdRng) -> Value {
    if random.random() { json!(word(random)) } else { json!(random.next_u32() % 70_000) }
}

/// Changes one value somewhere within: removes it, adds to it, or puts what it is not in its place.
pub(super) fn bend(within: &mut Value, random: &mut StdRng) {
    let levels = random.random_range(0..LEVELS_MAX);
    bend_at(within, levels, random);
}

fn bend_at(within: &mut Value, levels: usize, random: &mut StdRng) {
    if levels > 0 {
        let mut deeper: Vec<&mut Value> = match within {
            Value::Object(fields) => {
                fields.values_mut().filter(|value| value.is_object() || value.is_array()).collect()
            }
            Value::Array(items) => items.iter_mut().filter(|value| value.is_object() || value.is_array()).collect(),
            _ => Vec::new(),
        };
        if !deeper.is_empty() {
            let chosen = random.random_range(0..deeper.len());
            return bend_at(deeper.swap_remove(chosen), levels - 1, random);
        }
    }
    match within {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = names.choose(random).cloned().unwrap_or_default();
            match random.random_range(0..4) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert("unknown".to_owned(), json!({"a": [1]}))),
                _ => drop(fields.insert(name, absurd(random))),
            }
        }
        Value::Array(items) => {
            let first = items.first().cloned().unwrap_or(Value::Null);
            items.push(if random.random() { first } else { absurd(random) });
        }
        other => *other = absurd(random),
    }
}

/// A value that hardly anything may have.
fn absurd(random: &mut StdRng) -> Value {
    match random.random_range(0..12) {
        0 => Value::Null,
        1 => json!(""),
        2 => json!({}),
        3 => json!([]),
        4 => json!(-1),
        5 => json!(u64::MAX),
        6 => json!(1.5),
        7 => json!(true),
        8 => json!("-"),
        9 => json!("x".repeat(300)),
        10 => json!([null]),
        _ => json!({"": {"": null}}),
    }
}
