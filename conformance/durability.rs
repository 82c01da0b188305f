//! What was acknowledged outlives SIGKILL at any moment, and a watch goes on over it without gap or duplicate.
//! `CORACLE_KILLS=50` kills more often than the usual run does; `CORACLE_SEED` repeats the moments of a run.
//! A killed process loses what it had not yet handed to the operating system; what a power cut loses is not shown here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::server::{Connection, DataFolder, setting};

const KILLS: u64 = 3;
const WRITERS: usize = 6;
/// How often an object is written, its creation included, before its writer goes on to the next.
const VERSIONS: usize = 5;
/// How many writes of each writer end the run.
const LAST_WRITES: usize = 7;
/// The latest moment of a kill after the first acknowledged write.
const LOAD_MAX: Duration = Duration::from_millis(500);
/// The latest moment of a kill after the start of the process, when it is killed while it starts.
const START_MAX: Duration = Duration::from_millis(300);
/// How long a part of the test may take that needs no more than a moment.
const PART_MAX: Duration = Duration::from_secs(90);

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const OURS: &str = "labelSelector=written-by";

/// A write as its answer, a list or a watch tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Write {
    revision: u64,
    name: String,
    /// Which write of its writer it is.
    sequence: usize,
}

impl Write {
    fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
        let sequence = number(&object["data"]["sequence"]).unwrap_or_else(|| panic!("not as written: {object}"));
        Self {
            revision: number(&metadata["resourceVersion"]).unwrap_or_else(|| panic!("no resourceVersion: {object}")),
            name: metadata["name"].as_str().unwrap().to_owned(),
            sequence: usize::try_from(sequence).unwrap(),
        }
    }
}

/// Writes one object after the other and remembers what was acknowledged.
struct Writer {
    number: usize,
    history: Vec<Write>,
}

impl Writer {
    fn name(&self, sequence: usize) -> String {
        format!("writer-{}-{}", self.number, sequence / VERSIONS)
    }

    /// Does the next write. An error leaves in doubt whether it was done.
    async fn write(&mut self, connection: &Connection, load: &Load) -> Result<(), reqwest::Error> {
        let sequence = self.history.len();
        let name = self.name(sequence);
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"written-by": format!("writer-{}", self.number)}},
            "data": {"sequence": sequence.to_string(), "padding": "x".repeat(1000)}});
        let request = if sequence.is_multiple_of(VERSIONS) {
            connection.request(Method::POST, MAPS)
        } else {
            object["metadata"]["resourceVersion"] = self.history[sequence - 1].revision.to_string().into();
            connection.request(Method::PUT, &format!("{MAPS}/{name}"))
        };
        let before = load.highest.load(Ordering::SeqCst);
        let answer = request.json(&object).send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        assert!(status.is_success(), "writing {name} ({sequence}): {status} {body}");
        let write = Write::of(&body);
        assert_eq!((&write.name, write.sequence), (&name, sequence));
        assert!(write.revision > before, "{write:?} is not above {before}, which was acknowledged before");
        load.highest.fetch_max(write.revision, Ordering::SeqCst);
        self.history.push(write);
        load.acknowledged.notify_one();
        Ok(())
    }

    /// Compares what is stored with what was acknowledged; takes in the one write that was in doubt if it was done.
    fn check(&mut self, stored: &BTreeMap<String, Write>) {
        let next = self.history.len();
        let in_doubt = stored.get(&self.name(next)).filter(|write| write.sequence == next);
        self.history.extend(in_doubt.cloned());
        let newest: BTreeMap<_, _> = self.history.iter().map(|write| (&write.name, write)).collect();
        let prefix = format!("writer-{}-", self.number);
        let found: BTreeMap<_, _> = stored.iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        assert_eq!(found, newest, "what is stored (left) is not what was acknowledged (right)");
    }
}

/// What the writers share.
struct Load {
    /// The highest resourceVersion that any of them was told.
    highest: AtomicU64,
    acknowledged: Notify,
}

impl Load {
    fn after(writers: &[Writer]) -> Self {
        let known = writers.iter().filter_map(|writer| writer.history.last()).map(|write| write.revision).max();
        Self { highest: AtomicU64::new(known.unwrap_or(0)), acknowledged: Notify::new() }
    }
}

/// Watches what the writers do, over the lives of the server.
struct Watcher {
    /// The resourceVersion seen last.
    from: u64,
    seen: Vec<Write>,
}

