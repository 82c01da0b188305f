//! Reads `kinds.txt`: every resource that the pinned upstream can serve, in discovery order.

use std::borrow::Cow;

use crate::api::GroupVersionKind;
use crate::api::schema::{Str, Table, TypeId};
use crate::resources::{Column, Subresource};

use super::Malformed;
use super::line::{Line, lines};

/// A group and its versions in order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    /// Empty for the legacy group.
    pub name: &'static str,
    /// `groupPriorityMinimum` of its `APIService`; 0 for `apiregistration.k8s.io`, which has none.
    pub priority: i32,
    pub versions: Vec<VersionFacts>,
}

/// A version of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionFacts {
    pub name: &'static str,
    /// `versionPriority` of its `APIService`.
    pub priority: i32,
    /// Served unless `--runtime-config` says otherwise; the others only if it says so.
    pub served_by_default: bool,
}

/// One version of one resource.
#[derive(Clone, Debug)]
pub struct KindFacts {
    pub gvk: GroupVersionKind,
    pub plural: &'static str,
    pub singular: &'static str,
    pub namespaced: bool,
    /// In alphabetical order.
    pub verbs: Vec<Str>,
    pub type_id: TypeId,
    /// The type of its lists; `None` where nothing is listed.
    pub list_type_id: Option<TypeId>,
    pub short_names: Vec<Str>,
    pub categories: Vec<Str>,
    /// The form in which it is stored; `None`: nothing is stored. Resources stored as the same kind are one collection.
    pub stored_as: Option<GroupVersionKind>,
    /// What `storageVersionHash` is made of: `stored_as`, or the version no longer served in which upstream stores it.
    pub hashed_as: Option<GroupVersionKind>,
    /// As for its version.
    pub served_by_default: bool,
    /// The feature gate that must be on as well.
    pub gate: Option<&'static str>,
    pub introduced: Option<Release>,
    pub deprecated: Option<Release>,
    pub removed: Option<Release>,
    /// What to use instead, for the deprecation warning.
    pub replacement: Option<GroupVersionKind>,
    pub subresources: Vec<Subresource>,
    /// What field selectors may name, in alphabetical order.
    pub fields: Vec<FieldLabel>,
    /// The printed columns; empty: the default table (Name, Created At).
    pub columns: Vec<Column>,
}

/// A name that field selectors may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLabel {
    pub name: &'static str,
    /// The name under which the stored kind knows it; mostly the same.
    pub means: &'static str,
}

/// What kinds of which upstream says nothing can be selected by.
const EVERYONE: [FieldLabel; 2] = [same("metadata.name"), same("metadata.namespace")];

const fn same(name: &'static str) -> FieldLabel {
    FieldLabel { name, means: name }
}

/// A minor release of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    pub major: u32,
    pub minor: u32,
}

impl Release {
    /// The release of a version such as `v1.37.1`.
    pub fn of(version: &str) -> Option<Self> {
        let mut numbers = version.strip_prefix('v')?.split('.');
        let major = numbers.next()?.parse().ok()?;
        Some(Self { major, minor: numbers.next()?.parse().ok()? })
    }
}

/// Reads the file; types must already stand in the table.
pub(super) fn parse(text: &'static str, table: &Table) -> Result<(Vec<GroupFacts>, Vec<KindFacts>), Malformed> {
    let mut groups: Vec<GroupFacts> = Vec::new();
    let mut kinds: Vec<KindFacts> = Vec::new();
    for line in lines(text) {
        let outside = || line.malformed("a line that belongs to nothing");
        match line.depth {
            0 => groups.push(parse_group(line)?),
            1 => groups.last_mut().ok_or_else(outside)?.versions.push(parse_version(line)?),
            2 => {
                let group = groups.last().ok_or_else(outside)?;
                let version = group.versions.last().ok_or_else(outside)?;
                kinds.push(Head { group, version, table }.parse_kind(line)?);
            }
            _ => add_fact(kinds.last_mut().ok_or_else(outside)?, line, table)?,
        }
    }
    Ok((groups, kinds))
}

