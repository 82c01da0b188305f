//! The pods of all simulated nodes: one cache, one queue.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Settings;
use super::address::{Addresses, node_address};
use super::pod::Pod;
use super::status::{self, Action};
use crate::api::request::User;
use crate::base::{Clock, Tasks};
use crate::client::{
    Cache, Client, DeleteOptions, Delta, Error, EventText, ObjectName, Outcome, Patch, Queue, Recorder, Regarding,
    Resource, Selection, encode, follow, work,
};

/// Pods that are written at once.
const WORKERS: usize = 64;

/// All simulated nodes.
pub(super) struct Fleet {
    pub settings: Settings,
    pub nodes: Vec<Node>,
    pub clock: Arc<dyn Clock>,
    client: Client,
    by_name: HashMap<Box<str>, usize>,
    /// Which pod has which address; held for single steps.
    addresses: Mutex<Addresses>,
}

/// One simulated node.
pub(super) struct Node {
    pub name: String,
    pub address: Ipv4Addr,
    pub pod_range: String,
    pub client: Client,
    recorder: Recorder,
}

impl Fleet {
    pub(super) fn new(settings: &Settings, client: Client, recorder: Recorder, clock: Arc<dyn Clock>) -> Self {
        let addresses = Addresses::new(settings.count);
        let node = |index: usize| {
            let name = format!("{}{}", settings.name_prefix, index + 1);
            let user = User {
                name: format!("system:node:{name}"),
                groups: vec!["system:nodes".to_owned(), "system:authenticated".to_owned()],
                ..User::default()
            };
            let client = client.acting_as(Arc::new(user));
            let recorder = recorder.on_host(client.clone(), &name);
            Node { address: node_address(index), pod_range: addresses.range(index), name, client, recorder }
        };
        let nodes: Vec<_> = (0..settings.count).map(node).collect();
        let by_name = nodes.iter().enumerate().map(|(index, node)| (node.name.as_str().into(), index)).collect();
        let settings = Settings { pods_max: settings.pods_max.min(addresses.per_node()), ..settings.clone() };
        Self { settings, nodes, clock, client, by_name, addresses: Mutex::new(addresses) }
    }

    /// Records an event about a node.
    pub(super) fn record(&self, node: &Node, text: EventText) {
        // A kubelet names its node by name where others use the uid (1.37).
        let regarding = Regarding {
            kind: "Node".to_owned(),
            name: node.name.clone(),
            uid: node.name.clone(),
            ..Regarding::default()
        };
        node.recorder.record(regarding, text, self.clock.now());
    }
}

/// Reports on the pods of all nodes until dropped.
pub(super) async fn run(fleet: Arc<Fleet>, tasks: Tasks) {
    let cache = Cache::<Pod>::new(Resource::PODS.clone());
    let queue = Queue::new(Arc::clone(&fleet.clock));
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&fleet));
    cache.subscribe(move |delta| note(&all, &changed, delta));
    let selection = Selection { field_selector: "spec.nodeName!=".to_owned(), ..Selection::default() };
    let follow = follow(Arc::clone(&cache), fleet.client.clone(), selection, Arc::clone(&fleet.clock));
    tasks.spawn("node pod cache", follow);
    cache.synced().await;
    work(queue, WORKERS, "kubelet", |name| reconcile(&fleet, &cache, name)).await;
}

fn note(fleet: &Fleet, queue: &Queue<ObjectName>, delta: &Delta<'_, Pod>) {
    let pod = delta.object();
    if !fleet.by_name.contains_key(pod.spec.node_name.as_str()) {
        return;
    }
    let uid = &pod.metadata.uid;
    if matches!(delta, Delta::Deleted(_)) || pod.finished() {
        fleet.addresses.lock().give_back(uid);
    } else if !pod.status.pod_ip.is_empty() && !pod.spec.host_network {
        fleet.addresses.lock().note(uid, &pod.status.pod_ip);
    }
    if !matches!(delta, Delta::Deleted(_)) {
        queue.add(pod.metadata.object_name());
    }
}

