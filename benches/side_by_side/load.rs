//! The load generator: a number of clients, each with its own connection, each with one request at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::connection::{Ask, Connection};
use crate::process::own_work;

/// How much load at most: it ends with the count or the time, whichever comes first.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) count: usize,
    pub(crate) time_max: Duration,
}

/// How long each request took from its sending to the last byte of its answer.
pub(crate) struct Outcome {
    sorted: Vec<Duration>,
    elapsed: Duration,
    /// What the processors worked for all processes of the cluster, and for the generator.
    servers: Duration,
    generator: Duration,
}

impl Outcome {
    pub(crate) fn done(&self) -> usize {
        self.sorted.len()
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done() as f64 / self.elapsed.as_secs_f64()
    }

    /// Processor time of each request in µs: the cluster's and the generator's.
    pub(crate) fn work(&self) -> [f64; 2] {
        [self.servers, self.generator].map(|work| work.as_secs_f64() * 1e6 / self.done() as f64)
    }

    /// The time in ms within which a share of the requests was answered.
    pub(crate) fn within(&self, share: f64) -> f64 {
        let index = (self.done().saturating_sub(1) as f64 * share) as usize;
        self.sorted.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Runs a load; the request is made of its number. Any answer but a good one ends the benchmark.
pub(crate) async fn run(
    cluster: &Cluster,
    load: Load,
    request: impl Fn(usize) -> Ask + Send + Sync + 'static,
) -> Outcome {
    let mut connections = Vec::new();
    for _ in 0..load.clients {
        let mut connection = cluster.connect().await;
        // The handshake is not part of the load.
        assert!(connection.ask(&Ask::get("/version")).await.good);
        connections.push(connection);
    }
    let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    let work_before = (cluster.work(), own_work());
    let start = Instant::now();
    let one = |mut connection: Connection| {
        let (next, request) = (Arc::clone(&next), Arc::clone(&request));
        tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= load.count || start.elapsed() > load.time_max {
                    return times;
                }
                let ask = request(number);
                let sent = Instant::now();
                let answer = connection.ask(&ask).await;
                times.push(sent.elapsed());
                assert!(answer.good, "{}: {}", ask.path, String::from_utf8_lossy(answer.body));
            }
        })
    };
    let running: Vec<_> = connections.into_iter().map(one).collect();
    let mut sorted = Vec::new();
    for client in running {
        sorted.extend(client.await.unwrap());
    }
    let elapsed = start.elapsed();
    let (servers, generator) = (cluster.work() - work_before.0, own_work() - work_before.1);
    sorted.sort();
    Outcome { sorted, elapsed, servers, generator }
}
