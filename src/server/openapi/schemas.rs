//! The shapes of types as OpenAPI 3 schemas, with the extensions that clients merge and patch by.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::GroupVersionKind;
use crate::api::schema::{Field, ListKind, Patch, Shape, Struct, TypeId};

use crate::resources::facts::{Descriptions, Facts};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What schemas are made of.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub facts: &'a Facts,
    pub descriptions: &'a Descriptions,
    /// Whether the values of enums are told (`OpenAPIEnums`).
    pub enums: bool,
    pub whose: Whose<'a>,
}

/// Of what a document tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose<'a> {
    All,
    /// A built-in group and version.
    Version(&'a str, &'a str),
    /// The custom resources of a group and version.
    Custom,
}

/// Where a description begins to tell the values of an enum.
const VALUES: &str = "Possible enum values:";

impl Source<'_> {
    fn of_type(self, name: &str) -> Option<Cow<'static, str>> {
        self.told(self.descriptions.of_type(name)?)
    }

    /// What a field of a type is for.
    pub(super) fn of_field(self, name: &str, field: &str) -> Option<Cow<'static, str>> {
        self.told(self.descriptions.of_field(name, field)?)
    }

    /// Without `OpenAPIEnums` what the values are for is not told.
    fn told(self, text: Cow<'static, str>) -> Option<Cow<'static, str>> {
        let told = match text.find(VALUES) {
            Some(start) if !self.enums => Cow::Owned(text[..start].trim().to_owned()),
            Some(_) | None => text,
        };
        (!told.is_empty()).then_some(told)
    }
}

const SCHEMAS: &str = "#/components/schemas/";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// Where a schema stands in the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{name}")})
}

/// All schemas that the operations of a document lead to. `own` are those of custom resources.
pub(super) fn reachable(source: Source<'_>, paths: &Map<String, Value>, own: Map<String, Value>) -> Map<String, Value> {
    let mut special = special();
    let (mut own, mut out, mut open) = (own, Map::new(), Vec::new());
    paths.values().for_each(|path| references(path, &mut open));
    while let Some(name) = open.pop() {
        if out.contains_key(&name) {
            continue;
        }
        let made = own.remove(&name).or_else(|| {
            let mut schema = match special.remove(&*name) {
                Some(schema) => schema,
                None => {
                    let id = source.facts.types.find(&name)?;
                    return Some(schema(source, id, source.facts.types.get(id)));
                }
            };
            describe(&mut schema, source.of_type(&name));
            Some(schema)
        });
        if let Some(schema) = made {
            references(&schema, &mut open);
            out.insert(name, schema);
        }
    }
    out
}

/// The names that a tree refers to.
fn references(tree: &Value, out: &mut Vec<String>) {
    match tree {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(SCHEMAS));
            out.extend(name.map(str::to_owned));
            map.values().for_each(|value| references(value, out));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Types with a form of their own in JSON.
fn special() -> BTreeMap<String, Value> {
    let any = |name: &str| (format!("{EXTENSIONS}.{name}"), json!({}));
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
        (RAW.to_owned(), json!({"type": "object"})),
        any("JSON"),
        any("JSONSchemaPropsOrArray"),
        any("JSONSchemaPropsOrBool"),
        any("JSONSchemaPropsOrStringArray"),
    ])
}

fn schema(source: Source<'_>, id: TypeId, of: &Struct) -> Value {
    let described = |field: &Field| {
        let mut out = property(source, (of, field));
        describe(&mut out, source.of_field(&of.name, &field.name));
        (field.name.to_string(), out)
    };
    let properties: Map<String, Value> = of.fields.iter().map(described).collect();
    let mut out = json!({"type": "object"});
    describe(&mut out, source.of_type(&of.name));
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
    if let Some(unions) = of.unions.as_ref().and_then(|unions| serde_json::from_str::<Value>(unions).ok()) {
        out["x-kubernetes-unions"] = unions;
    }
    let kinds = kinds(source, id);
    if !kinds.is_empty() {
        out["x-kubernetes-group-version-kind"] = Value::from(kinds);
    }
    out
}

