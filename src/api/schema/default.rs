//! Static defaults: what upstream's `+default=` markers say, applied to a normalised tree before a type's own
//! defaulting.

use serde_json::{Map, Value};

use super::decode::zero;
use super::{Field, Shape, Table, TypeId};

/// Gives every field that is absent or zero its static default, down to the innermost struct that is present. A
/// default that is the zero value itself makes a field only where the Go field is a pointer.
pub fn apply(object: &mut Map<String, Value>, table: &Table, id: TypeId) {
    for field in table.with_defaults(id) {
        if let Some(default) = field.default().filter(|d| !d.is_null()) {
            give(object, table, field, default);
        }
        if let Some(value) = object.get_mut(field.name.as_ref()) {
            descend(value, table, &field.shape);
        }
    }
}

fn give(object: &mut Map<String, Value>, table: &Table, field: &Field, default: &Value) {
    let present = object.get(field.name.as_ref());
    let unset = match present {
        None | Some(Value::Null) => true,
        Some(value) => !field.pointer && *value == zero(table, field),
    };
    let of_effect = field.pointer || *default != zero(table, field);
    // A struct that is no pointer is there already; its own fields have their own defaults.
    let makes_struct = matches!(field.shape, Shape::Struct(_)) && !field.pointer;
    if unset && of_effect && !makes_struct {
        object.insert(field.name.clone().into_owned(), default.clone());
    }
}

fn descend(value: &mut Value, table: &Table, shape: &Shape) {
    match (shape, value) {
        (Shape::Struct(id), Value::Object(map)) => apply(map, table, *id),
        (Shape::List(list), Value::Array(items)) => items.iter_mut().for_each(|i| descend(i, table, &list.item)),
        (Shape::Map(map), Value::Object(entries)) => {
            entries.values_mut().for_each(|v| descend(v, table, &map.value));
        }
        (_, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::schema::{Extra, List, ListKind, Struct};

    fn field(name: &'static str, shape: Shape, default: Value) -> Field {
        let extra = Some(Box::new(Extra { default: Some(default), ..Extra::default() }));
        Field { extra, ..Field::plain(name, shape) }
    }

    #[test]
    fn defaults_fill_what_is_unset_and_make_no_structs() {
        let mut table = Table::default();
        let port = table.add(Struct {
            fields: vec![
                field("protocol", Shape::String, json!("TCP")),
                field("name", Shape::String, json!("")),
                Field { pointer: true, ..field("optional", Shape::Bool, json!(false)) },
            ],
            ..Struct::default()
        });
        let items = List { item: Shape::Struct(port), kind: ListKind::Atomic, wrapped: false };
        let id = table.add(Struct {
            fields: vec![
                field("ports", Shape::List(Box::new(items)), Value::Null),
                field("inner", Shape::Struct(port), json!({})),
            ],
            ..Struct::default()
        });
        let mut value = json!({"ports": [{}, {"protocol": "UDP", "optional": true}]});
        apply(value.as_object_mut().unwrap(), &table, id);
        let expected =
            json!({"ports": [{"protocol": "TCP", "optional": false}, {"protocol": "UDP", "optional": true}]});
        assert_eq!(value, expected);
    }
}
