//! The parameters of operations: those in the path, and the fields of the option types that a query may set.

use serde_json::{Value, json};

use super::schemas::Source;
use crate::api::schema::{Field, Shape};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const NAMESPACE: &str = "object name and auth scope, such as for teams and projects";

/// What a query parameter does, where the type that it is a field of has no description at hand.
const MEANINGS: [(&str, &str); 18] = [
    ("allowWatchBookmarks", "Ask a watch for events of type BOOKMARK."),
    ("continue", "Where the next page of a list begins, as the page before told it."),
    ("dryRun", "All: go through every step and keep nothing."),
    ("fieldManager", "Who makes the change, for field ownership."),
    ("fieldSelector", "A selector to restrict the list of returned objects by their fields. Defaults to everything."),
    ("fieldValidation", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."),
    ("force", "Take over fields of other managers; for apply only."),
    ("gracePeriodSeconds", "How long the object may take to end."),
    ("labelSelector", "A selector to restrict the list of returned objects by their labels. Defaults to everything."),
    ("limit", "How many objects a page of a list has at most."),
    ("orphanDependents", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "What becomes of dependents: Orphan, Background or Foreground."),
    ("resourceVersion", "How fresh the answer must be; where a watch begins."),
    ("resourceVersionMatch", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "Begin a watch with the present state and a bookmark behind it."),
    ("shardSelector", "Which part of the objects is wanted."),
    ("timeoutSeconds", "How long a list or watch may last."),
    (
        "watch",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove \
         notifications. Specify resourceVersion.",
    ),
];

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

fn parameter(name: &str, place: &str, (description, kind): (Option<&str>, &str)) -> Parameter {
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
pub(super) fn of_path(path: &str, kind: &str) -> Vec<Parameter> {
    let name = format!("name of the {kind}");
    let known = [("name", name.as_str()), ("namespace", NAMESPACE), ("path", "path to the resource")];
    let there = known.into_iter().filter(|(name, _)| path.contains(&format!("{{{name}}}")));
    there.map(|(name, description)| parameter(name, "path", (Some(description), "string"))).collect()
}

/// `pretty`.
pub(super) fn pretty() -> Parameter {
    let description = "If 'true', the answer is indented; by default for browsers, curl and wget only.";
    parameter("pretty", "query", (Some(description), "string"))
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
        let meaning = MEANINGS.iter().find(|(name, _)| *name == field.name).map(|(_, meaning)| *meaning);
        let known = source.descriptions.of_field(&name, &field.name);
        // What deletes says of these is said of all.
        let shared = || source.descriptions.of_field(&format!("{META}.DeleteOptions"), &field.name);
        let description = known.or_else(shared).or(meaning);
        Some(parameter(&field.name, "query", (description, kind)))
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
