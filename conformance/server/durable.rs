//! Our own binary on a data folder that outlives its processes, for tests of what outlives a kill.

use std::path::PathBuf;

use super::process::Process;
use super::{READY_MAX, coracle, eventually, tail};

/// A data folder and how often a process was started on it.
pub(crate) struct DataFolder {
    folder: tempfile::TempDir,
    starts: usize,
}

/// One process on a data folder.
pub(crate) struct Life {
    process: Process,
    log: PathBuf,
    ca: PathBuf,
}

/// How a client reaches a process.
pub(crate) struct Connection {
    pub(crate) client: reqwest::Client,
    /// Such as `https://127.0.0.1:6443`.
    base: String,
}

impl DataFolder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), starts: 0 }
    }

    /// Starts a process and does not wait for it.
    pub(crate) fn start(&mut self) -> Life {
        self.starts += 1;
        let log = self.folder.path().join(format!("coracle-{}.log", self.starts));
        let mut command = coracle::command(self.folder.path());
        command.arg("--data-dir").arg(self.folder.path().join("data"));
        Life { process: Process::start(&mut command, &log), log, ca: self.folder.path().join("pki/ca.crt") }
    }
}

impl Life {
    /// Waits until the process says that it is ready.
    pub(crate) async fn ready(&self) -> Connection {
        let address = || async { coracle::address(&self.log).is_some() };
        assert!(eventually(address).await, "no address was printed; the server says:\n{}", tail(&self.log));
        let client = super::client(&self.ca);
        let connection = Connection { client, base: coracle::address(&self.log).unwrap() };
        let up = || async {
            let answer = connection.request(reqwest::Method::GET, "/readyz").send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        assert!(eventually(up).await, "not ready; the server says:\n{}", tail(&self.log));
        connection
    }

    /// Ends the process by SIGKILL.
    pub(crate) fn kill(mut self) {
        assert!(self.process.running(), "the server ended by itself; it says:\n{}", tail(&self.log));
        drop(self.process);
    }
}

impl Connection {
    /// A request of the administrator.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth("admin-token").timeout(READY_MAX)
    }
}
