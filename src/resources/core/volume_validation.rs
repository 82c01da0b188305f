//! Validation of PersistentVolumes, in upstream's order and words.

use serde_json::Value;

use super::network_volumes::{self, needed};
use super::volume_claim_validation::{VOLUME_MODES, access_modes, positive};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::quantity::Quantity;
use crate::api::validation::names::{dns1123_label, dns1123_subdomain};
use crate::resources::check::{choice, forbidden_difference, immutable, invalid_as, messages};
use crate::resources::core::pod_validation::validate_node_selector;
use crate::resources::tree::{Tree, child, count, int, is_set, text};

/// The sources in the order in which upstream looks for them, each with the name that its path has.
const SOURCES: [(&str, &str); 21] = [
    ("hostPath", "hostPath"),
    ("gcePersistentDisk", "persistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("nfs", "nfs"),
    ("rbd", "rbd"),
    ("quobyte", "quobyte"),
    ("cephfs", "cephfs"),
    ("iscsi", "iscsi"),
    ("cinder", "cinder"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("scaleIO", "scaleIO"),
    ("local", "local"),
    ("storageos", "storageos"),
];
const RECLAIM: [&str; 3] = ["Delete", "Recycle", "Retain"];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const DRIVER_BYTES_MAX: usize = 63;
const EXPANSION_SECRET: &str = "controllerExpandSecretRef";
const CLASS: &str = "volumeAttributesClassName";
const AFFINITY: &str = "io.k8s.api.core.v1.VolumeNodeAffinity";
/// Labels of nodes that were in beta, with those that replaced them.
const RENAMED: [(&str, &str); 3] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];
const SOURCE: &str = "io.k8s.api.core.v1.PersistentVolumeSpec/embedded";

/// A new volume.
pub(super) fn validate(volume: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    validate_spec(&mut errors, child(volume.root(), "spec").unwrap_or(&empty), &Path::new("spec"));
    errors
}

/// The spec of a volume that stands in an attachment.
pub(in crate::resources) fn validate_inline(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    const HERE: &str = "in the context of inline volumes";
    let forbid = |errors: &mut Errors, key: &str, what: String| {
        errors.push(FieldError::forbidden(&path.child(key), format!("{what} {HERE}")));
    };
    let nothing = || "may not be specified".to_owned();
    if is_set(spec, "claimRef") {
        forbid(errors, "claimRef", nothing());
    }
    if child(spec, "capacity").is_some_and(|capacity| !capacity.is_empty()) {
        forbid(errors, "capacity", nothing());
    }
    if !is_set(spec, "csi") {
        errors.push(FieldError::required(&path.child("csi"), format!("has to be specified {HERE}")));
    }
    if count(spec, "accessModes") == 0 {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    access_modes(errors, spec, path);
    if !matches!(text(spec, "persistentVolumeReclaimPolicy"), "" | "Retain") {
        forbid(errors, "persistentVolumeReclaimPolicy", "may only be Retain".to_owned());
    }
    if is_set(spec, "nodeAffinity") {
        forbid(errors, "nodeAffinity", nothing());
    }
    sources(errors, spec, false, path);
    recycled_root(errors, spec, path);
    if !text(spec, "storageClassName").is_empty() {
        forbid(errors, "storageClassName", nothing());
    }
    if is_set(spec, "volumeMode") && text(spec, "volumeMode") != "Filesystem" {
        forbid(errors, "volumeMode", "may not specify volumeMode other than Filesystem".to_owned());
    }
}

fn recycled_root(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let host = child(spec, "hostPath").map_or("", |host| text(host, "path"));
    if host == "/" && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&path.child("persistentVolumeReclaimPolicy"), detail));
    }
}

fn validate_spec(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    if count(spec, "accessModes") == 0 {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    access_modes(errors, spec, path);
    capacity(errors, spec, path);
    if !text(spec, "persistentVolumeReclaimPolicy").is_empty() {
        let policy = text(spec, "persistentVolumeReclaimPolicy");
        choice(errors, policy, &path.child("persistentVolumeReclaimPolicy"), &RECLAIM);
    }
    let affinity = node_affinity(errors, spec, &path.child("nodeAffinity"));
    sources(errors, spec, affinity, path);
    recycled_root(errors, spec, path);
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        messages(errors, &path.child("storageClassName"), class, dns1123_subdomain(class));
    }
    if is_set(spec, "volumeMode") {
        choice(errors, text(spec, "volumeMode"), &path.child("volumeMode"), &VOLUME_MODES);
    }
    if let Some(class) = spec.get("volumeAttributesClassName").and_then(Value::as_str) {
        let at = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(FieldError::required(&at, "an empty string is disallowed"));
        } else {
            messages(errors, &at, class, dns1123_subdomain(class));
        }
        if !is_set(spec, "csi") {
            let detail = "has to be specified when using volumeAttributesClassName";
            errors.push(FieldError::required(&path.child("csi"), detail));
        }
    }
}

