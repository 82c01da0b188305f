//! Of each rule: the checker finds it broken, and it finds nothing wrong with what is right.

use std::collections::BTreeMap;

use super::checker::{Rule, check};
use super::history::*;

fn key(name: &str) -> Key {
    Key { namespace: "n".to_owned(), name: name.to_owned() }
}

fn content(mark: &str, tier: Option<&str>) -> Content {
    Content { tier: tier.map(str::to_owned), data: BTreeMap::from([(MARK.to_owned(), mark.to_owned())]) }
}

fn state(uid: &str, revision: Revision, content: &Content) -> State {
    State { uid: uid.to_owned(), revision, content: content.clone() }
}

fn call(name: &str, (began, ended): (Moment, Moment), (op, answer): (Op, Answer)) -> Call {
    Call { key: key(name), op, began, ended, answer }
}

fn told(change: Change, name: &str, state: State) -> Told {
    Told::Change { change, key: key(name), state }
}

fn watch(watcher: usize, tier: Option<&str>, events: Vec<(Moment, Told)>) -> Watch {
    let scope = Scope { namespace: None, tier: tier.map(str::to_owned) };
    Watch { watcher, scope, from: From::After(1), began: 0, told: events, end: End::Cut }
}

fn list(at: At, times: (Moment, Moment), (revision, items): (Revision, Vec<(Key, State)>)) -> Listing {
    let page = Page { revision, items };
    Listing { scope: Scope::default(), at, began: times.0, ended: times.1, pages: vec![page] }
}

/// `a` is created at 2, updated at 4 from `front` to `back`, and deleted at 6; `b` is created at 3. Two watchers see
/// all, one sees `front`; lists at 3 and 5, the latter of two pages; a get of `a` at 4.
fn right() -> History {
    let a3 = content("a3", None);
    let (a1, a2, b1) = (content("a1", Some("front")), content("a2", Some("back")), content("b1", None));
    let (a_2, a_4, b_3) = (state("ua", 2, &a1), state("ua", 4, &a2), state("ub", 3, &b1));
    let gone = state("ua", 6, &a2);
    let calls = vec![
        call("a", (10, 20), (Op::Create(a1.clone()), Answer::Object(a_2.clone()))),
        call("b", (15, 25), (Op::Create(b1), Answer::Object(b_3.clone()))),
        call("a", (30, 40), (Op::Replace { content: a2.clone(), expect: Some(2) }, Answer::Object(a_4.clone()))),
        call("a", (41, 45), (Op::Get { stale: false }, Answer::Object(a_4.clone()))),
        call("a", (46, 49), (Op::Replace { content: a3, expect: Some(2) }, Answer::Refused(Refusal::Conflict))),
        call("a", (60, 70), (Op::Delete { uid: None, expect: None }, Answer::Deleted { uid: "ua".to_owned() })),
        call("c", (71, 75), (Op::Create(content("c1", None)), Answer::Lost)),
    ];
    let all = vec![
        (20, told(Change::Added, "a", a_2.clone())),
        (25, told(Change::Added, "b", b_3.clone())),
        (40, told(Change::Modified, "a", a_4.clone())),
        (50, Told::Bookmark { revision: 5, initial_events_end: false }),
        (70, told(Change::Deleted, "a", gone)),
    ];
    let front = vec![
        (20, told(Change::Added, "a", a_2.clone())),
        (40, told(Change::Deleted, "a", State { revision: 4, ..a_2.clone() })),
    ];
    let mut paged = list(At::Latest, (50, 55), (5, vec![(key("a"), a_4.clone())]));
    paged.pages.push(Page { revision: 5, items: vec![(key("b"), b_3.clone())] });
    let fresh = Watch {
        from: From::Initial,
        began: 26,
        told: vec![
            (28, told(Change::Added, "a", a_2.clone())),
            (28, told(Change::Added, "b", b_3.clone())),
            (28, Told::Bookmark { revision: 3, initial_events_end: true }),
            (40, told(Change::Modified, "a", a_4)),
        ],
        ..watch(3, None, Vec::new())
    };
    History {
        calls,
        lists: vec![list(At::Latest, (26, 29), (3, vec![(key("a"), a_2), (key("b"), b_3)])), paged],
        watches: vec![watch(0, None, all.clone()), watch(1, Some("front"), front), watch(2, None, all), fresh],
        compacted: 0,
        goals: vec![(0, 6), (1, 4), (2, 6)],
    }
}

#[track_caller]
fn check_broken(rule: Rule, spoil: impl FnOnce(&mut History)) {
    let mut history = right();
    spoil(&mut history);
    let violations = check(&history);
    assert!(violations.iter().any(|violation| violation.rule == rule), "{rule:?} is not among {violations:?}");
}