/// Groups whose kinds upstream's documents of custom resources do not know: they are made with the types of its client
/// (v1.37).
const UNKNOWN_TO_CLIENTS: [&str; 4] =
    ["admission.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "imagepolicy.k8s.io"];

/// What a type is known as: in the document of a version what that version and the oldest one call it.
fn kinds(source: Source<'_>, id: TypeId) -> Vec<Value> {
    let told = |gvk: &&GroupVersionKind| {
        let version = (&*gvk.group, &*gvk.version);
        match source.whose {
            Whose::All => true,
            Whose::Version(group, own) => version == (group, own) || version == ("", "v1"),
            Whose::Custom => !UNKNOWN_TO_CLIENTS.contains(&&*gvk.group),
        }
    };
    let all = source.facts.openapi_kinds.get(&id).map_or(&[][..], Vec::as_slice);
    let own: Vec<&GroupVersionKind> = all.iter().filter(told).collect();
    let mut kinds: Vec<Value> = Vec::new();
    for gvk in if own.is_empty() { all.iter().collect() } else { own } {
        let kind = json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn describe(schema: &mut Value, description: Option<Cow<'static, str>>) {
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

fn property(source: Source<'_>, (of, field): (&Struct, &Field)) -> Value {
    let facts = source.facts;
    let mut out = shape(facts, &field.shape);
    if of.name.starts_with(EXTENSIONS) {
        // What may be anything has a type of its own there.
        own_json(&mut out);
    }
    // Of the items of lists and of lists in maps nothing is declared.
    if &*field.name == "items" && of.name.ends_with("List") {
        undeclare(&mut out);
    }
    if let Some(default) = default(field) {
        wrap_reference(&mut out);
        out["default"] = default;
    }
    if let Some(extra) = &field.extra {
        if source.enums && !extra.enums.is_empty() {
            // Of a list or map they are those of what is in it.
            let inner = ["items", "additionalProperties"].into_iter().find(|key| out.get(key).is_some());
            let of = match inner {
                Some(key) => &mut out[key],
                None => &mut out,
            };
            of["enum"] = json!(extra.enums);
        }
        if let Some(format) = &extra.format {
            out["format"] = json!(format);
        }
    }
    if field.extra.as_ref().is_some_and(|extra| extra.granular) {
        wrap_reference(&mut out);
        out["x-kubernetes-map-type"] = json!("granular");
    }
    patch(&field.patch, &mut out);
    out
}

fn own_json(schema: &mut Value) {
    if *schema == reference(RAW) {
        *schema = reference(&format!("{EXTENSIONS}.JSON"));
    } else if let Some(items) = schema.get_mut("items") {
        own_json(items);
    }
}

fn undeclare(list: &mut Value) {
    if let Value::Object(list) = list {
        list.remove("x-kubernetes-list-type");
    }
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
        Shape::Json => reference(RAW),
        Shape::Struct(id) => reference(&facts.types.get(*id).name),
        Shape::List(list) => {
            let mut out = json!({"type": "array", "items": shape(facts, &list.item)});
            match &list.kind {
                // Of lists that are types of their own nothing is declared.
                ListKind::Atomic if list.wrapped => {}
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
            let mut value = shape(facts, &map.value);
            undeclare(&mut value);
            let mut out = json!({"type": "object", "additionalProperties": value});
            if map.atomic {
                out["x-kubernetes-map-type"] = json!("atomic");
            }
            out
        }
        Shape::SchemaOrArray(_) => reference(&format!("{EXTENSIONS}.JSONSchemaPropsOrArray")),
        Shape::SchemaOrBool(_) => reference(&format!("{EXTENSIONS}.JSONSchemaPropsOrBool")),
        Shape::SchemaOrStrings(_) => reference(&format!("{EXTENSIONS}.JSONSchemaPropsOrStringArray")),
    }
}
