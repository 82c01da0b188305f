//! Names of signers, as all kinds of this group give them.

use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::api::validation::names::{dns1123_label, dns1123_subdomain};

const DOMAIN_BYTES_MAX: usize = 253;
/// A domain, a slash, a label, a dot and a subdomain.
const NAME_BYTES_MAX: usize = DOMAIN_BYTES_MAX + 1 + 253 + 1 + 63;

/// A domain and a path of one segment.
pub(in crate::resources) fn validate(errors: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    let parts = name.split_once('/').filter(|(_, segment)| !segment.contains('/'));
    let Some((domain, segment)) = parts else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errors.push(FieldError::invalid(path, name, detail));
    };
    if domain.len() > DOMAIN_BYTES_MAX {
        errors.push(FieldError::too_long(path, DOMAIN_BYTES_MAX));
    }
    labels(errors, domain, dns1123_label, path);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, detail));
    }
    labels(errors, segment, dns1123_subdomain, path);
    if name.len() > NAME_BYTES_MAX {
        errors.push(FieldError::too_long(path, NAME_BYTES_MAX));
    }
}

/// Tells of the first part that is wrong.
fn labels(errors: &mut Errors, part: &str, rule: fn(&str) -> Vec<String>, path: &Path<'_>) {
    let wrong = part.split('.').map(|label| (label, rule(label))).find(|(_, faults)| !faults.is_empty());
    for (label, fault) in wrong.into_iter().flat_map(|(label, faults)| faults.into_iter().map(move |f| (label, f))) {
        errors.push(FieldError::invalid(path, part, format!("validating label {}: {fault}", go_quote(label))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check(name: &str, expected: &[&str]) {
        let mut errors = Errors::new();
        validate(&mut errors, name, &Path::new("s"));
        check_errors(&errors, expected);
    }

    #[test]
    fn a_signer_is_a_domain_and_a_path_of_one_segment() {
        check("example.com/signer", &[]);
        check("", &["s: Required value"]);
        let form = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        check("example.com/a/b", &[&format!("s: Invalid value: \"example.com/a/b\": {form}")]);
        let domain = "should be a domain with at least two segments separated by dots";
        check("example/signer", &[&format!("s: Invalid value: \"example\": {domain}")]);
    }
}
