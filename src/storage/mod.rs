//! A log of object revisions with cheap snapshots. Knows keys, revisions, labels, selectable fields and owners; does
//! not know what a Pod is. The registry is the only writer.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::api::Revision;

/// A collection of objects of one type: the storage name of a resource, such as `pods` or `deployments.apps`.
pub type Collection = Arc<str>;

/// The name of an object in the store. Orders by namespace, then name, bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    pub collection: Collection,
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// What the store knows of an object beside its bytes; extracted by the registry when it writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub uid: Arc<str>,
    /// In key order.
    pub labels: Box<[(Arc<str>, Arc<str>)]>,
    /// Selectable fields other than `metadata.name` and `metadata.namespace`, as the type names them.
    pub fields: Box<[(&'static str, Arc<str>)]>,
    /// uids of `metadata.ownerReferences`.
    pub owners: Box<[Arc<str>]>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

/// The final JSON of an object with the place where the text of its resourceVersion goes.
#[derive(Clone, Debug)]
pub struct Body {
    pub json: Bytes,
    /// Byte range in `json` of the resourceVersion's digits (between the quotes); replaced at commit.
    pub revision_at: Range<usize>,
}

/// An object as it is stored: immutable, shared.
#[derive(Debug)]
pub struct Stored {
    pub key: Key,
    pub revision: Revision,
    pub body: Body,
    pub facts: Facts,
}

/// What a write does.
#[derive(Clone, Debug)]
pub enum Change {
    /// Creates or replaces.
    Put { body: Body, facts: Facts },
    /// Removes; the event carries the last state with the revision of the delete.
    Delete,
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// No object has the key.
    Absent,
    /// The object with the key has this revision.
    At(Revision),
}

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Write {
    pub key: Key,
    pub expect: Expect,
    pub change: Change,
}

/// What happened to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    Created,
    Updated,
    Deleted,
}

/// One change that happened, shared by all watchers.
#[derive(Debug)]
pub struct Event {
    pub kind: EventKind,
    pub object: Arc<Stored>,
    /// The state before; absent on creation.
    pub previous: Option<Arc<Stored>>,
}

/// A log of revisions with an index of the present state in memory.
pub trait Store: Send + Sync + 'static {
    /// Applies all writes or none; each gets a revision of its own, in order. Resolves when the writes are durable
    /// and visible to `snapshot`. Gives the stored objects (of a delete: the last state at the delete's revision).
    ///
    /// # Errors
    /// `Conflict` names the first write whose expectation did not hold, with the object that is there.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Arc<Stored>>, Error>>;
}

/// What the store could not do.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    #[error("write {index} expected another state")]
    Conflict { index: usize, present: Option<Arc<Stored>> },
}
