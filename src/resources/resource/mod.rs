//! The kinds of `resource.k8s.io`.

pub(super) mod claim;
pub(super) mod device_class;
pub(super) mod slice;
pub(super) mod taint_rule;
