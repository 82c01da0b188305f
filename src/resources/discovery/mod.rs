//! The kinds of `discovery.k8s.io`.

pub(super) mod endpoint_slice;
mod endpoint_slice_validation;
