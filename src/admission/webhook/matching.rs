//! Whether a webhook is called for a request, and in which version (apiserver `generic/webhook.go` ShouldCallHook).

use serde_json::Value;

use super::super::expressions::Asking;
use super::super::{Attributes, Context, Invocation};
use super::configuration::Hook;
use crate::api::cel::admission::{Composition, Inputs};
use crate::api::{Result, Status};

/// An object that cannot be brought to the version that a webhook asks for, in the words of upstream.
pub(super) fn unconverted(status: Status) -> Status {
    Status::internal(status.message())
}

/// As what a webhook is shown a request; `None` when it is not called.
///
/// # Errors
/// 404 for a namespace that is not there, 403 for conditions that fail, 500 for objects that cannot be converted.
pub(super) async fn invocation(ctx: &Context, attributes: &Attributes<'_>, hook: &Hook) -> Result<Option<Invocation>> {
    let Some(invocation) = hook.criteria.matches(ctx, attributes)? else { return Ok(None) };
    if hook.conditions.is_empty() {
        return Ok(Some(invocation));
    }
    let (object, old) = ctx.shown(attributes, &invocation.kind).await.map_err(unconverted)?;
    let request = Value::Object(attributes.request(&invocation));
    let asking = Asking::new(&ctx.authorizer, attributes.user);
    let resource = attributes.request_resource();
    let inputs = Inputs {
        object: object.as_ref(),
        old_object: old.as_ref(),
        params: None,
        request: &request,
        namespace: None,
        authorizer: Some((&asking, &resource)),
    };
    match asking.settled(|| hook.conditions.matches(&Composition::new(), &inputs)).await {
        Ok(met) => Ok(met.then_some(invocation)),
        Err(why) => {
            let name = attributes.object_name();
            Err(Status::forbidden(&attributes.kind.group_resource(), name, &why))
        }
    }
}
