//! The store over any log: one task writes, in groups; the present is a snapshot in memory that each group replaces.
//! Nothing becomes visible before it is durable.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::log::{Loaded, Log};
use super::retention::History;
use super::snapshot::Words;
use super::watch::{Horizon, Hub};
use super::writer::{Submission, Writer};
use super::{
    Checked, Collection, CollectionStats, Error, Options, Retention, Scope, Snapshot, Stats, Store, Stored, Watch,
    Write,
};
use crate::api::Revision;
use crate::base::{Clock, Shutdown};

/// How many commits wait for the writer; the next ones wait for a place.
const QUEUE_COMMITS_MAX: usize = 1_024;
/// How many writes one commit may have.
const COMMIT_WRITES_MAX: usize = 1_024;
/// How many past states are kept for the next page of a list …
const PAST_SNAPSHOTS_MAX: usize = 16;
/// … and how many replaced objects each may keep alive; a state that is further back is read from the log again.
const PAST_REVISIONS_MAX: u64 = 16_384;
/// How often history is looked through for what is due.
const COMPACTION_PAUSE: Duration = Duration::from_secs(5);

/// What the writer, the readers and the compactor share.
pub(super) struct Shared {
    pub log: Arc<dyn Log>,
    pub hub: Arc<Hub>,
    pub clock: Arc<dyn Clock>,
    /// The time of day when the store was opened, and the clock's own time then.
    opened: (Timestamp, Duration),
    pub present: ArcSwap<Snapshot>,
    /// Follows `present`, for those who wait for a revision.
    pub reached: watch::Sender<Revision>,
    /// Protects the marks; held for a few steps.
    pub history: Mutex<History>,
    /// Protects the list of past states, the latest used last; held for a look.
    past: Mutex<Vec<Snapshot>>,
    /// Held for the whole of a compaction, so that there is one at a time.
    compaction: tokio::sync::Mutex<()>,
    /// Ends the writer, which then ends everything else.
    pub closing: Shutdown,
    pub ended: watch::Sender<bool>,
}

struct Engine {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Submission>,
}

/// Starts the tasks over what was loaded.
pub(super) fn start(options: Options, log: Arc<dyn Log>, loaded: Loaded) -> Arc<dyn Store> {
    let Loaded { state, compacted, marks, words, lasts } = loaded;
    let revision = state.revision;
    let horizon = Horizon::new(revision, compacted);
    let shared = Arc::new(Shared {
        hub: Arc::new(Hub::new(Arc::clone(&log), (horizon, lasts))),
        log,
        opened: (options.clock.now(), options.clock.monotonic()),
        clock: options.clock,
        present: ArcSwap::from_pointee(Snapshot::new(state)),
        reached: watch::Sender::new(revision),
        history: Mutex::new(History::new(marks)),
        past: Mutex::default(),
        compaction: tokio::sync::Mutex::default(),
        closing: options.tasks.shutdown().child(),
        ended: watch::Sender::new(false),
    });
    let (queue, submissions) = mpsc::channel(QUEUE_COMMITS_MAX);
    let writer = Writer::new(Arc::clone(&shared), words);
    options.tasks.spawn_to_end("storage-writer", writer.run(submissions));
    options.tasks.spawn("storage-compactor", compact_when_due(Arc::clone(&shared), options.retention));
    Arc::new(Engine { shared, queue })
}

async fn compact_when_due(shared: Arc<Shared>, retention: Retention) {
    loop {
        tokio::select! {
            () = shared.closing.wait() => return,
            () = shared.clock.sleep(COMPACTION_PAUSE) => {}
        }
        shared.let_go_of_old_snapshots();
        shared.hub.let_go_of_memos();
        let due = shared.history.lock().take_due(retention, shared.now());
        let Some(oldest) = due.filter(|oldest| *oldest > shared.hub.horizon.compacted()) else { continue };
        if let Err(error) = shared.compact_before(oldest).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, %oldest, "old revisions could not be compacted");
        }
    }
}

impl Shared {
    /// The time of day as it would be had nobody set the clock since the store was opened: history does not become
    /// older or younger by that.
    pub(super) fn now(&self) -> Timestamp {
        let (at, monotonic) = self.opened;
        at + self.clock.monotonic().saturating_sub(monotonic)
    }

    fn present(&self) -> Snapshot {
        Snapshot::clone(&self.present.load())
    }

    fn check_reached(&self, revision: Revision) -> Result<(), Error> {
        let current = self.present.load().revision();
        if self.hub.horizon.closed() {
            Err(Error::Closed)
        } else if revision > current {
            Err(Error::Future { current })
        } else {
            Ok(())
        }
    }

    /// Fails unless the history has the state at `revision`.
    fn check_known(&self, revision: Revision) -> Result<(), Error> {
        self.check_reached(revision)?;
        let oldest = self.hub.horizon.compacted();
        if revision < oldest { Err(Error::Compacted { oldest }) } else { Ok(()) }
    }

