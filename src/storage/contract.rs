//! What every store must do. Each test runs for each backend; a new backend is a row of `Backend` and a module at the
//! end of `for_each_backend`.

use std::future::Future;
use std::pin::pin;

use futures::FutureExt;

use super::fixture::{Backend, Bench, content, create, delete, eventually, key, names, put, take};
use super::*;

fn pair(name: &str, value: &str) -> (Arc<str>, Arc<str>) {
    (name.into(), value.into())
}

/// Facts of a pod: label `app`, node, phase and owner all say `value`.
fn facts(value: &str) -> Facts {
    Facts {
        uid: "u".into(),
        labels: [pair("app", value), pair("tier", "front")].into(),
        fields: [pair("spec.nodeName", value), pair("status.phase", value)].into(),
        owners: [Arc::from(value)].into(),
        deleting: false,
    }
}

fn revisions(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.revision.0).collect()
}

#[track_caller]
fn check_pending(future: impl Future) {
    assert!(pin!(future).now_or_never().is_none(), "it has an answer already");
}

/// One test for each behaviour and backend.
macro_rules! for_each_backend {
    ($($name:ident),* $(,)?) => {
        for_each_backend!(@ on_memory Memory $($name)*);
        for_each_backend!(@ on_sqlite Sqlite $($name)*);
    };
    (@ $module:ident $kind:ident $($name:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::storage::fixture::Bench::new(crate::storage::fixture::Backend::$kind).await).await; })*
        }
    };
}

for_each_backend! {
    revisions_are_consecutive_and_stand_in_the_body,
    a_create_of_a_present_key_conflicts_and_shows_it,
    a_write_at_a_stale_revision_conflicts_and_shows_the_new_state,
    a_write_of_an_absent_key_conflicts_and_shows_nothing,
    a_commit_sees_its_own_earlier_writes,
    a_write_that_makes_no_sense_is_malformed,
    of_64_concurrent_updates_of_one_state_exactly_one_wins,
    a_snapshot_never_changes,
    a_list_is_in_the_byte_order_of_namespace_and_name,
    a_list_continues_after_a_name,
    indexes_follow_updates_and_deletes,
    a_field_without_an_index_is_found_too,
    a_watch_sees_all_events_in_order,
    a_watch_shows_what_was_before,
    a_watch_from_an_old_revision_goes_on_live_without_gap_or_duplicate,
    a_watch_that_fell_out_of_the_ring_reads_on_from_the_log,
    a_narrow_watch_sees_its_scope_only,
    a_narrow_watch_makes_progress_while_others_change,
    a_narrow_watch_from_an_old_revision_sees_its_scope_only,
    a_dropped_wait_for_events_loses_none,
    all_watchers_see_the_same_events,
    a_watch_or_state_of_the_future_is_refused,
    every_past_state_is_what_it_was,
    what_is_compacted_is_refused_and_the_rest_is_not,
    a_past_state_survives_compaction_to_it,
    a_watch_that_is_overtaken_by_compaction_is_ended,
    readers_of_the_past_see_the_truth_or_that_it_was_compacted,
    a_kept_snapshot_is_found_again,
    an_idle_watcher_is_small,
    history_is_forgotten_when_it_is_old_enough,
    a_watch_goes_on_from_recent_events_when_history_is_too_old,
    a_revision_is_reached_when_it_is_visible,
    a_closed_store_refuses_and_ends_its_watches,
    counts_are_those_of_the_present,
}

async fn revisions_are_consecutive_and_stand_in_the_body(bench: Bench) {
    let first = bench.create("pods/default/a").await;
    let second = bench.update(&first).await;
    let third = bench.delete(&second).await;
    assert_eq!([first.revision.0, second.revision.0, third.revision.0], [1, 2, 3]);
    for object in [first, second, third] {
        let json: serde_json::Value = serde_json::from_slice(&object.body.json).unwrap();
        assert_eq!(json["metadata"]["resourceVersion"], object.revision.to_string());
        let digits = &object.body.json[object.body.revision_at.clone()];
        assert_eq!(digits, object.revision.to_string().as_bytes());
    }
    assert_eq!(bench.store.revision(), Revision(3));
}

