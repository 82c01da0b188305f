//! StorageVersion.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::{age, first_of, text_or};
use crate::resources::tree::{list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct StorageVersion;

const SHOWN_MAX: usize = 3;

impl Behaviour for StorageVersion {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let versions = list(object, &["status", "storageVersions"]);
        let versions: Vec<String> =
            versions.map(|v| format!("{}={}", text(v, "apiServerID"), text(v, "encodingVersion"))).collect();
        Some(vec![
            json!(object.name()),
            json!(text_or(object, &["status", "commonEncodingVersion"], "<unset>")),
            json!(first_of(&versions, SHOWN_MAX)),
            json!(age(object, moment)),
        ])
    }
}
