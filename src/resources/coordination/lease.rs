//! Lease.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct Lease;

/// Fields of coordinated leader election, whose gate is off.
const GATED: [[&str; 2]; 2] = [["spec", "strategy"], ["spec", "preferredHolder"]];

impl Behaviour for Lease {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        for path in GATED {
            object.remove(&path);
        }
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        for path in GATED.iter().filter(|path| old.get(*path).is_none()) {
            new.remove(path);
        }
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(object.text_at(&["spec", "holderIdentity"])), json!(age(object, moment))])
    }
}
