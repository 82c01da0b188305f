//! `fieldsV1`: the JSON form of a `FieldSet`, read and written in upstream's order (`f:` names, `k:` keys, `v:`
//! values, `i:` indices; `.` marks a member that has members below it).

use serde_json::{Map, Value};

use super::element::{Element, Malformed};
use super::set::{FieldSet, Node};
use crate::api::codec::json;

/// Why a document is no field set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not JSON")]
    Json(#[from] serde_json::Error),
    #[error("expect {{ or n")]
    NotAnObject,
    #[error("parsing key as path element")]
    Element(#[from] Malformed),
}

impl<'a> FieldSet<'a> {
    /// Reads a document that is already a tree. Steps of unknown kinds are dropped.
    ///
    /// # Errors
    /// When it is not made of objects or a key is no step.
    pub fn from_value(value: &'a Value) -> Result<Self, Error> {
        Ok(read(value)?.0)
    }

    /// Reads a document from its text.
    ///
    /// # Errors
    /// When it is not JSON, not made of objects, or a key is no step.
    pub fn from_json(text: &str) -> Result<FieldSet<'static>, Error> {
        let value: Value = json::tree(text.as_bytes())?;
        Ok(FieldSet::from_value(&value)?.into_owned())
    }

    /// The document as a tree. The order of its keys is the tree's; `write_fields_v1` restores upstream's.
    pub fn to_value(&self) -> Value {
        let mut text = String::new();
        Value::Object(self.to_map(&mut text))
    }

    fn to_map(&self, text: &mut String) -> Map<String, Value> {
        // Made in one go from its entries, which is quicker than one by one.
        let entries = self.nodes().iter().map(|node| {
            text.clear();
            node.element.write(text);
            let key = text.as_str().to_owned();
            let mut below = node.children.to_map(text);
            if node.member && !below.is_empty() {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (key, Value::Object(below))
        });
        entries.collect()
    }

    /// The document as text, byte for byte as upstream writes it.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        let mut text = String::new();
        self.write_json(false, &mut text, &mut out);
        out
    }

    fn write_json(&self, member: bool, text: &mut String, out: &mut String) {
        out.push('{');
        let mut first = true;
        if member && !self.is_empty() {
            out.push_str("\".\":{}");
            first = false;
        }
        for node in self.nodes() {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            text.clear();
            node.element.write(text);
            write_key(text, out);
            out.push(':');
            node.children.write_json(node.member, text, out);
        }
        out.push('}');
    }
}

/// Appends a `fieldsV1` tree as JSON in upstream's order. What is no field set is written as it stands.
pub fn write_fields_v1(value: &Value, out: &mut String) {
    match (value, FieldSet::from_value(value)) {
        (Value::String(text), _) => out.push_str(text),
        (_, Ok(set)) => set.write_json(false, &mut String::new(), out),
        (_, Err(_)) => out.push_str(&value.to_string()),
    }
}

