//! The kinds of `certificates.k8s.io`.

mod authorities;
pub(super) mod pod_request;
mod pod_request_validation;
pub(super) mod request;
mod request_validation;
pub(super) mod signer_name;
pub(super) mod trust_bundle;
