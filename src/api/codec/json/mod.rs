//! JSON in and out, as Go's `encoding/json` and `sigs.k8s.io/json` read and write it: case-sensitive keys, duplicate
//! keys reported, HTML characters escaped, struct fields in the order of the Go type.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Decoded, Error, STRICT_ERRORS_MAX};
use crate::api::schema::{Shape, Struct, Table, TypeId};
use crate::base::room;

mod cursor;
mod deep;
mod key;
mod literals;
mod order;
mod pretty;
mod scan;
mod sieve;
mod stored;
mod touched;
mod twice;

pub(in crate::api::codec) use cursor::odd;
pub use cursor::{Cursor, Quoted, member};
pub use deep::depth;
pub(super) use key::fault as odd_key_fault;
pub use literals::with_literal;
pub use order::strict_errors;
pub use pretty::pretty;
pub use sieve::Sieve;
pub use stored::read_stored;
pub use touched::encode_touched;
use twice::{join, next_key};

/// The deepest nesting that is decoded, as upstream's. Beyond `room::SHALLOW_MAX` only where there is room on the stack.
pub const DEPTH_MAX: usize = 10_000;

/// How many levels our own texts may add to what came in: a list around an object, or the fields that it owns.
const AROUND_MAX: usize = 16;

/// What is set aside for an encoded object at first.
const BODY_BYTES_USUAL: usize = 4096;

/// In which order the keys of objects are written.
#[derive(Clone, Copy)]
pub enum Layout<'a> {
    /// Fields in the order of the Go type, keys that the type does not have after them, maps sorted.
    Typed(&'a Table, TypeId),
    /// All keys sorted, as upstream writes custom resources.
    Sorted,
}

/// What a key that stands twice in one object does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Twice {
    /// Objects are joined, as Go decodes a second one into the first; anything else replaces. Its path is noted.
    Joins,
    /// The last one counts. Its line is noted, in the words of the YAML reader.
    Replaces,
}

/// Reads a JSON text into a tree.
///
/// # Errors
/// With Go's message when the text is no JSON or is nested too deeply.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Error> {
    let mut found = Vec::new();
    match read(bytes, &mut found) {
        Ok(value) => return Ok(decoded(value, &found)),
        Err(_) => found.clear(),
    }
    // The slow path: Go's message for what is wrong, or a text that Go reads and serde_json does not (invalid UTF-8,
    // surrogates that stand alone).
    if let Some(message) = scan::syntax_error(bytes, DEPTH_MAX) {
        return Err(Error::new(message));
    }
    let repaired = scan::replace_invalid_text(bytes);
    let read_again = match scan::syntax_error(bytes, room::SHALLOW_MAX) {
        None => read(repaired.as_bytes(), &mut found),
        Some(_) if room::may_nest_deeply() => deep::read(repaired.as_bytes(), Twice::Joins, &mut found),
        Some(too_deep) => return Err(Error::new(too_deep)),
    };
    match read_again {
        Ok(value) => Ok(decoded(value, &found)),
        Err(error) if error.to_string().contains("out of range") => {
            // Where the number stands nobody may want it.
            let value = read(&literals::without_huge(repaired.as_bytes()), &mut found).map_err(|_| too_large())?;
            Ok(decoded(value, &found))
        }
        Err(error) => Err(Error::new(error.to_string())),
    }
}

/// What is said of a number that nothing can hold, where everything is kept.
pub fn too_large() -> Error {
    Error::new("json: cannot unmarshal number into Go value of type float64")
}

/// Reads a JSON text of our own making into a tree. It may nest a little deeper than what came in.
///
/// # Errors
/// When the text is no JSON, nests too deeply, or deeper than there is room for.
pub fn tree(bytes: &[u8]) -> serde_json::Result<Value> {
    within(bytes, DEPTH_MAX + AROUND_MAX)
}

/// Reads a JSON text of which nobody is told what is wrong with it.
///
/// # Errors
/// As `tree`; more than `DEPTH_MAX` is too deep.
pub fn document(bytes: &[u8]) -> serde_json::Result<Value> {
    within(bytes, DEPTH_MAX)
}

