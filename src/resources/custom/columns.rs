//! Printed columns of custom resources (apiextensions-apiserver `registry/customresource/tableconvertor`).

use serde_json::{Number, Value};

use super::definition::{ColumnSpec, VersionSpec};
use crate::api::Object;
use crate::api::json_path::JsonPath;
use crate::api::schema::Str;
use crate::resources::{Column, Moment, print};

/// What every table says of names.
pub(in crate::resources) const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some \
    resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
/// What every table says of the time of creation.
pub(in crate::resources) const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It \
    is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It \
    is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A column with the path to what stands in it.
pub(super) struct Printed {
    kind: Str,
    path: JsonPath,
}

/// The columns of a version: its own, or the age.
fn specs(version: &VersionSpec) -> Vec<ColumnSpec> {
    if !version.additional_printer_columns.is_empty() {
        return version.additional_printer_columns.clone();
    }
    vec![ColumnSpec {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        description: CREATED.to_owned(),
        json_path: ".metadata.creationTimestamp".to_owned(),
        ..ColumnSpec::default()
    }]
}

/// Those columns whose paths are understood; upstream stops at the first that is not.
fn understood(version: &VersionSpec) -> impl Iterator<Item = (ColumnSpec, JsonPath)> {
    specs(version).into_iter().map_while(|spec| JsonPath::parse(&spec.json_path).map(|path| (spec, path)))
}

pub(super) fn printed(version: &VersionSpec) -> Vec<Printed> {
    understood(version).map(|(spec, path)| Printed { kind: spec.kind.into(), path }).collect()
}

pub(super) fn headers(version: &VersionSpec) -> Vec<Column> {
    let name = Column {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        description: NAME.into(),
        priority: 0,
    };
    let column = |(spec, _): (ColumnSpec, JsonPath)| {
        let derived = || format!("Custom resource definition column (in JSONPath format): {}", spec.json_path);
        Column {
            description: if spec.description.is_empty() { derived() } else { spec.description }.into(),
            name: spec.name.into(),
            kind: spec.kind.into(),
            format: spec.format.into(),
            priority: spec.priority,
        }
    };
    std::iter::once(name).chain(understood(version).map(column)).collect()
}

/// The cells of one row.
pub(super) fn cells(columns: &[Printed], object: &Object, moment: &Moment) -> Vec<Value> {
    let root = Value::Object(object.root().clone());
    let cell = |column: &Printed| {
        let found = column.path.find(&root);
        found.first().map_or(Value::Null, |value| cell(&column.kind, value, moment))
    };
    std::iter::once(Value::from(object.name())).chain(columns.iter().map(cell)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "upstream cuts numbers in columns of integers")]
fn cell(kind: &str, value: &Value, moment: &Moment) -> Value {
    match (kind, value) {
        ("string", value) => Value::String(text(value)),
        ("integer", Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(number)) => Value::Number(number.clone()),
        ("boolean", Value::Bool(flag)) => Value::Bool(*flag),
        ("date", Value::String(time)) => {
            let elapsed = print::elapsed(time, moment);
            Value::String(elapsed.map_or_else(|| "<invalid>".to_owned(), print::human_duration))
        }
        _ => Value::Null,
    }
}

/// A value as upstream's templates print it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => go_number(number),
        Value::Null => "<nil>".to_owned(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn go_number(number: &Number) -> String {
    let mut out = Vec::new();
    crate::api::codec::json::write_number(&mut out, number);
    String::from_utf8(out).unwrap_or_default()
}
