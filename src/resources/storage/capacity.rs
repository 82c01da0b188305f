//! CSIStorageCapacity.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::api::quantity::Quantity;
use crate::api::validation::names::dns1123_subdomain;
use crate::resources::check::{immutable, immutable_as, messages};
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::{Behaviour, Kind};

pub(in crate::resources) struct CsiStorageCapacity;

impl Behaviour for CsiStorageCapacity {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = validate(new);
        let topology = |capacity: &Object| capacity.get(&["nodeTopology"]).cloned();
        let of = (topology(new), topology(old));
        immutable_as(&mut errors, (of.0.as_ref(), of.1.as_ref()), LABEL_SELECTOR, &Path::new("nodeTopology"));
        let class = |capacity: &Object| Value::from(capacity.text_at(&["storageClassName"]));
        immutable(&mut errors, Some(&class(new)), Some(&class(old)), &Path::new("storageClassName"));
        errors
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn prints_rows(&self) -> bool {
        false
    }
}

fn validate(capacity: &Object) -> Errors {
    let mut errors = Errors::new();
    if let Some(topology) = capacity.get(&["nodeTopology"]).filter(|topology| !topology.is_null()) {
        errors.extend(validate_label_selector(topology, &Path::new("nodeTopology")));
    }
    let class = capacity.text_at(&["storageClassName"]);
    messages(&mut errors, &Path::new("storageClassName"), class, dns1123_subdomain(class));
    let amount = capacity.get(&["capacity"]).and_then(Value::as_str).and_then(|text| Quantity::parse(text).ok());
    if let Some(amount) = amount.filter(Quantity::is_negative) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&Path::new("capacity"), amount.to_string(), detail));
    }
    errors
}
