//! Where kubelets, pods and the pods behind services are (K `pkg/kubelet/client`, `pkg/registry/core/{pod,node,service}`).

use std::net::IpAddr;

use serde_json::Value;

use super::connect::{Connections, End, Way};
use super::{Call, persist};
use crate::api::field::go_quote;
use crate::api::{Object, Reason, Result, Status};
use crate::remote::{Place, Site, Trust};
use crate::resources::Kind;
use crate::storage::Key;

const SLICES: &str = "endpointslices.discovery.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A kubelet as its node tells of it.
pub(super) struct Kubelet {
    host: String,
    port: String,
    trust: Trust,
    /// It speaks WebSocket for containers itself.
    pub(super) extends_web_sockets: bool,
}

impl Kubelet {
    pub(super) fn site(&self) -> Site {
        let trust = self.trust.clone();
        Site { place: Place::Url(format!("https://{}", authority(&self.host, &self.port))), trust }
    }
}

impl Way {
    fn to_backend(scheme: &str, authority: &str) -> Self {
        // Upstream's scheme where none is named; certificates of backends are not verified.
        let scheme = if scheme.is_empty() { "http" } else { scheme };
        let site = Site { place: Place::Url(format!("{scheme}://{authority}")), trust: Trust::Anyone };
        Self { site, path: String::new(), query: String::new(), to: End::Backend }
    }

    /// The same to a path.
    pub(super) fn behind(self, path: &str) -> Self {
        Self { path: join(path), ..self }
    }
}

impl Connections {
    /// The kubelet of a node; upstream tells of its absence as of what is wanted from it.
    pub(super) fn kubelet(&self, call: &Call, name: &str) -> Result<Kubelet> {
        let missing = || Status::not_found(&call.kind.group_resource(), name);
        let node = self.named("nodes", ("", name))?.ok_or_else(missing)?;
        let text = |address: &Value, key: &str| address.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let addresses = node.get(&["status", "addresses"]).and_then(Value::as_array);
        let all: Vec<(String, String)> =
            addresses.into_iter().flatten().map(|of| (text(of, "type"), text(of, "address"))).collect();
        let preferred = |kind: &String| all.iter().find(|(known, _)| known == kind);
        let Some((_, host)) = self.kubelets.address_types.iter().find_map(preferred) else {
            let known: Vec<String> = all.iter().map(|(kind, address)| format!("{{{kind} {address}}}")).collect();
            let why = format!("no preferred addresses found; known addresses: [{}]", known.join(" "));
            return Err(Status::new(500, Reason::Unknown, why));
        };
        let told = node.get(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).and_then(Value::as_i64);
        let port = told.filter(|port| *port > 0).unwrap_or_else(|| self.kubelets.port.into());
        let features = node.get(&["status", "declaredFeatures"]).and_then(Value::as_array);
        let extends = features.into_iter().flatten().any(|name| name == "ExtendWebSocketsToKubelet");
        Ok(Kubelet {
            host: host.clone(),
            port: port.to_string(),
            trust: self.kubelets.trust.clone(),
            extends_web_sockets: extends && self.registry.enabled("ExtendWebSocketsToKubelet"),
        })
    }

    /// A node's kubelet, or what listens on another port of the node.
    pub(super) async fn node_address(&self, call: &Call) -> Result<Way> {
        let id = Id::parse("node", &call.target.name)?;
        let kubelet = self.kubelet(call, id.name)?;
        let addresses = self.to_backends.addresses(&kubelet.host).await.map_err(Status::bad_request)?;
        if !addresses.iter().all(is_global_unicast) {
            return Err(Status::bad_request("address not allowed"));
        }
        if !id.port.is_empty() && id.port != kubelet.port {
            return Ok(Way::to_backend(id.scheme, &authority(&kubelet.host, id.port)));
        }
        let to = End::Kubelet { extends_web_sockets: kubelet.extends_web_sockets };
        Ok(Way { site: kubelet.site(), path: String::new(), query: String::new(), to })
    }

    /// A port of a pod: the one that is named, or the first that a container has.
    pub(super) fn pod_address(&self, call: &Call) -> Result<Way> {
        let id = Id::parse("pod", &call.target.name)?;
        let missing = || Status::not_found(&call.kind.group_resource(), id.name);
        let pod = self.named("pods", (&call.target.namespace, id.name))?.ok_or_else(missing)?;
        let containers = pod.get(&["spec", "containers"]).and_then(Value::as_array);
        let first = |container: &Value| container.pointer("/ports/0/containerPort").and_then(Value::as_i64);
        let port = match id.port {
            "" => containers.into_iter().flatten().find_map(first).map(|port| port.to_string()).unwrap_or_default(),
            port => port.to_owned(),
        };
        let address: Option<IpAddr> = pod.text_at(&["status", "podIP"]).parse().ok();
        let refused = || Status::bad_request("address not allowed");
        let address = address.filter(is_global_unicast).ok_or_else(refused)?;
        Ok(Way::to_backend(id.scheme, &authority(&address.to_string(), &port)))
    }

    /// A pod behind a service, of which only those that are pods of its namespace count.
    pub(super) fn service(&self, call: &Call) -> Result<Way> {
        let id = Id::parse("service", &call.target.name)?;
        let (namespace, name) = (call.target.namespace.as_str(), id.name);
        let mut port = id.port.to_owned();
        if let Ok(number) = port.parse::<i64>() {
            let missing = || Status::not_found(&call.kind.group_resource(), name);
            let service = self.named("services", (namespace, name))?.ok_or_else(missing)?;
            let ports = service.get(&["spec", "ports"]).and_then(Value::as_array);
            let same = |port: &&Value| port.get("port").and_then(Value::as_i64) == Some(number);
            let unknown = || Status::unavailable(format!("no service port {number} found for service {name:?}"));
            let found = ports.into_iter().flatten().find(same).ok_or_else(unknown)?;
            found.get("name").and_then(Value::as_str).unwrap_or("").clone_into(&mut port);
        }
        let nothing = || Status::unavailable(format!("no endpoints available for service {name:?}"));
        let endpoint = self.endpoint((namespace, name), &port).ok_or_else(nothing)?;
        Ok(Way::to_backend(id.scheme, &endpoint))
    }

