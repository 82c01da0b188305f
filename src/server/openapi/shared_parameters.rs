//! Parameters of OpenAPI v2 that many operations have: each stands once in the document, under a name made of a hash of
//! it, and is referred to (kube-openapi `pkg/builder/parameters.go`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Map, Value, json};

use crate::api::codec::json::{self, Layout};

/// Parameters that clients look for in place: kubectl, before it sends them.
const IN_PLACE: [&str; 2] = ["fieldValidation", "dryRun"];
/// Bodies of these types are no resource's own.
const GENERIC: &str = "#/definitions/io.k8s.apimachinery";
/// The order of Go's fields, of which the hash is made.
const ORDER: [&str; 26] = [
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "enum",
    "type",
    "nullable",
    "format",
    "items",
    "collectionFormat",
    "default",
    "example",
    "description",
    "name",
    "in",
    "required",
    "schema",
    "allowEmptyValue",
    "$ref",
];

/// Moves what can be shared to `parameters` of the document.
pub(super) fn share(document: &mut Value) {
    let mut shared: BTreeMap<String, Value> = BTreeMap::new();
    each(document, &mut |parameter| {
        if may_be_shared(parameter) {
            shared.entry(text(parameter)).or_insert_with(|| parameter.clone());
        }
    });
    let (mut names, mut parameters) = (BTreeMap::new(), Map::new());
    for (text, parameter) in shared {
        let own = parameter["name"].as_str().unwrap_or("param");
        let mut name = format!("{own}-{}", hash(&text));
        let mut tried = 0;
        while parameters.contains_key(&name) {
            tried += 1;
            name = format!("{own}-{tried}");
        }
        names.insert(text, name.clone());
        parameters.insert(name, parameter);
    }
    each(document, &mut |parameter| {
        if let Some(name) = names.get(&text(parameter)) {
            *parameter = json!({"$ref": format!("#/parameters/{name}")});
        }
    });
    document["parameters"] = parameters.into();
}

/// Every parameter of every path and operation.
fn each(document: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for item in paths.values_mut().filter_map(Value::as_object_mut) {
        for (key, member) in item {
            let list = if key == "parameters" { Some(member) } else { member.get_mut("parameters") };
            list.and_then(Value::as_array_mut).into_iter().flatten().for_each(&mut *visit);
        }
    }
}

fn may_be_shared(parameter: &Value) -> bool {
    let of = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
    let refers = parameter.pointer("/schema/$ref").and_then(Value::as_str).unwrap_or_default();
    match (of("in"), of("name")) {
        // Its description names the kind.
        ("query" | "path", "name") => false,
        ("query", name) if IN_PLACE.contains(&name) => false,
        ("body", "body") if parameter.get("schema").is_some() => refers.starts_with(GENERIC),
        _ => parameter.get("$ref").is_none(),
    }
}

/// A parameter as Go writes it.
fn text(parameter: &Value) -> String {
    let mut out = Vec::from(*b"{");
    let extensions = parameter.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    for key in ORDER.into_iter().chain(extensions.filter(|key| key.starts_with("x-"))) {
        if let Some(value) = parameter.get(key) {
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend(json::encode(&json!(key), Layout::Sorted));
            out.push(b':');
            out.extend(json::encode(value, Layout::Sorted));
        }
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

/// Six bytes of FNV-1 in 64 bits, as base64.
fn hash(text: &str) -> String {
    let mixed = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    URL_SAFE.encode(&mixed.to_be_bytes()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_all_have_stands_once_and_one_that_names_a_kind_stays() {
        let body = |of: &str| json!({"in": "body", "name": "body", "schema": {"$ref": of}});
        let delete = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
        let pod = body("#/definitions/io.k8s.api.core.v1.Pod");
        let dry_run = json!({"in": "query", "name": "dryRun", "type": "string", "uniqueItems": true});
        let mut document = json!({"paths": {"/a": {
            "post": {"parameters": [pod, dry_run]},
            "delete": {"parameters": [body(delete)]},
            "parameters": [{"in": "path", "name": "name", "type": "string"}],
        }}});
        share(&mut document);
        // The name is that which upstream's own document has.
        assert_eq!(document["parameters"], json!({"body-2Y1dVQaQ": body(delete)}));
        let a = &document["paths"]["/a"];
        assert_eq!(a["delete"]["parameters"], json!([{"$ref": "#/parameters/body-2Y1dVQaQ"}]));
        assert_eq!(a["post"]["parameters"], json!([pod, dry_run]));
        assert_eq!(a["parameters"], json!([{"in": "path", "name": "name", "type": "string"}]));
    }
}
