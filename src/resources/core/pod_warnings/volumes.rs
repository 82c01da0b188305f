//! Warnings about volumes: plugins that are gone, files that would lie on each other.

use super::Template;
use crate::api::field::{Path, go_quote};
use crate::resources::core::volume_claim::claim_warnings;
use crate::resources::tree::{Tree, child, is_set, items, text};

/// Plugins in upstream's order; the claim of an ephemeral volume stands between glusterfs and cephfs.
const BEFORE_CLAIM: [(&str, &str, &str); 7] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
];
const AFTER_CLAIM: [(&str, &str, &str); 2] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Plugins that are deprecated or gone, and claims of odd sizes.
pub(super) fn volume_warnings(template: &Template<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, volume) in items(template.spec, "volumes").enumerate() {
        let path = format!("{}spec.volumes[{i}]", template.prefix);
        let gone = |list: &[(&str, &str, &str)]| -> Vec<String> {
            let used = list.iter().filter(|(field, _, _)| is_set(volume, field));
            used.map(|(_, shown, message)| format!("{path}.{shown}: {message}")).collect()
        };
        warnings.extend(gone(&BEFORE_CLAIM));
        let claim = child(volume, "ephemeral").and_then(|e| child(e, "volumeClaimTemplate"));
        if let Some(spec) = claim.and_then(|c| child(c, "spec")) {
            let at = format!("{path}.ephemeral.volumeClaimTemplate.spec");
            warnings.extend(claim_warnings(spec, &Path::new(&at)));
        }
        warnings.extend(gone(&AFTER_CLAIM));
    }
    warnings
}

/// A file of a volume and where its content comes from.
#[derive(PartialEq)]
struct File {
    path: String,
    source: String,
}

impl File {
    fn new(path: &str, source: &str) -> Self {
        Self { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
    }

    fn print(&self) -> String {
        let path = go_quote(&self.path);
        if self.source.is_empty() { path } else { format!("{path} ({})", self.source) }
    }

    /// Whether one would hide the other or be a folder in its place.
    fn collides(&self, other: &Self) -> bool {
        let within = |inner: &str, outer: &str| format!("{inner}/").starts_with(&format!("{outer}/"));
        !self.path.is_empty()
            && !other.path.is_empty()
            && (within(&self.path, &other.path) || within(&other.path, &self.path))
    }
}

/// Files of one volume that lie on each other.
pub(super) fn overlap_warnings(spec: &Tree) -> Vec<String> {
    let mut warnings = Vec::new();
    for volume in items(spec, "volumes") {
        let name = go_quote(text(volume, "name"));
        let mut tell = |description: &str, overlaps: Vec<String>| {
            let told = overlaps.iter().map(|o| format!("volume {name} ({description}): overlapping paths: {o}"));
            warnings.extend(told);
        };
        if let Some(source) = child(volume, "configMap") {
            let description = format!("ConfigMap {}", go_quote(text(source, "name")));
            tell(&description, overlaps(files(source, "")));
        }
        if let Some(source) = child(volume, "secret") {
            let description = format!("Secret {}", go_quote(text(source, "secretName")));
            tell(&description, overlaps(files(source, "")));
        }
        if let Some(source) = child(volume, "downwardAPI") {
            tell("DownwardAPI", overlaps(files(source, "")));
        }
        let Some(projected) = child(volume, "projected") else { continue };
        tell("Projected", overlaps(items(projected, "sources").flat_map(projected_files).collect()));
        for _ in items(projected, "sources").filter(|s| !s.values().any(|v| !v.is_null())) {
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
        }
    }
    warnings
}

fn files(source: &Tree, label: &str) -> Vec<File> {
    items(source, "items").map(|item| File::new(text(item, "path"), label)).collect()
}

fn projected_files(source: &Tree) -> Vec<File> {
    let named = |field: &str, kind: &str| {
        child(source, field).map(|s| files(s, &format!("{kind} {}", go_quote(text(s, "name")))))
    };
    if let Some(files) = named("configMap", "ConfigMap").or_else(|| named("secret", "Secret")) {
        return files;
    }
    if let Some(downward) = child(source, "downwardAPI") {
        return files(downward, "DownwardAPI");
    }
    if let Some(token) = child(source, "serviceAccountToken") {
        return vec![File::new(text(token, "path"), "ServiceAccountToken")];
    }
    if let Some(bundle) = child(source, "clusterTrustBundle") {
        let name = if is_set(bundle, "name") { text(bundle, "name") } else { text(bundle, "signerName") };
        return vec![File::new(text(bundle, "path"), &format!("ClusterTrustBundle {}", go_quote(name)))];
    }
    let Some(certificate) = child(source, "podCertificate") else { return Vec::new() };
    let parts = [
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    ];
    let parts = parts.into_iter().filter(|(field, _)| !text(certificate, field).is_empty());
    parts.map(|(field, label)| File::new(text(certificate, field), label)).collect()
}

fn overlaps(files: Vec<File>) -> Vec<String> {
    let mut out = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let earlier = files[..i].iter().filter(|other| file.collides(other));
        out.extend(earlier.map(|other| format!("{} with {}", file.print(), other.print())));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn files_that_lie_on_each_other_are_named() {
        let sources = json!([
            {"configMap": {"name": "c", "items": [{"path": "a"}]}},
            {"serviceAccountToken": {"path": "a/b"}},
            {}
        ]);
        let Value::Object(spec) = json!({"volumes": [{"name": "v", "projected": {"sources": sources}}]}) else {
            panic!()
        };
        assert_eq!(
            overlap_warnings(&spec),
            [
                "volume \"v\" (Projected): overlapping paths: \"a/b\" (ServiceAccountToken) with \"a\" (ConfigMap \"c\")",
                "volume \"v\" (Projected) has no sources provided",
            ]
        );
    }
}
