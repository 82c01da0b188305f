//! Which history is due to be forgotten: by age and by size.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::Retention;
use crate::api::Revision;

/// Marks are set at most this often …
const MARK_AGE: Duration = Duration::from_secs(1);
/// … unless this much was written since the last.
const MARK_BYTES: u64 = 1 << 20;

/// The moment of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub revision: Revision,
    pub at: Timestamp,
    /// Bytes of JSON written since the store was made, up to and including the revision.
    pub written: u64,
}

/// When which revision was written, coarsely.
///
/// Example: marks (revision 10, at 1 s, 0 bytes) and (25, 3 s, 2 MB); it is 5 s and 3 MB are written. With an age of
/// 2 s the state at 25 is old enough: what only states before 25 need is forgotten, and 1 MB of history is left.
#[derive(Debug)]
pub(super) struct History {
    marks: VecDeque<Mark>,
    written: u64,
    forgotten: u64,
}

impl History {
    /// The history that a store was opened with; the first mark is its oldest readable revision.
    pub(super) fn new(marks: Vec<Mark>) -> Self {
        let written = marks.last().map_or(0, |mark| mark.written);
        let forgotten = marks.first().map_or(0, |mark| mark.written);
        Self { marks: marks.into(), written, forgotten }
    }

    /// Notes that `bytes` were written and the store is at `revision` now.
    pub(super) fn wrote(&mut self, revision: Revision, bytes: u64, now: Timestamp) {
        self.written += bytes;
        let written = self.written;
        let fresh = |mark: &Mark| since(mark.at, now) < MARK_AGE && written - mark.written < MARK_BYTES;
        if !self.marks.back().is_some_and(fresh) {
            self.marks.push_back(Mark { revision, at: now, written });
        }
    }

    /// The oldest revision to keep, if history before it is due; its marks are dropped.
    pub(super) fn take_due(&mut self, retention: Retention, now: Timestamp) -> Option<Revision> {
        let mut due = None;
        while let Some(mark) = self.marks.front() {
            let old = since(mark.at, now) >= retention.age_max;
            if !old && self.written - self.forgotten <= retention.bytes_max {
                break;
            }
            due = Some(mark.revision);
            self.forgotten = mark.written;
            self.marks.pop_front();
        }
        due
    }
}

/// Zero if the clock was set back.
fn since(earlier: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(earlier)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[track_caller]
    fn check_due(retention: (u64, u64), now: i64, expected: Option<u64>) {
        let mut history = History::new(vec![]);
        for (revision, bytes, second) in [(10, 100, 1), (20, 100, 3), (30, 100, 5)] {
            history.wrote(Revision(revision), bytes, at(second));
        }
        let retention = Retention { age_max: Duration::from_secs(retention.0), bytes_max: retention.1 };
        assert_eq!(history.take_due(retention, at(now)), expected.map(Revision));
    }

    #[test]
    fn nothing_is_due_while_all_is_young_and_small() {
        check_due((100, 1000), 6, None);
    }

    #[test]
    fn the_last_revision_that_is_old_enough_is_the_oldest_to_keep() {
        check_due((2, 1000), 5, Some(20));
        check_due((2, 1000), 4, Some(10));
    }

    #[test]
    fn size_forgets_no_more_than_it_must() {
        check_due((100, 250), 6, Some(10));
        check_due((100, 150), 6, Some(20));
    }

    #[test]
    fn a_clock_set_back_forgets_nothing() {
        check_due((2, 1000), 0, None);
    }
}
