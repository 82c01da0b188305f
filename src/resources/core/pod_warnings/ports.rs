//! Warnings about ports of containers that are in each other's way.

use std::collections::HashMap;
use std::fmt;

use super::Container;
use crate::api::field::go_quote;
use crate::resources::tree::{Tree, int, items, text};

/// Ports that are the same, overlap or are ambiguous.
pub(super) fn port_warnings(containers: &[Container<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut all: HashMap<(i64, &str), Vec<(Place<'_>, &Tree)>> = HashMap::new();
    for (path, port) in ports(containers) {
        if !text(port, "hostIP").is_empty() && host_port(port) == 0 {
            warnings.push(format!("{path}: hostIP set without hostPort: {}", go_struct(port)));
        }
        let others = all.entry((int(port, "containerPort").unwrap_or(0), text(port, "protocol"))).or_default();
        for (other_path, other) in others.iter() {
            if let Some(relation) = relation(port, other) {
                warnings.push(format!("{path}: {relation} port definition with {other_path}"));
            }
        }
        others.push((path, port));
    }
    warnings
}

/// Names of ports that come twice.
pub(super) fn port_name_warnings(containers: &[Container<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut names: HashMap<&str, Place<'_>> = HashMap::new();
    for (path, port) in ports(containers) {
        let name = text(port, "name");
        if name.is_empty() {
            continue;
        }
        match names.get(name) {
            Some(other) => warnings.push(format!(
                "{path}: duplicate port name {} with {other}, services and probes that select ports by name will use {other}",
                go_quote(name)
            )),
            None => drop(names.insert(name, path)),
        }
    }
    warnings
}

/// Where a port stands; its path is what it prints.
struct Place<'a> {
    container: &'a Container<'a>,
    index: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.ports[{}]", self.container, self.index)
    }
}

fn ports<'a>(containers: &'a [Container<'a>]) -> impl Iterator<Item = (Place<'a>, &'a Tree)> {
    containers.iter().flat_map(|container| {
        let ports = items(container.tree, "ports").enumerate();
        ports.map(move |(index, port)| (Place { container, index }, port))
    })
}

fn relation(port: &Tree, other: &Tree) -> Option<&'static str> {
    let (ip, other_ip) = (text(port, "hostIP"), text(other, "hostIP"));
    let (number, other_number) = (host_port(port), host_port(other));
    if ip == other_ip && number == other_number {
        Some("duplicate")
    } else if number == 0 || other_number == 0 {
        Some("overlapping")
    } else if number == other_number && (ip.is_empty() != other_ip.is_empty()) {
        Some("dangerously ambiguous")
    } else {
        None
    }
}

fn host_port(port: &Tree) -> i64 {
    int(port, "hostPort").unwrap_or(0)
}

/// A port as Go's `%+v` prints it.
fn go_struct(port: &Tree) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        text(port, "name"),
        host_port(port),
        int(port, "containerPort").unwrap_or(0),
        text(port, "protocol"),
        text(port, "hostIP")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check_ports(ports: Value, expected: &[&str]) {
        let Value::Object(tree) = json!({"ports": ports}) else { panic!() };
        let containers = [Container { tree: &tree, prefix: "", list: "containers", index: 0 }];
        let mut warnings = port_warnings(&containers);
        warnings.extend(port_name_warnings(&containers));
        assert_eq!(warnings, expected);
    }

    #[test]
    fn ports_in_each_others_way_are_named() {
        let port =
            |host: i64, ip: &str| json!({"containerPort": 80, "protocol": "TCP", "hostPort": host, "hostIP": ip});
        check_ports(
            json!([port(0, ""), port(0, "")]),
            &["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
        );
        check_ports(
            json!([port(1, ""), port(0, "")]),
            &["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
        );
        check_ports(
            json!([port(1, ""), port(1, "10.0.0.1")]),
            &["spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"],
        );
        check_ports(json!([port(1, ""), port(2, "")]), &[]);
        let named = |number: i64| json!({"containerPort": number, "protocol": "TCP", "name": "web"});
        check_ports(
            json!([named(1), named(2)]),
            &[
                "spec.containers[0].ports[1]: duplicate port name \"web\" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]",
            ],
        );
    }
}
