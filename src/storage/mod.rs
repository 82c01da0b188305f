//! A log of object revisions with cheap snapshots. Knows keys, revisions, labels, selectable fields and owners; does
//! not know what a Pod is. The registry is the only writer.
//!
//! One writer commits in groups (`engine`), the present lives in memory (`snapshot`), watchers are cursors into recent
//! events (`watch`), and a `Log` keeps what happened (`memory`, `sqlite`).

use std::error::Error as StdError;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::api::{Revision, Uid};
use crate::base::{Clock, Tasks};

mod engine;
mod log;
mod memo;
mod memory;
mod retention;
mod snapshot;
mod sqlite;
mod watch;
mod writer;

pub use memo::Memos;
pub use snapshot::{Listing, Snapshot};
pub use watch::Watch;

/// A collection of objects of one type: the storage name of a resource, such as `pods` or `deployments.apps`.
pub type Collection = Arc<str>;

/// Why something below the store failed, for people; shared because all writes of a group fail for the same cause.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// The name of an object in the store. Orders by collection, then namespace, then name, bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    pub collection: Collection,
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// Names and values.
pub type Pairs = Box<[(Arc<str>, Arc<str>)]>;

/// What the store knows of an object beside its bytes; extracted by the registry when it writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub uid: Uid,
    /// In key order.
    pub labels: Pairs,
    /// Selectable fields other than `metadata.name` and `metadata.namespace`, as the type names them.
    pub fields: Pairs,
    /// uids of `metadata.ownerReferences`.
    pub owners: Box<[Arc<str>]>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

impl Facts {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&Arc<str>> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, value)| value)
    }

    /// The value of a selectable field.
    pub fn field(&self, name: &str) -> Option<&Arc<str>> {
        self.fields.iter().find(|(n, _)| &**n == name).map(|(_, value)| value)
    }
}

/// The final JSON of an object with the place where the text of its resourceVersion goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    pub json: Bytes,
    /// Byte range in `json` of the resourceVersion's digits (between the quotes; may be empty in a write);
    /// replaced at commit.
    pub revision_at: Range<usize>,
}

/// An object as it is stored: immutable, shared.
#[derive(Debug)]
pub struct Stored {
    pub key: Key,
    pub revision: Revision,
    pub body: Body,
    pub facts: Facts,
    /// A number that the layers above work out of the body once, theirs to say what; 0: not yet.
    pub note: AtomicU32,
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

/// One change as watchers see it. All watchers of a collection share the same value.
#[derive(Debug)]
pub struct Event {
    pub kind: EventKind,
    pub revision: Revision,
    /// The object after the change; of a delete: the last state, at the delete's revision.
    pub object: Arc<Stored>,
    /// The object before the change, to see whether it left or entered a selection. `None` when created.
    pub previous: Option<Arc<Stored>>,
    /// Encodings made by the layers above; which slot is which is theirs to say.
    pub memos: Memos,
}

impl Event {
    /// An event with no encodings yet.
    pub fn new(kind: EventKind, object: Arc<Stored>, previous: Option<Arc<Stored>>) -> Self {
        Self { kind, revision: object.revision, object, previous, memos: Memos::default() }
    }
}

/// The part of a collection that a watcher wants to see. An event belongs to it if the object does, before or after.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    All,
    /// All objects of one namespace.
    Namespace(Arc<str>),
    /// One object.
    Object {
        namespace: Arc<str>,
        name: Arc<str>,
    },
    /// Objects whose selectable field has the value, or had it before the change. Any field, indexed or not.
    Field {
        field: Arc<str>,
        value: Arc<str>,
    },
}

/// Counts for metrics.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub revision: Revision,
    pub compacted: Revision,
    pub collections: Vec<CollectionStats>,
    /// Bytes of the database file and its write-ahead log; of the memory backend: bytes of the history.
    pub log_bytes: u64,
}

/// Counts of one collection.
#[derive(Clone, Debug)]
pub struct CollectionStats {
    pub collection: Collection,
    pub objects: usize,
    /// Bytes of JSON of the present objects.
    pub bytes: u64,
    pub watchers: usize,
}

