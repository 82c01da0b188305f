//! Rights that upstream asks for in the storage of kinds, after validation, so that no flag switches them off: to read
//! what a policy takes for parameters, to sign for a signer, to bind claims of devices and to tell of devices (Kubernetes
//! `pkg/registry/{admissionregistration,certificates,resource}`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::api::request::User;
use crate::api::{Object, Result, Status};
use crate::auth;
use crate::auth::authorize::{SUPERUSERS, refusal};
use crate::resources::Kind;

const ADMISSION: &str = "admissionregistration.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
/// What a ServiceAccount's token says of the node that its pod is on.
const NODE_OF_TOKEN: &str = "authentication.kubernetes.io/node-name";

pub(super) struct StorageRights;

impl Plugin for StorageRights {
    fn name(&self) -> &'static str {
        "StorageRights"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes
            && match (&*kind.gvk.group, &*kind.resource) {
                (ADMISSION, resource) => subresource.is_empty() && resource.contains("admissionpolic"),
                (CERTIFICATES, "podcertificaterequests") | (RESOURCE, "resourceclaims") => subresource == "status",
                (_, _) => false,
            }
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(check(ctx, attributes)))
    }
}

async fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let Some(new) = attributes.object.as_deref() else { return Ok(()) };
    let errors = match &*attributes.kind.resource {
        "podcertificaterequests" => sign(ctx, attributes, new).await,
        "resourceclaims" => claim(ctx, attributes, new).await,
        _ if attributes.user.in_group(SUPERUSERS) => Errors::new(),
        resource if resource.ends_with("bindings") => binding(ctx, attributes, new).await,
        _ => policy(ctx, attributes, new).await,
    };
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&attributes.kind.stored_as.group_kind(), new.name(), &errors))
}

/// Why a user may not do something; `None`: he may.
async fn refused(ctx: &Context, asked: &auth::Attributes) -> Option<String> {
    let denied = ctx.authorizer.authorize(asked).await.allowed().err()?;
    Some(refusal(asked, &denied.reason).message().to_owned())
}

fn asked(user: &User, verb: &str) -> auth::Attributes {
    auth::Attributes {
        user: user.clone().into(),
        verb: verb.to_owned(),
        resource_request: true,
        ..auth::Attributes::default()
    }
}

fn changed(attributes: &Attributes<'_>, new: &Object, path: &[&str]) -> bool {
    attributes.old.is_none_or(|old| old.get(path) != new.get(path))
}

async fn sign(ctx: &Context, attributes: &Attributes<'_>, new: &Object) -> Errors {
    if !changed(attributes, new, &["status"]) {
        return Errors::new();
    }
    let signer = attributes.old.map_or("", |old| old.text_at(&["spec", "signerName"]));
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let mut asked = asked(attributes.user, "sign");
        CERTIFICATES.clone_into(&mut asked.group);
        "*".clone_into(&mut asked.version);
        "signers".clone_into(&mut asked.resource);
        asked.name = name;
        if refused(ctx, &asked).await.is_none() {
            return Errors::new();
        }
    }
    let (user, signer) = (go_quote(&attributes.user.name), go_quote(signer));
    let detail = format!("User {user} is not permitted to \"sign\" for signer {signer}");
    vec![FieldError::forbidden(&Path::new("spec").child("signerName"), detail)]
}

/// Group, version and resource of a kind of parameters, and whether it is served. What is not known counts as all.
fn resource_of(ctx: &Context, policy: &Object) -> ([String; 3], bool) {
    let of = |key: &str| policy.text_at(&["spec", "paramKind", key]);
    let (group, version) = of("apiVersion").split_once('/').unwrap_or(("", of("apiVersion")));
    let served = ctx.catalog.served();
    let kind = served.find_kind(group, version, of("kind"));
    let resource = kind.map_or_else(|| "*".to_owned(), |kind| kind.resource.to_string());
    ([group.to_owned(), version.to_owned(), resource], kind.is_some())
}

fn reading(user: &User, verb: &str, [group, version, resource]: [String; 3]) -> auth::Attributes {
    auth::Attributes { group, version, resource, ..asked(user, verb) }
}

async fn policy(ctx: &Context, attributes: &Attributes<'_>, new: &Object) -> Errors {
    let kind = ["spec", "paramKind"];
    if new.get(&kind).is_none() || !changed(attributes, new, &kind) {
        return Errors::new();
    }
    let (of, _) = resource_of(ctx, new);
    let everything =
        auth::Attributes { name: "*".to_owned(), namespace: "*".to_owned(), ..reading(attributes.user, "get", of) };
    if refused(ctx, &everything).await.is_none() {
        return Errors::new();
    }
    let of = |key: &str| new.text_at(&["spec", "paramKind", key]);
    let detail = format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
        shown(attributes.user),
        of("kind"),
        of("apiVersion")
    );
    vec![FieldError::forbidden(&Path::new("spec").child("paramKind"), detail)]
}

