//! The shapes of types as OpenAPI 3 schemas, with the extensions that clients merge and patch by.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::custom;
use super::descriptions::Descriptions;
use crate::api::schema::{Field, ListKind, Patch, Shape, Struct, TypeId};
use crate::resources::Kind;
use crate::resources::facts::Facts;
use std::sync::Arc;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What schemas are made of.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub facts: &'a Facts,
    pub descriptions: &'a Descriptions,
}

/// Where a schema stands in the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// All schemas that the kinds of a document lead to.
pub(super) fn reachable(source: Source<'_>, kinds: &[&Arc<Kind>]) -> Map<String, Value> {
    let facts = source.facts;
    let mut open: Vec<TypeId> = Vec::new();
    let mut made: Vec<(String, Value)> = Vec::new();
    for kind in kinds {
        match &kind.custom {
            Some(version) => {
                made.extend(custom::schemas(kind, version, custom::Form::V3));
                let meta = ["ObjectMeta", "ListMeta"].map(|name| facts.types.find(&format!("{META}.{name}")));
                open.extend(meta.into_iter().flatten());
            }
            None => open.push(kind.type_id),
        }
        open.extend(kind.list_type_id);
        open.extend(kind.subresources.iter().filter_map(|sub| facts.type_of(&sub.payload)));
    }
    let meta = ["Status", "DeleteOptions", "WatchEvent"];
    open.extend(meta.iter().filter_map(|name| facts.types.find(&format!("{META}.{name}"))));
    let mut out = special();
    for (name, schema) in &mut out {
        describe(schema, source.descriptions.of_type(name));
    }
    out.into_iter().chain(below(source, open)).chain(made).collect()
}

/// The schemas of types and of all that they lead to, without those of a form of their own.
pub(super) fn below(source: Source<'_>, mut open: Vec<TypeId>) -> Map<String, Value> {
    let facts = source.facts;
    let mut seen: BTreeSet<TypeId> = BTreeSet::new();
    let mut out: BTreeMap<String, Value> = BTreeMap::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let of = facts.types.get(id);
        out.insert(of.name.to_string(), schema(source, id, of));
        of.fields.iter().for_each(|field| structs(&field.shape, &mut open));
    }
    out.into_iter().collect()
}

fn structs(shape: &Shape, out: &mut Vec<TypeId>) {
    match shape {
        Shape::Struct(id) | Shape::SchemaOrArray(id) | Shape::SchemaOrBool(id) | Shape::SchemaOrStrings(id) => {
            out.push(*id);
        }
        Shape::List(list) => structs(&list.item, out),
        Shape::Map(map) => structs(&map.value, out),
        Shape::String
        | Shape::Bool
        | Shape::Int32
        | Shape::Int64
        | Shape::Float64
        | Shape::Bytes
        | Shape::IntOrString
        | Shape::Quantity
        | Shape::Time
        | Shape::MicroTime
        | Shape::Duration
        | Shape::Json
        | Shape::FieldsV1 => {}
    }
}

/// Types with a form of their own in JSON.
fn special() -> BTreeMap<String, Value> {
    let date = |name: &str| (format!("{META}.{name}"), json!({"type": "string", "format": "date-time"}));
    BTreeMap::from([
        (
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString".to_owned(),
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        ),
        (
            "io.k8s.apimachinery.pkg.api.resource.Quantity".to_owned(),
            json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        ),
        date("Time"),
        date("MicroTime"),
        (format!("{META}.Duration"), json!({"type": "string"})),
        (format!("{META}.FieldsV1"), json!({"type": "object"})),
        (format!("{META}.Patch"), json!({"type": "object"})),
        ("io.k8s.apimachinery.pkg.runtime.RawExtension".to_owned(), json!({"type": "object"})),
    ])
}

