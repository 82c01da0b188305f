//! The part `status` that most types have, in the variations that upstream's strategies make.

use super::Part;
use super::tree::{keep, keep_metadata};
use crate::api::Object;
use crate::api::field::Errors;

/// A write of the status leaves everything beside status and metadata as it was.
pub(super) const STATUS: Part = Part { prepare: |new, old, _| keep_rest(new, old), validate: anything };

/// The same, with labels, annotations, owners and finalizers as they were too.
pub(super) const STATUS_ALONE: Part =
    Part { prepare: |new, old, _| keep_rest_and_metadata(new, old), validate: anything };

/// Makes everything beside status and metadata as it was.
pub(super) fn keep_rest(new: &mut Object, old: &Object) {
    let aside = |key: &str| matches!(key, "apiVersion" | "kind" | "metadata" | "status");
    keep_all_but(new, old, &aside);
}

/// Makes everything as it was but what is aside. What is so already, as nearly always, is not copied.
pub fn keep_all_but(new: &mut Object, old: &Object, aside: &dyn Fn(&str) -> bool) {
    new.root_mut().retain(|key, _| aside(key) || old.root().contains_key(key));
    for (key, value) in old.root().iter().filter(|(key, _)| !aside(key)) {
        if new.root().get(key) != Some(value) {
            new.root_mut().insert(key.clone(), value.clone());
        }
    }
}

/// Makes everything beside status as it was, as far as upstream's `ResetObjectMetaForStatus` goes.
pub(super) fn keep_rest_and_metadata(new: &mut Object, old: &Object) {
    keep_rest(new, old);
    keep_metadata(new, old);
}

/// Makes the status as it was.
pub(super) fn keep_status(new: &mut Object, old: &Object) {
    keep(new, old, &["status"]);
}

/// Nothing is wrong.
pub(super) fn anything(_: &Object, _: &Object) -> Errors {
    Vec::new()
}
