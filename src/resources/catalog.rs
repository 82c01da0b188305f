//! The types served right now. Readers take a `Served` and keep it for one request; custom resources come and go by
//! replacing it as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Kind;

/// A group with its versions in order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Empty for the legacy group.
    pub name: String,
    pub versions: Vec<String>,
}

/// What is served at one moment; immutable.
#[derive(Default)]
pub struct Served {
    /// Grouped by group and version in discovery order, by resource name within.
    pub kinds: Vec<Arc<Kind>>,
    /// In discovery order, the legacy group first.
    pub groups: Vec<Group>,
    /// Rises with every change.
    pub generation: u64,
    by_path: HashMap<String, Arc<Kind>>,
    by_kind: HashMap<String, Arc<Kind>>,
}

impl Served {
    /// Indexes kinds that are already in discovery order.
    pub fn new(kinds: Vec<Arc<Kind>>, groups: Vec<Group>, generation: u64) -> Self {
        // What stands first wins: a definition does not take the place of a built-in type.
        let kinds_of = |named: fn(&Kind) -> &str| {
            let pairs = kinds.iter().rev().map(|k| (address(&k.gvk.group, &k.gvk.version, named(k)), k.clone()));
            pairs.collect::<HashMap<_, _>>()
        };
        let by_path = kinds_of(|k| &k.resource);
        let by_kind = kinds_of(|k| &k.gvk.kind);
        Self { kinds, groups, generation, by_path, by_kind }
    }

    /// The kind at a group, version and plural.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&address(group, version, resource))
    }

    /// The kind of a group, version and kind.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.by_kind.get(&address(group, version, kind))
    }

    /// The kinds of one group and version.
    pub fn of_version<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Kind>> {
        self.kinds.iter().filter(move |k| k.gvk.group == group && k.gvk.version == version)
    }

    /// The first served kind of a resource in any version, in order of preference.
    pub fn find_resource(&self, group: &str, resource: &str) -> Option<&Arc<Kind>> {
        self.kinds.iter().find(|k| k.gvk.group == group && k.resource == resource)
    }
}

fn address(group: &str, version: &str, name: &str) -> String {
    format!("{group}/{version}/{name}")
}

/// Holds the present `Served`.
#[derive(Default)]
pub struct Catalog {
    served: ArcSwap<Served>,
    /// Tells those who wait that something else is served.
    changed: watch::Sender<u64>,
}

impl Catalog {
    /// A catalog that serves this.
    pub fn new(served: Served) -> Self {
        Self { served: ArcSwap::from_pointee(served), ..Self::default() }
    }

    /// What is served now.
    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// Serves something else from now on.
    pub fn replace(&self, served: Served) {
        let generation = served.generation;
        self.served.store(Arc::new(served));
        self.changed.send_replace(generation);
    }

    /// Tells of every later change, by the generation that is served since.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
