//! What lists and watches showed, held against what happened.

use std::collections::{BTreeMap, HashMap};

use super::checker::{Entry, Log, Rule, Violation, report};
use super::history::{At, Change, End, From, Key, Listing, Revision, Scope, State, Told, Watch};

pub(super) fn check(log: &Log<'_>, found: &mut Vec<Violation>) {
    log.history.lists.iter().for_each(|list| check_list(log, list, found));
    let mut reached: HashMap<usize, Revision> = HashMap::new();
    for watch in &log.history.watches {
        let end = check_watch(log, watch, found);
        reached.insert(watch.watcher, end);
    }
    for (watcher, goal) in &log.history.goals {
        let end = reached.get(watcher).copied().unwrap_or(0);
        if end < *goal {
            report(found, Rule::WatchGoesOn, format!("watcher {watcher} came to {end}, not {goal}"));
        }
    }
}

fn check_list(log: &Log<'_>, list: &Listing, found: &mut Vec<Violation>) {
    let Some(revision) = list.pages.first().map(|page| page.revision) else { return };
    let head = || format!("{:?} {:?} of {revision} at {}..{}", list.scope, list.at, list.began, list.ended);
    if let Some(other) = list.pages.iter().find(|page| page.revision != revision) {
        report(found, Rule::PagesAreOne, format!("one page is of {}: {}", other.revision, head()));
    }
    let least = match list.at {
        At::Latest => log.lower(list.began),
        At::Any => 0,
        At::NotOlderThan(least) | At::Exact(least) => least,
    };
    let exact = matches!(list.at, At::Exact(asked) if asked != revision);
    if revision < least || exact || revision >= log.later(list.ended) {
        let later = log.later(list.ended);
        report(found, Rule::ReadIsOfItsTime, format!("not between {least} and {later}: {}", head()));
    }
    let items: Vec<_> = list.pages.iter().flat_map(|page| &page.items).collect();
    let present: BTreeMap<&Key, &State> = items.iter().map(|(key, state)| (key, state)).collect();
    if present.len() != items.len() {
        report(found, Rule::ListIsState, format!("an object is there twice: {}", head()));
    }
    compare(&present, &log.state_at(revision, &list.scope), &mut |difference| {
        report(found, Rule::ListIsState, format!("{difference}: {}", head()));
    });
}

/// Tells the first difference of two states.
fn compare(shown: &BTreeMap<&Key, &State>, true_state: &BTreeMap<&Key, &State>, tell: &mut dyn FnMut(String)) {
    if shown == true_state {
        return;
    }
    let wrong = shown.iter().find(|(key, state)| true_state.get(*key) != Some(state));
    let missing = true_state.iter().find(|(key, _)| !shown.contains_key(*key));
    tell(format!("not the state; shown wrongly: {wrong:?}, not shown: {missing:?}"));
}

/// Gives the revision to which the watch came.
fn check_watch(log: &Log<'_>, watch: &Watch, found: &mut Vec<Violation>) -> Revision {
    let head = || format!("watcher {} {:?} {:?} at {}", watch.watcher, watch.scope, watch.from, watch.began);
    let (start, rest) = match watch.from {
        From::After(revision) => (revision, &watch.told[..]),
        From::Initial => match initial(log, watch, found) {
            Some((revision, length)) => (revision, &watch.told[length..]),
            None => return 0,
        },
    };
    match &watch.end {
        End::Cut => {}
        End::Expired if start < log.history.compacted => {}
        End::Expired => report(found, Rule::ExpiredForCause, head()),
        End::Strange(what) => report(found, Rule::NothingStrange, format!("{what}: {}", head())),
    }
    let end = rest.last().map_or(start, |(_, told)| told.revision());
    let entries = log.entries.range(start + 1..end.max(start) + 1);
    let seen = entries.filter_map(|(revision, entry)| seen_through(&watch.scope, *revision, entry));
    let mut expected = seen.peekable();
    let mut last = start;
    for (_, told) in rest {
        let wrong = match told {
            Told::Change { .. } => expected.next().as_ref() != Some(told),
            // Everything up to a bookmark has been told.
            Told::Bookmark { revision, .. } => {
                *revision < last || expected.peek().is_some_and(|next| next.revision() <= *revision)
            }
        };
        if wrong {
            report(found, Rule::WatchIsRun, format!("{told:?} after {last}: {}", head()));
            return end;
        }
        last = told.revision();
    }
    if let Some(missing) = expected.next() {
        report(found, Rule::WatchIsRun, format!("nothing was told of {missing:?}: {}", head()));
    }
    end
}

/// The revision of the initial state and how many events tell it; `None` if they were not told to the end.
fn initial(log: &Log<'_>, watch: &Watch, found: &mut Vec<Violation>) -> Option<(Revision, usize)> {
    let is_end = |told: &Told| matches!(told, Told::Bookmark { initial_events_end: true, .. });
    let end = watch.told.iter().position(|(_, told)| is_end(told))?;
    let revision = watch.told[end].1.revision();
    let mut shown = BTreeMap::new();
    for (_, told) in &watch.told[..end] {
        let Told::Change { change: Change::Added, key, state } = told else {
            report(found, Rule::WatchIsRun, format!("{told:?} among the initial events of watcher {}", watch.watcher));
            continue;
        };
        shown.insert(key, state);
    }
    compare(&shown, &log.state_at(revision, &watch.scope), &mut |difference| {
        let what = format!("{difference}: the initial events of watcher {} at {revision}", watch.watcher);
        report(found, Rule::ListIsState, what);
    });
    if revision < log.lower(watch.began) {
        let what = format!("watcher {} begins with {revision}, which is old at {}", watch.watcher, watch.began);
        report(found, Rule::ReadIsOfItsTime, what);
    }
    Some((revision, end + 1))
}

/// What a watcher of a scope is told of a change.
fn seen_through(scope: &Scope, revision: Revision, entry: &Entry) -> Option<Told> {
    let inside = |state: &&State| scope.has(&entry.key, &state.content);
    let before = entry.before.as_ref().filter(inside);
    let after = entry.after.as_ref().filter(inside);
    let (change, state) = match (before, after) {
        (None, None) => return None,
        (None, Some(after)) => (Change::Added, after.clone()),
        (Some(_), Some(after)) => (Change::Modified, after.clone()),
        // The last state that the watcher could see, at the revision at which it went.
        (Some(before), None) => (Change::Deleted, State { revision, ..before.clone() }),
    };
    Some(Told::Change { change, key: entry.key.clone(), state })
}
