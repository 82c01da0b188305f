//! The registry over the store in memory, without a server: what a write and a read give.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Actions, Answer, Call, Input, Notice, NoticeKind, Parts, PatchKind, Registry, Written};
use crate::admission::{Context, ServiceAddresses};
use crate::api::request::{DeleteOptions, ListOptions, Target, User, WriteOptions};
use crate::api::{Object, Reason, Revision};
use crate::auth::{Attributes, Authorizer, Decision};
use crate::base::{Shutdown, SystemClock, Tasks};
use crate::remote::Remote;
use crate::resources::facts::Facts;
use crate::resources::{Catalog, Gates, RuntimeConfig, built_in};
use crate::storage::{self, Place, Retention};

struct Everybody;

impl Authorizer for Everybody {
    fn authorize<'a>(&'a self, _: &'a Attributes) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(Decision::Allow { reason: String::new() }))
    }
}

async fn registry() -> Registry {
    let clock = SystemClock::shared();
    let tasks = Tasks::new(Shutdown::default());
    let options = storage::Options {
        place: Place::Memory,
        indexes: Vec::new(),
        retention: Retention::MEMORY,
        clock: clock.clone(),
        tasks,
    };
    let store = storage::open(options).await.unwrap();
    let facts = Arc::new(Facts::load());
    let catalog = Arc::new(Catalog::new(built_in(&facts, &RuntimeConfig::default())));
    let addresses = ServiceAddresses { ranges: vec!["10.0.0.0/28".parse().unwrap()], node_ports: 30000..=30001 };
    let remote = Arc::new(Remote::new(store.clone(), clock.clone()));
    let authorizer = Arc::new(Everybody);
    Registry::new(Parts {
        catalog: catalog.clone(),
        plugins: vec![Arc::new(addresses)],
        admission: Context { store, clock, authorizer, catalog, remote, measures: Arc::default() },
        actions: Actions::new(Vec::new()),
        facts,
        gates: Gates::default(),
    })
}

fn call(registry: &Registry, path: &str) -> Call {
    let mut parts = path.split('/');
    let (group, version, resource) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let kind = registry.catalog().served().find(group, version, resource).unwrap().clone();
    let target = Target {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.to_owned(),
        namespace: if kind.namespaced { "default".to_owned() } else { String::new() },
        name: parts.next().unwrap_or("").to_owned(),
        subresource: parts.next().unwrap_or("").to_owned(),
    };
    Call::new(Arc::new(User::anonymous()), target, kind)
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: "test".to_owned(), ..WriteOptions::default() }
}

async fn create(registry: &Registry, path: &str, value: Value) -> crate::api::Result<Object> {
    let input = Input { value, ..Input::default() };
    tree(registry.create(&call(registry, path), input, &options()).await?)
}

async fn patch(registry: &Registry, path: &str, value: Value) -> crate::api::Result<Object> {
    let patch = Bytes::from(value.to_string());
    tree(registry.patch(&call(registry, path), PatchKind::Merge, patch, &options()).await?)
}

fn tree(written: Written) -> crate::api::Result<Object> {
    Ok(match written.answer {
        Answer::Stored(stored) => Object::from_json(&stored.body.json).unwrap(),
        Answer::Object(object) => object,
    })
}

fn config_map(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "data": { "a": "1" } })
}

