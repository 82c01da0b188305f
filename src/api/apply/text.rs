//! Sets of fields as texts: the form in which they stand in the tree of an object on its way through a change. A text
//! is read and written in one go, where a tree of it would be half of the object's.

use serde_json::Value;

use super::element::{Element, write_escaped};
use super::set::{FieldSet, Node};
use crate::api::codec::json;
use crate::api::object::Object;

/// Deeper sets are read as trees.
const DEPTH_MAX: usize = 64;
const ENTRIES: [&str; 2] = ["metadata", "managedFields"];

/// The text of a set as it is stored.
pub(super) fn write(set: &FieldSet<'_>) -> String {
    let text = set.to_json();
    if text.bytes().all(|b| !matches!(b, b'<' | b'>' | b'&' | 0xe2)) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    write_escaped(&text, &mut escaped);
    escaped
}

/// The set of a text; `None` when it is none, or one that must be read as a tree.
pub(super) fn read(text: &str) -> Option<FieldSet<'_>> {
    let mut reader = Reader { rest: text };
    let (set, _) = reader.set(DEPTH_MAX)?;
    reader.rest.is_empty().then_some(set)
}

/// Makes texts of the sets of an entry of `managedFields`, as they are in what is stored.
pub(super) fn shorten(entry: &mut Value) {
    if let Some(fields @ Value::Object(_)) = entry.get_mut("fieldsV1")
        && let Ok(set) = FieldSet::from_value(fields)
    {
        *fields = Value::String(write(&set));
    }
}

/// Makes trees of the texts again: nobody else knows them.
pub fn spell_out(object: &mut Object) {
    if object.get(&ENTRIES).is_none() {
        return;
    }
    let entries = object.object_at(&["metadata"]).get_mut("managedFields").and_then(Value::as_array_mut);
    for fields in entries.into_iter().flatten().filter_map(|entry| entry.get_mut("fieldsV1")) {
        if let Value::String(text) = fields {
            *fields = json::tree(text.as_bytes()).unwrap_or_default();
        }
    }
}

/// Makes what a client sent as a text in the place of a set something that is none: texts are the server's own.
pub fn refuse_texts(tree: &mut Value) {
    let entries = tree.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for fields in entries.into_iter().flatten().filter_map(|entry| entry.get_mut("fieldsV1")) {
        if fields.is_string() {
            *fields = Value::Bool(true);
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// A set, and whether it says that what leads to it is a member itself.
    fn set(&mut self, depth: usize) -> Option<(FieldSet<'a>, bool)> {
        let depth = depth.checked_sub(1)?;
        let mut set = FieldSet::new();
        let mut member = false;
        self.take("{")?;
        if self.take("}").is_some() {
            return Some((set, true));
        }
        loop {
            let key = self.key()?;
            self.take(":")?;
            let (children, is_member) = self.set(depth)?;
            match key {
                Key::Member => member = true,
                Key::Step(element) => set.push(Node { element, member: is_member, children }),
                Key::Unknown => {}
            }
            if self.take(",").is_none() {
                self.take("}")?;
                // What names nothing below it names itself.
                member |= set.is_empty();
                return Some((set, member));
            }
        }
    }

    fn key(&mut self) -> Option<Key<'a>> {
        self.take("\"")?;
        let end = self.rest.bytes().position(|b| matches!(b, b'"' | b'\\'))?;
        if self.rest.as_bytes()[end] == b'"' {
            let (text, rest) = (&self.rest[..end], &self.rest[end + 1..]);
            self.rest = rest;
            return match text {
                "." => Some(Key::Member),
                text => Some(Element::parse(text).ok()?.map_or(Key::Unknown, Key::Step)),
            };
        }
        let mut escaped = false;
        let end = self.rest.bytes().position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })?;
        let quoted = self.rest[..end].replace("\\\"", "\"");
        let text: String = if quoted.contains('\\') {
            serde_json::from_str(&format!("\"{}\"", &self.rest[..end])).ok()?
        } else {
            quoted
        };
        self.rest = &self.rest[end + 1..];
        Some(Element::parse(&text).ok()?.map_or(Key::Unknown, |element| Key::Step(element.into_owned())))
    }

    fn take(&mut self, what: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(what)?;
        Some(())
    }
}

enum Key<'a> {
    /// `.`
    Member,
    Step(Element<'a>),
    /// A kind of step that this version does not know.
    Unknown,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let set = read(text).unwrap();
        assert_eq!(set, FieldSet::from_json(text).unwrap());
        assert_eq!(write(&set), text);
    }

    #[test]
    fn a_text_is_read_as_its_tree_is() {
        check("{}");
        check(r#"{"f:a":{".":{},"f:b":{}},"f:c":{}}"#);
        check(r#"{"f:l":{"k:{\"name\":\"x\"}":{".":{},"f:name":{}}}}"#);
        check(r#"{"f:p":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{},"k:{\"port\":443}":{}}}"#);
        check(r#"{"f:q\"uo\\te":{},"v:\"\\u003c\\u0026\"":{}}"#);
        check(r#"{"f:s":{"v:1":{},"v:\"a\"":{},"v:true":{}}}"#);
        assert!(read("{} ").is_none() && read("[]").is_none() && read(r#"{"f:a":1}"#).is_none());
    }

    #[test]
    fn texts_of_clients_are_no_sets_and_those_of_the_server_are_spelled_out() {
        let text = json!({"metadata": {"managedFields": [{"fieldsV1": "{\"f:a\":{}}"}]}});
        let mut sent = text.clone();
        refuse_texts(&mut sent);
        assert_eq!(sent["metadata"]["managedFields"][0]["fieldsV1"], json!(true));
        let mut object = Object::from_value(text).unwrap();
        spell_out(&mut object);
        let entry = &object.get(&ENTRIES).unwrap()[0];
        assert_eq!(entry["fieldsV1"], json!({"f:a": {}}));
        let mut entry = entry.clone();
        shorten(&mut entry);
        assert_eq!(entry["fieldsV1"], json!("{\"f:a\":{}}"));
    }
}
