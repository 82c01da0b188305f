//! What a cluster is to be, as a pure value: made of flags, or by whoever embeds one.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::resources::RuntimeConfig;
use crate::resources::facts::Facts;
use crate::server::Limits;
use crate::server::transport::Bounds;

/// Where a cluster keeps what must outlive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In memory; gone with the cluster.
    Ephemeral,
    /// In this folder: database, certificates and keys.
    Folder(PathBuf),
}

/// Which controllers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controllers {
    /// kube-controller-manager's syntax: `*`, `name`, `-name`, separated by commas. Empty: none.
    pub selection: String,
    /// The scheduler runs.
    pub scheduler: bool,
    /// How many nodes are simulated.
    pub nodes: u32,
}

/// One cluster.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: Data,
    pub bind_address: IpAddr,
    /// 0: any free port.
    pub secure_port: u16,
    /// `--cert-dir`; beside the data by default.
    pub cert_dir: Option<PathBuf>,
    pub client_ca_file: Option<PathBuf>,
    pub token_auth_file: Option<PathBuf>,
    pub anonymous_auth: bool,
    pub service_account_issuers: Vec<String>,
    pub service_account_key_files: Vec<PathBuf>,
    pub service_account_signing_key_file: Option<PathBuf>,
    pub api_audiences: Vec<String>,
    pub service_cluster_ip_ranges: Vec<ipnet::IpNet>,
    pub authorization_modes: Vec<String>,
    pub enable_admission_plugins: Vec<String>,
    pub disable_admission_plugins: Vec<String>,
    /// `--runtime-config`: what is served beside or without the default types, each on or off.
    pub runtime: Vec<(String, bool)>,
    /// `--feature-gates`.
    pub feature_gates: Vec<(String, bool)>,
    pub controllers: Controllers,
    pub limits: Limits,
    pub bounds: Bounds,
}

impl Default for Config {
    /// A whole cluster in memory on a free port of the loopback interface.
    fn default() -> Self {
        let range = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16);
        Self {
            data: Data::Ephemeral,
            bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure_port: 0,
            cert_dir: None,
            client_ca_file: None,
            token_auth_file: None,
            anonymous_auth: true,
            service_account_issuers: vec!["https://kubernetes.default.svc.cluster.local".to_owned()],
            service_account_key_files: Vec::new(),
            service_account_signing_key_file: None,
            api_audiences: Vec::new(),
            service_cluster_ip_ranges: vec![range.into()],
            authorization_modes: vec!["Node".to_owned(), "RBAC".to_owned()],
            enable_admission_plugins: Vec::new(),
            disable_admission_plugins: Vec::new(),
            runtime: Vec::new(),
            feature_gates: Vec::new(),
            controllers: Controllers { selection: "*".to_owned(), scheduler: true, nodes: 3 },
            limits: Limits::default(),
            bounds: Bounds::default(),
        }
    }
}

impl Config {
    /// The types that are served.
    ///
    /// # Errors
    /// When a feature gate is not known or cannot be set.
    pub fn runtime(&self, facts: &Facts) -> anyhow::Result<RuntimeConfig> {
        for (name, on) in &self.feature_gates {
            match facts.gate(name) {
                None => anyhow::bail!("unrecognized feature gate: {name}"),
                Some(gate) if gate.locked && gate.default != *on => {
                    anyhow::bail!("cannot set feature gate {name} to {on}, feature is locked to {}", gate.default)
                }
                Some(_) => {}
            }
        }
        let set = |name: &str| self.feature_gates.iter().rev().find(|(gate, _)| gate == name).map(|(_, on)| *on);
        let on = facts.gates.iter().filter(|gate| set(gate.name).unwrap_or(gate.default));
        let gates = on.map(|gate| gate.name.to_owned()).collect();
        Ok(RuntimeConfig { switches: self.runtime.clone(), gates })
    }

    /// Where certificates and keys are kept.
    pub fn certificates(&self) -> Option<PathBuf> {
        match (&self.cert_dir, &self.data) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Data::Folder(folder)) => Some(folder.join("pki")),
            (None, Data::Ephemeral) => None,
        }
    }

    /// The address under which clients reach the server.
    pub fn advertised(&self) -> IpAddr {
        if self.bind_address.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { self.bind_address }
    }
}
