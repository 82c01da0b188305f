//! ComponentStatus: the parts of the control plane, seen at each read and never stored (Kubernetes
//! `pkg/registry/core/componentstatus`).

use std::sync::Arc;

use serde_json::json;

use super::select::Selection;
use super::{Call, Listing, Registry, persist};
use crate::api::codec::json;
use crate::api::{GroupResource, Object, Result, Revision, Status};
use crate::resources::Kind;
use crate::storage::{Body, Key, Stored};

/// A part of the control plane by upstream's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub name: &'static str,
    /// This process runs it; what another process runs is not known here.
    pub here: bool,
}

impl Component {
    fn object(&self) -> Object {
        let condition = if self.here {
            json!({"type": "Healthy", "status": "True", "message": "ok"})
        } else {
            json!({"type": "Healthy", "status": "Unknown", "error": "it is not run by this server"})
        };
        let object = json!({"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": self.name},
            "conditions": [condition]});
        Object::from_value(object).expect("it is an object by construction")
    }
}

fn observed(kind: &Kind) -> bool {
    kind.gvk.group.is_empty() && kind.gvk.kind == "ComponentStatus"
}

impl Registry {
    /// The same with these parts of the control plane to tell of, beside the store.
    #[must_use]
    pub fn with_components(mut self, components: Vec<Component>) -> Self {
        self.components = components;
        self
    }

    fn seen(&self) -> impl Iterator<Item = Object> + '_ {
        let store = Component { name: "etcd-0", here: true };
        self.components.iter().map(Component::object).chain(std::iter::once(store.object()))
    }

    /// One part, if the call is for one.
    pub(super) fn component(&self, call: &Call) -> Option<Result<Object>> {
        let name = &call.target.name;
        let unknown =
            || Status::not_found(&GroupResource { group: "".into(), resource: "componentstatus".into() }, name);
        observed(&call.kind).then(|| self.seen().find(|object| object.name() == name).ok_or_else(unknown))
    }

    /// All parts that are meant, if the call is for them.
    pub(super) fn components(&self, call: &Call, selection: &Selection) -> Option<Listing> {
        let stored = |object: Object| {
            let key = Key {
                collection: call.kind.collection.clone(),
                namespace: Arc::from(""),
                name: Arc::from(object.name()),
            };
            let facts = persist::facts(&call.kind, &object);
            let body = Body { json: json::encode(&object.into_value(), call.kind.layout()).into(), revision_at: 0..0 };
            Arc::new(Stored { key, revision: Revision(0), body, facts, note: 0.into() })
        };
        let meant = |stored: &Arc<Stored>| selection.matches(stored);
        observed(&call.kind).then(|| Listing {
            revision: Revision(0),
            items: self.seen().map(stored).filter(meant).collect(),
            continue_token: String::new(),
            remaining: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_here_is_known_to_be_healthy() {
        let status = |here| {
            let object = Component { name: "scheduler", here }.object();
            object.get(&["conditions"]).and_then(|all| all[0]["status"].as_str().map(str::to_owned))
        };
        assert_eq!(status(true).as_deref(), Some("True"));
        assert_eq!(status(false).as_deref(), Some("Unknown"));
    }
}