fn within(bytes: &[u8], depth_max: usize) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).or_else(|error| match scan::syntax_error(bytes, room::SHALLOW_MAX) {
        Some(_) => deep::tree(bytes, depth_max).ok_or(error),
        None => Err(error),
    })
}

/// The JSON of a tree in one line, without a newline at the end.
pub fn encode(value: &Value, layout: Layout<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(BODY_BYTES_USUAL);
    append(&mut out, value, layout);
    out
}

/// The same, appended.
pub fn append(out: &mut Vec<u8>, value: &Value, layout: Layout<'_>) {
    let mut writer = Writer { out: std::mem::take(out), revision_at: None };
    writer.top(value, layout);
    *out = writer.out;
}

/// The JSON of an object for the store, with the place of the text of `metadata.resourceVersion`. When the object has
/// none, an empty text is written for it.
pub fn encode_stored(root: &Map<String, Value>, layout: Layout<'_>) -> (Vec<u8>, Range<usize>) {
    let mut writer = Writer { out: Vec::with_capacity(BODY_BYTES_USUAL), revision_at: None };
    writer.stored(root, layout);
    let at = writer.revision_at.unwrap_or(writer.out.len()..writer.out.len());
    (writer.out, at)
}

/// What Go calls the kind of a JSON value in its errors.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Bytes that stand for themselves in a JSON text. `0xe2` begins U+2028 and U+2029, which Go escapes, among others.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    let special = [b'"', b'\\', b'<', b'>', b'&', 0xe2];
    let mut at = 0;
    while at < special.len() {
        plain[special[at] as usize] = false;
        at += 1;
    }
    plain
};

/// Writes a text as a JSON string with Go's escapes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| !PLAIN[usize::from(*b)]) {
        out.extend_from_slice(&rest[..at]);
        let length = write_escape(out, &rest[at..]);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Writes what the first byte of a text that is not plain becomes; gives how many bytes that took.
fn write_escape(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short: &[u8] = match *rest {
        [0xe2, 0x80, 0xa8, ..] => {
            out.extend_from_slice(b"\\u2028");
            return 3;
        }
        [0xe2, 0x80, 0xa9, ..] => {
            out.extend_from_slice(b"\\u2029");
            return 3;
        }
        [b'"', ..] => b"\\\"",
        [b'\\', ..] => b"\\\\",
        [b'\n', ..] => b"\\n",
        [b'\r', ..] => b"\\r",
        [b'\t', ..] => b"\\t",
        [0x08, ..] => b"\\b",
        [0x0c, ..] => b"\\f",
        [0xe2, ..] => &[0xe2],
        [b, ..] => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
            return 1;
        }
        [] => return 0,
    };
    out.extend_from_slice(short);
    1
}

/// Writes a number as Go writes an `int64` or a `float64`.
pub fn write_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(integer) = number.as_i64() {
        out.extend_from_slice(itoa(integer, &mut [0; 20]));
        return;
    }
    let float = number.as_f64().unwrap_or_default();
    let size = float.abs();
    if float != 0.0 && !(1e-6..1e21).contains(&size) {
        // Rust writes 1e21 and 1e-7; Go 1e+21 and 1e-07 with the zero taken out again.
        let text = format!("{float:e}");
        let text = if text.contains("e-") { text } else { text.replace('e', "e+") };
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(format!("{float}").as_bytes());
    }
}

fn itoa(value: i64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

pub(super) fn decoded(value: Value, found: &[Vec<Step>]) -> Decoded {
    let mut duplicates: Vec<String> = Vec::new();
    for steps in found {
        if let Some(Step::Line(line, key)) = steps.first() {
            duplicates.push(format!("line {line}: key {} already set in map", crate::api::field::go_quote(key)));
            continue;
        }
        let mut path = String::new();
        for step in steps.iter().rev() {
            match step {
                Step::Line(..) => {}
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
            }
        }
        if !duplicates.contains(&path) {
            duplicates.push(path);
        }
    }
    Decoded { value, duplicates }
}

fn read(bytes: &[u8], found: &mut Vec<Vec<Step>>) -> serde_json::Result<Value> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = Tree { found, twice: Twice::Joins }.deserialize(&mut source)?;
    source.end()?;
    Ok(value)
}

