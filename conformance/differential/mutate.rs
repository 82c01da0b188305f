//! Changes of an object, one field at a time, as the table of types says what stands there. The same object gives the
//! same changes in the same order. A place is changed once in a family, whatever the index of its item.

use std::collections::HashSet;
use std::sync::LazyLock;

use coracle::api::schema::{Field, Shape, Table, TypeId};
use coracle::resources::facts::{Facts, KindFacts};
use serde_json::{Map, Value, json};

/// Longer than any name or label may be.
pub(super) static LONG: LazyLock<String> = LazyLock::new(|| "l".repeat(300));

/// What no format takes.
const BAD: &str = "Bad Value!";

/// The metadata that is changed unless `only` asks for all of it: the rest is the same for every kind.
const METADATA: &[&str] = &["name", "labels"];
const TEMPLATE_METADATA: &[&str] = &["labels", "annotations"];
const NAMES: &[&str] = &["a.b", "a/b", "1a", "-a", "Abc", "a:b", "a_b"];
const ADDRESSES: &[&str] =
    &["1.2.3.4", "1.2.3.256", "01.2.3.4", "127.0.0.1", "::1", "fd00::1", "10.1.0.0/16", "10.1.2.3/16"];
const FILES: &[&str] = &["../up", "/abs", "a/../b", "a:b", "."];

/// How far a place is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Everything that could be wrong with a value.
    Create,
    /// Another valid value, another presence: what must not change.
    Update,
}

/// A changed object.
pub(super) struct Mutation {
    /// The place and the change, such as `spec.containers[0].name remove`.
    pub(super) what: String,
    pub(super) object: Value,
}

/// Where changes begin and end: paths of field names.
type Bounds<'a> = (&'a [String], &'a [String]);

/// Makes the mutations of a family and remembers what was changed already.
pub(super) struct Mutator<'a> {
    table: &'a Table,
    root: TypeId,
    changed: HashSet<String>,
    mistyped: HashSet<(TypeId, String)>,
}

#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// A place in the object.
struct Spot<'t> {
    steps: Vec<Step>,
    /// The names of the fields on the way.
    plain: String,
    shape: &'t Shape,
    field: Option<&'t Field>,
    of: TypeId,
    value: Option<Value>,
}

impl<'a> Mutator<'a> {
    pub(super) fn new(facts: &'a Facts, kind: &KindFacts) -> Self {
        let (changed, mistyped) = (HashSet::new(), HashSet::new());
        Self { table: &facts.types, root: kind.type_id, changed, mistyped }
    }

    /// The changes of an object that is created.
    pub(super) fn mutations(&mut self, object: &Value, style: Style, bounds: Bounds<'_>) -> Vec<Mutation> {
        self.mutations_through("create", object, style, bounds)
    }

    /// The changes of an object that is written through something.
    pub(super) fn mutations_through(
        &mut self,
        way: &str,
        object: &Value,
        style: Style,
        bounds: Bounds<'_>,
    ) -> Vec<Mutation> {
        let mut spots = Vec::new();
        let tree = object.as_object().expect("a base is an object");
        let root =
            Spot { steps: vec![], plain: String::new(), shape: &Shape::Json, field: None, of: self.root, value: None };
        walk_struct(self.table, (self.root, tree), &root, bounds, &mut spots);
        let mut found = Vec::new();
        for spot in spots {
            if !within(&spot.plain, bounds.0) || !self.is_new(way, &spot) {
                continue;
            }
            for (name, value) in self.values(&spot, style) {
                let mut changed = object.clone();
                put(&mut changed, &spot.steps, value);
                found.push(Mutation { what: format!("{} {name}", print(&spot.steps)), object: changed });
            }
        }
        found
    }

    fn is_new(&mut self, way: &str, spot: &Spot<'_>) -> bool {
        let shape: Vec<String> = spot
            .steps
            .iter()
            .map(|step| match step {
                Step::Key(key) => key.clone(),
                Step::Index(_) => "[]".to_owned(),
            })
            .collect();
        let shape = shape.join(".");
        let presence = if spot.value.is_some() { "present" } else { "absent" };
        self.changed.insert(format!("{way} {shape} {presence}"))
    }

    /// What the place becomes, `None` for nothing, each with a name.
    fn values(&mut self, spot: &Spot<'_>, style: Style) -> Vec<(String, Option<Value>)> {
        let Some(present) = &spot.value else {
            return vec![("add".to_owned(), Some(sample(spot.shape, spot.field)))];
        };
        let mut values = vec![("remove".to_owned(), None)];
        let mut add = |name: &str, value: Value| values.push((name.to_owned(), Some(value)));
        match style {
            Style::Update => changed(spot, present, &mut add),
            Style::Create => {
                if let Some(name) = spot.field.map(|field| field.name.to_string())
                    && self.mistyped.insert((spot.of, name))
                {
                    add("mistype", mistyped(spot.shape));
                }
                wrong(spot, present, &mut add);
            }
        }
        values.retain(|(_, value)| value.as_ref() != Some(present));
        values
    }
}

