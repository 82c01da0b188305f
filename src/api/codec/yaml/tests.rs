//! Texts as sigs.k8s.io/yaml reads and writes them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn check_read(text: &str, expected: Value) {
    assert_eq!(decode(text.as_bytes()).map(|d| d.value), Ok(expected), "{text}");
}

#[test]
fn scalars_are_taken_for_what_go_takes_them_for() {
    for (text, expected) in [
        ("a: yes", json!({"a": true})),
        ("a: on", json!({"a": true})),
        ("a: \"yes\"", json!({"a": "yes"})),
        ("a: y", json!({"a": true})),
        ("a: 0644", json!({"a": 420})),
        ("a: 0o644", json!({"a": 420})),
        ("a: 1_000", json!({"a": 1000})),
        ("a: 0x1F", json!({"a": 31})),
        ("a: 1e3", json!({"a": 1000})),
        ("a: 1.0", json!({"a": 1})),
        ("a: 12:30", json!({"a": "12:30"})),
        ("a: 2024-01-01", json!({"a": "2024-01-01"})),
        ("a: ~", json!({"a": null})),
        ("a:", json!({"a": null})),
        ("a: NO", json!({"a": false})),
        ("1: a\ntrue: b", json!({"1": "a", "true": "b"})),
        ("a: !!str 5", json!({"a": "5"})),
        ("a: !!binary aGk=", json!({"a": "hi"})),
        ("a: 18446744073709551615", json!({"a": 18446744073709551615u64})),
        ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
        ("a: >-\n  x\n  y\n", json!({"a": "x y"})),
        ("{\"a\": [1, {\"b\": null}]}", json!({"a": [1, {"b": null}]})),
        ("a: 100m", json!({"a": "100m"})),
        ("a: +5", json!({"a": 5})),
        ("a: .5", json!({"a": 0.5})),
        ("a: 08", json!({"a": 8})),
        ("a: 'it''s'", json!({"a": "it's"})),
        ("x: &k {b: 1}\nz:\n  <<: *k\n  c: 2", json!({"x": {"b": 1}, "z": {"b": 1, "c": 2}})),
        ("a: 1\n---\nb: 2", json!({"a": 1})),
        ("", Value::Null),
    ] {
        check_read(text, expected);
    }
}

#[test]
fn duplicate_keys_are_reported_and_the_last_wins() {
    let decoded = decode(b"a: 1\nb:\n- c: 1\n  c: 2\na: 3\n").unwrap();
    assert_eq!(decoded.value, json!({"a": 3, "b": [{"c": 2}]}));
    assert_eq!(decoded.duplicates, ["line 4: key \"c\" already set in map", "line 5: key \"a\" already set in map"]);
}

#[track_caller]
fn check_refused(text: &str, message: &str) {
    assert_eq!(decode(text.as_bytes()).map_err(|error| error.to_string()), Err(message.to_owned()), "{text}");
}

#[test]
fn what_is_no_yaml_is_told_in_the_words_and_lines_of_go() {
    for (text, message) in [
        ("a: b: c\n", "yaml: mapping values are not allowed in this context"),
        ("a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        ("a: \"b\n", "yaml: line 2: found unexpected end of stream"),
        ("{a: [1, 2}\n", "yaml: did not find expected ',' or ']'"),
        ("y: 1\nx: *v\n", "yaml: unknown anchor 'v' referenced"),
        ("a: 1\n\tb: 2\n", "yaml: line 2: found a tab character that violates indentation"),
        ("a: .inf", "json: unsupported value: +Inf"),
        ("a: -.inf", "json: unsupported value: -Inf"),
        ("a:\n  [a]: b", "yaml: invalid map key: []interface {}{\"a\"}"),
        ("a:\n  {b: 1}: b", "yaml: invalid map key: map[interface {}]interface {}{\"b\":1}"),
        ("a:\n  ~: b", "unsupported map key of type: %!s(<nil>), key: <nil>, value: \"b\""),
    ] {
        check_refused(text, message);
    }
}

