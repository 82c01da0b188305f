//! Makes the types that custom resource definitions define, and brings the definitions' status up to date: names,
//! serving, deletion. One task follows the definitions in the store; what it serves changes at once as a whole.

mod cleanup;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};

use super::{Call, Input, Registry, persist};
use crate::api::request::{FieldValidation, Target, User, WriteOptions};
use crate::api::{Object, Reason, Result, Status};
use crate::resources::apiextensions::conditions::{self, Taken};
use crate::resources::custom::{self, CLEANUP, Definition, versions_by_preference};
use crate::resources::{Group, Kind, Served};
use crate::storage::{Collection, Event, EventKind, Scope, Stored};

const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";
/// Wait before the definitions are read anew after the watch on them failed.
const RETRY: Duration = Duration::from_millis(200);
/// How often one definition's status is worked on before other definitions get their turn.
const STEPS_MAX: usize = 4;

/// The definitions of one server.
pub struct Definitions {
    registry: Arc<Registry>,
    facts: custom::Metadata,
    built_in: Vec<Arc<Kind>>,
    built_in_groups: Vec<Group>,
    known: BTreeMap<Arc<str>, Known>,
    /// Definitions whose status is to be looked at.
    dirty: BTreeSet<Arc<str>>,
    /// Definitions whose objects are being deleted.
    cleaning: BTreeSet<Arc<str>>,
}

/// One definition as it is served now.
struct Known {
    group: String,
    /// That of the object that was read last; what comes late and is older is passed over.
    revision: crate::api::Revision,
    /// What the kinds were made of; they are kept as long as it is the same.
    made_of: Made,
    /// Empty while it is not served.
    kinds: Vec<Arc<Kind>>,
    accepted: Definition,
}

#[derive(PartialEq, Eq)]
struct Made {
    spec: String,
    names: String,
    serves: bool,
    terminating: bool,
}

impl Definitions {
    /// Reads all definitions and serves what they define, beside the built-in types that are served already.
    pub fn load(registry: Arc<Registry>) -> Self {
        let served = registry.catalog().served();
        let mut this = Self {
            facts: custom::Metadata::find(&registry.facts.types),
            built_in: served.kinds.clone(),
            built_in_groups: served.groups.clone(),
            known: BTreeMap::new(),
            dirty: BTreeSet::new(),
            cleaning: BTreeSet::new(),
            registry,
        };
        this.read_all();
        this
    }

    /// Follows the definitions until dropped.
    pub async fn run(mut self) {
        let mut cleanups = FuturesUnordered::new();
        loop {
            let revision = self.read_all();
            let Ok(mut watch) = self.registry.store.watch(&collection(), revision, Scope::All) else {
                self.registry.clock.sleep(RETRY).await;
                continue;
            };
            loop {
                self.settle(&mut cleanups).await;
                tokio::select! {
                    batch = watch.next_batch() => match batch {
                        Ok(events) => self.absorb(&events),
                        Err(_) => break,
                    },
                    Some(name) = cleanups.next(), if !cleanups.is_empty() => {
                        self.cleaning.remove(&name);
                        self.dirty.insert(name);
                    }
                }
            }
        }
    }

    /// Takes the present state for what there is.
    fn read_all(&mut self) -> crate::api::Revision {
        let snapshot = self.registry.store.snapshot();
        let present: Vec<Arc<Stored>> = snapshot.list(&collection(), None, None).cloned().collect();
        let names: BTreeSet<Arc<str>> = present.iter().map(|stored| stored.key.name.clone()).collect();
        let mut changed = self.known.len();
        self.known.retain(|name, _| names.contains(name));
        changed -= self.known.len();
        for stored in &present {
            changed += usize::from(self.learn(stored));
        }
        if changed > 0 {
            self.publish();
        }
        snapshot.revision()
    }

    fn absorb(&mut self, events: &[Arc<Event>]) {
        let mut changed = false;
        for event in events {
            if event.kind == EventKind::Deleted {
                let Some(known) = self.known.remove(&event.object.key.name) else { continue };
                changed |= !known.kinds.is_empty();
                // Its names are free now.
                self.look_at_group(&known.group);
            } else {
                changed |= self.learn(&event.object);
            }
        }
        if changed {
            self.publish();
        }
    }

    fn look_at_group(&mut self, group: &str) {
        let others = self.known.iter().filter(|(_, known)| known.group == group);
        self.dirty.extend(others.map(|(name, _)| name.clone()));
    }

    /// Notes a definition; whether what is served changes.
    fn learn(&mut self, stored: &Stored) -> bool {
        let name = &stored.key.name;
        if self.known.get(name).is_some_and(|known| known.revision >= stored.revision) {
            return false;
        }
        let source: &Bytes = &stored.body.json;
        let definition = match Definition::parse(source) {
            Ok(definition) => definition,
            Err(error) => {
                tracing::error!(%name, %error, "a stored definition does not decode");
                return false;
            }
        };
        self.dirty.insert(name.clone());
        let made_of = Made {
            spec: custom::fingerprint(source),
            names: format!("{:?}", definition.status.accepted_names),
            serves: definition.serves(),
            terminating: definition.terminating(),
        };
        if let Some(known) = self.known.get_mut(name)
            && known.made_of == made_of
        {
            custom::renew_source(&known.kinds, source);
            known.accepted = definition;
            known.revision = stored.revision;
            return false;
        }
        let kinds = if made_of.serves { custom::kinds(&definition, source, &self.facts) } else { Vec::new() };
        let group = definition.spec.group.clone();
        let renamed = self.known.get(name).is_some_and(|known| known.made_of.names != made_of.names);
        if renamed {
            self.look_at_group(&group);
        }
        let before = self
            .known
            .insert(name.clone(), Known { group, revision: stored.revision, made_of, kinds, accepted: definition });
        let was_empty = before.is_none_or(|before| before.kinds.is_empty());
        !was_empty || self.known.get(name).is_some_and(|known| !known.kinds.is_empty())
    }

