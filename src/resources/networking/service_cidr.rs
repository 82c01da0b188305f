//! ServiceCIDR.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::age;
use crate::resources::tree::{child, texts};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct ServiceCidr;

impl Behaviour for ServiceCidr {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let ranges: Vec<&str> = child(object.root(), "spec").into_iter().flat_map(|s| texts(s, "cidrs")).collect();
        Some(vec![json!(object.name()), json!(ranges.join(",")), json!(age(object, moment))])
    }
}