pub(super) enum Step {
    Key(String),
    Index(usize),
    /// The line of a YAML text on which a key stands again; nothing follows it.
    Line(u64, String),
}

/// Builds a tree and notes duplicate keys. A path is made only when there is one, from the leaf upwards.
pub(super) struct Tree<'f> {
    pub(super) found: &'f mut Vec<Vec<Step>>,
    pub(super) twice: Twice,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        loop {
            let before = self.found.len();
            let Some(item) = items.next_element_seed(Tree { found: &mut *self.found, twice: self.twice })? else {
                break;
            };
            for path in &mut self.found[before..] {
                path.push(Step::Index(out.len()));
            }
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }

    /// YAML's `!!binary`; Go makes a text of it.
    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::String(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some((key, line)) = next_key(&mut entries, self.twice)? {
            if out.contains_key(&key) && self.found.len() < STRICT_ERRORS_MAX {
                self.found.push(vec![match self.twice {
                    Twice::Joins => Step::Key(key.clone()),
                    Twice::Replaces => Step::Line(line, key.clone()),
                }]);
            }
            let before = self.found.len();
            let value = entries.next_value_seed(Tree { found: &mut *self.found, twice: self.twice })?;
            for path in &mut self.found[before..] {
                path.push(Step::Key(key.clone()));
            }
            match (out.get_mut(&key), value) {
                (Some(Value::Object(first)), Value::Object(second)) if self.twice == Twice::Joins => {
                    join(first, second)
                }
                (_, value) => drop(out.insert(key, value)),
            }
        }
        Ok(Value::Object(out))
    }
}

struct Writer {
    out: Vec<u8>,
    revision_at: Option<Range<usize>>,
}

impl Writer {
    fn top(&mut self, value: &Value, layout: Layout<'_>) {
        match (layout, value) {
            (Layout::Typed(table, id), Value::Object(map)) => self.object(map, table, table.get(id)),
            (Layout::Typed(..) | Layout::Sorted, other) => self.plain(other),
        }
    }