fn read(value: &Value) -> Result<(FieldSet<'_>, bool), Error> {
    let entries = match value {
        Value::Object(entries) => entries,
        Value::Null => return Ok((FieldSet::new(), true)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return Err(Error::NotAnObject),
    };
    let mut set = FieldSet::new();
    let mut member = false;
    for (key, below) in entries {
        if key == "." {
            member = true;
        } else if let Some(element) = Element::parse(key)? {
            let (children, is_member) = read(below)?;
            set.push(Node { element, member: is_member, children });
        }
    }
    // What names nothing below it names itself.
    member |= set.is_empty();
    Ok((set, member))
}

/// A key as JSON text; most hold only quotes to escape.
fn write_key(text: &str, out: &mut String) {
    out.push('"');
    if text.bytes().all(|b| b >= 0x20 && b != b'\\') {
        for (at, part) in text.split('"').enumerate() {
            if at > 0 {
                out.push_str("\\\"");
            }
            out.push_str(part);
        }
    } else {
        let quoted = Value::String(text.to_owned()).to_string();
        out.push_str(&quoted[1..quoted.len() - 1]);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_same_bytes(text: &str) {
        assert_eq!(FieldSet::from_json(text).unwrap().to_json(), text);
    }

    #[test]
    fn documents_keep_their_bytes() {
        check_same_bytes("{}");
        check_same_bytes(r#"{"f:spec":{"f:replicas":{}}}"#);
        check_same_bytes(r#"{"f:a":{".":{},"f:b":{}},"f:c":{}}"#);
        check_same_bytes(r#"{"f:l":{"k:{\"name\":\"x\"}":{".":{},"f:name":{}}}}"#);
        check_same_bytes(r#"{"f:p":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{},"k:{\"port\":443}":{}}}"#);
        check_same_bytes(r#"{"f:s":{"v:1":{},"v:2.5":{},"v:\"a\"":{},"v:true":{},"v:null":{}}}"#);
        check_same_bytes(r#"{"f:x":{},"k:{\"a\":1}":{},"v:1":{},"i:3":{}}"#);
        check_same_bytes(r#"{"f:q\"uo\\te":{},"v:\"\\u003c\\u0026\"":{}}"#);
    }

    #[test]
    fn keys_are_put_in_order_by_value_not_by_text() {
        let set = FieldSet::from_json(r#"{"k:{\"port\":443}":{},"k:{\"port\":80}":{},"f:a":{}}"#).unwrap();
        assert_eq!(set.to_json(), r#"{"f:a":{},"k:{\"port\":80}":{},"k:{\"port\":443}":{}}"#);
        let mut out = String::new();
        write_fields_v1(&set.to_value(), &mut out);
        assert_eq!(out, set.to_json());
    }

    #[test]
    fn unknown_kinds_of_steps_are_dropped_and_broken_ones_refused() {
        assert_eq!(FieldSet::from_json(r#"{"z:new":{"f:a":{}},"f:b":{}}"#).unwrap().to_json(), r#"{"f:b":{}}"#);
        for broken in
            ["[]", "1", r#"{"f":{}}"#, r#"{"fx":{}}"#, r#"{"v:{":{}}"#, r#"{"i:x":{}}"#, r#"{"f:a":1}"#, "{}{}"]
        {
            assert!(FieldSet::from_json(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in r#"(\{|\}|"|f:|k:|v:|i:|\.|,|:|[a-z0-9\\]|\[|\]|null| )*"#) {
            let _ = FieldSet::from_json(&text);
            let _ = Element::parse(&text);
        }

        #[test]
        fn what_was_written_reads_back_the_same(set in arbitrary_set()) {
            let text = set.to_json();
            let back = FieldSet::from_json(&text).unwrap();
            prop_assert_eq!(&back, &set);
            let tree = set.to_value();
            prop_assert_eq!(FieldSet::from_value(&tree).unwrap(), set.clone());
        }

        #[test]
        fn set_operations_agree_with_their_definitions(a in arbitrary_set(), b in arbitrary_set()) {
            let both = a.clone().union(b.clone());
            for path in both.paths() {
                let (in_a, in_b) = (a.has(&path.0), b.has(&path.0));
                prop_assert!(in_a || in_b);
                prop_assert_eq!(a.intersection(&b).has(&path.0), in_a && in_b);
                prop_assert_eq!(a.difference(&b).has(&path.0), in_a && !in_b);
                let covered = (1..=path.0.len()).any(|n| b.has(&path.0[..n]));
                prop_assert_eq!(a.recursive_difference(&b).has(&path.0), in_a && !covered);
            }
            prop_assert_eq!(a.meets(&b), !a.intersection(&b).is_empty());
            prop_assert_eq!(a.is_within(&b), a.difference(&b).is_empty());
            prop_assert!(a.is_within(&both) && b.is_within(&both));
            prop_assert_eq!(both.len(), a.len() + b.len() - a.intersection(&b).len());
        }
    }

    fn arbitrary_set() -> impl Strategy<Value = FieldSet<'static>> {
        let element = prop_oneof![
            "[a-c\"\\\\<]{1,2}".prop_map(|name| Element::Field(name.into())),
            any::<i8>().prop_map(|n| Element::Index(n.into())),
            "[a-b\\n]{0,2}".prop_map(|text| Element::Value(super::super::element::Scalar::Text(text.into()))),
            (0..3i64).prop_map(|n| Element::Key(vec![("id".into(), super::super::element::Scalar::Int(n))])),
        ];
        let path = prop::collection::vec(element, 1..4);
        prop::collection::vec(path, 0..8).prop_map(|paths| {
            let mut set = FieldSet::new();
            for path in paths {
                set.insert(path);
            }
            set
        })
    }
}
