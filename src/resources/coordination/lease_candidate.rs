//! LeaseCandidate.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::{Behaviour, Moment};

pub(in crate::resources) struct LeaseCandidate;

impl Behaviour for LeaseCandidate {
    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let spec = |key: &str| json!(object.text_at(&["spec", key]));
        Some(vec![
            json!(object.name()),
            spec("leaseName"),
            spec("binaryVersion"),
            spec("emulationVersion"),
            json!(age(object, moment)),
        ])
    }
}
