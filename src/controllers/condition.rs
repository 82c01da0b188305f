//! Conditions of a status, as most kinds have them.

use k8s_openapi::api::apps::v1::{DeploymentCondition, ReplicaSetCondition};

use crate::client::Time;

/// A condition with a type, a status and a reason.
pub(super) trait Condition: Sized {
    fn kind(&self) -> &str;
    fn status(&self) -> &str;
    fn reason(&self) -> &str;
    fn transition(&self) -> Option<&Time>;
    fn set_transition(&mut self, at: Option<Time>);
}

macro_rules! condition {
    ($type:ty) => {
        impl Condition for $type {
            fn kind(&self) -> &str {
                self.type_.as_deref().unwrap_or("")
            }
            fn status(&self) -> &str {
                self.status.as_deref().unwrap_or("")
            }
            fn reason(&self) -> &str {
                self.reason.as_deref().unwrap_or("")
            }
            fn transition(&self) -> Option<&Time> {
                self.last_transition_time.as_ref()
            }
            fn set_transition(&mut self, at: Option<Time>) {
                self.last_transition_time = at;
            }
        }
    };
}

condition!(DeploymentCondition);
condition!(ReplicaSetCondition);

/// The condition of a type.
pub(super) fn find<'a, C: Condition>(conditions: &'a Option<Vec<C>>, kind: &str) -> Option<&'a C> {
    conditions.iter().flatten().find(|condition| condition.kind() == kind)
}

/// Puts a condition in unless one with its type, status and reason is there. Keeps the time of the last transition
/// when the status stays.
pub(super) fn set<C: Condition>(conditions: &mut Option<Vec<C>>, mut condition: C) {
    if let Some(present) = find(conditions, condition.kind()) {
        if present.status() == condition.status() && present.reason() == condition.reason() {
            return;
        }
        if present.status() == condition.status() {
            condition.set_transition(present.transition().cloned());
        }
    }
    remove(conditions, condition.kind());
    conditions.get_or_insert_default().push(condition);
}

/// Takes out the condition of a type.
pub(super) fn remove<C: Condition>(conditions: &mut Option<Vec<C>>, kind: &str) {
    if let Some(list) = conditions {
        list.retain(|condition| condition.kind() != kind);
        if list.is_empty() {
            *conditions = None;
        }
    }
}
