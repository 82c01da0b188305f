//! Scheduling: how fast pods find their nodes.

use std::time::{Duration, Instant};

use super::{Bench, Family, nodes};
use crate::cluster::eventually;
use crate::connection::Ask;
use crate::figures::Goal::Times;
use crate::figures::rate;
use crate::load::{Load, run};
use crate::objects::{Placing, pod};

pub(super) const FAMILY: Family = Family {
    name: "schedule",
    rows: || vec![rate(NAME, Times(10.0))],
    method: "10,000 pods (quick: 2,000), created by 64 clients, on 1,000 nodes: from the first create to the last \
        binding; the nodes meanwhile run what was bound",
    time_max: Duration::from_secs(480),
    run: |bench| Box::pin(all(bench)),
};

const NAME: &str = "pods scheduled on 1,000 nodes";
const MAX: Duration = Duration::from_secs(400);
const PATH: &str = "/api/v1/namespaces/default/pods";
const UNBOUND: &str = "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName%3D&limit=1";

async fn all(bench: &mut Bench) {
    let pods = bench.form.of(10_000, 2_000);
    let (cluster, _) = bench.cluster_of(nodes::NODES).await;
    let client = cluster.client();
    let start = Instant::now();
    let create = |number| Ask::post(PATH, pod("pod", number, &Placing::Scheduled));
    run(&cluster, Load::of(pods), create).await.all(pods);
    let bound = async || cluster.get(&client, UNBOUND).await["items"].as_array().is_some_and(Vec::is_empty);
    eventually("all pods are bound", MAX, bound).await.expect("the scheduler binds them");
    bench.figures.set(NAME, pods as f64 / start.elapsed().as_secs_f64());
    bench.fewer(NAME, pods);
}
