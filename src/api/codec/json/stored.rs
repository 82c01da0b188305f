//! Reads a stored object that is about to be changed: as a tree, apart from the sets of fields in its `managedFields`,
//! which stay the texts that they are (`api::apply` reads and writes those as they are, and few are changed).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A stored object as a tree, `fieldsV1` as texts.
///
/// # Errors
/// When the text is no JSON object, or nests too deeply for this way of reading it.
pub fn read_stored(bytes: &[u8]) -> serde_json::Result<Map<String, Value>> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = Level::Object.deserialize(&mut source)?;
    source.end()?;
    match value {
        Value::Object(root) => Ok(root),
        _ => Err(serde::de::Error::custom("an object is expected")),
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
    Entries,
    Entry,
}

impl Level {
    /// What stands under a key, where that is read in a way of its own.
    fn below(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::Object, "metadata") => Some(Self::Metadata),
            (Self::Metadata, "managedFields") => Some(Self::Entries),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stored object")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(Self::Entry)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = match (self, self.below(&key)) {
                (_, Some(below)) => entries.next_value_seed(below)?,
                (Self::Entry, None) if key == "fieldsV1" => {
                    let text: &RawValue = entries.next_value()?;
                    Value::String(text.get().to_owned())
                }
                _ => entries.next_value()?,
            };
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_of_fields_stay_texts_and_all_else_becomes_a_tree() {
        let text =
            br#"{"metadata":{"name":"a","managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}]},"spec":{"x":[1]}}"#;
        let entry = json!({"manager": "m", "fieldsV1": "{\"f:a\":{}}"});
        let expected = json!({"metadata": {"name": "a", "managedFields": [entry]}, "spec": {"x": [1]}});
        assert_eq!(Value::Object(read_stored(text).unwrap()), expected);
        assert!(read_stored(b"[]").is_err());
    }
}
