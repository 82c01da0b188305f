//! OpenAPI v3 in protobuf (`openapi.v3.Document` of gnostic), as client-go and kubectl ask for it. Tags are those of its
//! `OpenAPIv3.proto`.

use serde_json::{Map, Value};

use super::gnostic::{Message, any, members};

/// The bytes of a document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document.get("openapi"));
    let mut info = Message::default();
    info.text(1, document.pointer("/info/title"));
    info.text(6, document.pointer("/info/version"));
    out.message(2, &info);
    let mut paths = Message::default();
    for (path, item) in members(document.get("paths")) {
        paths.named(1, path, &path_item(item));
    }
    out.message(4, &paths);
    let mut components = Message::default();
    if let Some(Value::Object(schemas)) = document.pointer("/components/schemas") {
        components.message(1, &named(schemas, schema_or_reference));
    }
    if let Some(Value::Object(schemes)) = document.pointer("/components/securitySchemes") {
        components.message(7, &named(schemes, security_scheme));
    }
    out.message(5, &components);
    out.into_bytes()
}

fn named(all: &Map<String, Value>, one: fn(&Value) -> Message) -> Message {
    let mut out = Message::default();
    for (name, value) in all {
        out.named(1, name, &one(value));
    }
    out
}

/// The first of the two that such a message may hold.
fn wrapped(inner: &Message) -> Message {
    let mut out = Message::default();
    out.message(1, inner);
    out
}

fn security_scheme(of: &Value) -> Message {
    let mut out = Message::default();
    for (tag, name) in [(1, "type"), (2, "description"), (3, "name"), (4, "in")] {
        out.text(tag, of.get(name));
    }
    wrapped(&out)
}

fn path_item(item: &Value) -> Message {
    const METHODS: [(u32, &str); 7] =
        [(4, "get"), (5, "put"), (6, "post"), (7, "delete"), (8, "options"), (9, "head"), (10, "patch")];
    let mut out = Message::default();
    for (tag, method) in METHODS {
        if let Some(of) = item.get(method) {
            out.message(tag, &operation(of));
        }
    }
    parameters(&mut out, 13, item);
    out
}

fn operation(of: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, of.get("tags"));
    out.text(3, of.get("description"));
    out.text(5, of.get("operationId"));
    parameters(&mut out, 6, of);
    if let Some(body) = of.get("requestBody") {
        let mut inner = Message::default();
        content(&mut inner, 2, body);
        inner.flag(3, body.get("required"));
        out.message(7, &wrapped(&inner));
    }
    let mut responses = Message::default();
    for (code, response) in members(of.get("responses")) {
        let mut inner = Message::default();
        inner.text(1, response.get("description"));
        content(&mut inner, 3, response);
        responses.named(2, code, &wrapped(&inner));
    }
    out.message(8, &responses);
    out.extensions(13, of);
    out
}

fn parameters(out: &mut Message, tag: u32, of: &Value) {
    for of in of.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let mut inner = Message::default();
        inner.text(1, of.get("name"));
        inner.text(2, of.get("in"));
        inner.text(3, of.get("description"));
        inner.flag(4, of.get("required"));
        if let Some(of) = of.get("schema") {
            inner.message(10, &schema_or_reference(of));
        }
        out.message(tag, &wrapped(&inner));
    }
}

fn content(out: &mut Message, tag: u32, of: &Value) {
    let Some(Value::Object(content)) = of.get("content") else { return };
    let media_type = |of: &Value| {
        let mut out = Message::default();
        if let Some(of) = of.get("schema") {
            out.message(1, &schema_or_reference(of));
        }
        out
    };
    out.message(tag, &named(content, media_type));
}

fn schema_or_reference(of: &Value) -> Message {
    if of.get("$ref").is_none() {
        return wrapped(&schema(of));
    }
    let mut reference = Message::default();
    reference.text(1, of.get("$ref"));
    let mut out = Message::default();
    out.message(2, &reference);
    out
}

