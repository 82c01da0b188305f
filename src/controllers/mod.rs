//! The controllers of kube-controller-manager: a runner, a table, one file or folder each. A controller is a client
//! like any other, under its own ServiceAccount. It gets a key, reads the present state from shared caches, works out
//! the wished state with a pure `plan` and writes the difference.

pub mod apiserver;
mod certificates;
mod cluster_role_aggregation;
mod condition;
mod context;
mod deployment;
mod discovery;
mod disruption;
mod endpoint_slice;
mod endpoints;
mod following;
mod garbage_collector;
mod int_or_percent;
mod namespace;
mod node_lifecycle;
mod pod;
mod pod_control;
mod pod_garbage_collector;
mod policy_status;
mod replica_set;
mod resource_quota;
mod root_ca;
mod service;
mod service_account;
mod storage_protection;
mod taint_eviction;
mod template;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::auth::CertificateSigner;
use crate::base::{Clock, Queues, Tasks};
use crate::client::Transport;

use context::Caches;
pub use context::Context;

/// A controller.
pub struct Controller {
    /// As kube-controller-manager calls it, without `-controller`… where upstream's name ends so.
    pub name: &'static str,
    /// The older name, also understood in `--controllers`; empty for none.
    pub alias: &'static str,
    /// Its ServiceAccount in `kube-system`; upstream lets a few controllers share one.
    pub account: &'static str,
    /// What its events name as their source.
    pub source: &'static str,
    /// Works until dropped.
    pub run: fn(Context) -> BoxFuture<'static, ()>,
}

/// What the controllers are told.
#[derive(Clone)]
pub struct Settings {
    /// `--controllers`, as `Selection::parse` reads it.
    pub selection: String,
    /// The certificate of the cluster's authority, in PEM; it is not published when empty.
    pub root_ca: String,
    /// Where work queues are counted.
    pub queues: Arc<Queues>,
    /// Signs approved certificate requests; nobody does without.
    pub signer: Option<CertificateSigner>,
}

/// All controllers.
pub static CONTROLLERS: &[Controller] = &[
    certificates::APPROVING,
    certificates::CLEANER,
    certificates::SIGNING,
    cluster_role_aggregation::CLUSTER_ROLE_AGGREGATION,
    deployment::DEPLOYMENT,
    disruption::DISRUPTION,
    endpoint_slice::ENDPOINT_SLICE,
    endpoints::ENDPOINTS,
    garbage_collector::GARBAGE_COLLECTOR,
    namespace::NAMESPACE,
    node_lifecycle::NODE_LIFECYCLE,
    pod_garbage_collector::POD_GARBAGE_COLLECTOR,
    replica_set::REPLICA_SET,
    resource_quota::RESOURCE_QUOTA,
    root_ca::ROOT_CA,
    service_account::SERVICE_ACCOUNT,
    storage_protection::ATTRIBUTES_CLASS_PROTECTION,
    storage_protection::CLAIM_PROTECTION,
    storage_protection::VOLUME_PROTECTION,
    taint_eviction::TAINT_EVICTION,
    policy_status::POLICY_STATUS,
];

/// Starts the selected controllers; they end with the tasks' shutdown.
///
/// # Errors
/// When the selection names an unknown controller.
pub fn start(
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
    settings: Settings,
) -> Result<(), Error> {
    let selection = Selection::parse(&settings.selection)?;
    let caches = Caches::new(transport, clock, tasks.clone(), settings);
    for controller in CONTROLLERS.iter().filter(|controller| selection.enables(controller)) {
        let context = Context::new(controller, Arc::clone(&caches));
        tasks.spawn(controller.name, (controller.run)(context));
    }
    Ok(())
}

/// What could not be started.
#[derive(thiserror::Error, Debug, PartialEq, Eq)]
pub enum Error {
    #[error("{0:?} is not in the list of known controllers")]
    UnknownController(String),
}

/// `--controllers`: `*` enables all that are on by default, `name` one, `-name` disables one.
#[derive(Debug)]
pub struct Selection {
    all: bool,
    enabled: Vec<String>,
    disabled: Vec<String>,
}

impl Selection {
    /// Reads a list separated by commas.
    ///
    /// # Errors
    /// When it names an unknown controller.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut selection = Self { all: false, enabled: Vec::new(), disabled: Vec::new() };
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (list, name) = match item.strip_prefix('-') {
                Some(name) => (&mut selection.disabled, name),
                None => (&mut selection.enabled, item),
            };
            if item == "*" {
                selection.all = true;
            } else if CONTROLLERS.iter().any(|controller| controller.is_called(name)) {
                list.push(name.to_owned());
            } else {
                return Err(Error::UnknownController(name.to_owned()));
            }
        }
        Ok(selection)
    }

    /// Whether a controller is to run.
    pub fn enables(&self, controller: &Controller) -> bool {
        let named = |list: &[String]| list.iter().any(|name| controller.is_called(name));
        named(&self.enabled) || (self.all && !named(&self.disabled))
    }
}

impl Controller {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || (!self.alias.is_empty() && self.alias == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_enabled(selection: &str, name: &str, expected: bool) {
        let controller = CONTROLLERS.iter().find(|c| c.name == name).expect("the name is in the table");
        assert_eq!(Selection::parse(selection).unwrap().enables(controller), expected, "{selection} {name}");
    }

    #[test]
    fn a_star_enables_all_but_those_with_a_dash() {
        check_enabled("*", "deployment-controller", true);
        check_enabled("*,-deployment-controller", "deployment-controller", false);
        check_enabled("*,-deployment", "deployment-controller", false);
        check_enabled("*,-deployment", "replicaset-controller", true);
        check_enabled("replicaset", "deployment-controller", false);
        check_enabled("replicaset", "replicaset-controller", true);
        check_enabled("", "replicaset-controller", false);
    }

    #[test]
    fn an_unknown_controller_is_refused() {
        assert_eq!(Selection::parse("*,-nope").unwrap_err(), Error::UnknownController("nope".to_owned()));
    }

    #[test]
    fn names_of_the_table_are_distinct() {
        for (index, controller) in CONTROLLERS.iter().enumerate() {
            for other in &CONTROLLERS[index + 1..] {
                assert_ne!(controller.name, other.name);
            }
        }
    }
}
