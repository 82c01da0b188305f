//! The subresources that stand for a connection to a container, a pod, a node or a service: what upstream finds out
//! before it dials (K `pkg/registry/core/pod/strategy.go`, `pkg/registry/core/service/storage`), and the ways that
//! are dialed.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use serde_json::Value;

use super::admit::Admission;
use super::{Call, Registry, persist};
use crate::admission::Operation;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::request::Options;
use crate::api::{GroupKind, Object, Result, Status};
use crate::remote::{Pieces, Remote, Site, Switched, Trust, Upload};

/// What a connection asks for beside its target.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub container: String,
    /// What the kubelet is told of it, in Go's order: an encoded query.
    pub query: String,
    /// The path behind a proxy.
    pub path: String,
    /// The kubelet may show any certificate.
    pub unverified: bool,
    pub tail_lines: Option<i64>,
    pub limit_bytes: Option<i64>,
    pub since_seconds: Option<i64>,
    pub since_time: bool,
    /// Which of the streams of a log, if one is named.
    pub stream: Option<String>,
}

/// What becomes of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Connected {
    /// There is nothing to tell (yet): the log of a pod without a node.
    Nothing,
    To(Box<Way>),
}

/// The way to a kubelet or a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    pub site: Site,
    /// Not encoded.
    pub path: String,
    /// Encoded; the caller's where it is empty.
    pub query: String,
    pub to: End,
}

/// Who is at the end of a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Kubelet {
        /// It speaks WebSocket for containers itself.
        extends_web_sockets: bool,
    },
    Backend,
}

/// How kubelets are found and known.
#[derive(Clone, Debug)]
pub struct Kubelets {
    /// By which addresses they are reached, the first that a node has.
    pub address_types: Vec<String>,
    /// Where a node does not tell its port.
    pub port: u16,
    pub trust: Trust,
}

impl Default for Kubelets {
    fn default() -> Self {
        let types = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];
        Self { address_types: types.map(str::to_owned).to_vec(), port: 10250, trust: Trust::Anyone }
    }
}

/// What the other end makes of a request, or why it makes nothing of it, in Go's words.
type Answered<T> = std::result::Result<T, String>;

/// The ways to kubelets and backends.
pub struct Connections {
    pub(super) registry: Arc<Registry>,
    pub(super) kubelets: Kubelets,
    /// Shows kubelets who we are.
    to_kubelets: Remote,
    pub(super) to_backends: Remote,
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
}

impl Connections {
    /// Kubelets are dialed by the first way out, which shows who we are, and backends by the second.
    pub fn new(registry: Arc<Registry>, kubelets: Kubelets, (to_kubelets, to_backends): (Remote, Remote)) -> Self {
        Self { registry, kubelets, to_kubelets, to_backends }
    }

    /// Finds what a connection goes to.
    ///
    /// # Errors
    /// Upstream's own for what it does not find.
    pub async fn find(&self, call: &Call, wish: &Wish) -> Result<Connected> {
        let way = match (call.target.resource.as_str(), call.target.subresource.as_str()) {
            ("services", _) => self.service(call)?.behind(&wish.path),
            ("pods", "proxy") => self.pod_address(call)?.behind(&wish.path),
            ("pods", part) => match self.container(call, (part, wish))? {
                Some(way) => way,
                None => return Ok(Connected::Nothing),
            },
            _ => self.node_address(call).await?.behind(&wish.path),
        };
        Ok(Connected::To(Box::new(way)))
    }

