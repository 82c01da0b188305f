//! The start with much stored.

use std::time::Duration;

use super::{Bench, Family};
use crate::figures::Goal::{None, TimesAndAtMost};
use crate::figures::less;
use crate::load::{Load, run};
use crate::objects::create_map;

pub(super) const FAMILY: Family = Family {
    name: "restart",
    rows: || vec![less(START, "s", TimesAndAtMost(10.0, 1.0)), less(MEMORY, "MiB", None)],
    method: "ConfigMaps of 1 KB (the quick form: 30,000); all is killed and what answers requests is started again; \
        memory is taken 3 s later, of stock without controllers, scheduler and KWOK",
    time_max: Duration::from_secs(300),
    run: |bench| Box::pin(all(bench)),
};

const START: &str = "start to /readyz with 100,000 objects";
const MEMORY: &str = "memory after that start";
const SETTLE: Duration = Duration::from_secs(3);

async fn all(bench: &mut Bench) {
    let objects = bench.form.of(100_000, 30_000);
    let (mut cluster, _) = bench.cluster().await;
    run(&cluster, Load::of(objects), create_map("map")).await.all(objects);
    let start = cluster.start_again().await;
    bench.figures.set(START, start.as_secs_f64());
    tokio::time::sleep(SETTLE).await;
    bench.figures.memory(MEMORY, &cluster, "");
    bench.fewer(START, objects);
    bench.fewer(MEMORY, objects);
}
