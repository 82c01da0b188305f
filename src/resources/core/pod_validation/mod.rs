//! Validation of pods and of the templates of pods, in upstream's order and words. The rules that the type table
//! declares run after these.

mod affinity;
mod annotations;
mod claim_status;
mod container_status;
mod containers;
mod env;
mod mounts;
mod probes;
mod projected;
mod resize;
mod resources;
mod security;
mod signers;
mod spec;
mod spread;
mod status;
mod tolerations;
mod update;
mod volumes;
mod windows_user;

use serde_json::Value;

pub(in crate::resources) use self::affinity::validate_node_selector;
pub(in crate::resources) use self::resize::validate_pod_resize;
pub(in crate::resources) use self::resources::overhead as validate_overhead;
pub use self::tolerations::toleration_errors;
pub(in crate::resources) use self::tolerations::validate as validate_tolerations;
use self::update::metadata_and_spec_changes;
pub(in crate::resources) use self::update::{
    validate_ephemeral_containers_update, validate_pod_status_update, validate_pod_update,
};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::metadata;
use crate::resources::check::nonnegative;
use crate::resources::tree::{Tree, child, count, is_set, items, text};

static EMPTY: std::sync::LazyLock<Tree> = std::sync::LazyLock::new(Tree::new);

/// A field that holds an object; an empty one when it is not there.
fn sub<'a>(tree: &'a Tree, key: &str) -> &'a Tree {
    child(tree, key).unwrap_or(&EMPTY)
}

/// Whether a field is true.
fn flag(tree: &Tree, key: &str) -> bool {
    tree.get(key).and_then(Value::as_bool) == Some(true)
}

/// A new pod.
pub(in crate::resources) fn validate_pod(pod: &Object) -> Errors {
    let mut errors = Errors::new();
    metadata_and_spec(&mut errors, pod);
    let spec = sub(pod.root(), "spec");
    let path = Path::new("spec");
    if count(spec, "ephemeralContainers") > 0 {
        errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(spec, "nodeName").is_empty() && count(spec, "schedulingGates") > 0 {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
    }
    annotations::fields_match(&mut errors, sub(sub(pod.root(), "metadata"), "annotations"), spec, &path);
    errors
}

/// The template of pods at a path: `template` has `metadata` and `spec`.
pub(in crate::resources) fn validate_pod_template(template: &Tree, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    let (meta, spec) = (sub(template, "metadata"), sub(template, "spec"));
    let at = path.child("spec");
    metadata::labels(sub(meta, "labels"), &path.child("labels"), &mut errors);
    let notes = sub(meta, "annotations");
    metadata::annotations(notes, &path.child("annotations"), &mut errors);
    annotations::validate(&mut errors, notes, spec, &path.child("annotations"));
    spec::validate(&mut errors, spec, None, &at);
    annotations::fields_match(&mut errors, notes, spec, &at);
    if count(spec, "ephemeralContainers") > 0 {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&at.child("ephemeralContainers"), detail));
    }
    errors
}

/// The template of pods at a path of fields of an object.
pub(in crate::resources) fn validate_template_at(object: &Object, steps: &[&str]) -> Errors {
    let template = object.get(steps).and_then(Value::as_object).unwrap_or(&EMPTY);
    validate_pod_template(template, &Path::new(&steps.join(".")))
}

/// What creations and updates of pods have in common.
fn metadata_and_spec(errors: &mut Errors, pod: &Object) {
    let (meta, spec) = (sub(pod.root(), "metadata"), sub(pod.root(), "spec"));
    let (metadata, path) = (Path::new("metadata"), Path::new("spec"));
    annotations::validate(errors, sub(meta, "annotations"), spec, &metadata.child("annotations"));
    spec::validate(errors, spec, Some(meta), &path);
    if text(spec, "serviceAccountName").is_empty() {
        tokens_without_account(errors, spec, &path);
    }
    nonnegative(errors, spec, "terminationGracePeriodSeconds", &path);
    for list in ["containers", "initContainers"] {
        let at = path.child(list);
        for (i, container) in items(spec, list).enumerate() {
            containers::image_unpadded(errors, container, &at.index(i));
        }
    }
}

fn tokens_without_account(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let list = path.child("volumes");
    for (i, volume) in items(spec, "volumes").enumerate() {
        let (volume_path, projected) = (list.index(i), sub(volume, "projected"));
        let at = volume_path.child("projected");
        let sources = at.child("sources");
        for (j, source) in items(projected, "sources").enumerate() {
            if is_set(source, "serviceAccountToken") {
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(FieldError::forbidden(&sources.index(j).child("serviceAccountToken"), detail));
            }
        }
    }
}

/// Calls back for each container of a spec with its path: init containers, containers, ephemeral containers.
fn each_container(spec: &Tree, path: &Path<'_>, mut visit: impl FnMut(&Tree, &Path<'_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let at = path.child(list);
        for (i, container) in items(spec, list).enumerate() {
            visit(container, &at.index(i));
        }
    }
}

#[cfg(test)]
mod tests;
