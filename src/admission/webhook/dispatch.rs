//! One call of one webhook: the review, the way there and back, the answer.

use std::time::Duration;

use super::super::measures::{Blame, Phase, Step};
use super::super::{Attributes, Context, Invocation, Operation};
use super::configuration::Hook;
use super::response::{Response, Role};
use super::review::Review;
use crate::api::field::go_quote;
use crate::api::{Object, Status};
use crate::remote::{self, Post};

/// The most that is read of an answer: a patch of the largest object, encoded twice over.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The code that is counted for a webhook that gave no answer, and for one that let a write pass.
const UNAVAILABLE: u16 = 503;
const OK: u16 = 200;

/// Why a webhook gave no answer that counts.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing came, or nothing that can be read: the failure policy decides.
    Call(String),
    /// The webhook said no.
    Denied(Status),
    /// It is the server's own matter.
    Refused(Status),
}

impl Failure {
    /// 500, in the words of upstream.
    pub(super) fn closed(why: &str) -> Status {
        Status::internal(why)
    }
}

/// Counts how a webhook answered, in a time.
pub(super) fn count(
    ctx: &Context,
    hook: &Hook,
    (operation, phase): (Operation, Phase),
    outcome: (Option<&Failure>, Duration),
) {
    let (failure, took) = outcome;
    let (rejected, blame, code) = match failure {
        None => (false, Blame::None, OK),
        Some(Failure::Call(_)) => (!hook.ignores_failure, Blame::Call, UNAVAILABLE),
        Some(Failure::Denied(status)) => (true, Blame::None, status.code()),
        Some(Failure::Refused(_)) => (true, Blame::Server, 0),
    };
    let measures = &ctx.measures;
    measures.answered(&hook.name, (Step { phase, operation, rejected }, blame), (code, took));
    if matches!(failure, Some(Failure::Call(_))) && hook.ignores_failure {
        measures.webhook_failures_ignored.count((hook.name.clone(), phase));
    }
}

/// A call that is ready to be made.
pub(super) struct Call<'a> {
    hook: &'a Hook,
    role: Role,
    review: Review,
}

impl<'a> Call<'a> {
    /// # Errors
    /// When the webhook cannot be called for a dry run, or takes no review that we know.
    pub(super) fn prepare(
        attributes: &Attributes<'_>,
        (hook, invocation, role): (&'a Hook, &Invocation, Role),
        objects: (Option<&Object>, Option<&Object>),
    ) -> Result<Self, Failure> {
        if attributes.dry_run {
            match hook.side_effects.as_deref() {
                None => return Err(failed(hook, "Webhook SideEffects is nil")),
                Some("None" | "NoneOnDryRun") => {}
                Some(_) => {
                    let why = format!("admission webhook {} does not support dry run", go_quote(&hook.name));
                    return Err(Failure::Refused(Status::bad_request(why)));
                }
            }
        }
        let review = Review::new(attributes, (hook, invocation), objects).map_err(|why| failed(hook, &why))?;
        Ok(Self { hook, role, review })
    }

    /// Calls it.
    pub(super) async fn make(self, ctx: &Context) -> Result<Response, Failure> {
        let (site, limit) = (&self.hook.site, self.hook.limit);
        let post = Post {
            site,
            body: self.review.body.clone(),
            limit,
            answer_bytes_max: ANSWER_BYTES_MAX,
            authorization: None,
        };
        let unanswered = |why: String| failed(self.hook, &format!("failed to call webhook: {why}"));
        let reply = ctx.remote.post(post).await.map_err(unanswered)?;
        let document = remote::decode(&reply).map_err(unanswered)?;
        Response::read(&document, &self.review, self.role).map_err(|why| failed(self.hook, &why))
    }
}

pub(super) fn failed(hook: &Hook, why: &str) -> Failure {
    Failure::Call(format!("failed calling webhook {}: {why}", go_quote(&hook.name)))
}