fn parse_group(line: Line) -> Result<GroupFacts, Malformed> {
    let [name, priority] = line.words()?;
    let name = if name == "-" { "" } else { name };
    Ok(GroupFacts { name, priority: line.number(priority)?, versions: Vec::new() })
}

fn parse_version(line: Line) -> Result<VersionFacts, Malformed> {
    let [name, priority, served] = line.words()?;
    Ok(VersionFacts { name, priority: line.number(priority)?, served_by_default: served == "default" })
}

/// What a kind's line stands under.
struct Head<'a> {
    group: &'a GroupFacts,
    version: &'a VersionFacts,
    table: &'a Table,
}

impl Head<'_> {
    fn parse_kind(&self, line: Line) -> Result<KindFacts, Malformed> {
        let [kind, plural, singular, scope, verbs, type_name] = line.words()?;
        Ok(KindFacts {
            gvk: GroupVersionKind::of(self.group.name, self.version.name, kind),
            plural,
            singular,
            namespaced: scope == "namespaced",
            verbs: names(verbs, ','),
            type_id: find(line, type_name, self.table)?,
            list_type_id: None,
            short_names: Vec::new(),
            categories: Vec::new(),
            stored_as: None,
            hashed_as: None,
            served_by_default: self.version.served_by_default,
            gate: None,
            introduced: None,
            deprecated: None,
            removed: None,
            replacement: None,
            subresources: Vec::new(),
            fields: EVERYONE.to_vec(),
            columns: Vec::new(),
        })
    }
}

fn add_fact(kind: &mut KindFacts, line: Line, table: &Table) -> Result<(), Malformed> {
    let (word, value) = line.text.split_once(' ').ok_or_else(|| line.malformed("a fact without a value"))?;
    if let Some(name) = word.strip_prefix('/') {
        let [_, payload, verbs] = line.words()?;
        let payload = parse_kind_name(line, payload)?;
        kind.subresources.push(Subresource { name: Cow::Borrowed(name), payload, verbs: names(verbs, ',') });
        return Ok(());
    }
    match word {
        "list" => kind.list_type_id = Some(find(line, value, table)?),
        "short" => kind.short_names = names(value, ' '),
        "category" => kind.categories = names(value, ' '),
        "stored" => {
            kind.stored_as = Some(parse_kind_name(line, value)?);
            kind.hashed_as.clone_from(&kind.stored_as);
        }
        "hashed" => kind.hashed_as = Some(parse_kind_name(line, value)?),
        "fields" => kind.fields = value.split(' ').map(parse_field_label).collect(),
        "gate" => kind.gate = Some(value),
        "since" => kind.introduced = Some(parse_release(line, value)?),
        "deprecated" => kind.deprecated = Some(parse_release(line, value)?),
        "removed" => kind.removed = Some(parse_release(line, value)?),
        "replacement" => kind.replacement = Some(parse_kind_name(line, value)?),
        _ => return Err(line.malformed(format!("no fact of a kind: {word}"))),
    }
    Ok(())
}

pub(super) fn find(line: Line, name: &str, table: &Table) -> Result<TypeId, Malformed> {
    table.find(name).ok_or_else(|| line.malformed(format!("no type is called {name}")))
}

/// `apps/v1/Deployment`, or `v1/Pod` for the legacy group.
pub(super) fn parse_kind_name(line: Line, text: &'static str) -> Result<GroupVersionKind, Malformed> {
    let none = || line.malformed(format!("no kind: {text}"));
    let (group_version, kind) = text.rsplit_once('/').ok_or_else(none)?;
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    Ok(GroupVersionKind::of(group, version, kind))
}

fn parse_field_label(text: &'static str) -> FieldLabel {
    text.split_once('=').map_or(same(text), |(name, means)| FieldLabel { name, means })
}

fn parse_release(line: Line, text: &str) -> Result<Release, Malformed> {
    let (major, minor) = text.split_once('.').ok_or_else(|| line.malformed(format!("no release: {text}")))?;
    Ok(Release { major: line.number(major)?, minor: line.number(minor)? })
}

