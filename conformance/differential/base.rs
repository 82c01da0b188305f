//! The valid objects that mutations start from.

use std::collections::BTreeMap;
use std::path::Path;

use coracle::resources::facts::{Facts, KindFacts};
use serde::Deserialize;
use serde_json::Value;

use super::change::{self, Changes};

/// The objects of one kind; the file's name is the family's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Family {
    #[serde(skip)]
    pub(super) name: String,
    /// `GROUP/VERSION`, or the version alone.
    pub(super) api_version: String,
    pub(super) resource: String,
    /// Objects that others refer to, made first.
    #[serde(default)]
    pub(super) needs: Vec<Need>,
    pub(super) bases: Vec<Base>,
    /// Changes that are written by hand.
    #[serde(skip)]
    pub(super) changes: Changes,
}

/// An object of any kind that must be there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Need {
    pub(super) api_version: String,
    pub(super) resource: String,
    pub(super) object: Value,
}

/// One object and what of it is changed. Paths are of field names, such as `spec.containers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    pub(super) base: String,
    /// As a client sends it; what stock makes of it is what is mutated.
    pub(super) object: Value,
    /// Mutated as it is sent: what stock adds holds for this one object alone.
    #[serde(default)]
    pub(super) as_sent: bool,
    /// Written through the subresource before updates, and mutated there.
    #[serde(default)]
    pub(super) status: Value,
    /// Changed on create; all when empty.
    #[serde(default)]
    pub(super) only: Vec<String>,
    /// Never changed.
    #[serde(default)]
    pub(super) skip: Vec<String>,
    /// Changed on update: as on create when nothing is said, nothing when empty.
    #[serde(default)]
    pub(super) update: Option<Vec<String>>,
    /// Changed through subresources other than the status.
    #[serde(default)]
    pub(super) parts: BTreeMap<String, Vec<String>>,
}

impl Family {
    pub(super) fn kind<'a>(&self, facts: &'a Facts) -> &'a KindFacts {
        kind(facts, &self.api_version, &self.resource)
    }

    /// The namespace that holds what the family makes.
    pub(super) fn namespace(&self) -> String {
        format!("differential-{}", self.name)
    }

    /// The path of the collection.
    pub(super) fn path(&self, facts: &Facts) -> String {
        path(self.kind(facts), &self.namespace())
    }
}

pub(super) fn kind<'a>(facts: &'a Facts, api_version: &str, resource: &str) -> &'a KindFacts {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    facts.kind(group, version, resource).unwrap_or_else(|| panic!("{api_version} has no {resource}"))
}

pub(super) fn path(kind: &KindFacts, namespace: &str) -> String {
    let root = if kind.gvk.group.is_empty() { "api".to_owned() } else { format!("apis/{}", kind.gvk.group) };
    let within = if kind.namespaced { format!("namespaces/{namespace}/") } else { String::new() };
    format!("/{root}/{}/{within}{}", kind.gvk.version, kind.plural)
}

/// All families in the order of their names.
pub(super) fn read(folder: &Path, changes: &Path) -> Vec<Family> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let family = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Family { changes: change::read(changes, &name), name, ..family }
    };
    paths.iter().map(read).collect()
}
