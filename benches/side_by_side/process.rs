//! Child processes, and what the operating system says of their memory and work.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// Killed and waited for when dropped.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    child: Child,
}

impl Process {
    /// Starts a command with its output in `NAME.log` of a folder.
    pub(crate) fn start(name: &'static str, command: &mut Command, folder: &Path) -> Self {
        let log = File::create(folder.join(format!("{name}.log"))).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, child }
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    fn read(&self, file: &str) -> String {
        let path = self.path(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{} has ended ({path}: {error})", self.name))
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> f64 {
        mebibytes(&self.read("status"), "VmRSS:").unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// The most resident memory in MiB since the start, or since it was last forgotten; nothing of one that has ended.
    pub(crate) fn peak(&self) -> Option<f64> {
        mebibytes(&std::fs::read_to_string(self.path("status")).ok()?, "VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        // Linux: 5 sets the peak to what is resident now. One that has ended has none to forget.
        let _ = std::fs::write(self.path("clear_refs"), "5");
    }

    /// What the processors have worked for it so far.
    pub(crate) fn work(&self) -> Duration {
        work(&self.read("stat"))
    }
}

fn mebibytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// What the processors have worked for this process so far.
pub(crate) fn own_work() -> Duration {
    work(&std::fs::read_to_string("/proc/self/stat").unwrap())
}

fn work(stat: &str) -> Duration {
    /// Linux counts in these whatever the machine (USER_HZ).
    const TICK: Duration = Duration::from_millis(10);
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    TICK * fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
