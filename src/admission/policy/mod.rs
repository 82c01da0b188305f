//! `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy`: expressions, stored as objects, that judge and change
//! writes (apiserver `pkg/admission/plugin/policy`). Policies are compiled once for each of their generations; as long
//! as there has never been a binding, a write costs the look at one atomic number.

mod compile;
mod mutating;
mod params;
mod patch;
mod scene;
mod source;
#[cfg(test)]
mod tests;
mod validating;
mod verdict;

use std::sync::Arc;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;
use crate::resources::admissionregistration::REVIEWS;
use source::Source;

const GROUP: &str = "admissionregistration.k8s.io";

/// Kinds that no policy may be about: policies themselves, and the reviews.
const POLICIES: [&str; 4] = [
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

fn exempt(kind: &Kind) -> bool {
    let (group, resource) = (&*kind.gvk.group, &*kind.resource);
    (group == GROUP && POLICIES.contains(&resource)) || REVIEWS.contains(&(group, resource))
}

/// Policies that judge writes.
pub(super) struct ValidatingAdmissionPolicy(Arc<Source>);

/// Policies that change writes.
pub(super) struct MutatingAdmissionPolicy(Arc<Source>);

impl Default for ValidatingAdmissionPolicy {
    fn default() -> Self {
        Self(Arc::new(Source::new(&source::VALIDATING)))
    }
}

impl Default for MutatingAdmissionPolicy {
    fn default() -> Self {
        Self(Arc::new(Source::new(&source::MUTATING)))
    }
}

impl Plugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn handles(&self, _: Operation, kind: &Kind, _: &str) -> bool {
        self.0.notice(kind);
        !exempt(kind)
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        match self.0.hooks(ctx) {
            None => Answer::Ready(Ok(())),
            Some(hooks) => Answer::Later(Box::pin(validating::dispatch(ctx, attributes, hooks))),
        }
    }
}

impl Plugin for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    fn handles(&self, operation: Operation, kind: &Kind, _: &str) -> bool {
        self.0.notice(kind);
        operation != Operation::Delete && !exempt(kind)
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        match self.0.hooks(ctx) {
            None => Answer::Ready(Ok(())),
            Some(hooks) => Answer::Later(Box::pin(mutating::dispatch(ctx, attributes, hooks))),
        }
    }
}
