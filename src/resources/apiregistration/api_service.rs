//! APIService: those without a service are available at once.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::anything;
use crate::resources::part::keep_rest;
use crate::resources::print::age;
use crate::resources::tree::{child_mut, fill, keep, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct ApiService;

impl Behaviour for ApiService {
    fn default(&self, _: &Kind, object: &mut Object) {
        if let Some(service) = child_mut(object.object_at(&["spec"]), "service") {
            fill(service, "port", 443);
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, moment: &Moment) {
        object.remove(&["status"]);
        if object.get(&["spec", "service"]).is_none() {
            let condition = json!({
                "type": "Available",
                "status": "True",
                "lastTransitionTime": moment.seconds(),
                "reason": "Local",
                "message": "Local APIServices are always available",
            });
            object.set(&["status", "conditions"], json!([condition]));
        }
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, validate: anything })
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let service = |key: &str| object.text_at(&["spec", "service", key]);
        let local = object.get(&["spec", "service"]).is_none();
        let place = if local { "Local".to_owned() } else { format!("{}/{}", service("namespace"), service("name")) };
        let available = list(object, &["status", "conditions"]).find(|c| text(c, "type") == "Available");
        let available = match available.map(|c| (text(c, "status"), text(c, "reason"))) {
            None => "Unknown".to_owned(),
            Some(("True", _)) => "True".to_owned(),
            Some((status, "")) => status.to_owned(),
            Some((status, reason)) => format!("{status} ({reason})"),
        };
        Some(vec![json!(object.name()), json!(place), json!(available), json!(age(object, moment))])
    }
}

fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_rest(new, old);
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        keep(new, old, &["metadata", key]);
    }
}
