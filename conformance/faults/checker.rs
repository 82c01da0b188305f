//! Whether a history is one that a correct server can have: a pure function. It puts the states that anybody was shown
//! into one log by their revisions, and holds everything against the log: what was asked (`writes`), and what was
//! shown (`reads`).
//!
//! Example: `create a` is answered with revision 5, a list of revision 6 has no `a`, and no watch tells of a deletion.
//! The log has `a` at 5 and nothing at 6, so the list is not the state at 6.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::history::{Answer, Call, Change, History, Key, Moment, Op, Revision, Scope, State, Told};
use super::{reads, writes};

/// A rule that a history breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Rule {
    /// One revision is one state of one object.
    OneStory,
    /// What was acknowledged is there, in full.
    Acknowledged,
    /// What happened was asked for, once, and follows from the state before.
    Caused,
    /// What was refused did not happen.
    RefusedIsNotDone,
    /// Nothing is refused that no state at the time forbids.
    RefusalIsTrue,
    /// Revisions follow real time, over restarts.
    RevisionsRise,
    /// A read shows a state of its time.
    ReadIsOfItsTime,
    /// A list is the state at its revision.
    ListIsState,
    /// The pages of a list are of one revision.
    PagesAreOne,
    /// A watch is the run of events after its start.
    WatchIsRun,
    /// A watch expires only when history was forgotten.
    ExpiredForCause,
    /// A watcher comes to the end.
    WatchGoesOn,
    /// Nothing is answered that means nothing.
    NothingStrange,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Violation {
    pub rule: Rule,
    pub what: String,
}

/// What happened at a revision.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: Key,
    pub before: Option<State>,
    /// `None`: deleted.
    pub after: Option<State>,
    /// The call that did it.
    pub cause: Option<usize>,
}

/// All that happened, as far as anybody was shown it.
pub(super) struct Log<'h> {
    pub history: &'h History,
    pub entries: BTreeMap<Revision, Entry>,
    /// The revisions of each object.
    timelines: HashMap<Key, Vec<Revision>>,
    /// When revisions were seen, each with the highest seen until then.
    seen: Vec<(Moment, Revision)>,
    /// When the calls began that changed something, each with the highest revision that those until then made …
    upper: Vec<(Moment, Revision)>,
    /// … and the lowest that those from then on made.
    later: Vec<(Moment, Revision)>,
}

/// The rules that a history breaks.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let log = Log::new(history, &mut found);
    writes::check(&log, &mut found);
    reads::check(&log, &mut found);
    found
}

pub(super) fn report(found: &mut Vec<Violation>, rule: Rule, what: String) {
    found.push(Violation { rule, what });
}

impl<'h> Log<'h> {
    fn new(history: &'h History, found: &mut Vec<Violation>) -> Self {
        let mut entries: BTreeMap<Revision, Entry> = BTreeMap::new();
        shown(history, &mut |key, revision, after| {
            let entry = Entry { key: key.clone(), before: None, after: after.cloned(), cause: None };
            let known = entries.entry(revision).or_insert_with(|| entry.clone());
            if known.key != entry.key || known.after != entry.after {
                report(found, Rule::OneStory, format!("revision {revision} is {known:?} and {entry:?}"));
            }
        });
        let mut log = Self {
            history,
            entries,
            timelines: HashMap::new(),
            seen: Vec::new(),
            upper: Vec::new(),
            later: Vec::new(),
        };
        log.link();
        log.see();
        log.find_causes();
        log.order();
        log
    }

    /// Gives each entry the state before it.
    fn link(&mut self) {
        let mut present: HashMap<Key, State> = HashMap::new();
        for (revision, entry) in &mut self.entries {
            self.timelines.entry(entry.key.clone()).or_default().push(*revision);
            entry.before = match &entry.after {
                Some(after) => present.insert(entry.key.clone(), after.clone()),
                None => present.remove(&entry.key),
            };
        }
    }

    fn find_causes(&mut self) {
        let mut by_mark: HashMap<&str, usize> = HashMap::new();
        let mut deletes: HashMap<&Key, Vec<usize>> = HashMap::new();
        for (number, call) in self.history.calls.iter().enumerate() {
            if let Some(mark) = call.op.mark() {
                by_mark.insert(mark, number);
            } else if matches!(call.op, Op::Delete { .. }) {
                deletes.entry(&call.key).or_default().push(number);
            }
        }
        let mut used: HashSet<usize> = HashSet::new();
        let mut causes = HashMap::new();
        for (revision, entry) in &self.entries {
            let cause = match &entry.after {
                Some(after) => by_mark.get(after.content.mark()).copied(),
                None => {
                    let candidates = deletes.get(&entry.key).map_or(&[][..], Vec::as_slice);
                    let began_before = |number: &usize| self.lower(self.history.calls[*number].began) < *revision;
                    let possible = candidates.iter().copied().filter(|n| !used.contains(n) && began_before(n));
                    let cause = deletion(&self.history.calls, possible, entry.before.as_ref());
                    used.extend(cause);
                    cause
                }
            };
            causes.extend(cause.map(|cause| (*revision, cause)));
        }
        for (revision, entry) in &mut self.entries {
            entry.cause = causes.get(revision).copied();
        }
    }

