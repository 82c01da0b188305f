//! CustomResourceDefinitions of a megabyte, as large as the largest that people have.

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Map, Value, json};

use super::{Bench, Family};
use crate::cluster::Cluster;
use crate::figures::Goal::AtMost;
use crate::figures::less;

pub(super) const FAMILY: Family = Family {
    name: "large definition",
    rows: || vec![less(TIME, "ms", AtMost(100.0)), less(MEMORY, "MiB", AtMost(3.0))],
    method: "twenty one after another (quick: five), after one that brings what all share, each in a group of its own: \
        from the request until the first answer of its type, in the middle; memory: what each adds, 10 s after the last",
    time_max: Duration::from_secs(300),
    run: |bench| Box::pin(all(bench)),
};

const TIME: &str = "a CRD of 1 MiB until it is served";
const MEMORY: &str = "memory of a CRD of 1 MiB";
const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BYTES: usize = 1 << 20;
const SETTLE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// An object of eight, each of eight texts, which its description makes up for the most part as in real definitions.
fn part(number: usize) -> Value {
    let description = "How often a thing may be tried before it is given up, or nothing where it is tried for ever.";
    let text = |length: usize| json!({"type": "string", "maxLength": 10 + length, "description": description});
    let texts = |of: usize| -> Map<_, _> { (0..8).map(|n| (format!("text{n}"), text(number + of + n))).collect() };
    let group = |of: usize| {
        (format!("group{of}"), json!({"type": "object", "description": description, "properties": texts(of)}))
    };
    json!({"type": "object", "description": description, "properties": (0..8).map(group).collect::<Map<_, _>>()})
}

fn definition(number: usize) -> Value {
    let each = part(0).to_string().len();
    let parts: Map<_, _> = (0..BYTES / each).map(|n| (format!("part{n}"), part(n))).collect();
    let (group, plural) = (format!("large{number}.example.com"), format!("larges{number}"));
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": parts}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": format!("large{number}"), "kind": format!("Large{number}")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

/// How long it takes until the type is served.
async fn install(cluster: &Cluster, client: &Client, number: usize) -> f64 {
    let definition = definition(number);
    let path = format!("/apis/large{number}.example.com/v1/larges{number}");
    let start = Instant::now();
    cluster.create(client, PATH, &definition).await;
    while cluster.get(client, &path).await["kind"] != format!("Large{number}List") {
        tokio::time::sleep(PAUSE).await;
    }
    start.elapsed().as_secs_f64() * 1000.0
}

async fn all(bench: &mut Bench) {
    let count = bench.form.of(20, 5);
    let (cluster, _) = bench.cluster().await;
    let client = cluster.client();
    install(&cluster, &client, 0).await;
    tokio::time::sleep(SETTLE).await;
    let before = cluster.resident();
    let mut times = Vec::new();
    for number in 1..=count {
        times.push(install(&cluster, &client, number).await);
    }
    times.sort_by(f64::total_cmp);
    bench.figures.set(TIME, times[count / 2]);
    tokio::time::sleep(SETTLE).await;
    bench.figures.set(MEMORY, (cluster.resident() - before) / f64::from(u32::try_from(count).unwrap_or(1)));
    bench.fewer(TIME, count);
    bench.fewer(MEMORY, count);
}
