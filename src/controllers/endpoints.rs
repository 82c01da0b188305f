//! `endpoints-controller`: tells in Endpoints which pods are behind a Service, for clients older than EndpointSlices.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::pod::Pod;
use super::service::{self, Service, port_of};
use crate::client::{Cache, Cached, Error, Labels, Meta, ObjectName, Outcome, Resource, Selection, encode, work};

pub(super) const ENDPOINTS: Controller = Controller {
    name: "endpoints-controller",
    alias: "endpoint",
    account: "endpoint-controller",
    source: "endpoint-controller",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 8;
/// Addresses beyond this number are left out.
const ADDRESSES_MAX: usize = 1000;
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const HEADLESS: &str = "service.kubernetes.io/headless";

#[derive(Deserialize, Debug)]
struct Endpoints {
    metadata: Meta,
    #[serde(default)]
    subsets: Option<Vec<Value>>,
}

impl Cached for Endpoints {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Endpoints {
    const RESOURCE: &'static Resource = Resource::ENDPOINTS;

    fn selection() -> Selection {
        Selection { label_selector: format!("{MANAGED_BY}=endpoint-controller"), ..Selection::default() }
    }
}

async fn run(ctx: Context) {
    let services = ctx.cache::<Service>().await;
    let pods = ctx.cache::<Pod>().await;
    let endpoints = ctx.cache::<Endpoints>().await;
    let queue = service::queue(&ctx, &services, &pods);
    let changed = Arc::clone(&queue);
    endpoints.subscribe(move |delta| changed.add(delta.object().metadata.object_name()));
    let caches = (&*services, &*pods, &*endpoints);
    work(queue, WORKERS, "endpoints-controller", |name| reconcile(&ctx, caches, name)).await;
}

type Caches<'a> = (&'a Cache<Service>, &'a Cache<Pod>, &'a Cache<Endpoints>);

async fn reconcile(ctx: &Context, (services, pods, cache): Caches<'_>, name: ObjectName) -> Result<Outcome, Error> {
    let target = Resource::ENDPOINTS.at(&name.namespace, &name.name);
    let Some(service) = services.get(&name.namespace, &name.name) else {
        if cache.get(&name.namespace, &name.name).is_some() {
            match ctx.client.delete(target, &crate::client::DeleteOptions::default()).await {
                Err(error) if !error.not_found() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        return Ok(Outcome::Done);
    };
    if !service.finds_pods() {
        return Ok(Outcome::Done);
    }
    let present = cache.get(&name.namespace, &name.name);
    let (subsets, truncated) = subsets(&service, &service.pods(pods));
    let mut meta = present.as_ref().map(|present| present.metadata.clone()).unwrap_or_else(|| Meta {
        name: name.name.to_string(),
        namespace: name.namespace.to_string(),
        ..Meta::default()
    });
    meta.labels = labels(&service);
    meta.annotations.remove(OVER_CAPACITY);
    if truncated {
        meta.annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    if present.as_ref().is_some_and(|p| p.metadata == meta && p.subsets.clone().unwrap_or_default() == subsets) {
        return Ok(Outcome::Done);
    }
    let body = encode(&json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets}));
    let written = match present {
        Some(_) => ctx.client.update(target, body).await,
        None => ctx.client.create(Resource::ENDPOINTS.at(&name.namespace, ""), body).await,
    };
    match written {
        Ok(written) => cache.reached(written.revision, &*ctx.clock).await,
        Err(error) if error.namespace_terminating() || error.not_found() => {}
        Err(error) => return Err(error),
    }
    Ok(Outcome::Done)
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.to_map();
    labels.remove(HEADLESS);
    if service.headless() {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), "endpoint-controller".to_owned());
    labels.into()
}

/// Addresses by ports, ready ones apart from those that are not; and whether some are left out.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> (Vec<Value>, bool) {
    let tolerant = service.spec.publish_not_ready_addresses;
    let shown: Vec<_> = pods.iter().filter(|pod| tolerant || !pod.metadata.deleting()).collect();
    let mut groups: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for pod in shown.iter().take(ADDRESSES_MAX) {
        let ports: Vec<_> = service.spec.ports.iter().filter_map(|port| told_port(pod, port)).collect();
        if ports.is_empty() && !(service.spec.ports.is_empty() && service.headless()) {
            continue;
        }
        let (ready, waiting) = groups.entry(json!(ports).to_string()).or_default();
        if tolerant || pod.ready() { ready } else { waiting }.push(address(service, pod));
    }
    let subset = |(ports, (ready, waiting)): (String, (Vec<Value>, Vec<Value>))| {
        let ports: Vec<Value> = serde_json::from_str(&ports).unwrap_or_default();
        let mut subset = json!({});
        for (key, list) in [("addresses", ready), ("notReadyAddresses", waiting), ("ports", ports)] {
            if !list.is_empty() {
                subset[key] = Value::Array(list);
            }
        }
        subset
    };
    (groups.into_iter().map(subset).collect(), shown.len() > ADDRESSES_MAX)
}

fn told_port(pod: &Pod, port: &service::ServicePort) -> Option<Value> {
    let mut told = json!({"port": port_of(pod, port)?, "protocol": port.protocol});
    if !port.name.is_empty() {
        told["name"] = json!(port.name);
    }
    if let Some(protocol) = &port.app_protocol {
        told["appProtocol"] = json!(protocol);
    }
    Some(told)
}

fn address(service: &Service, pod: &Pod) -> Value {
    let meta = &pod.metadata;
    let mut address = json!({
        "ip": pod.status.pod_ip,
        "targetRef": {"kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
    });
    for (key, value) in [("nodeName", pod.spec.node_name.as_str()), ("hostname", service.hostname_of(pod))] {
        if !value.is_empty() {
            address[key] = json!(value);
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_addresses_stand_apart_from_those_that_are_not() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"namespace": "a", "name": "web"},
            "spec": {"clusterIP": "10.96.0.9", "selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]},
        }))
        .unwrap();
        let pod = |name: &str, ready: &str| {
            let status = json!({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]});
            let metadata = json!({"namespace": "a", "name": name, "uid": name});
            Arc::new(serde_json::from_value::<Pod>(json!({"metadata": metadata, "status": status})).unwrap())
        };
        let (subsets, truncated) = subsets(&service, &[pod("x", "True"), pod("y", "False")]);
        assert!(!truncated);
        assert_eq!(subsets.len(), 1);
        assert_eq!(subsets[0]["addresses"][0]["targetRef"]["name"], "x");
        assert_eq!(subsets[0]["notReadyAddresses"][0]["targetRef"]["name"], "y");
        assert_eq!(subsets[0]["ports"], json!([{"port": 80, "protocol": "TCP"}]));
    }
}
