//! Stock Kubernetes and Coracle under the same load on the same machine, in turns, some rounds in one run.
//! `cargo bench --bench side_by_side` takes every measure and writes `benches/results.md`, `results.json` and
//! `growth.svg`; `-- --only NAME[,NAME]` takes some, and the files keep the latest of the others.

#![expect(clippy::print_stdout, reason = "the figures are the product")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "load generators are outside of any server")]

mod chart;
mod cluster;
mod connection;
mod figures;
mod http1;
mod load;
mod measures;
mod objects;
mod process;
mod programs;
mod report;
mod watching;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use cluster::Side;
use measures::{FAMILIES, Family, Form};
use report::Origin;

/// Measures Coracle side by side with stock Kubernetes.
#[derive(Parser)]
struct Wanted {
    /// Families of measures to take, of those that --list names
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// One side only: stock or coracle
    #[arg(long, value_parser = |text: &str| Side::parse(text).ok_or("stock or coracle"))]
    side: Option<Side>,
    /// How often both sides are measured [default: 3, quick: 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Shorter loads, smaller sizes, one round
    #[arg(long, conflicts_with = "long")]
    quick: bool,
    /// Also what takes hours on stock: a million objects, a million updates
    #[arg(long)]
    long: bool,
    /// Folder of the results
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/benches"))]
    into: PathBuf,
    /// Tell what can be measured
    #[arg(long)]
    list: bool,
    /// Cargo itself adds it
    #[arg(long, hide = true)]
    bench: bool,
}

impl Wanted {
    fn form(&self) -> Form {
        match (self.quick, self.long) {
            (true, _) => Form::Quick,
            (false, true) => Form::Long,
            (false, false) => Form::Full,
        }
    }

    fn families(&self) -> Vec<&'static Family> {
        for name in &self.only {
            assert!(FAMILIES.iter().any(|family| family.name == name), "there is no {name}; see --list");
        }
        let wanted = |family: &&Family| self.only.is_empty() || self.only.iter().any(|name| name == family.name);
        FAMILIES.into_iter().filter(wanted).collect()
    }
}

/// What a reader must know of the machine.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "Machine: {processors} processors ({}), {} of memory, Linux {}; load average at the start {}. {}.",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
        programs::versions(),
    )
}

/// The commit that is measured; with a plus when files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = !git(&["status", "--porcelain", "--", "src", "Cargo.lock"]).is_empty();
    format!("{}{}", git(&["rev-parse", "--short", "HEAD"]), if changed { "+" } else { "" })
}

/// A thousand clients need more than the thousand files that a process often may have open.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        println!("the limit of open files stays as it is: {error}");
    }
}

// One thread asks: more would take turns with the server that is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let wanted = Wanted::parse();
    if wanted.list {
        FAMILIES.iter().for_each(|family| println!("{}", family.name));
        return;
    }
    allow_many_files();
    rustls::crypto::ring::default_provider().install_default().expect("installed once");
    let [mut asked, mut told] = [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).unwrap());
    tokio::select! {
        () = run(&wanted) => {}
        // What runs is dropped, and its processes and folders with it.
        _ = asked.recv() => println!("stopped"),
        _ = told.recv() => println!("stopped"),
    }
}

async fn run(wanted: &Wanted) {
    let form = wanted.form();
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let origin = Origin { machine: machine(), commit: commit(), date, form };
    println!("{} Commit {}.", origin.machine, origin.commit);
    let rounds = wanted.rounds.unwrap_or(form.of(3, 1));
    for family in wanted.families() {
        let mut sides: [report::Rounds; 2] = Default::default();
        for round in 0..rounds {
            // Who goes first takes turns, so that a machine that becomes slower or faster favours nobody.
            let order = if round % 2 == 0 { [Side::Stock, Side::Coracle] } else { [Side::Coracle, Side::Stock] };
            for side in order.into_iter().filter(|side| wanted.side.is_none_or(|only| only == *side)) {
                println!("{}, {}, round {} of {rounds}", family.name, side.name(), round + 1);
                let start = Instant::now();
                sides[side as usize].push(measures::measure(family, side, form).await);
                println!("  it took {:.0} s", start.elapsed().as_secs_f64());
            }
        }
        report::write(&wanted.into, &origin, (family, &sides));
    }
    println!("written to {}", wanted.into.display());
}
