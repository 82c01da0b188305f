//! A log in memory, for tests and `--ephemeral`.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::log::{AppendError, Log, Page, PageQuery, PastState, in_scope};
use super::{Checked, Error, Event};
use crate::api::Revision;

/// Keeps the events themselves; bounded by the engine's compaction.
#[derive(Default)]
pub(super) struct MemoryLog {
    /// Protects the history; held for the copy of a page.
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    events: VecDeque<Arc<Event>>,
    bytes: u64,
}

impl History {
    /// The position of the first event after `revision`.
    fn after(&self, revision: Revision) -> usize {
        self.events.partition_point(|event| event.revision <= revision)
    }
}

fn size(event: &Event) -> u64 {
    event.object.body.json.len() as u64
}

impl Log for MemoryLog {
    fn append<'a>(&'a self, group: &'a [Arc<Event>], _now: Timestamp) -> BoxFuture<'a, Result<(), AppendError>> {
        let mut history = self.history.lock();
        history.bytes += group.iter().map(|event| size(event)).sum::<u64>();
        history.events.extend(group.iter().cloned());
        async { Ok(()) }.boxed()
    }

    fn page(&self, query: PageQuery) -> BoxFuture<'_, Result<Page, Error>> {
        let history = self.history.lock();
        let start = history.after(query.after);
        let seen: Vec<_> =
            history.events.range(start..).take_while(|e| e.revision <= query.up_to).take(query.limit).collect();
        let complete_to =
            if seen.len() < query.limit { query.up_to } else { seen.last().map_or(query.up_to, |e| e.revision) };
        let wanted =
            |event: &&&Arc<Event>| event.object.key.collection == query.collection && in_scope(event, &query.scope);
        let events = seen.iter().filter(wanted).map(|event| Arc::clone(event)).collect();
        async move { Ok(Page { events, complete_to }) }.boxed()
    }

    fn undo(&self, after: Revision, up_to: Revision) -> BoxFuture<'_, Result<Vec<PastState>, Error>> {
        let history = self.history.lock();
        let start = history.after(after);
        let mut states = HashMap::new();
        for event in history.events.range(start..).take_while(|event| event.revision <= up_to) {
            // The first change after the moment tells the state at the moment.
            states.entry(event.object.key.clone()).or_insert_with(|| event.previous.clone());
        }
        async move { Ok(states.into_iter().collect()) }.boxed()
    }

    fn compact(&self, oldest: Revision) -> BoxFuture<'_, Result<(), Error>> {
        let mut history = self.history.lock();
        let end = history.after(oldest);
        let freed: u64 = history.events.drain(..end).map(|event| size(&event)).sum();
        history.bytes -= freed;
        async { Ok(()) }.boxed()
    }

    fn bytes(&self) -> u64 {
        self.history.lock().bytes
    }

    fn back_up<'a>(&'a self, _to: &'a Path) -> BoxFuture<'a, Result<Checked, Error>> {
        async { Err(Error::Unsupported { what: "a backup" }) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
