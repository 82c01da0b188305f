//! What the table of facts costs at start: time and memory, and whether both are within what they may be.
//! `cargo bench --bench facts`

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use coracle::resources::facts::Facts;

const TIME_MAX: Duration = Duration::from_millis(5);
const MEMORY_MAX_KIBIBYTES: u64 = 5 * 1024;

/// The first loading is the one that counts: later ones find their memory ready.
fn main() -> ExitCode {
    let before = resident_kibibytes();
    let start = Instant::now();
    let facts = Facts::load();
    let took = start.elapsed();
    let memory = resident_kibibytes().saturating_sub(before);
    println!(
        "{} kinds: {took:?} (at most {TIME_MAX:?}), {memory} KiB (at most {MEMORY_MAX_KIBIBYTES})",
        facts.kinds.len()
    );
    if took <= TIME_MAX && memory <= MEMORY_MAX_KIBIBYTES { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the system counts as the memory of this process; 0 where it does not tell.
fn resident_kibibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
