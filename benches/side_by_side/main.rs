//! Stock Kubernetes and Coracle under the same load on the same machine, one after the other in one run.
//! `cargo bench --bench side_by_side` writes `benches/results.md` and `benches/results.json`;
//! `-- --only NAME` takes one measure, prints it and writes nothing. Takes about eight minutes.

#![expect(clippy::print_stdout, reason = "the figures are the product")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "load generators are outside of any server")]

mod cluster;
mod load;
mod measures;
mod process;
mod report;

use std::path::Path;

use cluster::Side;

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

#[tokio::main]
async fn main() {
    // Cargo itself adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let only = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--only", name] if measures::NAMES.contains(&name) => Some(name),
        _ => panic!("usage: side_by_side [--only NAME], where NAME is one of {}", measures::NAMES.join(", ")),
    };
    rustls::crypto::ring::default_provider().install_default().expect("installed once");
    let about = machine();
    println!("{about}");
    println!("stock");
    let stock = measures::measure(Side::Stock, only).await;
    println!("Coracle");
    let coracle = measures::measure(Side::Coracle, only).await;
    if only.is_none() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        report::write(&folder, &about, &[stock, coracle]);
        println!("written to {}", folder.display());
    }
}
