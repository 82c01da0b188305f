//! Validation of the addresses of a Service and their families.

use serde_json::Value;

use super::service_validation::headless;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::ip::parse_ip;
use crate::resources::check::address;
use crate::resources::tree::{Tree, child, text, texts};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const MAX: usize = 2;

/// What is wrong with the addresses and families of a service, before any are given to it.
pub fn service_address_errors(service: &Object, old: Option<&Object>) -> Errors {
    let (mut errors, empty) = (Errors::new(), Tree::new());
    let spec = child(service.root(), "spec").unwrap_or(&empty);
    validate_addresses(&mut errors, spec, old.and_then(|old| child(old.root(), "spec")));
    errors
}

/// The addresses of a service agree with each other and with their families.
pub(super) fn validate_addresses(errors: &mut Errors, spec: &Tree, before: Option<&Tree>) {
    if text(spec, "type") == "ExternalName" {
        return;
    }
    let path = Path::new("spec");
    let list_path = path.child("clusterIPs");
    let (first, list) = (text(spec, "clusterIP"), addresses(spec));
    match (first, list.first()) {
        ("", None) => {}
        ("", Some(_)) => {
            let detail = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(&list_path, whole(spec, "clusterIPs"), detail));
        }
        (_, None) => errors.push(FieldError::required(&list_path, "")),
        (first, Some(head)) if first != *head => {
            let detail = "first value must match `clusterIP`";
            errors.push(FieldError::invalid(&list_path, whole(spec, "clusterIPs"), detail));
        }
        (_, Some(_)) => {}
    }
    families(errors, spec, &path);
    if !well_formed(errors, spec, before) {
        return;
    }
    if list.len() > 1 && !dual_stack(&list) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(&list_path, whole(spec, "clusterIPs"), detail));
    }
    if headless(spec) {
        return;
    }
    for (i, (value, family)) in list.iter().zip(texts(spec, "ipFamilies")).enumerate() {
        let v6 = parse_ip(value).is_some_and(|a| a.is_ipv6());
        if (family == "IPv4" && v6) || (family == "IPv6" && !v6) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(FieldError::invalid(&list_path.index(i), *value, detail));
        }
    }
}

fn families(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let at = path.child("ipFamilies");
    let list: Vec<&str> = texts(spec, "ipFamilies").collect();
    for (i, family) in list.iter().enumerate() {
        if !FAMILIES.contains(family) {
            errors.push(FieldError::not_supported(&at.index(i), *family, &FAMILIES));
        }
        if list[..i].contains(family) {
            errors.push(FieldError::duplicate(&at.index(i), *family));
        }
    }
    if let Some(policy) = spec.get("ipFamilyPolicy").and_then(Value::as_str)
        && !POLICIES.contains(&policy)
    {
        errors.push(FieldError::not_supported(&path.child("ipFamilyPolicy"), policy, &POLICIES));
    }
}

/// Whether each address is one; the rest is only checked then.
fn well_formed(errors: &mut Errors, spec: &Tree, before: Option<&Tree>) -> bool {
    let path = Path::new("spec");
    let path = path.child("clusterIPs");
    let old = before.map(addresses).unwrap_or_default();
    let list = addresses(spec);
    let mut right = true;
    for (i, value) in list.iter().enumerate() {
        let known = errors.len();
        if i == 0 && *value == "None" {
            if list.len() > 1 {
                let detail = "'None' must be the first and only value";
                errors.push(FieldError::invalid(&path, whole(spec, "clusterIPs"), detail));
            }
        } else {
            address(errors, value, &path.index(i), &old);
        }
        right &= errors.len() == known;
    }
    if list.len() > MAX {
        errors.push(FieldError::invalid(&path, whole(spec, "clusterIPs"), "may only hold up to 2 values"));
    }
    right
}

/// An update may add and release second addresses and families; the first ones stay.
pub(super) fn validate_address_changes(errors: &mut Errors, spec: &Tree, before: &Tree) {
    if text(spec, "type") == "ExternalName" || text(before, "type") == "ExternalName" {
        return;
    }
    if !(headless(spec) && headless(before)) {
        address_changes(errors, spec, before);
    }
    if !headless(spec) && !headless(before) {
        family_changes(errors, spec, before);
    }
}

fn address_changes(errors: &mut Errors, spec: &Tree, before: &Tree) {
    let path = Path::new("spec");
    let at = path.child("clusterIPs");
    let (old, new) = (addresses(before), addresses(spec));
    let value = || whole(spec, "clusterIPs");
    if old.len() == new.len() {
        for (i, _) in old.iter().zip(&new).enumerate().filter(|(_, (old, new))| old != new) {
            errors.push(FieldError::invalid(&at.index(i), value(), "may not change once set"));
        }
        return;
    }
    if new.is_empty() {
        errors.push(FieldError::invalid(&at.index(0), value(), "primary clusterIP can not be unset"));
    }
    if let (Some(old), Some(new)) = (old.first(), new.first())
        && old != new
    {
        errors.push(FieldError::invalid(&at.index(0), value(), "may not change once set"));
    }
    if old.len() > new.len() && new.len() == 1 && text(spec, "ipFamilyPolicy") != "SingleStack" {
        let detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        errors.push(FieldError::invalid(&path.child("ipFamilyPolicy"), whole(spec, "ipFamilyPolicy"), detail));
    }
}

fn family_changes(errors: &mut Errors, spec: &Tree, before: &Tree) {
    let path = Path::new("spec");
    let at = path.child("ipFamilies");
    let first = at.index(0);
    let old: Vec<&str> = texts(before, "ipFamilies").collect();
    let new: Vec<&str> = texts(spec, "ipFamilies").collect();
    if old.len() == new.len() {
        for _ in old.iter().zip(&new).filter(|(old, new)| old != new) {
            errors.push(FieldError::invalid(&first, whole(spec, "ipFamilies"), "may not change once set"));
        }
        return;
    }
    if old.len() > new.len() && addresses(spec).is_empty() {
        let detail = "primary ipFamily can not be unset";
        errors.push(FieldError::invalid(&first, whole(spec, "ipFamilies"), detail));
    }
    if let (Some(old), Some(new)) = (old.first(), new.first())
        && old != new
    {
        errors.push(FieldError::invalid(&first, whole(spec, "clusterIPs"), "may not change once set"));
    }
    if old.len() > new.len() && new.len() == 1 && text(spec, "ipFamilyPolicy") != "SingleStack" {
        let detail = "must be set to 'SingleStack' when releasing the secondary ipFamily";
        errors.push(FieldError::invalid(&path.child("ipFamilyPolicy"), whole(spec, "ipFamilyPolicy"), detail));
    }
}

fn addresses(spec: &Tree) -> Vec<&str> {
    texts(spec, "clusterIPs").collect()
}

/// Whether both families are among the addresses.
fn dual_stack(list: &[&str]) -> bool {
    let v6 = |value: &&str| parse_ip(value).is_some_and(|a| a.is_ipv6());
    list.iter().any(v6) && !list.iter().all(v6)
}

fn whole(spec: &Tree, key: &str) -> Value {
    spec.get(key).cloned().unwrap_or(Value::Null)
}
