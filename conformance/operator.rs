//! An operator of kube-rs, its whole life: a definition with a schema, rules and two versions of its own, webhooks that
//! default and validate and that it serves itself, a controller with owned objects, status, events and a finalizer.
//! That of controller-runtime is `upstream/operator`.

use std::borrow::Cow;
use std::sync::Arc;

use coracle::app::{Config, Controllers};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event as CoreEvent;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event as Told, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kube_rs::{cluster_of, in_time};
use crate::server::eventually;
use crate::webhook::{self, Webhook};

const GROUP: &str = "shop.example.com";
const FINALIZER: &str = "shop.example.com/farewell";

/// What the operator is about: a shelf of so many boards.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shelf {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: ShelfSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ShelfStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ShelfSpec {
    size: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    colour: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    wood: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ShelfStatus {
    ready: i32,
    observed_generation: i64,
}

impl Shelf {
    fn new(name: &str, size: i32, colour: &str) -> Self {
        Self {
            api_version: format!("{GROUP}/v1"),
            kind: "Shelf".to_owned(),
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            spec: ShelfSpec { size, colour: colour.to_owned(), wood: String::new() },
            status: None,
        }
    }
}

impl Resource for Shelf {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Shelf".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "shelves".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn definition() -> CustomResourceDefinition {
    let spec = json!({
        "type": "object", "required": ["size"],
        "properties": {
            "size": { "type": "integer", "format": "int32", "minimum": 0, "maximum": 100 },
            "colour": { "type": "string" }, "wood": { "type": "string", "default": "oak" },
        },
        "x-kubernetes-validations": [
            { "rule": "!has(self.colour) || self.colour != 'black'", "message": "no shelf is black" },
            { "rule": "self.size >= oldSelf.size || oldSelf.size - self.size <= 2", "message": "it shrinks too fast" },
        ],
    });
    let status = json!({ "type": "object", "properties": {
        "ready": { "type": "integer", "format": "int32" }, "observedGeneration": { "type": "integer", "format": "int64" },
    } });
    let schema = json!({ "type": "object", "properties": { "spec": spec, "status": status } });
    let body = json!({
        "metadata": { "name": "shelves.shop.example.com" },
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": { "plural": "shelves", "singular": "shelf", "kind": "Shelf", "listKind": "ShelfList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": schema } }],
        },
    });
    serde_json::from_value(body).unwrap()
}

/// What the operator's webhooks say: shelves are green if nobody says otherwise, keep their colour, and are not deleted
/// while they are locked.
fn judge(path: &str, request: &Value) -> Value {
    let colour = |object: &Value| object["spec"]["colour"].clone();
    let refused = |why: &str| json!({ "allowed": false, "status": { "message": why } });
    match (path, request["operation"].as_str()) {
        ("default", _) if colour(&request["object"]).is_null() => {
            let patch = json!([{ "op": "add", "path": "/spec/colour", "value": "green" }]);
            webhook::patched(&patch)
        }
        ("validate", Some("UPDATE")) if colour(&request["object"]) != colour(&request["oldObject"]) => {
            refused("a shelf keeps its colour")
        }
        ("validate", Some("DELETE")) if !request["oldObject"]["metadata"]["annotations"]["locked"].is_null() => {
            refused("the shelf is locked")
        }
        _ => json!({ "allowed": true }),
    }
}

async fn hook(client: &Client, own: &Webhook) {
    let of = |path: &str, operations: &[&str]| {
        json!({ "metadata": { "name": "shelves" }, "webhooks": [{
            "name": format!("{path}.shop.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": { "url": format!("{}/{path}", own.url), "caBundle": own.bundle },
            "rules": [{ "apiGroups": [GROUP], "apiVersions": ["v1"], "operations": operations, "resources": ["shelves"] }],
        }] })
    };
    let defaulting: MutatingWebhookConfiguration =
        serde_json::from_value(of("default", &["CREATE", "UPDATE"])).unwrap();
    let validating: ValidatingWebhookConfiguration =
        serde_json::from_value(of("validate", &["CREATE", "UPDATE", "DELETE"])).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &defaulting).await.unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &validating).await.unwrap();
}

/// What the controller works with.
struct Work {
    client: Client,
    recorder: Recorder,
}

