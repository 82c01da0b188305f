//! Validation of what schedulers and drivers write into the status of ResourceClaims, in upstream's order and words.

use std::collections::BTreeSet;

use serde_json::Value;

use super::claim_validation::{reference, references};
use super::device::{
    Age, CONFIGS_MAX, binding, configuration, device_name, driver_name, foreign, pool_name, tolerations,
};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::validation::ip::interface_address;
use crate::resources::conditions::validate_conditions;
use crate::resources::core::pod_validation::validate_node_selector;
use crate::resources::tree::{Tree, child, count, is_set, items, text, texts};

const CONSUMERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 8;
const ADDRESSES_MAX: usize = 16;

/// Driver, pool, device and share.
type Id<'a> = [&'a str; 4];

fn id(of: &Tree) -> Id<'_> {
    ["driver", "pool", "device", "shareID"].map(|key| text(of, key))
}

fn results(allocation: &Tree) -> impl Iterator<Item = &Tree> {
    child(allocation, "devices").into_iter().flat_map(|devices| items(devices, "results"))
}

/// The devices that a claim has got.
pub(super) fn allocated(status: &Tree) -> BTreeSet<Id<'_>> {
    child(status, "allocation").into_iter().flat_map(results).map(id).collect()
}

/// Forgets what drivers said of devices that the claim had and has no more.
pub(super) fn drop_released(new: &mut Object, old: &Object) {
    let empty = Tree::new();
    let before = allocated(child(old.root(), "status").unwrap_or(&empty));
    let now = allocated(child(new.root(), "status").unwrap_or(&empty));
    let released: Vec<[String; 4]> = before.difference(&now).map(|id| id.map(str::to_owned)).collect();
    let Some(status) = new.root_mut().get_mut("status").and_then(Value::as_object_mut) else { return };
    let Some(devices) = status.get_mut("devices").and_then(Value::as_array_mut) else { return };
    devices.retain(|device| device.as_object().is_none_or(|device| !released.iter().any(|gone| *gone == id(device))));
    if devices.is_empty() {
        status.remove("devices");
    }
}

/// The status of a claim.
pub(super) fn validate(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (status, path) = (child(new.root(), "status").unwrap_or(&empty), Path::new("status"));
    let before = child(old.root(), "status").unwrap_or(&empty);
    let list = path.child("reservedFor");
    if count(status, "reservedFor") <= CONSUMERS_MAX {
        for (i, consumer) in items(status, "reservedFor").enumerate() {
            for key in ["resource", "name", "uid"].into_iter().filter(|key| text(consumer, key).is_empty()) {
                errors.push(FieldError::required(&list.index(i).child(key), ""));
            }
        }
    }
    let known = allocated(status);
    let devices = path.child("devices");
    for (i, device) in items(status, "devices").enumerate() {
        validate_device(&mut errors, device, &known, &devices.index(i));
    }
    if count(status, "reservedFor") > 0 {
        let was = |consumer: &Tree| items(before, "reservedFor").any(|known| known == consumer);
        if !is_set(status, "allocation") {
            errors.push(FieldError::forbidden(&list, "may not be specified when `allocated` is not set"));
        } else if new.deleting() && !items(status, "reservedFor").all(was) {
            let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            errors.push(FieldError::forbidden(&list, detail));
        }
    }
    // An allocation that is there does not change, as is declared.
    if let Some(allocation) = child(status, "allocation").filter(|_| !is_set(before, "allocation")) {
        let requested = child(new.root(), "spec").and_then(|spec| child(spec, "devices")).unwrap_or(&empty);
        validate_allocation(&mut errors, allocation, requested, &path.child("allocation"));
    }
    errors
}

fn validate_allocation(errors: &mut Errors, allocation: &Tree, requested: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    let devices = child(allocation, "devices").unwrap_or(&empty);
    let at = path.child("devices");
    let list = at.child("results");
    if count(devices, "results") <= RESULTS_MAX {
        for (i, result) in items(devices, "results").enumerate() {
            let at = list.index(i);
            reference(errors, text(result, "request"), requested, &at.child("request"));
            device_name(errors, text(result, "device"), &at.child("device"));
            binding(errors, result, &at);
            tolerations(errors, result, &at);
        }
    }
    let list = at.child("config");
    if count(devices, "config") <= 2 * CONFIGS_MAX {
        for (i, config) in items(devices, "config").enumerate() {
            references(errors, config, requested, &list.index(i));
            configuration(errors, config, &list.index(i), Age::New);
        }
    }
    if let Some(selector) = child(allocation, "nodeSelector") {
        validate_node_selector(errors, selector, &path.child("nodeSelector"));
    }
}

