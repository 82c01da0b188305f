//! The kinds of `rbac.authorization.k8s.io`.

pub(super) mod binding;
pub(super) mod role;
mod validation;
