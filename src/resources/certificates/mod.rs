//! The kinds of `certificates.k8s.io`.

pub(super) mod pod_request;
pub(super) mod request;
pub(super) mod trust_bundle;