fn capacity(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let at = path.child("capacity");
    let empty = Tree::new();
    let given = child(spec, "capacity").unwrap_or(&empty);
    let shown = spec.get("capacity").cloned().unwrap_or(Value::Null);
    if given.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if !given.contains_key("storage") || given.len() > 1 {
        errors.push(FieldError::not_supported(&at, shown, &["storage"]));
    }
    for (name, amount) in given {
        if let Some(amount) = amount.as_str().and_then(|text| text.parse::<Quantity>().ok()) {
            if amount.is_negative() {
                errors.push(FieldError::invalid(&at.key(name), amount.value(), "must be a valid resource quantity"));
            }
            positive(errors, &amount, &at.key(name));
        }
    }
}

/// Whether there is a node affinity that says something.
fn node_affinity(errors: &mut Errors, spec: &Tree, path: &Path<'_>) -> bool {
    let Some(affinity) = child(spec, "nodeAffinity") else { return false };
    match child(affinity, "required") {
        Some(required) => validate_node_selector(errors, required, &path.child("required")),
        None => errors.push(FieldError::required(&path.child("required"), "must specify required node constraints")),
    }
    true
}

fn sources(errors: &mut Errors, spec: &Tree, affinity: bool, path: &Path<'_>) {
    let mut found = 0;
    let all = SOURCES.iter().chain(std::iter::once(&("csi", "csi")));
    for (key, name) in all.filter(|(key, _)| is_set(spec, key)) {
        let empty = Tree::new();
        let given = child(spec, key).unwrap_or(&empty);
        let at = path.child(name);
        // A second source is told of by another name in two cases, and not at all in one.
        if found > 0 && *key != "flexVolume" {
            let named = if *key == "cephfs" { "cephFS" } else { key };
            errors.push(FieldError::forbidden(&path.child(named), "may not specify more than 1 volume type"));
            continue;
        }
        found += 1;
        source(errors, key, given, &at);
        if *key == "local" && !affinity {
            errors.push(FieldError::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if found == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn source(errors: &mut Errors, key: &str, given: &Tree, path: &Path<'_>) {
    match key {
        "hostPath" => host_path(errors, given, path),
        "gcePersistentDisk" => disk(errors, given, "pdName", path),
        "awsElasticBlockStore" => disk(errors, given, "volumeID", path),
        "glusterfs" => {
            needed(errors, given, &["endpoints", "path"], path);
            if let Some(namespace) = given.get("endpointsNamespace").and_then(Value::as_str)
                && namespace.is_empty()
            {
                let detail = "if the endpointnamespace is set, it must be a valid namespace name";
                errors.push(FieldError::invalid(&path.child("endpointsNamespace"), namespace, detail));
            }
        }
        "nfs" => {
            needed(errors, given, &["server", "path"], path);
            if !text(given, "path").starts_with('/') {
                let detail = "must be an absolute path";
                errors.push(FieldError::invalid(&path.child("path"), text(given, "path"), detail));
            }
        }
        "rbd" => needed(errors, given, &["monitors", "image"], path),
        "cephfs" => needed(errors, given, &["monitors"], path),
        "flexVolume" => needed(errors, given, &["driver"], path),
        "azureFile" => {
            needed(errors, given, &["secretName", "shareName"], path);
            if given.get("secretNamespace").and_then(Value::as_str) == Some("") {
                errors.push(FieldError::required(&path.child("secretNamespace"), ""));
            }
        }
        "vsphereVolume" => needed(errors, given, &["volumePath"], path),
        "photonPersistentDisk" => needed(errors, given, &["pdID"], path),
        "portworxVolume" => needed(errors, given, &["volumeID"], path),
        "local" if text(given, "path").is_empty() => errors.push(FieldError::required(&path.child("path"), "")),
        "local" => no_backsteps(errors, text(given, "path"), &path.child("path")),
        "csi" => csi(errors, given, path),
        "storageos" => {
            network_volumes::validate(errors, key, given, path);
        }
        "cinder" => {
            needed(errors, given, &["volumeID"], path);
            named_secret(errors, given, "secretRef", path);
        }
        "iscsi" => {
            let first = errors.len();
            network_volumes::validate(errors, key, given, path);
            // The words differ from those of pods.
            for error in errors[first..].iter_mut().filter(|error| error.detail.starts_with("must be valid format")) {
                "must be valid format".clone_into(&mut error.detail);
            }
            if let Some(reference) = child(given, "secretRef") {
                needed(errors, reference, &["name"], &path.child("secretRef"));
            }
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

fn no_backsteps(errors: &mut Errors, value: &str, path: &Path<'_>) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}

fn disk(errors: &mut Errors, given: &Tree, name: &str, path: &Path<'_>) {
    needed(errors, given, &[name], path);
    if let Some(partition) = int(given, "partition").filter(|partition| !(0..=255).contains(partition)) {
        let detail = "must be between 0 and 255, inclusive";
        errors.push(FieldError::invalid(&path.child("partition"), partition, detail));
    }
}

fn named_secret(errors: &mut Errors, given: &Tree, key: &str, path: &Path<'_>) {
    let Some(reference) = child(given, key) else { return };
    needed(errors, reference, &["name", "namespace"], &path.child(key));
}

fn csi(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    let driver = text(given, "driver");
    let at = path.child("driver");
    if driver.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        if driver.len() > DRIVER_BYTES_MAX {
            errors.push(FieldError::too_long(&at, DRIVER_BYTES_MAX));
        }
        messages(errors, &at, driver, dns1123_subdomain(&driver.to_lowercase()));
    }
    needed(errors, given, &["volumeHandle"], path);
    for key in
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"]
    {
        let Some(reference) = child(given, key) else { continue };
        let at = path.child(key);
        for part in ["name", "namespace"] {
            let value = text(reference, part);
            let at = at.child(part);
            match (value, part) {
                ("", _) => errors.push(FieldError::required(&at, "")),
                (name, "name") => messages(errors, &at, name, dns1123_subdomain(name)),
                (namespace, _) => messages(errors, &at, namespace, dns1123_label(namespace)),
            }
        }
    }
}

/// A changed volume: where it lies does not change, and what was said of nodes stays.
pub(super) fn validate_update(new: &Object, old: &Object) -> Errors {
    let mut errors = validate(new);
    let path = Path::new("spec");
    let spec = |volume: &Object| child(volume.root(), "spec").cloned().unwrap_or_default();
    let (now, before) = (spec(new), spec(old));
    let source = |spec: &Tree| -> Tree {
        let known = |key: &str| key == "csi" || SOURCES.iter().any(|(source, _)| *source == key);
        spec.iter().filter(|(key, _)| known(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let (from, mut to) = (source(&before), source(&now));
    // A secret for expansion may come later.
    if let (Some(csi), Some(old)) = (to.get_mut("csi").and_then(Value::as_object_mut), child(&from, "csi"))
        && !is_set(old, EXPANSION_SECRET)
    {
        csi.remove(EXPANSION_SECRET);
    }
    if from != to {
        let detail = "spec.persistentvolumesource is immutable after creation\n".to_owned();
        errors.push(forbidden_difference(&path.child("persistentvolumesource"), detail, SOURCE, (&from, &to)));
    }
    immutable(&mut errors, now.get("volumeMode"), before.get("volumeMode"), &Path::new("volumeMode"));
    let affinity = |spec: &Tree| spec.get("nodeAffinity").cloned().unwrap_or(Value::Null);
    if is_set(&before, "nodeAffinity") && !same_affinity(&affinity(&now), &affinity(&before)) {
        let detail = "field is immutable, except for updating from beta label to GA";
        errors.push(invalid_as(&Path::new("nodeAffinity"), affinity(&now), AFFINITY, detail));
    }
    if is_set(&before, CLASS) && !is_set(&now, CLASS) {
        errors.push(FieldError::forbidden(&path.child(CLASS), "update from non-nil value to nil is forbidden"));
    }
    errors
}

/// Labels of zones, regions and instances may change to those that replaced them.
fn same_affinity(now: &Value, before: &Value) -> bool {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            // What was renamed is looked up in a table of Go, which gives an empty name for all others.
            let renamed = |key: &str| {
                let (was, is) = (text(before, key), text(now, key));
                let other = RENAMED.iter().find(|(old, _)| *old == was).map_or("", |(_, new)| *new);
                key == "key" && is_set(before, "operator") && other == is
            };
            let same = |key: &String| {
                let of = |tree: &Tree| tree.get(key).cloned().unwrap_or(Value::Null);
                renamed(key) || same_affinity(&of(now), &of(before))
            };
            now.keys().chain(before.keys()).all(same)
        }
        (Value::Array(now), Value::Array(before)) => {
            now.len() == before.len() && now.iter().zip(before).all(|(now, before)| same_affinity(now, before))
        }
        (now, before) => now == before,
    }
}
