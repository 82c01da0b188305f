//! Our own binary.

use std::path::Path;
use std::process::Command;

use super::process::Process;
use super::{Compactor, Running, Server, USERS, eventually, tail};

/// Starts the binary of this build on a free port with everything off that acts by itself.
pub(crate) async fn coracle() -> Server {
    coracle_with(|_| Vec::new()).await
}

/// The same with more flags, which are told after its folder is there.
pub(crate) async fn coracle_with(flags: impl Fn(&Path) -> Vec<String>) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut command = command(folder.path());
    command.arg("--ephemeral").args(flags(folder.path()));
    let processes = vec![Process::start(&mut command, &at("coracle.log"))];

    let log = at("coracle.log");
    let address = || async { address(&log).is_some() };
    assert!(eventually(address).await, "no address was printed; the server says:\n{}", tail(&log));
    let base = self::address(&log).unwrap();
    let certificate = at("pki/ca.crt");
    Server::ready(base, &certificate, Running { processes, log, compactor: Compactor::Nobody, folder }).await
}

/// Without a star only what is named runs, as with kube-controller-manager: here nothing.
const QUIET: [&str; 3] = ["--controllers=-deployment-controller", "--scheduler=false", "--nodes=0"];

/// The command with its files in a folder, a free port and everything off that acts by itself.
pub(super) fn command(folder: &Path) -> Command {
    let mut command = whole_command(folder);
    command.args(QUIET);
    command
}

/// The same of a whole cluster.
pub(super) fn whole_command(folder: &Path) -> Command {
    let at = |name: &str| folder.join(name);
    std::fs::write(at("users.csv"), USERS).unwrap();
    let mut command = Command::new(program());
    command.arg("--secure-port=0");
    command.args(["--service-cluster-ip-range=10.0.0.0/16", "--service-account-issuer=https://kubernetes.default.svc"]);
    command.arg("--token-auth-file").arg(at("users.csv"));
    command.arg("--cert-dir").arg(at("pki"));
    command.arg("--kubeconfig").arg(at("kubeconfig"));
    command
}

/// The binary of this build, or another that `CORACLE` names: one that is optimized does more in a long run.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests that users of them turn")]
pub(crate) fn program() -> String {
    std::env::var("CORACLE").unwrap_or_else(|_| env!("CARGO_BIN_EXE_coracle").to_owned())
}

/// Whether the binary is another than that of this build.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests that users of them turn")]
pub(crate) fn chosen() -> bool {
    std::env::var("CORACLE").is_ok()
}

/// The address that the server prints when it is ready.
pub(super) fn address(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("server "))?;
    Some(line.trim().to_owned())
}
