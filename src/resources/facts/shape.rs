//! The words for shapes in `types.txt`.

use std::borrow::Cow;

use crate::api::schema::{List, ListKind, Map, Shape, Table};

/// The definition whose values the three `schemaOr…` words are variants of.
const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Reads a shape; struct names must already stand in the table.
pub(super) fn shape(text: &'static str, table: &Table) -> Result<Shape, String> {
    if let Some(rest) = text.strip_prefix("wrapped") {
        return list(rest, true, table);
    }
    if let Some(value) = text.strip_prefix("{}") {
        return Ok(Shape::Map(Box::new(Map { value: shape(value, table)?, atomic: false })));
    }
    if let Some(value) = text.strip_prefix("atomic{}") {
        return Ok(Shape::Map(Box::new(Map { value: shape(value, table)?, atomic: true })));
    }
    if ["[]", "atomic[]", "set[]", "map("].iter().any(|prefix| text.starts_with(prefix)) {
        return list(text, false, table);
    }
    word(text, table)
}

fn list(text: &'static str, wrapped: bool, table: &Table) -> Result<Shape, String> {
    let (kind, item) = text.split_once("[]").ok_or_else(|| format!("no item in {text}"))?;
    let kind = match kind {
        "" | "atomic" => ListKind::Atomic,
        "set" => ListKind::Set,
        _ => ListKind::Map(keys(kind)?),
    };
    Ok(Shape::List(Box::new(List { item: shape(item, table)?, kind, wrapped })))
}

fn keys(text: &'static str) -> Result<Vec<Cow<'static, str>>, String> {
    let keys = text.strip_prefix("map(").and_then(|rest| rest.strip_suffix(')'));
    let keys = keys.ok_or_else(|| format!("no list kind: {text}"))?;
    Ok(keys.split(',').map(Cow::Borrowed).collect())
}

fn word(text: &'static str, table: &Table) -> Result<Shape, String> {
    let find = |name: &str| table.find(name).ok_or_else(|| format!("no type is called {name}"));
    Ok(match text {
        "string" => Shape::String,
        "bool" => Shape::Bool,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "float64" => Shape::Float64,
        "bytes" => Shape::Bytes,
        "intstr" => Shape::IntOrString,
        "quantity" => Shape::Quantity,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "duration" => Shape::Duration,
        "json" => Shape::Json,
        "fieldsv1" => Shape::FieldsV1,
        "schemaOrArray" => Shape::SchemaOrArray(find(SCHEMA)?),
        "schemaOrBool" => Shape::SchemaOrBool(find(SCHEMA)?),
        "schemaOrStrings" => Shape::SchemaOrStrings(find(SCHEMA)?),
        name => Shape::Struct(find(name)?),
    })
}
