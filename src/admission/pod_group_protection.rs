//! `PodGroupProtection`: a group of pods that are scheduled together is created with a finalizer, which a controller
//! takes away when no pod belongs to it any more (K `plugin/pkg/admission/scheduling/podgroupprotection`). The gate of
//! the plugin is that of the type: where it is off there are no such groups.

use serde_json::json;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;

const FINALIZER: &str = "scheduling.k8s.io/podgroup-protection";

pub(super) struct PodGroupProtection;

impl Plugin for PodGroupProtection {
    fn name(&self) -> &'static str {
        "PodGroupProtection"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let groups = kind.gvk.group == "scheduling.k8s.io" && kind.resource == "podgroups";
        operation == Operation::Create && subresource.is_empty() && groups
    }

    fn admit<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        if let Some(group) = attributes.object.as_deref_mut()
            && !group.finalizers().any(|name| name == FINALIZER)
        {
            let mut finalizers: Vec<String> = group.finalizers().map(str::to_owned).collect();
            finalizers.push(FINALIZER.to_owned());
            group.set(&["metadata", "finalizers"], json!(finalizers));
        }
        Answer::Ready(Ok(()))
    }

    fn validate<'a>(&'a self, _: &'a Context, _: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Absent
    }
}
