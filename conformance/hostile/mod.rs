//! Clients that mean harm or are broken: requests that are nonsense, connections that stall, writers beyond what can be
//! served, definitions and webhooks that would cost the server its memory or its time. Nobody else notices, memory is
//! bounded, and every answer says what is wrong.
//!
//! `CORACLE_HOSTILE=1000000` asks for more than the usual run does, `CORACLE_CONNECTIONS=10000` opens more connections;
//! `CORACLE_SEED` repeats a run.

mod by_hand;
mod clients;
mod extension;
mod generated;
mod made;
mod published;
mod request;

use std::cell::Cell;

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};

use crate::server::{Connection, DataFolder, Protocol, setting};
use generated::Generator;
use request::Hostile;

const REQUESTS: u64 = 3_000;
/// What memory may grow by besides: code that is used for the first time, answers that are kept.
const SLACK_BYTES: u64 = 96 << 20;
/// What one of the requests leaves in memory, on average: few of them make anything.
const STORED_BYTES: u64 = 4 << 10;
/// How many hostile requests are made up at once …
const BATCH: u64 = 5_000;
/// … and after how many what they made is deleted, so that memory has a bound however long the run is.
const ROUND: u64 = 4 * BATCH;
/// Of those that were generated at least one in so many is taken: else the valid ones are none.
const TAKEN_SHARE: u64 = 12;
/// How much of a body is told.
const TOLD_MAX: usize = 300;
/// How many hostile requests are under way at once …
const TOGETHER: u64 = 64;
/// … and how large the body of each may be: so much is in memory at once, and the allocator keeps it a while.
const BODY_BYTES_MAX: u64 = 3 << 20;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

/// Sends requests, half of them generated; gives how many of those were taken, and how many answers were wrong.
async fn send(connections: &[Connection], (generator, count): (&Generator, u64), random: &mut StdRng) -> (u64, u64) {
    let one = |number: u64| if number.is_multiple_of(2) { generator.request(random) } else { by_hand::request(random) };
    let batch: Vec<Hostile> = (0..count).map(one).collect();
    let (taken, wrong) = (Cell::new(0), Cell::new(0));
    let ask = async |(number, hostile): (usize, &Hostile)| {
        let outcome = hostile.send(&connections[number / 2 % connections.len()]).await;
        taken.set(taken.get() + u64::from(outcome.taken && number.is_multiple_of(2)));
        if let Some(told) = outcome.wrong {
            let Hostile { method, path, content_type, body, .. } = hostile;
            let body: String = String::from_utf8_lossy(body).chars().take(TOLD_MAX).collect();
            crate::tell(&format!("{told}\n  to {method} {path} {content_type}: {body}"));
            wrong.set(wrong.get() + 1);
        }
    };
    futures::stream::iter(batch.iter().enumerate()).for_each_concurrent(TOGETHER as usize, ask).await;
    (taken.get(), wrong.get())
}

#[tokio::test]
async fn hostile_requests_are_told_what_is_wrong_with_them() {
    let count = setting("CORACLE_HOSTILE").unwrap_or(REQUESTS);
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    println!("{count} hostile requests, CORACLE_SEED={seed}");
    let mut data = DataFolder::new();
    let life = data.start_with(&["--etcd-compaction-interval=30s"]);
    let first = life.ready().await;
    let connections = [first.another(Protocol::Http1), first.another(Protocol::Http2)];
    let generator = Generator::read(&first).await;
    let made: Vec<String> = by_hand::MADE.iter().map(|path| (*path).to_owned()).chain(generator.made()).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let before = life.memory_bytes();
    let (mut done, mut taken) = (0, 0);
    while done < count {
        let batch = BATCH.min(count - done);
        let (newly_taken, wrong) = send(&connections, (&generator, batch), &mut random).await;
        life.assert_running();
        assert_eq!(wrong, 0, "CORACLE_SEED={seed}");
        taken += newly_taken;
        done += batch;
        let now = life.memory_bytes();
        println!("{done} requests, {taken} generated ones taken; memory from {} to {} MiB", before >> 20, now >> 20);
        // What one round stored, and the history of it.
        let stored = done.min(ROUND) * STORED_BYTES;
        let under_way = TOGETHER * BODY_BYTES_MAX;
        assert!(
            now < before + SLACK_BYTES + under_way + stored,
            "CORACLE_SEED={seed}: memory grew from {before} to {now}"
        );
        if done.is_multiple_of(ROUND) {
            for path in &made {
                let deleted = connections[0].request_of("admin", Method::DELETE, path).send().await.unwrap();
                assert_eq!(deleted.status(), StatusCode::OK, "{path}");
            }
        }
    }
    assert!(taken > done / 2 / TAKEN_SHARE, "{taken} of {done} were taken");
    life.kill();
}