async fn reconcile(fleet: &Fleet, cache: &Cache<Pod>, name: ObjectName) -> Result<Outcome, Error> {
    let Some(pod) = cache.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
    let Some(index) = fleet.by_name.get(pod.spec.node_name.as_str()).copied() else { return Ok(Outcome::Done) };
    let node = &fleet.nodes[index];
    let now = fleet.clock.now();
    let written = match status::next(&pod, now) {
        Action::Wait(wait) => return Ok(wait.map_or(Outcome::Done, Outcome::Again)),
        Action::Start | Action::Refresh => {
            let address = if pod.spec.host_network {
                Some(node.address)
            } else {
                fleet.addresses.lock().take(index, &pod.metadata.uid)
            };
            let Some(address) = address else {
                let text = "Failed to create pod sandbox: no pod address is left on the node";
                fleet.record_on_pod(node, &pod, "", EventText::warning("FailedCreatePodSandBox", text));
                return Ok(Outcome::Again(std::time::Duration::from_secs(10)));
            };
            let starts = pod.status.phase != "Running";
            let written = write(node, &pod, &status::running(&pod, node.address, address, now)).await?;
            if starts && written > 0 {
                fleet.record_start(node, &pod);
            }
            written
        }
        Action::End(codes, reason) => write(node, &pod, &status::ended(&pod, &codes, reason, now)).await?,
        Action::Remove => remove(fleet, node, &pod).await?,
    };
    if written > 0 {
        cache.reached(written, &*fleet.clock).await;
    }
    // What the new state asks for is seen when it comes back; a state that is there already may wait for a time.
    Ok(Outcome::Done)
}

/// Ends a pod and removes it. A pod without finalizers goes at once, and its last state is told by nobody, so the end
/// is only written where others still look at it.
async fn remove(fleet: &Fleet, node: &Node, pod: &Pod) -> Result<u64, Error> {
    let now = fleet.clock.now();
    let mut written = 0;
    if !pod.finished() {
        if pod.status.phase == "Running" {
            for container in &pod.spec.containers {
                let text = EventText::normal("Killing", format!("Stopping container {}", container.name));
                fleet.record_on_pod(node, pod, &container.name, text);
            }
        }
        if !pod.metadata.finalizers.is_empty() {
            let codes = vec![0; pod.spec.containers.len()];
            written = write(node, pod, &status::ended(pod, &codes, None, now)).await?;
        }
    } else if pod.metadata.deletion_grace_period_seconds == Some(0) {
        return Ok(0);
    }
    let target = Resource::PODS.at(&pod.metadata.namespace, &pod.metadata.name);
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(&pod.metadata.uid) };
    match Box::pin(node.client.delete(target, &options)).await {
        Ok(deleted) => Ok(written.max(deleted.revision)),
        Err(error) if error.not_found() || error.conflict() => Ok(written),
        Err(error) => Err(error),
    }
}

/// Writes a status; gives the revision, 0 when the pod is gone.
async fn write(node: &Node, pod: &Pod, patch: &serde_json::Value) -> Result<u64, Error> {
    let target = Resource::PODS.at(&pod.metadata.namespace, &pod.metadata.name).sub("status");
    match Box::pin(node.client.patch(target, Patch::Strategic, encode(patch))).await {
        Ok(written) => Ok(written.revision),
        Err(error) if error.not_found() || error.conflict() => Ok(0),
        Err(error) => Err(error),
    }
}

impl Fleet {
    fn record_start(&self, node: &Node, pod: &Pod) {
        for container in pod.spec.init_containers.iter().chain(&pod.spec.containers) {
            let image = &container.image;
            let pulled =
                format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
            for text in [
                EventText::normal("Pulled", pulled),
                EventText::normal("Created", "Container created"),
                EventText::normal("Started", "Container started"),
            ] {
                self.record_on_pod(node, pod, &container.name, text);
            }
        }
    }

    fn record_on_pod(&self, node: &Node, pod: &Pod, container: &str, text: EventText) {
        let mut regarding = Regarding::of(Resource::PODS, &pod.metadata);
        if !container.is_empty() {
            let list =
                if pod.spec.containers.iter().any(|c| c.name == container) { "containers" } else { "initContainers" };
            regarding.field_path = format!("spec.{list}{{{container}}}");
        }
        node.recorder.record(regarding, text, self.clock.now());
    }
}
