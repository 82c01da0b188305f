//! The document of one operation, as upstream's `pkg/endpoints/installer.go` and its builder for custom resources
//! describe their routes.

use serde_json::{Map, Value, json};

use super::custom;
use super::parameters::{self, Parameter};
use super::paths::{Action, Route, camel, capital, version_tag};
use super::schemas::{Source, reference};
use crate::api::GroupVersionKind;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What objects are answered as; custom resources have no protobuf.
pub(super) const MEDIA_TYPES: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMED: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const OF_A_LOG: &[&str] =
    &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const CUSTOM: &[&str] = &["application/json", "application/yaml"];
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// An operation, and its parameters apart: what all operations of a path have is said once.
pub(super) struct Operation {
    pub document: Map<String, Value>,
    pub parameters: Vec<Parameter>,
}

/// The key of an operation in the document of its path.
pub(super) fn method(action: Action) -> String {
    match action {
        Action::Get | Action::List | Action::Watch | Action::WatchList => "get".to_owned(),
        Action::Put => "put".to_owned(),
        Action::Patch => "patch".to_owned(),
        Action::Post => "post".to_owned(),
        Action::Delete | Action::DeleteCollection => "delete".to_owned(),
        Action::Connect(method) => method.to_lowercase(),
    }
}

/// The operation of a route.
pub(super) fn of(source: Source<'_>, route: &Route<'_>) -> Operation {
    // Routes of custom resources tell of their own kind only.
    let gvk = if route.kind.is_custom() { &route.kind.gvk } else { route.payload() };
    let document = json!({
        "tags": [version_tag(&route.kind.gvk)],
        "description": description(route),
        "operationId": operation_id(route),
        "responses": responses(source, route),
        "x-kubernetes-action": name(route.action),
        "x-kubernetes-group-version-kind": { "group": gvk.group, "version": gvk.version, "kind": gvk.kind },
    });
    let Value::Object(mut document) = document else { unreachable!("it was just made as an object") };
    if let Some(body) = body(source, route) {
        document.insert("requestBody".to_owned(), body);
    }
    Operation { document, parameters: parameters(source, route) }
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Get => "get",
        Action::List => "list",
        Action::Put => "put",
        Action::Patch => "patch",
        Action::Post => "post",
        Action::Delete => "delete",
        Action::DeleteCollection => "deletecollection",
        Action::Watch => "watch",
        Action::WatchList => "watchlist",
        Action::Connect(_) => "connect",
    }
}

fn description(route: &Route<'_>) -> String {
    let kind = &route.kind.gvk.kind;
    let watched = route.kind.verbs.iter().any(|verb| verb == "watch") && !route.kind.is_custom();
    let of = route.sub.map_or_else(String::new, |sub| format!("{} of ", sub.name));
    let a = article(kind);
    match route.action {
        Action::Get => format!("read {of}the specified {kind}"),
        Action::List if watched => format!("list or watch objects of kind {kind}"),
        Action::List => format!("list objects of kind {kind}"),
        Action::Put => format!("replace {of}the specified {kind}"),
        Action::Patch => format!("partially update {of}the specified {kind}"),
        Action::Post => format!("create {of}{a}{kind}"),
        Action::Delete => format!("delete {of}{a}{kind}"),
        Action::DeleteCollection => format!("delete collection of {kind}"),
        Action::Watch => format!(
            "watch changes to an object of kind {kind}. deprecated: use the 'watch' parameter with a list operation \
             instead, filtered to a single item with the 'fieldSelector' parameter."
        ),
        Action::WatchList => format!(
            "watch individual changes to a list of {kind}. deprecated: use the 'watch' parameter with a list operation \
             instead."
        ),
        Action::Connect(method) => {
            format!("connect {method} requests to {} of {kind}", route.sub.map_or("", |sub| &*sub.name))
        }
    }
}

/// As upstream chooses it: by the first letter, none before what is a plural.
fn article(kind: &str) -> &'static str {
    if !kind.ends_with("ss") && kind.ends_with('s') {
        ""
    } else if kind.starts_with(['A', 'E', 'I', 'O', 'U']) {
        "an "
    } else {
        "a "
    }
}

fn operation_id(route: &Route<'_>) -> String {
    let kind = &*route.kind.gvk.kind;
    let version = camel(&version_tag(&route.kind.gvk));
    let namespaced = if route.path.contains("/namespaces/{namespace}/") { "Namespaced" } else { "" };
    let everywhere = if route.kind.namespaced && namespaced.is_empty() { "ForAllNamespaces" } else { "" };
    let sub = route.sub.map_or_else(String::new, |sub| capital(&sub.name));
    let with_path = if route.path.ends_with("/{path}") { "WithPath" } else { "" };
    match route.action {
        Action::Get => format!("read{version}{namespaced}{kind}{sub}"),
        Action::List => format!("list{version}{namespaced}{kind}{everywhere}"),
        Action::Put => format!("replace{version}{namespaced}{kind}{sub}"),
        Action::Patch => format!("patch{version}{namespaced}{kind}{sub}"),
        Action::Post => format!("create{version}{namespaced}{kind}{sub}"),
        Action::Delete => format!("delete{version}{namespaced}{kind}{sub}"),
        Action::DeleteCollection => format!("delete{version}Collection{namespaced}{kind}"),
        Action::Watch => format!("watch{version}{namespaced}{kind}"),
        Action::WatchList => format!("watch{version}{namespaced}{kind}List{everywhere}"),
        Action::Connect(method) => {
            let method = capital(&method.to_lowercase());
            format!("connect{version}{method}{namespaced}{kind}{sub}{with_path}")
        }
    }
}

