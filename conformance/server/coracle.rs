//! Our own binary.

use std::path::Path;
use std::process::Command;

use super::process::Process;
use super::{Running, Server, USERS, eventually, tail};

/// Starts the binary of this build on a free port with everything off that acts by itself.
pub(crate) async fn coracle() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("users.csv"), USERS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(["--ephemeral", "--secure-port=0", "--controllers=-*", "--scheduler=false", "--nodes=0"]);
    command.args(["--service-cluster-ip-range=10.0.0.0/16"]);
    command.arg("--token-auth-file").arg(at("users.csv"));
    command.arg("--data-dir").arg(at("data"));
    command.arg("--kubeconfig").arg(at("kubeconfig"));
    let processes = vec![Process::start(&mut command, &at("coracle.log"))];

    let written = || async { kubeconfig(&at("kubeconfig")).is_some() };
    let log = at("coracle.log");
    assert!(eventually(written).await, "no kubeconfig was written; the server says:\n{}", tail(&log));
    let (base, ca) = kubeconfig(&at("kubeconfig")).unwrap();
    std::fs::write(at("ca.crt"), ca).unwrap();
    let certificate = at("ca.crt");
    Server::ready(base, &certificate, Running { processes, log, folder }).await
}

/// The address and the certificate authority of the first cluster, when the file is complete.
fn kubeconfig(path: &Path) -> Option<(String, Vec<u8>)> {
    use base64::Engine;
    let text = std::fs::read_to_string(path).ok()?;
    let config: serde_json::Value = serde_saphyr::from_str(&text).ok()?;
    let cluster = config.pointer("/clusters/0/cluster")?;
    let ca = cluster.get("certificate-authority-data")?.as_str()?;
    let ca = base64::engine::general_purpose::STANDARD.decode(ca).ok()?;
    Some((cluster.get("server")?.as_str()?.to_owned(), ca))
}
