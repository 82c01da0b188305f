//! `ServiceAccount`: every pod runs as an account of its namespace and has its token at hand (Kubernetes
//! `plugin/pkg/admission/serviceaccount`).

use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{Object, Result, Status};
use crate::resources::Kind;

const DEFAULT: &str = "default";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";
const TOKEN_SECONDS: i64 = 3607;
/// The account `default` is made by a controller when it sees a new namespace; a pod that comes sooner waits for it.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        kind.resource == "pods"
            && kind.gvk.group.is_empty()
            && match operation {
                Operation::Create => subresource.is_empty(),
                Operation::Update => subresource == "ephemeralcontainers",
                Operation::Delete | Operation::Connect => false,
            }
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(admit(ctx, attributes)))
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(validate(ctx, attributes)))
    }
}

async fn admit(ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
    if attributes.operation != Operation::Create {
        return Ok(());
    }
    let Some(pod) = attributes.object.as_deref_mut() else { return Ok(()) };
    if pod.annotation(MIRROR).is_some() {
        let verdict = mirror(pod);
        return verdict.map_err(|why| attributes.forbidden(why));
    }
    if account_name(pod).is_empty() {
        pod.set(&["spec", "serviceAccountName"], DEFAULT);
        pod.set(&["spec", "serviceAccount"], DEFAULT);
    }
    let account = account(ctx, attributes, &["automountServiceAccountToken", "imagePullSecrets"]).await?;
    let Some(pod) = attributes.object.as_deref_mut() else { return Ok(()) };
    let automount = ["spec", "automountServiceAccountToken"];
    let wish = pod.get(&automount).and_then(Value::as_bool);
    if wish.or_else(|| account.get(&automount[1..]).and_then(Value::as_bool)).unwrap_or(true) {
        mount_token(pod);
    }
    if list(pod, &["spec", "imagePullSecrets"]).next().is_none() {
        let secrets: Vec<_> = list(&account, &["imagePullSecrets"]).map(|s| json!({ "name": s["name"] })).collect();
        if !secrets.is_empty() {
            pod.set(&["spec", "imagePullSecrets"], secrets);
        }
    }
    Ok(())
}

async fn validate(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let Some(pod) = attributes.object.as_deref() else { return Ok(()) };
    if attributes.operation == Operation::Create && pod.annotation(MIRROR).is_some() {
        return mirror(pod).map_err(|why| attributes.forbidden(why));
    }
    if account_name(pod).is_empty() {
        let (namespace, name) = (&attributes.target.namespace, pod.name());
        return Err(attributes.forbidden(format!("no service account specified for pod {namespace}/{name}")));
    }
    let account = account(ctx, attributes, &[ENFORCE_MOUNTABLE]).await?;
    // Go's strconv.ParseBool.
    let enforced = account.annotation(ENFORCE_MOUNTABLE);
    if !enforced.is_some_and(|value| ["1", "t", "T", "true", "TRUE", "True"].contains(&value)) {
        return Ok(());
    }
    let limited = match attributes.operation {
        Operation::Create => mountable(&account, pod),
        Operation::Update | Operation::Delete | Operation::Connect => {
            mountable_in_containers(&account, pod, ("ephemeralContainers", "ephemeral container"))
        }
    };
    limited.map_err(|why| attributes.forbidden(why))
}

fn account_name(pod: &Object) -> &str {
    pod.text_at(&["spec", "serviceAccountName"])
}

fn list<'a>(object: &'a Object, path: &[&str]) -> impl Iterator<Item = &'a Value> {
    object.get(path).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or("")
}

/// The pod's account; empty if it has none of the fields or annotations that are asked for, as most do.
async fn account(ctx: &Context, attributes: &Attributes<'_>, wanted: &[&str]) -> Result<Object> {
    let name = attributes.object.as_deref().map_or("", account_name);
    let namespace = attributes.target.namespace.as_str();
    let attempts = if name == DEFAULT { ATTEMPTS_MAX } else { 1 };
    for attempt in 0..attempts {
        if attempt > 0 {
            ctx.clock.sleep(ATTEMPT_PAUSE).await;
        }
        if let Some(stored) = ctx.store.snapshot().find("serviceaccounts", namespace, name) {
            let text = str::from_utf8(&stored.body.json).map_err(Status::internal)?;
            if !wanted.iter().any(|word| text.contains(word)) {
                return Ok(Object::default());
            }
            return Object::from_json(text.as_bytes()).map_err(Status::internal);
        }
    }
    let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
    Err(attributes.forbidden(why))
}