    /// Serves what is known now.
    fn publish(&self) {
        let mut groups = self.built_in_groups.clone();
        let mut own: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for kind in self.known.values().flat_map(|known| &known.kinds) {
            let versions = own.entry(&kind.gvk.group).or_default();
            if !versions.iter().any(|version| *version == *kind.gvk.version) {
                versions.push(kind.gvk.version.to_string());
            }
        }
        for (name, mut versions) in own {
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => {
                    versions.retain(|version| !group.versions.contains(version));
                    versions_by_preference(&mut versions);
                    group.versions.extend(versions);
                }
                None => {
                    versions_by_preference(&mut versions);
                    groups.push(Group { name: name.to_owned(), versions });
                }
            }
        }
        let mut kinds = self.built_in.clone();
        kinds.extend(self.in_order(&groups));
        let catalog = self.registry.catalog();
        let generation = catalog.served().generation + 1;
        catalog.replace(Served::new(kinds, groups, generation));
    }

    /// The kinds made here by the order of groups and versions, then by resource.
    fn in_order(&self, groups: &[Group]) -> Vec<Arc<Kind>> {
        let place: BTreeMap<(&str, &str), usize> = groups
            .iter()
            .flat_map(|group| group.versions.iter().map(|version| (group.name.as_str(), version.as_str())))
            .enumerate()
            .map(|(place, of)| (of, place))
            .collect();
        let mut kinds: Vec<Arc<Kind>> = self.known.values().flat_map(|known| known.kinds.iter().cloned()).collect();
        kinds.sort_by_cached_key(|kind| {
            let at = place.get(&(&*kind.gvk.group, &*kind.gvk.version)).copied();
            (at.unwrap_or(usize::MAX), kind.resource.clone())
        });
        kinds
    }

    /// Brings the status of definitions that changed up to date.
    async fn settle(&mut self, cleanups: &mut FuturesUnordered<cleanup::Running>) {
        while let Some(name) = self.dirty.pop_first() {
            for _ in 0..STEPS_MAX {
                match self.step(&name, cleanups).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What changed in the meantime comes with the watch.
                    Err(status) if matches!(status.reason(), Reason::Conflict | Reason::NotFound) => break,
                    Err(status) => {
                        tracing::warn!(%name, %status, "the status of a definition could not be written");
                        break;
                    }
                }
            }
        }
    }

    /// One step of one definition; whether there may be another.
    async fn step(&mut self, name: &Arc<str>, cleanups: &mut FuturesUnordered<cleanup::Running>) -> Result<bool> {
        let call = call(&self.registry, name, "status")?;
        let stored = self.registry.find(&call)?;
        let definition = persist::tree(&call.kind, &stored)?;
        if definition.deleting() {
            let due = definition.finalizers().any(|finalizer| finalizer == CLEANUP);
            if due && self.cleaning.insert(name.clone()) {
                // In the version of the store nobody has to convert what is only deleted.
                let stored = |kind: &&Arc<Kind>| {
                    kind.custom.as_ref().is_some_and(|version| *version.storage_version() == kind.gvk.version)
                };
                let kinds = self.known.get(name).map_or(&[][..], |known| &known.kinds);
                let kind = kinds.iter().find(stored).or(kinds.first()).cloned();
                cleanups.push(cleanup::run(self.registry.clone(), name.clone(), kind));
            }
            return Ok(false);
        }
        let mut taken = Taken::default();
        for (other, known) in &self.known {
            if other != name && known.group == definition.text_at(&["spec", "group"]) {
                taken.add(&known.accepted.status.accepted_names);
            }
        }
        let Some(next) = conditions::next(&definition, &taken, &self.registry.moment()) else { return Ok(false) };
        let written = write_status(&self.registry, &call, next).await?;
        // It is served before anyone can read that it is.
        if self.learn(&written) {
            self.publish();
        }
        self.dirty.remove(name);
        Ok(true)
    }
}

fn collection() -> Collection {
    Arc::from(format!("{RESOURCE}.{GROUP}"))
}

/// A call of the server itself on one definition.
fn call(registry: &Registry, name: &str, subresource: &str) -> Result<Call> {
    let served = registry.catalog().served();
    let kind = served.find_resource(GROUP, RESOURCE).cloned();
    let kind = kind.ok_or_else(|| Status::internal("definitions are not served"))?;
    let target = Target {
        group: GROUP.to_owned(),
        version: kind.gvk.version.to_string(),
        resource: RESOURCE.to_owned(),
        subresource: subresource.to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    };
    Ok(Call::new(server_itself(), target, kind))
}

/// Who acts where nobody asked.
pub(super) fn server_itself() -> Arc<User> {
    Arc::new(User {
        name: "system:apiserver".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        ..User::default()
    })
}

async fn write_status(registry: &Registry, call: &Call, object: Object) -> Result<Arc<Stored>> {
    let options = WriteOptions {
        field_manager: "kube-apiserver".to_owned(),
        field_validation: FieldValidation::Ignore,
        ..WriteOptions::default()
    };
    let input = Input { value: object.into_value(), ..Input::default() };
    match registry.update(call, input, &options).await?.answer {
        super::Answer::Stored(stored) => Ok(stored),
        super::Answer::Object(object) => Err(Status::not_found(&call.kind.group_resource(), object.name())),
    }
}
