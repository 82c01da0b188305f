//! RuntimeClass.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::validation::metadata::labels;
use crate::resources::core::pod_validation::{validate_overhead, validate_tolerations};
use crate::resources::core::resource_list::round;
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, child_mut, items, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct RuntimeClass;

impl Behaviour for RuntimeClass {
    fn default(&self, _: &Kind, object: &mut Object) {
        if let Some(overhead) = child_mut(object.root_mut(), "overhead") {
            round(overhead, &["podFixed"]);
        }
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(object.text_at(&["handler"])), json!(age(object, moment))])
    }
}

/// What is said of the handler is declared.
fn validate(class: &Object) -> Errors {
    let mut errors = Errors::new();
    let fixed = child(class.root(), "overhead").and_then(|overhead| child(overhead, "podFixed"));
    if let Some(fixed) = fixed {
        validate_overhead(&mut errors, fixed, &Path::new("overhead"));
    }
    if let Some(scheduling) = child(class.root(), "scheduling") {
        validate_scheduling(&mut errors, scheduling, &Path::new("scheduling"));
    }
    errors
}

fn validate_scheduling(errors: &mut Errors, scheduling: &Tree, path: &Path<'_>) {
    if let Some(selector) = child(scheduling, "nodeSelector") {
        labels(selector, &path.child("nodeSelector"), errors);
    }
    let list = path.child("tolerations");
    validate_tolerations(errors, scheduling, &list);
    let mut seen: Vec<[&str; 4]> = Vec::new();
    for (i, toleration) in items(scheduling, "tolerations").enumerate() {
        let key = ["key", "operator", "value", "effect"].map(|key| text(toleration, key));
        if seen.contains(&key) {
            let error = FieldError::duplicate(&list.index(i), toleration.clone());
            errors.push(error.shown(Shown::As("io.k8s.api.core.v1.Toleration")));
        }
        seen.push(key);
    }
}
