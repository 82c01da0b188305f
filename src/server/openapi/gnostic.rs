//! OpenAPI v2 in protobuf (`openapi.v2.Document` of gnostic), as client-go asks for it. Tags are those of its
//! `OpenAPIv2.proto`.

use serde_json::{Map, Value};

use crate::api::codec::yaml;

/// The bytes of a document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document.get("swagger"));
    let mut info = Message::default();
    info.text(1, document.pointer("/info/title"));
    info.text(2, document.pointer("/info/version"));
    out.message(2, &info);
    let mut paths = Message::default();
    for (path, item) in members(document.get("paths")) {
        paths.named(2, path, &path_item(item));
    }
    out.message(8, &paths);
    out.message(9, &named_schemas(members(document.get("definitions"))));
    let mut shared = Message::default();
    for (name, of) in members(document.get("parameters")) {
        shared.named(1, name, &parameter(of));
    }
    out.message(10, &shared);
    for requirement in document.get("security").and_then(Value::as_array).into_iter().flatten() {
        let mut required = Message::default();
        for (name, _) in members(Some(requirement)) {
            required.named(1, name, &Message::default());
        }
        out.message(12, &required);
    }
    let mut schemes = Message::default();
    for (name, of) in members(document.get("securityDefinitions")) {
        schemes.named(1, name, &api_key(of));
    }
    out.message(13, &schemes);
    out.0
}

fn api_key(of: &Value) -> Message {
    let mut key = Message::default();
    for (tag, name) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
        key.text(tag, of.get(name));
    }
    let mut out = Message::default();
    out.message(2, &key);
    out
}

/// A protobuf message in the making.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// The whole of it.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// A whole number, also zero.
    pub(super) fn number(&mut self, tag: u32, value: u64) {
        self.varint(u64::from(tag) << 3);
        self.varint(value);
    }

    pub(super) fn float(&mut self, tag: u32, value: f64) {
        self.varint(u64::from(tag) << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        self.varint(u64::from(tag) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn message(&mut self, tag: u32, message: &Message) {
        self.bytes(tag, &message.0);
    }

    pub(super) fn named(&mut self, tag: u32, name: &str, value: &Message) {
        let mut pair = Message::default();
        pair.bytes(1, name.as_bytes());
        pair.message(2, value);
        self.message(tag, &pair);
    }

    pub(super) fn text(&mut self, tag: u32, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str).filter(|text| !text.is_empty()) {
            self.bytes(tag, text.as_bytes());
        }
    }

    pub(super) fn texts(&mut self, tag: u32, value: Option<&Value>) {
        for text in value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            self.bytes(tag, text.as_bytes());
        }
    }

    pub(super) fn flag(&mut self, tag: u32, value: Option<&Value>) {
        if value.and_then(Value::as_bool) == Some(true) {
            self.varint(u64::from(tag) << 3);
            self.varint(1);
        }
    }

    /// Extensions carry YAML.
    pub(super) fn extensions(&mut self, tag: u32, value: &Value) {
        for (name, value) in members(Some(value)).filter(|(name, _)| name.starts_with("x-")) {
            self.named(tag, name, &any(value));
        }
    }
}

pub(super) fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).map(Map::iter).into_iter().flatten()
}

pub(super) fn any(value: &Value) -> Message {
    let mut any = Message::default();
    any.bytes(2, yaml::encode(value).as_bytes());
    any
}

fn named_schemas<'a>(schemas: impl Iterator<Item = (&'a String, &'a Value)>) -> Message {
    let mut out = Message::default();
    for (name, of) in schemas {
        out.named(1, name, &schema(of));
    }
    out
}

fn schema(of: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, of.get("$ref"));
    out.text(2, of.get("format"));
    out.text(3, of.get("title"));
    out.text(4, of.get("description"));
    if let Some(default) = of.get("default") {
        out.message(5, &any(default));
    }
    bounds(&mut out, of);
    out.texts(19, of.get("required"));
    for value in of.get("enum").and_then(Value::as_array).into_iter().flatten() {
        out.message(20, &any(value));
    }
    if let Some(additional) = of.get("additionalProperties") {
        let mut item = Message::default();
        match additional {
            Value::Bool(_) => item.flag(2, Some(additional)),
            of => item.message(1, &schema(of)),
        }
        out.message(21, &item);
    }
    if let Some(kind) = of.get("type").and_then(Value::as_str) {
        let mut item = Message::default();
        item.bytes(1, kind.as_bytes());
        out.message(22, &item);
    }
    if let Some(items) = of.get("items") {
        let mut item = Message::default();
        item.message(1, &schema(items));
        out.message(23, &item);
    }
    if let Some(properties) = of.get("properties") {
        out.message(25, &named_schemas(members(Some(properties))));
    }
    out.extensions(31, of);
    out
}

