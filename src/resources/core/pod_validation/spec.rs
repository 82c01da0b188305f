//! The spec of a pod: everything in order, and its small fields.

use std::collections::HashSet;

use serde_json::Value;

use super::{containers, each_container, flag, resources, security, spread, sub, tolerations, volumes};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::metadata::labels;
use crate::api::validation::names;
use crate::resources::check::{address, choice, dns_label, dns_subdomain, messages, qualified_name, required_choice};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const PREEMPTION_POLICIES: [&str; 2] = ["PreemptLowerPriority", "Never"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_LIST_BYTES_MAX: usize = 2048;
const HOSTNAME_BYTES_MAX: usize = 64;

/// The spec of a pod, whose metadata is given, or of a template.
pub(super) fn validate(errors: &mut Errors, spec: &Tree, metadata: Option<&Tree>, path: &Path<'_>) {
    if int(spec, "terminationGracePeriodSeconds").is_none() {
        errors.push(FieldError::required(&path.child("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volumes::validate(errors, spec, metadata, path);
    resources::pod_claims(errors, spec, metadata, path);
    let claims = items(spec, "resourceClaims").map(|c| text(c, "name")).filter(|n| !n.is_empty()).collect();
    let pod = containers::Surroundings { spec, volumes, claims };
    containers::validate(errors, &pod, path);
    resources::pod(errors, &pod, path);
    host_ports(errors, spec, metadata.is_some(), path);
    required_choice(errors, text(spec, "restartPolicy"), &path.child("restartPolicy"), &RESTART_POLICIES);
    required_choice(errors, text(spec, "dnsPolicy"), &path.child("dnsPolicy"), &DNS_POLICIES);
    labels(sub(spec, "nodeSelector"), &path.child("nodeSelector"), errors);
    security::pod(errors, spec, path);
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    super::affinity::validate(errors, sub(spec, "affinity"), &path.child("affinity"));
    dns(errors, spec, &path.child("dnsConfig"));
    gates(errors, spec, path);
    spread::validate(errors, spec, &path.child("topologySpreadConstraints"));
    security::host_process(errors, spec, path);
    host_users(errors, spec, path);
    hostname_override(errors, spec, path);
    names_of(errors, spec, path);
    tolerations::validate(errors, spec, &path.child("tolerations"));
    aliases(errors, spec, &path.child("hostAliases"));
    classes(errors, spec, path);
    operating_system(errors, spec, path);
    scheduling_group(errors, spec, path);
    super::env::file_volumes(errors, spec, path);
}

fn host_ports(errors: &mut Errors, spec: &Tree, of_pod: bool, path: &Path<'_>) {
    if !flag(spec, "hostNetwork") {
        return;
    }
    let list = path.child("containers");
    for (i, container) in items(spec, "containers").enumerate() {
        let at = list.index(i);
        let ports = at.child("ports");
        for (j, port) in items(container, "ports").enumerate() {
            let (host, own) = (int(port, "hostPort").unwrap_or(0), int(port, "containerPort").unwrap_or(0));
            // In a template the port is filled in when the pod is made.
            if (of_pod || host != 0) && host != own {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&ports.index(j).child("hostPort"), host, detail));
            }
        }
    }
}

fn dns(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let config = child(spec, "dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        if config.is_none() {
            return errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        if config.is_some_and(|config| count(config, "nameservers") == 0) {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.push(FieldError::required(&path.child("nameservers"), detail));
        }
    }
    let Some(config) = config else { return };
    let value = |key: &str| config.get(key).cloned().unwrap_or(Value::Null);
    let servers = path.child("nameservers");
    if count(config, "nameservers") > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(&servers, value("nameservers"), detail));
    }
    for (i, server) in texts(config, "nameservers").enumerate() {
        address(errors, server, &servers.index(i), &[]);
    }
    let at = path.child("searches");
    if count(config, "searches") > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(&at, value("searches"), detail));
    }
    let bytes = texts(config, "searches").map(|s| s.len() + 1).sum::<usize>().saturating_sub(1);
    if bytes > SEARCH_LIST_BYTES_MAX {
        let detail =
            format!("must not have more than {SEARCH_LIST_BYTES_MAX} characters (including spaces) in the search list");
        errors.push(FieldError::invalid(&at, value("searches"), detail));
    }
    for (i, search) in texts(config, "searches").enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        messages(errors, &at.index(i), search, names::dns1123_subdomain_with_underscore(search));
    }
    let options = path.child("options");
    for (i, _) in items(config, "options").enumerate().filter(|(_, option)| text(option, "name").is_empty()) {
        errors.push(FieldError::required(&options.index(i), "must not be empty"));
    }
}