    fn plain(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Number(number) => write_number(&mut self.out, number),
            Value::String(text) => write_string(&mut self.out, text),
            Value::Array(items) => self.list(items, |w, item| w.plain(item)),
            Value::Object(map) => self.map(map, |w, value| w.plain(value)),
        }
    }

    fn shaped(&mut self, value: &Value, table: &Table, shape: &Shape) {
        match (shape, value) {
            (
                Shape::Struct(id) | Shape::SchemaOrArray(id) | Shape::SchemaOrBool(id) | Shape::SchemaOrStrings(id),
                Value::Object(map),
            ) => self.object(map, table, table.get(*id)),
            (Shape::SchemaOrArray(id), Value::Array(items)) => {
                let shape = Shape::Struct(*id);
                self.list(items, |w, item| w.shaped(item, table, &shape));
            }
            (Shape::List(list), Value::Array(items)) => self.list(items, |w, item| w.shaped(item, table, &list.item)),
            (Shape::Map(of), Value::Object(map)) => self.map(map, |w, value| w.shaped(value, table, &of.value)),
            // A set of fields as its text (`api::apply`), which was made with all escapes.
            (Shape::FieldsV1, Value::String(text)) => self.out.extend_from_slice(text.as_bytes()),
            (_, other) => self.plain(other),
        }
    }

    fn list(&mut self, items: &[Value], mut each: impl FnMut(&mut Self, &Value)) {
        self.out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            each(self, item);
        }
        self.out.push(b']');
    }

    fn map(&mut self, map: &Map<String, Value>, mut each: impl FnMut(&mut Self, &Value)) {
        self.out.push(b'{');
        for (index, (key, value)) in map.iter().enumerate() {
            self.key(index == 0, key);
            each(self, value);
        }
        self.out.push(b'}');
    }

    fn key(&mut self, first: bool, key: &str) {
        if !first {
            self.out.push(b',');
        }
        write_string(&mut self.out, key);
        self.out.push(b':');
    }

    fn object(&mut self, map: &Map<String, Value>, table: &Table, of: &Struct) {
        self.out.push(b'{');
        for (index, (place, key, value)) in ordered(map, of).into_iter().enumerate() {
            match of.fields.get(place) {
                Some(field) => {
                    self.field(index == 0, key);
                    self.shaped(value, table, &field.shape);
                }
                None => {
                    self.key(index == 0, key);
                    self.plain(value);
                }
            }
        }
        self.out.push(b'}');
    }

    /// The name of a struct's field; there is nothing to escape in it.
    fn field(&mut self, first: bool, name: &str) {
        self.out.extend_from_slice(if first { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn stored(&mut self, root: &Map<String, Value>, layout: Layout<'_>) {
        let (table, id) = match layout {
            Layout::Typed(table, id) => (Some(table), Some(id)),
            Layout::Sorted => (None, None),
        };
        let of = table.zip(id).map(|(t, id)| t.get(id));
        let entries = match of {
            Some(of) => ordered(root, of),
            None => root.iter().map(|(k, v)| (usize::MAX, k.as_str(), v)).collect(),
        };
        self.out.push(b'{');
        for (index, (place, key, value)) in entries.into_iter().enumerate() {
            self.key(index == 0, key);
            let field = of.and_then(|of| of.fields.get(place));
            match (key, value, table, field) {
                ("metadata", Value::Object(metadata), _, _) => {
                    let of = match (table, field.map(|f| &f.shape)) {
                        (Some(table), Some(Shape::Struct(id))) => Some((table, table.get(*id))),
                        _ => None,
                    };
                    self.metadata(metadata, of);
                }
                (_, value, Some(table), Some(field)) => self.shaped(value, table, &field.shape),
                (_, value, _, _) => self.plain(value),
            }
        }
        self.out.push(b'}');
    }

    fn metadata(&mut self, map: &Map<String, Value>, of: Option<(&Table, &Struct)>) {
        const KEY: &str = "resourceVersion";
        let empty = Value::String(String::new());
        let mut entries = match of {
            Some((_, of)) => ordered(map, of),
            None => map.iter().map(|(k, v)| (usize::MAX, k.as_str(), v)).collect(),
        };
        if !map.contains_key(KEY) {
            let place = of.and_then(|(_, of)| of.fields.iter().position(|f| f.name == KEY)).unwrap_or(usize::MAX);
            let at = entries.partition_point(|(p, key, _)| (*p, *key) < (place, KEY));
            entries.insert(at, (place, KEY, &empty));
        }
        self.out.push(b'{');
        for (index, (place, key, value)) in entries.into_iter().enumerate() {
            self.key(index == 0, key);
            if key == KEY {
                let start = self.out.len() + 1;
                write_string(&mut self.out, value.as_str().unwrap_or_default());
                self.revision_at = Some(start..self.out.len() - 1);
                continue;
            }
            match of.and_then(|(table, of)| Some((table, of.fields.get(place)?))) {
                Some((table, field)) => self.shaped(value, table, &field.shape),
                None => self.plain(value),
            }
        }
        self.out.push(b'}');
    }
}

/// The entries of an object in the order of the type's fields; unknown keys after them, sorted.
fn ordered<'v>(map: &'v Map<String, Value>, of: &Struct) -> Vec<(usize, &'v str, &'v Value)> {
    let mut entries: Vec<(usize, &str, &Value)> = Vec::with_capacity(map.len() + 1);
    for (key, value) in map {
        let place = of.fields.iter().position(|f| f.name.len() == key.len() && f.name == *key);
        entries.push((place.unwrap_or(usize::MAX), key, value));
    }
    // Stable, so that unknown keys keep the order of the map, which is sorted.
    entries.sort_by_key(|(place, _, _)| *place);
    entries
}

#[cfg(test)]
mod tests;
