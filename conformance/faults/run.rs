//! One round: clients and watchers over some lives of the server, faults in between, and all that was seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle::base::{Clock, SystemClock};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, RngCore};
use reqwest::Method;
use serde_json::{Value, json};

use super::history::{Answer, History, Moment, Revision};
use super::injection::{self, Fault};
use super::load::{Client, TIERS, last_write};
use super::watcher::{Watcher, watchers};
use crate::server::{Connection, DataFolder, Life};

const CLIENTS: usize = 10;
const NAMESPACES: [&str; 2] = ["a", "b"];
/// How long the clients work between two faults, at most.
const LOAD_MAX: Duration = Duration::from_millis(800);
/// How long the watchers may take to come to the end, and any part of a life that needs a moment.
const PART_MAX: Duration = Duration::from_secs(120);

/// Where the clients of a round meet.
pub(super) struct Stage {
    clock: Arc<dyn Clock>,
    began: Duration,
    /// The value of the label that all objects of the round have.
    pub run: String,
    pub namespaces: Vec<String>,
    /// No object of the round is older.
    pub start: Revision,
    ended: AtomicBool,
}

impl Stage {
    pub(super) fn now(&self) -> Moment {
        u64::try_from((self.clock.monotonic() - self.began).as_micros()).unwrap()
    }

    pub(super) async fn wait(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    /// The server is about to be gone.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Runs a round whose server is killed some times; gives all that was seen.
pub(super) async fn round(data: &mut DataFolder, random: &mut StdRng, (number, kills): (u64, u64)) -> History {
    let mut life = data.start();
    let mut connection = life.ready().await;
    let mut stage = stage(&connection, number).await;
    let seed = random.next_u64();
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    let mut watchers = watchers(&stage, seed);
    for _ in 0..kills {
        let fault = Fault::random(random);
        stage.ended = AtomicBool::new(false);
        let all = (clients.as_mut_slice(), watchers.as_mut_slice());
        let work = together(&connection, &stage, all);
        let disturb = disturb(&life, &stage, (random, fault));
        let done = tokio::time::timeout(PART_MAX, async { tokio::join!(work, disturb) }).await;
        assert!(done.is_ok(), "the load did not end with the server after {fault:?}");
        life.gone().await;
        if random.random_bool(0.2) {
            let starting = data.start();
            stage.wait(Duration::from_millis(300).mul_f64(random.random())).await;
            starting.kill();
        }
        life = data.start();
        connection = life.ready().await;
    }
    stage.ended = AtomicBool::new(false);
    let goals = finish(&connection, &stage, (&mut clients, &mut watchers)).await;
    life.kill();
    History {
        calls: clients.iter_mut().flat_map(|client| std::mem::take(&mut client.calls)).collect(),
        lists: clients.iter_mut().flat_map(|client| std::mem::take(&mut client.lists)).collect(),
        watches: watchers.into_iter().flat_map(|watcher| watcher.watches).collect(),
        compacted: 0,
        goals,
    }
}

async fn stage(connection: &Connection, number: u64) -> Stage {
    let run = format!("r{number}");
    let namespaces: Vec<_> = NAMESPACES.iter().map(|name| format!("{run}-{name}")).collect();
    let mut start = 0;
    for name in &namespaces {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let request = connection.request(Method::POST, "/api/v1/namespaces").json(&body);
        let namespace: Value = request.send().await.unwrap().json().await.unwrap();
        start = namespace["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    }
    let clock = SystemClock::shared();
    let began = clock.monotonic();
    Stage { clock, began, run, namespaces, start, ended: AtomicBool::new(false) }
}

/// Clients and watchers until the server is gone.
async fn together(connection: &Connection, stage: &Stage, (clients, watchers): (&mut [Client], &mut [Watcher])) {
    let work = join_all(clients.iter_mut().map(|client| client.work(connection, stage, &stage.ended)));
    let watch = join_all(watchers.iter_mut().map(|watcher| watcher.follow(connection, stage, Revision::MAX)));
    tokio::join!(work, watch);
}

/// Lets them work, does one thing to the server, lets them work, and kills it.
async fn disturb(life: &Life, stage: &Stage, (random, fault): (&mut StdRng, Fault)) {
    stage.wait(LOAD_MAX.mul_f64(random.random())).await;
    fault.happen(life, stage, random).await;
    stage.wait(LOAD_MAX.mul_f64(random.random())).await;
    life.assert_running();
    stage.ended.store(true, Ordering::Release);
    life.signal(injection::ending(random));
}

/// The last writes, of which every watcher is told that has them in scope; gives how far each must come.
async fn finish(
    connection: &Connection,
    stage: &Stage,
    (clients, watchers): (&mut [Client], &mut [Watcher]),
) -> Vec<(usize, Revision)> {
    let stop = AtomicBool::new(false);
    let work = join_all(clients.iter_mut().map(|client| client.work(connection, stage, &stop)));
    let until = async {
        stage.wait(LOAD_MAX).await;
        stop.store(true, Ordering::Release);
    };
    tokio::join!(work, until);
    let mut last = Vec::new();
    clients[0].patient = true;
    for namespace in &stage.namespaces {
        for tier in TIERS {
            let (key, op) = last_write(namespace, tier);
            clients[0].call(connection, stage, (key, op)).await;
            let call = clients[0].calls.last().unwrap();
            let Answer::Object(state) = &call.answer else { panic!("the last writes must be done: {call:?}") };
            last.push((call.key.clone(), state.clone()));
        }
    }
    let goal = |watcher: &Watcher| {
        let seen = last.iter().filter(|(key, state)| watcher.scope.has(key, &state.content));
        seen.map(|(_, state)| state.revision).max().unwrap()
    };
    let goals: Vec<_> = watchers.iter().map(goal).enumerate().collect();
    let follow = watchers.iter_mut().zip(&goals).map(|(watcher, (_, goal))| watcher.follow(connection, stage, *goal));
    // Who did not come to the end is found by the checker.
    let _ = tokio::time::timeout(PART_MAX, join_all(follow)).await;
    goals
}
