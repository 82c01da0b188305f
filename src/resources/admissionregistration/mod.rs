//! The kinds of `admissionregistration.k8s.io`.

mod condition_validation;
mod match_resources;
pub(super) mod policy;
pub(super) mod policy_binding;
mod policy_validation;
mod rule_validation;
pub(super) mod webhook;
mod webhook_validation;
