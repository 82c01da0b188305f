//! The kinds of `flowcontrol.apiserver.k8s.io`.

pub(super) mod flow_schema;
mod flow_schema_validation;
pub(super) mod priority_level;
mod priority_level_validation;
