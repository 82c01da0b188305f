//! How the server reaches kubelets and the backends behind pods and services, and as whom.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::config::Config;
use crate::api::time::GoDuration;
use crate::auth::{Identity, Pki};
use crate::base::Clock;
use crate::node;
use crate::registry::{self, Connections, Registry};
use crate::remote::{ClientIdentity, Remote, Trust};
use crate::storage::Store;

/// As whom kubelets know us where no certificate is given: a user of the name that kubeadm uses, in the group that every
/// kubelet lets do everything.
const USER: &str = "kube-apiserver-kubelet-client";
const GROUP: &str = "system:masters";

/// The flags about kubelets.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Kubelets {
    /// Certificate shown to kubelets [default: one of our own authority for kube-apiserver-kubelet-client, so that
    /// kubelets which trust that authority for clients let us in; kube-apiserver itself shows none]
    #[arg(long, value_name = "FILE", help_heading = "Kubelets")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Key of the certificate shown to kubelets
    #[arg(long, value_name = "FILE", help_heading = "Kubelets")]
    pub kubelet_client_key: Option<PathBuf>,
    /// Authorities whose certificates kubelets must show [default: any certificate is accepted]
    #[arg(long, value_name = "FILE", help_heading = "Kubelets")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// By which of a node's addresses its kubelet is reached, the first that there is
    #[arg(
        long,
        value_name = "TYPES",
        value_delimiter = ',',
        default_value = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP",
        help_heading = "Kubelets"
    )]
    pub kubelet_preferred_address_types: Vec<String>,
    /// Port of kubelets whose nodes do not tell it
    #[arg(long, value_name = "PORT", default_value_t = 10250, help_heading = "Kubelets")]
    pub kubelet_port: u16,
    /// Known for its name; as in kube-apiserver nothing goes by it
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = super::flags::parse_duration,
          help_heading = "Kubelets")]
    pub kubelet_timeout: Duration,
}

impl Default for Kubelets {
    fn default() -> Self {
        let registry::Kubelets { address_types, port, .. } = registry::Kubelets::default();
        Self {
            kubelet_client_certificate: None,
            kubelet_client_key: None,
            kubelet_certificate_authority: None,
            kubelet_preferred_address_types: address_types,
            kubelet_port: port,
            kubelet_timeout: Duration::from_secs(5),
        }
    }
}

impl Kubelets {
    /// The flags with their values, in alphabetical order.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let file = |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let timeout = i64::try_from(self.kubelet_timeout.as_nanos()).unwrap_or(i64::MAX);
        vec![
            ("kubelet-certificate-authority", file(&self.kubelet_certificate_authority)),
            ("kubelet-client-certificate", file(&self.kubelet_client_certificate)),
            ("kubelet-client-key", file(&self.kubelet_client_key)),
            ("kubelet-port", self.kubelet_port.to_string()),
            ("kubelet-preferred-address-types", format!("[{}]", self.kubelet_preferred_address_types.join(","))),
            ("kubelet-timeout", GoDuration(timeout).to_string()),
        ]
    }

    fn identity(&self, pki: &Pki, clock: &Arc<dyn Clock>) -> anyhow::Result<ClientIdentity> {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        match (&self.kubelet_client_certificate, &self.kubelet_client_key) {
            (Some(certificate), Some(key)) => Ok(ClientIdentity { certificate: read(certificate)?, key: read(key)? }),
            (None, None) => {
                let Identity { certificate, key } = pki.issue_client(USER, &[GROUP], clock.now())?;
                Ok(ClientIdentity { certificate, key })
            }
            _ => anyhow::bail!("--kubelet-client-certificate and --kubelet-client-key must be given together"),
        }
    }

    fn found(&self) -> anyhow::Result<registry::Kubelets> {
        let trust = match &self.kubelet_certificate_authority {
            None => Trust::Anyone,
            Some(path) => {
                Trust::Bundle(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into())
            }
        };
        let address_types = self.kubelet_preferred_address_types.clone();
        Ok(registry::Kubelets { address_types, port: self.kubelet_port, trust })
    }
}

/// The ways to kubelets and backends. Behind simulated nodes and pods is nobody.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn connections(
    config: &Config,
    registry: &Arc<Registry>,
    pki: &Pki,
    (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
) -> anyhow::Result<Connections> {
    let nodes = config.controllers.nodes;
    let nobody: crate::remote::Nobody = Arc::new(move |host| node::simulated_address(host, nodes));
    let remote = || Remote::new(store.clone(), clock.clone()).with_nobody(nobody.clone());
    let to_kubelets = remote().with_identity(config.kubelets.identity(pki, clock)?);
    Ok(Connections::new(registry.clone(), config.kubelets.found()?, (to_kubelets, remote())))
}
