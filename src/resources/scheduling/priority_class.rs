//! PriorityClass.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::{choice, immutable};
use crate::resources::print::{age, flag, int};
use crate::resources::tree::fill;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct PriorityClass;

const SYSTEM_PREFIX: &str = "system-";
const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

impl Behaviour for PriorityClass {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        fill(object.root_mut(), "preemptionPolicy", "PreemptLowerPriority");
    }

    /// Set once; no update raises it.
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.set(&["metadata", "generation"], 1);
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_class(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        if int(new, &["value"]) != int(old, &["value"]) {
            errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        let policy = |o: &Object| o.get(&["preemptionPolicy"]).cloned();
        immutable(&mut errors, policy(new).as_ref(), policy(old).as_ref(), &Path::new("preemptionPolicy"));
        errors
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(int(object, &["value"])),
            json!(flag(object, &["globalDefault"], false)),
            json!(age(object, moment)),
            json!(object.text_at(&["preemptionPolicy"])),
        ])
    }
}

fn validate_class(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let value = int(object, &["value"]);
    if object.name().starts_with(SYSTEM_PREFIX) {
        if let Some(why) = not_of_the_system(object, value) {
            let metadata = Path::new("metadata");
            let detail = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
            );
            errors.push(FieldError::forbidden(&metadata.child("name"), detail));
        }
    } else if value > USER_PRIORITY_MAX {
        let detail = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        errors.push(FieldError::forbidden(&Path::new("value"), detail));
    }
    if let Some(policy) = object.get(&["preemptionPolicy"]).and_then(Value::as_str) {
        let path = Path::new("preemptionPolicy");
        if policy.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else {
            choice(&mut errors, policy, &path, &["PreemptLowerPriority", "Never"]);
        }
    }
    errors
}

fn not_of_the_system(object: &Object, value: i64) -> Option<String> {
    let name = object.name();
    let Some((_, expected)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value != *expected {
        return Some(format!("value of {name} PriorityClass must be {expected}"));
    }
    flag(object, &["globalDefault"], false).then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check_class(name: &str, value: i64, expected: &[&str]) {
        let class = json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": "Never"});
        check_errors(&validate_class(&Object::from_value(class).unwrap()), expected);
    }

    #[test]
    fn high_priorities_are_the_systems() {
        check_class("a", 1_000_000_000, &[]);
        check_class(
            "a",
            1_000_000_001,
            &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        );
        check_class("system-node-critical", 2_000_001_000, &[]);
        check_class(
            "system-x",
            1,
            &[
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
            ],
        );
    }
}
