//! The kinds of `autoscaling`.

mod annotations;
mod metrics;
pub(super) mod pod_autoscaler;
mod pod_autoscaler_validation;
mod versions;