fn schema(source: Source<'_>, id: TypeId, of: &Struct) -> Value {
    let described = |field: &Field| {
        let mut out = property(source.facts, field);
        describe(&mut out, source.descriptions.of_field(&of.name, &field.name));
        (field.name.to_string(), out)
    };
    let properties: Map<String, Value> = of.fields.iter().map(described).collect();
    let mut out = json!({"type": "object"});
    describe(&mut out, source.descriptions.of_type(&of.name));
    if !properties.is_empty() {
        out["properties"] = Value::Object(properties);
    }
    let required: Vec<&str> = of.fields.iter().filter(|field| field.required).map(|field| &*field.name).collect();
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    if of.atomic {
        out["x-kubernetes-map-type"] = json!("atomic");
    }
    if of.preserve_unknown {
        out["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
    if let Some(kinds) = source.facts.openapi_kinds.get(&id) {
        let kind =
            |gvk: &crate::api::GroupVersionKind| json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
        out["x-kubernetes-group-version-kind"] = kinds.iter().map(kind).collect();
    }
    out
}

fn describe(schema: &mut Value, description: Option<&str>) {
    let Some(description) = description else { return };
    wrap_reference(schema);
    schema["description"] = json!(description);
}

/// A reference has no siblings in OpenAPI 3.0.
pub(super) fn wrap_reference(schema: &mut Value) {
    if schema.get("$ref").is_some() {
        *schema = json!({ "allOf": [schema.take()] });
    }
}

fn property(facts: &Facts, field: &Field) -> Value {
    let mut out = shape(facts, &field.shape);
    if let Some(default) = default(field) {
        wrap_reference(&mut out);
        out["default"] = default;
    }
    if let Some(extra) = &field.extra {
        if !extra.enums.is_empty() {
            out["enum"] = json!(extra.enums);
        }
        if let Some(format) = &extra.format {
            out["format"] = json!(format);
        }
    }
    patch(&field.patch, &mut out);
    out
}

/// The declared default, or what follows from a Go field that is always there.
fn default(field: &Field) -> Option<Value> {
    if let Some(default) = field.default() {
        return Some(default.clone());
    }
    if field.pointer {
        return None;
    }
    match &field.shape {
        Shape::Struct(_) => Some(json!({})),
        Shape::String if !field.omit_empty => Some(json!("")),
        Shape::Int32 | Shape::Int64 if !field.omit_empty => Some(json!(0)),
        Shape::Bool if !field.omit_empty => Some(json!(false)),
        _ => None,
    }
}

fn patch(patch: &Patch, out: &mut Value) {
    let strategies = [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")];
    let strategies: Vec<&str> = strategies.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
    let key = patch.merge_key.as_ref();
    if !strategies.is_empty() || key.is_some() {
        wrap_reference(out);
    }
    if !strategies.is_empty() {
        out["x-kubernetes-patch-strategy"] = json!(strategies.join(","));
    }
    if let Some(key) = key {
        out["x-kubernetes-patch-merge-key"] = json!(key);
    }
}

fn shape(facts: &Facts, of: &Shape) -> Value {
    let meta = |name: &str| reference(&format!("{META}.{name}"));
    match of {
        Shape::String => json!({"type": "string"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Float64 => json!({"type": "number", "format": "double"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::IntOrString => reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
        Shape::Quantity => reference("io.k8s.apimachinery.pkg.api.resource.Quantity"),
        Shape::Time => meta("Time"),
        Shape::MicroTime => meta("MicroTime"),
        Shape::Duration => meta("Duration"),
        Shape::FieldsV1 => meta("FieldsV1"),
        Shape::Json => json!({"x-kubernetes-preserve-unknown-fields": true}),
        Shape::Struct(id) => reference(&facts.types.get(*id).name),
        Shape::List(list) => {
            let mut out = json!({"type": "array", "items": shape(facts, &list.item)});
            match &list.kind {
                ListKind::Atomic => out["x-kubernetes-list-type"] = json!("atomic"),
                ListKind::Set => out["x-kubernetes-list-type"] = json!("set"),
                ListKind::Map(keys) => {
                    out["x-kubernetes-list-type"] = json!("map");
                    out["x-kubernetes-list-map-keys"] = json!(keys);
                }
            }
            out
        }
        Shape::Map(map) => {
            let mut out = json!({"type": "object", "additionalProperties": shape(facts, &map.value)});
            if map.atomic {
                out["x-kubernetes-map-type"] = json!("atomic");
            }
            out
        }
        // Either a schema or something plainer: no type at all says so.
        Shape::SchemaOrArray(_) | Shape::SchemaOrBool(_) | Shape::SchemaOrStrings(_) => json!({}),
    }
}
