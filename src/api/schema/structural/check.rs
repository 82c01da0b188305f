//! Whether a schema is structural (apiextensions-apiserver `schema/validation.go`, `complete.go`), read from the JSON in
//! which a definition has it.

use serde_json::{Map, Value};

use super::pattern;
use crate::api::field::{Errors, FieldError, Path};

/// A `JSONSchemaProps` as JSON.
pub type Props = Map<String, Value>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// A field of a schema that is a schema.
pub fn child<'a>(props: &'a Props, key: &str) -> Option<&'a Props> {
    props.get(key).and_then(Value::as_object)
}

/// The schemas of a list.
pub fn list<'a>(props: &'a Props, key: &str) -> impl Iterator<Item = &'a Props> {
    props.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The schemas of a map.
pub fn entries<'a>(props: &'a Props, key: &str) -> impl Iterator<Item = (&'a str, &'a Props)> {
    let map = props.get(key).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(name, of)| Some((name.as_str(), of.as_object()?)))
}

/// A text of a schema; empty when it is not there.
pub fn text<'a>(props: &'a Props, key: &str) -> &'a str {
    props.get(key).and_then(Value::as_str).unwrap_or("")
}

/// Whether a flag is set.
pub fn flag(props: &Props, key: &str) -> bool {
    props.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Whether something in a schema, or in a schema below it, is as asked.
pub fn any(props: &Props, is: &dyn Fn(&Props) -> bool) -> bool {
    let mut found = is(props);
    for key in ["items", "additionalProperties", "not", "additionalItems"] {
        found = found || child(props, key).is_some_and(|below| any(below, is));
    }
    for key in ["items", "allOf", "anyOf", "oneOf"] {
        found = found || list(props, key).any(|below| any(below, is));
    }
    for key in ["properties", "patternProperties", "definitions", "dependencies"] {
        found = found || entries(props, key).any(|(_, below)| any(below, is));
    }
    found
}

/// Whether a schema has what no structural schema can express at all.
pub fn unsupported(props: &Props) -> bool {
    any(props, &|of| {
        ["id", "$schema", "$ref"].iter().any(|key| !text(of, key).is_empty())
            || ["patternProperties", "dependencies", "additionalItems", "definitions"]
                .iter()
                .any(|k| of.contains_key(*k))
            || of.get("items").is_some_and(Value::is_array)
            || of.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false))
    })
}

/// All that keeps a schema from being structural, sorted by text as upstream does.
pub fn validate_structural(path: &Path<'_>, props: &Props) -> Errors {
    let mut errors = Errors::new();
    invariants(props, Level::Root, path, &mut errors);
    completeness(props, Some(props), (path, path), &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn invariants(props: &Props, level: Level, path: &Path<'_>, errors: &mut Errors) {
    if text(props, "type") == "array" && child(props, "items").is_none() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    if let Some(items) = child(props, "items") {
        invariants(items, Level::Item, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, of) in entries(props, "properties") {
        invariants(of, Level::Field, &properties.key(name), errors);
    }
    if props.contains_key("additionalProperties") {
        let at = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(&at, "must not be used at the root"));
        }
        if let Some(of) = child(props, "additionalProperties") {
            invariants(of, Level::Field, &at, errors);
        }
    }
    extensions(props, path, errors);
    let skip = Skip { any_of: int_or_string(props, "anyOf"), first_all_of: first_all_of(props) };
    value_validation(props, skip, path, errors);
    types(props, level, path, errors);
    metadata(props, level, path, errors);
    let embedded = flag(props, "x-kubernetes-embedded-resource");
    if embedded && !flag(props, "x-kubernetes-preserve-unknown-fields") && entries(props, "properties").next().is_none()
    {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), detail));
    }
}

fn extensions(props: &Props, path: &Path<'_>, errors: &mut Errors) {
    if !flag(props, "x-kubernetes-int-or-string") {
        return;
    }
    for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(props, key) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(&path.child(key), true, detail));
        }
    }
}

fn types(props: &Props, level: Level, path: &Path<'_>, errors: &mut Errors) {
    let (name, at) = (text(props, "type"), path.child("type"));
    let embedded = flag(props, "x-kubernetes-embedded-resource");
    let open = flag(props, "x-kubernetes-int-or-string") || flag(props, "x-kubernetes-preserve-unknown-fields");
    if embedded && name != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if name.is_empty() {
            FieldError::required(&at, detail)
        } else {
            FieldError::invalid(&at, name, detail)
        });
    } else if name.is_empty() && !open {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&at, detail));
    }
    if embedded && props.contains_key("additionalProperties") {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !name.is_empty() && name != "object" {
        errors.push(FieldError::invalid(&at, name, "must be object at the root"));
    }
}

