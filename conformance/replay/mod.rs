//! Scenarios: ordered requests (`conformance/scenarios/*.yaml`), what stock kube-apiserver answers to them
//! (`conformance/recordings/*.json`), and the test that ours answers alike.
//!
//! After a change of a scenario or of the pinned version:
//! `cargo test --test conformance -- --ignored replay::record` writes the recordings anew, all or those that
//! `CONFORMANCE_SCENARIOS=one,two` names.

mod binary;
mod compare;
mod fold;
mod names;
mod run;
mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::server::{BINARIES, Server, coracle, coracle_with, in_process, stock, stock_with};

pub(crate) use compare::tree_differences;
use compare::{Difference, differences};
pub(crate) use names::Names;
use run::{run, stage};
use scenario::{Recording, Scenario};

/// The steps that are known to differ.
const OPEN: &str = "open.txt";
const OPEN_HEAD: &str = "# Steps of recordings that are not yet answered as stock does, one a line as \"scenario: step\".\n\
    # This list only shrinks: cargo test --test conformance -- --ignored replay::shrink\n";

/// How long stock takes to heed a new configuration of webhooks, of which nothing tells.
const SETTLE: Duration = Duration::from_millis(1500);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(name)
}

/// Files of a folder by name without ending, in order.
fn files(name: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

fn scenarios() -> Vec<(String, Scenario)> {
    let read = |(name, path): (String, PathBuf)| {
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario: Scenario =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (name, scenario)
    };
    files("scenarios").into_iter().map(read).flat_map(|(name, scenario)| scenario.each(name)).collect()
}

fn recordings() -> Vec<Recording> {
    let read = |(_, path): (String, PathBuf)| -> Recording {
        let text = std::fs::read_to_string(&path).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let of_scenario = |(_, path): &(String, PathBuf)| path.extension().is_some_and(|ending| ending == "json");
    files("recordings").into_iter().filter(of_scenario).map(read).collect()
}

/// Not a test of ours: it asks stock and writes what it says.
#[tokio::test]
#[ignore = "needs the binaries of conformance/upstream/build"]
async fn record() {
    assert!(Path::new(BINARIES).join("kube-apiserver").exists(), "run conformance/upstream/build first");
    let server = stock().await;
    let version = answer(&server, "/version").await["gitVersion"].as_str().unwrap().to_owned();
    for (name, scenario) in scenarios().into_iter().filter(|(name, _)| chosen(name)) {
        let stage = stage(&scenario).await;
        let own = match scenario.is_shared() {
            true => None,
            false => Some(stock_with(|folder| stage.flags(&scenario, folder)).await),
        };
        let steps = run(own.as_ref().unwrap_or(&server), &name, (&scenario, &stage, SETTLE)).await;
        let Scenario { about, webhooks, flags, setting, .. } = scenario;
        let (scenario, kubernetes) = (name.clone(), version.clone());
        let recording = Recording { scenario, kubernetes, about, webhooks, flags, setting, steps };
        let text = serde_json::to_string_pretty(&recording).unwrap() + "\n";
        std::fs::write(folder("recordings").join(format!("{name}.json")), text).unwrap();
    }
}

/// Whether a scenario is among those that `CONFORMANCE_SCENARIOS` names, separated by commas; without it all are.
#[expect(clippy::disallowed_methods, reason = "a switch of a tool of the workshop")]
fn chosen(name: &str) -> bool {
    let chosen = std::env::var("CONFORMANCE_SCENARIOS").unwrap_or_default();
    chosen.is_empty() || chosen.split(',').any(|one| one == name)
}

async fn answer(server: &Server, path: &str) -> Value {
    let request = server.client.get(format!("{}{path}", server.base)).bearer_auth("admin-token");
    request.send().await.unwrap().json().await.unwrap()
}

#[test]
fn every_scenario_is_recorded_as_it_stands() {
    let recorded = recordings();
    let scenarios = scenarios();
    assert_eq!(recorded.len(), scenarios.len(), "record again: a recording without a scenario, or the reverse");
    for (recording, (name, scenario)) in recorded.iter().zip(&scenarios) {
        assert_eq!(recording.scenario, *name);
        let requests: Vec<_> = recording.steps.iter().map(|step| &step.request).collect();
        assert_eq!(recording.webhooks, scenario.webhooks, "{name} has changed; record it again");
        assert_eq!(recording.flags, scenario.flags, "{name} has changed; record it again");
        assert_eq!(recording.setting, scenario.setting, "{name} has changed; record it again");
        assert_eq!(requests, scenario.steps.iter().collect::<Vec<_>>(), "{name} has changed; record it again");
    }
}

#[tokio::test]
async fn every_recording_is_answered_alike() {
    let open = compare::open(&folder(OPEN));
    let found = replay().await;
    let failed: Vec<_> = found.different.iter().filter(|(step, _)| !open.contains(*step)).collect();
    let reports: Vec<_> = failed.iter().map(|(step, left)| compare::report(step, left)).collect();
    println!("{} of {} requests are answered as stock does", found.total - found.different.len(), found.total);
    assert!(failed.is_empty(), "{} steps differ from stock:\n{}", failed.len(), reports.join("\n"));
}

/// Not a test: takes what is answered as stock does by now out of `open.txt`, and shows what is left of it.
/// With `CONFORMANCE_OPEN=all` it puts all that differs there, as when the recordings grow.
#[tokio::test]
#[ignore = "writes conformance/open.txt"]
async fn shrink() {
    #[expect(clippy::disallowed_methods, reason = "the one switch of a tool of the workshop")]
    let all = std::env::var("CONFORMANCE_OPEN").is_ok_and(|value| value == "all");
    let open = compare::open(&folder(OPEN));
    let found = replay().await;
    let left: Vec<_> = found.different.iter().filter(|(step, _)| all || open.contains(*step)).collect();
    left.iter().for_each(|(step, differences)| println!("{}", compare::report(step, differences)));
    let untried = open.iter().filter(|step| !step.split(':').next().is_some_and(chosen));
    let lines: BTreeSet<&String> = untried.chain(left.iter().map(|(step, _)| *step)).collect();
    let lines: String = lines.iter().map(|step| format!("{step}\n")).collect();
    std::fs::write(folder(OPEN), format!("{OPEN_HEAD}{lines}")).unwrap();
    println!("{} of {} requests are open", left.len(), found.total);
}

/// What a replay of all recordings found.
struct Found {
    total: usize,
    /// Steps by name, with the differences that are not wanted.
    different: BTreeMap<String, Vec<Difference>>,
}

async fn replay() -> Found {
    let server = coracle().await;
    let mut forgetful = None;
    let wanted = compare::wanted(&folder("differences.yaml"));
    let mut found = Found { total: 0, different: BTreeMap::new() };
    for recording in recordings().into_iter().filter(|recording| chosen(&recording.scenario)) {
        let compacts = recording.steps.iter().any(|step| step.request.compacts());
        if compacts && forgetful.is_none() {
            forgetful = Some(in_process().await);
        }
        let scenario = Scenario::of(&recording);
        let stage = stage(&scenario).await;
        let own = match scenario.is_shared() {
            true => None,
            false => Some(coracle_with(|folder| stage.flags(&scenario, folder)).await),
        };
        let server = own.as_ref().or_else(|| forgetful.as_ref().filter(|_| compacts)).unwrap_or(&server);
        let answers = run(server, &recording.scenario, (&scenario, &stage, Duration::ZERO)).await;
        for (stock, ours) in recording.steps.iter().zip(&answers) {
            let step = format!("{}: {}", recording.scenario, stock.request.step);
            let mut left = differences(stock, ours);
            left.retain(|difference| !wanted.iter().any(|row| row.covers(&step, difference)));
            found.total += 1;
            if !left.is_empty() {
                found.different.insert(step, left);
            }
        }
    }
    found
}
