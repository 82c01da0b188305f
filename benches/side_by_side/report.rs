//! Figures of both sides as a page for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::load::Outcome;
use crate::measures::median;

const METHOD: &str = "\
Written by `cargo bench --bench side_by_side` on Linux; it needs Go and the binaries of `conformance/upstream/build`.

Stock is etcd, kube-apiserver, kube-controller-manager and kube-scheduler (`--kube-api-qps=5000 --kube-api-burst=10000`)
and KWOK with 20 nodes; Coracle is its one release binary with `--nodes=20`. All other settings are the defaults, so both
are durable: etcd syncs its log, Coracle its SQLite file. One side runs after the other, the first one changes from round
to round, each on fresh data on the same disk, on the loopback interface, with its controllers, scheduler and nodes
running all the time, and shares the processors with the load generator. The same generator asks both: HTTP/2 over TLS,
a bearer token, JSON, one connection a client, one request at a time on each, all in one thread; a load ends after 3 s
(1 client) or 5 s (64). Latencies run from sending to the last byte. CPU is user and system time of all processes of a
side, or of the generator, by request. Start: from the first process to a good `/readyz` of the API server alone (stock
without controllers, scheduler, KWOK; Coracle with all). Idle: 5 s after all nodes are ready, over 10 s. Memory:
resident, summed over all processes, KWOK included; with 10,000 pods it is taken after the LISTs. LIST: one client,
the whole list in one answer, median of 7 after one to warm up. Deployment: from its creation to
`availableReplicas: 1000`, on the cluster that had the loads before. Idle connections: what 1,000 more that asked
once add; idle watchers: what 5,000 of one type add, 100 on a connection. Start with 100,000 ConfigMaps of 1 KB: all is
killed and started again as for the start on fresh data; memory is taken 3 s later. Each figure is the median of the rounds; the JSON
file has them all. A ratio above 1 is in Coracle's favour.
";

/// What a row is called, its unit, and whether less of it is better.
const ROWS: [(&str, &str, Better); 36] = [
    ("start to /readyz", "s", Better::Less),
    ("idle memory", "MiB", Better::Less),
    ("idle CPU", "% of one processor", Better::Less),
    ("creates, 1 client", "/s", Better::More),
    ("creates, 1 client, p50", "ms", Better::Less),
    ("creates, 1 client, p99", "ms", Better::Less),
    ("creates, 1 client, server's CPU", "µs", Better::Less),
    ("creates, 64 clients", "/s", Better::More),
    ("creates, 64 clients, p50", "ms", Better::Less),
    ("creates, 64 clients, p99", "ms", Better::Less),
    ("creates, 64 clients, server's CPU", "µs", Better::Less),
    ("creates, 64 clients, generator's CPU", "µs", Better::Less),
    ("GETs, 1 client", "/s", Better::More),
    ("GETs, 1 client, p50", "ms", Better::Less),
    ("GETs, 64 clients", "/s", Better::More),
    ("GETs, 64 clients, p50", "ms", Better::Less),
    ("GETs, 64 clients, p99", "ms", Better::Less),
    ("GETs, 64 clients, server's CPU", "µs", Better::Less),
    ("GETs, 64 clients, generator's CPU", "µs", Better::Less),
    ("merge patches, 64 clients", "/s", Better::More),
    ("merge patches, 64 clients, p50", "ms", Better::Less),
    ("merge patches, 64 clients, p99", "ms", Better::Less),
    ("merge patches, 64 clients, server's CPU", "µs", Better::Less),
    ("Deployment of 1,000 pods", "s", Better::Less),
    ("Pod creates, 64 clients", "/s", Better::More),
    ("Pod creates, 64 clients, p50", "ms", Better::Less),
    ("Pod creates, 64 clients, p99", "ms", Better::Less),
    ("Pod creates, 64 clients, server's CPU", "µs", Better::Less),
    ("LIST of 10,000 pods", "ms", Better::Less),
    ("server's CPU of that LIST", "ms", Better::Less),
    ("bytes of that LIST", "MB", Better::Less),
    ("memory with 10,000 pods", "MiB", Better::Less),
    ("memory of an idle connection", "kB", Better::Less),
    ("memory of an idle watcher", "kB", Better::Less),
    ("start with 100,000 objects", "s", Better::Less),
    ("memory with 100,000 objects", "MiB", Better::Less),
];

