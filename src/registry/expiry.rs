//! Events go by themselves, some time after they were written last, as kube-apiserver's do by etcd's leases: nobody is
//! asked, no plugin sees it, watchers are told of a deletion. The time is that which passes, not that of the clock on
//! the wall, and begins anew with the process, as with leases when etcd is started.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use crate::api::Revision;
use crate::base::Clock;
use crate::storage::{Change, Error, Expect, Store, Stored, Write};

/// Of both API groups.
const COLLECTION: &str = "events";
/// How often it is looked for what is due, unless the time to live is shorter.
const PAUSE: Duration = Duration::from_secs(30);
/// How many deletions are under way at once.
const TOGETHER: usize = 64;

/// What makes events go.
pub struct Expiry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    time_to_live: Duration,
    /// When the store was at which revision, the earliest first: no more than the time to live has pauses.
    ///
    /// Example: at 0 s it was at 10, at 30 s at 25. With a time to live of 60 s, all events whose revision is at most 10
    /// are due at 60 s, and the first mark goes; those up to 25 are due at 90 s.
    marks: VecDeque<(Duration, Revision)>,
}

impl Expiry {
    /// What is in the store now is as if it were written now.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, time_to_live: Duration) -> Self {
        Self { store, clock, time_to_live, marks: VecDeque::new() }
    }

    /// Runs until it is dropped; at once at its end if events stay for ever, for which the time to live is zero.
    pub async fn run(mut self) {
        if self.time_to_live.is_zero() {
            return;
        }
        let pause = PAUSE.min(self.time_to_live);
        loop {
            self.marks.push_back((self.clock.monotonic(), self.store.revision()));
            self.clock.sleep(pause).await;
            if let Some(revision) = self.take_due() {
                self.forget(revision).await;
            }
        }
    }

    /// What was written up to this revision is due.
    fn take_due(&mut self) -> Option<Revision> {
        let now = self.clock.monotonic();
        let mut due = None;
        while let Some((_, revision)) = self.marks.pop_front_if(|(at, _)| now.saturating_sub(*at) >= self.time_to_live)
        {
            due = Some(revision);
        }
        due
    }

    async fn forget(&self, revision: Revision) {
        let snapshot = self.store.snapshot();
        let due = snapshot.list(COLLECTION, None, None).filter(|event| event.revision <= revision);
        futures::stream::iter(due.map(Arc::clone)).for_each_concurrent(TOGETHER, |event| self.delete(event)).await;
    }

    async fn delete(&self, event: Arc<Stored>) {
        let write = Write { key: event.key.clone(), expect: Expect::At(event.revision), change: Change::Delete };
        match self.store.commit(vec![write]).await {
            // Somebody wrote it meanwhile: it lives on, or is gone.
            Ok(_) | Err(Error::Conflict { .. } | Error::Closed) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, event = %event.key.name, "an event that is over could not be deleted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::auth::fixture::{empty_store, put};
    use crate::base::ManualClock;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn write(store: &Arc<dyn Store>, name: &str) {
        put(store, COLLECTION, json!({ "metadata": { "namespace": "default", "name": name } })).await;
    }

    fn names(store: &Arc<dyn Store>) -> Vec<String> {
        store.snapshot().list(COLLECTION, None, None).map(|event| event.key.name.to_string()).collect()
    }

    /// Turns the clock until as much time has passed, and lets what is due go each time.
    async fn pass(expiry: &mut Expiry, clock: &ManualClock, time: Duration) {
        let until = clock.monotonic() + time;
        while clock.monotonic() < until {
            expiry.marks.push_back((clock.monotonic(), expiry.store.revision()));
            clock.advance(PAUSE);
            if let Some(revision) = expiry.take_due() {
                expiry.forget(revision).await;
            }
        }
    }

    #[tokio::test]
    async fn an_event_goes_when_its_time_has_passed_since_it_was_written_last() {
        let store = empty_store().await;
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let mut expiry = Expiry::new(store.clone(), Arc::new(clock.clone()), HOUR);
        write(&store, "once").await;
        write(&store, "again").await;
        put(&store, "pods", json!({ "metadata": { "namespace": "default", "name": "pod" } })).await;
        pass(&mut expiry, &clock, HOUR / 2).await;
        write(&store, "again").await;
        write(&store, "later").await;
        pass(&mut expiry, &clock, HOUR / 2 - PAUSE).await;
        assert_eq!(names(&store), ["again", "later", "once"]);
        pass(&mut expiry, &clock, PAUSE).await;
        assert_eq!(names(&store), ["again", "later"]);
        pass(&mut expiry, &clock, HOUR / 2).await;
        assert_eq!(names(&store), [""; 0]);
        assert_eq!(store.snapshot().count("pods"), 1);
        assert!(expiry.marks.len() as u64 <= HOUR.as_secs() / PAUSE.as_secs());
    }

    #[tokio::test]
    async fn events_that_live_for_ever_are_left() {
        let store = empty_store().await;
        let expiry = Expiry::new(store, Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)), Duration::ZERO);
        assert_eq!(expiry.run().now_or_never(), Some(()));
    }
}