fn gates(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let list = path.child("readinessGates");
    for (i, gate) in items(spec, "readinessGates").enumerate() {
        qualified_name(errors, text(gate, "conditionType"), &list.index(i).child("conditionType"));
    }
    let list = path.child("schedulingGates");
    let mut seen = HashSet::new();
    for (i, gate) in items(spec, "schedulingGates").enumerate() {
        qualified_name(errors, text(gate, "name"), &list.index(i));
        if !seen.insert(text(gate, "name")) {
            errors.push(FieldError::duplicate(&list.index(i), text(gate, "name")));
        }
    }
}

fn host_users(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    const DETAIL: &str = "when `hostUsers` is false";
    if spec.get("hostUsers").and_then(Value::as_bool) != Some(false) {
        return;
    }
    for (key, field) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(spec, key) {
            errors.push(FieldError::forbidden(&path.child(field), DETAIL));
        }
    }
    each_container(spec, path, |container, at| {
        if count(container, "volumeDevices") > 0 {
            errors.push(FieldError::forbidden(&at.child("volumeDevices"), DETAIL));
        }
    });
}

fn hostname_override(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let Some(name) = spec.get("hostnameOverride").and_then(Value::as_str) else { return };
    let at = path.child("hostnameOverride");
    for key in ["setHostnameAsFQDN", "hostNetwork"] {
        if flag(spec, key) {
            errors.push(FieldError::forbidden(&at, format!("may not be specified when {key} is true")));
        }
    }
    if name.len() > HOSTNAME_BYTES_MAX {
        errors.push(FieldError::too_long(&at, HOSTNAME_BYTES_MAX));
    }
    dns_subdomain(errors, name, &at);
}

fn names_of(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let (account, older) = (text(spec, "serviceAccountName"), text(spec, "serviceAccount"));
    if !account.is_empty() {
        dns_subdomain(errors, account, &path.child("serviceAccountName"));
    }
    if older != account {
        let detail = format!("must be the same as serviceAccountName: {}", crate::api::field::go_quote(account));
        errors.push(FieldError::invalid(&path.child("deprecatedServiceAccount"), older, detail));
    }
    if !text(spec, "nodeName").is_empty() {
        dns_subdomain(errors, text(spec, "nodeName"), &path.child("nodeName"));
    }
    if let Some(seconds) = int(spec, "activeDeadlineSeconds") {
        let faults = names::in_range(seconds, 1, i64::from(i32::MAX));
        messages(errors, &path.child("activeDeadlineSeconds"), seconds, faults);
    }
    for key in ["hostname", "subdomain"] {
        if !text(spec, key).is_empty() {
            dns_label(errors, text(spec, key), &path.child(key));
        }
    }
}

fn aliases(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    for (i, alias) in items(spec, "hostAliases").enumerate() {
        let at = path.index(i);
        address(errors, text(alias, "ip"), &at.child("ip"), &[]);
        let hostnames = at.child("hostnames");
        for (j, name) in texts(alias, "hostnames").enumerate() {
            dns_subdomain(errors, name, &hostnames.index(j));
        }
    }
}

fn classes(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    if !text(spec, "priorityClassName").is_empty() {
        dns_subdomain(errors, text(spec, "priorityClassName"), &path.child("priorityClassName"));
    }
    if is_set(spec, "runtimeClassName") {
        dns_subdomain(errors, text(spec, "runtimeClassName"), &path.child("runtimeClassName"));
    }
    if is_set(spec, "preemptionPolicy") {
        let at = path.child("preemptionPolicy");
        required_choice(errors, text(spec, "preemptionPolicy"), &at, &PREEMPTION_POLICIES);
    }
    if let Some(overhead) = child(spec, "overhead") {
        resources::overhead(errors, overhead, &path.child("overhead"));
    }
}

fn operating_system(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let Some(os) = child(spec, "os") else { return };
    let at = path.child("os");
    match text(os, "name") {
        "" => errors.push(FieldError::required(&at.child("name"), "")),
        "linux" => security::linux(errors, spec, path),
        "windows" => security::windows(errors, spec, path),
        name => choice(errors, name, &at, &["linux", "windows"]),
    }
}

fn scheduling_group(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let Some(group) = child(spec, "schedulingGroup") else { return };
    let at = path.child("schedulingGroup");
    match group.get("podGroupName").and_then(Value::as_str) {
        Some(name) => dns_subdomain(errors, name, &at.child("podGroupName")),
        None => {
            let detail = "must specify one of: `podGroupName`";
            errors.push(FieldError::invalid(&at.child("podGroupName"), Value::Null, detail));
        }
    }
    if count(spec, "evictionResponders") > 0 {
        errors.push(FieldError::forbidden(&at, "may not be set when evictionResponders is set"));
    }
}
