//! From a tree to the wire, in the order and with the zero values of gogo's generated code: every field that is no
//! Go pointer, slice or map is written, whatever `omitempty` says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::super::Error;
use super::super::json::kind_of;
use super::raw_json;
use super::wire::Backwards;
use crate::api::schema::{Field, Shape, Struct, Table, TypeId};
use crate::api::time::{GoDuration, Precision, Time};

pub(super) fn message(value: &Value, table: &Table, id: TypeId) -> Result<Vec<u8>, Error> {
    let mut walk = Walk { table, out: Backwards::with_capacity(1024) };
    walk.message(value, id)?;
    Ok(walk.out.finish())
}

struct Walk<'t> {
    table: &'t Table,
    out: Backwards,
}

impl<'t> Walk<'t> {
    fn message(&mut self, value: &Value, id: TypeId) -> Result<(), Error> {
        let empty = Map::new();
        let map = match value {
            Value::Object(map) => map,
            Value::Null => &empty,
            other => return Err(unfit(other, &self.table.get(id).name)),
        };
        let table: &'t Table = self.table;
        self.level(map, (table.get(id), table.wire_order(id)), 0)
    }

    /// Writes the fields of one message, last first; those behind an embedded message as a message of their own.
    fn level(&mut self, map: &Map<String, Value>, (of, order): (&Struct, &[u16]), depth: usize) -> Result<(), Error> {
        let mut rest = order;
        while let Some((last, _)) = rest.split_last() {
            let field = &of.fields[usize::from(*last)];
            let path = field.proto.path();
            if path.get(depth + 1).is_none_or(|deeper| *deeper == 0) {
                self.field(map.get(field.name.as_ref()), field, path[depth])?;
                rest = &rest[..rest.len() - 1];
                continue;
            }
            let same = |place: &u16| of.fields[usize::from(*place)].proto.path()[depth] == path[depth];
            let start = rest.iter().rposition(|place| !same(place)).map_or(0, |at| at + 1);
            let mark = self.out.mark();
            self.level(map, (of, &rest[start..]), depth + 1)?;
            self.out.close(path[depth], mark);
            rest = &rest[..start];
        }
        Ok(())
    }

    fn field(&mut self, value: Option<&Value>, field: &Field, tag: u32) -> Result<(), Error> {
        let value = value.unwrap_or(&Value::Null);
        if value.is_null() && (field.pointer || matches!(field.shape, Shape::List(_) | Shape::Map(_) | Shape::Bytes)) {
            return Ok(());
        }
        match (&field.shape, value) {
            (Shape::List(list), Value::Array(items)) if !list.wrapped => {
                items.iter().rev().try_for_each(|item| self.value(item, &list.item, tag))
            }
            (Shape::Map(of), Value::Object(entries)) => {
                for (key, value) in entries.iter().rev() {
                    let mark = self.out.mark();
                    self.value(value, &of.value, 2)?;
                    self.out.bytes(1, key.as_bytes());
                    self.out.close(tag, mark);
                }
                Ok(())
            }
            (shape, value) => self.value(value, shape, tag),
        }
        .map_err(|e| Error::new(format!("{}: {e}", field.name)))
    }

    fn value(&mut self, value: &Value, shape: &Shape, tag: u32) -> Result<(), Error> {
        match (shape, value) {
            (Shape::String, Value::String(text)) => self.out.bytes(tag, text.as_bytes()),
            (Shape::String, Value::Null) => self.out.bytes(tag, b""),
            (Shape::Bool, Value::Bool(on)) => self.out.integer(tag, u64::from(*on)),
            (Shape::Int32 | Shape::Int64, Value::Number(number)) => {
                let number = number.as_i64().ok_or_else(|| unfit(value, "integer"))?;
                self.out.integer(tag, number.cast_unsigned());
            }
            (Shape::Bool | Shape::Int32 | Shape::Int64, Value::Null) => self.out.integer(tag, 0),
            (Shape::Float64, Value::Number(number)) => self.out.float(tag, number.as_f64().unwrap_or_default()),
            (Shape::Float64, Value::Null) => self.out.float(tag, 0.0),
            (Shape::Bytes, Value::String(text)) => {
                let bytes = BASE64.decode(text).map_err(|_| Error::new("illegal base64 data"))?;
                self.out.bytes(tag, &bytes);
            }
            (Shape::Bytes, Value::Null) => {}
            (shape, value) => {
                let mark = self.out.mark();
                self.nested(value, shape)?;
                self.out.close(tag, mark);
            }
        }
        Ok(())
    }