async fn a_create_of_a_present_key_conflicts_and_shows_it(bench: Bench) {
    let there = bench.create("pods/default/a").await;
    let error = bench.store.commit(vec![create("pods/default/b"), create("pods/default/a")]).await.unwrap_err();
    let Error::Conflict { index: 1, present: Some(present) } = error else { panic!("{error:?}") };
    assert!(Arc::ptr_eq(&present, &there));
    assert_eq!(names(bench.store.snapshot().list("pods", None, None)), ["default/a"]);
    assert_eq!(bench.create("pods/default/b").await.revision, Revision(2));
}

async fn a_write_at_a_stale_revision_conflicts_and_shows_the_new_state(bench: Bench) {
    let first = bench.create("pods/default/a").await;
    let second = bench.update(&first).await;
    for write in [put(first.key.clone(), Expect::At(first.revision), Facts::default()), delete(&first)] {
        let error = bench.store.commit(vec![write]).await.unwrap_err();
        let Error::Conflict { index: 0, present: Some(present) } = error else { panic!("{error:?}") };
        assert!(Arc::ptr_eq(&present, &second));
    }
}

async fn a_write_of_an_absent_key_conflicts_and_shows_nothing(bench: Bench) {
    let gone = bench.create("pods/default/a").await;
    bench.delete(&gone).await;
    let error = bench.store.commit(vec![delete(&gone)]).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { index: 0, present: None }), "{error:?}");
}

async fn a_commit_sees_its_own_earlier_writes(bench: Bench) {
    let there = bench.create("pods/default/a").await;
    let stored = bench.store.commit(vec![delete(&there), create("pods/default/a")]).await.unwrap();
    assert_eq!([stored[0].revision.0, stored[1].revision.0], [2, 3]);
    let error = bench.store.commit(vec![create("pods/default/b"), create("pods/default/b")]).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { index: 1, present: Some(_) }), "{error:?}");
    assert_eq!(names(bench.store.snapshot().list("pods", None, None)), ["default/a"]);
}

async fn a_write_that_makes_no_sense_is_malformed(bench: Bench) {
    let mut outside = create("pods/default/a");
    if let Change::Put { body, .. } = &mut outside.change {
        body.revision_at = 1000..1001;
    }
    let delete_of_nothing = Write { change: Change::Delete, ..create("pods/default/a") };
    for write in [outside, delete_of_nothing] {
        let error = bench.store.commit(vec![write]).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { index: 0, .. }), "{error:?}");
    }
    assert_eq!(bench.store.revision(), Revision(0));
    assert!(bench.store.commit(vec![]).await.unwrap().is_empty());
}

async fn of_64_concurrent_updates_of_one_state_exactly_one_wins(bench: Bench) {
    let mut state = bench.create("pods/default/a").await;
    for _round in 0..8 {
        let write = || put(state.key.clone(), Expect::At(state.revision), Facts::default());
        let results = futures::future::join_all((0..64).map(|_| bench.store.commit(vec![write()]))).await;
        let mut won: Vec<_> = results.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        state = won.remove(0).remove(0);
    }
    assert_eq!(bench.store.revision(), Revision(9));
}

async fn a_snapshot_never_changes(bench: Bench) {
    let first = bench.create("pods/default/a").await;
    let before = bench.store.snapshot();
    bench.update(&first).await;
    bench.create("pods/default/b").await;
    assert_eq!(before.revision(), Revision(1));
    assert_eq!(names(before.list("pods", None, None)), ["default/a"]);
    assert_eq!(before.get(&first.key).unwrap().revision, Revision(1));
    assert_eq!(before.count("pods"), 1);
    assert_eq!(bench.store.snapshot().count("pods"), 2);
}

