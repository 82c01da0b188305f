//! ServiceCIDR.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::ip::{cidr, parse_cidr};
use crate::resources::check::invalid_as;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::age;
use crate::resources::tree::{child, texts};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct ServiceCidr;

impl Behaviour for ServiceCidr {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_update(new, old)
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let ranges: Vec<&str> = child(object.root(), "spec").into_iter().flat_map(|s| texts(s, "cidrs")).collect();
        Some(vec![json!(object.name()), json!(ranges.join(",")), json!(age(object, moment))])
    }
}

const IMMUTABLE: &str = "field is immutable";
const SPEC: &str = "io.k8s.api.networking.v1.ServiceCIDRSpec";

fn ranges(object: &Object) -> Vec<&str> {
    child(object.root(), "spec").into_iter().flat_map(|spec| texts(spec, "cidrs")).collect()
}

fn validate(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let path = spec.child("cidrs");
    let given = ranges(object);
    match given.len() {
        0 => errors.push(FieldError::required(&path, "at least one CIDR required")),
        1 | 2 => {
            errors.extend(given.iter().enumerate().flat_map(|(i, range)| cidr(range, &path.index(i))));
            let families: Vec<bool> =
                given.iter().filter_map(|range| parse_cidr(range)).map(|range| range.address.is_ipv4()).collect();
            if matches!(families[..], [first, second] if first == second) {
                let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
                errors.push(FieldError::invalid(&path, Value::from(given), detail));
            }
        }
        _ => {
            let value = object.get(&["spec"]).cloned().unwrap_or(Value::Null);
            errors.push(invalid_as(&path, value, SPEC, "may only hold up to 2 values"));
        }
    }
    errors
}

/// A second range may come, of the other family; nothing else changes.
fn validate_update(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let path = spec.child("cidrs");
    let (now, before) = (ranges(new), ranges(old));
    let changed = now.iter().zip(&before).enumerate().filter(|(_, (now, before))| now != before);
    match (before.len(), now.len()) {
        (before, now) if before == now || (before, now) == (1, 2) => {
            errors.extend(changed.map(|(i, (range, _))| FieldError::invalid(&path.index(i), *range, IMMUTABLE)));
            if before != now {
                errors.extend(validate(new));
            }
        }
        (_, _) => {
            let given = new.get(&["spec", "cidrs"]).cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(&path, given, IMMUTABLE));
        }
    }
    errors
}
