//! Maps: their making from pairs and the insertion that comprehensions use.

use std::sync::Arc;

use super::super::error::Error;
use super::super::value::{Entries, Key, Map, Value};

pub(super) const NAMES: &[&str] = &["cel.@mapInsert"];

/// A map of pairs; the last of equal keys counts.
pub(in super::super) fn of_pairs<'a>(pairs: Vec<(Value<'a>, Value<'a>)>) -> Result<Map<'a>, Error> {
    let mut entries = Entries::new();
    for (key, value) in pairs {
        let of = Key::of(&key).ok_or_else(|| Error::new(format!("unsupported key type: {}", key.type_name())))?;
        entries.insert(of, (key, value));
    }
    Ok(Map::of(entries))
}

pub(super) fn run<'a>(_: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::Map(map), rest @ ..] = args else { return Err(Error::refused()) };
    let mut entries = match map {
        Map::Values(entries) => Arc::clone(entries),
        Map::Json { .. } => {
            let mut copy = Entries::new();
            for key in map.keys() {
                insert(&mut copy, key.clone(), map.find(&key)?.unwrap_or(Value::Null))?;
            }
            Arc::new(copy)
        }
    };
    let target = Arc::make_mut(&mut entries);
    match rest {
        [key, value] => insert(target, key.clone(), value.clone())?,
        [Value::Map(more)] => {
            for key in more.keys() {
                let value = more.find(&key)?.unwrap_or(Value::Null);
                insert(target, key, value)?;
            }
        }
        _ => return Err(Error::refused()),
    }
    Ok(Value::Map(Map::Values(entries)))
}

fn insert<'a>(entries: &mut Entries<'a>, key: Value<'a>, value: Value<'a>) -> Result<(), Error> {
    let of = Key::of(&key).ok_or_else(Error::refused)?;
    if entries.contains_key(&of) {
        return Err(Error::new(format!("insert failed: key {key} already exists")));
    }
    entries.insert(of, (key, value));
    Ok(())
}
