//! The `Node` authorizer: a kubelet may read what the pods bound to its node refer to, and write about itself and
//! them (Kubernetes `plugin/pkg/auth/authorizer/node`). Reads the store's index of pods by node instead of keeping a
//! graph of its own.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::super::{Attributes, Authorizer, Decision, PolicyRule, Rules};
use crate::api::Object;
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::storage::{Snapshot, Store, Stored};

/// The `Node` authorizer.
pub struct NodeAuthorizer {
    store: Arc<dyn Store>,
    rules: Vec<PolicyRule>,
}

/// The node that a user is: `Some("")` for a member of `system:nodes` whose name is no node's.
pub fn identity(user: &User) -> Option<&str> {
    let node = user.name.strip_prefix("system:node:");
    if !user.in_group("system:nodes") { None } else { node }
}

/// Verbs, groups and resources that every node may use alike; what is bound to a node is decided by relation below.
const COMMON: &[(&[&str], &[&str], &[&str])] = &[
    (&["create"], &["authentication.k8s.io"], &["tokenreviews"]),
    (&["create"], &["authorization.k8s.io"], &["subjectaccessreviews", "localsubjectaccessreviews"]),
    (&["get", "list", "watch"], &[""], &["services"]),
    (&["create", "update", "patch"], &["", "events.k8s.io"], &["events"]),
    (&["get"], &[""], &["endpoints"]),
    (&["create", "get", "list", "watch"], &["certificates.k8s.io"], &["certificatesigningrequests"]),
    (&["get", "list", "watch"], &["storage.k8s.io"], &["csidrivers"]),
    (&["get", "list", "watch"], &["node.k8s.io"], &["runtimeclasses"]),
    (&["get", "list", "watch"], &["certificates.k8s.io"], &["clustertrustbundles"]),
];

impl NodeAuthorizer {
    /// Decides by the pods in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        let rule = |(verbs, groups, resources): &(&[&str], &[&str], &[&str])| PolicyRule {
            verbs: list(verbs),
            api_groups: list(groups),
            resources: list(resources),
            ..PolicyRule::default()
        };
        Self { store, rules: COMMON.iter().map(rule).collect() }
    }

    fn decide(&self, attributes: &Attributes) -> Decision {
        let Some(node) = identity(&attributes.user) else { return no_opinion("") };
        if node.is_empty() {
            return no_opinion(format!("unknown node for user {}", go_quote(&attributes.user.name)));
        }
        let asked = Asked { store: &*self.store, node, attributes };
        let resource = (attributes.group.as_str(), attributes.resource.as_str());
        match resource {
            _ if !attributes.resource_request => {}
            ("", "secrets" | "configmaps") => return asked.read_in_namespace(),
            ("", "persistentvolumeclaims") if attributes.subresource == "status" => return asked.write_claim_status(),
            ("", "persistentvolumeclaims" | "persistentvolumes")
            | ("resource.k8s.io", "resourceclaims")
            | ("storage.k8s.io", "volumeattachments") => return asked.get_related(),
            ("", "serviceaccounts") => return asked.service_account(),
            ("coordination.k8s.io", "leases") => return asked.lease(),
            ("storage.k8s.io", "csinodes") => return asked.csi_node(),
            ("resource.k8s.io", "resourceslices") => return asked.slice(),
            ("", "nodes") => return asked.node(),
            ("", "pods") => return asked.pod(),
            ("certificates.k8s.io", "podcertificaterequests") => return asked.pod_certificate(),
            _ => {}
        }
        if self.rules.iter().any(|rule| rule.allows(attributes)) { allow() } else { no_opinion("") }
    }
}

impl Authorizer for NodeAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(self.decide(attributes)))
    }

    fn rules(&self, user: &User, _: &str) -> Rules {
        if identity(user).is_none() {
            return Rules::default();
        }
        let error = "node authorizer does not support user rule resolution".to_owned();
        Rules { incomplete: true, error, ..Rules::default() }
    }
}

fn allow() -> Decision {
    Decision::Allow { reason: String::new() }
}

fn no_opinion(reason: impl Into<String>) -> Decision {
    Decision::NoOpinion { reason: reason.into() }
}

/// One request of one node.
struct Asked<'a> {
    store: &'a dyn Store,
    node: &'a str,
    attributes: &'a Attributes,
}

