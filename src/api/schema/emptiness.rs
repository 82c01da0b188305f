//! What a value loses when it is stored: upstream's encoding does not tell empty lists and maps from those that are not
//! there, so that fields that are always written become null.

use serde_json::{Map, Value};

use super::{Field, Shape, Table, TypeId};

/// Makes the empty lists and maps of a type's tree null, where null is written.
pub fn forget(tree: &mut Map<String, Value>, table: &Table, id: TypeId) {
    for field in table.keeping_empty(id) {
        let Some(value) = tree.get_mut(field.name.as_ref()) else { continue };
        if is_forgotten(field) && is_empty(value) {
            *value = Value::Null;
        } else {
            forget_in(value, &field.shape, table);
        }
    }
}

fn forget_in(value: &mut Value, shape: &Shape, table: &Table) {
    match (shape, value) {
        (Shape::Struct(id), Value::Object(tree)) => forget(tree, table, *id),
        (Shape::List(list), Value::Array(items)) if list.item.struct_inside().is_some() => {
            items.iter_mut().for_each(|item| forget_in(item, &list.item, table));
        }
        (Shape::Map(map), Value::Object(entries)) if map.value.struct_inside().is_some() => {
            entries.values_mut().for_each(|value| forget_in(value, &map.value, table));
        }
        (_, _) => {}
    }
}

/// Whether a field is a list or map that is written although it is empty.
pub(super) fn is_forgotten(field: &Field) -> bool {
    !field.omit_empty && !field.pointer && matches!(field.shape, Shape::List(_) | Shape::Map(_))
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::schema::{List, ListKind, Patch, Proto, Struct};

    fn list(name: &'static str, item: Shape, omit_empty: bool) -> Field {
        Field {
            name: name.into(),
            shape: Shape::List(Box::new(List { item, kind: ListKind::Atomic, wrapped: false })),
            pointer: false,
            omit_empty,
            required: false,
            proto: Proto::default(),
            patch: Patch::default(),
            extra: None,
        }
    }

    #[test]
    fn empty_lists_that_are_always_written_become_null() {
        let mut table = Table::default();
        let fields = vec![list("written", Shape::String, false), list("left", Shape::String, true)];
        let inner = table.add(Struct { fields, ..Struct::default() });
        let fields = vec![list("items", Shape::Struct(inner), true)];
        let outer = table.add(Struct { fields, ..Struct::default() });
        let mut value = json!({"items": [{"written": [], "left": []}, {"written": ["a"]}]});
        forget(value.as_object_mut().unwrap(), &table, outer);
        assert_eq!(value, json!({"items": [{"written": null, "left": []}, {"written": ["a"]}]}));
    }
}
