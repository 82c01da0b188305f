//! ComponentStatus.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::tree::{list, text};
use crate::resources::{Behaviour, Moment};

pub(in crate::resources) struct ComponentStatus;

impl Behaviour for ComponentStatus {
    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        let healthy = list(object, &["conditions"]).find(|c| text(c, "type") == "Healthy");
        let status = match healthy.map(|c| text(c, "status")) {
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
            None => "Unknown",
        };
        let of = |key: &str| healthy.map_or("", |c| text(c, key));
        Some(vec![json!(object.name()), json!(status), json!(of("message")), json!(of("error"))])
    }
}
