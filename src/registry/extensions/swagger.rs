//! What an extension server's OpenAPI v2 says of its group and version.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const DEFINITIONS: &str = "#/definitions/";
const PARAMETERS: &str = "#/parameters/";

/// The paths of a group and version, and the definitions that they lead to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Swagger {
    /// Changes with what is said.
    pub etag: String,
    pub paths: Map<String, Value>,
    pub definitions: Map<String, Value>,
}

impl Swagger {
    /// What a document says of the paths below one; `None`: nothing.
    pub(super) fn of(mut document: Value, path: &str) -> Option<Self> {
        let mut take = |key: &str| match document.get_mut(key).map(Value::take) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let (mut paths, mut all, parameters) = (take("paths"), take("definitions"), take("parameters"));
        let below = format!("{path}/");
        paths.retain(|path, _| path.starts_with(&below));
        if paths.is_empty() {
            return None;
        }
        paths.values_mut().for_each(|item| put_parameters(item, &parameters));
        let (mut definitions, mut open) = (Map::new(), Vec::new());
        paths.values().for_each(|item| references(item, &mut open));
        while let Some(name) = open.pop() {
            if let Some(definition) = all.remove(&name) {
                references(&definition, &mut open);
                definitions.insert(name, definition);
            }
        }
        let mut hash = Sha256::new();
        for map in [&paths, &definitions] {
            hash.update(serde_json::to_vec(map).ok()?);
        }
        let mut etag = String::with_capacity(64);
        for byte in hash.finalize() {
            let _ = write!(etag, "{byte:02X}");
        }
        Some(Self { etag, paths, definitions })
    }
}

/// Puts parameters where a reference to them stands.
fn put_parameters(tree: &mut Value, parameters: &Map<String, Value>) {
    let named = |tree: &Value| {
        let name = tree.get("$ref")?.as_str()?.strip_prefix(PARAMETERS)?;
        parameters.get(name).cloned()
    };
    if let Some(parameter) = named(tree) {
        *tree = parameter;
        return;
    }
    match tree {
        Value::Object(map) => map.values_mut().for_each(|value| put_parameters(value, parameters)),
        Value::Array(items) => items.iter_mut().for_each(|value| put_parameters(value, parameters)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The definitions that a tree refers to.
fn references(tree: &Value, out: &mut Vec<String>) {
    match tree {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(DEFINITIONS));
            out.extend(name.map(str::to_owned));
            map.values().for_each(|value| references(value, out));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_belongs_to_the_group_and_version_is_kept() {
        let document = json!({
            "parameters": { "p": { "name": "pretty", "in": "query" } },
            "paths": {
                "/apis/a.b/v1/things": { "parameters": [{ "$ref": "#/parameters/p" }],
                    "get": { "responses": { "200": { "schema": { "$ref": "#/definitions/Thing" } } } } },
                "/apis/a.b/v2/things": { "get": { "responses": { "200": { "schema": { "$ref": "#/definitions/Other" } } } } },
                "/version/": {},
            },
            "definitions": { "Thing": { "properties": { "m": { "$ref": "#/definitions/Meta" } } }, "Meta": {}, "Other": {} },
        });
        let swagger = Swagger::of(document.clone(), "/apis/a.b/v1").unwrap();
        assert_eq!(swagger.paths.keys().collect::<Vec<_>>(), ["/apis/a.b/v1/things"]);
        assert_eq!(swagger.paths["/apis/a.b/v1/things"]["parameters"][0]["name"], "pretty");
        assert_eq!(swagger.definitions.keys().collect::<Vec<_>>(), ["Meta", "Thing"]);
        assert_eq!(Swagger::of(document, "/apis/a.b/v3"), None);
    }
}
