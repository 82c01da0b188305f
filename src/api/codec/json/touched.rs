//! JSON as upstream's patch libraries leave it behind: what a patch touched has its keys sorted, the rest stands in the
//! order of its Go type.

use serde_json::Value;

use super::{BODY_BYTES_USUAL, Writer};
use crate::api::schema::{Shape, Table, TypeId};

/// The JSON of a tree in which the objects that `touched` leads through have their keys sorted, and all others those of
/// their type in its order.
pub fn encode_touched(value: &Value, touched: &Value, (table, id): (&Table, TypeId)) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(BODY_BYTES_USUAL), revision_at: None };
    writer.touched(value, touched, (table, Some(&Shape::Struct(id))));
    writer.out
}

impl Writer {
    fn touched(&mut self, value: &Value, touched: &Value, (table, shape): (&Table, Option<&Shape>)) {
        match (value, touched.as_object(), shape) {
            (Value::Object(map), Some(touched), _) => {
                self.out.push(b'{');
                for (index, (key, value)) in map.iter().enumerate() {
                    self.key(index == 0, key);
                    let inner = match shape {
                        Some(Shape::Struct(id)) => table.get(*id).field(key).map(|field| &field.shape),
                        Some(Shape::Map(of)) => Some(&of.value),
                        _ => None,
                    };
                    self.touched(value, touched.get(key).unwrap_or(&Value::Null), (table, inner));
                }
                self.out.push(b'}');
            }
            (Value::Array(items), Some(touched), _) => {
                let inner = match shape {
                    Some(Shape::List(list)) => Some(&list.item),
                    _ => None,
                };
                self.out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    let touched = touched.get(&index.to_string()).unwrap_or(&Value::Null);
                    self.touched(item, touched, (table, inner));
                }
                self.out.push(b']');
            }
            // A patch puts its arrays in whole.
            (Value::Array(_), _, _) if touched.is_array() => self.plain(value),
            (value, _, Some(shape)) => self.shaped(value, table, shape),
            (value, _, None) => self.plain(value),
        }
    }
}
