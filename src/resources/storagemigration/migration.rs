//! StorageVersionMigration.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::names::GroupResource;
use crate::resources::part::STATUS_ALONE;
use crate::resources::tree::{list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct StorageVersionMigration;

impl Behaviour for StorageVersionMigration {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        let of = |key: &str| object.text_at(&["spec", "resource", key]).to_owned();
        let resource = GroupResource { group: of("group").into(), resource: of("resource").into() };
        let holding = list(object, &["status", "conditions"]).filter(|c| text(c, "status") == "True");
        let state =
            holding.map(|c| text(c, "type")).filter(|t| matches!(*t, "Running" | "Failed" | "Succeeded")).last();
        Some(vec![json!(object.name()), json!(resource.to_string()), json!(state.unwrap_or("Unknown"))])
    }
}
