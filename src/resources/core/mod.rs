//! The kinds of the legacy group.

pub(super) mod component_status;
pub(super) mod config_map;
pub(super) mod endpoints;
pub(super) mod event;
mod image;
pub(super) mod limit_range;
pub(super) mod namespace;
pub(super) mod node;
pub(super) mod pod;
mod pod_cells;
mod pod_prepare;
pub(super) mod pod_template;
mod quality;
pub(super) mod replication_controller;
pub(super) mod resource_list;
pub(super) mod resource_quota;
pub(super) mod secret;
pub(super) mod service;
pub(super) mod service_account;
mod service_fields;
mod service_warnings;
pub(super) mod template;
pub(super) mod volume;
pub(super) mod volume_claim;
