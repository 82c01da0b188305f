//! Operations that are not the storing of an object: reviews, tokens, bindings, evictions. One file each, found by
//! group, resource and subresource. What needs a higher layer's or auth's state is handed in by `app`.

mod binding;
mod eviction;

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;

use super::admit::Admission;
use super::{Answer, Call, Input, Registry, Written, metadata};
use crate::admission::Operation;
use crate::api::apply::{self, OneVersion, Owns, Root, Scope, Writer};
use crate::api::request::{Options, WriteOptions};
use crate::api::{GroupVersionKind, Object, Result};

/// What happens on a POST to a resource or subresource.
pub trait Action: Send + Sync + 'static {
    /// The type of the body, where it is not that of the resource.
    fn payload(&self) -> Option<GroupVersionKind> {
        None
    }

    /// Older versions of the payload that are taken too; they have its shape.
    fn older_payloads(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether `metadata.uid` and the like of the body are kept, as preconditions.
    fn keeps_system_fields(&self) -> bool {
        false
    }

    /// Fills in what the body leaves out, beyond what the table of facts says.
    fn default(&self, object: &mut Object) {
        let _ = object;
    }

    /// Runs it and gives the answer. The body is decoded and went through mutating admission; what validates it calls
    /// `Order::admit_finally` after its own checks and before it does anything.
    fn run<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Object>>;
}

/// An action under way.
pub struct Order<'a> {
    pub registry: &'a Registry,
    pub call: &'a Call,
    /// The body.
    pub object: Object,
    pub options: &'a WriteOptions,
    pub dry_run: bool,
}

impl Order<'_> {
    /// The validating phase of admission, over the body as it is now.
    ///
    /// # Errors
    /// Whatever a plugin refuses it with.
    pub async fn admit_finally(&self) -> Result<()> {
        // What plugins of this phase change is not looked at.
        let mut object = self.object.clone();
        let (call, options, dry_run) = (self.call, Options::Create(self.options), self.dry_run);
        let admission = Admission { operation: Operation::Create, call, old: None, options, dry_run };
        self.registry.admit_finally(admission, Some(&mut object)).await.map(|_| ())
    }
}

impl Registry {
    /// The way of every action, which is that of every create: decode, own, admit, do.
    pub(super) async fn run_action(
        &self,
        action: &dyn Action,
        call: &Call,
        (mut input, options): (Input, &WriteOptions),
    ) -> Result<Written> {
        let payload = action.payload().unwrap_or_else(|| call.kind.gvk.clone());
        if let Some(version) = input.value.get_mut("apiVersion")
            && version.as_str().is_some_and(|version| action.older_payloads().contains(&version))
        {
            *version = payload.api_version().into();
        }
        let mut object = self.decode_as(call, &payload, input, options.field_validation)?;
        if !action.keeps_system_fields() {
            metadata::wipe_system_fields(&mut object);
        }
        action.default(&mut object);
        metadata::dedup_owners(&mut object, &call.warnings, false);
        self.own_payload(call, &mut object, options)?;
        let dry_run = options.dry_run;
        let asked = Options::Create(options);
        let admission = Admission { operation: Operation::Create, call, old: None, options: asked, dry_run };
        self.admit(admission, Some(&mut object)).await?;
        metadata::dedup_owners(&mut object, &call.warnings, true);
        let answer = action.run(Order { registry: self, call, object, options, dry_run }).await?;
        Ok(Written { answer: Answer::Object(answer), created: true })
    }

    /// Even what is never stored says who wrote it.
    fn own_payload(&self, call: &Call, object: &mut Object, options: &WriteOptions) -> Result<()> {
        let gvk = object.gvk();
        let scope = Scope {
            root: Root::built_in(&self.facts.types, self.payload(&gvk)?),
            api_version: &gvk.api_version(),
            kind: &gvk.kind,
            subresource: &call.target.subresource,
            owns: Owns::All,
            versions: &OneVersion,
        };
        let writer = Writer { manager: &options.field_manager, now: self.moment().now };
        apply::update(&scope, None, object, &writer);
        Ok(())
    }
}

/// The answer of actions that have nothing to show.
fn success() -> Object {
    let success = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Object::from_value(success).expect("it is an object by construction")
}

/// One action and where it stands.
pub struct Row {
    pub group: &'static str,
    pub resource: &'static str,
    /// Empty for the resource itself.
    pub subresource: &'static str,
    pub action: Arc<dyn Action>,
}

/// The table of actions of one server.
pub struct Actions {
    rows: Vec<Row>,
}

impl Actions {
    /// The registry's own actions and those of other layers.
    pub fn new(others: Vec<Row>) -> Self {
        let mut rows = vec![
            Row { group: "", resource: "pods", subresource: "binding", action: Arc::new(binding::PodBinding) },
            Row { group: "", resource: "bindings", subresource: "", action: Arc::new(binding::LegacyBinding) },
            Row { group: "", resource: "pods", subresource: "eviction", action: Arc::new(eviction::Evict) },
        ];
        rows.extend(others);
        Self { rows }
    }

    /// The action that a create runs, if it is not the storing of an object.
    pub(super) fn find(&self, call: &Call) -> Option<Arc<dyn Action>> {
        let target = &call.target;
        let here = |row: &&Row| {
            row.group == target.group && row.resource == target.resource && row.subresource == target.subresource
        };
        self.rows.iter().find(here).map(|row| row.action.clone())
    }
}