impl Work {
    async fn fill(&self, shelf: &Shelf) -> Result<Action, kube::Error> {
        let maps: Api<ConfigMap> = Api::default_namespaced(self.client.clone());
        let (name, owner) = (shelf.name_any(), shelf.controller_owner_ref(&()).unwrap());
        let apply = PatchParams::apply("shelves").force();
        for number in 0..shelf.spec.size {
            let board = format!("{name}-{number}");
            let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "colour": shelf.spec.colour },
                "metadata": { "name": board, "labels": { "shelf": name }, "ownerReferences": [owner] } });
            maps.patch(&board, &apply, &Patch::Apply(body)).await?;
        }
        for board in maps.list(&ListParams::default().labels(&format!("shelf={name}"))).await? {
            let number = board.name_any().rsplit_once('-').and_then(|(_, number)| number.parse().ok());
            if number.is_some_and(|number: i32| number >= shelf.spec.size) {
                maps.delete(&board.name_any(), &DeleteParams::default()).await?;
            }
        }
        let shelves: Api<Shelf> = Api::default_namespaced(self.client.clone());
        let status =
            ShelfStatus { ready: shelf.spec.size, observed_generation: shelf.metadata.generation.unwrap_or(0) };
        let patch = Patch::Merge(json!({ "status": status }));
        shelves.patch_status(&name, &PatchParams::default(), &patch).await?;
        let told = Told {
            type_: EventType::Normal,
            reason: "Filled".to_owned(),
            note: Some(format!("with {} boards", shelf.spec.size)),
            action: "Fill".to_owned(),
            secondary: None,
        };
        self.recorder.publish(&told, &shelf.object_ref(&())).await?;
        Ok(Action::await_change())
    }

    async fn say_farewell(&self, shelf: &Shelf) -> Result<Action, kube::Error> {
        let maps: Api<ConfigMap> = Api::default_namespaced(self.client.clone());
        let name = format!("farewell-{}", shelf.name_any());
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        maps.patch(&name, &PatchParams::apply("shelves").force(), &Patch::Apply(body)).await?;
        Ok(Action::await_change())
    }
}

type Failed = kube::runtime::finalizer::Error<kube::Error>;

async fn reconcile(shelf: Arc<Shelf>, work: Arc<Work>) -> Result<Action, Failed> {
    let shelves: Api<Shelf> = Api::default_namespaced(work.client.clone());
    finalizer(&shelves, FINALIZER, shelf, |event| async {
        match event {
            Event::Apply(shelf) => work.fill(&shelf).await,
            Event::Cleanup(shelf) => work.say_farewell(&shelf).await,
        }
    })
    .await
}

/// Runs the operator until it is dropped.
#[expect(clippy::disallowed_methods, reason = "an operator of the tests, which ends with them")]
fn run(client: &Client) -> tokio_util::task::AbortOnDropHandle<()> {
    let shelves: Api<Shelf> = Api::default_namespaced(client.clone());
    let boards: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let reporter = Reporter { controller: "shelves".to_owned(), instance: None };
    let work = Arc::new(Work { client: client.clone(), recorder: Recorder::new(client.clone(), reporter) });
    // What conflicts is tried again, as operators do.
    let again = |_: Arc<Shelf>, _: &Failed, _: Arc<Work>| Action::requeue(std::time::Duration::from_millis(50));
    let mut controller = Controller::new(shelves, watcher::Config::default().streaming_lists())
        .owns(boards, watcher::Config::default())
        .run(reconcile, again, work)
        .boxed();
    let task = tokio::spawn(async move { while !matches!(controller.try_next().await, Ok(None)) {} });
    tokio_util::task::AbortOnDropHandle::new(task)
}

fn is_filled(size: i32) -> impl kube::runtime::wait::Condition<Shelf> {
    move |shelf: Option<&Shelf>| {
        shelf.is_some_and(|shelf| {
            let status = shelf.status.clone().unwrap_or_default();
            let own = shelf.finalizers() == [FINALIZER];
            own && status.ready == size && Some(status.observed_generation) == shelf.metadata.generation
        })
    }
}

async fn filled(shelves: &Api<Shelf>, name: &str, size: i32) -> Shelf {
    let filled = Box::pin(await_condition(shelves.clone(), name, is_filled(size)));
    in_time("it is filled", filled).await.unwrap().unwrap()
}