fn within(plain: &str, bounds: &[String]) -> bool {
    bounds.is_empty() || bounds.iter().any(|bound| plain == bound || plain.starts_with(&format!("{bound}.")))
}

fn walk_struct<'t>(
    table: &'t Table,
    (id, tree): (TypeId, &Map<String, Value>),
    at: &Spot<'t>,
    bounds: Bounds<'_>,
    spots: &mut Vec<Spot<'t>>,
) {
    let of = table.get(id);
    for field in &of.fields {
        let plain = if at.plain.is_empty() { field.name.to_string() } else { format!("{}.{}", at.plain, field.name) };
        if matches!(plain.as_str(), "kind" | "apiVersion") || bounds.1.contains(&plain) {
            continue;
        }
        if of.name.ends_with(".ObjectMeta") && !metadata_counts(&at.plain, &field.name, bounds.0) {
            continue;
        }
        let steps = [&at.steps[..], &[Step::Key(field.name.to_string())]].concat();
        let value = tree.get(field.name.as_ref()).filter(|value| !value.is_null()).cloned();
        let spot = Spot { steps, plain, shape: &field.shape, field: Some(field), of: id, value };
        walk(table, spot, bounds, spots);
    }
}

fn metadata_counts(at: &str, name: &str, only: &[String]) -> bool {
    if at == "metadata" {
        METADATA.contains(&name) || only.iter().any(|bound| bound == "metadata") && name != "managedFields"
    } else {
        TEMPLATE_METADATA.contains(&name)
    }
}

fn walk<'t>(table: &'t Table, spot: Spot<'t>, bounds: Bounds<'_>, spots: &mut Vec<Spot<'t>>) {
    let inside = spot.value.clone();
    let place = spots.len();
    let child = |step: Step, shape: &'t Shape, value: &Value| Spot {
        steps: [&spot.steps[..], &[step]].concat(),
        plain: spot.plain.clone(),
        shape,
        field: spot.field.filter(|_| matches!(shape, Shape::String)),
        of: spot.of,
        value: Some(value.clone()),
    };
    match (spot.shape, &inside) {
        (Shape::Struct(id), Some(Value::Object(tree))) => walk_struct(table, (*id, tree), &spot, bounds, spots),
        (Shape::List(list), Some(Value::Array(items))) => {
            for (index, item) in items.iter().enumerate() {
                walk(table, child(Step::Index(index), &list.item, item), bounds, spots);
            }
        }
        (Shape::Map(map), Some(Value::Object(entries))) => {
            for (key, value) in entries.iter().take(1) {
                walk(table, child(Step::Key(key.clone()), &map.value, value), bounds, spots);
            }
        }
        (_, _) => {}
    }
    spots.insert(place, spot);
}

fn put(tree: &mut Value, steps: &[Step], value: Option<Value>) {
    let (last, way) = steps.split_last().expect("a place is below the root");
    let mut at = tree;
    for step in way {
        at = match step {
            Step::Key(key) => &mut at[key.as_str()],
            Step::Index(index) => &mut at[*index],
        };
    }
    match (last, value) {
        (Step::Key(key), Some(value)) => at[key.as_str()] = value,
        (Step::Key(key), None) => drop(at.as_object_mut().expect("a key is of an object").remove(key)),
        (Step::Index(index), Some(value)) => at[*index] = value,
        (Step::Index(index), None) => drop(at.as_array_mut().expect("an index is of a list").remove(*index)),
    }
}

