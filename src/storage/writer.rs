//! The one task that writes. It takes all commits that wait, checks each against the present and against those before
//! it in the group, stores the group as one, and shows it to everybody.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::engine::Shared;
use super::log::AppendError;
use super::snapshot::{Snapshot, State, Words};
use super::watch::Waiting;
use super::{Body, Cause, Change, Error, Event, EventKind, Expect, Key, Stored, Write};
use crate::api::Revision;

/// How many commits are written as one group.
const GROUP_COMMITS_MAX: usize = 512;
/// A group takes no further commit when it has this many bytes of JSON.
const GROUP_BYTES_MAX: usize = 8 << 20;

type Answer = Result<Vec<Arc<Stored>>, Error>;

/// A commit on its way to the writer.
pub(super) struct Submission {
    pub writes: Vec<Write>,
    pub answer: oneshot::Sender<Answer>,
}

/// The state of the writing task.
pub(super) struct Writer {
    shared: Arc<Shared>,
    words: Words,
    /// After an append with unknown outcome: why nothing may be written.
    broken: Option<Cause>,
}

/// Tells everybody that the writer has ended, also when it panics: nobody shall wait for it.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.closing.begin();
        self.0.hub.close();
        self.0.ended.send_replace(true);
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, words: Words) -> Self {
        Self { shared, words, broken: None }
    }

    /// Runs until the store is closed or nobody holds it, and answers all that waits.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let _ending = Ending(Arc::clone(&self.shared));
        let closing = self.shared.closing.clone();
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                // What waits is written still; what comes from now on is refused.
                () = closing.wait(), if !queue.is_closed() => queue.close(),
                count = queue.recv_many(&mut waiting, GROUP_COMMITS_MAX) => if count == 0 { break },
            }
            let mut rest = waiting.drain(..).peekable();
            while rest.peek().is_some() {
                self.write(&mut rest).await;
            }
        }
        self.shared.hub.close();
        self.shared.log.close().await;
    }

    /// Writes one group from the front of `submissions`.
    async fn write(&mut self, submissions: &mut impl Iterator<Item = Submission>) {
        let present = Snapshot::clone(&self.shared.present.load());
        let mut group = Group::new(present.state());
        let mut answers = Vec::new();
        let mut bytes = 0;
        for submission in submissions {
            bytes += submission.writes.iter().map(size).sum::<usize>();
            answers.push((submission.answer, group.add(submission.writes, &mut self.words)));
            if bytes >= GROUP_BYTES_MAX {
                break;
            }
        }
        let events = group.events;
        let stored = if events.is_empty() { Ok(None) } else { self.store(&present, &events).await.map(Some) };
        let (outcome, waiting) = match stored {
            Ok(waiting) => (Ok(()), waiting),
            Err(error) => (Err(error), None),
        };
        for (answer, result) in answers {
            let result = outcome.clone().and(result);
            let objects = result.map(|range| events[range].iter().map(|event| Arc::clone(&event.object)).collect());
            // Whoever asked may have gone.
            let _ = answer.send(objects);
        }
        // Those who wrote go before those who watch: there may be thousands to wake.
        drop(waiting);
    }

    /// Makes a group durable, then visible; gives those to wake.
    async fn store(&mut self, present: &Snapshot, events: &[Arc<Event>]) -> Result<Waiting, Error> {
        if let Some(cause) = &self.broken {
            return Err(Error::ReadOnly { source: Arc::clone(cause) });
        }
        let now = self.shared.now();
        let words = &mut self.words;
        // The new state is built while the disk works.
        let (appended, state) =
            futures::join!(self.shared.log.append(events, now), async { apply(present, events, words) });
        match appended {
            Ok(()) => {}
            Err(AppendError::NotWritten(source)) => {
                tracing::error!(error = &*source as &dyn std::error::Error, "writes could not be stored");
                return Err(Error::NotWritten { source });
            }
            Err(AppendError::Unknown(source)) => {
                tracing::error!(error = &*source as &dyn std::error::Error, "the store refuses writes until restarted");
                self.broken = Some(Arc::clone(&source));
                return Err(Error::ReadOnly { source });
            }
        }
        let revision = state.revision;
        let bytes = events.iter().map(|event| event.object.body.json.len() as u64).sum();
        self.shared.present.store(Arc::new(Snapshot::new(state)));
        self.shared.history.lock().wrote(revision, bytes, now);
        let waiting = self.shared.hub.publish(events);
        self.shared.reached.send_replace(revision);
        Ok(waiting)
    }
}