/// Mounts the token where nothing else is mounted, from one volume.
fn mount_token(pod: &mut Object) {
    let present = list(pod, &["spec", "volumes"]).map(|volume| text(volume, &["name"]));
    let present = present.into_iter().find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
    let volume = present.clone().unwrap_or_else(generated_name);
    let mut needed = false;
    for containers in ["initContainers", "containers"] {
        let spec = pod.object_at(&["spec"]);
        let containers = spec.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let slot = container.entry("volumeMounts").or_insert(Value::Null);
            if !slot.is_array() {
                *slot = json!([]);
            }
            let Some(mounts) = slot.as_array_mut() else { continue };
            if !mounts.iter().any(|mount| text(mount, &["mountPath"]) == MOUNT_PATH) {
                mounts.push(json!({ "name": volume, "readOnly": true, "mountPath": MOUNT_PATH }));
                needed = true;
            }
        }
    }
    if !needed || present.is_some() {
        return;
    }
    let slot = pod.object_at(&["spec"]).entry("volumes").or_insert(Value::Null);
    if !slot.is_array() {
        *slot = json!([]);
    }
    if let Some(volumes) = slot.as_array_mut() {
        volumes.push(token_volume(&volume));
    }
}

fn generated_name() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    let letters = (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]));
    VOLUME_PREFIX.chars().chain(letters).collect()
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "sources": [
                { "serviceAccountToken": { "expirationSeconds": TOKEN_SECONDS, "path": "token" } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                { "downwardAPI": { "items": [
                    { "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } },
                ] } },
            ],
            "defaultMode": 420,
        },
    })
}

/// A mirror pod is a kubelet's own; it must not reach into the cluster through it.
fn mirror(pod: &Object) -> std::result::Result<(), &'static str> {
    if !account_name(pod).is_empty() {
        return Err("a mirror pod may not reference service accounts");
    }
    if crate::auth::authorize::references_secrets(pod) {
        return Err("a mirror pod may not reference secrets");
    }
    let projections = list(pod, &["spec", "volumes"]).filter_map(|volume| volume.pointer("/projected/sources"));
    let mut sources = projections.filter_map(Value::as_array).flatten();
    if sources.any(|source| source.get("serviceAccountToken").is_some_and(|token| !token.is_null())) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// Of an account that says so, a pod may use only the secrets that the account names.
