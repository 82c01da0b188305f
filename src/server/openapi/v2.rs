//! OpenAPI v2 for clients before version 3 was there: the documents of all groups turned into one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::registry::Swagger;

const REF: &str = "#/components/schemas/";

/// Media types in the order in which they are told; in version 3 they are keys.
const MEDIA_TYPES: [&str; 11] = [
    "text/plain",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "*/*",
];

/// The document made of those of version 3.
/// `own` are definitions that are in the form of version 2 already.
pub(super) fn document(version: &str, own: Map<String, Value>, documents: impl Iterator<Item = Value>) -> Value {
    let (mut paths, mut definitions) = (Map::new(), own);
    for mut document in documents {
        if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas").map(Value::take) {
            for (name, schema) in schemas {
                definitions.entry(name).or_insert_with(|| convert(schema));
            }
        }
        if let Some(Value::Object(items)) = document.get_mut("paths").map(Value::take) {
            paths.extend(items.into_iter().map(|(path, item)| (path, path_item(item))));
        }
    }
    for (name, format) in [("util.intstr.IntOrString", Some("int-or-string")), ("api.resource.Quantity", None)] {
        let definition = definitions.entry(format!("io.k8s.apimachinery.pkg.{name}")).or_insert_with(|| json!({}));
        definition["type"] = json!("string");
        if let Some(format) = format {
            definition["format"] = json!(format);
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": definitions,
        "security": [{ "BearerToken": [] }],
        "securityDefinitions": { "BearerToken": super::bearer_token() },
    })
}

/// Adds what an extension server says (kube-openapi `pkg/aggregator`): paths that are not there yet, and definitions,
/// under another name where one of ours has theirs and is another type.
pub(super) fn merge(document: &mut Value, other: &Swagger) {
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    let Some(definitions) = document.get_mut("definitions").and_then(Value::as_object_mut) else { return };
    for (name, definition) in &other.definitions {
        let Some(known) = definitions.get_mut(name) else { continue };
        if is_same(known, definition) {
            add_kinds(known, definition);
        } else {
            let free = (2..).map(|number| format!("{name}_v{number}")).find(|name| !definitions.contains_key(name));
            renamed.extend(free.map(|free| (name.clone(), free)));
        }
    }
    for (name, definition) in &other.definitions {
        let name = renamed.get(name).unwrap_or(name);
        if !definitions.contains_key(name) {
            let mut definition = definition.clone();
            rename(&mut definition, &renamed);
            definitions.insert(name.clone(), definition);
        }
    }
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, item) in &other.paths {
        if !paths.contains_key(path) {
            let mut item = item.clone();
            rename(&mut item, &renamed);
            paths.insert(path.clone(), item);
        }
    }
}

const KINDS: &str = "x-kubernetes-group-version-kind";

/// Whether two definitions are of one type: alike but for what they are known as and for the words about them.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            fn told((key, value): &(&String, &Value)) -> bool {
                *key != KINDS && (*key != "description" || !value.is_string()) && *key != "default"
            }
            let (mut ones, mut others) = (one.iter().filter(told), other.iter().filter(told));
            let alike = ones.by_ref().all(|(key, value)| other.get(key).is_some_and(|other| is_same(value, other)));
            alike && others.all(|(key, _)| one.contains_key(key))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (one, other) => one == other,
    }
}

fn add_kinds(known: &mut Value, other: &Value) {
    let Some(others) = other.get(KINDS).and_then(Value::as_array) else { return };
    let mut kinds = known.get(KINDS).and_then(Value::as_array).cloned().unwrap_or_default();
    kinds.extend(others.iter().filter(|kind| !kinds.contains(kind)).cloned().collect::<Vec<_>>());
    known[KINDS] = kinds.into();
}

