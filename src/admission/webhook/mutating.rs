//! Webhooks that change a write: one after another in the order of their configurations' names, each seeing what those
//! before it left.

use std::sync::Arc;

use serde_json::Value;

use super::super::measures::Phase;
use super::super::{Attributes, Context, Invocation};
use super::configuration::Hook;
use super::dispatch::{Call, Failure, count, failed};
use super::matching::{invocation, unconverted};
use super::response::{Response, Role, denial};
use crate::api::field::{Errors, Path, go_quote};
use crate::api::validation::metadata::managed_fields;
use crate::api::{Object, Result, Status, codec, patch};

/// Lets all webhooks that match change the object.
pub(super) async fn dispatch(ctx: &Context, attributes: &mut Attributes<'_>, hooks: Arc<Vec<Hook>>) -> Result<()> {
    let second = attributes.reinvocation.second();
    let owners = attributes.object.as_deref().map(|object| object.get(&OWNERS).cloned());
    if second {
        let object = attributes.object.as_deref();
        attributes.reinvocation.webhooks.compare(object);
    }
    for hook in hooks.iter() {
        let Some(invocation) = invocation(ctx, attributes, hook).await? else { continue };
        if second && !attributes.reinvocation.webhooks.again(&hook.id) {
            continue;
        }
        let began = ctx.clock.monotonic();
        let outcome = call(ctx, attributes, (hook, &invocation)).await;
        let took = ctx.clock.monotonic().saturating_sub(began);
        count(ctx, hook, (attributes.operation, Phase::Admit), (outcome.as_ref().err(), took));
        if matches!(outcome, Ok(Changed::Yes)) {
            attributes.reinvocation.webhooks.require();
            attributes.reinvocation.want();
        }
        if hook.reinvoked {
            attributes.reinvocation.webhooks.invoked(&hook.id);
        }
        match outcome {
            Ok(_) => {}
            Err(Failure::Denied(status) | Failure::Refused(status)) => return Err(status),
            Err(Failure::Call(why)) if hook.ignores_failure => {
                tracing::warn!(webhook = %hook.name, why, "a webhook failed, and what it would change does not matter");
            }
            Err(Failure::Call(why)) => return Err(Failure::closed(&why)),
        }
    }
    let object = attributes.object.as_deref();
    attributes.reinvocation.webhooks.leave(object);
    if let (Some(object), Some(owners)) = (attributes.object.as_deref_mut(), owners) {
        attributes.warnings.extend(keep_owners(object, owners));
    }
    Ok(())
}

const OWNERS: [&str; 2] = ["metadata", "managedFields"];

/// What nobody can read of field ownership becomes what it was; the warning that tells of it.
fn keep_owners(object: &mut Object, before: Option<Value>) -> Option<String> {
    let mut errors = Errors::new();
    managed_fields(object.get(&OWNERS), &Path::new("metadata").child("managedFields"), &mut errors);
    let first = errors.first()?;
    match before {
        Some(before) => object.set(&OWNERS, before),
        None => drop(object.remove(&OWNERS)),
    }
    let why = if first.field.ends_with("operation") { "operation must be `Apply` or `Update`" } else { &first.detail };
    Some(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating \
         admission controller; please fix your requests: {why}"
    ))
}

#[derive(PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

async fn call(
    ctx: &Context,
    attributes: &mut Attributes<'_>,
    (hook, invocation): (&Hook, &Invocation),
) -> std::result::Result<Changed, Failure> {
    let shown = ctx.shown(attributes, &invocation.kind).await;
    let (object, old) = shown.map_err(|status| Failure::Refused(unconverted(status)))?;
    let objects = (object.as_ref(), old.as_ref());
    let response = Call::prepare(attributes, (hook, invocation, Role::Mutating), objects)?.make(ctx).await?;
    attributes.warnings.extend(response.warnings.iter().cloned());
    if !response.allowed {
        return Err(Failure::Denied(denial(&hook.name, &response.result)));
    }
    let Some(patched) = patched(hook, &response, object.as_ref())? else { return Ok(Changed::No) };
    let internal = |why: &dyn std::fmt::Display| Failure::Refused(Status::internal(why));
    let Some(before) = object else { return Ok(Changed::No) };
    let subresource = attributes.target.subresource.as_str();
    let kind = &invocation.kind;
    let Some(slot) = attributes.object.as_deref_mut() else { return Ok(Changed::No) };
    if *kind.payload(subresource) != kind.gvk {
        let changed = patched != before;
        settle_payload(slot, (kind, subresource), patched);
        return Ok(if changed { Changed::Yes } else { Changed::No });
    }
    check_kind(ctx, kind, &patched).map_err(|why| internal(&why))?;
    let read = kind.read(patched.into_value()).map_err(|error| internal(&error))?;
    let changed = read != before;
    if changed {
        *slot = match kind.is_custom() {
            true => custom(ctx, (attributes.kind, kind), read).await?,
            false => kind.stored(read),
        };
    }
    Ok(if changed { Changed::Yes } else { Changed::No })
}

