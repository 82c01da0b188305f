//! The schemas of custom resources as documents show them, made from the JSON of their definitions when asked for
//! (apiextensions-apiserver `pkg/controller/openapi/builder`).

use serde_json::{Map, Value, json};

use super::schemas::{reference, wrap_reference};
use crate::api::GroupVersionKind;
use crate::api::field::Path;
use crate::api::schema::structural::check::{Props, any, unsupported, validate_structural};
use crate::resources::custom::{Version, schema_of};
use crate::resources::{Kind, apiextensions};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const OBJECT_META: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_META: &str = "Standard list metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
    convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer \
    this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const EMBEDDED_API_VERSION: &str = "apiVersion defines the versioned schema of this representation of an object. More \
    info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND: &str = "kind is a string value representing the type of this object. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// Which of the two forms of OpenAPI a schema is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    V2,
    V3,
}

/// The name of a type in documents: `com.example.v1.Foo`.
pub(super) fn model_name(gvk: &GroupVersionKind) -> String {
    let mut parts: Vec<&str> = gvk.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), gvk.version, gvk.kind)
}

/// The name of the type of lists.
pub(super) fn list_name(kind: &Kind) -> String {
    model_name(&GroupVersionKind { kind: kind.list_kind.clone(), ..kind.gvk.clone() })
}

/// The schemas of a kind and of its list, by name.
pub(super) fn schemas(kind: &Kind, version: &Version, form: Form) -> [(String, Value); 2] {
    let name = model_name(&kind.gvk);
    let mut object = object(kind, version, form);
    let mut list = list(kind, &name, form);
    let fields = version.selectable().iter().map(|field| json!({ "fieldPath": field }));
    let fields: Vec<Value> = fields.collect();
    for schema in [&mut object, &mut list].into_iter().filter(|_| !fields.is_empty()) {
        schema["x-kubernetes-selectable-fields"] = Value::from(fields.clone());
    }
    [(name, object), (list_name(kind), list)]
}

fn object(kind: &Kind, version: &Version, form: Form) -> Value {
    let props = schema_of(&version.source(), &kind.gvk.version).filter(|props| {
        let types = !any(props, &apiextensions::has_unknown_type);
        types && !unsupported(props) && validate_structural(&Path::ROOT, props).is_empty()
    });
    let open = |props: &Props| props.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let mut schema = match props {
        Some(props) if form == Form::V3 || !open(&props) => whole(props, form),
        // Clients that check by the older form would refuse whatever is not listed.
        Some(_) | None => Map::from_iter([("type".to_owned(), json!("object"))]),
    };
    schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk(&kind.gvk)]));
    Value::Object(schema)
}

fn gvk(gvk: &GroupVersionKind) -> Value {
    json!({ "group": gvk.group, "version": gvk.version, "kind": gvk.kind })
}

fn whole(mut props: Props, form: Form) -> Props {
    unfold(&mut props);
    if form == Form::V2 {
        simplify(&mut props);
    }
    embedded(&mut props, form);
    let properties = fields(&mut props);
    properties.insert("metadata".to_owned(), described_reference("ObjectMeta", OBJECT_META, form));
    properties.insert("apiVersion".to_owned(), json!({ "type": "string", "description": API_VERSION }));
    properties.insert("kind".to_owned(), json!({ "type": "string", "description": KIND }));
    props
}

fn fields(props: &mut Props) -> &mut Props {
    let slot = props.entry("properties").or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("it was made an object above")
}

fn described_reference(name: &str, description: &str, form: Form) -> Value {
    let mut out = match form {
        Form::V3 => reference(&format!("{META}.{name}")),
        Form::V2 => json!({ "$ref": format!("#/definitions/{META}.{name}") }),
    };
    if form == Form::V3 {
        wrap_reference(&mut out);
    }
    out["description"] = json!(description);
    out
}

/// Every schema directly below this one that describes a part of a value.
fn parts(props: &mut Props) -> Vec<&mut Props> {
    let mut out = Vec::new();
    for (key, value) in props.iter_mut() {
        match (key.as_str(), value) {
            ("items" | "additionalProperties", Value::Object(of)) => out.push(of),
            ("properties", Value::Object(of)) => out.extend(of.values_mut().filter_map(Value::as_object_mut)),
            _ => {}
        }
    }
    out
}

