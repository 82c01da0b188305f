//! Validation of NetworkPolicies, in upstream's order and words.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::api::validation::ip::{Cidr, parse_cidr};
use crate::api::validation::names::{port_name, port_number};
use crate::resources::check::{choice, messages, range};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const TYPES: [&str; 2] = ["Ingress", "Egress"];
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// A NetworkPolicy; what ranges an old one has are not looked at again.
pub(super) fn validate(object: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    let known = old.map(ranges).unwrap_or_default();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let empty = Tree::new();
    let (spec, path) = (child(object.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    if let Some(selector) = spec.get("podSelector") {
        errors.extend(validate_label_selector(selector, &path.child("podSelector")));
    }
    for (direction, peers) in DIRECTIONS {
        let list = path.child(direction);
        for (i, rule) in items(spec, direction).enumerate() {
            let at = list.index(i);
            let ports = at.child("ports");
            for (i, port) in items(rule, "ports").enumerate() {
                validate_port(&mut errors, port, &ports.index(i));
            }
            let list = at.child(peers);
            for (i, peer) in items(rule, peers).enumerate() {
                validate_peer(&mut errors, peer, &known, &list.index(i));
            }
        }
    }
    let at = path.child("policyTypes");
    if count(spec, "policyTypes") > TYPES.len() {
        let given: Vec<&str> = texts(spec, "policyTypes").collect();
        errors.push(FieldError::invalid(&at, Value::from(given), "may not specify more than two policyTypes"));
        return errors;
    }
    for (i, kind) in texts(spec, "policyTypes").enumerate() {
        choice(&mut errors, kind, &at.index(i), &TYPES);
    }
    errors
}

/// All ranges that a policy names.
fn ranges(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    let Some(spec) = child(object.root(), "spec") else { return found };
    for (direction, peers) in DIRECTIONS {
        let blocks = items(spec, direction).flat_map(|rule| items(rule, peers)).filter_map(|p| child(p, "ipBlock"));
        for block in blocks {
            found.push(text(block, "cidr").to_owned());
            found.extend(texts(block, "except").map(str::to_owned));
        }
    }
    found
}

fn validate_port(errors: &mut Errors, port: &Tree, path: &Path<'_>) {
    if is_set(port, "protocol") {
        choice(errors, text(port, "protocol"), &path.child("protocol"), &["TCP", "UDP", "SCTP"]);
    }
    let (at, end_at) = (path.child("port"), path.child("endPort"));
    let end = int(port, "endPort");
    match port.get("port").filter(|value| !value.is_null()) {
        Some(Value::String(name)) => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(&end_at, end, "may not be specified when `port` is non-numeric"));
            }
            messages(errors, &at, name.as_str(), port_name(name));
        }
        Some(number) => {
            let number = number.as_i64().unwrap_or(0);
            messages(errors, &at, number, port_number(number));
            if let Some(end) = end {
                if end < number {
                    errors.push(FieldError::invalid(&end_at, end, "must be greater than or equal to `port`"));
                }
                messages(errors, &end_at, end, port_number(end));
            }
        }
        None => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(&end_at, end, "may not be specified when `port` is not specified"));
            }
        }
    }
}

fn validate_peer(errors: &mut Errors, peer: &Tree, known: &[&str], path: &Path<'_>) {
    let mut peers = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = peer.get(key).filter(|selector| !selector.is_null()) {
            peers += 1;
            errors.extend(validate_label_selector(selector, &path.child(key)));
        }
    }
    let block = child(peer, "ipBlock");
    if let Some(block) = block {
        peers += 1;
        validate_block(errors, block, known, &path.child("ipBlock"));
    }
    if peers == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if peers > 1 && block.is_some() {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn contains(whole: Cidr, inner: Cidr) -> bool {
    let widened = Cidr { address: inner.network().address, prefix: whole.prefix };
    widened.address.is_ipv4() == whole.address.is_ipv4() && widened.network() == whole.network()
}

fn validate_block(errors: &mut Errors, block: &Tree, known: &[&str], path: &Path<'_>) {
    let whole = text(block, "cidr");
    if whole.is_empty() {
        return errors.push(FieldError::required(&path.child("cidr"), ""));
    }
    range(errors, whole, &path.child("cidr"), known);
    let Some(whole) = parse_cidr(whole) else { return };
    let list = path.child("except");
    for (i, except) in texts(block, "except").enumerate() {
        let at = list.index(i);
        range(errors, except, &at, known);
        let Some(inner) = parse_cidr(except) else { continue };
        if whole.prefix >= inner.prefix || !contains(whole, inner) {
            errors.push(FieldError::invalid(&at, except, "must be a strict subset of `cidr`"));
        }
    }
}
