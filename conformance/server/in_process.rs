//! Our own server in this process, for what no client can make it do.

use ::coracle::app::{Cluster, Config, Controllers};

use super::{Compactor, Running, Server, USERS};

/// Starts a cluster as `coracle` starts one, whose history can be forgotten at a word.
pub(crate) async fn in_process() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("users.csv"), USERS).unwrap();
    let config = Config {
        controllers: Controllers { selection: "-deployment-controller".to_owned(), scheduler: false, nodes: 0 },
        cert_dir: Some(at("pki")),
        token_auth_file: Some(at("users.csv")),
        service_account_issuers: vec!["https://kubernetes.default.svc".to_owned()],
        service_cluster_ip_ranges: vec!["10.0.0.0/16".parse().unwrap()],
        ..Config::default()
    };
    let cluster = Cluster::start(config).await.unwrap();
    let (base, certificate) = (format!("https://{}", cluster.address()), at("pki/ca.crt"));
    let running =
        Running { processes: Vec::new(), log: at("none.log"), compactor: Compactor::Cluster(cluster), folder };
    Server::ready(base, &certificate, running).await
}
