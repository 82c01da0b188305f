//! A disk that cannot be read, or reads what was not written, while the server works: what is asked of the past is
//! answered as it was, or refused with what is wrong, and the present is served all the while.
//!
//! `CORACLE_DAMAGE=5000` asks more often than the usual run does; `CORACLE_SEED` repeats a run.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Connection, DataFolder, Life, Order, Sabotage, setting};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const OBJECTS: usize = 12;
const WRITES: usize = 200;
/// How often the past is asked for.
const QUESTIONS: u64 = 150;
/// What a refusal says, by what is wrong: the advice is another.
const UNREADABLE: &str = "could not be read or written; check the disk";
const DAMAGED: &str = "is damaged (";

/// The objects at a revision: the number that each has.
type State = BTreeMap<String, u64>;

/// A server that has a past, which is known.
struct Bench {
    life: Life,
    connection: Connection,
    /// The state at each revision.
    past: Vec<(u64, State)>,
}

async fn bench(data: &mut DataFolder) -> Bench {
    let life = data.start();
    let connection = life.ready().await;
    let mut bench = Bench { life, connection, past: Vec::new() };
    for number in 0..WRITES {
        bench.write(number).await;
    }
    bench
}

impl Bench {
    async fn write(&mut self, number: usize) {
        let name = format!("map-{}", number % OBJECTS);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"number": number.to_string(), "padding": "x".repeat(600)}});
        let path = format!("{MAPS}/{name}?fieldManager=test&force=true");
        let request = self.connection.request(Method::PATCH, &path).body(map.to_string());
        let answer = request.header("content-type", "application/apply-patch+yaml").send().await.unwrap();
        let written: Value = answer.error_for_status().unwrap().json().await.unwrap();
        let mut state = self.past.last().map(|(_, state)| state.clone()).unwrap_or_default();
        state.insert(name, number as u64);
        self.past.push((written["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap(), state));
    }

    /// The state at a revision as the server tells it, or what it says instead.
    async fn told(&self, query: &str) -> Result<State, String> {
        let answer = self.connection.request(Method::GET, &format!("{MAPS}?{query}")).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {status} {text:?}"));
        if status != 200 {
            assert_eq!((&body["kind"], &body["code"]), (&json!("Status"), &json!(500)), "{body}");
            return Err(body["message"].as_str().unwrap().to_owned());
        }
        let of = |map: &Value| {
            let number = map["data"]["number"].as_str()?.parse().ok()?;
            Some((map["metadata"]["name"].as_str()?.to_owned(), number))
        };
        Ok(body["items"].as_array().unwrap().iter().filter_map(of).collect())
    }

    async fn told_at(&self, revision: u64) -> Result<State, String> {
        self.told(&format!("resourceVersion={revision}&resourceVersionMatch=Exact")).await
    }
}

/// What goes wrong, every how many times.
type Sick<'a> = (&'a Sabotage, Order, Range<i64>);

/// Asks for the past while reads go wrong, and holds what is told against the truth, and a refusal against what it must
/// say; gives how often it was told, and how often refused.
async fn ask(bench: &mut Bench, (sabotage, order, rates): Sick<'_>, says: &str) -> (u64, u64) {
    let count = setting("CORACLE_DAMAGE").unwrap_or(QUESTIONS);
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    crate::tell(&format!("{count} questions, CORACLE_SEED={seed}"));
    let mut random = StdRng::seed_from_u64(seed);
    let (mut told, mut refused) = (0, 0);
    for number in 0..count {
        // After a write nothing of the file is in the memory of those who read.
        bench.write(WRITES + usize::try_from(number).unwrap()).await;
        let (revision, state) = bench.past[..WRITES].choose(&mut random).unwrap().clone();
        sabotage.order(order, random.random_range(rates.clone()));
        let answer = bench.told_at(revision).await;
        let now = bench.told("").await;
        sabotage.order(order, 0);
        assert_eq!(now.as_ref(), Ok(&bench.past.last().unwrap().1), "the present; CORACLE_SEED={seed}");
        match answer {
            Ok(answer) => {
                assert_eq!(answer, state, "is told of {revision}; CORACLE_SEED={seed}");
                told += 1;
            }
            Err(message) => {
                assert!(message.contains(says), "{message}; CORACLE_SEED={seed}");
                refused += 1;
            }
        }
    }
    (told, refused)
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name_and_read_when_it_can() {
    let (mut data, sabotage) = DataFolder::sabotaged();
    let mut bench = bench(&mut data).await;
    let (told, refused) = ask(&mut bench, (&sabotage, Order::FailedReads, 1..80), UNREADABLE).await;
    println!("{told} told, {refused} refused, {} reads failed", sabotage.done(Order::FailedReads));
    assert!(refused > 0, "no read failed");
    let (revision, state) = bench.past[3].clone();
    assert_eq!(bench.told_at(revision).await, Ok(state));
    bench.life.kill();
    assert!(data.run(&["check"]).status.success());
}

#[tokio::test]
async fn what_was_not_written_is_never_told() {
    let (mut data, sabotage) = DataFolder::sabotaged();
    let mut bench = bench(&mut data).await;
    let (told, refused) = ask(&mut bench, (&sabotage, Order::ChangedReads, 1..8), DAMAGED).await;
    println!("{told} told, {refused} refused, {} reads were changed", sabotage.done(Order::ChangedReads));
    assert!(refused > 0, "no change was noticed");
    bench.life.kill();
}

#[tokio::test]
async fn reads_and_writes_of_a_part_are_gone_on_with() {
    let (mut data, sabotage) = DataFolder::sabotaged();
    let mut bench = bench(&mut data).await;
    for order in [Order::ShortWrites, Order::ShortReads] {
        sabotage.order(order, 1);
    }
    for number in 0..20 {
        bench.write(WRITES + number).await;
        let (revision, state) = bench.past[number * 7].clone();
        assert_eq!(bench.told_at(revision).await, Ok(state));
    }
    assert!(sabotage.done(Order::ShortWrites) > 0 && sabotage.done(Order::ShortReads) > 0);
    bench.life.kill();
    let life = data.start();
    let bench = Bench { connection: life.ready().await, life, past: bench.past };
    assert_eq!(bench.told("").await, Ok(bench.past.last().unwrap().1.clone()));
    bench.life.kill();
    for order in [Order::ShortWrites, Order::ShortReads] {
        sabotage.order(order, 0);
    }
    assert!(data.run(&["check"]).status.success());
}
