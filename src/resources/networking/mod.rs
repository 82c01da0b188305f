//! The kinds of `networking.k8s.io`.

pub(super) mod ingress;
pub(super) mod ingress_class;
mod ingress_validation;
pub(super) mod ip_address;
pub(super) mod network_policy;
mod network_policy_validation;
pub(super) mod service_cidr;
