//! PodCertificateRequest.

use serde_json::{Value, json};

use super::pod_request_validation::{validate, validate_status, validate_update};
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::labels;
use crate::resources::tree::{list, text};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct PodCertificateRequest;

const FIELDS: &[SelectableField] = &[
    SelectableField { name: "spec.signerName", read: |r| spec(r, "signerName").to_owned(), indexed: false },
    SelectableField { name: "spec.podName", read: |r| spec(r, "podName").to_owned(), indexed: false },
    SelectableField { name: "spec.nodeName", read: |r| spec(r, "nodeName").to_owned(), indexed: false },
];

impl Behaviour for PodCertificateRequest {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_update(new, old)
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn selects_by_namespace(&self, _: &Kind) -> bool {
        false
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_status, ..STATUS_ALONE })
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        let outcomes = list(object, &["status", "conditions"]).map(|c| text(c, "type"));
        let state = outcomes.filter(|t| matches!(*t, "Issued" | "Denied" | "Failed")).last().unwrap_or("Pending");
        Some(vec![
            json!(object.name()),
            json!(spec(object, "podName")),
            json!(spec(object, "serviceAccountName")),
            json!(spec(object, "nodeName")),
            json!(spec(object, "signerName")),
            json!(state),
            json!(labels(object.get(&["spec", "unverifiedUserAnnotations"]))),
        ])
    }
}

fn spec<'a>(request: &'a Object, key: &str) -> &'a str {
    request.text_at(&["spec", key])
}
