//! `endpointslice-controller`: tells in EndpointSlices which pods are behind a Service, at most 100 in each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::node_lifecycle::Node;
use super::pod::Pod;
use super::service::{self, Service, port_of};
use crate::client::{
    Cache, Cached, DeleteOptions, Error, Labels, Meta, ObjectName, Outcome, Resource, Selection, encode, work,
};

pub(super) const ENDPOINT_SLICE: Controller = Controller {
    name: "endpointslice-controller",
    alias: "endpointslice",
    account: "endpointslice-controller",
    source: "endpointslice-controller",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 8;
/// Upstream's `--max-endpoints-per-slice`.
const ENDPOINTS_MAX: usize = 100;
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// A slice that this controller keeps.
#[derive(Deserialize, Debug, Clone)]
struct Slice {
    metadata: Meta,
    #[serde(default)]
    endpoints: Option<Vec<Value>>,
    #[serde(default)]
    ports: Option<Vec<Value>>,
}

impl Cached for Slice {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Slice {
    const RESOURCE: &'static Resource = Resource::ENDPOINT_SLICES;

    fn selection() -> Selection {
        Selection { label_selector: format!("{MANAGED_BY}={MANAGER}"), ..Selection::default() }
    }
}

struct Slices {
    ctx: Context,
    services: Arc<Cache<Service>>,
    pods: Arc<Cache<Pod>>,
    nodes: Arc<Cache<Node>>,
    slices: Arc<Cache<Slice>>,
}

async fn run(ctx: Context) {
    let services = ctx.cache::<Service>().await;
    let pods = ctx.cache::<Pod>().await;
    let nodes = ctx.cache::<Node>().await;
    let slices = ctx.cache::<Slice>().await;
    let queue = service::queue(&ctx, &services, &pods);
    let changed = Arc::clone(&queue);
    slices.subscribe(move |delta| {
        let meta = &delta.object().metadata;
        if let Some(service) = meta.labels.get(SERVICE_NAME) {
            changed.add(ObjectName::new(&meta.namespace, service));
        }
    });
    let this = Slices { ctx, services, pods, nodes, slices };
    work(queue, WORKERS, "endpointslice-controller", |name| reconcile(&this, name)).await;
}

async fn reconcile(this: &Slices, name: ObjectName) -> Result<Outcome, Error> {
    let Some(service) = this.services.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
    if !service.finds_pods() || service.metadata.deleting() {
        return Ok(Outcome::Done);
    }
    let zone = |pod: &Pod| {
        let node = this.nodes.get("", &pod.spec.node_name)?;
        node.metadata.labels.get("topology.kubernetes.io/zone").map(str::to_owned)
    };
    let groups = group(&service, &service.pods(&this.pods), zone);
    let mut present = this.slices.in_namespace(&name.namespace);
    present.retain(|slice| slice.metadata.labels.get(SERVICE_NAME).is_some_and(|of| *of == *name.name));
    present.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut revision = 0;
    for change in plan(&service, groups, &present) {
        let namespace = &service.metadata.namespace;
        let written = match change {
            Change::Create(slice) => {
                this.ctx.client.create(Resource::ENDPOINT_SLICES.at(namespace, ""), encode(&slice)).await
            }
            Change::Update(name, slice) => {
                this.ctx.client.update(Resource::ENDPOINT_SLICES.at(namespace, &name), encode(&slice)).await
            }
            Change::Delete(name) => {
                let target = Resource::ENDPOINT_SLICES.at(namespace, &name);
                this.ctx.client.delete(target, &DeleteOptions::default()).await
            }
        };
        match written {
            Ok(written) => revision = revision.max(written.revision),
            Err(error) if error.not_found() || error.namespace_terminating() => {}
            Err(error) => return Err(error),
        }
    }
    this.slices.reached(revision, &*this.ctx.clock).await;
    Ok(Outcome::Done)
}

/// Endpoints by their ports (as text, so that they can be compared).
type Groups = BTreeMap<String, Vec<Value>>;

#[derive(Debug)]
enum Change {
    Create(Value),
    Update(String, Value),
    Delete(String),
}

fn group(service: &Service, pods: &[Arc<Pod>], zone: impl Fn(&Pod) -> Option<String>) -> Groups {
    let mut groups = Groups::new();
    for pod in pods {
        let ports: Vec<_> = service
            .spec
            .ports
            .iter()
            .filter_map(|port| {
                let mut told = json!({"name": port.name, "port": port_of(pod, port)?, "protocol": port.protocol});
                if let Some(protocol) = &port.app_protocol {
                    told["appProtocol"] = json!(protocol);
                }
                Some(told)
            })
            .collect();
        groups.entry(json!(ports).to_string()).or_default().push(endpoint(service, pod, zone(pod)));
    }
    groups
}

fn endpoint(service: &Service, pod: &Pod, zone: Option<String>) -> Value {
    let (serving, terminating) = (pod.ready(), pod.metadata.deleting());
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let meta = &pod.metadata;
    let mut endpoint = json!({
        "addresses": [pod.status.pod_ip],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
    });
    let hostname = service.hostname_of(pod);
    let zone = zone.unwrap_or_default();
    for (key, value) in [("nodeName", pod.spec.node_name.as_str()), ("zone", &zone), ("hostname", hostname)] {
        if !value.is_empty() {
            endpoint[key] = json!(value);
        }
    }
    endpoint
}

/// The changes that make the slices tell the groups. An endpoint stays in its slice; new ones fill slices with room.
fn plan(service: &Service, mut groups: Groups, present: &[Arc<Slice>]) -> Vec<Change> {
    let mut changes = Vec::new();
    let labels = labels(service);
    let mut kept = 0;
    for slice in present {
        let ports = json!(slice.ports.clone().unwrap_or_default()).to_string();
        let before = slice.endpoints.clone().unwrap_or_default();
        let uids: BTreeSet<_> = before.iter().filter_map(|endpoint| endpoint["targetRef"]["uid"].as_str()).collect();
        let mut after = Vec::new();
        if let Some(wished) = groups.get_mut(&ports) {
            let is_here =
                |endpoint: &mut Value| endpoint["targetRef"]["uid"].as_str().is_some_and(|uid| uids.contains(uid));
            after.extend(wished.extract_if(.., is_here));
            let room = ENDPOINTS_MAX.saturating_sub(after.len()).min(wished.len());
            after.extend(wished.drain(..room));
        }
        if after.is_empty() && !(before.is_empty() && kept == 0 && groups.values().all(Vec::is_empty)) {
            changes.push(Change::Delete(slice.metadata.name.clone()));
            continue;
        }
        kept += 1;
        let order = |list: &[Value]| list.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        if order(&before) != order(&after) || slice.metadata.labels != labels {
            let mut meta = slice.metadata.clone();
            meta.labels.clone_from(&labels);
            changes.push(Change::Update(meta.name.clone(), body(json!(meta), &ports, &after)));
        }
    }
    for (ports, endpoints) in &groups {
        for chunk in endpoints.chunks(ENDPOINTS_MAX) {
            kept += 1;
            changes.push(Change::Create(body(new_meta(service, &labels), ports, chunk)));
        }
    }
    if kept == 0 {
        // A service without pods has one empty slice.
        changes.push(Change::Create(body(new_meta(service, &labels), "[]", &[])));
    }
    changes
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.to_map();
    labels.remove(HEADLESS);
    if service.headless() {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.into()
}

fn new_meta(service: &Service, labels: &Labels) -> Value {
    let meta = &service.metadata;
    json!({
        "generateName": format!("{}-", meta.name), "namespace": meta.namespace, "labels": labels,
        "ownerReferences": [meta.as_controller(Resource::SERVICES)],
    })
}

fn body(metadata: Value, ports: &str, endpoints: &[Value]) -> Value {
    let ports: Value = serde_json::from_str(ports).unwrap_or_default();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"namespace": "a", "name": "web", "uid": "s"},
            "spec": {"clusterIP": "10.96.0.9", "selector": {"app": "web"},
                "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]},
        }))
        .unwrap()
    }

    fn pods(count: usize) -> Vec<Arc<Pod>> {
        let pod = |index: usize| {
            json!({"metadata": {"namespace": "a", "name": format!("p{index}"), "uid": format!("u{index}")},
                "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]},
                "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        (0..count).map(|index| Arc::new(serde_json::from_value(pod(index)).unwrap())).collect()
    }

    fn planned(count: usize, present: &[Arc<Slice>]) -> Vec<Change> {
        plan(&service(), group(&service(), &pods(count), |_| None), present)
    }

    fn made(changes: Vec<Change>) -> Vec<Arc<Slice>> {
        let slice = |(index, change)| match change {
            Change::Create(mut slice) => {
                slice["metadata"]["name"] = json!(format!("web-{index}"));
                Arc::new(serde_json::from_value(slice).unwrap())
            }
            other => panic!("{other:?}"),
        };
        changes.into_iter().enumerate().map(slice).collect()
    }

    #[test]
    fn endpoints_stand_in_slices_of_a_hundred_under_the_ports_of_the_pods() {
        let slices = made(planned(150, &[]));
        let sizes: Vec<_> = slices.iter().map(|slice| slice.endpoints.as_ref().unwrap().len()).collect();
        assert_eq!(sizes, [100, 50]);
        assert_eq!(slices[0].ports.as_ref().unwrap()[0]["port"], 8080);
        assert!(planned(150, &slices).is_empty(), "what is told already is not written again");
    }

    #[test]
    fn a_service_without_pods_has_one_empty_slice() {
        let slices = made(planned(0, &[]));
        assert_eq!(slices.len(), 1);
        assert!(planned(0, &slices).is_empty());
    }

    #[test]
    fn slices_that_are_no_longer_needed_go() {
        let slices = made(planned(150, &[]));
        let changes = planned(40, &slices);
        assert!(matches!(changes.as_slice(), [Change::Update(..), Change::Delete(_)]), "{changes:?}");
    }
}
