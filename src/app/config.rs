//! What a cluster is to be, as a pure value: made of flags, or by whoever embeds one.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::kubelets::Kubelets;
use crate::admission::DefaultTolerationSeconds;
use crate::api::time::GoDuration;
use crate::auth::authenticate::{Anonymous, FrontProxy, TokenWebhook};
use crate::auth::authorize;
use crate::resources::facts::Facts;
use crate::resources::{Gates, RuntimeConfig};
use crate::server::Limits;
use crate::server::transport::Bounds;
use crate::storage::Retention;

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

/// Which tokens are given and believed, and who else says who users are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// `--service-account-jwks-uri`.
    pub jwks_uri: Option<String>,
    /// `--service-account-max-token-expiration`.
    pub token_expiration_max: Option<Duration>,
    /// `--service-account-extend-token-expiration`.
    pub extends_tokens: bool,
    /// `--service-account-lookup`.
    pub looks_up_tokens: bool,
    /// `--authentication-config`.
    pub config_file: Option<PathBuf>,
    /// `--requestheader-…`.
    pub front_proxy: FrontProxy,
    /// `--authentication-token-webhook-…`.
    pub token_webhook: TokenWebhook,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            jwks_uri: None,
            token_expiration_max: None,
            extends_tokens: true,
            looks_up_tokens: true,
            config_file: None,
            front_proxy: FrontProxy::default(),
            token_webhook: TokenWebhook::default(),
        }
    }
}

impl Authentication {
    fn check(&self) -> anyhow::Result<()> {
        const EXPIRATION: RangeInclusive<Duration> = Duration::from_secs(3600)..=Duration::from_secs(1 << 32);
        if let Some(uri) = self.jwks_uri.as_ref().filter(|uri| !uri.starts_with("https://")) {
            anyhow::bail!("service-account-jwks-uri requires https scheme, parsed as: {uri}");
        }
        let bounded = self.token_expiration_max.is_none_or(|max| EXPIRATION.contains(&max));
        let why = "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds";
        anyhow::ensure!(bounded, why);
        Ok(())
    }
}

/// The default of `--service-node-port-range`.
pub(super) const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;

/// One cluster.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: Data,
    pub bind_address: IpAddr,
    /// `--advertise-address`, where it is given.
    pub advertise_address: Option<IpAddr>,
    /// 0: any free port.
    pub secure_port: u16,
    /// `--cert-dir`; beside the data by default.
    pub cert_dir: Option<PathBuf>,
    pub client_ca_file: Option<PathBuf>,
    pub token_auth_file: Option<PathBuf>,
    /// `--anonymous-auth`, where it is given.
    pub anonymous_auth: Option<bool>,
    pub authentication: Authentication,
    pub service_account_issuers: Vec<String>,
    pub service_account_key_files: Vec<PathBuf>,
    pub service_account_signing_key_file: Option<PathBuf>,
    pub api_audiences: Vec<String>,
    pub service_cluster_ip_ranges: Vec<ipnet::IpNet>,
    /// What Services may have of the nodes' ports.
    pub node_ports: RangeInclusive<u16>,
    pub authorization: authorize::Settings,
    pub enable_admission_plugins: Vec<String>,
    pub disable_admission_plugins: Vec<String>,
    pub admission_control_config_file: Option<PathBuf>,
    /// For how long pods bear nodes that are not well.
    pub tolerations: DefaultTolerationSeconds,
    /// `--runtime-config`: what is served beside or without the default types, each on or off.
    pub runtime: Vec<(String, bool)>,
    /// `--feature-gates`.
    pub feature_gates: Vec<(String, bool)>,
    pub controllers: Controllers,
    /// How kubelets are reached.
    pub kubelets: Kubelets,
    /// `--etcd-compaction-interval`: states older than this are forgotten, `Duration::MAX` for none.
    pub history: Duration,
    /// How long events stay; zero: for ever.
    pub event_ttl: Duration,
    pub limits: Limits,
    pub bounds: Bounds,
}

impl Default for Config {
    /// A whole cluster in memory on a free port of the loopback interface.
    fn default() -> Self {
        // Upstream's own default, 10.0.0.0/24, is deprecated there: it ends after some 250 Services, and is a common
        // range of home networks. This one is kind's.
        let range = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16);
        Self {
            data: Data::Ephemeral,
            bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise_address: None,
            secure_port: 0,
            cert_dir: None,
            client_ca_file: None,
            token_auth_file: None,
            anonymous_auth: None,
            authentication: Authentication::default(),
            service_account_issuers: vec!["https://kubernetes.default.svc.cluster.local".to_owned()],
            service_account_key_files: Vec::new(),
            service_account_signing_key_file: None,
            api_audiences: Vec::new(),
            service_cluster_ip_ranges: vec![range.into()],
            node_ports: NODE_PORTS,
            authorization: authorize::Settings::default(),
            enable_admission_plugins: Vec::new(),
            disable_admission_plugins: Vec::new(),
            admission_control_config_file: None,
            tolerations: DefaultTolerationSeconds::default(),
            runtime: Vec::new(),
            feature_gates: Vec::new(),
            controllers: Controllers { selection: "*".to_owned(), scheduler: true, nodes: 3 },
            kubelets: Kubelets::default(),
            history: Retention::AGE,
            event_ttl: Duration::from_secs(3600),
            limits: Limits::default(),
            bounds: Bounds::default(),
        }
    }
}

