//! Keys that stand twice in one object.

use serde::de::MapAccess;
use serde_json::{Map, Value};

use super::Twice;
use super::key::Key;

/// The next key, in YAML with its line.
pub(super) fn next_key<'de, A: MapAccess<'de>>(
    entries: &mut A,
    twice: Twice,
) -> Result<Option<(String, u64)>, A::Error> {
    match twice {
        Twice::Joins => Ok(entries.next_key::<Key>()?.map(|Key(key)| (key, 0))),
        Twice::Replaces => {
            let key = entries.next_key::<serde_saphyr::Spanned<Key>>()?;
            Ok(key.map(|key| (key.value.0, key.referenced.line())))
        }
    }
}

/// Decodes a second object into a first.
pub(super) fn join(first: &mut Map<String, Value>, second: Map<String, Value>) {
    for (key, value) in second {
        match (first.get_mut(&key), value) {
            (Some(Value::Object(first)), Value::Object(second)) => join(first, second),
            (_, value) => drop(first.insert(key, value)),
        }
    }
}