/// The state that a call was answered with.
fn answered(call: &mut Call) -> &mut State {
    match &mut call.answer {
        Answer::Object(state) => state,
        other => panic!("{other:?}"),
    }
}

fn state_of(told: &mut (Moment, Told)) -> &mut State {
    match &mut told.1 {
        Told::Change { state, .. } => state,
        Told::Bookmark { .. } => panic!("a bookmark has no state"),
    }
}

#[test]
fn nothing_is_wrong_with_what_is_right() {
    assert_eq!(check(&right()), []);
    assert_eq!(check(&History::default()), []);
}

#[test]
fn a_write_in_doubt_may_have_been_done() {
    let mut history = right();
    let made = state("uc", 7, &content("c1", None));
    history.watches[0].told.push((80, told(Change::Added, "c", made)));
    assert_eq!(check(&history), []);
}

#[test]
fn of_two_deletions_in_doubt_each_may_have_been_done() {
    let mut history = right();
    for (revision, began) in [(7, 80), (9, 90)] {
        let content = content(&format!("c{revision}"), None);
        let made = state(&format!("uc{revision}"), revision, &content);
        let gone = State { revision: revision + 1, ..made.clone() };
        history.calls.push(call("c", (began, began + 1), (Op::Create(content), Answer::Object(made.clone()))));
        history.calls.push(call("c", (began + 2, began + 3), (Op::Delete { uid: None, expect: None }, Answer::Lost)));
        history.watches[0].told.push((began + 1, told(Change::Added, "c", made)));
        history.watches[0].told.push((began + 3, told(Change::Deleted, "c", gone)));
    }
    assert_eq!(check(&history), []);
}

#[test]
fn an_acknowledged_write_that_is_lost_is_found() {
    // Nobody but the writer saw it, and the list has the state before.
    check_broken(Rule::ListIsState, |history| {
        let before = state("ua", 2, &content("a1", Some("front")));
        history.lists[1].pages[0].items[0].1 = before;
    });
    check_broken(Rule::WatchIsRun, |history| drop(history.watches[0].told.remove(2)));
}

#[test]
fn an_acknowledged_deletion_that_was_not_done_is_found() {
    check_broken(Rule::Acknowledged, |history| {
        history.watches[0].told.pop();
        history.watches[2].told.pop();
    });
}

#[test]
fn an_acknowledgement_of_another_content_is_found() {
    check_broken(Rule::OneStory, |history| {
        answered(&mut history.calls[2]).content.data.insert("x".to_owned(), "y".to_owned());
    });
    check_broken(Rule::Acknowledged, |history| {
        let other = content("a1", None);
        answered(&mut history.calls[2]).content = other.clone();
    });
}

#[test]
fn half_a_write_is_found() {
    check_broken(Rule::Caused, |history| {
        let Op::Replace { content, .. } = &mut history.calls[2].op else { panic!("not the update") };
        content.data.insert("second".to_owned(), "field".to_owned());
    });
}

#[test]
fn a_lost_update_is_found() {
    // Expected the state at 2, was applied to that at 4.
    check_broken(Rule::Caused, |history| {
        let late = content("late", None);
        let op = Op::Replace { content: late.clone(), expect: Some(2) };
        history.calls.push(call("a", (50, 55), (op, Answer::Object(state("ua", 5, &late)))));
    });
}

#[test]
fn two_objects_at_one_revision_are_found() {
    check_broken(Rule::OneStory, |history| answered(&mut history.calls[1]).revision = 2);
}

#[test]
fn what_nobody_asked_for_is_found() {
    check_broken(Rule::Caused, |history| {
        let state = state("ux", 7, &content("nobody", None));
        history.watches[0].told.push((80, told(Change::Added, "x", state)));
    });
}

#[test]
fn a_write_that_was_done_twice_is_found() {
    check_broken(Rule::Caused, |history| {
        let again = state("ub2", 7, &content("b1", None));
        history.watches[0].told.push((80, told(Change::Modified, "b", again)));
    });
}

#[test]
fn an_object_that_is_deleted_twice_is_found() {
    check_broken(Rule::Caused, |history| {
        let again = call("a", (62, 72), (history.calls[5].op.clone(), history.calls[5].answer.clone()));
        history.calls.push(again);
    });
}

#[test]
fn a_refused_write_that_was_done_is_found() {
    check_broken(Rule::RefusedIsNotDone, |history| history.calls[2].answer = Answer::Refused(Refusal::Conflict));
    check_broken(Rule::RefusedIsNotDone, |history| history.calls[2].answer = Answer::Refused(Refusal::NotNow));
}

#[test]
fn a_refusal_without_reason_is_found() {
    check_broken(Rule::RefusalIsTrue, |history| {
        let op = Op::Replace { content: content("z", None), expect: Some(4) };
        history.calls[4].op = op;
    });
    check_broken(Rule::RefusalIsTrue, |history| history.calls[3].answer = Answer::Refused(Refusal::NotFound));
}

