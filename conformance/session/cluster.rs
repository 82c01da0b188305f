//! The cluster that a session talks to, and the shell in which it is typed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::FILES;
use crate::server::process::Process;
use crate::server::{BINARIES, Server};

/// How long one command may take, and how long a wait.
const SECONDS_MAX: u64 = 60;

/// A whole cluster with three nodes, `node-1` to `node-3`; dropping it stops it.
pub(super) struct Cluster {
    folder: tempfile::TempDir,
    parts: Vec<Process>,
    server: Option<Server>,
}

impl Cluster {
    /// Coracle as a user starts it.
    pub(super) fn coracle(kubectl: &Path) -> Self {
        let folder = shell(kubectl);
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("users.csv"), "admin-token,admin,admin-uid,\"system:masters\"\n").unwrap();
        let mut command = Command::new(crate::server::program());
        command.args(["--ephemeral", "--secure-port=0"]).arg("--token-auth-file").arg(at("users.csv"));
        command.arg("--cert-dir").arg(at("pki")).arg("--kubeconfig").arg(at("own"));
        let server = Process::start(&mut command, &at("server.log"));
        let cluster = Self { folder, parts: vec![server], server: None };
        cluster.eventually("kubectl --kubeconfig=../own get --raw=/readyz").unwrap();
        // As the user of a token, as on stock.
        let base =
            cluster.bash("kubectl --kubeconfig=../own config view -o jsonpath='{.clusters[0].cluster.server}'").1;
        cluster.write_config(base.trim(), &cluster.folder.path().join("pki/ca.crt"));
        cluster
    }

    /// Stock's API server with stock's other components.
    pub(super) async fn stock(kubectl: &Path, server: Server) -> Self {
        let folder = shell(kubectl);
        let place = folder.path().to_owned();
        let at = |name: &str| place.join(name);
        let mut cluster = Self { parts: Vec::new(), server: None, folder };
        cluster.write_config(&server.base, &server.file("certs/apiserver.crt"));
        let config = cluster.config();
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let mut command = Command::new(Path::new(BINARIES).join(name));
            for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
                command.arg(flag).arg(&config);
            }
            command.args(["--leader-elect=false", "--secure-port=0"]);
            if name == "kube-controller-manager" {
                command.arg("--service-account-private-key-file").arg(server.file("sa.key"));
                command.arg("--root-ca-file").arg(server.file("certs/apiserver.crt"));
                command.arg("--cluster-signing-cert-file").arg(at("ca.crt"));
                command.arg("--cluster-signing-key-file").arg(at("ca.key"));
                command.arg("--use-service-account-credentials=true");
                authority(&at("ca.crt"), &at("ca.key"));
            }
            cluster.parts.push(Process::start(&mut command, &at(&format!("{name}.log"))));
        }
        std::fs::write(at("stages.yaml"), stages()).unwrap();
        let mut command = Command::new(Path::new(BINARIES).join("kwok"));
        command.arg("--kubeconfig").arg(&config).arg("--manage-all-nodes=true");
        command.arg("--config").arg(at("stages.yaml"));
        cluster.parts.push(Process::start(&mut command, &at("kwok.log")));
        for number in 1..=3 {
            let name = format!("node-{number}");
            let room = json!({"cpu": "16", "memory": "32Gi", "pods": "100"});
            let node = json!({"apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "status": {"allocatable": room, "capacity": room}});
            let request = server.client.post(format!("{}/api/v1/nodes", server.base)).bearer_auth("admin-token");
            let answer = request.json(&node).send().await.unwrap();
            assert_eq!(answer.status(), 201);
        }
        cluster.server = Some(server);
        cluster
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn write_config(&self, base: &str, authority: &Path) {
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": base, "certificate-authority": authority}}],
            "users": [{"name": "u", "user": {"token": "admin-token"}}]});
        std::fs::write(self.config(), text.to_string()).unwrap();
    }

    /// Runs a line; gives its exit code and what it printed on either output.
    pub(super) fn bash(&self, line: &str) -> (i32, String) {
        let mut command = Command::new("timeout");
        command.args([&SECONDS_MAX.to_string(), "bash", "-c"]).arg(format!("exec 2>&1; {line}"));
        command.current_dir(self.folder.path().join("files"));
        command.env("PATH", path(self.folder.path())).env("KUBECONFIG", self.config());
        command.env("HOME", self.folder.path()).env("KUBECACHEDIR", self.folder.path().join("cache"));
        let output = command.output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a line until it succeeds; an error when it does not in time.
    #[expect(clippy::disallowed_methods, reason = "another process is waited for by real time")]
    pub(super) fn eventually(&self, line: &str) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let (code, text) = self.bash(line);
            if code == 0 {
                return Ok(());
            }
            if start.elapsed() > Duration::from_secs(SECONDS_MAX) {
                return Err(format!("{line}: not in time\n{text}\n{}", self.bash("tail -n 20 ../*.log").1));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A folder with the session's files and a kubectl of that name.
fn shell(kubectl: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bin", "files"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink(kubectl, folder.path().join("bin/kubectl")).unwrap();
    for entry in std::fs::read_dir(FILES).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, folder.path().join("files").join(file.file_name().unwrap())).unwrap();
    }
    folder
}

#[expect(clippy::disallowed_methods, reason = "a shell finds its other commands where this process does")]
fn path(folder: &Path) -> String {
    format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default())
}

/// A certificate authority that signs what is requested.
fn authority(certificate: &Path, key: &Path) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
}

/// KWOK's own stages, as its release joins them.
fn stages() -> String {
    let mut command = Command::new("go");
    command.args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/upstream/kwok"));
    let output = command.output().expect("go tells where KWOK's module is");
    let module = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let mut text = String::new();
    for part in ["node/fast", "node/heartbeat", "pod/fast"] {
        for entry in std::fs::read_dir(module.join("kustomize/stage").join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "yaml") && !path.ends_with("kustomization.yaml") {
                text.push_str("---\n");
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}
