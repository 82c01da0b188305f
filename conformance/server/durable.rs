//! Our own binary on a data folder that outlives its processes, for tests of what outlives a kill.

use std::cell::RefCell;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::process::Process;
use super::sabotage::Sabotage;
use super::{READY_MAX, coracle, eventually, tail};

/// A data folder and how often a process was started on it.
pub(crate) struct DataFolder {
    folder: tempfile::TempDir,
    starts: usize,
    sabotage: Option<Arc<Sabotage>>,
}

/// One process on a data folder.
pub(crate) struct Life {
    process: RefCell<Process>,
    log: PathBuf,
    ca: PathBuf,
    database: PathBuf,
}

/// What a process is told by a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    Continue,
    Kill,
    Stop,
    Terminate,
}

impl Signal {
    pub(crate) fn send(self, process: u32) {
        let name = match self {
            Self::Continue => "-CONT",
            Self::Kill => "-KILL",
            Self::Stop => "-STOP",
            Self::Terminate => "-TERM",
        };
        // It may have ended by itself.
        let _ = Command::new("kill").args([name, &process.to_string()]).status();
    }
}

/// How a client talks to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// How a client reaches a process.
pub(crate) struct Connection {
    pub(crate) client: reqwest::Client,
    /// Such as `https://127.0.0.1:6443`.
    base: String,
    ca: PathBuf,
}

impl DataFolder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), starts: 0, sabotage: None }
    }

    /// One whose servers have a clock and a disk that can be made to go wrong.
    pub(crate) fn sabotaged() -> (Self, Arc<Sabotage>) {
        let mut data = Self::new();
        let sabotage = Arc::new(Sabotage::new(data.folder.path()));
        data.sabotage = Some(Arc::clone(&sabotage));
        (data, sabotage)
    }

    /// Starts a process and does not wait for it.
    pub(crate) fn start(&mut self) -> Life {
        self.start_with(&[])
    }

    /// The same with more flags.
    pub(crate) fn start_with(&mut self, flags: &[&str]) -> Life {
        self.begin(coracle::command(self.folder.path()), flags)
    }

    /// A whole cluster, with controllers, scheduler and some nodes.
    pub(crate) fn start_whole(&mut self) -> Life {
        self.begin(coracle::whole_command(self.folder.path()), &["--nodes=2"])
    }

    fn begin(&mut self, mut command: Command, flags: &[&str]) -> Life {
        self.starts += 1;
        let log = self.folder.path().join(format!("coracle-{}.log", self.starts));
        command.arg("--data-dir").arg(self.folder.path().join("data")).args(flags);
        if let Some(sabotage) = &self.sabotage {
            sabotage.enter(&mut command);
        }
        let database = self.database();
        Life {
            process: RefCell::new(Process::start(&mut command, &log)),
            log,
            ca: self.folder.path().join("pki/ca.crt"),
            database,
        }
    }

    /// A folder with a copy of a database, as one is restored.
    pub(crate) fn restored(from: &Path) -> Self {
        let data = Self::new();
        std::fs::create_dir(data.folder.path().join("data")).unwrap();
        std::fs::copy(from, data.database()).unwrap();
        data
    }

    /// Runs another command of the binary on the data.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let data = self.folder.path().join("data");
        Command::new(coracle::program()).args(args).arg("--data-dir").arg(data).output().unwrap()
    }

    /// A place for a file beside the data.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a process that is to end by itself; gives what it says.
    pub(crate) async fn refused(&mut self) -> String {
        let life = self.start();
        let log = life.log.clone();
        life.gone().await;
        std::fs::read_to_string(log).unwrap()
    }

    /// The file that everything is in.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("data/coracle.db")
    }
}

impl Life {
    /// Waits until the process says that it is ready.
    pub(crate) async fn ready(&self) -> Connection {
        let address = || async { coracle::address(&self.log).is_some() };
        assert!(eventually(address).await, "no address was printed; the server says:\n{}", tail(&self.log));
        let client = super::client(&self.ca);
        let connection = Connection { client, base: coracle::address(&self.log).unwrap(), ca: self.ca.clone() };
        let up = || async {
            let answer = connection.request(reqwest::Method::GET, "/readyz").send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        assert!(eventually(up).await, "not ready; the server says:\n{}", tail(&self.log));
        connection
    }

    /// Ends the process by SIGKILL.
    pub(crate) fn kill(self) {
        self.assert_running();
        drop(self.process);
    }

    /// Stops the test if the process has ended by itself.
    pub(crate) fn assert_running(&self) {
        assert!(self.process.borrow_mut().running(), "the server ended by itself; it says:\n{}", tail(&self.log));
    }

    /// Waits until the process has ended.
    pub(crate) async fn gone(self) {
        let ended = || async { !self.process.borrow_mut().running() };
        assert!(eventually(ended).await, "it does not end; it says:\n{}", tail(&self.log));
    }

    /// Bytes of memory that the process has.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// What it says is in this file.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.borrow().id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal.send(self.process.borrow().id());
    }

    /// How large the write-ahead log is.
    pub(crate) fn log_bytes(&self) -> u64 {
        let mut name = self.database.clone().into_os_string();
        name.push("-wal");
        std::fs::metadata(name).map_or(0, |file| file.len())
    }

    /// Lets no file of the process grow beyond a size, as a full disk would; `None` lifts it.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let process = self.process.borrow().id().to_string();
        let status = Command::new("prlimit").args(["--pid", &process, &format!("--fsize={bytes}:unlimited")]).status();
        assert!(status.is_ok_and(|status| status.success()), "the size of files could not be limited");
    }
}

impl Connection {
    /// A connection of its own to the same server.
    pub(crate) fn another(&self, protocol: Protocol) -> Self {
        let builder = super::client_builder(&self.ca);
        let client = match protocol {
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder,
        };
        Self { client: client.build().unwrap(), base: self.base.clone(), ca: self.ca.clone() }
    }

    /// A request of the administrator.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.request_of("admin", method, path)
    }

    /// A request of a user.
    pub(crate) fn request_of(&self, user: &str, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.bare(method, path).bearer_auth(format!("{user}-token"))
    }

    /// A request that does not say whose it is.
    pub(crate) fn bare(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).timeout(READY_MAX)
    }

    /// A connection below HTTP, after its handshake.
    pub(crate) fn raw(&self) -> std::io::Result<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let address = self.base.strip_prefix("https://").unwrap();
        let name = ServerName::try_from(address.split(':').next().unwrap().to_owned()).unwrap();
        let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(READY_MAX))?;
        tls.complete_io(&mut tcp)?;
        Ok(rustls::StreamOwned::new(tls, tcp))
    }
}
