//! How the programs of both sides are started, and the folders that they use.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;

const BINARIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/upstream/bin");
const FOLDERS: &str = env!("CARGO_TARGET_TMPDIR");
const FOLDER_PREFIX: &str = "side-by-side-";

/// What answers requests.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) authority: PathBuf,
    pub(crate) processes: Vec<Process>,
}

/// A folder that goes with its owner; those of runs that were killed are removed first.
pub(crate) fn folder() -> tempfile::TempDir {
    let entries = std::fs::read_dir(FOLDERS).unwrap();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(FOLDER_PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another run may be removing it, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{FOLDER_PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(FOLDERS).unwrap()
}

/// What the programs say of their versions, to be told with the figures.
pub(crate) fn versions() -> String {
    let say = |name: &str| {
        let output = binary(name).arg("--version").output().unwrap_or_else(|error| panic!("{name}: {error}"));
        String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned()
    };
    format!("kube-apiserver: {}; {}; {}", say("kube-apiserver"), say("etcd"), say("kwok"))
}

fn binary(name: &str) -> Command {
    Command::new(Path::new(BINARIES).join(name))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn stock(folder: &Path) -> Server {
    let at = |name: &str| folder.join(name);
    if !at("sa.key").exists() {
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(at("sa.key"), key.serialize_pem()).unwrap();
        std::fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
    }
    let [etcd, peers] = [(); 2].map(|()| format!("http://127.0.0.1:{}", free_port()));
    let mut command = binary("etcd");
    command.arg("--data-dir").arg(at("etcd"));
    command.args([format!("--listen-client-urls={etcd}"), format!("--advertise-client-urls={etcd}")]);
    command.arg(format!("--listen-peer-urls={peers}"));
    let store = Process::start("etcd", &mut command, folder);
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
    let server = Process::start("kube-apiserver", &mut command, folder);
    Server { port, authority: at("certs/apiserver.crt"), processes: vec![server, store] }
}

pub(crate) fn coracle(folder: &Path, nodes: usize) -> Server {
    let at = |name: &str| folder.join(name);
    // Another binary than the one that was built with the benchmark, to compare two of them.
    let program = std::env::var_os("CORACLE").unwrap_or_else(|| env!("CARGO_BIN_EXE_coracle").into());
    let mut command = Command::new(program);
    let port = free_port();
    command.args([format!("--secure-port={port}"), format!("--nodes={nodes}")]);
    command.arg("--token-auth-file").arg(at("users.csv"));
    command.arg("--data-dir").arg(at("data"));
    command.arg("--kubeconfig").arg(at("kubeconfig"));
    let server = Process::start("coracle", &mut command, folder);
    Server { port, authority: at("data/pki/ca.crt"), processes: vec![server] }
}

/// Controllers, scheduler and KWOK, which find the `kubeconfig` in the folder.
pub(crate) fn stock_parts(folder: &Path, authority: &Path) -> Vec<Process> {
    let config = folder.join("kubeconfig");
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
            command.arg("--root-ca-file").arg(authority);
            command.arg("--use-service-account-credentials=true");
        }
        parts.push(Process::start(name, &mut command, folder));
    }
    std::fs::write(folder.join("stages.yaml"), stages()).unwrap();
    let mut command = binary("kwok");
    command.arg("--kubeconfig").arg(&config).arg("--manage-all-nodes=true");
    command.arg("--config").arg(folder.join("stages.yaml"));
    parts.push(Process::start("kwok", &mut command, folder));
    parts
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