async fn a_list_is_in_the_byte_order_of_namespace_and_name(bench: Bench) {
    for path in ["pods/b/a", "pods/a-b/z", "pods/a/b", "pods/a/a-b", "pods/a/a", "pods//z", "nodes//a"] {
        bench.create(path).await;
    }
    let snapshot = bench.store.snapshot();
    assert_eq!(names(snapshot.list("pods", None, None)), ["/z", "a/a", "a/a-b", "a/b", "a-b/z", "b/a"]);
    assert_eq!(names(snapshot.list("pods", Some("a"), None)), ["a/a", "a/a-b", "a/b"]);
    assert_eq!(names(snapshot.list("pods", Some("c"), None)), [""; 0]);
    assert_eq!(names(snapshot.list("events", None, None)), [""; 0]);
    assert_eq!(names(snapshot.in_namespace("a")), ["a/a", "a/a-b", "a/b"]);
}

async fn a_list_continues_after_a_name(bench: Bench) {
    for path in ["pods/a/a", "pods/a/c", "pods/b/a"] {
        bench.create(path).await;
    }
    let snapshot = bench.store.snapshot();
    assert_eq!(names(snapshot.list("pods", None, Some(("a", "a")))), ["a/c", "b/a"]);
    assert_eq!(names(snapshot.list("pods", None, Some(("a", "b")))), ["a/c", "b/a"]);
    assert_eq!(names(snapshot.list("pods", Some("a"), Some(("a", "b")))), ["a/c"]);
    assert_eq!(names(snapshot.list("pods", Some("b"), Some(("a", "b")))), ["b/a"]);
    assert_eq!(names(snapshot.list("pods", Some("a"), Some(("a", "c")))), [""; 0]);
}

fn found(snapshot: &Snapshot, value: &str) -> [Vec<String>; 3] {
    [
        names(snapshot.by_label("pods", ("app", value))),
        names(snapshot.by_field("pods", ("spec.nodeName", value))),
        names(snapshot.owned_by(value)),
    ]
}

async fn indexes_follow_updates_and_deletes(bench: Bench) {
    let write = |path: &str, expect, value| put(key(path), expect, facts(value));
    let b = bench.one(write("pods/x/b", Expect::Absent, "one")).await;
    let a = bench.one(write("pods/x/a", Expect::Absent, "one")).await;
    bench.one(write("pods/x/c", Expect::Absent, "on")).await;
    let before = bench.store.snapshot();
    let both = vec!["x/a".to_owned(), "x/b".to_owned()];
    assert_eq!(found(&before, "one"), [both.clone(), both.clone(), both.clone()]);

    bench.one(write("pods/x/a", Expect::At(a.revision), "two")).await;
    bench.delete(&b).await;
    bench.one(write("replicasets/x/r", Expect::Absent, "two")).await;
    let after = bench.store.snapshot();
    let a = vec!["x/a".to_owned()];
    assert!(found(&after, "one").iter().all(Vec::is_empty));
    assert_eq!(found(&after, "two"), [a.clone(), a, vec!["x/a".to_owned(), "x/r".to_owned()]]);
    assert_eq!(found(&before, "one"), [both.clone(), both.clone(), both]);
    assert_eq!(names(after.by_label("pods", ("tier", "front"))), ["x/a", "x/c"]);
}

async fn a_field_without_an_index_is_found_too(bench: Bench) {
    bench.one(put(key("pods/x/a"), Expect::Absent, facts("one"))).await;
    bench.one(put(key("pods/x/b"), Expect::Absent, facts("two"))).await;
    assert_eq!(names(bench.store.snapshot().by_field("pods", ("status.phase", "two"))), ["x/b"]);
}

async fn a_watch_sees_all_events_in_order(bench: Bench) {
    let mut watch = bench.watch(0, Scope::All).unwrap();
    let first = bench.create("pods/default/a").await;
    let second = bench.update(&first).await;
    bench.delete(&second).await;
    bench.create("secrets/default/a").await;
    let seen = take(&mut watch, 3).await;
    let kinds: Vec<_> = seen.iter().map(|event| (event.kind, event.revision.0)).collect();
    assert_eq!(kinds, [(EventKind::Created, 1), (EventKind::Updated, 2), (EventKind::Deleted, 3)]);
    assert_eq!(watch.progress(), Revision(4));
    check_pending(watch.next_batch());
}

