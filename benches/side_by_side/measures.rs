//! What is measured: one function for each `--only` name, in the order in which they run.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Side, eventually};
use crate::connection::Ask;
use crate::held;
use crate::load::{Load, Outcome, run};
use crate::report::Figures;

/// The names that `--only` knows. The first two are taken on one cluster, the next four on a second one, the others on
/// one each.
pub(crate) const NAMES: [&str; 8] = ["idle", "list", "create", "get", "patch", "deployment", "held", "restart"];

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LISTED: &str = "/api/v1/namespaces/listed/pods";
const PODS: usize = 10_000;
const REPLICAS: u64 = 1_000;
const LISTS: usize = 7;
/// What a cluster is given to calm down before it counts as idle, and how long it is then looked at.
const CALM: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);
const ROLLOUT_MAX: Duration = Duration::from_secs(300);

/// The load of one client and that of many; they end by time.
const ONE: Load = Load { clients: 1, count: usize::MAX, time_max: Duration::from_secs(3) };
const MANY: Load = Load { clients: 64, count: usize::MAX, time_max: Duration::from_secs(5) };
const WARMING: Load = Load { clients: 8, count: 1_000, time_max: Duration::from_secs(10) };

/// Runs what is wanted on one side, once.
pub(crate) async fn measure(side: Side, only: Option<&str>) -> Figures {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let mut figures = Figures::default();
    if wanted("idle") || wanted("list") {
        let (cluster, start) = Cluster::whole(side).await;
        figures.set("start to /readyz", start.as_secs_f64());
        if wanted("idle") {
            idle(&cluster, &mut figures).await;
        }
        if wanted("list") {
            list(&cluster, &mut figures).await;
        }
    }
    if ["create", "get", "patch", "deployment"].into_iter().any(wanted) {
        let (cluster, _) = Cluster::whole(side).await;
        let warm = create(&cluster, WARMING, "warm").await.done();
        println!("  {warm} requests to warm up");
        loads(&cluster, wanted, &mut figures).await;
        if wanted("deployment") {
            deployment(&cluster, &mut figures).await;
        }
    }
    if wanted("held") {
        let (cluster, _) = Cluster::whole(side).await;
        held::idle(&cluster, &mut figures).await;
    }
    if wanted("restart") {
        held::restart(side, &mut figures).await;
    }
    figures
}

async fn loads(cluster: &Cluster, wanted: impl Fn(&str) -> bool, figures: &mut Figures) {
    let path = |number: usize| format!("{MAPS}/warm-{}", number % WARMING.count);
    if wanted("get") {
        for (name, load) in [("GETs, 1 client", ONE), ("GETs, 64 clients", MANY)] {
            figures.load(name, &run(cluster, load, move |number| Ask::get(path(number))).await);
        }
    }
    if wanted("patch") {
        let patch = move |number: usize| {
            let body = format!(r#"{{"data":{{"number":"{number}"}}}}"#);
            Ask { method: Method::PATCH, path: path(number), content_type: "application/merge-patch+json", body }
        };
        figures.load("merge patches, 64 clients", &run(cluster, MANY, patch).await);
    }
    if wanted("create") {
        figures.load("creates, 1 client", &create(cluster, ONE, "one").await);
        figures.load("creates, 64 clients", &create(cluster, MANY, "many").await);
    }
}

async fn idle(cluster: &Cluster, figures: &mut Figures) {
    tokio::time::sleep(CALM).await;
    let (before, start) = (cluster.work(), Instant::now());
    tokio::time::sleep(IDLE).await;
    let share = (cluster.work() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    figures.set("idle CPU", share * 100.0);
    figures.memory("idle memory", cluster);
}

/// Creates ConfigMaps of 1 KB, called by a prefix and the number of the request.
async fn create(cluster: &Cluster, load: Load, prefix: &'static str) -> Outcome {
    let padding = "x".repeat(1000);
    let create = move |number: usize| {
        let name = format!("{prefix}-{number}");
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"value":"{padding}"}}}}"#
        );
        Ask::post(MAPS, body)
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
async fn list(cluster: &Cluster, figures: &mut Figures) {
    let client = cluster.client();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "listed"}});
    cluster.create(&client, "/api/v1/namespaces", &namespace).await;
    let account = "/api/v1/namespaces/listed/serviceaccounts/default";
    eventually("the namespace has its ServiceAccount", Duration::from_secs(30), async || {
        cluster.get(&client, account).await["kind"] == "ServiceAccount"
    })
    .await
    .expect("controllers run");
    let create = |number: usize| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("pod-{number}"), "labels": {"app": "web"}},
            "spec": {"schedulerName": "none", "containers": [{"name": "web", "image": "nginx:1",
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}});
        Ask::post(LISTED, pod.to_string())
    };
    let load = Load { clients: 64, count: PODS, time_max: Duration::from_secs(120) };
    let made = run(cluster, load, create).await;
    assert_eq!(made.done(), PODS, "pods were not created in {:?}", load.time_max);
    figures.load("Pod creates, 64 clients", &made);
    let (mut times, mut bytes) = (Vec::new(), 0);
    let mut connection = cluster.connect().await;
    let work = cluster.work();
    for number in 0..=LISTS {
        let start = Instant::now();
        let answer = connection.ask(&Ask::get(LISTED)).await;
        // The first one only warms up.
        if number > 0 {
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        assert!(answer.good);
        bytes = answer.body.len();
        if number == LISTS {
            let list: Value = serde_json::from_slice(answer.body).unwrap();
            assert_eq!(list["items"].as_array().map(Vec::len), Some(PODS));
        }
    }
    figures.set("LIST of 10,000 pods", median(times));
    figures.set("server's CPU of that LIST", (cluster.work() - work).as_secs_f64() * 1e3 / (LISTS + 1) as f64);
    figures.set("bytes of that LIST", bytes as f64 / 1e6);
    figures.memory("memory with 10,000 pods", cluster);
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
