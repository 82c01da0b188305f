//! Warnings about a Service.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::Path;
use crate::api::validation::ip::{cidr_warnings, ip_warnings};
use crate::resources::tree::{child, text, texts};

const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

/// Upstream's warnings, in its order.
pub(super) fn service_warnings(object: &Object) -> Vec<String> {
    let empty = serde_json::Map::new();
    let spec = child(object.root(), "spec").unwrap_or(&empty);
    let at = Path::new("spec");
    let (kind, address) = (text(spec, "type"), text(spec, "clusterIP"));
    let headless = kind == "ClusterIP" && address == "None";
    let external: Vec<&str> = texts(spec, "externalIPs").collect();
    let mut warnings = Vec::new();
    if object.annotation(TOPOLOGY_HINTS).is_some() {
        warnings.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    if !address.is_empty() && address != "None" && kind != "ExternalName" {
        warn_addresses(&mut warnings, texts(spec, "clusterIPs"), &at.child("clusterIPs"));
    }
    if headless {
        let ignored = [
            ("loadBalancerIP", !text(spec, "loadBalancerIP").is_empty()),
            ("externalIPs", !external.is_empty()),
            ("SessionAffinity", text(spec, "sessionAffinity") != "None"),
        ];
        let ignored = ignored.iter().filter(|(_, given)| *given);
        warnings.extend(ignored.map(|(field, _)| format!("spec.{field} is ignored for headless services")));
    }
    warn_addresses(&mut warnings, external.iter().copied(), &at.child("externalIPs"));
    if !external.is_empty() && !headless && kind != "ExternalName" {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if !text(spec, "loadBalancerIP").is_empty() {
        warnings.extend(ip_warnings(text(spec, "loadBalancerIP"), &at.child("loadBalancerIP")));
    }
    let ranges = at.child("loadBalancerSourceRanges");
    for (i, range) in texts(spec, "loadBalancerSourceRanges").enumerate() {
        warnings.extend(cidr_warnings(range, &ranges.index(i)));
    }
    if kind == "ExternalName" && !external.is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !text(spec, "externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.get("trafficDistribution").and_then(Value::as_str) == Some("PreferClose") {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}

fn warn_addresses<'a>(warnings: &mut Vec<String>, addresses: impl Iterator<Item = &'a str>, path: &Path<'_>) {
    for (i, address) in addresses.enumerate() {
        warnings.extend(ip_warnings(address, &path.index(i)));
    }
}
