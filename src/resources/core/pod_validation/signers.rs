//! The names of bundles of signers, and what is said to signers, in projected volumes.

use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::metadata::ANNOTATIONS_BYTES_MAX;
use crate::api::validation::names::{qualified_name, subdomain_name};
use crate::resources::check::messages;
use crate::resources::tree::Tree;

/// Whether the project itself keeps the domain of a signer.
pub(super) fn is_of_kubernetes(signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    domain == "kubernetes.io" || domain.ends_with(".kubernetes.io")
}

/// The name of a bundle; one with colons is of a signer, whose name with colons comes first.
pub(super) fn bundle_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    // What stands before the last colon is always the signer that the name must begin with.
    let own = name.rsplit_once(':').map_or(name, |(_, own)| own);
    let faults = subdomain_name(own, false);
    let details = faults.into_iter().map(|fault| format!("not a valid clustertrustbundlename: {fault}"));
    messages(errors, path, name, details.collect());
}

/// Keys of annotations for a signer, each in a domain.
pub(super) fn user_annotations(errors: &mut Errors, annotations: &Tree, path: &Path<'_>) {
    for key in annotations.keys().map(|key| key.to_lowercase()) {
        let faults = qualified_name(&key);
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if !faults.is_empty() {
            messages(errors, path, key.as_str(), faults);
        } else if !key.contains('/') {
            let detail = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, key.as_str(), detail));
        }
    }
    let bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}
