//! Node.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::node_validation::{validate_node, validate_node_update};
use super::resource_list::round;
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::api::validation::ip::cidr_warnings;
use crate::resources::print::{age, or_none};
use crate::resources::tree::{Tree, child_mut, is_set, keep, list, text, texts};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct Node;

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";
const FIELDS: &[SelectableField] =
    &[SelectableField { name: "spec.unschedulable", read: |n| unschedulable(n).to_string(), indexed: false }];

impl Behaviour for Node {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        default_ranges(object.object_at(&["spec"]));
        let Some(status) = child_mut(object.root_mut(), "status") else { return };
        if !is_set(status, "allocatable")
            && let Some(capacity) = status.get("capacity").filter(|c| c.is_object()).cloned()
        {
            status.insert("allocatable".to_owned(), capacity);
        }
        round(status, &["capacity", "allocatable"]);
    }

    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        for path in [["spec", "configSource"], ["status", "config"]] {
            object.remove(&path);
        }
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        if old.get(&["spec", "configSource"]).is_none() {
            new.remove(&["spec", "configSource"]);
        }
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_node(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = validate_node(new);
        errors.extend(validate_node_update(new, old));
        errors
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        let mut warnings = Vec::new();
        if object.get(&["spec", "configSource"]).is_some() {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !object.text_at(&["spec", "externalID"]).is_empty() {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        let (spec, ranges) = (Path::new("spec"), object.get(&["spec"]).and_then(Value::as_object));
        let path = spec.child("podCIDRs");
        for (i, range) in ranges.into_iter().flat_map(|s| texts(s, "podCIDRs")).enumerate() {
            warnings.extend(cidr_warnings(range, &path.index(i)));
        }
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, validate: validate_node_update })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let info = |key: &str| object.text_at(&["status", "nodeInfo", key]);
        let unknown = |key: &str| if info(key).is_empty() { "<unknown>" } else { info(key) };
        let mut kernel = unknown("kernelVersion").to_owned();
        if !info("architecture").is_empty() {
            kernel = format!("{kernel} ({})", info("architecture"));
        }
        Some(vec![
            json!(object.name()),
            json!(status(object)),
            json!(or_none(&roles(object))),
            json!(age(object, moment)),
            json!(info("kubeletVersion")),
            json!(address(object, "InternalIP")),
            json!(address(object, "ExternalIP")),
            json!(unknown("osImage")),
            json!(kernel),
            json!(unknown("containerRuntimeVersion")),
        ])
    }
}

/// `podCIDR` is the first of `podCIDRs`; where they differ, the older field wins.
fn default_ranges(spec: &mut Tree) {
    let (single, first) = (text(spec, "podCIDR").to_owned(), texts(spec, "podCIDRs").next().map(str::to_owned));
    if !single.is_empty() && first.as_deref() != Some(single.as_str()) {
        spec.insert("podCIDRs".to_owned(), json!([single]));
    } else if single.is_empty()
        && let Some(first) = first
    {
        spec.insert("podCIDR".to_owned(), json!(first));
    }
}

fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep(new, old, &["spec"]);
    if old.get(&["status", "config"]).is_none() {
        new.remove(&["status", "config"]);
    }
}

fn unschedulable(node: &Object) -> bool {
    node.get(&["spec", "unschedulable"]) == Some(&json!(true))
}

fn status(node: &Object) -> String {
    let ready = list(node, &["status", "conditions"]).filter(|c| text(c, "type") == "Ready").last();
    let mut out = match ready {
        Some(condition) if text(condition, "status") == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if unschedulable(node) {
        out.push_str(",SchedulingDisabled");
    }
    out
}

fn roles(node: &Object) -> String {
    let role = |(key, value): (&str, &str)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) if !role.is_empty() => Some(role.to_owned()),
        None if key == ROLE_LABEL && !value.is_empty() => Some(value.to_owned()),
        Some(_) | None => None,
    };
    node.labels().filter_map(role).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

fn address(node: &Object, kind: &str) -> String {
    let mut addresses = list(node, &["status", "addresses"]);
    addresses.find(|a| text(a, "type") == kind).map_or("<none>", |a| text(a, "address")).to_owned()
}
