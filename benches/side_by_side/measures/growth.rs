//! How the cost of requests and memory grow with the number of pods that are stored.

use std::time::Duration;

use super::{Bench, Family, Form};
use crate::cluster::Cluster;
use crate::connection::Ask;
use crate::figures::Goal::{AtMost, None, Times};
use crate::figures::{Figure, Row, less, rate};
use crate::load::{Load, run};
use crate::objects::{Placing, pod};
use crate::watching::{Plan, Scope, watch};

pub(super) const FAMILY: Family = Family {
    name: "growth",
    rows: || SIZES.into_iter().flat_map(rows).collect(),
    method: "pods of 4 to 5 KB: the last 800 creates by 64 clients, then GETs, pages of 500 and one watcher's time from \
        write to arrival with one client (the middle each), memory 3 s later; memory by JSON: what the pods added to \
        the memory of the empty cluster, by the bytes of a LIST; the quick form ends with 10,000, only the long one \
        goes to 1,000,000",
    time_max: Duration::from_secs(600),
    run: |bench| Box::pin(all(bench)),
};

pub(crate) const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const CREATES: &str = "creates";
const GETS: &str = "GET";
const PAGE: &str = "LIST of a page of 500";
const ARRIVAL: &str = "watch, write to arrival";
const MEMORY: &str = "memory";
const BY_JSON: &str = "memory by JSON";
/// What is drawn, with its unit.
pub(crate) const DRAWN: [(&str, &str); 5] =
    [(CREATES, "/s"), (GETS, "ms"), (PAGE, "ms"), (ARRIVAL, "ms"), (MEMORY, "MiB")];

const PATH: &str = "/api/v1/namespaces/grown/pods";
/// The creates that are measured come last.
const MEASURED: usize = 800;
/// For the memory to become what it stays.
const SETTLE: Duration = Duration::from_secs(3);

/// What a measure is called at a size.
pub(crate) fn name(measure: &str, size: usize) -> String {
    let size = if size < 1_000_000 { format!("{},000", size / 1_000) } else { "1,000,000".to_owned() };
    format!("{measure} with {size} pods")
}

fn rows(size: usize) -> Vec<Row> {
    // The goals are set for these two.
    let goals = matches!(size, 10_000 | 100_000);
    vec![
        rate(&name(CREATES, size), None),
        less(&name(GETS, size), "ms", None),
        less(&name(PAGE, size), "ms", None),
        less(&name(ARRIVAL, size), "ms", None),
        less(&name(MEMORY, size), "MiB", if goals { Times(8.0) } else { None }),
        less(&name(BY_JSON, size), "", if goals { AtMost(1.5) } else { None }),
    ]
}

async fn all(bench: &mut Bench) {
    let (cluster, _) = bench.cluster().await;
    cluster.create_namespace("grown").await;
    tokio::time::sleep(SETTLE).await;
    let (empty, mut have) = (cluster.resident(), 0);
    let sizes = match bench.form {
        Form::Quick => &SIZES[..2],
        Form::Full => &SIZES[..3],
        Form::Long => &SIZES[..],
    };
    for size in sizes {
        create(&cluster, have..size - MEASURED).await;
        have = *size;
        let creates = create(&cluster, size - MEASURED..*size).await;
        bench.figures.load(&name(CREATES, *size), &creates);
        step(bench, &cluster, (*size, empty)).await;
    }
}

async fn create(cluster: &Cluster, numbers: std::ops::Range<usize>) -> crate::load::Outcome {
    let (first, count) = (numbers.start, numbers.len());
    let create = move |number| Ask::post(PATH, pod("pod", first + number, &Placing::Nowhere));
    run(cluster, Load::of(count), create).await.all(count)
}

async fn step(bench: &mut Bench, cluster: &Cluster, (size, empty): (usize, f64)) {
    let one = |count| Load { clients: 1, ..Load::of(count) };
    let spread = move |number: usize| Ask::get(format!("{PATH}/pod-{}", number * 7919 % size));
    bench.figures.time(&name(GETS, size), &run(cluster, one(500), spread).await);
    let page = run(cluster, one(20), |_| Ask::get(format!("{PATH}?limit=500"))).await.all(20);
    bench.figures.time(&name(PAGE, size), &page);
    let plan = Plan {
        path: PATH.to_owned(),
        prefix: "pod",
        objects: 500,
        scope: Scope::All,
        watchers: 1,
        writers: 1,
        time: Duration::from_secs(2),
    };
    let arrival = watch(cluster, plan).await.map(|seen| Figure { value: seen.p50.unwrap_or(f64::NAN), ..seen });
    bench.figures.result(&name(ARRIVAL, size), arrival);
    tokio::time::sleep(SETTLE).await;
    bench.figures.memory(&name(MEMORY, size), cluster, "");
    let json = page.bytes() as f64 / 500.0 * size as f64;
    bench.figures.set(&name(BY_JSON, size), (cluster.resident() - empty) * f64::from(1 << 20) / json);
}