/// A patch that makes another thing of the object is refused as decoding it into the wrong type would be.
fn check_kind(ctx: &Context, kind: &crate::resources::Kind, patched: &Object) -> std::result::Result<(), String> {
    let (version, name) = (patched.text_at(&["apiVersion"]), patched.text_at(&["kind"]));
    let expected = kind.gvk.api_version();
    let version = if version.is_empty() { &expected } else { version };
    let name = if name.is_empty() { &kind.gvk.kind } else { name };
    if kind.is_custom() || (version == expected && name == kind.gvk.kind) {
        return Ok(());
    }
    let (group, bare) = version.split_once('/').unwrap_or(("", version));
    let served = ctx.catalog.served();
    let Some(other) = served.find_kind(group, bare, name) else { return Err(codec::not_registered(version, name)) };
    other.read(Value::Object(patched.root().clone())).map_err(|error| error.to_string())?;
    Err(format!("converting ({bare}.{name}) to ({}.{}): unknown conversion", kind.gvk.version, kind.gvk.kind))
}

/// A custom resource goes back to the version of the request.
async fn custom(
    ctx: &Context,
    (asked, shown): (&crate::resources::Kind, &crate::resources::Kind),
    mut object: Object,
) -> std::result::Result<Object, Failure> {
    shown.default(&mut object);
    let lost = || Failure::Refused(Status::internal("an object was lost in conversion"));
    ctx.converted(asked, Some(object)).await.map_err(Failure::Refused)?.ok_or_else(lost)
}

/// What is sent to a subresource stays what it is; of a scale only the number is taken.
fn settle_payload(slot: &mut Object, (kind, subresource): (&crate::resources::Kind, &str), patched: Object) {
    if subresource != "scale" {
        *slot = patched;
        return;
    }
    let Some(paths) = kind.behaviour.scale(kind) else { return };
    let path: Vec<&str> = paths.spec_replicas.iter().map(AsRef::as_ref).collect();
    slot.set(&path, patched.int_at(&["spec", "replicas"]).unwrap_or(0));
}

/// The object as the patch makes it; `None` when there is nothing to do.
fn patched(hook: &Hook, response: &Response, object: Option<&Object>) -> std::result::Result<Option<Object>, Failure> {
    if response.patch.is_empty() {
        return Ok(None);
    }
    let operations: Value = serde_json::from_slice(&response.patch)
        .map_err(|_| undecodable(hook, &codec::json::decode(&response.patch)))?;
    match &operations {
        Value::Array(operations) if operations.is_empty() => return Ok(None),
        Value::Null => return Ok(None),
        Value::Array(_) => {}
        other => return Err(misshapen(hook, other, "Patch")),
    }
    let wrong = |operation: &&Value| !operation.is_object() && !operation.is_null();
    if let Some(wrong) = operations.as_array().into_iter().flatten().find(wrong) {
        return Err(misshapen(hook, wrong, "Operation"));
    }
    let internal = |why: String| Failure::Refused(Status::internal(why));
    let Some(object) = object else {
        return Err(internal(format!(
            "admission webhook {} attempted to modify the object, which is not supported for this operation",
            go_quote(&hook.name)
        )));
    };
    if response.patch_type != "JSONPatch" {
        return Err(failed(hook, &format!("unsupported patch type {}", go_quote(&response.patch_type))));
    }
    let patched = patch::apply_operations(object, operations).map_err(internal)?;
    let patched = Object::from_value(patched).map_err(|other| {
        let kind = codec::json::kind_of(&other);
        internal(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go value of \
                          type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                          \"json:\\\"kind,omitempty\\\"\" }}"
        ))
    })?;
    Ok(Some(patched))
}

fn misshapen(hook: &Hook, value: &Value, wanted: &str) -> Failure {
    let kind = codec::json::kind_of(value);
    let why = format!("json: cannot unmarshal {kind} into Go value of type jsonpatch.{wanted}");
    failed(hook, &format!("received undecodable patch in webhook response: {why}"))
}

fn undecodable<T>(hook: &Hook, decoded: &std::result::Result<T, codec::Error>) -> Failure {
    let why = decoded.as_ref().err().map(ToString::to_string).unwrap_or_default();
    failed(hook, &format!("received undecodable patch in webhook response: {why}"))
}
