//! Hours of ordinary work on a whole cluster: clients write, read and watch, workloads, definitions and namespaces come
//! and go; round after round the history is checked and it is read what the server takes. Nothing may grow for ever.
//!
//! `CORACLE_SOAK_MINUTES=60` makes it long; `CORACLE_SEED` repeats what the clients do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle::base::SystemClock;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::sync::watch;

use super::history::{History, Revision};
use super::load::Client;
use super::run::{CLIENTS, PART_MAX, Stage, last_writes, work_for};
use super::watcher::{Watcher, watchers};
use super::{assert_right, churn};
use crate::server::{Connection, DataFolder, Life, Signal, setting};

/// How long a round of a long run works, and of the short one.
const ROUND: Duration = Duration::from_secs(60);
const SHORT_ROUND: Duration = Duration::from_secs(2);
/// How long the short run is: two rounds or more.
const SHORT: Duration = Duration::from_secs(5);
/// How long a client rests after a call, on average: the machine has other work too.
const REST: Duration = Duration::from_millis(25);
/// What a long run may end with, in percent of what it had when a quarter was over …
const GROWTH_PERCENT_MAX: u64 = 130;
/// … and what may come besides.
const SLACK_BYTES: u64 = 32 << 20;
/// What the short run may add to what an idle server has.
const SHORT_GROWTH_BYTES: u64 = 256 << 20;
/// What the file may take: the history that is kept, twice, and what lives.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What the server takes at a moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    memory_bytes: u64,
    file_bytes: u64,
    open_files: usize,
    threads: usize,
}

impl Reading {
    fn of(life: &Life, data: &DataFolder) -> Self {
        let count = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", life.id())).unwrap().count();
        let file_bytes = std::fs::metadata(data.database()).unwrap().len() + life.log_bytes();
        Self { memory_bytes: life.memory_bytes(), file_bytes, open_files: count("fd"), threads: count("task") }
    }
}

impl std::fmt::Display for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { memory_bytes, file_bytes, open_files, threads } = self;
        let (memory, file) = (memory_bytes >> 20, file_bytes >> 20);
        write!(out, "memory {memory} MiB, file {file} MiB, {open_files} open files, {threads} threads")
    }
}

#[tokio::test]
async fn hours_of_work_keep_the_history_right_and_nothing_grows() {
    let minutes = setting("CORACLE_SOAK_MINUTES");
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    let (time, whole) = match minutes {
        Some(minutes) => (ROUND, Duration::from_secs(60 * minutes)),
        None => (SHORT_ROUND, SHORT),
    };
    println!("{whole:?} in rounds of {time:?}, CORACLE_SEED={seed}");
    let clock = SystemClock::shared();
    let began = clock.monotonic();
    let mut random = StdRng::seed_from_u64(seed);
    let (mut data, sabotage) = DataFolder::sabotaged();
    let life = data.start_whole();
    let connection = life.ready().await;
    let start = Reading::of(&life, &data);
    println!("start: {start}");
    let (mut calls, mut events, mut turns) = (0, 0, 0);
    let mut readings = Vec::new();
    while clock.monotonic() - began < whole {
        let number = readings.len() as u64 + 1;
        let mut stage = Stage::begin(&connection, number, &sabotage).await;
        stage.rest = REST;
        let (history, turned) = round(&connection, &stage, (random.next_u64(), time)).await;
        calls += history.calls.len();
        events += history.watches.iter().map(|watch| watch.told.len()).sum::<usize>();
        turns += turned;
        let reading = Reading::of(&life, &data);
        let passed = (clock.monotonic() - began).as_secs();
        println!("{number}: {passed} s, {calls} calls, {events} events, {turns} workloads; {reading}");
        assert_right(&history, seed);
        life.assert_running();
        readings.push(reading);
        for namespace in &stage.namespaces {
            churn::delete_namespace(&connection, &stage, namespace).await;
        }
    }
    let end = Reading::of(&life, &data);
    println!("end: {end}");
    let memory_max = match minutes {
        Some(_) => readings[readings.len() / 4].memory_bytes * GROWTH_PERCENT_MAX / 100 + SLACK_BYTES,
        None => start.memory_bytes + SHORT_GROWTH_BYTES,
    };
    assert!(end.memory_bytes < memory_max, "memory grew from {start} to {end}; CORACLE_SEED={seed}");
    assert!(end.file_bytes < FILE_BYTES_MAX, "the file grew from {start} to {end}");
    life.signal(Signal::Terminate);
    life.gone().await;
    assert!(data.run(&["check"]).status.success(), "the file is not whole; CORACLE_SEED={seed}");
}

/// Clients, watchers and workloads for a time; what was seen of the first two, and how many of the last there were.
async fn round(connection: &Connection, stage: &Stage, (seed, time): (u64, Duration)) -> (History, usize) {
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    let mut watchers = watchers(stage, seed);
    let scopes: Vec<_> = watchers.iter().map(|watcher| watcher.scope.clone()).collect();
    let (tell, goal): (Vec<_>, Vec<_>) = scopes.iter().map(|_| watch::channel(Revision::MAX)).unzip();
    let follow = watchers.iter_mut().zip(goal).map(|(watcher, goal)| watcher.follow(connection, stage, goal));
    let stop = AtomicBool::new(false);
    let work = async {
        work_for(connection, stage, (&mut clients, time)).await;
        stop.store(true, Ordering::Release);
        let goals = last_writes(connection, stage, (&mut clients[0], &scopes)).await;
        for (tell, (_, goal)) in tell.iter().zip(&goals) {
            tell.send_replace(*goal);
        }
        goals
    };
    // Who does not come to the end is found by the checker.
    let follow = tokio::time::timeout(time + PART_MAX, join_all(follow));
    let (goals, _, turns) = tokio::join!(work, follow, churn::churn(connection, stage, &stop));
    let history = History {
        calls: clients.iter_mut().flat_map(|client| std::mem::take(&mut client.calls)).collect(),
        lists: clients.iter_mut().flat_map(|client| std::mem::take(&mut client.lists)).collect(),
        watches: watchers.into_iter().flat_map(|watcher: Watcher| watcher.watches).collect(),
        compacted: 0,
        goals,
    };
    (history, turns)
}