fn names(text: &'static str, between: char) -> Vec<Str> {
    text.split(between).map(Cow::Borrowed).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::*;

    #[track_caller]
    fn kind<'a>(facts: &'a Facts, group: &str, version: &str, plural: &str) -> &'a KindFacts {
        facts.kind(group, version, plural).unwrap_or_else(|| panic!("no {group}/{version} {plural}"))
    }

    #[test]
    fn every_kind_has_a_struct_with_metadata_or_is_a_review() {
        let facts = Facts::load();
        assert!(facts.kinds.len() >= 100);
        for kind in &facts.kinds {
            let of = facts.types.get(kind.type_id);
            assert!(of.field("kind").is_some() && of.field("metadata").is_some(), "{}", of.name);
            assert_eq!(kind.verbs.iter().any(|v| v == "list"), kind.list_type_id.is_some(), "{}", of.name);
            assert!(kind.verbs.is_sorted() && !kind.verbs.is_empty(), "{}", of.name);
        }
    }

    #[test]
    fn every_stored_kind_is_a_known_kind_with_the_same_plural() {
        let facts = Facts::load();
        for kind in &facts.kinds {
            let Some(stored) = &kind.stored_as else { continue };
            let found = facts.kinds.iter().find(|k| k.gvk == *stored);
            assert_eq!(found.map(|k| k.plural), Some(kind.plural), "{:?}", kind.gvk);
        }
    }

    #[test]
    fn every_payload_of_a_subresource_has_a_type() {
        let facts = Facts::load();
        for kind in &facts.kinds {
            for subresource in &kind.subresources {
                assert!(facts.type_of(&subresource.payload).is_some(), "{:?}", subresource.payload);
            }
        }
    }

    #[test]
    fn beta_and_alpha_versions_are_not_served_by_default() {
        for kind in &Facts::load().kinds {
            let stable = !kind.gvk.version.contains("beta") && !kind.gvk.version.contains("alpha");
            assert_eq!(kind.served_by_default, stable, "{:?}", kind.gvk);
        }
    }

    #[test]
    fn both_groups_of_events_are_stored_as_one_kind() {
        let facts = Facts::load();
        let core = kind(&facts, "", "v1", "events");
        let new = kind(&facts, "events.k8s.io", "v1", "events");
        assert_eq!(core.stored_as, new.stored_as);
        assert_ne!(core.type_id, new.type_id);
    }

    #[test]
    fn a_deployment_has_its_discovery_facts() {
        let facts = Facts::load();
        let deployment = kind(&facts, "apps", "v1", "deployments");
        assert_eq!((deployment.singular, deployment.namespaced), ("deployment", true));
        assert_eq!(deployment.short_names, ["deploy"]);
        assert_eq!(deployment.categories, ["all"]);
        assert_eq!(deployment.introduced, Some(Release { major: 1, minor: 9 }));
        let scale = &deployment.subresources[0];
        assert_eq!((&*scale.name, &scale.payload), ("scale", &GroupVersionKind::of("autoscaling", "v1", "Scale")));
    }

    #[test]
    fn pods_can_be_selected_by_node_and_leases_by_name_only() {
        let facts = Facts::load();
        let pods = &kind(&facts, "", "v1", "pods").fields;
        assert!(pods.contains(&same("spec.nodeName")) && pods.contains(&same("metadata.namespace")));
        assert!(pods.contains(&FieldLabel { name: "spec.host", means: "spec.nodeName" }));
        assert_eq!(kind(&facts, "coordination.k8s.io", "v1", "leases").fields, EVERYONE);
    }

    #[test]
    fn no_kind_is_served_that_the_release_has_removed() {
        let facts = Facts::load();
        assert!(facts.release >= Release { major: 1, minor: 37 });
        assert!(facts.kinds.iter().all(|k| k.removed.is_none_or(|removed| removed > facts.release)));
        assert_eq!(Release::of("1.37"), None);
    }

    #[test]
    fn groups_stand_in_the_order_of_discovery() {
        let facts = Facts::load();
        let names: Vec<_> = facts.groups.iter().take(4).map(|g| g.name).collect();
        assert_eq!(names, ["", "apiregistration.k8s.io", "apps", "events.k8s.io"]);
    }
}
