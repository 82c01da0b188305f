//! Validation of an EndpointSlice. The type of its addresses and their number are declared.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::ip::{ip, parse_ip};
use crate::api::validation::metadata::labels;
use crate::api::validation::names::{dns1123_label, dns1123_subdomain, label_value};
use crate::resources::check::{address, choice, dns_label, dns_subdomain, endpoint_address, messages, qualified_name};
use crate::resources::tree::{Tree, child, count, items, list, text, texts};

const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 20000;
const TOPOLOGY_LABELS_MAX: usize = 16;
const HINTS_MAX: usize = 8;

/// Endpoints that older versions took for right are not refused while they stay as they are.
pub(super) fn validate_slice(object: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    ports(&mut errors, object);
    if old.is_none_or(|old| old.get(&["endpoints"]) != object.get(&["endpoints"])) {
        endpoints(&mut errors, object);
    }
    errors
}

fn ports(errors: &mut Errors, object: &Object) {
    let path = Path::new("ports");
    let all: Vec<&Tree> = list(object, &["ports"]).collect();
    if all.len() > PORTS_MAX {
        errors.push(FieldError::too_many(&path, all.len(), PORTS_MAX));
        return;
    }
    let mut names = std::collections::HashSet::new();
    for (i, port) in all.into_iter().enumerate() {
        let at = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            dns_label(errors, name, &at.child("name"));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        match port.get("protocol").and_then(Value::as_str) {
            None => errors.push(FieldError::required(&at.child("protocol"), "")),
            Some(protocol) => choice(errors, protocol, &at.child("protocol"), &["SCTP", "TCP", "UDP"]),
        }
        if let Some(protocol) = port.get("appProtocol").and_then(Value::as_str) {
            qualified_name(errors, protocol, &at.child("appProtocol"));
        }
    }
}

fn endpoints(errors: &mut Errors, object: &Object) {
    let path = Path::new("endpoints");
    let number = list(object, &["endpoints"]).count();
    if number > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(&path, number, ENDPOINTS_MAX));
        return;
    }
    let kind = object.text_at(&["addressType"]);
    for (i, endpoint) in list(object, &["endpoints"]).enumerate() {
        let at = path.index(i);
        for (j, value) in texts(endpoint, "addresses").enumerate() {
            endpoint_value(errors, (kind, value), &at.child("addresses"), j);
        }
        if let Some(node) = endpoint.get("nodeName").and_then(Value::as_str) {
            dns_subdomain(errors, node, &at.child("nodeName"));
        }
        if let Some(topology) = child(endpoint, "deprecatedTopology") {
            let at = at.child("deprecatedTopology");
            if topology.len() > TOPOLOGY_LABELS_MAX {
                errors.push(FieldError::too_many(&at, topology.len(), TOPOLOGY_LABELS_MAX));
            }
            labels(topology, &at, errors);
        }
        if let Some(host) = endpoint.get("hostname").and_then(Value::as_str) {
            dns_label(errors, host, &at.child("hostname"));
        }
        if let Some(given) = child(endpoint, "hints") {
            hints(errors, given, &at.child("hints"));
        }
    }
}

/// One address. A wrong family is told of the list, not of the item.
fn endpoint_value(errors: &mut Errors, (kind, value): (&str, &str), list: &Path<'_>, index: usize) {
    let at = list.index(index);
    let known = errors.len();
    match kind {
        "IPv4" => address(errors, value, &at, &[]),
        "IPv6" => errors.extend(ip(value, &at)),
        "FQDN" => {
            full_name(errors, value, &at);
            return;
        }
        _ => return,
    }
    if errors.len() > known {
        return;
    }
    let v6 = parse_ip(value).is_some_and(|a| a.is_ipv6());
    if v6 != (kind == "IPv6") {
        errors.push(FieldError::invalid(list, value, format!("must be an {kind} address")));
    }
    endpoint_address(errors, value, &at);
}

/// A name of at least two labels, with or without a dot at its end.
fn full_name(errors: &mut Errors, value: &str, path: &Path<'_>) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let name = value.strip_suffix('.').unwrap_or(value);
    let faults = dns1123_subdomain(name);
    if !faults.is_empty() {
        errors.push(FieldError::invalid(path, name, faults.join(",")));
        return;
    }
    if !name.contains('.') {
        errors.push(FieldError::invalid(path, name, "should be a domain with at least two segments separated by dots"));
        return;
    }
    let wrong = name.split('.').map(|label| (label, dns1123_label(label))).find(|(_, faults)| !faults.is_empty());
    if let Some((label, faults)) = wrong {
        errors.push(FieldError::invalid(path, label, faults.join(",")));
    }
}

fn hints(errors: &mut Errors, hints: &Tree, path: &Path<'_>) {
    for key in ["forZones", "forNodes"] {
        let at = path.child(key);
        if count(hints, key) > HINTS_MAX {
            errors.push(FieldError::too_many(&at, count(hints, key), HINTS_MAX));
            return;
        }
        let names: Vec<&str> = items(hints, key).map(|h| text(h, "name")).collect();
        for (i, name) in names.iter().enumerate() {
            let at = at.index(i);
            let at = at.child("name");
            if names[..i].contains(name) {
                errors.push(FieldError::duplicate(&at, *name));
            }
            let faults = if key == "forZones" { label_value(name) } else { dns1123_subdomain(name) };
            messages(errors, &at, *name, faults);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check_slice(slice: Value, expected: &[&str]) {
        check_errors(&validate_slice(&Object::from_value(slice).unwrap(), None), expected);
    }

    #[test]
    fn addresses_are_of_the_slices_family() {
        let slice = |kind: &str, address: &str| json!({"addressType": kind, "endpoints": [{"addresses": [address]}]});
        check_slice(slice("IPv4", "10.0.0.1"), &[]);
        check_slice(
            slice("IPv4", "fd00::1"),
            &["endpoints[0].addresses: Invalid value: \"fd00::1\": must be an IPv4 address"],
        );
        check_slice(
            slice("IPv4", "127.0.0.1"),
            &[
                "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ],
        );
        check_slice(
            slice("FQDN", "a"),
            &[
                "endpoints[0].addresses[0]: Invalid value: \"a\": should be a domain with at least two segments separated by dots",
            ],
        );
    }

    #[test]
    fn ports_have_names_of_their_own() {
        let port = json!({"name": "", "protocol": "TCP"});
        check_slice(json!({"ports": [port, port]}), &["ports[1].name: Duplicate value: \"\""]);
    }
}
