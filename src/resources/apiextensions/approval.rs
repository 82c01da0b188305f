//! Groups of the community's own domains are for types that it approved of (apiextensions-apiserver `pkg/apihelpers`).

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};

const APPROVED: &str = "api-approved.kubernetes.io";

/// Status, reason and message of the condition that tells whether a group of the community's has its approval.
pub(super) fn approval(object: &Object) -> Option<(&'static str, &'static str, String)> {
    let group = object.text_at(&["spec", "group"]);
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    if !protected {
        return None;
    }
    let given = object.annotation(APPROVED).unwrap_or("");
    let link = "see https://github.com/kubernetes/enhancements/pull/1111";
    let host = given
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.starts_with('/') && !rest.is_empty());
    Some(if given.is_empty() {
        let message = format!("protected groups must have approval annotation \"{APPROVED}\", {link}");
        ("False", "MissingAnnotation", message)
    } else if given.starts_with("unapproved") {
        ("False", "UnapprovedAnnotation", format!("not approved: {}", crate::api::field::go_quote(given)))
    } else if host {
        ("True", "ApprovedAnnotation", format!("approved in {given}"))
    } else {
        let message = format!(
            "protected groups must have approval annotation \"{APPROVED}\" with either a URL or a reason starting \
             with \"unapproved\", {link}"
        );
        ("False", "InvalidAnnotation", message)
    })
}

/// Adds what is wrong with the approval; what an update leaves as it was may stay.
pub(super) fn approved(new: &Object, old: Option<&Object>, errors: &mut Errors) {
    let Some((_, reason, message)) = approval(new) else { return };
    if old.and_then(approval).is_some_and(|(_, before, _)| before == reason) {
        return;
    }
    let path = Path::new("metadata");
    let annotations = path.child("annotations");
    let at = annotations.key(APPROVED);
    match reason {
        "MissingAnnotation" => errors.push(FieldError::required(&at, message)),
        "InvalidAnnotation" => {
            errors.push(FieldError::invalid(&at, new.annotation(APPROVED).unwrap_or(""), message));
        }
        _ => {}
    }
}
