//! Small checks that upstream's validations have in common. Each adds what is wrong to a list.

use serde_json::Value;

use super::tree::{Tree, int};
use crate::api::field::{Difference, Errors, FieldError, Path, Shown};
use crate::api::validation::ip::{Strictness, legacy_cidr, legacy_ip, parse_ip};
use crate::api::validation::names;

/// An error for each message about a value.
pub(super) fn messages(errors: &mut Errors, path: &Path<'_>, value: impl Into<Value> + Clone, messages: Vec<String>) {
    errors.extend(messages.into_iter().map(|message| FieldError::invalid(path, value.clone(), message)));
}

/// A DNS-1123 label.
pub(super) fn dns_label(errors: &mut Errors, value: &str, path: &Path<'_>) {
    messages(errors, path, value, names::dns1123_label(value));
}

/// A DNS-1123 subdomain.
pub(super) fn dns_subdomain(errors: &mut Errors, value: &str, path: &Path<'_>) {
    messages(errors, path, value, names::dns1123_subdomain(value));
}

/// A qualified name.
pub(super) fn qualified_name(errors: &mut Errors, value: &str, path: &Path<'_>) {
    messages(errors, path, value, names::qualified_name(value));
}

/// A port number.
pub(super) fn port_number(errors: &mut Errors, value: i64, path: &Path<'_>) {
    messages(errors, path, value, names::port_number(value));
}

/// One of the supported texts; an empty one is missing.
pub(super) fn required_choice(errors: &mut Errors, value: &str, path: &Path<'_>, supported: &[&str]) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        choice(errors, value, path, supported);
    }
}

/// One of the supported texts.
pub(super) fn choice(errors: &mut Errors, value: &str, path: &Path<'_>, supported: &[&str]) {
    if !supported.contains(&value) {
        errors.push(FieldError::not_supported(path, value, supported));
    }
}

/// A field that may not be negative.
pub(super) fn nonnegative(errors: &mut Errors, tree: &Tree, key: &str, path: &Path<'_>) {
    if let Some(value) = int(tree, key).filter(|value| *value < 0) {
        errors.push(FieldError::invalid(&path.child(key), value, "must be greater than or equal to 0"));
    }
}

/// A field of a type that Go prints in its own way, which no update may change.
pub(super) fn immutable_as(
    errors: &mut Errors,
    (new, old): (Option<&Value>, Option<&Value>),
    name: &'static str,
    path: &Path<'_>,
) {
    let first = errors.len();
    immutable(errors, new, old, path);
    errors[first..].iter_mut().for_each(|error| error.shown = Shown::As(name));
}

/// An error about a value that Go prints in its own way.
pub(super) fn invalid_as(path: &Path<'_>, value: impl Into<Value>, name: &'static str, detail: &str) -> FieldError {
    FieldError::invalid(path, value, detail).shown(Shown::As(name))
}

/// A refusal that ends with what differs between two values of a type.
pub(super) fn forbidden_difference(
    path: &Path<'_>,
    detail: String,
    of: &'static str,
    (from, to): (&Tree, &Tree),
) -> FieldError {
    let difference = Difference { of, from: from.clone().into(), to: to.clone().into() };
    FieldError::forbidden(path, detail).shown(Shown::Difference(Box::new(difference)))
}

/// Fields that may not be negative.
pub(super) fn nonnegatives(errors: &mut Errors, tree: &Tree, keys: &[&str], path: &Path<'_>) {
    keys.iter().for_each(|key| nonnegative(errors, tree, key, path));
}

/// A field that no update may change.
pub(super) fn immutable(errors: &mut Errors, new: Option<&Value>, old: Option<&Value>, path: &Path<'_>) {
    let (new, old) = (new.unwrap_or(&Value::Null), old.unwrap_or(&Value::Null));
    if new != old {
        errors.push(FieldError::invalid(path, new.clone(), "field is immutable").shown(Shown::Field));
    }
}

/// An address in a field that predates strict validation; what the old object had is not checked again.
pub(super) fn address(errors: &mut Errors, value: &str, path: &Path<'_>, old: &[&str]) {
    if !old.contains(&value) {
        errors.extend(legacy_ip(value, Strictness::Strict, path));
    }
}

/// A range in a field that predates strict validation; what the old object had is not checked again.
pub(super) fn range(errors: &mut Errors, value: &str, path: &Path<'_>, old: &[&str]) {
    if !old.contains(&value) {
        errors.extend(legacy_cidr(value, Strictness::Strict, path));
    }
}

/// An address that an endpoint may have: none that is special to a host or a link.
pub(super) fn endpoint_address(errors: &mut Errors, value: &str, path: &Path<'_>) {
    use std::net::IpAddr;
    let Some(address) = parse_ip(value) else {
        errors.push(FieldError::invalid(path, value, "must be a valid IP address"));
        return;
    };
    let (local, local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    let faults = [
        (address.is_unspecified(), format!("may not be unspecified ({value})")),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()),
        (local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
        (local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()),
    ];
    for (_, detail) in faults.into_iter().filter(|(holds, _)| *holds) {
        errors.push(FieldError::invalid(path, value, detail));
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The errors as text, one per line of the expectation.
    #[track_caller]
    pub(in crate::resources) fn check_errors(errors: &Errors, expected: &[&str]) {
        let actual: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(actual, expected);
    }
}
