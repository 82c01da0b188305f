//! The load generator: a number of clients, each with its own connection, each with one request at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use crate::cluster::{Cluster, TOKEN};
use crate::connection::{Answer, Ask, Connection, Wire};
use crate::http1;
use crate::process::own_work;

/// How much load at most: it ends with the count or the time, whichever comes first.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) count: usize,
    pub(crate) time_max: Duration,
    pub(crate) wire: Wire,
}

impl Load {
    /// A number of requests by many clients.
    pub(crate) fn of(count: usize) -> Self {
        Self { clients: 64, count, time_max: Duration::from_secs(600), wire: Wire::Http2 }
    }

    /// As many requests as there is time for.
    pub(crate) fn during(clients: usize, seconds: f64) -> Self {
        Self { clients, count: usize::MAX, time_max: Duration::from_secs_f64(seconds), wire: Wire::Http2 }
    }
}

/// How long each request took from its sending to the last byte of its answer.
pub(crate) struct Outcome {
    sorted: Vec<Duration>,
    elapsed: Duration,
    /// What the processors worked for all processes of the cluster, and for the generator.
    servers: Duration,
    generator: Duration,
    /// The most memory of the cluster meanwhile, and what it had before, in MiB.
    peak: f64,
    before: f64,
    /// How long the last answer was.
    bytes: usize,
    failures: usize,
    /// What the first bad answer said.
    failure: Option<String>,
}

impl Outcome {
    /// Requests that were answered well.
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
        let index = (self.done().saturating_sub(1) as f64 * share).ceil() as usize;
        self.sorted.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }

    pub(crate) fn peak(&self) -> f64 {
        self.peak
    }

    /// The memory in MiB that was there only meanwhile.
    pub(crate) fn extra(&self) -> f64 {
        self.peak - self.before
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many requests were not answered well, and what the first answer said.
    pub(crate) fn errors(&self) -> Option<String> {
        let first = self.failure.as_deref()?;
        Some(format!("{} errors, first: {first}", self.failures))
    }

    /// Insists on this number of good answers.
    pub(crate) fn all(self, count: usize) -> Self {
        let reason = self.errors().unwrap_or_else(|| format!("they took longer than {:?}", self.elapsed));
        assert_eq!(self.done(), count, "not all requests were answered well: {reason}");
        self
    }
}

enum Client {
    Http1(http1::Connection),
    Http2(Connection),
}

impl Client {
    async fn open(cluster: &Cluster, wire: Wire) -> Self {
        let (port, tls) = (cluster.port(), cluster.tls(wire));
        match wire {
            Wire::Http1 => Self::Http1(http1::Connection::open(port, tls, TOKEN).await),
            Wire::Http2 => Self::Http2(Connection::open(port, tls, TOKEN).await),
        }
    }

    async fn ask(&mut self, ask: &Ask) -> Answer<'_> {
        match self {
            Self::Http1(connection) => connection.ask(ask).await,
            Self::Http2(connection) => connection.ask(ask).await,
        }
    }
}

/// What one client has seen.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    bytes: usize,
    failures: usize,
    failure: Option<String>,
}

/// Runs a load; the request is made of its number.
pub(crate) async fn run(
    cluster: &Cluster,
    load: Load,
    request: impl Fn(usize) -> Ask + Send + Sync + 'static,
) -> Outcome {
    let mut clients = Vec::new();
    for _ in 0..load.clients {
        let mut client = Client::open(cluster, load.wire).await;
        // The handshake is not part of the load.
        assert!(client.ask(&Ask::get("/version")).await.good);
        clients.push(client);
    }
    cluster.forget_peaks();
    let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    let (before, work_before, own_before) = (cluster.resident(), cluster.work(), own_work());
    let start = Instant::now();
    let mut running = JoinSet::new();
    for mut client in clients {
        let (next, request) = (Arc::clone(&next), Arc::clone(&request));
        running.spawn(async move {
            let mut seen = Seen::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= load.count || start.elapsed() > load.time_max {
                    return seen;
                }
                one(&mut client, &request(number), &mut seen).await;
            }
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = running.join_next().await {
        let seen = joined(seen);
        all.times.extend(seen.times);
        all.bytes = all.bytes.max(seen.bytes);
        all.failures += seen.failures;
        all.failure = all.failure.or(seen.failure);
    }
    let elapsed = start.elapsed();
    let (servers, generator) = (cluster.work() - work_before, own_work() - own_before);
    let (peak, Seen { times: mut sorted, bytes, failures, failure }) = (cluster.peak(), all);
    sorted.sort();
    Outcome { sorted, elapsed, servers, generator, peak, before, bytes, failures, failure }
}

async fn one(client: &mut Client, ask: &Ask, seen: &mut Seen) {
    /// How much of a bad answer is told.
    const TOLD_CHARS_MAX: usize = 300;
    let sent = Instant::now();
    let answer = client.ask(ask).await;
    if answer.good {
        seen.times.push(sent.elapsed());
        seen.bytes = answer.bytes;
        return;
    }
    seen.failures += 1;
    let told = || String::from_utf8_lossy(answer.body).chars().take(TOLD_CHARS_MAX).collect::<String>();
    seen.failure.get_or_insert_with(|| format!("{} {}: {}", ask.method, ask.path, told()));
}

/// What a task gave back; its panic goes on here.
pub(crate) fn joined<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => panic!("{error}"),
    })
}
