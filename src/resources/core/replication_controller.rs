//! ReplicationController: deletes orphan by default, the selector is a map.

use serde_json::{Value, json};

use super::pod_template::default_template;
use super::pod_warnings::template_warnings;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::Selector;
use crate::api::request::Propagation;
use crate::resources::apps::replica_set::{NUMBERS, PARTS};
use crate::resources::apps::validation::{status_numbers, template};
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, int, labels};
use crate::resources::tree::{Tree, child, child_mut, fill, fill_zero};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale, SelectableField};

pub(in crate::resources) struct ReplicationController;

const FIELDS: &[SelectableField] = &[SelectableField { name: "status.replicas", read: replicas, indexed: false }];

impl Behaviour for ReplicationController {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        if let Some(labels) = object.get(&["spec", "template", "metadata", "labels"]).filter(|l| l.is_object()).cloned()
        {
            fill_zero(object.object_at(&["spec"]), "selector", labels.clone());
            fill_zero(object.object_at(&["metadata"]), "labels", labels);
        }
        let spec = object.object_at(&["spec"]);
        fill(spec, "replicas", 1);
        if let Some(template) = child_mut(spec, "template") {
            default_template(template);
        }
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

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings =
            if old.is_some() { Vec::new() } else { crate::resources::apps::name_warnings(object.name()) };
        warnings.extend(template_warnings(object, old, "spec.template."));
        warnings
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_status, ..STATUS })
    }

    fn default_propagation(&self) -> Propagation {
        Propagation::Orphan
    }

    fn scale(&self, _: &Kind) -> Option<Scale> {
        Some(crate::resources::apps::replica_scale())
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
            json!(labels(object.get(&["spec", "selector"]))),
        ])
    }
}

fn replicas(object: &Object) -> String {
    int(object, &["status", "replicas"]).to_string()
}

/// That numbers are there and not negative is declared.
fn validate_spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let empty = Tree::new();
    let spec = child(object.root(), "spec").unwrap_or(&empty);
    let labels = child(spec, "selector").unwrap_or(&empty);
    if labels.is_empty() {
        errors.push(FieldError::required(&path.child("selector"), ""));
    }
    match child(spec, "template") {
        None => errors.push(FieldError::required(&path.child("template"), "")),
        Some(pods) => {
            let selected = (&Selector::from_map(labels), "ReplicationController");
            template(&mut errors, pods, selected, &path.child("template"));
        }
    }
    errors
}

fn validate_status(new: &Object, _: &Object) -> Errors {
    let empty = Tree::new();
    status_numbers(child(new.root(), "status").unwrap_or(&empty), &NUMBERS, &PARTS)
}