#[test]
fn a_key_that_stands_twice_is_told_where_its_value_begins() {
    for (text, line) in [("a: 1\na: 2\n", 2), ("a:\n  b: 1\na:\n\n  b: 2\n", 5), ("a:\na: # none\nb: 1\n", 2)] {
        let message = format!("line {line}: key \"a\" already set in map");
        assert_eq!(decode(text.as_bytes()).unwrap().duplicates, [message], "{text}");
    }
}

#[test]
fn what_is_no_yaml_or_too_much_is_refused() {
    assert!(decode(b"\xff").is_err());
    assert!(decode("[".repeat(10_000).as_bytes()).is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let item = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [item.as_str(); 9].join(", ")));
    }
    assert!(decode(bomb.as_bytes()).is_err());
}

#[track_caller]
fn check_written(value: Value, expected: &str) {
    assert_eq!(encode(&value), expected);
}

#[test]
fn trees_are_written_as_go_writes_them() {
    check_written(json!({}), "{}\n");
    check_written(
        json!({"b": {"y": [], "x": {}}, "a": [1, {"c": "d", "e": [["f"], "g"]}], "z": null}),
        "a:\n- 1\n- c: d\n  e:\n  - - f\n  - g\nb:\n  x: {}\n  \"y\": []\nz: null\n",
    );
    check_written(json!({"a10": 1, "a2": 2, "B": 3, "a-b": 4}), "B: 3\na-b: 4\na2: 2\na10: 1\n");
}

#[test]
fn texts_are_quoted_where_they_would_be_taken_for_something_else() {
    for (text, written) in [
        ("plain text", "plain text"),
        ("", "\"\""),
        ("yes", "\"yes\""),
        ("1.5", "\"1.5\""),
        ("0x1F", "\"0x1F\""),
        ("1e3", "\"1e3\""),
        ("100m", "100m"),
        ("12:30", "\"12:30\""),
        ("2024-01-01T00:00:00Z", "\"2024-01-01T00:00:00Z\""),
        ("a: b", "'a: b'"),
        ("a #b", "'a #b'"),
        ("- a", "'- a'"),
        ("-a", "-a"),
        ("*", "'*'"),
        ("it's", "it's"),
        ("'it''s", "'''it''''s'"),
        (" a", "' a'"),
        ("a\tb", "\"a\\tb\""),
        ("a\nb", "|-\n  a\n  b"),
        ("a\n\nb\n", "|\n  a\n\n  b"),
        ("a\n\n", "|+\n  a\n"),
        ("\n", "|2+\n"),
        (" a\nb", "|2-\n   a\n  b"),
        ("a \nb", "\"a \\nb\""),
        ("\u{1f600}", "\"\\U0001F600\""),
        ("é", "é"),
    ] {
        check_written(json!({"k": text}), &format!("k: {written}\n"));
    }
}

#[test]
fn long_lines_are_broken_at_spaces() {
    let text = format!("{} {} end", "a".repeat(50), "b".repeat(40));
    check_written(json!({"k": text}), &format!("k: {} {}\n  end\n", "a".repeat(50), "b".repeat(40)));
    let quoted = format!("{}: {} end", "a".repeat(50), "b".repeat(40));
    check_written(json!({"k": quoted}), &format!("k: '{}: {}\n  end'\n", "a".repeat(50), "b".repeat(40)));
}

fn any_tree() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-z0-9:#' \n.-]{0,12}", ".{0,8}", "(yes|no|null|1|0x1|1e3|2020-01-01|~|y)"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text.clone(), inner, 0..4).prop_map(|m| m.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(tree in any_tree()) {
        let text = encode(&tree);
        prop_assert_eq!(decode(text.as_bytes()).map(|d| d.value), Ok(tree), "{}", text);
    }

    #[test]
    fn any_text_decodes_or_fails(text in "[a-c:&*!|>'\"{}\\[\\],# \n-]{0,40}|.{0,20}") {
        let _ = decode(text.as_bytes());
    }
}
