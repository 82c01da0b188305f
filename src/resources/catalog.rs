//! The types served right now. Readers take a `Served` and keep it for one request; custom resources come and go by
//! replacing it. What stays is shared between the one before and the one after, so that a change costs what changes.

use std::cmp::Ordering;
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;
use tokio::sync::watch;

use super::Kind;
use super::custom::versions_by_preference;

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
    /// Rises with every change.
    pub generation: u64,
    built_in: Arc<BuiltIn>,
    /// The types made at run time, by group.
    made: OrdMap<String, Arc<Shelf>>,
}

/// The types that are always served.
#[derive(Default)]
struct BuiltIn {
    /// By group and version in discovery order, by resource name within.
    kinds: Vec<Arc<Kind>>,
    /// In discovery order, the legacy group first.
    groups: Vec<(Group, Shelf)>,
}

/// The types of one group.
#[derive(Clone, Default)]
struct Shelf {
    /// In order of preference.
    versions: Vec<String>,
    /// By version and resource.
    by_resource: Vec<Arc<Kind>>,
    /// By version and kind.
    by_kind: Vec<Arc<Kind>>,
}

/// What a list of kinds is ordered by.
type Order = for<'a> fn(&'a Kind) -> (&'a str, &'a str);

fn by_resource(kind: &Kind) -> (&str, &str) {
    (&kind.gvk.version, &kind.resource)
}

fn by_kind(kind: &Kind) -> (&str, &str) {
    (&kind.gvk.version, &kind.gvk.kind)
}

impl Shelf {
    fn find<'a>(list: &'a [Arc<Kind>], order: Order, sought: (&str, &str)) -> Option<&'a Arc<Kind>> {
        // What stands first wins.
        let at = list.partition_point(|kind| order(kind).cmp(&sought) == Ordering::Less);
        list.get(at).filter(|kind| order(kind) == sought)
    }

    fn of_version(&self, version: &str) -> &[Arc<Kind>] {
        let start = self.by_resource.partition_point(|kind| *kind.gvk.version < *version);
        let rest = &self.by_resource[start..];
        &rest[..rest.partition_point(|kind| kind.gvk.version == version)]
    }

    fn in_order(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.versions.iter().flat_map(|version| self.of_version(version))
    }

    fn add(&mut self, kind: &Arc<Kind>) {
        for (list, order) in [(&mut self.by_resource, by_resource as Order), (&mut self.by_kind, by_kind as Order)] {
            let at = list.partition_point(|other| order(other) <= order(kind));
            list.insert(at, kind.clone());
        }
        if !self.versions.iter().any(|version| *version == *kind.gvk.version) {
            self.versions.push(kind.gvk.version.to_string());
            versions_by_preference(&mut self.versions);
        }
    }

    fn remove(&mut self, kind: &Arc<Kind>) {
        for (list, order) in [(&mut self.by_resource, by_resource as Order), (&mut self.by_kind, by_kind as Order)] {
            let start = list.partition_point(|other| order(other) < order(kind));
            let same = list[start..].iter().take_while(|other| order(other) == order(kind));
            if let Some(at) = same.enumerate().find_map(|(at, other)| Arc::ptr_eq(other, kind).then_some(at)) {
                list.remove(start + at);
            }
        }
        if self.of_version(&kind.gvk.version).is_empty() {
            self.versions.retain(|version| *version != *kind.gvk.version);
        }
    }
}

impl Served {
    /// The built-in types, which are already in discovery order.
    pub fn built_in(kinds: Vec<Arc<Kind>>, groups: Vec<Group>) -> Self {
        let shelf = |group: Group| {
            let mut shelf = Shelf::default();
            kinds.iter().filter(|kind| kind.gvk.group == group.name).for_each(|kind| shelf.add(kind));
            shelf.versions.clone_from(&group.versions);
            (group, shelf)
        };
        let groups = groups.into_iter().map(shelf).collect();
        Self { generation: 1, built_in: Arc::new(BuiltIn { kinds, groups }), made: OrdMap::new() }
    }