async fn a_watch_shows_what_was_before(mut bench: Bench) {
    let first = bench.create("pods/default/a").await;
    let second = bench.update(&first).await;
    let third = bench.delete(&second).await;
    if bench.kind == Backend::Sqlite {
        // From the log, not from recent events.
        bench.reopen().await;
    }
    let seen = take(&mut bench.watch(0, Scope::All).unwrap(), 3).await;
    let body = |object: &Arc<Stored>| (object.revision, object.body.clone());
    let seen: Vec<_> = seen.iter().map(|event| (event.previous.as_ref().map(body), body(&event.object))).collect();
    let expected = [(None, body(&first)), (Some(body(&first)), body(&second)), (Some(body(&second)), body(&third))];
    assert_eq!(seen, expected);
}

async fn a_watch_from_an_old_revision_goes_on_live_without_gap_or_duplicate(bench: Bench) {
    const WRITES: u64 = 2_000;
    let writer = async {
        for number in 0..WRITES {
            bench.create(&format!("pods/default/{number}")).await;
        }
    };
    let watcher = async {
        bench.store.reached(Revision(WRITES / 2)).await.unwrap();
        let mut watch = bench.watch(10, Scope::All).unwrap();
        revisions(&take(&mut watch, (WRITES - 10) as usize).await)
    };
    let ((), seen) = futures::join!(writer, watcher);
    assert_eq!(seen, (11..=WRITES).collect::<Vec<_>>());
}

/// More events than a collection keeps at hand.
async fn overflow(bench: &Bench) -> u64 {
    for part in 0..12 {
        let writes = (0..1000).map(|number| create(&format!("pods/default/{part}-{number}"))).collect();
        bench.store.commit(writes).await.unwrap();
    }
    bench.store.revision().0
}

async fn a_watch_that_fell_out_of_the_ring_reads_on_from_the_log(bench: Bench) {
    let mut slow = bench.watch(0, Scope::All).unwrap();
    bench.create("pods/default/a").await;
    assert_eq!(revisions(&take(&mut slow, 1).await), [1]);
    let last = overflow(&bench).await;
    let seen = take(&mut slow, (last - 1) as usize).await;
    assert_eq!(revisions(&seen), (2..=last).collect::<Vec<_>>());
    let there = bench.create("pods/default/b").await;
    assert_eq!(revisions(&slow.next_batch().await.unwrap()), [there.revision.0]);
}

fn scopes() -> [(Scope, Vec<u64>); 4] {
    let object = Scope::Object { namespace: "x".into(), name: "a".into() };
    let field = Scope::Field { field: "spec.nodeName".into(), value: "one".into() };
    // See `scene` for which events these are.
    let namespace = Scope::Namespace("x".into());
    [(Scope::All, vec![1, 2, 3, 4, 5]), (namespace, vec![1, 3, 5]), (object, vec![1, 3, 5]), (field, vec![1, 2, 3])]
}

/// 1: x/a created on one, 2: y/a created on one, 3: x/a goes to two, 4: y/b created, 5: x/a deleted; 6: other type.
async fn scene(bench: &Bench) {
    let a = bench.one(put(key("pods/x/a"), Expect::Absent, facts("one"))).await;
    bench.one(put(key("pods/y/a"), Expect::Absent, facts("one"))).await;
    let a = bench.one(put(a.key.clone(), Expect::At(a.revision), facts("two"))).await;
    bench.create("pods/y/b").await;
    bench.delete(&a).await;
    bench.create("nodes/x/a").await;
}

async fn a_narrow_watch_sees_its_scope_only(bench: Bench) {
    let watches: Vec<_> = scopes().into_iter().map(|(scope, seen)| (bench.watch(0, scope).unwrap(), seen)).collect();
    scene(&bench).await;
    for (mut watch, expected) in watches {
        assert_eq!(revisions(&take(&mut watch, expected.len()).await), expected);
        check_pending(watch.next_batch());
    }
}

