//! Workloads that come and go beside the load whose history is checked: a Deployment that is rolled and scaled, a
//! definition with its objects, a ServiceAccount's token, events, documents; each in a namespace that is deleted again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::run::{PART_MAX, Stage};
use crate::server::Connection;

const REPLICAS: u64 = 5;
const EVENTS: usize = 10;
/// Between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(100);
/// Documents that clients read at their start.
const DOCUMENTS: [&str; 4] = ["/api", "/apis", "/openapi/v3", "/openapi/v3/apis/apps/v1"];

/// One workload after the other until it is told to stop; gives their number.
pub(super) async fn churn(connection: &Connection, stage: &Stage, stop: &AtomicBool) -> usize {
    let mut turns = 0;
    while !stop.load(Ordering::Acquire) {
        let turn = Turn { connection, stage, namespace: format!("{}-churn-{turns}", stage.run) };
        let done = tokio::time::timeout(PART_MAX, turn.run()).await;
        assert!(done.is_ok(), "the workload in {} did not come and go", turn.namespace);
        turns += 1;
    }
    turns
}

pub(super) async fn delete_namespace(connection: &Connection, stage: &Stage, name: &str) {
    let path = format!("/api/v1/namespaces/{name}");
    ask(connection, (Method::DELETE, &path), None).await;
    while connection.request(Method::GET, &path).send().await.unwrap().status() != StatusCode::NOT_FOUND {
        stage.wait(LOOK).await;
    }
}

/// Asks for what is to succeed.
async fn ask(connection: &Connection, (method, path): (Method, &str), body: Option<Value>) -> Value {
    let mut request = connection.request(method.clone(), path);
    if let Some(body) = body {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        request = request.header("content-type", kind).body(body.to_string());
    }
    let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{method} {path} is answered {status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}"))
}

struct Turn<'a> {
    connection: &'a Connection,
    stage: &'a Stage,
    namespace: String,
}

impl Turn<'_> {
    async fn run(&self) {
        let namespace = &self.namespace;
        self.post("/api/v1/namespaces", json!({"metadata": {"name": namespace}})).await;
        self.token().await;
        self.deployment().await;
        self.definition().await;
        for number in 0..EVENTS {
            let event = json!({"metadata": {"name": format!("event-{number}")}, "reason": "Turned", "type": "Normal",
                "message": "m".repeat(200), "involvedObject": {"namespace": namespace, "kind": "Pod", "name": "p"}});
            self.post(&format!("/api/v1/namespaces/{namespace}/events"), event).await;
        }
        for document in DOCUMENTS {
            ask(self.connection, (Method::GET, document), None).await;
        }
        delete_namespace(self.connection, self.stage, namespace).await;
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        ask(self.connection, (Method::POST, path), Some(body)).await
    }

    /// Asks until an answer is as awaited.
    async fn until(&self, path: &str, wished: impl Fn(&Value) -> bool) {
        loop {
            let answer = self.connection.request(Method::GET, path).send().await.unwrap();
            if answer.json::<Value>().await.is_ok_and(|object| wished(&object)) {
                return;
            }
            self.stage.wait(LOOK).await;
        }
    }

    async fn token(&self) {
        let account = format!("/api/v1/namespaces/{}/serviceaccounts/default", self.namespace);
        self.until(&account, |account| account["kind"] == "ServiceAccount").await;
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = self.post(&format!("{account}/token"), request).await;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token["status"]["token"]}});
        let review = self.post("/apis/authentication.k8s.io/v1/tokenreviews", review).await;
        assert_eq!(review["status"]["authenticated"], true, "{review}");
    }

    async fn deployment(&self) {
        let all = format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace);
        let one = format!("{all}/web");
        let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": REPLICAS,
            "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "one"}]}}}});
        self.post(&all, deployment).await;
        let service =
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
        self.post(&format!("/api/v1/namespaces/{}/services", self.namespace), service).await;
        let settled = |replicas: u64| {
            move |object: &Value| {
                let status = &object["status"];
                let all = |name: &str| status[name].as_u64().unwrap_or(0) == replicas;
                status["observedGeneration"] == object["metadata"]["generation"]
                    && all("replicas")
                    && all("updatedReplicas")
                    && all("availableReplicas")
            }
        };
        self.until(&one, settled(REPLICAS)).await;
        let image = json!({"spec": {"template": {"metadata": {"annotations": {"turn": "2"}}}}});
        ask(self.connection, (Method::PATCH, &one), Some(image)).await;
        self.until(&one, settled(REPLICAS)).await;
        ask(self.connection, (Method::PATCH, &one), Some(json!({"spec": {"replicas": 1}}))).await;
        self.until(&one, settled(1)).await;
    }

    async fn definition(&self) {
        let group = format!("{}.example.org", self.namespace);
        let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let one = format!("{all}/things.{group}");
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer", "minimum": 1}}, "x-kubernetes-validations": [{"rule": "self.size < 10"}]}}});
        let definition = json!({"metadata": {"name": format!("things.{group}")}, "spec": {"group": group,
            "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
        self.post(all, definition).await;
        self.until(&one, |definition| {
            let conditions = definition["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
        })
        .await;
        let things = format!("/apis/{group}/v1/namespaces/{}/things", self.namespace);
        // Served a moment after it is established.
        self.until(&things, |list| list["kind"] == "ThingList").await;
        for size in 1..4 {
            let thing = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing",
                "metadata": {"name": format!("thing-{size}")}, "spec": {"size": size}});
            self.post(&things, thing).await;
        }
        ask(self.connection, (Method::DELETE, &one), None).await;
        self.until(&one, |answer| answer["code"] == 404).await;
    }
}