#[tokio::test]
async fn a_created_object_has_what_the_server_gives_it() {
    let registry = registry().await;
    let object = create(&registry, "/v1/configmaps", config_map("a")).await.unwrap();
    assert_eq!(object.namespace(), "default");
    assert_eq!(object.text_at(&["kind"]), "ConfigMap");
    assert_eq!(object.resource_version(), "1");
    assert_eq!(object.uid().len(), 36);
    let owner = object.get(&["metadata", "managedFields"]).unwrap()[0].clone();
    assert_eq!((&owner["manager"], &owner["operation"]), (&json!("test"), &json!("Update")));
    assert_eq!(owner["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}}}));
    let error = create(&registry, "/v1/configmaps", config_map("a")).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (409, "configmaps \"a\" already exists"));
}

#[tokio::test]
async fn a_patch_that_changes_nothing_writes_nothing() {
    let registry = registry().await;
    create(&registry, "/v1/configmaps", config_map("a")).await.unwrap();
    let same = patch(&registry, "/v1/configmaps/a", json!({"data": {"a": "1"}})).await.unwrap();
    assert_eq!(same.resource_version(), "1");
    let changed = patch(&registry, "/v1/configmaps/a", json!({"data": {"a": "2"}})).await.unwrap();
    assert_eq!(changed.resource_version(), "2");
}

#[tokio::test]
async fn an_update_with_a_stale_revision_conflicts() {
    let registry = registry().await;
    let mut old = create(&registry, "/v1/configmaps", config_map("a")).await.unwrap();
    patch(&registry, "/v1/configmaps/a", json!({"data": {"a": "2"}})).await.unwrap();
    old.set(&["data", "a"], "3");
    let input = Input { value: old.into_value(), ..Input::default() };
    let error = registry.update(&call(&registry, "/v1/configmaps/a"), input, &options()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::Conflict);
    let expected = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your \
                    changes to the latest version and try again";
    assert_eq!(error.message(), expected);
}

#[tokio::test]
async fn a_finalizer_holds_a_deleted_object_until_it_is_taken_away() {
    let registry = registry().await;
    let mut value = config_map("a");
    value["metadata"]["finalizers"] = json!(["example.com/wait"]);
    create(&registry, "/v1/configmaps", value).await.unwrap();
    let at = call(&registry, "/v1/configmaps/a");
    let marked = tree(registry.delete(&at, &DeleteOptions::default()).await.unwrap()).unwrap();
    assert!(marked.deleting());
    assert!(registry.get(&at, None).await.is_ok());
    patch(&registry, "/v1/configmaps/a", json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(registry.get(&at, None).await.unwrap_err().code(), 404);
}

#[tokio::test]
async fn pages_of_a_list_belong_to_one_revision() {
    let registry = registry().await;
    for name in ["a", "b", "c"] {
        create(&registry, "/v1/configmaps", config_map(name)).await.unwrap();
    }
    let all = call(&registry, "/v1/configmaps");
    let first = registry.list(&all, &ListOptions { limit: 2, ..ListOptions::default() }).await.unwrap();
    assert_eq!((first.items.len(), first.remaining, first.revision), (2, Some(1), Revision(3)));
    let newest = ListOptions { limit: 1, ..ListOptions::default() };
    assert_eq!(registry.list(&all, &newest).await.unwrap().remaining, Some(2));
    create(&registry, "/v1/configmaps", config_map("d")).await.unwrap();
    let rest = ListOptions { limit: 2, continue_token: first.continue_token, ..ListOptions::default() };
    let second = registry.list(&all, &rest).await.unwrap();
    assert_eq!((second.items.len(), second.revision), (1, Revision(3)));
    assert!(second.continue_token.is_empty());
}

#[tokio::test]
async fn a_page_expires_with_its_history_also_while_it_is_asked_for() {
    let registry = registry().await;
    for name in ["a", "b", "c"] {
        create(&registry, "/v1/configmaps", config_map(name)).await.unwrap();
    }
    let all = call(&registry, "/v1/configmaps");
    let first = registry.list(&all, &ListOptions { limit: 2, ..ListOptions::default() }).await.unwrap();
    create(&registry, "/v1/configmaps", config_map("d")).await.unwrap();
    let rest = ListOptions { limit: 1, continue_token: first.continue_token, ..ListOptions::default() };
    assert_eq!(registry.list(&all, &rest).await.unwrap().revision, Revision(3));
    registry.store.compact_before(Revision(4)).await.unwrap();
    let expired = registry.list(&all, &rest).await.err().unwrap();
    assert_eq!(expired.code(), 410);
}

#[tokio::test]
async fn a_watcher_with_a_selector_sees_objects_enter_and_leave() {
    let registry = registry().await;
    let mut value = config_map("a");
    value["metadata"]["labels"] = json!({"app": "x"});
    create(&registry, "/v1/configmaps", value).await.unwrap();
    let watch = ListOptions { label_selector: "app=x".to_owned(), ..ListOptions::default() };
    let mut watching = registry.watch(&call(&registry, "/v1/configmaps"), &watch).await.unwrap();
    let mut seen = kinds(watching.next().await.unwrap());
    patch(&registry, "/v1/configmaps/a", json!({"metadata": {"labels": {"app": "y"}}})).await.unwrap();
    seen.extend(kinds(watching.next().await.unwrap()));
    patch(&registry, "/v1/configmaps/a", json!({"metadata": {"labels": {"app": "x"}}})).await.unwrap();
    seen.extend(kinds(watching.next().await.unwrap()));
    let expected = [(NoticeKind::Added, 1), (NoticeKind::Deleted, 2), (NoticeKind::Added, 3)];
    assert_eq!(seen, expected.map(|(kind, revision)| (kind, Revision(revision))));
}

fn kinds(notices: Vec<Notice>) -> Vec<(NoticeKind, Revision)> {
    let kind = |notice| match notice {
        Notice::Change { kind, object, .. } => (kind, object.revision),
        Notice::Bookmark { .. } | Notice::Failed(_) => panic!("only changes are expected"),
    };
    notices.into_iter().map(kind).collect()
}

#[tokio::test]
async fn a_service_gives_its_address_and_ports_back() {
    let registry = registry().await;
    let service = |name: &str| {
        json!({ "metadata": { "name": name }, "spec": { "type": "NodePort", "clusterIP": "10.0.0.5",
            "ports": [{ "port": 80 }], "selector": { "a": "b" } } })
    };
    let first = create(&registry, "/v1/services", service("a")).await.unwrap();
    assert_eq!(first.get(&["spec", "clusterIPs"]), Some(&json!(["10.0.0.5"])));
    let port = first.get(&["spec", "ports"]).unwrap()[0]["nodePort"].as_u64().unwrap();
    assert!((30000..=30001).contains(&port));
    let error = create(&registry, "/v1/services", service("b")).await.unwrap_err();
    assert_eq!(error.code(), 422);
    assert!(error.message().ends_with("failed to allocate IP 10.0.0.5: provided IP is already allocated"), "{error}");
    assert!(registry.get(&call(&registry, "networking.k8s.io/v1/ipaddresses/10.0.0.5"), None).await.is_ok());
    registry.delete(&call(&registry, "/v1/services/a"), &DeleteOptions::default()).await.unwrap();
    create(&registry, "/v1/services", service("b")).await.unwrap();
}

#[tokio::test]
async fn writers_of_services_at_once_never_share_an_address() {
    let registry = Arc::new(registry().await);
    let service =
        |index: usize| json!({ "metadata": { "name": format!("s{index}") }, "spec": { "ports": [{ "port": 80 }] } });
    let all = futures::future::join_all((0..13).map(|index| create(&registry, "/v1/services", service(index)))).await;
    let mut addresses: Vec<String> =
        all.into_iter().map(|o| o.unwrap().text_at(&["spec", "clusterIP"]).to_owned()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 13);
}

#[tokio::test]
async fn scale_reads_and_writes_replicas() {
    let registry = registry().await;
    let deployment = json!({ "metadata": { "name": "web" }, "spec": { "replicas": 2,
        "selector": { "matchLabels": { "app": "web" } },
        "template": { "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "c", "image": "nginx" }] } } } });
    create(&registry, "apps/v1/deployments", deployment).await.unwrap();
    let scaled = patch(&registry, "apps/v1/deployments/web/scale", json!({"spec": {"replicas": 5}})).await.unwrap();
    assert_eq!(scaled.text_at(&["kind"]), "Scale");
    assert_eq!(scaled.int_at(&["spec", "replicas"]), Some(5));
    assert_eq!(scaled.text_at(&["status", "selector"]), "app=web");
    let whole = tree(Written {
        answer: registry.get(&call(&registry, "apps/v1/deployments/web"), None).await.unwrap(),
        created: false,
    });
    let whole = whole.unwrap();
    assert_eq!((whole.int_at(&["spec", "replicas"]), whole.generation()), (Some(5), 2));
}

#[tokio::test]
async fn an_event_is_selected_by_the_names_of_either_group() {
    let registry = registry().await;
    let event = json!({ "metadata": { "name": "e" }, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "a",
        "reason": "r", "reportingController": "c", "reportingInstance": "i", "type": "Normal",
        "regarding": { "kind": "Pod", "name": "p", "namespace": "default" } });
    create(&registry, "events.k8s.io/v1/events", event).await.unwrap();
    for (path, selector) in [
        ("/v1/events", "involvedObject.name=p,reportingComponent=c"),
        ("events.k8s.io/v1/events", "regarding.name=p,reportingController=c"),
    ] {
        let options = ListOptions { field_selector: selector.to_owned(), ..ListOptions::default() };
        let found = registry.list(&call(&registry, path), &options).await.unwrap();
        assert_eq!(found.items.len(), 1, "{selector}");
    }
}

fn definition(schema: &Value) -> Value {
    json!({ "metadata": { "name": "foos.g.io" }, "spec": { "group": "g.io", "scope": "Namespaced",
        "names": { "plural": "foos", "kind": "Foo" },
        "versions": [
            { "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
              "subresources": { "status": {} }, "selectableFields": [{ "jsonPath": ".spec.a" }] },
            { "name": "v2", "served": true, "storage": false,
              "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] } })
}

fn foo_schema() -> Value {
    json!({ "type": "object", "properties": {
        "spec": { "type": "object", "properties": { "a": { "type": "string" }, "n": { "type": "integer", "maximum": 5 } } },
        "status": { "type": "object", "properties": { "phase": { "type": "string" } } } } })
}

/// A registry that serves what its definitions define.
async fn with_definitions(schema: &Value) -> Arc<Registry> {
    let registry = Arc::new(registry().await);
    let tasks = Tasks::new(Shutdown::default());
    tasks.spawn("definitions", super::Definitions::load(registry.clone()).run());
    let path = "apiextensions.k8s.io/v1/customresourcedefinitions";
    create(&registry, path, definition(schema)).await.unwrap();
    served(&registry, |registry| registry.catalog().served().find("g.io", "v1", "foos").is_some()).await;
    registry
}

/// Waits until what is served is as asked.
async fn served(registry: &Registry, is: impl Fn(&Registry) -> bool) {
    let mut changes = registry.catalog().changes();
    while !is(registry) {
        changes.changed().await.unwrap();
    }
}

fn foo(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "g.io/v1", "kind": "Foo", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn a_custom_resource_lives_by_its_schema() {
    let registry = with_definitions(&foo_schema()).await;
    let made = create(&registry, "g.io/v1/foos", foo("a", json!({"a": "x", "odd": 1}))).await.unwrap();
    assert_eq!(made.get(&["spec"]), Some(&json!({"a": "x"})));
    assert_eq!(made.generation(), 1);
    let error = create(&registry, "g.io/v1/foos", foo("b", json!({"n": 6}))).await.unwrap_err();
    assert_eq!(
        error.message(),
        "Foo.g.io \"b\" is invalid: spec.n: Invalid value: 6: spec.n in body should be less than or equal to 5"
    );
    let patched =
        patch(&registry, "g.io/v1/foos/a/status", json!({"status": {"phase": "Up"}, "spec": {"a": "y"}})).await;
    let patched = patched.unwrap();
    assert_eq!(patched.text_at(&["status", "phase"]), "Up");
    assert_eq!((patched.text_at(&["spec", "a"]), patched.generation()), ("x", 1));
    let changed = patch(&registry, "g.io/v1/foos/a", json!({"spec": {"a": "y"}})).await.unwrap();
    assert_eq!(changed.generation(), 2);
    let options = ListOptions { field_selector: "spec.a=y".to_owned(), ..ListOptions::default() };
    assert_eq!(registry.list(&call(&registry, "g.io/v1/foos"), &options).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn an_object_is_read_in_every_served_version() {
    let registry = with_definitions(&foo_schema()).await;
    create(
        &registry,
        "g.io/v2/foos",
        json!({ "apiVersion": "g.io/v2", "kind": "Foo", "metadata": { "name": "a" },
        "spec": { "a": "x", "only": "v2" } }),
    )
    .await
    .unwrap();
    let read = |version: &str| {
        let call = call(&registry, &format!("g.io/{version}/foos/a"));
        let stored = registry.find(&call).unwrap();
        registry.serve(&call.kind, &stored).unwrap()
    };
    assert_eq!((read("v1").text_at(&["apiVersion"]), read("v2").text_at(&["apiVersion"])), ("g.io/v1", "g.io/v2"));
    // The version in which it is stored does not have the field.
    assert_eq!(read("v2").get(&["spec"]), Some(&json!({"a": "x"})));
}

#[tokio::test]
async fn a_new_default_shows_in_what_was_stored_before() {
    let registry = with_definitions(&foo_schema()).await;
    create(&registry, "g.io/v1/foos", foo("a", json!({}))).await.unwrap();
    let before = registry.catalog().served().find("g.io", "v1", "foos").unwrap().clone();
    let mut schema = foo_schema();
    schema["properties"]["spec"]["properties"]["a"]["default"] = json!("given");
    let versions = definition(&schema)["spec"]["versions"].clone();
    let path = "apiextensions.k8s.io/v1/customresourcedefinitions/foos.g.io";
    patch(&registry, path, json!({ "spec": { "versions": versions } })).await.unwrap();
    served(&registry, |registry| {
        let served = registry.catalog().served();
        served.find("g.io", "v1", "foos").is_some_and(|kind| !Arc::ptr_eq(kind, &before))
    })
    .await;
    let call = call(&registry, "g.io/v1/foos/a");
    let stored = registry.find(&call).unwrap();
    assert!(!Registry::served_as_stored(&call.kind, &stored));
    assert_eq!(registry.serve(&call.kind, &stored).unwrap().text_at(&["spec", "a"]), "given");
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_with_it() {
    let registry = with_definitions(&foo_schema()).await;
    create(&registry, "g.io/v1/foos", foo("a", json!({}))).await.unwrap();
    let kind = registry.catalog().served().find("g.io", "v1", "foos").unwrap().clone();
    let call = call(&registry, "apiextensions.k8s.io/v1/customresourcedefinitions/foos.g.io");
    registry.delete(&call, &DeleteOptions::default()).await.unwrap();
    served(&registry, |registry| registry.catalog().served().find("g.io", "v1", "foos").is_none()).await;
    assert_eq!(registry.store().snapshot().list(&kind.collection, None, None).count(), 0);
    assert!(registry.find(&call).is_err());
}

#[tokio::test]
async fn of_definitions_that_come_together_one_gets_a_kind_and_the_next_when_that_one_goes() {
    let registry = with_definitions(&foo_schema()).await;
    let path = "apiextensions.k8s.io/v1/customresourcedefinitions";
    for plural in ["bars", "bazes", "beans"] {
        let mut rival = definition(&foo_schema());
        rival["metadata"]["name"] = json!(format!("{plural}.g.io"));
        rival["spec"]["names"] = json!({ "plural": plural, "kind": "Bar" });
        create(&registry, path, rival).await.unwrap();
    }
    let winners = |registry: &Registry| {
        let served = registry.catalog().served();
        let plurals = served.of_group("g.io").map(|kind| kind.resource.to_string());
        plurals.filter(|plural| plural.starts_with('b')).collect::<std::collections::BTreeSet<_>>()
    };
    served(&registry, |registry| !winners(registry).is_empty()).await;
    let first = winners(&registry);
    let call = call(&registry, &format!("{path}/{}.g.io", first.first().unwrap()));
    registry.delete(&call, &DeleteOptions::default()).await.unwrap();
    served(&registry, |registry| winners(registry).iter().any(|plural| !first.contains(plural))).await;
    assert_eq!((first.len(), winners(&registry).len()), (1, 1));
}

#[tokio::test]
async fn rules_of_a_schema_refuse_what_they_forbid() {
    let mut schema = foo_schema();
    schema["properties"]["spec"]["x-kubernetes-validations"] = json!([
        { "rule": "self.n < 4", "message": "too many" },
        { "rule": "self.n >= oldSelf.n", "messageExpression": "'not ' + 'less'", "fieldPath": ".n" }]);
    let registry = with_definitions(&schema).await;
    let error = create(&registry, "g.io/v1/foos", foo("a", json!({"n": 5}))).await.unwrap_err();
    assert_eq!(error.message(), "Foo.g.io \"a\" is invalid: spec: Invalid value: too many");
    create(&registry, "g.io/v1/foos", foo("a", json!({"n": 2}))).await.unwrap();
    let error = patch(&registry, "g.io/v1/foos/a", json!({"spec": {"n": 1}})).await.unwrap_err();
    assert_eq!(error.message(), "Foo.g.io \"a\" is invalid: spec.n: Invalid value: not less");
    patch(&registry, "g.io/v1/foos/a", json!({"spec": {"n": 3}})).await.unwrap();
}

#[tokio::test]
async fn a_definition_with_an_expression_that_is_none_is_refused() {
    let registry = registry().await;
    let mut schema = foo_schema();
    schema["properties"]["spec"]["x-kubernetes-validations"] = json!([{ "rule": "self.none == 1" }]);
    let path = "apiextensions.k8s.io/v1/customresourcedefinitions";
    let error = create(&registry, path, definition(&schema)).await.unwrap_err();
    assert!(error.message().contains("undefined field 'none'"), "{}", error.message());
}
