//! What controllers see of a Service, and which of its pods are behind it under which port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

use super::context::{Context, Shared};
use super::pod::Pod;
use crate::client::{Cache, Cached, Delta, Meta, ObjectName, Queue, Resource};

/// How long changes of pods are gathered before their services are looked at.
const SETTLE: Duration = Duration::from_millis(20);

#[derive(Deserialize, Debug, Clone)]
pub(super) struct Service {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: ServiceSpec,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    pub selector: Option<BTreeMap<String, String>>,
    pub ports: Vec<ServicePort>,
    pub publish_not_ready_addresses: bool,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ServicePort {
    pub name: String,
    pub protocol: String,
    pub port: i32,
    pub target_port: Option<IntOrString>,
    pub app_protocol: Option<String>,
}

impl Cached for Service {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Service {
    const RESOURCE: &'static Resource = Resource::SERVICES;
}

impl Service {
    /// Whether the controllers find the pods behind it; others' endpoints are left alone.
    pub(super) fn finds_pods(&self) -> bool {
        self.spec.kind != "ExternalName" && self.spec.selector.is_some()
    }

    /// Whether it has no address of its own.
    pub(super) fn headless(&self) -> bool {
        self.spec.cluster_ip.is_empty() || self.spec.cluster_ip == "None"
    }

    fn selects(&self, pod: &Pod) -> bool {
        let selector = self.spec.selector.as_ref().filter(|selector| !selector.is_empty());
        selector.is_some_and(|selector| {
            selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value.as_str()))
        })
    }

    /// The pods behind it, by name.
    pub(super) fn pods(&self, cache: &Cache<Pod>) -> Vec<Arc<Pod>> {
        let mut pods = cache.in_namespace(&self.metadata.namespace);
        pods.retain(|pod| !pod.finished() && !pod.status.pod_ip.is_empty() && self.selects(pod));
        pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        pods
    }

    /// The host name of a pod under the service's name; empty for none.
    pub(super) fn hostname_of<'a>(&self, pod: &'a Pod) -> &'a str {
        if pod.spec.subdomain == self.metadata.name { &pod.spec.hostname } else { "" }
    }
}

/// The port of a pod that a service port leads to; `None` when the pod has none of that name.
pub(super) fn port_of(pod: &Pod, port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let sidecars = pod.spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
            let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
            let protocol = |text: &str| if text.is_empty() { "TCP".to_owned() } else { text.to_owned() };
            let named = |at: &&super::pod::ContainerPort| {
                at.name == *name && protocol(&at.protocol) == protocol(&port.protocol)
            };
            ports.into_iter().find(named).map(|at| at.container_port)
        }
    }
}

/// A queue of services that gets those that change and those whose pods change.
pub(super) fn queue(ctx: &Context, services: &Arc<Cache<Service>>, pods: &Cache<Pod>) -> Arc<Queue<ObjectName>> {
    let queue = ctx.queue_of(services);
    let (changed, all) = (Arc::clone(&queue), Arc::clone(services));
    pods.subscribe(move |delta| {
        let selected = |service: &Service| match delta {
            Delta::Added(pod) | Delta::Deleted(pod) => service.selects(pod),
            Delta::Updated { old, new } => service.selects(new) || service.selects(old),
        };
        for service in all.in_namespace(&delta.object().metadata.namespace) {
            if selected(&service) {
                changed.add_after(service.metadata.object_name(), SETTLE);
            }
        }
    });
    queue
}
