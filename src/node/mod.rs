//! Nodes. The simulated fleet registers any number of nodes, keeps their leases and conditions, and reports for every
//! pod that is bound to one of them what a kubelet would report, without running anything. One set of tasks serves
//! all nodes; each write is made as the node it concerns.

mod address;
mod fleet;
mod machine;
mod pod;
mod status;
mod workload;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use crate::api::Object;
use crate::api::request::User;
use crate::base::{Clock, Tasks};
use crate::client::{Client, EventApi, Recorder, Transport};

const AGENT: &str = "kubelet";

/// What the simulated nodes are like.
#[derive(Clone, Debug)]
pub struct Settings {
    pub count: usize,
    /// Each name is this with a number, from 1.
    pub name_prefix: String,
    pub cpu: String,
    pub memory: String,
    /// At most this many pods on a node, fewer when its addresses do not suffice.
    pub pods_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            count: 3,
            name_prefix: "node-".to_owned(),
            cpu: "32".to_owned(),
            memory: "256Gi".to_owned(),
            pods_max: 1000,
        }
    }
}

/// The address that a host stands for when it is one of so many simulated nodes or a pod of one: nobody is there.
pub fn simulated_address(host: &str, nodes: u32) -> Option<IpAddr> {
    address::simulated(host, (&Settings::default().name_prefix, nodes)).map(IpAddr::V4)
}

/// The user as which the fleet reads, and the role that lets it.
const FLEET: &str = "system:node-fleet";

/// What the fleet may, to be there before it starts. A kubelet reads the pods of its own node; one that stands for
/// many nodes reads those of all with one watch, which the Node authorizer lets no node do.
pub fn policy() -> Vec<Object> {
    let metadata = json!({
        "name": FLEET,
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata,
        "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": FLEET },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": FLEET }],
    });
    let object = |value| Object::from_value(value).expect("the values of this function are JSON objects");
    vec![object(role), object(binding)]
}

/// Starts the simulated nodes; they end with the tasks' shutdown. The fleet reads as a user of its own; it writes as
/// the nodes.
pub fn start(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, tasks: &Tasks, settings: &Settings) {
    if settings.count == 0 {
        return;
    }
    let user = User { name: FLEET.to_owned(), groups: vec!["system:authenticated".to_owned()], ..User::default() };
    let client = Client::new(transport, user, AGENT);
    let (recorder, writer) = Recorder::new(client.clone(), "kubelet", EventApi::Core, Arc::clone(&clock));
    tasks.spawn("node event recorder", writer);
    let fleet = Arc::new(fleet::Fleet::new(settings, client, recorder, clock));
    tasks.spawn("node heartbeats", machine::keep_alive(Arc::clone(&fleet)));
    tasks.spawn("node pods", fleet::run(fleet, tasks.clone()));
}
