//! What the status of a pod says of users, resources and volumes of its containers.

use std::collections::HashSet;

use serde_json::Value;

use super::env::quantity;
use super::sub;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names;
use crate::resources::check::{choice, messages};
use crate::resources::tree::{Tree, child, count, int, items, text};

const CLAIM: &str = "claim:";
const HEALTH: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
const MESSAGE_BYTES_MAX: usize = 1024;
const IMAGE_BYTES_MAX: usize = 256;
const LISTS: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

/// All lists of containers.
pub(super) fn validate(errors: &mut Errors, status: &Tree, spec: &Tree, path: &Path<'_>) {
    for list in LISTS {
        users(errors, status, spec, &(path.child(list), list));
    }
    for (list, containers) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        let at = path.child(list);
        for (i, given) in items(status, list).enumerate() {
            let name = text(given, "name");
            let container = items(spec, containers).find(|container| text(container, "name") == name);
            let at = at.index(i);
            resources(errors, given, (container, status), &at.child("allocatedResourcesStatus"));
        }
    }
    let at = path.child("ephemeralContainerStatuses");
    for (i, given) in items(status, "ephemeralContainerStatuses").enumerate() {
        if count(given, "allocatedResourcesStatus") > 0 {
            let detail = "must not be specified in container status";
            errors.push(FieldError::forbidden(&at.index(i).child("allocatedResourcesStatus"), detail));
        }
    }
    for list in LISTS {
        volumes(errors, status, &(path.child(list), list));
    }
}

fn users(errors: &mut Errors, status: &Tree, spec: &Tree, (path, list): &(Path<'_>, &str)) {
    let system = child(spec, "os").map_or("linux", |os| text(os, "name"));
    for (i, given) in items(status, list).enumerate() {
        let Some(user) = child(sub(given, "user"), "linux") else { continue };
        let at = path.index(i);
        let at = at.child("user");
        let at = at.child("linux");
        match system {
            "windows" => errors.push(FieldError::forbidden(&at, "cannot be set for a windows pod")),
            "linux" => linux_user(errors, user, &at),
            _ => {}
        }
    }
}

fn linux_user(errors: &mut Errors, user: &Tree, path: &Path<'_>) {
    // What runs may have any id that Linux knows, although a spec may not ask for it.
    let (id, max) = (int(user, "uid").unwrap_or(0), i64::from(u32::MAX));
    if !(0..=max).contains(&id) {
        errors.push(FieldError::invalid(&path.child("uid"), id, format!("must be between 0 and {max}, inclusive")));
    }
    let group = int(user, "gid").unwrap_or(0);
    messages(errors, &path.child("gid"), group, names::user_or_group_id(group));
    let at = path.child("supplementalGroups");
    for (i, group) in user.get("supplementalGroups").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        messages(errors, &at.index(i), group, names::user_or_group_id(group));
    }
}

fn resources(errors: &mut Errors, given: &Tree, (container, status): (Option<&Tree>, &Tree), path: &Path<'_>) {
    for (j, resource) in items(given, "allocatedResourcesStatus").enumerate() {
        let (at, name) = (path.index(j), text(resource, "name"));
        if let Some(detail) = container.and_then(|container| unknown(name, container, status)) {
            errors.push(FieldError::invalid(&at.child("name"), name, detail));
        }
        let list = at.child("resources");
        let mut seen = HashSet::new();
        for (k, one) in items(resource, "resources").enumerate() {
            let at = list.index(k);
            choice(errors, text(one, "health"), &at.child("health"), &HEALTH);
            match one.get("message").and_then(Value::as_str) {
                Some("") => errors.push(FieldError::required(&at.child("message"), "must be non-empty if specified")),
                Some(message) if message.len() > MESSAGE_BYTES_MAX => {
                    errors.push(FieldError::too_long(&at.child("message"), MESSAGE_BYTES_MAX));
                }
                Some(_) | None => {}
            }
            if !seen.insert(text(one, "resourceID")) {
                errors.push(FieldError::duplicate(&at.child("resourceID"), text(one, "resourceID")));
            }
        }
    }
}

/// Why the container does not have the resource or claim.
fn unknown(name: &str, container: &Tree, status: &Tree) -> Option<&'static str> {
    let asked = sub(container, "resources");
    let requests = sub(asked, "requests");
    let Some(claim) = name.strip_prefix(CLAIM) else {
        return (!requests.contains_key(name)).then_some("must match one of the container's resource requests");
    };
    let named = items(asked, "claims").any(|known| match text(known, "request") {
        "" => text(known, "name") == claim,
        request => claim.strip_prefix(text(known, "name")).and_then(|rest| rest.strip_prefix('/')) == Some(request),
    });
    let extended = sub(status, "extendedResourceClaimStatus");
    let mapped = claim.split_once('/').is_some_and(|(claim, request)| {
        claim == text(extended, "resourceClaimName")
            && items(extended, "requestMappings")
                .filter(|m| text(m, "containerName") == text(container, "name") && text(m, "requestName") == request)
                .any(|m| requests.get(text(m, "resourceName")).and_then(quantity).is_some_and(|q| !q.is_zero()))
    });
    let detail = "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when \
                  container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty";
    (!named && !mapped).then_some(detail)
}

fn volumes(errors: &mut Errors, status: &Tree, (path, list): &(Path<'_>, &str)) {
    for (i, given) in items(status, list).enumerate() {
        let at = path.index(i);
        let mounts = at.child("volumeMounts");
        for (j, mount) in items(given, "volumeMounts").enumerate() {
            let Some(image) = child(sub(mount, "volumeStatus"), "image") else { continue };
            let at = mounts.index(j);
            let at = at.child("volumeStatus");
            let at = at.child("imageVolumeStatus");
            let reference = text(image, "imageRef");
            if reference.is_empty() {
                errors.push(FieldError::required(&at.child("imageRef"), "imageRef must not be empty"));
            } else if reference.len() > IMAGE_BYTES_MAX {
                errors.push(FieldError::too_long(&at.child("imageRef"), IMAGE_BYTES_MAX));
            }
        }
    }
}
