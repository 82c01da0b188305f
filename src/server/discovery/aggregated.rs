//! `APIGroupDiscoveryList`: all of a server's types in two requests.

use serde_json::{Value, json};

use super::Scope;
use crate::api::GroupVersionKind;
use crate::registry::Extensions;
use crate::resources::{Group, Kind, Served};
use crate::server::message::Request;
use crate::server::negotiation::{Encoding, parse_accept};

/// The parameters of the media type.
pub(super) const PARAMETERS: &str = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The encoding in which a client prefers the aggregated form, if it does.
pub(super) fn wish(request: &Request) -> Option<Encoding> {
    for clause in parse_accept(request.headers.text("accept")) {
        let param = |name: &str| clause.params.get(name).map_or("", String::as_str);
        let asked = (param("g"), param("v"), param("as"));
        let encoding = [Encoding::Json, Encoding::Protobuf].into_iter().find(|e| clause.matches(e.media_type()));
        match (asked, encoding) {
            (("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList"), Some(encoding)) => return Some(encoding),
            // A plain alternative that stands first wins.
            (("", "", ""), Some(_)) => return None,
            _ => {}
        }
    }
    None
}

/// The list for `/api` or `/apis`.
pub(super) fn list(served: &Served, scope: Scope) -> Value {
    let wanted = |group: &Group| group.name.is_empty() == (scope == Scope::Core);
    let items: Vec<Value> = served.groups().filter(wanted).map(|g| group(served, &g)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

/// Adds what other servers serve, as they said when they were last asked.
pub(super) fn add(list: &mut Value, extensions: &Extensions) {
    let Some(items) = list.get_mut("items").and_then(Value::as_array_mut) else { return };
    for extension in extensions.all().iter() {
        let fresh = extensions.said(extension).filter(|_| extension.available);
        let version = match fresh {
            Some(said) => {
                json!({ "version": extension.version, "resources": rows(&said.resources), "freshness": "Current" })
            }
            None => json!({ "version": extension.version, "freshness": "Stale" }),
        };
        let known = items.iter_mut().find(|item| item.pointer("/metadata/name").is_some_and(|n| *n == extension.group));
        match known.and_then(|item| item.get_mut("versions")).and_then(Value::as_array_mut) {
            Some(versions) if versions.iter().any(|v| v["version"] == extension.version) => {}
            Some(versions) => versions.push(version),
            None => items.push(json!({ "metadata": { "name": extension.group }, "versions": [version] })),
        }
    }
}

/// The rows of an `APIResourceList` in the aggregated form.
fn rows(list: &Value) -> Vec<Value> {
    let resources = list.get("resources").and_then(Value::as_array).map_or(&[][..], |list| list);
    let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (group, version) =
        list.get("groupVersion").and_then(Value::as_str).and_then(|gv| gv.split_once('/')).unwrap_or_default();
    let kind = |row: &Value| {
        let or = |given: String, own: &str| if given.is_empty() { own.to_owned() } else { given };
        json!({ "group": or(text(row, "group"), group), "version": or(text(row, "version"), version),
            "kind": text(row, "kind") })
    };
    let mut out: Vec<Value> = Vec::new();
    for row in resources {
        let name = text(row, "name");
        let verbs = row.get("verbs").cloned().unwrap_or_else(|| json!([]));
        if let Some((resource, subresource)) = name.split_once('/') {
            let sub = json!({ "subresource": subresource, "responseKind": kind(row), "verbs": verbs });
            if let Some(owner) = out.iter_mut().find(|owner| owner["resource"] == resource) {
                match owner.get_mut("subresources").and_then(Value::as_array_mut) {
                    Some(all) => all.push(sub),
                    None => owner["subresources"] = json!([sub]),
                }
            }
            continue;
        }
        let namespaced = row.get("namespaced").and_then(Value::as_bool).unwrap_or(false);
        let mut made = json!({ "resource": name, "responseKind": kind(row), "verbs": verbs,
            "scope": if namespaced { "Namespaced" } else { "Cluster" }, "singularResource": text(row, "singularName") });
        for key in ["shortNames", "categories"] {
            if let Some(value) = row.get(key) {
                made[key] = value.clone();
            }
        }
        out.push(made);
    }
    out
}

fn group(served: &Served, group: &Group) -> Value {
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
    let version = |version: &String| {
        let mut kinds: Vec<_> = served.of_version(&group.name, version).collect();
        kinds.sort_by(|a, b| a.resource.cmp(&b.resource));
        let resources: Vec<Value> = kinds.into_iter().map(|kind| resource(kind)).collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    json!({"metadata": metadata, "versions": group.versions.iter().map(version).collect::<Vec<_>>()})
}

fn resource(kind: &Kind) -> Value {
    // Group and version are left empty where they are those of the list, but for custom resources (v1.37).
    let response_kind = |payload: &GroupVersionKind| {
        let own = payload.group == kind.gvk.group && payload.version == kind.gvk.version && !kind.is_custom();
        let (group, version) = if own { ("", "") } else { (payload.group.as_ref(), payload.version.as_ref()) };
        json!({"group": group, "version": version, "kind": payload.kind})
    };
    let mut row = json!({
        "resource": kind.resource,
        "responseKind": response_kind(&kind.gvk),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        row["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        row["categories"] = json!(kind.categories);
    }
    let mut subresources: Vec<_> = kind.subresources.iter().collect();
    // Upstream tells the status of custom resources before their scale.
    if !kind.is_custom() {
        subresources.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let subresource = |sub: &crate::resources::Subresource| json!({ "subresource": sub.name, "responseKind": response_kind(&sub.payload), "verbs": sub.verbs });
    if !subresources.is_empty() {
        row["subresources"] = subresources.into_iter().map(subresource).collect();
    }
    row
}
