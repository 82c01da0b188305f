//! What is held while nothing happens: the memory of idle connections and watchers, and the start with much stored.

use std::time::Duration;

use crate::cluster::{Cluster, Side};
use crate::connection::{Ask, Connection};
use crate::load::{Load, run};
use crate::process::Process;
use crate::report::Figures;

const CONNECTIONS: usize = 1_000;
/// Over so many connections, so that what is counted are watchers.
const WATCHERS: usize = 5_000;
const WATCHERS_EACH: usize = 100;
/// What comes before the count, so that nothing is counted that is there once.
const WARMING: usize = 100;
const OBJECTS: usize = 100_000;
const SETTLE: Duration = Duration::from_secs(3);
const LOAD: Load = Load { clients: 64, count: OBJECTS, time_max: Duration::from_secs(300) };
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=3600";

/// The memory of one idle HTTP/2 connection over TLS, and of one idle watcher without its connection.
pub(crate) async fn idle(cluster: &Cluster, figures: &mut Figures) {
    let mut all = open(cluster, WARMING).await;
    let before = resident_kb(cluster).await;
    all.extend(open(cluster, CONNECTIONS).await);
    figures.set("memory of an idle connection", (resident_kb(cluster).await - before) / CONNECTIONS as f64);
    let watching = WATCHERS / WATCHERS_EACH;
    let (warming, counted) = all[..=watching].split_first_mut().expect("there are many");
    watch(warming).await;
    let before = resident_kb(cluster).await;
    for connection in counted {
        watch(connection).await;
    }
    figures.set("memory of an idle watcher", (resident_kb(cluster).await - before) / WATCHERS as f64);
}

/// How long it takes from the first process to a good `/readyz` with 100,000 objects of 1 KB stored.
pub(crate) async fn restart(side: Side, figures: &mut Figures) {
    let (cluster, _) = Cluster::whole(side).await;
    let padding = "x".repeat(1000);
    let create = move |number: usize| {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"map-{number}"}},"data":{{"value":"{padding}"}}}}"#
        );
        Ask::post(MAPS, body)
    };
    let made = run(&cluster, LOAD, create).await.done();
    assert_eq!(made, OBJECTS, "objects were not created in {:?}", LOAD.time_max);
    let (cluster, start) = cluster.again(side).await;
    figures.set("start with 100,000 objects", start.as_secs_f64());
    tokio::time::sleep(SETTLE).await;
    figures.memory("memory with 100,000 objects", &cluster);
}

async fn open(cluster: &Cluster, count: usize) -> Vec<Connection> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = cluster.connect().await;
        assert!(connection.ask(&Ask::get("/version")).await.good);
        connections.push(connection);
    }
    connections
}

async fn watch(connection: &mut Connection) {
    for _ in 0..WATCHERS_EACH {
        assert!(connection.begin(&Ask::get(WATCH)).await);
    }
}

/// Resident memory of all processes once it has settled.
async fn resident_kb(cluster: &Cluster) -> f64 {
    tokio::time::sleep(SETTLE).await;
    cluster.processes.iter().map(Process::resident).sum::<f64>() * 1024.0
}
