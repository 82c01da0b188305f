//! Change or refuse a write: the ordered table of plugins, one file each. Called by the registry between defaulting
//! and validation (`admit`) and after validation (`validate`), in upstream's order.

mod always;
mod always_pull_images;
mod anti_affinity;
mod certificates;
mod cluster_trust_bundle;
mod companion;
mod configuration;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod event_rate_limit;
pub mod expressions;
mod extended_resource_toleration;
mod image_policy;
mod limit_ranger;
pub mod matching;
pub mod measures;
mod namespace_auto_provision;
mod namespace_exists;
mod namespace_lifecycle;
mod node_declared_features;
mod node_restriction;
mod owner_references;
mod persistent_volume_claim_resize;
mod pod_group_protection;
mod pod_node_selector;
mod pod_resize;
pub mod pod_resources;
mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
mod policy;
mod priority;
pub mod quota;
mod rbac_escalation;
mod recent;
mod reinvocation;
mod request;
mod resource_quota;
mod runtime_class;
mod service_account;
mod service_addresses;
mod service_ports;
mod storage_object_in_use_protection;
mod storage_rights;
mod table;
mod taint_nodes_by_condition;
#[cfg(test)]
mod trial;
mod webhook;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::api::request::{Options, Target, User};
use crate::api::{Object, Result, Status};
use crate::auth::Authorizer;
use crate::base::Clock;
use crate::remote::Remote;
use crate::resources::{Catalog, Kind};
use crate::storage::{Store, Write};

pub use default_toleration_seconds::DefaultTolerationSeconds;
pub use measures::Measures;
pub use reinvocation::{Passed, Reinvocation};
pub use request::Invocation;
pub use service_addresses::ServiceAddresses;
pub use table::{PLUGINS, Row, Settings, plugins};

/// What is done to the object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// One write on its way: what plugins see and may change.
pub struct Attributes<'a> {
    pub operation: Operation,
    pub user: &'a User,
    pub target: &'a Target,
    pub kind: &'a Kind,
    /// The new state, in the stored version; absent on delete. Of a create through a subresource: its payload.
    pub object: Option<&'a mut Object>,
    /// The stored state on update and delete.
    pub old: Option<&'a Object>,
    /// As the client gave them.
    pub options: Options<'a>,
    pub dry_run: bool,
    pub reinvocation: Reinvocation,
    /// What the audit log is told: keys and values.
    pub annotations: Vec<(String, String)>,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
    /// A namespace that must be made before the write goes on; the registry makes it after the hook.
    pub missing_namespace: Option<String>,
    /// Writes that must happen in the same transaction (quota counts). When the expectation of one of them fails,
    /// the registry starts the whole operation again, a bounded number of times.
    pub companions: Vec<Write>,
}

impl Attributes<'_> {
    /// Whether the request is for a resource itself or for one of its subresources.
    pub fn about(&self, group: &str, resource: &str) -> bool {
        self.kind.gvk.group == group && self.kind.resource == resource
    }

    /// 403 in admission's words: with the name of the object, or what stands for it before it has one.
    pub fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        let object = self.object.as_deref();
        let given = object.map_or("", Object::name);
        let prefix = object.map_or("", |object| object.text_at(&["metadata", "generateName"]));
        let names = [self.target.name.as_str(), given, prefix, "Unknown"];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        Status::forbidden(&self.kind.group_resource(), name, &why.to_string())
    }
}

/// What plugins may use.
pub struct Context {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub authorizer: Arc<dyn Authorizer>,
    pub catalog: Arc<Catalog>,
    pub remote: Arc<Remote>,
    /// What `/metrics` tells of admission.
    pub measures: Arc<Measures>,
}

/// What a hook of a plugin comes to.
pub enum Answer<'a> {
    /// The plugin has no such hook.
    Absent,
    Ready(Result<()>),
    Later(BoxFuture<'a, Result<()>>),
}

impl Answer<'_> {
    /// What the hook says, when it has said it; `None` when the plugin has no such hook.
    pub async fn done(self) -> Option<Result<()>> {
        match self {
            Self::Absent => None,
            Self::Ready(done) => Some(done),
            Self::Later(answer) => Some(answer.await),
        }
    }
}

/// One admission plugin. A hook that is not overridden lets everything pass.
pub trait Plugin: Send + Sync + 'static {
    /// Upstream's name, as in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// Cheap test before anything else.
    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool;

    /// Whether a write to a namespace may get companions, and so may have to be begun again.
    fn accompanies(&self, ctx: &Context, kind: &Kind, namespace: &str) -> bool {
        let _ = (ctx, kind, namespace);
        false
    }

    /// May change `attributes.object`.
    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let _ = (ctx, attributes);
        Answer::Ready(Ok(()))
    }

    /// After the type prepared the object and before it is validated: gives it what only the store can tell is free.
    /// Runs on deletes too, with `object` absent, to take it back.
    fn allocate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let _ = (ctx, attributes);
        Answer::Ready(Ok(()))
    }

    /// Changes nothing but `warnings` and `companions`.
    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let _ = (ctx, attributes);
        Answer::Ready(Ok(()))
    }
}
