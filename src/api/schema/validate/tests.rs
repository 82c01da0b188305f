//! Rules on small types, with the errors of upstream's runtime.

use serde_json::json;

use super::*;
use crate::api::schema::{Extra, List, Rule};

fn field(name: &'static str, shape: Shape, rules: &[(&'static str, &'static str)]) -> Field {
    let rules = rules.iter().map(|(name, args)| Rule { name: (*name).into(), args: (*args).into() }).collect();
    Field {
        extra: Some(Box::new(Extra { rules, enums: vec!["B".into(), "A".into()], ..Extra::default() })),
        ..Field::plain(name, shape)
    }
}

fn list(item: Shape, kind: ListKind) -> Shape {
    Shape::List(Box::new(List { item, kind, wrapped: false }))
}

fn check(fields: Vec<Field>, new: Value, old: Option<Value>, expected: &[&str]) {
    let mut table = Table::default();
    let item = table.add(Struct {
        fields: vec![field("name", Shape::String, &[("required", "")]), field("n", Shape::Int32, &[("maximum", "5")])],
        ..Struct::default()
    });
    assert_eq!(item, TypeId(0));
    let id = table.add(Struct { fields, ..Struct::default() });
    let enabled = |name: &str| name == "On";
    let options = Options { level: Level::Enforced, enabled: &enabled };
    let old = old.as_ref().and_then(Value::as_object);
    let errors = validate(new.as_object().unwrap(), old, (&table, id), options);
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn values_are_held_to_their_rules() {
    let fields = || {
        vec![
            field("a", Shape::String, &[("required", ""), ("format", "k8s-short-name")]),
            field("b", Shape::Int32, &[("optional", ""), ("minimum", "1")]),
            field("c", Shape::String, &[("optional", ""), ("enum", "")]),
            field("d", Shape::String, &[("optional", ""), ("maxBytes", "2")]),
            field("e", Shape::String, &[("alpha", "(since: \"1.37\")=+k8s:required")]),
            field("f", Shape::String, &[("ifDisabled", "(Off)=+k8s:forbidden")]),
            field("g", Shape::String, &[("ifEnabled", "(On)=+k8s:required")]),
        ]
    };
    check(
        fields(),
        json!({"b": -1, "c": "X", "d": "abc", "f": "x"}),
        None,
        &[
            "a: Required value",
            "b: Invalid value: -1: must be greater than or equal to 1",
            "c: Unsupported value: \"X\": supported values: \"A\", \"B\"",
            "d: Too long: may not be more than 2 bytes",
            "f: Forbidden",
            "g: Required value",
        ],
    );
    check(fields(), json!({"a": "ok", "c": "A", "d": "ab", "g": "x"}), None, &[]);
}

#[test]
fn updates_look_only_at_what_changed() {
    let fields = || {
        vec![
            field("a", Shape::String, &[("immutable", "")]),
            field("b", Shape::Int32, &[("maximum", "5")]),
            field("c", Shape::String, &[("update", "NoUnset")]),
            field("d", Shape::Int64, &[("monotonic", "")]),
        ]
    };
    check(fields(), json!({"a": "x", "b": 9}), Some(json!({"a": "x", "b": 9})), &[]);
    check(
        fields(),
        json!({"a": "y", "b": 8, "d": 1}),
        Some(json!({"a": "x", "b": 9, "c": "z", "d": 2})),
        &[
            "a: Invalid value: null: field is immutable",
            "b: Invalid value: 8: must be less than or equal to 5",
            "c: Invalid value: null: field cannot be cleared once set",
            "d: Invalid value: 1: may not be decreased from 2",
        ],
    );
}

#[test]
fn lists_are_bounded_unique_and_followed_by_key() {
    let items = || list(Shape::Struct(TypeId(0)), ListKind::Map(vec!["name".into()]));
    let rules = [("optional", ""), ("maxItems", "2"), ("listType", "map"), ("listMapKey", "name")];
    check(
        vec![field("l", items(), &rules)],
        json!({"l": [{"name": "a", "n": 6}, {"name": "a"}]}),
        None,
        &["l[1]: Duplicate value: {\"name\":\"a\"}", "l[0].n: Invalid value: 6: must be less than or equal to 5"],
    );
    check(
        vec![field("l", items(), &rules)],
        json!({"l": [{"name": "b"}, {"name": "a", "n": 6}]}),
        Some(json!({"l": [{"name": "a", "n": 6}]})),
        &[],
    );
    check(
        vec![field("l", items(), &rules)],
        json!({"l": [{}, {}, {}]}),
        None,
        &["l: Too many: 3: must have at most 2 items"],
    );
    let names = list(Shape::String, ListKind::Set);
    let each = [("eachVal", "+k8s:format=k8s-short-name"), ("listType", "set")];
    check(vec![field("s", names, &each)], json!({"s": ["a", "a"]}), None, &["s[1]: Duplicate value: \"a\""]);
}

#[test]
fn unions_want_exactly_one_member() {
    let fields = || {
        let pointer =
            |name, rules: &[(&'static str, &'static str)]| Field { pointer: true, ..field(name, Shape::String, rules) };
        vec![pointer("a", &[("unionMember", "")]), pointer("b", &[("unionMember", "")])]
    };
    check(fields(), json!({}), None, &[": Invalid value: \"\": must specify one of: `a`, `b`"]);
    check(
        fields(),
        json!({"a": "", "b": ""}),
        None,
        &[": Invalid value: \"{a, b}\": must specify exactly one of: `a`, `b`"],
    );
    check(fields(), json!({"a": "1"}), None, &[]);
}

#[test]
fn a_declared_error_takes_the_place_of_the_same_by_hand() {
    let path = Path::new("a");
    let by_hand = vec![FieldError::required(&path, "by hand"), FieldError::forbidden(&path, "other")];
    let merged = merge(by_hand, vec![FieldError::required(&path, "")]);
    let texts: Vec<String> = merged.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["a: Forbidden: other", "a: Required value"]);
}

#[test]
fn an_invalid_value_gives_way_to_a_declared_rule_that_says_the_same_of_it() {
    let path = Path::new("a");
    let invalid = |detail: &str| FieldError::invalid(&path, -1, detail);
    let by_hand = vec![invalid("must be no more than 63 characters"), invalid("must be more"), invalid("must be more")];
    let merged = merge(by_hand, vec![invalid("must be no more than 63 bytes")]);
    let details: Vec<&str> = merged.iter().map(|error| &*error.detail).collect();
    assert_eq!(details, ["must be more", "must be no more than 63 bytes"]);
}
