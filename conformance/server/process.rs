//! A child process that ends with the test.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};

/// Killed and waited for when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a command with its output in a log file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let program = command.get_program().to_owned();
        Self(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display())))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has not ended by itself.
    pub(super) fn running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Process {
    /// The memory that it takes now.
    pub(super) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
