//! What every store must do. Each test runs for each backend; a new backend adds a line to `backends!`.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::base::{ManualClock, Shutdown};

/// A store under test with what it lives from.
struct Bench {
    store: Arc<dyn Store>,
    clock: ManualClock,
    tasks: Tasks,
    folder: tempfile::TempDir,
    kind: Backend,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Backend {
    Memory,
}

impl Bench {
    async fn new(kind: Backend) -> Self {
        Self::with(kind, Retention::default()).await
    }

    async fn with(kind: Backend, retention: Retention) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::from_second(1_000_000).unwrap());
        let tasks = Tasks::new(Shutdown::default());
        let options = Options {
            place: match kind {
                Backend::Memory => Place::Memory,
            },
            indexes: vec![Index { collection: "pods".into(), field: "spec.nodeName".into() }],
            retention,
            clock: Arc::new(clock.clone()),
            tasks: tasks.clone(),
        };
        let store = open(options).await.unwrap();
        Self { store, clock, tasks, folder, kind }
    }

    async fn one(&self, write: Write) -> Arc<Stored> {
        self.store.commit(vec![write]).await.unwrap().remove(0)
    }

    async fn create(&self, path: &str) -> Arc<Stored> {
        self.one(create(path)).await
    }

    async fn update(&self, before: &Arc<Stored>) -> Arc<Stored> {
        self.one(put(before.key.clone(), Expect::At(before.revision), Facts::default())).await
    }

    async fn delete(&self, before: &Arc<Stored>) -> Arc<Stored> {
        self.one(delete(before)).await
    }
}

/// `pods/default/a`.
fn key(path: &str) -> Key {
    let mut parts = path.split('/').map(Arc::from);
    let mut next = || parts.next().unwrap();
    Key { collection: next(), namespace: next(), name: next() }
}

fn body(key: &Key) -> Body {
    let head = format!(r#"{{"metadata":{{"name":"{}","resourceVersion":""#, key.name);
    let at = head.len();
    Body { json: Bytes::from(head + r#""}}"#), revision_at: at..at }
}

fn put(key: Key, expect: Expect, facts: Facts) -> Write {
    Write { change: Change::Put { body: body(&key), facts }, key, expect }
}

fn create(path: &str) -> Write {
    put(key(path), Expect::Absent, Facts::default())
}

fn delete(before: &Arc<Stored>) -> Write {
    Write { key: before.key.clone(), expect: Expect::At(before.revision), change: Change::Delete }
}

fn names<'a>(objects: impl Iterator<Item = &'a Arc<Stored>>) -> Vec<String> {
    objects.map(|object| format!("{}/{}", object.key.namespace, object.key.name)).collect()
}

/// One test for each backend.
macro_rules! for_each_backend {
    ($($name:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Bench::new(super::Backend::Memory).await).await; })*
        }
    };
}

for_each_backend! {
    revisions_are_consecutive_and_stand_in_the_body,
    a_create_of_a_present_key_conflicts_and_shows_it,
    a_snapshot_never_changes,
    a_watch_sees_all_events_in_order,
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

async fn a_watch_sees_all_events_in_order(bench: Bench) {
    let mut watch = bench.store.watch(&"pods".into(), Revision(0), Scope::All).unwrap();
    let first = bench.create("pods/default/a").await;
    let second = bench.update(&first).await;
    bench.delete(&second).await;
    bench.create("secrets/default/a").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(watch.next_batch().await.unwrap());
    }
    let kinds: Vec<_> = seen.iter().map(|event| (event.kind, event.revision.0)).collect();
    assert_eq!(kinds, [(EventKind::Created, 1), (EventKind::Updated, 2), (EventKind::Deleted, 3)]);
    assert_eq!(watch.progress(), Revision(4));
}