async fn binding(ctx: &Context, attributes: &Attributes<'_>, new: &Object) -> Errors {
    let (reference, named) = (["spec", "paramRef"], ["spec", "policyName"]);
    if new.get(&reference).is_none() || !(changed(attributes, new, &reference) || changed(attributes, new, &named)) {
        return Errors::new();
    }
    let of = |key: &str| new.text_at(&["spec", "paramRef", key]).to_owned();
    let verb = if of("name").is_empty() { "list" } else { "get" };
    let policies = format!("{}ies.{ADMISSION}", attributes.kind.resource.trim_end_matches("ybindings"));
    let snapshot = ctx.store.snapshot();
    let policy_name = new.text_at(&named);
    let policy = snapshot.find(&policies, "", policy_name).and_then(|of| Object::from_json(&of.body.json).ok());
    let all = || ["*"; 3].map(str::to_owned);
    let (resource, resolved) = match policy.as_ref().filter(|policy| policy.get(&["spec", "paramKind"]).is_some()) {
        Some(policy) => resource_of(ctx, policy),
        None => (all(), true),
    };
    let read =
        auth::Attributes { name: of("name"), namespace: of("namespace"), ..reading(attributes.user, verb, resource) };
    if refused(ctx, &read).await.is_none() {
        return Errors::new();
    }
    let user = shown(attributes.user);
    let everywhere = format!(
        "to determine minimum required permissions and user {user} does not have \"{verb}\" permission for all \
                 groups, versions and resources"
    );
    let detail = match policy {
        None => format!("unable to get policy {policy_name} {everywhere}"),
        Some(policy) if !resolved => {
            let of = |key: &str| policy.text_at(&["spec", "paramKind", key]).to_owned();
            format!(
                "unable to resolve paramKind &ParamKind{{APIVersion:{},Kind:{},}} {everywhere}",
                of("apiVersion"),
                of("kind")
            )
        }
        Some(_) => {
            // Of policies that mutate, upstream says it the other way round (v1.37).
            let mutates = attributes.kind.resource.starts_with("mutating");
            let (who, what) = if mutates { (verb, user.as_str()) } else { (user.as_str(), verb) };
            format!("user {who} does not have \"{what}\" permission on the object referenced by paramRef")
        }
    };
    vec![FieldError::forbidden(&Path::new("spec").child("paramRef"), detail)]
}

/// A user as Go prints the struct.
fn shown(user: &User) -> String {
    let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}

async fn claim(ctx: &Context, attributes: &Attributes<'_>, new: &Object) -> Errors {
    let mut errors = Errors::new();
    let status = Path::new("status");
    let about = |verb: &str, subresource: &str| auth::Attributes {
        group: RESOURCE.to_owned(),
        version: attributes.target.version.clone(),
        resource: "resourceclaims".to_owned(),
        subresource: subresource.to_owned(),
        ..asked(attributes.user, verb)
    };
    let binds =
        changed(attributes, new, &["status", "allocation"]) || changed(attributes, new, &["status", "reservedFor"]);
    let why = if binds { refused(ctx, &about("update", "binding")).await } else { None };
    if let Some(why) = why {
        let detail = format!(
            "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", \
             verb=\"update\" permission: {why}"
        );
        errors.push(FieldError::forbidden(&status.child("allocation"), detail));
    }
    if new.get(&["status", "allocation"]).is_none() {
        return errors;
    }
    let mut verbs = vec!["arbitrary-node:update"];
    if on_the_node(attributes.user, new) {
        verbs.insert(0, "associated-node:update");
    }
    for driver in touched_drivers(attributes.old, new) {
        let mut first = None;
        for verb in &verbs {
            let mut asked = about(verb, "driver");
            asked.namespace.clone_from(&attributes.target.namespace);
            asked.name.clone_from(&driver);
            match refused(ctx, &asked).await {
                None => {
                    first = None;
                    break;
                }
                Some(why) => drop(first.get_or_insert(why)),
            }
        }
        if let Some(why) = first {
            let verbs = verbs.join(" ");
            let detail = format!(
                "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{verbs}]\" permission: {why}"
            );
            errors.push(FieldError::forbidden(&status.child("devices"), detail));
        }
    }
    errors
}

/// Whether a ServiceAccount's pod is on the one node for which the claim was allocated.
fn on_the_node(user: &User, claim: &Object) -> bool {
    let terms = claim.get(&["status", "allocation", "nodeSelector", "nodeSelectorTerms"]);
    let Some([term]) = terms.and_then(Value::as_array).map(Vec::as_slice) else { return false };
    let list = |key: &str| term[key].as_array().map_or(&[][..], Vec::as_slice);
    let ([], [field]) = (list("matchExpressions"), list("matchFields")) else { return false };
    let Some([node]) = field["values"].as_array().map(Vec::as_slice) else { return false };
    let of_token = user.extra.iter().find(|(key, _)| *key == NODE_OF_TOKEN).map(|(_, values)| values.as_slice());
    field["key"] == "metadata.name"
        && field["operator"] == "In"
        && user.name.starts_with("system:serviceaccount:")
        && matches!(of_token, Some([name]) if node == name.as_str() && !name.is_empty())
}

