//! What is measured: one function for each `--only` name, in the order in which they run on one cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Side, eventually};
use crate::load::{Load, Outcome, run};
use crate::report::Figures;

/// The names that `--only` knows.
pub(crate) const NAMES: [&str; 7] = ["start", "idle", "create", "get", "patch", "deployment", "list"];

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LISTED: &str = "/api/v1/namespaces/listed/pods";
const PODS: usize = 10_000;
const REPLICAS: u64 = 1_000;
const LISTS: usize = 5;
const STARTS: usize = 3;
/// What a cluster is given to calm down before it counts as idle, and how long it is then looked at.
const IDLE: Duration = Duration::from_secs(10);
const ROLLOUT_MAX: Duration = Duration::from_secs(300);

/// How many requests the load of one client and that of many consists of.
const ONE: Load = Load { clients: 1, count: 3_000, time_max: Duration::from_secs(10) };
const MANY: Load = Load { clients: 64, count: 20_000, time_max: Duration::from_secs(20) };
const WARMING: Load = Load { clients: 8, count: 500, time_max: Duration::from_secs(10) };

/// Runs what is wanted on one side.
pub(crate) async fn measure(side: Side, only: Option<&str>) -> Figures {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let mut figures = Figures::default();
    if wanted("start") {
        start(side, &mut figures).await;
    }
    if only == Some("start") {
        return figures;
    }
    let cluster = Arc::new(Cluster::whole(side).await);
    if wanted("idle") {
        idle(&cluster, &mut figures).await;
    }
    if ["create", "get", "patch"].into_iter().any(wanted) {
        let mut warm = 0;
        warm += create(&cluster, WARMING, "warm").await.done();
        println!("  {warm} requests to warm up");
    }
    if wanted("create") {
        let one = create(&cluster, ONE, "one").await;
        figures.load("creates, 1 client", &one);
        let many = create(&cluster, MANY, "many").await;
        figures.load("creates, 64 clients", &many);
    }
    let present = WARMING.count;
    let path = move |number: usize| format!("{MAPS}/warm-{}", number % present);
    if wanted("get") {
        for (name, load) in [("GETs, 1 client", ONE), ("GETs, 64 clients", MANY)] {
            let get =
                move |cluster: &Cluster, client: &Client, number| cluster.request(client, Method::GET, &path(number));
            figures.load(name, &run(&cluster, load, get).await);
        }
    }
    if wanted("patch") {
        let patch = move |cluster: &Cluster, client: &Client, number: usize| {
            let body = json!({"data": {"number": number.to_string()}});
            let request = cluster.request(client, Method::PATCH, &path(number));
            request.header(CONTENT_TYPE, "application/merge-patch+json").body(body.to_string())
        };
        figures.load("merge patches, 64 clients", &run(&cluster, MANY, patch).await);
    }
    if wanted("deployment") {
        deployment(&cluster, &mut figures).await;
    }
    if wanted("list") {
        list(&cluster, &mut figures).await;
    }
    figures
}

async fn start(side: Side, figures: &mut Figures) {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(Cluster::start(side).await.1.as_secs_f64());
    }
    figures.set("start to /readyz", median(times));
}

async fn idle(cluster: &Cluster, figures: &mut Figures) {
    tokio::time::sleep(IDLE).await;
    let work = || cluster.processes.iter().map(crate::process::Process::work).sum::<Duration>();
    let (before, start) = (work(), Instant::now());
    tokio::time::sleep(IDLE).await;
    let share = (work() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    figures.set("idle CPU", share * 100.0);
    figures.memory("idle memory", cluster);
}

/// Creates ConfigMaps of 1 KB, called by a prefix and the number of the request.
async fn create(cluster: &Arc<Cluster>, load: Load, prefix: &'static str) -> Outcome {
    let padding = "x".repeat(1000);
    let create = move |cluster: &Cluster, client: &Client, number: usize| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("{prefix}-{number}")}, "data": {"value": padding}});
        cluster.request(client, Method::POST, MAPS).json(&object)
    };
    run(cluster, load, create).await
}

async fn deployment(cluster: &Cluster, figures: &mut Figures) {
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let labels = json!({"app": "web"});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}}});
    let client = cluster.client();
    let start = Instant::now();
    cluster.create(&client, deployments, &object).await;
    let available = eventually("all replicas are available", ROLLOUT_MAX, async || {
        let object = cluster.get(&client, &format!("{deployments}/web")).await;
        object["status"]["availableReplicas"].as_u64() == Some(REPLICAS)
    })
    .await;
    figures.set("Deployment of 1,000 pods", available.map_or(f64::NAN, |_| start.elapsed().as_secs_f64()));
}

/// Lists pods that no scheduler takes, in a namespace of their own.
async fn list(cluster: &Arc<Cluster>, figures: &mut Figures) {
    let client = cluster.client();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "listed"}});
    cluster.create(&client, "/api/v1/namespaces", &namespace).await;
    let account = "/api/v1/namespaces/listed/serviceaccounts/default";
    eventually("the namespace has its ServiceAccount", Duration::from_secs(30), async || {
        cluster.get(&client, account).await["kind"] == "ServiceAccount"
    })
    .await
    .expect("controllers run");
    let create = |cluster: &Cluster, client: &Client, number: usize| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("pod-{number}"), "labels": {"app": "web"}},
            "spec": {"schedulerName": "none", "containers": [{"name": "web", "image": "nginx:1",
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}});
        cluster.request(client, Method::POST, LISTED).json(&pod)
    };
    let load = Load { clients: 64, count: PODS, time_max: Duration::from_secs(120) };
    let made = run(cluster, load, create).await;
    assert_eq!(made.done(), PODS, "pods were not created in {:?}", load.time_max);
    let (mut times, mut bytes) = (Vec::new(), 0);
    for number in 0..=LISTS {
        let start = Instant::now();
        let body = cluster.request(&client, Method::GET, LISTED).send().await.unwrap().bytes().await.unwrap();
        // The first one only warms up.
        if number > 0 {
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        bytes = body.len();
        if number == LISTS {
            let list: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(list["items"].as_array().map(Vec::len), Some(PODS));
        }
    }
    figures.set("LIST of 10,000 pods", median(times));
    figures.set("bytes of that LIST", bytes as f64 / 1e6);
    figures.memory("memory after it", cluster);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
