//! The paths of a group and version: which routes there are, as upstream's installer makes them of what a kind can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::discovery::tag;
use super::operation::{self, content};
use super::parameters::Parameter;
use super::schemas::{Source, reference};
use crate::api::GroupVersionKind;
use crate::resources::{Kind, Subresource};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What is done at a route, in the words of `x-kubernetes-action`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    Get,
    List,
    Put,
    Patch,
    Post,
    Delete,
    DeleteCollection,
    Watch,
    WatchList,
    /// By a method.
    Connect(&'static str),
}

/// One operation on one path.
pub(super) struct Route<'a> {
    pub action: Action,
    pub path: String,
    pub kind: &'a Kind,
    pub sub: Option<&'a Subresource>,
}

impl Route<'_> {
    /// What is sent and answered.
    pub(super) fn payload(&self) -> &GroupVersionKind {
        self.sub.map_or(&self.kind.gvk, |sub| &sub.payload)
    }
}

/// The methods by which each verb of a subresource that is connected to is done.
const CONNECTS: [(&str, &[&str]); 5] = [
    ("get", &["GET", "HEAD", "OPTIONS"]),
    ("create", &["POST"]),
    ("update", &["PUT"]),
    ("delete", &["DELETE"]),
    ("patch", &["PATCH"]),
];

/// All paths of a version at `base`.
pub(super) fn all(base: &str, kinds: &[&Arc<Kind>], source: Source<'_>) -> Map<String, Value> {
    let mut by_path: BTreeMap<String, Vec<Route<'_>>> = BTreeMap::new();
    for route in kinds.iter().flat_map(|kind| routes(base, kind)) {
        by_path.entry(route.path.clone()).or_default().push(route);
    }
    let mut out: Map<String, Value> = by_path.into_iter().map(|(path, routes)| (path, item(source, &routes))).collect();
    if let Some(own) = kinds.iter().find(|kind| !kind.is_custom()) {
        out.insert(format!("{base}/"), resources(&own.gvk));
    }
    out
}

fn routes<'a>(base: &str, kind: &'a Kind) -> Vec<Route<'a>> {
    let mut out = Vec::new();
    let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let can = |verb: &str| kind.verbs.iter().any(|v| v == verb);
    // Of custom resources only what is not deprecated is told.
    let watched = can("watch") && !kind.is_custom();
    let mut put = |verb: bool, action: Action, path: String| {
        if verb {
            out.push(Route { action, path, kind, sub: None });
        }
    };
    let resource = &kind.resource;
    let collection = format!("{base}{scope}/{resource}");
    let item = format!("{collection}/{{name}}");
    put(can("list"), Action::List, collection.clone());
    put(can("create"), Action::Post, collection.clone());
    put(can("deletecollection"), Action::DeleteCollection, collection);
    put(watched, Action::WatchList, format!("{base}/watch{scope}/{resource}"));
    put(can("get"), Action::Get, item.clone());
    put(can("update"), Action::Put, item.clone());
    put(can("patch"), Action::Patch, item.clone());
    put(can("delete"), Action::Delete, item.clone());
    put(watched, Action::Watch, format!("{base}/watch{scope}/{resource}/{{name}}"));
    put(kind.namespaced && can("list"), Action::List, format!("{base}/{resource}"));
    put(kind.namespaced && watched, Action::WatchList, format!("{base}/watch/{resource}"));
    for sub in &kind.subresources {
        of_subresource(&format!("{item}/{}", sub.name), (kind, sub), &mut out);
    }
    out
}

fn of_subresource<'a>(path: &str, (kind, sub): (&'a Kind, &'a Subresource), out: &mut Vec<Route<'a>>) {
    let can = |verb: &str| sub.verbs.iter().any(|v| v == verb);
    let mut put = |action: Action, path: String| out.push(Route { action, path, kind, sub: Some(sub) });
    if !matches!(&*sub.name, "attach" | "exec" | "portforward" | "proxy") {
        for (verb, action) in
            [("get", Action::Get), ("update", Action::Put), ("patch", Action::Patch), ("create", Action::Post)]
        {
            if can(verb) {
                put(action, path.to_owned());
            }
        }
        return;
    }
    let proxied = sub.name == "proxy";
    for (_, methods) in CONNECTS.iter().filter(|(verb, _)| can(verb)) {
        for method in methods.iter().filter(|method| proxied || matches!(**method, "GET" | "POST")) {
            put(Action::Connect(method), path.to_owned());
            if proxied {
                put(Action::Connect(method), format!("{path}/{{path}}"));
            }
        }
    }
}

/// The operations of one path; what all of them have as parameters stands beside them.
fn item(source: Source<'_>, routes: &[Route<'_>]) -> Value {
    let made: Vec<_> = routes.iter().map(|route| operation::of(source, route)).collect();
    let everywhere = |parameter: &Parameter| made.iter().all(|made| made.parameters.contains(parameter));
    let mut shared: Vec<Parameter> =
        made.first().map(|first| first.parameters.clone()).into_iter().flatten().filter(everywhere).collect();
    let mut out = Map::new();
    for (route, operation) in routes.iter().zip(made) {
        let mut document = operation.document;
        let own = operation.parameters.into_iter().filter(|parameter| !shared.contains(parameter)).collect();
        set_parameters(&mut document, own);
        out.insert(operation::method(route.action), Value::Object(document));
    }
    shared.dedup();
    set_parameters(&mut out, shared);
    Value::Object(out)
}

fn set_parameters(document: &mut Map<String, Value>, mut parameters: Vec<Parameter>) {
    parameters.sort_by(|a, b| a.order().cmp(&b.order()));
    if !parameters.is_empty() {
        document.insert("parameters".to_owned(), parameters.into_iter().map(Parameter::document).collect());
    }
}

/// The list of what a version has.
fn resources(gvk: &GroupVersionKind) -> Value {
    let tag = version_tag(gvk);
    json!({ "get": {
        "tags": [tag],
        "description": "get available resources",
        "operationId": format!("get{}APIResources", camel(&tag)),
        "responses": {
            "200": {
                "description": "OK",
                "content": content(operation::MEDIA_TYPES, &reference(&format!("{META}.APIResourceList"))),
            },
            "401": { "description": "Unauthorized" },
        },
    } })
}

/// `apps_v1`, `core_v1`, `rbacAuthorization_v1`.
pub(super) fn version_tag(gvk: &GroupVersionKind) -> String {
    let group = if gvk.group.is_empty() { "core".to_owned() } else { tag(&gvk.group) };
    format!("{group}_{}", gvk.version)
}

/// `AppsV1` of `apps_v1`.
pub(super) fn camel(tag: &str) -> String {
    tag.split('_').map(capital).collect()
}

pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
