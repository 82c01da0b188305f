//! The parameters of a binding: objects of the policy's `paramKind`, by name or by labels (apiserver
//! `pkg/admission/plugin/policy/generic/policy_dispatcher.go` CollectParams).

use std::sync::Arc;

use super::compile::{Binding, ParamRef, Policy};
use crate::admission::Context;
use crate::api::Object;
use crate::resources::Kind;
use crate::storage::Stored;

/// The kind of the parameters of a policy; `None` when it has none.
///
/// # Errors
/// In upstream's words when the kind is not served.
pub(super) fn kind(ctx: &Context, policy: &Policy) -> Result<Option<Arc<Kind>>, String> {
    let Some(gvk) = &policy.param_kind else { return Ok(None) };
    let served = ctx.catalog.served();
    let found = served.find_kind(&gvk.group, &gvk.version, &gvk.kind).cloned();
    found.map(Some).ok_or_else(|| format!("failed to find resource referenced by paramKind: '{gvk}'"))
}

/// The parameters with which a policy is evaluated, once for each; `None` stands for an evaluation without.
///
/// # Errors
/// In upstream's words for references that make no sense here, and for absent parameters that are to be an error.
pub(super) fn collect(
    ctx: &Context,
    kind: Option<&Kind>,
    binding: &Binding,
    namespace: &str,
) -> Result<Vec<Option<Object>>, String> {
    let (Some(kind), Some(reference)) = (kind, &binding.params) else { return Ok(vec![None]) };
    let namespace = match (kind.namespaced, reference.namespace.as_str()) {
        (true, "") if namespace.is_empty() => {
            return Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".into());
        }
        (true, "") => namespace,
        (true, own) => own,
        (false, "") => "",
        (false, _) => return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into()),
    };
    let found = find(ctx, (kind, reference), namespace)?;
    if found.is_empty() && reference.denies_absence {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    Ok(found.into_iter().map(Some).collect())
}

fn find(ctx: &Context, (kind, reference): (&Kind, &ParamRef), namespace: &str) -> Result<Vec<Object>, String> {
    let snapshot = ctx.store.snapshot();
    match (reference.name.as_str(), &reference.selector) {
        ("", None) => Err("one of name or selector must be provided".into()),
        ("", Some(selector)) => {
            let selector = selector.as_ref().map_err(Clone::clone)?;
            let all = snapshot.list(&kind.collection, kind.namespaced.then_some(namespace), None);
            all.filter(|stored| selector.matches(&*stored.facts.labels)).map(|stored| read(kind, stored)).collect()
        }
        (name, None) => {
            let found = snapshot.find(&kind.collection, namespace, name);
            found.into_iter().map(|stored| read(kind, stored)).collect()
        }
        (_, Some(_)) => Err("paramRef.name and paramRef.selector are mutually exclusive".into()),
    }
}

/// A stored object in the version of its kind.
fn read(kind: &Kind, stored: &Stored) -> Result<Object, String> {
    let mut object = Object::from_json(&stored.body.json).map_err(|error| error.to_string())?;
    kind.behaviour.revive(&mut object).map_err(|status| status.message().to_owned())?;
    Ok(kind.served(object))
}
