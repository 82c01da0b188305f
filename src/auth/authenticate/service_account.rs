//! ServiceAccount tokens: signed by us, for us, not expired, and what they are bound to still lives (Kubernetes
//! `pkg/serviceaccount`). Signatures are remembered, lives are looked up with every request.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::{CREDENTIAL_ID, Known, Refused, quoted};
use crate::api::Object;
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::auth::claims::{self, Bound, Claims, Reference};
use crate::auth::keys::VerifyingKey;
use crate::auth::recent::Recent;
use crate::storage::{Snapshot, Store, Stored};

/// How many verified tokens are remembered.
const TOKENS_MAX: usize = 4096;
/// How far clocks may be apart.
const LEEWAY_SECONDS: i64 = 60;
/// The issuer of tokens that live in Secrets.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Verifies ServiceAccount tokens.
pub(super) struct ServiceAccounts {
    store: Arc<dyn Store>,
    issuers: Vec<String>,
    /// What tokens without an audience are for, and what requests are held against.
    audiences: Vec<String>,
    keys: Vec<VerifyingKey>,
    /// Whether tokens that live in Secrets must be there.
    looks_up: bool,
    verified: Recent<[u8; 32], Arc<Claims>>,
}

impl ServiceAccounts {
    pub(super) fn new(
        store: Arc<dyn Store>,
        (mut issuers, keys): (Vec<String>, Vec<VerifyingKey>),
        (audiences, looks_up): (Vec<String>, bool),
    ) -> Self {
        issuers.push(LEGACY_ISSUER.to_owned());
        Self { store, issuers, audiences, keys, looks_up, verified: Recent::new(TOKENS_MAX) }
    }

    /// The user of a token that is meant for one of the audiences, and for which of them.
    pub(super) fn authenticate(
        &self,
        (token, digest): (&str, &[u8; 32]),
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Option<Known>, Refused> {
        let claims = match self.verified.get(digest) {
            Some(claims) => claims,
            None => {
                let Some(claims) = claims::read(token, &self.issuers, &self.keys)? else { return Ok(None) };
                let claims = Arc::new(claims);
                self.verified.put(*digest, claims.clone());
                claims
            }
        };
        let meant_for = if claims.aud.is_empty() { &self.audiences } else { &claims.aud };
        let shared: Vec<_> = meant_for.iter().filter(|audience| audiences.contains(audience)).cloned().collect();
        if shared.is_empty() && !self.audiences.is_empty() {
            let (token, target) = (quoted(meant_for), quoted(audiences));
            return Err(Refused(format!("token audiences {token} is invalid for the target audiences {target}")));
        }
        let snapshot = self.store.snapshot();
        let user = match (&claims.bound, claims.iss.as_str()) {
            (_, LEGACY_ISSUER) => legacy(&claims, self.looks_up.then_some((token, &snapshot)))?,
            (Some(bound), _) => {
                in_time(&claims, now)?;
                alive(bound, &snapshot, now)?;
                user(bound, &claims.jti)
            }
            (None, _) => return Err(Refused("service account UID () does not match claim ()".to_owned())),
        };
        Ok(Some(Known { user, audiences: shared }))
    }
}

fn in_time(claims: &Claims, now: Timestamp) -> Result<(), Refused> {
    let now = now.as_second();
    let refuse = |why: &str| Err(Refused(format!("service account token {why}")));
    if claims.nbf.is_some_and(|nbf| now + LEEWAY_SECONDS < nbf) {
        refuse("is not valid yet")
    } else if claims.exp.is_some_and(|exp| now - LEEWAY_SECONDS > exp) {
        refuse("has expired")
    } else if claims.iat.is_some_and(|iat| now + LEEWAY_SECONDS < iat) {
        refuse("is issued in the future")
    } else {
        Ok(())
    }
}

/// The account must be the same one; a bound Secret, Pod or Node too. What was deleted longer ago than clocks may
/// differ counts as gone, although it may wait for finalizers.
fn alive(bound: &Bound, snapshot: &Snapshot, now: Timestamp) -> Result<(), Refused> {
    let (namespace, account) = (bound.namespace.as_str(), &bound.serviceaccount);
    let found = snapshot
        .find("serviceaccounts", namespace, &account.name)
        .ok_or_else(|| Refused(format!("serviceaccounts {} not found", go_quote(&account.name))))?;
    if found.facts.uid != *account.uid {
        let (uid, claim) = (&found.facts.uid, &account.uid);
        return Err(Refused(format!("service account UID ({uid}) does not match claim ({claim})")));
    }
    if deleted_before(found, now.as_second() - LEEWAY_SECONDS) {
        return Err(Refused(format!("service account {namespace}/{} has been deleted", account.name)));
    }
    let must_live = |kind: &str, collection: &str, namespace: &str, reference: &Reference| {
        let invalidated = || Refused("service account token has been invalidated".to_owned());
        let found = snapshot.find(collection, namespace, &reference.name).ok_or_else(invalidated)?;
        if found.facts.uid != *reference.uid {
            let (uid, claim) = (&found.facts.uid, &reference.uid);
            let kind_lower = kind.to_lowercase();
            let message = format!("{kind} UID ({uid}) does not match service account {kind_lower} ref claim ({claim})");
            return Err(Refused(message));
        }
        if deleted_before(found, now.as_second() - LEEWAY_SECONDS) { Err(invalidated()) } else { Ok(()) }
    };
    if let Some(secret) = &bound.secret {
        must_live("secret", "secrets", namespace, secret)?;
    }
    match (&bound.pod, &bound.node) {
        (Some(pod), _) => must_live("pod", "pods", namespace, pod),
        (None, Some(node)) => must_live("node", "nodes", "", node),
        (None, None) => Ok(()),
    }
}

fn deleted_before(stored: &Stored, second: i64) -> bool {
    if !stored.facts.deleting {
        return false;
    }
    let object = Object::from_json(&stored.body.json).unwrap_or_default();
    let deleted = object.text_at(&["metadata", "deletionTimestamp"]).parse::<Timestamp>();
    deleted.is_ok_and(|deleted| deleted.as_second() < second)
}

fn user(bound: &Bound, jti: &str) -> User {
    let account = &bound.serviceaccount;
    let mut user = account_user(&bound.namespace, account);
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.push((format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]));
        }
    };
    // In key order.
    if !jti.is_empty() {
        add(CREDENTIAL_ID.trim_start_matches("authentication.kubernetes.io/"), &format!("JTI={jti}"));
    }
    if let Some(node) = &bound.node {
        add("node-name", &node.name);
        add("node-uid", &node.uid);
    }
    if let Some(pod) = &bound.pod {
        add("pod-name", &pod.name);
        add("pod-uid", &pod.uid);
    }
    user
}

