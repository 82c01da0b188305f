//! The scheduler: takes pods without a node from a queue, filters and scores nodes through the plugins, assumes the
//! best one and binds the pod. A client like any other, as `system:kube-scheduler`.

mod cycle;
mod node;
mod plugins;
mod pod;
mod preemption;
mod queue;
mod resources;
mod run;
mod snapshot;

pub use run::start;

/// The name that pods ask for in `spec.schedulerName`.
pub const NAME: &str = "default-scheduler";
