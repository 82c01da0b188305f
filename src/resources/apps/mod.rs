//! The kinds of `apps`.

pub(super) mod controller_revision;
pub(super) mod daemon_set;
pub(super) mod deployment;
pub(super) mod replica_set;
pub(super) mod stateful_set;
mod stateful_set_validation;
pub(super) mod validation;

use super::Scale;
use crate::api::validation::names::dns1123_label;

/// Where the workloads keep their numbers of replicas.
pub(super) fn replica_scale() -> Scale {
    let path = |parts: [&'static str; 2]| parts.map(Into::into).to_vec();
    Scale {
        spec_replicas: path(["spec", "replicas"]),
        status_replicas: path(["status", "replicas"]),
        selector: path(["spec", "selector"]),
    }
}

/// A name that is no DNS label makes strange names of pods and hosts.
pub(super) fn name_warnings(name: &str) -> Vec<String> {
    let messages = dns1123_label(name);
    if messages.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is \
         recommended: [{}]",
        messages.join(" ")
    )]
}
