//! Creates: ConfigMaps of 1 KB by few clients and many, and pods as people run them.

use std::time::Duration;

use super::{Bench, Family};
use crate::connection::{Ask, Wire};
use crate::figures::Goal::{None, Times};
use crate::figures::rate;
use crate::load::{Load, run};
use crate::objects::{Placing, create_map, pod};

pub(super) const FAMILY: Family = Family {
    name: "create",
    rows: || {
        vec![
            rate("creates, 1 client", Times(3.0)),
            rate("creates, 64 clients", Times(6.0)),
            rate("creates, 1,000 clients", Times(10.0)),
            rate("creates, 64 clients, HTTP/1.1", None),
            rate("Pod creates, 64 clients", Times(8.0)),
        ]
    },
    method: "ConfigMaps of 1 KB, and pods of 4 to 5 KB stored that no scheduler takes, with all default admission; \
        after 1,000 creates to warm up",
    time_max: Duration::from_secs(150),
    run: |bench| Box::pin(all(bench)),
};

async fn all(bench: &mut Bench) {
    let cluster = bench.warm_cluster().await;
    for (name, prefix, clients) in [
        ("creates, 1 client", "one", 1),
        ("creates, 64 clients", "many", 64),
        ("creates, 1,000 clients", "crowd", 1_000),
    ] {
        bench.figures.load(name, &run(&cluster, bench.load(clients), create_map(prefix)).await);
    }
    let old = Load { wire: Wire::Http1, ..bench.load(64) };
    bench.figures.load("creates, 64 clients, HTTP/1.1", &run(&cluster, old, create_map("old")).await);
    let create = |number| Ask::post("/api/v1/namespaces/default/pods", pod("created", number, &Placing::Nowhere));
    bench.figures.load("Pod creates, 64 clients", &run(&cluster, bench.load(64), create).await);
}
