//! The subresources that stand for a connection to a container, a pod, a node or a service: everything that upstream
//! finds out before it dials (K `pkg/registry/core/pod/strategy.go`, `pkg/registry/core/service/storage`). The server
//! dials nobody.

use std::net::IpAddr;

use serde_json::Value;

use super::admit::Admission;
use super::{Call, Registry, persist};
use crate::admission::Operation;
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::api::request::Options;
use crate::api::{GroupKind, Object, Reason, Result, Status};

/// By which addresses kubelets are reached, as `--kubelet-preferred-address-types` says by default.
const ADDRESS_TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];

/// What a connection asks for beside its target.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub container: String,
    pub tail_lines: Option<i64>,
    pub limit_bytes: Option<i64>,
    pub since_seconds: Option<i64>,
    /// Which of the streams of a log.
    pub stream: String,
}

/// What becomes of a connection that upstream would not make either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connected {
    /// There is nothing to tell (yet): the log of a pod without a node.
    Nothing,
}

/// Whether a subresource stands for a connection.
pub fn is_connection(subresource: &str) -> bool {
    matches!(subresource, "attach" | "exec" | "log" | "portforward" | "proxy")
}

impl Registry {
    /// Lets admission look at a connection, by its options, before it is made.
    ///
    /// # Errors
    /// Whatever a plugin refuses it with.
    pub async fn admit_connection(&self, call: &Call, mut options: Object) -> Result<()> {
        let (operation, asked) = (Operation::Connect, Options::None);
        let admission = Admission { operation, call, old: None, options: asked, dry_run: false };
        self.admit(admission, Some(&mut options)).await?;
        self.admit_finally(admission, Some(&mut options)).await.map(drop)
    }

    /// Finds what a connection would go to.
    ///
    /// # Errors
    /// Upstream's own for what it does not find, 503 for the connection itself.
    pub fn connect(&self, call: &Call, wish: &Wish) -> Result<Connected> {
        match (call.target.resource.as_str(), call.target.subresource.as_str()) {
            ("services", _) => self.service(call)?,
            ("pods", "proxy") => self.pod_address(call)?,
            ("pods", part) => {
                if part == "log" {
                    check_log(call, wish)?;
                }
                let stored = self.find(call)?;
                let pod = persist::tree(&call.kind, &stored)?;
                check_container(&pod, &wish.container)?;
                let node = pod.text_at(&["spec", "nodeName"]);
                if node.is_empty() && part == "log" {
                    return Ok(Connected::Nothing);
                }
                if node.is_empty() {
                    let why = format!("pod {} does not have a host assigned", pod.name());
                    return Err(Status::bad_request(why));
                }
                self.node(call, node)?;
            }
            _ => {
                let name = bare_name("node", &call.target.name)?;
                self.node(call, name)?;
            }
        }
        let (resource, name, part) = (&call.target.resource, &call.target.name, &call.target.subresource);
        let why = format!("error trying to reach {resource} {name:?}: {resource}/{part} is not supported");
        Err(Status::unavailable(why))
    }

    /// A node by which something is reached; upstream tells of its absence as of what is wanted from it.
    fn node(&self, call: &Call, name: &str) -> Result<()> {
        let served = self.catalog().served();
        let missing = || Status::not_found(&call.kind.group_resource(), name);
        let nodes = served.find("", "v1", "nodes").ok_or_else(missing)?;
        let key = crate::storage::Key { collection: nodes.collection.clone(), namespace: "".into(), name: name.into() };
        let stored = self.store().snapshot().get(&key).cloned().ok_or_else(missing)?;
        let node = persist::tree(nodes, &stored)?;
        let addresses = node.get(&["status", "addresses"]).and_then(Value::as_array);
        let text = |address: &Value, key: &str| address.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let all: Vec<(String, String)> =
            addresses.into_iter().flatten().map(|of| (text(of, "type"), text(of, "address"))).collect();
        if all.iter().any(|(kind, _)| ADDRESS_TYPES.contains(&kind.as_str())) {
            return Ok(());
        }
        let known: Vec<String> = all.iter().map(|(kind, address)| format!("{{{kind} {address}}}")).collect();
        let why = format!("no preferred addresses found; known addresses: [{}]", known.join(" "));
        Err(Status::new(500, Reason::Unknown, why))
    }

