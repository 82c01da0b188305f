//! A whole session with kubectl, the newest, compared with what it printed on stock's own cluster: etcd, API server,
//! controller manager, scheduler and KWOK's nodes.
//!
//! `commands.txt` has the commands, `../recordings/session.txt` what stock answered. Names, times and addresses that
//! chance gives are replaced on both sides before they are compared; see `normal.rs`.

mod cluster;
mod normal;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cluster::Cluster;
use normal::normal;

const COMMANDS: &str = include_str!("commands.txt");
const OPEN: &str = include_str!("open.txt");
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/session/files");
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/recordings/session.txt");

/// What of a command is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    All,
    Lines,
    Code,
    /// Repeated until it succeeds, and not compared.
    Wait,
}

struct Command {
    mark: Mark,
    line: &'static str,
}

fn commands() -> Vec<Command> {
    let lines = COMMANDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let command = |line: &'static str| {
        let (mark, rest) = line.split_once(' ').unwrap();
        let mark = match mark {
            "$" => Mark::All,
            "%" => Mark::Lines,
            "~" => Mark::Code,
            "?" => Mark::Wait,
            other => panic!("no mark: {other}"),
        };
        let line = rest.split_once("  # ").map_or(rest, |(line, _)| line);
        Command { mark, line }
    };
    lines.map(command).collect()
}

/// What a command printed and how it ended, as it is compared.
fn told(command: &Command, (code, text): (i32, String)) -> String {
    let mut told = format!("$ {}\n", command.line);
    let mut lines: Vec<_> = normal(&text);
    if command.mark == Mark::Lines {
        lines.sort();
        lines.dedup();
    }
    if command.mark != Mark::Code {
        lines.iter().for_each(|line| told.push_str(&format!("{line}\n")));
    }
    writeln!(told, "exit code {code}").unwrap();
    told
}

/// Plays all commands; gives what each that is compared told, and the waits that were in vain.
fn play(cluster: &Cluster) -> (Vec<String>, Vec<String>) {
    let (mut all, mut vain) = (Vec::new(), Vec::new());
    for command in commands() {
        match command.mark {
            Mark::Wait => vain.extend(cluster.eventually(command.line).err()),
            _ => all.push(told(&command, cluster.bash(command.line))),
        }
    }
    (all, vain)
}

/// The recording as it was told, command by command.
fn parts(recording: &str) -> Vec<String> {
    let whole = |part: &str| format!("$ {}\n", part.trim_start_matches("$ ").trim_end());
    recording.split("\n\n$ ").map(whole).collect()
}

/// The kubectl whose words were recorded.
fn kubectl() -> Option<PathBuf> {
    let built = Path::new(crate::server::BINARIES).join("kubectl");
    built.is_file().then_some(built)
}

#[test]
fn a_session_with_kubectl_reads_as_on_stock() {
    let Some(kubectl) = kubectl() else {
        eprintln!("NOT RUN: conformance/upstream/bin/kubectl is missing: run conformance/upstream/build kubectl");
        return;
    };
    let expected = parts(&std::fs::read_to_string(RECORDING).unwrap());
    let (actual, mut report) = play(&Cluster::coracle(&kubectl));
    let asked = |part: &String| part.lines().next().unwrap().to_owned();
    let lists = [&expected, &actual].map(|parts| parts.iter().map(asked).collect::<Vec<_>>());
    assert!(lists[0] == lists[1], "the commands are others than those recorded: record them anew");
    for (expected, actual) in expected.iter().zip(&actual) {
        let open = OPEN.lines().any(|line| asked(actual)[2..] == *line);
        match (expected == actual, open) {
            (true, true) => report.push(format!("{}: is as on stock now: take it out of open.txt", asked(actual))),
            (false, false) => report.push(difference(expected, actual)),
            _ => {}
        }
    }
    assert!(report.is_empty(), "{} of {} differ\n{}", report.len(), actual.len(), report.join("\n"));
}

/// The lines of one that are not in the other.
fn difference(expected: &str, actual: &str) -> String {
    let (before, after): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let tail = before[same..].iter().rev().zip(after[same..].iter().rev()).take_while(|(one, other)| one == other);
    let tail = tail.count();
    let mut text = format!("{}\n", before[0]);
    before[same..before.len() - tail].iter().for_each(|line| writeln!(text, "  stock:   {line}").unwrap());
    after[same..after.len() - tail].iter().for_each(|line| writeln!(text, "  coracle: {line}").unwrap());
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the recording; needs stock's binaries"]
async fn record() {
    let kubectl = kubectl().expect("conformance/upstream/bin/kubectl");
    let stock = crate::server::stock().await;
    let cluster = Cluster::stock(&kubectl, stock).await;
    let (told, vain) = tokio::task::spawn_blocking(move || play(&cluster)).await.unwrap();
    assert!(vain.is_empty(), "{}", vain.join("\n"));
    std::fs::write(RECORDING, told.join("\n")).unwrap();
}
