//! Validation of a Service.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::service::externally_accessible;
use super::service_addresses::{validate_address_changes, validate_addresses};
use super::service_fields::needs_health_check;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::validation::metadata::labels;
use crate::api::validation::names;
use crate::resources::check::{
    address, choice, dns_label, dns_subdomain, endpoint_address, messages, port_number, qualified_name, range,
    required_choice,
};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const AFFINITY_SECONDS_MAX: i64 = 86400;
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

/// Upstream's rules for a new service (`old` is `None`) and for a changed one.
pub(super) fn validate_service(object: &Object, old: Option<&Object>) -> Errors {
    let empty = Tree::new();
    let spec = child(object.root(), "spec").unwrap_or(&empty);
    let before = old.and_then(|old| child(old.root(), "spec"));
    let mut errors = Errors::new();
    if let Some(before) = before {
        validate_address_changes(&mut errors, spec, before);
        balancer_class(&mut errors, spec, Some(before));
        health_check_change(&mut errors, spec, before);
    }
    topology(&mut errors, object);
    let path = Path::new("spec");
    by_type(&mut errors, spec, &path);
    ports(&mut errors, spec, &path);
    if let Some(selector) = child(spec, "selector") {
        labels(selector, &path.child("selector"), &mut errors);
    }
    affinity(&mut errors, spec, &path);
    validate_addresses(&mut errors, spec, before);
    external_addresses(&mut errors, spec, before);
    required_choice(&mut errors, text(spec, "type"), &path.child("type"), &TYPES);
    duplicate_ports(&mut errors, spec, &path);
    source_ranges(&mut errors, object, old);
    balancer(&mut errors, spec, &path);
    external_traffic(&mut errors, spec, &path);
    internal_traffic(&mut errors, spec, &path);
    errors
}

/// Whether the service has no address by wish.
pub(super) fn headless(spec: &Tree) -> bool {
    texts(spec, "clusterIPs").eq(["None"])
}

fn topology(errors: &mut Errors, object: &Object) {
    if let (Some(mode), Some(hints)) = (object.annotation(TOPOLOGY_MODE), object.annotation(TOPOLOGY_HINTS))
        && mode != hints
    {
        let (metadata, detail) =
            (Path::new("metadata"), format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified"));
        errors.push(FieldError::invalid(&metadata.child("annotations").key(TOPOLOGY_MODE), mode, detail));
    }
}

fn by_type(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let kind = text(spec, "type");
    if count(spec, "ports") == 0 && !headless(spec) && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if matches!(kind, "LoadBalancer" | "NodePort") && headless(spec) {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", detail));
    }
    if kind != "ExternalName" {
        return;
    }
    let given = [
        ("clusterIPs", count(spec, "clusterIPs") > 0),
        ("ipFamilies", count(spec, "ipFamilies") > 0),
        ("ipFamilyPolicy", is_set(spec, "ipFamilyPolicy")),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        errors.push(FieldError::forbidden(&path.child(key), "may not be set for ExternalName services"));
    }
    let name = text(spec, "externalName");
    // A name may end with a dot to say that it is complete.
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.push(FieldError::required(&path.child("externalName"), "")),
        name => dns_subdomain(errors, name, &path.child("externalName")),
    }
}

fn ports(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let list = path.child("ports");
    let several = count(spec, "ports") > 1;
    let mut seen = HashSet::new();
    for (i, port) in items(spec, "ports").enumerate() {
        let at = list.index(i);
        match text(port, "name") {
            "" if several => errors.push(FieldError::required(&at.child("name"), "")),
            "" => {}
            name => {
                dns_label(errors, name, &at.child("name"));
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(&at.child("name"), name));
                }
            }
        }
        port_number(errors, int(port, "port").unwrap_or(0), &at.child("port"));
        required_choice(errors, text(port, "protocol"), &at.child("protocol"), &PROTOCOLS);
        port_or_name(errors, port.get("targetPort"), &at.child("targetPort"));
        if let Some(protocol) = port.get("appProtocol").and_then(Value::as_str) {
            qualified_name(errors, protocol, &at.child("appProtocol"));
        }
    }
}

