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

use tokio::sync::watch;

use super::history::{Answer, History, Moment, Revision, Scope};
use super::injection::{self, Fault};
use super::load::{Client, TIERS, last_write};
use super::watcher::{Watcher, watchers};
use crate::server::{Connection, DataFolder, Life, Sabotage};

pub(super) const CLIENTS: usize = 10;
const NAMESPACES: [&str; 2] = ["a", "b"];
/// How long the clients work between two faults, at most.
const LOAD_MAX: Duration = Duration::from_millis(800);
/// How long the watchers may take to come to the end, and any part of a life that needs a moment.
pub(super) const PART_MAX: Duration = Duration::from_secs(120);

/// Where the clients of a round meet.
pub(super) struct Stage {
    clock: Arc<dyn Clock>,
    began: Duration,
    /// The value of the label that all objects of the round have.
    pub run: String,
    pub namespaces: Vec<String>,
    /// No object of the round is older.
    pub start: Revision,
    /// How long a client rests after each call, on average.
    pub rest: Duration,
    pub sabotage: Arc<Sabotage>,
    ended: AtomicBool,
}

/// What a round is to be.
pub(super) struct Plan {
    pub number: u64,
    /// How often the server ends.
    pub kills: u64,
    /// How long it may be stopped.
    pub stop_max: Duration,
}

impl Stage {
    /// Makes the namespaces of a round.
    pub(super) async fn begin(connection: &Connection, number: u64, sabotage: &Arc<Sabotage>) -> Self {
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
        let (began, sabotage) = (clock.monotonic(), Arc::clone(sabotage));
        let ended = AtomicBool::new(false);
        Self { clock, began, run, namespaces, start, rest: Duration::ZERO, sabotage, ended }
    }

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
pub(super) async fn round(
    (data, sabotage): (&mut DataFolder, &Arc<Sabotage>),
    random: &mut StdRng,
    plan: &Plan,
) -> History {
    let mut life = data.start();
    let mut connection = life.ready().await;
    let mut stage = Stage::begin(&connection, plan.number, sabotage).await;
    let seed = random.next_u64();
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    let mut watchers = watchers(&stage, seed);
    for _ in 0..plan.kills {
        let fault = Fault::random(random);
        stage.ended = AtomicBool::new(false);
        let all = (clients.as_mut_slice(), watchers.as_mut_slice());
        let work = together(&connection, &stage, all);
        let disturb = disturb(&life, &stage, (random, fault, plan.stop_max));
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

/// Clients and watchers until the server is gone.
async fn together(connection: &Connection, stage: &Stage, (clients, watchers): (&mut [Client], &mut [Watcher])) {
    let work = join_all(clients.iter_mut().map(|client| client.work(connection, stage, &stage.ended)));
    let (_keep, goal) = watch::channel(Revision::MAX);
    let watch = join_all(watchers.iter_mut().map(|watcher| watcher.follow(connection, stage, goal.clone())));
    tokio::join!(work, watch);
}

/// Lets them work, does one thing to the server, lets them work, and kills it.
async fn disturb(life: &Life, stage: &Stage, (random, fault, stop_max): (&mut StdRng, Fault, Duration)) {
    stage.wait(LOAD_MAX.mul_f64(random.random())).await;
    fault.happen(life, stage, (random, stop_max)).await;
    stage.wait(LOAD_MAX.mul_f64(random.random())).await;
    life.assert_running();
    stage.ended.store(true, Ordering::Release);
    life.signal(injection::ending(random));
}

/// The last work, and the last writes; gives how far each watcher must come.
async fn finish(
    connection: &Connection,
    stage: &Stage,
    (clients, watchers): (&mut [Client], &mut [Watcher]),
) -> Vec<(usize, Revision)> {
    work_for(connection, stage, (clients, LOAD_MAX)).await;
    let scopes: Vec<_> = watchers.iter().map(|watcher| watcher.scope.clone()).collect();
    let goals = last_writes(connection, stage, (&mut clients[0], &scopes)).await;
    let (_keep, goal): (Vec<_>, Vec<_>) = goals.iter().map(|(_, goal)| watch::channel(*goal)).unzip();
    let follow = watchers.iter_mut().zip(goal).map(|(watcher, goal)| watcher.follow(connection, stage, goal));
    // Who did not come to the end is found by the checker.
    let _ = tokio::time::timeout(PART_MAX, join_all(follow)).await;
    goals
}

/// Lets clients work for a time.
pub(super) async fn work_for(connection: &Connection, stage: &Stage, (clients, time): (&mut [Client], Duration)) {
    let stop = AtomicBool::new(false);
    let work = join_all(clients.iter_mut().map(|client| client.work(connection, stage, &stop)));
    let until = async {
        stage.wait(time).await;
        stop.store(true, Ordering::Release);
    };
    tokio::join!(work, until);
}

/// The last writes, of which every watcher is told that has them in scope; gives how far each must come.
pub(super) async fn last_writes(
    connection: &Connection,
    stage: &Stage,
    (client, scopes): (&mut Client, &[Scope]),
) -> Vec<(usize, Revision)> {
    let mut last = Vec::new();
    client.patient = true;
    for namespace in &stage.namespaces {
        for tier in TIERS {
            let (key, op) = last_write(namespace, tier);
            client.call(connection, stage, (key, op)).await;
            let call = client.calls.last().unwrap();
            let Answer::Object(state) = &call.answer else { panic!("the last writes must be done: {call:?}") };
            last.push((call.key.clone(), state.clone()));
        }
    }
    let goal = |scope: &Scope| {
        let seen = last.iter().filter(|(key, state)| scope.has(key, &state.content));
        seen.map(|(_, state)| state.revision).max().unwrap()
    };
    scopes.iter().map(goal).enumerate().collect()
}
