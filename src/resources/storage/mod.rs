//! The kinds of `storage.k8s.io`.

pub(super) mod attachment;
pub(super) mod attributes_class;
pub(super) mod capacity;
pub(super) mod class;
pub(super) mod driver;
pub(super) mod driver_node;
mod validation;
