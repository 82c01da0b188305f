//! `NodeRestriction`: a kubelet writes about itself and the pods bound to its node, and cannot draw pods to itself
//! (Kubernetes `plugin/pkg/admission/noderestriction`). Goes with the `Node` authorizer, which cannot see objects.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::go_quote;
use crate::api::{GroupResource, Object, Result, Status};
use crate::auth::authorize::{node_identity, references_secrets};
use crate::auth::{self, Decision};
use crate::resources::Kind;

pub(super) struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, operation: Operation, kind: &Kind, _: &str) -> bool {
        operation != Operation::Connect && RESTRICTED.contains(&(&*kind.gvk.group, &*kind.resource))
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(check(ctx, attributes)))
    }
}

const RESTRICTED: [(&str, &str); 8] = [
    ("", "pods"),
    ("", "nodes"),
    ("", "persistentvolumeclaims"),
    ("", "serviceaccounts"),
    ("coordination.k8s.io", "leases"),
    ("storage.k8s.io", "csinodes"),
    ("resource.k8s.io", "resourceslices"),
    ("certificates.k8s.io", "certificatesigningrequests"),
];

/// One write of one node.
struct Asked<'a, 'b> {
    ctx: &'a Context,
    attributes: &'a Attributes<'b>,
    node: &'a str,
    /// The node's name in quotes.
    who: String,
}

async fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let Some(node) = node_identity(attributes.user) else { return Ok(()) };
    if node.is_empty() {
        let user = go_quote(&attributes.user.name);
        return Err(attributes.forbidden(format!("could not determine node from user {user}")));
    }
    let asked = Asked { ctx, attributes, node, who: go_quote(node) };
    match (&*attributes.kind.resource, attributes.target.subresource.as_str()) {
        ("pods", "") => asked.pod(),
        ("pods", "status") => asked.pod_status(),
        ("pods", "eviction") => asked.eviction(),
        ("pods", other) => {
            let other = go_quote(other);
            asked.refuse(format!("unexpected pod subresource {other}, only 'status' and 'eviction' are allowed"))
        }
        ("nodes", _) => asked.node(),
        ("persistentvolumeclaims", "status") => asked.claim_status(),
        ("persistentvolumeclaims", _) => asked.refuse("may only update PVC status"),
        ("serviceaccounts", "token") => asked.token().await,
        ("leases", _) if attributes.target.namespace != "kube-node-lease" => {
            asked.refuse(r#"can only access leases in the "kube-node-lease" system namespace"#)
        }
        ("leases", _) if asked.name() != node => {
            asked.refuse("can only access node lease with the same name as the requesting node")
        }
        ("csinodes", _) if asked.name() != node => {
            asked.refuse("can only access CSINode with the same name as the requesting node")
        }
        ("resourceslices", _) => asked.slice(),
        ("certificatesigningrequests", "") => asked.certificate(),
        _ => Ok(()),
    }
}

impl Asked<'_, '_> {
    fn refuse(&self, why: impl std::fmt::Display) -> Result<()> {
        Err(self.attributes.forbidden(why))
    }

    fn name(&self) -> &str {
        let given = self.attributes.object.as_deref().map_or("", Object::name);
        if self.attributes.target.name.is_empty() { given } else { &self.attributes.target.name }
    }

    fn bound_here(&self, pod: &Object) -> bool {
        pod.text_at(&["spec", "nodeName"]) == self.node
    }

    fn stored_pod(&self, name: &str) -> Result<Object> {
        let snapshot = self.ctx.store.snapshot();
        let found = snapshot.find("pods", &self.attributes.target.namespace, name);
        let pods = GroupResource { group: "".into(), resource: "pods".into() };
        let stored = found.ok_or_else(|| Status::not_found(&pods, name))?;
        Object::from_json(&stored.body.json).map_err(Status::internal)
    }

