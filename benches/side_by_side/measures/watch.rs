//! Watchers of one type, few and many, of everything, of a group and of one object.

use std::time::Duration;

use serde_json::json;

use super::{Bench, Family};
use crate::cluster::Cluster;
use crate::connection::Ask;
use crate::figures::Goal::Times;
use crate::figures::rate;
use crate::load::{Load, run};
use crate::watching::{Plan, Scope, watch};

pub(super) const FAMILY: Family = Family {
    name: "watch",
    rows: || cases().map(|case| rate(&case.name(), Times(5.0))).collect(),
    method: "100 small ConfigMaps in ten groups by label, changed by four clients for 5 s (quick: 2 s), each with one \
        request at a time; events a second until the last has arrived, p50/p99 from the sending of the write to the \
        arrival of the event; 100 watchers on a connection; every watcher must see every change of its objects once, \
        in rising order, or the measure has failed",
    time_max: Duration::from_secs(480),
    run: |bench| Box::pin(all(bench)),
};

const OBJECTS: usize = 100;
const PATH: &str = "/api/v1/namespaces/watched/configmaps";
const WRITERS: usize = 4;

struct Case {
    watchers: usize,
    scope: Scope,
}

/// Fewest watchers first, so that a server that does not bear the most has shown what it bears.
fn cases() -> impl Iterator<Item = Case> {
    let each = |watchers| [Scope::One, Scope::Label, Scope::All].map(|scope| Case { watchers, scope });
    [100, 1_000, 10_000].into_iter().flat_map(each)
}

impl Case {
    fn name(&self) -> String {
        let of = match self.scope {
            Scope::All => "all objects",
            Scope::Label => "a label",
            Scope::One => "one object",
        };
        let count =
            if self.watchers < 1_000 { self.watchers.to_string() } else { format!("{},000", self.watchers / 1_000) };
        format!("events, {count} watchers of {of}")
    }
}

async fn all(bench: &mut Bench) {
    for watchers in [100, 1_000, 10_000] {
        // Each number on a fresh cluster: what the watchers before it cost is not its own.
        let (cluster, _) = bench.cluster().await;
        prepare(&cluster).await;
        for case in cases().filter(|case| case.watchers == watchers) {
            one(bench, &cluster, &case).await;
        }
    }
}

async fn prepare(cluster: &Cluster) {
    cluster.create_namespace("watched").await;
    let create = |number: usize| {
        let group = format!("g{}", number % 10);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("map-{number}"), "labels": {"group": group}}, "data": {"value": "x"}});
        Ask::post(PATH, map.to_string())
    };
    run(cluster, Load::of(OBJECTS), create).await.all(OBJECTS);
}

async fn one(bench: &mut Bench, cluster: &Cluster, case: &Case) {
    let time = Duration::from_secs_f64(bench.form.of(5.0, 2.0));
    let (path, prefix) = (PATH.to_owned(), "map");
    let Case { watchers, scope } = *case;
    let plan = Plan { path, prefix, objects: OBJECTS, scope, watchers, writers: WRITERS, time };
    bench.figures.result(&case.name(), watch(cluster, plan).await);
}
