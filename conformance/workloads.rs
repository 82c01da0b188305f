//! Workloads in a whole cluster in this process: what a user does with Deployments, namespaces and owners, and what
//! controllers, scheduler and nodes make of it together.

use std::time::Duration;

use coracle::api::request::User;
use coracle::app::{Cluster, Config};
use coracle::base::SystemClock;
use coracle::client::{Client, DeleteOptions, Patch, Query, Resource, Target, encode};
use serde_json::{Value, json};

struct Bench {
    cluster: Cluster,
    client: Client,
}

impl Bench {
    async fn start() -> Self {
        let cluster = Cluster::start(Config::default()).await.unwrap();
        let user = User {
            name: "kubernetes-admin".to_owned(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
            ..User::default()
        };
        let client = Client::new(cluster.transport(), user, "kubectl/v1.37.1");
        let bench = Self { cluster, client };
        bench
            .eventually("nodes are ready", async || {
                let nodes = bench.list(Resource::NODES.all()).await;
                nodes.len() == 3 && nodes.iter().all(|node| node["spec"]["taints"].is_null())
            })
            .await;
        bench
    }

    async fn get(&self, target: Target<'_>) -> Option<Value> {
        match self.client.get(target).await {
            Ok(object) => Some(object),
            Err(error) if error.not_found() => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn list(&self, target: Target<'_>) -> Vec<Value> {
        self.client.list(target, &Query::default()).await.unwrap().items
    }

    async fn create(&self, resource: &Resource, body: Value) -> Value {
        let written = self.client.create(resource.at("default", ""), encode(&body)).await.unwrap();
        serde_json::from_slice(&written.body).unwrap()
    }

    /// Waits for a condition; says what was awaited when it does not come.
    async fn eventually(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let clock = SystemClock::shared();
        let until = clock.monotonic() + Duration::from_secs(60);
        while !condition().await {
            if clock.monotonic() > until {
                let pods = self.list(Resource::PODS.all()).await;
                let events = self.list(Resource::EVENTS.all()).await;
                let last: Vec<_> =
                    events.iter().rev().take(20).map(|e| format!("{} {}", e["reason"], e["message"])).collect();
                panic!("{what}: not in time; {} pods, last events {last:#?}", pods.len());
            }
            clock.sleep(Duration::from_millis(10)).await;
        }
    }

    async fn rolled_out(&self, name: &str, replicas: i64) {
        self.eventually("the Deployment is rolled out", async || {
            let deployment = self.get(Resource::DEPLOYMENTS.at("default", name)).await.unwrap();
            let status = &deployment["status"];
            let all = |field: &str| status[field].as_i64().unwrap_or(0) == replicas;
            status["observedGeneration"] == deployment["metadata"]["generation"]
                && all("replicas")
                && all("updatedReplicas")
                && all("availableReplicas")
        })
        .await;
    }
}

fn deployment(name: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_rolled_out_updated_and_rolled_back() {
    let bench = Bench::start().await;
    bench.create(Resource::DEPLOYMENTS, deployment("web", 3)).await;
    bench.rolled_out("web", 3).await;
    let pods = bench.list(Resource::PODS.at("default", "")).await;
    assert!(pods.iter().all(|pod| pod["status"]["phase"] == "Running"), "{pods:#?}");
    let target = Resource::DEPLOYMENTS.at("default", "web");
    for (image, revision) in [("nginx:2", "2"), ("nginx:1", "3")] {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
        bench.client.patch(target, Patch::Strategic, encode(&patch)).await.unwrap();
        bench.rolled_out("web", 3).await;
        let deployment = bench.get(target).await.unwrap();
        assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], revision);
    }
    assert_eq!(bench.list(Resource::REPLICA_SETS.at("default", "")).await.len(), 2);
    let scale = json!({"spec": {"replicas": 1}});
    bench.client.patch(target, Patch::Merge, encode(&scale)).await.unwrap();
    bench.rolled_out("web", 1).await;
    bench.client.delete(target, &DeleteOptions::default()).await.unwrap();
    bench
        .eventually("all is collected", async || {
            bench.list(Resource::PODS.all()).await.is_empty()
                && bench.list(Resource::REPLICA_SETS.all()).await.is_empty()
        })
        .await;
    bench.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_pods_become_available() {
    let bench = Bench::start().await;
    bench.create(Resource::DEPLOYMENTS, deployment("big", 1000)).await;
    bench.rolled_out("big", 1000).await;
    bench.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let bench = Bench::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short"}});
    bench.client.create(Resource::NAMESPACES.all(), encode(&namespace)).await.unwrap();
    bench
        .eventually("the namespace has its ServiceAccount and certificate", async || {
            bench.get(Resource::SERVICE_ACCOUNTS.at("short", "default")).await.is_some()
                && bench.get(Resource::CONFIG_MAPS.at("short", "kube-root-ca.crt")).await.is_some()
        })
        .await;
    let body = encode(&deployment("web", 2));
    bench.client.create(Resource::DEPLOYMENTS.at("short", ""), body).await.unwrap();
    bench
        .eventually("the pods run", async || {
            let pods = bench.list(Resource::PODS.at("short", "")).await;
            pods.len() == 2 && pods.iter().all(|pod| pod["status"]["phase"] == "Running")
        })
        .await;
    bench.client.delete(Resource::NAMESPACES.at("", "short"), &DeleteOptions::default()).await.unwrap();
    bench
        .eventually("the namespace is gone", async || bench.get(Resource::NAMESPACES.at("", "short")).await.is_none())
        .await;
    assert!(bench.list(Resource::PODS.at("short", "")).await.is_empty());
    bench.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_go_before_with_or_without_their_dependents() {
    let bench = Bench::start().await;
    let map = |name: &str, owner: Option<&Value>| {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        if let Some(owner) = owner {
            let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true});
            map["metadata"]["ownerReferences"] = json!([reference]);
        }
        map
    };
    for policy in ["Background", "Foreground", "Orphan"] {
        let owner = bench.create(Resource::CONFIG_MAPS, map("owner", None)).await;
        bench.create(Resource::CONFIG_MAPS, map("dependent", Some(&owner))).await;
        let options = DeleteOptions { propagation_policy: Some(policy), ..DeleteOptions::default() };
        bench.client.delete(Resource::CONFIG_MAPS.at("default", "owner"), &options).await.unwrap();
        bench
            .eventually(policy, async || {
                let owner = bench.get(Resource::CONFIG_MAPS.at("default", "owner")).await;
                let dependent = bench.get(Resource::CONFIG_MAPS.at("default", "dependent")).await;
                owner.is_none()
                    && match dependent {
                        None => policy != "Orphan",
                        Some(dependent) => policy == "Orphan" && dependent["metadata"]["ownerReferences"].is_null(),
                    }
            })
            .await;
    }
    bench.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_fits_nowhere_is_told_why() {
    let bench = Bench::start().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "huge"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1000"}}}]}});
    bench.create(Resource::PODS, pod).await;
    let expected = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: \
        3 Preemption is not helpful for scheduling.";
    bench
        .eventually("the condition tells", async || {
            let pod = bench.get(Resource::PODS.at("default", "huge")).await.unwrap();
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| condition["message"] == expected)
        })
        .await;
    bench.cluster.stop().await;
}
