//! One plugin on one object, for the tests of this folder.

use std::sync::Arc;

use serde_json::Value;

use super::{Attributes, Context, Operation, Plugin, Reinvocation};
use crate::api::request::{Options, Target, User};
use crate::api::{Object, Result};
use crate::auth::authorize::{Chain, Settings};
use crate::auth::fixture::empty_store;
use crate::base::SystemClock;
use crate::remote::Remote;
use crate::resources::facts::Facts;
use crate::resources::{Catalog, Kind, RuntimeConfig, Served, built_in};
use crate::storage::Write;

/// Why a test of a hook fails when there is none.
const HOOK: &str = "the plugin has the hook";

/// Runs plugins against a store in memory. Objects are in the namespace that they name.
pub(super) struct Trial {
    pub context: Context,
    pub user: User,
    served: Served,
}

impl Trial {
    pub(super) async fn new() -> Self {
        let store = empty_store().await;
        let clock = SystemClock::shared();
        let chain = Chain::open(&Settings::of_modes(&["RBAC"]), &store, &clock);
        let authorizer = Arc::new(chain.expect("roles need no files"));
        let served = || built_in(&Facts::load(), &RuntimeConfig::default());
        let remote = Arc::new(Remote::new(store.clone(), clock.clone()));
        let context = Context {
            store,
            clock,
            authorizer,
            catalog: Arc::new(Catalog::new(served())),
            remote,
            measures: Arc::default(),
        };
        Self { context, user: User::default(), served: served() }
    }

    /// Creates, up to and with `admit`.
    pub(super) async fn admit(&self, plugin: &dyn Plugin, resource: &str, object: Value) -> Result<Object> {
        let mut object = Object::from_value(object).unwrap();
        let (kind, target) = self.find(resource, &object);
        assert!(plugin.handles(Operation::Create, &kind, ""), "{} does not handle {resource}", plugin.name());
        let mut attributes = self.attributes(&kind, &target, (Some(&mut object), None));
        plugin.admit(&self.context, &mut attributes).done().await.expect(HOOK)?;
        Ok(object)
    }

    /// Creates, `validate` alone; gives the companion writes.
    pub(super) async fn validate(&self, plugin: &dyn Plugin, resource: &str, object: Value) -> Result<Vec<Write>> {
        let mut object = Object::from_value(object).unwrap();
        let (kind, target) = self.find(resource, &object);
        assert!(plugin.handles(Operation::Create, &kind, ""), "{} does not handle {resource}", plugin.name());
        let mut attributes = self.attributes(&kind, &target, (Some(&mut object), None));
        plugin.validate(&self.context, &mut attributes).done().await.expect(HOOK)?;
        Ok(attributes.companions)
    }

    /// Updates, `validate` alone: the old and the new state. The resource may name a subresource.
    pub(super) async fn update(
        &self,
        plugin: &dyn Plugin,
        resource: &str,
        (old, new): (Value, Value),
    ) -> Result<Vec<Write>> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (old, mut new) = (Object::from_value(old).unwrap(), Object::from_value(new).unwrap());
        let (kind, mut target) = self.find(resource, &new);
        target.subresource = subresource.to_owned();
        target.name = old.name().to_owned();
        assert!(plugin.handles(Operation::Update, &kind, subresource), "{} does not handle {resource}", plugin.name());
        let mut attributes = self.attributes(&kind, &target, (Some(&mut new), Some(&old)));
        plugin.validate(&self.context, &mut attributes).done().await.expect(HOOK)?;
        Ok(attributes.companions)
    }

    fn attributes<'a>(
        &'a self,
        kind: &'a Kind,
        target: &'a Target,
        (object, old): (Option<&'a mut Object>, Option<&'a Object>),
    ) -> Attributes<'a> {
        Attributes {
            operation: if old.is_some() { Operation::Update } else { Operation::Create },
            user: &self.user,
            target,
            kind,
            object,
            old,
            options: Options::None,
            dry_run: false,
            reinvocation: Reinvocation::default(),
            annotations: Vec::new(),
            warnings: Vec::new(),
            missing_namespace: None,
            companions: Vec::new(),
        }
    }

    fn find(&self, resource: &str, object: &Object) -> (Arc<Kind>, Target) {
        let kind = self.served.kinds().find(|kind| kind.resource == resource).unwrap().clone();
        let target = Target {
            group: kind.gvk.group.to_string(),
            version: kind.gvk.version.to_string(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: object.namespace().to_owned(),
            name: String::new(),
        };
        (kind, target)
    }
}