/// Lets references follow definitions that got another name.
fn rename(tree: &mut Value, names: &BTreeMap<String, String>) {
    match tree {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get_mut("$ref")
                && let Some(name) = target.strip_prefix("#/definitions/").and_then(|name| names.get(name))
            {
                *target = format!("#/definitions/{name}");
            }
            map.values_mut().for_each(|value| rename(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| rename(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A schema: references point elsewhere and may have siblings, and there are no defaults.
fn convert(schema: Value) -> Value {
    let Value::Object(mut root) = schema else { return schema };
    root.remove("default");
    root.remove("oneOf");
    if let Some(Value::Array(all)) = root.remove("allOf")
        && let Some(Value::Object(only)) = all.into_iter().next()
    {
        root.extend(only);
    }
    let member = |(key, value): (String, Value)| {
        let value = match (key.as_str(), value) {
            ("$ref", Value::String(target)) => Value::String(target.replace(REF, "#/definitions/")),
            ("items" | "additionalProperties", value) => convert(value),
            ("properties", Value::Object(fields)) => {
                Value::Object(fields.into_iter().map(|(name, field)| (name, convert(field))).collect())
            }
            (_, value) => value,
        };
        (key, value)
    };
    Value::Object(root.into_iter().map(member).collect())
}

fn path_item(item: Value) -> Value {
    let Value::Object(item) = item else { return item };
    let member = |(key, value): (String, Value)| {
        let value = if key == "parameters" { parameters(value) } else { operation(value) };
        (key, value)
    };
    Value::Object(item.into_iter().map(member).collect())
}

fn parameters(list: Value) -> Value {
    let Value::Array(list) = list else { return list };
    let plain = |parameter: Value| {
        let Value::Object(mut root) = parameter else { return parameter };
        if let Some(Value::Object(schema)) = root.remove("schema") {
            root.extend(schema);
        }
        Value::Object(root)
    };
    list.into_iter().map(plain).collect()
}

fn operation(operation: Value) -> Value {
    let Value::Object(mut root) = operation else { return operation };
    let mut list = parameters(root.remove("parameters").unwrap_or_else(|| json!([])));
    if let Some(body) = root.remove("requestBody") {
        let content = body.get("content").and_then(Value::as_object);
        let schema = content.and_then(|c| c.values().next()).and_then(|c| c.get("schema")).cloned();
        root.insert("consumes".to_owned(), media_types(content));
        if let Value::Array(list) = &mut list {
            let required = body.get("required").and_then(Value::as_bool).unwrap_or(false);
            let schema = convert(schema.unwrap_or_else(|| json!({})));
            let mut body = json!({"name": "body", "in": "body", "schema": schema});
            if required {
                body["required"] = json!(true);
            }
            list.push(body);
        }
    }
    if let Value::Array(list) = &mut list {
        let place =
            |parameter: &Value| [&parameter["name"], &parameter["in"]].map(|of| of.as_str().unwrap_or("").to_owned());
        list.sort_by_cached_key(place);
    }
    if list.as_array().is_some_and(|list| !list.is_empty()) {
        root.insert("parameters".to_owned(), list);
    }
    root.insert("schemes".to_owned(), json!(["https"]));
    let text = is_text(&root);
    if let Some(Value::Object(responses)) = root.get_mut("responses") {
        let mut produces = Value::Null;
        for response in responses.values_mut() {
            let Some(content) = response.as_object_mut().and_then(|r| r.remove("content")) else { continue };
            let Some(content) = content.as_object() else { continue };
            produces = media_types(Some(content));
            if let Some(schema) = content.values().next().and_then(|c| c.get("schema")) {
                response["schema"] = convert(schema.clone());
            }
        }
        if !root.contains_key("consumes") && !text {
            // Whatever has no protobuf is told to take no other types than it gives: custom resources and lists.
            let protobuf = produces
                .as_array()
                .is_some_and(|types| types.iter().any(|kind| *kind == "application/vnd.kubernetes.protobuf"));
            let connects = produces == json!(["*/*"]);
            let any = root.contains_key("x-kubernetes-action") && (protobuf || connects);
            root.insert("consumes".to_owned(), if any { json!(["*/*"]) } else { produces.clone() });
        }
        root.insert("produces".to_owned(), produces);
    }
    Value::Object(root)
}

/// Of the documents of the issuer of tokens, which are texts here, no more is told than that.
fn is_text(operation: &Map<String, Value>) -> bool {
    let schema = operation.get("responses").and_then(|responses| responses.pointer("/200/content"));
    let text = |content: &Value| content.pointer("/schema/type") == Some(&json!("string"));
    let texts = schema.and_then(Value::as_object).is_some_and(|content| content.values().all(text));
    texts && !operation.contains_key("x-kubernetes-action")
}

fn media_types(content: Option<&Map<String, Value>>) -> Value {
    let mut types: Vec<&String> = content.into_iter().flat_map(Map::keys).collect();
    types.sort_by_key(|name| MEDIA_TYPES.iter().position(|known| known == name).unwrap_or(MEDIA_TYPES.len()));
    json!(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_get_their_siblings_back_and_defaults_go() {
        let schema = json!({
            "allOf": [{"$ref": "#/components/schemas/a.B"}], "default": {}, "description": "d",
            "x-kubernetes-patch-strategy": "merge",
        });
        let expected = json!({"$ref": "#/definitions/a.B", "description": "d", "x-kubernetes-patch-strategy": "merge"});
        assert_eq!(convert(schema), expected);
    }

    #[test]
    fn fields_that_are_named_like_keywords_are_fields() {
        let schema =
            json!({"properties": {"required": {"$ref": "#/components/schemas/a.B"}, "default": {"type": "string"}}});
        let expected =
            json!({"properties": {"required": {"$ref": "#/definitions/a.B"}, "default": {"type": "string"}}});
        assert_eq!(convert(schema), expected);
    }

    #[test]
    fn bodies_become_parameters() {
        let converted = operation(json!({
            "parameters": [{"name": "dryRun", "in": "query", "schema": {"type": "string"}}],
            "requestBody": {"required": true, "content": {"*/*": {"schema": {"$ref": "#/components/schemas/a.B"}}}},
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}},
        }));
        // In the order of their names.
        assert_eq!(converted["parameters"][0]["schema"], json!({"$ref": "#/definitions/a.B"}));
        assert_eq!(converted["parameters"][1], json!({"name": "dryRun", "in": "query", "type": "string"}));
        assert_eq!(converted["responses"]["200"]["schema"], json!({"type": "object"}));
        assert_eq!(converted["produces"], json!(["application/json"]));
    }

    #[test]
    fn an_extension_servers_types_stand_beside_ours() {
        let mut document = json!({ "paths": { "/a": 1 }, "definitions": {
            "Meta": { "type": "object", "description": "ours", "x-kubernetes-group-version-kind": [1] },
            "Thing": { "type": "string" } } });
        let of = |value: Value| value.as_object().unwrap().clone();
        let other = Swagger {
            etag: String::new(),
            paths: of(json!({ "/a": 2, "/b": { "$ref": "#/definitions/Thing" } })),
            definitions: of(json!({
                "Meta": { "type": "object", "description": "theirs", "x-kubernetes-group-version-kind": [1, 2] },
                "Thing": { "type": "object", "properties": { "next": { "$ref": "#/definitions/Thing" } } } })),
        };
        merge(&mut document, &other);
        let thing = json!({ "type": "object", "properties": { "next": { "$ref": "#/definitions/Thing_v2" } } });
        let meta = json!({ "type": "object", "description": "ours", "x-kubernetes-group-version-kind": [1, 2] });
        let definitions = json!({ "Meta": meta, "Thing": { "type": "string" }, "Thing_v2": thing });
        assert_eq!(document["definitions"], definitions);
        assert_eq!(document["paths"], json!({ "/a": 1, "/b": { "$ref": "#/definitions/Thing_v2" } }));
    }
}
