//! `MutatingAdmissionWebhook` and `ValidatingAdmissionWebhook`: servers outside decide about writes (apiserver
//! `pkg/admission/plugin/webhook`). Their configurations are read from the store and compiled once for each change;
//! without one, a write costs a look at a count.

mod configuration;
mod dispatch;
mod matching;
mod mutating;
mod response;
mod review;
mod validating;

use std::sync::Arc;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;
use crate::resources::admissionregistration::REVIEWS;
use configuration::Configured;

/// Kinds that decide about admission themselves: nobody may lock himself out.
const EXEMPT: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// Webhooks that change writes, one after another.
pub(super) struct MutatingAdmissionWebhook(Arc<Configured>);

/// Webhooks that judge writes, all at once.
pub(super) struct ValidatingAdmissionWebhook(Arc<Configured>);

impl Default for MutatingAdmissionWebhook {
    fn default() -> Self {
        Self(Arc::new(Configured::new("mutatingwebhookconfigurations.admissionregistration.k8s.io")))
    }
}

impl Default for ValidatingAdmissionWebhook {
    fn default() -> Self {
        Self(Arc::new(Configured::new("validatingwebhookconfigurations.admissionregistration.k8s.io")))
    }
}

fn concerns(kind: &Kind) -> bool {
    let exempt = kind.gvk.group == "admissionregistration.k8s.io" && EXEMPT.contains(&&*kind.gvk.kind);
    !exempt && !REVIEWS.contains(&(&*kind.gvk.group, &*kind.resource))
}

impl Plugin for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    fn handles(&self, _: Operation, kind: &Kind, _: &str) -> bool {
        concerns(kind)
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        match self.0.hooks(ctx) {
            None => Answer::Ready(Ok(())),
            Some(hooks) => Answer::Later(Box::pin(mutating::dispatch(ctx, attributes, hooks))),
        }
    }
}

impl Plugin for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn handles(&self, _: Operation, kind: &Kind, _: &str) -> bool {
        concerns(kind)
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        match self.0.hooks(ctx) {
            None => Answer::Ready(Ok(())),
            Some(hooks) => Answer::Later(Box::pin(validating::dispatch(ctx, attributes, hooks))),
        }
    }
}
