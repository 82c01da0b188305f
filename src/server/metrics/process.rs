//! What the system tells of this process, under the names that every process has. Where the system does not tell it
//! (it is not Linux), there is none of it.

use std::fs;

use super::text::Text;

/// The unit of times in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn write(text: &mut Text) {
    let Some(stat) = fs::read_to_string("/proc/self/stat").ok() else { return };
    // The name of the program, in brackets, may hold anything.
    let Some((_, after)) = stat.rsplit_once(") ") else { return };
    let fields: Vec<f64> = after.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // Counted from the field behind the state.
    let [Some(user), Some(system), Some(started), Some(virtual_bytes)] =
        [10, 11, 18, 19].map(|at| fields.get(at).copied())
    else {
        return;
    };
    text.metric("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
    text.value("process_cpu_seconds_total", "", (user + system) / TICKS_PER_SECOND);
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        text.count_of("process_open_fds", files.count(), "Number of open file descriptors.");
    }
    if let Some(files_max) = limit("Max open files") {
        text.gauge("process_max_fds", files_max, "Maximum number of open file descriptors.");
    }
    if let Some(resident) = resident_bytes() {
        text.gauge("process_resident_memory_bytes", resident, "Resident memory size in bytes.");
    }
    text.gauge("process_virtual_memory_bytes", virtual_bytes, "Virtual memory size in bytes.");
    if let Some(booted) = booted() {
        let help = "Start time of the process since unix epoch in seconds.";
        text.gauge("process_start_time_seconds", booted + started / TICKS_PER_SECOND, help);
    }
}

/// When the system was started, in seconds since the epoch.
fn booted() -> Option<f64> {
    value_of("/proc/stat", "btime ")
}

fn resident_bytes() -> Option<f64> {
    const KIBIBYTE: f64 = 1024.0;
    value_of("/proc/self/status", "VmRSS:").map(|kibibytes| kibibytes * KIBIBYTE)
}

fn limit(name: &str) -> Option<f64> {
    value_of("/proc/self/limits", name)
}

/// The first number behind a name at the beginning of a line.
fn value_of(file: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}
