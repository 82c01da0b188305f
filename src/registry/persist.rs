//! From a finished tree to a write of the store, and from the store's answers to the API's.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::{ATTEMPTS_MAX, Call, Registry};
use crate::api::codec::json;
use crate::api::field::go_quote;
use crate::api::schema::emptiness;
use crate::api::status::OBJECT_WAS_MODIFIED;
use crate::api::validation::names;
use crate::api::{GroupResource, Object, Result, Status, Uid};
use crate::resources::Kind;
use crate::storage::{Body, Change, Error, Expect, Facts, Key, Stored, Write};

/// The largest object that is kept, as etcd's request limit under kube-apiserver: bytes of JSON.
const OBJECT_BYTES_MAX: usize = 3 << 20;

/// What became of a commit.
pub(super) enum Committed {
    /// The stored form of the main write.
    Done(Arc<Stored>),
    /// Something else was there; start again.
    Raced,
}

impl Registry {
    /// The key of the object that a call names.
    pub(super) fn key(&self, call: &Call, name: &str) -> Key {
        let namespace = if call.kind.namespaced { call.target.namespace.as_str() } else { "" };
        Key { collection: call.kind.collection.clone(), namespace: Arc::from(namespace), name: Arc::from(name) }
    }

    /// The same of the name in the path.
    ///
    /// # Errors
    /// 400 for a name that cannot be one segment of a path.
    pub(super) fn named_key(&self, call: &Call) -> Result<Key> {
        let name = call.target.name.as_str();
        let faults = names::path_segment_name(name);
        if !faults.is_empty() {
            let why = format!("Name parameter invalid: {}: {}", go_quote(name), faults.join(";"));
            return Err(Status::bad_request(why));
        }
        Ok(self.key(call, name))
    }

    /// Changes a stored object without admission and validation: for what the server itself does to it (a binding).
    pub(super) async fn rewrite(
        &self,
        call: &Call,
        dry_run: bool,
        change: &(dyn Fn(&mut Object) -> Result<()> + Send + Sync),
    ) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            let stored = self.find(call)?;
            let mut object = tree_to_change(&call.kind, &stored)?;
            change(&mut object)?;
            if dry_run {
                return Ok(());
            }
            let write = put(&call.kind, stored.key.clone(), Expect::At(stored.revision), &object)?;
            if let Committed::Done(_) = self.commit(call, write, Vec::new()).await? {
                return Ok(());
            }
        }
        Err(Status::conflict(&call.kind.group_resource(), &call.target.name, OBJECT_WAS_MODIFIED))
    }

    /// Commits the main write with its companions, all or none.
    pub(super) async fn commit(&self, call: &Call, main: Write, companions: Vec<Write>) -> Result<Committed> {
        let mut writes = Vec::with_capacity(1 + companions.len());
        writes.push(main);
        writes.extend(companions);
        match self.store.commit(writes).await {
            Ok(stored) => {
                let main = stored.into_iter().next().ok_or_else(|| Status::internal("the store answered nothing"))?;
                Ok(Committed::Done(main))
            }
            Err(Error::Conflict { .. }) => Ok(Committed::Raced),
            Err(error) => Err(store_failure(&error, &call.kind.group_resource())),
        }
    }
}

/// The write that makes or replaces an object. `object` is in the stored version.
pub(super) fn put(kind: &Kind, key: Key, expect: Expect, object: &Object) -> Result<Write> {
    let object = kind.behaviour.shelve(object).map_or(Cow::Borrowed(object), Cow::Owned);
    let body = encode(kind, &object)?;
    Ok(Write { key, expect, change: Change::Put { body, facts: facts(kind, &object) } })
}

/// Groups whose objects upstream stores as JSON.
const STORED_AS_JSON: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// Makes an object in the stored version what is read back of it.
pub(super) fn settle_empty(kind: &Kind, object: &mut Object) {
    if kind.is_custom() {
        return settle_defaults(kind, object);
    }
    if !STORED_AS_JSON.contains(&&*kind.stored_as.group) {
        emptiness::forget(object.root_mut(), &kind.types, kind.stored_type_id);
    }
}

/// Upstream gives a custom resource its defaults whenever it reads it, first those of the version that is stored: also
/// to a status that nobody may write with the rest.
fn settle_defaults(kind: &Kind, object: &mut Object) {
    match kind.behaviour.shelve(object) {
        None => kind.default(object),
        Some(mut shelved) => {
            if kind.behaviour.revive(&mut shelved).is_ok() {
                *object = shelved;
            }
        }
    }
}

