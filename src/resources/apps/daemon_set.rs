//! DaemonSet.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::core::pod_template::default_template;
use crate::resources::core::pod_validation::validate_template_at;
use crate::resources::core::pod_warnings::template_warnings;
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, int, label_selector, labels};
use crate::resources::tree::{ensure, fill, fill_zero, keep, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

/// Counts the changes of the template; the internal field `templateGeneration` is kept there between versions.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(in crate::resources) struct DaemonSet;

impl Behaviour for DaemonSet {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        let strategy = ensure(spec, "updateStrategy");
        fill_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            let rolling = ensure(strategy, "rollingUpdate");
            fill(rolling, "maxUnavailable", 1);
            fill(rolling, "maxSurge", 0);
        }
        fill(spec, "revisionHistoryLimit", 10);
        default_template(ensure(spec, "template"));
        fill(object.object_at(&["metadata", "annotations"]), TEMPLATE_GENERATION, "0");
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
        let given = template_generation(object);
        set_template_generation(object, given.max(1));
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        keep(new, old, &["metadata", "annotations", TEMPLATE_GENERATION]);
        let path = ["spec", "template"];
        let changed = i64::from(new.get(&path) != old.get(&path));
        set_template_generation(new, template_generation(old) + changed);
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_template_at(object, &["spec", "template"])
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        if old.is_some_and(|old| template_generation(old) == template_generation(object)) {
            return Vec::new();
        }
        template_warnings(object, old, "spec.template.")
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS)
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["spec", "template", "spec"]);
        Some(vec![
            json!(object.name()),
            json!(int(object, &["status", "desiredNumberScheduled"])),
            json!(int(object, &["status", "currentNumberScheduled"])),
            json!(int(object, &["status", "numberReady"])),
            json!(int(object, &["status", "updatedNumberScheduled"])),
            json!(int(object, &["status", "numberAvailable"])),
            json!(labels(object.get(&["spec", "template", "spec", "nodeSelector"]))),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
            json!(label_selector(object.get(&["spec", "selector"]))),
        ])
    }
}

fn template_generation(object: &Object) -> i64 {
    object.annotation(TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(object: &mut Object, generation: i64) {
    object.set(&["metadata", "annotations", TEMPLATE_GENERATION], generation.to_string());
}