impl Config {
    /// Values that contradict themselves, in upstream's words.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self) -> anyhow::Result<()> {
        let ranges = &self.service_cluster_ip_ranges;
        anyhow::ensure!(ranges.len() <= 2, "--service-cluster-ip-range must not contain more than two entries");
        if let [first, second] = ranges.as_slice()
            && first.addr().is_ipv4() == second.addr().is_ipv4()
        {
            anyhow::bail!(
                "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family"
            );
        }
        for (which, range) in ["primary", "secondary"].iter().zip(ranges) {
            let bits = range.max_prefix_len() - range.prefix_len();
            let why = "the service cluster IP range must be at least 8 IP addresses";
            anyhow::ensure!(bits >= 3, "error determining service IP ranges for {which} service cidr: {why}");
        }
        self.authentication.check()?;
        for (index, issuer) in self.service_account_issuers.iter().enumerate() {
            anyhow::ensure!(!issuer.is_empty(), "service-account-issuer should not be an empty string");
            let again = self.service_account_issuers[..index].contains(issuer);
            anyhow::ensure!(!again, "service-account-issuer {issuer:?} is already specified");
        }
        Ok(())
    }

    /// The flags that describe this cluster, in alphabetical order, with their values as kube-apiserver writes them.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let list = |items: &[String]| format!("[{}]", items.join(","));
        let file = |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let files = |paths: &[PathBuf]| list(&paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>());
        let switches =
            |all: &[(String, bool)]| all.iter().map(|(name, on)| format!("{name}={on}")).collect::<Vec<_>>().join(",");
        let ranges: Vec<String> = self.service_cluster_ip_ranges.iter().map(ToString::to_string).collect();
        // No end is written as zero.
        let interval = i64::try_from(self.history.as_nanos()).unwrap_or_default();
        let data = match &self.data {
            Data::Ephemeral => String::new(),
            Data::Folder(folder) => folder.display().to_string(),
        };
        let mut rows = vec![
            ("admission-control-config-file", file(&self.admission_control_config_file)),
            ("advertise-address", self.advertised().to_string()),
            ("anonymous-auth", self.anonymous_auth.unwrap_or(true).to_string()),
            ("api-audiences", list(&self.api_audiences)),
            ("authorization-config", file(&self.authorization.config_file)),
            ("authorization-mode", list(&self.authorization.mode_names())),
            ("authorization-policy-file", file(&self.authorization.policy_file)),
            ("authorization-webhook-config-file", self.authorization.webhook_config_file.clone().unwrap_or_default()),
            ("bind-address", self.bind_address.to_string()),
            ("cert-dir", file(&self.cert_dir)),
            ("client-ca-file", file(&self.client_ca_file)),
            ("controllers", self.controllers.selection.clone()),
            ("data-dir", data),
            ("disable-admission-plugins", list(&self.disable_admission_plugins)),
            ("enable-admission-plugins", list(&self.enable_admission_plugins)),
            ("ephemeral", (self.data == Data::Ephemeral).to_string()),
            ("etcd-compaction-interval", GoDuration(interval).to_string()),
            ("feature-gates", switches(&self.feature_gates)),
            ("max-mutating-requests-inflight", self.limits.writing_in_flight_max.to_string()),
            ("max-requests-inflight", self.limits.reading_in_flight_max.to_string()),
            ("min-request-timeout", self.limits.watch_seconds_min.to_string()),
            ("nodes", self.controllers.nodes.to_string()),
            ("runtime-config", switches(&self.runtime)),
            ("scheduler", self.controllers.scheduler.to_string()),
            ("secure-port", self.secure_port.to_string()),
            ("service-account-issuer", list(&self.service_account_issuers)),
            ("service-account-key-file", files(&self.service_account_key_files)),
            ("service-account-signing-key-file", file(&self.service_account_signing_key_file)),
            ("service-cluster-ip-range", ranges.join(",")),
            ("service-node-port-range", format!("{}-{}", self.node_ports.start(), self.node_ports.end())),
            ("token-auth-file", file(&self.token_auth_file)),
        ];
        rows.extend(self.kubelets.rows());
        rows.sort_unstable_by_key(|(name, _)| *name);
        rows
    }

    /// The types that are served.
    ///
    /// # Errors
    /// Upstream's text when a feature gate is not known or cannot be set, or a group or version is not known.
    pub fn runtime(&self, facts: &Facts) -> anyhow::Result<RuntimeConfig> {
        let gates = Gates::parse(&self.feature_gates).map_err(anyhow::Error::msg)?;
        let runtime = RuntimeConfig { switches: self.runtime.clone(), gates };
        runtime.check(facts).map_err(anyhow::Error::msg)?;
        Ok(runtime)
    }

    /// Which requests may come from nobody. Where flags let everybody do everything, none, unless a file says so
    /// (upstream v1.37).
    ///
    /// # Errors
    /// When the file of `--authentication-config` cannot be used.
    pub fn anonymous(&self) -> anyhow::Result<Anonymous> {
        let file = self.authentication.config_file.as_deref().map(Anonymous::read).transpose();
        match (file.map_err(anyhow::Error::msg)?.flatten(), self.anonymous_auth) {
            (Some(_), Some(_)) => anyhow::bail!(
                "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in \
                 authentication configuration file"
            ),
            (Some(said), None) => Ok(said),
            (None, said) => {
                let allowed = said.unwrap_or(true) && !self.authorization.allows_everything();
                Ok(if allowed { Anonymous::Always } else { Anonymous::Never })
            }
        }
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
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let bound = Some(self.bind_address).filter(|address| !address.is_unspecified());
        self.advertise_address.or(bound).unwrap_or(local)
    }
}
