//! Whether a tree fits the Go struct that a strategic merge patch is for, in the words of the converter that upstream
//! puts trees into structs with (apimachinery `pkg/runtime/converter.go`), which are not those of its JSON decoder. What
//! that one takes and the decoder does not, is made into what both take.

use serde_json::Value;

use crate::api::schema::{Field, Shape, Table, TypeId};

/// What does not fit, if anything; types with a decoder of their own are left to it.
pub(super) fn fault(value: &mut Value, (table, id): (&Table, TypeId)) -> Option<String> {
    restore(value, &Shape::Struct(id), (table, None))
}

/// `go_type`: what Go calls the type where the table says more than its shape does.
fn restore(value: &mut Value, shape: &Shape, (table, go_type): (&Table, Option<&str>)) -> Option<String> {
    let from = match &*value {
        Value::Null => return None,
        other => kind(other),
    };
    match (shape, value) {
        (Shape::String | Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float64, value) => {
            scalar(value, shape, go_type)
        }
        (Shape::Struct(id), Value::Object(map)) => {
            let mut fields = table.get(*id).fields.iter();
            fields.find_map(|field| restore(map.get_mut(field.name.as_ref())?, &field.shape, (table, of_field(field))))
        }
        (Shape::Struct(_), _) => Some(format!("cannot restore struct from: {from}")),
        (Shape::List(list), Value::Array(items)) => {
            let of = go_type.and_then(|name| name.strip_prefix("[]"));
            items.iter_mut().find_map(|item| restore(item, &list.item, (table, of)))
        }
        (Shape::Bytes, Value::String(_)) => None,
        (Shape::List(_) | Shape::Bytes, _) => Some(format!("cannot restore slice from {from}")),
        (Shape::Map(of), Value::Object(map)) => {
            map.values_mut().find_map(|value| restore(value, &of.value, (table, None)))
        }
        (Shape::Map(_), _) => Some(format!("cannot restore map from {from}")),
        (
            Shape::IntOrString
            | Shape::Quantity
            | Shape::Time
            | Shape::MicroTime
            | Shape::Duration
            | Shape::Json
            | Shape::FieldsV1
            | Shape::SchemaOrArray(_)
            | Shape::SchemaOrBool(_)
            | Shape::SchemaOrStrings(_),
            _,
        ) => None,
    }
}

fn of_field(field: &Field) -> Option<&str> {
    field.extra.as_deref()?.go_type.as_deref()
}

/// Above this a whole number is not told from its neighbours.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Go converts numbers to texts, which is not meant, and nothing else across kinds, which it does not know.
fn scalar(value: &mut Value, shape: &Shape, go_type: Option<&str>) -> Option<String> {
    let to = match shape {
        Shape::String => "string",
        Shape::Bool => "bool",
        Shape::Int32 => "int32",
        Shape::Int64 => "int64",
        _ => "float64",
    };
    let from = kind(value);
    let refused = || Some(format!("cannot convert {from} to {}", go_type.unwrap_or(to)));
    match (&*value, shape) {
        (Value::String(_), Shape::String) | (Value::Bool(_), Shape::Bool) | (Value::Number(_), Shape::Float64) => None,
        (Value::Number(number), Shape::Int32 | Shape::Int64) => {
            if number.is_i64() {
                return None;
            }
            let Some(whole) = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < WHOLE_MAX) else {
                return refused();
            };
            // It is whole and small.
            *value = format!("{whole:.0}").parse::<i64>().map_or(Value::Null, Value::from);
            None
        }
        (Value::Number(number), Shape::String) if number.is_i64() => refused(),
        _ => Some(format!("unrecognized type: {to}")),
    }
}

/// The kind of Go value that a tree is made of.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::schema::{Field, List, ListKind, Map, Struct};

    fn of() -> (Table, TypeId) {
        let mut table = Table::default();
        let item = table.add(Struct { fields: vec![Field::plain("name", Shape::String)], ..Struct::default() });
        let list = List { item: Shape::Struct(item), kind: ListKind::Atomic, wrapped: false };
        let labels = Map { value: Shape::String, atomic: false };
        let fields = vec![
            Field::plain("number", Shape::Int32),
            Field::plain("items", Shape::List(Box::new(list))),
            Field::plain("labels", Shape::Map(Box::new(labels))),
        ];
        let spec = table.add(Struct { fields, ..Struct::default() });
        let id = table.add(Struct { fields: vec![Field::plain("spec", Shape::Struct(spec))], ..Struct::default() });
        (table, id)
    }

    #[track_caller]
    fn check(spec: Value, expected: Option<&str>) {
        let (table, id) = of();
        assert_eq!(fault(&mut json!({ "spec": spec }), (&table, id)).as_deref(), expected);
    }

    #[test]
    fn what_does_not_fit_is_told_in_the_words_of_the_converter() {
        check(json!([]), Some("cannot restore struct from: slice"));
        check(json!({"number": "x"}), Some("unrecognized type: int32"));
        check(json!({"number": 1.5}), Some("cannot convert float64 to int32"));
        check(json!({"number": 2.0, "x": 1}), None);
        check(json!({"labels": []}), Some("cannot restore map from slice"));
        check(json!({"items": {}}), Some("cannot restore slice from map"));
        check(json!({"items": [{"name": 1}]}), Some("cannot convert int64 to string"));
        check(json!({"items": [{"name": true}]}), Some("unrecognized type: string"));
        check(json!({"items": [{"name": null}]}), None);
    }
}
