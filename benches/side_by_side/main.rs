//! Stock Kubernetes and Coracle under the same load on the same machine, in turns, some rounds in one run.
//! `cargo bench --bench side_by_side` writes `benches/results.md` and `benches/results.json` in about ten minutes;
//! `-- --only NAME` and `--side` take one measure and one side, print it and write nothing.

#![expect(clippy::print_stdout, reason = "the figures are the product")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "load generators are outside of any server")]

mod cluster;
mod connection;
mod held;
mod load;
mod measures;
mod process;
mod report;

use std::path::Path;

use cluster::Side;
use report::Figures;

/// How often both sides are measured.
const ROUNDS: usize = 3;

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
        cluster::versions(),
    )
}

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    only: Option<String>,
    side: Option<Side>,
    rounds: Option<usize>,
}

impl Wanted {
    fn parse(arguments: &[String]) -> Option<Self> {
        let mut wanted = Self::default();
        for pair in arguments.chunks(2) {
            match pair {
                [flag, name] if flag == "--only" && measures::NAMES.contains(&name.as_str()) => {
                    wanted.only = Some(name.clone());
                }
                [flag, side] if flag == "--side" && side == "stock" => wanted.side = Some(Side::Stock),
                [flag, side] if flag == "--side" && side == "coracle" => wanted.side = Some(Side::Coracle),
                [flag, rounds] if flag == "--rounds" => wanted.rounds = Some(rounds.parse().ok()?),
                _ => return None,
            }
        }
        Some(wanted)
    }
}

// One thread asks: more would take turns with the server that is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Cargo itself adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let names = measures::NAMES.join(", ");
    let usage =
        format!("usage: side_by_side [--only NAME] [--side stock|coracle] [--rounds N]; NAME is one of {names}");
    let wanted = Wanted::parse(&arguments).expect(&usage);
    rustls::crypto::ring::default_provider().install_default().expect("installed once");
    let about = machine();
    println!("{about}");
    let rounds = wanted.rounds.unwrap_or(if wanted.only.is_some() { 1 } else { ROUNDS });
    let mut figures: [Vec<Figures>; 2] = Default::default();
    for round in 0..rounds {
        // Who goes first takes turns, so that a machine that becomes slower or faster favours nobody.
        let order = if round % 2 == 0 { [Side::Stock, Side::Coracle] } else { [Side::Coracle, Side::Stock] };
        for side in order.into_iter().filter(|side| wanted.side.is_none_or(|only| only == *side)) {
            println!("{side:?}, round {} of {rounds}", round + 1);
            figures[side as usize].push(measures::measure(side, wanted.only.as_deref()).await);
        }
    }
    if wanted.only.is_none() && wanted.side.is_none() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        report::write(&folder, &about, &figures);
        println!("written to {}", folder.display());
    }
}
