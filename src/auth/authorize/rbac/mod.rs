//! Role-based access control: roles and bindings, read from the store and compiled by subject. Compiled again only
//! when one of the four collections has changed; a decision is then a few hash look-ups.

mod escalation;
mod policies;
mod rule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::super::{Attributes, Authorizer, Decision, Rules};
use crate::api::request::User;
use crate::storage::Store;

pub use escalation::{confirm_no_escalation, full_authority, uncovered};
pub use policies::{Policies, RoleRef};
pub use rule::PolicyRule;

/// The collections that RBAC reads.
pub const COLLECTIONS: [&str; 4] = [
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];

/// The `RBAC` authorizer.
pub struct Rbac {
    store: Arc<dyn Store>,
    compiled: ArcSwap<Policies>,
    /// Held while policies are compiled, so that one change is compiled once; protects no data.
    compiling: Mutex<()>,
}

impl Rbac {
    /// Decides by the roles and bindings in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, compiled: ArcSwap::default(), compiling: Mutex::new(()) }
    }

    /// The roles and bindings of now, compiled.
    pub fn policies(&self) -> Arc<Policies> {
        let snapshot = self.store.snapshot();
        let compiled = self.compiled.load();
        if compiled.current(&snapshot) {
            return arc_swap::Guard::into_inner(compiled);
        }
        drop(compiled);
        let _one_at_a_time = self.compiling.lock();
        let present = self.compiled.load_full();
        let snapshot = self.store.snapshot();
        if present.current(&snapshot) {
            return present;
        }
        let next = Arc::new(present.next(&snapshot));
        self.compiled.store(next.clone());
        next
    }
}

impl Authorizer for Rbac {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(self.policies().decide(attributes)))
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        self.policies().rules(user, namespace)
    }
}
