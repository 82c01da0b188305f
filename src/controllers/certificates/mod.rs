//! CertificateSigningRequests: approved where a kubelet asks for itself, signed when approved, removed when done
//! (Kubernetes `pkg/controller/certificates`).

mod approving;
mod cleaner;
mod recognized;
mod signing;

use std::collections::BTreeMap;

use serde::Deserialize;

pub(super) use approving::APPROVING;
pub(super) use cleaner::CLEANER;
pub(super) use signing::SIGNING;

use super::context::Shared;
use crate::client::{Cached, Meta, Resource, Time};

/// Whom upstream's three controllers act as.
const ACCOUNT: &str = "certificate-controller";
const WORKERS: usize = 5;

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// What is read of a request.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct Request {
    metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    signer_name: String,
    /// PEM in base64.
    request: String,
    usages: Vec<String>,
    expiration_seconds: Option<i64>,
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct Status {
    /// PEM in base64.
    certificate: String,
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    last_update_time: Option<Time>,
}

impl Cached for Request {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Request {
    const RESOURCE: &'static Resource = Resource::CERTIFICATE_REQUESTS;
}

impl Request {
    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    fn issued(&self) -> bool {
        !self.status.certificate.is_empty()
    }

    fn pem(&self) -> Vec<u8> {
        use base64::Engine;
        // What is stored was valid when it came.
        base64::engine::general_purpose::STANDARD.decode(&self.spec.request).unwrap_or_default()
    }
}