/// The drivers of whose devices more, less or something else is told.
fn touched_drivers(old: Option<&Object>, new: &Object) -> BTreeSet<String> {
    let devices =
        |claim: &Object| claim.get(&["status", "devices"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let (now, before) = (devices(new), old.map(devices).unwrap_or_default());
    let only_in = |these: &[Value], those: &[Value]| -> Vec<Value> {
        these.iter().filter(|device| !those.contains(device)).cloned().collect()
    };
    let touched = only_in(&now, &before).into_iter().chain(only_in(&before, &now));
    touched.filter_map(|device| device["driver"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    const RBAC: &str = "rbac.authorization.k8s.io";

    async fn trial() -> Trial {
        let mut trial = Trial::new().await;
        trial.user.name = "jane".to_owned();
        trial
    }

    async fn grant(trial: &Trial, rule: Value) {
        let role = json!({ "metadata": { "name": "r" }, "rules": [rule] });
        put(&trial.context.store, &format!("clusterroles.{RBAC}"), role).await;
        let binding = json!({
            "metadata": { "name": "r" }, "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": "r" },
            "subjects": [{ "kind": "User", "name": "jane" }],
        });
        put(&trial.context.store, &format!("clusterrolebindings.{RBAC}"), binding).await;
    }

    #[tokio::test]
    async fn who_writes_a_policy_may_read_its_parameters() {
        let trial = trial().await;
        let resource = "validatingadmissionpolicies";
        let kind = json!({ "apiVersion": "v1", "kind": "ConfigMap" });
        let policy = json!({ "metadata": { "name": "p" }, "spec": { "paramKind": kind } });
        let refused = trial.validate(&StorageRights, resource, policy.clone()).await.unwrap_err();
        let message = "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: spec.paramKind: \
                       Forbidden: user &{jane  [] map[]} must have \"get\" permission on all objects of the referenced \
                       paramKind (kind=ConfigMap, apiVersion=v1)";
        assert_eq!(refused.message(), message);
        grant(&trial, json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] })).await;
        trial.validate(&StorageRights, resource, policy).await.unwrap();
    }

    #[tokio::test]
    async fn a_policy_without_parameters_needs_no_right() {
        let trial = trial().await;
        let policy = json!({ "metadata": { "name": "p" }, "spec": {} });
        trial.validate(&StorageRights, "mutatingadmissionpolicies", policy).await.unwrap();
    }

    #[tokio::test]
    async fn a_binding_to_a_policy_that_is_not_there_needs_the_right_to_everything() {
        let trial = trial().await;
        let resource = "validatingadmissionpolicybindings";
        let spec = json!({ "policyName": "gone", "paramRef": { "name": "x" } });
        let binding = json!({ "metadata": { "name": "b" }, "spec": spec });
        let refused = trial.validate(&StorageRights, resource, binding.clone()).await.unwrap_err();
        assert!(refused.message().contains("unable to get policy gone to determine"), "{}", refused.message());
        grant(&trial, json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["get"] })).await;
        trial.validate(&StorageRights, resource, binding).await.unwrap();
    }

    #[tokio::test]
    async fn a_request_of_a_pod_is_answered_by_who_signs_for_the_signer() {
        let trial = trial().await;
        let request = |status: Value| json!({ "metadata": { "name": "r", "namespace": "n" }, "spec": { "signerName": "a.io/s" }, "status": status });
        let change = || (request(json!({})), request(json!({ "certificateChain": "x" })));
        let resource = "podcertificaterequests/status";
        let refused = trial.update(&StorageRights, resource, change()).await.unwrap_err();
        assert!(refused.message().contains("is not permitted to \"sign\" for signer \"a.io/s\""));
        grant(&trial, json!({ "apiGroups": [CERTIFICATES], "resources": ["signers"], "resourceNames": ["a.io/*"], "verbs": ["sign"] })).await;
        trial.update(&StorageRights, resource, change()).await.unwrap();
    }

    #[tokio::test]
    async fn a_claim_is_bound_by_who_may_bind_claims() {
        let trial = trial().await;
        let claim = |status: Value| json!({ "metadata": { "name": "c", "namespace": "n" }, "status": status });
        let change = || (claim(json!({})), claim(json!({ "allocation": {} })));
        let refused = trial.update(&StorageRights, "resourceclaims/status", change()).await.unwrap_err();
        assert!(refused.message().contains("requires resource=\"resourceclaims/binding\""), "{}", refused.message());
        grant(&trial, json!({ "apiGroups": [RESOURCE], "resources": ["resourceclaims/binding"], "verbs": ["update"] }))
            .await;
        trial.update(&StorageRights, "resourceclaims/status", change()).await.unwrap();
    }
}
