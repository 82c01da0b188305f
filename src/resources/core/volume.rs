//! PersistentVolume.

use serde_json::{Value, json};

use super::resource_list::round;
use super::volume_claim::{BETA_STORAGE_CLASS, access_modes};
use super::volume_validation as validation;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::part::{STATUS, keep_rest};
use crate::resources::print::{age, quantity, text_or};
use crate::resources::tree::{child, fill, fill_zero, keep};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct PersistentVolume;

const DEPRECATED_ANNOTATIONS: [(&str, &str); 2] = [
    (BETA_STORAGE_CLASS, "deprecated since v1.8; use \"storageClassName\" attribute instead"),
    ("volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead"),
];
const DEPRECATED_SOURCES: [(&str, &str); 6] = [
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

impl Behaviour for PersistentVolume {
    fn default(&self, _: &Kind, object: &mut Object) {
        fill_zero(object.object_at(&["status"]), "phase", "Pending");
        let spec = object.object_at(&["spec"]);
        fill_zero(spec, "persistentVolumeReclaimPolicy", "Retain");
        fill(spec, "volumeMode", "Filesystem");
        if let Some(path) = crate::resources::tree::child_mut(spec, "hostPath") {
            fill(path, "type", "");
        }
        round(spec, &["capacity"]);
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, moment: &Moment) {
        object.set(&["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": moment.seconds()}));
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validation::validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validation::validate_update(new, old)
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        let annotations = DEPRECATED_ANNOTATIONS.iter().filter(|(key, _)| object.annotation(key).is_some());
        let mut warnings: Vec<String> =
            annotations.map(|(key, message)| format!("metadata.annotations[{key}]: {message}")).collect();
        if object.text_at(&["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
            warnings.push(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the \
                 recommended approach is to use dynamic provisioning."
                    .to_owned(),
            );
        }
        for (source, message) in DEPRECATED_SOURCES {
            if object.get(&["spec", source]).is_some() {
                // The path of one source differs from the name of its field.
                let field = if source == "storageos" { "storageOS" } else { source };
                warnings.push(format!("spec.{field}: {message}"));
            }
        }
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, ..STATUS })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let spec = |key: &str| object.text_at(&["spec", key]);
        let phase = if object.deleting() { "Terminating" } else { object.text_at(&["status", "phase"]) };
        let reference = |key: &str| object.text_at(&["spec", "claimRef", key]);
        let claim = match object.get(&["spec", "claimRef"]) {
            Some(_) => format!("{}/{}", reference("namespace"), reference("name")),
            None => String::new(),
        };
        Some(vec![
            json!(object.name()),
            json!(quantity(object, &["spec", "capacity", "storage"])),
            json!(child(object.root(), "spec").map(access_modes).unwrap_or_default()),
            json!(spec("persistentVolumeReclaimPolicy")),
            json!(phase),
            json!(claim),
            json!(object.annotation(BETA_STORAGE_CLASS).unwrap_or_else(|| spec("storageClassName"))),
            json!(text_or(object, &["spec", "volumeAttributesClassName"], "<unset>")),
            json!(object.text_at(&["status", "reason"])),
            json!(age(object, moment)),
            json!(text_or(object, &["spec", "volumeMode"], "<unset>")),
        ])
    }
}

fn prepare_status(new: &mut Object, old: &Object, moment: &Moment) {
    const TIME: [&str; 2] = ["status", "lastPhaseTransitionTime"];
    keep_rest(new, old);
    let same_phase = new.text_at(&["status", "phase"]) == old.text_at(&["status", "phase"]);
    if same_phase && new.get(&TIME).is_none() {
        keep(new, old, &TIME);
    } else if !same_phase && (new.get(&TIME).is_none() || new.get(&TIME) == old.get(&TIME)) {
        new.set(&TIME, moment.seconds());
    }
}
