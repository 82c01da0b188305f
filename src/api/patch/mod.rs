//! The three kinds of patches that are applied to an object as it stands: JSON patch, JSON merge patch and strategic
//! merge patch. (The fourth, apply, is `api::apply`.) Each gives the patched tree; whether it is an object of its kind
//! is for the decoder to say.

mod json;
mod merge;
mod restore;
mod shown;
mod strategic;
mod strategic_list;

use serde_json::Value;

pub use shown::shown;

use super::codec;
use super::field::{FieldError, Path};
use super::names::GroupKind;
use super::object::Object;
use super::schema::{Table, TypeId};
use super::status::{Result, Status};

/// How a patch document is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchKind {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`; not for custom resources.
    StrategicMerge,
}

impl PatchKind {
    /// By content type without parameters.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::StrategicMerge),
            _ => None,
        }
    }
}

/// Applies a patch to an object in the version of the request. Strategic merge patch reads the object's type from the
/// table.
///
/// # Errors
/// 400 when the document is not a patch, 413 when it has too many operations, 422 when it does not apply.
pub fn apply(kind: PatchKind, live: &Object, patch: &[u8], of: (&Table, TypeId)) -> Result<Object> {
    let document: Value = codec::json::document(patch).map_err(|_| Status::bad_request("invalid JSON patch"))?;
    let patched = match kind {
        PatchKind::Json => json::apply(live, document),
        PatchKind::Merge => merge::apply(live, document),
        PatchKind::StrategicMerge => {
            let mut patched = strategic::apply(live, document, of)?;
            if let Some(why) = restore::fault(&mut patched, of) {
                return Err(refused(&shown(kind, &patched, patch, of), &why));
            }
            Ok(patched)
        }
    }?;
    Object::from_value(patched).map_err(|other| not_an_object(&other))
}

/// Applies the JSON patch of an admission webhook.
///
/// # Errors
/// In the words of evanphx/json-patch, which upstream hands on.
pub fn apply_operations(live: &Object, patch: Value) -> std::result::Result<Value, String> {
    json::apply_told(live, patch)
}

/// What decoding the result says when a patch has put an array in place of the object.
fn not_an_object(patched: &Value) -> Status {
    let why = codec::interpret(patched).err().map_or_else(String::new, |error| error.to_string());
    refused(&patched.to_string(), &why)
}

fn refused(shown: &str, why: &str) -> Status {
    let error = FieldError::invalid(&Path::new("patch"), shown, why);
    Status::invalid(&GroupKind { group: "".into(), kind: "".into() }, "", &[error])
}

#[cfg(test)]
mod tests;
