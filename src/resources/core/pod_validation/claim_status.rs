//! What the status of a pod says of its resource claims.

use std::collections::HashSet;

use super::sub;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::{dns_label, dns_subdomain};
use crate::resources::tree::{Tree, child, count, is_set, items, text};

/// The three lists of claims, held against the spec.
pub(super) fn validate(errors: &mut Errors, status: &Tree, spec: &Tree, path: &Path<'_>) {
    made(errors, status, spec, &path.child("resourceClaimStatuses"));
    if let Some(extended) = child(status, "extendedResourceClaimStatus") {
        extended_resources(errors, extended, spec, &path.child("extendedResourceClaimStatus"));
    }
    let at = path.child("nodeAllocatableResourceClaimStatuses");
    for (i, allocatable) in items(status, "nodeAllocatableResourceClaimStatuses").enumerate() {
        let name = text(allocatable, "resourceClaimName");
        let of = |list, tree| items(tree, list).any(|claim: &Tree| text(claim, "resourceClaimName") == name);
        if !name.is_empty() && !of("resourceClaims", spec) && !of("resourceClaimStatuses", status) {
            let field = at.index(i);
            let detail = "no mapping found in pod reference";
            errors.push(FieldError::invalid(&field.child("resourceClaimName"), name, detail));
        }
    }
}

/// Claims that were made from templates.
fn made(errors: &mut Errors, status: &Tree, spec: &Tree, path: &Path<'_>) {
    let mut seen = HashSet::new();
    for (i, claim) in items(status, "resourceClaimStatuses").enumerate() {
        let (at, name) = (path.index(i), text(claim, "name"));
        if !items(spec, "resourceClaims").any(|known| text(known, "name") == name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(&at.child("name"), name, detail));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if is_set(claim, "resourceClaimName") {
            dns_subdomain(errors, text(claim, "resourceClaimName"), &at.child("resourceClaimName"));
        }
    }
}

fn extended_resources(errors: &mut Errors, given: &Tree, spec: &Tree, path: &Path<'_>) {
    let list = path.child("requestMappings");
    if count(given, "requestMappings") == 0 {
        errors.push(FieldError::required(&list, "at least one request mapping is required"));
    }
    let mut seen = HashSet::new();
    for (i, mapping) in items(given, "requestMappings").enumerate() {
        let at = list.index(i);
        let keys = ["containerName", "resourceName", "requestName"];
        let [container, resource, request] = keys.map(|key| text(mapping, key));
        // A later container of the name counts.
        let containers = ["containers", "initContainers"];
        let found =
            containers.iter().find_map(|list| items(spec, list).filter(|c| text(c, "name") == container).last());
        match found {
            Some(found) if !sub(sub(found, "resources"), "requests").contains_key(resource) => {
                let detail = "must match the extended resource name of an entry in \
                              spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(FieldError::invalid(&at.child("resourceName"), resource, detail));
            }
            Some(_) => {}
            None => {
                let detail = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(FieldError::invalid(&at.child("containerName"), container, detail));
            }
        }
        dns_label(errors, request, &path.child("requestName"));
        if !seen.insert((container, resource, request)) {
            for (key, value) in keys.into_iter().zip([container, resource, request]) {
                errors.push(FieldError::duplicate(&at.child(key), value));
            }
        }
    }
    match text(given, "resourceClaimName") {
        "" => errors.push(FieldError::required(&path.child("resourceClaimName"), "")),
        name => dns_subdomain(errors, name, &path.child("resourceClaimName")),
    }
}