/// A log of revisions with an index of the present state in memory.
pub trait Store: Send + Sync + 'static {
    /// Applies all writes or none; each gets a revision of its own, in order. Resolves when the writes are durable
    /// and visible to `snapshot`. Gives the stored objects (of a delete: the last state at the delete's revision).
    /// Waits when the queue of writes is full. Dropping the future does not undo a write that is on its way.
    ///
    /// # Errors
    /// `Conflict` names the first write whose expectation did not hold, with the object that is there;
    /// `Malformed` a write that makes no sense; `NotWritten` when the disk refused and nothing changed;
    /// `ReadOnly` after a failure whose outcome is unknown; `Closed`.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Arc<Stored>>, Error>>;

    /// The whole store as it is now. Costs nothing, never changes, shares its objects with the store.
    fn snapshot(&self) -> Snapshot;

    /// The whole store as it was right after `revision`.
    ///
    /// # Errors
    /// `Compacted` when the history no longer reaches there, `Future` when it has not happened yet, `Unreadable`.
    fn at(&self, revision: Revision) -> BoxFuture<'_, Result<Snapshot, Error>>;

    /// Makes `at` find this snapshot without work, as long as it is one of the last few and little has changed since:
    /// for the next page of a list.
    fn keep(&self, snapshot: &Snapshot);

    /// The events of a part of a collection after `after`, in the order of their revisions, gap-free, without end.
    ///
    /// # Errors
    /// `Compacted` and `Future` as with `at`; `Closed`.
    fn watch(&self, collection: &Collection, after: Revision, scope: Scope) -> Result<Watch, Error>;

    /// Resolves when `snapshot` shows `revision` or a later one. The caller sets the limit to its patience.
    ///
    /// # Errors
    /// `Closed` when the store ends before.
    fn reached(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>>;

    /// The latest revision that is durable and visible.
    fn revision(&self) -> Revision {
        self.snapshot().revision()
    }

    /// The oldest revision that `at` still knows. `watch` knows older ones while recent events suffice.
    fn compacted(&self) -> Revision;

    /// Forgets what was before `revision`, which stays readable, recent events too.
    ///
    /// # Errors
    /// `Compacted` when that was forgotten before, `Future`, `Unreadable`.
    fn compact_before(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>>;

    /// Counts for metrics; walks the collections, not their objects.
    fn stats(&self) -> Stats;

    /// Writes a complete and checked copy of the store to a new file, while work goes on.
    ///
    /// # Errors
    /// `Unsupported` by the memory backend; `Exists`; `Corrupt`; `Unreadable`.
    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Checked, Error>>;

    /// Answers the writes that wait, ends all watches with `Closed`, and lets go of the file.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Where a store keeps its log.
#[derive(Clone, Debug)]
pub enum Place {
    /// In memory; gone with the process.
    Memory,
    /// In this SQLite file, made if it is not there. Its folder must exist.
    File(PathBuf),
}

/// A selectable field by which objects of a collection can be looked up.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Index {
    pub collection: Collection,
    pub field: Arc<str>,
}

/// How much history is kept: what is older or more than this is forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub age_max: Duration,
    /// Bytes of JSON written since the oldest readable revision.
    pub bytes_max: u64,
}

impl Retention {
    /// Upstream's five minutes (`--etcd-compaction-interval`).
    pub const AGE: Duration = Duration::from_secs(300);
    /// For stores in a file.
    pub const FILE: Self = Self { age_max: Self::AGE, bytes_max: 256 << 20 };
    /// For stores in memory.
    pub const MEMORY: Self = Self { age_max: Self::AGE, bytes_max: 32 << 20 };
}

/// What a store needs to start.
pub struct Options {
    pub place: Place,
    pub indexes: Vec<Index>,
    pub retention: Retention,
    pub clock: Arc<dyn Clock>,
    /// The store's tasks run here and end with it; after its shutdown begins, writes are refused.
    pub tasks: Tasks,
}

/// A place that no other process has, as long as the claim or the store that is opened with it lives.
pub struct Claim(Option<sqlite::Claimed>);

/// Claims a place.
///
/// # Errors
/// `InUse`, `NotOurs`, `TooNew`, `Unreadable`: the file is left as it was.
pub fn claim(place: &Place) -> Result<Claim, Error> {
    match place {
        Place::Memory => Ok(Claim(None)),
        Place::File(path) => Ok(Claim(Some(sqlite::claim(path)?))),
    }
}

