//! What is done with an input: it is decoded, and what comes of that is used as a request uses it.

use std::str::from_utf8;
use std::sync::Arc;

use coracle::api::apply::FieldSet;
use coracle::api::cel::{Activation, Env, Error, Expressions, Program, Type, Value as CelValue};
use coracle::api::codec::json::{self, Layout};
use coracle::api::codec::{protobuf, yaml};
use coracle::api::patch::{self, PatchKind};
use coracle::api::schema::structural::{self, Schema};
use coracle::api::schema::{Table, TypeId};
use coracle::api::time::GoDuration;
use coracle::api::{Object, Quantity, field, fields, labels};
use coracle::resources::facts::Facts;
use serde_json::{Map, Value};

/// The largest exponent of a quantity that is surely kept as it is.
const EXPONENT_MAX: i64 = 1 << 29;

/// What decoders look things up in.
pub(super) struct Tables {
    types: Arc<Table>,
    pod: TypeId,
    live: Object,
}

impl Tables {
    pub(super) fn load() -> Self {
        let facts = Facts::load();
        let pod = facts.kind("", "v1", "pods").unwrap().type_id;
        let live = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}]}, {"name": "b"}]}});
        Self { types: facts.types.clone(), pod, live: Object::from_value(live).unwrap() }
    }
}

pub(super) type Decoder = fn(&Tables, &[u8]);

pub(super) const DECODERS: [(&str, Decoder); 13] = [
    ("json", decode_json),
    ("yaml", decode_yaml),
    ("protobuf", decode_protobuf),
    ("json-patch", |tables, input| decode_patch(tables, PatchKind::Json, input)),
    ("merge-patch", |tables, input| decode_patch(tables, PatchKind::Merge, input)),
    ("strategic-merge-patch", |tables, input| decode_patch(tables, PatchKind::StrategicMerge, input)),
    ("label-selector", decode_label_selector),
    ("field-selector", decode_field_selector),
    ("quantity", decode_quantity),
    ("duration", decode_duration),
    ("managed-fields", decode_managed_fields),
    ("schema", decode_schema),
    ("cel", decode_cel),
];

fn decode_json(_: &Tables, input: &[u8]) {
    let Ok(decoded) = json::decode(input) else { return };
    check_read_again(&decoded.value);
}

fn decode_yaml(_: &Tables, input: &[u8]) {
    let Ok(decoded) = yaml::decode(input) else { return };
    // YAML is read into what JSON can say.
    check_read_again(&decoded.value);
}

/// What is written of a value is read as the same: an integer beyond Go's is a float from then on, as upstream has it.
fn check_read_again(value: &Value) {
    let written = json::encode(value, Layout::Sorted);
    let again = json::decode(&written).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&written)));
    assert!(alike(&again.value, value), "{} is read as {}", String::from_utf8_lossy(&written), again.value);
}

/// Whether two values are the same, whatever form their numbers have: Go writes 0.0 as 0.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| alike(one, other)))
        }
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (_, _) => one == other,
    }
}

fn decode_protobuf(tables: &Tables, input: &[u8]) {
    let raw = protobuf::open(input).map_or(input, |envelope| envelope.raw);
    let Ok(value) = protobuf::decode(raw, &tables.types, tables.pod) else { return };
    let written = protobuf::encode(&value, &tables.types, tables.pod).unwrap();
    assert_eq!(protobuf::decode(&written, &tables.types, tables.pod).unwrap(), value);
}

fn decode_patch(tables: &Tables, kind: PatchKind, input: &[u8]) {
    // Whatever comes of it is decoded like any other body.
    let _ = patch::apply(kind, &tables.live, input, (&tables.types, tables.pod));
}

struct NoLabels;

impl labels::Labels for NoLabels {
    fn value_of(&self, _: &str) -> Option<&str> {
        None
    }
}

fn decode_label_selector(_: &Tables, input: &[u8]) {
    let Ok(selector) = labels::Selector::parse(&String::from_utf8_lossy(input)) else { return };
    selector.matches(&NoLabels);
}

fn decode_field_selector(_: &Tables, input: &[u8]) {
    let Ok(selector) = fields::Selector::parse(&String::from_utf8_lossy(input)) else { return };
    selector.matches(|_| "");
}

fn decode_quantity(_: &Tables, input: &[u8]) {
    let Ok(quantity) = Quantity::parse(&String::from_utf8_lossy(input)) else { return };
    let _ = (quantity.value(), quantity.milli_value(), quantity.as_f64(), quantity.rounded_up(0));
    let written = quantity.to_string();
    let again = Quantity::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    // An exponent of some billion is cut to what fits, and so cut again.
    let exponent = written.rsplit_once('e').and_then(|(_, exponent)| exponent.parse::<i64>().ok());
    if exponent.is_none_or(|exponent| exponent.abs() < EXPONENT_MAX) {
        assert_eq!(again.to_string(), written);
    }
}

fn decode_duration(_: &Tables, input: &[u8]) {
    let Ok(duration) = GoDuration::parse(&String::from_utf8_lossy(input)) else { return };
    assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration));
}

fn decode_managed_fields(_: &Tables, input: &[u8]) {
    let Ok(set) = from_utf8(input).map_err(drop).and_then(|text| FieldSet::from_json(text).map_err(drop)) else {
        return;
    };
    let written = set.to_json();
    let again = FieldSet::from_json(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again.to_json(), written);
}

fn decode_schema(tables: &Tables, input: &[u8]) {
    let Ok(Value::Object(props)) = json::decode(input).map(|decoded| decoded.value) else { return };
    let _ = structural::check::validate_structural(&field::Path::new("schema"), &props);
    let schema = Schema::parse(&props);
    // A definition and a pod stand for any object.
    for object in [&props, tables.live.root()] {
        let mut object: Map<String, Value> = object.clone();
        structural::prune(&mut object, &schema);
        structural::fill(&mut object, &schema);
        let value = Value::Object(object);
        let _ = structural::validate(structural::Place { value: &value, old: None, prefix: "" }, &schema);
    }
}

fn decode_cel(_: &Tables, input: &[u8]) {
    const BUDGET: u64 = 10_000;
    let env = Env::new(Expressions::Stored).variable("x", Type::Int).variable("d", Type::Dyn);
    let Ok(program) = Program::compile(&String::from_utf8_lossy(input), &env) else { return };
    let data = serde_json::json!({"a": [1, {"b": "text"}, null], "c": 1.5});
    let activation = Activation::new().with("x", CelValue::Int(3)).with("d", CelValue::from_json(&data));
    let outcome = program.evaluate(&activation, BUDGET);
    let stopped = matches!(outcome.value, Err(Error::BudgetExceeded));
    assert!(stopped || outcome.cost <= BUDGET, "it cost {}", outcome.cost);
}
