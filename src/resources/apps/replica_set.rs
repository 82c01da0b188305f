//! ReplicaSet.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::core::pod_template::default_template;
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, int, label_selector};
use crate::resources::tree::{ensure, fill};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale, SelectableField};

pub(in crate::resources) struct ReplicaSet;

const FIELDS: &[SelectableField] = &[SelectableField { name: "status.replicas", read: replicas, indexed: false }];

impl Behaviour for ReplicaSet {
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

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS)
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

fn replicas(object: &Object) -> String {
    int(object, &["status", "replicas"]).to_string()
}
