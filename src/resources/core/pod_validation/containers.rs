//! The containers of a pod: those that run along, those that run before, those that are added later.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::{env, flag, mounts, probes, resources, security};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names;
use crate::resources::check::{choice, dns_label, messages, port_number, required_choice};
use crate::resources::tree::{Tree, child, count, int, is_set, is_zero, items, text};

pub(super) const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const RULES_WITHOUT_POLICY: &str = "must specify restartPolicy when restart rules are used";
const RESTART_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const EPHEMERAL_DETAIL: &str = "cannot be set for an Ephemeral Container";
/// What an ephemeral container may not have, in the order of upstream's type.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// What the rules of a container depend on.
pub(super) struct Surroundings<'a> {
    pub spec: &'a Tree,
    /// The valid volumes of the pod.
    pub volumes: HashMap<&'a str, &'a Tree>,
    /// The resource claims of the pod.
    pub claims: BTreeSet<&'a str>,
}

impl Surroundings<'_> {
    pub(super) fn grace(&self) -> Option<i64> {
        int(self.spec, "terminationGracePeriodSeconds")
    }

    pub(super) fn host_users(&self) -> bool {
        self.spec.get("hostUsers").and_then(Value::as_bool) != Some(false)
    }

    /// The name of the operating system, if the pod says one.
    pub(super) fn system(&self) -> Option<&str> {
        child(self.spec, "os").map(|os| text(os, "name"))
    }
}

/// All containers of a spec.
pub(super) fn validate(errors: &mut Errors, pod: &Surroundings<'_>, path: &Path<'_>) {
    regular(errors, pod, &path.child("containers"));
    init(errors, pod, &path.child("initContainers"));
    ephemeral(errors, pod, &path.child("ephemeralContainers"));
}

fn regular(errors: &mut Errors, pod: &Surroundings<'_>, path: &Path<'_>) {
    if count(pod.spec, "containers") == 0 {
        return errors.push(FieldError::required(path, ""));
    }
    let mut names = HashSet::new();
    for (i, container) in items(pod.spec, "containers").enumerate() {
        let at = path.index(i);
        common(errors, container, pod, &at);
        if !names.insert(text(container, "name")) {
            errors.push(FieldError::duplicate(&at.child("name"), text(container, "name")));
        }
        probes::validate(errors, container, pod, &at);
        restart_policy(errors, container, &at);
    }
    let mut seen = HashSet::new();
    for (i, container) in items(pod.spec, "containers").enumerate() {
        unique_host_ports(errors, container, &mut seen, &path.index(i));
    }
}

fn init(errors: &mut Errors, pod: &Surroundings<'_>, path: &Path<'_>) {
    let mut names: HashSet<&str> = items(pod.spec, "containers").map(|c| text(c, "name")).collect();
    for (i, container) in items(pod.spec, "initContainers").enumerate() {
        let at = path.index(i);
        common(errors, container, pod, &at);
        init_restart_policy(errors, container, &at);
        let name = text(container, "name");
        if names.contains(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        } else if !name.is_empty() {
            names.insert(name);
        }
        // Upstream looks at each container alone, as the first of its list.
        unique_host_ports(errors, container, &mut HashSet::new(), &path.index(0));
        if text(container, "restartPolicy") == "Always" {
            probes::validate(errors, container, pod, &at);
            continue;
        }
        for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if is_set(container, key) {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(&at.child(key), detail));
            }
        }
        let policies = at.child("resizePolicy");
        for (j, policy) in items(container, "resizePolicy").enumerate() {
            if text(policy, "restartPolicy") == "RestartContainer" {
                let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                let field = policies.index(j);
                errors.push(FieldError::invalid(&field.child("restartPolicy"), "RestartContainer", detail));
            }
        }
    }
}

fn ephemeral(errors: &mut Errors, pod: &Surroundings<'_>, path: &Path<'_>) {
    let lists = ["containers", "initContainers"];
    let others: HashSet<&str> = lists.into_iter().flat_map(|l| items(pod.spec, l)).map(|c| text(c, "name")).collect();
    let mut names = others.clone();
    for (i, container) in items(pod.spec, "ephemeralContainers").enumerate() {
        let at = path.index(i);
        common(errors, container, pod, &at);
        image_unpadded(errors, container, &at);
        if !names.insert(text(container, "name")) {
            errors.push(FieldError::duplicate(&at.child("name"), text(container, "name")));
        }
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            errors.push(FieldError::not_found(&at.child("targetContainerName"), target));
        }
        for key in NOT_EPHEMERAL {
            if container.get(key).is_some_and(|value| !is_zero(value)) {
                errors.push(FieldError::forbidden(&at.child(key), EPHEMERAL_DETAIL));
            }
        }
        let list = at.child("volumeMounts");
        for (j, mount) in items(container, "volumeMounts").enumerate() {
            for key in ["subPath", "subPathExpr"] {
                if !text(mount, key).is_empty() {
                    errors.push(FieldError::forbidden(&list.index(j).child(key), EPHEMERAL_DETAIL));
                }
            }
        }
    }
}