fn size(write: &Write) -> usize {
    match &write.change {
        Change::Put { body, .. } => body.json.len(),
        Change::Delete => 0,
    }
}

fn apply(present: &Snapshot, events: &[Arc<Event>], words: &mut Words) -> State {
    let mut state = present.state().clone();
    for event in events {
        match event.kind {
            EventKind::Created | EventKind::Updated => state.put(Arc::clone(&event.object), words),
            EventKind::Deleted => state.remove(&event.object.key, event.revision),
        }
        state.revision = event.revision;
    }
    state
}

/// Writes that become durable together.
struct Group<'a> {
    present: &'a State,
    events: Vec<Arc<Event>>,
    /// The keys that the events changed, as they are after them.
    changed: HashMap<Key, Option<Arc<Stored>>>,
}

impl<'a> Group<'a> {
    fn new(present: &'a State) -> Self {
        Self { present, events: Vec::new(), changed: HashMap::new() }
    }

    /// Adds all writes of a commit and tells which events are theirs, or adds none.
    fn add(&mut self, writes: Vec<Write>, words: &mut Words) -> Result<std::ops::Range<usize>, Error> {
        let start = self.events.len();
        for (index, write) in writes.into_iter().enumerate() {
            let revision = Revision(self.present.revision.0 + self.events.len() as u64 + 1);
            match event(self.find(&write.key), write, revision, words) {
                Ok(event) => {
                    let after = (event.kind != EventKind::Deleted).then(|| Arc::clone(&event.object));
                    self.changed.insert(event.object.key.clone(), after);
                    self.events.push(Arc::new(event));
                }
                Err(refusal) => {
                    self.undo(start);
                    return Err(refusal.at(index));
                }
            }
        }
        Ok(start..self.events.len())
    }

    fn find(&self, key: &Key) -> Option<Arc<Stored>> {
        self.changed.get(key).cloned().unwrap_or_else(|| self.present.get(key).cloned())
    }

    /// Takes back the events from `start` on, the last first, so that each key ends as it began.
    fn undo(&mut self, start: usize) {
        for event in self.events.drain(start..).rev() {
            self.changed.insert(event.object.key.clone(), event.previous.clone());
        }
    }
}