    fn pod(&self) -> Result<()> {
        let who = &self.who;
        match (self.attributes.operation, self.attributes.object.as_deref(), self.attributes.old) {
            (Operation::Create, Some(pod), _) => self.mirror_pod(pod),
            (Operation::Delete, _, Some(old)) if self.bound_here(old) => Ok(()),
            (Operation::Delete, _, _) => {
                self.refuse(format!("node {who} can only delete pods with spec.nodeName set to itself"))
            }
            _ => self
                .refuse(format!("unexpected operation \"UPDATE\", node {who} can only create and delete mirror pods")),
        }
    }

    fn mirror_pod(&self, pod: &Object) -> Result<()> {
        let who = &self.who;
        if pod.annotation("kubernetes.io/config.mirror").is_none() {
            return self.refuse(format!(
                "pod does not have \"kubernetes.io/config.mirror\" annotation, node {who} can only create mirror pods"
            ));
        }
        if !self.bound_here(pod) {
            return self.refuse(format!("node {who} can only create pods with spec.nodeName set to itself"));
        }
        let owners = pod.get(&["metadata", "ownerReferences"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let [owner] = owners else {
            let how = if owners.is_empty() { "an owner reference" } else { "a single owner reference" };
            return self.refuse(format!("node {who} can only create pods with {how} set to itself"));
        };
        if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != self.node {
            return self.refuse(format!("node {who} can only create pods with an owner reference set to itself"));
        }
        if owner["controller"] != true {
            let why = format!("node {who} can only create pods with a controller owner reference set to itself");
            return self.refuse(why);
        }
        if owner["blockOwnerDeletion"] == true {
            return self.refuse(format!("node {who} must not set blockOwnerDeletion on an owner reference"));
        }
        let snapshot = self.ctx.store.snapshot();
        let nodes = GroupResource { group: "".into(), resource: "nodes".into() };
        let node = snapshot.find("nodes", "", self.node).ok_or_else(|| Status::not_found(&nodes, self.node))?;
        let uid = owner["uid"].as_str().unwrap_or("");
        if node.facts.uid != *uid {
            let (node, real) = (self.node, &node.facts.uid);
            return self.refuse(format!("node {node} UID mismatch: expected {uid} got {real}"));
        }
        match referenced(pod) {
            Some(what) => self.refuse(format!("node {who} can not create pods that reference {what}")),
            None => Ok(()),
        }
    }

    fn pod_status(&self) -> Result<()> {
        let who = &self.who;
        let (Some(new), Some(old)) = (self.attributes.object.as_deref(), self.attributes.old) else {
            return self.refuse("unexpected operation");
        };
        if !self.bound_here(old) {
            let why = format!("node {who} can only update pod status for pods with spec.nodeName set to itself");
            return self.refuse(why);
        }
        if !new.labels().eq(old.labels()) {
            return self.refuse(format!("node {who} cannot update labels through pod status"));
        }
        for (field, what) in [
            ("resourceClaimStatuses", "resource claim statues"),
            ("extendedResourceClaimStatus", "extended resource claim status"),
            ("nodeAllocatableResourceClaimStatuses", "node allocatable resource claim statuses"),
        ] {
            if new.get(&["status", field]) != old.get(&["status", field]) {
                return self.refuse(format!("node {who} cannot update {what}"));
            }
        }
        Ok(())
    }

    fn eviction(&self) -> Result<()> {
        if self.name().is_empty() {
            return self.refuse("could not determine pod from request data");
        }
        if self.bound_here(&self.stored_pod(self.name())?) {
            return Ok(());
        }
        self.refuse(format!("node {} can only evict pods with spec.nodeName set to itself", self.node))
    }

    fn node(&self) -> Result<()> {
        let who = &self.who;
        if self.name() != self.node {
            return self.refuse(format!("node {who} is not allowed to modify node {}", go_quote(self.name())));
        }
        let Some(new) = self.attributes.object.as_deref() else { return Ok(()) };
        let Some(old) = self.attributes.old else {
            let labels = forbidden_labels(new, None);
            if labels.is_empty() {
                return Ok(());
            }
            return self.refuse(format!("node {who} is not allowed to set the following labels: {labels}"));
        };
        if new.get(&["spec", "taints"]) != old.get(&["spec", "taints"]) {
            return self.refuse(format!("node {who} is not allowed to modify taints"));
        }
        if new.get(&["metadata", "ownerReferences"]) != old.get(&["metadata", "ownerReferences"]) {
            return self.refuse(format!("node {who} is not allowed to modify ownerReferences"));
        }
        let labels = forbidden_labels(new, Some(old));
        if labels.is_empty() { Ok(()) } else { self.refuse(format!("is not allowed to modify labels: {labels}")) }
    }

    fn claim_status(&self) -> Result<()> {
        let (Some(new), Some(old)) = (self.attributes.object.as_deref(), self.attributes.old) else {
            return self.refuse("unexpected operation");
        };
        let bare = |claim: &Object| {
            let mut bare = claim.clone();
            for path in [["metadata", "resourceVersion"], ["metadata", "managedFields"]] {
                bare.remove(&path);
            }
            for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                bare.remove(&["status", field]);
            }
            bare
        };
        if bare(new) == bare(old) {
            return Ok(());
        }
        let who = &self.who;
        self.refuse(format!(
            "node {who} is not allowed to update fields other than status.quantity and status.conditions"
        ))
    }

    async fn token(&self) -> Result<()> {
        let Some(request) = self.attributes.object.as_deref() else { return Ok(()) };
        let text = |field| request.text_at(&["spec", "boundObjectRef", field]);
        if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
            return self.refuse("node requested token not bound to a pod");
        }
        if text("uid").is_empty() {
            return self.refuse("node requested token with a pod binding without a uid");
        }
        let pod = self.stored_pod(text("name"))?;
        if pod.uid() != text("uid") {
            return self.refuse(format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
                 deleted and then recreated",
                text("uid")
            ));
        }
        if !self.bound_here(&pod) {
            return self.refuse("node requested token bound to a pod scheduled on a different node");
        }
        self.audience(request, &pod).await
    }

    /// The audience must be one that the pod's volumes ask for, or one that the node may ask for.
    async fn audience(&self, request: &Object, pod: &Object) -> Result<()> {
        let audiences = request.get(&["spec", "audiences"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let audience = match audiences {
            [] => "",
            [one] => one.as_str().unwrap_or(""),
            _ => return self.refuse("node may only request 0 or 1 audiences"),
        };
        if projected(pod).any(|source| {
            let token = source.get("serviceAccountToken").filter(|token| !token.is_null());
            token.is_some_and(|token| token.get("audience").and_then(Value::as_str).unwrap_or("") == audience)
        }) || self.driver_asks(pod, audience)
        {
            return Ok(());
        }
        let asked = auth::Attributes {
            user: self.attributes.user.clone().into(),
            verb: "request-serviceaccounts-token-audience".to_owned(),
            resource_request: true,
            version: "v1".to_owned(),
            resource: audience.to_owned(),
            namespace: self.attributes.target.namespace.clone(),
            name: self.attributes.target.name.clone(),
            ..auth::Attributes::default()
        };
        if matches!(self.ctx.authorizer.authorize(&asked).await, Decision::Allow { .. }) {
            return Ok(());
        }
        let (user, audience) = (&self.attributes.user.name, go_quote(audience));
        self.refuse(format!("{user} is not authorized to request tokens for audience {audience}"))
    }

    /// Whether a CSI driver of one of the pod's volumes wants tokens for the audience.
    fn driver_asks(&self, pod: &Object, audience: &str) -> bool {
        let snapshot = self.ctx.store.snapshot();
        let parse = |collection: &str, namespace: &str, name: &str| {
            let stored = snapshot.find(collection, namespace, name)?;
            Object::from_json(&stored.body.json).ok()
        };
        let text = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
        let volumes = pod.get(&["spec", "volumes"]).and_then(Value::as_array).into_iter().flatten();
        volumes.into_iter().any(|volume| {
            let claim = match volume.get("ephemeral") {
                Some(_) => format!("{}-{}", pod.name(), text(volume, "/name")),
                None => text(volume, "/persistentVolumeClaim/claimName"),
            };
            let of_claim = || {
                let claim = parse("persistentvolumeclaims", &self.attributes.target.namespace, &claim)?;
                let volume = parse("persistentvolumes", "", claim.text_at(&["spec", "volumeName"]))?;
                Some(volume.text_at(&["spec", "csi", "driver"]).to_owned())
            };
            let inline = text(volume, "/csi/driver");
            let driver = if inline.is_empty() { of_claim().unwrap_or_default() } else { inline };
            let driver = parse("csidrivers.storage.k8s.io", "", &driver);
            driver.is_some_and(|driver| {
                let requests = driver.get(&["spec", "tokenRequests"]).and_then(Value::as_array).into_iter().flatten();
                requests.into_iter().any(|request| text(request, "/audience") == audience)
            })
        })
    }

    fn slice(&self) -> Result<()> {
        let of = |slice: Option<&Object>| slice.is_some_and(|slice| self.bound_here(slice));
        match self.attributes.operation {
            Operation::Create if !of(self.attributes.object.as_deref()) => {
                self.refuse("can only create ResourceSlice with the same NodeName as the requesting node")
            }
            Operation::Delete if !of(self.attributes.old) => {
                self.refuse("can only delete ResourceSlice with the same NodeName as the requesting node")
            }
            Operation::Create | Operation::Update | Operation::Delete | Operation::Connect => Ok(()),
        }
    }

    fn certificate(&self) -> Result<()> {
        let Some(request) = self.attributes.object.as_deref() else { return Ok(()) };
        let signers = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
        let signed_for_kubelets = signers.contains(&request.text_at(&["spec", "signerName"]));
        if self.attributes.operation != Operation::Create || !signed_for_kubelets {
            return Ok(());
        }
        let Some(name) = common_name(request.text_at(&["spec", "request"])) else {
            return self.refuse("unable to parse csr: PEM block type must be CERTIFICATE REQUEST");
        };
        let own = format!("system:node:{}", self.node);
        if name == own { Ok(()) } else { self.refuse(format!("can only create a node CSR with CN={own}")) }
    }
}

fn common_name(request: &str) -> Option<String> {
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD.decode(request).ok()?;
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).ok()?;
    let (_, parsed) = X509CertificationRequest::from_der(&der).ok()?;
    let name = parsed.certification_request_info.subject.iter_common_name().last().map(|name| name.as_str());
    Some(name.and_then(std::result::Result::ok).unwrap_or("").to_owned())
}