async fn a_narrow_watch_from_an_old_revision_sees_its_scope_only(mut bench: Bench) {
    scene(&bench).await;
    if bench.kind == Backend::Sqlite {
        bench.reopen().await;
    }
    for (scope, expected) in scopes() {
        let mut watch = bench.watch(0, scope).unwrap();
        assert_eq!(revisions(&take(&mut watch, expected.len()).await), expected);
        assert!(tokio::time::timeout(Duration::from_millis(1), watch.next_batch()).await.is_err());
    }
}

async fn a_narrow_watch_makes_progress_while_others_change(bench: Bench) {
    let mut watch = bench.watch(0, Scope::Object { namespace: "x".into(), name: "a".into() }).unwrap();
    check_pending(watch.next_batch());
    let last = overflow(&bench).await;
    assert_eq!(watch.progress(), Revision(last));
    let there = bench.create("pods/x/a").await;
    assert!(watch.progress() < there.revision);
    assert_eq!(revisions(&watch.next_batch().await.unwrap()), [there.revision.0]);
    assert_eq!(watch.progress(), there.revision);
}

async fn a_dropped_wait_for_events_loses_none(bench: Bench) {
    let mut watch = bench.watch(0, Scope::All).unwrap();
    for round in 1..=20 {
        check_pending(watch.next_batch());
        bench.create(&format!("pods/default/{round}")).await;
        assert_eq!(revisions(&watch.next_batch().await.unwrap()), [round]);
    }
}

async fn all_watchers_see_the_same_events(bench: Bench) {
    let mut watches: Vec<_> = (0..100).map(|_| bench.watch(0, Scope::All).unwrap()).collect();
    bench.create("pods/default/a").await;
    let mut seen = Vec::new();
    for watch in &mut watches {
        seen.push(watch.next_batch().await.unwrap().remove(0));
    }
    assert!(seen.iter().all(|event| Arc::ptr_eq(event, &seen[0])));
    seen[0].memos.keep(1, Bytes::from_static(b"once"));
    assert_eq!(seen[99].memos.get(1).unwrap(), "once");
}

async fn a_watch_or_state_of_the_future_is_refused(bench: Bench) {
    bench.create("pods/default/a").await;
    let is_future = |error| matches!(error, Error::Future { current: Revision(1) });
    assert!(is_future(bench.watch(2, Scope::All).err().unwrap()));
    assert!(is_future(bench.store.at(Revision(2)).await.unwrap_err()));
    assert!(is_future(bench.store.compact_before(Revision(2)).await.unwrap_err()));
}

/// Random writes; gives what the store was at each revision.
async fn churn(bench: &Bench) -> Vec<Snapshot> {
    let mut states = vec![bench.store.snapshot()];
    let mut random = 1_u64;
    for _ in 0..300 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = key(&format!("{}/x/{}", ["pods", "nodes"][(random >> 33) as usize % 2], (random >> 40) % 12));
        let value = ["one", "two"][(random >> 50) as usize % 2];
        let present = states[states.len() - 1].get(&key).cloned();
        bench.clock.advance(Duration::from_millis(10));
        match present {
            None => bench.one(put(key, Expect::Absent, facts(value))).await,
            Some(present) if (random >> 60).is_multiple_of(3) => bench.delete(&present).await,
            Some(present) => bench.one(put(key, Expect::At(present.revision), facts(value))).await,
        };
        states.push(bench.store.snapshot());
    }
    states
}

fn check_same(past: &Snapshot, state: &Snapshot) {
    assert_eq!(past.revision(), state.revision());
    assert_eq!(content(past), content(state));
    for value in ["one", "two"] {
        assert_eq!(found(past, value), found(state, value));
    }
}

async fn every_past_state_is_what_it_was(mut bench: Bench) {
    let states = churn(&bench).await;
    for _open in 0..2 {
        for state in &states {
            check_same(&bench.store.at(state.revision()).await.unwrap(), state);
        }
        if bench.kind == Backend::Sqlite {
            bench.reopen().await;
            check_same(&bench.store.snapshot(), states.last().unwrap());
        }
    }
}

