//! ReplicationController: deletes orphan by default, the selector is a map.

use serde_json::{Value, json};

use super::pod_template::default_template;
use crate::api::Object;
use crate::api::request::Propagation;
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, int, labels};
use crate::resources::tree::{child_mut, fill, fill_zero};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale, SelectableField};

pub(in crate::resources) struct ReplicationController;

const FIELDS: &[SelectableField] = &[SelectableField { name: "status.replicas", read: replicas, indexed: false }];

impl Behaviour for ReplicationController {
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

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS)
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
