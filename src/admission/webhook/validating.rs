//! Webhooks that judge a write: all that match at once; the first refusal decides, when all have answered.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};

use super::super::measures::Phase;
use super::super::{Attributes, Context, Operation};
use super::configuration::Hook;
use super::dispatch::{Call, Failure, count};
use super::matching::{invocation, unconverted};
use super::response::{Role, denial};
use crate::api::{Result, Status};

/// Asks all webhooks that match.
pub(super) async fn dispatch(ctx: &Context, attributes: &mut Attributes<'_>, hooks: Arc<Vec<Hook>>) -> Result<()> {
    let mut relevant = Vec::new();
    for hook in hooks.iter() {
        if let Some(invocation) = invocation(ctx, attributes, hook).await? {
            let objects = ctx.shown(attributes, &invocation.kind).await.map_err(unconverted)?;
            relevant.push((hook, invocation, objects));
        }
    }
    let operation = attributes.operation;
    let mut calls = FuturesUnordered::new();
    for (hook, invocation, (object, old)) in &relevant {
        let objects = (object.as_ref(), old.as_ref());
        let call = Call::prepare(attributes, (hook, invocation, Role::Validating), objects);
        calls.push(async move { (*hook, judge(ctx, (hook, operation), call).await) });
    }
    let mut refusal: Option<Status> = None;
    let mut warnings = Vec::new();
    while let Some((hook, judged)) = calls.next().await {
        match judged {
            Ok(said) => warnings.extend(said.warnings),
            Err(status) => {
                tracing::warn!(webhook = %hook.name, %status, "rejected by webhook");
                refusal.get_or_insert(status);
            }
        }
    }
    drop(calls);
    attributes.warnings.extend(warnings);
    refusal.map_or(Ok(()), Err)
}

#[derive(Default)]
struct Judged {
    warnings: Vec<String>,
}

/// What one webhook says, with its failure policy.
async fn judge(
    ctx: &Context,
    (hook, operation): (&Hook, Operation),
    call: std::result::Result<Call<'_>, Failure>,
) -> std::result::Result<Judged, Status> {
    let began = ctx.clock.monotonic();
    let answer = match call {
        Ok(call) => call.make(ctx).await,
        Err(failure) => Err(failure),
    };
    let answer = answer.and_then(|response| match response.allowed {
        true => Ok(response),
        false => Err(Failure::Denied(denial(&hook.name, &response.result))),
    });
    let took = ctx.clock.monotonic().saturating_sub(began);
    count(ctx, hook, (operation, Phase::Validate), (answer.as_ref().err(), took));
    match answer {
        Ok(response) => Ok(Judged { warnings: response.warnings }),
        Err(Failure::Denied(status) | Failure::Refused(status)) => Err(status),
        Err(Failure::Call(why)) if hook.ignores_failure => {
            tracing::warn!(webhook = %hook.name, why, "a webhook failed, and what it would say does not matter");
            Ok(Judged::default())
        }
        Err(Failure::Call(why)) => Err(Failure::closed(&why)),
    }
}
