//! A store under test, and small writes for it.

use std::collections::BTreeMap;

use super::*;
use crate::base::{ManualClock, Shutdown};

/// A store under test with what it lives from.
pub(super) struct Bench {
    pub store: Arc<dyn Store>,
    pub clock: ManualClock,
    pub folder: tempfile::TempDir,
    pub kind: Backend,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Backend {
    Memory,
    Sqlite,
}

impl Bench {
    pub(super) async fn new(kind: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(jiff::Timestamp::from_second(1_000_000).unwrap());
        let store = open(options(kind, &folder.path().join("a.db"), &clock)).await.unwrap();
        Self { store, clock, folder, kind }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    /// Closes the store and opens it again.
    pub(super) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = open(options(self.kind, &self.path(), &self.clock)).await.unwrap();
    }

    pub(super) async fn one(&self, write: Write) -> Arc<Stored> {
        self.store.commit(vec![write]).await.unwrap().remove(0)
    }

    pub(super) async fn create(&self, path: &str) -> Arc<Stored> {
        self.one(create(path)).await
    }

    pub(super) async fn update(&self, before: &Arc<Stored>) -> Arc<Stored> {
        self.one(put(before.key.clone(), Expect::At(before.revision), Facts::default())).await
    }

    pub(super) async fn delete(&self, before: &Arc<Stored>) -> Arc<Stored> {
        self.one(delete(before)).await
    }

    pub(super) fn watch(&self, after: u64, scope: Scope) -> Result<Watch, Error> {
        self.store.watch(&"pods".into(), Revision(after), scope)
    }
}

pub(super) fn options(kind: Backend, path: &Path, clock: &ManualClock) -> Options {
    Options {
        place: match kind {
            Backend::Memory => Place::Memory,
            Backend::Sqlite => Place::File(path.to_owned()),
        },
        indexes: vec![Index { collection: "pods".into(), field: "spec.nodeName".into() }],
        retention: Retention::FILE,
        clock: Arc::new(clock.clone()),
        tasks: Tasks::new(Shutdown::default()),
    }
}

/// `pods/default/a`.
pub(super) fn key(path: &str) -> Key {
    let mut parts = path.split('/').map(Arc::from);
    let mut next = || parts.next().unwrap();
    Key { collection: next(), namespace: next(), name: next() }
}

pub(super) fn body(key: &Key) -> Body {
    let head = format!(r#"{{"metadata":{{"name":"{}","resourceVersion":""#, key.name);
    let at = head.len();
    Body { json: Bytes::from(head + r#""}}"#), revision_at: at..at }
}

pub(super) fn put(key: Key, expect: Expect, facts: Facts) -> Write {
    Write { change: Change::Put { body: body(&key), facts }, key, expect }
}

pub(super) fn create(path: &str) -> Write {
    put(key(path), Expect::Absent, Facts::default())
}

pub(super) fn delete(before: &Arc<Stored>) -> Write {
    Write { key: before.key.clone(), expect: Expect::At(before.revision), change: Change::Delete }
}

pub(super) fn names<'a>(objects: impl Iterator<Item = &'a Arc<Stored>>) -> Vec<String> {
    objects.map(|object| format!("{}/{}", object.key.namespace, object.key.name)).collect()
}

/// Everything of a snapshot: key, revision and body.
pub(super) fn content(snapshot: &Snapshot) -> BTreeMap<Key, (Revision, Body)> {
    let objects = snapshot.collections().flat_map(|collection| snapshot.list(collection, None, None));
    objects.map(|object| (object.key.clone(), (object.revision, object.body.clone()))).collect()
}

/// The next `count` events of a watch.
pub(super) async fn take(watch: &mut Watch, count: usize) -> Vec<Arc<Event>> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(watch.next_batch().await.unwrap());
    }
    seen
}

/// Waits until something is so.
pub(super) async fn eventually(condition: impl Fn() -> bool) {
    let limit = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    limit.await.expect("it never became so");
}