    async fn at(&self, revision: Revision) -> Result<Snapshot, Error> {
        self.check_known(revision)?;
        let present = self.present();
        if present.revision() == revision {
            return Ok(present);
        }
        if let Some(past) = self.recall(revision) {
            return Ok(past);
        }
        let undone = self.log.undo(revision, present.revision()).await;
        // Asked first: what is compacted while it is read may be missing in any way.
        self.check_known(revision)?;
        let undone = undone?;
        let mut state = present.state().clone();
        let mut words = Words::default();
        for (key, object) in undone {
            match object {
                Some(object) => state.put(object, &mut words),
                None => state.remove(&key, revision),
            }
        }
        state.revision = revision;
        let past = Snapshot::new(state);
        self.remember(&past);
        Ok(past)
    }

    fn recall(&self, revision: Revision) -> Option<Snapshot> {
        let mut past = self.past.lock();
        let position = past.iter().position(|snapshot| snapshot.revision() == revision)?;
        let snapshot = past.remove(position);
        past.push(snapshot.clone());
        Some(snapshot)
    }

    fn remember(&self, snapshot: &Snapshot) {
        self.let_go_of_old_snapshots();
        let mut past = self.past.lock();
        past.retain(|kept| kept.revision() != snapshot.revision());
        if past.len() >= PAST_SNAPSHOTS_MAX {
            past.remove(0);
        }
        past.push(snapshot.clone());
    }

    fn let_go_of_old_snapshots(&self) {
        let oldest = self.present.load().revision().0.saturating_sub(PAST_REVISIONS_MAX);
        self.past.lock().retain(|snapshot| snapshot.revision().0 >= oldest);
    }

    async fn compact_before(&self, oldest: Revision) -> Result<(), Error> {
        let _one_at_a_time = self.compaction.lock().await;
        self.check_known(oldest)?;
        self.hub.horizon.set_compacted(oldest);
        self.past.lock().retain(|snapshot| snapshot.revision() >= oldest);
        self.log.compact(oldest).await
    }

    fn stats(&self) -> Stats {
        let present = self.present();
        let collection = |collection: &Collection| CollectionStats {
            collection: Arc::clone(collection),
            objects: present.count(collection),
            bytes: present.bytes(collection),
            watchers: self.hub.watchers(collection),
        };
        Stats {
            revision: present.revision(),
            compacted: self.hub.horizon.compacted(),
            collections: present.collections().map(collection).collect(),
            log_bytes: self.log.bytes(),
        }
    }
}

async fn commit(queue: mpsc::Sender<Submission>, writes: Vec<Write>) -> Result<Vec<Arc<Stored>>, Error> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    if writes.len() > COMMIT_WRITES_MAX {
        return Err(Error::Malformed { index: COMMIT_WRITES_MAX, reason: "a commit has too many writes" });
    }
    let (answer, answered) = oneshot::channel();
    queue.send(Submission { writes, answer }).await.map_err(|_| Error::Closed)?;
    answered.await.map_err(|_| Error::Closed)?
}

impl Store for Engine {
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Arc<Stored>>, Error>> {
        commit(self.queue.clone(), writes).boxed()
    }

    fn snapshot(&self) -> Snapshot {
        self.shared.present()
    }

    fn at(&self, revision: Revision) -> BoxFuture<'_, Result<Snapshot, Error>> {
        self.shared.at(revision).boxed()
    }

    fn keep(&self, snapshot: &Snapshot) {
        self.shared.remember(snapshot);
    }

    fn watch(&self, collection: &Collection, after: Revision, scope: Scope) -> Result<Watch, Error> {
        self.shared.check_reached(after)?;
        self.shared.hub.watch(collection, after, scope)
    }

    fn reached(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        let mut reached = self.shared.reached.subscribe();
        let mut ended = self.shared.ended.subscribe();
        async move {
            tokio::select! {
                biased;
                _ = reached.wait_for(|now| *now >= revision) => Ok(()),
                _ = ended.wait_for(|ended| *ended) => Err(Error::Closed),
            }
        }
        .boxed()
    }

    fn compacted(&self) -> Revision {
        self.shared.hub.horizon.compacted()
    }

    fn compact_before(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        let forgotten = async move {
            self.shared.compact_before(revision).await?;
            self.shared.hub.forget(revision);
            Ok(())
        };
        forgotten.boxed()
    }

    fn stats(&self) -> Stats {
        self.shared.stats()
    }

    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Checked, Error>> {
        self.shared.log.back_up(to)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.closing.begin();
        let mut ended = self.shared.ended.subscribe();
        async move {
            // The sender lives as long as we do, so the only answer is that the writer has ended.
            let _ = ended.wait_for(|ended| *ended).await;
        }
        .boxed()
    }
}