#[derive(Clone, Copy)]
enum Better {
    Less,
    More,
}

/// What one side was measured at in one round, by the names of the rows.
#[derive(Default)]
pub(crate) struct Figures {
    values: BTreeMap<String, f64>,
    /// Memory by row and process, in MiB.
    processes: BTreeMap<&'static str, BTreeMap<&'static str, f64>>,
}

impl Figures {
    /// Takes a figure in; one that is not a number was not reached.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        println!("  {name}: {value:.2}");
        self.values.insert(name.to_owned(), value);
    }

    pub(crate) fn load(&mut self, name: &str, outcome: &Outcome) {
        println!("  {name}: {} requests", outcome.done());
        self.set(name, outcome.rate());
        self.set(&format!("{name}, p50"), outcome.within(0.5));
        self.set(&format!("{name}, p99"), outcome.within(0.99));
        let [servers, generator] = outcome.work();
        self.set(&format!("{name}, server's CPU"), servers);
        self.set(&format!("{name}, generator's CPU"), generator);
    }

    /// Takes in what memory the processes of a cluster have at this moment.
    pub(crate) fn memory(&mut self, name: &'static str, cluster: &Cluster) {
        let each: BTreeMap<_, _> = cluster.processes.iter().map(|one| (one.name, one.resident())).collect();
        self.set(name, each.values().sum());
        self.processes.insert(name, each);
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied().filter(|value| value.is_finite())
    }
}

/// The median of a row over the rounds that have it.
fn middle(rounds: &[Figures], name: &str) -> Option<f64> {
    Some(median(rounds.iter().filter_map(|figures| figures.get(name)).collect())).filter(|value| value.is_finite())
}

/// Writes `results.md` and `results.json` into a folder; the rounds of stock and those of Coracle.
pub(crate) fn write(folder: &Path, about: &str, [stock, coracle]: &[Vec<Figures>; 2]) {
    let mut page = format!("# Side by side with stock\n\n{METHOD}\n{about} {} rounds.\n\n", coracle.len());
    page.push_str("| what | unit | stock | Coracle | ratio |\n|---|---|---:|---:|---:|\n");
    let mut rows = Vec::new();
    for (name, unit, better) in ROWS {
        let (theirs, ours) = (middle(stock, name), middle(coracle, name));
        let ratio = theirs.zip(ours).map(|(theirs, ours)| match better {
            Better::Less => theirs / ours,
            Better::More => ours / theirs,
        });
        let ratio = ratio.filter(|ratio| ratio.is_finite());
        let (left, right, third) = (digits(theirs), digits(ours), digits(ratio));
        writeln!(page, "| {name} | {unit} | {left} | {right} | {third} |").expect("a string takes all");
        let rounds = [stock, coracle].map(|side| side.iter().map(|figures| figures.get(name)).collect::<Vec<_>>());
        rows.push(json!({"name": name, "unit": unit, "stock": theirs, "coracle": ours, "ratio": ratio,
            "rounds": {"stock": rounds[0], "coracle": rounds[1]}}));
    }
    page.push_str("\nMemory of each process in the last round, in MiB:\n\n");
    for figures in [stock, coracle].into_iter().filter_map(|side| side.last()) {
        for (row, processes) in &figures.processes {
            let each: Vec<_> = processes.iter().map(|(name, value)| format!("{name} {value:.0}")).collect();
            writeln!(page, "- {row}: {}", each.join(", ")).expect("a string takes all");
        }
    }
    let processes = |side: &[Figures]| side.iter().map(|figures| figures.processes.clone()).collect::<Vec<_>>();
    let json: Value = json!({"about": about, "rows": rows,
        "processes": {"stock": processes(stock), "coracle": processes(coracle)}});
    std::fs::write(folder.join("results.md"), page).unwrap();
    std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(&json).unwrap() + "\n").unwrap();
}

/// Three digits that count, or a dash.
fn digits(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}
