//! Endpoints.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::ip::ip_warnings;
use crate::resources::check::{
    address, dns_label, dns_subdomain, endpoint_address, port_number, qualified_name, required_choice,
};
use crate::resources::print::age;
use crate::resources::tree::{Tree, count, fill_zero, int, items, items_mut, list, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct Endpoints;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpoint-controller";
const SHOWN_MAX: usize = 3;

impl Behaviour for Endpoints {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        for subset in items_mut(object.root_mut(), "subsets") {
            for port in items_mut(subset, "ports") {
                fill_zero(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_subsets(object)
    }

    /// Subsets that older versions took for right are not refused while they stay as they are.
    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        if new.get(&["subsets"]) == old.get(&["subsets"]) { Errors::new() } else { validate_subsets(new) }
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        if object.labels().any(|label| label == (MANAGED_BY, CONTROLLER)) {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        let subsets = Path::new("subsets");
        for (i, subset) in list(object, &["subsets"]).enumerate() {
            let subset_path = subsets.index(i);
            for field in ["addresses", "notReadyAddresses"] {
                let addresses = subset_path.child(field);
                for (j, address) in items(subset, field).enumerate() {
                    warnings.extend(ip_warnings(text(address, "ip"), &addresses.index(j).child("ip")));
                }
            }
        }
        warnings
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(shown(object)), json!(age(object, moment))])
    }
}

/// The first addresses with their ports, and how many more there are.
fn shown(object: &Object) -> String {
    let mut all = Vec::new();
    let mut none = true;
    for subset in list(object, &["subsets"]) {
        none = false;
        let addresses = || items(subset, "addresses").map(|a| text(a, "ip"));
        if items(subset, "ports").next().is_none() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in items(subset, "ports") {
            let port = int(port, "port").unwrap_or(0);
            all.extend(
                addresses().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    let first = all.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(",");
    match all.len().checked_sub(SHOWN_MAX) {
        _ if none => "<none>".to_owned(),
        Some(more) if more > 0 => format!("{first} + {more} more..."),
        Some(_) | None => first,
    }
}

fn validate_subsets(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("subsets");
    for (i, subset) in list(object, &["subsets"]).enumerate() {
        let at = path.index(i);
        if count(subset, "addresses") + count(subset, "notReadyAddresses") == 0 {
            errors.push(FieldError::required(&at, "must specify `addresses` or `notReadyAddresses`"));
        }
        for field in ["addresses", "notReadyAddresses"] {
            let addresses = at.child(field);
            for (j, entry) in items(subset, field).enumerate() {
                endpoint(&mut errors, entry, &addresses.index(j));
            }
        }
        let ports = at.child("ports");
        let several = count(subset, "ports") > 1;
        for (j, entry) in items(subset, "ports").enumerate() {
            if several && text(entry, "name").is_empty() {
                errors.push(FieldError::required(&ports.index(j).child("name"), ""));
            }
            port(&mut errors, entry, &ports.index(j));
        }
    }
    errors
}

fn endpoint(errors: &mut Errors, entry: &Tree, path: &Path<'_>) {
    let ip = text(entry, "ip");
    address(errors, ip, &path.child("ip"), &[]);
    if !text(entry, "hostname").is_empty() {
        dns_label(errors, text(entry, "hostname"), &path.child("hostname"));
    }
    if let Some(node) = entry.get("nodeName").and_then(Value::as_str) {
        dns_subdomain(errors, node, &path.child("nodeName"));
    }
    endpoint_address(errors, ip, &path.child("ip"));
}

fn port(errors: &mut Errors, entry: &Tree, path: &Path<'_>) {
    if !text(entry, "name").is_empty() {
        dns_label(errors, text(entry, "name"), &path.child("name"));
    }
    port_number(errors, int(entry, "port").unwrap_or(0), &path.child("port"));
    required_choice(errors, text(entry, "protocol"), &path.child("protocol"), &["SCTP", "TCP", "UDP"]);
    if let Some(protocol) = entry.get("appProtocol").and_then(Value::as_str) {
        qualified_name(errors, protocol, &path.child("appProtocol"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[test]
    fn subsets_have_addresses_and_named_ports() {
        let port = json!({"port": 80, "protocol": "TCP"});
        let object = json!({"subsets": [{}, {"addresses": [{"ip": "10.0.0.1"}, {"ip": "x"}], "ports": [port, {"name": "b", "port": 0, "protocol": "TCP"}]}]});
        check_errors(
            &validate_subsets(&Object::from_value(object).unwrap()),
            &[
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[1].addresses[1].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "subsets[1].addresses[1].ip: Invalid value: \"x\": must be a valid IP address",
                "subsets[1].ports[0].name: Required value",
                "subsets[1].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        );
    }
}
