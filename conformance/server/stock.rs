//! Stock etcd and kube-apiserver, built by `conformance/upstream/build`.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::process::Process;
use super::{Compactor, Running, Server, USERS, eventually, free_port};

/// Where the build script leaves the binaries.
pub(crate) const BINARIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/upstream/bin");

/// Starts both on free ports with all data in a folder of their own.
pub(crate) async fn stock() -> Server {
    stock_with(|_| Vec::new()).await
}

/// The same with more flags of kube-apiserver, which are told after its folder is there.
pub(crate) async fn stock_with(flags: impl Fn(&Path) -> Vec<String>) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let etcd = format!("http://127.0.0.1:{}", free_port());
    let peers = format!("http://127.0.0.1:{}", free_port());
    let mut command = Command::new(Path::new(BINARIES).join("etcd"));
    command.arg("--data-dir").arg(at("etcd"));
    command.args([format!("--listen-client-urls={etcd}"), format!("--advertise-client-urls={etcd}")]);
    command.args([format!("--listen-peer-urls={peers}")]);
    let mut processes = vec![Process::start(&mut command, &at("etcd.log"))];

    std::fs::write(at("users.csv"), USERS).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(at("sa.key"), key.serialize_pem()).unwrap();
    std::fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
    let port = free_port();
    let mut command = Command::new(Path::new(BINARIES).join("kube-apiserver"));
    command.args([format!("--etcd-servers={etcd}"), format!("--secure-port={port}")]);
    command.args(["--bind-address=127.0.0.1", "--service-cluster-ip-range=10.0.0.0/16", "--allow-privileged=true"]);
    command.arg("--service-account-issuer=https://kubernetes.default.svc");
    let flags = flags(folder.path());
    let given = |name: &str| flags.iter().any(|flag| flag.starts_with(name));
    let keys = [("--service-account-key-file", "sa.pub"), ("--service-account-signing-key-file", "sa.key")];
    let files = [("--cert-dir", "certs"), ("--token-auth-file", "users.csv")];
    for (flag, file) in files.into_iter().chain(keys.into_iter().filter(|(flag, _)| !given(flag))) {
        command.arg(flag).arg(at(file));
    }
    if !given("--authorization-") {
        command.arg("--authorization-mode=Node,RBAC");
    }
    command.args(flags);
    processes.insert(0, Process::start(&mut command, &at("kube-apiserver.log")));

    let certificate = at("certs/apiserver.crt");
    let log = at("kube-apiserver.log");
    let made = || async { std::fs::metadata(&certificate).is_ok_and(|file| file.len() > 0) };
    assert!(eventually(made).await, "kube-apiserver made no certificate");
    Server::ready(
        format!("https://127.0.0.1:{port}"),
        &certificate,
        Running { processes, log, compactor: Compactor::Etcd(etcd), folder },
    )
    .await
}

/// Compacts etcd as kube-apiserver does, which tells others of it in a key of its own.
pub(super) async fn compact(etcd: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |what: &str, body: Value| -> Value {
        let request = client.post(format!("{etcd}/v3/kv/{what}")).json(&body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    };
    let key = BASE64.encode("compact_rev_key");
    let now = ask("range", json!({ "key": key })).await["header"]["revision"].as_str().unwrap().to_owned();
    ask("put", json!({ "key": key, "value": BASE64.encode(&now) })).await;
    ask("compaction", json!({ "revision": now, "physical": true })).await;
}