impl Watcher {
    /// Resumes after what was seen last; ends when the server does, or when it has seen a resourceVersion.
    async fn follow(&mut self, connection: &Connection, until: u64) -> Result<(), reqwest::Error> {
        let path = format!("{MAPS}?watch=true&{OURS}&resourceVersion={}", self.from);
        let mut answer = connection.request(Method::GET, &path).send().await?;
        assert_eq!(answer.status(), 200, "a watch from {}", self.from);
        let mut buffer = Vec::new();
        while self.from < until {
            let Some(chunk) = answer.chunk().await? else { return Ok(()) };
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                self.see(&serde_json::from_slice(&line).unwrap());
            }
        }
        Ok(())
    }

    fn see(&mut self, event: &Value) {
        let write = Write::of(&event["object"]);
        let kind = if write.sequence.is_multiple_of(VERSIONS) { "ADDED" } else { "MODIFIED" };
        assert_eq!(event["type"], kind, "{write:?}");
        assert!(write.revision > self.from, "{write:?} came after {}", self.from);
        self.from = write.revision;
        self.seen.push(write);
    }
}

/// All that the writers have stored, by name, and the resourceVersion of the list.
async fn stored(connection: &Connection) -> (BTreeMap<String, Write>, u64) {
    let request = connection.request(Method::GET, &format!("{MAPS}?{OURS}"));
    let list: Value = request.send().await.unwrap().json().await.unwrap();
    let writes = list["items"].as_array().unwrap().iter().map(Write::of);
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    (writes.map(|write| (write.name.clone(), write)).collect(), revision)
}

#[expect(clippy::disallowed_methods, reason = "the moment of the kill is the fault itself")]
async fn moment(random: &mut StdRng, max: Duration) {
    tokio::time::sleep(max.mul_f64(random.random())).await;
}

/// Checks that the server has what was acknowledged, and nothing else.
async fn check(connection: &Connection, writers: &mut [Writer], load: &Load) {
    let (stored, revision) = stored(connection).await;
    writers.iter_mut().for_each(|writer| writer.check(&stored));
    let highest = load.highest.fetch_max(revision, Ordering::SeqCst);
    assert!(revision >= highest, "the list is of {revision}, but {highest} was acknowledged");
}

/// Starts the server, checks it, writes and watches until it is killed.
async fn life(data: &mut DataFolder, random: &mut StdRng, (writers, watcher): (&mut [Writer], &mut Watcher)) {
    if random.random_bool(0.25) {
        let life = data.start();
        moment(random, START_MAX).await;
        life.kill();
    }
    let life = data.start();
    let connection = life.ready().await;
    let load = Load::after(writers);
    check(&connection, writers, &load).await;
    let write =
        join_all(writers.iter_mut().map(async |writer| while writer.write(&connection, &load).await.is_ok() {}));
    let watch = watcher.follow(&connection, u64::MAX);
    let kill = async {
        load.acknowledged.notified().await;
        moment(random, LOAD_MAX).await;
        life.kill();
    };
    let ended = tokio::time::timeout(PART_MAX, async { tokio::join!(write, watch, kill) }).await;
    assert!(ended.is_ok(), "the load did not end with the server");
}

#[tokio::test]
async fn acknowledged_writes_and_watches_outlive_sigkill() {
    let kills = setting("CORACLE_KILLS").unwrap_or(KILLS);
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    println!("{kills} kills, CORACLE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut data = DataFolder::new();
    let mut writers: Vec<_> = (0..WRITERS).map(|number| Writer { number, history: Vec::new() }).collect();
    // Nothing of the writers is older than any resourceVersion of the server's own; a watch from 1 sees all of them.
    let mut watcher = Watcher { from: 1, seen: Vec::new() };
    for kill in 1..=kills {
        life(&mut data, &mut random, (&mut writers, &mut watcher)).await;
        let written: usize = writers.iter().map(|writer| writer.history.len()).sum();
        println!("kill {kill}: {written} acknowledged, {} seen", watcher.seen.len());
    }

    let last = data.start();
    let connection = last.ready().await;
    let load = Load::after(&writers);
    check(&connection, &mut writers, &load).await;
    for writer in &mut writers {
        for _ in 0..LAST_WRITES {
            writer.write(&connection, &load).await.unwrap();
        }
    }
    check(&connection, &mut writers, &load).await;
    let mut written: Vec<_> = writers.into_iter().flat_map(|writer| writer.history).collect();
    written.sort();
    let newest = written.last().unwrap().revision;
    tokio::time::timeout(PART_MAX, watcher.follow(&connection, newest)).await.unwrap().unwrap();
    let unique = written.windows(2).all(|pair| pair[0].revision < pair[1].revision);
    assert!(unique, "two writes have one resourceVersion");
    for (seen, written) in watcher.seen.iter().zip(&written) {
        assert_eq!(seen, written, "what the watch saw (left) is not what was written (right)");
    }
    assert_eq!(watcher.seen.len(), written.len());
    last.kill();
}
