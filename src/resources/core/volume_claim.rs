//! PersistentVolumeClaim, and the claims inside other objects.

use serde_json::{Value, json};

use super::resource_list::{amount, round, round_requirements};
use super::volume_claim_validation as validation;
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::resources::part::STATUS;
use crate::resources::print::{age, quantity, text_or};
use crate::resources::tree::{Tree, child, child_mut, ensure, fill, fill_zero, is_set, text, texts};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct PersistentVolumeClaim;

pub(super) const BETA_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

impl Behaviour for PersistentVolumeClaim {
    fn default(&self, _: &Kind, object: &mut Object) {
        default_claim(object.root_mut());
    }

    fn prepare_create(&self, kind: &Kind, object: &mut Object, _: &Moment) {
        object.set(&["status"], json!({"phase": "Pending"}));
        let spec = object.object_at(&["spec"]);
        drop_foreign_source(kind, spec);
        drop_unknown_source(spec);
        equal_sources(spec);
    }

    fn prepare_update(&self, kind: &Kind, new: &mut Object, old: &Object) {
        let had_source = ["dataSource", "dataSourceRef"].iter().any(|key| old.get(&["spec", key]).is_some());
        let spec = new.object_at(&["spec"]);
        if old.get(&["spec", "dataSourceRef"]).is_none() {
            drop_foreign_source(kind, spec);
        }
        if !had_source {
            drop_unknown_source(spec);
        }
        equal_sources(spec);
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
        let mut warnings = Vec::new();
        if object.annotation(BETA_STORAGE_CLASS).is_some() {
            warnings.push(format!(
                "metadata.annotations[{BETA_STORAGE_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
            ));
        }
        if let Some(spec) = child(object.root(), "spec") {
            warnings.extend(claim_warnings(spec, &Path::new("spec")));
        }
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validation::validate_status, ..STATUS })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let phase = if object.deleting() { "Terminating" } else { object.text_at(&["status", "phase"]) };
        let volume = object.text_at(&["spec", "volumeName"]);
        let (capacity, modes) = if volume.is_empty() {
            (String::new(), String::new())
        } else {
            let modes = child(object.root(), "status").map(access_modes).unwrap_or_default();
            (quantity(object, &["status", "capacity", "storage"]), modes)
        };
        let class = match object.annotation(BETA_STORAGE_CLASS) {
            Some(class) => class.to_owned(),
            None => object.text_at(&["spec", "storageClassName"]).to_owned(),
        };
        Some(vec![
            json!(object.name()),
            json!(phase),
            json!(volume),
            json!(capacity),
            json!(modes),
            json!(class),
            json!(text_or(object, &["spec", "volumeAttributesClassName"], "<unset>")),
            json!(age(object, moment)),
            json!(text_or(object, &["spec", "volumeMode"], "<unset>")),
        ])
    }
}

/// Fills in a whole claim.
pub(in crate::resources) fn default_claim(claim: &mut Tree) {
    default_claim_spec(ensure(claim, "spec"));
    let status = ensure(claim, "status");
    fill_zero(status, "phase", "Pending");
    round(status, &["capacity", "allocatedResources"]);
}

/// Fills in the spec of a claim.
pub(in crate::resources) fn default_claim_spec(spec: &mut Tree) {
    fill(spec, "volumeMode", "Filesystem");
    round_requirements(spec, "resources");
}

/// Warnings about amounts of bytes that are not whole.
pub(in crate::resources) fn claim_warnings(spec: &Tree, path: &Path<'_>) -> Vec<String> {
    let resources = child(spec, "resources");
    let at = path.child("resources");
    let lists = ["requests", "limits"].into_iter().filter_map(|list| {
        let storage = amount(resources.and_then(|r| child(r, list)), "storage");
        let list = at.child(list);
        let fractional = storage.milli_value() % 1000 != 0;
        fractional.then(|| {
            format!("{}: fractional byte value \"{storage}\" is invalid, must be an integer", list.key("storage"))
        })
    });
    lists.collect()
}

/// The access modes in short form, in upstream's order.
pub(super) fn access_modes(holder: &Tree) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let given: Vec<&str> = texts(holder, "accessModes").collect();
    SHORT.iter().filter(|(mode, _)| given.contains(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// Sources in other namespaces hang on a gate, which is off by default.
fn drop_foreign_source(kind: &Kind, spec: &mut Tree) {
    if kind.gates.enabled("CrossNamespaceVolumeDataSource") {
        return;
    }
    if child(spec, "dataSourceRef").is_some_and(|reference| !text(reference, "namespace").is_empty()) {
        spec.remove("dataSourceRef");
    }
}

/// Clients that know only `dataSource` may name claims and snapshots there; anything else is dropped without an error
/// (since v1.22).
fn drop_unknown_source(spec: &mut Tree) {
    if is_set(spec, "dataSourceRef") {
        return;
    }
    let known = child(spec, "dataSource").is_some_and(|source| match text(source, "kind") {
        "PersistentVolumeClaim" => text(source, "apiGroup").is_empty(),
        "VolumeSnapshot" => text(source, "apiGroup") == "snapshot.storage.k8s.io",
        _ => false,
    });
    if !known {
        spec.remove("dataSource");
    }
}

/// `dataSource` and `dataSourceRef` say the same, unless the latter names another namespace.
fn equal_sources(spec: &mut Tree) {
    if let (Some(source), false) = (child(spec, "dataSource").cloned(), is_set(spec, "dataSourceRef")) {
        spec.insert("dataSourceRef".to_owned(), Value::Object(source));
    } else if !is_set(spec, "dataSource")
        && let Some(reference) = child_mut(spec, "dataSourceRef")
        && text(reference, "namespace").is_empty()
    {
        let mut source = reference.clone();
        source.remove("namespace");
        spec.insert("dataSource".to_owned(), Value::Object(source));
    }
}