async fn what_is_compacted_is_refused_and_the_rest_is_not(mut bench: Bench) {
    let states = churn(&bench).await;
    for oldest in [Revision(7), Revision(150), Revision(300)] {
        bench.store.compact_before(oldest).await.unwrap();
        for _open in 0..2 {
            assert_eq!(bench.store.compacted(), oldest);
            let before = Revision(oldest.0 - 1);
            let is_compacted = |error| matches!(error, Error::Compacted { oldest: found } if found == oldest);
            assert!(is_compacted(bench.store.at(before).await.unwrap_err()));
            assert!(is_compacted(bench.watch(before.0, Scope::All).err().unwrap()));
            assert!(is_compacted(bench.store.compact_before(before).await.unwrap_err()));
            for state in &states[oldest.0 as usize..] {
                check_same(&bench.store.at(state.revision()).await.unwrap(), state);
            }
            if bench.kind == Backend::Sqlite {
                bench.reopen().await;
            }
        }
    }
    let mut watch = bench.watch(300, Scope::All).unwrap();
    bench.create("pods/default/a").await;
    assert_eq!(revisions(&watch.next_batch().await.unwrap()), [301]);
}

async fn a_past_state_survives_compaction_to_it(bench: Bench) {
    let first = bench.create("pods/default/a").await;
    let past = bench.store.at(Revision(1)).await.unwrap();
    let second = bench.update(&first).await;
    bench.delete(&second).await;
    bench.store.compact_before(Revision(2)).await.unwrap();
    assert_eq!(content(&past)[&first.key].0, first.revision);
    assert_eq!(content(&bench.store.at(Revision(2)).await.unwrap())[&first.key].0, second.revision);
}

async fn a_watch_that_is_overtaken_by_compaction_is_ended(bench: Bench) {
    let mut slow = bench.watch(0, Scope::All).unwrap();
    let last = overflow(&bench).await;
    bench.store.compact_before(Revision(last)).await.unwrap();
    let error = slow.next_batch().await.unwrap_err();
    assert!(matches!(error, Error::Lagged), "{error:?}");
}

