//! Service. Addresses and ports of nodes are allocated by the registry; what follows from the object alone is here.

use serde_json::{Value, json};

use super::service_fields::{carry_allocated, drop_by_type, families, plural_addresses};
use super::service_validation::{validate_service, validate_service_status};
use super::service_warnings::service_warnings;
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::validation::names::label_name;
use crate::resources::part::STATUS;
use crate::resources::print::{age, labels, load_balancer, or_none};
use crate::resources::tree::{
    Tree, child, ensure, fill, fill_zero, int, is_zero, items, items_mut, keep, list, text, texts,
};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct Service;

const AFFINITY_SECONDS: i64 = 3 * 60 * 60;
const FIELDS: &[SelectableField] = &[
    SelectableField { name: "spec.clusterIP", read: |s| s.text_at(&["spec", "clusterIP"]).to_owned(), indexed: false },
    SelectableField { name: "spec.type", read: |s| s.text_at(&["spec", "type"]).to_owned(), indexed: false },
];

impl Behaviour for Service {
    fn validated_by_hand(&self) -> bool {
        true
    }

    /// A DNS-1123 label, no more a DNS-1035 one (since v1.36).
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        label_name(name, prefix)
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        default_spec(object.object_at(&["spec"]));
        if object.text_at(&["spec", "type"]) == "LoadBalancer"
            && let Some(Value::Array(ingress)) = object.object_at(&["status", "loadBalancer"]).get_mut("ingress")
        {
            for entry in ingress.iter_mut().filter_map(Value::as_object_mut) {
                if !text(entry, "ip").is_empty() {
                    fill(entry, "ipMode", "VIP");
                }
            }
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.set(&["status"], json!({"loadBalancer": {}}));
        let spec = object.object_at(&["spec"]);
        plural_addresses(spec, None);
        families(spec, None);
        drop_unread(spec);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        keep(new, old, &["status"]);
        let Some(before) = child(old.root(), "spec") else { return };
        let spec = new.object_at(&["spec"]);
        carry_allocated(spec, before);
        plural_addresses(spec, Some(before));
        families(spec, Some(before));
        drop_by_type(spec, before);
        drop_unread(spec);
        if text(spec, "type") != "LoadBalancer" {
            new.set(&["status", "loadBalancer"], json!({}));
        }
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_service(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_service(new, Some(old))
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        service_warnings(object)
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_service_status, ..STATUS })
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let spec = child(object.root(), "spec").cloned().unwrap_or_default();
        let ports: Vec<String> = list(object, &["spec", "ports"]).map(port).collect();
        Some(vec![
            json!(object.name()),
            json!(text(&spec, "type")),
            json!(texts(&spec, "clusterIPs").next().unwrap_or("<none>")),
            json!(external_addresses(object, &spec)),
            json!(or_none(&ports.join(","))),
            json!(age(object, moment)),
            json!(labels(spec.get("selector"))),
        ])
    }
}

/// What upstream stores although it means nothing, and leaves out whenever it is read.
fn drop_unread(spec: &mut Tree) {
    if text(spec, "type") == "ExternalName" && matches!(text(spec, "internalTrafficPolicy"), "Cluster" | "Local") {
        spec.remove("internalTrafficPolicy");
    }
}

fn default_spec(spec: &mut Tree) {
    fill_zero(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => drop(spec.remove("sessionAffinityConfig")),
        "ClientIP" => {
            let config = ensure(ensure(spec, "sessionAffinityConfig"), "clientIP");
            fill(config, "timeoutSeconds", AFFINITY_SECONDS);
        }
        _ => {}
    }
    fill_zero(spec, "type", "ClusterIP");
    for port in items_mut(spec, "ports") {
        fill_zero(port, "protocol", "TCP");
        if port.get("targetPort").is_none_or(is_zero) {
            let number = int(port, "port").unwrap_or(0);
            port.insert("targetPort".to_owned(), json!(number));
        }
    }
    if externally_accessible(spec) {
        fill_zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(text(spec, "type"), "NodePort" | "LoadBalancer" | "ClusterIP") {
        fill(spec, "internalTrafficPolicy", "Cluster");
    }
    if text(spec, "type") == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// Whether traffic from outside the cluster can reach the service.
pub(super) fn externally_accessible(spec: &Tree) -> bool {
    match text(spec, "type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => texts(spec, "externalIPs").next().is_some(),
        _ => false,
    }
}

fn port(port: &Tree) -> String {
    let (number, protocol) = (int(port, "port").unwrap_or(0), text(port, "protocol"));
    match int(port, "nodePort") {
        Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
        Some(_) | None => format!("{number}/{protocol}"),
    }
}

fn external_addresses(object: &Object, spec: &Tree) -> String {
    let given = texts(spec, "externalIPs").collect::<Vec<_>>().join(",");
    match text(spec, "type") {
        "ClusterIP" | "NodePort" => or_none(&given),
        "LoadBalancer" => match (load_balancer(object), given) {
            (balancer, given) if balancer.is_empty() && given.is_empty() => "<pending>".to_owned(),
            (balancer, given) if balancer.is_empty() => given,
            (balancer, given) if given.is_empty() => balancer,
            (balancer, given) => format!("{balancer},{given}"),
        },
        "ExternalName" => text(spec, "externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Whether any port has a number on nodes.
pub(super) fn node_ports(spec: &Tree) -> Vec<i64> {
    items(spec, "ports").filter_map(|p| int(p, "nodePort")).filter(|p| *p != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_default(spec: Value, pointer: &str, expected: Option<Value>) {
        let Value::Object(mut spec) = spec else { panic!("not an object") };
        default_spec(&mut spec);
        let once = spec.clone();
        default_spec(&mut spec);
        assert_eq!(once, spec, "defaulting is not idempotent");
        assert_eq!(Value::Object(spec).pointer(pointer), expected.as_ref(), "{pointer}");
    }

    #[test]
    fn defaults_follow_the_type() {
        check_default(json!({}), "/type", Some(json!("ClusterIP")));
        check_default(json!({}), "/internalTrafficPolicy", Some(json!("Cluster")));
        check_default(json!({}), "/externalTrafficPolicy", None);
        check_default(json!({"type": "NodePort"}), "/externalTrafficPolicy", Some(json!("Cluster")));
        check_default(json!({"type": "LoadBalancer"}), "/allocateLoadBalancerNodePorts", Some(json!(true)));
        check_default(json!({"type": "ExternalName"}), "/internalTrafficPolicy", None);
        check_default(json!({"ports": [{"port": 80}]}), "/ports/0/targetPort", Some(json!(80)));
        check_default(json!({"ports": [{"port": 80, "targetPort": "web"}]}), "/ports/0/targetPort", Some(json!("web")));
        let timeout = "/sessionAffinityConfig/clientIP/timeoutSeconds";
        check_default(json!({"sessionAffinity": "ClientIP"}), timeout, Some(json!(10800)));
    }
}
