//! What a server says can be asked of it: the operations of its OpenAPI documents and the schemas of their bodies.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Map, Value};

use crate::server::Connection;

/// Where schemas lie in a document.
const SCHEMAS: &str = "#/components/schemas/";

/// One operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// With the names of its parameters in braces.
    pub(super) path: String,
    /// Such as `post`, `deletecollection`, `watchlist`; empty when it is about no resource.
    pub(super) action: String,
    /// What its query may have.
    pub(super) parameters: Vec<String>,
    pub(super) content_types: Vec<String>,
    /// The name of the schema of what is sent, or of a patch: of what is patched.
    pub(super) body: Option<String>,
}

/// All that a server publishes.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) operations: Vec<Operation>,
    schemas: BTreeMap<String, Value>,
}

impl Published {
    /// Asks a server for all of its documents.
    pub(super) async fn read(connection: &Connection) -> Self {
        let get = async |path: &str| -> Value {
            connection.request(Method::GET, path).send().await.unwrap().json().await.unwrap()
        };
        let mut published = Self::default();
        for entry in get("/openapi/v3").await["paths"].as_object().unwrap().values() {
            published.take(get(entry["serverRelativeURL"].as_str().unwrap()).await);
        }
        assert!(published.operations.len() > 500, "{} operations", published.operations.len());
        published
    }

    /// A schema by its name.
    pub(super) fn schema(&self, name: &str) -> &Value {
        &self.schemas[name]
    }

    /// The schema itself in the place of a reference to it.
    pub(super) fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let inner = schema.pointer("/allOf/0").unwrap_or(schema);
        name_of(inner).and_then(|name| self.schemas.get(name)).unwrap_or(inner)
    }

    fn take(&mut self, mut document: Value) {
        if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas").map(Value::take) {
            self.schemas.extend(schemas);
        }
        let Some(Value::Object(paths)) = document.get_mut("paths").map(Value::take) else { return };
        for (path, methods) in &paths {
            let methods = methods.as_object().unwrap();
            self.operations.extend(methods.iter().filter_map(|(name, of)| operation((path, name), methods, of)));
        }
    }
}

/// The operation of a method; `None` for what else stands among them.
fn operation((path, name): (&str, &str), methods: &Map<String, Value>, of: &Value) -> Option<Operation> {
    let method =
        ["get", "put", "post", "patch", "delete", "head", "options"].contains(&name).then(|| name.to_uppercase());
    let parameters =
        [methods.get("parameters"), of.get("parameters")].into_iter().flatten().filter_map(Value::as_array);
    let in_query = parameters.flatten().filter(|parameter| parameter["in"] == "query");
    let contents = of.pointer("/requestBody/content").and_then(Value::as_object);
    Some(Operation {
        method: Method::from_bytes(method?.as_bytes()).unwrap(),
        path: path.to_owned(),
        action: of["x-kubernetes-action"].as_str().unwrap_or_default().to_owned(),
        parameters: in_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect(),
        content_types: contents.into_iter().flat_map(Map::keys).cloned().collect(),
        body: body(of),
    })
}

/// The schema of what is sent; a patch has none of its own.
fn body(of: &Value) -> Option<String> {
    let contents = of.pointer("/requestBody/content")?.as_object()?;
    let answered = ["/responses/200", "/responses/201"].iter().filter_map(|at| of.pointer(at)?.get("content"));
    let patched = answered.filter_map(|content| name_of(content.get("application/json")?.get("schema")?));
    let sent = contents.values().filter_map(|content| name_of(content.get("schema")?));
    sent.filter(|name| !name.ends_with(".Patch")).chain(patched).next().map(str::to_owned)
}

fn name_of(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(SCHEMAS)
}
