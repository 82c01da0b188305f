//! The pods that wait for a node: ready ones by priority and age, ones that wait after a failure, and ones that wait
//! for the cluster to change.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::pod::Pod;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A pod that nothing woke is tried again after this time.
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(300);

/// Waiting pods by uid. Bounded by the pods of the cluster.
#[derive(Default)]
pub(super) struct Queue {
    pods: HashMap<Box<str>, Waiting>,
    ready: BTreeSet<Rank>,
    /// Pods by the moment at which they become ready.
    later: BTreeSet<(Duration, Box<str>)>,
    arrivals: u64,
    /// Grows with every change of the cluster, so that a pod that failed while it happened is not left waiting.
    changes: u64,
}

/// Higher priority first, then older first.
type Rank = (Reverse<i32>, u64, Box<str>);

struct Waiting {
    pod: Arc<Pod>,
    arrival: u64,
    attempts: u32,
    failed_at: Duration,
    place: Place,
}

#[derive(PartialEq, Eq)]
enum Place {
    Ready,
    Backoff(Duration),
    Unschedulable {
        until: Duration,
    },
    /// Taken by a cycle that began after so many changes.
    Taken {
        changes: u64,
    },
}

impl Queue {
    /// A pod that waits, new or changed.
    pub(super) fn put(&mut self, pod: Arc<Pod>, now: Duration) {
        let uid: Box<str> = pod.metadata.uid.as_str().into();
        match self.pods.get_mut(&uid) {
            None => {
                self.arrivals += 1;
                let rank = (Reverse(pod.priority), self.arrivals, uid.clone());
                let waiting = Waiting { pod, arrival: self.arrivals, attempts: 0, failed_at: now, place: Place::Ready };
                self.pods.insert(uid, waiting);
                self.ready.insert(rank);
            }
            Some(waiting) => {
                let changed = spec_changed(&waiting.pod, &pod);
                waiting.pod = pod;
                if changed {
                    self.wake(&uid, now);
                }
            }
        }
    }

    /// A pod no longer waits.
    pub(super) fn remove(&mut self, uid: &str) {
        if let Some(waiting) = self.pods.remove(uid) {
            self.leave(uid, &waiting);
        }
    }

    /// The next pod. It stays known until it is bound, removed or failed.
    pub(super) fn take(&mut self, now: Duration) -> Option<Arc<Pod>> {
        while let Some((at, uid)) = self.later.first().cloned()
            && at <= now
        {
            self.later.pop_first();
            self.make_ready(&uid);
        }
        let (_, _, uid) = self.ready.pop_first()?;
        let changes = self.changes;
        let waiting = self.pods.get_mut(&uid)?;
        waiting.place = Place::Taken { changes };
        waiting.attempts += 1;
        Some(Arc::clone(&waiting.pod))
    }

    /// When the next pod becomes ready by time.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.later.first().map(|(at, _)| *at)
    }

    /// No node was found for a pod: it waits for a change, or, if one came meanwhile, for a moment.
    pub(super) fn failed(&mut self, uid: &str, now: Duration) {
        let changes = self.changes;
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        waiting.failed_at = now;
        let unchanged = waiting.place == Place::Taken { changes };
        if unchanged {
            let until = now + UNSCHEDULABLE_MAX;
            waiting.place = Place::Unschedulable { until };
            self.later.insert((until, uid.into()));
        } else {
            self.back_off(uid, now);
        }
    }

    /// Something went wrong that has nothing to do with the nodes: the pod waits for a moment.
    pub(super) fn erred(&mut self, uid: &str, now: Duration) {
        if let Some(waiting) = self.pods.get_mut(uid) {
            waiting.failed_at = now;
            self.back_off(uid, now);
        }
    }

    /// The cluster changed: all pods that wait for that are tried again after their back-off.
    pub(super) fn wake_all(&mut self, now: Duration) {
        self.changes += 1;
        let unschedulable = |waiting: &Waiting| matches!(waiting.place, Place::Unschedulable { .. });
        let woken: Vec<_> =
            self.pods.iter().filter(|(_, waiting)| unschedulable(waiting)).map(|(uid, _)| uid.clone()).collect();
        for uid in woken {
            self.wake(&uid, now);
        }
    }

    fn wake(&mut self, uid: &str, now: Duration) {
        let Some(waiting) = self.pods.get(uid) else { return };
        if let Place::Unschedulable { until } = waiting.place {
            self.later.remove(&(until, uid.into()));
            self.back_off(uid, now);
        }
    }

    fn back_off(&mut self, uid: &str, now: Duration) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        let doubled =
            BACKOFF_MIN.saturating_mul(1_u32.checked_shl(waiting.attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let at = waiting.failed_at + doubled.min(BACKOFF_MAX);
        if at <= now {
            self.make_ready(uid);
        } else {
            waiting.place = Place::Backoff(at);
            self.later.insert((at, uid.into()));
        }
    }

    fn make_ready(&mut self, uid: &str) {
        if let Some(waiting) = self.pods.get_mut(uid) {
            waiting.place = Place::Ready;
            self.ready.insert((Reverse(waiting.pod.priority), waiting.arrival, uid.into()));
        }
    }

    fn leave(&mut self, uid: &str, waiting: &Waiting) {
        match waiting.place {
            Place::Ready => {
                self.ready.remove(&(Reverse(waiting.pod.priority), waiting.arrival, uid.into()));
            }
            Place::Backoff(at) | Place::Unschedulable { until: at } => {
                self.later.remove(&(at, uid.into()));
            }
            Place::Taken { .. } => {}
        }
    }
}