fn account_user(namespace: &str, account: &Reference) -> User {
    let mut user = User::service_account(namespace, &account.name);
    // Everyone who is known is added to system:authenticated at the end.
    user.groups.retain(|group| group != "system:authenticated");
    user.uid.clone_from(&account.uid);
    user
}

/// A token that lives in a Secret: valid as long as the Secret holds it, where that is looked up.
fn legacy(claims: &Claims, present: Option<(&str, &Snapshot)>) -> Result<User, Refused> {
    let (namespace, name) = (claims.legacy_namespace.as_str(), claims.legacy_name.as_str());
    let required = [
        (claims.sub.as_str(), "sub"),
        (namespace, "namespace"),
        (&claims.legacy_secret, "secretName"),
        (name, "serviceAccountName"),
        (&claims.legacy_uid, "serviceAccountUID"),
    ];
    if let Some((_, missing)) = required.iter().find(|(claim, _)| claim.is_empty()) {
        return Err(Refused(format!("{missing} claim is missing")));
    }
    if claims.sub != format!("system:serviceaccount:{namespace}:{name}") {
        return Err(Refused("sub claim is invalid".to_owned()));
    }
    let user = account_user(namespace, &Reference { name: name.to_owned(), uid: claims.legacy_uid.clone() });
    match present {
        Some(present) => lives(claims, present).map(|()| user),
        None => Ok(user),
    }
}

/// Whether the Secret holds the token and the account is the same one.
fn lives(claims: &Claims, (token, snapshot): (&str, &Snapshot)) -> Result<(), Refused> {
    let (namespace, name) = (claims.legacy_namespace.as_str(), claims.legacy_name.as_str());
    let invalidated = || Refused("Token has been invalidated".to_owned());
    let secret = snapshot.find("secrets", namespace, &claims.legacy_secret).ok_or_else(invalidated)?;
    if secret.facts.deleting {
        return Err(invalidated());
    }
    let object = Object::from_json(&secret.body.json).map_err(|_| invalidated())?;
    let held = object.get(&["data", "token"]).and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
    // The token's signature was verified, so that nothing is learned from the time this takes.
    if held.as_deref() != Some(token.as_bytes()) {
        return Err(Refused("Token does not match server's copy".to_owned()));
    }
    let account = snapshot
        .find("serviceaccounts", namespace, name)
        .ok_or_else(|| Refused(format!("serviceaccounts {} not found", go_quote(name))))?;
    if account.facts.deleting {
        return Err(Refused(format!("ServiceAccount {namespace}/{name} has been deleted")));
    }
    if account.facts.uid != *claims.legacy_uid {
        let (uid, claim) = (&account.facts.uid, &claims.legacy_uid);
        return Err(Refused(format!("ServiceAccount UID ({uid}) does not match claim ({claim})")));
    }
    if let Some(since) = secret.facts.label("kubernetes.io/legacy-token-invalid-since")
        && !since.is_empty()
    {
        let secret = &claims.legacy_secret;
        return Err(Refused(format!(
            "the token in secret {namespace}/{secret} for service account {namespace}/{name} has been marked invalid. \
             Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the \
             'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token"
        )));
    }
    Ok(())
}
