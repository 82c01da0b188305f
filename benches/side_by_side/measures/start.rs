//! A fresh cluster: how soon it is there, and what it costs while nothing is asked of it.

use std::time::{Duration, Instant};

use super::{Bench, Family};
use crate::figures::Goal::{None, Times};
use crate::figures::less;

pub(super) const FAMILY: Family = Family {
    name: "start",
    rows: || {
        vec![
            less("start to /readyz", "s", Times(50.0)),
            less("idle memory, without KWOK", "MiB", Times(12.0)),
            less("idle CPU", "% of one processor", None),
        ]
    },
    method: "from the first process to a good `/readyz` of the API server alone (stock without controllers, scheduler, \
        KWOK; Coracle with all), on fresh data; idle: 5 s after all 20 nodes are ready, over 20 s (quick: 10 s)",
    time_max: Duration::from_secs(90),
    run: |bench| Box::pin(run(bench)),
};

const CALM: Duration = Duration::from_secs(5);

async fn run(bench: &mut Bench) {
    let (cluster, start) = bench.cluster().await;
    bench.figures.set("start to /readyz", start.as_secs_f64());
    tokio::time::sleep(CALM).await;
    let (before, since) = (cluster.work(), Instant::now());
    tokio::time::sleep(bench.form.of(Duration::from_secs(20), Duration::from_secs(10))).await;
    let share = (cluster.work() - before).as_secs_f64() / since.elapsed().as_secs_f64();
    bench.figures.set("idle CPU", share * 100.0);
    bench.figures.memory("idle memory, without KWOK", &cluster, "kwok");
}
