//! Watchers as cursors into recent events. A collection has a bounded ring of its recent events, and for each scope
//! that somebody watches a lane: the part of the ring in that scope, with a waker of its own. A watcher holds a lane
//! and a revision, nothing else; if the lane has forgotten what it needs, it reads on from the log.
//!
//! Example: the ring holds events 7 (a), 8 (b), 9 (a). The lane of object `a` holds 7 and 9. When the ring lets go of
//! 7, so does the lane, and remembers `forgotten` = 7: a watcher of `a` that has seen 7 goes on, one that has seen
//! only 6 asks the log for what is after 6.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::log::{Log, PageQuery, in_scope};
use super::memo::Fresh;
use super::{Collection, Error, Event, Scope};
use crate::api::Revision;

/// How many recent events a collection keeps; older ones are read from the log.
const RING_EVENTS_MAX: usize = 8_192;
/// How many bytes of JSON the recent events of a collection may hold.
const RING_BYTES_MAX: usize = 8 << 20;
/// How many bytes of JSON the recent events of all collections may hold; above it the largest ring forgets half.
const RINGS_BYTES_MAX: usize = 32 << 20;
/// How many events a watcher gets at once …
const BATCH_EVENTS_MAX: usize = 256;
/// … and no more when they have this many bytes of JSON: a watcher that does not read holds one batch.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// How many past events are looked at in one reading of the log.
const PAGE_EVENTS_MAX: usize = 512;

/// How far the store is; shared by the engine and all watchers.
#[derive(Default)]
pub(super) struct Horizon {
    /// All events up to here are in the rings.
    published: AtomicU64,
    /// The log has lost what only states before this need …
    compacted: AtomicU64,
    /// … and so have the rings, up to here.
    forgotten: AtomicU64,
    closed: AtomicBool,
}

impl Horizon {
    pub(super) fn new(published: Revision, compacted: Revision) -> Self {
        Self { published: published.0.into(), compacted: compacted.0.into(), ..Self::default() }
    }

    fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::Acquire))
    }

    pub(super) fn compacted(&self) -> Revision {
        Revision(self.compacted.load(Ordering::Acquire))
    }

    fn forgotten(&self) -> Revision {
        Revision(self.forgotten.load(Ordering::Acquire))
    }

    /// Call before the log forgets, so that whoever reads can tell afterwards.
    pub(super) fn set_compacted(&self, oldest: Revision) {
        self.compacted.fetch_max(oldest.0, Ordering::AcqRel);
    }

    pub(super) fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// The lanes whose watchers wait for what was published; woken when it is dropped.
#[must_use]
pub(super) struct Waiting(Vec<Arc<Lane>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        for lane in self.0.drain(..) {
            lane.told.store(false, Ordering::Release);
            lane.notify.notify_waiters();
        }
    }
}

/// The rings of all collections.
pub(super) struct Hub {
    pub(super) horizon: Horizon,
    log: Arc<dyn Log>,
    /// The last revision of each collection when the log was opened: a ring forgets nothing that is after it.
    lasts: HashMap<Collection, Revision>,
    /// What was compacted then: a change before it may have left no trace.
    oldest: Revision,
    /// Protects the table, not the rings; comes before any ring's lock.
    rings: RwLock<HashMap<Collection, Arc<Ring>>>,
    /// Bytes of JSON in all rings.
    bytes: AtomicUsize,
}

impl Hub {
    pub(super) fn new(log: Arc<dyn Log>, (horizon, lasts): (Horizon, HashMap<Collection, Revision>)) -> Self {
        let oldest = horizon.compacted();
        Self { horizon, log, lasts, oldest, rings: RwLock::default(), bytes: AtomicUsize::new(0) }
    }

    /// Shows events to all watchers that look; who waits is woken by what is given back. The snapshot with the events
    /// must be visible before.
    pub(super) fn publish(&self, events: &[Arc<Event>]) -> Waiting {
        let mut woken = Vec::new();
        let Some(last) = events.last() else { return Waiting(woken) };
        for event in events {
            // Counted first: what is freed was counted.
            self.bytes.fetch_add(size(event), Ordering::AcqRel);
            let freed = self.ring(&event.object.key.collection).push(event, &mut woken);
            self.bytes.fetch_sub(freed, Ordering::AcqRel);
        }
        if self.bytes.load(Ordering::Acquire) > RINGS_BYTES_MAX {
            self.bytes.fetch_sub(self.forget_most(), Ordering::AcqRel);
        }
        self.horizon.published.store(last.revision.0, Ordering::Release);
        Waiting(woken)
    }

