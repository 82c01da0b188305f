//! ReplicaSet.

use serde_json::{Value, json};

use super::validation::{selector, spec, status_numbers, template};
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::resources::check::{immutable_as, nonnegative};
use crate::resources::core::pod_template::default_template;
use crate::resources::core::pod_warnings::template_warnings;
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, int, label_selector};
use crate::resources::tree::{Tree, child, ensure, fill};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale};

pub(in crate::resources) struct ReplicaSet;

impl Behaviour for ReplicaSet {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill(spec, "replicas", 1);
        default_template(ensure(spec, "template"));
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn generation(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_spec(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = validate_spec(new);
        let path = Path::new("spec");
        let selector = |o: &Object| o.get(&["spec", "selector"]).cloned();
        let pair = (selector(new), selector(old));
        immutable_as(&mut errors, (pair.0.as_ref(), pair.1.as_ref()), LABEL_SELECTOR, &path.child("selector"));
        errors
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings = if old.is_some() { Vec::new() } else { super::name_warnings(object.name()) };
        warnings.extend(template_warnings(object, old, "spec.template."));
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_status, ..STATUS })
    }

    fn scale(&self, _: &Kind) -> Option<Scale> {
        Some(super::replica_scale())
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["spec", "template", "spec"]);
        Some(vec![
            json!(object.name()),
            json!(int(object, &["spec", "replicas"])),
            json!(int(object, &["status", "replicas"])),
            json!(int(object, &["status", "readyReplicas"])),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
            json!(label_selector(object.get(&["spec", "selector"]))),
        ])
    }
}

fn validate_spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let spec = spec(object);
    nonnegative(&mut errors, &spec, "replicas", &path);
    nonnegative(&mut errors, &spec, "minReadySeconds", &path);
    if let Some(selected) = selector(&mut errors, &spec, &path) {
        let empty = Tree::new();
        let pods = child(&spec, "template").unwrap_or(&empty);
        template(&mut errors, pods, (&selected, "ReplicaSet"), &path.child("template"));
    }
    errors
}

fn validate_status(new: &Object, _: &Object) -> Errors {
    let empty = Tree::new();
    let mut numbers = NUMBERS.to_vec();
    numbers.push("terminatingReplicas");
    status_numbers(child(new.root(), "status").unwrap_or(&empty), &numbers, &PARTS)
}

/// The numbers in the status of a ReplicaSet and of a ReplicationController.
pub(in crate::resources) const NUMBERS: [&str; 5] =
    ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];

/// Those that `replicas` bounds.
pub(in crate::resources) const PARTS: [&str; 3] = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