fn parameters(source: Source<'_>, route: &Route<'_>) -> Vec<Parameter> {
    let custom = route.kind.is_custom();
    let gvk = if custom { &route.kind.gvk } else { route.payload() };
    let mut out = parameters::of_path(source, &route.path, &gvk.kind);
    if !matches!(route.action, Action::Connect(_)) {
        out.push(parameters::pretty(source));
    }
    let options = |name: &str| parameters::of_options(source, name);
    match route.action {
        Action::List | Action::Watch | Action::WatchList => out.extend(options("ListOptions")),
        Action::Post => out.extend(options("CreateOptions")),
        Action::Put => out.extend(options("UpdateOptions")),
        Action::Patch => out.extend(options("PatchOptions")),
        Action::Delete => out.extend(options("DeleteOptions")),
        Action::DeleteCollection if custom => out.extend(options("ListOptions")),
        Action::DeleteCollection => {
            out.extend(options("DeleteOptions"));
            let no_watch = |parameter: &Parameter| !matches!(&*parameter.name, "watch" | "allowWatchBookmarks");
            out.extend(options("ListOptions").into_iter().filter(no_watch));
        }
        Action::Get if is_log(route) => out.extend(options("io.k8s.api.core.v1.PodLogOptions")),
        // Upstream tells of it for custom resources alone.
        Action::Get if custom => {
            out.extend(options("ListOptions").into_iter().filter(|parameter| parameter.name == "resourceVersion"));
        }
        Action::Get => {}
        Action::Connect(_) => {
            out.extend(options(&format!("io.k8s.api.core.{}.{}", route.payload().version, route.payload().kind)));
        }
    }
    out
}

fn is_log(route: &Route<'_>) -> bool {
    route.sub.is_some_and(|sub| sub.name == "log")
}

fn body(source: Source<'_>, route: &Route<'_>) -> Option<Value> {
    let custom = route.kind.is_custom();
    match route.action {
        Action::Post | Action::Put => {
            let types = if custom { CUSTOM } else { &["*/*"] };
            Some(json!({ "content": content(types, &schema(source, route)), "required": true }))
        }
        Action::Patch => {
            // Of custom resources there are no strategies to merge by.
            let types = if custom { &PATCHES[..3] } else { PATCHES };
            Some(json!({ "content": content(types, &reference(&format!("{META}.Patch"))), "required": true }))
        }
        Action::DeleteCollection if custom => None,
        Action::Delete | Action::DeleteCollection => {
            let types = if custom { CUSTOM } else { &["*/*"] };
            Some(json!({ "content": content(types, &reference(&format!("{META}.DeleteOptions"))) }))
        }
        Action::Get | Action::List | Action::Watch | Action::WatchList | Action::Connect(_) => None,
    }
}

fn responses(source: Source<'_>, route: &Route<'_>) -> Value {
    let custom = route.kind.is_custom();
    let status = || reference(&format!("{META}.Status"));
    let (types, answer) = match route.action {
        Action::Connect(_) => (&["*/*"][..], json!({ "type": "string" })),
        Action::Get if is_log(route) => (OF_A_LOG, json!({ "type": "string" })),
        Action::List => (STREAMED, list_schema(source, route)),
        Action::Watch | Action::WatchList => (STREAMED, reference(&format!("{META}.WatchEvent"))),
        Action::DeleteCollection => (MEDIA_TYPES, status()),
        Action::Delete if !route.kind.behaviour.returns_deleted(&route.kind.gvk.version) => (MEDIA_TYPES, status()),
        Action::Get | Action::Put | Action::Patch | Action::Post | Action::Delete => {
            (MEDIA_TYPES, schema(source, route))
        }
    };
    let content = content(if custom { CUSTOM } else { types }, &answer);
    let also: &[(&str, &str)] = match route.action {
        Action::Post => &[("201", "Created"), ("202", "Accepted")],
        Action::Patch if custom => &[],
        Action::Put | Action::Patch => &[("201", "Created")],
        Action::Delete => &[("202", "Accepted")],
        Action::Get
        | Action::List
        | Action::Watch
        | Action::WatchList
        | Action::DeleteCollection
        | Action::Connect(_) => &[],
    };
    let mut out = json!({ "401": { "description": "Unauthorized" } });
    for (code, description) in [("200", "OK")].iter().chain(also) {
        out[*code] = json!({ "description": description, "content": content });
    }
    out
}

fn schema(source: Source<'_>, route: &Route<'_>) -> Value {
    let gvk: &GroupVersionKind = route.payload();
    if *gvk == route.kind.gvk && route.kind.is_custom() {
        return reference(&custom::model_name(gvk));
    }
    let id = if *gvk == route.kind.gvk { Some(route.kind.type_id) } else { source.facts.type_of(gvk) };
    id.map_or_else(|| json!({ "type": "string" }), |id| reference(&source.facts.types.get(id).name))
}

fn list_schema(source: Source<'_>, route: &Route<'_>) -> Value {
    if route.kind.is_custom() {
        return reference(&custom::list_name(route.kind));
    }
    let id = route.kind.list_type_id;
    id.map_or_else(|| json!({ "type": "object" }), |id| reference(&source.facts.types.get(id).name))
}

pub(super) fn content(types: &[&str], schema: &Value) -> Value {
    types.iter().map(|media_type| ((*media_type).to_owned(), json!({ "schema": schema }))).collect::<Map<_, _>>().into()
}
