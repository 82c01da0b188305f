//! From the wire to a tree. The tree is raw: zero values are there, what Go always writes may not be; `normalise`
//! brings it into the stored form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value};

use super::super::{Error, json};
use super::DEPTH_MAX;
use super::wire::{Kind, Reader};
use crate::api::schema::{Field, Shape, Struct, Table, TypeId};
use crate::api::time::{GoDuration, Precision, Time};
use crate::base::room;

pub(super) fn message(raw: &[u8], table: &Table, id: TypeId) -> Result<Value, Error> {
    let mut out = Map::new();
    Walk { table, depth: 0 }.object(raw, Level { of: table.get(id), prefix: [0; 2] }, &mut out)?;
    Ok(Value::Object(out))
}

/// A message: that of a struct, or of one of the Go structs embedded in it.
#[derive(Clone, Copy)]
struct Level<'a> {
    of: &'a Struct,
    /// The tags of the embedded messages that lead here.
    prefix: [u32; 2],
}

struct Walk<'t> {
    table: &'t Table,
    depth: usize,
}

impl Walk<'_> {
    /// Reads the fields of one message.
    fn object(&mut self, raw: &[u8], at: Level<'_>, out: &mut Map<String, Value>) -> Result<(), Error> {
        let Level { of, prefix } = at;
        let level = prefix.iter().take_while(|t| **t != 0).count();
        let mut reader = Reader::new(raw);
        while let Some((tag, kind)) = reader.key(short_name(of))? {
            let on_the_way = |f: &&Field| {
                let path = f.proto.path();
                f.proto.tag != 0 && path[level] == tag && path[..level] == prefix[..level]
            };
            let Some(field) = of.fields.iter().find(on_the_way) else {
                reader.skip(kind)?;
                continue;
            };
            fits(field, kind)?;
            if field.proto.path().get(level + 1).is_some_and(|deeper| *deeper != 0) {
                let mut inner = prefix;
                inner[level] = tag;
                self.object(reader.bytes(kind)?, Level { of, prefix: inner }, out)?;
            } else {
                self.field(&mut reader, (field, kind), out)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        reader: &mut Reader<'_>,
        (field, kind): (&Field, Kind),
        out: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        match &field.shape {
            Shape::List(list) if !list.wrapped => {
                let Value::Array(items) = slot(out, &field.name, || Value::Array(Vec::new())) else { return Ok(()) };
                let packable = matches!(list.item, Shape::Int32 | Shape::Int64 | Shape::Bool);
                if packable && kind == Kind::Bytes {
                    let mut packed = Reader::new(reader.bytes(kind)?);
                    while !packed.is_empty() {
                        items.push(self.value(&mut packed, Kind::Varint, &list.item)?);
                    }
                } else {
                    items.push(self.value(reader, kind, &list.item)?);
                }
            }
            Shape::Map(map) => {
                let (key, value) = self.entry(reader.bytes(kind)?, &map.value)?;
                if let Value::Object(entries) = slot(out, &field.name, || Value::Object(Map::new())) {
                    entries.insert(key, value);
                }
            }
            // A message that stands twice is merged.
            Shape::Struct(id) => {
                let raw = reader.bytes(kind)?;
                if let Value::Object(inner) = slot(out, &field.name, || Value::Object(Map::new())) {
                    self.nested(raw, *id, inner)?;
                }
            }
            shape => {
                let value = self.value(reader, kind, shape)?;
                out.insert(field.name.clone().into_owned(), value);
            }
        }
        Ok(())
    }

    fn nested(&mut self, raw: &[u8], id: TypeId, out: &mut Map<String, Value>) -> Result<(), Error> {
        if self.depth >= DEPTH_MAX || (self.depth >= room::SHALLOW_MAX && !room::may_nest_deeply()) {
            return Err(Error::new("proto: exceeded max depth"));
        }
        self.depth += 1;
        let table = self.table;
        let outcome = self.object(raw, Level { of: table.get(id), prefix: [0; 2] }, out);
        self.depth -= 1;
        outcome
    }

    fn nested_value(&mut self, raw: &[u8], id: TypeId) -> Result<Value, Error> {
        let mut out = Map::new();
        self.nested(raw, id, &mut out)?;
        Ok(Value::Object(out))
    }

    fn entry(&mut self, raw: &[u8], shape: &Shape) -> Result<(String, Value), Error> {
        let mut reader = Reader::new(raw);
        // Without a value, slices are empty in Go and not nil; `normalise` gives the other shapes their zero.
        let absent = match shape {
            Shape::List(_) => Value::Array(Vec::new()),
            Shape::Bytes => Value::String(String::new()),
            _ => Value::Null,
        };
        let (mut key, mut value) = (String::new(), absent);
        while let Some((tag, kind)) = reader.key("Entry")? {
            match tag {
                1 => key = reader.text(kind)?,
                2 => value = self.value(&mut reader, kind, shape)?,
                _ => reader.skip(kind)?,
            }
        }
        Ok((key, value))
    }

    /// One value; lists here are those that are messages of their own.
    fn value(&mut self, reader: &mut Reader<'_>, kind: Kind, shape: &Shape) -> Result<Value, Error> {
        Ok(match shape {
            Shape::String => Value::String(reader.text(kind)?),
            Shape::Bool => Value::Bool(reader.integer(kind)? != 0),
            Shape::Int32 => Value::from(low_32(reader.integer(kind)?)),
            Shape::Int64 => Value::from(reader.integer(kind)?.cast_signed()),
            Shape::Float64 => {
                let float = f64::from_bits(reader.fixed64(kind)?);
                Number::from_f64(float).map_or(Value::Null, Value::Number)
            }
            Shape::Bytes => Value::String(BASE64.encode(reader.bytes(kind)?)),
            Shape::Struct(id) => self.nested_value(reader.bytes(kind)?, *id)?,
            Shape::IntOrString => int_or_string(reader.bytes(kind)?)?,
            Shape::Quantity => Value::String(first_text(reader.bytes(kind)?)?),
            Shape::Time => time(reader.bytes(kind)?, Precision::Seconds)?,
            Shape::MicroTime => time(reader.bytes(kind)?, Precision::Micros)?,
            Shape::Duration => {
                Value::String(GoDuration(numbers(reader.bytes(kind)?, "Duration")?[0].cast_signed()).to_string())
            }
            Shape::Json | Shape::FieldsV1 => raw_json(reader.bytes(kind)?)?,
            Shape::SchemaOrArray(id) | Shape::SchemaOrBool(id) | Shape::SchemaOrStrings(id) => {
                self.schema_or(reader.bytes(kind)?, shape, *id)?
            }
            Shape::List(list) => {
                let mut items = Vec::new();
                let mut reader = Reader::new(reader.bytes(kind)?);
                while let Some((tag, kind)) = reader.key("ExtraValue")? {
                    if tag == 1 { items.push(self.value(&mut reader, kind, &list.item)?) } else { reader.skip(kind)? }
                }
                Value::Array(items)
            }
            Shape::Map(_) => return Err(Error::new("proto: maps of maps do not exist")),
        })
    }

    /// `{schema = 1, others = 2}`; of `…OrBool` it is `{allows = 1, schema = 2}`.
    fn schema_or(&mut self, raw: &[u8], shape: &Shape, id: TypeId) -> Result<Value, Error> {
        let mut reader = Reader::new(raw);
        let (mut schema, mut allows, mut others) = (None, false, Vec::new());
        while let Some((tag, kind)) = reader.key("JSONSchemaProps")? {
            match (tag, shape) {
                (1, Shape::SchemaOrBool(_)) => allows = reader.integer(kind)? != 0,
                (1, _) | (2, Shape::SchemaOrBool(_)) => schema = Some(self.nested_value(reader.bytes(kind)?, id)?),
                (2, Shape::SchemaOrStrings(_)) => others.push(Value::String(reader.text(kind)?)),
                (2, _) => others.push(self.nested_value(reader.bytes(kind)?, id)?),
                (_, _) => reader.skip(kind)?,
            }
        }
        Ok(match (schema, shape) {
            (Some(schema), _) => schema,
            (None, Shape::SchemaOrBool(_)) => Value::Bool(allows),
            (None, _) => Value::Array(others),
        })
    }
}

/// What Go calls a struct.
fn short_name(of: &Struct) -> &str {
    of.name.rsplit('.').next().unwrap_or_default()
}

/// Whether a field is laid out as its type is.
fn fits(field: &Field, kind: Kind) -> Result<(), Error> {
    let layout = |shape: &Shape| match shape {
        Shape::Bool | Shape::Int32 | Shape::Int64 => Kind::Varint,
        Shape::Float64 => Kind::Fixed64,
        _ => Kind::Bytes,
    };
    let wanted = match &field.shape {
        // Numbers may stand one by one or all together.
        Shape::List(list) if !list.wrapped && kind != Kind::Bytes => layout(&list.item),
        Shape::List(_) => Kind::Bytes,
        shape => layout(shape),
    };
    // Fields of embedded structs are in a message of their own.
    let wanted = if field.proto.via == 0 { wanted } else { kind };
    if kind == wanted {
        return Ok(());
    }
    let mut letters = field.name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let name = match field.name.as_ref() {
        "metadata" if matches!(&field.shape, Shape::Struct(_)) => "ObjectMeta".to_owned(),
        _ => first.into_iter().chain(letters).collect(),
    };
    Err(Error::new(format!("proto: wrong wireType = {} for field {name}", kind.number())))
}

/// The value of a key, made where it is absent; the key is copied only then.
fn slot<'m>(out: &'m mut Map<String, Value>, key: &str, make: fn() -> Value) -> &'m mut Value {
    if !out.contains_key(key) {
        out.insert(key.to_owned(), make());
    }
    &mut out[key]
}

