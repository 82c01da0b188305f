//! What the expressions of policies and webhooks ask the authorizers of the server.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use parking_lot::Mutex;

use super::Attributes;
use crate::api::cel;
use crate::api::request::User;
use crate::auth::{self, Authorizer, Decision};

/// How many answers are kept during one request.
const KEPT_MAX: usize = 256;

/// The authorizers of the server, for the user of one request.
pub struct Asking {
    authorizer: Arc<dyn Authorizer>,
    user: Arc<User>,
    /// Answers to what was asked before. Held for a look-up or an insertion only; full, nothing more is kept.
    kept: Mutex<HashMap<cel::Request, cel::Decision>>,
    /// What an expression asked that takes a while to answer. Held for an exchange.
    open: Mutex<Option<cel::Request>>,
}

impl Asking {
    /// For the user of a request.
    pub fn new(authorizer: &Arc<dyn Authorizer>, user: &User) -> Self {
        Self {
            authorizer: authorizer.clone(),
            user: Arc::new(user.clone()),
            kept: Mutex::default(),
            open: Mutex::default(),
        }
    }

    /// The outcome of expressions. Those that ask what a server outside must answer are begun anew with the answer, so
    /// that no thread waits; `evaluate` changes nothing.
    pub async fn settled<T>(&self, mut evaluate: impl FnMut() -> T) -> T {
        for _ in 0..KEPT_MAX {
            let outcome = evaluate();
            let Some(request) = self.open.lock().take() else { return outcome };
            let decision = decision(self.authorizer.authorize(&self.attributes(&request)).await);
            self.kept.lock().insert(request, decision);
        }
        evaluate()
    }

    fn attributes(&self, request: &cel::Request) -> auth::Attributes {
        let user = match &request.service_account {
            Some((namespace, name)) => Arc::new(account(namespace, name)),
            None => self.user.clone(),
        };
        match &request.path {
            Some(path) => {
                auth::Attributes { user, verb: request.verb.clone(), path: path.clone(), ..auth::Attributes::default() }
            }
            None => auth::Attributes {
                user,
                verb: request.verb.clone(),
                resource_request: true,
                group: request.group.clone(),
                version: "*".to_owned(),
                resource: request.resource.clone(),
                subresource: request.subresource.clone(),
                namespace: request.namespace.clone(),
                name: request.name.clone(),
                path: String::new(),
                field_selector: request.field_selector.clone(),
                label_selector: request.label_selector.clone(),
            },
        }
    }
}

impl cel::Authorizer for Asking {
    fn authorize(&self, request: &cel::Request) -> cel::Decision {
        if let Some(known) = self.kept.lock().get(request) {
            return known.clone();
        }
        // Most authorizers look at what is in memory and do not wait; a call that is begun here is given up.
        let attributes = self.attributes(request);
        let Some(decided) = self.authorizer.authorize(&attributes).now_or_never() else {
            *self.open.lock() = Some(request.clone());
            return cel::Decision { error: Some("the authorizer did not answer".to_owned()), ..Default::default() };
        };
        let decision = decision(decided);
        let mut kept = self.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.insert(request.clone(), decision.clone());
        }
        decision
    }
}

/// An answer as expressions see it.
fn decision(decided: Decision) -> cel::Decision {
    let reason_of = |reason| cel::Decision { allowed: false, reason, error: None };
    match decided {
        Decision::Allow { reason } => cel::Decision { allowed: true, ..reason_of(reason) },
        Decision::Deny { reason } | Decision::NoOpinion { reason } => reason_of(reason),
        Decision::Failed { reason, error, .. } => cel::Decision { error: Some(error), ..reason_of(reason) },
    }
}

/// An account as it is asked for by name: without the group of all who are authenticated.
fn account(namespace: &str, name: &str) -> User {
    let mut user = User::service_account(namespace, name);
    user.groups.retain(|group| group != "system:authenticated");
    user
}

impl Attributes<'_> {
    /// `authorizer.requestResource`: the resource of the request itself.
    pub fn request_resource(&self) -> cel::Request {
        let target = self.target;
        cel::Request {
            group: target.group.clone(),
            resource: target.resource.clone(),
            subresource: target.subresource.clone(),
            namespace: self.namespace().to_owned(),
            name: self.object_name().to_owned(),
            ..cel::Request::default()
        }
    }
}
