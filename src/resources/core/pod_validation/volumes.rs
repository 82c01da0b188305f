//! Volumes of a pod.

use std::collections::{HashMap, HashSet};

use super::containers::PULL_POLICIES;
use super::env::{field_reference, quantity, resource_reference};
use super::mounts::{descending, no_backsteps, not_reserved};
use super::{projected, security, sub};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::metadata;
use crate::resources::check::{choice, dns_label, dns_subdomain, required_choice};
use crate::resources::core::network_volumes::{self, needed};
use crate::resources::core::volume_claim_validation::validate_claim_spec;
use crate::resources::tree::{Tree, child, int, is_set, is_zero, items, text};

const ONE_ONLY: &str = "may not specify more than 1 volume type";
const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const PARTITION: &str = "must be between 1 and 255, inclusive";
/// The sorts of volumes in upstream's order: the field, its name when it is one too many, its name in paths below.
const SORTS: [(&str, &str, &str); 30] = [
    ("hostPath", "hostPath", "hostPath"),
    ("gitRepo", "gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret", "secret"),
    ("nfs", "nfs", "nfs"),
    ("iscsi", "iscsi", "iscsi"),
    ("glusterfs", "glusterfs", "glusterfs"),
    ("flocker", "flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd", "rbd"),
    ("cinder", "cinder", "cinder"),
    ("cephfs", "cephFS", "cephfs"),
    ("quobyte", "quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI", "downwardAPI"),
    ("fc", "fc", "fc"),
    ("flexVolume", "flexVolume", "flexVolume"),
    ("configMap", "configMap", "configMap"),
    ("azureFile", "azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk", "azureDisk"),
    ("storageos", "storageos", "storageos"),
    ("projected", "projected", "projected"),
    ("scaleIO", "scaleIO", "scaleIO"),
    ("csi", "csi", "csi"),
    ("ephemeral", "ephemeral", "ephemeral"),
    ("image", "image", "image"),
    ("emptyDir", "emptyDir", "emptyDir"),
];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const DOWNWARD_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

const PORTAL_BYTES_MAX: usize = 64;
/// What the template of a claim may not say of the claim.
const NOT_OF_TEMPLATES: [&str; 13] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// `volumes` of a spec; gives the valid ones by name.
pub(super) fn validate<'a>(
    errors: &mut Errors,
    spec: &'a Tree,
    metadata: Option<&Tree>,
    path: &Path<'_>,
) -> HashMap<&'a str, &'a Tree> {
    let pod = metadata.map_or("", |meta| text(meta, "name"));
    let made: HashSet<String> = items(spec, "volumes")
        .filter(|volume| !pod.is_empty() && is_set(volume, "ephemeral"))
        .map(|volume| format!("{pod}-{}", text(volume, "name")))
        .collect();
    let list = path.child("volumes");
    let mut valid = HashMap::new();
    for (i, volume) in items(spec, "volumes").enumerate() {
        let (at, name) = (list.index(i), text(volume, "name"));
        let mut faults = Errors::new();
        source(&mut faults, volume, pod, &at);
        match name {
            "" => faults.push(FieldError::required(&at.child("name"), "")),
            _ => dns_label(&mut faults, name, &at.child("name")),
        }
        if valid.contains_key(name) {
            faults.push(FieldError::duplicate(&at.child("name"), name));
        }
        if faults.is_empty() {
            valid.insert(name, volume);
        }
        errors.append(&mut faults);
        let claim = text(sub(volume, "persistentVolumeClaim"), "claimName");
        if made.contains(claim) {
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            let at = at.child("persistentVolumeClaim");
            errors.push(FieldError::invalid(&at.child("claimName"), claim, detail));
        }
    }
    valid
}

