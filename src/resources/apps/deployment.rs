//! Deployment: a changed annotation counts as a change of generation, the status part keeps the labels.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::core::pod_template::default_template;
use crate::resources::part::{STATUS, keep_rest};
use crate::resources::print::{age, containers_and_images, int, selector_text};
use crate::resources::tree::{Tree, ensure, fill, fill_zero, keep, text};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale};

pub(in crate::resources) struct Deployment;

impl Behaviour for Deployment {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill(spec, "replicas", 1);
        default_strategy(ensure(spec, "strategy"));
        fill(spec, "revisionHistoryLimit", 10);
        fill(spec, "progressDeadlineSeconds", 600);
        default_template(ensure(spec, "template"));
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn generation(&self) -> bool {
        true
    }

    fn counts_as_change(&self, new: &Object, old: &Object) -> bool {
        !new.annotations().eq(old.annotations())
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, ..STATUS })
    }

    fn scale(&self, _: &Kind) -> Option<Scale> {
        Some(super::replica_scale())
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["spec", "template", "spec"]);
        let (ready, desired) = (int(object, &["status", "readyReplicas"]), int(object, &["spec", "replicas"]));
        Some(vec![
            json!(object.name()),
            json!(format!("{ready}/{desired}")),
            json!(int(object, &["status", "updatedReplicas"])),
            json!(int(object, &["status", "availableReplicas"])),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
            json!(selector_text(object.get(&["spec", "selector"])).unwrap_or_default()),
        ])
    }
}

fn default_strategy(strategy: &mut Tree) {
    fill_zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = ensure(strategy, "rollingUpdate");
        fill(rolling, "maxUnavailable", "25%");
        fill(rolling, "maxSurge", "25%");
    }
}

fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_rest(new, old);
    keep(new, old, &["metadata", "labels"]);
}
