//! The kinds of `apps`.

pub(super) mod controller_revision;
pub(super) mod daemon_set;
pub(super) mod deployment;
pub(super) mod replica_set;
pub(super) mod stateful_set;

use super::Scale;

/// Where the workloads keep their numbers of replicas.
pub(super) fn replica_scale() -> Scale {
    let path = |parts: [&'static str; 2]| parts.map(Into::into).to_vec();
    Scale {
        spec_replicas: path(["spec", "replicas"]),
        status_replicas: path(["status", "replicas"]),
        selector: path(["spec", "selector"]),
    }
}