    /// A watcher of what is in `scope` after `after`, which must not be in the future. As upstream's watch cache does,
    /// a lane that still has all events since then serves it, however much of the log is compacted.
    ///
    /// # Errors
    /// `Compacted` when neither the lane nor the log has all of them.
    pub(super) fn watch(
        self: &Arc<Self>,
        collection: &Collection,
        after: Revision,
        scope: Scope,
    ) -> Result<Watch, Error> {
        let ring = self.ring(collection);
        let lane = ring.join(&scope);
        let watch = Watch { hub: Arc::clone(self), ring, lane, collection: Arc::clone(collection), scope, seen: after };
        let oldest = self.horizon.compacted();
        if after < oldest && !watch.recent_suffices() { Err(Error::Compacted { oldest }) } else { Ok(watch) }
    }

    /// Forgets all events up to here, which are to be served to nobody.
    pub(super) fn forget(&self, oldest: Revision) {
        self.horizon.forgotten.fetch_max(oldest.0, Ordering::AcqRel);
        let freed: usize = self.rings.read().values().map(|ring| ring.forget(oldest)).sum();
        self.bytes.fetch_sub(freed, Ordering::AcqRel);
    }

    /// Lets go of all encodings that are kept with events; by now most watchers have them.
    pub(super) fn let_go_of_memos(&self) {
        self.rings.read().values().for_each(|ring| ring.lanes.lock().fresh.clear());
    }

    /// How many watchers a collection has.
    pub(super) fn watchers(&self, collection: &str) -> usize {
        self.rings.read().get(collection).map_or(0, |ring| ring.lanes.lock().watchers)
    }

    /// Ends all watches.
    pub(super) fn close(&self) {
        self.horizon.closed.store(true, Ordering::Release);
        let rings: Vec<_> = self.rings.read().values().cloned().collect();
        for ring in rings {
            let lanes = ring.lanes.lock();
            ring.all.notify.notify_waiters();
            lanes.by_scope.values().for_each(|lane| lane.notify.notify_waiters());
        }
    }

    /// The ring of a collection. Every event since the log was opened goes into one, so that a new one has forgotten
    /// only what was before: who has seen the last change of a collection that rarely changes need not ask the log.
    fn ring(&self, collection: &Collection) -> Arc<Ring> {
        if let Some(ring) = self.rings.read().get(collection) {
            return Arc::clone(ring);
        }
        let mut rings = self.rings.write();
        let last = self.lasts.get(collection).copied().unwrap_or_default();
        let new = || Arc::new(Ring::new(last.max(self.oldest).max(self.horizon.forgotten())));
        Arc::clone(rings.entry(Arc::clone(collection)).or_insert_with(new))
    }

    /// Lets the largest ring forget half; gives the bytes that it freed.
    fn forget_most(&self) -> usize {
        let rings = self.rings.read();
        let largest = rings.values().map(|ring| (ring.lanes.lock().bytes, ring)).max_by_key(|(bytes, _)| *bytes);
        largest.map_or(0, |(bytes, ring)| ring.trim(&mut ring.lanes.lock(), bytes / 2))
    }
}

/// What an event counts in a ring.
fn size(event: &Event) -> usize {
    event.object.body.json.len()
}

/// The recent events of a collection.
struct Ring {
    /// All of them.
    all: Arc<Lane>,
    /// Protects which lanes there are and what they hold together; comes before any lane's lock.
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    by_scope: HashMap<Scope, Arc<Lane>>,
    /// The fields of the `Scope::Field` lanes, with the number of such lanes.
    fields: HashMap<Arc<str>, usize>,
    bytes: usize,
    fresh: Fresh,
    watchers: usize,
}

/// The recent events of one scope.
#[derive(Default)]
struct Lane {
    /// Protects the events; held for the copy of a batch.
    recent: Mutex<Recent>,
    notify: Notify,
    /// The publisher has the lane on its list of lanes to wake.
    told: AtomicBool,
}

#[derive(Default)]
struct Recent {
    events: VecDeque<Arc<Event>>,
    /// Events up to here may be missing.
    forgotten: Revision,
    watchers: usize,
}

impl Ring {
    fn new(forgotten: Revision) -> Self {
        let all = Lane::default();
        all.recent.lock().forgotten = forgotten;
        Self { all: Arc::new(all), lanes: Mutex::default() }
    }

