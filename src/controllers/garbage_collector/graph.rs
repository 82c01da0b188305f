//! Who owns whom: the metadata of all objects, by uid and by owner.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Deserialize;

use super::Key;
use super::plan::{Owner, waits_for_dependents};
use crate::client::{Cache, Cached, Delta, Labels, Meta, Resource};

/// What the collector keeps of an object: names, owners and finalizers.
#[derive(Deserialize, Debug)]
#[serde(from = "Whole")]
pub(super) struct Object {
    metadata: Meta,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    metadata: Meta,
}

impl From<Whole> for Object {
    fn from(mut whole: Whole) -> Self {
        whole.metadata.labels = Labels::default();
        Self { metadata: whole.metadata.with_annotations(&[]) }
    }
}

impl Cached for Object {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// Objects by uid, each with the number of its resource.
type ByUid = HashMap<Arc<str>, (usize, Arc<Object>)>;

/// All objects that are known.
#[derive(Default)]
pub(super) struct Graph {
    /// The cache of each watched resource; held for look-ups.
    caches: RwLock<Vec<Arc<Cache<Object>>>>,
    /// The objects by uid; held for single steps. Taken after `caches`.
    by_uid: RwLock<ByUid>,
    /// All resources that were ever watched; an index into it stands beside each object.
    resources: RwLock<Vec<Resource>>,
}

impl Graph {
    pub(super) fn add(&self, cache: Arc<Cache<Object>>) {
        self.number_of(&cache.resource);
        self.caches.write().push(cache);
    }

    pub(super) fn remove(&self, resource: &Resource) {
        let number = self.number_of(resource);
        self.caches.write().retain(|cache| cache.resource != *resource);
        self.by_uid.write().retain(|_, (of, _)| *of != number);
    }

    /// An object and its resource.
    pub(super) fn get(&self, uid: &str) -> Option<(Resource, Arc<Object>)> {
        let (number, object) = self.by_uid.read().get(uid).cloned()?;
        Some((self.resources.read().get(number)?.clone(), object))
    }

    /// The objects that name an owner, with their resources.
    pub(super) fn dependents(&self, uid: &str) -> Vec<(Resource, Arc<Object>)> {
        let caches = self.caches.read();
        let of = |cache: &Arc<Cache<Object>>| {
            let resource = cache.resource.clone();
            cache.owned_by(uid).into_iter().map(move |object| (resource.clone(), object))
        };
        caches.iter().flat_map(of).collect()
    }

    /// The watched resource of a kind.
    pub(super) fn resource_of(&self, group: &str, kind: &str) -> Option<Resource> {
        let caches = self.caches.read();
        caches.iter().map(|cache| &cache.resource).find(|r| r.group == group && r.kind == kind).cloned()
    }

    /// Takes a change in, and names the objects that are to be looked at because of it.
    pub(super) fn note(&self, resource: &Resource, delta: &Delta<'_, Object>, wake: impl Fn(Key)) {
        let object = delta.object();
        let meta = object.meta();
        let uid: Arc<str> = meta.uid.as_str().into();
        if let Delta::Deleted(_) = delta {
            self.by_uid.write().remove(&uid);
            wake(Key::DependentsOf(uid));
            for owner in &meta.owner_references {
                if self.owner_state(&owner.uid) == Some(Owner::Waiting) {
                    wake(Key::Object(owner.uid.as_str().into()));
                }
            }
            return;
        }
        let number = self.number_of(resource);
        self.by_uid.write().insert(Arc::clone(&uid), (number, Arc::clone(object)));
        if meta.deleting() && plan_is_due(meta) {
            wake(Key::Object(Arc::clone(&uid)));
        }
        if waits_for_dependents(meta) {
            wake(Key::DependentsOf(Arc::clone(&uid)));
        }
        let same_owners = match delta {
            Delta::Updated { old, .. } => old.meta().owner_references == meta.owner_references,
            Delta::Added(_) | Delta::Deleted(_) => false,
        };
        let doubtful = |uid: &str| self.owner_state(uid).is_none_or(|state| state != Owner::Present);
        if !same_owners && meta.owner_references.iter().any(|owner| doubtful(&owner.uid)) {
            wake(Key::Object(uid));
        }
        if let Delta::Updated { old, .. } = delta
            && !same_owners
        {
            // An owner that waits may have lost its last dependent.
            for owner in &old.meta().owner_references {
                if self.owner_state(&owner.uid) == Some(Owner::Waiting) {
                    wake(Key::Object(owner.uid.as_str().into()));
                }
            }
        }
    }

    fn owner_state(&self, uid: &str) -> Option<Owner> {
        self.by_uid.read().get(uid).map(|(_, object)| Owner::of(object.meta()))
    }

    fn number_of(&self, resource: &Resource) -> usize {
        let mut resources = self.resources.write();
        resources.iter().position(|known| known == resource).unwrap_or_else(|| {
            resources.push(resource.clone());
            resources.len() - 1
        })
    }
}

fn plan_is_due(meta: &Meta) -> bool {
    meta.finalizers.iter().any(|finalizer| finalizer == super::ORPHAN || finalizer == super::FOREGROUND)
}
