//! The wire itself, by a small table; upstream's own objects are compared in `resources/golden.rs`.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::schema::{Field, List, ListKind, Map as MapShape, Patch, Proto, Shape, Struct};

fn field(name: &'static str, shape: Shape, path: &[u32]) -> Field {
    let proto = match *path {
        [via, tag] => Proto { tag, via, via_inner: 0 },
        [tag] => Proto { tag, via: 0, via_inner: 0 },
        _ => Proto::default(),
    };
    Field {
        name: name.into(),
        shape,
        pointer: false,
        omit_empty: true,
        required: false,
        proto,
        patch: Patch::default(),
        extra: None,
    }
}

fn list(item: Shape, wrapped: bool) -> Shape {
    Shape::List(Box::new(List { item, kind: ListKind::Atomic, wrapped }))
}

fn map(value: Shape) -> Shape {
    Shape::Map(Box::new(MapShape { value, atomic: false }))
}

/// A struct with a field of every shape; it contains itself.
fn table() -> (Table, TypeId) {
    let mut table = Table::default();
    let id = table.add(Struct::default());
    let shapes = [
        Shape::String,
        Shape::Bool,
        Shape::Int32,
        Shape::Int64,
        Shape::Float64,
        Shape::Bytes,
        Shape::IntOrString,
        Shape::Quantity,
        Shape::Time,
        Shape::MicroTime,
        Shape::Duration,
        Shape::Json,
        Shape::FieldsV1,
        list(Shape::Int64, false),
        list(Shape::String, false),
        list(Shape::Struct(id), false),
        list(Shape::String, true),
        map(Shape::String),
        map(Shape::Quantity),
        map(Shape::Bytes),
        map(list(Shape::String, true)),
        Shape::SchemaOrArray(id),
        Shape::SchemaOrBool(id),
        Shape::SchemaOrStrings(id),
        Shape::Struct(id),
    ];
    const NAMES: [&str; 25] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v",
        "w", "x", "y",
    ];
    let fields = NAMES.iter().zip(shapes).zip(1..).map(|((name, shape), tag)| Field {
        pointer: !matches!(shape, Shape::List(_) | Shape::Map(_) | Shape::Bytes),
        ..field(name, shape, &[tag])
    });
    let mut fields: Vec<Field> = fields.collect();
    // Behind an embedded message whose tag lies between others.
    fields.push(Field { pointer: true, ..field("inline", Shape::String, &[26, 1]) });
    fields.push(Field { pointer: true, ..field("last", Shape::String, &[27]) });
    table.get_mut(id).fields = fields;
    (table, id)
}

#[test]
fn every_shape_comes_back() {
    let (table, id) = table();
    let value = json!({
        "a": "text", "b": false, "c": -1, "d": i64::MIN, "e": 1.5, "f": "YQ==", "g": "80%", "h": "1500m",
        "i": "1970-01-01T00:00:00Z", "j": "2024-01-01T00:00:00.123456Z", "k": "1m30s", "l": {"x": [1, null]},
        "m": {"f:a": {}}, "n": [1, -2], "o": ["", "b"], "p": [{"a": ""}, {}], "q": ["x"], "r": {"": "", "k": "v"},
        "s": {"cpu": "1"}, "t": {"k": ""}, "u": {"k": ["v"]}, "v": [{"a": "1"}], "w": false, "x": ["p"],
        "y": {"g": 0, "v": {"a": "s"}, "w": {"a": "s"}, "x": {"a": "s"}}, "inline": "i", "last": "l"
    });
    let raw = encode(&value, &table, id).unwrap();
    assert_eq!(decode(&raw, &table, id).unwrap(), value);
}

#[test]
fn an_envelope_opens_to_what_was_sealed() {
    let sealed = seal("apps/v1", "Deployment", b"raw");
    let expected = Envelope { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned(), raw: b"raw" };
    assert_eq!(open(&sealed).unwrap(), expected);
    for (bytes, message) in [
        (&b""[..], "empty data"),
        (b"k8s\0", "empty body"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"k8s\0\x0a\x05", "unexpected EOF"),
        (b"k8s\0\x0f", "proto: wrong wireType = 7 for field TypeMeta"),
    ] {
        assert_eq!(open(bytes).unwrap_err().to_string(), message);
    }
}

#[test]
fn frames_begin_with_their_length() {
    assert_eq!(watch_frame("ADDED", b"xy"), b"\0\0\0\x0d\x0a\x05ADDED\x12\x04\x0a\x02xy");
}

#[test]
fn nesting_is_bounded() {
    let (table, id) = table();
    let mut raw = Vec::new();
    for _ in 0..1000 {
        let mut outer = Vec::new();
        wire::put_bytes(&mut outer, 25, &raw);
        raw = outer;
    }
    assert_eq!(decode(&raw, &table, id).unwrap_err().to_string(), "proto: exceeded max depth");
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let (table, id) = table();
        let _ = open(&bytes);
        if let Ok(value) = decode(&bytes, &table, id) {
            let raw = encode(&value, &table, id).unwrap();
            prop_assert_eq!(decode(&raw, &table, id).unwrap(), value);
        }
    }

    #[test]
    fn near_messages_decode_or_fail(parts in proptest::collection::vec((1u32..28, proptest::collection::vec(0u8..30, 0..6)), 0..8)) {
        let (table, id) = table();
        let mut raw = Vec::new();
        for (tag, bytes) in parts {
            wire::put_bytes(&mut raw, tag, &bytes);
        }
        if let Ok(value) = decode(&raw, &table, id) {
            let raw = encode(&value, &table, id).unwrap();
            prop_assert_eq!(decode(&raw, &table, id).unwrap(), value);
        }
    }
}