fn port_or_name(errors: &mut Errors, value: Option<&Value>, path: &Path<'_>) {
    match value {
        Some(Value::String(name)) => messages(errors, path, name.as_str(), names::port_name(name)),
        other => port_number(errors, other.and_then(Value::as_i64).unwrap_or(0), path),
    }
}

fn affinity(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let kind = text(spec, "sessionAffinity");
    required_choice(errors, kind, &path.child("sessionAffinity"), &["ClientIP", "None"]);
    let at = path.child("sessionAffinityConfig");
    let config = child(spec, "sessionAffinityConfig");
    if kind == "None" && config.is_some() {
        errors.push(FieldError::forbidden(&at, "must not be set when session affinity is None"));
    }
    if kind != "ClientIP" {
        return;
    }
    const WHEN: &str = "when session affinity type is ClientIP";
    let client_path = at.child("clientIP");
    let timeout_path = client_path.child("timeoutSeconds");
    let client = config.and_then(|c| child(c, "clientIP"));
    match (config, client, client.and_then(|c| int(c, "timeoutSeconds"))) {
        (None, _, _) => errors.push(FieldError::required(&at, WHEN)),
        (Some(_), None, _) => errors.push(FieldError::required(&client_path, WHEN)),
        (Some(_), Some(_), None) => errors.push(FieldError::required(&timeout_path, WHEN)),
        (Some(_), Some(_), Some(seconds)) if seconds <= 0 || seconds > AFFINITY_SECONDS_MAX => {
            let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
            errors.push(FieldError::invalid(&timeout_path, seconds, detail));
        }
        (Some(_), Some(_), Some(_)) => {}
    }
}

fn external_addresses(errors: &mut Errors, spec: &Tree, before: Option<&Tree>) {
    let path = Path::new("spec");
    let path = path.child("externalIPs");
    let old: Vec<&str> = before.into_iter().flat_map(|b| texts(b, "externalIPs")).collect();
    for (i, value) in texts(spec, "externalIPs").enumerate() {
        let known = errors.len();
        address(errors, value, &path.index(i), &old);
        if errors.len() == known {
            endpoint_address(errors, value, &path.index(i));
        }
    }
}

fn duplicate_ports(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let list = path.child("ports");
    if text(spec, "type") == "ClusterIP" {
        for (i, _) in items(spec, "ports").enumerate().filter(|(_, p)| int(p, "nodePort").unwrap_or(0) != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&list.index(i).child("nodePort"), detail));
        }
    }
    let mut seen = HashSet::new();
    for (i, port) in items(spec, "ports").enumerate() {
        let number = int(port, "nodePort").unwrap_or(0);
        if number != 0 && !seen.insert((text(port, "protocol"), number)) {
            errors.push(FieldError::duplicate(&list.index(i).child("nodePort"), number));
        }
    }
    seen.clear();
    for (i, port) in items(spec, "ports").enumerate() {
        let (protocol, number) = (text(port, "protocol"), int(port, "port").unwrap_or(0));
        if !seen.insert((protocol, number)) {
            let error = FieldError::duplicate(&list.index(i), json!({"protocol": protocol, "port": number}));
            errors.push(error.shown(Shown::As("io.k8s.api.core.v1.ServicePort")));
        }
    }
}

