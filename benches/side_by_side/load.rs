//! The load generator: a number of clients, each with its own HTTP/2 connection, each with one request at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};

use crate::cluster::Cluster;

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
}

impl Outcome {
    pub(crate) fn done(&self) -> usize {
        self.sorted.len()
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time in ms within which a share of the requests was answered.
    pub(crate) fn within(&self, share: f64) -> f64 {
        let index = (self.done().saturating_sub(1) as f64 * share) as usize;
        self.sorted.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Runs a load; the request is made of a client and the request's number. Any answer but a good one ends the benchmark.
pub(crate) async fn run<R>(cluster: &Arc<Cluster>, load: Load, request: R) -> Outcome
where
    R: Fn(&Cluster, &Client, usize) -> RequestBuilder + Send + Sync + 'static,
{
    let mut clients = Vec::new();
    for _ in 0..load.clients {
        let client = cluster.client();
        // The handshake is not part of the load.
        cluster.request(&client, Method::GET, "/version").send().await.unwrap().bytes().await.unwrap();
        clients.push(client);
    }
    let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    let start = Instant::now();
    let one = |client: Client| {
        let (cluster, next, request) = (Arc::clone(cluster), Arc::clone(&next), Arc::clone(&request));
        tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= load.count || start.elapsed() > load.time_max {
                    return times;
                }
                let sent = Instant::now();
                let answer = request(&cluster, &client, number).send().await.unwrap();
                let status = answer.status();
                let body = answer.bytes().await.unwrap();
                times.push(sent.elapsed());
                assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
            }
        })
    };
    let running: Vec<_> = clients.into_iter().map(one).collect();
    let mut sorted = Vec::new();
    for client in running {
        sorted.extend(client.await.unwrap());
    }
    let elapsed = start.elapsed();
    sorted.sort();
    Outcome { sorted, elapsed }
}