fn low_32(value: u64) -> i32 {
    let bytes = value.to_le_bytes();
    i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The integers with the tags 1 and 2.
fn numbers(raw: &[u8], of: &str) -> Result<[u64; 2], Error> {
    let mut reader = Reader::new(raw);
    let mut out = [0; 2];
    while let Some((tag, kind)) = reader.key(of)? {
        match tag {
            1 => out[0] = reader.integer(kind)?,
            2 => out[1] = reader.integer(kind)?,
            _ => reader.skip(kind)?,
        }
    }
    Ok(out)
}

fn first_text(raw: &[u8]) -> Result<String, Error> {
    let mut reader = Reader::new(raw);
    let mut out = String::new();
    while let Some((tag, kind)) = reader.key("Quantity")? {
        if tag == 1 { out = reader.text(kind)? } else { reader.skip(kind)? }
    }
    Ok(out)
}

fn time(raw: &[u8], precision: Precision) -> Result<Value, Error> {
    // An empty message is Go's zero time, an explicit 0 is the year 1970.
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    let [seconds, nanos] = numbers(raw, "Timestamp")?;
    let seconds = seconds.cast_signed();
    if !(Time::ZERO.seconds..253_402_300_800).contains(&seconds) {
        // Upstream takes it and fails to write it as JSON.
        return Err(Error::new("Time.MarshalJSON: year outside of range [0,9999]"));
    }
    let nanos = match precision {
        Precision::Seconds => 0,
        Precision::Micros => u32::try_from(nanos).unwrap_or(0).min(999_999_999),
    };
    Ok(Value::String(Time { seconds, nanos }.format(precision)))
}

fn int_or_string(raw: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(raw);
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    while let Some((tag, kind)) = reader.key("IntOrString")? {
        match tag {
            1 => is_text = reader.integer(kind)? != 0,
            2 => number = low_32(reader.integer(kind)?),
            3 => text = reader.text(kind)?,
            _ => reader.skip(kind)?,
        }
    }
    Ok(if is_text { Value::String(text) } else { Value::from(number) })
}

fn raw_json(raw: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(raw);
    let mut out = Value::Null;
    while let Some((tag, kind)) = reader.key("RawExtension")? {
        match tag {
            1 => {
                let bytes = reader.bytes(kind)?;
                out = if bytes.is_empty() { Value::Null } else { json::decode(bytes)?.value };
            }
            _ => reader.skip(kind)?,
        }
    }
    Ok(out)
}