fn source_ranges(errors: &mut Errors, object: &Object, old: Option<&Object>) {
    let list = |o: &Object| -> Vec<String> {
        let spec = child(o.root(), "spec");
        spec.into_iter().flat_map(|s| texts(s, "loadBalancerSourceRanges")).map(|r| r.trim().to_owned()).collect()
    };
    let balanced = object.text_at(&["spec", "type"]) == "LoadBalancer";
    let ranges = list(object);
    if !ranges.is_empty() {
        let before = old.map(list).unwrap_or_default();
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        // The path has a capital letter there.
        let path = Path::new("spec");
        let path = path.child("LoadBalancerSourceRanges");
        if !balanced {
            errors.push(FieldError::forbidden(&path, BALANCER_ONLY));
        }
        for (i, value) in ranges.iter().enumerate() {
            range(errors, value, &path.index(i), &before);
        }
    } else if let Some(value) = object.annotation(SOURCE_RANGES) {
        let path = Path::new("metadata");
        let path = path.child("annotations");
        let path = path.key(SOURCE_RANGES);
        if !balanced {
            errors.push(FieldError::forbidden(&path, BALANCER_ONLY));
        }
        let unchanged = old.is_some_and(|o| o.annotation(SOURCE_RANGES) == Some(value));
        if !unchanged && !value.trim().is_empty() {
            value.trim().split(',').for_each(|part| range(errors, part.trim(), &path, &[]));
        }
    }
}

fn balancer(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    const KEY: &str = "allocateLoadBalancerNodePorts";
    let balanced = text(spec, "type") == "LoadBalancer";
    if is_set(spec, KEY) && !balanced {
        errors.push(FieldError::forbidden(&path.child(KEY), BALANCER_ONLY));
    }
    if balanced && !is_set(spec, KEY) {
        errors.push(FieldError::required(&Path::new(KEY), ""));
    }
    balancer_class(errors, spec, None);
}

fn balancer_class(errors: &mut Errors, spec: &Tree, before: Option<&Tree>) {
    const KEY: &str = "loadBalancerClass";
    let path = Path::new("spec");
    let path = path.child(KEY);
    let balanced = |spec: &Tree| text(spec, "type") == "LoadBalancer";
    if let Some(before) = before
        && balanced(before)
        && balanced(spec)
        && before.get(KEY) != spec.get(KEY)
    {
        let value = spec.get(KEY).cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid(&path, value, "may not change once set"));
    }
    match spec.get(KEY).and_then(Value::as_str) {
        Some(class) if balanced(spec) => qualified_name(errors, class, &path),
        Some(_) => errors.push(FieldError::forbidden(&path, BALANCER_ONLY)),
        None => {}
    }
}

fn health_check_change(errors: &mut Errors, spec: &Tree, before: &Tree) {
    const KEY: &str = "healthCheckNodePort";
    if needs_health_check(before) && needs_health_check(spec) && int(before, KEY) != int(spec, KEY) {
        let path = Path::new("spec");
        errors.push(FieldError::forbidden(&path.child(KEY), "field is immutable"));
    }
}

fn external_traffic(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let policy = text(spec, "externalTrafficPolicy");
    let at = path.child("externalTrafficPolicy");
    if externally_accessible(spec) {
        required_choice(errors, policy, &at, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        errors.push(FieldError::invalid(&at, policy, "may only be set for externally-accessible services"));
    }
    let port = int(spec, "healthCheckNodePort").unwrap_or(0);
    let at = path.child("healthCheckNodePort");
    match (needs_health_check(spec), port) {
        (false, 0) => {}
        (false, port) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(&at, port, detail));
        }
        (true, 0) => errors.push(FieldError::required(&at, "")),
        (true, port) => port_number(errors, port, &at),
    }
}

fn internal_traffic(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let at = path.child("internalTrafficPolicy");
    match spec.get("internalTrafficPolicy").and_then(Value::as_str) {
        None if matches!(text(spec, "type"), "NodePort" | "LoadBalancer" | "ClusterIP") => {
            errors.push(FieldError::required(&at, ""));
        }
        None => {}
        Some(policy) => choice(errors, policy, &at, &["Cluster", "Local"]),
    }
    if let Some(distribution) = spec.get("trafficDistribution").and_then(Value::as_str) {
        choice(errors, distribution, &path.child("trafficDistribution"), &DISTRIBUTIONS);
    }
}