fn mountable(account: &Object, pod: &Object) -> std::result::Result<(), String> {
    let who = account.name();
    let named = |secret: &str| list(account, &["secrets"]).any(|reference| text(reference, &["name"]) == secret);
    for volume in list(pod, &["spec", "volumes"]).filter(|volume| volume.get("secret").is_some_and(|s| !s.is_null())) {
        let secret = text(volume, &["secret", "secretName"]);
        if !named(secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {who} does not \
                 reference that secret"
            ));
        }
    }
    mountable_in_containers(account, pod, ("initContainers", "init container"))?;
    mountable_in_containers(account, pod, ("containers", "container"))?;
    let pull = |secret: &str| list(account, &["imagePullSecrets"]).any(|r| text(r, &["name"]) == secret);
    for (index, secret) in list(pod, &["spec", "imagePullSecrets"]).map(|r| text(r, &["name"])).enumerate() {
        if !pull(secret) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {who} does not \
                 reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

fn mountable_in_containers(
    account: &Object,
    pod: &Object,
    (field, what): (&str, &str),
) -> std::result::Result<(), String> {
    let who = account.name();
    let named = |secret: &str| list(account, &["secrets"]).any(|reference| text(reference, &["name"]) == secret);
    let refuse = |by: String, secret: &str| {
        Err(format!(
            "{by} referencing secret.secretName=\"{secret}\" is not allowed because service account {who} does not \
             reference that secret"
        ))
    };
    for container in list(pod, &["spec", field]) {
        let name = text(container, &["name"]);
        let items = |field| container.get(field).and_then(Value::as_array).into_iter().flatten();
        for env in items("env").filter(|env| env.pointer("/valueFrom/secretKeyRef").is_some_and(|r| !r.is_null())) {
            let secret = text(env, &["valueFrom", "secretKeyRef", "name"]);
            if !named(secret) {
                return refuse(format!("{what} {name} with envVar {}", text(env, &["name"])), secret);
            }
        }
        for source in items("envFrom").filter(|source| source.get("secretRef").is_some_and(|r| !r.is_null())) {
            let secret = text(source, &["secretRef", "name"]);
            if !named(secret) {
                return refuse(format!("{what} {name} with envFrom"), secret);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    async fn trial(account: Value) -> Trial {
        let trial = Trial::new().await;
        let mut account = account;
        account["metadata"]["namespace"] = json!("web");
        account["metadata"]["name"] = json!("default");
        put(&trial.context.store, "serviceaccounts", account).await;
        trial
    }

    fn pod(spec: Value) -> Value {
        json!({ "metadata": { "namespace": "web", "name": "p" }, "spec": spec })
    }

    #[tokio::test]
    async fn a_pod_gets_the_default_account_and_its_token() {
        let trial = trial(json!({ "imagePullSecrets": [{ "name": "hub" }] })).await;
        let given = json!({ "containers": [{ "name": "a" }], "initContainers": [{ "name": "b" }] });
        let pod = trial.admit(&ServiceAccount, "pods", pod(given)).await.unwrap();
        assert_eq!(pod.text_at(&["spec", "serviceAccountName"]), "default");
        assert_eq!(pod.text_at(&["spec", "serviceAccount"]), "default");
        assert_eq!(pod.get(&["spec", "imagePullSecrets"]), Some(&json!([{ "name": "hub" }])));
        let volume = &pod.get(&["spec", "volumes"]).unwrap()[0];
        let name = volume["name"].as_str().unwrap();
        assert_eq!(name.len(), VOLUME_PREFIX.len() + 5);
        assert_eq!(volume, &token_volume(name));
        let mount = json!([{ "name": name, "readOnly": true, "mountPath": MOUNT_PATH }]);
        assert_eq!(pod.get(&["spec", "containers"]).unwrap()[0]["volumeMounts"], mount);
        assert_eq!(pod.get(&["spec", "initContainers"]).unwrap()[0]["volumeMounts"], mount);
    }

    #[tokio::test]
    async fn the_pods_wish_about_the_token_wins_over_the_accounts() {
        let trial = trial(json!({ "automountServiceAccountToken": false })).await;
        let mounted = async |spec: Value| {
            let pod = trial.admit(&ServiceAccount, "pods", pod(spec)).await.unwrap();
            pod.get(&["spec", "volumes"]).is_some()
        };
        let containers = json!([{ "name": "a" }]);
        assert!(!mounted(json!({ "containers": containers })).await);
        assert!(mounted(json!({ "containers": containers, "automountServiceAccountToken": true })).await);
        let own = json!([{ "name": "a", "volumeMounts": [{ "name": "x", "mountPath": MOUNT_PATH }] }]);
        assert!(!mounted(json!({ "containers": own, "automountServiceAccountToken": true })).await);
    }

    #[tokio::test]
    async fn an_account_that_is_not_there_is_refused_in_upstreams_words() {
        let trial = trial(json!({})).await;
        let refused =
            trial.admit(&ServiceAccount, "pods", pod(json!({ "serviceAccountName": "bot" }))).await.unwrap_err();
        let message =
            "pods \"p\" is forbidden: error looking up service account web/bot: serviceaccount \"bot\" not found";
        assert_eq!(refused.message(), message);
    }

    #[tokio::test]
    async fn an_account_may_restrict_the_secrets_of_its_pods() {
        let annotations = json!({ ENFORCE_MOUNTABLE: "true" });
        let account = json!({ "metadata": { "annotations": annotations }, "secrets": [{ "name": "own" }] });
        let trial = trial(account).await;
        let check = async |spec: Value, why: Option<&str>| {
            let refused = trial.validate(&ServiceAccount, "pods", pod(spec)).await.err();
            let message = why.map(|why| format!("pods \"p\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        let volume =
            |name: &str| json!({ "serviceAccountName": "default", "volumes": [{ "secret": { "secretName": name } }] });
        check(volume("own"), None).await;
        let why = "volume with secret.secretName=\"other\" is not allowed because service account default does not \
                   reference that secret";
        check(volume("other"), Some(why)).await;
    }
}