    /// Gives the bytes of what is forgotten for it.
    fn push(&self, event: &Arc<Event>, woken: &mut Vec<Arc<Lane>>) -> usize {
        let mut lanes = self.lanes.lock();
        lanes.bytes += size(event);
        lanes.fresh.push(event, size);
        let mut add = |lane: &Arc<Lane>| {
            lane.recent.lock().events.push_back(Arc::clone(event));
            if !lane.told.swap(true, Ordering::AcqRel) {
                woken.push(Arc::clone(lane));
            }
        };
        add(&self.all);
        lanes.matching(event, &mut add);
        self.trim(&mut lanes, RING_BYTES_MAX)
    }

    /// Forgets the oldest events until there are few enough; gives their bytes.
    fn trim(&self, lanes: &mut Lanes, bytes_max: usize) -> usize {
        let before = lanes.bytes;
        loop {
            let oldest = {
                let mut recent = self.all.recent.lock();
                let over = recent.events.len() > RING_EVENTS_MAX || lanes.bytes > bytes_max;
                // The newest stays whatever its size, so that those who are awake can have it.
                let oldest = if over && recent.events.len() > 1 { recent.events.pop_front() } else { None };
                let Some(oldest) = oldest else { return before - lanes.bytes };
                recent.forgotten = oldest.revision;
                oldest
            };
            lanes.bytes -= size(&oldest);
            lanes.matching(&oldest, &mut |lane| {
                let mut recent = lane.recent.lock();
                if recent.events.front().is_some_and(|front| front.revision == oldest.revision) {
                    recent.events.pop_front();
                    recent.forgotten = oldest.revision;
                }
            });
        }
    }

    /// Forgets the events up to `oldest`; gives their bytes.
    fn forget(&self, oldest: Revision) -> usize {
        let mut lanes = self.lanes.lock();
        for lane in lanes.by_scope.values() {
            lane.forget(oldest);
        }
        let freed = self.all.forget(oldest);
        lanes.bytes -= freed;
        freed
    }

    /// The lane of a scope, with one more watcher.
    fn join(&self, scope: &Scope) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        lanes.watchers += 1;
        if *scope == Scope::All {
            return Arc::clone(&self.all);
        }
        let lane = match lanes.by_scope.get(scope) {
            Some(lane) => Arc::clone(lane),
            None => {
                let lane = Arc::new(self.all.narrowed(scope));
                lanes.by_scope.insert(scope.clone(), Arc::clone(&lane));
                if let Scope::Field { field, .. } = scope {
                    *lanes.fields.entry(Arc::clone(field)).or_default() += 1;
                }
                lane
            }
        };
        lane.recent.lock().watchers += 1;
        lane
    }

    /// One watcher less; a lane that nobody watches goes.
    fn leave(&self, lane: &Lane, scope: &Scope) {
        let mut lanes = self.lanes.lock();
        lanes.watchers -= 1;
        if *scope == Scope::All {
            return;
        }
        let watchers = {
            let mut recent = lane.recent.lock();
            recent.watchers -= 1;
            recent.watchers
        };
        if watchers > 0 {
            return;
        }
        lanes.by_scope.remove(scope);
        if let Scope::Field { field, .. } = scope
            && let Some(count) = lanes.fields.get_mut(field)
        {
            *count -= 1;
            if *count == 0 {
                lanes.fields.remove(field);
            }
        }
    }
}

impl Lanes {
    /// Visits each narrow lane to which an event belongs, once.
    fn matching(&self, event: &Event, visit: &mut dyn FnMut(&Arc<Lane>)) {
        if self.by_scope.is_empty() {
            return;
        }
        let mut visit_scope = |scope: Scope| {
            if let Some(lane) = self.by_scope.get(&scope) {
                visit(lane);
            }
        };
        let key = &event.object.key;
        visit_scope(Scope::Namespace(Arc::clone(&key.namespace)));
        visit_scope(Scope::Object { namespace: Arc::clone(&key.namespace), name: Arc::clone(&key.name) });
        for field in self.fields.keys() {
            let now = event.object.facts.field(field);
            let before = event.previous.as_deref().and_then(|object| object.facts.field(field));
            for value in now.into_iter().chain(before.filter(|before| Some(*before) != now)) {
                visit_scope(Scope::Field { field: Arc::clone(field), value: Arc::clone(value) });
            }
        }
    }
}

