//! Schemas of custom resources in the form in which objects are held against them: what upstream calls structural
//! (apiextensions-apiserver `pkg/apiserver/schema`). Read from the JSON of a definition once, without its texts; walked
//! for pruning, defaulting, coercing metadata, validation and ownership.

pub mod check;
mod default;
mod formats;
mod lists;
mod metadata;
mod pattern;
mod prune;
mod types;
mod validate;

use serde_json::{Map, Value};

pub use default::fill;
pub use formats::unrecognised;
pub use lists::validate_lists;
pub use metadata::{Malformed, MetaType, coerce, coerce_metadata, validate_embedded};
pub use pattern::Pattern;
pub use prune::{prune, prune_nulls, prune_value};
pub use types::{Built, build};
pub use validate::{Place, validate};

/// One node of a schema. Nodes below `allOf` and its like are of the same form, although they may say less.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub json_type: Option<JsonType>,
    pub nullable: bool,
    pub preserve_unknown: bool,
    /// The value is a Kubernetes object of its own.
    pub embedded: bool,
    pub int_or_string: bool,
    /// `x-kubernetes-map-type: atomic`.
    pub map_atomic: bool,
    pub list: Option<ListType>,
    pub items: Option<Box<Self>>,
    /// Sorted by name.
    pub properties: Box<[(Box<str>, Self)]>,
    pub additional: Additional,
    pub default: Option<Box<Value>>,
    /// `x-kubernetes-validations` as JSON.
    pub rules: Option<Box<Value>>,
    pub checks: Option<Box<Checks>>,
}

/// `type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonType {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListType {
    Atomic,
    Set,
    Map(Box<[Box<str>]>),
}

/// `additionalProperties`.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    #[default]
    Absent,
    Allowed(bool),
    Of(Box<Schema>),
}

/// What values of a node must be beside their type.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// Only formats that are enforced for the node's type.
    pub format: Option<Box<str>>,
    pub maximum: Option<f64>,
    pub minimum: Option<f64>,
    pub exclusive_maximum: bool,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub pattern: Option<Pattern>,
    pub enums: Box<[Value]>,
    pub required: Box<[Box<str>]>,
    pub all_of: Box<[Schema]>,
    pub any_of: Box<[Schema]>,
    pub one_of: Box<[Schema]>,
    pub not: Option<Box<Schema>>,
}

impl JsonType {
    /// As schemas name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Array, Self::Boolean, Self::Integer, Self::Number, Self::Object, Self::String];
        all.into_iter().find(|of| of.as_str() == name)
    }
}

impl Schema {
    /// Reads a `JSONSchemaProps`. What a definition may not have was refused when it was written and is passed over.
    pub fn parse(props: &Map<String, Value>) -> Self {
        let flag = |key: &str| props.get(key).and_then(Value::as_bool).unwrap_or(false);
        let mut schema = Self {
            json_type: props.get("type").and_then(Value::as_str).and_then(JsonType::parse),
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            map_atomic: props.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
            list: list_type(props),
            items: props.get("items").and_then(Value::as_object).map(|items| Box::new(Self::parse(items))),
            properties: properties(props),
            additional: additional(props),
            default: props.get("default").filter(|value| !value.is_null()).cloned().map(Box::new),
            rules: props.get("x-kubernetes-validations").cloned().map(Box::new),
            checks: None,
        };
        schema.checks = checks(props, &schema);
        schema
    }

    /// The schema of a declared field.
    pub fn property(&self, name: &str) -> Option<&Self> {
        let at = self.properties.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// The schema of entries that are not declared.
    pub fn additional_schema(&self) -> Option<&Self> {
        match &self.additional {
            Additional::Of(schema) => Some(schema),
            Additional::Absent | Additional::Allowed(_) => None,
        }
    }
}

fn list_type(props: &Map<String, Value>) -> Option<ListType> {
    match props.get("x-kubernetes-list-type")?.as_str()? {
        "set" => Some(ListType::Set),
        "map" => Some(ListType::Map(texts(props, "x-kubernetes-list-map-keys"))),
        _ => Some(ListType::Atomic),
    }
}

fn texts(props: &Map<String, Value>, key: &str) -> Box<[Box<str>]> {
    let list = props.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(Box::from).collect()
}

fn properties(props: &Map<String, Value>) -> Box<[(Box<str>, Schema)]> {
    let fields = props.get("properties").and_then(Value::as_object).into_iter().flatten();
    let named = fields.filter_map(|(name, of)| Some((Box::from(name.as_str()), Schema::parse(of.as_object()?))));
    let mut all: Vec<(Box<str>, Schema)> = named.collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into()
}

fn additional(props: &Map<String, Value>) -> Additional {
    match props.get("additionalProperties") {
        Some(Value::Bool(allowed)) => Additional::Allowed(*allowed),
        Some(Value::Object(of)) => Additional::Of(Box::new(Schema::parse(of))),
        _ => Additional::Absent,
    }
}

fn checks(props: &Map<String, Value>, of: &Schema) -> Option<Box<Checks>> {
    let float = |key: &str| props.get(key).and_then(Value::as_f64);
    let int = |key: &str| props.get(key).and_then(Value::as_i64);
    let flag = |key: &str| props.get(key).and_then(Value::as_bool).unwrap_or(false);
    let text = |key: &str| props.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let schemas = |key: &str| -> Box<[Schema]> {
        let list = props.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_object).map(Schema::parse).collect()
    };
    const KEYS: [&str; 19] = [
        "format",
        "maximum",
        "minimum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "multipleOf",
        "maxLength",
        "minLength",
        "maxItems",
        "minItems",
        "maxProperties",
        "minProperties",
        "pattern",
        "enum",
        "required",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
    ];
    if !KEYS.iter().any(|key| props.contains_key(*key)) {
        return None;
    }
    let type_name = props.get("type").and_then(Value::as_str).unwrap_or("");
    let type_name = if of.int_or_string { "integer,string" } else { type_name };
    Some(Box::new(Checks {
        format: text("format").filter(|format| formats::enforced(type_name, format)).map(Box::from),
        maximum: float("maximum"),
        minimum: float("minimum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        multiple_of: float("multipleOf"),
        max_length: int("maxLength"),
        min_length: int("minLength"),
        max_items: int("maxItems"),
        min_items: int("minItems"),
        max_properties: int("maxProperties"),
        min_properties: int("minProperties"),
        pattern: text("pattern").map(Pattern::new),
        enums: props.get("enum").and_then(Value::as_array).cloned().unwrap_or_default().into(),
        required: texts(props, "required"),
        all_of: schemas("allOf"),
        any_of: schemas("anyOf"),
        one_of: schemas("oneOf"),
        not: props.get("not").and_then(Value::as_object).map(|of| Box::new(Schema::parse(of))),
    }))
}

#[cfg(test)]
mod tests;
