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
}

impl Asking {
    /// For the user of a request.
    pub fn new(authorizer: &Arc<dyn Authorizer>, user: &User) -> Self {
        Self { authorizer: authorizer.clone(), user: Arc::new(user.clone()), kept: Mutex::default() }
    }

    fn ask(&self, request: &cel::Request) -> cel::Decision {
        let user = match &request.service_account {
            Some((namespace, name)) => Arc::new(account(namespace, name)),
            None => self.user.clone(),
        };
        let attributes = match &request.path {
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
        };
        // Our authorizers look at what is in memory and never wait.
        match self.authorizer.authorize(&attributes).now_or_never() {
            Some(Decision::Allow { reason }) => cel::Decision { allowed: true, reason, error: None },
            Some(Decision::Deny { reason } | Decision::NoOpinion { reason }) => {
                cel::Decision { allowed: false, reason, error: None }
            }
            None => cel::Decision { error: Some("the authorizer did not answer".to_owned()), ..Default::default() },
        }
    }
}

impl cel::Authorizer for Asking {
    fn authorize(&self, request: &cel::Request) -> cel::Decision {
        if let Some(known) = self.kept.lock().get(request) {
            return known.clone();
        }
        let decision = self.ask(request);
        let mut kept = self.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.insert(request.clone(), decision.clone());
        }
        decision
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
