//! The two clusters that are compared, each whole and each with the same number of nodes, one at a time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Method, RequestBuilder};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::connection::{Connection, Wire};
use crate::load::{Load, run};
use crate::objects;
use crate::process::Process;
use crate::programs;

/// How many nodes a cluster has unless a measure needs more.
pub(crate) const NODES: usize = 20;
/// How long a cluster may take to start.
const START_MAX: Duration = Duration::from_secs(120);
const USERS: &str = "admin-token,admin,admin-uid,\"system:masters\"\n";
pub(crate) const TOKEN: &str = "Bearer admin-token";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Stock,
    Coracle,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Stock, Self::Coracle];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Coracle => "coracle",
        }
    }
}

/// The most memory that each process has had, in MiB.
pub(crate) type Peaks = BTreeMap<&'static str, f64>;

/// A running cluster; dropping it stops it and removes its files.
pub(crate) struct Cluster {
    side: Side,
    /// On 127.0.0.1.
    port: u16,
    authority: PathBuf,
    /// In the order in which they are stopped.
    pub(crate) processes: Vec<Process>,
    /// Of all processes of a measure, also of those that are gone.
    peaks: Rc<RefCell<Peaks>>,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts a cluster with all that belongs to one, waits until its nodes are ready, and says how long it took until
    /// `/readyz` was good.
    pub(crate) async fn start(side: Side, nodes: usize, peaks: Rc<RefCell<Peaks>>) -> (Self, Duration) {
        let folder = programs::folder();
        std::fs::write(folder.path().join("users.csv"), USERS).unwrap();
        let mut cluster = Self { side, port: 0, authority: PathBuf::new(), processes: Vec::new(), peaks, folder };
        let start = cluster.start_server(nodes).await;
        if side == Side::Stock {
            cluster.add_stock_parts();
            cluster.add_nodes(nodes).await;
        }
        let client = cluster.client();
        let ready = async || {
            let account = cluster.get(&client, "/api/v1/namespaces/default/serviceaccounts/default").await;
            account["kind"] == "ServiceAccount" && cluster.ready_nodes().await.len() == nodes
        };
        eventually("nodes are ready", START_MAX, ready)
            .await
            .unwrap_or_else(|| panic!("{side:?} has no {nodes} ready nodes after {START_MAX:?}"));
        (cluster, start)
    }

    /// Kills everything and starts what answers requests again, on the same data.
    pub(crate) async fn start_again(&mut self) -> Duration {
        self.note_peaks();
        self.processes.clear();
        self.start_server(NODES).await
    }