    fn pod_address(&self, call: &Call) -> Result<()> {
        let name = bare_name("pod", &call.target.name)?;
        let stored = self.store().snapshot().get(&self.key(call, name)).cloned();
        let stored = stored.ok_or_else(|| Status::not_found(&call.kind.group_resource(), name))?;
        let pod = persist::tree(&call.kind, &stored)?;
        let address: Option<IpAddr> = pod.text_at(&["status", "podIP"]).parse().ok();
        let usable = |ip: &IpAddr| !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast());
        address.filter(usable).map(drop).ok_or_else(|| Status::bad_request("address not allowed"))
    }

    fn service(&self, call: &Call) -> Result<()> {
        let name = bare_name("service", &call.target.name)?;
        let nothing = || Status::unavailable(format!("no endpoints available for service \"{name}\""));
        let served = self.catalog().served();
        let endpoints = served.find("", "v1", "endpoints").ok_or_else(nothing)?;
        let key = crate::storage::Key { collection: endpoints.collection.clone(), ..self.key(call, name) };
        let stored = self.store().snapshot().get(&key).cloned().ok_or_else(nothing)?;
        let endpoints = persist::tree(endpoints, &stored)?;
        let subsets = endpoints.get(&["subsets"]).and_then(Value::as_array);
        let addressed = |subset: &Value| subset.pointer("/addresses/0").is_some();
        if subsets.into_iter().flatten().any(addressed) { Ok(()) } else { Err(nothing()) }
    }
}

/// The name in `name`, `name:port` or `scheme:name:port`.
fn bare_name<'a>(what: &str, id: &'a str) -> Result<&'a str> {
    let parts: Vec<&str> = id.split(':').collect();
    match parts[..] {
        [name] | [name, _] | ["" | "http" | "https", name, _] if !name.is_empty() => Ok(name),
        _ => Err(Status::bad_request(format!("invalid {what} request {}", go_quote(id)))),
    }
}

fn check_container(pod: &Object, wanted: &str) -> Result<()> {
    let names = |list: &str| -> Vec<String> {
        let containers = pod.get(&["spec", list]).and_then(Value::as_array);
        let name = |c: &Value| c.get("name").and_then(Value::as_str).map(str::to_owned);
        containers.into_iter().flatten().filter_map(name).collect()
    };
    let all: Vec<String> =
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(names).collect();
    if !wanted.is_empty() {
        let why = format!("container {wanted} is not valid for pod {}", pod.name());
        return if all.iter().any(|name| name == wanted) { Ok(()) } else { Err(Status::bad_request(why)) };
    }
    if names("containers").len() == 1 {
        return Ok(());
    }
    let why = format!("a container name must be specified for pod {}, choose one of: [{}]", pod.name(), all.join(" "));
    Err(Status::bad_request(why))
}

fn check_log(call: &Call, wish: &Wish) -> Result<()> {
    let mut errors = Errors::new();
    let mut check = |name: &str, value: Option<i64>, least: i64| {
        if let Some(value) = value.filter(|value| *value < least) {
            let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            errors.push(FieldError::invalid(&Path::new(name), value, why));
        }
    };
    check("tailLines", wish.tail_lines, 0);
    check("limitBytes", wish.limit_bytes, 1);
    check("sinceSeconds", wish.since_seconds, 1);
    if !wish.stream.is_empty() && !call.kind.gates.enabled("PodLogsQuerySplitStreams") {
        errors.push(FieldError::forbidden(&Path::new("stream"), "may not be specified"));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind { group: "".into(), kind: "PodLogOptions".into() };
    Err(Status::invalid(&kind, &call.target.name, &errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_stand_between_scheme_and_port() {
        for id in ["web", "web:80", "https:web:", "https:web:443"] {
            assert_eq!(bare_name("service", id).unwrap(), "web", "{id}");
        }
    }

    #[test]
    fn other_forms_of_a_name_are_refused() {
        for id in ["a:b:c:d", "ftp:web:80", ":80", ""] {
            let message = format!("invalid service request \"{id}\"");
            assert_eq!(bare_name("service", id).unwrap_err().message(), message);
        }
    }

    #[test]
    fn a_container_must_be_one_of_the_pods() {
        let pod = serde_json::json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}]}});
        let pod = Object::from_value(pod).unwrap();
        assert!(check_container(&pod, "i").is_ok());
        let message = |wanted| check_container(&pod, wanted).unwrap_err().message().to_owned();
        assert_eq!(message("x"), "container x is not valid for pod p");
        assert_eq!(message(""), "a container name must be specified for pod p, choose one of: [i a b]");
    }
}