    /// A ready endpoint of a port: slices of the family of services first, and within one another one each time.
    fn endpoint(&self, (namespace, service): (&str, &str), port: &str) -> Option<String> {
        let snapshot = self.registry.store().snapshot();
        let parse = |stored: &std::sync::Arc<crate::storage::Stored>| -> Value {
            serde_json::from_slice(&stored.body.json).unwrap_or_default()
        };
        let slices = snapshot.by_label(SLICES, (SERVICE_NAME, service));
        let mut slices: Vec<Value> = slices.filter(|slice| &*slice.key.namespace == namespace).map(parse).collect();
        let family = self.primary_family();
        slices.sort_by_key(|slice| slice.get("addressType").and_then(Value::as_str) != Some(family));
        let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        slices.iter().find_map(|slice| {
            let named = |of: &&Value| of.get("name").and_then(Value::as_str) == Some(port);
            let port = list(slice, "ports").iter().find(named)?.get("port")?.as_u64()?;
            let mut endpoints = list(slice, "endpoints");
            if endpoints.is_empty() {
                return None;
            }
            let first = rand::random_range(0..endpoints.len());
            endpoints.rotate_left(first);
            let ready = |of: &&Value| of.pointer("/conditions/ready") != Some(&Value::Bool(false));
            let found = endpoints.iter().filter(ready).find_map(|of| self.pod_of(of, namespace))?;
            Some(authority(&found, &port.to_string()))
        })
    }

    /// The address of an endpoint, if it is that of the pod that it names.
    fn pod_of(&self, endpoint: &Value, namespace: &str) -> Option<String> {
        let text = |pointer: &str| endpoint.pointer(pointer).and_then(Value::as_str);
        let address = text("/addresses/0")?;
        if text("/targetRef/namespace")? != namespace {
            return None;
        }
        let pod = self.named("pods", (namespace, text("/targetRef/name")?)).ok()??;
        let addresses = pod.get(&["status", "podIPs"]).and_then(Value::as_array);
        let same = |of: &Value| of.get("ip").and_then(Value::as_str) == Some(address);
        addresses.into_iter().flatten().any(same).then(|| address.to_owned())
    }

    /// The family of the addresses of services, as that of the server's own tells.
    fn primary_family(&self) -> &'static str {
        let service = self.named("services", ("default", "kubernetes")).ok().flatten();
        let address = service.map(|service| service.text_at(&["spec", "clusterIP"]).to_owned());
        if address.is_some_and(|address| address.contains(':')) { "IPv6" } else { "IPv4" }
    }

    fn named(&self, resource: &str, (namespace, name): (&str, &str)) -> Result<Option<Object>> {
        let served = self.registry.catalog().served();
        let Some(kind) = served.find("", "v1", resource) else { return Ok(None) };
        let kind: &Kind = kind;
        let key = Key { collection: kind.collection.clone(), namespace: namespace.into(), name: name.into() };
        let stored = self.registry.store().snapshot().get(&key).cloned();
        stored.map(|stored| persist::tree(kind, &stored)).transpose()
    }
}

/// What stands in a path for a pod, a node or a service: `name`, `name:port` or `scheme:name:port`.
#[derive(Debug)]
struct Id<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Id<'a> {
    fn parse(what: &str, id: &'a str) -> Result<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme @ ("" | "http" | "https"), name, port] => (scheme, name, port),
            _ => ("", "", ""),
        };
        if name.is_empty() {
            return Err(Status::bad_request(format!("invalid {what} request {}", go_quote(id))));
        }
        Ok(Self { scheme, name, port })
    }
}

/// Go's `net.JoinHostPort`; without a port the host alone.
fn authority(host: &str, port: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port.is_empty() { host } else { format!("{host}:{port}") }
}

/// As Go's `IP.IsGlobalUnicast`.
fn is_global_unicast(address: &IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

/// Go's `path.Join` of one path, with its slash at the end.
fn join(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{slash}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_stand_between_scheme_and_port() {
        for id in ["web", "web:80", "https:web:", "https:web:443"] {
            assert_eq!(Id::parse("service", id).unwrap().name, "web", "{id}");
        }
    }

    #[test]
    fn other_forms_of_a_name_are_refused() {
        for id in ["a:b:c:d", "ftp:web:80", ":80", ""] {
            let message = format!("invalid service request \"{id}\"");
            assert_eq!(Id::parse("service", id).unwrap_err().message(), message);
        }
    }

    #[test]
    fn a_path_is_joined_as_in_go_and_keeps_its_last_slash() {
        for (path, joined) in [("", ""), ("/", "/"), ("/a//b/../c", "/a/c"), ("/a/", "/a/"), ("/..", "/")] {
            assert_eq!(join(path), joined, "{path}");
        }
    }

    #[test]
    fn only_addresses_of_other_machines_are_dialed() {
        for (address, other) in [("10.0.0.1", true), ("127.0.0.1", false), ("169.254.0.1", false), ("fe80::1", false)] {
            assert_eq!(is_global_unicast(&address.parse().unwrap()), other, "{address}");
        }
    }
}