    /// The kubelet that a container is to be reached by; `None`: its log is empty yet.
    fn container(&self, call: &Call, (part, wish): (&str, &Wish)) -> Result<Option<Way>> {
        if part == "log" {
            check_log(call, wish)?;
        }
        let stored = self.registry.find(call)?;
        let pod = persist::tree(&call.kind, &stored)?;
        let container = if part == "portforward" { "" } else { container(&pod, &wish.container)? };
        let node = pod.text_at(&["spec", "nodeName"]);
        if node.is_empty() && part == "log" {
            return Ok(None);
        }
        if node.is_empty() {
            let why = format!("pod {} does not have a host assigned", pod.name());
            return Err(Status::bad_request(why));
        }
        let kubelet = self.kubelet(call, node)?;
        let trust = if wish.unverified { Trust::Anyone } else { self.kubelets.trust.clone() };
        let site = Site { trust, ..kubelet.site() };
        let (namespace, name) = (pod.namespace(), pod.name());
        let path = match part {
            "log" => format!("/containerLogs/{namespace}/{name}/{container}"),
            "portforward" => format!("/portForward/{namespace}/{name}"),
            part => format!("/{part}/{namespace}/{name}/{container}"),
        };
        let to = End::Kubelet { extends_web_sockets: kubelet.extends_web_sockets };
        Ok(Some(Way { site, path, query: wish.query.clone(), to }))
    }

    /// Passes a request on; resolves when the head of the answer is there.
    ///
    /// # Errors
    /// In Go's words.
    pub async fn relay(&self, way: &Way, request: http::Request<Upload>) -> Answered<http::Response<Pieces>> {
        self.remote(way).relay(&way.site, request).await
    }

    /// Passes a request on that asks to switch to another protocol.
    ///
    /// # Errors
    /// In Go's words.
    pub async fn upgrade(&self, way: &Way, request: http::Request<Full<Bytes>>) -> Answered<Switched> {
        self.remote(way).upgrade(&way.site, request).await
    }

    fn remote(&self, way: &Way) -> &Remote {
        match way.to {
            End::Kubelet { .. } => &self.to_kubelets,
            End::Backend => &self.to_backends,
        }
    }
}

/// The container of a pod that is meant.
fn container<'a>(pod: &'a Object, wanted: &'a str) -> Result<&'a str> {
    let names = |list: &str| -> Vec<&'a str> {
        let containers = pod.get(&["spec", list]).and_then(Value::as_array);
        let name = |c: &'a Value| c.get("name").and_then(Value::as_str);
        containers.into_iter().flatten().filter_map(name).collect()
    };
    let all: Vec<&str> = ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(names).collect();
    if !wanted.is_empty() {
        let why = format!("container {wanted} is not valid for pod {}", pod.name());
        return if all.contains(&wanted) { Ok(wanted) } else { Err(Status::bad_request(why)) };
    }
    if let [only] = names("containers")[..] {
        return Ok(only);
    }
    let why = format!("a container name must be specified for pod {}, choose one of: [{}]", pod.name(), all.join(" "));
    Err(Status::bad_request(why))
}

/// A field without a name, as upstream writes it.
const NAMELESS: &str = "[]";
const LOG_STREAMS: [&str; 3] = ["All", "Stderr", "Stdout"];

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
    if wish.since_seconds.is_none() || !wish.since_time {
        check("sinceSeconds", wish.since_seconds, 1);
    } else {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(FieldError::forbidden(&Path::new(NAMELESS), why));
    }
    let stream = Path::new("stream");
    match &wish.stream {
        Some(_) if !call.kind.gates.enabled("PodLogsQuerySplitStreams") => {
            errors.push(FieldError::forbidden(&stream, "may not be specified"));
        }
        None => {}
        Some(named) => {
            if !LOG_STREAMS.contains(&named.as_str()) {
                errors.push(FieldError::not_supported(&stream, named.as_str(), &LOG_STREAMS));
            }
            if named != "All" && wish.tail_lines.is_some() {
                let why = "`tailLines` and specific `stream` are mutually exclusive for now";
                errors.push(FieldError::forbidden(&Path::new(NAMELESS), why));
            }
        }
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
    fn a_container_must_be_one_of_the_pods() {
        let pod = serde_json::json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}]}});
        let pod = Object::from_value(pod).unwrap();
        assert_eq!(container(&pod, "i").unwrap(), "i");
        let message = |wanted| container(&pod, wanted).unwrap_err().message().to_owned();
        assert_eq!(message("x"), "container x is not valid for pod p");
        assert_eq!(message(""), "a container name must be specified for pod p, choose one of: [i a b]");
    }
}
