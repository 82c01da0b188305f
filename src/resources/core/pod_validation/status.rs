//! The status of a pod.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{claim_status, container_status, sub};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::ip::parse_ip;
use crate::resources::check::{address, dns_subdomain, immutable, invalid_as, qualified_name};
use crate::resources::tree::{Tree, child, count, int, items, text};

const NOT_AGAIN: &str = "may not be transitioned to non-terminated state";

/// A status that follows another one.
pub(super) fn validate(errors: &mut Errors, new: &Object, old: &Object) {
    let (status, before, spec) = (sub(new.root(), "status"), sub(old.root(), "status"), sub(old.root(), "spec"));
    let path = Path::new("status");
    conditions(errors, status, &path.child("conditions"));
    let (nominated, at) = (text(status, "nominatedNodeName"), path.child("nominatedNodeName"));
    if nominated != text(before, "nominatedNodeName") && !nominated.is_empty() {
        dns_subdomain(errors, nominated, &at);
        if !text(spec, "nodeName").is_empty() {
            let detail = "may not be set on pods that are already bound to a node";
            errors.push(FieldError::forbidden(&at, detail));
        }
    }
    if let Some(generation) = int(status, "observedGeneration").filter(|generation| *generation < 0) {
        let detail = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("observedGeneration"), generation, detail));
    }
    immutable(errors, status.get("qosClass"), before.get("qosClass"), &path.child("qosClass"));
    let lists = [
        ("containerStatuses", Some("containers")),
        ("initContainerStatuses", Some("initContainers")),
        ("ephemeralContainerStatuses", None),
    ];
    for (list, containers) in lists {
        transitions(errors, (status, before), containers.map(|key| (spec, key)), &(path.child(list), list));
    }
    let wished = sub(new.root(), "spec");
    claim_status::validate(errors, status, wished, &path);
    addresses(errors, ("podIP", "podIPs"), (status, before), &path);
    addresses(errors, ("hostIP", "hostIPs"), (status, before), &path);
    container_status::validate(errors, status, wished, &path);
}

fn conditions(errors: &mut Errors, status: &Tree, path: &Path<'_>) {
    for (i, condition) in items(status, "conditions").enumerate() {
        let at = path.index(i);
        if let Some(generation) = int(condition, "observedGeneration").filter(|generation| *generation < 0) {
            let detail = "must be a non-negative integer";
            errors.push(FieldError::invalid(&at.child("observedGeneration"), generation, detail));
        }
        qualified_name(errors, text(condition, "type"), &at.child("Type"));
    }
}

/// A container that has ended runs again only if its pod says so. Without a list of containers none does.
fn transitions(
    errors: &mut Errors,
    (now, before): (&Tree, &Tree),
    containers: Option<(&Tree, &str)>,
    (path, list): &(Path<'_>, &str),
) {
    let restarts_all = |spec: &Tree| {
        ["containers", "initContainers"]
            .iter()
            .flat_map(|list| items(spec, list))
            .flat_map(|container| items(container, "restartPolicyRules"))
            .any(|rule| text(rule, "action") == "RestartAllContainers")
    };
    if containers.is_some_and(|(spec, _)| restarts_all(spec)) {
        return;
    }
    for (i, old) in items(before, list).enumerate() {
        let Some(ended) = child(sub(old, "state"), "terminated") else { continue };
        let name = text(old, "name");
        let lives = |status: &Tree| text(status, "name") == name && child(sub(status, "state"), "terminated").is_none();
        if !items(now, list).any(lives) {
            continue;
        }
        let container = containers.and_then(|(spec, key)| items(spec, key).find(|c| text(c, "name") == name));
        let may = containers
            .zip(container)
            .is_some_and(|((spec, _), container)| may_restart(spec, container, int(ended, "exitCode").unwrap_or(0)));
        if !may {
            errors.push(FieldError::forbidden(&path.index(i).child("state"), NOT_AGAIN));
        }
    }
}

fn may_restart(spec: &Tree, container: &Tree, code: i64) -> bool {
    let by = |policy: &str| policy == "Always" || (policy == "OnFailure" && code != 0);
    let own = text(container, "restartPolicy");
    if own.is_empty() {
        return by(text(spec, "restartPolicy"));
    }
    let meant = |rule: &&Tree| {
        let codes = sub(rule, "exitCodes");
        let named = codes.get("values").and_then(Value::as_array).is_some_and(|values| values.contains(&json!(code)));
        child(rule, "exitCodes").is_some() && named == (text(codes, "operator") == "In")
    };
    items(container, "restartPolicyRules").find(meant).is_some() || by(own)
}

fn addresses(errors: &mut Errors, (one, many): (&str, &str), (now, before): (&Tree, &Tree), path: &Path<'_>) {
    let at = path.child(many);
    let all: Vec<&str> = items(now, many).map(|ip| text(ip, "ip")).collect();
    let known: Vec<&str> = items(before, many).map(|ip| text(ip, "ip")).collect();
    let value = || now.get(many).cloned().unwrap_or(Value::Null);
    let of_pod = one == "podIP";
    let of = if of_pod { "io.k8s.api.core.v1.PodIP" } else { "io.k8s.api.core.v1.HostIP" };
    let first = |errors: &mut Errors| {
        if let Some(ip) = all.first().filter(|ip| **ip != text(now, one)) {
            let detail = format!("must be equal to `{one}`");
            errors.push(FieldError::invalid(&at.index(0).child("ip"), *ip, detail));
        }
    };
    if !of_pod {
        first(errors);
    }
    for (i, ip) in all.iter().enumerate() {
        address(errors, ip, &at.index(i), &known);
    }
    let families: Vec<bool> = all.iter().filter_map(|ip| parse_ip(ip)).map(|ip| matches!(ip, IpAddr::V4(_))).collect();
    let dual = families.contains(&true) && families.contains(&false);
    if count(now, many) > 1 && (!dual || all.len() > 2) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(invalid_as(&at, value(), of, detail));
    }
    if !of_pod {
        return;
    }
    if text(now, one).is_empty() != all.is_empty() {
        let detail = "podIP and podIPs must either both be set or both be unset";
        errors.push(invalid_as(&at, value(), of, detail));
    } else {
        first(errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check(old: Value, new: Value, expected: &[&str]) {
        let pod = |status: Value| {
            let spec = json!({"restartPolicy": "OnFailure", "containers": [{"name": "c"}]});
            Object::from_value(json!({"spec": spec, "status": status})).unwrap()
        };
        let mut errors = Errors::new();
        validate(&mut errors, &pod(new), &pod(old));
        check_errors(&errors, expected);
    }

    #[test]
    fn an_ended_container_lives_again_only_after_a_failure() {
        let ended =
            |code: i64| json!({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}]});
        let running = json!({"containerStatuses": [{"name": "c", "state": {"running": {}}}]});
        check(ended(1), running.clone(), &[]);
        check(ended(0), ended(0), &[]);
        check(ended(0), running, &[&format!("status.containerStatuses[0].state: Forbidden: {NOT_AGAIN}")]);
    }

    #[test]
    fn addresses_fit_together() {
        check(json!({}), json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}), &[]);
        check(
            json!({}),
            json!({"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}]}),
            &["status.podIPs[0].ip: Invalid value: \"10.0.0.1\": must be equal to `podIP`"],
        );
        check(
            json!({"qosClass": "Burstable"}),
            json!({"qosClass": "BestEffort"}),
            &["status.qosClass: Invalid value: \"BestEffort\": field is immutable"],
        );
    }
}
