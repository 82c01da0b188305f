//! The two clusters that are compared, each whole and each with the same number of nodes, one at a time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Method, RequestBuilder};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::connection::{self, Connection};
use crate::process::Process;

const NODES: usize = 20;
/// How long a cluster may take to start.
const START_MAX: Duration = Duration::from_secs(90);
const BINARIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/upstream/bin");
const USERS: &str = "admin-token,admin,admin-uid,\"system:masters\"\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Stock,
    Coracle,
}

/// A running cluster; dropping it stops it and removes its files.
pub(crate) struct Cluster {
    /// On 127.0.0.1.
    port: u16,
    authority: PathBuf,
    /// In the order in which they are stopped.
    pub(crate) processes: Vec<Process>,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts what answers requests, on fresh data, and says how long it took until `/readyz` was good.
    async fn start(side: Side) -> (Self, Duration) {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(folder.path().join("users.csv"), USERS).unwrap();
        Self::start_on(side, folder).await
    }

    /// Kills everything and starts what answers requests again, on the same data.
    pub(crate) async fn again(self, side: Side) -> (Self, Duration) {
        drop(self.processes);
        Self::start_on(side, self.folder).await
    }

    async fn start_on(side: Side, folder: tempfile::TempDir) -> (Self, Duration) {
        let start = Instant::now();
        let cluster = match side {
            Side::Stock => stock(folder).await,
            Side::Coracle => coracle(folder).await,
        };
        eventually("the server is ready", START_MAX, async || {
            let Some(client) = cluster.try_client() else { return false };
            let answer = cluster.request(&client, Method::GET, "/readyz").send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await
        .unwrap_or_else(|| panic!("{side:?} is not ready"));
        (cluster, start.elapsed())
    }

    /// Starts a cluster with all that belongs to one, waits until its nodes are ready, and says how long it took until
    /// `/readyz` was good.
    pub(crate) async fn whole(side: Side) -> (Self, Duration) {
        let (mut cluster, start) = Self::start(side).await;
        if side == Side::Stock {
            cluster.add_stock_parts();
            cluster.add_nodes().await;
        }
        let client = cluster.client();
        eventually("nodes are ready", START_MAX, async || {
            let nodes = cluster.get(&client, "/api/v1/nodes").await;
            let nodes = nodes["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let account = cluster.get(&client, "/api/v1/namespaces/default/serviceaccounts/default").await;
            let untainted = nodes.iter().filter(|node| node["spec"]["taints"].is_null()).count();
            untainted == NODES && account["kind"] == "ServiceAccount"
        })
        .await
        .unwrap_or_else(|| panic!("{side:?} has no {NODES} nodes"));
        (cluster, start)
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

    /// A connection for a load.
    pub(crate) async fn connect(&self) -> Connection {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.authority).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        Connection::open(self.port, connection::tls(roots), "Bearer admin-token").await
    }

    /// What the processors have worked for all its processes so far.
    pub(crate) fn work(&self) -> Duration {
        self.processes.iter().map(Process::work).sum()
    }

    pub(crate) fn request(&self, client: &Client, method: Method, path: &str) -> RequestBuilder {
        client.request(method, format!("{}{path}", self.base())).bearer_auth("admin-token")
    }

    /// An answer in JSON, whatever its code.
    pub(crate) async fn get(&self, client: &Client, path: &str) -> Value {
        self.request(client, Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    /// Creates an object of which there is none yet.
    pub(crate) async fn create(&self, client: &Client, path: &str, object: &Value) {
        let answer = self.request(client, Method::POST, path).json(object).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// Controllers, scheduler and KWOK, without limits of their own on how much they ask.
    fn add_stock_parts(&mut self) {
        let folder = self.folder.path();
        let config = folder.join("kubeconfig");
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c",
                "cluster": {"server": self.base(), "certificate-authority": self.authority}}],
            "users": [{"name": "u", "user": {"token": "admin-token"}}]});
        std::fs::write(&config, text.to_string()).unwrap();
        let mut parts = Vec::new();
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let mut command = binary(name);
            for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
                command.arg(flag).arg(&config);
            }
            command.args(["--leader-elect=false", "--secure-port=0"]);
            command.args(["--kube-api-qps=5000", "--kube-api-burst=10000"]);
            if name == "kube-controller-manager" {
                command.arg("--service-account-private-key-file").arg(folder.join("sa.key"));
                command.arg("--root-ca-file").arg(&self.authority);
                command.arg("--use-service-account-credentials=true");
            }
            parts.push(Process::start(name, &mut command, folder));
        }
        std::fs::write(folder.join("stages.yaml"), stages()).unwrap();
        let mut command = binary("kwok");
        command.arg("--kubeconfig").arg(&config).arg("--manage-all-nodes=true");
        command.arg("--config").arg(folder.join("stages.yaml"));
        parts.push(Process::start("kwok", &mut command, folder));
        self.processes.splice(0..0, parts);
    }

