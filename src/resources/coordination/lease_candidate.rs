//! LeaseCandidate.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::{Behaviour, Moment, SelectableField};

pub(in crate::resources) struct LeaseCandidate;

const FIELDS: &[SelectableField] = &[SelectableField {
    name: "spec.leaseName",
    read: |candidate| candidate.text_at(&["spec", "leaseName"]).to_owned(),
    indexed: false,
}];

impl Behaviour for LeaseCandidate {
    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

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
