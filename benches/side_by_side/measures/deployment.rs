//! A Deployment of 1,000 pods: until all are available, through a rolling update, down to none.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{Bench, Family};
use crate::cluster::{Cluster, eventually};
use crate::figures::Goal::Times;
use crate::figures::less;

pub(super) const FAMILY: Family = Family {
    name: "deployment",
    rows: || [AVAILABLE, UPDATED, GONE].iter().map(|name| less(name, "s", Times(10.0))).collect(),
    method: "from the request to 1,000 available replicas; from a change of the template to 1,000 updated and available \
        replicas and no others; from the scaling to the last pod's end; nodes are simulated, by KWOK on stock's side",
    time_max: Duration::from_secs(600),
    run: |bench| Box::pin(all(bench)),
};

const AVAILABLE: &str = "Deployment of 1,000 pods to all available";
const UPDATED: &str = "rolling update of 1,000 pods";
const GONE: &str = "Deployment of 1,000 pods scaled to 0";
const REPLICAS: u64 = 1_000;
const ALL: &str = "/apis/apps/v1/namespaces/default/deployments";
const ONE: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const PODS: &str = "/api/v1/namespaces/default/pods?limit=1";
const MAX: Duration = Duration::from_secs(240);

async fn all(bench: &mut Bench) {
    let cluster = bench.warm_cluster().await;
    let client = cluster.client();
    let labels = json!({"app": "web"});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}}});
    let start = Instant::now();
    cluster.create(&client, ALL, &object).await;
    rolled_out(&cluster, &client).await;
    bench.figures.set(AVAILABLE, start.elapsed().as_secs_f64());

    let start = Instant::now();
    let newer = json!({"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}});
    patch(&cluster, &client, &newer).await;
    rolled_out(&cluster, &client).await;
    bench.figures.set(UPDATED, start.elapsed().as_secs_f64());

    let start = Instant::now();
    patch(&cluster, &client, &json!({"spec": {"replicas": 0}})).await;
    let gone = async || cluster.get(&client, PODS).await["items"].as_array().is_some_and(Vec::is_empty);
    eventually("all pods are gone", MAX, gone).await.expect("pods end");
    bench.figures.set(GONE, start.elapsed().as_secs_f64());
}

async fn patch(cluster: &Cluster, client: &Client, patch: &Value) {
    let request = cluster.request(client, Method::PATCH, ONE).body(patch.to_string());
    cluster.change(request.header("content-type", "application/merge-patch+json")).await;
}

/// Waits until the present template is what all replicas have.
async fn rolled_out(cluster: &Cluster, client: &Client) {
    let done = async || {
        let object = cluster.get(client, ONE).await;
        let status = &object["status"];
        let all = ["replicas", "updatedReplicas", "availableReplicas"];
        status["observedGeneration"] == object["metadata"]["generation"]
            && all.iter().all(|count| status[count].as_u64() == Some(REPLICAS))
    };
    eventually("all replicas are updated and available", MAX, done).await.expect("the Deployment rolls out");
}