/// The status of a service: addresses that a load balancer gave.
pub(super) fn validate_service_status(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    let path = path.child("loadBalancer");
    let path = path.child("ingress");
    let ingress = |o: &Object| -> Vec<Tree> {
        crate::resources::tree::list(o, &["status", "loadBalancer", "ingress"]).cloned().collect()
    };
    let (entries, before) = (ingress(new), ingress(old));
    if new.text_at(&["spec", "type"]) != "LoadBalancer" && !entries.is_empty() {
        errors.push(FieldError::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'"));
        return errors;
    }
    let before: Vec<&str> = before.iter().map(|e| text(e, "ip")).filter(|ip| !ip.is_empty()).collect();
    for (i, entry) in entries.iter().enumerate() {
        let at = path.index(i);
        let ip = text(entry, "ip");
        if !ip.is_empty() {
            address(&mut errors, ip, &at.child("ip"), &before);
        }
        let mode_path = at.child("ipMode");
        match (entry.get("ipMode").and_then(Value::as_str), ip) {
            (None, "") => {}
            (None, _) => errors.push(FieldError::required(&mode_path, "must be specified when `ip` is set")),
            (Some(_), "") => {
                errors.push(FieldError::forbidden(&mode_path, "may not be specified when `ip` is not set"))
            }
            (Some(mode), _) => choice(&mut errors, mode, &mode_path, &["Proxy", "VIP"]),
        }
        let host = text(entry, "hostname");
        if !host.is_empty() {
            dns_subdomain(&mut errors, host, &at.child("hostname"));
            if crate::api::validation::ip::parse_ip(host).is_some() {
                errors.push(FieldError::invalid(&at.child("hostname"), host, "must be a DNS name, not an IP address"));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    fn service(changes: Value) -> Object {
        let mut spec = json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]});
        for (key, value) in changes.as_object().unwrap() {
            if value.is_null() {
                spec.as_object_mut().unwrap().remove(key);
            } else {
                spec[key] = value.clone();
            }
        }
        Object::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap()
    }

    #[track_caller]
    fn check_new(changes: Value, expected: &[&str]) {
        check_errors(&validate_service(&service(changes), None), expected);
    }

    #[test]
    fn a_plain_service_is_right() {
        check_new(json!({}), &[]);
        check_new(json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": null}), &[]);
    }

    #[test]
    fn ports_are_checked_one_by_one_and_against_each_other() {
        check_new(json!({"ports": null}), &["spec.ports: Required value"]);
        let port =
            |name: &str, number: i64| json!({"name": name, "port": number, "protocol": "TCP", "targetPort": "web"});
        check_new(
            json!({"ports": [port("a", 80), port("a", 0)]}),
            &[
                "spec.ports[1].name: Duplicate value: \"a\"",
                "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        );
        check_new(
            json!({"ports": [{"port": 1, "protocol": "tcp", "targetPort": 1}]}),
            &["spec.ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\""],
        );
        check_new(
            json!({"ports": [{"port": 1, "protocol": "TCP", "targetPort": 1, "nodePort": 30000}]}),
            &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        );
    }

    #[test]
    fn types_and_policies_are_of_the_known_ones() {
        check_new(
            json!({"type": "Wrong"}),
            &[
                "spec.type: Unsupported value: \"Wrong\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ],
        );
        check_new(
            json!({"sessionAffinity": "Wrong"}),
            &["spec.sessionAffinity: Unsupported value: \"Wrong\": supported values: \"ClientIP\", \"None\""],
        );
        check_new(
            json!({"externalTrafficPolicy": "Local"}),
            &[
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ],
        );
        check_new(
            json!({"externalIPs": ["127.0.0.1"], "externalTrafficPolicy": "Cluster"}),
            &[
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ],
        );
        check_new(
            json!({"loadBalancerClass": "a/b"}),
            &["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        );
    }

    #[test]
    fn an_external_name_has_no_addresses() {
        let bare = json!({"type": "ExternalName", "clusterIP": null, "ipFamilies": null, "ipFamilyPolicy": null, "ports": null});
        check_new(
            bare,
            &[
                "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
                "spec.externalName: Required value",
            ],
        );
    }

    #[test]
    fn an_address_stays_once_it_is_set() {
        let new = service(json!({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]}));
        check_errors(
            &validate_service(&new, Some(&service(json!({})))),
            &["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"],
        );
    }
}
