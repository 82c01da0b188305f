//! The kinds of `admissionregistration.k8s.io`.

mod match_resources;
pub(super) mod policy;
pub(super) mod policy_binding;
pub(super) mod webhook;
mod webhook_validation;