    /// Fills what `lower` asks.
    fn see(&mut self) {
        let mut seen = observed(self.history);
        seen.sort_unstable();
        let mut highest = 0;
        for (_, revision) in &mut seen {
            highest = highest.max(*revision);
            *revision = highest;
        }
        self.seen = seen;
    }

    /// Fills what `upper` and `later` ask.
    fn order(&mut self) {
        let began = |(revision, entry): (&Revision, &Entry)| Some((self.history.calls[entry.cause?].began, *revision));
        let mut upper: Vec<_> = self.entries.iter().filter_map(began).collect();
        upper.sort_unstable();
        let mut later = upper.clone();
        let mut highest = 0;
        for (_, revision) in &mut upper {
            highest = highest.max(*revision);
            *revision = highest;
        }
        let mut lowest = Revision::MAX;
        for (_, revision) in later.iter_mut().rev() {
            lowest = lowest.min(*revision);
            *revision = lowest;
        }
        (self.upper, self.later) = (upper, later);
    }

    /// What begins at a moment comes after this revision or shows it.
    pub(super) fn lower(&self, began: Moment) -> Revision {
        let until = self.seen.partition_point(|(at, _)| *at < began);
        until.checked_sub(1).map_or(0, |last| self.seen[last].1)
    }

    /// What has ended by a moment can show no more than this revision.
    pub(super) fn upper(&self, ended: Moment) -> Revision {
        let until = self.upper.partition_point(|(at, _)| *at <= ended);
        until.checked_sub(1).map_or(0, |last| self.upper[last].1)
    }

    /// The lowest revision that something made which began after a moment.
    pub(super) fn later(&self, ended: Moment) -> Revision {
        let from = self.later.partition_point(|(at, _)| *at <= ended);
        self.later.get(from).map_or(Revision::MAX, |first| first.1)
    }

    /// The states that an object had between two revisions, the one at the first included.
    pub(super) fn states(&self, key: &Key, from: Revision, to: Revision) -> Vec<Option<&State>> {
        let timeline = self.timelines.get(key).map_or(&[][..], Vec::as_slice);
        let first = timeline.partition_point(|revision| *revision <= from);
        let end = timeline.partition_point(|revision| *revision <= to).max(first);
        let state = |revision: &Revision| self.entries[revision].after.as_ref();
        let start = first.checked_sub(1).and_then(|at| state(&timeline[at]));
        std::iter::once(start).chain(timeline[first..end].iter().map(state)).collect()
    }

    /// The objects of a scope at a revision, by key.
    pub(super) fn state_at(&self, revision: Revision, scope: &Scope) -> BTreeMap<&Key, &State> {
        let mut present = BTreeMap::new();
        for key in self.timelines.keys().filter(|key| scope.has_key(key)) {
            if let Some(state) = self.states(key, revision, revision)[0]
                && scope.has(key, &state.content)
            {
                present.insert(key, state);
            }
        }
        present
    }
}

/// The call that deleted an object: one that says so; else one that may have, those first that could have deleted
/// nothing else, then the earliest.
fn deletion(calls: &[Call], candidates: impl Iterator<Item = usize>, before: Option<&State>) -> Option<usize> {
    let before = before?;
    let rank = |number: &usize| {
        let call = &calls[*number];
        match (&call.answer, &call.op) {
            (Answer::Deleted { uid }, _) if *uid == before.uid => Some((0, call.began)),
            (Answer::Lost, op) if op.apply(Some(before)).is_err() => None,
            (Answer::Lost, Op::Delete { uid: None, expect: None }) => Some((2, call.began)),
            (Answer::Lost, _) => Some((1, call.began)),
            (_, _) => None,
        }
    };
    candidates.filter_map(|number| Some((rank(&number)?, number))).min().map(|(_, number)| number)
}

/// Visits every state that anybody was shown, and every deletion that is one for certain.
fn shown(history: &History, visit: &mut dyn FnMut(&Key, Revision, Option<&State>)) {
    for call in &history.calls {
        if let Answer::Object(state) = &call.answer {
            visit(&call.key, state.revision, Some(state));
        }
    }
    for (key, state) in history.lists.iter().flat_map(|list| &list.pages).flat_map(|page| &page.items) {
        visit(key, state.revision, Some(state));
    }
    for watch in &history.watches {
        for (_, told) in &watch.told {
            match told {
                Told::Change { change: Change::Added | Change::Modified, key, state } => {
                    visit(key, state.revision, Some(state));
                }
                // With a selector it may be that the object only left.
                Told::Change { change: Change::Deleted, key, state } if watch.scope.tier.is_none() => {
                    visit(key, state.revision, None);
                }
                Told::Change { .. } | Told::Bookmark { .. } => {}
            }
        }
    }
}

/// When which revision had been seen by somebody.
fn observed(history: &History) -> Vec<(Moment, Revision)> {
    let calls = history.calls.iter().filter_map(|call| match &call.answer {
        Answer::Object(state) => Some((call.ended, state.revision)),
        Answer::Deleted { .. } | Answer::Refused(_) | Answer::Lost | Answer::Strange(_) => None,
    });
    let lists = history.lists.iter().filter_map(|list| Some((list.ended, list.pages.first()?.revision)));
    let watches = history.watches.iter().flat_map(|watch| &watch.told).map(|(at, told)| (*at, told.revision()));
    calls.chain(lists).chain(watches).collect()
}