fn projected(pod: &Object) -> impl Iterator<Item = &Value> {
    let volumes = pod.get(&["spec", "volumes"]).and_then(Value::as_array).into_iter().flatten();
    volumes.filter_map(|volume| volume.pointer("/projected/sources")).filter_map(Value::as_array).flatten()
}

/// What a pod refers to in the API; a mirror pod may refer to nothing.
fn referenced(pod: &Object) -> Option<&'static str> {
    const VOLUMES: [(&str, &str); 6] = [
        ("configMap", "configmaps (via configmap volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    const SOURCES: [(&str, &str); 4] = [
        ("configMap", "configmaps (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    if !pod.text_at(&["spec", "serviceAccountName"]).is_empty() {
        return Some("serviceaccounts");
    }
    if references_secrets(pod) {
        return Some("secrets");
    }
    let list = |path: &[&str]| pod.get(path).and_then(Value::as_array).into_iter().flatten();
    let set = |value: &Value, field: &str| value.get(field).is_some_and(|v| !v.is_null());
    let env = ["containers", "initContainers", "ephemeralContainers"];
    let names_config_map = |container: &Value| {
        let items = |field: &str| container.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        items("env").iter().any(|e| e.pointer("/valueFrom/configMapKeyRef").is_some_and(|r| !r.is_null()))
            || items("envFrom").iter().any(|e| set(e, "configMapRef"))
    };
    if env.iter().any(|field| list(&["spec", field]).any(names_config_map)) {
        return Some("configmaps");
    }
    if list(&["spec", "resourceClaims"]).next().is_some() {
        return Some("resourceclaims");
    }
    let volume = list(&["spec", "volumes"]).find_map(|volume| VOLUMES.iter().find(|(field, _)| set(volume, field)));
    let source = || projected(pod).find_map(|source| SOURCES.iter().find(|(field, _)| set(source, field)));
    volume.or_else(source).map(|(_, what)| *what)
}

/// The labels that a node may not set, and that differ, in order.
fn forbidden_labels(new: &Object, old: Option<&Object>) -> String {
    let all = |object: &Object| object.labels().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeSet<_>>();
    let before = old.map(all).unwrap_or_default();
    let changed = all(new).symmetric_difference(&before).map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
    changed.into_iter().filter(|key| !may_label(key)).collect::<Vec<_>>().join(", ")
}

fn may_label(key: &str) -> bool {
    const OWN: [&str; 11] = [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    ];
    let space = key.split_once('/').map_or("", |(space, _)| space);
    let within = |domain: &str| space == domain || space.ends_with(&format!(".{domain}"));
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    let reserved = within("kubernetes.io") || within("k8s.io");
    !reserved || OWN.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::api::request::User;
    use crate::auth::fixture::put;

    async fn trial() -> Trial {
        let mut trial = Trial::new().await;
        trial.user =
            User { name: "system:node:n".to_owned(), groups: vec!["system:nodes".to_owned()], ..User::default() };
        put(&trial.context.store, "nodes", json!({ "metadata": { "name": "n" } })).await;
        trial
    }

    #[tokio::test]
    async fn a_node_makes_mirror_pods_of_its_own_alone() {
        let trial = trial().await;
        let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "uid-n", "controller": true });
        let pod = |annotations: Value, spec: Value| json!({ "metadata": { "namespace": "web", "name": "p", "annotations": annotations, "ownerReferences": [owner] }, "spec": spec });
        let mirror = json!({ "kubernetes.io/config.mirror": "x" });
        let check = async |pod: Value, why: Option<&str>| {
            let refused = trial.admit(&NodeRestriction, "pods", pod).await.err();
            let message = why.map(|why| format!("pods \"p\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        check(pod(mirror.clone(), json!({ "nodeName": "n" })), None).await;
        let why =
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n\" can only create mirror pods";
        check(pod(json!({}), json!({ "nodeName": "n" })), Some(why)).await;
        let why = "node \"n\" can only create pods with spec.nodeName set to itself";
        check(pod(mirror.clone(), json!({ "nodeName": "m" })), Some(why)).await;
        let secret = json!({ "nodeName": "n", "volumes": [{ "secret": { "secretName": "s" } }] });
        check(pod(mirror, secret), Some("node \"n\" can not create pods that reference secrets")).await;
    }

    #[tokio::test]
    async fn a_node_cannot_draw_pods_to_itself_by_labels() {
        let trial = trial().await;
        let check = async |name: &str, labels: Value, why: Option<&str>| {
            let node = json!({ "metadata": { "name": name, "labels": labels } });
            let refused = trial.admit(&NodeRestriction, "nodes", node).await.err();
            let message = why.map(|why| format!("nodes \"{name}\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        let fine = json!({ "kubernetes.io/hostname": "n", "node.kubernetes.io/x": "", "team": "a", "x.kubelet.kubernetes.io/y": "" });
        check("n", fine, None).await;
        let why = "node \"n\" is not allowed to set the following labels: a.node-restriction.kubernetes.io/b, \
                   node-role.kubernetes.io/master";
        check(
            "n",
            json!({ "node-role.kubernetes.io/master": "", "a.node-restriction.kubernetes.io/b": "" }),
            Some(why),
        )
        .await;
        check("m", json!({}), Some("node \"n\" is not allowed to modify node \"m\"")).await;
    }

    #[tokio::test]
    async fn who_is_no_node_is_not_restricted() {
        let mut trial = trial().await;
        trial.user = User::default();
        trial.admit(&NodeRestriction, "nodes", json!({ "metadata": { "name": "m" } })).await.unwrap();
    }
}
