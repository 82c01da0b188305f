//! Joins the generated facts with the table of behaviours: the built-in types as they are served.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::facts::{Facts, KindFacts, Release};
use super::{BUILT_IN, Behaviour, Column, Gates, Group, Hooks, Kind, Plain, SelectableField, Served};
use crate::api::field::go_quote;
use crate::api::names::api_version;
use crate::api::{GroupResource, GroupVersionKind};

/// `--runtime-config`: which versions are served beside or without the default ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `api/all`, `api/ga`, `api/beta`, `api/alpha`, `group/version` or `group/version/resource`, each on or off; the
    /// one that says most decides, of equal ones the last.
    pub switches: Vec<(String, bool)>,
    /// For resources that hang on a gate.
    pub gates: Gates,
}

/// The switches of many versions at once, those that say more after those that say less.
pub const STAGES: [&str; 4] = ["api/all", "api/ga", "api/beta", "api/alpha"];

/// What the fair queues of requests need, in the order in which it counts; upstream refuses to start without it unless
/// they are switched off, and there is no such switch here.
const NEEDED: [&str; 3] = ["flowcontrol.apiserver.k8s.io/v1", "api/ga", "api/all"];

impl RuntimeConfig {
    /// Whether what is named exists.
    ///
    /// # Errors
    /// Upstream's text.
    pub fn check(&self, facts: &Facts) -> Result<(), String> {
        let set = |wanted: &str| self.switches.iter().rev().find(|(name, _)| name == wanted).map(|(_, on)| *on);
        if let Some((needed, false)) = NEEDED.iter().find_map(|needed| Some((needed, set(needed)?))) {
            let conflict =
                format!("--runtime-config={needed}=false conflicts with --enable-priority-and-fairness=true");
            return Err(match self.switches.as_slice() {
                [(name, _)] if name == "api/all" => {
                    format!("[{conflict}, invalid runtime-config with only api/all=false]")
                }
                _ => conflict,
            });
        }
        self.check_names(facts)
    }

