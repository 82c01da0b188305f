//! `APIGroupDiscoveryList`: all of a server's types in two requests.

use serde_json::{Value, json};

use super::Scope;
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
    let wanted = |group: &&Group| group.name.is_empty() == (scope == Scope::Core);
    let items: Vec<Value> = served.groups.iter().filter(wanted).map(|g| group(served, g)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
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
    let mut row = json!({
        "resource": kind.resource,
        // Group and version are left empty where they are those of the list (v1.37).
        "responseKind": {"group": "", "version": "", "kind": kind.gvk.kind},
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
    subresources.sort_by(|a, b| a.name.cmp(&b.name));
    let subresource = |sub: &crate::resources::Subresource| {
        let own = sub.payload.group == kind.gvk.group && sub.payload.version == kind.gvk.version;
        let (group, version) = if own { ("", "") } else { (sub.payload.group.as_ref(), sub.payload.version.as_ref()) };
        json!({
            "subresource": sub.name,
            "responseKind": {"group": group, "version": version, "kind": sub.payload.kind},
            "verbs": sub.verbs,
        })
    };
    if !subresources.is_empty() {
        row["subresources"] = subresources.into_iter().map(subresource).collect();
    }
    row
}