enum Refusal {
    Conflict(Option<Arc<Stored>>),
    Malformed(&'static str),
}

impl Refusal {
    fn at(self, index: usize) -> Error {
        match self {
            Self::Conflict(present) => Error::Conflict { index, present },
            Self::Malformed(reason) => Error::Malformed { index, reason },
        }
    }
}

/// What a write does to the object that has its key now.
fn event(present: Option<Arc<Stored>>, write: Write, revision: Revision, words: &mut Words) -> Result<Event, Refusal> {
    let holds = match write.expect {
        Expect::Absent => present.is_none(),
        Expect::At(expected) => present.as_ref().is_some_and(|present| present.revision == expected),
    };
    if !holds {
        return Err(Refusal::Conflict(present));
    }
    match (write.change, present) {
        (Change::Put { body, facts }, present) => {
            let body =
                splice(&body, revision).ok_or(Refusal::Malformed("the place of the revision is not in the body"))?;
            let mut object = Stored { key: write.key, revision, body, facts, note: 0.into() };
            share_words(&mut object, words);
            let kind = if present.is_some() { EventKind::Updated } else { EventKind::Created };
            Ok(Event::new(kind, Arc::new(object), present))
        }
        (Change::Delete, Some(present)) => Ok(deletion(present, revision)),
        (Change::Delete, None) => Err(Refusal::Malformed("a delete expects no object")),
    }
}

/// The event of an object's removal: its last state at the revision of the removal.
pub(super) fn deletion(present: Arc<Stored>, revision: Revision) -> Event {
    let body = splice(&present.body, revision).expect("a stored body has a place for its revision");
    let object = Stored { key: present.key.clone(), revision, body, facts: present.facts.clone(), note: 0.into() };
    Event::new(EventKind::Deleted, Arc::new(object), Some(present))
}

/// The body with the digits of `revision` in their place; `None` if there is no such place.
fn splice(body: &Body, revision: Revision) -> Option<Body> {
    let at = &body.revision_at;
    if at.start > at.end || at.end > body.json.len() {
        return None;
    }
    let digits = revision.to_string();
    let mut json = BytesMut::with_capacity(body.json.len() - at.len() + digits.len());
    json.extend_from_slice(&body.json[..at.start]);
    json.extend_from_slice(digits.as_bytes());
    json.extend_from_slice(&body.json[at.end..]);
    Some(Body { json: Bytes::from(json), revision_at: at.start..at.start + digits.len() })
}

/// Replaces strings that many objects have by one shared copy.
pub(super) fn share_words(object: &mut Stored, words: &mut Words) {
    words.share(&mut object.key.collection);
    words.share(&mut object.key.namespace);
    for (key, value) in object.facts.labels.iter_mut().chain(object.facts.fields.iter_mut()) {
        words.share(key);
        words.share(value);
    }
    object.facts.owners.iter_mut().for_each(|uid| words.share(uid));
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use futures::future::{BoxFuture, join_all};
    use jiff::Timestamp;
    use tokio::sync::Semaphore;
    use tokio::task::unconstrained;

    use super::super::engine;
    use super::super::fixture::{Backend, create, options};
    use super::super::log::{Loaded, Log, Page, PageQuery, PastState};
    use super::super::memory::MemoryLog;
    use super::super::{Checked, Store};
    use super::*;
    use crate::base::ManualClock;

    /// A disk that writes a group each time it is let.
    struct Gated {
        log: MemoryLog,
        gate: Semaphore,
        begun: AtomicUsize,
    }

    impl Log for Gated {
        fn append<'a>(&'a self, group: &'a [Arc<Event>], now: Timestamp) -> BoxFuture<'a, Result<(), AppendError>> {
            self.begun.fetch_add(1, Ordering::AcqRel);
            async move {
                self.gate.acquire().await.unwrap().forget();
                self.log.append(group, now).await
            }
            .boxed()
        }

        fn page(&self, query: PageQuery) -> BoxFuture<'_, Result<Page, Error>> {
            self.log.page(query)
        }

        fn undo(&self, after: Revision, up_to: Revision) -> BoxFuture<'_, Result<Vec<PastState>, Error>> {
            self.log.undo(after, up_to)
        }

        fn compact(&self, oldest: Revision) -> BoxFuture<'_, Result<(), Error>> {
            self.log.compact(oldest)
        }

        fn bytes(&self) -> u64 {
            self.log.bytes()
        }

        fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Checked, Error>> {
            self.log.back_up(to)
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            self.log.close()
        }
    }

    /// As many as may be in flight by default (`--max-mutating-requests-inflight`), and as many as a group takes.
    #[tokio::test]
    async fn a_commit_waits_for_the_group_before_it_and_its_own_and_for_no_more() {
        for waiting in [200, GROUP_COMMITS_MAX] {
            let gate = Semaphore::new(0);
            let log = Arc::new(Gated { log: MemoryLog::default(), gate, begun: AtomicUsize::new(0) });
            let options = options(Backend::Memory, Path::new(""), &ManualClock::new(Timestamp::UNIX_EPOCH));
            let loaded = Loaded::nothing(State::new(&options.indexes));
            let store: Arc<dyn Store> = engine::start(options, Arc::clone(&log) as Arc<dyn Log>, loaded);
            let mut first = store.commit(vec![create("pods/x/first")]);
            assert!(futures::poll!(&mut first).is_pending());
            while log.begun.load(Ordering::Acquire) == 0 {
                tokio::task::yield_now().await;
            }
            let commit = |number| unconstrained(store.commit(vec![create(&format!("pods/x/{number}"))]));
            let mut commits: Vec<_> = (0..waiting).map(commit).collect();
            for commit in &mut commits {
                assert!(futures::poll!(commit).is_pending());
            }
            log.gate.add_permits(waiting);
            first.await.unwrap();
            assert!(join_all(commits).await.into_iter().all(|committed| committed.is_ok()));
            assert_eq!(log.begun.load(Ordering::Acquire), 2, "{waiting} waited");
        }
    }
}
