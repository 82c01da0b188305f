//! A thousand simulated nodes with nothing to do.

use std::time::{Duration, Instant};

use super::{Bench, Family};
use crate::figures::Goal::Times;
use crate::figures::less;

pub(super) const FAMILY: Family = Family {
    name: "nodes",
    rows: || vec![less(CPU, "% of one processor", Times(10.0)), less(MEMORY, "MiB", Times(10.0))],
    method: "10 s after all are ready, over 60 s (quick: 20 s), KWOK counted",
    time_max: Duration::from_secs(180),
    run: |bench| Box::pin(all(bench)),
};

const CPU: &str = "idle CPU with 1,000 nodes";
const MEMORY: &str = "idle memory with 1,000 nodes";
const CALM: Duration = Duration::from_secs(10);
pub(super) const NODES: usize = 1_000;

async fn all(bench: &mut Bench) {
    let (cluster, _) = bench.cluster_of(NODES).await;
    tokio::time::sleep(CALM).await;
    let (before, since) = (cluster.work(), Instant::now());
    tokio::time::sleep(bench.form.of(Duration::from_secs(60), Duration::from_secs(20))).await;
    let share = (cluster.work() - before).as_secs_f64() / since.elapsed().as_secs_f64();
    bench.figures.set(CPU, share * 100.0);
    bench.figures.memory(MEMORY, &cluster, "");
}
