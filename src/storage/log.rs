//! What keeps the history: the small trait under the engine. An implementation stores groups of events in the order of
//! their revisions and reads them back; the engine does everything else.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::retention::Mark;
use super::snapshot::{State, Words};
use super::{Checked, Collection, Error, Event, Key, Scope, Stored};
use crate::api::Revision;

/// The state with which a log was opened.
pub(super) struct Loaded {
    pub state: State,
    pub compacted: Revision,
    /// From the compacted revision to the latest.
    pub marks: Vec<Mark>,
    /// The strings that the objects and their indexes share.
    pub words: Words,
    /// The last revision of each collection in the history; one that has none is not there.
    pub lasts: HashMap<Collection, Revision>,
}

impl Loaded {
    /// Of a log that has nothing yet.
    pub(super) fn nothing(state: State) -> Self {
        Self {
            state,
            compacted: Revision::default(),
            marks: Vec::new(),
            words: Words::default(),
            lasts: HashMap::new(),
        }
    }
}

/// A question for past events of one collection.
#[derive(Clone, Debug)]
pub(super) struct PageQuery {
    pub collection: Collection,
    pub scope: Scope,
    /// Exclusive.
    pub after: Revision,
    /// Inclusive.
    pub up_to: Revision,
    /// Of events looked at.
    pub limit: usize,
}

/// Past events in order.
pub(super) struct Page {
    pub events: Vec<Arc<Event>>,
    /// All events of the query up to here are in the page.
    pub complete_to: Revision,
}

/// A key with the object that it had at a moment.
pub(super) type PastState = (Key, Option<Arc<Stored>>);

/// Why a group was not appended.
pub(super) enum AppendError {
    /// Nothing was written; the next append may succeed.
    NotWritten(super::Cause),
    /// Nobody knows; no append may follow.
    Unknown(super::Cause),
}

/// A sequence of events that lasts.
pub(super) trait Log: Send + Sync + 'static {
    /// Stores a group, all or nothing; durable when it resolves. Called by one writer, one group after the other.
    fn append<'a>(&'a self, group: &'a [Arc<Event>], now: Timestamp) -> BoxFuture<'a, Result<(), AppendError>>;

    /// Reads past events. The caller checks for compaction after the answer.
    fn page(&self, query: PageQuery) -> BoxFuture<'_, Result<Page, Error>>;

    /// For every key that changed in (`after`, `up_to`]: its object as of `after`.
    /// The caller checks for compaction after the answer.
    fn undo(&self, after: Revision, up_to: Revision) -> BoxFuture<'_, Result<Vec<PastState>, Error>>;

    /// Forgets the states that were replaced at or before `oldest`.
    fn compact(&self, oldest: Revision) -> BoxFuture<'_, Result<(), Error>>;

    /// Bytes of history and state, for metrics.
    fn bytes(&self) -> u64;

    /// Copies everything to a new file.
    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Checked, Error>>;

    /// Lets go of files; nothing may follow.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Whether an event belongs to a scope.
pub(super) fn in_scope(event: &Event, scope: &Scope) -> bool {
    let key = &event.object.key;
    match scope {
        Scope::All => true,
        Scope::Namespace(namespace) => key.namespace == *namespace,
        Scope::Object { namespace, name } => key.name == *name && key.namespace == *namespace,
        Scope::Field { field, value } => {
            let has = |object: &Stored| object.facts.field(field) == Some(value);
            has(&event.object) || event.previous.as_deref().is_some_and(has)
        }
    }
}
