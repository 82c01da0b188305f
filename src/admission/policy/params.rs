//! The parameters of a binding: objects of the policy's `paramKind`, by name or by labels (apiserver
//! `pkg/admission/plugin/policy/generic/policy_dispatcher.go` CollectParams).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::compile::{Binding, ParamRef, Policy};
use crate::admission::Context;
use crate::api::{Object, Revision, Uid};
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
pub(super) async fn collect(
    ctx: &Context,
    (policy, kind): (&Policy, Option<&Kind>),
    (binding, namespace): (&Binding, &str),
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
    let found = read(ctx, (policy, kind), find(ctx, (kind, reference), namespace)?).await?;
    if found.is_empty() && reference.denies_absence {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    Ok(found.into_iter().map(Some).collect())
}

fn find(ctx: &Context, (kind, reference): (&Kind, &ParamRef), namespace: &str) -> Result<Vec<Arc<Stored>>, String> {
    let snapshot = ctx.store.snapshot();
    match (reference.name.as_str(), &reference.selector) {
        ("", None) => Err("one of name or selector must be provided".into()),
        ("", Some(selector)) => {
            let selector = selector.as_ref().map_err(Clone::clone)?;
            let all = snapshot.list(&kind.collection, kind.namespaced.then_some(namespace), None);
            Ok(all.filter(|stored| selector.matches(&*stored.facts.labels)).cloned().collect())
        }
        (name, None) => Ok(snapshot.find(&kind.collection, namespace, name).into_iter().cloned().collect()),
        (_, Some(_)) => Err("paramRef.name and paramRef.selector are mutually exclusive".into()),
    }
}

/// How many parameters are kept in the version of a policy.
const CONVERTED_MAX: usize = 256;

/// Parameters that a webhook brought to the version of `paramKind`, by their uid with the revision that was converted:
/// as upstream's informers do, it is asked once for each change of one. Full, all are forgotten.
#[derive(Default)]
pub(super) struct Converted(Mutex<HashMap<Uid, (Revision, Object)>>);

impl Converted {
    fn get(&self, stored: &Stored) -> Option<Object> {
        let kept = self.0.lock();
        kept.get(&stored.facts.uid)
            .filter(|(revision, _)| *revision == stored.revision)
            .map(|(_, object)| object.clone())
    }

    fn keep(&self, stored: &Stored, object: &Object) {
        let mut kept = self.0.lock();
        if kept.len() >= CONVERTED_MAX {
            kept.clear();
        }
        kept.insert(stored.facts.uid.clone(), (stored.revision, object.clone()));
    }
}

/// Stored objects in the version of their kind.
async fn read(ctx: &Context, (policy, kind): (&Policy, &Kind), found: Vec<Arc<Stored>>) -> Result<Vec<Object>, String> {
    let by_webhook = kind.custom.as_ref().is_some_and(|version| version.conversion().is_some());
    let mut objects = Vec::with_capacity(found.len());
    for stored in found {
        if let Some(object) = policy.converted.get(&stored) {
            objects.push(object);
            continue;
        }
        let mut object = Object::from_json(&stored.body.json).map_err(|error| error.to_string())?;
        let other = by_webhook && object.gvk() != kind.gvk;
        if other {
            // What cannot be listed is never there for upstream's informers.
            let converted = ctx.converted(kind, Some(object)).await.map_err(|_| unsynced(kind))?;
            object = converted.ok_or_else(|| unsynced(kind))?;
        }
        kind.behaviour.revive(&mut object).map_err(|status| status.message().to_owned())?;
        let object = kind.served(object);
        if other {
            policy.converted.keep(&stored, &object);
        }
        objects.push(object);
    }
    Ok(objects)
}

fn unsynced(kind: &Kind) -> String {
    let (version, name) = (kind.gvk.api_version(), &kind.gvk.kind);
    format!("paramKind kind `&ParamKind{{APIVersion:{version},Kind:{name},}}` not yet synced to use for admission")
}
