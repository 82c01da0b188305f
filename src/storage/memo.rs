//! Encodings that are kept with an event, so that it is encoded once for all watchers. They are a copy of what the store
//! holds already, and most watchers see an event at once: only the latest events have them, and only for a while.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Event;

/// How many encodings of one event are kept with it.
const EVENT_MEMOS: usize = 4;
/// How many bytes of JSON the events of a collection that have encodings may hold.
const FRESH_BYTES_MAX: usize = 2 << 20;

/// The encodings of one event.
#[derive(Debug, Default)]
pub struct Memos {
    /// Held for a look or the keeping of one; `None` when they are let go of for good.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    memos: [Option<Bytes>; EVENT_MEMOS],
    let_go: bool,
}

impl Memos {
    /// What is kept in a slot.
    pub fn get(&self, slot: usize) -> Option<Bytes> {
        self.kept.lock().memos[slot].clone()
    }

    /// Keeps what was encoded, unless another was quicker, and gives what all watchers are to share.
    pub fn keep(&self, slot: usize, memo: Bytes) -> Bytes {
        let mut kept = self.kept.lock();
        if kept.let_go {
            return memo;
        }
        kept.memos[slot].get_or_insert(memo).clone()
    }

    fn let_go(&self) {
        *self.kept.lock() = Kept { memos: Default::default(), let_go: true };
    }
}

/// The latest events of a collection, which may have encodings.
#[derive(Default)]
pub(super) struct Fresh {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl Fresh {
    /// Adds one of so many bytes of JSON; those before it lose their encodings when there are too many.
    pub(super) fn push(&mut self, event: &Arc<Event>, bytes_of: impl Fn(&Event) -> usize) {
        self.bytes += bytes_of(event);
        self.events.push_back(Arc::clone(event));
        while self.bytes > FRESH_BYTES_MAX && self.events.len() > 1 {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= bytes_of(&oldest);
            oldest.memos.let_go();
        }
    }

    /// Lets go of all encodings.
    pub(super) fn clear(&mut self) {
        self.events.drain(..).for_each(|event| event.memos.let_go());
        self.events.shrink_to_fit();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Revision;
    use crate::storage::fixture::{body, key};
    use crate::storage::{EventKind, Facts, Stored};

    fn event(revision: u64) -> Arc<Event> {
        let key = key("pods/default/a");
        let (body, facts) = (body(&key), Facts::default());
        let object = Stored { key, revision: Revision(revision), body, facts, note: 0.into() };
        Arc::new(Event::new(EventKind::Created, Arc::new(object), None))
    }

    #[test]
    fn the_first_encoding_is_shared_by_all() {
        let event = event(1);
        assert_eq!(event.memos.get(1), None);
        assert_eq!(event.memos.keep(1, Bytes::from_static(b"first")), "first");
        assert_eq!(event.memos.keep(1, Bytes::from_static(b"second")), "first");
        assert_eq!(event.memos.get(1).unwrap(), "first");
        assert_eq!(event.memos.get(0), None);
    }

    #[test]
    fn only_the_latest_events_keep_encodings() {
        let mut fresh = Fresh::default();
        let events: Vec<_> = (1..=4).map(event).collect();
        for event in &events {
            event.memos.keep(0, Bytes::from_static(b"early"));
            fresh.push(event, |_| FRESH_BYTES_MAX / 2);
        }
        let kept: Vec<_> = events.iter().map(|event| event.memos.get(0).is_some()).collect();
        assert_eq!(kept, [false, false, true, true]);
        assert_eq!(events[0].memos.keep(0, Bytes::from_static(b"late")), "late");
        assert_eq!(events[0].memos.get(0), None);
        fresh.clear();
        assert!(events.iter().all(|event| event.memos.get(0).is_none()));
    }
}