fn metadata(props: &Props, level: Level, path: &Path<'_>, errors: &mut Errors) {
    let whole = level == Level::Root || flag(props, "x-kubernetes-embedded-resource");
    let properties = path.child("properties");
    let Some(fields) = child(props, "properties") else { return };
    for key in ["kind", "apiVersion"] {
        let Some(of) = child(fields, key).filter(|of| whole && text(of, "type") != "string") else { continue };
        let at = properties.key(key);
        errors.push(FieldError::invalid(&at.child("type"), text(of, "type"), "must be string"));
    }
    let Some(of) = child(fields, "metadata") else { return };
    let at = properties.key("metadata");
    if whole && text(of, "type") != "object" {
        errors.push(FieldError::invalid(&at.child("type"), text(of, "type"), "must be object"));
    }
    if level == Level::Root && !only_names(of) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(&at, detail));
    }
}

/// Whether the schema of metadata says nothing but what names must look like.
fn only_names(of: &Props) -> bool {
    of.iter().all(|(key, value)| match key.as_str() {
        "type" | "default" => true,
        "properties" => value
            .as_object()
            .is_some_and(|fields| fields.keys().all(|name| matches!(name.as_str(), "name" | "generateName"))),
        _ => false,
    })
}

#[derive(Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    first_all_of: bool,
}

/// `anyOf: [{type: integer}, {type: string}]`.
fn int_or_string(props: &Props, key: &str) -> bool {
    let only = |of: &Props, name: &str| of.len() == 1 && text(of, "type") == name;
    match list(props, key).collect::<Vec<_>>().as_slice() {
        [a, b] => only(a, "integer") && only(b, "string"),
        _ => false,
    }
}

fn first_all_of(props: &Props) -> bool {
    list(props, "allOf").next().is_some_and(|first| int_or_string(first, "anyOf"))
}

fn value_validation(props: &Props, skip: Skip, path: &Path<'_>, errors: &mut Errors) {
    for key in ["anyOf", "allOf", "oneOf"] {
        if key == "anyOf" && skip.any_of {
            continue;
        }
        let at = path.child(key);
        for (index, of) in list(props, key).enumerate() {
            let inner = Skip { any_of: key == "allOf" && index == 0 && skip.first_all_of, first_all_of: false };
            nested(of, inner, &at.index(index), errors);
        }
    }
    if let Some(of) = child(props, "not") {
        nested(of, Skip::default(), &path.child("not"), errors);
    }
    let written = text(props, "pattern");
    if !written.is_empty()
        && let Err(error) = pattern::check(written)
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(&path.child("pattern"), written, detail));
    }
}

/// A schema below `allOf` and its like may say nothing of types and structure.
fn nested(props: &Props, skip: Skip, path: &Path<'_>, errors: &mut Errors) {
    value_validation(props, skip, path, errors);
    if let Some(items) = child(props, "items") {
        nested(items, Skip::default(), &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, of) in entries(props, "properties") {
        nested(of, Skip::default(), &properties.key(name), errors);
    }
    const FORBIDDEN: [(&str, &str); 12] = [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
    ];
    for (key, detail) in FORBIDDEN {
        let said = props.get(key).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)));
        if said {
            errors.push(FieldError::forbidden(&path.child(key), detail));
        }
    }
    if props.get("x-kubernetes-validations").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty()) {
        let at = path.child("x-kubernetes-validations");
        errors.push(FieldError::forbidden(&at, "must be empty to be structural"));
    }
    if entries(props, "properties").any(|(name, _)| name == "metadata") {
        let at = properties.key("metadata");
        errors.push(FieldError::forbidden(&at, "must not be specified in a nested context"));
    }
}

/// What is said of a field below `allOf` and its like must be declared outside as well.
fn completeness(props: &Props, outside: Option<&Props>, at: (&Path<'_>, &Path<'_>), errors: &mut Errors) {
    let (outer, inner) = at;
    if outside.is_none() {
        errors.push(FieldError::required(outer, format!("because it is defined in {inner}")));
        return;
    }
    if let Some(of) = child(props, "not") {
        nested_completeness(of, outside, (outer, &inner.child("not")), errors);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        let below = inner.child(key);
        for (index, of) in list(props, key).enumerate() {
            nested_completeness(of, outside, (outer, &below.index(index)), errors);
        }
    }
}

fn nested_completeness(props: &Props, outside: Option<&Props>, at: (&Path<'_>, &Path<'_>), errors: &mut Errors) {
    let (outer, inner) = at;
    let Some(structure) = outside else {
        errors.push(FieldError::required(outer, format!("because it is defined in {inner}")));
        return;
    };
    completeness(props, outside, at, errors);
    if let Some(items) = child(props, "items") {
        let below = (&outer.child("items"), &inner.child("items"));
        nested_completeness(items, child(structure, "items"), below, errors);
    }
    let (outer_fields, inner_fields) = (outer.child("properties"), inner.child("properties"));
    for (name, of) in entries(props, "properties") {
        let below = (&outer_fields.key(name), &inner_fields.key(name));
        let declared = child(structure, "properties").and_then(|fields| child(fields, name));
        nested_completeness(of, declared, below, errors);
    }
}
