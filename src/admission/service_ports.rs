//! The ports on nodes of one Service: which of those it asks for it may have, and what it gets for the rest (K
//! `pkg/registry/core/service/portallocator/operation.go`, `storage/alloc.go`). A dry run takes nothing: upstream looks
//! at no range then and makes numbers up beyond it.

use std::ops::RangeInclusive;

use rand::Rng;
use serde_json::{Value, json};

use crate::api::field::{FieldError, Path};
use crate::api::{Object, Reason, Result, Status};

/// How often a random port is tried before the range is searched in order.
const RANDOM_TRIES: usize = 16;
/// From where a dry run counts upwards when it has no port yet.
const DRY_START: i64 = 32_768;

/// The ports that one write takes.
pub(super) struct Ports<'a> {
    /// `--service-node-port-range`.
    pub range: RangeInclusive<u16>,
    /// Whether some Service has a port already.
    pub held: &'a dyn Fn(u16) -> bool,
    pub dry_run: bool,
    /// Those that this write has taken so far.
    pub taken: Vec<i64>,
}

/// A port of a service.
struct Entry {
    port: i64,
    node_port: i64,
    protocol: String,
}

impl Ports<'_> {
    /// Fills in the ports of a service that is made, or that comes to have ports on nodes.
    ///
    /// # Errors
    /// As upstream for a port that cannot be had.
    pub(super) fn give(&mut self, service: &mut Object, old: Option<&Object>) -> Result<()> {
        let kind = service.text_at(&["spec", "type"]);
        if kind == "NodePort" || kind == "LoadBalancer" {
            let mut entries = entries(service);
            match old {
                None => self.create(service, &mut entries)?,
                Some(old) => self.update(service, &mut entries, old)?,
            }
            let list = service.object_at(&["spec"]).get_mut("ports").and_then(Value::as_array_mut);
            for (port, entry) in list.into_iter().flatten().zip(&entries) {
                if entry.node_port != 0 {
                    port["nodePort"] = json!(entry.node_port);
                }
            }
        }
        if needs_health_check(service) && !old.is_some_and(needs_health_check) {
            self.health_check(service)?;
        }
        Ok(())
    }

    /// Ports of one number share their port on nodes, whatever their protocols.
    fn create(&mut self, service: &Object, entries: &mut [Entry]) -> Result<()> {
        let mut shared: Vec<(i64, i64)> = Vec::new();
        for index in 0..entries.len() {
            let (port, wished) = (entries[index].port, entries[index].node_port);
            if wished == 0 && !allocates(service) {
                continue;
            }
            match shared.iter().find(|(number, _)| *number == port).map(|(_, given)| *given) {
                None => {
                    let requested = entries.iter().find(|e| e.port == port && e.node_port != 0).map(|e| e.node_port);
                    let given = match requested {
                        Some(requested) => self.requested(service, index, requested)?,
                        None => self.next()?,
                    };
                    entries[index].node_port = given;
                    shared.push((port, given));
                }
                Some(given) if wished == 0 => entries[index].node_port = given,
                Some(given) if wished != given => drop(self.requested(service, index, wished)?),
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn update(&mut self, service: &Object, entries: &mut [Entry], old: &Object) -> Result<()> {
        let before: Vec<i64> = self::entries(old).into_iter().map(|entry| entry.node_port).collect();
        let mut seen: Vec<(String, i64)> = Vec::new();
        for (index, entry) in entries.iter_mut().enumerate() {
            if entry.node_port == 0 {
                if !allocates(service) {
                    continue;
                }
                entry.node_port = self.next()?;
            } else if !before.contains(&entry.node_port) && !self.taken.contains(&entry.node_port) {
                self.requested(service, index, entry.node_port)?;
            }
            let pair = (entry.protocol.clone(), entry.node_port);
            if seen.contains(&pair) {
                let message = format!("duplicate nodePort: {{{} {}}}", pair.0, pair.1);
                return Err(Status::new(500, Reason::Unknown, message));
            }
            seen.push(pair);
        }
        Ok(())
    }

    fn health_check(&mut self, service: &mut Object) -> Result<()> {
        match service.int_at(&["spec", "healthCheckNodePort"]).unwrap_or(0) {
            0 => {
                let port = self.next()?;
                service.set(&["spec", "healthCheckNodePort"], port);
                Ok(())
            }
            port => self.allocate(port).map_err(|why| {
                Status::internal(format!("failed to allocate requested HealthCheck NodePort {port}: {why}"))
            }),
        }
    }

    fn requested(&mut self, service: &Object, index: usize, port: i64) -> Result<i64> {
        let spec = Path::new("spec");
        let list = spec.child("ports");
        let item = list.index(index);
        let refuse = |why: String| {
            let kind = crate::api::GroupKind { group: "".into(), kind: "Service".into() };
            Status::invalid(&kind, service.name(), &[FieldError::invalid(&item.child("nodePort"), port, why)])
        };
        self.allocate(port).map_err(refuse).map(|()| port)
    }

    fn allocate(&mut self, port: i64) -> std::result::Result<(), String> {
        let number = u16::try_from(port).ok();
        if !self.dry_run && !number.is_some_and(|number| self.range.contains(&number)) {
            let (first, last) = (self.range.start(), self.range.end());
            return Err(format!("provided port is not in the valid range. The range of valid ports is {first}-{last}"));
        }
        if self.taken.contains(&port) || number.is_some_and(self.held) {
            return Err("provided port is already allocated".to_owned());
        }
        self.taken.push(port);
        Ok(())
    }

    fn next(&mut self) -> Result<i64> {
        if self.dry_run {
            let port = self.taken.iter().copied().max().unwrap_or(DRY_START) + 1;
            self.taken.push(port);
            return Ok(port);
        }
        let free = |port: &u16| !self.taken.contains(&i64::from(*port)) && !(self.held)(*port);
        let mut rng = rand::rng();
        let random = (0..RANDOM_TRIES).map(|_| rng.random_range(self.range.clone())).find(|port| free(port));
        let port = random
            .or_else(|| self.range.clone().find(|port| free(port)))
            .map(i64::from)
            .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?;
        self.taken.push(port);
        Ok(port)
    }
}

fn entries(service: &Object) -> Vec<Entry> {
    let list = service.get(&["spec", "ports"]).and_then(Value::as_array);
    let number = |port: &Value, key: &str| port.get(key).and_then(Value::as_i64).unwrap_or(0);
    let entry = |port: &Value| Entry {
        port: number(port, "port"),
        node_port: number(port, "nodePort"),
        protocol: port.get("protocol").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    list.into_iter().flatten().map(entry).collect()
}

/// Whether ports that are not asked for are given.
fn allocates(service: &Object) -> bool {
    let switched_off = service.get(&["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    service.text_at(&["spec", "type"]) == "NodePort" || !switched_off
}

fn needs_health_check(service: &Object) -> bool {
    let at = |key: &str| service.text_at(&["spec", key]);
    at("type") == "LoadBalancer" && at("externalTrafficPolicy") == "Local"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ports: Value) -> Object {
        let spec = json!({"type": "NodePort", "ports": ports});
        Object::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap()
    }

    #[track_caller]
    fn check(dry_run: bool, ports: Value, expected: std::result::Result<Value, &str>) {
        let mut service = service(ports);
        let held = |port: u16| port == 30_001;
        let mut given = Ports { range: 30_000..=30_003, held: &held, dry_run, taken: Vec::new() };
        let outcome = given.give(&mut service, None);
        let found = outcome.map(|()| {
            let ports = service.get(&["spec", "ports"]).and_then(Value::as_array).cloned().unwrap_or_default();
            Value::from(ports.into_iter().map(|port| port["nodePort"].clone()).collect::<Vec<_>>())
        });
        let found = found.map_err(|status| status.message().to_owned());
        match expected {
            Ok(numbers) => assert_eq!(found, Ok(numbers)),
            Err(text) => assert!(found.as_ref().is_err_and(|message| message.ends_with(text)), "{found:?}"),
        }
    }

    #[test]
    fn ports_of_a_number_share_their_port_on_nodes() {
        let ports = json!([
            {"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "TCP", "nodePort": 30_002},
        ]);
        check(false, ports, Ok(json!([30_002, 30_002])));
    }

    #[test]
    fn a_port_that_is_taken_or_out_of_range_is_refused() {
        let one = |port: i64| json!([{"port": 80, "nodePort": port}]);
        check(false, one(30_001), Err("provided port is already allocated"));
        check(false, one(1), Err("provided port is not in the valid range. The range of valid ports is 30000-30003"));
        check(true, one(1), Ok(json!([1])));
    }

    #[test]
    fn a_dry_run_makes_numbers_up() {
        check(true, json!([{"port": 80}, {"port": 81}]), Ok(json!([32_769, 32_770])));
        check(true, json!([{"port": 80, "nodePort": 30_902}, {"port": 81}]), Ok(json!([30_902, 30_903])));
    }
}
