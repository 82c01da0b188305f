//! The quality of service class of a pod.

use std::cmp::Ordering;

use super::resource_list::amount;
use crate::resources::tree::{Tree, child, items};

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `status.qosClass` by the resources of a pod spec: those of the pod as a whole, if there are any, else those of its
/// containers.
pub fn quality_of_service(spec: &Tree) -> &'static str {
    if let Some(resources) = child(spec, "resources").filter(|r| pod_level(r)) {
        return of_requirements(Some(resources));
    }
    let classes = ["initContainers", "containers"].into_iter().flat_map(|list| items(spec, list));
    unanimous(classes.map(|container| of_requirements(child(container, "resources"))))
}

/// Whether the requirements name a resource that a pod as a whole can have.
fn pod_level(resources: &Tree) -> bool {
    let supported = |name: &String| COUNTED.contains(&name.as_str()) || name.starts_with("hugepages-");
    ["requests", "limits"].into_iter().filter_map(|l| child(resources, l)).any(|l| l.keys().any(supported))
}

fn of_requirements(resources: Option<&Tree>) -> &'static str {
    let list = |name: &str| resources.and_then(|r| child(r, name));
    let (requests, limits) = (list("requests"), list("limits"));
    unanimous(COUNTED.into_iter().map(|name| {
        let (request, limit) = (amount(requests, name), amount(limits, name));
        match request.cmp(&limit) {
            Ordering::Less | Ordering::Greater => "Burstable",
            Ordering::Equal if request.is_zero() => "BestEffort",
            Ordering::Equal => "Guaranteed",
        }
    }))
}

/// The class that all agree on, `Burstable` if they do not.
fn unanimous(classes: impl Iterator<Item = &'static str>) -> &'static str {
    classes.reduce(|a, b| if a == b { a } else { "Burstable" }).unwrap_or("BestEffort")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check_class(spec: Value, expected: &str) {
        let Value::Object(spec) = spec else { panic!("not an object") };
        assert_eq!(quality_of_service(&spec), expected);
    }

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}});
        check_class(json!({"containers": [{}]}), "BestEffort");
        check_class(json!({"containers": [{"resources": {"requests": {"x.y/z": "1"}}}]}), "BestEffort");
        check_class(json!({"containers": [{"resources": full}]}), "Guaranteed");
        check_class(json!({"containers": [{"resources": full}, {}]}), "Burstable");
        check_class(json!({"containers": [{"resources": {"requests": {"cpu": "1"}}}]}), "Burstable");
        check_class(json!({"resources": full, "containers": [{}]}), "Guaranteed");
    }
}