impl Claim {
    /// Makes the file if it is not there, and brings it to the present schema. `open_claimed` does it, too; this is for
    /// those who have something else to do meanwhile.
    ///
    /// # Errors
    /// `Unreadable`: the file is left as it was.
    pub async fn prepare(&self, clock: &dyn Clock) -> Result<(), Error> {
        match &self.0 {
            None => Ok(()),
            Some(claimed) => claimed.prepare(clock.now()).await,
        }
    }
}

/// Opens or makes a store.
///
/// # Errors
/// `InUse`, `NotOurs`, `TooNew`, `Corrupt`, `Unreadable`: the file is left as it was.
pub async fn open(options: Options) -> Result<Arc<dyn Store>, Error> {
    open_claimed(claim(&options.place)?, options).await
}

/// As `open`, in the place of the options that is claimed already.
///
/// # Errors
/// `Corrupt`, `Unreadable`: the file is left as it was.
pub async fn open_claimed(claim: Claim, options: Options) -> Result<Arc<dyn Store>, Error> {
    let empty = snapshot::State::new(&options.indexes);
    match claim.0 {
        None => {
            let log = Arc::new(memory::MemoryLog::default());
            Ok(engine::start(options, log, log::Loaded::nothing(empty)))
        }
        Some(claimed) => {
            let (log, loaded) = sqlite::open(claimed, &*options.clock, &options.tasks, empty).await?;
            Ok(engine::start(options, log, loaded))
        }
    }
}

/// What is in a file, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The last one.
    pub revision: Revision,
    pub objects: usize,
    pub rows: u64,
    /// In sentences; no more than a hundred are looked for.
    pub faults: Vec<String>,
}

/// Reads all of a file, which a running process may have, and tells what is wrong with it. Changes nothing. `judge`
/// says what else is wrong with an object.
///
/// # Errors
/// `NotOurs`, `TooNew`, `Unreadable`.
pub async fn check(
    path: &Path,
    judge: &mut (dyn FnMut(&Stored) -> Result<(), String> + Send),
) -> Result<Checked, Error> {
    sqlite::check(path, judge).await
}

/// Writes a complete and checked copy of a file, which a running process may have, to a new one.
///
/// # Errors
/// `Exists`, `NotOurs`, `TooNew`, `Corrupt`, `Unreadable`.
pub async fn back_up(from: &Path, to: &Path) -> Result<Checked, Error> {
    sqlite::back_up(from, to).await
}

/// What the store could not do.
#[derive(thiserror::Error, Clone, Debug)]
pub enum Error {
    #[error("write {index} expected another state")]
    Conflict { index: usize, present: Option<Arc<Stored>> },
    #[error("write {index} is malformed: {reason}")]
    Malformed { index: usize, reason: &'static str },
    #[error("the history before revision {oldest} was compacted")]
    Compacted { oldest: Revision },
    #[error("the revision has not happened yet, the latest is {current}")]
    Future { current: Revision },
    #[error("the watch fell behind and its events are no longer kept; list again and watch from there")]
    Lagged,
    #[error("the store is closed")]
    Closed,
    #[error("the write could not be made durable and was not made; free disk space or repair the disk, then try again")]
    NotWritten { source: Cause },
    #[error("the store refuses writes because the outcome of an earlier one is unknown; restart to recover")]
    ReadOnly { source: Cause },
    #[error("{} could not be read or written; check the disk and the permissions", path.display())]
    Unreadable { path: PathBuf, source: Cause },
    #[error("{} is damaged ({what}); restore a backup or move the file away", path.display())]
    Corrupt { path: PathBuf, what: String },
    #[error("{} is not a store of this program ({what}); give another path or move the file away", path.display())]
    NotOurs { path: PathBuf, what: &'static str },
    #[error("{} has schema version {found} and this program knows {known}; use a newer program", path.display())]
    TooNew { path: PathBuf, found: u32, known: u32 },
    #[error("{} is in use by {}; stop it or give another path", path.display(), holder_text(*holder))]
    InUse { path: PathBuf, holder: Option<u32> },
    #[error("{} exists already and is not overwritten; give another name", path.display())]
    Exists { path: PathBuf },
    #[error("{what} is not supported by this backend")]
    Unsupported { what: &'static str },
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod fixture;