/// Whether a change of a waiting pod can make it fit.
fn spec_changed(old: &Pod, new: &Pod) -> bool {
    let of = |pod: &Pod| {
        (pod.requests.clone(), pod.tolerations.clone(), pod.node_selector.clone(), pod.metadata.labels.clone())
    };
    of(old) != of(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, priority: i32) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": uid, "uid": uid}, "spec": {"priority": priority}}))
                .unwrap(),
        )
    }

    fn taken(queue: &mut Queue, second: u64) -> Option<String> {
        queue.take(Duration::from_secs(second)).map(|pod| pod.metadata.uid.clone())
    }

    #[test]
    fn pods_come_by_priority_and_then_by_arrival() {
        let mut queue = Queue::default();
        for (uid, priority) in [("a", 0), ("b", 5), ("c", 0)] {
            queue.put(pod(uid, priority), Duration::ZERO);
        }
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut queue, 0)).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn a_pod_without_a_node_waits_for_a_change_and_for_its_back_off() {
        let mut queue = Queue::default();
        queue.put(pod("a", 0), Duration::ZERO);
        assert!(taken(&mut queue, 0).is_some());
        queue.failed("a", Duration::ZERO);
        assert_eq!(taken(&mut queue, 100), None);
        queue.wake_all(Duration::from_secs(100));
        assert_eq!(taken(&mut queue, 100).as_deref(), Some("a"));
        queue.failed("a", Duration::from_secs(100));
        queue.wake_all(Duration::from_secs(100));
        assert_eq!(taken(&mut queue, 101), None);
        assert_eq!(taken(&mut queue, 102).as_deref(), Some("a"));
    }

    #[test]
    fn a_change_during_the_cycle_is_not_missed() {
        let mut queue = Queue::default();
        queue.put(pod("a", 0), Duration::ZERO);
        assert!(taken(&mut queue, 0).is_some());
        queue.wake_all(Duration::ZERO);
        queue.failed("a", Duration::ZERO);
        assert_eq!(taken(&mut queue, 1).as_deref(), Some("a"));
    }

    #[test]
    fn a_pod_that_nothing_woke_is_tried_again_after_five_minutes() {
        let mut queue = Queue::default();
        queue.put(pod("a", 0), Duration::ZERO);
        assert!(taken(&mut queue, 0).is_some());
        queue.failed("a", Duration::ZERO);
        assert_eq!(queue.next_at(), Some(Duration::from_secs(300)));
        assert_eq!(taken(&mut queue, 300).as_deref(), Some("a"));
    }

    #[test]
    fn a_pod_that_is_gone_is_not_tried_again() {
        let mut queue = Queue::default();
        queue.put(pod("a", 0), Duration::ZERO);
        assert!(taken(&mut queue, 0).is_some());
        queue.remove("a");
        queue.failed("a", Duration::ZERO);
        assert_eq!(queue.next_at(), None);
    }
}
