//! What was asked, held against what happened.

use std::collections::{HashMap, HashSet};

use super::checker::{Entry, Log, Rule, Violation, report};
use super::history::{Answer, Call, Op, Refusal, Revision};

pub(super) fn check(log: &Log<'_>, found: &mut Vec<Violation>) {
    let mut uids: HashSet<&str> = HashSet::new();
    let mut done: HashMap<usize, Revision> = HashMap::new();
    for (revision, entry) in &log.entries {
        check_cause(log, (*revision, entry), found);
        if let Some(first) = entry.cause.and_then(|cause| done.insert(cause, *revision)) {
            report(found, Rule::Caused, format!("one call did both {first} and {revision}: {entry:?}"));
        }
        let born = entry.before.is_none().then_some(entry.after.as_ref()).flatten();
        if born.is_some_and(|state| !uids.insert(&state.uid)) {
            report(found, Rule::Caused, format!("{revision} creates with a uid that there was: {entry:?}"));
        }
    }
    let deleted: HashSet<&str> = log.entries.values().filter_map(deleted_uid).collect();
    let mut told: HashSet<&str> = HashSet::new();
    for (number, call) in log.history.calls.iter().enumerate() {
        match &call.answer {
            Answer::Object(state) => check_object(log, (number, call, state.revision), found),
            Answer::Deleted { uid } => {
                if !deleted.contains(uid.as_str()) {
                    report(found, Rule::Acknowledged, format!("a deletion is not there: {call:?}"));
                }
                if !told.insert(uid) {
                    report(found, Rule::Caused, format!("the object was deleted before: {call:?}"));
                }
            }
            Answer::Refused(refusal) => {
                if let Some(revision) = done.get(&number) {
                    report(found, Rule::RefusedIsNotDone, format!("{revision} is what was refused: {call:?}"));
                }
                check_refusal(log, call, (*refusal, found));
            }
            Answer::Lost => {}
            Answer::Strange(what) => report(found, Rule::NothingStrange, format!("{what}: {call:?}")),
        }
    }
}

fn deleted_uid(entry: &Entry) -> Option<&str> {
    match (&entry.before, &entry.after) {
        (Some(before), None) => Some(&before.uid),
        (None | Some(_), Some(_)) | (None, None) => None,
    }
}

/// Whether what happened is what its call does to the state before, after all that was seen when the call began.
fn check_cause(log: &Log<'_>, (revision, entry): (Revision, &Entry), found: &mut Vec<Violation>) {
    let Some(call) = entry.cause.map(|cause| &log.history.calls[cause]) else {
        report(found, Rule::Caused, format!("nobody asked for {revision}: {entry:?}"));
        return;
    };
    let after = entry.after.as_ref().map(|after| after.content.clone());
    let same_object = match (&entry.before, &entry.after) {
        (Some(before), Some(after)) => before.uid == after.uid,
        (None, _) | (_, None) => true,
    };
    if call.key != entry.key || call.op.apply(entry.before.as_ref()) != Ok(after) || !same_object {
        report(found, Rule::Caused, format!("{revision} does not follow from {call:?}: {entry:?}"));
    }
    let lower = log.lower(call.began);
    if revision <= lower {
        report(found, Rule::RevisionsRise, format!("{revision} was made by what began after {lower}: {call:?}"));
    }
}

fn check_object(log: &Log<'_>, (number, call, revision): (usize, &Call, Revision), found: &mut Vec<Violation>) {
    if let Op::Get { stale } = call.op {
        let from = if stale { 0 } else { log.lower(call.began) };
        let shown = |state: Option<&_>| matches!(&call.answer, Answer::Object(object) if state == Some(object));
        if !log.states(&call.key, from, log.upper(call.ended)).into_iter().any(shown) {
            report(found, Rule::ReadIsOfItsTime, format!("not a state since {from}: {call:?}"));
        }
    } else if log.entries.get(&revision).is_none_or(|entry| entry.cause != Some(number)) {
        report(found, Rule::Acknowledged, format!("{revision} is not what was acknowledged: {call:?}"));
    }
}

/// Whether a state of the time refuses the call so.
fn check_refusal(log: &Log<'_>, call: &Call, (refusal, found): (Refusal, &mut Vec<Violation>)) {
    if refusal == Refusal::NotNow {
        return;
    }
    let from = if call.op == (Op::Get { stale: true }) { 0 } else { log.lower(call.began) };
    let states = log.states(&call.key, from, log.upper(call.ended));
    if !states.into_iter().any(|state| call.op.apply(state) == Err(refusal)) {
        report(found, Rule::RefusalIsTrue, format!("no state since {from} refuses {call:?}"));
    }
}
