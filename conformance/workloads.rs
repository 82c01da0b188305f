//! Workloads in a whole cluster in this process: what a user does with Deployments, namespaces and owners, and what
//! controllers, scheduler and nodes make of it together.

use std::sync::Arc;
use std::time::Duration;

use coracle::api::request::User;
use coracle::app::{Cluster, Config};
use coracle::base::{ManualClock, SystemClock};
use coracle::client::{Client, DeleteOptions, Patch, Query, Resource, Target, encode};
use jiff::Timestamp;
use serde_json::{Value, json};

struct Bench {
    cluster: Cluster,
    client: Client,
    /// The clock of a cluster whose time is turned; while something is awaited, it goes on.
    turned: Option<ManualClock>,
}

/// How far a clock that is turned goes on at each look.
const TURN: Duration = Duration::from_millis(50);

impl Bench {
    async fn start() -> Self {
        Self::of(Cluster::start(Config::default()).await.unwrap(), None).await
    }

    /// A cluster whose time is turned by hand.
    async fn turned() -> Self {
        let clock = ManualClock::new(Timestamp::now());
        let cluster = Cluster::start_at(Config::default(), Arc::new(clock.clone())).await.unwrap();
        Self::of(cluster, Some(clock)).await
    }

    async fn of(cluster: Cluster, turned: Option<ManualClock>) -> Self {
        let user = User {
            name: "kubernetes-admin".to_owned(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
            ..User::default()
        };
        let client = Client::new(cluster.transport(), user, "kubectl/v1.37.1");
        let bench = Self { cluster, client, turned };
        bench
            .eventually("nodes are ready", async || {
                let nodes = bench.list(Resource::NODES.all()).await;
                nodes.len() == 3 && nodes.iter().all(|node| node["spec"]["taints"].is_null())
            })
            .await;
        // A pod that comes sooner waits for it, by a clock that nobody turns meanwhile.
        let account = Resource::SERVICE_ACCOUNTS.at("default", "default");
        bench.eventually("pods have an account", async || bench.get(account).await.is_some()).await;
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
            if let Some(turned) = &self.turned {
                turned.advance(TURN);
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

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_counts_what_is_there_and_what_went() {
    let bench = Bench::start().await;
    bench.create(Resource::CONFIG_MAPS, json!({"metadata": {"name": "before"}})).await;
    let hard = json!({"pods": "1", "count/configmaps": "10", "count/deployments.apps": "5"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    bench.create(Resource::RESOURCE_QUOTAS, quota).await;
    let used = async |pods: &str, maps: &str| {
        let expected = json!({"pods": pods, "count/configmaps": maps, "count/deployments.apps": "0"});
        bench
            .eventually("the quota is counted", async || {
                let quota = bench.get(Resource::RESOURCE_QUOTAS.at("default", "q")).await.unwrap();
                quota["status"]["used"] == expected && quota["status"]["hard"] == hard
            })
            .await;
    };
    // The authority's certificate is published in a ConfigMap, too.
    used("0", "2").await;
    bench.create(Resource::PODS, pod("one", &Value::Null)).await;
    used("1", "2").await;
    let second = encode(&pod("two", &Value::Null));
    let refused = bench.client.create(Resource::PODS.at("default", ""), second).await.err().unwrap();
    assert_eq!(refused.code(), 403, "{refused}");
    bench.client.delete(Resource::CONFIG_MAPS.at("default", "before"), &DeleteOptions::default()).await.unwrap();
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    bench.client.delete(Resource::PODS.at("default", "one"), &now).await.unwrap();
    used("0", "1").await;
    bench.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_says_how_many_pods_may_go_and_holds_the_rest() {
    let bench = Bench::start().await;
    bench.create(Resource::DEPLOYMENTS, deployment("web", 3)).await;
    let budget = |unavailable: Value| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
            "spec": {"maxUnavailable": unavailable, "selector": {"matchLabels": {"app": "web"}}}})
    };
    bench.create(Resource::POD_DISRUPTION_BUDGETS, budget(json!("34%"))).await;
    let target = Resource::POD_DISRUPTION_BUDGETS.at("default", "b");
    let allowed = async |number: i64| {
        bench
            .eventually("the budget is counted", async || {
                let status = &bench.get(target).await.unwrap()["status"];
                let fields = ["expectedPods", "currentHealthy", "disruptionsAllowed"];
                fields.map(|field| status[field].as_i64().unwrap_or(-1)) == [3, 3, number]
            })
            .await;
    };
    allowed(2).await;
    let patch = json!({"spec": {"maxUnavailable": 0}});
    bench.client.patch(target, Patch::Merge, encode(&patch)).await.unwrap();
    allowed(0).await;
    let pods = bench.list(Resource::PODS.at("default", "")).await;
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let held = bench.client.create(Resource::PODS.at("default", name).sub("eviction"), encode(&eviction)).await;
    assert_eq!(held.err().unwrap().code(), 429);
    bench.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_leave_a_tainted_node_when_their_toleration_ends() {
    let bench = Bench::turned().await;
    let toleration = json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600});
    bench.create(Resource::PODS, pod("patient", &json!({"nodeName": "node-1", "tolerations": [toleration]}))).await;
    bench.create(Resource::PODS, pod("other", &json!({"nodeName": "node-1"}))).await;
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}});
    bench.client.patch(Resource::NODES.at("", "node-1"), Patch::Strategic, encode(&taint)).await.unwrap();
    let present = async |name: &str| bench.get(Resource::PODS.at("default", name)).await.is_some();
    bench.eventually("the pod that tolerates nothing goes", async || !present("other").await).await;
    assert!(present("patient").await);
    bench.turned.as_ref().unwrap().advance(Duration::from_secs(3600));
    bench.eventually("the pod that tolerates for an hour goes", async || !present("patient").await).await;
    bench.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_of_the_server_comes_back_when_it_is_deleted() {
    let bench = Bench::turned().await;
    let target = Resource::SERVICES.at("default", "kubernetes");
    let before = bench.get(target).await.unwrap();
    bench.client.delete(target, &DeleteOptions::default()).await.unwrap();
    bench.turned.as_ref().unwrap().advance(Duration::from_secs(10));
    bench.eventually("the service is back", async || bench.get(target).await.is_some()).await;
    let after = bench.get(target).await.unwrap();
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(before["spec"]["clusterIP"], after["spec"]["clusterIP"]);
    bench.cluster.stop().await;
}
