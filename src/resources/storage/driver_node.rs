//! CSINode.

use serde_json::{Value, json};

use super::validation::driver_name;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::qualified_name;
use crate::resources::check::{invalid_as, messages, nonnegative};
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, list, text, texts};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct CsiNode;

impl Behaviour for CsiNode {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        crate::resources::part::keep_status(new, old);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_update(new, old)
    }

    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let drivers = list(object, &["spec", "drivers"]).count();
        Some(vec![json!(object.name()), json!(drivers), json!(age(object, moment))])
    }
}

const ID_BYTES_MAX: usize = 256;
const DRIVER: &str = "io.k8s.api.storage.v1.CSINodeDriver";

fn validate(node: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let path = spec.child("drivers");
    let mut seen: Vec<&str> = Vec::new();
    for (i, driver) in list(node, &["spec", "drivers"]).enumerate() {
        let at = path.index(i);
        let name = text(driver, "name");
        driver_name(&mut errors, name, &at.child("name"));
        validate_driver(&mut errors, driver, &at);
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        seen.push(name);
        topology_keys(&mut errors, driver, &at);
    }
    errors
}

fn validate_driver(errors: &mut Errors, driver: &Tree, path: &Path<'_>) {
    let id = text(driver, "nodeID");
    if id.is_empty() {
        errors.push(FieldError::required(&path.child("nodeID"), ""));
    }
    if id.len() > ID_BYTES_MAX {
        let detail = format!("must be {ID_BYTES_MAX} characters or less");
        errors.push(FieldError::invalid(&path.child("nodeID"), id, detail));
    }
    if let Some(allocatable) = child(driver, "allocatable") {
        nonnegative(errors, allocatable, "count", &path.child("allocatable"));
    }
}

/// All of them are told at the driver.
fn topology_keys(errors: &mut Errors, driver: &Tree, path: &Path<'_>) {
    let keys: Vec<&str> = texts(driver, "topologyKeys").collect();
    for (i, key) in keys.iter().enumerate() {
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
        if keys[..i].contains(key) {
            errors.push(FieldError::duplicate(path, *key));
        }
        messages(errors, path, *key, qualified_name(key));
    }
}

/// A driver that is there stays as it is, apart from what it has room for.
fn validate_update(new: &Object, old: &Object) -> Errors {
    let mut errors = validate(new);
    let spec = Path::new("spec");
    let drivers = |node: &Object| -> Vec<Tree> {
        let fixed = |driver: &Tree| {
            let mut driver = driver.clone();
            driver.remove("allocatable");
            driver
        };
        list(node, &["spec", "drivers"]).map(fixed).collect()
    };
    let now = drivers(new);
    for before in drivers(old) {
        for driver in now.iter().filter(|driver| text(driver, "name") == text(&before, "name")) {
            if *driver != before {
                errors.push(invalid_as(&spec.child("drivers"), driver.clone(), DRIVER, "field is immutable"));
            }
        }
    }
    errors
}
