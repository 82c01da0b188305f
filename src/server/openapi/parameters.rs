//! The parameters of operations: those in the path, and the fields of the option types that a query may set.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::schemas::Source;
use crate::api::schema::{Field, Shape};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// One parameter: where it stands, and its document.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Parameter {
    pub name: String,
    document: Value,
}

impl Parameter {
    /// As it stands in a document.
    pub(super) fn document(self) -> Value {
        self.document
    }

    /// By what parameters are sorted: those in the path before those of the query.
    pub(super) fn order(&self) -> (&str, bool) {
        (&self.name, self.document["in"] == "query")
    }
}

fn parameter(name: &str, place: &str, (description, kind): (Option<Cow<'static, str>>, &str)) -> Parameter {
    let mut document = json!({ "name": name, "in": place, "schema": { "type": kind, "uniqueItems": true } });
    if let Some(description) = description {
        document["description"] = json!(description);
    }
    if place == "path" {
        document["required"] = json!(true);
    }
    Parameter { name: name.to_owned(), document }
}

/// The parameters that stand in a path; `kind` is that of the object.
pub(super) fn of_path(source: Source<'_>, path: &str, kind: &str) -> Vec<Parameter> {
    let there = ["name", "namespace", "path"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
    let parameter = |name: &str| {
        let description = match name {
            "name" => Some(format!("name of the {kind}").into()),
            other => source.descriptions.of_parameter(other),
        };
        parameter(name, "path", (description, "string"))
    };
    there.map(parameter).collect()
}

/// `pretty`.
pub(super) fn pretty(source: Source<'_>) -> Parameter {
    parameter("pretty", "query", (source.descriptions.of_parameter("pretty"), "string"))
}

/// The fields of an option type that a query can set.
pub(super) fn of_options(source: Source<'_>, options: &str) -> Vec<Parameter> {
    let name = if options.contains('.') { options.to_owned() } else { format!("{META}.{options}") };
    let Some(id) = source.facts.types.find(&name) else { return Vec::new() };
    let of = source.facts.types.get(id);
    let settable = |field: &Field| {
        if matches!(&*field.name, "kind" | "apiVersion") {
            return None;
        }
        let kind = kind(&field.shape)?;
        Some(parameter(&field.name, "query", (source.of_field(&name, &field.name), kind)))
    };
    of.fields.iter().filter_map(settable).collect()
}

fn kind(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::String => Some("string"),
        Shape::Bool => Some("boolean"),
        Shape::Int32 | Shape::Int64 => Some("integer"),
        Shape::List(list) => kind(&list.item),
        Shape::Float64
        | Shape::Bytes
        | Shape::IntOrString
        | Shape::Quantity
        | Shape::Time
        | Shape::MicroTime
        | Shape::Duration
        | Shape::Json
        | Shape::FieldsV1
        | Shape::Struct(_)
        | Shape::SchemaOrArray(_)
        | Shape::SchemaOrBool(_)
        | Shape::SchemaOrStrings(_)
        | Shape::Map(_) => None,
    }
}
