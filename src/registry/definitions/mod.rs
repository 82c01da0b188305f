//! Makes the types that custom resource definitions define, and brings the definitions' status up to date: names,
//! serving, deletion. One task follows the definitions in the store; what it serves changes at once as a whole.

mod cleanup;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::{Call, Input, Registry, persist};
use crate::api::request::{FieldValidation, Target, User, WriteOptions};
use crate::api::{Object, Reason, Result, Status};
use crate::resources::Kind;
use crate::resources::apiextensions::conditions::{self, Taken};
use crate::resources::custom::{self, CLEANUP, Definition, Names};
use crate::storage::{Collection, Event, EventKind, Scope, Stored};

const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";
/// Wait before the definitions are read anew after the watch on them failed.
const RETRY: Duration = Duration::from_millis(200);
/// How many definitions' status is written at the same time; the store commits what comes together as one.
const WRITES_MAX: usize = 64;

/// The definitions of one server.
pub struct Definitions {
    registry: Arc<Registry>,
    facts: custom::Metadata,
    known: BTreeMap<Arc<str>, Known>,
    /// The definitions of each group.
    groups: BTreeMap<String, BTreeSet<Arc<str>>>,
    /// What is to be served from now on, and what no longer.
    changes: Changes,
    /// Definitions whose status is to be looked at.
    dirty: BTreeSet<Arc<str>>,
    /// Definitions whose status is being written, with the names that they are given by it.
    writing: BTreeMap<Arc<str>, Names>,
    /// Definitions whose objects are being deleted.
    cleaning: BTreeSet<Arc<str>>,
}

/// A write of a status on its way; gives the name of the definition and what is stored then.
type Writing = BoxFuture<'static, (Arc<str>, Result<Arc<Stored>>)>;

/// What the definitions wait for.
#[derive(Default)]
struct Running {
    writes: FuturesUnordered<Writing>,
    cleanups: FuturesUnordered<cleanup::Running>,
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
    /// It has all the names that it wishes.
    content: bool,
}

#[derive(PartialEq, Eq)]
struct Made {
    spec: String,
    /// Those that are accepted.
    names: Names,
    serves: bool,
    terminating: bool,
}

/// Kinds that wait to be served together.
#[derive(Default)]
struct Changes {
    gone: Vec<Arc<Kind>>,
    come: Vec<Arc<Kind>>,
}

impl Changes {
    fn drop(&mut self, kinds: Vec<Arc<Kind>>) {
        for kind in kinds {
            match self.come.iter().position(|other| Arc::ptr_eq(other, &kind)) {
                // It was never served.
                Some(at) => drop(self.come.swap_remove(at)),
                None => self.gone.push(kind),
            }
        }
    }
}

impl Definitions {
    /// Reads all definitions and serves what they define, beside the built-in types that are served already.
    pub fn load(registry: Arc<Registry>) -> Self {
        let mut this = Self {
            facts: custom::Metadata::find(&registry.facts.types),
            known: BTreeMap::new(),
            groups: BTreeMap::new(),
            changes: Changes::default(),
            dirty: BTreeSet::new(),
            writing: BTreeMap::new(),
            cleaning: BTreeSet::new(),
            registry,
        };
        this.read_all();
        this
    }