impl Asked<'_> {
    fn verb(&self, verbs: &[&str]) -> bool {
        verbs.contains(&self.attributes.verb.as_str())
    }

    fn read_in_namespace(&self) -> Decision {
        if !self.verb(&["get", "list", "watch"]) {
            no_opinion("can only read resources of this type")
        } else if !self.attributes.subresource.is_empty() {
            no_opinion("cannot read subresource")
        } else if self.attributes.namespace.is_empty() {
            no_opinion("can only read namespaced object of this type")
        } else {
            self.if_related()
        }
    }

    fn get_related(&self) -> Decision {
        if !self.verb(&["get"]) {
            no_opinion("can only get individual resources of this type")
        } else if !self.attributes.subresource.is_empty() {
            no_opinion("cannot get subresource")
        } else {
            self.if_related()
        }
    }

    fn write_claim_status(&self) -> Decision {
        if self.verb(&["update", "patch"]) {
            self.if_related()
        } else {
            no_opinion("can only get/update/patch this type")
        }
    }

    fn service_account(&self) -> Decision {
        let attributes = self.attributes;
        if attributes.verb == "get" && attributes.subresource.is_empty() {
            self.read_in_namespace()
        } else if attributes.verb != "create" || attributes.name.is_empty() {
            no_opinion("can only create tokens for individual service accounts")
        } else if attributes.subresource != "token" {
            no_opinion("can only create token subresource of serviceaccount")
        } else {
            self.if_related()
        }
    }

    fn lease(&self) -> Decision {
        if !self.verb(&["get", "create", "update", "patch", "delete"]) {
            no_opinion("can only get, create, update, patch, or delete a node lease")
        } else if self.attributes.namespace != "kube-node-lease" {
            no_opinion(r#"can only access leases in the "kube-node-lease" system namespace"#)
        } else if self.attributes.verb != "create" && self.attributes.name != self.node {
            no_opinion("can only access node lease with the same name as the requesting node")
        } else {
            allow()
        }
    }

    fn csi_node(&self) -> Decision {
        if self.attributes.subresource == "status" {
            return no_opinion("CSINode status access requires CSIVolumeHealth feature");
        }
        if !self.attributes.subresource.is_empty() {
            no_opinion("cannot authorize CSINode subresources")
        } else if !self.verb(&["get", "create", "update", "patch", "delete"]) {
            no_opinion("can only get, create, update, patch, or delete a CSINode")
        } else if self.attributes.verb != "create" && self.attributes.name != self.node {
            no_opinion("can only access CSINode with the same name as the requesting node")
        } else {
            allow()
        }
    }

    fn slice(&self) -> Decision {
        if !self.attributes.subresource.is_empty() {
            return no_opinion("cannot authorize ResourceSlice subresources");
        }
        match self.attributes.verb.as_str() {
            "create" => allow(),
            "get" | "update" | "patch" | "delete" => self.if_related(),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => allow(),
            "watch" | "list" | "deletecollection" => {
                no_opinion("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no_opinion(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection",
            ),
        }
    }

    fn node(&self) -> Decision {
        let (node, name) = (self.node, self.attributes.name.as_str());
        match (self.attributes.subresource.as_str(), self.attributes.verb.as_str()) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => allow(),
            ("", "get" | "list" | "watch") if name == node => allow(),
            ("", "get" | "list" | "watch") if name.is_empty() => {
                no_opinion(format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => {
                no_opinion(format!("node '{node}' cannot read '{name}', only its own Node object"))
            }
            _ => no_opinion(""),
        }
    }

    fn pod(&self) -> Decision {
        match (self.attributes.subresource.as_str(), self.attributes.verb.as_str()) {
            ("", "get") => self.if_related(),
            ("", "list" | "watch") if self.selects("spec.nodeName") => allow(),
            ("", "list" | "watch") if !self.attributes.name.is_empty() => self.if_related(),
            ("", "list" | "watch") => no_opinion("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => allow(),
            _ => no_opinion(""),
        }
    }

    fn pod_certificate(&self) -> Decision {
        if !self.attributes.subresource.is_empty() {
            return no_opinion("nodes may not access the status subresource of PodCertificateRequests");
        }
        match self.attributes.verb.as_str() {
            "create" => allow(),
            "get" => self.if_related(),
            "list" | "watch" if self.selects("spec.nodeName") => allow(),
            "list" | "watch" => no_opinion("can only list/watch podcertificaterequests with nodeName field selector"),
            verb => no_opinion(format!("nodes may not {verb} podcertificaterequests")),
        }
    }

    /// Whether the field selector restricts the request to this node.
    fn selects(&self, field: &str) -> bool {
        let terms = self.attributes.field_selector.split(',');
        terms
            .filter_map(|term| term.split_once('='))
            .any(|(name, value)| name.trim() == field && value.strip_prefix('=').unwrap_or(value).trim() == self.node)
    }

    fn if_related(&self) -> Decision {
        if self.attributes.name.is_empty() {
            return no_opinion("No Object name found");
        }
        if self.related(&self.store.snapshot()) {
            return allow();
        }
        no_opinion(format!("no relationship found between node '{}' and this object", self.node))
    }

    fn related(&self, snapshot: &Snapshot) -> bool {
        let (namespace, name) = (self.attributes.namespace.as_str(), self.attributes.name.as_str());
        let of_node = |collection: &str, namespace: &str| {
            let stored = snapshot.find(collection, namespace, name);
            stored.and_then(|s| parse(s)).is_some_and(|object| object.text_at(&["spec", "nodeName"]) == self.node)
        };
        match self.attributes.resource.as_str() {
            "pods" => of_node("pods", namespace),
            "volumeattachments" => of_node("volumeattachments.storage.k8s.io", ""),
            "resourceslices" => of_node("resourceslices.resource.k8s.io", ""),
            "podcertificaterequests" => of_node("podcertificaterequests.certificates.k8s.io", namespace),
            "persistentvolumes" => {
                let volume = snapshot.find("persistentvolumes", "", name).and_then(|stored| parse(stored));
                volume.is_some_and(|volume| {
                    let claim = |field| volume.text_at(&["spec", "claimRef", field]).to_owned();
                    self.pod_refers(snapshot, (&claim("namespace"), &claim("name")), "persistentvolumeclaims")
                })
            }
            "secrets" => {
                self.pod_refers(snapshot, (namespace, name), "secrets")
                    || self.volume_refers(snapshot, (namespace, name))
            }
            resource => self.pod_refers(snapshot, (namespace, name), resource),
        }
    }

    /// Whether a pod bound to the node refers to the object.
    fn pod_refers(&self, snapshot: &Snapshot, (namespace, name): (&str, &str), resource: &str) -> bool {
        let pods = snapshot.by_field("pods", ("spec.nodeName", self.node));
        // Most pods do not even contain the name; only those that do are parsed.
        let mut candidates = pods
            .filter(|pod| &*pod.key.namespace == namespace)
            .filter(|pod| resource == "persistentvolumeclaims" || contains(&pod.body.json, name.as_bytes()));
        candidates.any(|pod| parse(pod).is_some_and(|pod| refers(&pod, resource, name)))
    }

    /// Whether a volume claimed by a pod bound to the node refers to the secret.
    fn volume_refers(&self, snapshot: &Snapshot, (namespace, name): (&str, &str)) -> bool {
        let volumes = snapshot.list("persistentvolumes", None, None);
        let mut candidates = volumes.filter(|volume| contains(&volume.body.json, name.as_bytes()));
        candidates.any(|stored| {
            let Some(volume) = parse(stored) else { return false };
            let claim = |field| volume.text_at(&["spec", "claimRef", field]).to_owned();
            let (home, claim) = (claim("namespace"), claim("name"));
            let spec = volume.get(&["spec"]).cloned().unwrap_or_default();
            secret_references(&spec).any(|(at, secret)| secret == name && at.unwrap_or(&home) == namespace)
                && self.pod_refers(snapshot, (&home, &claim), "persistentvolumeclaims")
        })
    }
}

fn parse(stored: &Stored) -> Option<Object> {
    Object::from_json(&stored.body.json).ok()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.first().is_some_and(|first| {
        let starts = text.iter().enumerate().filter(|(_, byte)| *byte == first);
        starts.into_iter().any(|(at, _)| text[at..].starts_with(part))
    })
}

/// Secrets in the sources of a PersistentVolume, with the namespace where it is named.
fn secret_references(spec: &Value) -> impl Iterator<Item = (Option<&str>, &str)> {
    let sources = spec.as_object().into_iter().flat_map(|spec| spec.values()).filter_map(Value::as_object);
    sources.flatten().filter(|(field, _)| field.ends_with("SecretRef") || *field == "secretRef").filter_map(
        |(_, reference)| {
            let name = reference.get("name")?.as_str()?;
            Some((reference.get("namespace").and_then(Value::as_str), name))
        },
    )
}

/// Whether a pod refers to an object of its namespace. A mirror pod refers to nothing: a node could make it itself.
fn refers(pod: &Object, resource: &str, name: &str) -> bool {
    if pod.annotation("kubernetes.io/config.mirror").is_some() {
        return false;
    }
    match resource {
        "serviceaccounts" => pod.text_at(&["spec", "serviceAccountName"]) == name,
        "secrets" => {
            let pull = items(pod, "imagePullSecrets").any(|secret| text(secret, &["name"]) == name);
            pull || in_containers(pod, ("secretKeyRef", "secretRef"), name)
                || items(pod, "volumes").any(|volume| volume_has_secret(volume, name))
        }
        "configmaps" => {
            in_containers(pod, ("configMapKeyRef", "configMapRef"), name)
                || items(pod, "volumes").any(|volume| {
                    text(volume, &["configMap", "name"]) == name
                        || projected(volume).any(|source| text(source, &["configMap", "name"]) == name)
                })
        }
        "persistentvolumeclaims" => items(pod, "volumes").any(|volume| {
            text(volume, &["persistentVolumeClaim", "claimName"]) == name
                || (volume.get("ephemeral").is_some() && name == format!("{}-{}", pod.name(), text(volume, &["name"])))
        }),
        "resourceclaims" => {
            let statuses = pod.get(&["status", "resourceClaimStatuses"]).and_then(Value::as_array);
            items(pod, "resourceClaims")
                .chain(statuses.into_iter().flatten())
                .any(|claim| text(claim, &["resourceClaimName"]) == name)
                || pod.text_at(&["status", "extendedResourceClaimStatus", "resourceClaimName"]) == name
        }
        _ => false,
    }
}

fn items<'a>(pod: &'a Object, field: &str) -> impl Iterator<Item = &'a Value> {
    pod.get(&["spec", field]).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or("")
}

fn projected(volume: &Value) -> impl Iterator<Item = &Value> {
    volume.get("projected").and_then(|p| p.get("sources")).and_then(Value::as_array).into_iter().flatten()
}

fn in_containers(pod: &Object, (key, whole): (&str, &str), name: &str) -> bool {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    lists.iter().flat_map(|list| items(pod, list)).any(|container| {
        let list = |field| container.get(field).and_then(Value::as_array).into_iter().flatten();
        list("env").any(|env| text(env, &["valueFrom", key, "name"]) == name)
            || list("envFrom").any(|source| text(source, &[whole, "name"]) == name)
    })
}

fn volume_has_secret(volume: &Value, name: &str) -> bool {
    volume_secrets(volume).any(|secret| secret == name)
}

/// The secrets that a volume names; `""` where a source has none.
fn volume_secrets(volume: &Value) -> impl Iterator<Item = &str> {
    let nested = ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"];
    let direct = [
        text(volume, &["secret", "secretName"]),
        text(volume, &["azureFile", "secretName"]),
        text(volume, &["csi", "nodePublishSecretRef", "name"]),
    ];
    let nested = nested.into_iter().map(|source| text(volume, &[source, "secretRef", "name"]));
    direct.into_iter().chain(nested).chain(projected(volume).map(|source| text(source, &["secret", "name"])))
}

/// Whether a pod refers to any secret at all.
pub fn references_secrets(pod: &Object) -> bool {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let containers = lists.iter().flat_map(|list| items(pod, list));
    let of_container = containers.flat_map(|container| {
        let list = |field| container.get(field).and_then(Value::as_array).into_iter().flatten();
        let whole = list("envFrom").map(|source| text(source, &["secretRef", "name"]));
        list("env").map(|env| text(env, &["valueFrom", "secretKeyRef", "name"])).chain(whole)
    });
    let pull = items(pod, "imagePullSecrets").map(|secret| text(secret, &["name"]));
    let volumes = items(pod, "volumes").flat_map(volume_secrets);
    pull.chain(of_container).chain(volumes).any(|name| !name.is_empty())
}
