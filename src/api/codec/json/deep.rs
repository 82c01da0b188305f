//! JSON that nests deeply: read without recursion. Only for texts in which `scan` finds no fault, and only where there
//! is room for what comes out.

use serde_json::{Map, Value};

use super::{STRICT_ERRORS_MAX, Step, Twice, join, scan};
use crate::base::room;

/// What the reader without a bound on depth gives; `None` for a text that nests too deeply or where there is no room.
pub(super) fn tree(bytes: &[u8], depth_max: usize) -> Option<Value> {
    if scan::syntax_error(bytes, depth_max).is_some() || !room::may_nest_deeply() {
        return None;
    }
    read(bytes, Twice::Replaces, &mut Vec::new()).ok()
}

/// How deep a tree nests; found without recursion.
pub fn depth(value: &Value) -> usize {
    let (mut deepest, mut open) = (0, vec![(value, 0)]);
    while let Some((value, above)) = open.pop() {
        let level = match value {
            Value::Array(items) => {
                open.extend(items.iter().map(|item| (item, above + 1)));
                above + 1
            }
            Value::Object(map) => {
                open.extend(map.values().map(|value| (value, above + 1)));
                above + 1
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => above,
        };
        deepest = deepest.max(level);
    }
    deepest
}

/// A container that is not closed yet; of an object also the key whose value is read.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// Reads a text without a fault.
///
/// # Errors
/// For a number that is out of range.
pub(super) fn read(bytes: &[u8], twice: Twice, found: &mut Vec<Vec<Step>>) -> serde_json::Result<Value> {
    let mut reader = Reader { bytes, at: 0, open: Vec::new(), twice, found, whole: Value::Null };
    while let Some(&byte) = bytes.get(reader.at) {
        reader.take(byte)?;
    }
    Ok(reader.whole)
}

struct Reader<'a, 'f> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<Open>,
    twice: Twice,
    found: &'f mut Vec<Vec<Step>>,
    whole: Value,
}

impl Reader<'_, '_> {
    fn take(&mut self, byte: u8) -> serde_json::Result<()> {
        match byte {
            b'{' => self.open.push(Open::Map(Map::new(), None)),
            b'[' => self.open.push(Open::List(Vec::new())),
            b'}' | b']' => match self.open.pop() {
                Some(Open::Map(map, _)) => self.put(Value::Object(map)),
                Some(Open::List(items)) => self.put(Value::Array(items)),
                None => {}
            },
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => {}
            b'"' => return self.text(),
            _ => {
                let rest = &self.bytes[self.at..];
                let end = rest.iter().position(|b| b" \t\r\n,]}".contains(b)).unwrap_or(rest.len());
                self.at += end;
                self.put(serde_json::from_slice(&rest[..end])?);
                return Ok(());
            }
        }
        self.at += 1;
        Ok(())
    }

    fn text(&mut self) -> serde_json::Result<()> {
        let rest = &self.bytes[self.at..];
        let mut end = 1;
        while rest.get(end).is_some_and(|b| *b != b'"') {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        let text: String = serde_json::from_slice(&rest[..=end.min(rest.len() - 1)])?;
        self.at += end + 1;
        match self.open.last_mut() {
            Some(Open::Map(map, key @ None)) => {
                let again = map.contains_key(&text);
                *key = Some(text);
                if again && self.twice == Twice::Joins && self.found.len() < STRICT_ERRORS_MAX {
                    self.found.push(self.path());
                }
            }
            Some(Open::Map(..) | Open::List(_)) | None => self.put(Value::String(text)),
        }
        Ok(())
    }

    /// From the value that is read upwards.
    fn path(&self) -> Vec<Step> {
        let step = |open: &Open| match open {
            Open::List(items) => Step::Index(items.len()),
            Open::Map(_, key) => Step::Key(key.clone().unwrap_or_default()),
        };
        self.open.iter().rev().map(step).collect()
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.whole = value,
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(map, key)) => {
                let key = key.take().unwrap_or_default();
                match (map.get_mut(&key), value) {
                    (Some(Value::Object(first)), Value::Object(second)) if self.twice == Twice::Joins => {
                        join(first, second);
                    }
                    (_, value) => drop(map.insert(key, value)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_counts_containers() {
        assert_eq!(depth(&json!(1)), 0);
        assert_eq!(depth(&json!([])), 1);
        assert_eq!(depth(&json!({"a": [1, {"b": 1}], "c": []})), 3);
    }

    #[test]
    fn it_reads_what_the_usual_reader_reads() {
        for text in [
            r#" [ ] "#,
            r#"{"a": -1.5e3, "b":[true,false , null,"x\\\"]}\u00e9"], "c":{"d":{}}, "e" : 18446744073709551615}"#,
            r#"{"a":{"x":1},"b":[{"c":{"d":1,"d":2}}],"a":{"y":[2]}}"#,
            "17",
            r#""x""#,
        ] {
            let mut found = Vec::new();
            let value = read(text.as_bytes(), Twice::Joins, &mut found).unwrap();
            let usual = crate::api::codec::json::decode(text.as_bytes()).unwrap();
            assert_eq!(crate::api::codec::json::decoded(value, &found), usual, "{text}");
        }
    }
}
