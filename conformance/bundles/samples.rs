//! The kinds that a bundle defines, and the objects of them that its authors wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// How many samples of one kind are written.
const PER_KIND_MAX: usize = 40;

/// A version of a kind that is served.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    namespaced: bool,
    pub(super) schema: Value,
}

impl Kind {
    /// Where objects of the kind are, in a namespace when it has them.
    pub(super) fn collection(&self, namespace: &str) -> String {
        let Self { group, version, plural, .. } = self;
        match self.namespaced {
            true => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
            false => format!("/apis/{group}/{version}/{plural}"),
        }
    }

    /// Where all objects of the kind are.
    pub(super) fn everywhere(&self) -> String {
        format!("/apis/{}/{}/{}", self.group, self.version, self.plural)
    }
}

/// Kinds by `apiVersion` and `kind`.
pub(super) type Kinds = BTreeMap<(String, String), Kind>;

/// The served kinds of a list of definitions.
pub(super) fn kinds(definitions: &Value) -> Kinds {
    let mut kinds = Kinds::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for definition in definitions["items"].as_array().into_iter().flatten() {
        let spec = &definition["spec"];
        let versions = spec["versions"].as_array().into_iter().flatten();
        for version in versions.filter(|version| version["served"] == true) {
            let kind = Kind {
                group: text(&spec["group"]),
                version: text(&version["name"]),
                plural: text(&spec["names"]["plural"]),
                namespaced: spec["scope"] == "Namespaced",
                schema: version["schema"]["openAPIV3Schema"].clone(),
            };
            kinds.insert((format!("{}/{}", kind.group, kind.version), text(&spec["names"]["kind"])), kind);
        }
    }
    kinds
}

/// An object in a file.
pub(super) struct Sample {
    /// The file and the number of the document in it.
    pub(super) title: String,
    pub(super) text: String,
    pub(super) object: Value,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) namespace: String,
}

impl Sample {
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.kind.collection(&self.namespace), self.name)
    }
}

/// The objects of these kinds in files; files that are templates are passed over.
pub(super) fn samples(files: &[PathBuf], kinds: &Kinds) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        for (number, document) in documents(&text).into_iter().enumerate() {
            let Some(sample) = sample((file, number), document, kinds) else { continue };
            let text = |key: &str| sample.object[key].as_str().unwrap_or_default().to_owned();
            let count = counts.entry((text("apiVersion"), text("kind"))).or_default();
            *count += 1;
            if *count <= PER_KIND_MAX {
                found.push(sample);
            }
        }
    }
    found
}

fn sample((file, number): (&Path, usize), text: &str, kinds: &Kinds) -> Option<Sample> {
    if !text.contains("apiVersion") || text.contains("{{") || text.contains("#@") {
        return None;
    }
    let object: Value = serde_saphyr::from_str(text).ok()?;
    let key = (object["apiVersion"].as_str()?.to_owned(), object["kind"].as_str()?.to_owned());
    let kind = kinds.get(&key)?.clone();
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str()?.to_owned();
    let namespace = metadata["namespace"].as_str().unwrap_or("default").to_owned();
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    if !plain(&name) || !plain(&namespace) {
        return None;
    }
    let parts: Vec<_> = file.iter().rev().take(3).map(|part| part.to_string_lossy()).collect();
    let title = format!("{} {number}", parts.into_iter().rev().collect::<Vec<_>>().join("/"));
    Some(Sample { title, text: text.to_owned(), object, kind, name, namespace })
}

/// The documents of a stream of YAML.
fn documents(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push(&text[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    documents.push(&text[start..]);
    documents
}

#[test]
fn a_stream_is_cut_where_a_document_begins() {
    assert_eq!(documents("a: 1\n---\nb: |\n  ---\n"), ["a: 1\n", "b: |\n  ---\n"]);
}