    fn check_names(&self, facts: &Facts) -> Result<(), String> {
        let mut unknown = BTreeSet::new();
        for (name, _) in self.switches.iter().filter(|(name, _)| !STAGES.contains(&name.as_str())) {
            let tokens: Vec<_> = name.split('/').collect();
            let ([group, version] | [group, version, _]) = tokens[..] else {
                return Err(format!("runtime-config invalid key {name}"));
            };
            match facts.groups.iter().find(|known| known.name == group) {
                None => drop(unknown.insert(format!("{group}/{version}"))),
                Some(known) if known.versions.iter().all(|v| v.name != version) => {
                    return Err(format!("group version {group}/{version} that has not been registered"));
                }
                Some(_) => {}
            }
            if let [.., resource] = tokens[..]
                && tokens.len() == 3
                && resource.to_lowercase() != resource
            {
                let why = "group/version/resource and resource is always lowercase plural, not";
                return Err(format!("invalid key {name}: {why} {}", go_quote(resource)));
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(format!("unknown api groups {}", unknown.into_iter().collect::<Vec<_>>().join(",")))
    }

    fn serves(&self, kind: &KindFacts) -> bool {
        let version = &*kind.gvk.version;
        let exact = api_version(&kind.gvk.group, version);
        let resource = format!("{exact}/{}", kind.plural);
        let stable = !version.contains("alpha") && !version.contains("beta");
        let fits = |name: &str| match name {
            "api/all" => true,
            "api/ga" => stable,
            "api/beta" => version.contains("beta"),
            "api/alpha" => version.contains("alpha"),
            other => {
                let other = other.strip_prefix('/').unwrap_or(other);
                other == exact || other == resource
            }
        };
        let weight =
            |name: &str| STAGES.iter().position(|stage| *stage == name).unwrap_or(name.matches('/').count() + 4);
        let fitting = self.switches.iter().filter(|(name, _)| fits(name));
        let switched = fitting.max_by_key(|(name, _)| weight(name)).map(|(_, on)| *on);
        let gated = kind.gate.is_none_or(|gate| self.gates.enabled(gate));
        switched.unwrap_or(kind.served_by_default) && gated
    }
}

/// What is served of the built-in types.
pub fn built_in(facts: &Facts, config: &RuntimeConfig) -> Served {
    let behaviours: HashMap<(&str, &str), &'static dyn Behaviour> =
        BUILT_IN.iter().map(|row| ((row.group, row.kind), row.behaviour)).collect();
    let collections = collections(facts);
    let chosen: Vec<&KindFacts> = facts.kinds.iter().filter(|kind| config.serves(kind)).collect();
    let behaviour = |k: &KindFacts| behaviours.get(&(&*k.gvk.group, &*k.gvk.kind)).copied().unwrap_or(&Plain);
    let mut kinds: Vec<Kind> = chosen.iter().map(|k| join(facts, k, behaviour(k), &collections)).collect();
    let gates = Arc::new(config.gates.clone());
    for (kind, of) in kinds.iter_mut().zip(&chosen) {
        let sharing = facts.kinds.iter().filter(|other| other.stored_as.is_some() && other.stored_as == of.stored_as);
        kind.extracted = extracted(sharing.map(behaviour));
        kind.gates = gates.clone();
    }
    let kinds: Vec<Arc<Kind>> = kinds.into_iter().map(Arc::new).collect();
    let groups = facts.groups.iter().filter_map(|group| {
        let served = |version: &str| kinds.iter().any(|k| k.gvk.group == group.name && k.gvk.version == version);
        let versions: Vec<String> =
            group.versions.iter().map(|v| v.name).filter(|v| served(v)).map(str::to_owned).collect();
        (!versions.is_empty()).then(|| Group { name: group.name.to_owned(), versions })
    });
    let groups = groups.collect();
    Served::built_in(kinds, groups)
}

/// All fields of the behaviours, each name once.
fn extracted(behaviours: impl Iterator<Item = &'static dyn Behaviour>) -> Vec<SelectableField> {
    let mut fields: Vec<SelectableField> = Vec::new();
    for field in behaviours.flat_map(|behaviour| behaviour.fields()) {
        if !fields.iter().any(|f| f.name == field.name) {
            fields.push(*field);
        }
    }
    fields
}

/// The collection of each stored form: the resource that is first served as it. Two resources stored in one form
/// (`events` of two groups) share their collection.
fn collections(facts: &Facts) -> HashMap<&GroupVersionKind, Arc<str>> {
    let mut collections = HashMap::new();
    for kind in &facts.kinds {
        if let Some(stored) = &kind.stored_as {
            collections.entry(stored).or_insert_with(|| Arc::from(address(kind)));
        }
    }
    collections
}

/// `deployments.apps`, or `pods` in the legacy group.
fn address(kind: &KindFacts) -> String {
    GroupResource { group: kind.gvk.group.clone(), resource: kind.plural.into() }.to_string()
}

fn join(
    facts: &Facts,
    kind: &KindFacts,
    behaviour: &'static dyn Behaviour,
    collections: &HashMap<&GroupVersionKind, Arc<str>>,
) -> Kind {
    let stored_as = kind.stored_as.clone().unwrap_or_else(|| kind.gvk.clone());
    let collection = kind.stored_as.as_ref().and_then(|stored| collections.get(stored)).cloned();
    Kind {
        gvk: kind.gvk.clone(),
        list_kind: format!("{}List", kind.gvk.kind).into(),
        resource: kind.plural.into(),
        singular: kind.singular.into(),
        namespaced: kind.namespaced,
        verbs: kind.verbs.clone(),
        short_names: kind.short_names.clone(),
        categories: kind.categories.clone(),
        types: facts.types.clone(),
        type_id: kind.type_id,
        stored_type_id: facts.type_of(&stored_as).unwrap_or(kind.type_id),
        list_type_id: kind.list_type_id,
        collection: collection.unwrap_or_else(|| Arc::from(address(kind))),
        stored_as,
        extracted: Vec::new(),
        storage_version_hash: kind.hashed_as.as_ref().map(storage_version_hash).unwrap_or_default(),
        deprecation: deprecation(kind, facts.release),
        columns: columns(kind, behaviour),
        subresources: kind.subresources.clone(),
        behaviour: Hooks::BuiltIn(behaviour),
        gates: Arc::default(),
        custom: None,
    }
}

fn columns(kind: &KindFacts, behaviour: &dyn Behaviour) -> Vec<Column> {
    match (behaviour.prints_rows(), kind.columns.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => behaviour.columns(),
        (true, false) => kind.columns.clone(),
    }
}

/// The first eight bytes of a hash over the stored form (apiserver `pkg/endpoints/discovery/storageversionhash.go`).
pub(super) fn storage_version_hash(stored: &GroupVersionKind) -> String {
    let text = format!("{}/{}/{}", stored.group, stored.version, stored.kind);
    STANDARD.encode(&Sha256::digest(text.as_bytes())[..8])
}

/// The warning of a deprecated version (apiserver `pkg/endpoints/deprecation`).
fn deprecation(kind: &KindFacts, now: Release) -> String {
    let Some(Release { major, minor }) = kind.deprecated.filter(|since| *since <= now) else { return String::new() };
    let name = |gvk: &GroupVersionKind| format!("{} {}", gvk.api_version(), gvk.kind);
    let mut text = format!("{} is deprecated in v{major}.{minor}+", name(&kind.gvk));
    if let Some(Release { major, minor }) = kind.removed {
        text.push_str(&format!(", unavailable in v{major}.{minor}+"));
    }
    if let Some(replacement) = &kind.replacement {
        text.push_str(&format!("; use {}", name(replacement)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_served(config: &RuntimeConfig, path: (&str, &str, &str), expected: bool) {
        let served = built_in(&Facts::load(), config);
        assert_eq!(served.find(path.0, path.1, path.2).is_some(), expected, "{path:?}");
    }

    #[test]
    fn a_resource_behind_a_gate_is_served_when_the_gate_is_on() {
        let all = RuntimeConfig { switches: vec![("api/all".to_owned(), true)], ..RuntimeConfig::default() };
        let gates = Gates::parse(&[("GenericWorkload".to_owned(), true)]).unwrap();
        let gated = RuntimeConfig { gates, ..all.clone() };
        check_served(&RuntimeConfig::default(), ("certificates.k8s.io", "v1", "clustertrustbundles"), true);
        check_served(&all, ("scheduling.k8s.io", "v1beta1", "workloads"), false);
        check_served(&gated, ("scheduling.k8s.io", "v1beta1", "workloads"), true);
    }

    #[test]
    fn the_switch_that_says_most_decides_and_unknown_ones_are_refused() {
        let facts = Facts::load();
        let config = |switches: &[(&str, bool)]| RuntimeConfig {
            switches: switches.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect(),
            ..RuntimeConfig::default()
        };
        let some = config(&[("apps/v1/deployments", true), ("apps/v1", false), ("/v1", false)]);
        check_served(&some, ("apps", "v1", "deployments"), true);
        check_served(&some, ("apps", "v1", "daemonsets"), false);
        check_served(&some, ("", "v1", "pods"), false);
        let check = |switches: &[(&str, bool)]| config(switches).check(&facts);
        let conflict = "--runtime-config=api/all=false conflicts with --enable-priority-and-fairness=true";
        let alone = format!("[{conflict}, invalid runtime-config with only api/all=false]");
        assert_eq!(check(&[("api/all", false)]), Err(alone));
        assert_eq!(check(&[("api/all", false), ("apps/v1", true)]), Err(conflict.to_owned()));
        assert_eq!(check(&[("api/all", false), ("flowcontrol.apiserver.k8s.io/v1", true)]), Ok(()));
        let upper =
            "invalid key apps/v1/Pods: group/version/resource and resource is always lowercase plural, not \"Pods\"";
        assert_eq!(check(&[("apps/v1/Pods", true)]), Err(upper.to_owned()));
        assert_eq!(check(&[("foo/v1", true)]), Err("unknown api groups foo/v1".to_owned()));
        assert_eq!(check(&[("v1", true)]), Err("runtime-config invalid key v1".to_owned()));
        let unregistered = "group version apps/v9 that has not been registered".to_owned();
        assert_eq!(check(&[("apps/v9", true)]), Err(unregistered));
    }

    #[test]
    fn a_version_that_will_be_deprecated_later_warns_of_nothing_yet() {
        let facts = Facts::load();
        let later = facts.kinds.iter().find(|kind| kind.deprecated.is_some_and(|since| since > facts.release));
        assert_eq!(deprecation(later.unwrap(), facts.release), "");
        let endpoints = facts.kind("", "v1", "endpoints").unwrap();
        let warning = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
        assert_eq!(deprecation(endpoints, facts.release), warning);
    }
}
