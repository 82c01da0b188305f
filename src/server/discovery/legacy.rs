//! `APIVersions`, `APIGroupList`, `APIGroup`, `APIResourceList`.

use serde_json::{Value, json};

use std::sync::Arc;

use crate::api::names::api_version;
use crate::registry::Extension;
use crate::resources::{Group, Kind, Served};

/// `/api`.
pub(super) fn versions(served: &Served, advertised: &str) -> Value {
    let core = served.group("");
    json!({
        "kind": "APIVersions",
        "versions": core.map(|group| group.versions).unwrap_or_default(),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": advertised}],
    })
}

/// `/apis`.
pub(super) fn groups(groups: &[Group]) -> Value {
    let named = groups.iter().filter(|g| !g.name.is_empty());
    let groups: Vec<Value> = named.map(|g| group(g, false)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// The groups with those that other servers serve.
pub(super) fn merged(served: &Served, extensions: &[Arc<Extension>]) -> Vec<Group> {
    let mut groups: Vec<Group> = served.groups().collect();
    for extension in extensions.iter().filter(|extension| !extension.group.is_empty()) {
        match groups.iter_mut().find(|group| group.name == extension.group) {
            Some(group) if group.versions.contains(&extension.version) => {}
            Some(group) => group.versions.push(extension.version.clone()),
            None => {
                groups.push(Group { name: extension.group.clone(), versions: vec![extension.version.clone()] });
            }
        }
    }
    groups
}

/// `/apis/<group>`, or an item of `/apis`.
pub(super) fn group(group: &Group, alone: bool) -> Value {
    let version = |v: &String| json!({"groupVersion": api_version(&group.name, v), "version": v});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    let mut out = json!({"name": group.name, "preferredVersion": versions.first(), "versions": versions});
    if alone {
        out["kind"] = json!("APIGroup");
        out["apiVersion"] = json!("v1");
    }
    out
}

/// Whether it is told in which form objects are kept (`StorageVersionHash`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StorageHashes {
    Told,
    Untold,
}

/// `/api/v1` or `/apis/<group>/<version>`.
pub(super) fn resources(served: &Served, (group, version): (&str, &str), hashes: StorageHashes) -> Value {
    let mut rows: Vec<(String, Value)> = Vec::new();
    for kind in served.of_version(group, version) {
        rows.push((kind.resource.to_string(), resource(kind, hashes)));
        for sub in &kind.subresources {
            let name = format!("{}/{}", kind.resource, sub.name);
            // Upstream tells the status of custom resources before their scale.
            let place = if kind.is_custom() { format!("{}/", kind.resource) } else { name.clone() };
            let mut row = json!({
                "name": name, "singularName": "", "namespaced": kind.namespaced, "kind": sub.payload.kind,
                "verbs": sub.verbs,
            });
            if (sub.payload.group.as_ref(), sub.payload.version.as_ref()) != (group, version) {
                row["group"] = json!(sub.payload.group);
                row["version"] = json!(sub.payload.version);
            }
            rows.push((place, row));
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let resources: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    let mut out = json!({
        "kind": "APIResourceList", "groupVersion": api_version(group, version), "resources": resources,
    });
    // The legacy group's list comes without an apiVersion, all others with one.
    if !group.is_empty() {
        out["apiVersion"] = json!("v1");
    }
    out
}

fn resource(kind: &Kind, hashes: StorageHashes) -> Value {
    let mut row = json!({
        "name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.gvk.kind,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        row["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        row["categories"] = json!(kind.categories);
    }
    if hashes == StorageHashes::Told && !kind.storage_version_hash.is_empty() {
        row["storageVersionHash"] = json!(kind.storage_version_hash);
    }
    row
}
