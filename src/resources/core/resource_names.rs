//! Names of resources: which mean something, which containers may ask for, which are counted in whole numbers.

use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names;
use crate::resources::check::messages;

pub(super) const HUGE_PAGES: &str = "hugepages-";
const CONTAINER_RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Names without a prefix that mean something somewhere, beside those of containers.
const OTHER_STANDARD: [&str; 17] = [
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether the name is one of Kubernetes' own.
pub(super) fn native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn extended(name: &str) -> bool {
    !native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// A name that means something somewhere. True: it is one.
pub(super) fn resource_name(errors: &mut Errors, name: &str, path: &Path<'_>) -> bool {
    let faults = names::qualified_name(name);
    let right = faults.is_empty() && (name.contains('/') || standard(name));
    if faults.is_empty() && !right {
        let detail = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
    }
    messages(errors, path, name, faults);
    right
}

/// The name of something that containers ask for.
pub(in crate::resources) fn container_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    resource_name(errors, name, path);
    let detail = if !name.contains('/') {
        if CONTAINER_RESOURCES.contains(&name) || name.starts_with(HUGE_PAGES) {
            return;
        }
        "must be a standard resource for containers"
    } else if native(name) || extended(name) {
        return;
    } else {
        "doesn't follow extended resource name standard"
    };
    errors.push(FieldError::invalid(path, name, detail));
}

/// What there are only whole numbers of.
pub(super) fn counted(name: &str) -> bool {
    COUNTED.contains(&name) || extended(name)
}

/// What a quota may limit of the names without a prefix.
pub(super) fn quota(name: &str) -> bool {
    standard(name) && name != "storage"
}

fn standard(name: &str) -> bool {
    CONTAINER_RESOURCES.contains(&name)
        || OTHER_STANDARD.contains(&name)
        || name.starts_with(HUGE_PAGES)
        || name.starts_with("requests.hugepages-")
}
