//! Servers under test: our own binary, and stock etcd with kube-apiserver, both started by their command lines with the
//! same users and without controllers, scheduler or nodes.

mod coracle;
mod durable;
mod in_process;
pub(crate) mod process;
mod sabotage;
mod stock;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use coracle::{chosen, coracle, coracle_with, program};
pub(crate) use durable::{Connection, DataFolder, Life, Protocol, Signal};
pub(crate) use in_process::in_process;
pub(crate) use sabotage::{Order, Sabotage};
pub(crate) use stock::{BINARIES, stock, stock_with};

use process::Process;

/// How long a server may take to become ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// What `--token-auth-file` says in both: `admin` may do everything, `alice` nothing until she is given it.
const USERS: &str = "admin-token,admin,admin-uid,\"system:masters\"\nalice-token,alice,alice-uid,\"developers\"\n";

/// A running server; dropping it stops it and removes its files.
pub(crate) struct Server {
    /// Such as `https://127.0.0.1:6443`.
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    /// The same over HTTP/1.1, which alone can switch to another protocol.
    pub(crate) upgrading: reqwest::Client,
    ca: PathBuf,
    running: Running,
}

/// What a server consists of. Dropped in this order: the server before what it stores in, both before their files.
struct Running {
    processes: Vec<Process>,
    log: PathBuf,
    compactor: Compactor,
    folder: tempfile::TempDir,
}

/// How a server is made to forget its history.
enum Compactor {
    Nobody,
    Cluster(::coracle::app::Cluster),
    /// etcd at a URL, through its JSON gateway.
    Etcd(String),
}

impl Server {
    /// A file among those of the server, such as its keys.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.running.folder.path().join(name)
    }

    /// Makes the server forget all that was before now.
    pub(crate) async fn compact(&self) {
        match &self.running.compactor {
            Compactor::Nobody => panic!("this server cannot be made to forget"),
            Compactor::Cluster(cluster) => cluster.forget_history().await.unwrap(),
            Compactor::Etcd(url) => stock::compact(url).await,
        }
    }

    /// A client that shows a certificate: a PEM text of it and its key.
    pub(crate) fn client_with(&self, identity: &[u8]) -> reqwest::Client {
        client_builder(&self.ca).identity(reqwest::Identity::from_pem(identity).unwrap()).build().unwrap()
    }

    /// A client that does not go where answers send it.
    pub(crate) fn client_that_stays(&self) -> reqwest::Client {
        client_builder(&self.ca).redirect(reqwest::redirect::Policy::none()).build().unwrap()
    }

    /// The memory that the server takes now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.running.processes[0].resident_bytes()
    }

    /// Wraps processes that were just started and waits until they say that they are ready.
    async fn ready(base: String, ca: &Path, running: Running) -> Self {
        let client = client(ca);
        let upgrading = client_builder(ca).http1_only().build().unwrap();
        let server = Self { base, client, upgrading, ca: ca.to_owned(), running };
        let up = || async {
            let answer = server.client.get(format!("{}/readyz", server.base)).bearer_auth("admin-token").send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        assert!(eventually(up).await, "{} is not ready; it says:\n{}", server.base, tail(&server.running.log));
        server
    }
}

/// Whether a condition holds within the time that a server may take to start.
pub(crate) async fn eventually<F: Future<Output = bool>>(condition: impl Fn() -> F) -> bool {
    let check = async {
        while !condition().await {
            pause().await;
        }
    };
    tokio::time::timeout(READY_MAX, check).await.is_ok()
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Between two looks at a server of which nothing tells when it is ready.
#[expect(clippy::disallowed_methods, reason = "another process is started by real time")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A client that trusts the certificates in a PEM file and says who it is as the recordings do.
fn client(ca: &Path) -> reqwest::Client {
    client_builder(ca).build().unwrap()
}

fn client_builder(ca: &Path) -> reqwest::ClientBuilder {
    // Another test of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = std::fs::read(ca).unwrap();
    let mut builder = reqwest::Client::builder().user_agent("conformance/1.0").no_proxy();
    for certificate in reqwest::Certificate::from_pem_bundle(&pem).unwrap() {
        builder = builder.add_root_certificate(certificate);
    }
    builder
}

/// A number that whoever runs the tests has set in the environment.
#[expect(clippy::disallowed_methods, reason = "switches of a test that users of it turn")]
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
