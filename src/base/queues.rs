//! What is counted of work queues: a queue counts for itself, and a list of those that live is read when `/metrics`
//! is asked for (client-go `util/workqueue/metrics.go`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::Histogram;

/// Upstream's bounds, in seconds: from ten nanoseconds in tenfold steps.
const SECONDS: [f64; 10] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// What a queue has counted.
#[derive(Clone, Debug)]
pub struct QueueCounts {
    pub adds: u64,
    pub retries: u64,
    /// How long keys were ready before somebody took them, and how long the work on them took.
    pub waited: Histogram,
    pub worked: Histogram,
}

impl Default for QueueCounts {
    fn default() -> Self {
        let seconds = || Histogram::new(&SECONDS);
        Self { adds: 0, retries: 0, waited: seconds(), worked: seconds() }
    }
}

/// A queue as it is now.
#[derive(Clone, Debug)]
pub struct QueueState {
    pub counts: QueueCounts,
    /// Keys that are ready.
    pub depth: usize,
    /// For how long each key has been worked on that is not done.
    pub working: Vec<Duration>,
}

/// A queue that counts.
pub trait Counted: Send + Sync {
    /// What it has counted, and what is in it.
    fn state(&self) -> QueueState;
}

/// The queues of a process, by name. Those that are gone are forgotten.
#[derive(Default)]
pub struct Queues {
    all: Mutex<Vec<(String, Weak<dyn Counted>)>>,
}

impl Queues {
    /// Adds a queue.
    pub fn add(&self, name: &str, queue: &Arc<impl Counted + 'static>) {
        let queue: Weak<dyn Counted> = Arc::downgrade(&(Arc::clone(queue) as Arc<dyn Counted>));
        let mut all = self.all.lock();
        all.retain(|(_, queue)| queue.strong_count() > 0);
        all.push((name.to_owned(), queue));
    }

    /// All queues by name; those of one name stand one after the other.
    pub fn states(&self) -> Vec<(String, QueueState)> {
        let living: Vec<_> =
            self.all.lock().iter().filter_map(|(name, queue)| Some((name.clone(), queue.upgrade()?))).collect();
        let mut states: Vec<_> = living.into_iter().map(|(name, queue)| (name, queue.state())).collect();
        states.sort_by(|(a, _), (b, _)| a.cmp(b));
        states
    }
}