    async fn start_server(&mut self, nodes: usize) -> Duration {
        let start = Instant::now();
        let folder = self.folder.path();
        let server = match self.side {
            Side::Stock => programs::stock(folder),
            Side::Coracle => programs::coracle(folder, nodes),
        };
        (self.port, self.authority, self.processes) = (server.port, server.authority, server.processes);
        eventually("the server is ready", START_MAX, async || {
            let Some(client) = self.try_client() else { return false };
            let answer = self.request(&client, Method::GET, "/readyz").send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await
        .unwrap_or_else(|| panic!("{:?} is not ready after {START_MAX:?}", self.side));
        start.elapsed()
    }

    /// The names of the nodes that pods can be put on.
    pub(crate) async fn ready_nodes(&self) -> Vec<String> {
        let nodes = self.get(&self.client(), "/api/v1/nodes").await;
        let nodes = nodes["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let untainted = nodes.iter().filter(|node| node["spec"]["taints"].is_null());
        untainted.filter_map(|node| node["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> Client {
        self.try_client().expect("the certificates are there once the server is ready")
    }

    fn try_client(&self) -> Option<Client> {
        let bundle = Certificate::from_pem_bundle(&std::fs::read(&self.authority).ok()?).ok()?;
        let builder = Client::builder().no_proxy().timeout(Duration::from_secs(60));
        bundle.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate).build().ok()
    }

    fn base(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// How to speak TLS with its server.
    pub(crate) fn tls(&self, wire: Wire) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.authority).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![wire.alpn().to_vec()];
        Arc::new(config)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// An HTTP/2 connection for a load.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.port, self.tls(Wire::Http2), TOKEN).await
    }

    /// What the processors have worked for all its processes so far.
    pub(crate) fn work(&self) -> Duration {
        self.processes.iter().map(Process::work).sum()
    }

    /// Resident memory of all processes in MiB.
    pub(crate) fn resident(&self) -> f64 {
        self.processes.iter().map(Process::resident).sum()
    }

    /// Lets the peaks begin with what is resident now.
    pub(crate) fn forget_peaks(&self) {
        self.note_peaks();
        self.processes.iter().for_each(Process::forget_peak);
    }

    /// The most memory of all processes, in MiB, since peaks were forgotten.
    pub(crate) fn peak(&self) -> f64 {
        self.processes.iter().filter_map(Process::peak).sum()
    }

    fn note_peaks(&self) {
        let mut peaks = self.peaks.borrow_mut();
        for process in &self.processes {
            let most = peaks.entry(process.name).or_default();
            *most = most.max(process.peak().unwrap_or_default());
        }
    }

    /// The bytes of the files of its store.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let folder = match self.side {
            Side::Stock => "etcd",
            Side::Coracle => "data",
        };
        bytes_below(&self.folder.path().join(folder))
    }

    pub(crate) fn request(&self, client: &Client, method: Method, path: &str) -> RequestBuilder {
        client.request(method, format!("{}{path}", self.base())).header("authorization", TOKEN)
    }

    /// An answer in JSON, whatever its code; null if it is no JSON.
    pub(crate) async fn get(&self, client: &Client, path: &str) -> Value {
        let answer = self.request(client, Method::GET, path).send().await;
        answer.unwrap_or_else(|error| panic!("{path}: {error:?}")).json().await.unwrap_or_default()
    }

    /// Creates an object of which there is none yet.
    pub(crate) async fn create(&self, client: &Client, path: &str, object: &Value) {
        self.change(self.request(client, Method::POST, path).json(object)).await;
    }

    /// Sends a request that must be answered well.
    pub(crate) async fn change(&self, request: RequestBuilder) {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{error:?}"));
        let path = answer.url().path().to_owned();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap_or_default());
    }

    /// A namespace in which pods can be made.
    pub(crate) async fn create_namespace(&self, name: &str) {
        let client = self.client();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.create(&client, "/api/v1/namespaces", &namespace).await;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        let there = async || self.get(&client, &account).await["kind"] == "ServiceAccount";
        eventually("the namespace has its ServiceAccount", START_MAX, there).await.expect("controllers run");
    }

    /// The API's answer that a list is at this revision.
    pub(crate) async fn revision(&self, path: &str) -> String {
        let list = self.get(&self.client(), &format!("{path}?limit=1")).await;
        list["metadata"]["resourceVersion"].as_str().expect("a list has a revision").to_owned()
    }

    /// Controllers, scheduler and KWOK, without limits of their own on how much they ask.
    fn add_stock_parts(&mut self) {
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c",
                "cluster": {"server": self.base(), "certificate-authority": self.authority}}],
            "users": [{"name": "u", "user": {"token": "admin-token"}}]});
        let folder = self.folder.path();
        std::fs::write(folder.join("kubeconfig"), config.to_string()).unwrap();
        let parts = programs::stock_parts(folder, &self.authority);
        self.processes.splice(0..0, parts);
    }

    async fn add_nodes(&self, nodes: usize) {
        let load = Load { clients: nodes.min(16), ..Load::of(nodes) };
        run(self, load, |number| objects::node(&format!("node-{number}"))).await.all(nodes);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.note_peaks();
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let bytes = |path: PathBuf| {
        if path.is_dir() { bytes_below(&path) } else { path.metadata().map_or(0, |file| file.len()) }
    };
    entries.map(|entry| bytes(entry.unwrap().path())).sum()
}

/// Polls a condition; nothing when it does not hold in time, else how long it took. The pauses are short beside what
/// has passed, so that the figure is exact and the asking weighs little.
pub(crate) async fn eventually(what: &str, max: Duration, condition: impl AsyncFn() -> bool) -> Option<Duration> {
    const PAUSES: std::ops::Range<Duration> = Duration::from_millis(1)..Duration::from_millis(250);
    let start = Instant::now();
    while !condition().await {
        if start.elapsed() > max {
            println!("{what}: not within {max:?}");
            return None;
        }
        tokio::time::sleep((start.elapsed() / 50).clamp(PAUSES.start, PAUSES.end)).await;
    }
    Some(start.elapsed())
}
