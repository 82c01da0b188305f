//! Lists of 10,000 pods: whole, by many at once, in other forms, of a part, in pages; time and extra memory.

use std::time::{Duration, Instant};

use super::{Bench, Family};
use crate::cluster::Cluster;
use crate::connection::{Ask, Connection};
use crate::figures::Goal::{AtMost, None, Times};
use crate::figures::{Figure, less, median};
use crate::load::{Load, Outcome, run};
use crate::objects::{Placing, pod};

pub(super) const FAMILY: Family = Family {
    name: "list",
    rows: || {
        let mut rows: Vec<_> = LISTS.iter().map(|list| less(list.name, "ms", Times(8.0))).collect();
        rows.extend([
            less(PAGES, "ms", Times(8.0)),
            less(EXTRA_ONE, "MiB", None),
            less(EXTRA_MANY, "MiB", AtMost(64.0)),
            less(BYTES, "MB", None),
        ]);
        rows
    },
    method: "10,000 pods of 4 to 5 KB, a hundred in each group by label, a hundred on one node; time to the last byte, \
        in the middle; extra memory: the most while the lists run less what was there before; flat memory is taken for \
        4 MiB a list when 16 run at once",
    time_max: Duration::from_secs(240),
    run: |bench| Box::pin(all(bench)),
};

struct List {
    name: &'static str,
    query: &'static str,
    accept: &'static str,
    clients: usize,
}

const WHOLE: &str = "LIST of 10,000 pods";
const SIXTEEN: &str = "LIST of 10,000 pods, 16 at once";
const BY_NODE: &str = "LIST of 10,000 pods by spec.nodeName";
const PAGES: &str = "LIST of 10,000 pods in pages of 500";
const EXTRA_ONE: &str = "extra memory of that LIST";
const EXTRA_MANY: &str = "extra memory of 16 LISTs at once";
const BYTES: &str = "bytes of that LIST";
const JSON: &str = "application/json";
const PODS: usize = 10_000;
const PAGE: usize = 500;
const PATH: &str = "/api/v1/namespaces/listed/pods";

const LISTS: [List; 6] = [
    List { name: WHOLE, query: "", accept: JSON, clients: 1 },
    List { name: SIXTEEN, query: "", accept: JSON, clients: 16 },
    List {
        name: "LIST of 10,000 pods, protobuf",
        query: "",
        accept: "application/vnd.kubernetes.protobuf",
        clients: 1,
    },
    List {
        name: "LIST of 10,000 pods, Table",
        query: "",
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
        clients: 1,
    },
    List { name: "LIST of 10,000 pods by label", query: "?labelSelector=group%3Dg7", accept: JSON, clients: 1 },
    List { name: BY_NODE, query: "?fieldSelector=spec.nodeName%3D", accept: JSON, clients: 1 },
];

async fn all(bench: &mut Bench) {
    let (cluster, _) = bench.cluster().await;
    cluster.create_namespace("listed").await;
    let node = cluster.ready_nodes().await.swap_remove(0);
    let place = node.clone();
    let create = move |number: usize| {
        let placing = if number.is_multiple_of(100) { Placing::On(&place) } else { Placing::Nowhere };
        Ask::post(PATH, pod("pod", number, &placing))
    };
    run(&cluster, Load::of(PODS), create).await.all(PODS);
    for list in &LISTS {
        let outcome = ask(bench, &cluster, (list, &node)).await;
        bench.figures.time(list.name, &outcome);
        if list.name == WHOLE {
            bench.figures.set(EXTRA_ONE, outcome.extra());
            bench.figures.set(BYTES, outcome.bytes() as f64 / 1e6);
        } else if list.name == SIXTEEN {
            bench.figures.set(EXTRA_MANY, outcome.extra());
        }
    }
    let mut connection = cluster.connect().await;
    let mut times = Vec::new();
    for _ in 0..bench.form.of(5, 2) {
        let start = Instant::now();
        pages(&mut connection).await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    bench.figures.take(PAGES, Figure { value: median(times), ..Figure::default() });
}

async fn ask(bench: &Bench, cluster: &Cluster, (list, node): (&List, &str)) -> Outcome {
    let query = if list.name == BY_NODE { format!("{}{node}", list.query) } else { list.query.to_owned() };
    let (path, accept) = (format!("{PATH}{query}"), list.accept);
    let load = |count| Load { clients: list.clients, ..Load::of(count) };
    let ask = move |_| Ask { accept, ..Ask::get(path.clone()) };
    // The first one only warms up.
    run(cluster, load(list.clients.min(2)), ask.clone()).await;
    let count = list.clients * if list.clients == 1 { bench.form.of(7, 3) } else { bench.form.of(3, 1) };
    run(cluster, load(count), ask).await.all(count)
}

/// Reads the whole list in pages.
async fn pages(connection: &mut Connection) {
    const MARK: &str = "\"continue\":\"";
    let mut rest = String::new();
    for _ in 0..PODS / PAGE {
        let answer = connection.ask(&Ask::get(format!("{PATH}?limit={PAGE}{rest}"))).await;
        let head = String::from_utf8_lossy(&answer.body[..answer.body.len().min(4096)]);
        assert!(answer.good, "{head}");
        let token = head.split_once(MARK).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
        rest = format!("&continue={}", token.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F"));
    }
    assert_eq!(rest, "&continue=", "the list has more pages than it should have");
}
