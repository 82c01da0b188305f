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
        let prefix = template.prefix;
        let gone = |list: &[(&str, &str, &str)]| -> Vec<String> {
            let used = list.iter().filter(|(field, _, _)| is_set(volume, field));
            used.map(|(_, shown, message)| format!("{prefix}spec.volumes[{i}].{shown}: {message}")).collect()
        };
        warnings.extend(gone(&BEFORE_CLAIM));
        let claim = child(volume, "ephemeral").and_then(|e| child(e, "volumeClaimTemplate"));
        if let Some(spec) = claim.and_then(|c| child(c, "spec")) {
            let at = format!("{prefix}spec.volumes[{i}].ephemeral.volumeClaimTemplate.spec");
            warnings.extend(claim_warnings(spec, &Path::new(&at)));
        }
        warnings.extend(gone(&AFTER_CLAIM));
    }
    warnings
}

/// A file of a volume and where its content comes from: what kind of source, and its name where it has one.
#[derive(Clone, Copy, PartialEq)]
struct File<'a> {
    path: &'a str,
    source: &'static str,
    name: Option<&'a str>,
}

impl<'a> File<'a> {
    fn new(path: &'a str, (source, name): (&'static str, Option<&'a str>)) -> Self {
        Self { path: path.trim_end_matches('/'), source, name }
    }

    fn print(&self) -> String {
        let path = go_quote(self.path);
        match (self.source, self.name) {
            ("", _) => path,
            (source, Some(name)) => format!("{path} ({source} {})", go_quote(name)),
            (source, None) => format!("{path} ({source})"),
        }
    }

    /// Whether one would hide the other or be a folder in its place.
    fn collides(&self, other: &Self) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.path.is_empty()
            && !other.path.is_empty()
            && (within(self.path, other.path) || within(other.path, self.path))
    }
}

/// Files of one volume that lie on each other.
pub(super) fn overlap_warnings(spec: &Tree) -> Vec<String> {
    let mut warnings = Vec::new();
    for volume in items(spec, "volumes") {
        let name = || go_quote(text(volume, "name"));
        for (field, kind, key) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
            let Some(source) = child(volume, field) else { continue };
            for overlap in overlaps(&files(source, ("", None))) {
                let of = go_quote(text(source, key));
                warnings.push(format!("volume {} ({kind} {of}): overlapping paths: {overlap}", name()));
            }
        }
        if let Some(source) = child(volume, "downwardAPI") {
            let overlaps = overlaps(&files(source, ("", None)));
            let told = overlaps.iter().map(|o| format!("volume {} (DownwardAPI): overlapping paths: {o}", name()));
            warnings.extend(told);
        }
        let Some(projected) = child(volume, "projected") else { continue };
        let all: Vec<File<'_>> = items(projected, "sources").flat_map(projected_files).collect();
        let told = overlaps(&all);
        warnings.extend(told.iter().map(|o| format!("volume {} (Projected): overlapping paths: {o}", name())));
        for _ in items(projected, "sources").filter(|s| !s.values().any(|v| !v.is_null())) {
            warnings.push(format!("volume {} (Projected) has no sources provided", name()));
        }
    }
    warnings
}

fn files<'a>(source: &'a Tree, label: (&'static str, Option<&'a str>)) -> Vec<File<'a>> {
    items(source, "items").map(|item| File::new(text(item, "path"), label)).collect()
}

fn projected_files(source: &Tree) -> Vec<File<'_>> {
    for (field, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        if let Some(of) = child(source, field) {
            return files(of, (kind, Some(text(of, "name"))));
        }
    }
    if let Some(downward) = child(source, "downwardAPI") {
        return files(downward, ("DownwardAPI", None));
    }
    if let Some(token) = child(source, "serviceAccountToken") {
        return vec![File::new(text(token, "path"), ("ServiceAccountToken", None))];
    }
    if let Some(bundle) = child(source, "clusterTrustBundle") {
        let name = if is_set(bundle, "name") { text(bundle, "name") } else { text(bundle, "signerName") };
        return vec![File::new(text(bundle, "path"), ("ClusterTrustBundle", Some(name)))];
    }
    let Some(certificate) = child(source, "podCertificate") else { return Vec::new() };
    let parts = [
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    ];
    let parts = parts.into_iter().filter(|(field, _)| !text(certificate, field).is_empty());
    parts.map(|(field, label)| File::new(text(certificate, field), (label, None))).collect()
}

fn overlaps(files: &[File<'_>]) -> Vec<String> {
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