async fn readers_of_the_past_see_the_truth_or_that_it_was_compacted(bench: Bench) {
    const OBJECTS: usize = 20;
    let keys: Vec<_> = (0..OBJECTS).map(|number| key(&format!("pods/x/{number}"))).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    // Each round replaces or deletes and creates all objects at once, so that any whole state has all or none.
    let writer = async {
        for round in 0..200 {
            let present = bench.store.snapshot();
            let write = |key: &Key| match present.get(key) {
                Some(object) if round % 3 == 0 => delete(object),
                Some(object) => put(key.clone(), Expect::At(object.revision), Facts::default()),
                None => put(key.clone(), Expect::Absent, Facts::default()),
            };
            bench.store.commit(keys.iter().map(write).collect()).await.unwrap();
            if round % 4 == 3 {
                bench.store.compact_before(Revision(bench.store.revision().0 - 60)).await.unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let reader = |back: u64| {
        let (store, done) = (&bench.store, &done);
        async move {
            let mut read = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                tokio::task::yield_now().await;
                let revision = Revision((store.revision().0 / 20).saturating_sub(back) * 20);
                match store.at(revision).await {
                    Ok(past) => assert!([0, OBJECTS].contains(&past.count("pods")), "{revision}"),
                    Err(Error::Compacted { .. }) => continue,
                    Err(error) => panic!("{error}"),
                }
                let Ok(mut watch) = store.watch(&"pods".into(), revision, Scope::Namespace("x".into())) else {
                    continue;
                };
                match tokio::time::timeout(Duration::from_secs(20), watch.next_batch()).await {
                    Ok(Ok(batch)) => assert_eq!(batch[0].revision.0, revision.0 + 1),
                    Ok(Err(Error::Lagged)) | Err(_) => {}
                    Ok(Err(error)) => panic!("{error}"),
                }
                read += 1;
            }
            assert!(read > 0);
        }
    };
    futures::join!(writer, reader(1), reader(2), reader(3));
}

async fn a_kept_snapshot_is_found_again(bench: Bench) {
    let object = bench.create("pods/x/a").await;
    let kept = bench.store.snapshot();
    bench.store.keep(&kept);
    bench.update(&object).await;
    let found = bench.store.at(kept.revision()).await.unwrap();
    assert!(std::ptr::eq(found.get(&object.key).unwrap(), kept.get(&object.key).unwrap()));
}

async fn an_idle_watcher_is_small(bench: Bench) {
    let mut watch = bench.watch(0, Scope::All).unwrap();
    let size = size_of_val(&watch);
    assert!(size + size_of_val(&watch.next_batch()) < 1024, "{size}");
}

async fn history_is_forgotten_when_it_is_old_enough(bench: Bench) {
    let first = bench.create("pods/default/a").await;
    bench.clock.advance(Retention::FILE.age_max / 2);
    bench.update(&first).await;
    assert_eq!(bench.store.compacted(), Revision(0));
    // The clock turns on while the compactor works, so that it may find both due at once.
    for oldest in [1, 2] {
        bench.clock.advance(Retention::FILE.age_max / 2);
        let turned = || {
            bench.clock.advance(Duration::from_millis(100));
            bench.store.compacted() >= Revision(oldest)
        };
        eventually(turned).await;
    }
}

async fn a_watch_goes_on_from_recent_events_when_history_is_too_old(bench: Bench) {
    let first = bench.create("pods/default/a").await;
    bench.clock.advance(Duration::from_secs(2));
    let second = bench.update(&first).await;
    let turned = || {
        bench.clock.advance(Retention::FILE.age_max);
        bench.store.compacted() == Revision(2)
    };
    eventually(turned).await;
    assert!(matches!(bench.store.at(Revision(1)).await, Err(Error::Compacted { .. })));
    for (scope, after, expected) in [(Scope::All, 0, vec![1, 2]), (Scope::Namespace("default".into()), 1, vec![2])] {
        let mut watch = bench.watch(after, scope).unwrap();
        assert_eq!(revisions(&watch.next_batch().await.unwrap()), expected);
    }
    bench.store.compact_before(second.revision).await.unwrap();
    assert!(matches!(bench.watch(1, Scope::All).err().unwrap(), Error::Compacted { .. }));
}

async fn a_revision_is_reached_when_it_is_visible(bench: Bench) {
    bench.store.reached(Revision(0)).await.unwrap();
    let mut second = bench.store.reached(Revision(2));
    bench.create("pods/default/a").await;
    assert!((&mut second).now_or_never().is_none());
    bench.create("pods/default/b").await;
    second.await.unwrap();
}

async fn a_closed_store_refuses_and_ends_its_watches(bench: Bench) {
    let mut watch = bench.watch(0, Scope::All).unwrap();
    let waiting = bench.store.reached(Revision(9));
    let (ended, ()) = futures::join!(watch.next_batch(), bench.store.close());
    assert!(matches!(ended.unwrap_err(), Error::Closed));
    assert!(matches!(waiting.await.unwrap_err(), Error::Closed));
    assert!(matches!(bench.store.commit(vec![create("pods/default/a")]).await.unwrap_err(), Error::Closed));
    assert!(matches!(bench.watch(0, Scope::All).err().unwrap(), Error::Closed));
}

async fn counts_are_those_of_the_present(bench: Bench) {
    let a = bench.create("pods/default/a").await;
    let b = bench.create("pods/default/b").await;
    bench.delete(&a).await;
    let counts = |snapshot: &Snapshot| ["default", "x"].map(|namespace| snapshot.count_in("pods", namespace));
    assert_eq!(counts(&bench.store.snapshot()), [1, 0]);
    assert_eq!(counts(&bench.store.at(b.revision).await.unwrap()), [2, 0]);
    let watch = bench.watch(0, Scope::Namespace("x".into())).unwrap();
    let _other = bench.watch(0, Scope::All).unwrap();
    let stats = bench.store.stats();
    assert_eq!((stats.revision, stats.compacted), (Revision(3), Revision(0)));
    assert!(stats.log_bytes > 0);
    let pods = &stats.collections[0];
    assert_eq!((pods.objects, pods.bytes, pods.watchers), (1, b.body.json.len() as u64, 2));
    drop(watch);
    assert_eq!(bench.store.stats().collections[0].watchers, 1);
}