fn source(errors: &mut Errors, volume: &Tree, pod: &str, path: &Path<'_>) {
    let mut found = false;
    if let Some(dir) = child(volume, "emptyDir") {
        found = true;
        empty_dir(errors, dir, &path.child("emptyDir"));
    }
    for (key, surplus, name) in SORTS.into_iter().filter(|(key, ..)| *key != "emptyDir") {
        let Some(given) = child(volume, key) else { continue };
        if found {
            errors.push(FieldError::forbidden(&path.child(surplus), ONE_ONLY));
            continue;
        }
        found = true;
        one(errors, key, given, &path.child(name));
        if key == "iscsi" {
            portal(errors, volume, given, path);
        }
        let (name, claim) = (text(volume, "name"), format!("{pod}-{}", text(volume, "name")));
        if key == "ephemeral" && !pod.is_empty() && !name.is_empty() {
            for message in crate::api::validation::names::dns1123_subdomain(&claim) {
                let detail = format!("PVC name {}: {message}", crate::api::field::go_quote(&claim));
                errors.push(FieldError::invalid(&path.child("name"), name, detail));
            }
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

/// The name of an interface that is made of both must not be too long.
fn portal(errors: &mut Errors, volume: &Tree, given: &Tree, path: &Path<'_>) {
    let (name, portal) = (text(volume, "name"), text(given, "targetPortal"));
    if is_set(given, "initiatorName") && name.len() + portal.len() + 1 > PORTAL_BYTES_MAX {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                      iscsi.initiatorName is specified.";
        errors.push(FieldError::invalid(&path.child("name"), name, detail));
    }
}

fn empty_dir(errors: &mut Errors, dir: &Tree, path: &Path<'_>) {
    if dir.get("sizeLimit").and_then(quantity).is_some_and(|size| size.is_negative()) {
        let detail = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), detail));
    }
    if let Some(mode) = int(dir, "mode").filter(|mode| !(0..=0o1777).contains(mode)) {
        let detail = "must be a number between 0 and 01777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.child("mode"), mode, detail));
    }
}

fn one(errors: &mut Errors, key: &str, given: &Tree, path: &Path<'_>) {
    match key {
        "hostPath" => host_path(errors, given, path),
        "gitRepo" => {
            needed(errors, given, &["repository"], path);
            descending(errors, text(given, "directory"), &path.child("directory"));
        }
        "gcePersistentDisk" => disk(errors, given, "pdName", path),
        "awsElasticBlockStore" => disk(errors, given, "volumeID", path),
        "secret" => keys_of(errors, given, "secretName", path),
        "configMap" => keys_of(errors, given, "name", path),
        "nfs" => {
            needed(errors, given, &["server", "path"], path);
            if !text(given, "path").starts_with('/') {
                let value = text(given, "path");
                errors.push(FieldError::invalid(&path.child("path"), value, "must be an absolute path"));
            }
        }
        "glusterfs" => needed(errors, given, &["endpoints", "path"], path),
        "persistentVolumeClaim" => needed(errors, given, &["claimName"], path),
        "rbd" => needed(errors, given, &["monitors", "image"], path),
        "portworxVolume" => needed(errors, given, &["volumeID"], path),
        "cephfs" => needed(errors, given, &["monitors"], path),
        "downwardAPI" => {
            modes(errors, given, "default", path);
            for file in items(given, "items") {
                downward_file(errors, file, path);
            }
        }
        "flexVolume" => needed(errors, given, &["driver"], path),
        "azureFile" => needed(errors, given, &["secretName", "shareName"], path),
        "vsphereVolume" => needed(errors, given, &["volumePath"], path),
        "photonPersistentDisk" => needed(errors, given, &["pdID"], path),
        "projected" => {
            modes(errors, given, "default", path);
            projected::sources(errors, given, path);
        }
        "csi" => inline_csi(errors, given, path),
        "ephemeral" => ephemeral(errors, given, path),
        "image" => {
            needed(errors, given, &["reference"], path);
            required_choice(errors, text(given, "pullPolicy"), &path.child("pullPolicy"), &PULL_POLICIES);
        }
        _ => {
            network_volumes::validate(errors, key, given, path);
        }
    }
}

fn host_path(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    let at = path.child("path");
    if text(given, "path").is_empty() {
        return errors.push(FieldError::required(&at, ""));
    }
    no_backsteps(errors, text(given, "path"), &at);
    if is_set(given, "type") {
        choice(errors, text(given, "type"), &path.child("type"), &HOST_PATH_TYPES);
    }
}