fn print(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.push_str(&format!(".{key}")),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

fn enums(field: Option<&Field>) -> Vec<&str> {
    field
        .and_then(|field| field.extra.as_deref())
        .map_or(vec![], |extra| extra.enums.iter().map(AsRef::as_ref).collect())
}

/// A value for a place that is empty.
fn sample(shape: &Shape, field: Option<&Field>) -> Value {
    match shape {
        Shape::String => enums(field).first().map_or(json!("x"), |text| json!(text)),
        Shape::Bool => json!(true),
        Shape::Int32 | Shape::Int64 | Shape::IntOrString => json!(1),
        Shape::Float64 => json!(1.5),
        Shape::Bytes => json!("eA=="),
        Shape::Quantity => json!("1"),
        Shape::Time => json!("2020-01-01T00:00:00Z"),
        Shape::MicroTime => json!("2020-01-01T00:00:00.000000Z"),
        Shape::Duration => json!("1s"),
        Shape::Json | Shape::FieldsV1 => json!({"a": 1}),
        Shape::Struct(_) | Shape::SchemaOrArray(_) | Shape::SchemaOrBool(_) | Shape::SchemaOrStrings(_) => json!({}),
        Shape::List(list) => json!([sample(&list.item, field)]),
        Shape::Map(map) => json!({"k": sample(&map.value, field)}),
    }
}

fn mistyped(shape: &Shape) -> Value {
    match shape {
        Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration => json!(7),
        Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::List(_) => json!("text"),
        Shape::IntOrString | Shape::Quantity => json!(true),
        Shape::Json | Shape::FieldsV1 | Shape::Struct(_) | Shape::Map(_) => json!(["text"]),
        Shape::SchemaOrArray(_) | Shape::SchemaOrBool(_) | Shape::SchemaOrStrings(_) => json!(7),
    }
}

/// Values that may be wrong.
fn wrong(spot: &Spot<'_>, present: &Value, add: &mut dyn FnMut(&str, Value)) {
    match spot.shape {
        Shape::String => wrong_texts(spot, add),
        Shape::Bool => add("flip", json!(present != &json!(true))),
        Shape::Int32 | Shape::Int64 => {
            [-1, 0, 1, 100_000, i64::from(i32::MAX)].iter().for_each(|number| add(&number.to_string(), json!(number)));
        }
        Shape::Float64 => add("-1", json!(-1.0)),
        Shape::Quantity => ["-1", "0", "1500m", "x"].iter().for_each(|text| add(text, json!(text))),
        Shape::IntOrString => {
            [-1, 0, 70_000].iter().for_each(|number| add(&number.to_string(), json!(number)));
            ["", "50%", "150%", BAD, "name"].iter().for_each(|text| add(&format!("{text:?}"), json!(text)));
        }
        Shape::Time | Shape::MicroTime | Shape::Duration | Shape::Bytes => add("bad", json!("!")),
        Shape::Struct(_) => add("empty", json!({})),
        Shape::List(list) => {
            add("empty", json!([]));
            if let Some(first) = present.get(0) {
                add("twice", json!([first, first]));
            }
            if matches!(list.item, Shape::Struct(_)) {
                add("with {}", json!([{}]));
            }
        }
        Shape::Map(map) => {
            add("empty", json!({}));
            let value = present.as_object().and_then(|entries| entries.values().next().cloned());
            let value = value.unwrap_or_else(|| sample(&map.value, spot.field));
            [("bad key", BAD), ("empty key", ""), ("long key", LONG.as_str())]
                .iter()
                .for_each(|(name, key)| add(name, json!({*key: value})));
        }
        Shape::Json | Shape::FieldsV1 => add("empty", json!({})),
        Shape::SchemaOrArray(_) | Shape::SchemaOrBool(_) | Shape::SchemaOrStrings(_) => {}
    }
}

fn wrong_texts(spot: &Spot<'_>, add: &mut dyn FnMut(&str, Value)) {
    let name = spot.field.map_or("", |field| field.name.as_ref());
    add("empty", json!(""));
    add("bad", json!(BAD));
    let known = enums(spot.field);
    for text in known.iter().take(6) {
        add(text, json!(text));
    }
    if known.is_empty() {
        add("long", json!(LONG.as_str()));
    }
    let lower = name.to_lowercase();
    let more: &[&str] = if spot.plain == "metadata.name" {
        NAMES
    } else if lower.ends_with("path") {
        FILES
    } else if ["ip", "ips", "cidr", "cidrs", "addresses"].iter().any(|end| lower.ends_with(end)) {
        ADDRESSES
    } else {
        &[]
    };
    more.iter().for_each(|text| add(text, json!(text)));
}

/// Another value that could stand there.
fn changed(spot: &Spot<'_>, present: &Value, add: &mut dyn FnMut(&str, Value)) {
    match spot.shape {
        Shape::String => {
            let other = enums(spot.field).into_iter().find(|text| present != *text).map(str::to_owned);
            add("change", json!(other.unwrap_or_else(|| format!("{}x", present.as_str().unwrap_or_default()))));
        }
        Shape::Bool => add("change", json!(present != &json!(true))),
        Shape::Int32 | Shape::Int64 => {
            let number = present.as_i64().unwrap_or_default();
            add("change", json!(number + 1));
            add("less", json!(number - 1));
        }
        Shape::List(_) => {
            let items = present.as_array().cloned().unwrap_or_default();
            add("empty", json!([]));
            if let Some(first) = items.first() {
                add("longer", json!([&items[..], std::slice::from_ref(first)].concat()));
            }
            if items.len() > 1 {
                add("reverse", items.iter().rev().cloned().collect());
            }
        }
        Shape::Map(map) => {
            let mut entries = present.as_object().cloned().unwrap_or_default();
            entries.insert("added".to_owned(), sample(&map.value, spot.field));
            add("longer", Value::Object(entries));
        }
        Shape::Struct(_) => {}
        Shape::Quantity => add("change", json!("7")),
        Shape::IntOrString => add("change", json!(7)),
        Shape::Bytes => add("change", json!("eHg=")),
        Shape::Duration => add("change", json!("7s")),
        Shape::Float64
        | Shape::Time
        | Shape::MicroTime
        | Shape::Json
        | Shape::FieldsV1
        | Shape::SchemaOrArray(_)
        | Shape::SchemaOrBool(_)
        | Shape::SchemaOrStrings(_) => add("change", sample(spot.shape, spot.field)),
    }
}