    /// The same without some types and with others that were made at run time.
    #[must_use]
    pub fn with(&self, gone: &[Arc<Kind>], come: &[Arc<Kind>]) -> Self {
        let mut made = self.made.clone();
        for kind in gone {
            let Some(shelf) = made.get_mut(&*kind.gvk.group) else { continue };
            let shelf = Arc::make_mut(shelf);
            shelf.remove(kind);
            if shelf.by_resource.is_empty() {
                made.remove(&*kind.gvk.group);
            }
        }
        for kind in come {
            if !made.contains_key(&*kind.gvk.group) {
                made.insert(kind.gvk.group.to_string(), Arc::default());
            }
            let shelf = made.get_mut(&*kind.gvk.group).expect("it was put there above");
            Arc::make_mut(shelf).add(kind);
        }
        Self { generation: self.generation + 1, built_in: self.built_in.clone(), made }
    }

    /// All types: the built-in ones, then those made at run time, both by group and version in discovery order.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.built_in.kinds.iter().chain(self.made())
    }

    /// The types made at run time of all groups.
    pub fn made(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.made.values().flat_map(|shelf| shelf.in_order())
    }

    /// The groups in discovery order, the legacy group first. Those that are only made at run time come last.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        let built_in = self.built_in.groups.iter().map(|(group, _)| self.joined(group));
        let own = |(name, shelf): (&String, &Arc<Shelf>)| {
            self.built_in_shelf(name).is_none().then(|| Group { name: name.clone(), versions: shelf.versions.clone() })
        };
        built_in.chain(self.made.iter().filter_map(own))
    }

    /// One group.
    pub fn group(&self, name: &str) -> Option<Group> {
        match self.built_in_shelf(name) {
            Some((group, _)) => Some(self.joined(group)),
            None => self.made.get(name).map(|shelf| Group { name: name.to_owned(), versions: shelf.versions.clone() }),
        }
    }

    /// Whether a group has built-in types.
    pub fn has_built_in(&self, group: &str) -> bool {
        self.built_in_shelf(group).is_some()
    }

    /// The kind at a group, version and plural. A definition does not take the place of a built-in type.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Kind>> {
        self.shelves(group).find_map(|shelf| Shelf::find(&shelf.by_resource, by_resource, (version, resource)))
    }

    /// The kind of a group, version and kind.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.shelves(group).find_map(|shelf| Shelf::find(&shelf.by_kind, by_kind, (version, kind)))
    }

    /// The kinds of one group and version.
    pub fn of_version(&self, group: &str, version: &str) -> impl Iterator<Item = &Arc<Kind>> {
        self.shelves(group).flat_map(move |shelf| shelf.of_version(version))
    }

    /// The kinds of one group, by version in order of preference.
    pub fn of_group(&self, group: &str) -> impl Iterator<Item = &Arc<Kind>> {
        self.shelves(group).flat_map(Shelf::in_order)
    }

    /// The types whose objects lie in one collection with those of `kind`, itself among them, in discovery order.
    pub fn sharing(&self, kind: &Kind) -> Vec<Arc<Kind>> {
        let same = |other: &&Arc<Kind>| other.collection == kind.collection;
        if kind.is_custom() {
            self.of_group(&kind.gvk.group).filter(same).cloned().collect()
        } else {
            self.built_in.kinds.iter().filter(same).cloned().collect()
        }
    }

    /// The first served kind of a resource in any version, in order of preference.
    pub fn find_resource(&self, group: &str, resource: &str) -> Option<&Arc<Kind>> {
        self.shelves(group).find_map(|shelf| {
            let versions = &shelf.versions;
            versions.iter().find_map(|version| Shelf::find(&shelf.by_resource, by_resource, (version, resource)))
        })
    }

    fn joined(&self, group: &Group) -> Group {
        let mut joined = group.clone();
        if let Some(shelf) = self.made.get(&group.name) {
            joined.versions.extend(shelf.versions.iter().filter(|version| !group.versions.contains(version)).cloned());
        }
        joined
    }

    fn built_in_shelf(&self, group: &str) -> Option<&(Group, Shelf)> {
        self.built_in.groups.iter().find(|(of, _)| of.name == group)
    }

    /// That of the built-in types first.
    fn shelves(&self, group: &str) -> impl Iterator<Item = &Shelf> {
        let built_in = self.built_in_shelf(group).map(|(_, shelf)| shelf);
        built_in.into_iter().chain(self.made.get(group).map(|shelf| &**shelf))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::custom::{Definition, Metadata, kinds};
    use crate::resources::facts::Facts;
    use crate::resources::{RuntimeConfig, built_in};
    use serde_json::json;

    type Kinds = Vec<Arc<Kind>>;

    /// What is always served, and what makes the kinds of a definition: of its group, versions and plural.
    fn catalog() -> (Served, impl Fn(&str, &[&str], &str) -> Kinds) {
        let facts = Facts::load();
        let metadata = Metadata::find(&facts.types);
        let made = move |group: &str, versions: &[&str], plural: &str| {
            let version = |name: &&str| json!({ "name": name, "served": true, "storage": true });
            let names = json!({ "plural": plural, "kind": "Foo", "listKind": "FooList" });
            let versions: Vec<_> = versions.iter().map(version).collect();
            let definition = json!({ "metadata": { "name": format!("{plural}.{group}") },
                "spec": { "group": group, "versions": versions }, "status": { "acceptedNames": names } });
            let source = bytes::Bytes::from(definition.to_string());
            kinds(&Definition::parse(&source).unwrap(), &source, &metadata)
        };
        (built_in(&facts, &RuntimeConfig::default()), made)
    }

    #[test]
    fn what_is_made_at_run_time_comes_and_goes_beside_the_rest() {
        let (before, made) = catalog();
        let kinds = made("g.io", &["v1", "v2", "v1beta1"], "foos");
        let after = before.with(&[], &kinds);
        assert_eq!(after.group("g.io").unwrap().versions, ["v2", "v1", "v1beta1"]);
        assert!(Arc::ptr_eq(after.find("g.io", "v1", "foos").unwrap(), &kinds[0]));
        assert!(Arc::ptr_eq(after.find_kind("g.io", "v2", "Foo").unwrap(), &kinds[1]));
        assert!(Arc::ptr_eq(after.find_resource("g.io", "foos").unwrap(), &kinds[1]));
        assert_eq!(after.sharing(&kinds[0]).len(), 3);
        assert_eq!(after.kinds().count(), before.kinds().count() + 3);
        let rest = after.with(&kinds[1..2], &[]);
        assert_eq!(rest.group("g.io").unwrap().versions, ["v1", "v1beta1"]);
        let none = rest.with(&[kinds[0].clone(), kinds[2].clone()], &[]);
        assert!(none.group("g.io").is_none() && none.find("g.io", "v1", "foos").is_none());
        assert_eq!(none.groups().collect::<Vec<_>>(), before.groups().collect::<Vec<_>>());
    }

    #[test]
    fn a_group_of_built_in_types_can_get_more_versions_but_no_other_type_in_the_place_of_one() {
        let (before, made) = catalog();
        let (more, rival) = (made("apps", &["v9"], "foos"), made("apps", &["v1"], "deployments"));
        let after = before.with(&[], &more).with(&[], &rival);
        assert_eq!(after.group("apps").unwrap().versions, ["v1", "v9"]);
        assert!(Arc::ptr_eq(after.find_resource("apps", "foos").unwrap(), &more[0]));
        assert_eq!(after.find("apps", "v1", "deployments").unwrap().gvk.kind, "Deployment");
    }
}