fn disk(errors: &mut Errors, given: &Tree, name: &str, path: &Path<'_>) {
    needed(errors, given, &[name], path);
    if let Some(partition) = int(given, "partition").filter(|p| !(0..=255).contains(p)) {
        errors.push(FieldError::invalid(&path.child("partition"), partition, PARTITION));
    }
}

fn keys_of(errors: &mut Errors, given: &Tree, name: &str, path: &Path<'_>) {
    needed(errors, given, &[name], path);
    modes(errors, given, "default", path);
    let list = path.child("items");
    for (i, item) in items(given, "items").enumerate() {
        key_to_path(errors, item, &list.index(i));
    }
}

/// The mode and the owner of files, under their names for one file (no prefix) or for all of a volume.
fn modes(errors: &mut Errors, given: &Tree, prefix: &str, path: &Path<'_>) {
    let (mode_key, user_key) = if prefix.is_empty() { ("mode", "user") } else { ("defaultMode", "defaultUser") };
    if let Some(mode) = int(given, mode_key).filter(|mode| !(0..=0o777).contains(mode)) {
        errors.push(FieldError::invalid(&path.child(mode_key), mode, FILE_MODE));
    }
    security::id(errors, int(given, user_key), &path.child(user_key));
}

/// A key of a ConfigMap or a Secret and the file that it becomes.
pub(super) fn key_to_path(errors: &mut Errors, item: &Tree, path: &Path<'_>) {
    needed(errors, item, &["key", "path"], path);
    not_reserved(errors, text(item, "path"), &path.child("path"));
    modes(errors, item, "", path);
}

/// A file that says something of the pod.
pub(super) fn downward_file(errors: &mut Errors, file: &Tree, path: &Path<'_>) {
    needed(errors, file, &["path"], path);
    not_reserved(errors, text(file, "path"), &path.child("path"));
    match (child(file, "fieldRef"), child(file, "resourceFieldRef")) {
        (Some(reference), other) => {
            field_reference(errors, reference, &DOWNWARD_FIELDS, &path.child("fieldRef"));
            if other.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", detail));
            }
        }
        (None, Some(reference)) => resource_reference(errors, reference, true, &path.child("resourceFieldRef")),
        (None, None) => {
            errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    modes(errors, file, "", path);
}

fn inline_csi(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    let (driver, at) = (text(given, "driver"), path.child("driver"));
    if driver.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        if driver.len() > 63 {
            errors.push(FieldError::too_long(&at, 63));
        }
        for message in crate::api::validation::names::dns1123_subdomain(&driver.to_lowercase()) {
            errors.push(FieldError::invalid(&at, driver, message));
        }
    }
    if let Some(secret) = child(given, "nodePublishSecretRef") {
        match text(secret, "name") {
            "" => {
                let at = path.child("nodePublishSecretRef");
                errors.push(FieldError::required(&at.child("name"), ""));
            }
            name => dns_subdomain(errors, name, &path.child("name")),
        }
    }
}

fn ephemeral(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    let at = path.child("volumeClaimTemplate");
    let Some(template) = child(given, "volumeClaimTemplate") else {
        return errors.push(FieldError::required(&at, ""));
    };
    let (meta, spec, spec_path) = (sub(template, "metadata"), sub(template, "spec"), at.child("spec"));
    let meta_path = at.child("metadata");
    metadata::annotations(sub(meta, "annotations"), &meta_path.child("annotations"), errors);
    metadata::labels(sub(meta, "labels"), &meta_path.child("labels"), errors);
    for key in NOT_OF_TEMPLATES.into_iter().filter(|key| meta.get(*key).is_some_and(|value| !is_zero(value))) {
        let field = if key == "uid" { "uID" } else { key };
        errors.push(FieldError::forbidden(&meta_path.child(field), "cannot be set"));
    }
    validate_claim_spec(errors, spec, &spec_path);
}
