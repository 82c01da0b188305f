//! Where a container sees its volumes, and the paths that may stand there.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::containers::{Surroundings, privileged};
use super::flag;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::choice;
use crate::resources::tree::{Tree, count, is_set, items, text, texts};

const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
const RECURSIVE: [&str; 3] = ["Disabled", "Enabled", "IfPossible"];
const MOUNT_OPTIONS: [&str; 3] = ["nodev", "noexec", "nosuid"];

/// `volumeMounts` and `volumeDevices` of a container.
pub(super) fn validate(errors: &mut Errors, container: &Tree, pod: &Surroundings<'_>, path: &Path<'_>) {
    mounts(errors, container, pod, &path.child("volumeMounts"));
    devices(errors, container, pod, &path.child("volumeDevices"));
}

/// Names and paths of a list; of several with one name the last counts.
fn places<'a>(container: &'a Tree, list: &str, path_key: &str) -> HashMap<&'a str, &'a str> {
    items(container, list).map(|item| (text(item, "name"), text(item, path_key))).collect()
}

fn mounts(errors: &mut Errors, container: &Tree, pod: &Surroundings<'_>, path: &Path<'_>) {
    let devices = places(container, "volumeDevices", "devicePath");
    let mut seen = HashSet::new();
    for (i, mount) in items(container, "volumeMounts").enumerate() {
        let at = path.index(i);
        let (name_path, place_path) = (at.child("name"), at.child("mountPath"));
        let (name, place) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(&name_path, ""));
        }
        if !pod.volumes.contains_key(name) {
            errors.push(FieldError::not_found(&name_path, name));
        }
        if place.is_empty() {
            errors.push(FieldError::required(&place_path, ""));
        }
        if !seen.insert(place) {
            errors.push(FieldError::invalid(&place_path, place, "must be unique"));
        }
        if devices.contains_key(name) {
            errors.push(FieldError::invalid(&name_path, name, "must not already exist in volumeDevices"));
        }
        if devices.values().any(|device| *device == place) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&place_path, place, detail));
        }
        sub_paths(errors, mount, &at, path);
        if is_set(mount, "mountPropagation") {
            propagation(errors, mount, container, &path.child("mountPropagation"));
        }
        recursive_read_only(errors, mount, &path.child("recursiveReadOnly"));
        let options = at.child("bindMountOptions");
        mount_options(errors, mount, &options);
        if count(mount, "bindMountOptions") > 0 && pod.volumes.get(name).is_some_and(|v| is_set(v, "image")) {
            let value = mount.get("bindMountOptions").cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(&options, value, "bindMountOptions may not be used with image volumes"));
        }
    }
}

/// Upstream gives some faults of a mount the path of the list.
fn sub_paths(errors: &mut Errors, mount: &Tree, at: &Path<'_>, list: &Path<'_>) {
    let (sub_path, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
    if !sub_path.is_empty() {
        descending(errors, sub_path, &list.child("subPath"));
    }
    if !expression.is_empty() {
        if !sub_path.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&at.child("subPathExpr"), expression, detail));
        }
        descending(errors, expression, &list.child("subPathExpr"));
    }
}

fn propagation(errors: &mut Errors, mount: &Tree, container: &Tree, path: &Path<'_>) {
    let mode = text(mount, "mountPropagation");
    choice(errors, mode, path, &PROPAGATIONS);
    if mode == "Bidirectional" && !privileged(container) {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn recursive_read_only(errors: &mut Errors, mount: &Tree, path: &Path<'_>) {
    if !is_set(mount, "recursiveReadOnly") {
        return;
    }
    match text(mount, "recursiveReadOnly") {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !flag(mount, "readOnly") {
                errors.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
            }
            if is_set(mount, "mountPropagation") && text(mount, "mountPropagation") != "None" {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, detail));
            }
        }
        other => choice(errors, other, path, &RECURSIVE),
    }
}

fn mount_options(errors: &mut Errors, mount: &Tree, path: &Path<'_>) {
    let mut seen = HashSet::new();
    for (i, option) in texts(mount, "bindMountOptions").enumerate() {
        choice(errors, option, &path.index(i), &MOUNT_OPTIONS);
        if !seen.insert(option) {
            errors.push(FieldError::duplicate(&path.index(i), option));
        }
    }
}

fn devices(errors: &mut Errors, container: &Tree, pod: &Surroundings<'_>, path: &Path<'_>) {
    let mounts = places(container, "volumeMounts", "mountPath");
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for (i, device) in items(container, "volumeDevices").enumerate() {
        let at = path.index(i);
        let (name_path, place_path) = (at.child("name"), at.child("devicePath"));
        let (name, place) = (text(device, "name"), text(device, "devicePath"));
        if name.is_empty() {
            errors.push(FieldError::required(&name_path, ""));
        }
        if names.contains(name) {
            errors.push(FieldError::invalid(&name_path, name, "must be unique"));
        }
        match pod.volumes.get(name) {
            None => errors.push(FieldError::not_found(&name_path, name)),
            Some(volume) if !is_set(volume, "persistentVolumeClaim") && !is_set(volume, "ephemeral") => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(&name_path, name, detail));
            }
            Some(_) => {}
        }
        if place.is_empty() {
            errors.push(FieldError::required(&place_path, ""));
        }
        if paths.contains(place) {
            errors.push(FieldError::invalid(&place_path, place, "must be unique"));
        }
        if steps_back(place) {
            errors.push(FieldError::invalid(&place_path, place, "can not contain backsteps ('..')"));
        } else {
            paths.insert(place);
        }
        if mounts.contains_key(name) {
            errors.push(FieldError::invalid(&name_path, name, "must not already exist in volumeMounts"));
        }
        if mounts.values().any(|mount| *mount == place) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(&place_path, place, detail));
        }
        if !name.is_empty() {
            names.insert(name);
        }
    }
}

fn steps_back(path: &str) -> bool {
    path.split('/').any(|step| step == "..")
}

/// A path without `..`.
pub(super) fn no_backsteps(errors: &mut Errors, value: &str, path: &Path<'_>) {
    if steps_back(value) {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}

/// A path that leads down from where it starts.
pub(super) fn descending(errors: &mut Errors, value: &str, path: &Path<'_>) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    no_backsteps(errors, value, path);
}

/// A path that leads down and does not start with two dots.
pub(super) fn not_reserved(errors: &mut Errors, value: &str, path: &Path<'_>) {
    descending(errors, value, path);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(FieldError::invalid(path, value, "must not start with '..'"));
    }
}
