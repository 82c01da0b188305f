//! TokenRequest: tokens for ServiceAccounts, bound to a Pod, a Node or a Secret if asked (Kubernetes
//! `pkg/registry/core/serviceaccount/storage/token.go`).

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Error;
use super::claims::{self, Bound, Claims, Reference};
use super::keys::SigningKey;
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::api::{GroupKind, GroupResource, GroupVersionKind, Object, Result, Status};
use crate::storage::{Snapshot, Stored};

/// What the kubelet asks for by default; such tokens live longer than they say, and are watched from then on.
const WARN_ONLY_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;
const DEFAULT_SECONDS: i64 = 3600;

/// Issues tokens.
pub struct Tokens {
    pub issuer: String,
    /// What a token is for when the request does not say.
    pub audiences: Vec<String>,
    pub key: Arc<SigningKey>,
    /// `--service-account-max-token-expiration` in seconds.
    pub expiration_max_seconds: Option<i64>,
    /// `--service-account-extend-token-expiration`.
    pub extend: bool,
    /// A request may name the uid of its account, which is checked then.
    pub checks_uid: bool,
}

/// What a token is bound to.
#[derive(Default)]
struct BoundTo {
    pod: Option<Reference>,
    node: Option<Reference>,
    secret: Option<Reference>,
}

impl Tokens {
    /// How long a token lives whose request does not say.
    pub fn default_request(request: &mut Object) {
        if request.int_at(&["spec", "expirationSeconds"]).is_none() {
            request.set(&["spec", "expirationSeconds"], DEFAULT_SECONDS);
        }
    }

    /// Completes a `TokenRequest` for a ServiceAccount and checks it.
    ///
    /// # Errors
    /// Upstream's statuses for a request that does not fit the account or the limits.
    pub fn check(&self, account: &Stored, request: &mut Object, now: Timestamp) -> Result<()> {
        self.fill(account, request, now)?;
        let errors = validate(request);
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&kind(), "", &errors)) }
    }

    /// The answer to a checked `TokenRequest`, and the warnings that go with it.
    ///
    /// # Errors
    /// Upstream's statuses for a request that does not fit the object to which the token is to be bound.
    pub fn issue(
        &self,
        (snapshot, account): (&Snapshot, &Stored),
        mut request: Object,
        now: Timestamp,
    ) -> Result<(Object, Vec<String>)> {
        let bound = bind(snapshot, account, &request)?;
        let (given, uid) = (request.uid().to_owned(), &account.facts.uid);
        let stranger = given != uid.to_string();
        let mut warnings: Vec<String> = Vec::new();
        if stranger {
            warnings.push(format!(
                "the UID in the token request ({given}) does not match the UID of the service account ({uid}) but \
                 TokenRequestServiceAccountUIDValidation is not enabled. In the future, this will return a conflict error"
            ));
        }
        let mut seconds = request.int_at(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECONDS);
        if let Some(max) = self.expiration_max_seconds.filter(|max| *max > 0 && seconds > *max) {
            warnings.push(format!("requested expiration of {seconds} seconds shortened to {max} seconds"));
            seconds = max;
            request.set(&["spec", "expirationSeconds"], max);
        }
        let audiences = texts(&request, &["spec", "audiences"]);
        let ours = audiences.iter().all(|audience| self.audiences.contains(audience));
        let extended = self.extend && bound.pod.is_some() && seconds == WARN_ONLY_SECONDS && ours;
        let life = if extended { EXTENDED_SECONDS } else { seconds };
        let (namespace, name) = (&account.key.namespace, &account.key.name);
        let claims = Claims {
            aud: audiences,
            exp: Some(now.as_second() + life),
            iat: Some(now.as_second()),
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            bound: Some(Bound {
                namespace: (**namespace).to_owned(),
                node: bound.node,
                pod: bound.pod,
                secret: bound.secret,
                serviceaccount: reference(account),
                warnafter: extended.then(|| now.as_second() + seconds),
            }),
            nbf: Some(now.as_second()),
            sub: format!("system:serviceaccount:{namespace}:{name}"),
            ..Claims::default()
        };
        let token = claims::sign(&self.key, &claims)
            .map_err(|error| Status::internal(format!("failed to generate token: {error}")))?;
        let expires = Timestamp::from_second(now.as_second() + seconds).unwrap_or(Timestamp::MAX);
        request.set(&["status"], json!({ "token": token, "expirationTimestamp": expires.to_string() }));
        Ok((request, warnings))
    }

    /// A token that lives in a Secret of type `kubernetes.io/service-account-token`: without end, valid as long as
    /// the Secret holds it.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn legacy(&self, account: &Stored, secret: &str) -> std::result::Result<String, Error> {
        let (namespace, name) = (&account.key.namespace, &account.key.name);
        let claims = Claims {
            iss: "kubernetes/serviceaccount".to_owned(),
            legacy_namespace: (**namespace).to_owned(),
            legacy_secret: secret.to_owned(),
            legacy_name: (**name).to_owned(),
            legacy_uid: account.facts.uid.to_string(),
            sub: format!("system:serviceaccount:{namespace}:{name}"),
            ..Claims::default()
        };
        claims::sign(&self.key, &claims)
    }

    /// Fits the request to its account.
    fn fill(&self, account: &Stored, request: &mut Object, now: Timestamp) -> Result<()> {
        let uid = account.facts.uid.to_string();
        let (namespace, name, uid) = (&*account.key.namespace, &*account.key.name, &*uid);
        for (field, given, own, what) in [
            ("name", request.name(), name, "must match the service account name if specified"),
            ("namespace", request.namespace(), namespace, "must match the service account namespace if specified"),
        ] {
            if !given.is_empty() && given != own {
                let metadata = Path::new("metadata");
                let error = FieldError::invalid(&metadata.child(field), given, what);
                return Err(Status::invalid(&kind(), name, &[error]));
            }
        }
        if self.checks_uid && !request.uid().is_empty() && request.uid() != uid {
            let given = request.uid();
            let why =
                format!("the UID in the token request ({given}) does not match the UID of the service account ({uid})");
            return Err(Status::conflict(&resource("authentication.k8s.io", "TokenRequest"), name, &why));
        }
        if texts(request, &["spec", "audiences"]).is_empty() {
            request.set(&["spec", "audiences"], json!(self.audiences));
        }
        Self::default_request(request);
        request.set(&["metadata", "name"], name);
        request.set(&["metadata", "namespace"], namespace);
        if request.uid().is_empty() {
            request.set(&["metadata", "uid"], uid);
        }
        let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
        request.set(&["metadata", "creationTimestamp"], second.to_string());
        // As Go writes a status that has nothing.
        request.set(&["status"], json!({ "token": "", "expirationTimestamp": null }));
        Ok(())
    }
}

