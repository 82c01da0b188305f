//! A store in memory with given objects, for the tests of this folder and of admission.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::{Shutdown, SystemClock, Tasks};
use crate::storage::{Body, Change, Expect, Facts, Index, Key, Options, Place, Retention, Store, Write, open};

/// An empty store.
pub(crate) async fn empty_store() -> Arc<dyn Store> {
    let index = Index { collection: "pods".into(), field: "spec.nodeName".into() };
    let options = Options {
        place: Place::Memory,
        indexes: vec![index],
        retention: Retention::MEMORY,
        clock: SystemClock::shared(),
        tasks: Tasks::new(Shutdown::default()),
    };
    open(options).await.unwrap()
}

/// Creates or replaces an object. One without a uid gets `uid-NAME`.
pub(crate) async fn put(store: &Arc<dyn Store>, collection: &str, mut object: Value) {
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
    let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
    if text(&object, "/metadata/uid").is_empty() {
        object["metadata"]["uid"] = json!(format!("uid-{name}"));
    }
    object["metadata"]["resourceVersion"] = json!("");
    let text_of = object.to_string();
    let at = text_of.find(r#""resourceVersion":"""#).unwrap() + r#""resourceVersion":""#.len();
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let labels = labels.map(|(key, value)| (key.as_str().into(), value.as_str().unwrap_or("").into()));
    let facts = Facts {
        uid: text(&object, "/metadata/uid").as_str().into(),
        labels: labels.collect(),
        fields: [("spec.nodeName".into(), text(&object, "/spec/nodeName").into())].into(),
        deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
        ..Facts::default()
    };
    let key = Key { collection: collection.into(), namespace: namespace.into(), name: name.into() };
    let present = store.snapshot().get(&key).map(|stored| stored.revision);
    let body = Body { json: text_of.into(), revision_at: at..at };
    let expect = present.map_or(Expect::Absent, Expect::At);
    store.commit(vec![Write { key, expect, change: Change::Put { body, facts } }]).await.unwrap();
}

/// Removes an object.
pub(crate) async fn remove(store: &Arc<dyn Store>, collection: &str, (namespace, name): (&str, &str)) {
    let key = Key { collection: collection.into(), namespace: namespace.into(), name: name.into() };
    let revision = store.snapshot().get(&key).unwrap().revision;
    store.commit(vec![Write { key, expect: Expect::At(revision), change: Change::Delete }]).await.unwrap();
}
