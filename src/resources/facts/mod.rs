//! What the pinned upstream says of its types, generated into the text files of this folder by
//! `conformance/upstream/facts`. `app` loads it once and shares it; nothing here is edited by hand or cached globally.

mod columns;
mod descriptions;
mod flags;
mod kinds;
mod line;
mod objects;
mod shape;
mod switches;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::GroupVersionKind;
use crate::api::schema::{Table, TypeId};

pub use descriptions::Descriptions;
pub use flags::{Flag, flags};
pub use kinds::{FieldLabel, GroupFacts, KindFacts, Release, VersionFacts};
pub use objects::{bootstrap_flow_control, bootstrap_rbac};
pub use switches::{AdmissionPlugin, Gate, Stage, gate, gates};

/// The version of Kubernetes that all facts are of, such as `v1.37.1`.
pub const VERSION: &str = include_str!("version.txt").trim_ascii();

/// All facts. Loading costs about two milliseconds; make it once and share it.
pub struct Facts {
    /// The minor release of `VERSION`.
    pub release: Release,
    /// The shapes of all built-in types.
    pub types: Arc<Table>,
    /// In discovery order, the legacy group first.
    pub groups: Vec<GroupFacts>,
    /// Every resource that can be served, by group and version in discovery order, then by kind.
    pub kinds: Vec<KindFacts>,
    /// In the order in which they run.
    pub plugins: Vec<AdmissionPlugin>,
    /// `x-kubernetes-group-version-kind` of definitions in `/openapi/v2` when everything is served. A document of
    /// `/openapi/v3` has of these only those of its own group and version, and of the legacy group.
    pub openapi_kinds: HashMap<TypeId, Vec<GroupVersionKind>>,
}

/// The shapes of all built-in types alone.
pub fn types() -> Table {
    types::parse(include_str!("types.txt")).expect(WELL_FORMED)
}

/// A line of a generated file that could not be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// Counted from 1.
    pub line: usize,
    pub what: String,
}

const WELL_FORMED: &str = "the generated facts are part of the binary and a test walks them";

impl Facts {
    /// Reads the files that are part of the binary.
    pub fn load() -> Self {
        let types = types();
        let (groups, mut kinds) = kinds::parse(include_str!("kinds.txt"), &types).expect(WELL_FORMED);
        let columns = columns::parse(include_str!("columns.txt")).expect(WELL_FORMED);
        for kind in &mut kinds {
            kind.columns = columns.get(&(&*kind.gvk.group, &*kind.gvk.kind)).cloned().unwrap_or_default();
        }
        Self {
            release: Release::of(VERSION).expect(WELL_FORMED),
            groups,
            kinds,
            plugins: switches::parse_plugins(include_str!("plugins.txt")).expect(WELL_FORMED),
            openapi_kinds: switches::parse_openapi(include_str!("openapi.txt"), &types).expect(WELL_FORMED),
            types: Arc::new(types),
        }
    }

    /// The resource at a group, version and plural.
    pub fn kind(&self, group: &str, version: &str, plural: &str) -> Option<&KindFacts> {
        let at = |k: &&KindFacts| k.plural == plural && k.gvk.version == version && k.gvk.group == group;
        self.kinds.iter().find(at)
    }

    /// The type of anything with a group, version and kind: resources, and what only subresources and options use
    /// (`Scale`, `Eviction`, `DeleteOptions` …).
    pub fn type_of(&self, gvk: &GroupVersionKind) -> Option<TypeId> {
        let resource = self.kinds.iter().find(|k| k.gvk == *gvk).map(|k| k.type_id);
        resource.or_else(|| self.types.find(&definition_name(gvk)))
    }
}

/// The definition name of a kind in one of the packages of k8s.io/api, whose groups are named by their first label.
fn definition_name(gvk: &GroupVersionKind) -> String {
    let package = match gvk.group.split('.').next() {
        None | Some("") => "core",
        Some(first) => first,
    };
    format!("io.k8s.api.{package}.{}.{}", gvk.version, gvk.kind)
}