#[test]
fn a_revision_that_turns_back_is_found() {
    // After somebody saw 6 a write is made at 5, as a server would that lost the end of its log.
    check_broken(Rule::RevisionsRise, |history| {
        let made = content("late", None);
        history.calls.push(call("d", (80, 90), (Op::Create(made.clone()), Answer::Object(state("ud", 5, &made)))));
    });
}

#[test]
fn a_stale_get_is_found() {
    check_broken(Rule::ReadIsOfItsTime, |history| {
        *answered(&mut history.calls[3]) = state("ua", 2, &content("a1", Some("front")));
    });
}

#[test]
fn a_get_that_may_be_stale_is_not() {
    let mut history = right();
    history.calls[3].op = Op::Get { stale: true };
    *answered(&mut history.calls[3]) = state("ua", 2, &content("a1", Some("front")));
    assert_eq!(check(&history), []);
}

#[test]
fn a_stale_list_is_found() {
    check_broken(Rule::ReadIsOfItsTime, |history| (history.lists[0].began, history.lists[0].ended) = (50, 55));
    check_broken(Rule::ReadIsOfItsTime, |history| history.lists[0].at = At::NotOlderThan(4));
    check_broken(Rule::ReadIsOfItsTime, |history| history.lists[0].at = At::Exact(4));
}

#[test]
fn a_list_of_the_future_is_found() {
    check_broken(Rule::ReadIsOfItsTime, |history| (history.lists[1].began, history.lists[1].ended) = (5, 9));
}

#[test]
fn a_list_without_an_object_or_with_one_too_many_is_found() {
    check_broken(Rule::ListIsState, |history| drop(history.lists[0].pages[0].items.pop()));
    check_broken(Rule::ListIsState, |history| {
        let twice = history.lists[0].pages[0].items[0].clone();
        history.lists[0].pages[0].items.push(twice);
    });
}

#[test]
fn pages_of_two_revisions_are_found() {
    check_broken(Rule::PagesAreOne, |history| history.lists[1].pages[1].revision = 6);
}

#[test]
fn an_event_that_is_missing_twice_or_in_disorder_is_found() {
    check_broken(Rule::WatchIsRun, |history| drop(history.watches[2].told.remove(0)));
    check_broken(Rule::WatchIsRun, |history| {
        let again = history.watches[2].told[1].clone();
        history.watches[2].told.insert(2, again);
    });
    check_broken(Rule::WatchIsRun, |history| history.watches[2].told.swap(0, 1));
}

#[test]
fn watchers_that_do_not_agree_are_found() {
    check_broken(Rule::OneStory, |history| {
        state_of(&mut history.watches[2].told[1]).content = content("other", None);
    });
}

#[test]
fn a_wrong_kind_of_event_is_found() {
    check_broken(Rule::WatchIsRun, |history| {
        let Told::Change { change, .. } = &mut history.watches[0].told[2].1 else { panic!("not a change") };
        *change = Change::Added;
    });
}

#[test]
fn a_selector_that_is_left_without_a_word_is_found() {
    check_broken(Rule::WatchIsRun, |history| {
        let bookmark = Told::Bookmark { revision: 5, initial_events_end: false };
        history.watches[1].told[1] = (50, bookmark);
    });
    // The last state in the selection belongs there, not the first outside.
    check_broken(Rule::WatchIsRun, |history| {
        state_of(&mut history.watches[1].told[1]).content = content("a2", Some("back"));
    });
}

#[test]
fn a_bookmark_before_its_events_is_found() {
    check_broken(Rule::WatchIsRun, |history| history.watches[0].told.swap(2, 3));
}

#[test]
fn an_initial_state_that_is_not_whole_is_found() {
    check_broken(Rule::ListIsState, |history| drop(history.watches[3].told.remove(1)));
    check_broken(Rule::ReadIsOfItsTime, |history| history.watches[3].began = 48);
}

#[test]
fn a_watch_that_expires_without_cause_is_found() {
    check_broken(Rule::ExpiredForCause, |history| history.watches[0].end = End::Expired);
    let mut history = right();
    history.watches[0].end = End::Expired;
    history.compacted = 2;
    assert_eq!(check(&history), []);
}

#[test]
fn a_watcher_that_stands_still_is_found() {
    check_broken(Rule::WatchGoesOn, |history| drop(history.watches[0].told.pop()));
}

#[test]
fn a_strange_answer_is_found() {
    check_broken(Rule::NothingStrange, |history| history.calls[6].answer = Answer::Strange("200".to_owned()));
    check_broken(Rule::NothingStrange, |history| history.watches[0].end = End::Strange("ERROR".to_owned()));
}