impl Lane {
    /// Forgets the events up to `oldest`; gives their bytes.
    fn forget(&self, oldest: Revision) -> usize {
        let mut recent = self.recent.lock();
        let count = recent.events.partition_point(|event| event.revision <= oldest);
        recent.forgotten = recent.forgotten.max(oldest);
        recent.events.drain(..count).map(|event| size(&event)).sum()
    }

    /// A new lane with those of this one's events that are in the scope.
    fn narrowed(&self, scope: &Scope) -> Self {
        let recent = self.recent.lock();
        let events = recent.events.iter().filter(|event| in_scope(event, scope)).cloned().collect();
        let recent = Recent { events, forgotten: recent.forgotten, watchers: 0 };
        Self { recent: Mutex::new(recent), ..Self::default() }
    }

    /// The first events after `seen`; `None` if some of them are forgotten.
    fn after(&self, seen: Revision) -> Option<Vec<Arc<Event>>> {
        let recent = self.recent.lock();
        if seen < recent.forgotten {
            return None;
        }
        // Most watchers that look have seen all.
        if recent.events.back().is_none_or(|last| last.revision <= seen) {
            return Some(Vec::new());
        }
        let start = recent.events.partition_point(|event| event.revision <= seen);
        let mut bytes = 0;
        let room = |event: &&Arc<Event>| {
            let fits = bytes < BATCH_BYTES_MAX;
            bytes += size(event);
            fits
        };
        Some(recent.events.range(start..).take(BATCH_EVENTS_MAX).take_while(room).cloned().collect())
    }
}

/// Events of one scope in the order of their revisions, without gap or duplicate. Costs a few hundred bytes while idle.
pub struct Watch {
    hub: Arc<Hub>,
    ring: Arc<Ring>,
    lane: Arc<Lane>,
    collection: Collection,
    scope: Scope,
    seen: Revision,
}

impl Watch {
    /// Waits for the next events; never empty. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `Lagged` when the watcher was so slow that the history it needs was compacted; `Closed`; `Unreadable`.
    pub async fn next_batch(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        loop {
            // The lane is kept alive for the waiter, which borrows it while `self` changes.
            let lane = Arc::clone(&self.lane);
            let mut told = std::pin::pin!(lane.notify.notified());
            told.as_mut().enable();
            if self.hub.horizon.closed() {
                return Err(Error::Closed);
            }
            let batch = match self.recent() {
                Some(batch) => batch,
                None => self.past().await?,
            };
            if let Some(last) = batch.last() {
                self.seen = self.seen.max(last.revision);
                return Ok(batch);
            }
            if self.recent_suffices() {
                told.await;
            }
        }
    }

    /// The revision up to which this watcher has been given everything in its scope: the resourceVersion of a bookmark.
    pub fn progress(&mut self) -> Revision {
        // Read before the lane: everything up to here is in it.
        let published = self.hub.horizon.published();
        if self.lane.after(self.seen).is_some_and(|batch| batch.is_empty()) {
            self.seen = self.seen.max(published);
        }
        self.seen
    }

    /// What the lane has for us; moves on when it has nothing.
    fn recent(&mut self) -> Option<Vec<Arc<Event>>> {
        let published = self.hub.horizon.published();
        let batch = self.lane.after(self.seen)?;
        if batch.is_empty() {
            self.seen = self.seen.max(published);
        }
        Some(batch)
    }

    fn recent_suffices(&self) -> bool {
        self.seen >= self.lane.recent.lock().forgotten
    }

    /// What the log has for us; moves on when it has nothing.
    async fn past(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        let query = PageQuery {
            collection: Arc::clone(&self.collection),
            scope: self.scope.clone(),
            after: self.seen,
            up_to: self.hub.horizon.published(),
            limit: PAGE_EVENTS_MAX,
        };
        let page = self.hub.log.page(query).await;
        // Asked first: what is compacted while it is read may be missing in any way.
        if self.seen < self.hub.horizon.compacted() {
            return Err(Error::Lagged);
        }
        let page = page?;
        self.seen = self.seen.max(page.complete_to);
        Ok(page.events)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ring.leave(&self.lane, &self.scope);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::super::fixture::key;
    use super::super::log::{AppendError, Page, PastState};
    use super::super::{Body, Checked, EventKind, Facts, Stored};
    use super::*;

    /// A log that must not be asked.
    struct Untouched;

    impl Log for Untouched {
        fn append<'a>(&'a self, _: &'a [Arc<Event>], _: jiff::Timestamp) -> BoxFuture<'a, Result<(), AppendError>> {
            unreachable!("nothing is appended")
        }

        fn page(&self, query: PageQuery) -> BoxFuture<'_, Result<Page, Error>> {
            panic!("the log is asked for {query:?}")
        }

        fn undo(&self, _: Revision, _: Revision) -> BoxFuture<'_, Result<Vec<PastState>, Error>> {
            unreachable!("nothing is undone")
        }