    /// Follows the definitions until dropped.
    pub async fn run(mut self) {
        let mut running = Running::default();
        loop {
            let revision = self.read_all();
            let Ok(mut watch) = self.registry.store.watch(&collection(), revision, Scope::All) else {
                self.registry.clock.sleep(RETRY).await;
                continue;
            };
            loop {
                self.settle(&running);
                tokio::select! {
                    batch = watch.next_batch() => match batch {
                        Ok(events) => self.absorb(&events),
                        Err(_) => break,
                    },
                    Some((name, written)) = running.writes.next(), if !running.writes.is_empty() => {
                        self.wrote(name, written);
                    }
                    Some(name) = running.cleanups.next(), if !running.cleanups.is_empty() => {
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
        let names: BTreeSet<&Arc<str>> = present.iter().map(|stored| &stored.key.name).collect();
        let gone: Vec<Arc<str>> = self.known.keys().filter(|name| !names.contains(name)).cloned().collect();
        gone.iter().for_each(|name| self.forget(name));
        present.iter().for_each(|stored| self.learn(stored));
        self.publish();
        snapshot.revision()
    }

    fn absorb(&mut self, events: &[Arc<Event>]) {
        for event in events {
            match event.kind {
                EventKind::Deleted => self.forget(&event.object.key.name),
                EventKind::Created | EventKind::Updated => self.learn(&event.object),
            }
        }
        self.publish();
    }

    fn forget(&mut self, name: &Arc<str>) {
        let Some(known) = self.known.remove(name) else { return };
        if let Some(names) = self.groups.get_mut(&known.group) {
            names.remove(name);
            if names.is_empty() {
                self.groups.remove(&known.group);
            }
        }
        self.changes.drop(known.kinds);
        self.look_at_rivals(&known.group);
    }

    /// Names became free: whoever waits for one is looked at.
    fn look_at_rivals(&mut self, group: &str) {
        let names = self.groups.get(group).into_iter().flatten();
        let waiting = names.filter(|name| self.known.get(*name).is_some_and(|known| !known.content));
        self.dirty.extend(waiting.cloned());
    }

    /// Notes a definition; what it changes is served with `publish`.
    fn learn(&mut self, stored: &Stored) {
        let name = &stored.key.name;
        if self.known.get(name).is_some_and(|known| known.revision >= stored.revision) {
            return;
        }
        let source: &Bytes = &stored.body.json;
        let definition = match Definition::parse(source) {
            Ok(definition) => definition,
            Err(error) => {
                tracing::error!(%name, %error, "a stored definition does not decode");
                return;
            }
        };
        self.dirty.insert(name.clone());
        let made_of = Made {
            spec: custom::fingerprint(source),
            serves: definition.serves(),
            terminating: definition.terminating(),
            names: definition.status.accepted_names.clone(),
        };
        let content = definition.spec.names == made_of.names;
        if let Some(known) = self.known.get_mut(name)
            && known.made_of == made_of
        {
            custom::renew_source(&known.kinds, source);
            (known.content, known.revision) = (content, stored.revision);
            return;
        }
        let kinds = if made_of.serves { custom::kinds(&definition, source, &self.facts) } else { Vec::new() };
        self.changes.come.extend(kinds.iter().cloned());
        let group = definition.spec.group;
        self.groups.entry(group.clone()).or_default().insert(name.clone());
        let known = Known { group: group.clone(), revision: stored.revision, made_of, kinds, content };
        if let Some(before) = self.known.insert(name.clone(), known) {
            self.changes.drop(before.kinds);
            if before.made_of.names != Names::default() {
                self.look_at_rivals(&group);
            }
        }
    }

    /// Serves what is known now.
    fn publish(&mut self) {
        let Changes { gone, come } = std::mem::take(&mut self.changes);
        if gone.is_empty() && come.is_empty() {
            return;
        }
        let catalog = self.registry.catalog();
        catalog.replace(catalog.served().with(&gone, &come));
        for version in gone.iter().filter_map(|kind| kind.custom.as_ref()) {
            version.retired().begin();
        }
    }

    /// Begins to bring the status of definitions that changed up to date.
    fn settle(&mut self, running: &Running) {
        let mut later = Vec::new();
        while self.writing.len() < WRITES_MAX
            && let Some(name) = self.dirty.pop_first()
        {
            if self.writing.contains_key(&name) {
                later.push(name);
                continue;
            }
            match self.step(&name, running) {
                Ok(()) => {}
                Err(status) => warn_of(&name, &status),
            }
        }
        self.dirty.extend(later);
    }

    /// Begins one step of one definition, if one is due.
    fn step(&mut self, name: &Arc<str>, running: &Running) -> Result<()> {
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
                running.cleanups.push(cleanup::run(self.registry.clone(), name.clone(), kind));
            }
            return Ok(());
        }
        let rivals = self.groups.get(definition.text_at(&["spec", "group"])).into_iter().flatten();
        let rivals = rivals.filter(|other| *other != name);
        let accepted = rivals.flat_map(|other| {
            let known = self.known.get(other).map(|known| &known.made_of.names);
            // What is being written is as good as written: no other may have these names.
            known.into_iter().chain(self.writing.get(other))
        });
        let Some(next) = conditions::next(&definition, &Taken(accepted.collect()), &self.registry.moment()) else {
            return Ok(());
        };
        let names = next.get(&["status", "acceptedNames"]).cloned().unwrap_or_default();
        self.writing.insert(name.clone(), serde_json::from_value(names).unwrap_or_default());
        let (registry, name) = (self.registry.clone(), name.clone());
        running.writes.push(Box::pin(async move { (name, write_status(&registry, &call, next).await) }));
        Ok(())
    }

    /// Takes in what was written, and looks whether more is to be.
    fn wrote(&mut self, name: Arc<str>, written: Result<Arc<Stored>>) {
        self.writing.remove(&name);
        match written {
            Ok(stored) => {
                self.learn(&stored);
                self.publish();
                self.dirty.insert(name);
            }
            Err(status) => {
                warn_of(&name, &status);
                // Others may have been refused because of names that it did not get.
                if let Some(group) = self.known.get(&name).map(|known| known.group.clone()) {
                    self.look_at_rivals(&group);
                }
            }
        }
    }
}

/// Of what changed in the meantime the watch tells.
fn warn_of(name: &str, status: &Status) {
    if !matches!(status.reason(), Reason::Conflict | Reason::NotFound) {
        tracing::warn!(%name, %status, "the status of a definition could not be written");
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