/// The final bytes of an object in the stored version.
pub(super) fn encode(kind: &Kind, object: &Object) -> Result<Body> {
    let (bytes, revision_at) = json::encode_stored(object.root(), kind.stored_layout());
    if bytes.len() > OBJECT_BYTES_MAX {
        let message = format!("etcdserver: request is too large: limit is {OBJECT_BYTES_MAX} bytes");
        return Err(Status::too_large(&message));
    }
    Ok(Body { json: bytes.into(), revision_at })
}

/// Whether two bodies are equal but for the revision.
pub(super) fn equal(a: &Body, b: &Body) -> bool {
    a.json[..a.revision_at.start] == b.json[..b.revision_at.start]
        && a.json[a.revision_at.end..] == b.json[b.revision_at.end..]
}

/// What the store knows of an object beside its bytes.
pub(super) fn facts(kind: &Kind, object: &Object) -> Facts {
    let owners = object.get(&["metadata", "ownerReferences"]).and_then(Value::as_array);
    let owners = owners.into_iter().flatten().filter_map(|o| Some(Arc::from(o.get("uid")?.as_str()?)));
    let fields = kind.extracted.iter().map(|f| (Arc::from(f.name), Arc::from((f.read)(object))));
    let fields = fields.chain(kind.behaviour.extract(object));
    Facts {
        uid: Uid::from(object.uid()),
        labels: object.labels().map(|(k, v)| (Arc::from(k), Arc::from(v))).collect(),
        fields: fields.collect(),
        owners: owners.collect(),
        deleting: object.deleting(),
    }
}

/// Whether what is stored of an object is what would be stored of it today.
///
/// # Errors
/// In a sentence, what is not.
pub fn check(kind: Option<&Kind>, stored: &Stored) -> std::result::Result<(), String> {
    let object = Object::from_json(&stored.body.json).map_err(|error| format!("it does not decode: {error}"))?;
    let key = &stored.key;
    if (object.name(), object.namespace()) != (&*key.name, &*key.namespace) {
        return Err(format!("it is stored as {}/{} and says another name", key.namespace, key.name));
    }
    match kind {
        // What is extracted of a custom resource may have been more or less when it was written.
        Some(kind) if !kind.is_custom() && facts(kind, &object) != stored.facts => {
            Err(format!("the index of {}/{} does not agree with it", key.namespace, key.name))
        }
        Some(_) | None => Ok(()),
    }
}

/// A stored object as a tree, in the form of the kind's collection.
pub(super) fn tree(kind: &Kind, stored: &Stored) -> Result<Object> {
    let mut object = Object::from_json(&stored.body.json)
        .map_err(|error| Status::internal(format!("stored object {} does not decode: {error}", stored.key.name)))?;
    if kind.is_custom() && !as_stored(kind, stored) {
        kind.behaviour.revive(&mut object)?;
    }
    Ok(object)
}

/// The same for a change, with sets of owned fields as texts where the type is built in (`Object::from_stored`).
pub(super) fn tree_to_change(kind: &Kind, stored: &Stored) -> Result<Object> {
    if kind.is_custom() {
        return tree(kind, stored);
    }
    Object::from_stored(&stored.body.json)
        .map_err(|error| Status::internal(format!("stored object {} does not decode: {error}", stored.key.name)))
}

/// Whether the bytes of a stored object are what the kind serves.
pub(super) fn as_stored(kind: &Kind, stored: &Stored) -> bool {
    match kind.behaviour.stamp() {
        None => kind.gvk == kind.stored_as,
        Some(stamp) => stamp.stored_version && stored.facts.field(&stamp.name) == Some(&stamp.value),
    }
}

/// The same object as it would be at another revision: what a watcher is told of an object that left its selection.
pub(super) fn at_revision(stored: &Stored, revision: crate::api::Revision) -> Arc<Stored> {
    let digits = revision.to_string();
    let old = &stored.body;
    let mut json = Vec::with_capacity(old.json.len() + digits.len());
    json.extend_from_slice(&old.json[..old.revision_at.start]);
    json.extend_from_slice(digits.as_bytes());
    json.extend_from_slice(&old.json[old.revision_at.end..]);
    let start = old.revision_at.start;
    Arc::new(Stored {
        key: stored.key.clone(),
        revision,
        body: Body { json: json.into(), revision_at: start..start + digits.len() },
        facts: stored.facts.clone(),
        note: 0.into(),
    })
}

/// What the API says when the store could not.
pub(super) fn store_failure(error: &Error, resource: &GroupResource) -> Status {
    tracing::error!(%resource, %error, "the store failed");
    match error {
        Error::Compacted { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        Error::Lagged => Status::expired("too old resource version"),
        Error::Closed => Status::unavailable("the server is shutting down"),
        other => Status::internal(other),
    }
}