        fn compact(&self, _: Revision) -> BoxFuture<'_, Result<(), Error>> {
            unreachable!("nothing is compacted")
        }

        fn bytes(&self) -> u64 {
            0
        }

        fn back_up<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<Checked, Error>> {
            unreachable!("nothing is copied")
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            async {}.boxed()
        }
    }

    fn hub(published: u64, lasts: &[(&str, u64)]) -> Arc<Hub> {
        let lasts = lasts.iter().map(|(name, last)| (Collection::from(*name), Revision(*last))).collect();
        Arc::new(Hub::new(Arc::new(Untouched), (Horizon::new(Revision(published), Revision(0)), lasts)))
    }

    fn event(path: &str, revision: u64, bytes: usize) -> Arc<Event> {
        let body = Body { json: vec![b'x'; bytes].into(), revision_at: 0..0 };
        let object =
            Stored { key: key(path), revision: Revision(revision), body, facts: Facts::default(), note: 0.into() };
        Arc::new(Event::new(EventKind::Created, Arc::new(object), None))
    }

    #[test]
    fn a_watch_after_the_last_change_of_a_collection_does_not_ask_the_log() {
        let hub = hub(1_000_000, &[("pods", 5)]);
        for (collection, after) in [("pods", 5), ("pods", 700), ("nodes", 0)] {
            let mut watch = hub.watch(&collection.into(), Revision(after), Scope::All).unwrap();
            assert!(watch.next_batch().now_or_never().is_none(), "{collection} after {after}");
            assert_eq!(watch.progress(), Revision(1_000_000));
        }
        let mut watch = hub.watch(&"pods".into(), Revision(5), Scope::All).unwrap();
        drop(hub.publish(&[event("pods/x/a", 1_000_001, 10)]));
        let batch = watch.next_batch().now_or_never().unwrap().unwrap();
        assert_eq!(batch[0].revision, Revision(1_000_001));
    }

    #[test]
    #[should_panic(expected = "the log is asked for")]
    fn a_watch_before_it_does() {
        let mut watch = hub(1_000_000, &[("pods", 5)]).watch(&"pods".into(), Revision(4), Scope::All).unwrap();
        let _ = watch.next_batch().now_or_never();
    }

    #[test]
    fn all_rings_together_are_bounded() {
        let hub = hub(0, &[]);
        let collections: Vec<_> = (0..40).map(|number| format!("kind-{number}/x/a")).collect();
        let mut revision = 0;
        for round in 0..100 {
            for path in &collections {
                revision += 1;
                // The last of them is small, and is not what is forgotten.
                let bytes = if *path == collections[39] { 10 } else { 50_000 };
                drop(hub.publish(&[event(path, revision, bytes)]));
            }
            let rings = hub.rings.read();
            let held: usize = rings.values().map(|ring| ring.lanes.lock().bytes).sum();
            assert!(held <= RINGS_BYTES_MAX, "{held} in round {round}");
            assert_eq!(held, hub.bytes.load(Ordering::Acquire));
            assert_eq!(rings["kind-39"].all.recent.lock().events.len(), round + 1);
        }
    }

    #[test]
    fn a_batch_of_large_events_is_short() {
        let hub = hub(0, &[]);
        let mut watch = hub.watch(&"pods".into(), Revision(0), Scope::All).unwrap();
        let events: Vec<_> = (1..=50).map(|revision| event("pods/x/a", revision, 100_000)).collect();
        drop(hub.publish(&events));
        let mut seen = Vec::new();
        while let Some(batch) = watch.next_batch().now_or_never() {
            let batch = batch.unwrap();
            assert!(batch.len() <= 3, "{}", batch.len());
            seen.extend(batch.iter().map(|event| event.revision.0));
        }
        assert_eq!(seen, (1..=50).collect::<Vec<_>>());
    }
}