/// What containers of all sorts have in common.
fn common(errors: &mut Errors, container: &Tree, pod: &Surroundings<'_>, path: &Path<'_>) {
    match text(container, "name") {
        "" => errors.push(FieldError::required(&path.child("name"), "")),
        name => dns_label(errors, name, &path.child("name")),
    }
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    }
    let policy = text(container, "terminationMessagePolicy");
    let at = path.child("terminationMessagePolicy");
    required_choice(errors, policy, &at, &["File", "FallbackToLogsOnError"]);
    ports(errors, container, &path.child("ports"));
    env::validate(errors, container, path);
    mounts::validate(errors, container, pod, path);
    let policy = text(container, "imagePullPolicy");
    required_choice(errors, policy, &path.child("imagePullPolicy"), &PULL_POLICIES);
    resources::container(errors, container, &pod.claims, path);
    resources::resize_policies(errors, container, pod, &path.child("resizePolicy"));
    if let Some(context) = child(container, "securityContext") {
        security::container(errors, context, pod.host_users(), &path.child("securityContext"));
    }
}

/// The image has no space around it: for pods, not for templates.
pub(super) fn image_unpadded(errors: &mut Errors, container: &Tree, path: &Path<'_>) {
    let image = text(container, "image");
    if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, detail));
    }
}

fn ports(errors: &mut Errors, container: &Tree, path: &Path<'_>) {
    let mut seen = HashSet::new();
    for (i, port) in items(container, "ports").enumerate() {
        let at = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            let faults = names::port_name(name);
            if faults.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
            messages(errors, &at.child("name"), name, faults);
        }
        match int(port, "containerPort").unwrap_or(0) {
            0 => errors.push(FieldError::required(&at.child("containerPort"), "")),
            number => port_number(errors, number, &at.child("containerPort")),
        }
        if let Some(number) = int(port, "hostPort").filter(|n| *n != 0) {
            port_number(errors, number, &at.child("hostPort"));
        }
        required_choice(errors, text(port, "protocol"), &at.child("protocol"), &PROTOCOLS);
    }
}

fn unique_host_ports(errors: &mut Errors, container: &Tree, seen: &mut HashSet<String>, path: &Path<'_>) {
    let list = path.child("ports");
    for (i, port) in items(container, "ports").enumerate() {
        let Some(number) = int(port, "hostPort").filter(|n| *n != 0) else { continue };
        let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
        if !seen.insert(key.clone()) {
            errors.push(FieldError::duplicate(&list.index(i).child("hostPort"), key));
        }
    }
}

/// Without a policy the rules of an init container are not looked at.
fn init_restart_policy(errors: &mut Errors, container: &Tree, path: &Path<'_>) {
    if is_set(container, "restartPolicy") {
        restart_policy(errors, container, path);
    } else if count(container, "restartPolicyRules") > 0 {
        errors.push(FieldError::required(&path.child("restartPolicy"), RULES_WITHOUT_POLICY));
    }
}

fn restart_policy(errors: &mut Errors, container: &Tree, path: &Path<'_>) {
    let at = path.child("restartPolicy");
    let rules = path.child("restartPolicyRules");
    let number = count(container, "restartPolicyRules");
    if is_set(container, "restartPolicy") {
        choice(errors, text(container, "restartPolicy"), &at, &["Always", "Never", "OnFailure"]);
    } else if number > 0 {
        errors.push(FieldError::required(&at, RULES_WITHOUT_POLICY));
    } else {
        return;
    }
    if number > RESTART_RULES_MAX {
        errors.push(FieldError::too_many(&rules, number, RESTART_RULES_MAX));
    }
    for (i, rule) in items(container, "restartPolicyRules").enumerate() {
        let at = rules.index(i);
        choice(errors, text(rule, "action"), &at.child("action"), &["Restart", "RestartAllContainers"]);
        let codes_path = at.child("exitCodes");
        let Some(codes) = child(rule, "exitCodes") else {
            errors.push(FieldError::required(&codes_path, "must be specified"));
            continue;
        };
        choice(errors, text(codes, "operator"), &codes_path.child("operator"), &["In", "NotIn"]);
        let values = count(codes, "values");
        if values > EXIT_CODES_MAX {
            errors.push(FieldError::too_many(&codes_path.child("values"), values, EXIT_CODES_MAX));
        }
    }
}

/// Whether the container runs with all rights.
pub(super) fn privileged(container: &Tree) -> bool {
    child(container, "securityContext").is_some_and(|context| flag(context, "privileged"))
}
