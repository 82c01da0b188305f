//! VolumeAttachment.

use serde_json::{Value, json};

use super::validation::bytes;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::dns1123_subdomain;
use crate::resources::check::messages;
use crate::resources::core::volume_validation::validate_inline;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::{age, flag};
use crate::resources::tree::{Tree, child, int, is_set, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct VolumeAttachment;

impl Behaviour for VolumeAttachment {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: |new, _| validate(new), ..STATUS_ALONE })
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["spec", "attacher"])),
            json!(object.text_at(&["spec", "source", "persistentVolumeName"])),
            json!(object.text_at(&["spec", "nodeName"])),
            json!(flag(object, &["status", "attached"], false)),
            json!(age(object, moment)),
        ])
    }
}

const METADATA_BYTES_MAX: usize = 256 << 10;
const MESSAGE_BYTES_MAX: usize = 1024;

/// What the attacher is called and that the spec stays is declared; that there is one is declared for creations only.
fn validate(attachment: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(attachment.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    if text(spec, "attacher").is_empty() {
        errors.push(FieldError::required(&path.child("attacher"), ""));
    }
    source(&mut errors, child(spec, "source").unwrap_or(&empty), &path.child("source"));
    let node = text(spec, "nodeName");
    messages(&mut errors, &path.child("nodeName"), node, dns1123_subdomain(node));
    if let Some(status) = child(attachment.root(), "status") {
        validate_status(&mut errors, status, &Path::new("status"));
    }
    if let Some(volume) = attachment.get(&["spec", "source", "persistentVolumeName"]).and_then(Value::as_str) {
        let path = path.child("source");
        messages(&mut errors, &path.child("persistentVolumeName"), volume, dns1123_subdomain(volume));
    }
    errors
}

fn source(errors: &mut Errors, source: &Tree, path: &Path<'_>) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (child(source, "inlineVolumeSpec"), is_set(source, "persistentVolumeName")) {
        (None, false) => errors.push(FieldError::required(path, ONE)),
        (Some(_), true) => errors.push(FieldError::forbidden(path, ONE)),
        (None, true) if text(source, "persistentVolumeName").is_empty() => {
            let detail = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required(&path.child("persistentVolumeName"), detail));
        }
        (None, true) => {}
        (Some(inline), false) => validate_inline(errors, inline, &path.child("inlineVolumeSpec")),
    }
}

fn validate_status(errors: &mut Errors, status: &Tree, path: &Path<'_>) {
    if child(status, "attachmentMetadata").is_some_and(|metadata| bytes(metadata) > METADATA_BYTES_MAX) {
        errors.push(FieldError::too_long(&path.child("attachmentMetadata"), METADATA_BYTES_MAX));
    }
    for key in ["attachError", "detachError"] {
        let Some(error) = child(status, key) else { continue };
        let at = path.child(key);
        if text(error, "message").len() > MESSAGE_BYTES_MAX {
            errors.push(FieldError::too_long(&at.child("message"), MESSAGE_BYTES_MAX));
        }
        if let Some(code) = int(error, "errorCode").filter(|code| *code < 0) {
            let detail = format!("must be between 0 and {}, inclusive", i32::MAX);
            errors.push(FieldError::invalid(&at.child("errorCode"), code, detail));
        }
    }
}
