//! The size of the database after many updates of few objects.

use std::time::Duration;

use coracle::storage::Retention;

use super::{Bench, Family, Form, WARM};
use crate::cluster::Side;
use crate::connection::Ask;
use crate::figures::Goal::{AtMost, None};
use crate::figures::less;
use crate::load::{Load, run};
use crate::objects::{MAPS, config_map};

pub(super) const FAMILY: Family = Family {
    name: "database",
    rows: || vec![less(SIZE, "MiB", None), less(SHARE, "", AtMost(2.0))],
    method: "updates of 1,000 ConfigMaps of 1 KB by 64 clients: 100,000 (quick: 20,000; long: 1,000,000); all files of \
        the store 3 s after the last; stock's etcd is compacted as kube-apiserver does by itself, every five minutes; \
        the history that Coracle keeps is told by its own bounds",
    time_max: Duration::from_secs(300),
    run: |bench| Box::pin(all(bench)),
};

const SIZE: &str = "database after many updates of 1,000 objects";
const SHARE: &str = "database by live objects and kept history";
const SETTLE: Duration = Duration::from_secs(3);

async fn all(bench: &mut Bench) {
    let updates = match bench.form {
        Form::Quick => 20_000,
        Form::Full => 100_000,
        Form::Long => 1_000_000,
    };
    let cluster = bench.warm_cluster().await;
    let update = |number: usize| {
        let name = format!("warm-{}", number % WARM);
        let body = config_map(&name).replace("\"data\":{", &format!("\"data\":{{\"number\":\"{number}\","));
        Ask::put(format!("{MAPS}/{name}"), body)
    };
    let outcome = run(&cluster, Load { time_max: Duration::from_secs(3_600), ..Load::of(updates) }, update).await;
    let object = outcome.all(updates).bytes() as f64;
    tokio::time::sleep(SETTLE).await;
    let stored = cluster.stored_bytes() as f64;
    bench.figures.set(SIZE, stored / f64::from(1 << 20));
    note(bench, SIZE, updates);
    if bench.side == Side::Coracle {
        let history = (updates as f64 * object).min(Retention::FILE.bytes_max as f64);
        bench.figures.set(SHARE, stored / (WARM as f64 * object + history));
        note(bench, SHARE, updates);
    }
}

fn note(bench: &mut Bench, name: &str, updates: usize) {
    if let Some(figure) = bench.figures.values.get_mut(name) {
        figure.note = Some(format!("{updates} updates"));
    }
}
