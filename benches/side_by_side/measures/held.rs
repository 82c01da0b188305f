//! What is held while nothing happens: the memory of idle connections and watchers.

use std::time::Duration;

use super::{Bench, Family};
use crate::cluster::Cluster;
use crate::connection::{Ask, Connection};
use crate::figures::Goal::AtMost;
use crate::figures::less;

pub(super) const FAMILY: Family = Family {
    name: "held",
    rows: || vec![less(CONNECTION, "kB", AtMost(10.0)), less(WATCHER, "kB", AtMost(10.0))],
    method: "idle connections: what 1,000 more over HTTP/2 and TLS that asked once add; idle watchers: what 5,000 of \
        one type add, 100 on a connection",
    time_max: Duration::from_secs(120),
    run: |bench| Box::pin(all(bench)),
};

const CONNECTION: &str = "memory of an idle connection";
const WATCHER: &str = "memory of an idle watcher";
const CONNECTIONS: usize = 1_000;
/// Over so many connections, so that what is counted are watchers.
const WATCHERS: usize = 5_000;
const WATCHERS_EACH: usize = 100;
/// What comes before the count, so that nothing is counted that is there once.
const WARMING: usize = 100;
const SETTLE: Duration = Duration::from_secs(3);
const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=3600";

async fn all(bench: &mut Bench) {
    let (cluster, _) = bench.cluster().await;
    let mut held = open(&cluster, WARMING).await;
    let before = resident_kb(&cluster).await;
    held.extend(open(&cluster, CONNECTIONS).await);
    bench.figures.set(CONNECTION, (resident_kb(&cluster).await - before) / CONNECTIONS as f64);
    let watching = WATCHERS / WATCHERS_EACH;
    let (warming, counted) = held[..=watching].split_first_mut().expect("there are many");
    watch(warming).await;
    let before = resident_kb(&cluster).await;
    for connection in counted {
        watch(connection).await;
    }
    bench.figures.set(WATCHER, (resident_kb(&cluster).await - before) / WATCHERS as f64);
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
        assert!(connection.begin(&Ask::get(WATCH)).await.is_some());
    }
}

/// Resident memory of all processes once it has settled.
async fn resident_kb(cluster: &Cluster) -> f64 {
    tokio::time::sleep(SETTLE).await;
    cluster.resident() * 1024.0
}