/// Says of values that are integers or texts that they are, where the schema does not.
fn unfold(props: &mut Props) {
    parts(props).into_iter().for_each(unfold);
    if props.get("x-kubernetes-int-or-string") != Some(&Value::Bool(true)) {
        return;
    }
    let either = json!([{ "type": "integer" }, { "type": "string" }]);
    let first = props.get("allOf").and_then(|all| all.get(0)).and_then(|first| first.get("anyOf"));
    if props.get("anyOf") == Some(&either) || first == Some(&either) {
        return;
    }
    if props.contains_key("anyOf") {
        let all = props.entry("allOf").or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.insert(0, json!({ "anyOf": either }));
        }
    } else {
        props.insert("anyOf".to_owned(), either);
    }
}

/// Drops what the older form cannot say, and what its clients stumble over.
fn simplify(props: &mut Props) {
    for key in ["allOf", "oneOf", "anyOf", "not"] {
        props.remove(key);
    }
    if props.remove("nullable") == Some(Value::Bool(true)) {
        for key in ["type", "items", "properties"] {
            props.remove(key);
        }
    }
    let open = props.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if open {
        props.remove("items");
        props.remove("properties");
    }
    let of_type = |props: &Props, name: &str| props.get("type").is_some_and(|of| of == name);
    if of_type(props, "array") && !props.contains_key("items") || open && of_type(props, "object") {
        props.remove("type");
    }
    let nullable = |of: &Value| of.get("nullable") == Some(&Value::Bool(true));
    let may_be_null: Vec<String> = props
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, of)| nullable(of))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(required) = props.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !may_be_null.iter().any(|nullable| name == nullable));
        if required.is_empty() {
            props.remove("required");
        }
    }
    if props.get("additionalProperties").is_some_and(nullable) {
        props.remove("required");
    }
    // Upstream's older form of a structural schema has none.
    props.remove("default");
    parts(props).into_iter().for_each(simplify);
}

/// Gives embedded objects what every object has.
fn embedded(props: &mut Props, form: Form) {
    parts(props).into_iter().for_each(|part| embedded(part, form));
    let on = |props: &Props, key: &str| props.get(key) == Some(&Value::Bool(true));
    let open = on(props, "x-kubernetes-preserve-unknown-fields");
    if !on(props, "x-kubernetes-embedded-resource") || form == Form::V2 && open {
        return;
    }
    let own = fields(props);
    own.insert("apiVersion".to_owned(), json!({ "type": "string", "description": EMBEDDED_API_VERSION }));
    own.insert("kind".to_owned(), json!({ "type": "string", "description": EMBEDDED_KIND }));
    own.insert("metadata".to_owned(), described_reference("ObjectMeta", OBJECT_META, form));
    let required = props.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        for key in ["kind", "apiVersion"] {
            if !required.iter().any(|known| known == key) {
                required.push(json!(key));
            }
        }
    }
}

fn list(kind: &Kind, name: &str, form: Form) -> Value {
    let item = match form {
        Form::V3 => reference(name),
        Form::V2 => json!({ "$ref": format!("#/definitions/{name}") }),
    };
    let resource = &kind.resource;
    let list = GroupVersionKind { kind: kind.list_kind.clone(), ..kind.gvk.clone() };
    json!({
        "type": "object",
        "description": format!("{} is a list of {}", kind.list_kind, kind.gvk.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string", "description": API_VERSION },
            "kind": { "type": "string", "description": KIND },
            "metadata": described_reference("ListMeta", LIST_META, form),
            "items": {
                "type": "array",
                "description": format!("List of {resource}. More info: \
                    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"),
                "items": item,
            },
        },
        "x-kubernetes-group-version-kind": [gvk(&list)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_leaves_out_what_its_clients_do_not_understand() {
        let schema = json!({"type": "object", "required": ["a", "b"], "properties": {
            "a": {"type": "string", "nullable": true}, "b": {"x-kubernetes-int-or-string": true, "default": 1},
            "c": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"d": {"type": "string"}}}}});
        let v2 = whole(schema.as_object().unwrap().clone(), Form::V2);
        assert_eq!(v2["required"], json!(["b"]));
        assert_eq!(v2["properties"]["a"], json!({}));
        assert_eq!(v2["properties"]["b"], json!({"x-kubernetes-int-or-string": true}));
        assert_eq!(v2["properties"]["c"], json!({"x-kubernetes-preserve-unknown-fields": true}));
        let v3 = whole(schema.as_object().unwrap().clone(), Form::V3);
        assert_eq!(v3["properties"]["b"]["anyOf"], json!([{"type": "integer"}, {"type": "string"}]));
        assert_eq!(v3["properties"]["metadata"]["allOf"][0]["$ref"], format!("#/components/schemas/{META}.ObjectMeta"));
    }
}
