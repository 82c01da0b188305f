//! Schemas against values, and values against schemas.

use serde_json::{Value, json};

use super::check::validate_structural;
use super::*;
use crate::api::field::{Errors, Path};

fn schema(value: &Value) -> Schema {
    Schema::parse(value.as_object().unwrap())
}

fn texts(errors: Errors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check_value(of: &Value, value: &Value, expected: &[&str]) {
    assert_eq!(texts(validate(Place { value, old: None, prefix: "" }, &schema(of))), expected, "{value}");
}

#[test]
fn values_are_refused_in_the_words_of_upstream() {
    let of = json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object",
        "required": ["replicas"], "properties": {
            "replicas": {"type": "integer", "minimum": 1, "maximum": 10},
            "name": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "port": {"x-kubernetes-int-or-string": true},
            "list": {"type": "array", "maxItems": 1, "items": {"type": "string"}}}}}});
    check_value(&of, &json!({"spec": {"replicas": 3}}), &[]);
    check_value(&of, &json!({}), &["spec: Required value"]);
    check_value(&of, &json!({"spec": {}}), &["spec.replicas: Required value"]);
    check_value(
        &of,
        &json!({"spec": {"replicas": "x"}}),
        &[r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#],
    );
    check_value(
        &of,
        &json!({"spec": {"replicas": 11}}),
        &["spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"],
    );
    check_value(
        &of,
        &json!({"spec": {"replicas": 1, "name": "abcd"}}),
        &["spec.name: Too long: may not be more than 3 bytes"],
    );
    check_value(
        &of,
        &json!({"spec": {"replicas": 1, "name": "A"}}),
        &[r#"spec.name: Invalid value: "A": spec.name in body should match '^[a-z]+$'"#],
    );
    check_value(
        &of,
        &json!({"spec": {"replicas": 1, "mode": "c"}}),
        &[r#"spec.mode: Unsupported value: "c": supported values: "a", "b""#],
    );
    check_value(
        &of,
        &json!({"spec": {"replicas": 1, "port": 1.5}}),
        &[r#"spec.port: Invalid value: "number": spec.port in body must be of type integer,string: "number""#],
    );
    check_value(
        &of,
        &json!({"spec": {"replicas": 1, "list": ["a", "b"]}}),
        &["spec.list: Too many: 2: must have at most 1 item"],
    );
    check_value(
        &of,
        &json!({"spec": {"replicas": null}}),
        &[r#"spec.replicas: Invalid value: "null": spec.replicas in body must be of type integer: "null""#],
    );
}

#[test]
fn the_nearest_alternative_is_told_of() {
    let of = json!({"type": "object", "properties": {"a": {"type": "object", "properties": {
        "x": {"type": "string"}, "y": {"type": "string"}}, "oneOf": [{"required": ["x"]}, {"required": ["y"]}]}}});
    check_value(&of, &json!({"a": {"x": "1"}}), &[]);
    check_value(
        &of,
        &json!({"a": {}}),
        &[
            r#"<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found none valid"#,
            "a.x: Required value",
        ],
    );
    check_value(
        &of,
        &json!({"a": {"x": "1", "y": "2"}}),
        &[r#"<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives"#],
    );
}

#[test]
fn what_an_update_does_not_change_is_not_looked_at_again() {
    let of = schema(&json!({"type": "object", "properties": {
        "a": {"type": "integer", "maximum": 5}, "b": {"type": "string"}}}));
    let (old, new) = (json!({"a": 9, "b": "x"}), json!({"a": 9, "b": "y"}));
    assert_eq!(validate(Place { value: &new, old: Some(&old), prefix: "" }, &of), Vec::new());
    let worse = json!({"a": 10, "b": "x"});
    assert_eq!(validate(Place { value: &worse, old: Some(&old), prefix: "" }, &of).len(), 1);
}

#[test]
fn undeclared_fields_go_and_are_told_by_path() {
    let of = schema(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}));
    let mut value = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a"}, "x": 1,
        "spec": {"items": [{"a": "1", "b": 2}], "free": {"z": 1}, "y": 1}});
    let unknown = prune(value.as_object_mut().unwrap(), &of);
    assert_eq!(unknown, ["spec.items[0].b", "spec.y", "x"]);
    assert_eq!(value["spec"], json!({"items": [{"a": "1"}], "free": {"z": 1}}));
}

#[test]
fn defaults_fill_what_is_absent_and_nulls_that_may_not_be() {
    let of = schema(&json!({"type": "object", "properties": {
        "a": {"type": "string", "default": "x"}, "b": {"type": "string", "nullable": true, "default": "y"},
        "c": {"type": "object", "default": {}, "properties": {"d": {"type": "integer", "default": 1}}},
        "e": {"type": "string"}}}));
    let mut value = json!({"a": null, "b": null, "e": null});
    prune_nulls(value.as_object_mut().unwrap(), Some(&of));
    fill(value.as_object_mut().unwrap(), &of);
    assert_eq!(value, json!({"a": "x", "b": null, "c": {"d": 1}}));
}

#[test]
fn defaults_of_many_items_end_where_no_object_can_hold_them() {
    let default = "x".repeat(1 << 20);
    let of = schema(&json!({"type": "object", "properties": {"l": {"type": "array", "items": {
        "type": "object", "properties": {"d": {"type": "string", "default": default}}}}}}));
    let mut value = json!({"l": vec![json!({}); 10_000]});
    fill(value.as_object_mut().unwrap(), &of);
    let filled = value["l"].as_array().unwrap().iter().filter(|item| item.get("d").is_some()).count();
    assert_eq!(filled, 15);
}

#[test]
fn numbers_are_held_against_their_format_and_their_bounds() {
    let of = json!({"type": "object", "properties": {"n": {"type": "integer", "format": "int32", "maximum": 1000000}}});
    let type_error = r#"n: Invalid value: "float64": n in body must be of type int32: "float64""#;
    let range_error = r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in n"#;
    let mut found = texts(validate(Place { value: &json!({"n": 1.5}), old: None, prefix: "" }, &schema(&of)));
    found.sort();
    assert_eq!(found, [range_error, type_error]);
    let over = "n: Invalid value: 2000000: n in body should be less than or equal to 1000000";
    check_value(&of, &json!({"n": 2_000_000}), &[over]);
    let of = json!({"type": "object", "properties": {"n": {"type": "number", "maximum": 1000000}}});
    check_value(
        &of,
        &json!({"n": 1e300}),
        &["n: Invalid value: 1e+300: n in body should be less than or equal to 1e+06"],
    );
}

#[test]
fn items_that_come_again_are_told() {
    let of = schema(&json!({"type": "object", "properties": {
        "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}}}}));
    let value = json!({"s": ["a", "b", "a"], "m": [{"k": "1"}, {"k": "1", "v": 2}]});
    let mut errors = Errors::new();
    validate_lists(value.as_object().unwrap(), &of, &Path::ROOT, &mut errors);
    assert_eq!(texts(errors), [r#"m[1]: Duplicate value: {"k":"1"}"#, r#"s[2]: Duplicate value: "a""#]);
}

#[test]
fn a_schema_must_be_structural() {
    let of = json!({"properties": {"a": {}, "metadata": {"type": "object", "description": "x"}},
        "anyOf": [{"properties": {"b": {"type": "string"}}}]});
    let errors = validate_structural(&Path::new("schema"), of.as_object().unwrap());
    assert_eq!(
        texts(errors),
        [
            "schema.anyOf[0].properties[b].type: Forbidden: must be empty to be structural",
            "schema.properties[a].type: Required value: must not be empty for specified object fields",
            "schema.properties[b]: Required value: because it is defined in schema.anyOf[0].properties[b]",
            "schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but \
             metadata is implicitly specified",
            "schema.type: Required value: must not be empty at the root",
        ]
    );
}

/// Any JSON, with many of the words that schemas are made of.
fn near_schema() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    const WORDS: [&str; 24] = [
        "type",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "object",
        "array",
        "string",
        "integer",
        "anyOf",
        "not",
        "enum",
        "default",
        "pattern",
        "format",
        "nullable",
        "x-kubernetes-list-type",
        "map",
        "maxLength",
        "minimum",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
    ];
    let word = || proptest::sample::select(WORDS.to_vec());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..6).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn any_schema_is_read_checked_and_applied(of in near_schema(), value in near_schema()) {
        let Some(props) = of.as_object() else { return Ok(()) };
        let schema = Schema::parse(props);
        let _ = validate(Place { value: &value, old: None, prefix: "" }, &schema);
        let _ = validate_structural(&Path::new("schema"), props);
    }
}