/// What values must be beside their type, which only schemas of custom resources say.
fn bounds(out: &mut Message, of: &Value) {
    let floats = [(6, "multipleOf"), (7, "maximum"), (9, "minimum")];
    let flags = [(8, "exclusiveMaximum"), (10, "exclusiveMinimum")];
    let whole = [(11, "maxLength"), (12, "minLength"), (14, "maxItems"), (15, "minItems")];
    for tag in 6..=18 {
        let named = |list: &[(u32, &'static str)]| list.iter().find(|(known, _)| *known == tag).map(|(_, name)| *name);
        if let Some(number) = named(&floats).and_then(|name| of.get(name)).and_then(Value::as_f64) {
            out.float(tag, number);
        }
        out.flag(tag, named(&flags).and_then(|name| of.get(name)));
        let properties = [(17, "maxProperties"), (18, "minProperties")];
        let name = named(&whole).or_else(|| named(&properties));
        if let Some(number) = name.and_then(|name| of.get(name)).and_then(Value::as_u64) {
            out.number(tag, number);
        }
        out.text(tag, of.get("pattern").filter(|_| tag == 13));
    }
}

fn path_item(item: &Value) -> Message {
    const METHODS: [(u32, &str); 7] =
        [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")];
    let mut out = Message::default();
    for (tag, method) in METHODS {
        if let Some(of) = item.get(method) {
            out.message(tag, &operation(of));
        }
    }
    parameters(&mut out, 9, item.get("parameters"));
    out
}

fn operation(of: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, of.get("tags"));
    out.text(3, of.get("description"));
    out.text(5, of.get("operationId"));
    out.texts(6, of.get("produces"));
    out.texts(7, of.get("consumes"));
    parameters(&mut out, 8, of.get("parameters"));
    let mut responses = Message::default();
    for (code, response) in members(of.get("responses")) {
        let mut inner = Message::default();
        inner.text(1, response.get("description"));
        if let Some(of) = response.get("schema") {
            let mut item = Message::default();
            item.message(1, &schema(of));
            inner.message(2, &item);
        }
        let mut value = Message::default();
        value.message(1, &inner);
        responses.named(1, code, &value);
    }
    out.message(9, &responses);
    out.extensions(13, of);
    out
}

fn parameters(out: &mut Message, tag: u32, list: Option<&Value>) {
    for of in list.and_then(Value::as_array).into_iter().flatten() {
        let mut item = Message::default();
        if of.get("$ref").is_some() {
            let mut reference = Message::default();
            reference.text(1, of.get("$ref"));
            item.message(2, &reference);
        } else {
            item.message(1, &parameter(of));
        }
        out.message(tag, &item);
    }
}

fn parameter(of: &Value) -> Message {
    let mut out = Message::default();
    match of.get("in").and_then(Value::as_str) {
        Some("body") => out.message(1, &body_parameter(of)),
        place => {
            // The tags of query and path parameters differ by one from the type on.
            let path = place == Some("path");
            let mut inner = Message::default();
            inner.flag(1, of.get("required"));
            inner.text(2, of.get("in"));
            inner.text(3, of.get("description"));
            inner.text(4, of.get("name"));
            inner.text(if path { 5 } else { 6 }, of.get("type"));
            inner.flag(if path { 19 } else { 20 }, of.get("uniqueItems"));
            let mut other = Message::default();
            other.message(if path { 4 } else { 3 }, &inner);
            out.message(2, &other);
        }
    }
    out
}

fn body_parameter(of: &Value) -> Message {
    let mut out = Message::default();
    out.text(2, of.get("name"));
    out.text(3, of.get("in"));
    out.flag(4, of.get("required"));
    if let Some(of) = of.get("schema") {
        out.message(5, &schema(of));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_has_the_tags_of_gnostic() {
        let encoded = schema(&json!({"type": "string", "description": "d", "x-a": 1})).0;
        let expected = [
            &[4 << 3 | 2, 1, b'd'][..],
            &[0xb2, 0x01, 8, 10, 6][..],
            b"string",
            &[0xfa, 0x01, 11, 10, 3][..],
            b"x-a",
            &[18, 4, 18, 2, b'1', b'\n'][..],
        ];
        assert_eq!(encoded, expected.concat());
    }
}
