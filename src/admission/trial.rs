//! One plugin on one object, for the tests of this folder.

use std::sync::Arc;

use serde_json::Value;

use super::{Attributes, Context, Operation, Plugin};
use crate::api::request::{Target, User};
use crate::api::{Object, Result};
use crate::auth::authorize::{Mode, authorizer};
use crate::auth::fixture::empty_store;
use crate::base::SystemClock;
use crate::resources::facts::Facts;
use crate::resources::{Kind, Plain};
use crate::storage::Write;

/// Runs plugins against a store in memory. Objects are in the namespace that they name.
pub(super) struct Trial {
    pub context: Context,
    pub user: User,
    facts: Facts,
}

impl Trial {
    pub(super) async fn new() -> Self {
        let store = empty_store().await;
        let authorizer = authorizer(&[Mode::Rbac], &store);
        let context = Context { store, clock: SystemClock::shared(), authorizer };
        Self { context, user: User::default(), facts: Facts::load() }
    }

    /// Creates, up to and with `admit`.
    pub(super) async fn admit(&self, plugin: &dyn Plugin, resource: &str, object: Value) -> Result<Object> {
        let mut object = Object::from_value(object).unwrap();
        let (kind, target) = self.find(resource, &object);
        assert!(plugin.handles(Operation::Create, &kind, ""), "{} does not handle {resource}", plugin.name());
        let mut attributes = self.attributes(&kind, &target, (Some(&mut object), None));
        plugin.admit(&self.context, &mut attributes).await?;
        Ok(object)
    }

    /// Creates, `validate` alone; gives the companion writes.
    pub(super) async fn validate(&self, plugin: &dyn Plugin, resource: &str, object: Value) -> Result<Vec<Write>> {
        let mut object = Object::from_value(object).unwrap();
        let (kind, target) = self.find(resource, &object);
        assert!(plugin.handles(Operation::Create, &kind, ""), "{} does not handle {resource}", plugin.name());
        let mut attributes = self.attributes(&kind, &target, (Some(&mut object), None));
        plugin.validate(&self.context, &mut attributes).await?;
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
            dry_run: false,
            warnings: Vec::new(),
            companions: Vec::new(),
        }
    }

    fn find(&self, resource: &str, object: &Object) -> (Kind, Target) {
        let fact = self.facts.kinds.iter().find(|kind| kind.plural == resource).unwrap();
        let kind = Kind {
            gvk: fact.gvk.clone(),
            resource: resource.to_owned().into(),
            singular: "".into(),
            namespaced: fact.namespaced,
            verbs: Vec::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            types: self.facts.types.clone(),
            type_id: fact.type_id,
            collection: resource.into(),
            stored_as: fact.gvk.clone(),
            columns: Vec::new(),
            subresources: Vec::new(),
            behaviour: &Plain,
            custom: Arc::new(()),
        };
        let target = Target {
            group: fact.gvk.group.to_string(),
            version: fact.gvk.version.to_string(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: object.namespace().to_owned(),
            name: String::new(),
        };
        (kind, target)
    }
}
