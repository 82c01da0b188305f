//! The kinds of `resource.k8s.io`.

mod capacity;
pub(super) mod claim;
mod claim_status_validation;
mod claim_validation;
mod device;
pub(super) mod device_class;
pub(super) mod slice;
mod slice_validation;
pub(super) mod taint_rule;