    async fn add_nodes(&self) {
        let client = self.client();
        for number in 0..NODES {
            let room = json!({"cpu": "16", "memory": "32Gi", "pods": "1000"});
            let name = format!("node-{number}");
            let node = json!({"apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "status": {"allocatable": room, "capacity": room}});
            self.create(&client, "/api/v1/nodes", &node).await;
        }
    }
}

/// Polls a condition; nothing when it does not hold in time, else how long it took.
pub(crate) async fn eventually(what: &str, max: Duration, condition: impl AsyncFn() -> bool) -> Option<Duration> {
    const PAUSE: Duration = Duration::from_millis(20);
    let start = Instant::now();
    while !condition().await {
        if start.elapsed() > max {
            println!("{what}: not within {max:?}");
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Some(start.elapsed())
}

/// What two programs say of their version, to be told with the figures.
pub(crate) fn versions() -> String {
    let first_line = |name: &str, program: &mut Command| {
        let output = program.arg("--version").output().unwrap_or_else(|error| panic!("{name}: {error}"));
        String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned()
    };
    let say = |name: &str| first_line(name, &mut binary(name));
    format!("kube-apiserver: {}; {}; {}", say("kube-apiserver"), say("etcd"), say("kwok"))
}

fn binary(name: &str) -> Command {
    Command::new(Path::new(BINARIES).join(name))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn stock(folder: tempfile::TempDir) -> Cluster {
    let at = |name: &str| folder.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(at("sa.key"), key.serialize_pem()).unwrap();
    std::fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
    let [etcd, peers] = [(); 2].map(|()| format!("http://127.0.0.1:{}", free_port()));
    let mut command = binary("etcd");
    command.arg("--data-dir").arg(at("etcd"));
    command.args([format!("--listen-client-urls={etcd}"), format!("--advertise-client-urls={etcd}")]);
    command.arg(format!("--listen-peer-urls={peers}"));
    let store = Process::start("etcd", &mut command, folder.path());
    let port = free_port();
    let mut command = binary("kube-apiserver");
    command.args([format!("--etcd-servers={etcd}"), format!("--secure-port={port}")]);
    command.args(["--bind-address=127.0.0.1", "--service-cluster-ip-range=10.96.0.0/16"]);
    command.args(["--authorization-mode=Node,RBAC", "--service-account-issuer=https://kubernetes.default.svc"]);
    for (flag, file) in [
        ("--cert-dir", "certs"),
        ("--token-auth-file", "users.csv"),
        ("--service-account-key-file", "sa.pub"),
        ("--service-account-signing-key-file", "sa.key"),
    ] {
        command.arg(flag).arg(at(file));
    }
    let server = Process::start("kube-apiserver", &mut command, folder.path());
    let authority = at("certs/apiserver.crt");
    Cluster { port, authority, processes: vec![server, store], folder }
}

async fn coracle(folder: tempfile::TempDir) -> Cluster {
    let at = |name: &str| folder.path().join(name);
    // Another binary than the one that was built with the benchmark, to compare two of them.
    let program = std::env::var_os("CORACLE").unwrap_or_else(|| env!("CARGO_BIN_EXE_coracle").into());
    let mut command = Command::new(program);
    let port = free_port();
    command.args([format!("--secure-port={port}"), format!("--nodes={NODES}")]);
    command.arg("--token-auth-file").arg(at("users.csv"));
    command.arg("--data-dir").arg(at("data"));
    command.arg("--kubeconfig").arg(at("kubeconfig"));
    let server = Process::start("coracle", &mut command, folder.path());
    let authority = at("data/pki/ca.crt");
    Cluster { port, authority, processes: vec![server], folder }
}

/// KWOK's own stages, as its release joins them.
fn stages() -> String {
    let mut command = Command::new("go");
    command.args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/upstream/kwok"));
    let output = command.output().expect("go tells where KWOK's module is");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let module = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let mut text = String::new();
    for part in ["node/fast", "node/heartbeat", "pod/fast"] {
        for entry in std::fs::read_dir(module.join("kustomize/stage").join(part)).unwrap() {
            let path = entry.unwrap().path();
            let stage = path.extension().is_some_and(|ending| ending == "yaml");
            if stage && !path.ends_with("kustomization.yaml") {
                text.push_str("---\n");
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}