fn validate_device(errors: &mut Errors, device: &Tree, known: &BTreeSet<Id<'_>>, path: &Path<'_>) {
    driver_name(errors, text(device, "driver"), &path.child("driver"));
    pool_name(errors, text(device, "pool"), &path.child("pool"));
    device_name(errors, text(device, "device"), &path.child("device"));
    let own = id(device);
    if !known.contains(&own) {
        let [driver, pool, device, share] = own.map(crate::api::field::go_quote);
        let shown = format!("{{\"Driver\":{driver},\"Pool\":{pool},\"Device\":{device},\"ShareID\":{share}}}");
        let error = FieldError::invalid(path, Value::Null, "must be an allocated device in the claim");
        errors.push(error.shown(Shown::Text(shown)));
    }
    let conditions = path.child("conditions");
    if count(device, "conditions") > CONDITIONS_MAX {
        errors.push(FieldError::too_many(&conditions, count(device, "conditions"), CONDITIONS_MAX));
    }
    validate_conditions(errors, device, &conditions);
    if is_set(device, "data") {
        foreign(errors, device.get("data"), &path.child("data"), Age::New);
    }
    let Some(network) = child(device, "networkData").filter(|network| count(network, "ips") <= ADDRESSES_MAX) else {
        return;
    };
    let at = path.child("networkData");
    let list = at.child("ips");
    for (i, address) in texts(network, "ips").enumerate() {
        errors.extend(interface_address(address, &list.index(i)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::check::testing::check_errors;

    fn claim(status: Value) -> Object {
        let devices = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]});
        Object::from_value(json!({"metadata": {"name": "x"}, "spec": {"devices": devices}, "status": status})).unwrap()
    }

    fn result(device: &str) -> Value {
        json!({"request": "r", "driver": "d.example.com", "pool": "p", "device": device})
    }

    #[test]
    fn what_drivers_said_goes_with_the_device() {
        let device = |name: &str| json!({"driver": "d.example.com", "pool": "p", "device": name});
        let old = claim(json!({"allocation": {"devices": {"results": [result("a"), result("b")]}}}));
        let left = json!({"devices": {"results": [result("b")]}});
        let mut new = claim(json!({"allocation": left, "devices": [device("a"), device("b")]}));
        drop_released(&mut new, &old);
        assert_eq!(new.get(&["status", "devices"]), Some(&json!([device("b")])));
    }

    #[test]
    fn a_new_allocation_is_of_requests_and_devices_that_are_there() {
        let nothing = claim(json!({}));
        let of = |request: &str, device: &str| {
            let result = json!({"request": request, "driver": "d.example.com", "pool": "p", "device": device});
            claim(json!({"allocation": {"devices": {"results": [result]}}}))
        };
        check_errors(&validate(&of("r", "dev"), &nothing), &[]);
        check_errors(
            &validate(&of("other", "dev"), &nothing),
            &[
                "status.allocation.devices.results[0].request: Invalid value: \"other\": must be the name of a request in \
               the claim or the name of a request and a subrequest separated by '/'",
            ],
        );
        let unknown = json!({"driver": "d.example.com", "pool": "p", "device": "dev"});
        check_errors(
            &validate(&claim(json!({"devices": [unknown]})), &nothing),
            &["status.devices[0]: Invalid value: {\"Driver\":\"d.example.com\",\"Pool\":\"p\",\"Device\":\"dev\",\
               \"ShareID\":\"\"}: must be an allocated device in the claim"],
        );
    }

    #[test]
    fn nobody_reserves_a_claim_that_is_not_allocated() {
        let consumer = json!([{"resource": "pods", "name": "p", "uid": "u"}]);
        check_errors(
            &validate(&claim(json!({"reservedFor": consumer})), &claim(json!({}))),
            &["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        );
    }
}
