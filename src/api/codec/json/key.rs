//! Keys of objects. Those of YAML may be what no JSON has: nothing, lists and maps. They go through the tree as texts
//! that say what they were, so that the value is known when they are refused in upstream's words.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Tree, Twice};

/// The key of an object; in YAML it may be any scalar.
pub(super) struct Key(pub String);

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(Key(key.to_owned()))
    }

    fn visit_string<E>(self, key: String) -> Result<Key, E> {
        Ok(Key(key))
    }

    fn visit_bool<E>(self, key: bool) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_i64<E>(self, key: i64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_u64<E>(self, key: u64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_f64<E>(self, key: f64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Key, E> {
        Ok(Key(keep(&Value::Null)))
    }

    fn visit_none<E>(self) -> Result<Key, E> {
        Ok(Key(keep(&Value::Null)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Key, A::Error> {
        let tree = Tree { found: &mut Vec::new(), twice: Twice::Replaces }.visit_seq(items)?;
        Ok(Key(keep(&tree)))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Key, A::Error> {
        let tree = Tree { found: &mut Vec::new(), twice: Twice::Replaces }.visit_map(entries)?;
        Ok(Key(keep(&tree)))
    }
}

/// What no key that was written can begin with by chance.
const MARK: &str = "\u{0}odd key\u{0}";

/// The text that stands for a key.
fn keep(key: &Value) -> String {
    if key.is_null() { MARK.to_owned() } else { format!("{MARK}{}", go_syntax(key)) }
}

/// What upstream says of the first such key of a tree.
pub(in crate::api::codec) fn fault(tree: &Value) -> Option<String> {
    collection(tree).or_else(|| nothing(tree))
}

/// go-yaml refuses collections as it reads them.
fn collection(tree: &Value) -> Option<String> {
    match tree {
        Value::Object(map) => {
            let found = map.keys().find_map(|key| kept(key)).map(|key| format!("yaml: invalid map key: {key}"));
            found.or_else(|| map.values().find_map(collection))
        }
        Value::Array(items) => items.iter().find_map(collection),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn kept(key: &str) -> Option<&str> {
    key.strip_prefix(MARK).filter(|key| !key.is_empty())
}

/// `sigs.k8s.io/yaml` finds no text for nothing.
fn nothing(tree: &Value) -> Option<String> {
    match tree {
        Value::Object(map) => {
            let told = |value: &Value| {
                let value = if value.is_null() { "<nil>".to_owned() } else { go_syntax(value) };
                format!("unsupported map key of type: %!s(<nil>), key: <nil>, value: {value}")
            };
            map.get(MARK).map(told).or_else(|| map.values().find_map(nothing))
        }
        Value::Array(items) => items.iter().find_map(nothing),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Go's `%#v` of what go-yaml makes of a node.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => crate::api::field::go_quote(text),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entries =
                map.iter().map(|(key, value)| format!("{}:{}", crate::api::field::go_quote(key), go_syntax(value)));
            format!("map[interface {{}}]interface {{}}{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
