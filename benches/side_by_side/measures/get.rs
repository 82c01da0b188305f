//! Reads of one object.

use std::time::Duration;

use super::{Bench, Family, WARM};
use crate::connection::{Ask, Wire};
use crate::figures::Goal::{None, Times};
use crate::figures::rate;
use crate::load::{Load, run};
use crate::objects::MAPS;

pub(super) const FAMILY: Family = Family {
    name: "get",
    rows: || {
        vec![
            rate("GETs, 1 client", Times(2.0)),
            rate("GETs, 64 clients", Times(8.0)),
            rate("GETs, 1 client, HTTP/1.1", None),
            rate("GETs, 64 clients, HTTP/1.1", None),
        ]
    },
    method: "1,000 ConfigMaps of 1 KB, in turns",
    time_max: Duration::from_secs(90),
    run: |bench| Box::pin(all(bench)),
};

async fn all(bench: &mut Bench) {
    let cluster = bench.warm_cluster().await;
    for (name, clients, wire) in [
        ("GETs, 1 client", 1, Wire::Http2),
        ("GETs, 64 clients", 64, Wire::Http2),
        ("GETs, 1 client, HTTP/1.1", 1, Wire::Http1),
        ("GETs, 64 clients, HTTP/1.1", 64, Wire::Http1),
    ] {
        let get = |number| Ask::get(format!("{MAPS}/warm-{}", number % WARM));
        bench.figures.load(name, &run(&cluster, Load { wire, ..bench.load(clients) }, get).await);
    }
}