fn schema(of: &Value) -> Message {
    let mut out = Message::default();
    out.flag(1, of.get("nullable"));
    if let Some(example) = of.get("example") {
        out.message(7, &any(example));
    }
    out.text(9, of.get("title"));
    bounds(&mut out, of);
    out.texts(23, of.get("required"));
    for value in of.get("enum").and_then(Value::as_array).into_iter().flatten() {
        out.message(24, &any(value));
    }
    out.text(25, of.get("type"));
    for (tag, name) in [(26, "allOf"), (27, "oneOf"), (28, "anyOf")] {
        for of in of.get(name).and_then(Value::as_array).into_iter().flatten() {
            out.message(tag, &schema_or_reference(of));
        }
    }
    if let Some(not) = of.get("not") {
        out.message(29, &schema(not));
    }
    if let Some(items) = of.get("items") {
        out.message(30, &wrapped(&schema_or_reference(items)));
    }
    if let Some(Value::Object(properties)) = of.get("properties") {
        out.message(31, &named(properties, schema_or_reference));
    }
    match of.get("additionalProperties") {
        Some(Value::Bool(allowed)) => out.message(32, &either(2, *allowed)),
        Some(additional) => out.message(32, &wrapped(&schema_or_reference(additional))),
        None => {}
    }
    if let Some(default) = of.get("default") {
        out.message(33, &default_of(default));
    }
    out.text(34, of.get("description"));
    out.text(35, of.get("format"));
    out.extensions(36, of);
    out
}

/// A choice is written even when it is what would be assumed.
fn either(tag: u32, on: bool) -> Message {
    let mut out = Message::default();
    out.number(tag, u64::from(on));
    out
}

/// Numbers, booleans and texts alone can be told.
fn default_of(value: &Value) -> Message {
    let mut out = Message::default();
    match value {
        Value::Number(number) => out.float(1, number.as_f64().unwrap_or_default()),
        Value::Bool(on) => return either(2, *on),
        Value::String(text) => out.bytes(3, text.as_bytes()),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
    out
}

/// What values must be beside their type.
fn bounds(out: &mut Message, of: &Value) {
    let float = |name: &str| of.get(name).and_then(Value::as_f64);
    let whole = |name: &str| of.get(name).and_then(Value::as_u64);
    for (tag, name, flag) in
        [(10, "multipleOf", ""), (11, "maximum", "exclusiveMaximum"), (13, "minimum", "exclusiveMinimum")]
    {
        if let Some(number) = float(name).filter(|number| *number != 0.0) {
            out.float(tag, number);
        }
        out.flag(tag + 1, of.get(flag));
    }
    let counts = [(15, "maxLength"), (16, "minLength"), (18, "maxItems"), (19, "minItems")];
    for (tag, name) in counts {
        if tag == 18 {
            out.text(17, of.get("pattern"));
        }
        if let Some(number) = whole(name).filter(|number| *number != 0) {
            out.number(tag, number);
        }
    }
    out.flag(20, of.get("uniqueItems"));
    for (tag, name) in [(21, "maxProperties"), (22, "minProperties")] {
        if let Some(number) = whole(name).filter(|number| *number != 0) {
            out.number(tag, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_has_the_tags_of_gnostic() {
        let of = json!({
            "type": "object", "default": {}, "x-a": 1,
            "properties": {"b": {"$ref": "#/c"}, "d": {"type": "string", "default": ""}},
        });
        let reference = [&[10, 12][..], &[10, 1, b'b', 18, 7, 18, 5, 10, 3], b"#/c"].concat();
        let text = [&[10, 21, 10, 1, b'd', 18, 16, 10, 14, 0xca, 1, 6][..], b"string", &[0x8a, 2, 2, 26, 0]].concat();
        let properties = [reference, text].concat();
        let length = u8::try_from(properties.len()).unwrap();
        let expected = [
            &[0xca, 1, 6][..],
            b"object",
            &[0xfa, 1, length],
            &properties,
            &[0x8a, 2, 0],
            &[0xa2, 2, 11, 10, 3][..],
            b"x-a",
            &[18, 4, 18, 2, b'1', b'\n'],
        ];
        assert_eq!(schema(&of).into_bytes(), expected.concat());
    }
}
