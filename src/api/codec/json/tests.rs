//! Texts as Go reads and writes them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::schema::{Field, List, ListKind};

fn table() -> (Table, TypeId) {
    let mut table = Table::default();
    let add = |table: &mut Table, fields| table.add(Struct { fields, ..Struct::default() });
    let metadata = add(
        &mut table,
        vec![
            Field::plain("name", Shape::String),
            Field::plain("resourceVersion", Shape::String),
            Field::plain("generation", Shape::Int64),
        ],
    );
    let item = add(&mut table, vec![Field::plain("z", Shape::String), Field::plain("a", Shape::String)]);
    let items = List { item: Shape::Struct(item), kind: ListKind::Atomic, wrapped: false };
    let top = vec![
        Field::plain("kind", Shape::String),
        Field::plain("apiVersion", Shape::String),
        Field::plain("metadata", Shape::Struct(metadata)),
        Field::plain("items", Shape::List(Box::new(items))),
    ];
    let id = add(&mut table, top);
    (table, id)
}

#[track_caller]
fn check_error(text: &[u8], message: &str) {
    assert_eq!(decode(text).unwrap_err().to_string(), message, "{}", String::from_utf8_lossy(text));
}

#[test]
fn faults_are_told_in_go_words() {
    for (text, message) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("{\"a\":1", "unexpected end of JSON input"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("tru3", "invalid character '3' in literal true (expecting 'e')"),
        ("[1.x]", "invalid character 'x' after decimal point in numeric literal"),
        ("\"\n\"", "invalid character '\\n' in string literal"),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        ("{\"a\":}", "invalid character '}' looking for beginning of value"),
        ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
    ] {
        check_error(text.as_bytes(), message);
    }
    check_error("[".repeat(100_000).as_bytes(), "invalid character '[' exceeded max depth");
    room::with_room(|| check_error("[".repeat(10_001).as_bytes(), "invalid character '[' exceeded max depth"));
}

#[test]
fn what_nests_as_deeply_as_upstream_allows_is_read_where_there_is_room() {
    let text = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    let depth_of = |text: Vec<u8>| decode(&text).map(|decoded| depth(&decoded.value));
    assert_eq!(depth_of(text(room::SHALLOW_MAX)), Ok(room::SHALLOW_MAX));
    assert!(depth_of(text(room::SHALLOW_MAX + 1)).is_err());
    assert!(tree(&text(room::SHALLOW_MAX + 1)).is_err());
    room::with_room(|| {
        assert_eq!(depth_of(text(DEPTH_MAX)), Ok(DEPTH_MAX));
        let tree = tree(&text(DEPTH_MAX)).unwrap();
        assert_eq!(encode(&tree.clone(), Layout::Sorted), text(DEPTH_MAX));
        assert!(super::tree(&text(DEPTH_MAX + 17)).is_err());
    });
}

#[test]
fn text_that_go_repairs_is_repaired() {
    assert_eq!(decode(b"\"a\xff\\ud800b\\ud83d\\ude00\"").unwrap().value, json!("a\u{fffd}\u{fffd}b\u{1f600}"));
}

#[test]
fn duplicate_keys_are_reported_with_their_path_and_the_last_wins() {
    let text = br#"{"a":1,"b":[{"c":{"d":1,"d":2,"d":3}}],"a":2}"#;
    let decoded = decode(text).unwrap();
    assert_eq!(decoded.duplicates, ["b[0].c.d", "a"]);
    assert_eq!(decoded.value, json!({"a": 2, "b": [{"c": {"d": 3}}]}));
}

#[test]
fn objects_that_come_twice_are_joined_as_go_decodes_them() {
    let decoded = decode(br#"{"a":{"b":"1","c":{"d":1}},"a":{"c":{"e":2}},"a":{"f":[1]},"x":[1,2],"x":[3]}"#).unwrap();
    assert_eq!(decoded.value, json!({"a": {"b": "1", "c": {"d": 1, "e": 2}, "f": [1]}, "x": [3]}));
}

#[test]
fn fields_stand_in_the_order_of_the_type() {
    let (table, id) = table();
    let value =
        json!({"items": [{"a": "1", "z": "2", "b": 1}], "apiVersion": "v1", "kind": "K", "extra": {"y": 1, "x": 2}});
    let text = encode(&value, Layout::Typed(&table, id));
    assert_eq!(
        String::from_utf8(text).unwrap(),
        r#"{"kind":"K","apiVersion":"v1","items":[{"z":"2","a":"1","b":1}],"extra":{"x":2,"y":1}}"#
    );
}

#[test]
fn the_place_of_the_resource_version_is_known_even_when_it_is_absent() {
    let (table, id) = table();
    let layouts = [Layout::Typed(&table, id), Layout::Sorted];
    for (metadata, text) in [(json!({"generation": 1, "name": "a"}), ""), (json!({"resourceVersion": "42"}), "42")] {
        for layout in layouts {
            let object = json!({"kind": "K", "metadata": metadata});
            let (bytes, at) = encode_stored(object.as_object().unwrap(), layout);
            assert_eq!(&bytes[at.clone()], text.as_bytes());
            assert_eq!((bytes[at.start - 1], bytes[at.end]), (b'"', b'"'));
            let back: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(back["metadata"]["resourceVersion"], text);
        }
    }
    let object = json!({"metadata": {"generation": 1, "name": "a"}});
    let (bytes, _) = encode_stored(object.as_object().unwrap(), layouts[0]);
    assert_eq!(bytes, br#"{"metadata":{"name":"a","resourceVersion":"","generation":1}}"#);
}

#[test]
fn texts_and_numbers_are_escaped_and_printed_as_go_does() {
    let value =
        json!(["<a&b>\u{2028}\u{1}\u{8}\"\\\u{7f}é", 1.0, 1e21, 1e-7, 0.000001, -5, 18446744073709551615u64, 1.5]);
    assert_eq!(
        String::from_utf8(encode(&value, Layout::Sorted)).unwrap(),
        "[\"\\u003ca\\u0026b\\u003e\\u2028\\u0001\\b\\\"\\\\\u{7f}é\",1,1e+21,1e-7,0.000001,-5,18446744073709552000,1.5]"
    );
}

#[test]
fn pretty_indents_as_go_does() {
    let compact = encode(&json!({"a": {}, "b": [], "c": [1, {"d": "x:{\"]"}]}), Layout::Sorted);
    assert_eq!(
        String::from_utf8(pretty(&compact)).unwrap(),
        "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1,\n    {\n      \"d\": \"x:{\\\"]\"\n    }\n  ]\n}"
    );
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn near_json_decodes_or_fails_and_agrees_with_the_scanner(text in r#"[\{\}\[\],:"\\ue0-9.tfn -]{0,40}"#) {
        let decoded = decode(text.as_bytes());
        prop_assert_eq!(decoded.is_ok(), scan::syntax_error(text.as_bytes(), DEPTH_MAX).is_none(), "{:?}", decoded);
        if let Ok(decoded) = decoded {
            let text = encode(&decoded.value, Layout::Sorted);
            let again = encode(&decode(&text).unwrap().value, Layout::Sorted);
            prop_assert_eq!(text, again);
        }
    }
}
