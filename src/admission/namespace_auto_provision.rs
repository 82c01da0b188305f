//! `NamespaceAutoProvision`: where something is created in a namespace that there is not, the namespace is created
//! before it (K `plugin/pkg/admission/namespace/autoprovision`). The registry does it, as the server itself and through
//! all plugins.

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;

pub(super) struct NamespaceAutoProvision;

impl Plugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        "NamespaceAutoProvision"
    }

    fn handles(&self, operation: Operation, kind: &Kind, _: &str) -> bool {
        operation == Operation::Create && kind.namespaced
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let namespace = attributes.target.namespace.as_str();
        let known = || ctx.store.snapshot().find("namespaces", "", namespace).is_some();
        if !attributes.dry_run && !namespace.is_empty() && !known() {
            attributes.missing_namespace = Some(namespace.to_owned());
        }
        Answer::Ready(Ok(()))
    }

    fn validate<'a>(&'a self, _: &'a Context, _: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Absent
    }
}
