//! Work queues: keys wait once however often they are added, are handed to one worker at a time, and come back later
//! after a failure or at a set time. `work` runs a bounded number of reconciles at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::{Clock, Counted, QueueCounts, QueueState};

/// The first wait after a failure and the longest one, as client-go's rate limiter.
const FAILURE_WAIT_MIN: Duration = Duration::from_millis(5);
const FAILURE_WAIT_MAX: Duration = Duration::from_secs(1000);

/// How a reconcile ended, when it did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing to do until something changes.
    Done,
    /// Look again after this time, whatever happens.
    Again(Duration),
}

/// Keys that wait to be worked on. Bounded by the number of distinct keys.
pub struct Queue<K> {
    clock: Arc<dyn Clock>,
    /// The state of all keys; held for single steps.
    state: Mutex<State<K>>,
    /// A key is ready, or a wait begins that ends before the others.
    changed: Notify,
}

struct State<K> {
    /// Ready, in order.
    ready: VecDeque<K>,
    /// Ready, or to be made ready once no longer worked on.
    dirty: HashSet<K>,
    /// With the moment at which the work began.
    working: HashMap<K, Duration>,
    /// The moments at which the keys in `ready` became so, in the same order.
    since: VecDeque<Duration>,
    counts: QueueCounts,
    /// By the moment at which they become ready.
    later: BinaryHeap<Reverse<Later<K>>>,
    /// The moment that counts for each key in `later`: the earliest one asked for.
    moments: HashMap<K, Duration>,
    failures: HashMap<K, u32>,
}

struct Later<K> {
    at: Duration,
    key: K,
}

impl<K> PartialEq for Later<K> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<K> Eq for Later<K> {}