fn validate(request: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let path = spec.child("expirationSeconds");
    let seconds = request.int_at(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECONDS);
    if seconds < 600 {
        errors.push(FieldError::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > 1 << 32 {
        errors.push(FieldError::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    let given = request.get(&["spec", "attestations"]);
    let count = given.and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if is_of_webhooks(request) {
        let audiences = texts(request, &["spec", "audiences"]);
        if audiences.len() != 1 {
            let why = "must be length 1 when bound to a webhook config";
            errors.push(FieldError::invalid(&spec.child("audiences"), json!(audiences), why));
        }
        if count != 1 {
            let why = "webhook bound requests require exactly one admissionReviewAPIGroups attestation";
            let given = given.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&spec.child("attestations"), given, why));
        }
        return errors;
    }
    if let Some(given) = given.filter(|_| count > 0) {
        let why = "attestations may only be specified with a webhook bound object reference";
        return vec![FieldError::invalid(&spec.child("attestations"), given.clone(), why)];
    }
    errors
}

/// Whether a token is to be bound to a configuration of webhooks; the gate for that is off, so that such a request is
/// refused when it is otherwise right.
fn is_of_webhooks(request: &Object) -> bool {
    let text = |field| request.text_at(&["spec", "boundObjectRef", field]);
    let kind = matches!(text("kind"), "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration");
    kind && text("apiVersion") == "admissionregistration.k8s.io/v1"
}

/// Looks up what the request wants the token bound to.
fn bind(snapshot: &Snapshot, account: &Stored, request: &Object) -> Result<BoundTo> {
    if request.get(&["spec", "boundObjectRef"]).is_none_or(Value::is_null) {
        return Ok(BoundTo::default());
    }
    let text = |field| request.text_at(&["spec", "boundObjectRef", field]);
    let (namespace, name) = (&*account.key.namespace, text("name"));
    let gvk = GroupVersionKind::parse(text("apiVersion"), text("kind"));
    let find = |collection: &str, namespace: &str| {
        if name.is_empty() {
            return Err(Status::bad_request("Name parameter required."));
        }
        let found = snapshot.find(collection, namespace, name);
        found.cloned().ok_or_else(|| Status::not_found(&resource("", collection), name))
    };
    let mut bound = BoundTo::default();
    let found = match (gvk.group.as_ref(), gvk.kind.as_ref()) {
        ("", "Pod") => {
            let pod = find("pods", namespace)?;
            let object = Object::from_json(&pod.body.json).map_err(Status::internal)?;
            if object.text_at(&["spec", "serviceAccountName"]) != &*account.key.name {
                let account = go_quote(&account.key.name);
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {account} to pod running with different serviceaccount name."
                )));
            }
            let node = object.text_at(&["spec", "nodeName"]);
            bound.node = (!node.is_empty()).then(|| {
                let uid = snapshot.find("nodes", "", node).map(|node| node.facts.uid.to_string());
                Reference { name: node.to_owned(), uid: uid.unwrap_or_default() }
            });
            bound.pod = Some(reference(&pod));
            pod
        }
        ("", "Node") => {
            let node = find("nodes", "")?;
            bound.node = Some(reference(&node));
            node
        }
        ("", "Secret") => {
            let secret = find("secrets", namespace)?;
            bound.secret = Some(reference(&secret));
            secret
        }
        _ => return Err(Status::bad_request(format!("cannot bind token to object of type {gvk}"))),
    };
    let (wanted, uid) = (text("uid"), &found.facts.uid);
    if !wanted.is_empty() && *uid != *wanted {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict(&resource(&gvk.group, &gvk.kind), name, &why));
    }
    Ok(bound)
}

fn kind() -> GroupKind {
    GroupKind { group: "authentication.k8s.io".into(), kind: "TokenRequest".into() }
}

fn resource(group: &str, resource: &str) -> GroupResource {
    GroupResource { group: group.to_owned().into(), resource: resource.to_owned().into() }
}

fn reference(stored: &Stored) -> Reference {
    Reference { name: (*stored.key.name).to_owned(), uid: stored.facts.uid.to_string() }
}

fn texts(object: &Object, path: &[&str]) -> Vec<String> {
    let list = object.get(path).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}
