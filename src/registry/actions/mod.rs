//! Operations that are not the storing of an object: reviews, tokens, bindings, evictions. One file each, found by
//! group, resource and subresource. What needs a higher layer's or auth's state is handed in by `app`.

mod binding;
mod eviction;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Call, Input, Registry, Written};
use crate::api::Result;
use crate::api::request::WriteOptions;

/// What happens on a POST to a resource or subresource.
pub trait Action: Send + Sync + 'static {
    /// Runs it. The body is not yet held against a type.
    fn run<'a>(
        &'a self,
        registry: &'a Registry,
        call: &'a Call,
        input: Input,
        options: &'a WriteOptions,
    ) -> BoxFuture<'a, Result<Written>>;
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