async fn boards(client: &Client, name: &str) -> Vec<String> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let all = maps.list(&ListParams::default().labels(&format!("shelf={name}"))).await.unwrap();
    all.iter().map(ResourceExt::name_any).collect()
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(answer: Result<T, kube::Error>, (code, words): (u16, &str)) {
    match answer {
        Err(kube::Error::Api(status)) => {
            assert!(status.code == code && status.message.contains(words), "{} {}", status.code, status.message);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_kube_rs_lives_its_whole_life() {
    let controllers = Controllers { selection: "*".to_owned(), scheduler: false, nodes: 0 };
    let (cluster, clients) = cluster_of(Config { controllers, ..Config::default() }).await;
    let own = webhook::judging(judge).await;
    let admin = clients[0].clone();
    defined(&admin).await;
    for client in &clients {
        discovered(client).await;
    }
    hook(&admin, &own).await;
    for (number, client) in clients.iter().enumerate() {
        let operator = run(client);
        lives(client, &format!("shelf{number}")).await;
        drop(operator);
        goes_away(client, &format!("shelf{number}")).await;
    }
    cluster.stop().await;
}

async fn defined(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let made = definitions.create(&PostParams::default(), &definition()).await.unwrap();
    let name = made.name_any();
    let established = Box::pin(await_condition(definitions, &name, conditions::is_crd_established()));
    in_time("it is established", established).await.unwrap();
}

/// Discovery in both of its forms.
async fn discovered(client: &Client) {
    let whole = Discovery::new(client.clone()).run().await.unwrap();
    let aggregated = Discovery::new(client.clone()).run_aggregated().await.unwrap();
    let filtered = Discovery::new(client.clone()).filter(&[GROUP]).run().await.unwrap();
    for discovery in [whole, aggregated, filtered] {
        let known: Vec<&str> = discovery.groups_alphabetical().iter().map(|group| group.name()).collect();
        let group = discovery.get(GROUP).unwrap_or_else(|| panic!("not among {known:?}"));
        let (resource, capabilities) = group.recommended_kind("Shelf").unwrap();
        assert_eq!((resource.plural.as_str(), resource.api_version.as_str()), ("shelves", "shop.example.com/v1"));
        assert!(capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::WATCH));
        assert_eq!(capabilities.subresources.len(), 1);
    }
}

async fn lives(client: &Client, name: &str) {
    let shelves: Api<Shelf> = Api::default_namespaced(client.clone());
    let made = shelves.create(&PostParams::default(), &Shelf::new(name, 3, "")).await.unwrap();
    assert_eq!((made.spec.colour.as_str(), made.spec.wood.as_str()), ("green", "oak"));
    filled(&shelves, name, 3).await;
    assert_eq!(boards(client, name).await.len(), 3);
    let patch = |spec: Value| Patch::Merge(json!({ "spec": spec }));
    let change = async |spec: Value| shelves.patch(name, &PatchParams::default(), &patch(spec)).await;
    change(json!({ "size": 5 })).await.unwrap();
    filled(&shelves, name, 5).await;
    change(json!({ "size": 4 })).await.unwrap();
    filled(&shelves, name, 4).await;
    assert_eq!(boards(client, name).await.len(), 4);
    check_refused(change(json!({ "size": 1 })).await, (422, "spec: Invalid value: it shrinks too fast"));
    check_refused(change(json!({ "size": -1 })).await, (422, "should be greater than or equal to 0"));
    let told = "admission webhook \"validate.shop.example.com\" denied the request: a shelf keeps its colour";
    check_refused(change(json!({ "colour": "red" })).await, (400, told));
    let black = shelves.create(&PostParams::default(), &Shelf::new("black", 1, "black")).await;
    check_refused(black, (422, "spec: Invalid value: no shelf is black"));
    // A board that is lost is made again.
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let lost = format!("{name}-0");
    let uid = maps.get(&lost).await.unwrap().uid();
    maps.delete(&lost, &DeleteParams::default()).await.unwrap();
    let back = async || maps.get_opt(&lost).await.unwrap().is_some_and(|board| board.uid() != uid);
    assert!(eventually(back).await, "the board is not made again");
    let events: Api<CoreEvent> = Api::default_namespaced(client.clone());
    let told = async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        let about = |event: &CoreEvent| event.regarding.as_ref().and_then(|of| of.name.clone());
        all.iter().any(|event| event.reason.as_deref() == Some("Filled") && about(event).as_deref() == Some(name))
    };
    assert!(eventually(told).await, "no event tells of it");
}

/// Deleted while no operator runs; the next one does what is left.
async fn goes_away(client: &Client, name: &str) {
    let shelves: Api<Shelf> = Api::default_namespaced(client.clone());
    let locked = |value: Value| Patch::Merge(json!({ "metadata": { "annotations": { "locked": value } } }));
    shelves.patch(name, &PatchParams::default(), &locked(json!("yes"))).await.unwrap();
    check_refused(shelves.delete(name, &DeleteParams::default()).await, (400, "the shelf is locked"));
    let shelf = shelves.patch(name, &PatchParams::default(), &locked(Value::Null)).await.unwrap();
    let left = shelves.delete(name, &DeleteParams::default()).await.unwrap().left().expect("its finalizer holds it");
    assert!(left.metadata.deletion_timestamp.is_some());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let farewell = format!("farewell-{name}");
    assert!(maps.get_opt(&farewell).await.unwrap().is_none());
    let _operator = run(client);
    let uid = shelf.uid().unwrap();
    let gone = await_condition(shelves.clone(), name, conditions::is_deleted(&uid));
    in_time("it is gone", Box::pin(gone)).await.unwrap();
    assert!(maps.get_opt(&farewell).await.unwrap().is_some());
    assert!(eventually(async || boards(client, name).await.is_empty()).await, "what it owned is not collected");
}
