//! The names of Windows users, as processes of containers run under them.

use crate::api::field::{Errors, FieldError, Path};

const DOMAIN_BYTES_MAX: usize = 256;
const USER_BYTES_MAX: usize = 104;
const NET_BIOS_CHARS_MAX: usize = 15;
const DNS_LABEL_BYTES_MAX: usize = 63;

/// A user, with a domain before a backslash or without one.
pub(super) fn validate(errors: &mut Errors, name: &str, path: &Path<'_>) {
    let mut fault = |detail: &str| errors.push(FieldError::invalid(path, name, detail));
    if name.is_empty() {
        return fault("runAsUserName cannot be an empty string");
    }
    if name.bytes().any(|byte| byte.is_ascii_control()) {
        return fault("runAsUserName cannot contain control characters");
    }
    let (domain, user) = match name.split_once('\\') {
        Some((_, user)) if user.contains('\\') => {
            return fault("runAsUserName cannot contain more than one backslash");
        }
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_BYTES_MAX) {
        fault("runAsUserName's Domain length must be under 256 characters");
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)) {
        fault("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        fault("runAsUserName's User cannot be empty");
    } else if user.len() > USER_BYTES_MAX {
        fault("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        fault("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        fault("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
}

fn is_net_bios(domain: &str) -> bool {
    let number = domain.chars().count();
    let forbidden = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
    (1..=NET_BIOS_CHARS_MAX).contains(&number) && !domain.starts_with('.') && !domain.contains(forbidden)
}

fn is_dns(domain: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    domain.split('.').all(|label| {
        let bytes = label.as_bytes();
        let inner = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        label.len() <= DNS_LABEL_BYTES_MAX && inner && end(bytes.first()) && end(bytes.last())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check(name: &str, faults: &[&str]) {
        let mut errors = Errors::new();
        validate(&mut errors, name, &Path::new("user"));
        let quoted = crate::api::field::go_quote(name);
        let expected: Vec<String> =
            faults.iter().map(|f| format!("user: Invalid value: {quoted}: runAsUserName{f}")).collect();
        check_errors(&errors, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn users_stand_behind_the_domains_that_they_are_of() {
        check("Administrator", &[]);
        check("NT AUTHORITY\\NETWORK SERVICE", &[]);
        check("corp.example.com\\user", &[]);
        check("a\\b\\c", &[" cannot contain more than one backslash"]);
        check(".corp\\user", &["'s Domain doesn't match the NetBios nor the DNS format"]);
        check("corp\\", &["'s User cannot be empty"]);
        check("..", &["'s User cannot contain only periods or spaces"]);
        check("a@b", &["'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"]);
    }
}