    /// The fields of a value that is a message on the wire.
    fn nested(&mut self, value: &Value, shape: &Shape) -> Result<(), Error> {
        match (shape, value) {
            (Shape::Struct(id), value) => self.message(value, *id)?,
            (Shape::IntOrString, Value::String(text)) => {
                self.out.bytes(3, text.as_bytes());
                self.out.integer(2, 0);
                self.out.integer(1, 1);
            }
            (Shape::IntOrString, Value::Number(_) | Value::Null) => {
                self.out.bytes(3, b"");
                self.out.integer(2, value.as_i64().unwrap_or(0).cast_unsigned());
                self.out.integer(1, 0);
            }
            (Shape::Quantity, Value::String(text)) => self.out.bytes(1, text.as_bytes()),
            (Shape::Quantity, Value::Null) => self.out.bytes(1, b"0"),
            (Shape::Time | Shape::MicroTime | Shape::List(_), Value::Null) => {}
            (Shape::Time, Value::String(text)) => self.time(text, Precision::Seconds)?,
            (Shape::MicroTime, Value::String(text)) => self.time(text, Precision::Micros)?,
            (Shape::Duration, Value::String(text)) => {
                let duration = GoDuration::parse(text).map_err(Error::new)?;
                self.out.integer(1, duration.0.cast_unsigned());
            }
            (Shape::Duration, Value::Null) => self.out.integer(1, 0),
            (Shape::Json | Shape::FieldsV1, Value::Null) => {}
            (Shape::Json | Shape::FieldsV1, value) => self.out.bytes(1, &raw_json(value)),
            (Shape::List(list), Value::Array(items)) => {
                items.iter().rev().try_for_each(|item| self.value(item, &list.item, 1))?;
            }
            (Shape::SchemaOrArray(_) | Shape::SchemaOrBool(_) | Shape::SchemaOrStrings(_), value) => {
                self.schema_or(value, shape)?;
            }
            (shape, value) => return Err(unfit(value, &format!("{shape:?}"))),
        }
        Ok(())
    }

    fn time(&mut self, text: &str, precision: Precision) -> Result<(), Error> {
        let time = Time::parse(text, precision).map_err(Error::new)?;
        let nanos = match precision {
            Precision::Seconds => 0,
            Precision::Micros => time.nanos / 1000 * 1000,
        };
        self.out.integer(2, nanos.into());
        self.out.integer(1, time.seconds.cast_unsigned());
        Ok(())
    }

    fn schema_or(&mut self, value: &Value, shape: &Shape) -> Result<(), Error> {
        match (shape, value) {
            (Shape::SchemaOrBool(_), Value::Bool(on)) => self.out.integer(1, u64::from(*on)),
            (Shape::SchemaOrBool(id), value) => {
                let mark = self.out.mark();
                self.message(value, *id)?;
                self.out.close(2, mark);
                self.out.integer(1, 1);
            }
            (Shape::SchemaOrArray(id), Value::Array(items)) => {
                let shape = Shape::Struct(*id);
                items.iter().rev().try_for_each(|item| self.value(item, &shape, 2))?;
            }
            (Shape::SchemaOrStrings(_), Value::Array(items)) => {
                items.iter().rev().try_for_each(|item| self.value(item, &Shape::String, 2))?;
            }
            (Shape::SchemaOrArray(id) | Shape::SchemaOrStrings(id), value) => {
                let mark = self.out.mark();
                self.message(value, *id)?;
                self.out.close(1, mark);
            }
            (_, other) => return Err(unfit(other, "schema")),
        }
        Ok(())
    }
}

fn unfit(value: &Value, wanted: &str) -> Error {
    Error::new(format!("{} in place of {wanted}", kind_of(value)))
}