impl<K> PartialOrd for Later<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Later<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl<K: Hash + Eq + Clone> Queue<K> {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashMap::new(),
            since: VecDeque::new(),
            counts: QueueCounts::default(),
            later: BinaryHeap::new(),
            moments: HashMap::new(),
            failures: HashMap::new(),
        };
        Arc::new(Self { clock, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Makes a key ready.
    pub fn add(&self, key: K) {
        if self.state.lock().add(key, self.clock.monotonic()) {
            self.changed.notify_one();
        }
    }

    /// Makes a key ready after a time; a moment set before stays when it is earlier.
    pub fn add_after(&self, key: K, wait: Duration) {
        if wait.is_zero() {
            return self.add(key);
        }
        let at = self.clock.monotonic() + wait;
        {
            let mut state = self.state.lock();
            if state.moments.get(&key).is_some_and(|earlier| *earlier <= at) {
                return;
            }
            state.moments.insert(key.clone(), at);
            state.later.push(Reverse(Later { at, key }));
        }
        self.changed.notify_one();
    }

    /// Makes a key ready after a time that doubles with each failure in a row.
    pub fn add_after_failure(&self, key: K) {
        let wait = {
            let mut state = self.state.lock();
            state.counts.retries += 1;
            let failures = state.failures.entry(key.clone()).or_insert(0);
            *failures = failures.saturating_add(1);
            FAILURE_WAIT_MIN.saturating_mul(1_u32.checked_shl(*failures - 1).unwrap_or(u32::MAX)).min(FAILURE_WAIT_MAX)
        };
        self.add_after(key, wait);
    }

    /// How many failures a key has had in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// Forgets the failures of a key.
    pub fn forget(&self, key: &K) {
        self.state.lock().failures.remove(key);
    }

    /// The next key; nobody else gets it before `done`.
    pub async fn next(&self) -> K {
        loop {
            let (key, next_at) = self.state.lock().take(self.clock.monotonic());
            if let Some(key) = key {
                return key;
            }
            match next_at {
                Some(at) => {
                    let wait = self.clock.sleep(at.saturating_sub(self.clock.monotonic()));
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = wait => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// The work on a key has ended.
    pub fn done(&self, key: &K) {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        if let Some(began) = state.working.remove(key) {
            state.counts.worked.observe(now.saturating_sub(began).as_secs_f64());
        }
        if state.dirty.contains(key) {
            state.ready(key.clone(), now);
            drop(state);
            self.changed.notify_one();
        }
    }
}

impl<K: Hash + Eq + Clone + Send> Counted for Queue<K> {
    fn state(&self) -> QueueState {
        let now = self.clock.monotonic();
        let state = self.state.lock();
        let working = state.working.values().map(|began| now.saturating_sub(*began)).collect();
        QueueState { counts: state.counts.clone(), depth: state.ready.len(), working }
    }
}

impl<K: Hash + Eq + Clone> State<K> {
    fn add(&mut self, key: K, now: Duration) -> bool {
        if !self.dirty.insert(key.clone()) {
            return false;
        }
        self.counts.adds += 1;
        if self.working.contains_key(&key) {
            return false;
        }
        self.ready(key, now);
        true
    }

    fn ready(&mut self, key: K, now: Duration) {
        self.ready.push_back(key);
        self.since.push_back(now);
    }

    /// A ready key, and when the next one becomes ready.
    fn take(&mut self, now: Duration) -> (Option<K>, Option<Duration>) {
        while self.later.peek().is_some_and(|Reverse(later)| later.at <= now) {
            if let Some(Reverse(later)) = self.later.pop()
                && self.moments.get(&later.key) == Some(&later.at)
            {
                self.moments.remove(&later.key);
                self.add(later.key, now);
            }
        }
        let key = self.ready.pop_front();
        if let Some(key) = &key {
            self.dirty.remove(key);
            self.working.insert(key.clone(), now);
            let since = self.since.pop_front().unwrap_or(now);
            self.counts.waited.observe(now.saturating_sub(since).as_secs_f64());
        }
        (key, self.later.peek().map(|Reverse(later)| later.at))
    }
}

/// Reconciles keys, at most `limit` at once, until dropped. A failure is logged and tried again; so is a panic.
pub async fn work<K, F, R, E>(queue: Arc<Queue<K>>, limit: usize, name: &'static str, reconcile: F)
where
    K: Hash + Eq + Clone + std::fmt::Debug,
    F: Fn(K) -> R,
    R: Future<Output = Result<Outcome, E>>,
    E: std::error::Error + 'static,
{
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = running.next(), if !running.is_empty() => {}
            key = queue.next(), if running.len() < limit => {
                let reconcile = &reconcile;
                let queue = &queue;
                running.push(async move {
                    let result = AssertUnwindSafe(reconcile(key.clone())).catch_unwind().await;
                    match result {
                        Ok(Ok(Outcome::Done)) => queue.forget(&key),
                        Ok(Ok(Outcome::Again(wait))) => {
                            queue.forget(&key);
                            queue.add_after(key.clone(), wait);
                        }
                        Ok(Err(error)) => {
                            tracing::debug!(name, ?key, error = &error as &dyn std::error::Error, "trying again");
                            queue.add_after_failure(key.clone());
                        }
                        Err(_) => {
                            tracing::error!(name, ?key, "reconcile panicked, trying again");
                            queue.add_after_failure(key.clone());
                        }
                    }
                    queue.done(&key);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ManualClock;
    use jiff::Timestamp;

    fn queue() -> (ManualClock, Arc<Queue<&'static str>>) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let queue = Queue::new(Arc::new(clock.clone()));
        (clock, queue)
    }

    #[test]
    fn a_key_waits_once_however_often_it_is_added() {
        let (_, queue) = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().now_or_never(), Some("a"));
        assert_eq!(queue.next().now_or_never(), None);
    }

    #[test]
    fn a_queue_counts_what_is_added_taken_and_tried_again() {
        let (clock, queue) = queue();
        queue.add("a");
        queue.add("a");
        clock.advance(Duration::from_secs(2));
        assert_eq!(queue.state().depth, 1);
        assert_eq!(queue.next().now_or_never(), Some("a"));
        clock.advance(Duration::from_secs(3));
        let state = queue.state();
        assert_eq!((state.depth, state.working, state.counts.adds), (0, vec![Duration::from_secs(3)], 1));
        queue.add_after_failure("a");
        queue.done(&"a");
        let counts = queue.state().counts;
        assert_eq!((counts.retries, counts.waited.sum(), counts.worked.sum()), (1, 2.0, 3.0));
    }

    #[test]
    fn a_key_added_while_it_is_worked_on_comes_back_after_that() {
        let (_, queue) = queue();
        queue.add("a");
        assert_eq!(queue.next().now_or_never(), Some("a"));
        queue.add("a");
        assert_eq!(queue.next().now_or_never(), None);
        queue.done(&"a");
        assert_eq!(queue.next().now_or_never(), Some("a"));
    }

    #[test]
    fn a_failed_key_waits_twice_as_long_each_time() {
        let (clock, queue) = queue();
        for wait in [5, 10, 20] {
            queue.add_after_failure("a");
            clock.advance(Duration::from_millis(wait - 1));
            assert_eq!(queue.next().now_or_never(), None);
            clock.advance(Duration::from_millis(1));
            assert_eq!(queue.next().now_or_never(), Some("a"));
            queue.done(&"a");
        }
        queue.forget(&"a");
        assert_eq!(queue.failures(&"a"), 0);
    }

    #[tokio::test]
    async fn a_reconcile_that_panics_is_tried_again() {
        let (clock, queue) = queue();
        queue.add("a");
        let runs = std::cell::Cell::new(0);
        let work = work(Arc::clone(&queue), 2, "test", |_| {
            runs.set(runs.get() + 1);
            let fails = runs.get() == 1;
            async move {
                assert!(!fails, "the first run panics");
                Ok::<_, std::io::Error>(Outcome::Done)
            }
        });
        let mut work = Box::pin(work);
        assert!((&mut work).now_or_never().is_none());
        clock.advance(Duration::from_millis(5));
        assert!((&mut work).now_or_never().is_none());
        assert_eq!(runs.get(), 2);
    }
}
