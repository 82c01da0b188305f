//! Two thousand CustomResourceDefinitions.

use std::time::{Duration, Instant};

use serde_json::{Map, json};

use super::{Bench, Family};
use crate::cluster::eventually;
use crate::connection::Ask;
use crate::figures::Goal::Times;
use crate::figures::less;
use crate::load::{Load, run};

pub(super) const FAMILY: Family = Family {
    name: "definitions",
    rows: || vec![less(TIME, "s", Times(8.0)), less(MEMORY, "MiB", Times(8.0))],
    method: "ten to a group, each with twenty properties (quick: 200 of them), by 16 clients: from the first request \
        until all are established and the last is served; memory: what they add, 5 s later",
    time_max: Duration::from_secs(900),
    run: |bench| Box::pin(all(bench)),
};

const TIME: &str = "2,000 CRDs until all are served";
const MEMORY: &str = "memory of 2,000 CRDs";
const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const READY_MAX: Duration = Duration::from_secs(800);
const SETTLE: Duration = Duration::from_secs(5);

fn definition(number: usize) -> Ask {
    let (group, plural) = (format!("group{}.example.com", number / 10), format!("things{number}"));
    let property = |number: usize| {
        let text = json!({"type": "string", "maxLength": 100, "description": "One of the things that may be said."});
        (format!("property{number}"), text)
    };
    let properties: Map<_, _> = (0..20).map(property).collect();
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": format!("thing{number}"), "kind": format!("Thing{number}")},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema}}]}});
    Ask::post(PATH, definition.to_string())
}

async fn all(bench: &mut Bench) {
    let count = bench.form.of(2_000, 200);
    let (cluster, _) = bench.cluster().await;
    let client = cluster.client();
    let before = cluster.resident();
    let start = Instant::now();
    run(&cluster, Load { clients: 16, ..Load::of(count) }, definition).await.all(count);
    let last = count - 1;
    let served = async || {
        let path = format!("/apis/group{}.example.com/v1/things{last}", last / 10);
        cluster.get(&client, &path).await["kind"] == format!("Thing{last}List")
    };
    eventually("the last definition is served", READY_MAX, served).await.expect("definitions are served");
    let established = async || {
        let all = cluster.get(&client, PATH).await;
        let all = all["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let conditions = all.iter().filter_map(|one| one["status"]["conditions"].as_array());
        conditions.filter(|all| all.iter().any(|one| one["type"] == "Established" && one["status"] == "True")).count()
            == count
    };
    eventually("all definitions are established", READY_MAX, established).await.expect("definitions are established");
    bench.figures.set(TIME, start.elapsed().as_secs_f64());
    tokio::time::sleep(SETTLE).await;
    bench.figures.set(MEMORY, cluster.resident() - before);
    bench.fewer(TIME, count);
    bench.fewer(MEMORY, count);
}
