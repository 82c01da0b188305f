//! Changes of objects that are there: patches of three kinds, of status, updates and applies.

use std::time::Duration;

use serde_json::json;

use super::{Bench, Family, WARM};
use crate::connection::Ask;
use crate::figures::Goal::Times;
use crate::figures::rate;
use crate::load::{Load, run};
use crate::objects::{MAPS, Placing, config_map, pod};

pub(super) const FAMILY: Family = Family {
    name: "write",
    rows: || {
        let names = ["merge patches", "status patches", "strategic merge patches", "updates", "server-side applies"];
        names.iter().map(|name| rate(&format!("{name}, 64 clients"), Times(6.0))).collect()
    },
    method: "merge patches, updates without a revision and applies of 1,000 ConfigMaps of 1 KB; patches of the status \
        of 1,000 pods, and strategic ones of their labels",
    time_max: Duration::from_secs(150),
    run: |bench| Box::pin(all(bench)),
};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn all(bench: &mut Bench) {
    let cluster = bench.warm_cluster().await;
    let create = |number| Ask::post(PODS, pod("pod", number, &Placing::Nowhere));
    run(&cluster, Load::of(WARM), create).await.all(WARM);
    let load = bench.load(64);

    let map = |number: usize| format!("{MAPS}/warm-{}", number % WARM);
    let merge = move |number| {
        let body = format!(r#"{{"data":{{"number":"{number}"}}}}"#);
        Ask::patch("application/merge-patch+json", map(number), body)
    };
    bench.figures.load("merge patches, 64 clients", &run(&cluster, load, merge).await);

    let status = |number| {
        let body = json!({"status": {"message": format!("message {number}")}});
        let path = format!("{PODS}/pod-{}/status", number % WARM);
        Ask::patch("application/merge-patch+json", path, body.to_string())
    };
    bench.figures.load("status patches, 64 clients", &run(&cluster, load, status).await);

    let strategic = |number: usize| {
        let body = json!({"metadata": {"labels": {"number": number.to_string()}}});
        let path = format!("{PODS}/pod-{}", number % WARM);
        Ask::patch("application/strategic-merge-patch+json", path, body.to_string())
    };
    bench.figures.load("strategic merge patches, 64 clients", &run(&cluster, load, strategic).await);

    let update = move |number: usize| {
        let body = config_map(&format!("warm-{}", number % WARM));
        Ask::put(map(number), body.replace("\"data\":{", &format!("\"data\":{{\"number\":\"{number}\",")))
    };
    bench.figures.load("updates, 64 clients", &run(&cluster, load, update).await);

    let apply = move |number: usize| {
        let name = format!("warm-{}", number % WARM);
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"number": number.to_string(), "applied": "yes"}});
        let path = format!("{}?fieldManager=applier&force=true", map(number));
        Ask::patch("application/apply-patch+yaml", path, body.to_string())
    };
    bench.figures.load("server-side applies, 64 clients", &run(&cluster, load, apply).await);
}
